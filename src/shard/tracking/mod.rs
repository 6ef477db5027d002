//! Client-side caching: which of this node's clients may have which keys cached, and what they are told when those change.
//!
//! - A client's keys are remembered by the node that it is connected to. Apply on that node sees every change of the log, whoever made it
//!   and wherever: a client's write, a script, a deadline, an eviction. Nothing of it is logged, and apply does not depend on it.
//! - **A value that goes stale is always followed by its message.** A read that this node answers is remembered while the locks of its
//!   keys are held, so a change comes after it and finds it. A message is put after the answers that the log gave before the change,
//!   and a worker's own answer is written before the worker takes the message.
//! - A read that is sent on to the primary is remembered before it is sent. Its answer may be newer than what this node has applied: then the
//!   message comes later than need be. Or a message may overtake the answer: then it is sent again after the answer (`reads`).
//! - Where this node can't say what has changed, each of its tracking clients is told that everything may be stale, and nothing stays
//!   remembered: FLUSHDB, FLUSHALL and SWAPDB, another leadership, a checkpoint in place of the data, entries applied by several threads. The
//!   same for one client whose connection to the primary is lost. A node that is cut off notices that by the raft timeouts.
//! - The table is bounded ([`Tracking::set_max_keys`]): past the bound the driver takes keys out, and their clients are told. Past twice the bound
//!   nothing is added, and everything is told to be stale.
//! - Without a tracking client a change costs one relaxed load. A reader that takes a lock after tracking was turned on is seen by the
//!   next change under that lock.

mod broadcasts;
mod reads;
mod table;

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use parking_lot::{Mutex, MutexGuard};

use crate::protocol::invalidation::{self, PushRoute};
use crate::shard::watches::Watcher;
use broadcasts::{Broadcast, Broadcasts};
use reads::PendingReads;
use table::KeyTable;

/// `tracking-table-max-keys` unless it is set.
pub const DEFAULT_MAX_KEYS: u64 = 1_000_000;
/// Without a bound of keys the table is bounded as if it had this many.
const MOST_KEYS: usize = 4_000_000;
/// Keys that are taken out in one turn because there are too many.
const TAKEN_AT_ONCE: usize = 10_000;

/// What a client has asked for.
#[derive(Clone, Debug, Default)]
pub struct TrackingWish {
    /// It is told of all keys that begin with a prefix, whether it has read them or not.
    pub broadcasts: bool,
    /// It is not told of its own changes.
    pub no_loop: bool,
    /// Prefixes beside those that it has.
    pub prefixes: Vec<Box<[u8]>>,
    /// Another connection gets its messages: its client's number, and itself.
    pub redirect: Option<(u64, Watcher)>,
}

#[derive(Debug)]
struct Tracked {
    wish: TrackingWish,
    prefixes: BTreeSet<Box<[u8]>>,
    /// The connection that its messages go to is gone.
    is_broken: Arc<AtomicBool>,
    /// It has been told so.
    knows_broken: Cell<bool>,
    /// Reads that were sent on and are not answered.
    pending: usize,
}

#[derive(Debug, Default)]
struct Registry {
    clients: BTreeMap<Watcher, Tracked>,
    broadcasts: Broadcasts,
    reads: PendingReads,
}

/// How much is tracked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TrackingCounts {
    pub clients: usize,
    pub keys: usize,
    pub items: usize,
    pub prefixes: usize,
    pub bytes: usize,
}

#[derive(Debug)]
pub struct Tracking {
    /// There are tracking clients.
    is_on: Arc<AtomicBool>,
    table: KeyTable,
    registry: Mutex<Registry>,
    max_keys: AtomicUsize,
    /// A key was not remembered.
    has_missed: AtomicBool,
    told: AtomicU64,
}

impl Default for Tracking {
    fn default() -> Self {
        let (is_on, table, registry, has_missed, told) = Default::default();
        let max_keys = AtomicUsize::new(DEFAULT_MAX_KEYS as usize);
        Tracking { is_on, table, registry, max_keys, has_missed, told }
    }
}

/// Sends a message to a connection.
pub trait SendPush {
    fn send_push(&mut self, to: Watcher, message: &[u8], route: PushRoute);
}

impl Tracking {
    /// Whether there are tracking clients.
    #[inline]
    pub fn is_on(&self) -> bool {
        self.is_on.load(Ordering::Relaxed)
    }

    /// The same, for those that see changes.
    pub fn switch(&self) -> &Arc<AtomicBool> {
        &self.is_on
    }

    /// Bounds the table; 0 leaves only its own bound.
    pub fn set_max_keys(&self, keys: u64) {
        let keys = usize::try_from(keys).unwrap_or(usize::MAX);
        self.max_keys.store(if keys == 0 { MOST_KEYS } else { keys }, Ordering::Relaxed);
    }

    pub fn counts(&self) -> TrackingCounts {
        let registry = self.registry.lock();
        TrackingCounts {
            clients: registry.clients.len(),
            keys: self.table.keys(),
            items: self.table.items(),
            prefixes: registry.broadcasts.count(),
            bytes: self.table.bytes(),
        }
    }

    /// Messages sent since this was last asked.
    pub fn take_told(&self) -> u64 {
        self.told.swap(0, Ordering::Relaxed)
    }

    /// Lets a client track, or changes what it has asked for. `is_broken` will say whether its messages have no receiver.
    pub fn enable(&self, client: Watcher, wish: TrackingWish, is_broken: &Arc<AtomicBool>) {
        let mut registry = self.registry.lock();
        is_broken.store(false, Ordering::Relaxed);
        let (prefixes, pending) = match registry.clients.remove(&client) {
            Some(before) => (before.prefixes, before.pending),
            None => Default::default(),
        };
        let (is_broken, knows_broken) = (is_broken.clone(), Cell::new(false));
        let mut tracked = Tracked { wish, prefixes, is_broken, knows_broken, pending };
        for prefix in std::mem::take(&mut tracked.wish.prefixes) {
            registry.broadcasts.add(&prefix, client);
            tracked.prefixes.insert(prefix);
        }
        registry.clients.insert(client, tracked);
        self.is_on.store(true, Ordering::SeqCst);
    }

    /// The prefixes of a client.
    pub fn prefixes(&self, client: Watcher) -> Vec<Box<[u8]>> {
        let registry = self.registry.lock();
        let tracked = registry.clients.get(&client);
        tracked.map(|tracked| tracked.prefixes.iter().cloned().collect()).unwrap_or_default()
    }

    /// A client tracks no more. What it has read stays in the table until it changes, unless no client is left.
    pub fn disable(&self, client: Watcher) {
        let mut registry = self.registry.lock();
        let Some(tracked) = registry.clients.remove(&client) else { return };
        tracked.prefixes.iter().for_each(|prefix| registry.broadcasts.remove(prefix, client));
        tracked.is_broken.store(false, Ordering::Relaxed);
        if tracked.pending > 0 {
            registry.reads.forget(client);
        }
        if registry.clients.is_empty() {
            self.is_on.store(false, Ordering::SeqCst);
            registry.broadcasts.forget();
            self.table.clear();
        }
    }

    /// A connection is gone: it tracks no more, and gets no messages of others, which are told so: messages may have been on their way to it.
    pub fn forget(&self, gone: Watcher, out: &mut impl SendPush) {
        if !self.is_on() {
            return;
        }
        self.disable(gone);
        let registry = self.registry.lock();
        for (client, tracked) in registry.clients.iter().filter(|(_, tracked)| tracked.sends_to(gone)) {
            tracked.is_broken.store(true, Ordering::Relaxed);
            self.tell_broken(*client, tracked, out);
        }
    }

    /// Remembers a key that a client has read and this node has answered; true if the driver has something to do about that. To be
    /// called while the key can't change.
    pub fn remember(&self, key: &[u8], client: Watcher) -> bool {
        if !self.is_on() {
            return false;
        }
        let max_keys = self.max_keys.load(Ordering::Relaxed);
        if self.table.is_full(max_keys) {
            self.has_missed.store(true, Ordering::SeqCst);
            return true;
        }
        self.table.add(key, client);
        self.table.is_over(max_keys)
    }

    /// Everything that a client has cached may be stale, for what it has read is not known.
    pub fn note_missed(&self) {
        self.has_missed.store(true, Ordering::SeqCst);
    }

    /// A client's read of keys is about to be sent to another node. Returns those that are to be ended by [`end_reads`](Self::end_reads).
    pub fn begin_reads<'k>(&self, keys: impl Iterator<Item = &'k [u8]>, client: Watcher) -> Vec<Box<[u8]>> {
        let mut registry = self.registry.lock();
        let Registry { clients, reads, .. } = &mut *registry;
        let Some(tracked) = clients.get_mut(&client) else { return Vec::new() };
        let mut begun = Vec::new();
        for key in keys {
            let concerns = match tracked.wish.broadcasts {
                true => tracked.prefixes.iter().any(|prefix| key.starts_with(prefix)),
                false => {
                    self.remember(key, client);
                    true
                }
            };
            if concerns {
                reads.begin(key, client);
                tracked.pending += 1;
                begun.push(key.into());
            }
        }
        begun
    }

    /// Reads are answered, or given up. Keys that have changed since are told again.
    pub fn end_reads(&self, keys: &[Box<[u8]>], client: Watcher, out: &mut impl SendPush) {
        let mut registry = self.registry.lock();
        let Registry { clients, reads, .. } = &mut *registry;
        let Some(tracked) = clients.get_mut(&client) else { return };
        for key in keys {
            tracked.pending = tracked.pending.saturating_sub(1);
            if reads.end(key, client) {
                self.tell(client, tracked, &invalidation::of_key(key), out);
            }
        }
    }

    /// Tells one client that everything may be stale.
    pub fn tell_all_stale_to(&self, client: Watcher, out: &mut impl SendPush) {
        let registry = self.registry.lock();
        if let Some(tracked) = registry.clients.get(&client) {
            self.tell(client, tracked, &invalidation::of_everything(), out);
        }
    }

    /// Begins to tell of changes.
    pub fn changes(&self) -> Changes<'_> {
        Changes { tracking: self, registry: self.registry.lock() }
    }

    fn tell(&self, client: Watcher, tracked: &Tracked, message: &[u8], out: &mut impl SendPush) {
        self.told.fetch_add(1, Ordering::Relaxed);
        match tracked.wish.redirect {
            None => out.send_push(client, message, PushRoute::Own),
            Some(_) if tracked.is_broken.load(Ordering::Relaxed) => self.tell_broken(client, tracked, out),
            Some((_, to)) => out.send_push(to, message, PushRoute::Redirected),
        }
    }

    /// Tells a client once that its messages have no receiver.
    fn tell_broken(&self, client: Watcher, tracked: &Tracked, out: &mut impl SendPush) {
        if let (Some((id, _)), false) = (tracked.wish.redirect, tracked.knows_broken.replace(true)) {
            out.send_push(client, &invalidation::redirection_broken(id), PushRoute::Own);
        }
    }
}

impl Tracked {
    fn sends_to(&self, connection: Watcher) -> bool {
        self.wish.redirect.is_some_and(|(_, to)| to == connection)
    }
}

/// What the driver tells of changes.
pub struct Changes<'t> {
    tracking: &'t Tracking,
    registry: MutexGuard<'t, Registry>,
}

impl Changes<'_> {
    /// A key has changed, by this client.
    pub fn key(&mut self, key: &[u8], actor: Watcher, out: &mut impl SendPush) {
        let registry = &mut *self.registry;
        registry.reads.overtake(key);
        let is_much = registry.broadcasts.note(key, actor);
        self.tell_readers(key, Some(actor), out);
        if is_much {
            self.broadcast(out);
        }
    }

    fn tell_readers(&self, key: &[u8], actor: Option<Watcher>, out: &mut impl SendPush) {
        let readers = self.tracking.table.take(key);
        self.tell_to(&readers, key, actor, out);
    }

    fn tell_to(&self, readers: &[Watcher], key: &[u8], actor: Option<Watcher>, out: &mut impl SendPush) {
        if readers.is_empty() {
            return;
        }
        let message = invalidation::of_key(key);
        for client in readers {
            let Some(tracked) = self.registry.clients.get(client) else { continue };
            let is_own = tracked.wish.no_loop && Some(*client) == actor;
            if !is_own && !tracked.wish.broadcasts {
                self.tracking.tell(*client, tracked, &message, out);
            }
        }
    }

    /// Any key may have changed.
    pub fn everything(&mut self, out: &mut impl SendPush) {
        self.tracking.has_missed.store(false, Ordering::SeqCst);
        self.tracking.table.clear();
        self.registry.reads.overtake_all();
        self.registry.broadcasts.forget();
        let message = invalidation::of_everything();
        for (client, tracked) in &self.registry.clients {
            self.tracking.tell(*client, tracked, &message, out);
        }
    }

    /// Tells the clients of prefixes what has changed since they were told last.
    pub fn broadcast(&mut self, out: &mut impl SendPush) {
        for Broadcast { clients, keys } in self.registry.broadcasts.take() {
            let message = invalidation::of_keys(keys.iter().map(|(key, _)| &**key));
            for client in clients {
                let Some(tracked) = self.registry.clients.get(&client) else { continue };
                if !tracked.wish.no_loop {
                    self.tracking.tell(client, tracked, &message, out);
                    continue;
                }
                let others: Vec<&[u8]> =
                    keys.iter().filter(|(_, actor)| *actor != client).map(|(key, _)| &**key).collect();
                if !others.is_empty() {
                    let message = invalidation::of_keys(others.into_iter());
                    self.tracking.tell(client, tracked, &message, out);
                }
            }
        }
    }

    /// Takes out some of the keys that are too many.
    pub fn limit(&mut self, out: &mut impl SendPush) {
        if self.tracking.has_missed.load(Ordering::SeqCst) {
            return self.everything(out);
        }
        let max_keys = self.tracking.max_keys.load(Ordering::Relaxed);
        for _ in 0..TAKEN_AT_ONCE {
            if !self.tracking.table.is_over(max_keys) {
                return;
            }
            let Some((key, readers)) = self.tracking.table.take_any() else { return };
            self.tell_to(&readers, &key, None, out);
        }
    }
}

#[cfg(test)]
mod tests;
