//! Removing what is not to be kept: old checkpoints, the log before the oldest that is kept, and pieces that nobody needs.
//!
//! - What stays can be restored as before. The newest checkpoint always stays.
//! - A checkpoint's description goes first, then its pieces; a crash in between leaves pieces that the next prune removes.
//! - A node may be storing a checkpoint meanwhile, and count on a piece that it found. So pieces are doomed before they are removed:
//!   a mark is put up, then it is looked once more what is needed, and only then pieces go. Who stores looks after the marks
//!   and for his pieces when his description is there. Whichever came first, no description lacks a piece in the end.
//! - The work under one mark is short: who stores waits for it, and gives up on a mark that stays.

use std::collections::BTreeSet;

use super::checkpoint::StoredCheckpoint;
use super::error::Result;
use super::inventory::Inventory;
use super::names::{self, LogName, PieceName};
use super::repository::Repository;
use crate::env::{self, Clock};

/// Pieces removed under one mark.
const AT_ONCE: usize = 1000;
/// Under one mark, no more is removed after this time.
const MARK_MS: u64 = 60_000;
/// A piece this young may be of a checkpoint that is being stored: it is not worth the trouble.
const YOUNG_MS: i64 = 3_600_000;
const MS_PER_DAY: i64 = 86_400_000;

/// What is to be kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keep {
    /// So many checkpoints, at least one.
    Newest(usize),
    /// Everything that it takes to go back so many days.
    Days(u64),
}

/// What goes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Doomed {
    pub checkpoints: Vec<u64>,
    pub logs: Vec<LogName>,
    pub pieces: Vec<PieceName>,
    /// As they are stored, but for checkpoints' descriptions.
    pub bytes: u64,
}

/// Finds out what [`remove`] would remove.
pub fn plan(repository: &Repository, keep: Keep, now_ms: i64) -> Result<Doomed> {
    let inventory = repository.inventory()?;
    let kept_from = kept_from(&inventory, keep, now_ms);
    let oldest =
        kept_from.and_then(|kept| inventory.checkpoints.get(kept)).map(|checkpoint| checkpoint.index);
    let checkpoints: Vec<u64> =
        inventory.checkpoints[..kept_from.unwrap_or(0)].iter().map(|checkpoint| checkpoint.index).collect();
    let logs: Vec<_> =
        inventory.logs.iter().filter(|log| oldest.is_some_and(|oldest| log.name.last <= oldest)).collect();
    let needed = needed(repository, &checkpoints)?;
    let pieces = repository.pieces()?;
    let is_old = |written_ms: i64| written_ms + YOUNG_MS <= now_ms;
    let dropped = dropped_pieces(repository, &checkpoints)?;
    let is_doomed = |name: &PieceName, written_ms: i64| {
        !needed.contains(name) && (dropped.contains(name) || is_old(written_ms))
    };
    let pieces: Vec<PieceName> =
        pieces.into_iter().filter(|(name, ms)| is_doomed(name, *ms)).map(|(name, _)| name).collect();
    let bytes =
        logs.iter().map(|log| log.bytes).sum::<u64>() + pieces.iter().map(|piece| piece.bytes).sum::<u64>();
    Ok(Doomed { checkpoints, logs: logs.into_iter().map(|log| log.name).collect(), pieces, bytes })
}

/// Removes it. `progress` hears of objects.
pub fn remove(
    repository: &Repository,
    doomed: &Doomed,
    clock: &Clock,
    mut progress: impl FnMut(u64),
) -> Result<()> {
    for index in &doomed.checkpoints {
        repository.remove(&names::checkpoint_path(*index))?;
        progress(1);
    }
    for log in &doomed.logs {
        repository.remove(&log.path())?;
        progress(1);
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
    progress: &mut impl FnMut(u64),
) -> Result<usize> {
    let mark = names::doomed_path(env::random_seed());
    repository.store().put(&mark, b"pieces are being removed\n".to_vec())?;
    let ends_ms = clock.monotonic_ms() + MARK_MS;
    let needed = needed(repository, &[])?;
    let mut done = 0;
    for piece in pieces {
        if done > 0 && clock.monotonic_ms() >= ends_ms {
            break;
        }
        if !needed.contains(piece) {
            repository.remove(&piece.path())?;
        }
        done += 1;
        progress(1);
    }
    repository.remove(&mark)?;
    Ok(done)
}

/// The place of the oldest checkpoint that stays; `None` where there is none.
fn kept_from(inventory: &Inventory, keep: Keep, now_ms: i64) -> Option<usize> {
    let count = inventory.checkpoints.len();
    let newest = count.checked_sub(1)?;
    Some(match keep {
        Keep::Newest(keep) => count - keep.clamp(1, count),
        Keep::Days(days) => {
            let since_ms =
                now_ms.saturating_sub(MS_PER_DAY.saturating_mul(i64::try_from(days).unwrap_or(i64::MAX)));
            // The last one before that moment is where going back to it begins.
            let before = inventory.checkpoints.partition_point(|checkpoint| checkpoint.stamp_ms <= since_ms);
            before.saturating_sub(1).min(newest)
        }
    })
}

/// What the checkpoints but these need.
fn needed(repository: &Repository, without: &[u64]) -> Result<BTreeSet<PieceName>> {
    let indexes = repository.checkpoint_indexes()?;
    pieces_of(repository, indexes.iter().filter(|index| !without.contains(index)))
}

fn dropped_pieces(repository: &Repository, checkpoints: &[u64]) -> Result<BTreeSet<PieceName>> {
    pieces_of(repository, checkpoints.iter())
}

fn pieces_of<'a>(
    repository: &Repository,
    indexes: impl Iterator<Item = &'a u64>,
) -> Result<BTreeSet<PieceName>> {
    let mut pieces = BTreeSet::new();
    for index in indexes {
        pieces.extend(repository.checkpoint(*index)?.iter().flat_map(StoredCheckpoint::pieces));
    }
    Ok(pieces)
}
