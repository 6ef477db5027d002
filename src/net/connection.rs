//! One client's connection: reads requests, hands them to its session, sends what is answered.
//!
//! - Requests are parsed where they were read; only an unfinished one is kept. What is kept is bounded by the request limits.
//! - While too much is unanswered or unsent, nothing more is served: a client that does not read its replies stops being served.
//! - Requests are served in bursts of bounded time; others go in between, the driver of the log first if it could not turn for a while.
//!   A request that waits for others ends its burst; what was read before it under the lease is confirmed before it is sent.
//! - While nothing is served, a little is read all the same, so that the end of the stream is seen. Who hangs up while it
//!   waits in a blocking command, or is paused, is gone; anybody else's requests are served to the last.
//! - Answers from the log come and leave beside it (`answers.rs`). It never wakes itself.

use std::rc::Rc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::net::tcp::OwnedReadHalf;

use super::answers::{Connection, LOOK_AGAIN, PAUSE_OUTPUT_BYTES};
use super::hold::Hold;
use super::look_ahead::LookAhead;
use super::migrate;
use super::reading::{InputClaim, Read, read_some};
use super::upstream::Upstream;
use super::worker::Worker;
use crate::admin::client::{Blocked, Delay};
use crate::command::Args;
use crate::config::value::OnDoubt;
use crate::env::Now;
use crate::protocol::reply::Reply;
use crate::protocol::request::{Parse, RequestLimits, RequestParser};
use crate::session::{ExecEnd, Session, Verdict};

/// Bytes read ahead of what is served. Behind them the end of the stream is seen only once it fits into the socket's buffer.
const READ_AHEAD_BYTES: usize = 1 << 20;
/// The same two of a connection that has not authenticated, how long all its requests are, and how long it may take.
const UNAUTHENTICATED_OUTPUT_BYTES: usize = 1024;
const UNAUTHENTICATED_READ_AHEAD_BYTES: usize = 16 << 10;
const UNAUTHENTICATED_REQUEST_BYTES: usize = 64 << 10;
const AUTHENTICATION_TIMEOUT_MS: u64 = 10_000;
/// How long a connection serves requests at once. It looks after so many commands, a power of two, and after each that may take long.
const BURST_MS: u64 = 20;
const LOOK_AT_CLOCK_AFTER: u64 = 64;
/// How long a connection waits before it offers a request again to a log whose queue is full.
const FULL_RETRY: Duration = Duration::from_millis(1);
/// How long reads whose lease ran out wait before they look at it again.
const LEASE_RETRY: Duration = Duration::from_millis(2);
/// For how long they wait at most: a lease that has not come by then may never come.
const LEASE_PATIENCE_MS: u64 = 10_000;

/// For how long a connection that ends waits at most: for answers that it is owed, and for its client to take them.
const CLOSING_PATIENCE: Duration = Duration::from_secs(5);

/// Why a connection ends.
enum End {
    Closed,
    OutputLimit(OutputLimit),
}

/// Which limit of unsent bytes was reached.
struct OutputLimit {
    name: &'static str,
    bytes: u64,
}

/// A connection's task.
pub struct ConnectionTask {
    worker: Rc<Worker>,
    connection: Rc<Connection>,
    reader: OwnedReadHalf,
    session: Session,
    parser: RequestParser,
    look_ahead: LookAhead,
    /// Bytes read and not yet consumed.
    input: Vec<u8>,
    claim: InputClaim,
    /// Bytes of input before which parsing can't get further.
    input_wanted: usize,
    /// The client sends nothing more.
    ended: bool,
    upstream: Option<Upstream>,
    hold: Hold,
    over_soft_limit_since_ms: Option<u64>,
    commands: u64,
    /// As CLIENT LIST shows it.
    delayed: Option<Delay>,
    /// The leadership epoch in which the burst of requests at hand began.
    epoch: u64,
    /// Monotonic time by which the client must have authenticated, while it has not.
    authenticate_by_ms: Option<u64>,
    /// Of its requests before it authenticated.
    stranger_bytes: usize,
}

/// What the requests at hand led to.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Progress {
    /// Everything is consumed but the beginning of a request.
    NeedInput,
    /// Requests are left that must wait for answers.
    Paused,
    /// Requests are left that must wait because too much is unanswered or unsent.
    HeldUp,
    /// Requests are left that the session does not let begin yet.
    Delayed,
    /// Requests are left, and others go first.
    GivesWay,
    Full,
    Close,
}

impl ConnectionTask {
    pub fn new(
        worker: Rc<Worker>,
        connection: Rc<Connection>,
        reader: OwnedReadHalf,
        session: Session,
    ) -> Self {
        ConnectionTask {
            authenticate_by_ms: None,
            stranger_bytes: 0,
            claim: InputClaim::new(session.shared.inputs.clone()),
            worker,
            connection,
            reader,
            session,
            parser: RequestParser::new(),
            look_ahead: LookAhead::default(),
            input: Vec::new(),
            input_wanted: 0,
            ended: false,
            upstream: None,
            hold: Hold::default(),
            over_soft_limit_since_ms: None,
            commands: 0,
            delayed: None,
            epoch: 0,
        }
    }

    /// Serves until the connection ends.
    pub async fn run(mut self) {
        let end = self.serve().await;
        self.finish_exec().await;
        if let End::OutputLimit(OutputLimit { name, bytes }) = end {
            self.session.shared.metrics.clients.cut_off.inc();
            tracing::warn!(
                client = self.connection.info.id,
                limit = name,
                bytes,
                "output buffer limit reached: connection closed"
            );
        }
        self.session.finish();
        self.worker.remove(self.connection.id);
    }

    async fn serve(&mut self) -> End {
        let mut progress = Progress::NeedInput;
        loop {
            if self.connection.broken.get() || self.connection.info.killed.load(Ordering::Acquire) {
                return End::Closed;
            }
            if !self.session.look_at_user() {
                return End::Closed;
            }
            if let Some(limit) = self.reached_output_limit() {
                return End::OutputLimit(limit);
            }
            if self.connection.line.borrow().is_lost {
                return self.close_in_doubt().await;
            }
            // A stranger that keeps talking never gets to wait for its time to be over.
            if self.left_to_authenticate().is_some_and(|left| left.is_zero()) {
                return End::Closed;
            }
            if self.ended && (progress == Progress::Delayed || self.connection.line.borrow().blocking) {
                return End::Closed;
            }
            match progress {
                Progress::NeedInput if self.ended && !self.connection.line.borrow().has_unanswered() => {
                    return self.close_gently().await;
                }
                Progress::Close => return self.close_gently().await,
                Progress::Full => tokio::time::sleep(FULL_RETRY).await,
                Progress::GivesWay => tokio::task::yield_now().await,
                // Sending made room; others go first all the same.
                Progress::HeldUp if !self.is_held_up() || self.has_answered_exec() => {
                    tokio::task::yield_now().await;
                }
                Progress::NeedInput | Progress::Paused | Progress::HeldUp | Progress::Delayed => {
                    if !self.wait(progress).await {
                        return End::Closed;
                    }
                }
            }
            progress = self.work().await;
            self.note_delay((progress == Progress::Delayed).then(|| self.session.delayed_by()));
            self.flush();
        }
    }

    /// Waits for what has to come before there is more to do: input, answers, room to write. False at the end of the
    /// connection.
    async fn wait(&mut self, progress: Progress) -> bool {
        let unsent = self.connection.unsent();
        let want_input = progress == Progress::NeedInput && !self.ended && !self.is_overloaded();
        let authenticated = self.session.client.authenticated;
        let most_ahead = if authenticated { READ_AHEAD_BYTES } else { UNAUTHENTICATED_READ_AHEAD_BYTES };
        let read_ahead = !self.ended && self.input.len() < most_ahead;
        let deaf = !self.ended && !want_input && !read_ahead;
        self.connection.paused.set(!want_input);
        let look_again = self.over_soft_limit_since_ms.is_some();
        let waits_for_primary = self.waits_for_primary();
        let left_to_authenticate = self.left_to_authenticate();
        let Self { worker, connection, reader, input, upstream, session, .. } = self;
        let idle = session.shared.config.timeout_s();
        let idle_ends = idle > 0 && !session.client.is_listener() && want_input;
        tokio::select! {
            biased;
            read = read_some(worker, reader, input), if want_input || read_ahead => match read {
                Read::Some => {}
                Read::End => self.ended = true,
                Read::Broken => return false,
            },
            () = connection.info.wake.notified() => {}
            () = connection.writable(), if unsent > 0 => tokio::task::yield_now().await,
            () = Upstream::ready(upstream), if unsent <= PAUSE_OUTPUT_BYTES => {}
            () = Upstream::may_be_outdated(upstream, &session.shared), if waits_for_primary => {}
            hung_up = connection.hung_up(), if deaf => return !hung_up,
            () = session.delay_ends(), if progress == Progress::Delayed => {}
            () = after(LOOK_AGAIN), if look_again => {}
            () = after(Duration::from_secs(idle)), if idle_ends => return false,
            () = after(left_to_authenticate.unwrap_or_default()), if left_to_authenticate.is_some() => return false,
        }
        true
    }

    /// How long the client may still take to authenticate, where it has to.
    fn left_to_authenticate(&mut self) -> Option<Duration> {
        if self.session.client.authenticated {
            self.authenticate_by_ms = None;
            return None;
        }
        let now_ms = self.session.shared.clock.monotonic_ms();
        let by_ms = *self.authenticate_by_ms.get_or_insert(now_ms + AUTHENTICATION_TIMEOUT_MS);
        Some(Duration::from_millis(by_ms.saturating_sub(now_ms)))
    }

    fn note_delay(&mut self, delayed: Option<Delay>) {
        if self.delayed != delayed {
            self.delayed = delayed;
            self.connection.info.details.lock().delayed = delayed;
        }
    }

    /// Does what CLIENT UNBLOCK asked for, where it is for the connection to do.
    fn attend_unblock(&mut self) {
        let Some(with_error) = self.connection.info.take_unblock() else { return };
        let blocked = self.connection.line.borrow().blocked();
        if !self.session.unblock(with_error)
            && blocked == Blocked::OnPrimary
            && let Some(upstream) = &self.upstream
        {
            upstream.unblock(&self.session.shared, with_error);
        }
    }

    fn waits_for_primary(&self) -> bool {
        self.upstream.is_some() && self.connection.line.borrow().forwarded > 0
    }

    fn is_overloaded(&self) -> bool {
        self.connection.is_overloaded()
            || self.upstream.as_ref().is_some_and(|upstream| upstream.relay.is_behind())
    }

    /// Does what can be done: answers of the primary, then requests.
    async fn work(&mut self) -> Progress {
        let began_ns = self.begin_work().await;
        self.attend_unblock();
        self.attend_upstream();
        self.run_local_steps();
        if self.connection.broken.get() || self.session.client.close_after_reply {
            return Progress::Close;
        }
        let mut input = std::mem::take(&mut self.input);
        self.connection.count_input(input.capacity());
        let mut parser = std::mem::take(&mut self.parser);
        let mut consumed = 0;
        let progress = self.take_requests(&mut parser, &input, &mut consumed).await;
        self.parser = parser;
        input.drain(..consumed);
        self.claim.release(&mut input);
        self.input = input;
        let progress = if progress == Progress::NeedInput { self.make_room() } else { progress };
        self.connection.count_input(self.input.capacity());
        let ended_ns = self.session.shared.clock.monotonic_ns();
        self.confirm_reads(ended_ns / 1_000_000).await;
        if self.commands > 0 {
            self.account(ended_ns - began_ns, consumed);
        }
        progress
    }

    /// Makes room for more of an unfinished request; where there is none, what came before it is answered, and then the client is told.
    fn make_room(&mut self) -> Progress {
        let memory = &self.session.shared.shard.memory;
        match self.claim.reserve(&mut self.input, self.input_wanted, memory) {
            Ok(()) => Progress::NeedInput,
            Err(_) if self.connection.line.borrow().has_unanswered() => Progress::Paused,
            Err(error) => {
                self.refuse(&error);
                Progress::Close
            }
        }
    }

    /// Brings an EXEC that was answered nearer to its end.
    fn run_local_steps(&mut self) {
        let exec_end = self.session.finish_exec(&mut self.connection.line.borrow_mut());
        if exec_end == ExecEnd::Unintelligible {
            self.give_up("an EXEC's answer does not fit what was sent");
        }
    }

    /// Finishes an EXEC that is under way, whatever ends its connection: its local steps are carried out with the others, or none is.
    async fn finish_exec(&mut self) {
        if self.connection.line.borrow().exec.is_some() {
            let _ = tokio::time::timeout(CLOSING_PATIENCE, self.exec_is_answered()).await;
        }
        while self.has_answered_exec() {
            self.run_local_steps();
            tokio::task::yield_now().await;
        }
    }

    async fn exec_is_answered(&mut self) {
        self.connection.paused.set(true);
        loop {
            self.attend_upstream();
            if self.has_answered_exec() || !self.connection.line.borrow().has_unanswered() {
                return;
            }
            let has_room = self.connection.unsent() <= PAUSE_OUTPUT_BYTES;
            tokio::select! {
                () = self.connection.info.wake.notified() => {}
                () = Upstream::ready(&self.upstream), if has_room => {}
            }
        }
    }

    /// If the lease ran out before the reads at hand were done, at the monotonic time `done_ms`, they may be stale. They are
    /// sent once the lease holds again within the same leadership: then a majority has acknowledged this leader since, and
    /// nobody else can have led before. If leadership is lost instead, or no lease comes, the client hears of a broken connection.
    async fn confirm_reads(&mut self, done_ms: u64) {
        let (shard, clock) = (&self.session.shared.shard, &self.session.shared.clock);
        let is_confirmed = shard.is_readable_at(done_ms) && shard.leadership_epoch() == self.epoch;
        if !self.session.leaned_on_lease || is_confirmed {
            return;
        }
        self.connection.held.set(true);
        let patient_until_ms = clock.monotonic_ms() + LEASE_PATIENCE_MS;
        loop {
            let now_ms = clock.monotonic_ms();
            let is_confirmed = shard.is_readable_at(now_ms);
            if shard.leadership_epoch() != self.epoch {
                self.give_up("leadership ended before its reads were confirmed");
                break;
            }
            if is_confirmed {
                break;
            }
            if now_ms >= patient_until_ms {
                self.give_up("no lease confirmed its reads for ten seconds");
                break;
            }
            tokio::time::sleep(LEASE_RETRY).await;
        }
        self.connection.held.set(false);
    }

    /// Begins a burst, once the driver of the log has turned if it shares the loop and could not for a while.
    async fn begin_work(&mut self) -> u64 {
        let began_ns = self.begin_burst();
        if !self.gives_way_to_driver() {
            return began_ns;
        }
        self.session.shared.shard.driver_wake.notify_one();
        tokio::task::yield_now().await;
        self.begin_burst()
    }

    fn gives_way_to_driver(&self) -> bool {
        self.worker.index == 0 && self.session.shared.shard.is_turn_overdue(self.session.now.monotonic_ms)
    }

    /// Whether the burst at hand has taken long enough.
    fn has_worked_enough(&mut self) -> bool {
        let looks =
            std::mem::take(&mut self.session.ran_long) || self.commands.is_multiple_of(LOOK_AT_CLOCK_AFTER);
        looks && self.session.shared.clock.monotonic_ms() >= self.session.now.monotonic_ms + BURST_MS
    }

    /// Reads the clocks once for all requests at hand.
    fn begin_burst(&mut self) -> u64 {
        let began_ns = self.read_clocks();
        self.session.leaned_on_lease = false;
        let authenticated = self.session.client.authenticated;
        let most_unsent = if authenticated { PAUSE_OUTPUT_BYTES } else { UNAUTHENTICATED_OUTPUT_BYTES };
        self.connection.pause_output_bytes.set(most_unsent);
        let closes_on_doubt = self.session.shared.config.started_with().on_doubt == OnDoubt::Close;
        // Another node gets the error, and decides for its client.
        self.connection.line.borrow_mut().closes_on_doubt = closes_on_doubt && !self.session.client.forwarded;
        self.epoch = self.session.shared.shard.leadership_epoch();
        began_ns
    }

    fn read_clocks(&mut self) -> u64 {
        let clock = &self.session.shared.clock;
        let now_ns = clock.monotonic_ns();
        self.session.now = Now { monotonic_ms: now_ns / 1_000_000, unix_ms: clock.unix_ms() };
        now_ns
    }

    /// Sends the answers of the burst before its last request waits for others; reads under the lease are confirmed first. False
    /// if the connection was given up.
    async fn send_before_waiting(&mut self) -> bool {
        let now_ms = self.read_clocks() / 1_000_000;
        self.confirm_reads(now_ms).await;
        self.session.leaned_on_lease = false;
        self.flush();
        self.read_clocks();
        !self.connection.broken.get()
    }

    async fn take_requests(
        &mut self,
        parser: &mut RequestParser,
        input: &[u8],
        consumed: &mut usize,
    ) -> Progress {
        // A request that comes alone has nothing to be looked at together with.
        let mut looked_until = 1;
        loop {
            if self.is_held_up() {
                return Progress::HeldUp;
            }
            let limits = self.limits();
            if *consumed >= looked_until && *consumed < input.len() {
                looked_until = *consumed + self.look_ahead(&input[*consumed..], &limits);
            }
            match parser.parse(&input[*consumed..], &limits) {
                Parse::Incomplete { need_at_least } => {
                    self.input_wanted = need_at_least;
                    return Progress::NeedInput;
                }
                Parse::Nothing { consumed: bytes } => *consumed += bytes,
                // What came before is answered first.
                Parse::Error(_) if self.connection.line.borrow().has_unanswered() => return Progress::Paused,
                Parse::Error(error) => {
                    self.refuse(&format!("ERR {error}"));
                    return Progress::Close;
                }
                Parse::Command { consumed: bytes } => {
                    let args = parser.args().slices(&input[*consumed..]);
                    let verdict = self.session.take(&args, &mut self.connection.line.borrow_mut());
                    // The time of the burst is over once a request has waited for others.
                    let has_waited = match verdict {
                        Verdict::Taken => false,
                        Verdict::Wait => return Progress::Paused,
                        Verdict::Full => return Progress::Full,
                        Verdict::Delayed => return Progress::Delayed,
                        Verdict::Forward(what) => self.forward(what, &args).await,
                        Verdict::Migrate => {
                            self.migrate(&args).await;
                            true
                        }
                        Verdict::SendFile => {
                            self.send_file(&args).await;
                            true
                        }
                        Verdict::Await => {
                            self.await_answer(&args).await;
                            true
                        }
                    };
                    self.commands += 1;
                    *consumed += bytes;
                    if self.is_stranger_with_too_much(bytes) {
                        self.refuse("ERR too many requests before authentication");
                        return Progress::Close;
                    }
                    if self.session.client.close_after_reply {
                        return Progress::Close;
                    }
                    if has_waited || self.has_worked_enough() {
                        return Progress::GivesWay;
                    }
                }
            }
        }
    }

    /// Counts a request of one that has not authenticated; true once all of them are too long.
    fn is_stranger_with_too_much(&mut self, bytes: usize) -> bool {
        if self.session.client.authenticated {
            return false;
        }
        self.stranger_bytes += bytes;
        self.stranger_bytes > UNAUTHENTICATED_REQUEST_BYTES
    }

    fn look_ahead(&mut self, input: &[u8], limits: &RequestLimits) -> usize {
        let is_served_here = self.upstream.is_none() && self.session.client.authenticated;
        if !is_served_here {
            return input.len();
        }
        let keyspace = &self.session.shared.shard.keyspace;
        self.look_ahead.over(input, limits, keyspace, self.session.client.db)
    }

    fn is_held_up(&self) -> bool {
        let line = self.connection.line.borrow();
        let changes_primary =
            line.forwarded > 0 && self.upstream.as_ref().is_some_and(|upstream| upstream.relay.stale);
        line.barrier || line.is_cut || line.is_lost || changes_primary || self.is_overloaded()
    }

    fn has_answered_exec(&self) -> bool {
        self.connection.line.borrow().has_answered_exec()
    }

    fn limits(&self) -> RequestLimits {
        let authenticated = self.session.client.authenticated;
        let usual = RequestLimits::default();
        RequestLimits {
            max_bulk_bytes: self.session.shared.config.proto_max_bulk_len() as usize,
            max_request_bytes: if authenticated {
                usual.max_request_bytes
            } else {
                UNAUTHENTICATED_REQUEST_BYTES
            },
            authenticated,
        }
    }

    /// Carries out a MIGRATE. A client that is killed meanwhile keeps its keys, wherever they are.
    async fn migrate(&mut self, args: &Args<'_>) {
        if !self.send_before_waiting().await {
            return;
        }
        let packed = tokio::select! {
            packed = migrate::pack(&mut self.session, args) => packed,
            () = self.connection.killed() => return,
        };
        let mut migration = match packed {
            Ok(migration) => migration,
            Err(error) => {
                self.session.note_refused_migration(&error);
                return self.refuse(&error.to_string());
            }
        };
        let sent = tokio::select! {
            sent = migrate::send(&mut migration, &self.session.shared.run_id) => sent,
            () = self.connection.killed() => return,
        };
        let end = |task: &mut Self| {
            let mut line = task.connection.line.borrow_mut();
            task.session.end_migration(&migration, &sent, &mut line)
        };
        while end(self) == Verdict::Full {
            tokio::time::sleep(FULL_RETRY).await;
        }
    }

    /// Answers a command whose answer takes a while.
    async fn await_answer(&mut self, args: &Args<'_>) {
        if !self.send_before_waiting().await {
            return;
        }
        let answer = match self.session.begin_awaited(args) {
            Err(error) => Err(error),
            Ok(answering) => tokio::select! {
                answer = answering => answer,
                () = self.connection.killed() => return,
            },
        };
        self.session.end_awaited(answer, &mut self.connection.line.borrow_mut());
    }

    /// Ends a connection whose answers could be those of other commands, or untrue.
    fn give_up(&self, reason: &str) {
        tracing::warn!(client = self.connection.info.id, "{reason}: connection closed");
        self.connection.give_up();
    }

    fn refuse(&mut self, error: &str) {
        let mut line = self.connection.line.borrow_mut();
        if !line.is_muted() {
            Reply::new(&mut line.out, self.session.client.resp).error(error);
        }
        line.settle();
    }

    fn flush(&mut self) {
        if !self.connection.line.borrow().out.is_empty() {
            let sent = self.connection.flush();
            self.worker.lane.sent(sent);
        }
    }

    /// Counts what was taken, and wakes the driver if it was handed something.
    fn account(&mut self, took_ns: u64, consumed: usize) {
        let micros = took_ns / 1000 / self.commands;
        for (index, outcome) in self.session.ended.drain(..) {
            self.worker.lane.command(index, micros, outcome);
        }
        self.worker.lane.received(consumed);
        self.connection.info.taken_bytes.fetch_add(consumed as u64, Ordering::Relaxed);
        let line = self.connection.line.borrow();
        if line.pending > 0 {
            self.session.shared.shard.driver_wake.notify_one();
        }
        self.session.publish_details(&line, self.input.len(), self.commands);
        drop(line);
        self.commands = 0;
    }

    fn reached_output_limit(&mut self) -> Option<OutputLimit> {
        const SETTING: &str = "client-output-buffer-limit";
        let unsent = self.connection.unsent() as u64;
        let limits = self.session.shared.config.output_limits();
        let limit = if self.session.client.is_listener() { limits.pubsub } else { limits.normal };
        let hard_bytes = usize::try_from(limit.hard_bytes).ok().filter(|bytes| *bytes > 0);
        let longest = self.session.shared.shard.output_bounds.longest();
        self.connection.hard_limit.set(hard_bytes.unwrap_or(longest + PAUSE_OUTPUT_BYTES));
        if !self.session.client.authenticated && unsent > UNAUTHENTICATED_OUTPUT_BYTES as u64 {
            let bytes = UNAUTHENTICATED_OUTPUT_BYTES as u64;
            return Some(OutputLimit { name: "of clients that have not authenticated", bytes });
        }
        if self.connection.line.borrow().is_cut && hard_bytes.is_none_or(|bytes| bytes > longest) {
            return Some(OutputLimit {
                name: "a quarter of memory_guard, or 513 MiB",
                bytes: longest as u64,
            });
        }
        if self.connection.line.borrow().is_cut || limit.hard_bytes > 0 && unsent > limit.hard_bytes {
            return Some(OutputLimit { name: SETTING, bytes: limit.hard_bytes });
        }
        if limit.soft_bytes == 0 || unsent <= limit.soft_bytes {
            self.over_soft_limit_since_ms = None;
            return None;
        }
        let now_ms = self.session.shared.clock.monotonic_ms();
        let since_ms = *self.over_soft_limit_since_ms.get_or_insert(now_ms);
        let is_over = now_ms - since_ms > limit.soft_seconds * 1000;
        is_over.then_some(OutputLimit { name: SETTING, bytes: limit.soft_bytes })
    }

    /// Ends the connection in place of an answer that a change of the primary took away.
    async fn close_in_doubt(&mut self) -> End {
        self.session.shared.metrics.clients.closed_in_doubt.inc();
        tracing::debug!(
            client = self.connection.info.id,
            "the primary changed before an answer: connection closed"
        );
        self.close_gently().await
    }

    /// Sends what is still owed, within a bound, then closes.
    async fn close_gently(&mut self) -> End {
        self.finish_exec().await;
        let drained = async {
            while !self.connection.broken.get() {
                self.connection.flush();
                let unsent = self.connection.unsent() > 0;
                if !unsent && self.connection.line.borrow().pending == 0 {
                    break;
                }
                self.connection.paused.set(true);
                tokio::select! {
                    () = self.connection.info.wake.notified() => {}
                    () = self.connection.writable(), if unsent => {}
                }
            }
        };
        let _ = tokio::time::timeout(CLOSING_PATIENCE, drained).await;
        End::Closed
    }
}

/// A wait that looks at the clock only once it is waited for.
async fn after(duration: Duration) {
    tokio::time::sleep(duration).await;
}

mod forwarding;
mod sending;
#[cfg(test)]
mod tests;
