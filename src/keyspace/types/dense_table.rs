//! A hash table whose elements stand in a dense order: what big sets and hashes are made of.
//!
//! - Elements are records of bytes at positions `0..len`. A new one goes to the end; the last one fills the gap of a
//!   removed one. So the order is a function of the operations alone, and inserting the records in this order into
//!   an empty table reproduces it: "a random member" by seed is `get(seed % len)`, on every node alike.
//! - No two records have the same key. `Record` says which part of a record is its key.
//! - Records lie in blocks of 64, the index has small pages: no operation moves more than some 20 KiB, apart
//!   from lists of segments and the index's directory (below 1 ms for ten million elements).
//! - A clone shares blocks and pages; who changes one of them copies it first. So a clone of ten million elements takes
//!   some 4000 counts, and a change after it copies at most a few segments of 127 counts, and their blocks and pages.
//! - The hash function's seed decides where things lie and the order of `scan`, nothing else.
//! - At most `MAX_LEN` elements fit; memory ends before that.

mod block;
mod index;
mod page;
#[cfg(test)]
mod tests;

use std::marker::PhantomData;

use super::segmented::{Segmented, segment_len};
use block::{BLOCK_LEN, Block, Taken};
use index::{Index, Place};

use crate::keyspace::hash_seed::HashSeed;

/// Most elements of a table.
pub(super) const MAX_LEN: usize = u32::MAX as usize;

type Blocks = Segmented<Block, { segment_len::<Block>(3072) }>;

/// How the bytes of a record are to be read.
pub(super) trait Record {
    /// The part that identifies the record.
    fn key(record: &[u8]) -> &[u8];
}

/// A dense table of records of kind `R`.
#[derive(Clone)]
pub(super) struct DenseTable<R> {
    blocks: Blocks,
    block_bytes: usize,
    index: Index,
    len: usize,
    seed: HashSeed,
    record: PhantomData<fn() -> R>,
}

impl<R: Record> DenseTable<R> {
    /// An empty table whose hash function has this seed.
    pub(super) fn new(seed: HashSeed) -> Self {
        Self {
            blocks: Blocks::default(),
            block_bytes: 0,
            index: Index::new(),
            len: 0,
            seed,
            record: PhantomData,
        }
    }

    /// The number of records.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Bytes allocated on the heap.
    pub(super) fn heap_bytes(&self) -> usize {
        self.blocks.heap_bytes() + self.block_bytes + self.index.heap_bytes()
    }

    /// The record at `position`, which must be below `len`.
    pub(super) fn get(&self, position: usize) -> &[u8] {
        record_at(&self.blocks, position)
    }

    /// The position of the record with this key.
    pub(super) fn find(&self, key: &[u8]) -> Option<usize> {
        self.find_at(place(self.seed, key), key)
    }

    /// Adds the concatenation of `parts`, whose key is `key`, as a record at the end. If a record with this key is
    /// there already, changes nothing and returns that record's position.
    pub(super) fn insert(&mut self, key: &[u8], parts: &[&[u8]]) -> Option<usize> {
        let place = place(self.seed, key);
        let found = self.find_at(place, key);
        if found.is_none() {
            self.push(place, parts);
        }
        found
    }

    /// Makes the concatenation of `parts` the record at `position`; its key must stay the same.
    pub(super) fn replace(&mut self, position: usize, parts: &[&[u8]]) {
        self.edit_slot(position, |block, slot| block.set(slot, parts));
    }

    /// Removes the record at `position`; the last record takes its place.
    pub(super) fn swap_remove(&mut self, position: usize) {
        let removed = self.place_at(position);
        self.index.remove(removed, position as u32);
        let last = self.pop();
        if position < self.len {
            let moved = place(self.seed, R::key(&last));
            self.index.relocate(moved, self.len as u32, position as u32);
            self.edit_slot(position, |block, slot| block.put(slot, last));
        }
        if self.index.is_sparse() {
            self.rebuild_index();
        }
    }

    /// Visits about `count` records from `cursor` on and returns the next cursor, 0 at the end (and to begin with).
    /// A record that is there from the first step to the last is visited at least once.
    pub(super) fn scan(&self, cursor: u64, count: usize, mut visit: impl FnMut(&[u8])) -> u64 {
        self.index.scan(cursor, count, |position| visit(self.get(position as usize)))
    }

    fn find_at(&self, place: Place, key: &[u8]) -> Option<usize> {
        let is_it = |position| R::key(self.get(position as usize)) == key;
        self.index.find(place, is_it).map(|position| position as usize)
    }

    fn push(&mut self, place: Place, parts: &[&[u8]]) {
        assert!(self.len < MAX_LEN, "a table of {MAX_LEN} elements is full");
        let position = self.len;
        if position.is_multiple_of(BLOCK_LEN) {
            let block = Block::new();
            self.block_bytes += block.heap_bytes();
            self.blocks.push(block);
        }
        self.len += 1;
        self.edit_slot(position, |block, slot| block.set(slot, parts));
        let (blocks, seed) = (&self.blocks, self.seed);
        self.index.insert(place, position as u32, |position| place_in::<R>(blocks, seed, position));
    }

    fn pop(&mut self) -> Taken {
        let position = self.len - 1;
        let taken = self.edit_slot(position, |block, slot| block.take(slot));
        if position.is_multiple_of(BLOCK_LEN) {
            let emptied = self.blocks.pop();
            self.block_bytes -= emptied.map_or(0, |block| block.heap_bytes());
        }
        self.len = position;
        taken
    }

    fn edit_slot<T>(&mut self, position: usize, change: impl FnOnce(&mut Block, usize) -> T) -> T {
        let block = self.blocks.get_mut(position / BLOCK_LEN);
        let before = block.heap_bytes();
        let result = change(block, position % BLOCK_LEN);
        self.block_bytes = self.block_bytes + block.heap_bytes() - before;
        result
    }

    /// Finds everything by another seed from here on. The dense order stays; positions of scans mean nothing afterwards.
    pub(super) fn reseed(&mut self, seed: HashSeed) {
        if self.seed != seed {
            self.seed = seed;
            self.rebuild_index();
        }
    }

    fn rebuild_index(&mut self) {
        self.index = Index::new();
        let (blocks, seed) = (&self.blocks, self.seed);
        let place_of = |position| place_in::<R>(blocks, seed, position);
        for position in 0..self.len as u32 {
            self.index.insert(place_of(position), position, place_of);
        }
    }

    fn place_at(&self, position: usize) -> Place {
        place_in::<R>(&self.blocks, self.seed, position as u32)
    }
}

fn record_at(blocks: &Blocks, position: usize) -> &[u8] {
    blocks.get(position / BLOCK_LEN).get(position % BLOCK_LEN)
}

fn place_in<R: Record>(blocks: &Blocks, seed: HashSeed, position: u32) -> Place {
    place(seed, R::key(record_at(blocks, position as usize)))
}

fn place(seed: HashSeed, key: &[u8]) -> Place {
    Place::of_hash(seed.hash(key))
}
