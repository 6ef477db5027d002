//! What a backup says of itself is true: every moment that it offers can be restored, nothing that it counts on is missing, and what it
//! holds is for its owner only.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use perdura_testkit::clock::{unix_ms, wait_for};
use perdura_testkit::{Cluster, Node, Signal};

use crate::backups::{LIMIT, assert_good, folder, repository, shipping, wait_until_shipped};
use crate::checkpoints::checkpoint;
use crate::point_in_time::{Place, ask, last_write, run, utc_text, write};
use crate::restarts::digest;
use crate::{backups, perdura};

/// A lease lasts for less: with the usual ticks it is under half a second.
const LONGEST_LEASE_MS: i64 = 1000;

/// This moment, once it is over: nothing that is written from now on has its timestamp.
fn a_moment() -> i64 {
    let moment = unix_ms();
    wait_for("time passes", LIMIT, || (unix_ms() > moment + 1).then_some(()));
    moment
}

fn restored_last_write(place: &Place, scratch: &Path, target: &[&str]) -> u64 {
    let (dir, _) = place.restore(scratch, target);
    last_write(&perdura().flag("dir", dir.display()).start())
}

fn latest_ms(node: &Node) -> i64 {
    node.client().info_number("perdura_backup_latest_restorable_ms") as i64
}

#[test]
fn restore_to_time_before_a_kill_ends_before_what_was_written_later() {
    let scratch = tempfile::tempdir().expect("a temporary folder");
    let place = folder(scratch.path());
    let mut node = shipping(&place).start();
    write(&mut node.client(), 1..101);
    wait_until_shipped(&node);
    let moment = a_moment();
    write(&mut node.client(), 101..151);
    wait_until_shipped(&node);
    node.kill();
    node.restart();
    wait_until_shipped(&node);
    assert_eq!(restored_last_write(&place, scratch.path(), &["--to-time", &utc_text(moment)]), 100);
    assert_eq!(restored_last_write(&place, scratch.path(), &[]), 150);
}

#[test]
fn restore_to_time_after_the_last_write_of_an_idle_database_gives_that_write() {
    let scratch = tempfile::tempdir().expect("a temporary folder");
    let place = folder(scratch.path());
    let node = shipping(&place).start();
    write(&mut node.client(), 1..101);
    wait_until_shipped(&node);
    let moment = a_moment();
    wait_for("the backup knows that nothing was written", LIMIT, || {
        (latest_ms(&node) >= moment).then_some(())
    });
    let listed = ask(&place.with(&["backup", "list"], "--at"), &[]);
    let latest = listed["latest_restorable_time"].as_str().expect("there is one");
    assert!(latest >= &utc_text(moment)[..], "{listed}");
    assert_eq!(restored_last_write(&place, scratch.path(), &["--to-time", &utc_text(moment)]), 100);
    let target = scratch.path().join("future").display().to_string();
    let future = utc_text(moment + 3_600_000);
    let (code, said) = run(&place.with(&["restore", "--dir", &target, "--to-time", &future], "--from"), &[]);
    assert!(code == Some(2) && said.contains("is not in the backup"), "{said}");
}

#[test]
fn a_stale_primary_does_not_say_that_nothing_was_written() {
    let scratch = tempfile::tempdir().expect("a temporary folder");
    let place = folder(scratch.path());
    let cluster = Cluster::start_with(shipping(&place).flag("backup-interval-ms", 10));
    let primary = cluster.primary();
    write(&mut cluster.client(primary), 1..101);
    wait_until_shipped(&cluster.nodes[primary]);
    let moment = a_moment();
    wait_for("the backup knows that nothing was written", LIMIT, || {
        (latest_ms(&cluster.nodes[primary]) >= moment).then_some(())
    });
    let others: Vec<&Node> =
        cluster.nodes.iter().enumerate().filter(|(at, _)| *at != primary).map(|(_, node)| node).collect();
    others.iter().for_each(|node| node.signal(Signal::STOP));
    let stopped_ms = unix_ms();
    wait_for("the primary steps down", LIMIT, || {
        (cluster.client(primary).info_number("perdura_backup_shipping") == 0).then_some(())
    });
    let latest = latest_ms(&cluster.nodes[primary]);
    others.iter().for_each(|node| node.signal(Signal::CONT));
    assert!(latest <= stopped_ms + LONGEST_LEASE_MS, "{latest} after {stopped_ms}");
    let heir = cluster.primary();
    write(&mut cluster.client(heir), 101..151);
    wait_until_shipped(&cluster.nodes[heir]);
    assert_good(&place);
    assert_eq!(restored_last_write(&place, scratch.path(), &["--to-time", &utc_text(moment)]), 100);
}

#[test]
fn a_checkpoint_that_lost_pieces_in_the_backup_is_stored_again_after_a_kill() {
    let scratch = tempfile::tempdir().expect("a temporary folder");
    let place = folder(scratch.path());
    let mut node = shipping(&place).flag("backup-checkpoint-seconds", 1).start();
    write(&mut node.client(), 1..2000);
    let index = checkpoint(&node);
    wait_for("the checkpoint is stored", LIMIT, || {
        (node.client().info_number("perdura_backup_checkpoint_index") >= index).then_some(())
    });
    wait_until_shipped(&node);
    node.kill();
    let files = repository(&place).join("files");
    let pieces = std::fs::read_dir(&files).expect("the backup is there");
    for piece in pieces.take(2) {
        std::fs::remove_file(piece.expect("it can be listed").path()).expect("it is there");
    }
    let (code, said) = run(&place.with(&["backup", "verify"], "--at"), &[]);
    assert!(code == Some(1) && said.contains("it is missing"), "{said}");
    node.restart();
    wait_for("the node has seen it", LIMIT, || node.log().contains("lacks pieces").then_some(()));
    wait_for("the pieces are stored again", LIMIT, || {
        (node.client().info_number("perdura_backup_missing_pieces") == 0).then_some(())
    });
    wait_until_shipped(&node);
    let pruned = ask(&place.with(&["backup", "prune", "--keep", "1", "--yes"], "--at"), &[]);
    assert_eq!(pruned["incomplete"], serde_json::json!([]), "{pruned}");
    assert_good(&place);
    assert_eq!(backups::restored_digest(&place, scratch.path()), digest(&node));
}

/// Names in a folder of the repository.
fn stored_names(place: &Place, folder: &str) -> BTreeSet<OsString> {
    let listed = std::fs::read_dir(repository(place).join(folder)).into_iter().flatten().flatten();
    listed.map(|entry| entry.file_name()).collect()
}

#[test]
fn a_kill_while_a_checkpoint_is_described_under_a_prune_leaves_whole_checkpoints() {
    let scratch = tempfile::tempdir().expect("a temporary folder");
    let place = folder(scratch.path());
    let mut node = shipping(&place).flag("backup-checkpoint-seconds", 1).start();
    let mut next = 1;
    for _ in 0..backups::rounds() {
        write(&mut node.client(), next..next + 400);
        next += 400;
        wait_until_shipped(&node);
        let before = stored_names(&place, "checkpoints");
        checkpoint(&node);
        let mut prunes = Vec::new();
        wait_for("the checkpoint is described", LIMIT, || {
            if prunes.len() < 4 {
                prunes
                    .push(backups::start(&place.with(&["backup", "prune", "--keep", "1", "--yes"], "--at")));
            }
            let described = ["storing", "checkpoints"].map(|folder| stored_names(&place, folder));
            described.iter().any(|names| !names.is_subset(&before)).then_some(())
        });
        node.kill();
        for mut prune in prunes {
            prune.wait().expect("our own child can be waited for");
        }
        assert_good(&place);
        node.restart();
    }
    wait_until_shipped(&node);
    ask(&place.with(&["backup", "prune", "--keep", "1", "--yes"], "--at"), &[]);
    assert_good(&place);
    assert_eq!(backups::restored_digest(&place, scratch.path()), digest(&node));
}

/// Everything below a folder whose mode lets others in.
fn open_to_others(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let metadata = std::fs::metadata(folder).expect("it is there");
    if metadata.permissions().mode() & 0o077 != 0 {
        found.push(folder.to_owned());
    }
    if metadata.is_dir() {
        for entry in std::fs::read_dir(folder).expect("it is ours") {
            found.extend(open_to_others(&entry.expect("it can be listed").path()));
        }
    }
    found
}

#[test]
fn log_lock_checkpoints_backups_and_restored_folders_are_their_owners_only() {
    let scratch = tempfile::tempdir().expect("a temporary folder");
    let place = folder(scratch.path());
    let dir = scratch.path().join("data");
    let node = shipping(&place).flag("dir", dir.display()).flag("backup-checkpoint-seconds", 1).start();
    write(&mut node.client(), 1..200);
    let index = checkpoint(&node);
    wait_for("the checkpoint is stored", LIMIT, || {
        (node.client().info_number("perdura_backup_checkpoint_index") >= index).then_some(())
    });
    wait_until_shipped(&node);
    assert!(dir.join("log/LOCK").exists() && dir.join("checkpoints").exists());
    let (restored, _) = place.restore(scratch.path(), &[]);
    for folder in [&dir, repository(&place), &restored] {
        let open = open_to_others(folder);
        assert!(open.is_empty(), "{open:?}");
    }
}

#[test]
fn verify_of_an_encrypted_backup_without_its_key_says_what_it_can_not_prove() {
    let scratch = tempfile::tempdir().expect("a temporary folder");
    let key_file = scratch.path().join("key");
    assert_eq!(run(&["backup", "create-key", &key_file.display().to_string()], &[]).0, Some(0));
    let place = Place { key_file: Some(key_file), ..folder(scratch.path()) };
    let node = shipping(&place).start();
    write(&mut node.client(), 1..200);
    wait_until_shipped(&node);
    let without = folder(scratch.path());
    let (code, said) = run(&without.with(&["backup", "verify"], "--at"), &[]);
    assert!(code == Some(4) && said.contains("a key file is needed to prove"), "{said}");
    assert!(said.contains("checksums are right") && said.contains("not forgery"), "{said}");
    let (code, said) = run(&without.with(&["backup", "verify", "--json"], "--at"), &[]);
    assert!(code == Some(4) && said.contains("\"unproven\":["), "{said}");
    assert_good(&place);
}
