//! XLEN, XRANGE, XREVRANGE, XREAD: what reads entries without a group.

use super::ids;
use super::options::{After, ReadOptions};
use super::write_entry;
use crate::command::args::{integer, is};
use crate::command::{Args, CommandError, CommandResult, ReadContext};
use crate::keyspace::types::stream::{Stream, StreamId};
use crate::protocol::reply::{Reply, Resp};

/// <https://redis.io/docs/latest/commands/xlen/>
pub(super) fn xlen(ctx: &ReadContext<'_>, args: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    reply.integer(ctx.collection::<Stream>(args[1])?.map_or(0, Stream::len) as i64);
    Ok(())
}

/// The arguments of XRANGE and XREVRANGE behind the key.
pub(super) struct Interval {
    pub start: StreamId,
    pub end: StreamId,
    pub count: Option<u64>,
}

impl Interval {
    pub(super) fn parse(args: &Args<'_>, is_reverse: bool) -> Result<Interval, CommandError> {
        let (first, last) = if is_reverse { (args[3], args[2]) } else { (args[2], args[3]) };
        let (start, end) = (ids::start(first)?, ids::end(last)?);
        let mut count = None;
        let mut options = &args[4..];
        while let [option, rest @ ..] = options {
            let [value, rest @ ..] = rest else { return Err(CommandError::Syntax) };
            if !is(option, "COUNT") {
                return Err(CommandError::Syntax);
            }
            count = Some(integer(value)?.max(0) as u64);
            options = rest;
        }
        Ok(Interval { start, end, count })
    }
}

/// <https://redis.io/docs/latest/commands/xrange/>
pub(super) fn xrange(ctx: &ReadContext<'_>, args: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    range(ctx, args, false, reply)
}

/// <https://redis.io/docs/latest/commands/xrevrange/>
pub(super) fn xrevrange(ctx: &ReadContext<'_>, args: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    range(ctx, args, true, reply)
}

fn range(ctx: &ReadContext<'_>, args: &Args<'_>, is_reverse: bool, reply: &mut Reply<'_>) -> CommandResult {
    let Interval { start, end, count } = Interval::parse(args, is_reverse)?;
    let Some(stream) = ctx.collection::<Stream>(args[1])? else {
        reply.array(0);
        return Ok(());
    };
    if count == Some(0) {
        reply.null_array();
        return Ok(());
    }
    let most = count.unwrap_or(u64::MAX);
    if !is_reverse {
        write_range(reply, stream, start, end, most);
        return Ok(());
    }
    let found = stream.count(start, end, most);
    reply.array(found as usize);
    reply.each(stream.range_back(start, end).take(found as usize), write_entry);
    Ok(())
}

/// Answers at most `most` entries from `start` to `end`.
pub(super) fn write_range(reply: &mut Reply<'_>, stream: &Stream, start: StreamId, end: StreamId, most: u64) {
    let found = stream.count(start, end, most) as usize;
    reply.array(found);
    reply.each(stream.range(start, end).take(found), write_entry);
}

/// The ids behind which a client reads, as they are now: `$` and `+` are looked up.
pub(super) fn ids_behind(
    ctx: &ReadContext<'_>,
    options: &ReadOptions<'_, '_>,
) -> Result<Vec<StreamId>, CommandError> {
    let streams = options.keys.iter().zip(options.ids);
    let behind = streams.map(|(key, id)| {
        let stream = ctx.collection::<Stream>(key)?;
        let last_id = stream.map_or(StreamId::MIN, |stream| stream.counters().last_id);
        Ok(match After::of_read(id)? {
            After::LastId => last_id,
            After::LastEntry => {
                let last = stream.and_then(Stream::last_entry_id);
                last.map_or(last_id, |last| last.prev().unwrap_or_default())
            }
            After::Id(id) => id,
        })
    });
    behind.collect()
}

/// Nothing is written where BLOCK is given and there is nothing to read.
/// <https://redis.io/docs/latest/commands/xread/>
pub(super) fn xread(ctx: &ReadContext<'_>, args: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    let options = ReadOptions::parse(args, false)?;
    let behind = ids_behind(ctx, &options)?;
    let streams = options.keys.iter().zip(behind).filter_map(|(key, id)| {
        let stream = ctx.collection::<Stream>(key).ok().flatten()?;
        stream.last_entry_id().is_some_and(|last| last > id).then_some((*key, stream, id))
    });
    let streams: Vec<(&[u8], &Stream, StreamId)> = streams.collect();
    if streams.is_empty() {
        if options.block_ms.is_none() {
            reply.null_array();
        }
        return Ok(());
    }
    begin_streams(reply, streams.len());
    for (key, stream, id) in streams {
        begin_stream(reply, key);
        write_range(reply, stream, id.next().unwrap_or(id), StreamId::MAX, options.most());
    }
    Ok(())
}

/// Begins the answer of XREAD or XREADGROUP from so many streams.
pub(super) fn begin_streams(reply: &mut Reply<'_>, count: usize) {
    match reply.resp() {
        Resp::V2 => reply.array(count),
        Resp::V3 => reply.map(count),
    }
}

pub(super) fn begin_stream(reply: &mut Reply<'_>, key: &[u8]) {
    if reply.resp() == Resp::V2 {
        reply.array(2);
    }
    reply.bulk(key);
}
