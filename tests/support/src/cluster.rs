//! Three server processes that replicate one log.

use std::path::Path;
use std::time::Duration;

use crate::client::Client;
use crate::clock::wait_for;
use crate::node::{Node, NodeSpec};
use crate::ports::free_port;

const ELECTION_LIMIT: Duration = Duration::from_secs(20);
const AGREEMENT_LIMIT: Duration = Duration::from_secs(30);

/// A group of three nodes; node n is `nodes[n - 1]`.
pub struct Cluster {
    pub nodes: Vec<Node>,
}

impl Cluster {
    /// Starts three nodes and waits for a primary.
    pub fn start(program: impl AsRef<Path>) -> Cluster {
        Cluster::start_with(NodeSpec::new(program))
    }

    /// Starts three nodes that all have the flags of `spec`.
    pub fn start_with(spec: NodeSpec) -> Cluster {
        Cluster::start_each(&spec, |_, spec| spec)
    }

    /// Starts three nodes, each with what `adapt` makes of `spec` for its position.
    pub fn start_each(spec: &NodeSpec, adapt: impl Fn(usize, NodeSpec) -> NodeSpec) -> Cluster {
        let peers: Vec<String> = (0..3).map(|_| format!("127.0.0.1:{}", free_port())).collect();
        let members =
            (1..=3).zip(&peers).map(|(id, peer)| format!("{id}={peer}")).collect::<Vec<_>>().join(",");
        let launch = |(at, peer): (usize, &String)| {
            let spec = spec.clone().flag("node-id", at + 1).flag("peer-addr", peer);
            adapt(at, spec.flag("initial-cluster", &members)).launch()
        };
        let mut cluster = Cluster { nodes: peers.iter().enumerate().map(launch).collect() };
        cluster.nodes.iter_mut().for_each(Node::wait_until_it_answers);
        cluster.primary();
        cluster
    }

    /// Position of the node that says it is the primary and takes a write; waits for one.
    pub fn primary(&self) -> usize {
        let probe = || (0..self.nodes.len()).find(|&at| is_primary(&self.nodes[at]));
        wait_for("a primary", ELECTION_LIMIT, probe)
    }

    /// Position of some node that is not the primary.
    pub fn replica(&self) -> usize {
        (self.primary() + 1) % self.nodes.len()
    }

    pub fn client(&self, at: usize) -> Client {
        self.nodes[at].client()
    }

    /// Waits until all nodes hold the same data; returns its digest.
    pub fn agreed_digest(&self) -> String {
        wait_for("all nodes have one digest", AGREEMENT_LIMIT, || {
            let digests: Option<Vec<String>> = self.nodes.iter().map(local_digest).collect();
            let digests = digests?;
            digests.iter().all(|digest| *digest == digests[0]).then(|| digests[0].clone())
        })
    }
}

fn is_primary(node: &Node) -> bool {
    let role = node.try_admin().and_then(|mut client| client.try_call(&[b"ROLE"]));
    role.is_ok_and(|role| !role.is_error() && role.items()[0].text() == "master")
}

/// The digest of the node's own data, whatever its role.
pub fn local_digest(node: &Node) -> Option<String> {
    let mut client = node.try_admin().ok()?;
    client.try_call(&[b"READONLY"]).ok()?;
    let digest = client.try_call(&[b"DEBUG", b"DIGEST"]).ok()?;
    (!digest.is_error()).then(|| digest.text())
}
