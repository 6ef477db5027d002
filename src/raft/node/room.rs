//! Who may still write when there is no space for another segment of the log.
//!
//! The rest of what is allocated is shared out, so that what matters most goes on longest, and a full disk ends no node:
//!
//! | left over in the log | what a node still does |
//! |---|---|
//! | all reserves | everything |
//! | less than [`Reserve::Proposals`] | it proposes nothing more; it appends what a leader sends |
//! | less than [`Reserve::Appends`] | of that, only entries without data, which new leaders begin with; it votes |
//! | less than [`Reserve::Votes`] | nothing that the log would have to remember: it is deaf to other terms, votes for nobody and does not campaign |
//!
//! - Nothing is half done: a proposal is refused before raft knows of it, and a message before raft has seen it. To its
//!   peers a node that refuses is one that messages get lost on the way to; they send again.
//! - While space is not known to be missing nothing is refused: reserves count from the first segment that could not be made.
//! - Leaders stop before followers do, so that on equal disks followers can take what was proposed.

use perdura_wal::{Disk, Needed};
use raft::eraftpb::{Message, MessageType};

use super::Node;
use crate::raft::status::{LogSpace, Role};

/// What stays free of proposals and of appended entries at most, each.
const MAX_SHARE_BYTES: u64 = 8 << 20;
/// What the writes of an election take: two batches, each at most two blocks.
const ELECTION_BYTES: u64 = 16 << 10;

/// What must be left over in the log.
#[derive(Clone, Copy, Debug)]
enum Reserve {
    Nothing,
    Votes,
    Appends,
    Proposals,
}

impl Reserve {
    /// In a log of segments of such a size.
    fn bytes(self, segment_bytes: u64) -> u64 {
        let share = (segment_bytes / 8).min(MAX_SHARE_BYTES);
        let election = ELECTION_BYTES.min(segment_bytes / 4);
        match self {
            Reserve::Nothing => 0,
            Reserve::Votes => election,
            Reserve::Appends => election + share,
            Reserve::Proposals => election + 2 * share,
        }
    }
}

/// What raft has taken and the log has not been given yet.
#[derive(Debug, Default)]
pub(super) struct Unwritten {
    entries: u64,
    bytes: u64,
}

impl Unwritten {
    pub fn add(&mut self, entries: usize, bytes: usize) {
        self.entries += entries as u64;
        self.bytes += bytes as u64;
    }
}

impl<D: Disk> Node<D> {
    /// How much space the log has.
    pub fn log_space(&self) -> LogSpace {
        let wal = self.raw.store().wal();
        LogSpace { ready_bytes: wal.ready_bytes(), is_short: wal.is_short_of_space() }
    }

    /// Takes room for a proposal; false if there is none.
    pub(super) fn takes_proposal(&mut self, bytes: usize) -> bool {
        self.takes(1, bytes, Reserve::Proposals)
    }

    /// Takes room for what a message would have appended; false if there is none.
    pub(super) fn takes_entries(&mut self, message: &Message) -> bool {
        let entries = message.entries.len();
        if message.get_msg_type() != MessageType::MsgAppend || entries == 0 {
            return true;
        }
        let bytes = message.entries.iter().map(|entry| entry.data.len()).sum();
        let reserve = if bytes == 0 { Reserve::Nothing } else { Reserve::Appends };
        self.takes(entries, bytes, reserve)
    }

    /// Whether the log has room to go on behind a checkpoint that came from another node.
    pub fn has_room_to_restore(&self) -> bool {
        self.raw.store().wal().has_room(self.needed(1, 0, Reserve::Nothing))
    }

    /// Whether a message could bring about a term or a vote that the log has no room to remember.
    pub(super) fn is_deaf_to(&self, message: &Message) -> bool {
        let kind = message.get_msg_type();
        let may_bind = message.term > self.raw.raft.term
            || matches!(kind, MessageType::MsgRequestVote | MessageType::MsgTimeoutNow);
        may_bind && self.is_out_of_room()
    }

    /// Whether the log has no room to remember a term or a vote.
    pub(super) fn is_out_of_room(&self) -> bool {
        !self.raw.store().wal().has_room(self.needed(1, 0, Reserve::Votes))
            && self.raw.store().wal().is_short_of_space()
    }

    /// Tries to get room for an election, where nobody else does: whoever makes segments ahead of time may have failed, and a node
    /// that is deaf would never find out why.
    pub(super) fn seek_room(&mut self) {
        if self.is_out_of_room() {
            self.secure(self.needed(1, 0, Reserve::Votes));
        }
    }

    /// Whether raft's time passes: where the node does not lead and may not campaign, it would only try to.
    pub(super) fn may_tick(&self) -> bool {
        self.leadership.role == Role::Leader || self.is_trusted() && !self.is_out_of_room()
    }

    fn takes(&mut self, entries: usize, bytes: usize, reserve: Reserve) -> bool {
        let is_there = self.secure(self.needed(entries, bytes, reserve));
        if is_there {
            self.unwritten.add(entries, bytes);
        }
        is_there
    }

    fn secure(&mut self, needed: Needed) -> bool {
        self.raw.mut_store().wal_mut().secure_room(needed).unwrap_or_else(|error| {
            self.fatal = Some(error.into());
            false
        })
    }

    fn needed(&self, entries: usize, bytes: usize, reserve: Reserve) -> Needed {
        Needed {
            entries: self.unwritten.entries + entries as u64,
            payload_bytes: self.unwritten.bytes + bytes as u64,
            reserve_bytes: reserve.bytes(self.raw.store().wal().segment_bytes()),
        }
    }
}

#[cfg(test)]
mod tests;
