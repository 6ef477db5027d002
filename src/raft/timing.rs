//! How long everything in a raft group takes: ticks, heartbeats, election timeouts, leases.
//!
//! - Raft counts ticks; a node ticks at most once per `tick_ms` of its own monotonic clock, later under load, never
//!   earlier. So k ticks span at least (k - 1) x `tick_ms`.
//! - Election timeouts lie in [election_ticks, 2 x election_ticks); those of nodes that leave the lead to others, as their calendars are
//!   wrong, lie an election timeout higher. Instead of drawing them at random, the voters share
//!   that range out among themselves: each has a slot of its own, and the slots rotate with the term. Two nodes
//!   that lost the same leader therefore campaign far apart and split votes stay rare; it also makes a simulated
//!   cluster repeatable, for no randomness is left.
//! - The lease a leader assumes is shorter than the promise a follower gives, by the margin for clock drift.

use crate::config::RaftTicks;
use crate::planted::{Bug, planted};

/// A node's times. Nodes of a group may run with different ones: a leader counts on what its followers tell of their promises.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RaftTiming {
    /// Length of a tick in milliseconds.
    pub tick_ms: u64,
    /// Ticks between two heartbeats of a leader.
    pub heartbeat_ticks: usize,
    /// Ticks without word from a leader after which a follower may campaign at the earliest.
    pub election_ticks: usize,
    /// By how many percent the clocks of two nodes may differ in rate, at most, before a lease is unsafe.
    pub drift_margin_percent: u64,
}

/// Monotonic times are cut to whole milliseconds, by each side once.
const TRUNCATION_MS: u64 = 2;

impl Default for RaftTiming {
    /// Elections after 500 to 950 ms of silence, heartbeats every 100 ms, leases of some 400 ms.
    fn default() -> Self {
        RaftTiming { tick_ms: 50, heartbeat_ticks: 2, election_ticks: 10, drift_margin_percent: 10 }
    }
}

impl From<RaftTicks> for RaftTiming {
    fn from(ticks: RaftTicks) -> RaftTiming {
        let RaftTicks { tick_ms, heartbeat_ticks, election_ticks } = ticks;
        RaftTiming { tick_ms, heartbeat_ticks, election_ticks, ..RaftTiming::default() }
    }
}

impl RaftTiming {
    /// For how long a follower that heard from its leader elects no other, in its own milliseconds.
    pub fn promise_ms(&self) -> u64 {
        (self.election_ticks as u64).saturating_sub(1) * self.tick_ms
    }

    /// For how long a leader relies on a follower's promise of `promise_ms`, in its own milliseconds, counted from when it asked. Never
    /// for longer than on a promise by its own flags.
    pub fn lease_on(&self, promise_ms: u64) -> u64 {
        let trusted_percent = 100u64.saturating_sub(self.drift_margin_percent);
        let promised_ms = planted!(Bug::LongLease, 4 * self.election_ms(), promise_ms.min(self.promise_ms()));
        (promised_ms * trusted_percent / 100).saturating_sub(TRUNCATION_MS)
    }

    /// The longest lease: on promises by this node's own flags.
    pub fn lease_ms(&self) -> u64 {
        self.lease_on(self.promise_ms())
    }

    /// Milliseconds between two heartbeats.
    pub fn heartbeat_ms(&self) -> u64 {
        self.heartbeat_ticks as u64 * self.tick_ms
    }

    /// The shortest election timeout in milliseconds.
    pub fn election_ms(&self) -> u64 {
        self.election_ticks as u64 * self.tick_ms
    }

    /// All nodes campaign after less than that many ticks of silence, those that leave the lead to others included.
    pub fn max_campaign_ticks(&self) -> usize {
        3 * self.election_ticks
    }

    /// The longest election timeout in milliseconds of a node that does not leave the lead to others.
    pub fn longest_election_ms(&self) -> u64 {
        2 * self.election_ms()
    }

    /// Ticks of silence after which the voter of this rank campaigns.
    ///
    /// `rank` is the voter's place among the `voters` in order of their ids, `attempt` counts its campaigns since it last
    /// knew a leader; the attempt moves it a little inside its slot, so that no pattern of delays repeats for ever.
    pub fn campaign_after_ticks(&self, rank: usize, voters: usize, term: u64, attempt: u64) -> usize {
        let voters = voters.max(1);
        let slot = (rank + (term % voters as u64) as usize) % voters;
        let start = slot * self.election_ticks / voters;
        let spread = (self.election_ticks / voters / 2).max(1) as u64;
        let jitter = scatter(term ^ scatter(attempt ^ scatter(rank as u64))) % spread;
        self.election_ticks + start + jitter as usize
    }

    /// The same for a voter that leaves the lead to others: it campaigns after all that do not.
    pub fn campaign_last_after_ticks(&self, rank: usize, voters: usize, term: u64, attempt: u64) -> usize {
        self.election_ticks + self.campaign_after_ticks(rank, voters, term, attempt)
    }
}

/// A bijection of u64 that leaves no pattern (the finaliser of SplitMix64, Steele and others 2014).
fn scatter(value: u64) -> u64 {
    let value = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_ends_well_before_the_promise_it_rests_on() {
        let timing = RaftTiming::default();
        assert_eq!((timing.promise_ms(), timing.lease_ms()), (450, 403));
        assert_eq!((timing.heartbeat_ms(), timing.election_ms()), (100, 500));
    }

    #[test]
    fn election_timeouts_stay_in_range_and_apart() {
        let timing = RaftTiming::default();
        for voters in 1..=7 {
            for (term, attempt) in (0..50).flat_map(|t| (0..4).map(move |a| (t, a))) {
                let mut ticks: Vec<_> = (0..voters)
                    .map(|rank| timing.campaign_after_ticks(rank, voters, term, attempt))
                    .collect();
                ticks.sort_unstable();
                assert!(ticks.iter().all(|t| (10..20).contains(t)), "{ticks:?}");
                assert!(ticks.windows(2).all(|w| w[0] < w[1]), "{ticks:?}");
                let last = |rank| timing.campaign_last_after_ticks(rank, voters, term, attempt);
                assert!((0..voters).all(|rank| (20..timing.max_campaign_ticks()).contains(&last(rank))));
            }
        }
    }

    #[test]
    fn three_voters_campaign_three_ticks_apart_and_take_turns() {
        let timing = RaftTiming::default();
        let first_of_term = |term| {
            (0..3).min_by_key(|&rank| timing.campaign_after_ticks(rank, 3, term, 0)).expect("three voters")
        };
        assert_eq!([0, 1, 2, 3].map(first_of_term), [0, 2, 1, 0]);
        let in_term_1: Vec<_> = (0..3).map(|rank| timing.campaign_after_ticks(rank, 3, 1, 0)).collect();
        assert_eq!(in_term_1, [13, 16, 10]);
    }
}
