//! Where all chance in a simulated run comes from: streams of numbers that are pure functions of the run's seed.
//!
//! Each subject (network, faults, clients …) has a stream of its own, so that a change to one leaves the others' draws as
//! they were. SplitMix64 (Steele, Lea, Flood: Fast Splittable Pseudorandom Number Generators, OOPSLA 2014).

use std::ops::Range;

#[derive(Clone, Debug)]
pub struct Dice(u64);

impl Dice {
    /// The stream of this name under a seed.
    pub fn of(seed: u64, name: &str) -> Dice {
        let mut dice = Dice(seed);
        for byte in name.bytes() {
            dice.0 = dice.next() ^ u64::from(byte);
        }
        dice
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `bound`, which is not zero.
    pub fn below(&mut self, bound: u64) -> u64 {
        ((u128::from(self.next()) * u128::from(bound)) >> 64) as u64
    }

    pub fn within(&mut self, range: Range<u64>) -> u64 {
        range.start + self.below(range.end - range.start)
    }

    /// True so many times in a thousand.
    pub fn chance(&mut self, per_mille: u64) -> bool {
        self.below(1000) < per_mille
    }

    pub fn pick<'a, T>(&mut self, among: &'a [T]) -> &'a T {
        &among[self.below(among.len() as u64) as usize]
    }

    /// A number in the range whose order of magnitude is drawn first: small ones are as likely as large ones.
    pub fn magnitude(&mut self, range: Range<u64>) -> u64 {
        let doublings = (range.end / range.start.max(1)).max(1).ilog2();
        let low = range.start.max(1) << self.below(u64::from(doublings) + 1);
        self.within(low..(low * 2).max(low + 1)).min(range.end - 1)
    }
}
