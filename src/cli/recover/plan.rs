//! What a recovery would do, and what would be missing after it.

use std::io::Write;
use std::path::{Path, PathBuf};

use perdura_wal::{Disk, LogView, Position, ReadOnlyDisk, Salvage, Salvaged, WalError};
use serde::Serialize;

use super::apply::free_folder;
use crate::checkpoint::shelf::Shelf;
use crate::cli::failure::Failure;
use crate::cli::log::with_progress;
use crate::data_folder::{CHECKPOINT_FOLDER, LOG_FOLDER};
use crate::raft::cluster::{Cluster, ClusterId};
use crate::raft::identity::{GroupKey, Identity};
use crate::raft::memo::{LogEnd, Memo, Trust};

/// What was asked for.
pub struct Order {
    pub dir: PathBuf,
    pub end_before: Option<u64>,
    pub node_id: u64,
    pub members: Vec<u64>,
    pub segment_bytes: u64,
}

/// What would be done.
#[derive(Clone, Debug, Serialize)]
pub struct Plan {
    pub dir: String,
    pub cluster_name: String,
    pub cluster_id: String,
    pub node_id: u64,
    pub members: Vec<u64>,
    /// The checkpoint that the new log begins after; 0 is none.
    pub checkpoint: u64,
    /// The last entry of the new log, and its term.
    pub index: u64,
    pub term: u64,
    /// Entries up to here are known here to have been committed by the old group.
    pub committed: u64,
    /// The last entry of the old log, as far as it can be told.
    pub old_last_index: u64,
    /// What is wrong with the old log.
    pub damage: Vec<String>,
    /// Checkpoints that are kept aside with the old log.
    pub checkpoints_kept_aside: Vec<u64>,
    /// Where the old log is kept.
    pub kept_in: String,
    /// What the data may lack of what the old group acknowledged.
    pub may_be_missing: Vec<String>,
    #[serde(skip)]
    pub identity: Identity,
    #[serde(skip)]
    pub cluster: Cluster,
    #[serde(skip)]
    pub base: Position,
}

/// What the new log is made of.
pub struct Source {
    /// None where the checkpoint is all that there is; there may be no folder of a log then.
    pub log: Option<LogView<ReadOnlyDisk>>,
    /// Keeps nodes from starting on the folder where there is no view that does.
    pub _lock: Option<<ReadOnlyDisk as Disk>::Lock>,
}

/// Looks at the folder; changes nothing.
pub fn make(order: &Order) -> Result<(Plan, Source), Failure> {
    let log = order.dir.join(LOG_FOLDER);
    let folder = log.display().to_string();
    let (base, others) = checkpoints(order)?;
    if !log.is_dir() {
        if others.is_empty() && base.index == 0 {
            return Err(Failure::NoLog { folder });
        }
        if base.index == 0 {
            return Err(no_checkpoint(order, &folder, "there is no log", &others));
        }
        return Ok((Plan::of(order, base, None, others)?, Source { log: None, _lock: None }));
    }
    let disk =
        ReadOnlyDisk::open(&log).map_err(|source| Failure::Folder { folder: folder.clone(), source })?;
    let salvage = with_progress(|progress| LogView::salvage(disk, base, progress));
    let salvage = salvage.map_err(|error| match error {
        WalError::InUse => Failure::InUse { folder: folder.clone() },
        error => Failure::Log { folder: folder.clone(), error },
    })?;
    let (salvage, lock) = match salvage {
        Salvaged::Log(salvage) => (Some(*salvage), None),
        Salvaged::Nothing(lock) => (None, Some(lock)),
    };
    if salvage.is_none() && base.index == 0 {
        return Err(no_checkpoint(order, &folder, "no entry can be saved", &others));
    }
    let plan = Plan::of(order, base, salvage.as_ref(), others)?;
    Ok((plan, Source { log: salvage.map(|salvage| salvage.view), _lock: lock }))
}

/// The failure where neither the log nor a checkpoint has anything.
fn no_checkpoint(order: &Order, folder: &str, log: &str, others: &[u64]) -> Failure {
    let which = match (order.end_before, others) {
        (Some(end), [.., _]) => format!("no whole checkpoint before entry {end} (there are {others:?})"),
        (None, [.., _]) => format!("no whole checkpoint (damaged: {others:?})"),
        (_, []) => "no checkpoint".to_owned(),
    };
    let way_out = order.end_before.map_or(String::new(), |end| format!(" with --to-index {}", end - 1));
    Failure::Failed(format!("{folder}: {log}, and there is {which}; restore a backup{way_out}"))
}

/// The newest whole checkpoint before the end, and the others.
fn checkpoints(order: &Order) -> Result<(Position, Vec<u64>), Failure> {
    let path = order.dir.join(CHECKPOINT_FOLDER);
    if !path.is_dir() {
        return Ok((Position::default(), Vec::new()));
    }
    let shelf = Shelf::at(&path);
    let (mut base, mut others) = (Position::default(), Vec::new());
    for index in shelf.list()?.into_iter().rev() {
        let may_be_used = base.index == 0 && order.end_before.is_none_or(|end| index < end);
        match may_be_used.then(|| shelf.verify(index, |_| {})) {
            Some(Ok(manifest)) => base = manifest.point.position(),
            Some(Err(error)) if !error.is_damage() => return Err(error.into()),
            _ => others.push(index),
        }
    }
    Ok((base, others))
}

impl Plan {
    fn of(
        order: &Order,
        base: Position,
        salvage: Option<&Salvage<ReadOnlyDisk>>,
        checkpoints_kept_aside: Vec<u64>,
    ) -> Result<Plan, Failure> {
        let view = salvage.map(|salvage| &salvage.view);
        let held = view.map_or(base, LogView::last);
        if let Some(end) = order.end_before.filter(|end| *end > held.index + 1) {
            let last = held.index;
            let text = format!("--end-before {end}: what can be saved of the log ends with entry {last}");
            return Err(Failure::Mistake(text));
        }
        let index = order.end_before.map_or(held.index, |end| end - 1);
        let known = |index| view.and_then(|view| view.term(index));
        let term = if index == base.index { base.term } else { known(index).unwrap_or(held.term) };
        let old = view.and_then(|view| Identity::decode(view.metadata()).ok());
        let known = view.map_or(ClusterId::NONE, |view| Memo::decode(view.metadata()).cluster.id);
        let by_settings = old.as_ref().map_or(0, |identity| identity.key.0);
        let cluster = cluster_of(known.known().map_or(by_settings, |id| id.0), LogEnd { term, index });
        let cluster_name = format!("recovered-{}", cluster.id);
        let key = GroupKey::named(&cluster_name, &order.members);
        let identity = Identity::new(key, order.node_id, order.members.clone())
            .map_err(|error| Failure::Mistake(error.to_string()))?;
        let is_alone = old.as_ref().is_some_and(|identity| identity.members.len() == 1);
        let noted = view.map_or(0, |view| view.hard_state().commit).max(base.index);
        let mut plan = Plan {
            dir: order.dir.display().to_string(),
            cluster_name,
            cluster_id: cluster.id.to_string(),
            node_id: order.node_id,
            members: identity.members.clone(),
            checkpoint: base.index,
            index,
            term,
            committed: if is_alone { held.index } else { noted },
            old_last_index: salvage.map_or(base.index, |salvage| salvage.went_on_to.max(held.index)),
            damage: salvage.iter().flat_map(|salvage| salvage.damage.iter().map(WalError::finding)).collect(),
            checkpoints_kept_aside,
            kept_in: free_folder(&order.dir).display().to_string(),
            may_be_missing: Vec::new(),
            identity,
            cluster,
            base,
        };
        plan.may_be_missing =
            plan.missing(is_alone, held.index, view.map_or(Trust::Whole, trust), salvage.is_none());
        Ok(plan)
    }

    fn missing(&self, is_alone: bool, held: u64, trust: Trust, is_lost: bool) -> Vec<String> {
        let mut missing = Vec::new();
        if is_lost {
            missing
                .push(format!("all entries after {}: nothing after the checkpoint can be read", self.index));
        } else if !self.damage.is_empty() {
            let known = if self.old_last_index > held {
                format!(": the log went on to entry {} at least", self.old_last_index)
            } else {
                String::new()
            };
            missing.push(format!("entries after {held}, which the damage hides{known}"));
        }
        if self.index < held {
            let first = self.index + 1;
            missing.push(format!(
                "entries {first} to {held}, which --end-before takes out; of them those up to {} are known to have been \
                 committed, so acknowledged",
                self.committed.min(held)
            ));
        }
        if !is_alone {
            missing.push(format!(
                "entries after {held} that other members of the old group acknowledged to one another, if there were any"
            ));
        }
        match trust {
            Trust::Whole => {}
            Trust::NotYetKnown => missing
                .push("anything at all: this node had lost its log and had not joined again".to_owned()),
            Trust::Until(LogEnd { index, .. }) => missing.push(format!(
                "entries up to {index}: this node had lost its log, and was learning again what was in it"
            )),
        }
        missing
    }

    pub fn write_text(&self, out: &mut impl Write) -> Result<(), Failure> {
        let Plan { checkpoint, index, term, committed, .. } = self;
        let begin = if *checkpoint > 0 { format!("checkpoint {checkpoint} and ") } else { String::new() };
        writeln!(out, "{}: {begin}entries up to {index} of term {term}", self.dir)?;
        let known = (*committed).min(*index);
        writeln!(out, "known to have been committed by the old group: entries up to {known}")?;
        if known < *index {
            writeln!(
                out,
                "only appended here: entries {} to {index}; they become part of the data, though they may never have been \
                 acknowledged",
                known + 1
            )?;
        }
        for damage in &self.damage {
            writeln!(out, "DAMAGED  {damage}")?;
        }
        for missing in &self.may_be_missing {
            writeln!(out, "may be missing: {missing}")?;
        }
        if !self.checkpoints_kept_aside.is_empty() {
            writeln!(out, "kept aside: checkpoints {:?}", self.checkpoints_kept_aside)?;
        }
        let Plan { node_id, members, cluster_name, kept_in, .. } = self;
        writeln!(out, "becomes node {node_id} of {members:?} in the new cluster '{cluster_name}'")?;
        Ok(writeln!(out, "the old log is kept in {kept_in}")?)
    }
}

fn trust(view: &LogView<ReadOnlyDisk>) -> Trust {
    Memo::decode(view.metadata()).trust
}

/// Folders of one cluster that end with the same entry hold the same, and only they become one cluster.
fn cluster_of(old_cluster: u64, end: LogEnd) -> Cluster {
    Cluster::restored(&[old_cluster], end, "recovered")
}

pub fn log_folder(dir: &Path) -> PathBuf {
    dir.join(LOG_FOLDER)
}
