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
use tokio::task::JoinSet;

use super::frame::Frame;
use super::hello::{ConnectionKind, Greeter, Hello};
use super::identity::NodeId;
use super::inbox::{Inbox, PeerEvent};
use super::keepalive::KeepaliveHandle;
use super::link::{Link, LinkWatcher, Target};
use super::listener::Listener;
use super::outbox::Outbound;

/// How a node reaches the others, and they it.
#[derive(Clone, Debug)]
pub struct TransportConfig {
    pub greeter: Greeter,
    /// The other members and their peer addresses, as host:port.
    pub peers: Vec<(NodeId, String)>,
    /// Bytes that may wait for one peer, beside one frame.
    pub max_waiting_bytes: usize,
}

impl TransportConfig {
    /// The usual bounds.
    pub fn new(greeter: Greeter, peers: Vec<(NodeId, String)>) -> TransportConfig {
        TransportConfig { greeter, peers, max_waiting_bytes: 64 << 20 }
    }
}

/// The driver's end of all connections to peers.
pub struct Transport {
    links: Vec<Arc<Link>>,
    /// Links with frames that have not been flushed.
    touched: Vec<bool>,
    directory: Arc<Directory>,
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
        let listener = Listener::new(config.greeter, inbox, directory.clone(), keepalive);
        tasks.spawn(Arc::new(listener).run(socket));
        Ok(Transport { touched: vec![false; links.len()], links, directory, local_address, _tasks: tasks })
    }

    /// Where peers reach this node.
    pub fn local_address(&self) -> SocketAddr {
        self.local_address
    }

    /// Where clients reach a peer, as it said itself when it was last greeted.
    pub fn client_address(&self, peer: NodeId) -> Option<String> {
        self.directory.client_addresses.lock().get(&peer).cloned()
    }

    /// Whether frames to the peer have a connection to leave on.
    pub fn is_connected(&self, peer: NodeId) -> bool {
        let link = self.links.iter().find(|link| link.target.peer == peer);
        link.is_some_and(|link| link.is_connected())
    }

    /// Sends a frame to every peer that is connected, with the next flush.
    pub fn broadcast(&mut self, frame: &Frame) {
        for (link, touched) in self.links.iter().zip(&mut self.touched) {
            *touched |= link.push(frame);
        }
    }
}

fn links(config: &TransportConfig) -> Vec<Arc<Link>> {
    let target = |(peer, address): &(NodeId, String)| Target {
        peer: *peer,
        address: address.clone(),
        kind: ConnectionKind::Raft,
    };
    let targets = config.peers.iter().map(target);
    targets.map(|target| Arc::new(Link::new(target, config.max_waiting_bytes))).collect()
}

impl Outbound for Transport {
    fn send(&mut self, to: NodeId, frame: &Frame) -> bool {
        let Some(place) = self.links.iter().position(|link| link.target.peer == to) else {
            return false;
        };
        self.touched[place] = true;
        self.links[place].push(frame)
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
}

impl Directory {
    fn new(inbox: Inbox) -> Directory {
        Directory { inbox, client_addresses: Mutex::default() }
    }
}

impl LinkWatcher for Directory {
    fn connected(&self, hello: &Hello) {
        let address = hello.client_address.clone();
        self.client_addresses.lock().insert(hello.node_id, address);
    }

    fn disconnected(&self, peer: NodeId) {
        self.inbox.put_small(peer, PeerEvent::Unreachable);
    }
}

#[cfg(test)]
mod tests;
