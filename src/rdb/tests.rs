//! Payloads of Redis itself, of its older forms, of random values, and of nothing good.

use proptest::collection::{btree_map, btree_set, vec};
use proptest::prelude::*;

use super::*;
use crate::keyspace::digest;
use crate::keyspace::types::hash::Hash;
use crate::keyspace::types::list::List;
use crate::keyspace::types::set::Set;
use crate::keyspace::types::stream::{StreamId, testing::some_stream};
use crate::keyspace::types::zset::{ZSet, ZSetLimits};

#[path = "../../tests/fuzz/restore_law.rs"]
mod restore_law;

/// How many times longer than what was read a dump of it may be: it is compressed less, or not at all.
const MAX_GROWTH: usize = 8 * lzf::MAX_RATIO;

pub(super) fn value_ref(value: &Value) -> ValueRef<'_> {
    match value {
        Value::String(text) => ValueRef::String(text),
        Value::Object(object) => ValueRef::Object(object),
    }
}

pub(super) fn show(value: &Value) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let parts: Vec<String> = match value {
        Value::String(bytes) => return text(bytes),
        Value::Object(Object::List(list)) => list.iter().map(text).collect(),
        Value::Object(Object::Set(set)) => set.iter().map(|member| text(&member)).collect(),
        Value::Object(Object::Hash(hash)) => {
            hash.iter().map(|(field, value)| format!("{}={}", text(field), text(value))).collect()
        }
        Value::Object(Object::ZSet(zset)) => {
            zset.iter().map(|element| format!("{}:{}", text(element.member), element.score)).collect()
        }
        Value::Object(Object::Stream(stream)) => {
            let entries = stream.range(StreamId::MIN, StreamId::MAX);
            entries.map(|entry| format!("{}={}", entry.id, entry.field_count())).collect()
        }
    };
    parts.join(" ")
}

/// What a payload of these bytes and a right footer holds.
fn loaded(body: &[u8]) -> Result<String> {
    load(&with_footer(body, MAX_VERSION), &TypeLimits::default()).map(|value| show(&value))
}

/// A string that says its length.
pub(super) fn sized(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    string::write_length(&mut out, bytes.len() as u64);
    out.extend_from_slice(bytes);
    out
}

fn body(parts: &[&[u8]]) -> Vec<u8> {
    parts.concat()
}

/// A ziplist of short strings.
pub(super) fn ziplist(elements: &[&str]) -> Vec<u8> {
    let mut entries = Vec::new();
    for element in elements {
        entries.extend_from_slice(&[0, element.len() as u8]);
        entries.extend_from_slice(element.as_bytes());
    }
    let total = (entries.len() + 11) as u32;
    body(&[&total.to_le_bytes(), &[0; 4], &(elements.len() as u16).to_le_bytes(), &entries, &[0xFF]])
}

/// A listpack of short strings.
fn listpack(elements: &[&str]) -> Vec<u8> {
    let mut entries = Vec::new();
    for element in elements {
        entries.push(0x80 | element.len() as u8);
        entries.extend_from_slice(element.as_bytes());
        entries.push(element.len() as u8 + 1);
    }
    let total = (entries.len() + 7) as u32;
    body(&[&total.to_le_bytes(), &(elements.len() as u16).to_le_bytes(), &entries, &[0xFF]])
}

/// What redis-server 7.0.15 answered to DUMP.
#[test]
fn payloads_of_redis_are_read() {
    let (x70, v65, a65) = ("x".repeat(70), "v".repeat(65), "a".repeat(65));
    let cases: [(&[u8], String); 10] = [
        (b"\x00\xc1\x7f\xff\x0a\x00\x17`\x82(T\x80\x84\x80", "-129".into()),
        (b"\x00\x05hello\x0a\x00cr\xdfve4 \x0a", "hello".into()),
        (b"\x00\xc3\x0c@\xc8\x04abcda\xe0\xb8\x03\x01cd\x0a\x00\xf54\xbd\xb2\xcc\x8dn\xa1", "abcd".repeat(50)),
        (
            b"\x12\x01\x02\xc3\x19@Y\x11Y\x00\x00\x00\x04\x00\x81a\x02\x01\x01\xf1x\xec\x03\xe0Fx\xe0<\x00\x01H\xff\
              \x0a\x00\x18\x86\xd0\x22\xaf\x01\x9c\xca",
            format!("a 1 -5000 {x70}"),
        ),
        (
            b"\x0b\x14\x04\x00\x00\x00\x03\x00\x00\x00\xfe\xff\xff\xff\x01\x00\x00\x00p\x11\x01\x00\x0a\x000R}\xf8\
              \xcc1\x1f;",
            "-2 1 70000".into(),
        ),
        (b"\x02\x02\x01a\x01b\x0a\x00\xfed!%\xeb\x03=\x0d", "a b".into()),
        (
            b"\x10\x12\x12\x00\x00\x00\x04\x00\x81f\x02\x81v\x02\x81n\x02*\x01\xff\x0a\x00\xff0\xe8\x7frb\xd9\x91",
            "f=v n=42".into(),
        ),
        (b"\x04\x01\x01f\xc3\x09@A\x01vv\xe04\x00\x01vv\x0a\x00=q\xbeR7\x86\xcfE", format!("f={v65}")),
        (
            b"\x11\x1d\x1d\x00\x00\x00\x06\x00\x81b\x02\x84-inf\x05\x81a\x02\x831.5\x04\x81c\x02\x03\x01\xff\x0a\x00)\
              p\xc5\x8f\xcd\xe6\xfc1",
            "b:-inf a:1.5 c:3".into(),
        ),
        (
            b"\x05\x02\x01b\x00\x00\x00\x00\x00\x00\x00@\xc3\x09@A\x01aa\xe04\x00\x01aa\x00\x00\x00\x00\x00\x00\xf8?\
              \x0a\x00\xcfh9tp\xc4\x10G",
            format!("{a65}:1.5 b:2"),
        ),
    ];
    for (payload, expected) in cases {
        let value = load(payload, &TypeLimits::default()).expect("a payload of Redis");
        assert_eq!(show(&value), expected);
    }
}

/// What redis-server 7.0.15 answered to DUMP after `XADD s 5-1 a b` and `XADD s 5-2 a 7`: the very bytes are written again.
#[test]
fn a_stream_of_redis_is_written_as_it_was_read() {
    let payload = b"\x13\x01\x10\x00\x00\x00\x00\x00\x00\x00\x05\x00\x00\x00\x00\x00\x00\x00\x01''\x00\x00\x00\x0f\x00\
        \x02\x01\x00\x01\x01\x01\x81a\x02\x00\x01\x02\x01\x00\x01\x00\x01\x81b\x02\x04\x01\x02\x01\x00\x01\x01\x01\x07\x01\
        \x04\x01\xff\x02\x05\x02\x05\x01\x00\x00\x02\x00\x0a\x00>\xb8\x22\x96\xb46\xb37";
    let value = load(payload, &TypeLimits::default()).expect("a payload of Redis");
    assert_eq!(show(&value), "5-1=1 5-2=1");
    assert_eq!(dump(value_ref(&value)), payload);
}

#[test]
fn older_and_newer_forms_are_read() {
    let cases: [(Vec<u8>, &str); 12] = [
        (b"\x01\x02\x01a\xC0\x05".to_vec(), "a 5"),
        (body(&[&[10], &sized(&ziplist(&["a", "b"]))]), "a b"),
        (body(&[&[14, 2], &sized(&ziplist(&["a"])), &sized(&ziplist(&["b", "c"]))]), "a b c"),
        (body(&[&[18, 2, 1, 1, b'a', 2], &sized(&listpack(&["b", "c"]))]), "a b c"),
        (body(&[&[20], &sized(&listpack(&["a", "b"]))]), "a b"),
        (body(&[&[13], &sized(&ziplist(&["f", "v", "g", "w"]))]), "f=v g=w"),
        (body(&[&[16], &sized(&listpack(&["f", "v", "g", "w"]))]), "f=v g=w"),
        (body(&[&[12], &sized(&ziplist(&["a", "1.5", "b", "inf"]))]), "a:1.5 b:inf"),
        (body(&[&[17], &sized(&listpack(&["b", "-1", "a", "2"]))]), "b:-1 a:2"),
        (b"\x03\x03\x01a\x031.5\x01b\xFE\x01c\xFF".to_vec(), "c:-inf a:1.5 b:inf"),
        (
            body(&[&[24], &1000_i64.to_le_bytes(), b"\x03\x00\x01a\x011\x01\x01b\x012\x06\x01c\x013"]),
            "a=1 b=2 c=3",
        ),
        (
            body(&[&[25], &1000_i64.to_le_bytes(), &sized(&listpack(&["b", "2", "1000", "a", "1", "0"]))]),
            "b=2 a=1",
        ),
    ];
    for (body, expected) in cases {
        assert_eq!(loaded(&body).as_deref(), Ok(expected), "type {}", body[0]);
    }
}

#[test]
fn deadlines_of_fields_count_from_the_earliest() {
    let body = body(&[&[24], &1000_i64.to_le_bytes(), b"\x03\x00\x01a\x01x\x01\x01b\x01y\x06\x01c\x01z"]);
    let value = load(&with_footer(&body, 12), &TypeLimits::default()).expect("a hash");
    let Value::Object(Object::Hash(hash)) = &value else { panic!("{value:?} is no hash") };
    let deadlines = [b"a", b"b", b"c"].map(|field| hash.expire_at(field));
    assert_eq!(deadlines, [None, Some(1000), Some(1005)]);
    assert_eq!(dump(value_ref(&value)), with_footer(&body, 12));
}

#[test]
fn what_is_malformed_is_refused() {
    let nan = f64::NAN.to_le_bytes();
    let cases: [(&str, Vec<u8>); 25] = [
        ("nothing", vec![]),
        ("an empty list", vec![1, 0]),
        ("an empty hash", vec![4, 0]),
        ("a quicklist of empty nodes", body(&[&[14, 1], &sized(&ziplist(&[]))])),
        ("a quicklist's node of no kind", vec![18, 1, 3, 1, b'a']),
        ("a count beyond the elements", vec![2, 2, 1, b'a']),
        ("a count beyond all", b"\x02\x81\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\x01a".to_vec()),
        ("a count of pairs beyond all", b"\x04\x81\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\x01a\x01b".to_vec()),
        ("a member twice", vec![2, 2, 1, b'a', 1, b'a']),
        ("an integer twice", vec![2, 2, 0xC0, 1, 0xC1, 1, 0]),
        ("a field twice", vec![4, 2, 1, b'f', 1, b'v', 1, b'f', 1, b'w']),
        ("a scored member twice", body(&[&[12], &sized(&ziplist(&["a", "1", "a", "1"]))])),
        ("half a pair", body(&[&[16], &sized(&listpack(&["f"]))])),
        ("two thirds of a field", body(&[&[25], &[0; 8], &sized(&listpack(&["f", "v"]))])),
        ("a deadline that is no number", body(&[&[25], &[0; 8], &sized(&listpack(&["f", "v", "x"]))])),
        ("a deadline past the end of time", body(&[&[24], &[0xFF; 7], &[0x7F], b"\x01\x02\x01f\x01v"])),
        ("a score that is not a number", body(&[&[5, 1, 1, b'a'], &nan])),
        ("a score in words", body(&[&[17], &sized(&listpack(&["a", "nan"]))])),
        ("a score that is nothing", b"\x03\x01\x01a\x00".to_vec()),
        ("bytes behind the value", vec![0, 1, b'a', 0]),
        ("a stream that ends early", vec![15, 0, 0, 0]),
        (
            "a stream's node that is none",
            body(&[&[15, 1], &sized(&[0; 16]), &sized(&listpack(&["1", "0"])), &[0; 4]]),
        ),
        ("a stream's length beyond its entries", vec![15, 0, 1, 5, 5, 0]),
        ("pending entries of no consumer", body(&[&[15, 0, 0, 5, 5, 1, 1, b'g', 0, 0, 1], &[0; 25], &[0]])),
        ("a module", vec![7, 0, 0, 0]),
    ];
    for (what, body) in cases {
        assert!(loaded(&body).is_err(), "{what}");
    }
}

#[test]
fn the_footer_must_be_right() {
    let payload = with_footer(b"\x00\x01a", 9);
    for at in 0..payload.len() {
        let mut damaged = payload.clone();
        damaged[at] ^= 0x10;
        assert_eq!(load(&damaged, &TypeLimits::default()).err(), Some(RdbError::Footer), "byte {at}");
    }
    for len in 0..payload.len() {
        assert_eq!(
            load(&payload[..len], &TypeLimits::default()).err(),
            Some(RdbError::Footer),
            "{len} bytes"
        );
    }
    let newer = with_footer(b"\x00\x01a", MAX_VERSION + 1);
    assert_eq!(load(&newer, &TypeLimits::default()).err(), Some(RdbError::Footer));
}

#[test]
fn what_is_written_needs_no_newer_version_than_it_must() {
    let limits = TypeLimits::default();
    let mut hash = Hash::new();
    hash.set(b"f", b"1", &limits);
    let plain = dump(ValueRef::Object(&Object::Hash(hash.clone())));
    assert_eq!(plain, with_footer(b"\x04\x01\x01f\xC0\x01", 9));
    hash.set_expire_at(b"f", Some(5), &TypeLimits::default());
    let with_deadline = dump(ValueRef::Object(&Object::Hash(hash)));
    assert_eq!(with_deadline, with_footer(b"\x18\x05\0\0\0\0\0\0\0\x01\x01\x01f\xC0\x01", 12));
}

/// Texts of every kind that strings have a form of their own for.
fn text() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        4 => vec(any::<u8>(), 0..30),
        3 => any::<i64>().prop_map(|value| value.to_string().into_bytes()),
        3 => (-200_i64..200).prop_map(|value| value.to_string().into_bytes()),
        2 => (vec(any::<u8>(), 1..5), 1_usize..60).prop_map(|(word, times)| word.repeat(times)),
        1 => vec(any::<u8>(), 60..300),
    ]
}

pub(super) fn value() -> impl Strategy<Value = Value> {
    let score = prop_oneof![any::<f64>().prop_filter("a number", |score| !score.is_nan()), Just(0.0)];
    prop_oneof![
        text().prop_map(Value::String),
        vec(text(), 1..200).prop_map(|elements| {
            let mut list = List::new();
            elements.iter().for_each(|element| list.push_back(element, &TypeLimits::default()));
            Value::Object(Object::List(list))
        }),
        btree_set(text(), 1..200).prop_map(|members| {
            let mut set = Set::new();
            for member in &members {
                set.insert(member, &TypeLimits::default());
            }
            Value::Object(Object::Set(set))
        }),
        btree_map(text(), (text(), proptest::option::weighted(0.2, 0_i64..1 << 46)), 1..200).prop_map(
            |fields| {
                let mut hash = Hash::new();
                for (field, (value, deadline_ms)) in &fields {
                    hash.set(field, value, &TypeLimits::default());
                    hash.set_expire_at(field, *deadline_ms, &TypeLimits::default());
                }
                Value::Object(Object::Hash(hash))
            }
        ),
        some_stream().prop_map(|stream| Value::Object(Object::Stream(stream))),
        btree_map(text(), score, 1..200).prop_map(|members| {
            let mut zset = ZSet::new();
            for (member, score) in &members {
                zset.insert(member, *score, &ZSetLimits::DEFAULT);
            }
            Value::Object(Object::ZSet(zset))
        }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn what_is_dumped_is_loaded_the_same(value in value()) {
        let payload = dump(value_ref(&value));
        prop_assert_eq!(dump_within(value_ref(&value), payload.len()), Some(payload.clone()));
        prop_assert_eq!(dump_within(value_ref(&value), 0), None);
        let again = load(&payload, &TypeLimits::default()).expect("our own payload");
        prop_assert_eq!(digest::of_value(value_ref(&again)), digest::of_value(value_ref(&value)));
        prop_assert_eq!(dump(value_ref(&again)), payload);
    }

    #[test]
    fn changed_bytes_are_another_value_or_an_error(
        value in value(),
        changes in vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        cut in proptest::option::of(any::<prop::sample::Index>()),
    ) {
        let mut body = Vec::new();
        save::write_value(&mut body, value_ref(&value), usize::MAX);
        for (at, byte) in changes {
            let at = at.index(body.len());
            body[at] = byte;
        }
        if let Some(cut) = cut {
            body.truncate(cut.index(body.len()));
        }
        if let Ok(value) = load(&with_footer(&body, 9), &TypeLimits::default()) {
            prop_assert!(dump(value_ref(&value)).len() <= 32 + MAX_GROWTH * body.len());
        }
    }

    #[test]
    fn any_bytes_of_any_type_are_a_value_or_an_error(
        kind in 0_u8..30,
        head in vec(any::<u8>(), 0..12),
        bytes in vec(any::<u8>(), 0..60),
    ) {
        let blobs = [
            body(&[&[kind], &head, &bytes]),
            body(&[&[kind], &sized(&body(&[&((bytes.len() + 10) as u32).to_le_bytes(), &[0; 6], &bytes]))]),
            body(&[&[kind], &sized(&body(&[&((bytes.len() + 6) as u32).to_le_bytes(), &[0; 2], &bytes]))]),
        ];
        for blob in blobs {
            // That it returns is the test.
            let _ = load(&with_footer(&blob, 9), &TypeLimits::default());
        }
    }
}

/// Values of redis-server 7.0.15.
#[test]
fn the_fuzzers_payloads_obey_the_law_of_restore() {
    perdura_testkit::corpus::each("restore", restore_law::check);
}
