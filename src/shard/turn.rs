//! The log driver of one raft group, turned round by round.
//!
//! A [`Shard`] is a plain object. It has no socket and no thread: the time, the peers' messages and a way to send come as
//! arguments; the disk is behind the log's own trait. It looks at a clock itself only where the turn's time may be too old.
//! One turn: step what peers sent, tick, make ONE entry of what the workers gathered (as much as one
//! plan takes: `shard/plan.rs`, `shard/admission.rs`), let raft write, sync, send and
//! commit, apply, answer.
//!
//! - At most one entry of this node's is uncommitted at a time; while it is on its way the next one gathers.
//! - A turn may take long before it gathers (a slow disk, a stalled thread). Commands are judged by the calendar's time after they
//!   were gathered, so that no command is judged by a time before it came.
//! - An error from the disk or from apply ends the node: the caller must not turn a shard that has failed.
//! - A full disk is no such error: what would have been logged is answered that it did not happen, everything else goes on,
//!   and writes are taken again as soon as there is space.

use std::sync::Arc;

use perdura_wal::Disk;
use thiserror::Error;

use super::admission::Admission;
use super::budget::Budget;
use super::calendars::Calendars;
use super::deaths::{self};
use super::eviction::Evictor;
use super::expiry::ExpiryWalk;
use super::leaderless::Leaderless;
use super::long_items::LongItems;
use super::machine::{DID_NOT_HAPPEN, DISK_FULL, Machine};
use super::marks::Marked;
use super::plan::{Addressee, Backlog, Next, Plan};
use super::port::ShardHandle;
use super::slow_log::GivingWay;
use super::succession::Succession;
use super::{readers, serving};
use crate::apply::ApplyError;
use crate::command::Staging;
use crate::command::context::Garbage;
use crate::command::random::Random;
use crate::command::stopwatch::{SlowRun, Spike, Watched};
use crate::config::events::Classes;
use crate::env::Now;
use crate::keyspace::capture::{Capture, CaptureError};
use crate::keyspace::hash_seed::HashSeed;
use crate::keyspace::{Basis, Restoring};
use crate::pause::Paused;
use crate::planted::{self, Bug, planted};
use crate::propose::batch::Work;
use crate::propose::entry;
use crate::protocol::message::Message;
use crate::raft::cluster::ClusterId;
use crate::raft::inbox::PeerEvent;
use crate::raft::lease::{ReadRound, RoundState};
use crate::raft::node::{LogPosition, MAX_ENTRY_BYTES, Node, NodeError, ProposeError, StateMachine};
use crate::raft::outbox::Outbound;
use items::{gate, has_steps_to_wait, opens_plan, plan_item};

/// A node's own randomness.
#[derive(Clone, Copy, Debug)]
pub struct Seeds {
    /// Starts the stream of seeds that the node stamps its entries with.
    pub stamps: u64,
    /// Nothing that clients see may depend on it but the order of scans, so it is drawn apart from the others.
    pub hash: HashSeed,
    /// The cluster's id, if its log has none yet and this node leads first; not zero.
    pub cluster: ClusterId,
    /// Whether this node brings the parameters that it was started with, if it leads first.
    pub brings_parameters: bool,
}

impl Seeds {
    /// All from one number, where nothing has to be secret.
    pub fn of_test(seed: u64) -> Seeds {
        let hash = HashSeed::new(seed, seed.rotate_left(32) | 1);
        Seeds { stamps: seed, hash, cluster: ClusterId(seed.rotate_left(16) | 1), brings_parameters: false }
    }
}

#[derive(Debug, Error)]
pub enum ShardError {
    #[error(transparent)]
    Node(#[from] NodeError),
    #[error(transparent)]
    Apply(#[from] ApplyError),
}

/// How long a node that found no space for an entry waits before it tries one of its own again.
const SPACE_RETRY_MS: u64 = 50;

pub struct Shard<D: Disk> {
    node: Node<D>,
    machine: Machine,
    handle: Arc<ShardHandle>,
    backlog: Backlog,
    pub(super) long_items: LongItems,
    /// Reads that nothing is logged with, until the lease or a round of confirmation allows them.
    stalled: Option<(Plan, Option<ReadRound>)>,
    /// The round that confirms the answers that are held.
    held_round: Option<ReadRound>,
    seeds: Random,
    /// What this node proposes if it leads and the data has no seed, or the log no cluster.
    hash_seed: HashSeed,
    cluster_id: ClusterId,
    brings_parameters: bool,
    /// The users that it brings.
    own_users: own::OwnUsers,
    expiry: ExpiryWalk,
    next_expiry_ms: u64,
    /// The last turn answered clients and proposed nothing, so that what they send next may go along.
    held_back: bool,
    /// There was no space for an entry: what this node proposes of its own accord waits until then, in monotonic ms.
    space_retry_ms: Option<u64>,
    succession: Succession,
    budget: Budget,
    evictor: Evictor,
    /// The longest entry.
    max_entry_bytes: usize,
    giving_way: GivingWay,
    calendars: Calendars,
    leaderless: Leaderless,
    /// Up to then this leader has said that nothing more was written; unix ms.
    quiet_until_ms: i64,
    /// How often this node has handed over because its log writes were slow.
    pub gave_way: u64,
    /// A turn ended with an error.
    has_failed: bool,
    /// Long items that were logged in parts and run, and those of which parts were forgotten.
    pub ran_from_parts: u64,
    pub forgot_parts: u64,
}

impl<D: Disk> Shard<D> {
    pub fn new(node: Node<D>, mut machine: Machine, handle: Arc<ShardHandle>, seeds: Seeds) -> Self {
        machine.applier.know_cluster(node.cluster().id.0);
        handle.set_cluster(node.cluster().id);
        Shard {
            node,
            machine,
            handle,
            backlog: Backlog::default(),
            long_items: LongItems::default(),
            stalled: None,
            held_round: None,
            seeds: Random::from_seed(seeds.stamps),
            hash_seed: seeds.hash,
            cluster_id: seeds.cluster,
            brings_parameters: seeds.brings_parameters,
            own_users: own::OwnUsers::default(),
            expiry: ExpiryWalk::default(),
            next_expiry_ms: 0,
            held_back: false,
            space_retry_ms: None,
            succession: Succession::default(),
            budget: Budget::default(),
            evictor: Evictor::new(seeds.stamps.rotate_left(17)),
            max_entry_bytes: MAX_ENTRY_BYTES,
            giving_way: GivingWay::default(),
            calendars: Calendars::default(),
            leaderless: Leaderless::default(),
            quiet_until_ms: i64::MIN,
            gave_way: 0,
            has_failed: false,
            ran_from_parts: 0,
            forgot_parts: 0,
        }
    }

    pub fn node(&self) -> &Node<D> {
        &self.node
    }

    pub fn node_mut(&mut self) -> &mut Node<D> {
        &mut self.node
    }

    pub fn machine(&self) -> &Machine {
        &self.machine
    }

    /// Whether the keyspace may be captured now: not while an item comes in parts.
    pub fn is_capturable(&self) -> bool {
        !self.machine.applier.is_staging() || self.has_dead_parts()
    }

    /// Begins a capture of the keyspace as it is after the last applied entry.
    pub fn begin_capture(&mut self) -> Result<Capture, CaptureError> {
        if self.has_dead_parts() {
            self.machine.applier.effects.staging = Staging::default();
        }
        self.machine.applier.begin_capture()
    }

    /// Whether the keyspace may be captured at a mark from now on; after one it may not.
    pub fn allow_capture(&mut self, allowed: bool) {
        self.machine.may_capture = allowed;
    }

    /// What was captured at a mark.
    pub fn take_marked(&mut self) -> Option<Marked> {
        self.machine.marked.take()
    }

    /// Index and term of the last applied entry.
    pub fn applied_position(&self) -> (u64, u64) {
        (self.machine.applied, self.node.applied_term())
    }

    /// Puts the content of a checkpoint in place of all data; `fill` restores it. From here on nobody may read from this replica,
    /// until it has gone on behind the checkpoint.
    pub fn replace_data<T, E>(
        &mut self,
        basis: Basis,
        stamp_ms: i64,
        fill: impl FnOnce(&Restoring<'_>) -> Result<T, E>,
    ) -> Result<T, E> {
        self.handle.set_caught_up(false);
        self.handle.set_stamp(stamp_ms, self.machine.clock_ms());
        let (old, restoring) = self.machine.applier.replace(basis, stamp_ms);
        self.machine.garbage.push(Garbage::Ranges(old));
        fill(&restoring)
    }

    /// The log belongs to this cluster, unless it belongs to one already: a checkpoint has brought the id. None brings none.
    pub fn know_cluster(&mut self, id: ClusterId) -> Result<(), ShardError> {
        let own = self.node.cluster().id;
        if own.is_none() && !id.is_none() {
            self.node.adopt_cluster(id)?;
        }
        let id = self.node.cluster().id;
        self.machine.applier.know_cluster(id.0);
        self.handle.set_cluster(id);
        Ok(())
    }

    /// Lets the log belong to the cluster whose id an entry has brought.
    fn take_brought_cluster(&mut self) -> Result<(), ShardError> {
        let brought = ClusterId(self.machine.applier.cluster_id());
        // A member may have proved it in this very turn, before the entry was applied.
        if self.node.cluster().id == brought && self.handle.cluster() == brought {
            return Ok(());
        }
        self.know_cluster(brought)
    }

    /// Drops the log's entries up to `index`, durably.
    pub fn compact_log(&mut self, index: u64) -> Result<(), ShardError> {
        let compacted = self.node.storage_mut().compact(index);
        compacted.map_err(|fault| NodeError::from(fault).into())
    }

    /// One round. `events` holds what came from peers since the last, oldest first; it is emptied.
    pub fn turn(
        &mut self,
        now: Now,
        events: &mut Vec<(u64, PeerEvent)>,
        out: &mut impl Outbound,
    ) -> Result<(), ShardError> {
        assert!(!self.has_failed, "a shard that has failed is not turned again");
        let turned = self.run_turn(now, events, out);
        self.has_failed = turned.is_err();
        turned
    }

    fn run_turn(
        &mut self,
        now: Now,
        events: &mut Vec<(u64, PeerEvent)>,
        out: &mut impl Outbound,
    ) -> Result<(), ShardError> {
        planted::enter(now);
        self.machine.now_ms = now.monotonic_ms as i64;
        self.machine.heard_until = self.node.shown_until();
        for (from, event) in events.drain(..) {
            self.take_in(from, event, now);
        }
        self.compare_calendars(out);
        self.node.tick(now.monotonic_ms);
        self.leaderless.tell(&self.node, now.monotonic_ms);
        self.node.process(now.monotonic_ms, out, &mut self.machine)?;
        self.take_brought_cluster()?;
        self.observe_node();
        self.held_back = self.machine.has_answers();
        if self.held_back {
            self.deliver();
            return Ok(());
        }
        self.make_progress(now)?;
        self.node.process(now.monotonic_ms, out, &mut self.machine)?;
        self.observe_node();
        self.deliver();
        self.note_waiting(0);
        Ok(())
    }

    fn take_in(&mut self, from: u64, event: PeerEvent, now: Now) {
        // Shipments are the caller's: a shard has no files.
        match self.node.hear(from, event, now.monotonic_ms) {
            Some(PeerEvent::Publish(message)) => self.machine.published.extend(Message::decode(&message)),
            Some(PeerEvent::Calendar { session, unix_ms }) => {
                self.calendars.note(from, session, unix_ms, self.machine.clock_ms());
            }
            _ => {}
        }
    }

    /// Whether another turn has work to do right now, whatever comes from outside.
    pub fn has_work(&self) -> bool {
        if self.held_back {
            return true;
        }
        let waits = self.machine.has_in_flight() || self.machine.holds_answers();
        // What has come waits for the end of a transfer of leadership: a tick or a message brings that.
        let idle = !waits && self.stalled.is_none() && !self.node.is_transferring();
        self.node.has_work() || idle && (self.has_gathered() || !self.machine.changed.is_empty())
    }

    /// Whether anything waits to be planned.
    fn has_gathered(&self) -> bool {
        let has_part = self.long_items.has_step() || self.forgets_parts();
        !self.backlog.is_empty() || self.may_serve_ready() || has_part || self.continues_evicting()
    }

    /// Whether anybody is to be served who was made ready by what did not carry his command with it.
    fn may_serve_ready(&self) -> bool {
        !self.machine.ready.is_empty() && self.space_retry_ms.is_none()
    }

    /// Whether the next turn may propose what was gathered.
    pub fn may_propose(&self) -> bool {
        !self.machine.has_in_flight() && self.handle.is_primary()
    }

    /// Monotonic ms at which a turn is due even if nothing happens.
    pub fn next_due_ms(&self) -> u64 {
        let due = self.node.next_tick_ms();
        let waits_for_others =
            self.stalled.is_some() || self.machine.holds_answers() || self.node.is_transferring();
        if !self.handle.is_primary() || self.machine.has_in_flight() || waits_for_others {
            return due;
        }
        let due = self.long_items.due_ms().unwrap_or(due).min(due).min(self.next_expiry_ms);
        match self.machine.waiters.next_deadline_ms() {
            Some(deadline) => due.min(deadline.max(0) as u64),
            None => due,
        }
    }

    /// Messages for this node's subscribers, in order: what peers sent, and what transactions published.
    pub fn take_published(&mut self) -> Vec<Message> {
        std::mem::take(&mut self.machine.published)
    }

    /// Notes this of commands where they are applied.
    pub fn watch_commands(&mut self, watched: Watched) {
        self.machine.applier.effects.stopwatch.watch(watched);
    }

    /// Tells this node's subscribers of events of these classes.
    pub fn tell_events(&mut self, classes: Classes) {
        self.machine.applier.effects.notices.tell(classes);
    }

    /// Logs items of more than so many bytes in parts.
    pub fn cut_items_over(&mut self, bytes: usize) {
        self.long_items = LongItems::over(bytes);
    }

    /// Limits the length of an entry.
    #[cfg(test)]
    pub fn limit_entries(&mut self, max_bytes: usize) {
        self.max_entry_bytes = max_bytes;
    }

    /// What commands took that the latency monitor is to know of.
    pub fn take_spikes(&mut self) -> Vec<Spike> {
        std::mem::take(&mut self.machine.applier.effects.stopwatch.spikes)
    }

    /// The commands that were slow or had long replies, and whose they are.
    pub fn take_slow(&mut self) -> Vec<(Addressee, SlowRun)> {
        std::mem::take(&mut self.machine.slow)
    }

    /// What is left to be dropped where it stalls nobody.
    pub fn take_garbage(&mut self) -> Vec<Garbage> {
        std::mem::take(&mut self.machine.garbage)
    }

    /// How long this turn's log writes took by this node's clock, if there were any.
    pub fn take_sync_ms(&mut self) -> Option<u64> {
        self.machine.synced_ms.take()
    }

    /// Notes how long a turn's log writes took. The caller says: a simulated clock stands still during a turn.
    pub fn note_write_ms(&mut self, ms: u64) {
        self.machine.write_times.note(ms);
    }

    fn observe_node(&mut self) {
        self.node.set_sync_ms(self.machine.write_times.longest_ms());
        self.handle.set_slow_writes(self.machine.write_times.slow_ms());
        self.handle.set_caught_up(self.node.has_caught_up());
        if self.handle.refuses_writes() && !(self.node.is_serving() && self.node.log_space().is_short) {
            self.handle.refuse_writes(false);
        }
        if self.node.is_serving() {
            self.handle.set_primary(true);
        } else if !self.handle.is_primary()
            && let Some((plan, _)) = self.stalled.take()
        {
            self.machine.fail_plan(plan, DID_NOT_HAPPEN);
        }
    }

    fn make_progress(&mut self, now: Now) -> Result<(), ShardError> {
        self.gather();
        if !self.node.is_serving() {
            self.refuse_backlog();
            return Ok(());
        }
        // The turn may have begun long before the commands came that it has just gathered.
        let now = planted!(Bug::JudgeByOldCalendar, now, Now { unix_ms: self.machine.unix_ms(), ..now });
        if self.machine.has_in_flight() || !self.settle_held() {
            return Ok(());
        }
        self.space_retry_ms = self.space_retry_ms.filter(|retry_ms| now.monotonic_ms < *retry_ms);
        readers::serve(&mut self.machine);
        self.machine.end_timed_out_waiters(self.may_free(now));
        if !self.run_stalled(now)? || self.machine.holds_answers() || self.gives_way(now) {
            return Ok(());
        }
        if self.node.is_transferring() {
            // What has come waits: this node leads on if the successor does not take over.
            return Ok(());
        }
        self.free_expired(now);
        let is_paused = self.handle.pause.at(now.monotonic_ms) != Paused::Nothing;
        self.long_items.tick(now.monotonic_ms, is_paused);
        if !self.has_gathered() && !self.has_own_entry(now) && !self.looks_at_limit(now) {
            return Ok(());
        }
        let plan = self.make_plan(now)?;
        if plan.acts.is_empty() { Ok(()) } else { self.launch(plan, now) }
    }

    /// Whether nothing that was taken waits for the log, or for an answer from it.
    pub(super) fn is_drained(&self) -> bool {
        let is_busy = self.machine.has_in_flight() || self.machine.holds_answers() || self.stalled.is_some();
        !is_busy
            && self.backlog.is_empty()
            && self.handle.ports.iter().all(|port| port.batch.lock().is_empty())
    }

    /// Runs the reads that waited for leave; false while they still wait.
    fn run_stalled(&mut self, now: Now) -> Result<bool, ShardError> {
        let Some((plan, round)) = self.stalled.take() else { return Ok(true) };
        match round.map(|round| self.node.confirmed(round)) {
            Some(RoundState::Confirmed) => {
                let answers = self.machine.run_unlogged_plan(plan)?;
                self.machine.release(answers);
            }
            Some(RoundState::Pending) if !self.holds_lease(now) => self.stalled = Some((plan, round)),
            Some(RoundState::Lost | RoundState::Pending) | None => self.launch(plan, now)?,
        }
        Ok(self.stalled.is_none())
    }

    fn launch(&mut self, plan: Plan, now: Now) -> Result<(), ShardError> {
        if plan.logged > 0 {
            self.propose(plan, now)?;
        } else if self.holds_lease(now) {
            self.run_under_lease(plan)?;
        } else {
            let round = self.node.confirm_round();
            self.stalled = Some((plan, round));
        }
        Ok(())
    }

    fn holds_lease(&self, now: Now) -> bool {
        self.holds_lease_at(now.monotonic_ms)
    }

    fn holds_lease_at(&self, now_ms: u64) -> bool {
        self.node.lease_valid_until_ms(now_ms).is_some_and(|until_ms| until_ms > now_ms)
    }

    /// Whether the lease holds at this moment, which may be long after the turn's time: to be asked after a read, before its answer.
    pub(super) fn still_holds_lease(&self) -> bool {
        self.holds_lease_at(self.machine.clock_ms())
    }

    /// Runs reads under the lease. The turn's time may be long past: what was read counts only if the lease holds after it.
    fn run_under_lease(&mut self, plan: Plan) -> Result<(), ShardError> {
        let answers = self.machine.run_unlogged_plan(plan)?;
        if planted!(Bug::ReadByOldClock, true, self.still_holds_lease()) {
            self.machine.release(answers);
        } else {
            self.machine.hold(answers);
        }
        Ok(())
    }

    /// Lets answers leave that were held, once the lease holds again or a round that began after the reads is confirmed; false until then.
    fn settle_held(&mut self) -> bool {
        if !self.machine.holds_answers() {
            self.held_round = None;
            return true;
        }
        let is_confirmed = |round| self.node.confirmed(round) == RoundState::Confirmed;
        if self.still_holds_lease() || self.held_round.is_some_and(is_confirmed) {
            self.held_round = None;
            self.machine.release_held();
            return true;
        }
        let is_lost = |round| self.node.confirmed(round) == RoundState::Lost;
        if self.held_round.is_none_or(is_lost) {
            self.held_round = self.node.confirm_round();
        }
        false
    }

    fn propose(&mut self, mut plan: Plan, now: Now) -> Result<(), ShardError> {
        let answers_early = planted!(Bug::AnswerBeforeSync, Some(plan.payload.clone()), None);
        match self.node.propose(std::mem::take(&mut plan.payload)) {
            Ok(LogPosition { index, term }) => {
                self.space_retry_ms = None;
                self.handle.refuse_writes(false);
                self.note_space();
                self.machine.set_in_flight(index, term, plan);
                if let Some(payload) = answers_early {
                    // What was just made can be applied.
                    let _ = self.machine.apply(index, term, &payload);
                    self.deliver();
                }
            }
            Err(ProposeError::NoSpace) => {
                self.space_retry_ms = Some(now.monotonic_ms + SPACE_RETRY_MS);
                self.handle.refuse_writes(true);
                self.long_items.fail_part(DISK_FULL);
                let rest = self.machine.refuse_writes(plan, DISK_FULL);
                if !rest.acts.is_empty() {
                    self.handle.note_told(rest.stamp.now_ms);
                    self.launch(rest, now)?;
                }
                self.make_way(now);
            }
            Err(_) => {
                self.long_items.fail_part(DID_NOT_HAPPEN);
                self.machine.fail_plan(plan, DID_NOT_HAPPEN);
            }
        }
        Ok(())
    }

    fn note_space(&mut self) {
        if self.succession.has_begun() && !self.node.log_space().is_short {
            self.succession.forget();
        }
    }

    /// Where another node may have space, lets it lead.
    fn make_way(&mut self, now: Now) {
        self.note_space();
        let status = self.node.status(now.monotonic_ms);
        if !status.log_space.is_short {
            return;
        }
        let Some(successor) = self.succession.next(&status.peers, now.monotonic_ms) else { return };
        tracing::warn!(successor, "the disk is full: handing over to a node that may have space");
        if let Err(error) = self.node.transfer_leadership(successor, now.monotonic_ms) {
            tracing::warn!(%error, successor, "leadership could not be handed over");
        }
    }

    /// Where this node's log writes are slow and others' are not, lets one of those lead. True if that has begun.
    fn gives_way(&mut self, now: Now) -> bool {
        let own_ms = self.machine.write_times.longest_ms();
        if !self.machine.write_times.are_slow() {
            return false;
        }
        let peers = self.node.status(now.monotonic_ms).peers;
        let Some(successor) = self.giving_way.successor(&self.machine.write_times, &peers, now.monotonic_ms)
        else {
            return false;
        };
        tracing::warn!(
            successor,
            own_ms,
            "this node's log writes are slow: handing over to a node whose writes are not"
        );
        let begun = self.node.transfer_leadership(successor, now.monotonic_ms);
        match &begun {
            Ok(()) => self.gave_way += 1,
            Err(error) => tracing::warn!(%error, successor, "leadership could not be handed over"),
        }
        begun.is_ok()
    }

    /// What is logged from now on has later timestamps than this.
    pub(super) fn end_quiet(&mut self, until_ms: i64) {
        self.quiet_until_ms = self.quiet_until_ms.max(until_ms);
    }

    pub(super) fn quiet_until_ms(&self) -> i64 {
        self.quiet_until_ms
    }

    fn make_plan(&mut self, now: Now) -> Result<Plan, ShardError> {
        assert!(!self.machine.has_in_flight(), "a plan is admitted by data that all before it has changed");
        assert!(!self.machine.holds_answers(), "nothing is planned while answers are held");
        let stamp = self.stamp(now);
        let mut plan = Plan::new(stamp).limited_to(self.max_entry_bytes);
        let (items, bytes) = self.backlog.waiting();
        plan.reserve(items, bytes);
        entry::write_header(&mut plan.payload, stamp);
        self.begin_budget(&plan, now);
        self.plan_hash_seed(&mut plan, now);
        self.plan_cluster_id(&mut plan, now);
        self.plan_first_parameters(&mut plan, now);
        if self.names_cluster_at_once(now) {
            plan.trim();
            return Ok(plan);
        }
        self.plan_default_user(&mut plan, now);
        self.plan_evictions(&mut plan, now);
        self.plan_forgetting(&mut plan);
        self.plan_long_item(&mut plan, now)?;
        serving::plan_ready(&mut self.machine, &mut plan, stamp)?;
        while !plan.is_full() {
            let Some(peeked) = self.backlog.peek() else { break };
            if self.long_items.concern(&self.machine, &peeked, stamp)? {
                // The first is judged by what it does: it may be one that frees memory.
                let may_wait = self.long_items.is_empty();
                let refusal = self.budget.refusal(peeked.encoded.len() as u64).filter(|_| !may_wait);
                self.long_items.set_aside(&mut self.backlog, self.node.leadership().term, refusal);
                continue;
            }
            let mut gate = gate(&self.machine, &self.handle, &mut self.budget, stamp, now);
            let has_steps = has_steps_to_wait(&self.machine, &plan, &peeked);
            let is_late = opens_plan(&self.machine, &plan, &peeked) && !plan.acts.is_empty();
            let admission = match is_late || !has_steps {
                true => Admission::Close,
                false => gate.admit(&mut plan, &peeked.item.work, peeked.encoded)?,
            };
            if admission == Admission::Close {
                break;
            }
            let Some(next) = self.backlog.take() else { break };
            match admission {
                Admission::Refuse(error) => self.machine.refuse(&mut plan, next, &error),
                _ => plan_item(&mut self.machine, &mut plan, next, stamp)?,
            }
        }
        self.backlog.drop_taken();
        self.plan_part(&mut plan, now)?;
        if self.may_free(now) {
            deaths::settle(&self.machine, &mut plan).map_err(ApplyError::from)?;
        } else {
            self.handle.note_told(stamp.now_ms);
        }
        plan.trim();
        Ok(plan)
    }

    /// Answers what was gathered while this node is not the primary.
    fn refuse_backlog(&mut self) {
        self.long_items.refuse_all(&mut self.machine, &mut self.backlog);
        while let Some(Next { to, work, .. }) = self.backlog.take() {
            match work {
                Work::Literal(bytes) => self.machine.answer_with(to, |reply| reply.raw(&bytes)),
                Work::Forget | Work::Unblock { .. } | Work::Internal { .. } => {}
                _ => self.machine.answer_with(to, |reply| reply.error(DID_NOT_HAPPEN)),
            }
        }
    }

    fn deliver(&mut self) {
        // Before the answers: whoever has one finds its change counted.
        self.tell_counts();
        for (replies, port) in self.machine.replies.iter_mut().zip(&self.handle.ports) {
            if !replies.is_empty() {
                replies.applied = self.machine.applied;
                port.replies.lock().append(replies);
                port.replies_ready.notify_one();
            }
        }
    }
}

mod items;
mod own;
mod parts;
#[cfg(test)]
mod tests;
mod time;
mod waits;
