//! Ranges of scores and of members as commands write them.

use std::ops::{Bound, Range};

use crate::command::CommandError;
use crate::keyspace::types::zset::ZSet;
use crate::protocol::number::parse_double_loosely;

/// `min max`: scores, `(` in front excludes one, `-inf` and `+inf` are the ends.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ScoreRange {
    min: Bound<f64>,
    max: Bound<f64>,
}

impl ScoreRange {
    pub fn parse(min: &[u8], max: &[u8]) -> Result<Self, CommandError> {
        Ok(ScoreRange { min: parse_score(min)?, max: parse_score(max)? })
    }

    /// The ranks of the elements in the range.
    pub fn ranks(&self, set: &ZSet) -> Range<usize> {
        set.ranks_by_score(self.min, self.max)
    }
}

fn parse_score(arg: &[u8]) -> Result<Bound<f64>, CommandError> {
    let bound = match arg {
        [b'(', score @ ..] => parse_double_loosely(score).map(Bound::Excluded),
        score => parse_double_loosely(score).map(Bound::Included),
    };
    bound.ok_or(CommandError::other("ERR min or max is not a float"))
}

/// `min max`: members, `[` in front includes one and `(` excludes it, `-` and `+` are the ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LexRange<'a> {
    min: LexBound<'a>,
    max: LexBound<'a>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum LexBound<'a> {
    BeforeAll,
    AfterAll,
    Member(Bound<&'a [u8]>),
}

impl<'a> LexRange<'a> {
    pub fn parse(min: &'a [u8], max: &'a [u8]) -> Result<Self, CommandError> {
        Ok(LexRange { min: parse_lex(min)?, max: parse_lex(max)? })
    }

    /// The ranks of the elements in the range; all elements are taken to have the same score.
    pub fn ranks(&self, set: &ZSet) -> Range<usize> {
        match (self.min, self.max) {
            (LexBound::AfterAll, _) | (_, LexBound::BeforeAll) => 0..0,
            (min, max) => set.ranks_by_lex(min.inner(), max.inner()),
        }
    }
}

impl<'a> LexBound<'a> {
    /// The bound of a range that its end on this side does not already empty.
    fn inner(self) -> Bound<&'a [u8]> {
        match self {
            LexBound::Member(bound) => bound,
            LexBound::BeforeAll | LexBound::AfterAll => Bound::Unbounded,
        }
    }
}

fn parse_lex(arg: &[u8]) -> Result<LexBound<'_>, CommandError> {
    match arg {
        b"-" => Ok(LexBound::BeforeAll),
        b"+" => Ok(LexBound::AfterAll),
        [b'[', member @ ..] => Ok(LexBound::Member(Bound::Included(member))),
        [b'(', member @ ..] => Ok(LexBound::Member(Bound::Excluded(member))),
        _ => Err(CommandError::other("ERR min or max not valid string range item")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scores_are_included_or_excluded() {
        let range = ScoreRange::parse(b"(-inf", b"1.5").expect("a range");
        assert_eq!(range, ScoreRange { min: Bound::Excluded(f64::NEG_INFINITY), max: Bound::Included(1.5) });
        let range = ScoreRange::parse(b"", b"( 2").expect("what strtod takes");
        assert_eq!(range, ScoreRange { min: Bound::Included(0.0), max: Bound::Excluded(2.0) });
        for text in ["((1", "x", "nan", "(nan", "[1", "1 "] {
            let error = ScoreRange::parse(text.as_bytes(), b"0").expect_err(text);
            assert_eq!(error.to_string(), "ERR min or max is not a float");
        }
    }

    #[test]
    fn members_carry_a_sign() {
        for (text, bound) in [
            ("-", LexBound::BeforeAll),
            ("+", LexBound::AfterAll),
            ("[", LexBound::Member(Bound::Included(b""))),
            ("(a", LexBound::Member(Bound::Excluded(b"a"))),
        ] {
            assert_eq!(parse_lex(text.as_bytes()), Ok(bound));
        }
        for text in ["", "a", "-a", "+inf"] {
            let error = parse_lex(text.as_bytes()).expect_err(text);
            assert_eq!(error.to_string(), "ERR min or max not valid string range item");
        }
    }
}
