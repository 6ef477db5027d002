//! CLIENT: what a connection says of itself, what others may see of it, and what they may do to it.
//!
//! - What CLIENT LIST shows of other connections is as of their last burst of commands.
//!
//! Source: <https://redis.io/docs/latest/commands/client/>.

mod filter;
pub mod list;
mod pausing;
mod tracking;

use std::sync::Arc;

use super::ANYTIME;
use crate::admin::LocalContext;
use crate::admin::client::{Blocked, ClientInfo, Delay, ReplyMode};
use crate::admin::shared::Shared;
use crate::admin::table::{ProcessCommand, SessionCommand};
use crate::command::args::{integer, is};
use crate::command::spec::Flags;
use crate::command::{Args, CommandError, CommandResult};
use crate::propose::batch::Work;
use crate::protocol::reply::{Reply, Resp};
use filter::Filter;
pub(super) use tracking::end_tracking;

const OWN: Flags = ANYTIME.union(Flags::NOSCRIPT);
const OTHERS: Flags = OWN.union(Flags::ADMIN);

pub(super) const SUBCOMMANDS: &[ProcessCommand] = &[
    ProcessCommand::local("caching", 3, tracking::caching).flags(&[OWN]).docs(
        "6.0.0",
        "O(1)",
        "Instructs the server whether to track the keys in the next request.",
    ),
    ProcessCommand::local("capa", -3, capa).flags(&[OWN]).docs(
        "8.0.0",
        "O(1)",
        "A client claims its capability.",
    ),
    ProcessCommand::local("getname", 2, getname).flags(&[OWN]).docs(
        "2.6.9",
        "O(1)",
        "Returns the name of the connection.",
    ),
    ProcessCommand::local("getredir", 2, tracking::getredir).flags(&[OWN]).docs(
        "6.0.0",
        "O(1)",
        "Returns the client ID to which the connection's tracking notifications are redirected.",
    ),
    ProcessCommand::local("help", 2, help).flags(&[ANYTIME]).docs(
        "5.0.0",
        "O(1)",
        "Returns helpful text about the different subcommands.",
    ),
    ProcessCommand::local("id", 2, id).flags(&[OWN]).docs(
        "5.0.0",
        "O(1)",
        "Returns the unique client ID of the connection.",
    ),
    ProcessCommand::local("info", 2, info).flags(&[OWN]).docs(
        "6.2.0",
        "O(1)",
        "Returns information about the connection.",
    ),
    ProcessCommand::local("kill", -3, kill).flags(&[OTHERS]).docs(
        "2.4.0",
        "O(N) where N is the number of client connections",
        "Terminates open connections.",
    ),
    ProcessCommand::local("list", -2, list).flags(&[OTHERS]).docs(
        "2.4.0",
        "O(N) where N is the number of client connections",
        "Lists open connections.",
    ),
    ProcessCommand::local("no-evict", 3, no_evict).flags(&[OTHERS]).docs(
        "7.0.0",
        "O(1)",
        "Sets the client eviction mode of the connection.",
    ),
    ProcessCommand::local("no-touch", 3, no_touch).flags(&[OWN]).docs(
        "7.2.0",
        "O(1)",
        "Controls whether commands sent by the client affect the LRU/LFU of accessed keys.",
    ),
    ProcessCommand::local("pause", -3, pausing::pause).flags(&[OTHERS]).docs(
        "3.0.0",
        "O(1)",
        "Suspends commands processing.",
    ),
    ProcessCommand::session("reply", 3, SessionCommand::ReplyMode, reply_mode)
        .flags(&[OWN, Flags::ORDERED])
        .docs("3.2.0", "O(1)", "Instructs the server whether to reply to commands."),
    ProcessCommand::local("setinfo", 4, setinfo).flags(&[OWN]).docs(
        "7.2.0",
        "O(1)",
        "Sets information specific to the client or connection.",
    ),
    ProcessCommand::local("setname", 3, setname).flags(&[OWN]).docs(
        "2.6.9",
        "O(1)",
        "Sets the connection name.",
    ),
    ProcessCommand::local("tracking", -3, tracking::tracking).flags(&[OWN]).docs(
        "6.0.0",
        "O(1)",
        "Controls server-assisted client-side caching for the connection.",
    ),
    ProcessCommand::local("trackinginfo", 2, tracking::trackinginfo).flags(&[OWN]).docs(
        "6.2.0",
        "O(1)",
        "Returns information about server-assisted client-side caching for the connection.",
    ),
    ProcessCommand::session("unblock", -3, SessionCommand::Unblock, unblock).flags(&[OTHERS]).docs(
        "5.0.0",
        "O(log N) where N is the number of client connections",
        "Unblocks a client blocked by a blocking command from a different connection.",
    ),
    ProcessCommand::local("unpause", 2, pausing::unpause).flags(&[OTHERS]).docs(
        "6.2.0",
        "O(N) Where N is the number of paused clients",
        "Resumes processing commands from paused clients.",
    ),
];

const HELP: [&str; 55] = [
    "CLIENT <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
    "CACHING (YES|NO)",
    "    Enable/disable tracking of the keys for next command in OPTIN/OPTOUT modes.",
    "CAPA <capability> [<capability> ...]",
    "    Accepted; no client is redirected, commands are forwarded.",
    "GETNAME",
    "    Return the name of the current connection.",
    "GETREDIR",
    "    Return the client ID we are redirecting to when tracking is enabled.",
    "ID",
    "    Return the ID of the current connection.",
    "INFO",
    "    Return information about the current client connection.",
    "KILL <ip:port>",
    "    Kill connection made from <ip:port>.",
    "KILL <option> <value> [<option> <value> [...]]",
    "    Kill connections. Options are:",
    "    * ADDR (<ip:port>|<unixsocket>:0)",
    "      Kill connections made from the specified address",
    "    * LADDR (<ip:port>|<unixsocket>:0)",
    "      Kill connections made to specified local address",
    "    * TYPE (NORMAL|MASTER|REPLICA|PUBSUB)",
    "      Kill connections by type.",
    "    * USER <username>",
    "      Kill connections authenticated by <username>.",
    "    * ID <client-id>, MAXAGE <seconds>",
    "      Kill connections by client id, or by least age.",
    "    * SKIPME (YES|NO)",
    "      Skip killing current connection (default: yes).",
    "LIST [TYPE (NORMAL|MASTER|REPLICA|PUBSUB)] [ID <client-id> [...]]",
    "    Return information about client connections.",
    "NO-EVICT (ON|OFF)",
    "    Protect the connection from being closed at maxmemory-clients.",
    "NO-TOUCH (ON|OFF)",
    "    Keys that this connection reads keep their access times.",
    "PAUSE <timeout> [WRITE|ALL]",
    "    Suspend all, or just write, clients for <timeout> milliseconds.",
    "REPLY (ON|OFF|SKIP)",
    "    Control the replies sent to the current connection.",
    "SETINFO <option> <value>",
    "    Set client meta attr. Options are: LIB-NAME, LIB-VER.",
    "SETNAME <name>",
    "    Assign the name <name> to the current connection.",
    "TRACKING (ON|OFF) [REDIRECT <id>] [BCAST] [PREFIX <prefix> [...]]",
    "         [OPTIN] [OPTOUT] [NOLOOP]",
    "    Control server assisted client side caching.",
    "TRACKINGINFO",
    "    Report tracking status for the current connection.",
    "    A client is told of what it may have cached by the node that it is connected to.",
    "UNBLOCK <clientid> [TIMEOUT|ERROR]",
    "    Unblock the specified blocked client.",
    "UNPAUSE",
    "    Stop the current client pause, resuming traffic.",
    "HELP",
    "    Print this help.",
];

/// Whether a connection may bear this name: no spaces, nothing that breaks a line of CLIENT LIST.
/// Longest name of a connection or a library: each is kept for as long as the connection, and copied into the slow log.
const MAX_NAME_BYTES: usize = 512;

pub(super) fn check_name(name: &[u8]) -> CommandResult {
    check_printable("Client names", name)
}

fn check_printable(what: &str, text: &[u8]) -> CommandResult {
    if text.len() > MAX_NAME_BYTES {
        return Err(CommandError::other(format!("ERR {what} cannot be longer than {MAX_NAME_BYTES} bytes.")));
    }
    if text.iter().all(u8::is_ascii_graphic) {
        return Ok(());
    }
    Err(CommandError::other(format!("ERR {what} cannot contain spaces, newlines or special characters.")))
}

/// <https://redis.io/docs/latest/commands/client-id/>
fn id(ctx: &mut LocalContext<'_>, _: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    reply.integer(ctx.client.info.id as i64);
    Ok(())
}

/// <https://redis.io/docs/latest/commands/client-getname/>
fn getname(ctx: &mut LocalContext<'_>, _: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    let details = ctx.client.info.details.lock();
    reply.bulk_or_null(Some(&details.name[..]).filter(|name| !name.is_empty()));
    Ok(())
}

/// <https://redis.io/docs/latest/commands/client-setname/>
fn setname(ctx: &mut LocalContext<'_>, args: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    check_name(args[2])?;
    ctx.client.info.details.lock().name = args[2].to_vec();
    reply.ok();
    Ok(())
}

/// <https://redis.io/docs/latest/commands/client-setinfo/>
fn setinfo(ctx: &mut LocalContext<'_>, args: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    let (option, value) = (args[2], args[3]);
    let is_name = is(option, "LIB-NAME");
    if !is_name && !is(option, "LIB-VER") {
        let option = String::from_utf8_lossy(option);
        return Err(CommandError::other(format!("ERR Unrecognized option '{option}'")));
    }
    check_printable(if is_name { "lib-name" } else { "lib-ver" }, value)?;
    let mut details = ctx.client.info.details.lock();
    *if is_name { &mut details.lib_name } else { &mut details.lib_ver } = value.to_vec();
    reply.ok();
    Ok(())
}

/// <https://redis.io/docs/latest/commands/client-info/>
fn info(ctx: &mut LocalContext<'_>, _: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    list::refresh(ctx.client, "client|info");
    let mut text = String::new();
    list::write_line(&mut text, &ctx.client.info, ctx.shared.clock.monotonic_ms());
    reply.verbatim(&text);
    Ok(())
}

/// <https://redis.io/docs/latest/commands/client-list/>
fn list(ctx: &mut LocalContext<'_>, args: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    let filter = Filter::of_list(&args[2..])?;
    list::refresh(ctx.client, "client|list");
    let now_ms = ctx.shared.clock.monotonic_ms();
    let mut text = String::new();
    for info in ctx.shared.clients.all().iter().filter(|info| filter.matches(info, now_ms)) {
        list::write_line(&mut text, info, now_ms);
    }
    reply.verbatim(&text);
    Ok(())
}

/// <https://redis.io/docs/latest/commands/client-kill/>
fn kill(ctx: &mut LocalContext<'_>, args: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    let old_form = args.len() == 3;
    let filter = if old_form { Filter::of_addr(args[2]) } else { Filter::of_kill(&args[2..])? };
    if let Some(user) = filter.user()
        && ctx.shared.users().users.get(user).is_none()
    {
        let user = String::from_utf8_lossy(user);
        return Err(CommandError::other(format!("ERR No such user '{user}'")));
    }
    let now_ms = ctx.shared.clock.monotonic_ms();
    let me = ctx.client.info.id;
    let all = ctx.shared.clients.all();
    let victims: Vec<Arc<ClientInfo>> = all
        .into_iter()
        .filter(|info| filter.matches(info, now_ms) && !(filter.skips_me() && info.id == me))
        .collect();
    if old_form && victims.is_empty() {
        return Err(CommandError::other("ERR No such client"));
    }
    for victim in &victims {
        if victim.id == me {
            ctx.client.close_after_reply = true;
        } else {
            victim.kill();
        }
    }
    if old_form {
        reply.ok()
    } else {
        reply.integer(victims.len() as i64)
    }
    Ok(())
}

/// <https://redis.io/docs/latest/commands/client-unblock/>
fn unblock(ctx: &mut LocalContext<'_>, args: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    let with_error = match args[3..] {
        [] => false,
        [reason] if is(reason, "TIMEOUT") => false,
        [reason] if is(reason, "ERROR") => true,
        [_] => return Err(CommandError::other("ERR CLIENT UNBLOCK reason should be TIMEOUT or ERROR")),
        _ => return Err(CommandError::Arity("client|unblock".into())),
    };
    let id = u64::try_from(integer(args[2])?).unwrap_or(0);
    let found = ctx.shared.clients.get(id);
    let unblocked = found.is_some_and(|info| unblock_client(ctx.shared, &info, with_error));
    reply.integer(i64::from(unblocked));
    Ok(())
}

/// Ends a connection's wait, if it waits for what may time out.
fn unblock_client(shared: &Shared, info: &ClientInfo, with_error: bool) -> bool {
    let (blocked, delayed) = {
        let details = info.details.lock();
        (details.blocked, details.delayed)
    };
    if blocked == Blocked::Here {
        let mut batch = shared.shard.ports[info.worker].batch.lock();
        batch.push(info.connection, Resp::V2, Work::Unblock { with_error });
        shared.shard.driver_wake.notify_one();
        return true;
    }
    let by_itself = blocked == Blocked::OnPrimary || delayed == Some(Delay::Acks);
    if by_itself {
        info.ask_to_unblock(with_error);
    }
    by_itself
}

/// Reads ON or OFF.
fn on_off(arg: &[u8]) -> Result<bool, CommandError> {
    match arg {
        arg if is(arg, "ON") => Ok(true),
        arg if is(arg, "OFF") => Ok(false),
        _ => Err(CommandError::Syntax),
    }
}

/// <https://redis.io/docs/latest/commands/client-no-evict/>
fn no_evict(ctx: &mut LocalContext<'_>, args: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    ctx.client.info.details.lock().no_evict = on_off(args[2])?;
    reply.ok();
    Ok(())
}

/// <https://redis.io/docs/latest/commands/client-no-touch/>
fn no_touch(ctx: &mut LocalContext<'_>, args: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    ctx.client.no_touch = on_off(args[2])?;
    reply.ok();
    Ok(())
}

/// <https://redis.io/docs/latest/commands/client-reply/>
fn reply_mode(ctx: &mut LocalContext<'_>, args: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    ctx.client.reply_mode = match args[2] {
        mode if is(mode, "ON") => {
            reply.ok();
            ReplyMode::On
        }
        mode if is(mode, "OFF") => ReplyMode::Off,
        // Where all replies are off already there is none to be skipped.
        mode if is(mode, "SKIP") && ctx.client.reply_mode == ReplyMode::Off => ReplyMode::Off,
        mode if is(mode, "SKIP") => ReplyMode::SkipNext,
        _ => return Err(CommandError::Syntax),
    };
    Ok(())
}

/// Nothing is answered otherwise for what a client is capable of: this server redirects no client, it forwards commands.
/// <https://valkey.io/commands/client-capa/>
fn capa(_: &mut LocalContext<'_>, _: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    reply.ok();
    Ok(())
}

fn help(_: &mut LocalContext<'_>, _: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    reply.lines(&HELP);
    Ok(())
}
