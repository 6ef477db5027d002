//! Handing the leadership over at an operator's wish: the wish, from any thread, and what became of it.
//!
//! - Raft transfers the leadership once the successor has the whole log; until then, for an election timeout at most, the leader takes
//!   no writes. So a successor that is not heard, or that lags far, is refused before anything begins.
//! - Before that the leader finishes what it has taken, for [`DRAIN_MS`] at most. What clients send meanwhile waits with their
//!   connections ([`Handovers::holds_requests`]), which send it to the next primary.
//! - A wish is answered once another node is known to lead, or once this node is known to lead on.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;
use perdura_wal::Disk;
use thiserror::Error;
use tokio::sync::{Notify, oneshot};

use super::turn::Shard;
use crate::env::Now;
use crate::raft::identity::NodeId;
use crate::raft::node::TransferError;
use crate::raft::status::{NodeStatus, Role};

/// A successor that lacks more entries than this is not asked to lead: writes would be refused while it is sent them.
const MAX_LAG_ENTRIES: u64 = 10_000;
/// After this time without a known leader the wish is answered that the outcome is in doubt.
const PATIENCE_MS: u64 = 10_000;
/// For how long the leader finishes what it has taken before it transfers.
const DRAIN_MS: u64 = 200;

/// Why the leadership was not handed over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum HandoverError {
    #[error("this node is not the primary: ask the primary, which INFO replication names")]
    NotPrimary,
    #[error("a node alone has no member to hand over to")]
    Alone,
    #[error("no other member can take over: all lag, or none is heard")]
    NoSuccessor,
    #[error("node {to} is not heard: start it, or look at the network between the two")]
    NotHeard { to: NodeId },
    #[error("node {to} lacks {lag} entries: wait until it has caught up")]
    Late { to: NodeId, lag: u64 },
    #[error("{0}")]
    Refused(#[from] TransferError),
    #[error("node {to} did not take over in time; this node leads on")]
    TimedOut { to: NodeId },
    #[error("this node leads no more, and no other is known to lead yet")]
    InDoubt,
}

/// Answers the number of the node that leads now.
type Handed = Result<NodeId, HandoverError>;

#[derive(Debug)]
struct Wish {
    to: Option<NodeId>,
    stage: Stage,
    answer: oneshot::Sender<Handed>,
}

#[derive(Clone, Copy, Debug)]
enum Stage {
    Asked,
    /// The leader finishes what it has taken, at most until this time.
    Draining {
        until_ms: u64,
    },
    /// The successor, the term in which it was chosen, and until when the wish waits.
    Begun {
        to: NodeId,
        term: u64,
        until_ms: u64,
    },
}

/// One wish at a time, answered by the driver between two turns.
#[derive(Debug)]
pub struct Handovers {
    waiting: Mutex<Option<Wish>>,
    /// A wish is past [`Stage::Asked`].
    holds_requests: AtomicBool,
    driver_wake: Arc<Notify>,
}

impl Handovers {
    /// `driver_wake` wakes the driver.
    pub fn new(driver_wake: Arc<Notify>) -> Handovers {
        Handovers { waiting: Mutex::default(), holds_requests: AtomicBool::new(false), driver_wake }
    }

    /// Wishes for `to` as the leader, or for the member that can take over soonest; `None` while another wish waits. The receiver
    /// fails if the node ends first.
    pub fn ask(&self, to: Option<NodeId>) -> Option<oneshot::Receiver<Handed>> {
        let mut waiting = self.waiting.lock();
        if waiting.is_some() {
            return None;
        }
        let (answer, handed) = oneshot::channel();
        *waiting = Some(Wish { to, stage: Stage::Asked, answer });
        drop(waiting);
        self.driver_wake.notify_one();
        Some(handed)
    }

    /// Whether requests that would go to the log are to wait where they are: this node is about to lead no more.
    #[inline]
    pub fn holds_requests(&self) -> bool {
        self.holds_requests.load(Ordering::Acquire)
    }

    /// Begins what is wished for, or looks what became of it.
    pub fn serve<D: Disk>(&self, shard: &mut Shard<D>, now: Now) {
        let mut waiting = self.waiting.lock();
        let Some(wish) = waiting.as_mut() else { return };
        match wish.advance(shard, now) {
            Ok(stage) => {
                // What is drained already brings no turn by itself.
                if let (Stage::Asked, Stage::Draining { .. }) = (wish.stage, stage) {
                    self.driver_wake.notify_one();
                }
                wish.stage = stage;
                self.holds_requests.store(true, Ordering::Release);
            }
            Err(handed) => {
                self.holds_requests.store(false, Ordering::Release);
                if let Some(wish) = waiting.take() {
                    // A requester that is gone needs nothing.
                    let _ = wish.answer.send(handed);
                }
            }
        }
    }
}

impl Wish {
    /// The next stage, or the end.
    fn advance<D: Disk>(&self, shard: &mut Shard<D>, now: Now) -> Result<Stage, Handed> {
        let now_ms = now.monotonic_ms;
        match self.stage {
            Stage::Asked => {
                choose(shard, self.to, now).map_err(Err)?;
                Ok(Stage::Draining { until_ms: now_ms + DRAIN_MS })
            }
            Stage::Draining { until_ms } if now_ms < until_ms && !shard.is_drained() => Ok(self.stage),
            Stage::Draining { .. } => {
                let (to, term) = begin(shard, self.to, now).map_err(Err)?;
                tracing::info!(to, term, "an operator has the leadership handed over");
                Ok(Stage::Begun { to, term, until_ms: now_ms + PATIENCE_MS })
            }
            Stage::Begun { to, term, until_ms } => {
                outcome(shard, to, term, now_ms >= until_ms).map_or(Ok(self.stage), Err)
            }
        }
    }
}

fn begin<D: Disk>(
    shard: &mut Shard<D>,
    to: Option<NodeId>,
    now: Now,
) -> Result<(NodeId, u64), HandoverError> {
    let (to, term) = choose(shard, to, now)?;
    shard.node_mut().transfer_leadership(to, now.monotonic_ms)?;
    Ok((to, term))
}

/// The successor, and the term in which it is chosen.
fn choose<D: Disk>(shard: &Shard<D>, to: Option<NodeId>, now: Now) -> Result<(NodeId, u64), HandoverError> {
    let status = shard.node().status(now.monotonic_ms);
    if status.leadership.role != Role::Leader || !status.is_serving {
        return Err(HandoverError::NotPrimary);
    }
    if status.peers.is_empty() {
        return Err(HandoverError::Alone);
    }
    let to = to.or_else(|| shard.node().best_transferee()).ok_or(HandoverError::NoSuccessor)?;
    check(&status, to)?;
    Ok((to, status.leadership.term))
}

/// Whether a member is ready to take over.
fn check(status: &NodeStatus, to: NodeId) -> Result<(), HandoverError> {
    let Some(peer) = status.peers.iter().find(|peer| peer.id == to) else { return Ok(()) };
    if !peer.recently_active {
        return Err(HandoverError::NotHeard { to });
    }
    if peer.lag > MAX_LAG_ENTRIES {
        return Err(HandoverError::Late { to, lag: peer.lag });
    }
    Ok(())
}

/// What became of a transfer that began in `term`, if that is known.
fn outcome<D: Disk>(shard: &Shard<D>, to: NodeId, term: u64, is_late: bool) -> Option<Handed> {
    let leadership = shard.node().leadership();
    let leads_on = leadership.role == Role::Leader && leadership.term == term;
    match leadership.leader {
        _ if leads_on && shard.node().is_transferring() && !is_late => None,
        _ if leads_on => Some(Err(HandoverError::TimedOut { to })),
        Some(leader) => Some(Ok(leader)),
        None => is_late.then_some(Err(HandoverError::InDoubt)),
    }
}
