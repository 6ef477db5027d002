//! SLOWLOG: the commands that took long on this node.
//!
//! Source: <https://redis.io/docs/latest/commands/slowlog-get/>.

use super::ANYTIME;
use crate::admin::LocalContext;
use crate::admin::slowlog::NotedCommand;
use crate::admin::table::ProcessCommand;
use crate::command::spec::Flags;
use crate::command::{Args, CommandError, CommandResult};
use crate::protocol::number::parse_integer;
use crate::protocol::reply::Reply;

const LOG: Flags = ANYTIME.union(Flags::ADMIN);

pub(super) const SLOWLOG: ProcessCommand = ProcessCommand::container(
    "slowlog",
    &[
        ProcessCommand::local("get", -2, get).flags(&[LOG]).docs(
            "2.2.12",
            "O(N) where N is the number of entries returned",
            "Returns the slow log's entries.",
        ),
        ProcessCommand::local("help", 2, help).flags(&[ANYTIME]).docs(
            "6.2.0",
            "O(1)",
            "Returns helpful text about the different subcommands.",
        ),
        ProcessCommand::local("len", 2, len).flags(&[LOG]).docs(
            "2.2.12",
            "O(1)",
            "Returns the number of entries in the slow log.",
        ),
        ProcessCommand::local("reset", 2, reset).flags(&[LOG]).docs(
            "2.2.12",
            "O(N) where N is the number of entries in the slowlog",
            "Clears all entries from the slow log.",
        ),
    ],
)
.docs("2.2.12", "Depends on subcommand.", "A container for slow log commands.");

const HELP: [&str; 12] = [
    "SLOWLOG <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
    "GET [<count>]",
    "    Return top <count> entries from the slowlog (default: 10, -1 mean all).",
    "    Entries are made of:",
    "    id, timestamp, time in microseconds, arguments array, client IP and port,",
    "    client name",
    "LEN",
    "    Return the length of the slowlog.",
    "RESET",
    "    Reset the slowlog.",
    "HELP",
    "    Print this help.",
];

const DEFAULT_COUNT: usize = 10;

fn get(ctx: &mut LocalContext<'_>, args: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    let count = match args[2..] {
        [] => DEFAULT_COUNT,
        [count] => count_of(count)?,
        _ => return Err(CommandError::Arity("slowlog|get".into())),
    };
    write_entries(&ctx.shared.slowlog.newest(count), reply);
    Ok(())
}

/// How many entries are wanted; -1 is all.
pub(super) fn count_of(count: &[u8]) -> Result<usize, CommandError> {
    match parse_integer(count).ok_or(CommandError::NotInteger)? {
        -1 => Ok(usize::MAX),
        count => usize::try_from(count)
            .map_err(|_| CommandError::other("ERR count should be greater than or equal to -1")),
    }
}

/// Answers entries of a log.
pub(super) fn write_entries(entries: &[NotedCommand], reply: &mut Reply<'_>) {
    reply.array(entries.len());
    for entry in entries {
        reply.array(6);
        reply.integer(entry.id as i64);
        reply.integer(entry.at_s);
        reply.integer(i64::try_from(entry.amount).unwrap_or(i64::MAX));
        reply.array(entry.args.len());
        entry.args.iter().for_each(|arg| reply.bulk(arg));
        reply.bulk(entry.client_addr.as_bytes());
        reply.bulk(&entry.client_name);
    }
}

fn len(ctx: &mut LocalContext<'_>, _: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    reply.integer(ctx.shared.slowlog.len() as i64);
    Ok(())
}

fn reset(ctx: &mut LocalContext<'_>, _: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    ctx.shared.slowlog.reset();
    reply.ok();
    Ok(())
}

fn help(_: &mut LocalContext<'_>, _: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    reply.lines(&HELP);
    Ok(())
}
