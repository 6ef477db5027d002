//! What changed since the last checkpoint, and what a running one still has to get.
//!
//! Time is divided into epochs: a capture begins a new one, and takes what changed in the one that ends.
//!
//! - An entry that changed in the running epoch bears its mark (`EVEN` or `ODD`, in turn), and never the other one's.
//! - An entry with the mark of the epoch before is one that the running capture has not come to: before it changes, a
//!   clone of it, its pre-image, is put aside for the capture. Where no capture runs there is no such mark, unless one was
//!   given up.
//! - `STORED` says that the newest checkpoint, or the running one, has a record of the key. Removing such an entry leaves a
//!   tombstone; a key that comes and goes within one epoch leaves nothing.
//! - A key is never both in a table and among the tombstones of the running epoch.
//! - A database's content has a [`Generation`]. FLUSHDB begins a fresh one and SWAPDB exchanges two, so that both cost the
//!   store nothing for each key. Generations are a function of the log alone, the same in every lock range and on
//!   every node.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::entry::{Entry, Marks};
use super::hash_seed::HashSeed;
use super::table::SlotTable;
use super::{ALL_DATABASES, DATABASES};

const EPOCHS: Marks = Marks::EVEN.union(Marks::ODD);

/// Names what a database holds, from one FLUSHDB to the next. Never used again once it is dropped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Generation(pub u64);

impl Generation {
    /// Of the system database, for good: others are counted from 0.
    pub const SYSTEM: Generation = Generation(u64::MAX - 1);

    /// The generations of all databases, from those that clients can select.
    pub fn with_system(selectable: [Generation; DATABASES]) -> [Generation; ALL_DATABASES] {
        std::array::from_fn(|db| selectable.get(db).copied().unwrap_or(Generation::SYSTEM))
    }
}

/// The changes of one lock range, but for what lies in its databases.
#[derive(Debug)]
pub(super) struct Changes {
    /// The mark of the running epoch.
    current: Marks,
    /// Of the databases that clients can select.
    generations: [Generation; DATABASES],
    /// No checkpoint can have a record of this generation or a later one.
    first_unstored: Generation,
    /// Generations that ended in this epoch and of which there may be records.
    dropped: Vec<Generation>,
    /// Nothing counts as stored while the marks are being set anew.
    forgetting: bool,
}

impl Default for Changes {
    fn default() -> Self {
        Changes {
            current: Marks::EVEN,
            generations: std::array::from_fn(|db| Generation(db as u64)),
            first_unstored: Generation(0),
            dropped: Vec::new(),
            forgetting: false,
        }
    }
}

impl Changes {
    pub fn current(&self) -> Marks {
        self.current
    }

    /// The mark of the epoch before.
    pub fn previous(&self) -> Marks {
        self.current ^ EPOCHS
    }

    /// Notes that an entry of a slot is about to change, or has just been taken out of its table.
    #[inline]
    pub fn note(&self, entry: &mut Entry, slot: usize, pre_images: &mut Option<PreImages>) {
        if entry.marks() & EPOCHS != self.current {
            self.note_first(entry, slot, pre_images);
        }
    }

    /// Notes an entry's first change in the epoch.
    fn note_first(&self, entry: &mut Entry, slot: usize, pre_images: &mut Option<PreImages>) {
        let mut marks = entry.marks() & Marks::STORED;
        if entry.marks().contains(self.previous())
            && let Some(pre_images) = pre_images
        {
            pre_images.put(slot, entry.clone());
            marks |= Marks::STORED;
        }
        entry.set_marks(marks | self.current);
    }

    /// Whether the removal of an entry, already noted, is to be told to the store.
    pub fn leaves_tombstone(&self, removed: &Entry) -> bool {
        removed.marks().contains(Marks::STORED) && !self.forgetting
    }

    pub fn generations(&self) -> [Generation; DATABASES] {
        self.generations
    }

    pub fn all_generations(&self) -> [Generation; ALL_DATABASES] {
        Generation::with_system(self.generations)
    }

    /// The database that holds a generation now.
    pub fn database_of(&self, generation: Generation) -> Option<usize> {
        self.all_generations().iter().position(|one| *one == generation)
    }

    /// The newest generation is always some database's, for it is dropped by making a newer one.
    fn next_generation(&self) -> Generation {
        Generation(self.generations.iter().map(|generation| generation.0).fold(0, u64::max) + 1)
    }

    /// Gives a database a fresh generation; returns the one that ends.
    pub fn renew(&mut self, db: usize) -> Generation {
        let fresh = self.next_generation();
        let ended = std::mem::replace(&mut self.generations[db], fresh);
        if ended < self.first_unstored {
            self.dropped.push(ended);
        }
        ended
    }

    pub fn swap(&mut self, a: usize, b: usize) {
        self.generations.swap(a, b);
    }

    /// Begins the next epoch; returns what was dropped in the one that ends.
    pub fn begin_epoch(&mut self) -> Vec<Generation> {
        self.current = self.previous();
        self.first_unstored = self.next_generation();
        std::mem::take(&mut self.dropped)
    }

    /// From here to [`end_forgetting`](Self::end_forgetting) nothing counts as stored.
    pub fn begin_forgetting(&mut self) {
        self.forgetting = true;
        self.first_unstored = Generation(0);
        self.dropped.clear();
    }

    pub fn end_forgetting(&mut self) {
        self.forgetting = false;
    }

    /// Takes the generations of a checkpoint that is being restored.
    pub fn restore_generations(&mut self, generations: [Generation; DATABASES]) {
        self.generations = generations;
        self.first_unstored = self.next_generation();
    }
}

/// Keys that were removed in the running epoch and of which the store has a record, by slot within the lock range.
///
/// A tombstone is an empty string under its key: a table of them is as compact as any, and never rehashes much at once.
#[derive(Debug, Default)]
pub(super) struct Tombstones {
    /// Of the tables.
    seed: HashSeed,
    slots: BTreeMap<usize, SlotTable>,
    len: usize,
}

impl Tombstones {
    pub fn len(&self) -> usize {
        self.len
    }

    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub fn seed(&self) -> HashSeed {
        self.seed
    }

    /// `seed` is the same for all, but for [`reseed`](Self::reseed).
    pub fn insert(&mut self, slot: usize, key: &[u8], seed: HashSeed) {
        debug_assert!(self.is_empty() || self.seed == seed, "places of one seed");
        self.seed = seed;
        let table = self.slots.entry(slot).or_default();
        let replaced = table.insert(seed, Entry::string(key, b"", None));
        self.len += usize::from(replaced.is_none());
    }

    pub fn reseed(&mut self, seed: HashSeed) {
        self.seed = seed;
        self.slots.values_mut().for_each(|table| table.reseed(seed));
    }

    /// Removes a key's tombstone; false where it has none.
    pub fn remove(&mut self, slot: usize, key: &[u8]) -> bool {
        if self.is_empty() {
            return false;
        }
        let removed = self.slots.get_mut(&slot).and_then(|keys| keys.remove(self.seed, key)).is_some();
        self.len -= usize::from(removed);
        removed
    }

    pub fn take_slot(&mut self, slot: usize) -> SlotTable {
        let keys = self.slots.remove(&slot).unwrap_or_default();
        self.len -= keys.len();
        keys
    }
}

/// Entries as they were when the running capture began, of a database of which it has not got everything yet.
#[derive(Debug, Default)]
pub(super) struct PreImages {
    slots: BTreeMap<usize, Vec<Entry>>,
    len: usize,
    bytes: usize,
}

impl PreImages {
    pub fn len(&self) -> usize {
        self.len
    }

    /// What they hold; parts of collections that they share with the keyspace are counted as if they were not shared.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    fn put(&mut self, slot: usize, entry: Entry) {
        self.len += 1;
        self.bytes += entry.memory_bytes();
        self.slots.entry(slot).or_default().push(entry);
    }

    pub fn take_slot(&mut self, slot: usize) -> Vec<Entry> {
        let entries = self.slots.remove(&slot).unwrap_or_default();
        self.len -= entries.len();
        self.bytes -= entries.iter().map(Entry::memory_bytes).sum::<usize>();
        entries
    }
}
