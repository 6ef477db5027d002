//! All families, and the lookup by name.
//!
//! - Every command and every subcommand has an index of its own, by which statistics count: commands in the order of
//!   their names, each right before its subcommands.
//! - Looking a name up hashes it eight bytes at a time, letters folded, and compares it with one or two rows: it allocates
//!   nothing, for every request and every logged command does it.

use std::sync::LazyLock;

use super::spec::{Categories, Flags};
use super::{Command, Family, database, hash, keys, list, set, string, zset};
use crate::admin::{connection, migrate, perdura, pubsub, server, transaction};

static FAMILIES: &[&Family] = &[
    &connection::FAMILY,
    &database::FAMILY,
    &hash::FAMILY,
    &keys::FAMILY,
    &keys::sort::FAMILY,
    &list::FAMILY,
    &migrate::FAMILY,
    &perdura::FAMILY,
    &pubsub::FAMILY,
    &server::CLUSTER_FAMILY,
    &server::FAMILY,
    &server::WAIT_FAMILY,
    &set::FAMILY,
    &string::FAMILY,
    &transaction::FAMILY,
    &zset::FAMILY,
];

/// A command's row with the family it stands in.
#[derive(Clone, Copy)]
pub struct Row {
    pub command: &'static Command,
    pub family: &'static Family,
    /// The place of the command in [`statistic_names`]; its subcommands have the next ones, in their order.
    pub index: usize,
}

/// Longest name that is looked up; longer ones are unknown.
const MAX_NAME_LEN: usize = 32;

/// Open addressing: at least half of the places stay empty, so a search ends after one or two.
const PLACES: usize = 1024;

struct Table {
    /// In the order of names.
    rows: Vec<Row>,
    /// By index: every row's name, then its subcommands'.
    names: Vec<String>,
    /// For each place the row there, as its number plus one; zero is an empty place.
    places: Box<[u16; PLACES]>,
}

static TABLE: LazyLock<Table> = LazyLock::new(Table::build);

impl Table {
    fn build() -> Table {
        let mut rows: Vec<Row> = FAMILIES
            .iter()
            .flat_map(|family| family.commands.iter().map(|command| Row { command, family, index: 0 }))
            .collect();
        rows.sort_unstable_by_key(|row| row.command.name);
        assert!(rows.len() * 2 <= PLACES, "the table of places is too small");
        let mut next_index = 0;
        let mut places = Box::new([0; PLACES]);
        for (number, row) in rows.iter_mut().enumerate() {
            row.index = next_index;
            next_index += 1 + row.command.subcommands.len();
            let mut place = first_place(row.command.name.as_bytes());
            while places[place] != 0 {
                place = (place + 1) % PLACES;
            }
            places[place] = number as u16 + 1;
        }
        let own = |row: &Row| std::iter::once(row.command.name.to_owned()).chain(row.subcommand_names());
        let names = rows.iter().flat_map(own).collect();
        Table { rows, names, places }
    }

    fn find(&self, name: &[u8]) -> Option<&Row> {
        let mut place = first_place(name);
        while let Some(number) = self.places[place].checked_sub(1) {
            let row = &self.rows[usize::from(number)];
            if row.command.name.as_bytes().eq_ignore_ascii_case(name) {
                return Some(row);
            }
            place = (place + 1) % PLACES;
        }
        None
    }
}

/// Where the search for a name begins; the case of letters makes no difference.
fn first_place(name: &[u8]) -> usize {
    const CASE_BITS: u64 = 0x2020_2020_2020_2020;
    const ODD: u64 = 0x9E37_79B9_7F4A_7C15;
    let (first, last) = ends_of(name);
    let mut hash = name.len() as u64;
    for word in [first, last] {
        hash = (hash ^ (word | CASE_BITS)).wrapping_mul(ODD);
        hash ^= hash >> 32;
    }
    hash as usize % PLACES
}

/// The first and the last eight bytes of a name, or as many as it has; they overlap in a short one.
fn ends_of(name: &[u8]) -> (u64, u64) {
    if let (Some(first), Some(last)) = (name.first_chunk(), name.last_chunk()) {
        return (u64::from_le_bytes(*first), u64::from_le_bytes(*last));
    }
    if let (Some(first), Some(last)) = (name.first_chunk(), name.last_chunk()) {
        return (u64::from(u32::from_le_bytes(*first)), u64::from(u32::from_le_bytes(*last)));
    }
    (name.iter().fold(0, |word, byte| word << 8 | u64::from(*byte)), 0)
}

/// Every row, by name.
pub fn commands() -> impl ExactSizeIterator<Item = Row> {
    TABLE.rows.iter().copied()
}

/// The row of a command, whatever the case of its name.
pub fn lookup(name: &[u8]) -> Option<Row> {
    if name.len() > MAX_NAME_LEN {
        return None;
    }
    TABLE.find(name).copied()
}

/// The subcommand of a container, whatever its case.
pub fn lookup_subcommand(container: &Command, name: &[u8]) -> Option<&'static Command> {
    container.subcommands.iter().find(|sub| sub.name.as_bytes().eq_ignore_ascii_case(name))
}

/// The names of all commands and subcommands (`client|list`), in the order of their indexes.
pub fn statistic_names() -> Vec<String> {
    TABLE.names.clone()
}

/// The name at an index; empty for [`NO_COMMAND`].
pub fn statistic_name(index: usize) -> &'static str {
    TABLE.names.get(index).map_or("", String::as_str)
}

/// The index of what is no command: statistics pass over it.
pub const NO_COMMAND: usize = usize::MAX;

/// The place in [`statistic_names`] of the command that a request names.
pub fn statistic_index(args: &[&[u8]]) -> usize {
    let Some(row) = args.first().and_then(|name| lookup(name)) else { return NO_COMMAND };
    let named =
        |sub: &Command| args.get(1).is_some_and(|name| sub.name.as_bytes().eq_ignore_ascii_case(name));
    let sub = row.command.subcommands.iter().position(named);
    row.index + sub.map_or(0, |place| place + 1)
}

/// Flags that COMMAND INFO tells, by Redis' names; the server's own are not told.
pub fn flag_names(flags: Flags) -> Vec<String> {
    let told = flags.iter_names().filter(|(_, flag)| flag.bits() < Flags::WHILE_SUBSCRIBED.bits());
    told.map(|(name, _)| name.to_ascii_lowercase()).collect()
}

/// `@read`, `@fast` …
pub fn category_names(categories: Categories) -> Vec<String> {
    categories.iter_names().map(|(name, _)| format!("@{}", name.to_ascii_lowercase())).collect()
}

/// The ACL category of a name without its `@`, in any case.
pub fn category(name: &[u8]) -> Option<Categories> {
    let mut all = Categories::all().iter_names();
    all.find(|(category, _)| name.eq_ignore_ascii_case(category.as_bytes())).map(|(_, category)| category)
}

impl Row {
    /// The ACL categories of the row's command or of one of its subcommands: those of the family, those that the flags
    /// imply, and its own.
    pub fn categories_of(self, command: &Command) -> Categories {
        let implied = [
            (Flags::WRITE, Categories::WRITE),
            (Flags::READONLY, Categories::READ),
            (Flags::ADMIN, Categories::ADMIN.union(Categories::DANGEROUS)),
            (Flags::BLOCKING, Categories::BLOCKING),
            (Flags::PUBSUB, Categories::PUBSUB),
        ];
        let implied =
            implied.iter().filter(|(flag, _)| command.flags.contains(*flag)).map(|(_, category)| *category);
        let fast = command.flags.contains(Flags::FAST);
        let speed = if fast { Categories::FAST } else { Categories::SLOW };
        implied.fold(self.family.categories | command.extra_categories | speed, Categories::union)
    }

    /// `client|id`, `client|list` …
    pub fn subcommand_names(self) -> impl Iterator<Item = String> {
        let Command { name, subcommands, .. } = self.command;
        subcommands.iter().map(move |sub| format!("{name}|{}", sub.name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_is_found_in_any_case_and_nothing_else_is() {
        for row in commands() {
            let upper = row.command.name.to_ascii_uppercase();
            let found = lookup(upper.as_bytes()).map(|found| found.index);
            assert_eq!(found, Some(row.index), "{upper}");
            let longer = format!("{upper}x");
            assert!(lookup(longer.as_bytes()).is_none_or(|found| found.command.name.len() == longer.len()));
        }
        for name in [&b""[..], b"\0", b"g\0t", b"get\r", &[b'x'; 33], &[0xff; 8]] {
            assert!(lookup(name).is_none());
        }
    }

    #[test]
    fn names_are_lower_case_unique_and_short_enough() {
        let names: Vec<&str> = commands().map(|row| row.command.name).collect();
        assert!(names.is_sorted_by(|a, b| a < b));
        assert!(names.iter().all(|name| name.len() <= MAX_NAME_LEN && *name == name.to_ascii_lowercase()));
    }

    #[test]
    fn indexes_are_the_places_of_names() {
        let names = statistic_names();
        for row in commands() {
            assert_eq!(names[row.index], row.command.name);
            let subcommands = &names[row.index + 1..][..row.command.subcommands.len()];
            assert!(subcommands.iter().zip(row.subcommand_names()).all(|(name, sub)| *name == sub));
        }
    }

    #[test]
    fn searches_are_short() {
        let longest = commands().map(|row| {
            let (mut place, mut steps) = (first_place(row.command.name.as_bytes()), 1);
            while !TABLE.rows[usize::from(TABLE.places[place] - 1)].command.name.eq(row.command.name) {
                (place, steps) = ((place + 1) % PLACES, steps + 1);
            }
            steps
        });
        assert!(longest.max().is_some_and(|steps| steps <= 6));
    }
}
