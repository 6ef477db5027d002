//! What a node's data folder takes of its disk, and what the disk still has.
//!
//! A thread of its own measures now and then and reports here: a disk that stands still delays no reader of the last numbers.

use std::collections::HashSet;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use parking_lot::Mutex;

use crate::data_folder::{CHECKPOINT_FOLDER, LOG_FOLDER};

/// Bytes of a block in what the kernel tells of a file.
const STAT_BLOCK_BYTES: u64 = 512;

/// Bytes on the disk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DiskUsage {
    /// Of the log's segments, those that wait to be used included.
    pub log_bytes: u64,
    /// Of all checkpoints; what they share counts once.
    pub checkpoint_bytes: u64,
    /// Of everything else in the folder: what was set aside, or fetched and not finished.
    pub other_bytes: u64,
    /// Of the file system: what this user may still take, and its size.
    pub free_bytes: u64,
    pub total_bytes: u64,
}

/// The last measurement; none before the first.
#[derive(Debug, Default)]
pub struct Space(Mutex<Option<DiskUsage>>);

impl Space {
    pub fn last(&self) -> Option<DiskUsage> {
        *self.0.lock()
    }

    pub fn tell(&self, usage: DiskUsage) {
        *self.0.lock() = Some(usage);
    }
}

/// Measures a data folder. Files that go away meanwhile are not counted.
pub fn measure(dir: &Path) -> io::Result<DiskUsage> {
    let system = rustix::fs::statvfs(dir)?;
    let mut seen = HashSet::new();
    let log_bytes = taken(&dir.join(LOG_FOLDER), &mut seen);
    let checkpoint_bytes = taken(&dir.join(CHECKPOINT_FOLDER), &mut seen);
    Ok(DiskUsage {
        log_bytes,
        checkpoint_bytes,
        other_bytes: taken(dir, &mut seen),
        free_bytes: system.f_bavail.saturating_mul(system.f_frsize),
        total_bytes: system.f_blocks.saturating_mul(system.f_frsize),
    })
}

/// Bytes of the files under a folder that were not seen before, by their numbers: checkpoints share files by hard links.
fn taken(folder: &Path, seen: &mut HashSet<(u64, u64)>) -> u64 {
    let mut bytes = 0;
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            let Ok(metadata) = entry.metadata() else { continue };
            if metadata.is_dir() {
                folders.push(entry.path());
            } else if seen.insert((metadata.dev(), metadata.ino())) {
                bytes += metadata.blocks() * STAT_BLOCK_BYTES;
            }
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_that_checkpoints_share_count_once() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let path = |name: &str| dir.path().join(name);
        for folder in ["log", "checkpoints/1", "checkpoints/2", "damaged-log"] {
            fs::create_dir_all(path(folder)).expect("a new folder");
        }
        for file in ["log/1.wal", "checkpoints/1/a.sst", "damaged-log/1.wal"] {
            fs::write(path(file), vec![1; 100_000]).expect("a new file");
        }
        fs::hard_link(path("checkpoints/1/a.sst"), path("checkpoints/2/a.sst")).expect("one file system");
        let usage = measure(dir.path()).expect("the folder is there");
        for bytes in [usage.log_bytes, usage.checkpoint_bytes, usage.other_bytes] {
            assert!((100_000..200_000).contains(&bytes), "{usage:?}");
        }
        assert!(usage.free_bytes <= usage.total_bytes);
        assert!(measure(&path("nothing")).is_err());
    }
}
