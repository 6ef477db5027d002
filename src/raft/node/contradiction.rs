//! A leader that lacks entries which this node knows were committed. Raft excludes it; a majority that was set back to older copies of its
//! logs brings it about.
//!
//! Raft does not notice. A follower answers an append that begins before its commit with the commit, whatever entry the leader has there,
//! and the leader takes that for its own entry. So here:
//!
//! - Each acknowledgement bears the term of the entry that it acknowledges. A leader counts none of an entry that is not its own
//!   (`admission.rs`), and tells the follower which one it has in that place ([`Dispute`]).
//! - A follower that hears of such an entry, in a dispute or in an append, from one leader of one term for longer than a leader without a
//!   majority stays in office, ends with [`NodeError::LeaderLacksCommitted`]. A leader that was deposed and does not know it yet may
//!   contradict a node that has fetched a checkpoint; it falls silent before.

use std::collections::BTreeMap;

use perdura_wal::Disk;
use raft::eraftpb::{Message, MessageType};

use super::{Node, NodeError};
use crate::planted::{Bug, planted};
use crate::raft::frame::{Dispute, Frame, RaftFrame};
use crate::raft::identity::NodeId;
use crate::raft::outbox::Outbound;

/// For how many election timeouts a leader contradicts a node before the node ends.
const PATIENCE_TIMEOUTS: usize = 3;

/// What a node knows of entries that contradict each other.
#[derive(Debug, Default)]
pub(super) struct Contradictions {
    /// The leader that contradicts this node, and its term.
    found: Option<Found>,
    /// What this leader tells its followers with the next round.
    owed: BTreeMap<NodeId, Dispute>,
}

#[derive(Debug)]
struct Found {
    leader: NodeId,
    term: u64,
    /// The first entry that the leader is known to lack.
    first: u64,
    ticks: usize,
}

impl Contradictions {
    pub(super) fn tick(&mut self) {
        self.found.iter_mut().for_each(|found| found.ticks += 1);
    }
}

impl<D: Disk> Node<D> {
    /// Looks for committed entries that a leader contradicts, in a frame that was refused.
    pub(super) fn note_contradiction(&mut self, from: NodeId, frame: &RaftFrame) {
        let found =
            frame.messages.iter().find_map(|message| Some((message.term, self.contradicted_by(message)?)));
        let Some((term, index)) = found else { return };
        if !self.is_silent() && self.hears_log(from, frame.session) {
            self.contradicted(from, term, index);
        }
    }

    /// The committed entry that a leader's message contradicts, if it does.
    pub(super) fn contradicted_by(&self, message: &Message) -> Option<u64> {
        let log = &self.raw.raft.raft_log;
        if planted!(Bug::CountAheadAsMatched, true, message.term < self.raw.raft.term) {
            return None;
        }
        let differs = |index: u64, term: u64| {
            index > 0
                && index <= log.committed
                && log.term(index).is_ok_and(|known| known != 0 && known != term)
        };
        match message.get_msg_type() {
            MessageType::MsgAppend => {
                let entries = message.entries.iter().map(|entry| (entry.index, entry.term));
                let mut all = std::iter::once((message.index, message.log_term)).chain(entries);
                all.find(|(index, term)| differs(*index, *term)).map(|(index, _)| index)
            }
            MessageType::MsgSnapshot => {
                let metadata = message.get_snapshot().get_metadata();
                differs(metadata.index, metadata.term).then_some(metadata.index)
            }
            _ => None,
        }
    }

    /// The entry of this leader's in the place of one that is acknowledged to it, if it is another one: its term, 0 if there is none.
    pub(super) fn disputed_by(&self, answer: &Message) -> Option<u64> {
        let log = &self.raw.raft.raft_log;
        if answer.index > log.last_index() {
            return Some(0);
        }
        if planted!(Bug::CountAheadAsMatched, true, answer.reject || answer.index == 0) {
            return None;
        }
        // What was compacted away was committed: a match there commits nothing.
        log.term(answer.index).ok().filter(|own| *own != 0 && *own != answer.log_term)
    }

    /// This leader has another entry than the one that a follower acknowledges.
    pub(super) fn dispute(&mut self, with: NodeId, answer: &Message) {
        let raft = &self.raw.raft;
        if let Some(entry_term) = self.disputed_by(answer) {
            let (term, last) = (raft.term, raft.raft_log.last_index());
            self.contradictions.owed.insert(with, Dispute { term, index: answer.index, entry_term, last });
        }
    }

    /// The leader says which entry it has in place of one that this node acknowledged.
    pub fn step_dispute(&mut self, from: NodeId, session: u64, dispute: Dispute) {
        if self.is_silent() || !self.hears_log(from, session) {
            return;
        }
        let Dispute { term, index, entry_term, last } = dispute;
        let log = &self.raw.raft.raft_log;
        let differs = log.term(index).is_ok_and(|known| known != 0 && known != entry_term);
        if self.leadership.is_follower_of(from, term) && index <= log.committed && differs {
            self.contradicted(from, term, index.min(last.saturating_add(1)));
        }
    }

    fn contradicted(&mut self, leader: NodeId, term: u64, index: u64) {
        let last = self.raw.raft.raft_log.committed;
        let is_known = |found: &&mut Found| (found.leader, found.term) == (leader, term);
        let Some(found) = self.contradictions.found.as_mut().filter(is_known) else {
            tracing::error!(
                leader,
                term,
                index,
                "a leader has another entry than the one that was committed here"
            );
            self.contradictions.found = Some(Found { leader, term, first: index, ticks: 0 });
            return;
        };
        found.first = found.first.min(index);
        if found.ticks >= PATIENCE_TIMEOUTS * self.config.timing.election_ticks {
            self.fatal = Some(NodeError::LeaderLacksCommitted { leader, first: found.first, last });
        }
    }

    /// Tells followers what they can't have matched.
    pub(super) fn say_disputes(&mut self, out: &mut impl Outbound) {
        if self.contradictions.owed.is_empty() {
            return;
        }
        for (to, dispute) in std::mem::take(&mut self.contradictions.owed) {
            out.send(to, &Frame::Dispute { session: self.session, dispute });
        }
        out.flush();
    }
}

#[cfg(test)]
mod tests;
