//! Rows of bytes and words that clones share until one of them changes.
//!
//! - A clone costs one count. Whoever changes a shared row gets a copy of its own first; a row that nobody shares is
//!   changed in place.
//! - An allocation is a size class of jemalloc, the counts before the content included, so the allocator hands out
//!   nothing that is not used.
//! - How much of a row is in use is known to its owner; what lies behind that is unspecified.

use std::ops::Deref;
use std::sync::Arc;

use super::buffer::size_class;

/// What an `Arc` puts before its content.
pub(super) const COUNTS_BYTES: usize = 2 * size_of::<usize>();

/// A zeroed row with room for `len` elements, or a few more.
pub(super) fn row_with_room_for<T: Copy + Default>(len: usize) -> Arc<[T]> {
    std::iter::repeat_n(T::default(), room_for::<T>(len)).collect()
}

/// What a row with room for `len` elements allocates.
pub(super) fn allocation_bytes<T>(len: usize) -> usize {
    size_class(COUNTS_BYTES + len * size_of::<T>())
}

/// How many elements a row has that must have room for `len`.
fn room_for<T>(len: usize) -> usize {
    (allocation_bytes::<T>(len) - COUNTS_BYTES) / size_of::<T>()
}

/// Bytes that are shared.
#[derive(Debug, Clone, Default)]
pub(super) struct SharedBytes(Arc<[u8]>);

impl Deref for SharedBytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl SharedBytes {
    /// Zeroed bytes, at least so many.
    pub(super) fn with_room_for(bytes: usize) -> Self {
        SharedBytes(row_with_room_for(bytes))
    }

    /// Bytes allocated on the heap.
    pub(super) fn heap_bytes(&self) -> usize {
        COUNTS_BYTES + self.0.len()
    }

    pub(super) fn bytes_mut(&mut self) -> &mut [u8] {
        Arc::make_mut(&mut self.0)
    }

    /// Makes room for `bytes` in all, of which the first `used` are kept.
    pub(super) fn grow(&mut self, used: usize, bytes: usize) {
        let mut grown = Self::with_room_for(bytes);
        grown.bytes_mut()[..used].copy_from_slice(&self.0[..used]);
        *self = grown;
    }

    /// Replaces the `old` bytes at `at` by room for `new` bytes of unspecified content, and moves what follows.
    /// `used` is how much is in use before.
    pub(super) fn splice(&mut self, used: usize, at: usize, old: usize, new: usize) -> &mut [u8] {
        let now_used = used - old + new;
        if now_used > self.0.len() || allocation_bytes::<u8>(now_used) * 2 <= self.heap_bytes() {
            let mut resized = Self::with_room_for(now_used);
            let bytes = resized.bytes_mut();
            bytes[..at].copy_from_slice(&self.0[..at]);
            bytes[at + new..now_used].copy_from_slice(&self.0[at + old..used]);
            *self = resized;
            return self.bytes_mut();
        }
        let bytes = self.bytes_mut();
        bytes.copy_within(at + old..used, at + new);
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_and_its_counts_fill_a_size_class() {
        assert_eq!((room_for::<u8>(0), room_for::<u8>(1), room_for::<u8>(17)), (0, 16, 32));
        assert_eq!((room_for::<u8>(1000), room_for::<u16>(250)), (1008, 312));
        assert_eq!(SharedBytes::with_room_for(1000).heap_bytes(), 1024);
    }

    #[test]
    fn splice_moves_the_tail_and_gives_memory_back() {
        let mut shared = SharedBytes::with_room_for(6);
        shared.bytes_mut()[..6].copy_from_slice(b"abcdef");
        let bytes = shared.splice(6, 2, 2, 40);
        assert_eq!((&bytes[..2], &bytes[42..44], bytes.len()), (&b"ab"[..], &b"ef"[..], 48));
        let bytes = shared.splice(44, 2, 40, 0);
        assert_eq!((&bytes[..4], bytes.len()), (&b"abef"[..], 16));
    }

    #[test]
    fn a_clone_keeps_what_it_saw() {
        let mut shared = SharedBytes::with_room_for(16);
        shared.bytes_mut().copy_from_slice(b"0123456789abcdef");
        let clone = shared.clone();
        shared.splice(16, 3, 1, 0);
        shared.bytes_mut()[0] = b'x';
        assert_eq!((&clone[..], &shared[..15]), (&b"0123456789abcdef"[..], &b"x12456789abcdef"[..]));
        let clone = shared.clone();
        shared.grow(3, 100);
        shared.bytes_mut()[1] = b'y';
        assert_eq!((&clone[..3], &shared[..3], shared.len()), (&b"x12"[..], &b"xy2"[..], 112));
    }
}
