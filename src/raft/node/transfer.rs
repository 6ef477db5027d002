//! Leadership that is handed over.

use perdura_wal::Disk;
use raft::{INVALID_ID, StateRole};

use super::{Node, TransferError, others_of};
use crate::planted::{self, Bug};
use crate::raft::identity::NodeId;
use crate::raft::status::Role;

impl<D: Disk> Node<D> {
    /// Begins to hand the leadership to `to`. Until the transfer ends (within an election timeout), proposals are
    /// refused and there is no lease; see the lease's module for what follows a failed one.
    pub fn transfer_leadership(&mut self, to: NodeId, now_ms: u64) -> Result<(), TransferError> {
        if self.leadership.role != Role::Leader {
            return Err(TransferError::NotLeader);
        }
        if !others_of(&self.config.identity).any(|id| id == to) {
            return Err(TransferError::NotAnotherMember { to });
        }
        if !planted::is(Bug::LeaseDuringTransfer) {
            self.lease.void_for_transfer(to, now_ms);
        }
        self.raw.transfer_leader(to);
        Ok(())
    }

    /// The follower that could take over soonest: one heard from lately, with the most of the log.
    pub fn best_transferee(&self) -> Option<NodeId> {
        let peers = self.peer_progress();
        let active = peers.iter().filter(|peer| peer.recently_active);
        let best = active.max_by_key(|peer| (peer.matched, std::cmp::Reverse(peer.id)))?;
        Some(best.id)
    }

    /// A transfer that failed leaves the lease void until the transferee is heard; if it is silent for
    /// long, the leader steps down, for the next term settles everything.
    pub(super) fn settle_transfer(&mut self, now_ms: u64) {
        let raft = &mut self.raw.raft;
        if raft.state != StateRole::Leader || raft.lead_transferee.is_some() {
            return;
        }
        let unresolved_ms = self.lease.settle_transfer(now_ms).unwrap_or(0);
        if unresolved_ms > 3 * self.config.timing.election_ms() {
            tracing::warn!("stepping down: a transfer of leadership failed, and its target is silent");
            raft.become_follower(raft.term, INVALID_ID);
        }
    }
}
