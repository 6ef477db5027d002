//! PERDURA LOG: the log of a running node. See `shard::log_reads` and `shard::log_cuts`.

use std::borrow::Cow;
use std::sync::Arc;

use perdura_wal::SegmentView;

use crate::admin::shared::Shared;
use crate::admin::{Answer, Answering};
use crate::command::args::{count, is};
use crate::command::{Args, CommandError};
use crate::propose::seed::for_readers;
use crate::protocol::reply::Reply;
use crate::shard::log_cuts::{Cut, CutOrder};
use crate::shard::log_reads::{LogReadError, LogState};

const TOO_MANY: CommandError =
    CommandError::Other(Cow::Borrowed("ERR too many are asking for that; try again"));
const ENDING: CommandError = CommandError::Other(Cow::Borrowed("ERR the node is ending"));

pub(super) fn log(shared: &Arc<Shared>, args: &Args<'_>) -> Result<Answering, CommandError> {
    let shared = shared.clone();
    match &args[2..] {
        [word] if is(word, "status") => Ok(Box::pin(status(shared))),
        [word, from, max_bytes] if is(word, "read") => {
            Ok(Box::pin(read(shared, count(from)? as u64, count(max_bytes)? as u64)))
        }
        [word, options @ ..] if is(word, "compact") => Ok(Box::pin(compact(shared, cut_order(options)?))),
        _ => Err(CommandError::Syntax),
    }
}

fn cut_order(mut options: &[&[u8]]) -> Result<CutOrder, CommandError> {
    let mut order = CutOrder::default();
    loop {
        options = match options {
            [] => return Ok(order),
            [word, rest @ ..] if is(word, "dryrun") => {
                order.dry_run = true;
                rest
            }
            [word, bytes, rest @ ..] if is(word, "keepbytes") => {
                order.keep_bytes = Some(count(bytes)? as u64);
                rest
            }
            [word, seconds, rest @ ..] if is(word, "keepseconds") => {
                order.keep_ms = Some((count(seconds)? as u64).saturating_mul(1000));
                rest
            }
            _ => return Err(CommandError::Syntax),
        };
    }
}

/// An array of index, term and payload for each entry. Another seed of hash tables is in the place of the cluster's.
async fn read(shared: Arc<Shared>, from_index: u64, max_bytes: u64) -> Result<Answer, CommandError> {
    let reading = shared.shard.log_reads.read(from_index, max_bytes).map_err(refusal)?;
    let chunk = reading.chunk().await.map_err(refusal)?;
    Ok(Box::new(move |reply| {
        reply.array(chunk.entries.len());
        for entry in &chunk.entries {
            reply.array(3);
            reply.integer(entry.index as i64);
            reply.integer(entry.term as i64);
            reply.bulk(&for_readers(&entry.payload));
        }
    }))
}

async fn status(shared: Arc<Shared>) -> Result<Answer, CommandError> {
    let state = shared.shard.log_reads.look().await.map_err(refusal)?;
    Ok(Box::new(move |reply| write_state(&state, reply)))
}

/// A map. Indexes and terms are 0 where there is nothing, times nil.
fn write_state(state: &LogState, reply: &mut Reply<'_>) {
    reply.map(20);
    for (name, text) in [
        ("log_id", format!("{:#018x}", state.log_id)),
        ("cluster_id", state.cluster.to_string()),
        ("older_cluster_id", state.identity.older_key.to_string()),
    ] {
        reply.bulk(name.as_bytes());
        reply.bulk(text.as_bytes());
    }
    let used_bytes = state.segments.iter().map(|segment| segment.used_bytes).sum();
    let bytes = state.segments.iter().map(|segment| segment.file_bytes).sum();
    for (name, number) in [
        ("node_id", state.identity.node_id),
        ("term", state.hard_state.term),
        ("vote", state.hard_state.vote),
        ("committed", state.committed_index),
        ("applied", state.applied_index),
        ("first_index", state.first_index),
        ("last_index", state.last.index),
        ("last_term", state.last.term),
        ("compacted_index", state.base.index),
        ("compacted_term", state.base.term),
        ("bytes", bytes),
        ("used_bytes", used_bytes),
        ("ready_bytes", state.ready_bytes),
    ] {
        reply.bulk(name.as_bytes());
        reply.integer(number as i64);
    }
    for (name, time) in [("oldest_ms", state.oldest_ms), ("newest_ms", state.newest_ms)] {
        reply.bulk(name.as_bytes());
        match time {
            Some(ms) => reply.integer(ms),
            None => reply.null(),
        }
    }
    reply.bulk(b"members");
    reply.array(state.identity.members.len());
    state.identity.members.iter().for_each(|member| reply.integer(*member as i64));
    reply.bulk(b"segments");
    reply.array(state.segments.len());
    state.segments.iter().for_each(|segment| write_segment(segment, reply));
}

/// File, its bytes, bytes used, first and last entry (0 for none).
fn write_segment(segment: &SegmentView, reply: &mut Reply<'_>) {
    let (first, last) = segment.entries.unwrap_or_default();
    reply.array(5);
    reply.bulk(segment.file.as_bytes());
    for number in [segment.file_bytes, segment.used_bytes, first, last] {
        reply.integer(number as i64);
    }
}

async fn compact(shared: Arc<Shared>, order: CutOrder) -> Result<Answer, CommandError> {
    let cut = shared.shard.log_cuts.ask(order).ok_or(TOO_MANY)?;
    let cut = cut.await.map_err(|_| ENDING)?;
    Ok(Box::new(move |reply| write_cut(&cut, reply)))
}

/// A map; no checkpoint is 0.
fn write_cut(cut: &Cut, reply: &mut Reply<'_>) {
    reply.map(6);
    for (name, number) in [
        ("first_index_before", cut.first_index_before),
        ("first_index", cut.first_index),
        ("last_index", cut.last_index),
        ("oldest_checkpoint", cut.oldest_checkpoint.unwrap_or(0)),
        ("freed_bytes", cut.freed_bytes),
    ] {
        reply.bulk(name.as_bytes());
        reply.integer(number as i64);
    }
    reply.bulk(b"kept_by");
    reply.bulk(cut.kept_by.as_bytes());
}

fn refusal(error: LogReadError) -> CommandError {
    CommandError::other(format!("ERR {error}"))
}
