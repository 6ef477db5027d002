//! WAIT and WAITAOF: how many followers have a client's writes, and how long it waits for them.

use std::time::Duration;

use perdura_testkit::clock::Stopwatch;
use perdura_testkit::{Cluster, Signal};

use crate::perdura;

const A_WHILE: Duration = Duration::from_millis(100);

/// A group in which one follower stands still; the positions of the primary, the other follower, and that one.
fn group_with_one_standing_still() -> (Cluster, [usize; 3]) {
    let cluster = Cluster::start_with(perdura());
    let primary = cluster.primary();
    let (other, still) = ((primary + 1) % 3, (primary + 2) % 3);
    cluster.client(primary).check("WAIT 2 10000", ":2");
    cluster.nodes[still].signal(Signal::STOP);
    (cluster, [primary, other, still])
}

#[test]
fn a_node_alone_waits_for_nobody_or_until_the_timeout() {
    let node = perdura().start();
    let mut client = node.client();
    client.check("SET k v", "+OK");
    client.check("WAIT 0 0", ":0");
    let watch = Stopwatch::start();
    client.send_line("WAIT 1 150");
    client.send_line("PING");
    client.expect(":0");
    assert!(watch.elapsed() >= Duration::from_millis(145), "{:?}", watch.elapsed());
    client.expect("+PONG");
    client.check("WAITAOF 1 0 0", "[:1 :0]");
    client.check("WAITAOF 0 1 10", "[:1 :0]");
}

#[test]
fn all_followers_have_a_write_soon() {
    let cluster = Cluster::start_with(perdura());
    for at in 0..3 {
        let mut client = cluster.client(at);
        for round in 0..20 {
            client.check(&format!("SET k {round}"), "+OK");
            client.check("WAIT 2 10000", ":2");
        }
        client.check("SET k last", "+OK");
        client.check("WAITAOF 1 2 10000", "[:1 :2]");
    }
}

#[test]
fn a_follower_that_stands_still_is_waited_for() {
    let (cluster, [primary, _, still]) = group_with_one_standing_still();
    let mut client = cluster.client(primary);
    client.check("SET k v", "+OK");
    client.check("WAIT 1 0", ":1");
    let watch = Stopwatch::start();
    client.check("WAIT 2 300", ":1");
    assert!(watch.elapsed() >= Duration::from_millis(295), "{:?}", watch.elapsed());
    client.send_line("WAIT 2 0");
    cluster.nodes[primary].wait_for_blocked(1);
    assert!(client.is_silent_for(A_WHILE));
    cluster.nodes[still].signal(Signal::CONT);
    client.expect(":2");
    cluster.nodes[primary].wait_for_blocked(0);
}

#[test]
fn a_transaction_does_not_wait() {
    let (cluster, [primary, _, still]) = group_with_one_standing_still();
    let mut client = cluster.client(primary);
    client.check("SET k v", "+OK");
    for (line, reply) in
        [("MULTI", "+OK"), ("WAIT 2 0", "+QUEUED"), ("WAITAOF 1 2 0", "+QUEUED"), ("EXEC", "[:1 [:1 :1]]")]
    {
        client.check(line, reply);
    }
    cluster.nodes[still].signal(Signal::CONT);
}

#[test]
fn a_wait_can_be_ended_from_outside() {
    let (cluster, [primary, other, still]) = group_with_one_standing_still();
    for at in [primary, other] {
        let (mut waiting, mut operator) = (cluster.client(at), cluster.client(at));
        let id = waiting.run("CLIENT ID").integer();
        for (reason, reply) in
            [("TIMEOUT", ":1"), ("ERROR", "-UNBLOCKED client unblocked via CLIENT UNBLOCK")]
        {
            waiting.check("SET k v", "+OK");
            waiting.send_line("WAIT 2 0");
            cluster.nodes[primary].wait_for_blocked(1);
            operator.check(&format!("CLIENT UNBLOCK {id} {reason}"), ":1");
            waiting.expect(reply);
        }
        operator.check(&format!("CLIENT UNBLOCK {id}"), ":0");
    }
    cluster.nodes[still].signal(Signal::CONT);
}

#[test]
fn who_hangs_up_while_it_waits_is_forgotten() {
    let node = perdura().start();
    let mut gone = node.client();
    gone.send_line("WAIT 1 0");
    node.wait_for_blocked(1);
    drop(gone);
    node.wait_for_blocked(0);
}

#[test]
fn a_readonly_connection_to_a_replica_is_refused() {
    let cluster = Cluster::start_with(perdura());
    let mut client = cluster.client(cluster.replica());
    client.check("READONLY", "+OK");
    client.check("WAIT 1 0", "-ERR WAIT cannot be used with replica instances.");
    client.check("WAITAOF 1 1 0", "-ERR WAITAOF cannot be used with replica instances.");
    client.check("READWRITE", "+OK");
    assert!(client.run("WAIT 1 0").integer() >= 1);
}
