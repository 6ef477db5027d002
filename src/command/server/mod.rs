//! Commands about the server: what it is, how it is doing, how it is set.
//!
//! - They answer for the node they are sent to, not for the group.
//! - What this server does not have is left out, or refused in clear words; no number here is made up.
//!
//! Source: <https://redis.io/docs/latest/commands/?group=server>.

mod config;
mod debug;
mod info;
mod replication;
mod table_info;

use super::spec::{Categories, Flags};
use super::{Args, Command, CommandResult, Family, LocalContext};
use crate::protocol::reply::Reply;

/// The version of Redis whose commands, replies and errors these are: clients choose by it what they send.
pub const REDIS_VERSION: &str = "7.2.4";

const ANYTIME: Flags = Flags::LOADING.union(Flags::STALE);
/// Flags of most commands for operators.
const OPERATORS: Flags = ANYTIME.union(Flags::ADMIN).union(Flags::NOSCRIPT);

pub const FAMILY: Family = Family {
    group: "server",
    categories: Categories::empty(),
    commands: &[
        table_info::COMMAND,
        config::CONFIG,
        debug::DEBUG,
        info::INFO,
        replication::ROLE,
        Command::local("time", 1, time).flags(&[ANYTIME, Flags::FAST]).docs(
            "2.6.0",
            "O(1)",
            "Returns the server time.",
        ),
    ],
};

/// Seconds, and microseconds of the second. <https://redis.io/docs/latest/commands/time/>
fn time(ctx: &mut LocalContext<'_>, _: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    let now_us = ctx.shared.clock.unix_us();
    reply.array(2);
    reply.bulk_integer(now_us.div_euclid(1_000_000));
    reply.bulk_integer(now_us.rem_euclid(1_000_000));
    Ok(())
}
