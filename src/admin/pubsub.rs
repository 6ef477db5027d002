//! Publish and subscribe, as commands.
//!
//! - A subscription's answers are messages of their own, one for each name, as in RESP3's pushes.
//! - Channels and patterns are counted together; shard channels are counted by themselves.
//! - Inside a transaction PUBLISH and SPUBLISH become the logged `_publish`, so that its message comes out with the transaction's
//!   effects, on every node. In one that subscribes or unsubscribes they are local, as outside.
//!
//! Source: <https://redis.io/docs/latest/commands/?group=pubsub>.

use crate::admin::LocalContext;
use crate::admin::client::Client;
use crate::admin::table::{ChannelUse, ProcessCommand, ProcessFamily, SessionCommand};
use crate::command::spec::{Categories, Flags, KeyFlags, KeySpec, key, keys};
use crate::command::{Args, CommandError, CommandResult};
use crate::protocol::reply::Reply;
use crate::pubsub::Kind;

const MESSAGES: Flags = Flags::PUBSUB.union(Flags::LOADING).union(Flags::STALE);
const SUBSCRIBING: Flags =
    MESSAGES.union(Flags::NOSCRIPT).union(Flags::WHILE_SUBSCRIBED).union(Flags::ORDERED);
const SHARD_CHANNELS: &[KeySpec] = &[keys(1, -1, 1, KeyFlags::NOT_KEY)];

pub const FAMILY: ProcessFamily = ProcessFamily {
    group: "pubsub",
    categories: Categories::empty(),
    commands: &[
        ProcessCommand::session("psubscribe", -2, SessionCommand::Subscription, psubscribe).channels(ChannelUse::Patterns).flags(&[SUBSCRIBING]).docs(
            "2.0.0",
            "O(N) where N is the number of patterns to subscribe to.",
            "Listens for messages published to channels that match one or more patterns.",
        ),
        ProcessCommand::session("publish", 3, SessionCommand::Publish, publish).channels(ChannelUse::First).flags(&[MESSAGES, Flags::FAST, Flags::MAY_REPLICATE]).docs(
            "2.0.0",
            "O(N+M) where N is the number of clients subscribed to the receiving channel and M is the total number \
             of subscribed patterns (by any client).",
            "Posts a message to a channel.",
        ),
        ProcessCommand::container("pubsub", SUBCOMMANDS).docs(
            "2.8.0",
            "Depends on subcommand.",
            "A container for Pub/Sub commands.",
        ),
        ProcessCommand::session("punsubscribe", -1, SessionCommand::Subscription, punsubscribe).flags(&[SUBSCRIBING]).docs(
            "2.0.0",
            "O(N) where N is the number of patterns to unsubscribe.",
            "Stops listening to messages published to channels that match one or more patterns.",
        ),
        ProcessCommand::session("spublish", 3, SessionCommand::ShardPublish, spublish).channels(ChannelUse::First)
            .flags(&[MESSAGES, Flags::FAST, Flags::MAY_REPLICATE])
            .keys(&[key(1, KeyFlags::NOT_KEY)])
            .docs(
                "7.0.0",
                "O(N) where N is the number of clients subscribed to the receiving shard channel.",
                "Post a message to a shard channel",
            ),
        ProcessCommand::session("ssubscribe", -2, SessionCommand::Subscription, ssubscribe).channels(ChannelUse::All).flags(&[SUBSCRIBING]).keys(SHARD_CHANNELS).docs(
            "7.0.0",
            "O(N) where N is the number of shard channels to subscribe to.",
            "Listens for messages published to shard channels.",
        ),
        ProcessCommand::session("subscribe", -2, SessionCommand::Subscription, subscribe).channels(ChannelUse::All).flags(&[SUBSCRIBING]).docs(
            "2.0.0",
            "O(N) where N is the number of channels to subscribe to.",
            "Listens for messages published to channels.",
        ),
        ProcessCommand::session("sunsubscribe", -1, SessionCommand::Subscription, sunsubscribe).flags(&[SUBSCRIBING]).keys(SHARD_CHANNELS).docs(
            "7.0.0",
            "O(N) where N is the number of shard channels to unsubscribe.",
            "Stops listening to messages posted to shard channels.",
        ),
        ProcessCommand::session("unsubscribe", -1, SessionCommand::Subscription, unsubscribe).flags(&[SUBSCRIBING]).docs(
            "2.0.0",
            "O(N) where N is the number of channels to unsubscribe.",
            "Stops listening to messages posted to channels.",
        ),
    ],
};

const SUBCOMMANDS: &[ProcessCommand] = &[
    ProcessCommand::local("channels", -2, channels).flags(&[MESSAGES]).docs(
        "2.8.0",
        "O(N) where N is the number of active channels",
        "Returns the active channels.",
    ),
    ProcessCommand::local("help", 2, help).flags(&[Flags::LOADING, Flags::STALE]).docs(
        "6.2.0",
        "O(1)",
        "Returns helpful text about the different subcommands.",
    ),
    ProcessCommand::local("numpat", 2, numpat).flags(&[MESSAGES]).docs(
        "2.8.0",
        "O(1)",
        "Returns a count of unique pattern subscriptions.",
    ),
    ProcessCommand::local("numsub", -2, numsub).flags(&[MESSAGES]).docs(
        "2.8.0",
        "O(N) for the NUMSUB subcommand, where N is the number of requested channels",
        "Returns a count of subscribers to channels.",
    ),
    ProcessCommand::local("shardchannels", -2, shardchannels).flags(&[MESSAGES]).docs(
        "7.0.0",
        "O(N) where N is the number of active shard channels",
        "Returns the active shard channels.",
    ),
    ProcessCommand::local("shardnumsub", -2, shardnumsub).flags(&[MESSAGES]).docs(
        "7.0.0",
        "O(N) where N is the number of requested shard channels",
        "Returns the count of subscribers of shard channels.",
    ),
];

const HELP: [&str; 15] = [
    "PUBSUB <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
    "CHANNELS [<pattern>]",
    "    Return the currently active channels matching a <pattern> (default: '*').",
    "NUMPAT",
    "    Return number of subscriptions to patterns.",
    "NUMSUB [<channel> ...]",
    "    Return the number of subscribers for the specified channels, excluding",
    "    pattern subscriptions (default: no channels).",
    "SHARDCHANNELS [<pattern>]",
    "    Return the currently active shard level channels matching a <pattern> (default: '*').",
    "SHARDNUMSUB [<shardchannel> ...]",
    "    Return the number of subscribers for the specified shard level channel(s)",
    "    (default: no shard channels).",
    "HELP",
    "    Print this help.",
];

/// The words of one kind of subscription.
struct Words {
    kind: Kind,
    subscribe: &'static str,
    unsubscribe: &'static str,
}

const CHANNELS: Words = Words { kind: Kind::Channel, subscribe: "subscribe", unsubscribe: "unsubscribe" };
const PATTERNS: Words = Words { kind: Kind::Pattern, subscribe: "psubscribe", unsubscribe: "punsubscribe" };
const SHARDS: Words = Words { kind: Kind::Shard, subscribe: "ssubscribe", unsubscribe: "sunsubscribe" };

/// <https://redis.io/docs/latest/commands/subscribe/>
fn subscribe(ctx: &mut LocalContext<'_>, args: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    add(ctx, &CHANNELS, &args[1..], reply)
}

/// <https://redis.io/docs/latest/commands/psubscribe/>
fn psubscribe(ctx: &mut LocalContext<'_>, args: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    add(ctx, &PATTERNS, &args[1..], reply)
}

/// <https://redis.io/docs/latest/commands/ssubscribe/>
fn ssubscribe(ctx: &mut LocalContext<'_>, args: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    add(ctx, &SHARDS, &args[1..], reply)
}

/// <https://redis.io/docs/latest/commands/unsubscribe/>
fn unsubscribe(ctx: &mut LocalContext<'_>, args: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    remove(ctx, &CHANNELS, &args[1..], reply)
}

/// <https://redis.io/docs/latest/commands/punsubscribe/>
fn punsubscribe(ctx: &mut LocalContext<'_>, args: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    remove(ctx, &PATTERNS, &args[1..], reply)
}

/// <https://redis.io/docs/latest/commands/sunsubscribe/>
fn sunsubscribe(ctx: &mut LocalContext<'_>, args: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    remove(ctx, &SHARDS, &args[1..], reply)
}

fn add(ctx: &mut LocalContext<'_>, words: &Words, names: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    let subscriber = (ctx.client.worker, ctx.client.connection);
    for name in names {
        ctx.client.names_mut(words.kind).insert(name.to_vec());
        ctx.shared.pubsub.subscribe(words.kind, name, subscriber, ctx.client.resp);
        write_change(reply, words.subscribe, Some(name), ctx.client.count_of(words.kind));
    }
    Ok(())
}

fn remove(
    ctx: &mut LocalContext<'_>,
    words: &Words,
    names: &Args<'_>,
    reply: &mut Reply<'_>,
) -> CommandResult {
    let names: Vec<Vec<u8>> = if names.is_empty() {
        ctx.client.names_mut(words.kind).iter().cloned().collect()
    } else {
        names.iter().map(|name| name.to_vec()).collect()
    };
    if names.is_empty() {
        write_change(reply, words.unsubscribe, None, ctx.client.count_of(words.kind));
    }
    let subscriber = (ctx.client.worker, ctx.client.connection);
    for name in names {
        if ctx.client.names_mut(words.kind).remove(&name) {
            ctx.shared.pubsub.unsubscribe(words.kind, &name, subscriber);
        }
        write_change(reply, words.unsubscribe, Some(&name), ctx.client.count_of(words.kind));
    }
    Ok(())
}

fn write_change(reply: &mut Reply<'_>, word: &str, name: Option<&[u8]>, count: usize) {
    reply.push(3);
    reply.bulk(word.as_bytes());
    reply.bulk_or_null(name);
    reply.integer(count as i64);
}

impl Client {
    fn names_mut(&mut self, kind: Kind) -> &mut std::collections::BTreeSet<Vec<u8>> {
        match kind {
            Kind::Channel => &mut self.channels,
            Kind::Pattern => &mut self.patterns,
            Kind::Shard => &mut self.shard_channels,
        }
    }

    /// The number that a subscription's answer tells.
    fn count_of(&self, kind: Kind) -> usize {
        match kind {
            Kind::Channel | Kind::Pattern => self.subscriptions(),
            Kind::Shard => self.shard_channels.len(),
        }
    }
}

/// Answers the number of receivers in the group. <https://redis.io/docs/latest/commands/publish/>
fn publish(ctx: &mut LocalContext<'_>, args: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    reply.integer(ctx.shared.publish(Kind::Channel, args[1], args[2]) as i64);
    Ok(())
}

/// Answers as PUBLISH does. <https://redis.io/docs/latest/commands/spublish/>
fn spublish(ctx: &mut LocalContext<'_>, args: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    reply.integer(ctx.shared.publish(Kind::Shard, args[1], args[2]) as i64);
    Ok(())
}

/// <https://redis.io/docs/latest/commands/pubsub-channels/>
fn channels(ctx: &mut LocalContext<'_>, args: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    write_names(ctx, Kind::Channel, args, reply)
}

/// <https://redis.io/docs/latest/commands/pubsub-shardchannels/>
fn shardchannels(ctx: &mut LocalContext<'_>, args: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    write_names(ctx, Kind::Shard, args, reply)
}

fn write_names(ctx: &LocalContext<'_>, kind: Kind, args: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    let pattern = match args[2..] {
        [] => None,
        [pattern] => Some(pattern),
        _ => {
            return Err(CommandError::Arity(
                format!("pubsub|{}", args[1].to_ascii_lowercase().escape_ascii()).into(),
            ));
        }
    };
    let names = ctx.shared.pubsub.names(kind, pattern);
    reply.array(names.len());
    names.iter().for_each(|name| reply.bulk(name));
    Ok(())
}

/// <https://redis.io/docs/latest/commands/pubsub-numpat/>
fn numpat(ctx: &mut LocalContext<'_>, _: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    reply.integer(ctx.shared.pubsub.patterns() as i64);
    Ok(())
}

/// <https://redis.io/docs/latest/commands/pubsub-numsub/>
fn numsub(ctx: &mut LocalContext<'_>, args: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    write_subscribers(ctx, Kind::Channel, args, reply)
}

/// <https://redis.io/docs/latest/commands/pubsub-shardnumsub/>
fn shardnumsub(ctx: &mut LocalContext<'_>, args: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    write_subscribers(ctx, Kind::Shard, args, reply)
}

fn write_subscribers(
    ctx: &LocalContext<'_>,
    kind: Kind,
    args: &Args<'_>,
    reply: &mut Reply<'_>,
) -> CommandResult {
    let names = &args[2..];
    reply.array(2 * names.len());
    for name in names {
        reply.bulk(name);
        reply.integer(ctx.shared.pubsub.subscribers_of(kind, name) as i64);
    }
    Ok(())
}

fn help(_: &mut LocalContext<'_>, _: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    reply.lines(&HELP);
    Ok(())
}

#[cfg(test)]
mod tests;
