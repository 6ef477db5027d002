//! What HyperLogLog commands cost: searches in sparse values, all registers of others, and the bytes of a dense one.

use super::debug::TESTED;
use super::form::{self, DENSE_BYTES, Encoding, REGISTERS};
use super::sparse;
use crate::command::Args;
use crate::command::cost::{self, Cost, CostContext, Size};

/// What it takes to look at all registers of a value.
const REGISTER_STEPS: u64 = REGISTERS as u64 / 8;
/// Bytes of a sparse value that are searched within a step.
const SEARCHED_PER_STEP: u64 = 8;
/// Registers that a sparse value has room for: four in a byte.
const MAX_RAISED: u64 = 4 * sparse::MAX_BYTES as u64;
/// What it takes to add an element of the self-test to both encodings.
const TEST_STEPS: u64 = 4;
/// A raise makes a sparse value so much longer at most.
const RAISE_BYTES: u64 = 3;

/// A value that may become dense, its unpacked registers beside it.
fn growing(context: &CostContext<'_, '_>, key: &[u8], cost: Cost) -> Cost {
    let held = context.most_string_bytes(key);
    let bytes = (DENSE_BYTES as u64).saturating_sub(context.least_string_bytes(key));
    let transient = held.saturating_add((DENSE_BYTES + REGISTERS) as u64);
    let cost = cost.growing(Size { elements: 0, bytes }).walking(cost::of_bytes(held.saturating_mul(2)));
    Cost { transient: cost.transient.max(transient), ..cost }
}

/// What it takes to raise so many registers of a sparse value that has so many bytes.
fn of_raising(raised: u64, bytes: u64) -> u64 {
    let longest = bytes.max(sparse::MAX_BYTES as u64);
    let searched =
        bytes.saturating_add(raised.saturating_mul(RAISE_BYTES)).min(longest).min(REGISTERS as u64);
    raised.min(MAX_RAISED).saturating_mul(1 + searched / SEARCHED_PER_STEP)
}

/// Whether a key will surely hold a dense value.
fn is_dense(context: &CostContext<'_, '_>, key: &[u8]) -> bool {
    let value = || context.reader.string(key).ok().flatten();
    context.is_exact_for(key) && value().is_some_and(|value| Encoding::of(value) == Ok(Encoding::Dense))
}

pub(super) fn pfadd(context: &CostContext<'_, '_>, args: &Args<'_>) -> Cost {
    let cost = Cost::of_args(args);
    let [_, key, elements @ ..] = args else { return cost };
    if is_dense(context, key) {
        return cost;
    }
    let raising = of_raising(elements.len() as u64, context.most_string_bytes(key));
    growing(context, key, cost).walking(raising)
}

/// What it takes to read all registers of keys.
fn reading(context: &CostContext<'_, '_>, keys: &Args<'_>) -> u64 {
    let of_key = |key: &&[u8]| if context.most_string_bytes(key) > 0 { REGISTER_STEPS } else { 0 };
    keys.iter().map(of_key).fold(0, u64::saturating_add)
}

pub(super) fn pfcount(context: &CostContext<'_, '_>, args: &Args<'_>) -> Cost {
    let cost = Cost::of_args(args);
    let keys = args.get(1..).unwrap_or_default();
    if let [key] = keys
        && context.is_exact_for(key)
        && context.reader.string(key).ok().flatten().is_some_and(has_estimate)
    {
        return cost;
    }
    cost.walking(reading(context, keys))
}

fn has_estimate(value: &[u8]) -> bool {
    Encoding::of(value).is_ok() && form::estimate(value).is_some()
}

pub(super) fn pfmerge(context: &CostContext<'_, '_>, args: &Args<'_>) -> Cost {
    let cost = Cost::of_args(args);
    let Some(keys @ [key, ..]) = args.get(1..) else { return cost };
    let cost = growing(context, key, cost).walking(reading(context, keys));
    if keys.iter().any(|key| is_dense(context, key)) {
        return cost.walking(REGISTER_STEPS);
    }
    let bytes = keys.iter().map(|key| context.most_string_bytes(key)).fold(0, u64::saturating_add);
    cost.walking(REGISTER_STEPS).walking(of_raising(bytes.saturating_mul(4).min(REGISTERS as u64), bytes))
}

pub(super) fn pfdebug(context: &CostContext<'_, '_>, args: &Args<'_>) -> Cost {
    let cost = Cost::of_args(args);
    let Some(key) = args.get(2) else { return cost };
    growing(context, key, cost).walking(REGISTER_STEPS)
}

pub(super) fn pfselftest(_: &CostContext<'_, '_>, args: &Args<'_>) -> Cost {
    Cost::of_args(args).walking(TESTED * TEST_STEPS)
}
