//! Reads single arguments, with the errors that Redis gives for bad ones.

use super::error::CommandError;
use crate::keyspace::DATABASES;
use crate::protocol::number::{parse_double, parse_integer};

/// Longest string that a command may make (`proto-max-bulk-len`).
pub const MAX_STRING_BYTES: usize = 512 << 20;

/// Whether an argument is this word, in any case.
pub fn is(arg: &[u8], word: &str) -> bool {
    arg.eq_ignore_ascii_case(word.as_bytes())
}

pub fn integer(arg: &[u8]) -> Result<i64, CommandError> {
    parse_integer(arg).ok_or(CommandError::NotInteger)
}

/// An integer that can be negated.
pub fn signed_count(arg: &[u8]) -> Result<i64, CommandError> {
    const OUT_OF_RANGE: &str =
        "ERR value is out of range, value must between -9223372036854775807 and 9223372036854775807";
    let value = integer(arg)?;
    (value != i64::MIN).then_some(value).ok_or(CommandError::other(OUT_OF_RANGE))
}

/// A double that is not NaN; it may be infinite.
pub fn float(arg: &[u8]) -> Result<f64, CommandError> {
    parse_double(arg).ok_or(CommandError::NotFloat)
}

/// An integer of at least `min`; an error of this text for anything else.
pub fn at_least(min: i64, arg: &[u8], error: &'static str) -> Result<usize, CommandError> {
    let value = parse_integer(arg).filter(|value| *value >= min);
    value.and_then(|value| usize::try_from(value).ok()).ok_or(CommandError::other(error))
}

/// How many elements to take: not negative.
pub fn count(arg: &[u8]) -> Result<usize, CommandError> {
    parse_integer(arg).and_then(|value| usize::try_from(value).ok()).ok_or(CommandError::NotPositive)
}

/// Whether the one argument after the key is a count of zero: what takes elements out takes none then, and only reads.
pub fn takes_none(args: &[&[u8]]) -> bool {
    matches!(args, [_, _, count] if parse_integer(count) == Some(0))
}

/// A timeout in whole milliseconds.
pub fn timeout_ms(arg: &[u8]) -> Result<u64, CommandError> {
    let timeout =
        parse_integer(arg).ok_or(CommandError::other("ERR timeout is not an integer or out of range"))?;
    u64::try_from(timeout).map_err(|_| CommandError::other("ERR timeout is negative"))
}

/// The number of a database that exists.
pub fn database(arg: &[u8]) -> Result<usize, CommandError> {
    const NO_INT: &str = "ERR value is out of range, value must between -2147483648 and 2147483647";
    let number = i32::try_from(integer(arg)?).map_err(|_| CommandError::other(NO_INT))?;
    let number = usize::try_from(number).ok();
    number.filter(|number| *number < DATABASES).ok_or(CommandError::DatabaseOutOfRange)
}

/// The sum of two lengths, if a string may be that long.
pub fn string_len(a: usize, b: usize) -> Result<usize, CommandError> {
    a.checked_add(b).filter(|len| *len <= MAX_STRING_BYTES).ok_or(CommandError::StringTooLong)
}

/// The elements that `start` and `stop` (both included, negative ones counted from the end) select out of `len`, as in
/// GETRANGE and LRANGE; empty where they select nothing.
pub fn index_range(start: i64, stop: i64, len: usize) -> std::ops::Range<usize> {
    let len = i64::try_from(len).unwrap_or(i64::MAX);
    let from_end = |index: i64| if index < 0 { index.saturating_add(len).max(0) } else { index };
    let first = from_end(start);
    let last = if stop < 0 { stop.saturating_add(len) } else { stop.min(len - 1) };
    if first > last { 0..0 } else { first as usize..last as usize + 1 }
}

/// The place that `index` (a negative one counted from the end) names among `len`, if there is one.
pub fn index_in(index: i64, len: usize) -> Option<usize> {
    let from_start = if index < 0 { index.saturating_add(i64::try_from(len).ok()?) } else { index };
    usize::try_from(from_start).ok().filter(|place| *place < len)
}

/// Arguments two by two; an odd one out is an error that names the command.
pub fn pairs<'s, 'a>(
    data: &'s [&'a [u8]],
    command: &'static str,
) -> Result<impl Iterator<Item = (&'a [u8], &'a [u8])> + Clone + use<'s, 'a>, CommandError> {
    let (pairs, odd) = data.as_chunks::<2>();
    let even = odd.is_empty().then(|| pairs.iter().map(|[first, second]| (*first, *second)));
    even.ok_or(CommandError::Arity(command.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_match_in_any_case_and_only_as_a_whole() {
        assert!(is(b"wItHsCoReS", "WITHSCORES"));
        assert!(!is(b"WITHSCORE", "WITHSCORES"));
    }

    #[test]
    fn counts_are_not_negative() {
        assert_eq!(count(b"0"), Ok(0));
        assert_eq!(count(b"-1"), Err(CommandError::NotPositive));
        assert_eq!(count(b"x"), Err(CommandError::NotPositive));
        assert_eq!(at_least(1, b"0", "ERR why"), Err(CommandError::other("ERR why")));
    }

    #[test]
    fn an_index_is_there_or_not() {
        assert_eq!(index_in(-1, 3), Some(2));
        assert_eq!(index_in(-4, 3), None);
        assert_eq!(index_in(3, 3), None);
        assert_eq!(index_in(i64::MIN, 3), None);
    }

    #[test]
    fn index_ranges_are_clamped_to_what_is_there() {
        assert_eq!(index_range(0, -1, 5), 0..5);
        assert_eq!(index_range(-3, -2, 5), 2..4);
        assert_eq!(index_range(-100, 100, 5), 0..5);
        assert_eq!(index_range(3, 2, 5), 0..0);
        assert_eq!(index_range(0, -6, 5), 0..0);
        assert_eq!(index_range(5, 9, 5), 0..0);
        assert_eq!(index_range(0, -1, 0), 0..0);
        assert_eq!(index_range(i64::MIN, i64::MAX, 5), 0..5);
    }

    #[test]
    fn a_string_never_outgrows_the_limit() {
        assert_eq!(string_len(MAX_STRING_BYTES - 1, 1), Ok(MAX_STRING_BYTES));
        assert_eq!(string_len(MAX_STRING_BYTES, 1), Err(CommandError::StringTooLong));
        assert_eq!(string_len(usize::MAX, 1), Err(CommandError::StringTooLong));
    }
}
