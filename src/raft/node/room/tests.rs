//! Groups whose disks fill up: they lead, vote and serve what they have, nobody ends, and all catch up when there is space.

use perdura_wal::Needed;

use crate::raft::identity::NodeId;
use crate::raft::node::ProposeError;
use crate::raft::testing::Cluster;

/// Proposes on the leader until it has no space; returns how many were taken.
fn propose_until_refused(cluster: &mut Cluster, leader: NodeId) -> usize {
    for taken in 0..1000 {
        match cluster.node(leader).propose(vec![b'x'; 4000]) {
            Ok(_) => cluster.run_ms(20),
            Err(error) => {
                assert_eq!(error, ProposeError::NoSpace);
                return taken;
            }
        }
    }
    panic!("it never refuses");
}

/// Proposes one more entry and waits until all have applied it, and all that was before.
fn all_get_another(cluster: &mut Cluster, leader: NodeId) {
    cluster.propose(leader, "another");
    cluster.run_until(10_000, |cluster| {
        let texts = [1, 2, 3].map(|id| cluster.texts(id));
        texts.iter().all(|own| *own == texts[0] && own.last().is_some_and(|last| last == "another"))
    });
}

#[test]
fn a_leader_without_space_proposes_nothing_and_goes_on_leading() {
    let mut cluster = Cluster::new(3);
    let leader = cluster.elect();
    cluster.propose(leader, "before");
    cluster.fill_disk(leader);
    propose_until_refused(&mut cluster, leader);
    cluster.run_ms(3000);
    assert_eq!(cluster.leader(), Some(leader));
    assert!(cluster.holds_lease(leader), "its followers hear it");
    cluster.drain_disk(leader);
    cluster.run_ms(50);
    all_get_another(&mut cluster, leader);
}

#[test]
fn a_follower_without_space_falls_behind_and_catches_up_when_there_is_some() {
    let mut cluster = Cluster::new(3);
    let leader = cluster.elect();
    let full = cluster.followers_of(leader)[0];
    cluster.fill_disk(full);
    for _ in 0..200 {
        cluster.node(leader).propose(vec![b'x'; 4000]).expect("the majority has space");
        cluster.run_ms(20);
    }
    cluster.run_ms(500);
    let (held, missing) = (cluster.texts(full).len(), cluster.texts(leader).len());
    assert!(held + 50 < missing, "{held} of {missing}");
    assert_eq!(cluster.leader(), Some(leader), "and it disturbs nobody");
    cluster.drain_disk(full);
    all_get_another(&mut cluster, leader);
}

/// Writes hard states until the log has no room for another.
fn use_up_room(cluster: &mut Cluster, id: NodeId) {
    let wal = cluster.node(id).storage_mut().wal_mut();
    while wal.secure_room(Needed::default()).expect("the disk works") {
        wal.stage_hard_state(wal.hard_state()).expect("it fits");
        wal.commit().expect("there is room");
    }
}

#[test]
fn a_checkpoint_waits_for_room_in_the_log_that_is_to_go_on_behind_it() {
    let mut cluster = Cluster::new(3);
    let leader = cluster.elect();
    let full = cluster.followers_of(leader)[0];
    cluster.run_ms(300);
    cluster.fill_disk(full);
    use_up_room(&mut cluster, full);
    for text in ["a", "b"] {
        cluster.propose(leader, text);
        cluster.run_ms(50);
    }
    cluster.checkpoint(leader);
    cluster.run_ms(2_000);
    assert!(cluster.node(full).offer().is_some() && cluster.texts(full).is_empty());
    cluster.drain_disk(full);
    all_get_another(&mut cluster, leader);
}

/// With the disks of all full, and a leader cut off again and again, until the logs have no room for another vote.
#[test]
fn elections_on_full_disks_end_nobody() {
    let mut cluster = Cluster::new(3);
    cluster.pad_to_block = true;
    for id in 1..=3 {
        cluster.stop(id);
        cluster.start(id);
    }
    let leader = cluster.elect();
    cluster.run_ms(200);
    (1..=3).for_each(|id| cluster.fill_disk(id));
    propose_until_refused(&mut cluster, leader);
    let mut elections = 0;
    for _ in 0..40 {
        let Some(leader) = cluster.leader() else { break };
        cluster.isolate(leader);
        cluster.run_ms(2500);
        cluster.heal();
        cluster.run_ms(1000);
        elections += usize::from(cluster.leader().is_some_and(|now| now != leader));
    }
    assert!((2..40).contains(&elections), "{elections} elections before nobody could vote any more");
    (1..=3).for_each(|id| cluster.drain_disk(id));
    let leader = cluster.elect();
    all_get_another(&mut cluster, leader);
}
