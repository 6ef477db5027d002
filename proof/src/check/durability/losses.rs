//! Losses of one kind of write.

use crate::check::Tally;
use crate::history::Operation;

#[derive(Default)]
pub struct Losses<'a> {
    pub tally: Tally,
    /// Acknowledged writes that are not there. Of counters only those that are known.
    pub lost: Vec<&'a Operation>,
    /// Counters above the sum of all additions: the key, the final read, the sum.
    pub excess: Vec<(&'a str, &'a Operation, i64)>,
    /// Keys whose last state is not known.
    pub unread: Vec<&'a str>,
}

impl<'a> Losses<'a> {
    pub fn acknowledged(&mut self, writes: u64) {
        self.tally.acknowledged += writes;
    }

    pub fn lose(&mut self, write: &'a Operation) {
        self.tally.lost += 1;
        self.lost.push(write);
    }

    /// Writes of which it is known only how many are lost.
    pub fn lose_some(&mut self, count: u64, examples: impl Iterator<Item = &'a Operation>) {
        self.tally.lost += count;
        self.lost.extend(examples.take(count as usize));
    }
}
