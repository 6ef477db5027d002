//! A node that loads: it accepts at once, says how far it is, and serves nothing before it has everything.

use std::process::Command;
use std::time::Duration;

use perdura_testkit::clock::wait_for;
use perdura_testkit::{Client, Node, NodeSpec, free_port};

use crate::metrics::get;
use crate::perdura;

const SOON: Duration = Duration::from_secs(60);
const REFUSED: &str = "-LOADING Perdura is loading the dataset in memory";
const KEYS: usize = 12_000;
const VALUE_BYTES: usize = 2_000;

/// A node that was stopped with so much in its log, and half of it in a checkpoint, that starting takes a while.
fn stopped(spec: NodeSpec) -> Node {
    let mut node = spec.start();
    fill(&mut node.client());
    assert!(node.terminate().success());
    node
}

fn fill(client: &mut Client) {
    let value = "v".repeat(VALUE_BYTES);
    for first in (0..KEYS).step_by(500) {
        (first..first + 500).for_each(|n| client.send_line(&format!("SET key:{n} {value}")));
        (0..500).for_each(|_| client.expect("+OK"));
        if first == KEYS / 2 {
            client.check("BGSAVE", "+Background saving started");
        }
    }
    wait_for("the checkpoint", SOON, || field(client, "rdb_bgsave_in_progress").filter(|busy| *busy == 0.0));
}

fn persistence(client: &mut Client) -> Option<String> {
    client.try_call(&[b"INFO", b"persistence"]).ok().map(|info| info.text())
}

fn field(client: &mut Client, name: &str) -> Option<f64> {
    number(&persistence(client)?, name)
}

fn number(info: &str, name: &str) -> Option<f64> {
    let line = info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    line?.parse().ok()
}

/// A connection to a node that has said it is loading.
fn loading(node: &Node) -> Client {
    wait_for("the node accepts, and loads", SOON, || {
        let mut client = Client::try_connect(node.addr()).ok()?;
        (field(&mut client, "loading")? == 1.0).then_some(client)
    })
}

fn ask(client: &mut Client, line: &str) -> String {
    client.run(line).to_string()
}

/// Which users there are is in the log, too: until it is read nothing is given to whoever comes without a password.
#[test]
fn a_connection_that_came_before_users_were_known_is_let_in_by_their_rules() {
    let mut node = perdura().start();
    let mut client = node.client();
    client.check("ACL SETUSER admin on >pw ~* &* +@all", "+OK");
    client.check("ACL SETUSER default off", "+OK");
    fill(&mut client);
    assert!(node.terminate().success());
    node.spawn();
    let mut early = loading(&node);
    assert_eq!(ask(&mut early, "CONFIG GET maxmemory"), REFUSED);
    assert_eq!(ask(&mut early, "AUTH admin pw"), REFUSED);
    wait_for("users are known", SOON, || {
        (ask(&mut early, "PING") == "-NOAUTH Authentication required.").then_some(())
    });
    early.check("AUTH admin pw", "+OK");
    early.check("DBSIZE", &format!(":{KEYS}"));
}

#[test]
fn clients_are_answered_loading_or_all_there_is() {
    let mut node = stopped(perdura().flag("workers", 2));
    node.spawn();
    let mut client = loading(&node);
    let (mut furthest, mut refusals, mut stages, mut keys) = (0.0_f64, 0, Vec::new(), KEYS);
    wait_for("the node serves", SOON, || {
        let info = persistence(&mut client).expect("INFO is answered at any time");
        if let Some(stage) = info.lines().find_map(|line| line.strip_prefix("perdura_loading_stage:"))
            && stages.last().is_none_or(|last| last != stage)
        {
            stages.push(stage.to_owned());
        }
        let told = (number(&info, "loading_loaded_bytes"), number(&info, "loading_total_bytes"));
        if let (Some(loaded), Some(total)) = told {
            assert!(loaded <= total && loaded >= furthest, "{loaded} of {total} after {furthest}");
            furthest = loaded;
        }
        let size = ask(&mut client, "DBSIZE");
        assert!(size == REFUSED || size == format!(":{keys}"), "{size}");
        for line in ["PING", "GET key:0", "SET new value", "EXISTS new"] {
            let answer = ask(&mut client, line);
            refusals += usize::from(answer == REFUSED);
            // It may be done between two requests.
            keys += usize::from(line.starts_with("SET") && answer == "+OK");
        }
        (size != REFUSED).then_some(())
    });
    assert!(refusals > 4 && furthest > 0.0, "{refusals} refusals, {furthest} bytes, {stages:?}");
    assert!(stages.is_sorted_by_key(|stage| match &stage[..] {
        "reading the log" => 1,
        "checking the checkpoint" => 2,
        "loading the checkpoint" => 3,
        "replaying the log" => 4,
        other => panic!("{other}"),
    }));
    client.check("SET after loading", "+OK");
    client.check(&format!("STRLEN key:{}", KEYS - 1), &format!(":{VALUE_BYTES}"));
    assert!(persistence(&mut client).is_some_and(|info| info.contains("loading:0\r\n")));
    assert!(!persistence(&mut client).is_some_and(|info| info.contains("loading_start_time")));
}

#[test]
fn what_needs_no_data_is_answered_while_a_node_loads() {
    let mut node = stopped(perdura());
    node.spawn();
    let mut client = loading(&node);
    let answers =
        ["PERDURA STATUS", "CLIENT SETNAME me", "SELECT 3", "SUBSCRIBE news", "UNSUBSCRIBE", "MULTI"]
            .map(|line| ask(&mut client, line));
    let refused =
        ["GET k", "EXEC", "DISCARD", "WATCH k", "DEBUG DIGEST", "PERDURA LOG STATUS", "INFO keyspace"]
            .map(|line| ask(&mut client, line));
    // Otherwise it was too fast for this test.
    assert_eq!(field(&mut client, "loading"), Some(1.0));
    assert!(answers.iter().all(|answer| !answer.starts_with('-')), "{answers:?}");
    // As in Redis, an EXEC that is rejected ends its transaction.
    let aborted = format!("-EXECABORT Transaction discarded because of: {}", &REFUSED[1..]);
    let expected = [REFUSED, &aborted, "-ERR DISCARD without MULTI", REFUSED, REFUSED, REFUSED];
    assert_eq!(refused[..6], expected);
    assert!(!refused[6].contains("db0"), "{}", refused[6]);
}

#[test]
fn health_checks_are_told_that_it_is_not_yet_there() {
    let port = free_port();
    let mut node = stopped(perdura().flag("metrics-addr", format!("127.0.0.1:{port}")));
    node.spawn();
    loading(&node);
    let health = get(port, "/healthz").expect("it is answered");
    assert!(health.starts_with("HTTP/1.1 503 ") && health.ends_with("loading\n"), "{health}");
    let ping = |node: &Node| {
        let output = Command::new(env!("CARGO_BIN_EXE_perdura"))
            .args(["ping", "--addr", &node.addr().to_string()])
            .output()
            .expect("the program can be run");
        output.status.code().expect("an exit code")
    };
    assert_eq!(ping(&node), 3);
    node.wait_until_it_answers();
    assert_eq!(ping(&node), 0);
    assert!(get(port, "/healthz").is_ok_and(|health| health.starts_with("HTTP/1.1 200 ")));
    node.kill();
    assert_eq!(ping(&node), 1);
}

#[test]
fn a_node_that_loads_ends_at_once_when_it_is_told_to() {
    for log_driver in ["worker", "thread"] {
        let mut node = stopped(perdura().flag("log-driver", log_driver));
        node.spawn();
        loading(&node);
        assert!(node.terminate().success(), "{}", node.log());
        assert!(node.log().contains("ending before everything was loaded"), "{}", node.log());
        node.restart();
        node.client().check("DBSIZE", &format!(":{KEYS}"));
    }
}
