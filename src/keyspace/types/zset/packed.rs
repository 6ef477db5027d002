//! The packed encoding: all elements in one byte buffer, in order. Small, and fast while it is small.
//!
//! ```text
//! element = body_len score member body_len_reversed
//! score   = width bytes            width 0..=7: a sign-extended little-endian integer of that many bytes
//!                                  width 8: the bits of an f64, little-endian
//! ```
//!
//! - `body_len` counts score and member, as a varint (7 bits a byte, low first, top bit = more). It stands again behind
//!   the body with its bytes reversed, so the buffer can be walked from either end.
//! - Elements stand in the order of [`super::order`]; no member occurs twice.
//! - Everything is linear in the length. The caller keeps it short.

use std::ops::Range;

use super::ScoredMember;
use super::order::Cut;

const RAW_SCORE: u8 = 8;

/// A sorted set in one buffer.
#[derive(Debug, Clone, Default)]
pub(super) struct Packed {
    bytes: Vec<u8>,
    len: u32,
}

/// Where an element stands: its bytes, and what it holds.
#[derive(Debug, Clone)]
pub(super) struct Found {
    span: Range<usize>,
    pub(super) rank: usize,
    pub(super) score: f64,
}

impl Packed {
    pub(super) fn len(&self) -> usize {
        self.len as usize
    }

    /// Bytes on the heap.
    pub(super) fn heap_bytes(&self) -> usize {
        self.bytes.capacity()
    }

    pub(super) fn used_bytes(&self) -> usize {
        self.bytes.len()
    }

    pub(super) fn find(&self, member: &[u8]) -> Option<Found> {
        let mut start = 0;
        for rank in 0..self.len() {
            let (body, end) = body_at(&self.bytes, start);
            let (score, candidate) = split_body(body);
            if candidate == member {
                return Some(Found { span: start..end, rank, score: decode_score(score) });
            }
            start = end;
        }
        None
    }

    /// Adds a member that is not in the set.
    pub(super) fn add(&mut self, member: &[u8], score: f64) {
        let at = self.offset_of_cut(Cut::Below(score, member));
        let element = encode(member, score);
        // Exact growth: a small set is usually built once, and slack would cost more than the copies do.
        self.bytes.reserve_exact(element.len());
        self.bytes.splice(at..at, element);
        self.len += 1;
    }

    pub(super) fn remove(&mut self, found: &Found) {
        self.bytes.drain(found.span.clone());
        self.len -= 1;
    }

    /// Removes a range of ranks, which must lie within the set.
    pub(super) fn remove_ranks(&mut self, ranks: Range<usize>) {
        self.bytes.drain(self.span_of(&ranks));
        self.len -= ranks.len() as u32;
    }

    /// How many elements lie before the cut.
    pub(super) fn count_before(&self, cut: Cut) -> usize {
        let before = |entry: &ScoredMember| cut.is_after(entry.score, || entry.member);
        self.iter(0..self.len()).take_while(before).count()
    }

    /// The elements of a range of ranks, which must lie within the set.
    pub(super) fn iter(&self, ranks: Range<usize>) -> Iter<'_> {
        Iter { bytes: &self.bytes[self.span_of(&ranks)], left: ranks.len() }
    }

    fn span_of(&self, ranks: &Range<usize>) -> Range<usize> {
        if ranks.len() == self.len() {
            return 0..self.bytes.len();
        }
        let start = self.offset_of(ranks.start);
        start..start + skip(&self.bytes[start..], ranks.len())
    }

    fn offset_of_cut(&self, cut: Cut) -> usize {
        let mut start = 0;
        while start < self.bytes.len() {
            let (entry, end) = decode_at(&self.bytes, start);
            if !cut.is_after(entry.score, || entry.member) {
                break;
            }
            start = end;
        }
        start
    }

    fn offset_of(&self, rank: usize) -> usize {
        skip(&self.bytes, rank)
    }
}

/// A walk over packed elements, from either end.
#[derive(Debug, Clone)]
pub(super) struct Iter<'a> {
    bytes: &'a [u8],
    left: usize,
}

impl<'a> Iterator for Iter<'a> {
    type Item = ScoredMember<'a>;

    fn next(&mut self) -> Option<ScoredMember<'a>> {
        self.left = self.left.checked_sub(1)?;
        let (entry, end) = decode_at(self.bytes, 0);
        self.bytes = &self.bytes[end..];
        Some(entry)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl<'a> DoubleEndedIterator for Iter<'a> {
    fn next_back(&mut self) -> Option<ScoredMember<'a>> {
        self.left = self.left.checked_sub(1)?;
        let (entry, start) = decode_before(self.bytes, self.bytes.len());
        self.bytes = &self.bytes[..start];
        Some(entry)
    }
}

/// The bytes that the first `count` elements take.
fn skip(bytes: &[u8], count: usize) -> usize {
    (0..count).fold(0, |at, _| body_at(bytes, at).1)
}

/// Bytes that an element takes at most.
pub(super) fn most_element_bytes(member: &[u8]) -> usize {
    const LENGTHS_AND_SCORE: usize = 2 * 5 + 1 + 8;
    member.len() + LENGTHS_AND_SCORE
}

fn encode(member: &[u8], score: f64) -> Vec<u8> {
    let (tag, score) = encode_score(score);
    let score = &score[..tag as usize];
    let mut length = Vec::with_capacity(5);
    write_varint(&mut length, 1 + score.len() + member.len());
    let mut out = Vec::with_capacity(1 + score.len() + member.len() + 2 * length.len());
    out.extend_from_slice(&length);
    out.push(tag);
    out.extend_from_slice(score);
    out.extend_from_slice(member);
    out.extend(length.iter().rev());
    out
}

/// The element that starts at `start`, and where it ends.
fn decode_at(bytes: &[u8], start: usize) -> (ScoredMember<'_>, usize) {
    let (body, end) = body_at(bytes, start);
    (decode_body(body), end)
}

/// The body of the element that starts at `start`, and where the element ends.
fn body_at(bytes: &[u8], start: usize) -> (&[u8], usize) {
    let (body, width) = read_varint(bytes[start..].iter());
    let from = start + width;
    (&bytes[from..from + body], from + body + width)
}

/// The element that ends at `end`, and where it starts.
fn decode_before(bytes: &[u8], end: usize) -> (ScoredMember<'_>, usize) {
    let (body, width) = read_varint(bytes[..end].iter().rev());
    let to = end - width;
    (decode_body(&bytes[to - body..to]), to - body - width)
}

fn decode_body(body: &[u8]) -> ScoredMember<'_> {
    let (score, member) = split_body(body);
    ScoredMember { member, score: decode_score(score) }
}

/// The score's bytes and the member.
fn split_body(body: &[u8]) -> (&[u8], &[u8]) {
    body[1..].split_at(body[0] as usize)
}

/// The tag, which is also how many of the bytes count, and the bytes.
fn encode_score(score: f64) -> (u8, [u8; 8]) {
    let integer = score as i64;
    // By bits, so that -0.0 stays what it is.
    if (integer as f64).to_bits() != score.to_bits() || integer.unsigned_abs() >= 1 << 55 {
        return (RAW_SCORE, score.to_bits().to_le_bytes());
    }
    let magnitude = if integer < 0 { !integer } else { integer };
    let bits_with_sign = if integer == 0 { 0 } else { 65 - magnitude.leading_zeros() };
    (bits_with_sign.div_ceil(8) as u8, integer.to_le_bytes())
}

fn decode_score(bytes: &[u8]) -> f64 {
    if let Ok(bits) = bytes.try_into() {
        return f64::from_le_bytes(bits);
    }
    let sign = bytes.last().map_or(0, |top| (*top as i8 as i64) >> 7);
    bytes.iter().rev().fold(sign, |value, byte| value << 8 | i64::from(*byte)) as f64
}

fn write_varint(out: &mut Vec<u8>, mut value: usize) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// The value, and how many bytes it took.
fn read_varint<'a>(bytes: impl Iterator<Item = &'a u8>) -> (usize, usize) {
    let mut value = 0;
    for (at, byte) in bytes.enumerate() {
        value |= ((byte & 0x7f) as usize) << (7 * at);
        if byte & 0x80 == 0 {
            return (value, at + 1);
        }
    }
    unreachable!("a varint ends within the buffer")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packed(elements: &[(&str, f64)]) -> Packed {
        let mut set = Packed::default();
        for (member, score) in elements {
            set.add(member.as_bytes(), *score);
        }
        set
    }

    fn names(set: &Packed) -> Vec<&[u8]> {
        set.iter(0..set.len()).map(|entry| entry.member).collect()
    }

    #[test]
    fn elements_stand_by_score_then_member() {
        let set = packed(&[("c", 1.0), ("b", 2.0), ("a", 1.0), ("d", -1.5)]);
        assert_eq!(names(&set), [b"d", b"a", b"c", b"b"]);
        let back: Vec<_> = set.iter(0..4).rev().map(|entry| entry.score).collect();
        assert_eq!(back, [2.0, 1.0, 1.0, -1.5]);
    }

    #[test]
    fn every_score_comes_back_bit_for_bit() {
        let whole = [0.0, 1.0, -1.0, 127.0, 128.0, -128.0, -129.0, 65535.0, 1e9, -1e15, 9007199254740993.0];
        let other =
            [-0.0, 0.1, f64::INFINITY, f64::NEG_INFINITY, f64::MAX, 5e-324, 1e300, 36028797018963968.0];
        for score in whole.into_iter().chain(other) {
            let set = packed(&[("m", score)]);
            let found = set.find(b"m").expect("just added");
            assert_eq!(found.score.to_bits(), score.to_bits(), "{score}");
        }
    }

    #[test]
    fn small_integers_are_small() {
        assert_eq!(encode(b"member-8", 0.0).len(), 11);
        assert_eq!(encode(b"member-8", 100.0).len(), 12);
        assert_eq!(encode(b"member-8", 0.1).len(), 19);
    }

    #[test]
    fn long_and_empty_members_walk_both_ways() {
        let long = "x".repeat(40_000);
        let set = packed(&[(&long, 1.0), ("", 1.0), ("y", 1.0)]);
        assert_eq!(names(&set), [b"", long.as_bytes(), b"y"]);
        assert_eq!(set.iter(0..2).next_back().expect("two").member, long.as_bytes());
    }

    #[test]
    fn ranges_of_ranks_are_cut_out() {
        let mut set = packed(&[("a", 1.0), ("b", 2.0), ("c", 3.0), ("d", 4.0)]);
        assert_eq!(set.iter(1..3).map(|entry| entry.score).collect::<Vec<_>>(), [2.0, 3.0]);
        set.remove_ranks(1..3);
        assert_eq!(names(&set), [b"a", b"d"]);
        set.remove_ranks(0..2);
        assert_eq!((set.len(), set.bytes.len()), (0, 0));
    }
}
