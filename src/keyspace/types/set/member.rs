//! A member of a set as bytes, whether it lies there as bytes or as an integer.

use std::ops::Deref;

/// Digits of the longest i64, with its sign.
const MAX_DIGITS: usize = 20;

/// The bytes of a member: borrowed from the set, or the digits of an integer.
#[derive(Clone, Copy)]
pub struct Member<'a>(Bytes<'a>);

#[derive(Clone, Copy)]
enum Bytes<'a> {
    Borrowed(&'a [u8]),
    Digits { digits: [u8; MAX_DIGITS], len: u8 },
}

impl<'a> Member<'a> {
    pub(super) fn borrowed(bytes: &'a [u8]) -> Self {
        Member(Bytes::Borrowed(bytes))
    }

    pub(super) fn integer(value: i64) -> Self {
        let mut buffer = itoa::Buffer::new();
        let text = buffer.format(value).as_bytes();
        let mut digits = [0; MAX_DIGITS];
        digits[..text.len()].copy_from_slice(text);
        let len = text.len() as u8;
        Member(Bytes::Digits { digits, len })
    }
}

impl Deref for Member<'_> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match &self.0 {
            Bytes::Borrowed(bytes) => bytes,
            Bytes::Digits { digits, len } => &digits[..*len as usize],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_become_their_digits() {
        assert_eq!(&*Member::integer(i64::MIN), b"-9223372036854775808");
        assert_eq!(&*Member::integer(0), b"0");
        assert_eq!(&*Member::borrowed(b"abc"), b"abc");
    }
}
