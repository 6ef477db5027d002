//! One run: what changed goes to sorted files, what it replaces out of the sums.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use super::error::{CheckpointError, Result};
use super::options;
use super::record;
use super::records::{Family, Old, Records};
use super::slot_changes::{Batch, PartSink, PendingSlot, RootChange};
use super::sorted::SortedFiles;
use super::tallies::Tallies;

use crate::keyspace::capture::SlotChanges;
use crate::keyspace::changes::Generation;

pub struct Run {
    folder: PathBuf,
    slot: PendingSlot,
    files: Files,
    books: Books,
}

#[derive(Clone, Copy, Debug, Default)]
pub struct Counts {
    pub keys_written: u64,
    pub keys_deleted: u64,
    pub generations_dropped: u64,
}

/// The sorted files.
struct Files {
    roots: SortedFiles,
    parts: SortedFiles,
    next_blob: u64,
}

/// What the checkpoint will hold.
struct Books {
    /// Generations of which the store may hold something: in no other anything needs to be looked up.
    stored: BTreeSet<Generation>,
    tallies: Tallies,
    counts: Counts,
}

impl Run {
    /// Begins a run over a store that holds what `tallies` say; its files go to `folder`, which is created.
    pub fn begin(folder: PathBuf, tallies: Tallies, next_blob: u64) -> Result<Run> {
        fs::create_dir(&folder).map_err(CheckpointError::io("create", &folder))?;
        Ok(Run {
            slot: PendingSlot::default(),
            files: Files::new(&folder, next_blob),
            folder,
            books: Books { stored: tallies.used().into_keys().collect(), tallies, counts: Counts::default() },
        })
    }

    pub fn put(&mut self, records: &Records, changes: SlotChanges) -> Result<()> {
        if self.slot.is_elsewhere(&changes) {
            self.end_slot(records)?;
        }
        let books = &mut self.books;
        self.slot.add(changes, &mut self.files, |files, batch| books.enter(batch, files, records))
    }

    pub fn drop_generation(&mut self, records: &Records, generation: Generation) -> Result<()> {
        self.books.tallies.drop_generation(generation);
        self.books.stored.remove(&generation);
        self.books.counts.generations_dropped += 1;
        records.drop_generation(generation)
    }

    /// Makes what the run wrote part of the store.
    pub fn finish(&mut self, records: &Records) -> Result<()> {
        self.end_slot(records)?;
        records.ingest(Family::Parts, &self.files.parts.finish()?)?;
        records.ingest(Family::Roots, &self.files.roots.finish()?)?;
        records.flush()?;
        fs::remove_dir_all(&self.folder).map_err(CheckpointError::io("remove", &self.folder))
    }

    pub fn tallies(&self) -> &Tallies {
        &self.books.tallies
    }

    pub fn next_blob(&self) -> u64 {
        self.files.next_blob
    }

    pub fn counts(&self) -> Counts {
        self.books.counts
    }

    pub fn bytes_written(&self) -> u64 {
        self.files.roots.bytes() + self.files.parts.bytes()
    }

    fn end_slot(&mut self, records: &Records) -> Result<()> {
        match self.slot.take_rest() {
            Some(batch) => self.books.enter(batch, &mut self.files, records),
            None => Ok(()),
        }
    }
}

impl Books {
    /// Writes sorted changes. What they replace goes out of the sums, and its parts out of the store.
    fn enter(&mut self, (generation, changes): Batch, files: &mut Files, records: &Records) -> Result<()> {
        let old = self.look_up(generation, &changes, records)?;
        for (change, old) in changes.iter().zip(old) {
            if let Some(old) = old {
                self.tallies.subtract(generation, old.contribution);
                if let Some(blob) = old.blob {
                    records.delete_blob(generation, blob)?;
                }
            }
            self.write(generation, change, old.is_some(), files)?;
        }
        Ok(())
    }

    fn look_up(
        &self,
        generation: Generation,
        changes: &[RootChange],
        records: &Records,
    ) -> Result<Vec<Option<Old>>> {
        if !self.stored.contains(&generation) {
            return Ok(vec![None; changes.len()]);
        }
        let keys: Vec<&[u8]> = changes.iter().map(|change| &*change.key).collect();
        records.look_up(&keys)
    }

    fn write(
        &mut self,
        generation: Generation,
        change: &RootChange,
        was_there: bool,
        files: &mut Files,
    ) -> Result<()> {
        match &change.root {
            Some((root, contribution)) => {
                self.tallies.add(generation, *contribution);
                self.counts.keys_written += 1;
                files.roots.put(&change.key, root)
            }
            None if was_there => {
                self.counts.keys_deleted += 1;
                files.roots.delete(&change.key)
            }
            None => Ok(()),
        }
    }
}

impl Files {
    fn new(folder: &Path, next_blob: u64) -> Files {
        Files {
            roots: SortedFiles::new(folder, options::ROOTS),
            parts: SortedFiles::new(folder, options::PARTS),
            next_blob,
        }
    }
}

impl PartSink for Files {
    fn next_blob(&self) -> u64 {
        self.next_blob
    }

    fn take_blob(&mut self) {
        self.next_blob += 1;
    }

    fn store_part(&mut self, generation: Generation, blob: u64, part: u32, bytes: &[u8]) -> Result<()> {
        self.parts.put(&record::part_key(generation, blob, part), bytes)
    }
}
