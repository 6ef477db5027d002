//! How much a payload may become, told from its lengths alone: nothing is unpacked.
//!
//! A packed element takes two bytes at least, and no more than three times its bytes once it is text.

use super::input::Input;
use super::{Result, checked, kind, stream};

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
    let mut counted = Counted { input: Input::new(body), bound: Bound::default(), each: INDEXED_BYTES };
    // What is malformed is told by who reads it.
    let _ = counted.value();
    counted.bound
}

struct Counted<'a> {
    input: Input<'a>,
    bound: Bound,
    /// Bytes that an element takes beside its own.
    each: u64,
}

impl Counted<'_> {
    fn value(&mut self) -> Result<()> {
        let kind = self.input.byte()?;
        if matches!(kind, kind::LIST | kind::LIST_ZIPLIST | kind::LIST_QUICKLIST | kind::LIST_QUICKLIST_2) {
            self.each = LISTED_BYTES;
        }
        match kind {
            kind::STRING => self.string(),
            kind::LIST | kind::SET => self.counted(Self::string),
            kind::HASH => self.counted(|one| one.string().and_then(|()| one.string())),
            kind::ZSET => self.counted(|one| one.string().and_then(|()| one.text_score())),
            kind::ZSET_2 => self.counted(|one| one.string().and_then(|()| one.skip::<8>())),
            kind::LIST_QUICKLIST => self.counted(Self::packed),
            kind::LIST_QUICKLIST_2 => self.counted(|one| one.input.length().and_then(|_| one.packed())),
            kind::HASH_METADATA => {
                self.skip::<8>()?;
                self.counted(|one| {
                    one.input.length()?;
                    one.string().and_then(|()| one.string())
                })
            }
            kind::STREAM | kind::STREAM_2 | kind::STREAM_3 => self.stream(kind),
            kind::HASH_LISTPACK_EX => self.skip::<8>().and_then(|()| self.packed()),
            _ => self.packed(),
        }
    }

    /// Nodes, then groups. Each id that is pending stands there twice, and takes more than it does in the payload.
    fn stream(&mut self, kind: u8) -> Result<()> {
        self.counted(|one| {
            one.input.skip_string()?;
            let bytes = one.input.skip_string()?;
            let elements = bytes / LEAST_PACKED_BYTES + 1;
            one.bound.elements = one.bound.elements.saturating_add(elements);
            one.bound.bytes = one.bound.bytes.saturating_add(bytes.saturating_mul(2) + stream::NODE_BYTES);
            Ok(())
        })?;
        for _ in 0..stream::counters(kind) {
            self.input.length()?;
        }
        self.counted(|one| {
            one.string()?;
            for _ in 0..stream::group_counters(kind) {
                one.input.length()?;
            }
            one.counted(|one| {
                one.add(1, stream::PENDING_BYTES);
                one.input.take(16 + 8)?;
                one.input.length().map(drop)
            })?;
            one.counted(|one| {
                one.string()?;
                one.add(1, stream::CONSUMER_BYTES);
                one.input.take(8 * stream::consumer_times(kind))?;
                one.counted(|one| one.input.take(16).map(drop))
            })
        })
    }

    /// A count, and as many of what `read` reads.
    fn counted(&mut self, read: impl Fn(&mut Self) -> Result<()>) -> Result<()> {
        (0..self.input.length()?).try_for_each(|_| read(self))
    }

    fn string(&mut self) -> Result<()> {
        let bytes = self.input.skip_string()?;
        self.add(1, bytes);
        Ok(())
    }

    /// A string that holds elements, or one large element.
    fn packed(&mut self) -> Result<()> {
        let bytes = self.input.skip_string()?;
        self.add(bytes / LEAST_PACKED_BYTES + 1, bytes.saturating_mul(MOST_TEXT_PER_PACKED_BYTE));
        Ok(())
    }

    fn text_score(&mut self) -> Result<()> {
        let len = self.input.byte()?;
        // The three longest lengths stand for scores without digits.
        self.input.take(if len < 253 { usize::from(len) } else { 0 }).map(drop)
    }

    fn skip<const N: usize>(&mut self) -> Result<()> {
        self.input.array::<N>().map(drop)
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
