//! Lengths and strings.
//!
//! ```text
//! 00nnnnnn                    a length of 6 bits
//! 01nnnnnn nnnnnnnn           of 14 bits, big-endian as the next two
//! 10000000 n{4}               of 32 bits
//! 10000001 n{8}               of 64 bits
//! 11000000 i8 | 11000001 i16 | 11000010 i32                        a string: this integer as text
//! 11000011 packed:length len:length bytes{packed}                  a string: these bytes, unpacked by LZF
//! ```

use std::borrow::Cow;

use super::input::Input;
use super::lzf;
use super::{MAX_STRING_BYTES, RdbError, Result};
use crate::protocol::number::parse_integer;

const BITS_14: u8 = 0b0100_0000;
const BITS_32: u8 = 0b1000_0000;
const BITS_64: u8 = 0b1000_0001;
const SPECIAL: u8 = 0b1100_0000;

const INT_8: u8 = SPECIAL;
const INT_16: u8 = SPECIAL | 1;
const INT_32: u8 = SPECIAL | 2;
const LZF: u8 = SPECIAL | 3;

/// Shorter strings are not worth compressing; nor is what shrinks by less than [`MIN_GAIN_BYTES`].
const MIN_PACKED_BYTES: usize = 21;
const MIN_GAIN_BYTES: usize = 4;

/// Reading.
impl<'a> Input<'a> {
    /// A length or a count.
    pub fn length(&mut self) -> Result<u64> {
        let head = self.byte()?;
        self.length_after(head)
    }

    fn length_after(&mut self, head: u8) -> Result<u64> {
        match (head & SPECIAL, head) {
            (0, _) => Ok(u64::from(head)),
            (BITS_14, _) => Ok(u64::from(u16::from_be_bytes([head & !SPECIAL, self.byte()?]))),
            (_, BITS_32) => Ok(u64::from(u32::from_be_bytes(self.array()?))),
            (_, BITS_64) => Ok(u64::from_be_bytes(self.array()?)),
            _ => Err(RdbError::Malformed("a length")),
        }
    }

    pub fn string(&mut self) -> Result<Cow<'a, [u8]>> {
        match self.byte()? {
            INT_8 => Ok(integer_text(i8::from_le_bytes(self.array()?).into())),
            INT_16 => Ok(integer_text(i16::from_le_bytes(self.array()?).into())),
            INT_32 => Ok(integer_text(i32::from_le_bytes(self.array()?).into())),
            LZF => self.packed_string().map(Cow::Owned),
            head => {
                let len = string_len(self.length_after(head)?)?;
                self.take(len).map(Cow::Borrowed)
            }
        }
    }

    /// Passes over a string; returns how many bytes it has when it is unpacked, or more where it is an integer.
    pub fn skip_string(&mut self) -> Result<u64> {
        const LONGEST_INTEGER: u64 = 11;
        let skipped = match self.byte()? {
            INT_8 => self.take(1),
            INT_16 => self.take(2),
            INT_32 => self.take(4),
            LZF => {
                let packed_len = string_len(self.length()?)?;
                let len = string_len(self.length()?)?;
                self.spend(len)?;
                return self.take(packed_len).map(|_| len as u64);
            }
            head => {
                let len = string_len(self.length_after(head)?)?;
                return self.take(len).map(|_| len as u64);
            }
        };
        skipped.map(|_| LONGEST_INTEGER)
    }

    fn packed_string(&mut self) -> Result<Vec<u8>> {
        let packed_len = string_len(self.length()?)?;
        let len = string_len(self.length()?)?;
        let packed = self.take(packed_len)?;
        self.spend(len)?;
        lzf::decompress(packed, len).ok_or(RdbError::Malformed("compressed bytes"))
    }
}

fn string_len(len: u64) -> Result<usize> {
    let len = usize::try_from(len).ok().filter(|len| *len <= MAX_STRING_BYTES);
    len.ok_or(RdbError::Malformed("a string's length"))
}

/// An integer as the string that it stands for.
pub fn integer_text(value: i64) -> Cow<'static, [u8]> {
    Cow::Owned(itoa::Buffer::new().format(value).as_bytes().to_vec())
}

pub fn write_length(out: &mut Vec<u8>, len: u64) {
    match len {
        0..0x40 => out.push(len as u8),
        0x40..0x4000 => out.extend_from_slice(&(len as u16 | u16::from(BITS_14) << 8).to_be_bytes()),
        0x4000..=0xFFFF_FFFF => {
            out.push(BITS_32);
            out.extend_from_slice(&(len as u32).to_be_bytes());
        }
        _ => {
            out.push(BITS_64);
            out.extend_from_slice(&len.to_be_bytes());
        }
    }
}

/// Writes a string in the form that Redis chooses: as an integer, compressed, or as it is.
pub fn write_string(out: &mut Vec<u8>, text: &[u8]) {
    if let Some(value) = parse_integer(text).and_then(|value| i32::try_from(value).ok()) {
        return write_integer(out, value);
    }
    if let Some(packed) = compress(text) {
        out.push(LZF);
        write_length(out, packed.len() as u64);
        write_length(out, text.len() as u64);
        out.extend_from_slice(&packed);
        return;
    }
    write_length(out, text.len() as u64);
    out.extend_from_slice(text);
}

fn write_integer(out: &mut Vec<u8>, value: i32) {
    if let Ok(value) = i8::try_from(value) {
        out.push(INT_8);
        out.extend_from_slice(&value.to_le_bytes());
    } else if let Ok(value) = i16::try_from(value) {
        out.push(INT_16);
        out.extend_from_slice(&value.to_le_bytes());
    } else {
        out.push(INT_32);
        out.extend_from_slice(&value.to_le_bytes());
    }
}

fn compress(text: &[u8]) -> Option<Vec<u8>> {
    (text.len() >= MIN_PACKED_BYTES).then(|| lzf::compress(text, text.len() - MIN_GAIN_BYTES))?
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(text: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        write_string(&mut out, text);
        out
    }

    #[test]
    fn lengths_take_as_few_bytes_as_they_need() {
        let cases: [(u64, &[u8]); 8] = [
            (0, &[0]),
            (63, &[63]),
            (64, &[0x40, 64]),
            (16383, &[0x7F, 0xFF]),
            (16384, &[0x80, 0, 0, 0x40, 0]),
            (u64::from(u32::MAX), &[0x80, 0xFF, 0xFF, 0xFF, 0xFF]),
            (1 << 32, &[0x81, 0, 0, 0, 1, 0, 0, 0, 0]),
            (u64::MAX, &[0x81, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF]),
        ];
        for (len, bytes) in cases {
            let mut out = Vec::new();
            write_length(&mut out, len);
            assert_eq!(out, bytes, "{len}");
            assert_eq!(Input::new(bytes).length(), Ok(len));
        }
    }

    #[test]
    fn integers_are_written_as_such_where_they_read_back_the_same() {
        assert_eq!(written(b"10"), [0xC0, 10]);
        assert_eq!(written(b"-129"), [0xC1, 0x7F, 0xFF]);
        assert_eq!(written(b"100000"), [0xC2, 0xA0, 0x86, 1, 0]);
        assert_eq!(written(b"010"), *b"\x03010");
        assert_eq!(written(b"2147483648"), *b"\x0A2147483648");
        for text in ["0", "-128", "127", "128", "-32768", "32768", "-2147483648", "2147483647", "-0", "1.5"] {
            let bytes = written(text.as_bytes());
            assert_eq!(Input::new(&bytes).string().as_deref(), Ok(text.as_bytes()));
        }
    }

    #[test]
    fn what_repeats_is_compressed() {
        let text = b"abc".repeat(100);
        let bytes = written(&text);
        assert!(bytes.len() < 20, "{} bytes", bytes.len());
        assert_eq!(Input::new(&bytes).string().as_deref(), Ok(&*text));
    }

    #[test]
    fn a_length_beyond_the_bytes_is_refused_before_anything_is_made_ready_for_it() {
        let cases: [&[u8]; 6] = [
            &[],
            &[0x05, b'a'],
            &[0x80, 0x20, 0, 0, 0, b'a'],
            &[0x81, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, b'a'],
            &[0xC3, 0x01, 0x80, 0x10, 0, 0, 0, 0],
            &[0xC4],
        ];
        for bytes in cases {
            assert!(Input::new(bytes).string().is_err(), "{bytes:?}");
        }
    }
}
