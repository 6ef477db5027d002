//! Clients that wait for an element: who is served, when, with what, and who is let go.

use std::time::Duration;

use perdura_testkit::client::encode;
use perdura_testkit::clock::Stopwatch;
use perdura_testkit::{Client, Cluster, Node};

use crate::perdura;

/// Sends `line` and waits until `blocked` clients wait in all.
fn block(node: &Node, line: &str, blocked: usize) -> Client {
    let mut client = node.client();
    client.send_line(line);
    node.wait_for_blocked(blocked);
    client
}

#[test]
fn the_longest_waiting_is_served_first() {
    let node = perdura().start();
    let mut first = block(&node, "BLPOP l 0", 1);
    let mut second = block(&node, "BRPOP l 0", 2);
    let mut third = block(&node, "BLPOP l 0", 3);
    let mut pusher = node.client();
    pusher.check("RPUSH l a b", ":2");
    first.expect("[l a]");
    second.expect("[l b]");
    node.wait_for_blocked(1);
    pusher.check("RPUSH l c", ":1");
    third.expect("[l c]");
    pusher.check("EXISTS l", ":0");
}

/// What a client pushed itself just before is there for it, however short its timeout.
#[test]
fn an_element_that_was_pushed_in_the_same_packet_comes_before_the_timeout() {
    let node = perdura().start();
    let mut client = node.client();
    for _ in 0..50 {
        client.send_bytes(b"RPUSH z foo\r\nBRPOP z 0.001\r\n");
        client.expect(":1");
        client.expect("[z foo]");
    }
}

/// Of several keys that one transaction fills, the one it wrote first serves.
#[test]
fn the_first_key_that_is_ready_serves() {
    let node = perdura().start();
    let mut waiting = block(&node, "BLPOP a b c 0", 1);
    let mut pusher = node.client();
    pusher.check("RPUSH c 1", ":1");
    waiting.expect("[c 1]");
    let mut waiting = block(&node, "BLPOP a b c 0", 1);
    pusher.send_line("MULTI");
    pusher.send_line("RPUSH b 2");
    pusher.send_line("RPUSH a 3");
    pusher.send_line("EXEC");
    waiting.expect("[b 2]");
    for reply in ["+OK", "+QUEUED", "+QUEUED", "[:1 :1]"] {
        pusher.expect(reply);
    }
    pusher.check("LRANGE a 0 -1", "[3]");
}

/// What a transaction leaves behind counts, not what it had in between.
#[test]
fn a_transaction_that_takes_back_serves_nobody() {
    let node = perdura().start();
    let mut waiting = block(&node, "BLPOP l 0", 1);
    let mut pusher = node.client();
    for (line, reply) in
        [("MULTI", "+OK"), ("RPUSH l a", "+QUEUED"), ("DEL l", "+QUEUED"), ("EXEC", "[:1 :1]")]
    {
        pusher.check(line, reply);
    }
    assert!(waiting.is_silent_for(Duration::from_millis(50)));
    pusher.check("RPUSH l b", ":1");
    waiting.expect("[l b]");
}

#[test]
fn waiting_ends_at_the_timeout() {
    let node = perdura().start();
    let watch = Stopwatch::start();
    node.client().check("BLPOP l 0.2", "nil");
    let waited = watch.elapsed();
    assert!(waited >= Duration::from_millis(195), "{waited:?}");
    assert!(waited < Duration::from_secs(5), "{waited:?}");
    node.wait_for_blocked(0);
    node.client().check("RPUSH l a", ":1");
    node.client().check("LLEN l", ":1");
}

#[test]
fn every_blocking_command_is_woken() {
    let node = perdura().start();
    let cases = [
        ("BLPOP k 0", "LPUSH k v", "[k v]"),
        ("BRPOP k 0", "LPUSH k v", "[k v]"),
        ("BLMOVE k other LEFT RIGHT 0", "LPUSH k v", "v"),
        ("BRPOPLPUSH k other 0", "LPUSH k v", "v"),
        ("BLMPOP 0 1 k LEFT COUNT 2", "RPUSH k v w", "[k [v w]]"),
        ("BZPOPMIN k 0", "ZADD k 1 v", "[k v 1]"),
        ("BZPOPMAX k 0", "ZADD k 1 v", "[k v 1]"),
        ("BZMPOP 0 1 k MIN", "ZADD k 1 v", "[k [[v 1]]]"),
        ("BLPOP k 0", "RENAME {other} k", "[k v]"),
        ("BLPOP k 0", "LMOVE other k LEFT LEFT", "[k v]"),
        ("BLPOP k 0", "SORT numbers STORE k", "[k 1]"),
        ("BZPOPMIN k 0", "ZUNIONSTORE k 1 scores", "[k m 1]"),
    ];
    for (wait, wake, reply) in cases {
        let mut other = node.client();
        other.check("FLUSHALL", "+OK");
        for line in ["RPUSH {other} v", "RPUSH numbers 1", "ZADD scores 1 m"] {
            other.check(line, ":1");
        }
        if wake.starts_with("LMOVE") {
            other.check("RPUSH other v", ":1");
        }
        let mut waiting = block(&node, wait, 1);
        other.run(wake);
        assert_eq!(waiting.read().to_string(), reply, "{wait} woken by {wake}");
        node.wait_for_blocked(0);
    }
}

/// An element moved for one waiting client can be what another waits for.
#[test]
fn a_chain_of_waiting_clients() {
    let node = perdura().start();
    let mut last = block(&node, "BLPOP c 0", 1);
    let mut middle = block(&node, "BLMOVE b c LEFT RIGHT 0", 2);
    let mut first = block(&node, "BLMOVE a b LEFT RIGHT 0", 3);
    node.client().check("RPUSH a x", ":1");
    first.expect("x");
    middle.expect("x");
    last.expect("[c x]");
}

#[test]
fn a_key_of_another_type_wakes_nobody() {
    let node = perdura().start();
    let mut waiting = block(&node, "BLPOP k 0", 1);
    let mut other = node.client();
    other.check("SET k v", "+OK");
    other.check("DEL k", ":1");
    other.check("ZADD k 1 m", ":1");
    other.check("DEL k", ":1");
    assert!(waiting.is_silent_for(Duration::from_millis(50)));
    other.check("LPUSH k v", ":1");
    waiting.expect("[k v]");
}

/// A move whose destination has another type tells so when it could be served, and takes nothing.
#[test]
fn a_move_to_the_wrong_type_takes_nothing() {
    let node = perdura().start();
    let mut waiting = block(&node, "BLMOVE src dst LEFT LEFT 0", 1);
    let mut other = node.client();
    other.check("SET dst v", "+OK");
    other.check("RPUSH src a", ":1");
    waiting.expect("-WRONGTYPE Operation against a key holding the wrong kind of value");
    other.check("LRANGE src 0 -1", "[a]");
}

#[test]
fn who_hangs_up_is_forgotten() {
    let node = perdura().start();
    let gone = block(&node, "BLPOP l 0", 1);
    let mut patient = block(&node, "BLPOP l 0", 2);
    drop(gone);
    node.wait_for_blocked(1);
    node.client().check("RPUSH l a", ":1");
    patient.expect("[l a]");
}

/// Also where it sent more behind its blocking command than is read ahead.
#[test]
fn who_hangs_up_behind_a_long_pipeline_is_forgotten() {
    let node = perdura().start();
    for length in [100, 100_000, 200_000] {
        let mut gone = block(&node, "BLPOP l 0", 1);
        gone.send_bytes(&b"PING\r\n".repeat(length));
        drop(gone);
        node.wait_for_blocked(0);
    }
    let mut client = node.client();
    client.check("RPUSH l a", ":1");
    client.check("LLEN l", ":1");
}

#[test]
fn a_waiting_client_can_be_let_go() {
    let node = perdura().start();
    let mut other = node.client();
    let mut waiting = node.client();
    let id = waiting.run("CLIENT ID").integer();
    waiting.send_line("BLPOP l 0");
    node.wait_for_blocked(1);
    other.check(&format!("CLIENT UNBLOCK {id} TIMEOUT"), ":1");
    waiting.expect("nil");
    waiting.send_line("BLPOP l 0");
    node.wait_for_blocked(1);
    other.check(&format!("CLIENT UNBLOCK {id} ERROR"), ":1");
    waiting.expect("-UNBLOCKED client unblocked via CLIENT UNBLOCK");
    other.check(&format!("CLIENT UNBLOCK {id}"), ":0");
    other.check(&format!("CLIENT KILL ID {id}"), ":1");
    assert_eq!(waiting.read_to_end(), b"");
}

/// What waiting clients took is taken for good, and what they did not take is there.
#[test]
fn many_producers_and_consumers_lose_and_double_nothing() {
    let node = perdura().start();
    let (pairs, items) = (8, 200);
    let consumers: Vec<_> = (0..pairs)
        .map(|_| {
            let mut client = node.client();
            std::thread::spawn(move || {
                let take = |_| client.run("BLPOP jobs 20").items()[1].text();
                (0..items).map(take).collect::<Vec<_>>()
            })
        })
        .collect();
    let producers: Vec<_> = (0..pairs)
        .map(|producer| {
            let mut client = node.client();
            std::thread::spawn(move || {
                (0..items).for_each(|n| drop(client.run(&format!("RPUSH jobs {producer}-{n}"))))
            })
        })
        .collect();
    producers.into_iter().for_each(|thread| thread.join().expect("a producer finished"));
    let mut taken: Vec<String> =
        consumers.into_iter().flat_map(|thread| thread.join().expect("a consumer finished")).collect();
    let count = taken.len();
    taken.sort();
    taken.dedup();
    assert_eq!((count, taken.len()), (pairs * items, pairs * items));
    node.client().check("EXISTS jobs", ":0");
}

#[test]
fn a_key_that_is_swapped_in_serves() {
    let node = perdura().start();
    let mut client = node.client();
    client.check("SELECT 1", "+OK");
    client.check("RPUSH l a", ":1");
    let mut waiting = block(&node, "BLPOP l 0", 1);
    client.check("SWAPDB 0 1", "+OK");
    waiting.expect("[l a]");
    client.check("EXISTS l", ":0");
}

/// Lines as one packet.
fn send_at_once(client: &mut Client, lines: &[&str]) {
    let words = |line: &&str| encode(&line.split(' ').map(str::as_bytes).collect::<Vec<_>>());
    client.send_bytes(&lines.iter().flat_map(words).collect::<Vec<u8>>());
}

/// What fills a key without naming its elements served one client only; what the same packet took next came before the others.
#[test]
fn nobody_overtakes_the_second_client_that_waits_for_a_key() {
    let node = perdura().start();
    let lists: [&[&str]; 8] = [
        &["RENAME o k"],
        &["RENAMENX o k"],
        &["COPY o k"],
        &["SORT o STORE k"],
        &["MULTI", "SELECT 1", "RENAME o k", "MOVE k 0", "SELECT 0", "EXEC"],
        &["MULTI", "SELECT 1", "COPY o k DB 0", "SELECT 0", "EXEC"],
        &["MULTI", "RPUSH k 1", "RPUSH k 2", "RPUSH k 3", "EXEC"],
        &["MULTI", "SELECT 1", "RENAME o k", "SWAPDB 0 1", "SELECT 0", "EXEC"],
    ];
    for fill in lists {
        let mut other = node.client();
        let expected: Vec<String> =
            fill.iter().map(|line| if *line == "MULTI" { "+OK" } else { "?" }.to_owned()).collect();
        other.check("FLUSHALL", "+OK");
        other.check("RPUSH o 1 2 3", ":3");
        other.check("SELECT 1", "+OK");
        other.check("RPUSH o 1 2 3", ":3");
        other.check("SELECT 0", "+OK");
        let mut scores = block(&node, "BZPOPMIN k 0", 1);
        let mut first = block(&node, "BLPOP k 0", 2);
        let mut second = block(&node, "BLPOP k 0", 3);
        send_at_once(&mut other, &[fill, &["LLEN k", "LPOP k"]].concat());
        first.expect("[k 1]");
        second.expect("[k 2]");
        expected.iter().for_each(|_| assert!(!other.read().is_error(), "{fill:?}"));
        other.expect(":1");
        other.expect("3");
        send_at_once(&mut other, &["ZADD o2 1 a 2 b", "RENAME o2 k", "ZCARD k"]);
        scores.expect("[k a 1]");
        [":2", "+OK", ":1"].iter().for_each(|reply| other.expect(reply));
        node.wait_for_blocked(0);
    }
}

/// Its element was seen by what the same packet read next.
#[test]
fn what_comes_from_another_database_serves_before_anything_reads_it() {
    reads_what_is_left(&perdura().start(), None);
    let cluster = Cluster::start_with(perdura());
    let primary = cluster.primary();
    reads_what_is_left(&cluster.nodes[primary], Some(&cluster.nodes[cluster.replica()]));
    cluster.agreed_digest();
}

/// `through` is the node that the waiting and the filling client are connected to.
fn reads_what_is_left(primary: &Node, through: Option<&Node>) {
    let node = through.unwrap_or(primary);
    for (fill, read, left) in [
        ("SWAPDB 0 1", "LLEN k", ":1"),
        ("MOVE k 0", "SWAPDB 0 1", "+OK"),
        ("COPY k k DB 0", "LLEN k", ":2"),
        ("COPY k other DB 0", "LLEN k", ":2"),
    ] {
        let mut other = node.client();
        check_all(&mut other, &[("FLUSHALL", "+OK"), ("SELECT 1", "+OK"), ("RPUSH k 1 2", ":2")]);
        let mut waiting = node.client();
        waiting.send_line("BLPOP k other 0");
        primary.wait_for_blocked(1);
        if fill == "SWAPDB 0 1" {
            other.check("SELECT 0", "+OK");
        }
        send_at_once(&mut other, &[fill, read, "LLEN k", "SELECT 0", "LLEN k", "LLEN other"]);
        let served = waiting.read().to_string();
        assert!(served == "[k 1]" || served == "[other 1]", "{fill}: {served}");
        assert!(!other.read().is_error(), "{fill}");
        other.expect(left);
        let (here, there) = match fill {
            "SWAPDB 0 1" => (":1", [":1", ":0"]),
            // What was moved to database 0 is swapped into database 1.
            "MOVE k 0" => (":1", [":0", ":0"]),
            "COPY k k DB 0" => (":2", [":1", ":0"]),
            _ => (":2", [":0", ":1"]),
        };
        other.expect(here);
        other.expect("+OK");
        there.iter().for_each(|reply| other.expect(reply));
        primary.wait_for_blocked(0);
    }
}

fn check_all(client: &mut Client, lines: &[(&str, &str)]) {
    lines.iter().for_each(|(line, reply)| client.check(line, reply));
}

/// More than one entry serves: nothing else comes between its clients and the next entry's.
#[test]
fn nobody_overtakes_very_many_clients_that_wait_for_a_key() {
    const WAITING: usize = 300;
    let node = perdura().start();
    let mut other = node.client();
    let numbers: String = (0..WAITING).map(|n| format!(" {n}")).collect();
    for fill in [&["RENAME o k"][..], &[&format!("RPUSH k{numbers} last")[..]]] {
        other.check("FLUSHALL", "+OK");
        other.check(&format!("RPUSH o{numbers} last"), &format!(":{}", WAITING + 1));
        let mut waiting: Vec<Client> =
            (1..=WAITING).map(|blocked| block(&node, "BLPOP k 0", blocked)).collect();
        send_at_once(&mut other, &[fill, &["LPOP k"]].concat());
        for (n, client) in waiting.iter_mut().enumerate() {
            client.expect(&format!("[k {n}]"));
        }
        assert!(!other.read().is_error());
        other.expect("last");
    }
}

#[test]
fn who_waited_for_nothing_is_counted_once() {
    let node = perdura().start();
    let mut client = node.client();
    client.check("BLPOP none 0.01", "nil");
    let stats = client.run("INFO commandstats").to_string();
    assert!(stats.contains("cmdstat_blpop:calls=1,"), "{stats}");
}

#[test]
fn a_client_that_waits_in_xreadgroup_is_counted_once_when_it_is_answered() {
    let node = perdura().start();
    let mut client = node.client();
    for (ends_with, failed) in [("XADD s * f v", 0), ("XGROUP DESTROY s g", 1)] {
        client.check("DEL s", if failed == 0 { ":0" } else { ":1" });
        client.check("XGROUP CREATE s g $ MKSTREAM", "+OK");
        client.check("CONFIG RESETSTAT", "+OK");
        let mut waiting = block(&node, "XREADGROUP GROUP g c BLOCK 0 STREAMS s >", 1);
        let stats = client.run("INFO commandstats").to_string();
        assert!(!stats.contains("cmdstat_xreadgroup:calls=1"), "{stats}");
        client.run(ends_with);
        assert_eq!(waiting.read().is_error(), failed == 1);
        let stats = client.run("INFO commandstats").to_string();
        let line = stats.split("cmdstat_").find(|line| line.starts_with("xreadgroup:")).unwrap_or_default();
        assert!(line.contains("calls=1,") && line.contains(&format!("failed_calls={failed}")), "{line}");
    }
}

#[test]
fn info_tells_how_many_keys_clients_wait_for() {
    let node = perdura().start();
    let mut client = node.client();
    let told = |client: &mut Client| {
        ["total_blocking_keys", "total_blocking_keys_on_nokey"].map(|field| client.info_number(field))
    };
    let list = block(&node, "BLPOP s other 0", 1);
    assert_eq!(told(&mut client), [2, 0]);
    client.check("XGROUP CREATE s g $ MKSTREAM", "+OK");
    let mut consumer = block(&node, "XREADGROUP GROUP g c BLOCK 0 STREAMS s >", 2);
    assert_eq!(told(&mut client), [2, 1]);
    client.check("DEL s", ":1");
    assert!(consumer.read().is_error());
    assert_eq!(told(&mut client), [2, 0]);
    drop(list);
    node.wait_for_blocked(0);
    assert_eq!(told(&mut client), [0, 0]);
}

#[test]
fn a_replica_counts_its_clients_that_wait_at_the_primary() {
    let cluster = Cluster::start_with(perdura());
    let replica = &cluster.nodes[cluster.replica()];
    let mut waiting = block(replica, "BLPOP l 0", 1);
    cluster.nodes[cluster.primary()].wait_for_blocked(1);
    cluster.client(cluster.primary()).check("RPUSH l a", ":1");
    waiting.expect("[l a]");
    replica.wait_for_blocked(0);
}
