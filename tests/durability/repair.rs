//! Damage that heals: a member of a group whose log or checkpoints a disk has damaged learns again from the others.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use perdura::checkpoint::shelf::Shelf;
use perdura_testkit::clock::wait_for;
use perdura_testkit::{Cluster, Node, NodeSpec};

use crate::checkpoints::checkpoint;
use crate::damage::{FIRST_BATCH, flip_byte, segments};
use crate::perdura;
use crate::restarts::{check, fill};

const LIMIT: Duration = Duration::from_secs(60);

fn small_segments() -> NodeSpec {
    perdura().flag("segment-bytes", "64kb").flag("log-keep-bytes", "256kb")
}

/// A group with data in all types and several segments, and a replica that is down.
fn with_replica_down(spec: NodeSpec) -> (Cluster, usize, usize) {
    with_replica_down_after(spec, |_, _, _| {})
}

/// The same, the replica with a checkpoint of its own.
fn with_checkpointed_replica_down(spec: NodeSpec) -> (Cluster, usize, usize) {
    with_replica_down_after(spec.flag("checkpoint-log-bytes", "512kb"), |cluster, _, replica| {
        wait_for_checkpoint(&cluster.nodes[replica]);
    })
}

/// The same, and its last full segment holds only entries that came after the checkpoint.
fn with_replica_down_and_entries_after_its_checkpoint(spec: NodeSpec) -> (Cluster, usize, usize) {
    with_replica_down_after(spec.flag("checkpoint-log-bytes", "512kb"), |cluster, primary, replica| {
        wait_for_checkpoint(&cluster.nodes[replica]);
        let mut client = cluster.client(primary);
        for _ in 0..4 {
            client.check(&format!("SET {{more}} {}", "v".repeat(40 << 10)), "+OK");
        }
        client.check("DEL {more}", ":1");
        cluster.agreed_digest();
    })
}

fn wait_for_checkpoint(replica: &Node) {
    wait_for("it has a checkpoint", LIMIT, || {
        replica.log().contains("a checkpoint is published").then_some(())
    });
}

/// Prepares, with the positions of the primary and of the replica, before the replica ends.
fn with_replica_down_after(
    spec: NodeSpec,
    prepare: impl FnOnce(&Cluster, usize, usize),
) -> (Cluster, usize, usize) {
    let mut cluster = Cluster::start_with(spec);
    let primary = cluster.primary();
    fill(&cluster.nodes[primary]);
    cluster.agreed_digest();
    let replica = (primary + 1) % 3;
    prepare(&cluster, primary, replica);
    assert!(cluster.nodes[replica].terminate().success());
    (cluster, primary, replica)
}

fn damage_a_sealed_segment(node: &Node) {
    let segments = segments(&node.data());
    assert!(segments.len() >= 3, "{segments:?}");
    flip_byte(&segments[segments.len() / 2 - 1], FIRST_BATCH);
}

/// Damages the newest segment that is full: no checkpoint has what is in it.
fn damage_the_last_sealed_segment(node: &Node) {
    let segments = segments(&node.data());
    assert!(segments.len() >= 3, "{segments:?}");
    flip_byte(&segments[segments.len() - 2], FIRST_BATCH);
}

fn wait_until_it_knows_all(node: &Node) {
    wait_for("it knows again what it may have acknowledged", LIMIT, || {
        node.log().contains("this node knows again").then_some(())
    });
}

/// It counts again: with it, the group does without its old primary.
fn check_that_it_counts(mut cluster: Cluster, primary: usize) {
    cluster.nodes[primary].kill();
    let next = cluster.primary();
    check(&cluster.nodes[next]);
    cluster.client(next).check("SET after repair", "+OK");
}

#[test]
fn a_member_whose_log_is_damaged_learns_again_from_the_others() {
    let (mut cluster, primary, replica) = with_replica_down(small_segments());
    damage_a_sealed_segment(&cluster.nodes[replica]);
    cluster.nodes[replica].spawn();
    wait_until_it_knows_all(&cluster.nodes[replica]);
    cluster.agreed_digest();
    let log = cluster.nodes[replica].log();
    assert!(log.contains("THE LOG CAN'T BE USED") && log.contains("is damaged at byte"), "{log}");
    assert!(cluster.nodes[replica].data().join("damaged-log").exists());
    // What it has now it can be started from.
    assert!(cluster.nodes[replica].terminate().success());
    cluster.nodes[replica].restart();
    cluster.agreed_digest();
    check_that_it_counts(cluster, primary);
}

#[test]
fn its_own_checkpoint_saves_it_the_others() {
    let (mut cluster, primary, replica) =
        with_replica_down_and_entries_after_its_checkpoint(small_segments().flag("log-keep-bytes", "1gb"));
    damage_the_last_sealed_segment(&cluster.nodes[replica]);
    cluster.nodes[replica].spawn();
    wait_until_it_knows_all(&cluster.nodes[replica]);
    cluster.agreed_digest();
    let log = cluster.nodes[replica].log();
    assert!(log.contains("THE LOG CAN'T BE USED"), "{log}");
    assert!(!log.contains("loading a checkpoint of another node"), "{log}");
    check_that_it_counts(cluster, primary);
}

/// It has lost nothing that counts, so it asks for nothing: with it, the group does without the others at once.
#[test]
fn a_member_with_damage_before_its_checkpoint_keeps_its_vote_and_its_log() {
    let mut cluster = Cluster::start_with(small_segments().flag("log-keep-bytes", "1gb"));
    let primary = cluster.primary();
    fill(&cluster.nodes[primary]);
    cluster.agreed_digest();
    let (replica, other) = ((primary + 1) % 3, (primary + 2) % 3);
    checkpoint(&cluster.nodes[replica]);
    assert!(cluster.nodes[replica].terminate().success());
    flip_byte(&segments(&cluster.nodes[replica].data())[0], FIRST_BATCH);
    // Nobody can help it to learn again.
    cluster.nodes[other].kill();
    cluster.nodes[replica].restart();
    // The primary may have been without a majority for long enough to step down.
    wait_for("the two take a write", LIMIT, || {
        let primary = cluster.primary();
        (cluster.client(primary).run("SET after damage").to_string() == "+OK").then_some(())
    });
    let log = cluster.nodes[replica].log();
    assert!(log.contains("DAMAGE in an old part of the log"), "{log}");
    assert!(!log.contains("THE LOG CAN'T BE USED") && !log.contains("this node's log is new"), "{log}");
    cluster.nodes[other].restart();
    cluster.agreed_digest();
}

/// No checkpoint is whole, and the log alone does not reach back: as good as no log.
#[test]
fn a_member_without_a_whole_checkpoint_learns_again_from_the_others() {
    let (mut cluster, primary, replica) = with_checkpointed_replica_down(
        small_segments().flag("checkpoints-kept", 1).flag("log-keep-bytes", "64kb"),
    );
    let folder = cluster.nodes[replica].data().join("checkpoints");
    for entry in fs::read_dir(folder).expect("it has checkpoints") {
        let manifest = entry.expect("it can be listed").path().join("MANIFEST.perdura");
        if manifest.exists() {
            flip_byte(&manifest, 200);
        }
    }
    cluster.nodes[replica].spawn();
    wait_until_it_knows_all(&cluster.nodes[replica]);
    cluster.agreed_digest();
    let log = cluster.nodes[replica].log();
    assert!(log.contains("a checkpoint is damaged") && log.contains("entries are missing"), "{log}");
    assert!(log.contains("loading a checkpoint of another node"), "{log}");
    check_that_it_counts(cluster, primary);
}

/// Two damaged logs of three: what they had acknowledged to each other the third need not know, so nobody goes on without it.
#[test]
fn a_majority_of_damaged_logs_does_not_go_on() {
    let (mut cluster, primary, replica) = with_replica_down(small_segments());
    let other = (primary + 2) % 3;
    assert!(cluster.nodes[other].terminate().success());
    for at in [replica, other] {
        damage_a_sealed_segment(&cluster.nodes[at]);
        cluster.nodes[at].spawn();
    }
    for at in [replica, other] {
        wait_for("it says that it can't join", LIMIT, || {
            cluster.nodes[at].log().contains("so many members have lost their logs").then_some(())
        });
        assert!(!cluster.nodes[at].log().contains("this node knows again"));
    }
}

#[test]
fn a_repair_can_be_forbidden() {
    let (mut cluster, _, replica) = with_replica_down(small_segments().flag("repair-from-peers", "no"));
    damage_a_sealed_segment(&cluster.nodes[replica]);
    cluster.nodes[replica].spawn();
    assert!(!cluster.nodes[replica].wait_for_exit().success());
    assert!(!cluster.nodes[replica].data().join("damaged-log").exists());
}

/// Puts a link to itself in a file's place: it can't be opened, and that says nothing of what was written.
fn put_out_of_reach(path: &Path, kept: &Path) {
    fs::rename(path, kept).expect("it is there");
    std::os::unix::fs::symlink(path, path).expect("a link to itself can be made");
}

/// Too many open files, no permission: whatever keeps files from being opened, a member's log and checkpoints stay what they are.
#[test]
fn files_that_cannot_be_opened_end_the_start_and_change_nothing() {
    let (mut cluster, primary, replica) = with_checkpointed_replica_down(small_segments());
    let dir = cluster.nodes[replica].data();
    let segment = segments(&dir)[0].clone();
    let shelf = Shelf::at(&dir.join("checkpoints"));
    let newest = shelf.list().expect("it can be listed").pop().expect("there is one");
    let table = shelf.path(newest).join("CURRENT");
    for path in [&segment, &table] {
        let kept = dir.with_extension("kept");
        put_out_of_reach(path, &kept);
        let node = &mut cluster.nodes[replica];
        let before = node.log().len();
        node.spawn();
        assert!(!node.wait_for_exit().success());
        let said = node.log().split_off(before);
        let name = path.file_name().expect("a file").to_string_lossy();
        assert!(said.contains(&*name), "it names {name}: {said}");
        assert_eq!(perdura::data_folder::set_aside(&dir), Vec::<PathBuf>::new(), "{said}");
        fs::rename(&kept, path).expect("it is there");
    }
    cluster.nodes[replica].restart();
    cluster.agreed_digest();
    check_that_it_counts(cluster, primary);
}
