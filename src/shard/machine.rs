//! The state machine under the log: applies committed entries, and answers those who wait for them.
//!
//! - At most one plan is in flight. An entry that comes with the plan's index and term is run with it; any other entry is
//!   run unattended (a follower's, a replayed one, another leader's).
//! - Replies gather per worker and leave once per turn. They are bounded by the output limit of clients: a write takes effect
//!   whether or not there is room for its reply.

mod staleness;
mod waiting;

use std::ops::Range;
use std::sync::Arc;

use perdura_wal::CommitStats;

use super::gauge::LogGauge;
use super::held::Answers;
use super::marks::{Fate, Mark, Marked};
use super::plan::{Act, Addressee, Next, Plan, Planned};
use super::port::ShardHandle;
use super::readers::{self, ChangedStreams};
use super::slow_log::WriteTimes;
use super::waiters::{ReadyList, Waiters};
use super::watches::Watches;
use crate::apply::bulk::{self, MarkMet};
use crate::apply::{Applier, ApplyError, EntryRun};
use crate::command::context::{Garbage, Stamp};
use crate::command::stopwatch::{SlowRun, Stopwatch};
use crate::command::{Args, Command};
use crate::env::Clock;
use crate::metrics::Metrics;
use crate::planted::{Bug, planted};
use crate::propose::batch::{Step, Work};
use crate::propose::entry::{EntryArgs, EntryReader};
use crate::propose::reply::ReplyBatch;
use crate::protocol::message::Message;
use crate::protocol::reply::Reply;
use crate::raft::keepalive::TurnBoard;
use crate::raft::node::StateMachine;
use crate::raft::status::{Leadership, Role};
use crate::raft::storage::Committed;
use waiting::is_alive;

/// Errors that a write is answered with when the log does not take it. The texts say what became of it.
pub const DID_NOT_HAPPEN: &str = "TRYAGAIN this node is not the primary any more; the command did not happen";
pub const DISK_FULL: &str = "MISCONF the disk is full; the command did not happen";
pub const IN_DOUBT: &str =
    "INDOUBT leadership moved while the write was in flight; it may or may not have happened";
pub const UNBLOCKED: &str =
    "UNBLOCKED force unblock from blocking operation, instance state changed (master -> replica?)";
pub const UNBLOCKED_BY_CLIENT: &str = "UNBLOCKED client unblocked via CLIENT UNBLOCK";

/// A plan whose entry was proposed.
struct InFlight {
    index: u64,
    term: u64,
    plan: Plan,
}

pub struct Machine {
    pub applier: Applier,
    pub waiters: Waiters,
    pub watches: Watches,
    in_flight: Option<InFlight>,
    /// What reads answered whose lease was over when they had run.
    held: Option<Answers>,
    /// What was made ready by something that did not carry the waiters' commands with it.
    pub ready: ReadyList,
    /// What clients wait for in XREAD, and has changed.
    pub(super) changed: ChangedStreams,
    pub replies: Vec<ReplyBatch>,
    pub published: Vec<Message>,
    /// Slow commands, and whose they are.
    pub slow: Vec<(Addressee, SlowRun)>,
    pub garbage: Vec<Garbage>,
    pub applied: u64,
    /// What entries up to here publish was heard when an earlier process applied them; it is not published again.
    pub heard_until: u64,
    /// How long this node's log writes took.
    pub write_times: WriteTimes,
    /// How long they took since this was last taken, if there were any.
    pub synced_ms: Option<u64>,
    /// Bytes of the entries applied by this process.
    pub applied_bytes: u64,
    /// Whether the keyspace is captured at a mark that comes now.
    pub may_capture: bool,
    /// What was captured at a mark.
    pub marked: Option<Marked>,
    led_term: u64,
    /// Threads that apply what nobody looks at, at least one.
    pub replay_threads: usize,
    /// Monotonic time of this turn, for waiters' deadlines.
    pub now_ms: i64,
    /// Whose command ran last.
    actor: Addressee,
    scratch: Vec<u8>,
    handle: Arc<ShardHandle>,
    board: TurnBoard,
    gauge: LogGauge,
}

impl Machine {
    pub fn new(
        mut applier: Applier,
        handle: Arc<ShardHandle>,
        board: TurnBoard,
        clock: Clock,
        metrics: Arc<Metrics>,
    ) -> Self {
        let workers = handle.ports.len();
        applier.effects.stopwatch = Stopwatch::new(clock.clone());
        applier.effects.scripts = handle.scripts.clone();
        applier.effects.tracking = handle.tracking.switch().clone();
        applier.effects.garbage_bytes = handle.memory.buffers().garbage.clone();
        applier.effects.flushed = handle.memory.buffers().flushed.clone();
        handle.set_stamp(applier.last_stamp_ms(), clock.monotonic_ms());
        Machine {
            applier,
            waiters: Waiters::counted_in(handle.waiter_counts.clone()),
            watches: Watches::default(),
            in_flight: None,
            held: None,
            ready: ReadyList::default(),
            changed: ChangedStreams::default(),
            replies: (0..workers).map(|_| ReplyBatch::default()).collect(),
            published: Vec::new(),
            slow: Vec::new(),
            garbage: Vec::new(),
            applied: 0,
            heard_until: 0,
            write_times: WriteTimes::default(),
            synced_ms: None,
            applied_bytes: 0,
            may_capture: false,
            marked: None,
            led_term: 0,
            replay_threads: 1,
            now_ms: 0,
            actor: Addressee::NOBODY,
            scratch: Vec::new(),
            handle,
            board,
            gauge: LogGauge::new(clock, metrics),
        }
    }

    /// Whether anybody has been answered since the answers were last taken.
    pub fn has_answers(&self) -> bool {
        self.replies.iter().any(|replies| !replies.is_empty())
    }

    /// The most bytes of replies that a connection may be owed.
    pub fn reply_limit(&self) -> usize {
        self.handle.reply_limit()
    }

    pub fn has_in_flight(&self) -> bool {
        self.in_flight.is_some()
    }

    pub fn set_in_flight(&mut self, index: u64, term: u64, plan: Plan) {
        assert!(self.in_flight.is_none(), "at most one plan is in flight");
        assert!(index > self.applied, "entry {index} was proposed after {} was applied", self.applied);
        self.gauge.proposed(plan.logged);
        self.in_flight = Some(InFlight { index, term, plan });
    }

    fn apply_entry(&mut self, index: u64, term: u64, payload: &[u8]) -> Result<(), ApplyError> {
        let is_early = planted!(Bug::AnswerBeforeSync, true, planted!(Bug::ReadUncommitted, true, false));
        if is_early && index <= self.applied {
            return Ok(());
        }
        assert!(
            self.applied == 0 || is_early || index == self.applied + 1,
            "entry {index} came after entry {}: indexes come without gaps",
            self.applied
        );
        self.applied = index;
        self.handle.loading.replayed(index);
        self.applied_bytes += payload.len() as u64;
        if payload.is_empty() {
            return Ok(());
        }
        let began_ns = self.gauge.clock.monotonic_ns();
        self.gauge.applies(payload);
        let ours = self.in_flight.take_if(|flying| flying.index == index);
        assert!(
            is_early || self.in_flight.as_ref().is_none_or(|flying| flying.index > index),
            "entry {index} was applied and the plan before it is still in flight"
        );
        if ours.is_some() {
            self.gauge.committed();
        }
        self.applier.effects.record_touched = !self.waiters.is_empty() || !self.watches.is_empty();
        let applied = match ours {
            Some(flying) if flying.term == term => self.run_logged_plan(payload, flying.plan),
            other => {
                other.into_iter().for_each(|lost| self.fail_plan(lost.plan, IN_DOUBT));
                let applied = self.applier.apply_unattended(payload);
                // Slow is what a client has waited for.
                self.applier.effects.stopwatch.forget();
                self.actor = Addressee::NOBODY;
                self.settle_effects();
                self.ready.retain(&self.waiters);
                applied
            }
        };
        self.count(began_ns);
        if let Some(name) = self.applier.effects.mark.take() {
            self.meet_mark(name, index, term);
        }
        self.handle.set_stamp(self.applier.last_stamp_ms(), self.clock_ms());
        applied
    }

    /// Counts what was run. What a start runs again was counted when clients sent it.
    fn count(&mut self, began_ns: u64) {
        match self.handle.loading.is_under_way() {
            true => self.applier.effects.executed.clear(),
            false => self.gauge.count(&mut self.applier.effects.executed, began_ns),
        }
    }

    /// Whether no client is shown any data now, nor waits for any.
    fn nobody_looks(&self) -> bool {
        let has_shown = self.handle.is_primary() || self.handle.has_caught_up();
        !has_shown && self.in_flight.is_none() && self.waiters.is_empty() && self.watches.is_empty()
    }

    /// Applies entries by several threads.
    fn apply_unseen(&mut self, entries: &[Committed<'_>]) -> Result<(), (u64, ApplyError)> {
        let began_ns = self.gauge.clock.monotonic_ns();
        self.applier.effects.record_touched = false;
        let with_commands = entries.iter().filter(|entry| !entry.payload.is_empty());
        let with_commands: Vec<_> = with_commands.map(|entry| (entry.index, entry.payload)).collect();
        for (_, payload) in &with_commands {
            self.gauge.applies(payload);
            self.applied_bytes += payload.len() as u64;
        }
        for MarkMet { name, index } in bulk::apply(&mut self.applier, self.replay_threads, &with_commands)? {
            let fate = Fate::Missed("no checkpoint can be begun while nothing is shown".to_owned());
            self.handle.marks.meet(Mark { name, index, fate });
        }
        for entry in entries {
            let is_next = self.applied == 0 || entry.index == self.applied + 1;
            assert!(
                is_next,
                "entry {} came after entry {}: indexes come without gaps",
                entry.index, self.applied
            );
            self.applied = entry.index;
        }
        self.handle.loading.replayed(self.applied);
        // Most of it was heard when an earlier process applied it, and no message is promised to arrive.
        self.applier.effects.published.clear();
        self.applier.effects.notices.clear();
        // What the threads changed was not recorded.
        self.tell_all_stale();
        self.actor = Addressee::NOBODY;
        self.settle_effects();
        self.count(began_ns);
        self.handle.set_stamp(self.applier.last_stamp_ms(), self.clock_ms());
        Ok(())
    }

    /// Captures the keyspace as it is behind the entry that is a mark, if that can be done now.
    fn meet_mark(&mut self, name: String, index: u64, term: u64) {
        let captured = match std::mem::take(&mut self.may_capture) {
            true => self.applier.begin_capture().map_err(|error| error.to_string()),
            false => Err("no checkpoint could be begun there".to_owned()),
        };
        let fate = match captured {
            Ok(capture) => {
                let (stamp_ms, applied_bytes) = (self.applier.last_stamp_ms(), self.applied_bytes);
                self.marked = Some(Marked { index, term, stamp_ms, applied_bytes, capture });
                Fate::Writing
            }
            Err(reason) => Fate::Missed(reason),
        };
        self.handle.marks.meet(Mark { name, index, fate });
    }

    /// The monotonic time by this node's clock at this moment, which may be later than the turn's.
    pub fn clock_ms(&self) -> u64 {
        self.gauge.clock.monotonic_ms()
    }

    /// This node's clock, to measure how long things take.
    pub fn clock(&self) -> &Clock {
        &self.gauge.clock
    }

    /// The time by this node's calendar at this moment.
    pub fn unix_ms(&self) -> i64 {
        self.gauge.clock.unix_ms()
    }

    /// Runs a plan that logs nothing. Its reads are linearizable only if the caller holds the lease, or a round has confirmed it.
    pub fn run_unlogged_plan(&mut self, plan: Plan) -> Result<Answers, ApplyError> {
        assert!(
            plan.stamp.now_ms >= self.applier.last_stamp_ms(),
            "nothing is applied between the making of a plan and its run"
        );
        let fresh = self.replies.iter().map(|_| ReplyBatch::default()).collect();
        let earlier = std::mem::replace(&mut self.replies, fresh);
        let mut reads = Vec::new();
        let run = self.run_reads(plan, &mut reads);
        let replies = std::mem::replace(&mut self.replies, earlier);
        run.map(|()| Answers { replies, reads })
    }

    fn run_reads(&mut self, plan: Plan, reads: &mut Vec<(usize, Range<usize>)>) -> Result<(), ApplyError> {
        let mut payload = Vec::new();
        crate::propose::entry::write_header(&mut payload, plan.stamp);
        let mut run = Applier::open(&payload)?;
        self.applier.begin_reads();
        let Plan { acts, passengers, .. } = plan;
        for Planned { to, act } in acts {
            let start = self.replies[to.worker].bytes.len();
            let depends_on_data = matches!(
                act,
                Act::Read { .. }
                    | Act::ReadOrWait(_)
                    | Act::Probe(_)
                    | Act::Watch { .. }
                    | Act::Transaction(_)
            );
            self.act(&mut run, to, act, &passengers)?;
            let end = self.replies[to.worker].bytes.len();
            if depends_on_data && end > start {
                reads.push((to.worker, start..end));
            }
            self.settle_effects();
        }
        self.ready.retain(&self.waiters);
        Ok(())
    }

    /// Lets answers leave with this turn.
    pub fn release(&mut self, answers: Answers) {
        self.leave(answers.replies);
    }

    /// Keeps answers back until [`Machine::release_held`].
    pub fn hold(&mut self, answers: Answers) {
        assert!(self.held.is_none(), "nothing runs while answers are held");
        self.held = Some(answers);
    }

    pub fn holds_answers(&self) -> bool {
        self.held.is_some()
    }

    /// What was held is confirmed.
    pub fn release_held(&mut self) {
        if let Some(answers) = self.held.take() {
            self.release(answers);
        }
    }

    fn leave(&mut self, replies: Vec<ReplyBatch>) {
        for (own, mut later) in self.replies.iter_mut().zip(replies) {
            own.append(&mut later);
        }
    }

    fn run_logged_plan(&mut self, payload: &[u8], plan: Plan) -> Result<(), ApplyError> {
        let run = self.applier.begin(payload)?;
        self.run_plan(run, plan)
    }

    fn run_plan(&mut self, mut run: EntryRun<'_>, plan: Plan) -> Result<(), ApplyError> {
        let Plan { acts, passengers, .. } = plan;
        for Planned { to, act } in acts {
            self.act(&mut run, to, act, &passengers)?;
            self.settle_effects();
        }
        self.ready.retain(&self.waiters);
        Ok(())
    }

    fn act(
        &mut self,
        run: &mut EntryRun<'_>,
        to: Addressee,
        act: Act,
        passengers: &[u8],
    ) -> Result<(), ApplyError> {
        self.act_for(to);
        match act {
            Act::Write => self.answer(to, |applier, reply| applier.run_single(run, reply))?,
            Act::Internal => {
                self.applier.run_single(run, &mut Reply::sink(&mut Vec::new(), to.resp))?;
            }
            Act::Blocking(waiting) => self.run_blocking(run, to, waiting)?,
            Act::Probe(waiting) => self.probe(run.stamp(), to, waiting)?,
            Act::Serve { id, by_key } => self.serve(run, id, by_key)?,
            Act::Read { command, encoded } => {
                let mut args = EntryArgs::new();
                let db = EntryReader::read_single(&passengers[encoded], &mut args)?;
                self.read_if_any(to, (command, db, &args), run.stamp());
            }
            Act::ReadOrWait(waiting) => readers::read_or_wait(self, run.stamp(), to, waiting)?,
            Act::Literal(bytes) => self.answer_with(to, |reply| reply.raw(&bytes)),
            Act::Transaction(steps) => {
                self.answer(to, |applier, reply| applier.run_transaction(run, &steps, reply))?;
            }
            Act::Watch { db, keys } => self.watch(run.stamp(), to, db, &keys),
            Act::Forget => self.forget(to),
            Act::Unblock { with_error } => self.unblock(to, with_error),
        }
        self.note_slow(to);
        Ok(())
    }

    /// Runs a read between the entry's commands.
    pub(super) fn run_read(
        &mut self,
        reply: &mut Reply<'_>,
        (command, db, args): (&Command, usize, &Args<'_>),
        stamp: Stamp,
    ) {
        let start = reply.position();
        self.applier.run_read(command, db, args, stamp, reply);
        self.handle.output_bounds.refuse_too_long(reply, start);
    }

    /// Answers a read; false if it wrote nothing, for its client is to wait.
    pub(super) fn read_if_any(
        &mut self,
        to: Addressee,
        (command, db, args): (&Command, usize, &Args<'_>),
        stamp: Stamp,
    ) -> bool {
        let Machine { applier, replies, handle, .. } = self;
        let most = handle.reply_limit();
        let read = |reply: &mut Reply<'_>| {
            let start = reply.position();
            applier.run_read(command, db, args, stamp, reply);
            handle.output_bounds.refuse_too_long(reply, start);
        };
        replies[to.worker].answer_if_written(to.connection, to.resp, most, read).1
    }

    pub(super) fn note_slow(&mut self, to: Addressee) {
        let slow = self.applier.effects.stopwatch.slow.drain(..);
        self.slow.extend(slow.map(|run| (to, run)));
    }

    /// Tells watchers and waiters what the last command changed, and passes on the rest.
    fn settle_effects(&mut self) {
        self.settle_tracking();
        for db in std::mem::take(&mut self.applier.effects.touched_databases) {
            let stamp = Stamp { now_ms: self.applier.last_stamp_ms(), seed: 0 };
            let applier = &self.applier;
            self.watches.touched_database(db, |(db, key)| is_alive(applier, *db, key, stamp));
            // Swapped in, its keys may be what somebody waits for.
            for key in self.waiters.keys_in(db) {
                self.changed.add(key);
                self.ready.add_key(key.clone());
            }
        }
        let effects = &mut self.applier.effects;
        self.garbage.append(&mut effects.garbage);
        match self.applied > self.heard_until {
            true => {
                self.published.append(&mut effects.published);
                self.published.append(&mut effects.notices.take_messages());
            }
            false => {
                effects.published.clear();
                effects.notices.clear();
            }
        }
        for key in effects.touched.drain(..) {
            self.watches.touched(&key);
            if self.waiters.wait_for(&key) {
                self.changed.add(&key);
                self.ready.add_key(key);
            }
        }
        readers::serve(self);
    }

    fn answer(
        &mut self,
        to: Addressee,
        run: impl FnOnce(&mut Applier, &mut Reply<'_>) -> Result<(), ApplyError>,
    ) -> Result<(), ApplyError> {
        let (replies, most) = (&mut self.replies[to.worker], self.handle.reply_limit());
        let applier = &mut self.applier;
        replies.answer(to.connection, to.resp, most, |reply| run(applier, reply))
    }

    pub fn answer_with(&mut self, to: Addressee, write: impl FnOnce(&mut Reply<'_>)) {
        let most = self.handle.reply_limit();
        self.replies[to.worker].answer(to.connection, to.resp, most, write);
    }

    /// Answers a command that the end of leadership overtook. Only where it is certain that it did not happen does the error stand
    /// by itself: in the place of the others the client may be closed.
    fn answer_overtaken(&mut self, to: Addressee, error: &str) {
        self.gauge.answered_error(error);
        if error == DID_NOT_HAPPEN {
            return self.answer_with(to, |reply| reply.error(error));
        }
        let most = self.handle.reply_limit();
        self.replies[to.worker].answer_or_close(to.connection, to.resp, most, |reply| reply.error(error));
    }

    /// Leadership is over: whoever waits for anything is told so.
    pub fn end_leadership(&mut self) {
        if let Some(answers) = self.held.take() {
            self.leave(answers.refused(DID_NOT_HAPPEN));
        }
        if let Some(flying) = self.in_flight.take() {
            let fate = planted!(Bug::DenyWritesInFlight, DID_NOT_HAPPEN, IN_DOUBT);
            self.fail_plan(flying.plan, fate);
        }
        for waiter in self.waiters.take_all() {
            self.end_overtaken_waiter(waiter, UNBLOCKED);
        }
        self.ready.clear();
        self.changed.clear();
        self.watches.clear();
    }

    /// Takes out of a plan what would have been logged, and answers it with an error at its place; the rest can be run without
    /// the log. Who waits goes on waiting.
    pub fn refuse_writes(&mut self, mut plan: Plan, error: &str) -> Plan {
        self.gauge.refused(plan.logged);
        let refusal = || Act::Literal(format!("-{error}\r\n").into_bytes());
        plan.forget_log();
        for Planned { to, act } in std::mem::take(&mut plan.acts) {
            match act {
                Act::Write | Act::Blocking(_) => {
                    self.gauge.answered_error(error);
                    plan.push(to, refusal());
                }
                Act::Transaction(steps) if steps.iter().any(|step| matches!(step, Step::Write(_))) => {
                    self.gauge.answered_error(error);
                    plan.push(to, refusal());
                }
                Act::Internal => {}
                Act::Serve { id, by_key } => self.stay_ready(id, by_key),
                act => plan.push(to, act),
            }
        }
        plan
    }

    /// Answers an item that is not logged at its place. A refused EXEC ends its watches, as any.
    pub fn refuse(&mut self, plan: &mut Plan, next: Next<'_>, error: &str) {
        if matches!(next.work, Work::Transaction { .. }) {
            self.watches.finish((next.to.worker, next.to.connection), |_| true);
        }
        let mut args = EntryArgs::new();
        if matches!(next.work, Work::Write { .. } | Work::Blocking { .. } | Work::Read { .. })
            && EntryReader::read_single(next.encoded, &mut args).is_ok()
        {
            self.gauge.rejected(&args);
        }
        self.gauge.answered_error(error);
        plan.push(next.to, Act::Literal(format!("-{error}\r\n").into_bytes()));
    }

    /// Answers everybody in a plan that will not be run; `writes` is what became of its logged commands.
    pub fn fail_plan(&mut self, plan: Plan, writes: &str) {
        for Planned { to, act } in plan.acts {
            match act {
                Act::Internal => {}
                Act::Forget => self.forget(to),
                Act::Unblock { with_error } => self.unblock(to, with_error),
                Act::Serve { id, .. } => {
                    if let Some(waiter) = self.waiters.remove(id) {
                        self.end_overtaken_waiter(waiter, writes);
                    }
                }
                Act::Literal(bytes) => self.answer_with(to, |reply| reply.raw(&bytes)),
                Act::Write | Act::Blocking(_) | Act::Transaction(_) => self.answer_overtaken(to, writes),
                Act::Read { .. } | Act::ReadOrWait(_) | Act::Probe(_) | Act::Watch { .. } => {
                    self.gauge.answered_error(DID_NOT_HAPPEN);
                    self.answer_with(to, |reply| reply.error(DID_NOT_HAPPEN));
                }
            }
        }
    }
}

impl StateMachine for Machine {
    type Error = ApplyError;

    fn apply(&mut self, index: u64, term: u64, payload: &[u8]) -> Result<(), ApplyError> {
        self.apply_entry(index, term, payload)
    }

    fn apply_some(&mut self, entries: &[Committed<'_>]) -> Result<(), (u64, ApplyError)> {
        if entries.len() > 1 && self.nobody_looks() {
            return self.apply_unseen(entries);
        }
        entries.iter().try_for_each(|entry| {
            self.apply_entry(entry.index, entry.term, entry.payload).map_err(|error| (entry.index, error))
        })
    }

    fn restored(&mut self, index: u64) {
        assert!(self.in_flight.is_none(), "a follower has no plan in flight, and a leader restores nothing");
        assert!(index >= self.applied, "a checkpoint at {index} takes the place of data at {}", self.applied);
        self.applied = index;
        self.tell_all_stale();
    }

    fn readable_until(&mut self, until_ms: u64) {
        self.handle.set_readable_until(until_ms);
    }

    fn leadership_changed(&mut self, leadership: Leadership) {
        if leadership.role != Role::Leader || self.led_term != leadership.term {
            self.handle.set_readable_until(0);
            self.handle.set_primary(false);
            self.end_leadership();
        }
        self.board.set_leadership(&leadership);
        self.led_term = leadership.term;
        self.tell_all_stale();
        tracing::info!(role = ?leadership.role, term = leadership.term, leader = ?leadership.leader, "leadership changed");
    }

    fn append_begins(&mut self) {
        self.gauge.append_begins();
    }

    fn sync_begins(&mut self) {
        self.gauge.sync_begins();
    }

    fn sync_ended(&mut self, stats: &CommitStats) {
        *self.synced_ms.get_or_insert_default() += self.gauge.sync_ended(stats);
    }
}
