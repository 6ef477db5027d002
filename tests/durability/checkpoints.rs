//! Checkpoints on the real binary: a restart from one, what a damaged one falls back to, and the log that is cut behind them.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use perdura_testkit::Node;
use perdura_testkit::clock::wait_for;

use crate::perdura;
use crate::restarts::{check, digest, fill};

const CHECKPOINT_LIMIT: Duration = Duration::from_secs(30);

/// Takes a checkpoint and returns its index.
pub fn checkpoint(node: &Node) -> u64 {
    wait_for("a checkpoint begins", CHECKPOINT_LIMIT, || {
        // The node may be taking one for its backup.
        match &node.client().run("BGSAVE").to_string()[..] {
            "+Background saving started" => Some(()),
            "-ERR Background save already in progress" => None,
            other => panic!("{other}"),
        }
    });
    wait_for("the checkpoint is published", CHECKPOINT_LIMIT, || {
        (node.client().info_number("rdb_bgsave_in_progress") == 0).then_some(())
    });
    node.client().info_number("perdura_checkpoint_index")
}

fn published(node: &Node) -> Vec<PathBuf> {
    let entries = fs::read_dir(node.data().join("checkpoints")).expect("the folder is there");
    let paths = entries.map(|entry| entry.expect("it can be listed").path());
    let is_published = |path: &PathBuf| {
        path.file_name().is_some_and(|name| name.to_string_lossy().bytes().all(|byte| byte.is_ascii_digit()))
    };
    let mut published: Vec<PathBuf> = paths.filter(is_published).collect();
    published.sort();
    published
}

fn segments(node: &Node) -> usize {
    let entries = fs::read_dir(node.data().join("log")).expect("the folder is there");
    entries
        .filter(|entry| {
            entry.as_ref().is_ok_and(|entry| entry.path().extension().is_some_and(|e| e == "wal"))
        })
        .count()
}

/// Changes of every kind after what `fill` did, without an effect on what `check` looks for.
fn change(node: &Node, round: u32) {
    let mut client = node.client();
    for line in [
        format!("SET new:{round} {round}"),
        "SELECT 3".to_owned(),
        "FLUSHDB".to_owned(),
        format!("RPUSH again {round} 2 3"),
        "SWAPDB 3 4".to_owned(),
        "SELECT 0".to_owned(),
        format!("HSET more a {round} b {round}"),
        "HDEL more a".to_owned(),
        "DEL new:0".to_owned(),
    ] {
        let reply = client.run(&line);
        assert!(!reply.is_error(), "{line}: {reply}");
    }
}

#[test]
fn a_node_comes_back_from_a_checkpoint_and_the_log_behind_it() {
    let mut node = perdura().start();
    fill(&node);
    for round in 0..4 {
        let index = checkpoint(&node);
        change(&node, round);
        let before = digest(&node);
        node.kill();
        node.restart();
        check(&node);
        assert_eq!(digest(&node), before, "round {round}");
        assert_eq!(node.client().info_number("perdura_checkpoint_index"), index);
        assert!(node.log().contains(&format!("loading a checkpoint index={index} ")), "{}", node.log());
    }
    assert_eq!(published(&node).len(), 2);
}

#[test]
fn nothing_new_makes_no_new_checkpoint() {
    let node = perdura().start();
    fill(&node);
    let first = checkpoint(&node);
    assert_eq!(checkpoint(&node), first);
    assert_eq!(published(&node).len(), 1);
}

#[test]
fn the_log_is_cut_behind_the_oldest_checkpoint() {
    let mut node = perdura().flag("segment-bytes", "64kb").start();
    let value = "x".repeat(1000);
    let write = |node: &Node| {
        let mut client = node.client();
        (0..500).for_each(|n| client.check(&format!("SET key:{n} {value}"), "+OK"));
    };
    for _ in 0..4 {
        write(&node);
        checkpoint(&node);
    }
    // Two checkpoints are kept; between them lie 500 entries of 1 KB.
    wait_for("the log is cut", CHECKPOINT_LIMIT, || (segments(&node) < 14).then_some(()));
    let before = digest(&node);
    node.kill();
    node.restart();
    assert_eq!(digest(&node), before);
    node.client().check("DBSIZE", ":500");
}

#[test]
fn a_damaged_checkpoint_falls_back_to_the_one_before_loudly() {
    let mut node = perdura().start();
    fill(&node);
    let first = checkpoint(&node);
    change(&node, 1);
    let second = checkpoint(&node);
    change(&node, 2);
    let before = digest(&node);
    node.kill();
    let newest = published(&node).pop().expect("there are two");
    let manifest = newest.join("MANIFEST.perdura");
    let mut bytes = fs::read(&manifest).expect("it has a manifest");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&manifest, bytes).expect("it can be damaged");
    node.restart();
    let log = node.log();
    assert!(log.contains("a checkpoint is damaged") && log.contains("MANIFEST.perdura"), "{log}");
    assert!(log.contains(&format!("loading a checkpoint index={first} ")), "{first} or {second}? {log}");
    assert_eq!(digest(&node), before);
    check(&node);
    change(&node, 3);
    assert!(checkpoint(&node) > second);
}

#[test]
fn without_a_checkpoint_that_reaches_the_log_a_node_does_not_start() {
    let mut node = perdura().flag("segment-bytes", "64kb").flag("checkpoints-kept", 1).start();
    fill(&node);
    checkpoint(&node);
    wait_for("the log is cut", CHECKPOINT_LIMIT, || (segments(&node) < 14).then_some(()));
    node.kill();
    fs::remove_dir_all(node.data().join("checkpoints")).expect("it can be lost");
    node.spawn();
    assert!(!node.wait_for_exit().success());
    assert!(node.log().contains("entries are missing"), "{}", node.log());
}

#[test]
fn a_checkpoint_is_taken_by_the_command_line() {
    let node = perdura().start();
    fill(&node);
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_perdura"))
        .args(["checkpoint", "now", "--json", "--addr", &node.addr().to_string()])
        .output()
        .expect("the program runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.contains("\"keys\":12") && text.contains("\"index\":"), "{text}");
    assert_eq!(published(&node).len(), 1);
}
