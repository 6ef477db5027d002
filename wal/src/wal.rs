//! The log itself: stage, commit, roll, cut, compact.
//!
//! - `stage…`, `truncate_suffix`, `compact_prefix` and `reset` only append to the batch in memory; what they
//!   did shows in `last_index` and the like after [`Wal::commit`], and it shows as a whole or not at all.
//! - A commit is one durable write at the end of the segment in use, or one at the start of the next.
//! - Nothing is ever written over, but the last block with the same bytes and more behind them, unless
//!   `pad_to_block` forbids even that.
//! - Cutting the tail is a record like any other, so it is as durable as what is appended behind it.
//! - After any failed write or sync every call returns that error.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::batch::{BatchBuffer, Destination, Layout};
use crate::disk::{Disk, DiskFile};
use crate::error::WalError;
use crate::format::{
    BLOCK_BYTES, Kind, MAX_PAYLOAD_BYTES, RECORD_HEADER_BYTES, RawRecord, SegmentHeader, segment_seed,
};
use crate::index::{HardState, LogIndex, Position};
use crate::recovery::{Progress, Recovery, Scan, Tail, lock, scan};
use crate::segment::{SealedSegment, Source, is_temporary, name_of};
use crate::spares::{Preparer, Retired, Spare, Spares};

/// Longest metadata, in bytes. It is repeated at the start of every segment.
pub const MAX_METADATA_BYTES: usize = 64 << 10;
/// Most bytes in one batch.
pub const MAX_BATCH_BYTES: u64 = 2 << 30;
const SMALLEST_SEGMENT_BYTES: u64 = 4 * BLOCK_BYTES;
const CREATE_FILE: &str = "create.tmp";

/// How to open a log.
#[derive(Debug, Clone)]
pub struct Options {
    /// Size of a segment; rounded up to whole blocks. A batch that is larger gets a segment of its own.
    pub segment_bytes: u64,
    /// Begins every batch in a block of its own, for disks that may destroy a whole block when a write to
    /// it is torn. Costs up to 4 KiB per commit.
    pub pad_to_block: bool,
    /// How many segments the [`Preparer`] keeps ready.
    pub spare_segments: usize,
    /// What to make if there is no log; without it, that is an error.
    pub create: Option<NewLog>,
}

impl Default for Options {
    fn default() -> Options {
        Options { segment_bytes: 64 << 20, pad_to_block: false, spare_segments: 2, create: None }
    }
}

/// A log to be made.
#[derive(Debug, Clone, Default)]
pub struct NewLog {
    /// Drawn at random by the caller; tells this log's segments from any other's.
    pub log_id: u64,
    /// The caller's, up to [`MAX_METADATA_BYTES`].
    pub metadata: Vec<u8>,
}

/// An entry to be appended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Record<'a> {
    pub index: u64,
    pub term: u64,
    pub payload: &'a [u8],
}

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

/// What the log will hold once the staged batch is committed.
#[derive(Debug, Clone, Copy)]
struct Staged {
    last: Position,
    base_index: u64,
    commit: u64,
}

impl Staged {
    fn of(index: &LogIndex) -> Staged {
        Staged { last: index.last(), base_index: index.base().index, commit: index.hard_state().commit }
    }
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
    _lock: D::Lock,
}

impl<D: Disk> Wal<D> {
    /// Opens the log in `disk`'s folder, or makes one if `options` say how.
    ///
    /// Cuts a torn tail and reports it; refuses everything else that is wrong, see [`WalError`].
    pub fn open(disk: D, options: Options) -> Result<(Wal<D>, Recovery), WalError> {
        Wal::open_with_progress(disk, options, &mut |_| {})
    }

    /// Like [`Wal::open`], and reports how far reading has come after every segment.
    pub fn open_with_progress(
        disk: D,
        options: Options,
        progress: &mut dyn FnMut(&Progress),
    ) -> Result<(Wal<D>, Recovery), WalError> {
        let lock = lock(&disk)?;
        remove_temporary_files(&disk)?;
        let segment_bytes = segment_bytes(&options);
        let layout = Layout { pad_to_block: options.pad_to_block, granularity: disk.write_granularity() };
        let (scan, created) = match scan(&disk, progress)? {
            Some(scan) => (scan, false),
            None => {
                let new = options.create.as_ref().ok_or(WalError::NoLog)?;
                create(&disk, new, segment_bytes, layout)?;
                (scan(&disk, progress)?.ok_or(WalError::NoLog)?, true)
            }
        };
        let recovery = Recovery { created, ..scan.report.clone() };
        let wants = options.spare_segments;
        let mut wal = Wal::from_scan(disk, scan, segment_bytes, wants, layout, lock)?;
        wal.mark_opened()?;
        Ok((wal, recovery))
    }

    fn from_scan(
        disk: D,
        scan: Scan<D>,
        segment_bytes: u64,
        spare_segments: usize,
        layout: Layout,
        lock: D::Lock,
    ) -> Result<Wal<D>, WalError> {
        if let Some(sequence) = scan.wipe {
            wipe(&disk, sequence)?;
        }
        let last_sequence = scan.tail.sequence + scan.prepared.len() as u64;
        let ready = open_prepared(&disk, &scan.prepared)?;
        let spares = Spares::new(disk.clone(), segment_bytes, spare_segments, ready, last_sequence + 1);
        let batch = BatchBuffer::with_lead(&scan.tail.lead);
        Ok(Wal {
            active: Active::reopen(&disk, scan.log_id, &scan.tail)?,
            disk,
            log_id: scan.log_id,
            epoch: scan.epoch + 1,
            layout,
            sealed: scan.sealed.into(),
            batch,
            staged: Staged::of(&scan.index),
            index: scan.index,
            spares: Arc::new(spares),
            poison: None,
            _lock: lock,
        })
    }

    /// Writes an empty batch. Whatever stands before it was accepted, so a flaw found there later is
    /// damage; and what it says of the epoch makes later batches unlike any that was cut.
    fn mark_opened(&mut self) -> Result<(), WalError> {
        self.write_batch().map(|_| ())
    }

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

    /// Bytes that can be committed before a new segment must be made: what to watch on a full disk.
    pub fn ready_bytes(&self) -> u64 {
        self.active.file_bytes.saturating_sub(self.active.end) + self.spares.ready_bytes()
    }

    /// Bytes of the segments in use.
    pub fn disk_bytes(&self) -> u64 {
        let sealed: u64 = self.sealed.iter().map(|segment| segment.file_bytes).sum();
        sealed + self.active.file_bytes
    }

    /// Sequences of the sealed segments, oldest first.
    pub fn sealed_segments(&self) -> impl Iterator<Item = u64> + '_ {
        self.sealed.iter().map(|segment| segment.sequence)
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
        Source::file(&self.active.file, self.active.sequence, self.active.end)
    }

    pub(crate) fn check_poison(&self) -> Result<(), WalError> {
        self.poison.clone().map_or(Ok(()), Err)
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
            write_calls: self.active.write(bytes, sealed.write_offset)?,
        };
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
        let (mut batch, header_crc) = BatchBuffer::opening(&header, &self.index);
        batch.append(&self.batch);
        self.batch = batch;
        let full = std::mem::replace(&mut self.active, Active::begin(self.log_id, spare, header_crc));
        // A batch that is larger than a segment makes its file grow.
        let needed = self.batch.write_end(self.active.end, self.layout);
        self.active.file_bytes = self.active.file_bytes.max(needed);
        self.sealed.push_back(SealedSegment::new(full.sequence, full.end, full.file_bytes));
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
            let retired = Retired { sequence: segment.sequence, file_bytes: segment.file_bytes };
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
    fn reopen<D: Disk<File = F>>(disk: &D, log_id: u64, tail: &Tail) -> Result<Active<F>, WalError> {
        let name = name_of(tail.sequence);
        let file = disk.open(&name).map_err(WalError::io("open", &name, 0))?;
        // A process that was killed may have left its last batch in the page cache only.
        file.sync().map_err(WalError::io("sync", &name, tail.end))?;
        Ok(Active {
            sequence: tail.sequence,
            file,
            file_bytes: tail.file_bytes,
            seed: segment_seed(log_id, tail.sequence),
            end: tail.end,
            chain: tail.chain,
        })
    }

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

    fn write(&self, bytes: &[u8], offset: u64) -> Result<u32, WalError> {
        self.file
            .write_durably(bytes, offset)
            .map_err(|error| WalError::io("write", &name_of(self.sequence), offset)(error))
    }
}

fn segment_bytes(options: &Options) -> u64 {
    options.segment_bytes.max(SMALLEST_SEGMENT_BYTES).next_multiple_of(BLOCK_BYTES)
}

fn check_metadata(metadata: &[u8]) -> Result<(), WalError> {
    if metadata.len() > MAX_METADATA_BYTES {
        return Err(WalError::MetadataTooLong { bytes: metadata.len(), limit: MAX_METADATA_BYTES });
    }
    Ok(())
}

fn remove_temporary_files<D: Disk>(disk: &D) -> Result<(), WalError> {
    let names = disk.list().map_err(WalError::io("list", ".", 0))?;
    for name in names.iter().filter(|name| is_temporary(name)) {
        disk.remove(name).map_err(WalError::io("remove", name, 0))?;
    }
    Ok(())
}

/// Makes the first segment. It gets its name when its first batch is durable: a crash before leaves none.
fn create<D: Disk>(disk: &D, new: &NewLog, segment_bytes: u64, layout: Layout) -> Result<(), WalError> {
    check_metadata(&new.metadata)?;
    let sequence = 1;
    let index = LogIndex::with_metadata(new.metadata.clone());
    let header = SegmentHeader {
        log_id: new.log_id,
        sequence,
        first_index: index.next_index(),
        previous_end: 0,
        previous_crc: 0,
        epoch: 0,
    };
    let (mut batch, header_crc) = BatchBuffer::opening(&header, &index);
    let destination = Destination {
        seed: segment_seed(new.log_id, sequence),
        offset: BLOCK_BYTES,
        previous_crc: header_crc,
        epoch: 0,
    };
    let sealed = batch.seal(destination, layout);
    let size = segment_bytes.max(batch.write_bytes().len() as u64);
    let name = name_of(sequence);
    disk.create(CREATE_FILE)
        .and_then(|file| {
            file.fill_with_zeros(size)?;
            file.write_durably(batch.write_bytes(), sealed.write_offset)
        })
        .map_err(WalError::io("create", &name, 0))?;
    disk.rename(CREATE_FILE, &name).and_then(|()| disk.sync_dir()).map_err(WalError::io("name", &name, 0))
}

/// Forgets an unfinished first batch, so that it can't be taken for the start of the segment once the log
/// has gone on elsewhere.
fn wipe<D: Disk>(disk: &D, sequence: u64) -> Result<(), WalError> {
    let name = name_of(sequence);
    let zeros = crate::disk::aligned::AlignedBuf::zeroed(2 * BLOCK_BYTES as usize);
    disk.open(&name)
        .and_then(|file| file.write_durably(zeros.as_ref(), 0))
        .map(|_| ())
        .map_err(WalError::io("wipe", &name, 0))
}

fn open_prepared<D: Disk>(disk: &D, prepared: &[(u64, u64)]) -> Result<VecDeque<Spare<D::File>>, WalError> {
    prepared
        .iter()
        .map(|&(sequence, file_bytes)| {
            let name = name_of(sequence);
            let file = disk.open(&name).map_err(WalError::io("open", &name, 0))?;
            Ok(Spare { sequence, file, file_bytes })
        })
        .collect()
}
