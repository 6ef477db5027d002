//! The search for an order: could these operations have happened one after another?
//!
//! - The algorithm is that of Wing and Gong ("Testing and verifying concurrent objects", JPDC 1993) with the memory of Lowe
//!   ("Testing for linearizability", 2017): operations are put in order one by one, each only if no other one that is not in order
//!   yet had returned before it was called, and no pair of (operations in order, state) is visited twice.
//! - An operation that is possible and, now or later, changes nothing is put in order at once and without alternative: putting
//!   it later could only be harder.
//! - Operations in doubt may stay out. Those of one class do the same, so that only how many of them are in order counts, and
//!   they are taken in the order of their calls.
//! - A set of operations in order is kept as what has to be: how many have returned and are all in order, which ones
//!   beyond those are, and the number of each class in doubt. So a visited state costs some ten words, however long the history.
//! - There is no recursion. The number of states that are visited has a bound, past which the search gives up.

mod moments;

use std::collections::HashSet;

use moments::Moments;

/// What a model makes of it.
pub type State = u64;

/// When an operation can have happened.
#[derive(Clone, Copy, Debug)]
pub struct Call {
    pub called: i64,
    pub must: Must,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Must {
    /// It happened by then.
    HappenBy(i64),
    /// It may have happened at any time, or never. Operations of the same class have the same effect.
    InDoubt { class: u64 },
}

/// An object, by what its operations do and were answered. Operations go by their place in the list of calls.
pub trait Model {
    fn initial(&self) -> State;
    /// The state after the operation, or `None` if it can't be answered as it was in this state.
    fn step(&mut self, state: State, operation: usize) -> Option<State>;
    /// Whether the operation, if it is possible and changes nothing in a state that can be reached now, will not change
    /// anything later either. True of reads.
    fn is_passive(&self, operation: usize) -> bool;
    /// The state for people.
    fn show(&self, state: State) -> String;
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// There is an order, and this is one.
    Order(Vec<usize>),
    NoOrder(Stuck),
    GaveUp,
}

/// How far the search came.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stuck {
    /// The operation that no order can take in before it returns.
    pub operation: usize,
    /// The last ones in order, in the first of the attempts that came this far.
    pub before: Vec<usize>,
    pub state: State,
}

/// Operations shown before the one where the search is stuck.
const SHOWN_BEFORE: usize = 5;

/// Looks for an order. Adds the number of visited states to `steps`.
pub fn search(calls: &[Call], model: &mut impl Model, max_steps: u64, steps: &mut u64) -> Verdict {
    let mut search = Search::new(calls, model);
    let verdict = search.run(max_steps);
    *steps += search.steps;
    verdict
}

#[derive(Clone, Copy, Debug)]
enum Move {
    /// An operation that happened, by its rank in the order of returns.
    Happened(u32),
    /// The next one of a class in doubt.
    Doubted(u32),
}

/// A move that was made, and how to take it back.
struct Made {
    this: Move,
    first_before: usize,
    state_before: State,
    /// Where the moves that can follow it begin in the list of open moves.
    open_from: usize,
}

struct Search<'a, M> {
    moments: Moments,
    model: &'a mut M,
    /// By rank: whether it is in order.
    in_order: Vec<bool>,
    /// The first rank that is not in order.
    first: usize,
    /// By class: how many are in order.
    taken: Vec<u32>,
    state: State,
    made: Vec<Made>,
    open: Vec<(Move, State)>,
    visited: HashSet<Box<[u32]>>,
    steps: u64,
    deepest: Option<(usize, Stuck)>,
}

impl<'a, M: Model> Search<'a, M> {
    fn new(calls: &[Call], model: &'a mut M) -> Search<'a, M> {
        let moments = Moments::new(calls);
        Search {
            in_order: vec![false; moments.happened()],
            first: 0,
            taken: vec![0; moments.classes()],
            state: model.initial(),
            made: Vec::new(),
            open: Vec::new(),
            visited: HashSet::new(),
            steps: 0,
            deepest: None,
            moments,
            model,
        }
    }

    fn run(&mut self, max_steps: u64) -> Verdict {
        let mut arrived = true;
        loop {
            if arrived && self.first == self.in_order.len() {
                return Verdict::Order(self.order());
            }
            if arrived && self.visited.insert(self.position()) {
                self.steps += 1;
                if self.steps > max_steps {
                    return Verdict::GaveUp;
                }
                self.note_depth();
                self.open_moves();
            }
            let open_from = self.made.last().map_or(0, |made| made.open_from);
            arrived = self.open.len() > open_from;
            if arrived {
                self.make_a_move();
            } else if !self.take_back() {
                return Verdict::NoOrder(self.deepest.take().map(|(_, stuck)| stuck).unwrap_or_default());
            }
        }
    }

    /// All that makes a difference for what can follow.
    fn position(&self) -> Box<[u32]> {
        let mut key = vec![self.first as u32, (self.state >> 32) as u32, self.state as u32];
        let beyond = self.moments.open_at(self.first).iter().filter(|rank| self.in_order[**rank as usize]);
        key.extend(beyond);
        key.push(u32::MAX);
        for (class, taken) in self.taken.iter().enumerate().filter(|(_, taken)| **taken > 0) {
            key.extend([class as u32, *taken]);
        }
        key.into_boxed_slice()
    }

    /// Lists the moves from here; the last one is to be tried first.
    fn open_moves(&mut self) {
        let open_from = self.open.len();
        for class in (0..self.taken.len()).rev() {
            if let Some(operation) = self.moments.next_of_class(class, self.taken[class], self.first)
                && let Some(state) = self.model.step(self.state, operation)
                && state != self.state
            {
                self.open.push((Move::Doubted(class as u32), state));
            }
        }
        for place in (0..self.moments.open_at(self.first).len()).rev() {
            let rank = self.moments.open_at(self.first)[place];
            if self.in_order[rank as usize] {
                continue;
            }
            let operation = self.moments.operation(rank);
            let Some(state) = self.model.step(self.state, operation) else { continue };
            if state == self.state && self.model.is_passive(operation) {
                self.open.truncate(open_from);
                self.open.push((Move::Happened(rank), state));
                return;
            }
            self.open.push((Move::Happened(rank), state));
        }
    }

    fn make_a_move(&mut self) {
        let Some((this, state)) = self.open.pop() else { return };
        self.made.push(Made {
            this,
            first_before: self.first,
            state_before: self.state,
            open_from: self.open.len(),
        });
        self.state = state;
        match this {
            Move::Happened(rank) => self.in_order[rank as usize] = true,
            Move::Doubted(class) => self.taken[class as usize] += 1,
        }
        while self.in_order.get(self.first) == Some(&true) {
            self.first += 1;
        }
    }

    /// Whether there was a move to take back.
    fn take_back(&mut self) -> bool {
        let Some(made) = self.made.pop() else { return false };
        (self.first, self.state) = (made.first_before, made.state_before);
        match made.this {
            Move::Happened(rank) => self.in_order[rank as usize] = false,
            Move::Doubted(class) => self.taken[class as usize] -= 1,
        }
        true
    }

    fn note_depth(&mut self) {
        if self.deepest.as_ref().is_none_or(|(first, _)| self.first > *first) {
            let stuck = Stuck {
                operation: self.moments.operation(self.first as u32),
                before: self.last_in_order(),
                state: self.state,
            };
            self.deepest = Some((self.first, stuck));
        }
    }

    fn last_in_order(&self) -> Vec<usize> {
        let mut taken = self.taken.clone();
        let last = self.made.iter().rev().take(SHOWN_BEFORE).map(|made| match made.this {
            Move::Happened(rank) => self.moments.operation(rank),
            Move::Doubted(class) => {
                taken[class as usize] -= 1;
                self.moments.of_class(class as usize, taken[class as usize])
            }
        });
        let mut last: Vec<usize> = last.collect();
        last.reverse();
        last
    }

    fn order(&self) -> Vec<usize> {
        let mut taken = vec![0; self.taken.len()];
        let in_order = self.made.iter().map(|made| match made.this {
            Move::Happened(rank) => self.moments.operation(rank),
            Move::Doubted(class) => {
                taken[class as usize] += 1;
                self.moments.of_class(class as usize, taken[class as usize] - 1)
            }
        });
        in_order.collect()
    }
}

#[cfg(test)]
mod tests;
