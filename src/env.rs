//! What the process asks the world: clocks and randomness. No other file may.
//!
//! - Everything else takes a time or a seed as an argument, or holds a [`Clock`]; the lint in `clippy.toml` sees to it.
//! - Monotonic time counts from the making of the clock and never goes back. Two nodes' monotonic times have nothing
//!   to do with each other, only their rates.
//! - Unix time is what the operating system believes; it may jump either way. Whoever must not go back (the stamp of
//!   an entry) has to see to that.
//! - A manual clock stands still until a simulation moves it. Its clones share the same hands.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// The clocks as something began: a turn, a burst of requests.
#[derive(Clone, Copy, Debug, Default)]
pub struct Now {
    pub monotonic_ms: u64,
    pub unix_ms: i64,
}

/// A source of time; clones are cheap and agree.
#[derive(Clone, Debug)]
pub enum Clock {
    /// The machine's clocks.
    System { started: Instant },
    /// A simulation's clock.
    Manual(Arc<ManualClock>),
}

/// The hands of a clock that a simulation moves.
#[derive(Debug)]
pub struct ManualClock {
    monotonic_ns: AtomicU64,
    unix_us_at_start: AtomicI64,
}

impl Clock {
    /// The machine's clocks, with monotonic time zero now.
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the clock")]
    pub fn system() -> Clock {
        Clock::System { started: Instant::now() }
    }

    /// A clock that shows `unix_ms` and stands still, and the handle that moves it.
    pub fn manual(unix_ms: i64) -> (Clock, Arc<ManualClock>) {
        let hands = Arc::new(ManualClock {
            monotonic_ns: AtomicU64::new(0),
            unix_us_at_start: AtomicI64::new(unix_ms.saturating_mul(1000)),
        });
        (Clock::Manual(hands.clone()), hands)
    }

    /// Nanoseconds since the clock was made.
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the clock")]
    pub fn monotonic_ns(&self) -> u64 {
        match self {
            Clock::System { started } => started.elapsed().as_nanos() as u64,
            Clock::Manual(hands) => hands.monotonic_ns.load(Ordering::Relaxed),
        }
    }

    /// Milliseconds since the clock was made.
    pub fn monotonic_ms(&self) -> u64 {
        self.monotonic_ns() / 1_000_000
    }

    /// Microseconds since 1970, negative before.
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the clock")]
    pub fn unix_us(&self) -> i64 {
        match self {
            Clock::System { .. } => unix_us_of(SystemTime::now()),
            Clock::Manual(hands) => {
                let since_start = hands.monotonic_ns.load(Ordering::Relaxed) / 1000;
                hands.unix_us_at_start.load(Ordering::Relaxed) + since_start as i64
            }
        }
    }

    /// Milliseconds since 1970, negative before.
    pub fn unix_ms(&self) -> i64 {
        self.unix_us().div_euclid(1000)
    }
}

impl ManualClock {
    /// Lets time pass, for both kinds of time.
    pub fn advance(&self, by: Duration) {
        self.monotonic_ns.fetch_add(by.as_nanos() as u64, Ordering::Relaxed);
    }

    /// Sets the calendar forward or back, as an operator or a time daemon does; monotonic time does not notice.
    pub fn shift_unix_ms(&self, by_ms: i64) {
        self.unix_us_at_start.fetch_add(by_ms * 1000, Ordering::Relaxed);
    }
}

/// What the calling thread has had of a processor, in nanoseconds.
pub fn thread_cpu_ns() -> u64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

/// A seed that nobody can guess.
///
/// # Panics
/// Where the operating system gives no randomness, which supported systems do not do once they have booted.
#[expect(clippy::disallowed_methods, reason = "the one place that draws randomness")]
pub fn random_seed() -> u64 {
    getrandom::u64().expect("the operating system gives randomness after boot")
}

fn unix_us_of(time: SystemTime) -> i64 {
    match time.duration_since(UNIX_EPOCH) {
        Ok(after) => after.as_micros() as i64,
        Err(before) => -(before.duration().as_micros() as i64),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn system_time_moves_forward_and_is_of_this_age() {
        let clock = Clock::system();
        let first = clock.monotonic_ns();
        assert!(clock.clone().monotonic_ns() >= first);
        let year_2020_ms = 1_577_836_800_000;
        assert!(clock.unix_ms() > year_2020_ms);
    }

    #[test]
    fn a_manual_clock_moves_only_by_hand_and_for_all_its_clones() {
        let (clock, hands) = Clock::manual(5_000);
        let clone = clock.clone();
        assert_eq!((clone.monotonic_ms(), clone.unix_ms()), (0, 5_000));
        hands.advance(Duration::from_millis(30));
        assert_eq!((clone.monotonic_ms(), clock.unix_ms()), (30, 5_030));
    }

    #[test]
    fn setting_the_calendar_back_leaves_monotonic_time_alone() {
        let (clock, hands) = Clock::manual(5_000);
        hands.advance(Duration::from_millis(10));
        hands.shift_unix_ms(-6_000);
        assert_eq!((clock.monotonic_ms(), clock.unix_ms()), (10, -990));
    }

    #[test]
    fn seeds_differ() {
        assert_ne!(random_seed(), random_seed());
    }
}
