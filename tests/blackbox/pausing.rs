//! CLIENT PAUSE: what is delayed and what is not, until when, and through other nodes.

use std::time::Duration;

use perdura_testkit::clock::{Stopwatch, never_within, wait_for};
use perdura_testkit::{Client, Cluster, Node};

use crate::perdura;

const A_WHILE: Duration = Duration::from_millis(60);

/// Sends a command that a paused node delays, as its only one.
fn send_delayed(node: &Node, client: &mut Client, line: &str) {
    client.send_line(line);
    node.wait_for_blocked(1);
    assert!(client.is_silent_for(A_WHILE), "{line}");
}

#[test]
fn writes_are_delayed_and_reads_are_not() {
    let node = perdura().start();
    let (mut operator, mut client) = (node.client(), node.client());
    client.check("SET k before", "+OK");
    operator.check("CLIENT PAUSE 60000 WRITE", "+OK");
    client.check("GET k", "before");
    client.check("SET k", "-ERR wrong number of arguments for 'set' command");
    for line in ["SET k after", "PUBLISH channel message", "PFCOUNT none"] {
        let mut writer = node.client();
        send_delayed(&node, &mut writer, line);
        operator.check("CLIENT UNPAUSE", "+OK");
        assert!(!writer.read().is_error());
        node.wait_for_blocked(0);
        operator.check("CLIENT PAUSE 60000 WRITE", "+OK");
    }
    operator.check("CLIENT UNPAUSE", "+OK");
    client.check("GET k", "after");
}

#[test]
fn scripts_that_say_that_they_only_read_are_no_writes() {
    let node = perdura().start();
    let (mut operator, mut client) = (node.client(), node.client());
    let library = "#!lua name=lib\nredis.register_function{function_name='f', callback=function() return 3 end, flags={'no-writes'}}";
    client.call(&[b"FUNCTION", b"LOAD", library.as_bytes()]);
    let kept = client.call(&[b"SCRIPT", b"LOAD", b"#!lua flags=no-writes\nreturn 2"]).text().to_owned();
    operator.check("CLIENT PAUSE 60000 WRITE", "+OK");
    assert_eq!(client.call(&[b"EVAL", b"#!lua flags=no-writes\nreturn 1", b"0"]).to_string(), ":1");
    assert_eq!(client.call(&[b"EVALSHA", kept.as_bytes(), b"0"]).to_string(), ":2");
    client.check("FCALL f 0", ":3");
    client.check("MULTI", "+OK");
    client.check("FCALL f 0", "+QUEUED");
    client.check("EXEC", "[:3]");
    let mut writer = node.client();
    writer.send_line("EVAL return(0) 0");
    node.wait_for_blocked(1);
    operator.check("CLIENT UNPAUSE", "+OK");
    writer.expect(":0");
}

#[test]
fn a_pause_of_everything_ends_by_itself_and_keeps_the_order() {
    let node = perdura().start();
    let mut client = node.client();
    let watch = Stopwatch::start();
    for line in ["SET k 1", "CLIENT PAUSE 2000", "INCR k", "GET k", "PING"] {
        client.send_line(line);
    }
    client.expect("+OK");
    client.expect("+OK");
    assert!(watch.elapsed() < Duration::from_millis(2000), "what came before is answered at once");
    client.expect(":2");
    assert!(watch.elapsed() >= Duration::from_millis(1995), "{:?}", watch.elapsed());
    client.expect("2");
    client.expect("+PONG");
}

#[test]
fn another_pause_never_shortens_or_softens_one() {
    let node = perdura().start();
    let (mut operator, mut client) = (node.client(), node.client());
    let watch = Stopwatch::start();
    operator.send_line("CLIENT PAUSE 60000 WRITE");
    operator.send_line("CLIENT PAUSE 300 ALL");
    operator.expect("+OK");
    operator.expect("+OK");
    client.send_line("PING");
    assert!(client.is_silent_for(A_WHILE));
    drop((operator, client));
    drop(node);
    let node = perdura().start();
    let (mut operator, mut client) = (node.client(), node.client());
    operator.send_line("MULTI");
    operator.send_line("CLIENT PAUSE 300 ALL");
    operator.send_line("CLIENT PAUSE 10 WRITE");
    operator.send_line("EXEC");
    (0..3).for_each(|_| drop(operator.read()));
    operator.expect("[+OK +OK]");
    client.check("PING", "+PONG");
    assert!(watch.elapsed() >= Duration::from_millis(295), "{:?}", watch.elapsed());
}

#[test]
fn a_transaction_that_writes_is_delayed_and_one_that_reads_is_not() {
    let node = perdura().start();
    let (mut operator, mut writer, mut reader) = (node.client(), node.client(), node.client());
    for (client, line) in [(&mut writer, "SET k v"), (&mut reader, "GET k")] {
        client.check("MULTI", "+OK");
        client.check(line, "+QUEUED");
    }
    operator.check("CLIENT PAUSE 60000 WRITE", "+OK");
    reader.check("EXEC", "[nil]");
    send_delayed(&node, &mut writer, "EXEC");
    operator.check("CLIENT UNPAUSE", "+OK");
    writer.expect("[+OK]");
}

/// A pause that is part of a transaction begins behind it.
#[test]
fn a_transaction_is_not_stopped_by_its_own_pause() {
    let node = perdura().start();
    let mut client = node.client();
    for (line, reply) in [
        ("MULTI", "+OK"),
        ("SET a 1", "+QUEUED"),
        ("CLIENT PAUSE 60000 WRITE", "+QUEUED"),
        ("SET b 2", "+QUEUED"),
        ("EXEC", "[+OK +OK +OK]"),
        ("MGET a b", "[1 2]"),
    ] {
        client.check(line, reply);
    }
}

#[test]
fn the_dead_are_not_freed_while_writes_are_paused() {
    let node = perdura().start();
    let mut client = node.client();
    // In one go, so that the key does not die in between.
    client.send_line("SET k v PX 20");
    client.send_line("CLIENT PAUSE 60000 WRITE");
    client.expect("+OK");
    client.expect("+OK");
    wait_for("the key is dead", Duration::from_secs(5), || {
        (client.run("GET k").to_string() == "nil").then_some(())
    });
    never_within("it is freed", Duration::from_millis(200), || {
        Some(client.info_number("expired_keys")).filter(|freed| *freed > 0)
    });
    client.check("DBSIZE", ":1");
    client.check("CLIENT UNPAUSE", "+OK");
    wait_for("the key is freed", Duration::from_secs(5), || {
        (client.run("DBSIZE").integer() == 0).then_some(())
    });
}

#[test]
fn who_hangs_up_while_it_is_paused_has_sent_nothing() {
    let node = perdura().start();
    let (mut operator, mut gone) = (node.client(), node.client());
    operator.check("CLIENT PAUSE 60000 WRITE", "+OK");
    send_delayed(&node, &mut gone, "SET k v");
    drop(gone);
    node.wait_for_blocked(0);
    operator.check("CLIENT UNPAUSE", "+OK");
    operator.check("EXISTS k", ":0");
}

#[test]
fn a_paused_client_can_be_seen_and_killed_but_not_unblocked() {
    let node = perdura().start();
    let (mut operator, mut paused) = (node.client(), node.client());
    let id = paused.run("CLIENT ID").integer();
    operator.check("CLIENT PAUSE 60000 WRITE", "+OK");
    send_delayed(&node, &mut paused, "SET k v");
    let list = operator.run(&format!("CLIENT LIST ID {id}")).text();
    assert!(list.contains(" flags=b "), "{list}");
    operator.check(&format!("CLIENT UNBLOCK {id}"), ":0");
    operator.check(&format!("CLIENT KILL ID {id}"), ":1");
    assert!(paused.read_to_end().is_empty());
}

#[test]
fn info_tells_of_a_pause() {
    let node = perdura().start();
    let mut client = node.client();
    let told = |client: &mut Client| {
        ["paused_reason", "paused_actions"].map(|field| client.info(field).expect("INFO tells it")).join(" ")
    };
    assert_eq!(told(&mut client), "none none");
    client.check("CLIENT PAUSE 60000 WRITE", "+OK");
    assert_eq!(told(&mut client), "client_pause write");
    let left_ms = client.info_number("paused_timeout_milliseconds");
    assert!((1..=60_000).contains(&left_ms), "{left_ms}");
    client.check("CLIENT UNPAUSE", "+OK");
    assert_eq!(told(&mut client), "none none");
}

#[test]
fn nonsense_is_refused() {
    let node = perdura().start();
    let mut client = node.client();
    client.check("CLIENT PAUSE x", "-ERR timeout is not an integer or out of range");
    client.check("CLIENT PAUSE -1", "-ERR timeout is negative");
    client.check("CLIENT PAUSE 1 READ", "-ERR CLIENT PAUSE mode must be WRITE or ALL");
    client.check("CLIENT UNPAUSE", "+OK");
}

/// What comes through another node is delayed where it would be carried out, and is then carried out.
#[test]
fn a_paused_primary_delays_what_replicas_send_it() {
    let cluster = Cluster::start_with(perdura());
    let primary = &cluster.nodes[cluster.primary()];
    let (mut operator, mut known) = (primary.client(), cluster.client(cluster.replica()));
    known.check("SET k 0", "+OK");
    operator.check("CLIENT PAUSE 60000 WRITE", "+OK");
    known.check("GET k", "0");
    send_delayed(primary, &mut known, "INCR k");
    operator.check("CLIENT UNPAUSE", "+OK");
    known.expect(":1");
    // One for whom the replica has to connect first.
    let mut new = cluster.client(cluster.replica());
    let watch = Stopwatch::start();
    operator.check("CLIENT PAUSE 1500 ALL", "+OK");
    new.check("INCR k", ":2");
    assert!(watch.elapsed() >= Duration::from_millis(1490), "{:?}", watch.elapsed());
}
