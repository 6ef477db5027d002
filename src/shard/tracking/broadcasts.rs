//! The prefixes of keys that clients in BCAST mode listen to, and the keys that have changed since they were told last.
//!
//! Each prefix is told of its keys in one message. Of a key that changes several times the last change counts: who made it is not told, if it
//! asked for that (NOLOOP).

use std::collections::{BTreeMap, BTreeSet};

use crate::shard::watches::Watcher;

/// Bytes of keys, past which they are told at once.
const GATHERED_BYTES: usize = 1 << 20;

#[derive(Debug, Default)]
pub(super) struct Broadcasts {
    prefixes: BTreeMap<Box<[u8]>, BTreeSet<Watcher>>,
    /// How many prefixes there are of each length.
    lengths: BTreeMap<usize, usize>,
    /// Keys that have changed, and by whom last.
    changed: BTreeMap<Box<[u8]>, Watcher>,
    bytes: usize,
}

/// What the clients of one prefix are told.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Broadcast {
    pub clients: Vec<Watcher>,
    /// Keys, and who changed each last.
    pub keys: Vec<(Box<[u8]>, Watcher)>,
}

impl Broadcasts {
    pub fn count(&self) -> usize {
        self.prefixes.len()
    }

    pub fn add(&mut self, prefix: &[u8], client: Watcher) {
        if !self.prefixes.contains_key(prefix) {
            *self.lengths.entry(prefix.len()).or_default() += 1;
        }
        self.prefixes.entry(prefix.into()).or_default().insert(client);
    }

    pub fn remove(&mut self, prefix: &[u8], client: Watcher) {
        let Some(clients) = self.prefixes.get_mut(prefix) else { return };
        clients.remove(&client);
        if !clients.is_empty() {
            return;
        }
        self.prefixes.remove(prefix);
        if let Some(count) = self.lengths.get_mut(&prefix.len()) {
            *count -= 1;
            if *count == 0 {
                self.lengths.remove(&prefix.len());
            }
        }
    }

    /// A key changes, by this client. True once the changes are due to be told.
    pub fn note(&mut self, key: &[u8], actor: Watcher) -> bool {
        let fitting = self.lengths.keys().take_while(|length| **length <= key.len());
        let mut prefixes = fitting.map(|length| &key[..*length]);
        if !prefixes.any(|prefix| self.prefixes.contains_key(prefix)) {
            return false;
        }
        if self.changed.insert(key.into(), actor).is_none() {
            self.bytes += key.len();
        }
        self.bytes > GATHERED_BYTES
    }

    /// Forgets what has changed: everything is about to be told.
    pub fn forget(&mut self) {
        self.changed.clear();
        self.bytes = 0;
    }

    /// Takes what has changed.
    pub fn take(&mut self) -> Vec<Broadcast> {
        let changed = std::mem::take(&mut self.changed);
        self.bytes = 0;
        if changed.is_empty() {
            return Vec::new();
        }
        let of_prefixes = self.prefixes.iter().filter_map(|(prefix, clients)| {
            let keys = changed.range(prefix.clone()..).take_while(|(key, _)| key.starts_with(prefix));
            let keys: Vec<_> = keys.map(|(key, actor)| (key.clone(), *actor)).collect();
            (!keys.is_empty()).then(|| Broadcast { clients: clients.iter().copied().collect(), keys })
        });
        of_prefixes.collect()
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;
    use crate::propose::reply::ConnectionId;

    fn client(index: u32) -> Watcher {
        (0, ConnectionId { index, generation: 0 })
    }

    fn text() -> impl Strategy<Value = Vec<u8>> {
        vec(prop_oneof![Just(b'a'), Just(b'b')], 0..4)
    }

    #[test]
    fn a_prefix_is_told_of_its_keys_and_the_last_change_of_each_counts() {
        let mut broadcasts = Broadcasts::default();
        broadcasts.add(b"a:", client(1));
        broadcasts.add(b"b:", client(1));
        broadcasts.add(b"b:", client(2));
        for (key, actor) in [("a:1", 7), ("c", 7), ("b:2", 7), ("a:1", 8)] {
            broadcasts.note(key.as_bytes(), client(actor));
        }
        let told = |clients: &[u32], key: &str, actor| Broadcast {
            clients: clients.iter().copied().map(client).collect(),
            keys: vec![(key.as_bytes().into(), client(actor))],
        };
        assert_eq!(broadcasts.take(), [told(&[1], "a:1", 8), told(&[1, 2], "b:2", 7)]);
        assert!(broadcasts.take().is_empty());
    }

    proptest! {
        /// As if each prefix were compared with each key.
        #[test]
        fn prefixes_are_told_of_the_keys_that_begin_with_them(
            prefixes in vec((text(), 0..3_u32), 0..6), gone in vec((text(), 0..3_u32), 0..4), keys in vec(text(), 0..8)
        ) {
            let mut broadcasts = Broadcasts::default();
            let mut model: BTreeSet<(Vec<u8>, u32)> = BTreeSet::new();
            for (prefix, number) in prefixes {
                broadcasts.add(&prefix, client(number));
                model.insert((prefix, number));
            }
            for (prefix, number) in gone {
                broadcasts.remove(&prefix, client(number));
                model.remove(&(prefix, number));
            }
            for key in &keys {
                broadcasts.note(key, client(9));
            }
            let mut told: BTreeSet<(Vec<u8>, Watcher)> = BTreeSet::new();
            for Broadcast { clients, keys } in broadcasts.take() {
                told.extend(clients.iter().flat_map(|client| keys.iter().map(|(key, _)| (key.to_vec(), *client))));
            }
            let expected: BTreeSet<(Vec<u8>, Watcher)> = model
                .iter()
                .flat_map(|(prefix, number)| {
                    let fitting = keys.iter().filter(|key| key.starts_with(prefix));
                    fitting.map(|key| (key.clone(), client(*number)))
                })
                .collect();
            prop_assert_eq!(told, expected);
            let names: BTreeSet<&Vec<u8>> = model.iter().map(|(prefix, _)| prefix).collect();
            prop_assert_eq!(broadcasts.count(), names.len());
        }
    }
}
