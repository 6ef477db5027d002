//! The clients that wait in a blocking command, and those that watch keys: how they begin, are served, and end.
//!
//! A waiter is answered once: served inside the apply step that made its key ready, or ended by its timeout, by CLIENT UNBLOCK, by
//! its connection's end or by the end of leadership.

use super::Machine;
use crate::apply::{Applier, ApplyError, EntryRun};
use crate::command::context::Stamp;
use crate::command::families::statistic_index;
use crate::command::{Args, Blocking, Command, ReadContext, stream};
use crate::keyspace::entry::Entry;
use crate::keyspace::value::{ValueRef, ValueType};
use crate::keyspace::view::LockSet;
use crate::metrics::Outcome;
use crate::planted::{Bug, planted};
use crate::propose::entry::{EntryArgs, EntryReader};
use crate::propose::reply::ConnectionId;
use crate::protocol::reply::Reply;
use crate::shard::machine::UNBLOCKED_BY_CLIENT;
use crate::shard::plan::{Addressee, Waiting};
use crate::shard::waiters::{StreamsAwaited, WaitKey, Waiter, WaiterId};

/// Capacity that is kept for the replies of clients that waited.
const MAX_SCRATCH_BYTES: usize = 1 << 20;

impl Machine {
    pub(super) fn run_blocking(
        &mut self,
        run: &mut EntryRun<'_>,
        to: Addressee,
        waiting: Waiting,
    ) -> Result<(), ApplyError> {
        let (replies, most) = (&mut self.replies[to.worker], self.handle.reply_limit());
        let run = |reply: &mut Reply<'_>| self.applier.run_single(run, reply);
        let (ran, answers) = replies.answer_if_written(to.connection, to.resp, most, run);
        ran?;
        if !answers {
            self.take_back_count(waiting.command);
            self.wait(to, waiting)?;
        }
        Ok(())
    }

    /// Lets a client wait whose keys were not ready when its plan was made; if one is by now, its turn comes at once.
    pub(super) fn probe(&mut self, stamp: Stamp, to: Addressee, waiting: Waiting) -> Result<(), ApplyError> {
        let ready = self.is_ready(&waiting.encoded, waiting.command, stamp)?;
        let id = self.wait(to, waiting)?;
        if ready {
            self.ready.add_waiter(id);
        }
        Ok(())
    }

    /// Runs a waiter's command. A key of another type than it waits for leaves it waiting; anything else that is wrong
    /// (the destination of a move) is answered.
    pub(super) fn serve(
        &mut self,
        run: &mut EntryRun<'_>,
        id: WaiterId,
        by_key: Option<usize>,
    ) -> Result<(), ApplyError> {
        let Some(waiter) = self.waiters.get(id) else {
            // Its client is gone; the log has its command all the same.
            return self.applier.run_single(run, &mut Reply::sink(&mut Vec::new(), Default::default()));
        };
        let to = waiter.addressee();
        self.actor = to;
        let is_its_turn = by_key.is_none_or(|nth| {
            self.ready_elements(&waiter.keys[nth], run.stamp())
                .is_some_and(|(value_type, _)| value_type == waiter.blocking.waits_for)
        });
        self.scratch.clear();
        let mut reply = Reply::bounded(&mut self.scratch, to.resp, self.handle.reply_limit());
        self.applier.run_single(run, &mut reply)?;
        let is_cut = reply.is_over();
        self.note_slow(to);
        if !is_its_turn || self.scratch.is_empty() && !is_cut {
            if let Some(waiter) = self.waiters.get(id) {
                self.take_back_count(waiter.command);
            }
            return Ok(());
        }
        if self.scratch.starts_with(b"-") {
            // It took nothing: who waits behind it may.
            waiter_keys(self.waiters.get(id)).for_each(|key| self.ready.add_key(key.clone()));
        }
        self.waiters.remove(id);
        let encoded = std::mem::take(&mut self.scratch);
        self.answer_with(to, |reply| if is_cut { reply.give_up() } else { reply.raw(&encoded) });
        self.scratch = encoded;
        self.scratch.shrink_to(MAX_SCRATCH_BYTES);
        Ok(())
    }

    /// A command ran and its client waits still: it counts once, when it is answered.
    pub(in crate::shard) fn take_back_count(&mut self, command: &Command) {
        self.applier.effects.executed.take_back(statistic_index(&[command.name.as_bytes()]));
    }

    /// The connection is gone, or watches nothing any more.
    pub fn forget(&mut self, to: Addressee) {
        self.waiters.remove_of_connection(to.worker, to.connection);
        self.watches.finish((to.worker, to.connection), |_| true);
    }

    /// Lets a connection's waiter go without serving it.
    pub fn unblock(&mut self, to: Addressee, with_error: bool) {
        let Some(waiter) = self.waiters.remove_of_connection(to.worker, to.connection) else { return };
        if with_error {
            self.gauge.answered_error(UNBLOCKED_BY_CLIENT);
            self.end_waiter(waiter, Outcome::Failed, |reply| reply.error(UNBLOCKED_BY_CLIENT));
        } else {
            self.end_waiter(waiter, Outcome::Done, Blocking::write_nothing);
        }
    }

    /// Ends the waits that are refused, by connection and command; the client is answered the reason. True where the plan in flight may serve
    /// one of them, which has to be asked about again.
    pub fn end_refused_waiters(
        &mut self,
        refusal: impl Fn((usize, ConnectionId), &Args<'_>) -> Option<String>,
    ) -> bool {
        let (plan, mut is_spared) = (self.in_flight.as_ref().map(|flying| &flying.plan), false);
        let refused = self.waiters.take_refused(|id, waiter| {
            let mut args = EntryArgs::new();
            EntryReader::read_single(&waiter.encoded, &mut args).ok()?;
            let why = refusal((waiter.worker, waiter.connection), &args)?;
            let may_be_served = plan.is_some_and(|plan| plan.serves(id));
            is_spared |= may_be_served;
            (!may_be_served).then_some(why)
        });
        for (waiter, why) in refused {
            self.gauge.answered_error(&why);
            self.end_waiter(waiter, Outcome::Rejected, |reply| reply.error(&why));
        }
        is_spared
    }

    pub(in crate::shard) fn wait(&mut self, to: Addressee, waiting: Waiting) -> Result<WaiterId, ApplyError> {
        let Waiting { command, encoded, deadline_ms } = waiting;
        let (keys, feeds, streams) = {
            let mut args = EntryArgs::new();
            let db = EntryReader::read_single(&encoded, &mut args)?;
            let key = |place: usize| (db, args[place].to_vec());
            let keys: Vec<WaitKey> = command.awaited_places(&args).map(key).collect();
            let feeds = command.key_places(&args).skip(keys.len()).map(key).collect();
            let streams = match command.is_write() {
                true => stream::awaited_group(&args).map(|group| StreamsAwaited::Group(group.into())),
                false => stream::read_behind(&args).map(StreamsAwaited::Behind),
            };
            (keys, feeds, streams)
        };
        let blocking = command.blocking.ok_or(ApplyError::PlanMismatch)?;
        let Addressee { worker, connection, resp, tracks } = to;
        let streams = streams.filter(|_| blocking.reads_streams);
        let waiter = Waiter {
            worker,
            connection,
            resp,
            tracks,
            command,
            blocking,
            encoded,
            deadline_ms,
            keys,
            feeds,
            streams,
        };
        // From here on changes are recorded: the waiter may be served by this very entry's next command.
        self.applier.effects.record_touched = true;
        Ok(self.waiters.add(waiter))
    }

    pub(super) fn watch(&mut self, stamp: Stamp, to: Addressee, db: usize, keys: &[Box<[u8]>]) {
        for key in keys {
            let alive = is_alive(&self.applier, db, key, stamp);
            self.watches.add((to.worker, to.connection), (db, key.to_vec()), alive);
        }
        self.applier.effects.record_touched = true;
        self.answer_with(to, |reply| reply.ok());
    }

    /// Whether one of the keys that a blocking command waits for holds anything. XREADGROUP changes its group in any case.
    pub fn is_ready(&self, encoded: &[u8], command: &Command, stamp: Stamp) -> Result<bool, ApplyError> {
        if command.blocking.is_some_and(|blocking| blocking.reads_streams) {
            return Ok(true);
        }
        let mut args = EntryArgs::new();
        let db = EntryReader::read_single(encoded, &mut args)?;
        Ok(command.awaited_places(&args).any(|place| is_alive(&self.applier, db, args[place], stamp)))
    }

    /// How many clients that wait as this one does in XREADGROUP may be answered now.
    pub fn group_reads_ready(&self, waiter: &Waiter, stamp: Stamp) -> usize {
        let mut args = EntryArgs::new();
        let Ok(db) = EntryReader::read_single(&waiter.encoded, &mut args) else { return 0 };
        let view = self.applier.keyspace().read(waiter.command.lock_set(&args));
        stream::group_reads_ready(&ReadContext::new(&view, db, stamp.now_ms, 0), &args)
    }

    /// The type of what a key holds, and how many elements.
    pub fn ready_elements(&self, (db, key): &WaitKey, stamp: Stamp) -> Option<(ValueType, usize)> {
        let view = self.applier.keyspace().read(LockSet::of_key(key));
        let value = ReadContext::new(&view, *db, stamp.now_ms, 0).entry(key).map(Entry::value)?;
        Some((value.value_type(), if let ValueRef::Object(object) = value { object.len() } else { 1 }))
    }

    /// Ends a connection's watches; true if an EXEC under them must not run.
    pub fn finish_watch(&mut self, to: Addressee, stamp: Stamp) -> bool {
        let applier = &self.applier;
        let changed =
            self.watches.finish((to.worker, to.connection), |(db, key)| is_alive(applier, *db, key, stamp));
        planted!(Bug::IgnoreWatches, false, changed)
    }

    pub(super) fn end_overtaken_waiter(&mut self, waiter: Waiter, error: &str) {
        let to = waiter.addressee();
        self.gauge.ended_waiting(waiter.command, Outcome::Failed);
        self.answer_overtaken(to, error);
    }

    /// Answers a waiter without serving it.
    pub fn end_waiter(&mut self, waiter: Waiter, outcome: Outcome, write: impl FnOnce(&mut Reply<'_>)) {
        let to = waiter.addressee();
        self.gauge.ended_waiting(waiter.command, outcome);
        self.answer_with(to, write);
    }

    /// Not while a plan is in flight, which may be about to serve them; nor, if the next entry `may_serve`, a waiter that is
    /// ready: an element that came in time is there for it.
    pub fn end_timed_out_waiters(&mut self, may_serve: bool) {
        if self.has_in_flight() {
            return;
        }
        let ready = &self.ready;
        let is_spared = |id, keys: &[WaitKey]| may_serve && ready.may_serve(id, keys);
        for waiter in self.waiters.take_timed_out(self.now_ms, is_spared) {
            self.end_waiter(waiter, Outcome::Done, Blocking::write_nothing);
        }
    }

    /// A waiter is not served now; its turn comes again.
    pub(super) fn stay_ready(&mut self, id: WaiterId, by_key: Option<usize>) {
        let key = by_key.and_then(|nth| self.waiters.get(id)?.keys.get(nth));
        match key.cloned() {
            Some(key) => self.ready.add_key(key),
            None => self.ready.add_waiter(id),
        }
    }
}

pub(super) fn is_alive(applier: &Applier, db: usize, key: &[u8], stamp: Stamp) -> bool {
    let view = applier.keyspace().read(LockSet::of_key(key));
    ReadContext::new(&view, db, stamp.now_ms, 0).exists(key)
}

fn waiter_keys(waiter: Option<&Waiter>) -> impl Iterator<Item = &WaitKey> {
    waiter.into_iter().flat_map(|waiter| &waiter.keys)
}
