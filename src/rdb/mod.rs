//! RDB: values as Redis writes them into its files and as DUMP answers them, and whole files (`file.rs`): the bytes, no input or output.
//!
//! ```text
//! payload   type:u8 value version:u16 crc64:u64                   numbers little-endian, the CRC over all before it
//! string    length bytes | a special length and an integer or LZF (`string.rs`)
//! value     string                                                 type 0
//!           length (string)*                                       types 1 (list), 2 (set)
//!           length (string string)*                                type 4 (hash)
//!           length (string score:f64)*                             type 5 (sorted set)
//!           earliest_ms:i64 length (ttl:length string string)*     type 24 (hash whose fields have deadlines)
//!           string that holds a listpack, ziplist or intset        the other types that are read (`kind.rs`)
//!           nodes, what is remembered, groups                      types 15, 19, 21 (stream; `stream.rs`)
//! ```
//!
//! - Every form is read that Redis 2.6 to 8.2 and Valkey up to 8 write for the types that Perdura has. Written are the plain
//!   forms alone: they say nothing about encodings, which the reader chooses by its own limits, and they need the lowest
//!   version. What is written here can be restored by Redis from 5.0 on; streams need Redis 7.0,
//!   field deadlines Redis 7.4.
//! - What is read decides the value, and nothing else does but the limits of the types: apply may read.
//! - A payload comes from outside. A count that it announces is believed element by element, a length only as far as there
//!   are bytes; what is compressed grows 88 times
//!   at most, and to 1 GiB in all.
//! - Reading is strict: elements that come twice, half a pair, an empty collection and bytes left over are errors.
//!
//! It stands between the commands, which use it, and the keyspace, whose values it takes apart and builds.
//!
//! Source: `rdb.c`, `listpack.c`, `ziplist.c` and `intset.c` of Redis describe themselves in their opening comments; also
//! <https://rdb.fnordig.de/file_format.html>.

mod bound;
pub mod file;
mod functions;
mod input;
mod intset;
mod kind;
mod listpack;
mod load;
mod lzf;
mod save;
mod sequence;
mod shape;
mod stream;
mod string;
#[cfg(test)]
mod tests;
mod ziplist;
mod zipmap;

use crc::{CRC_64_REDIS, Crc, Table};
use thiserror::Error;

use crate::keyspace::types::limits::TypeLimits;
use crate::keyspace::value::{Object, ValueRef};
pub use bound::{Bound, bound};
pub use functions::{dump_libraries, load_libraries};
use input::Input;

/// Longest string that is read (`proto-max-bulk-len`).
const MAX_STRING_BYTES: usize = 512 << 20;

/// Most bytes that the compressed strings of one payload may unpack to.
const MAX_UNPACKED_BYTES: usize = 1 << 30;

/// The newest version that is read: that of Redis 7.4 to 8.2.
const MAX_VERSION: u16 = 12;

/// Versions from here on are Valkey's.
const VALKEY_VERSION: u16 = 80;

const VERSION_BYTES: usize = 2;
const CRC_BYTES: usize = 8;

static CRC: Crc<u64, Table<16>> = Crc::<u64, Table<16>>::new(&CRC_64_REDIS);

/// A value without a key.
#[derive(Debug)]
pub enum Value {
    String(Vec<u8>),
    Object(Object),
}

/// Why a payload can't be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum RdbError {
    #[error("the payload is of a newer version, or its checksum does not fit")]
    Footer,
    #[error("the payload ends in the middle of something")]
    Truncated,
    #[error("the payload holds a value of type {0}, which is not known here")]
    UnknownType(u8),
    #[error("the payload is malformed: {0}")]
    Malformed(&'static str),
}

pub type Result<T> = std::result::Result<T, RdbError>;

/// The payload that DUMP answers.
pub fn dump(value: ValueRef<'_>) -> Vec<u8> {
    let mut out = begun(value, usize::MAX);
    let version = save::write_value(&mut out, value, usize::MAX);
    finish(&mut out, version);
    out
}

/// As [`dump`]; `None` for a payload of more than `most` bytes, of which no more is made than an element beyond that.
pub fn dump_within(value: ValueRef<'_>, most: usize) -> Option<Vec<u8>> {
    let mut out = begun(value, most);
    let version = save::write_value(&mut out, value, most);
    if out.len() > most {
        return None;
    }
    finish(&mut out, version);
    Some(out)
}

/// With room for a string in one piece, where it may be dumped: a payload that grows by doubling takes up to twice its bytes.
fn begun(value: ValueRef<'_>, most: usize) -> Vec<u8> {
    const FRAME_BYTES: usize = 32;
    match value {
        ValueRef::String(text) if text.len() <= most => Vec::with_capacity(text.len() + FRAME_BYTES),
        ValueRef::String(_) | ValueRef::Object(_) => Vec::new(),
    }
}

fn finish(out: &mut Vec<u8>, version: u16) {
    out.extend_from_slice(&version.to_le_bytes());
    let crc = CRC.checksum(out);
    out.extend_from_slice(&crc.to_le_bytes());
}

/// What follows a body in the payload that RESTORE takes.
pub fn footer(body: &[u8]) -> [u8; VERSION_BYTES + CRC_BYTES] {
    let version = MAX_VERSION.to_le_bytes();
    let mut crc = CRC.digest();
    crc.update(body);
    crc.update(&version);
    let mut footer = [0; VERSION_BYTES + CRC_BYTES];
    footer[..VERSION_BYTES].copy_from_slice(&version);
    footer[VERSION_BYTES..].copy_from_slice(&crc.finalize().to_le_bytes());
    footer
}

/// A payload of these bytes, whatever they are.
#[cfg(test)]
pub fn with_footer(body: &[u8], version: u16) -> Vec<u8> {
    let mut out = body.to_vec();
    finish(&mut out, version);
    out
}

/// The value of a payload, its encoding chosen by `limits`.
pub fn load(payload: &[u8], limits: &TypeLimits) -> Result<Value> {
    let mut input = Input::new(checked(payload)?);
    let value = load::read_value(&mut input, limits)?;
    if !input.is_empty() {
        return Err(RdbError::Malformed("bytes behind the value"));
    }
    Ok(value)
}

/// The value of a body as a file of some version holds it.
pub fn load_body(body: &[u8], version: u16, limits: &TypeLimits) -> Result<Value> {
    let mut input = Input::new(body);
    let value = load::read_value_of_file(&mut input, version, limits)?;
    if !input.is_empty() {
        return Err(RdbError::Malformed("bytes behind the value"));
    }
    Ok(value)
}

/// Whether RESTORE takes a body of a file as it is; what it does not take has to be loaded and written again.
pub fn is_restorable(body: &[u8]) -> bool {
    !matches!(body.first(), None | Some(&(kind::HASH_ZIPMAP | kind::HASH_VALKEY)))
}

/// What comes before the footer, which must be right.
fn checked(payload: &[u8]) -> Result<&[u8]> {
    let (covered, crc) = payload.split_last_chunk::<CRC_BYTES>().ok_or(RdbError::Footer)?;
    let (body, version) = covered.split_last_chunk::<VERSION_BYTES>().ok_or(RdbError::Footer)?;
    let readable = u16::from_le_bytes(*version) <= MAX_VERSION;
    let whole = readable && CRC.checksum(covered) == u64::from_le_bytes(*crc);
    whole.then_some(body).ok_or(RdbError::Footer)
}
