//! The data folder of a node that does not run, as a source for a backup.
//!
//! Nothing in it is changed, and no node can start on it meanwhile.

use std::path::Path;

use perdura_wal::{LogView, ReadOnlyDisk, Sources};

use super::checkpoint::Lent;
use super::error::{BackupError, Result};
use super::repository::Owner;
use super::ship::{Reading, Source, log_entry};
use crate::checkpoint::shelf::Shelf;
use crate::data_folder::{CHECKPOINT_FOLDER, LOG_FOLDER};
use crate::raft::cluster::Cluster;
use crate::raft::identity::Identity;
use crate::raft::memo::Memo;

pub struct FolderSource {
    view: LogView<ReadOnlyDisk>,
    shelf: Shelf,
    identity: Identity,
    cluster: Cluster,
    log_id: u64,
}

/// Why reading stopped before the end.
enum Stop {
    Enough,
    Log(perdura_wal::WalError),
}

impl From<perdura_wal::WalError> for Stop {
    fn from(error: perdura_wal::WalError) -> Stop {
        Stop::Log(error)
    }
}

impl FolderSource {
    /// Reads and checks the log; `None` if there is none.
    pub fn open(
        dir: &Path,
        progress: &mut dyn FnMut(&perdura_wal::Progress),
    ) -> Result<Option<FolderSource>> {
        let folder = dir.join(LOG_FOLDER);
        let disk = ReadOnlyDisk::open(&folder).map_err(BackupError::io("open", &folder))?;
        let shelf = Shelf::at(&dir.join(CHECKPOINT_FOLDER));
        let mut sources = Sources { progress, checkpoint: &mut || shelf.position_for_log() };
        let Some(view) = LogView::open(disk, &mut sources)? else { return Ok(None) };
        for damage in view.recovery().left_out.iter().flat_map(|left_out| &left_out.damage) {
            tracing::warn!(damage, "old entries of the log are lost, and a checkpoint has what they did");
        }
        let identity = Identity::decode(view.metadata())?;
        let (cluster, log_id) = (Memo::decode(view.metadata()).cluster, view.log_id());
        Ok(Some(FolderSource { view, shelf, identity, cluster, log_id }))
    }

    /// The log's owner, and what older builds took for it.
    pub fn owners(&self) -> (Owner, Owner) {
        let older = Owner::of_older_build(&self.identity, self.log_id);
        (self.cluster.id.known().map_or_else(|| older.clone(), Owner::cluster), older)
    }

    /// The last entry that is known to be committed. A node alone has no other; in a group, what was acknowledged last may
    /// be known to be committed by the others only.
    pub fn last_committed(&self) -> u64 {
        match self.identity.members.len() {
            1 => self.view.last().index,
            _ => self.view.hard_state().commit,
        }
    }
}

impl Source for FolderSource {
    fn read(&mut self, from: u64, max_bytes: u64) -> Result<Reading> {
        let (first_index, last_index) = (self.view.first_index(), self.last_committed());
        let mut reading = Reading { entries: Vec::new(), first_index, last_index };
        if from < first_index || from > last_index {
            return Ok(reading);
        }
        let mut bytes = 0;
        let visited = self.view.visit_entries(from, last_index, |record| {
            bytes += record.payload.len() as u64;
            reading.entries.push(log_entry(record.index, record.term, record.payload));
            if bytes >= max_bytes { Err(Stop::Enough) } else { Ok(()) }
        });
        match visited {
            Ok(()) | Err(Stop::Enough) => Ok(reading),
            Err(Stop::Log(error)) => Err(error.into()),
        }
    }

    fn newest_checkpoint(&mut self) -> Result<Option<Lent>> {
        let (manifest, rejected) = match self.shelf.list() {
            Ok(_) => self.shelf.newest_good(|_| {})?,
            // A node that was never asked for a checkpoint has no folder for them.
            Err(_) => return Ok(None),
        };
        for rejected in rejected {
            tracing::warn!(index = rejected.index, error = %rejected.error, "a checkpoint is damaged: an older one is stored");
        }
        Ok(manifest.map(|manifest| Lent {
            folder: self.shelf.path(manifest.point.index),
            manifest,
            is_temporary: false,
        }))
    }
}
