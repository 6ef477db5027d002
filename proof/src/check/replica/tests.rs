use crate::check::testing::*;
use crate::check::{Options, check};
use crate::history::{Action, Operation, Value};

fn other_list() -> Action {
    Action::ReadList { key: "other".into() }
}

fn other_append(value: u64) -> Action {
    Action::Append { key: "other".into(), value }
}

fn last() -> [Operation; 2] {
    [
        at_the_end(ok(1_000, 1_001, list(), Value::List(vec![1, 2]))),
        at_the_end(ok(1_002, 1_003, other_list(), Value::List(vec![3]))),
    ]
}

fn writes() -> Vec<Operation> {
    vec![
        ok(0, 10, append(1), Value::Length(1)),
        ok(20, 30, append(2), Value::Length(2)),
        ok(40, 50, other_append(3), Value::Length(1)),
    ]
}

fn names(reads: Vec<Operation>) -> Vec<String> {
    let operations = writes().into_iter().chain(reads).chain(last());
    findings(&judged(operations.collect()), "replica reads")
}

fn lists(called: u64, values: &[u64]) -> Operation {
    on_replica(ok(called, called + 5, list(), Value::List(values.to_vec())))
}

fn others(called: u64, values: &[u64]) -> Operation {
    on_replica(ok(called, called + 5, other_list(), Value::List(values.to_vec())))
}

#[test]
fn a_replica_may_lag() {
    assert!(
        names(vec![lists(60, &[]), lists(70, &[1]), others(80, &[]), lists(90, &[1, 2]), others(100, &[3])])
            .is_empty()
    );
}

#[test]
fn a_list_that_shrinks_is_found() {
    assert_eq!(names(vec![lists(60, &[1, 2]), lists(70, &[1])]), ["a replica that went back"]);
    let concurrent = vec![lists(60, &[1, 2]), lists(64, &[1])];
    assert!(names(concurrent).is_empty());
}

#[test]
fn another_key_gives_it_away() {
    assert_eq!(names(vec![others(60, &[3]), lists(70, &[1])]), ["a replica that went back"]);
}

#[test]
fn other_nodes_have_their_own_pace() {
    let elsewhere = Operation { node: 2, ..lists(70, &[1]) };
    assert!(names(vec![lists(60, &[1, 2]), elsewhere]).is_empty());
}

#[test]
fn a_restart_can_be_excused() {
    let operations = writes().into_iter().chain([lists(60, &[1, 2]), lists(70, &[1])]).chain(last());
    let history = history(operations.collect());
    let options = Options { restarts: vec![(1, 68)], ..Options::default() };
    assert!(check(&history, &options).passed());
}

#[test]
fn what_was_never_committed_is_found() {
    let reads = vec![on_replica(ok(35, 36, list(), Value::List(vec![1, 7])))];
    let operations = [doubt(31, append(7))].into_iter().chain(writes()).chain(reads).chain(last());
    let report = judged(operations.collect());
    assert_eq!(findings(&report, "replica reads"), ["a list that the primary never had"]);
}

#[test]
fn registers_counters_and_sets_do_not_go_back_either() {
    let register = vec![
        ok(0, 10, set(1), Value::Done),
        ok(20, 30, set(2), Value::Done),
        on_replica(ok(40, 41, get(), got(2))),
        on_replica(ok(42, 43, get(), got(1))),
    ];
    assert_eq!(findings(&judged(register), "replica reads"), ["a replica that went back"]);
    let counter = vec![
        ok(0, 10, add(1), Value::Counter(1)),
        on_replica(ok(40, 41, total(), Value::Counter(1))),
        on_replica(ok(42, 43, total(), Value::Counter(0))),
    ];
    assert_eq!(findings(&judged(counter), "replica reads"), ["a replica that went back"]);
    let set = vec![
        ok(0, 10, add_member(1), Value::Changed(true)),
        on_replica(ok(40, 41, members(), Value::Members(vec![1]))),
        on_replica(ok(42, 43, members(), Value::Members(vec![]))),
    ];
    assert_eq!(findings(&judged(set), "replica reads"), ["a replica that went back"]);
}
