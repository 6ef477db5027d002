//! Values that compare-and-sets have put next to each other.

use std::collections::HashMap;

use super::{Bound, Held};
use crate::check::describe;
use crate::check::judge::Judge;
use crate::history::Operation;

/// Values in the order in which each replaced the one before, with nothing between.
pub struct Chain<'a> {
    values: Vec<Held<'a>>,
    pub first_return: Bound<'a>,
    pub last_call: Bound<'a>,
}

impl<'a> Chain<'a> {
    fn new(values: Vec<Held<'a>>) -> Chain<'a> {
        let returns = values.iter().map(|held| held.first_return);
        let calls = values.iter().map(|held| held.last_call);
        Chain {
            first_return: returns.min_by_key(|bound| bound.at).expect("a chain has a value"),
            last_call: calls.max_by_key(|bound| bound.at).expect("a chain has a value"),
            values,
        }
    }

    /// From here on the register is needed, if this is before [`Chain::to`].
    pub fn from(&self) -> i64 {
        self.first_return.at
    }

    pub fn to(&self) -> i64 {
        self.last_call.at
    }

    pub fn name(&self) -> String {
        let names: Vec<String> = self.values.iter().map(|held| describe::register(held.value)).collect();
        if names.len() <= 3 {
            names.join(", then ")
        } else {
            format!("{} to {}", names[0], names[names.len() - 1])
        }
    }

    /// Looks for an operation on a later value that was over before one on an earlier value began.
    pub fn judge_inside(&self, key: &str, judge: &mut Judge) {
        let mut later: Option<&Held> = None;
        for earlier in self.values.iter().rev() {
            if let Some(later) = later
                && later.first_return.at < earlier.last_call.at
            {
                let bounds = [later.first_return, earlier.last_call];
                let operations: Vec<&Operation> = bounds.iter().filter_map(|bound| bound.by).collect();
                judge.find("a value that came back", operations.iter().map(|one| one.id).collect(), || {
                    let shown: Vec<String> = operations.iter().map(|one| describe::operation(one)).collect();
                    let value = describe::register(earlier.value);
                    format!("{key} held {value} no more after {}", shown.join(", but was used so by "))
                });
                return;
            }
            if later.is_none_or(|later| earlier.first_return.at < later.first_return.at) {
                later = Some(earlier);
            }
        }
    }
}

/// Puts values together that are next to each other.
pub fn chains<'a>(key: &str, held: Vec<Held<'a>>, judge: &mut Judge) -> Vec<Chain<'a>> {
    let places: HashMap<Option<u64>, usize> =
        held.iter().enumerate().map(|(place, held)| (held.value, place)).collect();
    let mut next: Vec<Option<usize>> = vec![None; held.len()];
    let mut follows = vec![false; held.len()];
    for (place, after) in held.iter().enumerate() {
        let Some((replaced, operation)) = after.replaced else { continue };
        let Some(&before) = places.get(&replaced) else { continue };
        if let Some(rival) = next[before].and_then(|rival| held[rival].replaced) {
            accuse_rivals(key, replaced, rival.1, operation, judge);
            continue;
        }
        (next[before], follows[place]) = (Some(place), true);
    }
    let heads: Vec<usize> = (0..held.len()).filter(|place| !follows[*place]).collect();
    let mut held: Vec<Option<Held>> = held.into_iter().map(Some).collect();
    let mut chains = Vec::new();
    for head in heads {
        let places = std::iter::successors(Some(head), |place| next[*place]);
        chains.push(Chain::new(places.filter_map(|place| held[place].take()).collect()));
    }
    accuse_rings(key, held.into_iter().flatten().collect(), judge);
    chains
}

fn accuse_rivals(key: &str, replaced: Option<u64>, one: &Operation, other: &Operation, judge: &mut Judge) {
    judge.find("a lost update", vec![one.id, other.id], || {
        let value = describe::register(replaced);
        let (one, other) = (describe::operation(one), describe::operation(other));
        format!("in {key} both {one} and {other} replaced {value}, which was there once")
    });
}

/// What no head leads to goes round in a ring.
fn accuse_rings(key: &str, rings: Vec<Held>, judge: &mut Judge) {
    if rings.is_empty() {
        return;
    }
    let operations: Vec<u64> = rings.iter().filter_map(|held| held.replaced).map(|(_, by)| by.id).collect();
    judge.find("values that replaced each other", operations, || {
        let values: Vec<Option<u64>> = rings.iter().map(|held| held.value).collect();
        format!("in {key} each of the values {} replaced another one of them", describe::values(&values))
    });
}
