//! How many long names a part of the keyspace has, by their length, so that the names of any number of keys have a known bound.

use std::ops::Add;

/// A name of so many bytes or less is a short one.
const SHORT_BYTES: usize = 64;
/// One for each power of two that a length in 32 bits may have above that.
const CLASSES: usize = (u32::BITS - SHORT_BYTES.ilog2()) as usize;

/// Long names by the power of two of their length.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LongNames([u32; CLASSES]);

impl LongNames {
    fn class(name: &[u8]) -> Option<usize> {
        let class = || (name.len().ilog2() - SHORT_BYTES.ilog2()) as usize;
        (name.len() > SHORT_BYTES).then(class)
    }

    pub fn insert(&mut self, name: &[u8]) {
        if let Some(class) = LongNames::class(name) {
            self.0[class] += 1;
        }
    }

    pub fn remove(&mut self, name: &[u8]) {
        if let Some(class) = LongNames::class(name) {
            self.0[class] -= 1;
        }
    }

    /// The most bytes that the long ones among so many names may have.
    pub fn most_bytes(&self, names: u64) -> u64 {
        let mut left = names;
        let classes = self.0.iter().enumerate().rev();
        classes.fold(0, |bytes: u64, (class, count)| {
            let taken = left.min(u64::from(*count));
            left -= taken;
            bytes.saturating_add(taken.saturating_mul((2 * SHORT_BYTES as u64) << class))
        })
    }
}

impl Add for LongNames {
    type Output = LongNames;

    fn add(self, other: LongNames) -> LongNames {
        LongNames(std::array::from_fn(|class| self.0[class].saturating_add(other.0[class])))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_names_are_counted_first() {
        let mut names = LongNames::default();
        let long = [64, 65, 100, 127, 128, 300_000].map(|len| vec![b'n'; len]);
        long.iter().for_each(|name| names.insert(name));
        assert_eq!(names.most_bytes(0), 0);
        assert_eq!(names.most_bytes(1), 1 << 19);
        assert_eq!(names.most_bytes(2), (1 << 19) + 256);
        assert_eq!(names.most_bytes(u64::MAX), (1 << 19) + 256 + 3 * 128);
        assert_eq!((names + names).most_bytes(2), 1 << 20);
        long.iter().for_each(|name| names.remove(name));
        assert_eq!(names, LongNames::default());
    }
}
