//! How the scores of one member are combined.
//!
//! - In the order of the names, each weighed as it is named, one after the other: sums of doubles depend on the order, and a replay adds
//!   what earlier programs added.
//! - A name that repeats the one before it costs one step where that gives the same bits.

use super::is;
use crate::command::CommandError;

#[derive(Clone, Copy)]
pub(super) enum Aggregate {
    Sum,
    Min,
    Max,
}

impl Aggregate {
    pub(super) fn parse(arg: &[u8]) -> Result<Aggregate, CommandError> {
        match arg {
            _ if is(arg, "SUM") => Ok(Aggregate::Sum),
            _ if is(arg, "MIN") => Ok(Aggregate::Min),
            _ if is(arg, "MAX") => Ok(Aggregate::Max),
            _ => Err(CommandError::Syntax),
        }
    }

    fn of(self, a: f64, b: f64) -> f64 {
        match self {
            Aggregate::Sum => or_zero(a + b),
            Aggregate::Min => a.min(b),
            Aggregate::Max => a.max(b),
        }
    }

    /// As [`of`](Self::of), with `score` so many times.
    fn of_many(self, total: f64, score: f64, times: u32) -> f64 {
        /// Below this, integers are added without rounding.
        const EXACT: f64 = (1_u64 << 53) as f64;
        let added = score * f64::from(times);
        let sum = total + added;
        let is_whole = total.fract() == 0.0 && score.fract() == 0.0;
        let is_exact = is_whole && [total, added, sum].iter().all(|part| part.abs() < EXACT);
        match self {
            Aggregate::Sum if is_exact => sum,
            // Infinities cancel each other at most once.
            Aggregate::Sum if !score.is_finite() => {
                (0..times.min(2)).fold(total, |total, _| self.of(total, score))
            }
            Aggregate::Sum => (0..times).fold(total, |total, _| self.of(total, score)),
            Aggregate::Min | Aggregate::Max if times == 0 => total,
            Aggregate::Min | Aggregate::Max => self.of(total, score),
        }
    }
}

fn or_zero(score: f64) -> f64 {
    if score.is_nan() { 0.0 } else { score }
}

/// A source, as it is named once or several times in a row.
#[derive(Clone, Copy, Debug)]
pub(super) struct Naming {
    /// Its place among the sources.
    pub(super) source: usize,
    pub(super) weight: f64,
    pub(super) times: u32,
}

impl Naming {
    /// Makes one of those in a row that name the same source with the same weight.
    pub(super) fn joined(namings: Vec<Naming>) -> Vec<Naming> {
        let mut joined: Vec<Naming> = Vec::new();
        for naming in namings {
            match joined.last_mut() {
                Some(last)
                    if last.source == naming.source && last.weight.to_bits() == naming.weight.to_bits() =>
                {
                    last.times += naming.times;
                }
                _ => joined.push(naming),
            }
        }
        joined
    }
}

/// What is added for one member.
pub(super) struct Addends<'a> {
    pub(super) namings: &'a [Naming],
    /// The member's score in each source, by its place.
    pub(super) scores: &'a [Option<f64>],
    pub(super) aggregate: Aggregate,
}

impl Addends<'_> {
    /// The total with all of them, one after the other.
    pub(super) fn onto(&self, total: Option<f64>) -> f64 {
        let mut total = total;
        for Naming { source, weight, times } in self.namings {
            let Some(score) = self.scores[*source].map(|score| or_zero(weight * score)) else { continue };
            total = Some(match total {
                Some(total) => self.aggregate.of_many(total, score, *times),
                None => self.aggregate.of_many(score, score, times - 1),
            });
        }
        total.unwrap_or_default()
    }
}

#[cfg(test)]
mod tests;
