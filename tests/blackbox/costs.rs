//! Small requests that took seconds on every node, or closed the connection, and what they do now.

use std::time::Duration;

use perdura_testkit::clock::Stopwatch;
use perdura_testkit::{Client, Node};

use crate::perdura;

/// Far less than any of these took, far more than any takes.
const LIMIT: Duration = Duration::from_secs(10);

fn call(client: &mut Client, args: Vec<Vec<u8>>) -> String {
    let args: Vec<&[u8]> = args.iter().map(Vec::as_slice).collect();
    client.call(&args).to_string()
}

fn words(line: &str) -> Vec<Vec<u8>> {
    line.split(' ').map(|word| word.as_bytes().to_vec()).collect()
}

fn numbered(prefix: &str, count: usize) -> impl Iterator<Item = Vec<u8>> {
    (0..count).map(move |n| format!("{prefix}{n}").into_bytes())
}

fn node_with_a_set() -> (Node, Client) {
    let node = perdura().start();
    let mut client = node.client();
    client.set_limit(Duration::from_secs(60));
    let members = words("SADD s").into_iter().chain(numbered("member:", 10_000)).collect();
    assert_eq!(call(&mut client, members), ":10000");
    (node, client)
}

#[test]
fn sunionstore_of_the_same_set_15_000_times_costs_as_one() {
    let (_node, mut client) = node_with_a_set();
    let often = vec![b"s".to_vec(); 15_000];
    let stopwatch = Stopwatch::start();
    for (line, answer) in [
        ("SUNIONSTORE d", ":10000"),
        ("SINTERSTORE d", ":10000"),
        ("SDIFFSTORE d", ":0"),
        ("ZUNIONSTORE d 15000", ":10000"),
        ("ZINTERSTORE d 15000", ":10000"),
        ("ZDIFFSTORE d 15000", ":0"),
        ("SINTERCARD 15000", ":10000"),
    ] {
        let args = words(line).into_iter().chain(often.clone()).collect();
        assert_eq!(call(&mut client, args), answer, "{line}");
    }
    assert!(stopwatch.elapsed() < LIMIT, "{:?}", stopwatch.elapsed());
}

#[test]
fn what_would_touch_too_many_elements_is_refused_and_not_logged() {
    let (_node, mut client) = node_with_a_set();
    let last_index = |client: &mut Client| client.run("PERDURA LOG STATUS").field("last_index").integer();
    let before = last_index(&mut client);
    let gets = ["GET", "#"].repeat(12_000).into_iter().map(|word| word.as_bytes().to_vec());
    let sort =
        |end: &str| words("SORT s BY nosort").into_iter().chain(gets.clone()).chain(words(end)).collect();
    let refusal = call(&mut client, sort("STORE d"));
    assert!(refusal.starts_with("-ERR the command would touch 120"), "{refusal}");
    assert!(refusal.ends_with("elements, the limit is 100000000"), "{refusal}");
    let read = words("SORT_RO s BY nosort").into_iter().chain(gets.clone()).collect();
    assert!(call(&mut client, read).starts_with("-ERR the command would touch"));
    assert_eq!(last_index(&mut client), before);
}

#[test]
fn sadd_with_1_048_600_members_is_taken() {
    let node = perdura().start();
    let mut client = node.client();
    client.set_limit(Duration::from_secs(120));
    let args = words("SADD s").into_iter().chain(numbered("", 1_048_600)).collect();
    assert_eq!(call(&mut client, args), ":1048600");
    client.check("SCARD s", ":1048600");
}

#[test]
fn blpop_of_one_key_400_000_times_waits_as_for_one() {
    let node = perdura().start();
    let (mut waiting, mut other) = (node.client(), node.client());
    waiting.set_limit(Duration::from_secs(60));
    let stopwatch = Stopwatch::start();
    let args: Vec<&[u8]> =
        [&b"BLPOP"[..]].into_iter().chain(vec![&b"k"[..]; 400_000]).chain([&b"0"[..]]).collect();
    waiting.send(&args);
    perdura_testkit::clock::wait_for("it waits", LIMIT, || {
        (other.info_number("blocked_clients") == 1).then_some(())
    });
    let pushed = Stopwatch::start();
    other.check("RPUSH k v", ":1");
    waiting.expect("[k v]");
    assert!(pushed.elapsed() < Duration::from_secs(1), "{:?}", pushed.elapsed());
    assert!(stopwatch.elapsed() < LIMIT, "{:?}", stopwatch.elapsed());
}

#[test]
fn globs_of_25_kb_are_answered_at_once() {
    let node = perdura().start();
    let mut client = node.client();
    client.set_limit(Duration::from_secs(60));
    for n in 0..20 {
        let key = [b"a".repeat(25_000), n.to_string().into_bytes()].concat();
        assert_eq!(client.call(&[b"SET", &key, b"v"]).to_string(), "+OK");
    }
    let stopwatch = Stopwatch::start();
    for pattern in [
        [b"*".to_vec(), b"a".repeat(12_500), b"b*".to_vec()].concat(),
        [b"*".to_vec(), b"[a]".repeat(8_000), b"b*".to_vec()].concat(),
        b"*a".repeat(12_500),
        [b"*[".to_vec(), b"~".repeat(25_000), b"]*".to_vec()].concat(),
    ] {
        assert_eq!(client.call(&[b"KEYS", &pattern]).items().len(), 0);
        assert_eq!(client.call(&[b"SCAN", b"0", b"MATCH", &pattern, b"COUNT", b"1000"]).items().len(), 2);
        assert_eq!(client.call(&[b"CONFIG", b"GET", &pattern]).items().len(), 0);
    }
    assert!(stopwatch.elapsed() < LIMIT, "{:?}", stopwatch.elapsed());
}
