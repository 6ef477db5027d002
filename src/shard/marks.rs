//! Marks: places in the log at which every node of a group takes a checkpoint of its own, so that they can be compared.
//!
//! - A mark is an entry. Whoever applies it captures the keyspace right behind it, so all captures are of one index; nobody is
//!   stopped for it. A node that can't capture then (a checkpoint is being written, or it has not caught up with what it had before
//!   its restart) says so, and another mark is to be set.
//! - What is compared is what the checkpoints say of themselves: keys and digest of each database, which were added up from
//!   the entries as they were written.
//!
//! Caveat: a checkpoint's sums come from what changed since the one before. What changed in memory without being written
//! to (a bit flipped by the hardware) is in no sum.

use std::collections::VecDeque;

use parking_lot::Mutex;

use crate::keyspace::capture::Capture;
use crate::keyspace::digest::Digest;

/// Marks that a node remembers.
const REMEMBERED: usize = 16;
/// Longest name of a mark.
pub const MAX_NAME_BYTES: usize = 64;

/// What became of a mark here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fate {
    /// Its checkpoint is being written.
    Writing,
    /// The keyspace could not be captured there.
    Missed(String),
    Failed(String),
    Done {
        keys: u64,
        digest: Digest,
    },
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mark {
    /// Chosen by who set it.
    pub name: String,
    /// The entry.
    pub index: u64,
    pub fate: Fate,
}

/// A keyspace that was captured at a mark.
#[derive(Debug)]
pub struct Marked {
    pub index: u64,
    pub term: u64,
    pub stamp_ms: i64,
    /// Bytes that had been applied by this process.
    pub applied_bytes: u64,
    pub capture: Capture,
}

/// The newest marks that this node has met since its start.
#[derive(Debug, Default)]
pub struct Marks(Mutex<VecDeque<Mark>>);

impl Marks {
    pub fn meet(&self, mark: Mark) {
        let mut marks = self.0.lock();
        if marks.len() == REMEMBERED {
            marks.pop_front();
        }
        marks.push_back(mark);
    }

    /// The checkpoint of this index, which may be no mark's, has come to its end.
    pub fn settle(&self, index: u64, fate: Fate) {
        if let Some(mark) = self.0.lock().iter_mut().find(|mark| mark.index == index) {
            mark.fate = fate;
        }
    }

    pub fn find(&self, name: &str) -> Option<Mark> {
        self.0.lock().iter().rfind(|mark| mark.name == name).cloned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_marks_are_remembered_with_what_became_of_them() {
        let marks = Marks::default();
        for index in 1..=20 {
            marks.meet(Mark { name: format!("m{index}"), index, fate: Fate::Writing });
        }
        assert_eq!(marks.find("m4"), None);
        marks.settle(4, Fate::Failed("it is forgotten".to_owned()));
        marks.settle(7, Fate::Done { keys: 3, digest: 9 });
        assert_eq!(marks.find("m7").map(|mark| mark.fate), Some(Fate::Done { keys: 3, digest: 9 }));
        assert_eq!(marks.find("m8").map(|mark| mark.fate), Some(Fate::Writing));
    }
}
