//! What a keepalive thread says and makes of what it hears, without the thread: nothing here waits or reads a clock.
//!
//! - Whoever owns a pulse calls [`Pulse::beat`] once per heartbeat, for it counts time by these calls.
//! - All it knows of its driver stands on the [`TurnBoard`]. A driver turns at least once a tick; one that does not is busy, whether it is
//!   in a turn or its thread is held up by something else (a worker that takes in a command of hundreds of megabytes, say).

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::raft::frame::Frame;
use crate::raft::identity::NodeId;
use crate::raft::inbox::PeerEvent;
use crate::raft::status::{Leadership, Role};
use crate::raft::timing::RaftTiming;

/// What the driver tells its keepalive thread. Clones are the same board.
#[derive(Clone, Debug, Default)]
pub struct TurnBoard(Arc<Board>);

#[derive(Debug, Default)]
struct Board {
    /// Odd while the driver is in a turn.
    turn: AtomicU64,
    /// The term in which this node leads; 0 if it does not.
    leading_term: AtomicU64,
    /// Parts of long writes to the log that are durable.
    parts: Arc<AtomicU64>,
    followed_leader: AtomicU64,
    followed_term: AtomicU64,
}

impl TurnBoard {
    /// A turn begins. Its guard ends it.
    pub fn begin_turn(&self) -> Turn {
        self.0.turn.fetch_add(1, Ordering::AcqRel);
        Turn(self.clone())
    }

    /// Role, term or leader are these now. Call it when they have changed.
    pub fn set_leadership(&self, leadership: &Leadership) {
        let leads = leadership.role == Role::Leader;
        let leading_term = if leads { leadership.term } else { 0 };
        let followed = leadership.leader.filter(|_| !leads).unwrap_or(0);
        self.0.leading_term.store(leading_term, Ordering::Release);
        self.0.followed_leader.store(followed, Ordering::Release);
        self.0.followed_term.store(leadership.term, Ordering::Release);
    }

    /// Where the log counts the parts of long writes: a driver that waits for a disk that works is not stuck.
    pub fn parts(&self) -> Arc<AtomicU64> {
        self.0.parts.clone()
    }

    pub(super) fn turn(&self) -> u64 {
        self.0.turn.load(Ordering::Acquire)
    }

    pub(super) fn is_busy(&self) -> bool {
        self.turn() % 2 == 1
    }

    pub(super) fn leading_term(&self) -> Option<u64> {
        let term = self.0.leading_term.load(Ordering::Acquire);
        (term != 0).then_some(term)
    }

    pub(super) fn follows(&self, leader: NodeId, term: u64) -> bool {
        self.0.followed_leader.load(Ordering::Acquire) == leader
            && self.0.followed_term.load(Ordering::Acquire) == term
    }
}

/// A driver's turn, which ends when this is dropped.
#[derive(Debug)]
pub struct Turn(TurnBoard);

impl Drop for Turn {
    fn drop(&mut self) {
        self.0.0.turn.fetch_add(1, Ordering::AcqRel);
    }
}

/// Beats, and answers to beats.
#[derive(Debug)]
pub struct Pulse {
    board: TurnBoard,
    /// The board's turn as the last beat saw it.
    last_turn: AtomicU64,
    /// The parts that were durable then.
    last_parts: AtomicU64,
    /// Beats since the driver last began or ended a turn.
    busy_beats: AtomicU64,
    /// Beats since then, or since a part of a long write was last durable.
    stuck_beats: AtomicU64,
    bound_beats: u64,
}

/// What a frame from a peer's keepalive leads to.
#[derive(Debug, Default, PartialEq)]
pub struct Heard {
    /// For this node's driver.
    pub event: Option<PeerEvent>,
    /// For the peer's keepalive.
    pub answer: Option<Frame>,
}

impl Pulse {
    /// The pulse of the node whose driver writes on `board`; it stops once the driver has been stuck for `busy_bound_ms`.
    pub fn new(board: TurnBoard, timing: &RaftTiming, busy_bound_ms: u64) -> Pulse {
        Pulse {
            board,
            last_turn: AtomicU64::new(0),
            last_parts: AtomicU64::new(0),
            busy_beats: AtomicU64::new(0),
            stuck_beats: AtomicU64::new(0),
            bound_beats: busy_bound_ms / timing.heartbeat_ms().max(1),
        }
    }

    /// A heartbeat's time has passed: what to say to every peer, if anything.
    pub fn beat(&self) -> Option<Frame> {
        self.count_busy_beats();
        let term = self.board.leading_term().filter(|_| self.is_in_bound())?;
        let driver_is_busy = self.busy_beats.load(Ordering::Relaxed) > 0;
        Some(Frame::Beat { term, driver_is_busy })
    }

    fn count_busy_beats(&self) {
        let (turn, parts) = (self.board.turn(), self.board.0.parts.load(Ordering::Relaxed));
        let is_held_up = self.last_turn.swap(turn, Ordering::Relaxed) == turn;
        let is_stuck = self.last_parts.swap(parts, Ordering::Relaxed) == parts && is_held_up;
        let count = |beats: &AtomicU64, counts: bool| {
            let counted = if counts { beats.load(Ordering::Relaxed) + 1 } else { 0 };
            beats.store(counted, Ordering::Relaxed);
        };
        count(&self.busy_beats, is_held_up);
        count(&self.stuck_beats, is_stuck);
    }

    fn is_busy(&self) -> bool {
        self.board.is_busy() || self.busy_beats.load(Ordering::Relaxed) > 0
    }

    fn is_in_bound(&self) -> bool {
        self.stuck_beats.load(Ordering::Relaxed) <= self.bound_beats
    }

    /// A peer's keepalive has said something.
    pub fn hear(&self, from: NodeId, frame: &Frame) -> Heard {
        match *frame {
            Frame::Beat { term, driver_is_busy } => self.hear_beat(from, term, driver_is_busy),
            Frame::BeatAnswer { term } => {
                Heard { event: Some(PeerEvent::BeatAnswer { term }), ..Heard::default() }
            }
            _ => Heard::default(),
        }
    }

    fn hear_beat(&self, from: NodeId, term: u64, its_driver_is_busy: bool) -> Heard {
        let own_driver_is_busy = self.is_busy();
        let event = (its_driver_is_busy || own_driver_is_busy).then_some(PeerEvent::Beat { term });
        let answers = own_driver_is_busy && self.board.follows(from, term) && self.is_in_bound();
        Heard { event, answer: answers.then_some(Frame::BeatAnswer { term }) }
    }
}
