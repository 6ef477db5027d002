//! Space that is kept for the checkpoint which frees a disk that the log itself has filled.
//!
//! - Without it such a disk is stuck: the log is cut after a checkpoint, and there is no space for one. So a file of a segment's size stands in
//!   the data folder, and holds nothing.
//! - As soon as the log finds no space for its next segment, a checkpoint begins and the file is removed for it. Until that checkpoint
//!   has ended the log takes none of the space.
//! - That checkpoint is the only one that stays, so that all of the log before it can go. In a group `log-keep-bytes` stay all the same.
//! - The file is made again once the log has space.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use perdura_wal::RealDisk;
use rustix::fs::{FallocateFlags, fallocate};

use super::checkpoints::Checkpoints;
use crate::data_folder::BALLAST_FILE;
use crate::env::Now;
use crate::persistence::Persistence;
use crate::shard::turn::Shard;

/// Between two tries to make the file.
const MAKE_RETRY_MS: u64 = 10_000;
/// Between two checkpoints that it is given up for, where the first made no space; and after the log had space again.
const GIVE_RETRY_MS: u64 = 60_000;
const GIVE_AGAIN_MS: u64 = 1_000;

#[derive(Debug)]
pub struct Ballast {
    path: PathBuf,
    bytes: u64,
    is_there: bool,
    /// A checkpoint has been asked for, and the log waits for its end.
    is_given: bool,
    next_make_ms: u64,
    next_give_ms: u64,
}

impl Ballast {
    pub fn new(dir: &Path, bytes: u64) -> Ballast {
        let path = dir.join(BALLAST_FILE);
        Ballast { path, bytes, is_there: false, is_given: false, next_make_ms: 0, next_give_ms: 0 }
    }

    /// Makes the file, or gives it up for a checkpoint, as the log's space is.
    pub fn turn(
        &mut self,
        shard: &mut Shard<RealDisk>,
        checkpoints: &mut Checkpoints,
        persistence: &Persistence,
        now: Now,
    ) {
        if self.is_given {
            if !persistence.is_busy() {
                self.is_given = false;
                shard.node_mut().storage_mut().hold_preparing(false);
            }
            return;
        }
        let is_short = shard.node().log_space().is_short;
        if !is_short {
            self.next_give_ms = self.next_give_ms.min(now.monotonic_ms + GIVE_AGAIN_MS);
            self.make(now.monotonic_ms);
        } else if now.monotonic_ms >= self.next_give_ms && checkpoints.would_free_log(shard) {
            self.next_give_ms = now.monotonic_ms + GIVE_RETRY_MS;
            self.give(shard, checkpoints, persistence);
        }
    }

    fn make(&mut self, now_ms: u64) {
        if self.is_there || now_ms < self.next_make_ms {
            return;
        }
        self.next_make_ms = now_ms + MAKE_RETRY_MS;
        match self.allocate() {
            Ok(()) => self.is_there = true,
            Err(error) => {
                tracing::debug!(%error, "no space can be kept for a checkpoint on a full disk");
                // What was made of it would only be in the way.
                let _ = std::fs::remove_file(&self.path);
            }
        }
    }

    fn allocate(&self) -> io::Result<()> {
        let file: File =
            OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(&self.path)?;
        Ok(fallocate(&file, FallocateFlags::empty(), 0, self.bytes)?)
    }

    fn give(
        &mut self,
        shard: &mut Shard<RealDisk>,
        checkpoints: &mut Checkpoints,
        persistence: &Persistence,
    ) {
        if !persistence.ask() {
            return;
        }
        tracing::warn!("the disk is full: a checkpoint begins, so that the log can be cut");
        self.is_given = true;
        checkpoints.be_frugal();
        shard.node_mut().storage_mut().hold_preparing(true);
        if self.is_there {
            self.is_there = false;
            if let Err(error) = std::fs::remove_file(&self.path) {
                tracing::warn!(%error, "the space that was kept for it can't be freed");
            }
        }
    }
}
