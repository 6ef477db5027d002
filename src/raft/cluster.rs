//! Which cluster a log belongs to: a random id, which no setting and no address says.
//!
//! - A leader whose data has no id draws one and logs it; the first in the log counts, on every node and in every replay. Log,
//!   checkpoints and backups carry it. Data of older builds gets one in the same way.
//! - What is restored, or recovered, is another cluster: its id follows from the source's and from the entry that it ends with.
//!   So members that were restored to different entries are strangers to each other, and both say to which entries.
//! - A log without an id belongs to no cluster yet. With a new log its node takes over what a majority says (`node/rejoin.rs`); once it takes
//!   part, what a log says that it heard when that belonged to none, either (`node/logs.rs`).

use std::fmt;

use xxhash_rust::xxh3::Xxh3Default;

use super::memo::LogEnd;

/// The id of a cluster; zero where there is none yet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClusterId(pub u64);

impl ClusterId {
    pub const NONE: ClusterId = ClusterId(0);

    pub fn is_none(self) -> bool {
        self == ClusterId::NONE
    }

    /// The id, if there is one.
    pub fn known(self) -> Option<ClusterId> {
        (!self.is_none()).then_some(self)
    }
}

impl fmt::Display for ClusterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// A cluster, as far as a log knows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cluster {
    pub id: ClusterId,
    /// The entry to which its data was restored; all zero where it was not.
    pub origin: LogEnd,
}

impl Cluster {
    pub fn of(id: ClusterId) -> Cluster {
        Cluster { id, origin: LogEnd::default() }
    }

    /// The cluster that data of `source` becomes when it is restored to the entry where it ends. A name of its own makes another one.
    pub fn restored(source: &[u64], origin: LogEnd, name: &str) -> Cluster {
        let mut hash = Xxh3Default::new();
        hash.update(b"restored");
        for number in source.iter().chain(&[origin.term, origin.index]) {
            hash.update(&number.to_le_bytes());
        }
        hash.update(name.as_bytes());
        Cluster { id: ClusterId(hash.digest().max(1)), origin }
    }

    /// Whether two logs may be of one cluster: not if both know theirs, and they differ.
    pub fn may_be(&self, other: &Cluster) -> bool {
        self.id == other.id || self.id.is_none() || other.id.is_none()
    }

    /// Whether both were restored, to different entries.
    pub fn is_other_moment_of(&self, other: &Cluster) -> bool {
        let (own, others) = (self.origin, other.origin);
        own.index > 0 && others.index > 0 && own != others
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const END: LogEnd = LogEnd { term: 3, index: 70 };

    #[test]
    fn members_restored_to_one_entry_are_one_cluster_and_others_are_not() {
        let restored = Cluster::restored(&[5, 0], END, "");
        assert_eq!(restored, Cluster::restored(&[5, 0], END, ""));
        let earlier = LogEnd { index: 69, ..END };
        let others = [
            Cluster::restored(&[6, 0], END, ""),
            Cluster::restored(&[5, 0], earlier, ""),
            Cluster::restored(&[5, 0], LogEnd { term: 2, ..END }, ""),
            Cluster::restored(&[5, 0], END, "blue"),
            Cluster::of(ClusterId(5)),
        ];
        assert!(others.iter().all(|other| !restored.may_be(other)), "{others:?}");
        assert!(restored.is_other_moment_of(&others[1]) && !restored.is_other_moment_of(&others[4]));
        assert!(restored.may_be(&Cluster::default()));
        assert_eq!(restored.id.to_string(), "8b6eae616dbdb463");
    }
}
