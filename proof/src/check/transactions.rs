//! Transactions are strictly serializable: they happened one after another, each between its call and its return.
//!
//! - The method is Elle's (Kingsbury and Alvaro, "Elle: inferring isolation anomalies from experimental observations", VLDB
//!   2020) for lists that are appended to: the longest list that was read is the order in which its values were written. From that
//!   follows who depends on whom; a cycle is an anomaly in the sense of Adya (1999).
//! - Proves the absence of what it names: lists that contradict each other, values appended twice or lost, reads of a transaction's
//!   intermediate state (G1b), reads that ignore the transaction's own writes (internal), and cycles of
//!   writes (G0), of writes and reads (G1c), with one anti-dependency (G-single) or more (G2), each also with the order of the
//!   clock (`-realtime`). Reads of failed transactions (G1a) are found among the [values](super::values).
//! - A transaction in doubt counts if something of it was seen.
//! - Can't see: what no transaction ever read. The final reads see to that.
//! - Reads on replicas are judged in [`replica`](super::replica).

mod cycles;
mod graph;
mod orders;

use super::judge::Judge;
use super::objects::{Objects, by_primary};
use super::{Options, Report, describe};
use crate::history::{Action, Micro, MicroValue, Operation, Value};
use orders::Orders;

pub fn check(objects: &Objects, options: &Options, report: &mut Report) {
    let operations: Vec<&Operation> =
        objects.transactions.iter().copied().filter(|operation| by_primary(operation)).collect();
    if operations.is_empty() {
        return;
    }
    let mut judge = Judge::new("transactions", options, report);
    judge.object(operations.len());
    operations.iter().for_each(|operation| judge_inside(operation, &mut judge));
    let orders = Orders::of(&operations, &mut judge);
    orders.judge_intermediate(&mut judge);
    orders.judge_places(&mut judge);
    cycles::judge(&orders, &mut judge);
    judge.finish();
}

/// The parts of a transaction that was acknowledged, with their answers.
pub fn parts(operation: &Operation) -> impl Iterator<Item = (&Micro, &MicroValue)> {
    let (micros, values) = match (&operation.action, operation.value()) {
        (Action::Transaction { micros }, Some(Value::Transaction(values))) => (&micros[..], &values[..]),
        _ => Default::default(),
    };
    micros.iter().zip(values)
}

/// The keys and lists that a transaction has read.
pub fn reads(operation: &Operation) -> impl Iterator<Item = (&str, &[u64])> {
    parts(operation).filter_map(|(micro, value)| match (micro, value) {
        (Micro::ReadList { key }, MicroValue::List(list)) => Some((key.as_str(), &list[..])),
        _ => None,
    })
}

/// The keys and values that a transaction appends, whatever became of it.
pub fn appends(operation: &Operation) -> impl Iterator<Item = (&str, u64)> {
    let micros = match &operation.action {
        Action::Transaction { micros } => &micros[..],
        _ => &[],
    };
    micros.iter().filter_map(|micro| match micro {
        Micro::Append { key, value } => Some((key.as_str(), *value)),
        Micro::ReadList { .. } => None,
    })
}

/// Holds each answer of a transaction against what came before it in the same transaction.
fn judge_inside(operation: &Operation, judge: &mut Judge) {
    let parts: Vec<(&Micro, &MicroValue)> = parts(operation).collect();
    for (number, part) in parts.iter().enumerate() {
        if !follows(&parts[..number], part) {
            judge.find("internal", vec![operation.id], || {
                let number = number + 1;
                format!("part {number} contradicts an earlier part of {}", describe::operation(operation))
            });
        }
    }
}

/// Whether an answer is what earlier parts on the same key lead to.
fn follows(earlier: &[(&Micro, &MicroValue)], part: &(&Micro, &MicroValue)) -> bool {
    let key = micro_key(part.0);
    // What is known of the list: its length, and its values from some place on.
    let mut length: Option<u64> = None;
    let mut tail: Vec<u64> = Vec::new();
    for (micro, value) in earlier.iter().filter(|(micro, _)| micro_key(micro) == key) {
        match (micro, value) {
            (Micro::Append { value, .. }, MicroValue::Length(now)) => {
                length = Some(*now);
                tail.push(*value);
            }
            (_, MicroValue::List(list)) => {
                length = Some(list.len() as u64);
                tail.clone_from(list);
            }
            _ => return false,
        }
    }
    match (part.1, length) {
        (_, None) => true,
        (MicroValue::Length(now), Some(before)) => *now == before + 1,
        (MicroValue::List(list), Some(before)) => list.len() as u64 == before && list.ends_with(&tail),
    }
}

fn micro_key(micro: &Micro) -> &str {
    match micro {
        Micro::Append { key, .. } | Micro::ReadList { key } => key,
    }
}

#[cfg(test)]
mod tests;
