use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;
use crate::keyspace::entry::Marks;
use crate::keyspace::value::ValueRef;

const NONE: HashSeed = HashSeed::NONE;

fn entry(number: usize) -> Entry {
    Entry::string(format!("key:{number}").as_bytes(), &number.to_le_bytes(), None)
}

fn table(numbers: impl IntoIterator<Item = usize>) -> SlotTable {
    let mut table = SlotTable::default();
    numbers.into_iter().for_each(|number| assert!(table.insert(NONE, entry(number)).is_none()));
    table
}

fn find<'a>(table: &'a SlotTable, seed: HashSeed, key: &[u8]) -> Option<&'a Entry> {
    table.find(KeyHash::of(key, seed), key)
}

fn number_in(entry: &Entry) -> usize {
    match entry.value() {
        ValueRef::String(bytes) => usize::from_le_bytes(bytes.try_into().expect("made above")),
        ValueRef::Object(_) => panic!("expected a string"),
    }
}

#[test]
fn what_is_inserted_is_found_until_it_is_removed_also_across_splits() {
    let many = if cfg!(miri) { 300 } else { 3 * LEAF_ENTRIES };
    let mut table = table(0..many);
    assert_eq!(table.len(), many);
    for number in 0..many {
        let key = format!("key:{number}");
        assert_eq!(find(&table, NONE, key.as_bytes()).map(number_in), Some(number));
    }
    assert_eq!(table.iter().map(number_in).collect::<BTreeSet<_>>().len(), many);
    for number in 0..many {
        assert_eq!(
            table.remove(NONE, format!("key:{number}").as_bytes()).as_ref().map(number_in),
            Some(number)
        );
    }
    assert!(table.is_empty() && find(&table, NONE, b"key:1").is_none());
}

/// Numbers in the order of a scan.
fn order(table: &SlotTable, seed: HashSeed) -> Vec<usize> {
    let mut order = Vec::new();
    assert_eq!(table.scan(seed, 0, usize::MAX, &mut |entry| order.push(number_in(entry))), None);
    order
}

fn place(number: usize, seed: HashSeed) -> u64 {
    KeyHash::of(format!("key:{number}").as_bytes(), seed).place
}

#[test]
fn another_seed_gives_another_order_and_the_same_entries() {
    let many = if cfg!(miri) { 100 } else { 2 * LEAF_ENTRIES };
    let (mut table, seed) = (table(0..many), HashSeed::new(3, 4));
    let before = order(&table, NONE);
    table.reseed(seed);
    let after = order(&table, seed);
    assert!((table.len(), after.len()) == (many, many) && after != before);
    let places: Vec<u64> = after.iter().map(|number| place(*number, seed) >> 36).collect();
    let moved = places.windows(2).filter(|two| two[0] > two[1]).count();
    assert!(moved < many / 4, "{moved} are out of the seed's order, which probing alone does to few");
    for number in 0..many {
        assert_eq!(find(&table, seed, format!("key:{number}").as_bytes()).map(number_in), Some(number));
    }
}

#[test]
fn a_walk_during_which_the_seed_changes_begins_again() {
    let mut table = table(0..500);
    let (mut place, mut steps, mut seed) = (Some(WalkPlace::default()), 0, NONE);
    let mut seen = BTreeSet::new();
    while let Some(from) = place {
        if steps == 5 {
            seen.clear();
            seed = HashSeed::new(3, 4);
            table.reseed(seed);
        }
        place = table.walk_mut(seed, from, 32, &mut |entry| {
            seen.insert(number_in(entry));
            0
        });
        steps += 1;
    }
    assert!(steps > 6 && seen.len() == 500, "{steps} steps, {} seen", seen.len());
}

#[test]
fn a_pick_is_some_entry_as_long_as_there_is_one() {
    assert!(SlotTable::default().pick(7).is_none());
    let table = table(0..10);
    let picked: BTreeSet<usize> =
        (0..64u64).filter_map(|point| table.pick(point << 58)).map(number_in).collect();
    assert!(picked.len() > 3, "{picked:?}");
}

#[test]
fn a_scan_in_small_steps_sees_everything_that_stays_while_the_table_grows_and_shrinks() {
    let stays = if cfg!(miri) { 40 } else { 2 * LEAF_ENTRIES };
    let mut table = table(0..stays);
    let mut seen = BTreeSet::new();
    let (mut position, mut step) = (Some(0), 0);
    while let Some(from) = position {
        position = table.scan(NONE, from, 7, &mut |entry| seen.extend([number_in(entry)]));
        assert!(position.is_none_or(|next| next > from), "a scan moves forward");
        // Half of the walk the table grows, then it shrinks again.
        let (visitor, shrinking) = (stays + step / 2, step >= 600);
        match shrinking {
            false => (0..20).for_each(|n| drop(table.insert(NONE, entry(visitor * 20 + n)))),
            true => (0..20).for_each(|n| {
                let gone = (stays + (step - 600) / 2) * 20 + n;
                drop(table.remove(NONE, format!("key:{gone}").as_bytes()));
            }),
        }
        step += 1;
    }
    assert!((0..stays).all(|number| seen.contains(&number)));
}

#[test]
fn a_walk_for_changes_is_bounded_by_the_cells_that_it_looks_at() {
    let many = if cfg!(miri) { 60 } else { 3 * LEAF_ENTRIES };
    let mut table = table(0..many);
    let (mut position, mut steps, mut seen) = (Some(0), 0, 0);
    while let Some(from) = position {
        let before = seen;
        position = table.scan_mut(from, 64, &mut |_| {
            seen += 1;
            0
        });
        assert!(position.is_none_or(|next| next > from), "a walk moves forward");
        assert!(seen - before < 64 + 600, "64 cells, and on to the next gap");
        steps += 1;
    }
    assert!(seen >= many && steps >= many / 64);
    // What a visit costs counts as well.
    let mut visits = 0;
    table.scan_mut(0, 1000, &mut |_| {
        visits += 1;
        500
    });
    assert!((2..600).contains(&visits));
}

/// Some entries that come or go between two steps of a walk.
#[derive(Clone, Debug)]
struct Turn {
    budget: usize,
    first: usize,
    count: usize,
    insert: bool,
}

fn turns() -> impl Strategy<Value = Vec<Turn>> {
    let most = if cfg!(miri) { 10 } else { 700usize };
    let turn = (1..3000usize, 0..8000usize, 0..most, any::<bool>());
    let turn = turn.prop_map(|(budget, first, count, insert)| Turn { budget, first, count, insert });
    prop::collection::vec(turn, 1..40)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(if cfg!(miri) { 2 } else { 64 }))]

    #[test]
    fn a_walk_for_changes_sees_everything_that_stays(stays in 0usize..5000, turns in turns()) {
        let stays = if cfg!(miri) { stays % 50 } else { stays };
        let mut table = table(0..stays);
        let mut seen = BTreeSet::new();
        let mut position = Some(0);
        for turn in turns.iter().cycle().take(100_000) {
            let Some(from) = position else { break };
            position = table.scan_mut(from, turn.budget, &mut |entry| {
                entry.set_marks(Marks::STORED);
                seen.extend([number_in(entry)]);
                1
            });
            for number in (stays + turn.first..).take(turn.count) {
                match turn.insert {
                    true => drop(table.insert(NONE, entry(number))),
                    false => drop(table.remove(NONE, format!("key:{number}").as_bytes())),
                }
            }
        }
        prop_assert_eq!(position, None);
        for number in 0..stays {
            let marks = find(&table, NONE, format!("key:{number}").as_bytes()).map(Entry::marks);
            prop_assert_eq!(marks, Some(Marks::STORED));
            prop_assert!(seen.contains(&number));
        }
    }
}

proptest! {
    #[test]
    fn a_table_is_a_map(operations in prop::collection::vec((0usize..200, any::<bool>()), 0..600)) {
        let mut table = SlotTable::default();
        let mut model = BTreeSet::new();
        for (number, insert) in operations {
            if insert {
                prop_assert_eq!(table.insert(NONE, entry(number)).is_some(), !model.insert(number));
            } else {
                let removed = table.remove(NONE, format!("key:{number}").as_bytes());
                prop_assert_eq!(removed.is_some(), model.remove(&number));
            }
            prop_assert_eq!(table.len(), model.len());
        }
        let mut scanned = Vec::new();
        let mut position = Some(0);
        while let Some(from) = position {
            position = table.scan(NONE, from, 3, &mut |entry| scanned.push(number_in(entry)));
        }
        let distinct: BTreeSet<usize> = scanned.iter().copied().collect();
        prop_assert_eq!(distinct.len(), scanned.len(), "nothing twice where nothing changes");
        prop_assert_eq!(distinct, model);
    }
}

/// What happens to keys with deadlines.
#[derive(Clone, Debug)]
enum Fate {
    Insert(usize, Option<i64>),
    Defer(usize, Option<i64>),
    Remove(usize),
    Grow(usize),
    Shrink(usize),
    Search(i64, usize),
}

fn fate() -> impl Strategy<Value = Fate> {
    let deadline = || prop::option::of(0..100i64);
    prop_oneof![
        6 => (0..300usize, deadline()).prop_map(|(number, at_ms)| Fate::Insert(number, at_ms)),
        4 => (0..300usize, deadline()).prop_map(|(number, at_ms)| Fate::Defer(number, at_ms)),
        4 => (0..300usize).prop_map(Fate::Remove),
        1 => (300..9000usize).prop_map(Fate::Grow),
        1 => (300..9000usize).prop_map(Fate::Shrink),
        2 => (0..100i64, 1..200usize).prop_map(|(now_ms, budget)| Fate::Search(now_ms, budget)),
    ]
}

/// Numbers of the dead that a search finds.
fn dead_at(table: &mut SlotTable, now_ms: i64, budget: usize) -> BTreeSet<usize> {
    let mut dead = BTreeSet::new();
    let mut found = |entry: &Entry| {
        dead.insert(number_in(entry));
        0
    };
    table.search_dead(&mut DeadSearch::new(now_ms, budget, &mut found));
    dead
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(if cfg!(miri) { 2 } else { 64 }))]

    #[test]
    fn a_search_finds_all_that_is_dead_and_nothing_else(fates in prop::collection::vec(fate(), 1..200)) {
        let mut table = SlotTable::default();
        let mut model = std::collections::BTreeMap::new();
        let key = |number: usize| format!("key:{number}").into_bytes();
        for fate in fates {
            match fate {
                Fate::Insert(number, at_ms) => {
                    table.insert(NONE, Entry::string(&key(number), &number.to_le_bytes(), at_ms));
                    model.insert(number, at_ms);
                }
                Fate::Defer(number, at_ms) => {
                    let found = table.change(KeyHash::of(&key(number), NONE), &key(number), |entry| entry.set_deadline(at_ms)).is_some();
                    prop_assert_eq!(found, model.get_mut(&number).map(|old| *old = at_ms).is_some());
                }
                Fate::Remove(number) => {
                    prop_assert_eq!(table.remove(NONE, &key(number)).is_some(), model.remove(&number).is_some());
                }
                Fate::Grow(from) => (from..from + 3000).for_each(|number| {
                    table.insert(NONE, entry(number));
                    model.insert(number, None);
                }),
                Fate::Shrink(from) => (from..from + 3000).for_each(|number| {
                    table.remove(NONE, &key(number));
                    model.remove(&number);
                }),
                Fate::Search(now_ms, budget) => {
                    let dead = dead_at(&mut table, now_ms, budget);
                    prop_assert!(dead.iter().all(|number| model[number].is_some_and(|at_ms| at_ms <= now_ms)));
                }
            }
        }
        for now_ms in [30, 60, 99, 10] {
            let dead = model.iter().filter(|(_, at_ms)| at_ms.is_some_and(|at_ms| at_ms <= now_ms));
            let dead: BTreeSet<usize> = dead.map(|(number, _)| *number).collect();
            prop_assert_eq!(dead_at(&mut table, now_ms, usize::MAX), dead);
        }
    }
}
