use crate::check::testing::*;
use crate::history::Value;

fn total_is(total: i64) -> Value {
    Value::Counter(total)
}

#[test]
fn a_counter_says_after_which_additions_it_was_read() {
    let fine = judged(vec![
        ok(0, 10, add(1), total_is(1)),
        ok(5, 20, add(1_000), total_is(1_001)),
        ok(30, 40, total(), total_is(1_001)),
        at_the_end(ok(50, 60, total(), total_is(1_001))),
    ]);
    assert!(fine.passed(), "{fine}");
    let twice = judged(vec![ok(0, 10, add(1), total_is(1)), ok(20, 30, add(1), total_is(1))]);
    assert_eq!(findings(&twice, "linearizable counters"), ["no order"]);
}

#[test]
fn additions_in_doubt_may_fill_a_gap() {
    let history = |read| {
        vec![
            doubt(0, add(1)),
            doubt(1, add(1_000)),
            ok(10, 20, add(1), total_is(1_001)),
            ok(30, 40, total(), total_is(read)),
        ]
    };
    assert!(findings(&judged(history(1_002)), "linearizable counters").is_empty());
    assert_eq!(findings(&judged(history(1_003)), "linearizable counters"), ["no order"]);
}

#[test]
fn a_failed_addition_that_counts_was_a_lie() {
    let report = judged(vec![
        ok(0, 10, add(1), total_is(1)),
        failed(20, 30, add(1_000)),
        ok(40, 50, total(), total_is(1_001)),
    ]);
    assert_eq!(findings(&report, "linearizable counters"), ["an error that lies"]);
}

#[test]
fn lists_only_grow() {
    let fine = judged(vec![
        ok(0, 10, append(1), Value::Length(1)),
        doubt(12, append(2)),
        ok(15, 20, append(3), Value::Length(3)),
        at_the_end(ok(30, 40, list(), Value::List(vec![1, 2, 3]))),
    ]);
    assert!(fine.passed(), "{fine}");
    let reordered = judged(vec![
        ok(0, 10, append(1), Value::Length(1)),
        ok(15, 20, append(2), Value::Length(2)),
        ok(22, 23, list(), Value::List(vec![2])),
        ok(30, 40, list(), Value::List(vec![1, 2])),
    ]);
    assert_eq!(findings(&reordered, "linearizable lists"), ["incompatible orders"]);
    let against_the_clock = judged(vec![
        ok(0, 10, append(1), Value::Length(2)),
        ok(15, 20, append(2), Value::Length(1)),
        ok(30, 40, list(), Value::List(vec![2, 1])),
    ]);
    assert_eq!(findings(&against_the_clock, "linearizable lists"), ["no order"]);
    let twice =
        judged(vec![ok(0, 10, append(1), Value::Length(1)), ok(30, 40, list(), Value::List(vec![1, 1]))]);
    assert_eq!(findings(&twice, "linearizable lists"), ["applied twice"]);
}

#[test]
fn members_come_and_go_once() {
    let fine = judged(vec![
        ok(0, 10, add_member(1), Value::Changed(true)),
        doubt(12, remove_member(1)),
        ok(20, 30, members(), Value::Members(vec![1])),
        ok(40, 50, members(), Value::Members(vec![])),
        at_the_end(ok(60, 70, members(), Value::Members(vec![]))),
    ]);
    assert!(fine.passed(), "{fine}");
    let back = judged(vec![
        ok(0, 10, add_member(1), Value::Changed(true)),
        doubt(12, remove_member(1)),
        ok(20, 30, members(), Value::Members(vec![])),
        ok(40, 50, members(), Value::Members(vec![1])),
    ]);
    assert_eq!(findings(&back, "linearizable sets"), ["no order"]);
}

#[test]
fn what_no_search_can_decide_has_not_passed() {
    let adds = (1..=20).map(|value| ok(0, 100, add_member(value), Value::Changed(true)));
    let odd: Vec<u64> = (1..=20).filter(|value| value % 2 == 1).collect();
    let even: Vec<u64> = (1..=20).filter(|value| value % 2 == 0).collect();
    let reads = [ok(0, 100, members(), Value::Members(odd)), ok(0, 100, members(), Value::Members(even))];
    let history = history(adds.chain(reads).collect());
    let options = crate::Options { max_steps_per_key: 1_000, ..crate::Options::default() };
    let report = crate::check(&history, &options);
    assert!(report.unchecked.iter().any(|open| open.check == "linearizable sets"), "{report}");
    assert!(!report.passed());
}
