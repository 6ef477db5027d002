//! The ziplist: how Redis before 7 packed small collections.
//!
//! ```text
//! total_bytes:u32 last_entry:u32 count:u16 entry* FF       little-endian unless said otherwise
//! entry     prev_len head data
//! prev_len  n:u8, below 254 | FE n:u32                     the bytes of the entry before
//! 00nnnnnn bytes{n} | 01nnnnnn n:u8 bytes{n} | 10...... n:u32 (big-endian) bytes{n}
//! 11000000 i16 | 11010000 i32 | 11100000 i64 | 11110000 i24 | 11111110 i8
//! 1111nnnn                                                 the integer n - 1, n in 1..=13
//! ```
//!
//! Source: the opening comment of Redis' `ziplist.c`.

use std::borrow::Cow;

use super::input::Input;
use super::sequence::{Element, Sequence};
use super::string::integer_text;
use super::{RdbError, Result};
use crate::keyspace::types::listpack::signed_24;

const END: u8 = 0xFF;
const LONG_PREV_LEN: u8 = 0xFE;

/// The elements of a ziplist. Its count, like the lengths that lead backwards, is not looked at.
pub fn elements(blob: &[u8]) -> Result<Sequence<'_>> {
    let mut input = Input::new(blob);
    let total_bytes = u32::from_le_bytes(input.array()?);
    input.array::<6>()?;
    if total_bytes as usize != blob.len() {
        return Err(RdbError::Malformed("a ziplist's length"));
    }
    Ok(Sequence::new(input, read_next))
}

fn read_next<'a>(input: &mut Input<'a>) -> Result<Option<Element<'a>>> {
    match input.byte()? {
        END if input.is_empty() => return Ok(None),
        END => return Err(RdbError::Malformed("bytes behind a ziplist")),
        LONG_PREV_LEN => {
            input.array::<4>()?;
        }
        _ => {}
    }
    let head = input.byte()?;
    read_element(input, head).map(Some)
}

fn read_element<'a>(input: &mut Input<'a>, head: u8) -> Result<Element<'a>> {
    let integer = match head {
        0..0x40 => return input.take(usize::from(head)).map(Cow::Borrowed),
        0x40..0x80 => {
            let len = u16::from_be_bytes([head & 0x3F, input.byte()?]);
            return input.take(usize::from(len)).map(Cow::Borrowed);
        }
        0x80..0xC0 => {
            let len = u32::from_be_bytes(input.array()?);
            return input.take(len as usize).map(Cow::Borrowed);
        }
        0xC0 => i64::from(i16::from_le_bytes(input.array()?)),
        0xD0 => i64::from(i32::from_le_bytes(input.array()?)),
        0xE0 => i64::from_le_bytes(input.array()?),
        0xF0 => signed_24(input.array()?),
        0xFE => i64::from(i8::from_le_bytes(input.array()?)),
        0xF1..=0xFD => i64::from(head & 0x0F) - 1,
        _ => return Err(RdbError::Malformed("a ziplist's entry")),
    };
    Ok(integer_text(integer))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(blob: &[u8]) -> Result<Vec<String>> {
        let text = |element: Result<Element<'_>>| Ok(String::from_utf8_lossy(&element?).into_owned());
        elements(blob)?.map(text).collect()
    }

    fn ziplist(entries: &[&[u8]]) -> Vec<u8> {
        let body = entries.concat();
        let total = (body.len() + 11) as u32;
        [&total.to_le_bytes()[..], &[0; 4], &(entries.len() as u16).to_le_bytes(), &body, &[END]].concat()
    }

    #[test]
    fn every_form_of_entry_is_read() {
        let long = [&[3, 0x41, 0x00][..], &[b'x'; 256]].concat();
        let longer = [&[LONG_PREV_LEN, 2, 1, 0, 0, 0x80, 0, 0, 0x40, 0][..], &[b'y'; 0x4000]].concat();
        let blob = ziplist(&[
            &[0, 0x02, b'h', b'i'],
            &long,
            &longer,
            &[LONG_PREV_LEN, 5, 0x40, 0, 0, 0xC0, 0x00, 0x80],
            &[8, 0xD0, 0xFF, 0xFF, 0xFF, 0x7F],
            &[6, 0xE0, 0, 0, 0, 0, 0, 0, 0, 0x80],
            &[10, 0xF0, 0xFF, 0xFF, 0x7F],
            &[5, 0xFE, 0x80],
            &[3, 0xF1],
            &[2, 0xFD],
        ]);
        let read = read(&blob).expect("a ziplist");
        assert_eq!((read[0].as_str(), read[1].len(), read[2].len()), ("hi", 256, 0x4000));
        let integers = ["-32768", "2147483647", "-9223372036854775808", "8388607", "-128", "0", "12"];
        assert_eq!(read[3..], integers);
    }

    #[test]
    fn what_is_cut_short_or_too_long_is_refused() {
        let blob = ziplist(&[&[0, 0x02, b'h', b'i'], &[4, 0xF1]]);
        for len in 0..blob.len() {
            assert!(read(&blob[..len]).is_err(), "{len} bytes");
        }
        assert!(read(&[&blob[..], &[0]].concat()).is_err());
        assert!(read(&ziplist(&[&[0, 0xFF]])).is_err());
        assert!(read(&ziplist(&[&[0, 0xC1]])).is_err());
        assert!(read(&ziplist(&[&[0, 0x80, 0xFF, 0xFF, 0xFF, 0xFF]])).is_err());
        assert!(read(&ziplist(&[&[END]])).is_err());
    }
}
