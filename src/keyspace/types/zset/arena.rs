//! Where the members of a big sorted set live: thin records in chunks, named by 32-bit handles.
//!
//! ```text
//! used slot = len:u16 score:f64 member          len is the member's; the slot is rounded up to whole units
//! free slot = FREE|units:u16 _:u16 next:u32 prev:u32
//! ```
//!
//! - A slot never moves: a handle stays good until [`Arena::free`]. Only [`Arena::clean_slot`] gives a record a new handle.
//! - Free slots of one size form a doubly linked list through the chunks, so a slot is reused for the next record of
//!   that size, and a whole chunk can leave the lists without searching them.
//! - A chunk is a gapless row of slots, so it can be walked from its start.
//! - A member longer than [`MAX_SLOT_MEMBER`] has an allocation of its own; the top bit of its handle says so.
//! - When two fifths of the slot bytes lie free, the emptiest chunk is cleaned, slot by slot: live records move away, then
//!   the chunk goes. Memory follows the set down, a chunk at a time.
//! - Clones share chunks. Whoever changes a record, or the free list that it is in, copies a chunk or three first.
//!
//! Slots reach 8 GiB; whatever comes after that gets an allocation of its own, of which there can be 2^31.

use std::sync::Arc;

use crate::keyspace::types::segmented::{Segmented, segment_len};
use crate::keyspace::types::shared::{COUNTS_BYTES, SharedBytes};

const UNIT: usize = 4;
/// What a chunk allocates, the counts before its slots included.
const CHUNK_ALLOCATION: usize = 32 << 10;
const CHUNK_BYTES: usize = CHUNK_ALLOCATION - COUNTS_BYTES;
/// Units that a handle can tell apart in a chunk.
const UNITS_PER_CHUNK: u32 = (CHUNK_ALLOCATION / UNIT) as u32;
const MAX_CHUNKS: usize = (LARGE / UNITS_PER_CHUNK) as usize;
/// A chunk grows by at least this much, and by an eighth of the arena, until it is whole.
const MIN_GROWTH: usize = 512;

const HEADER: usize = 2;
const MEMBER_AT: usize = HEADER + 8;
const NEXT_AT: usize = 4;
const PREV_AT: usize = 8;
const MIN_SLOT: usize = 12;
const MAX_SLOT: usize = 1024;
/// Bytes of the longest member that shares a chunk with others.
pub(super) const MAX_SLOT_MEMBER: usize = MAX_SLOT - MEMBER_AT;

/// In a slot's header: the slot is free.
const FREE: u16 = 1 << 15;
/// In a handle: the record has its own allocation.
const LARGE: u32 = 1 << 31;
const NONE: u32 = u32::MAX;

/// Names a record of one arena.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(super) struct Handle(u32);

#[derive(Debug, Clone, Default)]
struct Chunk {
    bytes: SharedBytes,
    /// Bytes in slots.
    filled: u32,
    /// Bytes in used slots.
    used: u32,
}

/// A record with an allocation of its own; empty while its handle is vacant.
#[derive(Debug, Clone, Default)]
struct LargeRecord {
    score: f64,
    member: Arc<[u8]>,
}

type Chunks = Segmented<Chunk, { segment_len::<Chunk>(3072) }>;
type LargeRecords = Segmented<LargeRecord, { segment_len::<LargeRecord>(3072) }>;
type Ids = Segmented<u32, { segment_len::<u32>(4096) }>;

/// How far a chunk is cleaned: its slots before the offset are garbage and in no list.
#[derive(Debug, Clone, Copy)]
struct Cleaning {
    chunk: usize,
    offset: usize,
}

/// What a step of cleaning did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cleaned {
    /// Nothing: too little lies free.
    Nothing,
    /// It took a free slot out of circulation, or the whole chunk.
    Freed,
    /// It copied a record. Whoever knows the old handle must learn the new one before the next step.
    Moved { old: Handle, new: Handle },
}

/// Members and their scores.
#[derive(Debug, Clone, Default)]
pub(super) struct Arena {
    chunks: Chunks,
    /// Chunk ids without a chunk.
    vacant: Ids,
    /// The chunk that new slots are cut from.
    open: usize,
    cleaning: Option<Cleaning>,
    /// By slot size in units: the first free slot.
    free_heads: Vec<u32>,
    /// Bytes of all slots, and of the free ones among them.
    slot_bytes: usize,
    free_bytes: usize,
    large: LargeRecords,
    large_vacant: Ids,
    large_bytes: usize,
}

impl Handle {
    fn new(chunk: usize, offset: usize) -> Handle {
        Handle(chunk as u32 * UNITS_PER_CHUNK + (offset / UNIT) as u32)
    }

    fn large(self) -> Option<usize> {
        (self.0 & LARGE != 0).then_some((self.0 & !LARGE) as usize)
    }

    fn chunk(self) -> usize {
        (self.0 / UNITS_PER_CHUNK) as usize
    }

    fn offset(self) -> usize {
        (self.0 % UNITS_PER_CHUNK) as usize * UNIT
    }
}

impl Arena {
    pub(super) fn member(&self, handle: Handle) -> &[u8] {
        if let Some(at) = handle.large() {
            return &self.large.get(at).member;
        }
        let slot = self.slot(handle);
        let len = read_u16(slot, 0) as usize;
        &slot[MEMBER_AT..MEMBER_AT + len]
    }

    pub(super) fn score(&self, handle: Handle) -> f64 {
        if let Some(at) = handle.large() {
            return self.large.get(at).score;
        }
        let bytes = &self.slot(handle)[HEADER..MEMBER_AT];
        f64::from_le_bytes(bytes.try_into().expect("a score is eight bytes"))
    }

    pub(super) fn set_score(&mut self, handle: Handle, score: f64) {
        match handle.large() {
            Some(at) => self.large.get_mut(at).score = score,
            None => self.slot_mut(handle)[HEADER..MEMBER_AT].copy_from_slice(&score.to_le_bytes()),
        }
    }

    pub(super) fn add(&mut self, member: &[u8], score: f64) -> Handle {
        if member.len() > MAX_SLOT_MEMBER {
            return self.add_large(member, score);
        }
        let size = slot_size(member.len());
        let Some(handle) = self.reuse_slot(size).or_else(|| self.cut_slot(size)) else {
            return self.add_large(member, score);
        };
        let chunk = self.chunks.get_mut(handle.chunk());
        chunk.used += size as u32;
        let slot = &mut chunk.bytes.bytes_mut()[handle.offset()..];
        write_u16(slot, 0, member.len() as u16);
        slot[HEADER..MEMBER_AT].copy_from_slice(&score.to_le_bytes());
        slot[MEMBER_AT..MEMBER_AT + member.len()].copy_from_slice(member);
        handle
    }

    pub(super) fn free(&mut self, handle: Handle) {
        if let Some(at) = handle.large() {
            self.large_bytes -= std::mem::take(self.large.get_mut(at)).member.len();
            self.large_vacant.push(at as u32);
            return;
        }
        let size = slot_size(read_u16(self.slot(handle), 0) as usize);
        self.chunks.get_mut(handle.chunk()).used -= size as u32;
        self.link(handle, size);
    }

    /// Bytes on the heap, reserved ones included.
    pub(super) fn heap_bytes(&self) -> usize {
        let tail = self.open_chunk().map_or(0, |open| open.bytes.len() - open.filled as usize);
        self.slot_bytes + tail + self.large_bytes + self.large.heap_bytes()
    }

    /// Drops one allocation without any bookkeeping; false when none is left. The arena is good for nothing else after.
    pub(super) fn drop_one(&mut self) -> bool {
        self.chunks.drop_one() || self.large.drop_one()
    }

    fn slot(&self, handle: Handle) -> &[u8] {
        &self.chunks.get(handle.chunk()).bytes[handle.offset()..]
    }

    fn slot_mut(&mut self, handle: Handle) -> &mut [u8] {
        &mut self.chunks.get_mut(handle.chunk()).bytes.bytes_mut()[handle.offset()..]
    }

    /// None in an arena that never had a chunk.
    fn open_chunk(&self) -> Option<&Chunk> {
        (self.open < self.chunks.len()).then(|| self.chunks.get(self.open))
    }

    fn add_large(&mut self, member: &[u8], score: f64) -> Handle {
        self.large_bytes += member.len();
        let at = self.large_vacant.pop().map_or(self.large.len(), |at| at as usize);
        assert!(at < LARGE as usize - 1, "2^31 records of their own exceed any memory this runs in");
        if at == self.large.len() {
            self.large.push(LargeRecord::default());
        }
        *self.large.get_mut(at) = LargeRecord { score, member: member.into() };
        Handle(LARGE | at as u32)
    }
}

/// Slots: cutting, freeing, reusing.
impl Arena {
    /// A new slot behind those of the open chunk; None when there can be no more chunks.
    fn cut_slot(&mut self, size: usize) -> Option<Handle> {
        if self.open_chunk().is_none_or(|chunk| chunk.filled as usize + size > CHUNK_BYTES) {
            self.open = self.new_chunk()?;
        }
        let growth = MIN_GROWTH.max(self.slot_bytes / 8).max(size);
        let chunk = self.chunks.get_mut(self.open);
        let offset = chunk.filled as usize;
        if chunk.bytes.len() < offset + size {
            chunk.bytes.grow(offset, (offset + growth).min(CHUNK_BYTES));
        }
        chunk.filled += size as u32;
        self.slot_bytes += size;
        Some(Handle::new(self.open, offset))
    }

    fn new_chunk(&mut self) -> Option<usize> {
        if let Some(id) = self.vacant.pop() {
            return Some(id as usize);
        }
        if self.chunks.len() == MAX_CHUNKS {
            return None;
        }
        self.chunks.push(Chunk::default());
        Some(self.chunks.len() - 1)
    }

    fn reuse_slot(&mut self, size: usize) -> Option<Handle> {
        let head = *self.free_heads.get(size / UNIT)?;
        if head == NONE {
            return None;
        }
        self.unlink(Handle(head));
        Some(Handle(head))
    }

    /// Marks the slot free and puts it first in the list of its size.
    fn link(&mut self, handle: Handle, size: usize) {
        let class = size / UNIT;
        if self.free_heads.len() <= class {
            self.free_heads.resize(class + 1, NONE);
        }
        let next = std::mem::replace(&mut self.free_heads[class], handle.0);
        let slot = self.slot_mut(handle);
        write_u16(slot, 0, FREE | class as u16);
        write_u32(slot, NEXT_AT, next);
        write_u32(slot, PREV_AT, NONE);
        if next != NONE {
            write_u32(self.slot_mut(Handle(next)), PREV_AT, handle.0);
        }
        self.free_bytes += size;
    }

    fn unlink(&mut self, handle: Handle) {
        let slot = self.slot(handle);
        let class = (read_u16(slot, 0) & !FREE) as usize;
        let (next, prev) = (read_u32(slot, NEXT_AT), read_u32(slot, PREV_AT));
        if next != NONE {
            write_u32(self.slot_mut(Handle(next)), PREV_AT, prev);
        }
        if prev == NONE {
            self.free_heads[class] = next;
        } else {
            write_u32(self.slot_mut(Handle(prev)), NEXT_AT, next);
        }
        self.free_bytes -= class * UNIT;
    }
}

/// Cleaning.
impl Arena {
    /// Cleans one slot more, if enough lies free.
    ///
    /// Each step frees a slot for good or moves one record, so a removal need not wait for a whole chunk; three steps for
    /// each slot that is freed keep pace.
    pub(super) fn clean_slot(&mut self) -> Cleaned {
        let victim = || Some(Cleaning { chunk: self.victim()?, offset: 0 });
        let Some(Cleaning { chunk, offset }) = self.cleaning.or_else(victim) else {
            return Cleaned::Nothing;
        };
        if offset == self.chunks.get(chunk).filled as usize {
            self.release(chunk);
            self.cleaning = None;
            return Cleaned::Freed;
        }
        let handle = Handle::new(chunk, offset);
        let header = read_u16(self.slot(handle), 0);
        let is_free = header & FREE != 0;
        let size = if is_free { (header & !FREE) as usize * UNIT } else { slot_size(header as usize) };
        self.cleaning = Some(Cleaning { chunk, offset: offset + size });
        if is_free {
            self.unlink(handle);
            return Cleaned::Freed;
        }
        let member = self.member(handle).to_vec();
        Cleaned::Moved { old: handle, new: self.add(&member, self.score(handle)) }
    }

    /// Whether more than half of the slot bytes lie free: then cleaning should hurry.
    pub(super) fn is_sparse(&self) -> bool {
        self.free_bytes * 2 > self.slot_bytes
    }

    /// The chunk to clean, if enough lies free: the emptiest, for that costs least.
    fn victim(&self) -> Option<usize> {
        if self.free_bytes * 5 < self.slot_bytes * 2 || self.slot_bytes <= CHUNK_BYTES {
            return None;
        }
        let candidates =
            self.chunks.iter().enumerate().filter(|(id, chunk)| *id != self.open && chunk.filled > 0);
        candidates.min_by_key(|(_, chunk)| chunk.used).map(|(id, _)| id)
    }

    /// Frees a chunk with all that is in it.
    fn release(&mut self, chunk: usize) {
        let gone = std::mem::take(self.chunks.get_mut(chunk));
        self.slot_bytes -= gone.filled as usize;
        self.vacant.push(chunk as u32);
    }
}

fn slot_size(member_len: usize) -> usize {
    (MEMBER_AT + member_len).next_multiple_of(UNIT).max(MIN_SLOT)
}

fn read_u16(slot: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([slot[at], slot[at + 1]])
}

fn write_u16(slot: &mut [u8], at: usize, value: u16) {
    slot[at..at + 2].copy_from_slice(&value.to_le_bytes());
}

fn read_u32(slot: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([slot[at], slot[at + 1], slot[at + 2], slot[at + 3]])
}

fn write_u32(slot: &mut [u8], at: usize, value: u32) {
    slot[at..at + 4].copy_from_slice(&value.to_le_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clean(arena: &mut Arena, handles: &mut [Handle]) {
        loop {
            match arena.clean_slot() {
                Cleaned::Nothing => return,
                Cleaned::Freed => {}
                Cleaned::Moved { old, new } => {
                    *handles.iter_mut().find(|handle| **handle == old).expect("a live record is ours") = new;
                }
            }
        }
    }

    #[test]
    fn records_keep_member_and_score() {
        let mut arena = Arena::default();
        let lens = [0, 1, 2, 3, 16, 300, MAX_SLOT_MEMBER, MAX_SLOT_MEMBER + 1, 100_000];
        let members: Vec<Vec<u8>> = lens.iter().map(|len| vec![*len as u8; *len]).collect();
        let handles: Vec<Handle> =
            members.iter().map(|member| arena.add(member, member.len() as f64)).collect();
        for (handle, member) in handles.iter().zip(&members) {
            assert_eq!((arena.member(*handle), arena.score(*handle)), (&member[..], member.len() as f64));
            arena.set_score(*handle, -0.5);
            assert_eq!((arena.member(*handle), arena.score(*handle)), (&member[..], -0.5));
        }
    }

    #[test]
    fn a_freed_slot_serves_the_next_record_of_its_size() {
        let mut arena = Arena::default();
        let handles: Vec<Handle> = (0..3).map(|i| arena.add(b"sixteen bytes ..", i as f64)).collect();
        let bytes = arena.slot_bytes;
        arena.free(handles[0]);
        arena.free(handles[2]);
        arena.free(handles[1]);
        let again = [arena.add(b"seventeen bytes .", 7.0), arena.add(b"eighteen bytes ...", 8.0)];
        assert_eq!(again, [handles[1], handles[2]]);
        assert_eq!(arena.slot_bytes, bytes);
        arena.add(b"a longer member that fits no free slot", 9.0);
        assert!(arena.slot_bytes > bytes);
    }

    #[test]
    fn a_large_record_gives_its_memory_back() {
        let mut arena = Arena::default();
        let handle = arena.add(&[1; 50_000], 1.0);
        assert!(arena.heap_bytes() > 50_000);
        arena.free(handle);
        assert!(arena.heap_bytes() < 100);
        assert_eq!(arena.add(&[2; 2_000], 1.0), handle);
    }

    #[test]
    fn memory_follows_the_set_down_even_when_sizes_change() {
        let mut arena = Arena::default();
        let mut handles: Vec<Handle> = (0..20_000u32).map(|i| arena.add(&[0; 16], f64::from(i))).collect();
        let full = arena.heap_bytes();
        for i in 0..handles.len() {
            let score = arena.score(handles[i]);
            arena.free(handles[i]);
            handles[i] = arena.add(&[1; 20], score);
            if i % 500 == 0 {
                clean(&mut arena, &mut handles);
                assert!(arena.heap_bytes() < full * 32 / 28 * 18 / 10, "{} of {full}", arena.heap_bytes());
            }
        }
        for handle in handles.drain(100..) {
            arena.free(handle);
        }
        clean(&mut arena, &mut handles);
        assert!(arena.heap_bytes() <= 2 * CHUNK_BYTES);
        let scores: Vec<f64> = handles.iter().map(|handle| arena.score(*handle)).collect();
        assert_eq!(scores, (0..100).map(f64::from).collect::<Vec<_>>());
    }
}
