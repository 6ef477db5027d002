//! Keys whose hashes collided before there were seeds: under foldhash with its fixed seed.

use std::collections::BTreeSet;
use std::hash::{BuildHasher, Hasher};

use foldhash::quality::FixedState;

use super::HashSeed;
use crate::env::thread_cpu_ns;
use crate::keyspace::entry::Entry;
use crate::keyspace::table::SlotTable;
use crate::keyspace::types::hash::Hash;
use crate::keyspace::types::limits::TypeLimits;
use crate::keyspace::types::set::Set;
use crate::keyspace::types::zset::{Inserted, ZSet};

/// Foldhash multiplies the first eight bytes of a key of sixteen, xored with a constant, by the rest. These bytes are that
/// constant, so the product is zero.
const ZERO_FACTOR: [u8; 8] = [0x4e, 0xec, 0x98, 0xfa, 0x2e, 0x08, 0x89, 0x6c];

/// Enough to stall a group for seconds.
const MANY: u32 = 20_000;

/// The colliding key of this number. All have the hash tag `{x}`.
fn key(number: u32) -> [u8; 16] {
    let mut key = [0; 16];
    key[..8].copy_from_slice(&ZERO_FACTOR);
    key[8..11].copy_from_slice(b"{x}");
    key[11..15].copy_from_slice(&number.to_be_bytes());
    key
}

/// A key of the same length and slot whose hash collided with no other.
fn harmless(number: u32) -> [u8; 16] {
    let mut key = key(number);
    key[..4].copy_from_slice(&number.to_le_bytes());
    key
}

/// Asserts that doing something with many colliding keys takes about as long as with others. Where they collide it takes
/// hundreds of times as long.
fn assert_cost_is_linear(mut act: impl FnMut(&mut dyn Iterator<Item = [u8; 16]>)) {
    let mut timed = |key: fn(u32) -> [u8; 16]| {
        let began_ns = thread_cpu_ns();
        act(&mut (0..MANY).map(key));
        thread_cpu_ns() - began_ns
    };
    let usual_ns = timed(harmless);
    let colliding_ns = timed(key);
    assert!(colliding_ns < 10 * usual_ns, "{colliding_ns} ns, where {usual_ns} ns are usual");
}

#[test]
fn keys_that_collided_cost_no_more_than_others() {
    assert_cost_is_linear(|keys| {
        let mut table = SlotTable::default();
        keys.for_each(|key| {
            assert!(table.insert(HashSeed::new(1, 2), Entry::string(&key, b"", None)).is_none())
        });
    });
}

#[test]
fn members_and_fields_that_collided_cost_no_more_than_others() {
    let limits = TypeLimits { hash_seed: HashSeed::new(1, 2), ..TypeLimits::default() };
    assert_cost_is_linear(|members| {
        let mut set = Set::new();
        members.for_each(|member| assert!(set.insert(&member, &limits)));
    });
    assert_cost_is_linear(|fields| {
        let mut hash = Hash::new();
        fields.for_each(|field| {
            assert!(hash.set(&field, b"", &limits));
            assert!(hash.set_expire_at(&field, Some(7), &limits));
        });
    });
    assert_cost_is_linear(|members| {
        let mut zset = ZSet::new();
        members.for_each(|member| assert_eq!(zset.insert(&member, 1.0, &(&limits).into()), Inserted::Added));
    });
}

#[test]
fn the_keys_collide_under_the_old_hash_and_under_no_seed() {
    let old = |key: [u8; 16]| {
        let mut hasher = FixedState::default().build_hasher();
        hasher.write(&key);
        hasher.finish()
    };
    let hashes = |hash: &dyn Fn([u8; 16]) -> u64| (0..1000).map(|n| hash(key(n))).collect::<BTreeSet<_>>();
    assert_eq!(hashes(&old).len(), 1);
    assert_eq!(hashes(&|key| HashSeed::NONE.hash(&key)).len(), 1000);
    assert_eq!(hashes(&|key| HashSeed::new(1, 2).hash(&key)).len(), 1000);
}
