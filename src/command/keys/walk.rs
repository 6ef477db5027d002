//! Finding keys: KEYS, SCAN, RANDOMKEY.
//!
//! - A cursor is a slot (its low 14 bits) and a position in that slot's table (the bits above); 0 is the start and the end.
//! - A key that is there from the first step of a scan to the last is seen at least once, for that holds in every slot.

use crate::command::scan::{Page, ScanOptions, Scanned, cursor};
use crate::command::{Args, CommandResult, ReadContext};
use crate::glob::{self, Case, Glob};
use crate::keyspace::entry::Entry;
use crate::keyspace::range::LockRange;
use crate::keyspace::slot::{RANGES, SLOTS, SLOTS_PER_RANGE, Slot};
use crate::protocol::reply::Reply;

const SLOT_BITS: u32 = SLOTS.trailing_zeros();

/// How often RANDOMKEY picks again where it met a dead key.
const RANDOM_TRIES: usize = 100;

/// <https://redis.io/docs/latest/commands/keys/>
pub(super) fn keys(ctx: &ReadContext<'_>, args: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    let mut page = Page::of(reply);
    let (all, glob) = (glob::matches_all(args[1]), Glob::new(args[1], Case::Sensitive));
    let matching = ctx.entries().filter(|entry| all || glob.matches(entry.key()));
    for entry in matching {
        if page.is_over() {
            break;
        }
        page.push(entry.key());
    }
    page.write_array(reply);
    Ok(())
}

/// <https://redis.io/docs/latest/commands/scan/>
pub(super) fn scan(ctx: &ReadContext<'_>, args: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    let cursor = cursor(args[1])?;
    let options = ScanOptions::parse(Scanned::Keys, &args[2..])?;
    let mut page = Page::of(reply);
    let next = walk(ctx, cursor, options.count, &mut |entry| {
        if is_alive(ctx, entry) && has_type(entry, options.type_name) && options.accepts(entry.key()) {
            page.push(entry.key());
        }
    });
    page.write(next, reply);
    Ok(())
}

/// Whether an entry that was met is alive. Looking a dead one up by its key notes its death, if that is unsettled.
fn is_alive(ctx: &ReadContext<'_>, entry: &Entry) -> bool {
    !entry.is_dead_at(ctx.now_ms) || ctx.exists(entry.key())
}

fn has_type(entry: &Entry, name: Option<&[u8]>) -> bool {
    name.is_none_or(|name| name.eq_ignore_ascii_case(entry.value().value_type().name().as_bytes()))
}

/// Visits about `count` entries, the dead included, from a cursor on; returns the cursor to go on from.
fn walk(ctx: &ReadContext<'_>, cursor: u64, count: usize, visit: &mut dyn FnMut(&Entry)) -> u64 {
    let mut slot_number = (cursor % SLOTS as u64) as usize;
    let mut position = cursor >> SLOT_BITS;
    let mut left = count;
    while let Some(slot) = Slot::new(slot_number) {
        if left == 0 {
            return slot_number as u64;
        }
        let range = ctx.ranges().range(slot.range());
        if range.usage(ctx.db).keys == 0 {
            slot_number = (slot.range() + 1) * SLOTS_PER_RANGE;
            position = 0;
            continue;
        }
        let rest = range.table(ctx.db, slot).and_then(|table| {
            table.scan(range.hash_seed(), position, left, &mut |entry| {
                left = left.saturating_sub(1);
                visit(entry);
            })
        });
        if let Some(position) = rest {
            return position << SLOT_BITS | slot_number as u64;
        }
        slot_number += 1;
        position = 0;
    }
    0
}

/// KEYS for scripts: by name, for the order of a table depends on more than what it holds.
pub(super) fn keys_by_name(ctx: &ReadContext<'_>, args: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    let (all, glob) = (glob::matches_all(args[1]), Glob::new(args[1], Case::Sensitive));
    let matching = ctx.entries().map(Entry::key).filter(|key| all || glob.matches(key));
    let mut names: Vec<&[u8]> = matching.collect();
    names.sort_unstable();
    reply.array(names.len());
    reply.each(names, |reply, name| reply.bulk(name));
    Ok(())
}

/// SCAN for scripts: whole slots at a time, each by name. A cursor is a slot; of one from elsewhere the position is passed over.
pub(super) fn scan_by_slot(ctx: &ReadContext<'_>, args: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    let cursor = cursor(args[1])?;
    let options = ScanOptions::parse(Scanned::Keys, &args[2..])?;
    let mut page = Page::of(reply);
    let mut visited = 0;
    let mut next = (cursor % SLOTS as u64) as usize;
    while let Some(slot) = Slot::new(next).filter(|_| visited < options.count) {
        next += 1;
        let entries = entries_of_slot(ctx, slot);
        visited += entries.len();
        for entry in entries {
            if has_type(entry, options.type_name) && options.accepts(entry.key()) {
                page.push(entry.key());
            }
        }
    }
    page.write(if next < SLOTS { next as u64 } else { 0 }, reply);
    Ok(())
}

/// Living entries of a slot, by name.
fn entries_of_slot<'a>(ctx: &ReadContext<'a>, slot: Slot) -> Vec<&'a Entry> {
    let table = ctx.ranges().range(slot.range()).table(ctx.db, slot);
    let mut entries: Vec<&Entry> =
        table.into_iter().flat_map(|table| table.iter()).filter(|entry| is_alive(ctx, entry)).collect();
    entries.sort_unstable_by_key(|entry| entry.key());
    entries
}

/// RANDOMKEY for scripts: the pick is one of a slot's names in their order.
pub(super) fn random_by_name(ctx: &ReadContext<'_>, _: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    let slots = (0..SLOTS).filter_map(Slot::new);
    let living = slots.map(|slot| entries_of_slot(ctx, slot)).filter(|entries| !entries.is_empty());
    let slots: Vec<Vec<&Entry>> = living.collect();
    let total = slots.iter().map(Vec::len).sum::<usize>();
    if total == 0 {
        reply.null();
        return Ok(());
    }
    let nth = ctx.random.borrow_mut().below(total);
    reply.bulk_or_null(slots.iter().flatten().nth(nth).map(|entry| entry.key()));
    Ok(())
}

/// <https://redis.io/docs/latest/commands/randomkey/>
pub(super) fn randomkey(ctx: &ReadContext<'_>, _: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    let picked = (0..RANDOM_TRIES).find_map(|_| pick(ctx).filter(|entry| is_alive(ctx, entry)));
    reply.bulk_or_null(picked.or_else(|| ctx.entries().next()).map(Entry::key));
    Ok(())
}

/// Some entry, dead or alive, of a slot chosen by its number of keys.
fn pick<'a>(ctx: &ReadContext<'a>) -> Option<&'a Entry> {
    let ranges = (0..RANGES).map(|index| ctx.ranges().range(index));
    let total = ranges.clone().map(|range| range.usage(ctx.db).keys).sum::<usize>();
    let mut nth = (total > 0).then(|| ctx.random.borrow_mut().below(total))?;
    for (index, range) in ranges.enumerate() {
        let keys = range.usage(ctx.db).keys;
        if nth < keys {
            return pick_in_range(ctx, index, range, nth);
        }
        nth -= keys;
    }
    None
}

fn pick_in_range<'a>(
    ctx: &ReadContext<'a>,
    index: usize,
    range: &'a LockRange,
    mut nth: usize,
) -> Option<&'a Entry> {
    let slots = (index * SLOTS_PER_RANGE..(index + 1) * SLOTS_PER_RANGE).filter_map(Slot::new);
    for table in slots.filter_map(|slot| range.table(ctx.db, slot)) {
        if nth < table.len() {
            return table.pick(ctx.random.borrow_mut().next_u64());
        }
        nth -= table.len();
    }
    None
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use crate::command::testing::TestDb;

    /// Cursor and keys of one step.
    fn step(db: &mut TestDb, cursor: &str, options: &str) -> (String, Vec<String>) {
        let shown = db.show(&format!("SCAN {cursor} {options}"));
        let (cursor, keys) = shown[1..shown.len() - 2].split_once(" [").expect("a cursor and an array");
        (cursor.to_owned(), keys.split_whitespace().map(str::to_owned).collect())
    }

    fn scan_all(db: &mut TestDb, options: &str) -> BTreeSet<String> {
        let mut seen = BTreeSet::new();
        let mut cursor = "0".to_owned();
        loop {
            let (next, keys) = step(db, &cursor, options);
            seen.extend(keys);
            if next == "0" {
                return seen;
            }
            cursor = next;
        }
    }

    #[test]
    fn a_scan_sees_every_key_however_small_its_steps() {
        let mut db = TestDb::new();
        let all: BTreeSet<String> = (0..500).map(|n| format!("key:{n}")).collect();
        for key in &all {
            db.show(&format!("SET {key} v"));
        }
        for options in ["", "COUNT 1", "COUNT 7", "COUNT 1000000", "TYPE string", "MATCH key:*"] {
            assert_eq!(scan_all(&mut db, options), all, "{options}");
        }
        assert_eq!(scan_all(&mut db, "MATCH key:?").len(), 10);
        assert!(scan_all(&mut db, "TYPE hash").is_empty());
        assert!(scan_all(&mut db, "TYPE nonsense").is_empty());
    }

    #[test]
    fn a_scan_takes_no_more_than_it_was_asked_to() {
        let mut db = TestDb::new();
        (0..500).for_each(|n| drop(db.show(&format!("SET key:{n} v"))));
        let (_, keys) = step(&mut db, "0", "COUNT 20");
        assert!((20..60).contains(&keys.len()), "{}", keys.len());
    }

    #[test]
    fn keys_that_stay_are_seen_while_others_come_and_go() {
        let mut db = TestDb::new();
        (0..200).for_each(|n| drop(db.show(&format!("SET stay:{n} v"))));
        let (mut cursor, mut seen, mut round) = ("0".to_owned(), BTreeSet::new(), 0);
        loop {
            let (next, keys) = step(&mut db, &cursor, "COUNT 3");
            seen.extend(keys.into_iter().filter(|key| key.starts_with("stay")));
            db.show(&format!("SET come:{round} v"));
            db.show(&format!("DEL come:{}", round - 5));
            round += 1;
            if next == "0" {
                break;
            }
            cursor = next;
        }
        assert_eq!(seen.len(), 200);
    }

    #[test]
    fn cursors_and_options_are_checked() {
        let mut db = TestDb::new();
        assert_eq!(db.show("SCAN x"), "ERR invalid cursor");
        assert_eq!(db.show("SCAN 0 COUNT 0"), "ERR syntax error");
        assert_eq!(db.show("SCAN 0 NOVALUES"), "ERR syntax error");
        for end in ["18446744073709551615", "-1"] {
            assert_eq!(db.show(&format!("SCAN {end}")), "[0 []]");
        }
    }

    #[test]
    fn keys_lists_what_matches_and_lives() {
        let mut db = TestDb::new();
        db.show("MSET {t}one 1 {t}two 2 {t}four 4");
        db.show("SET {t}dead 1 PX 1");
        db.at(1_000_001);
        let mut found: Vec<String> =
            db.show("KEYS *o*")[1..].trim_end_matches(']').split(' ').map(str::to_owned).collect();
        found.sort();
        assert_eq!(found, ["{t}four", "{t}one", "{t}two"]);
        assert_eq!(db.show("KEYS *ead"), "[]");
    }

    #[test]
    fn randomkey_reaches_every_living_key_and_no_dead_one() {
        let mut db = TestDb::new();
        assert_eq!(db.show("RANDOMKEY"), "nil");
        (0..150).for_each(|n| drop(db.show(&format!("SET dead:{n} v PX 1"))));
        db.show("MSET a 1 b 2 c 3");
        db.at(1_000_001);
        let seen: BTreeSet<String> = (0..300).map(|_| db.show("RANDOMKEY")).collect();
        assert_eq!(seen.into_iter().collect::<Vec<_>>(), ["a", "b", "c"]);
    }
}
