//! The newest entries of the log in memory, for followers.

use std::collections::VecDeque;

use raft::eraftpb::Entry;

use crate::memory::size_class;

/// The newest entries of the log, contiguous up to its end, within a number of bytes.
pub(super) struct RecentEntries {
    entries: VecDeque<Entry>,
    pub(super) bytes: usize,
    /// What they take in memory.
    pub(super) allocated: usize,
    max_bytes: usize,
}

impl RecentEntries {
    pub(super) fn new(max_bytes: usize) -> RecentEntries {
        RecentEntries { entries: VecDeque::new(), bytes: 0, allocated: 0, max_bytes }
    }

    pub(super) fn first_index(&self) -> Option<u64> {
        self.entries.front().map(|entry| entry.index)
    }

    pub(super) fn get(&self, index: u64) -> Option<&Entry> {
        let place = index.checked_sub(self.first_index()?)?;
        self.entries.get(usize::try_from(place).ok()?)
    }

    pub(super) fn clear(&mut self) {
        self.entries.clear();
        (self.bytes, self.allocated) = (0, 0);
    }

    /// Appends what was just written, after dropping what it replaced.
    pub(super) fn extend(&mut self, entries: Vec<Entry>) {
        let Some(first) = entries.first() else {
            return;
        };
        self.drop_from(first.index);
        for entry in entries {
            let is_next = self.entries.back().is_none_or(|last| last.index + 1 == entry.index);
            assert!(is_next, "entry {} does not follow those in memory", entry.index);
            self.bytes += entry.data.len();
            self.allocated += allocated_bytes(&entry);
            self.entries.push_back(entry);
        }
        self.keep_at_least(1);
    }

    /// Drops the oldest beyond what may be kept, but for so many.
    pub(super) fn keep_at_least(&mut self, count: usize) {
        while self.bytes > self.max_bytes && self.entries.len() > count {
            let oldest = self.entries.pop_front();
            self.forget(oldest);
        }
    }

    fn drop_from(&mut self, index: u64) {
        while self.entries.back().is_some_and(|last| last.index >= index) {
            let newest = self.entries.pop_back();
            self.forget(newest);
        }
    }

    fn forget(&mut self, entry: Option<Entry>) {
        let Some(entry) = entry else { return };
        self.bytes -= entry.data.len();
        self.allocated -= allocated_bytes(&entry);
    }
}

fn allocated_bytes(entry: &Entry) -> usize {
    size_of::<Entry>() + size_class(entry.data.len())
}
