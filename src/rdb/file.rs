//! Whole RDB files: a parser that is handed bytes as they come and yields keys, and a writer.
//!
//! ```text
//! file      "REDIS" version:4 digits, or "VALKEY" version:3 digits; record* FF crc64:u64 (from version 5 on; 0: none)
//! record    FA string string           something about the file          FE length        the database of what follows
//!           FB length length           how many keys it will hold         F4 length{3}     the same of a slot
//!           FD seconds:i32 | FC ms:i64 the deadline of the next key       F8 length | F9 u8  how it was used
//!           F5 string                  a library of functions             F7 length{3} …   what a module keeps beside keys
//!           F3 string n (length length){n}   slots that were being imported
//!           type key:string value      a key
//! ```
//!
//! - Versions 1 to 12 of Redis are read, and those of Valkey from 80 on, as far as they have types that are known here.
//! - No length that a file claims allocates anything: bytes are kept as they come. What is kept is a value that is not yet whole, or
//!   the part of it that is handed out next.
//! - A collection of more than [`MOST_WHOLE_BYTES`] is handed out in parts, each of which is a value of its type. Streams, strings and
//!   packed collections are always whole; those of more than [`MOST_BYTES`] are passed over.
//! - Every error says at which byte.
//!
//! Source: `rdb.c` of Redis and Valkey; <https://rdb.fnordig.de/file_format.html>.

mod parser;
#[cfg(test)]
mod tests;
mod writer;

use thiserror::Error;

use super::RdbError;
pub use parser::{FileRecord, KeyUsage, Parser, ValuePart};
pub use writer::FileWriter;

/// Longer collections come in parts.
pub const MOST_WHOLE_BYTES: usize = 32 << 20;
/// The parts after the first are about this long.
pub const PART_BYTES: usize = 4 << 20;
/// No string is longer; what else has to be whole and is longer is passed over.
pub const MOST_BYTES: usize = 513 << 20;

/// The versions that are read.
pub const VERSIONS: [std::ops::RangeInclusive<u16>; 2] = [1..=super::MAX_VERSION, super::VALKEY_VERSION..=99];

mod opcode {
    pub const SLOT_IMPORT: u8 = 0xF3;
    pub const SLOT_INFO: u8 = 0xF4;
    pub const FUNCTION: u8 = 0xF5;
    pub const MODULE_AUX: u8 = 0xF7;
    pub const IDLE: u8 = 0xF8;
    pub const FREQUENCY: u8 = 0xF9;
    pub const AUX: u8 = 0xFA;
    pub const RESIZE_DB: u8 = 0xFB;
    pub const DEADLINE_MS: u8 = 0xFC;
    pub const DEADLINE_S: u8 = 0xFD;
    pub const SELECT_DB: u8 = 0xFE;
    pub const END: u8 = 0xFF;
}

/// Why a file can't be read on.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("at byte {offset}: {fault}")]
pub struct FileError {
    pub offset: u64,
    pub fault: FileFault,
}

/// What is wrong with a file.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum FileFault {
    #[error("it does not begin as an RDB file does")]
    Magic,
    #[error("its version is {0}; versions 1 to 12 of Redis and Valkey's from 80 on can be read")]
    Version(String),
    #[error("it ends early")]
    Truncated,
    #[error("an unknown record, {0}")]
    Opcode(u8),
    #[error("the key \"{key}\" is of type {kind}, which is not known here")]
    UnknownType { kind: u8, key: String },
    #[error("{0}")]
    Malformed(RdbError),
    #[error("the checksum of the file is {found:016x}, its bytes have {expected:016x}")]
    Checksum { expected: u64, found: u64 },
    #[error(
        "bytes follow the end of the file: what an append-only file has after its RDB part can't be imported"
    )]
    Trailing,
}
