//! The slots behind one lock, in every database.
//!
//! - A database that holds nothing in this range costs one pointer. Counts are kept as entries come and go.
//! - Nothing changes but through the methods here, and each of them keeps the marks of `changes.rs`.

pub(super) mod epoch;

use std::collections::BTreeMap;
use std::iter::Sum;
use std::ops::Add;

use super::ALL_DATABASES;
use super::changes::{Changes, Generation, PreImages, Tombstones};
use super::entry::{Entry, Marks, NEVER_MS};
use super::hash_seed::HashSeed;
use super::names::LongNames;
use super::picks::Among;
use super::slot::{SLOTS_PER_RANGE, Slot};
use super::table::{DeadSearch, KeyHash, SlotTable, Touch};
use super::value::ValueRef;
pub use epoch::Waiting;

/// A range has so many keys where each of its slots has some.
const FEW_KEYS: usize = 8 * SLOTS_PER_RANGE;

#[derive(Debug, Default)]
pub struct LockRange {
    /// The seed of all tables that can be reached from here.
    seed: HashSeed,
    databases: [Option<Box<Database>>; ALL_DATABASES],
    changes: Changes,
    /// Databases that were flushed before the running capture had everything of them.
    detached: BTreeMap<Generation, Box<Database>>,
}

/// One database's part of a lock range.
#[derive(Debug)]
pub struct Database {
    /// Of its tables.
    seed: HashSeed,
    tables: Box<[SlotTable]>,
    usage: Usage,
    long_names: LongNames,
    /// No entry dies before this, nor any field of one.
    earliest_ms: i64,
    tombstones: Tombstones,
    /// `None` where no capture wants any.
    pre_images: Option<PreImages>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    pub keys: usize,
    pub with_deadline: usize,
}

impl LockRange {
    pub fn hash_seed(&self) -> HashSeed {
        self.seed
    }

    /// Hashes everything again. A running capture goes on; cursors of scans mean nothing afterwards.
    pub(super) fn reseed(&mut self, seed: HashSeed) {
        self.seed = seed;
        for database in self.databases.iter_mut().flatten().filter(|database| database.seed != seed) {
            database.seed = seed;
            database.tables.iter_mut().for_each(|table| table.reseed(seed));
            database.tombstones.reseed(seed);
        }
    }

    pub fn usage(&self, db: usize) -> Usage {
        self.databases[db].as_ref().map_or(Usage::default(), |database| database.usage)
    }

    /// What databases take here whether they hold keys or not.
    pub(super) fn frame_bytes(&self) -> usize {
        let databases = self.databases.iter().flatten().count() + self.detached.len();
        databases * (size_of::<Database>() + SLOTS_PER_RANGE * size_of::<SlotTable>())
    }

    /// The long names of a database's keys.
    pub fn long_names(&self, db: usize) -> LongNames {
        self.databases[db].as_ref().map_or(LongNames::default(), |database| database.long_names)
    }

    /// The entries of a slot, whose places are those of [`hash_seed`](Self::hash_seed).
    pub fn table(&self, db: usize, slot: Slot) -> Option<&SlotTable> {
        Some(&self.databases[db].as_ref()?.tables[slot.within_range()])
    }

    /// Reads what is on the way to the entry of a key; what it returns means nothing.
    pub(super) fn touch(&self, db: usize, slot: Slot, hash: KeyHash, touch: Touch) -> usize {
        self.table(db, slot).map_or(0, |table| table.touch(hash, touch))
    }

    pub fn find(&self, db: usize, slot: Slot, key: &[u8]) -> Option<&Entry> {
        let hash = KeyHash::of(key, self.seed);
        self.table(db, slot)?.find(hash, key)
    }

    /// Lends an entry for a change of its value, and counts it as changed. Its deadline is changed by
    /// [`LockRange::set_deadline`] alone; who gives its fields deadlines tells [`LockRange::note_deadlines`].
    pub fn find_mut(&mut self, db: usize, slot: Slot, key: &[u8]) -> Option<&mut Entry> {
        let hash = KeyHash::of(key, self.seed);
        let database = self.databases[db].as_mut()?;
        let slot = slot.within_range();
        let entry = database.tables[slot].find_mut(hash, key)?;
        self.changes.note(entry, slot, &mut database.pre_images);
        Some(entry)
    }

    /// Puts an entry in, in place of one with the same key; returns that one.
    pub fn insert(&mut self, db: usize, slot: Slot, mut entry: Entry) -> Option<Entry> {
        let seed = self.seed;
        let database = self.databases[db].get_or_insert_with(|| Database::new(seed));
        let within = slot.within_range();
        let buried = database.tombstones.remove(within, entry.key());
        entry.set_marks(self.changes.current() | if buried { Marks::STORED } else { Marks::empty() });
        let mut old = database.put(slot, entry)?;
        self.changes.note(&mut old, within, &mut database.pre_images);
        if old.marks().contains(Marks::STORED)
            && let Some(new) = database.tables[within].find_mut(KeyHash::of(old.key(), seed), old.key())
        {
            new.set_marks(new.marks() | Marks::STORED);
        }
        Some(old)
    }

    pub fn remove(&mut self, db: usize, slot: Slot, key: &[u8]) -> Option<Entry> {
        let database = self.databases[db].as_mut()?;
        let slot = slot.within_range();
        let mut old = database.tables[slot].remove(self.seed, key)?;
        database.forget(&old);
        self.changes.note(&mut old, slot, &mut database.pre_images);
        if self.changes.leaves_tombstone(&old) {
            database.tombstones.insert(slot, key, self.seed);
        }
        Some(old)
    }

    /// Makes `value` the string of a key, and lends its entry to `note` before it is lent to anybody else. Returns the entry of a collection that the key held before, for dropping one
    /// may take long.
    pub fn set_string(
        &mut self,
        db: usize,
        slot: Slot,
        key: &[u8],
        value: &[u8],
        deadline_ms: Option<i64>,
        note: impl Fn(&Entry),
    ) -> Option<Entry> {
        let seed = self.seed;
        let database = self.databases[db].get_or_insert_with(|| Database::new(seed));
        let is_set = database.change(&self.changes, slot, key, |entry| {
            let is_string = matches!(entry.value(), ValueRef::String(_));
            if is_string {
                entry.set_string(value, deadline_ms);
                note(entry);
            }
            is_string
        });
        if is_set == Some(true) {
            return None;
        }
        let entry = Entry::string(key, value, deadline_ms);
        note(&entry);
        self.insert(db, slot, entry)
    }

    /// Sets or clears the deadline of a key; false where there is no such key.
    pub fn set_deadline(&mut self, db: usize, slot: Slot, key: &[u8], deadline_ms: Option<i64>) -> bool {
        let Some(database) = self.databases[db].as_mut() else {
            return false;
        };
        database.change(&self.changes, slot, key, |entry| entry.set_deadline(deadline_ms)).is_some()
    }

    /// Fields of a key's hash may have got deadlines.
    pub fn note_deadlines(&mut self, db: usize, slot: Slot, key: &[u8]) {
        let Some(database) = self.databases[db].as_mut() else { return };
        let hash = KeyHash::of(key, database.seed);
        database.tables[slot.within_range()].change(hash, key, |_| ());
        database.note_table(slot.within_range());
    }

    /// No entry of a database dies before this, nor any field of one.
    pub fn earliest_ms(&self, db: usize) -> i64 {
        self.databases[db].as_ref().map_or(NEVER_MS, |database| database.earliest_ms)
    }

    /// Finds the dead of a database, from one of the range's slots on; returns the slot to go on with, if any is left.
    pub(super) fn search_dead(
        &mut self,
        db: usize,
        from: usize,
        search: &mut DeadSearch<'_>,
        now_ms: i64,
    ) -> Option<usize> {
        let database = self.databases[db].as_mut()?;
        let mut rest = None;
        for (slot, table) in database.tables.iter_mut().enumerate().skip(from) {
            if table.earliest_ms() > now_ms {
                continue;
            }
            if !search.has_budget() {
                rest = Some(slot);
                break;
            }
            table.search_dead(search);
        }
        database.earliest_ms = database.tables.iter().map(SlotTable::earliest_ms).fold(NEVER_MS, i64::min);
        rest
    }

    /// Some entry of a database: of the first slot from one that `start` selects that has any, at a point of its table. Where slots have few
    /// keys, the slot is chosen by their number: otherwise keys after long gaps would be picked more often.
    pub(super) fn pick(&self, db: usize, start: u64, point: u64, among: Among) -> Option<&Entry> {
        let database = self.databases[db].as_ref()?;
        if among == Among::All && database.usage.keys < FEW_KEYS {
            let mut nth = start as usize % database.usage.keys.max(1);
            for table in &database.tables {
                if nth < table.len() {
                    return table.pick(point);
                }
                nth -= table.len();
            }
            return None;
        }
        let start = start as usize % SLOTS_PER_RANGE;
        let (before, from) = database.tables.split_at(start);
        from.iter().chain(before).find_map(|table| match among {
            Among::All => table.pick(point),
            Among::Mortal => table.pick_mortal(point),
        })
    }

    /// Empties a database. Returns what it held, for dropping it may take long; `None` also where a running capture still
    /// needs it.
    pub fn take_database(&mut self, db: usize) -> Option<Box<Database>> {
        let ended = self.changes.renew(db);
        let database = self.databases[db].take()?;
        if database.pre_images.is_none() {
            return Some(database);
        }
        self.detached.insert(ended, database);
        None
    }

    pub fn swap_databases(&mut self, a: usize, b: usize) {
        self.databases.swap(a, b);
        self.changes.swap(a, b);
    }
}

impl Database {
    fn new(seed: HashSeed) -> Box<Database> {
        Box::new(Database {
            seed,
            tables: (0..SLOTS_PER_RANGE).map(|_| SlotTable::default()).collect(),
            usage: Usage::default(),
            long_names: LongNames::default(),
            earliest_ms: NEVER_MS,
            tombstones: Tombstones::default(),
            pre_images: None,
        })
    }

    pub fn usage(&self) -> Usage {
        self.usage
    }

    /// Changes an entry, counted as changed; its deadline may be another afterwards.
    fn change<T>(
        &mut self,
        changes: &Changes,
        slot: Slot,
        key: &[u8],
        act: impl FnOnce(&mut Entry) -> T,
    ) -> Option<T> {
        let hash = KeyHash::of(key, self.seed);
        let Database { tables, usage, pre_images, .. } = self;
        let result = tables[slot.within_range()].change(hash, key, |entry| {
            changes.note(entry, slot.within_range(), pre_images);
            usage.with_deadline -= usize::from(entry.deadline_ms().is_some());
            let result = act(entry);
            usage.with_deadline += usize::from(entry.deadline_ms().is_some());
            result
        });
        self.note_table(slot.within_range());
        result
    }

    /// A deadline may have come into a table.
    fn note_table(&mut self, table: usize) {
        self.earliest_ms = self.earliest_ms.min(self.tables[table].earliest_ms());
    }

    fn put(&mut self, slot: Slot, entry: Entry) -> Option<Entry> {
        self.usage.keys += 1;
        self.long_names.insert(entry.key());
        self.usage.with_deadline += usize::from(entry.deadline_ms().is_some());
        let old = self.tables[slot.within_range()].insert(self.seed, entry);
        self.note_table(slot.within_range());
        if let Some(old) = &old {
            self.forget(old);
        }
        old
    }

    fn forget(&mut self, old: &Entry) {
        self.usage.keys -= 1;
        self.long_names.remove(old.key());
        self.usage.with_deadline -= usize::from(old.deadline_ms().is_some());
    }
}

impl Add for Usage {
    type Output = Usage;

    fn add(self, other: Usage) -> Usage {
        Usage { keys: self.keys + other.keys, with_deadline: self.with_deadline + other.with_deadline }
    }
}

impl Sum for Usage {
    fn sum<I: Iterator<Item = Usage>>(usages: I) -> Usage {
        usages.fold(Usage::default(), Usage::add)
    }
}
