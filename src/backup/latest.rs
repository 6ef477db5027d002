//! The latest restorable time: up to when a leader has said that nothing was written after the entries that it shipped.
//!
//! ```text
//! content of LATEST.perdura =  0  8  index of the last entry
//!                              8  8  term of the leader
//!                             16  8  time in unix ms
//! ```
//!
//! - Entries carry the time up to the last one of them. A database that is idle ships none, so its primary writes this object in
//!   their place, and overwrites it as time passes.
//! - Only a leader that has just confirmed its leadership makes such a statement, see [`Quiet`](crate::shard::quiet::Quiet). A
//!   statement of an older term, or of fewer entries, replaces no other, and one of the same entries does not take a moment back.
//! - Restores go by the entries' timestamps all the same: the statement only says up to when a target may be named.
//!
//! Caveat: the time is the leader's calendar's. A next leader whose calendar is late may still write entries with earlier timestamps. Where
//! objects show that, the statement does not count.

use super::error::{BackupError, Damage, Result};
use super::names;
use super::object::Kind;
use super::repository::Repository;

pub const CONTENT_BYTES: usize = 24;

/// See the module.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Latest {
    /// The last entry that was written up to that time.
    pub index: u64,
    /// Of the leader that says so.
    pub term: u64,
    /// Unix ms.
    pub time_ms: i64,
}

impl Latest {
    /// Reads the statement; `None` where there is none.
    pub fn read(repository: &Repository) -> Result<Option<Latest>> {
        let Some(content) = repository.read(names::LATEST, Kind::Latest)? else {
            return Ok(None);
        };
        let latest = Latest::decode(&content);
        latest.map(Some).map_err(|damage| BackupError::damaged(names::LATEST, damage))
    }

    /// Writes it, unless the repository has one of a later leader or of later entries. Bytes that were written.
    pub fn write(&self, repository: &Repository) -> Result<u64> {
        let stored = match Latest::read(repository) {
            // It is made again.
            Err(BackupError::Damaged { .. }) => None,
            stored => stored?,
        };
        if stored.is_some_and(|stored| stored.term > self.term || stored.index > self.index) {
            return Ok(0);
        }
        let told_ms =
            stored.filter(|stored| stored.index == self.index).map_or(i64::MIN, |stored| stored.time_ms);
        let latest = Latest { time_ms: self.time_ms.max(told_ms), ..*self };
        repository.write(names::LATEST, Kind::Latest, &latest.encode())
    }

    fn encode(&self) -> Vec<u8> {
        [self.index.to_le_bytes(), self.term.to_le_bytes(), self.time_ms.to_le_bytes()].concat()
    }

    fn decode(content: &[u8]) -> Result<Latest, Damage> {
        let content: &[u8; CONTENT_BYTES] = content
            .try_into()
            .map_err(|_| Damage::Length { expected: CONTENT_BYTES as u64, found: content.len() as u64 })?;
        let (index, rest) = content.split_first_chunk().ok_or(Damage::Header)?;
        let (term, rest) = rest.split_first_chunk().ok_or(Damage::Header)?;
        let (time_ms, _) = rest.split_first_chunk().ok_or(Damage::Header)?;
        let (index, term) = (u64::from_le_bytes(*index), u64::from_le_bytes(*term));
        Ok(Latest { index, term, time_ms: i64::from_le_bytes(*time_ms) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bytes_never_change_between_releases() {
        let latest = Latest { index: 7, term: 2, time_ms: 5 };
        assert_eq!(latest.encode(), [7u64, 2, 5].map(u64::to_le_bytes).concat());
        assert_eq!(Latest::decode(&latest.encode()), Ok(latest));
        assert!(Latest::decode(&latest.encode()[1..]).is_err());
    }
}
