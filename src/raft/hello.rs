//! How two nodes greet: who dials says who it is and whom it wants; who is dialled answers whether it agrees.
//!
//! ```text
//! hello = magic:8 version:u16 length:u16 body      length counts the body; at most MAX_BODY_BYTES
//! body  = verdict:u8 kind:u8 cluster:u64 node:u64 expected_node:u64 client_address:bytes
//! ```
//! - All numbers are little-endian. Both directions use the same layout; the dialler's verdict is 0.
//! - Only the first three fields are fixed for ever, so that nodes of different versions can tell each other why they part.
//! - Strangers are refused with a reason: other cluster, unknown node, a node that has this node's own id, or a dialler
//!   that expected somebody else at this address.
//!
//! Caveat: a greeting is a check against mistakes, not against attackers. Whoever can reach the peer port can claim to be a
//! member; the port belongs in a private network.

use thiserror::Error;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::identity::{ClusterId, Identity, NodeId};

/// The version of everything nodes say to each other.
pub const PROTOCOL_VERSION: u16 = 5;

const MAGIC: [u8; 8] = *b"PERDURA>";
const HEADER_BYTES: usize = 8 + 2 + 2;
const FIXED_BODY_BYTES: usize = 2 + 3 * 8;
/// Bounds what a stranger can make a node read.
const MAX_BODY_BYTES: usize = 1024;
/// The longest client address: a host name has at most 253 bytes.
pub const MAX_ADDRESS_BYTES: usize = 300;

/// What a connection is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConnectionKind {
    Raft,
    Keepalive,
}

/// How a node presents itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hello {
    pub kind: ConnectionKind,
    pub cluster_id: ClusterId,
    pub node_id: NodeId,
    /// Whom the dialler wants; the dialler, in an answer.
    pub expected_node: NodeId,
    /// Where clients reach this node, as host:port.
    pub client_address: String,
}

/// Why a node was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Refusal {
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
    #[error("this node refused it: {0}")]
    Refused(Refusal),
    #[error("it refused this node: {0}")]
    RefusedByPeer(Refusal),
}

/// What a node knows when it judges a greeting.
#[derive(Clone, Debug)]
pub struct Greeter {
    pub identity: Identity,
    pub client_address: String,
}

impl Greeter {
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
            return Err(HelloError::RefusedByPeer(refusal));
        }
        match answer.cluster_id == self.identity.cluster_id && answer.node_id == expected_node {
            true => Ok(answer),
            false => Err(HelloError::Refused(Refusal::WrongAddress)),
        }
    }

    /// Is dialled: judges who presents itself and answers.
    pub(super) async fn accept<S>(&self, stream: &mut S) -> Result<Hello, HelloError>
    where
        S: AsyncReadExt + AsyncWriteExt + Unpin,
    {
        let hello = match read_hello(stream).await {
            Ok((_, hello)) => hello,
            Err(error) => {
                if matches!(error, HelloError::Version { .. }) {
                    let answer = self.hello(ConnectionKind::Raft, 0);
                    stream.write_all(&answer.encode(Some(Refusal::Version))).await?;
                }
                return Err(error);
            }
        };
        let verdict = self.judge(&hello);
        let answer = self.hello(hello.kind, hello.node_id);
        stream.write_all(&answer.encode(verdict)).await?;
        match verdict {
            Some(refusal) => Err(HelloError::Refused(refusal)),
            None => Ok(hello),
        }
    }

    fn judge(&self, hello: &Hello) -> Option<Refusal> {
        let own = &self.identity;
        if hello.cluster_id != own.cluster_id {
            return Some(Refusal::OtherCluster);
        }
        if hello.node_id == own.node_id {
            return Some(Refusal::SameNode);
        }
        if !own.members.contains(&hello.node_id) {
            return Some(Refusal::UnknownNode);
        }
        (hello.expected_node != own.node_id).then_some(Refusal::WrongAddress)
    }

    fn hello(&self, kind: ConnectionKind, expected_node: NodeId) -> Hello {
        Hello {
            kind,
            cluster_id: self.identity.cluster_id,
            node_id: self.identity.node_id,
            expected_node,
            client_address: self.client_address.clone(),
        }
    }
}

impl Hello {
    fn encode(&self, verdict: Option<Refusal>) -> Vec<u8> {
        let address = self.client_address.as_bytes();
        let address = &address[..address.len().min(MAX_ADDRESS_BYTES)];
        let body_bytes = (FIXED_BODY_BYTES + address.len()) as u16;
        let mut bytes = MAGIC.to_vec();
        bytes.extend(PROTOCOL_VERSION.to_le_bytes());
        bytes.extend(body_bytes.to_le_bytes());
        bytes.push(verdict.map_or(0, Refusal::code));
        bytes.push(self.kind.code());
        for number in [self.cluster_id.0, self.node_id, self.expected_node] {
            bytes.extend(number.to_le_bytes());
        }
        bytes.extend(address);
        bytes
    }

    fn decode(body: &[u8]) -> Option<(Option<Refusal>, Hello)> {
        let (fixed, address) = body.split_at_checked(FIXED_BODY_BYTES)?;
        let verdict = match fixed[0] {
            0 => None,
            code => Some(Refusal::from_code(code)?),
        };
        let number = |place: usize| {
            let bytes = fixed.get(2 + place * 8..)?.first_chunk::<8>()?;
            Some(u64::from_le_bytes(*bytes))
        };
        let hello = Hello {
            kind: ConnectionKind::from_code(fixed[1])?,
            cluster_id: ClusterId(number(0)?),
            node_id: number(1)?,
            expected_node: number(2)?,
            client_address: String::from_utf8(address.to_vec()).ok()?,
        };
        (address.len() <= MAX_ADDRESS_BYTES).then_some((verdict, hello))
    }
}

async fn read_hello<S>(stream: &mut S) -> Result<(Option<Refusal>, Hello), HelloError>
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
    fn code(self) -> u8 {
        match self {
            ConnectionKind::Raft => 1,
            ConnectionKind::Keepalive => 2,
        }
    }

    fn from_code(code: u8) -> Option<ConnectionKind> {
        [ConnectionKind::Raft, ConnectionKind::Keepalive].into_iter().find(|kind| kind.code() == code)
    }
}

impl Refusal {
    const ALL: [Refusal; 5] = [
        Refusal::Version,
        Refusal::OtherCluster,
        Refusal::UnknownNode,
        Refusal::SameNode,
        Refusal::WrongAddress,
    ];

    fn code(self) -> u8 {
        match self {
            Refusal::Version => 1,
            Refusal::OtherCluster => 2,
            Refusal::UnknownNode => 3,
            Refusal::SameNode => 4,
            Refusal::WrongAddress => 5,
        }
    }

    fn from_code(code: u8) -> Option<Refusal> {
        Refusal::ALL.into_iter().find(|r| r.code() == code)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn greeter(cluster: u64, node_id: NodeId) -> Greeter {
        let mut members = vec![1, 2, 3];
        if node_id > 3 {
            members.push(node_id);
        }
        let identity = Identity::new(ClusterId(cluster), node_id, members);
        Greeter {
            identity: identity.expect("a valid identity"),
            client_address: format!("host{node_id}:6379"),
        }
    }

    async fn meet(
        dialler: &Greeter,
        expected: NodeId,
        accepter: &Greeter,
    ) -> (Result<Hello, HelloError>, Result<Hello, HelloError>) {
        let (mut near, mut far) = tokio::io::duplex(4096);
        tokio::join!(dialler.dial(&mut near, ConnectionKind::Raft, expected), accepter.accept(&mut far))
    }

    #[tokio::test(flavor = "current_thread")]
    async fn members_learn_each_others_client_addresses() -> Result<(), HelloError> {
        let (dialled, accepted) = meet(&greeter(7, 1), 2, &greeter(7, 2)).await;
        assert_eq!(dialled?.client_address, "host2:6379");
        let accepted = accepted?;
        assert_eq!(accepted.client_address, "host1:6379");
        assert_eq!((accepted.node_id, accepted.kind), (1, ConnectionKind::Raft));
        Ok(())
    }

    #[tokio::test(flavor = "current_thread")]
    async fn strangers_are_told_why_they_are_refused() {
        let cases = [
            (greeter(8, 1), 2, Refusal::OtherCluster),
            (greeter(7, 2), 2, Refusal::SameNode),
            (greeter(7, 9), 2, Refusal::UnknownNode),
            (greeter(7, 1), 3, Refusal::WrongAddress),
        ];
        let accepter = greeter(7, 2);
        for (dialler, expected, reason) in cases {
            let (dialled, accepted) = meet(&dialler, expected, &accepter).await;
            assert!(matches!(dialled, Err(HelloError::RefusedByPeer(r)) if r == reason));
            assert!(matches!(accepted, Err(HelloError::Refused(r)) if r == reason));
        }
    }

    #[tokio::test(flavor = "current_thread")]
    async fn another_version_is_named_to_both_sides() -> Result<(), HelloError> {
        let (mut near, mut far) = tokio::io::duplex(4096);
        let accepter = greeter(7, 2);
        let mut bytes = greeter(7, 1).hello(ConnectionKind::Raft, 2).encode(None);
        bytes[8] = 77;
        near.write_all(&bytes).await?;
        let accepted = accepter.accept(&mut far).await;
        assert!(matches!(accepted, Err(HelloError::Version { found: 77 })));
        let (verdict, _) = read_hello(&mut near).await?;
        assert_eq!(verdict, Some(Refusal::Version));
        Ok(())
    }

    #[tokio::test(flavor = "current_thread")]
    async fn other_protocols_and_long_greetings_are_turned_away() -> Result<(), HelloError> {
        let long = [&MAGIC[..], &PROTOCOL_VERSION.to_le_bytes(), &u16::MAX.to_le_bytes()].concat();
        for bytes in [b"GET / HTTP/1.1\r\n\r\n".to_vec(), long] {
            let (mut near, mut far) = tokio::io::duplex(4096);
            near.write_all(&bytes).await?;
            let accepted = greeter(7, 2).accept(&mut far).await;
            assert!(matches!(accepted, Err(HelloError::NotAPeer | HelloError::Malformed)));
        }
        Ok(())
    }

    #[test]
    fn the_bytes_of_a_hello_never_change_between_releases() {
        let hello = Hello {
            kind: ConnectionKind::Keepalive,
            cluster_id: ClusterId(0x0102),
            node_id: 3,
            expected_node: 4,
            client_address: "a:1".into(),
        };
        let golden = [
            &b"PERDURA>"[..],
            &[5, 0, 29, 0, 0, 2],
            &[2, 1, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0],
            &[4, 0, 0, 0, 0, 0, 0, 0],
            b"a:1",
        ];
        let bytes = hello.encode(None);
        assert_eq!(bytes, golden.concat());
        assert_eq!(Hello::decode(&bytes[HEADER_BYTES..]), Some((None, hello)));
        assert_eq!(Hello::decode(&bytes[HEADER_BYTES..bytes.len() - 4]), None);
    }
}
