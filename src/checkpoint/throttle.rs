//! How long to wait so that a run writes no more than so many bytes a second, or has no more than its share of the processor.
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

/// What a thread has of the machine: this share of it, and no more than a core.
const SHARE: u64 = 8;

/// How long a thread rests after it has worked, for the sake of those who serve clients on the same cores.
#[derive(Debug)]
pub struct Rest {
    cores: u64,
    woke_at_ns: u64,
}

impl Rest {
    /// Work begins at `now_ns`, monotonic.
    pub fn new(cores: usize, now_ns: u64) -> Rest {
        Rest { cores: (cores as u64).max(1), woke_at_ns: now_ns }
    }

    /// How long to rest after what was done since the last rest. The more hurry, the less: an equal part of that for each.
    pub fn due(&self, hurry: u64, now_ns: u64) -> Duration {
        let worked_ns = now_ns.saturating_sub(self.woke_at_ns);
        let idle_cores = SHARE.saturating_sub(self.cores);
        Duration::from_nanos(worked_ns.saturating_mul(idle_cores) / self.cores / hurry.saturating_add(1))
    }

    /// Work goes on.
    pub fn woke(&mut self, now_ns: u64) {
        self.woke_at_ns = now_ns;
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

    #[test]
    fn a_thread_works_for_an_eighth_of_what_the_cores_could() {
        let rest = |cores, hurry| Rest::new(cores, 1_000).due(hurry, 1_001_000).as_micros();
        assert_eq!([1, 2, 4, 8, 64].map(|cores| rest(cores, 0)), [7_000, 3_000, 1_000, 0, 0]);
        assert_eq!([0, 1, 2].map(|hurry| rest(2, hurry)), [3_000, 1_500, 1_000]);
    }
}
