//! All checks at once, on random executions.

use proptest::prelude::*;

use super::testing::execution::{Anomaly, execute};
use super::{Options, check};
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

/// Plants an anomaly in several executions: each one where there is room for it is found.
fn is_found(anomaly: Anomaly, kinds: &[Kind]) {
    let mut planted_runs = 0;
    for seed in 0..20 {
        let (history, planted) = execute(kinds, seed, 1_000, anomaly);
        let report = check(&history, &options());
        assert_eq!(report.findings.is_empty(), !planted, "seed {seed}, {anomaly:?} in {kinds:?}\n{report}");
        planted_runs += u32::from(planted);
    }
    assert!(planted_runs >= 15, "{anomaly:?} in {kinds:?} had room in {planted_runs} runs");
}

#[test]
fn an_acknowledged_write_that_is_forgotten_is_found() {
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
