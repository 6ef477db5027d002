//! Removing what is not to be kept: old checkpoints, the log before the oldest that is kept, and pieces that nobody needs.
//!
//! - What stays can be restored as before. The newest checkpoint with all its pieces always stays; one that lacks a piece is none to
//!   keep others' room for.
//! - A checkpoint's description goes first, then its pieces; a crash in between leaves pieces that the next prune removes.
//! - A node may be storing a checkpoint meanwhile, and count on a piece that it found. So pieces are doomed before they are removed:
//!   a mark is put up, then all descriptions are read once more, those of checkpoints that are being stored included, and only then
//!   pieces go. The node that stores waits for marks after it has described its checkpoint under `storing/`. Whichever came first,
//!   no checkpoint lacks a piece in the end.
//! - The work under one mark is short: the node waits for it, and gives up on a mark that stays.
//! - What a crash left under `storing/` is removed after a day.

use std::collections::BTreeSet;

use super::checkpoint::StoredCheckpoint;
use super::error::Result;
use super::inventory::HeldCheckpoint;
use super::names::{self, LogName, PieceName, StoringName};
use super::repository::Repository;
pub use crate::config::Keep;
use crate::env::{self, Clock};

/// Pieces removed under one mark.
const AT_ONCE: usize = 1000;
/// Under one mark, no more is removed after this time.
const MARK_MS: u64 = 60_000;
/// A piece this young may be of a checkpoint that is being stored: it is not worth the trouble.
const YOUNG_MS: i64 = 3_600_000;
const MS_PER_DAY: i64 = 86_400_000;
/// A checkpoint that has been described under `storing/` for so long was given up: its pieces were there when that was written.
const GIVEN_UP_MS: i64 = MS_PER_DAY;

impl Keep {
    pub fn newest(checkpoints: usize) -> Keep {
        Keep { checkpoints: Some(checkpoints), days: None }
    }

    pub fn days(days: u64) -> Keep {
        Keep { checkpoints: None, days: Some(days) }
    }

    /// Whether anything may go.
    pub fn is_limit(&self) -> bool {
        *self != Keep::default()
    }
}

/// What goes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Doomed {
    pub checkpoints: Vec<u64>,
    pub logs: Vec<LogName>,
    pub pieces: Vec<PieceName>,
    /// Attempts to store a checkpoint that were given up: their descriptions.
    pub given_up: Vec<StoringName>,
    /// As they are stored, but for checkpoints' descriptions.
    pub bytes: u64,
    /// Checkpoints that stay although they lack pieces: a node may store those again.
    pub incomplete: Vec<u64>,
}

impl Doomed {
    /// Objects that go.
    pub fn objects(&self) -> usize {
        self.checkpoints.len() + self.logs.len() + self.pieces.len() + self.given_up.len()
    }
}

/// Finds out what [`remove`] would remove.
pub fn plan(repository: &Repository, keep: Keep, now_ms: i64) -> Result<Doomed> {
    let inventory = repository.inventory()?;
    let pieces = repository.pieces()?;
    let oldest = oldest_kept(&inventory.checkpoints, keep, now_ms);
    let is_before = |index: &u64| oldest.is_some_and(|oldest| *index < oldest);
    let (gone, incomplete): (Vec<u64>, Vec<u64>) =
        inventory.unusable.iter().map(|one| one.index).partition(is_before);
    let whole = inventory.checkpoints.iter().map(|one| one.index).filter(is_before);
    let mut checkpoints: Vec<u64> = whole.chain(gone).collect();
    checkpoints.sort_unstable();
    let logs: Vec<_> =
        inventory.logs.iter().filter(|log| oldest.is_some_and(|oldest| log.name.last <= oldest)).collect();
    let attempts = repository.attempts()?;
    let is_given_up = |ms: i64| ms.saturating_add(GIVEN_UP_MS) <= now_ms;
    let given_up = attempts.into_iter().filter(|(_, ms)| is_given_up(*ms)).map(|(attempt, _)| attempt);
    let given_up: Vec<StoringName> = given_up.collect();
    let needed = needed(repository, &checkpoints, &given_up)?;
    let is_old = |written_ms: i64| written_ms + YOUNG_MS <= now_ms;
    let dropped = pieces_of(repository, checkpoints.iter(), Repository::checkpoint)?;
    let is_doomed = |name: &PieceName, written_ms: i64| {
        !needed.contains(name) && (dropped.contains(name) || is_old(written_ms))
    };
    let pieces: Vec<PieceName> =
        pieces.into_iter().filter(|(name, ms)| is_doomed(name, *ms)).map(|(name, _)| name).collect();
    let bytes =
        logs.iter().map(|log| log.bytes).sum::<u64>() + pieces.iter().map(|piece| piece.bytes).sum::<u64>();
    let logs = logs.into_iter().map(|log| log.name).collect();
    Ok(Doomed { checkpoints, logs, pieces, given_up, bytes, incomplete })
}

/// Removes it. `progress` hears of objects, and may end the work.
pub fn remove(
    repository: &Repository,
    doomed: &Doomed,
    clock: &Clock,
    mut progress: impl FnMut(u64) -> Result<()>,
) -> Result<()> {
    for index in &doomed.checkpoints {
        repository.remove(&names::checkpoint_path(*index))?;
        progress(1)?;
    }
    for attempt in &doomed.given_up {
        repository.remove(&attempt.path())?;
        progress(1)?;
    }
    for log in &doomed.logs {
        repository.remove(&log.path())?;
        progress(1)?;
    }
    let mut left = &doomed.pieces[..];
    while !left.is_empty() {
        let (now, later) = left.split_at(left.len().min(AT_ONCE));
        let done = remove_under_mark(repository, now, clock, &mut progress)?;
        left = if done < now.len() { &left[done..] } else { later };
    }
    Ok(())
}

/// Removes pieces until it takes too long; how many.
fn remove_under_mark(
    repository: &Repository,
    pieces: &[PieceName],
    clock: &Clock,
    progress: &mut impl FnMut(u64) -> Result<()>,
) -> Result<usize> {
    let mark = names::doomed_path(env::random_seed());
    repository.store().put(&mark, b"pieces are being removed\n".to_vec())?;
    let removed = remove_marked(repository, pieces, clock, progress);
    // A mark that stays makes others wait.
    repository.remove(&mark).and(removed)
}

fn remove_marked(
    repository: &Repository,
    pieces: &[PieceName],
    clock: &Clock,
    progress: &mut impl FnMut(u64) -> Result<()>,
) -> Result<usize> {
    let ends_ms = clock.monotonic_ms() + MARK_MS;
    let needed = needed(repository, &[], &[])?;
    let mut done = 0;
    for piece in pieces {
        if done > 0 && clock.monotonic_ms() >= ends_ms {
            break;
        }
        if !needed.contains(piece) {
            repository.remove(&piece.path())?;
        }
        done += 1;
        progress(1)?;
    }
    Ok(done)
}

/// The oldest checkpoint that stays; `None` where there is none.
fn oldest_kept(checkpoints: &[HeldCheckpoint], keep: Keep, now_ms: i64) -> Option<u64> {
    let count = checkpoints.len();
    let newest = count.checked_sub(1)?;
    let by_count = keep.checkpoints.map(|keep| count - keep.clamp(1, count));
    let by_days = keep.days.map(|days| {
        let since_ms =
            now_ms.saturating_sub(MS_PER_DAY.saturating_mul(i64::try_from(days).unwrap_or(i64::MAX)));
        // The last one before that moment is where going back to it begins.
        let before = checkpoints.partition_point(|checkpoint| checkpoint.stamp_ms <= since_ms);
        before.saturating_sub(1).min(newest)
    });
    let place = by_count.into_iter().chain(by_days).min().unwrap_or(0);
    checkpoints.get(place).map(|checkpoint| checkpoint.index)
}

/// What checkpoints need, those that are being stored included, but for these.
fn needed(repository: &Repository, without: &[u64], given_up: &[StoringName]) -> Result<BTreeSet<PieceName>> {
    // First those that are being stored: one may move to the others meanwhile.
    let attempts: Vec<StoringName> = repository.attempts()?.into_iter().map(|(attempt, _)| attempt).collect();
    let storing = attempts.iter().filter(|attempt| !given_up.contains(attempt));
    let mut needed = pieces_of(repository, storing, Repository::storing)?;
    let indexes = repository.checkpoint_indexes()?;
    let stored = indexes.iter().filter(|index| !without.contains(index));
    needed.extend(pieces_of(repository, stored, Repository::checkpoint)?);
    Ok(needed)
}

fn pieces_of<'a, N: Copy + 'a>(
    repository: &Repository,
    names: impl Iterator<Item = &'a N>,
    read: impl Fn(&Repository, N) -> Result<Option<StoredCheckpoint>>,
) -> Result<BTreeSet<PieceName>> {
    let mut pieces = BTreeSet::new();
    for name in names {
        match read(repository, *name) {
            Ok(checkpoint) => pieces.extend(checkpoint.iter().flat_map(StoredCheckpoint::pieces)),
            // It can't be restored, whatever pieces are there. A node that stores it again stores its pieces, too.
            Err(error) if error.is_worthless_object() => {}
            Err(error) => return Err(error),
        }
    }
    Ok(pieces)
}
