//! The byte layout of a log segment; `docs/log-format.md` is the same thing as a one-page grammar.
//!
//! - A segment is one block of header, then batches, then unwritten space. Integers are little-endian.
//! - A batch is what one commit wrote: a header and its records. It counts as a whole or not at all.
//! - A batch's checksum is seeded by log id and segment sequence and covers its own offset; a record's is
//!   seeded by its batch's. So no stale byte of a recycled segment, and none of a batch that was cut
//!   earlier, can pass for a new one.
//! - Each batch names the checksum of the one before it, the first one that of the segment's header.
//! - A type byte of zero is invalid, so that unwritten space is plain to see.
//!
//! Caveat: CRC-32 finds accidents, not forgery.

use crc32fast::Hasher;
use thiserror::Error;

use crate::planted::{self, Bug};

/// Unit of direct writes, and the space that a segment's header occupies.
pub const BLOCK_BYTES: u64 = 4096;
/// Size of an encoded [`SegmentHeader`]; the rest of its block is zero.
pub const SEGMENT_HEADER_BYTES: usize = 64;
/// Size of an encoded [`BatchHeader`], and of the zeros that every write leaves behind its batch.
pub const BATCH_HEADER_BYTES: usize = 32;
/// Size of what precedes a record's payload.
pub const RECORD_HEADER_BYTES: usize = 28;
/// Batches start at multiples of this many bytes.
pub const BATCH_ALIGN_BYTES: u64 = 8;
/// Longest payload of one record, in bytes.
pub const MAX_PAYLOAD_BYTES: usize = 1 << 30;
/// Version that this code writes, and the only one that it reads.
pub const VERSION: u32 = 1;

const MAGIC: [u8; 8] = *b"PERDURAW";
const BATCH_TYPE: u8 = 1;
const FLAG_PADDED: u8 = 1;

/// What is wrong with some bytes; where they are is said by who reports it.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Fault {
    #[error("unwritten space (zeros)")]
    Unwritten,
    #[error("checksum: the bytes give {found:#010x}, expected {expected:#010x}")]
    Checksum { expected: u32, found: u32 },
    #[error("no segment header: it starts with {found:02x?}, expected {MAGIC:02x?}")]
    Magic { found: [u8; 8] },
    #[error("type byte {found} is unknown")]
    Type { found: u8 },
    #[error("length: {announced} bytes announced, {room} bytes of room")]
    Length { announced: u64, room: u64 },
    #[error("chain: it follows a batch with checksum {found:#010x}, expected {expected:#010x}")]
    Chain { expected: u32, found: u32 },
    #[error("record count: {found} found, expected {expected}")]
    Count { expected: u32, found: u32 },
    #[error("index: {found} found, expected {expected}")]
    Index { expected: u64, found: u64 },
    #[error("term: {found} found after {floor}")]
    Term { floor: u64, found: u64 },
    #[error("segment sequence: {found} found, expected {expected}")]
    Sequence { expected: u64, found: u64 },
    #[error("log id: {found:#018x} found, expected {expected:#018x}")]
    LogId { expected: u64, found: u64 },
    #[error("format version: {found} found, this program reads {VERSION}")]
    Version { found: u32 },
    #[error("end: the next segment says that this one ends at {expected}, found {found}")]
    End { expected: u64, found: u64 },
}

/// First bytes of a segment. It is written together with the segment's first batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SegmentHeader {
    pub log_id: u64,
    pub sequence: u64,
    /// Index that the next entry had when the segment was begun.
    pub first_index: u64,
    /// Offset at which the previous segment's last batch ends; 0 in the first segment.
    pub previous_end: u64,
    /// Checksum of the previous segment's last batch; 0 in the first segment.
    pub previous_crc: u32,
    /// How often the log had been opened.
    pub epoch: u32,
}

impl SegmentHeader {
    /// Encodes the header and returns it with its checksum.
    pub fn encode(&self) -> ([u8; SEGMENT_HEADER_BYTES], u32) {
        let mut out = [0; SEGMENT_HEADER_BYTES];
        out[0..8].copy_from_slice(&MAGIC);
        out[8..12].copy_from_slice(&VERSION.to_le_bytes());
        out[12..16].copy_from_slice(&self.epoch.to_le_bytes());
        out[16..24].copy_from_slice(&self.log_id.to_le_bytes());
        out[24..32].copy_from_slice(&self.sequence.to_le_bytes());
        out[32..40].copy_from_slice(&self.first_index.to_le_bytes());
        out[40..48].copy_from_slice(&self.previous_end.to_le_bytes());
        out[48..52].copy_from_slice(&self.previous_crc.to_le_bytes());
        let crc = crc32fast::hash(&out[..60]);
        out[60..64].copy_from_slice(&crc.to_le_bytes());
        (out, crc)
    }

    /// Decodes a header and returns it with its checksum. The checksum stands at the same place in every
    /// version, so that a newer version is told from damage.
    pub fn decode(bytes: &[u8]) -> Result<(SegmentHeader, u32), Fault> {
        let bytes = bytes
            .first_chunk::<SEGMENT_HEADER_BYTES>()
            .ok_or_else(|| too_short(SEGMENT_HEADER_BYTES, bytes))?;
        if bytes.iter().all(|&b| b == 0) {
            return Err(Fault::Unwritten);
        }
        let found = array::<8>(bytes, 0);
        if found != MAGIC {
            return Err(Fault::Magic { found });
        }
        let crc = check(u32_at(bytes, 60), crc32fast::hash(&bytes[..60]))?;
        let version = u32_at(bytes, 8);
        if version != VERSION {
            return Err(Fault::Version { found: version });
        }
        let header = SegmentHeader {
            epoch: u32_at(bytes, 12),
            log_id: u64_at(bytes, 16),
            sequence: u64_at(bytes, 24),
            first_index: u64_at(bytes, 32),
            previous_end: u64_at(bytes, 40),
            previous_crc: u32_at(bytes, 48),
        };
        Ok((header, crc))
    }
}

/// Seed of all batch checksums of one segment.
pub fn segment_seed(log_id: u64, sequence: u64) -> u32 {
    let mut hasher = Hasher::new();
    hasher.update(&log_id.to_le_bytes());
    hasher.update(&sequence.to_le_bytes());
    hasher.finalize()
}

/// First bytes of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchHeader {
    /// The next batch starts at the next block, not merely at the next multiple of 8.
    pub padded: bool,
    /// Bytes of records that follow the header.
    pub body_bytes: u64,
    pub records: u32,
    /// How often the log had been opened; what makes a batch unlike one that was cut at the same place.
    pub epoch: u32,
    /// Checksum of the batch before, or of the segment's header.
    pub previous_crc: u32,
}

impl BatchHeader {
    /// Encodes the header for `offset` of the segment with `seed` and returns its checksum.
    pub fn encode(&self, out: &mut [u8; BATCH_HEADER_BYTES], seed: u32, offset: u64) -> u32 {
        *out = [0; BATCH_HEADER_BYTES];
        out[4] = BATCH_TYPE;
        out[5] = if self.padded { FLAG_PADDED } else { 0 };
        out[8..16].copy_from_slice(&self.body_bytes.to_le_bytes());
        out[16..20].copy_from_slice(&self.records.to_le_bytes());
        out[20..24].copy_from_slice(&self.epoch.to_le_bytes());
        out[24..28].copy_from_slice(&self.previous_crc.to_le_bytes());
        let crc = batch_checksum(out, seed, offset);
        out[0..4].copy_from_slice(&crc.to_le_bytes());
        crc
    }

    /// Decodes the header at `offset` of the segment with `seed`, and returns it with its checksum.
    pub fn decode(bytes: &[u8], seed: u32, offset: u64) -> Result<(BatchHeader, u32), Fault> {
        let bytes =
            bytes.first_chunk::<BATCH_HEADER_BYTES>().ok_or_else(|| too_short(BATCH_HEADER_BYTES, bytes))?;
        if bytes.iter().all(|&b| b == 0) {
            return Err(Fault::Unwritten);
        }
        let crc = check(u32_at(bytes, 0), batch_checksum(bytes, seed, offset))?;
        if bytes[4] != BATCH_TYPE {
            return Err(Fault::Type { found: bytes[4] });
        }
        let header = BatchHeader {
            padded: bytes[5] & FLAG_PADDED != 0,
            body_bytes: u64_at(bytes, 8),
            records: u32_at(bytes, 16),
            epoch: u32_at(bytes, 20),
            previous_crc: u32_at(bytes, 24),
        };
        Ok((header, crc))
    }

    /// Whether `bytes` may be a batch header: the cheap test before [`BatchHeader::decode`].
    pub fn is_plausible(bytes: &[u8]) -> bool {
        bytes.len() >= BATCH_HEADER_BYTES && bytes[4] == BATCH_TYPE && bytes[28..32] == [0; 4]
    }

    /// Offset behind the last record of a batch that starts at `offset`.
    pub fn body_end(&self, offset: u64) -> Option<u64> {
        offset.checked_add(BATCH_HEADER_BYTES as u64)?.checked_add(self.body_bytes)
    }

    /// Offset at which the batch after the one at `offset` starts.
    pub fn next_offset(&self, offset: u64) -> Option<u64> {
        let align = if self.padded { BLOCK_BYTES } else { BATCH_ALIGN_BYTES };
        self.body_end(offset)?.checked_next_multiple_of(align)
    }
}

/// What a record says. All kinds share one layout.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// An entry of the log: its index, its term, its payload.
    Entry = 2,
    /// Raft's hard state: commit as index, term, and the vote as 8 bytes of payload.
    HardState = 3,
    /// The entries from index on are no more.
    Truncate = 4,
    /// The entries up to index, the last of which has the term, are no longer needed.
    Compact = 5,
    /// The caller's metadata is the payload.
    Metadata = 6,
    /// All entries are gone; the log goes on after index, whose entry has the term.
    Reset = 7,
}

impl Kind {
    fn from_byte(byte: u8) -> Result<Kind, Fault> {
        match byte {
            2 => Ok(Kind::Entry),
            3 => Ok(Kind::HardState),
            4 => Ok(Kind::Truncate),
            5 => Ok(Kind::Compact),
            6 => Ok(Kind::Metadata),
            7 => Ok(Kind::Reset),
            found => Err(Fault::Type { found }),
        }
    }
}

/// One record as it lies in a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RawRecord<'a> {
    pub kind: Kind,
    pub index: u64,
    pub term: u64,
    pub payload: &'a [u8],
}

impl<'a> RawRecord<'a> {
    /// Encodes what precedes the payload, without the checksum: that is [`seal_record`]'s.
    pub fn encode_header(&self) -> [u8; RECORD_HEADER_BYTES] {
        let length = u32::try_from(self.payload.len()).expect("staging bounds payloads");
        let mut out = [0; RECORD_HEADER_BYTES];
        out[4] = self.kind as u8;
        out[8..12].copy_from_slice(&length.to_le_bytes());
        out[12..20].copy_from_slice(&self.index.to_le_bytes());
        out[20..28].copy_from_slice(&self.term.to_le_bytes());
        out
    }

    /// Decodes the record at the start of `bytes` and checks it against `batch_crc`.
    pub fn decode(bytes: &'a [u8], batch_crc: u32) -> Result<RawRecord<'a>, Fault> {
        let whole = record_bytes(bytes)?;
        let bytes = bytes.get(..whole).ok_or_else(|| too_short(whole, bytes))?;
        if !planted::is(Bug::TrustTornRecords) {
            check(u32_at(bytes, 0), record_checksum(bytes, batch_crc))?;
        }
        Self::parse(bytes)
    }

    /// Decodes a record that is known to be whole and sound.
    pub fn parse(bytes: &'a [u8]) -> Result<RawRecord<'a>, Fault> {
        let whole = record_bytes(bytes)?;
        Ok(RawRecord {
            kind: Kind::from_byte(bytes[4])?,
            index: u64_at(bytes, 12),
            term: u64_at(bytes, 20),
            payload: &bytes[RECORD_HEADER_BYTES..whole],
        })
    }

    /// Size of the record with its header, in bytes.
    pub fn encoded_bytes(&self) -> usize {
        RECORD_HEADER_BYTES + self.payload.len()
    }
}

/// Size of the record at the start of `bytes`, header included, as its header announces it.
/// The record may reach beyond `bytes`.
pub fn record_bytes(bytes: &[u8]) -> Result<usize, Fault> {
    let header =
        bytes.first_chunk::<RECORD_HEADER_BYTES>().ok_or_else(|| too_short(RECORD_HEADER_BYTES, bytes))?;
    let payload = u32_at(header, 8) as usize;
    if payload > MAX_PAYLOAD_BYTES {
        return Err(Fault::Length { announced: payload as u64, room: MAX_PAYLOAD_BYTES as u64 });
    }
    Ok(RECORD_HEADER_BYTES + payload)
}

/// Writes the checksum of the whole record `bytes` for the batch with `batch_crc`.
pub fn seal_record(bytes: &mut [u8], batch_crc: u32) {
    let crc = record_checksum(bytes, batch_crc);
    bytes[0..4].copy_from_slice(&crc.to_le_bytes());
}

fn record_checksum(bytes: &[u8], batch_crc: u32) -> u32 {
    let mut hasher = Hasher::new_with_initial(batch_crc);
    hasher.update(&bytes[4..]);
    hasher.finalize()
}

fn batch_checksum(bytes: &[u8; BATCH_HEADER_BYTES], seed: u32, offset: u64) -> u32 {
    let mut hasher = Hasher::new_with_initial(seed);
    hasher.update(&offset.to_le_bytes());
    hasher.update(&bytes[4..]);
    hasher.finalize()
}

fn check(expected: u32, found: u32) -> Result<u32, Fault> {
    if expected == found { Ok(found) } else { Err(Fault::Checksum { expected, found }) }
}

fn too_short(announced: usize, bytes: &[u8]) -> Fault {
    Fault::Length { announced: announced as u64, room: bytes.len() as u64 }
}

fn array<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    *bytes[at..].first_chunk::<N>().expect("callers hold a whole header")
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(array(bytes, at))
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(array(bytes, at))
}

#[cfg(test)]
mod tests;
