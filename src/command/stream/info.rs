//! XINFO.
//!
//! There is no radix tree: its keys are told as the packed nodes, its nodes as one more.

use super::read::write_range;
use super::{ids, lookup, no_group_of_key, subcommand_syntax, write_entry};
use crate::command::args::{integer, is};
use crate::command::{Args, CommandError, CommandResult, ReadContext};
use crate::keyspace::types::stream::{Consumer, Group, NEVER_MS, Name, Stream, StreamId};
use crate::protocol::reply::Reply;

/// What FULL tells of each list where COUNT does not say.
const FULL_COUNT: u64 = 10;

/// Why XINFO STREAM can't be understood, or how many of each FULL tells (0 is all).
pub(super) fn full_count(args: &Args<'_>) -> Result<Option<u64>, CommandError> {
    match &args[3..] {
        [] => Ok(None),
        [full] if is(full, "FULL") => Ok(Some(FULL_COUNT)),
        [full, count, value] if is(full, "FULL") && is(count, "COUNT") => {
            Ok(Some(u64::try_from(integer(value)?).unwrap_or(FULL_COUNT)))
        }
        _ => Err(subcommand_syntax(args[0], args[1])),
    }
}

/// <https://redis.io/docs/latest/commands/xinfo-stream/>
pub(super) fn stream(ctx: &ReadContext<'_>, args: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    let stream = lookup(ctx.collection::<Stream>(args[2])?)?;
    let full = full_count(args)?;
    reply.map(if full.is_some() { 9 } else { 10 });
    let counters = stream.counters();
    write_count(reply, "length", stream.len() as i64);
    write_count(reply, "radix-tree-keys", stream.nodes().len() as i64);
    write_count(reply, "radix-tree-nodes", stream.nodes().len() as i64 + 1);
    write_id(reply, "last-generated-id", counters.last_id);
    write_id(reply, "max-deleted-entry-id", counters.max_deleted_id);
    write_count(reply, "entries-added", counters.entries_added as i64);
    write_id(reply, "recorded-first-entry-id", stream.first_id());
    match full {
        None => write_ends(stream, reply),
        Some(count) => write_full(stream, if count == 0 { u64::MAX } else { count }, reply),
    }
    Ok(())
}

fn write_ends(stream: &Stream, reply: &mut Reply<'_>) {
    write_count(reply, "groups", stream.groups().len() as i64);
    let ends = [
        ("first-entry", stream.range(StreamId::MIN, StreamId::MAX).next()),
        ("last-entry", stream.range_back(StreamId::MIN, StreamId::MAX).next()),
    ];
    for (name, entry) in ends {
        reply.bulk(name.as_bytes());
        match entry {
            Some(entry) => write_entry(reply, entry),
            None => reply.null(),
        }
    }
}

fn write_full(stream: &Stream, most: u64, reply: &mut Reply<'_>) {
    reply.bulk(b"entries");
    write_range(reply, stream, StreamId::MIN, StreamId::MAX, most);
    reply.bulk(b"groups");
    reply.array(stream.groups().len());
    reply.each(stream.groups(), |reply, (name, group)| {
        reply.map(7);
        write_head(reply, stream, name, group);
        write_count(reply, "pel-count", group.pending_count() as i64);
        write_all_pending(group, most, reply);
        reply.bulk(b"consumers");
        reply.array(group.consumer_count());
        reply.each(group.consumers(), |reply, (name, consumer)| {
            write_consumer(reply, group, name, consumer, most);
        });
    });
}

fn write_all_pending(group: &Group, most: u64, reply: &mut Reply<'_>) {
    let told = (group.pending_count() as u64).min(most) as usize;
    reply.bulk(b"pending");
    reply.array(told);
    reply.each(group.pending_from(StreamId::MIN).take(told), |reply, (id, pending)| {
        reply.array(4);
        ids::write(reply, id);
        reply.bulk(&pending.consumer);
        reply.integer(pending.delivered_ms);
        reply.integer(pending.deliveries as i64);
    });
}

fn write_consumer(reply: &mut Reply<'_>, group: &Group, name: &Name, consumer: &Consumer, most: u64) {
    reply.map(5);
    write_text(reply, "name", name);
    write_count(reply, "seen-time", consumer.seen_ms);
    write_count(reply, "active-time", consumer.active_ms);
    write_count(reply, "pel-count", consumer.pending() as i64);
    let told = (consumer.pending() as u64).min(most) as usize;
    reply.bulk(b"pending");
    reply.array(told);
    let pending = consumer.pending_from(StreamId::MIN).take(told);
    reply.each(pending.filter_map(|id| Some((id, group.pending(id)?))), |reply, (id, pending)| {
        reply.array(3);
        ids::write(reply, id);
        reply.integer(pending.delivered_ms);
        reply.integer(pending.deliveries as i64);
    });
}

/// Name, last id, entries read and lag of a group.
fn write_head(reply: &mut Reply<'_>, stream: &Stream, name: &Name, group: &Group) {
    write_text(reply, "name", name);
    write_id(reply, "last-delivered-id", group.last_id);
    write_known(reply, "entries-read", group.entries_read);
    write_known(reply, "lag", stream.lag(group));
}

/// <https://redis.io/docs/latest/commands/xinfo-groups/>
pub(super) fn groups(ctx: &ReadContext<'_>, args: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    let stream = lookup(ctx.collection::<Stream>(args[2])?)?;
    reply.array(stream.groups().len());
    reply.each(stream.groups(), |reply, (name, group)| {
        reply.map(6);
        write_text(reply, "name", name);
        write_count(reply, "consumers", group.consumer_count() as i64);
        write_count(reply, "pending", group.pending_count() as i64);
        write_id(reply, "last-delivered-id", group.last_id);
        write_known(reply, "entries-read", group.entries_read);
        write_known(reply, "lag", stream.lag(group));
    });
    Ok(())
}

/// <https://redis.io/docs/latest/commands/xinfo-consumers/>
pub(super) fn consumers(ctx: &ReadContext<'_>, args: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    let stream = lookup(ctx.collection::<Stream>(args[2])?)?;
    let group = stream.group(args[3]).ok_or_else(|| no_group_of_key(args[3], args[2]))?;
    reply.array(group.consumer_count());
    reply.each(group.consumers(), |reply, (name, consumer)| {
        let since = |ms: i64| ctx.now_ms.wrapping_sub(ms).max(0);
        reply.map(4);
        write_text(reply, "name", name);
        write_count(reply, "pending", consumer.pending() as i64);
        write_count(reply, "idle", since(consumer.seen_ms));
        let active_ms = consumer.active_ms;
        write_count(reply, "inactive", if active_ms == NEVER_MS { NEVER_MS } else { since(active_ms) });
    });
    Ok(())
}

/// <https://redis.io/docs/latest/commands/xinfo-help/>
pub(super) fn help(_: &ReadContext<'_>, _: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    reply.lines(&[
        "XINFO <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
        "CONSUMERS <key> <groupname>",
        "    Show consumers of <groupname>.",
        "GROUPS <key>",
        "    Show the stream consumer groups.",
        "STREAM <key> [FULL [COUNT <count>]",
        "    Show information about the stream.",
        "HELP",
        "    Print this help.",
    ]);
    Ok(())
}

fn write_count(reply: &mut Reply<'_>, name: &str, count: i64) {
    reply.bulk(name.as_bytes());
    reply.integer(count);
}

fn write_known(reply: &mut Reply<'_>, name: &str, count: Option<i64>) {
    reply.bulk(name.as_bytes());
    match count {
        Some(count) => reply.integer(count),
        None => reply.null(),
    }
}

fn write_id(reply: &mut Reply<'_>, name: &str, id: StreamId) {
    reply.bulk(name.as_bytes());
    ids::write(reply, id);
}

fn write_text(reply: &mut Reply<'_>, name: &str, text: &[u8]) {
    reply.bulk(name.as_bytes());
    reply.bulk(text);
}
