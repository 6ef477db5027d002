//! The endpoint that Prometheus scrapes: it counts what clients do, and says whether the node is well.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use perdura_testkit::clock::wait_for;
use perdura_testkit::free_port;

use crate::perdura;

/// The answer of the endpoint at `port`, headers included.
pub fn get(port: u16, path: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
    let mut response = String::new();
    stream.read_to_string(&mut response)?;
    Ok(response)
}

/// The number of a line of the exposition, by its name and labels.
fn number(text: &str, name: &str) -> f64 {
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.and_then(|number| number.parse().ok()).unwrap_or_else(|| panic!("{name} is missing in\n{text}"))
}

#[test]
fn prometheus_counts_what_clients_do() {
    let port = free_port();
    let node = perdura().flag("metrics-addr", format!("127.0.0.1:{port}")).start();
    let mut client = node.client();
    for n in 0..10 {
        client.check(&format!("SET k{n} v EX 1000"), "+OK");
    }
    client.check("GET k1", "v");
    client.run("NOSUCHCOMMAND");
    client.run("INCR k1");
    // What raft tells of itself is sampled.
    let text = wait_for("the sample of what was applied", Duration::from_secs(5), || {
        let text = get(port, "/metrics").expect("it listens");
        (number(&text, "perdura_raft_applied_index") >= 10.0).then_some(text)
    });
    let at_least = |name: &str, least: f64| {
        let number = number(&text, name);
        assert!(number >= least, "{name} {number}");
    };
    at_least("perdura_commands_total{command=\"set\"}", 10.0);
    at_least("perdura_commands_total{command=\"get\"}", 1.0);
    at_least("perdura_commands_failed_total{command=\"incr\"}", 1.0);
    at_least("perdura_errors_total{code=\"ERR\"}", 2.0);
    at_least("perdura_keys{database=\"0\"}", 10.0);
    at_least("perdura_keys_with_deadline{database=\"0\"}", 10.0);
    at_least("perdura_log_sync_seconds_count", 10.0);
    at_least("perdura_log_commit_seconds_count", 10.0);
    at_least("perdura_raft_role{role=\"leader\"}", 1.0);
    at_least("perdura_raft_term", 1.0);
    at_least("perdura_raft_applied_index", 10.0);
    at_least("perdura_connected_clients", 1.0);
    at_least("perdura_net_input_bytes_total", 100.0);
    at_least("perdura_memory_resident_bytes", 1e6);
}

#[test]
fn health_is_whether_the_node_serves() {
    let port = free_port();
    let _node = perdura().flag("metrics-addr", format!("127.0.0.1:{port}")).start();
    wait_for("a healthy node", Duration::from_secs(10), || {
        get(port, "/healthz").ok()?.starts_with("HTTP/1.1 200 ").then_some(())
    });
}
