//! One client's connection: reads requests, hands them to its session, sends what is answered.
//!
//! - Requests are parsed where they were read; only an unfinished one is kept. What is kept is bounded by the request limits.
//! - While too much is unanswered or unsent, nothing more is read: a client that does not read its replies stops being
//!   served, and one that is sent messages all the same (a subscriber) is cut off at its output limit.
//! - Answers from the log are written to the socket by whoever delivers them; the connection's own task is woken only
//!   where it has something to do about them.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::io::{AsyncRead, ReadBuf};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};

use super::upstream::Upstream;
use super::worker::Worker;
use crate::client::ClientInfo;
use crate::command::Args;
use crate::propose::reply::ConnectionId;
use crate::protocol::reply::Reply;
use crate::protocol::request::{Parse, RequestLimits, RequestParser};
use crate::session::{Forward, Line, Session, Verdict};
use crate::shard::machine::IN_DOUBT;
use crate::shard::turn::Now;

/// Unanswered requests of one connection.
const MAX_PENDING: u32 = 100_000;
/// Unsent bytes past which nothing more is read.
const PAUSE_OUTPUT_BYTES: usize = 1 << 20;
/// Bytes written to a socket at once: a writer of a large reply lets others go in between.
const MAX_WRITE_BYTES: usize = 1 << 20;
/// How long a connection waits before it offers a request again to a log whose queue is full.
const FULL_RETRY: Duration = Duration::from_millis(1);

/// What the worker and the connection's task share.
pub struct Connection {
    pub id: ConnectionId,
    pub info: Arc<ClientInfo>,
    writer: OwnedWriteHalf,
    pub line: RefCell<Line>,
    /// The task waits for answers rather than for bytes.
    paused: Cell<bool>,
    broken: Cell<bool>,
}

impl Connection {
    pub fn new(id: ConnectionId, info: Arc<ClientInfo>, writer: OwnedWriteHalf) -> Self {
        let (line, paused, broken) = Default::default();
        Connection { id, info, writer, line, paused, broken }
    }

    /// Takes in answers from the log, or messages; true if there is something to send.
    pub fn answered(&self, bytes: &[u8], answers: u32) -> bool {
        let mut line = self.line.borrow_mut();
        if answers == 0 {
            line.out.extend_from_slice(bytes);
            return true;
        }
        line.answer(bytes);
        line.pending -= answers;
        let waited = line.barrier;
        line.settle();
        if waited && !line.barrier {
            self.info.details.lock().blocked = false;
        }
        true
    }

    /// Sends what can be sent; returns the bytes sent. Wakes the task if something is left to it.
    pub fn flush(&self) -> usize {
        let mut line = self.line.borrow_mut();
        let mut sent = 0;
        while sent < line.out.len() {
            let end = line.out.len().min(sent + MAX_WRITE_BYTES);
            match self.writer.try_write(&line.out[sent..end]) {
                Ok(0) => self.broken.set(true),
                Ok(bytes) => {
                    sent += bytes;
                    continue;
                }
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
                Err(_) => self.broken.set(true),
            }
            break;
        }
        if sent == line.out.len() {
            line.out.clear();
            line.out.shrink_to(16 << 10);
        } else {
            line.out.drain(..sent);
        }
        if !line.out.is_empty() || self.paused.get() || self.broken.get() {
            self.info.wake.notify_one();
        }
        sent
    }

    async fn writable(&self) {
        if self.writer.writable().await.is_err() {
            self.broken.set(true);
        }
    }
}

/// Why a connection ends.
enum End {
    Closed,
    OutputLimit,
}

/// A connection's task.
pub struct ConnectionTask {
    worker: Rc<Worker>,
    connection: Rc<Connection>,
    reader: OwnedReadHalf,
    session: Session,
    parser: RequestParser,
    /// Bytes read and not yet consumed.
    input: Vec<u8>,
    upstream: Option<Upstream>,
    over_soft_limit_since_ms: Option<u64>,
    commands: u64,
}

/// What the requests at hand led to.
enum Progress {
    /// Everything is consumed but the beginning of a request.
    NeedInput,
    /// Requests are left that must wait for answers.
    Paused,
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
            worker,
            connection,
            reader,
            session,
            parser: RequestParser::new(),
            input: Vec::new(),
            upstream: None,
            over_soft_limit_since_ms: None,
            commands: 0,
        }
    }

    /// Serves until the connection ends.
    pub async fn run(mut self) {
        let end = self.serve().await;
        if matches!(end, End::OutputLimit) {
            self.session.shared.metrics.clients.cut_off.inc();
            tracing::warn!(
                client = self.connection.info.id,
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
            if self.is_over_output_limit() {
                return End::OutputLimit;
            }
            match progress {
                Progress::Close => return self.close_gently().await,
                Progress::Full => tokio::time::sleep(FULL_RETRY).await,
                Progress::NeedInput | Progress::Paused => {
                    if !self.wait(matches!(progress, Progress::NeedInput)).await {
                        return End::Closed;
                    }
                }
            }
            progress = self.work().await;
            self.flush();
        }
    }

    /// Waits for input (if wanted), for answers, or for room to write. False at the end of the connection.
    async fn wait(&mut self, want_input: bool) -> bool {
        let (unsent, overloaded) = {
            let line = self.connection.line.borrow();
            (!line.out.is_empty(), line.pending > MAX_PENDING || line.out.len() > PAUSE_OUTPUT_BYTES)
        };
        let want_input = want_input && !overloaded;
        self.connection.paused.set(!want_input);
        let Self { worker, connection, reader, input, upstream, session, .. } = self;
        let idle = session.shared.config.timeout_s();
        let idle_ends = idle > 0 && !session.client.is_subscriber() && want_input;
        tokio::select! {
            biased;
            read = read_some(worker, reader, input), if want_input => return read,
            () = connection.info.wake.notified() => {}
            () = connection.writable(), if unsent => {}
            () = Upstream::readable(upstream), if upstream.is_some() => {}
            () = tokio::time::sleep(Duration::from_secs(idle)), if idle_ends => return false,
        }
        true
    }

    /// Does what can be done: answers of the primary, then requests.
    async fn work(&mut self) -> Progress {
        if self.upstream.is_some() && !self.receive_from_primary() {
            self.session.client.watching_epoch = self.session.client.watching_epoch.map(|_| u64::MAX);
            self.upstream = None;
        }
        let mut input = std::mem::take(&mut self.input);
        let mut parser = std::mem::take(&mut self.parser);
        let mut consumed = 0;
        let began_ns = self.begin_burst();
        let progress = self.take_requests(&mut parser, &input, &mut consumed).await;
        self.parser = parser;
        input.drain(..consumed);
        if input.is_empty() {
            input.shrink_to(0);
        }
        self.input = input;
        let ended_ns = self.session.shared.clock.monotonic_ns();
        if self.session.leaned_on_lease && !self.session.shared.shard.is_readable_at(ended_ns / 1_000_000) {
            // The process was held up between a look at the lease and a read: the reads at hand may be stale. Nothing
            // of them has been sent; the client hears of a broken connection instead.
            self.connection.line.borrow_mut().out.clear();
            self.connection.broken.set(true);
        }
        if self.commands > 0 {
            self.account(ended_ns - began_ns, consumed);
        }
        progress
    }

    /// Reads the clocks once for all requests at hand.
    fn begin_burst(&mut self) -> u64 {
        let clock = &self.session.shared.clock;
        let began_ns = clock.monotonic_ns();
        self.session.now = Now { monotonic_ms: began_ns / 1_000_000, unix_ms: clock.unix_ms() };
        self.session.leaned_on_lease = false;
        began_ns
    }

    async fn take_requests(
        &mut self,
        parser: &mut RequestParser,
        input: &[u8],
        consumed: &mut usize,
    ) -> Progress {
        loop {
            let overloaded = {
                let line = self.connection.line.borrow();
                line.barrier || line.pending > MAX_PENDING || line.out.len() > PAUSE_OUTPUT_BYTES
            };
            if overloaded {
                return Progress::Paused;
            }
            let limits = self.limits();
            match parser.parse(&input[*consumed..], &limits) {
                Parse::Incomplete { .. } => return Progress::NeedInput,
                Parse::Nothing { consumed: bytes } => *consumed += bytes,
                Parse::Error(error) => {
                    self.refuse(&format!("ERR {error}"));
                    return Progress::Close;
                }
                Parse::Command { consumed: bytes } => {
                    let args = parser.args().slices(&input[*consumed..]);
                    let verdict = self.session.take(&args, &mut self.connection.line.borrow_mut());
                    match verdict {
                        Verdict::Taken => {}
                        Verdict::Wait => return Progress::Paused,
                        Verdict::Full => return Progress::Full,
                        Verdict::Forward(what) => self.forward(what, &args).await,
                    }
                    self.commands += 1;
                    *consumed += bytes;
                    if self.session.client.close_after_reply {
                        return Progress::Close;
                    }
                }
            }
        }
    }

    fn limits(&self) -> RequestLimits {
        RequestLimits {
            max_bulk_bytes: self.session.shared.config.proto_max_bulk_len() as usize,
            authenticated: self.session.client.authenticated,
            ..RequestLimits::default()
        }
    }

    /// Sends a request to the primary, connecting to it first where need be; answers the error where that fails.
    async fn forward(&mut self, what: Forward, args: &Args<'_>) {
        if self.upstream.is_none() {
            match Upstream::connect(&self.session).await {
                Ok(upstream) => self.upstream = Some(upstream),
                Err(error) => {
                    if what == Forward::Transaction {
                        self.session.take_transaction();
                    }
                    self.refuse(&error.to_string());
                    return;
                }
            }
        }
        let Some(upstream) = &mut self.upstream else { return };
        let answers = match what {
            Forward::Request => upstream.send(&self.session.client, args),
            Forward::Transaction => {
                let queued = self.session.take_transaction();
                upstream.send_transaction(&self.session.client, &queued)
            }
        };
        self.connection.line.borrow_mut().forwarded += answers;
    }

    /// Passes on what the primary answered; false if the connection to it is lost.
    fn receive_from_primary(&mut self) -> bool {
        let Some(upstream) = &mut self.upstream else { return true };
        let mut line = self.connection.line.borrow_mut();
        let alive = upstream.transfer(&mut line);
        if !alive {
            for _ in 0..std::mem::take(&mut line.forwarded) {
                if !line.is_muted() {
                    Reply::new(&mut line.out, self.session.client.resp).error(IN_DOUBT);
                }
            }
            line.settle();
        }
        alive
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
        let line = self.connection.line.borrow();
        if line.pending > 0 {
            self.session.shared.shard.driver_wake.notify_one();
        }
        self.session.publish_details(&line, self.input.len(), self.commands);
        drop(line);
        self.commands = 0;
    }

    fn is_over_output_limit(&mut self) -> bool {
        let unsent = self.connection.line.borrow().out.len() as u64;
        let limits = self.session.shared.config.output_limits();
        let limit = if self.session.client.is_subscriber() { limits.pubsub } else { limits.normal };
        if limit.hard_bytes > 0 && unsent > limit.hard_bytes {
            return true;
        }
        if limit.soft_bytes == 0 || unsent <= limit.soft_bytes {
            self.over_soft_limit_since_ms = None;
            return false;
        }
        let now_ms = self.session.shared.clock.monotonic_ms();
        let since_ms = *self.over_soft_limit_since_ms.get_or_insert(now_ms);
        now_ms - since_ms > limit.soft_seconds * 1000
    }

    /// Sends what is still owed, within a bound, then closes.
    async fn close_gently(&mut self) -> End {
        let drained = async {
            while !self.connection.broken.get() {
                self.connection.flush();
                let (unsent, pending) = {
                    let line = self.connection.line.borrow();
                    (!line.out.is_empty(), line.pending > 0)
                };
                if unsent {
                    self.connection.writable().await;
                } else if pending {
                    self.connection.paused.set(true);
                    self.connection.info.wake.notified().await;
                } else {
                    break;
                }
            }
        };
        let _ = tokio::time::timeout(Duration::from_secs(5), drained).await;
        End::Closed
    }
}

/// Reads once; false at the end of the stream. What was read is appended to `input`.
async fn read_some(worker: &Worker, reader: &mut OwnedReadHalf, input: &mut Vec<u8>) -> bool {
    let read = std::future::poll_fn(|context| {
        let mut scratch = worker.scratch.borrow_mut();
        let mut buffer = ReadBuf::new(&mut scratch);
        let reader = std::pin::Pin::new(&mut *reader);
        reader.poll_read(context, &mut buffer).map(|result| {
            input.extend_from_slice(buffer.filled());
            result.is_ok() && !buffer.filled().is_empty()
        })
    });
    read.await
}
