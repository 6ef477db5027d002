//! Backups tell the truth about their place: one that goes away is missed, one that comes back gets what it lacks, and nothing is
//! begun in its stead.

use std::fs;
use std::path::{Path, PathBuf};

use perdura_testkit::clock::wait_for;
use perdura_testkit::{Cluster, Node};

use crate::backups::{LIMIT, assert_good, folder, repository, restored_digest, shipping, wait_until_shipped};
use crate::checkpoints::checkpoint;
use crate::perdura;
use crate::point_in_time::{Place, ask, run, write};
use crate::restarts::digest;

fn failures(node: &Node) -> u64 {
    node.client().info_number("perdura_backup_failures")
}

fn info(node: &Node, field: &str) -> u64 {
    node.client().info_number(field)
}

fn wait_for_another_failure(node: &Node) {
    let before = failures(node);
    wait_for("the place is missed", LIMIT, || (failures(node) > before).then_some(()));
}

/// Takes the backup's disk away; its mount point stays.
fn unmount(place: &Place) -> PathBuf {
    let away = repository(place).with_extension("away");
    fs::rename(repository(place), &away).expect("it is there");
    fs::create_dir(repository(place)).expect("it is away");
    away
}

fn mount(place: &Place, away: &Path) {
    fs::remove_dir(repository(place)).expect("nothing was written to it");
    fs::rename(away, repository(place)).expect("it is there");
}

fn json(place: &Place, words: &[&str]) -> serde_json::Value {
    let (_, said) = run(&[&place.with(words, "--at")[..], &["--json"]].concat(), &place.variables);
    serde_json::from_str(&said).unwrap_or_else(|error| panic!("{error}: {said}"))
}

#[test]
fn an_empty_mount_point_in_place_of_the_backup_is_not_filled_and_the_gap_is_shipped_later() {
    let scratch = tempfile::tempdir().expect("a temporary folder");
    let place = folder(scratch.path());
    let mut node = shipping(&place).start();
    write(&mut node.client(), 1..200);
    wait_until_shipped(&node);
    let away = unmount(&place);
    write(&mut node.client(), 200..400);
    wait_for_another_failure(&node);
    wait_for("the lag grows", LIMIT, || (info(&node, "perdura_backup_lag_seconds") > 0).then_some(()));
    assert!(node.log().contains("mount its disk"), "{}", node.log());
    // A start does not begin another one either.
    node.kill();
    node.restart();
    write(&mut node.client(), 400..500);
    wait_for_another_failure(&node);
    mount(&place, &away);
    wait_until_shipped(&node);
    assert_good(&place);
    assert_eq!(restored_digest(&place, scratch.path()), digest(&node));
    wait_for("nothing is missing", LIMIT, || {
        (info(&node, "perdura_backup_gap_entries") == 0 && info(&node, "perdura_backup_lag_seconds") == 0)
            .then_some(())
    });
    let listed = json(&place, &["backup", "list"]);
    assert_eq!(listed["restorable"].as_array().map(Vec::len), Some(1), "{listed}");
}

#[test]
fn a_group_whose_backup_went_away_goes_on_with_it_after_a_failover() {
    let scratch = tempfile::tempdir().expect("a temporary folder");
    let place = folder(scratch.path());
    let mut cluster = Cluster::start_with(shipping(&place));
    let primary = cluster.primary();
    write(&mut cluster.client(primary), 1..200);
    wait_until_shipped(&cluster.nodes[primary]);
    // Each has seen the backup once.
    for node in &cluster.nodes {
        wait_for("it has seen the backup", LIMIT, || node.log().contains("backups go here").then_some(()));
    }
    let away = unmount(&place);
    write(&mut cluster.client(primary), 200..300);
    cluster.nodes[primary].kill();
    let heir = cluster.primary();
    write(&mut cluster.client(heir), 300..400);
    wait_for_another_failure(&cluster.nodes[heir]);
    mount(&place, &away);
    wait_until_shipped(&cluster.nodes[heir]);
    assert_good(&place);
    assert_eq!(restored_digest(&place, scratch.path()), digest(&cluster.nodes[heir]));
}

#[test]
fn a_deleted_header_comes_back_and_a_deleted_backup_is_begun_by_an_operator_only() {
    let scratch = tempfile::tempdir().expect("a temporary folder");
    let place = folder(scratch.path());
    let node = shipping(&place).start();
    write(&mut node.client(), 1..100);
    checkpoint(&node);
    wait_until_shipped(&node);
    let headers = ["HEADER.perdura", "HEADER-COPY.perdura"].map(|name| repository(&place).join(name));
    fs::remove_file(&headers[0]).expect("it is there");
    wait_for("the header is back", LIMIT, || headers[0].exists().then_some(()));
    assert_eq!(failures(&node), 0, "{}", node.log());
    // All of it goes at once, as far as the node can see, and while it writes nothing.
    wait_for("the checkpoint is stored", LIMIT, || {
        (info(&node, "perdura_backup_checkpoint_index") > 0).then_some(())
    });
    fs::remove_dir_all(unmount(&place)).expect("it is there");
    write(&mut node.client(), 100..200);
    wait_for_another_failure(&node);
    assert_eq!(fs::read_dir(repository(&place)).expect("it is there").count(), 0);
    let addr = node.addr().to_string();
    let (code, said) = run(&place.with(&["backup", "create", "--addr", &addr], "--to"), &[]);
    assert!(code == Some(4) && said.contains("perdura backup init"), "{said}");
    let init = place.with(&["backup", "init", "--addr", &addr], "--at");
    assert_eq!(ask(&init, &[])["existed"], false);
    assert_eq!(ask(&init, &[])["existed"], true);
    wait_until_shipped(&node);
    assert_good(&place);
    assert_eq!(restored_digest(&place, scratch.path()), digest(&node));
}

#[test]
fn what_the_log_lost_while_the_backup_was_away_is_counted_as_a_gap() {
    let scratch = tempfile::tempdir().expect("a temporary folder");
    let place = folder(scratch.path());
    let spec = shipping(&place).flag("segment-bytes", "64kb").flag("backup-log-keep-bytes", "128kb");
    let node = spec.flag("checkpoints-kept", 1).start();
    let value = "v".repeat(1000);
    let fill = |count: u64| {
        let mut client = node.client();
        (0..count).for_each(|n| client.check(&format!("SET filler:{n} {value}"), "+OK"));
    };
    fill(50);
    wait_until_shipped(&node);
    let shipped = info(&node, "perdura_backup_shipped_index");
    let away = unmount(&place);
    wait_for_another_failure(&node);
    fill(500);
    checkpoint(&node);
    let first_index = || info(&node, "perdura_first_index");
    wait_for("the log is cut", LIMIT, || (first_index() > shipped + 1).then_some(()));
    let gap = || info(&node, "perdura_backup_gap_entries");
    wait_for("the gap is told while the place is away", LIMIT, || (gap() > 0).then_some(()));
    mount(&place, &away);
    wait_until_shipped(&node);
    wait_for("the backup is whole again but for the gap", LIMIT, || {
        let listed = json(&place, &["backup", "list"]);
        let row = &listed["gaps"][0];
        let entries = row["last_index"].as_u64()? + 1 - row["first_index"].as_u64()?;
        (entries == gap()).then_some(())
    });
    let (code, said) = run(&place.with(&["backup", "list"], "--at"), &[]);
    assert!(code == Some(1) && said.contains("MISSING"), "{said}");
    assert_eq!(restored_digest(&place, scratch.path()), digest(&node));
}

/// Two of three members ship to another place, and the third leads again when the group's log no longer reaches back to its place.
#[test]
fn a_place_that_most_of_a_group_has_left_says_what_it_lacks_and_the_new_one_is_whole() {
    let scratch = tempfile::tempdir().expect("a temporary folder");
    let left = folder(scratch.path());
    let new = Place { url: format!("{}-2", left.url), key_file: None, variables: Vec::new() };
    let spec = shipping(&left).flag("segment-bytes", "64kb").flag("backup-log-keep-bytes", "128kb");
    let mut cluster = Cluster::start_with(spec.flag("checkpoints-kept", 1).flag("log-keep-bytes", 0));
    let third = cluster.replica();
    write(&mut cluster.client(third), 1..200);
    wait_until_shipped(&cluster.nodes[cluster.primary()]);
    let movers: Vec<usize> = (0..3).filter(|at| *at != third).collect();
    for &at in &movers {
        cluster.nodes[at].set_flag("backup-to", &new.url);
        cluster.nodes[at].terminate();
        cluster.nodes[at].restart();
        cluster.primary();
    }
    hand_over(&cluster, movers[0]);
    wait_until_shipped(&cluster.nodes[movers[0]]);
    let kept =
        json(&left, &["backup", "list"])["restorable"][0]["last_index"].as_u64().expect("it was shipped to");
    let value = "v".repeat(1000);
    let mut client = cluster.client(movers[0]);
    (0..500).for_each(|n| client.check(&format!("SET filler:{n} {value}"), "+OK"));
    wait_until_shipped(&cluster.nodes[movers[0]]);
    for node in &cluster.nodes {
        wait_for("its log is cut", LIMIT, || {
            checkpoint(node);
            (info(node, "perdura_first_index") > kept + 1).then_some(())
        });
    }

    hand_over(&cluster, third);
    write(&mut cluster.client(third), 200..300);
    wait_until_shipped(&cluster.nodes[third]);
    let gap = info(&cluster.nodes[third], "perdura_backup_gap_entries");
    assert!(gap > 0);
    wait_for("the gap is listed, and no more", LIMIT, || {
        let row = json(&left, &["backup", "list"])["gaps"][0].clone();
        let entries = row["last_index"].as_u64()? + 1 - row["first_index"].as_u64()?;
        (row["first_index"] == kept + 1 && entries == gap).then_some(())
    });
    let (code, said) = run(&left.with(&["backup", "list"], "--at"), &[]);
    assert!(code == Some(1) && said.contains("MISSING"), "{said}");
    assert_eq!(restored_digest(&left, scratch.path()), digest(&cluster.nodes[third]));

    hand_over(&cluster, movers[0]);
    write(&mut cluster.client(movers[0]), 300..400);
    wait_until_shipped(&cluster.nodes[movers[0]]);
    assert_good(&new);
    assert_eq!(restored_digest(&new, scratch.path()), digest(&cluster.nodes[movers[0]]));
}

/// Makes this node the primary.
fn hand_over(cluster: &Cluster, to: usize) {
    let number = (to + 1).to_string();
    wait_for("it leads", LIMIT, || {
        let primary = cluster.primary();
        if primary != to {
            let addr = cluster.nodes[primary].addr().to_string();
            run(&["handover", "--addr", &addr, "--to", &number], &[]);
        }
        (primary == to).then_some(())
    });
}

#[test]
fn a_checkpoint_is_taken_for_the_backup_when_one_is_due_and_the_node_takes_none() {
    let scratch = tempfile::tempdir().expect("a temporary folder");
    let place = folder(scratch.path());
    let spec = shipping(&place).flag("backup-checkpoint-seconds", 1).flag("checkpoint-seconds", 0);
    let node = spec.start();
    write(&mut node.client(), 1..100);
    wait_until_shipped(&node);
    let shipped = info(&node, "perdura_backup_shipped_index");
    // Nothing more is written.
    wait_for("a checkpoint of everything is stored", LIMIT, || {
        (info(&node, "perdura_backup_checkpoint_index") == shipped).then_some(())
    });
    write(&mut node.client(), 100..200);
    wait_for("the next one is stored", LIMIT, || {
        (info(&node, "perdura_backup_checkpoint_index") > shipped).then_some(())
    });
    wait_until_shipped(&node);
    assert_good(&place);
}

#[test]
fn a_key_file_that_can_not_be_read_is_refused_at_the_start() {
    let scratch = tempfile::tempdir().expect("a temporary folder");
    let place = Place { key_file: Some(scratch.path().join("no-key")), ..folder(scratch.path()) };
    let dir = scratch.path().join("data").display().to_string();
    let key = place.key_file.as_ref().expect("it was given").display().to_string();
    let serve = ["serve", "--dir", &dir, "--port", "1", "--backup-to", &place.url, "--backup-key-file", &key];
    for content in [None, Some("not a key")] {
        if let Some(content) = content {
            fs::write(&key, content).expect("the folder is there");
        }
        let (code, said) = run(&serve, &[]);
        assert!(code == Some(2) && said.contains("--backup-key-file") && said.contains("key"), "{said}");
        assert!(!Path::new(&dir).exists(), "nothing was begun");
    }
}

#[test]
fn one_flipped_byte_of_a_description_or_a_header_costs_no_more() {
    let scratch = tempfile::tempdir().expect("a temporary folder");
    let place = folder(scratch.path());
    let mut node = shipping(&place).flag("backup-checkpoint-seconds", 1).start();
    let mut next = 1;
    for _ in 0..2 {
        write(&mut node.client(), next..next + 100);
        next += 100;
        let index = checkpoint(&node);
        wait_for("the checkpoint is stored", LIMIT, || {
            (info(&node, "perdura_backup_checkpoint_index") >= index).then_some(())
        });
    }
    wait_until_shipped(&node);
    let expected = digest(&node);
    node.kill();
    let flip = |path: &Path| {
        let mut bytes = fs::read(path).expect("it is there");
        let at = bytes.len() / 2;
        bytes[at] ^= 4;
        fs::write(path, bytes).expect("it can be damaged");
    };
    let newest =
        json(&place, &["backup", "list"])["checkpoints"][1]["index"].as_u64().expect("there are two");
    flip(&repository(&place).join(format!("checkpoints/{newest:020}")));
    flip(&repository(&place).join("HEADER.perdura"));
    let (code, said) = run(&place.with(&["backup", "list"], "--at"), &[]);
    assert!(code == Some(1) && said.contains(&format!("INCOMPLETE: checkpoint {newest}")), "{said}");
    assert!(said.contains("DAMAGED: HEADER.perdura"), "{said}");
    let (code, said) = run(&place.with(&["backup", "verify"], "--at"), &[]);
    assert!(code == Some(1) && said.contains("DAMAGED: HEADER.perdura"), "{said}");
    for target in [&[][..], &["--from-checkpoint", "0"]] {
        let (_, answer) = place.restore(scratch.path(), target);
        assert_eq!(answer["debug_digest"].as_str(), Some(&expected[..]), "{answer}");
    }
}

#[test]
fn two_places_both_have_everything_and_one_that_is_away_does_not_hold_up_the_other() {
    let scratch = tempfile::tempdir().expect("a temporary folder");
    let one = folder(scratch.path());
    let other = Place { url: format!("{}-2", one.url), key_file: None, variables: Vec::new() };
    let node = perdura()
        .flag("backup-to", format!("{},{}", one.url, other.url))
        .flag("backup-interval-ms", 20)
        .flag("backup-checkpoint-seconds", 1)
        .start();
    write(&mut node.client(), 1..200);
    checkpoint(&node);
    write(&mut node.client(), 200..300);
    wait_until_shipped(&node);
    let away = unmount(&other);
    write(&mut node.client(), 300..400);
    wait_for_another_failure(&node);
    let applied = node.client().run("PERDURA LOG STATUS").field("applied").integer();
    wait_for("the first place has everything", LIMIT, || {
        let text = node.client().run("INFO persistence").text();
        let row = text.lines().find(|line| line.starts_with("perdura_backup_place_0:"))?.to_owned();
        row.contains(&format!("shipped_index={applied},")).then_some(())
    });
    assert!(info(&node, "perdura_backup_shipped_index") < applied as u64, "the log is kept for the other");
    assert_eq!(restored_digest(&one, scratch.path()), digest(&node));
    mount(&other, &away);
    wait_until_shipped(&node);
    for place in [&one, &other] {
        assert_good(place);
        assert_eq!(restored_digest(place, scratch.path()), digest(&node));
    }
}

#[test]
fn a_node_removes_what_is_too_old_by_itself() {
    let scratch = tempfile::tempdir().expect("a temporary folder");
    let place = folder(scratch.path());
    let spec = shipping(&place).flag("backup-checkpoint-seconds", 1).flag("backup-keep-checkpoints", 2);
    let node = spec.start();
    let (mut next, mut indexes) = (1, Vec::new());
    for _ in 0..4 {
        write(&mut node.client(), next..next + 100);
        next += 100;
        let index = checkpoint(&node);
        indexes.push(index);
        wait_for("the checkpoint is stored", LIMIT, || {
            (info(&node, "perdura_backup_checkpoint_index") >= index).then_some(())
        });
    }
    wait_for("two are left", LIMIT, || {
        let listed = json(&place, &["backup", "list"]);
        let left: Vec<u64> =
            listed["checkpoints"].as_array()?.iter().filter_map(|row| row["index"].as_u64()).collect();
        (left.len() == 2 && listed["restorable"][0]["first_index"].as_u64() == left.first().copied())
            .then_some(())
    });
    wait_until_shipped(&node);
    assert_good(&place);
    assert_eq!(restored_digest(&place, scratch.path()), digest(&node));
    assert_eq!(failures(&node), 0, "{}", node.log());
}

#[test]
fn a_backup_that_grows_is_copied_again_and_again() {
    let scratch = tempfile::tempdir().expect("a temporary folder");
    let place = folder(scratch.path());
    let copy = Place { url: format!("{}-copy", place.url), key_file: None, variables: Vec::new() };
    let node = shipping(&place).flag("backup-checkpoint-seconds", 1).start();
    let copy_words = ["backup", "copy", "--from", &place.url, "--to", &copy.url];
    write(&mut node.client(), 0..1);
    // It begins the backup once its cluster is known.
    wait_until_shipped(&node);
    let mut next = 1;
    for _ in 0..4 {
        write(&mut node.client(), next..next + 300);
        next += 300;
        // The node ships meanwhile, and merges what it has shipped.
        assert_eq!(ask(&copy_words, &[])["problems"], serde_json::json!([]));
        assert_good(&copy);
    }
    checkpoint(&node);
    wait_until_shipped(&node);
    ask(&copy_words, &[]);
    assert_good(&copy);
    assert_eq!(restored_digest(&copy, scratch.path()), digest(&node));
}

/// Another key: the node can't read the backup, which has all that the log has no more.
#[test]
fn backup_that_could_not_be_read_yet_has_no_gap_that_is_known() {
    let scratch = tempfile::tempdir().expect("a temporary folder");
    let keys = ["right", "wrong"].map(|name| scratch.path().join(name));
    for key in &keys {
        let (code, said) = run(&["backup", "create-key", &key.display().to_string()], &[]);
        assert_eq!(code, Some(0), "{said}");
    }
    let place = Place { key_file: Some(keys[0].clone()), ..folder(scratch.path()) };
    let mut node = shipping(&place).flag("segment-bytes", "64kb").flag("checkpoints-kept", 1).start();
    let value = "v".repeat(1000);
    (0..300).for_each(|n| node.client().check(&format!("SET filler:{n} {value}"), "+OK"));
    wait_until_shipped(&node);
    checkpoint(&node);
    let addr = node.addr().to_string();
    let (code, said) = run(&["log", "compact", "--addr", &addr, "--keep-bytes", "0", "--yes"], &[]);
    assert_eq!(code, Some(0), "{said}");
    assert!(info(&node, "perdura_first_index") > 1, "{said}");
    node.kill();
    node.set_flag("backup-key-file", keys[1].display());
    node.restart();
    wait_for_another_failure(&node);
    wait_for_another_failure(&node);
    assert_eq!(info(&node, "perdura_backup_gap_entries"), 0);
    assert!(!node.log().contains("has a gap"), "{}", node.log());
    node.kill();
    node.set_flag("backup-key-file", keys[0].display());
    node.restart();
    wait_until_shipped(&node);
    assert_eq!(info(&node, "perdura_backup_gap_entries"), 0);
    assert_good(&place);
}
