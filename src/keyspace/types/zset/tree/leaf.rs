//! A leaf: scores beside handles, in order.

use super::Item;
use crate::keyspace::types::shared::COUNTS_BYTES;
use crate::keyspace::types::zset::arena::Handle;
use crate::keyspace::types::zset::order::partition;

/// As many items as fit a 768-byte allocation, with the counts that an `Arc` puts before them.
#[derive(Debug, Clone)]
pub(super) struct Leaf {
    scores: [f64; Leaf::CAPACITY],
    handles: [Handle; Leaf::CAPACITY],
    len: u8,
}

impl Leaf {
    pub(super) const CAPACITY: usize = 62;
    pub(super) const HEAP_BYTES: usize = COUNTS_BYTES + size_of::<Leaf>();

    pub(super) fn new() -> Leaf {
        let (scores, handles) = ([0.0; Leaf::CAPACITY], [Handle::default(); Leaf::CAPACITY]);
        Leaf { scores, handles, len: 0 }
    }

    pub(super) fn len(&self) -> usize {
        self.len as usize
    }

    pub(super) fn item(&self, at: usize) -> Item {
        Item { score: self.scores[at], handle: self.handles[at] }
    }

    pub(super) fn count_before(&self, before: &impl Fn(&Item) -> bool) -> usize {
        partition(self.len(), |at| before(&self.item(at)))
    }

    pub(super) fn insert(&mut self, at: usize, item: Item) {
        let len = self.len();
        self.scores.copy_within(at..len, at + 1);
        self.handles.copy_within(at..len, at + 1);
        self.scores[at] = item.score;
        self.handles[at] = item.handle;
        self.len += 1;
    }

    pub(super) fn remove(&mut self, at: usize) -> Item {
        let item = self.item(at);
        self.remove_many(at, 1);
        item
    }

    pub(super) fn set_handle(&mut self, at: usize, handle: Handle) {
        self.handles[at] = handle;
    }

    pub(super) fn split_off(&mut self, at: usize) -> Leaf {
        let mut next = Leaf::new();
        next.extend(self, at, self.len() - at);
        self.len = at as u8;
        next
    }

    pub(super) fn append(&mut self, next: &Leaf) {
        self.extend(next, 0, next.len());
    }

    pub(super) fn even_out(&mut self, next: &mut Leaf) {
        let half = (self.len() + next.len()) / 2;
        if self.len() < half {
            let count = half - self.len();
            self.extend(next, 0, count);
            next.remove_many(0, count);
        } else {
            let mut moved = self.split_off(half);
            moved.append(next);
            *next = moved;
        }
    }

    /// Adds `count` items of another leaf, from its `from` on, at the end.
    fn extend(&mut self, other: &Leaf, from: usize, count: usize) {
        let len = self.len();
        self.scores[len..len + count].copy_from_slice(&other.scores[from..from + count]);
        self.handles[len..len + count].copy_from_slice(&other.handles[from..from + count]);
        self.len += count as u8;
    }

    /// Removes `count` items from `at` on.
    fn remove_many(&mut self, at: usize, count: usize) {
        let len = self.len();
        self.scores.copy_within(at + count..len, at);
        self.handles.copy_within(at + count..len, at);
        self.len -= count as u8;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_leaf_fills_its_size_class() {
        const { assert!(Leaf::HEAP_BYTES <= 768 && Leaf::HEAP_BYTES + 12 > 768) };
    }
}
