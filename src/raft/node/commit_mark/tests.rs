use super::super::super::testing::Cluster;

/// Power fails for all members at once; what their logs then say is committed.
fn committed_after_power_loss(cluster: &mut Cluster) -> Vec<u64> {
    let ids = [1, 2, 3];
    ids.map(|id| {
        cluster.lose_power(id);
        cluster.open_wal(id).hard_state().commit
    })
    .to_vec()
}

#[test]
fn a_log_says_that_its_last_entry_is_committed_soon_after_the_last_write() {
    let mut cluster = Cluster::new(3);
    let leader = cluster.elect();
    cluster.propose(leader, "the last one");
    cluster.run_ms(1_000);
    let last = cluster.node(leader).status(0).last_index;
    assert_eq!(committed_after_power_loss(&mut cluster), [last; 3]);
}

#[test]
fn a_silent_group_syncs_its_commit_once() {
    let mut cluster = Cluster::new(3);
    let leader = cluster.elect();
    cluster.propose(leader, "the last one");
    cluster.run_ms(1_000);
    let operations = cluster.member(leader).disk.operations();
    cluster.run_ms(5_000);
    assert_eq!(cluster.member(leader).disk.operations(), operations);
}

/// Two of three are set back to copies of their folders, and the third restarts: it knows what they lost, and says so.
#[test]
fn a_member_that_restarts_does_not_give_way_to_a_majority_that_was_set_back() {
    let mut cluster = Cluster::new(3);
    let leader = cluster.elect();
    cluster.propose(leader, "kept");
    cluster.run_ms(1_000);
    let (first, second) = (cluster.followers_of(leader)[0], cluster.followers_of(leader)[1]);
    let copies = [first, second].map(|id| (id, cluster.copy_of(id)));
    cluster.propose(leader, "acknowledged");
    cluster.run_ms(1_000);
    for (id, copy) in copies {
        cluster.stop(id);
        cluster.set_back(id, copy);
    }
    cluster.stop(leader);
    cluster.forget_acknowledged();
    for id in [first, second] {
        cluster.start(id);
    }
    cluster.run_until(5_000, |cluster| cluster.leader().is_some());
    cluster.member(leader).may_end = true;
    cluster.start(leader);
    cluster.run_ms(5_000);
    let ended = cluster.member(leader).ended.clone().unwrap_or_default();
    assert!(ended.contains("lacks"), "{ended:?}");
}
