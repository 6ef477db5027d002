//! Random damage to a history. It may or may not contradict what was promised.

use crate::history::{History, MicroValue, Outcome, Value};
use crate::rng::Rng;

/// Changes one thing about one operation, other than the opening of a bank.
pub fn corrupt(history: &mut History, rng: &mut Rng) {
    let touchable =
        |operation: &&mut crate::Operation| operation.value() != Some(&Value::Done) || operation.id > 1;
    let mut operations: Vec<_> = history.operations.iter_mut().filter(touchable).collect();
    if operations.is_empty() {
        return;
    }
    let place = rng.index(operations.len());
    let operation = &mut *operations[place];
    match rng.below(6) {
        0 if !operation.is_final => operation.outcome = Outcome::DidNotHappen("a lie, perhaps".into()),
        1 if !operation.is_final && !operation.action.is_read() => operation.outcome = Outcome::Pending,
        2 if !operation.is_final => {
            // It was shorter than it was.
            let length = operation.returned_us.map_or(0, |returned_us| returned_us - operation.called_us);
            let shift = rng.below(length + 1);
            operation.called_us += shift;
        }
        3 if !operation.is_final => {
            let length = operation.returned_us.map_or(0, |returned_us| returned_us - operation.called_us);
            operation.returned_us =
                operation.returned_us.map(|returned_us| returned_us - rng.below(length + 1));
        }
        _ => {
            if let Outcome::Ok(value) = &mut operation.outcome {
                corrupt_value(value, rng);
            }
        }
    }
}

fn corrupt_value(value: &mut Value, rng: &mut Rng) {
    match value {
        Value::Register(seen) | Value::Swapped { seen } => *seen = another(*seen, rng),
        Value::Counter(total) => *total += [1, -1, 1_000, -1_000][rng.index(4)],
        Value::Length(length) => *length = length.saturating_add_signed([1, -1][rng.index(2)]),
        Value::List(list) => corrupt_list(list, rng),
        Value::Members(members) => {
            corrupt_list(members, rng);
            members.sort_unstable();
        }
        Value::Changed(changed) => *changed = !*changed,
        Value::Transaction(parts) => {
            let place = rng.index(parts.len());
            match &mut parts[place] {
                MicroValue::Length(length) => *length += 1,
                MicroValue::List(list) => corrupt_list(list, rng),
            }
        }
        Value::Moved { from, .. } => *from += 1,
        Value::Accounts { balances, moves } => {
            if rng.percent(50) {
                *moves += 1;
            } else if let Some(balance) = &mut balances[0] {
                *balance += 1;
            }
        }
        Value::Done | Value::Nonsense(_) => {}
    }
}

fn another(seen: Option<u64>, rng: &mut Rng) -> Option<u64> {
    match rng.below(3) {
        0 => None,
        1 => Some(seen.map_or(1, |value| value.saturating_sub(1).max(1))),
        _ => Some(seen.map_or(2, |value| value + 1)),
    }
}

fn corrupt_list(list: &mut Vec<u64>, rng: &mut Rng) {
    if list.is_empty() {
        list.push(1 + rng.below(10));
        return;
    }
    match rng.below(3) {
        0 => drop(list.pop()),
        1 => drop(list.remove(0)),
        _ => {
            let (one, other) = (rng.index(list.len()), rng.index(list.len()));
            list.swap(one, other);
        }
    }
}
