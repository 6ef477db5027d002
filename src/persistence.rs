//! How a node's checkpoints stand: what INFO and LASTSAVE tell of them, and the wish for another.
//!
//! The driver begins checkpoints, a thread writes them; both report here. Nobody is kept waiting by it.

pub mod backups;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use parking_lot::Mutex;
use tokio::sync::Notify;

/// A checkpoint that was published.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Published {
    /// The newest entry of the log that is in it.
    pub index: u64,
    pub keys: u64,
    /// Bytes of data files that it did not share with the one before.
    pub bytes_written: u64,
    pub took_ms: u64,
    /// Unix time.
    pub ended_ms: i64,
}

/// A checkpoint that is being written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Running {
    pub index: u64,
    /// Unix time.
    pub began_ms: i64,
}

#[derive(Clone, Debug, Default)]
pub struct Checkpoints {
    pub running: Option<Running>,
    /// The newest, also one that an earlier process wrote.
    pub newest: Option<Published>,
    /// Why the last attempt failed, where it did.
    pub failure: Option<String>,
}

/// See the module.
#[derive(Debug)]
pub struct Persistence {
    checkpoints: Mutex<Checkpoints>,
    wanted: AtomicBool,
    failures: AtomicU64,
    driver_wake: Arc<Notify>,
    /// For those that wait for a checkpoint: something has become of the last one.
    changed: Notify,
}

impl Persistence {
    /// `driver_wake` wakes the driver.
    pub fn new(driver_wake: Arc<Notify>) -> Persistence {
        Persistence {
            checkpoints: Mutex::default(),
            wanted: AtomicBool::new(false),
            failures: AtomicU64::new(0),
            driver_wake,
            changed: Notify::new(),
        }
    }

    pub fn checkpoints(&self) -> Checkpoints {
        self.checkpoints.lock().clone()
    }

    /// Asks for a checkpoint; false where one is being written already.
    pub fn ask(&self) -> bool {
        if self.checkpoints.lock().running.is_some() {
            return false;
        }
        self.wanted.store(true, Ordering::Release);
        self.driver_wake.notify_one();
        true
    }

    /// Waits for a checkpoint that has everything applied so far; returns its index.
    ///
    /// # Errors
    /// Why there is none.
    pub async fn fresh(&self) -> Result<u64, String> {
        let failures = self.failures();
        loop {
            // One that is being written may have begun before.
            let changed = self.changed.notified();
            if self.ask() {
                break;
            }
            changed.await;
        }
        loop {
            let changed = self.changed.notified();
            if !self.is_busy() {
                break;
            }
            changed.await;
        }
        let checkpoints = self.checkpoints();
        match (checkpoints.failure, checkpoints.newest) {
            (Some(reason), _) if self.failures() > failures => Err(reason),
            (_, Some(newest)) => Ok(newest.index),
            (_, None) => Err("there is none yet".to_owned()),
        }
    }

    /// Whether somebody has asked, and no checkpoint has begun since.
    pub fn is_wanted(&self) -> bool {
        self.wanted.load(Ordering::Acquire)
    }

    /// Whether a checkpoint is being written, or will be at once.
    pub fn is_busy(&self) -> bool {
        self.checkpoints.lock().running.is_some() || self.is_wanted()
    }

    /// One begins that has everything written so far: who has asked has what he wants.
    pub fn begins(&self, running: Running) {
        let mut checkpoints = self.checkpoints.lock();
        checkpoints.running = Some(running);
        self.wanted.store(false, Ordering::Release);
    }

    /// One begins that was fixed before: who has asked may have written since, and gets another.
    pub fn begins_at_mark(&self, running: Running) {
        self.checkpoints.lock().running = Some(running);
    }

    /// Whoever asked has what he wants: nothing was written since the newest.
    pub fn is_new_enough(&self) {
        self.wanted.store(false, Ordering::Release);
        self.changed.notify_waiters();
    }

    /// The newest is this one, which an earlier process wrote; `None` if there is none.
    pub fn found(&self, newest: Option<Published>) {
        self.checkpoints.lock().newest = newest;
    }

    pub fn ended(&self, published: Published) {
        *self.checkpoints.lock() = Checkpoints { running: None, newest: Some(published), failure: None };
        self.driver_wake.notify_one();
        self.changed.notify_waiters();
    }

    /// Checkpoints of this process that failed.
    pub fn failures(&self) -> u64 {
        self.failures.load(Ordering::Relaxed)
    }

    pub fn failed(&self, reason: String) {
        self.failures.fetch_add(1, Ordering::Relaxed);
        let mut checkpoints = self.checkpoints.lock();
        (checkpoints.running, checkpoints.failure) = (None, Some(reason));
        drop(checkpoints);
        self.driver_wake.notify_one();
        self.changed.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_fresh_checkpoint_begins_after_it_was_asked_for() {
        let persistence = Persistence::new(Arc::default());
        let published = |index| Published { index, ..Published::default() };
        persistence.begins(Running { index: 7, began_ms: 1 });
        let driver = async {
            tokio::task::yield_now().await;
            persistence.ended(published(7));
            while !persistence.is_wanted() {
                tokio::task::yield_now().await;
            }
            persistence.begins(Running { index: 8, began_ms: 1 });
            tokio::task::yield_now().await;
            persistence.ended(published(8));
        };
        let (fresh, ()) = tokio::join!(persistence.fresh(), driver);
        assert_eq!(fresh, Ok(8));
        let driver = async {
            tokio::task::yield_now().await;
            persistence.begins(Running { index: 9, began_ms: 1 });
            persistence.failed("the disk is full".to_owned());
        };
        let (fresh, ()) = tokio::join!(persistence.fresh(), driver);
        assert_eq!(fresh, Err("the disk is full".to_owned()));
    }

    #[test]
    fn a_wish_is_granted_once_and_not_while_one_runs() {
        let persistence = Persistence::new(Arc::default());
        assert!(persistence.ask());
        assert!(persistence.is_wanted() && persistence.is_busy());
        persistence.begins(Running { index: 7, began_ms: 1 });
        assert!(!persistence.ask() && !persistence.is_wanted() && persistence.is_busy());
        persistence.failed("the disk is full".to_owned());
        assert!(persistence.checkpoints().failure.is_some() && persistence.ask());
        persistence.begins_at_mark(Running { index: 8, began_ms: 1 });
        assert!(persistence.is_wanted() && !persistence.ask());
        persistence.ended(Published { index: 9, ..Published::default() });
        assert!(persistence.is_wanted(), "it may lack what was written since");
        let checkpoints = persistence.checkpoints();
        assert_eq!((checkpoints.failure, checkpoints.newest.map(|newest| newest.index)), (None, Some(9)));
    }
}
