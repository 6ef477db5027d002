//! Checkpoints on their way from and to this node: what INFO tells of them, and what they hold back.
//!
//! A thread does the work and reports here; nobody is kept waiting by it.

use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

use crate::checkpoint::ship::Progress;

/// See the module.
#[derive(Debug, Default)]
pub struct Transfers {
    sent_bytes: AtomicU64,
    received_bytes: AtomicU64,
    now: Mutex<Now>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Now {
    fetching: Option<Progress>,
    oldest_lent: Option<u64>,
}

impl Transfers {
    pub fn count_sent(&self, bytes: u64) {
        self.sent_bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// How things stand: all bytes that were ever received, the checkpoint that comes, the oldest that others fetch here.
    pub fn tell(&self, received_bytes: u64, fetching: Option<Progress>, oldest_lent: Option<u64>) {
        self.received_bytes.store(received_bytes, Ordering::Relaxed);
        *self.now.lock() = Now { fetching, oldest_lent };
    }

    /// Bytes of checkpoints' files that others fetched here.
    pub fn sent_bytes(&self) -> u64 {
        self.sent_bytes.load(Ordering::Relaxed)
    }

    pub fn received_bytes(&self) -> u64 {
        self.received_bytes.load(Ordering::Relaxed)
    }

    /// How far the checkpoint is that is being fetched.
    pub fn fetching(&self) -> Option<Progress> {
        self.now.lock().fetching
    }

    /// The oldest checkpoint that others are fetching here: they will need the log behind it.
    pub fn oldest_lent(&self) -> Option<u64> {
        self.now.lock().oldest_lent
    }
}
