//! A growable byte buffer whose first byte lies on a 4 KiB boundary, as direct I/O wants it.
//!
//! - Made without unsafe code: a vector with one block to spare, used from its first aligned byte on.
//! - The vector never reallocates in place: growing makes a new one, so that the alignment holds.
//! - All of its space is initialised; `length` says how much of it is content.

const ALIGN_BYTES: usize = 4096;
/// What a buffer that grows gets on top: a large batch that is sealed, or moved to the next segment, stays where it is.
const SLACK_BYTES: usize = 128 << 10;

#[derive(Debug)]
pub struct AlignedBuf {
    space: Vec<u8>,
    start: usize,
    length: usize,
}

impl AlignedBuf {
    pub fn with_capacity(capacity: usize) -> AlignedBuf {
        let capacity = capacity.next_multiple_of(ALIGN_BYTES);
        let space = vec![0; capacity + ALIGN_BYTES];
        let start = space.as_ptr().align_offset(ALIGN_BYTES).min(ALIGN_BYTES);
        AlignedBuf { space, start, length: 0 }
    }

    pub fn zeroed(length: usize) -> AlignedBuf {
        let mut buffer = AlignedBuf::with_capacity(length);
        buffer.length = length;
        buffer
    }

    pub fn len(&self) -> usize {
        self.length
    }

    pub fn is_empty(&self) -> bool {
        self.length == 0
    }

    pub fn capacity(&self) -> usize {
        self.space.len() - ALIGN_BYTES
    }

    pub fn extend_from_slice(&mut self, bytes: &[u8]) {
        let end = self.length + bytes.len();
        self.reserve(end);
        let start = self.start + self.length;
        self.space[start..start + bytes.len()].copy_from_slice(bytes);
        self.length = end;
    }

    /// Cuts, or extends with zeros.
    pub fn resize(&mut self, length: usize) {
        if length > self.length {
            self.reserve(length);
            let range = self.start + self.length..self.start + length;
            self.space[range].fill(0);
        }
        self.length = length;
    }

    /// Moves `range` to the front and drops everything else.
    pub fn keep(&mut self, range: std::ops::Range<usize>) {
        let length = range.len();
        self.as_mut().copy_within(range, 0);
        self.length = length;
    }

    /// Puts `bytes` in place of the first `count`.
    pub fn replace_first(&mut self, count: usize, bytes: &[u8]) {
        let (old, kept) = (self.length, self.length - count);
        self.resize(old.max(bytes.len() + kept));
        self.as_mut().copy_within(count..old, bytes.len());
        self.as_mut()[..bytes.len()].copy_from_slice(bytes);
        self.length = bytes.len() + kept;
    }

    fn reserve(&mut self, length: usize) {
        if length <= self.capacity() {
            return;
        }
        let mut larger = AlignedBuf::with_capacity((length + SLACK_BYTES).max(2 * self.capacity()));
        larger.length = self.length;
        larger.as_mut().copy_from_slice(self.as_ref());
        *self = larger;
    }
}

impl AsRef<[u8]> for AlignedBuf {
    fn as_ref(&self) -> &[u8] {
        &self.space[self.start..self.start + self.length]
    }
}

impl AsMut<[u8]> for AlignedBuf {
    fn as_mut(&mut self) -> &mut [u8] {
        &mut self.space[self.start..self.start + self.length]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_aligned(buffer: &AlignedBuf) -> bool {
        (buffer.as_ref().as_ptr() as usize).is_multiple_of(ALIGN_BYTES)
    }

    #[test]
    fn growing_keeps_the_bytes_and_the_alignment() {
        let mut buffer = AlignedBuf::with_capacity(1);
        let mut model = Vec::new();
        for round in 0..200_u8 {
            let piece = vec![round; usize::from(round)];
            buffer.extend_from_slice(&piece);
            model.extend_from_slice(&piece);
            assert!(is_aligned(&buffer));
        }
        assert_eq!(buffer.as_ref(), model);
    }

    #[test]
    fn space_used_before_reads_as_zeros_again() {
        let mut buffer = AlignedBuf::with_capacity(64);
        buffer.extend_from_slice(&[7; 64]);
        buffer.resize(8);
        buffer.resize(16);
        assert_eq!(buffer.as_ref()[..8], [7; 8]);
        assert_eq!(buffer.as_ref()[8..], [0; 8]);
    }

    #[test]
    fn replace_first_moves_the_rest() {
        for (count, bytes) in [(2, &b"12345"[..]), (4, b"1"), (0, b"12"), (6, b"")] {
            let mut buffer = AlignedBuf::with_capacity(8);
            buffer.extend_from_slice(b"abcdef");
            buffer.replace_first(count, bytes);
            assert_eq!(buffer.as_ref(), [bytes, &b"abcdef"[count..]].concat());
        }
    }

    #[test]
    fn a_buffer_that_has_grown_has_room_for_a_little_more() {
        let mut buffer = AlignedBuf::with_capacity(8);
        buffer.extend_from_slice(&vec![7; 50 << 20]);
        let place = buffer.as_ref().as_ptr();
        buffer.replace_first(0, &[8; 70_000]);
        buffer.resize(buffer.len() + 8192);
        assert_eq!(buffer.as_ref().as_ptr(), place);
    }

    #[test]
    fn keep_moves_a_range_to_the_front() {
        let mut buffer = AlignedBuf::with_capacity(8);
        buffer.extend_from_slice(b"abcdef");
        buffer.keep(2..5);
        assert_eq!(buffer.as_ref(), b"cde");
    }
}
