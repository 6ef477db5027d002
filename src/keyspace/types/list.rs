//! Lists of byte strings.
//!
//! - Up to the limit a list is one packed sequence, beyond it a sequence of packed chunks ("quicklist"). It goes back once
//!   elements are taken out and half of the limit holds those that are left.
//! - Pushing and popping at either end costs O(1); an index is found in O(segments of 64 chunks) from the nearer end.
//! - A clone shares segments and chunks; a change copies what it touches.
//! - Indexes count from the front, from 0; callers resolve Redis' negative ones.

mod chunks;
mod quicklist;
#[cfg(test)]
mod tests;

use std::fmt;
use std::ops::Range;

use super::encoding::Encoding;
use super::limits::TypeLimits;
use chunks::{Chunk, Place};
use quicklist::Quicklist;

/// A list value.
#[derive(Clone)]
pub struct List(Form);

#[derive(Clone)]
enum Form {
    Packed(Chunk),
    Chunks(Box<Quicklist>),
}

impl fmt::Debug for List {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

impl Default for List {
    fn default() -> Self {
        Self::new()
    }
}

impl List {
    /// An empty packed list; it allocates nothing.
    pub fn new() -> Self {
        List(Form::Packed(Chunk::new()))
    }

    /// An empty list that is a quicklist from the start: to restore one that was.
    pub fn new_quicklist() -> Self {
        List(Form::Chunks(Box::default()))
    }

    /// The number of elements.
    pub fn len(&self) -> usize {
        match &self.0 {
            Form::Packed(chunk) => chunk.len(),
            Form::Chunks(list) => list.len(),
        }
    }

    /// Whether there are no elements.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How the list lies in memory: `Listpack` or `Quicklist`.
    pub fn encoding(&self) -> Encoding {
        match &self.0 {
            Form::Packed(_) => Encoding::Listpack,
            Form::Chunks(_) => Encoding::Quicklist,
        }
    }

    /// What OBJECT ENCODING answers.
    pub fn encoding_name(&self) -> &'static str {
        self.encoding().name()
    }

    /// Bytes of the value and everything it holds on the heap. O(1).
    pub fn memory_bytes(&self) -> usize {
        let heap = match &self.0 {
            Form::Packed(chunk) => chunk.heap_bytes(),
            Form::Chunks(list) => size_of_val(&**list) + list.heap_bytes(),
        };
        size_of::<Self>() + heap
    }

    /// Adds an element at the front.
    pub fn push_front(&mut self, value: &[u8], limits: &TypeLimits) {
        match &mut self.0 {
            Form::Packed(chunk) if quicklist::fits(chunk, value, limits) => chunk.push_front(value),
            _ => self.chunks().push_front(value, limits),
        }
    }

    /// Adds an element at the end.
    pub fn push_back(&mut self, value: &[u8], limits: &TypeLimits) {
        match &mut self.0 {
            Form::Packed(chunk) if quicklist::fits(chunk, value, limits) => chunk.push_back(value),
            _ => self.chunks().push_back(value, limits),
        }
    }

    /// The first element.
    pub fn front(&self) -> Option<&[u8]> {
        self.get(0)
    }

    /// The last element.
    pub fn back(&self) -> Option<&[u8]> {
        self.get(self.len().checked_sub(1)?)
    }

    /// Removes and returns the first element.
    pub fn pop_front(&mut self, limits: &TypeLimits) -> Option<Vec<u8>> {
        let value = self.front()?.to_vec();
        self.remove_range(0..1, limits);
        Some(value)
    }

    /// Removes and returns the last element.
    pub fn pop_back(&mut self, limits: &TypeLimits) -> Option<Vec<u8>> {
        let value = self.back()?.to_vec();
        let len = self.len();
        self.remove_range(len - 1..len, limits);
        Some(value)
    }

    /// Element `index`.
    pub fn get(&self, index: usize) -> Option<&[u8]> {
        if index >= self.len() {
            return None;
        }
        let place = self.locate(index);
        let chunk = self.chunk(place.chunk);
        Some(chunk.get(chunk.offset_of(place.index)))
    }

    /// Gives element `index` another value. Returns whether there is such an element.
    pub fn set(&mut self, index: usize, value: &[u8], limits: &TypeLimits) -> bool {
        if index >= self.len() {
            return false;
        }
        if let Form::Packed(chunk) = &mut self.0 {
            let offset = chunk.offset_of(index);
            if quicklist::fits_instead(chunk, offset, value, limits) {
                chunk.replace(offset, value);
                return true;
            }
        }
        self.chunks().set(index, value, limits);
        self.pack_if_short(limits);
        true
    }

    /// Puts `value` before element `index`, or at the end if `index` is the length or more.
    pub fn insert(&mut self, index: usize, value: &[u8], limits: &TypeLimits) {
        let index = index.min(self.len());
        match &mut self.0 {
            Form::Packed(chunk) if quicklist::fits(chunk, value, limits) => {
                chunk.insert(chunk.offset_of(index), value);
            }
            _ => self.chunks().insert(index, value, limits),
        }
    }

    /// Puts `value` before the first element equal to `pivot`. Returns whether there is one.
    pub fn insert_before(&mut self, pivot: &[u8], value: &[u8], limits: &TypeLimits) -> bool {
        let found = self.position(pivot);
        if let Some(index) = found {
            self.insert(index, value, limits);
        }
        found.is_some()
    }

    /// Puts `value` after the first element equal to `pivot`. Returns whether there is one.
    pub fn insert_after(&mut self, pivot: &[u8], value: &[u8], limits: &TypeLimits) -> bool {
        let found = self.position(pivot);
        if let Some(index) = found {
            self.insert(index + 1, value, limits);
        }
        found.is_some()
    }

    /// Removes at most `max` elements equal to `value`, from the front or from the back. Returns how many.
    pub fn remove_matching(
        &mut self,
        value: &[u8],
        max: usize,
        from_back: bool,
        limits: &TypeLimits,
    ) -> usize {
        let removed = match &mut self.0 {
            Form::Packed(chunk) => quicklist::remove_matching(chunk, value, max, from_back),
            Form::Chunks(list) => list.remove_matching(value, max, from_back, limits),
        };
        self.pack_if_short(limits);
        removed
    }

    /// Removes the elements in `range`, as far as there are such.
    pub fn remove_range(&mut self, range: Range<usize>, limits: &TypeLimits) {
        let range = self.clamp(range);
        match &mut self.0 {
            Form::Packed(chunk) => chunk.remove(chunk.offset_of(range.start), range.len()),
            Form::Chunks(list) => list.remove_range(range, limits),
        }
        self.pack_if_short(limits);
    }

    /// Removes all elements but those in `range`.
    pub fn trim(&mut self, range: Range<usize>, limits: &TypeLimits) {
        let range = self.clamp(range);
        self.remove_range(range.end..self.len(), limits);
        self.remove_range(0..range.start, limits);
    }

    /// All elements in order.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &[u8]> {
        self.range(0..self.len())
    }

    /// The elements in `range`, as far as there are such, in order.
    pub fn range(&self, range: Range<usize>) -> impl DoubleEndedIterator<Item = &[u8]> {
        let range = self.clamp(range);
        let (chunks, first, end) = self.places(&range);
        let (front, back) = (chunks.start, chunks.end.saturating_sub(1));
        chunks.flat_map(move |number| {
            let chunk = self.chunk(number);
            let from = if number == front { first } else { 0 };
            let to = if number == back { end } else { chunk.len() };
            chunk.slice(from..to)
        })
    }

    /// The index of the first element equal to `value`.
    pub fn position(&self, value: &[u8]) -> Option<usize> {
        self.iter().position(|element| element == value)
    }

    /// The chunks that `range` touches, its start in the first of them and its end in the last.
    fn places(&self, range: &Range<usize>) -> (Range<usize>, usize, usize) {
        if range.is_empty() {
            return (0..0, 0, 0);
        }
        let (first, last) = (self.locate(range.start), self.locate(range.end - 1));
        (first.chunk..last.chunk + 1, first.index, last.index + 1)
    }

    fn clamp(&self, range: Range<usize>) -> Range<usize> {
        let end = range.end.min(self.len());
        range.start.min(end)..end
    }

    fn locate(&self, index: usize) -> Place {
        match &self.0 {
            Form::Packed(_) => Place { chunk: 0, index },
            Form::Chunks(list) => list.locate(index),
        }
    }

    fn chunk(&self, number: usize) -> &Chunk {
        match &self.0 {
            Form::Packed(chunk) => chunk,
            Form::Chunks(list) => list.chunk(number),
        }
    }

    /// Packs a quicklist again that has become short. Which chunks its elements are in makes no difference.
    fn pack_if_short(&mut self, limits: &TypeLimits) {
        if let Form::Chunks(list) = &self.0
            && let Some(chunk) = list.as_one_chunk(limits)
        {
            self.0 = Form::Packed(chunk);
        }
    }

    /// Makes the list a quicklist.
    fn chunks(&mut self) -> &mut Quicklist {
        if let Form::Packed(chunk) = &mut self.0 {
            let list = Quicklist::of(std::mem::take(chunk));
            self.0 = Form::Chunks(Box::new(list));
        }
        match &mut self.0 {
            Form::Chunks(list) => list,
            Form::Packed(_) => unreachable!("the list was made a quicklist above"),
        }
    }
}
