//! Durations of commands in buckets: four to each doubling, so that a percentile is at most a fifth too high.
//!
//! From 0 to 3 µs each bucket is one microsecond; the last bucket, from 2^26 µs (67 s) on, has no end.

/// Buckets of one command.
pub(super) const BUCKETS: usize = 4 * (LAST_DOUBLING - 1) + 1;
const LAST_DOUBLING: usize = 26;

/// The bucket of a duration.
pub(super) fn bucket_of(micros: u64) -> usize {
    if micros < 4 {
        return micros as usize;
    }
    let doubling = micros.ilog2() as usize;
    if doubling >= LAST_DOUBLING {
        return BUCKETS - 1;
    }
    let quarter = (micros >> (doubling - 2)) as usize & 3;
    4 * (doubling - 1) + quarter
}

/// The greatest duration of a bucket; of the last one, the least.
fn top_of(bucket: usize) -> u64 {
    if bucket < 4 {
        return bucket as u64;
    }
    let (doubling, quarter) = (bucket / 4 + 1, bucket as u64 % 4);
    if bucket == BUCKETS - 1 {
        return 1 << doubling;
    }
    ((4 + quarter + 1) << (doubling - 2)) - 1
}

/// How often a command took how long.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Latencies {
    /// Empty, or one number for each bucket.
    buckets: Vec<u64>,
}

impl Latencies {
    /// The number of calls.
    pub fn count(&self) -> u64 {
        self.buckets.iter().sum()
    }

    /// A duration in µs that this share of the calls did not pass, `share` from 0 to 1; `None` without calls.
    pub fn percentile_micros(&self, share: f64) -> Option<u64> {
        let count = self.count();
        let rank = ((count as f64 * share).ceil() as u64).clamp(1, count.max(1));
        let mut seen = 0;
        let bucket = self.buckets.iter().position(|calls| {
            seen += calls;
            seen >= rank
        })?;
        Some(top_of(bucket))
    }

    /// Calls that took at most so many µs, for each power of two up to the longest: LATENCY HISTOGRAM's form.
    pub fn cumulative_by_doubling(&self) -> Vec<(u64, u64)> {
        let count = self.count();
        let mut limits = (0..=LAST_DOUBLING).map(|doubling| 1_u64 << doubling);
        let mut points = Vec::new();
        let mut before = 0;
        while let Some(limit) = limits.next().filter(|_| before < count) {
            let calls = self.count_up_to(limit);
            if calls > before {
                points.push((limit, calls));
            }
            before = calls;
        }
        points
    }

    pub(super) fn add(&mut self, calls: impl Iterator<Item = u64>) {
        self.buckets.resize(BUCKETS, 0);
        for (bucket, calls) in self.buckets.iter_mut().zip(calls) {
            *bucket += calls;
        }
    }

    pub(super) fn subtract(&mut self, before: &Latencies) {
        for (bucket, before) in self.buckets.iter_mut().zip(&before.buckets) {
            *bucket -= before;
        }
    }

    fn count_up_to(&self, micros: u64) -> u64 {
        let buckets = self.buckets.iter().enumerate();
        buckets.filter(|(bucket, _)| bottom_of(*bucket) <= micros).map(|(_, calls)| calls).sum()
    }
}

fn bottom_of(bucket: usize) -> u64 {
    bucket.checked_sub(1).map_or(0, |below| top_of(below) + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_follow_one_another_without_a_gap() {
        for bucket in 0..BUCKETS - 1 {
            assert_eq!(bucket_of(top_of(bucket)), bucket);
            assert_eq!(bucket_of(top_of(bucket) + 1), bucket + 1);
            assert_eq!(bucket_of(bottom_of(bucket)), bucket);
        }
        assert_eq!(bucket_of(u64::MAX), BUCKETS - 1);
        assert_eq!(top_of(BUCKETS - 1), 1 << LAST_DOUBLING);
    }

    #[test]
    fn percentiles_are_near_and_never_too_low() {
        let mut calls = [0; BUCKETS];
        (1..=1000).for_each(|micros| calls[bucket_of(micros)] += 1);
        let mut latencies = Latencies::default();
        assert_eq!(latencies.percentile_micros(0.5), None);
        latencies.add(calls.into_iter());
        for (share, exact) in [(0.5, 500), (0.99, 990), (1.0, 1000), (0.0, 1)] {
            let shown = latencies.percentile_micros(share).expect("there are calls");
            assert!((exact..=exact + exact / 4).contains(&shown), "{share}: {shown}");
        }
    }

    #[test]
    fn the_histogram_ends_with_all_calls() {
        let mut calls = [0; BUCKETS];
        [1, 3, 3, 100].into_iter().for_each(|micros| calls[bucket_of(micros)] += 1);
        let mut latencies = Latencies::default();
        latencies.add(calls.into_iter());
        assert_eq!(latencies.cumulative_by_doubling(), [(1, 1), (4, 3), (128, 4)]);
    }
}
