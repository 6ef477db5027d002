//! Opening: the log is read and checked, the node takes its place in the group, the keyspace begins empty.
//!
//! The keyspace is filled by the node itself: every entry known to be committed is applied before the node serves.

use std::net::TcpListener;
use std::sync::Arc;

use perdura_wal::NewLog;
use perdura_wal::{Options, RealDisk, Recovery, SyncMode, Wal};

use super::peers::PeerPlan;
use super::{LOG_FOLDER, ServerError};
use crate::apply::Applier;
use crate::command;
use crate::config::Config;
use crate::config::value::LogSync;
use crate::env::{self, Clock};
use crate::keyspace::{DATABASES, Keyspace};
use crate::metrics::{DatabaseKeys, Metrics};
use crate::raft::identity::{ClusterId, Identity};
use crate::raft::inbox::Inbox;
use crate::raft::keepalive::TurnBoard;
use crate::raft::node::{Node, NodeConfig};
use crate::shard::machine::Machine;
use crate::shard::port::ShardHandle;
use crate::shard::turn::Shard;
use crate::shared::Shared;

/// What runs.
pub struct Opened {
    pub shared: Arc<Shared>,
    pub shard: Shard<RealDisk>,
    pub inbox: Inbox,
    pub board: TurnBoard,
}

/// Opens the data folder and makes everything that stands on it.
pub fn open(config: Config, listener: Option<TcpListener>) -> Result<(Opened, PeerPlan), ServerError> {
    let clock = Clock::system();
    let identity = identity(&config)?;
    let mut wal = open_log(&config, &identity)?;
    let preparer = wal.take_preparer();
    // A new log's first spare is made before anybody is served: zeroing it would compete with the first clients' syncs.
    while preparer.step()? {}
    super::spawn("log-segments".to_owned(), move || {
        if let Err(error) = preparer.run() {
            tracing::error!(%error, "the next segment of the log can't be prepared");
        }
    })?;
    let metrics = Metrics::new(clock.clone(), command::statistic_names());
    let (keyspace, mutator) = Keyspace::create();
    let counted = keyspace.clone();
    metrics.count_keys_by(move || (0..DATABASES).map(|db| keys_of(&counted, db)).collect());
    let handle = Arc::new(ShardHandle::new(keyspace, config.workers));
    let node_config = node_config(&config, identity.clone());
    let peers = PeerPlan {
        identity,
        timing: node_config.timing,
        listener,
        members: members(&config),
        announce_addr: config.announce_addr.to_string(),
    };
    let shared = Arc::new(Shared::new(config, clock.clone(), metrics.clone(), handle.clone(), run_id()));
    let node = Node::open(wal, node_config, clock.monotonic_ms())?;
    let applier = Applier::new(mutator, shared.limits.clone());
    let board = TurnBoard::default();
    let machine = Machine::new(applier, handle.clone(), board.clone(), clock, metrics);
    let inbox = Inbox::new(handle.driver_wake.clone());
    let shard = Shard::new(node, machine, handle, env::random_seed());
    Ok((Opened { shared, shard, inbox, board }, peers))
}

fn keys_of(keyspace: &Keyspace, database: usize) -> DatabaseKeys {
    let usage = keyspace.usage(database);
    DatabaseKeys { database, keys: usage.keys as u64, with_deadline: usage.with_deadline as u64 }
}

fn identity(config: &Config) -> Result<Identity, ServerError> {
    let cluster_id = match &config.cluster_name {
        Some(name) => ClusterId::named(name, &config.voters()),
        None => ClusterId::derive("", &members(config)),
    };
    Ok(Identity::new(cluster_id, config.node_id, config.voters())?)
}

fn members(config: &Config) -> Vec<(u64, String)> {
    config.members.iter().map(|member| (member.id, member.peer_addr.to_string())).collect()
}

fn node_config(config: &Config, identity: Identity) -> NodeConfig {
    NodeConfig { timing: config.raft_timing, trust_clocks: !config.read_confirm, ..NodeConfig::new(identity) }
}

fn open_log(config: &Config, identity: &Identity) -> Result<Wal<RealDisk>, ServerError> {
    let mode = match config.log_sync {
        LogSync::Dsync => SyncMode::Dsync,
        LogSync::Fdatasync => SyncMode::Fdatasync,
    };
    let disk = RealDisk::open(config.dir.join(LOG_FOLDER), mode)
        .map_err(|source| ServerError::Dir { dir: config.dir.display().to_string(), source })?;
    let options = Options {
        segment_bytes: config.segment_bytes,
        pad_to_block: config.log_pad_to_block,
        spare_segments: 1,
        create: Some(NewLog { log_id: env::random_seed(), metadata: identity.encode() }),
    };
    let (wal, recovery) = Wal::open(disk, options)?;
    tell(&recovery);
    Ok(wal)
}

fn tell(recovery: &Recovery) {
    if recovery.created {
        tracing::info!("a new log begins");
        return;
    }
    tracing::info!(
        segments = recovery.segments,
        records = recovery.records,
        bytes = recovery.bytes,
        first_index = recovery.first_index,
        "the log is read and whole"
    );
    if let Some(torn) = &recovery.torn_tail {
        tracing::warn!(
            file = torn.file,
            offset = torn.offset,
            bytes = torn.bytes,
            fault = %torn.fault,
            "cut a torn tail off the log: a write that was under way when the node ended, and was never acknowledged"
        );
    }
}

fn run_id() -> String {
    (0..3).map(|_| format!("{:016x}", env::random_seed())).collect::<String>()[..40].to_owned()
}
