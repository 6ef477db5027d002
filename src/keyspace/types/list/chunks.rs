//! The chunks of a list in order, in segments that clones share.
//!
//! - A segment holds at most `SEGMENT_MAX` chunks and is never empty; neighbours that fill no more than half of one are
//!   joined where chunks are removed. A full one splits where a chunk goes in between.
//! - Each segment's totals stand beside it, so a chunk or an element is found by walking the segments from the nearer
//!   end without looking into them, then one segment.
//! - A clone costs one count for each segment. A change copies its segment (counts) and its chunk (bytes) first, unless
//!   nobody shares them.

use std::collections::VecDeque;
use std::ops::{AddAssign, Range, SubAssign};
use std::sync::Arc;

use super::super::packed::Packed;
use super::super::shared::COUNTS_BYTES;

pub(super) type Chunk = Packed<true>;

const SEGMENT_MAX: usize = 64;

#[derive(Clone, Default)]
pub(super) struct Chunks {
    segments: VecDeque<Segment>,
    totals: Totals,
}

#[derive(Clone, Default)]
struct Segment {
    chunks: Arc<Vec<Arc<Chunk>>>,
    totals: Totals,
}

/// What some chunks are together; `bytes` is what they have allocated.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
struct Totals {
    chunks: usize,
    elements: usize,
    bytes: usize,
}

/// Where an element is: its chunk, and its number within it.
#[derive(Clone, Copy)]
pub(super) struct Place {
    pub(super) chunk: usize,
    pub(super) index: usize,
}

/// Where a chunk is: its segment, and its number within it.
#[derive(Clone, Copy)]
struct Spot {
    segment: usize,
    at: usize,
}

impl Chunks {
    /// The number of chunks.
    pub(super) fn len(&self) -> usize {
        self.totals.chunks
    }

    /// The number of elements.
    pub(super) fn elements(&self) -> usize {
        self.totals.elements
    }

    pub(super) fn heap_bytes(&self) -> usize {
        let each_segment = COUNTS_BYTES + size_of::<Vec<Arc<Chunk>>>();
        let each_chunk = size_of::<Arc<Chunk>>() + COUNTS_BYTES + size_of::<Chunk>();
        self.segments.capacity() * size_of::<Segment>()
            + self.segments.len() * each_segment
            + self.totals.chunks * each_chunk
            + self.totals.bytes
    }

    /// Chunk number `number`, which must be below `len`.
    pub(super) fn get(&self, number: usize) -> &Chunk {
        let Spot { segment, at } = self.spot(number);
        &self.segments[segment].chunks[at]
    }

    /// Where element `index` is, which must be below `elements`.
    pub(super) fn locate(&self, index: usize) -> Place {
        let (segment, before) = self.walk(index, |totals| totals.elements);
        let mut place = Place { chunk: before.chunks, index: index - before.elements };
        for chunk in self.segments[segment].chunks.iter() {
            if place.index < chunk.len() {
                break;
            }
            place.chunk += 1;
            place.index -= chunk.len();
        }
        place
    }

    /// Changes chunk number `number`. It may be left empty, if the caller removes it then.
    pub(super) fn edit<T>(&mut self, number: usize, change: impl FnOnce(&mut Chunk) -> T) -> T {
        let Spot { segment, at } = self.spot(number);
        let segment = &mut self.segments[segment];
        let chunk = Arc::make_mut(&mut Arc::make_mut(&mut segment.chunks)[at]);
        let before = Totals::of(chunk);
        let result = change(chunk);
        let after = Totals::of(chunk);
        for totals in [&mut segment.totals, &mut self.totals] {
            *totals -= before;
            *totals += after;
        }
        result
    }

    /// Puts `chunk` before chunk number `number`, or at the end if `number` is `len`.
    pub(super) fn insert(&mut self, number: usize, chunk: Chunk) {
        let Spot { segment, at } = self.spot_for_insertion(number);
        let segment = &mut self.segments[segment];
        let added = Totals::of(&chunk);
        Arc::make_mut(&mut segment.chunks).insert(at, Arc::new(chunk));
        segment.totals += added;
        self.totals += added;
    }

    /// Puts `chunk` in the place of chunk number `number`, which need not be copied for that.
    pub(super) fn replace(&mut self, number: usize, chunk: Chunk) {
        let Spot { segment, at } = self.spot(number);
        let segment = &mut self.segments[segment];
        let added = Totals::of(&chunk);
        let old = std::mem::replace(&mut Arc::make_mut(&mut segment.chunks)[at], Arc::new(chunk));
        for totals in [&mut segment.totals, &mut self.totals] {
            *totals -= Totals::of(&old);
            *totals += added;
        }
    }

    /// Removes the chunks with these numbers.
    pub(super) fn remove(&mut self, mut numbers: Range<usize>) {
        if numbers.is_empty() {
            return;
        }
        let first = self.spot(numbers.start).segment;
        while !numbers.is_empty() {
            let removed = self.remove_from_segment(numbers.start, numbers.len());
            self.totals -= removed;
            numbers.end -= removed.chunks;
        }
        self.segments.shrink_to(self.segments.len() * 4);
        self.join_segments(first + 1);
        self.join_segments(first);
    }

    /// Removes at most `max` chunks from number `number` on, all of one segment.
    fn remove_from_segment(&mut self, number: usize, max: usize) -> Totals {
        let Spot { segment, at } = self.spot(number);
        let whole = self.segments[segment].totals;
        if at == 0 && whole.chunks <= max {
            self.segments.remove(segment);
            return whole;
        }
        let segment = &mut self.segments[segment];
        let end = whole.chunks.min(at + max);
        let mut removed = Totals::default();
        for chunk in Arc::make_mut(&mut segment.chunks).drain(at..end) {
            removed += Totals::of(&chunk);
        }
        segment.totals -= removed;
        removed
    }

    /// Joins segment `after` to the one before it if both are sparse.
    fn join_segments(&mut self, after: usize) {
        if after == 0 || after >= self.segments.len() {
            return;
        }
        let (before, next) = (self.segments[after - 1].totals, self.segments[after].totals);
        if before.chunks + next.chunks > SEGMENT_MAX / 2 {
            return;
        }
        if let Some(next) = self.segments.remove(after) {
            let before = &mut self.segments[after - 1];
            Arc::make_mut(&mut before.chunks).extend_from_slice(&next.chunks);
            before.totals += next.totals;
        }
    }

    /// Where a chunk goes that is to be number `number`: in a segment that has room.
    fn spot_for_insertion(&mut self, number: usize) -> Spot {
        let end = self.segments.len();
        let spot = match end {
            0 => Spot { segment: 0, at: SEGMENT_MAX },
            _ if number == self.len() => Spot { segment: end - 1, at: self.segments[end - 1].totals.chunks },
            _ => self.spot(number),
        };
        if self.segments.get(spot.segment).is_some_and(|segment| segment.totals.chunks < SEGMENT_MAX) {
            return spot;
        }
        if number == self.len() {
            self.segments.push_back(Segment::default());
            return Spot { segment: end, at: 0 };
        }
        if number == 0 {
            self.segments.push_front(Segment::default());
            return Spot { segment: 0, at: 0 };
        }
        self.split_segment(spot)
    }

    /// Parts the full segment of `spot`, which is then elsewhere.
    fn split_segment(&mut self, spot: Spot) -> Spot {
        let half = SEGMENT_MAX / 2;
        let segment = &mut self.segments[spot.segment];
        let moved = Arc::make_mut(&mut segment.chunks).split_off(half);
        let mut totals = Totals::default();
        for chunk in &moved {
            totals += Totals::of(chunk);
        }
        segment.totals -= totals;
        self.segments.insert(spot.segment + 1, Segment { chunks: Arc::new(moved), totals });
        match spot.at.checked_sub(half) {
            Some(at) => Spot { segment: spot.segment + 1, at },
            None => spot,
        }
    }

    fn spot(&self, number: usize) -> Spot {
        let (segment, before) = self.walk(number, |totals| totals.chunks);
        Spot { segment, at: number - before.chunks }
    }

    /// The segment that holds number `number` of what `count` counts, and the totals of all segments before it.
    fn walk(&self, number: usize, count: impl Fn(&Totals) -> usize) -> (usize, Totals) {
        if number <= count(&self.totals) / 2 {
            let (mut segment, mut before) = (0, Totals::default());
            while count(&before) + count(&self.segments[segment].totals) <= number {
                before += self.segments[segment].totals;
                segment += 1;
            }
            return (segment, before);
        }
        let (mut segment, mut before) = (self.segments.len() - 1, self.totals);
        before -= self.segments[segment].totals;
        while count(&before) > number {
            segment -= 1;
            before -= self.segments[segment].totals;
        }
        (segment, before)
    }
}

#[cfg(test)]
impl Chunks {
    /// Bytes that the chunks have allocated.
    pub(super) fn bytes(&self) -> usize {
        self.totals.bytes
    }

    pub(super) fn check(&self) {
        let mut all = Totals::default();
        for segment in &self.segments {
            assert!((1..=SEGMENT_MAX).contains(&segment.chunks.len()));
            let mut totals = Totals::default();
            segment.chunks.iter().for_each(|chunk| totals += Totals::of(chunk));
            assert_eq!(segment.totals, totals);
            all += totals;
        }
        assert_eq!(self.totals, all);
    }
}

impl Totals {
    fn of(chunk: &Chunk) -> Self {
        Totals { chunks: 1, elements: chunk.len(), bytes: chunk.heap_bytes() }
    }
}

impl AddAssign for Totals {
    fn add_assign(&mut self, other: Totals) {
        self.chunks += other.chunks;
        self.elements += other.elements;
        self.bytes += other.bytes;
    }
}

impl SubAssign for Totals {
    fn sub_assign(&mut self, other: Totals) {
        self.chunks -= other.chunks;
        self.elements -= other.elements;
        self.bytes -= other.bytes;
    }
}
