//! CLIENT PAUSE and UNPAUSE.

use crate::admin::LocalContext;
use crate::command::args::{is, timeout_ms};
use crate::command::{Args, CommandError, CommandResult};
use crate::pause::Paused;
use crate::protocol::reply::Reply;

/// CLIENT PAUSE timeout-in-ms [WRITE | ALL]. <https://redis.io/docs/latest/commands/client-pause/>
pub(super) fn pause(ctx: &mut LocalContext<'_>, args: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    let what = match args[3..] {
        [] => Paused::Everything,
        [mode] if is(mode, "ALL") => Paused::Everything,
        [mode] if is(mode, "WRITE") => Paused::Writes,
        [_] => return Err(CommandError::other("ERR CLIENT PAUSE mode must be WRITE or ALL")),
        _ => return Err(CommandError::Arity("client|pause".into())),
    };
    let for_ms = timeout_ms(args[2])?;
    ctx.shared.shard.pause.pause(ctx.shared.clock.monotonic_ms(), for_ms, what);
    reply.ok();
    Ok(())
}

/// <https://redis.io/docs/latest/commands/client-unpause/>
pub(super) fn unpause(ctx: &mut LocalContext<'_>, _: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    ctx.shared.shard.pause.lift();
    reply.ok();
    Ok(())
}
