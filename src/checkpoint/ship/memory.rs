//! Dock and lender in memory, for simulations: a checkpoint is one file that holds all records.

use std::collections::BTreeMap;

use bytes::Bytes;
use xxhash_rust::xxh3::xxh3_64;

use super::lender::KEPT_MS;
use super::{Ask, Dock, Lend, MAX_PIECE_BYTES, Piece};
use crate::checkpoint::error::{CheckpointError, Result};
use crate::checkpoint::manifest::{FileSum, Manifest};
use crate::checkpoint::memory::MemoryShelf;

const RECORDS: &str = "records";

/// Answers from a shelf in memory.
#[derive(Debug)]
pub struct MemoryLender {
    shelf: MemoryShelf,
    lent: BTreeMap<u64, Lent>,
}

#[derive(Debug)]
struct Lent {
    /// Manifest and records, by their numbers.
    files: [Bytes; 2],
    asked_ms: u64,
}

impl MemoryLender {
    pub fn new(shelf: MemoryShelf) -> MemoryLender {
        MemoryLender { shelf, lent: BTreeMap::new() }
    }
}

impl Lend for MemoryLender {
    fn read(&mut self, ask: Ask, now_ms: u64) -> Result<Option<Piece>> {
        if !self.lent.contains_key(&ask.index) {
            let Some((mut manifest, records)) = self.shelf.export(ask.index) else { return Ok(None) };
            let (bytes, xxh3) = (records.len() as u64, xxh3_64(&records));
            manifest.files = vec![FileSum { name: RECORDS.to_owned(), bytes, xxh3 }];
            let files = [manifest.encode().into(), records.into()];
            self.lent.insert(ask.index, Lent { files, asked_ms: now_ms });
        }
        let Some(lent) = self.lent.get_mut(&ask.index) else { return Ok(None) };
        lent.asked_ms = now_ms;
        let file = lent.files.get(ask.file as usize);
        Ok(file.map(|file| {
            let from = (ask.offset as usize).min(file.len());
            let to = (from + ask.length.min(MAX_PIECE_BYTES) as usize).min(file.len());
            let Ask { index, file: number, offset, .. } = ask;
            Piece { index, file: number, offset, total: file.len() as u64, bytes: file.slice(from..to) }
        }))
    }

    fn oldest(&self) -> Option<u64> {
        self.lent.keys().next().copied()
    }

    fn take_back(&mut self, now_ms: u64) {
        self.lent.retain(|_, lent| now_ms < lent.asked_ms + KEPT_MS);
    }
}

/// Puts checkpoints together on a shelf in memory.
#[derive(Debug)]
pub struct MemoryDock {
    shelf: MemoryShelf,
    records: Vec<u8>,
}

impl MemoryDock {
    pub fn new(shelf: MemoryShelf) -> MemoryDock {
        MemoryDock { shelf, records: Vec::new() }
    }
}

impl Dock for MemoryDock {
    fn begin(&mut self, manifest: &Manifest) -> Result<Vec<bool>> {
        self.records.clear();
        Ok(vec![false; manifest.files.len()])
    }

    fn write(&mut self, _file: &FileSum, offset: u64, bytes: &[u8]) -> Result<()> {
        let end = offset as usize + bytes.len();
        self.records.resize(self.records.len().max(end), 0);
        self.records[offset as usize..end].copy_from_slice(bytes);
        Ok(())
    }

    fn complete(&mut self, file: &FileSum) -> Result<bool> {
        Ok(self.records.len() as u64 == file.bytes && xxh3_64(&self.records) == file.xxh3)
    }

    fn publish(&mut self, manifest: &Manifest) -> Result<()> {
        match self.shelf.import(manifest, &self.records) {
            true => Ok(()),
            false => Err(CheckpointError::Fetched { reason: "its records can't be read".to_owned() }),
        }
    }
}
