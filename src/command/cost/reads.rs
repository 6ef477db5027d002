//! What commands cost that only read: a turn answers reads beside what it logs, and both have one bound.
//!
//! - A row without a function of its own looks up what its arguments name: their bytes tell ([`of_short_read`]).
//! - Work on bytes is counted in steps, too: a step is about the time in which an element is touched.
//! - A text that is compared with a pattern is charged by its bytes: a glob looks at each up to 16 times.
//! - Where commands are planned before the read and not applied, the cost is told for the most that they may add.

use super::{Cost, CostContext, CostKind, MATCHED_BYTES_PER_STEP, MAX_STEPS, Size, of_bytes, too_many_steps};
use crate::command::args::{index_range, integer, is};
use crate::command::{Args, Command, CommandError, ReadContext, sample};
use crate::glob::matches_all;
use crate::keyspace::entry::Entry;
use crate::keyspace::slot::{RANGES, SLOTS};
use crate::keyspace::types::hash::Hash;
use crate::keyspace::types::list::List;
use crate::keyspace::value::{Object, ValueRef};

/// Bytes of arguments that are looked up within a step. An argument takes two bytes at least.
const ARGUMENT_BYTES_PER_STEP: u64 = 4;
/// Bytes of a pattern that are compared with a text within a step.
const PATTERN_BYTES_PER_STEP: u64 = 8;
/// Steps in which all slots are passed.
const WALK_OF_SLOTS: u64 = SLOTS as u64 / 16;
/// Elements that a collection has in one piece at most: a scan visits all of a piece.
const PIECE: u64 = 512;
/// A short element takes no more, with what keeps it in place.
const SHORT_ELEMENT_BYTES: u64 = 128;
/// Elements that a scan visits where COUNT does not say.
const SCANNED: u64 = 10;

/// What a read costs that looks up what its arguments name, `bytes` in all.
pub fn of_short_read(bytes: usize) -> u64 {
    1 + bytes as u64 / ARGUMENT_BYTES_PER_STEP
}

/// What a read costs by its row.
pub fn of_read(command: &Command, context: &CostContext<'_, '_>, args: &Args<'_>) -> u64 {
    match command.cost.measure() {
        Some(measure) => measure(context, args).steps,
        None => of_short_read(args.iter().map(|arg| 2 + arg.len()).sum()),
    }
}

/// The steps of the reads of one command or one transaction, added up as they run.
#[derive(Debug)]
pub struct ReadSteps {
    what: &'static str,
    taken: u64,
}

impl ReadSteps {
    pub fn of_command() -> Self {
        ReadSteps { what: "command", taken: 0 }
    }

    pub fn of_transaction() -> Self {
        ReadSteps { what: "transaction", taken: 0 }
    }

    /// Refuses a read that would touch too many elements with those before it.
    pub fn take(
        &mut self,
        command: &Command,
        context: &ReadContext<'_>,
        args: &Args<'_>,
    ) -> Result<(), CommandError> {
        let Some(measure) = command.cost.measure() else { return Ok(()) };
        let steps = measure(&CostContext::new(context, &Default::default()), args).steps;
        let sum = self.taken.saturating_add(steps);
        if sum > MAX_STEPS {
            return Err(too_many_steps(self.what, sum));
        }
        self.taken = sum;
        Ok(())
    }
}

/// All that a key holds, element by element.
pub const WHOLE_VALUE: CostKind = CostKind::Measured(super::walk);
/// KEYS.
pub const KEYS: CostKind = CostKind::Measured(keys);
/// SCAN.
pub const SCAN: CostKind = CostKind::Measured(scan);
/// RANDOMKEY.
pub const RANDOM_KEY: CostKind = CostKind::Measured(random_key);
/// HSCAN, SSCAN, ZSCAN.
pub const SCAN_OF_KEY: CostKind = CostKind::Measured(scan_of_key);
/// HRANDFIELD, SRANDMEMBER, ZRANDMEMBER.
pub const PICKS: CostKind = CostKind::Measured(picks);
/// LRANGE.
pub const LIST_RANGE: CostKind = CostKind::Measured(list_range);
/// LPOS.
pub const LIST_SEARCH: CostKind = CostKind::Measured(list_search);
/// DUMP.
pub const DUMP: CostKind = CostKind::Measured(values::<1>);
/// DEBUG DIGEST-VALUE.
pub const DIGESTS: CostKind = CostKind::Measured(values::<2>);

/// The most keys that the selected database may have.
fn keys_of(context: &CostContext<'_, '_>) -> u64 {
    let reader = context.reader;
    let keys = reader.usage(reader.db).keys as u64;
    keys.saturating_add(context.gained_anywhere().elements)
}

/// What it takes to compare a text with a pattern of so many bytes.
fn matching(pattern_bytes: usize) -> u64 {
    1 + pattern_bytes as u64 / PATTERN_BYTES_PER_STEP
}

fn keys(context: &CostContext<'_, '_>, args: &Args<'_>) -> Cost {
    let pattern_bytes = args.get(1).map_or(0, |pattern| pattern.len());
    let walked = keys_of(context).saturating_mul(matching(pattern_bytes));
    let names =
        args.get(1).filter(|pattern| !matches_all(pattern)).map_or(0, |_| of_names(context, u64::MAX));
    Cost::of_args(args).walking(walked).walking(names).walking(WALK_OF_SLOTS)
}

/// What it takes to compare so many names of keys with a pattern, beside what it takes to compare short ones.
fn of_names(context: &CostContext<'_, '_>, names: u64) -> u64 {
    let now = context.reader.long_names().most_bytes(names);
    now.saturating_add(context.forecast.bytes_of_names(names)) / MATCHED_BYTES_PER_STEP
}

fn has_pattern(options: &Args<'_>) -> bool {
    options.windows(2).any(|pair| is(pair[0], "MATCH") && !matches_all(pair[1]))
}

/// The greatest number that comes after a word.
fn greatest(options: &Args<'_>, word: &str) -> Option<u64> {
    let named = options.windows(2).filter(|pair| is(pair[0], word));
    named.filter_map(|pair| u64::try_from(integer(pair[1]).ok()?).ok()).max()
}

/// The elements that a scan is to visit, and what each of them takes.
fn scanned(options: &Args<'_>) -> (u64, u64) {
    let longest = options.iter().map(|option| option.len()).max().unwrap_or(0);
    (greatest(options, "COUNT").unwrap_or(SCANNED), matching(longest))
}

fn scan(context: &CostContext<'_, '_>, args: &Args<'_>) -> Cost {
    let options = args.get(2..).unwrap_or_default();
    let (count, each) = scanned(options);
    let visited = if count > WALK_OF_SLOTS { count.min(keys_of(context)) } else { count };
    let names = if has_pattern(options) { of_names(context, visited) } else { 0 };
    Cost::of_args(args).walking(visited.saturating_mul(each)).walking(names).walking(WALK_OF_SLOTS)
}

/// Where it meets nothing but the dead, it looks through all keys for one that lives.
fn random_key(context: &CostContext<'_, '_>, args: &Args<'_>) -> Cost {
    let reader = context.reader;
    let usage = reader.usage(reader.db);
    let cost = Cost::of_args(args).walking(WALK_OF_SLOTS);
    let may_meet_dead =
        || (0..RANGES).any(|range| reader.ranges().range(range).earliest_ms(reader.db) <= reader.now_ms);
    let may_all_be_dead = usage.with_deadline == usage.keys && may_meet_dead();
    if may_all_be_dead { cost.walking(usage.keys as u64) } else { cost }
}

fn scan_of_key(context: &CostContext<'_, '_>, args: &Args<'_>) -> Cost {
    let options = args.get(3..).unwrap_or_default();
    let (count, each) = scanned(options);
    let size = args.get(1).map_or(Size::default(), |key| context.size(key));
    let visited = size.elements.min(count.max(PIECE));
    let cost = Cost::of_args(args).walking(visited.saturating_mul(each));
    // Each visited element may be a short text.
    if !has_pattern(options) || size.bytes / MATCHED_BYTES_PER_STEP <= visited {
        return cost;
    }
    cost.walking(matched_bytes(context, args, size, visited) / MATCHED_BYTES_PER_STEP)
}

/// Bytes of the fields or members that a scan will visit. What is planned may add some, and may let it come by others.
fn matched_bytes(context: &CostContext<'_, '_>, args: &Args<'_>, size: Size, visited: u64) -> u64 {
    let [_, key, cursor, options @ ..] = args else { return 0 };
    let entry = context.reader.entry(key);
    let count = greatest(options, "COUNT").and_then(|count| usize::try_from(count).ok());
    let cursor = crate::command::scan::cursor(cursor).unwrap_or_default();
    let now = entry.map_or(0, |entry| scanned_bytes(entry, cursor, count.unwrap_or(SCANNED as usize).max(1)));
    if context.is_exact_for(key) {
        return now;
    }
    let long = size.bytes.saturating_sub(size.elements.saturating_mul(SHORT_ELEMENT_BYTES));
    let held = entry.map_or(0, |entry| Size::of(entry).bytes);
    let others = if size.elements <= visited { size.bytes.saturating_sub(held) } else { long };
    now.saturating_add(others)
}

/// Bytes of fields or members from a cursor on.
fn scanned_bytes(entry: &Entry, cursor: u64, count: usize) -> u64 {
    let mut bytes = 0_u64;
    let mut add = |text: &[u8]| bytes += text.len() as u64;
    match entry.value() {
        ValueRef::Object(Object::Hash(hash)) => drop(hash.scan(cursor, count, |field, _| add(field))),
        ValueRef::Object(Object::Set(set)) => drop(set.scan(cursor, count, add)),
        ValueRef::Object(Object::ZSet(set)) => drop(set.scan(cursor, count, |entry| add(entry.member))),
        ValueRef::Object(Object::List(_) | Object::Stream(_)) | ValueRef::String(_) => {}
    }
    bytes
}

/// Where fields of a hash are dead, the others are gathered first.
fn picks(context: &CostContext<'_, '_>, args: &Args<'_>) -> Cost {
    let cost = Cost::of_args(args);
    let Some(key) = args.get(1) else { return cost };
    let hash = context.reader.collection::<Hash>(key).ok().flatten();
    let deadline_ms = hash.and_then(Hash::earliest_deadline);
    let gathered = match deadline_ms.is_some_and(|deadline_ms| deadline_ms <= context.reader.now_ms) {
        true => context.size(key).elements,
        false => 0,
    };
    let parts = if args.len() > 3 { 2 } else { 1 };
    let picked = match args.get(2).map(|count| integer(count)) {
        _ if context.size(key) == Size::default() => 0,
        // It will be refused for that.
        Some(Ok(count)) if sample::in_range(count, parts).is_err() => 0,
        Some(Ok(count @ 0..)) => context.size(key).elements.min(count as u64),
        Some(Ok(count)) => count.unsigned_abs(),
        Some(Err(_)) | None => 1,
    };
    cost.walking(gathered).walking(picked)
}

fn list_range(context: &CostContext<'_, '_>, args: &Args<'_>) -> Cost {
    let cost = Cost::of_args(args);
    let [_, key, start, stop] = args else { return cost };
    let (Ok(start), Ok(stop)) = (integer(start), integer(stop)) else { return cost };
    let list = context.reader.collection::<List>(key).ok().flatten();
    cost.walking(of_places(context, key, (start, stop), list.map_or(0, List::len)))
}

/// Elements from one place to another of a collection that has `len` of them now. Planned commands may add some, or take some.
pub fn of_places(context: &CostContext<'_, '_>, key: &[u8], (start, stop): (i64, i64), len: usize) -> u64 {
    if start < 0 && stop >= 0 && !context.is_exact() {
        return start.unsigned_abs().min(stop.unsigned_abs() + 1);
    }
    let now = index_range(start, stop, len).len() as u64;
    now.saturating_add(context.gained(key))
}

fn list_search(context: &CostContext<'_, '_>, args: &Args<'_>) -> Cost {
    let size = args.get(1).map_or(Size::default(), |key| context.size(key));
    let most = greatest(args.get(3..).unwrap_or_default(), "MAXLEN").filter(|most| *most > 0);
    let size = Size { elements: size.elements.min(most.unwrap_or(u64::MAX)), ..size };
    Cost::of_args(args).walking(size.elements).walking(super::of_comparing(size, args))
}

/// What the keys from a place on hold, with its bytes.
fn values<const FROM: usize>(context: &CostContext<'_, '_>, args: &Args<'_>) -> Cost {
    let sizes = args.get(FROM..).unwrap_or_default().iter().map(|key| context.size(key));
    let steps = sizes.map(|size| size.elements.saturating_add(of_bytes(size.bytes)));
    Cost::of_args(args).walking(steps.fold(0, u64::saturating_add))
}
