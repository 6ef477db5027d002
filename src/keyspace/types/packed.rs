//! A packed sequence of byte strings in one allocation: what Redis calls a listpack.
//!
//! - An entry is `varint(length) bytes`; a `TWO_WAY` sequence adds the mirrored varint of what came before it in
//!   the entry, so that it can be walked backwards as cheaply as forwards. One-way costs one byte for an entry
//!   below 128 bytes, two-way two.
//! - The buffer opens with two u32: how many entries there are, and how many bytes are in use, these eight included.
//!   An empty sequence that never held anything has no buffer.
//! - Positions are byte offsets ("offset"); any change behind which they lie moves them.
//! - Changing an entry moves all bytes behind it, so owners bound the size of a sequence.

use std::ops::Range;

use super::{buffer, varint};

const HEADER_BYTES: usize = 8;
const COUNT_AT: usize = 0;
const USED_AT: usize = 4;

/// A packed sequence; `TWO_WAY` says whether it can be walked backwards.
#[derive(Clone, Default)]
pub struct Packed<const TWO_WAY: bool> {
    buffer: Box<[u8]>,
}

impl<const TWO_WAY: bool> Packed<TWO_WAY> {
    /// The offset of the first entry, or of the end when there is none.
    pub const FIRST: usize = HEADER_BYTES;

    /// An empty sequence; it allocates nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// The number of entries.
    pub fn len(&self) -> usize {
        self.header(COUNT_AT)
    }

    /// Whether there are no entries.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The offset behind the last entry, which is also the number of bytes in use.
    pub fn end(&self) -> usize {
        self.header(USED_AT).max(HEADER_BYTES)
    }

    /// Bytes allocated on the heap.
    pub fn heap_bytes(&self) -> usize {
        self.buffer.len()
    }

    /// How many bytes an entry of `len` bytes takes.
    pub fn entry_bytes(len: usize) -> usize {
        let forward = varint::len(len) + len;
        forward + if TWO_WAY { varint::len(forward) } else { 0 }
    }

    /// The entry at `offset`, which must lie before the end.
    pub fn get(&self, offset: usize) -> &[u8] {
        let (len, head) = varint::read(&self.buffer[offset..]);
        &self.buffer[offset + head..offset + head + len]
    }

    /// The offset of the entry after the one at `offset`.
    pub fn next(&self, offset: usize) -> usize {
        offset + Self::entry_bytes(self.get(offset).len())
    }

    /// The offset of entry number `index`; that of the end for `len()`.
    pub fn offset_of(&self, index: usize) -> usize {
        if TWO_WAY && index > self.len() / 2 {
            return (index..self.len()).fold(self.end(), |offset, _| self.before(offset));
        }
        (0..index).fold(Self::FIRST, |offset, _| self.next(offset))
    }

    /// The first of every `stride` entries that equals `needle`.
    pub fn find(&self, needle: &[u8], stride: usize) -> Option<usize> {
        let end = self.end();
        let mut offset = Self::FIRST;
        while offset < end {
            if self.get(offset) == needle {
                return Some(offset);
            }
            offset = (0..stride).fold(offset, |offset, _| self.next(offset));
        }
        None
    }

    /// All entries in order.
    pub fn iter(&self) -> PackedIter<'_, TWO_WAY> {
        PackedIter {
            rest: self.buffer.get(Self::FIRST..self.end()).unwrap_or_default(),
            remaining: self.len(),
        }
    }

    /// The entries with these numbers, in order.
    pub fn slice(&self, range: Range<usize>) -> PackedIter<'_, TWO_WAY> {
        let bytes = self.offset_of(range.start)..self.offset_of(range.end);
        PackedIter { rest: self.buffer.get(bytes).unwrap_or_default(), remaining: range.len() }
    }

    /// Adds an entry before the one at `offset`.
    pub fn insert(&mut self, offset: usize, value: &[u8]) {
        self.splice(offset, 0, Self::entry_bytes(value.len()), self.len() + 1);
        self.write(offset, value);
    }

    /// Adds an entry at the end.
    pub fn push_back(&mut self, value: &[u8]) {
        self.insert(self.end(), value);
    }

    /// Gives the entry at `offset` another value.
    pub fn replace(&mut self, offset: usize, value: &[u8]) {
        let old = self.next(offset) - offset;
        self.splice(offset, old, Self::entry_bytes(value.len()), self.len());
        self.write(offset, value);
    }

    /// Removes `count` entries from `offset` on.
    pub fn remove(&mut self, offset: usize, count: usize) {
        let behind = (0..count).fold(offset, |offset, _| self.next(offset));
        self.splice(offset, behind - offset, 0, self.len() - count);
    }

    /// Cuts off and returns the entries from number `index` on.
    pub fn split_off(&mut self, index: usize) -> Self {
        let offset = self.offset_of(index);
        let mut tail = Self::new();
        tail.append_bytes(&self.buffer[offset..self.end()], self.len() - index);
        self.splice(offset, self.end() - offset, 0, index);
        tail
    }

    /// Adds all entries of `other` at the end.
    pub fn append(&mut self, other: &Self) {
        self.append_bytes(other.iter().rest, other.len());
    }

    fn append_bytes(&mut self, entries: &[u8], count: usize) {
        let at = self.end();
        self.splice(at, 0, entries.len(), self.len() + count);
        self.buffer[at..at + entries.len()].copy_from_slice(entries);
    }

    fn before(&self, offset: usize) -> usize {
        let (forward, back) = varint::read_reversed(&self.buffer[..offset]);
        offset - forward - back
    }

    fn write(&mut self, offset: usize, value: &[u8]) {
        let entry = &mut self.buffer[offset..];
        let head = varint::write(entry, value.len());
        let forward = head + value.len();
        entry[head..forward].copy_from_slice(value);
        if TWO_WAY {
            varint::write_reversed(&mut entry[forward..], forward);
        }
    }

    fn splice(&mut self, offset: usize, old: usize, new: usize, count: usize) {
        let used = self.end();
        if self.buffer.is_empty() {
            self.buffer = buffer::with_room_for(HEADER_BYTES + new);
        }
        let used = buffer::splice(&mut self.buffer, used, offset, old, new);
        self.set_header(COUNT_AT, count);
        self.set_header(USED_AT, used);
    }

    fn header(&self, at: usize) -> usize {
        match self.buffer.get(at..at + 4) {
            Some(&[a, b, c, d]) => u32::from_le_bytes([a, b, c, d]) as usize,
            _ => 0,
        }
    }

    fn set_header(&mut self, at: usize, value: usize) {
        let value = u32::try_from(value).expect("owners bound a packed sequence far below 4 GiB");
        self.buffer[at..at + 4].copy_from_slice(&value.to_le_bytes());
    }
}

impl Packed<true> {
    /// The offset of the entry before the one at `offset`, which must not be the first.
    pub fn prev(&self, offset: usize) -> usize {
        self.before(offset)
    }

    /// Adds an entry at the front.
    pub fn push_front(&mut self, value: &[u8]) {
        self.insert(Self::FIRST, value);
    }
}

/// Entries of a packed sequence; double-ended if the sequence is two-way.
#[derive(Clone)]
pub struct PackedIter<'a, const TWO_WAY: bool> {
    rest: &'a [u8],
    remaining: usize,
}

impl<'a, const TWO_WAY: bool> Iterator for PackedIter<'a, TWO_WAY> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        self.remaining = self.remaining.checked_sub(1)?;
        let (len, head) = varint::read(self.rest);
        let value = &self.rest[head..head + len];
        self.rest = &self.rest[Packed::<TWO_WAY>::entry_bytes(len)..];
        Some(value)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.remaining, Some(self.remaining))
    }
}

impl<'a> DoubleEndedIterator for PackedIter<'a, true> {
    fn next_back(&mut self) -> Option<&'a [u8]> {
        self.remaining = self.remaining.checked_sub(1)?;
        let (forward, back) = varint::read_reversed(self.rest);
        let end = self.rest.len() - back;
        let entry = &self.rest[end - forward..end];
        let (_, head) = varint::read(entry);
        self.rest = &self.rest[..end - forward];
        Some(&entry[head..])
    }
}

impl<const TWO_WAY: bool> ExactSizeIterator for PackedIter<'_, TWO_WAY> {}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn strings<const TWO_WAY: bool>(packed: &Packed<TWO_WAY>) -> Vec<Vec<u8>> {
        packed.iter().map(<[u8]>::to_vec).collect()
    }

    #[test]
    fn small_entries_cost_one_byte_one_way_and_two_bytes_two_way() {
        assert_eq!(Packed::<false>::entry_bytes(10), 11);
        assert_eq!(Packed::<true>::entry_bytes(10), 12);
        assert_eq!(Packed::<true>::new().heap_bytes(), 0);
    }

    #[test]
    fn a_sequence_is_split_and_joined_again() {
        let mut packed = Packed::<true>::new();
        for word in ["one", "two", "three", "four"] {
            packed.push_back(word.as_bytes());
        }
        let tail = packed.split_off(1);
        assert_eq!(strings(&packed), [b"one".to_vec()]);
        assert_eq!(tail.iter().next_back(), Some(&b"four"[..]));
        packed.append(&tail);
        assert_eq!(packed.slice(1..3).collect::<Vec<_>>(), [&b"two"[..], b"three"]);
        assert_eq!(packed.find(b"three", 2), Some(packed.offset_of(2)));
        assert_eq!(packed.find(b"two", 2), None);
    }

    #[derive(Debug, Clone)]
    enum Op {
        Insert(usize, Vec<u8>),
        Replace(usize, Vec<u8>),
        Remove(usize, usize),
    }

    fn op() -> impl Strategy<Value = Op> {
        let value = || prop::collection::vec(any::<u8>(), 0..300);
        prop_oneof![
            3 => (any::<usize>(), value()).prop_map(|(at, value)| Op::Insert(at, value)),
            1 => (any::<usize>(), value()).prop_map(|(at, value)| Op::Replace(at, value)),
            1 => (any::<usize>(), 1..4usize).prop_map(|(at, count)| Op::Remove(at, count)),
        ]
    }

    fn apply<const TWO_WAY: bool>(packed: &mut Packed<TWO_WAY>, model: &mut Vec<Vec<u8>>, op: Op) {
        match op {
            Op::Insert(at, value) => {
                let at = at % (model.len() + 1);
                packed.insert(packed.offset_of(at), &value);
                model.insert(at, value);
            }
            Op::Replace(at, value) if !model.is_empty() => {
                let at = at % model.len();
                packed.replace(packed.offset_of(at), &value);
                model[at] = value;
            }
            Op::Remove(at, count) if !model.is_empty() => {
                let at = at % model.len();
                let count = count.min(model.len() - at);
                packed.remove(packed.offset_of(at), count);
                model.drain(at..at + count);
            }
            _ => {}
        }
    }

    proptest! {
        #[test]
        fn behaves_like_a_vec_of_strings(ops in prop::collection::vec(op(), 0..60)) {
            let (mut one_way, mut two_way) = (Packed::<false>::new(), Packed::<true>::new());
            let (mut model, mut twin) = (Vec::new(), Vec::new());
            for op in ops {
                apply(&mut one_way, &mut model, op.clone());
                apply(&mut two_way, &mut twin, op);
                prop_assert_eq!(&strings(&one_way), &model);
                prop_assert_eq!(&strings(&two_way), &model);
                prop_assert_eq!(two_way.len(), model.len());
                let backwards: Vec<_> = two_way.iter().rev().map(<[u8]>::to_vec).collect();
                prop_assert_eq!(backwards, model.iter().rev().cloned().collect::<Vec<_>>());
            }
        }
    }
}
