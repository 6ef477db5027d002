//! The listpack: how Redis 7 packs small collections.
//!
//! ```text
//! total_bytes:u32 count:u16 entry* FF            little-endian; a count of 65535 stands for "many"
//! entry     head data back_len                   back_len: the bytes of head and data, seven bits a byte
//! 0nnnnnnn                                       an integer of 7 bits
//! 10nnnnnn bytes{n}                              a string
//! 110nnnnn n:u8                                  a signed integer of 13 bits
//! 1110nnnn n:u8 bytes{n}                         a string
//! 11110000 n:u32 bytes{n}                        a string
//! 11110001 i16 | 11110010 i24 | 11110011 i32 | 11110100 i64
//! ```
//!
//! Source: <https://github.com/antirez/listpack/blob/master/listpack.md>.

use std::borrow::Cow;

use super::input::Input;
use super::sequence::{Element, Sequence};
use super::string::integer_text;
use super::{RdbError, Result};

const END: u8 = 0xFF;

/// The elements of a listpack. Its count is not looked at: the end tells as much.
pub fn elements(blob: &[u8]) -> Result<Sequence<'_>> {
    let mut input = Input::new(blob);
    let total_bytes = u32::from_le_bytes(input.array()?);
    input.array::<2>()?;
    if total_bytes as usize != blob.len() {
        return Err(RdbError::Malformed("a listpack's length"));
    }
    Ok(Sequence::new(input, read_next))
}

fn read_next<'a>(input: &mut Input<'a>) -> Result<Option<Element<'a>>> {
    let before = input.len();
    let element = match input.byte()? {
        END if input.is_empty() => return Ok(None),
        head => read_element(input, head)?,
    };
    input.take(back_len_bytes(before - input.len()))?;
    Ok(Some(element))
}

fn read_element<'a>(input: &mut Input<'a>, head: u8) -> Result<Element<'a>> {
    let integer = match head {
        0..0x80 => i64::from(head),
        0x80..0xC0 => return input.take(usize::from(head & 0x3F)).map(Cow::Borrowed),
        0xC0..0xE0 => signed_13(u16::from_be_bytes([head & 0x1F, input.byte()?])),
        0xE0..0xF0 => {
            let len = u16::from_be_bytes([head & 0x0F, input.byte()?]);
            return input.take(usize::from(len)).map(Cow::Borrowed);
        }
        0xF0 => {
            let len = u32::from_le_bytes(input.array()?);
            return input.take(len as usize).map(Cow::Borrowed);
        }
        0xF1 => i64::from(i16::from_le_bytes(input.array()?)),
        0xF2 => signed_24(input.array()?),
        0xF3 => i64::from(i32::from_le_bytes(input.array()?)),
        0xF4 => i64::from_le_bytes(input.array()?),
        _ => return Err(RdbError::Malformed("a listpack's entry")),
    };
    Ok(integer_text(integer))
}

fn signed_13(bits: u16) -> i64 {
    i64::from((bits << 3) as i16 >> 3)
}

/// A signed integer of three little-endian bytes.
pub fn signed_24([a, b, c]: [u8; 3]) -> i64 {
    i64::from(i32::from_le_bytes([0, a, b, c]) >> 8)
}

/// How many bytes the length of an entry takes behind it; the bounds are Redis' own.
fn back_len_bytes(entry_len: usize) -> usize {
    match entry_len {
        0..=127 => 1,
        128..16_383 => 2,
        16_383..2_097_151 => 3,
        2_097_151..268_435_455 => 4,
        _ => 5,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(blob: &[u8]) -> Result<Vec<String>> {
        let text = |element: Result<Element<'_>>| Ok(String::from_utf8_lossy(&element?).into_owned());
        elements(blob)?.map(text).collect()
    }

    fn listpack(entries: &[&[u8]]) -> Vec<u8> {
        let body = entries.concat();
        let total = (body.len() + 7) as u32;
        [&total.to_le_bytes()[..], &(entries.len() as u16).to_le_bytes(), &body, &[END]].concat()
    }

    #[test]
    fn every_form_of_entry_is_read() {
        let long = [&[0xE1, 0x00][..], &[b'x'; 256], &[0x82, 0x02]].concat();
        let longer = [&[0xF0, 0x00, 0x40, 0, 0][..], &[b'y'; 0x4000], &[0x01, 0x80, 0x85]].concat();
        let blob = listpack(&[
            &[0x7F, 1],
            &[0x82, b'h', b'i', 3],
            &[0x80, 1],
            &[0xDF, 0xFF, 2],
            &[0xCF, 0xFF, 2],
            &[0xD0, 0x00, 2],
            &long,
            &longer,
            &[0xF1, 0x00, 0x80, 3],
            &[0xF2, 0xFF, 0xFF, 0x7F, 4],
            &[0xF2, 0x00, 0x00, 0x80, 4],
            &[0xF3, 0xFF, 0xFF, 0xFF, 0x7F, 5],
            &[0xF4, 0, 0, 0, 0, 0, 0, 0, 0x80, 9],
        ]);
        let read = read(&blob).expect("a listpack");
        assert_eq!(read[..6], ["127", "hi", "", "-1", "4095", "-4096"]);
        assert_eq!((read[6].len(), read[7].len()), (256, 0x4000));
        assert_eq!(read[8..], ["-32768", "8388607", "-8388608", "2147483647", "-9223372036854775808"]);
    }

    #[test]
    fn what_is_cut_short_or_too_long_is_refused() {
        let blob = listpack(&[&[0x7F, 1], &[0x82, b'h', b'i', 3]]);
        for len in 0..blob.len() {
            assert!(read(&blob[..len]).is_err(), "{len} bytes");
        }
        assert!(read(&[&blob[..], &[0]].concat()).is_err());
        assert!(read(&listpack(&[&[0xF5, 1]])).is_err());
        assert!(read(&listpack(&[&[0xF0, 0xFF, 0xFF, 0xFF, 0xFF, b'x', 5]])).is_err());
        assert!(read(&listpack(&[&[END]])).is_err());
    }
}
