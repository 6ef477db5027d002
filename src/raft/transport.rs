//! How nodes reach each other: TCP, one connection per pair of nodes and direction.
//!
//! - Each node dials every other and sends on what it dialled; it receives on what it accepted.
//! - [`Transport`] is the driver's end. It runs its tasks on the tokio runtime it was started in (the driver's own, one
//!   thread) and writes from the driver's turn, without waiting for any task.
//! - Dropping it ends all connections.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio::task::JoinSet;

use super::cluster::Cluster;
use super::frame::Frame;
use super::greetings::Door;
use super::hello::{ConnectionKind, Greeter, Hello};
use super::identity::NodeId;
use super::inbox::{Inbox, PeerEvent};
use super::keepalive::KeepaliveHandle;
use super::lanes::LaneBounds;
use super::link::{Link, LinkWatcher, Pushed, Target};
use super::listener::Listener;
use super::memo::MemberLog;
use super::outbox::Outbound;

/// How a node reaches the others, and they it.
#[derive(Clone, Debug)]
pub struct TransportConfig {
    pub greeter: Greeter,
    /// The other members and their peer addresses, as host:port.
    pub peers: Vec<(NodeId, String)>,
    /// Bytes that may wait for one peer, beside one frame of each lane.
    pub bounds: LaneBounds,
    /// Where the keepalive thread tells that a peer can't be reached any more.
    pub dead_peers: DeadPeers,
}

/// Notices about peers that can't be reached any more. Clones are the same.
#[derive(Clone, Debug, Default)]
pub struct DeadPeers(Arc<Mutex<BTreeMap<NodeId, Arc<Notify>>>>);

impl DeadPeers {
    pub(super) fn of(&self, peer: NodeId) -> Arc<Notify> {
        self.0.lock().entry(peer).or_default().clone()
    }
}

impl TransportConfig {
    /// The usual bounds.
    pub fn new(greeter: Greeter, peers: Vec<(NodeId, String)>) -> TransportConfig {
        let (bounds, dead_peers) = (LaneBounds::default(), DeadPeers::default());
        TransportConfig { greeter, peers, bounds, dead_peers }
    }
}

/// The driver's end of all connections to peers.
pub struct Transport {
    links: Vec<Arc<Link>>,
    /// Links with frames that have not been flushed.
    touched: Vec<bool>,
    greeter: Greeter,
    dead_peers: DeadPeers,
    directory: Arc<Directory>,
    listener: Arc<Listener>,
    local_address: SocketAddr,
    _tasks: JoinSet<()>,
}

impl Transport {
    /// Begins to listen on `socket` (non-blocking) and to dial the peers. What they send goes to `inbox`. Must be called
    /// within a tokio runtime.
    pub fn start(
        config: TransportConfig,
        socket: std::net::TcpListener,
        inbox: Inbox,
        keepalive: Option<KeepaliveHandle>,
    ) -> io::Result<Transport> {
        let socket = TcpListener::from_std(socket)?;
        let local_address = socket.local_addr()?;
        let directory = Arc::new(Directory::new(inbox.clone()));
        let links = links(&config);
        let mut tasks = JoinSet::new();
        for link in &links {
            let watcher: Arc<dyn LinkWatcher> = directory.clone();
            tasks.spawn(link.clone().run(config.greeter.clone(), watcher));
        }
        let greeter = config.greeter.clone();
        let door = Door::new(config.peers.iter().map(|(_, address)| address.clone()).collect());
        let listener = Arc::new(Listener::new(config.greeter, inbox, directory.clone(), keepalive, door));
        tasks.spawn(listener.clone().run(socket));
        Ok(Transport {
            touched: vec![false; links.len()],
            links,
            greeter,
            dead_peers: config.dead_peers,
            directory,
            listener,
            local_address,
            _tasks: tasks,
        })
    }

    /// Where peers reach this node.
    pub fn local_address(&self) -> SocketAddr {
        self.local_address
    }

    /// Where clients reach a peer, as it said itself when it was last greeted.
    pub fn client_address(&self, peer: NodeId) -> Option<String> {
        self.directory.client_addresses.lock().get(&peer).cloned()
    }

    /// Says from now on that the node belongs to this cluster, refuses these logs of members, and parts from those that were let in and
    /// are strangers by that.
    pub fn know(&self, cluster: Cluster, replaced: Vec<MemberLog>) {
        self.greeter.know(cluster, replaced);
        let strangers = self.directory.strangers_to(&cluster);
        for peer in strangers {
            self.listener.hang_up(peer);
            self.dead_peers.of(peer).notify_waiters();
        }
    }

    /// Closes the connection on which a peer, or someone in its name, sends. A member dials again.
    pub fn hang_up(&self, peer: NodeId) {
        self.listener.hang_up(peer);
    }

    /// The other members.
    pub fn peers(&self) -> impl Iterator<Item = NodeId> {
        self.links.iter().map(|link| link.target.peer)
    }

    /// Whether frames to the peer have a connection to leave on.
    pub fn is_connected(&self, peer: NodeId) -> bool {
        let link = self.links.iter().find(|link| link.target.peer == peer);
        link.is_some_and(|link| link.is_connected())
    }

    /// Why this node and the peer at that address refused each other last, where they did.
    pub fn refusal_of(&self, peer: NodeId) -> Option<String> {
        self.links.iter().find(|link| link.target.peer == peer)?.refusal()
    }

    /// Sends a frame to every peer that is connected, with the next flush. Returns how many peers have no room for it.
    pub fn broadcast(&mut self, frame: &Frame) -> u64 {
        let mut dropped = 0;
        for (link, touched) in self.links.iter().zip(&mut self.touched) {
            let pushed = link.push(frame);
            *touched |= pushed == Pushed::Taken;
            dropped += u64::from(matches!(pushed, Pushed::LaneFull | Pushed::TooLong));
        }
        dropped
    }
}

fn links(config: &TransportConfig) -> Vec<Arc<Link>> {
    let target = |(peer, address): &(NodeId, String)| Target {
        peer: *peer,
        address: address.clone(),
        kind: ConnectionKind::Raft,
    };
    let link = |target: Target| {
        let dead = config.dead_peers.of(target.peer);
        Arc::new(Link::new(target, config.bounds, dead))
    };
    config.peers.iter().map(target).map(link).collect()
}

impl Outbound for Transport {
    fn send(&mut self, to: NodeId, frame: &Frame) -> bool {
        let Some(place) = self.links.iter().position(|link| link.target.peer == to) else {
            return false;
        };
        self.touched[place] = true;
        self.links[place].push(frame) == Pushed::Taken
    }

    fn flush(&mut self) {
        for (link, touched) in self.links.iter().zip(&mut self.touched) {
            if std::mem::take(touched) {
                link.flush();
            }
        }
    }
}

/// Who is connected, and where clients reach them.
struct Directory {
    inbox: Inbox,
    client_addresses: Mutex<BTreeMap<NodeId, String>>,
    /// The clusters that peers said they belong to, when they were greeted last.
    clusters: Mutex<BTreeMap<NodeId, Cluster>>,
}

impl Directory {
    fn new(inbox: Inbox) -> Directory {
        Directory { inbox, client_addresses: Mutex::default(), clusters: Mutex::default() }
    }

    fn strangers_to(&self, cluster: &Cluster) -> Vec<NodeId> {
        let clusters = self.clusters.lock();
        clusters.iter().filter(|(_, other)| !cluster.may_be(other)).map(|(peer, _)| *peer).collect()
    }
}

impl LinkWatcher for Directory {
    fn connected(&self, hello: &Hello) {
        let address = hello.client_address.clone();
        self.client_addresses.lock().insert(hello.node_id, address);
        self.clusters.lock().insert(hello.node_id, hello.cluster);
    }

    fn disconnected(&self, peer: NodeId, _timed_out: bool) {
        self.inbox.put_small(peer, PeerEvent::Unreachable);
    }
}

#[cfg(test)]
mod tests;
