//! Walking a segment from batch to batch, for recovery and for verification.
//!
//! - A batch is handed out only if it is sound as a whole: header, chain, every record, count and length.
//! - Where a batch starts is known only from the one before it; after a flaw the walk is over.

use crate::batch::Records;
use crate::format::{
    BATCH_ALIGN_BYTES, BATCH_HEADER_BYTES, BLOCK_BYTES, BatchHeader, Fault, RawRecord, segment_seed,
};
use crate::index::LogIndex;

/// Something wrong at an offset of a segment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Flaw {
    pub offset: u64,
    pub fault: Fault,
}

/// A sound batch.
#[derive(Debug)]
pub(crate) struct BatchView<'a> {
    pub header: BatchHeader,
    pub offset: u64,
    pub body: &'a [u8],
}

impl BatchView<'_> {
    /// Applies all records to `index`.
    pub fn apply_to(&self, index: &mut LogIndex, sequence: u64) -> Result<(), Flaw> {
        for (place, record) in Records::new(self.body, sequence, self.offset) {
            index.apply(&record, place).map_err(|fault| Flaw { offset: place.offset, fault })?;
        }
        Ok(())
    }
}

/// A walk over one segment.
#[derive(Debug)]
pub(crate) struct Walk<'a> {
    bytes: &'a [u8],
    seed: u32,
    /// Where the next batch starts.
    pub offset: u64,
    /// Checksum that the next batch must name as its predecessor's.
    pub chain: u32,
}

impl<'a> Walk<'a> {
    /// Walks the `bytes` of a whole segment whose header has the checksum `header_crc`.
    pub fn new(bytes: &'a [u8], log_id: u64, sequence: u64, header_crc: u32) -> Walk<'a> {
        Walk { bytes, seed: segment_seed(log_id, sequence), offset: BLOCK_BYTES, chain: header_crc }
    }

    pub fn next_batch(&mut self) -> Result<BatchView<'a>, Flaw> {
        let offset = self.offset;
        let here = |fault| Flaw { offset, fault };
        let (header, crc) = BatchHeader::decode(self.rest(offset), self.seed, offset).map_err(here)?;
        if header.previous_crc != self.chain {
            return Err(here(Fault::Chain { expected: self.chain, found: header.previous_crc }));
        }
        let body = self.body(&header, offset).map_err(here)?;
        check_records(body, &header, crc, offset + BATCH_HEADER_BYTES as u64)?;
        self.chain = crc;
        self.offset = header.next_offset(offset).expect("its body lies inside the segment");
        Ok(BatchView { header, offset, body })
    }

    /// After a flaw: goes on at the next sound batch header, whatever stands before it. False if there is none.
    pub fn resume_behind_flaw(&mut self) -> bool {
        let Some(offset) = self.later_batch() else { return false };
        let Ok((header, _)) = BatchHeader::decode(self.rest(offset), self.seed, offset) else { return false };
        self.offset = offset;
        self.chain = header.previous_crc;
        true
    }

    /// How many bytes the batch after the last sound one lays claim to.
    pub fn announced_bytes(&self) -> u64 {
        BatchHeader::decode(self.rest(self.offset), self.seed, self.offset)
            .ok()
            .and_then(|(header, _)| header.body_end(self.offset))
            .map_or(BATCH_HEADER_BYTES as u64, |end| end - self.offset)
    }

    /// Offset of any batch of this very segment behind the place where the walk stands. Since a batch is
    /// written only after all before it were synced, finding one proves that those were.
    pub fn later_batch(&self) -> Option<u64> {
        let step = BATCH_ALIGN_BYTES as usize;
        let start = self.offset.checked_add(BATCH_ALIGN_BYTES)?;
        self.rest(start)
            .windows(BATCH_HEADER_BYTES)
            .step_by(step)
            .zip((start..).step_by(step))
            .filter(|(bytes, _)| BatchHeader::is_plausible(bytes))
            .find(|&(bytes, offset)| BatchHeader::decode(bytes, self.seed, offset).is_ok())
            .map(|(_, offset)| offset)
    }

    /// Whether a batch header of this very segment stands where the walk does.
    pub fn has_batch_here(&self) -> bool {
        BatchHeader::decode(self.rest(self.offset), self.seed, self.offset).is_ok()
    }

    fn rest(&self, offset: u64) -> &'a [u8] {
        usize::try_from(offset).ok().and_then(|start| self.bytes.get(start..)).unwrap_or(&[])
    }

    fn body(&self, header: &BatchHeader, offset: u64) -> Result<&'a [u8], Fault> {
        let room = self.rest(offset + BATCH_HEADER_BYTES as u64);
        usize::try_from(header.body_bytes)
            .ok()
            .and_then(|length| room.get(..length))
            .ok_or(Fault::Length { announced: header.body_bytes, room: room.len() as u64 })
    }
}

fn check_records(mut body: &[u8], header: &BatchHeader, batch_crc: u32, mut offset: u64) -> Result<(), Flaw> {
    let mut found = 0;
    while !body.is_empty() {
        let record = RawRecord::decode(body, batch_crc).map_err(|fault| Flaw { offset, fault })?;
        body = &body[record.encoded_bytes()..];
        offset += record.encoded_bytes() as u64;
        found += 1;
    }
    let expected = header.records;
    if found != expected {
        let fault = Fault::Count { expected, found };
        return Err(Flaw { offset, fault });
    }
    Ok(())
}
