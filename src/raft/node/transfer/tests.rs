use super::super::super::testing::Cluster;
use super::*;

/// A leader with two followers, of which one lost its disk and learns.
fn with_a_learner() -> (Cluster, NodeId, NodeId) {
    let mut cluster = Cluster::new(3);
    let leader = cluster.elect();
    for text in ["a", "b"] {
        cluster.propose(leader, text);
        cluster.run_ms(100);
    }
    let learner = cluster.followers_of(leader)[0];
    cluster.lose_log(learner);
    cluster.start(learner);
    cluster.run_until(2_000, |cluster| cluster.node(learner).is_learning());
    (cluster, leader, learner)
}

#[test]
fn a_member_that_learns_what_it_lost_is_handed_no_leadership() {
    let (mut cluster, leader, learner) = with_a_learner();
    let mut learned_ms = 0;
    while cluster.node(learner).is_learning() {
        let now_ms = cluster.clock_of(leader);
        assert_ne!(cluster.node(leader).best_transferee(), Some(learner));
        let refused = cluster.node(leader).transfer_leadership(learner, now_ms);
        assert_eq!(refused, Err(TransferError::MayBeLearning { to: learner }));
        let peers = cluster.node(leader).status(now_ms).peers;
        assert!(peers.iter().all(|peer| peer.may_lead == (peer.id != learner)), "{peers:?}");
        cluster.run_ms(1);
        learned_ms += 1;
        assert!(learned_ms < 2_000, "it learns");
    }
    cluster.run_ms(500);
    let now_ms = cluster.clock_of(leader);
    assert_eq!(cluster.node(leader).transfer_leadership(learner, now_ms), Ok(()));
    cluster.run_until(100, |cluster| cluster.leader() == Some(learner));
}

/// The next leader did not see the member lose its log: it was not there.
#[test]
fn a_leader_that_was_restarted_does_not_take_a_learner_for_whole() {
    let (mut cluster, leader, learner) = with_a_learner();
    let third = cluster.followers_of(leader).into_iter().find(|id| *id != learner).expect("there are three");
    for id in [leader, third, learner] {
        cluster.lose_power(id);
    }
    for id in [leader, third, learner] {
        cluster.start(id);
    }
    cluster.run_until(5_000, |cluster| {
        let Some(leader) = cluster.leader() else { return false };
        assert_ne!(leader, learner);
        let is_learning = cluster.node(learner).is_learning();
        assert!(!(is_learning && cluster.node(leader).may_take_over(learner)));
        !is_learning && cluster.node(leader).may_take_over(learner)
    });
}

#[test]
fn hearings_count_in_one_term_and_for_one_log() {
    let mut hearings = Hearings::default();
    hearings.note(2, 5, 40);
    hearings.note(2, 5, 50);
    assert_eq!((hearings.first(2, 5), hearings.first(2, 6), hearings.first(3, 5)), (Some(40), None, None));
    hearings.forget(2);
    hearings.note(2, 5, 60);
    assert_eq!(hearings.first(2, 5), Some(60));
    hearings.note(3, 6, 70);
    assert_eq!((hearings.first(2, 6), hearings.first(3, 6)), (None, Some(70)));
}
