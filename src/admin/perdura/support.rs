//! PERDURA MESSAGES and PERDURA SETTINGS: what a supporter without access to the machine needs. Neither has a client's data or a password.

use crate::admin::LocalContext;
use crate::command::{Args, CommandResult};
use crate::messages;
use crate::protocol::reply::Reply;

/// The last messages of this process, a line each.
pub(super) fn messages(_: &mut LocalContext<'_>, _: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    reply.bulk(messages::text().as_bytes());
    Ok(())
}

/// A map: each setting that the node was started with and that is no secret, with its text and where that came from.
pub(super) fn settings(ctx: &mut LocalContext<'_>, _: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    let shown = &ctx.shared.config.started_with().shown;
    reply.map(shown.len());
    for (name, text) in shown {
        reply.bulk(name.as_bytes());
        reply.bulk(text.as_bytes());
    }
    Ok(())
}
