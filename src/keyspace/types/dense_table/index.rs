//! From the hash of a key to its position: extendible hashing with small pages.
//!
//! - A key's place is the top 48 bits of its hash ("place"). A page of depth d holds all positions whose places
//!   share d leading bits; the directory maps the leading bits of a place to its page. So the pages partition the
//!   space of places into ranges, and a place is also a cursor that survives any splitting and rebuilding.
//! - A page keeps 16 bits of every place ("tag"), from bit 8 * (d / 8) on: they always include the bit by which
//!   the page splits next, and at least eight more to tell keys apart. Every eighth split reads the keys again.
//! - Growing splits one page of at most `PAGE_MAX` positions, so no insert takes long; a page grows in size
//!   classes. The directory doubles by copying; it takes four bytes for 16 positions or more.
//! - Keys whose places collide can't be split apart. Then pages grow beyond `PAGE_MAX` rather than the directory
//!   without bound: such keys get slow, nothing else.
//! - Pages never merge. The owner builds a new index when `is_sparse` says that most pages are empty.

use super::super::segmented::{Segmented, segment_len};
use super::page::Page;

/// Bits of a place, and of a scan cursor.
pub(super) const PLACE_BITS: u32 = 48;
/// A page splits before it would hold more.
const PAGE_MAX: usize = 64;
const MAX_DEPTH: u32 = 32;
/// The directory may double while it has fewer than one entry for so many positions.
const POSITIONS_PER_DIRECTORY_ENTRY: usize = 32;
/// Pages that a scan step visits for each element asked for, before it returns with fewer.
const SCAN_EFFORT: usize = 16;

/// The top 48 bits of a key's hash.
#[derive(Clone, Copy)]
pub(super) struct Place(u64);

impl Place {
    pub(super) fn of_hash(hash: u64) -> Self {
        Place(hash >> (64 - PLACE_BITS))
    }

    /// The bits of this place that a page of this depth keeps.
    pub(super) fn tag(self, depth: u32) -> u16 {
        (self.0 >> tag_shift(depth)) as u16
    }
}

/// How many bits of a place lie below the tag in a page of this depth.
pub(super) fn tag_shift(depth: u32) -> u32 {
    PLACE_BITS - 16 - depth / 8 * 8
}

type Directory = Segmented<u32, { segment_len::<u32>(4096) }>;

#[derive(Clone)]
pub(super) struct Index {
    /// By the leading bits of a place: the page's number in `pages`.
    directory: Directory,
    directory_depth: u32,
    pages: Segmented<Page, { segment_len::<Page>(2048) }>,
    page_bytes: usize,
    len: usize,
}

impl Index {
    pub(super) fn new() -> Self {
        let page = Page::with_room(0, 0);
        let page_bytes = page.heap_bytes();
        let (directory, pages) = (Directory::from_iter([0]), Segmented::from_iter([page]));
        Self { directory, directory_depth: 0, pages, page_bytes, len: 0 }
    }

    /// The position at `place` that satisfies `is_it`.
    pub(super) fn find(&self, place: Place, is_it: impl FnMut(u32) -> bool) -> Option<u32> {
        self.pages.get(self.page_id(place)).find(place, is_it)
    }

    /// Adds a position; `place_of` reads the place of one that is already here.
    pub(super) fn insert(&mut self, place: Place, position: u32, place_of: impl Fn(u32) -> Place) {
        while self.should_split(place) {
            self.split(place, &place_of);
        }
        self.len += 1;
        self.edit(place, |page| page.push(place, position));
    }

    /// Removes `position`, which was inserted at `place`.
    pub(super) fn remove(&mut self, place: Place, position: u32) {
        self.len -= 1;
        self.edit(place, |page| page.remove(position));
    }

    /// Makes the position that was inserted at `place` as `from` point to `to`.
    pub(super) fn relocate(&mut self, place: Place, from: u32, to: u32) {
        self.edit(place, |page| page.relocate(from, to));
    }

    /// Whether so few positions are left that a new index is worth building.
    pub(super) fn is_sparse(&self) -> bool {
        self.pages.len() > 4 * (self.len + 1)
    }

    /// Bytes allocated on the heap.
    pub(super) fn heap_bytes(&self) -> usize {
        self.directory.heap_bytes() + self.pages.heap_bytes() + self.page_bytes
    }

    /// Visits the positions in the next part of the space of places, about `count` of them, and returns the cursor
    /// of the part after it, or 0 at the end. Whatever is here from a cursor 0 to the next is visited at least once.
    pub(super) fn scan(&self, cursor: u64, count: usize, mut visit: impl FnMut(u32)) -> u64 {
        let mut cursor = cursor & ((1 << PLACE_BITS) - 1);
        let mut seen = 0;
        for _ in 0..count.saturating_mul(SCAN_EFFORT).max(1) {
            let page = self.pages.get(self.page_id(Place(cursor)));
            let end = page.part_end(cursor, count - seen);
            page.visit_part(cursor, end, |position| {
                seen += 1;
                visit(position);
            });
            cursor = end;
            if cursor == 1 << PLACE_BITS {
                return 0;
            }
            if seen >= count {
                break;
            }
        }
        cursor
    }

    fn page_id(&self, place: Place) -> usize {
        *self.directory.get((place.0 >> (PLACE_BITS - self.directory_depth)) as usize) as usize
    }

    fn edit(&mut self, place: Place, change: impl FnOnce(&mut Page)) {
        let id = self.page_id(place);
        let page = self.pages.get_mut(id);
        let before = page.heap_bytes();
        change(page);
        self.page_bytes = self.page_bytes + page.heap_bytes() - before;
    }

    fn should_split(&self, place: Place) -> bool {
        let page = self.pages.get(self.page_id(place));
        let may_double = self.directory.len() * POSITIONS_PER_DIRECTORY_ENTRY <= self.len;
        let has_room = page.depth() < self.directory_depth || (may_double && page.depth() < MAX_DEPTH);
        page.len() >= PAGE_MAX && has_room
    }

    fn split(&mut self, place: Place, place_of: &impl Fn(u32) -> Place) {
        let id = self.page_id(place);
        let depth = self.pages.get(id).depth();
        if depth == self.directory_depth {
            self.directory = (0..2 * self.directory.len()).map(|row| *self.directory.get(row / 2)).collect();
            self.directory_depth += 1;
        }
        let upper_id = self.pages.len() as u32;
        let page = self.pages.get(id);
        let before = page.heap_bytes();
        let (lower, upper) = page.split(place_of);
        self.page_bytes = self.page_bytes + lower.heap_bytes() + upper.heap_bytes() - before;
        *self.pages.get_mut(id) = lower;
        self.pages.push(upper);
        let span = 1 << (self.directory_depth - depth);
        let first = (place.0 >> (PLACE_BITS - self.directory_depth)) as usize & !(span - 1);
        self.directory.fill(first + span / 2..first + span, upper_id);
    }
}
