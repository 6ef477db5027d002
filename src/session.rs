//! The gates before a command runs, and the way it then takes.
//!
//! - Gates, in order: is there such a command, does it have the right number of arguments, may this client send it (password,
//!   subscriber's state), is the client paused, is a transaction gathering.
//! - Ways: a local command runs on the spot; a read runs on the spot where this node may answer it, else rides behind to apply
//!   or goes to the primary; a write goes into the worker's batch, or to the primary.
//! - Replies keep the order of requests: while a request of the connection is unanswered, later replies queue behind it as
//!   passengers of the log, and what can't be queued waits ([`Verdict::Wait`]).
//!
//! A session does no input or output; its connection does.

mod awaited;
mod blocking;
mod delay;
#[cfg(test)]
mod docs_page;
mod forward;
mod group_changes;
mod http;
mod line;
mod migrate;
mod parameters;
mod permissions;
mod reply_size;
mod scripts;
mod show;
mod slow;
pub mod table;
mod tracking;
mod transaction;
mod unknown;

use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::admin::LocalContext;
use crate::admin::client::{Client, ReplyMode};
use crate::admin::shared::Shared;
use crate::admin::table::{SessionCommand, TableRow, Way};
use crate::apply::read_in;
use crate::command::reads::ReadKeys;
use crate::command::spec::Flags;
use crate::command::{Args, Blocking, Command, CommandError, Handler, ScriptCall};
use crate::env::Now;
use crate::loading::REFUSAL;
use crate::metrics::Outcome;
use crate::pause::Paused;
use crate::planted::{Bug, planted};
use crate::propose::batch::{Batch, Work};
use crate::protocol::reply::{Reply, Resp};
use crate::pubsub::Kind;
use crate::shard::deaths::FREE_EXPIRED;
use crate::shard::plan::Addressee;
use crate::shard::port::{Port, PushByPort};
use blocking::OnceEach;
pub use forward::Forward;
pub use group_changes::{GroupChanges, changes_group};
pub use line::{Line, Mute};
pub use migrate::Sent;
pub use permissions::{first_users, open_default};
use table::{NO_COMMAND, lookup, table};
pub use tracking::Begun;
use transaction::exec_aborted;
pub use transaction::{ExecEnd, SentTransaction};
use unknown::{unknown_command, unknown_subcommand};

/// What the connection has to do about a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing: it is answered, or will be.
    Taken,
    /// Offer it again once nothing is pending any more.
    Wait,
    /// Offer it again soon: the log's queue is full, or the lease has just run out.
    Full,
    /// Offer it again once [`Session::delay_ends`].
    Delayed,
    /// Send it to the primary.
    Forward(Forward),
    /// Wait for the answer: [`Session::begin_awaited`] and what follows.
    Await,
    /// Carry out the migration: [`Session::begin_migration`] and what follows.
    Migrate,
    /// Send an RDB file, and end the connection.
    SendFile,
}

/// What a replica answers to reads while it has not yet applied all that it had before its restart.
const CATCHING_UP: &str =
    "LOADING this replica has not yet caught up with what it had before it was restarted";

pub struct Session {
    pub client: Client,
    pub shared: Arc<Shared>,
    port: Arc<Port>,
    /// The time of the burst of requests at hand.
    pub now: Now,
    /// The primary answered reads by its lease in this burst: it must still hold once they are answered.
    pub leaned_on_lease: bool,
    /// A command has run whose time its arguments do not bound.
    pub ran_long: bool,
    /// The client caches what the request at hand reads.
    tracks: bool,
    /// Wrong passwords of the client that it was delayed for, and the monotonic time until which the last delays it.
    penalty: (u32, u64),
    /// A WAIT that is delayed.
    ack_wait: Option<delay::AckWait>,
    group_changes: group_changes::Awaited,
    /// For picks of reading commands.
    seed: u64,
    /// The place in the statistics of the request that was taken last.
    index: usize,
    /// Commands that ended on this worker since the statistics were last taken: place in the statistics, and outcome.
    pub ended: Vec<(usize, Outcome)>,
}

impl Session {
    pub fn new(client: Client, shared: Arc<Shared>, seed: u64) -> Self {
        let port = shared.shard.ports[client.worker].clone();
        Session {
            client,
            shared,
            port,
            now: Now::default(),
            leaned_on_lease: false,
            ran_long: false,
            tracks: false,
            penalty: (0, 0),
            ack_wait: None,
            group_changes: group_changes::Awaited::default(),
            seed,
            index: 0,
            ended: Vec::new(),
        }
    }

    /// Takes one request; `args` is not empty.
    pub fn take(&mut self, args: &Args<'_>, line: &mut Line) -> Verdict {
        debug_assert!(!args.is_empty(), "a request has a name");
        debug_assert!(
            line.pending == 0 || line.forwarded == 0,
            "answers come in the order of requests: what the log has and what the primary has never mix"
        );
        if self.is_penalized() {
            return Verdict::Delayed;
        }
        if self.client.reply_mode == ReplyMode::SkipNext {
            self.take_unheard(args, line)
        } else {
            self.take_one(args, line)
        }
    }

    /// Takes the request whose reply CLIENT REPLY SKIP leaves out.
    fn take_unheard(&mut self, args: &Args<'_>, line: &mut Line) -> Verdict {
        if line.has_unanswered() {
            return Verdict::Wait;
        }
        (self.client.reply_mode, line.mute) = (ReplyMode::On, Mute::Next);
        let verdict = self.take_one(args, line);
        match verdict {
            Verdict::Taken if !line.has_unanswered() => line.settle(),
            Verdict::Taken | Verdict::Forward(_) | Verdict::Migrate | Verdict::SendFile | Verdict::Await => {
                line.barrier = true;
            }
            Verdict::Wait | Verdict::Full | Verdict::Delayed => {
                (self.client.reply_mode, line.mute) = (ReplyMode::SkipNext, Mute::Nothing);
            }
        }
        verdict
    }

    fn take_one(&mut self, args: &Args<'_>, line: &mut Line) -> Verdict {
        if !self.look_at_user() {
            // The connection ends before anything more is taken.
            return Verdict::Wait;
        }
        match self.gate(args) {
            Ok(row) => {
                self.begin_tracking();
                let verdict = self.pause(row, args).unwrap_or_else(|| self.carry_out(row, args, line));
                self.note_request(row.command, args, verdict);
                self.spend_caching(row, verdict);
                verdict
            }
            Err(error) => {
                self.spend_caching_on_refused();
                self.reject(&error, args, line)
            }
        }
    }

    /// Answers a request that is not carried out. A rejected EXEC ends its transaction, any other request spoils it.
    fn reject(&mut self, error: &str, args: &Args<'_>, line: &mut Line) -> Verdict {
        if line.forwarded > 0 {
            return Verdict::Wait;
        }
        if http::is_http(args[0]) {
            self.hang_up_on_browser();
            return Verdict::Taken;
        }
        let is_exec = lookup(args[0]).is_some_and(|row| row.session() == Some(SessionCommand::Exec));
        let error = if is_exec { Cow::Owned(exec_aborted(error)) } else { Cow::Borrowed(error) };
        self.note(self.index, Outcome::Rejected, error.split(' ').next());
        if is_exec {
            return self.end_transaction(line, |reply| reply.error(&*error));
        }
        if let Some(transaction) = &mut self.client.transaction {
            transaction.broken = true;
        }
        self.answer(line, |reply| reply.error(&*error));
        Verdict::Taken
    }

    /// Counts a command that ended here.
    fn note(&mut self, index: usize, outcome: Outcome, error_code: Option<&str>) {
        self.ended.push((index, outcome));
        error_code.into_iter().for_each(|code| self.shared.metrics.error(code));
    }

    fn gate(&mut self, args: &Args<'_>) -> Result<&'static TableRow, String> {
        self.index = NO_COMMAND;
        let row = lookup(args[0]).filter(|row| row.is_told());
        let mut row = row.ok_or_else(|| unknown_command(args))?;
        self.index = row.index;
        if let Some(name) = args.get(1)
            && !row.subcommands.is_empty()
        {
            row = row.subcommand(name).ok_or_else(|| unknown_subcommand(row.command, name))?;
            self.index = row.index;
        }
        let command = row.command;
        if !command.arity_fits(args.len()) || matches!(row.way, Way::Container) {
            return Err(format!("ERR wrong number of arguments for '{}' command", row.full_name));
        }
        if !self.client.authenticated && !command.flags.contains(Flags::NO_AUTH) {
            return Err("NOAUTH Authentication required.".into());
        }
        if !command.flags.contains(Flags::NO_AUTH) {
            self.permit(row, args)?;
        }
        if self.client.monitors && uses_data(command) {
            return Err("ERR Replica can't interact with the keyspace".to_owned());
        }
        if self.is_limited_to_subscriptions() && !command.flags.contains(Flags::WHILE_SUBSCRIBED) {
            return Err(format!(
                "ERR Can't execute '{}': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are allowed in this context",
                row.full_name
            ));
        }
        if self.shared.shard.loading.is_under_way() && !may_run_while_loading(row) {
            return Err(REFUSAL.to_owned());
        }
        self.wait_for_users(row, args)?;
        Ok(row)
    }

    fn is_limited_to_subscriptions(&self) -> bool {
        self.client.resp == Resp::V2 && self.client.is_subscriber()
    }

    fn carry_out(&mut self, row: &'static TableRow, args: &Args<'_>, line: &mut Line) -> Verdict {
        let gathering = self.client.transaction.is_some();
        let verdict = self.route(row, args, line);
        if self.shared.monitors.are_there() {
            self.show_taken(row, args, gathering, verdict);
        }
        verdict
    }

    fn route(&mut self, row: &'static TableRow, args: &Args<'_>, line: &mut Line) -> Verdict {
        use SessionCommand as Known;
        let gathers = self.client.transaction.is_some();
        let Way::Session(known, _) = row.way else {
            return match row.command.script {
                _ if gathers => self.queue(row, args, line),
                Some(ScriptCall::ByText) => self.eval(row, args, line),
                Some(ScriptCall::ByDigest) => self.eval_sha(row, args, line),
                Some(ScriptCall::Function) => self.fcall(row, args, line),
                None => self.route_ordinary(row, args, line),
            };
        };
        let outcome = if self.fails_at_once(known) { Outcome::Failed } else { Outcome::Done };
        let verdict = match known {
            Known::Multi => self.multi(line),
            Known::Exec => self.exec(line),
            Known::Discard => self.discard(line),
            Known::Watch => self.watch(args, line),
            Known::Quit | Known::Reset => return self.run_local(row, args, line),
            _ if gathers => return self.queue(row, args, line),
            Known::Unwatch => self.unwatch(line),
            Known::Migrate => return self.migrate(line),
            Known::Mark => return self.mark(args, line),
            Known::Sync => return if line.has_unanswered() { Verdict::Wait } else { Verdict::SendFile },
            Known::SetUser => return self.set_user(args, line),
            Known::DeleteUsers => return self.delete_users(args, line),
            Known::SetParameters => return self.set_parameters(row, args, line),
            Known::ScriptLoad | Known::ScriptFlush | Known::ChangeFunctions => {
                return self.change_scripts(row, args, line);
            }
            Known::WaitForAcks => return self.wait_for_acks(row, args, line),
            Known::Select
            | Known::Hello
            | Known::ReplyMode
            | Known::Subscription
            | Known::Monitor
            | Known::Publish
            | Known::Unblock
            | Known::LogIndex
            | Known::ShardPublish => return self.route_ordinary(row, args, line),
        };
        let ended = (verdict == Verdict::Taken).then_some(outcome);
        ended.into_iter().for_each(|outcome| self.note(self.index, outcome, None));
        verdict
    }

    fn route_ordinary(&mut self, row: &'static TableRow, args: &Args<'_>, line: &mut Line) -> Verdict {
        let command = row.command;
        match row.way {
            Way::Data => match command.handler_for(args) {
                Handler::Read(_) => self.run_read(command, args, line),
                Handler::Write(_) => self.propose(command, args, line),
                Handler::None => Verdict::Taken,
            },
            Way::Local(_) | Way::Session(..) if self.goes_to_primary(command) => self.forward_or_refuse(line),
            Way::Local(_) | Way::Session(..) => self.run_local(row, args, line),
            Way::Awaited(_) => Session::take_awaited(line),
            Way::Container => Verdict::Taken,
        }
    }

    fn run_local(&mut self, row: &'static TableRow, args: &Args<'_>, line: &mut Line) -> Verdict {
        let ordered = row.command.flags.contains(Flags::ORDERED) && line.pending > 0;
        if ordered || line.forwarded > 0 || line.has_enough_waiting() {
            return Verdict::Wait;
        }
        if self.waits_for_group_changes(row) {
            return Verdict::Delayed;
        }
        let mut encoded = Vec::new();
        let fits = self.call_local(row, args, &mut encoded, self.reply_limit());
        line.push_form = self.client.push_form();
        line.is_cut |= !fits && !line.is_muted();
        match row.session() {
            Some(SessionCommand::Reset) => {
                if self.client.watching_epoch.take().is_some() {
                    self.push(Work::Forget);
                }
                self.adopt_reply_mode(line);
            }
            Some(SessionCommand::ReplyMode) => self.adopt_reply_mode(line),
            // Nothing is pending.
            Some(SessionCommand::Subscription) => {
                line.out.extend_from_slice(&encoded);
                return Verdict::Taken;
            }
            _ => {}
        }
        self.answer(line, |reply| reply.raw(&encoded));
        Verdict::Taken
    }

    fn adopt_reply_mode(&self, line: &mut Line) {
        line.mute = match self.client.reply_mode {
            // The next request is taken as one whose reply is left out.
            ReplyMode::On | ReplyMode::SkipNext => Mute::Nothing,
            ReplyMode::Off => Mute::Everything,
        };
    }

    /// The most bytes that a reply may have.
    pub(super) fn reply_limit(&self) -> usize {
        self.shared.shard.reply_limit()
    }

    /// Runs a local command, whose reply has at most `most` bytes; false if that was too few.
    fn call_local(&mut self, row: &TableRow, args: &Args<'_>, out: &mut Vec<u8>, most: usize) -> bool {
        let (Way::Local(handler) | Way::Session(_, handler)) = row.way else { return true };
        let command = row.command;
        self.ran_long = true;
        let resp = self.client.resp;
        let timer = self.start_timer(command);
        let mut context = LocalContext { client: &mut self.client, shared: &self.shared, table: table() };
        let mut reply = Reply::bounded(out, resp, most);
        let start = reply.position();
        let error = handler(&mut context, args, &mut reply).err();
        if let Some(error) = &error {
            reply.rewind(start);
            reply.error(error.to_string());
        }
        let fits = !reply.is_over();
        let reply_bytes = reply.position();
        self.stop_timer(timer, command, args, reply_bytes);
        self.note_end(row.index, error);
        fits
    }

    fn note_end(&mut self, index: usize, error: Option<CommandError>) {
        match error {
            None => self.note(index, Outcome::Done, None),
            Some(error) => self.note(index, Outcome::Failed, Some(&error.code())),
        }
    }

    fn run_read(&mut self, command: &'static Command, args: &Args<'_>, line: &mut Line) -> Verdict {
        if let Some(blocking) = command.blocking.filter(|blocking| blocking.waits(args)) {
            return self.run_blocking(command, blocking, args, line);
        }
        let shard = &self.shared.shard;
        let primary = shard.is_primary();
        // As in Redis, a replica does not run what may write, though it may only read with these arguments.
        if !primary && (!self.reads_here() || command.is_write()) {
            return self.forward_or_refuse(line);
        }
        if !primary && !shard.has_caught_up() {
            // The primary's answer would be newer than this node's next one.
            return self.refuse_here(line, CATCHING_UP);
        }
        if line.forwarded > 0 {
            return Verdict::Wait;
        }
        let readable = !primary || shard.is_readable_at(self.now.monotonic_ms);
        if line.pending > 0 || !readable {
            return self.enqueue_read(command, args, line);
        }
        let timer = self.start_timer(command);
        let (locks, known) = command.locks(args);
        let view = shard.keyspace.read(locks);
        if !primary && !shard.has_caught_up() {
            // All data is being replaced: who has the lock knows.
            drop(view);
            return self.refuse_here(line, CATCHING_UP);
        }
        self.seed = self.seed.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let stamp_ms = shard.stamp_ms();
        let now_ms = shard.reading_ms(self.now);
        let reads = ReadKeys::wanted(self.tracks && command.script.is_some());
        let context = self.reader(&view, command, now_ms).knowing(known).noting_reads(&reads);
        let context = if primary { context.settled_until(stamp_ms) } else { context };
        let (start, most) = (line.out.len(), if line.is_muted() { 0 } else { shard.reply_limit() });
        let mut reply = Reply::bounded(&mut line.out, self.client.resp, most);
        let error = read_in(&context, command, args, &mut reply);
        self.ran_long |= command.cost.measure().is_some() || command.script.is_some();
        let is_cut = reply.is_over() && most > 0;
        let unsettled = context.met_unsettled().map(|(db, key)| (db, key.to_vec()));
        self.remember_reads(command, args, &reads);
        drop(view);
        match unsettled {
            Some(dead) if self.may_settle() => {
                line.out.truncate(start);
                return self.read_behind_death(dead, command, args, line);
            }
            Some(_) if primary => shard.note_told(now_ms),
            _ => {}
        }
        self.leaned_on_lease |= primary;
        self.stop_timer(timer, command, args, line.out.len().saturating_sub(start));
        if is_cut {
            line.out.truncate(start);
            match self.shared.shard.output_bounds.refusal() {
                Some(refusal) => {
                    self.shared.metrics.error(refusal.split(' ').next().unwrap_or_default());
                    Reply::new(&mut line.out, self.client.resp).error(&refusal);
                }
                None => line.is_cut = true,
            }
        }
        self.note_end(self.index, error);
        Verdict::Taken
    }

    fn may_settle(&self) -> bool {
        let is_paused = self.shared.shard.pause.at(self.now.monotonic_ms) != Paused::Nothing;
        planted!(Bug::TellUnsettledDeaths, false, !is_paused)
    }

    /// Lets a read be answered behind an entry that frees a key, which the read would have been the first to find dead.
    fn read_behind_death(
        &mut self,
        (db, key): (usize, Vec<u8>),
        command: &'static Command,
        args: &Args<'_>,
        line: &mut Line,
    ) -> Verdict {
        let port = self.port.clone();
        let mut batch = port.batch.lock();
        if self.takes_nothing(&batch) {
            return Verdict::Full;
        }
        let bytes = batch.encode_single(db, &[FREE_EXPIRED, &key]);
        batch.push(Addressee::NOBODY.connection, Resp::V2, Work::Internal { bytes });
        drop(batch);
        self.enqueue_read(command, args, line)
    }

    fn enqueue_read(&mut self, command: &'static Command, args: &Args<'_>, line: &mut Line) -> Verdict {
        let Some(owed_bytes) = self.owed_by_read(line, command, args) else { return Verdict::Wait };
        let verdict = self.enqueue(line, args, |bytes| Work::Read { bytes, command });
        if verdict == Verdict::Taken {
            line.owed_bytes = line.owed_bytes.saturating_add(owed_bytes);
        }
        verdict
    }

    fn propose(&mut self, command: &'static Command, args: &Args<'_>, line: &mut Line) -> Verdict {
        if !self.shared.shard.is_primary() {
            return match command.blocking.filter(|blocking| blocking.waits(args)) {
                Some(_) => self.forward_blocking(line),
                None => self.forward_or_refuse(line),
            };
        }
        if line.forwarded > 0 {
            return Verdict::Wait;
        }
        let argc = args.len() as u32;
        let Some(blocking) = command.blocking.filter(|blocking| blocking.waits(args)) else {
            return self.enqueue(line, args, |bytes| Work::Write { bytes, command, argc });
        };
        self.begin_blocking(command, blocking, args, line)
    }

    /// A command that only reads and may wait: the primary lets it wait.
    fn run_blocking(
        &mut self,
        command: &'static Command,
        blocking: Blocking,
        args: &Args<'_>,
        line: &mut Line,
    ) -> Verdict {
        if !self.shared.shard.is_primary() {
            return self.forward_blocking(line);
        }
        if line.forwarded > 0 {
            return Verdict::Wait;
        }
        self.begin_blocking(command, blocking, args, line)
    }

    fn begin_blocking(
        &mut self,
        command: &'static Command,
        blocking: Blocking,
        args: &Args<'_>,
        line: &mut Line,
    ) -> Verdict {
        let timeout_ms = (blocking.check)(args).and_then(|()| blocking.timeout_ms(args));
        match timeout_ms {
            Err(error) => self.refuse_here(line, &error.to_string()),
            Ok(timeout_ms) => self.propose_blocking(command, timeout_ms, args, line),
        }
    }

    fn propose_blocking(
        &mut self,
        command: &'static Command,
        timeout_ms: Option<i64>,
        args: &Args<'_>,
        line: &mut Line,
    ) -> Verdict {
        let now_ms = self.now.monotonic_ms as i64;
        let deadline_ms = timeout_ms.map(|timeout| now_ms.saturating_add(timeout));
        let once = OnceEach::of(command, args);
        let once = once.as_ref().map(OnceEach::args);
        let args = once.as_deref().unwrap_or(args);
        let argc = args.len() as u32;
        let verdict = self.enqueue(line, args, |bytes| Work::Blocking { bytes, command, argc, deadline_ms });
        (line.barrier, line.blocking) = (verdict == Verdict::Taken, verdict == Verdict::Taken);
        verdict
    }

    /// The connection is gone: ends what it left with the log and with the registry of subscribers.
    pub fn finish(&mut self) {
        if !self.shared.shard.loading.is_under_way() {
            self.push(Work::Forget);
            self.shared.shard.driver_wake.notify_one();
        }
        let subscriber = (self.client.worker, self.client.connection);
        let client = &self.client;
        let names = [
            (Kind::Channel, &client.channels),
            (Kind::Pattern, &client.patterns),
            (Kind::Shard, &client.shard_channels),
        ];
        for (kind, names) in names {
            names.iter().for_each(|name| self.shared.pubsub.unsubscribe(kind, name, subscriber));
        }
        self.shared.monitors.remove(subscriber);
        self.shared.clients.remove(client.info.id);
        let shard = &self.shared.shard;
        shard.tracking.forget(subscriber, &mut PushByPort(&shard.ports));
    }

    /// Whether the log takes nothing for now: too much waits for it, or another node is about to lead.
    fn takes_nothing(&self, batch: &Batch) -> bool {
        batch.is_full() || self.shared.shard.handovers.holds_requests()
    }

    fn enqueue(&mut self, line: &mut Line, args: &Args<'_>, work: impl FnOnce(usize) -> Work) -> Verdict {
        let mut batch = self.port.batch.lock();
        if self.takes_nothing(&batch) {
            return Verdict::Full;
        }
        debug_assert!(
            line.forwarded == 0,
            "what goes to the log would be answered before what went to the primary"
        );
        let bytes = batch.encode_single(self.client.db, args);
        let work = work(bytes);
        if !matches!(work, Work::Read { .. }) {
            line.longest_written = line.longest_written.max(bytes);
        }
        batch.push_for((self.client.connection, self.client.resp, self.tracks), work);
        line.pending += 1;
        Verdict::Taken
    }

    /// Lets a command of the server's own be logged for the client.
    fn enqueue_own(&mut self, line: &mut Line, args: &Args<'_>) -> Verdict {
        let Some(TableRow { command, .. }) = lookup(args[0]) else {
            return self.refuse_here(line, &unknown_command(args));
        };
        self.enqueue(line, args, |bytes| Work::Write { bytes, command, argc: args.len() as u32 })
    }

    fn push(&mut self, work: Work) {
        self.port.batch.lock().push(self.client.connection, self.client.resp, work);
    }

    fn answer_here(&mut self, line: &mut Line, write: impl FnOnce(&mut Reply<'_>)) -> Verdict {
        if line.forwarded > 0 {
            return Verdict::Wait;
        }
        self.answer(line, write);
        Verdict::Taken
    }

    /// Answers an error that no handler has returned, and counts it.
    pub(super) fn refuse(&mut self, line: &mut Line, error: &str) {
        self.count_error(error);
        self.answer(line, |reply| reply.error(error));
    }

    /// As [`refuse`](Self::refuse), once what went to the primary is answered.
    pub(super) fn refuse_here(&mut self, line: &mut Line, error: &str) -> Verdict {
        if line.forwarded > 0 {
            return Verdict::Wait;
        }
        self.refuse(line, error);
        Verdict::Taken
    }

    /// Counts an error reply by its first word.
    pub fn count_error(&self, error: &str) {
        self.shared.metrics.error(error.split(' ').next().unwrap_or_default());
    }

    /// Answers now, or behind what is pending.
    fn answer(&mut self, line: &mut Line, write: impl FnOnce(&mut Reply<'_>)) {
        if line.pending == 0 {
            let start = line.out.len();
            let mut reply = Reply::bounded(&mut line.out, self.client.resp, self.reply_limit());
            write(&mut reply);
            line.is_cut |= reply.is_over() && !line.is_muted();
            if line.is_muted() || line.is_cut {
                line.out.truncate(start);
            }
            return;
        }
        let mut encoded = Vec::new();
        write(&mut Reply::new(&mut encoded, self.client.resp));
        line.waiting_bytes += encoded.len();
        self.push(Work::Literal(encoded));
        line.pending += 1;
    }

    /// Brings what CLIENT LIST shows up to date.
    pub fn publish_details(&self, line: &Line, query_buffer_bytes: usize, commands: u64) {
        let client = &self.client;
        client.info.last_active_ms.store(self.shared.clock.monotonic_ms(), Ordering::Relaxed);
        let mut details = client.info.details.lock();
        client.write_details(&mut details);
        details.blocked = line.blocked();
        details.query_buffer_bytes = query_buffer_bytes;
        details.commands += commands;
        details.last_command = table().statistic_name(self.index);
    }
}

/// Redis lets those through that have the flag. What needs the log waits here as well, for nobody turns it yet.
fn may_run_while_loading(row: &TableRow) -> bool {
    let needs_log =
        !row.is_local() || matches!(row.session(), Some(SessionCommand::Exec | SessionCommand::Watch));
    row.command.flags.contains(Flags::LOADING) && !needs_log
}

/// What Redis lets no replica and no monitor send.
fn uses_data(command: &Command) -> bool {
    command.uses_keyspace() || command.flags.contains(Flags::MAY_REPLICATE)
}
