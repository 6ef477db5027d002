//! A large entry that was read from the log for a follower. Raft asks for it again with each sign of life of a follower that it
//! probes; so it is read once, and all messages share its bytes.

use perdura_wal::{Disk, Wal};
use raft::eraftpb::Entry;

use super::LogStorage;

/// Smaller entries are read again.
const LARGE_BYTES: usize = 1 << 20;
/// For how long it is kept.
const KEPT_MS: u64 = 2_000;

#[derive(Debug, Default)]
pub struct LargeEntry {
    entry: Option<Entry>,
    now_ms: u64,
    kept_ms: u64,
}

impl LargeEntry {
    /// The entry at this index, if it was kept and is still the one in the log.
    pub fn get<D: Disk>(&self, index: u64, wal: &Wal<D>) -> Option<Entry> {
        let is_same = |entry: &&Entry| entry.index == index && wal.term(index).ok() == Some(entry.term);
        self.entry.as_ref().filter(is_same).cloned()
    }

    /// Keeps what was read, if it is one large entry.
    pub fn keep(&mut self, entries: &[Entry]) {
        if let [entry] = entries
            && entry.data.len() >= LARGE_BYTES
        {
            self.entry = Some(entry.clone());
            self.kept_ms = self.now_ms;
        }
    }

    /// Time has passed.
    pub fn turn(&mut self, now_ms: u64) {
        self.now_ms = now_ms;
        if now_ms > self.kept_ms + KEPT_MS {
            self.entry = None;
        }
    }
}

impl<D: Disk> LogStorage<D> {
    /// What the entries take that are kept in memory, for followers.
    pub fn recent_bytes(&self) -> usize {
        self.recent.allocated
    }
}
