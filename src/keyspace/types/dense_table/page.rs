//! One page of an index: the tags and positions of the keys of one range of places, in one allocation.
//!
//! - In 16-bit words: four of header (depth; number of positions, low half first; unused), then room for n tags, then
//!   room for n positions of two words each, low half first. n follows from the length.
//! - The order within a page means nothing. Slots are filled from the first on.

use super::super::buffer::size_class;
use super::index::{PLACE_BITS, Place, tag_shift};

const HEADER_WORDS: usize = 4;
/// A tag and a position.
const SLOT_WORDS: usize = 3;
const WORD_BYTES: usize = size_of::<u16>();

#[derive(Clone)]
pub(super) struct Page(Box<[u16]>);

impl Page {
    /// An empty page with room for so many positions, or a few more.
    pub(super) fn with_room(depth: u32, positions: usize) -> Self {
        let mut words = vec![0; class_of(positions) / WORD_BYTES].into_boxed_slice();
        words[0] = depth as u16;
        Page(words)
    }

    /// How many leading bits the places of this page share.
    pub(super) fn depth(&self) -> u32 {
        self.0[0].into()
    }

    pub(super) fn len(&self) -> usize {
        join(self.0[1], self.0[2]) as usize
    }

    pub(super) fn heap_bytes(&self) -> usize {
        size_of_val(&*self.0)
    }

    /// The position with the tag of `place` that satisfies `is_it`.
    pub(super) fn find(&self, place: Place, mut is_it: impl FnMut(u32) -> bool) -> Option<u32> {
        const LANES: usize = 32;
        let tag = place.tag(self.depth());
        for (number, tags) in self.tags().chunks(LANES).enumerate() {
            // Without an early exit, so that it compiles to vector instructions.
            if !tags.iter().fold(false, |any, &other| any | (other == tag)) {
                continue;
            }
            for (lane, &other) in tags.iter().enumerate() {
                let position = self.position(number * LANES + lane);
                if other == tag && is_it(position) {
                    return Some(position);
                }
            }
        }
        None
    }

    pub(super) fn push(&mut self, place: Place, position: u32) {
        self.push_tagged(place.tag(self.depth()), position);
    }

    pub(super) fn remove(&mut self, position: u32) {
        let slot = self.slot_of(position);
        let last = self.len() - 1;
        self.set(slot, self.tags()[last], self.position(last));
        self.set_len(last);
        if class_of(last) * 2 <= self.heap_bytes() {
            *self = self.with_room_for(last);
        }
    }

    /// Makes the position `from` the position `to`.
    pub(super) fn relocate(&mut self, from: u32, to: u32) {
        let slot = self.slot_of(from);
        self.set(slot, self.tags()[slot], to);
    }

    /// The two pages of the next depth; `place_of` reads the place of a position.
    pub(super) fn split(&self, place_of: &impl Fn(u32) -> Place) -> (Page, Page) {
        let depth = self.depth() + 1;
        let bit = 15 - self.depth() % 8;
        let upper_len = self.tags().iter().filter(|&tag| tag >> bit & 1 == 1).count();
        let mut halves = [self.len() - upper_len, upper_len].map(|len| Page::with_room(depth, len));
        for (tag, position) in self.iter() {
            let half = &mut halves[usize::from(tag >> bit & 1)];
            match depth % 8 {
                0 => half.push(place_of(position), position),
                _ => half.push_tagged(tag, position),
            }
        }
        halves.into()
    }

    /// Where a scan that comes to `cursor` and wants `count` elements should pause, within this page's range.
    pub(super) fn part_end(&self, cursor: u64, count: usize) -> u64 {
        let parts = self.len().div_ceil(count.max(1)).next_power_of_two();
        let page_shift = PLACE_BITS - self.depth();
        let part_shift = page_shift.saturating_sub(parts.ilog2()).max(tag_shift(self.depth()));
        ((cursor >> part_shift) + 1) << part_shift
    }

    /// Visits the positions whose places may lie in `from..to`, which must be within this page's range.
    pub(super) fn visit_part(&self, from: u64, to: u64, mut visit: impl FnMut(u32)) {
        let shift = tag_shift(self.depth());
        let above_tag = from >> shift & !0xffff;
        for (tag, position) in self.iter() {
            let first = (above_tag | u64::from(tag)) << shift;
            if first < to && first + (1 << shift) > from {
                visit(position);
            }
        }
    }

    fn push_tagged(&mut self, tag: u16, position: u32) {
        let len = self.len();
        if len == self.room() {
            *self = self.with_room_for(len + 1);
        }
        self.set_len(len + 1);
        self.set(len, tag, position);
    }

    /// The same page with another room.
    fn with_room_for(&self, positions: usize) -> Page {
        let mut page = Page::with_room(self.depth(), positions);
        page.set_len(self.len());
        for (slot, (tag, position)) in self.iter().enumerate() {
            page.set(slot, tag, position);
        }
        page
    }

    fn room(&self) -> usize {
        (self.0.len() - HEADER_WORDS) / SLOT_WORDS
    }

    fn tags(&self) -> &[u16] {
        &self.0[HEADER_WORDS..HEADER_WORDS + self.len()]
    }

    fn position(&self, slot: usize) -> u32 {
        let at = self.position_at(slot);
        join(self.0[at], self.0[at + 1])
    }

    fn iter(&self) -> impl Iterator<Item = (u16, u32)> {
        let positions = self.0[self.position_at(0)..].chunks_exact(2);
        self.tags().iter().zip(positions).map(|(&tag, position)| (tag, join(position[0], position[1])))
    }

    fn slot_of(&self, position: u32) -> usize {
        self.iter().position(|(_, other)| other == position).expect("a position is in the page of its place")
    }

    fn position_at(&self, slot: usize) -> usize {
        HEADER_WORDS + self.room() + 2 * slot
    }

    fn set(&mut self, slot: usize, tag: u16, position: u32) {
        let at = self.position_at(slot);
        self.0[HEADER_WORDS + slot] = tag;
        self.0[at..at + 2].copy_from_slice(&halves(position));
    }

    fn set_len(&mut self, len: usize) {
        self.0[1..3].copy_from_slice(&halves(len as u32));
    }
}

/// The size class of a page with room for so many positions, in bytes.
fn class_of(positions: usize) -> usize {
    size_class((HEADER_WORDS + positions * SLOT_WORDS) * WORD_BYTES)
}

fn join(low: u16, high: u16) -> u32 {
    u32::from(low) | u32::from(high) << 16
}

fn halves(value: u32) -> [u16; 2] {
    [value as u16, (value >> 16) as u16]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn positions(page: &Page) -> Vec<u32> {
        let mut positions: Vec<u32> = page.iter().map(|(_, position)| position).collect();
        positions.sort_unstable();
        positions
    }

    /// Places spread evenly over all there are.
    fn place(position: u32) -> Place {
        Place::of_hash(u64::from(position).wrapping_mul(0x9e37_79b9_7f4a_7c15))
    }

    #[test]
    fn a_page_grows_and_shrinks_in_size_classes() {
        let mut page = Page::with_room(0, 0);
        assert_eq!((page.len(), page.heap_bytes()), (0, 16));
        for position in 0..100_000 {
            page.push(place(position), position);
        }
        assert_eq!(page.find(place(70_000), |position| position == 70_000), Some(70_000));
        assert!(page.heap_bytes() < 100_000 * 6 * 5 / 4 + 8);
        for position in 2..100_000 {
            page.relocate(position, position);
            page.remove(position);
            if position == 300 {
                break;
            }
        }
        page.relocate(1, 7);
        assert_eq!((page.len(), positions(&page)[1]), (100_000 - 299, 7));
    }

    #[test]
    fn splitting_keeps_every_position_on_its_side_at_every_depth() {
        let mut page = Page::with_room(0, 0);
        for position in 0..5000 {
            page.push(place(position), position);
        }
        for depth in 0..10 {
            let (lower, upper) = page.split(&place);
            let both = [positions(&lower), positions(&upper)].concat();
            assert_eq!((lower.depth(), upper.depth(), both.len()), (depth + 1, depth + 1, page.len()));
            for position in positions(&upper) {
                assert_eq!(upper.find(place(position), |other| other == position), Some(position));
                assert_eq!(place(position).tag(depth / 8 * 8) >> (15 - depth % 8) & 1, 1);
            }
            page = lower;
        }
    }

    #[test]
    fn the_parts_of_a_page_cover_it_once() {
        let mut page = Page::with_room(0, 0);
        for position in 0..60 {
            page.push(place(position), position);
        }
        let (mut cursor, mut seen, mut parts) = (0, Vec::new(), 0);
        while cursor < 1 << PLACE_BITS {
            let end = page.part_end(cursor, 10);
            page.visit_part(cursor, end, |position| seen.push(position));
            cursor = end;
            parts += 1;
        }
        seen.sort_unstable();
        assert_eq!((parts, seen), (8, (0..60).collect()));
    }
}
