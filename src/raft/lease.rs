//! When a leader may answer reads alone: the lease, the promises it rests on, and rounds for those who trust no clock.
//!
//! # The exchange
//! A leader stamps every frame with its term, its own monotonic time and a round number. A follower that
//! has stepped an append or heartbeat of such a frame, and agrees on leader and term, *promises* to elect no other leader
//! for `promise_ms` of its own time, and returns the newest stamp with that promise's length in its frames to the leader. A
//! stamp and a promise are worth a lease from the stamp's time on, which is shorter than the promise by the margin for drift and
//! never longer than the leader's own flags make it ([`RaftTiming::lease_on`]). The leader's lease runs as long as those of a
//! majority do (itself included). So nodes may run with different flags: a leader counts on what each follower has told it.
//!
//! # Why it is right
//! Let leader L of term t hold a lease at time x. Then a majority M made promises, each at a moment later than the
//! stamp s it returned, with x < s + the lease on that promise. Suppose another leader N of a later term were elected by time x.
//! Its voters intersect M in some node F.
//! - F is not L: a leader ignores votes of later terms until it has stepped down, and then has no lease.
//! - F did not vote for N after its promise: until the promise ends it drops votes and pre-votes ([`Promise::forbids`]).
//!   Its promise ends `promise_ms` after s by its own clock, which is after the end of the lease on L's as long as **the clocks'
//!   rates differ by less than the margin** ([`RaftTiming::drift_margin_percent`]): the one assumption about clocks.
//!   Neither does F vote for itself: it campaigns only after `election_ticks` ticks without an append or heartbeat, which
//!   take at least `promise_ms`; both are F's own flags. If an earlier process of F ran with more ticks, F counts none until
//!   that process's promise has ended.
//! - F did not vote for N before its promise and make the promise afterwards: a vote moves F to N's term, and
//!   F promises to a leader of its own term only.
//! - F did not forget: a restarted node votes for no other node for as long as a promise from its start. Its log remembers the
//!   longest promise that may still bind it (`memo.rs`), so a restart with other flags shortens none, neither for others
//!   nor for F's own candidacy. A node with an empty log and no term is free at once: either it can't have promised, or it has lost its log, and
//!   then it votes only after L, too, has taken note of that and forgotten what it returned (`node/rejoin.rs`).
//! - Transferring the leadership overrides promises (the transferee's votes are forced). From its beginning L has no
//!   lease. If it fails, the request to campaign may still be on its way, so the lease stays void until the transferee
//!   itself has returned a later stamp of the same term: a node steps a request to campaign only if it has not yet
//!   seen a later stamp of that leader, so from then on it never will; and had it campaigned, its term would be a later one.
//!
//! A reader under the lease must take the value first and look at the clock afterwards: the lease says that no
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
use crate::planted::{Bug, planted};

/// What a leader says of a frame, and what a follower returns of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stamp {
    pub term: u64,
    /// The leader's monotonic time in milliseconds. Means nothing to others.
    pub sent_at_ms: u64,
    /// The newest round of reads that the leader had begun.
    pub round: u64,
}

/// What a follower returns to its leader.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Echo {
    /// The newest stamp that it has seen.
    pub stamp: Stamp,
    /// For how long it has promised to elect no other leader, in milliseconds of its own, since it saw that stamp.
    pub promise_ms: u32,
    /// How long its log's writes take lately, in milliseconds.
    pub sync_ms: u32,
}

/// A follower's side: what it has promised, and which echo it owes to whom.
#[derive(Debug)]
pub(super) struct Promise {
    until_ms: u64,
    /// Until then an earlier process may have promised.
    inherited_until_ms: u64,
    newest: Option<(NodeId, Stamp)>,
}

impl Promise {
    /// No promise, as of a node that never ran.
    pub(super) fn none() -> Promise {
        Promise { until_ms: 0, inherited_until_ms: 0, newest: None }
    }

    /// The promise of a node that has just started and can't know what it promised before, but for how long at most.
    pub(super) fn after_restart(now_ms: u64, longest_ms: u64) -> Promise {
        let until_ms = now_ms.saturating_add(longest_ms);
        Promise { until_ms, inherited_until_ms: until_ms, newest: None }
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

    /// Whether a promise of an earlier process may still bind.
    pub(super) fn is_inherited(&self, now_ms: u64) -> bool {
        now_ms < self.inherited_until_ms
    }

    /// The stamp to return to `leader`, if the node is still in the term in which it heard it.
    pub(super) fn stamp_for(&self, leader: NodeId, term: u64) -> Option<Stamp> {
        let (from, stamp) = self.newest?;
        (from == leader && stamp.term == term).then_some(stamp)
    }

    /// True if a frame of `leader` with this stamp has been overtaken by a later one.
    pub(super) fn is_overtaken(&self, leader: NodeId, stamp: Stamp) -> bool {
        let newest = self.stamp_for(leader, stamp.term);
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

/// A leader's side: what it got back in its present term.
#[derive(Debug)]
pub(super) struct LeaderLease {
    quorum: usize,
    timing: RaftTiming,
    trust_clocks: bool,
    term: u64,
    round: u64,
    round_is_unsent: bool,
    followers: Vec<Follower>,
    /// The transfers that may still be acted on, one for each target.
    transfers: Vec<Transfer>,
}

/// What one follower has returned in this term.
#[derive(Clone, Copy, Debug)]
struct Follower {
    id: NodeId,
    returned: Option<Returned>,
    sync_ms: u32,
}

#[derive(Clone, Copy, Debug)]
struct Returned {
    newest: Stamp,
    /// Until when its promises are worth a lease.
    until_ms: u64,
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
            timing: *timing,
            trust_clocks,
            term: 0,
            round: 0,
            round_is_unsent: false,
            followers: others.iter().map(|&id| Follower { id, returned: None, sync_ms: 0 }).collect(),
            transfers: Vec::new(),
        }
    }

    /// Forgets what belonged to an earlier term.
    pub(super) fn enter_term(&mut self, term: u64) {
        if self.term == term {
            return;
        }
        self.term = term;
        self.transfers.clear();
        for follower in &mut self.followers {
            (follower.returned, follower.sync_ms) = (None, 0);
        }
    }

    /// The stamp for frames that leave at `now_ms`.
    pub(super) fn stamp(&mut self, now_ms: u64) -> Stamp {
        self.round_is_unsent = false;
        Stamp { term: self.term, sent_at_ms: now_ms, round: self.round }
    }

    /// Takes in what a follower returned.
    pub(super) fn record_echo(&mut self, from: NodeId, echo: Echo) {
        let Echo { stamp, promise_ms, sync_ms } = echo;
        if stamp.term != self.term {
            return;
        }
        let promised_ms = planted!(Bug::AssumePromises, self.timing.promise_ms(), u64::from(promise_ms));
        let until_ms = stamp.sent_at_ms.saturating_add(self.timing.lease_on(promised_ms));
        if let Some(follower) = self.followers.iter_mut().find(|follower| follower.id == from) {
            let returned = Returned { newest: stamp, until_ms };
            follower.returned = Some(follower.returned.map_or(returned, |known| Returned {
                newest: later(known.newest, stamp),
                until_ms: known.until_ms.max(until_ms),
            }));
            follower.sync_ms = sync_ms;
        }
    }

    /// How long a follower's log writes take, as it told; 0 if it did not.
    pub(super) fn sync_ms_of(&self, follower: NodeId) -> u32 {
        self.followers.iter().find(|known| known.id == follower).map_or(0, |known| known.sync_ms)
    }

    /// Forgets what a follower has returned: its promises are void.
    pub(super) fn forget(&mut self, follower: NodeId) {
        if let Some(known) = self.followers.iter_mut().find(|known| known.id == follower) {
            known.returned = None;
        }
    }

    /// Until when reads may be answered without asking the others; `None` if not even now.
    pub(super) fn valid_until_ms(&self, now_ms: u64) -> Option<u64> {
        if self.quorum == 1 {
            return Some(u64::MAX);
        }
        if !self.trust_clocks || !self.transfers.is_empty() {
            return None;
        }
        let until_ms = self.quorum_newest(|returned| returned.until_ms)?;
        let until_ms = until_ms.min(now_ms + self.timing.lease_ms());
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
        let returned = self.quorum_newest(|returned| returned.newest.round);
        match alone || returned.is_some_and(|round| round >= asked.round) {
            true => RoundState::Confirmed,
            false => RoundState::Pending,
        }
    }

    /// The greatest value that a majority has returned, the leader itself counted as ahead of all.
    fn quorum_newest(&self, value: impl Fn(&Returned) -> u64) -> Option<u64> {
        let mut values = [0; MAX_MEMBERS];
        let mut count = 0;
        for returned in self.followers.iter().filter_map(|follower| follower.returned.as_ref()) {
            values[count] = value(returned);
            count += 1;
        }
        let values = &mut values[..count];
        values.sort_unstable_by(|a, b| b.cmp(a));
        values.get(self.quorum.checked_sub(2)?).copied()
    }

    /// Voids the lease: `to` has been, or is about to be, asked to campaign. It stays void until each target that was ever asked in
    /// this term can no longer act on it.
    pub(super) fn void_for_transfer(&mut self, to: NodeId, now_ms: u64) {
        self.transfers.retain(|transfer| planted!(Bug::ForgetTransfers, false, transfer.to != to));
        self.transfers.push(Transfer { to, newest_request_ms: now_ms });
    }

    /// To be called once the transfer is over without a new leader: restores the lease if no transferee can act on it any
    /// more. Returns how long the oldest request has been unresolved, in milliseconds, if one still is.
    pub(super) fn settle_transfer(&mut self, now_ms: u64) -> Option<u64> {
        let followers = &self.followers;
        let returned_ms = |to: NodeId| {
            let follower = followers.iter().find(|follower| follower.id == to)?;
            follower.returned.map(|returned| returned.newest.sent_at_ms)
        };
        self.transfers.retain(|transfer| {
            returned_ms(transfer.to).is_none_or(|returned_ms| returned_ms <= transfer.newest_request_ms)
        });
        let oldest_ms = self.transfers.iter().map(|transfer| transfer.newest_request_ms).min()?;
        Some(now_ms.saturating_sub(oldest_ms))
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

    fn echo(term: u64, sent_at_ms: u64) -> Echo {
        Echo { stamp: stamp(term, sent_at_ms), promise_ms: 450, sync_ms: 0 }
    }

    fn leader_of_five() -> LeaderLease {
        let mut lease = LeaderLease::new(&[2, 3, 4, 5], &TIMING, true);
        lease.enter_term(1);
        lease
    }

    #[test]
    fn the_lease_runs_from_the_stamp_that_a_majority_returned() {
        let mut lease = leader_of_five();
        lease.record_echo(2, echo(1, 900));
        assert_eq!(lease.valid_until_ms(1_000), None);
        lease.record_echo(3, echo(1, 800));
        assert_eq!(lease.valid_until_ms(1_000), Some(800 + 403));
        lease.record_echo(4, echo(1, 950));
        assert_eq!(lease.valid_until_ms(1_000), Some(900 + 403));
        assert_eq!(lease.valid_until_ms(1_303), None);
    }

    /// With `--election-ticks` that differ a leader of many ticks held its lease while followers of few elected another.
    #[test]
    fn the_lease_does_not_outlast_the_promise_of_a_follower_with_fewer_ticks() {
        let mut lease = leader_of_five();
        for (follower, promise_ms) in [(2, 100), (3, 450), (4, 100), (5, 100_000)] {
            lease.record_echo(follower, Echo { promise_ms, ..echo(1, 1_000) });
        }
        assert_eq!(lease.valid_until_ms(1_000), Some(1_403), "no longer than its own flags allow");
        lease.forget(5);
        assert_eq!(lease.valid_until_ms(1_000), Some(1_088));
        assert_eq!(lease.valid_until_ms(1_088), None);
        lease.record_echo(2, Echo { promise_ms: 10, ..echo(1, 1_050) });
        assert_eq!(
            lease.valid_until_ms(1_050),
            Some(1_088),
            "an older promise binds for as long as it was told"
        );
    }

    /// A second transfer made the leader forget the first, whose target could still campaign.
    #[test]
    fn a_second_transfer_leaves_the_first_unresolved() {
        let mut lease = leader_of_five();
        lease.void_for_transfer(2, 1_000);
        lease.void_for_transfer(3, 1_100);
        for follower in 3..=5 {
            lease.record_echo(follower, echo(1, 1_150));
        }
        assert_eq!(lease.settle_transfer(1_200), Some(200), "node 2 may still be about to campaign");
        assert_eq!(lease.valid_until_ms(1_200), None);
        lease.record_echo(2, echo(1, 1_160));
        assert_eq!(lease.settle_transfer(1_200), None);
        assert_eq!(lease.valid_until_ms(1_200), Some(1_150 + 403));
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
            lease.record_echo(follower, echo(1, 900));
        }
        lease.enter_term(2);
        assert_eq!(lease.valid_until_ms(900), None);
        for follower in 2..=5 {
            lease.record_echo(follower, echo(1, 900));
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
            lease.record_echo(follower, echo(1, 1_000));
        }
        lease.void_for_transfer(3, 1_000);
        assert_eq!(lease.valid_until_ms(1_000), None);
        assert_eq!(lease.settle_transfer(1_200), Some(200));
        lease.record_echo(2, echo(1, 1_150));
        assert_eq!(lease.settle_transfer(1_200), Some(200));
        lease.record_echo(3, echo(1, 1_001));
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
        lease.record_echo(2, Echo { stamp: sent, promise_ms: 450, sync_ms: 0 });
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
        assert_eq!(promise.stamp_for(1, 3), Some(stamp(3, 77)));
        assert_eq!(promise.stamp_for(1, 4), None);
        assert_eq!(promise.stamp_for(2, 3), None);
        assert!(promise.is_overtaken(1, stamp(3, 76)));
        assert!(!promise.is_overtaken(1, stamp(3, 77)));
        assert!(!promise.is_overtaken(1, stamp(4, 1)));
    }

    #[test]
    fn a_restarted_node_behaves_as_if_it_had_promised() {
        let promise = Promise::after_restart(100, 450);
        assert!(promise.forbids(549) && !promise.forbids(550));
        assert_eq!(promise.stamp_for(1, 1), None);
    }
}
