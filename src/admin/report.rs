//! What a node says of itself: one struct, which PERDURA STATUS, `/status` and `perdura status` show as it is and INFO in its own
//! words.
//!
//! - It holds no key, no value, no password and no client's name or address.
//! - A reader ignores fields that it does not know and takes defaults for those that are missing: programs of different versions can
//!   ask each other.
//! - Making it waits neither for the log's driver nor for a disk, so a node that stands still on either can still be asked.

mod warnings;

use serde::{Deserialize, Serialize};

use crate::admin::shared::Shared;
use crate::checkpoint::ship;
use crate::config::Config;
use crate::loading;
use crate::memory::Guard;
use crate::metrics;
use crate::raft::status::Role;
use crate::shard::port::Status;
use crate::version;
pub use warnings::Warning;

/// What a node does in its group.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// It reads its data and serves nothing yet.
    #[default]
    Loading,
    /// It leads, and has applied what was committed before.
    Primary,
    Replica,
    /// It asks for votes, or leads and serves nothing yet.
    Candidate,
}

/// See the module.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct NodeReport {
    pub node_id: u64,
    /// Where clients reach it.
    pub addr: String,
    /// Its group; empty until its data has an id.
    pub cluster_id: String,
    pub version: String,
    pub commit: String,
    pub run_id: String,
    pub uptime_s: u64,
    pub state: State,
    /// It is the primary, a majority answers it, and its disk has space for the log.
    pub takes_writes: bool,
    /// 0 where none is known.
    pub leader_id: u64,
    /// On a replica: what the primary answers, where it refuses what this node sends it for clients.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refused_by_primary: Option<String>,
    pub term: u64,
    pub first_index: u64,
    pub last_index: u64,
    pub committed: u64,
    pub applied: u64,
    /// The timestamp of the last applied entry, unix ms.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub applied_ms: Option<i64>,
    pub clients: u64,
    /// How far its calendar is ahead of those of the others; negative where it is behind.
    pub clock_ahead_ms: i64,
    /// What its log writes take lately, where they are slow; 0 otherwise.
    pub slow_writes_ms: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub loading: Option<LoadingReport>,
    /// A checkpoint that it fetches from another node.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fetching: Option<FetchReport>,
    pub memory: MemoryReport,
    /// None until it was measured.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub disk: Option<DiskReport>,
    /// The newest checkpoint.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub checkpoint: Option<CheckpointReport>,
    /// Where the node makes backups.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub backup: Option<BackupReport>,
    /// Members that have to be heard before this node, whose log is new, joins them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub awaited_members: Vec<u64>,
    /// The group, this node included; one member where it runs alone.
    pub members: Vec<MemberReport>,
    /// What an operator should look at.
    pub warnings: Vec<Warning>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct LoadingReport {
    pub stage: String,
    pub percent: f64,
    pub eta_s: u64,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct FetchReport {
    pub bytes: u64,
    pub total_bytes: u64,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct MemoryReport {
    /// What `maxmemory` limits.
    pub used_bytes: u64,
    pub resident_bytes: u64,
    /// The nearest limit, 0 for none; writes that may need more are refused.
    pub limit_bytes: u64,
    /// `maxmemory`, or what the guard is a share of.
    pub limit_of: String,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct DiskReport {
    pub log_bytes: u64,
    pub checkpoint_bytes: u64,
    pub other_bytes: u64,
    pub free_bytes: u64,
    pub total_bytes: u64,
    /// There was no space for the log's next segment.
    pub is_full: bool,
}

impl DiskReport {
    /// All that the data folder takes.
    pub fn used_bytes(&self) -> u64 {
        self.log_bytes + self.checkpoint_bytes + self.other_bytes
    }
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct CheckpointReport {
    pub index: u64,
    pub keys: u64,
    /// Unix time.
    pub ended_ms: i64,
    pub took_ms: u64,
    /// Why a later one failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct BackupReport {
    /// The URLs of all places.
    pub places: Vec<String>,
    /// This node ships: it is the primary.
    pub is_shipping: bool,
    /// For how long something applied has waited to be shipped, by this node or by the primary.
    pub lag_s: u64,
    pub shipped_index: u64,
    pub checkpoint_index: u64,
    pub missing_pieces: u64,
    /// Entries that the backup lacks and the log has no more.
    pub gap_entries: u64,
    pub failures: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure: Option<String>,
}

/// A member of the group as this node knows it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct MemberReport {
    pub node_id: u64,
    /// Where other nodes reach it, by this node's settings; empty for a node alone.
    pub peer_addr: String,
    /// Where clients reach it, as it said when it was greeted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub addr: Option<String>,
    /// This node has a connection to it.
    pub is_connected: bool,
    /// Why this node and the one at that address refused each other last, where they did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refusal: Option<String>,
    /// On the primary: the last entry that is known to be on its disk.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub matched: Option<u64>,
    /// On the primary: it was heard within the last election timeout.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub is_active: Option<bool>,
    /// For how long this node has not heard it: the primary of each member, a replica of the primary.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub silent_ms: Option<u64>,
}

impl NodeReport {
    /// This node at this moment.
    pub fn of(shared: &Shared) -> NodeReport {
        let config = shared.config.started_with();
        let shard = &shared.shard;
        let status = shard.status.lock().clone();
        let loading = shard.loading.progress();
        let state = state(shared, &status, loading.is_some());
        let stamp_ms = shard.stamp_ms();
        let mut report = NodeReport {
            node_id: config.node_id,
            addr: config.announce_addr.to_string(),
            cluster_id: shard.cluster().known().map(|id| id.to_string()).unwrap_or_default(),
            version: version::VERSION.to_owned(),
            commit: version::COMMIT.to_owned(),
            run_id: shared.run_id.clone(),
            uptime_s: shared.metrics.uptime_s(),
            state,
            takes_writes: state == State::Primary && has_majority(&status, config) && !shard.refuses_writes(),
            leader_id: status.leader_id,
            refused_by_primary: shared.refused_by_primary(),
            term: status.term,
            first_index: status.first_index,
            last_index: status.last_index,
            committed: status.committed,
            applied: status.applied,
            applied_ms: (stamp_ms != i64::MIN).then_some(stamp_ms),
            clients: shared.clients.len() as u64,
            clock_ahead_ms: shard.clock_ahead_ms(),
            slow_writes_ms: shard.slow_writes_ms(),
            loading: loading.map(|progress| LoadingReport::of(shared, &progress)),
            fetching: shard.transfers.fetching().map(FetchReport::of),
            memory: MemoryReport::of(shared),
            disk: DiskReport::of(shared, &status),
            checkpoint: CheckpointReport::of(shared),
            backup: BackupReport::of(shared),
            awaited_members: status.awaited_members.clone(),
            members: members(config, &status),
            warnings: Vec::new(),
        };
        report.warnings = warnings::of(&report, shared);
        report
    }

    /// As one JSON document.
    pub fn json(&self) -> String {
        // Its fields are texts and numbers: none of them can't be written.
        serde_json::to_string(self).unwrap_or_default()
    }
}

fn state(shared: &Shared, status: &Status, is_loading: bool) -> State {
    match status.role {
        _ if is_loading => State::Loading,
        _ if shared.shard.is_primary() => State::Primary,
        Role::Follower => State::Replica,
        Role::Candidate | Role::Leader => State::Candidate,
    }
}

/// Whether a primary hears a majority of the voters, itself included.
fn has_majority(status: &Status, config: &Config) -> bool {
    let heard = 1 + status.peers.iter().filter(|peer| peer.active).count();
    heard > config.voters().len() / 2
}

fn members(config: &Config, status: &Status) -> Vec<MemberReport> {
    let member = |id: u64| {
        let peer_addr = config.members.iter().find(|member| member.id == id);
        let known = status.members.iter().find(|member| member.id == id);
        let peer = status.peers.iter().find(|peer| peer.id == id);
        let is_own = id == config.node_id;
        MemberReport {
            node_id: id,
            peer_addr: peer_addr.map(|member| member.peer_addr.to_string()).unwrap_or_default(),
            addr: match is_own {
                true => Some(config.announce_addr.to_string()),
                false => known.and_then(|member| member.client_addr.clone()),
            },
            is_connected: is_own || known.is_some_and(|member| member.is_connected),
            refusal: known.and_then(|member| member.refusal.clone()),
            matched: peer.map(|peer| peer.matched),
            is_active: peer.map(|peer| peer.active),
            silent_ms: match peer {
                Some(peer) => peer.silent_ms,
                None => status.leader_silent_ms.filter(|_| id == status.leader_id),
            },
        }
    };
    config.voters().into_iter().map(member).collect()
}

impl LoadingReport {
    fn of(shared: &Shared, progress: &loading::Progress) -> LoadingReport {
        LoadingReport {
            stage: progress.stage.text().to_owned(),
            percent: (progress.percent() * 10.0).floor() / 10.0,
            eta_s: progress.eta_s(shared.clock.monotonic_ms()),
        }
    }
}

impl FetchReport {
    fn of(progress: ship::Progress) -> FetchReport {
        FetchReport { bytes: progress.bytes, total_bytes: progress.total_bytes }
    }
}

impl MemoryReport {
    fn of(shared: &Shared) -> MemoryReport {
        let now = metrics::memory();
        let guard = shared.shard.memory.guard();
        let guarded = guard.map(|guard| (Guard::bytes(guard), guard.machine.name.to_owned()));
        let maxmemory = shared.config.maxmemory();
        let set = (maxmemory > 0).then(|| (maxmemory, "maxmemory".to_owned()));
        let nearest = [set, guarded].into_iter().flatten().min_by_key(|(bytes, _)| *bytes);
        let (limit_bytes, limit_of) = nearest.unwrap_or_default();
        MemoryReport { used_bytes: now.allocated, resident_bytes: now.resident, limit_bytes, limit_of }
    }
}

impl DiskReport {
    fn of(shared: &Shared, status: &Status) -> Option<DiskReport> {
        shared.space.last().map(|usage| DiskReport {
            log_bytes: usage.log_bytes,
            checkpoint_bytes: usage.checkpoint_bytes,
            other_bytes: usage.other_bytes,
            free_bytes: usage.free_bytes,
            total_bytes: usage.total_bytes,
            is_full: status.log_space.is_short,
        })
    }
}

impl CheckpointReport {
    fn of(shared: &Shared) -> Option<CheckpointReport> {
        let checkpoints = shared.shard.persistence.checkpoints();
        checkpoints.newest.map(|newest| CheckpointReport {
            index: newest.index,
            keys: newest.keys,
            ended_ms: newest.ended_ms,
            took_ms: newest.took_ms,
            failure: checkpoints.failure.clone(),
        })
    }
}

impl BackupReport {
    fn of(shared: &Shared) -> Option<BackupReport> {
        let state = shared.shard.backup.state();
        state.is_on.then(|| BackupReport {
            places: shared.shard.backup.places().into_iter().map(|place| place.url).collect(),
            is_shipping: state.is_shipping,
            lag_s: state.lag_s(shared.clock.monotonic_ms()),
            shipped_index: state.shipped_index,
            checkpoint_index: state.checkpoint_index,
            missing_pieces: state.missing_pieces,
            gap_entries: state.gap_entries,
            failures: state.failures,
            failure: state.failure,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn report_of_another_version_is_read() {
        let report: NodeReport =
            serde_json::from_str(r#"{"node_id":7,"state":"replica","not_yet_invented":[1]}"#)
                .expect("it is one");
        assert_eq!((report.node_id, report.state), (7, State::Replica));
        let text = NodeReport { warnings: vec![Warning::new("x", "y".to_owned())], ..report.clone() }.json();
        let read: NodeReport = serde_json::from_str(&text).expect("it was written just now");
        assert_eq!((read.warnings.len(), read.node_id), (1, 7));
    }
}
