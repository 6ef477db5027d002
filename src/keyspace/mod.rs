//! The keyspace: 16 databases of entries, by hash slot, in lock ranges.
//!
//! - Reading takes the read locks of the ranges that a command names; only the [`Mutator`], of which a keyspace has
//!   exactly one and which apply owns, can lock for writing. A write that skips the log does not compile.
//! - Locks are taken in ascending order of ranges, so two views can never wait for each other in a circle.
//! - Nothing here reads a clock: whether an entry is dead is asked with a time.

pub mod digest;
pub mod entry;
pub mod range;
pub mod slot;
pub mod table;
pub mod types;
pub mod value;
pub mod view;

use std::sync::Arc;

use parking_lot::RwLock;

use range::{LockRange, Usage};
use slot::RANGES;
use view::{LockSet, ReadView, WriteView};

/// Databases per keyspace, as SELECT numbers them.
pub const DATABASES: usize = 16;

/// One shard's data.
#[derive(Debug)]
pub struct Keyspace {
    ranges: Box<[RwLock<LockRange>]>,
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
        let keyspace = Arc::new(Keyspace { ranges });
        (keyspace.clone(), Mutator { keyspace })
    }

    pub fn read(&self, set: LockSet) -> ReadView<'_> {
        ReadView::lock(&self.ranges, set)
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
}
