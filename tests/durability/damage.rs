//! Logs that a disk did something to: a torn end is cut and named, damage that a checkpoint covers is named and set aside, damage
//! anywhere else is named and refused.

use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use perdura_testkit::Node;

use crate::checkpoints::checkpoint;
use crate::perdura;
use crate::restarts::digest;

/// First bytes of every segment (docs/log-format.md), and where its sequence number stands.
const MAGIC: &[u8] = b"PERDURAW";
const SEQUENCE_AT: usize = 24;

/// A byte of what the first batch of any segment holds.
pub const FIRST_BATCH: usize = 4096 + 40;

/// Stands in the last write of a test, so that the test finds it in the log.
const MARKER: &[u8] = b"the-very-last-value-of-this-log";

/// The segments under `dir`, oldest first.
pub fn segments(dir: &Path) -> Vec<PathBuf> {
    let mut found: Vec<(u64, PathBuf)> = files_under(dir)
        .into_iter()
        .filter_map(|path| Some((sequence(&std::fs::read(&path).ok()?)?, path)))
        .collect();
    found.sort();
    found.into_iter().map(|(_, path)| path).collect()
}

fn files_under(dir: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(dir).expect("a readable folder");
    let paths = entries.map(|entry| entry.expect("a readable folder").path());
    paths.flat_map(|path| if path.is_dir() { files_under(&path) } else { vec![path] }).collect()
}

fn sequence(segment: &[u8]) -> Option<u64> {
    let bytes = segment.starts_with(MAGIC).then(|| segment.get(SEQUENCE_AT..SEQUENCE_AT + 8))??;
    Some(u64::from_le_bytes(bytes.try_into().expect("eight bytes")))
}

fn position(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).rposition(|window| window == needle)
}

pub fn overwrite(path: &Path, offset: usize, bytes: &[u8]) {
    let file = std::fs::File::options().write(true).open(path).expect("a writable segment");
    file.write_all_at(bytes, offset as u64).expect("the segment takes the bytes");
}

/// Changes one bit of a file.
pub fn flip_byte(path: &Path, offset: usize) {
    let bytes = std::fs::read(path).expect("a readable file");
    overwrite(path, offset, &[bytes[offset] ^ 0x10]);
}

/// Starts a node, writes some keys and a last one that holds [`MARKER`], and kills it.
fn killed_after_the_marker() -> Node {
    let mut node = perdura().start();
    let mut client = node.client();
    for n in 0..50 {
        client.check(&format!("SET key{n} {n}"), "+OK");
    }
    assert_eq!(client.call(&[b"SET", b"last", MARKER]).to_string(), "+OK");
    node.kill();
    node
}

/// Tears the last write at several of its bytes: what precedes it is there, and the log says what was cut.
#[test]
fn a_torn_end_is_cut_and_named() {
    for torn_bytes in
        [1, 2, 7, MARKER.len() / 2, MARKER.len() - 1, MARKER.len(), MARKER.len() + 12, MARKER.len() + 40]
    {
        let mut node = killed_after_the_marker();
        let segment = segments(&node.data()).pop().expect("a segment");
        let bytes = std::fs::read(&segment).expect("a readable segment");
        let end = position(&bytes, MARKER).expect("the last write") + MARKER.len();
        let torn = end - torn_bytes;
        overwrite(&segment, torn, &vec![0; bytes.len() - torn]);
        node.restart();
        let mut client = node.client();
        client.check("EXISTS last", ":0");
        client.check("MGET key0 key49", "[0 49]");
        client.check("SET last again", "+OK");
        let log = node.log();
        let name = file_name(&segment);
        let said = log.lines().any(|line| line.contains(&name) && line.contains("cut"));
        assert!(said, "torn by {torn_bytes} bytes, no word of it and {name} in\n{log}");
        node.kill();
        node.restart();
        node.client().check("GET last", "again");
    }
}

/// One flipped byte in a segment that is full: the node refuses to start and says where and what.
#[test]
fn a_flipped_byte_in_a_sealed_segment_is_refused_and_named() {
    let mut node = perdura().start();
    let mut client = node.client();
    let value = vec![b'v'; 10_000];
    for n in 0..400 {
        assert_eq!(client.call(&[b"SET", format!("key{n}").as_bytes(), &value]).to_string(), "+OK");
    }
    node.kill();
    let segments = segments(&node.data());
    assert!(segments.len() >= 3, "{segments:?}");
    let sealed = &segments[segments.len() / 2 - 1];
    let bytes = std::fs::read(sealed).expect("a readable segment");
    let middle = bytes.len() / 2;
    for offset in [middle, middle + 1, FIRST_BATCH] {
        overwrite(sealed, offset, &[bytes[offset] ^ 0x10]);
        check_refusal(&mut node, sealed);
        overwrite(sealed, offset, &bytes[offset..=offset]);
    }
    node.restart();
    node.client().check("STRLEN key0", ":10000");
}

fn check_refusal(node: &mut Node, damaged: &Path) {
    let before = node.log().len();
    node.spawn();
    assert!(!node.wait_for_exit().success());
    let log = node.log().split_off(before);
    assert!(log.contains(&file_name(damaged)), "names the file: {log}");
    assert!(log.contains("at byte "), "names the offset: {log}");
    let checksums = log.matches("0x").count();
    assert!(checksums >= 2, "names both checksums: {log}");
}

fn file_name(path: &Path) -> String {
    path.file_name().expect("a file").to_string_lossy().into_owned()
}

/// A node whose log goes back behind its newest checkpoint, killed; the digest of its data, and the damaged segment.
fn killed_with_old_damage() -> (Node, String, PathBuf) {
    let mut node = perdura().start();
    let value = vec![b'v'; 10_000];
    for round in 0..3 {
        let mut client = node.client();
        for n in 0..250 {
            let key = format!("key:{round}:{n}");
            assert_eq!(client.call(&[b"SET", key.as_bytes(), &value]).to_string(), "+OK");
        }
        if round < 2 {
            checkpoint(&node);
        }
    }
    let expected = digest(&node);
    node.kill();
    let oldest = segments(&node.data())[0].clone();
    flip_byte(&oldest, FIRST_BATCH);
    (node, expected, oldest)
}

fn log_verify(node: &Node) -> (Option<i32>, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_perdura"))
        .args(["log", "verify", "--dir"])
        .arg(node.data())
        .output()
        .expect("the program can be run");
    (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned())
}

#[test]
fn damage_before_the_newest_checkpoint_does_not_condemn_the_log() {
    let (mut node, expected, damaged) = killed_with_old_damage();
    let name = file_name(&damaged);
    let (code, said) = log_verify(&node);
    assert!(code == Some(1) && said.contains(&name) && said.contains("a node starts"), "{said}");
    node.restart();
    assert_eq!(digest(&node), expected);
    let log = node.log();
    for part in ["DAMAGE in an old part of the log", &name, "at byte ", "begins_with"] {
        assert!(log.contains(part), "no {part} in {log}");
    }
    assert_eq!(node.client().info_number("perdura_damage_found"), 1);
    let aside = damaged.with_file_name(format!("damaged-{name}"));
    assert!(aside.exists() && !damaged.exists(), "it is set aside");
    node.client().check("SET after damage", "+OK");
    node.kill();
    assert_eq!(log_verify(&node).0, Some(0), "the log is sound again");
    node.restart();
    node.client().check("GET after", "damage");
    assert!(aside.exists(), "only people remove it");
}

/// The newest checkpoint is damaged as well: the older one needs the damaged segment.
#[test]
fn damage_that_the_newest_whole_checkpoint_does_not_cover_is_refused() {
    let (mut node, _, damaged) = killed_with_old_damage();
    let shelf = perdura::checkpoint::shelf::Shelf::at(&node.data().join("checkpoints"));
    let newest = shelf.list().expect("it can be listed").pop().expect("there is one");
    flip_byte(&shelf.path(newest).join("MANIFEST.perdura"), 200);
    check_refusal(&mut node, &damaged);
}

/// A file that is cut short under its map stands for a disk that fails later: both bring SIGBUS.
#[test]
fn a_segment_that_goes_bad_under_a_running_node_is_named() {
    let mut node = perdura().start();
    let mut client = node.client();
    let value = vec![b'v'; 10_000];
    for n in 0..250 {
        assert_eq!(client.call(&[b"SET", format!("key{n}").as_bytes(), &value]).to_string(), "+OK");
    }
    // A start reads every segment; what it has read is mapped from then on.
    node.kill();
    node.restart();
    let mut client = node.client();
    let read = |client: &mut perdura_testkit::Client, from: &[u8]| {
        client.try_call(&[b"PERDURA", b"LOG", b"READ", from, b"20000"])
    };
    assert!(!read(&mut client, b"2").expect("it answers").is_error());
    let oldest = segments(&node.data())[0].clone();
    let file = std::fs::File::options().write(true).open(&oldest).expect("a writable segment");
    file.set_len(8192).expect("it can be cut");
    assert!(read(&mut client, b"50").is_err(), "the process ends");
    assert_eq!(node.wait_for_exit().code(), Some(1));
    let log = node.log();
    assert!(log.contains(&format!("the disk does not give back {} at byte", file_name(&oldest))), "{log}");
    node.spawn();
    assert!(!node.wait_for_exit().success(), "what is needed is damaged");
    assert!(node.log()[log.len()..].contains(&file_name(&oldest)), "{}", node.log());
}
