//! The connection on which a node that is not the primary sends one client's commands there. What is said on it is `relay`'s.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use thiserror::Error;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::hold::{Hold, Next};
use super::relay::{FAREWELL_MS, Heard, Relay};
use crate::acl::User;
use crate::admin::client::Client;
use crate::admin::shared::Shared;
use crate::command::Args;
use crate::session::{Line, SentTransaction, Session};

/// How long the primary's machine may take to accept a connection. That it greets may take longer: a primary that is busy
/// lets all of its clients wait.
const CONNECT_TIMEOUT: Duration = Duration::from_millis(1000);
/// How long after a primary did not let this node in it is asked again.
const LOOK_AGAIN: Duration = Duration::from_secs(2);
const LONGEST_LOOK_AGAIN: Duration = Duration::from_secs(60);
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

/// How a connection to the primary is after answers were passed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transfer {
    Open,
    Lost,
    /// It said something that is no answer to what it was sent.
    Unexpected,
}

pub struct Upstream {
    stream: TcpStream,
    /// The connection's number on the primary.
    client_id: u64,
    /// The user in whose name it sends.
    user: Box<[u8]>,
    pub relay: Relay,
}

impl Upstream {
    /// Connects to the primary. It waits for one that can be reached as `hold` allows, and for its greeting as long as it is the
    /// primary.
    pub async fn connect(session: &Session, hold: &mut Hold) -> Result<Upstream, UpstreamError> {
        let (shared, shard) = (&session.shared, &session.shared.shard);
        let hold_ms = shared.config.started_with().hold_without_primary_ms;
        loop {
            let known = shard.primary_addr();
            match (hold.next(known.as_deref(), shared.clock.monotonic_ms(), hold_ms), known) {
                (Next::Try, Some(addr)) => tokio::select! {
                    opened = open_and_note(&addr, shared, &session.client.user) => match opened {
                        Ok((stream, client_id)) => {
                            let user = session.client.user.name().into();
                            return Ok(Upstream { stream, client_id, user, relay: Relay::new(addr) });
                        }
                        Err(error @ UpstreamError::Refused(_)) => return Err(error),
                        Err(_) => hold.note_failure(&addr, shared.clock.monotonic_ms()),
                    },
                    () = shard.primary_changes(Some(&addr)) => {}
                },
                (Next::Wait { ms }, known) => tokio::select! {
                    () = shard.primary_changes(known.as_deref()) => {}
                    () = tokio::time::sleep(Duration::from_millis(ms)) => {}
                },
                (Next::Refuse | Next::Try, None) => return Err(UpstreamError::NoPrimary),
                (Next::Refuse, Some(_)) => return Err(UpstreamError::Unreachable),
            }
        }
    }

    /// Whether it sends in the name of this user.
    pub fn is_of(&self, user: &User) -> bool {
        *self.user == *user.name()
    }

    /// Returns when the connection may have to be given up: the primary is another, or none is known.
    pub async fn may_be_outdated(upstream: &Option<Upstream>, shared: &Shared) {
        let Some(upstream) = upstream else { return std::future::pending().await };
        if upstream.relay.is_doubted() {
            tokio::time::sleep(Duration::from_millis(FAREWELL_MS)).await;
        } else {
            shared.shard.primary_changes(Some(upstream.relay.addr())).await;
        }
    }

    /// Asks the primary, on another connection, to end the wait of the command that it was sent on this one. If it can't
    /// be asked the wait goes on.
    pub fn unblock(&self, shared: &Arc<Shared>, with_error: bool) {
        let (shared, addr, id) = (shared.clone(), self.relay.addr().to_owned(), self.client_id);
        let Some(user) = shared.users().users.get(&self.user).cloned() else { return };
        tokio::task::spawn_local(async move {
            let asked = tokio::time::timeout(
                CONNECT_TIMEOUT,
                ask_to_unblock(&shared, (&addr, &user), id, with_error),
            );
            match asked.await {
                Ok(Ok(answer)) => tracing::debug!(answer, "asked the primary to end a wait"),
                Ok(Err(error)) => tracing::debug!(%error, "the primary can't be asked to end a wait"),
                Err(_) => tracing::debug!("the primary does not answer in time whether it ends a wait"),
            }
        });
    }

    /// Sends a request; returns the number of answers to come.
    pub fn send(&mut self, client: &Client, args: &Args<'_>, line: &Line) -> u32 {
        let answers = self.relay.send(client, args, line);
        self.flush();
        answers
    }

    /// Sends a transaction; returns the number of answers to come.
    pub fn send_transaction(
        &mut self,
        client: &Client,
        watched: bool,
        sent: SentTransaction,
        line: &Line,
    ) -> u32 {
        let answers = self.relay.send_transaction(client, watched, sent, line);
        self.flush();
        answers
    }

    /// Waits until there is something to do: answers, or room for what is unsent.
    pub async fn ready(upstream: &Option<Upstream>) {
        let Some(upstream) = upstream else { return std::future::pending().await };
        let interest = if upstream.relay.unsent.is_empty() {
            tokio::io::Interest::READABLE
        } else {
            tokio::io::Interest::READABLE | tokio::io::Interest::WRITABLE
        };
        // An error shows again in the read that follows.
        let _ = upstream.stream.ready(interest).await;
    }

    fn flush(&mut self) {
        let unsent = &mut self.relay.unsent;
        let mut sent = 0;
        while sent < unsent.len() {
            match self.stream.try_write(&unsent[sent..]) {
                Ok(more @ 1..) => sent += more,
                // An error shows again in the read that follows.
                Ok(_) | Err(_) => break,
            }
        }
        unsent.drain(..sent);
    }

    /// Passes on answers that have come.
    pub fn transfer(&mut self, line: &mut Line, scratch: &mut [u8]) -> Transfer {
        self.flush();
        let received = &mut self.relay.received;
        let enough = received.len() + TRANSFER_BYTES;
        let open = loop {
            match self.stream.try_read(scratch) {
                Ok(0) => break false,
                Ok(bytes) => received.extend_from_slice(&scratch[..bytes]),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break true,
                Err(_) => break false,
            }
            if received.len() >= enough {
                break true;
            }
        };
        match (self.relay.pass_on(line), open) {
            (Heard::Unexpected, _) => Transfer::Unexpected,
            (Heard::Expected, true) => Transfer::Open,
            (Heard::Expected, false) => Transfer::Lost,
        }
    }
}

/// Looks whether the primary lets this node in, whenever another one leads, and again and again while it does not, with ever longer pauses: a
/// health check has to know before clients do.
pub async fn watch_primary(shared: Arc<Shared>) {
    if shared.config.started_with().members.is_empty() {
        return;
    }
    let mut pause = LOOK_AGAIN;
    loop {
        let known = shared.shard.primary_addr();
        // None where there is no primary to ask, or no user to ask it for.
        let is_let_in = match &known {
            Some(addr) if !shared.shard.is_primary() && shared.knows_users() => {
                let user = shared.users().users.default_user().clone();
                let opened = tokio::time::timeout(LOOK_AGAIN, open_and_note(addr, &shared, &user));
                Some(opened.await.is_ok_and(|opened| opened.is_ok()))
            }
            _ => None,
        };
        let next_pause = if is_let_in == Some(false) { (2 * pause).min(LONGEST_LOOK_AGAIN) } else { pause };
        tokio::select! {
            () = shared.shard.primary_changes(known.as_deref()) => pause = LOOK_AGAIN,
            // The primary counts each try as a wrong password.
            () = tokio::time::sleep(pause), if is_let_in != Some(true) => pause = next_pause,
        }
    }
}

/// As [`open`]; what came of it is noted for health checks.
async fn open_and_note(addr: &str, shared: &Shared, user: &User) -> Result<(TcpStream, u64), UpstreamError> {
    let opened = open(addr, shared, user).await;
    match &opened {
        Ok(_) => shared.primary_refusal.note_accepted(addr),
        Err(UpstreamError::Refused(answer)) => shared.primary_refusal.note_refused(addr, answer),
        Err(_) => {}
    }
    opened
}

/// Connects and greets; returns the connection and its number there.
async fn open(addr: &str, shared: &Shared, user: &User) -> Result<(TcpStream, u64), UpstreamError> {
    let connected = tokio::time::timeout(CONNECT_TIMEOUT, TcpStream::connect(addr)).await;
    let mut stream = connected.ok().and_then(Result::ok).ok_or(UpstreamError::Unreachable)?;
    stream.set_nodelay(true).map_err(|_| UpstreamError::Unreachable)?;
    let password = shared.config.masterauth();
    let greeting = Relay::greeting(user, password.as_ref().map(|password| password.expose()));
    stream.write_all(&greeting).await.map_err(|_| UpstreamError::Unreachable)?;
    let line = read_line(&mut stream).await.map_err(|_| UpstreamError::Unreachable)?;
    let client_id = line.strip_prefix('+').and_then(|id| id.parse().ok());
    // A change of the user is on its way to one of the two nodes.
    let is_behind = line.starts_with("-TRYAGAIN");
    let refused = if is_behind { UpstreamError::Unreachable } else { UpstreamError::Refused(line) };
    client_id.map(|id| (stream, id)).ok_or(refused)
}

async fn ask_to_unblock(
    shared: &Shared,
    (addr, user): (&str, &User),
    id: u64,
    with_error: bool,
) -> Result<String, UpstreamError> {
    let (mut stream, _) = open(addr, shared, user).await?;
    let request = Relay::unblock(id, with_error);
    stream.write_all(&request).await.map_err(|_| UpstreamError::Unreachable)?;
    read_line(&mut stream).await.map_err(|_| UpstreamError::Unreachable)
}

pub(super) async fn read_line(stream: &mut TcpStream) -> io::Result<String> {
    let mut line = Vec::new();
    while !line.ends_with(b"\r\n") {
        if line.len() > 1024 {
            return Err(io::ErrorKind::InvalidData.into());
        }
        line.push(stream.read_u8().await?);
    }
    Ok(String::from_utf8_lossy(&line).trim_end().to_owned())
}
