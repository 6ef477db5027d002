//! Restoring: a data folder exactly as of some entry, for a node of a new cluster.
//!
//! - A restore begins with the newest checkpoint not behind the target, and makes a log that goes on from there up to the
//!   target. What comes after the target is not in the folder at all.
//! - The folder gets a cluster, a log id and a name of its own: a node on it can't take part in the cluster that was backed up. Of a
//!   group, the cluster follows from the source's and from the entry that the folder ends with (`raft/cluster.rs`): run on several machines
//!   with the same target it makes nodes of one group, and with different ones strangers, which say so. So a group needs a target.
//! - A damaged object costs no more than itself: another checkpoint, or another object with the same entries, takes its place. Where none
//!   can, the restore ends, and says up to which entry one is possible. It never ends earlier than what was asked for.
//! - The folder has a mark from before the first file until everything is durable. A node refuses a folder with that mark; a
//!   restore that finds it removes what the last one left, and begins again.
//! - Everything that is read is checked: objects by their checksums, entries by the chain, files by their manifest. Then what
//!   was made is read back, loaded and replayed, unless that is not wanted.

use std::fs::{self, File};
use std::io::{self, Write};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use perdura_wal::{
    HardState, LogView, NewLog, Options, Position, ReadOnlyDisk, RealDisk, Record, Sources, SyncMode, Wal,
};

use super::checkpoint::StoredCheckpoint;
use super::entries::{Entries, Tip, stamp_ms};
use super::error::{BackupError, Damage, Result};
use super::inventory::{Inventory, Span};
use super::names::LogName;
use super::repository::{Owner, Repository};
use crate::calendar::utc_text;
use crate::checkpoint::manifest::Point;
use crate::checkpoint::shelf::Shelf;
use crate::data_folder::{CHECKPOINT_FOLDER, CLUSTER_NAME_FILE, LOG_FOLDER, RESTORING_FILE, create_private};
use crate::env;
use crate::raft::cluster::{Cluster, ClusterId};
use crate::raft::identity::{GroupKey, Identity};
use crate::raft::memo::{LogEnd, Memo};
use crate::replay::Replay;

/// Bytes of entries that are written to the log at once.
const BATCH_BYTES: usize = 4 << 20;
/// How often the list is read again because an object that was on it has gone: others were merged into one.
const MAX_LISTS: usize = 5;

/// Up to where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// The newest entry that can be restored.
    Newest,
    /// The entry of this index, and all before it.
    Index(u64),
    /// All entries whose stamps are not later; unix ms.
    Time(i64),
}

/// What is to be restored, and for whom.
#[derive(Clone, Debug)]
pub struct Order {
    pub dir: PathBuf,
    pub target: Target,
    /// Begins with this checkpoint, or with none for 0, in place of the best.
    pub from_checkpoint: Option<u64>,
    /// Without it, one follows from the cluster's id.
    pub cluster_name: Option<String>,
    pub node_id: u64,
    pub members: Vec<u64>,
    pub segment_bytes: u64,
    /// Reads back, loads and replays what was made.
    pub replay: bool,
}

/// What was restored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Restored {
    /// The checkpoint that it began with.
    pub checkpoint: Option<u64>,
    /// The last entry.
    pub index: u64,
    pub term: u64,
    /// Entries in the log.
    pub entries: u64,
    /// Of the new cluster.
    pub cluster_id: ClusterId,
    pub cluster_name: String,
    /// Where it was replayed.
    pub replayed: Option<Replayed>,
    /// Damaged objects that were not needed after all, and how.
    pub done_without: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Replayed {
    pub stamp_ms: Option<i64>,
    /// As checkpoints count and digest them: the server's own are among them.
    pub keys: u64,
    pub digest: u128,
    /// As DEBUG DIGEST tells it.
    pub debug_digest: u128,
}

/// How far a restore is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// Bytes of the checkpoint's files, so far and in all.
    Files(u64, u64),
    /// Entries written, so far and at most.
    Log(u64, u64),
    /// Entries replayed, so far and in all.
    Replay(u64, u64),
}

/// Where to begin and to end.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Plan {
    checkpoint: Option<u64>,
    /// The last entry, unless `until_ms` comes before.
    last: u64,
    until_ms: i64,
}

impl Plan {
    fn first(&self) -> u64 {
        self.checkpoint.unwrap_or(0) + 1
    }
}

/// Restores; see the module.
pub fn restore(
    repository: &Repository,
    order: &Order,
    progress: &mut dyn FnMut(Progress),
) -> Result<Restored> {
    let mut inventory = repository.inventory()?;
    let first_plan = plan(&inventory, order)?;
    // The newest entry is the one that was the newest before anything was found damaged.
    let order = &match order.target {
        Target::Newest => Order { target: Target::Index(first_plan.last), ..order.clone() },
        _ => order.clone(),
    };
    let mut done_without: Vec<String> = Vec::new();
    loop {
        let planned = match plan(&inventory, order) {
            Err(error) if !done_without.is_empty() => {
                return Err(lost(&inventory, order, &done_without, error));
            }
            planned => planned?,
        };
        match restore_as_planned(repository, order, &inventory, &planned, progress) {
            Ok(restored) => return Ok(Restored { done_without, ..restored }),
            Err(error) => {
                let BackupError::Damaged { name, damage } = &error else { return Err(error) };
                if !error.is_worthless_object() || !inventory.leave_out(name, damage, planned.checkpoint) {
                    return Err(error);
                }
                done_without.push(error.to_string());
            }
        }
    }
}

/// Why what was asked for is not possible any more, with the first thing that was found.
fn lost(inventory: &Inventory, order: &Order, damaged: &[String], error: BackupError) -> BackupError {
    let BackupError::NotHeld { wanted, .. } = error else { return error };
    let spans = inventory.spans();
    let way_out = way_out(&spans, order.target);
    BackupError::Lost { damaged: damaged.join("; "), wanted, way_out }
}

fn restore_as_planned(
    repository: &Repository,
    order: &Order,
    inventory: &Inventory,
    plan: &Plan,
    progress: &mut dyn FnMut(Progress),
) -> Result<Restored> {
    begin(&order.dir)?;
    let base = match plan.checkpoint {
        Some(index) => restore_checkpoint(repository, &order.dir, index, &order.members, progress)?,
        None => Position::default(),
    };
    let log = restore_log(repository, order, inventory, plan, base, progress)?;
    let cluster = cluster_of(repository, order, LogEnd { term: log.tip.term, index: log.tip.index });
    let name = order.cluster_name.clone().unwrap_or_else(|| format!("restored-{}", cluster.id));
    let identity = identity(order, &name)?;
    let last = log.finish(&Memo::in_cluster(cluster).encode(&identity))?;
    if let Some(index) = plan.checkpoint {
        let shelf = Shelf::at(&order.dir.join(CHECKPOINT_FOLDER));
        shelf.change_owner(index, (identity.key.0, cluster.id.0), &identity.members)?;
    }
    let replayed = if order.replay { Some(replay(&order.dir, plan, last.index, progress)?) } else { None };
    let entries = last.index - base.index;
    finish(order, &name)?;
    let Position { index, term } = last;
    let (checkpoint, cluster_id) = (plan.checkpoint, cluster.id);
    let done_without = Vec::new();
    Ok(Restored { checkpoint, index, term, entries, cluster_id, cluster_name: name, replayed, done_without })
}

fn identity(order: &Order, name: &str) -> Result<Identity> {
    Ok(Identity::new(GroupKey::named(name, &order.members), order.node_id, order.members.clone())?)
}

/// The cluster that the data becomes: for a group, the same on all its machines. A node alone shares its id with none.
fn cluster_of(repository: &Repository, order: &Order, end: LogEnd) -> Cluster {
    let Owner { cluster_id, log_id } = repository.owner();
    if order.members.len() == 1 {
        let id = ClusterId(env::random_seed().max(1));
        return Cluster { id, origin: end };
    }
    let source = [*cluster_id, log_id.unwrap_or_default()];
    Cluster::restored(&source, end, order.cluster_name.as_deref().unwrap_or_default())
}

fn plan(inventory: &Inventory, order: &Order) -> Result<Plan> {
    let spans = inventory.spans();
    if order.members.len() > 1
        && order.target == Target::Newest
        && let Some(newest) = spans.last()
    {
        return Err(BackupError::NoCommonTarget { last: newest.last });
    }
    let not_held = |wanted: String| {
        let way_out = way_out(&spans, order.target);
        BackupError::NotHeld { wanted, spans: spans.clone(), way_out }
    };
    let find = |holds: &dyn Fn(&Span) -> bool| spans.iter().rev().find(|span| holds(span)).copied();
    let (span, wanted) = match order.target {
        Target::Newest => (find(&|_| true), "anything".to_owned()),
        Target::Index(index) => {
            (find(&|span| (span.first..=span.last).contains(&index)), format!("index {index}"))
        }
        Target::Time(ms) => (find(&|span| (span.first_ms..=span.last_ms).contains(&ms)), utc_text(ms)),
    };
    let span = span.ok_or_else(|| not_held(wanted))?;
    let (last, until_ms) = match order.target {
        Target::Newest => (span.last, i64::MAX),
        Target::Index(index) => (index, i64::MAX),
        Target::Time(ms) => (span.last, ms),
    };
    let fitting = inventory
        .checkpoints
        .iter()
        .filter(|one| one.index >= span.first && one.index <= last && one.stamp_ms <= until_ms);
    let checkpoint = match order.from_checkpoint {
        None => fitting.map(|one| one.index).next_back(),
        Some(0) if span.first == 1 => None,
        Some(from) => {
            let found = fitting.map(|one| one.index).find(|index| *index == from);
            Some(found.ok_or_else(|| not_held(format!("checkpoint {from} before the target")))?)
        }
    };
    if checkpoint.is_none() && until_ms < i64::MAX {
        check_something_was_written(inventory, until_ms)?;
    }
    Ok(Plan { checkpoint, last, until_ms })
}

/// What begins with nothing is empty up to the first write. Whoever names such a moment means another one.
fn check_something_was_written(inventory: &Inventory, until_ms: i64) -> Result<()> {
    let first_ms = inventory.logs.iter().map(|log| log.name.first_ms).filter(|ms| *ms > 0).min();
    let first_ms = first_ms.and_then(|ms| i64::try_from(ms).ok());
    if first_ms.is_some_and(|first_ms| first_ms <= until_ms) {
        return Ok(());
    }
    let way_out = match first_ms {
        Some(first_ms) => {
            format!("The first write is of {}: name that time or a later one", utc_text(first_ms))
        }
        None => "The backup holds no write at all; leave --to-time out for an empty database".to_owned(),
    };
    Err(BackupError::NothingYet { wanted: utc_text(until_ms), way_out })
}

/// What an operator can do where a target is not held.
fn way_out(spans: &[Span], target: Target) -> String {
    let (before, after): (Vec<&Span>, Vec<&Span>) = match target {
        Target::Newest => return String::new(),
        Target::Index(index) => spans.iter().partition(|span| span.last < index),
        Target::Time(ms) => spans.iter().partition(|span| span.last_ms < ms),
    };
    let before = before.last().map(|span| (span.last, span.last_ms));
    let after = after.first().map(|span| (span.first, span.first_ms));
    let flags = |(index, ms): (u64, i64)| match target {
        Target::Time(_) => format!("--to-time {} (entry {index})", utc_text(ms)),
        _ => format!("--to-index {index} ({})", utc_text(ms)),
    };
    match (before, after) {
        (None, None) => String::new(),
        (None, Some(after)) => format!("the earliest that can be restored is {}", flags(after)),
        (Some(before), Some(after)) => {
            format!("it lies in a gap: take {} before it or {} after it", flags(before), flags(after))
        }
        (Some(before), None) if matches!(target, Target::Time(_)) => format!(
            "the newest that can be restored is {}. While nothing is written, a primary that runs moves that time on every ten \
             seconds: try again in a moment. Where no primary runs any more, leave --to-time out: that restores all there is, up to entry {}",
            flags(before),
            before.0
        ),
        (Some(before), None) => format!("the newest that can be restored is {}", flags(before)),
    }
}

/// Puts the mark into an empty folder, or into one that a restore did not finish.
fn begin(dir: &Path) -> Result<()> {
    create_private(dir).map_err(BackupError::io("create", dir))?;
    let mark = dir.join(RESTORING_FILE);
    if mark.exists() {
        for folder in [LOG_FOLDER, CHECKPOINT_FOLDER] {
            remove(fs::remove_dir_all(dir.join(folder)), &dir.join(folder))?;
        }
        remove(fs::remove_file(dir.join(CLUSTER_NAME_FILE)), &dir.join(CLUSTER_NAME_FILE))?;
    } else if fs::read_dir(dir).map_err(BackupError::io("list", dir))?.next().is_some() {
        return Err(BackupError::NotEmpty { dir: dir.to_owned() });
    }
    write_durably(&mark, b"a restore is under way, or was not finished: this is no data folder yet\n")?;
    sync(dir)
}

fn remove(removed: io::Result<()>, path: &Path) -> Result<()> {
    match removed {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(BackupError::io("remove", path)(error)),
        _ => Ok(()),
    }
}

/// Names the cluster, and removes the mark.
fn finish(order: &Order, name: &str) -> Result<()> {
    let dir = &order.dir;
    write_durably(&dir.join(CLUSTER_NAME_FILE), format!("{name}\n").as_bytes())?;
    sync(dir)?;
    let mark = dir.join(RESTORING_FILE);
    fs::remove_file(&mark).map_err(BackupError::io("remove", &mark))?;
    sync(dir)
}

fn write_durably(path: &Path, bytes: &[u8]) -> Result<()> {
    let write = || -> io::Result<()> {
        let mut file = File::create(path)?;
        file.write_all(bytes)?;
        file.sync_all()
    };
    write().map_err(BackupError::io("write", path))
}

fn sync(folder: &Path) -> Result<()> {
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(BackupError::io("sync", folder))
}

/// Puts a checkpoint on the new folder's shelf, as one of the new cluster's.
fn restore_checkpoint(
    repository: &Repository,
    dir: &Path,
    index: u64,
    members: &[u64],
    progress: &mut dyn FnMut(Progress),
) -> Result<Position> {
    let stored: StoredCheckpoint = repository
        .checkpoint(index)?
        .ok_or_else(|| BackupError::damaged(&super::names::checkpoint_path(index), Damage::Missing))?;
    let mut manifest = stored.manifest.clone();
    // It gets its owner once it is known which entry the folder ends with.
    manifest.point = Point { cluster_id: 0, cluster: 0, members: members.to_vec(), ..manifest.point };
    let shelf = Shelf::open(&dir.join(CHECKPOINT_FOLDER))?;
    let folder = shelf.fetching(index);
    let (mut done, all) = (0, manifest.bytes());
    stored.write_to(repository, &folder, &manifest, |bytes| {
        done += bytes;
        progress(Progress::Files(done, all));
    })?;
    shelf.publish_fetched(&folder, &manifest)?;
    shelf.end_adoption()?;
    Ok(Position { index, term: manifest.point.term })
}

/// Makes the log behind `base`.
fn restore_log(
    repository: &Repository,
    order: &Order,
    held: &Inventory,
    plan: &Plan,
    base: Position,
    progress: &mut dyn FnMut(Progress),
) -> Result<NewWal> {
    let mut log = NewWal::create(order, base)?;
    let mut lists = 0;
    while log.tip.index < plan.last && !log.is_at_end {
        let mut logs = repository.logs()?;
        logs.retain(|log| !held.damaged.contains(&log.name));
        let inventory = Inventory { logs, ..Inventory::default() };
        let names = wanted(inventory.cover(log.tip.index + 1, plan.last)?, plan.until_ms);
        if names.is_empty() {
            break;
        }
        let mut has_gone = false;
        repository.each_entries(&names, |name, entries| {
            let entries = match entries {
                Err(BackupError::Damaged { damage: Damage::Missing, .. }) => {
                    has_gone = true;
                    return Ok(ControlFlow::Break(()));
                }
                entries => entries?,
            };
            let follows = entries.check_follows(log.tip);
            follows.map_err(|damage| BackupError::damaged(&name.path(), damage))?;
            log.append(&entries, plan)?;
            progress(Progress::Log(log.tip.index - base.index, plan.last - base.index));
            Ok(if log.is_at_end { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
        })?;
        lists += 1;
        if !has_gone || lists >= MAX_LISTS {
            break;
        }
    }
    if log.tip.index < plan.last && plan.until_ms == i64::MAX {
        return Err(BackupError::Missing { first: log.tip.index + 1, last: plan.last });
    }
    Ok(log)
}

/// Objects up to the first that begins after the target. Timestamps never go back along the log, and an object without any, such as
/// a leader's first entry alone, is as late as the objects before it.
fn wanted(mut names: Vec<LogName>, until_ms: i64) -> Vec<LogName> {
    let is_late = |name: &LogName| i64::try_from(name.first_ms).is_ok_and(|first_ms| first_ms > until_ms);
    names.truncate(names.iter().position(is_late).unwrap_or(names.len()));
    names
}

/// A log that is being made.
struct NewWal {
    wal: Wal<RealDisk>,
    /// The last entry that was staged, or the base.
    tip: Tip,
    staged_bytes: usize,
    /// What comes next is later than wanted.
    is_at_end: bool,
}

impl NewWal {
    fn create(order: &Order, base: Position) -> Result<NewWal> {
        let folder = order.dir.join(LOG_FOLDER);
        let disk =
            RealDisk::open(&folder, SyncMode::Fdatasync).map_err(BackupError::io("create", &folder))?;
        let options = Options {
            segment_bytes: order.segment_bytes,
            pad_to_block: false,
            spare_segments: 1,
            create: Some(NewLog { log_id: env::random_seed(), metadata: Vec::new() }),
        };
        let (mut wal, _) = Wal::open(disk, options)?;
        if base.index > 0 {
            wal.reset(base)?;
        }
        let tip = Tip { index: base.index, term: base.term, checksum: 0 };
        Ok(NewWal { wal, tip, staged_bytes: 0, is_at_end: false })
    }

    /// Appends what is behind the tip and wanted.
    fn append(&mut self, entries: &Entries, plan: &Plan) -> Result<()> {
        for entry in entries.iter().filter(|entry| entry.index >= plan.first()) {
            if entry.index <= self.tip.index {
                continue;
            }
            let is_late = stamp_ms(entry.payload).is_some_and(|ms| ms > plan.until_ms);
            if entry.index > plan.last || is_late {
                self.is_at_end = true;
                return Ok(());
            }
            self.wal.stage(Record { index: entry.index, term: entry.term, payload: entry.payload })?;
            self.tip = Tip::of(entry.index, entry.term, entry.payload);
            self.staged_bytes += entry.payload.len();
            if self.staged_bytes >= BATCH_BYTES {
                self.wal.commit()?;
                self.staged_bytes = 0;
            }
        }
        Ok(())
    }

    /// Everything is committed: nobody has another history.
    fn finish(mut self, metadata: &[u8]) -> Result<Position> {
        let Tip { index, term, .. } = self.tip;
        self.wal.stage_metadata(metadata)?;
        self.wal.stage_hard_state(HardState { term, vote: 0, commit: index })?;
        self.wal.commit()?;
        Ok(Position { index, term })
    }
}

/// Reads back what was made, loads and replays it.
fn replay(dir: &Path, plan: &Plan, last: u64, progress: &mut dyn FnMut(Progress)) -> Result<Replayed> {
    let mut replay = match plan.checkpoint {
        Some(index) => {
            let shelf = Shelf::at(&dir.join(CHECKPOINT_FOLDER));
            let manifest = shelf.verify(index, |_| {})?;
            Replay::of_checkpoint(&shelf, &manifest)?
        }
        None => Replay::of_nothing(),
    };
    let folder = dir.join(LOG_FOLDER);
    let disk = ReadOnlyDisk::open(&folder).map_err(BackupError::io("open", &folder))?;
    let mut sources = Sources { progress: &mut |_| {}, checkpoint: &mut || None };
    let view = LogView::open(disk, &mut sources)?;
    let all = last + 1 - plan.first();
    if let Some(view) = view {
        view.visit_entries(plan.first(), last, |record| -> Result<()> {
            replay.apply(record.index, &record.payload)?;
            progress(Progress::Replay(record.index + 1 - plan.first(), all));
            Ok(())
        })?;
    }
    if replay.index() != last {
        return Err(BackupError::Missing { first: replay.index() + 1, last });
    }
    let (keys, digest) = replay.summary();
    Ok(Replayed { stamp_ms: replay.stamp_ms(), keys, digest, debug_digest: replay.whole_digest() })
}
