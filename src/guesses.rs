//! Wrong passwords: counted, reported in the log, and answered ever more slowly on one connection.
//!
//! - Each is counted by a metric and by INFO (`acl_access_denied_auth`).
//! - The log gets a line at most once a second, with how many there were since the last and where the newest came from.

use parking_lot::Mutex;

/// A connection's next request waits this long for each wrong password that it has sent, up to [`MAX_DELAY_MS`].
const DELAY_MS: u64 = 100;
const MAX_DELAY_MS: u64 = 1000;
const LOG_EVERY_MS: u64 = 1000;

/// How long a connection waits after its `failures`th wrong password.
pub fn delay_ms(failures: u32) -> u64 {
    u64::from(failures).saturating_mul(DELAY_MS).min(MAX_DELAY_MS)
}

/// When the log was last told of wrong passwords, and how many came since.
#[derive(Debug, Default)]
pub struct Guesses {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Monotonic time.
    reported_ms: Option<u64>,
    unreported: u64,
}

impl Guesses {
    /// Counts a wrong password; returns how many are to be reported now, if it is time.
    fn count(&self, now_ms: u64) -> Option<u64> {
        let mut state = self.state.lock();
        state.unreported += 1;
        if state.reported_ms.is_some_and(|reported_ms| now_ms < reported_ms + LOG_EVERY_MS) {
            return None;
        }
        state.reported_ms = Some(now_ms);
        Some(std::mem::take(&mut state.unreported))
    }

    /// Notes a wrong password from a client at this address, at this monotonic time.
    pub fn note(&self, now_ms: u64, client_addr: &str) {
        if let Some(count) = self.count(now_ms) {
            tracing::warn!(count, client = client_addr, "wrong passwords");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_storm_of_guesses_is_one_line_a_second() {
        let guesses = Guesses::default();
        let reported: Vec<Option<u64>> =
            [0, 1, 999, 1000, 1001, 2500].into_iter().map(|now_ms| guesses.count(now_ms)).collect();
        assert_eq!(reported, [Some(1), None, None, Some(3), None, Some(2)]);
    }

    #[test]
    fn each_guess_waits_longer_up_to_a_second() {
        assert_eq!([0, 1, 2, 9, 10, u32::MAX].map(delay_ms), [0, 100, 200, 900, 1000, 1000]);
    }
}
