//! Locked lock ranges: what a command sees while it runs.
//!
//! A view holds the locks of its [`LockSet`] from its birth to its end. Asking it for a range outside the set is a
//! bug in a command's key specs and panics: a command may not touch keys that it did not declare.

use parking_lot::{RwLock, RwLockReadGuard, RwLockWriteGuard};
use smallvec::SmallVec;

use super::range::LockRange;
use super::slot::{RANGES, Slot};

const _: () = assert!(RANGES == u64::BITS as usize, "a LockSet has a bit for every range");

/// Lock ranges, a bit each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LockSet(u64);

impl LockSet {
    pub const NONE: LockSet = LockSet(0);
    pub const ALL: LockSet = LockSet(u64::MAX);

    pub fn of_range(range: usize) -> LockSet {
        LockSet(1 << range)
    }

    pub fn of_key(key: &[u8]) -> LockSet {
        LockSet::of_range(Slot::of(key).range())
    }

    pub fn union(self, other: LockSet) -> LockSet {
        LockSet(self.0 | other.0)
    }

    /// The range, if there is exactly one.
    pub fn only_range(self) -> Option<usize> {
        self.0.is_power_of_two().then(|| self.0.trailing_zeros() as usize)
    }

    fn place_of(self, range: usize) -> usize {
        assert!(self.0 & (1 << range) != 0, "the command's key specs name every key that it touches");
        (self.0 & ((1 << range) - 1)).count_ones() as usize
    }

    fn ranges(self) -> impl Iterator<Item = usize> {
        let mut rest = self.0;
        std::iter::from_fn(move || {
            let range = (rest != 0).then(|| rest.trailing_zeros() as usize)?;
            rest &= rest - 1;
            Some(range)
        })
    }
}

/// Anything that lends lock ranges for reading.
pub trait Ranges {
    fn range(&self, index: usize) -> &LockRange;
}

pub struct ReadView<'a> {
    set: LockSet,
    guards: SmallVec<[RwLockReadGuard<'a, LockRange>; 1]>,
}

pub struct WriteView<'a> {
    set: LockSet,
    guards: SmallVec<[RwLockWriteGuard<'a, LockRange>; 1]>,
}

impl<'a> ReadView<'a> {
    /// `None` where somebody changes one of the ranges.
    pub(super) fn try_lock(ranges: &'a [RwLock<LockRange>], set: LockSet) -> Option<Self> {
        let guards: Option<_> = set.ranges().map(|range| ranges[range].try_read()).collect();
        Some(ReadView { set, guards: guards? })
    }

    pub(super) fn lock(ranges: &'a [RwLock<LockRange>], set: LockSet) -> Self {
        ReadView { set, guards: set.ranges().map(|range| ranges[range].read()).collect() }
    }
}

impl<'a> WriteView<'a> {
    pub(super) fn lock(ranges: &'a [RwLock<LockRange>], set: LockSet) -> Self {
        WriteView { set, guards: set.ranges().map(|range| ranges[range].write()).collect() }
    }

    pub fn ranges_mut(&mut self) -> impl Iterator<Item = &mut LockRange> {
        self.guards.iter_mut().map(|guard| &mut **guard)
    }

    pub fn range_mut(&mut self, index: usize) -> &mut LockRange {
        &mut self.guards[self.set.place_of(index)]
    }
}

impl Ranges for ReadView<'_> {
    fn range(&self, index: usize) -> &LockRange {
        &self.guards[self.set.place_of(index)]
    }
}

impl Ranges for WriteView<'_> {
    fn range(&self, index: usize) -> &LockRange {
        &self.guards[self.set.place_of(index)]
    }
}
