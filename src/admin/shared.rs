//! What all workers of the process share.

use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::admin::client::ClientRegistry;
use crate::admin::migrate::MigrationRoom;
use crate::admin::monitor::Monitors;
use crate::admin::slowlog::SlowLog;
use crate::command::cost::{self, Cost};
use crate::command::{Args, Command, Handler};
use crate::config::Config;
use crate::config::runtime::RuntimeConfig;
use crate::env::Clock;
use crate::guesses::Guesses;
use crate::keyspace::types::limits::TypeLimits;
use crate::memory::InputRoom;
use crate::metrics::Metrics;
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
    pub pubsub: PubSub,
    pub monitors: Monitors,
    /// Messages on their way to the other nodes.
    pub outgoing: Mutex<Outgoing>,
    pub slowlog: SlowLog,
    /// What the data folder takes of its disk.
    pub space: Space,
    pub guesses: Guesses,
    /// For keys on their way to other servers.
    pub migrations: MigrationRoom,
    /// For requests of which only the beginning has come.
    pub inputs: Arc<InputRoom>,
    /// Held by who reads whole checkpoints to prove them.
    pub proving: Arc<tokio::sync::Mutex<()>>,
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
    ) -> Shared {
        let is_group = !config.members.is_empty();
        Shared {
            config: RuntimeConfig::new(config, shard.output_bounds.clone()),
            limits: TypeLimits::default(),
            clock,
            metrics,
            clients: ClientRegistry::default(),
            pubsub: PubSub::new(shard.ports.clone(), is_group.then(|| shard.driver_wake.clone())),
            monitors: Monitors::new(shard.ports.clone()),
            shard,
            outgoing: Mutex::default(),
            slowlog: SlowLog::default(),
            space: Space::default(),
            guesses: Guesses::default(),
            migrations: MigrationRoom::default(),
            inputs: Arc::default(),
            proving: Arc::default(),
            run_id,
            shutdown: Notify::new(),
        }
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
        if self.shard.is_primary() || self.shard.status.lock().leader_id != 0 {
            Ok(())
        } else {
            Err("no primary is known".to_owned())
        }
    }
}
