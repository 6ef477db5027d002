//! How many keys each generation holds, and the sum of their contributions.

use std::collections::BTreeMap;

use super::error::{CheckpointError, Result};
use super::manifest::Tally;
use crate::keyspace::changes::Generation;
use crate::keyspace::digest::Digest;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tallies(BTreeMap<Generation, Tally>);

impl Tallies {
    pub fn of(generations: &BTreeMap<Generation, Tally>) -> Tallies {
        Tallies(generations.clone())
    }

    pub fn is_empty(&self) -> bool {
        self.0.values().all(|tally| tally.keys == 0)
    }

    pub fn add(&mut self, generation: Generation, contribution: Digest) {
        let tally = self.0.entry(generation).or_default();
        tally.keys += 1;
        tally.digest = tally.digest.wrapping_add(contribution);
    }

    pub fn subtract(&mut self, generation: Generation, contribution: Digest) {
        let tally = self.0.entry(generation).or_default();
        tally.keys = tally.keys.saturating_sub(1);
        tally.digest = tally.digest.wrapping_sub(contribution);
    }

    pub fn drop_generation(&mut self, generation: Generation) {
        self.0.remove(&generation);
    }

    pub fn merge(&mut self, other: &Tallies) {
        for (generation, tally) in &other.0 {
            let sum = self.0.entry(*generation).or_default();
            sum.keys += tally.keys;
            sum.digest = sum.digest.wrapping_add(tally.digest);
        }
    }

    pub fn get(&self, generation: Generation) -> Tally {
        self.0.get(&generation).copied().unwrap_or_default()
    }

    /// Checks that all that is held belongs to one of these databases: what does not would be loaded by nobody.
    pub fn check_all_in(&self, databases: &[Generation]) -> Result<()> {
        match self.used().into_keys().find(|generation| !databases.contains(generation)) {
            Some(generation) => Err(CheckpointError::Orphan { generation }),
            None => Ok(()),
        }
    }

    /// Those that hold anything.
    pub fn used(&self) -> BTreeMap<Generation, Tally> {
        let used = self.0.iter().filter(|(_, tally)| tally.keys > 0);
        used.map(|(generation, tally)| (*generation, *tally)).collect()
    }
}
