//! CLIENT PAUSE: which commands of this node's clients are delayed, and until when.
//!
//! - Whether a command is delayed is asked for every one of them: that is one relaxed load where nobody is paused.
//! - A pause that runs is only ever made longer or stricter by another; CLIENT UNPAUSE ends it whatever it is.
//! - A pause ends by the monotonic clock. It is this node's alone, and a restart forgets it.
//!
//! Source: <https://redis.io/docs/latest/commands/client-pause/>.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::Notify;

use crate::env::Clock;

/// What is delayed; later ones include the earlier.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Paused {
    Nothing,
    /// What may change data or send messages.
    Writes,
    Everything,
}

#[derive(Debug, Default)]
pub struct Pause {
    /// Twice the monotonic time in ms at which the pause ends, plus one where it delays everything; 0 without a pause.
    state: AtomicU64,
    lifted: Notify,
}

const LATEST_END_MS: u64 = u64::MAX >> 1;

fn pack(until_ms: u64, everything: bool) -> u64 {
    until_ms.min(LATEST_END_MS) << 1 | u64::from(everything)
}

fn unpack(state: u64) -> (u64, bool) {
    (state >> 1, state & 1 == 1)
}

impl Pause {
    /// Pauses for `for_ms` from the monotonic time `now_ms` on. What runs already is kept where it is longer or stricter.
    pub fn pause(&self, now_ms: u64, for_ms: u64, what: Paused) {
        let longer_and_stricter = |state| {
            let (until_ms, everything) = unpack(state);
            let stricter = what == Paused::Everything || everything && until_ms > now_ms;
            Some(pack(until_ms.max(now_ms.saturating_add(for_ms)), stricter))
        };
        // The closure never declines.
        let _ = self.state.fetch_update(Ordering::AcqRel, Ordering::Acquire, longer_and_stricter);
    }

    /// Ends the pause, and the waits for its end.
    pub fn lift(&self) {
        self.state.store(0, Ordering::Release);
        self.lifted.notify_waiters();
    }

    /// What is delayed at this monotonic time.
    #[inline]
    pub fn at(&self, now_ms: u64) -> Paused {
        match unpack(self.state.load(Ordering::Relaxed)) {
            (until_ms, _) if until_ms <= now_ms => Paused::Nothing,
            (_, false) => Paused::Writes,
            (_, true) => Paused::Everything,
        }
    }

    /// How long the pause still lasts.
    pub fn left_ms(&self, now_ms: u64) -> u64 {
        unpack(self.state.load(Ordering::Relaxed)).0.saturating_sub(now_ms)
    }

    /// Returns when the pause that runs now ends or is lifted; another may run by then.
    pub async fn end(&self, clock: &Clock) {
        // Made before the look at the time: a pause lifted in between is noticed.
        let lifted = self.lifted.notified();
        let left = Duration::from_millis(self.left_ms(clock.monotonic_ms()));
        let _ = tokio::time::timeout(left, lifted).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pause_ends_by_itself() {
        let pause = Pause::default();
        assert_eq!(pause.at(0), Paused::Nothing);
        pause.pause(1000, 50, Paused::Writes);
        assert_eq!((pause.at(1049), pause.left_ms(1049)), (Paused::Writes, 1));
        assert_eq!((pause.at(1050), pause.left_ms(1050)), (Paused::Nothing, 0));
    }

    #[test]
    fn another_pause_makes_it_longer_or_stricter_and_never_less() {
        let pause = Pause::default();
        pause.pause(0, 200, Paused::Everything);
        pause.pause(0, 10, Paused::Writes);
        assert_eq!((pause.at(100), pause.left_ms(100)), (Paused::Everything, 100));
        pause.pause(300, 10, Paused::Writes);
        assert_eq!(pause.at(305), Paused::Writes, "a pause that has ended does not count");
        pause.pause(305, u64::MAX, Paused::Everything);
        assert_eq!(pause.at(u64::MAX >> 2), Paused::Everything);
        pause.lift();
        assert_eq!(pause.at(305), Paused::Nothing);
    }

    #[tokio::test(flavor = "current_thread")]
    async fn who_waits_for_the_end_hears_of_it_at_once() {
        let clock = Clock::system();
        let pause = Pause::default();
        pause.pause(clock.monotonic_ms(), 3_600_000, Paused::Everything);
        let lift = async {
            tokio::task::yield_now().await;
            pause.lift();
        };
        tokio::join!(pause.end(&clock), lift);
        pause.end(&clock).await;
    }
}
