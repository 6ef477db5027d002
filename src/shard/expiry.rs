//! Finds keys whose deadline has passed, so that an entry can free their space.
//!
//! - The primary walks the tables round and round, some entries at a time, skipping lock ranges whose keys have no deadlines.
//!   It only looks; whether a key is dead is decided again by the entry's stamp, on every replica alike.
//! - Fields of hashes have deadlines of their own. Once one was set anywhere, every range is walked for them, until a whole
//!   round has met no hash with a deadline.

use crate::keyspace::entry::Entry;
use crate::keyspace::range::LockRange;
use crate::keyspace::slot::{RANGES, SLOTS_PER_RANGE, Slot};
use crate::keyspace::value::{Object, ValueRef};
use crate::keyspace::view::{LockSet, Ranges};
use crate::keyspace::{DATABASES, Keyspace};

/// Entries looked at in one step.
const ENTRIES_PER_STEP: usize = 4096;
/// Dead keys found in one step; more of them wait for the next.
const DEAD_PER_STEP: usize = 1024;

/// The walk's place: database by database, range by range, table by table.
#[derive(Debug, Default)]
pub struct ExpiryWalk {
    db: usize,
    range: usize,
    table: usize,
    /// Some hash may have fields with deadlines.
    fields: bool,
    /// One was met since the round began.
    met_fields: bool,
}

/// Dead keys of one database, and hashes with dead fields.
#[derive(Debug, PartialEq, Eq)]
pub struct Dead {
    pub db: usize,
    pub keys: Vec<Vec<u8>>,
}

impl ExpiryWalk {
    /// A field of some hash got a deadline.
    pub fn expect_fields(&mut self) {
        (self.fields, self.met_fields) = (true, true);
    }

    /// Looks at the next entries; returns the dead among them, and whether so many were found that another step pays at once.
    pub fn step(&mut self, keyspace: &Keyspace, now_ms: i64) -> (Vec<Dead>, bool) {
        let mut dead: Vec<Dead> = Vec::new();
        let (mut looked_at, mut found) = (0, 0);
        for _ in 0..RANGES * DATABASES {
            let view = keyspace.read(LockSet::of_range(self.range));
            let range = view.range(self.range);
            let usage = range.usage(self.db);
            if usage.with_deadline > 0 || self.fields && usage.keys > 0 {
                self.walk_range(range, now_ms, &mut dead, &mut looked_at, &mut found);
            } else {
                self.table = SLOTS_PER_RANGE;
            }
            if self.table == SLOTS_PER_RANGE {
                self.next_range();
            }
            if looked_at >= ENTRIES_PER_STEP || found >= DEAD_PER_STEP {
                break;
            }
        }
        (dead, found * 4 > looked_at.max(1))
    }

    fn walk_range(
        &mut self,
        range: &LockRange,
        now_ms: i64,
        dead: &mut Vec<Dead>,
        looked_at: &mut usize,
        found: &mut usize,
    ) {
        while self.table < SLOTS_PER_RANGE && *looked_at < ENTRIES_PER_STEP && *found < DEAD_PER_STEP {
            let slot = Slot::new(self.range * SLOTS_PER_RANGE + self.table);
            self.table += 1;
            let Some(table) = slot.and_then(|slot| range.table(self.db, slot)) else { continue };
            *looked_at += table.len();
            let keys: Vec<Vec<u8>> = table
                .iter()
                .filter(|entry| {
                    let fields_end_ms = first_field_deadline(entry);
                    self.met_fields |= fields_end_ms.is_some();
                    entry.is_dead_at(now_ms) || fields_end_ms.is_some_and(|deadline| deadline <= now_ms)
                })
                .take(DEAD_PER_STEP)
                .map(|entry| entry.key().to_vec())
                .collect();
            *found += keys.len();
            if !keys.is_empty() {
                dead.push(Dead { db: self.db, keys });
            }
        }
    }

    fn next_range(&mut self) {
        self.table = 0;
        self.range = (self.range + 1) % RANGES;
        if self.range == 0 {
            self.db = (self.db + 1) % DATABASES;
            if self.db == 0 {
                self.fields = std::mem::take(&mut self.met_fields);
            }
        }
    }
}

fn first_field_deadline(entry: &Entry) -> Option<i64> {
    match entry.value() {
        ValueRef::Object(Object::Hash(hash)) => hash.earliest_deadline(),
        _ => None,
    }
}
