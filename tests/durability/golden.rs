//! Data folders of older programs: this program starts on each, and holds what they held.
//!
//! - tests/golden/folder-N.tar.gz is a data folder, folder-N.txt what was in it: the digest, and the formats that it was written in.
//! - A program that writes another format makes another folder, and starts on all older ones for as long as the page says so
//!   (docs/operations.md, Upgrade). The newest folder is of the formats of this program:
//!   `cargo test --test durability golden -- --ignored` writes the next one.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use perdura_testkit::cluster::local_digest;
use perdura_testkit::{Client, Node};

use crate::perdura;

/// A value that is logged in parts.
const LONG_BYTES: usize = 1_500_000;

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name)
}

/// The numbers of the folders, oldest first.
fn folders() -> Vec<u32> {
    let files = fs::read_dir(golden("")).expect("the folder is there");
    let names = files.map(|file| file.expect("its files can be listed").file_name());
    let number = |name: &str| name.strip_prefix("folder-")?.strip_suffix(".txt")?.parse().ok();
    let mut numbers: Vec<u32> = names.filter_map(|name| number(name.to_str()?)).collect();
    numbers.sort_unstable();
    numbers
}

/// The formats of this program's files, as `perdura --version` tells them.
fn formats() -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_perdura")).arg("--version").output();
    let text = String::from_utf8(output.expect("the program can be run").stdout).expect("text");
    let formats = text.lines().nth(1).and_then(|line| line.split_once("; ")).expect("a line about formats");
    formats.1.to_owned()
}

fn run_tar(args: &[&str], at: &Path) {
    let status = Command::new("tar").current_dir(at).args(args).status();
    assert!(status.expect("tar can be run").success(), "tar {args:?}");
}

fn run_all(client: &mut Client, lines: &[&str]) {
    for line in lines {
        let reply = client.run(line);
        assert!(!reply.is_error(), "{line}: {reply}");
    }
}

/// Every type, small and large, in two databases, with deadlines in the year 2100.
fn fill(client: &mut Client) {
    run_all(
        client,
        &[
            "SET string v EXAT 4102444800",
            "SETRANGE padded 20 end",
            "RPUSH list a b c d",
            "SADD numbers 3 1 2",
            "SADD words a b c",
            "HSET hash f v g w",
            "ZADD scores 1 a 2.5 b inf c",
            "SELECT 7",
            "SET other v PXAT 4102444800000",
            "SELECT 0",
        ],
    );
    for n in 0..600 {
        let lines = [
            format!("HSET big-hash f{n} {n}"),
            format!("ZADD big-scores {n} m{n}"),
            format!("SADD big-set s{n}"),
        ];
        lines.iter().for_each(|line| client.check(line, ":1"));
    }
}

/// What changes it after the checkpoint.
fn change(client: &mut Client) {
    run_all(
        client,
        &[
            "MULTI",
            "LPOP list",
            "RPUSH list e",
            "INCRBY counter 42",
            "EXEC",
            "HDEL hash f",
            "SPOP words",
            "ZINCRBY scores 5 a",
            "RENAME padded renamed",
            "COPY hash hash-copy",
            "DEL numbers",
        ],
    );
    let long = vec![b'x'; LONG_BYTES];
    assert_eq!(client.call(&[b"SET", b"long", &long]).to_string(), "+OK");
}

fn check(client: &mut Client) {
    for (line, reply) in [
        ("LRANGE list 0 -1", "[b c d e]".to_owned()),
        ("MGET string counter", "[v 42]".to_owned()),
        ("EXPIRETIME string", ":4102444800".to_owned()),
        ("STRLEN long", format!(":{LONG_BYTES}")),
        ("HGETALL hash-copy", "[g w]".to_owned()),
        ("ZRANGE scores 0 -1 WITHSCORES", "[b 2.5 a 6 c inf]".to_owned()),
        ("HLEN big-hash", ":600".to_owned()),
        ("SCARD words", ":2".to_owned()),
        ("EXISTS numbers padded", ":0".to_owned()),
    ] {
        client.check(line, &reply);
    }
}

fn digest(node: &Node) -> String {
    local_digest(node).expect("it tells its digest")
}

#[test]
#[ignore = "it writes a file into tests/golden: see the module"]
fn next_golden_folder_is_written() {
    let number = folders().last().map_or(1, |last| last + 1);
    let mut node = perdura().flag("segment-bytes", "2mb").start();
    fill(&mut node.client());
    let addr = node.addr().to_string();
    let mut checkpoint = Command::new(env!("CARGO_BIN_EXE_perdura"));
    checkpoint.args(["checkpoint", "now", "--addr", &addr]);
    assert!(checkpoint.status().expect("the program can be run").success());
    change(&mut node.client());
    check(&mut node.client());
    let digest = digest(&node);
    assert!(node.terminate().success());
    let (file, text) = (golden(&format!("folder-{number}.tar.gz")), golden(&format!("folder-{number}.txt")));
    let data = node.data();
    let name = data.file_name().and_then(|name| name.to_str()).expect("a name");
    let transform = format!("--transform=s,^{name},folder,");
    let arguments = ["--owner=0", "--group=0", "--numeric-owner", "--exclude=ballast", &transform];
    run_tar(
        &[&arguments[..], &["-czf", &file.display().to_string(), name]].concat(),
        data.parent().expect("a folder"),
    );
    fs::write(text, format!("digest {digest}\n{}\n", formats())).expect("it can be written");
}

#[test]
fn folder_of_an_older_program_is_served_and_holds_what_it_held() {
    let folders = folders();
    assert!(!folders.is_empty());
    for number in folders {
        let told = fs::read_to_string(golden(&format!("folder-{number}.txt"))).expect("it is there");
        let scratch = tempfile::tempdir().expect("a temporary folder");
        run_tar(&["-xzf", &golden(&format!("folder-{number}.tar.gz")).display().to_string()], scratch.path());
        let dir = scratch.path().join("folder");
        let dir_text = dir.display().to_string();
        let mut verify = Command::new(env!("CARGO_BIN_EXE_perdura"));
        let verified = verify.args(["log", "verify", "--deep", "--dir", &dir_text]).output();
        let verified = verified.expect("the program can be run");
        assert!(verified.status.success(), "folder {number}: {verified:?}");
        let mut node = perdura().flag("dir", &dir_text).start();
        assert_eq!(
            Some(digest(&node).as_str()),
            told.lines().next().and_then(|line| line.strip_prefix("digest "))
        );
        check(&mut node.client());
        node.client().check("SET new v", "+OK");
        let changed = digest(&node);
        assert!(node.terminate().success());
        node.restart();
        assert_eq!(digest(&node), changed, "folder {number}");
        node.client().check("GET new", "v");
    }
}

#[test]
fn newest_folder_is_of_the_formats_that_this_program_writes() {
    let newest = *folders().last().expect("a folder");
    let told = fs::read_to_string(golden(&format!("folder-{newest}.txt"))).expect("it is there");
    assert_eq!(told.lines().nth(1), Some(formats().as_str()), "write the next folder: see the module");
}
