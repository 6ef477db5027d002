//! The elements of a blob in which a small collection lies packed, one after another.

use std::borrow::Cow;

use super::Result;
use super::input::Input;

/// A string, or an integer as text.
pub type Element<'a> = Cow<'a, [u8]>;

/// Reads the next element; `None` at the end, behind which there must be nothing.
pub type ReadNext<'a> = fn(&mut Input<'a>) -> Result<Option<Element<'a>>>;

/// Yields elements up to the end or the first error.
pub struct Sequence<'a> {
    input: Input<'a>,
    read_next: ReadNext<'a>,
    ended: bool,
}

impl<'a> Sequence<'a> {
    pub fn new(input: Input<'a>, read_next: ReadNext<'a>) -> Self {
        Sequence { input, read_next, ended: false }
    }
}

impl<'a> Iterator for Sequence<'a> {
    type Item = Result<Element<'a>>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        let found = (self.read_next)(&mut self.input).transpose();
        self.ended = !matches!(found, Some(Ok(_)));
        found
    }
}
