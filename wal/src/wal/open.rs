//! Opening a log: scan, repair, go on; or make a new one.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;

use super::stage::{Staged, check_metadata};
use super::{Active, Wal};
use crate::batch::{BatchBuffer, Destination, Layout};
use crate::disk::aligned::AlignedBuf;
use crate::disk::{Disk, DiskFile};
use crate::error::WalError;
use crate::format::{BLOCK_BYTES, Kind, RawRecord, SegmentHeader, segment_seed};
use crate::index::{LogIndex, Position};
use crate::recovery::{LeftOut, Recovery, Scan, Sources, Tail, lock, scan};
use crate::segment::{is_temporary, name_of, newest_begun, set_aside_name};
use crate::spares::{Spare, Spares};

const SMALLEST_SEGMENT_BYTES: u64 = 4 * BLOCK_BYTES;
/// How much of a segment is written over at once.
const WRITE_OVER_BYTES: u64 = 4 << 20;
const CREATE_FILE: &str = "create.tmp";

/// How to open a log.
#[derive(Debug, Clone)]
pub struct Options {
    /// Size of a segment; rounded up to whole blocks. A batch that is larger gets a segment of its own.
    pub segment_bytes: u64,
    /// Begins every batch in a block of its own, for disks that may destroy a whole block when a write to
    /// it is torn. Costs up to 4 KiB per commit.
    pub pad_to_block: bool,
    /// How many segments the [`Preparer`](crate::Preparer) keeps ready.
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
    /// The caller's, up to [`MAX_METADATA_BYTES`](crate::MAX_METADATA_BYTES).
    pub metadata: Vec<u8>,
}

impl<D: Disk> Wal<D> {
    /// Opens the log in `disk`'s folder, or makes one if `options` say how.
    ///
    /// Cuts a torn tail and reports it; refuses everything else that is wrong, see [`WalError`].
    pub fn open(disk: D, options: Options) -> Result<(Wal<D>, Recovery), WalError> {
        let mut sources = Sources { progress: &mut |_| {}, checkpoint: &mut || None };
        Wal::open_with(disk, options, &mut sources)
    }

    /// Like [`Wal::open`], and leaves out old segments that are damaged and that the caller's checkpoint makes needless.
    pub fn open_with(
        disk: D,
        options: Options,
        sources: &mut Sources<'_>,
    ) -> Result<(Wal<D>, Recovery), WalError> {
        let lock = lock(&disk)?;
        remove_temporary_files(&disk)?;
        let segment_bytes = segment_bytes(&options);
        let layout = Layout { pad_to_block: options.pad_to_block, granularity: disk.write_granularity() };
        let (scan, created) = match scan(&disk, sources)? {
            Some(scan) => (scan, false),
            None => {
                let new = options.create.as_ref().ok_or(WalError::NoLog)?;
                create(&disk, new, segment_bytes, layout)?;
                (scan(&disk, sources)?.ok_or(WalError::NoLog)?, true)
            }
        };
        let recovery = Recovery { created, ..scan.report.clone() };
        if let Some(left_out) = &recovery.left_out {
            set_aside(&disk, left_out)?;
        }
        let (wants, compact_to) = (options.spare_segments, scan.compact_to);
        let mut wal = Wal::from_scan(disk, scan, segment_bytes, wants, layout, lock)?;
        wal.mark_opened(compact_to)?;
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
        for (sequence, bytes) in &scan.unreadable {
            write_over(&disk, *sequence, bytes.clone())?;
        }
        if let Some(sequence) = scan.wipe {
            wipe(&disk, sequence)?;
        }
        let last_sequence = scan.tail.sequence + scan.prepared.len() as u64;
        let ready = open_prepared(&disk, &scan.prepared)?;
        let begun = (scan.tail.sequence, newest_begun(&disk)?);
        let spares =
            Spares::new(disk.clone(), segment_bytes, spare_segments, ready, last_sequence + 1, begun);
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
            parts: Arc::default(),
            lock,
        })
    }

    /// Writes a batch without entries. Whatever stands before it was accepted, so a flaw found there later is
    /// damage; and what it says of the epoch makes later batches unlike any that was cut. Where segments were left out it says
    /// from where on the log is whole.
    fn mark_opened(&mut self, compact_to: Option<Position>) -> Result<(), WalError> {
        if let Some(Position { index, term }) = compact_to {
            self.batch.push(&RawRecord { kind: Kind::Compact, index, term, payload: &[] });
        }
        self.write_batch().map(|_| ())
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
}

fn segment_bytes(options: &Options) -> u64 {
    options.segment_bytes.max(SMALLEST_SEGMENT_BYTES).next_multiple_of(BLOCK_BYTES)
}

fn remove_temporary_files<D: Disk>(disk: &D) -> Result<(), WalError> {
    let names = disk.list().map_err(WalError::io("list", ".", 0))?;
    for name in names.iter().filter(|name| is_temporary(name)) {
        disk.remove(name).map_err(WalError::io("remove", name, 0))?;
    }
    Ok(())
}

/// Takes the segments that are left out from those of the log, oldest first, so that no number is missing after a crash.
fn set_aside<D: Disk>(disk: &D, left_out: &LeftOut) -> Result<(), WalError> {
    let names = disk.list().map_err(WalError::io("list", ".", 0))?;
    for name in &left_out.files {
        disk.rename(name, &set_aside_name(name, &names))
            .and_then(|()| disk.sync_dir())
            .map_err(WalError::io("set aside", name, 0))?;
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
    let size = segment_bytes.max(batch.write_bytes().len() as u64).next_multiple_of(BLOCK_BYTES);
    let name = name_of(sequence);
    disk.create(CREATE_FILE, size)
        .and_then(|file| file.write_durably(batch.write_bytes(), sealed.write_offset))
        .map_err(WalError::io("create", &name, 0))?;
    disk.rename(CREATE_FILE, &name).and_then(|()| disk.sync_dir()).map_err(WalError::io("name", &name, 0))
}

/// Forgets an unfinished first batch, so that it can't be taken for the start of the segment once the log
/// has gone on elsewhere.
fn wipe<D: Disk>(disk: &D, sequence: u64) -> Result<(), WalError> {
    let name = name_of(sequence);
    let zeros = AlignedBuf::zeroed(2 * BLOCK_BYTES as usize);
    disk.open(&name)
        .and_then(|file| file.write_durably(zeros.as_ref(), 0))
        .map(|_| ())
        .map_err(WalError::io("wipe", &name, 0))
}

/// Writes zeros over bytes of a segment that mean nothing, where sectors can't be read: a disk gives it others in their place, and a
/// batch that ends inside one later needs to read none.
fn write_over<D: Disk>(disk: &D, sequence: u64, bytes: Range<u64>) -> Result<(), WalError> {
    let name = name_of(sequence);
    let file = disk.open(&name).map_err(WalError::io("open", &name, 0))?;
    let mut offset = bytes.start;
    while offset < bytes.end {
        let length = (bytes.end - offset).min(WRITE_OVER_BYTES);
        let zeros = AlignedBuf::zeroed(length as usize);
        file.write_durably(zeros.as_ref(), offset).map_err(WalError::io("write over", &name, offset))?;
        offset += length;
    }
    Ok(())
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
