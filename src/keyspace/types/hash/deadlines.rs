//! Deadlines of the fields of one hash: a sorted set of the fields, whose scores stand for deadlines.
//!
//! - The order of expiry is (deadline, field), the same on every node.
//! - The sorted set makes small ones small and a clone of big ones cheap. It never sees a deadline as such: `score_of`
//!   maps every deadline to a score of its own in the same order, which a conversion would not beyond 2^53.
//! - A deadline before the epoch counts as the epoch: it has passed, too.

use std::ops::Bound;

use super::super::zset::{ScoredMember, ZSet, ZSetLimits};
use crate::keyspace::hash_seed::HashSeed;

/// The deadline whose score is zero: the middle of all there are.
const MIDDLE_MS: i64 = 1 << 62;

#[derive(Clone)]
pub(super) struct Deadlines(ZSet);

impl Deadlines {
    pub(super) fn new() -> Self {
        Deadlines(ZSet::new())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn get(&self, field: &[u8]) -> Option<i64> {
        self.0.score(field).map(deadline_of)
    }

    pub(super) fn set(&mut self, field: &[u8], at_ms: i64, hash_seed: HashSeed) {
        self.0.insert(field, score_of(at_ms), &ZSetLimits { hash_seed, ..ZSetLimits::DEFAULT });
    }

    pub(super) fn remove(&mut self, field: &[u8]) {
        self.0.remove(field);
    }

    pub(super) fn reseed(&mut self, seed: HashSeed) {
        self.0.reseed(seed);
    }

    pub(super) fn earliest(&self) -> Option<i64> {
        self.0.get_by_rank(0).map(|first| deadline_of(first.score))
    }

    /// The fields whose deadlines have passed at `now_ms`, earliest first.
    pub(super) fn passed(&self, now_ms: i64) -> impl Iterator<Item = &[u8]> {
        let passed = self.0.range_by_score(Bound::Unbounded, Bound::Included(score_of(now_ms)));
        passed.map(|ScoredMember { member, .. }| member)
    }

    pub(super) fn passed_len(&self, now_ms: i64) -> usize {
        self.0.count_by_score(Bound::Unbounded, Bound::Included(score_of(now_ms)))
    }

    pub(super) fn heap_bytes(&self) -> usize {
        self.0.memory_bytes() - size_of::<ZSet>()
    }
}

/// Floats of one sign stand in the order of their bits, so the distance from the middle serves as the bits. It stays
/// below 2^62, which is the float 2.
fn score_of(at_ms: i64) -> f64 {
    let distance = at_ms.max(0) - MIDDLE_MS;
    let magnitude = f64::from_bits(distance.unsigned_abs());
    if distance < 0 { -magnitude } else { magnitude }
}

fn deadline_of(score: f64) -> i64 {
    let distance = score.abs().to_bits() as i64;
    if score < 0.0 { MIDDLE_MS - distance } else { MIDDLE_MS + distance }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EDGES: [i64; 10] = [
        0,
        1,
        2,
        1_900_000_000_000,
        (1 << 53) + 1,
        MIDDLE_MS - 1,
        MIDDLE_MS,
        MIDDLE_MS + 1,
        i64::MAX - 1,
        i64::MAX,
    ];

    #[test]
    fn every_deadline_has_a_score_of_its_own_in_the_same_order() {
        assert_eq!(EDGES.map(score_of).map(deadline_of), EDGES);
        assert!(EDGES.map(score_of).is_sorted_by(|a, b| a < b));
        assert_eq!(deadline_of(score_of(-5)), 0);
    }

    #[test]
    fn fields_pass_by_deadline_then_name() {
        let mut deadlines = Deadlines::new();
        for (number, at_ms) in EDGES.into_iter().enumerate().rev() {
            deadlines.set(format!("field:{number}").as_bytes(), at_ms, HashSeed::NONE);
        }
        deadlines.set(b"a", 2, HashSeed::NONE);
        deadlines.set(b"field:0", i64::MAX, HashSeed::NONE);
        assert_eq!((deadlines.earliest(), deadlines.get(b"field:9")), (Some(1), Some(i64::MAX)));
        assert_eq!(deadlines.passed(2).collect::<Vec<_>>(), [&b"field:1"[..], b"a", b"field:2"]);
        assert_eq!((deadlines.passed_len(0), deadlines.passed_len(i64::MAX)), (0, 11));
    }
}
