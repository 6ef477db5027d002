//! Data made again in memory from a checkpoint and the log behind it, to be compared with what was recorded.
//!
//! The same code loads and applies that does so in a node.

use thiserror::Error;

use crate::apply::{Applier, ApplyError};
use crate::checkpoint::error::CheckpointError;
use crate::checkpoint::load::{Loading, load};
use crate::checkpoint::manifest::{Manifest, Tally, digest_of};
use crate::checkpoint::records::Records;
use crate::checkpoint::shelf::Shelf;
use crate::keyspace::digest::{Digest, of_databases, of_keyspace};
use crate::keyspace::types::limits::TypeLimits;
use crate::keyspace::{ALL_DATABASES, Keyspace};

#[derive(Debug, Error)]
pub enum ReplayError {
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    #[error("entry {index} can't be applied: {source}")]
    Apply { index: u64, source: ApplyError },
    #[error("entry {expected} is missing: {found} comes next")]
    Gap { expected: u64, found: u64 },
}

/// What a database holds according to the log, and according to a checkpoint of the same entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Difference {
    pub db: usize,
    pub replayed: Tally,
    pub recorded: Tally,
}

/// See the module.
pub struct Replay {
    applier: Applier,
    /// The last entry that is in the data.
    index: u64,
}

impl Replay {
    /// Begins with nothing, before the first entry.
    pub fn of_nothing() -> Replay {
        let (_, mutator) = Keyspace::create();
        Replay { applier: Applier::new(mutator, TypeLimits::default()), index: 0 }
    }

    /// Begins with a checkpoint, whose files were proven; proves its keys.
    pub fn of_checkpoint(shelf: &Shelf, manifest: &Manifest) -> Result<Replay, ReplayError> {
        let records = Records::open_read_only(&shelf.path(manifest.point.index))?;
        let (_, mut mutator) = Keyspace::create();
        mutator.restore_basis(manifest.basis());
        let limits = TypeLimits::default();
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        let restoring = mutator.restore();
        let loading = Loading { threads, limits: &limits };
        load(&records, manifest, &loading, &|db, entry| restoring.put(db, entry))?;
        drop(restoring);
        let applier = Applier::after(mutator, limits, manifest.point.stamp_ms);
        Ok(Replay { applier, index: manifest.point.index })
    }

    /// The last entry that is in the data.
    pub fn index(&self) -> u64 {
        self.index
    }

    /// Applies the next entry.
    pub fn apply(&mut self, index: u64, payload: &[u8]) -> Result<(), ReplayError> {
        if index != self.index + 1 {
            return Err(ReplayError::Gap { expected: self.index + 1, found: index });
        }
        if !payload.is_empty() {
            let applied = self.applier.apply_unattended(payload);
            applied.map_err(|source| ReplayError::Apply { index, source })?;
        }
        self.index = index;
        self.applier.effects.forget();
        Ok(())
    }

    /// Keys and digest of each database.
    pub fn databases(&self) -> [Tally; ALL_DATABASES] {
        of_databases(self.applier.keyspace()).map(|(keys, digest)| Tally { keys, digest })
    }

    /// All keys, and the digest of all content as a checkpoint has it.
    pub fn summary(&self) -> (u64, Digest) {
        let databases = self.databases();
        (databases.iter().map(|tally| tally.keys).sum(), digest_of(&databases))
    }

    /// The digest of everything as DEBUG DIGEST tells it.
    pub fn whole_digest(&self) -> Digest {
        of_keyspace(self.applier.keyspace())
    }

    /// The newest stamp; `None` before the first.
    pub fn stamp_ms(&self) -> Option<i64> {
        Some(self.applier.last_stamp_ms()).filter(|ms| *ms > i64::MIN)
    }

    /// The databases that a checkpoint of this very entry has otherwise.
    pub fn differences(&self, manifest: &Manifest) -> Vec<Difference> {
        let both = self.databases().into_iter().zip(manifest.tallies()).enumerate();
        let each = both.map(|(db, (replayed, recorded))| Difference { db, replayed, recorded });
        each.filter(|one| one.replayed != one.recorded).collect()
    }
}
