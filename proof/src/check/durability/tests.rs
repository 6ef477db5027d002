use crate::check::Tally;
use crate::check::testing::*;
use crate::history::{Operation, Value};

fn appends(count: u64) -> Vec<Operation> {
    (1..=count).map(|value| ok(10 * value, 10 * value + 5, append(value), Value::Length(value))).collect()
}

#[test]
fn losses_are_summed_up() {
    let mut operations = appends(400);
    let left: Vec<u64> = (1..=383).collect();
    operations.push(at_the_end(ok(9_000, 9_001, list(), Value::List(left))));
    let report = judged(operations);
    assert_eq!(findings(&report, "durability"), ["lost writes"]);
    assert_eq!(report.tally(), Tally { acknowledged: 400, lost: 17 });
    let finding = report.findings.iter().find(|finding| finding.check == "durability").expect("it is there");
    assert!(finding.explanation.starts_with("append: acknowledged 400, lost 17; first #383"), "{finding}");
}

#[test]
fn a_register_shows_what_came_after_its_last_value() {
    let operations = vec![
        ok(0, 10, set(1), Value::Done),
        ok(20, 30, set(2), Value::Done),
        ok(25, 40, set(3), Value::Done),
        ok(50, 60, set(4), Value::Done),
        at_the_end(ok(90, 91, get(), got(2))),
    ];
    assert_eq!(judged(operations).durability["register"], Tally { acknowledged: 4, lost: 1 });
}

#[test]
fn a_counter_tells_the_fewest_losses() {
    let operations = vec![
        ok(0, 10, add(1), Value::Counter(1)),
        ok(20, 30, add(1_000), Value::Counter(1_001)),
        ok(40, 50, add(1), Value::Counter(1_002)),
        at_the_end(ok(90, 91, total(), Value::Counter(2))),
    ];
    assert_eq!(judged(operations).durability["counter"], Tally { acknowledged: 3, lost: 1 });
}

#[test]
fn what_was_added_twice_is_found() {
    let operations =
        vec![ok(0, 10, add(1), Value::Counter(1)), at_the_end(ok(90, 91, total(), Value::Counter(2)))];
    assert_eq!(findings(&judged(operations), "durability"), ["applied twice"]);
}

#[test]
fn members_that_may_be_removed_are_not_lost() {
    let operations = vec![
        ok(0, 10, add_member(1), Value::Changed(true)),
        ok(0, 10, add_member(2), Value::Changed(true)),
        ok(0, 10, add_member(3), Value::Changed(true)),
        doubt(20, remove_member(2)),
        ok(20, 30, remove_member(3), Value::Changed(true)),
        at_the_end(ok(90, 91, members(), Value::Members(vec![]))),
    ];
    assert_eq!(judged(operations).durability["set"], Tally { acknowledged: 4, lost: 1 });
}

#[test]
fn without_a_last_look_nothing_is_decided() {
    let unread = judged(appends(3));
    assert!(!unread.passed() && unread.findings.is_empty(), "{unread}");
    let mut operations = appends(3);
    operations.push(Operation { is_final: true, ..failed(90, 91, list()) });
    let unanswered = judged(operations);
    assert!(unanswered.unchecked.iter().any(|open| open.why.contains("the first of them k")), "{unanswered}");
}
