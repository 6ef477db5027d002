//! Loading: the data folder is opened, the keyspace is filled from the newest good checkpoint and the log behind it, the node takes
//! its place in the group. Workers answer LOADING meanwhile.
//!
//! - What the log is known to have committed is applied before anybody is served; in a group that may be less than the last process
//!   had applied.
//! - Peers are not talked to before: a node that loads is, for them, one that is down.

use std::cell::Cell;
use std::net::TcpListener;
use std::sync::Arc;

use perdura_wal::{Position, RealDisk};

use super::ServerError;
use super::backups;
use super::ballast::Ballast;
use super::catch_up::CatchUp;
use super::checkpoint_writer::WriterThread;
use super::checkpoints::Checkpoints;
use super::folder::Folder;
use super::peers::PeerPlan;
use super::scrub::Scrubber;
use super::transfer_worker::TransferThread;
use crate::acl::StoredUser;
use crate::admin::shared::Shared;
use crate::apply::Applier;
use crate::backup::repository::Owner;
use crate::checkpoint::CheckpointStore;
use crate::checkpoint::manifest::Point;
use crate::checkpoint::ship::Pace;
use crate::checkpoint::store::RocksStore;
use crate::config::Config;
use crate::data_folder;
use crate::env::Now;
use crate::env::{self, Clock};
use crate::keyspace::hash_seed::HashSeed;
use crate::keyspace::{DATABASES, Keyspace, Mutator};
use crate::loading::{Loading, Stage};
use crate::memory::{self, MemoryLimits, Usage};
use crate::metrics::{self, DatabaseKeys, Metrics};
use crate::persistence::Published;
use crate::raft::cluster::ClusterId;
use crate::raft::frame::Frame;
use crate::raft::identity::{GroupKey, Identity, NodeId};
use crate::raft::inbox::Inbox;
use crate::raft::keepalive::TurnBoard;
use crate::raft::node::{Node, NodeConfig};
use crate::raft::outbox::Outbound;
use crate::session::{first_users, open_default, table};
use crate::shard::machine::Machine;
use crate::shard::port::ShardHandle;
use crate::shard::turn::{Seeds, Shard};

/// What runs.
pub struct Opened {
    pub shared: Arc<Shared>,
    pub shard: Shard<RealDisk>,
    pub checkpoints: Checkpoints,
    pub catch_up: CatchUp,
    pub scrubber: Scrubber,
    pub ballast: Ballast,
    pub inbox: Inbox,
    pub board: TurnBoard,
}

/// What workers need before anything is loaded, and what loading needs.
pub struct Prepared {
    pub shared: Arc<Shared>,
    identity: Identity,
    mutator: Mutator,
    users: Vec<StoredUser>,
    /// The rules that the user `default` is to have.
    open_default: Option<Vec<u8>>,
}

/// Makes what does not stand on the data folder, which is not touched. The start counts from here.
pub fn prepare(config: Config) -> Result<Prepared, ServerError> {
    let clock = Clock::system();
    data_folder::check_is_whole(&config.dir)?;
    let identity = identity(&config)?;
    let users = first_users(&config.users).map_err(ServerError::Users)?;
    let open_default = open_default_of(&config)?;
    let metrics = Metrics::new(clock.clone(), table::statistic_names());
    let (keyspace, mutator) = Keyspace::create();
    let captured = keyspace.clone();
    let memory = MemoryLimits::new(memory::machine_limits(), move || {
        // What a checkpoint still has to write of keys that were changed or removed since is given back soon. Frames of databases are
        // there before the first key and after the last.
        let waiting = captured.waiting();
        let buffers = (waiting.pre_image_bytes + captured.frame_bytes()) as u64;
        Usage { buffers, holds_flushed: waiting.detached_keys > 0, ..metrics::usage() }
    });
    if let Some(guard) = memory.guard() {
        let (bytes, of) = (guard.bytes(), guard.machine.name);
        tracing::info!(
            bytes,
            of,
            maxmemory = config.given.values.maxmemory,
            "memory guard: writes that may need more are refused"
        );
    }
    let handle = Arc::new(ShardHandle::new(keyspace, config.workers).with_memory(memory));
    handle.loading.begin(clock.unix_ms(), clock.monotonic_ms());
    let counted = handle.clone();
    metrics.count_keys_by(move || {
        // Part of the data is not even counted for anybody.
        let counts = if counted.loading.is_under_way() { 0 } else { DATABASES };
        (0..counts).map(|db| keys_of(&counted.keyspace, db)).collect()
    });
    let shared = Arc::new(Shared::new(config, clock, metrics, handle, run_id(), table::table()));
    Ok(Prepared { shared, identity, mutator, users, open_default })
}

/// Opens the data folder, makes everything that stands on it, and replays. Takes as long as there is data.
pub fn load(prepared: Prepared, listener: Option<TcpListener>) -> Result<(Opened, PeerPlan), ServerError> {
    let Prepared { shared, identity, mut mutator, users, open_default } = prepared;
    let (clock, metrics, handle) = (shared.clock.clone(), shared.metrics.clone(), shared.shard.clone());
    let config = shared.config.started_with();
    let folder = Folder {
        config,
        identity: &identity,
        clock: &clock,
        loading: &handle.loading,
        integrity: &metrics.integrity,
    };
    let (mut wal, store) = folder.open()?;
    let preparer = wal.take_preparer();
    // A new log's first spare is made before anybody is served: zeroing it would compete with the first clients' syncs.
    while preparer.step()? {}
    super::spawn("log-segments".to_owned(), move || {
        if let Err(error) = preparer.run() {
            tracing::error!(%error, "the next segment of the log can't be prepared");
        }
    })?;
    let older_owner = Owner::of_older_build(&identity, wal.log_id());
    let access = shared.config.access().used(0, clock.unix_ms(), || 0);
    let restored = restore(&store, &mut mutator, &clock, &handle.loading, access)?;
    let shelf = store.shelf().clone();
    let node_config = node_config(config, identity.clone());
    let now_ms = clock.monotonic_ms();
    let timing = node_config.timing;
    let mut node = Node::open(wal, node_config, restored.index, now_ms)?;
    let peers = PeerPlan {
        identity,
        voice: node.voice(),
        timing,
        listener,
        members: members(config),
        announce_addr: config.announce_addr.to_string(),
    };
    if let Some(position) = restored.position() {
        node.checkpoint_published(position);
    }
    let applier = Applier::after(mutator, shared.limits.clone(), restored.stamp_ms);
    let policy = config.checkpoints;
    let writer = WriterThread::start(Box::new(store), shelf.clone(), handle.keyspace.clone())?;
    let checkpoints = Checkpoints::new(writer, &handle, policy, peers.identity.clone(), now_ms)?;
    let pace = Pace { bytes_per_second: policy.catch_up_bytes_per_second };
    let transfers = TransferThread::start(shelf.clone(), pace, &handle, clock.clone())?;
    let catch_up = CatchUp::new(transfers, handle.transfers.clone());
    handle.persistence.found(restored.published());
    let board = TurnBoard::default();
    node.storage_mut().wal_mut().count_parts(board.parts());
    let mut machine = Machine::new(applier, handle.clone(), board.clone(), clock.clone(), metrics);
    machine.applied = restored.index;
    machine.replay_threads = threads();
    let inbox = Inbox::new(handle.driver_wake.clone());
    let mut shard = Shard::new(node, machine, handle.clone(), seeds());
    shard.know_cluster(restored.cluster)?;
    shard.bring_users(users);
    open_default.into_iter().for_each(|rules| shard.reset_default_user(rules));
    replay(&mut shard, &shared)?;
    let scrubber = Scrubber::start(shelf.clone(), &shared, restored.index)?;
    if let Some(plan) = config.backup.clone() {
        backups::start(backups::Parts { plan, older_owner, shelf, handle, clock }, &config.dir)?;
    }
    let config = shared.config.started_with();
    let ballast = Ballast::new(&config.dir, config.segment_bytes);
    Ok((Opened { shared, shard, checkpoints, catch_up, scrubber, ballast, inbox, board }, peers))
}

/// The rules that the user `default` is to get, where an operator was locked out.
fn open_default_of(config: &Config) -> Result<Option<Vec<u8>>, ServerError> {
    let Some(password) = config.passwords.first().filter(|_| config.resets_default_user) else {
        return Ok(None);
    };
    tracing::warn!(
        "--reset-default-user: as soon as this node leads, the user default is on, may do everything, and has the password of --requirepass"
    );
    open_default(password.expose()).map(Some).map_err(ServerError::Users)
}

fn seeds() -> Seeds {
    let hash = HashSeed::new(env::random_seed(), env::random_seed());
    let cluster = ClusterId(env::random_seed().max(1));
    Seeds { stamps: env::random_seed(), hash, cluster, brings_parameters: true }
}

/// Nobody: peers are not talked to before the node is loaded.
struct Nobody;

impl Outbound for Nobody {
    fn send(&mut self, _: NodeId, _: &Frame) -> bool {
        true
    }

    fn flush(&mut self) {}
}

/// Applies what the log is known to have committed.
fn replay(shard: &mut Shard<RealDisk>, shared: &Shared) -> Result<(), ServerError> {
    let applied = shard.machine().applied;
    let is_alone = shared.config.started_with().members.is_empty();
    let known = if is_alone { shard.node().storage().last_entry() } else { shard.node().committed() };
    shared.shard.loading.replay(applied, known);
    shard.limit_memory(shared.config.maxmemory(), shared.config.eviction());
    loop {
        let now = Now { monotonic_ms: shared.clock.monotonic_ms(), unix_ms: shared.clock.unix_ms() };
        shard.turn(now, &mut Vec::new(), &mut Nobody)?;
        // Who listens now was not there when this was published.
        drop((shard.take_published(), shard.take_slow(), shard.take_garbage()));
        if !shard.has_work() {
            return Ok(());
        }
    }
}

/// The checkpoint that the keyspace was filled from; all zero without one.
#[derive(Clone, Copy, Debug)]
struct Restored {
    index: u64,
    term: u64,
    stamp_ms: i64,
    keys: u64,
    cluster: ClusterId,
}

impl Restored {
    const NOTHING: Restored =
        Restored { index: 0, term: 0, stamp_ms: i64::MIN, keys: 0, cluster: ClusterId::NONE };

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

/// Fills the keyspace from the newest checkpoint; `access` becomes the access word of all keys, which the checkpoint does not know.
fn restore(
    store: &RocksStore,
    mutator: &mut Mutator,
    clock: &Clock,
    loading: &Loading,
    access: u32,
) -> Result<Restored, ServerError> {
    let Some(manifest) = store.newest() else { return Ok(Restored::NOTHING) };
    loading.enter(Stage::LoadingCheckpoint);
    let began_ms = clock.monotonic_ms();
    let (index, keys) = (manifest.point.index, manifest.keys());
    tracing::info!(index, keys, "loading a checkpoint");
    mutator.restore_basis(manifest.basis());
    let restoring = mutator.restore();
    let bytes_of_some = KEYS_PER_REPORT * manifest.bytes() / keys.max(1);
    let loaded = store.load(&|db, entry| {
        entry.set_access(access);
        restoring.put(db, entry);
        if is_time_to_report() {
            loading.loaded(bytes_of_some);
        }
    })?;
    let took_ms = clock.monotonic_ms() - began_ms;
    tracing::info!(index, keys = loaded.keys, took_ms, "the checkpoint is loaded and whole");
    let Point { term, stamp_ms, cluster, .. } = manifest.point;
    Ok(Restored { index, term, stamp_ms, keys: loaded.keys, cluster: ClusterId(cluster) })
}

/// Keys that a thread loads from one report to the next.
const KEYS_PER_REPORT: u64 = 256;

/// Whether this thread has loaded so many keys since it last reported: threads that count together wait for each other.
fn is_time_to_report() -> bool {
    thread_local!(static LOADED: Cell<u64> = const { Cell::new(0) });
    let loaded = LOADED.get() + 1;
    LOADED.set(loaded % KEYS_PER_REPORT);
    loaded == KEYS_PER_REPORT
}

/// As many threads as there are cores load and replay.
pub(super) fn threads() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

fn keys_of(keyspace: &Keyspace, database: usize) -> DatabaseKeys {
    let usage = keyspace.usage(database);
    DatabaseKeys { database, keys: usage.keys as u64, with_deadline: usage.with_deadline as u64 }
}

pub(super) fn identity(config: &Config) -> Result<Identity, ServerError> {
    let name = match &config.cluster_name {
        Some(name) => Some(name.clone()),
        None => data_folder::cluster_name(&config.dir)?,
    };
    let voters = config.voters();
    let older_key = match &name {
        Some(name) => GroupKey::named(name, &voters),
        None => GroupKey::derive("", &members(config)),
    };
    // A name that is only in the folder is no part of it: a member that comes with an empty folder does not have that name.
    let key = GroupKey::named(config.cluster_name.as_deref().unwrap_or_default(), &voters);
    Ok(Identity::new(key, config.node_id, voters)?.once_called(older_key))
}

fn members(config: &Config) -> Vec<(u64, String)> {
    config.members.iter().map(|member| (member.id, member.peer_addr.to_string())).collect()
}

fn node_config(config: &Config, identity: Identity) -> NodeConfig {
    NodeConfig {
        timing: config.raft_ticks.into(),
        secret: env::random_seed(),
        trust_clocks: !config.read_confirm,
        catch_up_bytes_per_second: config.checkpoints.catch_up_bytes_per_second,
        ..NodeConfig::new(identity)
    }
}

fn run_id() -> String {
    (0..3).map(|_| format!("{:016x}", env::random_seed())).collect::<String>()[..40].to_owned()
}
