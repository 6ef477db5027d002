//! Room for what is to be committed, on a disk that may be full.
//!
//! - Segments are made before they are needed, so a full disk is noticed while there is still room. Whoever asks for room
//!   before it stages finds out in time, and can refuse; a commit that nobody asked for fails, and ends the log.
//! - Room is space that is allocated already: the rest of the segment in use, and the segments prepared.
//!
//! Caveat: a file system that needs space to write over what is there (copy on write, thin provisioning) can still fail a
//! commit.

use super::Wal;
use crate::disk::Disk;
use crate::error::WalError;
use crate::format::{BLOCK_BYTES, RECORD_HEADER_BYTES};

/// A hard state, a cut, and what a hard state holds: what may go along with entries.
const COMPANY_BYTES: u64 = 2 * RECORD_HEADER_BYTES as u64 + 8;

/// A batch that is to be committed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Needed {
    pub entries: u64,
    /// Bytes of all their payloads.
    pub payload_bytes: u64,
    /// Bytes of room that must be left over when it is committed.
    pub reserve_bytes: u64,
}

impl<D: Disk> Wal<D> {
    /// Makes sure that a batch finds room, and says whether it does. Makes the segment that it takes, if it must.
    ///
    /// While space for another segment is not known to be missing, only the batch itself must fit: the
    /// [`Preparer`](crate::Preparer), if there is one, sees to what is left over. False means that there is no space: nothing
    /// has happened, and nothing is wrong with the log.
    pub fn secure_room(&mut self, needed: Needed) -> Result<bool, WalError> {
        self.check_poison()?;
        loop {
            if self.has_room(needed) {
                return Ok(true);
            }
            let ready = self.spares.ready();
            if ready.short_of_space && ready.attended {
                return Ok(false);
            }
            let fits = self.room_left(needed).is_some();
            let wanted = if fits { ready.first_bytes } else { self.first_write_end(needed) };
            if !self.spares.make_room(wanted)? {
                return Ok(false);
            }
        }
    }

    /// Whether a batch finds room without a segment being made for it, as for [`secure_room`](Self::secure_room).
    pub fn has_room(&self, needed: Needed) -> bool {
        let ready = self.spares.ready();
        match self.room_left(needed) {
            Some(left) => left >= needed.reserve_bytes || ready.attended && !ready.short_of_space,
            None => false,
        }
    }

    /// Lets no segment be prepared while it is held: the disk's space is needed for something that frees more.
    pub fn hold_preparing(&self, held: bool) {
        self.spares.hold(held);
    }

    /// Whether there was no space for another segment when one was to be made last.
    pub fn is_short_of_space(&self) -> bool {
        self.spares.ready().short_of_space
    }

    /// Size of a usual segment.
    pub fn segment_bytes(&self) -> u64 {
        self.spares.segment_bytes()
    }

    /// Room that is left over behind a batch; `None` if it does not fit.
    fn room_left(&self, needed: Needed) -> Option<u64> {
        let ready = self.spares.ready();
        let end = self.layout.write_end(self.active.end, body_bytes(needed));
        if end <= self.active.file_bytes {
            return Some(self.active.file_bytes - end + ready.bytes);
        }
        let end = self.first_write_end(needed);
        (end <= ready.first_bytes).then(|| ready.bytes - end)
    }

    /// Where the batch would end if it began a segment.
    fn first_write_end(&self, needed: Needed) -> u64 {
        let opening = 3 * RECORD_HEADER_BYTES as u64 + 8 + self.index.metadata().len() as u64;
        self.layout.write_end(BLOCK_BYTES, opening + body_bytes(needed)).next_multiple_of(BLOCK_BYTES)
    }
}

fn body_bytes(needed: Needed) -> u64 {
    needed.entries * RECORD_HEADER_BYTES as u64 + needed.payload_bytes + COMPANY_BYTES
}
