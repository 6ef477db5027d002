//! Files made by hand, as old and new programs write them; files written here; and files that are damaged.

use proptest::collection::vec;
use proptest::prelude::*;

use super::super::tests::{show, sized, value, value_ref, ziplist};
use super::super::{CRC, Value, load_body};
use super::*;
use crate::keyspace::digest;
use crate::keyspace::types::limits::TypeLimits;
use crate::keyspace::value::ValueRef;

#[path = "../../../tests/fuzz/rdb_file_law.rs"]
mod law;

/// What a program wrote for a string.
fn text(bytes: &str) -> Vec<u8> {
    sized(bytes.as_bytes())
}

/// A file with a right checksum.
fn file(header: &str, records: &[&[u8]]) -> Vec<u8> {
    let mut file = [header.as_bytes(), &records.concat(), &[opcode::END]].concat();
    let crc = CRC.checksum(&file);
    file.extend_from_slice(&crc.to_le_bytes());
    file
}

/// Each key of a file with its database, deadline and value, and what else there is in it.
fn contents(file: &[u8]) -> Result<Vec<String>, FileError> {
    let mut parser = Parser::new();
    parser.feed(file);
    let mut contents = Vec::new();
    while let Some(record) = parser.next_record()? {
        contents.push(shown(record));
    }
    parser.finish()?;
    Ok(contents)
}

fn shown(record: FileRecord<'_>) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    match record {
        FileRecord::Value(ValuePart { db, key, deadline_ms, usage, version, body, .. }) => {
            let value = load_body(body, version, &TypeLimits::default()).expect("a value");
            let deadline = deadline_ms.map(|ms| format!(" until {ms}")).unwrap_or_default();
            let usage = usage.map(|usage| format!(" {usage:?}")).unwrap_or_default();
            format!("{db} {}{deadline}{usage}: {}", text(key), show(&value))
        }
        FileRecord::About { name, value } => format!("{} is {}", text(&name), text(&value)),
        FileRecord::Announced { keys } => format!("{keys} keys"),
        FileRecord::ModuleValue { db, key } => format!("{db} {}: a module's", text(key)),
        FileRecord::TooLong { db, key } => format!("{db} {}: too long", text(key)),
        FileRecord::ModuleAux => "a module".to_owned(),
        FileRecord::Functions(code) => text(&code),
        FileRecord::End => "end".to_owned(),
    }
}

/// Redis 2.4 wrote version 2: no checksum, zipmaps, text scores, deadlines in seconds.
#[test]
fn a_file_of_redis_2_is_read() {
    let records = [
        b"\xFE\x00".to_vec(),
        [&[0][..], &text("k"), &text("v")].concat(),
        [&b"\xFD\x10\x27\x00\x00\x00"[..], &text("later"), b"\xC0\x05"].concat(),
        [&[1][..], &text("list"), &[2], &text("a"), &text("b")].concat(),
        [&[3][..], &text("zset"), &[2], &text("a"), b"\x031.5", &text("b"), b"\xFE"].concat(),
        [&[9][..], &text("zipmap"), &sized(b"\x02\x01f\x01\x00v\x01g\x01\x02w..\xFF")].concat(),
        b"\xFE\x03".to_vec(),
        [&[12][..], &text("ziplist"), &sized(&ziplist(&["a", "2"]))].concat(),
    ];
    let old = [b"REDIS0002", &records.concat()[..], b"\xFF"].concat();
    let expected = [
        "0 k: v",
        "0 later until 10000000: 5",
        "0 list: a b",
        "0 zset: a:1.5 b:inf",
        "0 zipmap: f=v g=w",
        "3 ziplist: a:2",
        "end",
    ];
    assert_eq!(contents(&old).expect("a whole file"), expected);
}

/// Everything that Redis 4 to 7 may write beside keys.
#[test]
fn what_a_file_has_beside_keys_is_told_or_passed_over() {
    let records = [
        [&[opcode::AUX][..], &text("redis-ver"), &text("7.0.15")].concat(),
        [&[opcode::FUNCTION][..], &text("#!lua name=l")].concat(),
        b"\xF7\x81\x01\x02\x03\x04\x05\x06\x07\x08\x02\x01\x05\x03abc\x04abcdefgh\x03abcd\x01\x05\x00"
            .to_vec(),
        b"\xFE\x02\xFB\x03\x01\xF4\x05\x03\x01".to_vec(),
        [&b"\xFC\xE8\x03\x00\x00\x00\x00\x00\x00\xF8\x07\x00"[..], &text("idle"), &text("x")].concat(),
        [&b"\xF9\xFF\x00"[..], &text("often"), &text("y")].concat(),
        [&[7][..], &text("module"), b"\x81\x01\x02\x03\x04\x05\x06\x07\x08\x05\x01x\x02\x41\x00\x00"]
            .concat(),
        [&[2][..], &text("set"), &[1], &text("m")].concat(),
    ];
    let records: Vec<&[u8]> = records.iter().map(Vec::as_slice).collect();
    let expected = [
        "redis-ver is 7.0.15",
        "#!lua name=l",
        "a module",
        "3 keys",
        "2 idle until 1000 IdleSeconds(7): x",
        "2 often Frequency(255): y",
        "2 module: a module's",
        "2 set: m",
        "end",
    ];
    let whole = file("REDIS0010", &records);
    assert_eq!(contents(&whole).expect("a whole file"), expected);
    law::check(&whole);
}

#[test]
fn a_file_of_valkey_9_is_read() {
    let slot_import = [&[opcode::SLOT_IMPORT][..], &text("job"), b"\x01\x05\x09"].concat();
    let hash = [
        &[22][..],
        &text("h"),
        &[2],
        &text("f"),
        &text("v"),
        &[0xFF; 8],
        &text("g"),
        &text("w"),
        &[9, 0, 0, 0, 0, 0, 0, 0],
    ];
    let valkey = file("VALKEY080", &[&slot_import, &hash.concat()]);
    let mut parser = Parser::new();
    parser.feed(&valkey);
    let Ok(Some(FileRecord::Value(part))) = parser.next_record() else { panic!("a hash") };
    let body = part.body.to_vec();
    let Ok(Value::Object(crate::keyspace::value::Object::Hash(hash))) =
        load_body(&body, 80, &TypeLimits::default())
    else {
        panic!("a hash")
    };
    assert_eq!([hash.expire_at(b"f"), hash.expire_at(b"g")], [None, Some(9)]);
    assert!(!crate::rdb::is_restorable(&body));
    // Redis 7.4 had another use for the type before it was released.
    assert!(load_body(&body, 12, &TypeLimits::default()).is_err());
}

#[test]
fn why_a_file_is_refused_is_told_with_its_place() {
    let key = [&[0][..], &text("k"), &text("v")].concat();
    let whole = file("REDIS0009", &[&key]);
    let fault = |file: &[u8]| contents(file).expect_err("no file that can be read");
    assert_eq!(fault(b"RADIS0009").fault, FileFault::Magic);
    assert_eq!(fault(b"SQLite format 3"), FileError { offset: 0, fault: FileFault::Magic });
    assert_eq!(fault(b"REDIS0013").fault, FileFault::Version("0013".to_owned()));
    assert_eq!(fault(b"REDIS00x1").fault, FileFault::Version("00x1".to_owned()));
    assert_eq!(fault(b"VALKEY012").fault, FileFault::Version("012".to_owned()));
    assert_eq!(fault(b"REDIS0009\xF0"), FileError { offset: 9, fault: FileFault::Opcode(0xF0) });
    let unknown = [&b"REDIS0009"[..], &[30], &text("key")].concat();
    let expected = FileFault::UnknownType { kind: 30, key: "key".to_owned() };
    assert_eq!(fault(&unknown), FileError { offset: 9, fault: expected });
    assert_eq!(fault(&[&whole[..], b"*1"].concat()).fault, FileFault::Trailing);
    let mut damaged = whole.clone();
    damaged[13] ^= 1;
    assert!(matches!(fault(&damaged), FileError { offset: 15, fault: FileFault::Checksum { .. } }));
    // A checksum of zero says that none was computed.
    let end = damaged.len() - 8;
    damaged[end..].fill(0);
    assert_eq!(contents(&damaged).map(|contents| contents.len()), Ok(2));
}

/// Small files of redis-server 7.0.15, and of other programs made by hand.
#[test]
fn the_fuzzers_corpus_obeys_the_law() {
    let corpus = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fuzz/corpus/rdb_file");
    let read = |name: &str| std::fs::read(format!("{corpus}/{name}")).expect("a readable file");
    for (name, keys) in [("redis-2", 6), ("redis-7.0", 11), ("redis-7.4", 4), ("valkey-9", 1), ("modules", 3)]
    {
        let file = read(name);
        law::check(&file);
        let contents = contents_of(&file);
        assert_eq!(
            contents.iter().filter(|record| record.contains(": ")).count(),
            keys,
            "{name}: {contents:?}"
        );
        for len in 0..file.len() {
            let (_, error) = law::read(&file[..len], 9, usize::MAX);
            assert_eq!(
                error.map(|error| error.fault),
                Some(FileFault::Truncated),
                "{name} cut after {len} bytes"
            );
        }
        for at in 0..file.len() {
            let mut flipped = file.clone();
            flipped[at] ^= 0x04;
            law::check(&flipped);
        }
    }
}

fn contents_of(file: &[u8]) -> Vec<String> {
    contents(file).expect("a whole file")
}

/// Every byte of small files, cut there and flipped: an error, or for a cut in front of a checksum's last byte nothing but an error.
#[test]
fn what_is_cut_or_flipped_anywhere_is_refused() {
    let mut writer = FileWriter::new(12, &[("redis-ver", "7.0.15")]);
    writer.select(0, 5, 1);
    for (key, value) in samples() {
        writer.put(key.as_bytes(), value_ref(&value), (key == "set").then_some(1_000_000));
    }
    let whole = writer.end();
    law::check(&whole);
    for len in 0..whole.len() {
        let (_, error) = law::read(&whole[..len], 5, 16);
        assert_eq!(error.map(|error| error.fault), Some(FileFault::Truncated), "cut after {len} bytes");
    }
    for at in 0..whole.len() {
        for bit in [0x01, 0x10, 0x80] {
            let mut flipped = whole.clone();
            flipped[at] ^= bit;
            law::check(&flipped);
            let (_, error) = law::read(&flipped, 64, usize::MAX);
            assert!(error.is_some(), "byte {at} flipped by {bit:02x} goes unnoticed");
        }
    }
}

/// A small value of each type.
fn samples() -> Vec<(&'static str, Value)> {
    let body = |bytes: &[u8]| load_body(bytes, 12, &TypeLimits::default()).expect("a value");
    vec![
        ("string", body(b"\x00\xC3\x06\x40\x40\x01ab\xE0\x35\x01")),
        ("list", body(b"\x01\x03\x01a\xC0\x05\x01c")),
        ("set", body(b"\x02\x02\x01a\x01b")),
        ("hash", body(b"\x04\x01\x01f\x01v")),
        ("zset", body(b"\x05\x01\x01m\x00\x00\x00\x00\x00\x00\xF8\x3F")),
        ("fields", body(b"\x18\x05\0\0\0\0\0\0\0\x01\x01\x01f\xC0\x01")),
        ("stream", body(
            b"\x13\x01\x10\x00\x00\x00\x00\x00\x00\x00\x05\x00\x00\x00\x00\x00\x00\x00\x01''\x00\x00\x00\x0f\x00\
            \x02\x01\x00\x01\x01\x01\x81a\x02\x00\x01\x02\x01\x00\x01\x00\x01\x81b\x02\x04\x01\x02\x01\x00\x01\x01\x01\x07\x01\
            \x04\x01\xff\x02\x05\x02\x05\x01\x00\x00\x02\x00",
        )),
    ]
}

/// The values of a file's keys, those that came in parts put together by their elements.
fn parts_of(file: &[u8], most_whole_bytes: usize) -> Vec<(String, Vec<String>)> {
    let mut parser = Parser::dividing_beyond(most_whole_bytes);
    parser.feed(file);
    let mut keys: Vec<(String, Vec<String>)> = Vec::new();
    while let Some(record) = parser.next_record().expect("a whole file") {
        let FileRecord::Value(part) = record else { continue };
        let value = load_body(part.body, 12, &TypeLimits::default()).expect("a value");
        if part.number == 0 {
            keys.push((String::from_utf8_lossy(part.key).into_owned(), Vec::new()));
        }
        let (_, parts) = keys.last_mut().expect("a key begins with its first part");
        assert_eq!(parts.len() as u64, part.number);
        parts.push(show(&value));
    }
    keys
}

#[test]
fn a_long_collection_comes_in_parts_that_make_it_up() {
    let elements: Vec<String> = (0..1000).map(|number| format!("element-{number}")).collect();
    let mut list = crate::keyspace::types::list::List::new();
    elements.iter().for_each(|element| list.push_back(element.as_bytes(), &TypeLimits::default()));
    let list = Value::Object(crate::keyspace::value::Object::List(list));
    let mut writer = FileWriter::new(FileWriter::VERSION, &[]);
    writer.put(b"list", value_ref(&list), None);
    writer.put(b"string", ValueRef::String(&[b'x'; 5000]), None);
    let file = writer.end();
    let keys = parts_of(&file, 1000);
    let [(_, parts), (_, string)] = &keys[..] else { panic!("two keys") };
    assert!(parts.len() > 10 && string.len() == 1, "{} parts, {}", parts.len(), string.len());
    assert_eq!(parts.join(" "), elements.join(" "));
    let keys = parts_of(&file, usize::MAX);
    let [(_, whole), _] = &keys[..] else { panic!("two keys") };
    assert_eq!(whole.len(), 1);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn what_is_written_is_read_the_same(values in vec((value(), proptest::option::of(0_i64..1 << 46)), 0..6)) {
        let mut writer = FileWriter::new(12, &[]);
        writer.select(4, values.len() as u64, 0);
        for (number, (value, deadline_ms)) in values.iter().enumerate() {
            writer.put(&[number as u8], value_ref(value), *deadline_ms);
        }
        let file = writer.end();
        law::check(&file);
        let mut parser = Parser::new();
        parser.feed(&file);
        prop_assert_eq!(parser.next_record(), Ok(Some(FileRecord::Announced { keys: values.len() as u64 })));
        for (number, (value, deadline_ms)) in values.iter().enumerate() {
            let Some(FileRecord::Value(part)) = parser.next_record().expect("a whole file") else { panic!("a value") };
            let key = [number as u8];
            prop_assert_eq!((part.db, part.key), (4, &key[..]));
            prop_assert_eq!((part.deadline_ms, part.number, part.is_last), (*deadline_ms, 0, true));
            let read = load_body(part.body, 12, &TypeLimits::default()).expect("a value");
            prop_assert_eq!(digest::of_value(value_ref(&read)), digest::of_value(value_ref(value)));
        }
        prop_assert_eq!(parser.next_record(), Ok(Some(FileRecord::End)));
    }

    #[test]
    fn any_bytes_obey_the_law(header in any::<bool>(), bytes in vec(any::<u8>(), 0..200)) {
        let magic: &[u8] = if header { b"REDIS0011\xFE\x00" } else { b"" };
        law::check(&[magic, &bytes].concat());
    }
}
