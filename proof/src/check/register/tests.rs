use proptest::prelude::*;

use crate::check::search::{Call, Model, Must, State, Verdict, search};
use crate::check::testing::*;
use crate::history::{Action, Operation, Value};

#[test]
fn concurrent_writes_are_seen_in_either_order() {
    for value in [1, 2] {
        let report = judged(vec![
            ok(0, 10, set(1), Value::Done),
            ok(5, 15, set(2), Value::Done),
            ok(20, 25, get(), got(value)),
            at_the_end(ok(30, 35, get(), got(value))),
        ]);
        assert!(report.passed(), "{report}");
    }
}

#[test]
fn a_stale_read_is_found_and_explained() {
    let report = judged(vec![
        ok(0, 10, set(1), Value::Done),
        ok(20, 30, set(2), Value::Done),
        ok(40, 50, get(), got(1)),
        at_the_end(ok(60, 70, get(), got(2))),
    ]);
    let finding = only_finding(&report);
    assert_eq!(finding.name, "a value that came back");
    assert!(finding.operations.contains(&2), "{finding}");
    assert!(finding.explanation.contains("#2 (get k: 1, 0.000040 s to 0.000050 s)"), "{finding}");
}

#[test]
fn nothing_after_something_is_found() {
    let lost = [ok(0, 10, set(1), Value::Done), ok(20, 30, get(), Value::Register(None))];
    let report = judged(lost.to_vec());
    assert_eq!(findings(&report, "linearizable registers"), ["a value that came back"]);
}

#[test]
fn values_that_alternate_are_found() {
    let report = judged(vec![
        ok(0, 10, set(1), Value::Done),
        ok(0, 10, set(2), Value::Done),
        ok(20, 21, get(), got(1)),
        ok(22, 23, get(), got(2)),
        ok(24, 25, get(), got(1)),
    ]);
    assert_eq!(findings(&report, "linearizable registers"), ["a value that came back"]);
}

#[test]
fn a_write_in_doubt_may_come_late_but_not_twice() {
    let late =
        [doubt(0, set(1)), ok(5, 6, set(2), Value::Done), ok(7, 8, get(), got(2)), ok(9, 10, get(), got(1))];
    let mut history = late.to_vec();
    history.push(at_the_end(ok(11, 12, get(), got(1))));
    assert!(judged(history).passed());
    let mut history = late.to_vec();
    history.push(at_the_end(ok(11, 12, get(), got(2))));
    assert_eq!(findings(&judged(history), "linearizable registers"), ["a value that came back"]);
}

#[test]
fn two_swaps_of_one_value_lose_an_update() {
    let report = judged(vec![
        ok(0, 10, set(1), Value::Done),
        ok(20, 30, swap(2), swapped(1)),
        ok(20, 30, swap(3), swapped(1)),
        at_the_end(ok(40, 50, get(), got(3))),
    ]);
    assert_eq!(findings(&report, "linearizable registers"), ["a lost update"]);
}

#[test]
fn nothing_comes_between_a_value_and_its_replacement() {
    let report = judged(vec![
        ok(0, 10, set(1), Value::Done),
        ok(20, 30, set(2), Value::Done),
        ok(40, 50, swap(3), swapped(1)),
        at_the_end(ok(60, 70, get(), got(3))),
    ]);
    assert_eq!(findings(&report, "linearizable registers"), ["a value that came back"]);
}

#[test]
fn a_failed_write_that_is_seen_was_a_lie() {
    let report = judged(vec![
        ok(0, 10, set(1), Value::Done),
        failed(20, 30, set(2)),
        at_the_end(ok(40, 50, get(), got(2))),
    ]);
    assert_eq!(only_finding(&report).name, "an error that lies");
}

#[test]
fn a_hundred_thousand_operations_on_one_key_are_no_trouble() {
    let mut operations = Vec::new();
    for number in 1..50_000_u64 {
        operations.push(ok(10 * number, 10 * number + 30, set(number), Value::Done));
        operations.push(ok(10 * number + 31, 10 * number + 39, get(), got(number)));
    }
    let report = judged(operations);
    assert_eq!(findings(&report, "linearizable registers"), Vec::<String>::new());
}

/// The same operations for the search, which knows nothing of unique values. 0 is nothing.
struct Searched(Vec<(Option<State>, Option<State>)>);

impl Model for Searched {
    fn initial(&self) -> State {
        0
    }

    fn step(&mut self, state: State, operation: usize) -> Option<State> {
        let (seen, written) = self.0[operation];
        seen.is_none_or(|seen| seen == state).then_some(written.unwrap_or(state))
    }

    fn is_passive(&self, operation: usize) -> bool {
        self.0[operation].1.is_none()
    }

    fn show(&self, state: State) -> String {
        state.to_string()
    }
}

fn by_search(operations: &[Operation]) -> bool {
    let steps = operations.iter().map(|operation| match (&operation.action, operation.value()) {
        (Action::Get { .. }, Some(Value::Register(value))) => (Some(value.unwrap_or(0)), None),
        (Action::CompareAndSet { value, .. }, Some(Value::Swapped { seen })) => {
            (Some(seen.unwrap_or(0)), Some(*value))
        }
        (Action::Set { value, .. }, _) => (None, Some(*value)),
        other => panic!("{other:?} is not made here"),
    });
    let calls = operations.iter().map(|operation| Call {
        called: operation.called_us as i64,
        must: match (&operation.action, operation.is_acknowledged()) {
            (Action::Set { value, .. }, false) => Must::InDoubt { class: *value },
            _ => Must::HappenBy(operation.returned_us.expect("it was answered") as i64),
        },
    });
    let calls: Vec<Call> = calls.collect();
    let verdict = search(&calls, &mut Searched(steps.collect()), 1_000_000, &mut 0);
    assert_ne!(verdict, Verdict::GaveUp);
    matches!(verdict, Verdict::Order(_))
}

/// Operations with any answers: each reads or writes, within a few microseconds, values up to the number of operations.
fn any_history() -> impl Strategy<Value = Vec<Operation>> {
    let operation = (0..16_u64, 0..8_u64, 0..7, 0..7_u64);
    prop::collection::vec(operation, 1..8).prop_map(|drawn| {
        let mut operations: Vec<Operation> = Vec::new();
        for (number, (called, length, kind, seen)) in drawn.iter().enumerate() {
            let (value, returned) = (number as u64 + 1, called + length);
            let seen = if *seen as usize > drawn.len() { None } else { Some(*seen).filter(|seen| *seen > 0) };
            operations.push(match kind {
                0..3 => ok(*called, returned, set(value), Value::Done),
                3 => doubt(*called, set(value)),
                4 => ok(*called, returned, swap(value), Value::Swapped { seen }),
                _ => ok(*called, returned, get(), Value::Register(seen)),
            });
        }
        operations
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(8_000))]

    /// Two algorithms that have nothing in common decide the same.
    #[test]
    fn registers_are_judged_as_by_search(operations in any_history()) {
        let found = judged(operations.clone()).findings;
        let zones = !found.iter().any(|finding| {
            finding.check == "linearizable registers" || finding.check == "values"
        });
        prop_assert_eq!(zones, by_search(&operations), "{:?}", found);
    }
}
