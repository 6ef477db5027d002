//! Checkpoints in place of entries: what a leader offers to a follower that it can't help with its log, and what becomes of it.
//!
//! - An offer is raft's snapshot message: the index and term of the leader's newest checkpoint. It is a few bytes; whoever
//!   turns the node fetches the files, from whom and for however long it likes.
//! - A follower that lacks what is offered keeps the offer, and answers as to an empty append: where it stands. So the
//!   leader goes on with entries as soon as its log reaches there.
//! - Once the data of a checkpoint are in place, from whichever node they came, [`Node::restore`] lets raft go on behind it. That
//!   needs no leave of the present leader: a checkpoint holds what was committed, and a log that lacks its entry holds
//!   nothing from there on that was.
//! - A leader never waits for a follower that it made an offer to: it looks again with every tick, and offers again
//!   after [`OFFER_TICKS`], for the offer may be lost and the checkpoint removed.

use std::collections::BTreeMap;

use perdura_wal::{Disk, Position};
use raft::eraftpb::{Message, MessageType};
use raft::{INVALID_ID, ProgressState, RaftLog, SnapshotStatus, StateRole, Storage};

use super::{Node, others_of};
use crate::raft::identity::NodeId;

/// Ticks after which an offer that came to nothing is made again.
const OFFER_TICKS: u64 = 20;

/// A checkpoint that a leader offers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Offer {
    pub from: NodeId,
    pub checkpoint: Position,
}

/// What was offered, on both sides.
#[derive(Debug, Default)]
pub(super) struct Offers {
    newest: Option<Offer>,
    /// For how many ticks this leader's offers have stood.
    made: BTreeMap<NodeId, u64>,
}

impl<D: Disk> Node<D> {
    /// A checkpoint of this node's is published; followers may be offered it.
    pub fn checkpoint_published(&mut self, checkpoint: Position) {
        self.raw.mut_store().checkpoint_published(checkpoint);
    }

    /// The newest checkpoint that this node was offered and needs.
    pub fn offer(&self) -> Option<Offer> {
        self.offers.newest.filter(|offer| self.lacks(offer.checkpoint))
    }

    /// Whether this node has neither applied nor logged what is in a checkpoint.
    pub fn lacks(&self, checkpoint: Position) -> bool {
        let raft = &self.raw.raft;
        raft.state != StateRole::Leader && !is_known(&raft.raft_log, checkpoint)
    }

    /// Goes on behind a checkpoint, which the state machine holds by now, with all that is committed up to there. Returns
    /// false, and does nothing, if the node does not lack it. Durable with the next [`Node::process`].
    pub fn restore(&mut self, checkpoint: Position) -> bool {
        if !self.lacks(checkpoint) {
            return false;
        }
        let snapshot = self.raw.store().snapshot_at(checkpoint);
        let raft = &mut self.raw.raft;
        if raft.state != StateRole::Follower || raft.term < checkpoint.term {
            raft.become_follower(raft.term.max(checkpoint.term), INVALID_ID);
        }
        let restored = raft.restore(snapshot);
        if let Some(leader) = self.leadership.leader {
            self.tell_where_it_stands(leader);
        }
        self.after_raft_moved();
        restored
    }

    /// Keeps an offer that can't be taken at once; what is left is an empty append. Everything else stays as it is. Raft never
    /// sees a snapshot whose data are not here.
    pub(super) fn keep_offer(&mut self, message: Message) -> Message {
        let raft = &self.raw.raft;
        let metadata = message.get_snapshot().get_metadata();
        let checkpoint = Position { index: metadata.index, term: metadata.term };
        let is_offer = message.get_msg_type() == MessageType::MsgSnapshot;
        if !is_offer || is_known(&raft.raft_log, checkpoint) {
            return message;
        }
        if message.term >= raft.term {
            self.offers.newest = Some(Offer { from: message.from, checkpoint });
        }
        empty_append(message.from, message.to, message.term)
    }

    /// Answers the leader as if it had just asked.
    fn tell_where_it_stands(&mut self, leader: NodeId) {
        let asked = empty_append(leader, self.id(), self.raw.raft.term);
        if let Err(error) = self.raw.step(asked) {
            tracing::debug!(leader, %error, "raft refused a message");
        }
    }

    /// Ends offers that are no longer needed, or have stood for long; raft then probes the follower anew.
    pub(super) fn settle_offers(&mut self) {
        if self.raw.raft.state != StateRole::Leader {
            self.offers.made.clear();
            return;
        }
        let first = self.raw.store().first_entry();
        let others: Vec<NodeId> = others_of(&self.config.identity).collect();
        for id in others {
            let progress = self.raw.raft.prs().get(id);
            let Some(progress) = progress.filter(|progress| progress.state == ProgressState::Snapshot) else {
                self.offers.made.remove(&id);
                continue;
            };
            let log_reaches = progress.matched + 1 >= first;
            let ticks = self.offers.made.entry(id).or_default();
            *ticks += 1;
            if log_reaches || *ticks >= OFFER_TICKS {
                *ticks = 0;
                self.raw.report_snapshot(id, SnapshotStatus::Failure);
            }
        }
    }
}

/// Whether what is in a checkpoint is known to be committed, or in the log.
fn is_known<S: Storage>(log: &RaftLog<S>, checkpoint: Position) -> bool {
    checkpoint.index <= log.committed || log.match_term(checkpoint.index, checkpoint.term)
}

/// An append that every follower agrees with, and answers with the last entry that it knows to be committed.
fn empty_append(from: NodeId, to: NodeId, term: u64) -> Message {
    let mut message = Message::default();
    message.set_msg_type(MessageType::MsgAppend);
    (message.from, message.to, message.term) = (from, to, term);
    message
}

#[cfg(test)]
mod tests;
