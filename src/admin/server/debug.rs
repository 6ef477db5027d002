//! DEBUG: digests of the data, by which nodes and runs are compared.
//!
//! A digest is ours, not Redis': 128 bits, written as Redis writes its 160.
//!
//! Source: `DEBUG HELP` of Redis 7.2.

use super::{ANYTIME, OPERATORS};
use crate::admin::LocalContext;
use crate::admin::table::ProcessCommand;
use crate::command::inspect::hex;
use crate::command::spec::Flags;
use crate::command::{Args, CommandResult};
use crate::keyspace::digest::of_keyspace;
use crate::protocol::reply::Reply;

pub(super) const DEBUG: ProcessCommand = ProcessCommand::container(
    "debug",
    &[
        ProcessCommand::local("digest", 2, digest)
            .flags(&[OPERATORS.difference(Flags::LOADING), Flags::ORDERED])
            .docs(
                "1.0.0",
                "O(N) where N is the size of all data",
                "Returns a digest of this node's data, equal on two nodes whose data is equal.",
            ),
        ProcessCommand::local("help", 2, help).flags(&[ANYTIME]).docs(
            "1.0.0",
            "O(1)",
            "Returns helpful text about the different subcommands.",
        ),
    ],
)
.docs("1.0.0", "Depends on subcommand.", "A container for debugging commands.");

const HELP: [&str; 9] = [
    "DEBUG <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
    "DIGEST",
    "    Output a hex signature representing the current DB content of this node.",
    "DIGEST-VALUE <key> [<key> ...]",
    "    Output a hex signature of the values of all the specified keys.",
    "OBJECT <key>",
    "    Show low level info about <key> and associated value.",
    "HELP",
    "    Print this help.",
];

/// Locks everything for reading while it runs.
fn digest(ctx: &mut LocalContext<'_>, _: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    reply.simple(hex(of_keyspace(&ctx.shared.shard.keyspace)));
    Ok(())
}

fn help(_: &mut LocalContext<'_>, _: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    reply.lines(&HELP);
    Ok(())
}
