//! Which register an element raises, and how high: MurmurHash64A with Redis's seed.
//!
//! Source: `MurmurHash64A` and `hllPatLen` in Redis's hyperloglog.c.

use super::form::REGISTERS;

const SEED: u64 = 0xadc8_3b19;
const INDEX_BITS: u32 = REGISTERS.trailing_zeros();

pub fn murmur64a(bytes: &[u8], seed: u64) -> u64 {
    const MULTIPLIER: u64 = 0xc6a4_a793_5bd1_e995;
    const SHIFT: u32 = 47;
    let mut hash = seed ^ (bytes.len() as u64).wrapping_mul(MULTIPLIER);
    let (words, rest) = bytes.as_chunks::<8>();
    for word in words {
        let mut word = u64::from_le_bytes(*word).wrapping_mul(MULTIPLIER);
        word = (word ^ word >> SHIFT).wrapping_mul(MULTIPLIER);
        hash = (hash ^ word).wrapping_mul(MULTIPLIER);
    }
    if !rest.is_empty() {
        let tail = rest.iter().rev().fold(0, |tail, byte| tail << 8 | u64::from(*byte));
        hash = (hash ^ tail).wrapping_mul(MULTIPLIER);
    }
    hash = (hash ^ hash >> SHIFT).wrapping_mul(MULTIPLIER);
    hash ^ hash >> SHIFT
}

/// The register of an element, and the place of the first 1 in the rest of its hash: 1 to 51.
pub fn pattern(element: &[u8]) -> (usize, u8) {
    let hash = murmur64a(element, SEED);
    let rest = hash >> INDEX_BITS | 1 << (u64::BITS - INDEX_BITS);
    ((hash as usize) % REGISTERS, rest.trailing_zeros() as u8 + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The indexes and counts are those that redis-server 7.0.15 stores (`PFDEBUG DECODE` after a PFADD).
    #[test]
    fn elements_raise_the_registers_that_redis_raises() {
        for (element, index, count) in PATTERNS {
            assert_eq!(pattern(element.as_bytes()), (index, count), "{element}");
        }
    }

    const PATTERNS: [(&str, usize, u8); 6] = [
        ("", 5938, 2),
        ("a", 12711, 2),
        ("abc", 9474, 1),
        ("12345678", 10579, 3),
        ("123456789", 9293, 2),
        ("hello world, this is long", 796, 1),
    ];
}
