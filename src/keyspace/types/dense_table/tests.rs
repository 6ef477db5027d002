use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;

struct Whole;

impl Record for Whole {
    fn key(record: &[u8]) -> &[u8] {
        record
    }
}

fn table_of(keys: impl IntoIterator<Item = u32>) -> DenseTable<Whole> {
    let mut table = DenseTable::new(HashSeed::new(1, 0));
    for key in keys {
        insert(&mut table, key);
    }
    table
}

fn insert(table: &mut DenseTable<Whole>, key: u32) -> bool {
    let key = key.to_string();
    table.insert(key.as_bytes(), &[key.as_bytes()]).is_none()
}

fn remove(table: &mut DenseTable<Whole>, key: u32) -> bool {
    let found = table.find(key.to_string().as_bytes());
    found.map(|position| table.swap_remove(position)).is_some()
}

fn scan_step(table: &DenseTable<Whole>, cursor: u64, count: usize, seen: &mut Vec<u32>) -> u64 {
    table.scan(cursor, count, |key| {
        let key = std::str::from_utf8(key).expect("keys are digits");
        seen.push(key.parse().expect("keys are digits"));
    })
}

#[test]
fn a_hundred_thousand_keys_are_found_and_removed_again() {
    let mut table = table_of(0..100_000);
    assert_eq!(table.len(), 100_000);
    assert!(!insert(&mut table, 500));
    for key in 0..100_000 {
        let found = table.find(key.to_string().as_bytes());
        assert_eq!(found, Some(key as usize));
    }
    let full = table.heap_bytes();
    for key in 0..100_000 {
        assert!(remove(&mut table, key), "{key}");
    }
    assert_eq!((table.len(), table.find(b"5")), (0, None));
    assert!(table.heap_bytes() < full / 100, "{} of {full}", table.heap_bytes());
}

#[test]
fn a_scan_of_an_unchanged_table_sees_every_key_once_in_steps_of_about_count() {
    let table = table_of(0..30_000);
    for count in [1, 10, 1000, 100_000] {
        let (mut seen, mut cursor, mut steps) = (Vec::new(), 0, 0);
        loop {
            cursor = scan_step(&table, cursor, count, &mut seen);
            steps += 1;
            if cursor == 0 {
                break;
            }
        }
        assert!(steps <= 30_000_usize.div_ceil(count), "{steps} steps of {count}");
        assert!(seen.len() <= steps * (count + 3 * count.max(12)), "{steps} steps of {count}");
        seen.sort_unstable();
        assert_eq!(seen, (0..30_000).collect::<Vec<_>>());
    }
}

#[test]
fn a_scan_of_a_table_that_was_emptied_ends() {
    let mut table = table_of(0..20_000);
    for key in 0..19_990 {
        remove(&mut table, key);
    }
    let (mut seen, mut cursor) = (Vec::new(), 0);
    loop {
        cursor = scan_step(&table, cursor, 1, &mut seen);
        if cursor == 0 {
            break;
        }
    }
    seen.sort_unstable();
    assert_eq!(seen, (19_990..20_000).collect::<Vec<_>>());
}

#[test]
fn keys_with_colliding_hashes_make_pages_long_and_not_the_directory() {
    let mut index = Index::new();
    let place = Place::of_hash(u64::MAX);
    for position in 0..5000 {
        index.insert(place, position, |_| place);
    }
    assert_eq!(index.find(place, |position| position == 4999), Some(4999));
    assert!(index.heap_bytes() < 5000 * 10);
    for position in 0..5000 {
        index.remove(place, position);
    }
    assert_eq!(index.find(place, |_| true), None);
}

/// What happens to a table while someone scans it.
#[derive(Debug, Clone)]
enum Op {
    Insert(u32),
    Remove(u32),
    Grow(u32),
    Shrink(u32),
    Scan(usize),
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        4 => (0..3000u32).prop_map(Op::Insert),
        4 => (0..3000u32).prop_map(Op::Remove),
        1 => (0..3000u32).prop_map(Op::Grow),
        1 => (0..3000u32).prop_map(Op::Shrink),
        4 => (1..100usize).prop_map(Op::Scan),
    ]
}

/// Keys that nobody removes: a scan owes them to its caller.
const STABLE: std::ops::Range<u32> = 10_000..10_200;

struct Story {
    table: DenseTable<Whole>,
    model: BTreeSet<u32>,
    cursor: u64,
    seen: Vec<u32>,
}

impl Story {
    fn insert(&mut self, key: u32) {
        assert_eq!(insert(&mut self.table, key), self.model.insert(key));
    }

    fn remove(&mut self, key: u32) {
        assert_eq!(remove(&mut self.table, key), self.model.remove(&key));
    }

    fn scan(&mut self, count: usize) {
        self.cursor = scan_step(&self.table, self.cursor, count, &mut self.seen);
        if self.cursor == 0 {
            let seen: BTreeSet<u32> = self.seen.drain(..).collect();
            assert!(STABLE.clone().all(|key| seen.contains(&key)));
        }
    }

    fn apply(&mut self, op: Op) {
        match op {
            Op::Insert(key) => self.insert(key),
            Op::Remove(key) => self.remove(key),
            Op::Grow(from) => (from..from + 700).for_each(|key| self.insert(key)),
            Op::Shrink(from) => (from..from + 900).for_each(|key| self.remove(key)),
            Op::Scan(count) => self.scan(count),
        }
    }

    fn check(&self) {
        let mut keys: Vec<u32> = (0..self.table.len())
            .map(|position| String::from_utf8_lossy(self.table.get(position)).parse())
            .collect::<Result<_, _>>()
            .expect("keys are digits");
        let again = table_of(keys.iter().copied());
        assert!((0..keys.len()).all(|position| self.table.get(position) == again.get(position)));
        keys.sort_unstable();
        assert!(keys.iter().eq(self.model.iter()));
        assert!(keys.iter().all(|key| self.table.find(key.to_string().as_bytes()).is_some()));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn scans_miss_nothing_while_the_table_grows_and_shrinks(ops in prop::collection::vec(op(), 1..80)) {
        let mut story = Story {
            table: table_of(STABLE),
            model: STABLE.collect(),
            cursor: 0,
            seen: Vec::new(),
        };
        for op in ops {
            story.apply(op);
        }
        while story.cursor != 0 {
            story.scan(50);
        }
        story.check();
    }
}
