//! Time as a tester's watch shows it. Tests measure the real thing, so this file may ask the clock.
#![expect(clippy::disallowed_methods, reason = "black-box tests measure real time")]

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// A point in time to count from.
#[derive(Clone, Copy, Debug)]
pub struct Stopwatch(Instant);

impl Stopwatch {
    pub fn start() -> Self {
        Stopwatch(Instant::now())
    }

    pub fn elapsed(&self) -> Duration {
        self.0.elapsed()
    }
}

/// The calendar's time.
pub fn unix_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.expect("it is later than 1970").as_millis() as i64
}

const PROBE_PERIOD: Duration = Duration::from_millis(5);

/// Asks `probe` every few milliseconds until it gives a value; panics with `what` after `limit`.
pub fn wait_for<T>(what: &str, limit: Duration, mut probe: impl FnMut() -> Option<T>) -> T {
    let watch = Stopwatch::start();
    loop {
        if let Some(value) = probe() {
            return value;
        }
        assert!(watch.elapsed() < limit, "{what}: not within {limit:?}");
        std::thread::sleep(PROBE_PERIOD);
    }
}

/// Asks `probe` every few milliseconds for as long as `span`; panics with `what` once it gives a value.
pub fn never_within<T: std::fmt::Debug>(what: &str, span: Duration, mut probe: impl FnMut() -> Option<T>) {
    let watch = Stopwatch::start();
    while watch.elapsed() < span {
        let found = probe();
        assert!(found.is_none(), "{what}: after {:?}: {found:?}", watch.elapsed());
        std::thread::sleep(PROBE_PERIOD);
    }
}
