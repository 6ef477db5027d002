//! Why a command of an operator could not do what it was to do, and the exit code that says so.
//!
//! `log`, `checkpoint`, `digest`, `backup`, `restore`, `import` and `export` have the same codes, so that scripts need to know them once.

use std::io::{self, Write};
use std::process::ExitCode;

use perdura_wal::WalError;
use thiserror::Error;

use super::connection::AskError;
use super::{MISTAKE, complain};
use crate::backup::error::BackupError;
use crate::checkpoint::error::CheckpointError;
use crate::config::ConfigError;

/// All is well.
pub const GOOD: u8 = 0;
/// Something is damaged, or two that should be equal are not.
pub const DAMAGE: u8 = 1;
/// A running node has the folder.
const IN_USE: u8 = 3;
/// There is nothing, or it can't be read.
pub const UNREADABLE: u8 = 4;

#[derive(Debug, Error)]
pub enum Failure {
    #[error("{0}")]
    Mistake(String),
    #[error("{folder}: {error}")]
    Log { folder: String, error: WalError },
    #[error("{folder}: a running node has it; stop that node, or ask it itself where the command has --addr")]
    InUse { folder: String },
    #[error(
        "{folder}: a running node has it, and reads it again by itself (perdura_damage_found in its INFO counts what it finds); stop \
         that node to verify it now, or verify its checkpoints by `perdura checkpoint verify --addr`"
    )]
    Verified { folder: String },
    #[error("{folder}: there is no log; --dir names the folder that `perdura serve` was given")]
    NoLog { folder: String },
    #[error("{folder}: {source}")]
    Folder { folder: String, source: io::Error },
    #[error("{0}")]
    Checkpoint(#[from] CheckpointError),
    #[error("{0}")]
    Backup(#[from] BackupError),
    #[error("{0}")]
    Config(#[from] ConfigError),
    #[error("{addr}: {error}")]
    Node { addr: String, error: AskError },
    /// What was given to be read is damaged, in words.
    #[error("{0}")]
    Damage(String),
    /// What was to be done could not be, in words.
    #[error("{0}")]
    Failed(String),
    #[error("standard output: {0}")]
    Output(#[from] io::Error),
}

impl Failure {
    fn exit_code(&self) -> u8 {
        match self {
            Failure::Mistake(_) | Failure::Config(_) => MISTAKE,
            Failure::Backup(BackupError::Log(WalError::InUse)) => IN_USE,
            Failure::Backup(
                BackupError::Url(_) | BackupError::NotHeld { .. } | BackupError::NothingYet { .. },
            ) => MISTAKE,
            Failure::Backup(error) if error.is_damage() => DAMAGE,
            Failure::Log { error, .. } if error.is_damage() => DAMAGE,
            Failure::Checkpoint(error) if error.is_damage() => DAMAGE,
            Failure::Damage(_) => DAMAGE,
            Failure::InUse { .. } | Failure::Verified { .. } => IN_USE,
            // Whoever reads the answer has seen enough of it.
            Failure::Output(error) if error.kind() == io::ErrorKind::BrokenPipe => GOOD,
            _ => UNREADABLE,
        }
    }
}

/// Ends a command that has written its answer to `out`.
pub fn end(done: Result<u8, Failure>, mut out: impl Write) -> ExitCode {
    let done = done.and_then(|code| Ok(out.flush().map(|()| code)?));
    ExitCode::from(done.unwrap_or_else(|failure| {
        let code = failure.exit_code();
        if code != GOOD {
            complain(failure);
        }
        code
    }))
}

/// Writes a value as one line of JSON.
pub fn write_json(out: &mut impl Write, value: &impl serde::Serialize) -> Result<(), Failure> {
    serde_json::to_writer(&mut *out, value).map_err(io::Error::from)?;
    Ok(writeln!(out)?)
}
