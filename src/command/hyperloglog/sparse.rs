//! The sparse encoding: runs of equal registers.
//!
//! ```text
//! 00nnnnnn            n+1 registers are 0
//! 01nnnnnn nnnnnnnn   n+1 registers are 0
//! 1vvvvvnn            n+1 registers are v+1
//! ```
//!
//! A register is raised by splitting its run and joining neighbours just as Redis does (`hllSparseSet`), so that the same elements
//! in the same order make the same bytes.

use super::form::{CORRUPT, HEADER_BYTES, REGISTERS};
use crate::command::CommandError;

/// A value that would get longer becomes dense, unless the group has set another limit (`hll-sparse-max-bytes`).
pub const MAX_BYTES: usize = 3000;
/// The greatest value of a register.
const MAX_VALUE: u8 = 32;
const MAX_VALUE_RUN: usize = 4;
const MAX_SHORT_ZEROS: usize = 64;
/// Runs that are looked at for neighbours to join.
const JOINED: usize = 5;

/// Equal registers, and how many bytes say so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Run {
    pub value: u8,
    pub len: usize,
    bytes: usize,
}

impl Run {
    /// The run at the beginning of some bytes; `None` where they end within it.
    pub fn first(bytes: &[u8]) -> Option<Run> {
        Some(match bytes {
            [byte, ..] if byte & 0x80 != 0 => {
                Run { value: (byte >> 2 & 0x1f) + 1, len: usize::from(byte & 3) + 1, bytes: 1 }
            }
            [byte, ..] if byte & 0x40 == 0 => Run { value: 0, len: usize::from(byte & 0x3f) + 1, bytes: 1 },
            [high, low, ..] => {
                let len = usize::from(high & 0x3f) << 8 | usize::from(*low);
                Run { value: 0, len: len + 1, bytes: 2 }
            }
            _ => return None,
        })
    }

    /// Whether it is a run of zeros in two bytes.
    pub fn is_long(self) -> bool {
        self.bytes == 2
    }
}

/// Appends so many zeros; nothing for none.
pub fn push_zeros(out: &mut Vec<u8>, len: usize) {
    match len {
        0 => {}
        1..=MAX_SHORT_ZEROS => out.push((len - 1) as u8),
        _ => out.extend([0x40 | ((len - 1) >> 8) as u8, (len - 1) as u8]),
    }
}

fn value_byte(value: u8, len: usize) -> u8 {
    debug_assert!((1..=MAX_VALUE).contains(&value) && (1..=MAX_VALUE_RUN).contains(&len), "a run of values");
    0x80 | (value - 1) << 2 | (len - 1) as u8
}

/// All runs; the last item is an error unless they cover exactly all registers. None reaches past the last register.
pub fn runs(bytes: &[u8]) -> impl Iterator<Item = Result<Run, CommandError>> {
    let (mut rest, mut left, mut is_over) = (bytes, REGISTERS, false);
    std::iter::from_fn(move || {
        if is_over || (rest.is_empty() && left == 0) {
            return None;
        }
        let run = Run::first(rest).filter(|run| run.len <= left);
        is_over = run.is_none();
        if let Some(run) = run {
            rest = &rest[run.bytes..];
            left -= run.len;
        }
        Some(run.ok_or(CORRUPT))
    })
}

/// An error unless the runs cover exactly all registers.
pub fn check(bytes: &[u8]) -> Result<(), CommandError> {
    runs(bytes).try_for_each(|run| run.map(drop))
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Raised {
    /// The register had that value, or a greater one.
    Not,
    Yes,
    /// It does not fit: the value has to become dense first. Nothing has changed.
    TooLarge,
}

/// Where a register's run is.
struct Place {
    run: Run,
    at: usize,
    /// The first register of the run.
    first: usize,
    /// Where the run before it is.
    before: Option<usize>,
}

fn find(value: &[u8], index: usize) -> Option<Place> {
    let (mut at, mut first, mut before) = (HEADER_BYTES, 0, None);
    loop {
        let run = Run::first(value.get(at..)?)?;
        if index < first + run.len {
            return Some(Place { run, at, first, before });
        }
        before = Some(at);
        at += run.bytes;
        first += run.len;
    }
}

/// Raises a register of a whole value, header included, whose runs cover all registers; it may get `most` bytes long.
pub fn raise(value: &mut Vec<u8>, index: usize, count: u8, most: usize) -> Raised {
    if count > MAX_VALUE {
        return Raised::TooLarge;
    }
    let Some(Place { run, at, first, before }) = find(value, index) else { return Raised::TooLarge };
    if run.value >= count {
        return Raised::Not;
    }
    if run.len == 1 && !run.is_long() {
        value[at] = value_byte(count, 1);
    } else {
        let split = split(run, index - first, count);
        if split.len() > run.bytes && value.len() + split.len() - run.bytes > most {
            return Raised::TooLarge;
        }
        value.splice(at..at + run.bytes, split);
    }
    join(value, before.unwrap_or(HEADER_BYTES));
    Raised::Yes
}

/// The run with one of its registers raised.
fn split(run: Run, raised: usize, count: u8) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(5);
    let push = |bytes: &mut Vec<u8>, len: usize| match run.value {
        0 => push_zeros(bytes, len),
        _ if len == 0 => {}
        value => bytes.push(value_byte(value, len)),
    };
    push(&mut bytes, raised);
    bytes.push(value_byte(count, 1));
    push(&mut bytes, run.len - raised - 1);
    bytes
}

/// Joins runs of one value that stand side by side, near a place.
fn join(value: &mut Vec<u8>, mut at: usize) {
    for _ in 0..JOINED {
        let Some(run) = value.get(at..).and_then(Run::first) else { return };
        let next = value.get(at + 1..).and_then(Run::first).filter(|_| run.value > 0);
        match next.filter(|next| next.value == run.value && next.len + run.len <= MAX_VALUE_RUN) {
            Some(next) => {
                value[at + 1] = value_byte(run.value, run.len + next.len);
                value.remove(at);
            }
            None => at += run.bytes,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn covered(bytes: &[u8]) -> Result<usize, CommandError> {
        runs(bytes).map(|run| run.map(|run| run.len)).sum()
    }

    #[test]
    fn runs_cover_exactly_all_registers() {
        assert_eq!(covered(&[0x7f, 0xff]), Ok(REGISTERS));
        for corrupt in [&[][..], &[0x7f], &[0x7f, 0xfe], &[0x7f, 0xff, 0], &[0x80, 0x7f, 0xff], &[0x3f; 10]] {
            assert_eq!(check(corrupt), Err(CORRUPT), "{corrupt:?}");
        }
        assert_eq!(check(&[0; REGISTERS]), Ok(()));
    }

    #[test]
    fn a_run_is_split_and_joined() {
        let mut value = vec![0; HEADER_BYTES];
        push_zeros(&mut value, REGISTERS);
        assert_eq!(raise(&mut value, 100, 3, MAX_BYTES), Raised::Yes);
        assert_eq!(value[HEADER_BYTES..], [0x40, 99, 0x88, 0x7f, 0x9a]);
        assert_eq!(raise(&mut value, 101, 3, MAX_BYTES), Raised::Yes);
        assert_eq!(value[HEADER_BYTES..], [0x40, 99, 0x89, 0x7f, 0x99]);
        assert_eq!(raise(&mut value, 101, 3, MAX_BYTES), Raised::Not);
        assert_eq!(raise(&mut value, 101, 32, MAX_BYTES), Raised::Yes);
        assert_eq!(value[HEADER_BYTES..], [0x40, 99, 0x88, 0xfc, 0x7f, 0x99]);
        assert_eq!(raise(&mut value, 5, 33, MAX_BYTES), Raised::TooLarge);
        assert_eq!(check(&value[HEADER_BYTES..]), Ok(()));
    }
}
