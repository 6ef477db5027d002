//! When checkpoints of a running node begin, and what follows once one is published: the log is compacted.
//!
//! - The driver begins a checkpoint between two turns. That fixes its moment and takes a few short locks, however much data there is;
//!   `checkpoint_writer.rs` has the thread that writes it.
//! - A checkpoint that fails is tried again after a while: the log has everything.
//! - After a checkpoint the log is compacted as far as `compaction.rs` allows.
//! - A checkpoint that came from another node replaces all data; a checkpoint that is being written then is given up.

use std::sync::Arc;

use perdura_wal::{Disk, Position};

use super::ServerError;
use super::checkpoint_writer::{Aside, CheckpointWriter, Outcome, WriterThread, Written};
use super::compaction::{self, Keepers};
use crate::checkpoint::Report;
use crate::checkpoint::error::CheckpointError;
use crate::checkpoint::manifest::Point;
use crate::config::CheckpointPolicy;
use crate::env::Now;
use crate::keyspace::capture::Capture;
use crate::persistence::{Persistence, Published, Running};
use crate::planted::{Bug, planted};
use crate::raft::cluster::ClusterId;
use crate::raft::identity::Identity;
use crate::shard::log_cuts::{CutRequest, LogCuts};
use crate::shard::marks::{Fate, Marked, Marks};
use crate::shard::port::ShardHandle;
use crate::shard::turn::Shard;

/// How long after a failure the next checkpoint begins, unless an operator asks for one.
const RETRY_MS: u64 = 60_000;

/// A checkpoint is not urgent before the log has grown by this while it is written.
const UNHURRIED_BYTES: u64 = 128 << 20;

/// The driver's view of a node's checkpoints.
pub struct Checkpoints<W = WriterThread> {
    policy: CheckpointPolicy,
    identity: Identity,
    cluster: ClusterId,
    writer: W,
    keepers: Keepers,
    last: Last,
    /// Index of the oldest checkpoint, and of the newest that the node can start from, as far as it knows; 0 is none.
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

impl<W: CheckpointWriter> Checkpoints<W> {
    /// The writer's store holds what the keyspace was filled from.
    ///
    /// # Errors
    /// The store can't be read.
    pub fn new(
        mut writer: W,
        handle: &ShardHandle,
        policy: CheckpointPolicy,
        identity: Identity,
        now_ms: u64,
    ) -> Result<Checkpoints<W>, CheckpointError> {
        let (index, oldest) = {
            let store = writer.store();
            (store.newest().map_or(0, |manifest| manifest.point.index), store.oldest()?.unwrap_or(0))
        };
        let keep_bytes = if identity.members.len() == 1 { 0 } else { policy.log_keep_bytes };
        Ok(Checkpoints {
            policy,
            identity,
            cluster: ClusterId::NONE,
            writer,
            keepers: Keepers::new(handle.transfers.clone(), handle.backup.clone(), keep_bytes),
            last: Last { index, monotonic_ms: now_ms, ..Last::default() },
            oldest,
            newest: index,
            marks: handle.marks.clone(),
            is_frugal: false,
        })
    }

    /// Begins a checkpoint if one is due, and takes in one that is done.
    ///
    /// # Errors
    /// The log could not be cut: the node has to end.
    pub fn turn<D: Disk>(
        &mut self,
        shard: &mut Shard<D>,
        persistence: &Persistence,
        now: Now,
    ) -> Result<(), ServerError> {
        let (index, bytes) = (shard.machine().applied, shard.machine().applied_bytes);
        self.cluster = shard.node().cluster().id;
        if !self.writer.is_idle() {
            self.writer.set_urgency((bytes - self.last.applied_bytes) / UNHURRIED_BYTES);
            return match self.writer.poll() {
                Some(Outcome::Written(written)) => self.end(written, shard, persistence, now),
                Some(Outcome::SetAside(aside)) => {
                    self.end_setting_aside(aside, persistence);
                    Ok(())
                }
                None => planted!(Bug::CompactUnpublished, Ok(shard.compact_log(self.last.index)?), Ok(())),
            };
        }
        // A long command is on its way: soon the log has one that is none of its parts.
        if !self.writer.may_begin() || !shard.is_capturable() {
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
        self.writer.may_begin()
    }

    /// The next checkpoint is the only one that stays, so that the log before it can go.
    pub fn be_frugal(&mut self) {
        self.is_frugal = true;
    }

    /// Whether a checkpoint could begin now and has entries to make needless in the log.
    pub fn would_free_log<D: Disk>(&self, shard: &Shard<D>) -> bool {
        self.may_begin() && shard.is_capturable() && shard.machine().applied > self.last.index
    }

    /// Writes what was captured at a mark, which only was since [`Checkpoints::may_begin`].
    pub fn begin_marked(&mut self, marked: Marked, persistence: &Persistence, now: Now) {
        let Marked { index, term, stamp_ms, applied_bytes, capture } = marked;
        let (cluster_id, members) = (self.identity.older_key.0, self.identity.members.clone());
        let point = Point { cluster_id, cluster: self.cluster.0, index, term, stamp_ms, members };
        persistence.begins_at_mark(Running { index, began_ms: now.unix_ms });
        self.write(capture, point, applied_bytes, now);
    }

    /// Cuts the log as somebody asked for, and answers.
    ///
    /// # Errors
    /// The log could not be cut: the node has to end.
    pub fn cut_by_hand<D: Disk>(
        &self,
        shard: &mut Shard<D>,
        cuts: &LogCuts,
        now: Now,
    ) -> Result<(), ServerError> {
        while let Some(CutRequest { order, answer }) = cuts.take() {
            let floors = self.keepers.floors(shard, self.oldest, order.keep_bytes);
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
        self.writer.stop()
    }

    /// Lets checkpoints begin again.
    pub fn resume(&mut self) {
        self.writer.resume();
    }

    /// Puts the content of a published checkpoint in place of all data, and of the store. Call it after
    /// [`Checkpoints::give_up`].
    ///
    /// # Errors
    /// It can't be loaded: the node has to end.
    pub fn adopt<D: Disk>(
        &mut self,
        shard: &mut Shard<D>,
        persistence: &Persistence,
        index: u64,
        now: Now,
    ) -> Result<(), ServerError> {
        tracing::info!(index, "loading a checkpoint of another node in place of all data");
        let mut store = self.writer.store();
        let manifest = store.adopt(index)?.clone();
        let Point { stamp_ms, term, .. } = manifest.point;
        self.newest = index;
        // The checkpoint does not know when keys were used.
        let access = shard.access_rule().used(0, now.unix_ms, || 0);
        let loaded = shard.replace_data(manifest.basis(), stamp_ms, |restoring| {
            store.load(&|db, entry| {
                entry.set_access(access);
                restoring.put(db, entry);
            })
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

    fn begin<D: Disk>(&mut self, shard: &mut Shard<D>, persistence: &Persistence, now: Now) {
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
        self.write(capture, point, shard.machine().applied_bytes, now);
    }

    /// Sets a damaged checkpoint aside. Where it was the newest, the store has its files, too: it is begun anew, and a whole
    /// checkpoint is written from memory at once. False if that can't be begun now.
    pub fn set_aside(&mut self, index: u64) -> bool {
        let is_idle = self.writer.is_idle();
        if is_idle {
            self.writer.set_aside(index);
        }
        is_idle
    }

    fn end_setting_aside(&mut self, aside: Result<Aside, CheckpointError>, persistence: &Persistence) {
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
        self.writer.is_idle()
    }

    /// The newest checkpoint that can be started from, as far as is known; 0 is none.
    pub fn newest(&self) -> u64 {
        self.newest
    }

    fn write(&mut self, capture: Capture, point: Point, applied_bytes: u64, now: Now) {
        let index = point.index;
        self.last = Last { index, applied_bytes, monotonic_ms: now.monotonic_ms, not_before_ms: 0 };
        let kept = if std::mem::take(&mut self.is_frugal) { 1 } else { self.policy.kept };
        self.writer.write(capture, point, kept);
    }

    fn end<D: Disk>(
        &mut self,
        written: Result<Written, CheckpointError>,
        shard: &mut Shard<D>,
        persistence: &Persistence,
        now: Now,
    ) -> Result<(), ServerError> {
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
        let floors = self.keepers.floors(shard, self.oldest, None);
        let lowest = floors.iter().map(|floor| floor.index).min();
        Ok(shard.compact_log(lowest.unwrap_or(0))?)
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
