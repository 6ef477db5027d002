use super::super::super::testing::Cluster;
use crate::raft::identity::NodeId;

/// Two of three members run on older copies of their logs; what the third one knows was committed after those were made.
struct SetBack {
    cluster: Cluster,
    old: [NodeId; 2],
    knowing: NodeId,
}

fn set_back() -> SetBack {
    let mut cluster = Cluster::new(3);
    let leader = cluster.elect();
    cluster.propose(leader, "in the copies");
    cluster.run_ms(500);
    let knowing = cluster.followers_of(leader)[0];
    let old = [leader, cluster.followers_of(leader)[1]];
    let copies = old.map(|id| cluster.copy_of(id));
    for n in 0..30 {
        cluster.propose(leader, &format!("acknowledged {n}"));
        cluster.run_ms(20);
    }
    cluster.run_ms(500);
    cluster.stop(knowing);
    for (id, copy) in old.into_iter().zip(copies) {
        cluster.set_back(id, copy);
    }
    // They know nothing of what they have lost.
    cluster.forget_acknowledged();
    old.iter().for_each(|id| cluster.start(*id));
    cluster.elect();
    cluster.member(knowing).may_end = true;
    SetBack { cluster, old, knowing }
}

/// Starts the member that knows more; what it knows to be committed.
fn start_knowing(cluster: &mut Cluster, knowing: NodeId) -> u64 {
    cluster.start(knowing);
    cluster.node(knowing).committed()
}

fn lives_on(cluster: &mut Cluster, old: [NodeId; 2], text: &str) {
    let leader = cluster.elect();
    assert!(old.contains(&leader));
    cluster.propose(leader, text);
    cluster.run_ms(500);
    for id in old {
        assert!(cluster.texts(id).iter().any(|known| known == text));
    }
}

/// The node stayed LOADING for ever, without an error.
#[test]
fn a_member_that_knows_more_than_a_set_back_majority_ends_and_names_the_entries() {
    let SetBack { mut cluster, old, knowing } = set_back();
    let leader = cluster.leader().expect("it was elected");
    let lacks_from = cluster.node(leader).committed();
    let committed = start_knowing(&mut cluster, knowing);
    cluster.run_until(5_000, |cluster| cluster.members[&knowing].ended.is_some());
    let why = cluster.members[&knowing].ended.clone().unwrap_or_default();
    let expected = format!(
        "node {leader} leads and lacks entries {lacks_from} to {committed}, which this node knows were committed"
    );
    assert!(why.starts_with(&expected), "{why}");
    lives_on(&mut cluster, old, "goes on");
}

/// The leader took the commit of a follower that is ahead for its own entries, as soon as it had as many: it counted as matched, and what
/// it alone had "acknowledged" was gone with the next failover.
#[test]
fn a_follower_that_is_ahead_never_counts_as_matched() {
    let SetBack { mut cluster, old, knowing } = set_back();
    let leader = cluster.leader().expect("it was elected");
    let committed = start_knowing(&mut cluster, knowing);
    for n in 0..60 {
        cluster.propose(leader, &format!("written by the set back {n}"));
        cluster.run_ms(10);
        let peers = cluster.peers_of(leader);
        let matched = peers.iter().find(|peer| peer.id == knowing).map_or(0, |peer| peer.matched);
        assert!(matched < committed, "its entries are others: {matched}");
    }
    cluster.run_until(5_000, |cluster| cluster.members[&knowing].ended.is_some());
    lives_on(&mut cluster, old, "goes on");
}

/// Its log begins after a checkpoint: it can't compare the leader's entries before that, and the leader tells it of the one that it
/// acknowledged.
#[test]
fn a_member_with_a_compacted_log_ends_as_well() {
    let SetBack { mut cluster, old, knowing } = set_back();
    let leader = cluster.leader().expect("it was elected");
    cluster.isolate(knowing);
    let committed = start_knowing(&mut cluster, knowing);
    cluster.run_ms(500);
    cluster.checkpoint(knowing);
    assert!(cluster.node(knowing).storage().first_entry() > 5);
    for n in 0..60 {
        cluster.propose(leader, &format!("written by the set back {n}"));
        cluster.run_ms(10);
    }
    assert!(cluster.node(leader).committed() > committed);
    cluster.heal();
    cluster.run_until(10_000, |cluster| cluster.members[&knowing].ended.is_some());
    let why = cluster.members[&knowing].ended.clone().unwrap_or_default();
    assert!(why.contains(&format!("to {committed}, which this node knows were committed")), "{why}");
    lives_on(&mut cluster, old, "goes on");
}
