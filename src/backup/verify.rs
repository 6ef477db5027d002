//! Proving a repository: every object, the chain of the log, and what checkpoints need.
//!
//! - Everything that is wrong is found, not the first thing only.
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
use super::names::PieceName;
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
    let there: BTreeSet<PieceName> = repository.pieces()?.into_keys().collect();
    let (checkpoints, incomplete, pieces) = verify_checkpoints(repository, &there, &mut report)?;
    let logs = repository.logs()?;
    report.spare_pieces = there.iter().filter(|piece| !pieces.contains(piece)).count() as u64;
    let all = (logs.len() + pieces.len()) as u64;
    let mut done = 0;
    verify_pieces(repository, &pieces, &mut report, |_| {
        done += 1;
        progress(done, all);
    })?;
    verify_logs(repository, &logs, &checkpoints, &mut report, || {
        done += 1;
        progress(done, all);
    })?;
    let latest = noted(&mut report, Latest::read(repository))?.flatten();
    let inventory = Inventory { logs, checkpoints, incomplete, latest };
    (report.spans, report.gaps) = (inventory.spans(), inventory.gaps());
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

/// Checkpoints that can be restored, the others, and the pieces that all of them name.
type Checkpoints = (Vec<HeldCheckpoint>, Vec<u64>, BTreeSet<PieceName>);

fn verify_checkpoints(
    repository: &Repository,
    there: &BTreeSet<PieceName>,
    report: &mut Report,
) -> Result<Checkpoints> {
    let (mut held, mut incomplete, mut pieces) = (Vec::new(), Vec::new(), BTreeSet::new());
    for index in repository.checkpoint_indexes()? {
        let Some(Some(checkpoint)) = noted(report, repository.checkpoint(index))? else {
            incomplete.push(index);
            continue;
        };
        report.checkpoints += 1;
        pieces.extend(checkpoint.pieces());
        match checkpoint.missing(there) {
            0 => held.push(checkpoint.held()),
            _ => incomplete.push(index),
        }
    }
    Ok((held, incomplete, pieces))
}

fn verify_pieces(
    repository: &Repository,
    pieces: &BTreeSet<PieceName>,
    report: &mut Report,
    mut progress: impl FnMut(u64),
) -> Result<()> {
    let names: Vec<PieceName> = pieces.iter().copied().collect();
    repository.each_piece(&names, |content| {
        if let Some(content) = noted(report, content)? {
            report.pieces += 1;
            report.bytes += content.len() as u64;
        }
        progress(1);
        Ok(ControlFlow::Continue(()))
    })
}

fn verify_logs(
    repository: &Repository,
    logs: &[HeldLog],
    checkpoints: &[HeldCheckpoint],
    report: &mut Report,
    mut progress: impl FnMut(),
) -> Result<()> {
    let names: Vec<_> = logs.iter().map(|log| log.name).collect();
    let mut tip = Tip::default();
    repository.each_entries(&names, |name, entries| {
        progress();
        let Some(entries) = noted(report, entries)? else { return Ok(ControlFlow::Continue(())) };
        report.logs += 1;
        report.bytes += entries.records().len() as u64;
        let checked = check_chain(&entries, tip).and_then(|()| check_terms(&entries, checkpoints));
        noted(report, checked.map_err(|damage| BackupError::damaged(&name.path(), damage)))?;
        if entries.last.index > tip.index {
            tip = entries.last;
        }
        Ok(ControlFlow::Continue(()))
    })
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
