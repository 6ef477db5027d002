//! The peer port: greets who connects, and reads what peers send.
//!
//! - A peer has at most one connection of each kind; a new one ends the old one, so that what a peer says stays in order.
//! - Only members are read from. Strangers get a reason and are closed; the same complaint is logged once.
//! - A bounded number of connections are being greeted at a time (`greetings`), each for at most [`GREETING_TIMEOUT`].

use std::collections::{BTreeSet, HashMap};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinSet, yield_now};
use tokio::time::{sleep, timeout};

use super::frame::{Arrival, Frame, FrameError, FrameReader};
use super::greetings::Door;
use super::hello::{ConnectionKind, Greeter, Hello, HelloError};
use super::identity::NodeId;
use super::inbox::Inbox;
use super::keepalive::KeepaliveHandle;
use super::link::LinkWatcher;
use super::socket;
use super::task::OwnedTask;

/// Complaints that are remembered, so that each is logged once.
const MAX_COMPLAINTS: usize = 64;
const GREETING_TIMEOUT: Duration = Duration::from_secs(2);
/// A listener that can't accept (out of file descriptors, say) tries again after this.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

pub(super) struct Listener {
    pub greeter: Greeter,
    pub inbox: Inbox,
    pub watcher: Arc<dyn LinkWatcher>,
    pub keepalive: Option<KeepaliveHandle>,
    door: Door,
    readers: Mutex<HashMap<NodeId, OwnedTask>>,
    complaints: Mutex<BTreeSet<String>>,
}

impl Listener {
    pub(super) fn new(
        greeter: Greeter,
        inbox: Inbox,
        watcher: Arc<dyn LinkWatcher>,
        keepalive: Option<KeepaliveHandle>,
        door: Door,
    ) -> Listener {
        Listener {
            greeter,
            inbox,
            watcher,
            keepalive,
            door,
            readers: Mutex::default(),
            complaints: Mutex::default(),
        }
    }

    /// Closes the connection on which a peer, or someone in its name, sends.
    pub(super) fn hang_up(&self, peer: NodeId) {
        self.readers.lock().remove(&peer);
    }

    /// Accepts until the task is dropped, which ends its connections as well.
    pub(super) async fn run(self: Arc<Listener>, socket: TcpListener) {
        tokio::select! {
            () = self.door.keep_addresses() => {}
            () = self.clone().accept(socket) => {}
        }
    }

    async fn accept(self: Arc<Listener>, socket: TcpListener) {
        let mut greeters = JoinSet::new();
        loop {
            while greeters.try_join_next().is_some() {}
            match socket.accept().await {
                Ok((stream, from)) => {
                    let listener = self.clone();
                    let greeting = greeters.spawn(async move { listener.welcome(stream, from).await });
                    self.door.add(from, greeting);
                    // A connection that has sent its hello is greeted before others may take its place.
                    yield_now().await;
                }
                Err(error) => {
                    tracing::warn!(%error, "can't accept a peer's connection");
                    sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    async fn welcome(&self, stream: TcpStream, from: SocketAddr) {
        let Some((stream, hello)) = self.greet(stream, from).await else {
            return;
        };
        if hello.kind == ConnectionKind::Probe {
            return;
        }
        self.watcher.connected(&hello);
        match (hello.kind, &self.keepalive) {
            (ConnectionKind::Raft, _) => {
                let reader = read_until_closed(stream, hello.node_id, self.inbox.clone());
                let task = OwnedTask::spawn(reader);
                self.readers.lock().insert(hello.node_id, task);
            }
            (ConnectionKind::Keepalive, Some(keepalive)) => keepalive.hand_over(hello.node_id, stream),
            (ConnectionKind::Keepalive, None) | (ConnectionKind::Probe, _) => {}
        }
    }

    async fn greet(&self, mut stream: TcpStream, from: SocketAddr) -> Option<(TcpStream, Hello)> {
        let greeting = timeout(GREETING_TIMEOUT, async {
            socket::prepare(&stream, ConnectionKind::Raft)?;
            self.greeter.accept(&mut stream).await
        });
        let too_slow = || HelloError::Io(std::io::ErrorKind::TimedOut.into());
        match greeting.await.unwrap_or_else(|_| Err(too_slow())) {
            Ok(hello) => Some((stream, hello)),
            Err(error) => {
                self.complain_once(from, &error);
                None
            }
        }
    }

    fn complain_once(&self, from: SocketAddr, error: &HelloError) {
        let complaint = format!("{} {error}", from.ip());
        let mut complaints = self.complaints.lock();
        if complaints.len() >= MAX_COMPLAINTS {
            complaints.clear();
        }
        if complaints.insert(complaint) {
            tracing::warn!(%from, %error, "refused a connection to the peer port");
        }
    }
}

async fn read_until_closed(stream: TcpStream, from: NodeId, inbox: Inbox) {
    if let Err(error) = read_frames(stream, from, &inbox).await {
        tracing::warn!(peer = from, %error, "closed a peer's connection");
    }
}

/// Reads until the peer closes, or sends bytes that are no frame.
async fn read_frames(mut stream: TcpStream, from: NodeId, inbox: &Inbox) -> Result<(), FrameError> {
    let mut reader = FrameReader::default();
    loop {
        match stream.read_buf(reader.space()).await {
            Ok(0) | Err(_) => return Ok(()),
            Ok(_) => {}
        }
        while let Some(arrival) = reader.next()? {
            match arrival {
                Arrival::Part => inbox.note_part(from),
                Arrival::Frame(Frame::Beat { .. } | Frame::BeatAnswer { .. }, _) => {}
                Arrival::Frame(Frame::Publish(payload), _) => inbox.put_news(from, payload),
                Arrival::Frame(frame, bytes) => {
                    let weight = match &frame {
                        Frame::Raft(frame) => frame.weight(bytes),
                        _ => bytes,
                    };
                    inbox.put(from, frame.into(), weight).await;
                }
            }
        }
    }
}
