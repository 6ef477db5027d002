//! A list in packed chunks.
//!
//! - No chunk is empty. A chunk is within the limits, unless it holds a single element that alone exceeds them.
//! - A full chunk splits where an element goes in between; small neighbours are joined where elements were removed.
//! - A change touches the chunks that it changes and their neighbours, no others: clones share the rest.

use std::ops::Range;

use super::super::limits::TypeLimits;
use super::chunks::{Chunk, Chunks, Place};

#[derive(Clone, Default)]
pub(super) struct Quicklist {
    chunks: Chunks,
}

/// Whether `chunk` stays within the limits with `value` added.
pub(super) fn fits(chunk: &Chunk, value: &[u8], limits: &TypeLimits) -> bool {
    chunk.len() < limits.list_max_listpack_entries
        && chunk.end() + Chunk::entry_bytes(value.len()) <= limits.list_max_listpack_bytes
}

/// Whether `chunk` stays within the limits with `value` in place of the entry at `offset`.
pub(super) fn fits_instead(chunk: &Chunk, offset: usize, value: &[u8], limits: &TypeLimits) -> bool {
    let others = chunk.end() - (chunk.next(offset) - offset);
    others + Chunk::entry_bytes(value.len()) <= limits.list_max_listpack_bytes
}

/// Removes at most `max` entries equal to `value` from `chunk`, from the front or from the back; returns how many.
pub(super) fn remove_matching(chunk: &mut Chunk, value: &[u8], max: usize, from_back: bool) -> usize {
    let mut removed = 0;
    let mut offset = if from_back { chunk.end() } else { Chunk::FIRST };
    while removed < max {
        if from_back {
            if offset == Chunk::FIRST {
                break;
            }
            offset = chunk.prev(offset);
        } else if offset == chunk.end() {
            break;
        }
        if chunk.get(offset) == value {
            chunk.remove(offset, 1);
            removed += 1;
        } else if !from_back {
            offset = chunk.next(offset);
        }
    }
    removed
}

impl Quicklist {
    /// A list of the entries of one chunk.
    pub(super) fn of(chunk: Chunk) -> Self {
        let mut list = Self::default();
        if !chunk.is_empty() {
            list.chunks.insert(0, chunk);
        }
        list
    }

    /// The number of elements.
    pub(super) fn len(&self) -> usize {
        self.chunks.elements()
    }

    pub(super) fn heap_bytes(&self) -> usize {
        self.chunks.heap_bytes()
    }

    /// All entries in one chunk, if they are no more than half of what one may hold.
    pub(super) fn as_one_chunk(&self, limits: &TypeLimits) -> Option<Chunk> {
        let fits = |elements: usize, bytes: usize| {
            2 * bytes <= limits.list_max_listpack_bytes && elements <= limits.list_max_listpack_entries / 2
        };
        if !fits(self.len(), 0) {
            return None;
        }
        let mut one = Chunk::new();
        for number in 0..self.chunks.len() {
            if !fits(0, one.end() + self.chunk(number).end()) {
                return None;
            }
            one.append(self.chunk(number));
        }
        Some(one)
    }

    pub(super) fn chunk(&self, number: usize) -> &Chunk {
        self.chunks.get(number)
    }

    #[cfg(test)]
    pub(super) fn chunks(&self) -> &Chunks {
        &self.chunks
    }

    /// Where element `index` is; `index` must be below `len`.
    pub(super) fn locate(&self, index: usize) -> Place {
        self.chunks.locate(index)
    }

    pub(super) fn push_front(&mut self, value: &[u8], limits: &TypeLimits) {
        if self.len() == 0 || !fits(self.chunks.get(0), value, limits) {
            return self.chunks.insert(0, alone(value));
        }
        self.chunks.edit(0, |chunk| chunk.push_front(value));
    }

    pub(super) fn push_back(&mut self, value: &[u8], limits: &TypeLimits) {
        let end = self.chunks.len();
        if end == 0 || !fits(self.chunks.get(end - 1), value, limits) {
            return self.chunks.insert(end, alone(value));
        }
        self.chunks.edit(end - 1, |chunk| chunk.push_back(value));
    }

    /// Puts `value` before element `index`, or at the end if `index` is `len`.
    pub(super) fn insert(&mut self, index: usize, value: &[u8], limits: &TypeLimits) {
        if index == self.len() {
            return self.push_back(value, limits);
        }
        let Place { chunk, index } = self.locate(index);
        if fits(self.chunk(chunk), value, limits) {
            return self.chunks.edit(chunk, |chunk| chunk.insert(chunk.offset_of(index), value));
        }
        if index > 0 {
            let tail = self.chunks.edit(chunk, |chunk| chunk.split_off(index));
            self.chunks.insert(chunk + 1, tail);
            return self.insert_between(chunk + 1, value, limits);
        }
        self.insert_between(chunk, value, limits);
    }

    /// Gives element `index` another value.
    pub(super) fn set(&mut self, index: usize, value: &[u8], limits: &TypeLimits) {
        let place = self.locate(index);
        let chunk = self.chunk(place.chunk);
        if chunk.len() == 1 {
            return self.chunks.replace(place.chunk, alone(value));
        }
        let offset = chunk.offset_of(place.index);
        if fits_instead(chunk, offset, value, limits) {
            return self.chunks.edit(place.chunk, |chunk| chunk.replace(offset, value));
        }
        self.chunks.edit(place.chunk, |chunk| chunk.remove(offset, 1));
        self.insert(index, value, limits);
    }

    /// Removes the elements in `range`, which must lie within the list.
    pub(super) fn remove_range(&mut self, range: Range<usize>, limits: &TypeLimits) {
        if range.is_empty() {
            return;
        }
        let start = self.locate(range.start);
        let behind = start.index + range.len();
        if behind < self.chunk(start.chunk).len() {
            self.cut(start.chunk, start.index..behind);
            return self.join(if start.index > 0 { start.chunk + 1 } else { start.chunk }, limits);
        }
        let end = self.place_behind(range.end - 1);
        if end.index > 0 {
            self.cut(end.chunk, 0..end.index);
        }
        let mut first = start.chunk;
        if start.index > 0 {
            self.cut(first, start.index..self.chunk(first).len());
            first += 1;
        }
        self.chunks.remove(first..end.chunk);
        self.join(first, limits);
    }

    /// Removes at most `max` elements equal to `value`, from the front or from the back; returns how many.
    pub(super) fn remove_matching(
        &mut self,
        value: &[u8],
        max: usize,
        from_back: bool,
        limits: &TypeLimits,
    ) -> usize {
        let (mut removed, mut changed) = (0, Vec::new());
        let end = self.chunks.len();
        let mut numbers = (0..end).map(|step| if from_back { end - 1 - step } else { step });
        while removed < max
            && let Some(number) = numbers.next()
        {
            if self.chunk(number).find(value, 1).is_some() {
                removed += self.remove_matching_in(number, value, max - removed, from_back);
                changed.push(number);
            }
        }
        // From the back, for what is joined changes the numbers of all that follow.
        changed.sort_unstable_by(|a, b| b.cmp(a));
        for number in changed {
            self.join_around(number, limits);
        }
        removed
    }

    fn remove_matching_in(&mut self, number: usize, value: &[u8], max: usize, from_back: bool) -> usize {
        if self.chunk(number).len() == 1 {
            // It may be long; so it is not copied first, as a change to a shared chunk would be.
            self.chunks.replace(number, Chunk::new());
            return 1;
        }
        self.chunks.edit(number, |chunk| remove_matching(chunk, value, max, from_back))
    }

    /// Where element `last` ends: the place behind it in its chunk, or the start of the next chunk if it is the last there.
    fn place_behind(&self, last: usize) -> Place {
        let Place { chunk, index } = self.locate(last);
        if index + 1 == self.chunk(chunk).len() {
            return Place { chunk: chunk + 1, index: 0 };
        }
        Place { chunk, index: index + 1 }
    }

    /// Puts `value` between chunk number `after - 1` and chunk number `after`: into either, or into one of its own.
    fn insert_between(&mut self, after: usize, value: &[u8], limits: &TypeLimits) {
        if after > 0 && fits(self.chunk(after - 1), value, limits) {
            return self.chunks.edit(after - 1, |chunk| chunk.push_back(value));
        }
        if !fits(self.chunk(after), value, limits) {
            return self.chunks.insert(after, alone(value));
        }
        self.chunks.edit(after, |chunk| chunk.push_front(value));
    }

    /// Removes entries of a chunk, but not all.
    fn cut(&mut self, chunk: usize, indexes: Range<usize>) {
        self.chunks.edit(chunk, |chunk| chunk.remove(chunk.offset_of(indexes.start), indexes.len()));
    }

    /// Removes a chunk that was emptied; joins one that shrank to a neighbour.
    fn join_around(&mut self, number: usize, limits: &TypeLimits) {
        if self.chunk(number).is_empty() {
            self.chunks.remove(number..number + 1);
        } else {
            self.join(number + 1, limits);
        }
        self.join(number, limits);
    }

    /// Joins chunk number `after` to the one before it if both are small.
    fn join(&mut self, after: usize, limits: &TypeLimits) {
        if after == 0 || after >= self.chunks.len() {
            return;
        }
        if joinable(self.chunk(after - 1), self.chunk(after), limits) {
            let mut joined = self.chunk(after - 1).clone();
            joined.append(self.chunk(after));
            self.chunks.replace(after - 1, joined);
            self.chunks.remove(after..after + 1);
        }
    }
}

/// A chunk of one element.
fn alone(value: &[u8]) -> Chunk {
    let mut chunk = Chunk::new();
    chunk.push_back(value);
    chunk
}

/// Whether two neighbours together fill at most half a chunk, so that joining them leaves room to grow.
fn joinable(before: &Chunk, after: &Chunk, limits: &TypeLimits) -> bool {
    2 * (before.end() + after.end()) <= limits.list_max_listpack_bytes
        && 2 * (before.len() + after.len()) <= limits.list_max_listpack_entries
}
