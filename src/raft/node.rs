//! A node of a raft group: messages, ticks and proposals go in; messages, log writes and committed entries come out.
//!
//! - Pure: no socket, no clock, no thread, no randomness. Time comes in as `now_ms`, of a monotonic clock. The same
//!   sequence of calls gives the same results, on a real disk and on a simulated one.
//! - The caller's turn is: [`Node::step`] all that came in, then [`Node::tick`], then [`Node::propose`], then
//!   [`Node::process`]. Messages are stepped before ticks, and a call ticks at most once, so that a node which stalled
//!   hears what its peers said meanwhile before it can take them for dead.
//! - A leader's messages leave before its own log write, everybody else's after it.
//! - Entries are applied after their acknowledgement has left.
//! - A node serves (reads, and writes that expect an answer) only as leader, and only once it has applied an entry of its
//!   own term, for before that it may not know what was committed.
//! - A member whose log is new takes part only once all others know that (`rejoin.rs`).
//! - Nothing that a peer says is believed before the peer has proved its log (`logs.rs`).
//! - A node ends itself when its leader lacks what the node knows was committed (`contradiction.rs`).
//! - Nothing is applied twice in one process. A new process applies the log from its checkpoint on, at first only as far as it
//!   knows it to be committed, which may be less than the process before it had applied ([`Node::has_caught_up`]).
//! - An error of [`Node::process`] is final: the log can't be trusted any more, or an entry can't be applied. The process
//!   has to end. A full disk is no such error: `node/room.rs` says what a node goes on with.
//!
//! The order within [`Node::process`] is that of the raft crate's `Ready`, see its documentation.

use std::collections::BTreeMap;

use perdura_wal::{CommitStats, Disk, Position, Wal};
use raft::eraftpb::{Entry, Message, MessageType};
use raft::{INVALID_ID, RawNode, Ready, StateRole};

use super::cluster::{Cluster, ClusterId};
use super::frame::Frame;
use super::hello::Voice;
use super::identity::{Identity, NodeId};
use super::lease::{Echo, LeaderLease, Promise, ReadRound, RoundState};
use super::logger::tracing_logger;
use super::outbox::{self, Outbound};
use super::status::{Leadership, NodeStatus, PeerProgress, Role};
use super::storage::{Committed, LogStorage};
use crate::planted::{Bug, planted};
use room::Unwritten;

mod admission;
mod commit_mark;
mod config;
mod contradiction;
mod error;
mod logs;
mod offer;
mod pace;
mod probes;
mod rejoin;
mod room;
mod step;
mod transfer;

pub use admission::Refusal;
use admission::Refusals;
use commit_mark::Silence;
pub use config::NodeConfig;
use contradiction::Contradictions;
pub use error::{LogPosition, MAX_ENTRY_BYTES, NodeError, ProposeError, TransferError};
use logs::{LogBook, process_of, session_of};
pub use offer::Offer;
use offer::Offers;
use pace::Waiting;
use probes::Probes;
use rejoin::Standing;
use transfer::Hearings;

/// What committed entries are applied to, and who wants to know what the node is doing.
pub trait StateMachine {
    type Error: std::error::Error + Send + Sync + 'static;

    /// Applies the next committed entry. Indexes come without gaps. An empty payload is a leader's first entry
    /// and changes nothing. An error ends the node.
    fn apply(&mut self, index: u64, term: u64, payload: &[u8]) -> Result<(), Self::Error>;

    /// Applies the next committed entries, in order. An error comes with the index of the entry that it is about.
    fn apply_some(&mut self, entries: &[Committed<'_>]) -> Result<(), (u64, Self::Error)> {
        entries.iter().try_for_each(|entry| {
            self.apply(entry.index, entry.term, entry.payload).map_err(|error| (entry.index, error))
        })
    }

    /// The node goes on behind a checkpoint with this index, which was loaded in place of entries that it never had.
    fn restored(&mut self, _index: u64) {}

    /// Until when (in the node's milliseconds) reads may be answered without asking anybody; 0 if not at all.
    /// Called before any message leaves that could help another leader into office.
    fn readable_until(&mut self, _until_ms: u64) {}

    /// Role, term or known leader have changed.
    fn leadership_changed(&mut self, _leadership: Leadership) {}

    /// Entries are about to be encoded into the log's buffer.
    fn append_begins(&mut self) {}

    /// They are; the write to the disk begins, and blocks until it is durable.
    fn sync_begins(&mut self) {}

    /// That write is durable.
    fn sync_ended(&mut self, _stats: &CommitStats) {}
}

/// One member of a group.
pub struct Node<D: Disk> {
    raw: RawNode<LogStorage<D>>,
    config: NodeConfig,
    promise: Promise,
    lease: LeaderLease,
    leadership: Leadership,
    next_tick_ms: u64,
    /// Campaigns since a leader was known.
    attempts: u64,
    /// Bytes proposed in this term and not yet applied.
    uncommitted_bytes: usize,
    /// The last applied entry's term; a leader serves once it is its own.
    applied_term: u64,
    /// No earlier process on this log has applied an entry behind this one.
    shown_until: u64,
    unreachable: Vec<NodeId>,
    offers: Offers,
    waiting: Waiting,
    probes: Probes,
    silence: Silence,
    /// What this process says of itself in greetings.
    voice: Voice,
    /// What its frames bear.
    session: u64,
    log_book: LogBook,
    hearings: Hearings,
    /// When each peer was heard last, in this node's monotonic ms.
    heard_ms: BTreeMap<NodeId, u64>,
    standing: Standing,
    /// Members with a new log that have asked, and which, and in which round, and were not answered yet.
    asked: Vec<(NodeId, u64, u8)>,
    /// It is time to ask the others.
    must_ask: bool,
    /// How long the log's writes take lately.
    sync_ms: u32,
    /// The others are to stand for election before this node.
    stands_last: bool,
    /// Members whose calendars are wrong.
    off_members: Vec<NodeId>,
    refusals: Refusals,
    contradictions: Contradictions,
    unwritten: Unwritten,
    /// Why the next [`Node::process`] fails.
    fatal: Option<NodeError>,
}

impl<D: Disk> Node<D> {
    /// Takes part in the group with an open log. A node alone leads at once. `applied` is the index of the checkpoint that
    /// the state machine was restored from, 0 if it begins empty: the entries after it will be applied.
    pub fn open(wal: Wal<D>, config: NodeConfig, applied: u64, now_ms: u64) -> Result<Node<D>, NodeError> {
        let identity = &config.identity;
        let mut storage = LogStorage::open(wal, identity, config.entry_cache_bytes, applied)?;
        storage.limit_pace(config.catch_up_bytes_per_second, config.timing.tick_ms);
        let is_alone = identity.members.len() == 1;
        let promised_nothing = planted!(Bug::ForgetPromises, true, is_alone || storage.is_brand_new());
        let promise_ms = config.timing.promise_ms();
        let promise = match promised_nothing {
            true => Promise::none(),
            false => Promise::after_restart(now_ms, promise_ms.max(storage.promise_ms())),
        };
        let standing = Standing::of(storage.trust(), is_alone, storage.is_brand_new());
        if !is_alone {
            storage.lengthen_promises(promise_ms)?;
        }
        let (log, secret) = (storage.log_id(), config.secret);
        let (voice, session) = (Voice { log, process: process_of(log, secret) }, session_of(log, secret));
        let others: Vec<_> = others_of(identity).collect();
        let shown_until = storage.last_entry();
        let applied_term = raft::Storage::term(&storage, applied)?;
        let mut node = Node {
            raw: RawNode::new(&config.to_raft(applied), storage, &tracing_logger())?,
            promise,
            lease: LeaderLease::new(&others, &config.timing, config.trust_clocks),
            leadership: Leadership::default(),
            next_tick_ms: now_ms + config.timing.tick_ms,
            attempts: 0,
            uncommitted_bytes: 0,
            applied_term,
            shown_until,
            unreachable: Vec::new(),
            offers: Offers::default(),
            waiting: Waiting::default(),
            probes: Probes::default(),
            silence: Silence::default(),
            voice,
            session,
            log_book: LogBook::new(config.secret),
            hearings: Hearings::default(),
            heard_ms: BTreeMap::new(),
            standing,
            asked: Vec::new(),
            must_ask: false,
            sync_ms: 0,
            stands_last: false,
            off_members: Vec::new(),
            refusals: Refusals::default(),
            contradictions: Contradictions::default(),
            unwritten: Unwritten::default(),
            fatal: None,
            config,
        };
        if is_alone && !node.is_out_of_room() {
            node.raw.campaign()?;
        }
        node.after_raft_moved();
        Ok(node)
    }

    /// Lets time pass: at most one tick, and none before it is due. Returns whether it ticked.
    pub fn tick(&mut self, now_ms: u64) -> bool {
        if now_ms < self.next_tick_ms {
            return false;
        }
        self.next_tick_ms = now_ms + self.config.timing.tick_ms;
        self.tick_standing();
        self.suspect_unknown_logs();
        self.refusals.tick();
        self.contradictions.tick();
        self.settle_promises(now_ms);
        self.seek_room();
        let acted = self.may_tick() && !self.owes_longer_promise(now_ms) && self.raw.tick();
        if acted && self.raw.raft.state != StateRole::Leader {
            self.attempts += 1;
        }
        self.settle_transfer(now_ms);
        self.settle_offers();
        self.tick_waiting();
        self.tick_silence();
        self.after_raft_moved();
        true
    }

    /// When the next tick is due.
    pub fn next_tick_ms(&self) -> u64 {
        self.next_tick_ms
    }

    /// Proposes an entry. It is committed, or known to be lost, when an entry with its index is applied, or it stays in
    /// doubt when this node ceases to lead before.
    pub fn propose(&mut self, data: Vec<u8>) -> Result<LogPosition, ProposeError> {
        self.check_proposal(data.len())?;
        let bytes = data.len();
        if !self.takes_proposal(bytes) {
            return Err(ProposeError::NoSpace);
        }
        self.raw.propose(Vec::new(), data).map_err(|_| self.not_leader())?;
        self.uncommitted_bytes += bytes;
        Ok(LogPosition { index: self.raw.raft.raft_log.last_index(), term: self.raw.raft.term })
    }

    /// Whether this node hands its leadership over, and takes no proposals meanwhile.
    pub fn is_transferring(&self) -> bool {
        self.raw.raft.lead_transferee.is_some()
    }

    fn check_proposal(&self, bytes: usize) -> Result<(), ProposeError> {
        if self.leadership.role != Role::Leader {
            return Err(self.not_leader());
        }
        if self.is_transferring() {
            return Err(ProposeError::Transferring);
        }
        if bytes == 0 {
            return Err(ProposeError::Empty);
        }
        if bytes > MAX_ENTRY_BYTES {
            return Err(ProposeError::TooLong { bytes });
        }
        let limit = self.config.max_uncommitted_bytes;
        match self.uncommitted_bytes {
            0 => Ok(()),
            waiting if waiting + bytes <= limit => Ok(()),
            bytes => Err(ProposeError::Busy { bytes, limit }),
        }
    }

    fn not_leader(&self) -> ProposeError {
        let leader = self.leadership.leader;
        ProposeError::NotLeader { leader }
    }

    /// Begins a round of confirmation for reads, or joins one that has not left yet; `None` if this node does not serve.
    pub fn confirm_round(&mut self) -> Option<ReadRound> {
        if !self.is_serving() {
            return None;
        }
        let (round, is_new) = self.lease.begin_round();
        if is_new {
            self.raw.ping();
        }
        Some(round)
    }

    /// What became of a round.
    pub fn confirmed(&self, round: ReadRound) -> RoundState {
        match self.is_serving() {
            true => self.lease.round_state(round),
            false => RoundState::Lost,
        }
    }

    /// Whether this node leads and has applied all that was committed before its term.
    pub fn is_serving(&self) -> bool {
        let has_own_entry =
            planted!(Bug::ServeWithoutOwnEntry, true, self.applied_term == self.raw.raft.term);
        self.leadership.role == Role::Leader && has_own_entry
    }

    /// Whether this node has applied all that an earlier process on its log, or on one that it lost, can have applied and
    /// shown. Only entries on the disk are applied, and none that is applied is ever replaced.
    pub fn has_caught_up(&self) -> bool {
        let applied = self.raw.raft.raft_log.applied;
        planted!(Bug::ServeHalfReplayed, true, self.is_trusted() && applied >= self.shown_until)
    }

    /// The index up to which an earlier process may have applied entries, and shown what they did.
    pub fn shown_until(&self) -> u64 {
        self.shown_until
    }

    /// Until when reads may be answered without asking anybody; `None` if not even now.
    pub fn lease_valid_until_ms(&self, now_ms: u64) -> Option<u64> {
        match self.is_serving() {
            true => self.lease.valid_until_ms(now_ms),
            false => None,
        }
    }

    /// Whether [`Node::process`] would do anything.
    pub fn has_work(&self) -> bool {
        self.raw.has_ready()
    }

    /// Sends, writes and applies all that the calls before have brought about. Blocks while the log is written.
    pub fn process<S: StateMachine>(
        &mut self,
        now_ms: u64,
        out: &mut impl Outbound,
        machine: &mut S,
    ) -> Result<(), NodeError> {
        if let Some(error) = self.fatal.take() {
            return Err(error);
        }
        self.publish_lease(now_ms, machine);
        if self.seeks_cluster() {
            // A member that hears that it was heard may join by that: it stays a companion over a restart of this node.
            self.raw.mut_store().keep_memo()?;
        }
        self.say_proofs(out);
        self.say_standing(out);
        self.say_disputes(out);
        self.pace_catch_up(now_ms);
        while self.raw.has_ready() {
            self.process_ready(now_ms, out, machine)?;
            self.unwritten = Unwritten::default();
            for peer in std::mem::take(&mut self.unreachable) {
                self.report_unreachable(peer);
            }
        }
        self.mark_commit(machine)?;
        self.publish_lease(now_ms, machine);
        match self.raw.store().take_read_failure() {
            Some(error) => Err(error.into()),
            None => Ok(()),
        }
    }

    fn process_ready<S: StateMachine>(
        &mut self,
        now_ms: u64,
        out: &mut impl Outbound,
        machine: &mut S,
    ) -> Result<(), NodeError> {
        let mut ready = self.raw.ready();
        self.report_leadership(machine);
        self.send(ready.take_messages(), now_ms, out);
        planted!(Bug::AcknowledgeBeforeSync, self.send(ready.take_persisted_messages(), now_ms, out), {});
        self.persist(&mut ready, out, machine)?;
        // The leader may take this node for its successor by the next message.
        self.settle_standing();
        self.send(ready.take_persisted_messages(), now_ms, out);
        let committed = ready.take_committed_entries();
        let mut light = self.raw.advance_append(ready);
        self.send(light.take_messages(), now_ms, out);
        out.flush();
        planted!(Bug::ReadUncommitted, self.apply_uncommitted(machine)?, {});
        self.apply(&committed, machine)?;
        self.apply(light.committed_entries(), machine)?;
        self.raw.advance_apply();
        self.after_raft_moved();
        Ok(())
    }

    fn persist<S: StateMachine>(
        &mut self,
        ready: &mut Ready,
        out: &mut impl Outbound,
        machine: &mut S,
    ) -> Result<(), NodeError> {
        let entries = ready.take_entries();
        let hard_state = ready.hs();
        let restored = position_of(ready.snapshot());
        let storage = self.raw.mut_store();
        let must_sync = planted!(Bug::CountUnsyncedVotes, !entries.is_empty(), true) && ready.must_sync();
        if !must_sync {
            if let Some(hard_state) = hard_state {
                storage.note_hard_state(hard_state);
            }
            return Ok(());
        }
        if let Some(first) = entries.first() {
            self.shown_until = self.shown_until.min(first.index - 1);
        }
        out.flush();
        machine.append_begins();
        if let Some(checkpoint) = restored {
            storage.stage_restart(checkpoint)?;
        }
        storage.stage(&entries, hard_state)?;
        machine.sync_begins();
        let stats = storage.commit(entries)?;
        machine.sync_ended(&stats);
        if let Some(checkpoint) = restored {
            self.went_on_behind(checkpoint, machine);
        }
        Ok(())
    }

    /// The log begins behind a checkpoint that came from another node.
    fn went_on_behind<S: StateMachine>(&mut self, checkpoint: Position, machine: &mut S) {
        self.applied_term = checkpoint.term;
        self.shown_until = self.shown_until.min(checkpoint.index);
        machine.restored(checkpoint.index);
    }

    fn apply<S: StateMachine>(&mut self, headers: &[Entry], machine: &mut S) -> Result<(), NodeError> {
        let (Some(first), Some(last)) = (headers.first(), headers.last()) else {
            return Ok(());
        };
        let own_term = self.raw.raft.term;
        let uncommitted_bytes = &mut self.uncommitted_bytes;
        let storage = self.raw.store();
        let mut visit = |entries: &[Committed<'_>]| {
            let own = entries.iter().filter(|entry| entry.term == own_term);
            let own_bytes = own.map(|entry| entry.payload.len()).sum();
            *uncommitted_bytes = uncommitted_bytes.saturating_sub(own_bytes);
            let applied = machine.apply_some(entries);
            applied.map_err(|(index, source)| NodeError::Apply { index, source: Box::new(source) })
        };
        storage.visit_entries(first.index, last.index, &mut visit)?;
        if planted!(Bug::ApplyTwiceAfterRestart, self.applied_term == 0, false) {
            storage.visit_entries(last.index, last.index, &mut visit)?;
        }
        self.applied_term = last.term;
        self.raw.mut_store().free_applied();
        Ok(())
    }

    /// [`Bug::ReadUncommitted`]: whatever is in the log is taken for committed.
    fn apply_uncommitted<S: StateMachine>(&mut self, machine: &mut S) -> Result<(), NodeError> {
        let log = &self.raw.raft.raft_log;
        let (first, last) = (log.applied + 1, self.raw.store().last_entry());
        self.raw.store().visit_entries(first, last, |entries| {
            let applied = machine.apply_some(entries);
            applied.map_err(|(index, source)| NodeError::Apply { index, source: Box::new(source) })
        })
    }

    fn send(&mut self, mut messages: Vec<Message>, now_ms: u64, out: &mut impl Outbound) {
        if messages.is_empty() {
            return;
        }
        messages.iter_mut().for_each(|message| self.name_acknowledged(message));
        let leads = self.raw.raft.state == StateRole::Leader;
        for message in messages.iter().filter(|_| leads) {
            let hands_over = message.get_msg_type() == MessageType::MsgTimeoutNow;
            if planted!(Bug::LeaseDuringTransfer, false, hands_over) {
                self.lease.void_for_transfer(message.to, now_ms);
            }
        }
        let stamp = leads.then(|| self.lease.stamp(now_ms));
        for (to, mut frame) in outbox::group_by_peer(messages) {
            frame.session = self.session;
            frame.stamp = stamp;
            frame.echo = self.echo_for(to);
            if !out.send(to, &Frame::Raft(frame)) {
                self.unreachable.push(to);
            }
        }
    }

    /// Lets an acknowledgement bear the term of its entry: the leader compares that with its own entry.
    fn name_acknowledged(&self, message: &mut Message) {
        if message.get_msg_type() == MessageType::MsgAppendResponse && !message.reject {
            message.log_term = self.raw.raft.raft_log.term(message.index).unwrap_or_default();
        }
    }

    fn echo_for(&self, leader: NodeId) -> Option<Echo> {
        let stamp = self.promise.stamp_for(leader, self.raw.raft.term)?;
        let promise_ms = u32::try_from(self.config.timing.promise_ms()).unwrap_or(u32::MAX);
        Some(Echo { stamp, promise_ms, sync_ms: self.sync_ms })
    }

    /// How long the log's writes take lately, in milliseconds: the leader is told.
    pub fn set_sync_ms(&mut self, sync_ms: u32) {
        self.sync_ms = sync_ms;
    }

    /// Once promises of an earlier process, which may have been longer, bind no more, the log need not remember them.
    fn settle_promises(&mut self, now_ms: u64) {
        let promise_ms = self.config.timing.promise_ms();
        let is_alone = self.config.identity.members.len() == 1;
        if !is_alone && promise_ms < self.raw.store().promise_ms() && !self.promise.is_inherited(now_ms) {
            self.raw.mut_store().shorten_promises(promise_ms);
        }
    }

    /// Whether an earlier process may have promised for longer than this one would wait before it campaigns. A leader waits for nothing:
    /// the leader that got the promise has sent it into office, or has seen a later term.
    fn owes_longer_promise(&self, now_ms: u64) -> bool {
        self.raw.raft.state != StateRole::Leader
            && self.promise.is_inherited(now_ms)
            && self.raw.store().promise_ms() > self.config.timing.promise_ms()
    }

    fn publish_lease<S: StateMachine>(&self, now_ms: u64, machine: &mut S) {
        machine.readable_until(self.lease_valid_until_ms(now_ms).unwrap_or(0));
    }

    fn report_leadership<S: StateMachine>(&mut self, machine: &mut S) {
        self.after_raft_moved();
        if self.leadership.take_changed() {
            machine.leadership_changed(self.leadership);
        }
    }

    /// Brings what this node keeps beside raft's own state up to date with it.
    fn after_raft_moved(&mut self) {
        let raft = &mut self.raw.raft;
        if planted!(Bug::CommitOlderTerms, raft.state == StateRole::Leader, false) {
            let (held_by_majority, _) = raft.mut_prs().maximal_committed_index();
            raft.raft_log.commit_to(held_by_majority);
        }
        let is_new_term_of_mine = self.leadership.update(raft.state, raft.term, raft.leader_id);
        if is_new_term_of_mine {
            self.lease.enter_term(raft.term);
            self.uncommitted_bytes = 0;
        }
        if raft.leader_id != INVALID_ID {
            self.attempts = 0;
        }
        let (identity, timing) = (&self.config.identity, &self.config.timing);
        let (rank, voters) = (identity.rank(), identity.members.len());
        raft.set_randomized_election_timeout(match self.stands_last {
            true => timing.campaign_last_after_ticks(rank, voters, raft.term, self.attempts),
            false => timing.campaign_after_ticks(rank, voters, raft.term, self.attempts),
        });
    }

    /// Whether the others are to stand for election before this node. Where it alone can be elected it leads all the same, a little later.
    pub fn stand_last(&mut self, last: bool) {
        self.stands_last = last;
    }

    /// The members that should not get the lead from this node, as their calendars are wrong.
    pub fn set_off_members(&mut self, members: Vec<NodeId>) {
        self.off_members = members;
    }

    /// The other members.
    pub fn peers(&self) -> impl Iterator<Item = NodeId> {
        others_of(&self.config.identity)
    }

    /// The term of the last applied entry; 0 before the first.
    pub fn applied_term(&self) -> u64 {
        self.applied_term
    }

    /// This node's id.
    pub fn id(&self) -> NodeId {
        self.config.identity.node_id
    }

    /// The session in which this node speaks.
    pub fn session(&self) -> u64 {
        self.session
    }

    /// What tells this process from others that claim to be this member.
    pub fn voice(&self) -> Voice {
        self.voice
    }

    /// The cluster that this node's log belongs to.
    pub fn cluster(&self) -> Cluster {
        self.raw.store().cluster()
    }

    /// Lets the log belong to a cluster if it belongs to none: an entry, or a checkpoint of another member, has brought the id.
    pub fn adopt_cluster(&mut self, id: ClusterId) -> Result<(), NodeError> {
        if self.cluster().id.is_none() {
            self.raw.mut_store().adopt_cluster(id)?;
            tracing::info!(cluster = %id, "the log belongs to this cluster from now on");
            self.part_from_strangers();
        }
        Ok(())
    }

    /// The last entry that is known to be committed.
    pub fn committed(&self) -> u64 {
        self.raw.raft.raft_log.committed
    }

    /// What raft's log is kept in.
    pub fn storage(&self) -> &LogStorage<D> {
        self.raw.store()
    }

    /// What raft's log is kept in.
    pub fn storage_mut(&mut self) -> &mut LogStorage<D> {
        self.raw.mut_store()
    }

    /// Who leads, as far as this node knows.
    pub fn leadership(&self) -> Leadership {
        self.leadership
    }

    /// Everything an operator may want to know.
    pub fn status(&self, now_ms: u64) -> NodeStatus {
        let raft = &self.raw.raft;
        NodeStatus {
            node_id: self.id(),
            leadership: self.leadership,
            is_serving: self.is_serving(),
            committed: raft.raft_log.committed,
            applied: raft.raft_log.applied,
            first_index: raft.raft_log.first_index(),
            last_index: raft.raft_log.last_index(),
            uncommitted_bytes: self.uncommitted_bytes,
            lease_valid_until_ms: self.lease_valid_until_ms(now_ms),
            log_space: self.log_space(),
            peers: self.peer_progress(now_ms),
            leader_silent_ms: self.leadership.leader.and_then(|leader| self.silent_ms(leader, now_ms)),
            awaited_members: self.awaited_members(),
        }
    }

    /// For how long a peer has not been heard; `None` if it never was.
    fn silent_ms(&self, peer: NodeId, now_ms: u64) -> Option<u64> {
        self.heard_ms.get(&peer).map(|heard_ms| now_ms.saturating_sub(*heard_ms))
    }

    fn peer_progress(&self, now_ms: u64) -> Vec<PeerProgress> {
        let raft = &self.raw.raft;
        if raft.state != StateRole::Leader {
            return Vec::new();
        }
        let last_index = raft.raft_log.last_index();
        others_of(&self.config.identity)
            .filter_map(|id| Some((id, raft.prs().get(id)?)))
            .map(|(id, progress)| PeerProgress {
                id,
                matched: progress.matched,
                lag: last_index.saturating_sub(progress.matched),
                recently_active: self
                    .silent_ms(id, now_ms)
                    .is_some_and(|ms| ms <= self.config.timing.longest_election_ms()),
                silent_ms: self.silent_ms(id, now_ms),
                may_lead: self.may_take_over(id),
                sync_ms: self.lease.sync_ms_of(id),
            })
            .collect()
    }
}

fn others_of(identity: &Identity) -> impl Iterator<Item = NodeId> {
    let own = identity.node_id;
    identity.members.iter().copied().filter(move |&id| id != own)
}

/// Whether a message of this kind is a leader's sign of life.
fn is_sent_by_leaders(kind: MessageType) -> bool {
    use MessageType::*;
    matches!(kind, MsgAppend | MsgHeartbeat | MsgSnapshot)
}

/// The checkpoint that raft goes on behind, if it was just told to.
fn position_of(snapshot: &raft::eraftpb::Snapshot) -> Option<Position> {
    let metadata = snapshot.get_metadata();
    (metadata.index > 0).then_some(Position { index: metadata.index, term: metadata.term })
}

#[cfg(test)]
mod tests;
