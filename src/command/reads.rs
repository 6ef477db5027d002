//! The keys that commands read for a client that caches them.
//!
//! - As in Redis, a command counts that only reads, and the keys that it names. Of a script its own commands count, not the keys that it is
//!   called with.
//! - A key is kept with the number of changes that were noted when it was read last: a later change makes the client's value stale, an
//!   earlier one does not.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;

use super::spec::Flags;
use super::{Args, Command};

/// Keys that are kept: a script may name any number.
const MAX_KEYS: usize = 100_000;

/// A key, and how many changes were noted before it was read last.
pub type ReadKey = (Box<[u8]>, usize);

#[derive(Debug, Default)]
pub struct ReadKeys {
    is_wanted: Cell<bool>,
    keys: RefCell<BTreeMap<Box<[u8]>, usize>>,
    changes: Cell<usize>,
    has_too_many: Cell<bool>,
}

impl ReadKeys {
    /// Keeps keys if that is wanted.
    pub fn wanted(is_wanted: bool) -> ReadKeys {
        ReadKeys { is_wanted: Cell::new(is_wanted), ..ReadKeys::default() }
    }

    /// From here on keys are wanted, or not.
    pub fn want(&self, is_wanted: bool) {
        self.is_wanted.set(is_wanted);
    }

    /// Number of changes that are noted.
    pub fn note_changes(&self, changes: usize) {
        self.changes.set(changes);
    }

    /// A command runs.
    #[inline]
    pub fn note(&self, command: &Command, args: &Args<'_>) {
        if self.is_wanted.get() && command.flags.contains(Flags::READONLY) && command.script.is_none() {
            command.key_places(args).for_each(|place| self.add(args[place]));
        }
    }

    fn add(&self, key: &[u8]) {
        let mut keys = self.keys.borrow_mut();
        if let Some(changes) = keys.get_mut(key) {
            *changes = self.changes.get();
        } else if keys.len() < MAX_KEYS {
            keys.insert(key.into(), self.changes.get());
        } else {
            self.has_too_many.set(true);
        }
    }

    /// Whether there were more than are kept.
    pub fn take_too_many(&self) -> bool {
        self.has_too_many.take()
    }

    /// Takes the keys, those that were read first first.
    pub fn take(&self) -> Vec<ReadKey> {
        self.changes.set(0);
        if self.keys.borrow().is_empty() {
            return Vec::new();
        }
        let mut keys: Vec<ReadKey> = self.keys.take().into_iter().collect();
        keys.sort_by_key(|(_, changes)| *changes);
        keys
    }
}
