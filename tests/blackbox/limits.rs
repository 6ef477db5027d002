//! Limits: the largest value, slow readers, too many clients, and very many of them.

use std::process::Command;
use std::time::Duration;

use perdura_testkit::clock::{Stopwatch, wait_for};
use perdura_testkit::{Client, Node};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::perdura;

const MIB: usize = 1024 * 1024;

#[test]
fn a_value_of_512_mib_is_taken_and_a_larger_one_refused() {
    let mut node = perdura().start();
    let mut client = node.client();
    client.set_limit(Duration::from_secs(120));
    let value = vec![b'v'; 512 * MIB];
    assert_eq!(client.call(&[b"SET", b"large", &value]).to_string(), "+OK");
    drop(value);
    client.check("STRLEN large", ":536870912");
    client.check("APPEND large x", "-ERR string exceeds maximum allowed size (proto-max-bulk-len)");
    client.check("GETRANGE large 536870910 -1", "vv");
    let mut greedy = node.client();
    greedy.send_bytes(b"*3\r\n$3\r\nSET\r\n$5\r\nlarge\r\n$536870913\r\n");
    greedy.expect("-ERR Protocol error: invalid bulk length");
    assert_eq!(greedy.read_to_end(), b"");
    node.kill();
    node.restart();
    node.client().check("STRLEN large", ":536870912");
}

#[test]
fn a_smaller_limit_can_be_set() {
    let node = perdura().flag("proto-max-bulk-len", MIB).start();
    let mut client = node.client();
    let value = vec![b'v'; MIB];
    assert_eq!(client.call(&[b"SET", b"k", &value]).to_string(), "+OK");
    client.send_bytes(b"*2\r\n$3\r\nGET\r\n$1048577\r\n");
    client.expect("-ERR Protocol error: invalid bulk length");
}

/// A promise of much data costs nothing until the data comes.
#[test]
fn promises_are_not_allocated() {
    let node = perdura().start();
    let before = resident_bytes(&node);
    let mut promising: Vec<Client> = (0..200).map(|_| node.client()).collect();
    for client in &mut promising {
        client.send_bytes(b"*1048576\r\n$536870912\r\nx");
    }
    node.client().check("PING", "+PONG");
    let cost = resident_bytes(&node).saturating_sub(before);
    assert!(cost < 100 * MIB, "200 promises cost {cost} bytes");
}

/// Replies that nobody reads may not pile up, nor keep others waiting.
#[test]
fn who_does_not_read_costs_little_and_stops_nobody() {
    let node = perdura().flag("client-output-buffer-limit", "normal 4mb 0 0").start();
    let mut other = node.client();
    other.call(&[b"SET", b"k", &vec![b'v'; 100_000]]);
    let mut slow = node.client();
    slow.check("PING", "+PONG");
    slow.try_send_bytes(&b"*2\r\n$3\r\nGET\r\n$1\r\nk\r\n".repeat(5_000)).unwrap_or_default();
    std::thread::sleep(Duration::from_millis(300));
    other.check("STRLEN k", ":100000");
    assert!(resident_bytes(&node) < 150 * MIB);
}

/// More than a megabyte unread for over a second: cut off, whether or not anything else happens.
#[test]
fn who_stops_reading_is_cut_off() {
    let node = perdura().flag("client-output-buffer-limit", "normal 0 512kb 1").start();
    let mut other = node.client();
    other.call(&[b"SET", b"k", &vec![b'v'; 100_000]]);
    let mut slow = node.client();
    slow.check("PING", "+PONG");
    slow.try_send_bytes(&b"*2\r\n$3\r\nGET\r\n$1\r\nk\r\n".repeat(200)).unwrap_or_default();
    wait_for("the slow reader is cut off", Duration::from_secs(10), || {
        (other.run("CLIENT LIST").text().lines().count() == 1).then_some(())
    });
    let received = slow.read_to_end().len();
    assert!(received < 200 * 100_000, "all {received} bytes came");
}

#[test]
fn a_reply_above_the_output_limit_ends_the_connection() {
    let node = perdura().flag("client-output-buffer-limit", "normal 4mb 0 0").start();
    let mut greedy = node.client();
    greedy.call(&[b"SET", b"k", &vec![b'v'; 16 * MIB]]);
    greedy.send_line("GET k");
    let received = greedy.read_to_end().len();
    assert!(received < 16 * MIB, "all {received} bytes came");
    node.client().check("STRLEN k", ":16777216");
}

#[test]
fn a_slow_subscriber_is_cut_off() {
    let node = perdura().flag("client-output-buffer-limit", "pubsub 1mb 0 0").start();
    let (mut slow, mut publisher) = (node.client(), node.client());
    slow.check("SUBSCRIBE a", "[subscribe a :1]");
    let message = vec![b'm'; 100_000];
    wait_for("the slow subscriber is cut off", Duration::from_secs(20), || {
        (publisher.call(&[b"PUBLISH", b"a", &message]).integer() == 0).then_some(())
    });
}

/// Eight places beside `maxclients` are for this machine's own connections.
#[test]
fn one_client_too_many_is_told_so() {
    let node = perdura().flag("maxclients", 5).start();
    let mut clients: Vec<Client> = (0..5 + 8).map(|_| node.client()).collect();
    clients.iter_mut().for_each(|client| client.check("PING", "+PONG"));
    let mut refused = node.client();
    assert_eq!(refused.read_to_end(), b"-ERR max number of clients reached\r\n");
    clients.pop();
    let accepted = wait_for("a place becomes free", Duration::from_secs(5), || {
        let reply = node.client().try_call(&[b"PING"]).ok()?;
        (!reply.is_error()).then_some(reply)
    });
    assert_eq!(accepted.to_string(), "+PONG");
}

/// It was ready for one client.
#[test]
fn a_node_with_hardly_any_open_files_does_not_start() {
    let run = |limit: u64| {
        let script = format!(
            "ulimit -n {limit}; exec '{}' serve --port 1 --dir /proc/no/data",
            env!("CARGO_BIN_EXE_perdura")
        );
        let output = Command::new("sh").args(["-c", &script]).output().expect("sh runs");
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let (code, message) = run(64);
    assert_eq!(code, Some(2), "{message}");
    assert!(
        message.contains("the limit of open files is 64") && message.contains("Raise it to 576 or more"),
        "{message}"
    );
    let (_, message) = run(576);
    assert!(!message.contains("the limit of open files is"), "{message}");
}

/// Strangers may take all places; a client of the house gets in all the same.
#[test]
fn silent_strangers_keep_nobody_out() {
    let node = perdura().flag("maxclients", 5).flag("requirepass", "secret").start();
    let silent: Vec<Client> = (0..20).map(|_| node.client()).collect();
    let mut client = node.client();
    client.check("AUTH secret", "+OK");
    let more: Vec<Client> = (0..20).map(|_| node.client()).collect();
    client.check("PING", "+PONG");
    drop((silent, more));
}

/// Redis gives a connection 1 KB of replies before a password, too.
#[test]
fn a_stranger_that_reads_nothing_costs_little_and_is_closed() {
    let node = perdura().flag("requirepass", "secret").start();
    let before = resident_bytes(&node);
    let mut strangers: Vec<Client> = (0..5).map(|_| node.client()).collect();
    for stranger in &mut strangers {
        stranger.try_send_bytes(&b"GET k\r\n".repeat(400_000)).unwrap_or_default();
    }
    wait_for("the strangers are closed", Duration::from_secs(20), || {
        let mut client = node.client();
        client.check("AUTH secret", "+OK");
        (client.run("CLIENT LIST").text().lines().count() == 1).then_some(())
    });
    let cost = resident_bytes(&node).saturating_sub(before);
    assert!(cost < 8 * MIB, "five strangers cost {cost} bytes");
}

/// Guesses are counted, and each makes its connection's next request wait longer.
#[test]
fn a_stranger_that_talks_and_listens_is_closed_too() {
    let node = perdura().flag("requirepass", "secret").start();
    let mut stranger = node.client();
    for _ in 0..10 {
        // Each answer is read, so that nothing but the requests' bytes counts.
        stranger.send_bytes(&b"PING\r\n".repeat(1000));
        for _ in 0..1000 {
            stranger.expect("-NOAUTH Authentication required.");
        }
    }
    stranger.send_bytes(&b"PING\r\n".repeat(1000));
    let told = stranger.read_to_end();
    let end = b"-ERR too many requests before authentication\r\n";
    assert!(told.ends_with(end), "{}", String::from_utf8_lossy(&told));
}

#[test]
fn wrong_passwords_are_counted_and_slow() {
    let node = perdura().flag("requirepass", "secret").start();
    let mut guesser = node.client();
    let took = Stopwatch::start();
    for guess in 0..4 {
        let refused = guesser.run(&format!("AUTH {guess}"));
        assert!(refused.to_string().starts_with("-WRONGPASS"), "{refused}");
    }
    guesser.check("AUTH secret", "+OK");
    assert!(took.elapsed() >= Duration::from_millis(100 + 200 + 300 + 400));
    let info = guesser.run("INFO stats").text().to_owned();
    assert!(info.contains("acl_access_denied_auth:4\r\n"), "{info}");
}

#[test]
fn a_client_socket_has_the_keepalive_that_is_set() {
    let node = perdura().flag("tcp-keepalive", 77).start();
    let mut client = node.client();
    client.check("PING", "+PONG");
    let timers = std::process::Command::new("ss").args(["-tno"]).output().expect("ss runs");
    let timers = String::from_utf8_lossy(&timers.stdout).into_owned();
    let own = format!(":{}", node.addr().port());
    let is_kept_alive = |line: &&str| {
        line.split_whitespace().nth(3).is_some_and(|local| local.ends_with(&own))
            && line.contains("timer:(keepalive,1min")
    };
    assert!(timers.lines().any(|line| is_kept_alive(&line)), "{timers}");
}

/// Ten thousand of them, or fewer where a process may not open as many files.
#[test]
fn an_idle_client_costs_less_than_20_kb() {
    const NEEDED_BESIDE: usize = 200;
    let count = raise_open_files_limit().saturating_sub(NEEDED_BESIDE).min(10_000);
    let node = perdura().flag("maxclients", count + 10).start();
    let before = resident_bytes(&node);
    let mut clients: Vec<Client> = (0..count).map(|_| node.client()).collect();
    clients.iter_mut().for_each(|client| client.check("PING", "+PONG"));
    clients.iter_mut().for_each(|client| client.check("SET k v", "+OK"));
    let cost = resident_bytes(&node).saturating_sub(before);
    eprintln!("{count} idle clients cost {} MiB resident", cost / MIB);
    assert!(cost < count * 20_000, "{count} idle clients cost {cost} bytes");
}

/// Resident memory of the server's process.
fn resident_bytes(node: &Node) -> usize {
    let status = std::fs::read_to_string(format!("/proc/{}/status", node.pid())).expect("a live process");
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("a process has resident memory");
    let kib: usize = line.split_whitespace().nth(1).and_then(|text| text.parse().ok()).expect("kibibytes");
    kib * 1024
}

/// Raises the number of files that this process and its children may open as far as it may, and returns it.
fn raise_open_files_limit() -> usize {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum })
        .expect("up to the maximum it is allowed");
    maximum.and_then(|files| files.try_into().ok()).unwrap_or(usize::MAX)
}
