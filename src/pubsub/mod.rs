//! Publish and subscribe: who listens to which channel or pattern on this node.
//!
//! - Messages are not data: they are not logged, and reach whoever is subscribed at the moment, on every node of the group
//!   (a publisher's node hands them to its peers).
//! - A message is encoded once per protocol version and pushed into the mailbox of each subscriber's worker; a subscriber
//!   that does not read is cut off by its connection's output limit.
//! - What PUBLISH and PUBSUB count is of the whole group: nodes tell each other how many subscribers they have (`others`).
//! - One lock guards the registry; it is held while a message is handed out, so all subscribers of a node see one order.

pub mod news;
mod others;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::glob::{Case, Glob, KeptGlob};
use crate::propose::reply::ConnectionId;
pub use crate::protocol::message::{Kind, Message};
use crate::protocol::reply::{Reply, Resp};
use crate::shard::port::Port;
use news::{Count, News};
use others::Others;

/// A subscribed connection: worker and connection.
pub type SubscriberId = (usize, ConnectionId);

#[derive(Debug, Default)]
struct Names {
    subscribers: BTreeMap<Vec<u8>, Subscribers>,
}

/// Of one name.
#[derive(Debug, Default)]
struct Subscribers {
    all: BTreeMap<SubscriberId, Resp>,
    /// Of a pattern.
    glob: Option<KeptGlob>,
}

#[derive(Debug, Default)]
struct Registry {
    channels: Names,
    patterns: Names,
    shard_channels: Names,
    others: Others,
    /// Names whose number of subscribers the other nodes have not been told yet.
    changed: BTreeSet<(Kind, Vec<u8>)>,
    /// There were too many of those.
    changed_too_many: bool,
}

/// What the other nodes have not been told yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Changes {
    None,
    Some(Vec<Count>),
    TooMany,
}

/// Names that may wait to be told to the other nodes.
const MAX_CHANGED: usize = 100_000;
/// Bytes of names that another node is told of at once.
const MAX_TOLD_BYTES: usize = 32 << 20;

#[derive(Debug)]
pub struct PubSub {
    registry: Mutex<Registry>,
    ports: Box<[Arc<Port>]>,
    /// Wakes who tells the other nodes of changes; `None` where there is no other.
    teller: Option<Arc<Notify>>,
}

impl Subscribers {
    /// Whether those of this pattern get what is published in the channel.
    fn matches(&self, pattern: &[u8], channel: &[u8]) -> bool {
        self.glob.as_ref().is_some_and(|glob| glob.matches(pattern, channel))
    }
}

impl Registry {
    fn names(&mut self, kind: Kind) -> &mut Names {
        match kind {
            Kind::Channel => &mut self.channels,
            Kind::Pattern => &mut self.patterns,
            Kind::Shard => &mut self.shard_channels,
        }
    }

    fn note_change(&mut self, kind: Kind, name: &[u8]) {
        if self.changed.len() < MAX_CHANGED {
            self.changed.insert((kind, name.to_vec()));
        } else {
            self.changed_too_many = true;
        }
    }

    fn count(&mut self, kind: Kind, name: Vec<u8>) -> Count {
        let subscribers =
            self.names(kind).subscribers.get(&name).map_or(0, |subscribers| subscribers.all.len());
        Count { kind, name, subscribers: subscribers as u32 }
    }
}

impl PubSub {
    /// `teller` is woken when the other nodes are to be told of a change; a node alone has none.
    pub fn new(ports: Box<[Arc<Port>]>, teller: Option<Arc<Notify>>) -> Self {
        PubSub { registry: Mutex::default(), ports, teller }
    }

    fn tell_change(&self, registry: &mut Registry, kind: Kind, name: &[u8]) {
        if let Some(teller) = &self.teller {
            registry.note_change(kind, name);
            teller.notify_one();
        }
    }

    /// Subscribes, or notes another protocol version for a name that is subscribed already.
    pub fn subscribe(&self, kind: Kind, name: &[u8], subscriber: SubscriberId, resp: Resp) {
        let mut registry = self.registry.lock();
        let subscribers = registry.names(kind).subscribers.entry(name.to_vec()).or_default();
        if kind == Kind::Pattern && subscribers.glob.is_none() {
            subscribers.glob = Some(KeptGlob::new(name));
        }
        subscribers.all.insert(subscriber, resp);
        self.tell_change(&mut registry, kind, name);
    }

    pub fn unsubscribe(&self, kind: Kind, name: &[u8], subscriber: SubscriberId) {
        let mut registry = self.registry.lock();
        let names = registry.names(kind);
        if let Some(subscribers) = names.subscribers.get_mut(name) {
            subscribers.all.remove(&subscriber);
            if subscribers.all.is_empty() {
                names.subscribers.remove(name);
            }
            self.tell_change(&mut registry, kind, name);
        }
    }

    /// Takes what the other nodes have not been told yet.
    pub fn take_changes(&self) -> Changes {
        let mut registry = self.registry.lock();
        let changed = std::mem::take(&mut registry.changed);
        if std::mem::take(&mut registry.changed_too_many) {
            Changes::TooMany
        } else if changed.is_empty() {
            Changes::None
        } else {
            Changes::Some(changed.into_iter().map(|(kind, name)| registry.count(kind, name)).collect())
        }
    }

    /// What another node is told that has missed something.
    pub fn all_counts(&self) -> Vec<Count> {
        let mut registry = self.registry.lock();
        let (mut counts, mut bytes) = (Vec::new(), 0);
        for kind in [Kind::Channel, Kind::Pattern, Kind::Shard] {
            for (name, subscribers) in &registry.names(kind).subscribers {
                bytes += name.len() + size_of::<Count>();
                if bytes > MAX_TOLD_BYTES {
                    return counts;
                }
                let subscribers = subscribers.all.len() as u32;
                counts.push(Count { kind, name: name.clone(), subscribers });
            }
        }
        counts
    }

    /// Takes in what another node tells of its subscribers. True if it is to be asked for all.
    pub fn take_in(&self, from: u64, news: News, now_ms: u64) -> bool {
        self.registry.lock().others.take_in(from, news, now_ms)
    }

    pub fn drop_silent_nodes(&self, now_ms: u64) {
        self.registry.lock().others.drop_silent(now_ms);
    }

    /// How many subscriptions on the other nodes a message in this channel will reach.
    pub fn receivers_elsewhere(&self, kind: Kind, channel: &[u8]) -> usize {
        self.registry.lock().others.receivers(kind, channel)
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
            if subscribers.matches(pattern, channel) {
                receivers += self.push(subscribers, &[b"pmessage", pattern, channel, payload], &mut woken);
            }
        }
        woken.into_iter().for_each(|worker: usize| self.ports[worker].replies_ready.notify_one());
        receivers
    }

    /// How many subscriptions in the group a message in this channel would reach.
    pub fn receivers(&self, kind: Kind, channel: &[u8]) -> usize {
        if kind == Kind::Shard {
            return self.subscribers_of(kind, channel);
        }
        let registry = self.registry.lock();
        let elsewhere = registry.others.receivers(kind, channel);
        let direct =
            registry.channels.subscribers.get(channel).map_or(0, |subscribers| subscribers.all.len());
        let patterns = registry.patterns.subscribers.iter();
        let matching = patterns.filter(|(pattern, subscribers)| subscribers.matches(pattern, channel));
        elsewhere + direct + matching.map(|(_, subscribers)| subscribers.all.len()).sum::<usize>()
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

    fn push(&self, subscribers: &Subscribers, message: &[&[u8]], woken: &mut BTreeSet<usize>) -> usize {
        let encoded = [encode(message, Resp::V2), encode(message, Resp::V3)];
        for ((worker, connection), resp) in &subscribers.all {
            let bytes = &encoded[usize::from(*resp == Resp::V3)];
            self.ports[*worker].push_message(*connection, bytes);
            woken.insert(*worker);
        }
        subscribers.all.len()
    }

    /// PUBSUB CHANNELS and SHARDCHANNELS: the names with subscribers in the group that match, sorted.
    pub fn names(&self, kind: Kind, pattern: Option<&[u8]>) -> Vec<Vec<u8>> {
        let mut registry = self.registry.lock();
        let glob = pattern.map(|pattern| Glob::new(pattern, Case::Sensitive));
        let matches = |name: &&Vec<u8>| glob.as_ref().is_none_or(|glob| glob.matches(name));
        let mut found: BTreeSet<Vec<u8>> = registry.others.names(kind).filter(matches).cloned().collect();
        found.extend(registry.names(kind).subscribers.keys().filter(matches).cloned());
        found.into_iter().collect()
    }

    /// PUBSUB NUMSUB and SHARDNUMSUB: subscribers in the group.
    pub fn subscribers_of(&self, kind: Kind, name: &[u8]) -> usize {
        let mut registry = self.registry.lock();
        let elsewhere = registry.others.subscribers_of(kind, name);
        let here = registry.names(kind).subscribers.get(name);
        elsewhere + here.map_or(0, |subscribers| subscribers.all.len())
    }

    /// PUBSUB NUMPAT: distinct patterns in the group.
    pub fn patterns(&self) -> usize {
        self.names(Kind::Pattern, None).len()
    }

    /// How many names have subscribers on this node, for INFO.
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
