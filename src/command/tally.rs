//! Commands that ran, counted for the statistics.

/// A command that ran, for the statistics.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Executed {
    /// Its place in [`statistic_names`](super::table::statistic_names).
    pub index: usize,
    /// The code of the error that it answered.
    pub error: Option<String>,
}

/// How many commands ran, by kind: an entry of a log may have many millions of them.
#[derive(Debug, Default)]
pub struct Tally(Vec<(Executed, u64)>);

impl Tally {
    pub fn note(&mut self, executed: Executed, times: u64) {
        match self.0.iter_mut().rev().find(|(known, _)| *known == executed) {
            Some((_, count)) => *count += times,
            None => self.0.push((executed, times)),
        }
    }

    /// Takes back one that ran without an error, if it is noted: it begins to wait, and counts when it is answered.
    pub fn take_back(&mut self, index: usize) {
        let noted = self.0.iter_mut().rev().find(|(known, _)| known.index == index && known.error.is_none());
        if let Some((_, count)) = noted {
            *count = count.saturating_sub(1);
        }
    }

    /// All commands together.
    pub fn sum(&self) -> u64 {
        self.0.iter().map(|(_, count)| count).sum()
    }

    pub fn drain(&mut self) -> impl Iterator<Item = (Executed, u64)> {
        self.0.drain(..)
    }

    pub fn clear(&mut self) {
        self.0.clear();
    }

    #[cfg(test)]
    pub fn kinds(&self) -> usize {
        self.0.len()
    }
}
