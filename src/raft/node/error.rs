//! What becomes of a proposal, and what a node refuses or ends with.

use perdura_wal::WalError;
use thiserror::Error;

use crate::raft::frame::MAX_FRAME_BYTES;
use crate::raft::identity::NodeId;
use crate::raft::storage::StorageFault;

/// Where a proposed entry will stand if it is committed. An entry of another term in its place means that
/// the proposal was lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogPosition {
    pub index: u64,
    pub term: u64,
}

/// Why a proposal was not taken. In every case it did not happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum ProposeError {
    #[error("this node is not the leader")]
    NotLeader { leader: Option<NodeId> },
    #[error("the leadership is being transferred")]
    Transferring,
    #[error("{bytes} bytes wait to be committed; the limit is {limit}")]
    Busy { bytes: usize, limit: usize },
    #[error("an entry of {bytes} bytes is too long; the limit is {MAX_ENTRY_BYTES}")]
    TooLong { bytes: usize },
    #[error("an empty entry can't be proposed")]
    Empty,
    /// The disk is full, and what is left of the log is kept for votes and for what leaders send.
    #[error("there is no space for it in the log")]
    NoSpace,
}

/// The longest entry. It has to fit a frame.
pub const MAX_ENTRY_BYTES: usize = MAX_FRAME_BYTES - (1 << 16);

/// Why a transfer of leadership was not begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum TransferError {
    #[error("this node is not the leader")]
    NotLeader,
    #[error("node {to} is not another member")]
    NotAnotherMember { to: NodeId },
    #[error("node {to} may not know yet all that it has acknowledged: it does not campaign")]
    MayBeLearning { to: NodeId },
}

/// Why a node has to end.
#[derive(Debug, Error)]
pub enum NodeError {
    #[error(transparent)]
    Storage(#[from] StorageFault),
    #[error("entry {index} of the log can't be applied: {source}")]
    Apply { index: u64, source: Box<dyn std::error::Error + Send + Sync> },
    #[error(
        "node {leader} leads and knows that this node had entries up to {known}, but its log ends at {last}: the log was \
         lost or replaced, or set back to an older copy. A member without its log can make the cluster forget acknowledged writes, so it \
         ends. Give it its newest folder back; if that is lost, start it with an empty folder while all other members run, and it learns \
         from them"
    )]
    LogLost { leader: NodeId, known: u64, last: u64 },
    #[error(
        "node {leader} leads and lacks entries {first} to {last}, which this node knows were committed: a majority runs on older \
         copies of its logs, or on others. This node ends, and its folder stays as it is. Stop all members and give each its newest \
         folder back; if those are lost, `perdura recover` begins a new cluster from this folder"
    )]
    LeaderLacksCommitted { leader: NodeId, first: u64, last: u64 },
    #[error("raft: {0}")]
    Raft(#[from] raft::Error),
}

impl From<WalError> for NodeError {
    fn from(error: WalError) -> NodeError {
        NodeError::Storage(error.into())
    }
}
