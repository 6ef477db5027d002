use super::super::super::testing::Cluster;
use crate::raft::identity::NodeId;

/// Writes more than anybody keeps and cuts the leader's log.
fn write_and_cut(cluster: &mut Cluster, leader: NodeId, texts: &[&str]) {
    for text in texts {
        cluster.propose(leader, text);
        cluster.run_ms(50);
    }
    cluster.checkpoint(leader);
}

/// A leader, and a follower that is down.
fn with_follower_down() -> (Cluster, NodeId, NodeId) {
    let mut cluster = Cluster::new(3);
    let leader = cluster.elect();
    cluster.propose(leader, "a");
    cluster.run_ms(300);
    let follower = cluster.followers_of(leader)[0];
    cluster.stop(follower);
    (cluster, leader, follower)
}

/// A leader, and a follower that has been offered a checkpoint and fetches none.
fn with_offer_open() -> (Cluster, NodeId, NodeId) {
    let (mut cluster, leader, follower) = with_follower_down();
    write_and_cut(&mut cluster, leader, &["b", "c"]);
    cluster.start(follower);
    cluster.member(follower).fetches_nothing = true;
    cluster.run_ms(700);
    assert!(cluster.node(follower).offer().is_some());
    (cluster, leader, follower)
}

fn restorations(cluster: &mut Cluster, id: NodeId) -> usize {
    cluster.member(id).machine.restorations
}

#[test]
fn a_follower_whose_entries_are_gone_goes_on_behind_a_checkpoint() {
    let (mut cluster, leader, follower) = with_follower_down();
    write_and_cut(&mut cluster, leader, &["b", "c"]);
    cluster.start(follower);
    cluster.run_ms(1_000);
    assert_eq!(restorations(&mut cluster, follower), 1);
    assert_eq!(cluster.texts(follower), ["a", "b", "c"]);
    cluster.propose(leader, "d");
    cluster.run_ms(300);
    assert_eq!(cluster.texts(follower), ["a", "b", "c", "d"]);
    assert_eq!(cluster.leader(), Some(leader), "nobody else has campaigned");

    cluster.lose_power(follower);
    cluster.start(follower);
    cluster.run_ms(1_000);
    assert_eq!(cluster.texts(follower), ["a", "b", "c", "d"]);
    assert_eq!(restorations(&mut cluster, follower), 0, "it started from what it had fetched");
}

#[test]
fn a_node_that_never_ran_joins_with_an_empty_disk() {
    let mut cluster = Cluster::new(3);
    cluster.stop(3);
    cluster.lose_log(3);
    let leader = cluster.elect();
    write_and_cut(&mut cluster, leader, &["a", "b", "c"]);
    cluster.start(3);
    cluster.run_ms(1_000);
    assert_eq!(restorations(&mut cluster, 3), 1);
    assert_eq!(cluster.texts(3), ["a", "b", "c"]);
}

#[test]
fn an_offer_that_is_lost_is_made_again() {
    let (mut cluster, _, follower) = with_offer_open();
    // It forgets what it was offered, and the leader does not know.
    cluster.stop(follower);
    cluster.start(follower);
    cluster.member(follower).fetches_nothing = false;
    cluster.run_ms(2_500);
    assert_eq!(cluster.texts(follower), ["a", "b", "c"]);
}

#[test]
fn a_newer_offer_takes_the_place_of_one_that_came_to_nothing() {
    let (mut cluster, leader, follower) = with_offer_open();
    let first = cluster.node(follower).offer().expect("it was offered one");
    write_and_cut(&mut cluster, leader, &["d", "e"]);
    cluster.run_ms(2_500);
    let second = cluster.node(follower).offer().expect("it was offered another");
    assert_eq!(second.checkpoint.index, first.checkpoint.index + 2);
    cluster.member(follower).fetches_nothing = false;
    cluster.run_ms(1_000);
    assert_eq!(cluster.texts(follower), ["a", "b", "c", "d", "e"]);
}

#[test]
fn a_checkpoint_serves_though_its_leader_is_gone() {
    let (mut cluster, leader, follower) = with_offer_open();
    cluster.stop(leader);
    cluster.run_ms(20);
    // What was fetched from the old leader is put in place without one.
    cluster.member(follower).fetches_nothing = false;
    cluster.step();
    assert_eq!(restorations(&mut cluster, follower), 1);
    assert_eq!(cluster.texts(follower), ["a", "b", "c"]);
    let next = cluster.elect_other_than(leader);
    cluster.propose(next, "d");
    cluster.run_ms(500);
    assert_eq!(cluster.texts(follower), ["a", "b", "c", "d"]);
}

#[test]
fn a_tail_that_was_never_committed_gives_way_to_a_checkpoint() {
    let mut cluster = Cluster::new(3);
    let old = cluster.elect();
    cluster.run_ms(300);
    cluster.isolate(old);
    for text in ["lost", "lost too", "and this"] {
        cluster.propose(old, text);
    }
    cluster.run_ms(50);
    let leader = cluster.elect_other_than(old);
    write_and_cut(&mut cluster, leader, &["a", "b", "c", "d", "e"]);
    cluster.heal();
    cluster.run_ms(3_000);
    assert_eq!(cluster.texts(old), ["a", "b", "c", "d", "e"]);
    assert_eq!(restorations(&mut cluster, old), 1);
}

#[test]
fn a_log_that_reaches_far_enough_needs_no_checkpoint() {
    let (mut cluster, leader, follower) = with_follower_down();
    cluster.checkpoint(leader);
    for text in ["b", "c"] {
        cluster.propose(leader, text);
        cluster.run_ms(50);
    }
    cluster.start(follower);
    cluster.run_ms(1_000);
    assert_eq!(cluster.texts(follower), ["a", "b", "c"]);
    assert_eq!(restorations(&mut cluster, follower), 0);
}

#[test]
fn a_process_that_ends_between_fetching_and_adopting_finishes_at_its_next_start() {
    let (mut cluster, leader, follower) = with_follower_down();
    write_and_cut(&mut cluster, leader, &["b", "c"]);
    cluster.start(follower);
    // The commit that begins the log anew is the first that follows the offer.
    for operations in 0..6 {
        cluster.lose_power_later(follower, operations);
        cluster.run_ms(1_500);
        if cluster.members[&follower].node.is_none() {
            cluster.start(follower);
        }
    }
    cluster.run_ms(2_500);
    assert_eq!(cluster.texts(follower), ["a", "b", "c"]);
}

#[test]
fn a_leader_without_a_checkpoint_waits_for_one() {
    let (mut cluster, leader, follower) = with_follower_down();
    cluster.propose(leader, "b");
    cluster.run_ms(300);
    let applied = cluster.member(leader).machine.entries.len() as u64;
    cluster.node(leader).storage_mut().compact(applied).expect("the disk works");
    cluster.start(follower);
    cluster.run_ms(1_500);
    assert_eq!(cluster.texts(follower), ["a"]);
    cluster.checkpoint(leader);
    cluster.run_ms(1_500);
    assert_eq!(cluster.texts(follower), ["a", "b"]);
}
