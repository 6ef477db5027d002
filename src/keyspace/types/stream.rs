//! Streams: entries of fields and values in the order of their ids, and groups of consumers that read them.
//!
//! - Entries lie packed in nodes, which are Redis' own listpacks: an entry takes the bytes that it takes there, and a DUMP
//!   takes the nodes as they are.
//! - Nodes, groups, consumers and what is pending are sorted maps in pieces that clones share (`ordered.rs`).
//! - To append, to find an id, to delete and to take whole segments off the front costs O(log n).
//! - A stream may be empty and stays: it remembers its last id, and its groups.

mod group;
mod id;
mod node;
mod ordered;
#[cfg(test)]
pub mod testing;
#[cfg(test)]
mod tests;
mod trim;

use std::mem::size_of;
use std::sync::Arc;

use super::limits::NodeLimits;
pub use group::{Consumer, Group, NEVER_MS, Name, Pending};
pub use id::StreamId;
pub use node::{Node, StreamEntry};
use ordered::Ordered;
pub use ordered::Weigh;
pub use trim::{Trim, TrimTo};

pub use super::listpack::StreamText;

/// Most bytes of an entry's fields and values (`STREAM_LISTPACK_MAX_SIZE`).
pub const MAX_ENTRY_BYTES: usize = 1 << 30;

/// Nodes with more entries come from a Redis with other settings; they are packed again.
const MAX_FOREIGN_ENTRIES: u64 = 1000;

/// A stream value.
#[derive(Clone, Debug)]
pub struct Stream(Box<Inner>);

#[derive(Clone, Debug, Default)]
struct Inner {
    nodes: Ordered<StreamId, Node>,
    groups: Ordered<Name, Arc<Group>>,
    counters: Counters,
    first_id: StreamId,
}

/// What a stream remembers beside its entries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// The newest id that was given; the next is greater.
    pub last_id: StreamId,
    /// The greatest id that was deleted.
    pub max_deleted_id: StreamId,
    /// How many entries were ever added.
    pub entries_added: u64,
}

impl Default for Stream {
    fn default() -> Self {
        Self::new()
    }
}

/// Entries, deleted ones included, and bytes of the first nodes that have `most` entries, or of all. Of the first node all may lie outside.
fn size_of_nodes<'n>(nodes: impl Iterator<Item = &'n Node>, most: u64) -> (u64, u64) {
    let (mut entries, mut bytes, mut found) = (0, 0, 0);
    for node in nodes {
        entries += node.all_entries();
        bytes += node.listpack().len() as u64;
        found += node.weight();
        if found >= most.saturating_add(MAX_FOREIGN_ENTRIES) {
            break;
        }
    }
    (entries, bytes)
}

impl Stream {
    pub fn new() -> Self {
        Stream(Box::default())
    }

    /// The number of entries.
    pub fn len(&self) -> u64 {
        self.0.nodes.weight()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Entries, groups, consumers and what is pending.
    pub fn parts(&self) -> usize {
        usize::try_from(self.len() + self.0.groups.weight()).unwrap_or(usize::MAX)
    }

    pub fn encoding_name(&self) -> &'static str {
        "stream"
    }

    /// Bytes of the value and everything it holds on the heap. O(1).
    pub fn memory_bytes(&self) -> usize {
        size_of::<Self>() + size_of::<Inner>() + self.0.nodes.heap_bytes() + self.0.groups.heap_bytes()
    }

    pub fn counters(&self) -> Counters {
        self.0.counters
    }

    /// Sets what the stream remembers; false, and nothing is set, where it has an entry above the last id.
    pub fn set_counters(&mut self, counters: Counters) -> bool {
        let fits = self.last_entry_id().is_none_or(|id| id <= counters.last_id);
        if fits {
            self.0.counters = counters;
        }
        fits
    }

    /// The id of the first entry, 0-0 where there is none.
    pub fn first_id(&self) -> StreamId {
        self.0.first_id
    }

    /// The id of the last entry that is there.
    pub fn last_entry_id(&self) -> Option<StreamId> {
        let (master, node) = self.0.nodes.last()?;
        node.entries(*master).last().map(|entry| entry.id)
    }

    /// The id that an entry gets at this time, if there is any left.
    pub fn next_id(&self, now_ms: i64) -> Option<StreamId> {
        let (ms, last) = (now_ms.max(0) as u64, self.0.counters.last_id);
        if ms > last.ms { Some(StreamId::new(ms, 0)) } else { last.next() }
    }

    /// Adds an entry of fields and values in turn. Its id must be above the last.
    pub fn append(&mut self, id: StreamId, pairs: &[&[u8]], limits: NodeLimits) {
        debug_assert!(id > self.0.counters.last_id, "ids of a stream ascend");
        self.push(id, pairs, limits);
        self.0.counters.last_id = id;
        self.0.counters.entries_added = self.0.counters.entries_added.wrapping_add(1);
    }

    fn push(&mut self, id: StreamId, pairs: &[&[u8]], limits: NodeLimits) {
        let bytes = pairs.iter().map(|text| text.len()).sum();
        let nodes = &mut self.0.nodes;
        let master =
            nodes.last().filter(|(_, node)| node.has_room_for(bytes, limits)).map(|(master, _)| *master);
        if let Some(master) = master {
            nodes.edit_last(|node| node.push(master, id, pairs));
        } else {
            let fields: Vec<&[u8]> = pairs.iter().copied().step_by(2).collect();
            let mut node = Node::new(fields.into_iter());
            node.push(id, id, pairs);
            nodes.insert(id, node);
        }
        if self.len() == 1 {
            self.0.first_id = id;
        }
    }

    /// The id of the node in which an entry with this id would be.
    fn master_of(&self, id: StreamId) -> Option<StreamId> {
        self.0.nodes.iter_back(|master| *master <= id).next().map(|(master, _)| *master)
    }

    pub fn get(&self, id: StreamId) -> Option<StreamEntry<'_>> {
        let (master, node) = self.0.nodes.iter_back(|master| *master <= id).next()?;
        node.find(*master, id)
    }

    /// Entries from `start` to `end`, both included, in order.
    pub fn range(&self, start: StreamId, end: StreamId) -> impl Iterator<Item = StreamEntry<'_>> {
        let from = self.master_of(start).unwrap_or(start);
        let entries = self.0.nodes.iter_from(move |master| *master < from);
        let entries = entries.flat_map(|(master, node)| node.entries(*master));
        entries.skip_while(move |entry| entry.id < start).take_while(move |entry| entry.id <= end)
    }

    /// The same in reverse order.
    pub fn range_back(&self, start: StreamId, end: StreamId) -> impl Iterator<Item = StreamEntry<'_>> {
        let nodes = self.0.nodes.iter_back(move |master| *master <= end);
        let entries = nodes.flat_map(|(master, node)| {
            let entries: Vec<StreamEntry<'_>> = node.entries(*master).collect();
            entries.into_iter().rev()
        });
        entries.skip_while(move |entry| entry.id > end).take_while(move |entry| entry.id >= start)
    }

    /// How many entries there are from `start` to `end`, but at most `most`. Nodes that lie wholly between are not walked.
    pub fn count(&self, start: StreamId, end: StreamId, most: u64) -> u64 {
        let mut counted = 0;
        for (master, node, is_whole) in self.nodes_between(start, end) {
            counted += match is_whole {
                true => node.weight(),
                false => {
                    let within = node.entries(master).filter(|entry| start <= entry.id && entry.id <= end);
                    within.count() as u64
                }
            };
            if counted >= most {
                return most;
            }
        }
        counted
    }

    /// Nodes that may have entries from `start` to `end`, and whether all of theirs are.
    fn nodes_between(&self, start: StreamId, end: StreamId) -> impl Iterator<Item = (StreamId, &Node, bool)> {
        let from = self.master_of(start).unwrap_or(start);
        let mut nodes = self.0.nodes.iter_from(move |master| *master < from).peekable();
        std::iter::from_fn(move || {
            let (master, node) = nodes.next().filter(|(master, _)| **master <= end)?;
            let is_whole = *master >= start && nodes.peek().is_some_and(|(next, _)| **next <= end);
            Some((*master, node, is_whole))
        })
    }

    /// Entries, deleted ones included, and bytes of the nodes that have the first `most` entries from `start` to `end`.
    pub fn size_between(&self, start: StreamId, end: StreamId, most: u64) -> (u64, u64) {
        size_of_nodes(self.nodes_between(start, end).map(|(_, node, _)| node), most)
    }

    /// The same of the nodes that have the last `most` entries.
    pub fn size_before(&self, end: StreamId, start: StreamId, most: u64) -> (u64, u64) {
        let mut is_passed = false;
        let nodes = self.0.nodes.iter_back(move |master| *master <= end);
        let within =
            nodes.take_while(move |(master, _)| !std::mem::replace(&mut is_passed, **master <= start));
        size_of_nodes(within.map(|(_, node)| node), most)
    }

    /// Deletes an entry; false where there is none.
    pub fn delete(&mut self, id: StreamId) -> bool {
        let Some(master) = self.master_of(id) else { return false };
        let nodes = &mut self.0.nodes;
        let Some(node) = nodes.get(&master).filter(|node| node.find(master, id).is_some()) else {
            return false;
        };
        if node.weight() == 1 {
            nodes.remove(&master);
        } else {
            nodes.edit(&master, |node| node.delete(master, 1, |other| other == id));
        }
        self.0.counters.max_deleted_id = self.0.counters.max_deleted_id.max(id);
        if id == self.0.first_id || self.is_empty() {
            self.find_first();
        }
        true
    }

    fn find_first(&mut self) {
        let first = self.range(StreamId::MIN, StreamId::MAX).next().map(|entry| entry.id);
        self.0.first_id = first.unwrap_or_default();
    }

    /// Nodes in order, with their ids.
    pub fn nodes(&self) -> impl ExactSizeIterator<Item = (StreamId, &Node)> {
        let nodes = self.0.nodes.iter().map(|(master, node)| (*master, node));
        Counted { items: nodes, left: self.0.nodes.len() }
    }

    /// Puts a node behind all others; false where its ids do not ascend.
    pub fn restore_node(&mut self, master: StreamId, node: Node) -> bool {
        let first = node.entries(master).next().map(|entry| entry.id);
        let last = self.last_entry_id();
        let ascends = first.is_some_and(|first| last.is_none_or(|last| last < first));
        let comes_after = self.0.nodes.last().is_none_or(|(before, _)| *before < master);
        if !ascends || !comes_after || first.is_some_and(|first| first < master) {
            return false;
        }
        if node.all_entries() > MAX_FOREIGN_ENTRIES {
            for entry in node.entries(master) {
                let texts: Vec<Vec<u8>> = entry.texts().map(StreamText::to_vec).collect();
                let pairs: Vec<&[u8]> = texts.iter().map(Vec::as_slice).collect();
                self.push(entry.id, &pairs, NodeLimits::DEFAULT);
            }
        } else {
            self.0.nodes.insert(master, node);
            if last.is_none() {
                self.find_first();
            }
        }
        true
    }

    /// Groups in the order of their names.
    pub fn groups(&self) -> impl ExactSizeIterator<Item = (&Name, &Group)> {
        let groups = self.0.groups.iter().map(|(name, group)| (name, &**group));
        Counted { items: groups, left: self.0.groups.len() }
    }

    pub fn group(&self, name: &[u8]) -> Option<&Group> {
        self.0.groups.get(name).map(|group| &**group)
    }

    /// Adds a group; false where there is one of that name.
    pub fn add_group(&mut self, name: &[u8], group: Group) -> bool {
        let is_new = self.0.groups.get(name).is_none();
        if is_new {
            self.0.groups.insert(Arc::from(name), Arc::new(group));
        }
        is_new
    }

    /// Changes a group; the stream is lent beside it, without its groups.
    pub fn edit_group<T>(&mut self, name: &[u8], change: impl FnOnce(&mut Group, &Stream) -> T) -> Option<T> {
        let mut groups = std::mem::take(&mut self.0.groups);
        let changed = groups.edit(name, |group| change(Arc::make_mut(group), self));
        self.0.groups = groups;
        changed
    }

    /// Removes a group and hands it out, for to free it may take long: as a stream that has nothing else.
    pub fn remove_group(&mut self, name: &[u8]) -> Option<Stream> {
        let group = self.0.groups.remove(name)?;
        let mut removed = Stream::new();
        removed.0.groups.insert(Arc::from(name), group);
        Some(removed)
    }

    /// How many entries were added up to this id, if that can be told.
    pub fn entries_up_to(&self, id: StreamId) -> Option<i64> {
        let Counters { last_id, max_deleted_id, entries_added } = self.0.counters;
        let (added, len) = (entries_added as i64, self.len() as i64);
        if entries_added == 0 {
            return Some(0);
        }
        if id == last_id || id < last_id && len == 0 {
            return Some(added);
        }
        // Deletions between entries make it unknowable, and so does an id that is still to come.
        let is_whole = max_deleted_id == StreamId::MIN || max_deleted_id < self.0.first_id;
        match id.cmp(&self.0.first_id) {
            _ if id > last_id || !is_whole => None,
            std::cmp::Ordering::Less => Some(added.wrapping_sub(len)),
            std::cmp::Ordering::Equal => Some(added.wrapping_sub(len).wrapping_add(1)),
            std::cmp::Ordering::Greater => None,
        }
    }

    /// Whether an entry from this id on was deleted, and others before it are still there.
    pub fn has_deleted_from(&self, start: StreamId) -> bool {
        let deleted = self.0.counters.max_deleted_id;
        let is_within = start <= deleted && self.0.first_id <= deleted;
        !self.is_empty() && deleted != StreamId::MIN && is_within
    }

    /// How many entries a group has not read, if that can be told.
    pub fn lag(&self, group: &Group) -> Option<i64> {
        let added = self.0.counters.entries_added as i64;
        if added == 0 {
            return Some(0);
        }
        let read = group.entries_read.filter(|_| !self.has_deleted_from(group.last_id));
        Some(added.wrapping_sub(read.or_else(|| self.entries_up_to(group.last_id))?))
    }
}

/// An iterator of which the length is known.
struct Counted<I> {
    items: I,
    left: usize,
}

impl<I: Iterator> Iterator for Counted<I> {
    type Item = I::Item;

    fn next(&mut self) -> Option<I::Item> {
        let item = self.items.next()?;
        self.left -= 1;
        Some(item)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl<I: Iterator> ExactSizeIterator for Counted<I> {}
