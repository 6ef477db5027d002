//! The family against what redis-server 7.0.15 stores and answers, and against a plain array of registers.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::form::{DENSE_BYTES, REGISTERS};
use super::hash::{murmur64a, pattern};
use crate::command::cost::{Cost, Forecast};
use crate::command::testing::{TestDb, split_words};

fn value(db: &mut TestDb, key: &str) -> Vec<u8> {
    let reply = db.run_args(&[b"GET", key.as_bytes()]);
    let start = reply.windows(2).position(|pair| pair == b"\r\n").expect("a header") + 2;
    reply[start..reply.len() - 2].to_vec()
}

/// Number of elements, length, a hash of the value, what PFCOUNT answers.
const STORED_BY_REDIS: [(usize, usize, u64, &str); 8] = [
    (1, 21, 0xbfe5_e6c7_9ba2_ee60, "1"),
    (10, 48, 0x7bb9_6084_febf_93fd, "10"),
    (100, 285, 0xb12c_dfe7_9d2e_86f3, "100"),
    (1000, 1906, 0x83d7_0dc0_427e_679a, "1008"),
    (1200, 2234, 0x6633_b1d9_a9cc_4b0d, "1207"),
    (1500, 2719, 0x5e9f_29d2_8af9_5e70, "1509"),
    (2000, 12304, 0x00bc_26ab_9412_2a1d, "2000"),
    (20000, 12304, 0xaede_2339_ad0d_922b, "19899"),
];

#[test]
fn elements_make_the_bytes_that_redis_makes() {
    let (mut one_by_one, mut at_once) = (TestDb::new(), TestDb::new());
    let mut added = 0;
    for (count, len, hash, estimate) in STORED_BY_REDIS {
        let elements: Vec<String> = (added + 1..=count).map(|number| format!("e{number}")).collect();
        added = count;
        elements.iter().for_each(|element| drop(one_by_one.run(&format!("PFADD h {element}"))));
        at_once.run(&format!("PFADD h {}", elements.join(" ")));
        for db in [&mut one_by_one, &mut at_once] {
            let value = value(db, "h");
            assert_eq!((value.len(), murmur64a(&value, 0)), (len, hash), "{count} elements");
            assert_eq!(db.show("PFCOUNT h"), estimate);
            assert_eq!(db.show("PFDEBUG ENCODING h"), if len == DENSE_BYTES { "dense" } else { "sparse" });
        }
    }
}

#[test]
fn a_merge_makes_the_bytes_that_redis_makes() {
    let mut db = TestDb::new();
    for number in 0..300 {
        db.run(&format!("PFADD a x{number}"));
        db.run(&format!("PFADD b y{}", number / 2));
    }
    assert_eq!(db.show("PFMERGE c a b"), "OK");
    let merged = value(&mut db, "c");
    assert_eq!((merged.len(), murmur64a(&merged, 0)), (957, 0xbf2c_bc56_7115_df6d));
    assert_eq!(db.show("PFCOUNT a b"), "449");
    assert_eq!(db.show("PFCOUNT c"), "449");
}

#[test]
fn pfadd_tells_whether_anything_changed() {
    let mut db = TestDb::new();
    assert_eq!(db.show("PFADD h"), "1");
    assert_eq!(db.show("PFADD h"), "0");
    assert_eq!(db.show("PFADD h a b c"), "1");
    db.show("PEXPIRE h 5000");
    db.take_touched();
    assert_eq!(db.show("PFADD h c b a"), "0");
    assert!(db.take_touched().is_empty());
    assert_eq!(db.show("PFADD h d"), "1");
    assert_eq!(db.take_touched(), ["h"]);
    assert_eq!(db.show("PTTL h"), "5000");
    assert_eq!(db.show("PFCOUNT h none"), "4");
    assert_eq!(db.show("PFCOUNT none"), "0");
    assert_eq!(db.show("PFCOUNT none none"), "0");
}

#[test]
fn pfcount_answers_a_cached_estimate_and_writes_none() {
    let mut db = TestDb::new();
    db.show("PFADD h a b c");
    let before = value(&mut db, "h");
    assert_eq!(db.show("PFCOUNT h"), "3");
    assert_eq!(value(&mut db, "h"), before);
    assert_eq!(before[15], 0x80);
    db.run_args(&[b"SETRANGE", b"h", b"8", &[77, 0, 0, 0, 0, 0, 0, 0]]);
    assert_eq!(db.show("PFCOUNT h"), "77");
    assert_eq!(db.show("PFCOUNT h none"), "3");
    assert_eq!(db.show("PFADD h a"), "0");
    assert_eq!(db.show("PFCOUNT h"), "77");
    assert_eq!(db.show("PFADD h d"), "1");
    assert_eq!(db.show("PFCOUNT h"), "4");
}

#[test]
fn pfmerge_keeps_what_its_destination_has() {
    let mut db = TestDb::new();
    db.show("PFADD a 1 2 3");
    db.show("PFADD b 3 4 5");
    db.show("PFADD d 9");
    db.show("PFDEBUG TODENSE b");
    assert_eq!(db.show("PFMERGE d a"), "OK");
    assert_eq!(db.show("PFDEBUG ENCODING d"), "sparse");
    assert_eq!(db.show("PFCOUNT d"), "4");
    assert_eq!(db.show("PFMERGE d b"), "OK");
    assert_eq!(db.show("PFDEBUG ENCODING d"), "dense");
    assert_eq!(db.show("PFCOUNT d"), "6");
    assert_eq!(db.show("PFMERGE new"), "OK");
    assert_eq!(db.show("PFCOUNT new"), "0");
}

#[test]
fn pfdebug_shows_registers() {
    let mut db = TestDb::new();
    db.show("PFADD h a");
    assert_eq!(db.show("PFDEBUG DECODE h"), "Z:12711 v:2,1 Z:3672");
    let registers = db.show("PFDEBUG GETREG h");
    assert_eq!(registers.split(' ').count(), REGISTERS);
    assert_eq!(db.show("PFDEBUG ENCODING h"), "dense");
    assert_eq!(db.show("PFDEBUG GETREG h"), registers);
    assert_eq!(db.show("PFDEBUG TODENSE h"), "0");
    assert_eq!(db.show("PFDEBUG DECODE h"), "ERR HLL encoding is not sparse");
    assert_eq!(db.show("PFDEBUG NONE h"), "ERR Unknown PFDEBUG subcommand 'NONE'");
    assert_eq!(db.show("PFDEBUG GETREG none"), "ERR The specified key does not exist");
}

#[test]
fn what_is_no_hyperloglog_is_refused_and_stays() {
    let mut db = TestDb::new();
    db.show("RPUSH l a");
    db.show("SET text hello");
    db.show("SET number 12345678901234567");
    db.show("PFADD encoding a");
    db.show("SETRANGE encoding 4 x");
    db.show("PFADD dense a");
    db.run_args(&[b"SETRANGE", b"dense", b"4", b"\0"]);
    let is_none = "WRONGTYPE Key is not a valid HyperLogLog string value.";
    for key in ["text", "number", "encoding", "dense"] {
        let lines = [
            "PFADD KEY x",
            "PFCOUNT KEY",
            "PFCOUNT none KEY",
            "PFMERGE d KEY",
            "PFMERGE KEY d",
            "PFDEBUG GETREG KEY",
        ];
        for line in lines {
            assert_eq!(db.show(&line.replace("KEY", key)), is_none, "{line}");
        }
    }
    assert!(db.show("PFADD l x").starts_with("WRONGTYPE Operation"));
    assert!(db.show("PFCOUNT l").starts_with("WRONGTYPE Operation"));
    assert_eq!(db.show("GET text"), "hello");
}

#[test]
fn a_corrupt_value_is_refused_by_all_and_stays() {
    let mut db = TestDb::new();
    let header = b"HYLL\x01\0\0\0\0\0\0\0\0\0\0\x80";
    let zeros = |count: usize| vec![0x3f; count];
    for (number, registers) in [
        &b""[..],
        b"\x7f",
        b"\x7f\xfe",
        b"\x7f\xff\x80",
        b"\x80\x7f\xff",
        &zeros(255),
        &zeros(257),
        &zeros(9000),
    ]
    .into_iter()
    .enumerate()
    {
        let corrupt = [header, registers].concat();
        db.run_args(&[b"SET", b"c", &corrupt]);
        let corrupted = "INVALIDOBJ Corrupted HLL object detected";
        let many: String = (0..100).map(|number| format!(" {number}")).collect();
        for line in [
            "PFADD c x",
            &format!("PFADD c{many}"),
            "PFCOUNT c",
            "PFCOUNT c none",
            "PFMERGE d c",
            "PFMERGE c d",
            "PFDEBUG GETREG c",
            "PFDEBUG TODENSE c",
            "PFDEBUG DECODE c",
        ] {
            assert_eq!(db.show(line), corrupted, "{number}: {line}");
        }
        assert_eq!(value(&mut db, "c"), corrupt);
    }
    assert_eq!(db.show("EXISTS d"), "0");
}

#[test]
fn registers_that_no_hash_makes_are_counted_without_a_panic() {
    let mut db = TestDb::new();
    for byte in [0xff, 0xcf, 0x55] {
        let mut dense = b"HYLL\0\0\0\0\0\0\0\0\0\0\0\x80".to_vec();
        dense.resize(DENSE_BYTES, byte);
        db.run_args(&[b"SET", b"h", &dense]);
        assert!(db.run("PFCOUNT h").starts_with(':'));
        assert!(db.run("PFCOUNT h none").starts_with(':'));
        assert_eq!(db.show("PFMERGE d h"), "OK");
        assert!(db.run("PFADD h x y z").starts_with(':'));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    /// Whatever the order and the encoding, the registers are the greatest counts.
    #[test]
    fn registers_are_those_of_a_plain_array(
        sets in prop::collection::vec(prop::collection::vec(0_u32..5000, 0..400), 1..4),
        dense in prop::collection::vec(any::<bool>(), 4),
    ) {
        let mut db = TestDb::new();
        let mut all = BTreeSet::new();
        let mut model = vec![0; REGISTERS];
        for (number, set) in sets.iter().enumerate() {
            let words: Vec<String> = set.iter().map(ToString::to_string).collect();
            let name = format!("h{number}");
            db.run(&format!("PFADD {name}"));
            let (first, second) = words.split_at(words.len() / 2);
            first.iter().for_each(|word| drop(db.run(&format!("PFADD {name} {word}"))));
            if dense[number] {
                db.run(&format!("PFDEBUG TODENSE {name}"));
            }
            db.run(&format!("PFADD {name} {}", second.join(" ")));
            for word in &words {
                let (index, count) = pattern(word.as_bytes());
                model[index] = count.max(model[index]);
            }
            all.extend(words);
        }
        let names: Vec<String> = (0..sets.len()).map(|number| format!("h{number}")).collect();
        let counted = db.show(&format!("PFCOUNT {} none", names.join(" ")));
        prop_assert_eq!(db.show(&format!("PFMERGE d {}", names.join(" "))), "OK");
        prop_assert_eq!(db.show("PFCOUNT d"), counted.clone());
        let shown: Vec<String> = model.iter().map(ToString::to_string).collect();
        prop_assert_eq!(db.show("PFDEBUG GETREG d"), format!("[{}]", shown.join(" ")));
        let (counted, truth) = (counted.parse::<f64>().expect("a number"), all.len() as f64);
        prop_assert!((counted - truth).abs() <= 3.0 + truth * 0.05, "{} of {}", counted, truth);
    }
}

fn cost(db: &TestDb, line: &str) -> Cost {
    let words = split_words(line);
    let args: Vec<&[u8]> = words.iter().map(String::as_bytes).collect();
    db.cost(&args, &Forecast::default())
}

#[test]
fn costs_are_those_of_registers_and_searches() {
    let mut db = TestDb::new();
    db.run("PFADD small a b c");
    db.run("PFADD dense a b c");
    db.run("PFDEBUG TODENSE dense");
    assert!(cost(&db, "PFADD small x").steps < 50);
    assert!(cost(&db, "PFADD none x").steps < 50);
    assert!(cost(&db, "PFADD dense x y z").steps < 10);
    assert!(cost(&db, "PFADD none x").growth.bytes >= DENSE_BYTES as u64);
    assert!(cost(&db, "PFADD dense x").growth.bytes < 1000);
    assert!((2000..3000).contains(&cost(&db, "PFCOUNT dense").steps));
    let many = format!("PFMERGE d{}", " dense".repeat(100));
    assert!((200_000..300_000).contains(&cost(&db, &many).steps));
    let mut million = vec![&b"PFADD"[..], b"small"];
    million.resize(1_000_002, b"x");
    let cost = db.cost(&million, &Forecast::default());
    assert!((1_000_000..8_000_000).contains(&cost.steps), "{cost:?}");
}
