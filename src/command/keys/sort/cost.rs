//! What SORT costs, and how much its result may take.
//!
//! - Every element is compared with some others, and looked up with every pattern.
//! - What GET finds is told exactly where no planned command comes before. Else a key that one of them writes counts as the most that
//!   it may hold, and an element that one of them adds, which may name any key, as the longest value that its pattern finds.
//! - Where too many keys would have to be looked at for that, nothing bounds the result.

use super::{Lookup, SortOptions, elements_of, run};
use crate::command::Args;
use crate::command::cost::{Cost, CostContext, MAX_STEPS, Size, of_bytes};
use crate::keyspace::entry::Entry;

/// Steps in which a pattern is made a name, and the key of that name is found.
const LOOKUP_STEPS: u64 = 4;

/// Keys that are compared with patterns in search of the longest value, each as often as it is.
const MAX_SEARCHED: u64 = 1 << 20;

pub(super) fn cost_of_sort(context: &CostContext<'_, '_>, args: &Args<'_>) -> Cost {
    let cost = Cost::of_args(args);
    let Ok(options) = SortOptions::parse(&args[2..]) else { return cost };
    let source = context.size(args[1]);
    let len = usize::try_from(source.elements).unwrap_or(usize::MAX);
    let chosen = options.range(len).len() as u64;
    let depth = if options.keeps_order() { 1 } else { u64::from(source.elements.max(2).ilog2()) };
    let gets = options.get.len().max(1) as u64;
    let long = source.steps() - source.elements;
    let patterns = options.get.iter().chain(&options.by).filter(|pattern| **pattern != b"#");
    let patterns = patterns.map(|pattern| pattern.len() as u64).sum();
    let names = source.elements.saturating_mul(of_bytes(patterns));
    let cost = cost.walking(source.steps().saturating_mul(depth)).walking(of_results(&options, chosen));
    let cost = cost.walking(long.saturating_mul(gets)).walking(names);
    let cost = if options.keeps_order() { cost } else { cost.walking(of_weights(&options, source)) };
    if options.store.is_none() || cost.steps > MAX_STEPS {
        return cost;
    }
    let itself = options.get.iter().filter(|pattern| **pattern == b"#").count() as u64;
    let copies = if options.get.is_empty() { 1 } else { itself };
    let Some(found) = found_bytes(context, args[1], &options) else {
        return cost.unbounded();
    };
    let bytes = source.bytes.saturating_mul(copies).saturating_add(found);
    cost.storing(Size { elements: chosen.saturating_mul(gets), bytes })
}

fn of_results(options: &SortOptions<'_>, chosen: u64) -> u64 {
    let of_one = |pattern: &&[u8]| if pattern.contains(&b'*') { LOOKUP_STEPS } else { 1 };
    let each = options.get.iter().map(of_one).sum::<u64>().max(1);
    chosen.saturating_mul(each)
}

fn of_weights(options: &SortOptions<'_>, source: Size) -> u64 {
    if options.by.is_some() { source.elements.saturating_mul(LOOKUP_STEPS) } else { 0 }
}

/// The bytes of all that GET may find; `None` where nothing bounds them.
fn found_bytes(context: &CostContext<'_, '_>, key: &[u8], options: &SortOptions<'_>) -> Option<u64> {
    let lookups: Vec<Lookup<'_>> = options.get.iter().filter_map(|pattern| Lookup::parse(pattern)).collect();
    if lookups.is_empty() {
        return Some(0);
    }
    let reader = context.reader;
    // What is planned may bring others into the range.
    let is_range_known = context.is_exact() || context.is_exact_for(key) && options.order_is_its_own();
    // A SORT that fails stores nothing, and it fails in the same way when it is applied.
    let known = match is_range_known {
        true => run(reader, key, options).unwrap_or_default(),
        false => reader.entry(key).map_or_else(Vec::new, |entry| elements_of(entry).unwrap_or_default()),
    };
    let mut bytes = 0_u64;
    for element in known {
        for lookup in &lookups {
            bytes = bytes.saturating_add(most_found(context, lookup, &lookup.key(&element)));
        }
    }
    let added = if context.is_exact_for(key) { 0 } else { context.gained(key) };
    if added == 0 {
        return Some(bytes);
    }
    let longest = longest_found(context, &lookups)?;
    Some(bytes.saturating_add(added.saturating_mul(longest))).filter(|bytes| *bytes < Size::HUGE)
}

/// The most bytes that a pattern may find at a key.
fn most_found(context: &CostContext<'_, '_>, lookup: &Lookup<'_>, key: &[u8]) -> u64 {
    match context.is_exact_for(key) {
        true => lookup.value(context.reader, key).map_or(0, |value| value.len() as u64),
        false => context.size(key).bytes,
    }
}

/// The most bytes that all patterns together may find for one element, whatever it is.
fn longest_found(context: &CostContext<'_, '_>, lookups: &[Lookup<'_>]) -> Option<u64> {
    let reader = context.reader;
    let compared = (reader.usage(reader.db).keys as u64).saturating_mul(lookups.len() as u64);
    if compared > MAX_SEARCHED {
        return None;
    }
    let mut longest = vec![0_u64; lookups.len()];
    for entry in reader.entries() {
        let found = |lookup: &Lookup<'_>| found_in(context, lookup, entry);
        longest.iter_mut().zip(lookups).for_each(|(most, lookup)| *most = found(lookup).max(*most));
    }
    let (carried, added) = context.most_gained_by_one();
    let with_planned = |most: u64| most.max(carried.bytes).saturating_add(added.bytes);
    Some(longest.into_iter().map(with_planned).fold(0, u64::saturating_add))
}

fn found_in(context: &CostContext<'_, '_>, lookup: &Lookup<'_>, entry: &Entry) -> u64 {
    if !lookup.may_name(entry.key()) {
        return 0;
    }
    lookup.value(context.reader, entry.key()).map_or(0, |value| value.len() as u64)
}
