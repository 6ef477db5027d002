//! Proving a repository: every object, the chain of the log, and what checkpoints need.
//!
//! - Everything that is wrong is found, not the first thing only. What is said to be restorable is so without what was found damaged.
//! - Entries that nobody has, between the oldest that can be restored and the newest, are wrong as well: who restores to them
//!   will be disappointed.
//! - Deeply: the oldest checkpoint of each span is loaded and the log behind it replayed, and at each later checkpoint what is in
//!   memory is compared with what that says of itself.

use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::path::Path;

use super::checkpoint::StoredCheckpoint;
use super::entries::{Entries, Tip};
use super::error::{BackupError, Damage, Result};
use super::inventory::{HeldCheckpoint, HeldLog, Inventory, Span};
use super::latest::Latest;
use super::names::{LogName, PieceName};
use super::repository::Repository;
use crate::checkpoint::manifest::Manifest;
use crate::checkpoint::shelf::Shelf;
use crate::replay::Replay;

/// What a verification found.
#[derive(Debug, Default)]
pub struct Report {
    pub logs: u64,
    pub checkpoints: u64,
    /// Pieces of checkpoints' files.
    pub pieces: u64,
    /// Pieces that no checkpoint needs: what a crash left, or what is being stored.
    pub spare_pieces: u64,
    /// Of the contents that were read.
    pub bytes: u64,
    pub spans: Vec<Span>,
    /// Entries that are missing.
    pub gaps: Vec<(u64, u64)>,
    /// Entries that only damaged objects have.
    pub lost: Vec<(u64, u64)>,
    /// What is wrong, object by object.
    pub problems: Vec<BackupError>,
    /// Checkpoints that a replay came to, and found the same.
    pub replayed_checkpoints: u64,
}

impl Report {
    pub fn is_good(&self) -> bool {
        self.problems.is_empty() && self.gaps.is_empty()
    }
}

/// Reads and checks everything. `progress` hears of objects, so far and in all.
pub fn verify(repository: &Repository, mut progress: impl FnMut(u64, u64)) -> Result<Report> {
    let mut report = Report::default();
    report.problems.extend(repository.header_problem());
    let there: BTreeSet<PieceName> = repository.pieces()?.into_keys().collect();
    let mut checkpoints = verify_checkpoints(repository, &there, &mut report)?;
    let logs = repository.logs()?;
    report.spare_pieces = there.iter().filter(|piece| !checkpoints.pieces.contains(piece)).count() as u64;
    let all = (logs.len() + checkpoints.pieces.len()) as u64;
    let mut done = 0;
    let damaged = verify_pieces(repository, &checkpoints.pieces, &mut report, |_| {
        done += 1;
        progress(done, all);
    })?;
    checkpoints.leave_out(&damaged);
    let held: Vec<HeldCheckpoint> = checkpoints.held.into_iter().map(|(held, _)| held).collect();
    let damaged = verify_logs(repository, &logs, &held, &mut report, || {
        done += 1;
        progress(done, all);
    })?;
    let latest = noted(&mut report, Latest::read(repository))?.flatten();
    let mut sound = Inventory { logs, checkpoints: held, latest, ..Inventory::default() };
    // A damaged checkpoint is no gap in the log.
    report.gaps = Inventory { logs: sound.logs.clone(), ..Inventory::of_names(repository)? }.gaps();
    for name in damaged {
        sound.leave_out(&name.path(), &Damage::Header, None);
    }
    (report.spans, report.lost) = (sound.spans(), sound.lost());
    Ok(report)
}

/// An object's own flaw goes into the report; what keeps from looking ends everything.
fn noted<T>(report: &mut Report, result: Result<T>) -> Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error @ BackupError::Damaged { .. }) => {
            report.problems.push(error);
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// What descriptions of checkpoints say.
#[derive(Default)]
struct Checkpoints {
    /// Those that can be restored, with the pieces that they need.
    held: Vec<(HeldCheckpoint, BTreeSet<PieceName>)>,
    /// The pieces that all of them name.
    pieces: BTreeSet<PieceName>,
}

impl Checkpoints {
    /// Those that need one of these pieces can't be restored.
    fn leave_out(&mut self, damaged: &BTreeSet<PieceName>) {
        self.held.retain(|(_, pieces)| pieces.is_disjoint(damaged));
    }
}

fn verify_checkpoints(
    repository: &Repository,
    there: &BTreeSet<PieceName>,
    report: &mut Report,
) -> Result<Checkpoints> {
    let mut checkpoints = Checkpoints::default();
    for index in repository.checkpoint_indexes()? {
        let Some(Some(checkpoint)) = noted(report, repository.checkpoint(index))? else { continue };
        report.checkpoints += 1;
        checkpoints.pieces.extend(checkpoint.pieces());
        if checkpoint.missing(there) == 0 {
            checkpoints.held.push((checkpoint.held(), checkpoint.pieces()));
        }
    }
    Ok(checkpoints)
}

/// The pieces that are damaged.
fn verify_pieces(
    repository: &Repository,
    pieces: &BTreeSet<PieceName>,
    report: &mut Report,
    mut progress: impl FnMut(u64),
) -> Result<BTreeSet<PieceName>> {
    let names: Vec<PieceName> = pieces.iter().copied().collect();
    let (mut damaged, mut each) = (BTreeSet::new(), names.iter());
    repository.each_piece(&names, |content| {
        let name = each.next();
        match noted(report, content)? {
            Some(content) => {
                report.pieces += 1;
                report.bytes += content.len() as u64;
            }
            None => damaged.extend(name),
        }
        progress(1);
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(damaged)
}

/// The objects that are damaged, or do not follow what is before them.
fn verify_logs(
    repository: &Repository,
    logs: &[HeldLog],
    checkpoints: &[HeldCheckpoint],
    report: &mut Report,
    mut progress: impl FnMut(),
) -> Result<Vec<LogName>> {
    let names: Vec<_> = logs.iter().map(|log| log.name).collect();
    let (mut tip, mut damaged) = (Tip::default(), Vec::new());
    repository.each_entries(&names, |name, entries| {
        progress();
        let Some(entries) = noted(report, entries)? else {
            damaged.push(name);
            return Ok(ControlFlow::Continue(()));
        };
        report.logs += 1;
        report.bytes += entries.records().len() as u64;
        let checked = check_chain(&entries, tip).and_then(|()| check_terms(&entries, checkpoints));
        if noted(report, checked.map_err(|damage| BackupError::damaged(&name.path(), damage)))?.is_none() {
            damaged.push(name);
        }
        if entries.last.index > tip.index {
            tip = entries.last;
        }
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(damaged)
}

/// Where the log's furthest end so far touches these entries, they must go on from it.
fn check_chain(entries: &Entries, tip: Tip) -> Result<(), Damage> {
    let touches = entries.before.index <= tip.index && tip.index <= entries.last.index;
    if touches && tip.index > 0 { entries.check_follows(tip) } else { Ok(()) }
}

/// A checkpoint must be of the same history.
fn check_terms(entries: &Entries, checkpoints: &[HeldCheckpoint]) -> Result<(), Damage> {
    let (first, last) = (entries.before.index, entries.last.index);
    let mut terms = entries.iter().map(|entry| (entry.index, entry.term));
    for checkpoint in checkpoints.iter().filter(|one| (first..=last).contains(&one.index)) {
        let term = match checkpoint.index == first {
            true => Some(entries.before.term),
            false => terms.find(|(index, _)| *index == checkpoint.index).map(|(_, term)| term),
        };
        if term != Some(checkpoint.term) {
            return Err(Damage::Chain { index: checkpoint.index });
        }
    }
    Ok(())
}

/// Replays everything that can be restored, in memory; `scratch` is an empty folder for checkpoints' files. `progress` hears of
/// entries, so far and in all.
pub fn verify_deeply(
    repository: &Repository,
    report: &mut Report,
    scratch: &Path,
    mut progress: impl FnMut(u64, u64),
) -> Result<()> {
    let inventory = repository.inventory()?;
    for span in inventory.spans() {
        let in_span: Vec<u64> = inventory
            .checkpoints
            .iter()
            .map(|checkpoint| checkpoint.index)
            .filter(|index| (span.first..=span.last).contains(index))
            .collect();
        let replayed = replay_span(repository, &inventory, span, &in_span, scratch, &mut progress);
        match replayed {
            Ok(compared) => report.replayed_checkpoints += compared,
            Err(error) if error.is_damage() => report.problems.push(error),
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn replay_span(
    repository: &Repository,
    inventory: &Inventory,
    span: Span,
    checkpoints: &[u64],
    scratch: &Path,
    progress: &mut impl FnMut(u64, u64),
) -> Result<u64> {
    let begins_with_nothing =
        inventory.logs.first().is_some_and(|log| log.name.first == 1) && span.first == 1;
    let mut replay = match checkpoints.first() {
        Some(index) if !begins_with_nothing => load(repository, *index, scratch)?,
        _ => Replay::of_nothing(),
    };
    let mut later = Vec::new();
    for index in checkpoints.iter().filter(|index| **index > replay.index()) {
        later.extend(repository.checkpoint(*index)?.map(|checkpoint| checkpoint.manifest));
    }
    let (first, mut compared) = (replay.index() + 1, 0);
    let names = inventory.cover(first, span.last)?;
    let mut later = later.iter().peekable();
    repository.each_entries(&names, |_, entries| {
        let entries = entries?;
        let begun = replay.index();
        for entry in entries.iter().filter(|entry| entry.index > begun && entry.index <= span.last) {
            replay.apply(entry.index, entry.payload)?;
            if let Some(manifest) = later.next_if(|manifest| manifest.point.index == entry.index) {
                compare(&replay, manifest)?;
                compared += 1;
            }
        }
        progress(replay.index() + 1 - first, span.last + 1 - first);
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(compared)
}

fn compare(replay: &Replay, manifest: &Manifest) -> Result<()> {
    let index = manifest.point.index;
    match replay.differences(manifest).first() {
        None => Ok(()),
        Some(difference) => Err(BackupError::Differs { index, difference: *difference }),
    }
}

fn load(repository: &Repository, index: u64, scratch: &Path) -> Result<Replay> {
    let stored: Option<StoredCheckpoint> = repository.checkpoint(index)?;
    let stored =
        stored.ok_or_else(|| BackupError::damaged(&super::names::checkpoint_path(index), Damage::Missing))?;
    let shelf = Shelf::at(scratch);
    let folder = shelf.path(index);
    stored.write_to(repository, &folder, &stored.manifest, |_| {})?;
    let replay = Replay::of_checkpoint(&shelf, &shelf.verify(index, |_| {})?)?;
    std::fs::remove_dir_all(&folder).map_err(BackupError::io("remove", &folder))?;
    Ok(replay)
}
