//! Runs command lines against a keyspace of their own, for the tests of the families.
//!
//! - Writes run as in apply (all their locks, a stamp), reads as on a worker, both at the time that the test set.
//! - A blocking command that finds nothing ready answers the empty text.

use super::context::{Effects, Stamp};
use super::{CommandError, Handler, ReadContext, WriteContext, lookup};
use crate::keyspace::types::limits::TypeLimits;
use crate::keyspace::{Keyspace, Mutator};
use crate::protocol::reply::{Reply, Resp};

/// A keyspace with one client.
pub struct TestDb {
    mutator: Mutator,
    limits: TypeLimits,
    stamp: Stamp,
    resp: Resp,
    effects: Effects,
}

impl TestDb {
    pub fn new() -> TestDb {
        let (_, mutator) = Keyspace::create();
        TestDb {
            mutator,
            limits: TypeLimits::default(),
            stamp: Stamp { now_ms: 1, seed: 7 },
            resp: Resp::V2,
            effects: Effects {
                record_touched: true,
                ..Effects::default()
            },
        }
    }

    /// The same, for a client that said HELLO 3.
    pub fn resp3() -> TestDb {
        TestDb {
            resp: Resp::V3,
            ..TestDb::new()
        }
    }

    /// Sets the time of the commands to come, unix ms.
    pub fn at(&mut self, now_ms: i64) -> &mut TestDb {
        self.stamp.now_ms = now_ms;
        self
    }

    /// Sets the seed of the commands to come.
    pub fn seed(&mut self, seed: u64) -> &mut TestDb {
        self.stamp.seed = seed;
        self
    }

    /// Runs a line of arguments between single spaces (`""` is the empty argument) and returns the reply as it goes over the wire.
    pub fn run(&mut self, line: &str) -> String {
        let args: Vec<&[u8]> = line
            .split(' ')
            .map(|arg| if arg == "\"\"" { b"" } else { arg.as_bytes() })
            .collect();
        String::from_utf8_lossy(&self.run_args(&args)).into_owned()
    }

    /// Runs a line and returns the leaves of its reply between spaces: bulk strings and numbers as they are, nulls as
    /// `nil`, aggregates in brackets.
    pub fn show(&mut self, line: &str) -> String {
        let wire = self.run(line);
        let mut lines = wire.split("\r\n");
        if wire.is_empty() {
            "waits".to_owned()
        } else {
            show_value(&mut lines)
        }
    }

    /// Runs one command of any bytes.
    pub fn run_args(&mut self, args: &[&[u8]]) -> Vec<u8> {
        let mut out = Vec::new();
        if let Err(error) = self.execute(args, &mut out) {
            assert!(out.is_empty(), "an error comes before any part of a reply");
            Reply::new(&mut out, self.resp).error(&error.to_string());
        }
        out
    }

    /// The keys that changed since the last call, in order.
    pub fn take_touched(&mut self) -> Vec<String> {
        let touched = std::mem::take(&mut self.effects.touched);
        touched
            .into_iter()
            .map(|(_, key)| String::from_utf8_lossy(&key).into_owned())
            .collect()
    }

    fn execute(&mut self, args: &[&[u8]], out: &mut Vec<u8>) -> Result<(), CommandError> {
        let name = String::from_utf8_lossy(args[0]).into_owned();
        let row =
            lookup(args[0]).ok_or(CommandError::other(format!("ERR unknown command '{name}'")))?;
        if !row.command.arity_fits(args.len()) {
            return Err(CommandError::Arity(row.command.name.into()));
        }
        let locks = row.command.lock_set(args);
        let mut reply = Reply::new(out, self.resp);
        match row.command.handler {
            Handler::Read(handler) => {
                let view = self.mutator.keyspace().read(locks);
                handler(
                    &ReadContext::new(&view, 0, self.stamp.now_ms, self.stamp.seed),
                    args,
                    &mut reply,
                )
            }
            Handler::Write(handler) => {
                let view = self.mutator.write(locks);
                let mut ctx =
                    WriteContext::new(view, &mut self.effects, 0, self.stamp, &self.limits);
                handler(&mut ctx, args, &mut reply)
            }
            Handler::Container => Err(CommandError::other("ERR a container runs nothing")),
        }
    }
}

fn show_value<'a>(lines: &mut impl Iterator<Item = &'a str>) -> String {
    let line = lines.next().expect("a whole reply");
    let (kind, rest) = line.split_at(1);
    match kind {
        "_" => "nil".to_owned(),
        "$" | "*" if rest == "-1" => "nil".to_owned(),
        "$" => lines.next().expect("the bulk string's text").to_owned(),
        "*" | "~" | "%" => {
            let per_item = if kind == "%" { 2 } else { 1 };
            let len = per_item * rest.parse::<usize>().expect("an aggregate's length");
            let items: Vec<String> = (0..len).map(|_| show_value(lines)).collect();
            format!("[{}]", items.join(" "))
        }
        _ => rest.to_owned(),
    }
}
