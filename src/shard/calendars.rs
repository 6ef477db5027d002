//! Whether this node's calendar is that of its group: members tell each other theirs, and each compares.
//!
//! - Every second a node sends its calendar to its peers, and more often while it is young. A message is late by the network's delay and by
//!   whatever kept the driver busy, so a peer's calendar is at least what its message says: of its last messages the one counts that is
//!   furthest ahead.
//! - Calendars are compared by their base: the time that they showed when this node's monotonic clock began. So a calendar that is set is off
//!   from that moment, not from the next comparison.
//! - The group's base is the median of those that are known, this node's own among them; of an even number, that one of the two in the middle
//!   which is nearer to the last median (to this node's own, at first). So one wrong calendar of three moves no deadline, two nodes that
//!   differ from the start never correct each other, and two that are left of three remember which of them was wrong.
//! - A member that hears no peer, as in a group that has just begun, goes by the last median, at first by what its own calendar showed: one
//!   that is set then moves no deadline either. A node that is a group by itself goes by its calendar.
//! - A node that is off by more than [`TOLERATED_MS`] says so and goes by the group's calendar. One that is off by more than [`OFF_MS`], or
//!   is young and does not know yet, stands for election after the others.

use std::collections::{BTreeMap, VecDeque};

use crate::raft::identity::NodeId;

/// How often calendars are told and compared, and how often by a young node that lacks the calendar of a peer.
const PERIOD_MS: u64 = 1000;
const YOUNG_PERIOD_MS: u64 = 100;
/// For how long a node is young: as long as no node campaigns before.
const YOUTH_MS: u64 = 500;
/// How many messages of a peer count, and how old they may be.
const WORDS: usize = 8;
const WORD_LIFETIME_MS: u64 = 10_000;
/// A smaller difference is usual.
pub const TOLERATED_MS: i64 = 500;
/// Past this a node leaves the lead to others.
const OFF_MS: i64 = 2000;

/// The base of a peer's calendar by one of its messages, and when that was heard, in monotonic ms.
#[derive(Clone, Copy, Debug)]
struct Word {
    base_ms: i64,
    heard_ms: u64,
}

#[derive(Debug, Default)]
struct Peer {
    /// The session in which it spoke last.
    session: u64,
    words: VecDeque<Word>,
}

impl Peer {
    /// Forgets old words; the base by those that are left.
    fn base_ms(&mut self, now_ms: u64) -> Option<i64> {
        self.words.retain(|word| now_ms < word.heard_ms + WORD_LIFETIME_MS);
        self.words.iter().map(|word| word.base_ms).max()
    }
}

/// What a comparison found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Comparison {
    /// The base of the group's calendar; `None` where there are no peers.
    pub group_base_ms: Option<i64>,
    /// How far this node's calendar is ahead of the group's; negative where it is behind.
    pub ahead_ms: i64,
    /// The others are to stand for election before this node.
    pub stands_last: bool,
    /// Peers that are off by more than [`OFF_MS`].
    pub off_peers: Vec<NodeId>,
}

#[derive(Debug, Default)]
pub struct Calendars {
    peers: BTreeMap<NodeId, Peer>,
    began_ms: Option<u64>,
    next_ms: u64,
    last_median_ms: Option<i64>,
    /// The last comparison found this node off.
    is_off: bool,
}

/// What a calendar showed when the monotonic clock began, if it shows `unix_ms` now.
pub fn base_ms(unix_ms: i64, now_ms: u64) -> i64 {
    unix_ms.saturating_sub(i64::try_from(now_ms).unwrap_or(i64::MAX))
}

impl Calendars {
    /// Whether it is time to tell and to compare.
    pub fn is_due(&self, now_ms: u64) -> bool {
        now_ms >= self.next_ms
    }

    /// In this session a peer says that its calendar shows `unix_ms`. A peer that has just begun to speak is to hear this node soon.
    pub fn note(&mut self, from: NodeId, session: u64, unix_ms: i64, now_ms: u64) {
        let peer = self.peers.entry(from).or_default();
        if peer.session != session {
            *peer = Peer { session, words: VecDeque::new() };
            self.next_ms = now_ms;
        }
        if peer.words.len() >= WORDS {
            peer.words.pop_front();
        }
        peer.words.push_back(Word { base_ms: base_ms(unix_ms, now_ms), heard_ms: now_ms });
    }

    /// Compares this node's calendar, of this base, with those of its `peers`.
    pub fn compare(&mut self, own_base_ms: i64, peers: usize, now_ms: u64) -> Comparison {
        let known: Vec<(NodeId, i64)> =
            self.peers.iter_mut().filter_map(|(id, peer)| Some((*id, peer.base_ms(now_ms)?))).collect();
        let mut bases: Vec<i64> = known.iter().map(|(_, base_ms)| *base_ms).collect();
        bases.push(own_base_ms);
        let knows_all = known.len() >= peers;
        let is_young = now_ms < *self.began_ms.get_or_insert(now_ms) + YOUTH_MS;
        let is_waiting = is_young && !knows_all;
        self.next_ms = now_ms + if is_waiting { YOUNG_PERIOD_MS } else { PERIOD_MS };
        let last_ms = *self.last_median_ms.get_or_insert(own_base_ms);
        let group_base_ms = match known.len() {
            0 if peers == 0 => None,
            0 => Some(last_ms),
            _ => Some(median(&mut bases, last_ms)),
        };
        self.last_median_ms = group_base_ms;
        let ahead_of_group = |base_ms: i64| base_ms.saturating_sub(group_base_ms.unwrap_or(base_ms));
        let ahead_ms = ahead_of_group(own_base_ms);
        let is_off = |(_, base_ms): &&(NodeId, i64)| is_more(ahead_of_group(*base_ms), OFF_MS);
        let off_peers = known.iter().filter(is_off).map(|(id, _)| *id).collect();
        Comparison {
            group_base_ms,
            ahead_ms,
            stands_last: is_waiting || is_more(ahead_ms, OFF_MS),
            off_peers,
        }
    }

    /// Tells an operator where that changes whether this node is off.
    pub fn report(&mut self, ahead_ms: i64) {
        let is_off = is_more(ahead_ms, TOLERATED_MS);
        if is_off && !self.is_off {
            tracing::warn!(
                ahead_ms,
                "this node's calendar is not that of the others: it goes by theirs; set its clock (docs/operations.md, A clock is wrong)"
            );
        }
        if !is_off && self.is_off {
            tracing::info!(ahead_ms, "this node's calendar is that of the others again");
        }
        self.is_off = is_off;
    }
}

fn median(bases: &mut [i64], last_ms: i64) -> i64 {
    bases.sort_unstable();
    let (lower, upper) = (bases[(bases.len() - 1) / 2], bases[bases.len() / 2]);
    if lower.abs_diff(last_ms) <= upper.abs_diff(last_ms) { lower } else { upper }
}

fn is_more(difference_ms: i64, bound_ms: i64) -> bool {
    difference_ms.unsigned_abs() > bound_ms.unsigned_abs()
}

/// The time at `now_ms`, where the calendar shows `unix_ms` and the group's has this base: the calendar's unless that is off.
pub fn corrected_ms(unix_ms: i64, now_ms: u64, group_base_ms: i64) -> i64 {
    let ahead_ms = base_ms(unix_ms, now_ms).saturating_sub(group_base_ms);
    if is_more(ahead_ms, TOLERATED_MS) { unix_ms.saturating_sub(ahead_ms) } else { unix_ms }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOURS_MS: i64 = 7_200_000;
    const PEERS: usize = 2;

    /// Each of two peers has a calendar that was ahead of the base 0 by these, one message a time.
    fn hearing(peers: &[&[i64]], now_ms: u64) -> Calendars {
        let mut calendars = Calendars::default();
        hear(&mut calendars, peers, now_ms);
        calendars
    }

    fn hear(calendars: &mut Calendars, peers: &[&[i64]], now_ms: u64) {
        for (peer, words) in (2..).zip(peers) {
            for ahead_ms in *words {
                calendars.note(peer, 1, ahead_ms.saturating_add(now_ms as i64), now_ms);
            }
        }
    }

    fn ahead(peers: &[&[i64]]) -> i64 {
        hearing(peers, 100).compare(0, PEERS, 200).ahead_ms
    }

    #[test]
    fn one_wrong_calendar_of_three_is_that_of_the_node_that_is_off() {
        assert_eq!(ahead(&[&[-HOURS_MS], &[-HOURS_MS + 10]]), HOURS_MS - 10);
        assert_eq!(ahead(&[&[HOURS_MS], &[-3]]), 0);
        assert_eq!(ahead(&[&[i64::MAX], &[i64::MIN]]), 0);
        assert_eq!(hearing(&[&[HOURS_MS], &[-3]], 100).compare(0, PEERS, 200).off_peers, [2]);
    }

    #[test]
    fn two_nodes_that_differ_from_the_start_never_correct_each_other() {
        assert_eq!((ahead(&[&[9000]]), ahead(&[&[-9000]]), ahead(&[])), (0, 0, 0));
    }

    #[test]
    fn two_of_three_remember_which_of_them_was_wrong() {
        let mut calendars = hearing(&[&[-HOURS_MS], &[-HOURS_MS]], 100);
        assert_eq!(calendars.compare(0, PEERS, 200).ahead_ms, HOURS_MS);
        let much_later = 200 + WORD_LIFETIME_MS;
        hear(&mut calendars, &[&[-HOURS_MS]], much_later);
        let (group_base_ms, ahead_ms) = (Some(-HOURS_MS), HOURS_MS);
        let off = Comparison { group_base_ms, ahead_ms, stands_last: true, off_peers: Vec::new() };
        assert_eq!(calendars.compare(0, PEERS, much_later), off);
        let set = calendars.compare(-HOURS_MS, PEERS, much_later);
        assert_eq!((set.ahead_ms, set.stands_last), (0, false), "its clock was set");
    }

    #[test]
    fn a_message_that_came_late_counts_less_than_one_that_came_in_time() {
        assert_eq!(ahead(&[&[-9000, -20, -3000], &[-40, -8000]]), 20);
    }

    #[test]
    fn old_messages_are_forgotten() {
        let mut calendars = hearing(&[&[9000], &[9000]], 100);
        assert_eq!(calendars.compare(0, PEERS, 5000).ahead_ms, -9000);
        let alone = calendars.compare(0, PEERS, 100 + WORD_LIFETIME_MS);
        assert_eq!(
            (alone.group_base_ms, alone.ahead_ms, alone.stands_last),
            (Some(9000), -9000, true),
            "the last median"
        );
        let peer_is_back = 200 + WORD_LIFETIME_MS;
        hear(&mut calendars, &[&[5000]], peer_is_back);
        assert_eq!(calendars.compare(0, PEERS, peer_is_back).group_base_ms, Some(5000), "the nearer one");
    }

    #[test]
    fn a_calendar_that_is_set_before_any_peer_is_heard_moves_nothing() {
        let mut calendars = Calendars::default();
        assert_eq!(calendars.compare(7, PEERS, 0).group_base_ms, Some(7));
        assert_eq!(calendars.compare(HOURS_MS, PEERS, 600).group_base_ms, Some(7));
        hear(&mut calendars, &[&[9]], 700);
        assert_eq!(calendars.compare(HOURS_MS, PEERS, 700).group_base_ms, Some(9));
        let mut lone = Calendars::default();
        assert_eq!((lone.compare(7, 0, 0).group_base_ms, lone.compare(HOURS_MS, 0, 600).ahead_ms), (None, 0));
    }

    #[test]
    fn a_calendar_that_is_set_is_off_at_once() {
        assert_eq!(corrected_ms(1000 + HOURS_MS, 1000, 0), 1000);
        assert_eq!(corrected_ms(1000 - HOURS_MS, 1000, 3), 1003);
        assert_eq!(corrected_ms(1400, 1000, 0), 1400);
    }

    #[test]
    fn a_young_node_stands_last_until_it_knows_all_calendars_or_is_old() {
        let mut calendars = hearing(&[&[1]], 100);
        assert!(calendars.compare(0, PEERS, 100).stands_last);
        assert!(!calendars.is_due(199) && calendars.is_due(200));
        assert!(!calendars.compare(0, PEERS, 100 + YOUTH_MS).stands_last);
        assert!(!calendars.is_due(100 + YOUTH_MS + PERIOD_MS - 1));
        calendars.note(3, 1, 0, 100 + YOUTH_MS + 1);
        assert!(calendars.is_due(100 + YOUTH_MS + 1), "a peer has begun to speak");
        assert!(!hearing(&[&[1], &[2]], 100).compare(0, PEERS, 100).stands_last);
        assert!(!Calendars::default().compare(0, 0, 100).stands_last);
    }
}
