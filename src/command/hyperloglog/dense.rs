//! The dense encoding: registers of six bits in a row, the first in the lowest bits.

const BITS: usize = 6;
/// The greatest value of a register.
pub const MAX: u8 = (1 << BITS) - 1;

/// The two bytes that may hold parts of a register, and its place in them. The last register has none of the second.
fn word(registers: &[u8], index: usize) -> (usize, usize, u16) {
    let (byte, shift) = (index * BITS / 8, index * BITS % 8);
    let second = registers.get(byte + 1).copied().unwrap_or_default();
    (byte, shift, u16::from_le_bytes([registers[byte], second]))
}

pub fn get(registers: &[u8], index: usize) -> u8 {
    let (_, shift, word) = word(registers, index);
    (word >> shift) as u8 & MAX
}

pub fn set(registers: &mut [u8], index: usize, value: u8) {
    debug_assert!(value <= MAX, "a register has six bits");
    let (byte, shift, word) = word(registers, index);
    let word = word & !(u16::from(MAX) << shift) | u16::from(value) << shift;
    let [first, second] = word.to_le_bytes();
    registers[byte] = first;
    if let Some(place) = registers.get_mut(byte + 1) {
        *place = second;
    }
}

/// All registers; `registers` are whole groups of four.
pub fn values(registers: &[u8]) -> impl Iterator<Item = u8> {
    let (groups, _) = registers.as_chunks::<3>();
    groups.iter().flat_map(|[a, b, c]| {
        let word = u32::from_le_bytes([*a, *b, *c, 0]);
        [0, 6, 12, 18].map(|shift| (word >> shift) as u8 & MAX)
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn registers_are_apart(changes in prop::collection::vec((0_usize..64, 0_u8..=MAX), 0..200)) {
            let mut model = [0; 64];
            let mut registers = [0; 48];
            for (index, value) in changes {
                model[index] = value;
                set(&mut registers, index, value);
            }
            let read: Vec<u8> = (0..64).map(|index| get(&registers, index)).collect();
            prop_assert_eq!(&read[..], &model[..]);
            prop_assert_eq!(values(&registers).collect::<Vec<u8>>(), read);
        }
    }
}
