//! Backups by a running node: a thread for each place that ships the log as it is applied, and checkpoints now and then.
//!
//! - Only the primary ships. A new primary looks where the backup ends and goes on there; replicas look how far it is, for
//!   they keep their logs for it as well. A replica that sees nothing come, for the primary may not know of the place, says so.
//! - No client waits for a thread, and no place for another. A thread reads the log through the driver's queue, files from a checkpoint
//!   that is lent to it, and has a network runtime of its own.
//! - The log goes on while a checkpoint is stored, and while old objects are removed.
//! - Before each shipping the backup's header is read, and once more after it: what a place holds counts only while it is the repository
//!   that was opened. An empty folder, whose disk is not mounted, stays empty.
//! - The first primary begins a repository, once. A node that has shipped to a place never begins another one there
//!   ([`Places`]); an operator does (`perdura backup init`).
//! - While nothing is written the backup is told up to when that is so, by a primary that has just confirmed its leadership: the
//!   latest restorable time.
//! - At its start, after each checkpoint and now and then the thread looks for gaps, and whether the newest checkpoint in the backup has
//!   all its pieces. What is missing and still here is shipped and stored again, and INFO says so until then.
//! - What fails is tried again, after ever longer pauses up to a minute, and looked at afresh: where the backup ends, and whether its
//!   history is this log's.
//! - The log is not cut behind what is shipped, up to a bound ([`BackupPlan::log_keep_bytes`]). If it was cut all the same, a
//!   checkpoint closes the gap; what lies in it can't be restored, and that is said.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::{ServerError, spawn};
use crate::backup::checkpoint::{Lent, Storing};
use crate::backup::error::{BackupError, Result};
use crate::backup::inventory::Inventory;
use crate::backup::latest::Latest;
use crate::backup::places::Places;
use crate::backup::probe::probe;
use crate::backup::prune;
use crate::backup::repository::{Owner, Repository};
use crate::backup::ship::{Reading, Shipper, Source, fill_gaps, unless_damaged};
use crate::checkpoint::error::CheckpointError;
use crate::checkpoint::shelf::Shelf;
use crate::config::BackupPlan;
use crate::env::Clock;
use crate::persistence::backups::PlaceStatus;
use crate::shard::log_reads::LogReadError;
use crate::shard::port::ShardHandle;

/// The longest pause after a failure.
const MAX_PAUSE_MS: u64 = 60_000;
/// How often a replica looks how far the backup is.
const LOOK_MS: u64 = 10_000;
/// A backup into which the primary ships nothing for so long is told of by replicas.
const TOLERATED_LAG_S: u64 = 60;
/// How often the latest restorable time is told of a database that stays idle: as soon as a full ten seconds of the calendar are over, so
/// that a round time can be named at once.
const LATEST_MS: i64 = 10_000;
/// How often gaps and the newest checkpoint's pieces are looked for: a list of all pieces is one request for a thousand of them.
const PIECES_MS: u64 = 600_000;
/// How often old objects are looked for, beside once after each checkpoint.
const RETAIN_MS: u64 = 3_600_000;
/// How often a checkpoint is asked for that does not come: the disk may be full.
const ASK_MS: u64 = 10_000;

/// What the threads stand on.
#[derive(Clone)]
pub struct Parts {
    pub plan: BackupPlan,
    /// What older builds took for the owner.
    pub older_owner: Owner,
    pub shelf: Shelf,
    pub handle: Arc<ShardHandle>,
    pub clock: Clock,
}

/// Starts a thread for each place. `dir` is the data folder.
pub fn start(parts: Parts, dir: &Path) -> Result<(), ServerError> {
    let places = Places::open(dir).unwrap_or_else(|error| {
        tracing::error!(%error, "the node does not know any more to which backups it has shipped: see that each is where it should be");
        Places::none(dir)
    });
    let places = Arc::new(places);
    for (number, url) in parts.plan.urls.iter().enumerate() {
        let agent = Agent::new(parts.clone(), url.clone(), number, places.clone());
        spawn(format!("backups-{number}"), move || agent.run())?;
    }
    Ok(())
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
    url: String,
    places: Arc<Places>,
    status: Arc<PlaceStatus>,
    source: NodeSource,
    repository: Option<Repository>,
    /// The repository that this process has proven that it can be written to.
    proven: Option<u64>,
    shipper: Option<Shipper>,
    /// Unknown until it was looked for.
    stored: Option<StoredCheckpoint>,
    /// The newest checkpoint in the backup lacks pieces.
    is_incomplete: bool,
    /// Entries that were missing in the backup at the last look.
    known_gap: u64,
    /// The place was read, and has this log's history: what it lacks is known.
    is_read: bool,
    /// This node has said that the primary ships nothing.
    has_told_of_primary: bool,
    /// The entry of which the latest restorable time was told last, and that time; unix ms.
    latest: Option<(u64, i64)>,
    next_look_ms: u64,
    next_shipping_ms: u64,
    next_pieces_ms: u64,
    next_retention_ms: u64,
    next_ask_ms: u64,
}

impl Agent {
    fn new(parts: Parts, url: String, number: usize, places: Arc<Places>) -> Agent {
        let (log_keep_bytes, now_ms) = (parts.plan.log_keep_bytes, parts.clock.monotonic_ms());
        // Each place has files of checkpoints lent under a name of its own.
        let borrower = format!("backup-{number}");
        Agent {
            status: parts.handle.backup.add(&url, log_keep_bytes, now_ms),
            source: NodeSource { handle: parts.handle.clone(), shelf: parts.shelf.clone(), borrower },
            parts,
            url,
            places,
            repository: None,
            proven: None,
            shipper: None,
            stored: None,
            is_incomplete: false,
            known_gap: 0,
            is_read: false,
            has_told_of_primary: false,
            latest: None,
            next_look_ms: 0,
            next_shipping_ms: 0,
            next_pieces_ms: 0,
            next_retention_ms: 0,
            next_ask_ms: 0,
        }
    }

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
        if self.status.failed(&error.to_string()) {
            tracing::error!(%error, url = self.url, "the backup does not go on; it is tried again and again");
        }
        self.tell_lost();
    }

    /// What the log has cut off before it was shipped is lost for this place, whenever that comes back. Nothing is known of a place that could
    /// not be read yet: it may have everything.
    fn tell_lost(&self) {
        let state = self.status.state();
        if !state.is_shipping || !self.is_read {
            return;
        }
        let Ok(Reading { first_index, .. }) = NodeSource::read_log(&self.parts.handle, 1, 1) else { return };
        self.tell_gap(self.known_gap + first_index.saturating_sub(state.shipped_index + 1));
    }

    fn tell_gap(&self, entries: u64) {
        if self.status.has_gap(entries) {
            tracing::error!(
                entries,
                url = self.url,
                "the backup has a gap: entries are in neither the backup nor the log, and no time in them can be restored"
            );
        }
    }

    fn turn(&mut self) -> Result<()> {
        let is_primary = self.parts.handle.is_primary();
        self.status.set_shipping(is_primary, self.now_ms());
        if !is_primary {
            (self.shipper, self.latest, self.next_pieces_ms) = (None, None, 0);
            if self.now_ms() < self.next_look_ms {
                return Ok(());
            }
            self.next_look_ms = self.now_ms() + LOOK_MS;
        }
        if self.parts.handle.cluster().is_none() {
            // Nothing was written yet: the first entry brings the cluster's id.
            return Ok(());
        }
        let repository = match self.repository.take() {
            Some(repository) => repository,
            None => match self.open(is_primary)? {
                Some(repository) => repository,
                None => return self.note_held(0),
            },
        };
        if is_primary {
            self.ship_all(&repository)?;
        } else {
            self.look(&repository)?;
        }
        // After a failure it is opened afresh.
        self.repository = Some(repository);
        Ok(())
    }

    /// Opens the repository. `None` where there is none, and a primary is to begin it.
    fn open(&mut self, is_primary: bool) -> Result<Option<Repository>> {
        let (url, key_file) = (&self.url, self.parts.plan.key_file.as_deref());
        let known = self.places.repository_id(url);
        let (owner, older) = (self.owner(), &self.parts.older_owner);
        let repository = match Repository::open_for_either(url, key_file, &owner, older) {
            Err(BackupError::NoRepository { url }) => match known {
                Some(repository_id) => return Err(BackupError::Gone { url, repository_id }),
                None if !is_primary => return Ok(None),
                None => self.begin()?,
            },
            opened => opened?,
        };
        let id = repository.id();
        if known.is_some_and(|known| known != id) {
            tracing::warn!(
                url,
                "another backup of this cluster is where this node has shipped to before: what that one lacks is shipped"
            );
        }
        if let Err(error) = self.places.remember(url, id) {
            tracing::warn!(%error, "the node can't remember where it backs up to");
        }
        if self.proven != Some(id) {
            let probed = probe(repository.store(), &self.parts.clock)?;
            tracing::info!(url, encrypted = repository.is_encrypted(), ?probed, "backups go here");
            self.proven = Some(id);
        }
        Ok(Some(repository))
    }

    /// Begins a repository, where none was begun before as far as can be known: others of a group may have, unless this log has
    /// everything that they could have shipped.
    fn begin(&self) -> Result<Repository> {
        let is_alone = self.parts.older_owner.log_id.is_some();
        if !is_alone && NodeSource::read_log(&self.parts.handle, 1, 1)?.first_index > 1 {
            return Err(BackupError::NotBegun { url: self.url.clone() });
        }
        tracing::info!(url = self.url, "a new backup is begun");
        Repository::begin(&self.url, self.parts.plan.key_file.as_deref(), &self.owner())
    }

    fn owner(&self) -> Owner {
        Owner::cluster(self.parts.handle.cluster())
    }

    /// Finds out how far the primary's backup is.
    fn look(&mut self, repository: &Repository) -> Result<()> {
        repository.check_is_there()?;
        let held = Inventory::of_names(repository)?;
        let first_index = self.source.read(1, 1)?.first_index;
        self.status.has_until(held.whole_until(first_index));
        self.status.has_checkpoint(held.checkpoints.last().map_or(0, |newest| newest.index));
        self.status.is_reachable();
        self.note_held(held.last_index())
    }

    /// On a replica: the backup ends with this entry. Where the primary ships nothing for long, this node says so: the primary itself may
    /// not know of the place.
    fn note_held(&mut self, held: u64) -> Result<()> {
        let applied = self.source.read(1, 1)?.last_index;
        self.status.was_looked_at(held, applied, self.now_ms());
        let lag_s = self.status.state().lag_s(self.now_ms());
        let is_late = lag_s > TOLERATED_LAG_S;
        if is_late && !self.has_told_of_primary {
            let primary = self.parts.handle.status.lock().leader_id;
            tracing::warn!(
                url = self.url,
                primary,
                held,
                applied,
                "the primary has shipped nothing to this backup for {lag_s} s: give it the same --backup-to as this node, or hand over to this \
                 node (perdura handover)"
            );
        }
        self.has_told_of_primary = is_late;
        Ok(())
    }

    fn ship_all(&mut self, repository: &Repository) -> Result<()> {
        if self.shipper.is_none() {
            self.resume(repository)?;
        }
        self.ship(repository)?;
        if self.now_ms() >= self.next_pieces_ms {
            self.next_pieces_ms = self.now_ms() + PIECES_MS;
            self.look_for_gaps(repository)?;
            self.look_for_pieces(repository)?;
        }
        if self.is_checkpoint_due(repository)? {
            self.store_checkpoint(repository)?;
        }
        self.retain(repository)
    }

    /// Goes on where the backup ends, after what is missing before that was shipped.
    fn resume(&mut self, repository: &Repository) -> Result<()> {
        repository.check_is_there()?;
        let held = Inventory::of_names(repository)?;
        let first_index = self.source.read(1, 1)?.first_index;
        self.status.has_until(held.whole_until(first_index));
        // It may have another history.
        self.is_read = false;
        self.shipper = Shipper::resume(repository, &mut self.source)?;
        self.is_read = true;
        if self.shipper.is_none() {
            tracing::warn!(
                "the log begins behind the end of the backup: a checkpoint is stored, what is between can't be restored"
            );
            self.store_checkpoint(repository)?;
            self.shipper = Shipper::resume(repository, &mut self.source)?;
        }
        if self.shipper.is_none() {
            self.ask_for_checkpoint();
            let first_index = self.source.read(1, 1)?.first_index;
            let next = Inventory::of_names(repository)?.last_index() + 1;
            return Err(BackupError::Gap { next, first_index });
        }
        self.status.wrote(fill_gaps(repository, &mut self.source)?);
        Ok(())
    }

    fn look_for_gaps(&mut self, repository: &Repository) -> Result<()> {
        self.status.wrote(fill_gaps(repository, &mut self.source)?);
        self.known_gap = Inventory::of_names(repository)?.missing_entries();
        self.tell_gap(self.known_gap);
        Ok(())
    }

    /// Ships what was applied up to now.
    fn ship(&mut self, repository: &Repository) -> Result<()> {
        if !self.parts.handle.is_primary() {
            return Err(BackupError::Handover);
        }
        let Some(shipper) = &mut self.shipper else { return Ok(()) };
        repository.check_is_there()?;
        let as_of_ms = self.parts.clock.monotonic_ms();
        let (_, bytes) = shipper.catch_up(repository, &mut self.source)?;
        let bytes = bytes + shipper.flush(repository)?;
        if bytes > 0 {
            // The place may have gone in between.
            repository.check_is_there()?;
        }
        self.status.wrote(bytes);
        let shipped = shipper.shipped_index();
        self.status.is_current(shipped, as_of_ms);
        if bytes == 0 {
            self.tell_latest(repository, shipped)?;
        }
        self.next_shipping_ms = self.parts.clock.monotonic_ms() + self.parts.plan.interval_ms;
        Ok(())
    }

    /// Nothing came after this entry since the last shipping: says up to when that is so.
    fn tell_latest(&mut self, repository: &Repository, shipped: u64) -> Result<()> {
        let until_ms = self.parts.clock.unix_ms() - 1;
        let is_told = |told_ms: i64| told_ms.div_euclid(LATEST_MS) >= until_ms.div_euclid(LATEST_MS);
        if self.latest.is_some_and(|(index, told_ms)| index == shipped && is_told(told_ms)) {
            return Ok(());
        }
        let Some(quiet) = self.parts.handle.quiet.ask_and_wait().filter(|quiet| quiet.index == shipped)
        else {
            return Ok(());
        };
        let latest = Latest { index: shipped, term: quiet.term, time_ms: quiet.until_ms };
        self.status.wrote(latest.write(repository)?);
        self.status.is_complete_until(quiet.until_ms);
        self.latest = Some((shipped, quiet.until_ms));
        Ok(())
    }

    /// Whether the node has a checkpoint that is to be stored now. Where one is due and there is none, the node takes one.
    fn is_checkpoint_due(&mut self, repository: &Repository) -> Result<bool> {
        let stored = match self.stored {
            Some(stored) => stored,
            None => self.find_stored(repository)?,
        };
        let newest = self.parts.handle.persistence.checkpoints().newest.map_or(0, |newest| newest.index);
        let is_time = self.now_ms() >= stored.at_ms + self.parts.plan.checkpoint_s * 1000;
        if newest > stored.index {
            return Ok(stored.index == 0 || self.is_incomplete || is_time);
        }
        if is_time {
            let shipped = self.shipper.as_ref().map_or(0, Shipper::shipped_index);
            match shipped > stored.index {
                true => self.ask_for_checkpoint(),
                // Nothing was written since: the one that is stored is as good as a new one.
                false => self.stored = Some(StoredCheckpoint { at_ms: self.now_ms(), ..stored }),
            }
        }
        Ok(false)
    }

    fn ask_for_checkpoint(&mut self) {
        if self.now_ms() >= self.next_ask_ms {
            self.next_ask_ms = self.now_ms() + ASK_MS;
            self.parts.handle.persistence.ask();
        }
    }

    /// Removes what is older than what the plan keeps; the log is shipped meanwhile.
    fn retain(&mut self, repository: &Repository) -> Result<()> {
        let (keep, clock) = (self.parts.plan.keep, self.parts.clock.clone());
        if !keep.is_limit() || self.is_incomplete || self.now_ms() < self.next_retention_ms {
            return Ok(());
        }
        self.next_retention_ms = self.now_ms() + RETAIN_MS;
        let doomed = prune::plan(repository, keep, clock.unix_ms())?;
        let objects = doomed.objects();
        if objects == 0 {
            return Ok(());
        }
        prune::remove(repository, &doomed, &clock, |_| self.ship_if_due(repository))?;
        let (checkpoints, bytes) = (doomed.checkpoints.len(), doomed.bytes);
        tracing::info!(
            url = self.url,
            checkpoints,
            objects,
            bytes,
            "what is too old was removed from the backup"
        );
        Ok(())
    }

    fn ship_if_due(&mut self, repository: &Repository) -> Result<()> {
        if self.now_ms() < self.next_shipping_ms { Ok(()) } else { self.ship(repository) }
    }

    fn find_stored(&mut self, repository: &Repository) -> Result<StoredCheckpoint> {
        let index = repository.checkpoint_indexes()?.last().copied().unwrap_or(0);
        let stored = unless_damaged(repository.checkpoint(index))?;
        let age_ms = stored.map_or(0, |stored| self.parts.clock.unix_ms() - stored.manifest.point.stamp_ms);
        let at_ms = self.now_ms().saturating_sub(u64::try_from(age_ms).unwrap_or(0));
        self.status.has_checkpoint(index);
        Ok(*self.stored.insert(StoredCheckpoint { index, at_ms }))
    }

    /// Looks whether the newest checkpoint in the backup has all its pieces. What lacks any is stored again, or another in its place.
    fn look_for_pieces(&mut self, repository: &Repository) -> Result<()> {
        let index = repository.checkpoint_indexes()?.last().copied().unwrap_or(0);
        let there = repository.pieces()?.into_keys().collect();
        let missing = match unless_damaged(repository.checkpoint(index))? {
            Some(checkpoint) => checkpoint.missing(&there),
            // It can't be read, so that it has none to count on.
            None if index > 0 => 1,
            None => 0,
        };
        self.is_incomplete = missing > 0;
        if self.status.lacks(missing as u64) {
            tracing::error!(index, missing, "a checkpoint in the backup lacks pieces: it is stored again");
        }
        if !self.is_incomplete {
            return Ok(());
        }
        if let Some(lent) = self.source.checkpoint(index)? {
            return self.store(repository, &lent);
        }
        let newest = self.parts.handle.persistence.checkpoints().newest.map_or(0, |newest| newest.index);
        if newest <= index {
            self.ask_for_checkpoint();
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
        let mut between = |_| self.ship_if_due(repository);
        let mut storing = Storing { repository, clock: &clock, bytes_per_second, between: &mut between };
        let stored = storing.store(lent)?;
        repository.check_is_there()?;
        self.status.wrote(stored.written_bytes);
        self.status.has_checkpoint(stored.index);
        tracing::info!(
            index = stored.index,
            bytes = stored.bytes,
            written = stored.written_bytes,
            "a checkpoint is backed up"
        );
        self.stored = Some(StoredCheckpoint { index: stored.index, at_ms: self.now_ms() });
        (self.next_pieces_ms, self.next_retention_ms) = (0, 0);
        Ok(())
    }

    fn now_ms(&self) -> u64 {
        self.parts.clock.monotonic_ms()
    }
}

/// This node's log and checkpoints.
struct NodeSource {
    handle: Arc<ShardHandle>,
    shelf: Shelf,
    /// For which the files of checkpoints are lent.
    borrower: String,
}

impl NodeSource {
    /// This checkpoint, if the node still has it.
    fn checkpoint(&self, index: u64) -> Result<Option<Lent>> {
        match self.shelf.lend(index, &self.borrower) {
            Ok((folder, manifest)) => Ok(Some(Lent { folder, manifest, is_temporary: true })),
            Err(CheckpointError::NoSuch { .. }) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}

impl NodeSource {
    fn read_log(handle: &ShardHandle, from: u64, max_bytes: u64) -> Result<Reading> {
        let read = |from| handle.log_reads.read(from, max_bytes)?.wait();
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
}

impl Source for NodeSource {
    fn read(&mut self, from: u64, max_bytes: u64) -> Result<Reading> {
        NodeSource::read_log(&self.handle, from, max_bytes)
    }

    fn newest_checkpoint(&mut self) -> Result<Option<Lent>> {
        let Some(index) = self.shelf.list()?.last().copied() else { return Ok(None) };
        self.checkpoint(index)
    }
}
