//! Clients that people use: redis-py, ioredis, redis-cli, redis-benchmark and the exporter for Prometheus, against one
//! node and against any node of three.
//!
//! They must be installed (`./test` does that): a client that is missing fails its test.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use perdura_testkit::clock::wait_for;
use perdura_testkit::{Cluster, Node};

use crate::perdura;

const SCRIPTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/clients");

fn run(program: &str, args: &[&str]) -> Output {
    Command::new(program)
        .args(args)
        .output()
        .unwrap_or_else(|error| panic!("{program} can't be run: {error}"))
}

/// Runs a program that must succeed; returns what it printed.
fn succeed(program: &str, args: &[&str]) -> String {
    let output = run(program, args);
    let said = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(
        output.status.success(),
        "{program} {args:?}: {}\n{}",
        said(&output.stdout),
        said(&output.stderr)
    );
    said(&output.stdout)
}

fn port_of(node: &Node) -> String {
    node.addr().port().to_string()
}

/// Runs `story` with the port of a lone node, then of a replica, then of a primary.
fn on_each_kind_of_node(story: impl Fn(&str)) {
    let node = perdura().start();
    story(&port_of(&node));
    if std::env::var_os("ORACLE").is_none() {
        let cluster = Cluster::start_with(perdura());
        story(&port_of(&cluster.nodes[cluster.replica()]));
        story(&port_of(&cluster.nodes[cluster.primary()]));
    }
}

#[test]
fn redis_py_cache() {
    on_each_kind_of_node(|port| {
        let script = format!("{SCRIPTS}/redis_py_cache.py");
        assert_eq!(succeed("python3", &[&script, port]), "the cache is content\n");
    });
}

#[test]
fn redis_py() {
    on_each_kind_of_node(|port| {
        assert_eq!(succeed("python3", &[&format!("{SCRIPTS}/redis_py.py"), port]), "redis-py is content\n");
    });
}

#[test]
fn ioredis() {
    on_each_kind_of_node(|port| {
        assert_eq!(succeed("node", &[&format!("{SCRIPTS}/ioredis.cjs"), port]), "ioredis is content\n");
    });
}

#[test]
fn redis_cli() {
    on_each_kind_of_node(|port| {
        let cli = |args: &[&str]| succeed("redis-cli", &[&["-p", port], args].concat());
        assert_eq!(cli(&["SET", "k", "v"]), "OK\n");
        assert_eq!(cli(&["--json", "GET", "k"]), "\"v\"\n");
        assert_eq!(cli(&["-3", "HSET", "h", "f", "v"]).trim_end(), "1");
        assert_eq!(cli(&["-3", "HGETALL", "h"]), "f v\n");
        assert_eq!(cli(&["--scan"]).lines().count(), 2);
        // redis-cli 8 reads them from a replica, which may lag a moment.
        wait_for("all keys are sampled", Duration::from_secs(20), || {
            cli(&["--bigkeys"]).contains("Sampled 2 keys in the keyspace!").then_some(())
        });
        assert_eq!(cli(&["FLUSHALL"]), "OK\n");
    });
}

#[test]
fn redis_benchmark_runs_its_whole_list() {
    on_each_kind_of_node(|port| {
        for pipeline in ["1", "16"] {
            let printed =
                succeed("redis-benchmark", &["-p", port, "-n", "400", "-P", pipeline, "-r", "100", "--csv"]);
            let rows = printed.lines().filter(|line| line.starts_with('"')).count();
            assert!(rows >= 20, "{rows} rows:\n{printed}");
            assert!(!printed.contains("ERR"), "{printed}");
        }
    });
}

/// A process that runs until it is dropped.
struct Background(Child);

impl Drop for Background {
    fn drop(&mut self) {
        self.0.kill().expect("our own child can be killed");
        self.0.wait().expect("our own child can be waited for");
    }
}

#[test]
fn redis_cli_shows_what_others_send() {
    on_each_kind_of_node(|port| {
        let mut cli = Background(
            Command::new("redis-cli")
                .args(["-p", port, "MONITOR"])
                .stdout(Stdio::piped())
                .spawn()
                .expect("redis-cli can be run"),
        );
        let mut lines = BufReader::new(cli.0.stdout.take().expect("a pipe")).lines().map_while(Result::ok);
        assert_eq!(lines.next().as_deref(), Some("OK"));
        succeed("redis-cli", &["-p", port, "ECHO", "two words"]);
        assert!(lines.any(|line| line.ends_with("] \"ECHO\" \"two words\"")));
    });
}

#[test]
fn the_exporter_for_prometheus() {
    on_each_kind_of_node(|port| {
        let listen = SocketAddr::from(([127, 0, 0, 1], perdura_testkit::free_port()));
        let _exporter = Background(
            Command::new("prometheus-redis-exporter")
                .arg(format!("-redis.addr=redis://127.0.0.1:{port}"))
                .arg(format!("-web.listen-address={listen}"))
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .expect("prometheus-redis-exporter can be run"),
        );
        let metrics = wait_for("metrics", Duration::from_secs(60), || {
            let output = run("curl", &["-sf", "--max-time", "10", &format!("http://{listen}/metrics")]);
            output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
        });
        for metric in [
            "redis_up 1",
            "redis_connected_clients ",
            "redis_memory_used_bytes ",
            "redis_commands_total{cmd=",
        ] {
            assert!(metrics.contains(&format!("\n{metric}")), "no {metric}in\n{metrics}");
        }
        assert!(!metrics.contains("redis_exporter_last_scrape_error{err=\"ERR"), "{metrics}");
    });
}
