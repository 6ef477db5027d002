//! MONITOR: what is shown of whose commands, in which order and form, and to whom no longer.

use std::time::Duration;

use perdura_testkit::clock::wait_for;
use perdura_testkit::story::matches;
use perdura_testkit::{Client, Cluster, Node};

use crate::perdura;

/// A connection that is shown what the others send.
fn monitor(node: &Node) -> Client {
    let mut client = node.client();
    client.check("MONITOR", "+OK");
    client
}

/// Reads a line that must fit, `*` standing for anything.
#[track_caller]
fn expect_line(monitor: &mut Client, pattern: &str) {
    let line = monitor.read().text();
    assert!(matches(pattern, &line), "{line} instead of {pattern}");
}

#[test]
fn every_command_is_shown_as_it_was_sent() {
    let node = perdura().start();
    let (mut monitor, mut client) = (monitor(&node), node.client());
    client.check("set k 'two words'", "+OK");
    client.check("GET k", "'two words'");
    client.check("SET \\x00\\xff a\\x22b\\x0a", "+OK");
    client.check("SELECT 3", "+OK");
    client.check("GET nosuch", "nil");
    client.check("INCR k x", "-ERR wrong number of arguments for 'incr' command");
    client.check("PING", "+PONG");
    expect_line(&mut monitor, "*.* [0 127.0.0.1:*] \"set\" \"k\" \"two words\"");
    expect_line(&mut monitor, "*] \"GET\" \"k\"");
    expect_line(&mut monitor, "*] \"SET\" \"\\x00\\xff\" \"a\\\"b\\n\"");
    expect_line(&mut monitor, "* [3 *] \"SELECT\" \"3\"");
    expect_line(&mut monitor, "* [3 *] \"GET\" \"nosuch\"");
    expect_line(&mut monitor, "*] \"PING\"");
}

#[test]
fn a_transaction_is_shown_when_it_is_carried_out() {
    let node = perdura().start();
    let (mut monitor, mut client) = (monitor(&node), node.client());
    for line in ["MULTI", "SET k v", "SELECT 2", "GET k"] {
        assert!(!client.run(line).is_error());
    }
    expect_line(&mut monitor, "*] \"MULTI\"");
    assert!(monitor.is_silent_for(Duration::from_millis(50)));
    client.check("EXEC", "[+OK +OK nil]");
    expect_line(&mut monitor, "* [0 *] \"SET\" \"k\" \"v\"");
    expect_line(&mut monitor, "* [2 *] \"SELECT\" \"2\"");
    expect_line(&mut monitor, "* [2 *] \"GET\" \"k\"");
    expect_line(&mut monitor, "* [2 *] \"EXEC\"");
}

#[test]
fn secrets_and_operators_are_not_shown() {
    let node = perdura().start();
    let (mut monitor, mut client) = (monitor(&node), node.client());
    client.run("AUTH default kept-secret");
    client.run("HELLO 2 AUTH default kept-secret SETNAME me");
    client.run("CONFIG SET requirepass kept-secret");
    client.run("CLIENT LIST");
    client.check("ECHO end", "end");
    expect_line(&mut monitor, "*] \"AUTH\" \"(redacted)\" \"(redacted)\"");
    expect_line(&mut monitor, "*] \"HELLO\" \"2\" \"AUTH\" \"(redacted)\" \"(redacted)\" \"SETNAME\" \"me\"");
    expect_line(&mut monitor, "*] \"ECHO\" \"end\"");
}

/// Workers have their own connections; a monitor is shown those of all.
#[test]
fn the_commands_of_all_workers_are_shown() {
    let node = perdura().flag("workers", 2).start();
    let mut monitor = monitor(&node);
    let mut clients: Vec<Client> = (0..8).map(|_| node.client()).collect();
    clients.iter_mut().enumerate().for_each(|(n, client)| client.check(&format!("ECHO {n}"), &n.to_string()));
    let mut shown: Vec<String> = (0..8).map(|_| monitor.read().text()).collect();
    shown.sort_by_key(|line| line.rsplit(' ').next().map(str::to_owned));
    for (n, line) in shown.iter().enumerate() {
        assert!(line.ends_with(&format!("\"ECHO\" \"{n}\"")), "{line}");
    }
}

#[test]
fn a_monitor_may_not_use_the_data_and_goes_back_by_reset() {
    let node = perdura().start();
    let (mut monitor, mut client) = (monitor(&node), node.client());
    monitor.check("GET k", "-ERR Replica can't interact with the keyspace");
    let id_line = client.run("CLIENT LIST").text();
    assert!(id_line.contains(" flags=O "), "{id_line}");
    monitor.check("RESET", "+RESET");
    client.check("SET k v", "+OK");
    monitor.check("GET k", "v");
    monitor.check("MULTI", "+OK");
    monitor.check("MONITOR", "+QUEUED");
    monitor.check("EXEC", "[-ERR MONITOR isn't allowed for DENY BLOCKING client]");
    client.check("SET k v", "+OK");
    monitor.check("PING", "+PONG");
}

#[test]
fn a_monitor_that_does_not_read_is_cut_off() {
    let node = perdura().start();
    let mut client = node.client();
    client.check("CONFIG SET client-output-buffer-limit 'pubsub 1mb 1mb 1'", "+OK");
    let mut monitor = monitor(&node);
    let value = "v".repeat(100_000);
    wait_for("the monitor is cut off", Duration::from_secs(20), || {
        client.check(&format!("SET k {value}"), "+OK");
        (client.run("INFO clients").text().contains("connected_clients:1\r\n")).then_some(())
    });
    monitor.read_to_end();
    client.check("GET k", &value);
}

/// What a replica sends on is shown where it is sent, and where it is carried out.
#[test]
fn a_command_through_a_replica_is_shown_on_both_nodes() {
    let cluster = Cluster::start_with(perdura());
    let mut monitors = [cluster.primary(), cluster.replica()].map(|at| monitor(&cluster.nodes[at]));
    cluster.client(cluster.replica()).check("SET k v", "+OK");
    for monitor in &mut monitors {
        loop {
            let line = monitor.read().text();
            if line.ends_with("\"SET\" \"k\" \"v\"") {
                break;
            }
        }
    }
}
