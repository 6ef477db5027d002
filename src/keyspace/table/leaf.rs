//! A table of entries with open addressing and linear probing.
//!
//! - A cell is one thin pointer, with the hash's tag in its upper bits; most probes that miss never touch the entry.
//! - An entry's home is its place scaled to the number of cells, so the cells are in the order of places but for probing;
//!   that is what a scan walks along, and why it survives growing and shrinking.
//! - Cells grow by a quarter or less, in steps that fit the allocator's classes; at least an eighth of them stays empty.

use super::DeadSearch;
use super::deadlines::{LeafDeadlines, PAGE_CELLS};
use super::{BRANCH_BITS, KeyHash, PLACE_BITS, Position, Rehash, Touch};
use crate::keyspace::entry::{Entry, NEVER_MS};

#[derive(Debug, Default)]
pub struct Leaf {
    cells: Box<[Option<Entry>]>,
    len: u32,
    deadlines: LeafDeadlines,
}

const SMALLEST: usize = 4;

impl Leaf {
    pub fn len(&self) -> usize {
        self.len as usize
    }

    pub fn find(&self, hash: KeyHash, key: &[u8]) -> Option<&Entry> {
        self.cells[self.find_cell(hash, key)?].as_ref()
    }

    pub fn find_mut(&mut self, hash: KeyHash, key: &[u8]) -> Option<&mut Entry> {
        let cell = self.find_cell(hash, key)?;
        self.cells[cell].as_mut()
    }

    pub fn touch(&self, hash: KeyHash, touch: Touch) -> usize {
        if self.len == 0 || touch == Touch::Table {
            return self.cells.len();
        }
        match &self.cells[self.home(hash.place)] {
            Some(entry) if touch == Touch::Entry => entry.key().len(),
            found => usize::from(found.is_some()),
        }
    }

    /// Puts the entry in, in place of one with the same key; returns that one.
    pub fn insert(&mut self, hash: KeyHash, rehash: Rehash, mut entry: Entry) -> Option<Entry> {
        entry.set_tag(hash.tag);
        let deadline_ms = entry.first_deadline_ms();
        if let Some(cell) = self.find_cell(hash, entry.key()) {
            self.deadlines.note(cell, self.cells.len(), deadline_ms);
            return self.cells[cell].replace(entry);
        }
        if self.len() + 1 > most_entries(self.cells.len()) {
            self.resize(larger(self.cells.len()), rehash);
        }
        let cell = self.place(hash, entry);
        self.deadlines.note(cell, self.cells.len(), deadline_ms);
        self.len += 1;
        None
    }

    /// Changes an entry, whose deadlines may be others afterwards.
    pub fn change<T>(&mut self, hash: KeyHash, key: &[u8], act: impl FnOnce(&mut Entry) -> T) -> Option<T> {
        let cell = self.find_cell(hash, key)?;
        let entry = self.cells[cell].as_mut()?;
        let result = act(entry);
        let deadline_ms = entry.first_deadline_ms();
        self.deadlines.note(cell, self.cells.len(), deadline_ms);
        Some(result)
    }

    /// No entry dies before this.
    pub fn earliest_ms(&self) -> i64 {
        self.deadlines.earliest_ms()
    }

    /// Looks at the entries of pages in which one may be dead.
    pub fn search_dead(&mut self, search: &mut DeadSearch<'_>) {
        let mut next = 0;
        while search.has_budget()
            && let Some(page) = self.deadlines.due_page(next, search.now_ms)
        {
            let cells = page * PAGE_CELLS..self.cells.len().min((page + 1) * PAGE_CELLS);
            let deadlines_ms = self.cells[cells].iter().flatten().map(|entry| search.look_at(entry));
            let earliest_ms = deadlines_ms.fold(NEVER_MS, i64::min);
            self.deadlines.set_bound(page, earliest_ms);
            next = page + 1;
        }
    }

    pub fn remove(&mut self, hash: KeyHash, rehash: Rehash, key: &[u8]) -> Option<Entry> {
        let cell = self.find_cell(hash, key)?;
        let old = self.cells[cell].take();
        self.close_gap(cell, rehash);
        self.len -= 1;
        if self.len == 0 {
            *self = Leaf::default();
        } else if self.len() * 4 < self.cells.len() {
            self.resize(fitting(self.len() + self.len() / 2), rehash);
        }
        old
    }

    pub fn iter(&self) -> impl Iterator<Item = &Entry> {
        self.cells.iter().flatten()
    }

    pub fn into_entries(self) -> impl Iterator<Item = Entry> {
        self.cells.into_iter().flatten()
    }

    /// Visits entries from a place on, some `count` of them; returns how many, and the place at which the walk goes on.
    pub fn scan(
        &self,
        from: u64,
        rehash: Rehash,
        count: usize,
        visit: &mut dyn FnMut(&Entry),
    ) -> (usize, Position) {
        if self.len == 0 {
            return (0, None);
        }
        let first = self.home(from);
        let end = self.cells_until(first, count);
        let bound = self.first_place_of(end, rehash.depth);
        let mut visited = 0;
        for cell in self.cells_of_homes(first, end) {
            let Some(entry) = &self.cells[cell] else { continue };
            let place = rehash.of(entry).place;
            if place >= from && bound.is_none_or(|bound| place < bound) {
                visit(entry);
                visited += 1;
            }
        }
        (visited, bound)
    }

    /// Visits every entry whose home is at or behind a place's, and some that lie among them, until that has cost `budget`:
    /// one for each cell and what `visit` returns. Returns the cost, and the place at which the walk goes on.
    pub fn scan_mut(
        &mut self,
        from: u64,
        depth: u32,
        budget: usize,
        visit: &mut impl FnMut(&mut Entry) -> usize,
    ) -> (usize, Position) {
        if self.len == 0 {
            return (1, None);
        }
        let first = self.home(from);
        let (mut cell, mut cost) = (first, 0);
        while cell < self.cells.len() && cost < budget {
            cost += 1 + self.cells[cell].as_mut().map_or(0, &mut *visit);
            cell += 1;
        }
        let bound = self.first_place_of(cell, depth);
        // What has its home before here may lie further on, up to the next gap, round the end if need be.
        cell %= self.cells.len();
        while cell != first
            && let Some(entry) = &mut self.cells[cell]
        {
            cost += 1 + visit(entry);
            cell = self.next(cell);
        }
        (cost, bound)
    }

    /// The first entry at or behind the home of a place, in the order of cells.
    pub fn first_from(&self, place: u64) -> Option<&Entry> {
        if self.len == 0 {
            return None;
        }
        self.cells[self.home(place)..].iter().flatten().next()
    }

    /// The first entry with a deadline of its own at or behind the home of a place, in the order of cells.
    pub fn first_mortal_from(&self, place: u64) -> Option<&Entry> {
        if self.len == 0 {
            return None;
        }
        let home = self.home(place);
        let mut next = home / PAGE_CELLS;
        while let Some(page) = self.deadlines.due_page(next, NEVER_MS - 1) {
            let end = self.cells.len().min((page + 1) * PAGE_CELLS);
            let mut entries = self.cells[home.max(page * PAGE_CELLS)..end].iter().flatten();
            let found = entries.find(|entry| entry.deadline_ms().is_some());
            if found.is_some() {
                return found;
            }
            next = page + 1;
        }
        None
    }

    /// The cell behind the one in which the `count`th entry from `first` on lies.
    fn cells_until(&self, first: usize, count: usize) -> usize {
        let mut left = count;
        let mut cell = first;
        while cell < self.cells.len() && left > 0 {
            left -= usize::from(self.cells[cell].is_some());
            cell += 1;
        }
        cell
    }

    /// Every cell in which an entry may lie whose home is in `first..end`: on to the next gap, round the end if need be.
    fn cells_of_homes(&self, first: usize, end: usize) -> impl Iterator<Item = usize> + '_ {
        let cells = self.cells.len();
        let probed = (end..end + cells).map(move |cell| cell % cells);
        let probed = probed.take_while(|cell| self.cells[*cell].is_some());
        (first..end).chain(probed.take_while(move |cell| *cell != first))
    }

    /// The smallest place whose home is `cell`; `None` behind the last cell. Places at a depth are multiples of a power of
    /// two, so rounding up to one leaves none out.
    fn first_place_of(&self, cell: usize, depth: u32) -> Position {
        let cells = self.cells.len() as u128;
        let place = ((cell as u128) << PLACE_BITS).div_ceil(cells) as u64;
        let place = place.next_multiple_of(1 << (depth * BRANCH_BITS));
        (place < 1 << PLACE_BITS).then_some(place)
    }

    fn home(&self, place: u64) -> usize {
        ((u128::from(place) * self.cells.len() as u128) >> PLACE_BITS) as usize
    }

    fn find_cell(&self, hash: KeyHash, key: &[u8]) -> Option<usize> {
        if self.len == 0 {
            return None;
        }
        let mut cell = self.home(hash.place);
        loop {
            let entry = self.cells[cell].as_ref()?;
            if entry.tag() == hash.tag && entry.key() == key {
                return Some(cell);
            }
            cell = self.next(cell);
        }
    }

    fn next(&self, cell: usize) -> usize {
        if cell + 1 == self.cells.len() { 0 } else { cell + 1 }
    }

    /// Puts an entry whose key is not there into the first free cell from its home on; returns that.
    fn place(&mut self, hash: KeyHash, entry: Entry) -> usize {
        let mut cell = self.home(hash.place);
        while self.cells[cell].is_some() {
            cell = self.next(cell);
        }
        self.cells[cell] = Some(entry);
        cell
    }

    /// Moves entries back over a cell that has become free, so that no probe ends too early.
    fn close_gap(&mut self, gap: usize, rehash: Rehash) {
        let mut gap = gap;
        let mut cell = self.next(gap);
        while let Some(entry) = &self.cells[cell] {
            let home = self.home(rehash.of(entry).place);
            if self.distance(home, cell) >= self.distance(gap, cell) {
                let deadline_ms = entry.first_deadline_ms();
                self.deadlines.note(gap, self.cells.len(), deadline_ms);
                self.cells.swap(gap, cell);
                gap = cell;
            }
            cell = self.next(cell);
        }
    }

    /// Cells from one to another, going forward.
    fn distance(&self, from: usize, to: usize) -> usize {
        if to >= from { to - from } else { to + self.cells.len() - from }
    }

    fn resize(&mut self, cells: usize, rehash: Rehash) {
        let empty = std::iter::repeat_with(|| None).take(cells).collect();
        let old = std::mem::replace(&mut self.cells, empty);
        // The entries lie far from each other. A pass that only touches them waits for many at once, one that hashes them for few.
        std::hint::black_box(old.iter().flatten().fold(0, |sum, entry| sum + entry.key().len()));
        let hashes: Vec<KeyHash> = old.iter().flatten().map(|entry| rehash.of(entry)).collect();
        let had_deadlines = !std::mem::take(&mut self.deadlines).is_empty();
        for (entry, hash) in old.into_iter().flatten().zip(hashes) {
            let deadline_ms = if had_deadlines { entry.first_deadline_ms() } else { NEVER_MS };
            let cell = self.place(hash, entry);
            self.deadlines.note(cell, cells, deadline_ms);
        }
    }
}

fn most_entries(cells: usize) -> usize {
    cells - cells.div_ceil(8)
}

/// The next number of cells: four steps from each power of two to the next, as the allocator's classes have.
fn larger(cells: usize) -> usize {
    if cells < 2 * SMALLEST {
        return cells + SMALLEST;
    }
    let step = (cells.next_power_of_two() / if cells.is_power_of_two() { 1 } else { 2 }) / 4;
    cells + step
}

/// The smallest number of cells that holds so many entries.
fn fitting(entries: usize) -> usize {
    let mut cells = SMALLEST;
    while most_entries(cells) < entries {
        cells = larger(cells);
    }
    cells
}
