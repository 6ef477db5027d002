//! By several threads a log comes to what it comes to entry by entry.

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::command::random::Random;
use crate::command::{PART, STAGED};
use crate::keyspace::digest::{self, Digest};
use crate::keyspace::{DATABASES, Keyspace};
use crate::propose::entry;

/// A command: database and words.
type Words = (usize, Vec<Vec<u8>>);

/// An item of an entry: one command, or a transaction of several.
type Items = Vec<Words>;

fn key() -> impl Strategy<Value = String> {
    (0..200_u32).prop_map(|number| format!("key:{number}"))
}

/// Commands of one key and of several, of whole databases, and such that pick by the entry's seed or die by its stamp.
fn line() -> impl Strategy<Value = String> {
    prop_oneof![
        8 => (key(), 0..3000_usize).prop_map(|(key, len)| format!("SET {key} {}", "x".repeat(len + 1))),
        4 => key().prop_map(|key| format!("INCRBY n{key} 3")),
        4 => (key(), 0..30_u32).prop_map(|(key, member)| format!("SADD s{key} a{member} b{member} c")),
        4 => key().prop_map(|key| format!("SPOP s{key}")),
        4 => (key(), 0..9_u32).prop_map(|(key, field)| format!("HSET h{key} f{field} 1")),
        4 => key().prop_map(|key| format!("RPUSH l{key} a b c")),
        4 => key().prop_map(|key| format!("XADD x{key} MAXLEN ~ 90 * field value")),
        2 => key().prop_map(|key| format!("XGROUP CREATE x{key} g 0 MKSTREAM")),
        2 => key().prop_map(|key| format!("XREADGROUP GROUP g c COUNT 1 BLOCK 0 STREAMS x{key} >")),
        2 => (key(), 0..40_u32).prop_map(|(key, ttl)| format!("PEXPIRE {key} {ttl}")),
        2 => key().prop_map(|key| format!("_freeexpired {key}")),
        1 => (key(), key()).prop_map(|(from, to)| format!("RENAME {from} {to}")),
        1 => (key(), key()).prop_map(|(one, other)| format!("MSET {one} 1 {other} 2")),
        1 => (key(), key()).prop_map(|(from, to)| format!("LMOVE l{from} l{to} LEFT RIGHT")),
        1 => limit(),
    ]
}

/// A limit of the encodings, changed between commands whose keys lie in one lock range.
fn limit() -> impl Strategy<Value = String> {
    let names = [
        "set-max-listpack-entries",
        "set-max-intset-entries",
        "hash-max-listpack-entries",
        "list-max-listpack-size",
        "stream-node-max-entries",
    ];
    (0..names.len(), 1..60_u32)
        .prop_map(move |(nth, limit)| format!("_parameters SET {} {limit}", names[nth]))
}

fn words() -> impl Strategy<Value = Words> {
    let line =
        prop_oneof![300 => line(), 1 => Just("FLUSHDB".to_owned()), 1 => Just("SWAPDB 0 1".to_owned())];
    (0..2_usize, line)
        .prop_map(|(db, line)| (db, line.split(' ').map(|word| word.as_bytes().to_vec()).collect()))
}

fn item() -> impl Strategy<Value = Items> {
    prop_oneof![20 => words().prop_map(|one| vec![one]), 1 => vec(words(), 2..4)]
}

fn slices(words: &Words) -> Vec<&[u8]> {
    words.1.iter().map(Vec::as_slice).collect()
}

fn payload(number: usize, items: &[Items]) -> Vec<u8> {
    let mut payload = Vec::new();
    let stamp = Stamp { now_ms: 10 * number as i64, seed: Random::from_seed(number as u64).next_u64() };
    entry::write_header(&mut payload, stamp);
    for (nth, commands) in items.iter().enumerate() {
        if (number + nth).is_multiple_of(9) {
            write_in_parts(&mut payload, &encoded(commands));
        } else {
            payload.extend_from_slice(&encoded(commands));
        }
    }
    payload
}

fn encoded(commands: &Items) -> Vec<u8> {
    let mut item = Vec::new();
    if let [single] = &commands[..] {
        entry::write_single(&mut item, single.0, &slices(single));
        return item;
    }
    entry::write_transaction(&mut item, commands.len());
    commands.iter().for_each(|one| entry::write_command(&mut item, one.0, &slices(one)));
    item
}

fn write_in_parts(payload: &mut Vec<u8>, item: &[u8]) {
    let mut offset = 0;
    for part in item.chunks(item.len().div_ceil(3)) {
        let (at, total) = (offset.to_string(), item.len().to_string());
        entry::write_single(payload, 0, &[PART, at.as_bytes(), total.as_bytes(), part]);
        offset += part.len();
    }
    entry::write_single(payload, 0, &[STAGED]);
}

/// What a log comes to: digest, keys by database, the newest stamp, and what is counted.
fn outcome(run: impl FnOnce(&mut Applier)) -> (Digest, Vec<usize>, i64, [u64; 3]) {
    let (keyspace, mutator) = Keyspace::create();
    let mut applier = Applier::new(mutator, TypeLimits::default());
    run(&mut applier);
    let keys = (0..DATABASES).map(|db| keyspace.usage(db).keys).collect();
    let Effects { changes, expired, executed, .. } = &applier.effects;
    let counts = [*changes, *expired, executed.sum()];
    (digest::of_keyspace(&keyspace), keys, applier.last_stamp_ms(), counts)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn threads_change_nothing(log in vec(vec(item(), 1..40), 1..20)) {
        let log: Vec<Vec<u8>> = log.iter().enumerate().map(|(number, items)| payload(number, items)).collect();
        let one_by_one = outcome(|applier| {
            log.iter().for_each(|payload| applier.apply_unattended(payload).expect("it can be understood"));
        });
        for threads in [1, 2, 5] {
            let at_once = outcome(|applier| {
                let entries: Vec<Indexed<'_>> = (1..).zip(log.iter().map(Vec::as_slice)).collect();
                apply(applier, threads, &entries).expect("it can be understood");
            });
            prop_assert_eq!(&at_once, &one_by_one, "{} threads", threads);
        }
    }
}

/// Keys, members and fields in the order of scans.
fn scanned(applier: &mut Applier) -> String {
    let mut replies = Vec::new();
    for line in
        ["SCAN 0 COUNT 100000", "SSCAN s 0 COUNT 100000", "HSCAN h 0 COUNT 100000", "ZSCAN z 0 COUNT 100000"]
    {
        let args: Vec<&[u8]> = line.split(' ').map(str::as_bytes).collect();
        let command = crate::command::lookup(args[0]).expect("a command").command;
        let stamp = Stamp { now_ms: 0, seed: 1 };
        applier.run_read(command, 0, &args, stamp, &mut Reply::new(&mut replies, Resp::V2));
    }
    String::from_utf8_lossy(&replies).into_owned()
}

#[test]
fn a_hash_seed_in_the_log_holds_for_all_that_comes_before_and_behind_it() {
    let line = |line: String| vec![(0, line.split(' ').map(|word| word.as_bytes().to_vec()).collect())];
    let write = |number: usize| {
        let parts = [
            format!("SET key:{number} v"),
            format!("SADD s member:{number}"),
            format!("HSET h field:{number} 1"),
            format!("ZADD z 1 member:{number}"),
            format!("HPEXPIRE h 1000000 FIELDS 1 field:{number}"),
        ];
        payload(number, &parts.map(line))
    };
    let seed = |word: &str| payload(0, &[line(format!("_hashseed {word}"))]);
    let (first, second) = ("0123456789abcdef", "fedcba9876543210");
    let mut log: Vec<Vec<u8>> = (0..600).map(write).collect();
    let without = applied(&log, 1);
    log.insert(300, seed(first));
    log.insert(400, seed(second));
    let one_by_one = applied(&log, 1);
    assert_ne!(without.1, one_by_one.1, "the order follows the seed");
    assert_eq!(without.0, one_by_one.0, "the content does not");
    log.remove(400);
    log.remove(300);
    log.insert(0, seed(first));
    for threads in [1, 2, 5] {
        assert_eq!(
            applied(&log, threads),
            one_by_one,
            "{threads} threads; the first seed counts from wherever"
        );
    }
}
/// The same members go into an intset, a packed sequence or a table by what the log says where they come; what a set answers for a
/// random member follows from that, whoever applies the log and from wherever.
#[test]
fn limits_in_the_log_hold_for_what_comes_after_them() {
    let line = |line: &str| vec![(0, line.split(' ').map(|word| word.as_bytes().to_vec()).collect())];
    let log: Vec<Vec<u8>> = [
        "SADD before 1 2 3",
        "_parameters SET set-max-intset-entries 2 set-max-listpack-entries 0",
        "SADD between 1 2 3",
        "_parameters FIRST set-max-intset-entries 512 hash-max-listpack-value 3",
        "SADD after 1 2 3",
        "HSET h f 1234",
        "SPOP between",
    ]
    .iter()
    .enumerate()
    .map(|(number, text)| payload(number + 1, &[line(text)]))
    .collect();
    let encodings = |applier: &mut Applier| {
        let mut replies = Vec::new();
        for key in ["before", "between", "after", "h"] {
            let args: [&[u8]; 3] = [b"OBJECT", b"ENCODING", key.as_bytes()];
            let command = crate::command::lookup_request(&args).expect("a command").command;
            let stamp = Stamp { now_ms: 0, seed: 1 };
            applier.run_read(command, 0, &args, stamp, &mut Reply::new(&mut replies, Resp::V2));
        }
        String::from_utf8_lossy(&replies).replace("\r\n", " ")
    };
    let expected = "$6 intset $9 hashtable $6 intset $9 hashtable ";
    let one_by_one = outcome(|applier| {
        log.iter().for_each(|payload| applier.apply_unattended(payload).expect("it can be understood"));
        assert_eq!(encodings(applier), expected);
    });
    let at_once = outcome(|applier| {
        let entries: Vec<Indexed<'_>> = (1..).zip(log.iter().map(Vec::as_slice)).collect();
        apply(applier, 2, &entries).expect("it can be understood");
        assert_eq!(encodings(applier), expected);
    });
    assert_eq!(at_once, one_by_one);
}

#[test]
fn a_parameter_of_a_newer_program_stops_apply() {
    let line = |line: &str| vec![(0, line.split(' ').map(|word| word.as_bytes().to_vec()).collect())];
    let (_, mutator) = Keyspace::create();
    let mut applier = Applier::new(mutator, TypeLimits::default());
    let newer = payload(1, &[line("_parameters SET warp-factor 9")]);
    let refused = Err(ApplyError::UnknownParameter("warp-factor".to_owned()));
    assert_eq!(applier.apply_unattended(&newer), refused);
}

/// Digest and orders of scans.
fn applied(log: &[Vec<u8>], threads: usize) -> (Digest, String) {
    let (keyspace, mutator) = Keyspace::create();
    let mut applier = Applier::new(mutator, TypeLimits::default());
    let entries: Vec<Indexed<'_>> = (1..).zip(log.iter().map(Vec::as_slice)).collect();
    apply(&mut applier, threads, &entries).expect("it can be understood");
    (digest::of_keyspace(&keyspace), scanned(&mut applier))
}

/// Each noted by itself, and kept as it was read, they took more than ten times their bytes.
#[test]
fn the_commands_of_a_long_transaction_are_counted_and_not_kept() {
    const COMMANDS: usize = 100_000;
    let command =
        |words: &[&str]| -> Words { (0, words.iter().map(|word| word.as_bytes().to_vec()).collect()) };
    let mut transaction = vec![command(&["INCR", "n"]); COMMANDS];
    transaction.push(command(&["RPUSH", "n", "1"]));
    let log = payload(1, &[vec![command(&["DEL", "n"])], transaction]);
    for is_bulk in [false, true] {
        let (keyspace, mutator) = Keyspace::create();
        let mut applier = Applier::new(mutator, TypeLimits::default());
        match is_bulk {
            true => drop(apply(&mut applier, 2, &[(1, &log)]).expect("it can be understood")),
            false => applier.apply_unattended(&log).expect("it can be understood"),
        }
        let executed = &applier.effects.executed;
        assert_eq!((executed.kinds(), executed.sum()), (3, COMMANDS as u64 + 2), "DEL, INCR, RPUSH's error");
        assert_eq!((applier.effects.changes, keyspace.usage(0).keys), (COMMANDS as u64, 1));
    }
}

/// Commands are read once for their locks before the first runs.
#[test]
fn a_transaction_that_cannot_be_understood_to_its_end_changes_nothing() {
    let words = |line: &str| -> Words { (0, line.split(' ').map(|word| word.as_bytes().to_vec()).collect()) };
    let (keyspace, mutator) = Keyspace::create();
    let mut applier = Applier::new(mutator, TypeLimits::default());
    let log = payload(1, &[vec![words("SET k v"), words("NOSUCH k")]]);
    assert_eq!(applier.apply_unattended(&log), Err(ApplyError::UnknownCommand("NOSUCH".to_owned())));
    assert_eq!(keyspace.usage(0).keys, 0);
}

#[test]
fn an_entry_that_cannot_be_understood_is_refused() {
    let (_, mutator) = Keyspace::create();
    let mut applier = Applier::new(mutator, TypeLimits::default());
    let unknown = payload(1, &[vec![(0, vec![b"NOSUCH".to_vec(), b"k".to_vec()])]]);
    let refused = apply(&mut applier, 2, &[(7, &unknown)]);
    assert_eq!(refused, Err((7, ApplyError::UnknownCommand("NOSUCH".to_owned()))));
    assert!(apply(&mut applier, 2, &[(7, &unknown[..unknown.len() - 1])]).is_err());
}

/// Older programs logged SORT and GETEX whatever their arguments. They replay without their replies, of which this one would be
/// 20 GB.
#[test]
fn reads_in_an_older_log_cost_nothing_in_a_replay() {
    let words = |line: &str| -> Words { (0, line.split(' ').map(|word| word.as_bytes().to_vec()).collect()) };
    let elements: Vec<String> = (0..20_000).map(|n| n.to_string()).collect();
    let push = words(&format!("RPUSH l {}", elements.join(" ")));
    let sort = words(&format!("SORT l BY nosort{}", " GET #".repeat(100_000)));
    let log = [
        payload(1, &[vec![push], vec![words("SET k v EX 100")], vec![words("HSET h f v")]]),
        payload(2, &[vec![sort.clone()], vec![words("GETEX k")], vec![words("LPOP l 0")]]),
        payload(3, &[vec![words("GETEX k"), sort, words("SETRANGE k 0 w"), words("HGETEX h FIELDS 1 f")]]),
    ];
    let one_by_one = outcome(|applier| {
        log.iter().for_each(|payload| applier.apply_unattended(payload).expect("it can be understood"));
    });
    let at_once = outcome(|applier| {
        let entries: Vec<Indexed<'_>> = (1..).zip(log.iter().map(Vec::as_slice)).collect();
        apply(applier, 2, &entries).expect("it can be understood");
    });
    assert_eq!(at_once, one_by_one);
    assert_eq!(one_by_one.1[0], 3);
}
