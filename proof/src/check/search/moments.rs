//! Who can come next, by the times of calls and returns alone.
//!
//! - Operations that happened go by their rank in the order of returns. If `first` is the lowest rank that is not in order yet, then
//!   those can come next that were called before `first` returned, or in the same microsecond.

use std::collections::{BTreeMap, BTreeSet};

use super::{Call, Must};

pub struct Moments {
    /// By rank: the operation, and the time by which it happened.
    by_rank: Vec<(usize, i64)>,
    /// By rank: where its list in `open` ends.
    open_ends: Vec<usize>,
    /// For each rank the ranks from there on that were called before it returned, ascending.
    open: Vec<u32>,
    /// By class in doubt: operations and the times of their calls, in the order of the calls.
    classes: Vec<Vec<(usize, i64)>>,
}

impl Moments {
    pub fn new(calls: &[Call]) -> Moments {
        let mut by_rank = Vec::new();
        let mut classes: BTreeMap<u64, Vec<(usize, i64)>> = BTreeMap::new();
        for (operation, call) in calls.iter().enumerate() {
            match call.must {
                Must::HappenBy(time) => by_rank.push((operation, time)),
                Must::InDoubt { class } => classes.entry(class).or_default().push((operation, call.called)),
            }
        }
        by_rank.sort_by_key(|&(operation, time)| (time, calls[operation].called, operation));
        let mut classes: Vec<_> = classes.into_values().collect();
        classes.iter_mut().for_each(|class| class.sort_by_key(|&(operation, called)| (called, operation)));
        let (open_ends, open) = open_lists(calls, &by_rank);
        Moments { by_rank, open_ends, open, classes }
    }

    pub fn happened(&self) -> usize {
        self.by_rank.len()
    }

    pub fn classes(&self) -> usize {
        self.classes.len()
    }

    pub fn operation(&self, rank: u32) -> usize {
        self.by_rank[rank as usize].0
    }

    /// The ranks that can come next if `first` is the lowest one that is not in order, and those of them that are.
    pub fn open_at(&self, first: usize) -> &[u32] {
        let from = if first == 0 { 0 } else { self.open_ends[first - 1] };
        &self.open[from..self.open_ends[first]]
    }

    pub fn of_class(&self, class: usize, number: u32) -> usize {
        self.classes[class][number as usize].0
    }

    /// The next one of a class, if it can come next.
    pub fn next_of_class(&self, class: usize, taken: u32, first: usize) -> Option<usize> {
        let &(operation, called) = self.classes[class].get(taken as usize)?;
        (called <= self.by_rank[first].1).then_some(operation)
    }
}

fn open_lists(calls: &[Call], by_rank: &[(usize, i64)]) -> (Vec<usize>, Vec<u32>) {
    let mut by_call: Vec<u32> = (0..by_rank.len() as u32).collect();
    by_call.sort_by_key(|rank| calls[by_rank[*rank as usize].0].called);
    let mut coming = by_call.into_iter().peekable();
    let mut now_open: BTreeSet<u32> = BTreeSet::new();
    let (mut ends, mut open) = (Vec::new(), Vec::new());
    for (rank, &(_, returned)) in by_rank.iter().enumerate() {
        while let Some(next) = coming.next_if(|next| calls[by_rank[*next as usize].0].called <= returned) {
            now_open.insert(next);
        }
        open.extend(now_open.iter().copied());
        ends.push(open.len());
        now_open.remove(&(rank as u32));
    }
    (ends, open)
}
