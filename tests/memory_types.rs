//! The memory figures of hashes, lists and sets: what the allocator really hands out, rounding included.

use perdura::keyspace::types::hash::Hash;
use perdura::keyspace::types::limits::{NodeLimits, TypeLimits};
use perdura::keyspace::types::list::List;
use perdura::keyspace::types::set::Set;
use perdura::keyspace::types::stream::{Group, Pending, Stream, StreamId};
use perdura_testkit::memory::{Counting, bytes_in_use};

const ELEMENTS: u64 = 200_000;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Builds a value in a box, as an entry of the keyspace holds it, and says how many bytes that took.
fn measured<T>(build: impl FnOnce() -> T) -> (Box<T>, usize) {
    let before = bytes_in_use();
    let value = Box::new(build());
    (value, bytes_in_use() - before)
}

/// Sixteen hexadecimal digits, scattered.
fn word(i: u64) -> String {
    format!("{:016x}", i.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15))
}

/// Asserts the figure of a value of `ELEMENTS` elements, and that the value knows it.
fn assert_each(what: &str, max_bytes: f64, bytes: usize, estimate: usize) {
    let each = bytes as f64 / ELEMENTS as f64;
    println!("{what}: {each:.1} bytes");
    assert!(each <= max_bytes, "{what}: {each:.1} bytes");
    let share = estimate as f64 / bytes as f64;
    assert!((0.95..1.05).contains(&share), "{what}: memory_bytes() says {share:.2} of what is used");
}

fn a_hash_of_ten_small_fields_fits_in_220_bytes(limits: &TypeLimits) {
    let (hash, bytes) = measured(|| {
        let mut hash = Hash::new();
        for i in 0..10 {
            let (field, value) = (word(i), word(i + 10));
            hash.set(
                &field.as_bytes()[..6 + i as usize % 3],
                &value.as_bytes()[..8 + i as usize % 3],
                limits,
            );
        }
        hash
    });
    println!("a hash of ten small fields: {bytes} bytes");
    assert_eq!(hash.len(), 10);
    assert!(bytes <= 220, "{bytes} bytes");
    assert!(hash.memory_bytes() <= bytes);
}

fn a_member_of_a_big_set_costs_12_bytes_more_than_its_own(limits: &TypeLimits) {
    let (mut set, bytes) = measured(|| {
        let mut set = Set::new();
        for i in 0..ELEMENTS {
            set.insert(word(i).as_bytes(), limits);
        }
        set
    });
    assert_each("a member of 16 bytes in a big set", 28.0, bytes, set.memory_bytes());
    let before = bytes_in_use();
    for i in ELEMENTS / 10..ELEMENTS {
        set.remove(word(i).as_bytes());
    }
    let left = bytes - (before - bytes_in_use());
    assert!(left <= bytes / 6, "a tenth of the members holds {left} of {bytes} bytes");
}

fn a_field_of_a_big_hash_costs_14_bytes_more_than_its_own(limits: &TypeLimits) {
    let (hash, bytes) = measured(|| {
        let mut hash = Hash::new();
        for i in 0..ELEMENTS {
            hash.set(&word(i).as_bytes()[..8], &word(i).as_bytes()[6..], limits);
        }
        hash
    });
    assert_eq!(hash.len() as u64, ELEMENTS);
    assert_each("a field of 8 bytes with a value of 10 in a big hash", 32.0, bytes, hash.memory_bytes());
}

fn a_long_member_costs_its_own_allocation_and_30_bytes(limits: &TypeLimits) {
    let (set, bytes) = measured(|| {
        let mut set = Set::new();
        for i in 0..ELEMENTS {
            set.insert(word(i).repeat(40).as_bytes(), limits);
        }
        set
    });
    assert_each("a member of 640 bytes in a big set", 670.0, bytes, set.memory_bytes());
}

fn an_element_of_a_long_list_costs_2_bytes_more_than_its_own(limits: &TypeLimits) {
    let (list, bytes) = measured(|| {
        let mut list = List::new();
        for i in 0..ELEMENTS {
            list.push_back(word(i).as_bytes(), limits);
        }
        list
    });
    assert_each("an element of 16 bytes in a long list", 18.2, bytes, list.memory_bytes());
}

fn an_entry_of_a_stream_costs_what_it_costs_in_redis() {
    let filled = || {
        let mut stream = Stream::new();
        for i in 1..=ELEMENTS {
            stream.append(
                StreamId::new(1_700_000_000_000 + i, 0),
                &[b"field", word(i).as_bytes()],
                NodeLimits::DEFAULT,
            );
        }
        stream
    };
    let (mut stream, bytes) = measured(filled);
    // A value of 16 bytes takes 18 in a listpack; flags, an id and a count nine more, and Redis' nodes have as many entries.
    assert_each("an entry with a value of 16 bytes", 33.0, bytes, stream.memory_bytes());
    let ids: Vec<StreamId> = (1..=ELEMENTS).map(|i| StreamId::new(1_700_000_000_000 + i, 0)).collect();
    let before = (bytes_in_use(), stream.memory_bytes());
    stream.add_group(b"group", Group::new(StreamId::MIN, None));
    stream.edit_group(b"group", |group, _| {
        let consumer = group.see(b"consumer", 0);
        for id in &ids {
            group.pend(*id, Pending { consumer: consumer.clone(), delivered_ms: 0, deliveries: 1 });
        }
    });
    let grown = (bytes_in_use() - before.0, stream.memory_bytes() - before.1);
    assert_each("a pending entry", 70.0, grown.0, grown.1);
    drop(ids);
}

/// One test, for the counter is the process's.
#[test]
fn memory_figures() {
    let limits = TypeLimits::default();
    a_hash_of_ten_small_fields_fits_in_220_bytes(&limits);
    a_member_of_a_big_set_costs_12_bytes_more_than_its_own(&limits);
    a_field_of_a_big_hash_costs_14_bytes_more_than_its_own(&limits);
    a_long_member_costs_its_own_allocation_and_30_bytes(&limits);
    an_element_of_a_long_list_costs_2_bytes_more_than_its_own(&limits);
    an_entry_of_a_stream_costs_what_it_costs_in_redis();
}
