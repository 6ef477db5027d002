//! What is said to the target of a MIGRATE.
//!
//! - The password is accepted, the database chosen, and the target known not to be this very database before the first key
//!   is sent.
//! - Keys are sent one behind the other without waiting for answers; what the target accepted before something went wrong
//!   counts as accepted.
//! - Each step (connecting, sending a piece of a key, one answer) may take as long as the request says; while keys are held in memory
//!   for a target, it may take no longer than [`SENDING_PATIENCE`], for other migrations wait for that memory.

use std::io;
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::relay::encode;
use super::upstream::read_line;
use crate::admin::migrate::{MigrateRequest, Migration, Traveller};
use crate::command::{Args, CommandError};
use crate::session::{Sent, Session};

/// Keys are sent in pieces of so many bytes.
const PIECE_BYTES: usize = 1 << 16;
/// How long a target may take for a piece.
const SENDING_PATIENCE: Duration = Duration::from_secs(60);

const CONNECTING: &str = "IOERR error or timeout connecting to the client";
const WRITING: &str = "IOERR error or timeout writing to target instance";
const ITSELF: &str = "ERR the target is this very database";
const READING: &str = "IOERR error or timeout reading from target instance";

const NO_ROOM: &str = "TRYAGAIN other migrations take the memory for keys on their way; the keys stay here and nothing was sent";

/// Reads the keys, once there is room for them.
pub async fn pack(session: &mut Session, args: &Args<'_>) -> Result<Migration, CommandError> {
    let request = MigrateRequest::parse(args)?;
    let shared = session.shared.clone();
    loop {
        let bytes = session.room_for_migration(&request);
        let reserving = shared.migrations.reserve(bytes, &shared.shard.memory);
        let reserved = timeout(request.timeout, reserving).await.unwrap_or_else(|_| Err(NO_ROOM.to_owned()));
        session.now.unix_ms = shared.clock.unix_ms();
        let room = reserved.map_err(CommandError::other)?;
        if let Some(migration) = session.begin_migration(&request, room)? {
            return Ok(migration);
        }
    }
}

/// Sends the keys; returns which of them the target has now.
/// `run_id` is this process's.
pub async fn send(migration: &mut Migration, run_id: &str) -> Sent {
    let mut sent = Sent::default();
    if !migration.travellers.is_empty()
        && let Err(error) = send_all(migration, run_id, &mut sent).await
    {
        sent.error.get_or_insert(error);
    }
    sent
}

async fn send_all(migration: &mut Migration, run_id: &str, sent: &mut Sent) -> Result<(), String> {
    let Migration { request, travellers, room, .. } = migration;
    let mut target = Target::connect(request).await?;
    target.greet(request).await?;
    if target.read_line().await? == format!("+{run_id}") && usize::try_from(request.db) == Ok(migration.db) {
        return Err(ITSELF.to_owned());
    }
    for traveller in travellers.iter_mut() {
        target.restore(traveller, request.replace).await?;
    }
    *room = None;
    for _ in travellers {
        let refusal = target.read_refusal().await?;
        sent.accepted.push(refusal.is_none());
        if sent.error.is_none() {
            sent.error = refusal;
        }
    }
    Ok(())
}

struct Target {
    stream: TcpStream,
    /// For each step.
    patience: Duration,
}

impl Target {
    async fn connect(request: &MigrateRequest) -> Result<Target, String> {
        let connecting = TcpStream::connect((request.host.as_str(), request.port));
        let stream = within(request.timeout, connecting, CONNECTING).await?;
        stream.set_nodelay(true).map_err(|_| CONNECTING)?;
        Ok(Target { stream, patience: request.timeout })
    }

    /// Also asks who the target is: its next answer tells.
    async fn greet(&mut self, request: &MigrateRequest) -> Result<(), String> {
        let db = request.db.to_string();
        let mut greeting = Vec::new();
        let mut answers = 1;
        if let Some(credentials) = &request.credentials {
            let user = credentials.user.as_deref();
            let words = [Some(&b"AUTH"[..]), user, Some(&credentials.password)];
            encode(&mut greeting, &words.into_iter().flatten().collect::<Vec<_>>());
            answers += 1;
        }
        encode(&mut greeting, &[b"SELECT", db.as_bytes()]);
        encode(&mut greeting, &[b"PERDURA", b"RUNID"]);
        self.write(&greeting).await?;
        for _ in 0..answers {
            self.read_refusal().await?.map_or(Ok(()), Err)?;
        }
        Ok(())
    }

    /// Sends a key; its payload is freed.
    async fn restore(&mut self, traveller: &mut Traveller, replace: bool) -> Result<(), String> {
        let payload = std::mem::take(&mut traveller.payload);
        let mut head = format!("*{}\r\n", 4 + usize::from(replace)).into_bytes();
        let ttl_ms = traveller.ttl_ms.to_string();
        for word in [&b"RESTORE"[..], &traveller.key, ttl_ms.as_bytes()] {
            encode_bulk(&mut head, word);
        }
        head.extend_from_slice(format!("${}\r\n", payload.len()).as_bytes());
        let tail: &[u8] = if replace { b"\r\n$7\r\nREPLACE\r\n" } else { b"\r\n" };
        if payload.len() <= PIECE_BYTES {
            return self.write(&[&head[..], &payload, tail].concat()).await;
        }
        self.write(&head).await?;
        self.write(&payload).await?;
        self.write(tail).await
    }

    async fn write(&mut self, bytes: &[u8]) -> Result<(), String> {
        let patience = self.patience.min(SENDING_PATIENCE);
        for piece in bytes.chunks(PIECE_BYTES) {
            within(patience, self.stream.write_all(piece), WRITING).await?;
        }
        Ok(())
    }

    async fn read_line(&mut self) -> Result<String, String> {
        within(self.patience, read_line(&mut self.stream), READING).await
    }

    /// Reads an answer; returns the error to pass on if it is one.
    async fn read_refusal(&mut self) -> Result<Option<String>, String> {
        let line = self.read_line().await?;
        let refused = line.strip_prefix('-');
        Ok(refused.map(|text| format!("ERR Target instance replied with error: {text}")))
    }
}

async fn within<T>(
    patience: Duration,
    step: impl Future<Output = io::Result<T>>,
    error: &str,
) -> Result<T, String> {
    timeout(patience, step).await.ok().and_then(Result::ok).ok_or_else(|| error.to_owned())
}

fn encode_bulk(out: &mut Vec<u8>, word: &[u8]) {
    out.extend_from_slice(format!("${}\r\n", word.len()).as_bytes());
    out.extend_from_slice(word);
    out.extend_from_slice(b"\r\n");
}
