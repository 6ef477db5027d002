//! The families of data commands, and the lookup of one by its name: all that apply and a replay know.
//!
//! - Every command and subcommand has an index, by which statistics count: commands in the order of their names, each right before
//!   its subcommands. The table of all commands (`session::table`) keeps these indexes and continues them.
//! - A container with no docs (MEMORY, DEBUG) has its other subcommands in `admin/`, where its row is told.

use std::sync::LazyLock;

use super::names::Names;
use super::{
    Command, Family, bitmap, database, geo, hash, hyperloglog, inspect, keys, list, logged, script, set,
    stream, string, system, zset,
};

static FAMILIES: &[&Family] = &[
    &bitmap::FAMILY,
    &database::FAMILY,
    &geo::FAMILY,
    &hash::FAMILY,
    &hyperloglog::FAMILY,
    &inspect::FAMILY,
    &keys::FAMILY,
    &keys::sort::FAMILY,
    &list::FAMILY,
    &logged::FAMILY,
    &script::FAMILY,
    &script::FUNCTIONS,
    &set::FAMILY,
    &stream::FAMILY,
    &string::FAMILY,
    &system::FAMILY,
    &zset::FAMILY,
];

/// A data command's row with its family.
#[derive(Clone, Copy)]
pub struct Row {
    pub command: &'static Command,
    pub family: &'static Family,
    /// The command's index; its subcommands have the next ones, in their order.
    pub index: usize,
}

impl Row {
    /// The index by which statistics count it.
    pub fn counted_index(self) -> usize {
        let sent = self.command.counts_as.and_then(|name| lookup(name.as_bytes()));
        sent.map_or(self.index, |sent| sent.index)
    }

    /// `object|encoding`, `object|freq` …
    pub fn subcommand_names(self) -> impl Iterator<Item = String> {
        let Command { name, subcommands, .. } = self.command;
        subcommands.iter().map(move |sub| format!("{name}|{}", sub.name))
    }
}

struct DataTable {
    /// In the order of names.
    rows: Vec<Row>,
    names: Names,
}

static TABLE: LazyLock<DataTable> = LazyLock::new(DataTable::build);

impl DataTable {
    fn build() -> DataTable {
        let mut rows: Vec<Row> = FAMILIES
            .iter()
            .flat_map(|family| family.commands.iter().map(|command| Row { command, family, index: 0 }))
            .collect();
        rows.sort_unstable_by_key(|row| row.command.name);
        let mut next_index = 0;
        for row in &mut rows {
            row.index = next_index;
            next_index += 1 + row.command.subcommands.len();
        }
        let names: Vec<&str> = rows.iter().map(|row| row.command.name).collect();
        let names = Names::new(&names);
        DataTable { rows, names }
    }
}

/// Every row, by name.
pub fn commands() -> impl ExactSizeIterator<Item = Row> {
    TABLE.rows.iter().copied()
}

/// The row of a data command, whatever the case of its name.
pub fn lookup(name: &[u8]) -> Option<Row> {
    let table = &*TABLE;
    table.names.find(name, |number| table.rows[number].command.name).map(|number| table.rows[number])
}

/// The row of the data command that a request names, which is that of its subcommand where there is one.
pub fn lookup_request(args: &[&[u8]]) -> Option<Row> {
    let row = lookup(args.first()?)?;
    if row.command.subcommands.is_empty() {
        return Some(row);
    }
    let command = lookup_subcommand(row.command, args.get(1)?)?;
    Some(Row { command, index: statistic_index(args), ..row })
}

/// The subcommand of a container, whatever its case.
pub fn lookup_subcommand(container: &Command, name: &[u8]) -> Option<&'static Command> {
    container.subcommands.iter().find(|sub| sub.name.as_bytes().eq_ignore_ascii_case(name))
}

/// The names of data commands and their subcommands, in the order of their indexes.
pub fn statistic_names() -> Vec<String> {
    let own = |row: Row| std::iter::once(row.command.name.to_owned()).chain(row.subcommand_names());
    commands().flat_map(own).collect()
}

/// The index of what is no data command: statistics pass over it.
pub const NO_COMMAND: usize = usize::MAX;

/// The index of the data command that a request names.
pub fn statistic_index(args: &[&[u8]]) -> usize {
    let Some(row) = args.first().and_then(|name| lookup(name)) else { return NO_COMMAND };
    let named =
        |sub: &Command| args.get(1).is_some_and(|name| sub.name.as_bytes().eq_ignore_ascii_case(name));
    let sub = row.command.subcommands.iter().position(named);
    row.counted_index() + sub.map_or(0, |place| place + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_is_found_in_any_case() {
        for row in commands() {
            let upper = row.command.name.to_ascii_uppercase();
            let found = lookup(upper.as_bytes()).map(|found| found.index);
            assert_eq!(found, Some(row.index), "{upper}");
            let longer = format!("{upper}x");
            assert!(lookup(longer.as_bytes()).is_none_or(|found| found.command.name.len() == longer.len()));
        }
    }

    #[test]
    fn names_are_lower_case_and_unique() {
        let names: Vec<&str> = commands().map(|row| row.command.name).collect();
        assert!(names.is_sorted_by(|a, b| a < b));
        assert!(names.iter().all(|name| *name == name.to_ascii_lowercase()));
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
        let steps = |(number, row): (usize, Row)| TABLE.names.steps_to(number, row.command.name);
        assert!(commands().enumerate().map(steps).max().is_some_and(|steps| steps <= 6));
    }
}
