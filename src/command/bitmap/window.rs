//! Reads and writes a few bits at any place of a string, counts bits, and finds the first of a kind.

use std::ops::RangeInclusive;

/// Bytes that 64 bits at any place touch.
const WINDOW: usize = 9;

/// The bytes from a place on, as many as there are of [`WINDOW`], at the upper end of a word.
fn window(bytes: &[u8], first: usize) -> u128 {
    let mut word = [0; 16];
    let there = bytes.get(first..).unwrap_or_default();
    let there = &there[..there.len().min(WINDOW)];
    word[..there.len()].copy_from_slice(there);
    u128::from_be_bytes(word)
}

/// `width` bits (1 to 64) from bit `offset` on, as an unsigned number.
pub fn read(bytes: &[u8], offset: u64, width: u32) -> u64 {
    debug_assert!((1..=64).contains(&width), "a field has 1 to 64 bits");
    let first = usize::try_from(offset / 8).unwrap_or(usize::MAX);
    (window(bytes, first) << (offset % 8) >> (128 - width)) as u64
}

/// Overwrites `width` bits (1 to 64) from bit `offset` on with the lowest of `value`. All of them are within `bytes`.
pub fn write(bytes: &mut [u8], offset: u64, width: u32, value: u64) {
    debug_assert!(offset + u64::from(width) <= bytes.len() as u64 * 8, "the field is within the string");
    let first = (offset / 8) as usize;
    let shift = 128 - width - (offset % 8) as u32;
    let mask = (u128::MAX >> (128 - width)) << shift;
    let word = window(bytes, first) & !mask | u128::from(value) << shift & mask;
    let there = &mut bytes[first..];
    let touched = there.len().min(WINDOW);
    there[..touched].copy_from_slice(&word.to_be_bytes()[..touched]);
}

/// The bits of a range within its first and its last byte.
fn edges(bits: &RangeInclusive<u64>) -> (u8, u8) {
    (0xff >> (bits.start() % 8), !(0x7f >> (bits.end() % 8)))
}

/// How many bits of a range are 1. The range is not empty and within the string.
pub fn count(bytes: &[u8], bits: RangeInclusive<u64>) -> u64 {
    let (first_mask, last_mask) = edges(&bits);
    let bytes = &bytes[(bits.start() / 8) as usize..=(bits.end() / 8) as usize];
    let outside = |byte: Option<&u8>, mask: u8| byte.map_or(0, |byte| (byte & !mask).count_ones());
    let all = ones(bytes);
    all - u64::from(outside(bytes.first(), first_mask)) - u64::from(outside(bytes.last(), last_mask))
}

fn ones(bytes: &[u8]) -> u64 {
    let (words, rest) = bytes.as_chunks::<8>();
    let in_words: u64 = words.iter().map(|word| u64::from(u64::from_le_bytes(*word).count_ones())).sum();
    in_words + rest.iter().map(|byte| u64::from(byte.count_ones())).sum::<u64>()
}

/// The first bit of a range that is `bit`. The range is not empty and within the string.
pub fn first(bytes: &[u8], bits: RangeInclusive<u64>, bit: bool) -> Option<u64> {
    let flip = if bit { 0 } else { 0xff };
    let (first_mask, last_mask) = edges(&bits);
    let (first, last) = ((bits.start() / 8) as usize, (bits.end() / 8) as usize);
    let found =
        |place: usize, byte: u8| (byte != 0).then(|| place as u64 * 8 + u64::from(byte.leading_zeros()));
    if first == last {
        return found(first, (bytes[first] ^ flip) & first_mask & last_mask);
    }
    let at_start = found(first, (bytes[first] ^ flip) & first_mask);
    let between = || {
        let place = first + 1 + first_other(&bytes[first + 1..last], flip)?;
        found(place, bytes[place] ^ flip)
    };
    at_start.or_else(between).or_else(|| found(last, (bytes[last] ^ flip) & last_mask))
}

/// The first byte that is not `skip`.
fn first_other(bytes: &[u8], skip: u8) -> Option<usize> {
    const CHUNK: usize = 32;
    let (chunks, _) = bytes.as_chunks::<CHUNK>();
    let skipped = chunks.iter().take_while(|chunk| **chunk == [skip; CHUNK]).count() * CHUNK;
    bytes[skipped..].iter().position(|byte| *byte != skip).map(|place| skipped + place)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn bits_of(bytes: &[u8]) -> Vec<bool> {
        bytes.iter().flat_map(|byte| (0..8).map(move |bit| byte & (0x80 >> bit) != 0)).collect()
    }

    proptest! {
        #[test]
        fn fields_are_read_and_written_as_a_row_of_bits(
            mut bytes in prop::collection::vec(any::<u8>(), 9..30),
            offset in 0_u64..160,
            width in 1_u32..=64,
            value: u64,
        ) {
            let mut model = bits_of(&bytes);
            let range = offset as usize..offset as usize + width as usize;
            let padded = model.iter().copied().chain(std::iter::repeat(false));
            let number = padded.skip(range.start).take(range.len()).fold(0, |sum, bit| sum << 1 | u64::from(bit));
            prop_assert_eq!(read(&bytes, offset, width), number);
            if range.end <= model.len() {
                write(&mut bytes, offset, width, value);
                for (place, bit) in range.zip((0..width).rev()) {
                    model[place] = value >> bit & 1 != 0;
                }
                prop_assert_eq!(bits_of(&bytes), model);
            }
        }

        #[test]
        fn bits_are_counted_and_found_as_in_a_row_of_bits(
            bytes in prop::collection::vec(prop_oneof![3 => Just(0_u8), 3 => Just(0xff), 1 => any::<u8>()], 1..150),
            ends: (prop::sample::Index, prop::sample::Index),
            bit: bool,
        ) {
            let model = bits_of(&bytes);
            let (a, b) = (ends.0.index(model.len()), ends.1.index(model.len()));
            let (start, end) = (a.min(b), a.max(b));
            let range = start as u64..=end as u64;
            let ones = model[start..=end].iter().filter(|bit| **bit).count();
            prop_assert_eq!(count(&bytes, range.clone()), ones as u64);
            let place = model[start..=end].iter().position(|found| *found == bit);
            prop_assert_eq!(first(&bytes, range, bit), place.map(|place| (start + place) as u64));
        }
    }
}
