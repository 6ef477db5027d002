use raft::ProgressState;
use raft::eraftpb::MessageType;

use super::super::super::testing::Cluster;
use crate::raft::identity::NodeId;

/// A leader that probes a follower which nothing reaches, and has sent it the probe.
fn with_one_probed() -> (Cluster, NodeId, NodeId) {
    let mut cluster = Cluster::new(3);
    let leader = cluster.elect();
    let probed = cluster.followers_of(leader)[0];
    cluster.run_ms(300);
    cluster.slow_wire(leader, probed, 60_000);
    cluster.cut_wire(probed, leader);
    cluster.node(leader).report_unreachable(probed);
    cluster.propose(leader, "a probe");
    cluster.step();
    assert_eq!(
        cluster.node(leader).raw.raft.prs().get(probed).expect("a member").state,
        ProgressState::Probe
    );
    (cluster, leader, probed)
}

/// The leader hears `answers` of the follower to heartbeats at once. Returns the number of appends that it sends because of them.
fn hear_answers(cluster: &mut Cluster, leader: NodeId, probed: NodeId, answers: usize) -> usize {
    let now_ms = cluster.clock_of(leader);
    let node = cluster.node(leader);
    let term = node.raw.raft.term;
    (0..answers).for_each(|_| node.step_beat_answer(probed, term, now_ms));
    let sent = node.raw.raft.msgs.iter();
    sent.filter(|m| m.get_msg_type() == MessageType::MsgAppend && m.to == probed).count()
}

#[test]
fn a_hundred_answers_at_once_repeat_a_probe_once_at_most() {
    let (mut cluster, leader, probed) = with_one_probed();
    assert_eq!(hear_answers(&mut cluster, leader, probed, 100), 0, "it is under way");
    cluster.run_ms(110);
    assert_eq!(hear_answers(&mut cluster, leader, probed, 100), 1, "it may be lost");
}

#[test]
fn a_probe_is_repeated_less_and_less_often_but_for_ever() {
    let (mut cluster, leader, probed) = with_one_probed();
    let mut repeated_at = Vec::new();
    for at in 0..40 {
        if hear_answers(&mut cluster, leader, probed, 2) > 0 {
            repeated_at.push(at);
        }
        cluster.run_ms(110);
    }
    assert_eq!(repeated_at, [1, 2, 4, 8, 13, 18, 23, 28, 33, 38], "times 110 ms");
}

#[test]
fn a_broken_connection_has_lost_the_probe() {
    let (mut cluster, leader, probed) = with_one_probed();
    for _ in 0..30 {
        hear_answers(&mut cluster, leader, probed, 1);
        cluster.run_ms(110);
    }
    assert_eq!(hear_answers(&mut cluster, leader, probed, 1), 0);
    cluster.node(leader).report_unreachable(probed);
    assert_eq!(hear_answers(&mut cluster, leader, probed, 1), 1);
    cluster.heal();
    cluster.run_until(1_000, |cluster| cluster.texts(probed) == ["a probe"]);
}

#[test]
fn an_answer_that_repeats_nothing_is_a_sign_of_life_all_the_same() {
    let (mut cluster, leader, probed) = with_one_probed();
    cluster.node(leader).raw.raft.mut_prs().get_mut(probed).expect("a member").recent_active = false;
    hear_answers(&mut cluster, leader, probed, 1);
    assert!(cluster.node(leader).raw.raft.prs().get(probed).expect("a member").recent_active);
}
