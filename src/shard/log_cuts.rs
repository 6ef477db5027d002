//! Cutting the log of a running node by hand: the wish, from any thread, and what the driver made of it.
//!
//! A log is cut by itself behind each checkpoint. By hand it is cut between two: further, where it was kept for followers,
//! or to learn what would go.

use std::collections::VecDeque;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::{Notify, oneshot};

/// Wishes that may wait.
const MAX_WAITING: usize = 16;

/// What is to stay, beside what has to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CutOrder {
    /// At least so many bytes of the log; what the settings say if it is not given.
    pub keep_bytes: Option<u64>,
    /// Everything of the last so many ms.
    pub keep_ms: Option<u64>,
    /// Only tell what would go.
    pub dry_run: bool,
}

/// What went, or would go.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cut {
    /// The first entry before.
    pub first_index_before: u64,
    /// The first entry afterwards.
    pub first_index: u64,
    /// The last entry.
    pub last_index: u64,
    /// None while there is no checkpoint: then nothing goes.
    pub oldest_checkpoint: Option<u64>,
    /// Bytes of the segments that hold nothing else.
    pub freed_bytes: u64,
    /// What keeps the rest: `checkpoint`, `transfer`, `backup`, `keep-bytes`, `keep-time`, `full-disk`.
    pub kept_by: &'static str,
}

/// A wish, and whom to tell.
#[derive(Debug)]
pub struct CutRequest {
    pub order: CutOrder,
    pub answer: oneshot::Sender<Cut>,
}

/// See the module.
#[derive(Debug)]
pub struct LogCuts {
    queue: Mutex<VecDeque<CutRequest>>,
    driver_wake: Arc<Notify>,
}

impl LogCuts {
    /// `driver_wake` wakes the driver.
    pub fn new(driver_wake: Arc<Notify>) -> LogCuts {
        LogCuts { queue: Mutex::default(), driver_wake }
    }

    /// Asks for a cut; `None` if too many do. The receiver fails if the node ends first.
    pub fn ask(&self, order: CutOrder) -> Option<oneshot::Receiver<Cut>> {
        let (answer, cut) = oneshot::channel();
        let mut queue = self.queue.lock();
        if queue.len() >= MAX_WAITING {
            return None;
        }
        queue.push_back(CutRequest { order, answer });
        drop(queue);
        self.driver_wake.notify_one();
        Some(cut)
    }

    /// The oldest wish, for the driver.
    pub fn take(&self) -> Option<CutRequest> {
        self.queue.lock().pop_front()
    }
}
