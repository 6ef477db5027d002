//! The secret key of all hash tables. It decides where keys, members and fields lie in memory, and so the order of scans.
//!
//! - A cluster has one seed. Its leader draws it and logs it (`command/keys/hash_seed.rs`), log and checkpoints carry it: all
//!   nodes scan in one order, and a client that does not know the seed can't make keys collide.
//! - SipHash-1-3, because clients see hashes: the order of a scan tells how they compare, and cursors hold bits of them. A hash
//!   that is only seeded (foldhash, XXH3) gives its seed away to such a client, or has inputs that collide under every
//!   seed. SipHash is a pseudorandom function: hashes that were seen say nothing about others.
//! - No content depends on the seed: no reply to a write, no digest, no order that a checkpoint keeps.
//! - Nothing shows it: `Debug` leaves it out, and clients that read the log or a checkpoint get another in its place
//!   ([`HashSeed::for_readers`]).

use std::fmt;

use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use siphasher::sip::SipHasher13;

/// Bytes of a seed.
pub const SEED_BYTES: usize = 16;

/// The key of the hash function. The zero key is that of a cluster whose log has no seed yet.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct HashSeed(u64, u64);

impl HashSeed {
    /// No seed was drawn yet.
    pub const NONE: HashSeed = HashSeed(0, 0);

    pub const fn new(low: u64, high: u64) -> HashSeed {
        HashSeed(low, high)
    }

    /// The seed of these bytes, unless they are too few, too many or all zero.
    pub fn from_bytes(bytes: &[u8]) -> Option<HashSeed> {
        let bytes: [u8; SEED_BYTES] = bytes.try_into().ok()?;
        let number = u128::from_le_bytes(bytes);
        let seed = HashSeed(number as u64, (number >> u64::BITS) as u64);
        (!seed.is_none()).then_some(seed)
    }

    pub fn to_bytes(self) -> [u8; SEED_BYTES] {
        (u128::from(self.1) << u64::BITS | u128::from(self.0)).to_le_bytes()
    }

    pub fn is_none(&self) -> bool {
        *self == HashSeed::NONE
    }

    /// What is read in place of this seed through a client's connection: as good a seed as any, for a cluster that is restored from what
    /// was read, and the same at every reading. This seed can't be told from it, for the hash is a pseudorandom function.
    pub fn for_readers(self) -> HashSeed {
        if self.is_none() {
            return self;
        }
        let half = |name: &[u8]| SipHasher13::new_with_keys(self.0, self.1).hash(name);
        HashSeed(half(b"seed for readers, low half") | 1, half(b"seed for readers, high half"))
    }

    /// The hash of a key, member or field.
    #[inline]
    pub fn hash(self, bytes: &[u8]) -> u64 {
        #[cfg(test)]
        unseeded::note(self);
        SipHasher13::new_with_keys(self.0, self.1).hash(bytes)
    }
}

/// How many hashes this thread took without a seed.
#[cfg(test)]
pub mod unseeded {
    use std::cell::Cell;

    use super::HashSeed;

    thread_local! {
        static HASHES: Cell<u64> = const { Cell::new(0) };
    }

    pub(super) fn note(seed: HashSeed) {
        HASHES.set(HASHES.get() + u64::from(seed.is_none()));
    }

    pub fn hashes() -> u64 {
        HASHES.get()
    }
}

impl fmt::Debug for HashSeed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_none() { "HashSeed(none)" } else { "HashSeed(secret)" })
    }
}

/// 32 hexadecimal digits: JSON's own numbers lose some.
impl Serialize for HashSeed {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("{:032x}", u128::from_le_bytes(self.to_bytes())))
    }
}

impl<'de> Deserialize<'de> for HashSeed {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<HashSeed, D::Error> {
        let text = String::deserialize(deserializer)?;
        let number = u128::from_str_radix(&text, 16).ok();
        let seed = number.and_then(|number| HashSeed::from_bytes(&number.to_le_bytes()));
        // The text is not in the message: what is damaged may still be most of a seed.
        seed.ok_or_else(|| D::Error::custom("a hash seed is a hexadecimal number above zero"))
    }
}

#[cfg(test)]
mod colliding;

#[cfg(test)]
mod tests {
    use super::*;

    const SEED: HashSeed = HashSeed::new(0x0706_0504_0302_0100, 0x0f0e_0d0c_0b0a_0908);

    #[test]
    fn hashes_are_those_of_siphash_1_3() {
        // The key 00..0f and the inputs of the reference implementation's vectors.
        let input: Vec<u8> = (0..16).collect();
        assert_eq!(SEED.hash(&input[..0]), 0xabac_0158_050f_c4dc);
        assert_eq!(SEED.hash(&input[..1]), 0xc9f4_9bf3_7d57_ca93);
        assert_ne!(SEED.hash(&input), HashSeed::NONE.hash(&input));
    }

    #[test]
    fn a_seed_survives_its_bytes_and_its_text() {
        assert_eq!(HashSeed::from_bytes(&SEED.to_bytes()), Some(SEED));
        let text = serde_json::to_string(&SEED).expect("a seed is text");
        assert_eq!(text, "\"0f0e0d0c0b0a09080706050403020100\"");
        assert_eq!(serde_json::from_str::<HashSeed>(&text).ok(), Some(SEED));
        for damaged in ["\"\"", "\"0\"", "\"xyz\"", "7"] {
            assert!(serde_json::from_str::<HashSeed>(damaged).is_err(), "{damaged}");
        }
        for bytes in [&[0; 16][..], &[1; 15], &[1; 17], b""] {
            assert_eq!(HashSeed::from_bytes(bytes), None);
        }
    }

    #[test]
    fn readers_get_another_seed_and_always_the_same() {
        let shown = SEED.for_readers();
        assert!(!shown.is_none() && shown != SEED && shown == SEED.for_readers());
        assert_ne!(shown, HashSeed::new(1, 2).for_readers());
        assert!(HashSeed::NONE.for_readers().is_none());
    }

    #[test]
    fn a_seed_is_not_shown() {
        assert_eq!(format!("{SEED:?} {:?}", HashSeed::NONE), "HashSeed(secret) HashSeed(none)");
    }
}
