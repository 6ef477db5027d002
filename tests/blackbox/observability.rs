//! What operators watch, beyond the numbers of `metrics.rs`: followers, logs, and that neither gives a secret away.

use perdura_testkit::{Cluster, free_port};

use crate::metrics::get;
use crate::perdura;

#[test]
fn a_primary_shows_how_far_its_followers_are() {
    let ports: Vec<u16> = (0..3).map(|_| free_port()).collect();
    let cluster = Cluster::start_each(&perdura(), |at, spec| {
        spec.flag("metrics-addr", format!("127.0.0.1:{}", ports[at]))
    });
    let primary = cluster.primary();
    cluster.client(primary).check("SET k v", "+OK");
    let metrics = get(ports[primary], "/metrics").expect("it listens");
    let followers =
        metrics.lines().filter(|line| line.starts_with("perdura_raft_follower_lag_entries{")).count();
    assert_eq!(followers, 2, "{metrics}");
}

/// Neither the log nor the endpoint may give away what must stay secret.
#[test]
fn the_password_is_never_shown() {
    let port = free_port();
    let node = perdura()
        .flag("requirepass", "kept-secret")
        .flag("metrics-addr", format!("127.0.0.1:{port}"))
        .flag("log-level", "debug")
        .start();
    let mut client = node.client();
    client.run("AUTH default wrong-secret");
    client.check("AUTH kept-secret", "+OK");
    let metrics = get(port, "/metrics").expect("it listens");
    for shown in [node.log(), metrics, client.run("INFO ALL").text()] {
        assert!(!shown.contains("kept-secret") && !shown.contains("wrong-secret"), "{shown}");
    }
}

#[test]
fn the_log_can_be_json() {
    let mut node = perdura().flag("log-format", "json").start();
    assert!(node.terminate().success());
    let log = node.log();
    assert!(log.lines().count() > 0);
    assert!(log.lines().all(|line| line.starts_with('{') && line.ends_with('}')), "{log}");
}

/// What is logged is timed where it is applied, and shown as Redis shows it: cut, with the client that sent it.
#[test]
fn slow_writes_are_in_the_slow_log() {
    let node = perdura().start();
    let (mut operator, mut client) = (node.client(), node.client());
    client.check("CLIENT SETNAME writer", "+OK");
    let many: Vec<String> = (0..40).map(|n| format!("{n}")).collect();
    let long = "x".repeat(200);
    operator.check("CONFIG SET slowlog-log-slower-than 0", "+OK");
    operator.check("SLOWLOG RESET", "+OK");
    client.check(&format!("RPUSH l {}", many.join(" ")), ":40");
    client.check(&format!("SET k {long}"), "+OK");
    for line in ["MULTI", "INCR n", "GET n", "EXEC"] {
        assert!(!client.run(line).is_error(), "{line}");
    }
    let mut waiting = node.client();
    waiting.send_line("BLPOP late 0");
    node.wait_for_blocked(1);
    client.check("RPUSH late x", ":1");
    waiting.expect("[late x]");
    operator.check("CONFIG SET slowlog-log-slower-than 10000", "+OK");
    let log = operator.run("SLOWLOG GET -1");
    let shown: Vec<String> = log.items().iter().rev().map(|entry| entry.items()[3].to_string()).collect();
    for expected in [
        format!("[RPUSH l {} '... (11 more arguments)']", many[..29].join(" ")),
        format!("[SET k '{}... (72 more bytes)']", "x".repeat(128)),
        "[INCR n]".to_owned(),
        "[GET n]".to_owned(),
        "[RPUSH late x]".to_owned(),
        "[BLPOP late 0]".to_owned(),
    ] {
        assert_eq!(shown.iter().filter(|line| **line == expected).count(), 1, "{expected} in {shown:#?}");
    }
    assert!(!shown.iter().any(|line| line.starts_with("[EXEC")), "{shown:#?}");
    let of = |line: &str| log.items().iter().find(|entry| entry.items()[3].to_string() == line).cloned();
    let entry = of("[INCR n]").expect("it was there just now");
    assert_eq!(entry.items()[5].to_string(), "writer");
    assert!(entry.items()[4].text().starts_with("127.0.0.1:"), "{entry}");
    operator.check("SLOWLOG RESET", "+OK");
    client.check("DEL l", ":1");
    operator.check("SLOWLOG LEN", ":0");
}
