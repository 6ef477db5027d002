use super::super::frame::RaftFrame;
use super::super::identity::IdentityError;
use super::super::lease::Stamp;
use super::super::storage::StorageFault;
use super::super::testing::{Cluster, Ledger, Nowhere};
use super::*;

const ELECTION_MS: u64 = 1_100;

#[test]
fn a_node_alone_leads_at_once_and_replays_its_log_after_a_restart() {
    let mut cluster = Cluster::new(1);
    cluster.step();
    assert_eq!(cluster.leader(), Some(1));
    assert!(cluster.holds_lease(1));
    cluster.propose(1, "a");
    cluster.propose(1, "b");
    cluster.step();
    assert_eq!(cluster.texts(1), ["a", "b"]);

    cluster.stop(1);
    cluster.start(1);
    cluster.step();
    assert_eq!(cluster.texts(1), ["a", "b"]);
    assert!(cluster.node(1).is_serving());
}

#[test]
fn three_nodes_elect_a_leader_and_agree_on_what_it_proposes() {
    let mut cluster = Cluster::new(3);
    let took_ms = cluster.run_until(ELECTION_MS, |c| c.leader().is_some());
    assert!(took_ms >= 450, "elected after {took_ms} ms");
    let leader = cluster.elect();
    for text in ["a", "b", "c"] {
        cluster.propose(leader, text);
    }
    cluster.run_ms(200);
    for id in 1..=3 {
        assert_eq!(cluster.texts(id), ["a", "b", "c"]);
    }
    let status = cluster.node(leader).status(0);
    assert!(status.peers.iter().all(|peer| peer.lag == 0 && peer.recently_active));
    assert_eq!(status.uncommitted_bytes, 0);
}

/// A node whose calendar is wrong.
#[test]
fn a_node_that_stands_last_is_elected_only_where_no_other_can_be() {
    let mut cluster = Cluster::new(3);
    let first = cluster.elect();
    let off = cluster.followers_of(first)[0];
    for _ in 0..6 {
        cluster.node(off).stand_last(true);
        let old = cluster.elect();
        cluster.isolate(old);
        let next = cluster.elect_other_than(old);
        assert_ne!(next, off);
        cluster.heal();
        cluster.run_ms(300);
    }
    let leader = cluster.elect();
    let other = cluster.followers_of(leader).into_iter().find(|id| *id != off).expect("three nodes");
    cluster.cut_wire(leader, other);
    cluster.propose(leader, "of which the other knows nothing");
    cluster.run_ms(200);
    cluster.stop(leader);
    cluster.heal();
    assert_eq!(cluster.elect_other_than(leader), off);
}

#[test]
fn nodes_that_all_stand_last_elect_one_of_them() {
    let mut cluster = Cluster::new(3);
    let leader = cluster.elect();
    for id in cluster.followers_of(leader) {
        cluster.node(id).stand_last(true);
    }
    cluster.stop(leader);
    let took_ms = cluster.run_until(3 * ELECTION_MS, |c| c.leader().is_some());
    assert!((950..1600).contains(&took_ms), "elected after {took_ms} ms");
}

#[test]
fn the_lead_goes_to_a_member_whose_calendar_is_right() {
    let mut cluster = Cluster::new(3);
    let leader = cluster.elect();
    cluster.run_ms(300);
    let best = cluster.node(leader).best_transferee().expect("both followers are there");
    cluster.node(leader).set_off_members(vec![best]);
    let better = cluster.node(leader).best_transferee();
    assert!(better.is_some_and(|id| id != best), "{better:?}");
    cluster.isolate(better.expect("another"));
    cluster.run_ms(2500);
    assert_eq!(cluster.node(leader).best_transferee(), Some(best), "there is no other");
}

/// Raft forgets with each election timeout which followers were active: operators were told that there are none, for a moment.
#[test]
fn followers_that_answer_are_active_at_every_moment() {
    let mut cluster = Cluster::new(3);
    let leader = cluster.elect();
    cluster.run_ms(500);
    for _ in 0..3000 {
        cluster.step();
        let now_ms = cluster.clock_of(leader);
        let status = cluster.node(leader).status(now_ms);
        assert!(status.peers.iter().all(|peer| peer.recently_active), "at {now_ms}: {:?}", status.peers);
    }
    let silent = cluster.followers_of(leader)[0];
    cluster.isolate(silent);
    cluster.run_ms(1500);
    let now_ms = cluster.clock_of(leader);
    for peer in cluster.node(leader).status(now_ms).peers {
        assert_eq!(peer.recently_active, peer.id != silent);
        assert_eq!(peer.silent_ms.is_some_and(|ms| ms >= 1000), peer.id == silent, "{peer:?}");
    }
}

#[test]
fn a_restarted_follower_has_caught_up_once_it_has_applied_all_that_it_had() {
    let mut cluster = Cluster::new(3);
    let leader = cluster.elect();
    for text in ["a", "b", "c"] {
        cluster.propose(leader, text);
    }
    cluster.run_ms(300);
    let follower = cluster.followers_of(leader)[0];
    assert!(cluster.node(follower).has_caught_up());
    cluster.stop(follower);
    cluster.isolate(follower);
    cluster.start(follower);
    cluster.run_ms(50);
    assert!(cluster.texts(follower).len() < 3, "its disk does not know all that was committed");
    assert!(!cluster.node(follower).has_caught_up());
    cluster.heal();
    cluster.run_ms(2_000);
    assert!(cluster.node(follower).has_caught_up());
    assert_eq!(cluster.texts(follower), ["a", "b", "c"]);
}

#[test]
fn a_follower_names_the_leader_to_those_who_propose_to_it() {
    let mut cluster = Cluster::new(3);
    let leader = cluster.elect();
    let follower = cluster.followers_of(leader)[0];
    cluster.run_ms(100);
    let refused = cluster.node(follower).propose(b"x".to_vec());
    let leader = Some(leader);
    assert_eq!(refused, Err(ProposeError::NotLeader { leader }));
}

#[test]
fn a_new_leader_takes_over_within_a_second_or_so_and_loses_nothing() {
    for victim_round in 0..3 {
        let mut cluster = Cluster::new(3);
        let mut leader = cluster.elect();
        for round in 0..=victim_round {
            cluster.propose(leader, &format!("kept {round}"));
            cluster.run_ms(30 * (round + 1));
            let old = leader;
            cluster.stop(old);
            let took_ms = cluster.run_until(ELECTION_MS, |c| c.leader().is_some());
            leader = cluster.elect();
            assert_ne!(leader, old, "after {took_ms} ms");
            cluster.start(old);
            cluster.run_ms(1_000);
        }
        assert_eq!(cluster.texts(leader).len() as u64, victim_round + 1);
    }
}

#[test]
fn what_a_leader_without_followers_proposed_is_replaced() {
    let mut cluster = Cluster::new(3);
    let old = cluster.elect();
    cluster.propose(old, "kept");
    cluster.run_ms(100);
    cluster.isolate(old);
    let position = cluster.node(old).propose(b"lost".to_vec()).expect("it still leads");
    cluster.propose(old, "lost too");
    let new = cluster.elect_other_than(old);
    cluster.propose(new, "instead");
    cluster.run_ms(100);
    cluster.heal();
    cluster.run_ms(500);
    for id in 1..=3 {
        assert_eq!(cluster.texts(id), ["kept", "instead"]);
    }
    let (term, _) = cluster.member(old).machine.entries[position.index as usize - 1];
    assert_ne!(term, position.term, "the term tells that the proposal was lost");

    cluster.stop(old);
    cluster.start(old);
    cluster.run_ms(500);
    assert_eq!(cluster.texts(old), ["kept", "instead"]);
}

#[test]
fn a_lease_has_run_out_before_another_leader_is_elected() {
    let mut cluster = Cluster::new(3);
    let old = cluster.elect();
    cluster.run_ms(200);
    assert!(cluster.holds_lease(old));
    cluster.isolate(old);
    let lost_ms = cluster.run_until(450, |c| !c.holds_lease(old));
    assert!(lost_ms > 250, "a lease of {lost_ms} ms is hardly one");
    assert_eq!(cluster.later_leaders_than(old), 0);
    cluster.elect_other_than(old);
}

#[test]
fn a_leader_serves_only_after_an_entry_of_its_own_term() {
    let mut cluster = Cluster::new(3);
    let old = cluster.elect();
    cluster.propose(old, "committed by the old leader");
    cluster.run_ms(50);
    cluster.stop(old);
    let deaf = cluster.followers_of(old);
    cluster.run_until(2_000, |c| c.leading_member().is_some());
    let new = cluster.leading_member().expect("somebody leads");
    for &id in deaf.iter().filter(|&&id| id != new) {
        cluster.cut_wire(new, id);
    }
    cluster.run_ms(200);
    assert!(!cluster.node(new).is_serving() && !cluster.holds_lease(new));
    assert_eq!(cluster.node(new).confirm_round(), None);
    cluster.heal();
    cluster.elect();
}

#[test]
fn a_restarted_node_keeps_silent_for_as_long_as_a_promise() {
    let mut cluster = Cluster::new(3);
    let leader = cluster.elect();
    cluster.run_ms(100);
    let voter = cluster.followers_of(leader)[0];
    cluster.stop(voter);
    cluster.start(voter);
    let now_ms = cluster.clock_of(voter);
    let candidate = cluster.followers_of(leader)[1];
    let mut request = Message::default();
    request.set_msg_type(MessageType::MsgRequestVote);
    (request.from, request.to, request.term) = (candidate, voter, 99);
    (request.index, request.log_term) = (1_000, 98);
    let session = cluster.session_of(candidate);
    let frame = RaftFrame { session, messages: vec![request], ..RaftFrame::default() };
    cluster.run_until(100, |cluster| cluster.node(voter).hears_log(candidate, session));
    cluster.node(voter).step(candidate, frame.clone(), now_ms);
    assert_ne!(cluster.node(voter).leadership().term, 99);
    cluster.node(voter).step(candidate, frame, now_ms + 450);
    assert_eq!(cluster.node(voter).leadership().term, 99);
}

#[test]
fn leadership_moves_where_it_is_sent_and_no_lease_overlaps() {
    let mut cluster = Cluster::new(3);
    let old = cluster.elect();
    cluster.run_ms(200);
    let now_ms = cluster.clock_of(old);
    let to = cluster.node(old).best_transferee().expect("both followers are there");
    assert_eq!(cluster.node(old).transfer_leadership(to, now_ms), Ok(()));
    assert!(!cluster.node_has_lease(old));
    let refused = cluster.node(old).propose(b"x".to_vec());
    assert_eq!(refused, Err(ProposeError::Transferring));
    let took_ms = cluster.run_until(100, |c| c.leader() == Some(to));
    assert!(took_ms <= 50, "a transfer took {took_ms} ms");
}

#[test]
fn a_failed_transfer_ends_with_a_lease_once_the_target_is_heard() {
    let mut cluster = Cluster::new(3);
    let old = cluster.elect();
    cluster.run_ms(200);
    let to = cluster.followers_of(old)[0];
    cluster.cut_wire(old, to);
    let now_ms = cluster.clock_of(old);
    assert_eq!(cluster.node(old).transfer_leadership(to, now_ms), Ok(()));
    cluster.run_ms(300);
    assert!(!cluster.holds_lease(old));
    cluster.heal();
    cluster.elect();
    cluster.run_ms(1_000);
    let leader = cluster.elect();
    assert!(cluster.holds_lease(leader));
}

#[test]
fn a_leader_whose_transfer_target_stays_silent_steps_down() {
    let mut cluster = Cluster::new(3);
    let old = cluster.elect();
    cluster.run_ms(200);
    let to = cluster.followers_of(old)[0];
    cluster.isolate(to);
    let now_ms = cluster.clock_of(old);
    assert_eq!(cluster.node(old).transfer_leadership(to, now_ms), Ok(()));
    let term = cluster.node(old).leadership().term;
    cluster.run_until(5_000, |c| {
        let leader = c.leader();
        leader.is_some_and(|id| c.node(id).leadership().term > term && c.holds_lease(id))
    });
}

#[test]
fn a_request_to_campaign_that_was_overtaken_is_not_acted_on() {
    let mut cluster = Cluster::new(3);
    let leader = cluster.elect();
    cluster.run_ms(100);
    let follower = cluster.followers_of(leader)[0];
    let term = cluster.node(leader).leadership().term;
    let message = |kind| {
        let mut message = Message::default();
        message.set_msg_type(kind);
        (message.from, message.to, message.term) = (leader, follower, term);
        message
    };
    let session = cluster.session_of(leader);
    let frame = |kind, sent_at_ms| RaftFrame {
        session,
        stamp: Some(Stamp { term, sent_at_ms, round: 0 }),
        messages: vec![message(kind)],
        ..RaftFrame::default()
    };
    let (asked_ms, later_ms) = (90_000_000, 90_000_001);
    let node = cluster.node(follower);
    node.step(leader, frame(MessageType::MsgHeartbeat, later_ms), 0);
    node.step(leader, frame(MessageType::MsgTimeoutNow, asked_ms), 0);
    assert_eq!(node.leadership().role, Role::Follower);
    node.step(leader, frame(MessageType::MsgTimeoutNow, later_ms), 0);
    assert_eq!(node.leadership().role, Role::Candidate);
}

#[test]
fn nonsense_transfers_are_refused() {
    let mut cluster = Cluster::new(3);
    let leader = cluster.elect();
    let follower = cluster.followers_of(leader)[0];
    let refused = cluster.node(follower).transfer_leadership(leader, 0);
    assert_eq!(refused, Err(TransferError::NotLeader));
    for to in [leader, 9] {
        let refused = cluster.node(leader).transfer_leadership(to, 0);
        assert_eq!(refused, Err(TransferError::NotAnotherMember { to }));
    }
}

#[test]
fn without_trust_in_clocks_reads_wait_for_a_round() {
    let mut cluster = Cluster::configured(3, |config| config.trust_clocks = false);
    let leader = cluster.elect();
    cluster.run_ms(300);
    assert!(!cluster.holds_lease(leader));
    let round = cluster.node(leader).confirm_round().expect("it serves");
    assert_eq!(cluster.node(leader).confirmed(round), RoundState::Pending);
    let confirmed = |c: &mut Cluster| c.node(leader).confirmed(round) == RoundState::Confirmed;
    let took_ms = cluster.run_until(100, confirmed);
    assert!(took_ms <= 20, "a round took {took_ms} ms");

    cluster.isolate(leader);
    let round = cluster.node(leader).confirm_round().expect("it does not know yet");
    cluster.run_ms(300);
    assert_eq!(cluster.node(leader).confirmed(round), RoundState::Pending);
    cluster.elect_other_than(leader);
    cluster.heal();
    cluster.run_ms(500);
    assert_eq!(cluster.node(leader).confirmed(round), RoundState::Lost);
}

#[test]
fn proposals_are_bounded() {
    let mut cluster = Cluster::configured(3, |config| config.max_uncommitted_bytes = 100);
    let leader = cluster.elect();
    let node = cluster.node(leader);
    assert_eq!(node.propose(Vec::new()), Err(ProposeError::Empty));
    assert!(node.propose(vec![1; 500]).is_ok(), "a single one may be longer");
    let busy = ProposeError::Busy { bytes: 500, limit: 100 };
    assert_eq!(node.propose(vec![1]), Err(busy));
    cluster.run_ms(50);
    assert!(cluster.node(leader).propose(vec![1]).is_ok());
}

#[test]
fn a_follower_that_was_away_catches_up_from_the_log() {
    let mut cluster = Cluster::configured(3, |config| {
        config.entry_cache_bytes = 300;
        config.max_append_bytes = 500;
        config.max_inflight_appends = 4;
    });
    let leader = cluster.elect();
    let away = cluster.followers_of(leader)[0];
    cluster.stop(away);
    for n in 0..100 {
        cluster.propose(leader, &format!("entry number {n:050}"));
        cluster.step();
    }
    cluster.start(away);
    cluster.run_until(3_000, |c| c.texts(away).len() == 100);
}

#[test]
fn a_restart_applies_more_entries_than_raft_hands_out_at_once() {
    let mut cluster = Cluster::configured(1, |config| config.entry_cache_bytes = 1_000);
    cluster.step();
    for n in 0..2_500 {
        cluster.propose(1, &n.to_string());
    }
    cluster.step();
    cluster.stop(1);
    cluster.start(1);
    cluster.step();
    let expected: Vec<_> = (0..2_500).map(|n| n.to_string()).collect();
    assert_eq!(cluster.texts(1), expected);
}

#[test]
fn a_log_is_refused_under_another_identity() {
    let mut cluster = Cluster::new(3);
    cluster.stop(1);
    let refused = |change: fn(&mut Identity)| {
        let mut config = cluster.config_of(1);
        change(&mut config.identity);
        let opened = Node::open(cluster.open_wal(1), config, 0, 0);
        match opened.map(|_| ()) {
            Err(NodeError::Storage(StorageFault::Identity(error))) => error,
            other => panic!("expected a refusal, got {other:?}"),
        }
    };
    let error = refused(|identity| identity.node_id = 2);
    assert!(matches!(error, IdentityError::OtherNode { .. }));
    let error = refused(|identity| identity.members = vec![1]);
    assert!(matches!(error, IdentityError::OtherMembers { .. }));
}

#[test]
fn a_member_whose_log_was_cut_short_does_not_go_on() {
    let mut cluster = Cluster::new(3);
    let leader = cluster.elect();
    cluster.propose(leader, "kept by a majority");
    cluster.run_ms(300);
    let victim = cluster.followers_of(leader)[0];
    let now_ms = cluster.clock_of(victim);
    let mut heartbeat = Message::default();
    heartbeat.set_msg_type(MessageType::MsgHeartbeat);
    (heartbeat.from, heartbeat.to, heartbeat.term, heartbeat.commit) = (leader, victim, 1, 99);
    let frame =
        RaftFrame { session: cluster.session_of(leader), messages: vec![heartbeat], ..RaftFrame::default() };
    let node = cluster.node(victim);
    node.step(leader, frame, now_ms);
    let ended = node.process(now_ms, &mut Nowhere, &mut Ledger::default());
    assert!(matches!(ended, Err(NodeError::LogLost { known: 99, last: 2, .. })));
}

#[test]
fn a_message_that_lies_about_its_sender_is_dropped() {
    let mut cluster = Cluster::new(3);
    let leader = cluster.elect();
    let term = cluster.node(leader).leadership().term;
    let mut heartbeat = Message::default();
    heartbeat.set_msg_type(MessageType::MsgHeartbeat);
    (heartbeat.from, heartbeat.to, heartbeat.term) = (9, leader, term + 5);
    let other = cluster.followers_of(leader)[0];
    let session = cluster.session_of(other);
    let frame =
        |message: &Message| RaftFrame { session, messages: vec![message.clone()], ..RaftFrame::default() };
    let stranger = frame(&heartbeat);
    cluster.node(leader).step(9, stranger, 0);
    cluster.node(leader).step(other, frame(&heartbeat), 0);
    heartbeat.from = other;
    heartbeat.set_msg_type(MessageType::MsgPropose);
    cluster.node(leader).step(other, frame(&heartbeat), 0);
    assert_eq!(cluster.node(leader).leadership().term, term);
    cluster.step();
}

#[test]
fn a_node_that_was_stalled_hears_its_leader_before_it_campaigns() {
    let mut cluster = Cluster::new(3);
    let leader = cluster.elect();
    let stalled = cluster.followers_of(leader)[0];
    let term = cluster.node(leader).leadership().term;
    cluster.member(stalled).stalled = true;
    cluster.run_ms(5_000);
    cluster.member(stalled).stalled = false;
    cluster.run_ms(2_000);
    assert_eq!(cluster.leader(), Some(leader));
    assert_eq!(cluster.node(leader).leadership().term, term);
}

#[test]
fn a_node_ticks_at_most_once_a_call_and_never_early() {
    let mut cluster = Cluster::new(3);
    let node = cluster.node(1);
    let due_ms = node.next_tick_ms();
    assert!(!node.tick(due_ms - 1));
    assert!(node.tick(due_ms + 10_000));
    assert!(!node.tick(due_ms + 10_000));
    assert!(!node.tick(due_ms + 10_049));
    assert!(node.tick(due_ms + 10_050));
}

#[test]
fn an_error_of_the_state_machine_ends_the_node_by_name() {
    #[derive(Debug, thiserror::Error)]
    #[error("entry version 9 is newer than this build")]
    struct TooNew;
    struct Refusing;
    impl StateMachine for Refusing {
        type Error = TooNew;
        fn apply(&mut self, _: u64, _: u64, _: &[u8]) -> Result<(), TooNew> {
            Err(TooNew)
        }
    }
    let mut cluster = Cluster::new(1);
    let error = cluster.node(1).process(0, &mut Nowhere, &mut Refusing).expect_err("the entry is refused");
    let message = "entry 1 of the log can't be applied: entry version 9 is newer than this build";
    assert_eq!(error.to_string(), message);
}

#[test]
fn the_state_machine_is_told_of_syncs_and_leadership() {
    let mut cluster = Cluster::new(1);
    cluster.step();
    let Ledger { leaderships, syncs, readable_until_ms, .. } = &cluster.member(1).machine;
    assert_eq!(leaderships.len(), 1);
    assert_eq!(leaderships[0].role, Role::Leader);
    assert_eq!((*syncs, *readable_until_ms), (1, u64::MAX));
}

/// A leader of many ticks counted on promises as long as its own, and read for seconds after others had elected.
#[test]
fn no_stale_read_where_election_ticks_differ_between_nodes() {
    for slow in 1..=3 {
        let mut cluster = Cluster::configured(3, |config| {
            if config.identity.node_id == 1 {
                config.timing.election_ticks = 60;
            }
        });
        let leader = cluster.elect();
        cluster.run_ms(300);
        if leader != slow {
            let now_ms = cluster.clock_of(leader);
            assert_eq!(cluster.node(leader).transfer_leadership(slow, now_ms), Ok(()));
            cluster.run_until(2_000, |cluster| cluster.leader() == Some(slow));
        }
        cluster.run_ms(500);
        assert!(cluster.holds_lease(slow), "it leads, and hears from the others");
        cluster.isolate(slow);
        // Each step checks that no lease outlives the election of another.
        cluster.elect_other_than(slow);
        cluster.run_ms(3_000);
    }
}

/// A follower that is started again with fewer ticks owes its leader the promise that it gave before.
#[test]
fn a_restart_with_fewer_election_ticks_shortens_no_promise() {
    let mut cluster = Cluster::configured(3, |config| config.timing.election_ticks = 60);
    let leader = cluster.elect();
    cluster.run_ms(1_000);
    assert!(cluster.holds_lease(leader));
    cluster.reconfigure(|config| config.timing.election_ticks = 10);
    for follower in cluster.followers_of(leader) {
        cluster.stop(follower);
        cluster.start(follower);
    }
    cluster.isolate(leader);
    cluster.run_until(5_000, |cluster| !cluster.holds_lease(leader));
    assert_eq!(cluster.later_leaders_than(leader), 0);
    cluster.elect_other_than(leader);
    for follower in cluster.followers_of(leader) {
        assert_eq!(cluster.node(follower).storage().promise_ms(), 450, "by now nothing longer binds it");
    }
}

/// The other follower, whose promise is short, votes soon: so the promise binds the follower that gave it as a candidate, too.
#[test]
fn a_restart_with_fewer_election_ticks_shortens_no_promise_for_its_own_candidacy() {
    let mut cluster = Cluster::configured(3, |config| config.timing.election_ticks = 60);
    let leader = cluster.elect();
    cluster.reconfigure(|config| config.timing.election_ticks = 10);
    let [free, bound] = cluster.followers_of(leader)[..] else { panic!("three members") };
    cluster.stop(free);
    cluster.start(free);
    cluster.run_ms(5_000);
    assert_eq!(cluster.node(free).storage().promise_ms(), 450);
    assert!(cluster.holds_lease(leader));
    cluster.stop(bound);
    cluster.start(bound);
    cluster.isolate(leader);
    // Each step checks that no lease outlives the election of another.
    cluster.run_until(5_000, |cluster| !cluster.holds_lease(leader));
    cluster.elect_other_than(leader);
}
