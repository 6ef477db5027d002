//! One page of an index: the tags and positions of the keys of one range of places, in one allocation that clones share.
//!
//! - In 16-bit words: three of header (depth; number of positions, low half first), then room for n tags, then room
//!   for n positions of two words each, low half first. n follows from the length.
//! - The order within a page means nothing. Slots are filled from the first on.

use std::sync::Arc;

use super::super::shared::{COUNTS_BYTES, allocation_bytes, row_with_room_for};
use super::index::{PLACE_BITS, Place, tag_shift};

const HEADER_WORDS: usize = 3;
/// A tag and a position.
const SLOT_WORDS: usize = 3;

#[derive(Clone)]
pub(super) struct Page(Arc<[u16]>);

impl Page {
    /// An empty page with room for so many positions, or a few more.
    pub(super) fn with_room(depth: u32, positions: usize) -> Self {
        Page::of(depth, positions, std::iter::empty())
    }

    /// A page of these tags and positions, with room for so many.
    fn of(depth: u32, positions: usize, slots: impl Iterator<Item = (u16, u32)>) -> Self {
        let mut page = Page(row_with_room_for(words_of(positions)));
        let positions_at = page.position_at(0);
        let (words, mut len) = (Arc::make_mut(&mut page.0), 0);
        for (tag, position) in slots {
            set(words, positions_at, len, tag, position);
            len += 1;
        }
        words[0] = depth as u16;
        set_len(words, len);
        page
    }

    /// How many leading bits the places of this page share.
    pub(super) fn depth(&self) -> u32 {
        self.0[0].into()
    }

    pub(super) fn len(&self) -> usize {
        join(self.0[1], self.0[2]) as usize
    }

    pub(super) fn heap_bytes(&self) -> usize {
        COUNTS_BYTES + size_of_val(&*self.0)
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
        let len = self.len();
        if len == self.room() {
            *self = self.with_room_for(len + 1);
        }
        let (tag, positions_at) = (place.tag(self.depth()), self.position_at(0));
        let words = Arc::make_mut(&mut self.0);
        set(words, positions_at, len, tag, position);
        set_len(words, len + 1);
    }

    pub(super) fn remove(&mut self, position: u32) {
        let (slot, last) = (self.slot_of(position), self.len() - 1);
        let (tag, moved, positions_at) = (self.tags()[last], self.position(last), self.position_at(0));
        let words = Arc::make_mut(&mut self.0);
        set(words, positions_at, slot, tag, moved);
        set_len(words, last);
        if allocation_bytes::<u16>(words_of(last)) * 2 <= self.heap_bytes() {
            *self = self.with_room_for(last);
        }
    }

    /// Makes the position `from` the position `to`.
    pub(super) fn relocate(&mut self, from: u32, to: u32) {
        let at = self.position_at(self.slot_of(from));
        Arc::make_mut(&mut self.0)[at..at + 2].copy_from_slice(&halves(to));
    }

    /// The two pages of the next depth; `place_of` reads the place of a position.
    pub(super) fn split(&self, place_of: &impl Fn(u32) -> Place) -> (Page, Page) {
        let depth = self.depth() + 1;
        let bit = 15 - self.depth() % 8;
        [0, 1]
            .map(|half| {
                let slots = self.iter().filter(|(tag, _)| tag >> bit & 1 == half);
                Page::of(
                    depth,
                    slots.clone().count(),
                    slots.map(|(tag, position)| match depth % 8 {
                        0 => (place_of(position).tag(depth), position),
                        _ => (tag, position),
                    }),
                )
            })
            .into()
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

    /// The same page with another room.
    fn with_room_for(&self, positions: usize) -> Page {
        Page::of(self.depth(), positions, self.iter())
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

    fn iter(&self) -> impl Iterator<Item = (u16, u32)> + Clone {
        let positions = self.0[self.position_at(0)..].chunks_exact(2);
        self.tags().iter().zip(positions).map(|(&tag, position)| (tag, join(position[0], position[1])))
    }

    fn slot_of(&self, position: u32) -> usize {
        self.iter().position(|(_, other)| other == position).expect("a position is in the page of its place")
    }

    fn position_at(&self, slot: usize) -> usize {
        HEADER_WORDS + self.room() + 2 * slot
    }
}

/// The words of a page with so many positions.
fn words_of(positions: usize) -> usize {
    HEADER_WORDS + positions * SLOT_WORDS
}

fn set(words: &mut [u16], positions_at: usize, slot: usize, tag: u16, position: u32) {
    let at = positions_at + 2 * slot;
    words[HEADER_WORDS + slot] = tag;
    words[at..at + 2].copy_from_slice(&halves(position));
}

fn set_len(words: &mut [u16], len: usize) {
    words[1..3].copy_from_slice(&halves(len as u32));
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
        assert_eq!((page.len(), page.heap_bytes()), (0, 32));
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
