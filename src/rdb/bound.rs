//! How much a payload may become, told from its lengths alone: nothing is unpacked.
//!
//! A packed element takes two bytes at least, and no more than three times its bytes once it is text.

use super::input::Input;
use super::shape::{self, Holds, Passed, Walk};
use super::{RdbError, Result, checked, kind, stream};

/// More than the value of a payload has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bound {
    pub elements: u64,
    pub bytes: u64,
}

const LEAST_PACKED_BYTES: u64 = 2;
const MOST_TEXT_PER_PACKED_BYTE: u64 = 3;

/// What an element of a list takes beside its bytes, and one that is found by its name.
const LISTED_BYTES: u64 = 8;
const INDEXED_BYTES: u64 = 64;

/// The most that a payload becomes; where it is malformed, the most that it becomes until that is found out.
pub fn bound(payload: &[u8]) -> Bound {
    let Ok(body) = checked(payload) else { return Bound::default() };
    let mut counted = Counted { bound: Bound::default(), each: INDEXED_BYTES };
    // The reader reports what is malformed.
    let _ = counted.value(&mut Input::new(body));
    counted.bound
}

struct Counted {
    bound: Bound,
    /// Bytes that an element takes beside its own.
    each: u64,
}

impl Counted {
    /// Counts up to the end, or to what is malformed.
    fn value(&mut self, input: &mut Input<'_>) -> Result<()> {
        let kind = input.byte()?;
        if matches!(kind, kind::LIST | kind::LIST_ZIPLIST | kind::LIST_QUICKLIST | kind::LIST_QUICKLIST_2) {
            self.each = LISTED_BYTES;
        }
        let mut walk = Walk::new(shape::of(kind).ok_or(RdbError::UnknownType(kind))?);
        loop {
            match walk.step(input)? {
                Passed::String(Holds::Element, bytes) => self.add(1, bytes),
                Passed::String(Holds::Elements, bytes) => {
                    self.add(bytes / LEAST_PACKED_BYTES + 1, bytes.saturating_mul(MOST_TEXT_PER_PACKED_BYTE));
                }
                Passed::String(Holds::StreamNode, bytes) => self.add_node(bytes),
                Passed::Takes(bytes) => self.add(1, bytes),
                Passed::String(Holds::Nothing, _) | Passed::Count(_) | Passed::Other => {}
                Passed::End => return Ok(()),
            }
        }
    }

    /// A node of a stream stays packed.
    fn add_node(&mut self, bytes: u64) {
        let elements = bytes / LEAST_PACKED_BYTES + 1;
        self.bound.elements = self.bound.elements.saturating_add(elements);
        let memory = bytes.saturating_mul(2).saturating_add(stream::NODE_BYTES);
        self.bound.bytes = self.bound.bytes.saturating_add(memory);
    }

    fn add(&mut self, elements: u64, bytes: u64) {
        let all = bytes.saturating_add(elements.saturating_mul(self.each));
        self.bound.elements = self.bound.elements.saturating_add(elements);
        self.bound.bytes = self.bound.bytes.saturating_add(all);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keyspace::types::limits::TypeLimits;
    use crate::rdb::{Value, load, lzf, with_footer};

    /// A quicklist of one listpack that is compressed, its elements of two bytes each.
    fn small_payload_of_many(elements: usize) -> Vec<u8> {
        let mut listpack = ((elements * 2 + 7) as u32).to_le_bytes().to_vec();
        listpack.extend_from_slice(&u16::MAX.to_le_bytes());
        listpack.extend(std::iter::repeat_n([1, 1], elements).flatten());
        listpack.push(0xFF);
        let packed = lzf::compress(&listpack, listpack.len()).expect("it shrinks");
        let mut body = vec![kind::LIST_QUICKLIST_2, 1, 2, 0b1100_0011];
        super::super::string::write_length(&mut body, packed.len() as u64);
        super::super::string::write_length(&mut body, listpack.len() as u64);
        body.extend_from_slice(&packed);
        with_footer(&body, 11)
    }

    #[test]
    fn a_small_payload_of_many_elements_is_seen_through() {
        let payload = small_payload_of_many(100_000);
        assert!(payload.len() < 4000, "{} bytes", payload.len());
        let Ok(Value::Object(list)) = load(&payload, &TypeLimits::default()) else { panic!("a list") };
        assert_eq!(list.len(), 100_000);
        let bound = bound(&payload);
        assert!(bound.elements >= 100_000 && bound.elements < 110_000, "{bound:?}");
        assert!(bound.bytes as usize > list.memory_bytes(), "{bound:?}");
        assert!(bound.bytes < 2_000_000, "{bound:?}");
    }

    #[test]
    fn what_is_cut_short_is_counted_as_far_as_it_goes() {
        let body = [kind::SET, 0x80, 0xFF, 0xFF, 0xFF, 0xFF, 1, b'a', 2, b'b', b'c', 9];
        assert_eq!(bound(&with_footer(&body, 9)), Bound { elements: 2, bytes: 3 + 2 * INDEXED_BYTES });
        assert_eq!(bound(b"nothing"), Bound::default());
    }
}
