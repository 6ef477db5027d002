//! What a client is owed: answers and messages that come to its connection, and how they leave.
//!
//! - The worker puts in what the log answers, and writes it to the socket at once; the connection's task puts in the rest, and is
//!   woken only where something is left to it.
//! - A client that is sent messages though it reads nothing is cut off at its output limit.

use std::borrow::Cow;
use std::cell::{Cell, RefCell};
use std::io::ErrorKind;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::io::Interest;
use tokio::net::tcp::OwnedWriteHalf;

use crate::admin::client::{Blocked, ClientInfo};
use crate::memory::Buffers;
use crate::propose::reply::{ConnectionId, Span};
use crate::protocol::invalidation;
use crate::protocol::reply::MAX_REPLY_BYTES;
use crate::session::Line;

/// Unanswered requests of one connection.
const MAX_PENDING: u32 = 100_000;
/// Unsent bytes past which nothing more is read.
pub const PAUSE_OUTPUT_BYTES: usize = 1 << 20;
/// Unsent bytes of a client without an output limit, at most: one reply of the greatest length, and what was unsent before it.
const MAX_UNSENT_BYTES: usize = MAX_REPLY_BYTES + PAUSE_OUTPUT_BYTES;
/// Bytes written to a socket at once: a writer of a large reply lets others go in between.
const MAX_WRITE_BYTES: usize = 1 << 20;
/// How often a connection looks at what no event tells of.
pub const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// What the worker and the connection's task share.
pub struct Connection {
    pub id: ConnectionId,
    pub info: Arc<ClientInfo>,
    writer: OwnedWriteHalf,
    pub line: RefCell<Line>,
    /// Bytes at the start of the line's output that are sent.
    sent: Cell<usize>,
    /// The task waits for answers rather than for bytes.
    pub(super) paused: Cell<bool>,
    pub(super) broken: Cell<bool>,
    /// Nothing is sent: reads wait for the lease that they were done under.
    pub(super) held: Cell<bool>,
    /// Unsent bytes past which nothing more is kept.
    pub(super) hard_limit: Cell<usize>,
    /// Unsent bytes past which nothing more is served.
    pub(super) pause_output_bytes: Cell<usize>,
    /// Of all connections.
    buffers: Arc<Buffers>,
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.count_input(0);
        self.count_output(0);
    }
}

impl Connection {
    pub fn new(
        id: ConnectionId,
        info: Arc<ClientInfo>,
        writer: OwnedWriteHalf,
        buffers: Arc<Buffers>,
    ) -> Self {
        let (line, sent, paused, broken, held) = Default::default();
        let hard_limit = Cell::new(MAX_UNSENT_BYTES);
        let pause_output_bytes = Cell::new(PAUSE_OUTPUT_BYTES);
        Connection {
            id,
            info,
            writer,
            line,
            sent,
            paused,
            broken,
            held,
            hard_limit,
            pause_output_bytes,
            buffers,
        }
    }

    /// Takes in answers from the log, which has applied entries up to `applied`, or messages (no answers); true if there is
    /// something to send.
    pub fn answered(&self, bytes: &[u8], span: &Span, applied: u64) -> bool {
        let mut line = self.line.borrow_mut();
        let unsent = line.out.len() - self.sent.get() + line.waiting_message_bytes();
        let is_thrown_away = span.answers > 0 && line.is_muted();
        line.is_cut |= !is_thrown_away && (span.is_cut || unsent + bytes.len() > self.hard_limit.get());
        if span.answers == 0 {
            let bytes = match span.push {
                None => Some(Cow::Borrowed(bytes)),
                Some(route) => invalidation::delivered(bytes, route, line.push_form),
            };
            if let Some(bytes) = bytes.filter(|_| !line.is_cut) {
                line.message(&bytes);
            }
            return true;
        }
        if span.may_close {
            line.answer_overtaken(bytes);
        } else {
            line.answer(bytes);
        }
        line.pending -= span.answers;
        self.info.note_answer(applied);
        self.settle(&mut line);
        self.count_output(line.out.capacity());
        true
    }

    /// Counts the memory of what is read and not consumed.
    pub(super) fn count_input(&self, bytes: usize) {
        self.count(&self.info.input_bytes, bytes);
    }

    fn count_output(&self, bytes: usize) {
        self.count(&self.info.output_bytes, bytes);
    }

    fn count(&self, own: &AtomicU64, bytes: usize) {
        let bytes = bytes as u64;
        let before = own.swap(bytes, Ordering::Relaxed);
        if bytes > before {
            self.buffers.clients.fetch_add(bytes - before, Ordering::Relaxed);
        } else if bytes < before {
            self.buffers.clients.fetch_sub(before - bytes, Ordering::Relaxed);
        }
    }

    /// To be called after requests were answered.
    pub(super) fn settle(&self, line: &mut Line) {
        let waited = line.blocking;
        line.settle();
        if waited && !line.blocking {
            self.info.details.lock().blocked = Blocked::Nowhere;
        }
    }

    /// Sends some of what can be sent; returns the bytes sent.
    pub fn flush(&self) -> usize {
        if self.held.get() {
            return 0;
        }
        let mut line = self.line.borrow_mut();
        let start = self.sent.get();
        let sent = self.write(&line.out[start..]);
        let end = start + sent;
        if end == line.out.len() {
            line.out.clear();
            line.out.shrink_to(16 << 10);
            self.sent.set(0);
        } else if end > line.out.len() / 2 {
            line.out.drain(..end);
            self.sent.set(0);
        } else {
            self.sent.set(end);
        }
        self.count_output(line.out.capacity());
        self.info.sent_bytes.fetch_add(sent as u64, Ordering::Relaxed);
        self.info.unsent_bytes.store((line.out.len() - self.sent.get()) as u64, Ordering::Relaxed);
        sent
    }

    fn write(&self, bytes: &[u8]) -> usize {
        let bytes = &bytes[..bytes.len().min(MAX_WRITE_BYTES)];
        let mut sent = 0;
        while sent < bytes.len() {
            match self.writer.try_write(&bytes[sent..]) {
                Ok(more @ 1..) => sent += more,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Ok(_) | Err(_) => {
                    self.broken.set(true);
                    break;
                }
            }
        }
        sent
    }

    /// Sends what others brought; wakes the task if something is left to it. Returns the bytes sent.
    pub fn deliver(&self) -> usize {
        let sent = self.flush();
        if self.unsent() > 0 || self.paused.get() || self.broken.get() || self.is_over() {
            self.info.wake.notify_one();
        }
        sent
    }

    /// Whether it is to be closed for an answer that was left out.
    fn is_over(&self) -> bool {
        let line = self.line.borrow();
        line.is_cut || line.is_lost
    }

    pub(super) fn unsent(&self) -> usize {
        self.line.borrow().out.len() - self.sent.get()
    }

    pub(super) fn is_overloaded(&self) -> bool {
        let line = self.line.borrow();
        line.pending > MAX_PENDING || line.forwarded > MAX_PENDING || !self.has_room(&line)
    }

    pub(super) fn has_room(&self, line: &Line) -> bool {
        line.out.len() - self.sent.get() <= self.pause_output_bytes.get()
    }

    /// Ends the connection without sending what is left.
    pub(super) fn give_up(&self) {
        self.line.borrow_mut().out.clear();
        self.sent.set(0);
        self.broken.set(true);
    }

    /// Looks, after a while, whether the client has hung up although it sent more than is read.
    pub(super) async fn hung_up(&self) -> bool {
        tokio::time::sleep(LOOK_AGAIN).await;
        let ready = self.writer.as_ref().ready(Interest::READABLE).await;
        ready.map_or(true, |ready| ready.is_read_closed())
    }

    /// Waits for CLIENT KILL.
    pub(super) async fn killed(&self) {
        while !self.info.killed.load(Ordering::Acquire) {
            self.info.wake.notified().await;
        }
    }

    /// Sends all there is, as fast as the client takes it.
    pub async fn send_the_rest(&self) {
        while self.unsent() > 0 && !self.broken.get() && !self.held.get() {
            self.writable().await;
            self.flush();
        }
    }

    pub(super) async fn writable(&self) {
        if self.writer.writable().await.is_err() {
            self.broken.set(true);
        }
    }
}
