//! When a leader may answer reads alone: the lease, the promises it rests on, and rounds for those who trust no clock.
//!
//! # The exchange
//! A leader stamps every frame with its term, its own monotonic time and a round number. A follower that
//! has stepped an append or heartbeat of such a frame, and agrees on leader and term, *promises* to elect nobody else
//! for `promise_ms` of its own time, and returns the newest stamp in its frames to the leader. The leader's lease runs
//! until `lease_ms` after the newest stamp that a majority (itself included, at the present) has returned.
//!
//! # Why it is right
//! Let leader L of term t hold a lease at time x. Then a majority M made promises, each at a moment later than the
//! stamp s it returned, with x < s + `lease_ms`. Suppose another leader N of a later term were elected by time x. Its
//! voters intersect M in some node F.
//! - F is not L: a leader ignores votes of later terms until it has stepped down, and then has no lease.
//! - F did not vote for N after its promise: until the promise ends it drops votes and pre-votes ([`Promise::forbids`]).
//!   Its promise ends `promise_ms` after s by its own clock, which is after s + `lease_ms` on L's as long as **the clocks'
//!   rates differ by less than the margin** ([`RaftTiming::drift_margin_percent`]): the one assumption about clocks.
//!   Neither does F vote for itself: it campaigns only after `election_ticks` ticks without an append or heartbeat, which
//!   take at least `promise_ms`.
//! - F did not vote for N before its promise and make the promise afterwards: a vote moves F to N's term, and
//!   F promises to a leader of its own term only.
//! - F did not forget: a restarted node keeps silent for `promise_ms` from its start, as if it had promised with its last
//!   breath. A node with an empty log and no term is free at once: either it can't have promised, or it has lost its log, and
//!   then it votes only after L, too, has taken note of that and forgotten what it returned (`node/rejoin.rs`).
//! - Transferring the leadership overrides promises (the transferee's votes are forced). From its beginning L has no
//!   lease. If it fails, the request to campaign may still be on its way, so the lease stays void until the transferee
//!   itself has returned a later stamp of the same term: a node steps a request to campaign only if it has not yet
//!   seen a later stamp of that leader, so from then on it never will; and had it campaigned, its term would be a later one.
//!
//! Whoever reads under the lease must take the value first and look at the clock afterwards: the lease says that no
//! other leader existed up to that look.
//!
//! # Rounds
//! Without trust in clocks, a read waits for a round: a stamp with a round number begun after the read arrived,
//! returned by a majority in the same term. At that moment no later leader had been elected before the read began,
//! so what the leader has applied is what the read must see. Many reads share one round.
//!
//! Caveat: a follower that stops (a suspended machine, say) holds promises by a clock that must not stop with it less than
//! the leader's does. CLOCK_MONOTONIC stops in suspension on Linux; a suspended *leader* is the dangerous case, and those who suspend
//! machines should read by rounds.

use super::identity::{MAX_MEMBERS, NodeId};
use super::timing::RaftTiming;

/// What a leader says of a frame, and what a follower returns of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stamp {
    pub term: u64,
    /// The leader's monotonic time in milliseconds. Means nothing to others.
    pub sent_at_ms: u64,
    /// The newest round of reads that the leader had begun.
    pub round: u64,
}

/// A follower's side: what it has promised, and to whom it owes which echo.
#[derive(Debug)]
pub(super) struct Promise {
    until_ms: u64,
    newest: Option<(NodeId, Stamp)>,
}

impl Promise {
    /// No promise, as of a node that never ran.
    pub(super) fn none() -> Promise {
        Promise { until_ms: 0, newest: None }
    }

    /// The promise of a node that has just started and can't know what it promised before.
    pub(super) fn after_restart(now_ms: u64, timing: &RaftTiming) -> Promise {
        Promise { until_ms: now_ms + timing.promise_ms(), newest: None }
    }

    /// Notes that a frame of the current leader has been stepped.
    pub(super) fn make(&mut self, leader: NodeId, stamp: Stamp, now_ms: u64, timing: &RaftTiming) {
        self.until_ms = self.until_ms.max(now_ms + timing.promise_ms());
        let newest = match self.newest {
            Some((from, seen)) if from == leader && seen.term == stamp.term => later(seen, stamp),
            _ => stamp,
        };
        self.newest = Some((leader, newest));
    }

    /// True while no vote may be given to anybody who was not sent by the leader itself.
    pub(super) fn forbids(&self, now_ms: u64) -> bool {
        now_ms < self.until_ms
    }

    /// What to return to `leader`, if the node is still in the term in which it heard it.
    pub(super) fn echo_for(&self, leader: NodeId, term: u64) -> Option<Stamp> {
        let (from, stamp) = self.newest?;
        (from == leader && stamp.term == term).then_some(stamp)
    }

    /// True if a frame of `leader` with this stamp has been overtaken by a later one.
    pub(super) fn is_overtaken(&self, leader: NodeId, stamp: Stamp) -> bool {
        let newest = self.echo_for(leader, stamp.term);
        newest.is_some_and(|newest| newest.sent_at_ms > stamp.sent_at_ms)
    }
}

fn later(a: Stamp, b: Stamp) -> Stamp {
    Stamp { term: a.term, sent_at_ms: a.sent_at_ms.max(b.sent_at_ms), round: a.round.max(b.round) }
}

/// A round of confirmation that a leader began on behalf of reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReadRound {
    term: u64,
    round: u64,
}

/// What became of a [`ReadRound`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RoundState {
    /// Not yet returned by a majority.
    Pending,
    /// The reads that waited for it may be answered from what is applied.
    Confirmed,
    /// The node no longer leads in that term; the reads must go elsewhere.
    Lost,
}

/// A leader's side: the stamps it got back in its present term.
#[derive(Debug)]
pub(super) struct LeaderLease {
    quorum: usize,
    lease_ms: u64,
    trust_clocks: bool,
    term: u64,
    round: u64,
    round_is_unsent: bool,
    echoes: Vec<(NodeId, Option<Stamp>)>,
    transfer: Option<Transfer>,
}

/// A transfer of leadership that may still be acted on.
#[derive(Clone, Copy, Debug)]
struct Transfer {
    to: NodeId,
    newest_request_ms: u64,
}

impl LeaderLease {
    /// The lease of a leader with these other voters, before it leads.
    pub(super) fn new(others: &[NodeId], timing: &RaftTiming, trust_clocks: bool) -> LeaderLease {
        LeaderLease {
            quorum: others.len().div_ceil(2) + 1,
            lease_ms: timing.lease_ms(),
            trust_clocks,
            term: 0,
            round: 0,
            round_is_unsent: false,
            echoes: others.iter().map(|&id| (id, None)).collect(),
            transfer: None,
        }
    }

    /// Forgets what belonged to an earlier term.
    pub(super) fn enter_term(&mut self, term: u64) {
        if self.term == term {
            return;
        }
        self.term = term;
        self.transfer = None;
        for (_, echo) in &mut self.echoes {
            *echo = None;
        }
    }

    /// The stamp for frames that leave at `now_ms`.
    pub(super) fn stamp(&mut self, now_ms: u64) -> Stamp {
        self.round_is_unsent = false;
        Stamp { term: self.term, sent_at_ms: now_ms, round: self.round }
    }

    /// Takes in a stamp that a follower returned.
    pub(super) fn record_echo(&mut self, from: NodeId, echo: Stamp) {
        if echo.term != self.term {
            return;
        }
        if let Some((_, known)) = self.echoes.iter_mut().find(|(id, _)| *id == from) {
            *known = Some(known.map_or(echo, |known| later(known, echo)));
        }
    }

    /// Forgets what a follower has returned: its promises are void.
    pub(super) fn forget(&mut self, follower: NodeId) {
        if let Some((_, known)) = self.echoes.iter_mut().find(|(id, _)| *id == follower) {
            *known = None;
        }
    }

    /// Until when reads may be answered without asking anybody; `None` if not even now.
    pub(super) fn valid_until_ms(&self, now_ms: u64) -> Option<u64> {
        if self.quorum == 1 {
            return Some(u64::MAX);
        }
        if !self.trust_clocks || self.transfer.is_some() {
            return None;
        }
        let asked_ms = self.quorum_newest(|stamp| stamp.sent_at_ms)?;
        let until_ms = asked_ms.min(now_ms) + self.lease_ms;
        (now_ms < until_ms).then_some(until_ms)
    }

    /// Begins a round, or joins the one that has begun but not yet left. The caller must see to it that a heartbeat
    /// follows if `bool` is true.
    pub(super) fn begin_round(&mut self) -> (ReadRound, bool) {
        let is_new = !self.round_is_unsent;
        if is_new {
            self.round += 1;
            self.round_is_unsent = true;
        }
        let (term, round) = (self.term, self.round);
        (ReadRound { term, round }, is_new)
    }

    /// What became of a round, to a node that leads in `self.term`.
    pub(super) fn round_state(&self, asked: ReadRound) -> RoundState {
        if asked.term != self.term {
            return RoundState::Lost;
        }
        let alone = self.quorum == 1;
        let returned = self.quorum_newest(|stamp| stamp.round);
        match alone || returned.is_some_and(|round| round >= asked.round) {
            true => RoundState::Confirmed,
            false => RoundState::Pending,
        }
    }

    /// The greatest value that a majority has returned, the leader itself counted as ahead of all.
    fn quorum_newest(&self, value: impl Fn(&Stamp) -> u64) -> Option<u64> {
        let mut values = [0; MAX_MEMBERS];
        let mut count = 0;
        for echo in self.echoes.iter().filter_map(|(_, echo)| echo.as_ref()) {
            values[count] = value(echo);
            count += 1;
        }
        let values = &mut values[..count];
        values.sort_unstable_by(|a, b| b.cmp(a));
        values.get(self.quorum.checked_sub(2)?).copied()
    }

    /// Voids the lease: `to` has been, or is about to be, asked to campaign.
    pub(super) fn void_for_transfer(&mut self, to: NodeId, now_ms: u64) {
        self.transfer = Some(Transfer { to, newest_request_ms: now_ms });
    }

    /// To be called once the transfer is over without a new leader: restores the lease if the transferee can no
    /// longer act on it. Returns how long the request has been unresolved, in milliseconds, if it still is.
    pub(super) fn settle_transfer(&mut self, now_ms: u64) -> Option<u64> {
        let transfer = self.transfer?;
        let echo = self.echoes.iter().find(|(id, _)| *id == transfer.to);
        let returned_ms = echo.and_then(|(_, echo)| *echo).map(|e| e.sent_at_ms);
        if returned_ms.is_some_and(|ms| ms > transfer.newest_request_ms) {
            self.transfer = None;
            return None;
        }
        Some(now_ms.saturating_sub(transfer.newest_request_ms))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIMING: RaftTiming =
        RaftTiming { tick_ms: 50, heartbeat_ticks: 2, election_ticks: 10, drift_margin_percent: 10 };

    fn stamp(term: u64, sent_at_ms: u64) -> Stamp {
        Stamp { term, sent_at_ms, round: 0 }
    }

    fn leader_of_five() -> LeaderLease {
        let mut lease = LeaderLease::new(&[2, 3, 4, 5], &TIMING, true);
        lease.enter_term(1);
        lease
    }

    #[test]
    fn the_lease_runs_from_the_stamp_that_a_majority_returned() {
        let mut lease = leader_of_five();
        lease.record_echo(2, stamp(1, 900));
        assert_eq!(lease.valid_until_ms(1_000), None);
        lease.record_echo(3, stamp(1, 800));
        assert_eq!(lease.valid_until_ms(1_000), Some(800 + 403));
        lease.record_echo(4, stamp(1, 950));
        assert_eq!(lease.valid_until_ms(1_000), Some(900 + 403));
        assert_eq!(lease.valid_until_ms(1_303), None);
    }

    #[test]
    fn quorums_of_two_to_five_voters() {
        for (others, quorum) in [(0, 1), (1, 2), (2, 2), (3, 3), (4, 3)] {
            let ids: Vec<_> = (2..2 + others).collect();
            assert_eq!(LeaderLease::new(&ids, &TIMING, true).quorum, quorum);
        }
    }

    #[test]
    fn echoes_of_other_terms_count_for_nothing() {
        let mut lease = leader_of_five();
        for follower in 2..=5 {
            lease.record_echo(follower, stamp(1, 900));
        }
        lease.enter_term(2);
        assert_eq!(lease.valid_until_ms(900), None);
        for follower in 2..=5 {
            lease.record_echo(follower, stamp(1, 900));
        }
        assert_eq!(lease.valid_until_ms(900), None);
    }

    #[test]
    fn a_node_alone_needs_nobody() {
        let mut lease = LeaderLease::new(&[], &TIMING, false);
        lease.enter_term(1);
        assert_eq!(lease.valid_until_ms(5), Some(u64::MAX));
        let (round, _) = lease.begin_round();
        assert_eq!(lease.round_state(round), RoundState::Confirmed);
    }

    #[test]
    fn a_transfer_voids_the_lease_until_the_transferee_answers_a_later_stamp() {
        let mut lease = leader_of_five();
        for follower in 2..=5 {
            lease.record_echo(follower, stamp(1, 1_000));
        }
        lease.void_for_transfer(3, 1_000);
        assert_eq!(lease.valid_until_ms(1_000), None);
        assert_eq!(lease.settle_transfer(1_200), Some(200));
        lease.record_echo(2, stamp(1, 1_150));
        assert_eq!(lease.settle_transfer(1_200), Some(200));
        lease.record_echo(3, stamp(1, 1_001));
        assert_eq!(lease.settle_transfer(1_200), None);
        assert_eq!(lease.valid_until_ms(1_200), Some(1_001 + 403));
    }

    #[test]
    fn reads_share_a_round_until_it_leaves() {
        let mut lease = LeaderLease::new(&[2, 3], &TIMING, false);
        lease.enter_term(4);
        let (first, must_send) = lease.begin_round();
        let (second, joined) = lease.begin_round();
        assert_eq!((first, must_send, joined), (second, true, false));
        let sent = lease.stamp(10);
        let (third, must_send) = lease.begin_round();
        assert!(must_send && third != first);
        lease.record_echo(2, sent);
        assert_eq!(lease.round_state(first), RoundState::Confirmed);
        assert_eq!(lease.round_state(third), RoundState::Pending);
        assert_eq!(lease.valid_until_ms(11), None);
        lease.enter_term(5);
        assert_eq!(lease.round_state(first), RoundState::Lost);
    }

    #[test]
    fn a_promise_forbids_votes_and_grows_only() {
        let mut promise = Promise::none();
        assert!(!promise.forbids(0));
        promise.make(1, stamp(3, 77), 1_000, &TIMING);
        assert!(promise.forbids(1_449) && !promise.forbids(1_450));
        promise.make(1, stamp(3, 76), 900, &TIMING);
        assert!(promise.forbids(1_449));
        assert_eq!(promise.echo_for(1, 3), Some(stamp(3, 77)));
        assert_eq!(promise.echo_for(1, 4), None);
        assert_eq!(promise.echo_for(2, 3), None);
        assert!(promise.is_overtaken(1, stamp(3, 76)));
        assert!(!promise.is_overtaken(1, stamp(3, 77)));
        assert!(!promise.is_overtaken(1, stamp(4, 1)));
    }

    #[test]
    fn a_restarted_node_behaves_as_if_it_had_promised() {
        let promise = Promise::after_restart(100, &TIMING);
        assert!(promise.forbids(549) && !promise.forbids(550));
        assert_eq!(promise.echo_for(1, 1), None);
    }
}
