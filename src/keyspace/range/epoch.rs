//! What checkpoints do with a lock range: begin an epoch, capture, forget, restore.
//!
//! Every method here is short, but for [`capture_some`](LockRange::capture_some) and
//! [`forget_some`](LockRange::forget_some), which take a budget.

use std::collections::BTreeMap;

use super::{Database, LockRange, Usage};
use crate::keyspace::changes::{Generation, PreImages, Tombstones};
use crate::keyspace::entry::{Entry, Marks};
use crate::keyspace::slot::Slot;
use crate::keyspace::table::WalkPlace;
use crate::keyspace::{ALL_DATABASES, Basis, DATABASES};

/// What one lock range had when an epoch ended.
pub(in crate::keyspace) struct EndedEpoch {
    pub usage: [Usage; ALL_DATABASES],
    /// Of the databases that clients can select.
    pub generations: [Generation; DATABASES],
    pub dropped: Vec<Generation>,
    /// Databases of which there is anything to capture.
    pub databases: Vec<EndedDatabase>,
}

#[derive(Debug)]
pub(in crate::keyspace) struct EndedDatabase {
    pub generation: Generation,
    pub tombstones: Tombstones,
    /// Whether there are entries to be looked at.
    pub has_entries: bool,
}

/// What a capture that was given up leaves behind; dropping it may take long.
pub(in crate::keyspace) type Leftovers = (Vec<PreImages>, BTreeMap<Generation, Box<Database>>);

/// What waits in memory for checkpoints.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Waiting {
    /// Entries kept as they were, for the running capture.
    pub pre_images: usize,
    /// Bytes of these, those included that are shared with the keyspace.
    pub pre_image_bytes: usize,
    /// Keys of flushed databases that the running capture still needs.
    pub detached_keys: usize,
    /// Removed keys that the next checkpoint is to be told of.
    pub tombstones: usize,
}

/// A unit of the budget is about a nanosecond; an entry is found, allocated and copied in some hundreds.
const ENTRY_COST: usize = 400;
const BYTES_PER_COST: usize = 8;
/// A collection above this size shares most of its bytes with its clone.
const COPIED_BYTES: usize = 64 << 10;

impl LockRange {
    /// Ends the epoch and begins the next, for a capture of what the ended one changed.
    pub(in crate::keyspace) fn begin_epoch(&mut self) -> EndedEpoch {
        let generations = self.changes.all_generations();
        let mut usage = [Usage::default(); ALL_DATABASES];
        let mut databases = Vec::new();
        for (db, database) in self.databases.iter_mut().enumerate() {
            let Some(database) = database else { continue };
            usage[db] = database.usage;
            let tombstones = std::mem::take(&mut database.tombstones);
            let has_entries = database.usage.keys > 0;
            database.pre_images = has_entries.then(PreImages::default);
            if has_entries || !tombstones.is_empty() {
                databases.push(EndedDatabase { generation: generations[db], tombstones, has_entries });
            }
        }
        let generations = self.changes.generations();
        EndedEpoch { usage, generations, dropped: self.changes.begin_epoch(), databases }
    }

    /// Clones entries of one slot that changed in the ended epoch, from a position on, and takes the pre-images that are
    /// there. Returns where to go on.
    pub(in crate::keyspace) fn capture_some(
        &mut self,
        generation: Generation,
        slot: Slot,
        from: WalkPlace,
        budget: usize,
        captured: &mut Vec<Entry>,
    ) -> Option<WalkPlace> {
        let wanted = self.changes.previous();
        let database = self.database_mut(generation)?;
        let table = &mut database.tables[slot.within_range()];
        let rest = table.walk_mut(database.seed, from, budget, &mut |entry| {
            if !entry.marks().contains(wanted) {
                return 0;
            }
            entry.set_marks(Marks::STORED);
            captured.push(entry.clone());
            cost_of(entry)
        });
        if let Some(pre_images) = &mut database.pre_images {
            captured.append(&mut pre_images.take_slot(slot.within_range()));
        }
        rest
    }

    /// Ends the capture of a database's part. Returns the database if nobody else can reach it; dropping it may take long.
    pub(in crate::keyspace) fn end_capture(&mut self, generation: Generation) -> Option<Box<Database>> {
        if let Some(database) = self.database_mut(generation) {
            database.pre_images = None;
        }
        self.detached.remove(&generation)
    }

    /// Ends the capture of everything, wherever it has come to.
    pub(in crate::keyspace) fn abandon_capture(&mut self) -> Leftovers {
        let databases = self.databases.iter_mut().flatten();
        let pre_images = databases.filter_map(|database| database.pre_images.take()).collect();
        (pre_images, std::mem::take(&mut self.detached))
    }

    /// From here to [`end_forgetting`](Self::end_forgetting) nothing counts as stored. Returns the generations whose
    /// entries are to be marked anew, and tombstones to be dropped.
    pub(in crate::keyspace) fn begin_forgetting(&mut self) -> (Vec<Generation>, Vec<Tombstones>) {
        self.changes.begin_forgetting();
        let generations = self.changes.all_generations();
        let databases = self.databases.iter_mut().zip(generations);
        let used = databases.filter_map(|(database, generation)| Some((database.as_mut()?, generation)));
        used.map(|(database, generation)| (generation, std::mem::take(&mut database.tombstones))).unzip()
    }

    /// Marks entries of one slot as changed and not stored, from a position on. Returns where to go on.
    pub(in crate::keyspace) fn forget_some(
        &mut self,
        generation: Generation,
        slot: Slot,
        from: WalkPlace,
        budget: usize,
    ) -> Option<WalkPlace> {
        let current = self.changes.current();
        let database = self.database_mut(generation)?;
        database.tables[slot.within_range()].walk_mut(database.seed, from, budget, &mut |entry| {
            entry.set_marks(current);
            0
        })
    }

    pub(in crate::keyspace) fn end_forgetting(&mut self) {
        self.changes.end_forgetting();
    }

    pub(in crate::keyspace) fn waiting(&self) -> Waiting {
        let attached = self.databases.iter().flatten();
        let mut waiting = Waiting {
            detached_keys: self.detached.values().map(|database| database.usage.keys).sum(),
            tombstones: attached.clone().map(|database| database.tombstones.len()).sum(),
            ..Waiting::default()
        };
        for pre_images in attached.chain(self.detached.values()).flat_map(|database| &database.pre_images) {
            waiting.pre_images += pre_images.len();
            waiting.pre_image_bytes += pre_images.bytes();
        }
        waiting
    }

    /// Puts in an entry that the newest checkpoint holds as it is.
    pub(in crate::keyspace) fn restore(&mut self, db: usize, slot: Slot, mut entry: Entry) {
        entry.set_marks(Marks::STORED);
        let seed = self.seed;
        self.databases[db].get_or_insert_with(|| Database::new(seed)).put(slot, entry);
    }

    /// Takes what a checkpoint says of the keyspace that it is restored into, which is empty.
    pub(in crate::keyspace) fn restore_basis(&mut self, basis: Basis) {
        self.changes.restore_generations(basis.generations);
        self.seed = basis.hash_seed;
    }

    fn database_mut(&mut self, generation: Generation) -> Option<&mut Database> {
        match self.changes.database_of(generation) {
            Some(db) => self.databases[db].as_deref_mut(),
            None => self.detached.get_mut(&generation).map(|database| &mut **database),
        }
    }
}

fn cost_of(entry: &Entry) -> usize {
    ENTRY_COST + entry.memory_bytes().min(COPIED_BYTES) / BYTES_PER_COST
}

impl std::ops::AddAssign for Waiting {
    fn add_assign(&mut self, other: Waiting) {
        self.pre_images += other.pre_images;
        self.pre_image_bytes += other.pre_image_bytes;
        self.detached_keys += other.detached_keys;
        self.tombstones += other.tombstones;
    }
}
