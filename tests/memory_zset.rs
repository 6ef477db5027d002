//! The memory figure of the sorted set: what the allocator really hands out, rounding included.

use std::alloc::{GlobalAlloc, Layout};
use std::sync::atomic::{AtomicUsize, Ordering};

use perdura::keyspace::types::zset::{ZSet, ZSetLimits};
use tikv_jemallocator::{Jemalloc, usable_size};

const MEMBERS: u64 = 200_000;
const MAX_BYTES_PER_MEMBER: usize = 70;

/// The server's allocator, counting what each allocation takes up.
struct Counting;

static IN_USE: AtomicUsize = AtomicUsize::new(0);

#[global_allocator]
static ALLOCATOR: Counting = Counting;

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

/// Scatters 0, 1, 2, … over all 64-bit numbers.
fn scattered(i: u64) -> u64 {
    i.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

fn build(score: impl Fn(u64) -> f64) -> (ZSet, usize) {
    let before = IN_USE.load(Ordering::Relaxed);
    let mut set = ZSet::new();
    for i in 0..MEMBERS {
        set.insert(format!("{:016x}", scattered(i)).as_bytes(), score(i), &ZSetLimits::DEFAULT);
    }
    (set, IN_USE.load(Ordering::Relaxed) - before)
}

/// One test, for the counter is the process's.
#[test]
fn a_16_byte_member_costs_at_most_70_bytes() {
    let (rising, rising_bytes) = build(|i| i as f64);
    let (mut mixed, mixed_bytes) = build(|i| (scattered(i) >> 11) as f64);
    for (order, set, bytes) in [("rising", &rising, rising_bytes), ("scattered", &mixed, mixed_bytes)] {
        assert_eq!(set.len() as u64, MEMBERS);
        let each = bytes as f64 / MEMBERS as f64;
        println!("{order} scores: {each:.1} bytes per member");
        assert!(bytes <= MAX_BYTES_PER_MEMBER * MEMBERS as usize, "{order}: {each:.1} bytes per member");
        let estimate = set.memory_bytes() as f64 / bytes as f64;
        assert!((0.9..1.1).contains(&estimate), "{order}: memory_bytes() says {estimate:.2} of what is used");
    }
    drop(rising);
    let before = IN_USE.load(Ordering::Relaxed);
    mixed.remove_by_rank(0..MEMBERS as usize * 9 / 10);
    let left = mixed_bytes - (before - IN_USE.load(Ordering::Relaxed));
    assert!(left <= mixed_bytes / 5, "a tenth of the members holds {left} of {mixed_bytes} bytes");
}
