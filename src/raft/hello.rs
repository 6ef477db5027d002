//! How two nodes greet: the dialler says which node it is and which it expects; the acceptor answers whether it agrees.
//!
//! ```text
//! hello = magic:8 version:u16 length:u16 body      length counts the body; at most MAX_BODY_BYTES
//! body  = verdict:u8 kind:u8 key:u64 node:u64 expected_node:u64 cluster:u64 origin_term:u64 origin_index:u64 log:u64 process:u64
//!         client_address:bytes
//! ```
//! - All numbers are little-endian. Both directions use the same layout; the dialler's verdict is 0.
//! - Only the first three fields are fixed for ever, so that nodes of different versions can tell each other why they part.
//! - Strangers are refused with a reason: another cluster, unknown node, a node that has this node's own id, a log that another has
//!   replaced, or a dialler that expected another node at this address. Both sides tell their operators why, with both ids.
//! - Clusters are told apart by their random ids (`cluster.rs`). Only where one of the two has none yet do members and
//!   name count; addresses never do.
//! - A member is the process that is reached at its address. If this node reaches another process there than the one that dials in its
//!   name, it looks again ([`ConnectionKind::Probe`]), and refuses the one that it does not reach: that runs on a copy of a folder, or on
//!   one that was replaced.
//!
//! Caveat: a greeting is a check against mistakes, not against attackers. A stranger who can reach the peer port can claim to be a
//! member; the port belongs in a private network.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use thiserror::Error;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::time::timeout;

use super::cluster::{Cluster, ClusterId};
use super::identity::{GroupKey, Identity, NodeId};
use super::memo::{LogEnd, MemberLog};

/// The version of everything nodes say to each other.
pub const PROTOCOL_VERSION: u16 = 6;

const MAGIC: [u8; 8] = *b"PERDURA>";
const HEADER_BYTES: usize = 8 + 2 + 2;
const FIXED_BODY_BYTES: usize = 2 + 8 * 8;
/// Bounds what a stranger can make a node read.
const MAX_BODY_BYTES: usize = 1024;
/// The longest client address: a host name has at most 253 bytes.
pub const MAX_ADDRESS_BYTES: usize = 300;
/// How long a look at a member's address may take: less than a greeting.
const PROBE_TIMEOUT: Duration = Duration::from_secs(1);

/// What a connection is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConnectionKind {
    Raft,
    Keepalive,
    /// To see which process is reached; it ends with the greeting.
    Probe,
}

/// How a node presents itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hello {
    pub kind: ConnectionKind,
    pub key: GroupKey,
    pub node_id: NodeId,
    /// The node that the dialler expects; the dialler, in an answer.
    pub expected_node: NodeId,
    pub cluster: Cluster,
    pub voice: Voice,
    /// Where clients reach this node, as host:port.
    pub client_address: String,
}

/// What tells a process from another that claims to be the same member.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Voice {
    /// The random id of its log.
    pub log: u64,
    /// Of this process on this log; a copy of a folder has another. Everyone who connects hears it, so it proves nothing, and nothing that
    /// proves anything follows from it (`node/logs.rs`).
    pub process: u64,
}

/// Why a node was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum HelloRefusal {
    #[error("it speaks another version of the peer protocol")]
    Version,
    #[error("it belongs to another cluster")]
    OtherCluster,
    #[error("its node id is not a member of this cluster")]
    UnknownNode,
    #[error("it has the same node id")]
    SameNode,
    #[error("it was looking for another node at this address")]
    WrongAddress,
    #[error("it has other members, or another --cluster-name")]
    OtherGroup,
    #[error("another log of that node has taken the place of its log")]
    Replaced,
    #[error("another process is reached at that node's address")]
    Elsewhere,
}

/// Why a greeting came to nothing.
#[derive(Debug, Error)]
pub enum HelloError {
    #[error("the connection failed during the greeting: {0}")]
    Io(#[from] std::io::Error),
    #[error("it does not speak the peer protocol")]
    NotAPeer,
    #[error("it speaks version {found} of the peer protocol, this node speaks {PROTOCOL_VERSION}")]
    Version { found: u16 },
    #[error("its greeting can't be read")]
    Malformed,
    #[error("this node refused it: {reason}")]
    Refused { refusal: HelloRefusal, reason: String },
    #[error("it refused this node: {reason}")]
    RefusedByPeer { refusal: HelloRefusal, reason: String },
}

impl HelloError {
    /// Whether only an operator can change it: trying again soon helps nobody.
    pub(super) fn is_for_operators(&self) -> bool {
        match self {
            HelloError::Refused { refusal, .. } | HelloError::RefusedByPeer { refusal, .. } => matches!(
                refusal,
                HelloRefusal::OtherCluster
                    | HelloRefusal::OtherGroup
                    | HelloRefusal::Replaced
                    | HelloRefusal::Elsewhere
            ),
            _ => false,
        }
    }
}

/// What a node says of itself and knows when it judges a greeting. Clones share it.
#[derive(Clone, Debug)]
pub struct Greeter {
    pub identity: Identity,
    pub client_address: String,
    pub voice: Voice,
    /// Where the others are reached, as host:port.
    addresses: Arc<BTreeMap<NodeId, String>>,
    known: Arc<Mutex<Known>>,
}

/// What changes while the node runs.
#[derive(Debug, Default)]
struct Known {
    cluster: Cluster,
    /// Logs that others have replaced.
    replaced: BTreeSet<MemberLog>,
    /// The processes that were reached last at the members' addresses.
    reached: BTreeMap<NodeId, u64>,
    /// Links to members that wait before they dial again.
    waiting: BTreeMap<NodeId, Arc<Notify>>,
}

impl Greeter {
    pub fn new(identity: Identity, client_address: String, voice: Voice) -> Greeter {
        Greeter { identity, client_address, voice, addresses: Arc::default(), known: Arc::default() }
    }

    /// The same, which knows where the others are reached.
    pub fn reaching(self, peers: &[(NodeId, String)]) -> Greeter {
        Greeter { addresses: Arc::new(peers.iter().cloned().collect()), ..self }
    }

    /// Says from now on that the node belongs to this cluster, and refuses these logs of members.
    pub fn know(&self, cluster: Cluster, replaced: impl IntoIterator<Item = MemberLog>) {
        let mut known = self.known.lock();
        known.cluster = cluster;
        known.replaced = replaced.into_iter().collect();
    }

    pub fn cluster(&self) -> Cluster {
        self.known.lock().cluster
    }

    /// Notified when a member was let in that links may wait for.
    pub(super) fn arrival_of(&self, peer: NodeId) -> Arc<Notify> {
        self.known.lock().waiting.entry(peer).or_default().clone()
    }

    /// Dials: presents this node to `expected_node` and returns how that one presented itself.
    pub(super) async fn dial<S>(
        &self,
        stream: &mut S,
        kind: ConnectionKind,
        expected_node: NodeId,
    ) -> Result<Hello, HelloError>
    where
        S: AsyncReadExt + AsyncWriteExt + Unpin,
    {
        let hello = self.hello(kind, expected_node);
        stream.write_all(&hello.encode(None)).await?;
        let (verdict, answer) = read_hello(stream).await?;
        if let Some(refusal) = verdict {
            let reason = self.reason(refusal, &hello, &answer, true);
            return Err(HelloError::RefusedByPeer { refusal, reason });
        }
        let refusal = match self.stranger(&answer) {
            None if answer.node_id != expected_node => Some(HelloRefusal::WrongAddress),
            refusal => refusal,
        };
        if let Some(refusal) = refusal {
            let reason = self.reason(refusal, &hello, &answer, false);
            return Err(HelloError::Refused { refusal, reason });
        }
        if kind != ConnectionKind::Probe {
            self.known.lock().reached.insert(expected_node, answer.voice.process);
        }
        Ok(answer)
    }

    /// Is dialled: judges how the dialler presents itself, and answers.
    pub(super) async fn accept<S>(&self, stream: &mut S) -> Result<Hello, HelloError>
    where
        S: AsyncReadExt + AsyncWriteExt + Unpin,
    {
        let (_, hello) = match read_hello(stream).await {
            Ok(read) => read,
            Err(error @ HelloError::Version { .. }) => {
                let answer = self.hello(ConnectionKind::Raft, 0).encode(Some(HelloRefusal::Version));
                stream.write_all(&answer).await?;
                return Err(error);
            }
            Err(error) => return Err(error),
        };
        let verdict = match self.judge(&hello) {
            None if self.is_elsewhere(&hello).await => Some(HelloRefusal::Elsewhere),
            verdict => verdict,
        };
        let answer = self.hello(hello.kind, hello.node_id);
        stream.write_all(&answer.encode(verdict)).await?;
        match verdict {
            Some(refusal) => {
                let reason = self.reason(refusal, &answer, &hello, false);
                Err(HelloError::Refused { refusal, reason })
            }
            None => {
                self.arrival_of(hello.node_id).notify_waiters();
                Ok(hello)
            }
        }
    }

    fn judge(&self, hello: &Hello) -> Option<HelloRefusal> {
        let own = &self.identity;
        if let Some(refusal) = self.stranger(hello) {
            return Some(refusal);
        }
        if hello.node_id == own.node_id {
            return Some(HelloRefusal::SameNode);
        }
        if !own.members.contains(&hello.node_id) {
            return Some(HelloRefusal::UnknownNode);
        }
        if self.known.lock().replaced.contains(&(hello.node_id, hello.voice.log)) {
            return Some(HelloRefusal::Replaced);
        }
        (hello.expected_node != own.node_id).then_some(HelloRefusal::WrongAddress)
    }

    /// Whether a node belongs to another cluster. Where both know theirs, nothing else counts.
    fn stranger(&self, hello: &Hello) -> Option<HelloRefusal> {
        let own = self.cluster();
        if !own.may_be(&hello.cluster) {
            return Some(HelloRefusal::OtherCluster);
        }
        let is_known = own.id == hello.cluster.id && !own.id.is_none();
        (!is_known && hello.key != self.identity.key).then_some(HelloRefusal::OtherGroup)
    }

    /// Whether another process than the one that dials is reached at its node's address.
    async fn is_elsewhere(&self, hello: &Hello) -> bool {
        let reached = self.known.lock().reached.get(&hello.node_id).copied();
        let process = hello.voice.process;
        let Some(address) = self.addresses.get(&hello.node_id) else { return false };
        if hello.kind == ConnectionKind::Probe || reached.is_none_or(|reached| reached == process) {
            return false;
        }
        // The process that was reached may have ended since.
        let probe = timeout(PROBE_TIMEOUT, async {
            let mut stream = TcpStream::connect(address).await?;
            Box::pin(self.dial(&mut stream, ConnectionKind::Probe, hello.node_id)).await
        });
        match probe.await {
            Ok(Ok(answer)) if answer.voice.process == process => {
                self.known.lock().reached.insert(hello.node_id, process);
                false
            }
            Ok(Ok(_)) => true,
            // None is reached there now: nothing that the dialler says counts before it proves its log (`node/logs.rs`).
            Ok(Err(_)) | Err(_) => false,
        }
    }

    fn hello(&self, kind: ConnectionKind, expected_node: NodeId) -> Hello {
        Hello {
            kind,
            key: self.identity.key,
            node_id: self.identity.node_id,
            expected_node,
            cluster: self.cluster(),
            voice: self.voice,
            client_address: self.client_address.clone(),
        }
    }

    /// What an operator is told of a refusal: by this node, or by the other one.
    fn reason(&self, refusal: HelloRefusal, own: &Hello, other: &Hello, is_refused: bool) -> String {
        let (ours, theirs) = (own.cluster, other.cluster);
        match refusal {
            HelloRefusal::OtherCluster if ours.is_other_moment_of(&theirs) => format!(
                "it was restored or recovered to entry {} of term {}, this node to entry {} of term {}: restore all members of a group with the \
                 same --to-index (perdura restore), or make all their folders of copies of one (perdura recover)",
                theirs.origin.index, theirs.origin.term, ours.origin.index, ours.origin.term
            ),
            HelloRefusal::OtherCluster => format!(
                "it belongs to cluster {}, this node to cluster {}: one of them is a stranger at this address; stop it, and empty no folder \
                 before you know which of the two clusters has your data (docs/operations.md, Two clusters meet)",
                theirs.id, ours.id
            ),
            HelloRefusal::Replaced if is_refused => format!(
                "another log of node {} has taken the place of this node's log {:#018x}: stop this node, or start it with an empty folder",
                own.node_id, own.voice.log
            ),
            HelloRefusal::Replaced => format!(
                "another log of node {} has taken the place of its log {:#018x}: it runs on a folder that was replaced; stop it, or \
                 start it with an empty folder",
                other.node_id, other.voice.log
            ),
            HelloRefusal::Elsewhere if is_refused => format!(
                "it reaches another process as node {} at the address in its --initial-cluster: this node runs on a copy of that folder, or \
                 has moved; stop this node, or give all members its new address",
                own.node_id
            ),
            HelloRefusal::Elsewhere => format!(
                "node {} is reached at {}, and is another process: the one that dials runs on a copy of its folder, or on one that was \
                 replaced; stop it",
                other.node_id,
                self.addresses.get(&other.node_id).map_or("its address", String::as_str)
            ),
            other => other.to_string(),
        }
    }
}

impl Hello {
    fn encode(&self, verdict: Option<HelloRefusal>) -> Vec<u8> {
        let address = self.client_address.as_bytes();
        let address = &address[..address.len().min(MAX_ADDRESS_BYTES)];
        let body_bytes = (FIXED_BODY_BYTES + address.len()) as u16;
        let mut bytes = MAGIC.to_vec();
        bytes.extend(PROTOCOL_VERSION.to_le_bytes());
        bytes.extend(body_bytes.to_le_bytes());
        bytes.push(verdict.map_or(0, HelloRefusal::code));
        bytes.push(self.kind.code());
        let Cluster { id, origin } = self.cluster;
        let Voice { log, process } = self.voice;
        let numbers =
            [self.key.0, self.node_id, self.expected_node, id.0, origin.term, origin.index, log, process];
        for number in numbers {
            bytes.extend(number.to_le_bytes());
        }
        bytes.extend(address);
        bytes
    }

    fn decode(body: &[u8]) -> Option<(Option<HelloRefusal>, Hello)> {
        let (fixed, address) = body.split_at_checked(FIXED_BODY_BYTES)?;
        let verdict = match fixed[0] {
            0 => None,
            code => Some(HelloRefusal::from_code(code)?),
        };
        let number = |place: usize| {
            let bytes = fixed.get(2 + place * 8..)?.first_chunk::<8>()?;
            Some(u64::from_le_bytes(*bytes))
        };
        let origin = LogEnd { term: number(4)?, index: number(5)? };
        let hello = Hello {
            kind: ConnectionKind::from_code(fixed[1])?,
            key: GroupKey(number(0)?),
            node_id: number(1)?,
            expected_node: number(2)?,
            cluster: Cluster { id: ClusterId(number(3)?), origin },
            voice: Voice { log: number(6)?, process: number(7)? },
            client_address: String::from_utf8(address.to_vec()).ok()?,
        };
        (address.len() <= MAX_ADDRESS_BYTES).then_some((verdict, hello))
    }
}

async fn read_hello<S>(stream: &mut S) -> Result<(Option<HelloRefusal>, Hello), HelloError>
where
    S: AsyncReadExt + Unpin,
{
    let mut header = [0; HEADER_BYTES];
    stream.read_exact(&mut header).await?;
    if header[..8] != MAGIC {
        return Err(HelloError::NotAPeer);
    }
    let found = u16::from_le_bytes([header[8], header[9]]);
    let body_bytes = u16::from_le_bytes([header[10], header[11]]) as usize;
    if body_bytes > MAX_BODY_BYTES {
        return Err(HelloError::Malformed);
    }
    let mut body = vec![0; body_bytes];
    stream.read_exact(&mut body).await?;
    if found != PROTOCOL_VERSION {
        return Err(HelloError::Version { found });
    }
    Hello::decode(&body).ok_or(HelloError::Malformed)
}

impl ConnectionKind {
    const ALL: [ConnectionKind; 3] = [ConnectionKind::Raft, ConnectionKind::Keepalive, ConnectionKind::Probe];

    fn code(self) -> u8 {
        match self {
            ConnectionKind::Raft => 1,
            ConnectionKind::Keepalive => 2,
            ConnectionKind::Probe => 3,
        }
    }

    fn from_code(code: u8) -> Option<ConnectionKind> {
        ConnectionKind::ALL.into_iter().find(|kind| kind.code() == code)
    }
}

impl HelloRefusal {
    const ALL: [HelloRefusal; 8] = [
        HelloRefusal::Version,
        HelloRefusal::OtherCluster,
        HelloRefusal::UnknownNode,
        HelloRefusal::SameNode,
        HelloRefusal::WrongAddress,
        HelloRefusal::OtherGroup,
        HelloRefusal::Replaced,
        HelloRefusal::Elsewhere,
    ];

    fn code(self) -> u8 {
        match self {
            HelloRefusal::Version => 1,
            HelloRefusal::OtherCluster => 2,
            HelloRefusal::UnknownNode => 3,
            HelloRefusal::SameNode => 4,
            HelloRefusal::WrongAddress => 5,
            HelloRefusal::OtherGroup => 6,
            HelloRefusal::Replaced => 7,
            HelloRefusal::Elsewhere => 8,
        }
    }

    fn from_code(code: u8) -> Option<HelloRefusal> {
        HelloRefusal::ALL.into_iter().find(|r| r.code() == code)
    }
}

#[cfg(test)]
mod tests;
