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

/// A thread has one part in so many of the machine's processor time, and no more than a core.
const PARTS_OF_MACHINE: u64 = 8;
/// The longest rest: whoever rests hears of nothing meanwhile.
const MAX_REST: Duration = Duration::from_millis(500);

/// How long a thread rests after it has worked, for the sake of those who serve clients on the same cores.
#[derive(Debug)]
pub struct Rest {
    cores: u64,
    /// What the thread had of a processor up to its last rest.
    cpu_ns: u64,
}

impl Rest {
    /// For a thread that has had so much of a processor when its work begins.
    pub fn new(cores: usize, cpu_ns: u64) -> Rest {
        Rest { cores: (cores as u64).max(1), cpu_ns }
    }

    /// How long to rest after what was done since the last rest; `cpu_ns` is what the thread has had by now. With hurry 0 all of
    /// that, with 1 half of it, with 2 a third.
    pub fn due(&mut self, hurry: u64, cpu_ns: u64) -> Duration {
        let worked_ns = cpu_ns.saturating_sub(std::mem::replace(&mut self.cpu_ns, cpu_ns));
        let parts_of_others = PARTS_OF_MACHINE.saturating_sub(self.cores);
        let rest_ns = worked_ns.saturating_mul(parts_of_others) / self.cores / hurry.saturating_add(1);
        Duration::from_nanos(rest_ns).min(MAX_REST)
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
        assert_eq!(Rest::new(1, 0).due(0, u64::MAX), MAX_REST);
        assert_eq!([1, 2, 4, 8, 64].map(|cores| rest(cores, 0)), [7_000, 3_000, 1_000, 0, 0]);
        assert_eq!([0, 1, 2].map(|hurry| rest(2, hurry)), [3_000, 1_500, 1_000]);
    }
}
