//! The listpack: how Redis 7 packs small collections. Its elements are those of `keyspace/types/listpack.rs`.
//!
//! ```text
//! total_bytes:u32 count:u16 entry* FF            little-endian; a count of 65535 stands for "many"
//! ```
//!
//! Source: <https://github.com/antirez/listpack/blob/master/listpack.md>.

use std::borrow::Cow;

use super::input::Input;
use super::sequence::{Element, Sequence};
use super::string::integer_text;
use super::{RdbError, Result};
use crate::keyspace::types::listpack::{END, StreamText, read};

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
    let rest = input.rest();
    if rest == [END] {
        return Ok(None);
    }
    let (element, len) = read(rest, 0).ok_or(RdbError::Malformed("a listpack's entry"))?;
    input.take(len)?;
    Ok(Some(match element {
        StreamText::Integer(value) => integer_text(value),
        StreamText::Text(text) => Cow::Borrowed(text),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_all(blob: &[u8]) -> Result<Vec<String>> {
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
        let read = read_all(&blob).expect("a listpack");
        assert_eq!(read[..6], ["127", "hi", "", "-1", "4095", "-4096"]);
        assert_eq!((read[6].len(), read[7].len()), (256, 0x4000));
        assert_eq!(read[8..], ["-32768", "8388607", "-8388608", "2147483647", "-9223372036854775808"]);
    }

    #[test]
    fn what_is_cut_short_or_too_long_is_refused() {
        let blob = listpack(&[&[0x7F, 1], &[0x82, b'h', b'i', 3]]);
        for len in 0..blob.len() {
            assert!(read_all(&blob[..len]).is_err(), "{len} bytes");
        }
        assert!(read_all(&[&blob[..], &[0]].concat()).is_err());
        assert!(read_all(&listpack(&[&[0xF5, 1]])).is_err());
        assert!(read_all(&listpack(&[&[0xF0, 0xFF, 0xFF, 0xFF, 0xFF, b'x', 5]])).is_err());
        assert!(read_all(&listpack(&[&[END]])).is_err());
    }
}
