//! How a running node's backups stand: what INFO tells of them, and what they keep of the log.
//!
//! - A thread for each place does the work and reports here; no client waits for it.
//! - The log is kept for the place that lags most, up to one bound for all.

use std::sync::Arc;

use parking_lot::Mutex;

/// Of a failure's reason, so much is told.
const MAX_REASON_CHARS: usize = 500;

/// See the module.
#[derive(Debug, Default)]
pub struct BackupStatus(Mutex<Vec<Arc<PlaceStatus>>>);

/// How the backup at one place stands.
#[derive(Debug, Default)]
pub struct PlaceStatus(Mutex<State>);

/// Of one place, or of all of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct State {
    /// Empty of all.
    pub url: String,
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
    /// Entries that the backup lacks and the log has no more.
    pub gap_entries: u64,
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
    /// On a replica: an applied entry that the primary has not shipped, and the monotonic time at which that was first seen.
    unshipped: Option<(u64, u64)>,
}

impl State {
    /// For how long something applied has waited to be shipped, at most: by this node, or by the primary as far as a replica sees it in the
    /// backup.
    pub fn lag_s(&self, now_ms: u64) -> u64 {
        let since_ms = match self.is_shipping {
            true => Some(self.current_at_ms),
            false => self.unshipped.map(|(_, since_ms)| since_ms),
        };
        since_ms.map_or(0, |since_ms| now_ms.saturating_sub(since_ms) / 1000)
    }

    /// Both together: what is behind most, sums of what is counted.
    fn with(self, other: &State) -> State {
        State {
            url: String::new(),
            is_on: self.is_on || other.is_on,
            is_shipping: self.is_shipping || other.is_shipping,
            shipped_index: self.shipped_index.min(other.shipped_index),
            checkpoint_index: self.checkpoint_index.min(other.checkpoint_index),
            missing_pieces: self.missing_pieces + other.missing_pieces,
            gap_entries: self.gap_entries + other.gap_entries,
            latest_ms: self.latest_ms.min(other.latest_ms),
            bytes: self.bytes + other.bytes,
            failures: self.failures + other.failures,
            failure: self.failure.or_else(|| other.failure.clone()),
            log_keep_bytes: self.log_keep_bytes.max(other.log_keep_bytes),
            current_at_ms: self.current_at_ms.min(other.current_at_ms),
            unshipped: [self.unshipped, other.unshipped].into_iter().flatten().min_by_key(|(_, ms)| *ms),
        }
    }
}

impl BackupStatus {
    /// All places as one.
    pub fn state(&self) -> State {
        self.places().into_iter().reduce(|all, one| all.with(&one)).unwrap_or_default()
    }

    /// Each place by itself.
    pub fn places(&self) -> Vec<State> {
        self.0.lock().iter().map(|place| place.state()).collect()
    }

    /// The last entry that the log may be cut behind for all that backups need, and the bytes of the log that they may keep at
    /// most; `None` where there are none.
    pub fn keeps(&self) -> Option<(u64, u64)> {
        let state = self.state();
        state.is_on.then_some((state.shipped_index, state.log_keep_bytes))
    }

    /// The node is to back up to this place.
    pub fn add(&self, url: &str, log_keep_bytes: u64, now_ms: u64) -> Arc<PlaceStatus> {
        let (url, is_on, current_at_ms) = (url.to_owned(), true, now_ms);
        let state = State { url, is_on, log_keep_bytes, current_at_ms, ..State::default() };
        let place = Arc::new(PlaceStatus(Mutex::new(state)));
        self.0.lock().push(place.clone());
        place
    }
}

impl PlaceStatus {
    pub fn state(&self) -> State {
        self.0.lock().clone()
    }

    /// Whether this node ships. Who begins to is up to date until something shows otherwise.
    pub fn set_shipping(&self, is_shipping: bool, now_ms: u64) {
        let mut state = self.0.lock();
        if is_shipping && !state.is_shipping {
            state.current_at_ms = now_ms;
        }
        if is_shipping != state.is_shipping {
            state.unshipped = None;
        }
        state.is_shipping = is_shipping;
    }

    /// A replica has looked: the backup ends with entry `held`, and this node has applied `applied`.
    pub fn was_looked_at(&self, held: u64, applied: u64, now_ms: u64) {
        let mut state = self.0.lock();
        let is_still_missing = |(index, _): &(u64, u64)| *index > held;
        let known = state.unshipped.filter(is_still_missing);
        state.unshipped = known.or((applied > held).then_some((applied, now_ms)));
    }

    /// All that had been applied at `as_of_ms` is in the backup.
    pub fn is_current(&self, index: u64, as_of_ms: u64) {
        let mut state = self.0.lock();
        state.shipped_index = state.shipped_index.max(index);
        (state.current_at_ms, state.failure) = (as_of_ms, None);
    }

    /// The backup was looked at, and needs no entry of the log up to this one. That may be less than what it had before.
    pub fn has_until(&self, index: u64) {
        self.0.lock().shipped_index = index;
    }

    /// The newest checkpoint in the backup.
    pub fn has_checkpoint(&self, index: u64) {
        let mut state = self.0.lock();
        state.checkpoint_index = index;
    }

    /// A look at the backup found nothing wrong.
    pub fn is_reachable(&self) {
        self.0.lock().failure = None;
    }

    /// The newest checkpoint was looked at: pieces that it lacks. Whether that is news, and bad.
    pub fn lacks(&self, missing_pieces: u64) -> bool {
        let mut state = self.0.lock();
        let is_new = state.missing_pieces != missing_pieces;
        state.missing_pieces = missing_pieces;
        is_new && missing_pieces > 0
    }

    /// Entries that the backup lacks and the log has no more. Whether those are more than were known.
    pub fn has_gap(&self, entries: u64) -> bool {
        let mut state = self.0.lock();
        entries > std::mem::replace(&mut state.gap_entries, entries)
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
        let place = status.add("file:///a", 99, 0);
        assert_eq!(status.keeps(), Some((0, 99)));
        place.is_current(7, 5);
        place.has_checkpoint(3);
        assert_eq!((status.keeps(), status.state().checkpoint_index), (Some((7, 99)), 3));
        place.has_until(5);
        assert_eq!(status.keeps(), Some((5, 99)), "another backup was found there");
    }

    #[test]
    fn the_log_is_kept_for_the_place_that_lags_most() {
        let status = BackupStatus::default();
        let (one, other) = (status.add("file:///a", 99, 0), status.add("file:///b", 99, 0));
        [&one, &other].iter().for_each(|place| place.set_shipping(true, 0));
        one.is_current(7, 60_000);
        other.is_current(4, 50_000);
        assert!(other.failed("no") && other.has_gap(3) && !other.has_gap(3));
        let all = status.state();
        assert_eq!((all.shipped_index, all.lag_s(60_000), all.failures, all.gap_entries), (4, 10, 1, 3));
        assert_eq!((all.failure.as_deref(), status.keeps()), (Some("no"), Some((4, 99))));
    }

    #[test]
    fn lag_grows_only_while_this_node_is_to_ship() {
        let status = BackupStatus::default();
        let place = status.add("file:///a", 99, 0);
        assert_eq!(status.state().lag_s(50_000), 0);
        place.set_shipping(true, 50_000);
        place.set_shipping(true, 60_000);
        assert_eq!(status.state().lag_s(61_999), 11);
        place.is_current(1, 61_000);
        assert_eq!(status.state().lag_s(61_999), 0);
        place.set_shipping(false, 70_000);
        assert_eq!(status.state().lag_s(99_000), 0);
    }

    #[test]
    fn replica_sees_in_the_backup_that_the_primary_ships_nothing() {
        let status = BackupStatus::default();
        let place = status.add("file:///a", 99, 0);
        place.was_looked_at(7, 9, 10_000);
        place.was_looked_at(7, 12, 20_000);
        assert_eq!(status.state().lag_s(75_000), 65, "entry 9 is not there since the first look");
        place.was_looked_at(10, 12, 80_000);
        assert_eq!(status.state().lag_s(80_000), 0, "the primary ships, and has begun to send entry 12");
        place.was_looked_at(12, 12, 90_000);
        assert_eq!(status.state().lag_s(200_000), 0);
        place.was_looked_at(12, 13, 200_000);
        place.set_shipping(true, 300_000);
        place.set_shipping(false, 300_000);
        assert_eq!(status.state().lag_s(400_000), 0, "this node shipped meanwhile");
    }

    #[test]
    fn the_same_failure_is_new_once() {
        let place = PlaceStatus::default();
        assert!(place.failed("no") && !place.failed("no"));
        place.is_current(1, 0);
        assert!(place.failed("no"));
        assert_eq!(place.state().failures, 3);
    }
}
