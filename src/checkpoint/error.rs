//! Everything that checkpoints can refuse or fail at, in words for the operator who reads them at night.

use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

use super::record::Fault;
use crate::keyspace::changes::Generation;
use crate::keyspace::digest::Digest;

pub type Result<T> = std::result::Result<T, CheckpointError>;

/// The operation of a read from a file that is open.
pub(super) const READ: &str = "read";

#[derive(Debug, Error)]
pub enum CheckpointError {
    /// The operating system failed a call.
    #[error("checkpoint: could not {operation} {}: {source}", path.display())]
    Io { operation: &'static str, path: PathBuf, source: io::Error },
    #[error("checkpoint: RocksDB could not {operation}: {source}")]
    Rocks { operation: &'static str, source: rocksdb::Error },
    /// A published file is not what it was when it was published. Nothing has been changed.
    #[error("checkpoint: {} is damaged: {damage}. Nothing was changed", file.display())]
    Damaged { file: PathBuf, damage: Damage },
    /// Files are as they were published, and yet something in them makes no sense.
    #[error("checkpoint: the record of key \"{key}\" is wrong: {fault}")]
    Record { key: String, fault: Fault },
    #[error(
        "checkpoint: generation {} holds {found} keys with digest {found_digest:032x}, \
         expected {expected} with {expected_digest:032x}", generation.0
    )]
    Sum { generation: Generation, expected: u64, found: u64, expected_digest: Digest, found_digest: Digest },
    /// A generation that ended was not dropped.
    #[error("checkpoint: generation {} holds keys and is no database's", generation.0)]
    Orphan { generation: Generation },
    #[error("checkpoint: there is one at index {index} already")]
    Exists { index: u64 },
    #[error("checkpoint: there is none at index {index}")]
    NoSuch { index: u64 },
    /// What another node sent makes no checkpoint.
    #[error("checkpoint: what was fetched can't be used: {reason}")]
    Fetched { reason: String },
    /// The caller has given it up.
    #[error("checkpoint: it was given up before its end")]
    GivenUp,
    /// A run failed or was given up, and the store was not reset.
    #[error("checkpoint: the last one was begun and not finished")]
    Unfinished,
    /// A step of a run was asked for, and no run had begun.
    #[error("checkpoint: none is being written")]
    NoRun,
}

/// What is wrong with a file.
#[derive(Debug, PartialEq, Eq, Error)]
pub enum Damage {
    #[error("it is missing")]
    Missing,
    #[error("it does not belong there")]
    Stray,
    #[error("it has {found} bytes, expected {expected}")]
    Length { expected: u64, found: u64 },
    #[error("its XXH3 is {found:016x}, expected {expected:016x}")]
    Checksum { expected: u64, found: u64 },
    #[error("it does not begin as a manifest does")]
    Header,
    #[error("format version {found}; this program reads up to {supported}")]
    Version { found: u32, supported: u32 },
    #[error("{reason}")]
    Content { reason: String },
}

impl CheckpointError {
    /// Whether what was written is not there as it was written.
    pub fn is_damage(&self) -> bool {
        match self {
            CheckpointError::Damaged { damage, .. } => !matches!(damage, Damage::Version { .. }),
            CheckpointError::Record { .. } | CheckpointError::Sum { .. } | CheckpointError::Orphan { .. } => {
                true
            }
            // The medium does not give back bytes that are there. An EIO of any other call says nothing of what was written.
            CheckpointError::Io { operation, source, .. } => {
                *operation == READ && source.raw_os_error() == Some(libc::EIO)
            }
            _ => false,
        }
    }

    pub(super) fn io(operation: &'static str, path: &Path) -> impl FnOnce(io::Error) -> CheckpointError {
        move |source| CheckpointError::Io { operation, path: path.to_owned(), source }
    }

    pub(super) fn rocks(operation: &'static str) -> impl FnOnce(rocksdb::Error) -> CheckpointError {
        move |source| CheckpointError::Rocks { operation, source }
    }

    pub(super) fn damaged(file: &Path, damage: Damage) -> CheckpointError {
        CheckpointError::Damaged { file: file.to_owned(), damage }
    }

    pub(super) fn record(key: &[u8], fault: Fault) -> CheckpointError {
        CheckpointError::Record { key: key.escape_ascii().to_string(), fault }
    }
}
