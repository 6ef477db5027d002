//! Transactions: the rows of MULTI, EXEC, DISCARD, WATCH and UNWATCH.
//!
//! The session itself carries them out; a handler here runs only where there is no transaction to speak of, and says so.
//!
//! Source: <https://redis.io/docs/latest/develop/interact/transactions/>.

use crate::admin::LocalContext;
use crate::admin::table::{ProcessCommand, ProcessFamily, SessionCommand};
use crate::command::spec::{Categories, Flags, KeyFlags, keys};
use crate::command::{Args, CommandError, CommandResult};
use crate::protocol::reply::Reply;

const GATE: Flags = Flags::NOSCRIPT.union(Flags::LOADING).union(Flags::STALE).union(Flags::ALLOW_BUSY);

pub const FAMILY: ProcessFamily = ProcessFamily {
    group: "transactions",
    categories: Categories::TRANSACTION,
    commands: &[
        ProcessCommand::session("discard", 1, SessionCommand::Discard, discard)
            .flags(&[GATE, Flags::FAST])
            .docs("2.0.0", "O(N), when N is the number of queued commands", "Discards a transaction."),
        ProcessCommand::session("exec", 1, SessionCommand::Exec, exec)
            .flags(&[Flags::NOSCRIPT, Flags::LOADING, Flags::STALE, Flags::SKIP_SLOWLOG])
            .docs(
                "1.2.0",
                "Depends on commands in the transaction",
                "Executes all commands in a transaction.",
            ),
        ProcessCommand::session("multi", 1, SessionCommand::Multi, multi)
            .flags(&[GATE, Flags::FAST, Flags::NO_MULTI])
            .docs("1.2.0", "O(1)", "Starts a transaction."),
        ProcessCommand::session("unwatch", 1, SessionCommand::Unwatch, unwatch)
            .flags(&[GATE, Flags::FAST])
            .docs("2.2.0", "O(1)", "Forgets about watched keys of a transaction."),
        ProcessCommand::session("watch", -2, SessionCommand::Watch, watch)
            .flags(&[GATE, Flags::FAST, Flags::NO_MULTI])
            .keys(&[keys(1, -1, 1, KeyFlags::RO)])
            .docs(
                "2.2.0",
                "O(1) for every key.",
                "Monitors changes to keys to determine the execution of a transaction.",
            ),
    ],
};

fn discard(_: &mut LocalContext<'_>, _: &Args<'_>, _: &mut Reply<'_>) -> CommandResult {
    Err(CommandError::other("ERR DISCARD without MULTI"))
}

fn exec(_: &mut LocalContext<'_>, _: &Args<'_>, _: &mut Reply<'_>) -> CommandResult {
    Err(CommandError::other("ERR EXEC without MULTI"))
}

fn multi(_: &mut LocalContext<'_>, _: &Args<'_>, _: &mut Reply<'_>) -> CommandResult {
    Err(CommandError::other("ERR MULTI calls can not be nested"))
}

/// Inside a transaction it changes nothing: EXEC ends the watches in any case.
fn unwatch(_: &mut LocalContext<'_>, _: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    reply.ok();
    Ok(())
}

fn watch(_: &mut LocalContext<'_>, _: &Args<'_>, _: &mut Reply<'_>) -> CommandResult {
    Err(CommandError::other("ERR WATCH inside MULTI is not allowed"))
}
