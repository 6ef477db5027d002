//! Keys that expire hold their value until their deadline, and not longer.
//!
//! - A deadline is some time to live after the moment at which its value was written, which lies between the call and the return;
//!   clocks may be off by [`Options::clock_margin_ms`], which is added on both ends.
//! - Proves, on the primary and replicas: no value is seen after its deadline.
//! - Proves, on the primary: no value is gone before its deadline; and all operations on a key are linearizable, as those on a
//!   register whose value goes away at a moment within the limits of its deadline (by the [`search`](super::search)).
//! - Can't see: what happens within the margin; and deadlines of writes in doubt have no end, as they may have happened late.

mod problem;

use super::judge::Judge;
use super::linearizable::{accuse, solve, undecided};
use super::objects::{Objects, by_primary, called, returned};
use super::search::Verdict;
use super::{Options, Report, describe};
use crate::history::{Action, Operation, Value};

pub fn check(objects: &Objects, options: &Options, report: &mut Report) {
    let mut judge = Judge::new("expiry", options, report);
    let margin_us = options.clock_margin_ms as i64 * 1_000;
    for (key, operations) in &objects.expiring {
        judge.object(operations.len());
        let writes = writes(operations);
        let late = judge_late(key, &writes, operations, margin_us, &mut judge);
        let early = judge_early(key, &writes, operations, margin_us, &mut judge);
        if late || early {
            continue;
        }
        let mut problem = problem::problem(&writes, operations, margin_us);
        match solve(&mut problem, options, &mut judge) {
            Verdict::Order(_) => {}
            Verdict::GaveUp => undecided(key, options, &mut judge),
            Verdict::NoOrder(stuck) => accuse(key, &problem, &stuck, &mut judge),
        }
    }
    judge.finish();
}

/// A write that has not failed, with the limits of its deadline.
pub struct Write<'a> {
    operation: &'a Operation,
    value: u64,
    /// Before this it is not gone.
    alive_until_us: i64,
    /// After this it is gone; [`NEVER`](super::objects::NEVER) if the write is in doubt.
    gone_after_us: i64,
}

fn writes<'a>(operations: &[&'a Operation]) -> Vec<Write<'a>> {
    let writes = operations.iter().filter(|operation| !operation.did_not_happen()).filter_map(|&operation| {
        let Action::SetExpiring { value, ttl_ms, .. } = operation.action else { return None };
        let ttl_us = i64::try_from(ttl_ms).unwrap_or(i64::MAX).saturating_mul(1_000);
        let alive_until_us = called(operation).saturating_add(ttl_us);
        let gone_after_us = returned(operation).saturating_add(ttl_us);
        Some(Write { operation, value, alive_until_us, gone_after_us })
    });
    writes.collect()
}

fn value_read(operation: &Operation) -> Option<Option<u64>> {
    match operation.value() {
        Some(Value::Register(value)) => Some(*value),
        _ => None,
    }
}

/// Whether a value was seen after its deadline.
fn judge_late(
    key: &str,
    writes: &[Write],
    operations: &[&Operation],
    margin_us: i64,
    judge: &mut Judge,
) -> bool {
    let mut found = false;
    for read in operations {
        let Some(Some(value)) = value_read(read) else { continue };
        let Some(write) = writes.iter().find(|write| write.value == value) else { continue };
        if called(read) > write.gone_after_us.saturating_add(margin_us) {
            found = true;
            judge.find("seen after its deadline", vec![write.operation.id, read.id], || {
                let (write, read) = (describe::operation(write.operation), describe::operation(read));
                format!("{read} has seen in {key} what {write} wrote")
            });
        }
    }
    found
}

/// Whether a value was gone before its deadline.
fn judge_early(
    key: &str,
    writes: &[Write],
    operations: &[&Operation],
    margin_us: i64,
    judge: &mut Judge,
) -> bool {
    let mut found = false;
    for read in operations.iter().filter(|read| by_primary(read) && value_read(read) == Some(None)) {
        let over = writes.iter().filter(|write| returned(write.operation) < called(read));
        let Some(last) = over.max_by_key(|write| called(write.operation)) else { continue };
        let mut possible = writes.iter().filter(|write| {
            called(write.operation) <= returned(read) && returned(write.operation) >= called(last.operation)
        });
        if possible.all(|write| returned(read) < write.alive_until_us.saturating_sub(margin_us)) {
            found = true;
            judge.find("gone before its deadline", vec![last.operation.id, read.id], || {
                let (write, read) = (describe::operation(last.operation), describe::operation(read));
                format!("{read} has not seen in {key} what {write} wrote, or anything later")
            });
        }
    }
    found
}

#[cfg(test)]
mod tests;
