//! Segments by name, and reading one wherever its bytes are.
//!
//! - A segment's name is its sequence number. Sequences are contiguous: live segments first, then those
//!   prepared for later. So a number that is missing in between is a loss, and is seen.
//! - A sealed segment never changes. One that was read as a whole and found sound is mapped when an entry is read from it; any
//!   other is read with plain reads, for a sector that can't be read ends the process where it is mapped.
//! - Which segment was begun last is noted in the name of an empty file (`begun-` and the sequence): a log whose newest segments are missing
//!   looks like one that ends before them. The note may be a segment late, for it is made beside the commits.
//! - A segment that is set aside keeps its name after `damaged-`: it is no segment any more, and only people remove it.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::disk::aligned::AlignedBuf;
use crate::disk::{Disk, DiskFile};
use crate::error::WalError;

const SUFFIX: &str = ".wal";
const TEMPORARY_SUFFIX: &str = ".tmp";
const BEGUN_PREFIX: &str = "begun-";
const SET_ASIDE_PREFIX: &str = "damaged-";
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

/// The file that notes that this segment was begun.
pub(crate) fn begun_name_of(sequence: u64) -> String {
    format!("{BEGUN_PREFIX}{sequence:0DIGITS$}")
}

fn begun_sequence_of(name: &str) -> Option<u64> {
    let digits = name.strip_prefix(BEGUN_PREFIX)?;
    (digits.len() == DIGITS && digits.bytes().all(|b| b.is_ascii_digit()))
        .then(|| digits.parse().ok())
        .flatten()
}

/// The newest segment that is noted to have been begun; 0 if none is.
pub(crate) fn newest_begun<D: Disk>(disk: &D) -> Result<u64, WalError> {
    let names = disk.list().map_err(WalError::io("list", ".", 0))?;
    Ok(names.iter().filter_map(|name| begun_sequence_of(name)).max().unwrap_or(0))
}

/// Sees that the newest segment that was begun is there, or a later one.
pub(crate) fn check_newest<D: Disk>(disk: &D, sequences: &[u64]) -> Result<(), WalError> {
    let (begun, last) = (newest_begun(disk)?, sequences.last().copied().unwrap_or(0));
    if begun <= last {
        return Ok(());
    }
    Err(WalError::MissingNewest { first: name_of(last + 1), last: name_of(begun) })
}

pub(crate) fn is_temporary(name: &str) -> bool {
    name.ends_with(TEMPORARY_SUFFIX)
}

/// What a segment is called once it is set aside. Where `names` has that already, because a copy took the place of the first and is
/// damaged, too, there is a number in it.
pub(crate) fn set_aside_name(name: &str, names: &[String]) -> String {
    let first = format!("{SET_ASIDE_PREFIX}{name}");
    let numbered = (2_u64..).map(|number| format!("{SET_ASIDE_PREFIX}{number}-{name}"));
    std::iter::once(first.clone()).chain(numbered).find(|free| !names.contains(free)).unwrap_or(first)
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
    /// It was read as a whole since the log was opened, and was sound.
    is_verified: AtomicBool,
    /// No sector of it is known to be unreadable.
    pub is_readable: bool,
    map: OnceLock<D::Map>,
}

impl<D: Disk> SealedSegment<D> {
    /// A segment that was written, and not read since.
    pub fn written(sequence: u64, end: u64, file_bytes: u64) -> SealedSegment<D> {
        SealedSegment {
            sequence,
            end,
            file_bytes,
            is_verified: AtomicBool::new(false),
            is_readable: true,
            map: OnceLock::new(),
        }
    }

    /// A segment that was read up to its end and found sound, and has a sector after that which can't be read. It is neither mapped
    /// nor recycled.
    pub fn unreadable_after_end(sequence: u64, end: u64, file_bytes: u64) -> SealedSegment<D> {
        SealedSegment { is_readable: false, ..SealedSegment::written(sequence, end, file_bytes) }
    }

    /// A segment that was read as a whole and found sound.
    pub fn verified(sequence: u64, end: u64, file_bytes: u64) -> SealedSegment<D> {
        let segment = SealedSegment::written(sequence, end, file_bytes);
        segment.note_verified();
        segment
    }

    pub fn note_verified(&self) {
        self.is_verified.store(true, Ordering::Relaxed);
    }

    /// Its bytes, to be read in ascending order.
    pub fn source(&self, disk: &D) -> Result<Source<'_, D::File>, WalError> {
        let name = name_of(self.sequence);
        if !self.is_verified.load(Ordering::Relaxed) {
            let file = disk.open(&name).map_err(WalError::io("open", &name, 0))?;
            // The padding after the last batch need not be in the file.
            let end = self.end.min(self.file_bytes);
            return Ok(Source::file(Handle::Own(file), self.sequence, end));
        }
        if self.map.get().is_none() {
            let map = disk.map(&name).map_err(WalError::io("map", &name, 0))?;
            // If another reader was faster, its map is as good.
            let _ = self.map.set(map);
        }
        let map = self.map.get().expect("set right above");
        Ok(Source::Mapped(map.as_ref()))
    }
}

/// Reads a whole segment, so that a sector that can't be read is an error with its place.
pub(crate) fn read_segment<D: Disk>(disk: &D, sequence: u64) -> Result<AlignedBuf, WalError> {
    let name = name_of(sequence);
    disk.read_cached(&name).map_err(WalError::read(&name))
}

/// What a segment holds before the first sector that can't be read, and the error that tells of that sector; all that it holds
/// where there is none.
pub(crate) fn read_readable<D: Disk>(
    disk: &D,
    sequence: u64,
) -> Result<(AlignedBuf, Option<WalError>), WalError> {
    match read_segment(disk, sequence) {
        Err(error @ WalError::Io { offset, .. }) if error.is_unreadable() => {
            Ok((read_before(disk, &name_of(sequence), offset)?, Some(error)))
        }
        read => Ok((read?, None)),
    }
}

/// The bytes of a file before an offset that lies inside it.
pub(crate) fn read_before<D: Disk>(disk: &D, name: &str, offset: u64) -> Result<AlignedBuf, WalError> {
    let mut bytes = AlignedBuf::zeroed(usize::try_from(offset).unwrap_or(usize::MAX));
    let file = disk.open(name).map_err(WalError::io("open", name, 0))?;
    file.read_at(bytes.as_mut(), 0).map_err(WalError::io("read", name, 0))?;
    Ok(bytes)
}

/// An open file, borrowed or not.
pub(crate) enum Handle<'a, F> {
    Borrowed(&'a F),
    Own(F),
}

impl<F> Handle<'_, F> {
    fn get(&self) -> &F {
        match self {
            Handle::Borrowed(file) => file,
            Handle::Own(file) => file,
        }
    }
}

/// A segment's bytes for reading in ascending order.
pub(crate) enum Source<'a, F> {
    Mapped(&'a [u8]),
    /// The segment in use, or one that was not verified: read in windows up to `end`.
    File {
        file: Handle<'a, F>,
        sequence: u64,
        end: u64,
        window: Vec<u8>,
        window_offset: u64,
    },
}

impl<'a, F: DiskFile> Source<'a, F> {
    pub fn file(file: Handle<'a, F>, sequence: u64, end: u64) -> Source<'a, F> {
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
                    file.get().read_at(window, offset).map_err(WalError::io(
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
