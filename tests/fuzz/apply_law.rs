//! The law of apply: whatever lines clients send, the entries that log them are understood, never panic, and come to the same data one
//! by one and by several threads.
//!
//! Included by apply's unit tests and by the fuzz target, which bring the names into scope.

use std::sync::Arc;

use super::{
    Applier, Command, CostContext, Digest, Flags, Forecast, Indexed, Keyspace, ReadContext, Stamp,
    TypeLimits, bulk_apply, lookup, lookup_subcommand, of_command, of_keyspace, write_header, write_single,
};

/// Lines beyond this cost would only take the fuzzer's time.
const MOST_STEPS: u64 = 20_000;
const MOST_GROWTH_BYTES: u64 = 1 << 20;
/// What an entry's stamp is later than that of the entry before it.
const STEP_MS: i64 = 50;

/// `input` is lines of words; a line's number of bytes chooses its database.
pub fn check(input: &[u8]) {
    let mut straight = applier();
    let mut log: Vec<Vec<u8>> = Vec::new();
    for line in input.split(|byte| *byte == b'\n') {
        let args: Vec<&[u8]> = line.split(|byte| *byte == b' ').collect();
        let db = line.len() % 2;
        let now_ms = STEP_MS * log.len() as i64;
        if !is_logged(straight.keyspace(), db, &args, now_ms) {
            continue;
        }
        let mut payload = Vec::new();
        write_header(&mut payload, Stamp { now_ms, seed: log.len() as u64 });
        write_single(&mut payload, db, &args);
        straight.apply_unattended(&payload).expect("what a session logs can be understood");
        log.push(payload);
    }
    let mut by_threads = applier();
    let entries: Vec<Indexed<'_>> = (1..).zip(log.iter().map(Vec::as_slice)).collect();
    bulk_apply(&mut by_threads, 3, &entries).expect("what a session logs can be understood");
    assert!(digest(&straight) == digest(&by_threads), "three threads come to other data");
}

fn applier() -> Applier {
    Applier::new(Keyspace::create().1, TypeLimits::default())
}

fn digest(applier: &Applier) -> Digest {
    of_keyspace(applier.keyspace())
}

/// Whether a session would log a client's line.
fn is_logged(keyspace: &Arc<Keyspace>, db: usize, args: &[&[u8]], now_ms: i64) -> bool {
    let Some(command) = named(args) else { return false };
    // Scripts have a law of their own.
    let is_other = command.flags.contains(Flags::INTERNAL) || command.script.is_some();
    if !command.is_write() || !command.arity_fits(args.len()) || is_other {
        return false;
    }
    let view = keyspace.read(command.lock_set(args));
    let reader = ReadContext::new(&view, db, now_ms, 0);
    let cost = of_command(command, &CostContext::new(&reader, &Forecast::default()), args);
    cost.steps <= MOST_STEPS && cost.growth.bytes <= MOST_GROWTH_BYTES && !cost.is_unbounded
}

fn named(args: &[&[u8]]) -> Option<&'static Command> {
    let row = lookup(args.first()?)?.command;
    if row.subcommands.is_empty() { Some(row) } else { lookup_subcommand(row, args.get(1)?) }
}
