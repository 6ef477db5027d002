//! Any point in time, on the real binary: a run of known writes is backed up, and restored to entries and moments drawn at random;
//! each time the data is what a model's was then.
//!
//! `POINT_IN_TIME_WRITES=200000 POINT_IN_TIME_TARGETS=20` is the long form.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use perdura_testkit::{Client, Node};
use serde_json::Value;

use crate::{perdura, s3};

const KEYS: u64 = 97;
/// Writes that are sent at once; they come into one entry, or a few.
const BURST: u64 = 50;

fn from_env(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

/// Runs the program; its exit code and both outputs.
pub fn run(arguments: &[&str], variables: &[(&str, String)]) -> (Option<i32>, String) {
    let output = command(arguments, variables).output().expect("the program can be run");
    said(&output)
}

pub fn command(arguments: &[&str], variables: &[(&str, String)]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_perdura"));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("PERDURA_") {
            command.env_remove(name);
        }
    }
    command.args(arguments).envs(variables.iter().map(|(name, value)| (name, value)));
    command
}

fn said(output: &Output) -> (Option<i32>, String) {
    let text = [&output.stdout[..], &output.stderr[..]].concat();
    (output.status.code(), String::from_utf8_lossy(&text).into_owned())
}

/// Runs the program, which must succeed, with `--json`; what it answers.
pub fn ask(arguments: &[&str], variables: &[(&str, String)]) -> Value {
    let output =
        command(&[arguments, &["--json"]].concat(), variables).output().expect("the program can be run");
    assert!(output.status.success(), "{arguments:?}: {}", said(&output).1);
    serde_json::from_slice(&output.stdout).expect("it answers with JSON")
}

/// What writes 1 to `n` make of an empty database.
fn model(writes: u64) -> BTreeMap<u64, u64> {
    (1..=writes).map(|n| (n % KEYS, n)).collect()
}

/// Writes number `first` and those behind it.
pub fn write(client: &mut Client, numbers: std::ops::Range<u64>) {
    let numbers: Vec<u64> = numbers.collect();
    for burst in numbers.chunks(BURST as usize) {
        for n in burst {
            client.send_line(&format!("SET key:{} {n}", n % KEYS));
        }
        burst.iter().for_each(|_| client.expect("+OK"));
    }
}

/// The last write that this node has, after a look at everything.
pub fn last_write(node: &Node) -> u64 {
    let mut client = node.client();
    let mut found = BTreeMap::new();
    for key in 0..KEYS {
        let text = client.run(&format!("GET key:{key}")).to_string();
        if let Ok(n) = text.parse::<u64>() {
            found.insert(key, n);
        }
    }
    let last = found.values().copied().max().unwrap_or(0);
    assert_eq!(found, model(last), "the data is no prefix of what was written");
    assert_eq!(client.run("DBSIZE").integer(), found.len() as i64);
    last
}

/// The log of a stopped node: index, time, and writes up to there, for each entry.
struct History {
    rows: Vec<(u64, Option<i64>, u64)>,
    /// Writes before the first.
    before: u64,
}

impl History {
    fn read(dir: &Path, before: u64) -> History {
        let arguments = ["log", "inspect", "--json", "--dir", &dir.display().to_string()];
        let output = command(&arguments, &[]).output().expect("the program can be run");
        assert!(output.status.success(), "{}", said(&output).1);
        let text = String::from_utf8_lossy(&output.stdout);
        let mut writes = before;
        let rows = text.lines().map(|line| {
            let row: Value = serde_json::from_str(line).expect("a line is JSON");
            let sets = row["names"].as_array().into_iter().flatten().filter(|name| name["name"] == "SET");
            writes += sets.filter_map(|name| name["count"].as_u64()).sum::<u64>();
            (row["index"].as_u64().expect("it has an index"), row["time_ms"].as_i64(), writes)
        });
        History { rows: rows.collect(), before }
    }

    /// Writes up to an entry.
    fn at_index(&self, index: u64) -> u64 {
        self.rows.iter().take_while(|row| row.0 <= index).last().map_or(self.before, |row| row.2)
    }

    /// Writes up to a moment.
    fn at_time(&self, ms: i64) -> u64 {
        self.rows
            .iter()
            .take_while(|row| row.1.is_none_or(|at| at <= ms))
            .last()
            .map_or(self.before, |row| row.2)
    }

    fn last(&self) -> u64 {
        self.rows.last().map_or(0, |row| row.0)
    }

    fn times(&self) -> (i64, i64) {
        let times = || self.rows.iter().filter_map(|row| row.1);
        (times().next().expect("there are writes"), times().next_back().expect("there are writes"))
    }
}

/// A moment of this century as people write it. Days are counted from 2000-03-01, so that leap days come last in a year.
pub fn utc_text(unix_ms: i64) -> String {
    let (days, ms) = (unix_ms.div_euclid(86_400_000) - 11_017, unix_ms.rem_euclid(86_400_000));
    let year = (4 * days + 3) / 1461;
    let day_of_year = days - 1461 * year / 4;
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let (year, month) = if month < 10 { (2000 + year, month + 3) } else { (2001 + year, month - 9) };
    let (hour, minute, second) = (ms / 3_600_000, ms / 60_000 % 60, ms / 1000 % 60);
    format!("{year}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{:03}Z", ms % 1000)
}

/// Numbers that are drawn alike in every run.
struct Dice(u64);

impl Dice {
    fn draw(&mut self, low: u64, high: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        low + self.0 % (high - low + 1)
    }
}

/// Where a run is backed up to, and how.
pub struct Place {
    pub url: String,
    pub key_file: Option<PathBuf>,
    pub variables: Vec<(&'static str, String)>,
}

impl Place {
    pub fn with<'a>(&'a self, arguments: &[&'a str], url: &'a str) -> Vec<&'a str> {
        let mut all = [arguments, &[url, &self.url]].concat();
        if let Some(path) = &self.key_file {
            all.extend(["--key-file", path.to_str().expect("temporary folders have plain names")]);
        }
        all
    }

    pub fn back_up(&self, dir: &Path) -> Value {
        let dir = dir.display().to_string();
        ask(&self.with(&["backup", "init", "--dir", &dir], "--at"), &self.variables);
        ask(&self.with(&["backup", "create", "--dir", &dir], "--to"), &self.variables)
    }

    /// Restores into a new folder under `scratch`; the folder, and what was said.
    pub fn restore(&self, scratch: &Path, target: &[&str]) -> (PathBuf, Value) {
        let dir = scratch.join(format!("restored{}", target.join("").replace([':', '.'], "-")));
        let _ = std::fs::remove_dir_all(&dir);
        let text = dir.display().to_string();
        let arguments = [&["restore", "--segment-bytes", "1mb", "--dir", &text], target].concat();
        let answer = ask(&self.with(&arguments, "--from"), &self.variables);
        (dir, answer)
    }
}

/// Restores, starts a node on what came out, and returns the last write that it has.
fn restored_writes(place: &Place, scratch: &Path, target: &[&str]) -> u64 {
    let (dir, answer) = place.restore(scratch, target);
    let node = perdura().flag("dir", dir.display()).start();
    let digest = node.client().run("DEBUG DIGEST").text();
    assert_eq!(Some(&digest[..]), answer["debug_digest"].as_str(), "{answer}");
    last_write(&node)
}

fn any_point_in_time(place: &Place, scratch: &Path, writes: u64, targets: u64) {
    let mut node = perdura().start();
    let (part, mut next, mut oldest) = (writes / 5, 1, 0);
    for round in 0..5 {
        write(&mut node.client(), next..next + part);
        next += part;
        match round {
            1 => oldest = crate::checkpoints::checkpoint(&node),
            3 => assert!(crate::checkpoints::checkpoint(&node) > oldest),
            _ => {}
        }
        if round == 2 {
            assert!(node.terminate().success());
            place.back_up(&node.data());
            node.restart();
        }
    }
    assert!(node.terminate().success());
    let created = place.back_up(&node.data());
    // The log was cut behind the first checkpoint, which has the first two parts.
    let history = History::read(&node.data(), 2 * part);
    assert_eq!(created["index"].as_u64(), Some(history.last()), "{created}");
    let verified = ask(&place.with(&["backup", "verify", "--deep"], "--at"), &place.variables);
    assert!(verified["good"] == true && verified["replayed_checkpoints"] == 1, "{verified}");
    let mut dice = Dice(0x2545_F491_4F6C_DD1D);
    let (first_ms, last_ms) = history.times();
    for _ in 0..targets {
        let index = dice.draw(oldest, history.last());
        let found = restored_writes(place, scratch, &["--to-index", &index.to_string()]);
        assert_eq!(found, history.at_index(index), "index {index}");
        let ms = first_ms + dice.draw(0, (last_ms - first_ms) as u64) as i64;
        let found = restored_writes(place, scratch, &["--to-time", &utc_text(ms)]);
        assert_eq!(found, history.at_time(ms), "{ms}");
    }
    assert_eq!(restored_writes(place, scratch, &[]), next - 1);
}

#[test]
fn any_point_in_time_comes_back_from_a_folder() {
    let scratch = tempfile::tempdir().expect("a temporary folder");
    let url = format!("file://{}", scratch.path().join("backups").display());
    let place = Place { url, key_file: None, variables: Vec::new() };
    let (writes, targets) = (from_env("POINT_IN_TIME_WRITES", 4000), from_env("POINT_IN_TIME_TARGETS", 3));
    any_point_in_time(&place, scratch.path(), writes, targets);
}

#[test]
fn any_point_in_time_comes_back_encrypted_from_an_object_store() {
    let server = s3::Server::start();
    let scratch = tempfile::tempdir().expect("a temporary folder");
    let key_file = scratch.path().join("key");
    assert_eq!(run(&["backup", "create-key", &key_file.display().to_string()], &[]).0, Some(0));
    let place =
        Place { url: server.url("some/where"), key_file: Some(key_file), variables: server.variables() };
    any_point_in_time(
        &place,
        scratch.path(),
        from_env("POINT_IN_TIME_WRITES", 4000),
        from_env("POINT_IN_TIME_TARGETS", 2),
    );
}
