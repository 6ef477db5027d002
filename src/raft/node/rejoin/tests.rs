use raft::eraftpb::{Message, MessageType};

use super::super::super::testing::Cluster;
use super::*;
use crate::raft::cluster::{Cluster as OfLog, ClusterId};
use crate::raft::frame::{LogProof, RaftFrame};

/// A leader that shares an entry with one follower only, and that follower.
fn with_one_behind() -> (Cluster, NodeId, NodeId, NodeId) {
    let mut cluster = Cluster::new(3);
    let leader = cluster.elect();
    cluster.run_ms(300);
    let [near, far] = cluster.followers_of(leader)[..] else { panic!("there are three") };
    cluster.isolate(far);
    cluster.propose(leader, "known to two");
    cluster.run_ms(300);
    (cluster, leader, near, far)
}

/// A leader that shares a, b and c with its followers, and one of those.
fn with_three_entries() -> (Cluster, NodeId, NodeId) {
    let mut cluster = Cluster::new(3);
    let leader = cluster.elect();
    for text in ["a", "b", "c"] {
        cluster.propose(leader, text);
        cluster.run_ms(100);
    }
    let victim = cluster.followers_of(leader)[0];
    (cluster, leader, victim)
}

#[test]
fn a_member_that_lost_its_disk_learns_everything_again_under_the_same_leader() {
    let (mut cluster, leader, victim) = with_three_entries();
    cluster.lose_log(victim);
    cluster.start(victim);
    assert!(!cluster.node(victim).is_trusted());
    cluster.run_ms(1_500);
    assert_eq!(cluster.texts(victim), ["a", "b", "c"]);
    assert!(cluster.node(victim).is_trusted() && cluster.node(victim).has_caught_up());
    assert_eq!(cluster.leader(), Some(leader));
}

/// The other member's log holds what was committed, but after a power failure that member need not know that it was.
#[test]
fn a_member_that_lost_its_disk_shows_nothing_older_than_before() {
    let mut cluster = Cluster::new(2);
    let leader = cluster.elect();
    cluster.propose(leader, "a");
    cluster.run_ms(300);
    let victim = cluster.followers_of(leader)[0];
    assert_eq!(cluster.texts(victim), ["a"]);
    cluster.lose_power(leader);
    cluster.lose_log(victim);
    cluster.start(leader);
    cluster.start(victim);
    cluster.run_until(10_000, |cluster| {
        let shows = cluster.node(victim).has_caught_up();
        assert!(!shows || cluster.texts(victim) == ["a"], "it shows less than with its lost log");
        shows
    });
}

/// What a leader said to the log that was lost may come late, after all have taken note of the new one.
#[test]
fn a_late_word_to_the_lost_log_ends_nobody() {
    let mut cluster = Cluster::new(3);
    let leader = cluster.elect();
    cluster.propose(leader, "a");
    cluster.run_ms(300);
    let victim = cluster.followers_of(leader)[0];
    cluster.lose_log(victim);
    cluster.start(victim);
    cluster.run_until(2_000, |cluster| cluster.node(victim).is_learning());
    let now_ms = cluster.clock_of(victim);
    let session = cluster.session_of(leader);
    let node = cluster.node(victim);
    let (last, term) = (node.raw.raft.raft_log.last_index(), node.raw.raft.term);
    let mut late = Message::default();
    late.set_msg_type(MessageType::MsgHeartbeat);
    (late.from, late.to, late.term, late.commit) = (leader, victim, term, last + 1);
    node.step(leader, RaftFrame { session, messages: vec![late], ..RaftFrame::default() }, now_ms);
    cluster.run_ms(1_500);
    assert_eq!(cluster.texts(victim), ["a"]);
    assert!(cluster.node(victim).is_trusted());
}

#[test]
fn what_only_a_lost_disk_shared_with_the_leader_is_not_voted_away() {
    let (mut cluster, leader, near, far) = with_one_behind();
    cluster.stop(leader);
    cluster.lose_log(near);
    cluster.heal();
    cluster.start(near);
    cluster.run_ms(10_000);
    assert_eq!(cluster.leader(), None, "{far} lacks the entry, and {near} has lost it");
    cluster.start(leader);
    cluster.run_ms(4_000);
    for id in 1..=3 {
        assert_eq!(cluster.texts(id), ["known to two"]);
    }
}

#[test]
fn a_member_does_not_vote_before_it_knows_what_it_may_have_acknowledged() {
    let (mut cluster, leader, near, far) = with_one_behind();
    // All three take note of the new log, but the leader goes before it can hand over the entry.
    cluster.lose_log(near);
    cluster.heal();
    cluster.start(near);
    cluster.run_until(2_000, |cluster| !matches!(cluster.node(near).standing, Standing::Silent { .. }));
    let is_learning = matches!(cluster.node(near).standing, Standing::Learning { .. });
    cluster.stop(leader);
    cluster.lose_power(near);
    cluster.start(near);
    if is_learning && cluster.texts(far).is_empty() {
        cluster.run_ms(100);
        assert!(!cluster.node(near).is_trusted(), "it remembers over a restart that it may not vote");
    }
    cluster.run_ms(5_000);
    cluster.start(leader);
    cluster.run_ms(4_000);
    for id in 1..=3 {
        assert_eq!(cluster.texts(id), ["known to two"]);
    }
}

#[test]
fn a_silent_member_waits_for_everybody() {
    let mut cluster = Cluster::new(3);
    let leader = cluster.elect();
    cluster.propose(leader, "a");
    cluster.run_ms(300);
    let [victim, away] = cluster.followers_of(leader)[..] else { panic!("there are three") };
    cluster.stop(away);
    cluster.lose_log(victim);
    cluster.start(victim);
    cluster.run_ms(5_000);
    assert!(cluster.texts(victim).is_empty());
    cluster.start(away);
    cluster.run_ms(4_000);
    assert_eq!(cluster.texts(victim), ["a"]);
}

#[test]
fn a_new_group_does_not_wait_for_a_member_that_is_missing() {
    let mut cluster = Cluster::new(3);
    cluster.stop(3);
    cluster.lose_log(3);
    let took_ms = cluster.run_until(5_000, |cluster| cluster.leader().is_some());
    assert!(took_ms >= 1_000, "after {took_ms} ms");
    let leader = cluster.elect();
    cluster.propose(leader, "a");
    cluster.start(3);
    cluster.run_ms(2_000);
    assert_eq!(cluster.texts(3), ["a"]);
}

#[test]
fn a_leader_counts_what_a_member_acknowledged_with_its_new_log_only() {
    let mut cluster = Cluster::new(3);
    let leader = cluster.elect();
    cluster.propose(leader, "a");
    cluster.run_ms(300);
    let [victim, other] = cluster.followers_of(leader)[..] else { panic!("there are three") };
    cluster.isolate(other);
    cluster.lose_log(victim);
    cluster.start(victim);
    cluster.run_until(500, |cluster| {
        let status = cluster.node(leader).status(0);
        status.peers.iter().any(|peer| peer.id == victim && peer.matched == 0)
    });
    let status = cluster.node(leader).status(0);
    let matched = status.peers.iter().find(|peer| peer.id == victim).map(|peer| peer.matched);
    assert_eq!(matched, Some(0));
}

#[test]
fn a_member_with_a_damaged_log_goes_on_behind_its_own_checkpoint() {
    let (mut cluster, leader, victim) = with_three_entries();
    cluster.checkpoint(victim);
    cluster.propose(leader, "d");
    cluster.run_ms(300);
    cluster.set_log_aside(victim);
    cluster.start(victim);
    assert!(!cluster.node(victim).is_trusted());
    // It knows over a restart that it has lost a log.
    cluster.stop(victim);
    cluster.start(victim);
    assert_eq!(cluster.node(victim).memory(), Memory::Lost);
    cluster.run_ms(1_500);
    assert_eq!(cluster.texts(victim), ["a", "b", "c", "d"]);
    assert_eq!(cluster.members[&victim].machine.restorations, 0, "it needs no other's checkpoint");
    assert!(cluster.node(victim).is_trusted() && cluster.node(victim).has_caught_up());
    assert_eq!(cluster.leader(), Some(leader));
}

/// A leader that was cut off before two others, whose logs are lost by now, had gone on without it must not take them along.
#[test]
fn a_majority_of_damaged_logs_forgets_nothing() {
    for knows in [true, false] {
        let mut cluster = Cluster::new(3);
        let stale = cluster.elect();
        cluster.run_ms(300);
        cluster.isolate(stale);
        let next = cluster.elect_other_than(stale);
        let pair = cluster.followers_of(stale);
        cluster.propose(next, "acknowledged");
        cluster.run_ms(300);
        for id in &pair {
            if knows { cluster.set_log_aside(*id) } else { cluster.lose_log(*id) }
        }
        pair.iter().for_each(|id| cluster.start(*id));
        cluster.heal();
        cluster.run_ms(8_000);
        for id in &pair {
            assert!(!cluster.node(*id).is_trusted(), "{id} would help {stale} to forget");
        }
        assert!(cluster.texts(stale).is_empty());
    }
}

#[test]
fn members_with_damaged_logs_do_not_begin_a_group_anew() {
    let mut cluster = Cluster::new(3);
    let leader = cluster.elect();
    cluster.propose(leader, "a");
    cluster.run_ms(300);
    let pair = cluster.followers_of(leader);
    cluster.stop(leader);
    pair.iter().for_each(|id| cluster.set_log_aside(*id));
    pair.iter().for_each(|id| cluster.start(*id));
    cluster.run_ms(10_000);
    assert_eq!(cluster.leader(), None);
}

/// The survivor of two has all that was committed, and lacks one vote: that of a member that votes for nobody before it has heard from
/// a leader.
#[test]
fn a_group_of_two_elects_a_primary_again_after_one_has_lost_its_disk() {
    for loses_leader in [true, false] {
        let mut cluster = Cluster::new(2);
        let leader = cluster.elect();
        cluster.propose(leader, "acknowledged");
        cluster.run_ms(300);
        let victim = if loses_leader { leader } else { 3 - leader };
        cluster.lose_log(victim);
        cluster.run_ms(5_000);
        cluster.start(victim);
        cluster.run_until(4_000, |cluster| cluster.leader() == Some(3 - victim));
        cluster.propose(3 - victim, "and on");
        cluster.run_ms(500);
        for id in 1..=2 {
            assert_eq!(cluster.texts(id), ["acknowledged", "and on"]);
            assert!(cluster.node(id).is_trusted());
        }
    }
}

#[test]
fn a_learner_votes_only_for_logs_that_end_where_it_was_told_or_later() {
    let mut cluster = Cluster::new(3);
    let leader = cluster.elect();
    cluster.run_ms(300);
    let [victim, candidate] = cluster.followers_of(leader)[..] else { panic!("there are three") };
    let node = cluster.node(victim);
    let request = |log_term, index| {
        let mut request = Message::default();
        request.set_msg_type(MessageType::MsgRequestVote);
        (request.from, request.to, request.term) = (candidate, victim, 50);
        (request.log_term, request.index) = (log_term, index);
        request
    };
    node.standing = Standing::Learning { until: LogEnd { term: 4, index: 9 } };
    for (log_term, index, may) in [(4, 9, true), (4, 8, false), (3, 99, false), (5, 2, true)] {
        assert_eq!(node.may_vote_for(&request(log_term, index)), may, "{log_term} {index}");
    }
    node.standing = Standing::Learning { until: LogEnd { term: 0, index: 9 } };
    assert!(!node.may_vote_for(&request(5, 99)), "an older build did not tell the term");
    node.standing = Standing::silent();
    assert!(!node.may_vote_for(&request(5, 99)));
}

/// The furthest end that a member was told may be a tail that a later leader replaces: it must not wait for that index for ever.
#[test]
fn a_learner_knows_everything_once_an_entry_of_a_later_term_is_committed() {
    let mut cluster = Cluster::new(5);
    let leader = cluster.elect();
    cluster.propose(leader, "a");
    cluster.run_ms(300);
    let learner = cluster.followers_of(leader)[0];
    let node = cluster.node(learner);
    let term = node.raw.raft.term;
    node.standing = Standing::Learning { until: LogEnd { term, index: 1_000 } };
    cluster.run_ms(300);
    assert!(!cluster.node(learner).is_trusted());
    cluster.stop(leader);
    let next = cluster.elect_other_than(leader);
    assert_ne!(next, learner, "a learner does not campaign; it is not needed for this election");
    cluster.run_ms(300);
    assert!(cluster.node(learner).is_trusted());
}

/// A member told its end before it held an entry, which a leader then counted with an acknowledgement of the lost log; the leader failed, and
/// the end of that entry was never told.
#[test]
fn only_ends_that_are_told_after_all_have_taken_note_count() {
    let mut cluster = Cluster::new(5);
    let leader = cluster.elect();
    cluster.propose(leader, "a");
    cluster.run_ms(300);
    let victim = cluster.followers_of(leader)[0];
    cluster.isolate(victim);
    cluster.lose_log(victim);
    cluster.start(victim);
    let session = cluster.session_of(victim);
    let others: Vec<NodeId> = (1..=5).filter(|id| *id != victim).collect();
    let node = cluster.node(victim);
    let account = |index| Account {
        term: 3,
        end: LogEnd { term: 3, index },
        memory: Memory::Whole,
        cluster: OfLog::of(ClusterId(5)),
    };
    for round in [FIRST_ROUND, FIRST_ROUND] {
        others.iter().for_each(|id| node.step_account(*id, session, round, account(7)));
        assert!(node.is_silent(), "some may have told before others had taken note");
        assert!(node.must_ask);
    }
    let (last, rest) = others.split_last().expect("four others");
    rest.iter().for_each(|id| node.step_account(*id, session, SECOND_ROUND, account(7)));
    assert!(node.is_silent());
    node.step_account(*last, session, SECOND_ROUND, account(8));
    assert_eq!(node.standing, Standing::Learning { until: LogEnd { term: 3, index: 8 } });
}

/// What a member of this cluster tells, of a log that has something.
fn account_of(cluster: u64, memory: Memory) -> Account {
    let end = if memory == Memory::New { LogEnd::default() } else { LogEnd { term: 3, index: 7 } };
    Account { term: end.term, end, memory, cluster: OfLog::of(ClusterId(cluster)) }
}

/// A member of this size of group whose log is new, and which hears of nobody but by the accounts of a test.
fn wiped(size: u64) -> (Cluster, u64) {
    let mut cluster = Cluster::new(size);
    cluster.isolate(1);
    cluster.lose_log(1);
    cluster.start(1);
    let session = cluster.session_of(1);
    (cluster, session)
}

#[test]
fn a_wiped_member_follows_the_majority_and_not_the_first_voice() {
    let (mut cluster, session) = wiped(5);
    let node = cluster.node(1);
    for (from, of) in [(5, 6), (2, 5), (3, 5)] {
        node.step_account(from, session, FIRST_ROUND, account_of(of, Memory::Whole));
        assert!(node.cluster().id.is_none(), "two of five are no majority");
    }
    node.step_account(4, session, FIRST_ROUND, account_of(5, Memory::Whole));
    assert_eq!(node.cluster().id, ClusterId(5));
    assert!(node.is_silent(), "the fifth has not taken note: the one that answered is a stranger");
    node.step_account(5, session, FIRST_ROUND, account_of(6, Memory::Whole));
    assert!(node.is_silent() && node.cluster().id == ClusterId(5));
    node.step_account(5, session, FIRST_ROUND, account_of(5, Memory::Whole));
    for from in 2..=5 {
        node.step_account(from, session, SECOND_ROUND, account_of(5, Memory::Whole));
    }
    assert!(node.is_learning());
}

#[test]
fn a_wiped_member_between_its_own_cluster_and_a_stray_joins_neither_and_names_them() {
    let (mut cluster, session) = wiped(3);
    let node = cluster.node(1);
    for (from, of) in [(2, 5), (3, 6)] {
        node.step_account(from, session, FIRST_ROUND, account_of(of, Memory::Whole));
    }
    assert!(node.is_silent() && node.cluster().id.is_none());
    let Standing::Silent { accounts, .. } = &node.standing else { panic!("it is silent") };
    let text = obstacle(accounts, 3).expect("something is in its way");
    assert!(text.contains("nodes [2] belong to cluster 0000000000000005"), "{text}");
    assert!(text.contains("nodes [3] belong to cluster 0000000000000006"), "{text}");
    node.step_account(3, session, FIRST_ROUND, account_of(5, Memory::Whole));
    for from in 2..=3 {
        node.step_account(from, session, SECOND_ROUND, account_of(5, Memory::Whole));
    }
    assert!(node.is_learning() && node.cluster().id == ClusterId(5), "all others agree");
}

/// The other one has lost nothing, and has not heard yet that its group is cluster 5: the stray is none of its companions.
#[test]
fn a_wiped_member_waits_for_a_member_that_has_not_heard_of_its_cluster() {
    let (mut cluster, session) = wiped(3);
    let node = cluster.node(1);
    for (from, of) in [(2, 0), (3, 6)] {
        node.step_account(from, session, FIRST_ROUND, account_of(of, Memory::Whole));
    }
    assert!(node.is_silent() && node.cluster().id.is_none() && !node.must_ask);
    let Standing::Silent { accounts, .. } = &node.standing else { panic!("it is silent") };
    let text = obstacle(accounts, 3).expect("something is in its way");
    assert!(
        text.contains("nodes [3] belong to cluster 0000000000000006, while nodes [2] have not"),
        "{text}"
    );
    for (from, of) in [(3, 5), (2, 5)] {
        node.step_account(from, session, FIRST_ROUND, account_of(of, Memory::Whole));
    }
    assert!(node.must_ask && node.cluster().id == ClusterId(5));
}

/// Such a member would not know its companions, and a stranger would be as good as any of them.
#[test]
fn a_group_is_new_by_logs_that_are_proved() {
    let (mut cluster, session) = wiped(3);
    let node = cluster.node(1);
    let tick = |node: &mut Node<_>| {
        let due_ms = node.next_tick_ms();
        node.tick(due_ms);
    };
    [2, 3]
        .into_iter()
        .for_each(|from| node.step_account(from, session, FIRST_ROUND, account_of(0, Memory::New)));
    (0..2 * PATIENCE_TICKS).for_each(|_| tick(node));
    assert!(node.is_silent());
    for (from, of) in [(3, 6), (2, 0)] {
        let challenge = node.log_book.challenge(from);
        node.step_proof(from, from, LogProof { challenge, log: from, cluster: ClusterId(of) });
    }
    tick(node);
    assert!(node.is_trusted(), "two of three are enough after that time");
    assert!(node.raw.store().has_noted((2, 2)) && !node.raw.store().has_noted((3, 3)));
    assert!(node.hears_log(2, 2) && !node.hears_log(3, 3), "nothing tells the third from a stranger");
}

/// Nothing tells two new members and a stray from a group that has lost two disks of three: it must not begin anew in silence.
#[test]
fn new_members_beside_a_member_with_data_do_not_begin_a_group_and_say_what_to_do() {
    let (mut cluster, session) = wiped(3);
    let node = cluster.node(1);
    node.step_account(2, session, FIRST_ROUND, account_of(0, Memory::New));
    node.step_account(3, session, FIRST_ROUND, account_of(6, Memory::Whole));
    for _ in 0..2 * PATIENCE_TICKS {
        let due_ms = node.next_tick_ms();
        node.tick(due_ms);
    }
    assert!(node.is_silent());
    let Standing::Silent { accounts, .. } = &node.standing else { panic!("it is silent") };
    let text = obstacle(accounts, 3).expect("something is in its way");
    assert!(text.contains("nodes [3] belong to cluster 0000000000000006"), "{text}");
    assert!(text.contains("perdura recover") && text.contains("--cluster-name"), "{text}");
}
