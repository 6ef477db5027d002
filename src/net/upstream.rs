//! The connection on which a node that is not the primary sends one client's commands there.
//!
//! - Each client has its own, made when first needed: the primary keeps the client's order, its watches and its blocking
//!   commands as it does for its own clients.
//! - Before a command the primary is told what has changed since the last: protocol version and database. The answers to
//!   that are swallowed.
//! - It authenticates with `masterauth` and declares itself with PERDURA NOFORWARD, so that nothing is sent round in circles:
//!   a node that is not the primary any more answers that the command did not happen.
//! - When it is lost, everything that was sent and not answered is in doubt.

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

/// How long a command waits for a primary to be known.
const PRIMARY_WAIT: Duration = Duration::from_millis(1500);
const PRIMARY_POLL: Duration = Duration::from_millis(20);
const CONNECT_TIMEOUT: Duration = Duration::from_millis(1000);

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
    /// In which protocol the answer comes, and what to do with it.
    expected: VecDeque<(Resp, Expected)>,
    unsent: Vec<u8>,
    received: Vec<u8>,
    resp: Resp,
    db: usize,
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
        let (expected, unsent, received) = Default::default();
        Ok(Upstream { stream, expected, unsent, received, resp: Resp::V2, db: 0 })
    }

    /// Sends a request; returns the number of answers to come.
    pub fn send(&mut self, client: &Client, args: &Args<'_>) -> u32 {
        self.adopt(client);
        self.request(args, Expected::Pass);
        self.flush();
        1
    }

    /// Sends a transaction, MULTI and EXEC around it; returns the number of answers to come.
    pub fn send_transaction(&mut self, client: &Client, queued: &[Queued]) -> u32 {
        self.adopt(client);
        self.request(&[b"MULTI"], Expected::Swallow);
        for Queued { args, .. } in queued {
            let args: Vec<&[u8]> = args.iter().map(|arg| &**arg).collect();
            self.request(&args, Expected::Swallow);
        }
        self.request(&[b"EXEC"], Expected::Pass);
        self.flush();
        1
    }

    /// Tells the primary what the client has chosen since the last command.
    fn adopt(&mut self, client: &Client) {
        if self.resp != client.resp {
            self.resp = client.resp;
            let version: &[u8] = if client.resp == Resp::V3 { b"3" } else { b"2" };
            self.request(&[b"HELLO", version], Expected::Swallow);
        }
        if self.db != client.db {
            self.db = client.db;
            self.request(&[b"SELECT", client.db.to_string().as_bytes()], Expected::Swallow);
        }
    }

    fn request(&mut self, args: &Args<'_>, expected: Expected) {
        encode(&mut self.unsent, args);
        self.expected.push_back((self.resp, expected));
    }

    /// Waits until there is something to do: answers, or room for what is unsent.
    pub async fn readable(upstream: &Option<Upstream>) {
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
        while let Ok(sent @ 1..) = self.stream.try_write(&self.unsent) {
            self.unsent.drain(..sent);
            if self.unsent.is_empty() {
                break;
            }
        }
    }

    /// Passes on the answers that have come; false if the connection is lost.
    pub fn transfer(&mut self, line: &mut Line) -> bool {
        self.flush();
        let mut chunk = vec![0; 64 << 10];
        let open = loop {
            match self.stream.try_read(&mut chunk) {
                Ok(0) => break false,
                Ok(bytes) => self.received.extend_from_slice(&chunk[..bytes]),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break true,
                Err(_) => break false,
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
