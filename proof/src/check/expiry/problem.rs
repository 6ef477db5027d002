//! Expiring keys for the search: a register, and operations that nobody called which take values away.
//!
//! - The value of an acknowledged write is gone by its deadline: an operation that happens between the limits of the deadline,
//!   and has no effect if the value was overwritten. As that could come before the write itself if the write took longer than its
//!   value lived, it begins after the write's return, and until then a second one, in doubt, may take the value away.
//! - The value of a write in doubt may be gone at any time after the earliest limit.

use super::{Write, value_read};
use crate::check::describe;
use crate::check::model::Problem;
use crate::check::objects::{by_primary, called, returned};
use crate::check::search::{Call, Model, Must, State};
use crate::history::Operation;

/// Values count from 0, and the state 0 stands for nothing.
pub struct Expiring(Vec<Step>);

enum Step {
    Set {
        held: State,
    },
    Get {
        held: State,
    },
    /// May happen, as long as it is there.
    Expire {
        held: State,
    },
    /// Must have happened.
    Gone {
        held: State,
    },
}

impl Model for Expiring {
    fn initial(&self) -> State {
        0
    }

    fn step(&mut self, state: State, operation: usize) -> Option<State> {
        match self.0[operation] {
            Step::Set { held } => Some(held),
            Step::Get { held } => (held == state).then_some(state),
            Step::Expire { held } => (held == state).then_some(0),
            Step::Gone { held } => Some(if held == state { 0 } else { state }),
        }
    }

    fn is_passive(&self, operation: usize) -> bool {
        // A value is written once, and certainly before it has to be gone: once overwritten it stays away.
        matches!(self.0[operation], Step::Get { .. } | Step::Gone { .. })
    }

    fn show(&self, state: State) -> String {
        format!("the value {}", describe::register(state.checked_sub(1)))
    }
}

pub fn problem<'a>(
    writes: &[Write<'a>],
    operations: &[&'a Operation],
    margin_us: i64,
) -> Problem<'a, Expiring> {
    let mut problem = Problem { calls: Vec::new(), operations: Vec::new(), model: Expiring(Vec::new()) };
    let mut add = |operation: &'a Operation, called: i64, must: Must, step: Step| {
        problem.calls.push(Call { called, must });
        problem.operations.push(operation);
        problem.model.0.push(step);
    };
    let reads = || operations.iter().copied().filter(|read| by_primary(read));
    for write in writes {
        let (operation, held) = (write.operation, write.value + 1);
        let from = write.alive_until_us.saturating_sub(margin_us);
        let may_expire = Must::InDoubt { class: write.value << 1 | 1 };
        if !operation.is_acknowledged() {
            let seen = reads().filter(|read| value_read(read) == Some(Some(write.value))).map(returned).min();
            let must = seen.map_or(Must::InDoubt { class: write.value << 1 }, Must::HappenBy);
            add(operation, called(operation), must, Step::Set { held });
            add(operation, from, may_expire, Step::Expire { held });
            continue;
        }
        let after_return = from.max(returned(operation) + 1);
        let by = write.gone_after_us.saturating_add(margin_us).max(after_return);
        add(operation, called(operation), Must::HappenBy(returned(operation)), Step::Set { held });
        add(operation, after_return, Must::HappenBy(by), Step::Gone { held });
        if from < after_return {
            add(operation, from, may_expire, Step::Expire { held });
        }
    }
    for read in reads() {
        if let Some(value) = value_read(read) {
            let held = value.map_or(0, |value| value + 1);
            add(read, called(read), Must::HappenBy(returned(read)), Step::Get { held });
        }
    }
    problem
}
