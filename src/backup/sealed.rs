//! What can be checked of an encrypted repository without its key: checksums, which find accidental damage, and names, which show gaps.
//!
//! A checksum is no seal: whoever can write to the store can make an object with a right one. So this report says what it leaves
//! unproven.

use std::ops::ControlFlow;

use super::error::{BackupError, Damage, Result};
use super::inventory::{HeldCheckpoint, Inventory};
use super::names;
use super::object::{self, Kind};
use super::repository::Sealed;
use super::store::Wanted;

/// What takes the key to prove.
pub const UNPROVEN: [&str; 4] = [
    "that objects hold what was stored: a checksum finds accidental damage, not forgery",
    "that checkpoints have all their pieces",
    "that the log's entries follow one another, and the checkpoints are of the same history",
    "to which times one can go back",
];

/// What a look without the key found.
#[derive(Debug, Default)]
pub struct SealedReport {
    pub checkpoints: u64,
    pub logs: u64,
    pub pieces: u64,
    /// As they are stored.
    pub bytes: u64,
    /// Entries that are missing.
    pub gaps: Vec<(u64, u64)>,
    pub problems: Vec<BackupError>,
}

impl SealedReport {
    /// Whether nothing was found: not whether nothing is wrong.
    pub fn is_clean(&self) -> bool {
        self.problems.is_empty() && self.gaps.is_empty()
    }
}

/// Reads every object and checks what can be checked. `progress` hears of objects, so far and in all.
pub fn verify_sealed(repository: &Sealed, mut progress: impl FnMut(u64, u64)) -> Result<SealedReport> {
    let repository = repository.repository();
    let logs = repository.logs()?;
    let indexes = repository.checkpoint_indexes()?;
    let pieces = repository.pieces()?;
    let mut report = SealedReport {
        checkpoints: indexes.len() as u64,
        logs: logs.len() as u64,
        pieces: pieces.len() as u64,
        ..SealedReport::default()
    };
    let of_kind = |name: String, kind: Kind| (Wanted { name, most_bytes: kind.most_bytes() }, kind);
    let checkpoints = indexes.iter().map(|index| of_kind(names::checkpoint_path(*index), Kind::Checkpoint));
    let all = checkpoints
        .chain(logs.iter().map(|log| of_kind(log.name.path(), Kind::Log)))
        .chain(pieces.keys().map(|piece| of_kind(piece.path(), Kind::Piece)));
    let (wanted, kinds): (Vec<Wanted>, Vec<Kind>) = all.unzip();
    repository.store().get_each(&wanted, |number, stored| {
        progress(number as u64 + 1, wanted.len() as u64);
        let name = &wanted[number].name;
        let checked = stored.and_then(|stored| {
            let stored = stored.ok_or(Damage::Missing);
            let checked = stored.and_then(|stored| {
                let is_encrypted = object::check(name, kinds[number], &stored)?.is_encrypted();
                if is_encrypted { Ok(stored.len() as u64) } else { Err(Damage::Mixed) }
            });
            checked.map_err(|damage| BackupError::damaged(name, damage))
        });
        match checked {
            Ok(bytes) => report.bytes += bytes,
            Err(error @ BackupError::Damaged { .. }) => report.problems.push(error),
            Err(error) => return Err(error),
        }
        Ok(ControlFlow::Continue(()))
    })?;
    // Their names have the indexes, and gaps are made of nothing else.
    let checkpoint = |index| HeldCheckpoint { index, term: 0, stamp_ms: 0, keys: 0, bytes: 0 };
    let checkpoints = indexes.into_iter().map(checkpoint).collect();
    report.gaps = Inventory { logs, checkpoints, ..Inventory::default() }.gaps();
    Ok(report)
}
