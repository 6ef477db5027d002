//! What happens in a second, from samples of what only grows.

use std::collections::VecDeque;

use super::lane::Totals;

/// Samples that an average spans.
const SAMPLES: usize = 8;

/// Numbers for each second.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Rates {
    pub commands: f64,
    pub input_bytes: f64,
    pub output_bytes: f64,
}

#[derive(Debug)]
struct Sample {
    at_ms: u64,
    commands: u64,
    input_bytes: u64,
    output_bytes: u64,
}

/// The last samples.
#[derive(Debug, Default)]
pub(super) struct Window {
    samples: VecDeque<Sample>,
}

impl Window {
    pub fn add(&mut self, at_ms: u64, totals: &Totals) {
        self.samples.truncate(SAMPLES - 1);
        self.samples.push_front(Sample {
            at_ms,
            commands: totals.calls,
            input_bytes: totals.input_bytes,
            output_bytes: totals.output_bytes,
        });
    }

    /// Between the oldest sample and the newest; zero until there are two.
    pub fn rates(&self) -> Rates {
        let (Some(new), Some(old)) = (self.samples.front(), self.samples.back()) else {
            return Rates::default();
        };
        let seconds = (new.at_ms - old.at_ms) as f64 / 1000.0;
        if seconds == 0.0 {
            return Rates::default();
        }
        Rates {
            commands: (new.commands - old.commands) as f64 / seconds,
            input_bytes: (new.input_bytes - old.input_bytes) as f64 / seconds,
            output_bytes: (new.output_bytes - old.output_bytes) as f64 / seconds,
        }
    }
}
