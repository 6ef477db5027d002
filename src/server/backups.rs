//! Backups by a running node: a thread that ships the log as it is applied, and checkpoints now and then.
//!
//! - Only the primary ships. A new primary looks where the backup ends and goes on there; replicas look how far it is, for
//!   they keep their logs for it as well.
//! - Nobody waits for the thread. It reads the log through the driver's queue, files from a checkpoint that is lent to it, and
//!   has a network runtime of its own.
//! - The log goes on while a checkpoint is stored.
//! - While nothing is written the backup is told up to when that is so, by a primary that has just confirmed its leadership: the
//!   latest restorable time.
//! - At its start, after each checkpoint and now and then the thread looks whether the newest checkpoint in the backup has all its
//!   pieces. What is missing is stored again, and INFO says so until then.
//! - What fails is tried again, after ever longer pauses up to a minute, and looked at anew: where the backup ends, and whether its
//!   history is this log's.
//! - The log is not cut behind what is shipped, up to a bound ([`BackupPlan::log_keep_bytes`]). If it was cut all the same, a
//!   checkpoint closes the gap; what lies in it can't be restored, and that is said.

use std::sync::Arc;
use std::time::Duration;

use super::{ServerError, spawn};
use crate::backup::checkpoint::{Lent, Storing};
use crate::backup::error::{BackupError, Result};
use crate::backup::latest::Latest;
use crate::backup::repository::{Owner, Repository};
use crate::backup::ship::{Reading, Shipper, Source};
use crate::checkpoint::error::CheckpointError;
use crate::checkpoint::shelf::Shelf;
use crate::config::BackupPlan;
use crate::env::Clock;
use crate::shard::log_reads::LogReadError;
use crate::shard::port::ShardHandle;

/// The longest pause after a failure.
const MAX_PAUSE_MS: u64 = 60_000;
/// How often a replica looks how far the backup is.
const LOOK_MS: u64 = 10_000;
/// How often the latest restorable time is told of a database that stays idle.
const LATEST_MS: u64 = 10_000;
/// How often the newest checkpoint's pieces are looked for: a list of all pieces is one request for a thousand of them.
const PIECES_MS: u64 = 600_000;
/// What checkpoints that are stored are lent for.
const BORROWER: &str = "backup";

/// What the thread stands on.
pub struct Parts {
    pub plan: BackupPlan,
    pub owner: Owner,
    pub shelf: Shelf,
    pub handle: Arc<ShardHandle>,
    pub clock: Clock,
}

/// Starts the thread.
pub fn start(parts: Parts) -> Result<(), ServerError> {
    parts.handle.backup.turn_on(parts.plan.log_keep_bytes, parts.clock.monotonic_ms());
    let source = NodeSource { handle: parts.handle.clone(), shelf: parts.shelf.clone() };
    let agent = Agent {
        parts,
        source,
        repository: None,
        shipper: None,
        stored: None,
        is_incomplete: false,
        latest: None,
        next_look_ms: 0,
        next_shipping_ms: 0,
        next_pieces_ms: 0,
    };
    spawn("backups".to_owned(), move || agent.run())
}

/// The newest checkpoint in the backup.
#[derive(Clone, Copy, Debug)]
struct StoredCheckpoint {
    index: u64,
    /// When it was newest, as far as is known; monotonic.
    at_ms: u64,
}

struct Agent {
    parts: Parts,
    source: NodeSource,
    repository: Option<Repository>,
    shipper: Option<Shipper>,
    /// Unknown until it was looked for.
    stored: Option<StoredCheckpoint>,
    /// The newest checkpoint in the backup lacks pieces.
    is_incomplete: bool,
    /// The entry of which the latest restorable time was told last, and when, monotonic.
    latest: Option<(u64, u64)>,
    next_look_ms: u64,
    next_shipping_ms: u64,
    next_pieces_ms: u64,
}

impl Agent {
    /// Ends with the process.
    fn run(mut self) {
        let mut failures = 0;
        loop {
            let pause_ms = (self.parts.plan.interval_ms << failures.min(16)).min(MAX_PAUSE_MS);
            std::thread::sleep(Duration::from_millis(pause_ms.max(self.parts.plan.interval_ms)));
            match self.turn() {
                Ok(()) => failures = 0,
                Err(error) => {
                    failures += 1;
                    self.fail(&error);
                }
            }
        }
    }

    fn fail(&mut self, error: &BackupError) {
        // Whatever was believed of the backup may be wrong.
        (self.shipper, self.stored, self.latest, self.next_pieces_ms) = (None, None, None, 0);
        if matches!(error, BackupError::Handover) {
            return;
        }
        if self.parts.handle.backup.failed(&error.to_string()) {
            tracing::error!(%error, "the backup does not go on; it is tried again and again");
        }
    }

    fn turn(&mut self) -> Result<()> {
        let is_primary = self.parts.handle.is_primary();
        self.parts.handle.backup.set_shipping(is_primary, self.now_ms());
        if !is_primary {
            (self.shipper, self.latest, self.next_pieces_ms) = (None, None, 0);
            if self.now_ms() < self.next_look_ms {
                return Ok(());
            }
        }
        let repository = match self.repository.take() {
            Some(repository) => repository,
            None => self.open()?,
        };
        let done = if is_primary { self.ship_all(&repository) } else { self.look(&repository) };
        self.repository = Some(repository);
        done
    }

    fn open(&self) -> Result<Repository> {
        let BackupPlan { url, key_file, .. } = &self.parts.plan;
        let repository = Repository::open_or_begin(url, key_file.as_deref(), &self.parts.owner)?;
        tracing::info!(url, encrypted = repository.is_encrypted(), "backups go here");
        Ok(repository)
    }

    /// Finds out how far the primary's backup is.
    fn look(&mut self, repository: &Repository) -> Result<()> {
        self.next_look_ms = self.now_ms() + LOOK_MS;
        let index = repository.logs()?.iter().map(|log| log.name.last).max().unwrap_or(0);
        let checkpoint = repository.checkpoint_indexes()?.last().copied().unwrap_or(0);
        self.parts.handle.backup.has(index.max(checkpoint), checkpoint);
        Ok(())
    }

    fn ship_all(&mut self, repository: &Repository) -> Result<()> {
        if self.shipper.is_none() {
            self.resume(repository)?;
        }
        self.ship(repository)?;
        if self.now_ms() >= self.next_pieces_ms {
            self.look_for_pieces(repository)?;
        }
        if self.is_checkpoint_due(repository)? {
            self.store_checkpoint(repository)?;
        }
        Ok(())
    }

    /// Goes on where the backup ends.
    fn resume(&mut self, repository: &Repository) -> Result<()> {
        self.shipper = Shipper::resume(repository, &mut self.source)?;
        if self.shipper.is_some() {
            return Ok(());
        }
        tracing::warn!(
            "the log begins behind the end of the backup: a checkpoint is stored, what is between can't be restored"
        );
        self.store_checkpoint(repository)?;
        self.shipper = Shipper::resume(repository, &mut self.source)?;
        if self.shipper.is_none() {
            self.parts.handle.persistence.ask();
            let first_index = self.source.read(1, 1)?.first_index;
            return Err(BackupError::Gap { next: repository.inventory()?.last_index() + 1, first_index });
        }
        Ok(())
    }

    /// Ships what was applied up to now.
    fn ship(&mut self, repository: &Repository) -> Result<()> {
        if !self.parts.handle.is_primary() {
            return Err(BackupError::Handover);
        }
        let Some(shipper) = &mut self.shipper else { return Ok(()) };
        let as_of_ms = self.parts.clock.monotonic_ms();
        let (_, bytes) = shipper.catch_up(repository, &mut self.source)?;
        let bytes = bytes + shipper.flush(repository)?;
        let status = &self.parts.handle.backup;
        status.wrote(bytes);
        let shipped = shipper.shipped_index();
        status.is_current(shipped, as_of_ms);
        if bytes == 0 {
            self.tell_latest(repository, shipped)?;
        }
        self.next_shipping_ms = self.parts.clock.monotonic_ms() + self.parts.plan.interval_ms;
        Ok(())
    }

    /// Nothing came after this entry since the last shipping: says up to when that is so.
    fn tell_latest(&mut self, repository: &Repository, shipped: u64) -> Result<()> {
        let now_ms = self.now_ms();
        if self.latest.is_some_and(|(index, told_ms)| index == shipped && now_ms < told_ms + LATEST_MS) {
            return Ok(());
        }
        let handle = &self.parts.handle;
        let Some(quiet) = handle.quiet.ask_and_wait().filter(|quiet| quiet.index == shipped) else {
            return Ok(());
        };
        let latest = Latest { index: shipped, term: quiet.term, time_ms: quiet.until_ms };
        handle.backup.wrote(latest.write(repository)?);
        handle.backup.is_complete_until(quiet.until_ms);
        self.latest = Some((shipped, now_ms));
        Ok(())
    }

    fn is_checkpoint_due(&mut self, repository: &Repository) -> Result<bool> {
        let stored = match self.stored {
            Some(stored) => stored,
            None => self.find_stored(repository)?,
        };
        let newest = self.parts.handle.persistence.checkpoints().newest.map_or(0, |newest| newest.index);
        let is_time = self.now_ms() >= stored.at_ms + self.parts.plan.checkpoint_s * 1000;
        Ok(newest > stored.index && (stored.index == 0 || self.is_incomplete || is_time))
    }

    fn find_stored(&mut self, repository: &Repository) -> Result<StoredCheckpoint> {
        let index = repository.checkpoint_indexes()?.last().copied().unwrap_or(0);
        let stored = unless_damaged(repository.checkpoint(index))?;
        let age_ms = stored.map_or(0, |stored| self.parts.clock.unix_ms() - stored.manifest.point.stamp_ms);
        let at_ms = self.now_ms().saturating_sub(u64::try_from(age_ms).unwrap_or(0));
        self.parts.handle.backup.has(index, index);
        Ok(*self.stored.insert(StoredCheckpoint { index, at_ms }))
    }

    /// Looks whether the newest checkpoint in the backup has all its pieces. What lacks any is stored again, or another in its place.
    fn look_for_pieces(&mut self, repository: &Repository) -> Result<()> {
        self.next_pieces_ms = self.now_ms() + PIECES_MS;
        let index = repository.checkpoint_indexes()?.last().copied().unwrap_or(0);
        let there = repository.pieces()?.into_keys().collect();
        let missing = match unless_damaged(repository.checkpoint(index))? {
            Some(checkpoint) => checkpoint.missing(&there),
            // It can't be read, so that it has none to count on.
            None if index > 0 => 1,
            None => 0,
        };
        self.is_incomplete = missing > 0;
        let handle = &self.parts.handle;
        if handle.backup.lacks(missing as u64) {
            tracing::error!(index, missing, "a checkpoint in the backup lacks pieces: it is stored again");
        }
        if !self.is_incomplete {
            return Ok(());
        }
        if let Some(lent) = self.source.checkpoint(index)? {
            return self.store(repository, &lent);
        }
        let newest = handle.persistence.checkpoints().newest.map_or(0, |newest| newest.index);
        if newest <= index {
            handle.persistence.ask();
            // It is there soon.
            self.next_pieces_ms = self.now_ms() + LOOK_MS;
        }
        Ok(())
    }

    /// Stores the newest checkpoint.
    fn store_checkpoint(&mut self, repository: &Repository) -> Result<()> {
        match self.source.newest_checkpoint()? {
            Some(lent) => self.store(repository, &lent),
            None => Ok(()),
        }
    }

    /// Stores a checkpoint; the log is shipped meanwhile.
    fn store(&mut self, repository: &Repository, lent: &Lent) -> Result<()> {
        let (clock, bytes_per_second) = (self.parts.clock.clone(), self.parts.plan.bytes_per_second);
        let mut between =
            |_| if self.now_ms() < self.next_shipping_ms { Ok(()) } else { self.ship(repository) };
        let mut storing = Storing { repository, clock: &clock, bytes_per_second, between: &mut between };
        let stored = storing.store(lent)?;
        let status = &self.parts.handle.backup;
        status.wrote(stored.written_bytes);
        status.has(0, stored.index);
        tracing::info!(
            index = stored.index,
            bytes = stored.bytes,
            written = stored.written_bytes,
            "a checkpoint is backed up"
        );
        self.stored = Some(StoredCheckpoint { index: stored.index, at_ms: self.now_ms() });
        self.next_pieces_ms = 0;
        Ok(())
    }

    fn now_ms(&self) -> u64 {
        self.parts.clock.monotonic_ms()
    }
}

/// What can't be read counts as not there: it is made again.
fn unless_damaged<T>(read: Result<Option<T>>) -> Result<Option<T>> {
    match read {
        Err(error) if error.is_worthless_object() => Ok(None),
        read => read,
    }
}

/// This node's log and checkpoints.
struct NodeSource {
    handle: Arc<ShardHandle>,
    shelf: Shelf,
}

impl NodeSource {
    /// This checkpoint, if the node still has it.
    fn checkpoint(&self, index: u64) -> Result<Option<Lent>> {
        match self.shelf.lend(index, BORROWER) {
            Ok((folder, manifest)) => Ok(Some(Lent { folder, manifest, is_temporary: true })),
            Err(CheckpointError::NoSuch { .. }) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}

impl Source for NodeSource {
    fn read(&mut self, from: u64, max_bytes: u64) -> Result<Reading> {
        let read = |from| self.handle.log_reads.read(from, max_bytes)?.wait();
        let chunk = match read(from) {
            // Where the log begins, and how far it goes, is still to be told.
            Err(LogReadError::Compacted { first_index }) => {
                let chunk = read(first_index)?;
                return Ok(Reading { entries: Vec::new(), first_index, last_index: chunk.applied_index });
            }
            read => read?,
        };
        let (first_index, last_index) = (chunk.first_index, chunk.applied_index);
        Ok(Reading { entries: chunk.entries, first_index, last_index })
    }

    fn newest_checkpoint(&mut self) -> Result<Option<Lent>> {
        let Some(index) = self.shelf.list()?.last().copied() else { return Ok(None) };
        self.checkpoint(index)
    }
}
