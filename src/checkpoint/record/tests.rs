use std::borrow::Cow;

use proptest::prelude::*;

use super::*;
use crate::checkpoint::testing::describe;
use crate::keyspace::digest;
use crate::keyspace::entry::Entry;
use crate::keyspace::types::hash::Hash;
use crate::keyspace::types::limits::{NodeLimits, TypeLimits};
use crate::keyspace::types::list::List;
use crate::keyspace::types::set::Set;
use crate::keyspace::types::stream::{Group, Pending, Stream, StreamId, testing::some_stream};
use crate::keyspace::types::zset::{ZSet, ZSetLimits};

const BLOB: u64 = 77;

/// An entry's root and its parts.
#[derive(Debug, PartialEq, Eq)]
struct Encoded {
    root: Vec<u8>,
    parts: Vec<Vec<u8>>,
}

fn encode(entry: &Entry) -> Encoded {
    let (mut root, mut parts) = (Vec::new(), Vec::new());
    let mut store = |number: u32, bytes: &[u8]| {
        assert_eq!(number as usize, parts.len());
        parts.push(bytes.to_vec());
        Ok::<_, Fault>(())
    };
    let written = Encoder::default().encode(entry, BLOB, &mut root, &mut store).expect("nothing fails");
    assert_eq!((written.parts as usize, written.contribution), (parts.len(), digest::of_record(entry)));
    Encoded { root, parts }
}

fn decode(key: &[u8], encoded: &Encoded) -> Result<Entry, Fault> {
    let root = Root::decode(&encoded.root)?;
    let limits = TypeLimits::default();
    match &root.body {
        Body::Inline(bytes) => read_entry(key, &root, content::whole(bytes), &limits),
        Body::Parts(_) => {
            read_entry(key, &root, encoded.parts.iter().map(|part| Ok(Cow::Borrowed(&part[..]))), &limits)
        }
    }
}

fn assert_comes_back(entry: &Entry) {
    let back = decode(entry.key(), &encode(entry)).expect("it was encoded so");
    assert_eq!(Kind::of(back.value()), Kind::of(entry.value()));
    assert!(
        describe(0, &back) == describe(0, entry),
        "{:.300} is unlike {:.300}",
        describe(0, &back),
        describe(0, entry)
    );
}

fn object(object: Object) -> Entry {
    Entry::object(b"key", object, Some(1_700_000_000_000))
}

#[test]
fn strings_of_every_length_come_back() {
    for len in [0, 1, 44, 65_535, PART_BYTES, PART_BYTES + 1, 3 * PART_BYTES, 3 * PART_BYTES + 17] {
        let value: Vec<u8> = (0..len).map(|at| (at % 251) as u8).collect();
        for deadline_ms in [None, Some(-5), Some(i64::MAX)] {
            let entry = Entry::string(b"a key", &value, deadline_ms);
            let parts = encode(&entry).parts.len();
            assert_eq!(parts, if len <= PART_BYTES { 0 } else { len.div_ceil(PART_BYTES) });
            assert_comes_back(&entry);
        }
    }
}

#[test]
fn lists_come_back_in_both_encodings() {
    let limits = TypeLimits::default();
    let mut list = List::new();
    list.push_back(b"one", &limits);
    list.push_back(b"", &limits);
    assert_comes_back(&object(Object::List(list.clone())));
    for number in 0..50_000u32 {
        list.push_back(&number.to_be_bytes(), &limits);
    }
    list.push_back(&vec![7; 200_000], &limits);
    assert_comes_back(&object(Object::List(list.clone())));
    list.trim(0..1000, &limits);
    assert_eq!(list.encoding_name(), "quicklist");
    assert_comes_back(&object(Object::List(list.clone())));
    list.trim(0..2, &limits);
    assert_eq!(list.encoding_name(), "listpack");
    assert_comes_back(&object(Object::List(list)));
}

#[test]
fn sets_come_back_with_the_order_that_seeds_pick_from() {
    let limits = TypeLimits::default();
    let mut set = Set::new();
    for number in [5, -1, 3] {
        set.insert(format!("{number}").as_bytes(), &limits);
    }
    assert_comes_back(&object(Object::Set(set.clone())));
    set.insert(b"word", &limits);
    assert_comes_back(&object(Object::Set(set.clone())));
    for number in 0..3000 {
        set.insert(format!("member {number}").as_bytes(), &limits);
    }
    for number in (0..3000).step_by(3) {
        set.remove(format!("member {number}").as_bytes());
    }
    let entry = object(Object::Set(set.clone()));
    let back = decode(entry.key(), &encode(&entry)).expect("it was encoded so");
    let ValueRef::Object(Object::Set(restored)) = back.value() else { panic!("a set comes back as a set") };
    for seed in (0..100_000usize).step_by(7) {
        let (left, right) = (set.get_at(seed % set.len()), restored.get_at(seed % set.len()));
        assert_eq!(left.as_deref(), right.as_deref());
    }
    while set.len() > 2 {
        set.remove_at(0);
    }
    assert_eq!(set.encoding_name(), "hashtable");
    assert_comes_back(&object(Object::Set(set)));
}

#[test]
fn hashes_come_back_with_their_fields_deadlines() {
    let limits = TypeLimits::default();
    let mut hash = Hash::new();
    hash.set(b"name", b"value", &limits);
    hash.set(b"other", b"", &limits);
    assert_comes_back(&object(Object::Hash(hash.clone())));
    hash.set_expire_at(b"other", Some(123), &TypeLimits::default());
    assert_eq!(hash.encoding_name(), "listpackex");
    assert_comes_back(&object(Object::Hash(hash.clone())));
    for number in 0..2000 {
        let field = format!("field {number}");
        hash.set(field.as_bytes(), &[b'v'; 90], &limits);
        hash.set_expire_at(field.as_bytes(), (number % 3 == 0).then_some(number), &TypeLimits::default());
    }
    assert_comes_back(&object(Object::Hash(hash.clone())));
    for number in 1..2000 {
        hash.remove(format!("field {number}").as_bytes());
    }
    assert_eq!(hash.encoding_name(), "hashtable");
    assert_comes_back(&object(Object::Hash(hash)));
}

#[test]
fn sorted_sets_come_back_in_both_encodings() {
    let limits = ZSetLimits::DEFAULT;
    let mut zset = ZSet::new();
    for (member, score) in [("a", -0.0), ("b", f64::INFINITY), ("c", 1.5), ("", f64::MIN_POSITIVE)] {
        zset.insert(member.as_bytes(), score, &limits);
    }
    assert_comes_back(&object(Object::ZSet(zset.clone())));
    for number in 0..10_000 {
        zset.insert(format!("member {number}").as_bytes(), f64::from(number % 100), &limits);
    }
    assert_comes_back(&object(Object::ZSet(zset.clone())));
    zset.remove_by_rank(3..zset.len());
    assert_eq!(zset.encoding_name(), "skiplist");
    assert_comes_back(&object(Object::ZSet(zset)));
}

#[test]
fn streams_come_back_with_their_nodes() {
    let mut stream = Stream::new();
    assert_comes_back(&object(Object::Stream(stream.clone())));
    for ms in 1..30_000 {
        stream.append(StreamId::new(ms, 0), &[b"field", ms.to_string().as_bytes()], NodeLimits::DEFAULT);
    }
    assert!((1..30_000).step_by(3).all(|ms| stream.delete(StreamId::new(ms, 0))));
    assert_comes_back(&object(Object::Stream(stream)));
}

#[test]
fn a_streams_bytes_never_change() {
    let mut stream = Stream::new();
    stream.append(StreamId::new(300, 1), &[b"f", b"v"], NodeLimits::DEFAULT);
    let mut group = Group::new(StreamId::new(300, 1), Some(1));
    group.restore_consumer(b"c", 2, -1);
    let consumer = group.name_of(b"c");
    group.pend(StreamId::new(300, 1), Pending { consumer, delivered_ms: 258, deliveries: 3 });
    stream.add_group(b"g", group);
    let root = encode(&Entry::object(b"key", Object::Stream(stream), None)).root;
    let node = [
        31, 0, 0, 0, 10, 0, 1, 1, 0, 1, 1, 1, 0x81, b'f', 2, 0, 1, 2, 1, 0, 1, 0, 1, 0x81, b'v', 2, 4, 1,
        0xFF,
    ];
    let node = [&[node.len() as u8][..], &node[1..]].concat();
    let mut expected = vec![0xAC, 2, 1, 0, 0, 1, 1, 0xAC, 2, 1, node.len() as u8];
    expected.extend(node);
    expected.extend([1, 1, b'g', 0xAC, 2, 1, 2, 1, 1, b'c', 2, 0, 0, 0, 0, 0, 0, 0]);
    expected.extend([0xFF; 8]);
    expected.extend([1, 0xAC, 2, 1, 0, 2, 1, 0, 0, 0, 0, 0, 0, 3]);
    assert_eq!(root[20..], expected);
    assert_eq!(root[..4], [1, 11, 0, 0]);
}

#[test]
fn a_records_bytes_never_change() {
    let limits = TypeLimits::default();
    let mut hash = Hash::new();
    hash.set(b"f", b"v", &limits);
    hash.set(b"g", b"", &limits);
    hash.set_expire_at(b"g", Some(258), &TypeLimits::default());
    let entry = Entry::object(b"key", Object::Hash(hash), Some(1));
    let mut expected = vec![1, 7, 3, 0];
    expected.extend(0xd5e002d5a88bcfb8e212f97c1f036e92_u128.to_le_bytes());
    expected.extend([1, 0, 0, 0, 0, 0, 0, 0]);
    expected.extend([2, 1, b'f', 1, b'v', 0, 1, b'g', 0, 1, 2, 1, 0, 0, 0, 0, 0, 0]);
    assert_eq!(encode(&entry).root, expected);

    let long = encode(&Entry::string(b"key", &vec![b'x'; PART_BYTES + 1], None));
    let mut expected = vec![1, 1, 4, 0];
    expected.extend(0xa7e9b7815a173ea9a62d2d1bc844e429_u128.to_le_bytes());
    expected.extend([77, 0, 0, 0, 0, 0, 0, 0]);
    expected.extend([2, 0, 0, 0, 1, 0, 1, 0, 0, 0, 0, 0]);
    assert_eq!(long.root, expected);
    assert_eq!((long.parts[0].len(), &long.parts[1][..]), (PART_BYTES, &b"x"[..]));
}

#[test]
fn keys_sort_by_generation_slot_and_key() {
    let slot = |number| Slot::new(number).expect("it is one of them");
    let key = root_key(Generation(0x0102), slot(0x0304), b"key");
    assert_eq!(&*key, b"\0\0\0\0\0\0\x01\x02\x03\x04key");
    assert_eq!(split_root_key(&key), Ok((Generation(0x0102), slot(0x0304), &b"key"[..])));
    assert_eq!(split_root_key(b"\0\0\0\0\0\0\0\0\x40\0key"), Err(Fault::Key));
    assert_eq!(split_root_key(b"\0\0\0\0\0\0\0\0\0"), Err(Fault::Key));
    let part = part_key(Generation(1), 2, 3);
    assert_eq!(part, *b"\0\0\0\0\0\0\0\x01\0\0\0\0\0\0\0\x02\0\0\0\x03");
}

/// Entries of all kinds, small.
fn some_entry() -> impl Strategy<Value = Entry> {
    let bytes = || prop::collection::vec(any::<u8>(), 0..20);
    let limits = TypeLimits::default;
    let deadline = || prop::option::of(any::<i64>());
    prop_oneof![
        (bytes(), deadline()).prop_map(|(value, at)| Entry::string(b"k", &value, at)),
        (prop::collection::vec(bytes(), 1..20), deadline()).prop_map(move |(elements, at)| {
            let mut list = List::new();
            elements.iter().for_each(|element| list.push_back(element, &limits()));
            Entry::object(b"k", Object::List(list), at)
        }),
        (prop::collection::vec(bytes(), 1..20), any::<bool>()).prop_map(move |(members, table)| {
            let mut set = if table { Set::with_encoding(Encoding::Hashtable, &limits()) } else { Set::new() };
            members.iter().for_each(|member| {
                set.insert(member, &limits());
            });
            Entry::object(b"k", Object::Set(set), None)
        }),
        prop::collection::vec((bytes(), bytes(), deadline()), 1..20).prop_map(move |fields| {
            let mut hash = Hash::new();
            for (field, value, at) in &fields {
                hash.set(field, value, &limits());
                hash.set_expire_at(field, *at, &TypeLimits::default());
            }
            Entry::object(b"k", Object::Hash(hash), None)
        }),
        some_stream().prop_map(|stream| Entry::object(b"k", Object::Stream(stream), None)),
        prop::collection::vec((bytes(), -1e300..1e300f64), 1..20).prop_map(|members| {
            let mut zset = ZSet::new();
            for (member, score) in &members {
                zset.insert(member, *score, &ZSetLimits::DEFAULT);
            }
            Entry::object(b"k", Object::ZSet(zset), None)
        }),
    ]
}

proptest! {
    #[test]
    fn what_is_encoded_comes_back(entry in some_entry()) {
        assert_comes_back(&entry);
    }

    #[test]
    fn damaged_bytes_are_refused_or_read_but_never_panic(
        entry in some_entry(), at in any::<prop::sample::Index>(), bit in 0..8u8, cut in any::<prop::sample::Index>(),
    ) {
        let mut encoded = encode(&entry);
        let place = at.index(encoded.root.len());
        encoded.root[place] ^= 1 << bit;
        let _ = decode(b"k", &encoded);
        encoded.root.truncate(cut.index(encoded.root.len() + 1));
        let _ = decode(b"k", &encoded);
    }

    #[test]
    fn random_bytes_never_panic(root in prop::collection::vec(any::<u8>(), 0..200), kind in 0..12u8, flags in 0..4u8) {
        let _ = decode(b"k", &Encoded { root: root.clone(), parts: vec![root.clone()] });
        let mut plausible = vec![VERSION, kind, flags, 0];
        plausible.extend(root);
        let _ = decode(b"k", &Encoded { root: plausible, parts: Vec::new() });
    }
}
