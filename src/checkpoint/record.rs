//! The bytes of one entry in a checkpoint; `docs/checkpoint-format.md` is the same thing as a one-page grammar.
//!
//! - An entry is a root, and parts if its content is longer than [`PART_BYTES`]. Roots are found by key; parts by a number
//!   ("blob") that no other entry of the store's life has had, so writing them needs no sorting.
//! - Elements stand in the order in which inserting them into an empty value of the same encoding gives the same value: the
//!   order that seeds pick from is the same after a restore.
//! - A root tells what its entry contributes to the sum of all, so that replacing it needs no more than its head.
//! - Reading never goes beyond the bytes, never panics, and allocates no more than the bytes call for.
//! - Integers are little-endian, apart from those in keys: keys sort.

pub mod content;
mod decode;
mod encode;
mod stream;
#[cfg(test)]
mod tests;

pub use decode::read_entry;
pub use encode::{Encoder, Written};

use thiserror::Error;

use crate::keyspace::changes::Generation;
use crate::keyspace::digest::Digest;
use crate::keyspace::slot::Slot;
use crate::keyspace::types::encoding::Encoding;
use crate::keyspace::value::{Object, ValueRef};

/// Longest content that stands in the root itself, and the length of every part but the last.
pub const PART_BYTES: usize = 64 << 10;
/// The version that this code writes, and the only one that it reads.
pub const VERSION: u8 = 1;
/// Bytes of a root's key before the entry's own.
pub const KEY_PREFIX_BYTES: usize = 10;

const HEAD_BYTES: usize = 20;

const DEADLINE: u8 = 1;
const FIELD_DEADLINES: u8 = 2;
const PARTS: u8 = 4;
const FLAGS: u8 = DEADLINE | FIELD_DEADLINES | PARTS;

/// What is wrong with some bytes; where they are is said by who reports it.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Fault {
    #[error("it ends too early")]
    Truncated,
    #[error("{found} bytes follow its end")]
    Trailing { found: usize },
    #[error("record version {found}; this program reads {VERSION}")]
    Version { found: u8 },
    #[error("kind {found} is unknown")]
    Kind { found: u8 },
    #[error("flags {found:#04x} are unknown")]
    Flags { found: u8 },
    #[error("a length of {found} is out of bounds")]
    Length { found: u64 },
    #[error("an element stands there twice")]
    Twice,
    #[error("a score is no number")]
    Score,
    #[error("a stream has no such {found}")]
    Stream { found: &'static str },
    #[error("the content's digest is {found:032x}, expected {expected:032x}")]
    Digest { expected: Digest, found: Digest },
    #[error("the key of a record is too short or has no slot")]
    Key,
}

/// Type and encoding of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    String = 1,
    PackedList = 2,
    Quicklist = 3,
    Intset = 4,
    PackedSet = 5,
    TableSet = 6,
    PackedHash = 7,
    TableHash = 8,
    PackedZSet = 9,
    IndexedZSet = 10,
    Stream = 11,
}

impl Kind {
    const ALL: [Kind; 11] = [
        Kind::String,
        Kind::PackedList,
        Kind::Quicklist,
        Kind::Intset,
        Kind::PackedSet,
        Kind::TableSet,
        Kind::PackedHash,
        Kind::TableHash,
        Kind::PackedZSet,
        Kind::IndexedZSet,
        Kind::Stream,
    ];

    pub fn of(value: ValueRef<'_>) -> Kind {
        let ValueRef::Object(object) = value else { return Kind::String };
        match object {
            Object::List(list) if list.encoding() == Encoding::Quicklist => Kind::Quicklist,
            Object::List(_) => Kind::PackedList,
            Object::Set(set) => match set.encoding() {
                Encoding::Intset => Kind::Intset,
                Encoding::Hashtable => Kind::TableSet,
                Encoding::Listpack | Encoding::Quicklist => Kind::PackedSet,
            },
            Object::Hash(hash) if hash.encoding() == Encoding::Hashtable => Kind::TableHash,
            Object::Hash(_) => Kind::PackedHash,
            Object::ZSet(zset) if zset.is_indexed() => Kind::IndexedZSet,
            Object::ZSet(_) => Kind::PackedZSet,
            Object::Stream(_) => Kind::Stream,
        }
    }

    fn read(found: u8) -> Result<Kind, Fault> {
        Kind::ALL.into_iter().find(|kind| *kind as u8 == found).ok_or(Fault::Kind { found })
    }
}

/// A root, read but for its content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Root<'a> {
    pub kind: Kind,
    /// What the entry adds to the sum of its generation.
    pub contribution: Digest,
    /// Unix time in ms from which the key is dead.
    pub deadline_ms: Option<i64>,
    /// Fields of the hash have deadlines: each is followed by a place for its own.
    pub field_deadlines: bool,
    pub body: Body<'a>,
}

/// Where the content is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body<'a> {
    Inline(&'a [u8]),
    Parts(Parts),
}

/// Content in parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parts {
    pub blob: u64,
    pub count: u32,
    /// Bytes of content in all parts together.
    pub bytes: u64,
}

impl Body<'_> {
    pub fn content_bytes(&self) -> u64 {
        match self {
            Body::Inline(bytes) => bytes.len() as u64,
            Body::Parts(parts) => parts.bytes,
        }
    }
}

impl<'a> Root<'a> {
    /// Reads a root.
    pub fn decode(bytes: &'a [u8]) -> Result<Root<'a>, Fault> {
        let (head, rest) = bytes.split_first_chunk::<HEAD_BYTES>().ok_or(Fault::Truncated)?;
        let &[version, kind, flags, _, ref contribution @ ..] = head;
        if version != VERSION {
            return Err(Fault::Version { found: version });
        }
        if flags & !FLAGS != 0 {
            return Err(Fault::Flags { found: flags });
        }
        let (deadline_ms, rest) = decode_deadline(flags, rest)?;
        let body = if flags & PARTS == 0 { Body::Inline(rest) } else { Body::Parts(Parts::decode(rest)?) };
        Ok(Root {
            kind: Kind::read(kind)?,
            contribution: Digest::from_le_bytes(*contribution),
            deadline_ms,
            field_deadlines: flags & FIELD_DEADLINES != 0,
            body,
        })
    }

    /// Appends the root's bytes.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let deadline = if self.deadline_ms.is_some() { DEADLINE } else { 0 };
        let fields = if self.field_deadlines { FIELD_DEADLINES } else { 0 };
        let parts = if matches!(self.body, Body::Parts(_)) { PARTS } else { 0 };
        out.extend([VERSION, self.kind as u8, deadline | fields | parts, 0]);
        out.extend(self.contribution.to_le_bytes());
        out.extend(self.deadline_ms.iter().flat_map(|deadline_ms| deadline_ms.to_le_bytes()));
        match &self.body {
            Body::Inline(content) => out.extend_from_slice(content),
            Body::Parts(parts) => parts.encode(out),
        }
    }
}

fn decode_deadline(flags: u8, rest: &[u8]) -> Result<(Option<i64>, &[u8]), Fault> {
    if flags & DEADLINE == 0 {
        return Ok((None, rest));
    }
    let (deadline_ms, rest) = rest.split_first_chunk().ok_or(Fault::Truncated)?;
    Ok((Some(i64::from_le_bytes(*deadline_ms)), rest))
}

impl Parts {
    const BYTES: usize = 20;

    fn decode(bytes: &[u8]) -> Result<Parts, Fault> {
        let (head, rest) = bytes.split_first_chunk::<{ Parts::BYTES }>().ok_or(Fault::Truncated)?;
        if !rest.is_empty() {
            return Err(Fault::Trailing { found: rest.len() });
        }
        let [blob @ .., _, _, _, _, _, _, _, _, _, _, _, _] = *head;
        let [_, _, _, _, _, _, _, _, a, b, c, d, bytes @ ..] = *head;
        let parts = Parts {
            blob: u64::from_le_bytes(blob),
            count: u32::from_le_bytes([a, b, c, d]),
            bytes: u64::from_le_bytes(bytes),
        };
        let most = u64::from(parts.count) * PART_BYTES as u64;
        if parts.bytes > most { Err(Fault::Length { found: parts.bytes }) } else { Ok(parts) }
    }

    fn encode(&self, out: &mut Vec<u8>) {
        out.extend(self.blob.to_le_bytes());
        out.extend(self.count.to_le_bytes());
        out.extend(self.bytes.to_le_bytes());
    }
}

/// The key of a root: generation, slot, and the entry's key.
pub fn root_key(generation: Generation, slot: Slot, key: &[u8]) -> Box<[u8]> {
    [&slot_prefix(generation, slot)[..], key].concat().into()
}

/// What the keys of all roots of one slot begin with.
pub fn slot_prefix(generation: Generation, slot: Slot) -> [u8; KEY_PREFIX_BYTES] {
    let mut prefix = [0; KEY_PREFIX_BYTES];
    prefix[..8].copy_from_slice(&generation.0.to_be_bytes());
    prefix[8..].copy_from_slice(&(slot.number() as u16).to_be_bytes());
    prefix
}

/// Takes a root's key apart: generation, slot, and the entry's key.
pub fn split_root_key(bytes: &[u8]) -> Result<(Generation, Slot, &[u8]), Fault> {
    let (generation, rest) = bytes.split_first_chunk::<8>().ok_or(Fault::Key)?;
    let (slot, key) = rest.split_first_chunk::<2>().ok_or(Fault::Key)?;
    let slot = Slot::new(usize::from(u16::from_be_bytes(*slot))).ok_or(Fault::Key)?;
    Ok((Generation(u64::from_be_bytes(*generation)), slot, key))
}

/// The key of a part: generation, blob, and the part's number.
pub fn part_key(generation: Generation, blob: u64, part: u32) -> [u8; 20] {
    let mut key = [0; 20];
    key[..8].copy_from_slice(&generation.0.to_be_bytes());
    key[8..16].copy_from_slice(&blob.to_be_bytes());
    key[16..].copy_from_slice(&part.to_be_bytes());
    key
}
