//! Entries picked at random, for the choice of keys to evict.
//!
//! - A range is picked by the number of its keys, an entry of it by a slot and a point of that slot's table: of neighbours in a table
//!   the one after a longer gap is picked more often.
//! - The system database has no part in it.
//! - Locks are held for one range at a time, so a census may be outdated when an entry is picked by it.

use super::entry::Entry;
use super::{DATABASES, Keyspace};
use crate::keyspace::slot::RANGES;

/// Which entries may be picked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Among {
    All,
    /// Those that have a deadline of their own.
    Mortal,
}

/// How many keys may be picked in each database and range.
#[derive(Debug)]
pub struct Census {
    among: Among,
    parts: Vec<Part>,
    total: usize,
}

#[derive(Debug)]
struct Part {
    db: usize,
    range: usize,
    /// Keys of this part and of all before it.
    until: usize,
}

impl Census {
    /// Counts, one range after the other.
    pub fn take(keyspace: &Keyspace, among: Among) -> Census {
        let mut census = Census { among, parts: Vec::new(), total: 0 };
        for number in 0..RANGES {
            let range = keyspace.ranges[number].read();
            for db in 0..DATABASES {
                let usage = range.usage(db);
                let keys = if among == Among::All { usage.keys } else { usage.with_deadline };
                if keys > 0 {
                    census.total += keys;
                    census.parts.push(Part { db, range: number, until: census.total });
                }
            }
        }
        census
    }

    pub fn is_empty(&self) -> bool {
        self.total == 0
    }

    /// Picks an entry and lends it with its database; `random` gives any numbers. `None` where there is none any more.
    pub fn pick<T>(
        &self,
        keyspace: &Keyspace,
        mut random: impl FnMut() -> u64,
        act: impl FnOnce(usize, &Entry) -> T,
    ) -> Option<T> {
        let nth = ((u128::from(random()) * self.total as u128) >> u64::BITS) as usize;
        let part = self.parts.get(self.parts.partition_point(|part| part.until <= nth))?;
        let range = keyspace.ranges[part.range].read();
        range.pick(part.db, random(), random(), self.among).map(|entry| act(part.db, entry))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::keyspace::SYSTEM;
    use crate::keyspace::slot::Slot;
    use crate::keyspace::view::LockSet;

    fn filled(keys: usize) -> std::sync::Arc<Keyspace> {
        let (keyspace, mut mutator) = Keyspace::create();
        let mut view = mutator.write(LockSet::ALL);
        for number in 0..keys {
            let key = format!("key:{number}");
            let slot = Slot::of(key.as_bytes());
            let deadline_ms = number.is_multiple_of(10).then_some(number as i64);
            let db = if number.is_multiple_of(3) { 2 } else { 0 };
            view.range_mut(slot.range()).insert(db, slot, Entry::string(key.as_bytes(), b"v", deadline_ms));
        }
        let slot = Slot::of(b"user");
        view.range_mut(slot.range()).insert(SYSTEM, slot, Entry::string(b"user", b"v", None));
        drop(view);
        keyspace
    }

    /// How often each key was picked.
    fn picked(keyspace: &Keyspace, among: Among, times: usize) -> BTreeMap<(usize, String), usize> {
        let census = Census::take(keyspace, among);
        let mut state = 7_u64;
        let mut random = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            state ^ state >> 32
        };
        let mut counts = BTreeMap::new();
        for _ in 0..times {
            let key = census
                .pick(keyspace, &mut random, |db, entry| {
                    (db, String::from_utf8_lossy(entry.key()).into_owned())
                })
                .expect("there are keys");
            *counts.entry(key).or_default() += 1;
        }
        counts
    }

    #[test]
    fn every_key_of_every_database_may_be_picked_but_those_of_the_system() {
        let keyspace = filled(300);
        let counts = picked(&keyspace, Among::All, 20_000);
        assert_eq!(counts.len(), 300);
        assert!(counts.keys().all(|(_, key)| key.starts_with("key:")));
        assert_eq!(counts.keys().filter(|(db, _)| *db == 2).count(), 100);
    }

    #[test]
    fn among_the_mortal_only_keys_with_deadlines_are_picked() {
        for keys in [20, 300, 3000] {
            let keyspace = filled(keys);
            let counts = picked(&keyspace, Among::Mortal, keys);
            let number = |key: &str| key["key:".len()..].parse::<usize>().expect("a number");
            assert!(counts.keys().all(|(_, key)| number(key).is_multiple_of(10)));
            assert!(counts.len() >= keys / 20, "{} of {keys}", counts.len());
        }
    }

    #[test]
    fn nothing_is_picked_of_nothing() {
        let keyspace = filled(0);
        for among in [Among::All, Among::Mortal] {
            let census = Census::take(&keyspace, among);
            assert!(census.is_empty());
            assert_eq!(census.pick(&keyspace, || 1, |_, _| ()), None);
        }
    }
}
