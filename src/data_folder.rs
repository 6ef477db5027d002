//! What stands in a data folder beside the log and the checkpoints: the cluster's name, the marks of an unfinished restore or
//! recovery, and what was set aside.

use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

/// The log.
pub const LOG_FOLDER: &str = "log";
/// Checkpoints.
pub const CHECKPOINT_FOLDER: &str = "checkpoints";
/// The cluster's name, on one line, where a restore gave it one: what `cluster-name` is unless somebody says otherwise.
pub const CLUSTER_NAME_FILE: &str = "cluster-name";
/// The backups that the node has shipped to, see `backup::places`.
pub const BACKUP_PLACES_FILE: &str = "backup-places";
/// Nothing, which takes the space that a checkpoint may need on a full disk.
pub const BALLAST_FILE: &str = "ballast";
/// A recovery has begun here and is not finished.
pub const RECOVERING_FILE: &str = "RECOVERING";
/// A restore has begun here and is not finished.
pub const RESTORING_FILE: &str = "RESTORING";

/// How the names begin of what is damaged and set aside.
pub const DAMAGED: &str = "damaged-";
/// How the names begin of folders in which a recovery keeps what was there before.
pub const KEPT_BY_RECOVERY: &str = "before-recovery-";

const MAX_NAME_BYTES: u64 = 1024;

#[derive(Debug, Error)]
pub enum DataFolderError {
    #[error("{}: a restore was begun here and not finished; run it again, or remove the folder", dir.display())]
    Restoring { dir: PathBuf },
    #[error(
        "{}: a recovery was begun here and not finished; run `perdura recover` again, which first puts everything back",
        dir.display()
    )]
    Recovering { dir: PathBuf },
    #[error("{}: {source}", path.display())]
    Io { path: PathBuf, source: io::Error },
    #[error("{}: it does not hold a name", path.display())]
    Name { path: PathBuf },
}

/// Makes a folder for its owner only, with those above it that are missing, so that their names survive a power failure; one that is
/// there stays as it is.
pub fn create_private(folder: &Path) -> io::Result<()> {
    perdura_wal::create_folder(folder)
}

/// Refuses a folder that is not whole.
pub fn check_is_whole(dir: &Path) -> Result<(), DataFolderError> {
    let is_there = |name: &str| {
        let path = dir.join(name);
        path.try_exists().map_err(|source| DataFolderError::Io { path, source })
    };
    if is_there(RESTORING_FILE)? {
        return Err(DataFolderError::Restoring { dir: dir.to_owned() });
    }
    if is_there(RECOVERING_FILE)? {
        return Err(DataFolderError::Recovering { dir: dir.to_owned() });
    }
    Ok(())
}

/// What was set aside in a data folder, by a node or by a recovery. No program removes it: people do, once they have looked at it.
pub fn set_aside(dir: &Path) -> Vec<PathBuf> {
    let folders = [dir.to_owned(), dir.join(LOG_FOLDER), dir.join(CHECKPOINT_FOLDER)];
    let entries = folders.iter().flat_map(|folder| std::fs::read_dir(folder).into_iter().flatten().flatten());
    let paths = entries.filter(|entry| {
        let name = entry.file_name().to_string_lossy().into_owned();
        name.starts_with(DAMAGED) || name.starts_with(KEPT_BY_RECOVERY)
    });
    let mut paths: Vec<PathBuf> = paths.map(|entry| entry.path()).collect();
    paths.sort();
    paths
}

/// The first name that is free in a folder: `name` itself, or with a number after it.
pub fn free_name(folder: &Path, name: &str) -> PathBuf {
    let numbered = (2_u64..).map(|number| folder.join(format!("{name}-{number}")));
    let mut names = std::iter::once(folder.join(name)).chain(numbered);
    names.find(|path| path.symlink_metadata().is_err()).unwrap_or_else(|| folder.join(name))
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
