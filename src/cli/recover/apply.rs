//! Doing what a recovery has planned, so that a crash at any moment leaves the old folder, or one that says that it must be run again.
//!
//! The new log is made beside the old one. From the first change of a name on a mark stands in the folder, with which no node starts
//! and which names where the old log is. The next run of the recovery first puts everything back: what was moved, and the two files that
//! get other contents (the checkpoint's manifest, the cluster's name), of which copies are kept beside the old log.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use perdura_wal::{HardState, NewLog, Options, RealDisk, Record, SyncMode, Wal, WalError};

use super::plan::{Order, Plan, Source, log_folder};
use crate::checkpoint::manifest::FILE_NAME as MANIFEST_FILE;
use crate::checkpoint::shelf::Shelf;
use crate::cli::failure::Failure;
use crate::data_folder::{
    CHECKPOINT_FOLDER, CLUSTER_NAME_FILE, KEPT_BY_RECOVERY, LOG_FOLDER, RECOVERING_FILE,
};
use crate::env;
use crate::raft::memo::Memo;

/// The new log, until it takes the old one's place.
const NEW_LOG: &str = "log-recovering";
/// How the copy of the manifest is called that the checkpoint of an index had.
const OLD_MANIFEST: &str = "manifest-";
/// Stands for the copy of the cluster's name where the folder had none.
const NO_CLUSTER_NAME: &str = "no-cluster-name";
/// How the name of a copy ends that is being written.
const UNFINISHED: &str = ".tmp";
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

/// Puts back what an interrupted recovery has moved or changed. It may be interrupted itself, and run again.
pub fn undo(dir: &Path) -> Result<(), Failure> {
    let mark = dir.join(RECOVERING_FILE);
    let text = fs::read_to_string(&mark).map_err(at(&mark))?;
    // The mark is written before anything is moved; without a name in it nothing was.
    if let Some(name) = text.lines().next().filter(|name| name.starts_with(KEPT_BY_RECOVERY)) {
        let kept = dir.join(name);
        UNDO_STEPS.iter().try_for_each(|step| step(dir, &kept))?;
    }
    remove_new_log(dir)?;
    remove_file(&mark)?;
    sync(dir)
}

/// Puts something back from the folder that the second path names; changes nothing where it is not there.
type UndoStep = fn(&Path, &Path) -> Result<(), Failure>;

const UNDO_STEPS: [UndoStep; 5] =
    [put_manifest_back, put_cluster_name_back, put_checkpoints_back, put_log_back, remove_kept];

fn put_manifest_back(dir: &Path, kept: &Path) -> Result<(), Failure> {
    let shelf = Shelf::at(&dir.join(CHECKPOINT_FOLDER));
    for name in names_in(kept)? {
        let Some(index) = name.strip_prefix(OLD_MANIFEST).and_then(|index| index.parse().ok()) else {
            continue;
        };
        let folder = shelf.path(index);
        rename(&kept.join(&name), &folder.join(MANIFEST_FILE))?;
        sync(&folder)?;
        sync(kept)?;
    }
    Ok(())
}

fn put_cluster_name_back(dir: &Path, kept: &Path) -> Result<(), Failure> {
    let (file, old, none) =
        (dir.join(CLUSTER_NAME_FILE), kept.join(CLUSTER_NAME_FILE), kept.join(NO_CLUSTER_NAME));
    if old.exists() {
        rename(&old, &file)?;
    } else if none.exists() {
        remove_file_if_there(&file)?;
        sync(dir)?;
        remove_file(&none)?;
    }
    sync(dir)
}

fn put_checkpoints_back(dir: &Path, kept: &Path) -> Result<(), Failure> {
    let folder = kept.join(CHECKPOINT_FOLDER);
    if !folder.is_dir() {
        return Ok(());
    }
    for name in names_in(&folder)? {
        rename(&folder.join(&name), &dir.join(CHECKPOINT_FOLDER).join(&name))?;
    }
    sync(&dir.join(CHECKPOINT_FOLDER))?;
    fs::remove_dir(&folder).map_err(at(&folder))
}

fn put_log_back(dir: &Path, kept: &Path) -> Result<(), Failure> {
    let old = kept.join(LOG_FOLDER);
    if !old.is_dir() {
        return Ok(());
    }
    let log = log_folder(dir);
    if log.is_dir() {
        // The new log, which no node has used.
        fs::remove_dir_all(&log).map_err(at(&log))?;
    }
    rename(&old, &log)?;
    sync(dir)
}

/// Removes the folder, in which nothing is left but copies that were not finished.
fn remove_kept(dir: &Path, kept: &Path) -> Result<(), Failure> {
    if !kept.is_dir() {
        return Ok(());
    }
    for name in names_in(kept)?.iter().filter(|name| name.ends_with(UNFINISHED)) {
        remove_file(&kept.join(name))?;
    }
    fs::remove_dir(kept).map_err(at(kept))?;
    sync(dir)
}

/// What a step of a recovery works on.
struct Work<'a> {
    dir: &'a Path,
    plan: &'a Plan,
    kept: PathBuf,
}

pub fn apply(order: &Order, plan: &Plan, source: &Source) -> Result<(), Failure> {
    let dir = &order.dir;
    remove_new_log(dir)?;
    make_log(order, plan, source)?;
    let work = Work { dir, plan, kept: free_folder(dir) };
    STEPS.iter().try_for_each(|step| step(&work))
}

type Step = fn(&Work<'_>) -> Result<(), Failure>;

/// After the first, and before the last has ended, the folder can be put back as it was.
const STEPS: [Step; 8] = [
    begin,
    copy_cluster_name,
    copy_manifest,
    keep_checkpoints,
    change_owner,
    exchange_logs,
    name_cluster,
    end,
];

fn begin(work: &Work<'_>) -> Result<(), Failure> {
    let name = work.kept.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let text = format!("{name}\na recovery is under way, or was not finished: run it again\n");
    write_durably(&work.dir.join(RECOVERING_FILE), text.as_bytes())?;
    sync(work.dir)?;
    fs::create_dir(&work.kept).map_err(at(&work.kept))?;
    sync(work.dir)
}

fn copy_cluster_name(work: &Work<'_>) -> Result<(), Failure> {
    let file = work.dir.join(CLUSTER_NAME_FILE);
    match fs::read(&file) {
        Ok(name) => keep_copy(&name, &work.kept, CLUSTER_NAME_FILE),
        Err(error) if error.kind() == io::ErrorKind::NotFound => keep_copy(&[], &work.kept, NO_CLUSTER_NAME),
        Err(error) => Err(at(&file)(error)),
    }
}

/// Copies the manifest of the checkpoint that the new log begins after: the checkpoint gets another owner.
fn copy_manifest(work: &Work<'_>) -> Result<(), Failure> {
    let index = work.plan.checkpoint;
    if index == 0 {
        return Ok(());
    }
    let file = Shelf::at(&work.dir.join(CHECKPOINT_FOLDER)).path(index).join(MANIFEST_FILE);
    let manifest = fs::read(&file).map_err(at(&file))?;
    keep_copy(&manifest, &work.kept, &format!("{OLD_MANIFEST}{index}"))
}

/// Moves all checkpoints but the one that the new log begins after.
fn keep_checkpoints(work: &Work<'_>) -> Result<(), Failure> {
    if work.plan.checkpoints_kept_aside.is_empty() {
        return Ok(());
    }
    let checkpoints = work.dir.join(CHECKPOINT_FOLDER);
    let shelf = Shelf::at(&checkpoints);
    let folder = work.kept.join(CHECKPOINT_FOLDER);
    fs::create_dir(&folder).map_err(at(&folder))?;
    sync(&work.kept)?;
    for index in &work.plan.checkpoints_kept_aside {
        let from = shelf.path(*index);
        let to = folder.join(from.file_name().unwrap_or_default());
        rename(&from, &to)?;
    }
    sync(&folder)?;
    sync(&checkpoints)
}

/// Lets the checkpoint that the new log begins after belong to the new cluster.
fn change_owner(work: &Work<'_>) -> Result<(), Failure> {
    let Plan { checkpoint, identity, cluster, members, .. } = work.plan;
    if *checkpoint > 0 {
        let shelf = Shelf::at(&work.dir.join(CHECKPOINT_FOLDER));
        shelf.change_owner(*checkpoint, (identity.key.0, cluster.id.0), members)?;
    }
    Ok(())
}

fn exchange_logs(work: &Work<'_>) -> Result<(), Failure> {
    let log = log_folder(work.dir);
    rename(&log, &work.kept.join(LOG_FOLDER))?;
    sync(&work.kept)?;
    rename(&work.dir.join(NEW_LOG), &log)?;
    sync(work.dir)
}

fn name_cluster(work: &Work<'_>) -> Result<(), Failure> {
    let text = format!("{}\n", work.plan.cluster_name);
    write_durably(&work.dir.join(CLUSTER_NAME_FILE), text.as_bytes())?;
    sync(work.dir)
}

fn end(work: &Work<'_>) -> Result<(), Failure> {
    remove_file(&work.dir.join(RECOVERING_FILE))?;
    sync(work.dir)
}

/// Makes the new log, durably, beside the old one.
fn make_log(order: &Order, plan: &Plan, source: &Source) -> Result<(), Failure> {
    let folder = order.dir.join(NEW_LOG);
    let disk = RealDisk::open(&folder, SyncMode::Fdatasync).map_err(at(&folder))?;
    let failed = |error| Failure::Log { folder: folder.display().to_string(), error };
    let metadata = Memo::in_cluster(plan.cluster).encode(&plan.identity);
    let options = Options {
        segment_bytes: order.segment_bytes,
        pad_to_block: false,
        spare_segments: 1,
        create: Some(NewLog { log_id: env::random_seed(), metadata }),
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

/// Names in a folder; none where there is no folder.
fn names_in(folder: &Path) -> Result<Vec<String>, Failure> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(at(folder))?,
    };
    let name = |entry: io::Result<fs::DirEntry>| Ok(entry?.file_name().to_string_lossy().into_owned());
    entries.map(name).collect::<io::Result<_>>().map_err(at(folder))
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

fn remove_file_if_there(path: &Path) -> Result<(), Failure> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(at(path)(error)),
        _ => Ok(()),
    }
}

/// Puts bytes into a folder under a name that a file has only once it is whole and durable.
fn keep_copy(bytes: &[u8], folder: &Path, name: &str) -> Result<(), Failure> {
    let unfinished = folder.join(format!("{name}{UNFINISHED}"));
    write_durably(&unfinished, bytes)?;
    rename(&unfinished, &folder.join(name))?;
    sync(folder)
}

fn write_durably(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    let write = || -> io::Result<()> {
        let mut file = File::create(path)?;
        file.write_all(bytes)?;
        file.sync_all()
    };
    write().map_err(at(path))
}

fn sync(folder: &Path) -> Result<(), Failure> {
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(at(folder))
}

#[cfg(test)]
mod tests;
