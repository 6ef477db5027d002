//! Everything that backups and restores can refuse or fail at, in words for the operator who reads them at night.

use std::io;
use std::path::{Path, PathBuf};

use perdura_wal::WalError;
use thiserror::Error;

use super::inventory::Span;
use crate::calendar::utc_text;
use crate::checkpoint::error::CheckpointError;
use crate::config::backup_url::InvalidUrl;
use crate::replay::{Difference, ReplayError};
use crate::shard::log_reads::LogReadError;

pub type Result<T, E = BackupError> = std::result::Result<T, E>;

#[derive(Debug, Error)]
pub enum BackupError {
    #[error(
        "the members of a group have to be restored to one entry: run this on each machine with --to-index {last}, the newest that can \
         be restored now, or with an earlier one"
    )]
    NoCommonTarget { last: u64 },
    #[error(transparent)]
    Url(#[from] InvalidUrl),
    /// The store failed a call, after its own attempts to repeat it.
    #[error("{name}: could not {operation} it: {source}")]
    Store { operation: &'static str, name: String, source: object_store::Error },
    #[error("could not {operation} {}: {source}", path.display())]
    Io { operation: &'static str, path: PathBuf, source: io::Error },
    #[error("{url}: there is no backup; is its disk or share mounted? (`perdura backup init` begins one)")]
    NoRepository { url: String },
    /// A backup that this node has shipped to.
    #[error(
        "{url}: the backup (repository {repository_id:016x}) is not there, and nothing is written there until it is: mount its disk \
         or share again; to begin another backup in its place, run `perdura backup init --at {url} --addr ADDRESS`"
    )]
    Gone { url: String, repository_id: u64 },
    /// Something took the place of an open repository.
    #[error(
        "{url}: the backup there is another (repository {found:016x}) than a moment ago ({expected:016x})"
    )]
    OtherRepository { url: String, expected: u64, found: u64 },
    /// A copy is to go where something else is.
    #[error(
        "{url}: the backup there (repository {found:016x}) is no copy of repository {source_id:016x}: give the copy a place of its own"
    )]
    NoCopy { url: String, found: u64, source_id: u64 },
    /// A member of a group does not know whether there was one.
    #[error(
        "{url}: there is no backup, and this log does not go back to the first entry, so that others may have shipped there: mount the \
         backup's disk or share, or begin one with `perdura backup init --at {url} --addr ADDRESS`"
    )]
    NotBegun { url: String },
    /// An object of the repository is not what was written.
    #[error("{name} is damaged: {damage}")]
    Damaged { name: String, damage: Damage },
    #[error("the backup belongs to {stored}, but this is {own}")]
    OtherOwner { stored: String, own: String },
    #[error("the backup is encrypted: a key file is needed")]
    KeyNeeded,
    #[error("the backup is not encrypted, and a key file was given: nothing would be encrypted by it")]
    KeyNotNeeded,
    #[error("this is not the key that the backup was begun with")]
    WrongKey,
    #[error("the key file must hold 64 hexadecimal digits: {reason}")]
    KeyFile { reason: String },
    /// Two histories under one name: for example a node that was set back to an old copy of its folder.
    #[error(
        "entry {index} of this log is another than the backup's; the histories have parted, and the backup needs a new place"
    )]
    OtherHistory { index: u64 },
    #[error(
        "the backup has entries up to {backup}, this log ends with {log}: it may be behind, or set back to an older state"
    )]
    Behind { backup: u64, log: u64 },
    #[error(
        "the log begins with entry {first_index}, the backup goes on with {next}, and there is no checkpoint to close the gap"
    )]
    Gap { next: u64, first_index: u64 },
    /// What was asked for is not in the backup.
    #[error("{wanted} is not in the backup, which holds {}{}{way_out}", held(spans), if way_out.is_empty() { "" } else { "; " })]
    NotHeld { wanted: String, spans: Vec<Span>, way_out: String },
    /// What was asked for can't be restored without objects that are damaged.
    #[error("{damaged}: {wanted} can't be restored without it. {way_out}")]
    Lost { damaged: String, wanted: String, way_out: String },
    #[error("{wanted}: nothing had been written by then. {way_out}")]
    NothingYet { wanted: String, way_out: String },
    #[error("entries {first} to {last} are missing from the backup")]
    Missing { first: u64, last: u64 },
    #[error("{}: it is not empty", dir.display())]
    NotEmpty { dir: PathBuf },
    #[error(
        "replayed up to checkpoint {index}, database {} holds {} keys with digest {:032x}; the checkpoint has {} with {:032x}",
        difference.db, difference.replayed.keys, difference.replayed.digest,
        difference.recorded.keys, difference.recorded.digest
    )]
    Differs { index: u64, difference: Difference },
    #[error(transparent)]
    Replay(#[from] ReplayError),
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    #[error("the log: {0}")]
    Log(#[from] WalError),
    #[error("the log: {0}")]
    LogRead(#[from] LogReadError),
    #[error("the identity: {0}")]
    Identity(#[from] crate::raft::identity::IdentityError),
    #[error("no runtime for the network: {0}")]
    Runtime(#[source] io::Error),
    /// A running node that was asked for its log or its checkpoint.
    #[error("{reason}")]
    Node { reason: String },
    /// Another node goes on.
    #[error("this node is not the primary any more")]
    Handover,
}

/// What is wrong with an object.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Damage {
    #[error("it is missing")]
    Missing,
    /// Of a checkpoint.
    #[error("it lacks {missing} of its pieces")]
    Pieces { missing: usize },
    #[error("it does not begin as it must")]
    Header,
    #[error("format version {found}; this program reads up to {supported}")]
    Version { found: u32, supported: u32 },
    #[error("it has {found} bytes, expected {expected}")]
    Length { expected: u64, found: u64 },
    /// It was not read, or not decompressed.
    #[error("it has {bytes} bytes, and can have {most} at most")]
    TooLong { bytes: u64, most: u64 },
    #[error("its checksum is {found:032x}, expected {expected:032x}")]
    Checksum { expected: u128, found: u128 },
    #[error("it can't be decrypted with this key")]
    Sealed,
    #[error("it is encrypted, and the backup is not; or the other way round")]
    Mixed,
    #[error("{reason}")]
    Content { reason: String },
    #[error("it does not follow what is before it: entry {index} there is another")]
    Chain { index: u64 },
}

impl BackupError {
    pub fn io(operation: &'static str, path: &Path) -> impl FnOnce(io::Error) -> BackupError {
        move |source| BackupError::Io { operation, path: path.to_owned(), source }
    }

    pub(super) fn damaged(name: &str, damage: Damage) -> BackupError {
        BackupError::Damaged { name: name.to_owned(), damage }
    }

    /// Whether an object is worth nothing as it is. One of a newer version is sound, and a newer program's.
    pub fn is_worthless_object(&self) -> bool {
        matches!(self, BackupError::Damaged { damage, .. } if !matches!(damage, Damage::Version { .. }))
    }

    /// Whether it says that what was backed up, or is to be, is not what was written.
    pub fn is_damage(&self) -> bool {
        match self {
            BackupError::Damaged { .. }
            | BackupError::Missing { .. }
            | BackupError::Differs { .. }
            | BackupError::Lost { .. } => true,
            BackupError::Checkpoint(error) | BackupError::Replay(ReplayError::Checkpoint(error)) => {
                error.is_damage()
            }
            BackupError::Replay(_) => true,
            BackupError::Log(error) => error.is_damage(),
            _ => false,
        }
    }
}

impl Damage {
    pub(super) fn content(reason: impl ToString) -> Damage {
        Damage::Content { reason: reason.to_string() }
    }
}

fn held(spans: &[Span]) -> String {
    let text = |span: &Span| {
        let (from, to) = (utc_text(span.first_ms), utc_text(span.last_ms));
        format!("indexes {} to {} ({from} to {to})", span.first, span.last)
    };
    match spans {
        [] => "nothing that can be restored".to_owned(),
        spans => spans.iter().map(text).collect::<Vec<_>>().join(", "),
    }
}
