//! Client-side caching: what a client may have cached, and what it is told when that is stale; on one node and in a group of three.

use std::time::Duration;

use perdura_testkit::clock::wait_for;
use perdura_testkit::{Client, Cluster, Node};

use crate::perdura;

const LONG: Duration = Duration::from_secs(20);

/// A client that speaks RESP3 and tracks with these options.
fn tracking(node: &Node, options: &str) -> Client {
    let mut client = node.client();
    client.hello3();
    client.check(&format!("CLIENT TRACKING ON {options}"), "+OK");
    client
}

/// A subscriber in RESP2 that other clients can redirect to, and its number.
fn redirection(node: &Node) -> (Client, i64) {
    let mut client = node.client();
    let id = client.run("CLIENT ID").integer();
    client.check("SUBSCRIBE __redis__:invalidate", "[subscribe '__redis__:invalidate' :1]");
    (client, id)
}

/// The keys of one message.
fn keys(client: &mut Client) -> Vec<String> {
    let message = client.read();
    let items = message.items();
    let mut keys: Vec<String> = items[items.len() - 1].items().iter().map(|key| key.text()).collect();
    keys.sort();
    keys
}

#[test]
fn a_reader_is_told_once_when_its_key_changes() {
    let node = perdura().start();
    let (mut reader, mut writer) = (tracking(&node, ""), node.client());
    writer.check("MSET a 1 b 1", "+OK");
    reader.check("GET a", "1");
    writer.check("SET b 2", "+OK");
    writer.check("SET a 2", "+OK");
    reader.expect(">[invalidate [a]]");
    writer.check("SET a 3", "+OK");
    reader.check("GET a", "3");
    reader.check("CLIENT TRACKING OFF", "+OK");
    writer.check("SET a 4", "+OK");
    reader.check("PING", "+PONG");
}

#[test]
fn every_way_in_which_a_key_changes_is_told() {
    let node = perdura().start();
    let (mut reader, mut writer) = (tracking(&node, ""), node.client());
    let changes = [
        ("SET k 2", "GET k"),
        ("EVAL 'redis.call(\"SET\", KEYS[1], \"3\")' 1 k", "GET k"),
        ("EVAL 'redis.call(\"SET\", ARGV[1], \"3\")' 0 k", "GET k"),
        ("RENAME k q", "GET q"),
        ("SET k 1 PX 1", "MGET x k"),
        ("RPUSH list a", "LRANGE list 0 -1"),
        ("BLPOP list 0", "LLEN list"),
        ("HSET hash f 1", "HGET hash f"),
        ("DEL hash", "HGETALL hash"),
        ("COPY q c", "TYPE c"),
        ("MOVE q 5", "GET q"),
    ];
    for (change, read) in changes {
        reader.run(read);
        writer.run(change);
        let told = keys(&mut reader);
        assert!(told.len() == 1 && read.contains(&told[0]), "{change} after {read}: {told:?}");
    }
    reader.run("GET k");
    writer.run("MULTI");
    writer.run("SET other 1");
    writer.run("SET k 9");
    writer.run("EXEC");
    assert_eq!(keys(&mut reader), ["k"]);
    reader.check("GET k", "9");
    let dump = writer.run("DUMP k");
    writer.check("DEL k", ":1");
    assert_eq!(keys(&mut reader), ["k"]);
    reader.check("GET k", "nil");
    writer.call(&[b"RESTORE", b"k", b"0", dump.bytes()]);
    assert_eq!(keys(&mut reader), ["k"]);
}

#[test]
fn a_key_whose_time_has_come_is_told_when_it_is_freed() {
    let node = perdura().start();
    let mut reader = tracking(&node, "");
    node.client().check("SET k v PX 1000", "+OK");
    reader.check("GET k", "v");
    assert_eq!(keys(&mut reader), ["k"]);
}

#[test]
fn flushing_and_swapping_make_everything_stale() {
    let node = perdura().start();
    let (mut reader, mut prefixed) = (tracking(&node, ""), tracking(&node, "BCAST PREFIX x"));
    let mut writer = node.client();
    for line in ["FLUSHALL", "FLUSHDB ASYNC", "SWAPDB 0 1"] {
        reader.run("GET k");
        writer.check(line, "+OK");
        reader.expect(">[invalidate nil]");
        prefixed.expect(">[invalidate nil]");
    }
    assert_eq!(writer.info_number("tracking_total_keys"), 0);
    reader.check("MULTI", "+OK");
    reader.check("FLUSHDB", "+QUEUED");
    reader.check("EXEC", "[+OK]");
    reader.expect(">[invalidate nil]");
}

#[test]
fn messages_follow_the_answer_of_the_client_that_made_the_change() {
    let node = perdura().start();
    let mut client = tracking(&node, "");
    client.check("HSET h f 1", ":1");
    client.check("HGET h f", "1");
    client.check("HDEL h f", ":1");
    client.expect(">[invalidate [h]]");
    client.check("MSET a 1 b 2", "+OK");
    client.check("GET a", "1");
    client.check("MULTI", "+OK");
    client.check("INCR a", "+QUEUED");
    client.check("GET b", "+QUEUED");
    client.check("EXEC", "[:2 2]");
    client.expect(">[invalidate [a]]");
    node.client().check("SET b 3", "+OK");
    client.expect(">[invalidate [b]]");
    // The write, the read after it and its own next write are one burst.
    client.send_bytes(b"SET p 1\r\nGET p\r\nSET p 2\r\nPING\r\n");
    client.expect("+OK");
    client.expect("1");
    client.expect("+OK");
    let rest = [client.read().to_string(), client.read().to_string()];
    assert!(rest.contains(&">[invalidate [p]]".to_owned()) && rest.contains(&"+PONG".to_owned()), "{rest:?}");
}

#[test]
fn an_exec_with_local_steps_is_answered_before_the_message_about_what_it_read() {
    let node = perdura().start();
    let mut client = tracking(&node, "");
    client.check("SET a 1", "+OK");
    for line in ["MULTI", "GET a", "CLIENT GETNAME", "SET a 2"] {
        client.run(line);
    }
    client.check("EXEC", "[1 nil +OK]");
    client.expect(">[invalidate [a]]");
}

#[test]
fn a_waiting_client_gets_its_element_before_the_message() {
    let node = perdura().start();
    let (mut client, mut writer) = (tracking(&node, ""), node.client());
    writer.check("RPUSH to x", ":1");
    client.check("LRANGE to 0 -1", "[x]");
    client.send_line("BLMOVE from to LEFT LEFT 0");
    node.wait_for_blocked(1);
    writer.check("RPUSH from foo", ":1");
    client.expect("foo");
    client.expect(">[invalidate [to]]");
}

#[test]
fn messages_go_where_they_are_redirected() {
    let node = perdura().start();
    let (mut subscriber, id) = redirection(&node);
    let (mut reader, mut writer) = (node.client(), node.client());
    reader.check(&format!("CLIENT TRACKING ON REDIRECT {id}"), "+OK");
    reader.check("CLIENT GETREDIR", &format!(":{id}"));
    writer.check("MSET a 1 b 1", "+OK");
    reader.check("GET a", "1");
    writer.check("INCR a", ":2");
    subscriber.expect("[message '__redis__:invalidate' [a]]");
    reader.check("GET b", "1");
    writer.check("FLUSHALL", "+OK");
    subscriber.expect("[message '__redis__:invalidate' nil]");
    let line = reader.run("CLIENT LIST").text();
    assert!(line.contains(&format!("redir={id} ")) && line.contains("flags=t "), "{line}");

    reader.hello3();
    reader.check("GET a", "nil");
    subscriber.check("QUIT", "+OK");
    writer.check("SET a 1", "+OK");
    reader.expect(&format!(">[tracking-redir-broken :{id}]"));
    reader
        .check("CLIENT TRACKINGINFO", &format!("{{flags=~[broken_redirect on] prefixes=[] redirect=:{id}}}"));
    assert!(reader.run("CLIENT INFO").text().contains("flags=tR "));
}

#[test]
fn prefixes_are_told_together_and_not_of_own_changes_with_noloop() {
    let node = perdura().start();
    let mut all = tracking(&node, "BCAST");
    let mut some = tracking(&node, "BCAST PREFIX a: PREFIX b: NOLOOP");
    let mut writer = node.client();
    writer.check("MSET {t}a 1 {t}b 2 {t}c 3", "+OK");
    assert_eq!(keys(&mut all), ["{t}a", "{t}b", "{t}c"]);
    some.check("SET a:mine 1", "+OK");
    assert_eq!(keys(&mut all), ["a:mine"]);
    for line in ["MULTI", "INCR a:1", "INCR a:2", "INCR b:1", "INCR c:1", "EXEC"] {
        writer.run(line);
    }
    assert_eq!(keys(&mut all), ["a:1", "a:2", "b:1", "c:1"]);
    let told = [keys(&mut some), keys(&mut some)];
    assert_eq!(told, [vec!["a:1".to_owned(), "a:2".to_owned()], vec!["b:1".to_owned()]]);
    some.check("CLIENT TRACKING ON BCAST PREFIX c: NOLOOP", "+OK");
    writer.check("INCR c:1", ":2");
    assert_eq!(keys(&mut some), ["c:1"]);
    assert_eq!(writer.info_number("tracking_total_prefixes"), 4);
    assert_eq!(writer.info_number("tracking_clients"), 2);
}

#[test]
fn only_chosen_reads_are_tracked_with_optin_and_optout() {
    let node = perdura().start();
    let (mut chooser, mut refuser) = (tracking(&node, "OPTIN"), tracking(&node, "OPTOUT"));
    let mut writer = node.client();
    writer.check("MSET a 1 b 1 c 1", "+OK");
    chooser.check("GET a", "1");
    chooser.check("CLIENT CACHING YES", "+OK");
    chooser.check("GET b", "1");
    chooser.check("GET c", "1");
    refuser.check("CLIENT CACHING NO", "+OK");
    refuser.check("GET a", "1");
    refuser.check("GET c", "1");
    writer.check("MSET a 2 b 2 c 2", "+OK");
    assert_eq!(keys(&mut chooser), ["b"]);
    assert_eq!(keys(&mut refuser), ["c"]);
    chooser.check("CLIENT CACHING YES", "+OK");
    for line in ["MULTI", "GET a", "GET b", "EXEC"] {
        chooser.run(line);
    }
    writer.check("MSET a 3 b 3", "+OK");
    assert_eq!([keys(&mut chooser), keys(&mut chooser)], [["a"], ["b"]]);
    // A read that follows a write of the same burst is answered by the log.
    chooser.send_bytes(b"CLIENT CACHING YES\r\nSET x 1\r\nCLIENT CACHING YES\r\nGET c\r\nGET a\r\n");
    for expected in ["+OK", "+OK", "+OK", "2", "3"] {
        chooser.expect(expected);
    }
    writer.check("MSET a 4 c 4 x 4", "+OK");
    assert_eq!(keys(&mut chooser), ["c"]);
    chooser.check("PING", "+PONG");
    refuser.check("PING", "+PONG");
}

#[test]
fn scripts_track_the_keys_that_their_commands_read() {
    let node = perdura().start();
    let (mut reader, mut writer) = (tracking(&node, ""), node.client());
    for eval in ["EVAL", "EVAL_RO"] {
        writer.check("MSET {t}1 1 {t}2 1", "+OK");
        reader.run(&format!("{eval} 'return redis.call(\"ping\")' 2 {{t}}1 {{t}}2"));
        reader.check(&format!("{eval} 'return redis.call(\"get\", \"{{t}}2\")' 2 {{t}}1 {{t}}2"), "1");
        writer.check("MSET {t}1 2 {t}2 2", "+OK");
        assert_eq!(keys(&mut reader), ["{t}2"], "{eval}");
    }
    // What a script reads and then changes is stale at once, what it has changed and then reads is not.
    let line = "EVAL 'redis.call(\"GET\", \"r\") redis.call(\"SET\", \"r\", 1) redis.call(\"SET\", \"w\", 1) redis.call(\"GET\", \"w\")' 0";
    reader.check(line, "nil");
    assert_eq!(keys(&mut reader), ["r"]);
    writer.check("SET w 2", "+OK");
    assert_eq!(keys(&mut reader), ["w"]);
    reader.check("PING", "+PONG");
}

#[test]
fn the_table_is_bounded_and_its_clients_are_told() {
    let node = perdura().start();
    let (mut subscriber, id) = redirection(&node);
    let (mut reader, mut writer) = (node.client(), node.client());
    reader.check(&format!("CLIENT TRACKING ON REDIRECT {id}"), "+OK");
    for key in 0..50 {
        reader.check(&format!("GET key{key}"), "nil");
    }
    assert_eq!(writer.info_number("tracking_total_keys"), 50);
    assert_eq!(writer.info_number("tracking_total_items"), 50);
    writer.check("CONFIG SET tracking-table-max-keys 1", "+OK");
    writer.check("CONFIG GET tracking-table-max-keys", "[tracking-table-max-keys 1]");
    let told: std::collections::BTreeSet<String> = (0..49).flat_map(|_| keys(&mut subscriber)).collect();
    assert_eq!(told.len(), 49);
    subscriber.check("PING", "[pong '']");
    assert_eq!(writer.info_number("tracking_total_keys"), 1);
}

#[test]
fn errors_are_those_of_redis() {
    let node = perdura().start();
    let mut client = node.client();
    for (line, error) in [
        ("CLIENT TRACKING perhaps", "-ERR syntax error"),
        ("CLIENT TRACKING ON REDIRECT 999999", "-ERR The client ID you want redirect to does not exist"),
        ("CLIENT TRACKING ON PREFIX a", "-ERR PREFIX option requires BCAST mode to be enabled"),
        ("CLIENT TRACKING ON BCAST OPTIN", "-ERR OPTIN and OPTOUT are not compatible with BCAST"),
        ("CLIENT TRACKING ON OPTIN OPTOUT", "-ERR You can't specify both OPTIN mode and OPTOUT mode"),
        (
            "CLIENT CACHING YES",
            "-ERR CLIENT CACHING can be called only when the client is in tracking mode with OPTIN or OPTOUT mode enabled",
        ),
        (
            "CLIENT TRACKING ON BCAST PREFIX FOO PREFIX FOOBAR",
            "-ERR Prefix 'FOO' overlaps with another provided prefix 'FOOBAR'. Prefixes for a single client must not overlap.",
        ),
        ("CLIENT TRACKING ON BCAST PREFIX FOO PREFIX BAR", "+OK"),
        (
            "CLIENT TRACKING ON BCAST PREFIX FO",
            "-ERR Prefix 'FO' overlaps with an existing prefix 'FOO'. Prefixes for a single client must not overlap.",
        ),
        (
            "CLIENT TRACKING ON",
            "-ERR You can't switch BCAST mode on/off before disabling tracking for this client, and then re-enabling it with a different mode.",
        ),
        ("CLIENT TRACKINGINFO", "[flags [on bcast] redirect :0 prefixes [BAR FOO]]"),
        ("RESET", "+RESET"),
        ("CLIENT TRACKINGINFO", "[flags [off] redirect :-1 prefixes []]"),
        ("CLIENT GETREDIR", ":-1"),
        ("CLIENT TRACKING ON OPTIN NOLOOP", "+OK"),
        (
            "CLIENT CACHING NO",
            "-ERR CLIENT CACHING NO is only valid when tracking is enabled in OPTOUT mode.",
        ),
        ("CLIENT CACHING YES", "+OK"),
        ("CLIENT TRACKINGINFO", "[flags [on optin caching-yes noloop] redirect :0 prefixes []]"),
        (
            "CLIENT TRACKING ON OPTOUT",
            "-ERR You can't switch OPTIN/OPTOUT mode before disabling tracking for this client, and then re-enabling it with a different mode.",
        ),
    ] {
        client.check(line, error);
    }
}

#[test]
fn a_client_of_a_replica_is_told_of_what_it_reads_there_and_at_the_primary() {
    let cluster = Cluster::start_with(perdura());
    let (primary, replica) = (cluster.primary(), cluster.replica());
    let mut writer = cluster.client(primary);
    for mode in ["READWRITE", "READONLY"] {
        let mut reader = cluster.client(replica);
        reader.check(mode, "+OK");
        reader.hello3();
        reader.check("CLIENT TRACKING ON", "+OK");
        for round in 0..20 {
            writer.check(&format!("SET k {mode}{round}"), "+OK");
            // Values of before may come first, and each of them is followed by a message.
            wait_for("the value of now", LONG, || {
                read_through(&mut reader, "GET k").ends_with(&format!("{mode}{round}")).then_some(())
            });
        }
        writer.check("SET k last", "+OK");
        let told = wait_for("a message about the last change", LONG, || Some(reader.read().to_string()));
        assert_eq!(told, ">[invalidate [k]]", "{mode}");
        writer.check("FLUSHALL", "+OK");
        read_until(&mut reader, ">[invalidate nil]");
    }
}

/// Runs a command, passing over messages that come before its answer.
fn read_through(client: &mut Client, line: &str) -> String {
    client.send_line(line);
    loop {
        let reply = client.read().to_string();
        if !reply.starts_with('>') {
            return reply;
        }
    }
}

fn read_until(client: &mut Client, expected: &str) {
    wait_for(expected, LONG, || (client.read().to_string() == expected).then_some(()));
}

/// A cache never keeps a value that is stale: readers at all nodes drop what they are told of, a writer changes, and once it has
/// stopped each cached value is that of the last write.
#[test]
fn caches_at_every_node_end_with_the_newest_values() {
    let cluster = Cluster::start_with(perdura());
    let mut writer = cluster.client(cluster.primary());
    let mut readers: Vec<Client> = (0..3)
        .flat_map(|at| ["", "READONLY"].map(|mode| (at, mode)))
        .map(|(at, mode)| {
            let mut client = cluster.client(at);
            if !mode.is_empty() {
                client.check(mode, "+OK");
            }
            client.hello3();
            client.check("CLIENT TRACKING ON", "+OK");
            client
        })
        .collect();
    let mut caches = vec![[None::<String>, None, None]; readers.len()];
    for round in 0..100 {
        for (client, cache) in readers.iter_mut().zip(&mut caches) {
            for (key, cached) in cache.iter_mut().enumerate() {
                if cached.is_none() {
                    client.send_line(&format!("GET key{key}"));
                }
            }
        }
        writer.check(&format!("SET key{} {round}", round % 3), "+OK");
        for (client, cache) in readers.iter_mut().zip(&mut caches) {
            fill(client, cache);
        }
    }
    let values: Vec<String> = (0..3).map(|key| writer.run(&format!("GET key{key}")).text()).collect();
    for (nth, (client, cache)) in readers.iter_mut().zip(&mut caches).enumerate() {
        wait_for("messages about what is stale", LONG, || {
            fill(client, cache);
            let stale = cache
                .iter()
                .zip(&values)
                .any(|(cached, value)| cached.as_ref().is_some_and(|cached| cached != value));
            if stale && client.is_silent_for(Duration::from_secs(5)) {
                panic!("reader {nth} keeps {cache:?} where the values are {values:?}");
            }
            (!stale).then_some(())
        });
    }
}

/// Reads answers into a cache's empty places, in their order, and drops what messages name, until everything that was asked for has come.
fn fill(client: &mut Client, cache: &mut [Option<String>; 3]) {
    client.send_line("ECHO end");
    let mut empty: Vec<usize> = (0..3).filter(|key| cache[*key].is_none()).collect();
    empty.reverse();
    loop {
        let reply = client.read();
        let text = reply.to_string();
        if text == "end" {
            return;
        }
        if let Some(keys) = text.strip_prefix(">[invalidate ") {
            for (key, cached) in cache.iter_mut().enumerate() {
                if keys.contains(&format!("key{key}")) || keys.starts_with("nil") {
                    *cached = None;
                }
            }
        } else if let Some(key) = empty.pop() {
            cache[key] = Some(text);
        }
    }
}

#[test]
fn everything_is_stale_once_the_primary_is_killed() {
    let mut cluster = Cluster::start_with(perdura());
    let (primary, replica) = (cluster.primary(), cluster.replica());
    cluster.client(primary).check("SET k 1", "+OK");
    let mut reader = cluster.client(replica);
    reader.hello3();
    reader.check("CLIENT TRACKING ON", "+OK");
    reader.check("GET k", "1");
    cluster.nodes[primary].kill();
    read_until(&mut reader, ">[invalidate nil]");
    wait_for("an answer of the next primary", LONG, || {
        (read_through(&mut reader, "GET k") == "1").then_some(())
    });
    let next = wait_for("another primary", LONG, || {
        (0..3).filter(|at| *at != primary).find(|at| {
            let mut client = cluster.client(*at);
            client.run("ROLE").to_string().starts_with("[master")
        })
    });
    cluster.client(next).check("SET k 2", "+OK");
    wait_for("the message about the change", LONG, || {
        reader.read().to_string().starts_with(">[invalidate").then_some(())
    });
}
