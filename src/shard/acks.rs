//! Connections that wait for followers' acknowledgements (WAIT, WAITAOF).
//!
//! - A wait names a count of followers and an index of the log; it is woken once that many have the index, or once this node is
//!   no primary any more. Others are left asleep: thousands of waits cost a turn no more than those that end with it.
//! - Waking promises nothing: the connection looks again.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use tokio::sync::Notify;

/// Followers wanted, the index that they are to have, and a number of the wait's own.
type Key = (usize, u64, u64);

/// The waits of one shard.
#[derive(Debug, Default)]
pub struct AckWaits {
    waits: Mutex<BTreeMap<Key, Arc<Notify>>>,
    next: AtomicU64,
}

/// A wait; dropping it ends it.
#[derive(Debug)]
pub struct AckWaiting {
    waits: Arc<AckWaits>,
    key: Key,
    wake: Arc<Notify>,
}

impl AckWaits {
    /// Begins a wait until `followers` have the entry of `index`.
    pub fn begin(self: &Arc<Self>, followers: usize, index: u64) -> AckWaiting {
        let key = (followers, index, self.next.fetch_add(1, Ordering::Relaxed));
        let wake = Arc::<Notify>::default();
        self.waits.lock().insert(key, wake.clone());
        AckWaiting { waits: self.clone(), key, wake }
    }

    /// Wakes the waits that end with what the followers have now; `matched` holds the last index of each.
    pub fn note_matched(&self, mut matched: Vec<u64>) {
        matched.sort_unstable_by(|a, b| b.cmp(a));
        let waits = self.waits.lock();
        for (nth, reached) in matched.into_iter().enumerate() {
            let followers = nth + 1;
            let ended = waits.range((followers, 0, 0)..=(followers, reached, u64::MAX));
            ended.for_each(|(_, wake)| wake.notify_one());
        }
    }

    /// Wakes all: this node is no primary.
    pub fn wake_all(&self) {
        self.waits.lock().values().for_each(|wake| wake.notify_one());
    }
}

impl AckWaiting {
    /// Returns once the wait may have ended; remembers a wake that came before.
    pub async fn woken(&self) {
        self.wake.notified().await;
    }
}

impl Drop for AckWaiting {
    fn drop(&mut self) {
        self.waits.waits.lock().remove(&self.key);
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::task::{Context, Waker};

    use super::*;

    fn is_woken(wait: &AckWaiting) -> bool {
        pin!(wait.woken()).poll(&mut Context::from_waker(Waker::noop())).is_ready()
    }

    #[test]
    fn only_waits_that_end_are_woken() {
        let waits = Arc::<AckWaits>::default();
        let (one, both, later, never) =
            (waits.begin(1, 10), waits.begin(2, 10), waits.begin(1, 11), waits.begin(5, 0));
        waits.note_matched(vec![9, 10]);
        assert_eq!([&one, &both, &later, &never].map(is_woken), [true, false, false, false]);
        waits.note_matched(vec![11, 10]);
        assert_eq!([&both, &later, &never].map(is_woken), [true, true, false]);
        waits.wake_all();
        assert!(is_woken(&never));
        drop((one, both, later, never));
        assert!(waits.waits.lock().is_empty());
    }
}
