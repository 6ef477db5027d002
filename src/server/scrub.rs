//! Scrubbing: full segments of the log and published checkpoints are read again, slowly, to find what the disk has damaged while
//! nobody looked; and what a running node does about it.
//!
//! - A thread reads, at a bounded pace, past the page cache where it can. One pass right after the start reads what the start did
//!   not prove (checkpoints that it did not start from); then one pass after the other reads everything.
//! - Memory is ahead of everything that is on the disk, and whole. So a damaged checkpoint is set aside, and if it was the newest,
//!   another is written from memory at once: nothing of the damaged one's files is used for it. A damaged segment is cut off the log,
//!   as soon as a checkpoint lies behind its last entry. Neither needs another node.
//! - The thread only tells. What it told of counts if it is still there when the driver hears of it: a segment that was recycled
//!   or a checkpoint that was removed meanwhile did not look as it should, and nobody needs it.
//!
//! Caveats: the segment in use is not read, and one segment is in memory while it is checked.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Duration;

use perdura_wal::{ReadOnlyDisk, RealDisk, WalError, verify_sealed};

use super::checkpoints::Checkpoints;
use super::{ServerError, spawn};
use crate::admin::shared::Shared;
use crate::checkpoint::error::CheckpointError;
use crate::checkpoint::shelf::{Proven, Shelf};
use crate::checkpoint::throttle::Throttle;
use crate::config::ScrubPolicy;
use crate::data_folder::{self, LOG_FOLDER};
use crate::env::Now;
use crate::persistence::Persistence;
use crate::shard::log_reads::LogReadError;
use crate::shard::turn::Shard;

/// Findings that may wait for the driver.
const MAX_FINDINGS: usize = 64;
/// After a pass that found something the next begins soon: damage seldom comes alone, and files are shared.
const AFTER_DAMAGE: Duration = Duration::from_secs(10);
/// How long after something failed it is tried again.
const TRY_AGAIN_MS: u64 = 60_000;

enum Finding {
    Segment { file: String, error: WalError },
    Checkpoint { index: u64, error: CheckpointError },
}

/// A damaged segment that is still part of the log.
struct Broken {
    file: String,
    last_index: u64,
}

/// The driver's end.
pub struct Scrubber {
    findings: Receiver<Finding>,
    shared: Arc<Shared>,
    shelf: Shelf,
    segments: Vec<Broken>,
    /// Damaged checkpoints that are still on the shelf.
    checkpoints: VecDeque<u64>,
    /// One is being set aside, or another written in its place.
    is_replacing: bool,
    /// Neither is tried again before these monotonic times.
    ask_at_ms: u64,
    set_aside_at_ms: u64,
}

impl Scrubber {
    /// Starts the thread, unless it is configured to do nothing. The start has proven the checkpoint `proven`, and every
    /// segment.
    pub fn start(shelf: Shelf, shared: &Arc<Shared>, proven: u64) -> Result<Scrubber, ServerError> {
        let (sender, findings) = sync_channel(MAX_FINDINGS);
        let config = shared.config.started_with();
        if config.scrub.bytes_per_second > 0 {
            let reader = Reader {
                shelf: shelf.clone(),
                log: config.dir.join(LOG_FOLDER),
                policy: config.scrub,
                throttle: Throttle::new(config.scrub.bytes_per_second, shared.clock.monotonic_ns()),
                shared: shared.clone(),
                findings: sender,
            };
            spawn("scrub".to_owned(), move || {
                // It ends when the driver does.
                let _ = reader.run(proven);
            })?;
        }
        Ok(Scrubber {
            findings,
            shared: shared.clone(),
            shelf,
            segments: Vec::new(),
            checkpoints: VecDeque::new(),
            is_replacing: false,
            ask_at_ms: 0,
            set_aside_at_ms: 0,
        })
    }

    /// Takes in what was found, and makes up for it.
    ///
    /// # Errors
    /// The log could not be cut: the node has to end.
    pub fn turn(
        &mut self,
        shard: &mut Shard<RealDisk>,
        checkpoints: &mut Checkpoints,
        persistence: &Persistence,
        now: Now,
    ) -> Result<(), ServerError> {
        while let Ok(finding) = self.findings.try_recv() {
            match finding {
                Finding::Segment { file, error } => self.note_segment(shard, file, &error),
                Finding::Checkpoint { index, error } => self.note_checkpoint(index, &error),
            }
        }
        if self.unhealed() == 0 {
            return Ok(());
        }
        self.set_checkpoints_aside(checkpoints, now);
        self.cut_segments_off(shard, checkpoints, persistence, now)?;
        self.shared.metrics.integrity.damage_unhealed.set(self.unhealed());
        Ok(())
    }

    fn unhealed(&self) -> u64 {
        (self.segments.len() + self.checkpoints.len() + usize::from(self.is_replacing)) as u64
    }

    fn count(&self, found: String) {
        let integrity = &self.shared.metrics.integrity;
        integrity.damage_unhealed.set(self.unhealed());
        integrity.found(found);
    }

    fn note_segment(&mut self, shard: &Shard<RealDisk>, file: String, error: &WalError) {
        let Some(last_index) = last_index_in(shard, &file) else { return };
        if self.segments.iter().any(|broken| broken.file == file) {
            return;
        }
        tracing::error!(
            %error, last_index,
            "DAMAGE in a full segment: memory has all that is in it; the log will be cut behind it, whatever else would keep it: \
             a replica that lags behind that is sent a checkpoint, and a backup that has not copied it yet has a gap"
        );
        self.segments.push(Broken { file, last_index });
        self.count(error.to_string());
    }

    fn note_checkpoint(&mut self, index: u64, error: &CheckpointError) {
        if self.checkpoints.contains(&index) || !self.shelf.path(index).exists() {
            return;
        }
        tracing::error!(index, %error, "DAMAGE in a checkpoint: memory has all that is in it; it is set aside");
        self.checkpoints.push_back(index);
        self.count(error.to_string());
    }

    fn set_checkpoints_aside(&mut self, checkpoints: &mut Checkpoints, now: Now) {
        let before = self.checkpoints.len();
        self.checkpoints.retain(|index| self.shelf.path(*index).exists());
        if self.checkpoints.len() < before {
            self.set_aside_at_ms = 0;
            let set_aside = data_folder::set_aside(&self.shared.config.started_with().dir);
            self.shared.metrics.integrity.set_aside.set(set_aside.len() as u64);
        }
        self.is_replacing &= !(checkpoints.is_idle() && checkpoints.newest() > 0);
        // While one is being written, the next turn tries again.
        if let Some(index) = self.checkpoints.front()
            && now.monotonic_ms >= self.set_aside_at_ms
            && checkpoints.set_aside(*index)
        {
            self.set_aside_at_ms = now.monotonic_ms + TRY_AGAIN_MS;
            self.is_replacing = true;
        }
    }

    fn cut_segments_off(
        &mut self,
        shard: &mut Shard<RealDisk>,
        checkpoints: &Checkpoints,
        persistence: &Persistence,
        now: Now,
    ) -> Result<(), ServerError> {
        let is_there = |broken: &Broken| last_index_in(shard, &broken.file).is_some();
        self.segments.retain(is_there);
        let Some(last_index) = self.segments.iter().map(|broken| broken.last_index).max() else {
            return Ok(());
        };
        if checkpoints.newest() >= last_index {
            shard.compact_log(last_index)?;
            self.segments.retain(|broken| {
                let is_cut_off = last_index_in(shard, &broken.file).is_none();
                if is_cut_off {
                    tracing::warn!(file = broken.file, last_index, "the log is cut behind a damaged segment");
                }
                !is_cut_off
            });
        } else if shard.machine().applied >= last_index && now.monotonic_ms >= self.ask_at_ms {
            self.ask_at_ms = now.monotonic_ms + TRY_AGAIN_MS;
            persistence.ask();
        }
        Ok(())
    }
}

/// The last entry of a full segment, or before it where it has none; `None` if the log has no such full segment any more.
fn last_index_in(shard: &Shard<RealDisk>, file: &str) -> Option<u64> {
    let wal = shard.node().storage().wal();
    let mut segments: Vec<_> = wal.segments().collect();
    // The one in use.
    segments.pop();
    let segment = segments.iter().find(|segment| segment.file == file)?;
    Some(segment.entries.map_or(wal.base().index, |(_, last)| last))
}

/// The thread's end.
struct Reader {
    shelf: Shelf,
    log: PathBuf,
    policy: ScrubPolicy,
    throttle: Throttle,
    shared: Arc<Shared>,
    findings: SyncSender<Finding>,
}

/// The driver is gone.
struct Gone;

impl Reader {
    fn run(mut self, proven: u64) -> Result<(), Gone> {
        let interval = Duration::from_secs(self.policy.interval_s);
        let mut began_ms = self.shared.clock.monotonic_ms();
        let mut found = self.read_checkpoints(Some(proven))?;
        loop {
            let pause = if found > 0 { AFTER_DAMAGE.min(interval) } else { interval };
            let taken = Duration::from_millis(self.shared.clock.monotonic_ms() - began_ms);
            std::thread::sleep(pause.saturating_sub(taken));
            began_ms = self.shared.clock.monotonic_ms();
            found = self.read_checkpoints(None)? + self.read_segments()?;
            self.shared.metrics.integrity.scrub_passes.inc();
        }
    }

    /// Reads all checkpoints but one. Returns how many are damaged.
    fn read_checkpoints(&mut self, except: Option<u64>) -> Result<usize, Gone> {
        let (mut proven, mut damaged) = (Proven::default(), 0);
        let indexes = self.shelf.list().unwrap_or_default();
        for index in indexes.into_iter().filter(|index| Some(*index) != except) {
            let shelf = self.shelf.clone();
            match shelf.scrub(index, &mut proven, |bytes| self.pace(bytes)) {
                Ok(_) => {}
                Err(error) if error.is_damage() => {
                    damaged += 1;
                    self.tell(Finding::Checkpoint { index, error })?;
                }
                Err(error) => tracing::warn!(index, %error, "a checkpoint can't be checked"),
            }
        }
        Ok(damaged)
    }

    fn read_segments(&mut self) -> Result<usize, Gone> {
        let state = match self.shared.shard.log_reads.look_and_wait() {
            Ok(state) => state,
            Err(LogReadError::Ended) => return Err(Gone),
            Err(_) => return Ok(0),
        };
        let Ok(disk) = ReadOnlyDisk::open(&self.log) else { return Ok(0) };
        let full = state.segments.len().saturating_sub(1);
        let mut damaged = 0;
        for segment in &state.segments[..full] {
            match verify_sealed(&disk, state.log_id, segment, &mut |bytes| self.pace(bytes)) {
                Ok(_) => {}
                Err(error) if error.is_damage() => {
                    damaged += 1;
                    self.tell(Finding::Segment { file: segment.file.clone(), error })?;
                }
                Err(error) => tracing::debug!(file = segment.file, %error, "a segment can't be checked"),
            }
        }
        Ok(damaged)
    }

    fn pace(&mut self, bytes: u64) {
        self.shared.metrics.integrity.scrub_bytes.inc_by(bytes);
        std::thread::sleep(self.throttle.wrote(bytes, self.shared.clock.monotonic_ns()));
    }

    fn tell(&self, finding: Finding) -> Result<(), Gone> {
        let told = self.findings.send(finding).map_err(|_| Gone);
        self.shared.shard.driver_wake.notify_one();
        told
    }
}
