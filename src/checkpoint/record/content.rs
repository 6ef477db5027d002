//! Content that is read from the front, chunk by chunk, never beyond its end.
//!
//! At most one chunk and one element that spans chunks are held at a time.

use std::borrow::Cow;

use super::Fault;

/// Room that is kept for elements that span chunks; what a longer one needed is given back with the next.
const JOINED_BYTES: usize = 1 << 20;

/// Most bytes of a number of seven bits a byte.
const VARINT_BYTES: u32 = 10;

/// Where content comes from.
pub trait Chunks<'a, E>: Iterator<Item = Result<Cow<'a, [u8]>, E>> {}

impl<'a, E, I: Iterator<Item = Result<Cow<'a, [u8]>, E>>> Chunks<'a, E> for I {}

/// Content that lies together.
pub fn whole<'a, E>(bytes: &'a [u8]) -> impl Chunks<'a, E> {
    std::iter::once(Ok(Cow::Borrowed(bytes)))
}

/// Chunks, read as one sequence of bytes.
pub struct Content<'c, 'a, E> {
    chunks: &'c mut dyn Chunks<'a, E>,
    chunk: Cow<'a, [u8]>,
    at: usize,
    joined: Vec<u8>,
}

impl<'c, 'a, E: From<Fault>> Content<'c, 'a, E> {
    pub fn new(chunks: &'c mut dyn Chunks<'a, E>) -> Self {
        Content { chunks, chunk: Cow::Borrowed(&[]), at: 0, joined: Vec::new() }
    }

    /// The next `len` bytes. They are gathered as they come: a length that lies allocates nothing.
    pub fn take(&mut self, len: usize) -> Result<&[u8], E> {
        let from = self.at;
        if self.chunk.len() - from >= len {
            self.at += len;
            return Ok(&self.chunk[from..from + len]);
        }
        let mut joined = std::mem::take(&mut self.joined);
        joined.clear();
        joined.shrink_to(JOINED_BYTES);
        while joined.len() < len {
            joined.extend_from_slice(self.some(len - joined.len())?);
        }
        self.joined = joined;
        Ok(&self.joined)
    }

    /// Fills `out` with the next bytes.
    pub fn fill(&mut self, out: &mut [u8]) -> Result<(), E> {
        let mut filled = 0;
        while filled < out.len() {
            let some = self.some(out.len() - filled)?;
            out[filled..filled + some.len()].copy_from_slice(some);
            filled += some.len();
        }
        Ok(())
    }

    /// As many bytes as an array has, for a number.
    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], E> {
        let mut array = [0; N];
        self.fill(&mut array)?;
        Ok(array)
    }

    /// A number of seven bits a byte, least significant first.
    pub fn varint(&mut self) -> Result<u64, E> {
        let mut value = 0u64;
        for place in 0..VARINT_BYTES {
            let [byte] = self.array()?;
            let bits = u64::from(byte & 0x7F);
            if bits.leading_zeros() < 7 * place {
                return Err(Fault::Length { found: u64::MAX }.into());
            }
            value |= bits << (7 * place);
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(Fault::Length { found: u64::MAX }.into())
    }

    /// A length and so many bytes.
    pub fn element(&mut self) -> Result<&[u8], E> {
        let len = self.varint()?;
        let len = usize::try_from(len).map_err(|_| Fault::Length { found: len })?;
        self.take(len)
    }

    /// Checks that all was read.
    pub fn end(self) -> Result<(), E> {
        let mut left = self.chunk.len() - self.at;
        if let Some(chunk) = self.chunks.next() {
            left += chunk?.len();
        }
        if left == 0 { Ok(()) } else { Err(Fault::Trailing { found: left }.into()) }
    }

    /// At least one of the next `most` bytes (at least one), as many as lie together.
    fn some(&mut self, most: usize) -> Result<&[u8], E> {
        while self.at == self.chunk.len() {
            self.chunk = self.chunks.next().ok_or(Fault::Truncated)??;
            self.at = 0;
        }
        let from = self.at;
        self.at += most.min(self.chunk.len() - from);
        Ok(&self.chunk[from..self.at])
    }
}

/// Appends a number as [`Content::varint`] reads it.
pub fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chunks<'a>(chunks: &'a [&'a [u8]]) -> impl Chunks<'a, Fault> {
        chunks.iter().map(|chunk| Ok(Cow::Borrowed(*chunk)))
    }

    #[test]
    fn elements_are_read_across_chunks_and_nothing_beyond_the_end() -> Result<(), Fault> {
        let bytes: [&[u8]; 5] = [b"\x03ab", b"", b"c\x0512", b"345", b"\x00\x01z"];
        let mut whole = chunks(&bytes);
        let mut read = Content::new(&mut whole);
        assert_eq!(read.element()?, b"abc");
        assert_eq!(read.element()?, b"12345");
        assert_eq!(read.element()?, b"");
        assert_eq!(read.element()?, b"z");
        assert_eq!(read.element(), Err(Fault::Truncated));
        let mut whole = chunks(&bytes);
        let mut partly = Content::new(&mut whole);
        partly.element()?;
        assert!(matches!(partly.end(), Err(Fault::Trailing { .. })));
        Ok(())
    }

    #[test]
    fn numbers_of_every_length_read_back_and_longer_ones_are_refused() -> Result<(), Fault> {
        let numbers = [0, 1, 127, 128, 16_383, 16_384, u64::from(u32::MAX), u64::MAX - 1, u64::MAX];
        let mut bytes = Vec::new();
        numbers.iter().for_each(|number| put_varint(&mut bytes, *number));
        let pieces: Vec<&[u8]> = bytes.chunks(3).collect();
        let mut whole = chunks(&pieces);
        let mut read = Content::new(&mut whole);
        for number in numbers {
            assert_eq!(read.varint()?, number);
        }
        read.end()?;
        assert!(Content::new(&mut chunks(&[&[0xFF; 9], &[0x02]])).varint().is_err());
        assert!(Content::new(&mut chunks(&[&[0x80; 11]])).varint().is_err());
        Ok(())
    }

    #[test]
    fn a_length_that_lies_costs_nothing() {
        let mut bytes = Vec::new();
        put_varint(&mut bytes, u64::MAX);
        bytes.extend(b"few");
        assert_eq!(Content::new(&mut chunks(&[&bytes])).element(), Err(Fault::Truncated));
    }
}
