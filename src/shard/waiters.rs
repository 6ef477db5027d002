//! Clients that wait in a blocking command, in the order in which they came, per key.
//!
//! - Only the primary has waiters; they are no part of the log. A write to a key that has waiters carries their commands
//!   into its own entry right behind it, so each is served inside the apply step that made its key ready, first come first.
//! - A waiter is served once, or ended by its timeout, by CLIENT UNBLOCK, by its connection's end or by the end of leadership.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::command::Blocking;
use crate::propose::reply::ConnectionId;
use crate::protocol::reply::Resp;

/// Waiters are numbered in the order in which they began to wait.
pub type WaiterId = u64;

#[derive(Debug)]
pub struct Waiter {
    pub worker: usize,
    pub connection: ConnectionId,
    pub resp: Resp,
    pub blocking: Blocking,
    /// The command as an entry's item.
    pub encoded: Box<[u8]>,
    pub deadline_ms: Option<i64>,
    pub keys: Vec<WaitKey>,
}

/// Database and key.
pub type WaitKey = (usize, Vec<u8>);

#[derive(Debug, Default)]
pub struct Waiters {
    next_id: WaiterId,
    waiters: BTreeMap<WaiterId, Waiter>,
    by_key: BTreeMap<WaitKey, VecDeque<WaiterId>>,
    by_deadline: BTreeSet<(i64, WaiterId)>,
    by_connection: BTreeMap<(usize, ConnectionId), WaiterId>,
}

impl Waiters {
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
            let queue = self.by_key.entry(key.clone()).or_default();
            if queue.back() != Some(&id) {
                queue.push_back(id);
            }
        }
        self.by_deadline.extend(waiter.deadline_ms.map(|deadline| (deadline, id)));
        self.by_connection.insert((waiter.worker, waiter.connection), id);
        self.waiters.insert(id, waiter);
        id
    }

    pub fn get(&self, id: WaiterId) -> Option<&Waiter> {
        self.waiters.get(&id)
    }

    /// The first `limit` that wait for a key.
    pub fn waiting_for(&self, key: &WaitKey, limit: usize) -> Vec<WaiterId> {
        self.by_key.get(key).map_or(Vec::new(), |queue| queue.iter().take(limit).copied().collect())
    }

    pub fn remove(&mut self, id: WaiterId) -> Option<Waiter> {
        let waiter = self.waiters.remove(&id)?;
        for key in &waiter.keys {
            if let Some(queue) = self.by_key.get_mut(key) {
                queue.retain(|other| *other != id);
                if queue.is_empty() {
                    self.by_key.remove(key);
                }
            }
        }
        if let Some(deadline) = waiter.deadline_ms {
            self.by_deadline.remove(&(deadline, id));
        }
        self.by_connection.remove(&(waiter.worker, waiter.connection));
        Some(waiter)
    }

    pub fn remove_of_connection(&mut self, worker: usize, connection: ConnectionId) -> Option<Waiter> {
        let id = *self.by_connection.get(&(worker, connection))?;
        self.remove(id)
    }

    /// The next time at which somebody's timeout ends.
    pub fn next_deadline_ms(&self) -> Option<i64> {
        self.by_deadline.first().map(|(deadline, _)| *deadline)
    }

    /// Takes out one whose timeout has ended.
    pub fn take_timed_out(&mut self, now_ms: i64) -> Option<Waiter> {
        let (deadline, id) = *self.by_deadline.first()?;
        if deadline > now_ms { None } else { self.remove(id) }
    }

    /// Takes out everybody, in the order in which they came.
    pub fn take_all(&mut self) -> Vec<Waiter> {
        let all = std::mem::take(&mut self.waiters);
        self.by_key.clear();
        self.by_deadline.clear();
        self.by_connection.clear();
        all.into_values().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn waiter(number: u32, keys: &[&str], deadline_ms: Option<i64>) -> Waiter {
        Waiter {
            worker: 0,
            connection: ConnectionId { index: number, generation: 0 },
            resp: Resp::V2,
            blocking: Blocking::last_argument(true, |_| Ok(())),
            encoded: Box::default(),
            deadline_ms,
            keys: keys.iter().map(|key| (0, key.as_bytes().to_vec())).collect(),
        }
    }

    #[test]
    fn first_come_first_served_per_key_and_gone_from_all_keys_at_once() {
        let mut waiters = Waiters::default();
        waiters.add(waiter(1, &["a", "b"], None));
        waiters.add(waiter(2, &["b"], None));
        let b = (0, b"b".to_vec());
        let order = waiters.waiting_for(&b, 9);
        assert_eq!(order.len(), 2);
        assert_eq!(waiters.remove(order[0]).map(|waiter| waiter.connection.index), Some(1));
        assert!(waiters.waiting_for(&(0, b"a".to_vec()), 9).is_empty());
        assert_eq!(waiters.waiting_for(&b, 9), order[1..]);
    }

    #[test]
    fn timeouts_end_in_their_order() {
        let mut waiters = Waiters::default();
        waiters.add(waiter(1, &["a"], Some(30)));
        waiters.add(waiter(2, &["a"], Some(20)));
        assert_eq!(waiters.next_deadline_ms(), Some(20));
        assert!(waiters.take_timed_out(19).is_none());
        assert_eq!(waiters.take_timed_out(40).map(|waiter| waiter.connection.index), Some(2));
        assert_eq!(waiters.take_timed_out(40).map(|waiter| waiter.connection.index), Some(1));
        assert!(waiters.is_empty());
    }
}
