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
