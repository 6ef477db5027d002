//! A disk that is full: the node refuses writes and serves reads, loses nothing, may be killed and started, and writes
//! again as soon as there is space, without anybody starting it.
//!
//! It takes a file system of its own, a small one in memory, which only root can mount; elsewhere these stories are not told.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use perdura_testkit::clock::wait_for;
use perdura_testkit::{Client, Node, free_port};
use tempfile::TempDir;

use crate::perdura;

const REFUSED: &str = "-MISCONF the disk is full; the command did not happen";
const SOON: Duration = Duration::from_secs(10);

/// A small file system; gone when it is dropped.
struct SmallDisk {
    at: TempDir,
}

impl SmallDisk {
    /// None where it can't be had.
    fn mount(options: &str) -> Option<SmallDisk> {
        let at = TempDir::new().expect("a temporary folder");
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", options, "tmpfs"]).arg(at.path()).stderr(Stdio::null());
        let mounted = mount.status().is_ok_and(|status| status.success());
        if !mounted {
            println!("not told: it takes the right to mount a tmpfs");
        }
        mounted.then_some(SmallDisk { at })
    }

    fn path(&self) -> &Path {
        self.at.path()
    }

    /// Takes all the room there is, beside what was taken before.
    fn fill(&self) {
        // It ends when there is no more room.
        let status = Command::new("dd")
            .args(["if=/dev/zero", "bs=4096", "oflag=append", "conv=notrunc"])
            .arg(format!("of={}", self.path().join("ballast").display()))
            .stderr(Stdio::null())
            .status();
        assert!(!status.expect("dd can be run").success(), "dd fills the disk");
    }

    fn drain(&self) {
        std::fs::remove_file(self.path().join("ballast")).expect("there is ballast");
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // What can't be unmounted now is when its last user has gone.
        let _ = Command::new("umount").arg("-l").arg(self.path()).status();
    }
}

/// Writes until the node refuses; returns how many writes it took.
fn write_until_refused(client: &mut Client, first: usize) -> usize {
    let value = vec![b'v'; 10_000];
    for n in first..first + 10_000 {
        let reply = client.call(&[b"SET", format!("key{n}").as_bytes(), &value]);
        if reply.is_error() {
            assert_eq!(reply.to_string(), REFUSED);
            return n;
        }
    }
    panic!("it never refuses");
}

/// What `/healthz` answers.
fn health(port: u16) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).expect("the endpoint is there");
    stream
        .write_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        .expect("it is sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    answer
}

/// The log's own segments filled the disk, and the checkpoint that frees them had no space.
#[test]
fn a_disk_that_the_log_itself_has_filled_is_freed_by_a_checkpoint() {
    const DISK_MB: usize = 24;
    const VALUE_BYTES: usize = 100_000;
    let Some(disk) = SmallDisk::mount(&format!("size={DISK_MB}m")) else { return };
    let spec = perdura().flag("dir", disk.path().join("data").display());
    let mut node = spec.flag("segment-bytes", 2 << 20).start();
    let mut client = node.client();
    let value = vec![b'v'; VALUE_BYTES];
    let (mut written, mut refused) = (0, 0);
    wait_for("twice as much is written as the disk holds", Duration::from_secs(90), || {
        let key = format!("key{}", written / VALUE_BYTES % 5);
        let reply = client.call(&[b"SET", key.as_bytes(), &value]);
        if reply.is_error() {
            assert_eq!(reply.to_string(), REFUSED);
            refused += 1;
        } else {
            written += VALUE_BYTES;
        }
        (written > (2 * DISK_MB) << 20).then_some(())
    });
    println!("{refused} writes were refused");
    node.kill();
    node.restart();
    (0..5).for_each(|n| node.client().check(&format!("STRLEN key{n}"), &format!(":{VALUE_BYTES}")));
}

fn check_keys(client: &mut Client, count: usize) {
    for n in 0..count {
        client.check(&format!("STRLEN key{n}"), ":10000");
    }
}

fn info_says(node: &Node, line: &str) {
    wait_for(line, SOON, || {
        node.client().run("INFO persistence").text().contains(&format!("{line}\r\n")).then_some(())
    });
}

#[test]
fn a_full_disk_refuses_writes_keeps_what_is_there_and_takes_more_when_there_is_space() {
    let Some(disk) = SmallDisk::mount("size=24m") else { return };
    let port = free_port();
    let spec = perdura().flag("dir", disk.path().join("data").display());
    let mut node = spec.flag("metrics-addr", format!("127.0.0.1:{port}")).start();
    let mut client = node.client();
    info_says(&node, "perdura_log_disk_full:0");
    client.check("SET key0 v", "+OK");
    assert!(health(port).starts_with("HTTP/1.1 200 "));
    // Somebody else's files take what the log has not got yet.
    disk.fill();
    let mut written = write_until_refused(&mut client, 0);
    check_keys(&mut client, written);
    assert!(node.log().contains("the disk is full: writes are refused until there is space"));
    wait_for("the node says that it refuses writes", SOON, || {
        // What a checkpoint frees is taken, too.
        disk.fill();
        written = write_until_refused(&mut client, written);
        let (info, health) = (node.client().run("INFO persistence").text(), health(port));
        let says = |line: &str| info.contains(&format!("{line}\r\n"));
        let is_told = says("perdura_log_disk_full:1") && says("aof_last_write_status:err");
        (is_told && health.starts_with("HTTP/1.1 503 ") && health.contains("writes are refused"))
            .then_some(())
    });

    node.kill();
    node.restart();
    let mut client = node.client();
    check_keys(&mut client, written);
    let written = write_until_refused(&mut client, written);

    disk.drain();
    let value = [b'v'; 10_000];
    wait_for("a write on a disk with space", SOON, || {
        (!client.call(&[b"SET", format!("key{written}").as_bytes(), &value]).is_error()).then_some(())
    });
    info_says(&node, "perdura_log_disk_full:0");
    info_says(&node, "aof_last_write_status:ok");
    node.kill();
    node.restart();
    check_keys(&mut node.client(), written + 1);
}
