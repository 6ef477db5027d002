//! WAIT and WAITAOF: how many followers have what this connection wrote.
//!
//! - An OK means that a majority has the write on its disks, so that many followers are counted without looking.
//! - Further ones are counted by the index of the log at which the connection was answered last: who has that entry has
//!   everything that the connection wrote.
//! - The waiting is the session's; the handlers tell what is so at the moment. Inside a transaction that is all they do.
//! - A connection that said READONLY takes its node for the replica that it is, and is refused as by Redis; for any other
//!   on a replica the primary answers.

use crate::admin::LocalContext;
use crate::admin::client::ClientInfo;
use crate::admin::shared::Shared;
use crate::admin::table::{ProcessCommand, ProcessFamily, SessionCommand};
use crate::command::args::{integer, timeout_ms};
use crate::command::spec::{Categories, Flags};
use crate::command::{Args, CommandError, CommandResult};
use crate::protocol::reply::Reply;

/// Answered when everything before them on their connection is.
const WAITING: Flags = Flags::ORDERED.union(Flags::ON_PRIMARY).union(Flags::BLOCKING);

/// Redis counts them among the generic commands.
pub const FAMILY: ProcessFamily = ProcessFamily {
    group: "generic",
    categories: Categories::CONNECTION,
    commands: &[
        ProcessCommand::session("wait", 3, SessionCommand::WaitForAcks, wait).flags(&[WAITING]).docs(
            "3.0.0",
            "O(1)",
            "Waits until so many replicas have the connection's writes, and returns how many have.",
        ),
        ProcessCommand::session("waitaof", 4, SessionCommand::WaitForAcks, waitaof).flags(&[WAITING]).docs(
            "7.2.0",
            "O(1)",
            "Waits until so many replicas have the connection's writes on disk, as the primary always has, and returns \
             how many have.",
        ),
    ],
};

/// What WAIT or WAITAOF asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AcksWanted {
    pub followers: i64,
    /// 0 waits for ever.
    pub timeout_ms: u64,
}

impl AcksWanted {
    /// Reads the arguments of WAIT or WAITAOF.
    pub fn read(args: &Args<'_>) -> Result<AcksWanted, CommandError> {
        match args {
            [_, followers, timeout] => {
                Ok(AcksWanted { followers: integer(followers)?, timeout_ms: timeout_ms(timeout)? })
            }
            [_, local, followers, timeout] => {
                if !(0..=1).contains(&integer(local)?) {
                    return Err(CommandError::other("ERR value is out of range, value must between 0 and 1"));
                }
                let followers = integer(followers)?;
                if followers < 0 {
                    return Err(CommandError::NotPositive);
                }
                Ok(AcksWanted { followers, timeout_ms: timeout_ms(timeout)? })
            }
            _ => Err(CommandError::Syntax),
        }
    }

    /// Whether as many followers as wanted are known to have what the connection wrote.
    pub fn are_there(&self, shared: &Shared, info: &ClientInfo) -> bool {
        followers_with(shared, info.answered_index()) as i64 >= self.followers
    }
}

/// How many followers are sure to have the entry of this index, which is committed, on disk.
fn followers_with(shared: &Shared, index: u64) -> usize {
    let majority = shared.config.started_with().members.len() / 2;
    let status = shared.shard.status.lock();
    majority.max(status.peers.iter().filter(|peer| peer.active && peer.matched >= index).count())
}

fn check_primary(shared: &Shared, command: &str) -> CommandResult {
    if shared.shard.is_primary() {
        return Ok(());
    }
    Err(CommandError::other(format!("ERR {command} cannot be used with replica instances.")))
}

/// <https://redis.io/docs/latest/commands/wait/>
fn wait(ctx: &mut LocalContext<'_>, args: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    AcksWanted::read(args)?;
    check_primary(ctx.shared, "WAIT")?;
    reply.integer(followers_with(ctx.shared, ctx.client.info.answered_index()) as i64);
    Ok(())
}

/// This node's disk has every write that was answered. <https://redis.io/docs/latest/commands/waitaof/>
fn waitaof(ctx: &mut LocalContext<'_>, args: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    AcksWanted::read(args)?;
    check_primary(ctx.shared, "WAITAOF")?;
    reply.array(2);
    reply.integer(1);
    reply.integer(followers_with(ctx.shared, ctx.client.info.answered_index()) as i64);
    Ok(())
}
