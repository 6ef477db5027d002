//! What SCAN, HSCAN, SSCAN and ZSCAN share: the cursor and the options.
//!
//! A command reads its cursor first, then looks the key up, then reads the options: Redis answers the first fault in that order.
//!
//! Source: <https://redis.io/docs/latest/commands/scan/>.

use super::args::{integer, is};
use super::error::CommandError;
use crate::glob::{self, Case, Glob};
use crate::protocol::reply::{Reply, Resp};

/// Elements per step where COUNT does not say.
const DEFAULT_COUNT: usize = 10;

/// What is scanned decides which options there are beside MATCH and COUNT.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scanned {
    /// Takes TYPE.
    Keys,
    /// Takes NOVALUES.
    Hash,
    /// Takes NOSCORES.
    SortedSet,
    Set,
}

impl Scanned {
    /// The option that leaves out values or scores.
    fn word_for_alone(self) -> Option<&'static str> {
        match self {
            Scanned::Hash => Some("NOVALUES"),
            Scanned::SortedSet => Some("NOSCORES"),
            Scanned::Keys | Scanned::Set => None,
        }
    }
}

#[derive(Debug)]
pub struct ScanOptions<'a> {
    pattern: Option<Glob<'a>>,
    /// How many elements to visit, about.
    pub count: usize,
    pub type_name: Option<&'a [u8]>,
    /// Leave out what stands beside each field or member.
    pub alone: bool,
}

impl<'a> ScanOptions<'a> {
    pub fn parse(scanned: Scanned, mut rest: &[&'a [u8]]) -> Result<Self, CommandError> {
        let mut options = ScanOptions { pattern: None, count: DEFAULT_COUNT, type_name: None, alone: false };
        while let [word, behind @ ..] = rest {
            rest = behind;
            if scanned.word_for_alone().is_some_and(|alone| is(word, alone)) {
                options.alone = true;
                continue;
            }
            let (value, behind) = rest.split_first().ok_or(CommandError::Syntax)?;
            rest = behind;
            if is(word, "COUNT") {
                options.count = usize::try_from(integer(value)?).unwrap_or(0);
            } else if is(word, "MATCH") {
                options.pattern = (!glob::matches_all(value)).then(|| Glob::new(value, Case::Sensitive));
            } else if scanned == Scanned::Keys && is(word, "TYPE") {
                options.type_name = Some(value);
            } else {
                return Err(CommandError::Syntax);
            }
        }
        (options.count > 0).then_some(options).ok_or(CommandError::Syntax)
    }

    /// Whether MATCH lets an element through.
    pub fn accepts(&self, text: &[u8]) -> bool {
        self.pattern.as_ref().is_none_or(|pattern| pattern.matches(text))
    }
}

/// Reads a cursor as `strtoul` does, which Redis uses: the empty text is 0, and a minus sign counts from 2^64 down.
pub fn cursor(arg: &[u8]) -> Result<u64, CommandError> {
    let (negative, digits) = match arg {
        [b'-', digits @ ..] => (true, digits),
        [b'+', digits @ ..] => (false, digits),
        digits => (false, digits),
    };
    if arg.is_empty() {
        return Ok(0);
    }
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return Err(CommandError::InvalidCursor);
    }
    let parsed = std::str::from_utf8(digits).ok().and_then(|text| text.parse::<u64>().ok());
    let magnitude = parsed.ok_or(CommandError::InvalidCursor)?;
    Ok(if negative { magnitude.wrapping_neg() } else { magnitude })
}

/// Collects the elements of one step as they are visited; their number is known only at the end.
pub struct Page {
    encoded: Vec<u8>,
    len: usize,
    resp: Resp,
    /// Bytes that the reply has room for.
    room: usize,
    is_over: bool,
}

impl Page {
    pub fn of(reply: &Reply<'_>) -> Self {
        Page { encoded: Vec::new(), len: 0, resp: reply.resp(), room: reply.room(), is_over: reply.is_over() }
    }

    pub fn push(&mut self, element: &[u8]) {
        let room = self.room.saturating_sub(self.encoded.len());
        let mut encoded = Reply::bounded(&mut self.encoded, self.resp, room);
        encoded.bulk(element);
        self.is_over |= encoded.is_over();
        self.len += 1;
    }

    /// Whether the reply has no room for all elements: there is no use in more.
    pub fn is_over(&self) -> bool {
        self.is_over
    }

    fn write_elements(&self, reply: &mut Reply<'_>) {
        if self.is_over {
            reply.give_up();
        }
        reply.raw(&self.encoded);
    }

    /// Writes the elements as an array.
    pub fn write_array(&self, reply: &mut Reply<'_>) {
        reply.array(self.len);
        self.write_elements(reply);
    }

    /// Writes the elements as a set.
    pub fn write_set(&self, reply: &mut Reply<'_>) {
        reply.set(self.len);
        self.write_elements(reply);
    }

    /// Writes the cursor of the next step and the elements of this one.
    pub fn write(&self, next: u64, reply: &mut Reply<'_>) {
        reply.array(2);
        reply.bulk(next.to_string().as_bytes());
        self.write_array(reply);
    }
}

/// The reply where there is nothing to scan.
pub fn write_nothing(reply: &mut Reply<'_>) {
    Page::of(reply).write(0, reply);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_command_knows_its_own_options() {
        let parse = |scanned, line: &'static str| {
            let words: Vec<&[u8]> = line.split_whitespace().map(str::as_bytes).collect();
            ScanOptions::parse(scanned, &words).map(|options| options.count)
        };
        assert_eq!(parse(Scanned::Keys, "MATCH a* TYPE hash"), Ok(10));
        assert_eq!(parse(Scanned::Hash, "novalues COUNT 5"), Ok(5));
        assert_eq!(parse(Scanned::Hash, "TYPE hash"), Err(CommandError::Syntax));
        assert_eq!(parse(Scanned::SortedSet, "noscores"), Ok(10));
        assert_eq!(parse(Scanned::SortedSet, "NOVALUES"), Err(CommandError::Syntax));
        assert_eq!(parse(Scanned::Set, "NOVALUES"), Err(CommandError::Syntax));
        assert_eq!(parse(Scanned::Set, "COUNT 0"), Err(CommandError::Syntax));
        assert_eq!(parse(Scanned::Set, "COUNT x"), Err(CommandError::NotInteger));
        assert_eq!(parse(Scanned::Set, "MATCH"), Err(CommandError::Syntax));
    }

    #[test]
    fn a_cursor_is_any_number_of_64_bits() {
        for (text, value) in
            [("18446744073709551615", u64::MAX), ("-1", u64::MAX), ("", 0), ("+7", 7), ("-0", 0)]
        {
            assert_eq!(cursor(text.as_bytes()), Ok(value), "{text:?}");
        }
        for text in ["-", "x", " 1", "1 ", "--1", "18446744073709551616"] {
            assert_eq!(cursor(text.as_bytes()), Err(CommandError::InvalidCursor), "{text:?}");
        }
    }
}
