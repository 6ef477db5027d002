//! What a command may cost at most, known before it is logged: every node runs what is logged, at every restart again.
//!
//! - A cost is an upper bound: of elements that are touched, and of bytes by which the data grows.
//! - Mostly the arguments alone tell. For commands that read or copy what other keys hold a function of the row tells, from the sizes
//!   that those keys have now and what they may gain by commands that are planned and not applied ([`Forecast`]).
//! - Past [`MAX_STEPS`] a command is refused, and so is a transaction; what they only read counts, too ([`reads`]).

mod algebra;
mod forecast;
pub mod reads;
pub mod weights;

use std::borrow::Cow;

pub use algebra::{Algebra, MAX_UNITED, of_algebra};
pub use forecast::{Databases, Forecast};

use super::args::{MAX_STRING_BYTES, integer};
use super::spec::Flags;
use super::{Args, Command, CommandError, ReadContext};
use crate::keyspace::entry::Entry;
use crate::keyspace::value::{Object, ValueRef};

/// Elements that one command, or one transaction, may touch. Redis takes seconds for so many.
pub const MAX_STEPS: u64 = 100_000_000;

/// Bytes that are copied, moved, encoded or hashed in the time in which an element is touched.
const BYTES_PER_STEP: u64 = 64;

/// The same where they are compared with a pattern: each is looked at up to 16 times.
const MATCHED_BYTES_PER_STEP: u64 = 4;

/// What an element takes at most beside its own bytes.
const ELEMENT_BYTES: u64 = 64;

/// The allocator has four sizes from one power of two to the next: what it hands out is longer by no more than this share.
const ROUNDING_SHARE: u64 = 4;

/// Of fewer bytes that is among what an element takes.
const ROUNDED_BYTES: u64 = 4096;

/// What the allocator may hand out for a number of bytes.
pub fn allocated(bytes: u64) -> u64 {
    if bytes < ROUNDED_BYTES { bytes } else { bytes.saturating_add(bytes / ROUNDING_SHARE) }
}

/// How much there is of something.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Size {
    pub elements: u64,
    pub bytes: u64,
}

impl Size {
    /// More than any machine holds.
    pub const HUGE: u64 = u64::MAX / 4;

    pub fn of(entry: &Entry) -> Size {
        let elements = match entry.value() {
            ValueRef::String(_) => 1,
            ValueRef::Object(object) => object.len() as u64,
        };
        Size { elements, bytes: entry.memory_bytes() as u64 }
    }

    /// The same on every node, for scripts: of collections the elements tell, not what is allocated for them.
    pub fn by_elements(entry: &Entry) -> Size {
        let size = Size::of(entry);
        let bytes = match entry.value() {
            ValueRef::String(bytes) => (entry.key().len() + bytes.len()) as u64,
            ValueRef::Object(_) => entry.key().len() as u64,
        };
        Size { bytes: bytes + size.elements.saturating_mul(ELEMENT_BYTES), ..size }
    }

    /// The same on every node, with all that a collection holds. It is walked.
    pub fn by_content(entry: &Entry) -> Size {
        let held = match entry.value() {
            ValueRef::Object(Object::Hash(hash)) => {
                hash.iter().map(|(field, value)| field.len() + value.len()).sum()
            }
            ValueRef::Object(Object::Set(set)) => set.iter().map(|member| member.len()).sum(),
            ValueRef::Object(Object::ZSet(set)) => set.iter().map(|entry| entry.member.len()).sum(),
            ValueRef::Object(Object::List(list)) => list.iter().map(<[u8]>::len).sum(),
            ValueRef::Object(Object::Stream(stream)) => {
                stream.nodes().map(|(_, node)| node.listpack().len()).sum()
            }
            ValueRef::String(_) => 0_usize,
        };
        let size = Size::by_elements(entry);
        Size { bytes: size.bytes + held as u64, ..size }
    }

    pub fn plus(self, other: Size) -> Size {
        Size {
            elements: self.elements.saturating_add(other.elements),
            bytes: self.bytes.saturating_add(other.bytes),
        }
    }

    /// What is left without the other, or nothing.
    pub fn less(self, other: Size) -> Size {
        Size {
            elements: self.elements.saturating_sub(other.elements),
            bytes: self.bytes.saturating_sub(other.bytes),
        }
    }

    /// The larger of both in each respect.
    pub fn max(self, other: Size) -> Size {
        Size { elements: self.elements.max(other.elements), bytes: self.bytes.max(other.bytes) }
    }
}

/// What a command costs at most.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cost {
    /// Elements that it touches, each as often as it does.
    pub steps: u64,
    /// What the data gains.
    pub growth: Size,
    /// Bytes that it needs beside that until it has ended.
    pub transient: u64,
    /// What it puts in the place of a whole value; its bytes are those of the elements alone.
    pub result: Size,
    /// It may take any amount of memory.
    pub is_unbounded: bool,
}

impl Cost {
    /// What `argc` arguments of `bytes` in all cost, the command's name included.
    pub fn of_arguments(argc: usize, bytes: usize) -> Cost {
        let elements = argc as u64;
        let growth = Size { elements, bytes: allocated(bytes as u64) + elements * ELEMENT_BYTES };
        // On its way it is copied.
        Cost { steps: elements, growth, transient: bytes as u64, ..Cost::default() }
    }

    pub fn of_args(args: &Args<'_>) -> Cost {
        Cost::of_arguments(args.len(), args.iter().map(|arg| arg.len()).sum())
    }

    /// The same where so many elements are touched in addition.
    pub fn walking(self, elements: u64) -> Cost {
        Cost { steps: self.steps.saturating_add(elements), ..self }
    }

    /// The same where the data grows by so much in addition.
    pub fn growing(self, by: Size) -> Cost {
        let overhead = by.elements.saturating_mul(ELEMENT_BYTES);
        let by = Size { bytes: by.bytes.saturating_add(overhead), ..by };
        Cost { growth: self.growth.plus(by), ..self }
    }

    /// The same where a value of this size comes into being, in the place of another.
    pub fn storing(self, result: Size) -> Cost {
        Cost { result, ..self.growing(result) }
    }

    /// The same where nothing is known that bounds the memory that it takes.
    pub fn unbounded(self) -> Cost {
        Cost { is_unbounded: true, ..self }
    }

    /// One after the other.
    pub fn and(self, next: Cost) -> Cost {
        Cost {
            steps: self.steps.saturating_add(next.steps),
            growth: self.growth.plus(next.growth),
            transient: self.transient.max(next.transient),
            result: self.result.max(next.result),
            is_unbounded: self.is_unbounded || next.is_unbounded,
        }
    }

    /// Bytes that must be there before it runs.
    pub fn bytes(self) -> u64 {
        self.growth.bytes.saturating_add(self.transient)
    }

    /// Why it is refused whatever memory there is; `what` is the command or the transaction.
    pub fn refusal(self, what: &str) -> Option<CommandError> {
        match self.is_unbounded {
            _ if self.steps > MAX_STEPS => Some(too_many_steps(what, self.steps)),
            true => Some(CommandError::other(UNBOUNDED)),
            false => None,
        }
    }
}

const UNBOUNDED: &str = "ERR what SORT with GET and STORE would find after other writes can't be bounded: send it first, or by itself";

fn too_many_steps(what: &str, steps: u64) -> CommandError {
    let text = format!("ERR the {what} would touch {steps} elements, the limit is {MAX_STEPS}");
    CommandError::Other(Cow::Owned(text))
}

pub type CostFn = fn(&CostContext<'_, '_>, &Args<'_>) -> Cost;

/// Where a row's cost comes from.
#[derive(Clone, Copy)]
pub enum CostKind {
    /// The arguments alone.
    Arguments,
    /// The arguments alone; elements may go from one key to another.
    MovesElements,
    /// The keys' sizes; the value of the first key may go to the others.
    Carries(CostFn),
    /// The keys' sizes; what it puts into a key is no more than its arguments hold.
    Measured(CostFn),
    /// The keys' sizes; what is made of them is put in the place of what another holds.
    Stores(CostFn),
    /// It runs commands, on any keys.
    Script,
}

impl CostKind {
    pub fn measure(self) -> Option<CostFn> {
        match self {
            CostKind::Measured(measure) | CostKind::Stores(measure) | CostKind::Carries(measure) => {
                Some(measure)
            }
            CostKind::Arguments | CostKind::MovesElements | CostKind::Script => None,
        }
    }
}

/// What costs are told from.
pub struct CostContext<'r, 'a> {
    pub reader: &'r ReadContext<'a>,
    forecast: &'r Forecast,
    is_counted: bool,
    size_of: fn(&Entry) -> Size,
}

impl<'r, 'a> CostContext<'r, 'a> {
    pub fn new(reader: &'r ReadContext<'a>, forecast: &'r Forecast) -> Self {
        CostContext { reader, forecast, is_counted: false, size_of: Size::of }
    }

    /// The same where keys have other sizes.
    pub fn sized_by(self, size_of: fn(&Entry) -> Size) -> Self {
        CostContext { size_of, ..self }
    }

    /// The same for reads that are counted again as they run: what other keys may have brought to a key is left to that.
    pub fn of_counted_reads(self) -> Self {
        CostContext { is_counted: true, ..self }
    }

    /// The most that a key may hold.
    pub fn size(&self, key: &[u8]) -> Size {
        self.grown(key, self.reader.entry(key).map(self.size_of).unwrap_or_default())
    }

    /// The most that a key may hold that holds so much now.
    fn grown(&self, key: &[u8], now: Size) -> Size {
        if self.is_counted { self.forecast.made(key, now) } else { self.forecast.size(key, now) }
    }

    /// Elements that planned commands may add to a key.
    pub fn gained(&self, key: &[u8]) -> u64 {
        let gained = match self.is_counted {
            true => self.forecast.made(key, Size::default()),
            false => self.forecast.gained(key),
        };
        gained.elements
    }

    /// The most that planned commands may add to any key.
    pub fn gained_anywhere(&self) -> Size {
        if self.is_counted { self.forecast.added_anywhere() } else { self.forecast.gained_anywhere() }
    }

    /// The most that any one key may hold in place of what it holds, and the most that may be added to it.
    pub fn most_gained_by_one(&self) -> (Size, Size) {
        self.forecast.most_gained_by_one()
    }

    /// Whether the command will find the data as it is now: no planned command comes before it.
    pub fn is_exact(&self) -> bool {
        self.forecast.is_empty()
    }

    /// Whether the command will find this key as it is now.
    pub fn is_exact_for(&self, key: &[u8]) -> bool {
        self.forecast.leaves(key)
    }

    /// The most bytes that a string may have.
    pub fn most_string_bytes(&self, key: &[u8]) -> u64 {
        let most = self.grown(key, Size { elements: 1, bytes: self.string_bytes_now(key) }).bytes;
        most.min(MAX_STRING_BYTES as u64)
    }

    fn string_bytes_now(&self, key: &[u8]) -> u64 {
        self.reader.string(key).ok().flatten().map_or(0, |string| string.len() as u64)
    }

    /// The bytes that a string surely has.
    pub fn least_string_bytes(&self, key: &[u8]) -> u64 {
        if self.is_exact() { self.string_bytes_now(key) } else { 0 }
    }
}

/// The cost of a command by its row, DENYOOM or not.
pub fn of_command(command: &Command, context: &CostContext<'_, '_>, args: &Args<'_>) -> Cost {
    let cost = match command.cost.measure() {
        Some(measure) => measure(context, args),
        None => Cost::of_args(args),
    };
    charged(command, cost)
}

/// A command without DENYOOM is never refused for the sake of memory.
pub fn charged(command: &Command, cost: Cost) -> Cost {
    if command.flags.contains(Flags::DENYOOM) {
        return cost;
    }
    Cost { growth: Size { bytes: 0, ..cost.growth }, transient: 0, ..cost }
}

impl Size {
    /// What it takes to visit all elements and to hash, compare or copy each; a short one is no more than a step.
    pub fn steps(self) -> u64 {
        self.elements.max(of_bytes(self.bytes))
    }
}

/// Walks all that its first key holds, and compares it with a text of the arguments.
pub fn search(context: &CostContext<'_, '_>, args: &Args<'_>) -> Cost {
    let size = args.get(1).map_or(Size::default(), |key| context.size(key));
    Cost::of_args(args).walking(size.elements).walking(of_comparing(size, args))
}

/// What it takes to compare elements with an argument: as many bytes of each as that has.
fn of_comparing(size: Size, args: &Args<'_>) -> u64 {
    let longest = args.iter().map(|arg| arg.len()).max().unwrap_or(0) as u64;
    of_bytes(size.bytes).min(size.elements.saturating_mul(of_bytes(longest)))
}

/// Walks all that its first key holds.
pub fn walk(context: &CostContext<'_, '_>, args: &Args<'_>) -> Cost {
    let elements = args.get(1).map_or(0, |key| context.size(key).elements);
    Cost::of_args(args).walking(elements)
}

/// What it takes to copy, move, encode or hash so many bytes.
pub fn of_bytes(bytes: u64) -> u64 {
    bytes / BYTES_PER_STEP
}

/// RENAME, RENAMENX: a string moves within its allocation, for a longer or shorter key before it.
pub fn rename(context: &CostContext<'_, '_>, args: &Args<'_>) -> Cost {
    let bytes = args.get(1).map_or(0, |key| context.most_string_bytes(key));
    Cost::of_args(args).walking(of_bytes(bytes))
}

/// MOVE: the value stays where it is in memory.
pub fn move_to_database(_: &CostContext<'_, '_>, args: &Args<'_>) -> Cost {
    Cost::of_args(args)
}

/// APPEND: a string that has no room where it is goes to another place.
pub fn append(context: &CostContext<'_, '_>, args: &Args<'_>) -> Cost {
    let cost = Cost::of_args(args);
    let [_, key, tail, ..] = args else { return cost };
    let most = context.most_string_bytes(key);
    let now = Size { elements: 1, bytes: context.string_bytes_now(key) };
    let now = context.forecast.size_alone(key, now).bytes;
    let is_moved = size_class(now) < size_class(most.saturating_add(tail.len() as u64));
    let cost = cost.walking(if is_moved { of_bytes(most) } else { 0 });
    Cost { transient: cost.transient.max(most), ..cost }
}

/// The allocator has four sizes from one power of two to the next, and a string that grows within one of them stays where it is. That
/// key and header are not counted shifts where strings move, not how often.
fn size_class(bytes: u64) -> u64 {
    let top = bytes.max(4).ilog2();
    u64::from(top) << 2 | (bytes >> (top - 2)) & 3
}

/// SETRANGE fills with zeros up to its offset.
pub fn setrange(context: &CostContext<'_, '_>, args: &Args<'_>) -> Cost {
    let [_, _, offset, value, ..] = args else { return Cost::of_args(args) };
    let offset = integer(offset).ok().and_then(|offset| u64::try_from(offset).ok());
    let end = offset.and_then(|offset| offset.checked_add(value.len() as u64));
    let end = end.filter(|end| !value.is_empty() && *end <= MAX_STRING_BYTES as u64).unwrap_or(0);
    grown_string(context, args, end)
}

/// A string, the first key, is filled with zeros up to its byte `end` if it is shorter.
pub fn grown_string(context: &CostContext<'_, '_>, args: &Args<'_>, end: u64) -> Cost {
    let Some(key) = args.get(1) else { return Cost::of_args(args) };
    let bytes = end.saturating_sub(context.least_string_bytes(key));
    let copied = if bytes > 0 { context.most_string_bytes(key).min(end) } else { 0 };
    let touched = of_bytes(copied.saturating_add(bytes));
    let cost = Cost::of_args(args).growing(Size { elements: 0, bytes }).walking(touched);
    Cost { transient: cost.transient.max(copied), ..cost }
}

/// COPY: what the source holds.
pub fn copy(context: &CostContext<'_, '_>, args: &Args<'_>) -> Cost {
    let size = args.get(1).map_or(Size::default(), |key| context.size(key));
    Cost::of_args(args).walking(size.steps()).storing(size)
}

#[cfg(test)]
mod tests;
