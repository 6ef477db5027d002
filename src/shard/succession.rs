//! Whom a primary whose disk is full hands over to: writes go on where there is space.
//!
//! - It does not know whose disk has space, so it tries: others that are there and have the whole log, each once for as long
//!   as its own disk is full, with a pause in between. A group whose disks are all full comes to rest after a few elections,
//!   which its reserves are made for, and goes on serving reads.

use crate::raft::identity::NodeId;
use crate::raft::status::PeerProgress;

/// Between two tries of one node.
const PAUSE_MS: u64 = 10_000;

#[derive(Debug, Default)]
pub struct Succession {
    asked: Vec<NodeId>,
    next_ms: u64,
}

impl Succession {
    /// Whom to hand over to now; `peers` are the others as their leader sees them.
    pub fn next(&mut self, peers: &[PeerProgress], now_ms: u64) -> Option<NodeId> {
        if now_ms < self.next_ms {
            return None;
        }
        let may_lead = |peer: &&PeerProgress| {
            peer.recently_active && peer.may_lead && peer.lag == 0 && !self.asked.contains(&peer.id)
        };
        let successor = peers.iter().find(may_lead)?.id;
        self.asked.push(successor);
        self.next_ms = now_ms + PAUSE_MS;
        Some(successor)
    }

    pub fn has_begun(&self) -> bool {
        !self.asked.is_empty()
    }

    /// This node's disk has space.
    pub fn forget(&mut self) {
        self.asked.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(id: NodeId, lag: u64, recently_active: bool) -> PeerProgress {
        PeerProgress { id, matched: 0, lag, recently_active, silent_ms: None, may_lead: true, sync_ms: 0 }
    }

    #[test]
    fn each_that_has_everything_is_tried_once_and_none_in_a_hurry() {
        let mut succession = Succession::default();
        let learner = PeerProgress { may_lead: false, ..peer(1, 0, true) };
        let peers = [learner, peer(2, 5, true), peer(3, 0, true), peer(4, 0, false), peer(5, 0, true)];
        assert_eq!(succession.next(&peers, 1), Some(3));
        assert_eq!(succession.next(&peers, PAUSE_MS), None);
        assert_eq!(succession.next(&peers, 1 + PAUSE_MS), Some(5));
        assert_eq!(succession.next(&peers, 1 + 2 * PAUSE_MS), None, "all were tried");
        succession.forget();
        assert_eq!(succession.next(&peers, 1 + 2 * PAUSE_MS), Some(3));
    }
}
