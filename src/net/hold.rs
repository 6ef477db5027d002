//! How long a connection's requests wait for a primary that can be reached: sans-IO.
//!
//! - A wait begins with the first request that can't be sent. Every request before its deadline shares it, so a pipeline waits once.
//!   After the deadline requests are refused at once, for [`RESPITE_MS`]; then the next one waits again.
//! - A primary that could not be reached is tried again after a pause. Another one is tried at once, even after the deadline.
//! - An answer of a primary ends the wait.

/// For how long requests are refused at once after a wait in vain.
pub const RESPITE_MS: u64 = 1000;
/// Between two tries of one primary.
const RETRY_MS: u64 = 50;

#[derive(Debug, Default)]
pub struct Hold {
    /// The deadline, in monotonic ms.
    until_ms: Option<u64>,
    /// The primary that could not be reached, and when, in monotonic ms.
    failed: Option<(String, u64)>,
}

/// What to do about a request that has no connection to a primary.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Connect to the primary.
    Try,
    /// Look again when another primary is known, or after so long.
    Wait {
        ms: u64,
    },
    Refuse,
}

impl Hold {
    /// `primary` is the address of the primary, if one is known.
    pub fn next(&mut self, primary: Option<&str>, now_ms: u64, hold_ms: u64) -> Next {
        let left_ms = self.begin(now_ms, hold_ms).saturating_sub(now_ms);
        let failed_ms =
            self.failed.as_ref().filter(|(addr, _)| Some(addr.as_str()) == primary).map(|(_, ms)| *ms);
        match (primary, failed_ms) {
            (Some(_), None) => Next::Try,
            _ if left_ms == 0 => Next::Refuse,
            (Some(_), Some(failed_ms)) if now_ms >= failed_ms + RETRY_MS => Next::Try,
            (Some(_), Some(failed_ms)) => Next::Wait { ms: left_ms.min(failed_ms + RETRY_MS - now_ms) },
            (None, _) => Next::Wait { ms: left_ms },
        }
    }

    /// Begins a wait unless there is one; returns its deadline.
    fn begin(&mut self, now_ms: u64, hold_ms: u64) -> u64 {
        match self.until_ms {
            Some(until_ms) if now_ms < until_ms + RESPITE_MS => until_ms,
            _ => {
                self.failed = None;
                *self.until_ms.insert(now_ms + hold_ms)
            }
        }
    }

    /// The primary at `addr` could not be reached, or was none.
    pub fn note_failure(&mut self, addr: &str, now_ms: u64) {
        self.failed = Some((addr.to_owned(), now_ms));
    }

    /// Whether a request that a primary did not serve may be sent to the next; begins a wait.
    pub fn allows_retry(&mut self, now_ms: u64, hold_ms: u64) -> bool {
        now_ms < self.begin(now_ms, hold_ms)
    }

    /// A primary has answered.
    pub fn end(&mut self) {
        (self.until_ms, self.failed) = (None, None);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_of_one_pipeline_share_a_deadline() {
        let mut hold = Hold::default();
        assert_eq!(hold.next(None, 100, 2000), Next::Wait { ms: 2000 });
        assert_eq!(hold.next(None, 1100, 2000), Next::Wait { ms: 1000 });
        for now_ms in [2100, 2101, 2100 + RESPITE_MS - 1] {
            assert_eq!(hold.next(None, now_ms, 2000), Next::Refuse);
        }
        assert_eq!(hold.next(None, 2100 + RESPITE_MS, 2000), Next::Wait { ms: 2000 });
    }

    #[test]
    fn a_primary_is_tried_again_after_a_pause_and_another_at_once() {
        let mut hold = Hold::default();
        assert_eq!(hold.next(Some("a"), 0, 2000), Next::Try);
        hold.note_failure("a", 10);
        assert_eq!(hold.next(Some("a"), 20, 2000), Next::Wait { ms: RETRY_MS - 10 });
        assert_eq!(hold.next(Some("a"), 10 + RETRY_MS, 2000), Next::Try);
        hold.note_failure("a", 1990);
        assert_eq!(hold.next(Some("a"), 2000, 2000), Next::Refuse);
        assert_eq!(hold.next(Some("b"), 2000, 2000), Next::Try, "another is tried after the deadline, too");
    }

    #[test]
    fn an_answer_ends_the_wait_and_without_one_retries_end() {
        let mut hold = Hold::default();
        assert!(hold.allows_retry(100, 2000) && hold.allows_retry(2099, 2000));
        assert!(!hold.allows_retry(2100, 2000));
        hold.end();
        assert!(hold.allows_retry(2100, 2000));
        assert!(!Hold::default().allows_retry(100, 0), "nothing waits where nothing is to wait");
    }

    #[test]
    fn without_a_wait_a_primary_that_is_known_is_still_tried() {
        let mut hold = Hold::default();
        assert_eq!(hold.next(Some("a"), 100, 0), Next::Try);
        hold.note_failure("a", 100);
        assert_eq!(hold.next(Some("a"), 100, 0), Next::Refuse);
        assert_eq!(hold.next(Some("a"), 100 + RESPITE_MS, 0), Next::Try);
    }
}
