//! Counting on the hot path: each thread counts by itself, and whoever reads adds up.
//!
//! - A cell has one writer, the thread that holds the [`Lane`], so that counting is a plain load and store: no locked
//!   instruction, no cache line that two cores want.
//! - A reader may see one number of a command before another; each number by itself only grows.

use std::cell::Cell;
use std::marker::PhantomData;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use parking_lot::Mutex;

use super::latency::{self, Latencies};

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    Done,
    /// It ran and answered with an error.
    Failed,
    /// It was refused before it ran.
    Rejected,
}

/// A counter with one writer.
#[derive(Debug, Default)]
struct Cell64(AtomicU64);

impl Cell64 {
    fn add(&self, more: u64) {
        self.0.store(self.get().wrapping_add(more), Ordering::Relaxed);
    }

    fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

#[derive(Debug, Default)]
struct CommandCells {
    calls: Cell64,
    micros: Cell64,
    failed: Cell64,
    rejected: Cell64,
    /// Made at the first call: most commands are never called.
    latencies: OnceLock<Box<[Cell64; latency::BUCKETS]>>,
}

#[derive(Debug)]
struct Cells {
    commands: Box<[CommandCells]>,
    input_bytes: Cell64,
    output_bytes: Cell64,
    hits: Cell64,
    misses: Cell64,
}

/// One thread's counters. It can move to another thread, but two can't share it.
#[derive(Debug)]
pub struct Lane {
    cells: Arc<Cells>,
    one_thread: PhantomData<Cell<()>>,
}

impl Lane {
    /// Counts a command, by its place in the list that the metrics were made with.
    pub fn command(&self, command: usize, micros: u64, outcome: Outcome) {
        let Some(cells) = self.cells.commands.get(command) else { return };
        if outcome == Outcome::Rejected {
            return cells.rejected.add(1);
        }
        cells.calls.add(1);
        cells.micros.add(micros);
        if outcome == Outcome::Failed {
            cells.failed.add(1);
        }
        let buckets = cells.latencies.get_or_init(|| Box::new(std::array::from_fn(|_| Cell64::default())));
        buckets[latency::bucket_of(micros)].add(1);
    }

    /// Counts bytes that clients sent.
    pub fn received(&self, bytes: usize) {
        self.cells.input_bytes.add(bytes as u64);
    }

    /// Counts bytes that went to clients.
    pub fn sent(&self, bytes: usize) {
        self.cells.output_bytes.add(bytes as u64);
    }

    /// Counts lookups of keys by reads: those that found one, and those that did not.
    pub fn lookups(&self, hits: u64, misses: u64) {
        self.cells.hits.add(hits);
        self.cells.misses.add(misses);
    }
}

/// One command's numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CommandTotals {
    pub calls: u64,
    pub micros: u64,
    pub failed: u64,
    pub rejected: u64,
    pub latencies: Latencies,
}

/// The numbers of all lanes together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// With each command's name; only those that were called.
    pub commands: Vec<(String, CommandTotals)>,
    /// Commands that ran, of any name.
    pub calls: u64,
    pub input_bytes: u64,
    pub output_bytes: u64,
    pub hits: u64,
    pub misses: u64,
}

/// All lanes that were ever opened, and where INFO counts from.
#[derive(Debug)]
pub(super) struct Lanes {
    names: Vec<String>,
    lanes: Mutex<Vec<Arc<Cells>>>,
    baseline: Mutex<Totals>,
}

impl Lanes {
    pub fn new(names: Vec<String>) -> Lanes {
        Lanes { names, lanes: Mutex::default(), baseline: Mutex::default() }
    }

    pub fn open(&self) -> Lane {
        let cells = Arc::new(Cells {
            commands: self.names.iter().map(|_| CommandCells::default()).collect(),
            input_bytes: Cell64::default(),
            output_bytes: Cell64::default(),
            hits: Cell64::default(),
            misses: Cell64::default(),
        });
        self.lanes.lock().push(cells.clone());
        Lane { cells, one_thread: PhantomData }
    }

    /// Since the start of the process.
    pub fn sum(&self) -> Totals {
        let mut commands = vec![CommandTotals::default(); self.names.len()];
        let mut totals = Totals::default();
        for lane in self.lanes.lock().iter() {
            totals.input_bytes += lane.input_bytes.get();
            totals.output_bytes += lane.output_bytes.get();
            totals.hits += lane.hits.get();
            totals.misses += lane.misses.get();
            for (total, cells) in commands.iter_mut().zip(&lane.commands) {
                total.add(cells);
            }
        }
        totals.calls = commands.iter().map(|command| command.calls).sum();
        let named = self.names.iter().cloned().zip(commands);
        totals.commands = named.filter(|(_, command)| command.calls + command.rejected > 0).collect();
        totals.commands.sort_by(|(a, _), (b, _)| a.split('|').cmp(b.split('|')));
        totals
    }

    pub fn since_reset(&self) -> Totals {
        // Locked before the sum is taken, so that a reset can't put the baseline past it.
        let baseline = self.baseline.lock();
        self.sum().minus(&baseline)
    }

    pub fn reset(&self) {
        *self.baseline.lock() = self.sum();
    }
}

impl CommandTotals {
    fn add(&mut self, cells: &CommandCells) {
        self.calls += cells.calls.get();
        self.micros += cells.micros.get();
        self.failed += cells.failed.get();
        self.rejected += cells.rejected.get();
        if let Some(buckets) = cells.latencies.get() {
            self.latencies.add(buckets.iter().map(Cell64::get));
        }
    }

    fn minus(mut self, before: &CommandTotals) -> CommandTotals {
        self.calls -= before.calls;
        self.micros -= before.micros;
        self.failed -= before.failed;
        self.rejected -= before.rejected;
        self.latencies.subtract(&before.latencies);
        self
    }
}

impl Totals {
    /// What came after `before`, an earlier sum of the same lanes.
    fn minus(mut self, before: &Totals) -> Totals {
        for (name, before) in &before.commands {
            if let Some((_, command)) = self.commands.iter_mut().find(|(other, _)| other == name) {
                *command = std::mem::take(command).minus(before);
            }
        }
        self.commands.retain(|(_, command)| command.calls + command.rejected > 0);
        self.calls -= before.calls;
        self.input_bytes -= before.input_bytes;
        self.output_bytes -= before.output_bytes;
        self.hits -= before.hits;
        self.misses -= before.misses;
        self
    }
}
