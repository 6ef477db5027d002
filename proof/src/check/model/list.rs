//! A list that is only appended to: a state is its length.
//!
//! - Values are unique and never leave, so that the longest list that was read is the order of its values for good. A shorter list
//!   must be a beginning of it, and what was appended at a place within it is known.

use std::collections::HashMap;

use super::{Problem, call, possible};
use crate::check::describe;
use crate::check::judge::Judge;
use crate::check::objects::{by_primary, list_read};
use crate::check::search::{Model, State};
use crate::history::{Action, Operation, Value};

pub struct List {
    steps: Vec<Step>,
    longest: Vec<u64>,
    places: HashMap<u64, u64>,
}

enum Step {
    Append { value: u64, length: Option<u64> },
    Read { length: u64 },
}

impl Model for List {
    fn initial(&self) -> State {
        0
    }

    fn step(&mut self, state: State, operation: usize) -> Option<State> {
        match self.steps[operation] {
            Step::Append { value, length } => {
                let fits = match self.places.get(&value) {
                    Some(place) => *place == state,
                    None => state >= self.longest.len() as u64,
                };
                (fits && length.is_none_or(|length| length == state + 1)).then_some(state + 1)
            }
            Step::Read { length } => (length == state).then_some(state),
        }
    }

    fn is_passive(&self, operation: usize) -> bool {
        matches!(self.steps[operation], Step::Read { .. })
    }

    fn show(&self, state: State) -> String {
        let known = &self.longest[..self.longest.len().min(state as usize)];
        format!("a list of {state} ({})", describe::values(known))
    }
}

/// Whether all lists that were read on the primary are beginnings of the longest one, and no value is in it twice.
pub fn agree(key: &str, operations: &[&Operation], judge: &mut Judge) -> bool {
    let reads: Vec<&Operation> = primary_reads(operations).collect();
    let Some(longest) = reads.iter().copied().max_by_key(|read| list_read(read).map_or(0, <[u64]>::len))
    else {
        return true;
    };
    let order = list_read(longest).unwrap_or_default();
    let mut good = judge_repeated(key, longest, order, judge);
    for read in reads {
        if list_read(read).is_some_and(|list| !order.starts_with(list)) {
            good = false;
            judge.find("incompatible orders", vec![read.id, longest.id], || {
                let (read, longest) = (describe::operation(read), describe::operation(longest));
                format!("the list that {read} has read in {key} is no beginning of that of {longest}")
            });
        }
    }
    good
}

fn judge_repeated(key: &str, read: &Operation, list: &[u64], judge: &mut Judge) -> bool {
    let repeated = repeated(list);
    if let Some(value) = repeated {
        judge.find("applied twice", vec![read.id], || {
            format!("{value} is twice in the list {key}, as {} has read it", describe::operation(read))
        });
    }
    repeated.is_none()
}

/// A value that is in the list more than once.
pub fn repeated(list: &[u64]) -> Option<u64> {
    let mut seen = std::collections::HashSet::new();
    list.iter().copied().find(|value| !seen.insert(*value))
}

fn primary_reads<'a>(operations: &[&'a Operation]) -> impl Iterator<Item = &'a Operation> {
    operations.iter().copied().filter(|operation| by_primary(operation) && list_read(operation).is_some())
}

/// To be asked only for operations that [`agree`].
pub fn problem<'a>(operations: &[&'a Operation], failed: bool) -> Problem<'a, List> {
    let lists = primary_reads(operations).filter_map(list_read);
    let longest = lists.max_by_key(|list| list.len()).unwrap_or_default().to_vec();
    let places = longest.iter().enumerate().map(|(place, value)| (*value, place as u64)).collect();
    let model = List { steps: Vec::new(), longest, places };
    let mut problem = Problem { calls: Vec::new(), operations: Vec::new(), model };
    for operation in possible(operations, failed) {
        let (step, class) = match (&operation.action, operation.value()) {
            (Action::Append { value, .. }, Some(Value::Length(length))) => {
                (Step::Append { value: *value, length: Some(*length) }, *value)
            }
            (Action::Append { value, .. }, None) => (Step::Append { value: *value, length: None }, *value),
            (Action::ReadList { .. }, Some(Value::List(list))) if by_primary(operation) => {
                (Step::Read { length: list.len() as u64 }, 0)
            }
            _ => continue,
        };
        problem.calls.push(call(operation, class));
        problem.operations.push(operation);
        problem.model.steps.push(step);
    }
    problem
}
