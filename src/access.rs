//! When a key was used last, or how often: what the access word of its entry says, in Redis' terms.
//!
//! - 24 bits. By time: unix time in seconds. By frequency: the minute of the last use in 16 bits, above a counter of 8 bits that grows ever
//!   more slowly and sinks with time. A policy that evicts by frequency makes it the latter.
//! - The word belongs to one node: what that node read and applied. It is in no log, no checkpoint and no digest, and nothing that apply does
//!   depends on it.
//! - Zero is the word of a key of which nothing is known yet.
//!
//! Source: <https://redis.io/docs/latest/develop/reference/eviction/>, `evict.c` of Redis 7.0.

/// Values of the word are below this.
pub const WORDS: u32 = 1 << 24;

/// The counter of a new key.
const FIRST_COUNT: u32 = 5;
const MAX_COUNT: u32 = 255;
const MINUTES: u32 = 1 << 16;

/// The largest factor and the largest time of decay.
pub const MAX_FACTOR: u64 = i32::MAX as u64;

/// How a node keeps the words of its keys.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AccessRule {
    pub by_frequency: bool,
    /// `lfu-log-factor`: the higher, the more uses count for one.
    pub log_factor: u32,
    /// `lfu-decay-time`: minutes in which a counter sinks by one; zero for never.
    pub decay_minutes: u32,
}

impl AccessRule {
    /// The rule in one number, for threads that read it often.
    pub fn pack(self) -> u64 {
        u64::from(self.by_frequency) << 63 | u64::from(self.log_factor) << 31 | u64::from(self.decay_minutes)
    }

    pub fn unpack(packed: u64) -> AccessRule {
        AccessRule {
            by_frequency: packed >> 63 != 0,
            log_factor: (packed >> 31 & MAX_FACTOR) as u32,
            decay_minutes: (packed & MAX_FACTOR) as u32,
        }
    }

    /// The word of a key that is used at this time, from the word that it has. `dice` gives any number.
    #[inline]
    pub fn used(self, word: u32, now_ms: i64, dice: impl FnOnce() -> u64) -> u32 {
        if !self.by_frequency {
            return seconds(now_ms);
        }
        let count = match word {
            0 => FIRST_COUNT,
            _ => more(self.frequency(word, now_ms), self.log_factor, dice),
        };
        minutes(now_ms) << 8 | count
    }

    /// The word of a key that was last used this number of seconds before a time; `None` where uses are counted.
    pub fn idle_for(self, idle_s: i64, now_ms: i64) -> Option<u32> {
        let used_ms = now_ms.saturating_sub(idle_s.saturating_mul(1000));
        (!self.by_frequency).then(|| seconds(used_ms))
    }

    /// The word of a key whose counter has this value at this time; `None` where uses are not counted.
    pub fn counting(self, count: u8, now_ms: i64) -> Option<u32> {
        self.by_frequency.then(|| minutes(now_ms) << 8 | u32::from(count))
    }

    /// The counter as it is at this time.
    pub fn frequency(self, word: u32, now_ms: i64) -> u32 {
        let count = word & MAX_COUNT;
        let passed = minutes(now_ms).wrapping_sub(word >> 8) % MINUTES;
        passed.checked_div(self.decay_minutes).map_or(count, |periods| count.saturating_sub(periods))
    }
}

/// Seconds since a key was used last.
pub fn idle_seconds(word: u32, now_ms: i64) -> u32 {
    seconds(now_ms).wrapping_sub(word) % WORDS
}

fn seconds(now_ms: i64) -> u32 {
    // One that would be zero is a second off.
    (now_ms.div_euclid(1000).rem_euclid(i64::from(WORDS)) as u32).max(1)
}

fn minutes(now_ms: i64) -> u32 {
    now_ms.div_euclid(60_000).rem_euclid(i64::from(MINUTES)) as u32
}

/// A counter after a use: one in so many uses counts.
fn more(count: u32, log_factor: u32, dice: impl FnOnce() -> u64) -> u32 {
    let uses = u64::from(count.saturating_sub(FIRST_COUNT)) * u64::from(log_factor) + 1;
    let counts = count < MAX_COUNT && dice().is_multiple_of(uses);
    count + u32::from(counts)
}

#[cfg(test)]
mod tests {
    use super::*;

    const BY_FREQUENCY: AccessRule = AccessRule { by_frequency: true, log_factor: 10, decay_minutes: 1 };
    const MINUTE_MS: i64 = 60_000;

    #[test]
    fn a_rule_is_unpacked_as_it_was_packed() {
        let largest = MAX_FACTOR as u32;
        for by_frequency in [false, true] {
            for (log_factor, decay_minutes) in
                [(0, 0), (10, 1), (largest, 0), (0, largest), (largest, largest)]
            {
                let rule = AccessRule { by_frequency, log_factor, decay_minutes };
                assert_eq!(AccessRule::unpack(rule.pack()), rule);
            }
        }
    }

    #[test]
    fn idle_time_is_counted_in_seconds_also_where_the_clock_begins_again() {
        let word = AccessRule::default().used(0, 1_700_000_000_900, || 0);
        assert_eq!(idle_seconds(word, 1_700_000_000_999), 0);
        assert_eq!(idle_seconds(word, 1_700_000_012_000), 12);
        let last_ms = i64::from(WORDS - 2) * 1000;
        assert_eq!(idle_seconds(AccessRule::default().used(7, last_ms, || 0), last_ms + 10_000), 10);
    }

    /// Uses until a counter has this value, with the dice of a fixed seed.
    fn uses_until(wanted: u32, log_factor: u32) -> usize {
        let rule = AccessRule { log_factor, ..BY_FREQUENCY };
        let (mut word, mut state) = (rule.used(0, 0, || 0), 1_u64);
        for uses in 0.. {
            if rule.frequency(word, 0) >= wanted {
                return uses;
            }
            word = rule.used(word, 0, || {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                state >> 33
            });
        }
        unreachable!("a counter grows")
    }

    /// The table of Redis' documentation: with factor 10 a thousand hits come to 18, a hundred thousand to 142, a million to 255.
    #[test]
    fn counters_grow_as_those_of_redis() {
        assert_eq!(uses_until(8, 0), 3);
        assert!((500..1800).contains(&uses_until(18, 10)), "{}", uses_until(18, 10));
        assert!((70_000..130_000).contains(&uses_until(142, 10)), "{}", uses_until(142, 10));
    }

    #[test]
    fn counters_sink_by_one_in_each_period_and_stop_at_zero() {
        let word = BY_FREQUENCY.used(0, 5 * MINUTE_MS, || 0);
        let after = |minutes: i64| BY_FREQUENCY.frequency(word, (5 + minutes) * MINUTE_MS);
        assert_eq!([0, 1, 4, 5, 60].map(after), [5, 4, 1, 0, 0]);
        let never = AccessRule { decay_minutes: 0, ..BY_FREQUENCY };
        assert_eq!(never.frequency(word, i64::from(MINUTES) * MINUTE_MS / 2), 5);
        let used = BY_FREQUENCY.used(word, 7 * MINUTE_MS, || 1);
        assert_eq!(BY_FREQUENCY.frequency(used, 7 * MINUTE_MS), 4, "it sank by two, and the use counted");
    }

    #[test]
    fn the_largest_counter_stays_and_words_fit_into_an_entry() {
        let word = minutes(0) << 8 | MAX_COUNT;
        assert_eq!(BY_FREQUENCY.used(word, 0, || 0) & MAX_COUNT, MAX_COUNT);
        for now_ms in [0, 999, i64::MAX, i64::MIN, -1, 1_700_000_000_000] {
            for rule in [AccessRule::default(), BY_FREQUENCY] {
                assert!((1..WORDS).contains(&rule.used(0, now_ms, || 0)));
                assert!((0..WORDS).contains(&rule.used(WORDS - 1, now_ms, || 0)));
            }
        }
    }
}
