//! The command line: mistakes are refused by name, a local cluster comes and goes as one, ping tells life from death.

use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use perdura_testkit::clock::wait_for;
use perdura_testkit::{Client, Signal, free_port, send_signal};
use tempfile::TempDir;

use crate::metrics::get;
use crate::perdura;

const PERDURA: &str = env!("CARGO_BIN_EXE_perdura");
const LIMIT: Duration = Duration::from_secs(60);

/// Node ports, and peer ports 1000 higher.
const NODES: u16 = 3;
/// From a node's port to that of its metrics.
const METRICS: u16 = 2000;

fn run(args: &[&str]) -> Output {
    Command::new(PERDURA).args(args).env_remove("PERDURA_CONFIG").output().expect("the program can be run")
}

fn mistake(args: &[&str]) -> String {
    let output = run(args);
    assert_eq!(output.status.code(), Some(2), "{args:?}");
    String::from_utf8(output.stderr).expect("messages are text")
}

#[test]
fn a_mistake_ends_with_two_and_the_flags_name() {
    for (args, expected) in [
        (["serve", "--port", "99999"], "perdura: --port: "),
        (["serve", "--log-sync", "never"], "perdura: --log-sync: "),
        (["serve", "--maxmemory", "lots"], "perdura: --maxmemory: "),
        (["serve", "--config", "/no/such/file"], "perdura: --config: "),
        (["serve", "--initial-cluster", "2=127.0.0.1:9"], "perdura: --node-id: "),
        (["ping", "--addr", "nowhere"], "perdura: --addr: "),
    ] {
        let said = mistake(&args);
        assert!(said.starts_with(expected), "{said}");
    }
    assert!(mistake(&["serve", "--no-such-flag"]).contains("--no-such-flag"));
}

#[test]
fn ping_tells_life_from_death() {
    let mut node = perdura().start();
    let addr = node.addr().to_string();
    let alive = run(&["ping", "--addr", &addr]);
    assert_eq!((alive.status.code(), alive.stdout.as_slice()), (Some(0), &b"PONG\n"[..]));
    node.kill();
    assert_eq!(run(&["ping", "--addr", &addr]).status.code(), Some(1));
}

#[test]
fn ping_knows_the_password_from_the_environment() {
    let node = perdura().flag("requirepass", "hush").start();
    let ping = |password: &str| {
        let mut command = Command::new(PERDURA);
        command.args(["ping", "--addr", &node.addr().to_string()]).env("PERDURA_REQUIREPASS", password);
        command.output().expect("the program can be run").status.code()
    };
    assert_eq!(ping("hush"), Some(0));
    assert_eq!(ping("wrong"), Some(1));
    assert_eq!(ping(""), Some(1));
}

/// A local cluster; killed with its nodes where a test fails half way.
struct LocalCluster {
    child: Child,
    base: u16,
    metrics: u16,
    _dir: TempDir,
}

impl LocalCluster {
    fn start() -> LocalCluster {
        let dir = TempDir::new().expect("a temporary folder");
        let base = base_port();
        let metrics = base + METRICS;
        let mut command = Command::new(PERDURA);
        command.args(["local-cluster", "--nodes", &NODES.to_string(), "--base-port", &base.to_string()]);
        command.args(["--metrics-addr", &format!("127.0.0.1:{metrics}")]);
        command.arg("--dir").arg(dir.path()).args(["--segment-bytes", "1mb"]);
        command.stdout(Stdio::null()).stderr(Stdio::null());
        let child = command.spawn().expect("the program can be run");
        LocalCluster { child, base, metrics, _dir: dir }
    }

    fn client(&self, node: u16) -> Option<Client> {
        Client::try_connect(([127, 0, 0, 1], self.base + node).into()).ok()
    }

    fn signal(&self, signal: Signal) {
        send_signal(self.child.id(), signal);
    }
}

impl Drop for LocalCluster {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            // Twice: the second does not wait for anybody.
            self.signal(Signal::TERM);
            self.signal(Signal::TERM);
            let _ = self.child.wait();
        }
    }
}

fn is_free(port: u16) -> bool {
    std::net::TcpListener::bind(("127.0.0.1", port)).is_ok()
}

/// The first of a row of ports. Other tests of this process get none of the row.
fn base_port() -> u16 {
    wait_for("ports for a cluster", LIMIT, || {
        let row: Vec<u16> = (0..NODES).map(|_| free_port()).collect();
        let is_row = row.windows(2).all(|pair| pair[1] == pair[0] + 1);
        let all_free = |from: u16| (0..NODES).all(|node| is_free(from + node));
        (is_row && all_free(row[0] + 1000) && all_free(row[0] + METRICS)).then_some(row[0])
    })
}

#[test]
fn a_local_cluster_serves_on_every_node_and_ends_as_one() {
    let mut cluster = LocalCluster::start();
    wait_for("a first write", LIMIT, || {
        let mut client = cluster.client(0)?;
        let reply = client.try_call(&[b"SET", b"k", b"v"]).ok()?;
        (!reply.is_error()).then_some(())
    });
    for node in 0..NODES {
        // Two of the three are enough for a write.
        let mut client = wait_for("every node listens", LIMIT, || cluster.client(node));
        client.check("GET k", "v");
        let page = get(cluster.metrics + node, "/status").expect("each node shows how it is");
        assert!(page.contains(&format!("\"node_id\":{}", node + 1)), "{page}");
    }
    cluster.signal(Signal::TERM);
    let status = wait_for("the end", LIMIT, || cluster.child.try_wait().expect("our own child"));
    assert!(status.success(), "{status}");
    assert!((0..NODES).all(|node| cluster.client(node).is_none()));
}
