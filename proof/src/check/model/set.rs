//! A set: a state is the number under which its members are kept.
//!
//! - A change in doubt whose effect was seen did happen, before the first read that saw it had returned. One whose effect nobody
//!   can have seen is left out. Both hold only for a value that one operation adds and at most one removes, as the workload does;
//!   any other change in doubt stays in doubt.

use std::collections::HashMap;

use super::{Problem, call, possible};
use crate::check::describe;
use crate::check::objects::{by_primary, called, returned};
use crate::check::search::{Call, Model, Must, State};
use crate::history::{Action, Operation, Value};

pub struct Set {
    steps: Vec<Step>,
    /// All sets that were met, by number.
    kept: Vec<Vec<u64>>,
    numbers: HashMap<Vec<u64>, State>,
    changes: HashMap<(State, u64, bool), State>,
}

enum Step {
    Change { value: u64, adds: bool, changed: Option<bool> },
    Read { members: State },
}

impl Set {
    fn new() -> Set {
        let mut set =
            Set { steps: Vec::new(), kept: Vec::new(), numbers: HashMap::new(), changes: HashMap::new() };
        set.keep(Vec::new());
        set
    }

    fn keep(&mut self, members: Vec<u64>) -> State {
        let next = self.kept.len() as State;
        let number = *self.numbers.entry(members.clone()).or_insert(next);
        if number == next {
            self.kept.push(members);
        }
        number
    }

    fn change(&mut self, state: State, value: u64, adds: bool) -> State {
        if let Some(after) = self.changes.get(&(state, value, adds)) {
            return *after;
        }
        let mut members = self.kept[state as usize].clone();
        match (members.binary_search(&value), adds) {
            (Err(place), true) => members.insert(place, value),
            (Ok(place), false) => drop(members.remove(place)),
            _ => {}
        }
        let after = self.keep(members);
        self.changes.insert((state, value, adds), after);
        after
    }
}

impl Model for Set {
    fn initial(&self) -> State {
        0
    }

    fn step(&mut self, state: State, operation: usize) -> Option<State> {
        match self.steps[operation] {
            Step::Change { value, adds, changed } => {
                let after = self.change(state, value, adds);
                changed.is_none_or(|changed| changed == (after != state)).then_some(after)
            }
            Step::Read { members } => (members == state).then_some(state),
        }
    }

    fn is_passive(&self, operation: usize) -> bool {
        matches!(self.steps[operation], Step::Read { .. } | Step::Change { changed: Some(false), .. })
    }

    fn show(&self, state: State) -> String {
        format!("the members {}", describe::values(&self.kept[state as usize]))
    }
}

pub fn problem<'a>(operations: &[&'a Operation], failed: bool) -> Problem<'a, Set> {
    let doubts = Doubts::of(operations);
    let mut problem = Problem { calls: Vec::new(), operations: Vec::new(), model: Set::new() };
    for operation in possible(operations, failed) {
        let (step, call) = match (&operation.action, operation.value()) {
            (Action::SetAdd { value, .. } | Action::SetRemove { value, .. }, answer) => {
                let adds = matches!(operation.action, Action::SetAdd { .. });
                let changed = match answer {
                    Some(Value::Changed(changed)) => Some(*changed),
                    Some(_) => continue,
                    None => None,
                };
                let Some(call) = doubts.call(operation, *value, adds) else { continue };
                (Step::Change { value: *value, adds, changed }, call)
            }
            (Action::ReadSet { .. }, Some(Value::Members(members))) if by_primary(operation) => {
                (Step::Read { members: problem.model.keep(members.clone()) }, call(operation, 0))
            }
            _ => continue,
        };
        problem.calls.push(call);
        problem.operations.push(operation);
        problem.model.steps.push(step);
    }
    problem
}

/// What is known about each value, to settle changes in doubt.
#[derive(Default)]
struct Doubts<'a> {
    values: HashMap<u64, Fate<'a>>,
    /// Reads on the primary with their members, ascending.
    reads: Vec<(&'a Operation, &'a [u64])>,
}

#[derive(Default)]
struct Fate<'a> {
    adds: Vec<&'a Operation>,
    removes: Vec<&'a Operation>,
}

impl<'a> Doubts<'a> {
    fn of(operations: &[&'a Operation]) -> Doubts<'a> {
        let mut doubts = Doubts::default();
        for &operation in operations {
            match (&operation.action, operation.value()) {
                (Action::SetAdd { value, .. }, _) => {
                    doubts.values.entry(*value).or_default().adds.push(operation)
                }
                (Action::SetRemove { value, .. }, _) => {
                    doubts.values.entry(*value).or_default().removes.push(operation);
                }
                (Action::ReadSet { .. }, Some(Value::Members(members))) if by_primary(operation) => {
                    doubts.reads.push((operation, members));
                }
                _ => {}
            }
        }
        doubts
    }

    /// When a change can have happened; `None` if it is as good as if it had not.
    fn call(&self, operation: &Operation, value: u64, adds: bool) -> Option<Call> {
        let class = value << 1 | u64::from(adds);
        let in_doubt = call(operation, class);
        let Must::InDoubt { .. } = in_doubt.must else { return Some(in_doubt) };
        let Some(fate) = self.values.get(&value) else { return Some(in_doubt) };
        let ([add], [] | [_]) = (&fate.adds[..], &fate.removes[..]) else { return Some(in_doubt) };
        let proofs = if adds { self.added(value, fate) } else { self.removed(value, add) };
        let by = proofs.into_iter().min()?;
        Some(Call { must: Must::HappenBy(by), ..in_doubt })
    }

    /// Times by which a value was in the set.
    fn added(&self, value: u64, fate: &Fate) -> Vec<i64> {
        let reads = self.reads.iter().filter(|(_, members)| members.binary_search(&value).is_ok());
        let removes = fate.removes.iter().filter(|remove| remove.value() == Some(&Value::Changed(true)));
        reads.map(|(read, _)| *read).chain(removes.copied()).map(returned).collect()
    }

    /// Times by which a value was no more in the set, although it had been there.
    fn removed(&self, value: u64, add: &Operation) -> Vec<i64> {
        let first_seen = self.reads.iter().filter(|(_, members)| members.binary_search(&value).is_ok());
        let first_seen = first_seen.map(|(read, _)| returned(read)).min();
        let there_by = returned(add).min(first_seen.unwrap_or(i64::MAX));
        let gone = self
            .reads
            .iter()
            .filter(|(read, members)| called(read) > there_by && members.binary_search(&value).is_err());
        gone.map(|(read, _)| returned(read)).collect()
    }
}
