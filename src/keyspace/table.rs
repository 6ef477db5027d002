//! The entries of one slot in one database, found by key.

use super::entry::Entry;

/// Where a walk over a table goes on; `None` after its end.
pub type Position = Option<u64>;

#[derive(Debug, Default)]
pub struct SlotTable {
    entries: Vec<Entry>,
}

impl SlotTable {
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    pub fn find(&self, key: &[u8]) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.key() == key)
    }

    pub fn find_mut(&mut self, key: &[u8]) -> Option<&mut Entry> {
        self.entries.iter_mut().find(|entry| entry.key() == key)
    }

    /// Puts the entry in, in place of one with the same key; returns that one.
    pub fn insert(&mut self, entry: Entry) -> Option<Entry> {
        let old = self.remove(entry.key());
        self.entries.push(entry);
        old
    }

    pub fn remove(&mut self, key: &[u8]) -> Option<Entry> {
        let at = self.entries.iter().position(|entry| entry.key() == key)?;
        Some(self.entries.swap_remove(at))
    }

    pub fn iter(&self) -> impl Iterator<Item = &Entry> {
        self.entries.iter()
    }

    /// Calls `visit` for some `count` entries from `from` on (0 is the start). Every entry that is there from the walk's
    /// first call to its last is visited at least once, whatever is inserted or removed between.
    pub fn scan(&self, from: u64, count: usize, visit: &mut dyn FnMut(&Entry)) -> Position {
        let _ = (from, count);
        self.entries.iter().for_each(visit);
        None
    }

    /// Some entry at or behind a point of the table that `point` (any number) selects; `None` in an empty table.
    pub fn pick(&self, point: u64) -> Option<&Entry> {
        let len = self.entries.len().max(1) as u64;
        self.entries.get((point % len) as usize)
    }
}
