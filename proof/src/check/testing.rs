//! Histories for tests: by hand, and from executions that really happened in one order.

pub mod corrupt;
pub mod execution;
pub mod oracle;
mod store;

use crate::check::{Finding, Options, Report, check};
use crate::history::{Action, History, Micro, MicroValue, Operation, Outcome, ReadsFrom, Value};

/// An operation that was answered.
pub fn ok(called_us: u64, returned_us: u64, action: Action, value: Value) -> Operation {
    operation(called_us, Some(returned_us), action, Outcome::Ok(value))
}

/// An operation that nobody knows anything about.
pub fn doubt(called_us: u64, action: Action) -> Operation {
    operation(called_us, None, action, Outcome::InDoubt("timeout".into()))
}

/// An operation that did not happen, as it was told.
pub fn failed(called_us: u64, returned_us: u64, action: Action) -> Operation {
    operation(called_us, Some(returned_us), action, Outcome::DidNotHappen("TRYAGAIN".into()))
}

/// A read on the replica of node 1.
pub fn on_replica(operation: Operation) -> Operation {
    Operation { node: 1, reads_from: ReadsFrom::Replica, ..operation }
}

/// A last look.
pub fn at_the_end(operation: Operation) -> Operation {
    Operation { is_final: true, ..operation }
}

fn operation(called_us: u64, returned_us: Option<u64>, action: Action, outcome: Outcome) -> Operation {
    Operation {
        id: 0,
        process: 0,
        node: 0,
        reads_from: ReadsFrom::Primary,
        is_final: false,
        called_us,
        returned_us,
        action,
        outcome,
    }
}

/// Ids are places.
pub fn history(operations: Vec<Operation>) -> History {
    let numbered = operations.into_iter().enumerate();
    History { operations: numbered.map(|(id, operation)| Operation { id: id as u64, ..operation }).collect() }
}

pub fn judged(operations: Vec<Operation>) -> Report {
    check(&history(operations), &Options::default())
}

/// The names of the findings of one check.
pub fn findings(report: &Report, check: &str) -> Vec<String> {
    let of_check = report.findings.iter().filter(|finding| finding.check == check);
    of_check.map(|finding| finding.name.clone()).collect()
}

/// The one finding that there is.
pub fn only_finding(report: &Report) -> &Finding {
    assert_eq!(report.findings.len(), 1, "{report}");
    &report.findings[0]
}

fn key() -> String {
    "k".into()
}

pub fn set(value: u64) -> Action {
    Action::Set { key: key(), value }
}

pub fn get() -> Action {
    Action::Get { key: key() }
}

pub fn got(value: u64) -> Value {
    Value::Register(Some(value))
}

pub fn swap(value: u64) -> Action {
    Action::CompareAndSet { key: key(), value }
}

pub fn swapped(seen: u64) -> Value {
    Value::Swapped { seen: Some(seen) }
}

pub fn add(by: i64) -> Action {
    Action::Add { key: key(), by }
}

pub fn total() -> Action {
    Action::ReadCounter { key: key() }
}

pub fn append(value: u64) -> Action {
    Action::Append { key: key(), value }
}

pub fn list() -> Action {
    Action::ReadList { key: key() }
}

pub fn add_member(value: u64) -> Action {
    Action::SetAdd { key: key(), value }
}

pub fn remove_member(value: u64) -> Action {
    Action::SetRemove { key: key(), value }
}

pub fn members() -> Action {
    Action::ReadSet { key: key() }
}

/// Parts like "a+1" (append 1 to a) and "a?" (read a).
pub fn transaction(parts: &[&str]) -> Action {
    let micros = parts.iter().map(|part| match part.split_once('+') {
        Some((key, value)) => Micro::Append { key: key.into(), value: value.parse().expect("a number") },
        None => Micro::ReadList { key: part.trim_end_matches('?').into() },
    });
    Action::Transaction { micros: micros.collect() }
}

pub fn answers(answers: &[MicroValue]) -> Value {
    Value::Transaction(answers.to_vec())
}
