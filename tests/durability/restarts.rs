//! Stops and starts: what was there is there again, deadlines and all, whichever way the process ended.

use std::time::Duration;

use perdura_testkit::clock::wait_for;
use perdura_testkit::{Client, Cluster, Node};

use crate::perdura;

/// Fills every type, several databases, deadlines and large values.
pub fn fill(node: &Node) {
    let mut client = node.client();
    let lines = [
        "SET string v",
        "SET mortal v EX 1000",
        "SET number 41",
        "INCR number",
        "RPUSH list a b c d",
        "LPOP list",
        "HSET hash f v g w",
        "HDEL hash g",
        "SADD ints 3 1 2",
        "SADD words a b c",
        "SPOP words",
        "ZADD zset 1 a 2.5 b inf c",
        "ZPOPMIN zset",
        "SELECT 7",
        "SET other v PX 1000000",
        "RENAME other renamed",
        "SELECT 0",
        "SET gone v",
        "DEL gone",
        "SET brief v PX 1",
    ];
    for line in lines {
        let reply = client.run(line);
        assert!(!reply.is_error(), "{line}: {reply}");
    }
    let large = vec![b'x'; 3 << 20];
    assert_eq!(client.call(&[b"SET", b"large", &large]).to_string(), "+OK");
    for n in 0..3_000 {
        client.send_line(&format!("HSET big f{n} v{n}"));
    }
    (0..3_000).for_each(|_| client.expect(":1"));
}

pub fn check(node: &Node) {
    let mut client = node.client();
    for (line, reply) in [
        ("MGET string mortal number gone brief", "[v v 42 nil nil]"),
        ("LRANGE list 0 -1", "[b c d]"),
        ("HGETALL hash", "[f v]"),
        ("SMEMBERS ints", "[1 2 3]"),
        ("SCARD words", ":2"),
        ("ZRANGE zset 0 -1 WITHSCORES", "[b 2.5 c inf]"),
        ("HLEN big", ":3000"),
        ("STRLEN large", ":3145728"),
        ("SELECT 7", "+OK"),
        ("KEYS *", "[renamed]"),
    ] {
        client.check(line, reply);
    }
    let left_ms = client.run("PTTL renamed").integer();
    assert!((900_000..=1_000_000).contains(&left_ms), "{left_ms} ms left");
}

pub fn digest(node: &Node) -> String {
    node.client().run("DEBUG DIGEST").text()
}

#[test]
fn a_killed_node_comes_back_with_everything() {
    let mut node = perdura().start();
    fill(&node);
    let before = digest(&node);
    for _ in 0..2 {
        node.kill();
        node.restart();
        check(&node);
        assert_eq!(digest(&node), before);
    }
}

#[test]
fn a_node_that_is_asked_to_stop_ends_well_and_comes_back() {
    let mut node = perdura().start();
    fill(&node);
    let before = digest(&node);
    assert!(node.terminate().success(), "{}", node.log());
    node.restart();
    check(&node);
    assert_eq!(digest(&node), before);
}

#[test]
fn a_node_comes_back_to_an_empty_log() {
    let mut node = perdura().start();
    node.kill();
    node.restart();
    node.client().check("DBSIZE", ":0");
}

/// A node that accepts a connection takes a write: there is nobody else whom it could wait for.
#[test]
fn a_lone_node_that_accepts_takes_a_write() {
    let mut node = perdura().launch();
    for round in 0..5 {
        let reply = wait_for("the node answers", Duration::from_secs(20), || {
            let mut client = Client::try_connect(node.addr()).ok()?;
            let reply = client.try_call(&[b"SET", b"k", b"v"]).ok()?;
            (!reply.to_string().starts_with("-LOADING")).then_some(reply)
        });
        assert_eq!(reply.to_string(), "+OK", "start {round}");
        node.kill();
        node.spawn();
    }
}

/// A group that loses power as a whole has everything when it returns.
#[test]
fn three_nodes_killed_together_come_back() {
    let mut cluster = Cluster::start_with(perdura());
    let primary = cluster.primary();
    fill(&cluster.nodes[primary]);
    let before = cluster.agreed_digest();
    cluster.nodes.iter_mut().for_each(Node::kill);
    cluster.nodes.iter_mut().for_each(Node::spawn);
    cluster.nodes.iter_mut().for_each(Node::wait_until_it_answers);
    let primary = cluster.primary();
    check(&cluster.nodes[primary]);
    assert_eq!(cluster.agreed_digest(), before);
}

#[test]
fn a_folder_in_use_is_refused() {
    let node = perdura().start();
    let mut second = perdura().flag("dir", node.data().display()).launch();
    assert!(!second.wait_for_exit().success());
    assert!(second.log().contains("in use by another process"), "{}", second.log());
    node.client().check("PING", "+PONG");
}
