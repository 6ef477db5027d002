//! The places that a capture walks through: parts of generations, and the slots in them.

use super::{Pace, SlotChanges, locked};
use crate::keyspace::Keyspace;
use crate::keyspace::changes::Generation;
use crate::keyspace::entry::Entry;
use crate::keyspace::hash_seed::HashSeed;
use crate::keyspace::range::epoch::EndedDatabase;
use crate::keyspace::slot::{SLOTS_PER_RANGE, Slot};
use crate::keyspace::table::{Position, SlotTable, WalkPlace};

/// What there is to capture of one generation in one lock range.
#[derive(Debug)]
pub(super) struct Part {
    range: usize,
    database: EndedDatabase,
    slots_entered: usize,
}

impl Part {
    pub fn new(range: usize, database: EndedDatabase) -> Part {
        Part { range, database, slots_entered: 0 }
    }

    pub fn range(&self) -> usize {
        self.range
    }

    pub fn generation(&self) -> Generation {
        self.database.generation
    }

    /// Parts are walked in this order.
    pub fn order(&self) -> (Generation, usize) {
        (self.generation(), self.range)
    }

    /// The walk through the next slot; `None` behind the last.
    pub fn enter_slot(&mut self) -> Option<SlotWalk> {
        if self.slots_entered == SLOTS_PER_RANGE {
            return None;
        }
        let slot = Slot::new(self.range * SLOTS_PER_RANGE + self.slots_entered)?;
        self.slots_entered += 1;
        Some(SlotWalk::new(&mut self.database, slot))
    }
}

/// The walk through one slot of one generation.
#[derive(Debug)]
pub(super) struct SlotWalk {
    tombstones: SlotTable,
    tombstone_seed: HashSeed,
    /// How far the tombstones are read.
    tombstone_position: Position,
    /// How far the table is scanned.
    table_position: Option<WalkPlace>,
    /// Captured, and not yet among what is found.
    captured: Vec<Entry>,
    found: SlotChanges,
    found_bytes: usize,
}

impl SlotWalk {
    fn new(database: &mut EndedDatabase, slot: Slot) -> SlotWalk {
        let tombstones = database.tombstones.take_slot(slot.within_range());
        SlotWalk {
            tombstone_position: (!tombstones.is_empty()).then_some(0),
            tombstones,
            tombstone_seed: database.tombstones.seed(),
            table_position: database.has_entries.then(WalkPlace::default),
            captured: Vec::new(),
            found: nothing_in(database.generation, slot),
            found_bytes: 0,
        }
    }

    /// Goes on by a little, taking a lock at most once.
    pub fn step(&mut self, keyspace: &Keyspace, pace: &Pace) {
        if let Some(from) = self.tombstone_position {
            self.read_tombstones(from, pace);
        } else if !self.captured.is_empty() {
            self.move_captured(pace);
        } else if let Some(from) = self.table_position {
            let SlotChanges { generation, slot, .. } = self.found;
            self.table_position = locked(&keyspace.ranges[slot.range()], |range| {
                range.capture_some(generation, slot, from, pace.step_cost, &mut self.captured)
            });
            self.move_captured(pace);
        }
    }

    fn read_tombstones(&mut self, from: u64, pace: &Pace) {
        let SlotWalk { tombstones, tombstone_seed, found, found_bytes, .. } = self;
        self.tombstone_position = tombstones.scan(*tombstone_seed, from, pace.keys, &mut |entry| {
            *found_bytes += entry.key().len();
            found.deleted.push(entry.key().into());
        });
    }

    fn move_captured(&mut self, pace: &Pace) {
        while !self.is_full(pace)
            && let Some(entry) = self.captured.pop()
        {
            self.found_bytes += entry.memory_bytes();
            self.found.entries.push(entry);
        }
    }

    pub fn is_full(&self, pace: &Pace) -> bool {
        self.found.entries.len() + self.found.deleted.len() >= pace.keys || self.found_bytes >= pace.bytes
    }

    pub fn has_ended(&self) -> bool {
        let read = self.tombstone_position.is_none() && self.table_position.is_none();
        read && self.captured.is_empty()
    }

    /// What was found since this was last asked; `None` for nothing.
    pub fn take_found(&mut self) -> Option<SlotChanges> {
        self.found_bytes = 0;
        let empty = nothing_in(self.found.generation, self.found.slot);
        let found = std::mem::replace(&mut self.found, empty);
        (!found.entries.is_empty() || !found.deleted.is_empty()).then_some(found)
    }
}

fn nothing_in(generation: Generation, slot: Slot) -> SlotChanges {
    SlotChanges { generation, slot, entries: Vec::new(), deleted: Vec::new() }
}
