//! Marks: each node captures its keyspace at the same entry, however many entries it applies at once.

use std::sync::Arc;

use crate::apply::Applier;
use crate::command::context::Stamp;
use crate::command::statistic_names;
use crate::env::Clock;
use crate::keyspace::Keyspace;
use crate::keyspace::types::limits::TypeLimits;
use crate::metrics::Metrics;
use crate::propose::entry::{write_header, write_single};
use crate::raft::keepalive::TurnBoard;
use crate::raft::node::StateMachine;
use crate::shard::machine::Machine;
use crate::shard::marks::{Fate, Marked};
use crate::shard::port::ShardHandle;

/// A follower's machine, and where it tells of marks.
fn follower() -> (Machine, Arc<ShardHandle>) {
    let (clock, _) = Clock::manual(1_000_000);
    let (keyspace, mutator) = Keyspace::create();
    let handle = Arc::new(ShardHandle::new(keyspace, 1));
    let applier = Applier::new(mutator, TypeLimits::default());
    let metrics = Metrics::new(clock.clone(), statistic_names());
    (Machine::new(applier, handle.clone(), TurnBoard::default(), clock, metrics), handle)
}

/// Applies entries of one command each, one behind the other, as a follower does that has fallen behind.
fn apply(machine: &mut Machine, lines: &[&str]) {
    for line in lines {
        let args: Vec<&[u8]> = line.split(' ').map(str::as_bytes).collect();
        let mut payload = Vec::new();
        write_header(&mut payload, Stamp { now_ms: 1_000_000, seed: 1 });
        write_single(&mut payload, 0, &args);
        machine.apply(machine.applied + 1, 1, &payload).expect("a sound entry");
    }
}

fn captured_keys(marked: Marked) -> Vec<Vec<u8>> {
    let entries = marked.capture.flat_map(|changes| changes.entries);
    let mut keys: Vec<Vec<u8>> = entries.map(|entry| entry.key().to_vec()).collect();
    keys.sort();
    keys
}

#[test]
fn what_is_captured_is_what_there_was_behind_the_mark() {
    let (mut machine, handle) = follower();
    machine.may_capture = true;
    apply(&mut machine, &["SET a 1", "SET b 1", "_checkpoint m", "DEL a", "SET c 1"]);
    let marked = machine.marked.take().expect("it was captured");
    assert_eq!((marked.index, marked.term, marked.stamp_ms), (3, 1, 1_000_000));
    assert_eq!(captured_keys(marked), [b"a", b"b"]);
    assert_eq!(handle.marks.find("m").map(|mark| (mark.index, mark.fate)), Some((3, Fate::Writing)));
}

#[test]
fn a_mark_that_can_not_be_captured_is_missed_and_says_so() {
    let (mut machine, handle) = follower();
    apply(&mut machine, &["SET a 1", "_checkpoint early"]);
    assert!(machine.marked.is_none());
    machine.may_capture = true;
    apply(&mut machine, &["_checkpoint first", "_checkpoint second"]);
    for (name, is_missed) in [("early", true), ("first", false), ("second", true)] {
        let mark = handle.marks.find(name).expect("it was met");
        assert_eq!(matches!(mark.fate, Fate::Missed(_)), is_missed, "{name}");
    }
    assert_eq!(machine.marked.take().map(|marked| marked.index), Some(3));
}
