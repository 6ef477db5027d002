//! The keyspace: 16 databases of entries, and one that no client can select, by hash slot, in lock ranges.
//!
//! - Reading takes the read locks of the ranges that a command names; only the [`Mutator`], of which a keyspace has
//!   exactly one and which apply owns, can lock for writing. A write that skips the log does not compile.
//! - Locks are taken in ascending order of ranges, so two views can never wait for each other in a circle.
//! - Nothing here reads a clock: whether an entry is dead is asked with a time.
//! - What changed since the last checkpoint is known at any time: `changes.rs` keeps it, a [`Capture`] reads it.

pub mod capture;
pub mod changes;
pub mod digest;
pub mod entry;
pub mod hash_seed;
pub mod names;
pub mod picks;
pub mod range;
pub mod slot;
pub mod system;
pub mod table;
pub mod types;
pub mod value;
pub mod view;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use parking_lot::RwLock;
use smallvec::SmallVec;

use capture::{Capture, CaptureError, CaptureState};
use changes::Generation;
use entry::Entry;
use hash_seed::HashSeed;
use range::{LockRange, Usage};
use slot::{RANGES, Slot};
use table::{DeadSearch, KeyHash, Touch};
use view::{LockSet, Ranges, ReadView, WriteView};

use crate::config::group::GroupParameters;

/// Databases per keyspace, as SELECT numbers them.
pub const DATABASES: usize = 16;
/// The system database: what must survive and be the same on all nodes, and is no client's key. Logged, captured and digested as
/// the others are; it is never flushed nor swapped, and nothing in it has a deadline.
pub const SYSTEM: usize = DATABASES;
/// The system database included.
pub const ALL_DATABASES: usize = DATABASES + 1;

/// What a checkpoint holds of a keyspace beside its entries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Basis {
    /// The generation of each database that clients can select; all different.
    pub generations: [Generation; DATABASES],
    pub hash_seed: HashSeed,
}

impl Basis {
    /// The generations of all databases.
    pub fn all_generations(&self) -> [Generation; ALL_DATABASES] {
        Generation::with_system(self.generations)
    }
}

impl From<[Generation; DATABASES]> for Basis {
    /// Without a seed.
    fn from(generations: [Generation; DATABASES]) -> Basis {
        Basis { generations, hash_seed: HashSeed::NONE }
    }
}

/// Keys that are worth several threads when all are hashed again.
const KEYS_FOR_THREADS: usize = 100_000;

/// One shard's data.
#[derive(Debug)]
pub struct Keyspace {
    ranges: Box<[RwLock<LockRange>]>,
    capture: CaptureState,
    /// Grows with each change of users.
    users_version: AtomicU64,
    group: Arc<GroupParameters>,
    /// All content is being replaced: what is there is part of it.
    is_replaced: AtomicBool,
}

/// The right to change a keyspace. There is one.
#[derive(Debug)]
pub struct Mutator {
    keyspace: Arc<Keyspace>,
}

impl Keyspace {
    /// An empty keyspace and the right to change it.
    pub fn create() -> (Arc<Keyspace>, Mutator) {
        let ranges = (0..RANGES).map(|_| RwLock::new(LockRange::default())).collect();
        let keyspace = Arc::new(Keyspace {
            ranges,
            capture: CaptureState::default(),
            users_version: AtomicU64::new(1),
            group: Arc::default(),
            is_replaced: false.into(),
        });
        (keyspace.clone(), Mutator { keyspace })
    }

    /// A number that is another one once the users in the system database are others; never 0.
    #[inline]
    pub fn users_version(&self) -> u64 {
        self.users_version.load(Ordering::Acquire)
    }

    /// Whether only a part of the content may be there, which says nothing about users. Who asks holds a lock.
    pub fn is_replaced(&self) -> bool {
        self.is_replaced.load(Ordering::Acquire)
    }

    /// The users in the system database have changed.
    pub fn note_users_changed(&self) {
        self.users_version.fetch_add(1, Ordering::Release);
    }

    /// The parameters that the group shares, as the system database has them.
    pub fn group(&self) -> &Arc<GroupParameters> {
        &self.group
    }

    /// The parameters in the system database have changed.
    pub fn compile_parameters(&self) {
        let view = self.read(LockSet::ALL);
        let set = system::all_in_system(&view, system::PARAMETER);
        self.group.compile(set.into_iter(), system::get_system(&view, system::HAS_PARAMETERS).is_some());
    }

    pub fn hash_seed(&self) -> HashSeed {
        // It is the same in every range.
        self.ranges[0].read().hash_seed()
    }

    /// Brings what keys lead to into the processor's caches: for all of them the tables, then the cells, then the entries. Where
    /// something is locked for a change, nothing.
    pub fn touch(&self, db: usize, keys: &[&[u8]]) {
        let slots = keys.iter().map(|key| Slot::of(key)).collect::<SmallVec<[Slot; 16]>>();
        let locks = slots.iter().fold(LockSet::NONE, |set, slot| set.union(LockSet::of_range(slot.range())));
        let Some(view) = ReadView::try_lock(&self.ranges, locks) else { return };
        let places = keys.iter().zip(slots).map(|(key, slot)| {
            let range = view.range(slot.range());
            (range, slot, KeyHash::of(key, range.hash_seed()))
        });
        let places = places.collect::<SmallVec<[(&LockRange, Slot, KeyHash); 16]>>();
        for touched in [Touch::Table, Touch::Cell, Touch::Entry] {
            let touch =
                |(range, slot, hash): &(&LockRange, Slot, KeyHash)| range.touch(db, *slot, *hash, touched);
            // What is seen is of no use but for having been read.
            std::hint::black_box(places.iter().map(touch).sum::<usize>());
        }
    }

    pub fn read(&self, set: LockSet) -> ReadView<'_> {
        ReadView::lock(&self.ranges, set)
    }

    /// What databases take whether they hold keys or not: half a MiB for each that has ever held keys. Evicting keys does not give it back.
    pub fn frame_bytes(&self) -> usize {
        self.ranges.iter().map(|range| range.read().frame_bytes()).sum()
    }

    /// Keys and keys with a deadline in one database, the dead that are not yet freed included.
    pub fn usage(&self, db: usize) -> Usage {
        self.ranges.iter().map(|range| range.read().usage(db)).sum()
    }
}

impl Mutator {
    pub fn keyspace(&self) -> &Arc<Keyspace> {
        &self.keyspace
    }

    pub fn write(&mut self, set: LockSet) -> WriteView<'_> {
        WriteView::lock(&self.keyspace.ranges, set)
    }

    /// The right to change the keyspace by several threads at once, for as long as nobody else has it.
    pub fn share(&mut self) -> SharedMutator<'_> {
        SharedMutator { keyspace: &self.keyspace }
    }

    /// Finds the dead of one database in one lock range, from one of its slots on; returns the slot to go on with, if any is
    /// left. Readers are kept out only where something may be dead.
    pub fn search_dead(
        &mut self,
        (db, range): (usize, usize),
        from: usize,
        search: &mut DeadSearch<'_>,
        now_ms: i64,
    ) -> Option<usize> {
        let range = &self.keyspace.ranges[range];
        if range.read().earliest_ms(db) > now_ms {
            return None;
        }
        range.write().search_dead(db, from, search, now_ms)
    }

    /// Begins a capture of the keyspace as it is now. One runs at a time; apply calls this between two entries.
    pub fn begin_capture(&mut self) -> Result<Capture, CaptureError> {
        Capture::begin(&self.keyspace)
    }

    /// Takes everything out, for the content of a checkpoint to be put in; it may take long to drop. No capture may be running;
    /// one that was given up is forgotten.
    pub fn take_all(&mut self) -> Vec<LockRange> {
        self.keyspace.is_replaced.store(true, Ordering::Release);
        self.keyspace.capture.forget();
        self.keyspace.ranges.iter().map(|range| std::mem::take(&mut *range.write())).collect()
    }

    /// The right to fill the keyspace from a checkpoint, by many threads at once.
    pub fn restore(&mut self) -> Restoring<'_> {
        Restoring { keyspace: &self.keyspace }
    }

    /// Takes the basis of the checkpoint that the keyspace is filled from.
    pub fn restore_basis(&mut self, basis: Basis) {
        self.keyspace.ranges.iter().for_each(|range| range.write().restore_basis(basis));
    }

    /// Hashes all keys, members and fields again, at once: no reader sees two seeds. How many threads do so makes no difference
    /// to what comes out.
    pub fn reseed(&mut self, seed: HashSeed) {
        let mut view = self.write(LockSet::ALL);
        let mut ranges: Vec<&mut LockRange> = view.ranges_mut().collect();
        let keys: usize =
            ranges.iter().flat_map(|range| (0..ALL_DATABASES).map(|db| range.usage(db).keys)).sum();
        let cores = || thread::available_parallelism().map_or(1, usize::from);
        let threads = if keys < KEYS_FOR_THREADS { 1 } else { cores() };
        let reseed = |some: &mut [&mut LockRange]| some.iter_mut().for_each(|range| range.reseed(seed));
        if threads == 1 {
            return reseed(&mut ranges);
        }
        thread::scope(|scope| {
            for some in ranges.chunks_mut(RANGES.div_ceil(threads)) {
                scope.spawn(move || reseed(some));
            }
        });
    }
}

/// A [`Mutator`] that several threads use. Changes of one lock range come in the order that its users see to.
#[derive(Debug)]
pub struct SharedMutator<'a> {
    keyspace: &'a Keyspace,
}

impl SharedMutator<'_> {
    pub fn write(&self, set: LockSet) -> WriteView<'_> {
        WriteView::lock(&self.keyspace.ranges, set)
    }
}

/// Fills a keyspace from the checkpoint on which later ones build.
#[derive(Debug)]
pub struct Restoring<'a> {
    keyspace: &'a Keyspace,
}

impl Drop for Restoring<'_> {
    fn drop(&mut self) {
        self.keyspace.is_replaced.store(false, Ordering::Release);
        self.keyspace.note_users_changed();
        self.keyspace.compile_parameters();
    }
}

impl Restoring<'_> {
    /// Puts an entry into a database. It counts as stored and unchanged.
    pub fn put(&self, db: usize, entry: Entry) {
        let slot = Slot::of(entry.key());
        self.keyspace.ranges[slot.range()].write().restore(db, slot, entry);
    }
}
