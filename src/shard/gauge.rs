//! The clocks of a shard that looks at them between two turns, and what they measure of the log: counts and times for the metrics.
//!
//! No metric is read back, but for how long a write of the log took: who is slow hands over (`shard/slow_log.rs`). Entries are stamped, and
//! leases judged, by the clock itself.

use std::sync::Arc;

use perdura_wal::CommitStats;

use crate::command::context::{Executed, Tally};
use crate::command::{Args, Command, statistic_index};
use crate::env::Clock;
use crate::metrics::{Lane, Metrics, Outcome};

pub struct LogGauge {
    pub clock: Clock,
    metrics: Arc<Metrics>,
    lane: Lane,
    append_began_ns: u64,
    sync_began_ns: u64,
    proposed_ns: u64,
}

impl LogGauge {
    pub fn new(clock: Clock, metrics: Arc<Metrics>) -> Self {
        let lane = metrics.lane();
        LogGauge { clock, metrics, lane, append_began_ns: 0, sync_began_ns: 0, proposed_ns: 0 }
    }

    /// An entry of so many commands is on its way.
    pub fn proposed(&mut self, commands: usize) {
        self.proposed_ns = self.clock.monotonic_ns();
        self.metrics.log.entry_commands.observe(commands as f64);
    }

    /// The entry that was proposed has come back.
    pub fn committed(&self) {
        self.metrics.log.commit_seconds.observe(self.seconds_since(self.proposed_ns));
    }

    /// An entry is about to be applied.
    pub fn applies(&self, payload: &[u8]) {
        self.metrics.log.entry_bytes.observe(payload.len() as f64);
    }

    /// So many commands were not logged for want of space.
    pub fn refused(&self, commands: usize) {
        self.metrics.log.refused_commands.inc_by(commands as u64);
    }

    pub fn answered_error(&self, text: &str) {
        self.metrics.error(text.split(' ').next().unwrap_or_default());
    }

    /// A blocking command was answered that no entry has run: it would be counted nowhere.
    pub fn ended_waiting(&self, command: &Command, outcome: Outcome) {
        self.lane.command(statistic_index(&[command.name.as_bytes()]), 0, outcome);
    }

    /// A command was refused before it was logged.
    pub fn rejected(&self, args: &Args<'_>) {
        self.lane.command(statistic_index(args), 0, Outcome::Rejected);
    }

    pub fn append_begins(&mut self) {
        self.append_began_ns = self.clock.monotonic_ns();
    }

    pub fn sync_begins(&mut self) {
        self.sync_began_ns = self.clock.monotonic_ns();
        let append_ns = self.sync_began_ns - self.append_began_ns;
        self.metrics.log.append_seconds.observe(append_ns as f64 / 1e9);
    }

    /// Returns how long the sync took, in ms.
    pub fn sync_ended(&self, stats: &CommitStats) -> u64 {
        let seconds = self.seconds_since(self.sync_began_ns);
        self.metrics.log.sync_seconds.observe(seconds);
        self.metrics.log.bytes.inc_by(stats.bytes);
        (seconds * 1e3) as u64
    }

    fn seconds_since(&self, then_ns: u64) -> f64 {
        (self.clock.monotonic_ns() - then_ns) as f64 / 1e9
    }

    /// Counts the commands of an entry; each is charged an equal part of the time that all took.
    pub fn count(&self, executed: &mut Tally, began_ns: u64) {
        let sum = executed.sum();
        if sum == 0 {
            return;
        }
        let micros = (self.clock.monotonic_ns() - began_ns) / 1000 / sum;
        for (Executed { index, error }, times) in executed.drain() {
            let outcome = if error.is_some() { Outcome::Failed } else { Outcome::Done };
            for _ in 0..times {
                self.lane.command(index, micros, outcome);
                error.iter().for_each(|code| self.metrics.error(code));
            }
        }
    }
}
