use crate::check::testing::*;
use crate::history::{Action, Operation, Value};

const MS: u64 = 1_000;

fn set_for(value: u64, ttl_ms: u64) -> Action {
    Action::SetExpiring { key: "k".into(), value, ttl_ms }
}

fn read(called_ms: u64, value: Option<u64>) -> Operation {
    let action = Action::GetExpiring { key: "k".into() };
    ok(called_ms * MS, (called_ms + 1) * MS, action, Value::Register(value))
}

fn written(called_ms: u64, value: u64, ttl_ms: u64) -> Operation {
    ok(called_ms * MS, (called_ms + 1) * MS, set_for(value, ttl_ms), Value::Done)
}

#[test]
fn values_die_when_they_should() {
    let report = judged(vec![
        written(0, 1, 2_000),
        read(1_000, Some(1)),
        read(1_600, None),
        read(1_700, None),
        written(1_800, 2, 2_000),
        read(1_900, Some(2)),
        written(2_000, 3, 5_000),
        read(6_000, Some(3)),
        read(8_000, None),
    ]);
    assert!(report.passed(), "{report}");
}

#[test]
fn a_value_seen_after_its_deadline_is_found_on_replicas_too() {
    let history = vec![written(0, 1, 2_000), on_replica(read(2_600, Some(1)))];
    assert_eq!(findings(&judged(history), "expiry"), ["seen after its deadline"]);
}

#[test]
fn a_value_gone_before_its_deadline_is_found() {
    let history = vec![written(0, 1, 2_000), read(1_000, None)];
    assert_eq!(findings(&judged(history), "expiry"), ["gone before its deadline"]);
    let in_doubt = vec![written(0, 1, 2_000), doubt(10 * MS, set_for(2, 100)), read(1_000, None)];
    assert!(judged(in_doubt).passed());
}

#[test]
fn a_value_does_not_come_back_from_the_dead() {
    let history = vec![written(0, 1, 2_000), read(1_900, Some(1)), read(1_950, None), read(2_000, Some(1))];
    assert_eq!(findings(&judged(history), "expiry"), ["no order"]);
}

#[test]
fn a_write_may_take_longer_than_its_value_lives() {
    let slow = ok(0, 9_000 * MS, set_for(1, 1_000), Value::Done);
    let report = judged(vec![slow, read(100, Some(1)), read(3_000, None)]);
    assert!(report.passed(), "{report}");
}

#[test]
fn an_overwritten_value_stays_away() {
    let history = vec![written(0, 1, 9_000), written(10, 2, 9_000), read(100, Some(1))];
    assert_eq!(findings(&judged(history), "expiry"), ["no order"]);
}
