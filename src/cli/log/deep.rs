//! `perdura log verify --deep`: does the log, applied to the oldest checkpoint, make every newer one?
//!
//! - Bytes that are what was written (that is what `verify` proves without it) may still make other data than a node had: if a
//!   checkpoint is not of this log, or if this program applies an entry otherwise than the one that wrote the checkpoint did.
//! - The data is made in memory, as a node would make it; the folder is only read.

use std::collections::BTreeMap;
use std::io::Write;

use indicatif::{ProgressBar, ProgressStyle};
use perdura_wal::{LogView, ReadOnlyDisk, WalError};
use serde::Serialize;

use super::Failure;
use super::folder::Folder;
use crate::checkpoint::manifest::Manifest;
use crate::checkpoint::shelf::Shelf;
use crate::raft::identity::Identity;
use crate::replay::{Replay, ReplayError};

#[derive(Debug, Serialize)]
pub struct DeepReport {
    /// The checkpoint that the data was begun with; none where the log begins with its first entry.
    from_checkpoint: Option<u64>,
    /// Entries that were applied, and the last of them.
    entries: u64,
    last_index: u64,
    /// Keys and digest behind that, as a checkpoint would have them.
    keys: u64,
    digest: String,
    /// The newer checkpoints, oldest first.
    compared: Vec<Compared>,
    /// What else is wrong.
    pub findings: Vec<String>,
}

#[derive(Debug, Serialize)]
struct Compared {
    index: u64,
    keys: u64,
    digest: String,
    same: bool,
    /// Database by database, what differs.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    differences: Vec<String>,
}

/// Why replaying stops.
enum Stop {
    Log(WalError),
    Replay(ReplayError),
}

impl From<WalError> for Stop {
    fn from(error: WalError) -> Stop {
        Stop::Log(error)
    }
}

/// What was found on the way.
struct Walk<'a> {
    view: &'a LogView<ReadOnlyDisk>,
    /// The checkpoints that are whole, by entry.
    manifests: BTreeMap<u64, Manifest>,
    compared: Vec<Compared>,
    findings: Vec<String>,
}

/// Replays the log of a folder, whose bytes are sound.
pub fn verify(folder: &Folder) -> Result<DeepReport, Failure> {
    let (view, shelf) = (folder.view()?, folder.shelf());
    let mut walk =
        Walk { view: &view, manifests: BTreeMap::new(), compared: Vec::new(), findings: Vec::new() };
    for index in folder.checkpoints()? {
        walk.prove(&shelf, index)?;
    }
    let (base, newest) = (view.base().index, walk.manifests.keys().max().copied().unwrap_or(0));
    let Some(mut replay) = walk.begin(&shelf, base)? else {
        walk.findings.push(format!(
            "the log begins behind entry {base}, and there is no whole checkpoint to begin with"
        ));
        return Ok(walk.report(None, &Replay::of_nothing(), 0));
    };
    let first = replay.index();
    let last = known_committed(&view).max(newest).min(view.last().index);
    match walk.replay(&mut replay, last) {
        Ok(()) => {}
        Err(Stop::Log(error)) => return Err(folder.failure(error)),
        Err(Stop::Replay(error)) => walk.findings.push(error.to_string()),
    }
    let entries = replay.index() - first;
    Ok(walk.report((first > 0).then_some(first), &replay, entries))
}

/// The last entry that is known to be committed: what is behind it may never come to be. Of a node alone all is.
fn known_committed(view: &LogView<ReadOnlyDisk>) -> u64 {
    let is_alone = Identity::decode(view.metadata()).is_ok_and(|identity| identity.members.len() == 1);
    if is_alone { view.last().index } else { view.hard_state().commit }
}

impl Walk<'_> {
    /// Reads a checkpoint's files, and compares its term with the log's.
    fn prove(&mut self, shelf: &Shelf, index: u64) -> Result<(), Failure> {
        let manifest = match shelf.verify(index, |_| {}) {
            Ok(manifest) => manifest,
            Err(error) if error.is_damage() => {
                self.findings.push(error.to_string());
                return Ok(());
            }
            Err(error) => return Err(error.into()),
        };
        let (term, last) = (manifest.point.term, self.view.last().index);
        match self.view.term(index) {
            Some(found) if found == term => drop(self.manifests.insert(index, manifest)),
            Some(found) => self.findings.push(format!(
                "checkpoint {index} is of term {term}, but the log's entry {index} is of term {found}"
            )),
            None if index > last => {
                self.findings.push(format!("checkpoint {index} is newer than the log's last entry, {last}"));
            }
            // The log was cut behind it: nothing can be replayed from there.
            None => {}
        }
        Ok(())
    }

    /// The data that the oldest checkpoint holds, or nothing before the first entry.
    fn begin(&mut self, shelf: &Shelf, base: u64) -> Result<Option<Replay>, Failure> {
        while let Some((index, manifest)) = self.manifests.pop_first() {
            let spinner = ProgressBar::new_spinner().with_message(format!("loading checkpoint {index}"));
            spinner.enable_steady_tick(std::time::Duration::from_millis(100));
            let begun = Replay::of_checkpoint(shelf, &manifest);
            spinner.finish_and_clear();
            match begun {
                Ok(replay) => return Ok(Some(replay)),
                Err(ReplayError::Checkpoint(error)) if !error.is_damage() => return Err(error.into()),
                Err(error) => self.findings.push(error.to_string()),
            }
        }
        Ok((base == 0).then(Replay::of_nothing))
    }

    /// Applies all up to `last`, and compares at each checkpoint.
    fn replay(&mut self, replay: &mut Replay, last: u64) -> Result<(), Stop> {
        let bar = ProgressBar::new(last.saturating_sub(replay.index()));
        let style = ProgressStyle::with_template("replaying {bar:40} {pos} of {len} entries, {per_sec}");
        // A template that can't be parsed leaves the usual one.
        if let Ok(style) = style {
            bar.set_style(style);
        }
        let replayed = self.view.visit_entries(replay.index() + 1, last, |record| {
            replay.apply(record.index, &record.payload).map_err(Stop::Replay)?;
            bar.inc(1);
            if let Some(manifest) = self.manifests.remove(&record.index) {
                self.compared.push(Compared::of(replay, &manifest));
            }
            Ok(())
        });
        bar.finish_and_clear();
        replayed
    }

    fn report(self, from_checkpoint: Option<u64>, replay: &Replay, entries: u64) -> DeepReport {
        let (keys, digest) = replay.summary();
        DeepReport {
            from_checkpoint,
            entries,
            last_index: replay.index(),
            keys,
            digest: format!("{digest:032x}"),
            compared: self.compared,
            findings: self.findings,
        }
    }
}

impl Compared {
    fn of(replay: &Replay, manifest: &Manifest) -> Compared {
        let differences = replay.differences(manifest).into_iter().map(|one| {
            let (replayed, recorded) = (one.replayed, one.recorded);
            format!(
                "database {}: the log makes {} keys with digest {:032x}, the checkpoint has {} with {:032x}",
                one.db, replayed.keys, replayed.digest, recorded.keys, recorded.digest
            )
        });
        let differences: Vec<String> = differences.collect();
        Compared {
            index: manifest.point.index,
            keys: manifest.keys(),
            digest: format!("{:032x}", manifest.digest()),
            same: differences.is_empty(),
            differences,
        }
    }
}

impl DeepReport {
    pub fn is_sound(&self) -> bool {
        self.findings.is_empty() && self.compared.iter().all(|compared| compared.same)
    }

    pub fn write_text(&self, out: &mut impl Write) -> Result<(), Failure> {
        for finding in &self.findings {
            writeln!(out, "DAMAGED  {finding}")?;
        }
        for Compared { index, keys, digest, differences, .. } in &self.compared {
            match differences.first() {
                None => writeln!(out, "same     checkpoint {index}: {keys} keys, digest {digest}")?,
                Some(_) => writeln!(out, "DIFFERS  checkpoint {index}: {}", differences.join("; "))?,
            }
        }
        let begin = match self.from_checkpoint {
            Some(index) => format!("checkpoint {index}"),
            None => "the first entry".to_owned(),
        };
        let DeepReport { entries, last_index, keys, digest, .. } = self;
        writeln!(
            out,
            "Replayed {entries} entries from {begin} to entry {last_index}: {keys} keys, digest {digest}"
        )?;
        Ok(())
    }
}
