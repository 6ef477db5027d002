//! Checkpoints: the keyspace at one index of the log, on disk.
//!
//! - A checkpoint is complete: with the log behind its index it is the database. Writing one costs what has changed since the
//!   last, for unchanged files are shared by hard links.
//! - A run writes one: [`CheckpointStore::begin`], what a [`Capture`](crate::keyspace::capture::Capture) yields,
//!   [`CheckpointStore::finish`]. Before that returns there is no such checkpoint, afterwards it is durable. A crash at any moment
//!   leaves the previous one.
//! - What a failed run took from the keyspace is in no checkpoint, and the store no longer knows what the keyspace holds: it is
//!   [`reset`](CheckpointStore::reset), and the next run has to bring everything.
//! - Every checkpoint can be proven: each file by its checksum, each key by the digests that are added up in the manifest.
//! - No clock decides what is in a checkpoint; it says how long a run took, and paces it.
//!
//! | file | subject |
//! |---|---|
//! | `record` | the bytes of an entry |
//! | `manifest` | what a checkpoint says of itself |
//! | `shelf` | the folder: publish, list, verify, prune |
//! | `store`, `run`, `slot_changes`, `tallies` | the store that grows by runs |
//! | `records`, `sorted`, `options` | RocksDB: its records, sorted files, settings |
//! | `load` | from records to entries |
//! | `export` | an RDB file of a checkpoint |
//! | `ship` | checkpoints on their way between nodes |
//! | `throttle` | the pace of a run |
//! | `memory` | a store in memory, for simulations |

pub mod error;
pub mod export;
pub mod load;
pub mod manifest;
pub mod memory;
pub mod options;
pub mod record;
pub mod records;
mod run;
pub mod shelf;
pub mod ship;
mod slot_changes;
mod sorted;
pub mod store;
mod tallies;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
pub mod throttle;
pub mod transfers;

use error::Result;
use manifest::{Manifest, Point};

use crate::keyspace::Basis;
use crate::keyspace::capture::{Capture, SlotChanges};
use crate::keyspace::changes::Generation;
use crate::keyspace::digest::Digest;
use crate::keyspace::entry::Entry;

/// What a run did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Report {
    pub index: u64,
    pub keys_written: u64,
    pub keys_deleted: u64,
    pub generations_dropped: u64,
    /// Bytes of the run's own files. What is compacted behind it is not among them.
    pub bytes_written: u64,
    /// Keys in the checkpoint.
    pub keys: u64,
    /// Bytes of the checkpoint, those that it shares with others included.
    pub bytes: u64,
    pub elapsed_ms: u64,
}

/// What was loaded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Loaded {
    pub keys: u64,
    /// The digest of the whole keyspace, as DEBUG DIGEST tells it.
    pub digest: Digest,
}

/// Takes loaded entries, from several threads: the number of the database, and the entry.
pub type Take<'a> = &'a (dyn Fn(usize, Entry) + Sync);

/// Where checkpoints are written to and loaded from.
pub trait CheckpointStore: Send {
    /// The newest checkpoint. Between runs the store holds exactly what it does, unless it was reset.
    fn newest(&self) -> Option<&Manifest>;

    /// Whether the store holds nothing, so that the next run has to bring everything.
    fn is_empty(&self) -> bool;

    /// Begins a run. One that had begun and was not finished is an error of the caller's: it takes a reset.
    fn begin(&mut self, point: Point) -> Result<()>;

    /// Adds changes: generations in order, slots in order, every key once. May wait, for the sake of the pace.
    fn put(&mut self, changes: SlotChanges) -> Result<()>;

    /// Deletes everything that the store holds of a generation.
    fn drop_generation(&mut self, generation: Generation) -> Result<()>;

    /// Publishes the checkpoint. `basis` is that of the keyspace at its index.
    fn finish(&mut self, basis: Basis) -> Result<Report>;

    /// Makes a published checkpoint, which came from another node, the store's content and its newest; what it held is
    /// forgotten, a run that had begun as well.
    fn adopt(&mut self, index: u64) -> Result<&Manifest>;

    /// Forgets all records. Published checkpoints stay.
    fn reset(&mut self) -> Result<()>;

    /// Removes all published checkpoints but the newest `keep` (at least one); returns how many.
    fn prune(&mut self, keep: usize) -> Result<usize>;

    /// The index of the oldest published checkpoint.
    fn oldest(&self) -> Result<Option<u64>>;

    /// Loads the newest checkpoint, which the store must hold: it was just opened, or no run has begun since it was finished.
    /// Proves its keys as it goes. Entries come in no particular order.
    fn load(&self, take: Take<'_>) -> Result<Loaded>;
}

/// A checkpoint that is being written. After an error the store has to be reset, and the keyspace told to forget what is stored.
pub struct Writing(Capture);

impl Writing {
    /// Begins to write what a capture yields as the checkpoint of its moment.
    ///
    /// # Errors
    /// The store fails.
    pub fn begin(store: &mut dyn CheckpointStore, capture: Capture, point: Point) -> Result<Writing> {
        store.begin(point)?;
        for generation in capture.dropped().to_vec() {
            store.drop_generation(generation)?;
        }
        Ok(Writing(capture))
    }

    /// Writes the next piece. The step after the last piece publishes the checkpoint and returns its report; no step may follow.
    ///
    /// # Errors
    /// The store fails.
    pub fn step(&mut self, store: &mut dyn CheckpointStore) -> Result<Option<Report>> {
        match self.0.next() {
            Some(changes) => store.put(changes).map(|()| None),
            None => store.finish(self.0.basis()).map(Some),
        }
    }
}

/// Writes what a capture yields as the checkpoint of its moment. `pause` is called after each piece: it may wait, and end it all.
///
/// # Errors
/// The store fails, or `pause` ends it: see [`Writing`].
pub fn write(
    store: &mut dyn CheckpointStore,
    capture: Capture,
    point: Point,
    pause: &mut dyn FnMut() -> Result<()>,
) -> Result<Report> {
    let mut writing = Writing::begin(store, capture, point)?;
    loop {
        if let Some(report) = writing.step(store)? {
            return Ok(report);
        }
        pause()?;
    }
}
