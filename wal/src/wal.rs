//! The log itself: commit, roll, drop what is no longer needed.
//!
//! - `stage…`, `truncate_suffix`, `compact_prefix` and `reset` only append to the batch in memory; what they
//!   did shows in `last_index` and the like after [`Wal::commit`], and it shows as a whole or not at all.
//! - A commit is one durable write at the end of the segment in use, or one at the start of the next; several, where it is long.
//! - Nothing is ever written over, but the last block with the same bytes and more behind them, unless
//!   `pad_to_block` forbids even that.
//! - After any failed write or sync every call returns that error. A full disk need not come to that: see
//!   [`Wal::secure_room`].

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::batch::{BatchBuffer, Destination, Layout};
use crate::disk::{Disk, DiskFile};
use crate::error::WalError;
use crate::format::{BLOCK_BYTES, SegmentHeader, segment_seed};
use crate::index::{HardState, LogIndex, Position};
use crate::segment::{Handle, SealedSegment, Source, name_of};
use crate::spares::{Preparer, Retired, Spare, Spares};
use crate::view::SegmentView;
use stage::Staged;

mod open;
mod room;
mod stage;

pub use open::{NewLog, Options};
pub use room::Needed;
pub use stage::{MAX_BATCH_BYTES, MAX_METADATA_BYTES, Record};

/// A longer batch is written in parts of so many bytes, so that others see that the disk works. To recovery a batch of which only the
/// first parts were written is like any other torn write. It is a multiple of a block.
const PART_BYTES: usize = 8 << 20;

/// What a commit wrote.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CommitStats {
    /// Bytes handed to the disk, padding and repeated bytes included.
    pub bytes: u64,
    /// Records of all kinds.
    pub records: u32,
    pub write_calls: u32,
}

/// The segment in use.
#[derive(Debug)]
struct Active<F> {
    sequence: u64,
    file: F,
    file_bytes: u64,
    seed: u32,
    /// Offset of the next batch.
    end: u64,
    /// Checksum that the next batch names as its predecessor's.
    chain: u32,
}

/// A write-ahead log in one folder.
#[derive(Debug)]
pub struct Wal<D: Disk> {
    pub(crate) disk: D,
    pub(crate) index: LogIndex,
    log_id: u64,
    epoch: u32,
    layout: Layout,
    sealed: VecDeque<SealedSegment<D>>,
    active: Active<D::File>,
    batch: BatchBuffer,
    staged: Staged,
    spares: Arc<Spares<D>>,
    poison: Option<WalError>,
    /// Counts the parts of long writes that are durable.
    parts: Arc<AtomicU64>,
    lock: D::Lock,
}

impl<D: Disk> Wal<D> {
    /// Makes everything staged durable, with one write and one sync. Does nothing if nothing is staged.
    ///
    /// After an error the log is poisoned: whether the batch will be found at the next open is unknown.
    pub fn commit(&mut self) -> Result<CommitStats, WalError> {
        self.check_poison()?;
        if self.batch.record_count() == 0 {
            return Ok(CommitStats::default());
        }
        self.write_batch()
    }

    /// Term of the entry, or of the last compacted one.
    pub fn term(&self, index: u64) -> Result<u64, WalError> {
        self.check_poison()?;
        self.index.term(index).ok_or_else(|| {
            let first = self.first_index();
            if index < first {
                WalError::Compacted { index, first }
            } else {
                WalError::Unavailable { index, last: self.last_index() }
            }
        })
    }

    /// Index of the first entry that is there, or would be.
    pub fn first_index(&self) -> u64 {
        self.index.first_index()
    }

    /// Index of the last committed entry; `first_index() - 1` if there is none.
    pub fn last_index(&self) -> u64 {
        self.index.last().index
    }

    /// The last entry that was compacted away, or the snapshot's.
    pub fn base(&self) -> Position {
        self.index.base()
    }

    pub fn hard_state(&self) -> HardState {
        self.index.hard_state()
    }

    pub fn metadata(&self) -> &[u8] {
        self.index.metadata()
    }

    pub fn log_id(&self) -> u64 {
        self.log_id
    }

    /// Sees that the folder is still where this log was opened: what is written to one that was removed, moved or replaced is lost.
    pub fn check_place(&self) -> Result<(), WalError> {
        let file = name_of(self.active.sequence);
        let is_in_place = self.disk.is_in_place(&self.lock, &file, &self.active.file);
        match is_in_place.map_err(WalError::io("look for", &file, 0))? {
            true => Ok(()),
            false => Err(WalError::Displaced { file }),
        }
    }

    /// Bytes that can be committed before a new segment must be made: what to watch on a full disk.
    pub fn ready_bytes(&self) -> u64 {
        self.active.file_bytes.saturating_sub(self.active.end) + self.spares.ready().bytes
    }

    /// Bytes of the segments in use.
    pub fn disk_bytes(&self) -> u64 {
        let sealed: u64 = self.sealed.iter().map(|segment| segment.file_bytes).sum();
        sealed + self.active.file_bytes
    }

    /// The last entry that can be compacted away so that segments with at least `bytes` bytes of records stay.
    pub fn compactable_beyond(&self, bytes: u64) -> u64 {
        if bytes == 0 {
            return self.last_index();
        }
        let (mut kept, mut oldest_kept) = (self.active.end, self.active.sequence);
        for segment in self.sealed.iter().rev() {
            if kept >= bytes {
                return self.index.first_from(oldest_kept) - 1;
            }
            (kept, oldest_kept) = (kept + segment.end, segment.sequence);
        }
        self.base().index
    }

    /// The segments in use, oldest first; the last is the one that is written to.
    pub fn segments(&self) -> impl Iterator<Item = SegmentView> + '_ {
        let sealed = self.sealed.iter().map(|segment| (segment.sequence, segment.end, segment.file_bytes));
        let active = (self.active.sequence, self.active.end, self.active.file_bytes);
        sealed.chain([active]).map(|(sequence, used_bytes, file_bytes)| SegmentView {
            file: name_of(sequence),
            file_bytes,
            used_bytes,
            entries: self.index.entries_in(sequence),
        })
    }

    /// Sequences of the sealed segments, oldest first.
    pub fn sealed_segments(&self) -> impl Iterator<Item = u64> + '_ {
        self.sealed.iter().map(|segment| segment.sequence)
    }

    /// Counts further parts of long writes there.
    pub fn count_parts(&mut self, parts: Arc<AtomicU64>) {
        self.parts = parts;
    }

    /// Takes the work of making and dropping segments out of commits; give it to a thread.
    pub fn take_preparer(&mut self) -> Preparer<D> {
        Preparer::new(self.spares.clone())
    }

    pub(crate) fn sealed_segment(&self, sequence: u64) -> Option<&SealedSegment<D>> {
        let oldest = self.sealed.front()?.sequence;
        let position = usize::try_from(sequence.checked_sub(oldest)?).ok()?;
        self.sealed.get(position)
    }

    pub(crate) fn active_source(&self) -> Source<'_, D::File> {
        let end = self.active.end.min(self.active.file_bytes);
        Source::file(Handle::Borrowed(&self.active.file), self.active.sequence, end)
    }

    pub(crate) fn check_poison(&self) -> Result<(), WalError> {
        self.poison.clone().map_or(Ok(()), Err)
    }
    fn write_batch(&mut self) -> Result<CommitStats, WalError> {
        let result = self.try_write_batch();
        if let Err(error) = &result {
            self.poison = Some(error.clone());
        }
        result
    }

    fn try_write_batch(&mut self) -> Result<CommitStats, WalError> {
        if self.batch.write_end(self.active.end, self.layout) > self.active.file_bytes {
            self.roll()?;
        }
        let offset = self.active.end;
        let to = self.active.destination(self.epoch);
        let sealed = self.batch.seal(to, self.layout);
        let bytes = self.batch.write_bytes();
        let stats = CommitStats {
            bytes: bytes.len() as u64,
            records: self.batch.record_count(),
            write_calls: self.active.write(bytes, sealed.write_offset, &self.parts)?,
        };
        assert!(
            sealed.write_offset <= offset
                && offset - sealed.write_offset < self.layout.granularity.max(BLOCK_BYTES + 1),
            "a write begins at {} where the log ends at {offset}: only the last block is written again",
            sealed.write_offset
        );
        assert!(sealed.next_offset > offset, "a batch ends after its beginning");
        self.active.end = sealed.next_offset;
        self.active.chain = sealed.crc;
        self.apply_batch(offset)?;
        self.batch.advance(sealed, self.layout);
        self.drop_unneeded()?;
        Ok(stats)
    }

    /// Turns to the next segment. The staged batch becomes its first and is written with its header, so
    /// that beginning a segment costs no write of its own.
    fn roll(&mut self) -> Result<(), WalError> {
        let spare = self.spares.take()?;
        let header = SegmentHeader {
            log_id: self.log_id,
            sequence: spare.sequence,
            first_index: self.index.next_index(),
            previous_end: self.active.end,
            previous_crc: self.active.chain,
            epoch: self.epoch,
        };
        let (opening, header_crc) = BatchBuffer::opening(&header, &self.index);
        self.batch.open_with(&opening);
        assert!(
            header.sequence == self.active.sequence + 1,
            "segment {} was made to follow segment {}: sequences are contiguous",
            header.sequence,
            self.active.sequence
        );
        let full = std::mem::replace(&mut self.active, Active::begin(self.log_id, spare, header_crc));
        // A batch that is larger than a segment makes its file grow.
        let needed = self.batch.write_end(self.active.end, self.layout);
        self.active.file_bytes = self.active.file_bytes.max(needed);
        self.sealed.push_back(SealedSegment::written(full.sequence, full.end, full.file_bytes));
        Ok(())
    }

    /// Takes what was just written into the index, exactly as recovery would.
    fn apply_batch(&mut self, offset: u64) -> Result<(), WalError> {
        for (place, record) in self.batch.records(self.active.sequence, offset) {
            self.index.apply(&record, place).map_err(|fault| WalError::Damaged {
                file: name_of(place.sequence),
                offset: place.offset,
                fault,
            })?;
        }
        self.staged = Staged::of(&self.index);
        Ok(())
    }

    fn drop_unneeded(&mut self) -> Result<(), WalError> {
        let oldest_needed = self.index.oldest_sequence().unwrap_or(self.active.sequence);
        while let Some(segment) = self.sealed.front()
            && segment.sequence < oldest_needed
        {
            let SealedSegment { sequence, file_bytes, is_readable, .. } = *segment;
            let retired = Retired { sequence, file_bytes, is_readable };
            // Before its file may be recycled, its map must be gone.
            self.sealed.pop_front();
            self.spares.retire(retired)?;
        }
        Ok(())
    }
}

impl<D: Disk> Drop for Wal<D> {
    fn drop(&mut self) {
        self.spares.close();
    }
}

impl<F: DiskFile> Active<F> {
    fn begin(log_id: u64, spare: Spare<F>, header_crc: u32) -> Active<F> {
        Active {
            sequence: spare.sequence,
            seed: segment_seed(log_id, spare.sequence),
            file: spare.file,
            file_bytes: spare.file_bytes,
            end: BLOCK_BYTES,
            chain: header_crc,
        }
    }

    fn destination(&self, epoch: u32) -> Destination {
        Destination { seed: self.seed, offset: self.end, previous_crc: self.chain, epoch }
    }

    /// Returns the number of write calls.
    fn write(&self, bytes: &[u8], offset: u64, parts: &AtomicU64) -> Result<u32, WalError> {
        let (mut calls, mut offset) = (0, offset);
        for part in bytes.chunks(PART_BYTES) {
            let written = self.file.write_durably(part, offset);
            calls += written.map_err(WalError::io("write", &name_of(self.sequence), offset))?;
            offset += part.len() as u64;
            parts.fetch_add(1, Ordering::Relaxed);
        }
        Ok(calls)
    }
}
