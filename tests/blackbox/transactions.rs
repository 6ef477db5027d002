//! Transactions between clients: what is watched, and that nobody sees a half.

use std::time::Duration;

use perdura_testkit::client::encode;
use perdura_testkit::clock::wait_for;
use perdura_testkit::{Client, Cluster, Node};

use crate::perdura;

fn check_all(client: &mut Client, lines: &[(&str, &str)]) {
    lines.iter().for_each(|(line, reply)| client.check(line, reply));
}

#[test]
fn another_clients_change_spoils_the_transaction() {
    let node = perdura().start();
    let (mut one, mut other) = (node.client(), node.client());
    check_all(&mut one, &[("SET k 1", "+OK"), ("WATCH k", "+OK"), ("MULTI", "+OK"), ("INCR k", "+QUEUED")]);
    other.check("SET k 5", "+OK");
    check_all(&mut one, &[("EXEC", "nil"), ("GET k", "5")]);
    check_all(&mut one, &[("WATCH k", "+OK"), ("MULTI", "+OK"), ("INCR k", "+QUEUED"), ("EXEC", "[:6]")]);
}

/// Each way of changing a key counts, and reading it does not.
#[test]
fn every_kind_of_change_is_noticed() {
    let node = perdura().start();
    let changes = [
        ("SET k v", true),
        ("GET k", false),
        ("APPEND k x", true),
        ("EXPIRE k 100", true),
        ("PERSIST k", false),
        ("DEL k", true),
        ("RENAME other k", true),
        ("COPY other k REPLACE", true),
        ("FLUSHALL", true),
        ("FLUSHDB", true),
        ("SWAPDB 0 1", true),
        ("TTL k", false),
        ("SETNX k x", false),
        ("DEL none", false),
    ];
    for (change, noticed) in changes {
        let (mut one, mut other) = (node.client(), node.client());
        check_all(
            &mut one,
            &[("FLUSHALL", "+OK"), ("SET k 1", "+OK"), ("SET other 2", "+OK"), ("WATCH k", "+OK")],
        );
        other.run(change);
        one.check("MULTI", "+OK");
        one.check("PING", "+QUEUED");
        let spoilt = one.run("EXEC").to_string() == "nil";
        assert_eq!(spoilt, noticed, "{change}");
    }
}

#[test]
fn a_watch_is_of_one_database() {
    let node = perdura().start();
    let (mut one, mut other) = (node.client(), node.client());
    check_all(&mut one, &[("WATCH k", "+OK"), ("MULTI", "+OK"), ("PING", "+QUEUED")]);
    check_all(&mut other, &[("SELECT 1", "+OK"), ("SET k v", "+OK")]);
    one.check("EXEC", "[+PONG]");
}

#[test]
fn a_watch_ends_with_its_transaction() {
    let node = perdura().start();
    let (mut one, mut other) = (node.client(), node.client());
    for end in ["EXEC", "DISCARD"] {
        check_all(&mut one, &[("WATCH k", "+OK"), ("MULTI", "+OK")]);
        one.run(end);
        other.check("SET k v", "+OK");
        check_all(&mut one, &[("MULTI", "+OK"), ("PING", "+QUEUED"), ("EXEC", "[+PONG]")]);
    }
}

/// A database that a transaction chooses is chosen only if the transaction is carried out.
#[test]
fn a_transaction_that_its_watch_stops_chooses_no_database() {
    let node = perdura().start();
    chooses_no_database_when_stopped(&node, &node);
}

#[test]
fn nor_does_one_that_is_sent_through_a_replica() {
    let cluster = Cluster::start_with(perdura());
    chooses_no_database_when_stopped(&cluster.nodes[cluster.replica()], &cluster.nodes[cluster.primary()]);
}

fn chooses_no_database_when_stopped(through: &Node, primary: &Node) {
    let (mut one, mut other) = (through.client(), primary.client());
    check_all(&mut one, &[("SELECT 2", "+OK"), ("SET where two", "+OK"), ("WATCH k", "+OK")]);
    check_all(&mut other, &[("SELECT 2", "+OK"), ("SET k v", "+OK")]);
    let transaction = [("MULTI", "+OK"), ("SELECT 3", "+QUEUED"), ("SET where three", "+QUEUED")];
    check_all(&mut one, &transaction);
    // The next commands are on their way before the transaction is known to be stopped.
    ["EXEC", "GET where", "SET behind it"].iter().for_each(|line| one.send_line(line));
    ["nil", "two", "+OK"].iter().for_each(|reply| one.expect(reply));
    other.check("GET behind", "it");
    check_all(&mut one, &transaction);
    check_all(&mut one, &[("EXEC", "[+OK +OK]"), ("GET where", "three")]);
}

/// Optimistic locking as it is used: read, compute, write unless somebody else did.
#[test]
fn watched_counters_lose_no_increment() {
    let node = perdura().start();
    let (clients, rounds) = (6, 50);
    let counting: Vec<_> = (0..clients)
        .map(|_| {
            let mut client = node.client();
            std::thread::spawn(move || (0..rounds).for_each(|_| increment_by_watch(&mut client)))
        })
        .collect();
    counting.into_iter().for_each(|thread| thread.join().expect("a client finished"));
    node.client().check("GET n", &(clients * rounds).to_string());
}

fn increment_by_watch(client: &mut Client) {
    loop {
        client.check("WATCH n", "+OK");
        let seen = client.run("GET n");
        let next =
            if seen.to_string() == "nil" { 1 } else { seen.text().parse::<i64>().expect("a number") + 1 };
        client.check("MULTI", "+OK");
        client.check(&format!("SET n {next}"), "+QUEUED");
        if client.run("EXEC").to_string() != "nil" {
            return;
        }
    }
}

/// Two keys that are only ever written together are only ever seen together.
#[test]
fn nobody_sees_half_a_transaction() {
    let node = perdura().start();
    node.client().check("MSET {p}a 0 {p}b 0", "+OK");
    let writing = write_pairs(&node, 500);
    let mut reader = node.client();
    while !writing.is_finished() {
        let seen = reader.run("MGET {p}a {p}b");
        assert_eq!(seen.items()[0], seen.items()[1]);
    }
    writing.join().expect("the writer finished");
}

fn write_pairs(node: &Node, rounds: usize) -> std::thread::JoinHandle<()> {
    let mut client = node.client();
    std::thread::spawn(move || {
        for round in 1..=rounds {
            client.check("MULTI", "+OK");
            client.check(&format!("SET {{p}}a {round}"), "+QUEUED");
            client.check(&format!("SET {{p}}b {round}"), "+QUEUED");
            client.check("EXEC", "[+OK +OK]");
        }
    })
}

#[test]
fn a_client_that_leaves_mid_transaction_changes_nothing() {
    let node = perdura().start();
    let mut one = node.client();
    check_all(&mut one, &[("MULTI", "+OK"), ("SET k v", "+QUEUED")]);
    drop(one);
    node.client().check("EXISTS k", ":0");
}

#[test]
fn who_watches_a_key_that_is_not_there_does_not_mind_a_flush() {
    let node = perdura().start();
    let (mut one, mut other) = (node.client(), node.client());
    for change in ["FLUSHALL", "FLUSHDB", "SWAPDB 0 1"] {
        one.check("WATCH none", "+OK");
        other.check(change, "+OK");
        check_all(&mut one, &[("MULTI", "+OK"), ("PING", "+QUEUED"), ("EXEC", "[+PONG]")]);
    }
}

/// Local steps of an EXEC that take seconds: DEBUG DIGEST of 10,000 keys, again and again.
const DIGESTS: usize = 100;

fn node_with_keys() -> Node {
    let node = perdura().start();
    let pairs: Vec<String> = (0..10_000).flat_map(|n| [format!("key:{n}"), String::from("v")]).collect();
    let args: Vec<&[u8]> =
        ["MSET"].into_iter().chain(pairs.iter().map(String::as_str)).map(str::as_bytes).collect();
    assert_eq!(node.client().call(&args).to_string(), "+OK");
    node
}

/// Sends MULTI, what is given with many digests between, and EXEC; returns once all is queued.
fn send_slow_exec(client: &mut Client, first: &str, last: &str) {
    check_all(client, &[("MULTI", "+OK"), (first, "+QUEUED")]);
    client.send_bytes(&encode(&[b"DEBUG", b"DIGEST"]).repeat(DIGESTS));
    (0..DIGESTS).for_each(|_| client.expect("+QUEUED"));
    client.check(last, "+QUEUED");
    client.send_line("EXEC");
}

/// In RESP2 a message that came before the array would be taken for the answer, and so on for ever.
#[test]
fn a_message_that_comes_during_an_exec_follows_its_answer() {
    let node = node_with_keys();
    let (mut subscriber, mut publisher) = (node.client(), node.client());
    send_slow_exec(&mut subscriber, "SUBSCRIBE c", "SET x 1");
    wait_for("the step has subscribed", Duration::from_secs(20), || {
        (publisher.run("PUBLISH c m").integer() == 1).then_some(())
    });
    let answer = subscriber.read();
    assert_eq!(answer.items().len(), 2 + DIGESTS, "{answer}");
    subscriber.expect("[message c m]");
}

#[test]
fn what_a_transaction_publishes_to_its_own_client_follows_its_answer() {
    let node = perdura().start();
    let mut client = node.client();
    client.hello3();
    client.check("SUBSCRIBE news", ">[subscribe news :1]");
    for _ in 0..20 {
        check_all(
            &mut client,
            &[
                ("MULTI", "+OK"),
                ("PING before", "+QUEUED"),
                ("PUBLISH news one", "+QUEUED"),
                ("PUBLISH news two", "+QUEUED"),
                ("PING after", "+QUEUED"),
                ("EXEC", "[before :1 :1 after]"),
            ],
        );
        client.expect(">[message news one]");
        client.expect(">[message news two]");
    }
}

#[test]
fn a_nested_multi_spoils_the_transaction() {
    let node = perdura().start();
    let mut client = node.client();
    check_all(
        &mut client,
        &[
            ("MULTI", "+OK"),
            ("SET nested 1", "+QUEUED"),
            ("MULTI", "-ERR MULTI calls can not be nested"),
            ("EXEC", "-EXECABORT Transaction discarded because of previous errors."),
            ("EXISTS nested", ":0"),
        ],
    );
}

fn setting(client: &mut Client) -> String {
    client.run("CONFIG GET tcp-keepalive").items()[1].to_string()
}

#[test]
fn an_exec_whose_client_is_killed_during_its_local_steps_is_finished() {
    let node = node_with_keys();
    let (mut client, mut other) = (node.client(), node.client());
    let id = client.run("CLIENT ID").integer();
    send_slow_exec(&mut client, "CONFIG SET tcp-keepalive 7", "CONFIG SET tcp-keepalive 8");
    // On a busy machine the last may have run, too, when this looks.
    wait_for("the first step has run", Duration::from_secs(20), || {
        ["7", "8"].contains(&&*setting(&mut other)).then_some(())
    });
    other.check(&format!("CLIENT KILL ID {id}"), ":1");
    wait_for("the last step has run", Duration::from_secs(20), || (setting(&mut other) == "8").then_some(()));
}

#[test]
fn an_exec_that_kills_its_own_client_is_finished_and_answered() {
    let node = node_with_keys();
    let mut client = node.client();
    let id = client.run("CLIENT ID").integer();
    send_slow_exec(&mut client, &format!("CLIENT KILL ID {id} SKIPME no"), "CONFIG SET tcp-keepalive 8");
    let answer = client.read();
    assert_eq!(answer.items().len(), 2 + DIGESTS, "{answer}");
    assert_eq!(client.read_to_end(), b"");
    assert_eq!(setting(&mut node.client()), "8");
}

/// What was logged took effect, so the other steps have to, though its client hears nothing of either.
#[test]
fn an_exec_whose_answer_is_cut_runs_its_local_steps() {
    let node = perdura().flag("client-output-buffer-limit", "normal 4mb 0 0").start();
    let (mut client, mut other) = (node.client(), node.client());
    client.call(&[b"SET", b"k", &vec![b'v'; 3 << 20]]);
    let lines = ["CONFIG SET tcp-keepalive 7", "GETEX k", "GETEX k", "SET done 1"];
    client.check("MULTI", "+OK");
    lines.iter().for_each(|line| client.check(line, "+QUEUED"));
    client.send_line("EXEC");
    assert_eq!(client.read_to_end(), b"");
    other.check("GET done", "1");
    wait_for("the step has run", Duration::from_secs(20), || (setting(&mut other) == "7").then_some(()));
}
