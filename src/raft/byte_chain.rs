//! Bytes in several places that travel one after the other: long ones are shared, short ones are copied together.
//!
//! A large entry goes to all followers from the one place in memory where the log has it, too.

use std::collections::VecDeque;
use std::io::IoSlice;

use bytes::{Buf, Bytes, BytesMut};

/// Shorter bytes are copied: a slice of its own would cost more.
pub(super) const SHARED_BYTES: usize = 4 << 10;

#[derive(Debug, Default)]
pub(super) struct ByteChain {
    closed: VecDeque<Bytes>,
    closed_bytes: usize,
    /// After all of `closed`.
    open: BytesMut,
}

impl ByteChain {
    pub(super) fn len(&self) -> usize {
        self.closed_bytes + self.open.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Where to append what is copied.
    pub(super) fn tail(&mut self) -> &mut BytesMut {
        &mut self.open
    }

    /// Appends bytes; long ones are not copied.
    pub(super) fn share(&mut self, bytes: &Bytes) {
        if bytes.len() < SHARED_BYTES {
            self.open.extend_from_slice(bytes);
        } else {
            self.close();
            self.push(bytes.clone());
        }
    }

    /// Moves all bytes of `other` to the end of this chain.
    pub(super) fn append(&mut self, other: &mut ByteChain) {
        other.close();
        self.close();
        self.closed_bytes += std::mem::take(&mut other.closed_bytes);
        self.closed.append(&mut other.closed);
    }

    /// Moves the first bytes of this chain, at most `count`, to the end of `to`.
    pub(super) fn move_first(&mut self, count: usize, to: &mut ByteChain) {
        self.close();
        to.close();
        let mut left = count;
        while left > 0
            && let Some(front) = self.closed.front_mut()
        {
            let taken = front.split_to(left.min(front.len()));
            if front.is_empty() {
                self.closed.pop_front();
            }
            left -= taken.len();
            self.closed_bytes -= taken.len();
            to.push(taken);
        }
    }

    /// Fills `slices` with the first bytes; returns how many slices were filled.
    pub(super) fn slices<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        let open = (!self.open.is_empty()).then_some(&self.open[..]);
        let pieces = self.closed.iter().map(|bytes| &bytes[..]).chain(open);
        slices.iter_mut().zip(pieces).map(|(slice, piece)| *slice = IoSlice::new(piece)).count()
    }

    pub(super) fn copy_to(&self, out: &mut BytesMut) {
        self.closed.iter().for_each(|bytes| out.extend_from_slice(bytes));
        out.extend_from_slice(&self.open);
    }

    /// Drops the first `count` bytes.
    pub(super) fn advance(&mut self, mut count: usize) {
        while count > 0
            && let Some(front) = self.closed.front_mut()
        {
            let dropped = count.min(front.len());
            front.advance(dropped);
            if front.is_empty() {
                self.closed.pop_front();
            }
            self.closed_bytes -= dropped;
            count -= dropped;
        }
        self.open.advance(count);
    }

    fn close(&mut self) {
        if !self.open.is_empty() {
            let bytes = self.open.split().freeze();
            self.push(bytes);
        }
    }

    fn push(&mut self, bytes: Bytes) {
        self.closed_bytes += bytes.len();
        self.closed.push_back(bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn content(chain: &ByteChain) -> Vec<u8> {
        let mut slices = [IoSlice::new(&[]); 16];
        let filled = chain.slices(&mut slices);
        let bytes: Vec<u8> = slices[..filled].iter().flat_map(|slice| slice.iter().copied()).collect();
        assert_eq!(bytes.len(), chain.len());
        bytes
    }

    #[test]
    fn bytes_keep_their_order_and_long_ones_are_shared() {
        let long = Bytes::from(vec![7; SHARED_BYTES]);
        let mut chain = ByteChain::default();
        chain.tail().extend_from_slice(b"head");
        chain.share(&long);
        chain.share(&Bytes::from_static(b"tail"));
        assert_eq!(content(&chain), [b"head", &long[..], b"tail"].concat());
        assert_eq!(chain.closed[1].as_ptr(), long.as_ptr());

        let mut first = ByteChain::default();
        chain.move_first(6, &mut first);
        assert_eq!(content(&first), b"head\x07\x07");
        first.append(&mut chain);
        assert!(chain.is_empty());
        first.advance(6 + SHARED_BYTES - 2 + 1);
        assert_eq!(content(&first), b"ail");
        first.tail().extend_from_slice(b"or");
        first.advance(4);
        assert_eq!(content(&first), b"r");
    }
}
