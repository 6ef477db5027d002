//! All checks at once, on random executions.

use proptest::prelude::*;

use super::objects::by_primary;
use super::testing::corrupt::corrupt;
use super::testing::execution::{Anomaly, execute};
use super::testing::oracle::has_an_order;
use super::{Options, check};
use crate::history::History;
use crate::rng::Rng;
use crate::workload::Kind;

fn options() -> Options {
    Options { clock_margin_ms: 20, ..Options::default() }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(30))]

    #[test]
    fn what_really_happened_passes(seed in any::<u64>()) {
        let (history, _) = execute(&Kind::ALL, seed, 1_500, Anomaly::None);
        let report = check(&history, &options());
        prop_assert!(report.passed(), "{}", report);
        prop_assert!(report.checks.len() >= 8, "{}", report);
    }

    #[test]
    fn one_kind_alone_passes(seed in any::<u64>(), kind in prop::sample::select(&Kind::ALL[..])) {
        let (history, _) = execute(&[kind], seed, 800, Anomaly::None);
        let report = check(&history, &options());
        prop_assert!(report.passed(), "{}", report);
    }
}

#[test]
fn a_history_survives_being_written() {
    let (history, _) = execute(&Kind::ALL, 1, 1_000, Anomaly::None);
    let mut bytes = Vec::new();
    history.write(&mut bytes).expect("memory takes all");
    assert_eq!(History::read(&bytes[..]).expect("it was just written"), history);
}

#[test]
fn a_history_of_nothing_has_not_passed() {
    assert!(!check(&History::default(), &options()).passed());
}

/// All that do not depend on the clock.
const TIMELESS: [Kind; 6] =
    [Kind::Register, Kind::Counter, Kind::Append, Kind::Set, Kind::Transactions, Kind::Bank];

/// The history of a short execution, perhaps damaged, without what was read on replicas.
fn short_history(kind: Kind, seed: u64) -> History {
    let mut rng = Rng::new(seed);
    let (mut history, _) = execute(&[kind], seed, 4 + rng.index(20), Anomaly::None);
    history.operations.retain(by_primary);
    for _ in 0..rng.below(4) {
        corrupt(&mut history, &mut rng);
    }
    history
}

fn shown(history: &History) -> String {
    let lines = history.operations.iter().map(super::describe::operation);
    lines.collect::<Vec<_>>().join("\n")
}

/// What the checks find, each by its own method, is what a search for an order of everything finds.
#[test]
fn the_checks_decide_as_an_exhaustive_search_does() {
    let mut verdicts = [0; 2];
    for kind in TIMELESS {
        for seed in 0..200 {
            let history = short_history(kind, seed);
            let report = check(&history, &options());
            if report.findings.is_empty() && !report.unchecked.is_empty() {
                continue;
            }
            let good = has_an_order(&history);
            assert_eq!(report.passed(), good, "{kind}, seed {seed}\n{report}\n{}", shown(&history));
            verdicts[usize::from(good)] += 1;
        }
    }
    assert!(verdicts.iter().all(|count| *count > 250), "bad and good: {verdicts:?}");
}

/// Plants an anomaly in several executions: each one where there is room for it is found.
fn is_found(anomaly: Anomaly, kinds: &[Kind]) {
    let mut planted_runs = 0;
    for seed in 0..10 {
        let (history, planted) = execute(kinds, seed, 1_000, anomaly);
        let report = check(&history, &options());
        assert_eq!(report.findings.is_empty(), !planted, "seed {seed}, {anomaly:?} in {kinds:?}\n{report}");
        planted_runs += u32::from(planted);
    }
    assert!(planted_runs >= 7, "{anomaly:?} in {kinds:?} had room in {planted_runs} runs");
}

#[test]
fn an_acknowledged_write_that_is_forgotten_is_found() {
    is_found(Anomaly::Lost, &[Kind::Counter]);
    is_found(Anomaly::Lost, &[Kind::Append]);
    is_found(Anomaly::Lost, &[Kind::Bank]);
    is_found(Anomaly::Lost, &[Kind::Transactions]);
}

#[test]
fn an_error_that_lies_is_found() {
    is_found(Anomaly::Lie, &[Kind::Append]);
    is_found(Anomaly::Lie, &[Kind::Bank]);
    is_found(Anomaly::Lie, &[Kind::Transactions]);
}

#[test]
fn a_write_that_happens_twice_is_found() {
    is_found(Anomaly::Twice, &[Kind::Append]);
}

#[test]
fn a_stale_read_is_found() {
    is_found(Anomaly::Stale, &[Kind::Counter]);
    is_found(Anomaly::Stale, &[Kind::Append]);
    is_found(Anomaly::Stale, &[Kind::Bank]);
}

#[test]
fn a_replica_that_goes_back_is_found() {
    is_found(Anomaly::Back, &[Kind::Append]);
}

#[test]
fn half_a_transfer_is_found() {
    is_found(Anomaly::Half, &[Kind::Bank]);
}

#[test]
fn deadlines_are_kept() {
    is_found(Anomaly::Late, &[Kind::Expiry]);
    is_found(Anomaly::Early, &[Kind::Expiry]);
}
