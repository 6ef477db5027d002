//! Hostile arguments against the whole table: no line of words may panic, answer what is not RESP, or leave other data where its
//! reply is stored than where it is not.
//!
//! - Every row and subcommand that works on the keyspace, those of the server's own included, is given words that break
//!   programs, and valid ones among them, over keys of all types, small and large.
//! - No line makes its keys grow by more than its cost foresees.
//! - Each line runs twice, on two databases: as a client's (a read where it only reads), and as the log would have it (a write
//!   where its row has one), its reply stored, cut or thrown away. Data must stay equal, and so must the replies where both are whole.
//!
//! `HOSTILE_LINES=1000000 cargo test --lib hostile` is the long form; `HOSTILE_SEED=<n>` draws the same lines again.

use std::collections::BTreeSet;

use perdura_testkit::hostile::{Lines, Row, data};

use super::cost::Forecast;
use super::random::Random;
use super::spec::Flags;
use super::testing::TestDb;
use super::{Command, Handler, commands};
use crate::keyspace::slot::Slot;
use crate::protocol::reply::Resp;

const LINES: usize = 6_000;
/// Data is made anew after so many lines, so that nothing grows for long.
const LINES_A_ROUND: usize = 2_000;
/// Digests are compared after so many lines.
const LINES_A_DIGEST: usize = 200;
/// What a value may grow beside its elements: another encoding, and room for more.
const CONVERSION_BYTES: u64 = 256 << 10;
/// The most bytes of a reply.
const MOST: usize = 1 << 20;

pub fn setting(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name} is a number, and not {text}")))
}

/// The rows and subcommands that `belongs` lets through.
fn rows(belongs: fn(&Command) -> bool) -> Vec<Row> {
    let mut rows = Vec::new();
    for row in commands() {
        let name = row.command.name;
        if belongs(row.command) {
            rows.push(Row { words: vec![name], arity: row.command.arity });
        }
        let subs = row.command.subcommands.iter().filter(|sub| belongs(sub));
        rows.extend(subs.map(|sub| Row { words: vec![name, sub.name], arity: sub.arity }));
    }
    rows
}

/// Two databases with the same data: clients ask the one, and the log makes the other.
struct Pair {
    asked: TestDb,
    logged: TestDb,
    now_ms: i64,
    /// Whatever may be a key by now.
    words: BTreeSet<Vec<u8>>,
}

/// Databases that are selected.
const DATABASES: usize = 3;

impl Pair {
    fn new() -> Pair {
        let new = || {
            let mut db = TestDb::new();
            data().iter().for_each(|line| drop(db.run(line)));
            db.most = MOST;
            db
        };
        let mut logged = new();
        logged.logs = true;
        let words = ["h:mortal", "s:mortal"].map(|key| key.as_bytes().to_vec()).into();
        Pair { asked: new(), logged, now_ms: 1_000_000, words }
    }

    /// Runs a line on both; true if it is answered with an error.
    fn run(&mut self, command: &Command, args: &[&[u8]], lines: &mut Lines) -> bool {
        if lines.below(40) == 0 {
            self.now_ms += lines.below(3_000) as i64;
            self.asked.at(self.now_ms);
            self.logged.at(self.now_ms);
        }
        let db = lines.below(40).saturating_sub(40 - DATABASES);
        (self.asked.db, self.logged.db) = (db, db);
        self.words.extend(args[1..].iter().map(|arg| arg.to_vec()));
        let resp = if lines.below(2) == 0 { Resp::V2 } else { Resp::V3 };
        (self.asked.resp, self.logged.resp) = (resp, resp);
        let most = [MOST, 0, lines.below(200)][lines.below(3)];
        self.logged.most = most;
        let cost = self.asked.cost(args, &Forecast::default());
        let before = self.asked.bytes_of_keys(command, args);
        let asked = self.asked.run_bounded(args);
        let growth = self.asked.bytes_of_keys(command, args).saturating_sub(before);
        let bound = cost.growth.bytes.saturating_add(CONVERSION_BYTES);
        assert!(growth <= bound, "{growth} bytes more, and at most {bound} were foreseen");
        let logged = self.logged.run_bounded(args);
        if let Some(reply) = &asked {
            let whole = whole_reply(reply);
            assert!(whole == Some(reply.len()) || reply.is_empty(), "no reply: {}", reply.escape_ascii());
        }
        if most == MOST && asked != logged {
            panic!("as a read {:?}, as a write {:?}", asked.map(shown), logged.map(shown));
        }
        asked.is_some_and(|reply| reply.starts_with(b"-"))
    }

    /// What has died is freed first: a write may have met it where a read did not.
    fn check(&mut self) {
        let words = std::mem::take(&mut self.words);
        let mut args: Vec<&[u8]> = vec![b"_freeexpired"];
        args.extend(words.iter().map(Vec::as_slice));
        for db in 0..DATABASES {
            for side in [&mut self.asked, &mut self.logged] {
                side.db = db;
                side.run_args(&args);
            }
        }
        assert!(self.asked.digest() == self.logged.digest(), "data depends on what was answered");
    }
}

fn shown(reply: Vec<u8>) -> String {
    reply[..reply.len().min(300)].escape_ascii().to_string()
}

/// The length of the reply at the beginning of `bytes`, if there is a whole one.
pub fn whole_reply(bytes: &[u8]) -> Option<usize> {
    let end = bytes.windows(2).position(|pair| pair == b"\r\n")? + 2;
    let number = || std::str::from_utf8(&bytes[1..end - 2]).ok()?.parse::<i64>().ok();
    let elements = match bytes[0] {
        b'$' | b'=' => {
            let len = usize::try_from(number()?).ok();
            return len.map_or(Some(end), |len| (bytes.len() >= end + len + 2).then_some(end + len + 2));
        }
        b'*' | b'~' | b'>' => number()?.max(0),
        b'%' => number()?.checked_mul(2)?,
        b'+' | b'-' | b':' | b',' | b'_' | b'#' => 0,
        _ => return None,
    };
    (0..elements).try_fold(end, |at, _| Some(at + whole_reply(&bytes[at..])?))
}

/// The command that a line names, if its number of arguments fits.
fn named(args: &[&[u8]]) -> Option<&'static Command> {
    let row = super::lookup(args[0])?.command;
    let command = if row.subcommands.is_empty() { row } else { super::lookup_subcommand(row, args.get(1)?)? };
    command.arity_fits(args.len()).then_some(command)
}

/// What a session asks of a row before a command runs.
fn look_at(command: &Command, args: &[&[u8]]) {
    if let Some(blocking) = &command.blocking {
        let _ = (blocking.check)(args).and_then(|()| blocking.timeout_ms(args));
    }
    let places = command.key_places(args).chain(command.awaited_places(args));
    places.for_each(|place| assert!(place < args.len(), "a key at {place}"));
    let _ = command.locks(args);
}

/// Tells a line if it panics.
pub struct Told<'a>(pub u64, pub &'a [&'a [u8]]);

impl Drop for Told<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let word = |arg: &&[u8]| arg[..arg.len().min(100)].escape_ascii().to_string();
            let words: Vec<String> = self.1.iter().map(word).collect();
            eprintln!("HOSTILE_SEED={}: \"{}\"", self.0, words.join("\" \""));
        }
    }
}

#[test]
fn no_line_of_words_panics_or_depends_on_its_reply() {
    let seed = setting("HOSTILE_SEED").unwrap_or(12);
    let count = setting("HOSTILE_LINES").map_or(LINES, |count| count as usize);
    let mut lines = Lines::new(seed, rows(Command::uses_keyspace));
    let mut pair = Pair::new();
    let dumped = [
        "s:text",
        "l:small",
        "m:integers",
        "m:small",
        "h:small",
        "h:mortal",
        "z:small",
        "z:large",
        "x:small",
        "x:large",
    ];
    let mut source = Pair::new().asked;
    lines.dumps = dumped.iter().map(|key| payload(&source.run_args(&[b"DUMP", key.as_bytes()]))).collect();
    let mut errors = 0;
    for number in 0..count {
        if number % LINES_A_ROUND == LINES_A_ROUND - 1 {
            pair = Pair::new();
        }
        let line = lines.next_line();
        let args: Vec<&[u8]> = line.iter().map(Vec::as_slice).collect();
        let told = Told(seed, &args);
        if let Some(command) = named(&args) {
            look_at(command, &args);
            errors += usize::from(pair.run(command, &args, &mut lines));
        }
        if number % LINES_A_DIGEST == 0 {
            pair.check();
        }
        drop(told);
    }
    pair.check();
    println!("{errors} of {count} lines are answered with an error");
    assert!(
        errors < count * 7 / 10,
        "too few lines do anything: {errors} of {count} are answered with an error"
    );
}

/// The string of a bulk reply.
fn payload(reply: &[u8]) -> Vec<u8> {
    let start = reply.windows(2).position(|pair| pair == b"\r\n").expect("a bulk string has a header") + 2;
    reply[start..reply.len() - 2].to_vec()
}

/// SCAN, HSCAN, SSCAN and ZSCAN answer any cursor of 64 bits, with the smallest and the largest steps.
#[test]
fn any_cursor_is_answered() {
    let mut db = TestDb::new();
    data().iter().for_each(|line| drop(db.run(line)));
    let mut random = Random::from_seed(3);
    let powers = (0..64).flat_map(|bit| [1_u64 << bit, (1 << bit) - 1, u64::MAX << bit, u64::MAX >> bit]);
    let drawn: Vec<u64> = (0..200).map(|_| random.next_u64()).collect();
    let slot = Slot::of(b"{a}").number() as u64;
    let in_slot = drawn.iter().map(|cursor| cursor << 14 | slot);
    for cursor in powers.chain([4_611_686_018_427_403_399]).chain(in_slot).chain(drawn.iter().copied()) {
        for count in ["1", "10", "9223372036854775807"] {
            for (name, key) in [
                ("SCAN", ""),
                ("HSCAN", "h:large"),
                ("HSCAN", "h:small"),
                ("SSCAN", "m:large"),
                ("SSCAN", "m:manyints"),
                ("ZSCAN", "z:large"),
                ("ZSCAN", "z:small"),
            ] {
                if name == "SCAN" && count.len() > 2 {
                    continue;
                }
                let reply = db.run(&format!("{name} {key} {cursor} COUNT {count}"));
                assert!(reply.starts_with("*2\r\n"), "{name} {key} {cursor} COUNT {count}: {reply}");
            }
        }
    }
}

/// A row that may read and may write has the flag that Redis shows, and is a write to the log.
#[test]
fn what_reads_with_some_arguments_is_told_as_a_write() {
    let reading: Vec<&str> =
        commands().filter(|row| row.command.reading.is_some()).map(|row| row.command.name).collect();
    for name in &reading {
        let row = super::lookup(name.as_bytes()).expect("a row");
        assert!(row.command.is_write() && row.command.flags.contains(Flags::WRITE), "{name}");
    }
    for (line, reads) in [
        ("SORT l", true),
        ("SORT l BY nosort GET # LIMIT 0 1", true),
        ("SORT l STORE d", false),
        ("SORT l store d", false),
        ("GETEX k", true),
        ("GETEX k PERSIST", false),
        ("HGETEX h FIELDS 1 f", true),
        ("HGETEX h EX 1 FIELDS 1 f", false),
        ("LPOP l 0", true),
        ("LPOP l", false),
        ("RPOP l 1", false),
        ("SPOP s 0", true),
        ("ZPOPMIN z 0", true),
        ("ZPOPMAX z -1", false),
        ("RENAME a a", true),
        ("RENAME a b", false),
        ("SMOVE a a m", true),
        ("SETRANGE k 5 \"\"", true),
        ("SETRANGE k 5 x", false),
        ("PFDEBUG ENCODING k", true),
        ("GEORADIUS k 1 1 1 m", true),
        ("GEORADIUS k 1 1 1 m STORE", true),
        ("GEORADIUS k 1 1 1 m ASC storedist d", false),
        ("GEORADIUSBYMEMBER k m 1 m STORE d", false),
        ("GEORADIUSBYMEMBER k store 1 m ASC", true),
        ("PFDEBUG TODENSE k", false),
        ("BITFIELD k", true),
        ("BITFIELD k GET u8 0 OVERFLOW SAT GET i5 #3", true),
        ("BITFIELD k GET u8 0 SET u8 0 1", false),
        ("BITFIELD k INCRBY u64 0 1", true),
    ] {
        let words = super::testing::split_words(line);
        let args: Vec<&[u8]> = words.iter().map(String::as_bytes).collect();
        let command = super::lookup(args[0]).expect("a row").command;
        assert_eq!(matches!(command.handler_for(&args), Handler::Read(_)), reads, "{line}");
    }
}
