//! The recipes of docs/operations.md, run as they stand there.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use perdura_testkit::clock::wait_for;
use perdura_testkit::{Node, free_port};

use crate::log::{damage, log, said, segments};
use crate::metrics::get;
use crate::perdura;

const PAGE: &str = include_str!("../../docs/operations.md");
const SOON: Duration = Duration::from_secs(10);

/// The names in the first column of the table of metrics.
fn watched_metrics() -> Vec<&'static str> {
    let rows = PAGE.lines().filter_map(|line| line.strip_prefix("| `perdura_"));
    rows.filter_map(|row| row.split_once('`')).map(|(name, _)| name).collect()
}

#[test]
fn what_is_to_be_watched_is_there() {
    let port = free_port();
    let node = perdura().flag("metrics-addr", format!("127.0.0.1:{port}")).start();
    node.client().check("SET k v", "+OK");
    wait_for("a healthy node", SOON, || {
        get(port, "/healthz").ok()?.starts_with("HTTP/1.1 200 ").then_some(())
    });
    let text = get(port, "/metrics").expect("it listens");
    let metrics = watched_metrics();
    assert!(metrics.len() >= 10, "{metrics:?}");
    // A node alone has no other members to tell of.
    let of_others = ["raft_follower_lag_entries", "raft_peer_silence_seconds"];
    for metric in metrics.into_iter().filter(|metric| !of_others.contains(metric)) {
        let name = format!("perdura_{metric}");
        let declared = name.trim_end_matches("_total");
        assert!(text.contains(&format!("# HELP {declared} ")), "{name} is not in\n{text}");
    }
}

fn copy(from: &Path, to: &Path) {
    let copied = Command::new("cp").arg("-a").arg(from).arg(to).status();
    assert!(copied.expect("cp can be run").success());
}

/// A node with several segments, stopped.
fn stopped_node() -> Node {
    let mut node = perdura().flag("segment-bytes", "64kb").start();
    let mut client = node.client();
    for n in 0..200 {
        client.check(&format!("SET key{n} {}", "v".repeat(1000)), "+OK");
    }
    assert!(node.terminate().success());
    node
}

#[test]
fn a_damaged_segment_is_replaced_by_its_copy() {
    let mut node = stopped_node();
    let (dir, backup) = (node.data(), node.data().with_extension("backup"));
    copy(&dir, &backup);
    node.restart();
    node.client().check("SET after the-copy", "+OK");
    node.kill();
    let segment = &segments(&dir)[1];
    let name = segment.file_name().expect("a name");
    damage(segment);

    node.spawn();
    assert!(!node.wait_for_exit().success());
    assert!(node.log().contains(&*name.to_string_lossy()), "it names the file: {}", node.log());
    let (text, code) = said(&log(&dir, &["verify"]));
    assert!(code == Some(1) && text.contains(&*name.to_string_lossy()), "{text}");

    // Another segment under its name does not pass.
    copy(&segments(&backup)[2], segment);
    assert_eq!(said(&log(&dir, &["verify"])).1, Some(1));

    copy(&backup.join("log").join(name), segment);
    let (text, code) = said(&log(&dir, &["verify"]));
    assert_eq!(code, Some(0), "{text}");
    node.restart();
    let mut client = node.client();
    client.check("DBSIZE", ":201");
    client.check("GET after", "the-copy");
}

#[test]
fn the_page_names_the_exit_codes_that_the_command_has() {
    let output = Command::new(env!("CARGO_BIN_EXE_perdura")).args(["log", "verify", "--help"]).output();
    let help = said(&output.expect("the program can be run")).0;
    for code in 0..=4 {
        let row = PAGE.lines().find_map(|line| line.strip_prefix(&format!("| {code} | "))).expect("a row");
        let meaning = row.split([':', '|']).next().expect("a meaning").trim();
        assert!(help.contains(&format!("{code}  {meaning}")), "{code}: {meaning} is not in\n{help}");
    }
}

/// The lines of the page that run this subcommand, without their comments, for the node of the page.
fn recipes(subcommand: &str) -> Vec<Vec<String>> {
    let page = PAGE.replace("\\\n", " ");
    let lines = page.lines().filter(|line| line.starts_with(&format!("perdura {subcommand}")));
    lines
        .map(|line| line.split('#').next().unwrap_or_default())
        .map(|line| line.split_whitespace().skip(1).map(str::to_owned).collect())
        .collect()
}

/// Runs a recipe with the page's addresses and folder replaced; returns its exit code and what it said.
fn follow(recipe: &[String], addrs: &[(&str, &str)], dir: &str) -> (String, Option<i32>) {
    let words: Vec<&str> = recipe
        .iter()
        .map(|word| match addrs.iter().find(|(of_page, _)| of_page == word) {
            Some((_, addr)) => addr,
            None if word == "/var/lib/perdura" => dir,
            None => word,
        })
        .collect();
    said(&crate::operators::run(&words))
}

#[test]
fn logs_and_checkpoints_are_looked_at_and_cut_as_the_page_says() {
    let mut node = perdura().flag("segment-bytes", "64kb").start();
    node.client().check("SET k v", "+OK");
    let (addr, dir) = (node.addr().to_string(), node.data().to_string_lossy().into_owned());
    let addrs = [("127.0.0.1:6379", &addr[..])];
    let recipes = [recipes("log"), recipes("checkpoint")].concat();
    let (running, stopped): (Vec<_>, Vec<_>) =
        recipes.into_iter().partition(|recipe| recipe.contains(&"--addr".to_owned()));
    assert!(running.len() >= 7 && stopped.len() >= 6, "{running:?} {stopped:?}");
    let mut asks = 0;
    for mut recipe in running {
        if recipe.contains(&"--follow".to_owned()) {
            recipe.extend(["--from", "1", "--count", "1"].map(str::to_owned));
        }
        let (text, code) = follow(&recipe, &addrs, &dir);
        // There is nobody to answer a question here, but there may be nothing to ask either.
        asks += usize::from(code == Some(2) && text.contains("--yes"));
        assert!(code == Some(0) || text.contains("--yes"), "{recipe:?}: {text}");
    }
    assert!(asks <= 1);
    assert!(node.terminate().success());
    for recipe in stopped {
        let (text, code) = follow(&recipe, &addrs, &dir);
        assert_eq!(code, Some(0), "{recipe:?}: {text}");
    }
    node.restart();
    node.client().check("GET k", "v");
}

#[test]
fn nodes_are_compared_as_the_page_says() {
    let group = perdura_testkit::Cluster::start_with(perdura());
    group.client(group.primary()).check("SET k v", "+OK");
    let addrs: Vec<String> = group.nodes.iter().map(|node| node.addr().to_string()).collect();
    let of_page = ["10.0.0.1:6379", "10.0.0.2:6379", "10.0.0.3:6379"];
    let addrs: Vec<(&str, &str)> = of_page.into_iter().zip(addrs.iter().map(String::as_str)).collect();
    let recipes = recipes("digest");
    assert_eq!(recipes.len(), 1);
    let (text, code) = follow(&recipes[0], &addrs, "");
    assert!(code == Some(0) && text.lines().count() == 4, "{text}");
}

#[test]
fn a_group_is_looked_at_as_the_page_says() {
    let group = perdura_testkit::Cluster::start_with(perdura());
    group.client(group.primary()).check("SET k v", "+OK");
    let addr = group.nodes[0].addr().to_string();
    let looks = recipes("status");
    assert_eq!(looks.len(), 2);
    let asks_once = |recipe: &&Vec<String>| !recipe.contains(&"--watch".to_owned());
    let recipe = looks.iter().find(asks_once).expect("one that ends");
    wait_for("a healthy group", SOON, || {
        let (text, code) = follow(recipe, &[("10.0.0.1:6379", &addr)], "");
        (code == Some(0) && text.lines().count() == 5).then_some(())
    });
    let handovers = recipes("handover");
    assert_eq!(handovers.len(), 1);
    let (text, code) = follow(&handovers[0], &[("10.0.0.1:6379", &addr)], "");
    assert!(code == Some(0) && text.contains("node 2 is the primary"), "{text}");
    let dir = tempfile::tempdir().expect("a temporary folder");
    let path = dir.path().join("new").to_string_lossy().into_owned();
    let doctors = recipes("doctor");
    assert_eq!(doctors.len(), 3);
    for doctor in &doctors {
        // This machine may have something to look at.
        let (text, code) = follow(doctor, &[("10.0.0.1:6379", &addr)], &path);
        assert!(matches!(code, Some(0 | 1)) && text.contains("sync"), "{text}");
    }
    let bundles = recipes("debug");
    assert_eq!(bundles.len(), 1);
    let file = dir.path().join("bundle").to_string_lossy().into_owned();
    let places = [("10.0.0.1:6379", &addr[..]), ("perdura-bundle.json", &file)];
    let (text, code) = follow(&bundles[0], &places, "");
    assert!(code == Some(0) && text.contains("3 nodes"), "{text}");
    let help = said(&crate::operators::run(&["status", "--help"])).0;
    for code in [0, 1, 2, 4] {
        let row = PAGE.lines().find_map(|line| line.strip_prefix(&format!("| `{code}` | "))).expect("a row");
        let meaning = row.split([':', ';', '|']).next().expect("a meaning").trim();
        assert!(help.contains(&format!("{code}  {meaning}")), "{code}: {meaning} is not in\n{help}");
    }
}

/// The moment of the last write that the backup has, once it has what this node has applied.
fn backed_up_to(node: &Node, list: &[String], places: &[(&str, &str)]) -> String {
    let mut client = node.client();
    let applied = client.applied_index();
    wait_for("everything is backed up", SOON, || {
        (client.info_number("perdura_backup_shipped_index") >= applied).then_some(())
    });
    let (text, code) = follow(&[list, &["--json".to_owned()]].concat(), places, "");
    assert_eq!(code, Some(0), "{text}");
    let listed: serde_json::Value = serde_json::from_str(&text).expect("it is JSON");
    listed["restorable"][0]["last_time"].as_str().expect("it has a time").to_owned()
}

#[test]
fn an_accident_is_undone_as_the_page_says() {
    let scratch = tempfile::tempdir().expect("a temporary folder");
    let path = |name: &str| scratch.path().join(name).display().to_string();
    let (url, key, restored) = (format!("file://{}", path("backup")), path("key"), path("restored"));
    let mut places = vec![("file:///mnt/backup", &url[..]), ("/etc/perdura/backup.key", &key)];
    let with_key = |recipe: Vec<String>| [recipe, vec!["--key-file".to_owned(), key.clone()]].concat();
    let (keys, others): (Vec<_>, Vec<_>) =
        recipes("backup").into_iter().partition(|recipe| recipe[1] == "create-key");
    assert_eq!((keys.len(), others.len()), (1, 8), "{others:?}");
    assert_eq!(follow(&keys[0], &places, "").1, Some(0));
    let (copies, others): (Vec<_>, Vec<_>) = others.into_iter().partition(|recipe| recipe[1] == "copy");
    let others: Vec<Vec<String>> = others.into_iter().map(with_key).collect();
    let list = others.iter().find(|recipe| recipe[1] == "list").expect("the page lists");

    let spec = perdura().flag("backup-to", &url).flag("backup-key-file", &key);
    let node = spec.flag("backup-interval-ms", 20).start();
    node.client().check("SET precious v", "+OK");
    let before = backed_up_to(&node, list, &places);
    wait_for("a later moment", SOON, || {
        node.client().check("SET later v", "+OK");
        (backed_up_to(&node, list, &places) > before).then_some(())
    });
    node.client().check("FLUSHALL", "+OK");
    backed_up_to(&node, list, &places);
    let addr = node.addr().to_string();
    places.push(("127.0.0.1:6379", &addr));
    for recipe in &others {
        let (text, code) = follow(recipe, &places, "");
        assert_eq!(code, Some(0), "{recipe:?}: {text}");
    }

    // The copy is as good as the backup, and takes no key to be made.
    let elsewhere = format!("file://{}", path("elsewhere"));
    places.push(("file:///mnt/elsewhere", &elsewhere));
    let (text, code) = follow(&copies[0], &places, "");
    assert_eq!(code, Some(0), "{text}");
    let verify = others.iter().find(|recipe| recipe[1] == "verify").expect("the page verifies");
    let (text, code) = follow(verify, &[("file:///mnt/backup", &elsewhere)], "");
    assert_eq!(code, Some(0), "{text}");

    let undoing: Vec<Vec<String>> = recipes("restore").into_iter().map(with_key).collect();
    assert_eq!(undoing.len(), 2);
    places.push(("2026-11-21T14:03:00.250Z", &before));
    for (number, recipe) in undoing.iter().enumerate() {
        let dir = format!("{restored}{number}");
        let places = [&places[..], &[("/var/lib/perdura-1403", &dir)]].concat();
        let (text, code) = follow(recipe, &places, "");
        assert!(code == Some(0) && text.contains("new cluster"), "{recipe:?}: {text}");
    }
    let again = perdura().flag("dir", format!("{restored}0")).start();
    again.client().check("GET precious", "v");
    node.client().check("DBSIZE", ":0");
}

#[test]
fn a_backup_that_is_gone_is_begun_again_as_the_page_says() {
    let scratch = tempfile::tempdir().expect("a temporary folder");
    let root = scratch.path().join("backup");
    let url = format!("file://{}", root.display());
    let node = perdura().flag("backup-to", &url).flag("backup-interval-ms", 20).start();
    node.client().check("SET k v", "+OK");
    let is_shipped = || {
        let mut client = node.client();
        let applied = client.applied_index();
        (client.info_number("perdura_backup_shipped_index") >= applied).then_some(())
    };
    wait_for("it is shipped", SOON, is_shipped);
    let failures = || node.client().info_number("perdura_backup_failures");
    std::fs::rename(&root, scratch.path().join("gone")).expect("it is there");
    wait_for("it is missed", SOON, || (failures() > 0).then_some(()));
    assert!(!root.exists(), "the node makes no folder in its place");
    let addr = node.addr().to_string();
    let places = [("file:///mnt/backup", &url[..]), ("127.0.0.1:6379", &addr)];
    for (subcommand, expected) in
        [("backup check", None), ("backup init", Some(0)), ("backup check", Some(0))]
    {
        let (text, code) = follow(&recipes(subcommand)[0], &places, "");
        assert!(expected.map_or(code != Some(0), |_| code == expected), "{subcommand}: {text}");
    }
    node.client().check("SET k w", "+OK");
    wait_for("it is shipped to the new one", SOON, || {
        is_shipped().filter(|()| node.client().info_number("perdura_backup_lag_seconds") == 0)
    });
    let (text, code) = follow(&recipes("backup verify")[0], &places, "");
    assert_eq!(code, Some(0), "{text}");
}

#[test]
fn a_new_cluster_is_begun_as_the_page_says() {
    let node = stopped_node();
    let dir = node.data().to_string_lossy().into_owned();
    let recipes = recipes("recover");
    assert_eq!(recipes.len(), 4, "{recipes:?}");
    let mut begun = 0;
    for recipe in recipes {
        // An entry that the log of this test has.
        let (text, code) = follow(&recipe, &[("1234567", "150")], &dir);
        if recipe.contains(&"--dry-run".to_owned()) {
            assert!(code == Some(0) && text.contains("nothing was changed"), "{recipe:?}: {text}");
            continue;
        }
        // There is no terminal to answer at.
        assert!(code == Some(2) && text.contains("--yes"), "{recipe:?}: {text}");
        let (text, code) = follow(&[&recipe[..], &["--yes".to_owned()]].concat(), &[], &dir);
        assert!(code == Some(0) && text.contains("new cluster"), "{recipe:?}: {text}");
        begun += 1;
        assert!(node.data().join(format!("before-recovery-{begun}")).is_dir());
    }
    assert_eq!(begun, 2);
}
