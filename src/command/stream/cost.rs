//! What it costs to read streams, and to claim and to list what is pending; what changes of streams weigh in scripts.
//!
//! Entries are told by the nodes that hold them: an element of a node takes two bytes at least, and sixteen bytes of it a step.

use super::claim::{ATTEMPTS, AutoClaim, DEFAULT_COUNT};
use super::options::ReadOptions;
use super::pending::PendingArgs;
use super::read::{Interval, ids_behind};
use super::{ids, info};
use crate::command::Args;
use crate::command::args::is;
use crate::command::cost::{Cost, CostContext, Size};
use crate::keyspace::types::limits::MAX_NODE_ENTRIES;
use crate::keyspace::types::stream::{Group, Stream, StreamId};

/// Bytes of a node that are passed in a step.
const NODE_BYTES_PER_STEP: u64 = 16;
/// Bytes of a node that are passed in a step of a script.
const NODE_BYTES_PER_LUA_STEP: u64 = 2;
/// Steps of a script in which an entry that is pending is forgotten.
const LUA_STEPS_PER_PENDING: u64 = 16;
/// How often a node is passed, by steps, where entries of it are trimmed, or one is deleted.
const LUA_STEPS_OF_TRIM: u64 = 9;
const LUA_STEPS_OF_DELETION: u64 = 6;
/// What a pending entry takes at most, in both places, with room for more.
const PENDING_BYTES: u64 = 256;

fn of_nodes((entries, bytes): (u64, u64)) -> u64 {
    entries.saturating_add(bytes / NODE_BYTES_PER_STEP)
}

fn stream<'a>(context: &CostContext<'_, 'a>, key: &[u8]) -> Option<&'a Stream> {
    context.reader.collection::<Stream>(key).ok().flatten()
}

fn group<'a>(context: &CostContext<'_, 'a>, key: &[u8], name: &[u8]) -> Option<&'a Group> {
    stream(context, key)?.group(name)
}

/// XRANGE, XREVRANGE.
pub(super) fn range<const REVERSE: bool>(context: &CostContext<'_, '_>, args: &Args<'_>) -> Cost {
    let cost = Cost::of_args(args);
    let Ok(interval) = Interval::parse(args, REVERSE) else { return cost };
    let Some(stream) = stream(context, args[1]) else { return cost.walking(context.gained(args[1])) };
    let most = interval.count.unwrap_or(u64::MAX);
    let walked = match REVERSE {
        true => stream.size_before(interval.end, interval.start, most),
        false => stream.size_between(interval.start, interval.end, most),
    };
    cost.walking(of_nodes(walked)).walking(context.gained(args[1]).min(most))
}

/// XREAD.
pub(super) fn read(context: &CostContext<'_, '_>, args: &Args<'_>) -> Cost {
    let cost = Cost::of_args(args);
    let Ok(options) = ReadOptions::parse(args, false) else { return cost };
    let Ok(ids) = ids_behind(context.reader, &options) else { return cost };
    let each = options.keys.iter().zip(ids).map(|(key, id)| {
        let walked = stream(context, key)
            .map_or(0, |stream| of_nodes(stream.size_between(id, StreamId::MAX, options.most())));
        walked.saturating_add(context.gained(key).min(options.most()))
    });
    cost.walking(each.fold(0, u64::saturating_add))
}

/// XREADGROUP: what is delivered is pending from then on.
pub(super) fn read_group(context: &CostContext<'_, '_>, args: &Args<'_>) -> Cost {
    let cost = Cost::of_args(args);
    let Ok(options) = ReadOptions::parse(args, true) else { return cost };
    let Some((name, consumer)) = options.group else { return cost };
    let mut entries = 0_u64;
    let mut walked = 0_u64;
    for (key, id) in options.keys.iter().zip(options.ids) {
        let planned = context.gained(key);
        let Some(stream) = stream(context, key) else { continue };
        let Some(group) = stream.group(name) else { continue };
        let start = match ids::exact(id, 0) {
            Ok(id) => {
                let pending = group.consumer(consumer).map_or(0, |own| own.pending() as u64);
                let pending = pending.saturating_add(planned).min(options.most());
                walked = walked.saturating_add(pending.saturating_mul(16));
                id
            }
            Err(_) => group.last_id,
        };
        let most = options.most();
        walked = walked.saturating_add(of_nodes(stream.size_between(start, StreamId::MAX, most)));
        entries = entries
            .saturating_add(stream.count(start, StreamId::MAX, most).saturating_add(planned).min(most));
    }
    let pending = Size { elements: entries, bytes: entries.saturating_mul(PENDING_BYTES) };
    cost.walking(walked.saturating_add(entries)).growing(pending)
}

/// XCLAIM: each id may become pending, and each entry is answered.
pub(super) fn claim(context: &CostContext<'_, '_>, args: &Args<'_>) -> Cost {
    let cost = Cost::of_args(args);
    let stream = args.get(1).and_then(|key| stream(context, key));
    let ids = args.get(5..).unwrap_or_default().iter().filter_map(|arg| ids::exact(arg, 0).ok());
    let (mut walked, mut count) = (0_u64, 0);
    for id in ids {
        let node = stream.map_or((0, 0), |stream| stream.size_between(id, id, 1));
        (walked, count) = (walked.saturating_add(of_nodes(node)), count + 1);
    }
    let pending = Size { elements: count, bytes: count.saturating_mul(PENDING_BYTES) };
    cost.walking(walked).growing(pending)
}

/// XAUTOCLAIM: entries that it looks at, and those that it answers.
pub(super) fn auto_claim(context: &CostContext<'_, '_>, args: &Args<'_>) -> Cost {
    let cost = Cost::of_args(args);
    let (start, count) = match AutoClaim::parse(args) {
        Ok(claim) => (claim.start, claim.count),
        Err(_) => (StreamId::MIN, DEFAULT_COUNT),
    };
    let [_, key, name, ..] = args else { return cost };
    let planned = context.gained(key).min(count.saturating_mul(ATTEMPTS));
    let (Some(stream), Some(group)) = (stream(context, key), group(context, key, name)) else {
        return cost.walking(planned);
    };
    let pending = group.pending_from(start).next().map_or(0, |_| group.pending_count() as u64);
    let node_bytes = context.size(key).bytes / (stream.nodes().len() as u64).max(1);
    let each = of_nodes((MAX_NODE_ENTRIES, node_bytes));
    let answered = count.min(pending).saturating_mul(each);
    let walked = count.saturating_mul(ATTEMPTS).min(pending).saturating_add(answered);
    cost.walking(walked).walking(planned)
}

/// XPENDING.
pub(super) fn pending(context: &CostContext<'_, '_>, args: &Args<'_>) -> Cost {
    let cost = Cost::of_args(args);
    let [_, key, name, ..] = args else { return cost };
    let planned = context.gained(key);
    let Some(group) = group(context, key, name) else { return cost.walking(planned) };
    let walked = match PendingArgs::parse(args) {
        Ok(None) => 2 * group.consumer_count() as u64,
        Ok(Some(wanted)) => {
            let own = wanted.consumer.map(|name| group.consumer(name).map_or(0, |own| own.pending()));
            let all = own.unwrap_or(group.pending_count()) as u64;
            let all = all.saturating_add(planned);
            if wanted.min_idle_ms == 0 { all.min(wanted.count) } else { all }
        }
        Err(_) => 0,
    };
    cost.walking(walked).walking(planned.min(walked))
}

/// XINFO: the groups of a stream, with FULL what they have, and entries.
pub(super) fn info(context: &CostContext<'_, '_>, args: &Args<'_>) -> Cost {
    let cost = Cost::of_args(args);
    let Some(stream) = args.get(2).and_then(|key| stream(context, key)) else { return cost };
    let planned = context.gained(args[2]);
    let groups = stream.groups().map(|(_, group)| 1 + group.consumer_count() as u64);
    let mut walked = groups.fold(0, u64::saturating_add);
    if let Ok(Some(count)) = info::full_count(args) {
        let most = if count == 0 { u64::MAX } else { count };
        walked = walked.saturating_add(of_nodes(stream.size_between(StreamId::MIN, StreamId::MAX, most)));
        let each = stream.groups().map(|(_, group)| {
            let consumers = group.consumers();
            let own = consumers.map(|(_, own)| (own.pending() as u64).min(most).saturating_mul(2));
            own.fold((group.pending_count() as u64).min(most), u64::saturating_add)
        });
        walked = each.fold(walked, u64::saturating_add);
    }
    cost.walking(walked).walking(planned)
}

/// XGROUP DELCONSUMER: what is pending for it.
pub(super) fn delete_consumer(context: &CostContext<'_, '_>, args: &Args<'_>) -> Cost {
    let cost = Cost::of_args(args);
    let [_, _, key, name, consumer] = args else { return cost };
    let own = group(context, key, name).and_then(|group| group.consumer(consumer));
    cost.walking(own.map_or(0, |own| own.pending() as u64)).walking(context.gained(key))
}

/// XADD, XTRIM: of the first node entries are counted, flagged and passed, but where only whole nodes go.
pub(super) fn weight_of_trim(context: &CostContext<'_, '_>, args: &Args<'_>) -> u64 {
    let is_exact = |pair: &[&[u8]]| (is(pair[0], "MAXLEN") || is(pair[0], "MINID")) && pair[1] != b"~";
    let trims = args.get(2..).is_some_and(|options| options.windows(2).any(is_exact));
    let first = args.get(1).filter(|_| trims).and_then(|key| stream(context, key)?.nodes().next());
    first.map_or(0, |(_, node)| {
        LUA_STEPS_OF_TRIM * weight_of_node(node.all_entries(), node.listpack().len() as u64)
    })
}

/// XDEL: each entry is found in its node, and flagged.
pub(super) fn weight_of_deletion(context: &CostContext<'_, '_>, args: &Args<'_>) -> u64 {
    let Some(stream) = args.get(1).and_then(|key| stream(context, key)) else { return 0 };
    let ids = args.iter().skip(2).filter_map(|arg| ids::exact(arg, 0).ok());
    let nodes = ids.map(|id| stream.size_between(id, id, 1));
    nodes.fold(0, |sum, (entries, bytes)| {
        sum.saturating_add(LUA_STEPS_OF_DELETION * weight_of_node(entries, bytes))
    })
}

/// XGROUP DESTROY: what is pending for all.
pub(super) fn weight_of_destruction(context: &CostContext<'_, '_>, args: &Args<'_>) -> u64 {
    let [_, _, key, name] = args else { return 0 };
    let pending = group(context, key, name).map_or(0, |group| group.pending_count() as u64);
    pending.saturating_mul(LUA_STEPS_PER_PENDING)
}

fn weight_of_node(entries: u64, bytes: u64) -> u64 {
    entries + bytes / NODE_BYTES_PER_LUA_STEP
}
