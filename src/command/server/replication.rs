//! What a node is in its group.
//!
//! - Offsets are indexes of the log: an entry each, not a byte.
//! - A node is a `master` while it is the serving primary, in every other state a `slave`.

use super::super::spec::{Categories, Flags};
use super::super::{Args, Command, CommandResult, LocalContext};
use super::ANYTIME;
use crate::config::value::HostPort;
use crate::protocol::reply::Reply;
use crate::shard::port::{PeerStatus, Status};

pub(super) const ROLE: Command = Command::local("role", 1, role)
    .flags(&[ANYTIME, Flags::NOSCRIPT, Flags::FAST])
    .categories(Categories::ADMIN.union(Categories::DANGEROUS))
    .docs("2.8.12", "O(1)", "Returns the replication role.");

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
