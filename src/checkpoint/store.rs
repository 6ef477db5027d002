//! The store on disk: records in RocksDB, which grow by runs, and the shelf of what was published.
//!
//! - A run's roots and parts go to sorted files of its own; RocksDB takes them in when the run is finished. Until then it holds
//!   what the last checkpoint does, and is read for that: what a root contributed before it was replaced.
//! - No more than some MiB are in memory, however much there is to write and however long a value is.
//! - What is not published is worth nothing after a restart: the folder is made anew from the newest good checkpoint.

use std::path::Path;

use super::error::{CheckpointError, Result};
use super::load::{self, Loading};
use super::manifest::{Manifest, Point};
use super::records::Records;
use super::run::Run;
use super::shelf::{Rejected, Shelf};
use super::tallies::Tallies;
use super::throttle::Throttle;
use super::{CheckpointStore, Loaded, Report, Take};
use crate::env::Clock;
use crate::keyspace::Basis;
use crate::keyspace::capture::SlotChanges;
use crate::keyspace::changes::Generation;
use crate::keyspace::types::limits::TypeLimits;

const NS_PER_MS: u64 = 1_000_000;
/// The temporary folder of a run that writes.
const RUN: &str = "run";

/// How a store works.
#[derive(Clone, Debug)]
pub struct StoreConfig {
    /// Bytes that a run may write in a second, and a compaction; 0 stands for no limit.
    pub bytes_per_second: u64,
    /// Threads that load.
    pub load_threads: usize,
    pub limits: TypeLimits,
}

/// A store on disk.
pub struct RocksStore {
    shelf: Shelf,
    config: StoreConfig,
    clock: Clock,
    newest: Option<Manifest>,
    work: Work,
    tallies: Tallies,
    next_blob: u64,
    run: Option<Paced>,
}

/// The folder that grows.
enum Work {
    Open(Records),
    /// It is made anew when a run begins, from the newest checkpoint or from nothing. So a store is opened, and loaded from,
    /// without a write, which a full disk would refuse.
    Unmade {
        from_newest: bool,
    },
}

/// A run under way.
struct Paced {
    point: Point,
    run: Run,
    began_ns: u64,
    throttle: Throttle,
    /// Bytes that the throttle knows of.
    counted_bytes: u64,
}

impl RocksStore {
    /// Opens the folder, with the newest good checkpoint as the store's content. Returns those newer ones, too, that are
    /// not good; they are set aside.
    pub fn open(folder: &Path, config: StoreConfig, clock: Clock) -> Result<(RocksStore, Vec<Rejected>)> {
        RocksStore::open_with_progress(folder, config, clock, |_| {})
    }

    /// Like [`RocksStore::open`]; `progress` hears of bytes as they are checked.
    pub fn open_with_progress(
        folder: &Path,
        config: StoreConfig,
        clock: Clock,
        progress: impl FnMut(u64),
    ) -> Result<(RocksStore, Vec<Rejected>)> {
        let shelf = Shelf::open(folder)?;
        let (newest, rejected) = shelf.newest_good(progress)?;
        rejected.iter().try_for_each(|rejected| shelf.set_aside(rejected.index))?;
        let tallies = newest.as_ref().map(|newest| Tallies::of(&newest.generations)).unwrap_or_default();
        let next_blob = newest.as_ref().map_or(0, |newest| newest.next_blob);
        let work = Work::Unmade { from_newest: true };
        let store = RocksStore { shelf, config, clock, newest, work, tallies, next_blob, run: None };
        Ok((store, rejected))
    }

    #[cfg(test)]
    pub fn count_records(&self) -> Result<(usize, usize)> {
        Ok((self.records()?.count_roots()?, self.records()?.count_parts()?))
    }

    pub fn shelf(&self) -> &Shelf {
        &self.shelf
    }

    fn records(&self) -> Result<&Records> {
        match &self.work {
            Work::Open(records) => Ok(records),
            Work::Unmade { .. } => Err(CheckpointError::NoRun),
        }
    }

    fn make_work(&mut self) -> Result<()> {
        if let Work::Unmade { from_newest } = self.work {
            // On a full disk this is the room that the records' folder needs.
            self.shelf.temporary(RUN)?;
            let folder = self.shelf.remake_work(self.newest.as_ref().filter(|_| from_newest))?;
            self.work = Work::Open(Records::open(&folder, self.config.bytes_per_second)?);
        }
        Ok(())
    }

    /// Makes a folder of all records that there are now and publishes it.
    fn publish(&self, paced: &Paced, basis: Basis) -> Result<Manifest> {
        paced.run.tallies().check_all_in(&basis.all_generations())?;
        let manifest = Manifest {
            point: paced.point.clone(),
            databases: basis.generations,
            generations: paced.run.tallies().used(),
            next_blob: paced.run.next_blob(),
            hash_seed: basis.hash_seed,
            files: Vec::new(),
        };
        let staged = self.shelf.temporary("staged")?;
        self.records()?.copy_to(&staged)?;
        self.shelf.publish(&staged, manifest, self.newest.as_ref())
    }
}

impl CheckpointStore for RocksStore {
    fn newest(&self) -> Option<&Manifest> {
        self.newest.as_ref()
    }

    fn is_empty(&self) -> bool {
        self.tallies.is_empty()
    }

    fn begin(&mut self, point: Point) -> Result<()> {
        if self.run.is_some() {
            return Err(CheckpointError::Unfinished);
        }
        if self.shelf.path(point.index).exists() {
            return Err(CheckpointError::Exists { index: point.index });
        }
        self.make_work()?;
        let folder = self.shelf.temporary(RUN)?;
        let now_ns = self.clock.monotonic_ns();
        self.run = Some(Paced {
            run: Run::begin(folder, self.tallies.clone(), self.next_blob)?,
            point,
            began_ns: now_ns,
            throttle: Throttle::new(self.config.bytes_per_second, now_ns),
            counted_bytes: 0,
        });
        Ok(())
    }

    fn put(&mut self, changes: SlotChanges) -> Result<()> {
        let Work::Open(records) = &self.work else { return Err(CheckpointError::NoRun) };
        let paced = self.run.as_mut().ok_or(CheckpointError::NoRun)?;
        paced.run.put(records, changes)?;
        paced.wait(&self.clock);
        Ok(())
    }

    fn drop_generation(&mut self, generation: Generation) -> Result<()> {
        let Work::Open(records) = &self.work else { return Err(CheckpointError::NoRun) };
        let paced = self.run.as_mut().ok_or(CheckpointError::NoRun)?;
        paced.run.drop_generation(records, generation)
    }

    fn finish(&mut self, basis: Basis) -> Result<Report> {
        let mut paced = self.run.take().ok_or(CheckpointError::NoRun)?;
        let finished = self.records().and_then(|records| paced.run.finish(records));
        let manifest = match finished.and_then(|()| self.publish(&paced, basis)) {
            Ok(manifest) => manifest,
            Err(error) => {
                // It stays unfinished: only a reset helps.
                self.run = Some(paced);
                return Err(error);
            }
        };
        let report = paced.report(&manifest, self.clock.monotonic_ns());
        self.tallies = paced.run.tallies().clone();
        self.next_blob = manifest.next_blob;
        self.newest = Some(manifest);
        Ok(report)
    }

    fn reset(&mut self) -> Result<()> {
        // RocksDB lets go of the folder before it is made anew.
        (self.run, self.work) = (None, Work::Unmade { from_newest: false });
        (self.tallies, self.next_blob) = (Tallies::default(), 0);
        self.make_work()
    }

    fn adopt(&mut self, index: u64) -> Result<&Manifest> {
        let manifest = self.shelf.manifest(index)?;
        (self.run, self.work) = (None, Work::Unmade { from_newest: true });
        (self.tallies, self.next_blob) = (Tallies::of(&manifest.generations), manifest.next_blob);
        Ok(self.newest.insert(manifest))
    }

    fn prune(&mut self, keep: usize) -> Result<usize> {
        Ok(self.shelf.prune(keep)?.len())
    }

    fn oldest(&self) -> Result<Option<u64>> {
        Ok(self.shelf.list()?.first().copied())
    }

    fn load(&self, take: Take<'_>) -> Result<Loaded> {
        let Some(newest) = &self.newest else { return Ok(Loaded::default()) };
        let loading = Loading { threads: self.config.load_threads, limits: &self.config.limits };
        let records = Records::open_read_only(&self.shelf.path(newest.point.index))?;
        load::load(&records, newest, &loading, take)
    }
}

impl Paced {
    /// Waits for as long as what was written since the last call is worth: that is one slot's changes, so the thread that
    /// writes checkpoints hears soon enough that it is to give up.
    fn wait(&mut self, clock: &Clock) {
        let bytes = self.run.bytes_written();
        let wait = self.throttle.wrote(bytes - self.counted_bytes, clock.monotonic_ns());
        self.counted_bytes = bytes;
        if !wait.is_zero() {
            std::thread::sleep(wait);
        }
    }

    fn report(&self, manifest: &Manifest, now_ns: u64) -> Report {
        let counts = self.run.counts();
        Report {
            index: manifest.point.index,
            keys_written: counts.keys_written,
            keys_deleted: counts.keys_deleted,
            generations_dropped: counts.generations_dropped,
            bytes_written: self.run.bytes_written(),
            keys: manifest.keys(),
            bytes: manifest.bytes(),
            elapsed_ms: (now_ns - self.began_ns) / NS_PER_MS,
        }
    }
}
