//! Where the members of a big sorted set live: thin records in chunks, named by 32-bit handles.
//!
//! ```text
//! used slot = len:u16 score:f64 member          len is the member's; the slot is rounded up to whole units
//! free slot = FREE|units:u16 _:u16 next:u32 prev:u32
//! ```
//!
//! - A slot never moves: a handle stays good until [`Arena::free`]. Only [`Arena::clone_record`], which the cleaner uses,
//!   gives a record a new handle.
//! - Free slots of one size form a doubly linked list through the chunks, so a slot is reused for the next record of
//!   that size, and a whole chunk can leave the lists without searching them.
//! - A chunk is a gapless row of slots, so it can be walked from its start.
//! - A member longer than [`MAX_SLOT_MEMBER`] has an allocation of its own; the top bit of its handle says so.
//! - When two fifths of the slot bytes lie free, [`Arena::victim`] names the emptiest chunk; its owner moves the live
//!   records away and releases it. Memory follows the set down, a chunk at a time.
//!
//! Slots reach 8 GiB; whatever comes after that gets an allocation of its own, of which there can be 2^31.

const UNIT: usize = 4;
const CHUNK_BYTES: usize = 32 << 10;
const UNITS_PER_CHUNK: u32 = (CHUNK_BYTES / UNIT) as u32;
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
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Handle(u32);

#[derive(Debug, Clone, Default)]
struct Chunk {
    bytes: Vec<u8>,
    /// Bytes in used slots.
    used: usize,
}

/// Members and their scores.
#[derive(Debug, Clone, Default)]
pub(super) struct Arena {
    chunks: Vec<Chunk>,
    /// Chunk ids without a chunk.
    vacant: Vec<u32>,
    /// The chunk that new slots are cut from.
    open: usize,
    /// By slot size in units: the first free slot.
    free_heads: Vec<u32>,
    /// Bytes of all slots, and of the free ones among them.
    slot_bytes: usize,
    free_bytes: usize,
    large: Vec<Box<[u8]>>,
    large_vacant: Vec<u32>,
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
            return &self.large[at][8..];
        }
        let slot = self.slot(handle);
        let len = read_u16(slot, 0) as usize;
        &slot[MEMBER_AT..MEMBER_AT + len]
    }

    pub(super) fn score(&self, handle: Handle) -> f64 {
        let bytes = match handle.large() {
            Some(at) => &self.large[at][..8],
            None => &self.slot(handle)[HEADER..MEMBER_AT],
        };
        f64::from_le_bytes(bytes.try_into().expect("a score is eight bytes"))
    }

    pub(super) fn set_score(&mut self, handle: Handle, score: f64) {
        let bytes = match handle.large() {
            Some(at) => &mut self.large[at][..8],
            None => &mut self.slot_mut(handle)[HEADER..MEMBER_AT],
        };
        bytes.copy_from_slice(&score.to_le_bytes());
    }

    pub(super) fn add(&mut self, member: &[u8], score: f64) -> Handle {
        if member.len() > MAX_SLOT_MEMBER {
            return self.add_large(member, score);
        }
        let size = slot_size(member.len());
        let Some(handle) = self.reuse_slot(size).or_else(|| self.cut_slot(size)) else {
            return self.add_large(member, score);
        };
        let slot = self.slot_mut(handle);
        write_u16(slot, 0, member.len() as u16);
        slot[HEADER..MEMBER_AT].copy_from_slice(&score.to_le_bytes());
        slot[MEMBER_AT..MEMBER_AT + member.len()].copy_from_slice(member);
        self.chunks[handle.chunk()].used += size;
        handle
    }

    pub(super) fn free(&mut self, handle: Handle) {
        if let Some(at) = handle.large() {
            self.large_bytes -= std::mem::take(&mut self.large[at]).len();
            self.large_vacant.push(at as u32);
            return;
        }
        let size = slot_size(read_u16(self.slot(handle), 0) as usize);
        self.chunks[handle.chunk()].used -= size;
        self.link(handle, size);
    }

    /// Bytes on the heap, reserved ones included.
    pub(super) fn heap_bytes(&self) -> usize {
        let tail = self.chunks.get(self.open).map_or(0, |open| open.bytes.capacity() - open.bytes.len());
        self.slot_bytes + tail + self.large_bytes + self.large.capacity() * size_of::<Box<[u8]>>()
    }

    /// Drops one allocation without any bookkeeping; false when none is left. The arena is good for nothing else after.
    pub(super) fn drop_one(&mut self) -> bool {
        self.chunks.pop().is_some() || self.large.pop().is_some()
    }

    fn slot(&self, handle: Handle) -> &[u8] {
        &self.chunks[handle.chunk()].bytes[handle.offset()..]
    }

    fn slot_mut(&mut self, handle: Handle) -> &mut [u8] {
        &mut self.chunks[handle.chunk()].bytes[handle.offset()..]
    }

    fn add_large(&mut self, member: &[u8], score: f64) -> Handle {
        let mut record = Vec::with_capacity(8 + member.len());
        record.extend_from_slice(&score.to_le_bytes());
        record.extend_from_slice(member);
        self.large_bytes += record.len();
        let at = self.large_vacant.pop().map_or(self.large.len(), |at| at as usize);
        assert!(at < LARGE as usize - 1, "2^31 records of their own exceed any memory this runs in");
        if at == self.large.len() {
            self.large.push(Box::default());
        }
        self.large[at] = record.into_boxed_slice();
        Handle(LARGE | at as u32)
    }
}

/// Slots: cutting, freeing, reusing.
impl Arena {
    /// A new slot behind those of the open chunk; None when there can be no more chunks.
    fn cut_slot(&mut self, size: usize) -> Option<Handle> {
        if self.chunks.get(self.open).is_none_or(|chunk| chunk.bytes.len() + size > CHUNK_BYTES) {
            self.open = self.new_chunk()?;
        }
        let growth = MIN_GROWTH.max(self.slot_bytes / 8).max(size);
        let bytes = &mut self.chunks[self.open].bytes;
        let offset = bytes.len();
        if bytes.capacity() < offset + size {
            bytes.reserve_exact(growth.min(CHUNK_BYTES - offset));
        }
        bytes.resize(offset + size, 0);
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

/// Cleaning: `victim`, then `retire` it, then `clone_record` and re-point each record it returned, then `release`.
impl Arena {
    /// The chunk to clean, if enough lies free: the emptiest, for that costs least.
    pub(super) fn victim(&self) -> Option<usize> {
        if self.free_bytes * 5 < self.slot_bytes * 2 || self.slot_bytes <= CHUNK_BYTES {
            return None;
        }
        let candidates =
            self.chunks.iter().enumerate().filter(|(id, chunk)| *id != self.open && !chunk.bytes.is_empty());
        candidates.min_by_key(|(_, chunk)| chunk.used).map(|(id, _)| id)
    }

    /// Takes the chunk's free slots out of circulation and returns its records.
    pub(super) fn retire(&mut self, chunk: usize) -> Vec<Handle> {
        let mut live = Vec::new();
        let mut offset = 0;
        while offset < self.chunks[chunk].bytes.len() {
            let handle = Handle::new(chunk, offset);
            let header = read_u16(self.slot(handle), 0);
            if header & FREE != 0 {
                self.unlink(handle);
                offset += (header & !FREE) as usize * UNIT;
            } else {
                live.push(handle);
                offset += slot_size(header as usize);
            }
        }
        live
    }

    /// A second record with the same member and score, elsewhere.
    pub(super) fn clone_record(&mut self, handle: Handle) -> Handle {
        let member = self.member(handle).to_vec();
        self.add(&member, self.score(handle))
    }

    /// Frees a retired chunk with all that is in it.
    pub(super) fn release(&mut self, chunk: usize) {
        let gone = std::mem::take(&mut self.chunks[chunk]);
        self.slot_bytes -= gone.bytes.len();
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
        while let Some(chunk) = arena.victim() {
            for old in arena.retire(chunk) {
                let new = arena.clone_record(old);
                *handles.iter_mut().find(|handle| **handle == old).expect("a live record is ours") = new;
            }
            arena.release(chunk);
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
