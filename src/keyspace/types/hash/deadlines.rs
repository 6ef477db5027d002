//! Deadlines of the fields of one hash.
//!
//! - Every field with a deadline stands in both maps, which share its name.
//! - The order of expiry is (deadline, field), the same on every node.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Rough cost of one field in both trees besides its name, in bytes: the entries at 70 % fill and the Arc's counts.
const ENTRY_BYTES: usize = 90;

#[derive(Clone, Default)]
pub(super) struct Deadlines {
    by_field: BTreeMap<Arc<[u8]>, i64>,
    by_time: BTreeSet<(i64, Arc<[u8]>)>,
    name_bytes: usize,
}

impl Deadlines {
    pub(super) fn is_empty(&self) -> bool {
        self.by_field.is_empty()
    }

    pub(super) fn get(&self, field: &[u8]) -> Option<i64> {
        self.by_field.get(field).copied()
    }

    pub(super) fn set(&mut self, field: &[u8], at_ms: i64) {
        self.remove(field);
        let name: Arc<[u8]> = field.into();
        self.name_bytes += name.len();
        self.by_field.insert(name.clone(), at_ms);
        self.by_time.insert((at_ms, name));
    }

    pub(super) fn remove(&mut self, field: &[u8]) {
        if let Some((name, at_ms)) = self.by_field.remove_entry(field) {
            self.name_bytes -= name.len();
            self.by_time.remove(&(at_ms, name));
        }
    }

    pub(super) fn earliest(&self) -> Option<i64> {
        self.by_time.first().map(|(at_ms, _)| *at_ms)
    }

    /// The fields whose deadlines have passed at `now_ms`, earliest first.
    pub(super) fn passed(&self, now_ms: i64) -> impl Iterator<Item = &Arc<[u8]>> {
        self.by_time.iter().take_while(move |(at_ms, _)| *at_ms <= now_ms).map(|(_, name)| name)
    }

    pub(super) fn heap_bytes(&self) -> usize {
        self.by_field.len() * ENTRY_BYTES + self.name_bytes
    }
}
