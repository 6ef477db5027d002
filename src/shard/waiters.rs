//! Clients that wait in a blocking command, in the order in which they came, per key.
//!
//! - Clients that wait in XREAD are served without the log, right after the command that made their stream longer (`readers.rs`).
//! - Only the primary has waiters; they are no part of the log. A write to a key that has waiters carries their commands
//!   into its own entry right behind it, so each is served inside the apply step that made its key ready, first come first.
//! - Keys serve in the order in which they became ready. A waiter is served by the key that became ready, even if another
//!   of its keys stands before it in its command: what is logged is its command with that key alone.
//! - To add or to end a waiter takes time for each of its keys, however many others wait for them. Those that end at the
//!   same moment are ended some with each turn ([`KEY_STEPS`], [`KEYS_ENDED_AT_ONCE`]).
//! - A waiter is served once, or ended by its timeout, by CLIENT UNBLOCK, by its connection's end, by a change of
//!   what its user may run, or by the end of leadership.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::plan::Addressee;
use crate::command::spec::FindKeys;
use crate::command::{Blocking, Command};
use crate::keyspace::types::stream::StreamId;
use crate::propose::entry::{EntryArgs, EntryError, EntryReader, write_single};
use crate::propose::reply::ConnectionId;
use crate::protocol::reply::Resp;

/// Steps of a plan that a waiter takes for each of its keys, when it begins to wait and when it is ended.
pub const KEY_STEPS: u64 = 16;

/// Waiters whose timeout is over are ended with a turn until they had so many keys.
const KEYS_ENDED_AT_ONCE: usize = 100_000;

/// Waiters are numbered in the order in which they began to wait.
pub type WaiterId = u64;

pub struct Waiter {
    pub worker: usize,
    pub connection: ConnectionId,
    pub resp: Resp,
    /// Its client caches what it reads.
    pub tracks: bool,
    pub command: &'static Command,
    pub blocking: Blocking,
    /// The command as an entry's item.
    pub encoded: Box<[u8]>,
    pub deadline_ms: Option<i64>,
    /// The keys it waits for, in the order of its command.
    pub keys: Vec<WaitKey>,
    /// The keys into which it puts what it takes.
    pub feeds: Vec<WaitKey>,
    /// What it waits for in streams.
    pub streams: Option<StreamsAwaited>,
}

/// What a waiter of streams waits for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StreamsAwaited {
    /// XREAD: an entry above the id at each of its keys. It is served without the log.
    Behind(Vec<StreamId>),
    /// XREADGROUP: an entry that this group has not read; or that the group or a key is gone, which it is told.
    Group(Box<[u8]>),
}

impl Waiter {
    /// Where its answer goes.
    pub fn addressee(&self) -> Addressee {
        let Waiter { worker, connection, resp, tracks, .. } = *self;
        Addressee { worker, connection, resp, tracks }
    }

    /// The keys that it waits for in XREADGROUP.
    fn keys_of_groups(&self) -> &[WaitKey] {
        if matches!(self.streams, Some(StreamsAwaited::Group(_))) { &self.keys } else { &[] }
    }

    /// The command as an entry's item: as it came, or with the nth of the keys it waits for alone.
    pub fn command_for(&self, by_key: Option<usize>) -> Result<Cow<'_, [u8]>, EntryError> {
        let Some(nth) = by_key.filter(|_| self.keys.len() > 1) else { return Ok(Cow::from(&*self.encoded)) };
        let mut args = EntryArgs::new();
        let db = EntryReader::read_single(&self.encoded, &mut args)?;
        let first = self.command.awaited_places(&args).next();
        if let Some(first) = first {
            if matches!(self.command.keys[0].find, FindKeys::KeyNum { .. }) {
                args[first - 1] = b"1";
            }
            args[first] = &self.keys[nth].1;
            args.drain(first + 1..first + self.keys.len());
        }
        let mut encoded = Vec::new();
        write_single(&mut encoded, db, &args);
        Ok(Cow::from(encoded))
    }
}

/// Database and key.
pub type WaitKey = (usize, Vec<u8>);

/// How many clients wait and for how many keys, as INFO tells it. It is right before any client hears that it waits no more.
#[derive(Debug, Default)]
pub struct WaiterCounts {
    pub clients: AtomicUsize,
    pub keys: AtomicUsize,
    /// Keys that clients wait for in XREADGROUP: to these it is told when the key or its group goes.
    pub keys_of_groups: AtomicUsize,
}

#[derive(Default)]
pub struct Waiters {
    counts: Arc<WaiterCounts>,
    next_id: WaiterId,
    waiters: BTreeMap<WaiterId, Waiter>,
    by_key: BTreeMap<WaitKey, BTreeSet<WaiterId>>,
    by_deadline: BTreeSet<(i64, WaiterId)>,
    by_connection: BTreeMap<(usize, ConnectionId), WaiterId>,
    /// How many clients wait in XREADGROUP, by key.
    by_group_key: BTreeMap<WaitKey, usize>,
}

impl Waiters {
    /// Waiters that tell how many there are.
    pub fn counted_in(counts: Arc<WaiterCounts>) -> Waiters {
        Waiters { counts, ..Waiters::default() }
    }

    fn tell_counts(&self) {
        let counts = &self.counts;
        counts.clients.store(self.waiters.len(), Ordering::Relaxed);
        counts.keys.store(self.by_key.len(), Ordering::Relaxed);
        counts.keys_of_groups.store(self.by_group_key.len(), Ordering::Relaxed);
    }

    pub fn is_empty(&self) -> bool {
        self.waiters.is_empty()
    }

    pub fn len(&self) -> usize {
        self.waiters.len()
    }

    pub fn add(&mut self, waiter: Waiter) -> WaiterId {
        let id = self.next_id;
        self.next_id += 1;
        for key in &waiter.keys {
            match self.by_key.get_mut(key) {
                Some(queue) => queue.insert(id),
                None => self.by_key.insert(key.clone(), BTreeSet::from([id])).is_none(),
            };
        }
        for key in waiter.keys_of_groups() {
            *self.by_group_key.entry(key.clone()).or_default() += 1;
        }
        self.by_deadline.extend(waiter.deadline_ms.map(|deadline| (deadline, id)));
        let before = self.by_connection.insert((waiter.worker, waiter.connection), id);
        debug_assert!(before.is_none(), "a connection waits in one command at a time");
        self.waiters.insert(id, waiter);
        self.tell_counts();
        id
    }

    pub fn get(&self, id: WaiterId) -> Option<&Waiter> {
        self.waiters.get(&id)
    }

    /// Whether anybody waits for a key.
    pub fn wait_for(&self, key: &WaitKey) -> bool {
        self.by_key.contains_key(key)
    }

    /// The keys of a database that anybody waits for.
    pub fn keys_in(&self, db: usize) -> impl Iterator<Item = &WaitKey> {
        self.by_key.range((db, Vec::new())..(db + 1, Vec::new())).map(|(key, _)| key)
    }

    /// Those who wait for a key, first come first.
    pub fn waiting_for(&self, key: &WaitKey) -> impl Iterator<Item = (WaiterId, &Waiter)> {
        let ids = self.by_key.get(key).into_iter().flatten();
        ids.filter_map(|id| Some((*id, self.waiters.get(id)?)))
    }

    pub fn remove(&mut self, id: WaiterId) -> Option<Waiter> {
        let waiter = self.waiters.remove(&id)?;
        for key in &waiter.keys {
            if let Some(queue) = self.by_key.get_mut(key) {
                queue.remove(&id);
                if queue.is_empty() {
                    self.by_key.remove(key);
                }
            }
        }
        if let Some(deadline) = waiter.deadline_ms {
            self.by_deadline.remove(&(deadline, id));
        }
        for key in waiter.keys_of_groups() {
            if let Some(count) = self.by_group_key.get_mut(key) {
                *count -= 1;
                if *count == 0 {
                    self.by_group_key.remove(key);
                }
            }
        }
        self.by_connection.remove(&(waiter.worker, waiter.connection));
        self.tell_counts();
        Some(waiter)
    }

    pub fn of_connection(&self, worker: usize, connection: ConnectionId) -> Option<WaiterId> {
        self.by_connection.get(&(worker, connection)).copied()
    }

    /// Steps that it takes to end what a connection waits for.
    pub fn steps_to_end(&self, worker: usize, connection: ConnectionId) -> u64 {
        let waiter = self.of_connection(worker, connection).and_then(|id| self.waiters.get(&id));
        waiter.map_or(0, |waiter| waiter.keys.len() as u64 * KEY_STEPS)
    }

    pub fn remove_of_connection(&mut self, worker: usize, connection: ConnectionId) -> Option<Waiter> {
        self.remove(self.of_connection(worker, connection)?)
    }

    /// The next time at which somebody's timeout ends.
    pub fn next_deadline_ms(&self) -> Option<i64> {
        self.by_deadline.first().map(|(deadline, _)| *deadline)
    }

    /// Takes out those whose timeout has ended, in the order of their timeouts, but for the `spared`; at least one, and no
    /// further one once they had [`KEYS_ENDED_AT_ONCE`].
    pub fn take_timed_out(
        &mut self,
        now_ms: i64,
        spared: impl Fn(WaiterId, &[WaitKey]) -> bool,
    ) -> Vec<Waiter> {
        let timed_out = self.by_deadline.iter().take_while(|(deadline, _)| *deadline <= now_ms);
        let ends = |id: &WaiterId| self.waiters.get(id).is_some_and(|waiter| !spared(*id, &waiter.keys));
        let mut keys = 0;
        let is_within_bound = |id: &WaiterId| {
            let is_within = keys < KEYS_ENDED_AT_ONCE;
            keys += self.waiters.get(id).map_or(0, |waiter| waiter.keys.len());
            is_within
        };
        let ended = timed_out.map(|(_, id)| *id).filter(ends).take_while(is_within_bound);
        let ended: Vec<WaiterId> = ended.collect();
        ended.into_iter().filter_map(|id| self.remove(id)).collect()
    }

    /// Takes out those that are refused, each with the reason.
    pub fn take_refused(
        &mut self,
        mut refusal: impl FnMut(WaiterId, &Waiter) -> Option<String>,
    ) -> Vec<(Waiter, String)> {
        let each = self.waiters.iter().filter_map(|(id, waiter)| Some((*id, refusal(*id, waiter)?)));
        let refused: Vec<(WaiterId, String)> = each.collect();
        refused.into_iter().filter_map(|(id, why)| Some((self.remove(id)?, why))).collect()
    }

    /// Takes out everybody, in the order in which they came.
    pub fn take_all(&mut self) -> Vec<Waiter> {
        let all = std::mem::take(&mut self.waiters);
        self.by_key.clear();
        self.by_deadline.clear();
        self.by_connection.clear();
        self.by_group_key.clear();
        self.tell_counts();
        all.into_values().collect()
    }
}

/// What may be served by the next entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ready {
    /// A key that changed while somebody waited for it.
    Key(WaitKey),
    /// One who met a key that was there: its command has not run yet.
    Waiter(WaiterId),
}

/// What became ready, in order.
#[derive(Debug, Default)]
pub struct ReadyList {
    items: Vec<Ready>,
    /// The keys among the items.
    keys: BTreeSet<WaitKey>,
    /// The waiters among the items.
    waiters: BTreeSet<WaiterId>,
}

impl ReadyList {
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// Adds a key unless it is there.
    pub fn add_key(&mut self, key: WaitKey) {
        if self.keys.insert(key.clone()) {
            self.items.push(Ready::Key(key));
        }
    }

    pub fn add(&mut self, ready: Ready) {
        match ready {
            Ready::Key(key) => self.add_key(key),
            Ready::Waiter(id) => self.add_waiter(id),
        }
    }

    pub fn add_waiter(&mut self, id: WaiterId) {
        if self.waiters.insert(id) {
            self.items.push(Ready::Waiter(id));
        }
    }

    /// Whether a waiter, or one of the keys it waits for, is in the list.
    pub fn may_serve(&self, id: WaiterId, keys: &[WaitKey]) -> bool {
        self.waiters.contains(&id) || keys.iter().any(|key| self.keys.contains(key))
    }

    /// Forgets what nobody waits for any more.
    pub fn retain(&mut self, waiters: &Waiters) {
        let ReadyList { items, keys, waiters: ready } = self;
        items.retain(|item| match item {
            Ready::Key(key) => waiters.wait_for(key) || !keys.remove(key),
            Ready::Waiter(id) => waiters.get(*id).is_some() || !ready.remove(id),
        });
    }

    pub fn take(&mut self) -> Vec<Ready> {
        self.keys.clear();
        self.waiters.clear();
        std::mem::take(&mut self.items)
    }

    pub fn clear(&mut self) {
        self.take();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::lookup;
    use crate::env::thread_cpu_ns;

    fn waiter(number: u32, keys: &[&str], deadline_ms: Option<i64>) -> Waiter {
        let line = [&["BLPOP"], keys, &["0"]].concat();
        waiting(number, &line, keys, deadline_ms)
    }

    fn waiting(number: u32, line: &[&str], keys: &[&str], deadline_ms: Option<i64>) -> Waiter {
        let args: Vec<&[u8]> = line.iter().map(|word| word.as_bytes()).collect();
        let command = lookup(args[0]).expect("a command").command;
        let mut encoded = Vec::new();
        write_single(&mut encoded, 0, &args);
        Waiter {
            worker: 0,
            connection: ConnectionId { index: number, generation: 0 },
            resp: Resp::V2,
            tracks: false,
            command,
            blocking: command.blocking.expect("it blocks"),
            encoded: encoded.into(),
            deadline_ms,
            keys: keys.iter().map(|key| (0, key.as_bytes().to_vec())).collect(),
            feeds: Vec::new(),
            streams: None,
        }
    }

    fn in_turn(waiters: &Waiters, key: &WaitKey) -> Vec<WaiterId> {
        waiters.waiting_for(key).map(|(id, _)| id).collect()
    }

    #[test]
    fn first_come_first_served_per_key_and_gone_from_all_keys_at_once() {
        let mut waiters = Waiters::default();
        waiters.add(waiter(1, &["a", "b"], None));
        waiters.add(waiter(2, &["b"], None));
        let b = (0, b"b".to_vec());
        let order = in_turn(&waiters, &b);
        assert_eq!(order.len(), 2);
        assert_eq!(waiters.remove(order[0]).map(|waiter| waiter.connection.index), Some(1));
        assert!(!waiters.wait_for(&(0, b"a".to_vec())));
        assert_eq!(in_turn(&waiters, &b), order[1..]);
    }

    #[test]
    fn a_command_is_narrowed_to_the_key_that_is_ready() -> Result<(), EntryError> {
        let cases: [(&[&str], &[&str]); 3] = [
            (&["BLPOP", "a", "b", "c", "0"], &["BLPOP", "b", "0"]),
            (&["BZPOPMIN", "a", "b", "c", "0"], &["BZPOPMIN", "b", "0"]),
            (
                &["BLMPOP", "0", "3", "a", "b", "c", "LEFT", "COUNT", "2"],
                &["BLMPOP", "0", "1", "b", "LEFT", "COUNT", "2"],
            ),
        ];
        for (line, narrowed) in cases {
            let waiter = waiting(1, line, &["a", "b", "c"], None);
            let encoded = waiter.command_for(Some(1))?;
            let mut args = EntryArgs::new();
            EntryReader::read_single(&encoded, &mut args)?;
            assert_eq!(args.iter().map(|arg| String::from_utf8_lossy(arg)).collect::<Vec<_>>(), narrowed);
            assert_eq!(waiter.command_for(None)?, &*waiter.encoded);
        }
        Ok(())
    }

    #[test]
    fn keys_stay_ready_in_their_order_once_each_and_while_somebody_waits_for_them() {
        let mut waiters = Waiters::default();
        let id = waiters.add(waiter(1, &["a", "b"], None));
        let key = |name: &str| (0, name.as_bytes().to_vec());
        let mut ready = ReadyList::default();
        ["b", "a", "nobody's", "b"].iter().for_each(|name| ready.add_key(key(name)));
        ready.add_waiter(id);
        ready.retain(&waiters);
        assert_eq!(ready.take(), [Ready::Key(key("b")), Ready::Key(key("a")), Ready::Waiter(id)]);
        ready.add_key(key("a"));
        waiters.remove(id);
        ready.retain(&waiters);
        assert!(ready.is_empty());
    }

    #[test]
    fn clients_and_their_keys_are_counted() {
        let counts = Arc::new(WaiterCounts::default());
        let mut waiters = Waiters::counted_in(counts.clone());
        let told =
            || [&counts.clients, &counts.keys, &counts.keys_of_groups].map(|n| n.load(Ordering::Relaxed));
        let first = waiters.add(waiter(1, &["a", "b"], None));
        assert_eq!(told(), [1, 2, 0]);
        let line = ["XREADGROUP", "GROUP", "g", "c", "BLOCK", "0", "STREAMS", "b", ">"];
        let reads = |number| Waiter {
            streams: Some(StreamsAwaited::Group((*b"g").into())),
            ..waiting(number, &line, &["b"], None)
        };
        let second = waiters.add(reads(2));
        let third = waiters.add(reads(3));
        assert_eq!(told(), [3, 2, 1]);
        waiters.remove(first);
        waiters.remove(second);
        assert_eq!(told(), [1, 1, 1]);
        waiters.remove(third);
        assert_eq!(told(), [0, 0, 0]);
        waiters.add(reads(4));
        waiters.take_all();
        assert_eq!(told(), [0, 0, 0]);
    }

    #[test]
    fn many_waiters_for_one_key_end_in_linear_time() {
        const WAITERS: u32 = 40_000;
        let began_ns = thread_cpu_ns();
        let mut waiters = Waiters::default();
        for number in 0..WAITERS {
            waiters.add(waiter(number, &["a"], None));
        }
        for index in (0..WAITERS).rev() {
            let ended = waiters.remove_of_connection(0, ConnectionId { index, generation: 0 });
            assert_eq!(ended.map(|waiter| waiter.connection.index), Some(index));
        }
        assert!(waiters.is_empty() && !waiters.wait_for(&(0, b"a".to_vec())));
        let took_ns = thread_cpu_ns() - began_ns;
        assert!(took_ns < 5_000_000_000, "took {took_ns} ns");
    }

    #[test]
    fn timeouts_that_end_together_are_taken_some_at_a_time() {
        let mut waiters = Waiters::default();
        let names: Vec<String> = (0..KEYS_ENDED_AT_ONCE / 2).map(|n| n.to_string()).collect();
        let keys: Vec<&str> = names.iter().map(String::as_str).collect();
        for number in 0..5 {
            waiters.add(waiter(number, &keys, Some(20)));
        }
        let mut take = || waiters.take_timed_out(20, |_, _| false).len();
        assert_eq!([take(), take(), take(), take()], [2, 2, 1, 0]);
    }

    #[test]
    fn timeouts_end_in_their_order() {
        let mut waiters = Waiters::default();
        waiters.add(waiter(1, &["a"], Some(30)));
        waiters.add(waiter(2, &["a"], Some(20)));
        assert_eq!(waiters.next_deadline_ms(), Some(20));
        let mut take = |now_ms, spared: Option<WaiterId>| -> Vec<u32> {
            let taken = waiters.take_timed_out(now_ms, |id, _| Some(id) == spared);
            taken.iter().map(|waiter| waiter.connection.index).collect()
        };
        assert!(take(19, None).is_empty());
        assert_eq!(take(40, Some(0)), [2]);
        assert_eq!(take(40, None), [1]);
        assert!(waiters.is_empty());
    }
}
