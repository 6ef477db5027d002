//! Opening the data folder: the log is read and checked, the newest whole checkpoint is found, and the one goes on where the other
//! ends. Nothing is loaded yet.
//!
//! - The log comes first: it has the lock. Where an old part of it is damaged it asks for the checkpoint, which then is found
//!   before the log is open: damage to what that holds condemns no log.

use std::fs;
use std::path::Path;

use perdura_wal::{LeftOut, NewLog, Options, Position, Progress, RealDisk, Recovery, Sources, SyncMode, Wal};

use super::ServerError;
use super::open::threads;
use super::repair::Repair;
use crate::checkpoint::CheckpointStore;
use crate::checkpoint::manifest::Point;
use crate::checkpoint::shelf::{Rejected, Shelf};
use crate::checkpoint::store::{RocksStore, StoreConfig};
use crate::config::Config;
use crate::config::value::LogSync;
use crate::data_folder::{self, CHECKPOINT_FOLDER, LOG_FOLDER};
use crate::env::{self, Clock};
use crate::keyspace::types::limits::TypeLimits;
use crate::loading::{Loading, Stage};
use crate::metrics::IntegrityMetrics;
use crate::raft::cluster::ClusterId;
use crate::raft::identity::Identity;
use crate::raft::memo::Memo;
use crate::raft::node::NodeError;
use crate::raft::storage::{check_start, is_new, restart_log_at};

/// A data folder that is being opened.
pub struct Folder<'a> {
    pub config: &'a Config,
    pub identity: &'a Identity,
    pub clock: &'a Clock,
    pub loading: &'a Loading,
    pub integrity: &'a IntegrityMetrics,
}

impl Folder<'_> {
    /// Opens log and checkpoints, so that the one goes on where the other ends.
    pub fn open(&self) -> Result<(Wal<RealDisk>, RocksStore), ServerError> {
        let Folder { config, identity, .. } = *self;
        let repair = Repair::of(config, identity).counting(self.integrity);
        let mut store = None;
        let opened = self.open_log(&mut store);
        if let Some(Err(error)) = store {
            return Err(error);
        }
        let mut wal = match opened {
            Err(error) if repair.set_log_aside(&error)? => self.open_log(&mut store)?,
            opened => opened?,
        };
        let store = store.unwrap_or_else(|| self.open_store())?;
        let newest = store.newest().map(|newest| newest.point.position());
        let cluster = Memo::decode(wal.metadata()).cluster.id;
        let is_own = store.newest().is_none_or(|newest| is_own(&newest.point, cluster, identity));
        let of = ClusterId(store.newest().map_or(0, |newest| newest.point.cluster));
        if is_own {
            repair.mark_loss(&mut wal, of, newest)?;
        }
        finish_adoption(store.shelf(), newest, &mut wal)?;
        if let Err(gap) = check_start(&wal, newest.map_or(0, |newest| newest.index)) {
            let gap: ServerError = NodeError::from(gap).into();
            let is_new = is_new(&wal);
            drop(wal);
            if !is_own || is_new || !repair.set_log_aside(&gap)? {
                return Err(gap);
            }
            wal = self.open_log(&mut None)?;
            repair.mark_loss(&mut wal, of, newest)?;
        }
        self.tell_set_aside();
        Ok((wal, store))
    }

    /// Names what people may remove.
    fn tell_set_aside(&self) {
        let set_aside = data_folder::set_aside(&self.config.dir);
        self.integrity.set_aside.set(set_aside.len() as u64);
        if !set_aside.is_empty() {
            tracing::warn!(
                ?set_aside,
                "these were set aside, and nothing here needs them: look at them, then remove them"
            );
        }
    }

    fn open_store(&self) -> Result<RocksStore, ServerError> {
        let Folder { config, clock, loading, .. } = *self;
        let path = config.dir.join(CHECKPOINT_FOLDER);
        loading.enter(Stage::CheckingCheckpoint);
        // Once to be checked, and once to be loaded.
        loading.expect(2 * newest_bytes(&Shelf::at(&path)));
        let store_config = StoreConfig {
            bytes_per_second: config.checkpoints.bytes_per_second,
            load_threads: threads(),
            limits: TypeLimits::default(),
        };
        let (store, rejected) =
            RocksStore::open_with_progress(&path, store_config, clock.clone(), |bytes| {
                loading.loaded(bytes)
            })?;
        for Rejected { index, error } in rejected {
            tracing::error!(index, %error, "a checkpoint is damaged: an older one is tried");
            self.integrity.found(error.to_string());
        }
        Ok(store)
    }

    /// Opens the log. Where old damage in it asks for the newest checkpoint, `store` is opened on the way, and is there
    /// afterwards.
    fn open_log(
        &self,
        store: &mut Option<Result<RocksStore, ServerError>>,
    ) -> Result<Wal<RealDisk>, ServerError> {
        let Folder { config, identity, loading, .. } = *self;
        loading.enter(Stage::ReadingLog);
        let mode = match config.log_sync {
            LogSync::Dsync => SyncMode::Dsync,
            LogSync::Fdatasync => SyncMode::Fdatasync,
        };
        let disk = RealDisk::open(config.dir.join(LOG_FOLDER), mode)
            .map_err(|source| ServerError::Dir { dir: config.dir.display().to_string(), source })?;
        let log_bytes = bytes_in(&config.dir.join(LOG_FOLDER));
        loading.expect(log_bytes);
        let mut progress = |read: &Progress| {
            let share = read.segments_done as f64 / read.segments.max(1) as f64;
            loading.loaded_up_to((log_bytes as f64 * share) as u64);
        };
        let mut checkpoint = || {
            let store = store.get_or_insert_with(|| self.open_store()).as_ref().ok()?;
            let newest = &store.newest()?.point;
            is_own(newest, ClusterId::NONE, identity).then(|| newest.position())
        };
        let mut sources = Sources { progress: &mut progress, checkpoint: &mut checkpoint };
        let (wal, recovery) = Wal::open_with(disk, log_options(config, identity), &mut sources)?;
        loading.loaded_up_to(log_bytes);
        self.tell(&recovery);
        if let Some(left_out) = &recovery.left_out {
            self.tell_left_out(left_out, recovery.first_index);
        }
        Ok(wal)
    }

    fn tell(&self, recovery: &Recovery) {
        if !recovery.created {
            return tell_read(recovery);
        }
        let dir = &self.config.dir;
        let dir = std::path::absolute(dir).unwrap_or_else(|_| dir.clone());
        tracing::warn!(
            "a new log begins in {}: if data was there before, this is another folder",
            dir.display()
        );
    }

    fn tell_left_out(&self, left_out: &LeftOut, first_index: u64) {
        for damage in &left_out.damage {
            tracing::error!(damage, "DAMAGE in an old part of the log; a checkpoint has all that was in it");
            self.integrity.found(damage.clone());
        }
        tracing::error!(
            set_aside = ?left_out.files,
            begins_with = left_out.begins_with,
            first_index,
            "the log begins after its damage: the segments before are set aside as damaged-*, for people to look at and to \
             remove; a replica that lags behind that is sent a checkpoint, and a backup that has not copied them has a gap"
        );
    }
}

/// Whether a checkpoint in a data folder is one of its node's, whose log belongs to a cluster or to none yet.
fn is_own(point: &Point, cluster: ClusterId, identity: &Identity) -> bool {
    match (ClusterId(point.cluster).known(), cluster.known()) {
        (Some(of), Some(cluster)) => of == cluster,
        // The checkpoint knows more, or was written before the log had an id.
        (Some(_), None) | (None, Some(_)) => true,
        (None, None) => point.cluster_id == identity.older_key.0,
    }
}

/// The last process may have ended after a checkpoint of another node had come to its shelf, and before its log went on behind
/// that.
fn finish_adoption(
    shelf: &Shelf,
    newest: Option<Position>,
    wal: &mut Wal<RealDisk>,
) -> Result<(), ServerError> {
    let adopting = shelf.adopting()?;
    if let Some(checkpoint) = newest.filter(|newest| adopting == Some(newest.index)) {
        tracing::info!(
            index = checkpoint.index,
            "the log goes on behind a checkpoint that came from another node"
        );
        restart_log_at(wal, checkpoint).map_err(NodeError::from)?;
    }
    Ok(shelf.end_adoption()?)
}

/// Bytes of the newest checkpoint, damaged or not; 0 without one.
fn newest_bytes(shelf: &Shelf) -> u64 {
    let newest = shelf.list().ok().and_then(|indexes| indexes.last().copied());
    newest.map_or(0, |newest| bytes_in(&shelf.path(newest)))
}

/// Bytes of the files in a folder, as far as they can be told.
fn bytes_in(folder: &Path) -> u64 {
    let files = fs::read_dir(folder).into_iter().flatten().flatten();
    files.filter_map(|file| file.metadata().ok()).map(|metadata| metadata.len()).sum()
}

fn log_options(config: &Config, identity: &Identity) -> Options {
    Options {
        segment_bytes: config.segment_bytes,
        pad_to_block: config.log_pad_to_block,
        spare_segments: 1,
        create: Some(NewLog { log_id: env::random_seed(), metadata: Memo::default().encode(identity) }),
    }
}

fn tell_read(recovery: &Recovery) {
    tracing::info!(
        segments = recovery.segments,
        records = recovery.records,
        bytes = recovery.bytes,
        first_index = recovery.first_index,
        "the log is read and whole"
    );
    if let Some(torn) = &recovery.torn_tail {
        tracing::warn!(
            file = torn.file,
            offset = torn.offset,
            bytes = torn.bytes,
            fault = %torn.fault,
            "cut a torn tail off the log: a write that was under way when the node ended, and was never acknowledged"
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::settings::{Flags, Settings};

    #[test]
    fn the_log_is_opened_as_configured() {
        let flags = [("log-pad-to-block", "yes"), ("segment-bytes", "1mb")];
        let flags: Flags = flags.into_iter().map(|(name, text)| (name, vec![text.to_owned()])).collect();
        let settings = Settings::resolve(&flags, []).expect("these are settings");
        let config = Config::build(&settings).expect("they are sound");
        let options = log_options(&config, &crate::server::open::identity(&config).expect("a node alone"));
        assert!(options.pad_to_block);
        assert_eq!(options.segment_bytes, 1 << 20);
    }
}
