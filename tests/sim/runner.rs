//! Runs ranges of seeds on all cores, and tells what came of them.
//!
//! A run that fails is run again to be told, which is possible because the same seed is the same run.

use std::any::Any;
use std::io::Write;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use perdura::env::Clock;

use crate::coverage::Counts;
use crate::world::{Run, World};

/// Failing seeds that are told in full.
const TOLD_FAILURES: usize = 3;
/// Failing seeds after which a range is given up.
const MAX_FAILURES: usize = 20;

/// What came of a range.
#[derive(Default)]
pub struct Summary {
    pub runs: u64,
    pub failures: Vec<(u64, Vec<String>)>,
    pub counts: Counts,
}

/// The run of one seed; a panic in it is a finding.
pub fn run_seed(seed: u64, told: bool) -> Run {
    let run = catch_unwind(AssertUnwindSafe(|| World::new(seed, told).run()));
    run.unwrap_or_else(|panic| Run {
        findings: vec![format!("panic: {}", text_of(&*panic))],
        hash: 0,
        counts: Counts::default(),
        story: String::new(),
    })
}

fn text_of(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("without a message")
}

/// Runs every seed of the range, as many at a time as there are cores.
pub fn run_range(seeds: Range<u64>) -> Summary {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let next = AtomicU64::new(seeds.start);
    let summary = Mutex::new(Summary::default());
    let progress = Progress::new(seeds.end - seeds.start);
    std::thread::scope(|scope| {
        for _ in 0..cores {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= seeds.end {
                        return;
                    }
                    let run = run_seed(seed, false);
                    let mut summary = summary.lock().expect("no run panics past its own bounds");
                    summary.runs += 1;
                    summary.counts.merge(&run.counts);
                    if !run.findings.is_empty() {
                        progress.tell(seed, &run.findings);
                        summary.failures.push((seed, run.findings));
                    }
                    progress.show(&summary);
                    if summary.failures.len() >= MAX_FAILURES {
                        return;
                    }
                }
            });
        }
    });
    let mut summary = summary.into_inner().expect("no run panics past its own bounds");
    summary.failures.sort();
    summary
}

/// The failures of a range with their stories, for people.
pub fn tell(summary: &Summary) -> String {
    let mut text = String::new();
    for (place, (seed, findings)) in summary.failures.iter().enumerate() {
        if place < TOLD_FAILURES {
            text.push_str(&format!("\n── seed {seed} ──\n{}", run_seed(*seed, true).story));
        }
        text.push_str(&format!("seed {seed}: {}\n", findings.join("\n    ")));
    }
    text.push_str(&format!("{} of {} seeds failed; ", summary.failures.len(), summary.runs));
    text.push_str("SIM_SEEDS=<seed> cargo test --release --test sim tells one in full\n");
    text
}

/// A line on the terminal, now and then.
struct Progress {
    clock: Clock,
    total: u64,
    shown_ms: AtomicU64,
}

const SHOW_EVERY_MS: u64 = 5_000;

impl Progress {
    fn new(total: u64) -> Progress {
        Progress { clock: Clock::system(), total, shown_ms: AtomicU64::new(0) }
    }

    fn tell(&self, seed: u64, findings: &[String]) {
        let _ = writeln!(std::io::stderr(), "sim: seed {seed}: {}", findings.join("; "));
    }

    fn show(&self, summary: &Summary) {
        let now_ms = self.clock.monotonic_ms();
        let is_last = summary.runs == self.total;
        if !is_last && now_ms < self.shown_ms.load(Ordering::Relaxed) + SHOW_EVERY_MS {
            return;
        }
        self.shown_ms.store(now_ms, Ordering::Relaxed);
        let rate = summary.runs as f64 * 1000.0 / now_ms.max(1) as f64;
        // Past the test harness, which would keep it back until the end. Nobody reads it where that fails.
        let _ = writeln!(
            std::io::stderr(),
            "sim: {} of {} seeds, {rate:.1} a second, {} failed",
            summary.runs,
            self.total,
            summary.failures.len()
        );
    }
}
