//! Bytes that are read from the front, never beyond their end.

use super::{MAX_UNPACKED_BYTES, RdbError, Result};

/// See the module.
#[derive(Clone, Debug)]
pub struct Input<'a> {
    rest: &'a [u8],
    /// How many bytes compressed strings may still unpack to.
    unpackable: usize,
}

impl<'a> Input<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        Input { rest: bytes, unpackable: MAX_UNPACKED_BYTES }
    }

    /// The same, where compressed strings may unpack to so many bytes in all.
    pub fn unpacking(bytes: &'a [u8], most: usize) -> Self {
        Input { rest: bytes, unpackable: most }
    }

    pub fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    pub fn len(&self) -> usize {
        self.rest.len()
    }

    pub fn rest(&self) -> &'a [u8] {
        self.rest
    }

    pub fn take(&mut self, len: usize) -> Result<&'a [u8]> {
        let (taken, rest) = self.rest.split_at_checked(len).ok_or(RdbError::Truncated)?;
        self.rest = rest;
        Ok(taken)
    }

    /// As many bytes as an array has, for a number.
    pub fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        let (taken, rest) = self.rest.split_first_chunk::<N>().ok_or(RdbError::Truncated)?;
        self.rest = rest;
        Ok(*taken)
    }

    pub fn byte(&mut self) -> Result<u8> {
        self.array::<1>().map(|[byte]| byte)
    }

    /// Says that a string of `len` bytes is about to be unpacked.
    pub fn spend(&mut self, len: usize) -> Result<()> {
        let left = self.unpackable.checked_sub(len);
        self.unpackable = left.ok_or(RdbError::Malformed("too much when unpacked"))?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_read_beyond_the_end_and_a_failed_read_takes_nothing() {
        let mut input = Input::new(b"abc");
        assert_eq!(input.byte(), Ok(b'a'));
        assert_eq!(input.array::<3>(), Err(RdbError::Truncated));
        assert_eq!(input.take(3), Err(RdbError::Truncated));
        assert_eq!(input.take(2), Ok(&b"bc"[..]));
        assert!(input.is_empty());
        assert_eq!(input.byte(), Err(RdbError::Truncated));
    }

    #[test]
    fn compressed_strings_unpack_to_so_much_in_all() {
        let mut input = Input::new(b"");
        assert_eq!(input.spend(MAX_UNPACKED_BYTES - 1), Ok(()));
        assert_eq!(input.spend(1), Ok(()));
        assert!(input.spend(1).is_err());
    }
}
