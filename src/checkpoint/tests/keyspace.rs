//! Keyspace and store together: what is captured, written, loaded and restored is the keyspace, again and again.

use std::sync::Arc;

use proptest::prelude::*;

use super::{Disk, Step, step};
use crate::checkpoint::error::Result;
use crate::checkpoint::memory::MemoryShelf;
use crate::checkpoint::testing::{Scratch, point};
use crate::checkpoint::{CheckpointStore, Report};
use crate::keyspace::digest::{self, Digest};
use crate::keyspace::entry::Entry;
use crate::keyspace::hash_seed::HashSeed;
use crate::keyspace::slot::{RANGES, Slot};
use crate::keyspace::view::LockSet;
use crate::keyspace::{Keyspace, Mutator};

/// A node in small: what it holds, where it keeps it.
struct Node {
    disk: Disk,
    store: Option<Box<dyn CheckpointStore>>,
    keyspace: Arc<Keyspace>,
    mutator: Mutator,
    /// The digest at the newest checkpoint.
    published: Digest,
    index: u64,
}

impl Node {
    fn start(disk: Disk) -> Result<Node> {
        let store = disk.open();
        let (keyspace, mut mutator) = Keyspace::create();
        if let Some(newest) = store.newest() {
            mutator.restore_basis(newest.basis());
        }
        let restoring = mutator.restore();
        let loaded = store.load(&|db, entry| restoring.put(db, entry))?;
        drop(restoring);
        assert_eq!(loaded.digest, digest::of_keyspace(&keyspace));
        let index = store.newest().map_or(0, |newest| newest.point.index);
        Ok(Node { disk, store: Some(store), keyspace, mutator, published: loaded.digest, index })
    }

    fn store(&mut self) -> &mut dyn CheckpointStore {
        &mut **self.store.as_mut().expect("it is open between steps")
    }

    fn run(mut self, step: &Step) -> Result<Node> {
        match step {
            Step::Set(db, number, len) => self.set(*db, *number, *len),
            Step::Remove(db, number) => {
                let (slot, key) = place(*number);
                self.mutator.write(LockSet::of_key(&key)).range_mut(slot.range()).remove(*db, slot, &key);
            }
            Step::Flush(db) => {
                let mut all = self.mutator.write(LockSet::ALL);
                (0..RANGES).for_each(|range| drop(all.range_mut(range).take_database(*db)));
            }
            Step::Swap(a, b) => {
                let mut all = self.mutator.write(LockSet::ALL);
                (0..RANGES).for_each(|range| all.range_mut(range).swap_databases(*a, *b));
            }
            Step::Checkpoint => drop(self.checkpoint()?),
            Step::Crash => {
                let published = self.published;
                self.store = None;
                self = Node::start(self.disk)?;
                assert_eq!(self.published, published);
            }
            Step::GiveUp => self.give_up()?,
        }
        Ok(self)
    }

    fn set(&mut self, db: usize, number: u8, len: usize) {
        let (slot, key) = place(number);
        let entry = Entry::string(&key, &vec![number; len], len.is_multiple_of(3).then_some(len as i64));
        self.mutator.write(LockSet::of_key(&key)).range_mut(slot.range()).insert(db, slot, entry);
    }

    /// Writes go on while it is captured.
    fn checkpoint(&mut self) -> Result<Report> {
        self.index += 1;
        let index = self.index;
        self.published = digest::of_keyspace(&self.keyspace);
        let capture = self.mutator.begin_capture().expect("none is running");
        let basis = capture.basis();
        self.store().begin(point(index))?;
        for generation in capture.dropped() {
            self.store().drop_generation(*generation)?;
        }
        for (number, changes) in (0..).zip(capture) {
            self.store().put(changes)?;
            self.set(0, number, 7);
        }
        self.store().finish(basis)
    }

    fn give_up(&mut self) -> Result<()> {
        let mut capture = self.mutator.begin_capture().expect("none is running");
        self.index += 1;
        let index = self.index;
        self.store().begin(point(index))?;
        if let Some(changes) = capture.next() {
            self.store().put(changes)?;
        }
        drop(capture);
        self.store().reset()?;
        self.keyspace.forget_stored().expect("nothing runs");
        Ok(())
    }
}

/// Keys of three slots.
fn place(number: u8) -> (Slot, Vec<u8>) {
    let key = format!("{{{}}}{}", number % 3, number / 3).into_bytes();
    (Slot::of(&key), key)
}

fn play(disk: Disk, steps: &[Step]) -> Result<()> {
    let mut node = Node::start(disk)?;
    for step in steps.iter().chain(&[Step::Checkpoint, Step::Crash]) {
        node = node.run(step)?;
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 8, ..ProptestConfig::default() })]
    #[test]
    fn a_node_comes_back_as_it_was_on_disk(steps in prop::collection::vec(step(), 1..60)) {
        play(Disk::Folder(Scratch::new()), &steps).expect("nothing fails");
    }
}

proptest! {
    #[test]
    fn a_node_comes_back_as_it_was_in_memory(steps in prop::collection::vec(step(), 1..60)) {
        play(Disk::Memory(MemoryShelf::default()), &steps).expect("nothing fails");
    }
}

#[test]
fn a_node_whose_checkpoint_has_no_seed_takes_one_and_keeps_it() -> Result<()> {
    let seed = HashSeed::new(5, 6);
    for disk in [Disk::Folder(Scratch::new()), Disk::Memory(MemoryShelf::default())] {
        let mut node = Node::start(disk)?;
        (0..200).for_each(|number| node.set(1, number, 5));
        node = node.run(&Step::Checkpoint)?.run(&Step::Crash)?;
        assert!(node.keyspace.hash_seed().is_none(), "nothing drew one yet");
        node.mutator.reseed(seed);
        (100..110).for_each(|number| node.set(1, number, 9));
        node = node.run(&Step::Remove(1, 3))?.run(&Step::Checkpoint)?.run(&Step::Crash)?;
        assert_eq!(node.keyspace.hash_seed(), seed);
        node = node.run(&Step::Remove(1, 4))?;
        assert_eq!(node.keyspace.usage(1).keys, 198);
    }
    Ok(())
}
