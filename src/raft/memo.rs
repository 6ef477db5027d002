//! What a log's metadata remembers of its node beside the identity: whether the node knows all that it ever acknowledged, and
//! for how long it promised to elect no other leader.
//!
//! ```text
//! metadata = 1 identity                                          whole log, default promise
//!          | 2 identity index:u64                                read only: written by older builds, without the term
//!          | 3 identity term:u64 index:u64 promise_ms:u64
//! ```
//! All numbers are little-endian. An index of zero stands for a whole log, [`u64::MAX`] for one whose node has not yet heard what
//! it lost.

use super::identity::{HEADER_BYTES, Identity};
use super::timing::RaftTiming;

const INDEX_VERSION: u8 = 2;
const MEMO_VERSION: u8 = 3;
const INDEX_BYTES: usize = 8;
const MEMO_BYTES: usize = 3 * 8;
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

/// What a log remembers of its node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Memo {
    pub trust: Trust,
    /// The longest promise that may still bind the node, in its own milliseconds.
    pub promise_ms: u64,
}

impl Default for Memo {
    fn default() -> Memo {
        Memo { trust: Trust::Whole, promise_ms: RaftTiming::default().promise_ms() }
    }
}

impl Memo {
    /// The metadata of this identity with this memo.
    pub fn encode(&self, identity: &Identity) -> Vec<u8> {
        let mut bytes = identity.encode();
        if *self == Memo::default() {
            return bytes;
        }
        let LogEnd { term, index } = match self.trust {
            Trust::Whole => LogEnd::default(),
            Trust::NotYetKnown => LogEnd { term: 0, index: NOT_YET_KNOWN },
            Trust::Until(end) => end,
        };
        bytes[0] = MEMO_VERSION;
        for number in [term, index, self.promise_ms] {
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
            [term, index, promise_ms] => Memo { trust: trust_of(term, index), promise_ms },
            _ => Memo::default(),
        }
    }
}

/// The bytes of an identity before its memo, if this version has one.
pub(super) fn without_memo(version: u8, bytes: &[u8]) -> Option<&[u8]> {
    let memo_bytes = match version {
        INDEX_VERSION => INDEX_BYTES,
        MEMO_VERSION => MEMO_BYTES,
        _ => return None,
    };
    let end = bytes.len().checked_sub(memo_bytes).filter(|end| *end >= HEADER_BYTES)?;
    bytes.get(..end)
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
    use crate::raft::identity::ClusterId;

    fn identity() -> Identity {
        Identity::new(ClusterId(7), 2, vec![3, 2, 1]).expect("a valid identity")
    }

    #[test]
    fn a_memo_survives_its_bytes_and_damage_is_refused() {
        let until = Trust::Until(LogEnd { term: 5, index: 77 });
        for trust in [Trust::Whole, Trust::NotYetKnown, until] {
            for promise_ms in [450, 1_950] {
                let memo = Memo { trust, promise_ms };
                let bytes = memo.encode(&identity());
                assert_eq!(Identity::decode(&bytes), Ok(identity()));
                assert_eq!(Memo::decode(&bytes), memo);
                for cut in 0..bytes.len() {
                    assert!(Identity::decode(&bytes[..cut]).is_err(), "cut at {cut}");
                }
            }
        }
        assert_eq!(Memo::default().encode(&identity()), identity().encode());
    }

    #[test]
    fn the_bytes_of_older_builds_are_read() {
        let mut bytes = identity().encode();
        bytes[0] = INDEX_VERSION;
        bytes.extend(77u64.to_le_bytes());
        assert_eq!(Identity::decode(&bytes), Ok(identity()));
        assert_eq!(Memo::decode(&bytes).trust, Trust::Until(LogEnd { term: 0, index: 77 }));
    }

    #[test]
    fn the_order_of_log_ends_is_that_of_votes() {
        let end = |term, index| LogEnd { term, index };
        assert!(end(3, 1) > end(2, 9) && end(2, 9) > end(2, 8));
    }
}
