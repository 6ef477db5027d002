//! Everything that the log can refuse or fail at, in words for the operator who reads them at night.
//!
//! - Errors are `Clone`: a poisoned log answers every later call with the error that poisoned it.
//! - Misuse (a gap, a payload too long) stages nothing and poisons nothing.

use std::io;
use std::sync::Arc;

use thiserror::Error;

use crate::disk::ReadFailure;
use crate::format::{Fault, MAX_PAYLOAD_BYTES};

const READ: &str = "read";

#[derive(Debug, Clone, Error)]
pub enum WalError {
    /// The operating system failed a call. From a write or a sync, the log is poisoned.
    #[error("log: could not {operation} {file} at byte {offset}: {source}")]
    Io { operation: &'static str, file: String, offset: u64, source: Arc<io::Error> },
    /// Another process holds the folder.
    #[error("log: the folder is in use by another process (its LOCK file is held)")]
    InUse,
    /// The folder is not what it was when the log was opened.
    #[error(
        "log: the folder was removed, moved or replaced while the node ran: {file} and LOCK are not there any more, or are other files. \
         What would be written now would be lost, so the node ends"
    )]
    Displaced { file: String },
    /// There is no log, and none was to be made.
    #[error("log: there is none in the folder")]
    NoLog,
    /// Bytes that were synced are not what was written. Nothing has been changed.
    #[error(
        "log: {file} is damaged at byte {offset}: {fault}. Nothing was changed. \
         An undamaged copy of this very file can take its place (docs/operations.md)"
    )]
    Damaged { file: String, offset: u64, fault: Fault },
    /// A segment between two others, or before the first, is not there.
    #[error("log: segment {missing} is missing (found {found}); entries are lost without it")]
    MissingSegment { missing: String, found: String },
    /// The log went on in segments that are not there.
    #[error(
        "log: the newest segments are missing, from {first} to {last}: the log had gone on in them, and entries are lost without them. \
         Nothing was changed. Put them back; if they are gone, `perdura recover` begins a new cluster with what is left"
    )]
    MissingNewest { first: String, last: String },
    /// The entries begin later than the recorded compactions allow.
    #[error("log: it begins at index {found} in {file}, expected {expected}: older segments are missing")]
    MissingEntries { file: String, expected: u64, found: u64 },
    /// A segment that ends before its header does; segments are full-sized before they get their name.
    #[error("log: {file} has only {bytes} bytes; a segment is never that short")]
    ShortSegment { file: String, bytes: u64 },
    /// A segment of another log.
    #[error("log: {file} belongs to log {found:#018x}, expected {expected:#018x}")]
    Foreign { file: String, expected: u64, found: u64 },
    /// A segment of a later version of this program.
    #[error("log: {file} has format version {found}, this program reads up to {supported}")]
    NewerVersion { file: String, found: u32, supported: u32 },
    /// The hard state says that entries are committed which the log does not have.
    #[error("log: entries up to {commit} are committed, but the log ends at {last}")]
    CommitBeyondLog { commit: u64, last: u64 },
    /// The index is at or below the last compaction.
    #[error("log: index {index} is compacted; the first index is {first}")]
    Compacted { index: u64, first: u64 },
    /// The index is behind the end of the log.
    #[error("log: index {index} is not in the log; the last index is {last}")]
    Unavailable { index: u64, last: u64 },
    /// A staged entry would leave a gap.
    #[error("log: entry {found} does not follow; expected {expected} or lower")]
    Gap { expected: u64, found: u64 },
    /// A staged entry has a lower term than the one before it.
    #[error("log: entry {index} has term {found}, but the one before it has {floor}")]
    TermWentBack { index: u64, floor: u64, found: u64 },
    /// Entries that the hard state calls committed would be cut.
    #[error("log: cutting from {from} would cut committed entries (commit is {commit})")]
    CutsCommitted { from: u64, commit: u64 },
    #[error("log: a payload of {bytes} bytes is too long; the limit is {MAX_PAYLOAD_BYTES}")]
    PayloadTooLong { bytes: usize },
    #[error("log: metadata of {bytes} bytes is too long; the limit is {limit}")]
    MetadataTooLong { bytes: usize, limit: usize },
    /// Commit what is staged first.
    #[error("log: the batch is full ({bytes} bytes staged)")]
    BatchFull { bytes: u64 },
}

impl WalError {
    /// Whether the log itself is at fault: bytes or files are not what they must be, or the medium does not give bytes back.
    /// Otherwise it could not be opened, or was asked for what it can't do.
    pub fn is_damage(&self) -> bool {
        let is_wrong = matches!(
            self,
            WalError::Damaged { .. }
                | WalError::MissingSegment { .. }
                | WalError::MissingNewest { .. }
                | WalError::MissingEntries { .. }
                | WalError::ShortSegment { .. }
                | WalError::Foreign { .. }
                | WalError::CommitBeyondLog { .. }
        );
        is_wrong || self.is_unreadable()
    }

    /// Whether the medium could not read bytes that are there. An EIO of any other call says nothing of what was written.
    pub fn is_unreadable(&self) -> bool {
        let WalError::Io { operation, source, .. } = self else { return false };
        *operation == READ && source.raw_os_error() == Some(libc::EIO)
    }

    /// The finding alone, without advice.
    pub fn finding(&self) -> String {
        match self {
            WalError::Damaged { file, offset, fault } => {
                format!("{file} is damaged at byte {offset}: {fault}")
            }
            WalError::MissingNewest { first, last } => {
                format!("the newest segments are missing, from {first} to {last}")
            }
            error => error.to_string(),
        }
    }

    /// Whether there was no room: no space on the disk, none within a quota, or no file that could still be opened. Nothing is wrong
    /// with what is there, and the same may succeed later.
    pub fn is_no_space(&self) -> bool {
        let WalError::Io { source, .. } = self else { return false };
        matches!(source.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
            || matches!(source.raw_os_error(), Some(libc::EMFILE | libc::ENFILE))
    }

    /// The file that it is about, where it is about one.
    pub fn file(&self) -> Option<&str> {
        match self {
            WalError::Io { file, .. }
            | WalError::Damaged { file, .. }
            | WalError::MissingEntries { file, .. }
            | WalError::ShortSegment { file, .. }
            | WalError::Foreign { file, .. }
            | WalError::NewerVersion { file, .. } => Some(file),
            WalError::MissingSegment { missing, .. } => Some(missing),
            WalError::MissingNewest { first, .. } => Some(first),
            _ => None,
        }
    }

    pub(crate) fn read(file: &str) -> impl FnOnce(ReadFailure) -> WalError {
        let file = file.to_owned();
        move |ReadFailure { offset, source }| WalError::Io {
            operation: READ,
            file,
            offset,
            source: Arc::new(source),
        }
    }

    pub(crate) fn io(operation: &'static str, file: &str, offset: u64) -> impl FnOnce(io::Error) -> WalError {
        let file = file.to_owned();
        move |source| WalError::Io { operation, file, offset, source: Arc::new(source) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn too_many_open_files_are_a_shortage_and_no_failed_write() {
        let shortage =
            |code| WalError::io("open", "0001.log", 0)(io::Error::from_raw_os_error(code)).is_no_space();
        assert!([libc::EMFILE, libc::ENFILE, libc::ENOSPC, libc::EDQUOT].into_iter().all(shortage));
        assert!(![libc::EIO, libc::EACCES, libc::ENOENT].into_iter().any(shortage));
    }
}
