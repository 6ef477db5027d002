//! Hostile arguments against the whole table: no line of words may panic, answer what is not RESP, or leave other data where its
//! reply is stored than where it is not.
//!
//! - Every row and subcommand that works on the keyspace, those of the server's own included, is given words that break
//!   programs, and valid ones among them, over keys of all types, small and large.
//! - Each line runs twice, on two databases: as a client's (a read where it only reads), and as the log would have it (a write
//!   where its row has one), its reply stored, cut or thrown away. Data must stay equal, and so must the replies where both are whole.
//!
//! `HOSTILE_LINES=1000000 cargo test --lib hostile` is the long form; `HOSTILE_SEED=<n>` draws the same lines again.

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
const LINES_A_DIGEST: usize = 100;
/// The most bytes of a reply.
const MOST: usize = 1 << 20;

const NUMBERS: &[&str] = &[
    "0",
    "1",
    "-1",
    "2",
    "-2",
    "3",
    "5",
    "7",
    "10",
    "-10",
    "16",
    "100",
    "128",
    "129",
    "513",
    "4096",
    "-100",
    "10000",
    "-9223372036854775808",
    "-9223372036854775807",
    "9223372036854775807",
    "9223372036854775806",
    "9223372036854775808",
    "18446744073709551615",
    "18446744073709551616",
    "4611686018427403399",
    "4611686018427387904",
    "281474976710656",
    "4294967295",
    "4294967296",
    "-4294967296",
    "2147483647",
    "2147483648",
    "-2147483648",
    "-2147483649",
    "536870912",
    "9007199254740993",
    "1e3",
    "0x10",
    "+1",
    " 1",
    "1 ",
    "01",
    "-0",
    "0.1",
    "-.5",
    "1e308",
    "-1e308",
    "1e400",
    "1e-400",
    "inf",
    "-inf",
    "+inf",
    "nan",
    "(1",
    "(",
    "(inf",
    "(-inf",
    "1.7976931348623157e308",
    "99999999999999999999999999999999999999",
];

const WORDS: &[&str] = &[
    "ABSTTL",
    "AFTER",
    "AGGREGATE",
    "ALPHA",
    "ASC",
    "ASYNC",
    "BEFORE",
    "BY",
    "BYLEX",
    "BYSCORE",
    "CH",
    "COUNT",
    "DB",
    "DESC",
    "EX",
    "EXAT",
    "FIELDS",
    "FNX",
    "FREQ",
    "FXX",
    "GET",
    "GT",
    "IDLETIME",
    "IDX",
    "IFEQ",
    "INCR",
    "KEEPTTL",
    "LEFT",
    "LEN",
    "LIMIT",
    "LT",
    "MATCH",
    "MAX",
    "MAXLEN",
    "MIN",
    "MINMATCHLEN",
    "NOSCORES",
    "NOVALUES",
    "NX",
    "PERSIST",
    "PX",
    "PXAT",
    "RANK",
    "REPLACE",
    "REV",
    "RIGHT",
    "STORE",
    "SUM",
    "SYNC",
    "TYPE",
    "WEIGHTS",
    "WITHMATCHLEN",
    "WITHSCORES",
    "WITHVALUES",
    "XX",
    "list",
    "zset",
    "nosort",
    "#",
    "s:*",
    "h:*->f1",
    "*->",
    "->",
    "*",
    "?",
    "[",
    "[^",
    "[a-",
    "\\",
    "**********a",
    "{",
    "}",
    "{}",
    "{a}",
    "-",
    "+",
    "[a",
    "(b",
    "[m5",
    "f1",
    "m5",
    "e5",
    "used_memory",
    "shard",
];

const ODD: &[&[u8]] = &[
    b"",
    b"\0",
    b"a\0b",
    b"\r\n",
    b"$-1\r\n",
    b"\xff",
    b"\xff\xff\xff\xff\xff\xff\xff\xff\xff",
    b"\xc3\x28",
    b" ",
    b"\t",
];

fn setting(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name} is a number, and not {text}")))
}

/// The keys of a round: each type in each of its encodings, small and large, with and without deadlines.
fn lines_of_data() -> Vec<String> {
    let many = |command: &str, count: usize, one: &dyn Fn(usize) -> String| {
        let words: Vec<String> = (0..count).map(one).collect();
        format!("{command} {}", words.join(" "))
    };
    let mut lines = vec![
        "SET s:number 42".to_owned(),
        "SET s:least -9223372036854775808".to_owned(),
        "SET s:most 9223372036854775807".to_owned(),
        "SET s:float 1.7e308".to_owned(),
        "SET s:empty \"\"".to_owned(),
        "SET s:text abcabcabd".to_owned(),
        format!("SET s:large {}", "0123456789".repeat(2_500)),
        "SET s:mortal v PX 100000".to_owned(),
        many("RPUSH l:small", 5, &|n| format!("e{n}")),
        many("RPUSH l:large", 1_000, &|n| format!("e{}", n % 300)),
        format!("RPUSH l:long {0} {0} x", "y".repeat(10_000)),
        many("SADD i:small", 5, &|n| n.to_string()),
        many("SADD i:large", 1_000, &|n| (n * 7).to_string()),
        "SADD i:least -9223372036854775808 9223372036854775807".to_owned(),
        many("SADD m:small", 5, &|n| format!("m{n}")),
        many("SADD m:large", 1_000, &|n| format!("m{n}")),
        many("HSET h:small", 5, &|n| format!("f{n} {n}")),
        many("HSET h:large", 1_000, &|n| format!("f{n} v{n}")),
        format!("HSET h:long f1 {}", "z".repeat(10_000)),
        many("HSET h:mortal", 20, &|n| format!("f{n} v{n}")),
        "HPEXPIRE h:mortal 5000 FIELDS 3 f1 f2 f3".to_owned(),
        many("ZADD z:small", 5, &|n| format!("{n} m{n}")),
        many("ZADD z:large", 1_000, &|n| format!("{} m{n}", n / 3)),
        "ZADD z:extreme -inf a inf b 0 c -0 d 1e308 e".to_owned(),
        many("ZADD z:equal", 300, &|n| format!("0 {n:03}")),
    ];
    // One slot of so many keys that its table is a tree.
    for batch in 0..11 {
        lines.push(many("MSET", 500, &|n| format!("{{a}}{} v", batch * 500 + n)));
    }
    lines
}

fn names_of_keys() -> Vec<String> {
    let lines = lines_of_data();
    let named = lines.iter().filter(|line| !line.starts_with("MSET") && !line.starts_with("HPEXPIRE"));
    let mut names: Vec<String> = named.filter_map(|line| line.split(' ').nth(1)).map(str::to_owned).collect();
    names.extend(["none", "{a}7", "{a}none", "d:1", "d:2"].map(str::to_owned));
    names
}

struct Lines {
    random: Random,
    keys: Vec<String>,
    /// What DUMP answered for some keys.
    dumps: Vec<Vec<u8>>,
    rows: Vec<(Vec<u8>, Option<Vec<u8>>, &'static Command)>,
}

impl Lines {
    fn new(seed: u64) -> Lines {
        let mut rows = Vec::new();
        for row in commands() {
            let name = row.command.name.as_bytes().to_vec();
            if row.command.uses_keyspace() {
                rows.push((name.clone(), None, row.command));
            }
            let subs = row.command.subcommands.iter().filter(|sub| sub.uses_keyspace());
            rows.extend(subs.map(|sub| (name.clone(), Some(sub.name.as_bytes().to_vec()), sub)));
        }
        Lines { random: Random::from_seed(seed), keys: names_of_keys(), dumps: Vec::new(), rows }
    }

    fn one_of<'a, T>(&mut self, all: &'a [T]) -> &'a T {
        &all[self.random.below(all.len())]
    }

    fn next(&mut self) -> (&'static Command, Vec<Vec<u8>>) {
        let row = self.random.below(self.rows.len());
        let (name, sub, command) = self.rows[row].clone();
        let mut args = vec![name];
        args.extend(sub);
        let least = command.arity.unsigned_abs() as usize;
        let more = if command.arity > 0 { 0 } else { self.random.below(9) };
        while args.len() < least + more {
            args.push(self.word(args.len()));
        }
        (command, args)
    }

    fn word(&mut self, place: usize) -> Vec<u8> {
        let likely_key = if place < 3 { 60 } else { 30 };
        match self.random.below(100) {
            dice if dice < likely_key => {
                let keys = std::mem::take(&mut self.keys);
                let key = self.one_of(&keys).clone().into_bytes();
                self.keys = keys;
                key
            }
            dice if dice < likely_key + 20 => self.one_of(NUMBERS).as_bytes().to_vec(),
            dice if dice < likely_key + 35 => self.one_of(WORDS).as_bytes().to_vec(),
            _ => self.odd(),
        }
    }

    fn odd(&mut self) -> Vec<u8> {
        match self.random.below(40) {
            0 => vec![b'n'; 1 << 20],
            1 => vec![b'k'; 70_000],
            2 => b"*a".repeat(40),
            3..=9 if !self.dumps.is_empty() => {
                let which = self.random.below(self.dumps.len());
                let mut dump = self.dumps[which].clone();
                if self.random.below(2) == 0 && !dump.is_empty() {
                    let at = self.random.below(dump.len());
                    dump[at] ^= 1 << self.random.below(8);
                }
                dump
            }
            10..=15 => self.random.next_u64().to_string().into_bytes(),
            16..=20 => (self.random.next_u64() as i64).to_string().into_bytes(),
            _ => self.one_of(ODD).to_vec(),
        }
    }
}

/// Two databases with the same data: clients ask the one, and the log makes the other.
struct Pair {
    asked: TestDb,
    logged: TestDb,
}

impl Pair {
    fn new() -> Pair {
        let new = || {
            let mut db = TestDb::new();
            lines_of_data().iter().for_each(|line| drop(db.run(line)));
            db.most = MOST;
            db
        };
        let mut logged = new();
        logged.logs = true;
        Pair { asked: new(), logged }
    }

    /// Runs a line on both.
    fn run(&mut self, args: &[&[u8]], random: &mut Random) {
        let resp = if random.below(2) == 0 { Resp::V2 } else { Resp::V3 };
        (self.asked.resp, self.logged.resp) = (resp, resp);
        let most = [MOST, 0, random.below(200)][random.below(3)];
        self.logged.most = most;
        let asked = self.asked.run_bounded(args);
        let logged = self.logged.run_bounded(args);
        if let Some(reply) = &asked {
            let whole = whole_reply(reply);
            assert!(whole == Some(reply.len()) || reply.is_empty(), "no reply: {}", reply.escape_ascii());
        }
        if most == MOST && asked != logged {
            panic!("as a read {:?}, as a write {:?}", asked.map(shown), logged.map(shown));
        }
    }

    fn check(&self) {
        assert!(self.asked.digest() == self.logged.digest(), "data depends on what was answered");
    }
}

fn shown(reply: Vec<u8>) -> String {
    reply[..reply.len().min(300)].escape_ascii().to_string()
}

/// The length of the reply at the beginning of `bytes`, if there is a whole one.
fn whole_reply(bytes: &[u8]) -> Option<usize> {
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
struct Told<'a>(u64, &'a [&'a [u8]]);

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
    let mut lines = Lines::new(seed);
    let mut pair = Pair::new();
    let mut source = Pair::new().asked;
    let dumped = ["s:text", "l:small", "i:small", "m:small", "h:small", "h:mortal", "z:small", "z:large"];
    lines.dumps = dumped.iter().map(|key| payload(&source.run_args(&[b"DUMP", key.as_bytes()]))).collect();
    for number in 0..count {
        if number % LINES_A_ROUND == LINES_A_ROUND - 1 {
            pair = Pair::new();
        }
        let (command, args) = lines.next();
        let args: Vec<&[u8]> = args.iter().map(Vec::as_slice).collect();
        let told = Told(seed, &args);
        if command.arity_fits(args.len()) {
            look_at(command, &args);
            pair.run(&args, &mut lines.random);
        }
        if number % LINES_A_DIGEST == 0 {
            pair.check();
        }
        drop(told);
    }
    pair.check();
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
    lines_of_data().iter().for_each(|line| drop(db.run(line)));
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
                ("SSCAN", "i:large"),
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
    ] {
        let words = super::testing::split_words(line);
        let args: Vec<&[u8]> = words.iter().map(String::as_bytes).collect();
        let command = super::lookup(args[0]).expect("a row").command;
        assert_eq!(matches!(command.handler_for(&args), Handler::Read(_)), reads, "{line}");
    }
}
