//! A growable array in segments that clones share: growing it never moves what it holds, nor does a clone copy it.
//!
//! - All segments but the last are full. The last belongs to this array alone and grows as a `Vec` does, so a small
//!   array is small; the full ones are shared.
//! - A clone costs one count for each full segment and one clone for each element of the last.
//! - Whoever changes an element of a shared segment copies that segment first, so elements must be cheap to clone. A
//!   segment that nobody shares is changed in place: that costs a look at its count.
//! - The only thing that grows by moving is the list of segments: eight bytes each.

use std::ops::Range;
use std::sync::Arc;

use super::shared::COUNTS_BYTES;

/// How many elements make a segment, with its counts, fill an allocation of so many bytes.
pub(super) const fn segment_len<T>(allocation_bytes: usize) -> usize {
    (allocation_bytes - COUNTS_BYTES) / size_of::<T>()
}

#[derive(Debug, Clone)]
pub(super) struct Segmented<T, const LEN: usize> {
    full: Vec<Arc<[T; LEN]>>,
    last: Vec<T>,
}

impl<T, const LEN: usize> Default for Segmented<T, LEN> {
    fn default() -> Self {
        Self { full: Vec::new(), last: Vec::new() }
    }
}

impl<T, const LEN: usize> Segmented<T, LEN> {
    pub(super) fn len(&self) -> usize {
        self.full.len() * LEN + self.last.len()
    }

    pub(super) fn get(&self, index: usize) -> &T {
        match self.full.get(index / LEN) {
            Some(segment) => &segment[index % LEN],
            None => &self.last[index - self.full.len() * LEN],
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &T> {
        self.full.iter().flat_map(|segment| segment.iter()).chain(&self.last)
    }

    pub(super) fn push(&mut self, value: T) {
        if self.last.len() == LEN {
            let segment = std::mem::replace(&mut self.last, Vec::with_capacity(LEN));
            self.full.push(sealed(segment));
        }
        self.last.push(value);
    }

    /// Drops the last element, or a whole segment that others share, for that is only a count; false when nothing is
    /// left.
    pub(super) fn drop_one(&mut self) -> bool {
        if self.last.pop().is_some() {
            return true;
        }
        let Some(segment) = self.full.pop() else {
            return false;
        };
        if let Ok(own) = Arc::try_unwrap(segment) {
            self.last = own.into();
            self.last.pop();
        }
        true
    }

    /// Bytes allocated on the heap by the array itself.
    pub(super) fn heap_bytes(&self) -> usize {
        self.full.len() * (COUNTS_BYTES + size_of::<[T; LEN]>())
            + self.full.capacity() * size_of::<Arc<[T; LEN]>>()
            + self.last.capacity() * size_of::<T>()
    }
}

impl<T: Clone, const LEN: usize> Segmented<T, LEN> {
    pub(super) fn get_mut(&mut self, index: usize) -> &mut T {
        let in_full = self.full.len() * LEN;
        if index < in_full {
            return &mut Arc::make_mut(&mut self.full[index / LEN])[index % LEN];
        }
        &mut self.last[index - in_full]
    }

    pub(super) fn pop(&mut self) -> Option<T> {
        if self.last.is_empty() {
            self.last = Arc::unwrap_or_clone(self.full.pop()?).into();
        }
        self.last.pop()
    }

    /// Takes out the element at `index`, which must be below `len`; the last one fills the gap.
    pub(super) fn swap_remove(&mut self, index: usize) -> T {
        let last = self.pop().expect("the caller saw an element");
        if index == self.len() {
            return last;
        }
        std::mem::replace(self.get_mut(index), last)
    }
}

impl<T: Copy, const LEN: usize> Segmented<T, LEN> {
    pub(super) fn fill(&mut self, range: Range<usize>, value: T) {
        for index in range {
            *self.get_mut(index) = value;
        }
    }
}

impl<T, const LEN: usize> FromIterator<T> for Segmented<T, LEN> {
    fn from_iter<I: IntoIterator<Item = T>>(values: I) -> Self {
        let mut values = values.into_iter();
        let mut array = Self::default();
        loop {
            let segment: Vec<T> = values.by_ref().take(LEN).collect();
            if segment.len() < LEN {
                array.last = segment;
                return array;
            }
            array.full.push(sealed(segment));
        }
    }
}

fn sealed<T, const LEN: usize>(segment: Vec<T>) -> Arc<[T; LEN]> {
    match Arc::<[T]>::from(segment).try_into() {
        Ok(segment) => segment,
        Err(_) => unreachable!("only full segments are shared"),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn segments_come_and_go() {
        const LEN: usize = segment_len::<usize>(128);
        let mut array = Segmented::<usize, LEN>::default();
        assert_eq!((array.len(), array.pop()), (0, None));
        for i in 0..3 * LEN + 1 {
            array.push(i);
            assert_eq!((array.len(), *array.get(i)), (i + 1, i));
        }
        assert_eq!(array.heap_bytes(), 3 * 128 + 4 * 8 + LEN * 8);
        *array.get_mut(LEN) = 7;
        assert_eq!(*array.get(LEN), 7);
        for i in (2 * LEN..3 * LEN + 1).rev() {
            assert_eq!(array.pop(), Some(i));
        }
        assert_eq!(array.len(), 2 * LEN);
        assert_eq!((array.swap_remove(LEN), array.swap_remove(2 * LEN - 2)), (7, 2 * LEN - 2));
        assert!(array.iter().copied().eq((0..LEN).chain([2 * LEN - 1]).chain(LEN + 1..2 * LEN - 2)));
    }

    #[test]
    fn what_is_shared_is_dropped_at_once() {
        let array: Segmented<u32, 4> = (0..10).collect();
        let mut clone = array.clone();
        let drops = (0..).take_while(|_| clone.drop_one()).count();
        assert_eq!(drops, 2 + 2);
        assert!(array.iter().copied().eq(0..10));
        let mut alone = array;
        assert_eq!((0..).take_while(|_| alone.drop_one()).count(), 10);
    }

    #[derive(Debug, Clone)]
    enum Op {
        Push(u8),
        Pop,
        Set(usize, u8),
        SwapRemove(usize),
        Fill(usize, usize, u8),
        Clone,
    }

    fn op() -> impl Strategy<Value = Op> {
        prop_oneof![
            6 => any::<u8>().prop_map(Op::Push),
            2 => Just(Op::Pop),
            2 => (any::<usize>(), any::<u8>()).prop_map(|(at, value)| Op::Set(at, value)),
            1 => any::<usize>().prop_map(Op::SwapRemove),
            1 => (any::<usize>(), 0..9usize, any::<u8>()).prop_map(|(at, len, value)| Op::Fill(at, len, value)),
            1 => Just(Op::Clone),
        ]
    }

    fn apply(array: &mut Segmented<u8, 4>, model: &mut Vec<u8>, op: &Op) {
        let len = model.len().max(1);
        match *op {
            Op::Push(value) => {
                array.push(value);
                model.push(value);
            }
            Op::Pop => assert_eq!(array.pop(), model.pop()),
            Op::Set(at, value) if !model.is_empty() => {
                *array.get_mut(at % len) = value;
                model[at % len] = value;
            }
            Op::SwapRemove(at) if !model.is_empty() => {
                assert_eq!(array.swap_remove(at % len), model.swap_remove(at % len));
            }
            Op::Fill(at, count, value) if !model.is_empty() => {
                let range = at % len..(at % len + count).min(len);
                array.fill(range.clone(), value);
                model[range].fill(value);
            }
            _ => {}
        }
    }

    proptest! {
        #[test]
        fn behaves_like_a_vec_and_so_do_its_clones(ops in prop::collection::vec(op(), 0..200)) {
            let (mut array, mut model) = (Segmented::default(), Vec::new());
            let mut clones = Vec::new();
            for op in &ops {
                apply(&mut array, &mut model, op);
                if let Op::Clone = op {
                    clones.push((array.clone(), model.clone()));
                }
            }
            clones.push((array, model));
            for (array, model) in &clones {
                prop_assert_eq!(array.len(), model.len());
                prop_assert!(array.iter().eq(model));
                prop_assert!((0..model.len()).all(|at| array.get(at) == &model[at]));
            }
        }
    }
}
