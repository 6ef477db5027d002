//! Commands about checkpoints, under the names that Redis gave to its snapshots.
//!
//! Every acknowledged write is on disk, in the log, before it is acknowledged. A checkpoint makes the next start shorter and
//! lets the log be cut; it is written beside the clients, never in their way.

use super::info::last_save_s;
use super::{ANYTIME, OPERATORS};
use crate::admin::LocalContext;
use crate::admin::table::ProcessCommand;
use crate::command::args::is;
use crate::command::spec::{Categories, Flags};
use crate::command::{Args, CommandError, CommandResult};
use crate::protocol::reply::Reply;

pub(super) const BGREWRITEAOF: ProcessCommand = ProcessCommand::local("bgrewriteaof", 1, bgrewriteaof)
    .flags(&[OPERATORS])
    .docs("1.0.0", "O(1)", "Begins a checkpoint, behind which the log can be cut.");
pub(super) const BGSAVE: ProcessCommand = ProcessCommand::local("bgsave", -1, bgsave)
    .flags(&[OPERATORS])
    .docs("1.0.0", "O(1)", "Begins a checkpoint.");
pub(super) const SAVE: ProcessCommand = ProcessCommand::local("save", 1, save)
    .flags(&[OPERATORS, Flags::NO_MULTI])
    .docs("1.0.0", "O(1)", "Refused: nobody is stopped for a checkpoint.");
pub(super) const LASTSAVE: ProcessCommand = ProcessCommand::local("lastsave", 1, lastsave)
    .flags(&[ANYTIME, Flags::FAST])
    .categories(Categories::ADMIN.union(Categories::DANGEROUS))
    .docs(
        "1.0.0",
        "O(1)",
        "Returns the Unix timestamp of the last checkpoint, or of the start where there is none.",
    );

/// <https://redis.io/docs/latest/commands/bgrewriteaof/>
fn bgrewriteaof(ctx: &mut LocalContext<'_>, _: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    begin(ctx)?;
    reply.simple("Background append only file rewriting started");
    Ok(())
}

/// SCHEDULE changes nothing: no other process can be in the way. <https://redis.io/docs/latest/commands/bgsave/>
fn bgsave(ctx: &mut LocalContext<'_>, args: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    match &args[1..] {
        [] => {}
        [word] if is(word, "schedule") => {}
        _ => return Err(CommandError::Syntax),
    }
    begin(ctx)?;
    reply.simple("Background saving started");
    Ok(())
}

fn begin(ctx: &LocalContext<'_>) -> CommandResult {
    match ctx.shared.shard.persistence.ask() {
        true => Ok(()),
        false => Err(CommandError::other("ERR Background save already in progress")),
    }
}

/// <https://redis.io/docs/latest/commands/save/>
fn save(_: &mut LocalContext<'_>, _: &Args<'_>, _: &mut Reply<'_>) -> CommandResult {
    Err(CommandError::other(
        "ERR every acknowledged write is on disk already, and nobody is stopped for a checkpoint: BGSAVE begins one",
    ))
}

/// <https://redis.io/docs/latest/commands/lastsave/>
fn lastsave(ctx: &mut LocalContext<'_>, _: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    reply.integer(last_save_s(ctx.shared));
    Ok(())
}
