//! How often a leader repeats the append by which it probes a follower.
//!
//! - A leader that does not know where a follower's log ends sends it one append, and waits for the answer. The raft crate repeats that append
//!   at each answer to a heartbeat: a follower that answers a hundred of them at once, after a stall, would be sent a hundred copies, and
//!   one at a slow link the next copies while the first is under way.
//! - So an answer repeats a probe only if another came half a heartbeat before, or earlier; each repetition doubles that time, up to an
//!   election timeout.
//! - With a connection that broke its probe is lost: the next answer repeats it.

use std::collections::BTreeMap;

use perdura_wal::Disk;
use raft::eraftpb::{Message, MessageType};
use raft::{ProgressState, StateRole};

use super::Node;
use crate::raft::identity::NodeId;
use crate::raft::timing::RaftTiming;

/// The probes that followers have not answered yet.
#[derive(Debug, Default)]
pub(super) struct Probes(BTreeMap<NodeId, Probe>);

#[derive(Debug)]
struct Probe {
    term: u64,
    /// The first entry that it holds.
    index: u64,
    /// Monotonic time from which an answer to a heartbeat repeats it.
    repeat_from_ms: u64,
    wait_ms: u64,
}

impl Probe {
    fn new(term: u64, index: u64, timing: &RaftTiming) -> Probe {
        Probe { term, index, repeat_from_ms: 0, wait_ms: timing.heartbeat_ms() / 2 }
    }

    /// One that may have been sent just now.
    fn under_way(self, now_ms: u64) -> Probe {
        Probe { repeat_from_ms: now_ms + self.wait_ms, ..self }
    }

    /// Whether it is to be repeated now; if so, it is taken for repeated.
    fn is_due(&mut self, now_ms: u64, timing: &RaftTiming) -> bool {
        let is_due = now_ms >= self.repeat_from_ms;
        if is_due {
            self.wait_ms = (2 * self.wait_ms).min(timing.election_ms());
            self.repeat_from_ms = now_ms + self.wait_ms;
        }
        is_due
    }
}

impl<D: Disk> Node<D> {
    /// Tells raft that frames to this peer were lost.
    pub fn report_unreachable(&mut self, peer: NodeId) {
        self.raw.report_unreachable(peer);
        let raft = &self.raw.raft;
        let progress = raft.prs().get(peer).filter(|_| raft.state == StateRole::Leader);
        if let Some(progress) = progress.filter(|progress| progress.paused) {
            let lost = Probe::new(raft.term, progress.next_idx, &self.config.timing);
            self.probes.0.insert(peer, lost);
        }
    }

    /// Takes an answer to a heartbeat, if raft would repeat a probe because of it and that is too soon. False for all else, which is raft's.
    pub(super) fn takes_without_repeating(&mut self, message: &Message, now_ms: u64) -> bool {
        let raft = &mut self.raw.raft;
        let term = raft.term;
        let is_answer = message.get_msg_type() == MessageType::MsgHeartbeatResponse && message.term == term;
        if !is_answer || raft.state != StateRole::Leader {
            return false;
        }
        let Some(progress) = raft.mut_prs().get_mut(message.from) else { return false };
        if progress.state != ProgressState::Probe || !progress.paused {
            self.probes.0.remove(&message.from);
            return false;
        }
        let (index, timing) = (progress.next_idx, &self.config.timing);
        let under_way = || Probe::new(term, index, timing).under_way(now_ms);
        let probe = self.probes.0.entry(message.from).or_insert_with(under_way);
        if (probe.term, probe.index) != (term, index) {
            *probe = under_way();
        }
        if probe.is_due(now_ms, timing) {
            return false;
        }
        progress.recent_active = true;
        progress.update_committed(message.commit);
        true
    }
}

#[cfg(test)]
mod tests;
