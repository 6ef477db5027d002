//! The indexed encoding: records in an arena, found by member through a hash index and in order through a counted tree.
//!
//! - Every record has exactly one entry in the index and one in the tree.
//! - A score stands twice: in the record, from where a member finds its place in the tree, and in the tree, where it
//!   saves reading the records that a search passes.
//! - Removals keep the arena tidy. Of single ones each cleans a few slots; a range is cleaned up after once it is gone, for
//!   then the least is left to move.
//! - Clones share what all three parts consist of; a change copies what it touches.

use std::ops::Range;

use super::arena::{Arena, Cleaned, Handle};
use super::index::Index;
use super::order::Cut;
use super::tree::{self, CountedTree, Item};
use super::{Inserted, ScoredMember};
use crate::keyspace::hash_seed::HashSeed;

/// Slots that a removal cleans: as many as keep pace with removals, and more where the arena is sparse all the same, for
/// slots differ in size.
const CLEAN_SLOTS: usize = 4;
const CLEAN_SLOTS_IF_SPARSE: usize = 16;

/// A sorted set of any size.
#[derive(Debug, Clone)]
pub(super) struct Big {
    arena: Arena,
    index: Index,
    tree: CountedTree,
}

impl Big {
    pub(super) fn new(hash_seed: HashSeed) -> Big {
        Big { arena: Arena::default(), index: Index::new(hash_seed), tree: CountedTree::new() }
    }

    pub(super) fn reseed(&mut self, seed: HashSeed) {
        if self.index.seed() == seed {
            return;
        }
        self.index = Index::new(seed);
        for Item { handle, .. } in self.tree.iter(0..self.tree.len()) {
            let hash = self.index.hash(self.arena.member(handle));
            self.index.insert(&self.arena, hash, handle);
        }
    }

    pub(super) fn len(&self) -> usize {
        self.tree.len()
    }

    pub(super) fn score(&self, member: &[u8]) -> Option<f64> {
        let handle = self.index.find(&self.arena, self.index.hash(member), member)?;
        Some(self.arena.score(handle))
    }

    pub(super) fn insert(&mut self, member: &[u8], score: f64) -> Inserted {
        let hash = self.index.hash(member);
        match self.index.find(&self.arena, hash, member) {
            Some(handle) => self.update(handle, member, score),
            None => {
                let handle = self.arena.add(member, score);
                self.index.insert(&self.arena, hash, handle);
                self.place(handle, member, score);
                Inserted::Added
            }
        }
    }

    pub(super) fn remove(&mut self, member: &[u8]) -> Option<f64> {
        let hash = self.index.hash(member);
        let handle = self.index.find(&self.arena, hash, member)?;
        let score = self.remove_record(hash, handle);
        self.clean(if self.arena.is_sparse() { CLEAN_SLOTS_IF_SPARSE } else { CLEAN_SLOTS });
        Some(score)
    }

    /// Removes a range of ranks, which must lie within the set.
    pub(super) fn remove_ranks(&mut self, ranks: Range<usize>) {
        if ranks.len() == self.len() {
            return self.clear();
        }
        for _ in ranks.clone() {
            if let Some(Item { handle, .. }) = self.tree.get(ranks.start) {
                self.remove_record(self.index.hash(self.arena.member(handle)), handle);
            }
        }
        self.clean(usize::MAX);
    }

    pub(super) fn count_before(&self, cut: Cut) -> usize {
        self.tree.count_before(&is_after(&self.arena, cut))
    }

    /// The elements of a range of ranks, which must lie within the set.
    pub(super) fn iter(&self, ranks: Range<usize>) -> Iter<'_> {
        Iter { arena: &self.arena, items: self.tree.iter(ranks) }
    }

    pub(super) fn scan(&self, cursor: u64, count: usize, mut visit: impl FnMut(ScoredMember)) -> u64 {
        let arena = &self.arena;
        self.index.scan(arena, cursor, count, |handle| {
            visit(ScoredMember { member: arena.member(handle), score: arena.score(handle) });
        })
    }

    /// Bytes on the heap, as far as they are counted: allocator overhead is not.
    pub(super) fn heap_bytes(&self) -> usize {
        self.arena.heap_bytes() + self.index.heap_bytes() + self.tree.heap_bytes()
    }

    /// Drops one allocation; false when none is left. The set is good for nothing else after.
    pub(super) fn drop_one(&mut self) -> bool {
        self.index.drop_one() || self.tree.drop_one() || self.arena.drop_one()
    }

    fn update(&mut self, handle: Handle, member: &[u8], score: f64) -> Inserted {
        let old = self.arena.score(handle);
        if old == score {
            return Inserted::Same;
        }
        self.tree.remove(&is_after(&self.arena, Cut::Above(old, member)));
        self.arena.set_score(handle, score);
        self.place(handle, member, score);
        Inserted::Updated
    }

    fn place(&mut self, handle: Handle, member: &[u8], score: f64) {
        self.tree.insert(Item { score, handle }, &is_after(&self.arena, Cut::Below(score, member)));
    }

    fn remove_record(&mut self, hash: u64, handle: Handle) -> f64 {
        let score = self.arena.score(handle);
        self.index.remove(hash, handle);
        self.tree.remove(&is_after(&self.arena, Cut::Above(score, self.arena.member(handle))));
        self.arena.free(handle);
        score
    }

    fn clear(&mut self) {
        self.arena = Arena::default();
        self.index.clear();
        self.tree = CountedTree::new();
    }

    /// Cleans so many slots of the arena, or until enough of it is in use.
    fn clean(&mut self, slots: usize) {
        for _ in 0..slots {
            match self.arena.clean_slot() {
                Cleaned::Nothing => return,
                Cleaned::Freed => {}
                Cleaned::Moved { old, new } => self.repoint(old, new),
            }
        }
    }

    /// Makes what points to a record point to its copy.
    fn repoint(&mut self, old: Handle, new: Handle) {
        let (member, score) = (self.arena.member(new), self.arena.score(new));
        self.index.replace(self.index.hash(member), old, new);
        self.tree.replace(&is_after(&self.arena, Cut::Above(score, member)), new);
    }
}

/// The cut as a predicate on the tree's items.
fn is_after(arena: &Arena, cut: Cut) -> impl Fn(&Item) -> bool {
    move |item| cut.is_after(item.score, || arena.member(item.handle))
}

/// A walk over elements, from either end.
#[derive(Debug, Clone)]
pub(super) struct Iter<'a> {
    arena: &'a Arena,
    items: tree::Iter<'a>,
}

impl<'a> Iter<'a> {
    fn entry(&self, item: Item) -> ScoredMember<'a> {
        ScoredMember { member: self.arena.member(item.handle), score: item.score }
    }
}

impl<'a> Iterator for Iter<'a> {
    type Item = ScoredMember<'a>;

    fn next(&mut self) -> Option<ScoredMember<'a>> {
        let item = self.items.next()?;
        Some(self.entry(item))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.items.size_hint()
    }
}

impl<'a> DoubleEndedIterator for Iter<'a> {
    fn next_back(&mut self) -> Option<ScoredMember<'a>> {
        let item = self.items.next_back()?;
        Some(self.entry(item))
    }
}
