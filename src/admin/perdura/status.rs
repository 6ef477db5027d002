//! PERDURA STATUS: what a node says of itself. See `report`.

use crate::admin::LocalContext;
use crate::admin::report::NodeReport;
use crate::command::{Args, CommandResult};
use crate::protocol::reply::Reply;

/// One JSON document.
pub(super) fn status(ctx: &mut LocalContext<'_>, _: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    reply.bulk(NodeReport::of(ctx.shared).json().as_bytes());
    Ok(())
}
