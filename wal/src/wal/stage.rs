//! Staging: what goes into the next batch, and what is refused before it does.
//!
//! - A refused call stages nothing.
//! - Cutting the tail is a record like any other, so it is as durable as what is appended behind it.
//! - What is staged is checked against what the log will hold after all that was staged before it.

use super::Wal;
use crate::disk::Disk;
use crate::error::WalError;
use crate::format::{Kind, MAX_PAYLOAD_BYTES, RECORD_HEADER_BYTES, RawRecord};
use crate::index::{HardState, LogIndex, Position};

/// Longest metadata, in bytes. It is repeated at the start of every segment.
pub const MAX_METADATA_BYTES: usize = 64 << 10;
/// Most bytes in one batch.
pub const MAX_BATCH_BYTES: u64 = 2 << 30;

/// An entry to be appended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Record<'a> {
    pub index: u64,
    pub term: u64,
    pub payload: &'a [u8],
}

/// What the log will hold once the staged batch is committed.
#[derive(Debug, Clone, Copy)]
pub(super) struct Staged {
    pub last: Position,
    pub base_index: u64,
    pub commit: u64,
}

impl Staged {
    pub fn of(index: &LogIndex) -> Staged {
        Staged { last: index.last(), base_index: index.base().index, commit: index.hard_state().commit }
    }
}

impl<D: Disk> Wal<D> {
    /// Stages one entry. An index that is in the log already cuts the log there first.
    pub fn stage(&mut self, record: Record<'_>) -> Result<(), WalError> {
        self.check_poison()?;
        self.check_room(record.payload.len())?;
        let expected = self.staged.last.index + 1;
        if record.index > expected {
            return Err(WalError::Gap { expected, found: record.index });
        }
        if record.index < expected {
            self.check_cut(record.index)?;
        }
        self.check_term(&record)?;
        if record.index < expected {
            self.truncate_suffix(record.index)?;
        }
        self.batch.push(&RawRecord {
            kind: Kind::Entry,
            index: record.index,
            term: record.term,
            payload: record.payload,
        });
        self.staged.last = Position { index: record.index, term: record.term };
        Ok(())
    }

    /// Stages raft's hard state. Stage the entries that it calls committed before it.
    pub fn stage_hard_state(&mut self, state: HardState) -> Result<(), WalError> {
        self.check_poison()?;
        self.check_room(8)?;
        let last = self.staged.last.index;
        if state.commit > last {
            return Err(WalError::CommitBeyondLog { commit: state.commit, last });
        }
        self.batch.push(&state.to_record(&mut [0; 8]));
        self.staged.commit = state.commit;
        Ok(())
    }

    /// Stages new metadata in place of the old.
    pub fn stage_metadata(&mut self, metadata: &[u8]) -> Result<(), WalError> {
        self.check_poison()?;
        check_metadata(metadata)?;
        self.check_room(metadata.len())?;
        self.batch.push(&RawRecord { kind: Kind::Metadata, index: 0, term: 0, payload: metadata });
        Ok(())
    }

    /// Stages a cut: the entries from `from_index` on are no more. Nothing happens behind the last entry.
    pub fn truncate_suffix(&mut self, from_index: u64) -> Result<(), WalError> {
        self.check_poison()?;
        if from_index > self.staged.last.index {
            return Ok(());
        }
        self.check_cut(from_index)?;
        self.check_room(0)?;
        let last = Position { index: from_index - 1, term: self.staged_term(from_index - 1) };
        self.batch.push(&RawRecord { kind: Kind::Truncate, index: from_index, term: 0, payload: &[] });
        self.staged.last = last;
        Ok(())
    }

    /// Stages that the entries up to `up_to_index` are no longer needed. With the next commit they are
    /// gone, and so are the segments that held nothing else. Nothing happens if they were gone before.
    pub fn compact_prefix(&mut self, up_to_index: u64) -> Result<(), WalError> {
        self.check_poison()?;
        if up_to_index <= self.staged.base_index {
            return Ok(());
        }
        let last = self.staged.last.index.min(self.last_index());
        let unavailable = WalError::Unavailable { index: up_to_index, last };
        if up_to_index > last {
            return Err(unavailable);
        }
        self.check_room(0)?;
        let term = self.index.term(up_to_index).ok_or(unavailable)?;
        self.batch.push(&RawRecord { kind: Kind::Compact, index: up_to_index, term, payload: &[] });
        self.staged.base_index = up_to_index;
        Ok(())
    }

    /// Stages that all entries are gone and the log goes on after `base`: a snapshot took their place.
    pub fn reset(&mut self, base: Position) -> Result<(), WalError> {
        self.check_poison()?;
        let commit = self.staged.commit;
        if base.index == u64::MAX {
            let last = self.staged.last.index;
            let index = base.index;
            return Err(WalError::Unavailable { index, last });
        }
        if base.index < commit {
            return Err(WalError::CutsCommitted { from: base.index + 1, commit });
        }
        self.check_room(0)?;
        self.batch.push(&RawRecord { kind: Kind::Reset, index: base.index, term: base.term, payload: &[] });
        self.staged.last = base;
        self.staged.base_index = base.index;
        Ok(())
    }
    fn check_room(&self, payload_bytes: usize) -> Result<(), WalError> {
        if payload_bytes > MAX_PAYLOAD_BYTES {
            return Err(WalError::PayloadTooLong { bytes: payload_bytes });
        }
        // One record for the payload, one for the cut that may go before it.
        let staged = self.batch.body_bytes() as u64;
        let more = (2 * RECORD_HEADER_BYTES + payload_bytes) as u64;
        if staged + more > MAX_BATCH_BYTES {
            return Err(WalError::BatchFull { bytes: staged });
        }
        Ok(())
    }

    fn check_cut(&self, from: u64) -> Result<(), WalError> {
        let Staged { base_index, commit, .. } = self.staged;
        if from <= base_index {
            return Err(WalError::Compacted { index: from, first: base_index + 1 });
        }
        if from <= commit {
            return Err(WalError::CutsCommitted { from, commit });
        }
        Ok(())
    }

    fn check_term(&self, record: &Record<'_>) -> Result<(), WalError> {
        let floor = if record.index == self.staged.last.index + 1 {
            self.staged.last.term
        } else {
            self.staged_term(record.index - 1)
        };
        if record.term < floor {
            return Err(WalError::TermWentBack { index: record.index, floor, found: record.term });
        }
        Ok(())
    }

    /// Term of an entry before the staged end: what was staged last counts, else what is committed.
    fn staged_term(&self, index: u64) -> u64 {
        let mut term = self.index.term(index).unwrap_or(0);
        for (_, record) in self.batch.records(self.active.sequence, self.active.end) {
            if matches!(record.kind, Kind::Entry | Kind::Reset) && record.index == index {
                term = record.term;
            }
        }
        term
    }
}

pub(super) fn check_metadata(metadata: &[u8]) -> Result<(), WalError> {
    if metadata.len() > MAX_METADATA_BYTES {
        return Err(WalError::MetadataTooLong { bytes: metadata.len(), limit: MAX_METADATA_BYTES });
    }
    Ok(())
}
