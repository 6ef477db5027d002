//! Whether the simulator would notice: it is run with one planted bug after the other, and has to find each.
//!
//! Each bug is looked for in disjoint ranges of seeds until one of them shows it. With SIM_MEDIANS set all ranges are
//! searched, and the table says how many seeds it took (the median) and which check saw it first. SIM_BUG=<name> looks
//! for one of them alone.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::io::Write;
use std::panic;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use perdura::planted::{self, Bug};

use crate::runner::run_seed;

const RANGES: u64 = 3;
/// Seeds tried in one range.
const MAX_SEEDS: u64 = 600;
const FIRST_SEED: u64 = 10_000_000;

thread_local! {
    static QUIET: Cell<bool> = const { Cell::new(false) };
}

/// What one range had to say about a bug.
#[derive(Clone, Debug)]
struct Hunt {
    bug: Bug,
    seeds: u64,
    /// The check that found it, if one did.
    check: Option<String>,
}

/// Runs seeds with the bug until one is found out. A seed that fails without the bug as well finds nothing.
fn hunt(bug: Bug, range: u64) -> Hunt {
    let start = FIRST_SEED + range * MAX_SEEDS;
    for tried in 0..MAX_SEEDS {
        let seed = start + tried;
        let Some(finding) = first_finding(Some(bug), seed) else { continue };
        if first_finding(None, seed).is_none() {
            return Hunt { bug, seeds: tried + 1, check: Some(check_of(&finding)) };
        }
    }
    Hunt { bug, seeds: MAX_SEEDS, check: None }
}

fn first_finding(bug: Option<Bug>, seed: u64) -> Option<String> {
    planted::plant(bug);
    QUIET.set(true);
    let run = run_seed(seed, false);
    planted::plant(None);
    QUIET.set(false);
    run.findings.into_iter().next()
}

/// A finding's check and its name: what stands before its explanation.
fn check_of(finding: &str) -> String {
    let parts: Vec<&str> = finding.splitn(3, ": ").collect();
    let own = [
        "panic",
        "liveness",
        "election safety",
        "committed entries change",
        "committed entries differ",
        "digests differ",
        "time stands still",
        "a log condemned by old damage",
    ];
    match parts[..] {
        [check, ..] if own.contains(&check) => check.to_owned(),
        [text, ..] if text.contains("ended without reason") => "a node ends itself".to_owned(),
        [check, name, _] => format!("{check}: {name}"),
        [text, ..] => text.chars().take(40).collect(),
        [] => String::new(),
    }
}

fn hunt_all() -> Vec<Hunt> {
    let wanted = std::env::var("SIM_BUG").unwrap_or_default();
    let is_wanted = |bug: &&Bug| wanted.is_empty() || format!("{bug:?}") == wanted;
    let named = planted::FOUND.iter().chain(planted::MISSED.iter().filter(|_| !wanted.is_empty()));
    let bugs: Vec<Bug> = named.filter(is_wanted).copied().collect();
    let tasks: Vec<(Bug, u64)> =
        (0..RANGES).flat_map(|range| bugs.iter().map(move |bug| (*bug, range))).collect();
    let wants_medians = std::env::var_os("SIM_MEDIANS").is_some();
    let (next, hunts) = (AtomicUsize::new(0), Mutex::new(Vec::<Hunt>::new()));
    let is_found = |bug| {
        hunts.lock().expect("no hunt panics").iter().any(|hunt| hunt.bug == bug && hunt.check.is_some())
    };
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..cores {
            scope.spawn(|| {
                while let Some((bug, range)) = tasks.get(next.fetch_add(1, Ordering::Relaxed)) {
                    if !wants_medians && is_found(*bug) {
                        continue;
                    }
                    let hunted = hunt(*bug, *range);
                    // Past the test harness, which would keep it back until the end. Nobody reads it where that fails.
                    let _ = writeln!(std::io::stderr(), "planted: {hunted:?}");
                    hunts.lock().expect("no hunt panics").push(hunted);
                }
            });
        }
    });
    hunts.into_inner().expect("no hunt panics")
}

/// The rows of the table in docs/testing.md.
fn table(hunts: &[Hunt]) -> String {
    let mut text = String::from("| planted bug | seeds (median) | found by |\n|---|---|---|\n");
    for bug in planted::FOUND.iter().chain(planted::MISSED) {
        let own: Vec<&Hunt> = hunts.iter().filter(|hunt| hunt.bug == *bug).collect();
        if own.is_empty() {
            continue;
        }
        let mut seeds: Vec<u64> = own.iter().map(|hunt| hunt.seeds).collect();
        seeds.sort_unstable();
        let mut checks = BTreeMap::<String, usize>::new();
        for check in own.iter().filter_map(|hunt| hunt.check.clone()) {
            *checks.entry(check).or_default() += 1;
        }
        let checks: Vec<String> = checks.keys().cloned().collect();
        text.push_str(&format!("| {bug:?} | {} | {} |\n", seeds[seeds.len() / 2], checks.join("; ")));
    }
    text
}

#[test]
fn every_planted_bug_is_found() {
    let usual = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        if !QUIET.get() {
            usual(info);
        }
    }));
    let hunts = hunt_all();
    println!("{}", table(&hunts));
    let is_found = |bug: &Bug| hunts.iter().any(|hunt| hunt.bug == *bug && hunt.check.is_some());
    let missed: Vec<&Bug> = planted::FOUND
        .iter()
        .filter(|bug| hunts.iter().any(|hunt| hunt.bug == **bug) && !is_found(bug))
        .collect();
    assert!(missed.is_empty(), "found in no range of {MAX_SEEDS} seeds: {missed:?}\n{}", table(&hunts));
}
