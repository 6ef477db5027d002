//! Small requests that took seconds on every node, or closed the connection, and what they do now.

use std::time::Duration;

use perdura_testkit::client::encode;
use perdura_testkit::clock::Stopwatch;
use perdura_testkit::{Client, Node};

use crate::perdura;
use crate::replies::memory;

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

/// All scores were made anew for each name.
#[test]
fn zunionstore_of_60_000_sets_of_one_member_takes_a_moment() {
    let node = perdura().start();
    let mut client = node.client();
    client.set_limit(Duration::from_secs(60));
    let keys: Vec<Vec<u8>> = numbered("z", 60_000).collect();
    let mut sender = client.second_handle();
    let adds: Vec<u8> = keys.iter().flat_map(|key| encode(&[b"ZADD", key, b"1", key])).collect();
    let sending = std::thread::spawn(move || sender.send_bytes(&adds));
    keys.iter().for_each(|_| client.expect(":1"));
    sending.join().expect("all is sent");
    let stopwatch = Stopwatch::start();
    let args = words("ZUNIONSTORE d 60000").into_iter().chain(keys).collect();
    assert_eq!(call(&mut client, args), ":60000");
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

/// Each lookup was one step, though it takes as long as several.
#[test]
fn sort_that_looks_up_90_million_keys_is_refused() {
    let node = perdura().start();
    let mut client = node.client();
    client.set_limit(Duration::from_secs(60));
    assert_eq!(
        call(&mut client, words("RPUSH l").into_iter().chain(numbered("", 100_000)).collect()),
        ":100000"
    );
    let gets = ["GET", "w*"].repeat(900).into_iter().map(|word| word.as_bytes().to_vec());
    let stopwatch = Stopwatch::start();
    let refused = call(&mut client, words("SORT l BY nosort").into_iter().chain(gets).collect());
    assert!(refused.starts_with("-ERR the command would touch 36"), "{refused}");
    assert!(stopwatch.elapsed() < LIMIT, "{:?}", stopwatch.elapsed());
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

/// KEYS and DEBUG DIGEST so often that they take very much longer than a client waits.
fn walks(count: usize) -> Vec<u8> {
    [encode(&[b"KEYS", b"none"]), encode(&[b"DEBUG", b"DIGEST"])].concat().repeat(count)
}

/// A node of one worker, which the driver of the log shares: all that it does is done in one thread.
fn one_loop_with_keys() -> (Node, Client) {
    let node = perdura().flag("workers", 1).flag("log-driver", "worker").start();
    let mut client = node.client();
    client.set_limit(Duration::from_secs(60));
    let pairs = numbered("key:", 10_000).flat_map(|key| [key, b"v".to_vec()]);
    assert_eq!(call(&mut client, words("MSET").into_iter().chain(pairs).collect()), "+OK");
    (node, client)
}

fn slowest_set(client: &mut Client) -> Duration {
    let sets = (0..3).map(|_| {
        let stopwatch = Stopwatch::start();
        client.check("SET b 1", "+OK");
        stopwatch.elapsed()
    });
    sets.max().unwrap_or_default()
}

#[test]
fn keys_in_one_packet_from_20_clients_leave_the_node_to_others() {
    let (node, mut other) = one_loop_with_keys();
    let attackers: Vec<Client> = (0..20)
        .map(|at| {
            let mut client = node.client();
            let first = if at % 2 == 0 { Vec::new() } else { encode(&[b"SET", b"a", b"1"]) };
            client.send_bytes(&[first, walks(500)].concat());
            client
        })
        .collect();
    let slowest = slowest_set(&mut other);
    drop(attackers);
    assert!(slowest < LIMIT, "a SET took {slowest:?}");
}

#[test]
fn an_exec_of_100_000_lcs_is_refused() {
    let node = perdura().start();
    let mut client = node.client();
    for key in ["{t}a", "{t}b"] {
        client.check(&format!("SETRANGE {key} 7999 x"), ":8000");
    }
    let lcs = encode(&[b"LCS", b"{t}a", b"{t}b", b"LEN"]).repeat(100_000);
    let set = encode(&[b"SET", b"c", b"1"]);
    client.send_bytes(&[encode(&[b"MULTI"]), set, lcs, encode(&[b"EXEC"])].concat());
    client.expect("+OK");
    (0..100_001).for_each(|_| client.expect("+QUEUED"));
    let refused = client.read().to_string();
    let begin = "-EXECABORT Transaction discarded because of: ERR the transaction would touch ";
    assert!(refused.starts_with(begin), "{refused}");
    client.check("EXISTS c", ":0");
}

/// A MULTI of very many of the shortest commands takes many times its bytes.
#[test]
fn an_exec_of_very_many_short_commands_takes_what_was_charged() {
    const COMMANDS: usize = 300_000;
    // A new segment of the log is written once, and counts as memory that was used.
    let node = perdura().flag("segment-bytes", "8mb").start();
    let mut client = node.client();
    client.set_limit(Duration::from_secs(60));
    let before = memory(&node, "VmRSS:");
    let short = encode(&[b"DEL", b"k"]).repeat(COMMANDS);
    // LREM is weighed by what its key holds, and so is all that it comes with.
    let weighed = encode(&[b"LREM", b"l", b"0", b"x"]);
    let mut sender = client.second_handle();
    let sending = std::thread::spawn(move || {
        sender.send_bytes(&[encode(&[b"MULTI"]), short, weighed, encode(&[b"EXEC"])].concat());
    });
    client.expect("+OK");
    (0..=COMMANDS).for_each(|_| client.expect("+QUEUED"));
    assert_eq!(client.read().items().len(), COMMANDS + 1);
    sending.join().expect("all is sent");
    let cost = memory(&node, "VmHWM:").saturating_sub(before);
    assert!(cost < COMMANDS * BYTES_A_COMMAND, "{} bytes a command", cost / COMMANDS);
}

/// Each of them moved all bytes of the string.
#[test]
fn expire_and_persist_20_000_times_of_a_string_of_100_mb_take_a_moment() {
    let node = perdura().start();
    let mut client = node.client();
    client.set_limit(Duration::from_secs(60));
    client.check("SETRANGE {t}k 99999999 x", ":100000000");
    let stopwatch = Stopwatch::start();
    let both = [encode(&[b"EXPIRE", b"{t}k", b"1000"]), encode(&[b"PERSIST", b"{t}k"])].concat();
    let mut sender = client.second_handle();
    let sending = std::thread::spawn(move || sender.send_bytes(&both.repeat(20_000)));
    (0..40_000).for_each(|_| client.expect(":1"));
    sending.join().expect("all is sent");
    assert!(stopwatch.elapsed() < LIMIT, "{:?}", stopwatch.elapsed());
    let renames = [encode(&[b"RENAME", b"{t}k", b"{t}kk"]), encode(&[b"RENAME", b"{t}kk", b"{t}k"])].concat();
    client.send_bytes(&[encode(&[b"MULTI"]), renames.repeat(50), encode(&[b"EXEC"])].concat());
    client.expect("+OK");
    (0..100).for_each(|_| client.expect("+QUEUED"));
    let refused = client.read().to_string();
    assert!(refused.starts_with("-EXECABORT Transaction discarded because of: ERR"), "{refused}");
    client.check("STRLEN {t}k", ":100000000");
}

#[test]
fn keys_that_look_at_a_name_of_1_mb_leave_the_node_to_others() {
    let node = perdura().flag("workers", 1).flag("log-driver", "worker").start();
    let (mut attacker, mut other) = (node.client(), node.client());
    other.set_limit(Duration::from_secs(60));
    assert_eq!(attacker.call(&[b"SET", &b"a".repeat(1_000_000), b"x"]).to_string(), "+OK");
    attacker.send_bytes(&encode(&[b"KEYS", b"*aaaaaaaaaaaaaaab"]).repeat(1_000));
    let slowest = slowest_set(&mut other);
    drop(attacker);
    assert!(slowest < LIMIT, "a SET took {slowest:?}");
}

/// Less than a command of two short arguments is charged in a MULTI.
const BYTES_A_COMMAND: usize = 250;

#[test]
fn local_steps_of_an_exec_leave_the_node_to_others() {
    let (node, mut other) = one_loop_with_keys();
    let mut attacker = node.client();
    let digests = encode(&[b"DEBUG", b"DIGEST"]).repeat(10_000);
    attacker.send_bytes(&[encode(&[b"MULTI"]), digests, encode(&[b"EXEC"])].concat());
    (0..10_001).for_each(|_| assert!(!attacker.read().is_error()));
    let slowest = slowest_set(&mut other);
    drop(attacker);
    assert!(slowest < LIMIT, "a SET took {slowest:?}");
}
