//! Every value that was read comes from somewhere.
//!
//! - Proves: each value that a client has seen, on the primary or a replica, was written by an operation that was called before
//!   the read returned, and that was not told to have failed. An error that lies is found here.
//! - Proves: every reply had the form that its command can have.
//! - Can't see: additions to counters, which carry no mark of who made them; the search for an order looks for those.

use std::collections::{HashMap, HashSet};

use super::judge::Judge;
use super::{Options, Report, describe};
use crate::history::{Action, History, Micro, MicroValue, Operation, Value};

pub fn check(history: &History, options: &Options, report: &mut Report) {
    let mut judge = Judge::new("values", options, report);
    let writers = Writers::of(history);
    let acknowledged = history.operations.iter().filter(|operation| operation.is_acknowledged());
    judge.object(acknowledged.clone().count());
    let mut known: HashSet<(&str, u64)> = HashSet::new();
    for read in acknowledged {
        if let Some(Value::Nonsense(reply)) = read.value() {
            judge.find("nonsense", vec![read.id], || {
                format!("{} can't be answered with {reply}", describe::action(&read.action))
            });
        }
        each_seen(read, |key, values| {
            for (value, writer) in writers.of_values(key, values) {
                let Some(name) = fault(writer, read) else { continue };
                if known.insert((key, value)) {
                    let operations = writer.into_iter().chain([read]).map(|operation| operation.id).collect();
                    judge.find(name, operations, || explain(key, value, writer, read));
                }
            }
        });
    }
    judge.finish();
}

/// Who wrote which value, by key.
#[derive(Default)]
struct Writers<'a>(HashMap<&'a str, HashMap<u64, &'a Operation>>);

impl<'a> Writers<'a> {
    fn of(history: &'a History) -> Writers<'a> {
        let mut writers = Writers::default();
        for operation in &history.operations {
            each_written(operation, |key, value| {
                writers.0.entry(key).or_default().insert(value, operation);
            });
        }
        writers
    }

    fn of_values(&self, key: &str, values: &[u64]) -> impl Iterator<Item = (u64, Option<&'a Operation>)> {
        let of_key = self.0.get(key);
        values.iter().map(move |value| (*value, of_key.and_then(|writers| writers.get(value).copied())))
    }
}

/// What is wrong with a value that `read` has seen and `writer` has written.
fn fault(writer: Option<&Operation>, read: &Operation) -> Option<&'static str> {
    let Some(writer) = writer else { return Some("a value that nobody wrote") };
    if writer.did_not_happen() {
        return Some("an error that lies");
    }
    let early = read.returned_us.is_some_and(|returned| returned < writer.called_us);
    early.then_some("a value before its time")
}

fn explain(key: &str, value: u64, writer: Option<&Operation>, read: &Operation) -> String {
    let read = describe::operation(read);
    match writer {
        None => format!("{value} was seen in {key} by {read}, and no operation wrote it"),
        Some(writer) if writer.did_not_happen() => {
            format!("{value} was seen in {key} by {read}, although {}", describe::operation(writer))
        }
        Some(writer) => {
            format!(
                "{value} was seen in {key} by {read}, which was over before {}",
                describe::operation(writer)
            )
        }
    }
}

/// The values that an operation writes if it happens.
fn each_written<'a>(operation: &'a Operation, mut each: impl FnMut(&'a str, u64)) {
    match &operation.action {
        Action::Set { key, value }
        | Action::CompareAndSet { key, value }
        | Action::Append { key, value }
        | Action::SetAdd { key, value }
        | Action::SetExpiring { key, value, .. } => each(key, *value),
        Action::Transfer { bank, id, .. } => each(bank, *id),
        Action::Transaction { micros } => micros.iter().for_each(|micro| {
            if let Micro::Append { key, value } = micro {
                each(key, *value);
            }
        }),
        _ => {}
    }
}

/// The values that an operation has seen, key by key.
fn each_seen<'a>(operation: &'a Operation, mut each: impl FnMut(&'a str, &'a [u64])) {
    let Some(value) = operation.value() else { return };
    match (&operation.action, value) {
        (Action::Get { key } | Action::GetExpiring { key }, Value::Register(Some(seen)))
        | (Action::CompareAndSet { key, .. }, Value::Swapped { seen: Some(seen) }) => {
            each(key, std::slice::from_ref(seen));
        }
        (Action::SetRemove { key, value }, Value::Changed(true)) => each(key, std::slice::from_ref(value)),
        (Action::ReadList { key } | Action::ReadLedger { bank: key }, Value::List(list))
        | (Action::ReadSet { key }, Value::Members(list)) => each(key, list),
        (Action::Transaction { micros }, Value::Transaction(parts)) => {
            for (micro, part) in micros.iter().zip(parts) {
                if let (Micro::ReadList { key }, MicroValue::List(list)) = (micro, part) {
                    each(key, list);
                }
            }
        }
        _ => {}
    }
}
