//! How long to wait so that a run writes no more than so many bytes a second.
//!
//! Pure: it says how long, its caller waits.

use std::time::Duration;

const NS_PER_SECOND: u128 = 1_000_000_000;

/// What may have fallen short and is made up for, so that a pause does not end in a burst.
const CREDIT_NS: u128 = NS_PER_SECOND / 10;

#[derive(Debug)]
pub struct Throttle {
    bytes_per_second: u64,
    /// The time at which what was written so far is paid for.
    paid_at_ns: u128,
}

impl Throttle {
    /// Begins at `now_ns`, monotonic; 0 bytes a second stand for no limit.
    pub fn new(bytes_per_second: u64, now_ns: u64) -> Throttle {
        Throttle { bytes_per_second, paid_at_ns: u128::from(now_ns) }
    }

    /// Counts bytes that were just written. Returns how long to wait before the next.
    pub fn wrote(&mut self, bytes: u64, now_ns: u64) -> Duration {
        if self.bytes_per_second == 0 {
            return Duration::ZERO;
        }
        let now_ns = u128::from(now_ns);
        let price_ns = u128::from(bytes) * NS_PER_SECOND / u128::from(self.bytes_per_second);
        self.paid_at_ns = self.paid_at_ns.max(now_ns.saturating_sub(CREDIT_NS)) + price_ns;
        let wait_ns = self.paid_at_ns.saturating_sub(now_ns);
        Duration::from_nanos(u64::try_from(wait_ns).unwrap_or(u64::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_take_their_time_and_idleness_saves_little() {
        let mut throttle = Throttle::new(1000, 0);
        assert_eq!(throttle.wrote(500, 0), Duration::from_millis(500));
        assert_eq!(throttle.wrote(0, 500_000_000), Duration::ZERO);
        assert_eq!(throttle.wrote(100, 600_000_000), Duration::ZERO);
        let much_later_ns = 60_000_000_000;
        assert_eq!(throttle.wrote(1100, much_later_ns), Duration::from_secs(1));
    }

    #[test]
    fn no_limit_never_waits() {
        assert_eq!(Throttle::new(0, 0).wrote(u64::MAX, 0), Duration::ZERO);
    }
}
