//! XPENDING.

use super::{ids, lookup_group};
use crate::command::args::{integer, is};
use crate::command::{Args, CommandError, CommandResult, ReadContext};
use crate::keyspace::types::stream::{Group, Pending, StreamId};
use crate::protocol::reply::Reply;

/// The arguments of the extended form.
pub(super) struct PendingArgs<'a> {
    pub min_idle_ms: i64,
    start: StreamId,
    end: StreamId,
    pub count: u64,
    pub consumer: Option<&'a [u8]>,
}

impl<'a> PendingArgs<'a> {
    /// `None` is the summary.
    pub(super) fn parse(args: &Args<'a>) -> Result<Option<PendingArgs<'a>>, CommandError> {
        if args.len() == 3 {
            return Ok(None);
        }
        if !(6..=9).contains(&args.len()) {
            return Err(CommandError::Syntax);
        }
        let (mut min_idle_ms, mut rest) = (0, &args[3..]);
        if is(rest[0], "IDLE") {
            min_idle_ms = integer(rest[1])?;
            rest = &rest[2..];
        }
        let [start, end, count, consumer @ ..] = rest else { return Err(CommandError::Syntax) };
        let count = integer(count)?.max(0) as u64;
        let (start, end) = (ids::start(start)?, ids::end(end)?);
        Ok(Some(PendingArgs { min_idle_ms, start, end, count, consumer: consumer.first().copied() }))
    }
}

/// <https://redis.io/docs/latest/commands/xpending/>
pub(super) fn xpending(ctx: &ReadContext<'_>, args: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    let pending = PendingArgs::parse(args)?;
    let (_, group) = lookup_group(ctx, args[1], args[2])?;
    match pending {
        None => write_summary(group, reply),
        Some(pending) => write_pending(group, &pending, ctx.now_ms, reply),
    }
    Ok(())
}

fn write_summary(group: &Group, reply: &mut Reply<'_>) {
    reply.array(4);
    reply.integer(group.pending_count() as i64);
    let first = group.pending_from(StreamId::MIN).next();
    let (Some((first, _)), Some(last)) = (first, group.last_pending()) else {
        reply.null();
        reply.null();
        reply.null_array();
        return;
    };
    ids::write(reply, first);
    ids::write(reply, last);
    let busy = || group.consumers().filter(|(_, consumer)| consumer.pending() > 0);
    reply.array(busy().count());
    reply.each(busy(), |reply, (name, consumer)| {
        reply.array(2);
        reply.bulk(name);
        reply.bulk_integer(consumer.pending() as i64);
    });
}

fn write_pending(group: &Group, wanted: &PendingArgs<'_>, now_ms: i64, reply: &mut Reply<'_>) {
    let most = usize::try_from(wanted.count).unwrap_or(usize::MAX);
    let is_wanted = |id: StreamId, pending: &Pending| {
        let idle_ms = now_ms.wrapping_sub(pending.delivered_ms);
        id <= wanted.end && (wanted.min_idle_ms == 0 || idle_ms >= wanted.min_idle_ms)
    };
    let found: Vec<(StreamId, &Pending)> = match wanted.consumer {
        Some(name) => {
            let own = group.consumer(name).into_iter().flat_map(|own| own.pending_from(wanted.start));
            let own = own.take_while(|id| *id <= wanted.end);
            let own = own.filter_map(|id| Some((id, group.pending(id)?)));
            own.filter(|(id, pending)| is_wanted(*id, pending)).take(most).collect()
        }
        None => {
            let all = group.pending_from(wanted.start).take_while(|(id, _)| *id <= wanted.end);
            all.filter(|(id, pending)| is_wanted(*id, pending)).take(most).collect()
        }
    };
    reply.array(found.len());
    reply.each(found, |reply, (id, pending)| {
        reply.array(4);
        ids::write(reply, id);
        reply.bulk(&pending.consumer);
        reply.integer(now_ms.wrapping_sub(pending.delivered_ms).max(0));
        reply.integer(pending.deliveries as i64);
    });
}
