//! What one worker gathers for the log between two turns of it.
//!
//! - Items stand in the order in which the worker met them, so each connection's requests keep their order.
//! - The commands' bytes lie one behind the other in `bytes`, in the form in which they go into an entry; an item says
//!   how many of them are its own. Gathering a write is one copy and no allocation.
//! - Passengers (reads and finished replies that follow an unanswered write of their connection) ride along to be
//!   answered at their place; they are never logged.

use super::entry;
use super::reply::ConnectionId;
use crate::command::Command;
use crate::protocol::reply::Resp;

/// Past so many bytes a worker's batch is full: its connections wait for the log.
pub const MAX_BATCH_BYTES: usize = 64 << 20;
/// Past so many items likewise.
pub const MAX_BATCH_ITEMS: usize = 1 << 20;

/// What an empty batch has room for at most: a worker that waits for work keeps no more than this.
const KEPT_BYTES: usize = 256 << 10;
const KEPT_ITEMS: usize = 4096;

#[derive(Debug)]
pub struct BatchItem {
    pub connection: ConnectionId,
    pub resp: Resp,
    /// Its client caches what it reads.
    pub tracks: bool,
    pub work: Work,
}

pub enum Work {
    /// A logged command of `argc` arguments, its name included; the next so many bytes are an entry's item.
    Write { bytes: usize, command: &'static Command, argc: u32 },
    /// A logged command that waits where it finds nothing; the rest as for `Write`.
    Blocking { bytes: usize, command: &'static Command, argc: u32, deadline_ms: Option<i64> },
    /// A passenger: a reading command; the next so many bytes are an entry's item.
    Read { bytes: usize, command: &'static Command },
    /// A passenger: a reply that is finished and only waits for its place.
    Literal(Vec<u8>),
    /// EXEC; the next so many bytes are an entry's transaction of its writes, none where it has none.
    Transaction { bytes: usize, steps: Box<[Step]> },
    /// WATCH of keys in a database.
    Watch { db: usize, keys: Box<[Box<[u8]>]> },
    /// UNWATCH, DISCARD, or the connection is gone: nobody waits or watches there any more. Not answered.
    Forget,
    /// CLIENT UNBLOCK or a like end of waiting; not answered itself.
    Unblock { with_error: bool },
    /// A command of the server's own; bytes as for `Write`. Not answered.
    Internal { bytes: usize },
}

impl std::fmt::Debug for Work {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Work::Write { .. } => "Write",
            Work::Blocking { .. } => "Blocking",
            Work::Read { .. } => "Read",
            Work::Literal(_) => "Literal",
            Work::Transaction { .. } => "Transaction",
            Work::Watch { .. } => "Watch",
            Work::Forget => "Forget",
            Work::Unblock { .. } => "Unblock",
            Work::Internal { .. } => "Internal",
        })
    }
}

/// One queued command of a transaction.
pub enum Step {
    /// The next command of the entry's transaction.
    Write(&'static Command),
    /// Run at its place on the primary, never logged.
    Read { command: &'static Command, db: usize, args: Box<[Box<[u8]>]> },
    /// No command and no reply: the replies that follow are in this version of the protocol.
    Speak(Resp),
}

impl Step {
    pub fn command(&self) -> Option<&'static Command> {
        match self {
            Step::Write(command) | Step::Read { command, .. } => Some(command),
            Step::Speak(_) => None,
        }
    }
}

#[derive(Debug, Default)]
pub struct Batch {
    pub bytes: Vec<u8>,
    pub items: Vec<BatchItem>,
}

impl Batch {
    /// An empty one that takes as much as another has, up to what a busy worker fills between two turns.
    pub fn with_room_of(other: &Batch) -> Batch {
        Batch {
            bytes: Vec::with_capacity(other.bytes.len().min(KEPT_BYTES)),
            items: Vec::with_capacity(other.items.len().min(KEPT_ITEMS)),
        }
    }

    /// Bytes that are allocated for it.
    pub fn capacity(&self) -> usize {
        self.bytes.capacity() + self.items.capacity() * size_of::<BatchItem>()
    }

    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    pub fn is_full(&self) -> bool {
        self.bytes.len() >= MAX_BATCH_BYTES || self.items.len() >= MAX_BATCH_ITEMS
    }

    /// Appends a command as an entry's item; returns its length in bytes.
    pub fn encode_single(&mut self, db: usize, args: &[&[u8]]) -> usize {
        let start = self.bytes.len();
        entry::write_single(&mut self.bytes, db, args);
        self.bytes.len() - start
    }

    pub fn push(&mut self, connection: ConnectionId, resp: Resp, work: Work) {
        self.push_for((connection, resp, false), work);
    }

    /// As [`push`](Self::push), saying as well whether the client caches what it reads.
    pub fn push_for(&mut self, (connection, resp, tracks): (ConnectionId, Resp, bool), work: Work) {
        self.items.push(BatchItem { connection, resp, tracks, work });
    }

    pub fn clear(&mut self) {
        self.bytes.clear();
        self.items.clear();
    }
}
