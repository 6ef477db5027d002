//! The changes of the slot that a run is at: gathered, encoded, sorted.
//!
//! A slot's changes are handed on when they fill [`BATCH_BYTES`] or the slot ends, whichever comes first.

use super::error::Result;
use super::record::{self, Encoder};
use crate::keyspace::capture::SlotChanges;
use crate::keyspace::changes::Generation;
use crate::keyspace::digest::Digest;
use crate::keyspace::entry::Entry;
use crate::keyspace::slot::Slot;

/// Roots that are held to be sorted, in bytes.
const BATCH_BYTES: usize = 4 << 20;

/// A change of one root.
#[derive(Debug, PartialEq, Eq)]
pub struct RootChange {
    /// As the store has it.
    pub key: Box<[u8]>,
    /// The new root with its contribution, or nothing.
    pub root: Option<(Vec<u8>, Digest)>,
}

/// Changes of one generation, sorted by key.
pub type Batch = (Generation, Vec<RootChange>);

/// Where encoding puts what does not go into roots.
pub trait PartSink {
    /// The number under which the next blob's parts go.
    fn next_blob(&self) -> u64;
    /// That number is taken.
    fn take_blob(&mut self);
    fn store_part(&mut self, generation: Generation, blob: u64, part: u32, bytes: &[u8]) -> Result<()>;
}

#[derive(Default)]
pub struct PendingSlot {
    place: Option<(Generation, Slot)>,
    changes: Vec<RootChange>,
    bytes: usize,
    encoder: Encoder,
}

impl PendingSlot {
    /// Whether `changes` are of another slot than what is pending, which has to be [taken](PendingSlot::take_rest) first.
    pub fn is_elsewhere(&self, changes: &SlotChanges) -> bool {
        self.place.is_some_and(|place| place != (changes.generation, changes.slot))
    }

    /// Adds changes of one slot. Full batches go to `hand_on`. Entries are freed one by one.
    pub fn add<S: PartSink>(
        &mut self,
        changes: SlotChanges,
        sink: &mut S,
        mut hand_on: impl FnMut(&mut S, Batch) -> Result<()>,
    ) -> Result<()> {
        let SlotChanges { generation, slot, entries, deleted } = changes;
        self.place = Some((generation, slot));
        for key in deleted {
            self.push(RootChange { key: record::root_key(generation, slot, &key), root: None });
            self.hand_on_if_full(generation, sink, &mut hand_on)?;
        }
        for entry in entries {
            let key = record::root_key(generation, slot, entry.key());
            let root = self.encode(generation, &entry, sink)?;
            self.push(RootChange { key, root: Some(root) });
            self.hand_on_if_full(generation, sink, &mut hand_on)?;
        }
        Ok(())
    }

    /// All that is left of the slot.
    pub fn take_rest(&mut self) -> Option<Batch> {
        let (generation, _) = self.place.take()?;
        Some((generation, self.sorted()))
    }

    fn encode<S: PartSink>(
        &mut self,
        generation: Generation,
        entry: &Entry,
        sink: &mut S,
    ) -> Result<(Vec<u8>, Digest)> {
        let blob = sink.next_blob();
        let mut root = Vec::new();
        let store_part = |part, bytes: &[u8]| sink.store_part(generation, blob, part, bytes);
        let written = self.encoder.encode(entry, blob, &mut root, store_part)?;
        if written.parts > 0 {
            sink.take_blob();
        }
        Ok((root, written.contribution))
    }

    fn push(&mut self, change: RootChange) {
        self.bytes += change.key.len() + change.root.as_ref().map_or(0, |(root, _)| root.len());
        self.changes.push(change);
    }

    fn hand_on_if_full<S>(
        &mut self,
        generation: Generation,
        sink: &mut S,
        hand_on: &mut impl FnMut(&mut S, Batch) -> Result<()>,
    ) -> Result<()> {
        if self.bytes < BATCH_BYTES { Ok(()) } else { hand_on(sink, (generation, self.sorted())) }
    }

    fn sorted(&mut self) -> Vec<RootChange> {
        self.bytes = 0;
        let mut changes = std::mem::take(&mut self.changes);
        changes.sort_unstable_by(|a, b| a.key.cmp(&b.key));
        changes
    }
}
