//! The memory figure of the sorted set: what the allocator really hands out, rounding included.

use perdura::keyspace::types::zset::{ZSet, ZSetLimits};
use perdura_testkit::memory::{Counting, bytes_in_use};

const MEMBERS: u64 = 200_000;
const MAX_BYTES_PER_MEMBER: usize = 70;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Scatters 0, 1, 2, … over all 64-bit numbers.
fn scattered(i: u64) -> u64 {
    i.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

fn build(score: impl Fn(u64) -> f64) -> (ZSet, usize) {
    let before = bytes_in_use();
    let mut set = ZSet::new();
    for i in 0..MEMBERS {
        set.insert(format!("{:016x}", scattered(i)).as_bytes(), score(i), &ZSetLimits::DEFAULT);
    }
    (set, bytes_in_use() - before)
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
    let before = bytes_in_use();
    mixed.remove_by_rank(0..MEMBERS as usize * 9 / 10);
    let left = mixed_bytes - (before - bytes_in_use());
    assert!(left <= mixed_bytes / 5, "a tenth of the members holds {left} of {mixed_bytes} bytes");
}
