//! A primary whose log writes are slow hands over to a node whose writes are not.
//!
//! - A write is slow from [`SLOW_MS`] on. A primary is slow after two slow writes in a row that together took [`PATIENCE_MS`]: one hiccup
//!   is no reason, and neither is a disk that is only busy.
//! - Followers tell their leader how long their own writes took lately: the longest of the last few. A successor's are at most a quarter of
//!   this node's. So where all disks are slow nobody hands over, and a node that was slow a moment ago gets nothing back.
//! - Only if a majority without this node is that fast: otherwise each write would wait for this node's disk as before, whoever leads.
//! - Between two tries there is a pause.

use crate::raft::identity::NodeId;
use crate::raft::status::PeerProgress;

/// From how long on a write is slow.
const SLOW_MS: u32 = 500;
/// What slow writes in a row may take together.
const PATIENCE_MS: u64 = 4_000;
/// How many slow writes in a row it takes at least.
const MIN_SLOW_WRITES: u32 = 2;
/// A successor's writes take at most this part of this node's.
const FASTER_TIMES: u32 = 4;
/// Between two tries.
const PAUSE_MS: u64 = 30_000;
/// Writes that are remembered.
const RECENT: usize = 4;

/// How long a node's log writes took lately.
#[derive(Debug, Default)]
pub struct WriteTimes {
    recent: [u32; RECENT],
    count: usize,
    slow_in_row: u32,
    slow_ms: u64,
}

impl WriteTimes {
    pub fn note(&mut self, ms: u64) {
        // Zero says that nothing is known.
        let ms = u32::try_from(ms).unwrap_or(u32::MAX).max(1);
        self.recent[self.count % RECENT] = ms;
        self.count = self.count.wrapping_add(1);
        if ms >= SLOW_MS {
            self.slow_in_row += 1;
            self.slow_ms += u64::from(ms);
        } else {
            (self.slow_in_row, self.slow_ms) = (0, 0);
        }
    }

    /// The longest of the last few, in milliseconds; 0 if there was none.
    pub fn longest_ms(&self) -> u32 {
        self.recent.iter().copied().max().unwrap_or_default()
    }

    /// The longest of the last few, in milliseconds, where the last two were slow; 0 otherwise.
    pub fn slow_ms(&self) -> u32 {
        if self.slow_in_row >= MIN_SLOW_WRITES { self.longest_ms() } else { 0 }
    }

    pub fn are_slow(&self) -> bool {
        self.slow_in_row >= MIN_SLOW_WRITES && self.slow_ms >= PATIENCE_MS
    }
}

/// When a primary may hand over for this next.
#[derive(Debug, Default)]
pub struct GivingWay {
    next_ms: u64,
}

impl GivingWay {
    /// The node to hand over to now, if this one is slow; `peers` are the others as their leader sees them.
    pub fn successor(&mut self, own: &WriteTimes, peers: &[PeerProgress], now_ms: u64) -> Option<NodeId> {
        if !own.are_slow() || now_ms < self.next_ms {
            return None;
        }
        let bound_ms = own.longest_ms() / FASTER_TIMES;
        let is_fast = |peer: &&PeerProgress| peer.recently_active && (1..=bound_ms).contains(&peer.sync_ms);
        let quorum = peers.len().div_ceil(2) + 1;
        if peers.iter().filter(is_fast).count() < quorum {
            return None;
        }
        let up_to_date = peers.iter().filter(is_fast).filter(|peer| peer.lag == 0 && peer.may_lead);
        let successor = up_to_date.min_by_key(|peer| (peer.sync_ms, peer.id))?.id;
        self.next_ms = now_ms + PAUSE_MS;
        Some(successor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(id: NodeId, lag: u64, sync_ms: u32) -> PeerProgress {
        PeerProgress { id, matched: 0, lag, recently_active: true, silent_ms: None, may_lead: true, sync_ms }
    }

    fn times(all: &[u64]) -> WriteTimes {
        let mut times = WriteTimes::default();
        all.iter().for_each(|ms| times.note(*ms));
        times
    }

    /// A primary whose syncs took five seconds, one after the other, kept its office for ever.
    #[test]
    fn a_primary_with_slow_syncs_hands_over_to_the_fastest_that_has_everything() {
        let peers = [peer(2, 0, 9), peer(3, 0, 7), peer(4, 5, 1), peer(5, 0, 1_250)];
        let mut giving_way = GivingWay::default();
        assert_eq!(giving_way.successor(&times(&[5_000]), &peers, 1), None, "one is a hiccup");
        assert_eq!(giving_way.successor(&times(&[5_000, 3, 5_000]), &peers, 1), None);
        assert_eq!(
            giving_way.successor(&times(&[600; 6]), &peers, 1),
            None,
            "2, 3 and 4 are no majority without 5"
        );
        assert_eq!(giving_way.successor(&times(&[5_000, 5_000]), &peers, 1), Some(3));
        assert_eq!(giving_way.successor(&times(&[5_000, 5_000]), &peers, PAUSE_MS), None);
        assert_eq!(giving_way.successor(&times(&[5_000, 5_000]), &peers, PAUSE_MS + 1), Some(3));
    }

    #[test]
    fn nobody_hands_over_where_it_would_not_help() {
        let slow = times(&[5_000, 5_000]);
        let none = |peers: &[PeerProgress]| GivingWay::default().successor(&slow, peers, 1).is_none();
        assert!(none(&[peer(2, 0, 1)]), "each write of a group of two needs both");
        assert!(none(&[peer(2, 0, 1), peer(3, 0, 4_000)]), "so it does where the third is slow");
        assert!(none(&[peer(2, 0, 1), peer(3, 0, 0)]), "or has told nothing");
        assert!(none(&[peer(2, 9, 1), peer(3, 9, 1)]), "not before one has everything");
        assert!(!none(&[peer(2, 0, 1), peer(3, 9, 1)]));
        let learner = PeerProgress { may_lead: false, ..peer(2, 0, 1) };
        assert!(none(&[learner, peer(3, 9, 1)]), "one that learns does not campaign");
    }
}
