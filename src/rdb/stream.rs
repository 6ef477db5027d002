//! Streams, as Redis 5 (type 15), 7.0 (19) and 7.2 (21) write them.
//!
//! ```text
//! stream    n (id listpack){n} length last_id [first_id deleted_id added] n (name group){n}
//! group     last_id [read] n (id:16 time:i64 count){n} n (name seen:i64 [active:i64] n id:16{n}){n}
//! id        ms seq; as a node's key and where it is pending 16 bytes, big-endian
//! ```
//!
//! - In brackets is what later types have. Numbers are lengths (`string.rs`), names and listpacks are strings.
//! - Written is type 19: Redis 7.0 reads it. When consumers last got something is not in it.
//! - What a group has read of a stream of type 15 follows from its last id, where that tells it.
//! - Nodes without entries are left out. Entries must ascend, and what is pending must have a consumer.

use std::collections::BTreeMap;

use super::input::Input;
use super::string::{write_length, write_string};
use super::{RdbError, Result, kind};
use crate::keyspace::types::stream::{Counters, Group, Node, Pending, Stream, StreamId};

/// More than a node takes beside its bytes, an id that is pending, and a consumer beside its name.
pub(super) const NODE_BYTES: u64 = 512;
pub(super) const PENDING_BYTES: u64 = 256;
pub(super) const CONSUMER_BYTES: u64 = 512;

const NODE: RdbError = RdbError::Malformed("a stream's node");
const IDS: RdbError = RdbError::Malformed("a stream's ids");
const PENDING: RdbError = RdbError::Malformed("a group's pending entries");
const TWICE: RdbError = RdbError::Malformed("a name twice");

/// Redis' word for a number of entries that is not known.
const UNKNOWN: u64 = u64::MAX;

fn id(input: &mut Input<'_>) -> Result<StreamId> {
    Ok(StreamId::new(input.length()?, input.length()?))
}

fn whole_id(input: &mut Input<'_>) -> Result<StreamId> {
    input.array().map(StreamId::from_bytes)
}

fn time(input: &mut Input<'_>) -> Result<i64> {
    input.array().map(i64::from_le_bytes)
}

pub(super) fn read(input: &mut Input<'_>, kind: u8) -> Result<Stream> {
    let mut stream = Stream::new();
    for _ in 0..input.length()? {
        let key = input.string()?;
        let master = StreamId::from_bytes(key.as_ref().try_into().map_err(|_| NODE)?);
        let listpack = input.string()?;
        match Node::from_listpack(master, &listpack) {
            Some(node) => stream.restore_node(master, node).then_some(()).ok_or(IDS)?,
            None if Node::is_empty_listpack(&listpack) => {}
            None => return Err(NODE),
        }
    }
    read_counters(&mut stream, input, kind)?;
    for _ in 0..input.length()? {
        let name = input.string()?.into_owned();
        let mut group = read_group(input, kind)?;
        if kind == kind::STREAM {
            group.entries_read = stream.entries_up_to(group.last_id);
        }
        if !stream.add_group(&name, group) {
            return Err(TWICE);
        }
    }
    Ok(stream)
}

fn read_counters(stream: &mut Stream, input: &mut Input<'_>, kind: u8) -> Result<()> {
    let len = input.length()?;
    let last_id = id(input)?;
    let mut counters = Counters { last_id, max_deleted_id: StreamId::MIN, entries_added: len };
    if kind != kind::STREAM {
        // The first id is that of the first entry.
        id(input)?;
        counters = Counters { max_deleted_id: id(input)?, entries_added: input.length()?, ..counters };
    }
    let fits = len == stream.len() && stream.set_counters(counters);
    fits.then_some(()).ok_or(IDS)
}

fn read_group(input: &mut Input<'_>, kind: u8) -> Result<Group> {
    let last_id = id(input)?;
    let read = if kind == kind::STREAM { UNKNOWN } else { input.length()? };
    let mut group = Group::new(last_id, Some(read as i64).filter(|_| read != UNKNOWN));
    let mut unowned = BTreeMap::new();
    for _ in 0..input.length()? {
        let delivery = (whole_id(input)?, (time(input)?, input.length()?));
        if unowned.insert(delivery.0, delivery.1).is_some() {
            return Err(PENDING);
        }
    }
    for _ in 0..input.length()? {
        let name = input.string()?;
        let seen_ms = time(input)?;
        let active_ms = if kind == kind::STREAM_3 { time(input)? } else { seen_ms };
        if !group.restore_consumer(&name, seen_ms, active_ms) {
            return Err(TWICE);
        }
        let consumer = group.name_of(&name);
        for _ in 0..input.length()? {
            let id = whole_id(input)?;
            let (delivered_ms, deliveries) = unowned.remove(&id).ok_or(PENDING)?;
            group.pend(id, Pending { consumer: consumer.clone(), delivered_ms, deliveries });
        }
    }
    if unowned.is_empty() { Ok(group) } else { Err(PENDING) }
}

fn write_id(out: &mut Vec<u8>, id: StreamId) {
    write_length(out, id.ms);
    write_length(out, id.seq);
}

/// Writes a stream without its type; it stops soon after `most` bytes.
pub(super) fn write(out: &mut Vec<u8>, stream: &Stream, most: usize) {
    write_length(out, stream.nodes().len() as u64);
    for (master, node) in stream.nodes() {
        write_string(out, &master.to_bytes());
        write_string(out, node.listpack());
        if out.len() > most {
            return;
        }
    }
    let Counters { last_id, max_deleted_id, entries_added } = stream.counters();
    write_length(out, stream.len());
    [last_id, stream.first_id(), max_deleted_id].into_iter().for_each(|id| write_id(out, id));
    write_length(out, entries_added);
    write_length(out, stream.groups().len() as u64);
    for (name, group) in stream.groups() {
        write_string(out, name);
        write_group(out, group, most);
        if out.len() > most {
            return;
        }
    }
}

fn write_group(out: &mut Vec<u8>, group: &Group, most: usize) {
    write_id(out, group.last_id);
    write_length(out, group.entries_read.map_or(UNKNOWN, |read| read as u64));
    write_length(out, group.pending_count() as u64);
    for (id, pending) in group.pending_from(StreamId::MIN) {
        if out.len() > most {
            return;
        }
        out.extend_from_slice(&id.to_bytes());
        out.extend_from_slice(&pending.delivered_ms.to_le_bytes());
        write_length(out, pending.deliveries);
    }
    write_length(out, group.consumer_count() as u64);
    for (name, consumer) in group.consumers() {
        if out.len() > most {
            return;
        }
        write_string(out, name);
        out.extend_from_slice(&consumer.seen_ms.to_le_bytes());
        write_length(out, consumer.pending() as u64);
        consumer.pending_from(StreamId::MIN).for_each(|id| out.extend_from_slice(&id.to_bytes()));
    }
}
