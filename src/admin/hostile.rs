//! Hostile arguments against process commands, as `command::hostile` has them for data commands.

use perdura_testkit::hostile::{Lines, Row};

use super::testing::TestNode;
use crate::command::hostile::{Told, setting, whole_reply};
use crate::session::table::table;

/// The rows and subcommands of commands that concern the connection or the node alone.
fn rows() -> Vec<Row> {
    let mut rows = Vec::new();
    for row in table().rows() {
        let name = row.command.name;
        if row.is_local() {
            rows.push(Row { words: vec![name], arity: row.command.arity });
        }
        let subs = row.subcommands.iter().filter(|sub| sub.is_local());
        rows.extend(subs.map(|sub| Row { words: vec![name, sub.command.name], arity: sub.command.arity }));
    }
    rows
}

/// Whether a line names such a command, with a number of arguments that fits.
fn is_local(args: &[&[u8]]) -> bool {
    table().find(args).is_some_and(|row| row.is_local() && row.command.arity_fits(args.len()))
}

#[test]
fn no_words_panic_in_local_commands() {
    let seed = setting("HOSTILE_SEED").unwrap_or(21);
    let mut lines = Lines::new(seed, rows());
    let mut node = TestNode::new();
    for number in 0..setting("HOSTILE_LINES").unwrap_or(6_000) {
        if number % 100 == 0 {
            node = TestNode::new();
        }
        let line = lines.next_line();
        let args: Vec<&[u8]> = line.iter().map(Vec::as_slice).collect();
        let told = Told(seed, &args);
        if is_local(&args) {
            let reply = node.run_args(&args);
            let mut rest = &reply[..];
            while !rest.is_empty() {
                let whole = whole_reply(rest).unwrap_or_else(|| panic!("no reply: {}", rest.escape_ascii()));
                rest = &rest[whole..];
            }
        }
        drop(told);
    }
}
