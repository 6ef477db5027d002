//! Reads arguments: keywords, numbers with the errors that Redis gives for them, timeouts.

use super::error::CommandError;
use crate::protocol::number::{parse_double, parse_integer};

/// Whether an argument is this keyword, in any case.
pub fn is(arg: &[u8], keyword: &str) -> bool {
    arg.eq_ignore_ascii_case(keyword.as_bytes())
}

pub fn integer(arg: &[u8]) -> Result<i64, CommandError> {
    parse_integer(arg).ok_or(CommandError::NotInteger)
}

pub fn float(arg: &[u8]) -> Result<f64, CommandError> {
    parse_double(arg).ok_or(CommandError::NotFloat)
}

/// An integer of at least `min`; anything else is an error of this text.
pub fn at_least(min: i64, arg: &[u8], error: &'static str) -> Result<usize, CommandError> {
    let value = parse_integer(arg).filter(|value| *value >= min);
    value
        .and_then(|value| usize::try_from(value).ok())
        .ok_or(CommandError::other(error))
}

/// How many elements to take: not negative.
pub fn count(arg: &[u8]) -> Result<usize, CommandError> {
    parse_integer(arg)
        .and_then(|value| usize::try_from(value).ok())
        .ok_or(CommandError::NotPositive)
}

/// The timeout of a blocking command in seconds, 0 for ever; at most what fits into 63 bits of milliseconds.
pub fn timeout_seconds(arg: &[u8]) -> Result<f64, CommandError> {
    const MAX_SECONDS: f64 = (i64::MAX / 1000) as f64;
    let finite = parse_double(arg).filter(|seconds| seconds.is_finite());
    let seconds = finite.ok_or(CommandError::other(
        "ERR timeout is not a float or out of range",
    ))?;
    match seconds {
        ..0.0 => Err(CommandError::other("ERR timeout is negative")),
        MAX_SECONDS.. => Err(CommandError::other("ERR timeout is out of range")),
        _ => Ok(seconds),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keywords_match_in_any_case_and_only_as_a_whole() {
        assert!(is(b"wItHsCoReS", "WITHSCORES"));
        assert!(!is(b"WITHSCORE", "WITHSCORES"));
    }

    #[test]
    fn counts_are_not_negative() {
        assert_eq!(count(b"0"), Ok(0));
        assert_eq!(count(b"-1"), Err(CommandError::NotPositive));
        assert_eq!(count(b"x"), Err(CommandError::NotPositive));
        assert_eq!(
            at_least(1, b"0", "ERR why"),
            Err(CommandError::other("ERR why"))
        );
    }

    #[test]
    fn timeouts_are_finite_and_not_negative() {
        assert_eq!(timeout_seconds(b"0.25"), Ok(0.25));
        assert_eq!(timeout_seconds(b"0"), Ok(0.0));
        for (text, error) in [
            ("x", "ERR timeout is not a float or out of range"),
            ("inf", "ERR timeout is not a float or out of range"),
            ("-1", "ERR timeout is negative"),
            ("1e18", "ERR timeout is out of range"),
        ] {
            assert_eq!(
                timeout_seconds(text.as_bytes()),
                Err(CommandError::other(error)),
                "{text}"
            );
        }
    }
}
