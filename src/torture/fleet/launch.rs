//! Putting a fleet together: Perdura nodes or Redis servers of the harness' own, or nodes that are there already.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::{Fleet, Node, State};
use crate::env::Clock;
use crate::torture::commands::Commands;
use crate::torture::links::Links;
use crate::torture::process::{Process, Spec};
use crate::torture::small_disk::SmallDisk;

/// From a node's client port to its peer port, where ports were chosen by the user.
const PEER_PORT_OFFSET: u16 = 1000;

/// Segments of a trial's log: small enough to be made at once, large enough to be no burden.
const SEGMENT_BYTES: &str = "16mb";
/// On the small disk new segments must be wanted often, or a full disk is not noticed.
const SMALL_SEGMENT_BYTES: &str = "64kb";

/// Nodes that the harness starts itself.
#[derive(Clone, Debug)]
pub struct Own {
    pub program: PathBuf,
    pub nodes: usize,
    /// Client port of the first node; free ports are taken where there is none.
    pub base_port: Option<u16>,
    /// Further arguments for every node.
    pub arguments: Vec<String>,
    /// Time that bytes take between nodes, each way.
    pub link_delay: Duration,
    /// Whether to try to put one node on a small disk.
    pub small_disk: bool,
}

impl Fleet {
    /// A Perdura group under `dir`, started.
    pub fn perdura(own: &Own, dir: &Path, clock: &Clock) -> io::Result<Fleet> {
        let (clients, peers) = ports(own)?;
        let links = Links::start(&peers, own.link_delay, clock)?;
        let last = own.nodes - 1;
        let small_disk = match own.small_disk {
            true => {
                SmallDisk::mount(&data_dir(dir, last)).map(|disk| (last, disk)).map_err(|e| e.to_string())
            }
            false => Err("it was not asked for".to_owned()),
        };
        let mut nodes = Vec::new();
        for (node, client) in clients.into_iter().enumerate() {
            let is_small = small_disk.as_ref().is_ok_and(|(small, _)| *small == node);
            let segment_bytes = if is_small { SMALL_SEGMENT_BYTES } else { SEGMENT_BYTES };
            let mut arguments = vec![
                "serve".to_owned(),
                format!("--node-id={}", node + 1),
                format!("--port={}", client.port()),
                format!("--peer-addr={}", peers[node]),
                "--cluster-name=torture".to_owned(),
                format!("--initial-cluster={}", members(node, &peers, &links)),
                format!("--dir={}", data_dir(dir, node).join("data").display()),
            ];
            if !own.arguments.iter().any(|given| given.starts_with("--segment-bytes")) {
                arguments.push(format!("--segment-bytes={segment_bytes}"));
            }
            arguments.extend_from_slice(&own.arguments);
            nodes.push(started(own, dir, node, client, arguments)?);
        }
        Ok(Fleet { nodes, links: Some(links), elects: true, small_disk, commands: Commands::default() })
    }

    /// Redis servers under `dir`, started, each for itself so far; every write is synced before it is answered.
    pub fn redis_servers(own: &Own, dir: &Path, clock: &Clock) -> io::Result<Fleet> {
        let (clients, _) = ports(own)?;
        let links = Links::start(&clients, own.link_delay, clock)?;
        let mut nodes = Vec::new();
        for (node, client) in clients.into_iter().enumerate() {
            std::fs::create_dir_all(data_dir(dir, node))?;
            let (port, data) = (client.port().to_string(), data_dir(dir, node));
            let settings = [
                ("--bind", "127.0.0.1"),
                ("--port", &port),
                ("--dir", &data.to_string_lossy()),
                ("--save", ""),
                ("--appendonly", "yes"),
                ("--appendfsync", "always"),
                ("--repl-diskless-sync-delay", "0"),
                ("--enable-debug-command", "yes"),
            ];
            let words = settings.iter().flat_map(|(name, value)| [name.to_string(), value.to_string()]);
            let arguments = words.chain(own.arguments.iter().cloned()).collect();
            nodes.push(started(own, dir, node, client, arguments)?);
        }
        let small_disk = Err("it is for Perdura nodes of the harness' own".to_owned());
        Ok(Fleet { nodes, links: Some(links), elects: false, small_disk, commands: Commands::default() })
    }

    /// Nodes that run already.
    pub fn running(addresses: Vec<String>, commands: Commands, elects: bool) -> Fleet {
        let node = |address| Node { address, process: None, state: State::Running };
        let small_disk = Err("the nodes are not started by the harness".to_owned());
        Fleet { nodes: addresses.into_iter().map(node).collect(), links: None, elects, small_disk, commands }
    }
}

/// Where a node keeps its data.
pub fn data_dir(dir: &Path, node: usize) -> PathBuf {
    dir.join("nodes").join(format!("node-{}", node + 1))
}

/// The group as one node sees it: itself where it listens, the others behind their proxies.
fn members(node: usize, peers: &[SocketAddr], links: &Links) -> String {
    let member = |(peer, address): (usize, &SocketAddr)| {
        let address = if peer == node { *address } else { links.address(node, peer) };
        format!("{}={address}", peer + 1)
    };
    peers.iter().enumerate().map(member).collect::<Vec<_>>().join(",")
}

fn started(
    own: &Own,
    dir: &Path,
    node: usize,
    client: SocketAddr,
    arguments: Vec<String>,
) -> io::Result<Node> {
    let log = dir.join(format!("node-{}.log", node + 1));
    let mut process = Process::new(Spec { program: own.program.clone(), arguments, log });
    process.start().map_err(|error| io::Error::other(format!("{}: {error}", own.program.display())))?;
    Ok(Node { address: client.to_string(), process: Some(process), state: State::Running })
}

/// A port for clients and one for peers for each node: from the chosen one on, or free ones.
fn ports(own: &Own) -> io::Result<(Vec<SocketAddr>, Vec<SocketAddr>)> {
    let Some(base) = own.base_port else {
        let mut clients = free_ports(2 * own.nodes)?;
        let peers = clients.split_off(own.nodes);
        return Ok((clients, peers));
    };
    let address = |offset: u16| {
        (0..own.nodes).map(move |node| {
            let port = u16::try_from(usize::from(base) + usize::from(offset) + node);
            let port = port.map_err(|_| io::Error::other(format!("ports from {base} on do not suffice")))?;
            Ok(SocketAddr::from((Ipv4Addr::LOCALHOST, port)))
        })
    };
    Ok((address(0).collect::<io::Result<_>>()?, address(PEER_PORT_OFFSET).collect::<io::Result<_>>()?))
}

/// Ports that nobody has at this moment.
fn free_ports(count: usize) -> io::Result<Vec<SocketAddr>> {
    // All are held until the last is found, or one would be given out twice.
    let listeners: Vec<TcpListener> =
        (0..count).map(|_| TcpListener::bind((Ipv4Addr::LOCALHOST, 0))).collect::<io::Result<_>>()?;
    listeners.iter().map(TcpListener::local_addr).collect()
}
