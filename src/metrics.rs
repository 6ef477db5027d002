//! Every metric: its name, its unit, its help. INFO and the Prometheus endpoint read the same numbers.
//!
//! - What is counted for each command or packet is counted in a [`Lane`], one for each thread, without contention; what
//!   is counted for each batch, connection or event is an atomic or a histogram of its own.
//! - Names carry their unit and the prefix `perdura_`; counters only grow, CONFIG RESETSTAT included: it moves the point
//!   from which INFO counts.
//! - Nothing here knows keys, values or passwords. Labels come from fixed lists: commands, databases, peers, codes of
//!   errors (at most [`MAX_ERROR_CODES`] beside [`OWN_ERRORS`]).

mod exposition;
mod lane;
mod latency;
mod memory;
mod rates;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, OnceLock};

use parking_lot::Mutex;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Metric, Registry, Unit};

use crate::env::Clock;

pub use lane::{CommandTotals, Lane, Outcome, Totals};
pub use latency::Latencies;
pub use memory::{Memory, memory, usage};
pub use rates::Rates;

/// A number that is set.
pub type Level = Gauge<u64, AtomicU64>;
/// The same with a fraction.
pub type Fraction = Gauge<f64, AtomicU64>;

/// More kinds of errors than this are counted under [`OTHER_ERRORS`], but for [`OWN_ERRORS`]: scripts make errors of any kind.
pub const MAX_ERROR_CODES: usize = 128;
/// A longer first word is no kind of its own.
const MAX_CODE_BYTES: usize = 64;
/// Valkey's name.
const OTHER_ERRORS: &str = "ERRORSTATS_OVERFLOW";
/// Kinds that are counted by themselves in any case.
pub const OWN_ERRORS: [&str; 12] = [
    "ERR",
    "EXECABORT",
    "LOADING",
    "NOAUTH",
    "NOGROUP",
    "NOPERM",
    "NOSCRIPT",
    "OOM",
    "READONLY",
    "UNBLOCKED",
    "WRONGPASS",
    "WRONGTYPE",
];

/// A follower, as the leader sees it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Peer {
    pub peer: u64,
}

/// A role in the group.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Role {
    pub role: &'static str,
}

/// What a node can be.
pub const ROLES: [&str; 3] = ["leader", "follower", "candidate"];

/// The log, by whoever turns it.
#[derive(Debug)]
pub struct LogMetrics {
    pub append_seconds: Histogram,
    pub sync_seconds: Histogram,
    pub commit_seconds: Histogram,
    pub entry_commands: Histogram,
    pub entry_bytes: Histogram,
    pub bytes: Counter,
    pub ready_bytes: Level,
    pub disk_full: Level,
    pub refused_commands: Counter,
}

/// Replication, as this node sees it.
#[derive(Debug)]
pub struct RaftMetrics {
    pub term: Level,
    pub leader_id: Level,
    pub last_index: Level,
    pub commit_index: Level,
    pub applied_index: Level,
    pub apply_lag_entries: Level,
    pub leader_changes: Counter,
    pub connected_peers: Level,
    role: Family<Role, Level>,
    follower_lag_entries: Family<Peer, Level>,
    peer_silence_seconds: Family<Peer, Gauge<f64, AtomicU64>>,
    pub clock_ahead_seconds: Gauge<f64, AtomicU64>,
}

/// The newest checkpoint, and those that failed.
#[derive(Debug)]
pub struct CheckpointMetrics {
    pub index: Level,
    pub ended_seconds: Level,
    pub took_seconds: Fraction,
    pub failures: Counter,
}

/// What the data folder takes of its disk.
#[derive(Debug)]
pub struct DiskMetrics {
    pub log_bytes: Level,
    pub checkpoint_bytes: Level,
    pub other_bytes: Level,
    pub free_bytes: Level,
    pub total_bytes: Level,
}

/// What is read again, and what was found damaged, at a start or later.
#[derive(Debug)]
pub struct IntegrityMetrics {
    pub scrub_passes: Counter,
    pub scrub_bytes: Counter,
    pub damage_found: Counter,
    pub damage_unhealed: Level,
    /// Files and folders that were set aside, for people to look at and to remove.
    pub set_aside: Level,
    last: Mutex<String>,
}

/// Connections.
#[derive(Debug)]
pub struct ClientMetrics {
    pub connected: Gauge,
    pub blocked: Gauge,
    pub accepted: Counter,
    pub rejected: Counter,
    pub wrong_passwords: Counter,
    pub cut_off: Counter,
    pub evicted: Counter,
    pub closed_in_doubt: Counter,
    pub tracked_keys: Gauge,
    pub invalidations: Counter,
    pub dropped_messages: Counter,
}

/// What the thread that makes backups does.
pub struct BackupMetrics {
    pub shipped_index: Level,
    pub lag_seconds: Level,
    pub missing_pieces: Level,
    pub gap_entries: Level,
    pub checkpoint_index: Level,
    pub bytes: Counter,
    pub failures: Counter,
}

/// What a thread beside apply frees.
pub struct LazyFreeMetrics {
    /// Objects that wait for it.
    pub pending: Level,
    pub freed: Counter,
}

/// Keys and deadlines of one database.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DatabaseKeys {
    pub database: usize,
    pub keys: u64,
    pub with_deadline: u64,
}

type CountKeys = Box<dyn Fn() -> Vec<DatabaseKeys> + Send + Sync>;

/// All metrics of the process.
pub struct Metrics {
    pub log: LogMetrics,
    pub raft: RaftMetrics,
    pub clients: ClientMetrics,
    pub backup: BackupMetrics,
    pub checkpoint: CheckpointMetrics,
    pub disk: DiskMetrics,
    pub integrity: IntegrityMetrics,
    pub expired_keys: Counter,
    pub evicted_keys: Counter,
    pub lazy_free: LazyFreeMetrics,
    registry: Registry,
    clock: Clock,
    lanes: lane::Lanes,
    errors: Mutex<BTreeMap<String, u64>>,
    /// INFO's other counters at the last CONFIG RESETSTAT, by INFO's names.
    at_reset: Mutex<BTreeMap<&'static str, u64>>,
    count_keys: OnceLock<CountKeys>,
    rates: Mutex<rates::Window>,
    peak_allocated_bytes: AtomicU64,
}

/// Where metrics are declared: the registry with what all declarations share.
struct Declare<'r>(&'r mut Registry);

impl Declare<'_> {
    fn metric<M: Metric + Clone>(&mut self, name: &str, help: &str, metric: M) -> M {
        self.0.register(name, help, metric.clone());
        metric
    }

    fn counter(&mut self, name: &str, help: &str) -> Counter {
        self.metric(name, help, Counter::default())
    }

    fn level(&mut self, name: &str, help: &str) -> Level {
        self.metric(name, help, Level::default())
    }

    /// From 10 µs to 5 s, each bucket double the one before.
    fn seconds(&mut self, name: &str, help: &str) -> Histogram {
        let histogram = Histogram::new(exponential_buckets(10e-6, 2.0, 20));
        self.0.register_with_unit(name, help, Unit::Seconds, histogram.clone());
        histogram
    }

    /// From `first` on, each bucket four times the one before.
    fn sizes(&mut self, name: &str, help: &str, first: f64) -> Histogram {
        self.metric(name, help, Histogram::new(exponential_buckets(first, 4.0, 10)))
    }
}

impl LogMetrics {
    #[rustfmt::skip]
    fn declare(d: &mut Declare<'_>) -> LogMetrics {
        LogMetrics {
            append_seconds: d.seconds("log_append", "Time to encode a batch into the log's buffer"),
            sync_seconds: d.seconds("log_sync", "Time to write a batch to the disk and have it there for good"),
            commit_seconds: d.seconds("log_commit", "Time from the proposal of an entry to its commit by a majority"),
            entry_commands: d.sizes("log_entry_commands", "Commands in an entry", 1.0),
            entry_bytes: d.sizes("log_entry_bytes", "Bytes in an entry", 64.0),
            bytes: d.counter("log_bytes", "Bytes written to the log"),
            ready_bytes: d.level("log_ready_bytes", "Bytes that the log can take before it needs more space on the disk"),
            disk_full: d.level("log_disk_full", "1 while there is no space on the disk for the log's next segment, else 0"),
            refused_commands: d.counter("log_refused_commands", "Writing commands refused because the disk was full"),
        }
    }
}

impl BackupMetrics {
    #[rustfmt::skip]
    fn declare(d: &mut Declare<'_>) -> BackupMetrics {
        BackupMetrics {
            shipped_index: d.level("backup_shipped_index", "Index of the last entry that the backup is known to have"),
            lag_seconds: d.level("backup_lag_seconds", "For how long something applied has waited to be backed up, at most; on a replica as far as it sees in the backup what the primary ships"),
            missing_pieces: d.level("backup_missing_pieces", "On the primary: pieces that the newest checkpoint in the backup lacks"),
            gap_entries: d.level("backup_gap_entries", "On the primary: entries that the backup lacks and the log has no more; no time in them can be restored"),
            checkpoint_index: d.level("backup_checkpoint_index", "Index of the newest checkpoint that the backup is known to have, 0 where it has none"),
            bytes: d.counter("backup_bytes", "Bytes written to the backup"),
            failures: d.counter("backup_failures", "Attempts to back up that failed"),
        }
    }
}

impl RaftMetrics {
    #[rustfmt::skip]
    fn declare(d: &mut Declare<'_>) -> RaftMetrics {
        RaftMetrics {
            term: d.level("raft_term", "Term of the group"),
            leader_id: d.level("raft_leader_id", "Node that leads, 0 where none is known"),
            last_index: d.level("raft_last_index", "Index of the last entry of this node's log"),
            commit_index: d.level("raft_commit_index", "Index of the last committed entry that this node knows"),
            applied_index: d.level("raft_applied_index", "Index of the last entry applied to the keyspace"),
            apply_lag_entries: d.level("raft_apply_lag_entries", "Committed entries that are not applied yet"),
            leader_changes: d.counter("raft_leader_changes", "Times that this node saw another leader"),
            connected_peers: d.level("connected_peers", "Other members of the group that this node has a connection to"),
            role: d.metric("raft_role", "1 for the role that this node has, 0 for the others", Family::default()),
            follower_lag_entries: d.metric("raft_follower_lag_entries",
                "On the leader: entries that a follower has not acknowledged", Family::default()),
            clock_ahead_seconds: d.metric("clock_ahead_seconds",
                "How far this node's calendar is ahead of those of the others; negative where it is behind", Gauge::default()),
            peer_silence_seconds: d.metric("raft_peer_silence_seconds",
                "For how long a peer has not been heard: each follower on the leader, the leader on a follower", Family::default()),
        }
    }

    /// Sets the role, one of [`ROLES`].
    pub fn set_role(&self, current: &str) {
        for role in ROLES {
            self.role.get_or_create(&Role { role }).set(u64::from(role == current));
        }
    }

    /// Sets how far each follower is behind; nobody is where this node does not lead.
    pub fn set_follower_lags(&self, lags: impl IntoIterator<Item = (u64, u64)>) {
        self.follower_lag_entries.clear();
        for (peer, entries) in lags {
            self.follower_lag_entries.get_or_create(&Peer { peer }).set(entries);
        }
    }

    /// Sets for how many ms each peer has not been heard.
    pub fn set_silence(&self, silence: impl IntoIterator<Item = (u64, u64)>) {
        self.peer_silence_seconds.clear();
        for (peer, ms) in silence {
            self.peer_silence_seconds.get_or_create(&Peer { peer }).set(ms as f64 / 1000.0);
        }
    }
}

impl CheckpointMetrics {
    #[rustfmt::skip]
    fn declare(d: &mut Declare<'_>) -> CheckpointMetrics {
        CheckpointMetrics {
            index: d.level("checkpoint_index", "Index of the last entry that the newest checkpoint has, 0 where there is none"),
            ended_seconds: d.level("checkpoint_time_seconds", "When the newest checkpoint was durable, in seconds since 1970"),
            took_seconds: d.metric("checkpoint_duration_seconds", "Time that the newest checkpoint took to write", Fraction::default()),
            failures: d.counter("checkpoint_failures", "Checkpoints that failed"),
        }
    }
}

impl DiskMetrics {
    #[rustfmt::skip]
    fn declare(d: &mut Declare<'_>) -> DiskMetrics {
        DiskMetrics {
            log_bytes: d.level("disk_log_bytes", "Bytes on the disk that the log's segments take"),
            checkpoint_bytes: d.level("disk_checkpoint_bytes", "Bytes on the disk that all checkpoints take"),
            other_bytes: d.level("disk_other_bytes", "Bytes on the disk that everything else in the data folder takes"),
            free_bytes: d.level("disk_free_bytes", "Bytes that the file system of the data folder has left"),
            total_bytes: d.level("disk_total_bytes", "Size of the file system of the data folder"),
        }
    }
}

impl IntegrityMetrics {
    #[rustfmt::skip]
    fn declare(d: &mut Declare<'_>) -> IntegrityMetrics {
        IntegrityMetrics {
            scrub_passes: d.counter("scrub_passes", "Times that all full segments and checkpoints were read again"),
            scrub_bytes: d.counter("scrub_bytes", "Bytes of them that were read again"),
            damage_found: d.counter("damage_found", "Segments and checkpoints that were found damaged"),
            damage_unhealed: d.level("damage_unhealed", "Of those found by a running node, how many it has not yet made up for"),
            set_aside: d.level("set_aside", "Files and folders that are set aside, damaged or replaced by a recovery: look at them, then remove them"),
            last: Mutex::default(),
        }
    }

    /// Counts a finding, in words.
    pub fn found(&self, what: String) {
        self.damage_found.inc();
        *self.last.lock() = what;
    }

    /// The last finding; empty if there was none.
    pub fn last_found(&self) -> String {
        self.last.lock().clone()
    }
}

impl ClientMetrics {
    #[rustfmt::skip]
    fn declare(d: &mut Declare<'_>) -> ClientMetrics {
        ClientMetrics {
            connected: d.metric("connected_clients", "Clients connected now", Gauge::default()),
            blocked: d.metric("blocked_clients", "Clients that wait in a blocking command", Gauge::default()),
            accepted: d.counter("connections", "Connections accepted"),
            rejected: d.counter("rejected_connections", "Connections refused for want of room"),
            wrong_passwords: d.counter("wrong_passwords", "Passwords of clients that were wrong"),
            closed_in_doubt: d.counter("in_doubt_disconnections", "Clients closed because the primary changed before their command was answered"),
            evicted: d.counter("evicted_clients", "Clients closed because the buffers of all took more than maxmemory-clients"),
            tracked_keys: d.metric("tracking_keys", "Keys that clients may have cached, as this node remembers", Gauge::default()),
            invalidations: d.counter("tracking_invalidations", "Messages to clients that what they may have cached is stale"),
            cut_off: d.counter("output_limit_disconnections", "Clients closed because they did not read their replies"),
            dropped_messages: d.counter("pubsub_dropped_messages", "Published messages that another node was not sent, or this node did not take from one, because too many waited"),
        }
    }
}

impl LazyFreeMetrics {
    #[rustfmt::skip]
    fn declare(d: &mut Declare<'_>) -> LazyFreeMetrics {
        LazyFreeMetrics {
            pending: d.level("lazyfree_pending_objects", "Keys and collections that were removed and that a thread is about to free"),
            freed: d.counter("lazyfreed_objects", "Removed keys and collections that a thread freed"),
        }
    }
}

impl Metrics {
    /// Metrics for these commands, which [`Lane::command`] knows by their places in the list.
    pub fn new(clock: Clock, commands: Vec<String>) -> Arc<Metrics> {
        let mut registry = Registry::with_prefix("perdura");
        let d = &mut Declare(&mut registry);
        Arc::new(Metrics {
            log: LogMetrics::declare(d),
            raft: RaftMetrics::declare(d),
            clients: ClientMetrics::declare(d),
            backup: BackupMetrics::declare(d),
            checkpoint: CheckpointMetrics::declare(d),
            disk: DiskMetrics::declare(d),
            integrity: IntegrityMetrics::declare(d),
            expired_keys: d.counter("expired_keys", "Keys freed because their time had come"),
            evicted_keys: d.counter("evicted_keys", "Keys removed because the data had reached maxmemory"),
            lazy_free: LazyFreeMetrics::declare(d),
            registry,
            clock,
            lanes: lane::Lanes::new(commands),
            errors: Mutex::new(BTreeMap::new()),
            at_reset: Mutex::new(BTreeMap::new()),
            count_keys: OnceLock::new(),
            rates: Mutex::new(rates::Window::default()),
            peak_allocated_bytes: AtomicU64::new(0),
        })
    }

    /// A lane for one thread, for as long as the thread lives. What it counted stays counted afterwards.
    pub fn lane(&self) -> Lane {
        self.lanes.open()
    }

    /// The sum of all lanes since the start, or since the last [`Metrics::reset`].
    pub fn totals(&self) -> Totals {
        self.lanes.since_reset()
    }

    /// Says how keys are counted. The first caller is heard.
    pub fn count_keys_by(&self, count: impl Fn() -> Vec<DatabaseKeys> + Send + Sync + 'static) {
        // A second shard will need a label of its own; until then there is one keyspace in a process.
        let _ = self.count_keys.set(Box::new(count));
    }

    /// The databases that hold keys.
    pub fn keys(&self) -> Vec<DatabaseKeys> {
        let counted = self.count_keys.get().map(|count| count()).unwrap_or_default();
        counted.into_iter().filter(|database| database.keys > 0).collect()
    }

    /// Counts an error reply by its first word, as in INFO errorstats.
    pub fn error(&self, code: &str) {
        let mut errors = self.errors.lock();
        let has_room = errors.len() < MAX_ERROR_CODES && code.len() <= MAX_CODE_BYTES;
        let known = has_room || errors.contains_key(code) || OWN_ERRORS.contains(&code);
        let code = if known { code } else { OTHER_ERRORS };
        match errors.get_mut(code) {
            Some(count) => *count += 1,
            None => drop(errors.insert(code.to_owned(), 1)),
        }
    }

    /// Error replies by code.
    pub fn errors(&self) -> Vec<(String, u64)> {
        self.errors.lock().iter().map(|(code, count)| (code.clone(), *count)).collect()
    }

    pub fn uptime_s(&self) -> u64 {
        self.clock.monotonic_ms() / 1000
    }

    /// To be called about once a second: feeds [`Metrics::rates`] and the peak of memory.
    pub fn sample(&self) {
        let totals = self.lanes.sum();
        self.rates.lock().add(self.clock.monotonic_ms(), &totals);
        memory::note_peak(&self.peak_allocated_bytes);
    }

    /// What happens in a second, averaged over the last few.
    pub fn rates(&self) -> Rates {
        self.rates.lock().rates()
    }

    /// Most bytes that were ever seen allocated.
    pub fn peak_allocated_bytes(&self) -> u64 {
        memory::note_peak(&self.peak_allocated_bytes)
    }

    /// CONFIG RESETSTAT: INFO counts commands, bytes, errors and `counters` from zero; these are their present values. Prometheus' counters continue.
    pub fn reset(&self, counters: &[(&'static str, u64)]) {
        *self.at_reset.lock() = counters.iter().copied().collect();
        self.lanes.reset();
        self.errors.lock().clear();
    }

    /// How much a counter that has this value has grown since [`reset`](Self::reset).
    pub fn since_reset(&self, name: &'static str, count: u64) -> u64 {
        count.saturating_sub(self.at_reset.lock().get(name).copied().unwrap_or(0))
    }

    /// Everything in the text format of Prometheus (OpenMetrics).
    pub fn expose(&self) -> Result<String, fmt::Error> {
        exposition::expose(self)
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}
