//! The records of one RocksDB: roots and parts, by their keys.
//!
//! Nothing is written by way of RocksDB's own log. What was not yet flushed is lost in a crash, and so is the whole folder:
//! after a restart it is made anew from a published checkpoint.

use std::borrow::Cow;
use std::ops::Range;
use std::path::{Path, PathBuf};

use rocksdb::checkpoint::Checkpoint;
use rocksdb::{ColumnFamily, DB, FlushOptions, IteratorMode};

use super::error::{CheckpointError, Result};
use super::options;
use super::record::{self, Body, Fault, Parts, Root};
use crate::keyspace::changes::Generation;
use crate::keyspace::digest::Digest;
use crate::keyspace::slot::{SLOTS, Slot};

/// Roots that are looked up at once. They are held as long, each of up to 64 KiB.
const LOOK_UP_AT_ONCE: usize = 64;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    Roots,
    Parts,
}

/// What has to be known of a record that is about to be replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Old {
    pub contribution: Digest,
    /// Where its parts are, if it has any.
    pub blob: Option<u64>,
}

/// Why a value could not be read.
#[derive(Debug)]
pub enum ReadFailure {
    Fault(Fault),
    Rocks(rocksdb::Error),
}

impl From<Fault> for ReadFailure {
    fn from(fault: Fault) -> ReadFailure {
        ReadFailure::Fault(fault)
    }
}

impl From<rocksdb::Error> for ReadFailure {
    fn from(error: rocksdb::Error) -> ReadFailure {
        ReadFailure::Rocks(error)
    }
}

impl ReadFailure {
    /// As an error of the record with this key.
    pub fn of_key(self, key: &[u8]) -> CheckpointError {
        match self {
            ReadFailure::Fault(fault) => CheckpointError::record(key, fault),
            ReadFailure::Rocks(source) => CheckpointError::Rocks { operation: "read a record", source },
        }
    }
}

pub struct Records {
    db: DB,
}

impl Records {
    /// Opens the folder for writing; an empty one becomes a store without records.
    pub fn open(folder: &Path, bytes_per_second: u64) -> Result<Records> {
        let database = options::database(bytes_per_second);
        let db = DB::open_cf_with_opts(&database, folder, options::families())
            .map_err(CheckpointError::rocks("open the store"))?;
        Ok(Records { db })
    }

    /// Opens the folder without changing anything in it.
    pub fn open_read_only(folder: &Path) -> Result<Records> {
        let database = options::database(0);
        let db = DB::open_cf_with_opts_for_read_only(&database, folder, options::families(), false)
            .map_err(CheckpointError::rocks("open a checkpoint"))?;
        Ok(Records { db })
    }

    /// What there is under each of these roots' keys, which must come in order.
    pub fn look_up(&self, keys: &[&[u8]]) -> Result<Vec<Option<Old>>> {
        let mut found = Vec::with_capacity(keys.len());
        for keys in keys.chunks(LOOK_UP_AT_ONCE) {
            let values = self.db.batched_multi_get_cf(self.family(Family::Roots), keys.iter().copied(), true);
            for (key, value) in keys.iter().zip(values) {
                let value = value.map_err(CheckpointError::rocks("look up a record"))?;
                let old = value.map(|value| Old::read(&value)).transpose();
                found.push(old.map_err(|fault| CheckpointError::record(key, fault))?);
            }
        }
        Ok(found)
    }

    /// Takes in sorted files; they are moved into the folder.
    pub fn ingest(&self, family: Family, files: &[PathBuf]) -> Result<()> {
        let options = options::ingestion();
        for file in files {
            self.db
                .ingest_external_file_cf_opts(self.family(family), &options, vec![file])
                .map_err(CheckpointError::rocks("take in a sorted file"))?;
        }
        Ok(())
    }

    /// Deletes the parts of one entry.
    pub fn delete_blob(&self, generation: Generation, blob: u64) -> Result<()> {
        let from = record::part_key(generation, blob, 0);
        let to = record::part_key(generation, blob + 1, 0);
        self.delete_range(Family::Parts, &from, &to)
    }

    /// Deletes everything in a generation, at a cost that does not depend on how much that is.
    pub fn drop_generation(&self, generation: Generation) -> Result<()> {
        let from = generation.0.to_be_bytes();
        let to = (generation.0 + 1).to_be_bytes();
        for family in [Family::Roots, Family::Parts] {
            // Files that lie wholly within are freed at once; the rest goes with the next compactions.
            self.db
                .delete_file_in_range_cf(self.family(family), &from, &to)
                .map_err(CheckpointError::rocks("drop the files of a generation"))?;
            self.delete_range(family, &from, &to)?;
        }
        Ok(())
    }

    /// Brings to files what is in memory only.
    pub fn flush(&self) -> Result<()> {
        let families = [self.family(Family::Roots), self.family(Family::Parts)];
        let flushed = self.db.flush_cfs_opt(&families, &FlushOptions::default());
        flushed.map_err(CheckpointError::rocks("flush"))
    }

    /// Makes a folder that holds all records as they are now: links to files that never change.
    pub fn copy_to(&self, folder: &Path) -> Result<()> {
        let checkpoint = Checkpoint::new(&self.db).map_err(CheckpointError::rocks("prepare a checkpoint"))?;
        checkpoint.create_checkpoint(folder).map_err(CheckpointError::rocks("make a checkpoint"))
    }

    /// Visits the roots of a range of slots of one generation, in order.
    pub fn visit_roots(
        &self,
        generation: Generation,
        slots: Range<usize>,
        mut visit: impl FnMut(&[u8], &[u8]) -> Result<()>,
    ) -> Result<()> {
        let prefix = |slot: usize| match Slot::new(slot) {
            Some(slot) => record::slot_prefix(generation, slot).to_vec(),
            None => (generation.0 + 1).to_be_bytes().to_vec(),
        };
        let mut options = options::scan();
        options.set_iterate_lower_bound(prefix(slots.start));
        options.set_iterate_upper_bound(prefix(slots.end.min(SLOTS)));
        let roots = self.db.iterator_cf_opt(self.family(Family::Roots), options, IteratorMode::Start);
        for root in roots {
            let (key, value) = root.map_err(CheckpointError::rocks("read records"))?;
            visit(&key, &value)?;
        }
        Ok(())
    }

    /// The content of an entry's parts, in order.
    pub fn read_parts(
        &self,
        generation: Generation,
        parts: Parts,
    ) -> impl Iterator<Item = std::result::Result<Cow<'static, [u8]>, ReadFailure>> {
        let options = options::scan();
        (0..parts.count).map(move |number| {
            let key = record::part_key(generation, parts.blob, number);
            let part = self.db.get_cf_opt(self.family(Family::Parts), key, &options)?;
            Ok(Cow::Owned(part.ok_or(Fault::Truncated)?))
        })
    }

    #[cfg(test)]
    pub fn count_roots(&self) -> Result<usize> {
        Ok(self.db.iterator_cf(self.family(Family::Roots), IteratorMode::Start).count())
    }

    #[cfg(test)]
    pub fn count_parts(&self) -> Result<usize> {
        Ok(self.db.iterator_cf(self.family(Family::Parts), IteratorMode::Start).count())
    }

    fn delete_range(&self, family: Family, from: &[u8], to: &[u8]) -> Result<()> {
        self.db
            .delete_range_cf_opt(self.family(family), from, to, &options::without_log())
            .map_err(CheckpointError::rocks("delete a range"))
    }

    fn family(&self, family: Family) -> &ColumnFamily {
        let name = match family {
            Family::Roots => options::ROOTS,
            Family::Parts => options::PARTS,
        };
        self.db.cf_handle(name).expect("the store is opened with both families")
    }
}

impl Old {
    fn read(root: &[u8]) -> std::result::Result<Old, Fault> {
        let root = Root::decode(root)?;
        let blob = match root.body {
            Body::Inline(_) => None,
            Body::Parts(parts) => Some(parts.blob),
        };
        Ok(Old { contribution: root.contribution, blob })
    }
}
