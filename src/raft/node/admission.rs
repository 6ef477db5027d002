//! What a node refuses from a peer, whatever raft would make of it: terms and indexes that no member can have reached, entries that are
//! no log, acknowledgements of entries that do not exist. The raft crate takes such numbers on trust, and ends the process over some.
//!
//! - A frame with any such message is dropped as a whole, and its connection is to be closed ([`Node::take_refused`]). Nothing else changes.
//! - Each message is judged again when its turn comes, for those before it in the frame may have moved the node's term, its log's end
//!   and what it knows to be committed. If it is refused then, the rest of the frame is dropped with it.
//! - The steps that are allowed are far beyond what an absence can bring about, and too small to come near the end of a `u64`: a term that
//!   moves on by the largest step with each message needs 2^39 messages, each of which is synced, to get there.

use perdura_wal::Disk;
use raft::StateRole;
use raft::eraftpb::{Message, MessageType};
use thiserror::Error;

use super::Node;
use crate::raft::identity::NodeId;

/// Elections that a member can have missed, at most: at one a second, half a year of them.
const MAX_TERM_STEP: u64 = 1 << 24;
/// Entries that a member can lack, at most: at a million a second, twelve days of them.
const MAX_INDEX_STEP: u64 = 1 << 40;
/// A node complains once, and then at most once in so many ticks.
const COMPLAINT_TICKS: u64 = 1200;
/// Peers whose connections are to be closed, at most: more than there are members.
const MAX_REFUSED: usize = 64;

/// Why a message can't come from a member in good order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Refusal {
    #[error("it has no term")]
    NoTerm,
    #[error("its entry {index} has no term")]
    EntryWithoutTerm { index: u64 },
    #[error("its term {term} is too far ahead of this node's term {own}")]
    TermJumps { term: u64, own: u64 },
    #[error("its index {index} is too far ahead of this node's last entry {own}")]
    IndexJumps { index: u64, own: u64 },
    #[error("its log ends with term {log_term}, which is later than its own term {term}")]
    LaterLog { log_term: u64, term: u64 },
    #[error("its entries do not follow one another, at index {index}")]
    BrokenEntries { index: u64 },
    #[error("it contradicts entry {index}, which is committed")]
    ContradictsCommitted { index: u64 },
    #[error("it acknowledges entry {index}, but this leader's log ends with {last}")]
    UnknownAcknowledged { index: u64, last: u64 },
    #[error("it acknowledges entry {index} of term {found}, but this leader's entry is of term {own}")]
    OtherAcknowledged { index: u64, found: u64, own: u64 },
}

/// What was refused lately.
#[derive(Debug, Default)]
pub(super) struct Refusals {
    /// To be closed.
    peers: Vec<NodeId>,
    since_complaint: u64,
    silent_ticks: u64,
}

impl Refusals {
    fn note(&mut self, from: NodeId, refusal: Refusal) {
        if self.silent_ticks == 0 {
            let earlier = std::mem::take(&mut self.since_complaint);
            self.silent_ticks = COMPLAINT_TICKS;
            tracing::error!(
                peer = from,
                %refusal,
                earlier,
                "a frame on a connection to the peer port can't come from a member: it was dropped, and the connection is closed"
            );
        } else {
            self.since_complaint += 1;
        }
        if !self.peers.contains(&from) && self.peers.len() < MAX_REFUSED {
            self.peers.push(from);
        }
    }

    pub(super) fn tick(&mut self) {
        self.silent_ticks = self.silent_ticks.saturating_sub(1);
    }
}

impl<D: Disk> Node<D> {
    /// Peers that have said what no member says; the connections on which they did are to be closed.
    pub fn take_refused(&mut self) -> Vec<NodeId> {
        std::mem::take(&mut self.refusals.peers)
    }

    /// Whether any of these messages is refused.
    pub(super) fn refuses(&mut self, from: NodeId, messages: &[Message]) -> bool {
        let refused = messages.iter().find_map(|message| Some((message, self.refusal_of(message)?)));
        let Some((message, refusal)) = refused else { return false };
        if matches!(refusal, Refusal::UnknownAcknowledged { .. } | Refusal::OtherAcknowledged { .. }) {
            self.dispute(from, message);
        }
        self.refusals.note(from, refusal);
        true
    }

    fn refusal_of(&self, message: &Message) -> Option<Refusal> {
        let raft = &self.raw.raft;
        let (term, own, last) = (message.term, raft.term, raft.raft_log.last_index());
        if term == 0 && super::is_sent_by_leaders(message.get_msg_type()) {
            // Raft would take it for a message of this node's own.
            return Some(Refusal::NoTerm);
        }
        if term > own.saturating_add(MAX_TERM_STEP) {
            return Some(Refusal::TermJumps { term, own });
        }
        let snapshot = message.get_snapshot().get_metadata();
        let newest = message.entries.last().map_or(0, |entry| entry.index);
        let furthest = [message.index, message.commit, message.reject_hint, snapshot.index, newest];
        let index = furthest.into_iter().max().unwrap_or_default();
        if index > last.saturating_add(MAX_INDEX_STEP) {
            return Some(Refusal::IndexJumps { index, own: last });
        }
        let log_term = message.log_term.max(snapshot.term);
        if log_term > term {
            return Some(Refusal::LaterLog { log_term, term });
        }
        if snapshot.index > 0 && snapshot.term == 0 {
            return Some(Refusal::EntryWithoutTerm { index: snapshot.index });
        }
        match message.get_msg_type() {
            MessageType::MsgAppend => self.refusal_of_entries(message),
            MessageType::MsgAppendResponse => self.refusal_of_answer(message),
            MessageType::MsgSnapshot => {
                self.contradicted_by(message).map(|index| Refusal::ContradictsCommitted { index })
            }
            _ => None,
        }
    }

    /// An acknowledgement of an entry that is not this leader's is no progress.
    fn refusal_of_answer(&self, answer: &Message) -> Option<Refusal> {
        let raft = &self.raw.raft;
        if raft.state != StateRole::Leader || answer.term != raft.term {
            return None;
        }
        let (index, found) = (answer.index, answer.log_term);
        self.disputed_by(answer).map(|own| match own {
            0 => Refusal::UnknownAcknowledged { index, last: raft.raft_log.last_index() },
            own => Refusal::OtherAcknowledged { index, found, own },
        })
    }

    fn refusal_of_entries(&self, message: &Message) -> Option<Refusal> {
        let mut before = (message.index, message.log_term);
        if before.0 > 0 && before.1 == 0 {
            return Some(Refusal::EntryWithoutTerm { index: before.0 });
        }
        for entry in &message.entries {
            let index = entry.index;
            if entry.term == 0 {
                return Some(Refusal::EntryWithoutTerm { index });
            }
            if index != before.0 + 1 || entry.term < before.1 || entry.term > message.term {
                return Some(Refusal::BrokenEntries { index });
            }
            before = (index, entry.term);
        }
        self.contradicted_by(message).map(|index| Refusal::ContradictsCommitted { index })
    }
}

#[cfg(test)]
mod tests;
