//! The way to the other nodes of the group: the transport, and the keepalive thread beside it.

use std::io;
use std::net::TcpListener;

use super::ServerError;
use crate::config::Config;
use crate::raft::cluster::Cluster;
use crate::raft::frame::Frame;
use crate::raft::hello::{Greeter, Voice};
use crate::raft::identity::Identity;
use crate::raft::inbox::Inbox;
use crate::raft::keepalive::{Keepalive, KeepaliveConfig, TurnBoard};
use crate::raft::memo::MemberLog;
use crate::raft::outbox::Outbound;
use crate::raft::timing::RaftTiming;
use crate::raft::transport::{DeadPeers, Transport, TransportConfig};
use crate::shard::port::MemberStatus;

/// What it takes to reach the peers; opened by the driver, in whose runtime the connections live.
pub struct PeerPlan {
    pub identity: Identity,
    pub voice: Voice,
    pub timing: RaftTiming,
    pub listener: Option<TcpListener>,
    pub members: Vec<(u64, String)>,
    pub announce_addr: String,
}

/// Connections to the peers; none for a node that runs alone.
pub struct Peers {
    node_id: u64,
    announce_addr: String,
    group: Option<Group>,
}

struct Group {
    transport: Transport,
    /// Ends with the group.
    _keepalive: Keepalive,
}

/// Listens for peers, where there are any.
pub fn listen(config: &Config) -> Result<Option<TcpListener>, ServerError> {
    let Some(addr) = &config.peer_addr else { return Ok(None) };
    let bound = TcpListener::bind((addr.host.as_str(), addr.port));
    let listener = bound.and_then(|listener| listener.set_nonblocking(true).map(|()| listener));
    let refused = |source| ServerError::Listen { flag: "--peer-addr", addr: addr.to_string(), source };
    listener.map(Some).map_err(refused)
}

impl Peers {
    /// Begins to dial and to accept. Must be called within the driver's runtime.
    pub fn open(plan: PeerPlan, inbox: Inbox, board: TurnBoard) -> io::Result<Peers> {
        let PeerPlan { identity, voice, timing, listener, mut members, announce_addr } = plan;
        let node_id = identity.node_id;
        let Some(listener) = listener else { return Ok(Peers { node_id, announce_addr, group: None }) };
        members.retain(|(id, _)| *id != node_id);
        let greeter = Greeter::new(identity, announce_addr.clone(), voice).reaching(&members);
        let dead_peers = DeadPeers::default();
        let keepalive_config = KeepaliveConfig {
            dead_peers: dead_peers.clone(),
            ..KeepaliveConfig::new(greeter.clone(), members.clone(), timing)
        };
        let keepalive = Keepalive::start(keepalive_config, board, inbox.clone())?;
        let config = TransportConfig { dead_peers, ..TransportConfig::new(greeter, members) };
        let transport = Transport::start(config, listener, inbox, Some(keepalive.handle()))?;
        Ok(Peers { node_id, announce_addr, group: Some(Group { transport, _keepalive: keepalive }) })
    }

    /// Where clients reach a node, as it said itself; `None` while it has not.
    pub fn client_addr(&self, node_id: u64) -> Option<String> {
        if node_id == self.node_id {
            return Some(self.announce_addr.clone());
        }
        self.group.as_ref()?.transport.client_address(node_id)
    }

    /// Says from now on that the node belongs to this cluster, and that these logs of members are replaced; parts from strangers.
    pub fn know(&self, cluster: Cluster, replaced: Vec<MemberLog>) {
        if let Some(group) = &self.group {
            group.transport.know(cluster, replaced);
        }
    }

    /// The other members, as far as they were met.
    pub fn members(&self) -> Vec<MemberStatus> {
        let Some(Group { transport, .. }) = &self.group else { return Vec::new() };
        let member = |id| MemberStatus {
            id,
            client_addr: transport.client_address(id),
            is_connected: transport.is_connected(id),
            refusal: transport.refusal_of(id),
        };
        transport.peers().map(member).collect()
    }

    /// Closes the connection on which a peer, or someone in its name, sends.
    pub fn hang_up(&self, peer: u64) {
        if let Some(group) = &self.group {
            group.transport.hang_up(peer);
        }
    }

    /// Sends to every peer that can be reached. Returns how many of them have no room for the frame.
    pub fn broadcast(&mut self, frame: &Frame) -> u64 {
        self.group.as_mut().map_or(0, |group| group.transport.broadcast(frame))
    }
}

impl Outbound for Peers {
    fn send(&mut self, to: u64, frame: &Frame) -> bool {
        self.group.as_mut().is_some_and(|group| group.transport.send(to, frame))
    }

    fn flush(&mut self) {
        if let Some(group) = &mut self.group {
            group.transport.flush();
        }
    }
}
