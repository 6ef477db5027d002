//! What a node takes in from its peers.
//!
//! - Frames count only with the id of a log that their sender has proved (`logs.rs`), and only if a member in good order can have sent them
//!   (`admission.rs`).
//! - A message that breaks a promise, or that the log has no room for, is dropped: to its sender it was lost on the way.

use perdura_wal::Disk;
use raft::CAMPAIGN_TRANSFER;
use raft::eraftpb::{Message, MessageType};

use super::{Node, NodeError, is_sent_by_leaders, others_of};
use crate::raft::frame::RaftFrame;
use crate::raft::identity::NodeId;
use crate::raft::inbox::PeerEvent;
use crate::raft::lease::Stamp;
use crate::raft::status::Role;

impl<D: Disk> Node<D> {
    /// Takes in what a peer said, as far as it is for this node; returns what is for others.
    pub fn hear(&mut self, from: NodeId, event: PeerEvent, now_ms: u64) -> Option<PeerEvent> {
        match event {
            PeerEvent::Raft(frame) => self.step(from, frame, now_ms),
            PeerEvent::Beat { term } => self.step_beat(from, term, now_ms),
            PeerEvent::BeatAnswer { term } => self.step_beat_answer(from, term, now_ms),
            PeerEvent::Part => self.step_part(from, now_ms),
            PeerEvent::Unreachable => self.report_unreachable(from),
            PeerEvent::Rejoin { session, round } => self.step_rejoin(from, session, round),
            PeerEvent::Account { session, round, account } => {
                self.step_account(from, session, round, account)
            }
            PeerEvent::Prove { challenge } => self.step_prove(from, challenge),
            PeerEvent::Proof { session, proof } => self.step_proof(from, session, proof),
            PeerEvent::Dispute { session, dispute } => self.step_dispute(from, session, dispute),
            PeerEvent::Calendar { session, .. } if self.is_silent() || !self.hears_log(from, session) => {}
            other @ (PeerEvent::Shipment(_) | PeerEvent::Publish(_) | PeerEvent::Calendar { .. }) => {
                return Some(other);
            }
        }
        None
    }

    /// Takes in what a peer sent. What can't be from that peer, or breaks a promise, is dropped.
    ///
    /// `now_ms` must have been read after the frame arrived: the promise to the leader counts from it.
    pub fn step(&mut self, from: NodeId, frame: RaftFrame, now_ms: u64) {
        if self.refuses(from, &frame.messages) {
            self.note_contradiction(from, &frame);
            return;
        }
        if self.is_silent() || !self.hears_log(from, frame.session) {
            return;
        }
        let mut heard_leader = false;
        for message in frame.messages {
            if self.refuses(from, std::slice::from_ref(&message)) {
                break;
            }
            let is_leaders = is_sent_by_leaders(message.get_msg_type());
            let is_stepped = self.step_message(from, message, frame.stamp, now_ms);
            heard_leader |= is_stepped && is_leaders;
            if is_stepped {
                self.heard_ms.insert(from, now_ms);
            }
        }
        self.after_raft_moved();
        if let Some(stamp) = frame.stamp
            && heard_leader
            && self.leadership.is_follower_of(from, stamp.term)
        {
            self.promise.make(from, stamp, now_ms, &self.config.timing);
        }
        if let Some(echo) = frame.echo
            && self.leadership.role == Role::Leader
        {
            self.lease.record_echo(from, echo);
            let raft = &self.raw.raft;
            if echo.stamp.term == raft.term {
                self.hearings.note(from, raft.term, raft.raft_log.last_index());
            }
        }
    }

    /// False if raft did not take it.
    fn step_message(&mut self, from: NodeId, message: Message, stamp: Option<Stamp>, now_ms: u64) -> bool {
        let kind = message.get_msg_type();
        let is_welcome = self.is_from_peer(from, &message)
            && self.is_allowed(&message, stamp, now_ms)
            && self.is_possible(&message)
            && !self.is_deaf_to(&message)
            && self.takes_entries(&message);
        if !is_welcome {
            tracing::debug!(from, ?kind, "dropped a raft message");
            return false;
        }
        if self.takes_without_repeating(&message, now_ms) {
            return true;
        }
        let message = self.keep_offer(message);
        let stepped = self.raw.step(message);
        if let Err(error) = &stepped {
            tracing::debug!(from, ?kind, %error, "raft refused a message");
        }
        stepped.is_ok()
    }

    /// Whether promises allow it: no votes but those that the leader itself asked for, and no late request to campaign.
    fn is_allowed(&self, message: &Message, stamp: Option<Stamp>, now_ms: u64) -> bool {
        match message.get_msg_type() {
            MessageType::MsgRequestVote | MessageType::MsgRequestPreVote => {
                self.may_vote_for(message)
                    && (message.context == CAMPAIGN_TRANSFER || !self.promise.forbids(now_ms))
            }
            MessageType::MsgTimeoutNow => {
                self.is_trusted()
                    && stamp.is_some_and(|stamp| !self.promise.is_overtaken(message.from, stamp))
            }
            _ => true,
        }
    }

    /// Whether this log can be the one that the leader knows. If not, the node ends with the next round; but while it learns what it
    /// lost, the message may only be older than the leader's note of that.
    fn is_possible(&mut self, message: &Message) -> bool {
        let raft = &self.raw.raft;
        let last = raft.raft_log.last_index();
        let is_heartbeat = message.get_msg_type() == MessageType::MsgHeartbeat;
        if !is_heartbeat || message.term < raft.term || message.commit <= last {
            return true;
        }
        let (leader, known) = (message.from, message.commit);
        if !self.is_learning() {
            self.fatal = Some(NodeError::LogLost { leader, known, last });
        }
        false
    }

    /// Takes in a leader's sign of life that its keepalive thread sent.
    pub fn step_beat(&mut self, from: NodeId, term: u64, now_ms: u64) {
        self.step_sign_of_life(MessageType::MsgHeartbeat, from, term, now_ms);
    }

    /// Takes in the answer to one that this node's keepalive thread sent.
    pub fn step_beat_answer(&mut self, from: NodeId, term: u64, now_ms: u64) {
        self.step_sign_of_life(MessageType::MsgHeartbeatResponse, from, term, now_ms);
    }

    /// Takes in that a part of a long frame has come: from the leader that this node follows, a sign of life.
    pub fn step_part(&mut self, from: NodeId, now_ms: u64) {
        let term = self.raw.raft.term;
        if self.leadership.is_follower_of(from, term) {
            self.step_sign_of_life(MessageType::MsgHeartbeat, from, term, now_ms);
        }
    }

    /// A sign of life tells of no log, and is not proved to come from its member. So it counts in the node's own term only: it can
    /// keep a leader in office, for as long as it comes, and changes nothing else.
    fn step_sign_of_life(&mut self, kind: MessageType, from: NodeId, term: u64, now_ms: u64) {
        let names_another_leader =
            kind == MessageType::MsgHeartbeat && self.leadership.leader.is_some_and(|leader| leader != from);
        if term != self.raw.raft.term || names_another_leader || self.is_silent() {
            return;
        }
        let mut message = Message::default();
        message.set_msg_type(kind);
        (message.from, message.to, message.term) = (from, self.id(), term);
        if self.step_message(from, message, None, now_ms) {
            self.heard_ms.insert(from, now_ms);
        }
        self.after_raft_moved();
    }

    fn is_from_peer(&self, from: NodeId, message: &Message) -> bool {
        let is_peer = others_of(&self.config.identity).any(|id| id == from);
        is_peer
            && message.from == from
            && message.to == self.id()
            && is_spoken_between_nodes(message.get_msg_type())
    }
}

/// Proposals and reads are never forwarded, and what is local to a node never comes from another.
fn is_spoken_between_nodes(kind: MessageType) -> bool {
    use MessageType::*;
    matches!(
        kind,
        MsgAppend
            | MsgAppendResponse
            | MsgRequestVote
            | MsgRequestVoteResponse
            | MsgRequestPreVote
            | MsgRequestPreVoteResponse
            | MsgHeartbeat
            | MsgHeartbeatResponse
            | MsgTimeoutNow
            | MsgSnapshot
    )
}
