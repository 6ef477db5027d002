use super::*;
use crate::keyspace::types::limits::TypeLimits;
use crate::keyspace::types::set::Set;
use crate::keyspace::value::Collection;

fn string_of(entry: &Entry) -> &[u8] {
    match entry.value() {
        ValueRef::String(bytes) => bytes,
        ValueRef::Object(_) => panic!("expected a string"),
    }
}

fn set_entry(key: &[u8]) -> Entry {
    let mut set = Set::empty();
    set.insert(b"member", &TypeLimits::default());
    Entry::object(key, set.wrap(), None)
}

#[test]
fn an_entry_is_one_thin_pointer() {
    assert_eq!(size_of::<Option<Entry>>(), size_of::<usize>());
    let (key, value) = ([b'k'; 16], [b'v'; 64]);
    assert_eq!(Entry::string(&key, &value, None).allocated_bytes(), 87);
    assert_eq!(Entry::string(&key, &value, Some(1)).allocated_bytes(), 95);
}

#[test]
fn strings_of_every_width_keep_key_value_deadline_and_tag() {
    for (key_len, value_len) in
        [(0, 0), (1, 1), (255, 65_535), (256, 0), (3, 65_536), (300, 70_000), (9, 4095), (9, 4096)]
    {
        let (key, value) = (vec![b'k'; key_len], vec![b'v'; value_len]);
        let mut entry = Entry::string(&key, &value, None);
        entry.set_tag(0x1EEF);
        for deadline_ms in [Some(5), Some(-6), None, Some(i64::MAX)] {
            entry.set_deadline(deadline_ms);
            assert_eq!((entry.key(), string_of(&entry)), (&key[..], &value[..]));
            assert_eq!((entry.deadline_ms(), entry.tag()), (deadline_ms, 0x1EEF));
        }
    }
}

/// EXPIRE and PERSIST of a string of 500 MB moved it each time.
#[test]
fn a_long_string_stays_where_it_is_while_its_deadline_comes_and_goes() {
    for value_len in [LONG_BYTES, 70_000] {
        let mut entry = Entry::string(b"key", &vec![b'v'; value_len], None);
        let at = (string_of(&entry).as_ptr(), entry.allocated_bytes());
        for deadline_ms in [Some(5), None, None, Some(i64::MIN + 1), Some(i64::MAX), None] {
            entry.set_deadline(deadline_ms);
            assert_eq!(entry.deadline_ms(), deadline_ms);
            assert_eq!((string_of(&entry).as_ptr(), entry.allocated_bytes()), at);
        }
        assert_eq!(entry.first_deadline_ms(), NEVER_MS);
        assert_eq!((entry.clone().deadline_ms(), entry.renamed(b"other").deadline_ms()), (None, None));
    }
    let mut earliest = Entry::string(b"key", &[b'v'; LONG_BYTES], Some(i64::MIN));
    assert!(earliest.is_dead_at(i64::MIN + 1));
    assert!(earliest.resize_string(LONG_BYTES - 1).is_some() && earliest.is_dead_at(0));
}

#[test]
fn a_string_grows_and_shrinks_across_widths() {
    let mut entry = Entry::string(b"key", b"abc", Some(9));
    entry.set_tag(7);
    for len in [5, 70_000, 70_001, 2, 0, 65_535, 65_536, 1, 4095, 4096, 4095, 4097] {
        let before = string_of(&entry).to_vec();
        let lent = entry.resize_string(len).expect("it is a string");
        let kept = before.len().min(len);
        assert_eq!(lent[..kept], before[..kept]);
        assert!(lent[kept..].iter().all(|byte| *byte == 0));
        lent.fill(b'x');
        assert_eq!((entry.key(), entry.deadline_ms(), entry.tag()), (&b"key"[..], Some(9), 7));
    }
}

/// Each change of shape moves the value up or down, by more or less than its own length.
#[test]
fn a_string_keeps_its_bytes_whatever_becomes_of_key_and_deadline() {
    let lens = [0, 1, 7, 9, 254, 255, 256, 400];
    for value_len in [0, 1, 11, 300, 4096, 65_535, 65_536, 70_000] {
        let value: Vec<u8> = (0..value_len).map(|n| (n % 251) as u8).collect();
        let mut entry = Entry::string(b"key", &value, None);
        entry.set_marks(Marks::STORED);
        for (nth, (from, to)) in lens.iter().flat_map(|from| lens.map(|to| (*from, to))).enumerate() {
            for len in [from, to] {
                let key = vec![b'a' + (nth % 26) as u8; len];
                entry = entry.renamed(&key);
                let deadline_ms = (nth % 3 > 0).then_some(nth as i64);
                entry.set_deadline(deadline_ms);
                assert_eq!((entry.key(), string_of(&entry)), (&key[..], &value[..]));
                assert_eq!((entry.deadline_ms(), entry.marks()), (deadline_ms, Marks::STORED));
            }
        }
    }
}

#[test]
fn a_collection_moves_along_with_its_entry() {
    let mut entry = set_entry(b"key");
    assert!(entry.object_mut().is_some());
    assert!(entry.resize_string(3).is_none());
    entry.set_deadline(Some(1));
    let renamed = entry.renamed(&[b'n'; 300]);
    assert_eq!((renamed.key().len(), renamed.deadline_ms()), (300, Some(1)));
    let copy = renamed.clone();
    drop(renamed);
    assert!(matches!(copy.value(), ValueRef::Object(Object::Set(set)) if set.contains(b"member")));
}

#[test]
fn tag_marks_and_access_word_are_apart_and_outlast_every_change_but_a_clone() {
    let changes: [fn(Entry) -> Entry; 8] = [
        |entry| entry,
        |entry| entry.renamed(b"another key"),
        |mut entry| {
            entry.set_deadline(Some(7));
            entry
        },
        |mut entry| {
            entry.set_deadline(None);
            entry
        },
        |mut entry| {
            entry.set_string(b"", Some(1));
            entry
        },
        |mut entry| {
            entry.set_string(&[b'v'; 70_000], None);
            entry
        },
        |mut entry| {
            entry.resize_string(80_000);
            entry
        },
        |mut entry| {
            entry.resize_string(3);
            entry
        },
    ];
    for marks in (0..8).map(Marks::from_bits_truncate) {
        for mut entry in [set_entry(b"key"), Entry::string(b"key", b"value", None)] {
            entry.set_tag(0x1FFF);
            entry.set_marks(marks);
            for (nth, change) in (1..).zip(changes) {
                entry.set_access((1 << 24) - nth);
                entry = change(entry);
                assert_eq!((entry.tag(), entry.marks()), (0x1FFF, marks));
                assert_eq!(entry.access(), (1 << 24) - nth);
            }
            entry.set_tag(0);
            assert_eq!((entry.tag(), entry.marks()), (0, marks));
            let copy = entry.clone();
            assert_eq!((copy.tag(), copy.marks(), copy.access()), (0, Marks::empty(), 0));
            entry.set_marks(Marks::empty());
            assert_eq!((entry.key(), string_of(&entry)), (copy.key(), string_of(&copy)));
        }
    }
}

#[test]
fn a_string_may_take_a_collections_place() {
    let mut entry = set_entry(b"key");
    entry.set_string(b"value", Some(3));
    assert_eq!((string_of(&entry), entry.deadline_ms()), (&b"value"[..], Some(3)));
    entry.set_string(b"other", None);
    assert_eq!((string_of(&entry), entry.deadline_ms()), (&b"other"[..], None));
}

/// Readers that share an entry note its use while others read it: neither sees anything but whole words, and flags never change.
#[test]
fn readers_that_share_an_entry_may_all_note_that_they_used_it() {
    const ROUNDS: u32 = if cfg!(miri) { 50 } else { 20_000 };
    for entry in [
        Entry::string(b"key", b"value", Some(5)),
        Entry::string(b"key", &[b'v'; 70_000], None),
        set_entry(b"key"),
    ] {
        let (len, deadline_ms) = (entry.allocated_bytes(), entry.deadline_ms());
        std::thread::scope(|scope| {
            for reader in 0..3 {
                let entry = &entry;
                scope.spawn(move || {
                    for round in 0..ROUNDS {
                        entry.set_access(reader << 20 | round);
                        let seen = entry.access();
                        assert!(seen >> 20 < 3 && seen & 0xF_FFFF < ROUNDS, "{seen:x}");
                        assert_eq!((entry.key(), entry.deadline_ms()), (&b"key"[..], deadline_ms));
                        assert_eq!(entry.allocated_bytes(), len);
                    }
                });
            }
        });
    }
}
