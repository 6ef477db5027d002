//! `perdura log`: an operator looks into the log of a node that does not run.

use std::collections::BTreeMap;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use perdura_testkit::Node;
use serde_json::Value;

use crate::perdura;

/// Runs `perdura log` on a data folder.
pub fn log(dir: &Path, args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_perdura"));
    command.arg("log").arg(args[0]).arg("--dir").arg(dir).args(&args[1..]);
    command.env_remove("PERDURA_CONFIG").output().expect("the program can be run")
}

/// What it printed, and its exit code.
pub fn said(output: &Output) -> (String, Option<i32>) {
    let text = [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes)).concat();
    (text, output.status.code())
}

fn json(dir: &Path, args: &[&str]) -> Value {
    let output = log(dir, &[args, &["--json"]].concat());
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {:?}", said(&output)))
}

/// Each line as JSON.
fn rows(dir: &Path, args: &[&str]) -> Vec<Value> {
    let output = log(dir, &[args, &["--json"]].concat());
    let text = String::from_utf8(output.stdout).expect("rows are text");
    text.lines().map(|line| serde_json::from_str(line).expect("a row is JSON")).collect()
}

fn indexes(rows: &[Value]) -> Vec<u64> {
    rows.iter().map(|row| row["index"].as_u64().expect("an index")).collect()
}

/// A node with several segments of data, stopped.
fn stopped_node() -> Node {
    let mut node = perdura().flag("segment-bytes", "64kb").start();
    let mut client = node.client();
    let value = vec![b'v'; 2000];
    for n in 0..100 {
        assert_eq!(client.call(&[b"SET", format!("key{n}").as_bytes(), &value]).to_string(), "+OK");
    }
    client.check("MULTI", "+OK");
    client.run("RPUSH list a b");
    client.run("INCR n");
    client.check("EXEC", "[:2 :1]");
    assert!(node.terminate().success());
    node
}

pub fn segments(dir: &Path) -> Vec<PathBuf> {
    let names = json(dir, &["status"])["segments"].as_array().expect("segments").clone();
    names.iter().map(|row| dir.join("log").join(row["file"].as_str().expect("a name"))).collect()
}

/// Flips a bit in the middle of what a segment holds; returns where.
pub fn damage(segment: &Path) -> u64 {
    let bytes = std::fs::read(segment).expect("a readable segment");
    let filled = bytes.iter().rposition(|byte| *byte != 0).expect("content");
    let file = std::fs::File::options().write(true).open(segment).expect("a writable segment");
    file.write_all_at(&[bytes[filled / 2] ^ 4], filled as u64 / 2).expect("the segment takes the byte");
    filled as u64 / 2
}

fn snapshot(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let entries = std::fs::read_dir(dir.join("log")).expect("a readable folder");
    let paths = entries.map(|entry| entry.expect("a readable folder").path());
    paths.map(|path| (path.clone(), std::fs::read(path).expect("a readable file"))).collect()
}

#[test]
fn status_says_whose_log_it_is_and_what_it_holds() {
    let node = stopped_node();
    let before = snapshot(&node.data());
    let status = json(&node.data(), &["status"]);
    assert_eq!(status["node"]["node_id"], 1);
    assert_eq!(status["node"]["members"], serde_json::json!([1]));
    assert_eq!((&status["first_index"], &status["torn_tail"]), (&1.into(), &Value::Null));
    assert!(
        status["last_index"].as_u64() > Some(100) && status["newest_ms"].as_i64() > Some(1_600_000_000_000)
    );
    assert!(status["oldest_ms"].as_i64() <= status["newest_ms"].as_i64());
    assert!(status["segments"].as_array().is_some_and(|segments| segments.len() >= 3));
    let (text, code) = said(&log(&node.data(), &["status"]));
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains("node       1 of [1]") && text.contains("torn tail  none"), "{text}");
    assert_eq!(snapshot(&node.data()), before, "nothing was changed");
}

#[test]
fn entries_are_shown_by_index_and_by_time_and_with_their_commands() {
    let node = stopped_node();
    let dir = node.data();
    let all = rows(&dir, &["inspect"]);
    let last = json(&dir, &["status"])["last_index"].as_u64().expect("an index");
    assert_eq!(indexes(&all), (1..=last).collect::<Vec<_>>());
    assert_eq!(indexes(&rows(&dir, &["inspect", "--from", "10", "--to", "12"])), [10, 11, 12]);

    let moment = all[49]["time"].as_str().expect("a time");
    let later = rows(&dir, &["inspect", "--from-time", moment]);
    let earlier = rows(&dir, &["inspect", "--to-time", moment]);
    assert_eq!(later.len() + earlier.len(), all.len());
    assert!(earlier.len() < 50 && indexes(&later).last() == Some(&last));

    let newest = &rows(&dir, &["tail", "--count", "1", "--commands"])[0];
    assert_eq!(
        newest["names"],
        serde_json::json!([{"name": "RPUSH", "count": 1}, {"name": "INCR", "count": 1}])
    );
    assert_eq!(newest["items"][0]["transaction"], true);
    assert_eq!(newest["items"][0]["commands"][0]["args"], serde_json::json!(["RPUSH", "list", "a", "b"]));
    let (text, _) = said(&log(&dir, &["tail", "--count", "2", "--commands"]));
    assert!(
        text.contains("db0 \"SET\" \"key99\" \"vvv") && text.contains("... (1872 more bytes)\""),
        "{text}"
    );
    assert!(text.contains("MULTI of 2\n"), "{text}");
}

#[test]
fn the_tail_is_the_last_ten_or_what_was_asked_for() {
    let node = stopped_node();
    let dir = node.data();
    let last = json(&dir, &["status"])["last_index"].as_u64().expect("an index");
    assert_eq!(indexes(&rows(&dir, &["tail"])), (last - 9..=last).collect::<Vec<_>>());
    let from = (last - 40).to_string();
    assert_eq!(rows(&dir, &["tail", "--from", &from]).len(), 41);
    assert_eq!(indexes(&rows(&dir, &["tail", "--from", "2", "--count", "3"])), [2, 3, 4]);
    let (text, code) = said(&log(&dir, &["tail", "--follow"]));
    assert_eq!(code, Some(2), "{text}");
}

#[test]
fn damage_is_named_and_told_by_the_exit_code() {
    let mut node = stopped_node();
    let dir = node.data();
    let (text, code) = said(&log(&dir, &["verify"]));
    assert!(code == Some(0) && text.contains("sound"), "{text}");
    let segment = &segments(&dir)[1];
    damage(segment);
    let (text, code) = said(&log(&dir, &["verify"]));
    let name = segment.file_name().expect("a name").to_string_lossy().into_owned();
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains(&name) && text.contains("at byte "), "{text}");
    let output = log(&dir, &["verify", "--json"]);
    let report: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let finding = &report["findings"][0];
    assert!(report["sound"] == false && finding["file"] == name && finding["offset"].is_u64(), "{report}");
    assert!(finding["expected"] != finding["found"], "{report}");
    let (text, code) = said(&log(&dir, &["status"]));
    assert!(code == Some(1) && text.contains(&name), "{text}");
    node.spawn();
    assert!(!node.wait_for_exit().success(), "a node does not start on it either");
}

#[test]
fn a_folder_in_use_and_a_folder_without_a_log_are_refused_each_with_its_code() {
    let node = perdura().start();
    for command in ["status", "inspect", "verify", "tail"] {
        let (text, code) = said(&log(&node.data(), &[command]));
        assert!(code == Some(3) && text.contains("a running node has it"), "{command}: {text}");
        let (text, code) = said(&log(Path::new("/no/such/folder"), &[command]));
        assert!(code == Some(4) && text.contains("there is no log"), "{command}: {text}");
    }
    node.client().check("SET k v", "+OK");
}

#[test]
fn a_torn_tail_is_told_and_is_no_damage() {
    let mut node = perdura().start();
    // The first entry brings the cluster's id, which is written to the metadata after it.
    node.client().check("SET first value", "+OK");
    node.client().check("SET last the-last-value", "+OK");
    node.kill();
    let segment = segments(&node.data()).pop().expect("a segment");
    let bytes = std::fs::read(&segment).expect("a readable segment");
    let marker = b"the-last-value";
    let at = bytes.windows(marker.len()).rposition(|window| window == marker).expect("the last write");
    let file = std::fs::File::options().write(true).open(&segment).expect("a writable segment");
    file.write_all_at(&[0; 8], at as u64).expect("the segment takes the bytes");
    let (text, code) = said(&log(&node.data(), &["verify"]));
    assert!(code == Some(0) && text.contains("torn tail"), "{text}");
    assert!(json(&node.data(), &["status"])["torn_tail"]["offset"].is_u64());
    node.restart();
    node.client().check("EXISTS last", ":0");
}
