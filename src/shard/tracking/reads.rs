//! Reads that a client has sent on to another node, and that are not answered: whether their keys have changed meanwhile.
//!
//! The answer is from a moment that this node does not know. A key that changes here after the read was sent and before its answer has come
//! may be told too early: the client would cache the value after it has dropped the key. So such a key is told again after the answer.

use std::collections::{BTreeMap, HashMap};

use crate::shard::watches::Watcher;

#[derive(Debug, Default)]
pub(super) struct PendingReads {
    keys: HashMap<Box<[u8]>, BTreeMap<Watcher, Pending>>,
}

/// A client's unanswered reads of one key.
#[derive(Debug, Default)]
struct Pending {
    reads: usize,
    is_overtaken: bool,
}

impl PendingReads {
    /// A client's read of a key is sent on.
    pub fn begin(&mut self, key: &[u8], client: Watcher) {
        let clients = match self.keys.get_mut(key) {
            Some(clients) => clients,
            None => self.keys.entry(key.into()).or_default(),
        };
        clients.entry(client).or_default().reads += 1;
    }

    /// A key changes.
    pub fn overtake(&mut self, key: &[u8]) {
        if !self.keys.is_empty()
            && let Some(clients) = self.keys.get_mut(key)
        {
            clients.values_mut().for_each(|pending| pending.is_overtaken = true);
        }
    }

    /// Every key may have changed.
    pub fn overtake_all(&mut self) {
        let all = self.keys.values_mut().flat_map(BTreeMap::values_mut);
        all.for_each(|pending| pending.is_overtaken = true);
    }

    /// A client's read of a key is answered, or given up; true if the key has changed since it was sent.
    pub fn end(&mut self, key: &[u8], client: Watcher) -> bool {
        let Some(clients) = self.keys.get_mut(key) else { return false };
        let Some(pending) = clients.get_mut(&client) else { return false };
        let is_overtaken = pending.is_overtaken;
        pending.reads -= 1;
        if pending.reads == 0 {
            clients.remove(&client);
            if clients.is_empty() {
                self.keys.remove(key);
            }
        }
        is_overtaken
    }

    /// None of a client's reads will be answered.
    pub fn forget(&mut self, client: Watcher) {
        self.keys.retain(|_, clients| {
            clients.remove(&client);
            !clients.is_empty()
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::propose::reply::ConnectionId;

    const ME: Watcher = (0, ConnectionId { index: 1, generation: 0 });
    const OTHER: Watcher = (1, ConnectionId { index: 1, generation: 0 });

    #[test]
    fn a_change_between_a_read_and_its_answer_is_found_out() {
        let mut reads = PendingReads::default();
        reads.begin(b"a", ME);
        reads.begin(b"b", ME);
        reads.overtake(b"a");
        assert!(reads.end(b"a", ME) && !reads.end(b"b", ME) && reads.keys.is_empty());
        reads.begin(b"a", ME);
        assert!(!reads.end(b"a", ME), "the change came before it");
    }

    #[test]
    fn each_of_several_reads_is_told_of_a_change_before_its_answer() {
        let mut reads = PendingReads::default();
        reads.begin(b"a", ME);
        reads.overtake(b"a");
        reads.begin(b"a", ME);
        reads.begin(b"a", OTHER);
        assert!(reads.end(b"a", ME) && reads.end(b"a", ME) && !reads.end(b"a", OTHER));
    }

    #[test]
    fn where_everything_may_have_changed_every_read_is_overtaken() {
        let mut reads = PendingReads::default();
        reads.begin(b"a", ME);
        reads.begin(b"b", OTHER);
        reads.overtake_all();
        reads.forget(OTHER);
        assert!(reads.end(b"a", ME) && !reads.end(b"b", OTHER) && reads.keys.is_empty());
    }
}
