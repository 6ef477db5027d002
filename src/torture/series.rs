//! A history as curves over time: how much was answered in each stretch, and how fast.

use perdura_proof::{History, Operation, Outcome};

/// Points that a curve has at most.
const MAX_POINTS: u64 = 300;

/// One stretch of time.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Point {
    /// Operations that were answered well in it.
    pub acknowledged: u32,
    /// Operations that ended in it with an error that says that they did not happen.
    pub failed: u32,
    /// Operations that ended in it without anybody knowing what became of them.
    pub in_doubt: u32,
    /// Of those answered well, in µs; none where there are none.
    pub p50_us: Option<u64>,
    pub p99_us: Option<u64>,
}

/// Curves over a whole run.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Series {
    /// Length of a stretch: whole seconds.
    pub step_us: u64,
    pub points: Vec<Point>,
}

/// Latencies of one sort of operation, in µs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Latency {
    pub p50_us: u64,
    pub p99_us: u64,
    pub max_us: u64,
}

impl Series {
    /// The curves of the first `length_us` of a history.
    pub fn of(history: &History, length_us: u64) -> Series {
        let step_us = length_us.div_ceil(MAX_POINTS).next_multiple_of(1_000_000).max(1_000_000);
        let count = (length_us / step_us) as usize;
        let mut points = vec![Point::default(); count];
        let mut latencies = vec![Vec::new(); count];
        for operation in &history.operations {
            let Some(returned_us) = operation.returned_us else { continue };
            let at = (returned_us / step_us) as usize;
            let Some(point) = points.get_mut(at) else { continue };
            match operation.outcome {
                Outcome::Ok(_) => {
                    point.acknowledged += 1;
                    latencies[at].push(returned_us - operation.called_us);
                }
                Outcome::DidNotHappen(_) => point.failed += 1,
                Outcome::InDoubt(_) | Outcome::Pending => point.in_doubt += 1,
            }
        }
        for (point, latencies) in points.iter_mut().zip(&mut latencies) {
            latencies.sort_unstable();
            point.p50_us = quantile(latencies, 50);
            point.p99_us = quantile(latencies, 99);
        }
        Series { step_us, points }
    }
}

impl Latency {
    /// Of the acknowledged operations that `wanted` picks.
    pub fn of(history: &History, wanted: impl Fn(&Operation) -> bool) -> Latency {
        let answered = history.operations.iter().filter(|operation| operation.is_acknowledged());
        let taken = |operation: &Operation| Some(operation.returned_us? - operation.called_us);
        let mut all: Vec<u64> = answered.filter(|operation| wanted(operation)).filter_map(taken).collect();
        all.sort_unstable();
        Latency {
            p50_us: quantile(&all, 50).unwrap_or(0),
            p99_us: quantile(&all, 99).unwrap_or(0),
            max_us: all.last().copied().unwrap_or(0),
        }
    }
}

/// The smallest of the ascending values that so many percent do not pass (nearest rank).
pub fn quantile(ascending: &[u64], percent: usize) -> Option<u64> {
    let rank = (ascending.len() * percent).div_ceil(100).max(1);
    ascending.get(rank - 1).copied()
}

#[cfg(test)]
mod tests {
    use perdura_proof::{Action, ReadsFrom, Recorder, Value};

    use super::*;

    fn history(operations: &[(u64, u64, Outcome)]) -> History {
        let mut recorder = Recorder::new();
        for (called_us, returned_us, outcome) in operations {
            let action = Action::Get { key: "k".to_owned() };
            let id = recorder.call(0, 1, ReadsFrom::Primary, action, *called_us);
            recorder.done(id, *returned_us, outcome.clone());
        }
        recorder.finish()
    }

    #[test]
    fn operations_count_where_they_ended() {
        let ok = || Outcome::Ok(Value::Register(None));
        let history = history(&[
            (0, 10, ok()),
            (5, 35, ok()),
            (900_000, 1_900_000, Outcome::InDoubt("timeout".to_owned())),
            (1_000_000, 1_000_001, Outcome::DidNotHappen("no".to_owned())),
            (1_900_000, 2_100_000, ok()),
        ]);
        let series = Series::of(&history, 2_000_000);
        let first = Point { acknowledged: 2, p50_us: Some(10), p99_us: Some(30), ..Point::default() };
        let second = Point { failed: 1, in_doubt: 1, ..Point::default() };
        assert_eq!(series, Series { step_us: 1_000_000, points: vec![first, second] });
        let latency = Latency::of(&history, |_| true);
        assert_eq!(latency, Latency { p50_us: 30, p99_us: 200_000, max_us: 200_000 });
    }

    #[test]
    fn long_runs_have_longer_stretches() {
        assert_eq!(Series::of(&History::default(), 600_000_000).step_us, 2_000_000);
    }

    #[test]
    fn a_quantile_is_one_of_the_values() {
        let hundred: Vec<u64> = (1..=100).collect();
        assert_eq!((quantile(&hundred, 50), quantile(&hundred, 99)), (Some(50), Some(99)));
        assert_eq!((quantile(&[7], 99), quantile(&[], 50)), (Some(7), None));
    }
}
