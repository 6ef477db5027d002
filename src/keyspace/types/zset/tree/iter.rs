//! A walk over a range of ranks, from either end.

use std::ops::Range;

use super::leaf::Leaf;
use super::{CountedTree, Item};

/// Descends once for each leaf that it enters.
#[derive(Debug, Clone)]
pub(in crate::keyspace::types::zset) struct Iter<'a> {
    tree: &'a CountedTree,
    /// The ranks still to come, from both ends.
    ranks: Range<usize>,
    /// The leaf that holds `ranks.start`, and where.
    front: Option<(&'a Leaf, usize)>,
    /// The leaf that holds `ranks.end - 1`, and where.
    back: Option<(&'a Leaf, usize)>,
}

impl<'a> Iter<'a> {
    pub(super) fn new(tree: &'a CountedTree, ranks: Range<usize>) -> Iter<'a> {
        Iter { tree, ranks, front: None, back: None }
    }
}

impl Iterator for Iter<'_> {
    type Item = Item;

    fn next(&mut self) -> Option<Item> {
        let rank = self.ranks.next()?;
        let (leaf, at) = self.front.unwrap_or_else(|| self.tree.leaf_at(rank));
        self.front = (at + 1 < leaf.len()).then_some((leaf, at + 1));
        Some(leaf.item(at))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.ranks.size_hint()
    }
}

impl DoubleEndedIterator for Iter<'_> {
    fn next_back(&mut self) -> Option<Item> {
        let rank = self.ranks.next_back()?;
        let (leaf, at) = self.back.unwrap_or_else(|| self.tree.leaf_at(rank));
        self.back = at.checked_sub(1).map(|at| (leaf, at));
        Some(leaf.item(at))
    }
}
