//! What the log holds, in memory: bounds, terms, hard state, and where the entries lie.
//!
//! - Changed only by [`LogIndex::apply`], by recovery and by commit alike, so that both agree.
//! - Entries are contiguous: `base.index + 1 ..= last`. `base` is the last compacted entry.
//! - Terms are runs. Places are groups: one for up to 16 entries or 64 KiB; inside a group one walks from
//!   record to record. A million small entries take two megabytes, a lookup is a binary search in memory.
//! - A cut ends the group it falls into, so that walking from a group's start to the next group's index
//!   never meets a record that was cut.

use std::collections::VecDeque;

use crate::format::{Fault, Kind, RawRecord};

const GROUP_ENTRIES: u64 = 16;
const GROUP_BYTES: u64 = 64 << 10;

/// An entry's index and term; (0, 0) is the place before the first entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Position {
    pub index: u64,
    pub term: u64,
}

/// Raft's hard state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct HardState {
    pub term: u64,
    /// 0 is "no vote".
    pub vote: u64,
    pub commit: u64,
}

impl HardState {
    pub(crate) fn to_record<'a>(self, payload: &'a mut [u8; 8]) -> RawRecord<'a> {
        *payload = self.vote.to_le_bytes();
        RawRecord { kind: Kind::HardState, index: self.commit, term: self.term, payload }
    }

    fn from_record(record: &RawRecord<'_>) -> Result<HardState, Fault> {
        let vote = <[u8; 8]>::try_from(record.payload)
            .map_err(|_| Fault::Length { announced: record.payload.len() as u64, room: 8 })?;
        Ok(HardState { term: record.term, vote: u64::from_le_bytes(vote), commit: record.index })
    }
}

/// Where a record lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    pub sequence: u64,
    /// Offset of the header of the batch that the record is in.
    pub batch_offset: u64,
    pub offset: u64,
}

/// Consecutive entries, and where the first of them lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Group {
    pub first_index: u64,
    pub place: Place,
}

#[derive(Debug)]
pub(crate) struct LogIndex {
    base: Position,
    /// First index whose entry is in the segments that are there; up to `base.index + 1` when all is well.
    held_from: u64,
    next: u64,
    /// First position of each term.
    terms: VecDeque<Position>,
    groups: VecDeque<Group>,
    /// Whether the next entry may still join the last group.
    group_open: bool,
    hard_state: HardState,
    metadata: Vec<u8>,
}

impl LogIndex {
    /// The log as it is before the segment that begins with `first_index`.
    pub fn starting_at(first_index: u64) -> LogIndex {
        LogIndex {
            base: Position::default(),
            held_from: first_index,
            next: first_index,
            terms: VecDeque::new(),
            groups: VecDeque::new(),
            group_open: false,
            hard_state: HardState::default(),
            metadata: Vec::new(),
        }
    }

    pub fn with_metadata(metadata: Vec<u8>) -> LogIndex {
        LogIndex { metadata, ..LogIndex::starting_at(1) }
    }

    pub fn base(&self) -> Position {
        self.base
    }

    pub fn held_from(&self) -> u64 {
        self.held_from
    }

    pub fn first_index(&self) -> u64 {
        self.base.index + 1
    }

    pub fn next_index(&self) -> u64 {
        self.next
    }

    pub fn last(&self) -> Position {
        let term = self.terms.back().map_or(self.base.term, |run| run.term);
        Position { index: self.next - 1, term }
    }

    pub fn hard_state(&self) -> HardState {
        self.hard_state
    }

    pub fn metadata(&self) -> &[u8] {
        &self.metadata
    }

    /// Term of an entry, or of the base; `None` outside.
    pub fn term(&self, index: u64) -> Option<u64> {
        if index == self.base.index {
            return Some(self.base.term);
        }
        if index < self.base.index || index >= self.next {
            return None;
        }
        let after = self.terms.partition_point(|run| run.index <= index);
        Some(self.terms.get(after.checked_sub(1)?)?.term)
    }

    /// The group with the entry `index`, and the first index that is not in it.
    pub fn group_of(&self, index: u64) -> Option<(Group, u64)> {
        let after = self.groups.partition_point(|group| group.first_index <= index);
        let group = *self.groups.get(after.checked_sub(1)?)?;
        let end = self.groups.get(after).map_or(self.next, |g| g.first_index);
        (index < end).then_some((group, end))
    }

    /// The oldest segment that holds an entry still needed.
    pub fn oldest_sequence(&self) -> Option<u64> {
        self.groups.front().map(|group| group.place.sequence)
    }

    /// First and last of the entries that lie in a segment, as far as they are not compacted.
    pub fn entries_in(&self, sequence: u64) -> Option<(u64, u64)> {
        let start = self.groups.partition_point(|group| group.place.sequence < sequence);
        let end = self.groups.partition_point(|group| group.place.sequence <= sequence);
        let first = self.groups.range(start..end).next()?.first_index.max(self.first_index());
        let last = self.groups.get(end).map_or(self.next, |group| group.first_index) - 1;
        (first <= last).then_some((first, last))
    }

    /// The first entry in a segment or those behind it.
    pub fn first_from(&self, sequence: u64) -> u64 {
        let before = self.groups.partition_point(|group| group.place.sequence < sequence);
        self.groups.get(before).map_or(self.next, |group| group.first_index.max(self.first_index()))
    }

    /// Takes in one record. A fault means that the stream contradicts itself.
    pub fn apply(&mut self, record: &RawRecord<'_>, place: Place) -> Result<(), Fault> {
        let at = Position { index: record.index, term: record.term };
        match record.kind {
            Kind::Entry => self.append(at, place),
            Kind::HardState => {
                self.hard_state = HardState::from_record(record)?;
                Ok(())
            }
            Kind::Truncate => self.truncate(at.index),
            Kind::Compact => self.compact(at),
            Kind::Metadata => {
                self.metadata.clear();
                self.metadata.extend_from_slice(record.payload);
                Ok(())
            }
            Kind::Reset => self.reset(at),
        }
    }

    fn append(&mut self, at: Position, place: Place) -> Result<(), Fault> {
        expect_index(self.next, at.index)?;
        let last_term = self.last().term;
        if at.term < last_term {
            return Err(Fault::Term { floor: last_term, found: at.term });
        }
        if self.terms.back().is_none_or(|run| run.term < at.term) {
            self.terms.push_back(at);
        }
        self.place_in_group(at.index, place);
        self.next += 1;
        self.check_bounds();
        Ok(())
    }

    fn place_in_group(&mut self, index: u64, place: Place) {
        let joins = self.group_open
            && self.groups.back().is_some_and(|group| {
                group.place.sequence == place.sequence
                    && index - group.first_index < GROUP_ENTRIES
                    && place.offset - group.place.offset < GROUP_BYTES
            });
        if !joins {
            debug_assert!(
                self.groups.back().is_none_or(|group| group.first_index < index),
                "groups stand in the order of their entries"
            );
            self.groups.push_back(Group { first_index: index, place });
            self.group_open = true;
        }
    }

    fn truncate(&mut self, from: u64) -> Result<(), Fault> {
        if from > self.next || from <= self.base.index {
            return expect_index(self.next, from);
        }
        while self.terms.back().is_some_and(|run| run.index >= from) {
            self.terms.pop_back();
        }
        while self.groups.back().is_some_and(|g| g.first_index >= from) {
            self.groups.pop_back();
        }
        self.group_open = false;
        self.next = from;
        self.held_from = self.held_from.min(from);
        self.check_bounds();
        Ok(())
    }

    /// Forgets the entries up to `base`.
    pub fn compact(&mut self, base: Position) -> Result<(), Fault> {
        if base.index >= self.next {
            return expect_index(self.next - 1, base.index);
        }
        if base.index < self.base.index {
            return Ok(());
        }
        self.base = base;
        let first = self.first_index();
        if first == self.next {
            self.terms.clear();
            self.groups.clear();
        }
        while self.terms.get(1).is_some_and(|run| run.index <= first) {
            self.terms.pop_front();
        }
        while self.groups.get(1).is_some_and(|g| g.first_index <= first) {
            self.groups.pop_front();
        }
        self.check_bounds();
        Ok(())
    }

    /// What the file's header says of bounds, terms and groups.
    fn check_bounds(&self) {
        debug_assert!(self.base.index < self.next, "the base comes before the next entry");
        debug_assert!(
            self.terms.back().is_none_or(|run| run.index < self.next && run.term >= self.base.term),
            "a run of terms begins with an entry, and terms never go back"
        );
        debug_assert!(
            self.groups.back().is_none_or(|group| group.first_index < self.next),
            "a group begins with an entry"
        );
    }

    fn reset(&mut self, base: Position) -> Result<(), Fault> {
        let next =
            base.index.checked_add(1).ok_or(Fault::Index { expected: self.next, found: base.index })?;
        self.base = base;
        self.held_from = next;
        self.next = next;
        self.terms.clear();
        self.groups.clear();
        self.group_open = false;
        Ok(())
    }
}

fn expect_index(expected: u64, found: u64) -> Result<(), Fault> {
    if expected == found { Ok(()) } else { Err(Fault::Index { expected, found }) }
}

#[cfg(test)]
mod tests;
