//! What a script has changed, so that it can be put back.
//!
//! - What a key held is kept before its first change: a clone, which shares most of a large collection with it.
//! - A flushed database is kept entry by entry.

use std::collections::{BTreeMap, HashMap};

use super::context::{Discarded, Effects, Garbage};
use crate::keyspace::entry::Entry;
use crate::keyspace::range::LockRange;
use crate::keyspace::slot::{RANGES, SLOTS, Slot};
use crate::keyspace::value::ValueRef;
use crate::keyspace::view::{Ranges, WriteView};

/// What an element takes of a small collection's clone, and what a clone takes at most when it is made.
const ELEMENT_BYTES: u64 = 64;
const CLONE_BYTES: u64 = 64 << 10;
/// What a change of a larger collection copies of what its clone shares.
const SHARED_BYTES: u64 = 512;

enum Change {
    /// What a key held.
    Held {
        db: usize,
        key: Box<[u8]>,
        entry: Option<Entry>,
    },
    Swapped(usize, usize),
}

pub struct Undo {
    /// By database the keys that are kept; true where the clone shares what it has.
    kept: BTreeMap<usize, HashMap<Box<[u8]>, bool>>,
    changes: Vec<Change>,
    bytes: u64,
    touched: usize,
    touched_databases: usize,
    published: usize,
    noticed: usize,
    counted: u64,
}

impl Undo {
    pub fn begin(effects: &Effects) -> Undo {
        Undo {
            kept: BTreeMap::new(),
            changes: Vec::new(),
            bytes: 0,
            touched: effects.touched.len(),
            touched_databases: effects.touched_databases.len(),
            published: effects.published.len(),
            noticed: effects.notices.count(),
            counted: effects.changes,
        }
    }

    /// Keeps what a key holds, unless that was done before.
    pub fn keep(&mut self, range: &LockRange, db: usize, slot: Slot, key: &[u8]) {
        let kept = self.kept.entry(db).or_default();
        if let Some(shares) = kept.get(key) {
            self.bytes += if *shares { SHARED_BYTES } else { 0 };
            return;
        }
        let entry = range.find(db, slot, key).cloned();
        let (bytes, shares) = entry.as_ref().map_or((0, false), clone_bytes);
        kept.insert(key.into(), shares);
        self.bytes += bytes + key.len() as u64;
        self.changes.push(Change::Held { db, key: key.into(), entry });
    }

    /// Takes all entries of a database that are not kept yet.
    pub fn flush(&mut self, view: &mut WriteView<'_>, db: usize) {
        let kept = self.kept.entry(db).or_default();
        for slot in (0..SLOTS).filter_map(Slot::new) {
            let Some(table) = view.range(slot.range()).table(db, slot) else { continue };
            let keys = table.iter().map(Entry::key).filter(|key| !kept.contains_key(*key));
            let keys: Vec<Box<[u8]>> = keys.map(Box::from).collect();
            for key in keys {
                let entry = view.range_mut(slot.range()).remove(db, slot, &key);
                kept.insert(key.clone(), false);
                self.changes.push(Change::Held { db, key, entry });
            }
        }
    }

    pub fn swapped(&mut self, a: usize, b: usize) {
        // The same key of the same number is another one from here on.
        self.kept.clear();
        self.changes.push(Change::Swapped(a, b));
    }

    /// Bytes that were kept since this was last asked.
    pub fn take_bytes(&mut self) -> u64 {
        std::mem::take(&mut self.bytes)
    }

    pub fn put_back(self, view: &mut WriteView<'_>, effects: &mut Effects) {
        for change in self.changes.into_iter().rev() {
            match change {
                Change::Swapped(a, b) => {
                    (0..RANGES).for_each(|range| view.range_mut(range).swap_databases(a, b));
                }
                Change::Held { db, key, entry } => {
                    let slot = Slot::of(&key);
                    let range = view.range_mut(slot.range());
                    let made = match entry {
                        Some(entry) => range.insert(db, slot, entry),
                        None => range.remove(db, slot, &key),
                    };
                    let all = &effects.garbage_bytes;
                    effects.garbage.extend(made.map(|entry| Garbage::Entry(Discarded::new(entry, all))));
                }
            }
        }
        effects.touched.truncate(self.touched);
        effects.reads.note_changes(self.touched);
        effects.touched_databases.truncate(self.touched_databases);
        effects.published.truncate(self.published);
        effects.notices.forget_since(self.noticed);
        effects.changes = self.counted;
    }

    pub fn forget(self, effects: &mut Effects) {
        let entries = self.changes.into_iter().filter_map(|change| match change {
            Change::Held { entry, .. } => entry,
            Change::Swapped(..) => None,
        });
        let large = entries.filter(|entry| matches!(entry.value(), ValueRef::Object(_)));
        let all = &effects.garbage_bytes;
        effects.garbage.extend(large.map(|entry| Garbage::Entry(Discarded::new(entry, all))));
    }
}

/// What an entry's clone takes, and whether it shares what it has. The same on every node: what is allocated is not.
fn clone_bytes(entry: &Entry) -> (u64, bool) {
    match entry.value() {
        ValueRef::String(bytes) => (bytes.len() as u64, false),
        ValueRef::Object(object) => {
            let bytes = object.len() as u64 * ELEMENT_BYTES;
            (bytes.min(CLONE_BYTES), bytes > CLONE_BYTES)
        }
    }
}
