//! Publish and subscribe: who listens to which channel or pattern on this node.
//!
//! - Messages are not data: they are not logged, and reach whoever is subscribed at the moment, on every node of the group
//!   (a publisher's node hands them to its peers).
//! - A message is encoded once per protocol version and pushed into the mailbox of each subscriber's worker; a subscriber
//!   that does not read is cut off by its connection's output limit.
//! - One lock guards the registry; it is held while a message is handed out, so all subscribers of a node see one order.

mod message;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use parking_lot::Mutex;

use crate::command::glob;
use crate::propose::reply::ConnectionId;
use crate::protocol::reply::{Reply, Resp};
use crate::shard::port::Port;
pub use message::Message;

/// A subscribed connection: worker and connection.
pub type SubscriberId = (usize, ConnectionId);

/// What names are subscribed as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Channel,
    Pattern,
    /// SSUBSCRIBE's channels, a name space of their own.
    Shard,
}

#[derive(Debug, Default)]
struct Names {
    subscribers: BTreeMap<Vec<u8>, BTreeMap<SubscriberId, Resp>>,
}

#[derive(Debug, Default)]
struct Registry {
    channels: Names,
    patterns: Names,
    shard_channels: Names,
}

#[derive(Debug)]
pub struct PubSub {
    registry: Mutex<Registry>,
    ports: Box<[Arc<Port>]>,
}

impl Registry {
    fn names(&mut self, kind: Kind) -> &mut Names {
        match kind {
            Kind::Channel => &mut self.channels,
            Kind::Pattern => &mut self.patterns,
            Kind::Shard => &mut self.shard_channels,
        }
    }
}

impl PubSub {
    pub fn new(ports: Box<[Arc<Port>]>) -> Self {
        PubSub { registry: Mutex::default(), ports }
    }

    /// Subscribes, or notes another protocol version for a name that is subscribed already.
    pub fn subscribe(&self, kind: Kind, name: &[u8], subscriber: SubscriberId, resp: Resp) {
        let mut registry = self.registry.lock();
        registry.names(kind).subscribers.entry(name.to_vec()).or_default().insert(subscriber, resp);
    }

    pub fn unsubscribe(&self, kind: Kind, name: &[u8], subscriber: SubscriberId) {
        let mut registry = self.registry.lock();
        let names = registry.names(kind);
        if let Some(subscribers) = names.subscribers.get_mut(name) {
            subscribers.remove(&subscriber);
            if subscribers.is_empty() {
                names.subscribers.remove(name);
            }
        }
    }

    /// Hands a message in a channel or a shard channel to this node's subscribers; returns how many got it.
    pub fn publish(&self, kind: Kind, channel: &[u8], payload: &[u8]) -> usize {
        match kind {
            Kind::Shard => self.publish_to_shard_channel(channel, payload),
            Kind::Channel | Kind::Pattern => self.publish_to_channel(channel, payload),
        }
    }

    fn publish_to_channel(&self, channel: &[u8], payload: &[u8]) -> usize {
        let mut registry = self.registry.lock();
        let mut woken = BTreeSet::new();
        let mut receivers = 0;
        if let Some(subscribers) = registry.channels.subscribers.get(channel) {
            receivers += self.push(subscribers, &[b"message", channel, payload], &mut woken);
        }
        for (pattern, subscribers) in &registry.names(Kind::Pattern).subscribers {
            if glob::matches(pattern, channel) {
                receivers += self.push(subscribers, &[b"pmessage", pattern, channel, payload], &mut woken);
            }
        }
        woken.into_iter().for_each(|worker: usize| self.ports[worker].replies_ready.notify_one());
        receivers
    }

    /// How many subscriptions on this node a message in this channel would reach.
    pub fn receivers(&self, kind: Kind, channel: &[u8]) -> usize {
        if kind == Kind::Shard {
            return self.subscribers_of(kind, channel);
        }
        let registry = self.registry.lock();
        let direct = registry.channels.subscribers.get(channel).map_or(0, BTreeMap::len);
        let patterns = registry.patterns.subscribers.iter();
        let matching = patterns.filter(|(pattern, _)| glob::matches(pattern, channel));
        direct + matching.map(|(_, subscribers)| subscribers.len()).sum::<usize>()
    }

    fn publish_to_shard_channel(&self, channel: &[u8], payload: &[u8]) -> usize {
        let registry = self.registry.lock();
        let mut woken = BTreeSet::new();
        let subscribers = registry.shard_channels.subscribers.get(channel);
        let receivers = subscribers
            .map_or(0, |subscribers| self.push(subscribers, &[b"smessage", channel, payload], &mut woken));
        woken.into_iter().for_each(|worker: usize| self.ports[worker].replies_ready.notify_one());
        receivers
    }

    fn push(
        &self,
        subscribers: &BTreeMap<SubscriberId, Resp>,
        message: &[&[u8]],
        woken: &mut BTreeSet<usize>,
    ) -> usize {
        let encoded = [encode(message, Resp::V2), encode(message, Resp::V3)];
        for ((worker, connection), resp) in subscribers {
            let bytes = &encoded[usize::from(*resp == Resp::V3)];
            self.ports[*worker].push_message(*connection, bytes);
            woken.insert(*worker);
        }
        subscribers.len()
    }

    /// PUBSUB CHANNELS and SHARDCHANNELS: the names with subscribers that match, sorted.
    pub fn names(&self, kind: Kind, pattern: Option<&[u8]>) -> Vec<Vec<u8>> {
        let mut registry = self.registry.lock();
        let names = registry.names(kind).subscribers.keys();
        names.filter(|name| pattern.is_none_or(|pattern| glob::matches(pattern, name))).cloned().collect()
    }

    /// PUBSUB NUMSUB and SHARDNUMSUB.
    pub fn subscribers_of(&self, kind: Kind, name: &[u8]) -> usize {
        self.registry.lock().names(kind).subscribers.get(name).map_or(0, BTreeMap::len)
    }

    /// PUBSUB NUMPAT: distinct patterns; also the number of channels for INFO.
    pub fn count(&self, kind: Kind) -> usize {
        self.registry.lock().names(kind).subscribers.len()
    }
}

fn encode(message: &[&[u8]], resp: Resp) -> Vec<u8> {
    let mut out = Vec::new();
    let mut reply = Reply::new(&mut out, resp);
    reply.push(message.len());
    message.iter().for_each(|part| reply.bulk(part));
    out
}
