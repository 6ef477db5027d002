//! Limits of memory: what does not fit is refused before it is logged, and everything goes on.

use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use perdura_testkit::client::encode;
use perdura_testkit::clock::wait_for;
use perdura_testkit::{Client, Cluster, Node, NodeSpec};

use crate::perdura;

const OOM: &str = "-OOM command not allowed when used memory > 'maxmemory'.";
const MIB: u64 = 1 << 20;

/// Copies of `a`, until one is refused; returns how many there are, and the refusal.
fn copy_until_refused(client: &mut Client, most: usize) -> (usize, String) {
    for copy in 0..most {
        let answer = client.run(&format!("COPY a copy{copy}")).to_string();
        if answer != ":1" {
            return (copy, answer);
        }
    }
    panic!("{most} copies were taken");
}

/// The answer to EXEC.
fn copied_in_transaction(client: &mut Client, copy: usize) -> String {
    client.check("MULTI", "+OK");
    client.check(&format!("COPY a transaction{copy}"), "+QUEUED");
    client.run("EXEC").to_string()
}

#[test]
fn setrange_and_copies_end_in_oom_answers_and_the_node_lives() {
    let mut node = perdura().flag("maxmemory", "100mb").start();
    let mut client = node.client();
    assert_eq!(client.info_number("maxmemory"), 100 * MIB);
    client.check("SETRANGE a 20971520 x", ":20971521");
    let (copies, refusal) = copy_until_refused(&mut client, 10);
    assert_eq!(refusal, OOM);
    assert!((2..5).contains(&copies), "{copies} copies");
    client.check("CONFIG SET maxmemory 10mb", "+OK");
    client.check("SET small x", OOM);
    client.check("PEXPIRE a 1000000", ":1");
    client.check("CONFIG SET maxmemory 100mb", "+OK");
    client.check("DEL copy0", ":1");
    // What was deleted is given back by a thread.
    wait_for("room for a copy", Duration::from_secs(5), || {
        (client.run("COPY a again").to_string() == ":1").then_some(())
    });
    node.kill();
    node.restart();
    node.client().check("EXISTS a copy0 again", ":2");
}

#[test]
fn what_a_thread_frees_is_counted() {
    let node = perdura().start();
    let mut client = node.client();
    let members: String = (0..1000).map(|n| format!(" {n}")).collect();
    let freed = |client: &mut Client| {
        wait_for("all is freed", Duration::from_secs(20), || {
            (client.info_number("lazyfree_pending_objects") == 0).then_some(())
        });
        client.info_number("lazyfreed_objects")
    };
    client.check(&format!("SADD large{members}"), ":1000");
    client.check("SADD small x", ":1");
    client.check("UNLINK large small", ":2");
    assert_eq!(freed(&mut client), 1);
    client.check("CONFIG RESETSTAT", "+OK");
    assert_eq!(freed(&mut client), 0);
    client.check("MSET a 1 b 2 c 3", "+OK");
    client.check("FLUSHDB", "+OK");
    assert_eq!(freed(&mut client), 3);
}

#[test]
fn copies_through_a_replica_end_in_oom_answers_of_the_primary() {
    let cluster = Cluster::start_with(perdura().flag("maxmemory", "80mb"));
    let mut client = cluster.client(cluster.replica());
    client.check("SETRANGE a 10485760 x", ":10485761");
    let (copies, refusal) = copy_until_refused(&mut client, 12);
    assert_eq!(refusal, OOM);
    assert!(copies > 1);
    // The memory that the refused copy lacked may be free by now.
    let refusal =
        (0..12).map(|copy| copied_in_transaction(&mut client, copy)).find(|answer| answer != "[:1]");
    let expected = format!("-EXECABORT Transaction discarded because of: {}", &OOM[1..]);
    assert_eq!(refusal, Some(expected));
    client.check("DEL copy0", ":1");
    cluster.agreed_digest();
}

#[test]
fn a_transaction_is_refused_as_soon_as_its_command_is() {
    let node = perdura().start();
    let mut client = node.client();
    client.check("SET k v", "+OK");
    client.check("CONFIG SET maxmemory 1mb", "+OK");
    assert_eq!(client.run("CONFIG GET maxmemory").items()[1].text(), (MIB).to_string());
    client.check("MULTI", "+OK");
    client.check("DEL k", "+QUEUED");
    client.check("SET k w", OOM);
    client.check("EXEC", "-EXECABORT Transaction discarded because of previous errors.");
    client.check("GET k", "v");
    client.check("CONFIG SET maxmemory 0", "+OK");
    client.check("SET k w", "+OK");
    let refused = client.run("CONFIG SET maxmemory-policy allkeys");
    assert!(refused.is_error(), "{refused}");
}

/// A program that starts the server with so many addresses.
fn with_addresses(mib: u64, folder: &tempfile::TempDir) -> NodeSpec {
    let program = folder.path().join("perdura");
    let script =
        format!("#!/bin/sh\nulimit -v {}\nexec {} \"$@\"\n", mib << 10, env!("CARGO_BIN_EXE_perdura"));
    std::fs::write(&program, script).expect("a script");
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).expect("it is ours");
    NodeSpec::new(program)
}

/// Nobody has set a limit: the guard below what the machine lets the process have refuses.
#[test]
fn without_maxmemory_a_guard_below_the_machines_limit_refuses() {
    let folder = tempfile::TempDir::new().expect("a temporary folder");
    let node = with_addresses(2048, &folder).flag("workers", 1).start();
    let mut client = node.client();
    assert_eq!(client.info_number("maxmemory"), 0);
    assert_eq!(client.info_number("memory_guard"), (2048 * MIB) / 100 * 85);
    assert_eq!(client.info("memory_guard_of").as_deref(), Some("RLIMIT_AS"));
    client.check("SETRANGE a 209715200 x", ":209715201");
    let (copies, refusal) = copy_until_refused(&mut client, 10);
    assert!(refusal.starts_with("-OOM command not allowed: it could pass memory_guard"), "{refusal}");
    assert!(copies >= 1, "{copies} copies");
    client.check("DEL a", ":1");
    client.check("PING", "+PONG");
}

/// Its buffer was allocated again for every piece that came. When a buffer doubles there are for a moment two; of the new one only what
/// was copied is in memory.
#[test]
fn a_half_sent_request_takes_little_more_than_its_bytes() {
    const PIECES: u64 = 150;
    let folder = tempfile::TempDir::new().expect("a temporary folder");
    let node = with_addresses(1536, &folder).flag("workers", 1).start();
    let (mut client, mut other) = (node.client(), node.client());
    let before = resident(&node, "VmRSS:");
    client.send_bytes(b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$450000000\r\n");
    for _ in 0..PIECES {
        client.send_bytes(&[b'x'; MIB as usize]);
    }
    wait_for("what was sent is read", Duration::from_secs(60), || {
        (resident(&node, "VmRSS:") > before + (PIECES - 1) * MIB).then_some(())
    });
    let most = resident(&node, "VmHWM:").saturating_sub(before);
    assert!(most < (2 * PIECES + 32) * MIB, "{most} bytes");
    other.check("SET k v", "+OK");
}

/// A quarter of the guard bounds a reply: the client hears that, before its connection is of no use any more.
#[test]
fn a_read_whose_reply_is_too_long_for_the_machine_answers_an_error() {
    const READS: usize = 2000;
    let folder = tempfile::TempDir::new().expect("a temporary folder");
    let node = with_addresses(2048, &folder).flag("workers", 1).start();
    let mut client = node.client();
    client.set_limit(Duration::from_secs(60));
    let refusal = format!(
        "-ERR the reply is too long: this node sends a client at most {} bytes at once",
        2048 * MIB / 100 * 85 / 4
    );
    client.check("SETRANGE v 255999 x", ":256000");
    let args: Vec<&[u8]> = [&b"MGET"[..]].into_iter().chain(vec![&b"v"[..]; READS]).collect();
    assert_eq!(client.call(&args).to_string(), refusal);
    let set = encode(&[b"SET", b"a", b"1"]);
    client.send_bytes(&[set.clone(), encode(&args)].concat());
    client.expect("+OK");
    client.expect(&refusal);
    client.send_bytes(&[set, encode(&[b"GET", b"v"]).repeat(READS)].concat());
    client.expect("+OK");
    (0..READS).for_each(|_| assert_eq!(client.read().text().len(), 256_000));
}

fn resident(node: &Node, field: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", node.pid())).expect("a live process");
    let line = status.lines().find(|line| line.starts_with(field)).expect("a process has resident memory");
    let kib: u64 = line.split_whitespace().nth(1).and_then(|text| text.parse().ok()).expect("kibibytes");
    kib << 10
}

/// Each of these made a copy of the value, for which there may be no memory.
#[test]
fn a_large_string_is_not_copied_when_its_deadline_or_its_name_changes() {
    const VALUE: u64 = 300 * MIB;
    let node = perdura().start();
    let mut client = node.client();
    client.set_limit(Duration::from_secs(60));
    client.check(&format!("SETRANGE {{k}} {} x", VALUE - 1), &format!(":{VALUE}"));
    for (line, answer) in [
        ("EXPIRE {k} 1000", ":1"),
        ("PERSIST {k}", ":1"),
        ("RENAME {k} {k}:a-longer-name", "+OK"),
        ("PEXPIRE {k}:a-longer-name 1000000", ":1"),
        ("RENAMENX {k}:a-longer-name {k}", ":1"),
        ("MOVE {k} 1", ":1"),
    ] {
        let before = resident(&node, "VmRSS:");
        assert!(before > VALUE, "it is there");
        client.check(line, answer);
        let cost = resident(&node, "VmHWM:").saturating_sub(before);
        assert!(cost < VALUE / 3, "{line}: {} MiB", cost / MIB);
    }
    client.check("SELECT 1", "+OK");
    client.check("STRLEN {k}", &format!(":{VALUE}"));
    assert_eq!(client.run(&format!("GETRANGE {{k}} {} -1", VALUE - 3)).text(), "\0\0x");
}
