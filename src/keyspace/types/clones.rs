//! Clones of big collections keep what they saw, whatever becomes of the original.
//!
//! A story changes a collection of several segments at random and clones it now and then; some clones go their own ways.
//! At the end all of them must be what their models say: elements, order, lookups, scans, encodings.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::thread;

use proptest::prelude::*;

use super::encoding::Encoding;
use super::hash::Hash;
use super::limits::TypeLimits;
use super::list::List;
use super::set::Set;
use super::zset::{ZSet, ZSetLimits};

const ELEMENTS: u32 = 10_000;
const CHANGES: usize = 1500;
/// A change in so many is a clone.
const CLONE_IN: u32 = 250;

/// A collection beside the plainest thing that behaves like it.
trait Twin: Clone + Send + Sync {
    fn filled() -> Self;
    fn change(&mut self, dice: &mut Dice);
    fn check(&self);
}

/// A pseudorandom sequence.
struct Dice(u64);

impl Dice {
    fn below(&mut self, end: u32) -> u32 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 33) % u64::from(end.max(1))) as u32
    }

    /// One that is likely to be there, or one that may not.
    fn name(&mut self) -> Vec<u8> {
        name(self.below(ELEMENTS * 5 / 4))
    }

    /// Mostly short; some beyond a block, some beyond what is copied with one.
    fn value(&mut self) -> Vec<u8> {
        let len = match self.below(20) {
            0 => 300,
            1 => 3000,
            short => short,
        };
        vec![self.below(256) as u8; len as usize]
    }
}

fn name(number: u32) -> Vec<u8> {
    format!("name:{number}").into_bytes()
}

fn story<T: Twin>(seed: u64) {
    let mut dice = Dice(seed);
    let (mut original, mut clones) = (T::filled(), Vec::new());
    for _ in 0..CHANGES {
        original.change(&mut dice);
        if dice.below(CLONE_IN) == 0 {
            clones.push(original.clone());
        }
    }
    for clone in clones.iter_mut().step_by(3) {
        (0..100).for_each(|_| clone.change(&mut dice));
    }
    clones.insert(dice.below(3).min(clones.len() as u32) as usize, original);
    while let Some(clone) = clones.pop() {
        clone.check();
    }
}

fn reading_beside_a_writer<T: Twin>() {
    let mut original = T::filled();
    let mut dice = Dice(1);
    for _ in 0..3 {
        let clone = original.clone();
        thread::scope(|scope| {
            scope.spawn(|| clone.check());
            (0..500).for_each(|_| original.change(&mut dice));
        });
    }
    original.check();
}

/// Names with values, where the last fills the gap of what is removed.
#[derive(Clone)]
struct Dense<V> {
    order: Vec<(Vec<u8>, V)>,
    positions: HashMap<Vec<u8>, usize>,
}

impl<V: Clone> Dense<V> {
    fn new() -> Self {
        Dense { order: Vec::new(), positions: HashMap::new() }
    }

    fn set(&mut self, name: Vec<u8>, value: V) -> bool {
        if let Some(position) = self.positions.get(&name) {
            self.order[*position].1 = value;
            return false;
        }
        self.positions.insert(name.clone(), self.order.len());
        self.order.push((name, value));
        true
    }

    fn remove(&mut self, name: &[u8]) -> bool {
        let Some(position) = self.positions.remove(name) else {
            return false;
        };
        self.order.swap_remove(position);
        if let Some((moved, _)) = self.order.get(position) {
            self.positions.insert(moved.clone(), position);
        }
        true
    }

    fn names(&self) -> BTreeSet<Vec<u8>> {
        self.positions.keys().cloned().collect()
    }
}

/// Everything that a scan in steps of ten visits.
fn scanned(mut step: impl FnMut(u64, &mut Vec<Vec<u8>>) -> u64) -> BTreeSet<Vec<u8>> {
    let (mut cursor, mut seen) = (0, Vec::new());
    loop {
        cursor = step(cursor, &mut seen);
        if cursor == 0 {
            return seen.into_iter().collect();
        }
    }
}

#[derive(Clone)]
struct HashTwin {
    hash: Hash,
    model: Dense<Vec<u8>>,
    deadlines: BTreeMap<Vec<u8>, i64>,
    limits: TypeLimits,
}

impl HashTwin {
    fn set(&mut self, field: Vec<u8>, value: Vec<u8>) {
        let new = self.hash.set(&field, &value, &self.limits);
        self.deadlines.remove(&field);
        assert_eq!(new, self.model.set(field, value));
    }

    fn remove(&mut self, field: &[u8]) {
        self.deadlines.remove(field);
        assert_eq!(self.hash.remove(field), self.model.remove(field));
    }

    fn expire(&mut self, field: Vec<u8>, at_ms: i64) {
        let found = self.model.positions.contains_key(&field);
        assert_eq!(self.hash.set_expire_at(&field, Some(at_ms), &TypeLimits::default()), found);
        if found {
            self.deadlines.insert(field, at_ms);
        }
    }

    fn remove_expired(&mut self, now_ms: i64) {
        let mut passed: Vec<(i64, Vec<u8>)> = self
            .deadlines
            .iter()
            .filter(|(_, at_ms)| **at_ms <= now_ms)
            .map(|(field, at_ms)| (*at_ms, field.clone()))
            .collect();
        passed.sort();
        for (_, field) in &passed {
            self.deadlines.remove(field);
            self.model.remove(field);
        }
        assert_eq!(self.hash.remove_expired(now_ms, usize::MAX), passed.len());
    }
}

impl Twin for HashTwin {
    fn filled() -> Self {
        let (hash, model) = (Hash::new(), Dense::new());
        let mut twin = HashTwin { hash, model, deadlines: BTreeMap::new(), limits: TypeLimits::default() };
        for number in 0..ELEMENTS {
            twin.set(name(number), number.to_be_bytes().to_vec());
            if number % 5 == 0 {
                twin.expire(name(number), i64::from(number));
            }
        }
        twin
    }

    fn change(&mut self, dice: &mut Dice) {
        let field = dice.name();
        match dice.below(100) {
            0..45 => self.set(field, dice.value()),
            45..80 => self.remove(&field),
            80..97 => self.expire(field, i64::from(dice.below(ELEMENTS))),
            97 | 98 => self.remove_expired(i64::from(dice.below(50))),
            _ => {
                let first = dice.below(ELEMENTS);
                (first..first + 500).for_each(|number| self.remove(&name(number)));
            }
        }
    }

    fn check(&self) {
        assert!(self.hash.iter().eq(self.model.order.iter().map(|(name, value)| (&name[..], &value[..]))));
        assert_eq!((self.hash.encoding(), self.hash.len()), (Encoding::Hashtable, self.model.order.len()));
        for (position, (field, value)) in self.model.order.iter().enumerate() {
            assert_eq!(self.hash.get_at(position), Some((&field[..], &value[..])));
            assert_eq!(self.hash.get(field), Some(&value[..]));
            assert_eq!(self.hash.expire_at(field), self.deadlines.get(field).copied());
        }
        assert_eq!(self.hash.earliest_deadline(), self.deadlines.values().min().copied());
        let seen = scanned(|cursor, seen| self.hash.scan(cursor, 10, |field, _| seen.push(field.to_vec())));
        assert_eq!(seen, self.model.names());
    }
}

#[derive(Clone)]
struct SetTwin {
    set: Set,
    model: Dense<()>,
    limits: TypeLimits,
}

impl SetTwin {
    fn insert(&mut self, member: Vec<u8>) {
        assert_eq!(self.set.insert(&member, &self.limits), self.model.set(member, ()));
    }

    fn remove_at(&mut self, position: usize) {
        let member = self.model.order.get(position).map(|(member, ())| member.clone());
        if let Some(member) = &member {
            self.model.remove(member);
        }
        assert_eq!(self.set.remove_at(position), member);
    }
}

impl Twin for SetTwin {
    fn filled() -> Self {
        let mut twin = SetTwin { set: Set::new(), model: Dense::new(), limits: TypeLimits::default() };
        (0..ELEMENTS).for_each(|number| twin.insert(name(number)));
        twin
    }

    fn change(&mut self, dice: &mut Dice) {
        match dice.below(100) {
            0..50 => self.insert([dice.name(), dice.value()].concat()),
            50..70 => {
                let member = dice.name();
                assert_eq!(self.set.remove(&member), self.model.remove(&member));
            }
            70..99 => self.remove_at(dice.below(self.model.order.len() as u32) as usize),
            _ => (0..dice.below(2000)).for_each(|position| self.remove_at(position as usize)),
        }
    }

    fn check(&self) {
        assert_eq!((self.set.encoding(), self.set.len()), (Encoding::Hashtable, self.model.order.len()));
        for (position, (member, ())) in self.model.order.iter().enumerate() {
            assert!(self.set.contains(member));
            assert_eq!(self.set.get_at(position).as_deref(), Some(&member[..]));
        }
        let seen = scanned(|cursor, seen| self.set.scan(cursor, 10, |member| seen.push(member.to_vec())));
        assert_eq!(seen, self.model.names());
    }
}

#[derive(Clone)]
struct ZSetTwin {
    zset: ZSet,
    model: BTreeMap<Vec<u8>, f64>,
}

impl ZSetTwin {
    fn insert(&mut self, member: Vec<u8>, score: u32) {
        self.zset.insert(&member, f64::from(score), &ZSetLimits::DEFAULT);
        self.model.insert(member, f64::from(score));
    }

    fn sorted(&self) -> Vec<(Vec<u8>, f64)> {
        let mut all: Vec<_> = self.model.iter().map(|(member, score)| (member.clone(), *score)).collect();
        all.sort_by(|a, b| a.1.total_cmp(&b.1).then_with(|| a.0.cmp(&b.0)));
        all
    }

    fn remove_ranks(&mut self, first: usize, count: usize) {
        for (member, _) in self.sorted().into_iter().skip(first).take(count) {
            self.model.remove(&member);
        }
        self.zset.remove_by_rank(first..first + count);
    }
}

impl Twin for ZSetTwin {
    fn filled() -> Self {
        let mut twin = ZSetTwin { zset: ZSet::new(), model: BTreeMap::new() };
        (0..ELEMENTS).for_each(|number| twin.insert(name(number), number * 7919 % 3000));
        twin
    }

    fn change(&mut self, dice: &mut Dice) {
        let member = match dice.below(10) {
            0 => [dice.name(), dice.value()].concat(),
            _ => dice.name(),
        };
        match dice.below(200) {
            0..90 => self.insert(member, dice.below(3000)),
            90..197 => assert_eq!(self.zset.remove(&member), self.model.remove(&member)),
            197 | 198 => self.remove_ranks(dice.below(ELEMENTS) as usize, dice.below(300) as usize),
            // One by one, so that cleaning has its time.
            _ => {
                let first = dice.below(ELEMENTS);
                for member in (first..first + 3000).map(name) {
                    assert_eq!(self.zset.remove(&member), self.model.remove(&member));
                }
            }
        }
    }

    fn check(&self) {
        let sorted = self.sorted();
        assert_eq!((self.zset.encoding_name(), self.zset.len()), ("skiplist", sorted.len()));
        assert!(
            self.zset.iter().map(|entry| (entry.member.to_vec(), entry.score)).eq(sorted.iter().cloned())
        );
        for (rank, (member, score)) in sorted.iter().enumerate() {
            assert_eq!((self.zset.rank(member), self.zset.score(member)), (Some(rank), Some(*score)));
        }
        let seen =
            scanned(|cursor, seen| self.zset.scan(cursor, 10, |entry| seen.push(entry.member.to_vec())));
        assert!(seen.iter().eq(self.model.keys()));
    }
}

#[derive(Clone)]
struct ListTwin {
    list: List,
    model: Vec<Vec<u8>>,
    limits: TypeLimits,
}

impl ListTwin {
    fn insert(&mut self, index: usize, value: Vec<u8>) {
        self.list.insert(index, &value, &self.limits);
        self.model.insert(index, value);
    }

    fn remove(&mut self, index: usize, count: usize) {
        self.list.remove_range(index..index + count, &self.limits);
        let end = self.model.len().min(index + count);
        self.model.drain(index..end);
    }

    fn remove_matching(&mut self, value: &[u8], max: usize) {
        let mut removed = 0;
        self.model.retain(|element| {
            let goes = removed < max && element == value;
            removed += usize::from(goes);
            !goes
        });
        assert_eq!(self.list.remove_matching(value, max, false, &self.limits), removed);
    }
}

impl Twin for ListTwin {
    fn filled() -> Self {
        // Small chunks, so that there are many.
        let limits = TypeLimits { list_max_listpack_bytes: 100, ..TypeLimits::default() };
        let mut twin = ListTwin { list: List::new(), model: Vec::new(), limits };
        (0..ELEMENTS).for_each(|number| twin.insert(number as usize, name(number % 100)));
        twin
    }

    fn change(&mut self, dice: &mut Dice) {
        let index = dice.below(self.model.len() as u32) as usize;
        match dice.below(100) {
            0..40 => self.insert(index, dice.value()),
            40..55 => {
                let value = dice.value();
                assert!(self.list.set(index, &value, &self.limits));
                self.model[index] = value;
            }
            55..65 => self.insert(0, dice.value()),
            65..75 => self.insert(self.model.len(), dice.value()),
            75..90 => self.remove(index, dice.below(4) as usize),
            90..95 => self.remove(0, 1),
            95..97 => self.remove(self.model.len() - 1, 1),
            97 | 98 => self.remove_matching(&name(dice.below(100)), dice.below(20) as usize),
            _ if self.model.len() as u32 > ELEMENTS / 2 => self.remove(index, dice.below(1500) as usize),
            _ => {}
        }
    }

    fn check(&self) {
        assert_eq!((self.list.encoding(), self.list.len()), (Encoding::Quicklist, self.model.len()));
        assert!(self.list.iter().eq(self.model.iter()));
        assert!(self.list.iter().rev().eq(self.model.iter().rev()));
        for (index, element) in self.model.iter().enumerate().step_by(17) {
            assert_eq!(self.list.get(index), Some(&element[..]));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(6))]

    #[test]
    fn of_a_hash(seed in any::<u64>()) {
        story::<HashTwin>(seed);
    }

    #[test]
    fn of_a_set(seed in any::<u64>()) {
        story::<SetTwin>(seed);
    }

    #[test]
    fn of_a_sorted_set(seed in any::<u64>()) {
        story::<ZSetTwin>(seed);
    }

    #[test]
    fn of_a_list(seed in any::<u64>()) {
        story::<ListTwin>(seed);
    }
}

#[test]
fn are_read_by_others_while_the_original_is_written() {
    reading_beside_a_writer::<HashTwin>();
    reading_beside_a_writer::<SetTwin>();
    reading_beside_a_writer::<ZSetTwin>();
    reading_beside_a_writer::<ListTwin>();
}
