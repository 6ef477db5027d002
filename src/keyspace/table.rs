//! The entries of one slot in one database, found by key.
//!
//! - A table is a tree by hash: a leaf is an open-addressing table of thin pointers, a branch splits by the next six bits of
//!   the hash. A leaf that grows past [`LEAF_ENTRIES`] becomes a branch, so no change ever moves more than that many entries,
//!   however many a slot holds.
//! - The hash is keyed by nothing secret and is the same in every process: a scan's position, which is a place in the order of
//!   hashes, means the same on every node and after every restart. Nothing that apply answers depends on that order.
//!
//! Caveat: the hash is no secret, so who may choose keys can choose collisions, and pays for them with slow lookups.

mod leaf;

use std::hash::{BuildHasher, Hasher};

use foldhash::quality::FixedState;

use super::entry::{Entry, TAG_BITS};
use leaf::Leaf;

/// Bits of the hash that places are made of; from the rest comes the tag.
const PLACE_BITS: u32 = 48;
/// Every place is below this.
const PLACES: u64 = 1 << PLACE_BITS;
/// A leaf's entries before it is split.
const LEAF_ENTRIES: usize = 4096;
const BRANCH_BITS: u32 = 6;
const BRANCH_WAYS: usize = 1 << BRANCH_BITS;

/// Where a walk over a table goes on, below 2^48; `None` after its end.
pub type Position = Option<u64>;

/// The hash of a key: a place of [`PLACE_BITS`] bits, and a tag of [`TAG_BITS`] that tells most entries of a place apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct KeyHash {
    place: u64,
    tag: u16,
}

impl KeyHash {
    fn of(key: &[u8]) -> KeyHash {
        let mut hasher = FixedState::default().build_hasher();
        hasher.write(key);
        let hash = hasher.finish();
        KeyHash { place: hash >> (u64::BITS - PLACE_BITS), tag: hash as u16 & ((1 << TAG_BITS) - 1) }
    }

    /// The way through a branch at this depth, and the place below it.
    fn descend(self) -> (usize, KeyHash) {
        let way = (self.place >> (PLACE_BITS - BRANCH_BITS)) as usize;
        let place = (self.place << BRANCH_BITS) & ((1 << PLACE_BITS) - 1);
        (way, KeyHash { place, ..self })
    }

    /// The hash as seen at some depth.
    fn at_depth(self, depth: u32) -> KeyHash {
        (0..depth).fold(self, |hash, _| hash.descend().1)
    }
}

#[derive(Debug, Default)]
pub struct SlotTable {
    root: Node,
}

#[derive(Debug)]
enum Node {
    Leaf(Leaf),
    Branch(Box<Branch>),
}

#[derive(Debug)]
struct Branch {
    len: usize,
    ways: [Node; BRANCH_WAYS],
}

impl Default for Node {
    fn default() -> Self {
        Node::Leaf(Leaf::default())
    }
}

impl SlotTable {
    pub fn len(&self) -> usize {
        self.root.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub fn find(&self, key: &[u8]) -> Option<&Entry> {
        let mut hash = KeyHash::of(key);
        let mut node = &self.root;
        loop {
            match node {
                Node::Leaf(leaf) => return leaf.find(hash, key),
                Node::Branch(branch) => {
                    let (way, below) = hash.descend();
                    (node, hash) = (&branch.ways[way], below);
                }
            }
        }
    }

    pub fn find_mut(&mut self, key: &[u8]) -> Option<&mut Entry> {
        let mut hash = KeyHash::of(key);
        let mut node = &mut self.root;
        loop {
            match node {
                Node::Leaf(leaf) => return leaf.find_mut(hash, key),
                Node::Branch(branch) => {
                    let (way, below) = hash.descend();
                    (node, hash) = (&mut branch.ways[way], below);
                }
            }
        }
    }

    /// Puts the entry in, in place of one with the same key; returns that one.
    pub fn insert(&mut self, entry: Entry) -> Option<Entry> {
        let hash = KeyHash::of(entry.key());
        self.root.insert(hash, 0, entry)
    }

    pub fn remove(&mut self, key: &[u8]) -> Option<Entry> {
        self.root.remove(KeyHash::of(key), 0, key)
    }

    pub fn iter(&self) -> impl Iterator<Item = &Entry> {
        let mut nodes = vec![&self.root];
        let leaves = std::iter::from_fn(move || {
            loop {
                match nodes.pop()? {
                    Node::Leaf(leaf) => return Some(leaf),
                    Node::Branch(branch) => nodes.extend(branch.ways.iter().rev()),
                }
            }
        });
        leaves.flat_map(Leaf::iter)
    }

    /// Calls `visit` for some `count` entries from `from` on (0 is the start). Every entry that is there from the walk's
    /// first call to its last is visited at least once, whatever is inserted or removed between. A position that no walk was
    /// ever told, past all entries, is the end.
    pub fn scan(&self, from: u64, count: usize, visit: &mut dyn FnMut(&Entry)) -> Position {
        let mut wanted = count.max(1);
        let mut position = Some(from).filter(|from| *from < PLACES);
        while let Some(from) = position
            && wanted > 0
        {
            let (visited, next) = self.root.scan(from, 0, wanted, visit);
            wanted = wanted.saturating_sub(visited);
            position = next;
        }
        position
    }

    /// Calls `visit` for every entry from `from` on until the walk has cost about `budget`: one for each cell, empty or not,
    /// and what `visit` returns. Promises what [`scan`](Self::scan) does; nothing but `visit` looks into an entry. Whoever
    /// is visited keeps its key.
    pub fn scan_mut(
        &mut self,
        from: u64,
        budget: usize,
        visit: &mut impl FnMut(&mut Entry) -> usize,
    ) -> Position {
        let mut left = budget.max(1);
        let mut position = Some(from).filter(|from| *from < PLACES);
        while let Some(from) = position
            && left > 0
        {
            let (cost, next) = self.root.scan_mut(from, 0, left, visit);
            left = left.saturating_sub(cost);
            position = next;
        }
        position
    }

    /// Some entry at or behind a point of the table that `point` (any number) selects; `None` in an empty table.
    pub fn pick(&self, point: u64) -> Option<&Entry> {
        let place = point >> (u64::BITS - PLACE_BITS);
        self.root.first_from(place).or_else(|| self.root.first_from(0))
    }
}

impl Node {
    fn len(&self) -> usize {
        match self {
            Node::Leaf(leaf) => leaf.len(),
            Node::Branch(branch) => branch.len,
        }
    }

    fn insert(&mut self, hash: KeyHash, depth: u32, entry: Entry) -> Option<Entry> {
        match self {
            Node::Leaf(leaf) => {
                let old = leaf.insert(hash, depth, entry);
                if leaf.len() > LEAF_ENTRIES && (depth + 1) * BRANCH_BITS < PLACE_BITS {
                    self.split(depth);
                }
                old
            }
            Node::Branch(branch) => {
                let (way, below) = hash.descend();
                let old = branch.ways[way].insert(below, depth + 1, entry);
                branch.len += usize::from(old.is_none());
                old
            }
        }
    }

    fn split(&mut self, depth: u32) {
        let Node::Leaf(leaf) = std::mem::take(self) else { return };
        let mut branch = Branch { len: leaf.len(), ways: std::array::from_fn(|_| Node::default()) };
        for entry in leaf.into_entries() {
            let (way, below) = KeyHash::of(entry.key()).at_depth(depth).descend();
            branch.ways[way].insert(below, depth + 1, entry);
        }
        *self = Node::Branch(Box::new(branch));
    }

    fn remove(&mut self, hash: KeyHash, depth: u32, key: &[u8]) -> Option<Entry> {
        match self {
            Node::Leaf(leaf) => leaf.remove(hash, depth, key),
            Node::Branch(branch) => {
                let (way, below) = hash.descend();
                let old = branch.ways[way].remove(below, depth + 1, key)?;
                branch.len -= 1;
                if branch.len == 0 {
                    *self = Node::default();
                }
                Some(old)
            }
        }
    }

    /// Visits entries of one leaf from a place on; returns how many, and the place at which the walk goes on, in this
    /// node's own order.
    fn scan(&self, from: u64, depth: u32, count: usize, visit: &mut dyn FnMut(&Entry)) -> (usize, Position) {
        match self {
            Node::Leaf(leaf) => leaf.scan(from, depth, count, visit),
            Node::Branch(branch) => {
                let (way, below) = KeyHash { place: from, tag: 0 }.descend();
                let (visited, next) = branch.ways[way].scan(below.place, depth + 1, count, visit);
                (visited, ascend(way, next))
            }
        }
    }

    /// Visits entries of one leaf from a place on; returns what that cost, and the place at which the walk goes on.
    fn scan_mut(
        &mut self,
        from: u64,
        depth: u32,
        budget: usize,
        visit: &mut impl FnMut(&mut Entry) -> usize,
    ) -> (usize, Position) {
        match self {
            Node::Leaf(leaf) => leaf.scan_mut(from, depth, budget, visit),
            Node::Branch(branch) => {
                let (way, below) = KeyHash { place: from, tag: 0 }.descend();
                let (cost, next) = branch.ways[way].scan_mut(below.place, depth + 1, budget, visit);
                (cost, ascend(way, next))
            }
        }
    }

    fn first_from(&self, place: u64) -> Option<&Entry> {
        match self {
            Node::Leaf(leaf) => leaf.first_from(place),
            Node::Branch(branch) => {
                let (way, below) = KeyHash { place, tag: 0 }.descend();
                let here = branch.ways[way].first_from(below.place);
                here.or_else(|| branch.ways[way + 1..].iter().find_map(|node| node.first_from(0)))
            }
        }
    }
}

/// A branch's position, from one of its ways' own.
fn ascend(way: usize, below: Position) -> Position {
    let shift = PLACE_BITS - BRANCH_BITS;
    let way = way as u64;
    match below {
        Some(place) => Some(way << shift | place >> BRANCH_BITS),
        None => (way + 1 < BRANCH_WAYS as u64).then_some((way + 1) << shift),
    }
}

#[cfg(test)]
mod tests;
