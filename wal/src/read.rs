//! Reading entries back, and checking sealed segments.
//!
//! - Every record that is read is checked against its checksum again.
//! - Sealed segments that were read as a whole are read through their maps, others and the one in use with plain reads of at
//!   most 64 KiB or one record, whichever is more.

use std::ops::Range;

use crate::disk::{Disk, DiskFile};
use crate::error::WalError;
use crate::format::{
    BATCH_HEADER_BYTES, BatchHeader, Fault, Kind, RECORD_HEADER_BYTES, RawRecord, SegmentHeader,
    record_bytes, segment_seed,
};
use crate::index::{Group, Place};
use crate::replay::{Flaw, Walk};
use crate::segment::{Source, name_of, read_before, read_segment, sequence_of};
use crate::view::SegmentView;
use crate::wal::Wal;

/// An entry read back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnedRecord {
    pub index: u64,
    pub term: u64,
    pub payload: Vec<u8>,
}

/// What a verification went through.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Verified {
    pub segments: usize,
    pub batches: u64,
    pub records: u64,
    pub bytes: u64,
}

impl<D: Disk> Wal<D> {
    /// Committed entries of `range`, as many as fit in `max_bytes` of payload, but at least one.
    ///
    /// Fails with [`WalError::Compacted`] or [`WalError::Unavailable`] if the range leaves the log, with
    /// [`WalError::Damaged`] if the disk does not give back what was written.
    pub fn read(&self, range: Range<u64>, max_bytes: u64) -> Result<Vec<OwnedRecord>, WalError> {
        self.check_poison()?;
        let mut records = Vec::new();
        if range.is_empty() {
            return Ok(records);
        }
        self.check_range(&range)?;
        let mut budget = max_bytes;
        let mut reader: Option<Reader<'_, D::File>> = None;
        for index in range {
            let (group, _) =
                self.index.group_of(index).ok_or(WalError::Unavailable { index, last: self.last_index() })?;
            let source = || self.source(group.place.sequence);
            let next = Reader::going_on(reader.take(), self.log_id(), group, index, source)?;
            let (_, record) = reader.insert(next).read(index)?;
            let bytes = record.payload.len() as u64;
            if bytes > budget && !records.is_empty() {
                break;
            }
            budget = budget.saturating_sub(bytes);
            records.push(record);
        }
        Ok(records)
    }

    /// Checks every batch of every sealed segment.
    pub fn verify(&self) -> Result<Verified, WalError> {
        let mut total = Verified::default();
        for sequence in self.sealed_segments() {
            let one = self.verify_segment(sequence)?;
            total.segments += one.segments;
            total.batches += one.batches;
            total.records += one.records;
            total.bytes += one.bytes;
        }
        Ok(total)
    }

    /// Checks one sealed segment; nothing is verified if there is none with this sequence (any more).
    pub fn verify_segment(&self, sequence: u64) -> Result<Verified, WalError> {
        self.check_poison()?;
        match self.sealed_segment(sequence) {
            None => Ok(Verified::default()),
            Some(segment) => {
                let bytes = read_segment(&self.disk, sequence)?;
                let verified = verify(bytes.as_ref(), self.log_id(), sequence, segment.end)?;
                segment.note_verified();
                Ok(verified)
            }
        }
    }

    fn check_range(&self, range: &Range<u64>) -> Result<(), WalError> {
        let (first, last) = (self.first_index(), self.last_index());
        if range.start < first {
            return Err(WalError::Compacted { index: range.start, first });
        }
        if range.end - 1 > last {
            return Err(WalError::Unavailable { index: range.end - 1, last });
        }
        Ok(())
    }

    fn source(&self, sequence: u64) -> Result<Source<'_, D::File>, WalError> {
        match self.sealed_segment(sequence) {
            Some(segment) => segment.source(&self.disk),
            None => Ok(self.active_source()),
        }
    }
}

/// Checks every batch of a full segment of a log that somebody else may have open, from the medium. The segment's file and how
/// many bytes of it hold anything are as in [`SegmentView`]; `pace` hears of bytes as they are read.
///
/// A finding counts only if the segment is still in use afterwards: one that was dropped meanwhile is removed, or written anew.
pub fn verify_sealed<D: Disk>(
    disk: &D,
    log_id: u64,
    segment: &SegmentView,
    pace: &mut dyn FnMut(u64),
) -> Result<Verified, WalError> {
    let SegmentView { file, used_bytes, .. } = segment;
    let Some(sequence) = sequence_of(file) else { return Ok(Verified::default()) };
    let bytes = match disk.read_all_at_pace(file, pace).map_err(WalError::read(file)) {
        // What is after the last batch means nothing.
        Err(error @ WalError::Io { offset, .. }) if error.is_unreadable() && offset >= *used_bytes => {
            read_before(disk, file, offset)?
        }
        read => read?,
    };
    verify(bytes.as_ref(), log_id, sequence, *used_bytes)
}

fn verify(bytes: &[u8], log_id: u64, sequence: u64, end: u64) -> Result<Verified, WalError> {
    let damaged = |flaw: Flaw| damaged(sequence, flaw.offset, flaw.fault);
    let at_start = |fault| damaged(Flaw { offset: 0, fault });
    let (header, header_crc) = SegmentHeader::decode(bytes).map_err(at_start)?;
    if header.sequence != sequence {
        return Err(at_start(Fault::Sequence { expected: sequence, found: header.sequence }));
    }
    let mut walk = Walk::new(bytes, log_id, sequence, header_crc);
    let mut verified = Verified { segments: 1, ..Verified::default() };
    while walk.offset < end {
        let batch = walk.next_batch().map_err(damaged)?;
        verified.batches += 1;
        verified.records += u64::from(batch.header.records);
        verified.bytes += walk.offset - batch.offset;
    }
    Ok(verified)
}

fn damaged(sequence: u64, offset: u64, fault: Fault) -> WalError {
    WalError::Damaged { file: name_of(sequence), offset, fault }
}

/// Walks the records of one group.
pub(crate) struct Reader<'a, F> {
    source: Source<'a, F>,
    seed: u32,
    /// Where the group begins.
    group: Place,
    next_index: u64,
    batch_offset: u64,
    batch_crc: u32,
    header: BatchHeader,
    /// Offset of the next record.
    offset: u64,
}

impl<'a, F: DiskFile> Reader<'a, F> {
    /// A reader that stands before the entry `index` of `group`: the one that read the entry before, if that is possible,
    /// else a new one, on `source` where the one before was in another segment.
    pub fn going_on(
        before: Option<Reader<'a, F>>,
        log_id: u64,
        group: Group,
        index: u64,
        source: impl FnOnce() -> Result<Source<'a, F>, WalError>,
    ) -> Result<Reader<'a, F>, WalError> {
        let sequence = group.place.sequence;
        let source = match before {
            Some(reader) if reader.group == group.place && reader.next_index == index => return Ok(reader),
            Some(reader) if reader.group.sequence == sequence => reader.source,
            _ => source()?,
        };
        Reader::new(source, segment_seed(log_id, sequence), group.place, group.first_index)
    }

    fn new(
        mut source: Source<'a, F>,
        seed: u32,
        group: Place,
        first_index: u64,
    ) -> Result<Reader<'a, F>, WalError> {
        let (header, batch_crc) = read_header(&mut source, seed, group)?;
        Ok(Reader {
            source,
            seed,
            group,
            next_index: first_index,
            batch_offset: group.batch_offset,
            batch_crc,
            header,
            offset: group.offset,
        })
    }

    /// Goes on to the entry with `index`, which is in this group; returns it and its offset in the segment.
    pub fn read(&mut self, index: u64) -> Result<(u64, OwnedRecord), WalError> {
        loop {
            self.skip_to_record()?;
            let offset = self.offset;
            let sequence = self.group.sequence;
            let record = self.next_record()?;
            if record.kind != Kind::Entry || record.index < index {
                continue;
            }
            if record.index > index {
                let fault = Fault::Index { expected: index, found: record.index };
                return Err(damaged(sequence, offset, fault));
            }
            let record = OwnedRecord { index, term: record.term, payload: record.payload.to_vec() };
            self.next_index = index + 1;
            return Ok((offset, record));
        }
    }

    /// Leaves a batch at its end for the next one that has records.
    fn skip_to_record(&mut self) -> Result<(), WalError> {
        while self.header.body_end(self.batch_offset) == Some(self.offset) {
            let next = self.header.next_offset(self.batch_offset);
            let place = Place { batch_offset: next.unwrap_or(u64::MAX), ..self.group };
            (self.header, self.batch_crc) = read_header(&mut self.source, self.seed, place)?;
            self.batch_offset = place.batch_offset;
            self.offset = place.batch_offset + BATCH_HEADER_BYTES as u64;
        }
        Ok(())
    }

    fn next_record(&mut self) -> Result<RawRecord<'_>, WalError> {
        let (sequence, offset) = (self.group.sequence, self.offset);
        let at_offset = |fault| damaged(sequence, offset, fault);
        let header = self.source.bytes(offset, RECORD_HEADER_BYTES as u64)?;
        let length = record_bytes(header).map_err(at_offset)? as u64;
        let bytes = self.source.bytes(offset, length)?;
        let record = RawRecord::decode(bytes, self.batch_crc).map_err(at_offset)?;
        self.offset += length;
        Ok(record)
    }
}

fn read_header<F: DiskFile>(
    source: &mut Source<'_, F>,
    seed: u32,
    place: Place,
) -> Result<(BatchHeader, u32), WalError> {
    let offset = place.batch_offset;
    let bytes = source.bytes(offset, BATCH_HEADER_BYTES as u64)?;
    BatchHeader::decode(bytes, seed, offset).map_err(|fault| damaged(place.sequence, offset, fault))
}
