//! Operations whose order is known, held against the clock.

use super::objects::{called, returned};
use crate::history::Operation;

/// An operation and its place in the order. Those at one place have no order among themselves.
pub struct Placed<'a> {
    pub place: u64,
    pub operation: &'a Operation,
}

/// Pairs that the order has the other way round than the clock: one was over before the other began, and yet comes behind it. For
/// each operation that comes too early, at most one that contradicts it; in descending order.
pub fn contradictions<'a>(mut placed: Vec<Placed<'a>>) -> Vec<(&'a Operation, &'a Operation)> {
    placed.sort_by_key(|placed| std::cmp::Reverse(placed.place));
    let mut found = Vec::new();
    let mut behind: Option<&Operation> = None;
    for level in placed.chunk_by(|one, other| one.place == other.place) {
        if let Some(over) = behind {
            let late = level.iter().filter(|placed| returned(over) < called(placed.operation));
            found.extend(late.map(|placed| (over, placed.operation)));
        }
        let operations = level.iter().map(|placed| placed.operation).chain(behind);
        behind = operations.min_by_key(|operation| returned(operation));
    }
    found
}
