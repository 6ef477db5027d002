//! COMMANDLOG: the commands that took long, came in long requests or had long replies, on this node. SLOWLOG tells of the first.
//!
//! Source: <https://valkey.io/commands/commandlog-get/>.

use super::ANYTIME;
use super::slowlog::{count_of, write_entries};
use crate::admin::LocalContext;
use crate::admin::shared::Shared;
use crate::admin::slowlog::CommandLog;
use crate::admin::table::ProcessCommand;
use crate::command::args::is;
use crate::command::spec::Flags;
use crate::command::{Args, CommandError, CommandResult};
use crate::protocol::reply::Reply;

const LOG: Flags = ANYTIME.union(Flags::ADMIN);

pub(super) const COMMANDLOG: ProcessCommand = ProcessCommand::container(
    "commandlog",
    &[
        ProcessCommand::local("get", 4, get).flags(&[LOG]).docs(
            "8.1.0",
            "O(N) where N is the number of entries returned",
            "Returns the specified command log's entries.",
        ),
        ProcessCommand::local("help", 2, help).flags(&[ANYTIME]).docs(
            "8.1.0",
            "O(1)",
            "Returns helpful text about the different subcommands.",
        ),
        ProcessCommand::local("len", 3, len).flags(&[LOG]).docs(
            "8.1.0",
            "O(1)",
            "Returns the number of entries in the specified type of command log.",
        ),
        ProcessCommand::local("reset", 3, reset).flags(&[LOG]).docs(
            "8.1.0",
            "O(N) where N is the number of entries in the commandlog",
            "Clears all entries from the specified type of command log.",
        ),
    ],
)
.docs("8.1.0", "Depends on subcommand.", "A container for command log commands.");

const HELP: [&str; 16] = [
    "COMMANDLOG <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
    "GET <count> <type>",
    "    Return top <count> entries of the specified <type> from the commandlog (-1 mean all).",
    "    Entries are made of:",
    "    id, timestamp,",
    "        time in microseconds for type of slow,",
    "        or size in bytes for type of large-request,",
    "        or size in bytes for type of large-reply",
    "    arguments array, client IP and port,",
    "    client name",
    "LEN <type>",
    "    Return the length of the specified type of commandlog.",
    "RESET <type>",
    "    Reset the specified type of commandlog.",
    "HELP",
    "    Print this help.",
];

fn log_of<'a>(shared: &'a Shared, word: &[u8]) -> Result<&'a CommandLog, CommandError> {
    let types = [
        ("slow", &shared.slowlog),
        ("large-request", &shared.large_requests),
        ("large-reply", &shared.large_replies),
    ];
    let found = types.into_iter().find(|(name, _)| is(word, name));
    found.map(|(_, log)| log).ok_or(CommandError::other(
        "ERR type should be one of the following: slow, large-request, large-reply",
    ))
}

fn get(ctx: &mut LocalContext<'_>, args: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    let count = count_of(args[2])?;
    write_entries(&log_of(ctx.shared, args[3])?.newest(count), reply);
    Ok(())
}

fn len(ctx: &mut LocalContext<'_>, args: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    reply.integer(log_of(ctx.shared, args[2])?.len() as i64);
    Ok(())
}

fn reset(ctx: &mut LocalContext<'_>, args: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    log_of(ctx.shared, args[2])?.reset();
    reply.ok();
    Ok(())
}

fn help(_: &mut LocalContext<'_>, _: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    reply.lines(&HELP);
    Ok(())
}
