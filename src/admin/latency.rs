//! Latency spikes of this node: events that took at least `latency-monitor-threshold`.
//!
//! - Events have Redis' names: `command` and `fast-command` (by the command's flag), and `aof-fsync-always`, a write of the log with its
//!   sync, which is what every other write waits for.
//! - Of each event the last [`SAMPLES`] seconds in which there was a spike are kept, with the worst of each.
//!
//! Source: <https://redis.io/docs/latest/operate/oss_and_stack/management/optimization/latency-monitor/>, Redis' `latency.c` and
//! `sparkline.c`.

use std::collections::{BTreeMap, VecDeque};

use parking_lot::Mutex;

/// A command with the flag `fast`, and any other.
pub const FAST_COMMAND: &str = "fast-command";
pub const COMMAND: &str = "command";
/// A write of the log, its sync included.
pub const LOG_WRITE: &str = "aof-fsync-always";

/// Samples kept of an event (`LATENCY_TS_LEN`).
const SAMPLES: usize = 160;

/// A second, and the worst that happened in it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sample {
    pub at_s: i64,
    pub ms: u64,
}

/// What is known of an event; it has a sample at least.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Series {
    /// Oldest first.
    pub samples: VecDeque<Sample>,
    /// The worst ever, since it was reset.
    pub max_ms: u64,
}

#[derive(Debug, Default)]
pub struct LatencyMonitor {
    events: Mutex<BTreeMap<&'static str, Series>>,
}

impl LatencyMonitor {
    /// Notes what an event took, if the threshold (0 is none) says that it is a spike.
    #[inline]
    pub fn note(&self, event: &'static str, ms: u64, threshold_ms: u64, unix_ms: i64) {
        if threshold_ms > 0 && ms >= threshold_ms {
            self.keep(event, Sample { at_s: unix_ms.div_euclid(1000), ms });
        }
    }

    #[cold]
    fn keep(&self, event: &'static str, sample: Sample) {
        let mut events = self.events.lock();
        let series = events.entry(event).or_default();
        series.max_ms = series.max_ms.max(sample.ms);
        if let Some(last) = series.samples.back_mut().filter(|last| last.at_s == sample.at_s) {
            last.ms = last.ms.max(sample.ms);
            return;
        }
        if series.samples.len() == SAMPLES {
            series.samples.pop_front();
        }
        series.samples.push_back(sample);
    }

    /// All events by name.
    pub fn all(&self) -> Vec<(&'static str, Series)> {
        self.events.lock().iter().map(|(name, series)| (*name, series.clone())).collect()
    }

    pub fn of(&self, event: &[u8]) -> Option<Series> {
        let events = self.events.lock();
        let found = events.iter().find(|(name, _)| name.as_bytes() == event);
        found.map(|(_, series)| series.clone())
    }

    /// Forgets these events, or all where none is named; returns how many there were.
    pub fn reset(&self, names: &[&[u8]]) -> usize {
        let mut events = self.events.lock();
        let before = events.len();
        events.retain(|name, _| !names.is_empty() && !names.contains(&name.as_bytes()));
        before - events.len()
    }
}

impl Series {
    /// The newest sample.
    pub fn latest(&self) -> Option<Sample> {
        self.samples.back().copied()
    }

    fn bounds(&self) -> (u64, u64) {
        let all = || self.samples.iter().map(|sample| sample.ms);
        (all().min().unwrap_or(0), all().max().unwrap_or(0))
    }

    /// The samples drawn in letters, under a line that names the event.
    pub fn graph(&self, event: &str, now_s: i64) -> String {
        let (low, high) = self.bounds();
        let mut out = format!(
            "{event} - high {high} ms, low {low} ms (all time high {} ms)\n{}\n",
            self.max_ms,
            "-".repeat(COLUMNS)
        );
        let samples: Vec<Sample> = self.samples.iter().copied().collect();
        for (nth, columns) in samples.chunks(COLUMNS).enumerate() {
            if nth > 0 {
                out.push('\n');
            }
            draw(columns, (low, high), now_s, &mut out);
        }
        out
    }
}

const COLUMNS: usize = 80;
const ROWS: usize = 4;
/// From the lowest step of a row to the highest.
const STEPS: [char; 3] = ['_', 'o', '#'];

/// Draws a column for each sample, with its age from top to bottom below it.
fn draw(samples: &[Sample], (low, high): (u64, u64), now_s: i64, out: &mut String) {
    let steps = STEPS.len() * ROWS;
    let range = (high - low).max(1) as u128;
    let step_of = |sample: &Sample| {
        let step = u128::from(sample.ms - low) * steps as u128 / range;
        usize::try_from(step).unwrap_or(steps).min(steps - 1)
    };
    for row in 0..ROWS {
        let below = (ROWS - row - 1) * STEPS.len();
        out.extend(samples.iter().map(|sample| match step_of(sample).checked_sub(below) {
            None => ' ',
            Some(step) => STEPS.get(step).copied().unwrap_or('|'),
        }));
        out.push('\n');
    }
    let labels: Vec<Vec<char>> = samples.iter().map(|sample| age(now_s - sample.at_s)).collect();
    let longest = labels.iter().map(Vec::len).max().unwrap_or(0);
    out.push_str(&" ".repeat(samples.len()));
    out.push('\n');
    for nth in 0..longest {
        out.extend(labels.iter().map(|label| label.get(nth).copied().unwrap_or(' ')));
        out.push('\n');
    }
}

fn age(seconds: i64) -> Vec<char> {
    let (number, unit) = match seconds.max(0) {
        seconds @ 0..60 => (seconds, 's'),
        seconds @ 60..3600 => (seconds / 60, 'm'),
        seconds @ 3600..86_400 => (seconds / 3600, 'h'),
        seconds => (seconds / 86_400, 'd'),
    };
    number.to_string().chars().chain([unit]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn samples(series: &Series) -> Vec<(i64, u64)> {
        series.samples.iter().map(|sample| (sample.at_s, sample.ms)).collect()
    }

    #[test]
    fn spikes_are_kept_a_second_each_with_the_worst_of_it() {
        let monitor = LatencyMonitor::default();
        for (ms, at_ms) in [(99, 1000), (100, 1000), (300, 1999), (200, 1500), (150, 2000)] {
            monitor.note(COMMAND, ms, 100, at_ms);
        }
        monitor.note(FAST_COMMAND, u64::MAX, 0, 1000);
        assert_eq!(monitor.of(b"fast-command"), None, "a threshold of 0 is none");
        let series = monitor.of(b"command").expect("it is known");
        assert_eq!((samples(&series), series.max_ms), (vec![(1, 300), (2, 150)], 300));
        assert_eq!(series.latest(), Some(Sample { at_s: 2, ms: 150 }));
        (0..1000).for_each(|second| monitor.note(COMMAND, 100, 100, 1000 * second));
        assert_eq!(monitor.all()[0].1.samples.len(), SAMPLES);
        assert_eq!((monitor.reset(&[b"other"]), monitor.reset(&[b"command"]), monitor.reset(&[])), (0, 1, 0));
    }

    /// As redis-server 7.0.15 draws it.
    #[test]
    fn a_graph_has_a_column_for_each_sample_and_its_age_below() {
        let series = Series {
            samples: [(100, 500), (3700, 251), (3758, 302)].map(|(at_s, ms)| Sample { at_s, ms }).into(),
            max_ms: 500,
        };
        let drawn = series.graph("command", 3760);
        let lines: Vec<&str> = drawn.lines().collect();
        assert_eq!(lines[0], "command - high 500 ms, low 251 ms (all time high 500 ms)");
        assert_eq!(lines[1].len(), 80);
        assert_eq!(lines[2..], ["#  ", "|  ", "|  ", "|_#", "   ", "112", "hms"]);
    }
}
