//! The operator's commands: logs of running nodes, cutting a log, checkpoints in a folder, and nodes compared.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};

use ::perdura::checkpoint::CheckpointStore;
use ::perdura::checkpoint::shelf::Shelf;
use ::perdura::checkpoint::store::{RocksStore, StoreConfig};
use ::perdura::env::Clock;
use ::perdura::keyspace::capture::SlotChanges;
use ::perdura::keyspace::entry::Entry;
use ::perdura::keyspace::slot::Slot;
use ::perdura::keyspace::types::limits::TypeLimits;
use perdura_testkit::{Cluster, Node};
use serde_json::Value;

use crate::administration::{checkpoint, node_with_checkpoints};
use crate::log::{damage, said};
use crate::perdura;

fn command(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_perdura"));
    command.args(args).env_remove("PERDURA_CONFIG").stdin(Stdio::null());
    command
}

pub fn run(args: &[&str]) -> Output {
    command(args).output().expect("the program can be run")
}

fn json(args: &[&str]) -> Value {
    let output = run(&[args, &["--json"]].concat());
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {:?}", said(&output)))
}

fn rows(args: &[&str]) -> Vec<Value> {
    let output = run(&[args, &["--json"]].concat());
    let text = String::from_utf8(output.stdout).expect("rows are text");
    text.lines().map(|line| serde_json::from_str(line).expect("a row is JSON")).collect()
}

fn indexes(rows: &[Value]) -> Vec<u64> {
    rows.iter().map(|row| row["index"].as_u64().expect("an index")).collect()
}

fn number(value: &Value, field: &str) -> u64 {
    value[field].as_u64().unwrap_or_else(|| panic!("{field} in {value}"))
}

fn dir(node: &Node) -> String {
    node.data().to_string_lossy().into_owned()
}

fn fill(node: &Node, keys: usize) {
    let mut client = node.client();
    for n in 0..keys {
        client.check(&format!("SET key{n} {}", "v".repeat(1000)), "+OK");
    }
}

/// Ends with the test.
struct Following(Child);

impl Drop for Following {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_running_node_and_its_folder_tell_the_same_of_its_log() {
    let mut node = perdura().flag("segment-bytes", "64kb").start();
    fill(&node, 200);
    let (addr, dir) = (node.addr().to_string(), dir(&node));
    let running = json(&["log", "status", "--addr", &addr]);
    let entries = rows(&["log", "inspect", "--addr", &addr]);
    let newest = rows(&["log", "tail", "--addr", &addr, "--commands"]);
    let some = rows(&["log", "inspect", "--addr", &addr, "--from", "10", "--to", "12"]);
    let (text, code) = said(&run(&["log", "status", "--addr", &addr]));
    assert!(code == Some(0) && text.contains("node       1 of [1]") && text.contains(" ready"), "{text}");
    node.terminate();

    let stopped = json(&["log", "status", "--dir", &dir]);
    for field in ["log_id", "node", "first_index", "compacted", "oldest_ms"] {
        assert_eq!(running[field], stopped[field], "{field}");
    }
    assert_eq!(indexes(&some), [10, 11, 12]);
    assert_eq!(indexes(&newest), indexes(&entries)[entries.len() - 10..]);
    let of_folder = rows(&["log", "inspect", "--dir", &dir, "--to", &entries.len().to_string()]);
    for (one, other) in entries.iter().zip(&of_folder) {
        for field in ["index", "term", "time_ms", "names", "bytes"] {
            assert_eq!(one[field], other[field], "{field}");
        }
    }
    assert_eq!(entries.len(), of_folder.len());
}

#[test]
fn what_is_committed_is_shown_as_it_comes() {
    let node = perdura().start();
    fill(&node, 5);
    let addr = node.addr().to_string();
    let follow = ["log", "tail", "--addr", &addr, "--follow", "--commands", "--json", "--from", "2"];
    let mut following = Following(command(&follow).stdout(Stdio::piped()).spawn().expect("it can be run"));
    let mut lines = BufReader::new(following.0.stdout.take().expect("a pipe")).lines();
    let mut next = || -> Value {
        let line = lines.next().expect("another line").expect("the pipe holds");
        serde_json::from_str(&line).expect("JSON")
    };
    // What the node proposes by itself may have an entry of its own.
    let shows_last = |row: &Value| row.to_string().contains("key4");
    let last = (2..).find(|index| {
        let row = next();
        assert_eq!(number(&row, "index"), *index);
        shows_last(&row)
    });
    assert!(last.is_some_and(|index| index < 9), "{last:?}");
    for n in 0..3 {
        node.client().check(&format!("SET fresh {n}"), "+OK");
        let row = next();
        assert_eq!(
            row["items"][0]["commands"][0]["args"],
            serde_json::json!(["SET", "fresh", n.to_string()])
        );
    }
}

#[test]
fn a_stopped_nodes_log_is_cut_once_somebody_has_said_so() {
    let (mut node, indexes) = node_with_checkpoints(1);
    fill(&node, 100);
    let digest = node.client().run("DEBUG DIGEST").text();
    let dir = dir(&node);
    let refused = run(&["log", "compact", "--dir", &dir]);
    assert_eq!(said(&refused).1, Some(3), "the node runs");
    node.terminate();
    // A node alone cuts by itself; this one has written since.
    let before = json(&["log", "status", "--dir", &dir]);
    assert_eq!(number(&before, "first_index"), indexes[0] as u64 + 1);
    let plan = json(&["log", "compact", "--dir", &dir]);
    assert_eq!(number(&plan, "first_index"), number(&before, "first_index"), "nothing more can go: {plan}");
    assert_eq!(plan["kept_by"], "checkpoint");
    node.restart();
    assert_eq!(node.client().run("DEBUG DIGEST").text(), digest);
}

/// A replica's folder, with a log that its settings have kept and a checkpoint.
fn stopped_replica(group: &mut Cluster) -> (usize, String, u64) {
    let replica = group.replica();
    fill(&group.nodes[group.primary()], 200);
    let mut client = group.client(replica);
    group.agreed_digest();
    let index = checkpoint(&mut client) as u64;
    client.run("SET behind it");
    group.agreed_digest();
    group.nodes[replica].terminate();
    (replica, dir(&group.nodes[replica]), index)
}

fn group() -> Cluster {
    Cluster::start_with(perdura().flag("segment-bytes", "64kb").flag("log-keep-bytes", "1gb"))
}

#[test]
fn cutting_asks_first_and_keeps_what_it_is_told_to_keep() {
    let mut group = group();
    let (replica, dir, index) = stopped_replica(&mut group);
    let before = json(&["log", "status", "--dir", &dir]);
    assert_eq!(number(&before, "first_index"), 1);

    let (text, code) = said(&run(&["log", "compact", "--dir", &dir]));
    assert!(code == Some(2) && text.contains("--yes"), "there is nobody to ask: {text}");
    let (text, code) = said(&run(&["log", "compact", "--dir", &dir, "--dry-run"]));
    assert!(code == Some(0) && text.contains("would drop entries 1 to "), "{text}");
    let kept = json(&["log", "compact", "--dir", &dir, "--yes", "--keep-time", "1h"]);
    assert!(number(&kept, "first_index") == 1 && kept["kept_by"] == "keep-time", "{kept}");
    let kept = json(&["log", "compact", "--dir", &dir, "--yes", "--keep-bytes", "1gb"]);
    assert!(number(&kept, "first_index") == 1 && kept["kept_by"] == "keep-bytes", "{kept}");
    assert_eq!(json(&["log", "status", "--dir", &dir]), before, "nothing was changed");

    let cut = json(&["log", "compact", "--dir", &dir, "--yes"]);
    assert!(number(&cut, "first_index") == index + 1 && cut["dry_run"] == false, "{cut}");
    let after = json(&["log", "status", "--dir", &dir]);
    assert_eq!(number(&after, "first_index"), index + 1);
    let freed = number(&before, "bytes") - number(&after, "bytes");
    assert!(freed > 0 && freed == number(&cut, "freed_bytes"), "{freed}: {cut}");
    assert_eq!(said(&run(&["log", "verify", "--dir", &dir])).1, Some(0));
    group.nodes[replica].restart();
    group.agreed_digest();
}

#[test]
fn a_log_is_not_cut_behind_a_damaged_checkpoint() {
    let mut group = group();
    let (replica, dir, index) = stopped_replica(&mut group);
    damage(&a_file_of(&group.nodes[replica], index));
    let output = run(&["log", "compact", "--dir", &dir, "--yes"]);
    let (text, code) = said(&output);
    assert!(
        code == Some(0) && text.contains("is damaged") && text.contains("no checkpoint to start"),
        "{text}"
    );
    assert_eq!(number(&json(&["log", "status", "--dir", &dir]), "first_index"), 1);
}

#[test]
fn a_running_nodes_log_is_cut_by_its_address() {
    let group = group();
    let primary = &group.nodes[group.primary()];
    fill(primary, 100);
    let index = checkpoint(&mut primary.client()) as u64;
    let addr = primary.addr().to_string();
    let (text, code) = said(&run(&["log", "compact", "--addr", &addr, "--keep-bytes", "0"]));
    assert!(code == Some(2) && text.contains("--yes"), "{text}");
    let plan = json(&["log", "compact", "--addr", &addr, "--keep-bytes", "0", "--dry-run"]);
    assert!(plan["dry_run"] == true && number(&plan, "first_index") == index + 1, "{plan}");
    assert_eq!(number(&json(&["log", "status", "--addr", &addr]), "first_index"), 1);
    let (text, code) = said(&run(&["log", "compact", "--addr", &addr, "--keep-bytes", "0", "--yes"]));
    assert!(code == Some(0) && text.contains(&format!("dropped entries 1 to {index} ")), "{text}");
    assert_eq!(number(&json(&["log", "status", "--addr", &addr]), "first_index"), index + 1);
    let (text, code) = said(&run(&["log", "compact", "--addr", &addr, "--keep-bytes", "0", "--yes"]));
    assert!(code == Some(0) && text.contains("nothing can be dropped"), "{text}");
}

/// The newest file of tables of a published checkpoint: no older checkpoint shares it.
fn a_file_of(node: &Node, index: u64) -> PathBuf {
    let folder = node.data().join(format!("checkpoints/{index:020}"));
    let entries = std::fs::read_dir(folder).expect("it is there").map(|entry| entry.expect("listed").path());
    let tables = entries.filter(|path| path.extension().is_some_and(|extension| extension == "sst"));
    tables.max().expect("a table")
}

#[test]
fn checkpoints_are_listed_and_proven_in_a_folder_and_in_a_running_node() {
    let (mut node, made) = node_with_checkpoints(3);
    let (addr, dir) = (node.addr().to_string(), dir(&node));
    assert_eq!(said(&run(&["checkpoint", "list", "--dir", &dir])).1, Some(3), "the node runs");
    let running = json(&["checkpoint", "list", "--addr", &addr]);
    let (text, code) = said(&run(&["checkpoint", "verify", "--addr", &addr]));
    assert!(code == Some(0) && text.contains("2 checkpoints read byte by byte, 0 damaged"), "{text}");
    node.terminate();

    let listed = json(&["checkpoint", "list", "--dir", &dir]);
    assert_eq!(running, listed);
    let listed = listed.as_array().expect("rows").clone();
    assert_eq!(indexes(&listed), made[1..].iter().map(|index| *index as u64).collect::<Vec<_>>());
    // The system database's note that the group has its parameters is one of them.
    assert!(listed.iter().all(|row| number(row, "keys") == 101 && number(row, "bytes") > 0));
    let report = json(&["checkpoint", "verify", "--dir", &dir, "--deep"]);
    assert!(report["sound"] == true && report["checkpoints"][1]["keys"] == 101, "{report}");

    let newest = made[2].to_string();
    damage(&a_file_of(&node, made[2] as u64));
    let (text, code) = said(&run(&["checkpoint", "verify", "--dir", &dir]));
    assert!(
        code == Some(1) && text.contains(&format!("DAMAGED  {newest}: ")) && text.contains("1 damaged"),
        "{text}"
    );
    assert_eq!(
        said(&run(&["checkpoint", "verify", "--dir", &dir, "--index", &made[1].to_string()])).1,
        Some(0)
    );
    assert_eq!(said(&run(&["checkpoint", "verify", "--dir", &dir, "--index", "7"])).1, Some(4));
    assert_eq!(said(&run(&["checkpoint", "list", "--dir", "/no/such/folder"])).1, Some(4));
}

#[test]
fn nodes_under_load_are_compared_at_one_entry() {
    let group = group();
    let addrs: Vec<String> = group.nodes.iter().map(|node| node.addr().to_string()).collect();
    let mut args = vec!["digest"];
    args.extend(addrs.iter().flat_map(|addr| ["--addr", addr]));
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for writer in 0..2 {
            let (mut client, done) = (group.client(group.primary()), &done);
            scope.spawn(move || {
                let mut n = 0;
                while !done.load(Ordering::Acquire) {
                    client.run(&format!("SET key{writer}:{} {n}", n % 100));
                    n += 1;
                }
            });
        }
        let reports: Vec<Output> = (0..3).map(|_| run(&[&args[..], &["--json"]].concat())).collect();
        done.store(true, Ordering::Release);
        let mut last = 0;
        for report in reports {
            assert_eq!(report.status.code(), Some(0), "{:?}", said(&report));
            let report: Value = serde_json::from_slice(&report.stdout).expect("JSON");
            assert!(number(&report, "index") > last && report["equal"] == true, "{report}");
            last = number(&report, "index");
            let nodes = report["nodes"].as_array().expect("rows");
            assert_eq!(nodes.len(), 3);
            assert!(
                nodes.iter().all(|node| node["verdict"] == "same" && node["digest"] == nodes[0]["digest"])
            );
        }
    });
    let (text, code) = said(&run(&args));
    assert!(code == Some(0) && text.lines().filter(|line| line.ends_with("  same")).count() == 3, "{text}");
}

#[test]
fn one_node_tells_its_digest_and_strangers_can_not_be_compared() {
    let (one, other) = (perdura().start(), perdura().start());
    fill(&one, 10);
    let (addr, stranger) = (one.addr().to_string(), other.addr().to_string());
    let report = json(&["digest", "--addr", &addr]);
    assert_eq!(number(&report["nodes"][0], "keys"), 11, "and that the group has its parameters");
    let (text, code) = said(&run(&["digest", "--addr", &addr, "--addr", &stranger, "--timeout", "1"]));
    assert!(code == Some(4) && text.contains("only members of one cluster"), "{text}");
    let (text, code) = said(&run(&["digest", "--addr", &addr, "--addr", "127.0.0.1:1"]));
    assert!(code == Some(4) && text.contains("127.0.0.1:1"), "{text}");
}

#[test]
fn a_log_that_is_replayed_makes_every_newer_checkpoint() {
    let mut node = perdura().flag("segment-bytes", "64kb").flag("checkpoints-kept", 3).start();
    for round in 0..3 {
        let mut client = node.client();
        for line in ["SWAPDB 0 2", "HSET h f 1 g 2", "RPUSH l a b", "SPOP s", "SADD s 1 2 3 x"] {
            client.run(line);
        }
        client.check(&format!("SET dies {round} PX 1"), "+OK");
        fill(&node, 30 + round);
        checkpoint(&mut client);
    }
    node.client().check("SET behind all", "+OK");
    let dir = dir(&node);
    node.terminate();
    let before = json(&["log", "status", "--dir", &dir]);
    let report = json(&["log", "verify", "--dir", &dir, "--deep"]);
    let deep = &report["deep"];
    assert!(report["sound"] == true && number(deep, "entries") > 60, "{report}");
    let compared = deep["compared"].as_array().expect("rows");
    assert!(compared.len() == 2 && compared.iter().all(|row| row["same"] == true), "{report}");
    assert_eq!(json(&["log", "status", "--dir", &dir]), before, "nothing was changed");

    damage(&a_file_of(&node, number(&compared[1], "index")));
    let (text, code) = said(&run(&["log", "verify", "--dir", &dir, "--deep"]));
    assert!(code == Some(1) && text.contains("is damaged") && text.contains("same     checkpoint"), "{text}");
}

#[test]
fn without_a_checkpoint_the_log_is_replayed_from_its_first_entry() {
    let mut node = perdura().start();
    fill(&node, 20);
    let dir = dir(&node);
    node.terminate();
    let report = json(&["log", "verify", "--dir", &dir, "--deep"]);
    assert!(report["deep"]["from_checkpoint"].is_null() && number(&report["deep"], "keys") == 21, "{report}");
}

/// Writes a key at every entry, with checkpoints behind two of them; returns the folder of the second.
fn history(node: &Node, value: &str) -> PathBuf {
    let mut client = node.client();
    client.check("SET same value", "+OK");
    checkpoint(&mut client);
    client.check(&format!("SET other {value}"), "+OK");
    let index = checkpoint(&mut client);
    node.data().join(format!("checkpoints/{index:020}"))
}

#[test]
fn a_checkpoint_that_is_whole_but_not_of_this_log_is_found() {
    let (mut one, mut other) = (perdura().start(), perdura().start());
    let (folder, foreign) = (history(&one, "here"), history(&other, "there"));
    one.terminate();
    other.terminate();
    assert_eq!(folder.file_name(), foreign.file_name(), "both are of one entry");
    std::fs::remove_dir_all(&folder).expect("it is there");
    let copied = Command::new("cp").arg("-a").arg(&foreign).arg(&folder).status();
    assert!(copied.expect("cp can be run").success());
    let dir = dir(&one);
    let (text, code) = said(&run(&["checkpoint", "verify", "--dir", &dir, "--deep"]));
    assert_eq!(code, Some(0), "it is whole: {text}");
    let (text, code) = said(&run(&["log", "verify", "--dir", &dir, "--deep"]));
    let index = folder.file_name().expect("a name").to_string_lossy().trim_start_matches('0').to_owned();
    assert!(code == Some(1) && text.contains(&format!("DIFFERS  checkpoint {index}: database 0")), "{text}");
}

/// Puts another checkpoint, which is whole, in the place of a stopped node's: what no fault of a disk could do.
fn replace_content(node: &Node, index: u64) {
    let folder = node.data().join("checkpoints");
    let shelf = Shelf::open(&folder).expect("a shelf");
    let manifest = shelf.manifest(index).expect("it is there");
    shelf.remove(index).expect("it is there");
    let config = StoreConfig { bytes_per_second: 0, load_threads: 1, limits: TypeLimits::default() };
    let (mut store, _) = RocksStore::open(&folder, config, Clock::system()).expect("a sound folder");
    store.begin(manifest.point.clone()).expect("nobody else writes");
    let entries = vec![Entry::string(b"key0", b"something else", None)];
    let (generation, slot) = (manifest.databases[0], Slot::of(b"key0"));
    store.put(SlotChanges { generation, slot, entries, deleted: Vec::new() }).expect("space");
    store.finish(manifest.basis()).expect("space");
}

#[test]
fn a_node_that_holds_other_data_is_named() {
    let mut group = group();
    let (replica, _, index) = stopped_replica(&mut group);
    replace_content(&group.nodes[replica], index);
    group.nodes[replica].restart();
    let addrs: Vec<String> = group.nodes.iter().map(|node| node.addr().to_string()).collect();
    let mut args = vec!["digest", "--json"];
    args.extend(addrs.iter().flat_map(|addr| ["--addr", addr]));
    let output = run(&args);
    assert_eq!(output.status.code(), Some(1), "{:?}", said(&output));
    let report: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    for (at, row) in report["nodes"].as_array().expect("rows").iter().enumerate() {
        assert_eq!(row["verdict"], if at == replica { "differs" } else { "same" }, "{report}");
        assert_eq!(row["index"], report["index"]);
    }
    assert_eq!(report["equal"], false);
}
