//! From records to entries, by several threads.
//!
//! - Every key is proven: its digest is computed from the entry that was made of it and compared with the record's, and what all of
//!   them add up to with the manifest. So a record that was lost, added or misread is found.
//! - Threads take a database's lock ranges one by one, so that they seldom want the same lock.

use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use parking_lot::Mutex;

use super::error::{CheckpointError, Result};
use super::manifest::{Manifest, Tally};
use super::record::content::whole;
use super::record::{self, Body, Fault, Root};
use super::records::{ReadFailure, Records};
use super::shelf::Shelf;
use super::tallies::Tallies;
use super::{Loaded, Take};
use crate::keyspace::changes::Generation;
use crate::keyspace::digest;
use crate::keyspace::entry::Entry;
use crate::keyspace::slot::{RANGES, SLOTS_PER_RANGE};
use crate::keyspace::types::limits::TypeLimits;
use crate::keyspace::{DATABASES, SYSTEM};

/// How to load.
#[derive(Clone, Copy, Debug)]
pub struct Loading<'a> {
    /// At least one is used.
    pub threads: usize,
    /// But for the hash seed, which is the checkpoint's.
    pub limits: &'a TypeLimits,
}

/// One database's part of a lock range.
#[derive(Clone, Copy, Debug)]
struct Portion {
    db: usize,
    generation: Generation,
    range: usize,
}

impl Portion {
    fn slots(self) -> Range<usize> {
        self.range * SLOTS_PER_RANGE..(self.range + 1) * SLOTS_PER_RANGE
    }
}

/// What a thread has loaded.
#[derive(Default)]
struct Sums {
    loaded: Loaded,
    tallies: Tallies,
}

/// Reads all records that the manifest tells of and gives their entries to `take`.
pub fn load(records: &Records, manifest: &Manifest, loading: &Loading<'_>, take: Take<'_>) -> Result<Loaded> {
    let portions = portions(manifest);
    let limits = TypeLimits { hash_seed: manifest.hash_seed, ..loading.limits.clone() };
    let (next, stop) = (AtomicUsize::new(0), AtomicBool::new(false));
    let outcome = Mutex::new(Ok(Sums::default()));
    let work = || {
        let mut sums = Sums::default();
        while let Some(portion) = portions.get(next.fetch_add(1, Ordering::Relaxed)) {
            if stop.load(Ordering::Relaxed) {
                return;
            }
            let mut put = |db, entry| {
                take(db, entry);
                Ok(())
            };
            if let Err(error) = load_portion(records, *portion, &limits, &mut put, &mut sums) {
                stop.store(true, Ordering::Relaxed);
                *outcome.lock() = Err(error);
                return;
            }
        }
        if let Ok(all) = &mut *outcome.lock() {
            all.merge(&sums);
        }
    };
    std::thread::scope(|scope| {
        for _ in 1..loading.threads {
            scope.spawn(work);
        }
        work();
    });
    let sums = outcome.into_inner()?;
    check_sums(manifest, &sums.tallies)?;
    Ok(sums.loaded)
}

/// Gives the entries of the databases that clients can select to `take`, database by database; an error of its ends it.
pub fn visit(
    records: &Records,
    manifest: &Manifest,
    limits: &TypeLimits,
    take: &mut dyn FnMut(usize, Entry) -> Result<()>,
) -> Result<()> {
    let limits = TypeLimits { hash_seed: manifest.hash_seed, ..limits.clone() };
    let mut sums = Sums::default();
    for portion in portions(manifest).into_iter().filter(|portion| portion.db < DATABASES) {
        load_portion(records, portion, &limits, take, &mut sums)?;
    }
    let visited = |(generation, _): &(&Generation, &Tally)| manifest.databases.contains(generation);
    manifest.generations.iter().filter(visited).try_for_each(|(generation, expected)| {
        check_sum(*generation, *expected, sums.tallies.get(*generation))
    })
}

/// Gives the entries of the system database to `take`; an error of its ends it.
pub fn visit_system(
    records: &Records,
    manifest: &Manifest,
    limits: &TypeLimits,
    take: &mut dyn FnMut(Entry) -> Result<()>,
) -> Result<()> {
    let limits = TypeLimits { hash_seed: manifest.hash_seed, ..limits.clone() };
    let mut sums = Sums::default();
    for portion in portions(manifest).into_iter().filter(|portion| portion.db == SYSTEM) {
        load_portion(records, portion, &limits, &mut |_, entry| take(entry), &mut sums)?;
    }
    Ok(())
}

/// Gives the heads of all roots of those databases to `take`, in the same order.
pub fn visit_heads(
    records: &Records,
    manifest: &Manifest,
    take: &mut dyn FnMut(usize, &Root<'_>),
) -> Result<()> {
    for portion in portions(manifest).into_iter().filter(|portion| portion.db < DATABASES) {
        records.visit_roots(portion.generation, portion.slots(), |key, root| {
            let root = Root::decode(root).map_err(|fault| CheckpointError::record(key, fault))?;
            take(portion.db, &root);
            Ok(())
        })?;
    }
    Ok(())
}

/// Proves a published checkpoint: [`Shelf::verify`], and then every key. Nothing is written anywhere.
pub fn verify_deeply(shelf: &Shelf, index: u64, loading: &Loading<'_>) -> Result<(Manifest, Loaded)> {
    let manifest = shelf.verify(index, |_| {})?;
    let loaded = verify_records(shelf, &manifest, loading)?;
    Ok((manifest, loaded))
}

/// Proves every key of a published checkpoint, whose files were proven.
pub fn verify_records(shelf: &Shelf, manifest: &Manifest, loading: &Loading<'_>) -> Result<Loaded> {
    let records = Records::open_read_only(&shelf.path(manifest.point.index))?;
    load(&records, manifest, loading, &|_, _| {})
}

fn portions(manifest: &Manifest) -> Vec<Portion> {
    let databases = manifest.basis().all_generations().into_iter().enumerate();
    let used = databases.filter(|(_, generation)| manifest.tally(*generation).keys > 0);
    used.flat_map(|(db, generation)| (0..RANGES).map(move |range| Portion { db, generation, range }))
        .collect()
}

fn load_portion(
    records: &Records,
    portion: Portion,
    limits: &TypeLimits,
    take: &mut dyn FnMut(usize, Entry) -> Result<()>,
    sums: &mut Sums,
) -> Result<()> {
    let Portion { db, generation, .. } = portion;
    let slots = portion.slots();
    records.visit_roots(generation, slots, |root_key, root| {
        let (_, _, key) =
            record::split_root_key(root_key).map_err(|fault| CheckpointError::record(root_key, fault))?;
        let entry = load_entry(records, generation, key, root, limits, (db, sums))
            .map_err(|failure| failure.of_key(key))?;
        take(db, entry)
    })
}

fn load_entry(
    records: &Records,
    generation: Generation,
    key: &[u8],
    root: &[u8],
    limits: &TypeLimits,
    (db, sums): (usize, &mut Sums),
) -> std::result::Result<Entry, ReadFailure> {
    let root = Root::decode(root)?;
    let entry = match root.body {
        Body::Inline(bytes) => record::read_entry(key, &root, whole::<ReadFailure>(bytes), limits)?,
        Body::Parts(parts) => record::read_entry(key, &root, records.read_parts(generation, parts), limits)?,
    };
    let (in_database, found) = digest::of_entry_and_record(db, &entry);
    if found != root.contribution {
        return Err(Fault::Digest { expected: root.contribution, found }.into());
    }
    sums.tallies.add(generation, found);
    sums.loaded.keys += 1;
    sums.loaded.digest = sums.loaded.digest.wrapping_add(in_database);
    Ok(entry)
}

impl Sums {
    fn merge(&mut self, other: &Sums) {
        self.loaded.keys += other.loaded.keys;
        self.loaded.digest = self.loaded.digest.wrapping_add(other.loaded.digest);
        self.tallies.merge(&other.tallies);
    }
}

pub(super) fn check_sums(manifest: &Manifest, tallies: &Tallies) -> Result<()> {
    let mut generations = manifest.generations.iter();
    generations
        .try_for_each(|(generation, expected)| check_sum(*generation, *expected, tallies.get(*generation)))
}

fn check_sum(generation: Generation, expected: Tally, found: Tally) -> Result<()> {
    if found == expected {
        return Ok(());
    }
    Err(CheckpointError::Sum {
        generation,
        expected: expected.keys,
        found: found.keys,
        expected_digest: expected.digest,
        found_digest: found.digest,
    })
}
