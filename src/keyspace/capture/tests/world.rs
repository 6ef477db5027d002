//! A keyspace, a model of it, and a model of the store that takes its captures.
//!
//! Every capture is checked: it comes in order, yields nothing twice and nothing that did not change, deletes only what the
//! store has, and leaves the store equal to the model as it was when the capture began.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::keyspace::capture::{Capture, Pace, SlotChanges, Step};
use crate::keyspace::changes::Generation;
use crate::keyspace::entry::Entry;
use crate::keyspace::hash_seed::HashSeed;
use crate::keyspace::range::{LockRange, Usage, Waiting};
use crate::keyspace::slot::{RANGES, Slot};
use crate::keyspace::types::limits::TypeLimits;
use crate::keyspace::types::list::List;
use crate::keyspace::value::{Collection, Object, ValueRef};
use crate::keyspace::view::{LockSet, Ranges};
use crate::keyspace::{Basis, DATABASES, Keyspace, Mutator};

/// Databases that are written to.
pub const DBS: usize = 3;

#[derive(Clone, Debug, PartialEq, Eq)]
enum Value {
    String(Vec<u8>),
    List(Vec<Vec<u8>>),
}

type Key = Vec<u8>;
type Data = BTreeMap<Key, (Value, Option<i64>)>;

/// The keyspace at one moment.
#[derive(Clone)]
struct Moment {
    data: [Data; DATABASES],
    generations: [Generation; DATABASES],
    next_generation: u64,
}

/// What is known of the running capture.
struct Expected {
    moment: Moment,
    changed: BTreeSet<(Generation, Key)>,
    yielded: BTreeSet<(Generation, Key)>,
    last: (Generation, usize),
    set: usize,
    deleted: usize,
}

pub struct World {
    pub mutator: Mutator,
    pub pace: Pace,
    now: Moment,
    /// Since the last capture began.
    changed: BTreeSet<(Generation, Key)>,
    store: BTreeMap<Generation, Data>,
    /// What the store holds once the last finished capture is in it.
    stored: Option<Moment>,
    capture: Option<Capture>,
    expected: Option<Expected>,
    given_up: bool,
    values: usize,
    seed: HashSeed,
}

/// A key in one of three slots.
fn key(number: usize) -> Key {
    format!("{{{}}}{number}", number % 3).into_bytes()
}

fn key_in_one_slot(number: usize) -> Key {
    format!("{{slot}}{number}").into_bytes()
}

fn value_of(entry: &Entry) -> Value {
    match entry.value() {
        ValueRef::String(bytes) => Value::String(bytes.to_vec()),
        ValueRef::Object(Object::List(list)) => Value::List(list.iter().map(|one| one.to_vec()).collect()),
        ValueRef::Object(_) => panic!("nothing else was put in"),
    }
}

impl World {
    pub fn new() -> World {
        let now = Moment {
            data: Default::default(),
            generations: std::array::from_fn(|db| Generation(db as u64)),
            next_generation: DATABASES as u64,
        };
        World {
            mutator: Keyspace::create().1,
            pace: Pace::default(),
            now,
            changed: BTreeSet::new(),
            store: BTreeMap::new(),
            stored: None,
            capture: None,
            expected: None,
            given_up: false,
            values: 0,
            seed: HashSeed::NONE,
        }
    }

    pub fn keyspace(&self) -> Arc<Keyspace> {
        self.mutator.keyspace().clone()
    }

    pub fn waiting(&self) -> Waiting {
        self.keyspace().waiting()
    }

    pub fn captures(&self) -> bool {
        self.capture.is_some()
    }

    fn change<T>(&mut self, db: usize, key: &[u8], act: impl FnOnce(&mut LockRange, Slot) -> T) -> T {
        self.changed.insert((self.now.generations[db], key.to_vec()));
        let slot = Slot::of(key);
        let mut view = self.mutator.write(LockSet::of_key(key));
        act(view.range_mut(slot.range()), slot)
    }

    /// A value unlike those before.
    fn fresh_value(&mut self, len: usize) -> Vec<u8> {
        self.values += 1;
        let mut value = self.values.to_string().into_bytes();
        value.resize(len.max(value.len()), b'.');
        value
    }

    pub fn set(&mut self, db: usize, number: usize, len: usize) {
        let value = self.fresh_value(len);
        self.set_key(db, key(number), value);
    }

    fn set_key(&mut self, db: usize, key: Key, value: Vec<u8>) {
        self.change(db, &key, |range, slot| range.set_string(db, slot, &key, &value, None, |_| ()));
        self.now.data[db].insert(key, (Value::String(value), None));
    }

    pub fn delete(&mut self, db: usize, number: usize) {
        self.delete_key(db, &key(number));
    }

    fn delete_key(&mut self, db: usize, key: &[u8]) {
        let removed = self.change(db, key, |range, slot| range.remove(db, slot, key));
        assert_eq!(removed.is_some(), self.now.data[db].remove(key).is_some());
    }

    pub fn set_in_one_slot(&mut self, number: usize) {
        let value = self.fresh_value(0);
        self.set_key(0, key_in_one_slot(number), value);
    }

    pub fn delete_in_one_slot(&mut self, number: usize) {
        self.delete_key(0, &key_in_one_slot(number));
    }

    pub fn rename(&mut self, db: usize, from: usize, to: usize) {
        let (from, to) = (key(from), key(to));
        let Some(entry) = self.change(db, &from, |range, slot| range.remove(db, slot, &from)) else { return };
        self.change(db, &to, |range, slot| range.insert(db, slot, entry.renamed(&to)));
        let record = self.now.data[db].remove(&from).expect("the keyspace had it");
        self.now.data[db].insert(to, record);
    }

    pub fn move_to(&mut self, db: usize, number: usize, to: usize) {
        let key = key(number);
        let Some(entry) = self.change(db, &key, |range, slot| range.remove(db, slot, &key)) else { return };
        self.change(to, &key, |range, slot| range.insert(to, slot, entry));
        let record = self.now.data[db].remove(&key).expect("the keyspace had it");
        self.now.data[to].insert(key, record);
    }

    /// Puts a list of one element in, in place of whatever is there.
    pub fn replace(&mut self, db: usize, number: usize) {
        let (key, value) = (key(number), self.fresh_value(0));
        let mut list = List::new();
        list.push_back(&value, &TypeLimits::default());
        self.change(db, &key, |range, slot| {
            range.insert(db, slot, Entry::object(&key, list.wrap(), Some(8)));
        });
        self.now.data[db].insert(key, (Value::List(vec![value]), Some(8)));
    }

    /// Appends to a list where there is one, makes one otherwise.
    pub fn push(&mut self, db: usize, number: usize) {
        let key = key(number);
        let Some((Value::List(mut elements), deadline_ms)) = self.now.data[db].get(&key).cloned() else {
            return self.replace(db, number);
        };
        let value = self.fresh_value(0);
        self.change(db, &key, |range, slot| {
            let entry = range.find_mut(db, slot, &key).expect("the model has it");
            let list = List::of_mut(entry.object_mut().expect("no string")).expect("a list");
            list.push_back(&value, &TypeLimits::default());
        });
        elements.push(value);
        self.now.data[db].insert(key, (Value::List(elements), deadline_ms));
    }

    pub fn set_deadline(&mut self, db: usize, number: usize, deadline_ms: Option<i64>) {
        let key = key(number);
        self.change(db, &key, |range, slot| range.set_deadline(db, slot, &key, deadline_ms));
        if let Some(record) = self.now.data[db].get_mut(&key) {
            record.1 = deadline_ms;
        }
    }

    /// Some change or other.
    pub fn write_something(&mut self, number: usize) {
        let (db, key) = (number % 2, number % 300);
        match number % 13 {
            0..4 => self.set(db, key, number % 90),
            4..6 => self.delete(db, key),
            6..8 => self.push(db, key),
            8 => self.rename(db, key, number * 7 % 300),
            9 => self.set_deadline(db, key, Some(5)),
            10 => (0..50).for_each(|n| self.set_in_one_slot(number * 97 % 5000 + n)),
            11 => (0..50).for_each(|n| self.delete_in_one_slot(number * 89 % 5000 + n)),
            _ if number.is_multiple_of(5) => self.flush(1),
            _ => self.swap(0, 1),
        }
    }

    pub fn flush(&mut self, db: usize) {
        let mut view = self.mutator.write(LockSet::ALL);
        (0..RANGES).for_each(|range| drop(view.range_mut(range).take_database(db)));
        self.now.data[db].clear();
        self.now.generations[db] = Generation(self.now.next_generation);
        self.now.next_generation += 1;
    }

    pub fn swap(&mut self, a: usize, b: usize) {
        let mut view = self.mutator.write(LockSet::ALL);
        (0..RANGES).for_each(|range| view.range_mut(range).swap_databases(a, b));
        self.now.data.swap(a, b);
        self.now.generations.swap(a, b);
    }

    /// Hashes everything by another seed.
    pub fn reseed(&mut self, seed: HashSeed) {
        self.mutator.reseed(seed);
        self.seed = seed;
    }

    pub fn begin_if_none_runs(&mut self) {
        if self.capture.is_none() {
            self.begin();
        }
    }

    pub fn begin(&mut self) {
        assert!(self.capture.is_none());
        self.capture = Some(self.begin_apart());
    }

    /// Begins a capture for somebody else to walk.
    pub fn begin_apart(&mut self) -> Capture {
        if self.given_up {
            self.forget_stored();
        }
        let mut capture = self.mutator.begin_capture().expect("none is running");
        capture.pace = self.pace;
        let basis = Basis { generations: self.now.generations, hash_seed: self.seed };
        assert_eq!(capture.basis(), basis);
        let expected = |db: usize| self.now.data.get(db).map_or(Usage::default(), usage);
        assert_eq!(capture.usage(), std::array::from_fn(expected));
        for generation in capture.dropped() {
            assert!(!self.now.generations.contains(generation));
            self.store.remove(generation);
        }
        self.expected = Some(Expected {
            moment: self.now.clone(),
            changed: std::mem::take(&mut self.changed),
            yielded: BTreeSet::new(),
            last: (Generation(0), 0),
            set: 0,
            deleted: 0,
        });
        capture
    }

    /// Lets the running capture take one step; false once it is over.
    pub fn step(&mut self) -> bool {
        match self.capture.as_mut().map(Capture::step) {
            None => return false,
            Some(Step::Further) => {}
            Some(Step::Found(changes)) => self.take(changes),
            Some(Step::End) => {
                self.capture = None;
                self.compare();
            }
        }
        self.capture.is_some()
    }

    /// Lets the running capture go on until it yields something.
    pub fn next_found(&mut self) {
        let found = self.yielded();
        while self.step() && self.yielded() == found {}
    }

    fn yielded(&self) -> usize {
        self.expected.as_ref().map_or(0, |expected| expected.yielded.len())
    }

    /// Walks the running capture to its end; returns how many keys it set and deleted.
    pub fn finish(&mut self) -> (usize, usize) {
        while self.step() {}
        self.expected.take().map_or((0, 0), |expected| (expected.set, expected.deleted))
    }

    pub fn capture_all(&mut self) -> (usize, usize) {
        self.begin_if_none_runs();
        self.finish()
    }

    /// Takes what somebody else captured.
    pub fn finish_apart(&mut self, (capture, found): (Capture, Vec<SlotChanges>)) {
        found.into_iter().for_each(|changes| self.take(changes));
        drop(capture);
        self.compare();
    }

    fn take(&mut self, changes: SlotChanges) {
        let expected = self.expected.as_mut().expect("a capture is running");
        let place = (changes.generation, changes.slot.number());
        assert!(place >= expected.last, "generations and slots ascend");
        expected.last = place;
        assert!(expected.moment.generations.contains(&changes.generation));
        let deleted = changes.deleted.iter().map(|key| &**key);
        for key in changes.entries.iter().map(Entry::key).chain(deleted) {
            assert_eq!(Slot::of(key), changes.slot);
            let key = (changes.generation, key.to_vec());
            assert!(expected.changed.contains(&key), "{key:?} did not change");
            assert!(expected.yielded.insert(key), "nothing comes twice");
        }
        expected.set += changes.entries.len();
        expected.deleted += changes.deleted.len();
        let data = self.store.entry(changes.generation).or_default();
        for key in changes.deleted {
            assert!(data.remove(&*key).is_some(), "only what is stored is deleted");
        }
        data.extend(
            changes
                .entries
                .iter()
                .map(|entry| (entry.key().to_vec(), (value_of(entry), entry.deadline_ms()))),
        );
    }

    /// Compares the store with the keyspace at the capture's moment, and the keyspace with its model.
    fn compare(&mut self) {
        let moment = self.expected.as_ref().expect("a capture has ended").moment.clone();
        self.store.retain(|_, data| !data.is_empty());
        let used = moment.generations.into_iter().zip(&moment.data).filter(|(_, data)| !data.is_empty());
        assert!(self.store.iter().map(|(generation, data)| (*generation, data)).eq(sorted(used)));
        self.stored = Some(moment);
        let waiting = self.waiting();
        assert_eq!((waiting.pre_images, waiting.pre_image_bytes, waiting.detached_keys), (0, 0, 0));
        self.compare_keyspace();
    }

    fn compare_keyspace(&self) {
        let keyspace = self.keyspace();
        for (db, data) in self.now.data.iter().enumerate() {
            assert_eq!(keyspace.usage(db), usage(data));
            for (key, record) in data {
                let view = keyspace.read(LockSet::of_key(key));
                let range = view.range(Slot::of(key).range());
                let found = range.find(db, Slot::of(key), key).expect("the model has it");
                assert_eq!((value_of(found), found.deadline_ms()), *record);
            }
        }
    }

    /// Drops the running capture, wherever it is.
    pub fn give_up(&mut self) {
        if self.capture.take().is_some() {
            self.expected = None;
            self.given_up = true;
        }
    }

    pub fn forget_stored(&mut self) {
        self.keyspace().forget_stored().expect("no capture is running");
        self.has_forgotten();
    }

    /// The store is begun anew.
    pub fn has_forgotten(&mut self) {
        self.given_up = false;
        (self.store, self.stored) = (BTreeMap::new(), None);
        let databases = self.now.generations.into_iter().zip(&self.now.data);
        let everything = databases
            .flat_map(|(generation, data)| data.keys().map(move |key| (generation, key.clone())))
            .collect::<Vec<_>>();
        self.changed.extend(everything);
    }

    /// Ends as a killed process does, and begins again from the last finished capture, if the store still has it.
    pub fn restart(&mut self) {
        if self.capture.is_some() || self.given_up {
            return;
        }
        let Some(moment) = self.stored.clone() else { return };
        self.mutator = Keyspace::create().1;
        self.mutator.restore_basis(Basis { generations: moment.generations, hash_seed: self.seed });
        let restoring = self.mutator.restore();
        let restoring_ref = &restoring;
        std::thread::scope(|scope| {
            for (db, data) in moment.data.iter().enumerate() {
                scope.spawn(move || {
                    data.iter().for_each(|(key, record)| restoring_ref.put(db, entry(key, record)))
                });
            }
        });
        drop(restoring);
        self.changed.clear();
        self.now = moment;
        self.compare_keyspace();
    }
}

fn entry(key: &[u8], (value, deadline_ms): &(Value, Option<i64>)) -> Entry {
    match value {
        Value::String(value) => Entry::string(key, value, *deadline_ms),
        Value::List(elements) => {
            let mut list = List::new();
            elements.iter().for_each(|element| list.push_back(element, &TypeLimits::default()));
            Entry::object(key, list.wrap(), *deadline_ms)
        }
    }
}

fn usage(data: &Data) -> Usage {
    let with_deadline = data.values().filter(|(_, deadline_ms)| deadline_ms.is_some()).count();
    Usage { keys: data.len(), with_deadline }
}

fn sorted<K: Ord, V>(pairs: impl Iterator<Item = (K, V)>) -> impl Iterator<Item = (K, V)> {
    pairs.collect::<BTreeMap<K, V>>().into_iter()
}
