//! Signs of life that do not depend on the driver, so that a slow disk or a long command brings on no election.
//!
//! A driver that blocks (in a sync, or in a long apply) neither sends nor hears heartbeats. A small thread stands in for
//! it, on connections of its own:
//! - While the node leads, the thread sends *beats* at the rate of heartbeats, and says whether its driver has not
//!   begun or ended a turn for as long as that.
//! - The thread of a follower leaves a beat for its driver if either driver is busy, and answers it at once if its own
//!   is, provided that the driver agrees on leader and term. The leader's driver gets the answer, so that the leader's
//!   check for a quorum counts a busy follower as alive.
//! - Drivers step what waits for them before they tick, and tick once. So a driver that comes back from a stall finds the
//!   beats and resets its election timeout before it can pass.
//! - After `busy_bound_ms` of that, and of no part of a long write to the log becoming durable, the thread falls silent: a node that is stuck gives way.
//!
//! A beat is a raft heartbeat without a commit index, and stepped as one. It carries no stamp, so it neither asks for
//! a promise nor extends a lease: a stalled leader keeps its office, but answers no reads until its driver is back. A beat
//! or answer may be older than the turn that reads it; raft drops those of earlier terms, and at worst a dead
//! leader is noticed one timeout later.
//!
//! The thread has a tokio runtime of its own and takes no time from anybody: it counts its own beats.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use bytes::BytesMut;
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};

use super::frame::Frame;
use super::hello::{ConnectionKind, Greeter, Hello};
use super::identity::NodeId;
use super::inbox::Inbox;
use super::lanes::LaneBounds;
use super::link::{Link, LinkWatcher, Pushed, Target};
use super::task::OwnedTask;
use super::timing::RaftTiming;
use super::transport::DeadPeers;

mod pulse;

pub use pulse::{Heard, Pulse, Turn, TurnBoard};

/// Bytes of beats that may wait for one peer.
const BOUNDS: LaneBounds = LaneBounds { express: 1 << 10, freight: 0, news: 0 };
/// More unread bytes than this on a keepalive connection are no beats.
const MAX_UNREAD_BYTES: usize = 256;
/// Connections that were accepted but not yet taken over.
const MAX_HAND_OVERS: usize = 64;

/// How long a turn may last without progress before its node falls silent, in milliseconds.
pub const BUSY_BOUND_MS: u64 = 10_000;

/// How a keepalive thread works.
#[derive(Clone, Debug)]
pub struct KeepaliveConfig {
    pub greeter: Greeter,
    /// The other members and their peer addresses, as host:port.
    pub peers: Vec<(NodeId, String)>,
    pub timing: RaftTiming,
    /// How long a turn may last without progress before the node gives way, in milliseconds.
    pub busy_bound_ms: u64,
    /// For the links of the driver, which wait longer before they take a peer for dead: its driver may be busy.
    pub dead_peers: DeadPeers,
}

impl KeepaliveConfig {
    /// The usual bound of ten seconds.
    pub fn new(greeter: Greeter, peers: Vec<(NodeId, String)>, timing: RaftTiming) -> KeepaliveConfig {
        KeepaliveConfig {
            greeter,
            peers,
            timing,
            busy_bound_ms: BUSY_BOUND_MS,
            dead_peers: DeadPeers::default(),
        }
    }
}

/// The thread. Dropping it ends it.
#[derive(Debug)]
pub struct Keepalive {
    handle: KeepaliveHandle,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// Hands accepted connections to the thread.
#[derive(Clone, Debug)]
pub struct KeepaliveHandle(mpsc::Sender<(NodeId, std::net::TcpStream)>);

impl Keepalive {
    /// Starts the thread. What it hears goes to `inbox`.
    pub fn start(config: KeepaliveConfig, board: TurnBoard, inbox: Inbox) -> io::Result<Keepalive> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (accepted, take_accepted) = mpsc::channel(MAX_HAND_OVERS);
        let (stop, stopped) = oneshot::channel();
        let worker = Worker::new(config, board, inbox);
        let thread = std::thread::Builder::new().name("keepalive".into()).spawn(move || {
            runtime.block_on(async {
                tokio::select! {
                    () = worker.run(take_accepted) => {}
                    _ = stopped => {}
                }
            });
            // A name that is being looked up must not hold the process back.
            runtime.shutdown_background();
        })?;
        Ok(Keepalive { handle: KeepaliveHandle(accepted), stop: Some(stop), thread: Some(thread) })
    }

    /// For the transport, which accepts the connections.
    pub fn handle(&self) -> KeepaliveHandle {
        self.handle.clone()
    }
}

impl Drop for Keepalive {
    fn drop(&mut self) {
        self.stop.take();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl KeepaliveHandle {
    /// Moves a connection from its runtime to the thread's. Drops it if that fails; the peer dials again.
    pub(super) fn hand_over(&self, from: NodeId, stream: TcpStream) {
        let moved = stream.into_std().map(|stream| self.0.try_send((from, stream)));
        if !matches!(moved, Ok(Ok(()))) {
            tracing::warn!(from, "dropped a peer's keepalive connection");
        }
    }
}

/// What runs on the thread.
struct Worker {
    config: KeepaliveConfig,
    ear: Arc<Ear>,
}

/// What beats and answers need.
struct Ear {
    pulse: Pulse,
    inbox: Inbox,
    links: Vec<Arc<Link>>,
}

/// Tells the driver's links of a peer that does not answer: its thread is never busy, so its machine or the network is gone.
struct DeathWatcher(DeadPeers);

impl LinkWatcher for DeathWatcher {
    fn connected(&self, _: &Hello) {}

    fn disconnected(&self, peer: NodeId, timed_out: bool) {
        if timed_out {
            self.0.of(peer).notify_waiters();
        }
    }
}

impl Worker {
    fn new(config: KeepaliveConfig, board: TurnBoard, inbox: Inbox) -> Worker {
        let link = |(peer, address): &(NodeId, String)| {
            let target = Target { peer: *peer, address: address.clone(), kind: ConnectionKind::Keepalive };
            Arc::new(Link::new(target, BOUNDS, Arc::default()))
        };
        let ear = Ear {
            links: config.peers.iter().map(link).collect(),
            pulse: Pulse::new(board, &config.timing, config.busy_bound_ms),
            inbox,
        };
        Worker { config, ear: Arc::new(ear) }
    }

    async fn run(self, accepted: mpsc::Receiver<(NodeId, std::net::TcpStream)>) {
        let mut links = JoinSet::new();
        let watcher = Arc::new(DeathWatcher(self.config.dead_peers.clone()));
        for link in &self.ear.links {
            let greeter = self.config.greeter.clone();
            links.spawn(link.clone().run(greeter, watcher.clone()));
        }
        let beat_every = Duration::from_millis(self.config.timing.heartbeat_ms());
        tokio::join!(self.ear.beat(beat_every), listen(self.ear.clone(), accepted));
    }
}

/// Takes over accepted connections, the newest of each peer.
async fn listen(ear: Arc<Ear>, mut accepted: mpsc::Receiver<(NodeId, std::net::TcpStream)>) {
    let mut readers = HashMap::new();
    while let Some((from, stream)) = accepted.recv().await {
        if let Ok(stream) = TcpStream::from_std(stream) {
            readers.insert(from, OwnedTask::spawn(ear.clone().read(from, stream)));
        }
    }
}

impl Ear {
    async fn beat(&self, every: Duration) {
        let mut beats = interval(every);
        beats.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            beats.tick().await;
            if let Some(beat) = self.pulse.beat() {
                self.links.iter().for_each(|link| say(link, &beat));
            }
        }
    }

    /// Reads beats and answers until the connection ends or says something else.
    async fn read(self: Arc<Ear>, from: NodeId, mut stream: TcpStream) {
        let mut buffer = BytesMut::with_capacity(MAX_UNREAD_BYTES);
        while matches!(stream.read_buf(&mut buffer).await, Ok(read) if read > 0) {
            loop {
                match Frame::decode(&mut buffer) {
                    Ok(Some(frame)) => self.hear(from, &frame),
                    Ok(None) => break,
                    Err(_) => return,
                }
            }
            if buffer.len() > MAX_UNREAD_BYTES {
                return;
            }
        }
    }

    fn hear(&self, from: NodeId, frame: &Frame) {
        let Heard { event, answer } = self.pulse.hear(from, frame);
        if let Some(event) = event {
            self.inbox.put_small(from, event);
        }
        let back = self.links.iter().find(|link| link.target.peer == from);
        if let (Some(answer), Some(back)) = (answer, back) {
            say(back, &answer);
        }
    }
}

fn say(link: &Link, frame: &Frame) {
    if link.push(frame) == Pushed::Taken {
        link.flush();
    }
}

#[cfg(test)]
mod tests;
