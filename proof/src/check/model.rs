//! What the objects of a history do, for the [`search`](super::search).

pub mod counter;
pub mod list;
pub mod set;

use super::objects::{called, returned};
use super::search::{Call, Must};
use crate::history::Operation;

/// The operations of one key, ready for the search. The three go by the same places.
pub struct Problem<'a, M> {
    pub calls: Vec<Call>,
    pub operations: Vec<&'a Operation>,
    pub model: M,
}

/// When an operation can have happened, if it did not fail. Operations of one `class` have the same effect.
fn call(operation: &Operation, class: u64) -> Call {
    let must = if operation.is_acknowledged() {
        Must::HappenBy(returned(operation))
    } else {
        Must::InDoubt { class }
    };
    Call { called: called(operation), must }
}

/// Operations that can have happened, and with `failed` those that should not have.
fn possible<'a>(operations: &[&'a Operation], failed: bool) -> impl Iterator<Item = &'a Operation> {
    operations.iter().copied().filter(move |operation| failed || !operation.did_not_happen())
}
