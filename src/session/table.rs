//! The table of all commands: the data commands' families and these.

use std::sync::LazyLock;

use crate::admin::table::{ProcessFamily, Table, TableRow};
use crate::admin::{acl, connection, functions, migrate, perdura, pubsub, scripts, server, transaction};
pub use crate::command::families::NO_COMMAND;

static PROCESS_FAMILIES: &[&ProcessFamily] = &[
    &acl::FAMILY,
    &connection::FAMILY,
    &functions::FAMILY,
    &migrate::FAMILY,
    &perdura::FAMILY,
    &pubsub::FAMILY,
    &scripts::FAMILY,
    &server::CLUSTER_FAMILY,
    &server::FAMILY,
    &server::WAIT_FAMILY,
    &transaction::FAMILY,
];

static TABLE: LazyLock<Table> = LazyLock::new(|| Table::build(PROCESS_FAMILIES));

/// Every command by its name.
#[inline]
pub fn table() -> &'static Table {
    &TABLE
}

/// Lets scripts of limited users be judged: whatever applies entries calls this at its start.
pub fn know_commands() {
    crate::command::script::know_commands(table());
}

/// The row of a command, whatever the case of its name.
#[inline]
pub fn lookup(name: &[u8]) -> Option<&'static TableRow> {
    TABLE.lookup(name)
}

/// The names of all commands and subcommands, in the order of their indexes.
pub fn statistic_names() -> Vec<String> {
    TABLE.statistic_names().to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::families;

    #[test]
    fn every_command_is_found_in_any_case_and_nothing_else_is() {
        for row in table().rows() {
            let upper = row.command.name.to_ascii_uppercase();
            assert_eq!(lookup(upper.as_bytes()).map(|found| found.index), Some(row.index), "{upper}");
        }
        for name in [&b""[..], b"\0", b"g\0t", b"get\r", &[b'x'; 33], &[0xff; 8]] {
            assert!(lookup(name).is_none());
        }
    }

    #[test]
    fn scripts_know_every_process_command() {
        let data = |name: &str| families::lookup(name.as_bytes()).is_some();
        for row in table().rows().iter().filter(|row| !data(row.command.name)) {
            let name = row.command.name;
            assert!(crate::command::script::is_process_command(name.as_bytes()), "{name}");
        }
    }

    #[test]
    fn indexes_are_the_places_of_names_and_data_commands_keep_theirs() {
        let names = table().statistic_names();
        let all = table().rows().iter().flat_map(|row| std::iter::once(row).chain(&row.subcommands));
        let mut indexes: Vec<usize> = all.map(|row| row.index).collect();
        indexes.sort_unstable();
        assert!(indexes.iter().copied().eq(0..names.len()), "each index is one row's");
        assert_eq!(&names[..families::statistic_names().len()], families::statistic_names());
        assert!(names.iter().all(|name| *name == name.to_ascii_lowercase()));
    }

    #[test]
    fn a_container_has_its_subcommands_of_both_kinds_by_name() {
        let memory = lookup(b"memory").expect("MEMORY is a command");
        let names: Vec<&str> = memory.subcommands.iter().map(|sub| sub.command.name).collect();
        assert_eq!(names, ["doctor", "help", "malloc-stats", "purge", "stats", "usage"]);
        assert!(!memory.command.docs.summary.is_empty());
        let usage: &[&[u8]] = &[b"MEMORY", b"USAGE", b"k"];
        assert_eq!(table().statistic_index(usage), families::statistic_index(usage));
    }
}
