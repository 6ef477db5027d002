use super::super::super::testing::Cluster;
use crate::raft::identity::NodeId;

const BYTES_PER_SECOND: u64 = 2_000;
/// In messages each takes 100 bytes.
const ENTRIES: usize = 100;

/// A leader, one that lags by 10,000 bytes, and one that does not.
fn with_one_behind() -> (Cluster, NodeId, NodeId, NodeId) {
    let mut cluster = Cluster::configured(3, |config| {
        config.catch_up_bytes_per_second = BYTES_PER_SECOND;
        config.entry_cache_bytes = 300;
        config.max_append_bytes = 300;
    });
    let leader = cluster.elect();
    let (behind, other) = (cluster.followers_of(leader)[0], cluster.followers_of(leader)[1]);
    cluster.stop(behind);
    for n in 0..ENTRIES {
        cluster.propose(leader, &format!("{n:076}"));
        cluster.step();
    }
    cluster.run_ms(100);
    cluster.start(behind);
    (cluster, leader, behind, other)
}

fn has(cluster: &mut Cluster, id: NodeId) -> usize {
    cluster.texts(id).len()
}

#[test]
fn a_follower_that_lags_is_sent_entries_at_the_pace() {
    let (mut cluster, _, behind, _) = with_one_behind();
    cluster.run_ms(3_000);
    let sent = has(&mut cluster, behind);
    assert!((30..=75).contains(&sent), "{sent} entries after three seconds");
    cluster.run_until(4_000, |c| has(c, behind) == ENTRIES);
}

#[test]
fn it_arrives_though_more_is_written_than_the_pace() {
    let (mut cluster, leader, behind, _) = with_one_behind();
    for n in 0..160 {
        cluster.propose(leader, &format!("{n:0300}"));
        cluster.run_ms(50);
    }
    cluster.run_until(500, |c| has(c, behind) == ENTRIES + 160);
}

#[test]
fn it_gets_all_it_can_take_when_the_group_waits_for_it() {
    let (mut cluster, leader, behind, other) = with_one_behind();
    cluster.run_ms(500);
    assert!(has(&mut cluster, behind) < 30);
    cluster.stop(other);
    cluster.propose(leader, "waits");
    cluster.run_until(1_000, |c| has(c, leader) == ENTRIES + 1);
    assert_eq!(has(&mut cluster, leader), ENTRIES + 1);
}

#[test]
fn the_log_is_held_for_who_is_being_sent_it() {
    let (mut cluster, leader, behind, _) = with_one_behind();
    cluster.run_ms(1_000);
    let held_from = cluster.node(leader).followed_from();
    assert!(held_from < 60, "{held_from}");
    cluster.run_until(8_000, |c| has(c, behind) == ENTRIES);
    cluster.run_ms(300);
    assert!(cluster.node(leader).followed_from() > ENTRIES as u64);
    assert_eq!(cluster.node(behind).followed_from(), u64::MAX);
}

#[test]
fn who_keeps_up_is_not_paced() {
    let (mut cluster, leader, _, other) = with_one_behind();
    for n in 0..100 {
        cluster.propose(leader, &format!("{n:0300}"));
        cluster.run_ms(20);
    }
    cluster.run_ms(300);
    assert_eq!(has(&mut cluster, other), ENTRIES + 100);
}
