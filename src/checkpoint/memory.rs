//! A store in memory, for simulations: the same contract, the same bytes of records, no disk.
//!
//! What was published is on a [`MemoryShelf`], which outlives the store as a disk does. Everything else is forgotten when the store
//! is dropped: opening another one on the same shelf is a restart after a crash.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::BufMut;
use parking_lot::Mutex;

use super::error::{CheckpointError, Result};
use super::load::check_sums;
use super::manifest::{Manifest, Point};
use super::record::content::whole;
use super::record::{self, Body, Encoder, Fault, Root};
use super::tallies::Tallies;
use super::{CheckpointStore, Loaded, Report, Take};
use crate::keyspace::Basis;
use crate::keyspace::capture::SlotChanges;
use crate::keyspace::changes::Generation;
use crate::keyspace::digest;
use crate::keyspace::entry::Entry;
use crate::keyspace::types::limits::TypeLimits;

/// A root with its parts.
#[derive(Clone, Debug)]
struct Stored {
    root: Vec<u8>,
    parts: Vec<Vec<u8>>,
}

/// Records by their roots' keys.
type Content = BTreeMap<Box<[u8]>, Stored>;

#[derive(Clone, Debug)]
struct Published {
    manifest: Manifest,
    content: Content,
}

/// What survives: the checkpoints, and the mark of one that came from another node, zero for none.
#[derive(Clone, Debug, Default)]
pub struct MemoryShelf(Arc<Mutex<BTreeMap<u64, Published>>>, Arc<AtomicU64>);

impl MemoryShelf {
    /// Indexes of the published checkpoints, oldest first.
    pub fn list(&self) -> Vec<u64> {
        self.0.lock().keys().copied().collect()
    }

    /// A checkpoint, and its records as bytes.
    pub fn export(&self, index: u64) -> Option<(Manifest, Vec<u8>)> {
        let shelf = self.0.lock();
        let Published { manifest, content } = shelf.get(&index)?;
        let mut bytes = Vec::new();
        for (key, Stored { root, parts }) in content {
            put(&mut bytes, key);
            put(&mut bytes, root);
            bytes.put_u32_le(parts.len() as u32);
            parts.iter().for_each(|part| put(&mut bytes, part));
        }
        Some((manifest.clone(), bytes))
    }

    /// Publishes what another shelf has exported; false if the bytes are no records.
    pub fn import(&self, manifest: &Manifest, records: &[u8]) -> bool {
        let mut rest = records;
        let mut content = Content::new();
        while !rest.is_empty() {
            let Some((key, stored)) = take_record(&mut rest) else { return false };
            content.insert(key.into(), stored);
        }
        let manifest = Manifest { files: Vec::new(), ..manifest.clone() };
        self.1.store(manifest.point.index, Ordering::Relaxed);
        self.0.lock().insert(manifest.point.index, Published { manifest, content });
        true
    }

    /// The checkpoint that came from another node and that the log may not yet go on behind.
    pub fn adopting(&self) -> Option<u64> {
        Some(self.1.load(Ordering::Relaxed)).filter(|index| *index > 0)
    }

    /// The log goes on behind it, or never will.
    pub fn end_adoption(&self) {
        self.1.store(0, Ordering::Relaxed);
    }

    /// Takes a checkpoint away, as damage does that is found at a start.
    pub fn lose(&self, index: u64) {
        self.0.lock().remove(&index);
    }
}

fn put(out: &mut Vec<u8>, bytes: &[u8]) {
    out.put_u32_le(bytes.len() as u32);
    out.put_slice(bytes);
}

fn take<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let (len, behind) = rest.split_first_chunk()?;
    let (bytes, behind) = behind.split_at_checked(u32::from_le_bytes(*len) as usize)?;
    *rest = behind;
    Some(bytes)
}

fn take_record<'a>(rest: &mut &'a [u8]) -> Option<(&'a [u8], Stored)> {
    let (key, root) = (take(rest)?, take(rest)?.to_vec());
    let (parts, behind) = rest.split_first_chunk()?;
    *rest = behind;
    let parts = (0..u32::from_le_bytes(*parts)).map(|_| Some(take(rest)?.to_vec())).collect::<Option<_>>()?;
    Some((key, Stored { root, parts }))
}

#[derive(Debug)]
pub struct MemoryStore {
    shelf: MemoryShelf,
    limits: TypeLimits,
    newest: Option<Manifest>,
    content: Content,
    tallies: Tallies,
    encoder: Encoder,
    run: Option<Report>,
    point: Point,
}

impl MemoryStore {
    /// A store with the newest checkpoint of the shelf as its content.
    pub fn open(shelf: MemoryShelf, limits: TypeLimits) -> MemoryStore {
        let newest = shelf.0.lock().last_key_value().map(|(_, published)| published.clone());
        let (newest, content) = match newest {
            Some(Published { manifest, content }) => (Some(manifest), content),
            None => (None, Content::new()),
        };
        let tallies = newest.as_ref().map(|newest| Tallies::of(&newest.generations)).unwrap_or_default();
        let (encoder, point) = (Encoder::default(), Point::default());
        MemoryStore { shelf, limits, newest, content, tallies, encoder, run: None, point }
    }

    /// Takes a record out, and out of the sums. Whether there was one.
    fn remove(&mut self, generation: Generation, key: &[u8]) -> Result<bool> {
        let Some(old) = self.content.remove(key) else { return Ok(false) };
        let root = Root::decode(&old.root).map_err(|fault| CheckpointError::record(key, fault))?;
        self.tallies.subtract(generation, root.contribution);
        Ok(true)
    }

    fn encode(&mut self, entry: &Entry) -> (Stored, digest::Digest) {
        let mut stored = Stored { root: Vec::new(), parts: Vec::new() };
        let parts = &mut stored.parts;
        let keep = |_, bytes: &[u8]| {
            parts.push(bytes.to_vec());
            Ok::<_, std::convert::Infallible>(())
        };
        let Ok(written) = self.encoder.encode(entry, 0, &mut stored.root, keep);
        (stored, written.contribution)
    }

    fn load_database(
        &self,
        db: usize,
        generation: Generation,
        limits: &TypeLimits,
        take: Take<'_>,
        loaded: &mut Loaded,
    ) -> Result<Tallies> {
        let mut tallies = Tallies::default();
        let from = generation.0.to_be_bytes();
        let of_generation = self.content.range::<[u8], _>((Bound::Included(&from[..]), Bound::Unbounded));
        let of_generation = of_generation.take_while(|(key, _)| key.starts_with(&from));
        for (key, stored) in of_generation {
            let entry = read(key, stored, limits).map_err(|fault| CheckpointError::record(key, fault))?;
            let (in_database, anywhere) = digest::of_entry_and_record(db, &entry);
            tallies.add(generation, anywhere);
            loaded.keys += 1;
            loaded.digest = loaded.digest.wrapping_add(in_database);
            take(db, entry);
        }
        Ok(tallies)
    }
}

fn read(root_key: &[u8], stored: &Stored, limits: &TypeLimits) -> std::result::Result<Entry, Fault> {
    let (_, _, key) = record::split_root_key(root_key)?;
    let root = Root::decode(&stored.root)?;
    match root.body {
        Body::Inline(bytes) => record::read_entry(key, &root, whole(bytes), limits),
        Body::Parts(_) => record::read_entry(
            key,
            &root,
            stored.parts.iter().map(|part| Ok(Cow::Borrowed(&part[..]))),
            limits,
        ),
    }
}

impl CheckpointStore for MemoryStore {
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
        if self.shelf.0.lock().contains_key(&point.index) {
            return Err(CheckpointError::Exists { index: point.index });
        }
        self.run = Some(Report { index: point.index, ..Report::default() });
        self.point = point;
        Ok(())
    }

    fn put(&mut self, changes: SlotChanges) -> Result<()> {
        let mut report = self.run.ok_or(CheckpointError::NoRun)?;
        let SlotChanges { generation, slot, entries, deleted } = changes;
        for key in deleted {
            let key = record::root_key(generation, slot, &key);
            report.keys_deleted += u64::from(self.remove(generation, &key)?);
        }
        for entry in entries {
            let key = record::root_key(generation, slot, entry.key());
            self.remove(generation, &key)?;
            let (stored, contribution) = self.encode(&entry);
            self.tallies.add(generation, contribution);
            report.keys_written += 1;
            report.bytes_written +=
                (stored.root.len() + stored.parts.iter().map(Vec::len).sum::<usize>()) as u64;
            self.content.insert(key, stored);
        }
        self.run = Some(report);
        Ok(())
    }

    fn drop_generation(&mut self, generation: Generation) -> Result<()> {
        self.run.as_mut().ok_or(CheckpointError::NoRun)?.generations_dropped += 1;
        self.tallies.drop_generation(generation);
        self.content.retain(|key, _| !key.starts_with(&generation.0.to_be_bytes()));
        Ok(())
    }

    fn finish(&mut self, basis: Basis) -> Result<Report> {
        let mut report = self.run.ok_or(CheckpointError::NoRun)?;
        self.tallies.check_all_in(&basis.all_generations())?;
        self.run = None;
        let manifest = Manifest {
            point: self.point.clone(),
            databases: basis.generations,
            generations: self.tallies.used(),
            next_blob: 0,
            hash_seed: basis.hash_seed,
            files: Vec::new(),
        };
        report.keys = manifest.keys();
        let published = Published { manifest: manifest.clone(), content: self.content.clone() };
        self.shelf.0.lock().insert(report.index, published);
        self.newest = Some(manifest);
        Ok(report)
    }

    fn reset(&mut self) -> Result<()> {
        self.run = None;
        self.content.clear();
        self.tallies = Tallies::default();
        Ok(())
    }

    fn adopt(&mut self, index: u64) -> Result<&Manifest> {
        let published = self.shelf.0.lock().get(&index).cloned();
        let Some(Published { manifest, content }) = published else {
            return Err(CheckpointError::NoSuch { index });
        };
        self.run = None;
        self.tallies = Tallies::of(&manifest.generations);
        self.content = content;
        Ok(self.newest.insert(manifest))
    }

    fn prune(&mut self, keep: usize) -> Result<usize> {
        let mut shelf = self.shelf.0.lock();
        let surplus = shelf.len().saturating_sub(keep.max(1));
        for _ in 0..surplus {
            shelf.pop_first();
        }
        Ok(surplus)
    }

    fn oldest(&self) -> Result<Option<u64>> {
        Ok(self.shelf.0.lock().keys().next().copied())
    }

    fn load(&self, take: Take<'_>) -> Result<Loaded> {
        let Some(manifest) = &self.newest else { return Ok(Loaded::default()) };
        let (mut loaded, mut tallies) = (Loaded::default(), Tallies::default());
        let limits = TypeLimits { hash_seed: manifest.hash_seed, ..self.limits.clone() };
        for (db, generation) in manifest.basis().all_generations().into_iter().enumerate() {
            tallies.merge(&self.load_database(db, generation, &limits, take, &mut loaded)?);
        }
        check_sums(manifest, &tallies)?;
        Ok(loaded)
    }
}
