//! Checkpoints of a running node: when one begins, the thread that writes them, and the log that is cut behind them.
//!
//! - The driver begins one between two turns. That fixes its moment and takes a few short locks, however much data there is.
//! - The thread writes it, publishes it, and removes what is too old. If that fails nothing is lost, for the log has
//!   everything; the next one then brings the whole keyspace.
//! - The log is cut behind the oldest checkpoint that is kept, so that each of them can still be started from.
//!
//! Caveat: the log of a group is not cut yet, for a follower that lags behind it could not be helped.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use perdura_wal::RealDisk;

use super::{ServerError, spawn};
use crate::checkpoint::error::CheckpointError;
use crate::checkpoint::manifest::Point;
use crate::checkpoint::{CheckpointStore, Report};
use crate::config::CheckpointPolicy;
use crate::keyspace::Keyspace;
use crate::keyspace::capture::Capture;
use crate::persistence::{Persistence, Published, Running};
use crate::raft::identity::Identity;
use crate::shard::turn::{Now, Shard};

/// How long after a failure the next is begun, unless somebody asks.
const RETRY_MS: u64 = 60_000;

/// A checkpoint to be written.
struct Order {
    capture: Capture,
    point: Point,
}

/// What became of one.
struct Outcome {
    /// What was written, and the oldest checkpoint that there is now.
    written: Result<(Report, u64), CheckpointError>,
}

/// The driver's end.
pub struct Checkpoints {
    policy: CheckpointPolicy,
    identity: Identity,
    orders: SyncSender<Order>,
    outcomes: Receiver<Outcome>,
    is_running: bool,
    last: Last,
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
    /// Starts the thread. `store` holds what the keyspace was filled from.
    pub fn start(
        store: Box<dyn CheckpointStore>,
        keyspace: Arc<Keyspace>,
        policy: CheckpointPolicy,
        identity: Identity,
        now_ms: u64,
    ) -> Result<Checkpoints, ServerError> {
        let index = store.newest().map_or(0, |manifest| manifest.point.index);
        let (orders, ordered) = sync_channel(1);
        let (outcome, outcomes) = sync_channel(1);
        let mut writer = Writer { store, keyspace, kept: policy.kept };
        spawn("checkpoints".to_owned(), move || {
            for order in ordered {
                if outcome.send(writer.write(order)).is_err() {
                    return;
                }
            }
        })?;
        let last = Last { index, monotonic_ms: now_ms, ..Last::default() };
        Ok(Checkpoints { policy, identity, orders, outcomes, is_running: false, last })
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
        if self.is_running {
            return match self.outcomes.try_recv() {
                Ok(outcome) => self.end(outcome, shard, persistence, now),
                Err(_) => Ok(()),
            };
        }
        let (index, bytes) = (shard.machine().applied, shard.machine().applied_bytes);
        let is_wanted = persistence.is_wanted();
        if is_wanted && index == self.last.index {
            persistence.is_new_enough();
        } else if is_wanted || index > self.last.index && self.is_due(bytes, now) {
            self.begin(shard, persistence, now);
        }
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
            cluster_id: self.identity.cluster_id.0,
            index,
            term,
            stamp_ms: shard.machine().applier.last_stamp_ms(),
            members: self.identity.members.clone(),
        };
        self.last = Last {
            index,
            applied_bytes: shard.machine().applied_bytes,
            monotonic_ms: now.monotonic_ms,
            not_before_ms: 0,
        };
        persistence.begins(Running { index, began_ms: now.unix_ms });
        self.is_running = true;
        // The thread takes one order at a time, and gets none while it has one: there is room, unless it is gone, and then
        // the outcome never comes.
        let _ = self.orders.try_send(Order { capture, point });
    }

    fn end(
        &mut self,
        outcome: Outcome,
        shard: &mut Shard<RealDisk>,
        persistence: &Persistence,
        now: Now,
    ) -> Result<(), ServerError> {
        self.is_running = false;
        let (report, oldest) = match outcome.written {
            Ok(written) => written,
            Err(error) => {
                tracing::error!(%error, "a checkpoint failed; the log has everything");
                persistence.failed(error.to_string());
                self.last.not_before_ms = now.monotonic_ms + RETRY_MS;
                return Ok(());
            }
        };
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
        match self.identity.members.len() {
            1 => Ok(shard.compact_log(oldest)?),
            _ => Ok(()),
        }
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
    store: Box<dyn CheckpointStore>,
    keyspace: Arc<Keyspace>,
    kept: usize,
}

impl Writer {
    fn write(&mut self, order: Order) -> Outcome {
        let written = self.try_write(order).or_else(|error| self.give_up(error));
        Outcome { written }
    }

    fn try_write(&mut self, Order { capture, point }: Order) -> Result<(Report, u64), CheckpointError> {
        let report = crate::checkpoint::write(&mut *self.store, capture, point)?;
        self.store.prune(self.kept)?;
        Ok((report, self.store.oldest()?.unwrap_or(report.index)))
    }

    /// The keyspace must not count as stored what was lost with the failed one.
    fn give_up<T>(&mut self, error: CheckpointError) -> Result<T, CheckpointError> {
        if let Err(other) = self.store.reset() {
            tracing::error!(error = %other, "what a failed checkpoint left can't be removed");
        }
        if let Err(other) = self.keyspace.forget_stored() {
            tracing::error!(error = %other, "the next checkpoint can't be prepared");
        }
        Err(error)
    }
}
