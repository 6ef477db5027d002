//! What an operator sees of a whole group with one command.

use std::process::{Command, Output, Stdio};
use std::time::Duration;

use perdura_testkit::clock::wait_for;
use perdura_testkit::{Cluster, Node, free_port};
use serde_json::Value;

use crate::log::said;
use crate::metrics::get;
use crate::perdura;

const SOON: Duration = Duration::from_secs(20);
const PASSWORD: &str = "hush-hush";

/// The program with these arguments, and this password in the environment.
fn command(args: &[&str], password: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_perdura"));
    command.args(args).env_remove("PERDURA_CONFIG").env("PERDURA_REQUIREPASS", password);
    command
}

fn run(args: &[&str]) -> Output {
    command(args, "").output().expect("the program can be run")
}

fn addr(node: &Node) -> String {
    node.addr().to_string()
}

/// Asks for the status until it ends with this code.
fn status_with_code(addrs: &[String], code: i32) -> String {
    let flags = addrs.iter().flat_map(|addr| ["--addr", addr]);
    let args: Vec<&str> = std::iter::once("status").chain(flags).collect();
    wait_for(&format!("exit code {code}"), SOON, || {
        let (text, found) = said(&run(&args));
        (found == Some(code)).then_some(text)
    })
}

#[test]
fn status_shows_all_members_and_its_code_says_how_the_group_is() {
    let mut group = Cluster::start_with(perdura());
    group.client(group.primary()).check("SET k v", "+OK");
    let addrs: Vec<String> = group.nodes.iter().map(addr).collect();
    let (primary, replica) = (group.primary(), group.replica());
    // One member is asked, and knows the others.
    let text = status_with_code(&addrs[replica..=replica], 0);
    assert!(text.starts_with("healthy: cluster "), "{text}");
    assert!(text.contains(&format!("primary {}", primary + 1)), "{text}");
    for (number, addr) in addrs.iter().enumerate() {
        let role = if number == primary { "primary" } else { "replica" };
        let line = text.lines().find(|line| line.contains(addr)).expect("a line for each member");
        assert!(line.starts_with(&format!("{}  ", number + 1)) && line.contains(role), "{line}");
        assert!(line.contains(env!("CARGO_PKG_VERSION")), "{line}");
    }

    let gone = 3 - primary - replica;
    group.nodes[gone].kill();
    let text = status_with_code(&addrs[primary..=primary], 1);
    assert!(text.starts_with("degraded: ") && text.contains("does not answer"), "{text}");
    assert!(
        text.contains(&format!("WARNING node {}: ", gone + 1)) && text.contains("connection refused"),
        "{text}"
    );

    group.nodes[primary].kill();
    let text = status_with_code(&addrs[replica..=replica], 2);
    assert!(text.starts_with("no writes: ") && text.contains("(no-primary)"), "{text}");

    group.nodes[replica].kill();
    let text = status_with_code(&addrs, 4);
    assert!(addrs.iter().all(|addr| text.contains(addr)), "{text}");
}

#[test]
fn status_as_json_info_and_the_endpoint_say_the_same() {
    let port = free_port();
    let node = perdura().flag("metrics-addr", format!("127.0.0.1:{port}")).start();
    let mut client = node.client();
    client.check("SET k v", "+OK");
    let report = wait_for("the disk is measured and the log is open", SOON, || {
        let report: Value = serde_json::from_str(&client.run("PERDURA STATUS").text()).expect("it is JSON");
        (report["disk"].is_object() && report["takes_writes"] == true).then_some(report)
    });
    let page = get(port, "/status").expect("it listens");
    let (head, body) = page.split_once("\r\n\r\n").expect("a head");
    assert!(head.contains("application/json"), "{head}");
    let shown: Value = serde_json::from_str(body).expect("it is JSON");
    let output = run(&["status", "--json", "--addr", &addr(&node)]);
    assert_eq!(output.status.code(), Some(0), "{}", said(&output).0);
    let view: Value = serde_json::from_slice(&output.stdout).expect("it is JSON");
    let of_cli = &view["members"][0]["report"];
    for field in ["node_id", "addr", "cluster_id", "version", "commit", "run_id", "state", "term", "members"]
    {
        assert_eq!((&shown[field], &of_cli[field]), (&report[field], &report[field]), "{field}");
    }
    let info = |name: &str| node.client().info(name).unwrap_or_else(|| panic!("{name}"));
    assert_eq!(info("perdura_version"), report["version"].as_str().expect("a text"));
    assert_eq!(info("perdura_commit"), report["commit"].as_str().expect("a text"));
    assert_eq!(info("perdura_cluster_id"), report["cluster_id"].as_str().expect("a text"));
    assert_eq!(info("perdura_takes_writes"), "1");
    assert!(report["disk"]["log_bytes"].as_u64() > Some(1 << 20), "{report}");
    let metrics = get(port, "/metrics").expect("it listens");
    for line in ["perdura_disk_log_bytes ", "perdura_connected_peers 0", "perdura_build_info{version="] {
        assert!(metrics.contains(line), "{line} is not in\n{metrics}");
    }
}

#[test]
fn status_wants_the_password_and_says_where_to_give_it() {
    let node = perdura().flag("requirepass", PASSWORD).start();
    let ask = |password: &str| {
        said(
            &command(&["status", "--addr", &addr(&node)], password).output().expect("the program can be run"),
        )
    };
    let (text, code) = ask("");
    assert!(code == Some(4) && text.contains("PERDURA_REQUIREPASS"), "{text}");
    let (text, code) = ask("wrong");
    assert!(code == Some(4) && text.contains("another password"), "{text}");
    wait_for("a healthy node", SOON, || (ask(PASSWORD).1 == Some(0)).then_some(()));
}

#[test]
fn status_watches_until_it_is_interrupted() {
    use std::io::{BufRead, BufReader};
    let node = perdura().start();
    let mut watching = command(&["status", "--watch", "1", "--addr", &addr(&node)], "");
    let mut child = watching.stdout(Stdio::piped()).spawn().expect("the program can be run");
    let lines = BufReader::new(child.stdout.take().expect("a pipe")).lines();
    let looks = lines.map_while(Result::ok).filter(|line| line.contains("cluster ")).take(2).count();
    child.kill().expect("our own child");
    child.wait().expect("our own child");
    assert_eq!(looks, 2);
}

#[test]
fn handover_moves_the_primary_and_loses_nothing() {
    let group = Cluster::start_with(perdura());
    let addrs: Vec<String> = group.nodes.iter().map(addr).collect();
    status_with_code(&addrs[..1], 0);
    let (from, to) = (group.primary(), group.replica());
    let mut client = group.client(from);
    for n in 0..100 {
        client.check(&format!("SET k{n} {n}"), "+OK");
    }
    let number = (to + 1).to_string();
    // Any member is asked; it need not be one of the two.
    let asked = &addrs[3 - from - to];
    let hand_over = || said(&run(&["handover", "--addr", asked, "--to", &number]));
    let text = wait_for("the successor has taken over", SOON, || {
        let (text, code) = hand_over();
        (code == Some(0)).then_some(text)
    });
    assert!(text.contains(&format!("node {number} is the primary")), "{text}");
    assert_eq!(group.primary(), to);
    let mut client = group.client(to);
    client.check("DBSIZE", ":100");
    client.check("SET after v", "+OK");
    let (text, code) = hand_over();
    assert!(code == Some(0) && text.contains("is the primary already"), "{text}");

    let (text, code) = said(&run(&["handover", "--addr", asked, "--to", "9"]));
    assert!(code == Some(2) && text.contains("the members are 1, 2, 3"), "{text}");
    client.check("FAILOVER", "-ERR not supported: PERDURA HANDOVER <node-id> hands the leadership over, SHUTDOWN does before the process ends");
}

#[test]
fn handover_to_a_member_that_is_down_begins_nothing() {
    let mut group = Cluster::start_with(perdura());
    let (primary, gone) = (group.primary(), group.replica());
    group.nodes[gone].kill();
    let addr = addr(&group.nodes[primary]);
    let number = (gone + 1).to_string();
    let text = wait_for("the primary notices", SOON, || {
        let (text, code) = said(&run(&["handover", "--addr", &addr, "--to", &number]));
        (code == Some(1) && text.contains("is not heard")).then_some(text)
    });
    assert!(text.contains("not handed over"), "{text}");
    group.client(primary).check("SET k v", "+OK");
}
