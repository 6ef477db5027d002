//! What a clone of a big collection allocates, and a change after it: both sides share all that neither has changed.

use perdura::keyspace::types::hash::Hash;
use perdura::keyspace::types::limits::TypeLimits;
use perdura::keyspace::types::list::List;
use perdura::keyspace::types::set::Set;
use perdura::keyspace::types::zset::{ZSet, ZSetLimits};
use perdura::keyspace::value::Collection;
use perdura_testkit::memory::{Counting, bytes_in_use};

const ELEMENTS: u64 = 1_000_000;
const MAX_CLONE_BYTES: usize = 64 << 10;
const MAX_CHANGE_BYTES: usize = 200 << 10;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Sixteen hexadecimal digits, scattered.
fn word(i: u64) -> String {
    format!("{:016x}", i.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15))
}

fn limits() -> TypeLimits {
    TypeLimits::default()
}

fn allocated_by<T>(work: impl FnOnce() -> T) -> (T, usize) {
    let before = bytes_in_use();
    let result = work();
    (result, bytes_in_use().saturating_sub(before))
}

/// What a change is called, and the change.
type Change<'a, T> = (&'a str, fn(&mut T));

/// Each change is the first after a clone of its own.
fn assert_shared<T: Collection>(what: &str, collection: T, changes: &[Change<'_, T>]) {
    let mut object = collection.wrap();
    for (change, apply) in changes {
        let len = object.len();
        let (clone, bytes) = allocated_by(|| object.clone());
        println!("a clone of a {what}: {bytes} bytes");
        assert!(bytes < MAX_CLONE_BYTES, "a clone of a {what}: {bytes} bytes");
        let ((), bytes) = allocated_by(|| T::of_mut(&mut object).into_iter().for_each(apply));
        println!("{change} after it: {bytes} bytes");
        assert!(bytes < MAX_CHANGE_BYTES, "{change} after a clone of a {what}: {bytes} bytes");
        assert_eq!(clone.len(), len);
    }
    assert_eq!(object.len() as u64, ELEMENTS);
}

fn a_hash_shares_its_fields_and_their_deadlines() {
    let mut hash = Hash::new();
    for i in 0..ELEMENTS {
        hash.set(&word(i).as_bytes()[..12], b"a value", &limits());
        if i % 4 == 0 {
            hash.set_expire_at(&word(i).as_bytes()[..12], Some(i as i64), &TypeLimits::default());
        }
    }
    assert_shared(
        "hash",
        hash,
        &[
            ("a new field", |hash| assert!(hash.set(b"new", b"1", &limits()))),
            ("another value", |hash| assert!(!hash.set(&word(4).as_bytes()[..12], b"2", &limits()))),
            ("a deadline", |hash| {
                assert!(hash.set_expire_at(&word(5).as_bytes()[..12], Some(9), &TypeLimits::default()))
            }),
            ("a removal", |hash| assert!(hash.remove(&word(8).as_bytes()[..12]))),
        ],
    );
}

fn a_set_shares_its_members() {
    let mut set = Set::new();
    for i in 0..ELEMENTS {
        set.insert(word(i).as_bytes(), &limits());
    }
    assert_shared(
        "set",
        set,
        &[
            ("a new member", |set| assert!(set.insert(b"new", &limits()))),
            ("a removal", |set| assert!(set.remove(word(7).as_bytes()))),
        ],
    );
}

fn a_sorted_set_shares_its_members() {
    let mut zset = ZSet::new();
    for i in 0..ELEMENTS {
        zset.insert(word(i).as_bytes(), (i * 7919 % ELEMENTS) as f64, &ZSetLimits::DEFAULT);
    }
    assert_shared(
        "sorted set",
        zset,
        &[
            ("a new member", |zset| {
                zset.insert(b"new", 0.5, &ZSetLimits::DEFAULT);
            }),
            ("another score", |zset| {
                zset.insert(word(7).as_bytes(), -1.0, &ZSetLimits::DEFAULT);
            }),
            ("a removal", |zset| assert_eq!(zset.remove(word(7).as_bytes()), Some(-1.0))),
        ],
    );
}

fn a_list_shares_its_elements() {
    let mut list = List::new();
    for i in 0..ELEMENTS {
        list.push_back(word(i).as_bytes(), &limits());
    }
    assert_shared(
        "list",
        list,
        &[
            ("a new element", |list| list.push_front(b"new", &limits())),
            ("another value", |list| assert!(list.set(500_000, b"other", &limits()))),
            ("a removal", |list| list.remove_range(300_000..300_001, &limits())),
        ],
    );
}

/// One test, for the counter is the process's.
#[test]
fn clones_share() {
    a_hash_shares_its_fields_and_their_deadlines();
    a_set_shares_its_members();
    a_sorted_set_shares_its_members();
    a_list_shares_its_elements();
}
