//! Opening: the log is read and checked, the keyspace is filled from the newest good checkpoint, the node takes its place in
//! the group.
//!
//! What the log holds behind the checkpoint is applied by the node itself, as far as it is known to be committed, before it
//! serves.

use std::net::TcpListener;
use std::sync::Arc;

use perdura_wal::NewLog;
use perdura_wal::{Options, Position, RealDisk, Recovery, SyncMode, Wal};

use super::catch_up::CatchUp;
use super::checkpoints::Checkpoints;
use super::peers::PeerPlan;
use super::repair::Repair;
use super::{CHECKPOINT_FOLDER, LOG_FOLDER, ServerError};
use crate::apply::Applier;
use crate::checkpoint::CheckpointStore;
use crate::checkpoint::shelf::{Rejected, Shelf};
use crate::checkpoint::ship::Pace;
use crate::checkpoint::store::{RocksStore, StoreConfig};
use crate::command;
use crate::config::Config;
use crate::config::value::LogSync;
use crate::env::{self, Clock};
use crate::keyspace::types::limits::TypeLimits;
use crate::keyspace::{DATABASES, Keyspace, Mutator};
use crate::metrics::{DatabaseKeys, Metrics};
use crate::persistence::Published;
use crate::raft::identity::{ClusterId, Identity};
use crate::raft::inbox::Inbox;
use crate::raft::keepalive::TurnBoard;
use crate::raft::node::{Node, NodeConfig, NodeError};
use crate::raft::storage::{check_start, is_new, restart_log_at};
use crate::shard::machine::Machine;
use crate::shard::port::ShardHandle;
use crate::shard::turn::Shard;
use crate::shared::Shared;

/// What runs.
pub struct Opened {
    pub shared: Arc<Shared>,
    pub shard: Shard<RealDisk>,
    pub checkpoints: Checkpoints,
    pub catch_up: CatchUp,
    pub inbox: Inbox,
    pub board: TurnBoard,
}

/// Opens the data folder and makes everything that stands on it.
pub fn open(config: Config, listener: Option<TcpListener>) -> Result<(Opened, PeerPlan), ServerError> {
    let clock = Clock::system();
    let identity = identity(&config)?;
    let (mut wal, store) = open_folder(&config, &identity, &clock)?;
    let preparer = wal.take_preparer();
    // A new log's first spare is made before anybody is served: zeroing it would compete with the first clients' syncs.
    while preparer.step()? {}
    super::spawn("log-segments".to_owned(), move || {
        if let Err(error) = preparer.run() {
            tracing::error!(%error, "the next segment of the log can't be prepared");
        }
    })?;
    let metrics = Metrics::new(clock.clone(), command::statistic_names());
    let (keyspace, mut mutator) = Keyspace::create();
    let restored = restore(&store, &mut mutator, &clock)?;
    let shelf = store.shelf().clone();
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
    let now_ms = clock.monotonic_ms();
    let mut node = Node::open(wal, node_config, restored.index, now_ms)?;
    if let Some(position) = restored.position() {
        node.checkpoint_published(position);
    }
    let mut applier = Applier::after(mutator, shared.limits.clone(), restored.stamp_ms);
    // Whether any field of what was restored has a deadline is not known: look.
    applier.effects.field_deadlines = restored.keys > 0;
    let policy = shared.config.started_with().checkpoints;
    let checkpoints = Checkpoints::start(Box::new(store), &handle, policy, peers.identity.clone(), now_ms)?;
    let pace = Pace { bytes_per_second: policy.catch_up_bytes_per_second };
    let catch_up = CatchUp::start(shelf, pace, &handle, clock.clone())?;
    handle.persistence.found(restored.published());
    let board = TurnBoard::default();
    let mut machine = Machine::new(applier, handle.clone(), board.clone(), clock, metrics);
    machine.applied = restored.index;
    let inbox = Inbox::new(handle.driver_wake.clone());
    let shard = Shard::new(node, machine, handle, env::random_seed());
    Ok((Opened { shared, shard, checkpoints, catch_up, inbox, board }, peers))
}

/// The checkpoint that the keyspace was filled from; all zero without one.
#[derive(Clone, Copy, Debug)]
struct Restored {
    index: u64,
    term: u64,
    stamp_ms: i64,
    keys: u64,
}

impl Restored {
    const NOTHING: Restored = Restored { index: 0, term: 0, stamp_ms: i64::MIN, keys: 0 };

    fn position(self) -> Option<Position> {
        (self.index > 0).then_some(Position { index: self.index, term: self.term })
    }

    fn published(self) -> Option<Published> {
        (self.index > 0).then(|| Published {
            index: self.index,
            keys: self.keys,
            ended_ms: self.stamp_ms,
            ..Published::default()
        })
    }
}

/// Opens log and checkpoints, so that the one goes on where the other ends. The log comes first: it has the lock.
fn open_folder(
    config: &Config,
    identity: &Identity,
    clock: &Clock,
) -> Result<(Wal<RealDisk>, RocksStore), ServerError> {
    let repair = Repair::of(config, identity);
    let mut wal = match open_log(config, identity) {
        Err(error) if repair.set_log_aside(&error)? => open_log(config, identity)?,
        opened => opened?,
    };
    let store = open_store(config, clock)?;
    let newest = store.newest().map(|newest| Position { index: newest.point.index, term: newest.point.term });
    let is_own = store.newest().is_none_or(|newest| newest.point.cluster_id == identity.cluster_id.0);
    if is_own {
        repair.mark_loss(&mut wal, newest)?;
    }
    finish_adoption(store.shelf(), newest, &mut wal)?;
    if let Err(gap) = check_start(&wal, newest.map_or(0, |newest| newest.index)) {
        let gap: ServerError = NodeError::from(gap).into();
        let is_new = is_new(&wal);
        drop(wal);
        if !is_own || is_new || !repair.set_log_aside(&gap)? {
            return Err(gap);
        }
        wal = open_log(config, identity)?;
        repair.mark_loss(&mut wal, newest)?;
    }
    Ok((wal, store))
}

/// The last process may have ended after a checkpoint of another node had come to its shelf, and before its log went on behind
/// that.
fn finish_adoption(
    shelf: &Shelf,
    newest: Option<Position>,
    wal: &mut Wal<RealDisk>,
) -> Result<(), ServerError> {
    let adopting = shelf.adopting()?;
    if let Some(checkpoint) = newest.filter(|newest| adopting == Some(newest.index)) {
        tracing::info!(
            index = checkpoint.index,
            "the log goes on behind a checkpoint that came from another node"
        );
        restart_log_at(wal, checkpoint).map_err(NodeError::from)?;
    }
    Ok(shelf.end_adoption()?)
}

fn open_store(config: &Config, clock: &Clock) -> Result<RocksStore, ServerError> {
    let store_config = StoreConfig {
        bytes_per_second: config.checkpoints.bytes_per_second,
        load_threads: std::thread::available_parallelism().map_or(1, usize::from),
        limits: TypeLimits::default(),
    };
    let (store, rejected) =
        RocksStore::open(&config.dir.join(CHECKPOINT_FOLDER), store_config, clock.clone())?;
    for Rejected { index, error } in rejected {
        tracing::error!(index, %error, "a checkpoint is damaged: an older one is tried");
    }
    Ok(store)
}

fn restore(store: &RocksStore, mutator: &mut Mutator, clock: &Clock) -> Result<Restored, ServerError> {
    let Some(manifest) = store.newest() else { return Ok(Restored::NOTHING) };
    let began_ms = clock.monotonic_ms();
    let (index, keys) = (manifest.point.index, manifest.keys());
    tracing::info!(index, keys, "loading a checkpoint");
    mutator.restore_generations(manifest.databases);
    let restoring = mutator.restore();
    let loaded = store.load(&|db, entry| restoring.put(db, entry))?;
    let took_ms = clock.monotonic_ms() - began_ms;
    tracing::info!(index, keys = loaded.keys, took_ms, "the checkpoint is loaded and whole");
    Ok(Restored { index, term: manifest.point.term, stamp_ms: manifest.point.stamp_ms, keys: loaded.keys })
}

fn keys_of(keyspace: &Keyspace, database: usize) -> DatabaseKeys {
    let usage = keyspace.usage(database);
    DatabaseKeys { database, keys: usage.keys as u64, with_deadline: usage.with_deadline as u64 }
}

pub(super) fn identity(config: &Config) -> Result<Identity, ServerError> {
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
    let (wal, recovery) = Wal::open(disk, log_options(config, identity))?;
    tell(&recovery);
    Ok(wal)
}

fn log_options(config: &Config, identity: &Identity) -> Options {
    Options {
        segment_bytes: config.segment_bytes,
        pad_to_block: config.log_pad_to_block,
        spare_segments: 1,
        create: Some(NewLog { log_id: env::random_seed(), metadata: identity.encode() }),
    }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::settings::{Flags, Settings};

    #[test]
    fn the_log_is_opened_as_configured() {
        let flags = [("log-pad-to-block", "yes"), ("segment-bytes", "1mb")];
        let flags: Flags = flags.into_iter().map(|(name, text)| (name, vec![text.to_owned()])).collect();
        let settings = Settings::resolve(&flags, []).expect("these are settings");
        let config = Config::build(&settings).expect("they are sound");
        let options = log_options(&config, &identity(&config).expect("a node alone"));
        assert!(options.pad_to_block);
        assert_eq!(options.segment_bytes, 1 << 20);
    }
}
