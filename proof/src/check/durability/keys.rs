//! What is lost of one key, by kind.

use std::collections::HashSet;

use super::losses::Losses;
use crate::check::objects::{Keys, called, list_read, returned};
use crate::check::transactions::{appends, reads};
use crate::history::{Action, Operation, Value};

/// Judges a key by its operations and by those of them that are the last look at it. The result is false if there is none that
/// was answered.
pub type Judgement =
    for<'a, 'b> fn(&'a str, &'b [&'a Operation], &'b [&'a Operation], &'b mut Losses<'a>) -> bool;

/// Acknowledged operations with what `of` finds in them.
fn acknowledged<'a: 'b, 'b, T: 'b>(
    operations: &'b [&'a Operation],
    of: fn(&Operation) -> Option<T>,
) -> impl Iterator<Item = (T, &'a Operation)> + 'b {
    let acknowledged = operations.iter().copied().filter(|operation| operation.is_acknowledged());
    acknowledged.filter_map(move |operation| Some((of(operation)?, operation)))
}

fn register_write(operation: &Operation) -> Option<u64> {
    match operation.action {
        Action::Set { value, .. } | Action::CompareAndSet { value, .. } => Some(value),
        _ => None,
    }
}

pub fn register<'a>(
    _: &'a str,
    operations: &[&'a Operation],
    last: &[&'a Operation],
    losses: &mut Losses<'a>,
) -> bool {
    let Some(Value::Register(value)) = last.iter().find_map(|read| read.value()) else { return false };
    // The time by which the value that is left was written.
    let written_by = match value {
        None => i64::MIN,
        Some(value) => written_by(*value, operations),
    };
    for (_, write) in acknowledged(operations, register_write) {
        losses.acknowledged(1);
        if called(write) > written_by {
            losses.lose(write);
        }
    }
    true
}

/// The first return of an operation that wrote or saw a value.
fn written_by(value: u64, operations: &[&Operation]) -> i64 {
    let knows = |operation: &&&Operation| match operation.value() {
        Some(Value::Register(seen) | Value::Swapped { seen }) if *seen == Some(value) => true,
        _ => register_write(operation) == Some(value),
    };
    operations.iter().filter(knows).map(|operation| returned(operation)).min().unwrap_or(i64::MAX)
}

fn addition(operation: &Operation) -> Option<i64> {
    match operation.action {
        Action::Add { by, .. } => Some(by),
        _ => None,
    }
}

pub fn counter<'a>(
    key: &'a str,
    operations: &[&'a Operation],
    last: &[&'a Operation],
    losses: &mut Losses<'a>,
) -> bool {
    let Some(read) = last.first() else { return false };
    let Some(Value::Counter(total)) = read.value() else { return false };
    let mut added: Vec<(i64, &Operation)> = acknowledged(operations, addition).collect();
    losses.acknowledged(added.len() as u64);
    let doubted =
        operations.iter().filter(|operation| operation.is_in_doubt()).filter_map(|add| addition(add));
    let (mut least, mut most) = (0, 0);
    for by in added.iter().map(|(by, _)| *by) {
        (least, most) = (least + by, most + by);
    }
    for by in doubted {
        (least, most) = (least + by.min(0), most + by.max(0));
    }
    if *total > most {
        losses.excess.push((key, read, most));
    }
    // The fewest additions that make up for what is missing.
    added.sort_by_key(|(by, add)| (std::cmp::Reverse(*by), add.id));
    let mut missing = least - total;
    let needed = added.iter().take_while(|(by, _)| {
        let needed = missing > 0;
        missing -= by;
        needed
    });
    let count = needed.count() as u64;
    let beyond = added.iter().map(|(_, add)| *add);
    losses.lose_some(
        count,
        beyond.filter(|add| matches!(add.value(), Some(Value::Counter(told)) if told > total)),
    );
    true
}

fn appended(operation: &Operation) -> Option<u64> {
    match operation.action {
        Action::Append { value, .. } => Some(value),
        _ => None,
    }
}

pub fn list<'a>(
    _: &'a str,
    operations: &[&'a Operation],
    last: &[&'a Operation],
    losses: &mut Losses<'a>,
) -> bool {
    present(operations, last, appended, losses)
}

fn transferred(operation: &Operation) -> Option<u64> {
    match operation.action {
        Action::Transfer { id, .. } => Some(id),
        _ => None,
    }
}

pub fn ledger<'a>(
    _: &'a str,
    operations: &[&'a Operation],
    last: &[&'a Operation],
    losses: &mut Losses<'a>,
) -> bool {
    present(operations, last, transferred, losses)
}

/// Looks for each acknowledged value in the last list.
fn present<'a>(
    operations: &[&'a Operation],
    last: &[&'a Operation],
    of: fn(&Operation) -> Option<u64>,
    losses: &mut Losses<'a>,
) -> bool {
    let Some(list) = last.iter().find_map(|read| list_read(read)) else { return false };
    let there: HashSet<u64> = list.iter().copied().collect();
    for (value, write) in acknowledged(operations, of) {
        losses.acknowledged(1);
        if !there.contains(&value) {
            losses.lose(write);
        }
    }
    true
}

fn set_change(operation: &Operation) -> Option<(u64, bool)> {
    match operation.action {
        Action::SetAdd { value, .. } => Some((value, true)),
        Action::SetRemove { value, .. } => Some((value, false)),
        _ => None,
    }
}

pub fn set<'a>(
    _: &'a str,
    operations: &[&'a Operation],
    last: &[&'a Operation],
    losses: &mut Losses<'a>,
) -> bool {
    let Some(Value::Members(members)) = last.iter().find_map(|read| read.value()) else { return false };
    let there: HashSet<u64> = members.iter().copied().collect();
    for ((value, adds), write) in acknowledged(operations, set_change) {
        losses.acknowledged(1);
        let undone = operations.iter().any(|other| {
            !other.did_not_happen()
                && set_change(other) == Some((value, !adds))
                && returned(other) >= called(write)
        });
        if there.contains(&value) != adds && !undone {
            losses.lose(write);
        }
    }
    true
}

/// Transactions by the keys that they append to or read.
pub fn of_transactions<'a>(transactions: &[&'a Operation]) -> Keys<'a> {
    let mut keys = Keys::new();
    for &operation in transactions {
        let touched = appends(operation).map(|(key, _)| key).chain(reads(operation).map(|(key, _)| key));
        for key in touched.collect::<std::collections::BTreeSet<_>>() {
            keys.entry(key).or_default().push(operation);
        }
    }
    keys
}

/// A transaction counts once for each list and value that it has appended.
pub fn transaction_list<'a>(
    key: &'a str,
    operations: &[&'a Operation],
    last: &[&'a Operation],
    losses: &mut Losses<'a>,
) -> bool {
    let lists = last.iter().flat_map(|&read| reads(read)).filter(|(read, _)| *read == key);
    let Some(list) = lists.map(|(_, list)| list).next() else { return false };
    let there: HashSet<u64> = list.iter().copied().collect();
    for &write in operations.iter().filter(|operation| operation.is_acknowledged()) {
        for (_, value) in appends(write).filter(|(appended, _)| *appended == key) {
            losses.acknowledged(1);
            if !there.contains(&value) {
                losses.lose(write);
            }
        }
    }
    true
}
