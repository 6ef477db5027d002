//! Which followers are paced: those that lag, as long as nobody waits for them.
//!
//! - A group that commits what is written does so without them. If something has waited for longer than two heartbeats,
//!   they may be whom the majority lacks, and get all that they can take; so does everybody while leadership is handed over, and
//!   until a new leader has committed an entry of its own.
//! - Whom the pace held back is sent more with the next turn: a little with each of many, beside what clients write, rather than much
//!   at once, which they would wait for.

use perdura_wal::Disk;
use raft::{ProgressState, StateRole};

use super::{Node, others_of};
use crate::raft::identity::NodeId;

/// For how many ticks something has waited to be committed.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    /// What the log ended with when the ticks began.
    last: u64,
    ticks: usize,
}

impl Waiting {
    fn tick(&mut self, committed: u64, last: u64) {
        if committed >= self.last {
            *self = Waiting { last, ticks: 0 };
        } else {
            self.ticks += 1;
        }
    }
}

impl<D: Disk> Node<D> {
    /// To be called with every tick.
    pub(super) fn tick_waiting(&mut self) {
        let log = &self.raw.raft.raft_log;
        self.waiting.tick(log.committed, log.last_index());
    }

    /// To be called with every turn.
    pub(super) fn pace_catch_up(&mut self, now_ms: u64) {
        let lagging = self.lagging();
        let paced = if self.is_somebody_waiting() { 0 } else { lagging.len() };
        self.raw.mut_store().turn_pace(now_ms, paced as u64);
        for id in lagging {
            self.raw.raft.send_append(id);
        }
    }

    fn is_somebody_waiting(&self) -> bool {
        let is_new_in_office = !self.is_serving();
        let is_handing_over = self.raw.raft.lead_transferee.is_some();
        is_new_in_office || is_handing_over || self.waiting.ticks > 2 * self.config.timing.heartbeat_ticks
    }

    /// The last entry that all followers have which are being sent the log; no bound if none is.
    pub fn followed_from(&self) -> u64 {
        let raft = &self.raw.raft;
        if raft.state != StateRole::Leader {
            return u64::MAX;
        }
        let progress = others_of(&self.config.identity).filter_map(|id| raft.prs().get(id));
        let followers = progress.filter(|progress| progress.state == ProgressState::Replicate);
        followers.map(|progress| progress.matched).min().unwrap_or(u64::MAX)
    }

    fn lagging(&self) -> Vec<NodeId> {
        let raft = &self.raw.raft;
        if raft.state != StateRole::Leader {
            return Vec::new();
        }
        let is_lagging = |id: &NodeId| {
            let progress = raft.prs().get(*id);
            let progress = progress.filter(|progress| progress.state != ProgressState::Snapshot);
            progress.is_some_and(|progress| self.raw.store().is_behind(progress.next_idx))
        };
        others_of(&self.config.identity).filter(is_lagging).collect()
    }
}

#[cfg(test)]
mod tests;
