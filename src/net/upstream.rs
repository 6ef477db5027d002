//! The connection on which a node that is not the primary sends one client's commands there.
//!
//! - Each client has its own, made when first needed: the primary keeps the client's order, its watches and its blocking
//!   commands as it does for its own clients.
//! - Before a command the primary is told what has changed since the last: protocol version, database, and that nothing
//!   is watched any more. The answers to that are swallowed.
//! - It authenticates with `masterauth` and declares itself with PERDURA NOFORWARD, so that nothing is sent round in circles:
//!   a node that is not the primary any more answers that the command did not happen.
//! - When it is lost, everything that was sent and not answered is in doubt. It is given up once another node is known to
//!   be the primary: at once where nothing is unanswered, after a while where the old one does not answer.

use std::collections::VecDeque;
use std::io;
use std::time::Duration;

use redis_protocol::error::RedisProtocolError;
use redis_protocol::resp2::decode as resp2;
use redis_protocol::resp3::decode::complete as resp3;
use thiserror::Error;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::client::{Client, Queued};
use crate::command::Args;
use crate::protocol::reply::Resp;
use crate::session::{Line, Session};
use crate::shard::machine::DID_NOT_HAPPEN;
use crate::shared::Shared;

/// How long a command waits for a primary to be known.
const PRIMARY_WAIT: Duration = Duration::from_millis(1500);
const PRIMARY_POLL: Duration = Duration::from_millis(20);
const CONNECT_TIMEOUT: Duration = Duration::from_millis(1000);
/// How long a node that is not the primary any more has to answer what it was sent.
const FAREWELL_MS: u64 = 5000;
/// Unsent bytes past which nothing more is sent.
const BEHIND_BYTES: usize = 1 << 20;
/// Bytes taken from the primary before they are passed on.
const TRANSFER_BYTES: usize = 1 << 20;

#[derive(Debug, Error)]
pub enum UpstreamError {
    #[error("CLUSTERDOWN there is no primary at present; the command did not happen")]
    NoPrimary,
    #[error("CLUSTERDOWN the primary can't be reached; the command did not happen")]
    Unreachable,
    #[error("CLUSTERDOWN the primary refused this node ({0}); the command did not happen")]
    Refused(String),
}

/// What to do with the next answer of the primary.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Expected {
    Pass,
    Swallow,
}

pub struct Upstream {
    stream: TcpStream,
    addr: String,
    /// The node has said that it is not the primary.
    pub stale: bool,
    /// Since when, in monotonic time, another node is known to be the primary while this one owes answers.
    outdated_since_ms: Option<u64>,
    /// In which protocol the answer comes, and what to do with it.
    expected: VecDeque<(Resp, Expected)>,
    unsent: Vec<u8>,
    received: Vec<u8>,
    resp: Resp,
    /// None where a transaction may have changed it.
    db: Option<usize>,
    /// Keys are watched there.
    watching: bool,
}

impl Upstream {
    /// Connects to the primary, waiting a bounded time for one to be known.
    pub async fn connect(session: &Session) -> Result<Upstream, UpstreamError> {
        let known = async {
            loop {
                let addr = session.shared.shard.status.lock().leader_client_addr.clone();
                if let Some(addr) = addr {
                    return addr;
                }
                tokio::time::sleep(PRIMARY_POLL).await;
            }
        };
        let addr = tokio::time::timeout(PRIMARY_WAIT, known).await.map_err(|_| UpstreamError::NoPrimary)?;
        let opened = tokio::time::timeout(CONNECT_TIMEOUT, Upstream::open(&addr, session)).await;
        opened.map_err(|_| UpstreamError::Unreachable)?
    }

    async fn open(addr: &str, session: &Session) -> Result<Upstream, UpstreamError> {
        let mut stream = TcpStream::connect(addr).await.map_err(|_| UpstreamError::Unreachable)?;
        stream.set_nodelay(true).map_err(|_| UpstreamError::Unreachable)?;
        let mut greeting = Vec::new();
        let password = session.shared.config.masterauth();
        if let Some(password) = &password {
            encode(&mut greeting, &[b"AUTH", password.expose().as_bytes()]);
        }
        encode(&mut greeting, &[b"PERDURA", b"NOFORWARD"]);
        stream.write_all(&greeting).await.map_err(|_| UpstreamError::Unreachable)?;
        for _ in 0..1 + usize::from(password.is_some()) {
            let line = read_line(&mut stream).await.map_err(|_| UpstreamError::Unreachable)?;
            if !line.starts_with('+') {
                return Err(UpstreamError::Refused(line));
            }
        }
        Ok(Upstream {
            stream,
            addr: addr.to_owned(),
            stale: false,
            outdated_since_ms: None,
            expected: VecDeque::new(),
            unsent: Vec::new(),
            received: Vec::new(),
            resp: Resp::V2,
            db: Some(0),
            watching: false,
        })
    }

    /// Sends a request; returns the number of answers to come.
    pub fn send(&mut self, client: &Client, args: &Args<'_>) -> u32 {
        self.adopt(client, client.watching_epoch.is_some());
        self.watching |= args[0].eq_ignore_ascii_case(b"watch");
        self.request(args, Expected::Pass);
        self.flush();
        1
    }

    /// Sends a transaction, MULTI and EXEC around it; returns the number of answers to come. `watched` says whether the
    /// client still watches keys.
    pub fn send_transaction(&mut self, client: &Client, watched: bool, queued: &[Queued]) -> u32 {
        self.adopt(client, watched);
        self.watching = false;
        self.request(&[b"MULTI"], Expected::Swallow);
        for Queued { args, .. } in queued {
            let args: Vec<&[u8]> = args.iter().map(|arg| &**arg).collect();
            self.request(&args, Expected::Swallow);
        }
        self.request(&[b"EXEC"], Expected::Pass);
        if queued.iter().any(Queued::is_select) {
            self.db = None;
        }
        self.flush();
        1
    }

    /// Tells the primary what the client has chosen since the last command.
    fn adopt(&mut self, client: &Client, watches: bool) {
        if self.watching && !watches {
            self.watching = false;
            self.request(&[b"UNWATCH"], Expected::Swallow);
        }
        if self.resp != client.resp {
            self.resp = client.resp;
            let version: &[u8] = if client.resp == Resp::V3 { b"3" } else { b"2" };
            self.request(&[b"HELLO", version], Expected::Swallow);
        }
        if self.db != Some(client.db) {
            self.db = Some(client.db);
            self.request(&[b"SELECT", client.db.to_string().as_bytes()], Expected::Swallow);
        }
    }

    fn request(&mut self, args: &Args<'_>, expected: Expected) {
        encode(&mut self.unsent, args);
        self.expected.push_back((self.resp, expected));
    }

    /// Whether the primary takes requests more slowly than they come.
    pub fn is_behind(&self) -> bool {
        self.unsent.len() > BEHIND_BYTES
    }

    /// Whether to give the connection up; `waiting` says that answers are outstanding.
    pub fn is_outdated(&mut self, shared: &Shared, waiting: bool) -> bool {
        if !self.stale && !self.is_superseded(shared) {
            self.outdated_since_ms = None;
            return false;
        }
        let now_ms = shared.clock.monotonic_ms();
        let since_ms = *self.outdated_since_ms.get_or_insert(now_ms);
        !waiting || now_ms - since_ms > FAREWELL_MS
    }

    /// Whether another node is known to be the primary.
    fn is_superseded(&self, shared: &Shared) -> bool {
        let status = shared.shard.status.lock();
        status.leader_client_addr.as_ref().is_some_and(|addr| *addr != self.addr)
    }

    /// Waits until there is something to do: answers, or room for what is unsent.
    pub async fn ready(upstream: &Option<Upstream>) {
        let Some(upstream) = upstream else { return std::future::pending().await };
        let interest = if upstream.unsent.is_empty() {
            tokio::io::Interest::READABLE
        } else {
            tokio::io::Interest::READABLE | tokio::io::Interest::WRITABLE
        };
        // An error shows again in the read that follows.
        let _ = upstream.stream.ready(interest).await;
    }

    fn flush(&mut self) {
        let mut sent = 0;
        while sent < self.unsent.len() {
            match self.stream.try_write(&self.unsent[sent..]) {
                Ok(more @ 1..) => sent += more,
                // An error shows again in the read that follows.
                Ok(_) | Err(_) => break,
            }
        }
        self.unsent.drain(..sent);
    }

    /// Passes on answers that have come; false if the connection is lost.
    pub fn transfer(&mut self, line: &mut Line, scratch: &mut [u8]) -> bool {
        self.flush();
        let enough = self.received.len() + TRANSFER_BYTES;
        let open = loop {
            match self.stream.try_read(scratch) {
                Ok(0) => break false,
                Ok(bytes) => self.received.extend_from_slice(&scratch[..bytes]),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break true,
                Err(_) => break false,
            }
            if self.received.len() >= enough {
                break true;
            }
        };
        self.pass_on(line) && open
    }

    fn pass_on(&mut self, line: &mut Line) -> bool {
        let mut consumed = 0;
        while let Some((resp, expected)) = self.expected.front().copied() {
            let rest = &self.received[consumed..];
            match frame_len(rest, resp) {
                Ok(Some(bytes)) => {
                    self.stale |= says_not_primary(&rest[..bytes]);
                    if expected == Expected::Pass {
                        line.answer(&rest[..bytes]);
                        line.forwarded = line.forwarded.saturating_sub(1);
                        line.settle();
                    }
                    self.expected.pop_front();
                    consumed += bytes;
                }
                Ok(None) => break,
                Err(_) => return false,
            }
        }
        self.received.drain(..consumed);
        true
    }
}

fn says_not_primary(answer: &[u8]) -> bool {
    answer.strip_prefix(b"-").is_some_and(|text| text.starts_with(DID_NOT_HAPPEN.as_bytes()))
}

/// The length of the reply at the start of `bytes`, if it is all there.
fn frame_len(bytes: &[u8], resp: Resp) -> Result<Option<usize>, RedisProtocolError> {
    if bytes.is_empty() {
        return Ok(None);
    }
    match resp {
        Resp::V2 => Ok(resp2::decode_range(bytes)?.map(|(_, len)| len)),
        Resp::V3 => Ok(resp3::decode_range(bytes)?.map(|(_, len)| len)),
    }
}

fn encode(out: &mut Vec<u8>, args: &Args<'_>) {
    out.extend_from_slice(format!("*{}\r\n", args.len()).as_bytes());
    for arg in args {
        out.extend_from_slice(format!("${}\r\n", arg.len()).as_bytes());
        out.extend_from_slice(arg);
        out.extend_from_slice(b"\r\n");
    }
}

async fn read_line(stream: &mut TcpStream) -> io::Result<String> {
    let mut line = Vec::new();
    while !line.ends_with(b"\r\n") {
        if line.len() > 1024 {
            return Err(io::ErrorKind::InvalidData.into());
        }
        line.push(stream.read_u8().await?);
    }
    Ok(String::from_utf8_lossy(&line).trim_end().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_tells_whether_its_node_is_the_primary() {
        assert!(says_not_primary(format!("-{DID_NOT_HAPPEN}\r\n").as_bytes()));
        assert!(!says_not_primary(format!("+{DID_NOT_HAPPEN}\r\n").as_bytes()));
        assert!(!says_not_primary(b"-TRYAGAIN Multiple keys request during rehashing of slot\r\n"));
    }
}
