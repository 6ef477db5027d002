//! The entries of one slot in one database, found by key.
//!
//! - A table is a tree by hash: a leaf is an open-addressing table of thin pointers, a branch splits by the next six bits of
//!   the hash. A leaf that grows past [`LEAF_ENTRIES`] becomes a branch, so no change ever moves more than that many entries,
//!   however many a slot holds.
//! - The hash is keyed by the cluster's [`HashSeed`]: a scan's position, which is a place in the order of hashes, means the
//!   same on every node and after every restart. Nothing that apply answers depends on that order.
//! - Every node of the tree has a bound before which none of its entries dies, so that a search for the dead passes what has none.
//! - A table does not keep the seed that its places were made with: there are many tables, and one that is found by its slot would
//!   have to come from memory before a key could be hashed. Its owner keeps it, and always gives the same one.
//!   [`SlotTable::reseed`] changes it, and what positions mean.

mod deadlines;
mod leaf;

use super::entry::{Entry, NEVER_MS, TAG_BITS};
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
pub struct KeyHash {
    place: u64,
    tag: u16,
}

impl KeyHash {
    #[inline]
    pub fn of(key: &[u8], seed: HashSeed) -> KeyHash {
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

/// How far on the way to an entry [`SlotTable::touch`] reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Touch {
    Table,
    Cell,
    Entry,
}

/// Hashes the entries of a node at this depth again.
#[derive(Clone, Copy)]
struct Rehash {
    seed: HashSeed,
    depth: u32,
}

impl Rehash {
    fn all(seed: HashSeed) -> Rehash {
        Rehash { seed, depth: 0 }
    }

    fn of(self, entry: &Entry) -> KeyHash {
        (0..self.depth).fold(KeyHash::of(entry.key(), self.seed), |hash, _| hash.descend().1)
    }

    /// One level further down.
    fn below(self) -> Rehash {
        Rehash { depth: self.depth + 1, ..self }
    }
}

/// A search for entries that are dead or have dead fields. It ends early once it has cost its budget: one for each entry
/// that it looks at, and what `found` returns.
pub struct DeadSearch<'a> {
    now_ms: i64,
    budget: usize,
    looked_at: usize,
    found: &'a mut dyn FnMut(&Entry) -> usize,
}

impl<'a> DeadSearch<'a> {
    pub fn new(now_ms: i64, budget: usize, found: &'a mut dyn FnMut(&Entry) -> usize) -> DeadSearch<'a> {
        DeadSearch { now_ms, budget, looked_at: 0, found }
    }

    /// What is left of the budget.
    pub fn budget(&self) -> usize {
        self.budget
    }

    pub fn has_budget(&self) -> bool {
        self.budget > 0
    }

    /// Entries looked at, dead or alive.
    pub fn looked_at(&self) -> usize {
        self.looked_at
    }

    /// Returns the entry's first deadline.
    fn look_at(&mut self, entry: &Entry) -> i64 {
        let deadline_ms = entry.first_deadline_ms();
        let cost = if deadline_ms <= self.now_ms { 1 + (self.found)(entry) } else { 1 };
        self.looked_at += 1;
        self.budget = self.budget.saturating_sub(cost);
        deadline_ms
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
    /// No entry dies before this.
    earliest_ms: i64,
    ways: [Node; BRANCH_WAYS],
}

impl Default for Node {
    fn default() -> Self {
        Node::Leaf(Leaf::default())
    }
}

impl SlotTable {
    /// Moves every entry to its place under another seed, and all that its collection finds by hashes. Positions of scans
    /// mean nothing afterwards.
    pub fn reseed(&mut self, seed: HashSeed) {
        let mut old = vec![std::mem::take(&mut self.root)];
        while let Some(node) = old.pop() {
            match node {
                Node::Branch(branch) => old.extend(branch.ways),
                Node::Leaf(leaf) => leaf.into_entries().for_each(|mut entry| {
                    entry.object_mut().into_iter().for_each(|object| object.reseed(seed));
                    let replaced = self.insert(seed, entry);
                    debug_assert!(replaced.is_none(), "no key is in a table twice");
                }),
            }
        }
    }

    pub fn len(&self) -> usize {
        self.root.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Reads what is on the way to the entry of a key with this hash; what it returns means nothing.
    pub fn touch(&self, mut hash: KeyHash, touch: Touch) -> usize {
        let mut node = &self.root;
        loop {
            match node {
                Node::Leaf(leaf) => return leaf.touch(hash, touch),
                Node::Branch(branch) => {
                    let (way, below) = hash.descend();
                    (node, hash) = (&branch.ways[way], below);
                }
            }
        }
    }

    /// The entry of a key with this hash.
    pub fn find(&self, mut hash: KeyHash, key: &[u8]) -> Option<&Entry> {
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

    pub fn find_mut(&mut self, mut hash: KeyHash, key: &[u8]) -> Option<&mut Entry> {
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

    /// Changes an entry. Who changes deadlines of a key or its fields comes this way, or tells of it by coming afterwards.
    pub fn change<T>(&mut self, hash: KeyHash, key: &[u8], act: impl FnOnce(&mut Entry) -> T) -> Option<T> {
        self.root.change(hash, key, act)
    }

    /// No entry dies before this, nor any field of one.
    pub fn earliest_ms(&self) -> i64 {
        self.root.earliest_ms()
    }

    /// Finds the dead. What the search has cost is proportional to the dead, and to bounds that have become too early since
    /// the last.
    pub fn search_dead(&mut self, search: &mut DeadSearch<'_>) {
        self.root.search_dead(search);
    }

    /// Puts the entry in, in place of one with the same key; returns that one.
    pub fn insert(&mut self, seed: HashSeed, entry: Entry) -> Option<Entry> {
        let hash = KeyHash::of(entry.key(), seed);
        self.root.insert(hash, Rehash::all(seed), entry)
    }

    pub fn remove(&mut self, seed: HashSeed, key: &[u8]) -> Option<Entry> {
        self.root.remove(KeyHash::of(key, seed), Rehash::all(seed), key)
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
    pub fn scan(&self, seed: HashSeed, from: u64, count: usize, visit: &mut dyn FnMut(&Entry)) -> Position {
        let mut wanted = count.max(1);
        let mut position = Some(from).filter(|from| *from < PLACES);
        while let Some(from) = position
            && wanted > 0
        {
            let (visited, next) = self.root.scan(from, Rehash::all(seed), wanted, visit);
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
        seed: HashSeed,
        from: WalkPlace,
        budget: usize,
        visit: &mut impl FnMut(&mut Entry) -> usize,
    ) -> Option<WalkPlace> {
        let from = if from.seed == seed { from.place } else { 0 };
        self.scan_mut(from, budget, visit).map(|place| WalkPlace { place, seed })
    }

    /// Some entry at or behind a point of the table that `point` (any number) selects; `None` in an empty table.
    pub fn pick(&self, point: u64) -> Option<&Entry> {
        let place = point >> (u64::BITS - PLACE_BITS);
        self.root.first_from(place).or_else(|| self.root.first_from(0))
    }

    /// The same among the entries that have a deadline of their own.
    pub fn pick_mortal(&self, point: u64) -> Option<&Entry> {
        let place = point >> (u64::BITS - PLACE_BITS);
        self.root.first_mortal_from(place).or_else(|| self.root.first_mortal_from(0))
    }
}

impl Node {
    fn len(&self) -> usize {
        match self {
            Node::Leaf(leaf) => leaf.len(),
            Node::Branch(branch) => branch.len,
        }
    }

    fn earliest_ms(&self) -> i64 {
        match self {
            Node::Leaf(leaf) => leaf.earliest_ms(),
            Node::Branch(branch) => branch.earliest_ms,
        }
    }

    fn change<T>(&mut self, hash: KeyHash, key: &[u8], act: impl FnOnce(&mut Entry) -> T) -> Option<T> {
        match self {
            Node::Leaf(leaf) => leaf.change(hash, key, act),
            Node::Branch(branch) => {
                let (way, below) = hash.descend();
                let result = branch.ways[way].change(below, key, act);
                branch.note_way(way);
                result
            }
        }
    }

    fn search_dead(&mut self, search: &mut DeadSearch<'_>) {
        match self {
            Node::Leaf(leaf) => leaf.search_dead(search),
            Node::Branch(branch) => {
                let due_ms = search.now_ms;
                let due = branch.ways.iter_mut().filter(|way| way.earliest_ms() <= due_ms);
                for way in due {
                    if search.has_budget() {
                        way.search_dead(search);
                    }
                }
                branch.earliest_ms = branch.ways.iter().map(Node::earliest_ms).fold(NEVER_MS, i64::min);
            }
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
                branch.note_way(way);
                branch.len += usize::from(old.is_none());
                old
            }
        }
    }

    fn split(&mut self, rehash: Rehash) {
        let Node::Leaf(leaf) = std::mem::take(self) else { return };
        let (len, earliest_ms) = (leaf.len(), leaf.earliest_ms());
        let mut branch = Branch { len, earliest_ms, ways: std::array::from_fn(|_| Node::default()) };
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

    fn first_mortal_from(&self, place: u64) -> Option<&Entry> {
        match self {
            _ if self.earliest_ms() == NEVER_MS => None,
            Node::Leaf(leaf) => leaf.first_mortal_from(place),
            Node::Branch(branch) => {
                let (way, below) = KeyHash { place, tag: 0 }.descend();
                let here = branch.ways[way].first_mortal_from(below.place);
                here.or_else(|| branch.ways[way + 1..].iter().find_map(|node| node.first_mortal_from(0)))
            }
        }
    }
}

impl Branch {
    /// A deadline may have come into a way.
    fn note_way(&mut self, way: usize) {
        self.earliest_ms = self.earliest_ms.min(self.ways[way].earliest_ms());
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
