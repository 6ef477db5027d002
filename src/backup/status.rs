//! How a running node's backups stand: what INFO tells of them, and what they keep of the log.
//!
//! A thread does the work and reports here; nobody is kept waiting by it.

use parking_lot::Mutex;

/// Of a failure's reason, so much is told.
const MAX_REASON_CHARS: usize = 500;

/// See the module.
#[derive(Debug, Default)]
pub struct BackupStatus(Mutex<State>);

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct State {
    /// The node is to make backups.
    pub is_on: bool,
    /// This node ships: it is the primary.
    pub is_shipping: bool,
    /// The last entry that the backup has, as far as is known here.
    pub shipped_index: u64,
    /// The newest checkpoint that the backup has.
    pub checkpoint_index: u64,
    /// Pieces that it lacks, as far as is known here.
    pub missing_pieces: u64,
    /// The latest restorable time that this node has written, unix ms; 0 where it has written none.
    pub latest_ms: i64,
    /// Bytes written by this process.
    pub bytes: u64,
    pub failures: u64,
    /// Why the last attempt failed, where it did.
    pub failure: Option<String>,
    log_keep_bytes: u64,
    /// Everything that was applied at this monotonic time is shipped.
    current_at_ms: u64,
}

impl State {
    /// For how long something applied has waited to be shipped, at most.
    pub fn lag_s(&self, now_ms: u64) -> u64 {
        if self.is_shipping { now_ms.saturating_sub(self.current_at_ms) / 1000 } else { 0 }
    }
}

impl BackupStatus {
    pub fn state(&self) -> State {
        self.0.lock().clone()
    }

    /// The last entry that the log may be cut behind for all that backups need, and the bytes of the log that they may keep at
    /// most; `None` where there are none.
    pub fn keeps(&self) -> Option<(u64, u64)> {
        let state = self.0.lock();
        state.is_on.then_some((state.shipped_index, state.log_keep_bytes))
    }

    pub fn turn_on(&self, log_keep_bytes: u64, now_ms: u64) {
        let mut state = self.0.lock();
        (state.is_on, state.log_keep_bytes, state.current_at_ms) = (true, log_keep_bytes, now_ms);
    }

    /// Whether this node ships. Who begins to is up to date until something shows otherwise.
    pub fn set_shipping(&self, is_shipping: bool, now_ms: u64) {
        let mut state = self.0.lock();
        if is_shipping && !state.is_shipping {
            state.current_at_ms = now_ms;
        }
        state.is_shipping = is_shipping;
    }

    /// All that had been applied at `as_of_ms` is in the backup.
    pub fn is_current(&self, index: u64, as_of_ms: u64) {
        let mut state = self.0.lock();
        state.shipped_index = state.shipped_index.max(index);
        (state.current_at_ms, state.failure) = (as_of_ms, None);
    }

    /// The backup has entries up to this one, whoever shipped them.
    pub fn has(&self, index: u64, checkpoint_index: u64) {
        let mut state = self.0.lock();
        state.shipped_index = state.shipped_index.max(index);
        state.checkpoint_index = checkpoint_index;
        state.failure = None;
    }

    /// The newest checkpoint was looked at: pieces that it lacks. Whether that is news, and bad.
    pub fn lacks(&self, missing_pieces: u64) -> bool {
        let mut state = self.0.lock();
        let is_new = state.missing_pieces != missing_pieces;
        state.missing_pieces = missing_pieces;
        is_new && missing_pieces > 0
    }

    /// Up to then nothing more was written than what is in the backup; unix ms.
    pub fn is_complete_until(&self, latest_ms: i64) {
        self.0.lock().latest_ms = latest_ms;
    }

    pub fn wrote(&self, bytes: u64) {
        self.0.lock().bytes += bytes;
    }

    /// Counts a failure; whether it is another than the last.
    pub fn failed(&self, reason: &str) -> bool {
        // An object store may answer with a page of XML.
        let one_line = reason.chars().map(|char| if char.is_control() { ' ' } else { char });
        let reason: String = one_line.take(MAX_REASON_CHARS).collect();
        let mut state = self.0.lock();
        state.failures += 1;
        let is_new = state.failure.as_ref() != Some(&reason);
        state.failure = Some(reason);
        is_new
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_without_backups_keeps_nothing_for_them() {
        let status = BackupStatus::default();
        assert_eq!(status.keeps(), None);
        status.turn_on(99, 0);
        assert_eq!(status.keeps(), Some((0, 99)));
        status.is_current(7, 5);
        status.has(5, 3);
        assert_eq!((status.keeps(), status.state().checkpoint_index), (Some((7, 99)), 3));
    }

    #[test]
    fn lag_grows_only_while_this_node_is_to_ship() {
        let status = BackupStatus::default();
        status.turn_on(99, 0);
        assert_eq!(status.state().lag_s(50_000), 0);
        status.set_shipping(true, 50_000);
        status.set_shipping(true, 60_000);
        assert_eq!(status.state().lag_s(61_999), 11);
        status.is_current(1, 61_000);
        assert_eq!(status.state().lag_s(61_999), 0);
        status.set_shipping(false, 70_000);
        assert_eq!(status.state().lag_s(99_000), 0);
    }

    #[test]
    fn the_same_failure_is_new_once() {
        let status = BackupStatus::default();
        assert!(status.failed("no") && !status.failed("no"));
        status.is_current(1, 0);
        assert!(status.failed("no"));
        assert_eq!(status.state().failures, 3);
    }
}
