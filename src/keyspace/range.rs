//! The slots behind one lock, in every database.
//!
//! A database that holds nothing in this range costs one pointer. Counts are kept as entries come and go.

use std::iter::Sum;
use std::ops::Add;

use super::DATABASES;
use super::entry::Entry;
use super::slot::{SLOTS_PER_RANGE, Slot};
use super::table::SlotTable;
use super::value::ValueRef;

#[derive(Debug, Default)]
pub struct LockRange {
    databases: [Option<Box<Database>>; DATABASES],
}

/// One database's part of a lock range.
#[derive(Debug)]
pub struct Database {
    tables: Box<[SlotTable]>,
    usage: Usage,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    pub keys: usize,
    pub with_deadline: usize,
}

impl LockRange {
    pub fn usage(&self, db: usize) -> Usage {
        self.databases[db].as_ref().map_or(Usage::default(), |database| database.usage)
    }

    pub fn table(&self, db: usize, slot: Slot) -> Option<&SlotTable> {
        Some(&self.databases[db].as_ref()?.tables[slot.within_range()])
    }

    pub fn find(&self, db: usize, slot: Slot, key: &[u8]) -> Option<&Entry> {
        self.table(db, slot)?.find(key)
    }

    /// Lends an entry for a change of its value. Its deadline is changed by [`LockRange::set_deadline`] alone.
    pub fn find_mut(&mut self, db: usize, slot: Slot, key: &[u8]) -> Option<&mut Entry> {
        self.databases[db].as_mut()?.tables[slot.within_range()].find_mut(key)
    }

    pub fn insert(&mut self, db: usize, slot: Slot, entry: Entry) -> Option<Entry> {
        let database = self.databases[db].get_or_insert_with(Default::default);
        database.usage.keys += 1;
        database.usage.with_deadline += usize::from(entry.deadline_ms().is_some());
        let old = database.tables[slot.within_range()].insert(entry);
        if let Some(old) = &old {
            database.forget(old);
        }
        old
    }

    pub fn remove(&mut self, db: usize, slot: Slot, key: &[u8]) -> Option<Entry> {
        let database = self.databases[db].as_mut()?;
        let old = database.tables[slot.within_range()].remove(key)?;
        database.forget(&old);
        Some(old)
    }

    /// Makes `value` the string of a key. Returns the entry of a collection that the key held before, for dropping one
    /// may take long.
    pub fn set_string(
        &mut self,
        db: usize,
        slot: Slot,
        key: &[u8],
        value: &[u8],
        deadline_ms: Option<i64>,
    ) -> Option<Entry> {
        let database = self.databases[db].get_or_insert_with(Default::default);
        let found = database.tables[slot.within_range()].find_mut(key);
        if let Some(entry) = found.filter(|entry| matches!(entry.value(), ValueRef::String(_))) {
            database.usage.with_deadline -= usize::from(entry.deadline_ms().is_some());
            database.usage.with_deadline += usize::from(deadline_ms.is_some());
            entry.set_string(value, deadline_ms);
            return None;
        }
        self.insert(db, slot, Entry::string(key, value, deadline_ms))
    }

    /// Sets or clears the deadline of a key; false where there is no such key.
    pub fn set_deadline(&mut self, db: usize, slot: Slot, key: &[u8], deadline_ms: Option<i64>) -> bool {
        let Some(database) = self.databases[db].as_mut() else {
            return false;
        };
        let Some(entry) = database.tables[slot.within_range()].find_mut(key) else {
            return false;
        };
        database.usage.with_deadline -= usize::from(entry.deadline_ms().is_some());
        database.usage.with_deadline += usize::from(deadline_ms.is_some());
        entry.set_deadline(deadline_ms);
        true
    }

    /// Takes a whole database out; dropping it may take long.
    pub fn take_database(&mut self, db: usize) -> Option<Box<Database>> {
        self.databases[db].take()
    }

    pub fn swap_databases(&mut self, a: usize, b: usize) {
        self.databases.swap(a, b);
    }
}

impl Database {
    fn forget(&mut self, old: &Entry) {
        self.usage.keys -= 1;
        self.usage.with_deadline -= usize::from(old.deadline_ms().is_some());
    }
}

impl Default for Database {
    fn default() -> Self {
        let tables = (0..SLOTS_PER_RANGE).map(|_| SlotTable::default()).collect();
        Database { tables, usage: Usage::default() }
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
