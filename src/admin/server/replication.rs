//! What a node is in its group.
//!
//! - Offsets are indexes of the log: an entry each, not a byte.
//! - A node is a `master` while it is the serving primary, in every other state a `slave`.

use super::{ANYTIME, OPERATORS};
use crate::admin::LocalContext;
use crate::admin::table::{ProcessCommand, ProcessFamily};
use crate::command::spec::{Categories, Flags};
use crate::command::{Args, CommandError, CommandResult};
use crate::config::value::HostPort;
use crate::protocol::reply::Reply;
use crate::shard::port::{PeerStatus, Status};

pub(super) const FAILOVER: ProcessCommand = ProcessCommand::local("failover", -1, failover)
    .flags(&[OPERATORS])
    .docs("6.2.0", "O(1)", "Refused: leadership is handed over by PERDURA HANDOVER and by SHUTDOWN.");
pub(super) const REPLICAOF: ProcessCommand = ProcessCommand::local("replicaof", 3, replicaof)
    .flags(&[OPERATORS])
    .docs("5.0.0", "O(1)", "Refused: a node's group is given when it starts.");
pub(super) const SLAVEOF: ProcessCommand = ProcessCommand::local("slaveof", 3, replicaof)
    .flags(&[OPERATORS])
    .docs("1.0.0", "O(1)", "Refused: a node's group is given when it starts.");
pub(super) const ROLE: ProcessCommand = ProcessCommand::local("role", 1, role)
    .flags(&[ANYTIME, Flags::NOSCRIPT, Flags::FAST])
    .categories(Categories::ADMIN.union(Categories::DANGEROUS))
    .docs("2.8.12", "O(1)", "Returns the replication role.");

pub const CLUSTER_FAMILY: ProcessFamily = ProcessFamily {
    group: "cluster",
    categories: Categories::empty(),
    commands: &[ProcessCommand::local("cluster", -2, cluster).flags(&[ANYTIME]).docs(
        "3.0.0",
        "O(1)",
        "Refused: cluster mode is off.",
    )],
};

/// Followers that have answered lately, with their addresses.
pub(super) fn active_followers(status: &Status) -> impl Iterator<Item = (&PeerStatus, HostPort)> {
    status.peers.iter().filter(|peer| peer.active).map(|peer| (peer, address(&peer.client_addr)))
}

/// Where clients reach the primary, if one is known and has said so.
pub(super) fn primary_address(status: &Status) -> Option<HostPort> {
    status.leader_client_addr.as_deref().map(address)
}

/// An address of the group's own; one that is not known yet is empty, with port 0.
fn address(text: &str) -> HostPort {
    text.parse().unwrap_or_else(|_| HostPort::new("", 0))
}

/// <https://redis.io/docs/latest/commands/role/>
fn role(ctx: &mut LocalContext<'_>, _: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    let status = ctx.shared.shard.status.lock().clone();
    if ctx.shared.shard.is_primary() {
        write_primary(&status, reply);
    } else {
        write_follower(&status, reply);
    }
    Ok(())
}

fn write_primary(status: &Status, reply: &mut Reply<'_>) {
    reply.array(3);
    reply.bulk(b"master");
    reply.integer(status.committed as i64);
    reply.array(active_followers(status).count());
    for (peer, addr) in active_followers(status) {
        reply.array(3);
        reply.bulk(addr.host.as_bytes());
        reply.bulk_integer(i64::from(addr.port));
        reply.bulk_integer(peer.matched as i64);
    }
}

fn write_follower(status: &Status, reply: &mut Reply<'_>) {
    let primary = primary_address(status);
    let (state, addr) = match primary {
        Some(addr) => ("connected", addr),
        None => ("connect", address("")),
    };
    reply.array(5);
    reply.bulk(b"slave");
    reply.bulk(addr.host.as_bytes());
    reply.integer(i64::from(addr.port));
    reply.bulk(state.as_bytes());
    reply.integer(status.applied as i64);
}

fn replicaof(_: &mut LocalContext<'_>, _: &Args<'_>, _: &mut Reply<'_>) -> CommandResult {
    Err(CommandError::other(
        "ERR not supported: the members of a group are given when its nodes start (--initial-cluster)",
    ))
}

fn failover(_: &mut LocalContext<'_>, _: &Args<'_>, _: &mut Reply<'_>) -> CommandResult {
    Err(CommandError::other(
        "ERR not supported: PERDURA HANDOVER <node-id> hands the leadership over, SHUTDOWN does before the process ends",
    ))
}

fn cluster(_: &mut LocalContext<'_>, _: &Args<'_>, _: &mut Reply<'_>) -> CommandResult {
    Err(CommandError::other("ERR This instance has cluster support disabled"))
}
