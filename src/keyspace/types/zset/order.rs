//! The one order of a sorted set: by score, then by the member's bytes.
//!
//! - Scores are never NaN. `-0.0` and `0.0` are the same score to the order, though each is kept as it was given.
//! - A [`Cut`] parts that order in two. Every range is two cuts, every rank is the number of elements before one.

/// A place between two elements: those before it and those after it.
#[derive(Debug, Clone, Copy)]
pub(super) enum Cut<'a> {
    /// Before every element with this score.
    BelowScore(f64),
    /// After every element with this score.
    AboveScore(f64),
    /// Before this score and member.
    Below(f64, &'a [u8]),
    /// After this score and member.
    Above(f64, &'a [u8]),
}

impl Cut<'_> {
    /// Whether the element lies before the cut. `member` is asked only where scores tie, for reading it may cost a
    /// cache miss.
    pub(super) fn is_after<'m>(&self, score: f64, member: impl FnOnce() -> &'m [u8]) -> bool {
        match *self {
            Cut::BelowScore(at) => score < at,
            Cut::AboveScore(at) => score <= at,
            Cut::Below(at, name) => score < at || (score == at && member() < name),
            Cut::Above(at, name) => score < at || (score == at && member() <= name),
        }
    }
}

/// How many of the first `len` indexes satisfy `before`, which holds for a prefix of them.
pub(super) fn partition(len: usize, before: impl Fn(usize) -> bool) -> usize {
    let (mut low, mut high) = (0, len);
    while low < high {
        let middle = low + (high - low) / 2;
        if before(middle) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    low
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn negative_zero_ties_with_zero() {
        assert!(!Cut::BelowScore(0.0).is_after(-0.0, || b"m"));
        assert!(Cut::AboveScore(-0.0).is_after(0.0, || b"m"));
        assert!(Cut::Below(0.0, b"b").is_after(-0.0, || b"a"));
        assert!(!Cut::Below(0.0, b"b").is_after(-0.0, || b"b"));
        assert!(Cut::Above(0.0, b"b").is_after(-0.0, || b"b"));
    }

    #[test]
    fn members_are_read_only_where_scores_tie() {
        let unread = || -> &'static [u8] { panic!("read a member for nothing") };
        assert!(Cut::Below(2.0, b"x").is_after(1.0, unread));
        assert!(!Cut::Above(2.0, b"x").is_after(3.0, unread));
    }

    #[test]
    fn partition_counts_the_prefix() {
        for prefix in 0..=9 {
            assert_eq!(partition(9, |i| i < prefix), prefix);
        }
    }
}
