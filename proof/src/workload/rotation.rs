//! The keys of one kind of workload: a few in use, the others retired.

use crate::rng::Rng;

/// Keys in use, each with the number of times that it was picked.
#[derive(Clone, Debug)]
pub struct Rotation {
    prefix: &'static str,
    picks_of_a_key: u32,
    in_use: Vec<(u32, u32)>,
    /// The number of the next key.
    next: u32,
}

impl Rotation {
    pub fn new(prefix: &'static str, keys: usize, picks_of_a_key: u32) -> Rotation {
        Rotation { prefix, picks_of_a_key, in_use: vec![(u32::MAX, picks_of_a_key); keys], next: 0 }
    }

    /// A key in use. One that was picked often enough is retired first.
    pub fn pick(&mut self, rng: &mut Rng) -> String {
        let place = rng.index(self.in_use.len());
        let (number, picks) = &mut self.in_use[place];
        if *picks == self.picks_of_a_key {
            (*number, *picks) = (self.next, 0);
            self.next += 1;
        }
        *picks += 1;
        let number = *number;
        self.name(number)
    }

    /// All keys that were ever picked.
    pub fn touched(&self) -> impl Iterator<Item = String> {
        (0..self.next).map(|number| self.name(number))
    }

    fn name(&self, number: u32) -> String {
        format!("{}-{number}", self.prefix)
    }
}
