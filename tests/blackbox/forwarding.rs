//! Transactions and connection state through any node of a group: what a client is answered does not depend on the node that it
//! is connected to.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::thread;
use std::time::Duration;

use perdura_testkit::clock::Stopwatch;
use perdura_testkit::{Client, Cluster};

use crate::perdura;

/// A primary's connection and a replica's, with their names for messages.
fn everywhere(cluster: &Cluster) -> [(&'static str, Client); 2] {
    let replica = cluster.replica();
    [("primary", cluster.client(cluster.primary())), ("replica", cluster.client(replica))]
}

fn check_all(client: &mut Client, at: &str, lines: &[(&str, &str)]) {
    for (line, expected) in lines {
        assert_eq!(client.run(line).to_string(), *expected, "{line} at the {at}");
    }
}

/// The bytes up to the answer to ECHO, which the lines must end with.
fn raw_answers(client: &mut Client, lines: &[&str]) -> String {
    const END: &str = "the-end";
    lines.iter().for_each(|line| client.send_line(line));
    client.send_line(&format!("ECHO {END}"));
    let mut answers = Vec::new();
    let end = format!("${}\r\n{END}\r\n", END.len());
    while !answers.ends_with(end.as_bytes()) {
        answers.extend(client.read_bytes(1));
    }
    answers.truncate(answers.len() - end.len());
    String::from_utf8_lossy(&answers).replace("\r\n", "|")
}

#[test]
fn increments_by_watch_and_exec_of_readonly_clients_all_count() {
    const ROUNDS: usize = 150;
    let cluster = Cluster::start_with(perdura());
    cluster.client(cluster.primary()).check("SET o 0", "+OK");
    let replicas: Vec<usize> = (0..3).filter(|&at| at != cluster.primary()).collect();
    let increment = |at: usize| {
        let mut client = cluster.client(at);
        client.check("READONLY", "+OK");
        let mut acknowledged = 0;
        for _ in 0..ROUNDS {
            client.check("WATCH o", "+OK");
            let value: i64 = client.run("GET o").text().parse().expect("a number");
            client.check("MULTI", "+OK");
            client.check(&format!("SET o {}", value + 1), "+QUEUED");
            acknowledged += i64::from(client.run("EXEC").to_string() == "[+OK]");
        }
        acknowledged
    };
    let acknowledged: i64 = thread::scope(|scope| {
        let threads: Vec<_> = replicas.iter().map(|&at| scope.spawn(move || increment(at))).collect();
        threads.into_iter().map(|thread| thread.join().expect("a client")).sum()
    });
    let value = cluster.client(cluster.primary()).run("GET o").text();
    assert_eq!(value, acknowledged.to_string());
    assert!(acknowledged > 0);
}

#[test]
fn subscribe_in_multi_never_shifts_the_answers_of_other_commands() {
    let cluster = Cluster::start_with(perdura());
    cluster.client(0).check("SET secret hidden", "+OK");
    for (at, mut client) in everywhere(&cluster) {
        check_all(
            &mut client,
            at,
            &[
                ("MULTI", "+OK"),
                ("SUBSCRIBE c1 c2 c3", "+QUEUED"),
                ("SET k v", "+QUEUED"),
                ("GET k", "+QUEUED"),
                ("EXEC", "[[subscribe c1 :1] [subscribe c2 :2] [subscribe c3 :3] +OK v]"),
                ("UNSUBSCRIBE c1", "[unsubscribe c1 :2]"),
                ("UNSUBSCRIBE c2", "[unsubscribe c2 :1]"),
                ("PING", "[pong '']"),
                ("UNSUBSCRIBE c3", "[unsubscribe c3 :0]"),
                ("GET secret", "hidden"),
                ("SET a 1", "+OK"),
            ],
        );
        check_all(
            &mut client,
            at,
            &[("MULTI", "+OK"), ("SUBSCRIBE c1", "+QUEUED"), ("EXEC", "[[subscribe c1 :1]]")],
        );
        let mut other = cluster.client(cluster.primary());
        wait_for_message(&mut other, &mut client);
    }
}

/// The subscription is one of the node that the client is connected to, and hears.
fn wait_for_message(publisher: &mut Client, subscriber: &mut Client) {
    publisher.run("PUBLISH c1 hello");
    subscriber.expect("[message c1 hello]");
}

#[test]
fn hello_in_multi_speaks_from_its_place_on() {
    let cluster = Cluster::start_with(perdura());
    cluster.client(0).check("HSET h f v", ":1");
    for (at, mut client) in everywhere(&cluster) {
        let lines =
            ["MULTI", "HGETALL h", "HELLO 3", "HGETALL h", "GET none", "EXEC", "HGETALL h", "GET none"];
        let answers = raw_answers(&mut client, &lines);
        let (before, rest) = answers.split_once("%7|").expect("HELLO's answer");
        assert_eq!(before, "+OK|+QUEUED|+QUEUED|+QUEUED|+QUEUED|*4|*2|$1|f|$1|v|", "{at}");
        let (_, after) = rest.split_once("modules|*0|").expect("the end of HELLO's answer");
        assert_eq!(after, "%1|$1|f|$1|v|_|%1|$1|f|$1|v|_|", "{at}");
        let answers =
            raw_answers(&mut client, &["MULTI", "HELLO 2", "SET k v", "HGETALL h", "EXEC", "HGETALL h"]);
        assert!(answers.ends_with("modules|*0|+OK|*2|$1|f|$1|v|*2|$1|f|$1|v|"), "{at}: {answers}");
        // What a HELLO asks for in vain it does not get.
        let answers = raw_answers(&mut client, &["MULTI", "HELLO 9", "HGETALL h", "EXEC"]);
        assert_eq!(
            answers, "+OK|+QUEUED|+QUEUED|*2|-NOPROTO unsupported protocol version|*2|$1|f|$1|v|",
            "{at}"
        );
    }
}

#[test]
fn commands_about_the_connection_and_the_node_in_multi_run_where_the_client_is() {
    let cluster = Cluster::start_with(perdura());
    for (at, mut client) in everywhere(&cluster) {
        let id = client.run("CLIENT ID").to_string();
        let exec = format!("[+OK {id} +OK me +OK +PONG me]");
        check_all(
            &mut client,
            at,
            &[
                ("MULTI", "+OK"),
                ("CLIENT SETNAME me", "+QUEUED"),
                ("CLIENT ID", "+QUEUED"),
                ("SET k v", "+QUEUED"),
                ("CLIENT GETNAME", "+QUEUED"),
                ("CONFIG SET tcp-keepalive 77", "+QUEUED"),
                ("PING", "+QUEUED"),
                ("CLIENT GETNAME", "+QUEUED"),
                ("EXEC", &exec),
                ("CLIENT GETNAME", "me"),
                ("CONFIG GET tcp-keepalive", "[tcp-keepalive 77]"),
                ("MULTI", "+OK"),
                ("CONFIG SET tcp-keepalive 300", "+QUEUED"),
                ("EXEC", "[+OK]"),
            ],
        );
    }
    let mut replica = cluster.client(cluster.replica());
    check_all(
        &mut replica,
        "replica",
        &[("MULTI", "+OK"), ("CONFIG SET tcp-keepalive 77", "+QUEUED"), ("SET k v", "+QUEUED")],
    );
    replica.check("EXEC", "[+OK +OK]");
    cluster.client(cluster.primary()).check("CONFIG GET tcp-keepalive", "[tcp-keepalive 300]");
}

#[test]
fn an_exec_that_fails_runs_none_of_its_commands() {
    let cluster = Cluster::start_with(perdura());
    for (at, mut client) in everywhere(&cluster) {
        let mut other = cluster.client(0);
        check_all(&mut client, at, &[("SET k 1", "+OK"), ("WATCH k", "+OK")]);
        other.check("SET k 2", "+OK");
        check_all(
            &mut client,
            at,
            &[
                ("MULTI", "+OK"),
                ("CLIENT SETNAME me", "+QUEUED"),
                ("SELECT 3", "+QUEUED"),
                ("SET k 3", "+QUEUED"),
                ("SUBSCRIBE c", "+QUEUED"),
                ("CONFIG SET timeout 55", "+QUEUED"),
                ("EXEC", "nil"),
                ("CLIENT GETNAME", "nil"),
                ("GET k", "2"),
                ("CONFIG GET timeout", "[timeout 0]"),
            ],
        );
        // Nor one without any command that touches data.
        check_all(&mut client, at, &[("WATCH k", "+OK")]);
        other.check("SET k 4", "+OK");
        check_all(
            &mut client,
            at,
            &[("MULTI", "+OK"), ("CLIENT SETNAME me", "+QUEUED"), ("EXEC", "nil"), ("CLIENT GETNAME", "nil")],
        );
    }
}

/// It published what the steps before it had not subscribed to yet, and found what they had left.
#[test]
fn publish_in_multi_finds_the_subscriptions_of_the_steps_before_it() {
    let cluster = Cluster::start_with(perdura());
    for (at, mut client) in everywhere(&cluster) {
        let subscribed =
            format!("[[subscribe {at} :1] +OK :1 [ssubscribe {at} :1] :1 [psubscribe {at}* :2] :2]");
        check_all(
            &mut client,
            at,
            &[
                ("MULTI", "+OK"),
                (&format!("SUBSCRIBE {at}"), "+QUEUED"),
                ("SET k v", "+QUEUED"),
                (&format!("PUBLISH {at} one"), "+QUEUED"),
                (&format!("SSUBSCRIBE {at}"), "+QUEUED"),
                (&format!("SPUBLISH {at} shard"), "+QUEUED"),
                (&format!("PSUBSCRIBE {at}*"), "+QUEUED"),
                (&format!("PUBLISH {at} two"), "+QUEUED"),
                ("EXEC", &subscribed),
            ],
        );
        client.expect(&format!("[message {at} one]"));
        client.expect(&format!("[smessage {at} shard]"));
        client.expect(&format!("[message {at} two]"));
        client.expect(&format!("[pmessage {at}* {at} two]"));
    }
    for (at, mut client) in everywhere(&cluster) {
        client.hello3();
        let channel = format!("left-{at}");
        client.check(&format!("SUBSCRIBE {channel}"), &format!(">[subscribe {channel} :1]"));
        check_all(
            &mut client,
            at,
            &[
                ("MULTI", "+OK"),
                (&format!("UNSUBSCRIBE {channel}"), "+QUEUED"),
                (&format!("PUBLISH {channel} x"), "+QUEUED"),
                ("GET k", "+QUEUED"),
                ("EXEC", &format!("[>[unsubscribe {channel} :0] :0 v]")),
            ],
        );
        assert!(client.is_silent_for(Duration::from_millis(50)), "at the {at}");
    }
}

#[test]
fn an_exec_with_a_wrong_number_of_arguments_ends_its_transaction() {
    const ABORTED: &str =
        "-EXECABORT Transaction discarded because of: wrong number of arguments for 'exec' command";
    let cluster = Cluster::start_with(perdura());
    for (at, mut client) in everywhere(&cluster) {
        check_all(
            &mut client,
            at,
            &[
                ("EXEC x", ABORTED),
                ("WATCH w", "+OK"),
                ("MULTI", "+OK"),
                ("SET a 1", "+QUEUED"),
                ("EXEC x", ABORTED),
                ("EXEC", "-ERR EXEC without MULTI"),
                ("GET a", "nil"),
                ("SET w 1", "+OK"),
                ("MULTI", "+OK"),
                ("PING", "+QUEUED"),
                ("EXEC", "[+PONG]"),
                ("MULTI", "+OK"),
                ("DISCARD x", "-ERR wrong number of arguments for 'discard' command"),
                ("EXEC", "-EXECABORT Transaction discarded because of previous errors."),
            ],
        );
    }
}

/// RESP2 has two nulls.
#[test]
fn nulls_of_resp2_are_those_of_redis() {
    let cluster = Cluster::start_with(perdura());
    for (at, mut client) in everywhere(&cluster) {
        let blocking = [
            "MULTI",
            "BLMOVE q w LEFT LEFT 0",
            "BRPOPLPUSH q w 0",
            "BLPOP q 0",
            "BLMPOP 0 1 q LEFT",
            "BZPOPMIN q 0",
            "BZMPOP 0 1 q MIN",
            "LMOVE q w LEFT LEFT",
            "EXEC",
        ];
        let answers = raw_answers(&mut client, &blocking);
        let answered = answers.trim_start_matches("+OK|").trim_start_matches("+QUEUED|");
        assert_eq!(answered, "*7|$-1|$-1|*-1|*-1|*-1|*-1|$-1|", "{at}");
        let answers = raw_answers(&mut client, &["BLMOVE q w LEFT LEFT 0.01", "BRPOPLPUSH q w 0.01"]);
        assert_eq!(answers, "*-1|*-1|", "{at}");
        let answers = raw_answers(&mut client, &["COMMAND INFO nosuch get nosuch|sub"]);
        assert!(answers.starts_with("*3|$-1|*10|") && answers.ends_with("|$-1|"), "{at}: {answers}");
    }
}

#[test]
fn client_reply_in_multi_turns_answers_off_from_its_exec_on() {
    let cluster = Cluster::start_with(perdura());
    for (at, mut client) in everywhere(&cluster) {
        let answers = raw_answers(
            &mut client,
            &["MULTI", "CLIENT REPLY OFF", "SET k off", "EXEC", "PING", "CLIENT REPLY ON", "GET k"],
        );
        assert_eq!(answers, "+OK|+QUEUED|+QUEUED|+OK|$3|off|", "{at}");
        let answers = raw_answers(
            &mut client,
            &["MULTI", "CLIENT REPLY SKIP", "SET k skip", "EXEC", "PING", "PING", "GET k"],
        );
        assert_eq!(answers, "+OK|+QUEUED|+QUEUED|*1|+OK|+PONG|$4|skip|", "{at}");
        let answers =
            raw_answers(&mut client, &["MULTI", "CLIENT REPLY OFF", "EXEC", "PING", "CLIENT REPLY ON"]);
        assert_eq!(answers, "+OK|+QUEUED|+OK|", "{at}");
    }
}

#[test]
fn confirmations_of_subscriptions_come_although_replies_are_off() {
    let cluster = Cluster::start_with(perdura());
    for (at, mut client) in everywhere(&cluster) {
        let lines = ["CLIENT REPLY OFF", "PING", "SUBSCRIBE c", "UNSUBSCRIBE c", "CLIENT REPLY ON"];
        let answers = raw_answers(&mut client, &lines);
        assert_eq!(answers, "*3|$9|subscribe|$1|c|:1|*3|$11|unsubscribe|$1|c|:0|+OK|", "{at}");
        client.hello3();
        let answers = raw_answers(&mut client, &lines);
        assert_eq!(answers, ">3|$9|subscribe|$1|c|:1|>3|$11|unsubscribe|$1|c|:0|+OK|", "{at}");
        let answers =
            raw_answers(&mut client, &["CLIENT REPLY SKIP", "SUBSCRIBE c", "PING", "UNSUBSCRIBE c"]);
        assert_eq!(answers, ">3|$9|subscribe|$1|c|:1|+PONG|>3|$11|unsubscribe|$1|c|:0|", "{at}");
    }
}

#[test]
fn slowlog_reset_and_latency_reset_end_no_watch() {
    let cluster = Cluster::start_with(perdura());
    for (at, mut client) in everywhere(&cluster) {
        for reset in ["SLOWLOG RESET", "LATENCY RESET", "CONFIG RESETSTAT"] {
            let mut other = cluster.client(0);
            check_all(&mut client, at, &[("SET k 1", "+OK"), ("WATCH k", "+OK")]);
            assert!(!client.run(reset).is_error());
            other.check("SET k 2", "+OK");
            check_all(
                &mut client,
                at,
                &[("MULTI", "+OK"), ("SET k 3", "+QUEUED"), ("EXEC", "nil"), ("GET k", "2")],
            );
        }
        check_all(
            &mut client,
            at,
            &[
                ("MULTI", "+OK"),
                ("SLOWLOG RESET", "+QUEUED"),
                ("LATENCY RESET", "+QUEUED"),
                ("SET k v", "+QUEUED"),
                ("EXEC", "[+OK :0 +OK]"),
                ("MULTI", "+OK"),
                ("RESET", "+RESET"),
                ("GET k", "v"),
            ],
        );
    }
}

#[test]
fn a_database_chosen_in_multi_is_chosen_for_what_follows_only_if_the_exec_is_carried_out() {
    let cluster = Cluster::start_with(perdura());
    for (at, mut client) in everywhere(&cluster) {
        check_all(
            &mut client,
            at,
            &[
                ("SET k zero", "+OK"),
                ("MULTI", "+OK"),
                ("SELECT 5", "+QUEUED"),
                ("SET k five", "+QUEUED"),
                ("SELECT 99", "+QUEUED"),
                ("GET k", "+QUEUED"),
                ("EXEC", "[+OK +OK -ERR DB index is out of range five]"),
                ("GET k", "five"),
                ("SELECT 0", "+OK"),
                ("GET k", "zero"),
            ],
        );
        assert!(client.is_silent_for(Duration::from_millis(20)), "{at}");
    }
}

/// A replica's client has two open files, its own connection and that to the primary.
#[test]
fn more_clients_than_open_files_are_refused_and_end_no_node() {
    const OPEN_FILES: usize = 1040;
    const CLIENTS: usize = 600;
    let dir = tempfile::tempdir().expect("a folder");
    let program = dir.path().join("perdura-with-few-files");
    let script =
        format!("#!/bin/sh\nulimit -n {OPEN_FILES}\nexec '{}' \"$@\"\n", env!("CARGO_BIN_EXE_perdura"));
    std::fs::write(&program, script).expect("a script");
    std::fs::set_permissions(&program, Permissions::from_mode(0o700)).expect("a program");
    let mut cluster = Cluster::start(program);
    let replica = cluster.replica();
    cluster.client(0).check("SET k v", "+OK");
    let (mut served, mut refused) = (Vec::new(), 0);
    for _ in 0..CLIENTS {
        let mut client = Client::connect(cluster.nodes[replica].addr());
        match client.try_call(&[b"GET", b"k"]) {
            Ok(reply) if reply.to_string() == "v" => served.push(client),
            _ => refused += 1,
        }
    }
    assert!(served.len() > 200 && refused > 0, "{} served, {refused} refused", served.len());
    served.iter_mut().for_each(|client| client.check("SET k v", "+OK"));
    assert!(cluster.nodes.iter_mut().all(|node| !node.has_ended()));
}

/// As its own clients do; it was said that there is no primary. A primary whose driver shares its loop with a busy worker stays one.
#[test]
fn a_new_connection_through_a_replica_waits_for_a_primary_that_is_busy() {
    const BUSY: Duration = Duration::from_millis(2500);
    let cluster = Cluster::start_with(perdura().flag("workers", 1).flag("log-driver", "worker"));
    let (primary, replica) = (cluster.primary(), cluster.replica());
    let mut busy = cluster.client(primary);
    busy.check("SET k v", "+OK");
    let numbers: Vec<String> = (0..50_000).map(|n| n.to_string()).collect();
    busy.run(&format!("RPUSH l {}", numbers.join(" ")));
    let watch = Stopwatch::start();
    busy.check("SORT l DESC LIMIT 0 1", "[49999]");
    let rounds = (BUSY.as_micros() / watch.elapsed().as_micros()) as usize + 1;
    busy.send_bytes("SORT l DESC LIMIT 0 1\r\n".repeat(rounds).as_bytes());
    let mut client = cluster.client(replica);
    client.check("GET k", "v");
    client.check("SET k w", "+OK");
    (0..rounds).for_each(|_| busy.expect("[49999]"));
    assert_eq!(cluster.primary(), primary);
}
