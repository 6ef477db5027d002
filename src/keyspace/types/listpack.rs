//! Elements of a listpack, as Redis encodes them: what a node of a stream is made of, and small collections in RDB.
//!
//! ```text
//! 0nnnnnnn                                       an integer of 7 bits
//! 10nnnnnn bytes{n}                              a string
//! 110nnnnn n:u8                                  a signed integer of 13 bits
//! 1110nnnn n:u8 bytes{n}                         a string
//! 11110000 n:u32 bytes{n}                        a string
//! 11110001 i16 | 11110010 i24 | 11110011 i32 | 11110100 i64
//! ```
//!
//! - Behind each stands its length, seven bits a byte, to be read from its end.
//! - Reading never goes beyond the bytes and never panics; what is not an element is `None`.
//! - A string that is an integer is written as one, in the shortest form: the same bytes as Redis writes.

use crate::protocol::number::parse_integer;

/// The byte behind the last element.
pub const END: u8 = 0xFF;

/// An element: a string, or an integer that stands for its digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StreamText<'a> {
    Integer(i64),
    Text(&'a [u8]),
}

impl<'a> StreamText<'a> {
    /// The element as a string.
    pub fn text<'s>(&'s self, digits: &'s mut itoa::Buffer) -> &'s [u8] {
        match self {
            StreamText::Integer(value) => digits.format(*value).as_bytes(),
            StreamText::Text(text) => text,
        }
    }

    pub fn to_vec(self) -> Vec<u8> {
        self.text(&mut itoa::Buffer::new()).to_vec()
    }

    pub(super) fn is(&self, text: &[u8]) -> bool {
        self.text(&mut itoa::Buffer::new()) == text
    }

    pub(super) fn integer(self) -> Option<i64> {
        match self {
            StreamText::Integer(value) => Some(value),
            StreamText::Text(_) => None,
        }
    }
}

/// The element at `at`, and where the next one is.
pub fn read(bytes: &[u8], at: usize) -> Option<(StreamText<'_>, usize)> {
    let rest = bytes.get(at..)?;
    let (head, tail) = rest.split_first()?;
    let (element, len) = match *head {
        0..0x80 => (StreamText::Integer(i64::from(*head)), 1),
        0x80..0xC0 => text(rest, 1, usize::from(head & 0x3F))?,
        0xC0..0xE0 => (StreamText::Integer(signed_13(u16::from_be_bytes([head & 0x1F, *tail.first()?]))), 2),
        0xE0..0xF0 => text(rest, 2, usize::from(u16::from_be_bytes([head & 0x0F, *tail.first()?])))?,
        0xF0 => text(rest, 5, u32::from_le_bytes(*tail.first_chunk()?) as usize)?,
        0xF1 => (StreamText::Integer(i64::from(i16::from_le_bytes(*tail.first_chunk()?))), 3),
        0xF2 => (StreamText::Integer(signed_24(*tail.first_chunk()?)), 4),
        0xF3 => (StreamText::Integer(i64::from(i32::from_le_bytes(*tail.first_chunk()?))), 5),
        0xF4 => (StreamText::Integer(i64::from_le_bytes(*tail.first_chunk()?)), 9),
        _ => return None,
    };
    Some((element, at + len + back_len_bytes(len)))
}

fn text(rest: &[u8], from: usize, len: usize) -> Option<(StreamText<'_>, usize)> {
    let end = from.checked_add(len)?;
    Some((StreamText::Text(rest.get(from..end)?), end))
}

fn signed_13(bits: u16) -> i64 {
    i64::from((bits << 3) as i16 >> 3)
}

/// A signed integer of three little-endian bytes.
pub fn signed_24([a, b, c]: [u8; 3]) -> i64 {
    i64::from(i32::from_le_bytes([0, a, b, c]) >> 8)
}

/// Passes over so many elements.
pub(super) fn skip(bytes: &[u8], at: usize, count: usize) -> Option<usize> {
    (0..count).try_fold(at, |at, _| Some(read(bytes, at)?.1))
}

/// Appends a string, as an integer if it is one.
pub(super) fn put(out: &mut Vec<u8>, text: &[u8]) {
    if let Some(value) = parse_integer(text) {
        return put_integer(out, value);
    }
    let start = out.len();
    match text.len() {
        len @ 0..64 => out.push(0x80 | len as u8),
        len @ 64..4096 => out.extend_from_slice(&(0xE000 | len as u16).to_be_bytes()),
        len => {
            out.push(0xF0);
            out.extend_from_slice(&(len as u32).to_le_bytes());
        }
    }
    out.extend_from_slice(text);
    put_back_len(out, start);
}

pub(super) fn put_integer(out: &mut Vec<u8>, value: i64) {
    let start = out.len();
    match value {
        0..0x80 => out.push(value as u8),
        -4096..4096 => out.extend_from_slice(&(0xC000 | (value as u16 & 0x1FFF)).to_be_bytes()),
        -0x8000..0x8000 => put_bytes(out, 0xF1, &value.to_le_bytes()[..2]),
        -0x80_0000..0x80_0000 => put_bytes(out, 0xF2, &value.to_le_bytes()[..3]),
        -0x8000_0000..0x8000_0000 => put_bytes(out, 0xF3, &value.to_le_bytes()[..4]),
        _ => put_bytes(out, 0xF4, &value.to_le_bytes()),
    }
    put_back_len(out, start);
}

fn put_bytes(out: &mut Vec<u8>, head: u8, bytes: &[u8]) {
    out.push(head);
    out.extend_from_slice(bytes);
}

fn put_back_len(out: &mut Vec<u8>, start: usize) {
    let len = out.len() - start;
    let bytes = back_len_bytes(len);
    for place in (0..bytes).rev() {
        let more = if place + 1 < bytes { 0x80 } else { 0 };
        out.push((len >> (7 * place)) as u8 & 0x7F | more);
    }
}

/// How many bytes the length of an entry takes behind it; the bounds are Redis' own.
fn back_len_bytes(entry_len: usize) -> usize {
    match entry_len {
        0..=127 => 1,
        128..16_383 => 2,
        16_383..2_097_151 => 3,
        2_097_151..268_435_455 => 4,
        _ => 5,
    }
}

/// Whether the element at `at` is encoded as [`put`] and [`put_integer`] encode it; where the next one is.
pub(super) fn checked(bytes: &[u8], at: usize) -> Option<(StreamText<'_>, usize)> {
    let (element, next) = read(bytes, at)?;
    let mut again = Vec::new();
    match element {
        StreamText::Integer(value) => put_integer(&mut again, value),
        StreamText::Text(text) => put(&mut again, text),
    }
    (bytes.get(at..next)? == again).then_some((element, next))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_reads_back_and_is_the_shortest() {
        let long = |len: usize| "x".repeat(len);
        let texts = [
            "",
            "a",
            "-",
            "007",
            "0",
            "127",
            "128",
            "-1",
            "4095",
            "-4096",
            "4096",
            "-4097",
            "32767",
            "-32768",
            "32768",
            "8388607",
            "-8388608",
            "8388608",
            "2147483647",
            "-2147483648",
            "2147483648",
            "9223372036854775807",
            "-9223372036854775808",
            "9223372036854775808",
        ];
        let mut texts: Vec<String> = texts.map(str::to_owned).to_vec();
        texts.extend([63, 64, 125, 126, 4095, 4096, 16_380, 16_381, 100_000].map(long));
        let mut bytes = Vec::new();
        texts.iter().for_each(|text| put(&mut bytes, text.as_bytes()));
        let mut at = 0;
        for text in &texts {
            let (element, next) = checked(&bytes, at).expect("an element");
            assert!(element.is(text.as_bytes()), "{text:.20}");
            at = next;
        }
        assert_eq!((at, skip(&bytes, 0, texts.len())), (bytes.len(), Some(bytes.len())));
        assert_eq!(read(&bytes, at), None);
    }

    #[test]
    fn bytes_are_those_of_redis() {
        let encoded = |text: &[u8]| {
            let mut out = Vec::new();
            put(&mut out, text);
            out
        };
        assert_eq!(encoded(b"5"), [5, 1]);
        assert_eq!(encoded(b"-1"), [0xDF, 0xFF, 2]);
        assert_eq!(encoded(b"hi"), [0x82, b'h', b'i', 3]);
        assert_eq!(encoded(b"1000000"), [0xF2, 0x40, 0x42, 0x0F, 4]);
        assert_eq!(encoded(&[b'x'; 300])[302..], [0x02, 0x80 | 46]);
    }

    #[test]
    fn what_is_cut_short_is_no_element() {
        for text in [&b"12345678901"[..], b"hello", &[b'x'; 5000]] {
            let mut bytes = Vec::new();
            put(&mut bytes, text);
            for len in 0..bytes.len() - 3 {
                assert!(checked(&bytes[..len], 0).is_none(), "{len}");
            }
        }
        assert!(read(&[END], 0).is_none() && read(&[0xF5, 1], 0).is_none());
    }
}
