//! `perdura recover`: the way out where a group, or a log, can't go on. What the folder holds is there afterwards, what is missing
//! is said, and what was there before is kept.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};
use std::time::Duration;

use perdura_testkit::clock::wait_for;
use perdura_testkit::{Cluster, Node};
use serde_json::Value;

use crate::checkpoints::checkpoint;
use crate::damage::{FIRST_BATCH, flip_byte, segments};
use crate::perdura;
use crate::restarts::{check, digest, fill};

const LIMIT: Duration = Duration::from_secs(20);

fn run(dir: &Path, args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_perdura"));
    command.arg("recover").arg("--dir").arg(dir).args(args).env_remove("PERDURA_CONFIG");
    command.output().expect("the program can be run")
}

fn said(output: &Output) -> String {
    [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes)).concat()
}

fn recover(dir: &Path, args: &[&str]) -> Value {
    let output = run(dir, &[args, &["--yes", "--json"]].concat());
    assert!(output.status.success(), "{args:?}: {}", said(&output));
    serde_json::from_slice(&output.stdout).expect("it prints JSON")
}

fn copy(from: &Path, to: &Path) {
    if to.exists() {
        fs::remove_dir_all(to).expect("it can be removed");
    }
    assert!(Command::new("cp").arg("-a").arg(from).arg(to).status().expect("cp can be run").success());
}

/// Flags that make a folder the node of the group that it runs in.
fn membership(node: &Node) -> Vec<String> {
    ["node-id", "initial-cluster"]
        .iter()
        .flat_map(|name| [format!("--{name}"), node.flag(name).expect("a member has it").to_owned()])
        .collect()
}

/// A group whose members are down; two of them have lost their folders.
fn two_folders_lost() -> (Cluster, usize, String) {
    let mut cluster = Cluster::start_with(perdura());
    let primary = cluster.primary();
    fill(&cluster.nodes[primary]);
    let expected = cluster.agreed_digest();
    cluster.nodes.iter_mut().for_each(Node::kill);
    let survivor = (primary + 1) % 3;
    for at in (0..3).filter(|at| *at != survivor) {
        fs::remove_dir_all(cluster.nodes[at].data()).expect("it can be removed");
    }
    (cluster, survivor, expected)
}

#[test]
fn a_group_that_lost_two_folders_of_three_begins_again_from_the_third() {
    let (mut cluster, survivor, expected) = two_folders_lost();
    let dir = cluster.nodes[survivor].data();
    let text = said(&run(&dir, &["--force-new-cluster", "--dry-run"]));
    assert!(
        text.contains("other members of the old group") && text.contains("nothing was changed"),
        "{text}"
    );
    // The same folder on each machine; each becomes another node.
    for at in (0..3).filter(|at| *at != survivor) {
        copy(&dir, &cluster.nodes[at].data());
    }
    let old = dir.with_extension("old");
    copy(&dir, &old);
    let mut names = Vec::new();
    for node in &cluster.nodes {
        let flags = membership(node);
        let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
        let answer = recover(&node.data(), &[&["--force-new-cluster"], &flags[..]].concat());
        assert_eq!(answer["done"], true);
        names.push(answer["cluster_name"].as_str().expect("a name").to_owned());
        assert!(node.data().join("before-recovery-1/log").is_dir(), "the old log is kept");
    }
    assert!(names.iter().all(|name| *name == names[0]), "{names:?}");
    cluster.nodes.iter_mut().for_each(Node::spawn);
    cluster.nodes.iter_mut().for_each(Node::wait_until_it_answers);
    let primary = cluster.primary();
    check(&cluster.nodes[primary]);
    assert_eq!(cluster.agreed_digest(), expected);
    cluster.client(primary).check("SET after recovery", "+OK");
    cluster.agreed_digest();
    // It is a group like any other: it does without its primary.
    cluster.nodes[primary].kill();
    let next = cluster.primary();
    cluster.client(next).check("GET after", "recovery");
    // And it takes back a member with an empty folder.
    let lost = &mut cluster.nodes[primary];
    fs::remove_dir_all(lost.data()).expect("it can be removed");
    lost.spawn();
    wait_for("the member knows everything again", LIMIT, || {
        lost.log().contains("this node knows again").then_some(())
    });
    // One of the old group is a stranger.
    let stranger = &mut cluster.nodes[survivor];
    stranger.kill();
    copy(&old, &stranger.data());
    stranger.spawn();
    wait_for("the old member and the new group refuse each other", LIMIT, || {
        stranger.log().contains("it belongs to cluster").then_some(())
    });
}

#[test]
fn a_survivor_can_go_on_alone() {
    let (cluster, survivor, expected) = two_folders_lost();
    let dir = cluster.nodes[survivor].data();
    let answer = recover(&dir, &["--force-new-cluster"]);
    assert_eq!(answer["damage"], Value::Array(Vec::new()));
    let node = perdura().flag("dir", dir.display()).start();
    check(&node);
    assert_eq!(digest(&node), expected);
    node.client().check("SET after recovery", "+OK");
    assert_eq!(node.client().info_number("perdura_set_aside"), 1);
}

/// Two checkpoints and writes after each, stopped.
fn stopped_with_checkpoints() -> Node {
    let mut node = perdura().flag("segment-bytes", "64kb").start();
    for round in 0..3 {
        let mut client = node.client();
        for n in 0..100 {
            client.check(&format!("SET key:{round}:{n} {}", "v".repeat(1000)), "+OK");
        }
        client.check(&format!("SET round {round}"), "+OK");
        if round < 2 {
            checkpoint(&node);
        }
    }
    assert!(node.terminate().success());
    node
}

fn last_index(node: &Node) -> u64 {
    let status = Command::new(env!("CARGO_BIN_EXE_perdura"))
        .args(["log", "status", "--json", "--dir"])
        .arg(node.data())
        .output()
        .expect("the program can be run");
    let status: Value = serde_json::from_slice(&status.stdout).expect("it prints JSON");
    status["last_index"].as_u64().expect("a number")
}

#[test]
fn a_log_ends_before_an_entry_that_no_machine_can_replay() {
    let mut node = stopped_with_checkpoints();
    let last = last_index(&node);
    let text = said(&run(&node.data(), &["--end-before", &last.to_string(), "--dry-run"]));
    assert!(text.contains(&format!("entries {last} to {last}, which --end-before takes out")), "{text}");
    // What was there before is kept, and can be gone back to.
    let kept = node.data().with_extension("kept");
    copy(&node.data(), &kept);
    recover(&node.data(), &["--end-before", &last.to_string()]);
    node.restart();
    let mut client = node.client();
    client.check("GET round", "1");
    client.check("STRLEN key:2:99", ":1000");
    client.check("SET round 5", "+OK");
    node.kill();
    node.restart();
    node.client().check("GET round", "5");
    assert!(node.data().join("before-recovery-1/log").is_dir());
}

/// Checkpoints hold what is taken out: an older one is begun with, and they are kept aside.
#[test]
fn checkpoints_after_the_end_are_kept_aside() {
    let mut node = stopped_with_checkpoints();
    let shelf = perdura::checkpoint::shelf::Shelf::at(&node.data().join("checkpoints"));
    let checkpoints = shelf.list().expect("it can be listed");
    assert_eq!(checkpoints.len(), 2, "{checkpoints:?}");
    let answer = recover(&node.data(), &["--end-before", &checkpoints[1].to_string()]);
    assert_eq!(answer["checkpoint"].as_u64(), Some(checkpoints[0]));
    assert_eq!(answer["checkpoints_kept_aside"].as_array().map(Vec::len), Some(1));
    node.restart();
    node.client().check("GET round", "0");
    node.client().check("EXISTS key:1:98 key:2:1", ":1");
    let kept = node.data().join("before-recovery-1/checkpoints");
    assert_eq!(fs::read_dir(kept).expect("it is there").count(), 1);
}

#[test]
fn what_precedes_damage_is_saved_and_the_rest_is_named() {
    let mut node = stopped_with_checkpoints();
    let segments = segments(&node.data());
    let damaged = &segments[segments.len() - 2];
    flip_byte(damaged, FIRST_BATCH);
    node.spawn();
    assert!(!node.wait_for_exit().success(), "it is damage to what is needed");
    let name = damaged.file_name().expect("a name").to_string_lossy().into_owned();
    let text = said(&run(&node.data(), &["--force-new-cluster", "--dry-run"]));
    assert!(text.contains(&name) && text.contains("which the damage hides"), "{text}");
    let answer = recover(&node.data(), &["--force-new-cluster"]);
    assert!(answer["old_last_index"].as_u64() > answer["index"].as_u64(), "{answer}");
    node.restart();
    let mut client = node.client();
    client.check("GET round", "1");
    client.check("STRLEN key:1:99", ":1000");
    client.check("EXISTS key:2:99", ":0");
    client.check("SET after damage", "+OK");
}

#[test]
fn nothing_is_recovered_unasked_or_under_a_running_node() {
    let mut node = perdura().start();
    node.client().check("SET k v", "+OK");
    let output = run(&node.data(), &["--force-new-cluster", "--yes"]);
    assert_eq!(output.status.code(), Some(3), "{}", said(&output));
    assert!(node.terminate().success());
    for args in [&[][..], &["--force-new-cluster"], &["--end-before", "900", "--yes"]] {
        let output = run(&node.data(), args);
        assert_eq!(output.status.code(), Some(2), "{args:?}: {}", said(&output));
    }
    node.restart();
    node.client().check("GET k", "v");
    assert!(!node.data().join("cluster-name").exists());
}

/// A crash between any two steps: the node does not start, and the next run begins with what was there.
#[test]
fn an_interrupted_recovery_is_put_back_and_run_again() {
    let mut node = stopped_with_checkpoints();
    let (dir, last) = (node.data(), last_index(&node));
    // As it is after the old log was moved, and before the new one took its place.
    fs::create_dir_all(dir.join("before-recovery-1")).expect("it can be made");
    fs::rename(dir.join("log"), dir.join("before-recovery-1/log")).expect("it is there");
    fs::create_dir(dir.join("log-recovering")).expect("it can be made");
    fs::write(dir.join("RECOVERING"), "before-recovery-1\n").expect("it can be written");
    node.spawn();
    assert!(!node.wait_for_exit().success());
    assert!(node.log().contains("a recovery was begun here"), "{}", node.log());
    recover(&dir, &["--end-before", &last.to_string()]);
    node.restart();
    node.client().check("GET round", "1");
    assert!(dir.join("before-recovery-1/log").is_dir() && !dir.join("RECOVERING").exists());
}

/// `rm -r log`: the checkpoint is all that is left.
#[test]
fn checkpoint_is_recovered_where_the_log_is_gone() {
    let mut node = stopped_with_checkpoints();
    let dir = node.data();
    let shelf = perdura::checkpoint::shelf::Shelf::at(&dir.join("checkpoints"));
    let checkpoints = shelf.list().expect("it can be listed");
    let oldest = checkpoints[0];
    fs::remove_dir_all(dir.join("log")).expect("it is there");
    // Nothing ends before the oldest checkpoint, and the message says what there is.
    let output = run(&dir, &["--end-before", &oldest.to_string(), "--dry-run"]);
    let text = said(&output);
    assert!(output.status.code() == Some(4) && text.contains(&format!("before entry {oldest}")), "{text}");
    assert!(text.contains(&oldest.to_string()) && text.contains("--to-index"), "{text}");
    let text = said(&run(&dir, &["--force-new-cluster", "--dry-run"]));
    assert!(text.contains("nothing after the checkpoint can be read"), "{text}");
    assert!(!dir.join("log").exists(), "nothing was changed");
    let answer = recover(&dir, &["--force-new-cluster"]);
    assert_eq!(answer["checkpoint"].as_u64(), checkpoints.last().copied());
    node.restart();
    node.client().check("GET round", "1");
    node.client().check("SET round 7", "+OK");
    node.kill();
    node.restart();
    node.client().check("GET round", "7");
}
