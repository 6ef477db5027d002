//! The simulator: whole clusters and their clients on one thread, everything from one seed. docs/testing.md says what
//! is simulated, what is assumed, and how to run and read it.
//!
//! | module | subject |
//! |---|---|
//! | `scenario` | what a seed decides before its run begins |
//! | `world` | a run from its first moment to its judgement |
//! | `queue`, `dice`, `stage` | time, chance, what everything has to do with |
//! | `network` | wires between nodes, streams of clients |
//! | `host`, `process`, `nodes` | machines, what runs on them, how it lives and dies |
//! | `connection` | a node's side of a client's connection |
//! | `clients`, `stir` | who asks, and writes down what was answered; who asks without writing it down |
//! | `faults`, `damage` | what strikes; what it can do to a log |
//! | `ambush`, `siege` | what strikes at elections; what cuts primaries off from the others, and not from clients |
//! | `impostor` | processes that are not what their address says |
//! | `invariants` | what must hold at every moment |
//! | `coverage`, `story`, `runner` | what happened, for people |
//! | `regressions` | seeds that have found something |
//! | `planted` | whether planted bugs are found (with the feature `planted-bugs`) |

mod ambush;
mod checkpoints;
mod clients;
mod connection;
mod coverage;
mod damage;
mod dice;
mod faults;
mod host;
mod impostor;
mod invariants;
mod network;
mod nodes;
#[cfg(feature = "planted-bugs")]
mod planted;
mod process;
mod queue;
mod regressions;
mod runner;
mod scenario;
mod siege;
mod stage;
mod stir;
mod story;
mod world;

use std::ops::Range;

/// What continuous integration runs, in an optimized build.
const CI_SEEDS: Range<u64> = 0..1000;
/// What runs beside all other tests, in a build that is not: many times slower, so no more than a smoke test.
const SMOKE_SEEDS: Range<u64> = 0..12;

/// The seeds to run: SIM_SEEDS as `n` or `from..to`, where it is set.
fn seeds() -> Range<u64> {
    let Ok(text) = std::env::var("SIM_SEEDS") else {
        return if cfg!(debug_assertions) { SMOKE_SEEDS } else { CI_SEEDS };
    };
    let number = |text: &str| text.trim().parse::<u64>();
    let range = match text.split_once("..") {
        Some((from, to)) => number(from).and_then(|from| number(to).map(|to| from..to)),
        None => number(&text).map(|seed| seed..seed + 1),
    };
    range.expect("SIM_SEEDS is a number or a range such as 5000..6000")
}

#[test]
fn no_seed_finds_a_broken_promise() {
    let seeds = seeds();
    if seeds.end == seeds.start + 1 {
        let run = runner::run_seed(seeds.start, true);
        println!("{}{}hash {:016x}", run.story, run.counts.table(), run.hash);
        assert!(run.findings.is_empty(), "seed {}: {}", seeds.start, run.findings.join("\n"));
        return;
    }
    let summary = runner::run_range(seeds.clone());
    println!("{}", summary.counts.table());
    assert!(summary.failures.is_empty(), "{}", runner::tell(&summary));
    if seeds == CI_SEEDS {
        let unseen = summary.counts.unseen();
        assert!(unseen.is_empty(), "never happened: {unseen:?}");
    }
}

#[test]
fn the_same_seed_is_the_same_run() {
    for seed in 2_000_000..2_000_006 {
        let (first, second) = (runner::run_seed(seed, false), runner::run_seed(seed, true));
        assert_eq!(first.hash, second.hash, "seed {seed}");
        assert_eq!(first.findings, second.findings, "seed {seed}");
    }
}
