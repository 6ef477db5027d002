//! Three nodes: any client may talk to any of them, and each tells the truth about itself.

use std::time::Duration;

use perdura_testkit::client::words;
use perdura_testkit::clock::{Stopwatch, wait_for};
use perdura_testkit::{Client, Cluster, Reply, Signal};

use crate::perdura;

/// Longest that a client may be left without an answer while there is no primary.
const ANSWER_LIMIT: Duration = Duration::from_secs(10);

#[test]
fn each_node_knows_its_role() {
    let cluster = Cluster::start_with(perdura());
    let primary = cluster.primary();
    // A primary needs one of the replicas to be elected; the other may be a moment behind.
    wait_for("a primary that hears both replicas", ANSWER_LIMIT, || {
        let role = cluster.client(primary).run("ROLE");
        assert_eq!(role.items()[0].text(), "master", "{role}");
        (role.items()[2].items().len() == 2).then_some(())
    });
    let info = cluster.client(primary).run("INFO replication").text();
    for field in ["role:master", "connected_slaves:2", "slave0:ip=", "slave1:ip=", "master_repl_offset:"] {
        assert!(info.contains(&format!("\r\n{field}")), "{info}");
    }
    let primary_port = cluster.nodes[primary].addr().port();
    for at in (0..3).filter(|&at| at != primary) {
        let mut client = cluster.client(at);
        client.check("READONLY", "+OK");
        let role = client.run("ROLE");
        assert_eq!(role.items()[0].text(), "slave");
        assert_eq!(role.items()[2].integer(), i64::from(primary_port));
        let info = client.run("INFO replication").text();
        assert!(info.contains("\r\nrole:slave\r\n"), "{info}");
        assert!(info.contains(&format!("\r\nmaster_port:{primary_port}\r\n")), "{info}");
        assert!(info.contains("\r\nmaster_link_status:up\r\n"), "{info}");
    }
}

/// What one node acknowledged, every node shows at once: a forwarded read is answered by the primary.
#[test]
fn what_is_written_through_one_node_is_read_through_another() {
    let cluster = Cluster::start_with(perdura());
    let mut clients: Vec<Client> = (0..3).map(|at| cluster.client(at)).collect();
    for round in 0..150 {
        clients[round % 3].check(&format!("SET k {round}"), "+OK");
        clients[(round + 1) % 3].check("GET k", &round.to_string());
        clients[(round + 2) % 3].check("GET k", &round.to_string());
    }
}

#[test]
fn a_pipeline_through_a_replica_keeps_its_order() {
    let cluster = Cluster::start_with(perdura());
    let mut client = cluster.client(cluster.replica());
    for round in 0..500 {
        client.send_line(&format!("SET k {round}"));
        client.send_line("GET k");
        client.send_line("PING");
        client.send_line("CLIENT GETNAME");
    }
    for round in 0..500 {
        client.expect("+OK");
        client.expect(&round.to_string());
        client.expect("+PONG");
        client.expect("nil");
    }
}

#[test]
fn a_connection_through_a_replica_keeps_its_state() {
    let cluster = Cluster::start_with(perdura());
    let (mut one, mut other) = (cluster.client(cluster.replica()), cluster.client(cluster.primary()));
    one.check("SELECT 3", "+OK");
    one.check("SET k three", "+OK");
    other.check("GET k", "nil");
    one.check("WATCH k", "+OK");
    one.check("MULTI", "+OK");
    one.check("SET k four", "+QUEUED");
    other.check("SELECT 3", "+OK");
    other.check("SET k changed", "+OK");
    one.check("EXEC", "nil");
    one.check("GET k", "changed");
    for line in ["WATCH k", "MULTI", "DISCARD"] {
        one.check(line, "+OK");
    }
    other.check("SET k 1", "+OK");
    one.check("MULTI", "+OK");
    one.check("INCR k", "+QUEUED");
    one.check("EXEC", "[:2]");
    one.hello3();
    one.check("HSET h f v", ":1");
    one.check("HGETALL h", "{f=v}");
}

#[test]
fn a_database_chosen_in_a_transaction_through_a_replica_stays_chosen() {
    let cluster = Cluster::start_with(perdura());
    let (mut one, mut other) = (cluster.client(cluster.replica()), cluster.client(cluster.primary()));
    one.check("SET k zero", "+OK");
    for line in ["MULTI", "SELECT 3", "SET k three", "EXEC"] {
        assert!(!one.run(line).is_error(), "{line}");
    }
    one.check("GET k", "three");
    one.check("SELECT 0", "+OK");
    one.check("GET k", "zero");
    other.check("SELECT 3", "+OK");
    other.check("GET k", "three");
}

#[test]
fn who_hangs_up_on_a_replica_is_forgotten_by_the_primary() {
    let cluster = Cluster::start_with(perdura());
    let primary = &cluster.nodes[cluster.primary()];
    let mut gone = cluster.client(cluster.replica());
    gone.send_line("BLPOP l 0");
    primary.wait_for_blocked(1);
    drop(gone);
    primary.wait_for_blocked(0);
    let mut client = primary.client();
    client.check("RPUSH l a", ":1");
    client.check("LRANGE l 0 -1", "[a]");
}

/// A primary that stands still is replaced; who asked it through a replica is told so and served by the next.
#[test]
fn a_primary_that_stands_still_leaves_nobody_waiting() {
    let cluster = Cluster::start_with(perdura());
    let primary = cluster.primary();
    let mut client = cluster.client(cluster.replica());
    client.check("SET k before", "+OK");
    client.check("WATCH k", "+OK");
    cluster.nodes[primary].signal(Signal::STOP);
    let watch = Stopwatch::start();
    let reply = client.run("GET k");
    assert!(reply.is_error() || reply.text() == "before", "{reply}");
    assert!(watch.elapsed() < ANSWER_LIMIT, "told after {:?}", watch.elapsed());
    client.check("MULTI", "+OK");
    client.check("SET k after", "+QUEUED");
    client.check("EXEC", "nil");
    wait_for("writes are taken again", Duration::from_secs(5), || {
        (!client.run("SET k after").is_error()).then_some(())
    });
    cluster.nodes[primary].signal(Signal::CONT);
    client.check("GET k", "after");
}

#[test]
fn waiting_and_pushing_on_different_nodes() {
    let cluster = Cluster::start_with(perdura());
    for (waits, pushes) in [(0, 1), (1, 2), (2, 0)] {
        let mut waiting = cluster.client(waits);
        waiting.send_line("BLPOP l 10");
        assert!(waiting.is_silent_for(Duration::from_millis(100)));
        cluster.client(pushes).check("RPUSH l x", ":1");
        waiting.expect("[l x]");
    }
    let mut waiting = cluster.client(cluster.replica());
    waiting.check("BLPOP l 0.1", "nil");
}

/// CLIENT UNBLOCK reaches a client where it is connected, although it waits on the primary.
#[test]
fn who_waits_through_a_replica_can_be_unblocked_there() {
    let cluster = Cluster::start_with(perdura());
    let (primary, replica) = (cluster.primary(), cluster.replica());
    let (mut waiting, mut operator) = (cluster.client(replica), cluster.client(replica));
    let id = waiting.run("CLIENT ID").integer();
    for (reason, reply) in [("", "nil"), (" ERROR", "-UNBLOCKED client unblocked via CLIENT UNBLOCK")] {
        waiting.send_line("BLPOP l 0");
        cluster.nodes[primary].wait_for_blocked(1);
        let list = operator.run(&format!("CLIENT LIST ID {id}")).text();
        assert!(list.contains(" flags=b "), "{list}");
        operator.check(&format!("CLIENT UNBLOCK {id}{reason}"), ":1");
        waiting.expect(reply);
        cluster.nodes[primary].wait_for_blocked(0);
        operator.check(&format!("CLIENT UNBLOCK {id}"), ":0");
    }
    waiting.check("SET k v", "+OK");
}

#[test]
fn a_readonly_connection_reads_its_own_node_and_never_goes_back() {
    let cluster = Cluster::start_with(perdura());
    let mut writer = cluster.client(cluster.primary());
    let mut reader = cluster.client(cluster.replica());
    reader.check("READONLY", "+OK");
    let mut last = 0;
    for round in 1..=200 {
        writer.check(&format!("SET n {round}"), "+OK");
        let seen = reader.run("GET n");
        let seen = if seen.to_string() == "nil" { 0 } else { seen.text().parse::<i64>().expect("a number") };
        assert!((last..=round).contains(&seen), "saw {seen} after {last}, at {round}");
        last = seen;
    }
    wait_for("the replica catches up", Duration::from_secs(5), || {
        (reader.run("GET n").to_string() == "200").then_some(())
    });
    reader.check("READWRITE", "+OK");
    writer.check("SET n last", "+OK");
    reader.check("GET n", "last");
}

#[test]
fn a_guarded_group_forwards_too() {
    let cluster = Cluster::start_with(perdura().flag("requirepass", "secret"));
    for at in 0..3 {
        let mut client = cluster.client(at);
        client.check("SET k v", "-NOAUTH Authentication required.");
        client.check("AUTH secret", "+OK");
        client.check(&format!("SET k {at}"), "+OK");
        client.check("GET k", &at.to_string());
    }
}

/// Without a majority nothing is acknowledged; every client is told within a bound, and all is well when it returns.
#[test]
fn without_a_majority_there_is_an_error_and_never_a_hang() {
    let mut cluster = Cluster::start_with(perdura());
    cluster.client(0).check("SET k before", "+OK");
    let survivor = cluster.primary();
    let mut readers = cluster.client(survivor);
    let fallen: Vec<usize> = (0..3).filter(|&at| at != survivor).collect();
    fallen.iter().for_each(|&at| cluster.nodes[at].kill());
    for line in ["SET k during", "INCR n", "BLPOP l 1"] {
        let watch = Stopwatch::start();
        let args = words(line);
        let args: Vec<&[u8]> = args.iter().map(Vec::as_slice).collect();
        // What was in flight when leadership ended has no answer: its connection is closed.
        let reply = cluster.client(survivor).try_call(&args);
        assert!(reply.as_ref().map_or(true, Reply::is_error), "{line} got {reply:?}");
        assert!(watch.elapsed() < ANSWER_LIMIT, "{line} took {:?}", watch.elapsed());
    }
    let watch = Stopwatch::start();
    let read = readers.run("GET k");
    assert!(read.is_error(), "a read that nobody else could have contradicted by now, yet got {read}");
    assert!(watch.elapsed() < ANSWER_LIMIT);
    readers.check("READONLY", "+OK");
    readers.check("GET k", "before");
    fallen.iter().for_each(|&at| cluster.nodes[at].restart());
    cluster.primary();
    wait_for("writes are taken again", Duration::from_secs(10), || {
        (!cluster.client(survivor).run("SET k after").is_error()).then_some(())
    });
    cluster.agreed_digest();
}

/// A client that waits when the primary dies is closed: what became of its command is not known.
#[test]
fn a_client_that_waits_through_a_failover_is_not_forgotten() {
    let mut cluster = Cluster::start_with(perdura());
    let primary = cluster.primary();
    let mut waiting = cluster.client(cluster.replica());
    waiting.send_line("BLPOP l 0");
    assert!(waiting.is_silent_for(Duration::from_millis(200)));
    cluster.nodes[primary].kill();
    wait_for("a push is taken", Duration::from_secs(10), || {
        (!cluster.client(cluster.primary()).run("RPUSH l x").is_error()).then_some(())
    });
    assert_eq!(waiting.read_to_end(), b"");
}

/// SIGTERM hands leadership over, so that writes hardly pause, and the process ends well.
#[test]
fn a_primary_that_is_asked_to_stop_hands_over() {
    let mut cluster = Cluster::start_with(perdura());
    cluster.client(0).check("SET k v", "+OK");
    let primary = cluster.primary();
    let mut client = cluster.client(cluster.replica());
    let watch = Stopwatch::start();
    cluster.nodes[primary].signal(Signal::TERM);
    wait_for("writes are taken again", Duration::from_secs(5), || {
        (!client.run("SET k w").is_error()).then_some(())
    });
    eprintln!("writes went on {:?} after SIGTERM", watch.elapsed());
    assert!(cluster.nodes[primary].wait_for_exit().success());
    cluster.nodes[primary].restart();
    cluster.agreed_digest();
}

#[test]
fn a_node_that_was_away_catches_up() {
    let mut cluster = Cluster::start_with(perdura());
    let away = cluster.replica();
    cluster.nodes[away].kill();
    let mut writer = cluster.client(cluster.primary());
    for n in 0..2_000 {
        writer.send_line(&format!("SET key{n} {n}"));
    }
    (0..2_000).for_each(|_| writer.expect("+OK"));
    cluster.nodes[away].restart();
    cluster.agreed_digest();
    let mut reader = cluster.client(away);
    reader.check("READONLY", "+OK");
    reader.check("GET key1999", "1999");
}
