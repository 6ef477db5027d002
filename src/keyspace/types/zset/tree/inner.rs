//! An inner node: children, each with its first item and how many items are below it.

use std::sync::Arc;

use super::{Item, Node, NodeCount};
use crate::keyspace::types::shared::COUNTS_BYTES;
use crate::keyspace::types::zset::arena::Handle;
use crate::keyspace::types::zset::order::partition;

/// A neighbour with less room than this is not worth sharing with.
const MIN_SHARE: usize = 8;

/// The three rows run in step.
#[derive(Debug)]
pub(super) struct Inner {
    firsts: Vec<Item>,
    counts: Vec<u32>,
    children: Vec<Node>,
}

/// Shares the children and keeps the room for more.
impl Clone for Inner {
    fn clone(&self) -> Inner {
        let mut clone = Inner::empty();
        clone.append(self);
        clone
    }
}

impl Inner {
    pub(super) const CAPACITY: usize = 64;
    pub(super) const HEAP_BYTES: usize = COUNTS_BYTES
        + size_of::<Inner>()
        + Inner::CAPACITY * (size_of::<Item>() + size_of::<u32>() + size_of::<Node>());

    fn empty() -> Inner {
        Inner {
            firsts: Vec::with_capacity(Inner::CAPACITY),
            counts: Vec::with_capacity(Inner::CAPACITY),
            children: Vec::with_capacity(Inner::CAPACITY),
        }
    }

    /// A node above one child that holds `items` items.
    pub(super) fn above(child: Node, items: usize) -> Inner {
        let mut inner = Inner::empty();
        inner.firsts.push(child.first());
        inner.counts.push(items as u32);
        inner.children.push(child);
        inner
    }

    pub(super) fn len(&self) -> usize {
        self.children.len()
    }

    pub(super) fn child(&self, at: usize) -> &Node {
        &self.children[at]
    }

    pub(super) fn first(&self, at: usize) -> Item {
        self.firsts[at]
    }

    /// Items below the first `children` children.
    pub(super) fn count_up_to(&self, children: usize) -> usize {
        self.counts[..children].iter().map(|count| *count as usize).sum()
    }

    /// The child where the items for which `before` holds end.
    pub(super) fn child_of(&self, before: &impl Fn(&Item) -> bool) -> usize {
        partition(self.len(), |at| before(&self.firsts[at])).saturating_sub(1)
    }

    /// The child that holds a rank, and the rank within that child.
    pub(super) fn child_at(&self, mut rank: usize) -> (usize, usize) {
        let mut at = 0;
        while rank >= self.counts[at] as usize {
            rank -= self.counts[at] as usize;
            at += 1;
        }
        (at, rank)
    }

    pub(super) fn insert(&mut self, item: Item, before: &impl Fn(&Item) -> bool, nodes: &mut NodeCount) {
        let mut at = self.child_of(before);
        if self.children[at].is_full() {
            self.make_room(at, before, nodes);
            at = self.child_of(before);
        }
        // Asked here rather than of the child, whose first item a search seldom brings into the cache.
        if !before(&self.firsts[at]) {
            self.firsts[at] = item;
        }
        self.children[at].insert(item, before, nodes);
        self.counts[at] += 1;
    }

    pub(super) fn remove(&mut self, upto: &impl Fn(&Item) -> bool, nodes: &mut NodeCount) -> Option<Item> {
        let at = self.child_of(upto);
        let item = self.children[at].remove(upto, nodes)?;
        self.counts[at] -= 1;
        if self.counts[at] == 0 {
            self.drop_child(at, nodes);
        } else {
            if item == self.firsts[at] {
                self.firsts[at] = self.children[at].first();
            }
            self.merge_around(at, nodes);
        }
        Some(item)
    }

    pub(super) fn replace(&mut self, upto: &impl Fn(&Item) -> bool, handle: Handle) {
        let at = self.child_of(upto);
        self.children[at].replace(upto, handle);
        self.firsts[at] = self.children[at].first();
    }

    pub(super) fn split_off(&mut self, at: usize) -> Inner {
        let mut next = Inner::empty();
        next.firsts.extend(self.firsts.drain(at..));
        next.counts.extend(self.counts.drain(at..));
        next.children.extend(self.children.drain(at..));
        next
    }

    pub(super) fn append(&mut self, next: &Inner) {
        self.firsts.extend_from_slice(&next.firsts);
        self.counts.extend_from_slice(&next.counts);
        self.children.extend_from_slice(&next.children);
    }

    pub(super) fn even_out(&mut self, next: &mut Inner) {
        let half = (self.len() + next.len()) / 2;
        if self.len() < half {
            self.take_front(next, half - self.len());
        } else {
            let mut moved = self.split_off(half);
            moved.take_front(next, usize::MAX);
            *next = moved;
        }
    }

    /// Drops the last leaf below, and what nodes that empties, or a node that others share, for that is only a count;
    /// false when nothing is left.
    pub(super) fn drop_last_leaf(&mut self) -> bool {
        while let Some(mut child) = self.children.pop() {
            let Node::Inner(inner) = &mut child else {
                return true;
            };
            let Some(inner) = Arc::get_mut(inner) else {
                return true;
            };
            if inner.drop_last_leaf() {
                self.children.push(child);
                return true;
            }
        }
        false
    }

    /// Moves up to `count` children from the front of the next node to the end of this.
    fn take_front(&mut self, next: &mut Inner, count: usize) {
        let count = count.min(next.len());
        self.firsts.extend(next.firsts.drain(..count));
        self.counts.extend(next.counts.drain(..count));
        self.children.extend(next.children.drain(..count));
    }

    /// Sees to it that the place for a new item is not in a full child. This node must not be full.
    fn make_room(&mut self, at: usize, before: &impl Fn(&Item) -> bool, nodes: &mut NodeCount) {
        let room = |child: &Node| child.capacity() - child.len();
        if at > 0 && room(&self.children[at - 1]) >= MIN_SHARE {
            self.even_out_children(at - 1);
        } else if self.children.get(at + 1).is_some_and(|next| room(next) >= MIN_SHARE) {
            self.even_out_children(at);
        } else {
            self.split_child(at, self.split_place(at, before), nodes);
        }
    }

    /// In the middle; but at the very end where items are appended or prepended, so that the full part stays full.
    fn split_place(&self, at: usize, before: &impl Fn(&Item) -> bool) -> usize {
        let child = &self.children[at];
        if at + 1 == self.len() && before(&child.last_first()) {
            child.len() - 1
        } else if at == 0 && !before(&child.first()) {
            1
        } else {
            child.len() / 2
        }
    }

    fn split_child(&mut self, at: usize, place: usize, nodes: &mut NodeCount) {
        let next = self.children[at].split_off(place, nodes);
        let moved = next.items() as u32;
        self.counts[at] -= moved;
        self.firsts.insert(at + 1, next.first());
        self.counts.insert(at + 1, moved);
        self.children.insert(at + 1, next);
    }

    fn even_out_children(&mut self, left: usize) {
        let (head, tail) = self.children.split_at_mut(left + 1);
        head[left].even_out(&mut tail[0]);
        let both = self.counts[left] + self.counts[left + 1];
        self.counts[left] = self.children[left].items() as u32;
        self.counts[left + 1] = both - self.counts[left];
        self.firsts[left + 1] = self.children[left + 1].first();
    }

    /// Looks at the neighbours only when the child itself is sparse, for that may cost two cache misses.
    fn merge_around(&mut self, at: usize, nodes: &mut NodeCount) {
        let child = &self.children[at];
        if child.len() * 8 > child.capacity() * 3 {
            return;
        }
        if at > 0 && self.fit_in_one(at - 1) {
            self.merge_children(at - 1, nodes);
        } else if at + 1 < self.len() && self.fit_in_one(at) {
            self.merge_children(at, nodes);
        }
    }

    /// Whether two neighbours fill no more than three quarters of a node.
    fn fit_in_one(&self, left: usize) -> bool {
        let (left, right) = (&self.children[left], &self.children[left + 1]);
        (left.len() + right.len()) * 4 <= left.capacity() * 3
    }

    fn merge_children(&mut self, left: usize, nodes: &mut NodeCount) {
        let next = self.children.remove(left + 1);
        self.firsts.remove(left + 1);
        self.counts[left] += self.counts.remove(left + 1);
        self.children[left].append(next, nodes);
    }

    fn drop_child(&mut self, at: usize, nodes: &mut NodeCount) {
        self.firsts.remove(at);
        self.counts.remove(at);
        match self.children.remove(at) {
            Node::Leaf(_) => nodes.leaves -= 1,
            Node::Inner(_) => nodes.inners -= 1,
        }
    }
}
