//! What stands in a data folder beside the log and the checkpoints: the cluster's name, and the mark of an unfinished restore.

use std::fs::DirBuilder;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use thiserror::Error;

/// The log.
pub const LOG_FOLDER: &str = "log";
/// Checkpoints.
pub const CHECKPOINT_FOLDER: &str = "checkpoints";
/// The cluster's name, on one line, where a restore gave it one: what `cluster-name` is unless somebody says otherwise.
pub const CLUSTER_NAME_FILE: &str = "cluster-name";
/// A restore has begun here and is not finished.
pub const RESTORING_FILE: &str = "RESTORING";

const MAX_NAME_BYTES: u64 = 1024;

#[derive(Debug, Error)]
pub enum DataFolderError {
    #[error("{}: a restore was begun here and not finished; run it again, or remove the folder", dir.display())]
    Restoring { dir: PathBuf },
    #[error("{}: {source}", path.display())]
    Io { path: PathBuf, source: io::Error },
    #[error("{}: it does not hold a name", path.display())]
    Name { path: PathBuf },
}

/// Makes a folder for its owner only, with those above it that are missing; one that is there stays as it is.
pub fn create_private(folder: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(folder)
}

/// Refuses a folder that is not whole.
pub fn check_is_whole(dir: &Path) -> Result<(), DataFolderError> {
    match dir.join(RESTORING_FILE).try_exists() {
        Ok(false) => Ok(()),
        Ok(true) => Err(DataFolderError::Restoring { dir: dir.to_owned() }),
        Err(source) => Err(DataFolderError::Io { path: dir.to_owned(), source }),
    }
}

/// The cluster's name that the folder has, if it has one.
pub fn cluster_name(dir: &Path) -> Result<Option<String>, DataFolderError> {
    let path = dir.join(CLUSTER_NAME_FILE);
    match std::fs::metadata(&path) {
        Ok(metadata) if metadata.len() > MAX_NAME_BYTES => return Err(DataFolderError::Name { path }),
        _ => {}
    }
    match std::fs::read_to_string(&path) {
        Ok(text) if !text.trim().is_empty() => Ok(Some(text.trim().to_owned())),
        Ok(_) => Err(DataFolderError::Name { path }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(DataFolderError::Io { path, source }),
    }
}
