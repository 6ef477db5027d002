//! What all workers of the process share.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::acl::{User, Users};
use crate::admin::acl::log::{AclLog, Context, Denial, Reason};
use crate::admin::client::{Client, ClientInfo, ClientRegistry};
use crate::admin::connection::list;
use crate::admin::latency::LatencyMonitor;
use crate::admin::migrate::MigrationRoom;
use crate::admin::monitor::Monitors;
use crate::admin::primary_refusal::PrimaryRefusal;
use crate::admin::slowlog::CommandLog;
use crate::admin::table::Table;
use crate::admin::users::{self, Known, UserBook};
use crate::command::cost::{self, Cost};
use crate::command::stopwatch::{SlowRun, Took, Watched, shortened};
use crate::command::{Args, Command, Handler};
use crate::config::Config;
use crate::config::runtime::RuntimeConfig;
use crate::env::Clock;
use crate::guesses::Guesses;
use crate::keyspace::types::limits::TypeLimits;
use crate::memory::InputRoom;
use crate::metrics::Metrics;
use crate::propose::reply::ConnectionId;
use crate::pubsub::{Kind, Message, PubSub};
use crate::shard::port::ShardHandle;
use crate::space::Space;

#[derive(Debug)]
pub struct Shared {
    pub config: RuntimeConfig,
    pub limits: TypeLimits,
    pub clock: Clock,
    pub metrics: Arc<Metrics>,
    pub shard: Arc<ShardHandle>,
    pub clients: ClientRegistry,
    user_book: UserBook,
    pub acl_log: AclLog,
    pub pubsub: PubSub,
    pub monitors: Monitors,
    /// Messages on their way to the other nodes.
    pub outgoing: Mutex<Outgoing>,
    pub slowlog: CommandLog,
    pub large_requests: CommandLog,
    pub large_replies: CommandLog,
    pub latency: LatencyMonitor,
    /// What the data folder takes of its disk.
    pub space: Space,
    pub guesses: Guesses,
    pub primary_refusal: PrimaryRefusal,
    /// For keys on their way to other servers.
    pub migrations: MigrationRoom,
    /// For requests of which only the beginning has come.
    pub inputs: Arc<InputRoom>,
    /// Held by who reads whole checkpoints to prove them.
    pub proving: Arc<tokio::sync::Mutex<()>>,
    /// Held for the client that is being sent an RDB file.
    pub sending_file: Arc<tokio::sync::Mutex<()>>,
    /// Forty hexadecimal digits that differ from run to run.
    pub run_id: String,
    /// SIGTERM, SHUTDOWN: the process ends in good order.
    pub shutdown: Notify,
}

/// Published messages that the driver hands to the peers.
#[derive(Debug, Default)]
pub struct Outgoing {
    pub messages: Vec<Message>,
    pub bytes: usize,
}

/// Past so many bytes further messages to the peers are dropped: publishing promises no delivery.
pub const MAX_OUTGOING_BYTES: usize = 64 << 20;

impl Shared {
    /// What the workers of a process share that was started with `config`, at its beginning.
    pub fn new(
        config: Config,
        clock: Clock,
        metrics: Arc<Metrics>,
        shard: Arc<ShardHandle>,
        run_id: String,
        table: &'static Table,
    ) -> Shared {
        let is_group = !config.members.is_empty();
        Shared {
            config: RuntimeConfig::new(config, shard.keyspace.group().clone()),
            limits: TypeLimits::default(),
            clock,
            metrics,
            clients: ClientRegistry::default(),
            user_book: UserBook::new(table),
            acl_log: AclLog::default(),
            pubsub: PubSub::new(shard.ports.clone(), is_group.then(|| shard.driver_wake.clone())),
            monitors: Monitors::new(shard.ports.clone()),
            shard,
            outgoing: Mutex::default(),
            slowlog: CommandLog::default(),
            large_requests: CommandLog::default(),
            large_replies: CommandLog::default(),
            latency: LatencyMonitor::default(),
            space: Space::default(),
            guesses: Guesses::default(),
            primary_refusal: PrimaryRefusal::default(),
            migrations: MigrationRoom::default(),
            inputs: Arc::default(),
            proving: Arc::default(),
            sending_file: Arc::default(),
            run_id,
            shutdown: Notify::new(),
        }
    }

    /// The users that this node knows.
    pub fn users(&self) -> Known {
        self.user_book.of(&self.shard.keyspace)
    }

    /// A connection that has said nothing yet.
    pub fn new_client(&self, info: Arc<ClientInfo>, worker: usize, connection: ConnectionId) -> Client {
        let mut client = Client::new(info, worker, connection, self.users().users.default_user().clone());
        self.begin(&mut client);
        client
    }

    /// Whether a connection that says nothing may do what the user `default` may.
    pub fn needs_no_password(&self) -> bool {
        users::opens_without_password(self.users().users.default_user(), &self.config)
    }

    /// Gives a connection that has said nothing, or is reset, the user that it begins with.
    pub fn begin(&self, client: &mut Client) {
        let Known { version, users } = self.users();
        client.user = users.default_user().clone();
        client.users_version = version;
        client.info.details.lock().user = client.user.name().to_vec();
        client.authenticated = users::opens_without_password(&client.user, &self.config);
        client.is_provisional = client.authenticated && !self.knows_users();
        self.clients.set_stranger(client.info.id, !client.authenticated);
    }

    /// Whether this node has the users that its group had when it started, or leads it.
    pub fn knows_users(&self) -> bool {
        let is_alone = self.config.started_with().members.is_empty();
        let has_data = is_alone || self.shard.is_primary() || self.shard.has_caught_up();
        has_data && !self.shard.loading.is_under_way()
    }

    /// Decides about a client that came before users were known.
    pub fn settle(&self, client: &mut Client) {
        client.is_provisional = false;
        client.authenticated = users::opens_without_password(&client.user, &self.config);
        self.clients.set_stranger(client.info.id, !client.authenticated);
    }

    /// Lets a client that has shown who it is have its user.
    pub fn let_in(&self, client: &mut Client, user: Arc<User>, version: u64) {
        client.user = user;
        client.is_provisional = false;
        client.users_version = version;
        client.info.details.lock().user = client.user.name().to_vec();
        if !client.authenticated {
            client.authenticated = true;
            self.clients.set_stranger(client.info.id, false);
        }
    }

    /// Notes in ACL LOG what a client was denied.
    pub fn note_denial(&self, client: &Client, reason: Reason, object: &[u8], user: &[u8]) {
        let context = if client.transaction.is_some() { Context::Multi } else { Context::TopLevel };
        let denial = Denial { reason, context, object: object.to_vec(), user: user.to_vec() };
        let line = list::line_of(client, self.clock.monotonic_ms());
        self.acl_log.note(denial, self.clock.unix_ms(), line, self.config.acllog_max_len());
    }

    /// Ends the connections of users that are gone, and wakes those of users that have changed, so that they look.
    pub fn follow_users(&self, before: &Users) {
        let now = self.users().users;
        let changed = users::changed(before, &now);
        if changed.is_empty() {
            return;
        }
        for info in self.clients.all() {
            let user = info.details.lock().user.clone();
            if now.get(&user).is_none() {
                info.kill();
            } else if changed.contains(&user[..]) {
                info.wake.notify_one();
            }
        }
    }

    /// The users of connections that may not run everything, by connection.
    pub fn limited_users(&self) -> BTreeMap<(usize, ConnectionId), Arc<User>> {
        let now = self.users().users;
        let limited = |info: &ClientInfo| {
            let user = now.get(&info.details.lock().user).filter(|user| !user.is_unlimited())?;
            Some(((info.worker, info.connection), user.clone()))
        };
        self.clients.all().iter().filter_map(|info| limited(info)).collect()
    }

    /// What is noted of commands.
    pub fn watched(&self) -> Watched {
        let group = self.config.group();
        Watched {
            slower_than_us: group.slowlog_slower_than_us(),
            reply_bytes: group.large_reply_bytes(),
            latency_ms: group.latency_threshold_ms(),
        }
    }

    /// Keeps a command that took long, or had a long reply.
    pub fn note_command(&self, run: SlowRun, at_ms: i64, client: Option<&ClientInfo>) {
        let values = self.config.group().values();
        let (log, max_len, amount) = match run.took {
            Took::Micros(micros) => (&self.slowlog, values.slowlog_max_len, micros),
            Took::ReplyBytes(bytes) => (&self.large_replies, values.large_reply_max_len, bytes),
        };
        log.keep(max_len, (run.args, amount), at_ms, client);
    }

    /// Keeps a command that came in a request of so many bytes.
    pub fn note_large_request(&self, args: &Args<'_>, bytes: u64, at_ms: i64, client: &ClientInfo) {
        let max_len = self.config.group().values().large_request_max_len;
        self.large_requests.keep(max_len, (shortened(args), bytes), at_ms, Some(client));
    }

    /// Lets the latency monitor know what an event took.
    pub fn note_latency(&self, event: &'static str, ms: u64, at_ms: i64) {
        self.latency.note(event, ms, self.config.group().latency_threshold_ms(), at_ms);
    }

    /// Publishes on this node and hands the message to the others; returns the receivers in the group.
    pub fn publish(&self, kind: Kind, channel: &[u8], payload: &[u8]) -> usize {
        if !self.config.started_with().members.is_empty() {
            let mut outgoing = self.outgoing.lock();
            let bytes = channel.len() + payload.len();
            if outgoing.bytes + bytes <= MAX_OUTGOING_BYTES {
                outgoing.bytes += bytes;
                outgoing.messages.push(Message::new(kind, channel, payload));
                self.shard.driver_wake.notify_one();
            } else {
                self.metrics.clients.dropped_messages.inc();
            }
        }
        let elsewhere = self.pubsub.receivers_elsewhere(kind, channel);
        elsewhere + self.pubsub.publish(kind, channel, payload)
    }

    /// The error for a command that may need more memory by its arguments than there is, told by the primary alone.
    pub fn memory_refusal(&self, command: &Command, args: &Args<'_>) -> Option<String> {
        let bytes = cost::charged(command, Cost::of_args(args)).bytes();
        let writes = matches!(command.handler_for(args), Handler::Write(_));
        let asks = writes && bytes > 0 && self.shard.is_primary();
        asks.then(|| self.shard.memory.refusal(self.config.maxmemory(), bytes)).flatten()
    }

    /// Whether this node answers clients: as the primary, which takes writes, or by way of one it knows.
    pub fn health(&self) -> Result<(), String> {
        if self.shard.loading.is_under_way() {
            return Err("loading".to_owned());
        }
        if self.shard.refuses_writes() {
            return Err("the disk is full: writes are refused".to_owned());
        }
        if !self.shard.is_primary() && self.shard.status.lock().leader_id == 0 {
            return Err("no primary is known".to_owned());
        }
        match self.refused_by_primary() {
            Some(answer) => Err(format!("the primary refuses what this node sends it: {answer}")),
            None => Ok(()),
        }
    }

    /// On a replica: what the primary has answered, where it refuses this node.
    pub fn refused_by_primary(&self) -> Option<String> {
        let primary = self.shard.primary_addr().filter(|_| !self.shard.is_primary());
        self.primary_refusal.of(primary.as_deref())
    }
}
