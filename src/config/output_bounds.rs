//! What the output limits of clients, and the memory of the machine, mean for those that make replies and messages.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::value::OutputLimits;
use crate::protocol::reply::{MAX_REPLY_BYTES, Reply};

/// One reply takes no more than this share of the memory guard.
const GUARD_SHARE: u64 = 4;

/// The most bytes that a connection may be owed. What is applied does not depend on it: a client whose reply does not fit is closed.
#[derive(Debug)]
pub struct OutputBounds {
    /// The longest reply of this process.
    longest: AtomicUsize,
    replies: AtomicUsize,
    messages: AtomicUsize,
}

impl Default for OutputBounds {
    fn default() -> Self {
        let [longest, replies, messages] = [MAX_REPLY_BYTES; 3].map(AtomicUsize::new);
        OutputBounds { longest, replies, messages }
    }
}

impl OutputBounds {
    /// Follows the limits of clients.
    pub fn follow(&self, limits: OutputLimits) {
        self.replies.store(limits.normal.bytes(), Ordering::Relaxed);
        self.messages.store(limits.pubsub.bytes(), Ordering::Relaxed);
    }

    /// Follows the memory guard of this process, in bytes.
    pub fn follow_guard(&self, guard_bytes: u64) {
        let share = usize::try_from(guard_bytes / GUARD_SHARE).unwrap_or(usize::MAX);
        self.longest.store(share.min(MAX_REPLY_BYTES), Ordering::Relaxed);
    }

    /// Of one reply to a client without a limit.
    pub fn longest(&self) -> usize {
        self.longest.load(Ordering::Relaxed)
    }

    /// Of replies.
    pub fn replies(&self) -> usize {
        self.replies.load(Ordering::Relaxed).min(self.longest())
    }

    /// The error in place of a reply that is too long by the bounds of this process; `None` where it is its client's own output limit
    /// that is lower, which closes the client.
    pub fn refusal(&self) -> Option<String> {
        let longest = self.longest();
        let is_own = self.replies.load(Ordering::Relaxed) > longest;
        is_own.then(|| {
            format!("ERR the reply is too long: this node sends a client at most {longest} bytes at once")
        })
    }

    /// Puts that error in place of a reply that began at `start` and has no room.
    pub fn refuse_too_long(&self, reply: &mut Reply<'_>, start: usize) {
        if reply.is_over()
            && let Some(refusal) = self.refusal()
        {
            reply.rewind(start);
            reply.error(&refusal);
        }
    }

    /// Of messages to a subscriber or a monitor.
    pub fn messages(&self) -> usize {
        self.messages.load(Ordering::Relaxed).min(self.longest())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// On a machine of 512 MiB one reply could take all of it.
    #[test]
    fn a_reply_takes_no_more_than_a_quarter_of_the_memory_guard() {
        let bounds = OutputBounds::default();
        assert_eq!([bounds.longest(), bounds.replies(), bounds.messages()], [MAX_REPLY_BYTES; 3]);
        bounds.follow_guard(400 << 20);
        assert_eq!([bounds.longest(), bounds.replies(), bounds.messages()], [100 << 20; 3]);
        let text = "ERR the reply is too long: this node sends a client at most 104857600 bytes at once";
        assert_eq!(bounds.refusal().as_deref(), Some(text));
        bounds.replies.store(1 << 20, Ordering::Relaxed);
        assert_eq!(bounds.refusal(), None);
        bounds.follow_guard(u64::MAX);
        assert_eq!(bounds.longest(), MAX_REPLY_BYTES);
    }
}
