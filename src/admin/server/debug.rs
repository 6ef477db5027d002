//! DEBUG: digests of the data, by which nodes and runs are compared.
//!
//! A digest is ours, not Redis': 128 bits, written as Redis writes its 160.
//!
//! Source: `DEBUG HELP` of Redis 7.2.

use super::{ANYTIME, OPERATORS};
use crate::command::cost::reads;
use crate::command::spec::{Flags, KeyFlags, KeySpec, keys};
use crate::command::{Args, Command, CommandError, CommandResult, LocalContext, ReadContext};
use crate::keyspace::digest::{Digest, of_keyspace, of_value};
use crate::protocol::reply::Reply;

const KEYS: &[KeySpec] = &[keys(2, -1, 1, KeyFlags::RO)];

pub(super) const DEBUG: Command = Command::container(
    "debug",
    &[
        Command::local("digest", 2, digest)
            .flags(&[OPERATORS.difference(Flags::LOADING), Flags::ORDERED])
            .docs(
                "1.0.0",
                "O(N) where N is the size of all data",
                "Returns a digest of this node's data, equal on two nodes whose data is equal.",
            ),
        Command::read("digest-value", -2, digest_value)
            .cost(reads::DIGESTS)
            .flags(&[OPERATORS])
            .keys(KEYS)
            .docs(
                "1.0.0",
                "O(N) where N is the size of the values",
                "Returns a digest of the value of each key.",
            ),
        Command::local("help", 2, help).flags(&[ANYTIME]).docs(
            "1.0.0",
            "O(1)",
            "Returns helpful text about the different subcommands.",
        ),
        Command::read("object", 3, object).flags(&[OPERATORS]).keys(KEYS).docs(
            "1.0.0",
            "O(1)",
            "Returns how the value of a key lies in memory.",
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

fn hex(digest: Digest) -> String {
    format!("{digest:040x}")
}

/// Locks everything for reading while it runs.
fn digest(ctx: &mut LocalContext<'_>, _: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    reply.simple(&hex(of_keyspace(&ctx.shared.shard.keyspace)));
    Ok(())
}

/// A missing key's digest is zero.
fn digest_value(ctx: &ReadContext<'_>, args: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    reply.array(args.len() - 2);
    for key in &args[2..] {
        reply.simple(&hex(ctx.entry(key).map_or(0, |entry| of_value(entry.value()))));
    }
    Ok(())
}

fn object(ctx: &ReadContext<'_>, args: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    let entry = ctx.entry(args[2]).ok_or(CommandError::NoSuchKey)?;
    reply.simple(&format!("Value refcount:1 encoding:{}", crate::command::keys::encoding_name(entry)));
    Ok(())
}

fn help(_: &mut LocalContext<'_>, _: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    reply.lines(&HELP);
    Ok(())
}
