//! Segments by name, and reading one wherever its bytes are.
//!
//! - A segment's name is its sequence number. Sequences are contiguous: live segments first, then those
//!   prepared for later. So a number that is missing in between is a loss, and is seen.
//! - A sealed segment never changes; it is mapped when it is first read.

use std::sync::OnceLock;

use crate::disk::{Disk, DiskFile};
use crate::error::WalError;

const SUFFIX: &str = ".wal";
const TEMPORARY_SUFFIX: &str = ".tmp";
const DIGITS: usize = 20;
/// Bytes read at once from a segment that is not mapped.
const WINDOW_BYTES: u64 = 64 << 10;

/// The file of the segment with this sequence number.
pub(crate) fn name_of(sequence: u64) -> String {
    format!("{sequence:0DIGITS$}{SUFFIX}")
}

pub(crate) fn sequence_of(name: &str) -> Option<u64> {
    let digits = name.strip_suffix(SUFFIX)?;
    (digits.len() == DIGITS && digits.bytes().all(|b| b.is_ascii_digit()))
        .then(|| digits.parse().ok())
        .flatten()
}

pub(crate) fn is_temporary(name: &str) -> bool {
    name.ends_with(TEMPORARY_SUFFIX)
}

/// Sequences of all segments in the folder, in order.
pub(crate) fn list_sequences<D: Disk>(disk: &D) -> Result<Vec<u64>, WalError> {
    let names = disk.list().map_err(WalError::io("list", ".", 0))?;
    let mut sequences: Vec<u64> = names.iter().filter_map(|n| sequence_of(n)).collect();
    sequences.sort_unstable();
    Ok(sequences)
}

/// A segment that is full.
#[derive(Debug)]
pub(crate) struct SealedSegment<D: Disk> {
    pub sequence: u64,
    /// Offset behind the last batch.
    pub end: u64,
    pub file_bytes: u64,
    map: OnceLock<D::Map>,
}

impl<D: Disk> SealedSegment<D> {
    pub fn new(sequence: u64, end: u64, file_bytes: u64) -> SealedSegment<D> {
        SealedSegment { sequence, end, file_bytes, map: OnceLock::new() }
    }

    pub fn bytes(&self, disk: &D) -> Result<&[u8], WalError> {
        if self.map.get().is_none() {
            let map = map_segment(disk, self.sequence)?;
            // If another reader was faster, its map is as good.
            let _ = self.map.set(map);
        }
        let map = self.map.get().expect("set right above");
        Ok(map.as_ref())
    }
}

pub(crate) fn map_segment<D: Disk>(disk: &D, sequence: u64) -> Result<D::Map, WalError> {
    let name = name_of(sequence);
    disk.map(&name).map_err(WalError::io("map", &name, 0))
}

/// A segment's bytes for reading in ascending order.
pub(crate) enum Source<'a, F> {
    Mapped(&'a [u8]),
    /// The segment in use: read in windows up to `end`.
    File {
        file: &'a F,
        sequence: u64,
        end: u64,
        window: Vec<u8>,
        window_offset: u64,
    },
}

impl<'a, F: DiskFile> Source<'a, F> {
    pub fn file(file: &'a F, sequence: u64, end: u64) -> Source<'a, F> {
        Source::File { file, sequence, end, window: Vec::new(), window_offset: 0 }
    }

    /// `length` bytes from `offset` on, or fewer at the end of the segment.
    pub fn bytes(&mut self, offset: u64, length: u64) -> Result<&[u8], WalError> {
        match self {
            Source::Mapped(bytes) => Ok(slice(bytes, offset, length)),
            Source::File { file, sequence, end, window, window_offset } => {
                let wanted_end = offset.saturating_add(length).min(*end);
                if offset < *window_offset || wanted_end > *window_offset + window.len() as u64 {
                    let count = length.max(WINDOW_BYTES).min(end.saturating_sub(offset));
                    window.resize(count as usize, 0);
                    *window_offset = offset;
                    file.read_at(window, offset).map_err(WalError::io(
                        "read",
                        &name_of(*sequence),
                        offset,
                    ))?;
                }
                Ok(slice(window, offset - *window_offset, length))
            }
        }
    }
}

fn slice(bytes: &[u8], offset: u64, length: u64) -> &[u8] {
    let start = usize::try_from(offset).map_or(bytes.len(), |o| o.min(bytes.len()));
    let rest = &bytes[start..];
    let length = usize::try_from(length).map_or(rest.len(), |l| l.min(rest.len()));
    &rest[..length]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_sort_like_their_sequences() {
        assert_eq!(name_of(7), "00000000000000000007.wal");
        assert_eq!(sequence_of(&name_of(u64::MAX)), Some(u64::MAX));
        assert!(name_of(9) < name_of(10));
    }

    #[test]
    fn strangers_are_no_segments() {
        for name in ["LOCK", "7.wal", "0000000000000000000x.wal", "prepare.tmp"] {
            assert_eq!(sequence_of(name), None, "{name}");
        }
        assert_eq!(sequence_of("99999999999999999999.wal"), None, "beyond 2^64");
    }
}
