//! A counter: a state is its total.

use super::{Problem, call, possible};
use crate::check::objects::by_primary;
use crate::check::search::{Model, State};
use crate::history::{Action, Operation, Value};

pub struct Counter(Vec<Step>);

enum Step {
    Add { by: i64, total: Option<i64> },
    Read { total: i64 },
}

impl Model for Counter {
    fn initial(&self) -> State {
        0
    }

    fn step(&mut self, state: State, operation: usize) -> Option<State> {
        let now = state as i64;
        match self.0[operation] {
            Step::Add { by, total } => {
                let after = now.checked_add(by)?;
                total.is_none_or(|total| total == after).then_some(after as State)
            }
            Step::Read { total } => (total == now).then_some(state),
        }
    }

    fn is_passive(&self, operation: usize) -> bool {
        matches!(self.0[operation], Step::Read { .. })
    }

    fn show(&self, state: State) -> String {
        format!("the total {}", state as i64)
    }
}

pub fn problem<'a>(operations: &[&'a Operation], failed: bool) -> Problem<'a, Counter> {
    let mut problem = Problem { calls: Vec::new(), operations: Vec::new(), model: Counter(Vec::new()) };
    for operation in possible(operations, failed) {
        let (step, class) = match (&operation.action, operation.value()) {
            (Action::Add { by, .. }, Some(Value::Counter(total))) => {
                (Step::Add { by: *by, total: Some(*total) }, *by)
            }
            (Action::Add { by, .. }, None) => (Step::Add { by: *by, total: None }, *by),
            (Action::ReadCounter { .. }, Some(Value::Counter(total))) if by_primary(operation) => {
                (Step::Read { total: *total }, 0)
            }
            _ => continue,
        };
        problem.calls.push(call(operation, class as u64));
        problem.operations.push(operation);
        problem.model.0.push(step);
    }
    problem
}
