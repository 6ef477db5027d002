//! A growable array in segments: growing it never moves what it holds.
//!
//! - All segments but the last are full. The first grows as a `Vec` does, so a small array is small; later ones are
//!   allocated whole.
//! - The only thing that grows by moving is the list of segments: 24 bytes for every 256 elements.

const SEGMENT_LEN: usize = 256;

#[derive(Clone)]
pub(super) struct Segmented<T> {
    segments: Vec<Vec<T>>,
}

impl<T> Segmented<T> {
    pub(super) fn new() -> Self {
        Self { segments: Vec::new() }
    }

    pub(super) fn len(&self) -> usize {
        match self.segments.last() {
            Some(last) => (self.segments.len() - 1) * SEGMENT_LEN + last.len(),
            None => 0,
        }
    }

    pub(super) fn get(&self, index: usize) -> &T {
        &self.segments[index / SEGMENT_LEN][index % SEGMENT_LEN]
    }

    pub(super) fn get_mut(&mut self, index: usize) -> &mut T {
        &mut self.segments[index / SEGMENT_LEN][index % SEGMENT_LEN]
    }

    pub(super) fn push(&mut self, value: T) {
        match self.segments.last_mut() {
            Some(last) if last.len() < SEGMENT_LEN => last.push(value),
            Some(_) => {
                let mut segment = Vec::with_capacity(SEGMENT_LEN);
                segment.push(value);
                self.segments.push(segment);
            }
            None => self.segments.push(vec![value]),
        }
    }

    pub(super) fn pop(&mut self) -> Option<T> {
        let value = self.segments.last_mut()?.pop();
        if self.segments.last().is_some_and(Vec::is_empty) {
            self.segments.pop();
        }
        value
    }

    /// Bytes allocated on the heap by the array itself.
    pub(super) fn heap_bytes(&self) -> usize {
        let elements = match &self.segments[..] {
            [only] => only.capacity(),
            segments => segments.len() * SEGMENT_LEN,
        };
        elements * size_of::<T>() + self.segments.capacity() * size_of::<Vec<T>>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn segments_come_and_go() {
        let mut array = Segmented::new();
        assert_eq!((array.len(), array.pop()), (0, None));
        for i in 0..3 * SEGMENT_LEN + 1 {
            array.push(i);
            assert_eq!((array.len(), *array.get(i)), (i + 1, i));
        }
        *array.get_mut(SEGMENT_LEN) = 7;
        assert_eq!(*array.get(SEGMENT_LEN), 7);
        for i in (2 * SEGMENT_LEN..3 * SEGMENT_LEN + 1).rev() {
            assert_eq!(array.pop(), Some(i));
        }
        assert_eq!(array.len(), 2 * SEGMENT_LEN);
    }
}
