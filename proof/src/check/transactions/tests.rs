use MicroValue::{Length, List};

use crate::check::testing::*;
use crate::history::{MicroValue, Operation};

fn done(times: (u64, u64), parts: &[&str], values: &[MicroValue]) -> Operation {
    ok(times.0, times.1, transaction(parts), answers(values))
}

fn last(lists: &[(&str, &[u64])]) -> Vec<Operation> {
    let read = |(number, (key, values)): (usize, &(&str, &[u64]))| {
        let at = 1_000 + 10 * number as u64;
        at_the_end(done((at, at + 1), &[&format!("{key}?")], &[List(values.to_vec())]))
    };
    lists.iter().enumerate().map(read).collect()
}

fn names(mut operations: Vec<Operation>, lists: &[(&str, &[u64])]) -> Vec<String> {
    operations.extend(last(lists));
    findings(&judged(operations), "transactions")
}

#[test]
fn transactions_in_an_order_pass() {
    let mut operations = vec![
        done((0, 10), &["a+1", "b+2"], &[Length(1), Length(1)]),
        done((5, 20), &["a?", "b+3"], &[List(vec![1]), Length(2)]),
        doubt(6, transaction(&["a+4", "b+5"])),
        done((30, 40), &["b?", "a?"], &[List(vec![2, 3, 5]), List(vec![1, 4])]),
    ];
    operations.extend(last(&[("a", &[1, 4]), ("b", &[2, 3, 5])]));
    let report = judged(operations);
    assert!(report.passed(), "{report}");
}

#[test]
fn a_write_cycle_is_g0() {
    let operations = vec![
        done((0, 10), &["a+1", "b+1"], &[Length(1), Length(2)]),
        done((0, 10), &["a+2", "b+2"], &[Length(2), Length(1)]),
    ];
    assert_eq!(names(operations, &[("a", &[1, 2]), ("b", &[2, 1])]), ["G0"]);
}

#[test]
fn circular_information_is_g1c() {
    let operations = vec![
        done((0, 10), &["a+1", "b?"], &[Length(1), List(vec![2])]),
        done((0, 10), &["b+2", "a?"], &[Length(1), List(vec![1])]),
    ];
    assert_eq!(names(operations, &[("a", &[1]), ("b", &[2])]), ["G1c"]);
}

#[test]
fn a_fractured_read_is_g_single() {
    let operations = vec![
        done((0, 10), &["a+1", "b+2"], &[Length(1), Length(1)]),
        done((0, 10), &["a?", "b?"], &[List(vec![1]), List(vec![])]),
    ];
    assert_eq!(names(operations, &[("a", &[1]), ("b", &[2])]), ["G-single"]);
}

#[test]
fn write_skew_is_g2() {
    let operations = vec![
        done((0, 10), &["a?", "b+1"], &[List(vec![]), Length(1)]),
        done((0, 10), &["b?", "a+2"], &[List(vec![]), Length(1)]),
    ];
    assert_eq!(names(operations, &[("a", &[2]), ("b", &[1])]), ["G2"]);
}

#[test]
fn a_stale_read_needs_the_clock_to_be_seen() {
    let write = done((0, 10), &["a+1"], &[Length(1)]);
    let concurrent = done((5, 20), &["a?"], &[List(vec![])]);
    assert!(names(vec![write.clone(), concurrent], &[("a", &[1])]).is_empty());
    let stale = done((15, 20), &["a?"], &[List(vec![])]);
    assert_eq!(names(vec![write, stale], &[("a", &[1])]), ["G-single-realtime"]);
}

#[test]
fn writes_against_the_clock_are_g0_realtime() {
    let operations = vec![done((0, 10), &["a+1"], &[Length(2)]), done((20, 30), &["a+2"], &[Length(1)])];
    assert_eq!(names(operations, &[("a", &[2, 1])]), ["G0-realtime"]);
}

#[test]
fn reads_amid_a_transaction_are_g1b() {
    let operations = vec![
        done((0, 10), &["a+1", "a+2"], &[Length(1), Length(2)]),
        done((0, 10), &["a?"], &[List(vec![1])]),
    ];
    let names = names(operations, &[("a", &[1, 2])]);
    assert!(names.contains(&"G1b, intermediate read".to_owned()), "{names:?}");
}

#[test]
fn a_transaction_sees_what_it_wrote() {
    let operations = vec![done((0, 10), &["a+1", "a?"], &[Length(1), List(vec![])])];
    let names = names(operations, &[("a", &[1])]);
    assert!(names.contains(&"internal".to_owned()), "{names:?}");
}

#[test]
fn lists_that_contradict_each_other_are_found() {
    let operations = vec![
        done((0, 10), &["a+1"], &[Length(1)]),
        done((0, 10), &["a+2"], &[Length(2)]),
        done((0, 10), &["a?"], &[List(vec![2])]),
    ];
    assert_eq!(names(operations, &[("a", &[1, 2])]), ["incompatible orders"]);
}

#[test]
fn a_lost_append_is_found() {
    let operations = vec![done((0, 10), &["a+1"], &[Length(1)]), done((20, 30), &["a+2"], &[Length(1)])];
    assert_eq!(names(operations, &[("a", &[2])]), ["a lost append", "G-single-realtime"]);
}

#[test]
fn a_failed_transaction_that_is_seen_was_a_lie() {
    let mut operations = vec![failed(0, 10, transaction(&["a+1"]))];
    operations.extend(last(&[("a", &[1])]));
    let report = judged(operations);
    assert_eq!(only_finding(&report).name, "an error that lies");
}

#[test]
fn half_of_a_transaction_in_doubt_is_found() {
    let operations = vec![doubt(0, transaction(&["a+1", "b+2"]))];
    assert_eq!(names(operations.clone(), &[("a", &[1]), ("b", &[])]), ["G-single-realtime"]);
    assert!(names(operations, &[("a", &[]), ("b", &[])]).is_empty());
}

#[test]
fn a_cycle_is_explained_step_by_step() {
    let mut operations = vec![
        done((0, 10), &["a+1", "b+2"], &[Length(1), Length(1)]),
        done((0, 10), &["a?", "b?"], &[List(vec![1]), List(vec![])]),
    ];
    operations.extend(last(&[("a", &[1]), ("b", &[2])]));
    let report = judged(operations);
    let finding = only_finding(&report);
    assert_eq!(finding.operations, [1, 0]);
    let told = "#1 has read b as it was before #0 appended 2; #0 appended 1 to a, which #1 has read";
    assert!(finding.explanation.starts_with(told), "{finding}");
}
