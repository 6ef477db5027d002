//! From a member to its handle: an extendible hash table over the records of an arena.
//!
//! - The directory has 2^depth rows; a hash's top bits choose the row. Each bucket serves all hashes that begin with its
//!   prefix, and the rows of a bucket stand side by side.
//! - A full bucket splits by itself, so growth never rehashes more than one bucket at a time. Doubling the directory
//!   copies four bytes a row.
//! - A bucket holds an eighth of each hash (a tag), so most records are read only where they match.
//! - The directory never has more than [`MAX_ROWS_PER_BUCKET`] rows for each bucket: where hashes collide beyond reason,
//!   buckets overflow instead, into trees by the whole hash: only hashes that are equal in all their bits cost more.
//! - Clones share buckets and directory. Whoever changes a bucket or some rows copies these first.
//! - No result depends on a bucket's inner order; a scan goes by (hash, member), which only members and seed decide.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::arena::{Arena, Handle};
use crate::keyspace::hash_seed::HashSeed;
use crate::keyspace::types::segmented::{Segmented, segment_len};
use crate::keyspace::types::shared::COUNTS_BYTES;

/// Entries of a bucket: as many as make it 384 bytes, with the counts that an `Arc` puts before it.
const BUCKET_ENTRIES: usize = 70;
/// The tags are compared eight at a time.
const TAG_WORDS: usize = BUCKET_ENTRIES.div_ceil(8);
/// Two buckets become one when they hold no more than this together.
const MERGE_ENTRIES: usize = BUCKET_ENTRIES * 2 / 3;
/// A well-mixed hash needs two to four.
const MAX_ROWS_PER_BUCKET: usize = 16;
/// Bits of a hash that a scan's cursor holds: few enough for a client that reads it as a double.
const CURSOR_BITS: u32 = 48;

/// Entries of a full bucket that can't split.
#[derive(Debug, Clone, Default)]
struct Overflow {
    /// By hash.
    entries: BTreeSet<(u64, Handle)>,
}

impl Overflow {
    /// Of this hash or a later one.
    fn from(&self, hash: u64) -> impl Iterator<Item = (u64, Handle)> {
        self.entries.range((hash, Handle::default())..).copied()
    }
}

/// What an entry of an overflow takes on the heap: itself, and its share of nodes that are half full.
const OVERFLOW_ENTRY_BYTES: usize = 2 * size_of::<(u64, Handle)>();

#[derive(Debug, Clone)]
struct Bucket {
    /// None unless the bucket is full.
    overflow: Option<Box<Overflow>>,
    handles: [Handle; BUCKET_ENTRIES],
    /// The top `depth` bits of every hash in here.
    prefix: u32,
    depth: u8,
    len: u8,
    tags: [[u8; 8]; TAG_WORDS],
}

type Directory = Segmented<u32, { segment_len::<u32>(4096) }>;
type Buckets = Segmented<Arc<Bucket>, { segment_len::<Arc<Bucket>>(1024) }>;

/// The hash function of an index.
pub(super) trait Hashing {
    fn hash(&self, member: &[u8]) -> u64;
}

impl Hashing for HashSeed {
    fn hash(&self, member: &[u8]) -> u64 {
        HashSeed::hash(*self, member)
    }
}

/// The members of one arena.
#[derive(Debug, Clone)]
pub(super) struct Index<S = HashSeed> {
    hashing: S,
    /// By the top bits of a hash: the bucket's number in `buckets`.
    directory: Directory,
    depth: u8,
    buckets: Buckets,
    /// Buckets whose depth is the directory's: they alone keep it from halving.
    deepest: usize,
    overflowing: usize,
}

impl Bucket {
    fn new(prefix: u32, depth: u8) -> Arc<Bucket> {
        let (handles, tags) = ([Handle::default(); BUCKET_ENTRIES], [[0; 8]; TAG_WORDS]);
        Arc::new(Bucket { overflow: None, handles, prefix, depth, len: 0, tags })
    }

    fn len(&self) -> usize {
        self.len as usize
    }

    fn is_full(&self) -> bool {
        self.len() == BUCKET_ENTRIES
    }

    fn push(&mut self, hash: u64, handle: Handle) {
        if self.is_full() {
            self.overflow.get_or_insert_default().entries.insert((hash, handle));
        } else {
            self.push_own(tag(hash), handle);
        }
    }

    fn push_own(&mut self, tag: u8, handle: Handle) {
        self.set(self.len(), tag, handle);
        self.len += 1;
    }

    /// Takes any entry, from the overflow first.
    fn pop(&mut self) -> Option<(u8, Handle)> {
        if let Some(overflow) = &mut self.overflow {
            let entry = overflow.entries.pop_last();
            self.overflow.take_if(|overflow| overflow.entries.is_empty());
            return entry.map(|(hash, handle)| (tag(hash), handle));
        }
        self.len = self.len.checked_sub(1)?;
        Some((self.tags[self.len() / 8][self.len() % 8], self.handles[self.len()]))
    }

    /// How many entries have overflowed.
    fn overflowing(&self) -> usize {
        self.overflow.as_ref().map_or(0, |overflow| overflow.entries.len())
    }

    /// Those that have not overflowed.
    fn own_entries(&self) -> impl Iterator<Item = (u8, Handle)> {
        self.tags.as_flattened().iter().copied().zip(self.handles).take(self.len())
    }

    /// The handles that have overflowed, of this hash or a later one, with their hashes and in their order.
    fn overflow_from(&self, hash: u64) -> impl Iterator<Item = (u64, Handle)> {
        self.overflow.iter().flat_map(move |overflow| overflow.from(hash))
    }

    fn handles(&self) -> impl Iterator<Item = Handle> {
        let own = self.own_entries().map(|(_, handle)| handle);
        own.chain(self.overflow_from(0).map(|(_, handle)| handle))
    }

    fn set(&mut self, at: usize, tag: u8, handle: Handle) {
        self.tags[at / 8][at % 8] = tag;
        self.handles[at] = handle;
    }

    /// The places that carry the tag, and now and then one that does not.
    fn candidates(&self, tag: u8) -> impl Iterator<Item = usize> {
        let words = self.tags.iter().enumerate();
        let places =
            words.flat_map(move |(word, tags)| Matches(equal_bytes(tags, tag)).map(move |at| word * 8 + at));
        places.take_while(|at| *at < self.len())
    }

    /// The handles that may have the hash.
    fn candidates_of(&self, hash: u64) -> impl Iterator<Item = Handle> {
        let own = self.candidates(tag(hash)).map(|at| self.handles[at]);
        let overflow = self.overflow_from(hash).take_while(move |(other, _)| *other == hash);
        own.chain(overflow.map(|(_, handle)| handle))
    }

    /// The place of a handle of this hash, unless it has overflowed.
    fn place_of(&self, hash: u64, handle: Handle) -> Option<usize> {
        self.candidates(tag(hash)).find(|at| self.handles[*at] == handle)
    }

    /// Gives the place of a handle to another of the same hash. False if it is not here.
    fn replace(&mut self, hash: u64, old: Handle, new: Handle) -> bool {
        if let Some(at) = self.place_of(hash, old) {
            self.set(at, tag(hash), new);
            return true;
        }
        self.overflow.as_mut().is_some_and(|overflow| {
            overflow.entries.remove(&(hash, old)) && overflow.entries.insert((hash, new))
        })
    }

    fn remove(&mut self, hash: u64, handle: Handle) {
        let Some(at) = self.place_of(hash, handle) else {
            let found =
                self.overflow.as_mut().is_some_and(|overflow| overflow.entries.remove(&(hash, handle)));
            self.overflow.take_if(|overflow| overflow.entries.is_empty());
            debug_assert!(found, "only what is in the index is removed from it");
            return;
        };
        // Another takes its place, unless it was the last.
        if let Some((tag, last)) = self.pop()
            && last != handle
        {
            self.set(at, tag, last);
        }
    }
}

/// The numbers of the marked bytes of a word, the low bits first.
struct Matches(u64);

impl Iterator for Matches {
    type Item = usize;

    fn next(&mut self) -> Option<usize> {
        if self.0 == 0 {
            return None;
        }
        let at = self.0.trailing_zeros() as usize / 8;
        self.0 &= self.0 - 1;
        Some(at)
    }
}

/// Marks the top bit of each byte that is the tag. A borrow may mark more above a byte that is, never less.
fn equal_bytes(tags: &[u8; 8], tag: u8) -> u64 {
    const LOW: u64 = u64::from_le_bytes([1; 8]);
    let differing = u64::from_le_bytes(*tags) ^ (LOW * u64::from(tag));
    differing.wrapping_sub(LOW) & !differing & (LOW << 7)
}

impl Index {
    pub(super) fn new(seed: HashSeed) -> Index {
        Index::with_hashing(seed)
    }

    pub(super) fn seed(&self) -> HashSeed {
        self.hashing
    }
}

impl<S: Hashing> Index<S> {
    fn with_hashing(hashing: S) -> Index<S> {
        let (directory, buckets) = (Directory::from_iter([0]), Buckets::from_iter([Bucket::new(0, 0)]));
        Index { hashing, directory, depth: 0, buckets, deepest: 1, overflowing: 0 }
    }

    pub(super) fn clear(&mut self) {
        self.directory = Directory::from_iter([0]);
        self.buckets = Buckets::from_iter([Bucket::new(0, 0)]);
        (self.depth, self.deepest, self.overflowing) = (0, 1, 0);
    }

    pub(super) fn hash(&self, member: &[u8]) -> u64 {
        self.hashing.hash(member)
    }

    pub(super) fn find(&self, arena: &Arena, hash: u64, member: &[u8]) -> Option<Handle> {
        self.bucket_of(hash).candidates_of(hash).find(|handle| arena.member(*handle) == member)
    }

    /// Adds a record whose member is not in the index.
    pub(super) fn insert(&mut self, arena: &Arena, hash: u64, handle: Handle) {
        while self.bucket_of(hash).is_full() && self.split(arena, self.row(hash)) {}
        self.push(hash, handle);
    }

    /// Removes the record, which must be in the index.
    pub(super) fn remove(&mut self, hash: u64, handle: Handle) {
        let bucket = self.bucket_of_mut(hash);
        let overflow = bucket.overflowing();
        bucket.remove(hash, handle);
        self.overflowing -= overflow.min(1);
        self.merge(self.row(hash));
    }

    /// Points the entry of `old` to `new`, which holds the same member.
    pub(super) fn replace(&mut self, hash: u64, old: Handle, new: Handle) {
        let found = self.bucket_of_mut(hash).replace(hash, old, new);
        debug_assert!(found, "only what is in the index is replaced in it");
    }

    /// Bytes on the heap.
    pub(super) fn heap_bytes(&self) -> usize {
        let each = COUNTS_BYTES + size_of::<Bucket>();
        let overflow = self.overflowing * OVERFLOW_ENTRY_BYTES;
        self.buckets.len() * each + overflow + self.buckets.heap_bytes() + self.directory.heap_bytes()
    }

    /// Drops one allocation without any bookkeeping; false when none is left. The index is good for nothing else after.
    pub(super) fn drop_one(&mut self) -> bool {
        self.buckets.drop_one()
    }

    fn row(&self, hash: u64) -> usize {
        top_bits(hash, self.depth) as usize
    }

    fn bucket_of(&self, hash: u64) -> &Bucket {
        self.bucket(self.id(self.row(hash)))
    }

    fn bucket_of_mut(&mut self, hash: u64) -> &mut Bucket {
        self.bucket_mut(self.id(self.row(hash)))
    }

    /// The number of the bucket behind the row.
    fn id(&self, row: usize) -> usize {
        *self.directory.get(row) as usize
    }

    fn bucket(&self, id: usize) -> &Bucket {
        self.buckets.get(id)
    }

    fn bucket_mut(&mut self, id: usize) -> &mut Bucket {
        Arc::make_mut(self.buckets.get_mut(id))
    }
}

/// Growing and shrinking.
impl<S: Hashing> Index<S> {
    /// Splits the bucket behind the row; false if the directory may not grow for it.
    fn split(&mut self, arena: &Arena, row: usize) -> bool {
        let id = self.id(row);
        if self.bucket(id).depth == self.depth && !self.double() {
            return false;
        }
        let (prefix, depth) = (self.bucket(id).prefix, self.bucket(id).depth + 1);
        let old = std::mem::replace(self.buckets.get_mut(id), Bucket::new(prefix << 1, depth));
        self.buckets.push(Bucket::new(prefix << 1 | 1, depth));
        self.point_rows(self.buckets.len() - 1);
        self.deepest += if depth == self.depth { 2 } else { 0 };
        self.overflowing -= old.overflowing();
        for handle in old.handles() {
            self.push(self.hash(arena.member(handle)), handle);
        }
        true
    }

    fn push(&mut self, hash: u64, handle: Handle) {
        let bucket = self.bucket_of_mut(hash);
        let overflows = bucket.is_full();
        bucket.push(hash, handle);
        self.overflowing += usize::from(overflows);
    }

    /// Makes the bucket behind the row one with its neighbour, if both are sparse.
    fn merge(&mut self, row: usize) {
        let id = self.id(row);
        let (prefix, depth) = (self.bucket(id).prefix, self.bucket(id).depth);
        if depth == 0 || self.bucket(id).len() > MERGE_ENTRIES {
            return;
        }
        let buddy_id = self.id(first_row(prefix ^ 1, depth, self.depth));
        let (bucket, buddy) = (self.bucket(id), self.bucket(buddy_id));
        if buddy.depth != depth || bucket.len() + buddy.len() > MERGE_ENTRIES {
            return;
        }
        self.deepest -= if depth == self.depth { 2 } else { 0 };
        let gone = self.take_bucket(buddy_id);
        let id = self.id(first_row(prefix, depth, self.depth));
        let bucket = self.bucket_mut(id);
        for (tag, handle) in gone.own_entries() {
            bucket.push_own(tag, handle);
        }
        (bucket.prefix, bucket.depth) = (prefix >> 1, depth - 1);
        self.point_rows(id);
        self.halve();
    }

    /// Takes a bucket out; the last one moves to its id.
    fn take_bucket(&mut self, id: usize) -> Arc<Bucket> {
        let gone = self.buckets.swap_remove(id);
        if id < self.buckets.len() {
            self.point_rows(id);
        }
        gone
    }

    /// Points all rows of the bucket to it.
    fn point_rows(&mut self, id: usize) {
        let bucket = self.bucket(id);
        let first = first_row(bucket.prefix, bucket.depth, self.depth);
        let rows = 1 << (self.depth - bucket.depth);
        self.directory.fill(first..first + rows, id as u32);
    }

    fn double(&mut self) -> bool {
        if self.directory.len() * 2 > MAX_ROWS_PER_BUCKET * self.buckets.len() {
            return false;
        }
        self.directory = (0..2 * self.directory.len()).map(|row| *self.directory.get(row / 2)).collect();
        self.depth += 1;
        self.deepest = 0;
        true
    }

    fn halve(&mut self) {
        while self.depth > 0 && self.deepest == 0 && self.directory.len() > 4 * self.buckets.len() {
            self.directory =
                (0..self.directory.len()).step_by(2).map(|row| *self.directory.get(row)).collect();
            self.depth -= 1;
            self.deepest = self.buckets.iter().filter(|bucket| bucket.depth == self.depth).count();
        }
    }
}

/// Scanning.
impl<S: Hashing> Index<S> {
    /// Visits at least `count` records from the cursor on, if there are as many, in the order of (hash, member).
    /// Returns the cursor to go on with, 0 at the end. Whatever is in the index from the first call to the last is
    /// visited, whatever else comes and goes meanwhile.
    pub(super) fn scan(
        &self,
        arena: &Arena,
        cursor: u64,
        count: usize,
        mut visit: impl FnMut(Handle),
    ) -> u64 {
        let count = count.max(1);
        let (mut visited, mut last) = (0, None);
        let mut start = cursor;
        while start < 1 << CURSOR_BITS {
            let bucket = self.bucket_of(start << (64 - CURSOR_BITS));
            for (hash, handle) in self.in_hash_order(arena, bucket, start, count) {
                let position = top_bits(hash, CURSOR_BITS as u8);
                // What shares a position with a visited record can't wait for the next call.
                if visited >= count && last != Some(position) {
                    return position;
                }
                visit(handle);
                (visited, last) = (visited + 1, Some(position));
            }
            start = (u64::from(bucket.prefix) + 1) << (CURSOR_BITS - u32::from(bucket.depth));
        }
        0
    }

    /// The records from a cursor's position on; of those that have overflowed at least `count`, and the first of the position after
    /// these, if there are as many.
    fn in_hash_order(&self, arena: &Arena, bucket: &Bucket, start: u64, count: usize) -> Vec<(u64, Handle)> {
        let position = |hash: u64| top_bits(hash, CURSOR_BITS as u8);
        let hashed = |(_, handle)| (self.hash(arena.member(handle)), handle);
        let own = bucket.own_entries().map(hashed).filter(|(hash, _)| position(*hash) >= start);
        let (mut taken, mut last, mut is_next) = (0, None, false);
        let overflow = bucket.overflow_from(start << (64 - CURSOR_BITS)).take_while(|(hash, _)| {
            if is_next {
                return false;
            }
            is_next = taken >= count && last != Some(position(*hash));
            (taken, last) = (taken + 1, Some(position(*hash)));
            true
        });
        let mut records: Vec<(u64, Handle)> = own.chain(overflow).collect();
        records.sort_unstable_by(|a, b| a.0.cmp(&b.0).then_with(|| arena.member(a.1).cmp(arena.member(b.1))));
        records
    }
}

/// The low bits, for the top ones choose the bucket.
fn tag(hash: u64) -> u8 {
    hash as u8
}

fn top_bits(hash: u64, bits: u8) -> u64 {
    // In two shifts, for no bits is a shift by the whole width.
    (hash >> 1) >> (63 - bits)
}

/// The first directory row of a prefix.
fn first_row(prefix: u32, depth: u8, directory_depth: u8) -> usize {
    (prefix as usize) << (directory_depth - depth)
}

#[cfg(test)]
mod tests;
