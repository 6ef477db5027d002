//! A consumer group of a stream: what was delivered to which consumer and is not acknowledged.
//!
//! - An id is pending for one consumer: it stands among the group's, and among that consumer's.
//! - Clones share all of it in pieces.

use std::mem::size_of;
use std::sync::Arc;

use super::super::shared::COUNTS_BYTES;
use super::id::StreamId;
use super::ordered::{Ordered, Weigh};

/// The name of a group or a consumer.
pub type Name = Arc<[u8]>;

impl Weigh for Name {
    fn heap_bytes(&self) -> usize {
        COUNTS_BYTES + self.len()
    }
}

impl Weigh for StreamId {}

impl Weigh for () {}

/// An entry that was delivered and is not acknowledged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pending {
    pub consumer: Name,
    /// Unix time in ms of the last delivery.
    pub delivered_ms: i64,
    pub deliveries: u64,
}

impl Weigh for Pending {}

#[derive(Clone, Debug)]
pub struct Consumer {
    /// Unix time in ms of its last attempt to get entries, and of the last that got some; [`NEVER_MS`] if none has.
    pub seen_ms: i64,
    pub active_ms: i64,
    pending: Ordered<StreamId, ()>,
}

/// Redis' word for a consumer that never got an entry.
pub const NEVER_MS: i64 = -1;

impl Weigh for Consumer {
    fn heap_bytes(&self) -> usize {
        self.pending.heap_bytes()
    }
}

impl Consumer {
    pub fn pending(&self) -> usize {
        self.pending.len()
    }

    /// Ids that are pending for it, from `start` on.
    pub fn pending_from(&self, start: StreamId) -> impl Iterator<Item = StreamId> + use<'_> {
        self.pending.iter_from(move |id| *id < start).map(|(id, ())| *id)
    }
}

#[derive(Clone, Debug)]
pub struct Group {
    /// The newest id that was delivered.
    pub last_id: StreamId,
    /// How many entries the group has read since the stream began, if that is known.
    pub entries_read: Option<i64>,
    pending: Ordered<StreamId, Pending>,
    consumers: Ordered<Name, Consumer>,
}

impl Weigh for Arc<Group> {
    fn weight(&self) -> u64 {
        1 + (self.pending.len() + self.consumers.len()) as u64
    }

    fn heap_bytes(&self) -> usize {
        COUNTS_BYTES + size_of::<Group>() + self.pending.heap_bytes() + self.consumers.heap_bytes()
    }
}

impl Group {
    pub fn new(last_id: StreamId, entries_read: Option<i64>) -> Group {
        Group { last_id, entries_read, pending: Ordered::default(), consumers: Ordered::default() }
    }

    /// Consumers in the order of their names.
    pub fn consumers(&self) -> impl Iterator<Item = (&Name, &Consumer)> {
        self.consumers.iter()
    }

    pub fn consumer_count(&self) -> usize {
        self.consumers.len()
    }

    pub fn consumer(&self, name: &[u8]) -> Option<&Consumer> {
        self.consumers.get(name)
    }

    pub fn pending_count(&self) -> usize {
        self.pending.len()
    }

    pub fn pending(&self, id: StreamId) -> Option<&Pending> {
        self.pending.get(&id)
    }

    /// What is pending, from `start` on.
    pub fn pending_from(&self, start: StreamId) -> impl Iterator<Item = (StreamId, &Pending)> {
        self.pending.iter_from(move |id| *id < start).map(|(id, pending)| (*id, pending))
    }

    pub fn last_pending(&self) -> Option<StreamId> {
        self.pending.last().map(|(id, _)| *id)
    }

    /// Adds a consumer; false where there is one of that name.
    pub fn add_consumer(&mut self, name: &[u8], now_ms: i64) -> bool {
        self.restore_consumer(name, now_ms, NEVER_MS)
    }

    /// The same with its times.
    pub fn restore_consumer(&mut self, name: &[u8], seen_ms: i64, active_ms: i64) -> bool {
        let is_new = self.consumers.get(name).is_none();
        if is_new {
            let consumer = Consumer { seen_ms, active_ms, pending: Ordered::default() };
            self.consumers.insert(Arc::from(name), consumer);
        }
        is_new
    }

    /// A consumer asks for entries; it is added if there is none of that name. Returns the name that pending entries share.
    pub fn see(&mut self, name: &[u8], now_ms: i64) -> Name {
        self.add_consumer(name, now_ms);
        self.consumers.edit(name, |consumer| consumer.seen_ms = now_ms);
        self.name_of(name)
    }

    /// The name that pending entries of a consumer share.
    pub fn name_of(&self, name: &[u8]) -> Name {
        self.consumers.get_entry(name).map_or_else(|| Arc::from(name), |(shared, _)| shared.clone())
    }

    /// A consumer got an entry.
    pub fn activate(&mut self, name: &[u8], now_ms: i64) {
        self.consumers.edit(name, |consumer| consumer.active_ms = now_ms);
    }

    /// Lets an id be pending for a consumer that is there, whoever had it.
    pub fn pend(&mut self, id: StreamId, pending: Pending) {
        let consumer = pending.consumer.clone();
        let had = self.pending.insert(id, pending).map(|old| old.consumer);
        if had.as_ref() == Some(&consumer) {
            return;
        }
        if let Some(had) = had {
            self.consumers.edit(&had[..], |other| other.pending.remove(&id));
        }
        self.consumers.edit(&consumer[..], |own| own.pending.insert(id, ()));
    }

    /// Changes what is known of a delivery.
    pub fn edit_pending(&mut self, id: StreamId, change: impl FnOnce(&mut Pending)) {
        self.pending.edit(&id, change);
    }

    /// An id is not pending any more; false if it was not.
    pub fn acknowledge(&mut self, id: StreamId) -> bool {
        let Some(pending) = self.pending.remove(&id) else { return false };
        self.consumers.edit(&pending.consumer[..], |consumer| consumer.pending.remove(&id));
        true
    }

    /// Removes a consumer, if there is one of that name, and what is pending for it; returns how much that was.
    pub fn remove_consumer(&mut self, name: &[u8]) -> Option<usize> {
        let consumer = self.consumers.remove(name)?;
        consumer.pending.iter().for_each(|(id, ())| drop(self.pending.remove(id)));
        Some(consumer.pending.len())
    }
}

#[cfg(test)]
impl Group {
    pub(super) fn check(&self) {
        let mut owned = 0;
        for (name, consumer) in self.consumers() {
            owned += consumer.pending();
            for id in consumer.pending_from(StreamId::MIN) {
                assert_eq!(self.pending(id).map(|pending| &pending.consumer), Some(name));
            }
        }
        assert_eq!(owned, self.pending_count());
    }
}
