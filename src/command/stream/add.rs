//! XADD, XDEL, XSETID, XTRIM: what changes entries.

use super::ids::{self, NewId};
use super::{discard, lookup, tell};
use crate::command::args::{integer, is};
use crate::command::{Args, CommandError, CommandResult, WriteContext};
use crate::keyspace::types::limits::NodeLimits;
use crate::keyspace::types::stream::{Counters, MAX_ENTRY_BYTES, Stream, StreamId, Trim, TrimTo};
use crate::protocol::reply::Reply;

const NOT_GREATER: &str = "ERR The ID specified in XADD is equal or smaller than the target stream top item";
const EXHAUSTED: &str = "ERR The stream has exhausted the last possible ID, unable to add more items";

/// Options that XADD and XTRIM share, and where those of XADD end.
#[derive(Default)]
struct Options {
    trim: Option<(TrimTo, bool)>,
    limit: Option<u64>,
    only_existing: bool,
    id: Option<NewId>,
    /// The place of the id.
    end: usize,
}

impl Options {
    fn parse(args: &Args<'_>, adds: bool) -> Result<Options, CommandError> {
        let mut options = Options { end: args.len(), ..Options::default() };
        let mut at = 2;
        while let Some(option) = args.get(at) {
            let rest = &args[at + 1..];
            if adds && *option == b"*" {
                (options.id, options.end) = (Some(NewId::Auto), at);
                break;
            } else if !rest.is_empty() && (is(option, "MAXLEN") || is(option, "MINID")) {
                at += 1 + options.take_trim(is(option, "MAXLEN"), rest)?;
            } else if !rest.is_empty() && is(option, "LIMIT") {
                let limit = u64::try_from(integer(rest[0])?);
                let limit = limit.map_err(|_| CommandError::other("ERR The LIMIT argument must be >= 0."))?;
                (options.limit, at) = (Some(limit), at + 2);
            } else if adds && is(option, "NOMKSTREAM") {
                (options.only_existing, at) = (true, at + 1);
            } else if adds {
                (options.id, options.end) = (Some(ids::new_id(option)?), at);
                break;
            } else {
                return Err(CommandError::Syntax);
            }
        }
        Ok(options)
    }

    /// Reads what stands behind MAXLEN or MINID; returns how many arguments that are.
    fn take_trim(&mut self, is_len: bool, rest: &Args<'_>) -> Result<usize, CommandError> {
        if self.trim.is_some() {
            return Err(CommandError::other(
                "ERR syntax error, MAXLEN and MINID options at the same time are not compatible",
            ));
        }
        let (is_approximate, taken) = match rest {
            [b"~", _, ..] => (true, 2),
            [b"=", _, ..] => (false, 2),
            _ => (false, 1),
        };
        let value = rest[taken - 1];
        let to = if is_len {
            let most = u64::try_from(integer(value)?);
            TrimTo::MaxLen(most.map_err(|_| CommandError::other("ERR The MAXLEN argument must be >= 0."))?)
        } else {
            TrimTo::MinId(ids::exact(value, 0)?)
        };
        self.trim = Some((to, is_approximate));
        Ok(taken)
    }

    /// How to trim, once all options are read.
    fn trim(&self, limits: NodeLimits) -> Result<Option<Trim>, CommandError> {
        let syntax = |text| Err(CommandError::other(text));
        let Some((to, is_approximate)) = self.trim else {
            return match self.limit {
                None | Some(0) => Ok(None),
                Some(_) => {
                    syntax("ERR syntax error, LIMIT cannot be used without specifying a trimming strategy")
                }
            };
        };
        let limit = match self.limit {
            Some(_) if !is_approximate => {
                return syntax("ERR syntax error, LIMIT cannot be used without the special ~ option");
            }
            Some(limit) => limit,
            None if is_approximate => limits.trimmed_entries,
            None => 0,
        };
        Ok(Some(Trim { to, is_approximate, limit }))
    }
}

fn resolve(id: NewId, stream: Option<&Stream>, now_ms: i64) -> Result<StreamId, CommandError> {
    let last = stream.map_or(StreamId::MIN, |stream| stream.counters().last_id);
    if last == StreamId::MAX {
        return Err(CommandError::other(EXHAUSTED));
    }
    let id = match id {
        NewId::Exact(id) => Some(id),
        NewId::AutoSeq(ms) if ms == last.ms => last.seq.checked_add(1).map(|seq| StreamId::new(ms, seq)),
        NewId::AutoSeq(ms) => Some(StreamId::new(ms, 0)),
        NewId::Auto => match stream {
            Some(stream) => stream.next_id(now_ms),
            None => Stream::new().next_id(now_ms),
        },
    };
    id.filter(|id| *id > last).ok_or(CommandError::other(NOT_GREATER))
}

/// <https://redis.io/docs/latest/commands/xadd/>
pub(super) fn xadd(ctx: &mut WriteContext<'_>, args: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    let options = Options::parse(args, true)?;
    let limits = ctx.limits.stream_node;
    let trim = options.trim(limits)?;
    let pairs = args.get(options.end + 1..).unwrap_or_default();
    let Some(id) = options.id.filter(|_| pairs.len() >= 2 && pairs.len().is_multiple_of(2)) else {
        return Err(CommandError::Arity("xadd".into()));
    };
    if id == NewId::Exact(StreamId::MIN) {
        return Err(CommandError::other("ERR The ID specified in XADD must be greater than 0-0"));
    }
    let key = args[1];
    let stream = ctx.collection::<Stream>(key)?;
    if stream.is_none() && options.only_existing {
        reply.null();
        return Ok(());
    }
    let id = resolve(id, stream, ctx.now_ms)?;
    if pairs.iter().map(|text| text.len()).sum::<usize>() > MAX_ENTRY_BYTES {
        return Err(CommandError::other("ERR Elements are too large to be stored"));
    }
    let stream = ctx.collection_or_new::<Stream>(key)?;
    stream.append(id, pairs, limits);
    let (trimmed, removed) = trim.map_or((0, None), |trim| stream.trim(&trim));
    ids::write(reply, id);
    ctx.touch(key);
    if trimmed > 0 {
        tell(ctx, "xtrim", key);
    }
    discard(ctx, removed);
    Ok(())
}

/// <https://redis.io/docs/latest/commands/xtrim/>
pub(super) fn xtrim(ctx: &mut WriteContext<'_>, args: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    let trim = Options::parse(args, false)?.trim(ctx.limits.stream_node)?;
    let trim =
        trim.ok_or(CommandError::other("ERR syntax error, XTRIM must be called with a trimming strategy"))?;
    let Some(stream) = ctx.collection_mut::<Stream>(args[1])? else {
        reply.integer(0);
        return Ok(());
    };
    let (count, removed) = stream.trim(&trim);
    reply.integer(count as i64);
    if count > 0 {
        ctx.touch(args[1]);
    }
    discard(ctx, removed);
    Ok(())
}

/// <https://redis.io/docs/latest/commands/xdel/>
pub(super) fn xdel(ctx: &mut WriteContext<'_>, args: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    if ctx.collection::<Stream>(args[1])?.is_none() {
        reply.integer(0);
        return Ok(());
    }
    let ids = ids::all(&args[2..])?;
    let stream = ctx.collection_or_new::<Stream>(args[1])?;
    let deleted = ids.into_iter().filter(|id| stream.delete(*id)).count();
    reply.integer(deleted as i64);
    if deleted > 0 {
        ctx.touch(args[1]);
    }
    Ok(())
}

/// <https://redis.io/docs/latest/commands/xsetid/>
pub(super) fn xsetid(ctx: &mut WriteContext<'_>, args: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    let last_id = ids::exact(args[2], 0)?;
    let (mut added, mut deleted) = (None, None);
    let mut options = &args[3..];
    while let [option, value, rest @ ..] = options {
        if is(option, "ENTRIESADDED") {
            let count = u64::try_from(integer(value)?);
            added = Some(count.map_err(|_| CommandError::other("ERR entries_added must be positive"))?);
        } else if is(option, "MAXDELETEDID") {
            let id = ids::exact(value, 0)?;
            if last_id < id {
                return Err(CommandError::other(
                    "ERR The ID specified in XSETID is smaller than the provided max_deleted_entry_id",
                ));
            }
            deleted = Some(id);
        } else {
            return Err(CommandError::Syntax);
        }
        options = rest;
    }
    if !options.is_empty() {
        return Err(CommandError::Syntax);
    }
    let stream = lookup(ctx.collection::<Stream>(args[1])?)?;
    let now = stream.counters();
    check_setid(stream, last_id, added)?;
    let counters = Counters {
        last_id,
        entries_added: added.unwrap_or(now.entries_added),
        max_deleted_id: deleted.filter(|id| *id != StreamId::MIN).unwrap_or(now.max_deleted_id),
    };
    ctx.collection_or_new::<Stream>(args[1])?.set_counters(counters);
    ctx.touch(args[1]);
    reply.ok();
    Ok(())
}

fn check_setid(stream: &Stream, last_id: StreamId, added: Option<u64>) -> CommandResult {
    if last_id < stream.counters().max_deleted_id {
        return Err(CommandError::other(
            "ERR The ID specified in XSETID is smaller than current max_deleted_entry_id",
        ));
    }
    if stream.last_entry_id().is_some_and(|top| last_id < top) {
        return Err(CommandError::other(
            "ERR The ID specified in XSETID is smaller than the target stream top item",
        ));
    }
    if !stream.is_empty() && added.is_some_and(|added| stream.len() > added) {
        return Err(CommandError::other(
            "ERR The entries_added specified in XSETID is smaller than the target stream length",
        ));
    }
    Ok(())
}
