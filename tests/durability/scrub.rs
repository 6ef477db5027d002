//! What a running node finds damaged when it reads its files again, and what it does about it.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use perdura::checkpoint::shelf::Shelf;
use perdura_testkit::clock::wait_for;
use perdura_testkit::{Node, NodeSpec};

use crate::checkpoints::checkpoint;
use crate::damage::{FIRST_BATCH, flip_byte, segments};
use crate::perdura;
use crate::restarts::{check, digest, fill};

const LIMIT: Duration = Duration::from_secs(60);

/// A node that takes no checkpoint by itself, and reads all that it has written again every second.
fn spec() -> NodeSpec {
    perdura()
        .flag("segment-bytes", "64kb")
        .flag("checkpoint-log-bytes", 0)
        .flag("checkpoint-seconds", 0)
        .flag("scrub-bytes-per-second", "100mb")
        .flag("scrub-seconds", 1)
}

fn shelf(node: &Node) -> Shelf {
    Shelf::at(&node.data().join("checkpoints"))
}

/// Has to be the same before and after.
fn two_checkpoints(node: &Node) -> [u64; 2] {
    fill(node);
    let first = checkpoint(node);
    node.client().check("SET between checkpoints", "+OK");
    [first, checkpoint(node)]
}

fn number(node: &Node, field: &str) -> u64 {
    let info = node.client().run("INFO persistence").text();
    let value = info.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
    value.and_then(|value| value.parse().ok()).expect("INFO tells a number")
}

fn wait_until_healed(node: &Node, file: &Path) {
    let name = file.file_name().expect("a file").to_string_lossy();
    wait_for("the damage is found", LIMIT, || (number(node, "perdura_damage_found") > 0).then_some(()));
    wait_for("it is healed", LIMIT, || {
        let busy = number(node, "perdura_damage_unhealed") + number(node, "rdb_bgsave_in_progress");
        (busy == 0).then_some(())
    });
    let log = node.log();
    let said = log.lines().find(|line| line.contains("DAMAGE in ")).expect("it says so");
    assert!(said.contains(&*name) && said.contains("expected"), "{said}");
    assert!(node.client().run("INFO persistence").text().contains(&*name));
}

fn check_after_restart(mut node: Node, expected: &str) {
    assert_eq!(digest(&node), expected);
    node.kill();
    let before = node.log().len();
    node.restart();
    assert_eq!(digest(&node), expected);
    check(&node);
    let log = node.log().split_off(before);
    // What was set aside is named, for people to remove.
    let mut lines = log.lines().filter(|line| !line.contains("these were set aside"));
    assert!(lines.all(|line| !line.contains("damaged")), "{log}");
}

/// A table that no other checkpoint has.
fn own_table(shelf: &Shelf, index: u64) -> PathBuf {
    let manifest = shelf.manifest(index).expect("a manifest");
    let tables = manifest.files.iter().map(|file| shelf.path(index).join(&file.name));
    let is_own = |path: &PathBuf| {
        let name = path.file_name().expect("a file");
        let others = shelf.list().expect("it can be listed").into_iter().filter(|other| *other != index);
        path.extension().is_some_and(|extension| extension == "sst")
            && !others.into_iter().any(|other| shelf.path(other).join(name).exists())
    };
    tables.clone().find(is_own).or_else(|| tables.clone().next()).expect("it has files")
}

#[test]
fn a_damaged_newest_checkpoint_is_replaced_from_memory() {
    let node = spec().start();
    let [_, newest] = two_checkpoints(&node);
    let expected = digest(&node);
    let table = own_table(&shelf(&node), newest);
    flip_byte(&table, 30);
    wait_until_healed(&node, &table);
    let shelf = shelf(&node);
    for index in shelf.list().expect("it can be listed") {
        shelf.verify(index, |_| {}).expect("all that is left is whole");
    }
    let healed = *shelf.list().expect("it can be listed").last().expect("there is one");
    assert!(healed >= newest && shelf.manifest(healed).expect("a manifest").keys() > 10);
    let aside = node.data().join(format!("checkpoints/damaged-{newest:020}"));
    assert!(aside.exists());
    check_after_restart(node, &expected);
}

/// Its tables are part of the newest as well: no file of either is used for the one that follows.
#[test]
fn a_damaged_table_that_checkpoints_share_is_replaced_in_all_of_them() {
    let node = spec().start();
    let indexes = two_checkpoints(&node);
    let expected = digest(&node);
    let shelf = shelf(&node);
    let is_shared = |name: &&String| {
        name.ends_with(".sst") && indexes.iter().all(|index| shelf.path(*index).join(name).exists())
    };
    let manifest = shelf.manifest(indexes[0]).expect("a manifest");
    let name = manifest.files.iter().map(|file| &file.name).find(is_shared).expect("a shared table");
    let table = shelf.path(indexes[0]).join(name);
    flip_byte(&table, 30);
    wait_until_healed(&node, &table);
    let left = shelf.list().expect("it can be listed");
    assert!(!left.contains(&indexes[0]) && !left.is_empty(), "{left:?}");
    for index in left {
        shelf.verify(index, |_| {}).expect("all that is left is whole");
    }
    check_after_restart(node, &expected);
}

#[test]
fn the_log_is_cut_behind_a_damaged_segment() {
    let node = spec().start();
    fill(&node);
    let expected = digest(&node);
    let segments = segments(&node.data());
    let damaged = &segments[segments.len() / 2 - 1];
    flip_byte(damaged, FIRST_BATCH);
    wait_until_healed(&node, damaged);
    assert!(number(&node, "perdura_checkpoint_index") > 0, "there was none to cut behind");
    check_after_restart(node, &expected);
}

/// What a start does not read is read right after it, however seldom everything is.
#[test]
fn an_older_checkpoint_is_checked_soon_after_a_start() {
    let mut node = spec().flag("scrub-seconds", 86_400).start();
    let [older, _] = two_checkpoints(&node);
    let expected = digest(&node);
    node.kill();
    let manifest = shelf(&node).path(older).join("MANIFEST.perdura");
    flip_byte(&manifest, 300);
    node.restart();
    wait_until_healed(&node, &manifest);
    assert_eq!(shelf(&node).list().expect("it can be listed").len(), 1);
    check_after_restart(node, &expected);
}

#[test]
fn nothing_is_found_where_nothing_is_damaged() {
    let node = spec().start();
    for _ in 0..3 {
        two_checkpoints(&node);
        let passes = number(&node, "perdura_scrub_passes");
        wait_for("two passes", LIMIT, || (number(&node, "perdura_scrub_passes") >= passes + 2).then_some(()));
        node.client().check("FLUSHALL", "+OK");
    }
    assert!(number(&node, "perdura_scrub_bytes") > 0);
    assert_eq!(number(&node, "perdura_damage_found"), 0);
    assert!(fs::read_dir(node.data()).expect("a folder").count() >= 2);
}
