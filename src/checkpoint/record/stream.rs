//! Streams in a checkpoint: nodes as they are, and groups.
//!
//! ```text
//! stream   last_id max_deleted_id added:varint
//!          n:varint (id element){n}                           nodes: the id and the listpack of each
//!          n:varint (element group){n}                        groups, by name
//! group    last_id read:varint                                read: one more than the entries read, 0 where that is unknown
//!          n:varint (element seen:i64 active:i64){n}          consumers, by name
//!          n:varint (id consumer:varint time:i64 count:varint){n}     what is pending; consumers by their place
//! id       ms:varint seq:varint
//! ```

use super::Fault;
use super::content::{Content, put_varint};
use crate::keyspace::types::stream::{Counters, Group, Name, Node, Pending, Stream, StreamId};

fn put_id(out: &mut Vec<u8>, id: StreamId) {
    put_varint(out, id.ms);
    put_varint(out, id.seq);
}

fn put_element(out: &mut Vec<u8>, bytes: &[u8]) {
    put_varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// Gives the content of a stream to `sink`, piece by piece.
pub(super) fn write<E>(stream: &Stream, sink: &mut impl FnMut(&[u8]) -> Result<(), E>) -> Result<(), E> {
    let Counters { last_id, max_deleted_id, entries_added } = stream.counters();
    let mut piece = Vec::new();
    put_id(&mut piece, last_id);
    put_id(&mut piece, max_deleted_id);
    put_varint(&mut piece, entries_added);
    put_varint(&mut piece, stream.nodes().len() as u64);
    for (id, node) in stream.nodes() {
        put_id(&mut piece, id);
        put_varint(&mut piece, node.listpack().len() as u64);
        sink(&piece)?;
        sink(node.listpack())?;
        piece.clear();
    }
    put_varint(&mut piece, stream.groups().len() as u64);
    for (name, group) in stream.groups() {
        put_element(&mut piece, name);
        write_group(group, &mut piece, sink)?;
    }
    sink(&piece)
}

fn write_group<E>(
    group: &Group,
    piece: &mut Vec<u8>,
    sink: &mut impl FnMut(&[u8]) -> Result<(), E>,
) -> Result<(), E> {
    put_id(piece, group.last_id);
    put_varint(piece, group.entries_read.map_or(0, |read| (read as u64).wrapping_add(1)));
    put_varint(piece, group.consumer_count() as u64);
    let mut names: Vec<&Name> = Vec::with_capacity(group.consumer_count());
    for (name, consumer) in group.consumers() {
        put_element(piece, name);
        piece.extend(consumer.seen_ms.to_le_bytes());
        piece.extend(consumer.active_ms.to_le_bytes());
        sink(piece)?;
        piece.clear();
        names.push(name);
    }
    put_varint(piece, group.pending_count() as u64);
    for (id, pending) in group.pending_from(StreamId::MIN) {
        put_id(piece, id);
        put_varint(piece, names.partition_point(|name| **name < pending.consumer) as u64);
        piece.extend(pending.delivered_ms.to_le_bytes());
        put_varint(piece, pending.deliveries);
        sink(piece)?;
        piece.clear();
    }
    Ok(())
}

fn id<E: From<Fault>>(content: &mut Content<'_, '_, E>) -> Result<StreamId, E> {
    Ok(StreamId::new(content.varint()?, content.varint()?))
}

fn number<E: From<Fault>>(content: &mut Content<'_, '_, E>) -> Result<i64, E> {
    Ok(i64::from_le_bytes(content.array()?))
}

pub(super) fn read<E: From<Fault>>(content: &mut Content<'_, '_, E>) -> Result<Stream, E> {
    let fault = |found| E::from(Fault::Stream { found });
    let (last_id, max_deleted_id) = (id(content)?, id(content)?);
    let counters = Counters { last_id, max_deleted_id, entries_added: content.varint()? };
    let mut stream = Stream::new();
    for _ in 0..content.varint()? {
        let id = id(content)?;
        let node = Node::from_listpack(id, content.element()?).ok_or(fault("node"))?;
        if !stream.restore_node(id, node) {
            return Err(fault("order of nodes"));
        }
    }
    if !stream.set_counters(counters) {
        return Err(fault("last id"));
    }
    for _ in 0..content.varint()? {
        let name = content.element()?.to_vec();
        if !stream.add_group(&name, read_group(content)?) {
            return Err(Fault::Twice.into());
        }
    }
    Ok(stream)
}

fn read_group<E: From<Fault>>(content: &mut Content<'_, '_, E>) -> Result<Group, E> {
    let last_id = id(content)?;
    let entries_read = content.varint()?.checked_sub(1).map(|read| read as i64);
    let mut group = Group::new(last_id, entries_read);
    let mut names: Vec<Name> = Vec::new();
    for _ in 0..content.varint()? {
        let name = content.element()?.to_vec();
        if !group.restore_consumer(&name, number(content)?, number(content)?) {
            return Err(Fault::Twice.into());
        }
        names.push(group.name_of(&name));
    }
    for _ in 0..content.varint()? {
        let id = id(content)?;
        let place = content.varint()?;
        let consumer = usize::try_from(place).ok().and_then(|place| names.get(place)).cloned();
        let consumer = consumer.ok_or(Fault::Stream { found: "consumer" })?;
        let (delivered_ms, deliveries) = (number(content)?, content.varint()?);
        if group.pending(id).is_some() {
            return Err(Fault::Twice.into());
        }
        group.pend(id, Pending { consumer, delivered_ms, deliveries });
    }
    Ok(group)
}
