//! Requests that a browser sends: a web page can make it post to a local port, with commands in the body.
//!
//! Such a connection is closed at its first line, as Redis does, before the body is read as commands.

use std::sync::atomic::{AtomicU64, Ordering};

use super::Session;

/// The warning is written at most this often: the page may try again and again.
const WARNING_PERIOD_MS: u64 = 60_000;

/// Monotonic time from which on the next warning may be written.
static NEXT_WARNING_MS: AtomicU64 = AtomicU64::new(0);

/// Whether a request's first word is one of HTTP's.
pub(super) fn is_http(word: &[u8]) -> bool {
    word.eq_ignore_ascii_case(b"post") || word.eq_ignore_ascii_case(b"host:")
}

impl Session {
    /// Ends the connection without an answer.
    pub(super) fn hang_up_on_browser(&mut self) {
        self.client.close_after_reply = true;
        let now_ms = self.shared.clock.monotonic_ms();
        let due = |next_ms: u64| (now_ms >= next_ms).then_some(now_ms + WARNING_PERIOD_MS);
        if NEXT_WARNING_MS.fetch_update(Ordering::Relaxed, Ordering::Relaxed, due).is_ok() {
            tracing::warn!(
                addr = self.client.info.addr,
                "Possible SECURITY ATTACK detected: somebody sends POST or Host: commands, perhaps a web page that \
                 makes a browser do so. The connection is closed."
            );
        }
    }
}
