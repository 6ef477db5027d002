//! What it costs to combine sets and sorted sets.

use super::{Cost, CostContext, Size, of_bytes};
use crate::command::Args;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algebra {
    Union,
    Inter,
    Diff,
}

/// As parameters of functions that stand in rows.
impl Algebra {
    pub const UNION: u8 = 0;
    pub const INTER: u8 = 1;
    pub const DIFF: u8 = 2;

    pub const fn of(number: u8) -> Algebra {
        match number {
            Algebra::UNION => Algebra::Union,
            Algebra::INTER => Algebra::Inter,
            _ => Algebra::Diff,
        }
    }
}

/// To weigh a score once more costs this share of a step.
const WEIGHINGS_PER_STEP: u64 = 8;
/// To add to the score of a member that is in the result takes a search, and a place in the order that is left and one that is found.
const STEPS_PER_SCORE_AGAIN: u64 = 8;
/// As many sources of one size are united member by member where they are named alternately; of more each is walked each time it is named.
pub const MAX_UNITED: usize = 8;

/// A key that is named more than once is walked once; where scores are weighed, they are weighed each time.
pub fn of_algebra(operation: Algebra, weighed: bool, context: &CostContext<'_, '_>, keys: &Args<'_>) -> Cost {
    let first = keys.first().map_or(Size::default(), |key| context.size(key));
    let mut keys = keys.to_vec();
    keys.sort_unstable();
    let (mut total, mut weighings, mut distinct) = (Size::default(), 0_u64, 0);
    let mut smallest: Option<Size> = None;
    let mut named = Vec::new();
    for twins in keys.chunk_by(|a, b| a == b) {
        let size = context.size(twins[0]);
        total = total.plus(size);
        if weighed {
            weighings = weighings.saturating_add(size.elements.saturating_mul(twins.len() as u64 - 1));
            named.push((size, twins.len() as u64));
        }
        smallest = Some(smallest.filter(|least| least.elements <= size.elements).unwrap_or(size));
        distinct += 1;
    }
    let smallest = smallest.unwrap_or_default();
    let (walked, result) = match operation {
        Algebra::Union => (total.steps().saturating_mul(2).saturating_add(of_alternating(named)), total),
        Algebra::Inter => (smallest.steps().saturating_mul(distinct), smallest),
        Algebra::Diff => {
            let looked_up = of_bytes(first.bytes).saturating_mul(lookups(context, first, total, distinct));
            let walked = total.steps().saturating_add(first.elements);
            (walked.saturating_mul(2).saturating_add(looked_up), first)
        }
    };
    Cost::default().walking(walked.saturating_add(weighings / WEIGHINGS_PER_STEP)).storing(result)
}

/// How often each member of a difference's first source is looked up: in every other source, or in all of them made one set where that
/// takes fewer steps.
fn lookups(context: &CostContext<'_, '_>, first: Size, total: Size, distinct: u64) -> u64 {
    let takes_one_set = first.elements.saturating_mul(distinct) > total.elements.saturating_mul(4);
    if takes_one_set && context.is_exact() { 1 } else { distinct }
}

/// What it may cost in addition to unite sources of one size that are named again; `named` holds how much each has, and how often
/// it is named.
fn of_alternating(mut named: Vec<(Size, u64)>) -> u64 {
    named.sort_unstable_by_key(|(size, _)| size.elements);
    let groups = named.chunk_by(|a, b| a.0.elements == b.0.elements);
    groups.fold(0_u64, |sum, group| {
        let steps = group.iter().map(|(size, _)| size.steps()).max().unwrap_or_default();
        let sources = group.len() as u64;
        let names = group.iter().fold(0_u64, |sum, (_, names)| sum.saturating_add(*names));
        let walks = match names - sources {
            0 => 0,
            _ if sources == 1 => 0,
            _ if group.len() <= MAX_UNITED => sources * sources,
            again => again.saturating_mul(STEPS_PER_SCORE_AGAIN),
        };
        sum.saturating_add(steps.saturating_mul(walks))
    })
}
