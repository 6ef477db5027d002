//! The memory of one Lua state: a row of addresses that begins at a multiple of 2^32.
//!
//! - Where a block lies depends on nothing but the requests before it, and the lower half of its address is its place in the
//!   arena. Lua hashes tables and functions by that half, so even a table that has tables for keys is walked in the same order on every node.
//! - There is no more memory than the arena has: a script that asks for more ends everywhere at the same request.
//! - What the arena holds can be copied out and put back: [`Image`]. A script begins with the image of a state that has run none.
//!
//! Caveat: this file is unsafe for the sake of those addresses. The arena hands out places within its mapping, and Lua says the size
//! of each block that it gives back.

use std::io;
use std::ptr::{self, NonNull};

/// What a script may allocate, the state's own tables included.
pub const ARENA_BYTES: usize = 64 << 20;

/// Blocks are a multiple of this long.
const GRAIN: usize = 16;
/// Up to here every multiple has a class of its own.
const SMALL_BYTES: usize = 512;
const SMALL_CLASSES: usize = SMALL_BYTES / GRAIN + 1;
/// Classes from one power of two to the next, beyond that.
const WAYS: usize = 4;
const CLASSES: usize = SMALL_CLASSES + (ARENA_BYTES.ilog2() as usize - 8) * WAYS;
/// So many bytes stay in memory when a script has ended.
const KEPT_BYTES: usize = 4 << 20;

/// No block: the first grain is never handed out.
const NONE: u32 = 0;

/// The places at which an arena may begin, in multiples of 2^32.
const FIRST_PLACE: usize = 64;
const LAST_PLACE: usize = 0x7000;

pub struct Arena {
    base: NonNull<u8>,
    /// Everything from here on was never handed out.
    used: usize,
    /// What was in use at most since the arena was last put back.
    peak: usize,
    free: [u32; CLASSES],
    /// A request was refused.
    pub is_exhausted: bool,
}

// SAFETY: the mapping belongs to the arena alone.
unsafe impl Send for Arena {}

/// What an arena held at some moment.
pub struct Image {
    bytes: Box<[u8]>,
    free: [u32; CLASSES],
}

impl Image {
    pub fn len(&self) -> usize {
        self.bytes.len()
    }
}

/// The class of blocks that hold so many bytes, and how long they are.
fn class_of(bytes: usize) -> (usize, usize) {
    if bytes <= SMALL_BYTES {
        let class = bytes.max(1).div_ceil(GRAIN);
        return (class, class * GRAIN);
    }
    let top = (bytes - 1).ilog2() as usize;
    let way_bytes = (1 << top) / WAYS;
    let way = (bytes - 1 - (1 << top)) / way_bytes;
    (SMALL_CLASSES + (top - 9) * WAYS + way, (1 << top) + (way + 1) * way_bytes)
}

impl Arena {
    /// # Errors
    /// No addresses are left.
    pub fn new() -> io::Result<Arena> {
        let base = (FIRST_PLACE..LAST_PLACE).find_map(|place| map(place << 32));
        let base = base.ok_or_else(io::Error::last_os_error)?;
        Ok(Arena { base, used: GRAIN, peak: GRAIN, free: [NONE; CLASSES], is_exhausted: false })
    }

    fn at(&self, offset: usize) -> *mut u8 {
        debug_assert!(offset <= ARENA_BYTES);
        // SAFETY: offsets lie within the mapping.
        unsafe { self.base.as_ptr().add(offset) }
    }

    fn offset_of(&self, block: *mut u8) -> usize {
        block.addr() - self.base.as_ptr().addr()
    }

    /// A block of at least so many bytes, or null.
    fn take(&mut self, bytes: usize) -> *mut u8 {
        if bytes > ARENA_BYTES / 2 {
            self.is_exhausted = true;
            return ptr::null_mut();
        }
        let (class, len) = class_of(bytes);
        if self.free[class] != NONE {
            return self.pop(class);
        }
        if self.used + len <= ARENA_BYTES {
            let block = self.at(self.used);
            self.used += len;
            self.peak = self.peak.max(self.used);
            return block;
        }
        let larger = (class + 1..CLASSES).find(|class| self.free[*class] != NONE);
        if let Some(larger) = larger {
            return self.pop(larger);
        }
        self.is_exhausted = true;
        ptr::null_mut()
    }

    fn pop(&mut self, class: usize) -> *mut u8 {
        let block = self.at(self.free[class] as usize);
        // SAFETY: a free block begins with the offset of the next one.
        self.free[class] = unsafe { block.cast::<u32>().read() };
        block
    }

    fn give_back(&mut self, block: *mut u8, bytes: usize) {
        let (class, len) = class_of(bytes);
        let offset = self.offset_of(block);
        if offset + len == self.used {
            self.used = offset;
            return;
        }
        // SAFETY: the block is at least a grain long and nobody uses it.
        unsafe { block.cast::<u32>().write(self.free[class]) };
        self.free[class] = offset as u32;
    }

    /// What Lua asks of its allocator: `block` has `old` bytes (null where it is to be a new one), and is to have `new` (0 to free it).
    ///
    /// # Safety
    /// `block` is null, or was handed out for `old` bytes and not given back.
    pub unsafe fn resize(&mut self, block: *mut u8, old: usize, new: usize) -> *mut u8 {
        if block.is_null() {
            return if new == 0 { ptr::null_mut() } else { self.take(new) };
        }
        if new == 0 {
            self.give_back(block, old);
            return ptr::null_mut();
        }
        if class_of(old).1 == class_of(new).1 {
            return block;
        }
        let moved = self.take(new);
        if !moved.is_null() {
            // SAFETY: both blocks have so many bytes, and do not overlap.
            unsafe { ptr::copy_nonoverlapping(block, moved, old.min(new)) };
            self.give_back(block, old);
        }
        moved
    }

    /// Copies out what the arena holds.
    pub fn image(&self) -> Image {
        // SAFETY: so many bytes of the mapping are in use, and nobody writes to them meanwhile.
        let bytes = unsafe { std::slice::from_raw_parts(self.base.as_ptr(), self.used) };
        Image { bytes: bytes.into(), free: self.free }
    }

    /// Puts an image of this arena back.
    pub fn restore(&mut self, image: &Image) {
        // SAFETY: the image came from this arena, so it fits; nobody else uses the mapping.
        unsafe { ptr::copy_nonoverlapping(image.bytes.as_ptr(), self.base.as_ptr(), image.bytes.len()) };
        if self.peak > KEPT_BYTES.max(image.bytes.len()) {
            let from = KEPT_BYTES.max(image.bytes.len()).next_multiple_of(KEPT_BYTES);
            if from < ARENA_BYTES {
                // SAFETY: the pages lie within the mapping and hold nothing any more.
                unsafe { libc::madvise(self.at(from).cast(), ARENA_BYTES - from, libc::MADV_DONTNEED) };
            }
        }
        (self.used, self.peak) = (image.bytes.len(), image.bytes.len());
        self.free = image.free;
        self.is_exhausted = false;
    }
}

/// Maps an arena at this very address, if nothing is there.
fn map(address: usize) -> Option<NonNull<u8>> {
    let wanted = ptr::without_provenance_mut::<libc::c_void>(address);
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE | libc::MAP_FIXED_NOREPLACE;
    // SAFETY: nothing that is mapped is replaced.
    let mapped = unsafe { libc::mmap(wanted, ARENA_BYTES, libc::PROT_READ | libc::PROT_WRITE, flags, -1, 0) };
    if mapped == libc::MAP_FAILED {
        return None;
    }
    if mapped.addr() != address {
        // SAFETY: it was mapped just now, by a kernel that does not know MAP_FIXED_NOREPLACE.
        unsafe { libc::munmap(mapped, ARENA_BYTES) };
        return None;
    }
    NonNull::new(mapped.cast())
}

impl Drop for Arena {
    fn drop(&mut self) {
        // SAFETY: the mapping is the arena's own, and whoever used it is gone.
        unsafe { libc::munmap(self.base.as_ptr().cast(), ARENA_BYTES) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_hold_what_they_are_for() {
        let mut last = (0, 0);
        for bytes in (1..5000).chain((5000..ARENA_BYTES).step_by(4093)) {
            let (class, len) = class_of(bytes);
            assert!(len >= bytes && len % GRAIN == 0 && class < CLASSES, "{bytes}: class {class} of {len}");
            assert!(class >= last.0 && len >= last.1, "{bytes}");
            assert_eq!(class == last.0, len == last.1, "{bytes}");
            last = (class, len);
        }
    }

    #[test]
    fn the_same_requests_get_the_same_places_in_every_arena() {
        let (mut one, mut other) = (Arena::new().expect("addresses"), Arena::new().expect("addresses"));
        let places = |arena: &mut Arena| {
            let mut blocks: Vec<(*mut u8, usize)> = Vec::new();
            let mut random = crate::command::random::Random::from_seed(7);
            let mut places = Vec::new();
            for _ in 0..5000 {
                let power = 1 + random.below(16);
                let bytes = 1 + random.below(1 << power);
                if blocks.len() > 50 {
                    let (block, old) = blocks.swap_remove(random.below(blocks.len()));
                    // SAFETY: it was handed out for so many bytes.
                    let moved = unsafe { arena.resize(block, old, bytes) };
                    blocks.push((moved, bytes));
                } else {
                    // SAFETY: it is to be a new one.
                    blocks.push((unsafe { arena.resize(ptr::null_mut(), 0, bytes) }, bytes));
                }
                let (block, len) = blocks[blocks.len() - 1];
                // SAFETY: the block has so many bytes.
                unsafe { ptr::write_bytes(block, 0xaa, len) };
                places.push(block.addr() as u32);
            }
            places
        };
        let first = places(&mut one);
        assert_eq!(first, places(&mut other));
    }

    #[test]
    fn an_image_brings_back_what_was_there_and_memory_ends() {
        let mut arena = Arena::new().expect("addresses");
        // SAFETY: new blocks, used as long as they are there.
        unsafe {
            let block = arena.resize(ptr::null_mut(), 0, 100);
            block.write(7);
            let image = arena.image();
            block.write(8);
            let mut blocks = 0;
            while !arena.resize(ptr::null_mut(), 0, 1 << 20).is_null() {
                blocks += 1;
            }
            assert!((50..64).contains(&blocks) && arena.is_exhausted, "{blocks} blocks");
            arena.restore(&image);
            assert_eq!((block.read(), arena.is_exhausted), (7, false));
            assert!(!arena.resize(ptr::null_mut(), 0, 1 << 20).is_null());
            assert!(arena.resize(ptr::null_mut(), 0, ARENA_BYTES).is_null());
        }
    }
}
