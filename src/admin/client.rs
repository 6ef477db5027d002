//! What one connection has chosen and is in the middle of: its protocol, database, name, transaction, subscriptions.
//!
//! A client belongs to its connection's task alone. What others may see of it (CLIENT LIST) or do to it (CLIENT KILL) is
//! in the registry's [`ClientInfo`].

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};

use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::acl::User;
use crate::admin::rdb_file::ReplicaTraits;
use crate::admin::table::TableRow;
use crate::admin::tracking::{ShownTracking, TrackingChoice};
use crate::command::Command;
use crate::propose::reply::ConnectionId;
use crate::protocol::invalidation::PushForm;
use crate::protocol::reply::Resp;

/// One connection's state.
#[derive(Debug)]
pub struct Client {
    pub info: Arc<ClientInfo>,
    pub worker: usize,
    pub connection: ConnectionId,
    pub resp: Resp,
    pub db: usize,
    /// What it may do, once it is authenticated.
    pub user: Arc<User>,
    /// Users were not known yet when it began: whether it may stay without a password is decided once they are.
    pub is_provisional: bool,
    /// Of the keyspace's users, when `user` was looked up.
    pub users_version: u64,
    pub authenticated: bool,
    /// Wrong passwords that it has sent.
    pub wrong_passwords: u32,
    /// READONLY: reads are answered from a replica's own data.
    pub reads_from_replica: bool,
    /// Comes from another node for one of its clients: never sent on again.
    pub forwarded: bool,
    /// That other node has shown that it is one: it says in its own name what its client was asked about there.
    pub is_nodes: bool,
    pub transaction: Option<Transaction>,
    /// The leadership epoch in which keys were watched on this node.
    pub watching_epoch: Option<u64>,
    pub channels: BTreeSet<Vec<u8>>,
    pub patterns: BTreeSet<Vec<u8>>,
    pub shard_channels: BTreeSet<Vec<u8>>,
    /// MONITOR: it is shown every command.
    pub monitors: bool,
    /// CLIENT NO-TOUCH: what it reads is not noted as used.
    pub no_touch: bool,
    pub reply_mode: ReplyMode,
    /// CLIENT TRACKING: what it reads, or keys with certain prefixes, it may have cached.
    pub tracking: Option<Box<TrackingChoice>>,
    /// What it has said of itself by REPLCONF.
    pub replica: ReplicaTraits,
    /// Close once everything written so far is sent.
    pub close_after_reply: bool,
}

/// CLIENT REPLY.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ReplyMode {
    #[default]
    On,
    Off,
    /// The next command's reply is left out.
    SkipNext,
}

/// Commands queued behind MULTI.
#[derive(Debug, Default)]
pub struct Transaction {
    pub queued: Vec<Queued>,
    pub bytes: usize,
    /// A command could not be queued: EXEC will refuse.
    pub broken: bool,
}

#[derive(Debug)]
pub struct Queued {
    pub command: QueuedCommand,
    pub args: Box<[Box<[u8]>]>,
}

impl Queued {
    pub fn slices(&self) -> Vec<&[u8]> {
        self.args.iter().map(|arg| &**arg).collect()
    }
}

/// A row of the table, comparable by nothing and shown by its name.
#[derive(Clone, Copy)]
pub struct QueuedCommand(pub &'static TableRow);

impl std::fmt::Debug for QueuedCommand {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0.full_name)
    }
}

impl Client {
    pub fn new(info: Arc<ClientInfo>, worker: usize, connection: ConnectionId, user: Arc<User>) -> Self {
        Client {
            info,
            worker,
            connection,
            resp: Resp::V2,
            db: 0,
            user,
            is_provisional: false,
            users_version: 0,
            authenticated: false,
            wrong_passwords: 0,
            reads_from_replica: false,
            forwarded: false,
            is_nodes: false,
            transaction: None,
            watching_epoch: None,
            channels: BTreeSet::new(),
            patterns: BTreeSet::new(),
            shard_channels: BTreeSet::new(),
            monitors: false,
            no_touch: false,
            reply_mode: ReplyMode::On,
            tracking: None,
            replica: ReplicaTraits::default(),
            close_after_reply: false,
        }
    }

    /// Channels and patterns subscribed to, as SUBSCRIBE counts them.
    pub fn subscriptions(&self) -> usize {
        self.channels.len() + self.patterns.len()
    }

    /// Whether the connection is in the subscribed state, in which RESP2 allows few commands.
    pub fn is_subscriber(&self) -> bool {
        self.subscriptions() + self.shard_channels.len() > 0
    }

    /// Whether keys that it reads by this command keep their access times.
    pub fn touches_nothing(&self, command: &Command) -> bool {
        self.no_touch && command.name != "touch"
    }

    /// Whether the server sends it what it has not asked for each time.
    pub fn is_listener(&self) -> bool {
        self.monitors || self.is_subscriber()
    }

    /// Brings up to date what others see of the connection's choices, which the caller has locked.
    pub fn write_details(&self, details: &mut ClientDetails) {
        details.db = self.db;
        details.resp3 = self.resp == Resp::V3;
        details.channels = self.channels.len();
        details.patterns = self.patterns.len();
        details.shard_channels = self.shard_channels.len();
        details.multi = self.transaction.as_ref().map(|transaction| transaction.queued.len());
        details.watching = self.watching_epoch.is_some();
        details.monitors = self.monitors;
        details.no_touch = self.no_touch;
        details.tracking = self.tracking.as_ref().map(|choice| choice.shown());
    }

    /// What it can be sent of what it has not asked for each time.
    pub fn push_form(&self) -> PushForm {
        PushForm { resp: self.resp, is_subscriber: self.is_subscriber() }
    }

    /// The connection as registries of listeners know it.
    pub fn listener_id(&self) -> (usize, ConnectionId) {
        (self.worker, self.connection)
    }
}

/// What the process knows of a connection.
#[derive(Debug)]
pub struct ClientInfo {
    /// Never used twice in a process.
    pub id: u64,
    pub addr: String,
    pub local_addr: String,
    pub worker: usize,
    pub connection: ConnectionId,
    pub connected_at_ms: u64,
    pub last_active_ms: AtomicU64,
    /// The index of the newest entry that was applied when the log last answered the connection: none of its writes is later.
    answered_index: AtomicU64,
    /// What its buffers take: for what is read and not consumed, and for what is not sent.
    pub input_bytes: AtomicU64,
    pub output_bytes: AtomicU64,
    /// Bytes of requests that were taken, and of replies that were sent, since it connected.
    pub taken_bytes: AtomicU64,
    pub sent_bytes: AtomicU64,
    /// Bytes of replies that its socket had no room for.
    pub unsent_bytes: AtomicU64,
    /// Another connection gets its messages of client-side caching, and is gone.
    pub redirection_is_broken: Arc<AtomicBool>,
    /// Set by CLIENT KILL, then `wake`.
    pub killed: AtomicBool,
    /// What CLIENT UNBLOCK asks the connection to do itself.
    unblock: AtomicU8,
    pub wake: Notify,
    pub details: Mutex<ClientDetails>,
}

/// What CLIENT LIST tells beyond addresses; brought up to date once per burst of commands.
#[derive(Clone, Debug, Default)]
pub struct ClientDetails {
    pub name: Vec<u8>,
    /// The name of its user.
    pub user: Vec<u8>,
    pub lib_name: Vec<u8>,
    pub lib_ver: Vec<u8>,
    pub db: usize,
    pub resp3: bool,
    pub channels: usize,
    pub patterns: usize,
    pub shard_channels: usize,
    /// Commands queued in a transaction, if there is one.
    pub multi: Option<usize>,
    pub watching: bool,
    pub monitors: bool,
    pub blocked: Blocked,
    /// What keeps a command that it has sent from beginning.
    pub delayed: Option<Delay>,
    pub no_evict: bool,
    pub no_touch: bool,
    pub tracking: Option<ShownTracking>,
    pub last_command: &'static str,
    pub query_buffer_bytes: usize,
    pub commands: u64,
}

/// Where a connection waits in a blocking command.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Blocked {
    #[default]
    Nowhere,
    /// At this node's log.
    Here,
    OnPrimary,
}

/// Why a command does not begin yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delay {
    Pause,
    /// WAIT: followers have not yet acknowledged what the connection wrote.
    Acks,
    /// This node has not yet applied what the connection has changed of its group.
    CatchingUp,
}

impl ClientDetails {
    /// Whether the connection waits for anything, as CLIENT LIST shows it.
    pub fn is_blocked(&self) -> bool {
        self.blocked != Blocked::Nowhere || self.delayed.is_some()
    }
}

/// Every open connection.
#[derive(Debug, Default)]
pub struct ClientRegistry {
    next_id: AtomicU64,
    open: Mutex<OpenClients>,
}

#[derive(Debug, Default)]
struct OpenClients {
    by_id: BTreeMap<u64, Arc<ClientInfo>>,
    /// Those that have not authenticated, where they have to: oldest first.
    strangers: BTreeSet<u64>,
}

impl ClientRegistry {
    pub fn next_id(&self) -> u64 {
        self.next_id.fetch_add(1, Ordering::Relaxed) + 1
    }

    pub fn add(&self, info: Arc<ClientInfo>) {
        self.open.lock().by_id.insert(info.id, info);
    }

    pub fn remove(&self, id: u64) {
        let mut open = self.open.lock();
        open.by_id.remove(&id);
        open.strangers.remove(&id);
    }

    /// Notes whether an open connection still has to authenticate.
    pub fn set_stranger(&self, id: u64, is_stranger: bool) {
        let strangers = &mut self.open.lock().strangers;
        if is_stranger {
            strangers.insert(id)
        } else {
            strangers.remove(&id)
        };
    }

    /// Ends the oldest connection that has not authenticated; false if there is none. It no longer counts.
    pub fn end_oldest_stranger(&self) -> bool {
        let mut open = self.open.lock();
        let Some(oldest) = open.strangers.pop_first() else { return false };
        open.by_id.remove(&oldest).inspect(|info| info.kill());
        true
    }

    pub fn len(&self) -> usize {
        self.open.lock().by_id.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub fn get(&self, id: u64) -> Option<Arc<ClientInfo>> {
        self.open.lock().by_id.get(&id).cloned()
    }

    /// The open connection with this number at its worker; looks at one after the other.
    pub fn of_connection(&self, worker: usize, connection: ConnectionId) -> Option<Arc<ClientInfo>> {
        let open = self.open.lock();
        open.by_id.values().find(|info| (info.worker, info.connection) == (worker, connection)).cloned()
    }

    /// Ends connections, the largest first, until what the buffers of the others take is within `most` bytes; returns how many. Those that
    /// asked not to be evicted stay, and do not count.
    pub fn end_largest(&self, most: u64) -> usize {
        let may_end =
            |info: &ClientInfo| !info.killed.load(Ordering::Acquire) && !info.details.lock().no_evict;
        let clients = self.all().into_iter().filter(|info| may_end(info));
        let mut clients: Vec<(u64, Arc<ClientInfo>)> =
            clients.map(|info| (info.buffer_bytes(), info)).collect();
        clients.sort_by_key(|(bytes, _)| Reverse(*bytes));
        let mut left = clients.iter().map(|(bytes, _)| bytes).sum::<u64>();
        let mut ended = 0;
        for (bytes, info) in clients {
            if left <= most {
                break;
            }
            tracing::warn!(
                client = info.id,
                bytes,
                "buffers of clients take too much (maxmemory-clients): connection closed"
            );
            info.kill();
            left -= bytes;
            ended += 1;
        }
        ended
    }

    /// Everybody, oldest first.
    pub fn all(&self) -> Vec<Arc<ClientInfo>> {
        self.open.lock().by_id.values().cloned().collect()
    }
}

/// What [`ClientInfo::ask_to_unblock`] leaves.
const UNBLOCK: u8 = 1;
const UNBLOCK_WITH_ERROR: u8 = 2;

impl ClientInfo {
    /// A connection that was made at this monotonic time.
    pub fn new(
        id: u64,
        (addr, local_addr): (String, String),
        (worker, connection): (usize, ConnectionId),
        now_ms: u64,
    ) -> Self {
        ClientInfo {
            id,
            addr,
            local_addr,
            worker,
            connection,
            connected_at_ms: now_ms,
            last_active_ms: now_ms.into(),
            answered_index: 0.into(),
            input_bytes: 0.into(),
            output_bytes: 0.into(),
            taken_bytes: 0.into(),
            sent_bytes: 0.into(),
            unsent_bytes: 0.into(),
            redirection_is_broken: Arc::default(),
            killed: false.into(),
            unblock: 0.into(),
            wake: Notify::new(),
            details: Mutex::default(),
        }
    }

    /// An index of the log that none of the connection's answered writes is behind.
    pub fn answered_index(&self) -> u64 {
        self.answered_index.load(Ordering::Relaxed)
    }

    /// Notes that the log has answered the connection, or may have, when this index was the newest applied.
    pub fn note_answer(&self, applied: u64) {
        self.answered_index.store(applied, Ordering::Relaxed);
    }

    /// What its buffers take.
    pub fn buffer_bytes(&self) -> u64 {
        self.input_bytes.load(Ordering::Relaxed) + self.output_bytes.load(Ordering::Relaxed)
    }

    /// Asks the connection to end its own waiting, as soon as its task runs.
    pub fn ask_to_unblock(&self, with_error: bool) {
        self.unblock.store(if with_error { UNBLOCK_WITH_ERROR } else { UNBLOCK }, Ordering::Release);
        self.wake.notify_one();
    }

    /// Whether the connection was asked to end its waiting; if so, whether with an error.
    pub fn take_unblock(&self) -> Option<bool> {
        match self.unblock.swap(0, Ordering::AcqRel) {
            0 => None,
            asked => Some(asked == UNBLOCK_WITH_ERROR),
        }
    }

    /// Ends the connection as soon as its task runs.
    pub fn kill(&self) {
        self.killed.store(true, Ordering::Release);
        self.wake.notify_one();
    }
}
