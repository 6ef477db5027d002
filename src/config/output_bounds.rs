//! What the output limits of clients mean for those that make replies and messages.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::value::OutputLimits;
use crate::protocol::reply::MAX_REPLY_BYTES;

/// The most bytes that a connection may be owed, as the output limits of clients say. What is applied does not depend on it.
#[derive(Debug)]
pub struct OutputBounds {
    replies: AtomicUsize,
    messages: AtomicUsize,
}

impl Default for OutputBounds {
    fn default() -> Self {
        OutputBounds { replies: MAX_REPLY_BYTES.into(), messages: MAX_REPLY_BYTES.into() }
    }
}

impl OutputBounds {
    /// Follows the limits; without one, the longest reply is the bound.
    pub fn follow(&self, limits: OutputLimits) {
        self.replies.store(limits.normal.bytes().min(MAX_REPLY_BYTES), Ordering::Relaxed);
        self.messages.store(limits.pubsub.bytes().min(MAX_REPLY_BYTES), Ordering::Relaxed);
    }

    /// Of replies.
    pub fn replies(&self) -> usize {
        self.replies.load(Ordering::Relaxed)
    }

    /// Of messages to a subscriber or a monitor.
    pub fn messages(&self) -> usize {
        self.messages.load(Ordering::Relaxed)
    }
}
