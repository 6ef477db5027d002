//! Lengths as LEB128 varints: seven bits a byte, least significant first, the top bit says that more follow.
//!
//! - Lengths stay below 2^32 (a bulk string has at most 512 MB), so a varint has at most five bytes.
//! - A reversed varint lies mirrored in memory, so that it can be read from its end.

/// How many bytes the varint of `value` takes.
pub(super) fn len(value: usize) -> usize {
    match value {
        0..0x80 => 1,
        _ => (value.ilog2() as usize) / 7 + 1,
    }
}

/// Writes `value` to the front of `to`; returns how many bytes that took.
pub(super) fn write(to: &mut [u8], mut value: usize) -> usize {
    let bytes = len(value);
    for byte in &mut to[..bytes - 1] {
        *byte = value as u8 | 0x80;
        value >>= 7;
    }
    to[bytes - 1] = value as u8;
    bytes
}

/// Reads the varint at the front of `from`: its value and how many bytes it takes.
pub(super) fn read(from: &[u8]) -> (usize, usize) {
    if from[0] < 0x80 {
        return (from[0] as usize, 1);
    }
    decode(from.iter())
}

/// Writes `value` mirrored to the front of `to`.
pub(super) fn write_reversed(to: &mut [u8], value: usize) {
    let bytes = write(to, value);
    to[..bytes].reverse();
}

/// Reads the mirrored varint at the end of `from`: its value and how many bytes it takes.
pub(super) fn read_reversed(from: &[u8]) -> (usize, usize) {
    decode(from.iter().rev())
}

fn decode<'a>(bytes: impl Iterator<Item = &'a u8>) -> (usize, usize) {
    let mut value = 0;
    let mut read = 0;
    for byte in bytes {
        value |= ((byte & 0x7f) as usize) << (7 * read);
        read += 1;
        if *byte < 0x80 {
            break;
        }
    }
    (value, read)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_length_reads_back_both_ways() {
        for value in [0, 1, 127, 128, 16_383, 16_384, 2_097_151, 2_097_152, u32::MAX as usize] {
            let mut bytes = [0; 5];
            assert_eq!(write(&mut bytes, value), len(value));
            assert_eq!(read(&bytes), (value, len(value)));
            write_reversed(&mut bytes, value);
            assert_eq!(read_reversed(&bytes[..len(value)]), (value, len(value)));
        }
    }
}
