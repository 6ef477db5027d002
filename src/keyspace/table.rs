//! The entries of one slot in one database, found by key.
//!
//! - A table is a tree by hash: a leaf is an open-addressing table of thin pointers, a branch splits by the next six bits of
//!   the hash. A leaf that grows past [`LEAF_ENTRIES`] becomes a branch, so no change ever moves more than that many entries,
//!   however many a slot holds.
//! - The hash is keyed by the cluster's [`HashSeed`]: a scan's position, which is a place in the order of hashes, means the
//!   same on every node and after every restart. Nothing that apply answers depends on that order.
//! - A table keeps the seed that its places were made with. [`SlotTable::reseed`] changes it, and what positions mean.

mod leaf;

use super::entry::{Entry, TAG_BITS};
use super::hash_seed::HashSeed;
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

/// Where a walk by [`SlotTable::walk_mut`] continues. The default is the start of every table.
#[derive(Clone, Copy, Debug, Default)]
pub struct WalkPlace {
    place: u64,
    seed: HashSeed,
}

/// The hash of a key: a place of [`PLACE_BITS`] bits, and a tag of [`TAG_BITS`] that tells most entries of a place apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct KeyHash {
    place: u64,
    tag: u16,
}

impl KeyHash {
    fn of(key: &[u8], seed: HashSeed) -> KeyHash {
        let hash = seed.hash(key);
        KeyHash { place: hash >> (u64::BITS - PLACE_BITS), tag: hash as u16 & ((1 << TAG_BITS) - 1) }
    }

    /// The way through a branch at this depth, and the place below it.
    fn descend(self) -> (usize, KeyHash) {
        let way = (self.place >> (PLACE_BITS - BRANCH_BITS)) as usize;
        let place = (self.place << BRANCH_BITS) & ((1 << PLACE_BITS) - 1);
        (way, KeyHash { place, ..self })
    }
}

/// Hashes the entries of a node at this depth again.
#[derive(Clone, Copy)]
struct Rehash {
    seed: HashSeed,
    depth: u32,
}

impl Rehash {
    fn of(self, entry: &Entry) -> KeyHash {
        (0..self.depth).fold(KeyHash::of(entry.key(), self.seed), |hash, _| hash.descend().1)
    }

    /// One level further down.
    fn below(self) -> Rehash {
        Rehash { depth: self.depth + 1, ..self }
    }
}

#[derive(Debug, Default)]
pub struct SlotTable {
    root: Node,
    seed: HashSeed,
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
    pub fn new(seed: HashSeed) -> SlotTable {
        SlotTable { root: Node::default(), seed }
    }

    pub fn seed(&self) -> HashSeed {
        self.seed
    }

    /// Moves every entry to its place under another seed, and all that its collection finds by hashes. Positions of scans
    /// mean nothing afterwards.
    pub fn reseed(&mut self, seed: HashSeed) {
        if self.seed == seed {
            return;
        }
        let mut old = vec![std::mem::replace(self, SlotTable::new(seed)).root];
        while let Some(node) = old.pop() {
            match node {
                Node::Branch(branch) => old.extend(branch.ways),
                Node::Leaf(leaf) => leaf.into_entries().for_each(|mut entry| {
                    entry.object_mut().into_iter().for_each(|object| object.reseed(seed));
                    let replaced = self.insert(entry);
                    debug_assert!(replaced.is_none(), "no key is in a table twice");
                }),
            }
        }
    }

    fn hash(&self, key: &[u8]) -> KeyHash {
        KeyHash::of(key, self.seed)
    }

    fn rehash(&self) -> Rehash {
        Rehash { seed: self.seed, depth: 0 }
    }

    pub fn len(&self) -> usize {
        self.root.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub fn find(&self, key: &[u8]) -> Option<&Entry> {
        let mut hash = self.hash(key);
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
        let mut hash = self.hash(key);
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
        let (hash, rehash) = (self.hash(entry.key()), self.rehash());
        self.root.insert(hash, rehash, entry)
    }

    pub fn remove(&mut self, key: &[u8]) -> Option<Entry> {
        let (hash, rehash) = (self.hash(key), self.rehash());
        self.root.remove(hash, rehash, key)
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
            let (visited, next) = self.root.scan(from, self.rehash(), wanted, visit);
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

    /// As [`scan_mut`](Self::scan_mut), for walks beside which the table may get another seed: the walk then begins again.
    pub fn walk_mut(
        &mut self,
        from: WalkPlace,
        budget: usize,
        visit: &mut impl FnMut(&mut Entry) -> usize,
    ) -> Option<WalkPlace> {
        let seed = self.seed;
        let from = if from.seed == seed { from.place } else { 0 };
        self.scan_mut(from, budget, visit).map(|place| WalkPlace { place, seed })
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

    fn insert(&mut self, hash: KeyHash, rehash: Rehash, entry: Entry) -> Option<Entry> {
        match self {
            Node::Leaf(leaf) => {
                let old = leaf.insert(hash, rehash, entry);
                if leaf.len() > LEAF_ENTRIES && (rehash.depth + 1) * BRANCH_BITS < PLACE_BITS {
                    self.split(rehash);
                }
                old
            }
            Node::Branch(branch) => {
                let (way, below) = hash.descend();
                let old = branch.ways[way].insert(below, rehash.below(), entry);
                branch.len += usize::from(old.is_none());
                old
            }
        }
    }

    fn split(&mut self, rehash: Rehash) {
        let Node::Leaf(leaf) = std::mem::take(self) else { return };
        let mut branch = Branch { len: leaf.len(), ways: std::array::from_fn(|_| Node::default()) };
        for entry in leaf.into_entries() {
            let (way, below) = rehash.of(&entry).descend();
            branch.ways[way].insert(below, rehash.below(), entry);
        }
        *self = Node::Branch(Box::new(branch));
    }

    fn remove(&mut self, hash: KeyHash, rehash: Rehash, key: &[u8]) -> Option<Entry> {
        match self {
            Node::Leaf(leaf) => leaf.remove(hash, rehash, key),
            Node::Branch(branch) => {
                let (way, below) = hash.descend();
                let old = branch.ways[way].remove(below, rehash.below(), key)?;
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
    fn scan(
        &self,
        from: u64,
        rehash: Rehash,
        count: usize,
        visit: &mut dyn FnMut(&Entry),
    ) -> (usize, Position) {
        match self {
            Node::Leaf(leaf) => leaf.scan(from, rehash, count, visit),
            Node::Branch(branch) => {
                let (way, below) = KeyHash { place: from, tag: 0 }.descend();
                let (visited, next) = branch.ways[way].scan(below.place, rehash.below(), count, visit);
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
