//! PERDURA STATUS: what a node says of itself. See `report`.

use crate::command::{Args, CommandResult, LocalContext};
use crate::protocol::reply::Reply;
use crate::report::NodeReport;

/// One JSON document.
pub(super) fn status(ctx: &mut LocalContext<'_>, _: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    reply.bulk(NodeReport::of(ctx.shared).json().as_bytes());
    Ok(())
}
