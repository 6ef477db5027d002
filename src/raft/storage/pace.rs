//! How fast followers that lag are sent the log.
//!
//! - Entries that left memory are read from this node's disk and written to another's, beside all that clients write: they are sent
//!   at a pace. What is in memory is sent at once, so who keeps up never waits.
//! - What is written meanwhile is sent on top of that, to each of them: or none would arrive under a load above the pace.
//! - The node says when nothing is to be paced, because somebody waits for it (`node/pace.rs`).

/// What may be sent in a burst is so much of the pace, or that of two ticks: idle nodes turn with each tick only.
const BURST_MS: u64 = 100;
/// Entries of one message: what takes the disks hardly longer than what clients write.
const MESSAGE_BYTES: u64 = 64 << 10;

pub struct Pace {
    /// Zero is no limit.
    bytes_per_second: u64,
    burst_ms: u64,
    now_ms: u64,
    /// Who lags; none if nothing is paced.
    followers: u64,
    /// Bytes that may be sent; negative after a message that was longer than what was left.
    balance: i64,
    /// Those of them that are for what was written since the last turn.
    on_top: i64,
}

impl Pace {
    /// Zero is no limit.
    pub fn new(bytes_per_second: u64, tick_ms: u64) -> Pace {
        let burst_ms = BURST_MS.max(2 * tick_ms);
        Pace { bytes_per_second, burst_ms, now_ms: 0, followers: 0, balance: 0, on_top: 0 }
    }

    /// A turn begins. Little is saved up, so that nobody who was silent is sent a burst.
    pub fn turn(&mut self, now_ms: u64, followers: u64) {
        let passed_ms = now_ms.saturating_sub(self.now_ms).min(self.burst_ms);
        let most = self.bytes_in(self.burst_ms) + std::mem::take(&mut self.on_top);
        self.balance = (self.balance + self.bytes_in(passed_ms)).min(most);
        (self.now_ms, self.followers) = (now_ms, followers);
    }

    pub fn may_send(&self) -> bool {
        self.balance > 0 || !self.is_on()
    }

    /// How long a message may be of which raft allows `max_bytes`.
    pub fn message_bytes(&self, max_bytes: u64) -> u64 {
        if self.is_on() { max_bytes.min(MESSAGE_BYTES) } else { max_bytes }
    }

    pub fn sent(&mut self, bytes: u64) {
        if self.is_on() {
            self.balance -= bytes as i64;
        }
    }

    fn bytes_in(&self, ms: u64) -> i64 {
        (self.bytes_per_second * ms / 1_000) as i64
    }

    fn is_on(&self) -> bool {
        self.followers > 0 && self.bytes_per_second > 0
    }

    pub fn written(&mut self, bytes: u64) {
        let bytes = (bytes * self.followers) as i64;
        self.balance += bytes;
        self.on_top += bytes;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TICK_MS: u64 = 50;

    /// The bytes that are sent within a second, where each tick is asked for as much as there is, in messages of such a size.
    fn sent_in_a_second(
        pace: &mut Pace,
        from_ms: u64,
        followers: u64,
        message: u64,
        written_per_tick: u64,
    ) -> u64 {
        let mut sent = 0;
        for now_ms in (from_ms..from_ms + 1_000).step_by(TICK_MS as usize) {
            pace.turn(now_ms, followers);
            pace.written(written_per_tick);
            while pace.may_send() && sent < 1 << 30 {
                pace.sent(message);
                sent += message;
            }
        }
        sent
    }

    #[test]
    fn it_is_kept_whatever_the_size_of_a_message() {
        for message in [10_000, 40_000, 400_000] {
            let mut pace = Pace::new(1_000_000, TICK_MS);
            let sent: u64 = (1..=8).map(|s| sent_in_a_second(&mut pace, s * 1_000, 1, message, 0)).sum();
            assert!((7_400_000..=8_600_000).contains(&sent), "{sent} bytes in messages of {message}");
        }
    }

    #[test]
    fn what_is_written_meanwhile_is_sent_on_top_for_each() {
        let mut pace = Pace::new(1_000_000, TICK_MS);
        let sent: u64 = (1..=4).map(|s| sent_in_a_second(&mut pace, s * 1_000, 2, 10_000, 100_000)).sum();
        assert!((19_000_000..=21_000_000).contains(&sent), "{sent}");
    }

    #[test]
    fn nobody_is_sent_a_burst_of_what_was_written_while_it_was_silent() {
        let mut pace = Pace::new(1_000_000, TICK_MS);
        for now_ms in (0..60_000).step_by(TICK_MS as usize) {
            pace.turn(now_ms, 1);
            pace.written(1_000_000);
        }
        let sent = sent_in_a_second(&mut pace, 60_000, 1, 10_000, 0);
        assert!((900_000..=2_300_000).contains(&sent), "{sent}");
    }

    #[test]
    fn nothing_is_paced_for_nobody_or_without_a_limit() {
        let (mut limited, mut unlimited) = (Pace::new(1, TICK_MS), Pace::new(0, TICK_MS));
        assert_eq!(sent_in_a_second(&mut limited, 1_000, 0, 1 << 20, 0), 1 << 30);
        assert_eq!(sent_in_a_second(&mut unlimited, 1_000, 1, 1 << 20, 0), 1 << 30);
    }
}
