//! Checkpoints of a running node: when one begins, the thread that writes them, and the log that is cut behind them.
//!
//! - The driver begins one between two turns. That fixes its moment and takes a few short locks, however much data there is.
//! - The thread writes it, publishes it, and removes what is too old. If that fails nothing is lost, for the log has
//!   everything; the next one then brings the whole keyspace.
//! - The thread rests after each piece of work, where cores are few: clients would notice otherwise. The more the log grows meanwhile,
//!   the less it rests, for so grows what a restart has to replay.
//! - The log is cut behind the oldest checkpoint that is kept, so that each of them can still be started from. In a group some more
//!   stays, `log-keep-bytes`, for followers that were away: who lags behind that is sent a checkpoint. While somebody
//!   fetches one, the log behind it stays as well, and four times as much while somebody is being sent the log. Every node of a group keeps so much, for each may have to lead.
//! - A checkpoint that came from another node takes the place of everything; one that is being written then is given up.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

use parking_lot::Mutex;
use perdura_wal::{Position, RealDisk};

use super::compaction::{self, Floor};
use super::open::threads;
use super::{ServerError, spawn};
use crate::checkpoint::error::CheckpointError;
use crate::checkpoint::manifest::{Manifest, Point};
use crate::checkpoint::shelf::Shelf;
use crate::checkpoint::throttle::Rest;
use crate::checkpoint::transfers::Transfers;
use crate::checkpoint::{self, CheckpointStore, Report};
use crate::config::CheckpointPolicy;
use crate::env;
use crate::env::Now;
use crate::keyspace::Keyspace;
use crate::keyspace::capture::Capture;
use crate::keyspace::digest::Digest;
use crate::persistence::backups::BackupStatus;
use crate::persistence::{Persistence, Published, Running};
use crate::raft::cluster::ClusterId;
use crate::raft::identity::Identity;
use crate::shard::log_cuts::{CutRequest, LogCuts};
use crate::shard::marks::{Fate, Marked, Marks};
use crate::shard::port::ShardHandle;
use crate::shard::turn::Shard;

/// How long after a failure the next is begun, unless somebody asks.
const RETRY_MS: u64 = 60_000;

/// How many times `log-keep-bytes` stay for a follower that is being sent the log.
const MORE_FOR_FOLLOWERS: u64 = 4;

/// Bytes that the log grows by while one is written, until there is more hurry.
const UNHURRIED_BYTES: u64 = 128 << 20;

/// For the thread.
enum Order {
    /// A checkpoint is to be written.
    Write { capture: Box<Capture>, point: Point, kept: usize },
    /// A damaged one is to be set aside.
    SetAside { index: u64 },
}

/// From the thread.
enum Outcome {
    Written(Result<Written, CheckpointError>),
    SetAside(Result<Aside, CheckpointError>),
}

/// A damaged checkpoint is off the shelf.
struct Aside {
    index: u64,
    /// The store had files of it, and is empty now.
    was_newest: bool,
    /// The oldest checkpoint that there is now; 0 is none.
    oldest: u64,
}

struct Written {
    report: Report,
    term: u64,
    /// The oldest checkpoint that there is now.
    oldest: u64,
    digest: Digest,
}

/// The driver's end.
pub struct Checkpoints {
    policy: CheckpointPolicy,
    identity: Identity,
    cluster: ClusterId,
    transfers: Arc<Transfers>,
    backup: Arc<BackupStatus>,
    /// The thread has it while one is being written.
    store: Arc<Mutex<Box<dyn CheckpointStore>>>,
    orders: SyncSender<Order>,
    outcomes: Receiver<Outcome>,
    is_running: bool,
    /// The one that is being written is to end.
    given_up: Arc<AtomicBool>,
    /// How much hurry there is.
    hurry: Arc<AtomicU64>,
    last: Last,
    /// The oldest checkpoint that there is, and the newest that can be started from as far as is known; 0 is none.
    oldest: u64,
    newest: u64,
    marks: Arc<Marks>,
    /// The next checkpoint is to free as much as it can: no older one stays.
    is_frugal: bool,
}

/// When the last one began, or was found at the start.
#[derive(Clone, Copy, Debug, Default)]
struct Last {
    index: u64,
    /// Bytes that had been applied by this process.
    applied_bytes: u64,
    /// None begins by itself before this monotonic time.
    not_before_ms: u64,
    monotonic_ms: u64,
}

impl Checkpoints {
    /// Starts the thread. `store` holds what the keyspace was filled from, and `shelf` is where it publishes.
    pub fn start(
        store: Box<dyn CheckpointStore>,
        shelf: Shelf,
        handle: &ShardHandle,
        policy: CheckpointPolicy,
        identity: Identity,
        now_ms: u64,
    ) -> Result<Checkpoints, ServerError> {
        let index = store.newest().map_or(0, |manifest| manifest.point.index);
        let oldest = store.oldest()?.unwrap_or(0);
        let (orders, ordered) = sync_channel(1);
        let (outcome, outcomes) = sync_channel(1);
        let (store, given_up) = (Arc::new(Mutex::new(store)), Arc::<AtomicBool>::default());
        let hurry = Arc::<AtomicU64>::default();
        let last = Last { index, monotonic_ms: now_ms, ..Last::default() };
        let mut writer = Writer {
            store: store.clone(),
            shelf,
            keyspace: handle.keyspace.clone(),
            given_up: given_up.clone(),
            hurry: hurry.clone(),
        };
        spawn("checkpoints".to_owned(), move || {
            for order in ordered {
                if outcome.send(writer.obey(order)).is_err() {
                    return;
                }
            }
        })?;
        let (transfers, backup, marks) =
            (handle.transfers.clone(), handle.backup.clone(), handle.marks.clone());
        let is_running = false;
        Ok(Checkpoints {
            policy,
            identity,
            cluster: ClusterId::NONE,
            transfers,
            backup,
            store,
            orders,
            outcomes,
            is_running,
            given_up,
            hurry,
            last,
            oldest,
            newest: index,
            marks,
            is_frugal: false,
        })
    }

    /// Begins a checkpoint if one is due, and takes in one that is done.
    ///
    /// # Errors
    /// The log could not be cut: the node has to end.
    pub fn turn(
        &mut self,
        shard: &mut Shard<RealDisk>,
        persistence: &Persistence,
        now: Now,
    ) -> Result<(), ServerError> {
        let (index, bytes) = (shard.machine().applied, shard.machine().applied_bytes);
        self.cluster = shard.node().cluster().id;
        if self.is_running {
            self.hurry.store((bytes - self.last.applied_bytes) / UNHURRIED_BYTES, Ordering::Relaxed);
            return match self.outcomes.try_recv() {
                Ok(Outcome::Written(written)) => self.end(written, shard, persistence, now),
                Ok(Outcome::SetAside(aside)) => {
                    self.end_setting_aside(aside, persistence);
                    Ok(())
                }
                Err(_) => Ok(()),
            };
        }
        // A long command is on its way: soon the log has one that is none of its parts.
        if self.given_up.load(Ordering::Acquire) || !shard.is_capturable() {
            return Ok(());
        }
        let is_wanted = persistence.is_wanted();
        if is_wanted && index == self.newest {
            persistence.is_new_enough();
        } else if is_wanted || index > self.last.index && self.is_due(bytes, now) {
            self.begin(shard, persistence, now);
        }
        Ok(())
    }

    /// Whether a checkpoint could begin now.
    pub fn may_begin(&self) -> bool {
        !self.is_running && !self.given_up.load(Ordering::Acquire)
    }

    /// The next checkpoint is the only one that stays, so that the log before it can go.
    pub fn be_frugal(&mut self) {
        self.is_frugal = true;
    }

    /// Whether a checkpoint could begin now and has entries to make needless in the log.
    pub fn would_free_log(&self, shard: &Shard<RealDisk>) -> bool {
        self.may_begin() && shard.is_capturable() && shard.machine().applied > self.last.index
    }

    /// Writes what was captured at a mark, which only was since [`Checkpoints::may_begin`].
    pub fn begin_marked(&mut self, marked: Marked, persistence: &Persistence, now: Now) {
        let Marked { index, term, stamp_ms, applied_bytes, capture } = marked;
        let (cluster_id, members) = (self.identity.older_key.0, self.identity.members.clone());
        let point = Point { cluster_id, cluster: self.cluster.0, index, term, stamp_ms, members };
        persistence.begins_at_mark(Running { index, began_ms: now.unix_ms });
        self.order(capture, point, applied_bytes, now);
    }

    /// Cuts the log as somebody asked for, and answers.
    ///
    /// # Errors
    /// The log could not be cut: the node has to end.
    pub fn cut_by_hand(
        &self,
        shard: &mut Shard<RealDisk>,
        cuts: &LogCuts,
        now: Now,
    ) -> Result<(), ServerError> {
        while let Some(CutRequest { order, answer }) = cuts.take() {
            let keep_bytes = order.keep_bytes.unwrap_or(self.bytes_kept());
            let floors = self.floors(shard, keep_bytes);
            let cut = compaction::cut(shard, order, self.oldest, floors.into(), now)?;
            match order.dry_run {
                true => tracing::info!(
                    ?order,
                    ?cut,
                    "an operator asked what a cut of the log would free: nothing was cut"
                ),
                false => tracing::info!(?order, ?cut, "the log was cut by hand"),
            }
            // Who does not wait any more needs nothing.
            let _ = answer.send(cut);
        }
        Ok(())
    }

    /// Ends the one that is being written, if any is, and lets no other begin before [`Checkpoints::resume`]. False while it
    /// has not ended.
    pub fn give_up(&mut self) -> bool {
        self.given_up.store(true, Ordering::Release);
        !self.is_running
    }

    /// Lets checkpoints begin again.
    pub fn resume(&self) {
        self.given_up.store(false, Ordering::Release);
    }

    /// Puts the content of a published checkpoint in place of all data, and of the store. Call it after
    /// [`Checkpoints::give_up`].
    ///
    /// # Errors
    /// It can't be loaded: the node has to end.
    pub fn adopt(
        &mut self,
        shard: &mut Shard<RealDisk>,
        persistence: &Persistence,
        index: u64,
        now: Now,
    ) -> Result<(), ServerError> {
        tracing::info!(index, "loading a checkpoint of another node in place of all data");
        let mut store = self.store.lock();
        let manifest = store.adopt(index)?.clone();
        let Point { stamp_ms, term, .. } = manifest.point;
        self.newest = index;
        let loaded = shard.replace_data(manifest.basis(), stamp_ms, |restoring| {
            store.load(&|db, entry| restoring.put(db, entry))
        })?;
        shard.know_cluster(ClusterId(manifest.point.cluster))?;
        shard.node_mut().checkpoint_published(Position { index, term });
        let (keys, ended_ms) = (loaded.keys, now.unix_ms);
        persistence.ended(Published { index, keys, ended_ms, ..Published::default() });
        let applied_bytes = shard.machine().applied_bytes;
        self.last = Last { index, applied_bytes, monotonic_ms: now.monotonic_ms, not_before_ms: 0 };
        tracing::info!(index, keys = loaded.keys, "the checkpoint is loaded and whole");
        Ok(())
    }

    fn is_due(&self, applied_bytes: u64, now: Now) -> bool {
        let CheckpointPolicy { log_bytes, interval_s, .. } = self.policy;
        let by_bytes = log_bytes > 0 && applied_bytes - self.last.applied_bytes >= log_bytes;
        let by_time = interval_s > 0 && now.monotonic_ms >= self.last.monotonic_ms + interval_s * 1000;
        (by_bytes || by_time) && now.monotonic_ms >= self.last.not_before_ms
    }

    fn begin(&mut self, shard: &mut Shard<RealDisk>, persistence: &Persistence, now: Now) {
        let capture = match shard.begin_capture() {
            Ok(capture) => capture,
            Err(error) => {
                tracing::warn!(%error, "no checkpoint can be begun");
                persistence.failed(error.to_string());
                self.last.not_before_ms = now.monotonic_ms + RETRY_MS;
                return;
            }
        };
        let (index, term) = shard.applied_position();
        let point = Point {
            cluster_id: self.identity.older_key.0,
            cluster: self.cluster.0,
            index,
            term,
            stamp_ms: shard.machine().applier.last_stamp_ms(),
            members: self.identity.members.clone(),
        };
        persistence.begins(Running { index, began_ms: now.unix_ms });
        self.order(capture, point, shard.machine().applied_bytes, now);
    }

    /// Sets a damaged checkpoint aside. Where it was the newest, the store has its files, too: it is begun anew, and a whole
    /// checkpoint is written from memory at once. False if that can't be begun now.
    pub fn set_aside(&mut self, index: u64) -> bool {
        if self.is_running {
            return false;
        }
        self.is_running = self.orders.try_send(Order::SetAside { index }).is_ok();
        self.is_running
    }

    fn end_setting_aside(&mut self, aside: Result<Aside, CheckpointError>, persistence: &Persistence) {
        self.is_running = false;
        let Aside { index, was_newest, oldest } = match aside {
            Ok(aside) => aside,
            Err(error) => {
                tracing::error!(%error, "a damaged checkpoint can't be set aside");
                return;
            }
        };
        self.oldest = oldest;
        tracing::warn!(index, was_newest, "a damaged checkpoint is set aside");
        if was_newest {
            (self.last.index, self.newest) = (0, 0);
            persistence.ask();
        }
    }

    /// Whether the thread has nothing to do.
    pub fn is_idle(&self) -> bool {
        !self.is_running
    }

    /// The newest checkpoint that can be started from, as far as is known; 0 is none.
    pub fn newest(&self) -> u64 {
        self.newest
    }

    fn order(&mut self, capture: Capture, point: Point, applied_bytes: u64, now: Now) {
        assert!(!self.is_running, "the thread takes one order at a time");
        let index = point.index;
        self.last = Last { index, applied_bytes, monotonic_ms: now.monotonic_ms, not_before_ms: 0 };
        self.is_running = true;
        // The thread takes one order at a time, and gets none while it has one: there is room. Nor is it gone: it ends with
        // the process only.
        let kept = if std::mem::take(&mut self.is_frugal) { 1 } else { self.policy.kept };
        let _ = self.orders.try_send(Order::Write { capture: Box::new(capture), point, kept });
    }

    fn end(
        &mut self,
        written: Result<Written, CheckpointError>,
        shard: &mut Shard<RealDisk>,
        persistence: &Persistence,
        now: Now,
    ) -> Result<(), ServerError> {
        self.is_running = false;
        let Written { report, term, oldest, digest } = match written {
            Ok(written) => written,
            Err(error) => {
                tracing::warn!(%error, "a checkpoint failed; the log has everything");
                self.marks.settle(self.last.index, Fate::Failed(error.to_string()));
                persistence.failed(error.to_string());
                self.last.not_before_ms = now.monotonic_ms + RETRY_MS;
                return Ok(());
            }
        };
        (self.oldest, self.newest) = (oldest, report.index);
        self.marks.settle(report.index, Fate::Done { keys: report.keys, digest });
        persistence.ended(published(&report, now.unix_ms));
        tracing::info!(
            index = report.index,
            keys = report.keys,
            written = report.keys_written,
            deleted = report.keys_deleted,
            bytes_written = report.bytes_written,
            took_ms = report.elapsed_ms,
            "a checkpoint is published"
        );
        shard.node_mut().checkpoint_published(Position { index: report.index, term });
        let kept = self.floors(shard, self.bytes_kept()).map(|floor| floor.index);
        Ok(shard.compact_log(kept.into_iter().min().unwrap_or(0))?)
    }

    /// Bytes of the log that stay for followers which were away.
    fn bytes_kept(&self) -> u64 {
        if self.identity.members.len() == 1 { 0 } else { self.policy.log_keep_bytes }
    }

    /// What keeps the log from being cut further.
    fn floors(&self, shard: &Shard<RealDisk>, keep_bytes: u64) -> [Floor; 5] {
        let lent = self.transfers.oldest_lent().unwrap_or(u64::MAX);
        let storage = shard.node().storage();
        let beyond = storage.compactable_beyond(keep_bytes);
        let bound = storage.compactable_beyond(keep_bytes.saturating_mul(MORE_FOR_FOLLOWERS));
        [
            Floor { index: self.oldest, holder: "checkpoint" },
            Floor { index: lent, holder: "transfer" },
            Floor { index: beyond, holder: "keep-bytes" },
            Floor { index: shard.node().followed_from().max(bound), holder: "follower" },
            Floor { index: self.backed_up(shard), holder: "backup" },
        ]
    }

    /// The last entry that backups need no more: what is shipped, or more where the log would grow beyond all bounds.
    fn backed_up(&self, shard: &Shard<RealDisk>) -> u64 {
        let Some((shipped, keep_bytes)) = self.backup.keeps() else { return u64::MAX };
        let bound = shard.node().storage().compactable_beyond(keep_bytes);
        if bound > shipped {
            tracing::warn!(
                shipped,
                bound,
                "the log is kept no longer for the backup, which is too far behind (backup-log-keep-bytes)"
            );
        }
        shipped.max(bound)
    }
}

fn published(report: &Report, ended_ms: i64) -> Published {
    Published {
        index: report.index,
        keys: report.keys,
        bytes_written: report.bytes_written,
        took_ms: report.elapsed_ms,
        ended_ms,
    }
}

/// The thread's end.
struct Writer {
    store: Arc<Mutex<Box<dyn CheckpointStore>>>,
    shelf: Shelf,
    keyspace: Arc<Keyspace>,
    given_up: Arc<AtomicBool>,
    hurry: Arc<AtomicU64>,
}

impl Writer {
    fn obey(&mut self, order: Order) -> Outcome {
        let store = self.store.clone();
        let store = &mut **store.lock();
        match order {
            Order::Write { capture, point, kept } => Outcome::Written(
                self.try_write(store, *capture, point, kept).or_else(|error| self.clean_up(store, error)),
            ),
            Order::SetAside { index } => Outcome::SetAside(self.set_aside(store, index)),
        }
    }

    fn set_aside(&self, store: &mut dyn CheckpointStore, index: u64) -> Result<Aside, CheckpointError> {
        let was_newest = store.newest().is_some_and(|newest| newest.point.index == index);
        self.shelf.set_aside(index)?;
        if was_newest {
            store.reset()?;
            if let Err(error) = self.keyspace.forget_stored() {
                tracing::error!(%error, "the next checkpoint can't be prepared");
            }
        }
        Ok(Aside { index, was_newest, oldest: store.oldest()?.unwrap_or(0) })
    }

    fn try_write(
        &self,
        store: &mut dyn CheckpointStore,
        capture: Capture,
        point: Point,
        kept: usize,
    ) -> Result<Written, CheckpointError> {
        let term = point.term;
        let mut rest = Rest::new(threads(), env::thread_cpu_ns());
        let report = checkpoint::write(store, capture, point, &mut || self.pause(&mut rest))?;
        store.prune(kept)?;
        let digest = store.newest().map_or(0, Manifest::digest);
        Ok(Written { report, term, oldest: store.oldest()?.unwrap_or(report.index), digest })
    }

    fn pause(&self, rest: &mut Rest) -> Result<(), CheckpointError> {
        if self.given_up.load(Ordering::Acquire) {
            return Err(CheckpointError::GivenUp);
        }
        thread::sleep(rest.due(self.hurry.load(Ordering::Relaxed), env::thread_cpu_ns()));
        Ok(())
    }

    /// The keyspace must not count as stored what was lost with the failed one.
    fn clean_up<T>(
        &self,
        store: &mut dyn CheckpointStore,
        error: CheckpointError,
    ) -> Result<T, CheckpointError> {
        if let Err(other) = store.reset() {
            tracing::error!(error = %other, "what a failed checkpoint left can't be removed");
        }
        if let Err(other) = self.keyspace.forget_stored() {
            tracing::error!(error = %other, "the next checkpoint can't be prepared");
        }
        Err(error)
    }
}
