//! Handing the leadership over at an operator's wish: the wish, from any thread, and what became of it.
//!
//! - Raft transfers the leadership once the successor has the whole log; until then, for an election timeout at most, the leader takes
//!   no writes. So a successor that is not heard, or that lags far, is refused before anything begins.
//! - A wish is answered once another node is known to lead, or once this node is known to lead on.

use std::sync::Arc;

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
    /// The successor, the term in which it was chosen, and until when the wish waits.
    begun: Option<(NodeId, u64, u64)>,
    answer: oneshot::Sender<Handed>,
}

/// One wish at a time, answered by the driver between two turns.
#[derive(Debug)]
pub struct Handovers {
    waiting: Mutex<Option<Wish>>,
    driver_wake: Arc<Notify>,
}

impl Handovers {
    /// `driver_wake` wakes the driver.
    pub fn new(driver_wake: Arc<Notify>) -> Handovers {
        Handovers { waiting: Mutex::default(), driver_wake }
    }

    /// Wishes for `to` as the leader, or for the member that can take over soonest; `None` while another wish waits. The receiver
    /// fails if the node ends first.
    pub fn ask(&self, to: Option<NodeId>) -> Option<oneshot::Receiver<Handed>> {
        let mut waiting = self.waiting.lock();
        if waiting.is_some() {
            return None;
        }
        let (answer, handed) = oneshot::channel();
        *waiting = Some(Wish { to, begun: None, answer });
        drop(waiting);
        self.driver_wake.notify_one();
        Some(handed)
    }

    /// Begins what is wished for, or looks what became of it.
    pub fn serve<D: Disk>(&self, shard: &mut Shard<D>, now: Now) {
        let mut waiting = self.waiting.lock();
        let Some(wish) = waiting.as_mut() else { return };
        let handed = match wish.begun {
            None => match begin(shard, wish.to, now) {
                Ok((to, term)) => {
                    tracing::info!(to, term, "an operator has the leadership handed over");
                    wish.begun = Some((to, term, now.monotonic_ms + PATIENCE_MS));
                    None
                }
                Err(error) => Some(Err(error)),
            },
            Some((to, term, until_ms)) => outcome(shard, to, term, now.monotonic_ms >= until_ms),
        };
        if let Some(handed) = handed
            && let Some(wish) = waiting.take()
        {
            // A requester that is gone needs nothing.
            let _ = wish.answer.send(handed);
        }
    }
}

fn begin<D: Disk>(
    shard: &mut Shard<D>,
    to: Option<NodeId>,
    now: Now,
) -> Result<(NodeId, u64), HandoverError> {
    let status = shard.node().status(now.monotonic_ms);
    if status.leadership.role != Role::Leader || !status.is_serving {
        return Err(HandoverError::NotPrimary);
    }
    if status.peers.is_empty() {
        return Err(HandoverError::Alone);
    }
    let to = to.or_else(|| shard.node().best_transferee()).ok_or(HandoverError::NoSuccessor)?;
    check(&status, to)?;
    shard.node_mut().transfer_leadership(to, now.monotonic_ms)?;
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
