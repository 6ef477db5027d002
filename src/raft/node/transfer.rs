//! Leadership that is handed over.
//!
//! - A member that learns what it lost with a log (`rejoin.rs`) does not campaign: it is no transferee. A leader knows that a member
//!   does not learn once that member has committed what was the leader's last entry when the leader first heard it in its term.
//!   For what a learning member has to learn was fixed before it said anything with its log. So it lies no later than that entry, and if it is
//!   of an older term, any committed entry of the leader's term ends the learning.

use std::collections::BTreeMap;

use perdura_wal::Disk;
use raft::{INVALID_ID, StateRole};

use super::{Node, TransferError, others_of};
use crate::planted::{Bug, planted};
use crate::raft::identity::NodeId;
use crate::raft::status::Role;

/// When a leader first heard each member in its term, with the log that the member has now.
#[derive(Debug, Default)]
pub(super) struct Hearings {
    term: u64,
    /// The leader's last entry at that moment.
    last: BTreeMap<NodeId, u64>,
}

impl Hearings {
    /// A member has returned a stamp of the leader of `term`, whose log ends at `last_index`.
    pub(super) fn note(&mut self, member: NodeId, term: u64, last_index: u64) {
        if self.term != term {
            (self.term, self.last) = (term, BTreeMap::new());
        }
        self.last.entry(member).or_insert(last_index);
    }

    /// The member has another log.
    pub(super) fn forget(&mut self, member: NodeId) {
        self.last.remove(&member);
    }

    fn first(&self, member: NodeId, term: u64) -> Option<u64> {
        self.last.get(&member).copied().filter(|_| self.term == term)
    }
}

impl<D: Disk> Node<D> {
    /// Whether a leader knows that this member learns nothing any more.
    pub(super) fn may_take_over(&self, member: NodeId) -> bool {
        let raft = &self.raw.raft;
        let committed = raft.prs().get(member).map_or(0, |progress| progress.committed_index);
        self.hearings.first(member, raft.term).is_some_and(|last| committed >= last)
    }

    /// A member has another log: what it had committed with the one before counts no more.
    pub(super) fn forget_hearing_of(&mut self, member: NodeId) {
        self.hearings.forget(member);
        if let Some(progress) = self.raw.raft.mut_prs().get_mut(member) {
            progress.committed_index = 0;
        }
    }

    /// Begins to hand the leadership to `to`. Until the transfer ends (within an election timeout), proposals are
    /// refused and there is no lease; see the lease's module for what follows a failed one.
    pub fn transfer_leadership(&mut self, to: NodeId, now_ms: u64) -> Result<(), TransferError> {
        if self.leadership.role != Role::Leader {
            return Err(TransferError::NotLeader);
        }
        if !others_of(&self.config.identity).any(|id| id == to) {
            return Err(TransferError::NotAnotherMember { to });
        }
        if !self.may_take_over(to) {
            return Err(TransferError::MayBeLearning { to });
        }
        planted!(Bug::LeaseDuringTransfer, {}, self.lease.void_for_transfer(to, now_ms));
        self.raw.transfer_leader(to);
        Ok(())
    }

    /// The follower that could take over soonest: one heard from lately that does not learn, with the most of the log. One whose
    /// calendar is wrong only where there is no other.
    pub fn best_transferee(&self) -> Option<NodeId> {
        let last_tick_ms = self.next_tick_ms.saturating_sub(self.config.timing.tick_ms);
        let peers = self.peer_progress(last_tick_ms);
        let active = peers.iter().filter(|peer| peer.recently_active && peer.may_lead);
        let best = active.max_by_key(|peer| {
            (!self.off_members.contains(&peer.id), peer.matched, std::cmp::Reverse(peer.id))
        })?;
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

#[cfg(test)]
mod tests;
