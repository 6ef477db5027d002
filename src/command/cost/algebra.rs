//! What it costs to combine sets and sorted sets.

use super::{Cost, CostContext, Size};
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

/// A key that is named more than once is walked once; where scores are weighed, they are weighed each time.
pub fn of_algebra(operation: Algebra, weighed: bool, context: &CostContext<'_, '_>, keys: &Args<'_>) -> Cost {
    let first = keys.first().map_or(Size::default(), |key| context.size(key));
    let mut keys = keys.to_vec();
    keys.sort_unstable();
    let (mut total, mut weighings, mut distinct) = (Size::default(), 0_u64, 0);
    let mut smallest: Option<Size> = None;
    for twins in keys.chunk_by(|a, b| a == b) {
        let size = context.size(twins[0]);
        total = total.plus(size);
        if weighed {
            weighings = weighings.saturating_add(size.elements.saturating_mul(twins.len() as u64 - 1));
        }
        smallest = Some(smallest.filter(|least| least.elements <= size.elements).unwrap_or(size));
        distinct += 1;
    }
    let smallest = smallest.unwrap_or_default();
    let (walked, result) = match operation {
        Algebra::Union => (total.elements.saturating_mul(2), total),
        Algebra::Inter => (smallest.elements.saturating_mul(distinct), smallest),
        Algebra::Diff => (total.elements.saturating_add(first.elements).saturating_mul(2), first),
    };
    Cost::default().walking(walked.saturating_add(weighings / WEIGHINGS_PER_STEP)).growing(result)
}
