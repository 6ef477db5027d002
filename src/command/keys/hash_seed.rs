//! The cluster's hash seed on its way through the log: a leader whose data has none proposes one, no client may.
//!
//! Every node takes the first that the log brings, at its place: from there on all tables are made by it. Data from before,
//! which only an upgraded cluster has, is hashed again, once.

use crate::command::spec::Flags;
use crate::command::{Args, Command, CommandError, CommandResult, WriteContext};
use crate::keyspace::hash_seed::HashSeed;
use crate::protocol::reply::Reply;

/// The name under which it is logged.
pub const HASH_SEED: &[u8] = b"_hashseed";

pub(super) const COMMAND: Command = Command::write("_hashseed", 2, take_hash_seed)
    .flags(&[Flags::INTERNAL, Flags::WHOLE_KEYSPACE])
    .docs("", "O(N) where N is the number of keys and elements", "Brings the seed of all hash tables.");

fn take_hash_seed(ctx: &mut WriteContext<'_>, args: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    let seed = HashSeed::from_bytes(args[1]).ok_or(CommandError::other("ERR invalid hash seed"))?;
    ctx.set_hash_seed(seed);
    reply.ok();
    Ok(())
}
