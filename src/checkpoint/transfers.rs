//! Checkpoints on their way from and to this node: what INFO tells of them, and what they hold back.
//!
//! A thread does the work and reports here; nobody is kept waiting by it.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use tokio::sync::oneshot;

use crate::checkpoint::ship::{Ask, Piece, Progress};

/// Asks of operators that may wait.
const MAX_ASKS: usize = 64;

/// What an ask came to: `None` if there is no such checkpoint or file; an error in words.
pub type Found = Result<Option<Piece>, String>;

/// An ask for a piece of a checkpoint that comes from no peer.
#[derive(Debug)]
pub struct LocalAsk {
    pub ask: Ask,
    pub answer: oneshot::Sender<Found>,
}

/// See the module.
#[derive(Debug, Default)]
pub struct Transfers {
    sent_bytes: AtomicU64,
    received_bytes: AtomicU64,
    now: Mutex<Now>,
    asks: Mutex<VecDeque<LocalAsk>>,
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

    /// Asks for a piece of a checkpoint of this node's; `None` if too many do. The driver has to be woken.
    pub fn ask(&self, ask: Ask) -> Option<oneshot::Receiver<Found>> {
        let (answer, found) = oneshot::channel();
        let mut asks = self.asks.lock();
        if asks.len() >= MAX_ASKS {
            return None;
        }
        asks.push_back(LocalAsk { ask, answer });
        Some(found)
    }

    /// The oldest ask.
    pub fn take_ask(&self) -> Option<LocalAsk> {
        self.asks.lock().pop_front()
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
