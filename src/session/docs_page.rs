//! docs/commands.md is written from the command table, and a test fails where it is stale.
//!
//! `UPDATE_DOCS=1 cargo test --lib docs_page` writes it anew.

use std::fmt::Write;

use super::table::table;
use crate::admin::table::{TableRow, Way};
use crate::command::spec::Flags;

const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/commands.md");

const HEAD: &str = "\
# Commands

Written from the command table by a test (`UPDATE_DOCS=1 cargo test --lib docs_page`); do not edit.

A **write** goes through the log before it is answered. A **read** is answered from memory, by the primary unless the
connection said READONLY. A **write, or read** is a read, answered by the primary, where its arguments change nothing
(SORT without STORE). A **local** command concerns the connection or the node it is sent to; one marked *primary* is
answered by the primary wherever it is sent. Arity counts the command's name; `-2` means two or more. What is not here is not
built: it answers `ERR unknown command`. A score of zero has no sign here: `ZINCRBY z -0 m` answers `0` where Redis answers `-0`.
";

#[test]
fn the_page_of_commands_is_up_to_date() {
    let page = page();
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(PAGE, &page).expect("the page can be written");
    }
    let written = std::fs::read_to_string(PAGE).expect("the page exists");
    assert!(written == page, "docs/commands.md is stale: UPDATE_DOCS=1 cargo test --lib docs_page");
}

fn page() -> String {
    let rows: Vec<&TableRow> = table().rows().iter().filter(|row| row.is_told()).collect();
    let mut groups: Vec<&str> = rows.iter().map(|row| row.group).collect();
    groups.sort_unstable();
    groups.dedup();
    let mut page = HEAD.to_owned();
    for group in groups {
        let _ = write!(
            page,
            "\n## {group}\n\n| command | arity | way | since | what it does | cost |\n|---|---|---|---|---|---|\n"
        );
        for row in rows.iter().filter(|row| row.group == group) {
            write_line(&mut page, row);
            row.subcommands.iter().for_each(|sub| write_line(&mut page, sub));
        }
    }
    page
}

fn write_line(page: &mut String, row: &TableRow) {
    let cell = |text: &str| text.replace('|', "\\|");
    let (arity, docs) = (row.command.arity, &row.command.docs);
    let (summary, cost) = (cell(docs.summary), cell(docs.complexity));
    let name = row.full_name.replace('|', " ").to_ascii_uppercase();
    let _ = writeln!(page, "| {name} | {arity} | {} | {} | {summary} | {cost} |", way(row), docs.since);
}

fn way(row: &TableRow) -> &'static str {
    let command = row.command;
    match row.way {
        Way::Data if !command.is_write() => "read",
        Way::Data if command.blocking.is_some() => "write, blocking",
        Way::Data if command.may_only_read() => "write, or read",
        Way::Data => "write",
        Way::Local(_) | Way::Session(..) if command.flags.contains(Flags::ON_PRIMARY) => "local, primary",
        Way::Local(_) | Way::Session(..) | Way::Awaited(_) => "local",
        Way::Container => "container",
    }
}
