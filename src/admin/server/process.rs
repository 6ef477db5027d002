//! Commands about the process: its time, its end, and who watches what it does.

use super::{ANYTIME, OPERATORS, REDIS_VERSION};
use crate::admin::LocalContext;
use crate::admin::table::{ProcessCommand, SessionCommand};
use crate::command::args::is;
use crate::command::spec::Flags;
use crate::command::{Args, CommandError, CommandResult};
use crate::protocol::reply::Reply;

pub(super) const MONITOR: ProcessCommand =
    ProcessCommand::session("monitor", 1, SessionCommand::Monitor, monitor)
        .flags(&[OPERATORS, Flags::ORDERED])
        .docs("1.0.0", "O(1)", "Listens for all requests received by the server in real-time.");
pub(super) const LOLWUT: ProcessCommand = ProcessCommand::local("lolwut", -1, lolwut)
    .flags(&[Flags::FAST])
    .docs("5.0.0", "O(1)", "Displays the version.");
pub(super) const SHUTDOWN: ProcessCommand = ProcessCommand::local("shutdown", -1, shutdown)
    .flags(&[OPERATORS, Flags::NO_MULTI, Flags::ALLOW_BUSY, Flags::ORDERED])
    .docs("1.0.0", "O(1)", "Hands leadership over, if it can, and ends the process.");
pub(super) const TIME: ProcessCommand = ProcessCommand::local("time", 1, time)
    .flags(&[ANYTIME, Flags::FAST])
    .docs("2.6.0", "O(1)", "Returns the server time.");

/// Seconds, and microseconds of the second. <https://redis.io/docs/latest/commands/time/>
fn time(ctx: &mut LocalContext<'_>, _: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    let now_us = ctx.shared.clock.unix_us();
    reply.array(2);
    reply.bulk_integer(now_us.div_euclid(1_000_000));
    reply.bulk_integer(now_us.rem_euclid(1_000_000));
    Ok(())
}

/// <https://redis.io/docs/latest/commands/lolwut/>
fn lolwut(_: &mut LocalContext<'_>, _: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    reply.verbatim(&format!("Perdura ver. {} (Redis ver. {REDIS_VERSION})\n", crate::version::VERSION));
    Ok(())
}

/// Answers nothing if it succeeds: the connection ends with the process. Whether to save makes no difference.
/// <https://redis.io/docs/latest/commands/shutdown/>
fn shutdown(ctx: &mut LocalContext<'_>, args: &Args<'_>, _: &mut Reply<'_>) -> CommandResult {
    let known = ["SAVE", "NOSAVE", "NOW", "FORCE", "ABORT"];
    let has = |word: &str| args[1..].iter().any(|arg| is(arg, word));
    let all_known = args[1..].iter().all(|arg| known.iter().any(|word| is(arg, word)));
    if !all_known || has("SAVE") && has("NOSAVE") || has("ABORT") && args.len() > 2 {
        return Err(CommandError::Syntax);
    }
    if has("ABORT") {
        return Err(CommandError::other("ERR No shutdown in progress."));
    }
    ctx.shared.shutdown.notify_one();
    Ok(())
}

/// <https://redis.io/docs/latest/commands/monitor/>
fn monitor(ctx: &mut LocalContext<'_>, _: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    ctx.client.monitors = true;
    ctx.shared.monitors.add(ctx.client.listener_id());
    reply.ok();
    Ok(())
}
