//! The cluster's random id on its way through the log: a leader whose log has none proposes one, no client may.
//!
//! Every node takes the first that the log brings, unless its log has one already: that of a restored folder does.

use crate::command::spec::Flags;
use crate::command::{Args, Command, CommandError, CommandResult, WriteContext};
use crate::protocol::reply::Reply;

/// The name under which it is logged.
pub const CLUSTER_ID: &[u8] = b"_clusterid";

pub(super) const COMMAND: Command = Command::write("_clusterid", 2, take_cluster_id)
    .flags(&[Flags::INTERNAL, Flags::WHOLE_KEYSPACE])
    .docs("", "O(1)", "Brings the cluster's id.");

fn take_cluster_id(ctx: &mut WriteContext<'_>, args: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    let invalid = CommandError::other("ERR invalid cluster id");
    let bytes: [u8; 8] = args[1].try_into().map_err(|_| invalid)?;
    ctx.set_cluster_id(u64::from_le_bytes(bytes));
    reply.ok();
    Ok(())
}
