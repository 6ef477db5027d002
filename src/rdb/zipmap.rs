//! The zipmap: how Redis before 2.6 packed small hashes.
//!
//! ```text
//! count:u8 (field value)* FF                    a count of 254 or more stands for "many"
//! field     length bytes
//! value     length free:u8 bytes free-bytes     what is free was left by a shorter value
//! length    n:u8, below 254 | FE n:u32          little-endian
//! ```
//!
//! Source: the opening comment of Redis' `zipmap.c`.

use std::borrow::Cow;

use super::input::Input;
use super::{RdbError, Result};

const END: u8 = 0xFF;
const LONG: u8 = 0xFE;

/// Fields and values in turn. The count is not looked at: the end tells as much.
pub fn elements(blob: &[u8]) -> Result<Elements<'_>> {
    let mut input = Input::new(blob);
    input.byte()?;
    Ok(Elements { input, is_value: false, ended: false })
}

/// Yields elements up to the end or the first error.
pub struct Elements<'a> {
    input: Input<'a>,
    is_value: bool,
    ended: bool,
}

impl<'a> Elements<'a> {
    fn read_next(&mut self) -> Result<Option<Cow<'a, [u8]>>> {
        let input = &mut self.input;
        let head = input.byte()?;
        if head == END && !self.is_value {
            return if input.is_empty() {
                Ok(None)
            } else {
                Err(RdbError::Malformed("bytes after a zipmap"))
            };
        }
        let len = length(input, head)?;
        let free = if self.is_value { usize::from(input.byte()?) } else { 0 };
        let element = input.take(len)?;
        input.take(free)?;
        self.is_value = !self.is_value;
        Ok(Some(Cow::Borrowed(element)))
    }
}

impl<'a> Iterator for Elements<'a> {
    type Item = Result<Cow<'a, [u8]>>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        let found = self.read_next().transpose();
        self.ended = !matches!(found, Some(Ok(_)));
        found
    }
}

fn length(input: &mut Input<'_>, head: u8) -> Result<usize> {
    match head {
        END => Err(RdbError::Malformed("a zipmap's length")),
        LONG => Ok(u32::from_le_bytes(input.array()?) as usize),
        short => Ok(usize::from(short)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(blob: &[u8]) -> Result<Vec<Vec<u8>>> {
        elements(blob)?.map(|element| element.map(Cow::into_owned)).collect()
    }

    #[test]
    fn fields_values_and_what_is_free_are_told_apart() {
        let blob = b"\x02\x03foo\x03\x00bar\x05hello\x02\x03hi...\xFF";
        assert_eq!(read(blob), Ok([&b"foo"[..], b"bar", b"hello", b"hi"].map(<[u8]>::to_vec).to_vec()));
        let long = [&b"\x01\xFE\x00\x01\x00\x00"[..], &[b'x'; 256], b"\x01\x00y\xFF"].concat();
        assert_eq!(read(&long).map(|elements| elements[0].len()), Ok(256));
        assert_eq!(read(&[0, 0xFF]), Ok(vec![]));
    }

    #[test]
    fn what_is_cut_short_or_too_long_is_refused() {
        let blob = b"\x01\x03foo\x03\x01bar.\xFF";
        for len in 0..blob.len() {
            assert!(read(&blob[..len]).is_err(), "{len} bytes");
        }
        assert!(read(&[&blob[..], &[0]].concat()).is_err());
        assert!(read(b"\x01\xFE\xFF\xFF\xFF\xFFx\xFF").is_err());
    }
}
