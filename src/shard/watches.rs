//! Keys that connections WATCH, and which of those connections have seen a change since.
//!
//! - Only the primary has watches. A connection's watches end with its EXEC, DISCARD, UNWATCH or its own end.
//! - A key that was alive when it was watched and is dead by the stamp of the EXEC counts as changed, freed or not.

use std::collections::{BTreeMap, BTreeSet};

use crate::propose::reply::ConnectionId;

/// Worker and connection.
pub type Watcher = (usize, ConnectionId);
/// Database and key.
pub type WatchedKey = (usize, Vec<u8>);

#[derive(Debug, Default)]
pub struct Watches {
    watchers: BTreeMap<Watcher, Watched>,
    by_key: BTreeMap<WatchedKey, BTreeSet<Watcher>>,
}

#[derive(Debug, Default)]
struct Watched {
    changed: bool,
    /// The keys, and whether each was alive.
    keys: BTreeMap<WatchedKey, bool>,
}

impl Watches {
    pub fn is_empty(&self) -> bool {
        self.watchers.is_empty()
    }

    pub fn contains(&self, watcher: Watcher) -> bool {
        self.watchers.contains_key(&watcher)
    }

    pub fn add(&mut self, watcher: Watcher, key: WatchedKey, alive: bool) {
        self.by_key.entry(key.clone()).or_default().insert(watcher);
        self.watchers.entry(watcher).or_default().keys.entry(key).or_insert(alive);
    }

    /// A key changed: everybody who watches it has seen a change.
    pub fn touched(&mut self, key: &WatchedKey) {
        for watcher in self.by_key.get(key).into_iter().flatten() {
            if let Some(watched) = self.watchers.get_mut(watcher) {
                watched.changed = true;
            }
        }
    }

    /// A database was emptied or swapped: a key changed unless it was not there before and is not there now.
    pub fn touched_database(&mut self, db: usize, is_alive: impl Fn(&WatchedKey) -> bool) {
        for watched in self.watchers.values_mut().filter(|watched| !watched.changed) {
            let mut keys = watched.keys.iter().filter(|((watched_db, _), _)| *watched_db == db);
            watched.changed = keys.any(|(key, was_alive)| *was_alive || is_alive(key));
        }
    }

    /// Ends a connection's watches; true if one of its keys changed, or died by itself, in between.
    pub fn finish(&mut self, watcher: Watcher, is_alive: impl Fn(&WatchedKey) -> bool) -> bool {
        let Some(watched) = self.watchers.remove(&watcher) else { return false };
        for key in watched.keys.keys() {
            if let Some(watchers) = self.by_key.get_mut(key) {
                watchers.remove(&watcher);
                if watchers.is_empty() {
                    self.by_key.remove(key);
                }
            }
        }
        watched.changed || watched.keys.iter().any(|(key, was_alive)| *was_alive && !is_alive(key))
    }

    pub fn clear(&mut self) {
        self.watchers.clear();
        self.by_key.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ME: Watcher = (0, ConnectionId { index: 1, generation: 0 });

    fn key(name: &str) -> WatchedKey {
        (0, name.as_bytes().to_vec())
    }

    #[test]
    fn a_change_is_seen_by_those_who_watch_the_key_alone() {
        let mut watches = Watches::default();
        let other = (1, ME.1);
        watches.add(ME, key("a"), true);
        watches.add(other, key("b"), true);
        watches.touched(&key("a"));
        assert!(watches.finish(ME, |_| true));
        assert!(!watches.finish(other, |_| true));
        assert!(watches.is_empty());
    }

    #[test]
    fn a_key_that_died_in_between_has_changed_and_one_that_was_dead_before_has_not() {
        let mut watches = Watches::default();
        watches.add(ME, key("was alive"), true);
        assert!(watches.finish(ME, |_| false));
        watches.add(ME, key("was dead"), false);
        assert!(!watches.finish(ME, |_| false));
    }

    #[test]
    fn a_flush_or_a_swap_changes_the_keys_that_its_database_had_or_has() {
        let changed = |db, was_alive, is_alive| {
            let mut watches = Watches::default();
            watches.add(ME, key("a"), was_alive);
            watches.touched_database(db, |_| is_alive);
            watches.finish(ME, |_| true)
        };
        assert!(changed(0, true, false));
        assert!(changed(0, false, true));
        assert!(!changed(0, false, false));
        assert!(!changed(1, true, false));
    }
}
