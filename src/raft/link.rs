//! The connection on which a node sends to one peer: dialled by the sender, used in that direction only.
//!
//! - Frames are written at once by whoever flushes, with one system call per peer and flush; what the socket does not
//!   take waits in a buffer and is written by the link's task.
//! - The buffer is bounded. While it is full, or there is no connection, frames are dropped and the sender is told.
//! - A broken connection loses what waited, so the frames that do arrive are always in order. The link dials again, after
//!   a pause that doubles up to [`MAX_PAUSE`].

use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, BytesMut};
use parking_lot::Mutex;
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::time::{sleep, timeout};

use super::frame::Frame;
use super::hello::{ConnectionKind, Greeter, Hello, HelloError};
use super::identity::NodeId;
use super::socket;

const FIRST_PAUSE: Duration = Duration::from_millis(20);
const MAX_PAUSE: Duration = Duration::from_millis(500);
/// How long connecting and greeting may take.
const GREETING_TIMEOUT: Duration = Duration::from_secs(2);
/// A buffer that grew beyond this is given back once it is empty.
const KEPT_BUFFER_BYTES: usize = 1 << 20;

/// Where a link leads.
#[derive(Clone, Debug)]
pub(super) struct Target {
    pub peer: NodeId,
    /// host:port; the name is looked up anew for each attempt.
    pub address: String,
    pub kind: ConnectionKind,
}

/// One direction to one peer. Shared by the driver, which sends, and the link's task.
#[derive(Debug)]
pub(super) struct Link {
    pub target: Target,
    max_waiting_bytes: usize,
    outgoing: Mutex<Outgoing>,
    leftover: Notify,
}

#[derive(Debug, Default)]
struct Outgoing {
    stream: Option<Arc<TcpStream>>,
    waiting: BytesMut,
}

/// What a link's owner wants to know.
pub(super) trait LinkWatcher: Send + Sync + 'static {
    /// A peer was greeted.
    fn connected(&self, hello: &Hello);
    /// The connection broke.
    fn disconnected(&self, peer: NodeId);
}

impl Link {
    pub(super) fn new(target: Target, max_waiting_bytes: usize) -> Link {
        Link { target, max_waiting_bytes, outgoing: Mutex::default(), leftover: Notify::new() }
    }

    /// Takes a frame for the next flush; false if it was dropped.
    pub(super) fn push(&self, frame: &Frame) -> bool {
        let mut outgoing = self.outgoing.lock();
        if outgoing.stream.is_none() || outgoing.waiting.len() >= self.max_waiting_bytes {
            return false;
        }
        match frame.encode(&mut outgoing.waiting) {
            Ok(_) => true,
            Err(error) => {
                tracing::error!(peer = self.target.peer, %error, "a frame can't be sent");
                false
            }
        }
    }

    /// Writes what the socket takes now, and leaves the rest to the link's task.
    pub(super) fn flush(&self) {
        if !self.outgoing.lock().write_some() {
            self.leftover.notify_one();
        }
    }

    pub(super) fn is_connected(&self) -> bool {
        self.outgoing.lock().stream.is_some()
    }

    /// Dials, greets, and keeps the connection until it breaks; again and again, until the task is dropped.
    pub(super) async fn run(self: Arc<Link>, greeter: Greeter, watcher: Arc<dyn LinkWatcher>) {
        let mut pause = FIRST_PAUSE;
        let mut last_complaint = String::new();
        loop {
            match self.connect(&greeter).await {
                Ok((stream, hello)) => {
                    tracing::info!(peer = self.target.peer, kind = ?self.target.kind, "connected to peer");
                    watcher.connected(&hello);
                    self.keep(stream).await;
                    tracing::info!(peer = self.target.peer, kind = ?self.target.kind, "lost the connection to peer");
                    watcher.disconnected(self.target.peer);
                    pause = FIRST_PAUSE;
                    last_complaint.clear();
                }
                Err(error) => self.complain_once(&error, &mut last_complaint),
            }
            sleep(pause).await;
            pause = (pause * 2).min(MAX_PAUSE);
        }
    }

    async fn connect(&self, greeter: &Greeter) -> Result<(TcpStream, Hello), HelloError> {
        let Target { peer, address, kind } = &self.target;
        let dialled = timeout(GREETING_TIMEOUT, async {
            let mut stream = TcpStream::connect(address).await?;
            socket::prepare(&stream)?;
            let hello = greeter.dial(&mut stream, *kind, *peer).await?;
            Ok((stream, hello))
        });
        let too_slow = || std::io::Error::from(std::io::ErrorKind::TimedOut);
        dialled.await.unwrap_or_else(|_| Err(too_slow().into()))
    }

    fn complain_once(&self, error: &HelloError, last_complaint: &mut String) {
        let complaint = error.to_string();
        if complaint != *last_complaint {
            let Target { peer, address, .. } = &self.target;
            tracing::warn!(peer, %address, %error, "can't connect to peer; will keep trying");
            *last_complaint = complaint;
        }
    }

    async fn keep(&self, stream: TcpStream) {
        let stream = Arc::new(stream);
        self.outgoing.lock().stream = Some(stream.clone());
        tokio::select! {
            () = until_closed(&stream) => {}
            () = self.write_leftovers(&stream) => {}
        }
        *self.outgoing.lock() = Outgoing::default();
    }

    /// Ends when the connection is broken.
    async fn write_leftovers(&self, stream: &TcpStream) {
        loop {
            self.leftover.notified().await;
            loop {
                if stream.writable().await.is_err() {
                    return;
                }
                let mut outgoing = self.outgoing.lock();
                if outgoing.write_some() {
                    break;
                }
                if outgoing.stream.is_none() {
                    return;
                }
            }
        }
    }
}

/// Nothing comes back on this connection after the greeting; whatever does, or its end, ends it.
async fn until_closed(stream: &TcpStream) {
    loop {
        if stream.readable().await.is_err() {
            return;
        }
        match stream.try_read(&mut [0; 1]) {
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
            _ => return,
        }
    }
}

impl Outgoing {
    /// True when nothing is left. Without a stream something is left, so that the link's task sees that it is gone.
    fn write_some(&mut self) -> bool {
        while !self.waiting.is_empty() {
            let Some(stream) = &self.stream else {
                return false;
            };
            match stream.try_write(&self.waiting) {
                Ok(written) => self.waiting.advance(written),
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => return false,
                Err(_) => {
                    *self = Outgoing::default();
                    return false;
                }
            }
        }
        if self.waiting.capacity() > KEPT_BUFFER_BYTES {
            self.waiting = BytesMut::new();
        }
        true
    }
}
