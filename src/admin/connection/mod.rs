//! Commands about the connection itself: greeting, password, database, name, and what it wants answered.
//!
//! Source: <https://redis.io/docs/latest/commands/?group=connection>.

mod client;
mod hello;

pub use client::list;
pub use hello::foreseen_protocol;

use crate::admin::LocalContext;
use crate::admin::client::{Client, ReplyMode};
use crate::admin::rdb_file::ReplicaTraits;
use crate::admin::shared::Shared;
use crate::admin::table::{ProcessCommand, ProcessFamily, SessionCommand};
use crate::command::args::database;
use crate::command::spec::{Categories, Flags};
use crate::command::{Args, CommandError, CommandResult};
use crate::protocol::reply::{Reply, Resp};
use crate::pubsub::Kind;

/// Flags of nearly every command of this family.
const ANYTIME: Flags = Flags::LOADING.union(Flags::STALE);
const GREETING: Flags =
    ANYTIME.union(Flags::NOSCRIPT).union(Flags::FAST).union(Flags::NO_AUTH).union(Flags::ALLOW_BUSY);

pub const FAMILY: ProcessFamily = ProcessFamily {
    group: "connection",
    categories: Categories::CONNECTION,
    commands: &[
        ProcessCommand::local("auth", -2, hello::auth)
            .flags(&[GREETING, Flags::WHILE_PAUSED, Flags::SECRET_ARGUMENTS, Flags::TELLS_GROUP])
            .docs("1.0.0", "O(1)", "Authenticates the connection."),
        ProcessCommand::container("client", client::SUBCOMMANDS).docs(
            "2.4.0",
            "Depends on subcommand.",
            "A container for client connection commands.",
        ),
        ProcessCommand::local("echo", 2, echo).flags(&[ANYTIME, Flags::FAST]).docs(
            "1.0.0",
            "O(1)",
            "Returns the given string.",
        ),
        ProcessCommand::session("hello", -1, SessionCommand::Hello, hello::hello)
            .flags(&[GREETING, Flags::SECRET_ARGUMENTS, Flags::TELLS_GROUP])
            .docs("6.0.0", "O(1)", "Handshakes with the server."),
        ProcessCommand::local("ping", -1, ping).flags(&[Flags::FAST, Flags::WHILE_SUBSCRIBED]).docs(
            "1.0.0",
            "O(1)",
            "Returns the server's liveliness response.",
        ),
        ProcessCommand::session("quit", -1, SessionCommand::Quit, quit)
            .flags(&[GREETING, Flags::WHILE_SUBSCRIBED])
            .docs("1.0.0", "O(1)", "Closes the connection."),
        ProcessCommand::local("readonly", 1, readonly).flags(&[ANYTIME, Flags::FAST]).docs(
            "3.0.0",
            "O(1)",
            "Lets a replica answer the connection's reads from its own data.",
        ),
        ProcessCommand::local("readwrite", 1, readwrite).flags(&[ANYTIME, Flags::FAST]).docs(
            "3.0.0",
            "O(1)",
            "Lets the primary answer the connection's reads, wherever they are sent.",
        ),
        ProcessCommand::session("reset", 1, SessionCommand::Reset, reset)
            .flags(&[GREETING, Flags::WHILE_SUBSCRIBED, Flags::ORDERED])
            .docs("6.2.0", "O(1)", "Resets the connection."),
        ProcessCommand::session("select", 2, SessionCommand::Select, select)
            .flags(&[ANYTIME, Flags::FAST])
            .docs("1.0.0", "O(1)", "Changes the selected database."),
    ],
};

/// <https://redis.io/docs/latest/commands/ping/>; a subscriber's answer has the form of a message in RESP2.
fn ping(ctx: &mut LocalContext<'_>, args: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    if args.len() > 2 {
        return Err(CommandError::Arity("ping".into()));
    }
    let message = args.get(1).copied();
    if ctx.client.resp == Resp::V2 && ctx.client.is_subscriber() {
        reply.array(2);
        reply.bulk(b"pong");
        reply.bulk(message.unwrap_or_default());
    } else {
        match message {
            Some(message) => reply.bulk(message),
            None => reply.simple("PONG"),
        }
    }
    Ok(())
}

/// <https://redis.io/docs/latest/commands/echo/>
fn echo(_: &mut LocalContext<'_>, args: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    reply.bulk(args[1]);
    Ok(())
}

/// <https://redis.io/docs/latest/commands/select/>
fn select(ctx: &mut LocalContext<'_>, args: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    ctx.client.db = database(args[1])?;
    reply.ok();
    Ok(())
}

/// <https://redis.io/docs/latest/commands/quit/>
fn quit(ctx: &mut LocalContext<'_>, _: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    ctx.client.close_after_reply = true;
    reply.ok();
    Ok(())
}

/// <https://redis.io/docs/latest/commands/readonly/>
fn readonly(ctx: &mut LocalContext<'_>, _: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    ctx.client.reads_from_replica = true;
    reply.ok();
    Ok(())
}

/// <https://redis.io/docs/latest/commands/readwrite/>
fn readwrite(ctx: &mut LocalContext<'_>, _: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    ctx.client.reads_from_replica = false;
    reply.ok();
    Ok(())
}

/// <https://redis.io/docs/latest/commands/reset/>
fn reset(ctx: &mut LocalContext<'_>, _: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    unsubscribe_all(ctx.client, ctx.shared);
    ctx.shared.monitors.remove(ctx.client.listener_id());
    client::end_tracking(ctx.client, ctx.shared);
    let client = &mut *ctx.client;
    client.resp = Resp::V2;
    client.db = 0;
    ctx.shared.begin(client);
    client.transaction = None;
    client.monitors = false;
    client.no_touch = false;
    client.reads_from_replica = false;
    client.reply_mode = ReplyMode::On;
    client.replica = ReplicaTraits::default();
    let mut details = client.info.details.lock();
    details.name.clear();
    details.no_evict = false;
    drop(details);
    reply.simple("RESET");
    Ok(())
}

fn unsubscribe_all(client: &mut Client, shared: &Shared) {
    let subscriber = (client.worker, client.connection);
    for (kind, names) in [
        (Kind::Channel, std::mem::take(&mut client.channels)),
        (Kind::Pattern, std::mem::take(&mut client.patterns)),
        (Kind::Shard, std::mem::take(&mut client.shard_channels)),
    ] {
        names.iter().for_each(|name| shared.pubsub.unsubscribe(kind, name, subscriber));
    }
}

#[cfg(test)]
mod tests;
