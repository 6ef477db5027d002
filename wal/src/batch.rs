//! The batch being staged: the bytes of the next write, already at their place in it.
//!
//! Layout of the buffer: `lead | batch header | records | padding | zeros`.
//! - The lead is what the write must repeat because writes are whole blocks: the acknowledged bytes of the
//!   block that the batch begins in, or the header block of a new segment.
//! - Checksums are set when the batch is sealed, because only then it is known which segment it goes to.
//! - At least one batch header of zeros follows every batch, so that a recycled segment shows a clean end.
//! - Nothing is allocated per record once the buffer has grown to the size of the usual batch.

use crate::disk::aligned::AlignedBuf;
use crate::format::{
    BATCH_HEADER_BYTES, BLOCK_BYTES, BatchHeader, Kind, RawRecord, SegmentHeader, record_bytes, seal_record,
};
use crate::index::{LogIndex, Place};

/// A buffer that grew beyond this is let go after the commit.
const KEPT_BYTES: usize = 8 << 20;
const INITIAL_BYTES: usize = 256 << 10;

/// Where a batch goes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Destination {
    /// Seed of the segment, see [`crate::format::segment_seed`].
    pub seed: u32,
    /// Offset of the batch header in the segment.
    pub offset: u64,
    pub previous_crc: u32,
    pub epoch: u32,
}

/// How batches are laid out and written.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Layout {
    /// Every batch begins in a block of its own.
    pub pad_to_block: bool,
    /// Writes are multiples of this many bytes.
    pub granularity: u64,
}

impl Layout {
    /// Offset at which the batch after one at `offset` with so many bytes of records begins.
    fn next_offset(&self, offset: u64, body_bytes: u64) -> u64 {
        let header =
            BatchHeader { padded: self.pad_to_block, body_bytes, records: 0, epoch: 0, previous_crc: 0 };
        header.next_offset(offset).expect("staging bounds the batch far below 2^64 bytes")
    }

    /// Offset behind everything that a write of such a batch would touch.
    pub fn write_end(&self, offset: u64, body_bytes: u64) -> u64 {
        let next = self.next_offset(offset, body_bytes);
        (next + BATCH_HEADER_BYTES as u64).next_multiple_of(self.granularity)
    }
}

/// A sealed batch, ready to be written.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sealed {
    pub crc: u32,
    /// Offset in the segment at which the write begins.
    pub write_offset: u64,
    /// Offset at which the next batch begins.
    pub next_offset: u64,
}

#[derive(Debug)]
pub(crate) struct BatchBuffer {
    bytes: AlignedBuf,
    lead: usize,
    body_bytes: usize,
    records: u32,
}

impl BatchBuffer {
    pub fn with_lead(lead: &[u8]) -> BatchBuffer {
        let mut bytes = AlignedBuf::with_capacity(INITIAL_BYTES);
        bytes.extend_from_slice(lead);
        bytes.resize(lead.len() + BATCH_HEADER_BYTES);
        BatchBuffer { bytes, lead: lead.len(), body_bytes: 0, records: 0 }
    }

    /// The batch that begins a segment: it repeats what the log knows besides its entries, so that the
    /// segments before it can be dropped.
    pub fn opening(header: &SegmentHeader, index: &LogIndex) -> (BatchBuffer, u32) {
        let (encoded, header_crc) = header.encode();
        let mut block = [0; BLOCK_BYTES as usize];
        block[..encoded.len()].copy_from_slice(&encoded);
        let mut batch = BatchBuffer::with_lead(&block);
        let base = index.base();
        batch.push(&RawRecord { kind: Kind::Compact, index: base.index, term: base.term, payload: &[] });
        batch.push(&index.hard_state().to_record(&mut [0; 8]));
        batch.push(&RawRecord { kind: Kind::Metadata, index: 0, term: 0, payload: index.metadata() });
        (batch, header_crc)
    }

    pub fn push(&mut self, record: &RawRecord<'_>) {
        self.bytes.extend_from_slice(&record.encode_header());
        self.bytes.extend_from_slice(record.payload);
        self.body_bytes += record.encoded_bytes();
        self.records += 1;
    }

    /// Puts the lead and the records of `opening` before its own records, which are not copied elsewhere: they may be long.
    pub fn open_with(&mut self, opening: &BatchBuffer) {
        self.bytes.replace_first(self.lead + BATCH_HEADER_BYTES, opening.bytes.as_ref());
        self.lead = opening.lead;
        self.body_bytes += opening.body_bytes;
        self.records += opening.records;
    }

    pub fn record_count(&self) -> u32 {
        self.records
    }

    pub fn body_bytes(&self) -> usize {
        self.body_bytes
    }

    /// Offset behind everything that a write of the batch at `offset` would touch.
    pub fn write_end(&self, offset: u64, layout: Layout) -> u64 {
        layout.write_end(offset, self.body_bytes as u64)
    }

    /// Sets the checksums and the zeros behind the batch.
    pub fn seal(&mut self, to: Destination, layout: Layout) -> Sealed {
        let header = self.header(layout, to.epoch, to.previous_crc);
        let crc = self.seal_header(&header, to);
        self.seal_records(crc);
        let write_offset = to.offset - self.lead as u64;
        let write_end = self.write_end(to.offset, layout);
        self.bytes.resize((write_end - write_offset) as usize);
        Sealed { crc, write_offset, next_offset: layout.next_offset(to.offset, self.body_bytes as u64) }
    }

    /// What to write at [`Sealed::write_offset`].
    pub fn write_bytes(&self) -> &[u8] {
        self.bytes.as_ref()
    }

    /// The records with their places, for a batch at `offset` of a segment.
    pub fn records(&self, sequence: u64, offset: u64) -> Records<'_> {
        Records::new(self.body(), sequence, offset)
    }

    /// Makes room for the next batch: the lead becomes what its first block already holds.
    pub fn advance(&mut self, written: Sealed, layout: Layout) {
        let lead = written.next_offset % layout.granularity;
        let end = (written.next_offset - written.write_offset) as usize;
        self.bytes.keep(end - lead as usize..end);
        if self.bytes.capacity() > KEPT_BYTES {
            *self = BatchBuffer::with_lead(self.bytes.as_ref());
            return;
        }
        self.clear_to(lead as usize);
    }

    fn clear_to(&mut self, lead: usize) {
        self.bytes.resize(lead);
        self.bytes.resize(lead + BATCH_HEADER_BYTES);
        self.lead = lead;
        self.body_bytes = 0;
        self.records = 0;
    }

    fn header(&self, layout: Layout, epoch: u32, previous_crc: u32) -> BatchHeader {
        BatchHeader {
            padded: layout.pad_to_block,
            body_bytes: self.body_bytes as u64,
            records: self.records,
            epoch,
            previous_crc,
        }
    }

    fn seal_header(&mut self, header: &BatchHeader, to: Destination) -> u32 {
        let out = self.bytes.as_mut()[self.lead..]
            .first_chunk_mut::<BATCH_HEADER_BYTES>()
            .expect("the buffer always holds room for the header");
        header.encode(out, to.seed, to.offset)
    }

    fn seal_records(&mut self, batch_crc: u32) {
        let start = self.lead + BATCH_HEADER_BYTES;
        let mut rest = &mut self.bytes.as_mut()[start..start + self.body_bytes];
        while !rest.is_empty() {
            let length = record_bytes(rest).expect("staged by push");
            let (record, behind) = rest.split_at_mut(length);
            seal_record(record, batch_crc);
            rest = behind;
        }
    }

    fn body(&self) -> &[u8] {
        let start = self.lead + BATCH_HEADER_BYTES;
        &self.bytes.as_ref()[start..start + self.body_bytes]
    }
}

/// Records that are known to be sound, with their places.
pub(crate) struct Records<'a> {
    body: &'a [u8],
    place: Place,
}

impl<'a> Records<'a> {
    /// `body` are the verified records of the batch at `batch_offset`.
    pub fn new(body: &'a [u8], sequence: u64, batch_offset: u64) -> Records<'a> {
        let place = Place { sequence, batch_offset, offset: batch_offset + BATCH_HEADER_BYTES as u64 };
        Records { body, place }
    }
}

impl<'a> Iterator for Records<'a> {
    type Item = (Place, RawRecord<'a>);

    fn next(&mut self) -> Option<Self::Item> {
        if self.body.is_empty() {
            return None;
        }
        let record = RawRecord::parse(self.body).ok()?;
        let place = self.place;
        self.body = &self.body[record.encoded_bytes()..];
        self.place.offset += record.encoded_bytes() as u64;
        Some((place, record))
    }
}
