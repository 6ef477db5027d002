//! The contract of stores, on disk and in memory.

mod disk;
mod keyspace;

use std::collections::{BTreeMap, BTreeSet};

use parking_lot::Mutex;
use proptest::prelude::*;

use super::error::{CheckpointError, Result};
use super::memory::{MemoryShelf, MemoryStore};
use super::store::{RocksStore, StoreConfig};
use super::testing::{Scratch, databases, describe, point, walk};
use super::{CheckpointStore, Report};
use crate::env::Clock;
use crate::keyspace::changes::Generation;
use crate::keyspace::digest;
use crate::keyspace::entry::Entry;
use crate::keyspace::types::hash::Hash;
use crate::keyspace::types::limits::TypeLimits;
use crate::keyspace::types::list::List;
use crate::keyspace::types::set::Set;
use crate::keyspace::types::zset::{ZSet, ZSetLimits};
use crate::keyspace::value::Object;
use crate::keyspace::{ALL_DATABASES, DATABASES, SYSTEM};

fn config() -> StoreConfig {
    StoreConfig { bytes_per_second: 0, load_threads: 2, limits: TypeLimits::default() }
}

fn open(scratch: &Scratch) -> RocksStore {
    let (store, rejected) = RocksStore::open(scratch.path(), config(), Clock::system()).expect("it opens");
    assert!(rejected.is_empty(), "{rejected:?}");
    store
}

/// A disk, real or not: stores come and go, what was published stays.
enum Disk {
    Folder(Scratch),
    Memory(MemoryShelf),
}

impl Disk {
    fn open(&self) -> Box<dyn CheckpointStore> {
        match self {
            Disk::Folder(scratch) => Box::new(open(scratch)),
            Disk::Memory(shelf) => Box::new(MemoryStore::open(shelf.clone(), TypeLimits::default())),
        }
    }

    fn all() -> [Disk; 2] {
        [Disk::Folder(Scratch::new()), Disk::Memory(MemoryShelf::default())]
    }
}

/// Databases as they should be: their generations, and entries by generation and key.
#[derive(Clone)]
struct Model {
    databases: [Generation; DATABASES],
    next_generation: u64,
    entries: BTreeMap<Generation, BTreeMap<Vec<u8>, Entry>>,
}

/// What has changed in a model since the last checkpoint.
#[derive(Clone, Default)]
struct Changed {
    /// Keys by generation; whether they are there is for the model to say.
    keys: BTreeMap<Generation, BTreeSet<Vec<u8>>>,
    dropped: Vec<Generation>,
}

impl Model {
    fn new() -> Model {
        Model { databases: databases(), next_generation: DATABASES as u64, entries: BTreeMap::new() }
    }

    fn of(entries: Vec<Entry>) -> Model {
        let mut model = Model::new();
        let by_key = entries.into_iter().map(|entry| (entry.key().to_vec(), entry)).collect();
        model.entries.insert(model.databases[0], by_key);
        model
    }

    fn all_databases(&self) -> [Generation; ALL_DATABASES] {
        Generation::with_system(self.databases)
    }

    /// Everything counts as changed.
    fn everything(&self) -> Changed {
        let keys =
            self.entries.iter().map(|(generation, entries)| (*generation, entries.keys().cloned().collect()));
        Changed { keys: keys.collect(), dropped: Vec::new() }
    }

    fn write(&self, store: &mut dyn CheckpointStore, index: u64, changed: &Changed) -> Result<Report> {
        self.write_unfinished(store, index, changed)?;
        store.finish(self.databases.into())
    }

    fn write_unfinished(&self, store: &mut dyn CheckpointStore, index: u64, changed: &Changed) -> Result<()> {
        store.begin(point(index))?;
        for generation in &changed.dropped {
            store.drop_generation(*generation)?;
        }
        for (generation, keys) in &changed.keys {
            let there = self.entries.get(generation);
            let find = |key: &Vec<u8>| there.and_then(|entries| entries.get(key)).cloned();
            let entries: Vec<Entry> = keys.iter().filter_map(find).collect();
            let deleted: Vec<Vec<u8>> = keys.iter().filter(|key| find(key).is_none()).cloned().collect();
            for changes in walk(*generation, entries, deleted, 3) {
                store.put(changes)?;
            }
        }
        Ok(())
    }

    /// What two databases with the same content have in common, in words.
    fn describe(&self) -> BTreeMap<(usize, Vec<u8>), String> {
        let mut all = BTreeMap::new();
        for (db, generation) in self.all_databases().into_iter().enumerate() {
            for (key, entry) in self.entries.get(&generation).into_iter().flatten() {
                all.insert((db, key.clone()), describe(db, entry));
            }
        }
        all
    }

    fn digest(&self) -> digest::Digest {
        let databases = self.all_databases().into_iter().enumerate();
        let entries = databases.flat_map(|(db, generation)| {
            self.entries
                .get(&generation)
                .into_iter()
                .flatten()
                .map(move |(_, entry)| digest::of_entry(db, entry))
        });
        entries.fold(0, digest::Digest::wrapping_add)
    }

    fn assert_is_in(&self, store: &dyn CheckpointStore) -> Result<()> {
        let found = Mutex::new(BTreeMap::new());
        let loaded = store.load(&|db, entry| {
            let before = found.lock().insert((db, entry.key().to_vec()), describe(db, &entry));
            assert_eq!(before, None, "a key comes once");
        })?;
        assert_eq!(found.into_inner(), self.describe());
        assert_eq!(loaded.digest, self.digest());
        Ok(())
    }
}

fn string(key: &str, len: usize) -> Entry {
    let mut state = xxhash_rust::xxh3::xxh3_64(key.as_bytes());
    let mut random = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 56) as u8
    };
    Entry::string(key.as_bytes(), &(0..len).map(|_| random()).collect::<Vec<_>>(), None)
}

/// One entry of each type and encoding.
fn one_of_each() -> Vec<Entry> {
    let limits = TypeLimits::default();
    let mut list = List::new();
    let mut set = Set::new();
    let mut hash = Hash::new();
    let mut zset = ZSet::new();
    let mut entries = vec![string("string", 10), string("long string", 300_000)];
    for round in 0..2 {
        for number in 0..if round == 0 { 5 } else { 20_000 } {
            let name = format!("element {number}");
            list.push_back(name.as_bytes(), &limits);
            set.insert(name.as_bytes(), &limits);
            hash.set(name.as_bytes(), name.as_bytes(), &limits);
            hash.set_expire_at(name.as_bytes(), (number % 5 == 4).then_some(number), &TypeLimits::default());
            zset.insert(name.as_bytes(), number as f64, &ZSetLimits::DEFAULT);
        }
        set.remove(b"element 1");
        let objects = [
            Object::List(list.clone()),
            Object::Set(set.clone()),
            Object::Hash(hash.clone()),
            Object::ZSet(zset.clone()),
        ];
        for (number, object) in objects.into_iter().enumerate() {
            let key = format!("object {round} {number}");
            entries.push(Entry::object(key.as_bytes(), object, (number % 2 == 0).then_some(99)));
        }
    }
    entries
}

#[test]
fn everything_comes_back_after_a_restart() -> Result<()> {
    let model = Model::of(one_of_each());
    for disk in Disk::all() {
        let mut store = disk.open();
        assert!(store.is_empty() && store.newest().is_none());
        model.assert_is_empty(&*store)?;
        let report = model.write(&mut *store, 12, &model.everything())?;
        assert_eq!((report.index, report.keys_written, report.keys), (12, 10, 10));
        model.assert_is_in(&*store)?;
        drop(store);
        let store = disk.open();
        assert_eq!(store.newest().map(|manifest| &manifest.point), Some(&point(12)));
        assert!(!store.is_empty());
        model.assert_is_in(&*store)?;
    }
    Ok(())
}

impl Model {
    fn assert_is_empty(&self, store: &dyn CheckpointStore) -> Result<()> {
        let loaded = store.load(&|_, entry| panic!("{entry:?} is in an empty store"))?;
        assert_eq!(loaded, super::Loaded::default());
        Ok(())
    }
}

#[test]
fn steps_out_of_order_are_refused() -> Result<()> {
    for disk in Disk::all() {
        let mut store = disk.open();
        assert!(matches!(store.finish(databases().into()), Err(CheckpointError::NoRun)));
        assert!(matches!(store.drop_generation(Generation(1)), Err(CheckpointError::NoRun)));
        store.begin(point(1))?;
        assert!(matches!(store.begin(point(2)), Err(CheckpointError::Unfinished)));
        store.finish(databases().into())?;
        assert!(matches!(store.begin(point(1)), Err(CheckpointError::Exists { index: 1 })));
        store.begin(point(2))?;
        store.reset()?;
        store.begin(point(2))?;
        store.finish(databases().into())?;
    }
    Ok(())
}

#[test]
fn what_belongs_to_no_database_is_not_published() -> Result<()> {
    for disk in Disk::all() {
        let mut store = disk.open();
        let mut model = Model::of(many(3));
        model.databases[0] = Generation(16);
        let written = model.write(&mut *store, 1, &model.everything());
        assert!(matches!(written, Err(CheckpointError::Orphan { generation: Generation(0) })));
        assert!(store.newest().is_none());
        store.reset()?;
        model.databases[0] = Generation(0);
        model.write(&mut *store, 1, &model.everything())?;
        model.assert_is_in(&*store)?;
    }
    Ok(())
}

#[derive(Clone, Debug)]
enum Step {
    /// A string of so many bytes; beyond 64 KiB in parts.
    Set(usize, u8, usize),
    Remove(usize, u8),
    Flush(usize),
    Swap(usize, usize),
    Checkpoint,
    /// The process ends, in a run or without one: what is not published is lost.
    Crash,
    /// A run that is given up; the store starts anew.
    GiveUp,
}

fn step() -> impl Strategy<Value = Step> {
    let len = prop_oneof![5 => 0..100usize, 1 => 60_000..200_000usize];
    prop_oneof![
        20 => (database(), any::<u8>(), len).prop_map(|(db, key, len)| Step::Set(db, key, len)),
        8 => (database(), any::<u8>()).prop_map(|(db, key)| Step::Remove(db, key)),
        1 => (0..3usize).prop_map(Step::Flush),
        1 => (0..3usize, 0..3usize).prop_map(|(a, b)| Step::Swap(a, b)),
        4 => Just(Step::Checkpoint),
        1 => Just(Step::Crash),
        1 => Just(Step::GiveUp),
    ]
}

/// One of three, or the system database, which is neither flushed nor swapped.
fn database() -> impl Strategy<Value = usize> {
    prop_oneof![3 => 0..3usize, 1 => Just(SYSTEM)]
}

/// Keys of three slots, so that slots hold many.
fn key(number: u8) -> Vec<u8> {
    format!("{{{}}}{}", number % 3, number / 3).into_bytes()
}

/// A keyspace with its store, and what has changed between them.
struct Play {
    disk: Disk,
    store: Option<Box<dyn CheckpointStore>>,
    model: Model,
    changed: Changed,
    /// The model at the newest checkpoint, and what has changed since.
    published: Option<Model>,
    index: u64,
}

impl Play {
    fn new(disk: Disk) -> Play {
        let store = Some(disk.open());
        Play { disk, store, model: Model::new(), changed: Changed::default(), published: None, index: 0 }
    }

    fn store(&mut self) -> &mut dyn CheckpointStore {
        &mut **self.store.as_mut().expect("it is open between steps")
    }

    fn run(&mut self, step: &Step) -> Result<()> {
        self.index += 1;
        match step {
            Step::Set(db, number, len) => {
                let generation = self.model.all_databases()[*db];
                let value = vec![*number ^ self.index as u8; *len];
                let entry = Entry::string(&key(*number), &value, None);
                self.model.entries.entry(generation).or_default().insert(key(*number), entry);
                self.changed.keys.entry(generation).or_default().insert(key(*number));
            }
            Step::Remove(db, number) => {
                let generation = self.model.all_databases()[*db];
                self.model.entries.entry(generation).or_default().remove(&key(*number));
                self.changed.keys.entry(generation).or_default().insert(key(*number));
            }
            Step::Flush(db) => {
                let next = Generation(self.model.next_generation);
                self.model.next_generation += 1;
                let old = std::mem::replace(&mut self.model.databases[*db], next);
                self.model.entries.remove(&old);
                self.changed.keys.remove(&old);
                self.changed.dropped.push(old);
            }
            Step::Swap(a, b) => self.model.databases.swap(*a, *b),
            Step::Checkpoint => self.checkpoint()?,
            Step::Crash => self.crash()?,
            Step::GiveUp => self.give_up()?,
        }
        Ok(())
    }

    fn checkpoint(&mut self) -> Result<()> {
        let (model, changed, index) = (self.model.clone(), std::mem::take(&mut self.changed), self.index);
        let report = model.write(self.store(), index, &changed)?;
        assert_eq!(report.keys, model.describe().len() as u64);
        model.assert_is_in(self.store())?;
        self.published = Some(model);
        Ok(())
    }

    /// The keyspace goes back to the newest checkpoint, as if the log behind it were empty.
    fn crash(&mut self) -> Result<()> {
        let (model, changed, index) = (self.model.clone(), std::mem::take(&mut self.changed), self.index);
        model.write_unfinished(self.store(), index, &changed)?;
        self.store = None;
        self.store = Some(self.disk.open());
        self.model = self.published.clone().unwrap_or_else(Model::new);
        match self.published.clone() {
            Some(published) => published.assert_is_in(self.store()),
            None => Model::new().assert_is_empty(self.store()),
        }
    }

    fn give_up(&mut self) -> Result<()> {
        let (model, changed, index) = (self.model.clone(), std::mem::take(&mut self.changed), self.index);
        model.write_unfinished(self.store(), index, &changed)?;
        self.store().reset()?;
        assert!(self.store().is_empty());
        self.changed = model.everything();
        Ok(())
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 8, ..ProptestConfig::default() })]
    #[test]
    fn runs_add_up_to_the_keyspace_on_disk(steps in prop::collection::vec(step(), 1..60)) {
        let mut play = Play::new(Disk::Folder(Scratch::new()));
        for step in &steps {
            play.run(step).expect("nothing fails");
        }
        play.index += 1;
        play.checkpoint().expect("nothing fails");
    }

    #[test]
    fn runs_add_up_to_the_keyspace_in_memory(steps in prop::collection::vec(step(), 1..60)) {
        let mut play = Play::new(Disk::Memory(MemoryShelf::default()));
        for step in &steps {
            play.run(step).expect("nothing fails");
        }
        play.index += 1;
        play.checkpoint().expect("nothing fails");
    }
}

fn many(count: usize) -> Vec<Entry> {
    (0..count).map(|number| string(&format!("key {number:07}"), 100)).collect()
}
