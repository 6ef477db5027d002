//! What a client is answered that sends a command that is not in the table.

use crate::command::{Args, Command};

/// Redis' text: up to 128 bytes of the name, and arguments until they have taken 128 bytes, the last of them cut.
pub(super) fn unknown_command(args: &Args<'_>) -> String {
    const SHOWN_BYTES: usize = 128;
    let shown = |arg: &[u8], most: usize| String::from_utf8_lossy(&arg[..arg.len().min(most)]).into_owned();
    let mut arguments = String::new();
    // What is not UTF-8 takes more bytes than it had.
    let mut taken = 0;
    for arg in &args[1..] {
        let Some(room) = SHOWN_BYTES.checked_sub(taken).filter(|room| *room > 0) else { break };
        arguments.push_str(&format!("'{}' ", shown(arg, room)));
        taken += arg.len().min(room) + "'' ".len();
    }
    format!("ERR unknown command '{}', with args beginning with: {arguments}", shown(args[0], SHOWN_BYTES))
}

pub(super) fn unknown_subcommand(container: &Command, name: &[u8]) -> String {
    let name = String::from_utf8_lossy(&name[..name.len().min(128)]);
    format!("ERR unknown subcommand '{name}'. Try {} HELP.", container.name.to_ascii_uppercase())
}
