//! Scanning: what is there from the first call to the last is returned, whatever else comes and goes.

use std::collections::BTreeSet;

use perdura_testkit::Client;

use crate::perdura;

/// Runs a whole scan, calling `between` after each step; `command` has `CURSOR` where the cursor goes.
fn scan(client: &mut Client, command: &str, mut between: impl FnMut(&mut Client)) -> Vec<String> {
    let mut found = Vec::new();
    let mut cursor = "0".to_string();
    for _ in 0..1_000_000 {
        let step = client.run(&command.replace("CURSOR", &cursor));
        found.extend(step.items()[1].items().iter().map(|item| item.text()));
        cursor = step.items()[0].text();
        if cursor == "0" {
            return found;
        }
        between(client);
    }
    panic!("{command} never ends");
}

/// Runs commands in pipelines.
fn run_many(client: &mut Client, lines: impl Iterator<Item = String>) {
    let lines: Vec<String> = lines.collect();
    for batch in lines.chunks(500) {
        batch.iter().for_each(|line| client.send_line(line));
        batch.iter().for_each(|line| assert!(!client.read().is_error(), "{line}"));
    }
}

fn names(prefix: &str, count: usize) -> BTreeSet<String> {
    (0..count).map(|n| format!("{prefix}{n}")).collect()
}

#[test]
fn a_quiet_keyspace_is_returned_whole() {
    let node = perdura().start();
    let mut client = node.client();
    run_many(&mut client, (0..3_000).map(|n| format!("SET key{n} v")));
    for command in ["SCAN CURSOR", "SCAN CURSOR COUNT 1", "SCAN CURSOR COUNT 5000"] {
        let found: BTreeSet<String> = scan(&mut client, command, |_| ()).into_iter().collect();
        assert_eq!(found, names("key", 3_000), "{command}");
    }
}

#[test]
fn what_stays_is_found_while_all_else_changes() {
    let node = perdura().start();
    let mut client = node.client();
    run_many(&mut client, (0..2_000).map(|n| format!("SET stays{n} v")));
    run_many(&mut client, (0..2_000).map(|n| format!("SET goes{n} v")));
    let mut round = 0;
    let found: BTreeSet<String> = scan(&mut client, "SCAN CURSOR COUNT 20", |client| {
        round += 1;
        run_many(client, (0..50).map(|n| format!("SET came{} v", round * 50 + n)));
        run_many(client, (0..10).map(|n| format!("DEL goes{}", (round * 10 + n) % 2_000)));
    })
    .into_iter()
    .collect();
    assert!(found.is_superset(&names("stays", 2_000)));
}

#[test]
fn a_scan_can_be_narrowed() {
    let node = perdura().start();
    let mut client = node.client();
    run_many(&mut client, (0..500).map(|n| format!("SET s{n} v")));
    run_many(&mut client, (0..300).map(|n| format!("RPUSH l{n} v")));
    let count = |client: &mut Client, command: &str| scan(client, command, |_| ()).len();
    assert_eq!(count(&mut client, "SCAN CURSOR MATCH s1?"), 10);
    assert_eq!(count(&mut client, "SCAN CURSOR TYPE list COUNT 100"), 300);
    assert_eq!(count(&mut client, "SCAN CURSOR TYPE list MATCH s*"), 0);
    assert_eq!(count(&mut client, "SCAN CURSOR TYPE zset"), 0);
    client.check("SCAN x", "-ERR invalid cursor");
    client.check("SCAN 0 COUNT 0", "-ERR syntax error");
    client.check("SCAN 0 COUNT x", "-ERR value is not an integer or out of range");
    client.check("SCAN 0 WRONG", "-ERR syntax error");
}

#[test]
fn a_scan_is_of_one_database_and_passes_over_the_dead() {
    let node = perdura().start();
    let mut client = node.client();
    client.check("SET dead v PX 5", "+OK");
    client.check("SET alive v", "+OK");
    client.check("SELECT 1", "+OK");
    client.check("SET elsewhere v", "+OK");
    std::thread::sleep(std::time::Duration::from_millis(20));
    assert_eq!(scan(&mut client, "SCAN CURSOR", |_| ()), ["elsewhere"]);
    client.check("SELECT 0", "+OK");
    assert_eq!(scan(&mut client, "SCAN CURSOR", |_| ()), ["alive"]);
}

/// Large collections, each growing manifold while it is scanned.
#[test]
fn collections_hold_the_same_promise() {
    let node = perdura().start();
    let mut client = node.client();
    let cases = [
        ("HSCAN h CURSOR COUNT 30", "HSET h", "v", "HDEL h"),
        ("SSCAN s CURSOR COUNT 30", "SADD s", "", "SREM s"),
        ("ZSCAN z CURSOR COUNT 30", "ZADD z 1", "", "ZREM z"),
    ];
    for (command, add, value, remove) in cases {
        run_many(&mut client, (0..1_000).map(|n| format!("{add} stays{n} {value}")));
        run_many(&mut client, (0..1_000).map(|n| format!("{add} goes{n} {value}")));
        let mut round = 0;
        let found: BTreeSet<String> = scan(&mut client, command, |client| {
            round += 1;
            run_many(client, (0..60).map(|n| format!("{add} came{} {value}", round * 60 + n)));
            run_many(client, (0..10).map(|n| format!("{remove} goes{}", (round * 10 + n) % 1_000)));
        })
        .into_iter()
        .collect();
        assert!(found.is_superset(&names("stays", 1_000)), "{command}");
    }
}

#[test]
fn hashes_scan_with_their_values_and_match() {
    let node = perdura().start();
    let mut client = node.client();
    run_many(&mut client, (0..1_000).map(|n| format!("HSET h f{n} v{n}")));
    let found = scan(&mut client, "HSCAN h CURSOR MATCH f99?", |_| ());
    let pairs: BTreeSet<(String, String)> =
        found.chunks(2).map(|pair| (pair[0].clone(), pair[1].clone())).collect();
    assert_eq!(pairs, (990..1_000).map(|n| (format!("f{n}"), format!("v{n}"))).collect());
}
