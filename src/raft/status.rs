//! What a node tells of itself.

use raft::{INVALID_ID, StateRole};

use super::identity::NodeId;

/// What a node is in its group.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Role {
    #[default]
    Follower,
    /// Asks for votes, or asks whether it should.
    Candidate,
    Leader,
}

/// Who leads, as far as one node knows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Leadership {
    pub role: Role,
    pub term: u64,
    pub leader: Option<NodeId>,
    changed: bool,
}

impl Leadership {
    /// Takes over raft's state. True if the node has just begun to lead in a term.
    pub(super) fn update(&mut self, state: StateRole, term: u64, leader: NodeId) -> bool {
        let role = match state {
            StateRole::Leader => Role::Leader,
            StateRole::Candidate | StateRole::PreCandidate => Role::Candidate,
            StateRole::Follower => Role::Follower,
        };
        let leader = (leader != INVALID_ID).then_some(leader);
        if (self.role, self.term, self.leader) == (role, term, leader) {
            return false;
        }
        let begins_to_lead = role == Role::Leader && (self.role != role || self.term != term);
        *self = Leadership { role, term, leader, changed: true };
        begins_to_lead
    }

    pub(super) fn take_changed(&mut self) -> bool {
        std::mem::take(&mut self.changed)
    }

    pub(super) fn is_follower_of(&self, leader: NodeId, term: u64) -> bool {
        self.role == Role::Follower && self.leader == Some(leader) && self.term == term
    }
}

/// A follower as the leader sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PeerProgress {
    pub id: NodeId,
    /// The last entry known to be on its disk.
    pub matched: u64,
    /// How many entries it has to catch up on.
    pub lag: u64,
    /// Heard within the longest election timeout.
    pub recently_active: bool,
    /// For how long it has not been heard; `None` if it never was.
    pub silent_ms: Option<u64>,
    /// It is known to learn nothing that it lost with a log, so it may be handed the leadership.
    pub may_lead: bool,
    /// How long its log's writes take, as it told; 0 if it did not.
    pub sync_ms: u32,
}

/// What the log can still take.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LogSpace {
    /// Bytes that are allocated and not written yet.
    pub ready_bytes: u64,
    /// There was no space for another segment when one was to be made last.
    pub is_short: bool,
}

/// A node at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeStatus {
    pub node_id: NodeId,
    pub leadership: Leadership,
    /// Leads, and has applied all that was committed before its term.
    pub is_serving: bool,
    pub committed: u64,
    pub applied: u64,
    /// The first entry that the log still has.
    pub first_index: u64,
    pub last_index: u64,
    /// Bytes proposed here and not yet applied.
    pub uncommitted_bytes: usize,
    pub lease_valid_until_ms: Option<u64>,
    pub log_space: LogSpace,
    /// The other members; empty unless this node leads.
    pub peers: Vec<PeerProgress>,
    /// For how long the leader has not been heard; `None` if none is known, it never was, or it is this node.
    pub leader_silent_ms: Option<u64>,
    /// Members that have to be heard before this node, whose log is new, joins them.
    pub awaited_members: Vec<NodeId>,
}
