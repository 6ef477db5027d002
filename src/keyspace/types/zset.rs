//! The sorted set: members with scores, in the order of (score, member bytes).
//!
//! - Two encodings, as in Redis: packed in one buffer while small ("listpack"), indexed after ("skiplist"). A set never
//!   goes back to packed, and which it is follows from the history of its operations alone.
//! - Order, ranks, ranges and counts depend on the elements alone. So does a scan, given the seed of the hash.
//! - A rank counts from 0 at the lowest score. In the indexed encoding a rank, a count, and the start of a range cost
//!   O(log n), and one change never stalls longer than it takes to move a chunk of records.
//! - Every range is a range of ranks: ask for the ranks of a range of scores or members, then iterate, count or remove.
//!
//! Scores must not be NaN: the commands refuse it before they come here. `-0.0` is kept as given, but is equal to `0.0`.

mod arena;
mod big;
mod index;
mod order;
mod packed;
#[cfg(test)]
mod tests;
mod tree;

use std::iter::FusedIterator;
use std::ops::{Bound, Range};

use super::limits::TypeLimits;
use crate::keyspace::hash_seed::HashSeed;
use big::Big;
use order::{Cut, partition};
use packed::Packed;

/// When a set outgrows the packed encoding, and how the indexed one hashes.
///
/// Source: zset-max-listpack-entries and zset-max-listpack-value in <https://redis.io/docs/latest/operate/oss_and_stack/management/optimization/memory-optimization/>.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ZSetLimits {
    pub max_packed_entries: usize,
    pub max_packed_member_bytes: usize,
    pub max_packed_bytes: usize,
    /// Decides the order of a scan.
    pub hash_seed: HashSeed,
}

impl ZSetLimits {
    /// What Redis and Valkey ship with.
    pub const DEFAULT: ZSetLimits = ZSetLimits {
        max_packed_entries: 128,
        max_packed_member_bytes: 64,
        max_packed_bytes: 64 << 10,
        hash_seed: HashSeed::NONE,
    };
}

impl From<&TypeLimits> for ZSetLimits {
    /// The limits of a sorted set among those of all types.
    fn from(limits: &TypeLimits) -> ZSetLimits {
        ZSetLimits {
            max_packed_entries: limits.zset_max_listpack_entries,
            max_packed_member_bytes: limits.zset_max_listpack_value_bytes,
            max_packed_bytes: limits.max_packed_bytes,
            hash_seed: limits.hash_seed,
        }
    }
}

impl Default for ZSetLimits {
    fn default() -> ZSetLimits {
        ZSetLimits::DEFAULT
    }
}

/// Sets with more elements are worth dropping in steps: below that, freeing takes well under a millisecond.
const LARGE_LEN: usize = 65_536;

/// An element.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ScoredMember<'a> {
    pub member: &'a [u8],
    pub score: f64,
}

/// What an insert did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Inserted {
    /// The member is new.
    Added,
    /// The member has another score now.
    Updated,
    /// The member had this score already.
    Same,
}

/// A sorted set.
#[derive(Debug, Clone)]
pub struct ZSet {
    encoding: Encoding,
}

#[derive(Debug, Clone)]
enum Encoding {
    Packed(Packed),
    Big(Box<Big>),
}

impl Default for ZSet {
    fn default() -> ZSet {
        ZSet::new()
    }
}

/// Elements.
impl ZSet {
    pub fn new() -> ZSet {
        ZSet { encoding: Encoding::Packed(Packed::default()) }
    }

    /// An empty set that is indexed from the start: to restore one that was.
    pub fn new_indexed(limits: &ZSetLimits) -> ZSet {
        ZSet { encoding: Encoding::Big(Box::new(Big::new(limits.hash_seed))) }
    }

    pub fn len(&self) -> usize {
        match &self.encoding {
            Encoding::Packed(packed) => packed.len(),
            Encoding::Big(big) => big.len(),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub fn score(&self, member: &[u8]) -> Option<f64> {
        match &self.encoding {
            Encoding::Packed(packed) => packed.find(member).map(|found| found.score),
            Encoding::Big(big) => big.score(member),
        }
    }

    /// Adds the member, or gives it another score. The score must not be NaN.
    pub fn insert(&mut self, member: &[u8], score: f64, limits: &ZSetLimits) -> Inserted {
        debug_assert!(!score.is_nan(), "commands refuse NaN");
        match &mut self.encoding {
            Encoding::Big(big) => big.insert(member, score),
            Encoding::Packed(packed) => match packed.find(member) {
                Some(found) if found.score == score => Inserted::Same,
                Some(found) => {
                    packed.remove(&found);
                    packed.add(member, score);
                    Inserted::Updated
                }
                None => self.add(member, score, limits),
            },
        }
    }

    /// Removes the member; returns its score.
    pub fn remove(&mut self, member: &[u8]) -> Option<f64> {
        match &mut self.encoding {
            Encoding::Packed(packed) => {
                let found = packed.find(member)?;
                packed.remove(&found);
                Some(found.score)
            }
            Encoding::Big(big) => big.remove(member),
        }
    }

    pub fn pop_min(&mut self) -> Option<(Vec<u8>, f64)> {
        self.take(0)
    }

    pub fn pop_max(&mut self) -> Option<(Vec<u8>, f64)> {
        self.take(self.len().checked_sub(1)?)
    }

    fn add(&mut self, member: &[u8], score: f64, limits: &ZSetLimits) -> Inserted {
        let is_long = match &self.encoding {
            Encoding::Packed(packed) => {
                packed.used_bytes() + packed::most_element_bytes(member) > limits.max_packed_bytes
            }
            Encoding::Big(_) => false,
        };
        if is_long || self.len() >= limits.max_packed_entries || member.len() > limits.max_packed_member_bytes
        {
            self.become_big(limits);
        }
        match &mut self.encoding {
            Encoding::Packed(packed) => packed.add(member, score),
            Encoding::Big(big) => {
                big.insert(member, score);
            }
        }
        Inserted::Added
    }

    fn become_big(&mut self, limits: &ZSetLimits) {
        let mut big = Box::new(Big::new(limits.hash_seed));
        for entry in self.iter() {
            big.insert(entry.member, entry.score);
        }
        self.encoding = Encoding::Big(big);
    }

    fn take(&mut self, rank: usize) -> Option<(Vec<u8>, f64)> {
        let entry = self.get_by_rank(rank)?;
        let taken = (entry.member.to_vec(), entry.score);
        self.remove_by_rank(rank..rank + 1);
        Some(taken)
    }
}

/// Ranks and ranges.
impl ZSet {
    /// The member's rank, from the lowest score.
    pub fn rank(&self, member: &[u8]) -> Option<usize> {
        match &self.encoding {
            Encoding::Packed(packed) => packed.find(member).map(|found| found.rank),
            Encoding::Big(big) => Some(big.count_before(Cut::Below(big.score(member)?, member))),
        }
    }

    pub fn get_by_rank(&self, rank: usize) -> Option<ScoredMember<'_>> {
        self.by_rank(rank..rank.saturating_add(1)).next()
    }

    /// All elements, in order.
    pub fn iter(&self) -> ZSetIter<'_> {
        self.by_rank(0..self.len())
    }

    /// The elements of a range of ranks, cut to those that exist.
    pub fn by_rank(&self, ranks: Range<usize>) -> ZSetIter<'_> {
        let ranks = self.existing(ranks);
        ZSetIter {
            elements: match &self.encoding {
                Encoding::Packed(packed) => Elements::Packed(packed.iter(ranks)),
                Encoding::Big(big) => Elements::Big(big.iter(ranks)),
            },
        }
    }

    /// The ranks of the elements between two scores.
    pub fn ranks_by_score(&self, min: Bound<f64>, max: Bound<f64>) -> Range<usize> {
        let start = match min {
            Bound::Unbounded => 0,
            Bound::Included(score) => self.count_before(Cut::BelowScore(score)),
            Bound::Excluded(score) => self.count_before(Cut::AboveScore(score)),
        };
        let end = match max {
            Bound::Unbounded => self.len(),
            Bound::Included(score) => self.count_before(Cut::AboveScore(score)),
            Bound::Excluded(score) => self.count_before(Cut::BelowScore(score)),
        };
        start..end.max(start)
    }

    /// The ranks of the elements between two members, for a set whose members ascend from rank to rank: those with one score do.
    ///
    /// Redis leaves open what happens otherwise. Here a bound is found by halving, by ranks alone, so that the answer
    /// depends on the elements alone and nodes agree.
    pub fn ranks_by_lex(&self, min: Bound<&[u8]>, max: Bound<&[u8]>) -> Range<usize> {
        let start = match min {
            Bound::Unbounded => 0,
            Bound::Included(member) => self.count_members(member, Below::Excluded),
            Bound::Excluded(member) => self.count_members(member, Below::Included),
        };
        let end = match max {
            Bound::Unbounded => self.len(),
            Bound::Included(member) => self.count_members(member, Below::Included),
            Bound::Excluded(member) => self.count_members(member, Below::Excluded),
        };
        start..end.max(start)
    }

    /// How many elements come before a member, or before what follows it, in the order of members.
    fn count_members(&self, member: &[u8], below: Below) -> usize {
        let ends = [0, self.len().saturating_sub(1)].map(|rank| self.get_by_rank(rank).map(|end| end.score));
        match (ends, below) {
            ([Some(first), Some(last)], Below::Excluded) if first == last => {
                self.count_before(Cut::Below(first, member))
            }
            ([Some(first), Some(last)], Below::Included) if first == last => {
                self.count_before(Cut::Above(first, member))
            }
            _ => partition(self.len(), |rank| {
                self.get_by_rank(rank).is_some_and(|one| match below {
                    Below::Excluded => one.member < member,
                    Below::Included => one.member <= member,
                })
            }),
        }
    }

    /// The elements between two scores, in order.
    pub fn range_by_score(&self, min: Bound<f64>, max: Bound<f64>) -> ZSetIter<'_> {
        self.by_rank(self.ranks_by_score(min, max))
    }

    /// The elements between two members; see [`ZSet::ranks_by_lex`].
    pub fn range_by_lex(&self, min: Bound<&[u8]>, max: Bound<&[u8]>) -> ZSetIter<'_> {
        self.by_rank(self.ranks_by_lex(min, max))
    }

    pub fn count_by_score(&self, min: Bound<f64>, max: Bound<f64>) -> usize {
        self.ranks_by_score(min, max).len()
    }

    pub fn count_by_lex(&self, min: Bound<&[u8]>, max: Bound<&[u8]>) -> usize {
        self.ranks_by_lex(min, max).len()
    }

    /// Removes a range of ranks, cut to those that exist; returns how many there were.
    pub fn remove_by_rank(&mut self, ranks: Range<usize>) -> usize {
        let ranks = self.existing(ranks);
        match &mut self.encoding {
            Encoding::Packed(packed) => packed.remove_ranks(ranks.clone()),
            Encoding::Big(big) => big.remove_ranks(ranks.clone()),
        }
        ranks.len()
    }

    pub fn remove_by_score(&mut self, min: Bound<f64>, max: Bound<f64>) -> usize {
        self.remove_by_rank(self.ranks_by_score(min, max))
    }

    pub fn remove_by_lex(&mut self, min: Bound<&[u8]>, max: Bound<&[u8]>) -> usize {
        self.remove_by_rank(self.ranks_by_lex(min, max))
    }

    fn count_before(&self, cut: Cut) -> usize {
        match &self.encoding {
            Encoding::Packed(packed) => packed.count_before(cut),
            Encoding::Big(big) => big.count_before(cut),
        }
    }

    fn existing(&self, ranks: Range<usize>) -> Range<usize> {
        let end = ranks.end.min(self.len());
        ranks.start.min(end)..end
    }
}

/// Whether a member counts among those below it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Below {
    Included,
    Excluded,
}

/// Scanning, encoding, memory.
impl ZSet {
    /// Visits at least `count` elements from the cursor on, if there are as many; a packed set all at once. Start with
    /// cursor 0; returns the next one, 0 at the end. An element that is in the set from the first call to the last is
    /// visited, though perhaps more than once; cursors stay below 2^48.
    pub fn scan(&self, cursor: u64, count: usize, visit: impl FnMut(ScoredMember)) -> u64 {
        match &self.encoding {
            Encoding::Packed(packed) => {
                packed.iter(0..packed.len()).for_each(visit);
                0
            }
            Encoding::Big(big) => big.scan(cursor, count, visit),
        }
    }

    /// Finds members by another seed from here on; see [`HashSeed`]. Cursors of scans mean nothing afterwards.
    pub fn reseed(&mut self, seed: HashSeed) {
        if let Encoding::Big(big) = &mut self.encoding {
            big.reseed(seed);
        }
    }

    /// Whether the set has outgrown the packed encoding.
    pub fn is_indexed(&self) -> bool {
        matches!(self.encoding, Encoding::Big(_))
    }

    /// As OBJECT ENCODING names it.
    pub fn encoding_name(&self) -> &'static str {
        match &self.encoding {
            Encoding::Packed(_) => "listpack",
            Encoding::Big(_) => "skiplist",
        }
    }

    /// Whether members are found by walking.
    pub fn is_packed(&self) -> bool {
        matches!(self.encoding, Encoding::Packed(_))
    }

    /// Bytes that the set takes, itself included, without what the allocator rounds up. O(1).
    pub fn memory_bytes(&self) -> usize {
        let heap = match &self.encoding {
            Encoding::Packed(packed) => packed.heap_bytes(),
            Encoding::Big(big) => size_of::<Big>() + big.heap_bytes(),
        };
        size_of::<ZSet>() + heap
    }

    /// Whether dropping it at once would be noticed; see [`ZSet::into_remains`].
    pub fn is_large(&self) -> bool {
        self.len() > LARGE_LEN
    }

    /// The set's memory, to be given back in steps.
    pub fn into_remains(self) -> Remains {
        Remains { encoding: self.encoding }
    }
}

/// What is left of a set that nobody can see any more.
#[derive(Debug)]
pub struct Remains {
    encoding: Encoding,
}

impl Remains {
    /// Frees up to `allocations` allocations, each of which held some 40 to 1000 elements; true when none is left.
    pub fn drop_some(&mut self, allocations: usize) -> bool {
        match &mut self.encoding {
            Encoding::Packed(_) => true,
            Encoding::Big(big) => (0..allocations).any(|_| !big.drop_one()),
        }
    }
}

/// Elements in order, from either end.
#[derive(Debug, Clone)]
pub struct ZSetIter<'a> {
    elements: Elements<'a>,
}

#[derive(Debug, Clone)]
enum Elements<'a> {
    Packed(packed::Iter<'a>),
    Big(big::Iter<'a>),
}

impl<'a> Iterator for ZSetIter<'a> {
    type Item = ScoredMember<'a>;

    fn next(&mut self) -> Option<ScoredMember<'a>> {
        match &mut self.elements {
            Elements::Packed(iter) => iter.next(),
            Elements::Big(iter) => iter.next(),
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        match &self.elements {
            Elements::Packed(iter) => iter.size_hint(),
            Elements::Big(iter) => iter.size_hint(),
        }
    }
}

impl<'a> DoubleEndedIterator for ZSetIter<'a> {
    fn next_back(&mut self) -> Option<ScoredMember<'a>> {
        match &mut self.elements {
            Elements::Packed(iter) => iter.next_back(),
            Elements::Big(iter) => iter.next_back(),
        }
    }
}

impl ExactSizeIterator for ZSetIter<'_> {}
impl FusedIterator for ZSetIter<'_> {}

impl<'a> IntoIterator for &'a ZSet {
    type Item = ScoredMember<'a>;
    type IntoIter = ZSetIter<'a>;

    fn into_iter(self) -> ZSetIter<'a> {
        self.iter()
    }
}
