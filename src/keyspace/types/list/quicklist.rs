//! A list in packed chunks.
//!
//! - No chunk is empty. A chunk is within the limits, unless it holds a single element that alone exceeds them.
//! - `bytes` is what all chunks have allocated, `len` how many elements they hold.
//! - A full chunk splits where an element goes in between; small neighbours are joined where elements were removed.
//! - Finding an index walks the chunks from the nearer end. Growing moves 16 bytes per chunk.

use std::collections::VecDeque;
use std::ops::Range;

use super::super::limits::TypeLimits;
use super::super::packed::Packed;

pub(super) type Chunk = Packed<true>;

#[derive(Clone, Default)]
pub(super) struct Quicklist {
    chunks: VecDeque<Chunk>,
    len: usize,
    bytes: usize,
}

/// Where an element is: its chunk, and its number within it.
#[derive(Clone, Copy)]
pub(super) struct Place {
    pub(super) chunk: usize,
    pub(super) index: usize,
}

/// Whether `chunk` stays within the limits with `value` added.
pub(super) fn fits(chunk: &Chunk, value: &[u8], limits: &TypeLimits) -> bool {
    chunk.end() + Chunk::entry_bytes(value.len()) <= limits.list_max_listpack_bytes
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
            list.len = chunk.len();
            list.insert_chunk(0, chunk);
        }
        list
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn heap_bytes(&self) -> usize {
        self.chunks.capacity() * size_of::<Chunk>() + self.bytes
    }

    pub(super) fn chunk(&self, number: usize) -> &Chunk {
        &self.chunks[number]
    }

    #[cfg(test)]
    pub(super) fn chunk_count(&self) -> usize {
        self.chunks.len()
    }

    #[cfg(test)]
    pub(super) fn chunk_bytes(&self) -> usize {
        self.bytes
    }

    /// Where element `index` is; `index` must be below `len`.
    pub(super) fn locate(&self, index: usize) -> Place {
        if index <= self.len / 2 {
            return self.locate_from_front(index);
        }
        let mut left = self.len - index;
        let mut chunk = self.chunks.len() - 1;
        while left > self.chunks[chunk].len() {
            left -= self.chunks[chunk].len();
            chunk -= 1;
        }
        let index = self.chunks[chunk].len() - left;
        Place { chunk, index }
    }

    pub(super) fn push_front(&mut self, value: &[u8], limits: &TypeLimits) {
        if !self.chunks.front().is_some_and(|chunk| fits(chunk, value, limits)) {
            self.insert_chunk(0, Chunk::new());
        }
        self.edit(0, |chunk| chunk.push_front(value));
    }

    pub(super) fn push_back(&mut self, value: &[u8], limits: &TypeLimits) {
        if !self.chunks.back().is_some_and(|chunk| fits(chunk, value, limits)) {
            self.insert_chunk(self.chunks.len(), Chunk::new());
        }
        self.edit(self.chunks.len() - 1, |chunk| chunk.push_back(value));
    }

    /// Puts `value` before element `index`, or at the end if `index` is `len`.
    pub(super) fn insert(&mut self, index: usize, value: &[u8], limits: &TypeLimits) {
        if index == self.len {
            return self.push_back(value, limits);
        }
        let Place { chunk, index } = self.locate(index);
        if fits(&self.chunks[chunk], value, limits) {
            return self.edit(chunk, |chunk| chunk.insert(chunk.offset_of(index), value));
        }
        if index > 0 {
            let tail = self.edit(chunk, |chunk| chunk.split_off(index));
            self.len += tail.len();
            self.insert_chunk(chunk + 1, tail);
            return self.insert_between(chunk + 1, value, limits);
        }
        self.insert_between(chunk, value, limits);
    }

    /// Gives element `index` another value.
    pub(super) fn set(&mut self, index: usize, value: &[u8], limits: &TypeLimits) {
        let place = self.locate(index);
        let chunk = &self.chunks[place.chunk];
        let offset = chunk.offset_of(place.index);
        if chunk.len() == 1 || fits_instead(chunk, offset, value, limits) {
            return self.edit(place.chunk, |chunk| chunk.replace(offset, value));
        }
        self.edit(place.chunk, |chunk| chunk.remove(offset, 1));
        self.insert(index, value, limits);
    }

    /// Removes the elements in `range`, which must lie within the list.
    pub(super) fn remove_range(&mut self, range: Range<usize>, limits: &TypeLimits) {
        if range.is_empty() {
            return;
        }
        let mut left = range.len();
        let Place { mut chunk, index } = self.locate(range.start);
        if index > 0 {
            left -= self.cut(chunk, index, left);
            chunk += 1;
        }
        left -= self.drop_whole_chunks(chunk, left);
        if left > 0 {
            self.cut(chunk, 0, left);
        }
        self.join(chunk, limits);
    }

    /// Removes at most `max` elements equal to `value`, from the front or from the back; returns how many.
    pub(super) fn remove_matching(
        &mut self,
        value: &[u8],
        max: usize,
        from_back: bool,
        limits: &TypeLimits,
    ) -> usize {
        let mut removed = 0;
        for step in 0..self.chunks.len() {
            let chunk = if from_back { self.chunks.len() - 1 - step } else { step };
            removed += self.edit(chunk, |chunk| remove_matching(chunk, value, max - removed, from_back));
            if removed == max {
                break;
            }
        }
        if removed > 0 {
            self.join_all(limits);
        }
        removed
    }

    fn locate_from_front(&self, mut index: usize) -> Place {
        let mut chunk = 0;
        while index >= self.chunks[chunk].len() {
            index -= self.chunks[chunk].len();
            chunk += 1;
        }
        Place { chunk, index }
    }

    /// Puts `value` between chunk number `after - 1` and chunk number `after`: into either, or into one of its own.
    fn insert_between(&mut self, after: usize, value: &[u8], limits: &TypeLimits) {
        if after > 0 && fits(&self.chunks[after - 1], value, limits) {
            return self.edit(after - 1, |chunk| chunk.push_back(value));
        }
        if !fits(&self.chunks[after], value, limits) {
            self.insert_chunk(after, Chunk::new());
        }
        self.edit(after, |chunk| chunk.push_front(value));
    }

    /// Removes at most `max` entries of a chunk from number `index` on; returns how many.
    fn cut(&mut self, chunk: usize, index: usize, max: usize) -> usize {
        self.edit(chunk, |chunk| {
            let count = max.min(chunk.len() - index);
            chunk.remove(chunk.offset_of(index), count);
            count
        })
    }

    /// Drops chunks from number `first` on while they hold at most `max` elements together; returns how many these are.
    fn drop_whole_chunks(&mut self, first: usize, max: usize) -> usize {
        let mut dropped = 0;
        let mut end = first;
        while end < self.chunks.len() && dropped + self.chunks[end].len() <= max {
            dropped += self.chunks[end].len();
            self.bytes -= self.chunks[end].heap_bytes();
            end += 1;
        }
        self.chunks.drain(first..end);
        self.chunks.shrink_to(self.chunks.len() * 4);
        self.len -= dropped;
        dropped
    }

    /// Joins chunk number `after` to the one before it if both are small.
    fn join(&mut self, after: usize, limits: &TypeLimits) {
        if after == 0
            || after >= self.chunks.len()
            || !joinable(&self.chunks[after - 1], &self.chunks[after], limits)
        {
            return;
        }
        if let Some(chunk) = self.chunks.remove(after) {
            self.bytes -= chunk.heap_bytes();
            self.len -= chunk.len();
            self.edit(after - 1, |before| before.append(&chunk));
        }
    }

    fn join_all(&mut self, limits: &TypeLimits) {
        let mut joined: VecDeque<Chunk> = VecDeque::new();
        for chunk in self.chunks.drain(..).filter(|chunk| !chunk.is_empty()) {
            match joined.back_mut() {
                Some(last) if joinable(last, &chunk, limits) => last.append(&chunk),
                _ => joined.push_back(chunk),
            }
        }
        self.bytes = joined.iter().map(Chunk::heap_bytes).sum();
        self.chunks = joined;
    }

    fn insert_chunk(&mut self, number: usize, chunk: Chunk) {
        self.bytes += chunk.heap_bytes();
        self.chunks.insert(number, chunk);
    }

    fn edit<T>(&mut self, number: usize, change: impl FnOnce(&mut Chunk) -> T) -> T {
        let chunk = &mut self.chunks[number];
        let (bytes, len) = (chunk.heap_bytes(), chunk.len());
        let result = change(chunk);
        self.bytes = self.bytes + chunk.heap_bytes() - bytes;
        self.len = self.len + chunk.len() - len;
        result
    }
}

/// Whether two neighbours together fill at most half a chunk, so that joining them leaves room to grow.
fn joinable(before: &Chunk, after: &Chunk, limits: &TypeLimits) -> bool {
    2 * (before.end() + after.end()) <= limits.list_max_listpack_bytes
}
