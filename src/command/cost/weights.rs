//! Steps that a command takes in a script for work that neither its arguments nor its cost tell: what it removes, and what it passes
//! within one packed piece of a value.
//!
//! - Outside scripts a client waits for each command, and a plan is short. A script may run such a command again with each of its calls.
//! - As all steps they are part of what the log means: they follow from elements and bytes that are the same on every node.

use super::{CostContext, CostKind};
use crate::command::args::{index_in, index_range, integer, is};
use crate::command::families::Row;
use crate::command::script::STEPS_PER_ELEMENT;
use crate::command::spec::Categories;
use crate::command::{Args, Command};
use crate::keyspace::types::encoding::Encoding;
use crate::keyspace::types::list::List;
use crate::keyspace::value::{Object, ValueRef};

/// Lua's steps, not elements.
pub type WeightFn = fn(&CostContext<'_, '_>, &Args<'_>) -> u64;

/// Most elements of a list's chunk: 8 KiB at two bytes each.
const CHUNK_ELEMENTS: u64 = 4096;
/// Steps in which a name is compared with one field or member of a packed value.
const STEPS_PER_COMPARISON: u64 = 2;

/// The weight of a command of this row.
pub fn of_row(row: &Row, command: &Command, context: &CostContext<'_, '_>, args: &Args<'_>) -> u64 {
    let searched = Categories::HASH | Categories::SET | Categories::SORTEDSET | Categories::GEO;
    let searches = row.family.categories.intersects(searched) && matches!(command.cost, CostKind::Arguments);
    let searched = if searches { searches_packed(context, args) } else { 0 };
    searched.saturating_add(command.weight.map_or(0, |weight| weight(context, args)))
}

/// Commands of fields and members: each that they name is compared with all that a packed value holds.
fn searches_packed(context: &CostContext<'_, '_>, args: &Args<'_>) -> u64 {
    let [_, key, names @ ..] = args else { return 0 };
    let Some(entry) = context.reader.entry(key) else { return 0 };
    let ValueRef::Object(object) = entry.value() else { return 0 };
    let is_packed = match object {
        Object::Hash(hash) => hash.encoding() == Encoding::Listpack,
        Object::Set(set) => set.encoding() == Encoding::Listpack,
        Object::ZSet(set) => set.is_packed(),
        Object::List(_) | Object::Stream(_) => false,
    };
    let compared = if is_packed { (object.len() as u64).saturating_mul(names.len() as u64) } else { 0 };
    compared.saturating_mul(STEPS_PER_COMPARISON)
}

/// SPOP, LPOP, RPOP, ZPOPMIN, ZPOPMAX with a count.
pub fn pops(context: &CostContext<'_, '_>, args: &Args<'_>) -> u64 {
    let [_, key, count] = args else { return 0 };
    of_removed(count_of(count).min(context.size(key).elements))
}

/// LMPOP, ZMPOP.
pub fn pops_from_first(context: &CostContext<'_, '_>, args: &Args<'_>) -> u64 {
    let [.., word, count] = args else { return 0 };
    if !is(word, "COUNT") {
        return 0;
    }
    let keys = usize::try_from(count_of(args[1])).unwrap_or(usize::MAX);
    let sizes = args.iter().skip(2).take(keys).map(|key| context.size(key).elements);
    of_removed(count_of(count).min(sizes.max().unwrap_or(0)))
}

/// LTRIM.
pub fn trims_list(context: &CostContext<'_, '_>, args: &Args<'_>) -> u64 {
    let [_, key, start, stop] = args else { return 0 };
    let (Ok(start), Ok(stop)) = (integer(start), integer(stop)) else { return 0 };
    let len = len_of_list(context, key);
    let kept = index_range(start, stop, len);
    let passed = of_passed(kept.start, len) + of_passed(kept.end, len);
    of_removed((len - kept.len()) as u64).saturating_add(passed)
}

/// LINDEX, LSET, LRANGE: the way to the first element.
pub fn finds_place(context: &CostContext<'_, '_>, args: &Args<'_>) -> u64 {
    let [_, key, index, ..] = args else { return 0 };
    let len = len_of_list(context, key);
    let place = integer(index).ok().and_then(|index| index_in(index, len));
    place.map_or(0, |place| of_passed(place, len))
}

fn count_of(arg: &[u8]) -> u64 {
    integer(arg).ok().and_then(|count| u64::try_from(count).ok()).unwrap_or(0)
}

/// Steps in which a number of elements is removed.
pub fn of_removed(elements: u64) -> u64 {
    elements.saturating_mul(STEPS_PER_ELEMENT)
}

fn len_of_list(context: &CostContext<'_, '_>, key: &[u8]) -> usize {
    context.reader.collection::<List>(key).ok().flatten().map_or(0, List::len)
}

/// What it takes to find an element from the nearer end of its list: a step for each that is passed within its chunk.
fn of_passed(place: usize, len: usize) -> u64 {
    let passed = place.min(len - place) as u64;
    passed.min(CHUNK_ELEMENTS)
}
