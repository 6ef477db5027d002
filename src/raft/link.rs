//! The connection on which a node sends to one peer: dialled by the sender, used in that direction only.
//!
//! - Frames are written at once by the caller of `flush`, with one system call if they are short; what the socket does not take
//!   waits in lanes (`lanes.rs`) and is written by the link's task.
//! - The lanes are bounded. While a frame's lane is full, or there is no connection, it is dropped and the sender is told.
//! - The kernel holds little that it has not sent (`socket.rs`), so that a heartbeat overtakes the freight that waits here.
//! - A broken connection loses what waited, so the frames of a lane that do arrive are always in order. The link dials again, after
//!   a pause that doubles up to [`MAX_PAUSE`]; up to [`MAX_STRANGER_PAUSE`] where it was refused as a stranger, or at once when the peer itself
//!   has dialled and was let in.

use std::io::{ErrorKind, IoSlice};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::time::{sleep, timeout};

use super::frame::Frame;
use super::hello::{ConnectionKind, Greeter, Hello, HelloError};
use super::identity::NodeId;
use super::lanes::{LaneBounds, Lanes, MAX_SLICES};
use super::socket;

const FIRST_PAUSE: Duration = Duration::from_millis(20);
const MAX_PAUSE: Duration = Duration::from_millis(500);
/// The same where one of the two has refused the other for a reason that only an operator can change.
const MAX_STRANGER_PAUSE: Duration = Duration::from_secs(30);
/// How long connecting and greeting may take.
const GREETING_TIMEOUT: Duration = Duration::from_secs(2);

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
    bounds: LaneBounds,
    outgoing: Mutex<Outgoing>,
    leftover: Notify,
    /// The network to the peer is dead: dial again.
    dead: Arc<Notify>,
    /// Why one of the two has refused the other last; none once they are connected, or where the peer is not reached.
    refusal: Mutex<Option<String>>,
}

#[derive(Debug, Default)]
struct Outgoing {
    stream: Option<Arc<TcpStream>>,
    lanes: Lanes,
}

/// What became of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pushed {
    Taken,
    NotConnected,
    /// Its lane has no room; the others may have.
    LaneFull,
    /// It is longer than a frame may be.
    TooLong,
}

/// What a link's owner wants to know.
pub(super) trait LinkWatcher: Send + Sync + 'static {
    /// A peer was greeted.
    fn connected(&self, hello: &Hello);
    /// The connection broke; `timed_out` if the peer's system did not answer any more.
    fn disconnected(&self, peer: NodeId, timed_out: bool);
}

impl Link {
    /// `dead` is notified when the network to the peer is known to be dead.
    pub(super) fn new(target: Target, bounds: LaneBounds, dead: Arc<Notify>) -> Link {
        Link {
            target,
            bounds,
            outgoing: Mutex::default(),
            leftover: Notify::new(),
            dead,
            refusal: Mutex::default(),
        }
    }

    /// Takes a frame for the next flush, or drops it.
    pub(super) fn push(&self, frame: &Frame) -> Pushed {
        let mut outgoing = self.outgoing.lock();
        if outgoing.stream.is_none() {
            return Pushed::NotConnected;
        }
        match outgoing.lanes.push(frame, &self.bounds) {
            Ok(true) => Pushed::Taken,
            Ok(false) => Pushed::LaneFull,
            Err(error) => {
                tracing::error!(peer = self.target.peer, %error, "a frame can't be sent");
                Pushed::TooLong
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

    /// Why the greeting came to nothing last, where the peer, or another at its address, was reached.
    pub(super) fn refusal(&self) -> Option<String> {
        self.refusal.lock().clone()
    }

    /// Dials, greets, and keeps the connection until it breaks; again and again, until the task is dropped.
    pub(super) async fn run(self: Arc<Link>, greeter: Greeter, watcher: Arc<dyn LinkWatcher>) {
        let (mut pause, mut longest) = (FIRST_PAUSE, MAX_PAUSE);
        let mut last_complaint = String::new();
        let arrival = greeter.arrival_of(self.target.peer);
        loop {
            match self.connect(&greeter).await {
                Ok((stream, hello)) => {
                    tracing::info!(peer = self.target.peer, kind = ?self.target.kind, "connected to peer");
                    watcher.connected(&hello);
                    *self.refusal.lock() = None;
                    let timed_out = self.keep(stream).await;
                    tracing::info!(peer = self.target.peer, kind = ?self.target.kind, "lost the connection to peer");
                    watcher.disconnected(self.target.peer, timed_out);
                    pause = FIRST_PAUSE;
                    last_complaint.clear();
                }
                Err(error) => {
                    longest = if error.is_for_operators() { MAX_STRANGER_PAUSE } else { MAX_PAUSE };
                    *self.refusal.lock() = (!matches!(error, HelloError::Io(_))).then(|| error.to_string());
                    self.complain_once(&error, &mut last_complaint);
                }
            }
            tokio::select! {
                () = sleep(pause) => pause = (pause * 2).min(longest),
                () = arrival.notified() => pause = FIRST_PAUSE,
            }
        }
    }

    async fn connect(&self, greeter: &Greeter) -> Result<(TcpStream, Hello), HelloError> {
        let Target { peer, address, kind } = &self.target;
        let dialled = timeout(GREETING_TIMEOUT, async {
            let mut stream = TcpStream::connect(address).await?;
            socket::prepare(&stream, *kind)?;
            let hello = greeter.dial(&mut stream, *kind, *peer).await?;
            Ok((stream, hello))
        });
        let too_slow = || std::io::Error::from(ErrorKind::TimedOut);
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

    /// Returns whether the connection ended because the peer's system did not answer any more.
    async fn keep(&self, stream: TcpStream) -> bool {
        let stream = Arc::new(stream);
        self.outgoing.lock().stream = Some(stream.clone());
        let timed_out = tokio::select! {
            timed_out = until_closed(&stream) => timed_out,
            () = self.write_leftovers(&stream) => false,
            () = self.dead.notified() => true,
        };
        *self.outgoing.lock() = Outgoing::default();
        timed_out
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

/// Nothing comes back on this connection after the greeting; whatever does, or its end, ends it. Returns whether it timed out.
async fn until_closed(stream: &TcpStream) -> bool {
    loop {
        if stream.readable().await.is_err() {
            return false;
        }
        match stream.try_read(&mut [0; 1]) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(error) => return is_dead_network(error.kind()),
            Ok(_) => return false,
        }
    }
}

/// Whether a connection ended because nothing comes through. The kernel tells its timeout as the reason why its last attempts
/// failed, where it knows one: a link that is down, a route that is gone.
fn is_dead_network(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::TimedOut | ErrorKind::HostUnreachable | ErrorKind::NetworkUnreachable)
}

impl Outgoing {
    /// True when nothing is left. Without a stream something is left, so that the link's task sees that it is gone.
    fn write_some(&mut self) -> bool {
        loop {
            let mut slices = [IoSlice::new(&[]); MAX_SLICES];
            let filled = self.lanes.next(&mut slices);
            if filled == 0 {
                return true;
            }
            let Some(stream) = &self.stream else {
                return false;
            };
            match stream.try_write_vectored(&slices[..filled]) {
                Ok(written) => self.lanes.written(written),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return false,
                Err(_) => {
                    *self = Outgoing::default();
                    return false;
                }
            }
        }
    }
}
