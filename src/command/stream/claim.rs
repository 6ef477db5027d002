//! XCLAIM and XAUTOCLAIM: what is pending for one consumer becomes another's.

use super::{NEW_CONSUMER, ids, lookup_group, tell, write_entry};
use crate::command::args::is;
use crate::command::{Args, CommandError, CommandResult, WriteContext};
use crate::keyspace::types::stream::{Group, Name, Pending, Stream, StreamId};
use crate::protocol::number::parse_integer;
use crate::protocol::reply::Reply;

/// XAUTOCLAIM looks at so many pending entries for each that it may claim.
pub(super) const ATTEMPTS: u64 = 10;
pub(super) const DEFAULT_COUNT: u64 = 100;
/// Redis' own limit.
const MAX_COUNT: i64 = i64::MAX / 16;

fn integer_or(arg: &[u8], error: &'static str) -> Result<i64, CommandError> {
    parse_integer(arg).ok_or(CommandError::other(error))
}

/// The options of XCLAIM.
struct Claim {
    ids: Vec<StreamId>,
    min_idle_ms: i64,
    delivered_ms: i64,
    deliveries: Option<u64>,
    is_forced: bool,
    only_ids: bool,
    last_id: StreamId,
}

impl Claim {
    fn parse(args: &Args<'_>, now_ms: i64) -> Result<Claim, CommandError> {
        let min_idle_ms = integer_or(args[4], "ERR Invalid min-idle-time argument for XCLAIM")?.max(0);
        let ids: Vec<StreamId> = args[5..].iter().map_while(|arg| ids::exact(arg, 0).ok()).collect();
        let mut delivered_ms = None;
        let mut rest = &args[5 + ids.len()..];
        let mut claim = Claim {
            ids,
            min_idle_ms,
            delivered_ms: now_ms,
            deliveries: None,
            is_forced: false,
            only_ids: false,
            last_id: StreamId::MIN,
        };
        while let [option, tail @ ..] = rest {
            rest = tail;
            if is(option, "FORCE") {
                claim.is_forced = true;
                continue;
            } else if is(option, "JUSTID") {
                claim.only_ids = true;
                continue;
            }
            let [value, tail @ ..] = rest else { return Err(unrecognized(option)) };
            rest = tail;
            if is(option, "IDLE") {
                let idle_ms = integer_or(value, "ERR Invalid IDLE option argument for XCLAIM")?;
                delivered_ms = Some(now_ms.wrapping_sub(idle_ms));
            } else if is(option, "TIME") {
                delivered_ms = Some(integer_or(value, "ERR Invalid TIME option argument for XCLAIM")?);
            } else if is(option, "RETRYCOUNT") {
                let count = integer_or(value, "ERR Invalid RETRYCOUNT option argument for XCLAIM")?;
                claim.deliveries = u64::try_from(count).ok();
            } else if is(option, "LASTID") {
                claim.last_id = ids::exact(value, 0)?;
            } else {
                return Err(unrecognized(option));
            }
        }
        // A time that makes no sense is now.
        claim.delivered_ms = delivered_ms.filter(|ms| (0..=now_ms).contains(ms)).unwrap_or(now_ms);
        Ok(claim)
    }

    /// Claims one id; true if it is the consumer's now.
    fn take(&self, id: StreamId, group: &mut Group, stream: &Stream, consumer: &Name, now_ms: i64) -> bool {
        if stream.get(id).is_none() {
            group.acknowledge(id);
            return false;
        }
        let before = group.pending(id);
        if before.is_none() && !self.is_forced {
            return false;
        }
        let idle_ms = before.map(|pending| now_ms.wrapping_sub(pending.delivered_ms));
        if self.min_idle_ms > 0 && idle_ms.is_some_and(|idle_ms| idle_ms < self.min_idle_ms) {
            return false;
        }
        let had = before.map_or(1, |pending| pending.deliveries);
        let more = if self.only_ids { had } else { had.wrapping_add(1) };
        let deliveries = self.deliveries.unwrap_or(more);
        let pending = Pending { consumer: consumer.clone(), delivered_ms: self.delivered_ms, deliveries };
        group.pend(id, pending);
        true
    }
}

fn unrecognized(option: &[u8]) -> CommandError {
    CommandError::other(format!("ERR Unrecognized XCLAIM option '{}'", String::from_utf8_lossy(option)))
}

/// <https://redis.io/docs/latest/commands/xclaim/>
pub(super) fn xclaim(ctx: &mut WriteContext<'_>, args: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    let (_, group) = lookup_group(&ctx.reader(), args[1], args[2])?;
    let is_new = group.consumer(args[3]).is_none();
    let now_ms = ctx.now_ms;
    let claim = Claim::parse(args, now_ms)?;
    let stream = ctx.collection_or_new::<Stream>(args[1])?;
    stream.edit_group(args[2], |group, stream| {
        group.last_id = group.last_id.max(claim.last_id);
        let consumer = group.see(args[3], now_ms);
        let take = |id: &StreamId| claim.take(*id, group, stream, &consumer, now_ms);
        let taken: Vec<StreamId> = claim.ids.iter().copied().filter(take).collect();
        if !taken.is_empty() {
            group.activate(args[3], now_ms);
        }
        write_claimed(reply, stream, &taken, claim.only_ids);
    });
    ctx.count_change();
    if is_new {
        tell(ctx, NEW_CONSUMER, args[1]);
    }
    Ok(())
}

fn write_claimed(reply: &mut Reply<'_>, stream: &Stream, taken: &[StreamId], only_ids: bool) {
    reply.array(taken.len());
    reply.each(taken, |reply, id| match stream.get(*id) {
        Some(entry) if !only_ids => write_entry(reply, entry),
        _ => ids::write(reply, *id),
    });
}

/// The arguments of XAUTOCLAIM.
pub(super) struct AutoClaim {
    min_idle_ms: i64,
    pub start: StreamId,
    pub count: u64,
    only_ids: bool,
}

impl AutoClaim {
    pub(super) fn parse(args: &Args<'_>) -> Result<AutoClaim, CommandError> {
        let min_idle_ms = integer_or(args[4], "ERR Invalid min-idle-time argument for XAUTOCLAIM")?.max(0);
        let start = ids::start(args[5])?;
        let mut claim = AutoClaim { min_idle_ms, start, count: DEFAULT_COUNT, only_ids: false };
        let mut rest = &args[6..];
        loop {
            rest = match rest {
                [] => return Ok(claim),
                [option, value, rest @ ..] if is(option, "COUNT") => {
                    let count = parse_integer(value).filter(|count| (1..=MAX_COUNT).contains(count));
                    claim.count = count.ok_or(CommandError::other("ERR COUNT must be > 0"))? as u64;
                    rest
                }
                [option, rest @ ..] if is(option, "JUSTID") => {
                    claim.only_ids = true;
                    rest
                }
                _ => return Err(CommandError::Syntax),
            }
        }
    }

    fn run(&self, group: &mut Group, stream: &Stream, consumer: &Name, now_ms: i64) -> Claimed {
        let mut claimed = Claimed::default();
        let mut left = self.count;
        let looked_at = usize::try_from(self.count.saturating_mul(ATTEMPTS)).unwrap_or(usize::MAX);
        let mut next = Some(self.start);
        for _ in 0..looked_at {
            let found = next.and_then(|start| group.pending_from(start).next());
            let Some((id, pending)) = found.filter(|_| left > 0) else { break };
            let is_idle = now_ms.wrapping_sub(pending.delivered_ms) >= self.min_idle_ms;
            next = id.next();
            if stream.get(id).is_none() {
                group.acknowledge(id);
                claimed.deleted.push(id);
                left -= 1;
            } else if self.min_idle_ms == 0 || is_idle {
                let more = u64::from(!self.only_ids);
                let deliveries = pending.deliveries.wrapping_add(more);
                group.pend(id, Pending { consumer: consumer.clone(), delivered_ms: now_ms, deliveries });
                claimed.taken.push(id);
                left -= 1;
            }
        }
        let next = next.and_then(|start| group.pending_from(start).next());
        claimed.next = next.map_or(StreamId::MIN, |(id, _)| id);
        claimed
    }
}

/// What XAUTOCLAIM has done.
#[derive(Default)]
struct Claimed {
    taken: Vec<StreamId>,
    /// Entries that are not there any more.
    deleted: Vec<StreamId>,
    /// Where to go on.
    next: StreamId,
}

/// <https://redis.io/docs/latest/commands/xautoclaim/>
pub(super) fn xautoclaim(
    ctx: &mut WriteContext<'_>,
    args: &Args<'_>,
    reply: &mut Reply<'_>,
) -> CommandResult {
    let claim = AutoClaim::parse(args)?;
    let (_, group) = lookup_group(&ctx.reader(), args[1], args[2])?;
    let is_new = group.consumer(args[3]).is_none();
    let now_ms = ctx.now_ms;
    let stream = ctx.collection_or_new::<Stream>(args[1])?;
    stream.edit_group(args[2], |group, stream| {
        let consumer = group.see(args[3], now_ms);
        let claimed = claim.run(group, stream, &consumer, now_ms);
        if !claimed.taken.is_empty() {
            group.activate(args[3], now_ms);
        }
        reply.array(3);
        ids::write(reply, claimed.next);
        write_claimed(reply, stream, &claimed.taken, claim.only_ids);
        reply.array(claimed.deleted.len());
        reply.each(claimed.deleted, ids::write);
    });
    ctx.count_change();
    if is_new {
        tell(ctx, NEW_CONSUMER, args[1]);
    }
    Ok(())
}
