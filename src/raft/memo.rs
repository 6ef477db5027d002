//! What a log's metadata remembers of its node beside the identity: whether the node knows all that it ever acknowledged, for how long it
//! promised to elect no other leader, and which cluster the log belongs to.
//!
//! ```text
//! metadata = 4 identity term:u64 index:u64 promise_ms:u64 cluster:u64 origin_term:u64 origin_index:u64 count:u64 {member:u64 log:u64}
//!          | 1 identity                                          read only: whole log, default promise, no cluster yet
//!          | 2 identity index:u64                                read only: as before, without the term
//!          | 3 identity term:u64 index:u64 promise_ms:u64        read only
//! ```
//! All numbers are little-endian. An index of zero stands for a whole log, [`u64::MAX`] for one whose node has not yet heard what
//! it lost; a cluster of zero for none. The pairs at the end name logs of other members (`node/logs.rs`).

use super::cluster::{Cluster, ClusterId};
use super::identity::{HEADER_BYTES, Identity, NodeId};
use super::timing::RaftTiming;

const INDEX_VERSION: u8 = 2;
const PROMISE_VERSION: u8 = 3;
const VERSION: u8 = 4;
const INDEX_BYTES: usize = 8;
const PROMISE_BYTES: usize = 3 * 8;
/// The pairs come on top.
const MEMO_BYTES: usize = 7 * 8;
const PAIR_BYTES: usize = 2 * 8;
const NOT_YET_KNOWN: u64 = u64::MAX;

/// Where a log ends. The order is that of votes: the later term first, then the longer log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct LogEnd {
    /// The last entry's term; 0 if it is unknown, or there is no entry.
    pub term: u64,
    pub index: u64,
}

/// How far a node can rely on its log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Trust {
    /// The log holds all that its node ever acknowledged.
    #[default]
    Whole,
    /// The node has lost a log, and the others have not yet told what it may have acknowledged with it.
    NotYetKnown,
    /// The node has lost a log. What it acknowledged with that is in each log that ends here or later.
    Until(LogEnd),
}

/// A log of another member; those of one member in the order in which they followed each other.
pub type MemberLog = (NodeId, u64);

/// What a log remembers of its node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Memo {
    pub trust: Trust,
    /// The longest promise that may still bind the node, in its own milliseconds.
    pub promise_ms: u64,
    pub cluster: Cluster,
    pub member_logs: Vec<MemberLog>,
}

impl Default for Memo {
    fn default() -> Memo {
        let (trust, promise_ms) = (Trust::Whole, RaftTiming::default().promise_ms());
        Memo { trust, promise_ms, cluster: Cluster::default(), member_logs: Vec::new() }
    }
}

impl Memo {
    /// Of a log that belongs to this cluster.
    pub fn in_cluster(cluster: Cluster) -> Memo {
        Memo { cluster, ..Memo::default() }
    }

    /// The metadata of this identity with this memo.
    pub fn encode(&self, identity: &Identity) -> Vec<u8> {
        let mut bytes = identity.encode();
        bytes[0] = VERSION;
        let LogEnd { term, index } = match self.trust {
            Trust::Whole => LogEnd::default(),
            Trust::NotYetKnown => LogEnd { term: 0, index: NOT_YET_KNOWN },
            Trust::Until(end) => end,
        };
        let Cluster { id, origin } = self.cluster;
        let fixed = [term, index, self.promise_ms, id.0, origin.term, origin.index];
        let pairs = self.member_logs.iter().flat_map(|(member, log)| [*member, *log]);
        for number in fixed.into_iter().chain([self.member_logs.len() as u64]).chain(pairs) {
            bytes.extend_from_slice(&number.to_le_bytes());
        }
        bytes
    }

    /// The memo in these bytes, which hold a valid identity.
    pub fn decode(bytes: &[u8]) -> Memo {
        let version = bytes.first().copied().unwrap_or_default();
        let Some(plain) = without_memo(version, bytes) else { return Memo::default() };
        let numbers = bytes[plain.len()..].as_chunks::<8>().0.iter().map(|n| u64::from_le_bytes(*n));
        match numbers.collect::<Vec<u64>>()[..] {
            [index] => Memo { trust: trust_of(0, index), ..Memo::default() },
            [term, index, promise_ms] => Memo { trust: trust_of(term, index), promise_ms, ..Memo::default() },
            [term, index, promise_ms, id, origin_term, origin_index, _, ref pairs @ ..] => Memo {
                trust: trust_of(term, index),
                promise_ms,
                cluster: Cluster {
                    id: ClusterId(id),
                    origin: LogEnd { term: origin_term, index: origin_index },
                },
                member_logs: pairs.as_chunks::<2>().0.iter().map(|[member, log]| (*member, *log)).collect(),
            },
            _ => Memo::default(),
        }
    }
}

/// Whether an older build wrote this metadata, which knew clusters by settings and addresses only.
pub fn is_of_older_build(metadata: &[u8]) -> bool {
    metadata.first().is_some_and(|version| *version < VERSION)
}

/// The bytes of an identity before its memo, if this version has one.
pub(super) fn without_memo(version: u8, bytes: &[u8]) -> Option<&[u8]> {
    let end = match version {
        INDEX_VERSION => bytes.len().checked_sub(INDEX_BYTES)?,
        PROMISE_VERSION => bytes.len().checked_sub(PROMISE_BYTES)?,
        VERSION => end_before_pairs(bytes)?,
        _ => return None,
    };
    bytes.get(..end).filter(|plain| plain.len() >= HEADER_BYTES)
}

/// Where an identity ends that a memo with pairs follows; `None` if the lengths do not fit.
fn end_before_pairs(bytes: &[u8]) -> Option<usize> {
    let number = |at: usize| {
        let number = bytes.get(at..)?.first_chunk::<8>()?;
        usize::try_from(u64::from_le_bytes(*number)).ok()
    };
    let end = number(HEADER_BYTES - 8)?.checked_mul(8)?.checked_add(HEADER_BYTES)?;
    let pairs = number(end.checked_add(MEMO_BYTES - 8)?)?.checked_mul(PAIR_BYTES)?;
    (end.checked_add(MEMO_BYTES)?.checked_add(pairs)? == bytes.len()).then_some(end)
}

fn trust_of(term: u64, index: u64) -> Trust {
    match index {
        0 => Trust::Whole,
        NOT_YET_KNOWN => Trust::NotYetKnown,
        index => Trust::Until(LogEnd { term, index }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::raft::identity::GroupKey;

    fn identity() -> Identity {
        Identity::new(GroupKey(7), 2, vec![3, 2, 1]).expect("a valid identity")
    }

    #[test]
    fn a_memo_survives_its_bytes_and_damage_is_refused() {
        let until = Trust::Until(LogEnd { term: 5, index: 77 });
        let restored = Cluster { id: ClusterId(9), origin: LogEnd { term: 1, index: 2 } };
        for trust in [Trust::Whole, Trust::NotYetKnown, until] {
            for (cluster, member_logs) in
                [(Cluster::default(), vec![]), (restored, vec![(1, 10), (1, 11), (3, 30)])]
            {
                let memo = Memo { trust, promise_ms: 1_950, cluster, member_logs };
                let bytes = memo.encode(&identity());
                assert_eq!(Identity::decode(&bytes), Ok(identity()));
                assert_eq!(Memo::decode(&bytes), memo);
                assert!(!is_of_older_build(&bytes));
                for cut in 0..bytes.len() {
                    assert!(Identity::decode(&bytes[..cut]).is_err(), "cut at {cut}");
                }
                let longer = [&bytes[..], &[0]].concat();
                assert!(Identity::decode(&longer).is_err());
            }
        }
    }

    #[test]
    fn the_bytes_of_older_builds_are_read() {
        let plain = identity().encode();
        assert_eq!((Identity::decode(&plain), Memo::decode(&plain)), (Ok(identity()), Memo::default()));
        let of_version = |version: u8, numbers: &[u64]| {
            let mut bytes = identity().encode();
            bytes[0] = version;
            bytes.extend(numbers.iter().flat_map(|number| number.to_le_bytes()));
            assert!(is_of_older_build(&bytes));
            assert_eq!(Identity::decode(&bytes), Ok(identity()));
            Memo::decode(&bytes)
        };
        let until = |term| Trust::Until(LogEnd { term, index: 77 });
        assert_eq!(of_version(2, &[77]).trust, until(0));
        let memo = of_version(3, &[5, 77, 1_950]);
        assert_eq!((memo.trust, memo.promise_ms, memo.cluster), (until(5), 1_950, Cluster::default()));
    }

    #[test]
    fn the_bytes_never_change_between_releases() {
        let memo = Memo { member_logs: vec![(1, 4)], ..Memo::in_cluster(Cluster::of(ClusterId(9))) };
        let numbers = [7, 2, 3, 1, 2, 3, 0, 0, 450, 9, 0, 0, 1, 1, 4u64];
        let expected = [vec![4], numbers.iter().flat_map(|number| number.to_le_bytes()).collect()].concat();
        assert_eq!(memo.encode(&identity()), expected);
    }

    #[test]
    fn the_order_of_log_ends_is_that_of_votes() {
        let end = |term, index| LogEnd { term, index };
        assert!(end(3, 1) > end(2, 9) && end(2, 9) > end(2, 8));
    }
}
