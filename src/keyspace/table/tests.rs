use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;
use crate::keyspace::value::ValueRef;

fn entry(number: usize) -> Entry {
    Entry::string(format!("key:{number}").as_bytes(), &number.to_le_bytes(), None)
}

fn table(numbers: impl IntoIterator<Item = usize>) -> SlotTable {
    let mut table = SlotTable::default();
    numbers.into_iter().for_each(|number| assert!(table.insert(entry(number)).is_none()));
    table
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
        assert_eq!(table.find(key.as_bytes()).map(number_in), Some(number));
    }
    assert_eq!(table.iter().map(number_in).collect::<BTreeSet<_>>().len(), many);
    for number in 0..many {
        assert_eq!(table.remove(format!("key:{number}").as_bytes()).as_ref().map(number_in), Some(number));
    }
    assert!(table.is_empty() && table.find(b"key:1").is_none());
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
        position = table.scan(from, 7, &mut |entry| seen.extend([number_in(entry)]));
        assert!(position.is_none_or(|next| next > from), "a scan moves forward");
        // Half of the walk the table grows, then it shrinks again.
        let (visitor, shrinking) = (stays + step / 2, step >= 600);
        match shrinking {
            false => (0..20).for_each(|n| drop(table.insert(entry(visitor * 20 + n)))),
            true => (0..20).for_each(|n| {
                let gone = (stays + (step - 600) / 2) * 20 + n;
                drop(table.remove(format!("key:{gone}").as_bytes()));
            }),
        }
        step += 1;
    }
    assert!((0..stays).all(|number| seen.contains(&number)));
}

proptest! {
    #[test]
    fn a_table_is_a_map(operations in prop::collection::vec((0usize..200, any::<bool>()), 0..600)) {
        let mut table = SlotTable::default();
        let mut model = BTreeSet::new();
        for (number, insert) in operations {
            if insert {
                prop_assert_eq!(table.insert(entry(number)).is_some(), !model.insert(number));
            } else {
                let removed = table.remove(format!("key:{number}").as_bytes());
                prop_assert_eq!(removed.is_some(), model.remove(&number));
            }
            prop_assert_eq!(table.len(), model.len());
        }
        let mut scanned = Vec::new();
        let mut position = Some(0);
        while let Some(from) = position {
            position = table.scan(from, 3, &mut |entry| scanned.push(number_in(entry)));
        }
        let distinct: BTreeSet<usize> = scanned.iter().copied().collect();
        prop_assert_eq!(distinct.len(), scanned.len(), "nothing twice where nothing changes");
        prop_assert_eq!(distinct, model);
    }
}
