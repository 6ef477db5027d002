//! All families, and the lookup by name.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use super::{Command, Family, database, hash, keys, list, set, string, zset};

static FAMILIES: &[&Family] = &[
    &database::FAMILY,
    &hash::FAMILY,
    &keys::FAMILY,
    &keys::sort::FAMILY,
    &list::FAMILY,
    &set::FAMILY,
    &string::FAMILY,
    &zset::FAMILY,
];

/// A command's row with the family it stands in.
#[derive(Clone, Copy)]
pub struct Row {
    pub command: &'static Command,
    pub family: &'static Family,
}

/// Longest name that is looked up; longer ones are unknown.
const MAX_NAME_LEN: usize = 32;

static BY_NAME: LazyLock<BTreeMap<&'static [u8], Row>> = LazyLock::new(|| {
    let rows =
        FAMILIES.iter().flat_map(|family| family.commands.iter().map(|command| Row { command, family }));
    rows.map(|row| (row.command.name.as_bytes(), row)).collect()
});

/// Every row, by name.
pub fn commands() -> impl Iterator<Item = Row> {
    BY_NAME.values().copied()
}

/// The row of a command, whatever the case of its name.
pub fn lookup(name: &[u8]) -> Option<Row> {
    let mut lower = [0; MAX_NAME_LEN];
    let lower = lower.get_mut(..name.len())?;
    lower.copy_from_slice(name);
    lower.make_ascii_lowercase();
    BY_NAME.get(&*lower).copied()
}

/// The subcommand of a container, whatever its case.
pub fn lookup_subcommand(container: &Command, name: &[u8]) -> Option<&'static Command> {
    container.subcommands.iter().find(|sub| sub.name.as_bytes().eq_ignore_ascii_case(name))
}
