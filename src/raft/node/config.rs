//! How a node takes part in its group. Every bound on what raft keeps or sends is here.

use crate::raft::identity::Identity;
use crate::raft::timing::RaftTiming;

/// How a node takes part.
#[derive(Clone, Debug)]
pub struct NodeConfig {
    pub identity: Identity,
    pub timing: RaftTiming,
    /// Known to this process alone: what its challenges follow from (`logs.rs`).
    pub secret: u64,
    /// Entries of one append message, in bytes; a single entry may be longer.
    pub max_append_bytes: u64,
    /// Append messages under way to one follower.
    pub max_inflight_appends: usize,
    /// Entries proposed but not yet applied, in bytes. A single entry may be longer.
    pub max_uncommitted_bytes: usize,
    /// What followers that lag are sent of the log in a second, beside what is written meanwhile; zero is no limit.
    pub catch_up_bytes_per_second: u64,
    /// The newest entries kept in memory, in bytes.
    pub entry_cache_bytes: usize,
    /// Followers hear of a new commit with the next append or heartbeat only. Saves a message per follower and
    /// write; lets idle followers' reads be a heartbeat older.
    pub skip_commit_broadcast: bool,
    /// Reads may rely on clocks. Without, there is never a lease, and reads need [`Node::confirm_round`].
    pub trust_clocks: bool,
}

impl NodeConfig {
    /// The usual configuration of a node with this identity.
    pub fn new(identity: Identity) -> NodeConfig {
        NodeConfig {
            identity,
            timing: RaftTiming::default(),
            secret: 0,
            max_append_bytes: 1 << 20,
            max_inflight_appends: 32,
            max_uncommitted_bytes: 64 << 20,
            catch_up_bytes_per_second: 0,
            entry_cache_bytes: 2 << 20,
            skip_commit_broadcast: true,
            trust_clocks: true,
        }
    }

    /// `applied` is the index of what the node starts from.
    pub(super) fn to_raft(&self, applied: u64) -> raft::Config {
        raft::Config {
            id: self.identity.node_id,
            applied,
            election_tick: self.timing.election_ticks,
            max_election_tick: self.timing.max_campaign_ticks(),
            heartbeat_tick: self.timing.heartbeat_ticks,
            max_size_per_msg: self.max_append_bytes,
            max_inflight_msgs: self.max_inflight_appends,
            check_quorum: true,
            pre_vote: true,
            skip_bcast_commit: self.skip_commit_broadcast,
            ..raft::Config::default()
        }
    }
}
