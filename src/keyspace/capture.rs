//! The keyspace as it was at one moment, read piece by piece while it changes: what a checkpoint is made of.
//!
//! - [`Mutator::begin_capture`](super::Mutator::begin_capture) fixes the moment, between two entries of the log, in time
//!   that does not depend on the number of keys. The [`Capture`] is then walked by any thread.
//! - It yields the keys that changed in the epoch before that moment, each exactly once, as they were at that moment: set
//!   (entries) or removed (deleted). The keys of all captures since the first, or since
//!   [`forget_stored`](super::Keyspace::forget_stored), make up the keyspace at the moment of the last.
//! - A step holds one lock range's write lock for some tens of µs; who waits for the lock gets it before the next step.
//! - Who drops a capture before its end gives it up. What it took is lost, so everything must be forgotten before the next.
//!
//! Caveat: a string is cloned byte by byte, so a step that meets one of 100 MiB takes some tens of ms.

mod walk;

use std::sync::Arc;

use parking_lot::{Mutex, RwLock, RwLockWriteGuard};
use thiserror::Error;

use super::changes::Generation;
use super::entry::Entry;
use super::range::{LockRange, Usage, Waiting};
use super::slot::{SLOTS_PER_RANGE, Slot};
use super::table::WalkPlace;
use super::{ALL_DATABASES, Basis, Keyspace};
use walk::{Part, SlotWalk};

/// Changes of one slot in one generation. No key is in it twice, and nothing is in any order.
#[derive(Debug)]
pub struct SlotChanges {
    pub generation: Generation,
    pub slot: Slot,
    /// Keys that were set, dead ones included that were not yet freed.
    pub entries: Vec<Entry>,
    /// Keys that were removed and that an earlier capture yielded.
    pub deleted: Vec<Box<[u8]>>,
}

/// Why no capture begins, or nothing is forgotten.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum CaptureError {
    #[error("a capture of the keyspace is running")]
    Running,
    #[error("a capture of the keyspace was given up: what is stored must be forgotten before the next")]
    GivenUp,
    #[error("what is stored is being forgotten")]
    Forgetting,
    #[error("a command that comes in parts has not run yet")]
    Staging,
}

/// Whether a capture may begin.
#[derive(Clone, Copy, Debug, Default)]
enum Phase {
    #[default]
    Idle,
    /// Why none may.
    Busy(CaptureError),
}

/// The one capture that a keyspace may have at a time.
#[derive(Debug, Default)]
pub(super) struct CaptureState(Mutex<Phase>);

impl CaptureState {
    fn begin(&self, next: CaptureError) -> Result<(), CaptureError> {
        let mut phase = self.0.lock();
        match (*phase, next) {
            (Phase::Idle, _) | (Phase::Busy(CaptureError::GivenUp), CaptureError::Forgetting) => {
                *phase = Phase::Busy(next);
                Ok(())
            }
            (Phase::Busy(other), _) => Err(other),
        }
    }

    fn end(&self, phase: Phase) {
        *self.0.lock() = phase;
    }

    /// Nothing is left of what any capture took.
    pub(super) fn forget(&self) {
        self.end(Phase::Idle);
    }
}

/// How much is done at a time.
#[derive(Clone, Copy, Debug)]
struct Pace {
    /// Cost of one step under a lock, in units of about a nanosecond.
    step_cost: usize,
    /// Keys in one [`SlotChanges`], about.
    keys: usize,
    /// Bytes in one [`SlotChanges`], about.
    bytes: usize,
}

impl Default for Pace {
    fn default() -> Self {
        Pace { step_cost: 20_000, keys: 1024, bytes: 1 << 20 }
    }
}

/// What changed in the epoch that ended when this began; an iterator in ascending order of generations, then slots. A
/// slot with many changes comes in several pieces, one behind the other.
#[derive(Debug)]
pub struct Capture {
    keyspace: Arc<Keyspace>,
    usage: [Usage; ALL_DATABASES],
    basis: Basis,
    dropped: Vec<Generation>,
    parts: std::vec::IntoIter<Part>,
    part: Option<Part>,
    slot: Option<SlotWalk>,
    pace: Pace,
    ended: bool,
}

/// What one step of a capture led to.
enum Step {
    Found(SlotChanges),
    Further,
    End,
}

impl Capture {
    /// The caller holds the right to change the keyspace, so nothing changes before this is done.
    pub(super) fn begin(keyspace: &Arc<Keyspace>) -> Result<Capture, CaptureError> {
        keyspace.capture.begin(CaptureError::Running)?;
        let mut usage = [Usage::default(); ALL_DATABASES];
        let (mut generations, mut dropped) = Default::default();
        let mut parts = Vec::new();
        for (index, range) in keyspace.ranges.iter().enumerate() {
            let ended = range.write().begin_epoch();
            usage = std::array::from_fn(|db| usage[db] + ended.usage[db]);
            parts.extend(ended.databases.into_iter().map(|database| Part::new(index, database)));
            // These are the same in every range.
            (generations, dropped) = (ended.generations, ended.dropped);
        }
        parts.sort_unstable_by_key(Part::order);
        Ok(Capture {
            keyspace: keyspace.clone(),
            usage,
            basis: Basis { generations, hash_seed: keyspace.hash_seed() },
            dropped,
            parts: parts.into_iter(),
            part: None,
            slot: None,
            pace: Pace::default(),
            ended: false,
        })
    }

    /// Keys of every database at the capture's moment.
    pub fn usage(&self) -> [Usage; ALL_DATABASES] {
        self.usage
    }

    /// What else there was at the capture's moment.
    pub fn basis(&self) -> Basis {
        self.basis
    }

    /// Generations that ended since the capture before; nothing more is yielded of them.
    pub fn dropped(&self) -> &[Generation] {
        &self.dropped
    }

    /// Goes on by a little, taking a lock at most once.
    fn step(&mut self) -> Step {
        match (&mut self.slot, &mut self.part) {
            (Some(walk), _) => {
                walk.step(&self.keyspace, &self.pace);
                self.take_found()
            }
            (None, Some(part)) => {
                self.slot = part.enter_slot();
                if self.slot.is_none() {
                    let detached = locked(&self.keyspace.ranges[part.range()], |range| {
                        range.end_capture(part.generation())
                    });
                    drop(detached);
                    self.part = None;
                }
                Step::Further
            }
            (None, None) => {
                self.part = self.parts.next();
                if self.part.is_none() {
                    self.end();
                    return Step::End;
                }
                Step::Further
            }
        }
    }

    /// What the slot's walk has found, if that is enough or the slot ends.
    fn take_found(&mut self) -> Step {
        let Some(walk) = &mut self.slot else { return Step::Further };
        let slot_ended = walk.has_ended();
        if !slot_ended && !walk.is_full(&self.pace) {
            return Step::Further;
        }
        let found = walk.take_found();
        if slot_ended {
            self.slot = None;
        }
        found.map_or(Step::Further, Step::Found)
    }

    fn end(&mut self) {
        if !self.ended {
            self.keyspace.capture.end(Phase::Idle);
            self.ended = true;
        }
    }
}

impl Iterator for Capture {
    type Item = SlotChanges;

    fn next(&mut self) -> Option<SlotChanges> {
        loop {
            match self.step() {
                Step::Found(changes) => return Some(changes),
                Step::Further => {}
                Step::End => return None,
            }
        }
    }
}

impl Drop for Capture {
    fn drop(&mut self) {
        if self.ended {
            return;
        }
        for range in &self.keyspace.ranges {
            drop(locked(range, LockRange::abandon_capture));
        }
        self.keyspace.capture.end(Phase::Busy(CaptureError::GivenUp));
    }
}

impl Keyspace {
    /// Makes every key count as changed and not stored: the next capture yields the whole keyspace, for a store that is
    /// begun anew. It takes locks step by step and may run beside everything but a capture.
    pub fn forget_stored(&self) -> Result<(), CaptureError> {
        self.capture.begin(CaptureError::Forgetting)?;
        self.ranges.iter().enumerate().for_each(|(index, range)| forget_range(index, range));
        self.capture.end(Phase::Idle);
        Ok(())
    }

    /// What waits in memory for the running or the next capture. It takes every read lock in turn.
    pub fn waiting(&self) -> Waiting {
        self.ranges.iter().map(|range| range.read().waiting()).fold(Waiting::default(), |mut sum, one| {
            sum += one;
            sum
        })
    }
}

fn forget_range(index: usize, range: &RwLock<LockRange>) {
    let (generations, tombstones) = locked(range, LockRange::begin_forgetting);
    drop(tombstones);
    let budget = Pace::default().step_cost;
    for generation in generations {
        for slot in (index * SLOTS_PER_RANGE..(index + 1) * SLOTS_PER_RANGE).filter_map(Slot::new) {
            let mut position = Some(WalkPlace::default());
            while let Some(from) = position {
                position = locked(range, |range| range.forget_some(generation, slot, from, budget));
            }
        }
    }
    locked(range, LockRange::end_forgetting);
}

/// Does something under a write lock, which then goes to whoever waits for it.
fn locked<T>(range: &RwLock<LockRange>, act: impl FnOnce(&mut LockRange) -> T) -> T {
    let mut guard = range.write();
    let result = act(&mut guard);
    RwLockWriteGuard::unlock_fair(guard);
    result
}

#[cfg(test)]
mod tests;
