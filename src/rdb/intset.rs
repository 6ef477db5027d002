//! The intset: a sorted array of integers, all of one width.
//!
//! ```text
//! width:u32 (2, 4 or 8 bytes) count:u32 integer*           little-endian
//! ```

use super::input::Input;
use super::sequence::{Element, ReadNext, Sequence};
use super::string::integer_text;
use super::{RdbError, Result};

/// The members, in the order in which they lie there.
pub fn elements(blob: &[u8]) -> Result<Sequence<'_>> {
    let mut input = Input::new(blob);
    let width = u32::from_le_bytes(input.array()?);
    let count = u32::from_le_bytes(input.array()?);
    let read_next: ReadNext<'_> = match width {
        2 => |input| read(input, |bytes| i16::from_le_bytes(bytes).into()),
        4 => |input| read(input, |bytes| i32::from_le_bytes(bytes).into()),
        8 => |input| read(input, i64::from_le_bytes),
        _ => return Err(RdbError::Malformed("an intset's width")),
    };
    if u64::from(width) * u64::from(count) != input.len() as u64 {
        return Err(RdbError::Malformed("an intset's length"));
    }
    Ok(Sequence::new(input, read_next))
}

fn read<'a, const N: usize>(
    input: &mut Input<'a>,
    integer: fn([u8; N]) -> i64,
) -> Result<Option<Element<'a>>> {
    if input.is_empty() {
        return Ok(None);
    }
    Ok(Some(integer_text(integer(input.array()?))))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_all(blob: &[u8]) -> Result<Vec<Vec<u8>>> {
        elements(blob)?.map(|element| element.map(|element| element.into_owned())).collect()
    }

    #[test]
    fn each_width_is_read() {
        let members = |texts: &[&str]| Ok(texts.iter().map(|text| text.as_bytes().to_vec()).collect());
        assert_eq!(read_all(&[2, 0, 0, 0, 2, 0, 0, 0, 0xFF, 0xFF, 1, 0]), members(&["-1", "1"]));
        assert_eq!(read_all(&[4, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0x80]), members(&["-2147483648"]));
        let widest = [8, 0, 0, 0, 1, 0, 0, 0, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x7F];
        assert_eq!(read_all(&widest), members(&["9223372036854775807"]));
    }

    #[test]
    fn a_length_that_does_not_fit_is_refused() {
        assert!(read_all(&[2, 0, 0, 0, 2, 0, 0, 0, 0xFF, 0xFF]).is_err());
        assert!(read_all(&[2, 0, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF]).is_err());
        assert!(read_all(&[3, 0, 0, 0, 1, 0, 0, 0, 1, 2, 3]).is_err());
        assert!(read_all(&[8, 0, 0, 0, 0xFF, 0xFF, 0xFF, 0xFF]).is_err());
        assert!(read_all(&[2, 0, 0]).is_err());
    }
}
