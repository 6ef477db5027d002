//! A counted B+tree: the elements of a big sorted set in order, each found by a cut or by its rank.
//!
//! - Leaves hold scores beside handles, so most comparisons touch no record. Inner nodes know each child's first element
//!   and its number of elements; that gives O(log n) to ranks, counts and the start of a range.
//! - No node is empty, but for the root of an empty tree. A removal that leaves a node three eighths full or less merges
//!   it with a neighbour, if both fit into three quarters of a node; that bounds height and waste.
//! - A full node first shares with a neighbour, then splits; appending (or prepending) leaves full nodes behind.
//! - Clones share nodes. Whoever changes one copies it first, and those on the way to it; a node that nobody shares is
//!   changed in place.
//! - The tree orders by the predicates that it is given. A predicate must hold for a prefix of the elements; callers make
//!   it from a [`Cut`](super::order::Cut).

mod inner;
mod iter;
mod leaf;
#[cfg(test)]
mod tests;

use std::ops::Range;
use std::sync::Arc;

use super::arena::Handle;
use inner::Inner;
pub(super) use iter::Iter;
use leaf::Leaf;

/// An element, as the tree sees it.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(super) struct Item {
    pub(super) score: f64,
    pub(super) handle: Handle,
}

#[derive(Debug, Clone)]
enum Node {
    Leaf(Arc<Leaf>),
    Inner(Arc<Inner>),
}

/// How many nodes there are, for the memory figure.
#[derive(Debug, Clone, Copy, Default)]
struct NodeCount {
    leaves: usize,
    inners: usize,
}

/// Items in order.
#[derive(Debug, Clone)]
pub(super) struct CountedTree {
    root: Node,
    len: usize,
    nodes: NodeCount,
}

impl CountedTree {
    pub(super) fn new() -> CountedTree {
        CountedTree { root: Node::empty(), len: 0, nodes: NodeCount { leaves: 1, inners: 0 } }
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Adds an item behind those for which `before` holds.
    pub(super) fn insert(&mut self, item: Item, before: &impl Fn(&Item) -> bool) {
        if self.root.is_full() {
            let old = std::mem::replace(&mut self.root, Node::empty());
            self.root = Node::Inner(Arc::new(Inner::above(old, self.len)));
            self.nodes.inners += 1;
        }
        self.root.insert(item, before, &mut self.nodes);
        self.len += 1;
    }

    /// Removes the last item for which `upto` holds.
    pub(super) fn remove(&mut self, upto: &impl Fn(&Item) -> bool) -> Option<Item> {
        let item = self.root.remove(upto, &mut self.nodes)?;
        self.len -= 1;
        self.lower_root();
        Some(item)
    }

    /// Gives the last item for which `upto` holds another handle.
    pub(super) fn replace(&mut self, upto: &impl Fn(&Item) -> bool, handle: Handle) {
        self.root.replace(upto, handle);
    }

    /// How many items `before` holds for.
    pub(super) fn count_before(&self, before: &impl Fn(&Item) -> bool) -> usize {
        let mut node = &self.root;
        let mut passed = 0;
        loop {
            match node {
                Node::Leaf(leaf) => return passed + leaf.count_before(before),
                Node::Inner(inner) => {
                    let at = inner.child_of(before);
                    passed += inner.count_up_to(at);
                    node = inner.child(at);
                }
            }
        }
    }

    pub(super) fn get(&self, rank: usize) -> Option<Item> {
        (rank < self.len).then(|| {
            let (leaf, at) = self.leaf_at(rank);
            leaf.item(at)
        })
    }

    /// The items of a range of ranks, which must lie within the tree.
    pub(super) fn iter(&self, ranks: Range<usize>) -> Iter<'_> {
        Iter::new(self, ranks)
    }

    /// Bytes on the heap.
    pub(super) fn heap_bytes(&self) -> usize {
        self.nodes.leaves * Leaf::HEAP_BYTES + self.nodes.inners * Inner::HEAP_BYTES
    }

    /// Drops one leaf, or a node that others share, without any bookkeeping; false when none is left but the root. The
    /// tree is good for nothing else after.
    pub(super) fn drop_one(&mut self) -> bool {
        match &mut self.root {
            Node::Leaf(_) => false,
            Node::Inner(inner) => Arc::get_mut(inner).is_some_and(Inner::drop_last_leaf),
        }
    }

    /// The leaf that holds a rank, and where in it. The rank must lie within the tree.
    fn leaf_at(&self, mut rank: usize) -> (&Leaf, usize) {
        let mut node = &self.root;
        loop {
            match node {
                Node::Leaf(leaf) => return (leaf, rank),
                Node::Inner(inner) => {
                    let at;
                    (at, rank) = inner.child_at(rank);
                    node = inner.child(at);
                }
            }
        }
    }

    /// Makes the root's only child the root.
    fn lower_root(&mut self) {
        while let Node::Inner(inner) = &self.root
            && inner.len() == 1
        {
            self.root = inner.child(0).clone();
            self.nodes.inners -= 1;
        }
    }
}

impl Node {
    fn empty() -> Node {
        Node::Leaf(Arc::new(Leaf::new()))
    }

    fn len(&self) -> usize {
        match self {
            Node::Leaf(leaf) => leaf.len(),
            Node::Inner(inner) => inner.len(),
        }
    }

    fn capacity(&self) -> usize {
        match self {
            Node::Leaf(_) => Leaf::CAPACITY,
            Node::Inner(_) => Inner::CAPACITY,
        }
    }

    fn is_full(&self) -> bool {
        self.len() == self.capacity()
    }

    /// Items in and below this node.
    fn items(&self) -> usize {
        match self {
            Node::Leaf(leaf) => leaf.len(),
            Node::Inner(inner) => inner.count_up_to(inner.len()),
        }
    }

    /// The first item in or below this node, which is not empty.
    fn first(&self) -> Item {
        match self {
            Node::Leaf(leaf) => leaf.item(0),
            Node::Inner(inner) => inner.first(0),
        }
    }

    /// The first item of what was added last: of a leaf's last item, of an inner node's last child.
    fn last_first(&self) -> Item {
        match self {
            Node::Leaf(leaf) => leaf.item(leaf.len() - 1),
            Node::Inner(inner) => inner.first(inner.len() - 1),
        }
    }

    /// The node must not be full.
    fn insert(&mut self, item: Item, before: &impl Fn(&Item) -> bool, nodes: &mut NodeCount) {
        match self {
            Node::Leaf(leaf) => {
                let at = leaf.count_before(before);
                Arc::make_mut(leaf).insert(at, item);
            }
            Node::Inner(inner) => Arc::make_mut(inner).insert(item, before, nodes),
        }
    }

    fn remove(&mut self, upto: &impl Fn(&Item) -> bool, nodes: &mut NodeCount) -> Option<Item> {
        match self {
            Node::Leaf(leaf) => {
                leaf.count_before(upto).checked_sub(1).map(|at| Arc::make_mut(leaf).remove(at))
            }
            Node::Inner(inner) => Arc::make_mut(inner).remove(upto, nodes),
        }
    }

    fn replace(&mut self, upto: &impl Fn(&Item) -> bool, handle: Handle) {
        match self {
            Node::Leaf(leaf) => {
                if let Some(at) = leaf.count_before(upto).checked_sub(1) {
                    Arc::make_mut(leaf).set_handle(at, handle);
                }
            }
            Node::Inner(inner) => Arc::make_mut(inner).replace(upto, handle),
        }
    }

    /// Parts the node: all from `at` on moves to the node returned.
    fn split_off(&mut self, at: usize, nodes: &mut NodeCount) -> Node {
        match self {
            Node::Leaf(leaf) => {
                nodes.leaves += 1;
                Node::Leaf(Arc::new(Arc::make_mut(leaf).split_off(at)))
            }
            Node::Inner(inner) => {
                nodes.inners += 1;
                Node::Inner(Arc::new(Arc::make_mut(inner).split_off(at)))
            }
        }
    }

    /// Takes in all that is in the next node of the same level, which must fit.
    fn append(&mut self, next: Node, nodes: &mut NodeCount) {
        match (self, next) {
            (Node::Leaf(leaf), Node::Leaf(next)) => {
                nodes.leaves -= 1;
                Arc::make_mut(leaf).append(&next);
            }
            (Node::Inner(inner), Node::Inner(next)) => {
                nodes.inners -= 1;
                Arc::make_mut(inner).append(&next);
            }
            _ => unreachable!("all leaves are on one level"),
        }
    }

    /// Moves items between this node and the next of the same level, so that both hold as many.
    fn even_out(&mut self, next: &mut Node) {
        match (self, next) {
            (Node::Leaf(leaf), Node::Leaf(next)) => Arc::make_mut(leaf).even_out(Arc::make_mut(next)),
            (Node::Inner(inner), Node::Inner(next)) => Arc::make_mut(inner).even_out(Arc::make_mut(next)),
            _ => unreachable!("all leaves are on one level"),
        }
    }
}
