//! The shape of a value's bytes: which strings and numbers follow one another, for each type.
//!
//! - A [`Walk`] passes over a value without unpacking anything: by it a payload is measured before it is taken, and the end of a
//!   value is found in a file that comes piece by piece.
//! - A step that lacks bytes takes none; it can be tried again once there are more.
//! - Every repetition takes bytes, so a walk ends with the bytes, whatever counts they announce.

use super::input::Input;
use super::{RdbError, Result, kind, stream};

/// What a string holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Holds {
    /// One element, or the name of something.
    Element,
    /// A packed collection.
    Elements,
    /// A node of a stream.
    StreamNode,
    /// Nothing that becomes part of the value.
    Nothing,
}

/// A part of a shape.
#[derive(Clone, Copy, Debug)]
pub enum Part {
    String(Holds),
    /// A length or another number in that form.
    Number,
    Bytes(usize),
    /// A score as text.
    TextScore,
    /// A count, and as many times these.
    Each(&'static [Part]),
    /// No bytes: the value takes an element and so many bytes of memory.
    Takes(u64),
    /// What a module wrote: pairs of a kind and a value, up to an end.
    Module,
}

use Part::{Bytes, Each, Module, Number, String as Text, Takes, TextScore};

const ELEMENT: Part = Text(Holds::Element);
const ELEMENTS: Part = Text(Holds::Elements);
const STREAM_NODES: Part = Each(&[Text(Holds::Nothing), Text(Holds::StreamNode)]);
const ID_BYTES: usize = 16;
const TIME_BYTES: usize = 8;
const PENDING: Part = Each(&[Takes(stream::PENDING_BYTES), Bytes(ID_BYTES + TIME_BYTES), Number]);
const OWNED: Part = Each(&[Bytes(ID_BYTES)]);
const CONSUMER: Part = Takes(stream::CONSUMER_BYTES);
const CONSUMERS: Part = Each(&[CONSUMER, ELEMENT, Bytes(TIME_BYTES), OWNED]);
/// With the time when each was last active.
const CONSUMERS_2: Part = Each(&[CONSUMER, ELEMENT, Bytes(2 * TIME_BYTES), OWNED]);
const STREAM_2: [Part; 10] = stream_of_groups(&[ELEMENT, Number, Number, Number, PENDING, CONSUMERS]);
const STREAM_3: [Part; 10] = stream_of_groups(&[ELEMENT, Number, Number, Number, PENDING, CONSUMERS_2]);

/// A stream since Redis 7.0: nodes, length, last id, first id, greatest deleted id, entries added, groups.
const fn stream_of_groups(group: &'static [Part]) -> [Part; 10] {
    let (nodes, groups) = (STREAM_NODES, Each(group));
    [nodes, Number, Number, Number, Number, Number, Number, Number, Number, groups]
}

/// The shape of a value after its type; `None` where the type is not known here.
pub fn of(kind: u8) -> Option<&'static [Part]> {
    let parts: &'static [Part] = match kind {
        kind::STRING => &[ELEMENT],
        kind::LIST | kind::SET => &[Each(&[ELEMENT])],
        kind::HASH => &[Each(&[ELEMENT, ELEMENT])],
        kind::ZSET => &[Each(&[ELEMENT, TextScore])],
        kind::ZSET_2 => &[Each(&[ELEMENT, Bytes(8)])],
        kind::LIST_QUICKLIST => &[Each(&[ELEMENTS])],
        kind::LIST_QUICKLIST_2 => &[Each(&[Number, ELEMENTS])],
        kind::HASH_ZIPMAP
        | kind::LIST_ZIPLIST
        | kind::SET_INTSET
        | kind::ZSET_ZIPLIST
        | kind::HASH_ZIPLIST
        | kind::HASH_LISTPACK
        | kind::ZSET_LISTPACK
        | kind::SET_LISTPACK => &[ELEMENTS],
        kind::HASH_VALKEY => &[Each(&[ELEMENT, ELEMENT, Bytes(TIME_BYTES)])],
        kind::HASH_METADATA => &[Bytes(TIME_BYTES), Each(&[Number, ELEMENT, ELEMENT])],
        kind::HASH_LISTPACK_EX => &[Bytes(TIME_BYTES), ELEMENTS],
        kind::STREAM => {
            &[STREAM_NODES, Number, Number, Number, Each(&[ELEMENT, Number, Number, PENDING, CONSUMERS])]
        }
        kind::STREAM_2 => &STREAM_2,
        kind::STREAM_3 => &STREAM_3,
        kind::MODULE_2 => &[Number, Module],
        _ => return None,
    };
    Some(parts)
}

/// Whether a value of this type consists of elements at the end, between which it may be divided.
pub fn is_divisible(kind: u8) -> bool {
    matches!(
        kind,
        kind::LIST
            | kind::SET
            | kind::ZSET
            | kind::HASH
            | kind::ZSET_2
            | kind::LIST_QUICKLIST
            | kind::LIST_QUICKLIST_2
            | kind::HASH_VALKEY
            | kind::HASH_METADATA
    )
}

/// The shapes of what a file has beside values.
pub const SLOT_INFO: &[Part] = &[Number, Number, Number];
pub const MODULE_AUX: &[Part] = &[Number, Number, Number, Module];
pub const SLOT_IMPORT: &[Part] = &[Text(Holds::Nothing), Each(&[Number, Number])];

/// What a step passed over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Passed {
    /// A string of so many bytes once it is unpacked.
    String(Holds, u64),
    /// A count of what follows.
    Count(u64),
    Takes(u64),
    Other,
    /// Nothing: the value has ended.
    End,
}

/// Deepest nesting of repetitions, and the shape itself.
const MAX_DEPTH: usize = 4;

#[derive(Clone, Copy, Debug)]
struct Frame {
    parts: &'static [Part],
    at: usize,
    /// Repetitions, this one included.
    left: u64,
}

/// See the module.
#[derive(Clone, Debug)]
pub struct Walk {
    frames: [Frame; MAX_DEPTH],
    depth: usize,
}

impl Walk {
    pub fn new(parts: &'static [Part]) -> Walk {
        Walk { frames: [Frame { parts, at: 0, left: 1 }; MAX_DEPTH], depth: 1 }
    }

    /// Passes over the next part.
    pub fn step(&mut self, input: &mut Input<'_>) -> Result<Passed> {
        let before = input.clone();
        let passed = self.pass(input);
        if passed.is_err() {
            *input = before;
        }
        passed
    }

    fn pass(&mut self, input: &mut Input<'_>) -> Result<Passed> {
        let Some(part) = self.next_part() else { return Ok(Passed::End) };
        let passed = match part {
            Text(holds) => Passed::String(holds, input.skip_string()?),
            Number => input.length().map(|_| Passed::Other)?,
            Bytes(count) => input.take(count).map(|_| Passed::Other)?,
            TextScore => skip_text_score(input)?,
            Takes(bytes) => Passed::Takes(bytes),
            Each(_) => Passed::Count(input.length()?),
            Module => match skip_module_value(input)? {
                // There is more of it: the part is not done.
                true => return Ok(Passed::Other),
                false => Passed::Other,
            },
        };
        self.frames[self.depth - 1].at += 1;
        if let (Each(parts), Passed::Count(count @ 1..)) = (part, passed) {
            debug_assert!(self.depth < MAX_DEPTH, "a shape is nested deeper than a walk can go");
            self.frames[self.depth] = Frame { parts, at: 0, left: count };
            self.depth += 1;
        }
        Ok(passed)
    }

    /// The part that comes next; ends repetitions that are done.
    fn next_part(&mut self) -> Option<Part> {
        while self.depth > 0 {
            let frame = &mut self.frames[self.depth - 1];
            if let Some(part) = frame.parts.get(frame.at) {
                return Some(*part);
            }
            frame.left -= 1;
            frame.at = 0;
            if frame.left == 0 {
                self.depth -= 1;
            }
        }
        None
    }

    /// Whether the walk has just begun a repetition with which the value ends.
    pub fn has_begun_elements(&self) -> bool {
        let [whole, each, ..] = &self.frames;
        self.depth == 2 && whole.at == whole.parts.len() && each.at == 0
    }

    /// Where the value ends with a repetition and the walk is between two of its elements: how many are still to come.
    pub fn elements_to_come(&self) -> Option<u64> {
        let [whole, each, ..] = &self.frames;
        let is_between = self.depth == 2 && whole.at == whole.parts.len() && each.at == each.parts.len();
        is_between.then(|| each.left - 1)
    }
}

fn skip_text_score(input: &mut Input<'_>) -> Result<Passed> {
    let len = input.byte()?;
    // The three longest lengths stand for scores without digits.
    input.take(if len < 253 { usize::from(len) } else { 0 })?;
    Ok(Passed::Other)
}

/// Passes over a value of a module's; false at the end of all of them.
fn skip_module_value(input: &mut Input<'_>) -> Result<bool> {
    match input.length()? {
        0 => return Ok(false),
        1 | 2 => input.length().map(drop)?,
        3 => input.take(4).map(drop)?,
        4 => input.take(8).map(drop)?,
        5 => input.skip_string().map(drop)?,
        _ => return Err(RdbError::Malformed("a module's value")),
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a walk passes over, where the bytes come in pieces of this length.
    fn walked(kind: u8, bytes: &[u8], piece: usize) -> Vec<Passed> {
        let mut walk = Walk::new(of(kind).expect("a known type"));
        let (mut there, mut at, mut passed) = (0, 0, Vec::new());
        loop {
            let mut input = Input::new(&bytes[at..there]);
            match walk.step(&mut input) {
                Ok(Passed::End) => return passed,
                Ok(part) => {
                    passed.push(part);
                    at = there - input.len();
                }
                Err(RdbError::Truncated) if there < bytes.len() => there = (there + piece).min(bytes.len()),
                Err(error) => panic!("{error} after {passed:?}"),
            }
        }
    }

    #[test]
    fn a_walk_is_the_same_however_the_bytes_come() {
        let hash = b"\x02\x01f\x02ab\x01g\xC0\x05";
        let element = |bytes| Passed::String(Holds::Element, bytes);
        let expected = [Passed::Count(2), element(1), element(2), element(1), element(11)];
        for piece in 1..=hash.len() {
            assert_eq!(walked(kind::HASH, hash, piece), expected, "pieces of {piece} bytes");
        }
        assert_eq!(walked(kind::SET, &[0], 1), [Passed::Count(0)]);
        let module = b"\x05\x01\x07\x03abcd\x04abcdefgh\x05\x01x\x02\x01\x00";
        assert_eq!(walked(kind::MODULE_2, module, 1).len(), 7);
    }

    #[test]
    fn elements_to_come_are_told_between_two() {
        let bytes = b"\x03\x01a\x01b\x01c";
        let mut walk = Walk::new(of(kind::LIST).expect("a known type"));
        let mut input = Input::new(bytes);
        let mut told = Vec::new();
        while walk.step(&mut input) != Ok(Passed::End) {
            told.push(walk.elements_to_come());
        }
        assert_eq!(told, [None, Some(2), Some(1), Some(0)]);
    }
}
