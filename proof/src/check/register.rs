//! Registers are linearizable.
//!
//! - Written values are unique, so that each read says which write it has seen. Then no search is needed: all operations on one
//!   value stand together in any order, and a history is linearizable exactly if the values can be put in order. Gibbons and
//!   Korach ("Testing shared memories", SIAM J. Comput. 1997) give the condition: from the first return to the last call of its
//!   operations a value needs the register for itself, and no two values may need it at the same time. It is decided in O(n log n).
//! - A compare-and-set that replaced one value by another puts the two next to each other. Such chains are treated as
//!   one, after a look at the order inside; the condition is the same, by the same proof.
//! - A write in doubt counts from when its value was seen, on the primary or a replica; one whose value nobody saw could as well
//!   not have happened. What a failed write wrote is judged among the [values](super::values).
//! - Can't see: a compare-and-set in doubt counts as a plain write, as what it replaced is not known.

mod chain;

use std::collections::HashMap;

use super::judge::Judge;
use super::objects::{ALWAYS, NEVER, called, returned};
use super::{describe, objects};
use crate::history::{Action, Operation, Value};
use chain::Chain;

/// A time, and the operation that it comes from; none stands behind the beginning.
#[derive(Clone, Copy)]
struct Bound<'a> {
    at: i64,
    by: Option<&'a Operation>,
}

/// One value with all operations that wrote or read it.
pub struct Held<'a> {
    value: Option<u64>,
    /// What the writing compare-and-set replaced.
    replaced: Option<(Option<u64>, &'a Operation)>,
    first_return: Bound<'a>,
    last_call: Bound<'a>,
}

impl<'a> Held<'a> {
    fn new(value: Option<u64>) -> Held<'a> {
        // Nothing was there from the beginning.
        let first_return = if value.is_none() { ALWAYS } else { NEVER };
        Held {
            value,
            replaced: None,
            first_return: Bound { at: first_return, by: None },
            last_call: Bound { at: ALWAYS, by: None },
        }
    }

    fn has_returned(&mut self, at: i64, by: &'a Operation) {
        if at < self.first_return.at {
            self.first_return = Bound { at, by: Some(by) };
        }
    }

    fn was_called(&mut self, at: i64, by: &'a Operation) {
        if at > self.last_call.at {
            self.last_call = Bound { at, by: Some(by) };
        }
    }
}

/// Judges the operations on one key.
pub fn judge_key(key: &str, operations: &[&Operation], judge: &mut Judge) {
    let held = gather(operations);
    let chains = chain::chains(key, held, judge);
    for chain in &chains {
        chain.judge_inside(key, judge);
    }
    judge_chains(key, &chains, judge);
}

/// The values that were seen or certainly written, in the order in which they turn up.
fn gather<'a>(operations: &[&'a Operation]) -> Vec<Held<'a>> {
    let mut values = Values::default();
    values.held(None);
    for &operation in operations.iter().filter(|operation| operation.is_acknowledged()) {
        values.take(operation);
    }
    // Writes in doubt whose value was seen.
    for &operation in operations.iter().filter(|operation| !operation.is_acknowledged()) {
        if let Some(value) = written(operation)
            && let Some(place) = values.places.get(&Some(value))
        {
            values.all[*place].was_called(called(operation), operation);
        }
    }
    values.all
}

#[derive(Default)]
struct Values<'a> {
    all: Vec<Held<'a>>,
    places: HashMap<Option<u64>, usize>,
}

impl<'a> Values<'a> {
    fn held(&mut self, value: Option<u64>) -> &mut Held<'a> {
        let place = *self.places.entry(value).or_insert_with(|| {
            self.all.push(Held::new(value));
            self.all.len() - 1
        });
        &mut self.all[place]
    }

    fn take(&mut self, operation: &'a Operation) {
        match (&operation.action, operation.value()) {
            (Action::Get { .. }, Some(Value::Register(value))) => {
                let held = self.held(*value);
                held.has_returned(returned(operation), operation);
                // A replica may be late: it only says that the value was there by then.
                if objects::by_primary(operation) {
                    held.was_called(called(operation), operation);
                }
            }
            (Action::Set { value, .. }, Some(Value::Done)) => self.take_write(*value, operation),
            (Action::CompareAndSet { value, .. }, Some(Value::Swapped { seen })) => {
                self.held(*seen);
                self.take_write(*value, operation);
                self.held(Some(*value)).replaced = Some((*seen, operation));
            }
            _ => {}
        }
    }

    fn take_write(&mut self, value: u64, operation: &'a Operation) {
        let held = self.held(Some(value));
        held.has_returned(returned(operation), operation);
        held.was_called(called(operation), operation);
    }
}

fn written(operation: &Operation) -> Option<u64> {
    match &operation.action {
        Action::Set { value, .. } | Action::CompareAndSet { value, .. } => Some(*value),
        _ => None,
    }
}

/// Looks for two chains that need the register at the same time.
fn judge_chains(key: &str, chains: &[Chain], judge: &mut Judge) {
    let mut needing: Vec<&Chain> = chains.iter().filter(|chain| chain.from() < chain.to()).collect();
    needing.sort_by_key(|chain| chain.from());
    for pair in needing.windows(2) {
        if pair[1].from() < pair[0].to() {
            accuse(key, pair[0], pair[1], judge);
        }
    }
    for passing in chains.iter().filter(|chain| chain.from() >= chain.to()) {
        let before = needing.partition_point(|needing| needing.from() < passing.to());
        if let Some(around) = before.checked_sub(1).map(|place| needing[place])
            && passing.from() < around.to()
        {
            accuse(key, around, passing, judge);
        }
    }
}

/// `one` has to come before `other`, and `other` before `one`.
fn accuse(key: &str, one: &Chain, other: &Chain, judge: &mut Judge) {
    let bounds = [one.first_return, other.last_call, other.first_return, one.last_call];
    let ids = bounds.iter().filter_map(|bound| bound.by).map(|operation| operation.id).collect();
    judge.find("a value that came back", ids, || {
        let named = |bound: Bound| bound.by.map_or_else(|| "the beginning".into(), describe::operation);
        format!(
            "{key} held {} before {}, for {} was over before {}; and the other way round, for {} was over before {}",
            one.name(),
            other.name(),
            named(one.first_return),
            named(other.last_call),
            named(other.first_return),
            named(one.last_call),
        )
    });
}

#[cfg(test)]
mod tests;
