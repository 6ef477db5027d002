//! What the allocator really hands out, rounding included. A test binary that measures makes [`Counting`] its global
//! allocator and has one test, for the counter is the process's.

use std::alloc::{GlobalAlloc, Layout};
use std::sync::atomic::{AtomicUsize, Ordering};

use tikv_jemallocator::{Jemalloc, usable_size};

/// The server's allocator, counting what each allocation takes up.
pub struct Counting;

static IN_USE: AtomicUsize = AtomicUsize::new(0);

// SAFETY: every call goes to jemalloc unchanged; counting touches no memory of it.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller keeps the contract, which is the same.
        let memory = unsafe { Jemalloc.alloc(layout) };
        if !memory.is_null() {
            // SAFETY: just allocated by jemalloc.
            IN_USE.fetch_add(unsafe { usable_size(memory) }, Ordering::Relaxed);
        }
        memory
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        // SAFETY: the caller passes what `alloc` returned, so jemalloc knows its size and may free it.
        unsafe {
            IN_USE.fetch_sub(usable_size(memory), Ordering::Relaxed);
            Jemalloc.dealloc(memory, layout);
        }
    }
}

/// Bytes that all allocations take up at the moment.
pub fn bytes_in_use() -> usize {
    IN_USE.load(Ordering::Relaxed)
}
