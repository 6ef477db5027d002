//! Byte buffers that grow in the allocator's own steps.
//!
//! - A buffer's length is a size class of jemalloc (16-byte steps up to 128, then four per doubling), so the
//!   allocator hands out nothing that is not used, and growing a buffer to n bytes moves it O(log n) times.
//! - How much of a buffer is in use is known to its owner; the bytes behind that are unspecified.

pub(super) use crate::memory::size_class;

/// A zeroed buffer of the size class that holds `bytes`.
pub(super) fn with_room_for(bytes: usize) -> Box<[u8]> {
    vec![0; size_class(bytes)].into_boxed_slice()
}

/// Replaces the `old` bytes at `at` by room for `new` bytes of unspecified content, and moves what follows.
/// `used` is how much of the buffer is in use; the answer is how much is in use afterwards.
pub(super) fn splice(buffer: &mut Box<[u8]>, used: usize, at: usize, old: usize, new: usize) -> usize {
    let now_used = used - old + new;
    if now_used > buffer.len() {
        resize(buffer, size_class(now_used));
    }
    buffer.copy_within(at + old..used, at + new);
    if size_class(now_used) * 2 <= buffer.len() {
        resize(buffer, size_class(now_used));
    }
    now_used
}

fn resize(buffer: &mut Box<[u8]>, len: usize) {
    let mut bytes = std::mem::take(buffer).into_vec();
    bytes.reserve_exact(len.saturating_sub(bytes.len()));
    bytes.resize(len, 0);
    *buffer = bytes.into_boxed_slice();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn size_classes_are_those_of_jemalloc() {
        let classes: Vec<usize> =
            [0, 1, 16, 17, 128, 129, 160, 161, 256, 257, 320, 1025, 8192, 8193].map(size_class).to_vec();
        assert_eq!(classes, [0, 16, 16, 32, 128, 160, 160, 192, 256, 320, 320, 1280, 8192, 10240]);
    }

    #[test]
    fn splice_moves_the_tail_and_gives_memory_back() {
        let mut buffer = with_room_for(6);
        buffer[..6].copy_from_slice(b"abcdef");
        let used = splice(&mut buffer, 6, 2, 2, 40);
        assert_eq!((used, buffer.len()), (44, 48));
        assert_eq!((&buffer[..2], &buffer[42..44]), (&b"ab"[..], &b"ef"[..]));
        let used = splice(&mut buffer, used, 2, 40, 0);
        assert_eq!((&buffer[..used], buffer.len()), (&b"abef"[..], 16));
    }
}
