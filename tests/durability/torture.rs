//! `perdura torture` itself: a group of its own passes, a Redis whose replica is promoted does not, and both leave a report.

use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;
use tempfile::TempDir;

fn torture(dir: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_perdura"));
    command.arg("torture").arg("--dir").arg(dir).args(arguments);
    command.output().expect("the program can be run")
}

fn summary(dir: &Path) -> Value {
    let text = std::fs::read_to_string(dir.join("summary.json")).expect("a summary");
    serde_json::from_str(&text).expect("the summary is JSON")
}

/// Each line of a file as JSON.
fn lines(dir: &Path, name: &str) -> Vec<Value> {
    let text = std::fs::read_to_string(dir.join(name)).expect("a file of lines");
    text.lines().map(|line| serde_json::from_str(line).expect("a line is JSON")).collect()
}

fn shown(output: &Output) -> String {
    [&output.stderr, &output.stdout].map(|bytes| String::from_utf8_lossy(bytes)).join("\n")
}

#[test]
fn a_group_of_three_passes_and_leaves_its_report() {
    let dir = TempDir::new().expect("a folder");
    let output = torture(dir.path(), &["--minutes", "0.4", "--seed", "11", "--rate", "400"]);
    assert_eq!(output.status.code(), Some(0), "{}", shown(&output));
    let summary = summary(dir.path());
    assert_eq!(summary["verdict"], "passed");
    let faults = lines(dir.path(), "faults.jsonl");
    assert!(!faults.is_empty() && summary["faults"] == faults.len());
    assert!(faults.iter().all(|fault| fault["recovered_us"].is_u64()), "{faults:?}");
    let acknowledged =
        lines(dir.path(), "history.jsonl").iter().filter(|line| line["outcome"]["ok"] != Value::Null).count();
    assert!(acknowledged > 1000, "{acknowledged}");
    let page = std::fs::read_to_string(dir.path().join("report.html")).expect("a page");
    assert!(page.contains("Nothing acknowledged was lost") && page.ends_with("</html>\n"));
    assert!(!dir.path().join("nodes").exists(), "data is kept only where something was found");
}

#[test]
fn a_redis_whose_replica_is_promoted_loses_writes_and_the_report_says_so() {
    let dir = TempDir::new().expect("a folder");
    let arguments = ["--redis-server", "--faults", "kill-primary,isolate-primary", "--minutes", "0.35"];
    let output = torture(
        dir.path(),
        &[&arguments[..], &["--seed", "5", "--workload", "append,set", "--json"]].concat(),
    );
    assert_eq!(output.status.code(), Some(1), "{}", shown(&output));
    let summary = summary(dir.path());
    let printed: Value = serde_json::from_slice(&output.stdout).expect("--json prints JSON");
    assert_eq!(printed, summary);
    assert_eq!(summary["verdict"], "failed");
    let checks = summary["checks"].as_array().expect("a list of checks");
    let durability =
        checks.iter().find(|check| check["name"] == "durability").expect("the check of durability");
    assert_eq!(durability["status"], "failed", "{durability}");
    assert!(durability["explanations"][0].is_string());
    assert!(summary["failovers"].as_u64() >= Some(1));
}

#[test]
fn a_folder_in_use_is_left_alone() {
    let dir = TempDir::new().expect("a folder");
    std::fs::write(dir.path().join("precious"), "data").expect("a file");
    let output = torture(dir.path(), &["--minutes", "0.1"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(shown(&output).contains("not empty"), "{}", shown(&output));
    assert!(dir.path().join("precious").exists());
}
