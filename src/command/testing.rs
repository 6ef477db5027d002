//! A keyspace to run command lines against in unit tests.

use std::sync::Arc;

use super::context::{Effects, ReadContext, Stamp, WriteContext};
use super::cost::{self, Cost, CostContext, Forecast, Size};
use super::error::CommandError;
use super::{Args, Command, CommandResult, Handler, lookup, lookup_subcommand};
use crate::keyspace::digest::{self, Digest};
use crate::keyspace::hash_seed::HashSeed;
use crate::keyspace::types::limits::TypeLimits;
use crate::keyspace::view::LockSet;
use crate::keyspace::{DATABASES, Keyspace, Mutator};
use crate::protocol::reply::{MAX_REPLY_BYTES, Reply, Resp};

/// One database server of the smallest kind: no log, no network, a clock that stands still until it is moved.
pub struct TestDb {
    keyspace: Arc<Keyspace>,
    mutator: Mutator,
    pub effects: Effects,
    pub limits: TypeLimits,
    pub resp: Resp,
    pub db: usize,
    /// The most bytes of a reply.
    pub most: usize,
    /// Runs what is in the log of programs that logged every command of a row that writes.
    pub logs: bool,
    now_ms: i64,
    seed: u64,
}

impl Default for TestDb {
    fn default() -> Self {
        TestDb::new()
    }
}

impl TestDb {
    /// Empty, RESP2, database 0, at unix time 1,000,000 ms.
    pub fn new() -> Self {
        let (keyspace, mutator) = Keyspace::create();
        let effects = Effects { record_touched: true, ..Effects::default() };
        let limits = TypeLimits::default();
        TestDb {
            keyspace,
            mutator,
            effects,
            limits,
            resp: Resp::V2,
            db: 0,
            most: MAX_REPLY_BYTES,
            logs: false,
            now_ms: 1_000_000,
            seed: 1,
        }
    }

    /// With a seed of its own for all hash tables.
    pub fn seeded() -> Self {
        let mut db = TestDb::new();
        let seed = HashSeed::new(7, 8);
        db.mutator.reseed(seed);
        db.limits.hash_seed = seed;
        db
    }

    pub fn keyspace(&self) -> &Keyspace {
        &self.keyspace
    }

    pub fn resp3() -> Self {
        TestDb { resp: Resp::V3, ..TestDb::new() }
    }

    /// Moves the clock to this unix time.
    pub fn at(&mut self, now_ms: i64) -> &mut Self {
        self.now_ms = now_ms;
        self
    }

    /// Runs a command line (words between spaces; `""` and `"a b"` are quoted) and returns the reply's bytes.
    pub fn run(&mut self, line: &str) -> String {
        let words = split_words(line);
        let args: Vec<&[u8]> = words.iter().map(String::as_bytes).collect();
        String::from_utf8_lossy(&self.run_args(&args)).into_owned()
    }

    /// As [`run`](Self::run), the reply made short: `OK`, `nil`, `[a [1 2]]`, `{k v}`, `~{a b}`, an error's text.
    pub fn show(&mut self, line: &str) -> String {
        show_reply(&self.run(line))
    }

    /// Keys announced as changed since the last call, without repetitions.
    pub fn take_touched(&mut self) -> Vec<String> {
        let mut keys: Vec<String> = Vec::new();
        for (_, key) in self.effects.touched.drain(..) {
            let key = String::from_utf8_lossy(&key).into_owned();
            if !keys.contains(&key) {
                keys.push(key);
            }
        }
        keys
    }

    pub fn run_args(&mut self, args: &Args<'_>) -> Vec<u8> {
        let mut out = Vec::new();
        if let Err(error) = self.execute(args, &mut out) {
            assert!(out.is_empty(), "an error comes before any reply");
            Reply::new(&mut out, self.resp).error(error.to_string());
        }
        out
    }

    /// As [`run_args`](Self::run_args); `None` where the reply did not fit.
    pub fn run_bounded(&mut self, args: &Args<'_>) -> Option<Vec<u8>> {
        let mut out = Vec::new();
        let mut reply = Reply::bounded(&mut out, self.resp, self.most);
        if let Err(error) = self.execute_into(args, &mut reply) {
            assert_eq!(reply.position(), 0, "an error comes before any reply");
            reply.error(error.to_string());
        }
        (!reply.is_over()).then_some(out)
    }

    /// Changes the keyspace as a handler would.
    pub fn write(&mut self, locks: LockSet, stamp: Stamp, change: impl FnOnce(&mut WriteContext<'_>)) {
        let view = self.mutator.write(locks);
        change(&mut WriteContext::new(view, &mut self.effects, self.db, stamp, &self.limits));
    }

    pub fn digest(&self) -> Digest {
        digest::of_keyspace(&self.keyspace)
    }

    /// What the keys that a line names take up.
    pub fn bytes_of_keys(&self, command: &Command, args: &Args<'_>) -> u64 {
        let view = self.keyspace.read(LockSet::ALL);
        let reader = ReadContext::new(&view, self.db, self.now_ms, 0);
        // One that is named twice counts once.
        let keys: std::collections::BTreeSet<&[u8]> =
            command.key_places(args).map(|place| args[place]).collect();
        let entries = keys.into_iter().filter_map(|key| reader.entry(key));
        entries.map(|entry| Size::of(entry).bytes).sum()
    }

    /// What a command would cost now.
    pub fn cost(&self, args: &Args<'_>, forecast: &Forecast) -> Cost {
        let command = find(args).expect("a command");
        let view = self.keyspace.read(command.lock_set(args));
        let reader = ReadContext::new(&view, self.db, self.now_ms, self.seed);
        cost::of_command(command, &CostContext::new(&reader, forecast), args)
    }

    /// What a command may add to the data, DENYOOM or not.
    pub fn growth(&self, args: &Args<'_>) -> Size {
        let command = find(args).expect("a command");
        let Some(measure) = command.cost.measure() else { return Cost::of_args(args).growth };
        let view = self.keyspace.read(command.lock_set(args));
        let reader = ReadContext::new(&view, self.db, self.now_ms, self.seed);
        measure(&CostContext::new(&reader, &Forecast::default()), args).growth
    }

    /// Bytes of all entries.
    pub fn memory_bytes(&self) -> u64 {
        let view = self.keyspace.read(LockSet::ALL);
        let of_database = |db| {
            let context = ReadContext::new(&view, db, i64::MIN, 0);
            context.entries().map(|entry| entry.memory_bytes() as u64).sum::<u64>()
        };
        (0..DATABASES).map(of_database).sum()
    }

    fn execute(&mut self, args: &Args<'_>, out: &mut Vec<u8>) -> CommandResult {
        self.execute_into(args, &mut Reply::new(out, self.resp))
    }

    fn execute_into(&mut self, args: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
        let command = find(args)?;
        let locks = command.lock_set(args);
        self.seed += 1;
        self.effects.script_budget = Default::default();
        let logged = command.logged_handler().filter(|_| self.logs);
        match logged.map_or_else(|| command.handler_for(args), Handler::Write) {
            Handler::Read(handler) => {
                let view = self.keyspace.read(locks);
                let context =
                    ReadContext::new(&view, self.db, self.now_ms, self.seed).noting(self.effects.access);
                context.using(command, || handler(&context, args, reply))
            }
            Handler::Write(handler) => {
                let stamp = Stamp { now_ms: self.now_ms, seed: self.seed };
                let view = self.mutator.write(locks);
                let mut context = WriteContext::new(view, &mut self.effects, self.db, stamp, &self.limits);
                if let Some(row) = lookup(args[0]) {
                    context.begin(&row);
                }
                handler(&mut context, args, reply)
            }
            _ => panic!("{} touches no keyspace", command.name),
        }
    }
}

/// The command that a request names.
pub fn find(args: &Args<'_>) -> Result<&'static Command, CommandError> {
    let row = lookup(args[0]).unwrap_or_else(|| panic!("no command {}", String::from_utf8_lossy(args[0])));
    let command = match args.get(1) {
        Some(name) if !row.command.subcommands.is_empty() => {
            lookup_subcommand(row.command, name).expect("a subcommand of that name")
        }
        _ => row.command,
    };
    command.arity_fits(args.len()).then_some(command).ok_or(CommandError::Arity(command.name.into()))
}

pub fn split_words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    for (place, part) in line.split('"').enumerate() {
        match place % 2 {
            0 => words.extend(part.split_whitespace().map(str::to_owned)),
            _ => words.push(part.to_owned()),
        }
    }
    words
}

/// Replies made short, one behind the other.
pub fn show_reply(reply: &str) -> String {
    let mut lines = reply.split("\r\n");
    let mut shown = String::new();
    while lines.clone().next().is_some_and(|line| !line.is_empty()) {
        shown.push_str(&show_one(&mut lines));
    }
    shown
}

fn show_one<'a>(lines: &mut impl Iterator<Item = &'a str>) -> String {
    let line = lines.next().expect("a reply has another line");
    let (kind, rest) = line.split_at(1);
    let mut elements = |count: usize| (0..count).map(|_| show_one(lines)).collect::<Vec<_>>().join(" ");
    let count = || rest.parse::<usize>().expect("an aggregate has a length");
    match kind {
        "_" => "nil".to_owned(),
        "$" | "*" if rest == "-1" => "nil".to_owned(),
        "$" => lines.next().expect("a bulk string has a line").to_owned(),
        "*" | ">" => format!("[{}]", elements(count())),
        "~" => format!("~{{{}}}", elements(count())),
        "%" => format!("{{{}}}", elements(2 * count())),
        _ => rest.to_owned(),
    }
}
