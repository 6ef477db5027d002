//! The log as raft sees it: raft's `Storage` over the write-ahead log.
//!
//! - An entry's record in the log is its index, its term and its data. Only normal entries without context are stored;
//!   the members are fixed, and stand in the log's metadata.
//! - [`LogStorage::append`] is one commit of the log: entries and hard state become durable together.
//! - The newest entries are kept in memory, up to a number of bytes, for followers that keep up and for
//!   apply, the last one whatever its size until it is applied; older ones are read from the log.
//! - Where raft only wants to know *which* entries there are (to hand out committed ones, to look for changes of members),
//!   it gets them without their data, and at most [`HEADERS_AT_ONCE`] of them: apply reads the data in place, so that
//!   a committed entry is not copied once more.
//! - A failed read on raft's behalf is remembered, for raft would otherwise take it for a missing snapshot; the node asks
//!   for it after every round and stops.
//! - Followers that lag are sent entries at a pace (`pace.rs`): meanwhile raft is told to ask again later.
//! - A follower whose next entry was compacted away is offered the newest published checkpoint: raft's snapshot is its index and
//!   term and nothing else, the files travel by themselves. The log must not be compacted beyond that checkpoint.

use std::cell::RefCell;
use std::thread;

use perdura_wal::{CommitStats, Disk, HardState, Needed, OwnedRecord, Position, Record, Wal, WalError};
use raft::eraftpb::{ConfState, Entry, EntryType, Snapshot};
use raft::{GetEntriesContext, RaftState, StorageError};
use thiserror::Error;

use self::large::LargeEntry;
use self::pace::Pace;
use self::recent::RecentEntries;
use super::cluster::{Cluster, ClusterId};
use super::identity::{Identity, IdentityError, NodeId};
use super::memo::{self, LogEnd, MemberLog, Memo, Trust};
use crate::planted::{Bug, planted};
use crate::propose::entry::EntryReader;

mod large;
mod pace;
mod recent;

/// How many entries raft is told of at once when it does not get their data.
pub const HEADERS_AT_ONCE: u64 = 1024;
/// How many bytes of entries are read from the log at once to be applied: enough that a replay finds commands of many keys among
/// them, where one long value was filled after the other.
const REPLAY_CHUNK_BYTES: u64 = 32 << 20;
/// Entries looked at for a stamp: a leader's first entry has none.
const STAMPS_LOOKED_FOR: u64 = 64;
/// How many logs of one member are remembered.
const MAX_MEMBER_LOGS: usize = 8;
/// What an entry weighs in a message beside its data.
const ENTRY_OVERHEAD_BYTES: u64 = 24;

/// Why a log can't be used, or no longer.
#[derive(Debug, Error)]
pub enum StorageFault {
    #[error(transparent)]
    Log(#[from] WalError),
    #[error("this log can't be used here: {0}")]
    Identity(#[from] IdentityError),
    #[error("entry {index} is of a kind that this version does not know; it may come from a newer one")]
    UnknownEntryKind { index: u64 },
    #[error(
        "entries are missing: the newest whole checkpoint is of entry {applied}, the log begins after entry {base} and ends with {last}"
    )]
    CheckpointOutsideLog { applied: u64, base: u64, last: u64 },
}

/// An entry that is to be applied.
#[derive(Clone, Copy, Debug)]
pub struct Committed<'a> {
    pub index: u64,
    pub term: u64,
    pub payload: &'a [u8],
}

impl<'a> Committed<'a> {
    fn of(record: &'a OwnedRecord) -> Committed<'a> {
        Committed { index: record.index, term: record.term, payload: &record.payload }
    }
}

/// Raft's view of one node's log.
pub struct LogStorage<D: Disk> {
    wal: Wal<D>,
    /// What raft believes; its commit may be ahead of what is durable.
    hard_state: HardState,
    durable_hard_state: HardState,
    recent: RecentEntries,
    identity: Identity,
    /// What the metadata says beside the identity, and whether that is not written yet.
    memo: Memo,
    memo_changed: bool,
    member_logs_noted: u64,
    /// The newest published checkpoint.
    checkpoint: Option<Position>,
    read_failure: RefCell<Option<WalError>>,
    pace: RefCell<Pace>,
    large: RefCell<LargeEntry>,
}

/// Lets the log go on behind a checkpoint that came from another node, unless it holds the checkpoint's entry already. What
/// it cuts off is no part of what was committed, or is in the checkpoint. Durable on return.
pub fn restart_log_at<D: Disk>(wal: &mut Wal<D>, checkpoint: Position) -> Result<(), StorageFault> {
    let is_held = wal.term(checkpoint.index).is_ok_and(|term| term == checkpoint.term);
    if is_held || checkpoint.index <= wal.base().index {
        return Ok(());
    }
    let HardState { term, vote, .. } = wal.hard_state();
    wal.reset(checkpoint)?;
    wal.stage_hard_state(HardState { term: term.max(checkpoint.term), vote, commit: checkpoint.index })?;
    wal.commit()?;
    Ok(())
}

/// Whether nothing has ever been written to a log.
pub fn is_new<D: Disk>(wal: &Wal<D>) -> bool {
    wal.last_index() == 0 && wal.hard_state() == HardState::default()
}

/// Marks a new log as one that takes the place of another, which was lost: its node has said what it does not know any more. It
/// begins behind `checkpoint`, if there is one of this node's own: that holds what was committed, and tells of which cluster. Durable on
/// return.
pub fn begin_after_loss<D: Disk>(
    wal: &mut Wal<D>,
    identity: &Identity,
    cluster: Cluster,
    checkpoint: Option<Position>,
) -> Result<(), StorageFault> {
    if let Some(Position { index, term }) = checkpoint {
        wal.reset(Position { index, term })?;
        wal.stage_hard_state(HardState { term, vote: 0, commit: index })?;
    }
    let memo = Memo { trust: Trust::NotYetKnown, cluster, ..Memo::decode(wal.metadata()) };
    wal.stage_metadata(&memo.encode(identity))?;
    wal.commit()?;
    Ok(())
}

/// Whether a node can start with this log from a checkpoint with this index, 0 without one.
pub fn check_start<D: Disk>(wal: &Wal<D>, applied: u64) -> Result<(), StorageFault> {
    let (base, last) = (wal.base().index, wal.last_index());
    if applied < base || applied > last {
        return Err(StorageFault::CheckpointOutsideLog { applied, base, last });
    }
    Ok(())
}

impl<D: Disk> LogStorage<D> {
    /// Takes over an open log. A new log gets `identity`; an old one must have it already. `applied` is the index of the
    /// checkpoint that the node starts from, 0 without one: what is in it was committed.
    pub fn open(
        mut wal: Wal<D>,
        identity: &Identity,
        cache_bytes: usize,
        applied: u64,
    ) -> Result<LogStorage<D>, StorageFault> {
        if wal.metadata().is_empty() {
            wal.stage_metadata(&Memo::default().encode(identity))?;
            wal.commit()?;
        }
        let stored = Identity::decode(wal.metadata())?;
        stored.check_same(identity)?;
        if memo::is_of_older_build(wal.metadata()) {
            stored.check_settings(identity)?;
        }
        let memo = Memo::decode(wal.metadata());
        check_start(&wal, applied)?;
        let hard_state = planted!(Bug::LoseHardState, HardState::default(), wal.hard_state());
        Ok(LogStorage {
            hard_state: HardState { commit: hard_state.commit.max(applied), ..hard_state },
            durable_hard_state: wal.hard_state(),
            wal,
            recent: RecentEntries::new(cache_bytes),
            identity: identity.clone(),
            memo,
            memo_changed: false,
            member_logs_noted: 0,
            checkpoint: None,
            read_failure: RefCell::new(None),
            pace: RefCell::new(Pace::new(0, 0)),
            large: RefCell::default(),
        })
    }

    /// Whether the node has never taken part in anything.
    pub fn is_brand_new(&self) -> bool {
        is_new(&self.wal) && self.hard_state == HardState::default()
    }

    /// The log's random id.
    pub fn log_id(&self) -> u64 {
        self.wal.log_id()
    }

    /// How far the node can rely on this log.
    pub fn trust(&self) -> Trust {
        self.memo.trust
    }

    /// Sets that; durable with the next commit.
    pub fn set_trust(&mut self, trust: Trust) {
        self.change_memo(|memo| memo.trust = trust);
    }

    /// The cluster that the log belongs to.
    pub fn cluster(&self) -> Cluster {
        self.memo.cluster
    }

    /// Lets the log belong to a cluster; durable with the next commit.
    pub fn set_cluster(&mut self, cluster: Cluster) {
        self.change_memo(|memo| memo.cluster = cluster);
    }

    /// Lets a log that belongs to no cluster belong to this one. Durable on return, if the log has room for it; with a later commit else.
    pub fn adopt_cluster(&mut self, id: ClusterId) -> Result<(), StorageFault> {
        self.set_cluster(Cluster::of(id));
        self.keep_memo()
    }

    /// Makes new metadata durable, if the log has room for it.
    pub fn keep_memo(&mut self) -> Result<(), StorageFault> {
        if self.memo_changed && self.wal.secure_room(Needed::default())? {
            self.stage(&[], None)?;
            self.wal.commit()?;
            self.durable_hard_state = self.hard_state;
        }
        Ok(())
    }

    /// Whether the log does not say yet what is committed, and has room for it.
    pub fn can_mark_commit(&mut self) -> Result<bool, StorageFault> {
        Ok(self.hard_state != self.durable_hard_state && self.wal.secure_room(Needed::default())?)
    }

    /// Remembers a member's log, the newest that it has; durable with the next commit. One that it has replaced does not return.
    pub fn note_member_log(&mut self, log: MemberLog) {
        if !self.memo.member_logs.contains(&log) {
            self.change_memo(|memo| {
                let own = memo.member_logs.iter().filter(|(member, _)| *member == log.0).count();
                let oldest = memo.member_logs.iter().position(|(member, _)| *member == log.0);
                oldest.filter(|_| own >= MAX_MEMBER_LOGS).map(|oldest| memo.member_logs.remove(oldest));
                memo.member_logs.push(log);
            });
            self.member_logs_noted += 1;
        }
    }

    /// How often a log of a member's was noted by this process.
    pub fn member_logs_noted(&self) -> u64 {
        self.member_logs_noted
    }

    /// Whether any log of a member's is remembered.
    pub fn knows_log_of(&self, member: NodeId) -> bool {
        self.memo.member_logs.iter().any(|(of, _)| *of == member)
    }

    /// Whether any member's log is remembered.
    pub fn knows_logs(&self) -> bool {
        !self.memo.member_logs.is_empty()
    }

    /// Whether this log is remembered.
    pub fn has_noted(&self, log: MemberLog) -> bool {
        self.memo.member_logs.contains(&log)
    }

    /// Whether a member has replaced this log.
    pub fn has_replaced(&self, log: MemberLog) -> bool {
        let logs = &self.memo.member_logs;
        logs.contains(&log) && logs.iter().rfind(|(member, _)| *member == log.0) != Some(&log)
    }

    /// Logs that members have replaced.
    pub fn replaced_logs(&self) -> Vec<MemberLog> {
        self.memo.member_logs.iter().copied().filter(|log| self.has_replaced(*log)).collect()
    }

    /// The longest promise that may still bind the node, in its milliseconds.
    pub fn promise_ms(&self) -> u64 {
        self.memo.promise_ms
    }

    /// Notes that promises are longer from now on. Durable on return.
    pub fn lengthen_promises(&mut self, promise_ms: u64) -> Result<(), StorageFault> {
        if promise_ms > self.memo.promise_ms {
            self.change_memo(|memo| memo.promise_ms = promise_ms);
            self.stage(&[], None)?;
            self.wal.commit()?;
        }
        Ok(())
    }

    /// Notes that no promise longer than this one binds the node any more; durable with the next commit.
    pub fn shorten_promises(&mut self, promise_ms: u64) {
        self.change_memo(|memo| memo.promise_ms = promise_ms);
    }

    fn change_memo(&mut self, change: impl FnOnce(&mut Memo)) {
        let before = self.memo.clone();
        change(&mut self.memo);
        self.memo_changed |= self.memo != before;
    }

    /// Encodes entries and a hard state, where there is one, for the next [`commit`](Self::commit).
    pub fn stage(
        &mut self,
        entries: &[Entry],
        hard_state: Option<&raft::eraftpb::HardState>,
    ) -> Result<(), StorageFault> {
        if std::mem::take(&mut self.memo_changed) {
            self.wal.stage_metadata(&self.memo.encode(&self.identity))?;
        }
        for entry in entries {
            self.wal.stage(record_of(entry)?)?;
        }
        if let Some(hard_state) = hard_state {
            self.note_hard_state(hard_state);
        }
        if self.hard_state != self.durable_hard_state {
            self.wal.stage_hard_state(self.hard_state)?;
        }
        Ok(())
    }

    /// Stages that a checkpoint takes the place of all entries, for the next [`commit`](Self::commit). Stage what comes behind
    /// it afterwards.
    pub fn stage_restart(&mut self, checkpoint: Position) -> Result<(), StorageFault> {
        self.wal.reset(checkpoint)?;
        self.recent.clear();
        Ok(())
    }

    /// A checkpoint of this node's is published: followers may be offered it.
    pub fn checkpoint_published(&mut self, checkpoint: Position) {
        self.checkpoint = Some(checkpoint);
    }

    /// Raft's snapshot of a checkpoint.
    pub fn snapshot_at(&self, checkpoint: Position) -> Snapshot {
        let mut snapshot = Snapshot::default();
        let metadata = snapshot.mut_metadata();
        (metadata.index, metadata.term) = (checkpoint.index, checkpoint.term);
        metadata.set_conf_state(ConfState::from((self.identity.members.clone(), Vec::new())));
        snapshot
    }

    /// Writes what was staged, in one write and one sync; `entries` are those that were. Blocks until they are durable.
    pub fn commit(&mut self, entries: Vec<Entry>) -> Result<CommitStats, StorageFault> {
        let stats = self.wal.commit()?;
        if let Some(last) = entries.last() {
            let durable = self.wal.last_index();
            assert!(last.index == durable, "entry {} was written and the log ends at {durable}", last.index);
        }
        self.durable_hard_state = self.hard_state;
        self.pace.get_mut().written(bytes_of(&entries));
        self.recent.extend(entries);
        Ok(stats)
    }

    /// Sends followers that lag no more than so many bytes in a second, where they are paced; zero is no limit.
    pub fn limit_pace(&mut self, bytes_per_second: u64, tick_ms: u64) {
        self.pace = RefCell::new(Pace::new(bytes_per_second, tick_ms));
    }

    /// Time has passed; so many followers lag and are to be paced.
    pub fn turn_pace(&mut self, now_ms: u64, followers: u64) {
        self.pace.get_mut().turn(now_ms, followers);
        self.large.get_mut().turn(now_ms);
    }

    /// Whether a follower that is to get this entry next lags: it is not in memory any more.
    pub fn is_behind(&self, next: u64) -> bool {
        next <= self.last_entry() && self.recent.get(next).is_none()
    }

    /// Remembers a hard state that need not be durable yet, because only its commit is new.
    pub fn note_hard_state(&mut self, hard_state: &raft::eraftpb::HardState) {
        let HardState { term, vote, commit } = self.hard_state;
        assert!(hard_state.term >= term, "the term goes back from {term} to {}", hard_state.term);
        assert!(
            hard_state.term > term || vote == 0 || hard_state.vote == vote,
            "in term {term} this node voted for {vote}, and now for {}",
            hard_state.vote
        );
        assert!(hard_state.commit >= commit, "the commit goes back from {commit} to {}", hard_state.commit);
        self.hard_state =
            HardState { term: hard_state.term, vote: hard_state.vote, commit: hard_state.commit };
    }

    /// Hands every entry from `first` to `last` to `visit`, from memory or from the log; some at a time.
    pub fn visit_entries<E: From<StorageFault>>(
        &self,
        first: u64,
        last: u64,
        mut visit: impl FnMut(&[Committed<'_>]) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut next = first;
        while next <= last {
            if let Some(entry) = self.recent.get(next) {
                visit(&[Committed { index: entry.index, term: entry.term, payload: &entry.data }])?;
                next += 1;
                continue;
            }
            next = self.visit_log(next, last, &mut visit)?;
        }
        Ok(())
    }

    /// Hands entries of the log to `visit`, reading ahead meanwhile. Returns the first that it did not.
    fn visit_log<E: From<StorageFault>>(
        &self,
        first: u64,
        last: u64,
        visit: &mut impl FnMut(&[Committed<'_>]) -> Result<(), E>,
    ) -> Result<u64, E> {
        let wal = &self.wal;
        let read = |first| read_log(wal, first, last + 1, REPLAY_CHUNK_BYTES).map_err(StorageFault::from);
        let (mut next, mut records) = (first, read(first)?);
        while !records.is_empty() {
            next += records.len() as u64;
            let some: Vec<Committed<'_>> = records.iter().map(Committed::of).collect();
            let is_last = next > last || self.recent.get(next).is_some();
            let (visited, ahead) = thread::scope(|scope| {
                let reading = (!is_last).then(|| scope.spawn(move || read(next)));
                let visited = visit(&some);
                (visited, reading.map(|reading| reading.join().expect("reading does not panic")))
            });
            visited?;
            records = ahead.transpose()?.unwrap_or_default();
        }
        Ok(next)
    }

    /// The entries from `first` to `last`, as many as fit in `max_bytes` of data, but at least one; they have to be there.
    pub fn read_entries(&self, first: u64, last: u64, max_bytes: u64) -> Result<Vec<Entry>, WalError> {
        self.bodies(first, last + 1, max_bytes)
    }

    /// Unix time of an entry, or of the next up to `last` that has a stamp.
    pub fn stamp_from(&self, index: u64, last: u64) -> Result<Option<i64>, WalError> {
        for index in index..=last.min(index.saturating_add(STAMPS_LOOKED_FOR)) {
            for entry in self.read_entries(index, index, 0)? {
                if let Ok((stamp, _)) = EntryReader::open(&entry.data) {
                    return Ok(Some(stamp.now_ms));
                }
            }
        }
        Ok(None)
    }

    /// Whose log it is.
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// The index of the first entry that is there, or would be.
    pub fn first_entry(&self) -> u64 {
        self.wal.first_index()
    }

    /// The index of the last entry that is durable.
    pub fn last_entry(&self) -> u64 {
        self.wal.last_index()
    }

    /// Where the durable log ends.
    pub fn durable_end(&self) -> LogEnd {
        let index = self.wal.last_index();
        LogEnd { term: self.wal.term(index).unwrap_or_default(), index }
    }

    /// The error of a read that raft asked for and could not be told of.
    pub fn take_read_failure(&self) -> Option<WalError> {
        self.read_failure.take()
    }

    /// Lets the log prepare no segment while it is held.
    pub fn hold_preparing(&mut self, held: bool) {
        self.wal.hold_preparing(held);
    }

    /// Drops the entries up to `index`, durably, and with them the segments that held nothing else. Where the log has no room
    /// even for the record of that, nothing happens.
    pub fn compact(&mut self, index: u64) -> Result<(), StorageFault> {
        let last = self.last_entry();
        assert!(index <= last, "the log would be cut up to {index} and ends at {last}");
        if !self.wal.secure_room(Needed::default())? {
            return Ok(());
        }
        self.wal.compact_prefix(index)?;
        self.wal.commit()?;
        Ok(())
    }

    /// The last entry that can be dropped so that `bytes` bytes of the log stay.
    pub fn compactable_beyond(&self, bytes: u64) -> u64 {
        self.wal.compactable_beyond(bytes)
    }

    /// The log itself, to look at.
    pub fn wal(&self) -> &Wal<D> {
        &self.wal
    }

    /// The log itself, for checks and its preparer.
    pub fn wal_mut(&mut self) -> &mut Wal<D> {
        &mut self.wal
    }

    /// Everything in memory has been applied: an entry that is too large to be kept need not be any longer.
    pub fn free_applied(&mut self) {
        self.recent.keep_at_least(0);
    }

    fn read(&self, low: u64, high: u64, max_bytes: u64) -> Result<Vec<OwnedRecord>, WalError> {
        read_log(&self.wal, low, high, max_bytes)
    }

    fn headers(&self, low: u64, high: u64) -> Result<Vec<Entry>, WalError> {
        let high = high.min(low.saturating_add(HEADERS_AT_ONCE));
        let header = |index| self.wal.term(index).map(|term| entry(index, term, Vec::new()));
        (low..high).map(header).collect()
    }

    fn bodies(&self, low: u64, high: u64, max_bytes: u64) -> Result<Vec<Entry>, WalError> {
        if self.recent.get(low).is_none() {
            if let Some(entry) = self.large.borrow().get(low, &self.wal) {
                return Ok(vec![entry]);
            }
            let high = self.recent.first_index().unwrap_or(high).min(high);
            let records = self.read(low, high, max_bytes)?;
            let entries: Vec<Entry> = records.into_iter().map(entry_of).collect();
            self.large.borrow_mut().keep(&entries);
            return Ok(entries);
        }
        let mut budget = max_bytes;
        let mut entries: Vec<Entry> = Vec::new();
        for entry in (low..high).map_while(|index| self.recent.get(index)) {
            let bytes = entry.data.len() as u64 + ENTRY_OVERHEAD_BYTES;
            if bytes > budget && !entries.is_empty() {
                break;
            }
            budget = budget.saturating_sub(bytes);
            entries.push(entry.clone());
        }
        Ok(entries)
    }

    /// Keeps a failed read for [`take_read_failure`](Self::take_read_failure). The crate is told to ask again later, as where a
    /// follower is paced: of the answers that it knows, this is the only one on which it does not end the process itself.
    fn remember_failure(&self, error: WalError) -> raft::Error {
        self.read_failure.replace(Some(error));
        StorageError::LogTemporarilyUnavailable.into()
    }
}

fn read_log<D: Disk>(
    wal: &Wal<D>,
    low: u64,
    high: u64,
    max_bytes: u64,
) -> Result<Vec<OwnedRecord>, WalError> {
    let records = wal.read(low..high, max_bytes)?;
    match records.first() {
        Some(first) if first.index == low => Ok(records),
        _ => Err(WalError::Unavailable { index: low, last: wal.last_index() }),
    }
}

fn record_of(entry: &Entry) -> Result<Record<'_>, StorageFault> {
    if entry.get_entry_type() != EntryType::EntryNormal || !entry.context.is_empty() {
        let index = entry.index;
        return Err(StorageFault::UnknownEntryKind { index });
    }
    Ok(Record { index: entry.index, term: entry.term, payload: &entry.data })
}

/// What entries weigh in a message.
fn bytes_of(entries: &[Entry]) -> u64 {
    entries.iter().map(|entry| entry.data.len() as u64 + ENTRY_OVERHEAD_BYTES).sum()
}

fn entry_of(record: OwnedRecord) -> Entry {
    entry(record.index, record.term, record.payload)
}

fn entry(index: u64, term: u64, data: Vec<u8>) -> Entry {
    Entry { index, term, data: data.into(), ..Entry::default() }
}

impl<D: Disk> raft::Storage for LogStorage<D> {
    fn initial_state(&self) -> raft::Result<RaftState> {
        let mut hard_state = raft::eraftpb::HardState::default();
        hard_state.term = self.hard_state.term;
        hard_state.vote = self.hard_state.vote;
        hard_state.commit = self.hard_state.commit;
        let conf_state = ConfState::from((self.identity.members.clone(), Vec::new()));
        Ok(RaftState::new(hard_state, conf_state))
    }

    fn entries(
        &self,
        low: u64,
        high: u64,
        max_size: impl Into<Option<u64>>,
        context: GetEntriesContext,
    ) -> raft::Result<Vec<Entry>> {
        if low < self.wal.first_index() {
            return Err(StorageError::Compacted.into());
        }
        // Only entries that will be sent may be fetched asynchronously, so this tells whether data is wanted.
        if !context.can_async() {
            return self.headers(low, high).map_err(|_| StorageError::Unavailable.into());
        }
        let is_paced = self.is_behind(low);
        if is_paced && !self.pace.borrow().may_send() {
            return Err(StorageError::LogTemporarilyUnavailable.into());
        }
        let max_bytes = max_size.into().unwrap_or(u64::MAX);
        let max_bytes = if is_paced { self.pace.borrow().message_bytes(max_bytes) } else { max_bytes };
        let entries = self.bodies(low, high, max_bytes).map_err(|error| self.remember_failure(error))?;
        if is_paced {
            self.pace.borrow_mut().sent(bytes_of(&entries));
        }
        Ok(entries)
    }

    fn term(&self, index: u64) -> raft::Result<u64> {
        self.wal.term(index).map_err(|error| match error {
            WalError::Compacted { .. } => StorageError::Compacted.into(),
            _ => StorageError::Unavailable.into(),
        })
    }

    fn first_index(&self) -> raft::Result<u64> {
        Ok(self.wal.first_index())
    }

    fn last_index(&self) -> raft::Result<u64> {
        Ok(self.wal.last_index())
    }

    fn snapshot(&self, _request_index: u64, _to: u64) -> raft::Result<Snapshot> {
        match self.checkpoint {
            Some(checkpoint) => Ok(self.snapshot_at(checkpoint)),
            None => Err(StorageError::SnapshotTemporarilyUnavailable.into()),
        }
    }
}

#[cfg(test)]
mod tests;
