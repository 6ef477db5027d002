//! Ids as commands name them, with the errors that Redis gives for bad ones.

use crate::command::CommandError;
use crate::keyspace::types::stream::StreamId;
use crate::protocol::number::parse_integer;
use crate::protocol::reply::Reply;

pub(super) const INVALID: CommandError = CommandError::Other(std::borrow::Cow::Borrowed(
    "ERR Invalid stream ID specified as stream command argument",
));

/// Longer ids are invalid.
const MAX_ID_BYTES: usize = 127;

/// The id of a new entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NewId {
    /// `*`
    Auto,
    /// `ms-*`
    AutoSeq(u64),
    Exact(StreamId),
}

/// An id as it stands; a missing number within its time is `missing`.
pub(super) fn exact(arg: &[u8], missing: u64) -> Result<StreamId, CommandError> {
    match parse(arg, missing, false) {
        Some(NewId::Exact(id)) => Ok(id),
        _ => Err(INVALID),
    }
}

/// The same, or one whose number within its time is to be found.
pub(super) fn new_id(arg: &[u8]) -> Result<NewId, CommandError> {
    parse(arg, 0, true).ok_or(INVALID)
}

/// The same, or the least or the greatest of all.
fn bound(arg: &[u8], missing: u64) -> Result<StreamId, CommandError> {
    match up_to_nul(arg) {
        b"-" => Ok(StreamId::MIN),
        b"+" => Ok(StreamId::MAX),
        _ => exact(arg, missing),
    }
}

/// Redis takes ids for C strings.
fn up_to_nul(arg: &[u8]) -> &[u8] {
    arg.split(|byte| *byte == 0).next().unwrap_or_default()
}

fn parse(arg: &[u8], missing: u64, may_be_open: bool) -> Option<NewId> {
    if arg.len() > MAX_ID_BYTES {
        return None;
    }
    let text = up_to_nul(arg);
    let Some(dash) = text.iter().position(|byte| *byte == b'-') else {
        return Some(NewId::Exact(StreamId::new(number(text)?, missing)));
    };
    let (ms, seq) = (number(&text[..dash])?, &text[dash + 1..]);
    if may_be_open && seq == b"*" {
        return Some(NewId::AutoSeq(ms));
    }
    Some(NewId::Exact(StreamId::new(ms, number(seq)?)))
}

/// As Redis reads it: what is no number of its own strict kind is left to C, which takes spaces and signs.
fn number(text: &[u8]) -> Option<u64> {
    if let Some(value) = parse_integer(text) {
        return u64::try_from(value).ok();
    }
    let is_space = |byte: &u8| matches!(byte, b' ' | b'\t'..=b'\r');
    let text = &text[text.iter().take_while(|byte| is_space(byte)).count()..];
    let (is_negative, digits) = match text {
        [b'-', digits @ ..] => (true, digits),
        [b'+', digits @ ..] => (false, digits),
        digits => (false, digits),
    };
    let digit = |sum: u64, byte: &u8| {
        let digit = byte.is_ascii_digit().then(|| u64::from(byte - b'0'))?;
        sum.checked_mul(10)?.checked_add(digit)
    };
    let value = digits.iter().try_fold(0, digit).filter(|_| !digits.is_empty())?;
    Some(if is_negative { value.wrapping_neg() } else { value })
}

/// The first id of an interval; `(` leaves it out.
pub(super) fn start(arg: &[u8]) -> Result<StreamId, CommandError> {
    match arg {
        [b'(', rest @ ..] if !rest.is_empty() => {
            exact(rest, 0)?.next().ok_or(CommandError::other("ERR invalid start ID for the interval"))
        }
        _ => bound(arg, 0),
    }
}

/// The last id of an interval.
pub(super) fn end(arg: &[u8]) -> Result<StreamId, CommandError> {
    match arg {
        [b'(', rest @ ..] if !rest.is_empty() => {
            exact(rest, u64::MAX)?.prev().ok_or(CommandError::other("ERR invalid end ID for the interval"))
        }
        _ => bound(arg, u64::MAX),
    }
}

pub(super) fn all(args: &[&[u8]]) -> Result<Vec<StreamId>, CommandError> {
    args.iter().map(|arg| exact(arg, 0)).collect()
}

/// Answers an id.
pub(super) fn write(reply: &mut Reply<'_>, id: StreamId) {
    let mut text = [0; 41];
    let mut digits = itoa::Buffer::new();
    let ms = digits.format(id.ms).as_bytes();
    text[..ms.len()].copy_from_slice(ms);
    text[ms.len()] = b'-';
    let from = ms.len() + 1;
    let seq = digits.format(id.seq).as_bytes();
    text[from..from + seq.len()].copy_from_slice(seq);
    reply.bulk(&text[..from + seq.len()]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_read_as_redis_reads_them() {
        let id = |text: &str| exact(text.as_bytes(), 7).ok().map(|id| (id.ms, id.seq));
        for (text, ms, seq) in [
            ("5", 5, 7),
            ("5-6", 5, 6),
            ("005-06", 5, 6),
            (" 5-\t6", 5, 6),
            ("+5-+6", 5, 6),
            ("5--01", 5, u64::MAX),
            ("18446744073709551615-18446744073709551615", u64::MAX, u64::MAX),
            ("5\u{0}x", 5, 7),
        ] {
            assert_eq!(id(text), Some((ms, seq)), "{text}");
        }
        for text in
            ["", "-", "+", "-5", "5-", "5-*", "5-6-7", "x", "5-x", "18446744073709551616", "5 ", "--1"]
        {
            assert_eq!(id(text), None, "{text}");
        }
        assert_eq!(id(&"0".repeat(128)), None);
        assert_eq!(id(&"0".repeat(127)), Some((0, 7)));
        assert_eq!(new_id(b"5-*"), Ok(NewId::AutoSeq(5)));
    }

    #[test]
    fn intervals_may_leave_their_ends_out() {
        assert_eq!((start(b"-"), end(b"+")), (Ok(StreamId::MIN), Ok(StreamId::MAX)));
        assert_eq!((start(b"5"), end(b"5")), (Ok(StreamId::new(5, 0)), Ok(StreamId::new(5, u64::MAX))));
        assert_eq!(start(b"(5"), Ok(StreamId::new(5, 1)));
        assert_eq!(end(b"(5-0"), Ok(StreamId::new(4, u64::MAX)));
        assert!(start(b"(18446744073709551615-18446744073709551615").is_err() && end(b"(0-0").is_err());
        assert!(start(b"(").is_err() && start(b"(-").is_err() && end(b"(+").is_err());
    }

    #[test]
    fn an_id_is_answered_as_text() {
        let mut out = Vec::new();
        write(&mut Reply::new(&mut out, Default::default()), StreamId::MAX);
        assert_eq!(out, b"$41\r\n18446744073709551615-18446744073709551615\r\n");
    }
}
