//! What commands cost that only read: a turn answers reads beside what it logs, and both have one bound.
//!
//! - A row without a function of its own looks up what its arguments name: their bytes tell ([`of_short_read`]).
//! - Work on bytes is counted in steps, too: a step is about the time in which an element is touched.
//! - Where commands are planned before the read and not applied, the cost is told for the most that they may add.

use super::{Cost, CostContext, CostKind, MAX_STEPS, too_many_steps};
use crate::command::args::{index_range, integer, is};
use crate::command::{Args, Command, CommandError, ReadContext};
use crate::keyspace::slot::SLOTS;
use crate::keyspace::types::hash::Hash;
use crate::keyspace::types::list::List;

/// Bytes of arguments that are looked up within a step. An argument takes two bytes at least.
const ARGUMENT_BYTES_PER_STEP: u64 = 4;
/// Bytes of a pattern that are compared with a text within a step.
const PATTERN_BYTES_PER_STEP: u64 = 8;
/// Steps in which all slots are passed.
const WALK_OF_SLOTS: u64 = SLOTS as u64 / 16;
/// Elements that a collection has in one piece at most: a scan visits all of a piece.
const PIECE: u64 = 512;
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
    Cost::of_args(args).walking(walked).walking(WALK_OF_SLOTS)
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
    let (count, each) = scanned(args.get(2..).unwrap_or_default());
    let visited = if count > WALK_OF_SLOTS { count.min(keys_of(context)) } else { count };
    Cost::of_args(args).walking(visited.saturating_mul(each)).walking(WALK_OF_SLOTS)
}

/// Where it meets nothing but the dead, it looks through all keys for one that lives.
fn random_key(context: &CostContext<'_, '_>, args: &Args<'_>) -> Cost {
    let usage = context.reader.usage(context.reader.db);
    let cost = Cost::of_args(args).walking(WALK_OF_SLOTS);
    if usage.with_deadline < usage.keys { cost } else { cost.walking(usage.keys as u64) }
}

fn scan_of_key(context: &CostContext<'_, '_>, args: &Args<'_>) -> Cost {
    let (count, each) = scanned(args.get(3..).unwrap_or_default());
    let size = args.get(1).map_or(0, |key| context.size(key).elements);
    Cost::of_args(args).walking(size.min(count.max(PIECE)).saturating_mul(each))
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
    let picked = match args.get(2).map(|count| integer(count)) {
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
    let size = args.get(1).map_or(0, |key| context.size(key).elements);
    let most = greatest(args.get(3..).unwrap_or_default(), "MAXLEN").filter(|most| *most > 0);
    Cost::of_args(args).walking(size.min(most.unwrap_or(u64::MAX)))
}

/// What the keys from a place on hold, with its bytes.
fn values<const FROM: usize>(context: &CostContext<'_, '_>, args: &Args<'_>) -> Cost {
    let sizes = args.get(FROM..).unwrap_or_default().iter().map(|key| context.size(key));
    let steps = sizes.map(|size| size.elements.saturating_add(super::of_bytes(size.bytes)));
    Cost::of_args(args).walking(steps.fold(0, u64::saturating_add))
}
