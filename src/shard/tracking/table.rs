//! The keys that clients have read and may have cached, and the clients of each.
//!
//! - Workers add, the driver of the log takes out; each key is in one of many parts, and one part is locked at a time.
//! - A client that leaves stays in the table until its keys are taken out: the change that takes a key asks which of its clients still listen.
//! - The table counts keys, items (a client of a key) and bytes. A bound of keys implies one of bytes ([`BYTES_PER_KEY`]).

use std::collections::HashMap;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;

use crate::shard::watches::Watcher;

/// Parts of the table: what grows when it is full is small.
const PARTS: usize = 256;
/// What the table takes for a key beside its name, and for each client of it.
const KEY_BYTES: usize = 96;
const ITEM_BYTES: usize = 24;
/// Bytes that the table may take for each key that it may have.
const BYTES_PER_KEY: usize = 256;
/// How far workers may pass the bound before the driver has taken keys out.
const SLACK_KEYS: usize = 1024;

type Part = HashMap<Box<[u8]>, Vec<Watcher>>;

#[derive(Debug)]
pub(super) struct KeyTable {
    parts: Box<[Mutex<Part>]>,
    /// Chooses the part of a key.
    hasher: RandomState,
    keys: AtomicUsize,
    items: AtomicUsize,
    bytes: AtomicUsize,
    /// The part from which the next key is taken that has to leave.
    next_part: AtomicUsize,
}

impl Default for KeyTable {
    fn default() -> Self {
        let (keys, items, bytes, next_part) = Default::default();
        let parts = (0..PARTS).map(|_| Mutex::default()).collect();
        KeyTable { parts, hasher: RandomState::new(), keys, items, bytes, next_part }
    }
}

impl KeyTable {
    fn part(&self, key: &[u8]) -> &Mutex<Part> {
        &self.parts[self.hasher.hash_one(key) as usize % PARTS]
    }

    /// Remembers that a client has read a key.
    pub fn add(&self, key: &[u8], client: Watcher) {
        let mut part = self.part(key).lock();
        if let Some(clients) = part.get_mut(key) {
            if let Err(place) = clients.binary_search(&client) {
                clients.insert(place, client);
                self.count(0, 1, ITEM_BYTES);
            }
            return;
        }
        part.insert(key.into(), vec![client]);
        self.count(1, 1, KEY_BYTES + ITEM_BYTES + key.len());
    }

    fn count(&self, keys: usize, items: usize, bytes: usize) {
        self.keys.fetch_add(keys, Ordering::Relaxed);
        self.items.fetch_add(items, Ordering::Relaxed);
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Takes a key out; returns the clients that have read it.
    pub fn take(&self, key: &[u8]) -> Vec<Watcher> {
        let taken = self.part(key).lock().remove(key);
        taken.inspect(|clients| self.count_off(key, clients)).unwrap_or_default()
    }

    fn count_off(&self, key: &[u8], clients: &[Watcher]) {
        self.keys.fetch_sub(1, Ordering::Relaxed);
        self.items.fetch_sub(clients.len(), Ordering::Relaxed);
        self.bytes.fetch_sub(KEY_BYTES + key.len() + clients.len() * ITEM_BYTES, Ordering::Relaxed);
    }

    /// Takes some key out; `None` where there is none.
    pub fn take_any(&self) -> Option<(Box<[u8]>, Vec<Watcher>)> {
        for _ in 0..PARTS {
            let next = self.next_part.fetch_add(1, Ordering::Relaxed) % PARTS;
            let mut part = self.parts[next].lock();
            let Some(key) = part.keys().next().cloned() else { continue };
            let clients = part.remove(&key)?;
            self.count_off(&key, &clients);
            return Some((key, clients));
        }
        None
    }

    /// Takes all keys out.
    pub fn clear(&self) {
        for part in &self.parts {
            let taken = std::mem::take(&mut *part.lock());
            taken.iter().for_each(|(key, clients)| self.count_off(key, clients));
        }
    }

    pub fn keys(&self) -> usize {
        self.keys.load(Ordering::Relaxed)
    }

    pub fn items(&self) -> usize {
        self.items.load(Ordering::Relaxed)
    }

    pub fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Whether there is more than a bound of keys allows.
    pub fn is_over(&self, max_keys: usize) -> bool {
        self.keys() > max_keys || self.bytes() > max_keys.saturating_mul(BYTES_PER_KEY)
    }

    /// Whether the table is so far past its bound that nothing may be added.
    pub fn is_full(&self, max_keys: usize) -> bool {
        self.is_over(max_keys.saturating_mul(2).saturating_add(SLACK_KEYS))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;
    use crate::propose::reply::ConnectionId;

    fn client(index: u32) -> Watcher {
        (index as usize % 2, ConnectionId { index, generation: 1 })
    }

    #[derive(Clone, Debug)]
    enum Do {
        Add(u8, u32),
        Take(u8),
        TakeAny,
        Clear,
    }

    fn step() -> impl Strategy<Value = Do> {
        prop_oneof![
            8 => (0..20_u8, 0..5_u32).prop_map(|(key, client)| Do::Add(key, client)),
            3 => (0..20_u8).prop_map(Do::Take),
            1 => Just(Do::TakeAny),
            1 => Just(Do::Clear),
        ]
    }

    proptest! {
        /// The table does what a map of sets does.
        #[test]
        fn the_table_has_the_clients_of_each_key(steps in vec(step(), 0..200)) {
            let table = KeyTable::default();
            let mut model: BTreeMap<Vec<u8>, BTreeSet<Watcher>> = BTreeMap::new();
            for step in steps {
                match step {
                    Do::Add(key, number) => {
                        table.add(&[key], client(number));
                        model.entry(vec![key]).or_default().insert(client(number));
                    }
                    Do::Take(key) => {
                        let expected = model.remove(&vec![key]).unwrap_or_default();
                        prop_assert_eq!(table.take(&[key]), expected.into_iter().collect::<Vec<_>>());
                    }
                    Do::TakeAny => match table.take_any() {
                        None => prop_assert!(model.is_empty()),
                        Some((key, clients)) => {
                            let expected = model.remove(&key.to_vec()).unwrap_or_default();
                            prop_assert_eq!(clients, expected.into_iter().collect::<Vec<_>>());
                        }
                    },
                    Do::Clear => {
                        table.clear();
                        model.clear();
                    }
                }
                prop_assert_eq!(table.keys(), model.len());
                prop_assert_eq!(table.items(), model.values().map(BTreeSet::len).sum::<usize>());
                let bytes = |(key, clients): (&Vec<u8>, &BTreeSet<Watcher>)| {
                    KEY_BYTES + key.len() + clients.len() * ITEM_BYTES
                };
                prop_assert_eq!(table.bytes(), model.iter().map(bytes).sum::<usize>());
            }
        }
    }

    #[test]
    fn long_keys_reach_the_bound_before_many() {
        let table = KeyTable::default();
        table.add(&[b'x'; 1000], client(1));
        assert!(table.is_over(3) && !table.is_over(5) && !table.is_full(3));
        table.add(&vec![b'y'; 1 << 20], client(1));
        assert!(table.is_full(3));
    }
}
