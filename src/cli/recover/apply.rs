//! Doing what a recovery has planned, so that a crash at any moment leaves the old folder, or one that says that it must be run again.
//!
//! The new log is made beside the old one. From the first change of a name on a mark stands in the folder, with which no node starts
//! and which names where the old log is; whoever runs the recovery again first puts everything back.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use perdura_wal::{HardState, NewLog, Options, RealDisk, Record, SyncMode, Wal, WalError};

use super::plan::{Order, Plan, Source, log_folder};
use crate::checkpoint::shelf::Shelf;
use crate::cli::failure::Failure;
use crate::data_folder::{
    CHECKPOINT_FOLDER, CLUSTER_NAME_FILE, KEPT_BY_RECOVERY, LOG_FOLDER, RECOVERING_FILE,
};
use crate::env;

/// The new log, until it takes the old one's place.
const NEW_LOG: &str = "log-recovering";
/// Bytes of entries that are written to the log at once.
const BATCH_BYTES: usize = 4 << 20;

/// The next folder for an old log.
pub fn free_folder(dir: &Path) -> PathBuf {
    let named = |number: u64| dir.join(format!("{KEPT_BY_RECOVERY}{number}"));
    (1..).map(named).find(|path| path.symlink_metadata().is_err()).unwrap_or_else(|| named(0))
}

pub fn was_interrupted(dir: &Path) -> bool {
    dir.join(RECOVERING_FILE).exists()
}

/// Puts back what an interrupted recovery has moved.
pub fn undo(dir: &Path) -> Result<(), Failure> {
    let mark = dir.join(RECOVERING_FILE);
    let text = fs::read_to_string(&mark).map_err(at(&mark))?;
    // The mark is written before anything is moved; without a name in it nothing was.
    if let Some(name) = text.lines().next().filter(|name| name.starts_with(KEPT_BY_RECOVERY)) {
        let kept = dir.join(name);
        if kept.join(LOG_FOLDER).is_dir() {
            let log = log_folder(dir);
            if log.is_dir() {
                // The new log, which nobody has used.
                fs::remove_dir_all(&log).map_err(at(&log))?;
            }
            rename(&kept.join(LOG_FOLDER), &log)?;
        }
        put_checkpoints_back(dir, &kept)?;
        if kept.is_dir() {
            fs::remove_dir(&kept).map_err(at(&kept))?;
        }
    }
    remove_new_log(dir)?;
    remove_file(&mark)?;
    sync(dir)
}

fn put_checkpoints_back(dir: &Path, kept: &Path) -> Result<(), Failure> {
    let folder = kept.join(CHECKPOINT_FOLDER);
    if !folder.is_dir() {
        return Ok(());
    }
    for entry in fs::read_dir(&folder).map_err(at(&folder))? {
        let entry = entry.map_err(at(&folder))?;
        rename(&entry.path(), &dir.join(CHECKPOINT_FOLDER).join(entry.file_name()))?;
    }
    sync(&dir.join(CHECKPOINT_FOLDER))?;
    fs::remove_dir(&folder).map_err(at(&folder))
}

pub fn apply(order: &Order, plan: &Plan, source: &Source) -> Result<(), Failure> {
    let dir = &order.dir;
    remove_new_log(dir)?;
    make_log(order, plan, source)?;
    let kept = free_folder(dir);
    let kept_name = kept.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let mark = dir.join(RECOVERING_FILE);
    write_durably(
        &mark,
        &format!("{kept_name}\na recovery is under way, or was not finished: run it again\n"),
    )?;
    sync(dir)?;
    fs::create_dir(&kept).map_err(at(&kept))?;
    sync(dir)?;
    keep_checkpoints(dir, plan, &kept)?;
    rename(&log_folder(dir), &kept.join(LOG_FOLDER))?;
    sync(&kept)?;
    rename(&dir.join(NEW_LOG), &log_folder(dir))?;
    sync(dir)?;
    write_durably(&dir.join(CLUSTER_NAME_FILE), &format!("{}\n", plan.cluster_name))?;
    sync(dir)?;
    remove_file(&mark)?;
    sync(dir)
}

/// Moves all checkpoints but the one that the new log begins after, and lets that one belong to the new cluster.
fn keep_checkpoints(dir: &Path, plan: &Plan, kept: &Path) -> Result<(), Failure> {
    let shelf = Shelf::at(&dir.join(CHECKPOINT_FOLDER));
    if !plan.checkpoints_kept_aside.is_empty() {
        let folder = kept.join(CHECKPOINT_FOLDER);
        fs::create_dir(&folder).map_err(at(&folder))?;
        for index in &plan.checkpoints_kept_aside {
            let from = shelf.path(*index);
            let to = folder.join(from.file_name().unwrap_or_default());
            rename(&from, &to)?;
        }
        sync(&folder)?;
        sync(&dir.join(CHECKPOINT_FOLDER))?;
    }
    if plan.checkpoint > 0 {
        shelf.change_owner(plan.checkpoint, plan.identity.cluster_id.0, &plan.members)?;
    }
    Ok(())
}

/// Makes the new log, durably, beside the old one.
fn make_log(order: &Order, plan: &Plan, source: &Source) -> Result<(), Failure> {
    let folder = order.dir.join(NEW_LOG);
    let disk = RealDisk::open(&folder, SyncMode::Fdatasync).map_err(at(&folder))?;
    let failed = |error| Failure::Log { folder: folder.display().to_string(), error };
    let options = Options {
        segment_bytes: order.segment_bytes,
        pad_to_block: false,
        spare_segments: 1,
        create: Some(NewLog { log_id: env::random_seed(), metadata: plan.identity.encode() }),
    };
    let (mut wal, _) = Wal::open(disk, options).map_err(failed)?;
    fill(&mut wal, plan, source).map_err(failed)?;
    drop(wal);
    sync(&order.dir)
}

fn fill(wal: &mut Wal<RealDisk>, plan: &Plan, source: &Source) -> Result<(), WalError> {
    if plan.base.index > 0 {
        wal.reset(plan.base)?;
    }
    let mut staged = 0;
    if let Some(view) = &source.log {
        view.visit_entries(plan.base.index + 1, plan.index, |entry| -> Result<(), WalError> {
            wal.stage(Record { index: entry.index, term: entry.term, payload: &entry.payload })?;
            staged += entry.payload.len();
            if staged >= BATCH_BYTES {
                staged = 0;
                wal.commit()?;
            }
            Ok(())
        })?;
    }
    // Everything is committed: the new cluster has no other history.
    let term = source.log.as_ref().map_or(0, |view| view.hard_state().term).max(plan.term);
    wal.stage_hard_state(HardState { term, vote: 0, commit: plan.index })?;
    wal.commit()?;
    let last = wal.last_index();
    if last != plan.index {
        return Err(WalError::Unavailable { index: plan.index, last });
    }
    Ok(())
}

/// What a recovery that was not finished has made.
fn remove_new_log(dir: &Path) -> Result<(), Failure> {
    let folder = dir.join(NEW_LOG);
    match fs::remove_dir_all(&folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(at(&folder)(error)),
        _ => Ok(()),
    }
}

fn at(path: &Path) -> impl FnOnce(io::Error) -> Failure {
    let folder = path.display().to_string();
    move |source| Failure::Folder { folder, source }
}

fn rename(from: &Path, to: &Path) -> Result<(), Failure> {
    fs::rename(from, to).map_err(at(from))
}

fn remove_file(path: &Path) -> Result<(), Failure> {
    fs::remove_file(path).map_err(at(path))
}

fn write_durably(path: &Path, text: &str) -> Result<(), Failure> {
    let write = || -> io::Result<()> {
        let mut file = File::create(path)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()
    };
    write().map_err(at(path))
}

fn sync(folder: &Path) -> Result<(), Failure> {
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(at(folder))
}
