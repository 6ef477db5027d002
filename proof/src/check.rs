//! Judges a history.
//!
//! - Every check says how much it has looked at. What it could not decide stands in [`Report::unchecked`], and a report with
//!   anything unchecked has not passed.
//! - A finding is no guess: the operations that it names contradict what was promised, whatever else happened.

mod bank;
mod describe;
mod durability;
mod expiry;
mod judge;
mod linearizable;
mod model;
mod objects;
mod register;
mod replica;
mod search;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
mod timeline;
mod transactions;
mod values;

use std::collections::BTreeMap;
use std::fmt;

use crate::history::History;
use objects::Objects;
use serde::{Deserialize, Serialize};

/// How a history is judged.
#[derive(Clone, Debug)]
pub struct Options {
    /// States that the search for an order may visit per key, before it gives up.
    pub max_steps_per_key: u64,
    /// How far deadlines may be off, for clocks that differ or drift.
    pub clock_margin_ms: u64,
    /// Findings that a check explains; further ones are only counted.
    pub max_findings_per_check: usize,
    /// Nodes, and times in microseconds, after which a node is not held to what its replica reads have shown before.
    pub restarts: Vec<(u32, u64)>,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            max_steps_per_key: 1_000_000,
            clock_margin_ms: 500,
            max_findings_per_check: 10,
            restarts: Vec::new(),
        }
    }
}

/// A promise that was not kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// The check that has found it.
    pub check: String,
    /// What it is called, in a few words: "lost writes", "stale read", "G-single".
    pub name: String,
    /// For people: what was seen, and why that can't be.
    pub explanation: String,
    /// The operations that show it.
    pub operations: Vec<u64>,
}

/// What a check has looked at.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Check {
    pub name: String,
    pub operations: u64,
    /// Keys, banks or whatever is judged one by one.
    pub objects: u64,
    /// States visited by a search.
    pub steps: u64,
    /// All findings, also those that are not explained.
    pub findings: u64,
}

/// Something that a check could not decide.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unchecked {
    pub check: String,
    pub why: String,
}

/// Writes that were acknowledged, and those of them that are not there at the end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    pub acknowledged: u64,
    pub lost: u64,
}

/// The judgement.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    pub checks: Vec<Check>,
    pub findings: Vec<Finding>,
    pub unchecked: Vec<Unchecked>,
    /// By kind of workload, for those keys whose final read was answered.
    pub durability: BTreeMap<String, Tally>,
}

impl Report {
    /// Acknowledged and lost writes of all kinds.
    pub fn tally(&self) -> Tally {
        let add = |sum: Tally, kind: &Tally| Tally {
            acknowledged: sum.acknowledged + kind.acknowledged,
            lost: sum.lost + kind.lost,
        };
        self.durability.values().fold(Tally::default(), add)
    }

    /// Every check that applies ran, decided, and found nothing.
    pub fn passed(&self) -> bool {
        self.findings.is_empty() && self.unchecked.is_empty()
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}: {}", self.check, self.name, self.explanation)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for check in &self.checks {
            writeln!(f, "{}: {} operations, {} findings", check.name, check.operations, check.findings)?;
        }
        self.findings.iter().try_for_each(|finding| writeln!(f, "{finding}"))?;
        self.unchecked.iter().try_for_each(|open| writeln!(f, "not decided: {}: {}", open.check, open.why))
    }
}

/// Runs all checks that apply to what is in the history.
pub fn check(history: &History, options: &Options) -> Report {
    let mut report = Report::default();
    if !history.operations.iter().any(|operation| operation.is_acknowledged()) {
        report.unchecked.push(Unchecked {
            check: "all".into(),
            why: "no operation of the history was acknowledged".into(),
        });
    }
    let objects = Objects::of(history);
    values::check(history, options, &mut report);
    linearizable::check(&objects, options, &mut report);
    transactions::check(&objects, options, &mut report);
    bank::check(&objects, options, &mut report);
    expiry::check(&objects, options, &mut report);
    replica::check(history, &objects, options, &mut report);
    durability::check(history, &objects, options, &mut report);
    report
}
