//! Nodes that were away for longer than any log reaches back: they are sent a checkpoint, whatever happens on the way.

use std::fs;
use std::time::Duration;

use perdura_testkit::clock::{never_within, wait_for};
use perdura_testkit::{Cluster, Node, NodeSpec, free_port};

use crate::perdura;
use crate::restarts::{check, fill};

const LIMIT: Duration = Duration::from_secs(60);
/// Enough for a group of which two nodes may vote to elect a primary.
const SEVERAL_ELECTIONS: Duration = Duration::from_secs(3);
const VALUE_BYTES: usize = 1000;

/// Three nodes that keep little of their logs.
fn forgetful() -> NodeSpec {
    perdura()
        .flag("segment-bytes", "64kb")
        .flag("checkpoint-log-bytes", "512kb")
        .flag("log-keep-bytes", "256kb")
}

/// Text that can't be compressed much.
fn noise(seed: u64) -> String {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        char::from(b'!' + (state % 90) as u8)
    };
    (0..VALUE_BYTES).map(|_| next()).collect()
}

pub fn write(node: &Node, keys: std::ops::Range<u64>) {
    let mut client = node.client();
    let keys: Vec<u64> = keys.collect();
    for some in keys.chunks(100) {
        for key in some {
            let (name, value) = (format!("key:{key}"), noise(*key));
            client.send(&[b"SET", name.as_bytes(), value.as_bytes()]);
        }
        some.iter().for_each(|_| client.expect("+OK"));
    }
}

/// Waits until the primary has cut its log behind this entry.
pub fn wait_for_cut(node: &Node, index: u64) {
    wait_for("the log is cut", LIMIT, || {
        (node.client().info_number("perdura_first_index") > index).then_some(())
    });
}

fn was_sent_a_checkpoint(node: &Node) -> bool {
    node.log().contains("loading a checkpoint of another node")
}

/// A cluster, its primary, and a replica that is down and can't be helped by any log.
fn with_replica_behind(spec: &NodeSpec, keys: u64) -> (Cluster, usize, usize) {
    let mut cluster = Cluster::start_with(spec.clone());
    let primary = cluster.primary();
    fill(&cluster.nodes[primary]);
    fill_scores(&cluster.nodes[primary]);
    let behind = (primary + 1) % 3;
    cluster.nodes[behind].kill();
    let index = cluster.nodes[primary].client().info_number("perdura_committed_index");
    write(&cluster.nodes[primary], 0..keys);
    for at in (0..3).filter(|at| *at != behind) {
        wait_for_cut(&cluster.nodes[at], index);
    }
    (cluster, primary, behind)
}

/// Members of a sorted set in the order of their hashes.
fn scan_order(node: &Node) -> String {
    let mut client = node.client();
    client.check("READONLY", "+OK");
    client.run("ZSCAN scores 0 COUNT 1000").to_string()
}

/// A sorted set that is indexed by hashes.
fn fill_scores(node: &Node) {
    let members: Vec<String> = (0..200).map(|number| format!("1 member:{number}")).collect();
    node.client().check(&format!("ZADD scores {}", members.join(" ")), ":200");
}

#[test]
fn a_replica_that_was_away_for_long_is_sent_a_checkpoint() {
    let (mut cluster, primary, behind) = with_replica_behind(&forgetful(), 3000);
    cluster.nodes[behind].restart();
    let digest = cluster.agreed_digest();
    assert!(was_sent_a_checkpoint(&cluster.nodes[behind]), "{}", cluster.nodes[behind].log());
    assert!(cluster.nodes[behind].client().info_number("perdura_checkpoint_received_bytes") > 0);
    assert!(cluster.nodes[primary].client().info_number("perdura_checkpoint_sent_bytes") > 0);
    write(&cluster.nodes[primary], 3000..3100);
    assert_ne!(cluster.agreed_digest(), digest);
    let order = scan_order(&cluster.nodes[primary]);
    assert!(cluster.nodes.iter().all(|node| scan_order(node) == order), "all nodes hash by one seed");
    // What it was sent is what it starts from.
    cluster.nodes[behind].kill();
    cluster.nodes[behind].restart();
    cluster.agreed_digest();
    assert_eq!(scan_order(&cluster.nodes[behind]), order);
    cluster.nodes[primary].kill();
    cluster.nodes[primary].restart();
    let primary = cluster.primary();
    check(&cluster.nodes[primary]);
}

#[test]
fn a_replica_that_was_away_for_a_moment_needs_none() {
    let spec = perdura().flag("segment-bytes", "64kb").flag("checkpoint-log-bytes", "512kb");
    let mut cluster = Cluster::start_with(spec);
    let primary = cluster.primary();
    let behind = (primary + 1) % 3;
    cluster.nodes[behind].kill();
    write(&cluster.nodes[primary], 0..2000);
    wait_for("a checkpoint", LIMIT, || {
        (cluster.nodes[primary].client().info_number("perdura_checkpoint_index") > 0).then_some(())
    });
    cluster.nodes[behind].restart();
    cluster.agreed_digest();
    assert!(!was_sent_a_checkpoint(&cluster.nodes[behind]));
}

#[test]
fn a_replica_that_lags_is_sent_the_log_at_the_pace() {
    let mut cluster = Cluster::start_with(perdura().flag("catch-up-bytes-per-second", "1mb"));
    let primary = cluster.primary();
    let behind = (primary + 1) % 3;
    cluster.nodes[behind].kill();
    // The newest 2 MB are in memory, and not paced.
    write(&cluster.nodes[primary], 0..7000);
    let last = cluster.nodes[primary].client().info_number("perdura_committed_index");
    cluster.nodes[behind].spawn();
    never_within("5 MB have come at 1 MB a second", Duration::from_secs(4), || {
        let mut client = cluster.nodes[behind].try_admin().ok()?;
        (client.info_number("perdura_applied_index") >= last).then_some(())
    });
    cluster.agreed_digest();
    assert!(!was_sent_a_checkpoint(&cluster.nodes[behind]));
}

/// Waits until a checkpoint is on its way, and has not come to its end.
fn wait_for_transfer(node: &Node) {
    wait_for("a checkpoint is on its way", LIMIT, || {
        let bytes = |field| node.client().info(field).and_then(|bytes| bytes.parse::<u64>().ok());
        let (read, left) = (bytes("master_sync_read_bytes")?, bytes("master_sync_left_bytes")?);
        (read > 500_000 && left > 500_000).then_some(())
    });
}

#[test]
fn a_replica_that_is_killed_while_it_is_sent_a_checkpoint_goes_on_with_it() {
    let spec = forgetful().flag("catch-up-bytes-per-second", "1mb");
    let (mut cluster, _, behind) = with_replica_behind(&spec, 4000);
    for _ in 0..2 {
        cluster.nodes[behind].restart();
        wait_for_transfer(&cluster.nodes[behind]);
        cluster.nodes[behind].kill();
    }
    cluster.nodes[behind].restart();
    cluster.agreed_digest();
    assert!(was_sent_a_checkpoint(&cluster.nodes[behind]));
}

#[test]
fn a_primary_that_is_killed_while_it_sends_a_checkpoint_leaves_it_to_the_next() {
    let spec = forgetful().flag("catch-up-bytes-per-second", "1mb");
    let (mut cluster, primary, behind) = with_replica_behind(&spec, 4000);
    cluster.nodes[behind].restart();
    wait_for_transfer(&cluster.nodes[behind]);
    cluster.nodes[primary].kill();
    let next = cluster.primary();
    assert!(next != primary && next != behind);
    write(&cluster.nodes[next], 4000..4100);
    cluster.nodes[primary].restart();
    cluster.agreed_digest();
    assert!(was_sent_a_checkpoint(&cluster.nodes[behind]));
    let primary = cluster.primary();
    check(&cluster.nodes[primary]);
}

/// Waits until a replica takes part in everything again.
fn wait_until_trusted(node: &Node) {
    wait_for("it knows again what it may have acknowledged", LIMIT, || {
        node.log().contains("this node knows again").then_some(())
    });
}

#[test]
fn a_replica_that_lost_its_disk_is_brought_up_to_date_under_load() {
    let mut cluster = Cluster::start_with(forgetful());
    let primary = cluster.primary();
    fill(&cluster.nodes[primary]);
    write(&cluster.nodes[primary], 0..2500);
    let lost = (primary + 1) % 3;
    cluster.nodes[lost].kill();
    fs::remove_dir_all(cluster.nodes[lost].data()).expect("it can be lost");
    cluster.nodes[lost].spawn();
    write(&cluster.nodes[primary], 2500..3500);
    wait_until_trusted(&cluster.nodes[lost]);
    cluster.agreed_digest();
    assert!(was_sent_a_checkpoint(&cluster.nodes[lost]), "{}", cluster.nodes[lost].log());
    // It counts again: with it, the group does without its old primary.
    cluster.nodes[primary].kill();
    let next = cluster.primary();
    check(&cluster.nodes[next]);
    write(&cluster.nodes[next], 3500..3600);
}

/// The recipe of docs/operations.md, "Replace a node".
#[test]
fn a_node_is_replaced_by_one_at_another_address() {
    let mut cluster = Cluster::start_with(perdura().flag("cluster-name", "shop"));
    let primary = cluster.primary();
    fill(&cluster.nodes[primary]);
    let digest = cluster.agreed_digest();
    let (lost, other) = ((primary + 1) % 3, (primary + 2) % 3);
    cluster.nodes[lost].kill();
    fs::remove_dir_all(cluster.nodes[lost].data()).expect("it can be lost");
    let old = cluster.nodes[lost].flag("peer-addr").expect("it has peers").to_owned();
    let new = format!("127.0.0.1:{}", free_port());
    let members = cluster.nodes[lost].flag("initial-cluster").expect("it has peers").replace(&old, &new);
    cluster.nodes.iter_mut().for_each(|node| node.set_flag("initial-cluster", &members));
    for at in [other, primary] {
        assert!(cluster.nodes[at].terminate().success());
        cluster.nodes[at].restart();
        // The group has a majority again before the next one goes.
        cluster.primary();
    }
    cluster.nodes[lost].set_flag("peer-addr", new);
    cluster.nodes[lost].spawn();
    wait_until_trusted(&cluster.nodes[lost]);
    assert_eq!(cluster.agreed_digest(), digest);
    // It counts: with it, the group does without its old primary.
    let primary = cluster.primary();
    cluster.nodes[primary].kill();
    check(&cluster.nodes[cluster.primary()]);
}

fn is_primary(node: &Node) -> bool {
    let role = node.try_admin().and_then(|mut client| client.try_call(&[b"ROLE"]));
    role.is_ok_and(|role| role.to_string().contains("master"))
}

/// What only the primary and a lost disk had known is not lost with that disk.
#[test]
fn a_lost_disk_elects_nobody_who_knows_less() {
    let mut cluster = Cluster::start_with(perdura());
    let primary = cluster.primary();
    let (lost, behind) = ((primary + 1) % 3, (primary + 2) % 3);
    cluster.agreed_digest();
    cluster.nodes[behind].kill();
    cluster.client(primary).check("SET known to-two", "+OK");
    cluster.nodes[primary].kill();
    cluster.nodes[lost].kill();
    fs::remove_dir_all(cluster.nodes[lost].data()).expect("it can be lost");
    cluster.nodes[lost].spawn();
    cluster.nodes[behind].spawn();
    wait_for("the lost one asks what it may have acknowledged", LIMIT, || {
        cluster.nodes[lost].log().contains("waits until all other members know").then_some(())
    });
    never_within("one of them is primary", SEVERAL_ELECTIONS, || {
        [lost, behind].into_iter().find(|at| is_primary(&cluster.nodes[*at]))
    });
    cluster.nodes[primary].restart();
    let primary = cluster.primary();
    cluster.client(primary).check("GET known", "to-two");
    wait_until_trusted(&cluster.nodes[lost]);
    cluster.agreed_digest();
}

#[test]
fn a_replica_catches_up_while_others_write() {
    let spec = forgetful().flag("catch-up-bytes-per-second", "2mb");
    let (mut cluster, primary, behind) = with_replica_behind(&spec, 3000);
    cluster.nodes[behind].spawn();
    let mut next = 3000;
    wait_for("the replica has caught up under load", LIMIT, || {
        write(&cluster.nodes[primary], next..next + 50);
        next += 50;
        let own = cluster.nodes[behind]
            .try_admin()
            .ok()
            .map(|mut client| client.info_number("perdura_applied_index"));
        let lag = cluster.nodes[primary]
            .client()
            .info_number("perdura_committed_index")
            .saturating_sub(own.unwrap_or(0));
        (lag < 100).then_some(())
    });
    cluster.agreed_digest();
    assert!(was_sent_a_checkpoint(&cluster.nodes[behind]));
}
