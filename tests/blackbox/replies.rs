//! Replies: what only reads is not logged, and no reply takes more memory than its client's output limit.

use std::time::Duration;

use perdura_testkit::client::encode;
use perdura_testkit::clock::wait_for;
use perdura_testkit::{Client, Cluster, Node};

use crate::perdura;

const MIB: usize = 1024 * 1024;

/// What a reply may cost beside the output limit of 32 MiB: the value itself, buffers that grow, and replies on their way.
const MARGIN: usize = 100 * MIB;

fn limited() -> Node {
    perdura().flag("client-output-buffer-limit", "normal 32mb 0 0").start()
}

fn limited_with_values() -> Node {
    let node = limited();
    assert_eq!(node.client().call(&[b"SET", b"k", &vec![b'v'; MIB]]).to_string(), "+OK");
    node
}

/// Resident memory of the process, now or at most so far.
pub fn memory(node: &Node, field: &str) -> usize {
    let status = std::fs::read_to_string(format!("/proc/{}/status", node.pid())).expect("a live process");
    let line = status.lines().find(|line| line.starts_with(field)).expect("a process has resident memory");
    let kib: usize = line.split_whitespace().nth(1).and_then(|text| text.parse().ok()).expect("kibibytes");
    kib * 1024
}

/// Sends bytes that lead to far too much of a reply; the client is closed, and the node has not paid for more than its limit.
fn check_cut(node: &Node, bytes: &[u8]) {
    let before = memory(node, "VmRSS:");
    let mut greedy = node.client();
    greedy.try_send_bytes(bytes).unwrap_or_default();
    greedy.set_limit(Duration::from_secs(60));
    let received = greedy.read_to_end().len();
    assert!(received < 64 * MIB, "all {received} bytes came");
    let cost = memory(node, "VmHWM:").saturating_sub(before);
    assert!(cost < 32 * MIB + MARGIN, "the reply cost {} MiB", cost / MIB);
    node.client().check("PING", "+PONG");
}

fn repeated(line: &[&[u8]], times: usize) -> Vec<u8> {
    encode(line).repeat(times)
}

/// The driver's own word, which is not late as INFO's is.
fn last_index(client: &mut Client) -> i64 {
    client.run("PERDURA LOG STATUS").field("last_index").integer()
}

#[test]
fn commands_that_only_read_are_not_logged() {
    let node = perdura().start();
    let mut client = node.client();
    client.check("RPUSH l 3 1 2", ":3");
    client.check("SET k v", "+OK");
    client.check("HSET h f v", ":1");
    client.check("SADD s m", ":1");
    client.check("ZADD z 1 m", ":1");
    let reads = [
        ("SORT l", "[1 2 3]"),
        ("SORT l BY nosort GET # DESC", "[2 1 3]"),
        ("SORT l BY", "-ERR syntax error"),
        ("GETEX k", "v"),
        ("GETEX none", "nil"),
        ("HGETEX h FIELDS 2 f none", "[v nil]"),
        ("LPOP l 0", "[]"),
        ("SPOP s 0", "[]"),
        ("ZPOPMIN z 0", "[]"),
        ("RENAME k k", "+OK"),
        ("RENAMENX k k", ":0"),
        ("SMOVE s s m", ":1"),
        ("SETRANGE k 100 ''", ":1"),
    ];
    let before = last_index(&mut client);
    for (line, reply) in reads {
        client.check(line, reply);
        client.check("MULTI", "+OK");
        client.check(line, "+QUEUED");
        client.check("EXEC", &format!("[{reply}]"));
    }
    assert_eq!(last_index(&mut client), before, "a read was logged");
    client.check("SORT l STORE d", ":3");
    client.check("GETEX k PERSIST", "v");
    assert_eq!(last_index(&mut client), before + 2);
}

/// As in Redis, a replica does not run commands that may write; the primary answers, with what is newest.
#[test]
fn a_readonly_replica_asks_the_primary_for_sort() {
    let cluster = Cluster::start_with(perdura());
    let mut client = cluster.client(cluster.replica());
    client.check("READONLY", "+OK");
    for n in 1..20 {
        client.check(&format!("RPUSH l {n}"), &format!(":{n}"));
        client.check("SORT l DESC LIMIT 0 1", &format!("[{n}]"));
        client.check("SET k v", "+OK");
        client.check("GETEX k", "v");
    }
}

/// 15 KB of request would be a gigabyte of reply. Far more than that is refused before it begins.
#[test]
fn sort_with_very_many_gets_is_cut() {
    let mut node = limited();
    let mut client = node.client();
    for start in (0..100_000).step_by(10_000) {
        let elements: Vec<String> = (start..start + 10_000).map(|n| n.to_string()).collect();
        let mut args: Vec<&[u8]> = vec![b"RPUSH", b"l"];
        args.extend(elements.iter().map(String::as_bytes));
        client.call(&args);
    }
    let mut args: Vec<&[u8]> = vec![b"SORT", b"l", b"BY", b"nosort"];
    (0..900).for_each(|_| args.extend([&b"GET"[..], b"#"]));
    check_cut(&node, &encode(&args));
    (0..100_000).for_each(|_| args.extend([&b"GET"[..], b"#"]));
    assert!(node.client().call(&args).is_error());
    node.kill();
    node.restart();
    node.client().check("LLEN l", ":100000");
}

#[test]
fn mget_of_large_values_is_cut() {
    let node = limited_with_values();
    let mut args: Vec<&[u8]> = vec![b"MGET"];
    args.resize(601, b"k");
    check_cut(&node, &encode(&args));
}

#[test]
fn exec_of_large_reads_is_cut() {
    let node = limited_with_values();
    let bytes = [encode(&[b"MULTI"]), repeated(&[b"GETEX", b"k"], 300), encode(&[b"EXEC"])].concat();
    check_cut(&node, &bytes);
}

/// What an EXEC wrote is done, though its client hears nothing of it.
#[test]
fn exec_whose_reply_is_cut_has_its_effects() {
    let node = limited_with_values();
    let bytes = [
        encode(&[b"MULTI"]),
        encode(&[b"SET", b"before", b"1"]),
        repeated(&[b"GET", b"k"], 100),
        encode(&[b"SET", b"after", b"1"]),
        encode(&[b"EXEC"]),
    ];
    check_cut(&node, &bytes.concat());
    node.client().check("MGET before after", "[1 1]");
}

#[test]
fn a_write_whose_reply_is_cut_has_its_effect() {
    let node = perdura().flag("client-output-buffer-limit", "normal 1mb 0 0").start();
    let mut client = node.client();
    client.call(&[b"SET", b"large", &vec![b'v'; 2 * MIB]]);
    client.send_line("GETDEL large");
    assert_eq!(client.read_to_end(), b"");
    node.client().check("EXISTS large", ":0");
}

/// The log answers reads that follow an unanswered write of their connection, and does not wait until the client has taken answers:
/// it gets few at a time. Their sum is far above the limit.
#[test]
fn large_reads_after_a_write_are_all_answered_to_a_client_that_reads() {
    const READS: usize = 600;
    let node = limited_with_values();
    let before = memory(&node, "VmRSS:");
    let mut client = node.client();
    let mut sender = client.second_handle();
    // The second key does not exist when the reads are taken.
    let long = encode(&[b"SET", b"long", &vec![b'v'; MIB]]);
    let bytes = [
        encode(&[b"SET", b"x", b"1"]),
        repeated(&[b"GET", b"k"], READS),
        long,
        repeated(&[b"GET", b"long"], READS),
    ];
    let sending = std::thread::spawn(move || sender.send_bytes(&bytes.concat()));
    client.expect("+OK");
    (0..READS).for_each(|_| assert_eq!(client.read().text().len(), MIB));
    client.expect("+OK");
    (0..READS).for_each(|_| assert_eq!(client.read().text().len(), MIB));
    sending.join().expect("all is sent");
    let cost = memory(&node, "VmHWM:").saturating_sub(before);
    assert!(cost < 32 * MIB + MARGIN, "the replies cost {} MiB", cost / MIB);
}

/// Replies that wait behind an unanswered write are few: the requests wait instead.
#[test]
fn finished_replies_behind_a_write_do_not_pile_up() {
    let node = limited();
    let before = memory(&node, "VmRSS:");
    let mut slow = node.client();
    let bytes = [encode(&[b"SET", b"x", b"1"]), repeated(&[b"COMMAND"], 5_000)].concat();
    slow.try_send_bytes(&bytes).unwrap_or_default();
    let mut other = node.client();
    wait_for("the write is done", Duration::from_secs(20), || {
        (other.run("GET x").to_string() == "1").then_some(())
    });
    (0..20).for_each(|_| other.check("SET y 1", "+OK"));
    let cost = memory(&node, "VmHWM:").saturating_sub(before);
    assert!(cost < 32 * MIB + MARGIN, "the replies cost {} MiB", cost / MIB);
}

/// Commands that concern the connection run after what an EXEC wrote; their replies count as well.
#[test]
fn exec_of_large_local_replies_is_cut() {
    let node = limited();
    let bytes = [
        encode(&[b"MULTI"]),
        encode(&[b"SET", b"x", b"1"]),
        repeated(&[b"COMMAND"], 5_000),
        encode(&[b"EXEC"]),
    ];
    check_cut(&node, &bytes.concat());
    node.client().check("EXISTS x", ":1");
}

/// Messages that a subscriber does not take count before they reach its connection, too.
#[test]
fn messages_to_a_slow_subscriber_are_cut() {
    let node = perdura().flag("client-output-buffer-limit", "pubsub 8mb 0 0").start();
    let mut subscriber = node.client();
    subscriber.check("SUBSCRIBE c", "[subscribe c :1]");
    let before = memory(&node, "VmRSS:");
    // One burst: nothing is delivered before all of it is published.
    let message = vec![b'm'; 4 * 1024];
    node.client().try_send_bytes(&repeated(&[b"PUBLISH", b"c", &message], 20_000)).unwrap_or_default();
    subscriber.set_limit(Duration::from_secs(60));
    let received = subscriber.read_to_end().len();
    assert!(received < 80 * MIB, "all {received} bytes came");
    let cost = memory(&node, "VmHWM:").saturating_sub(before);
    assert!(cost < 8 * MIB + MARGIN, "the messages cost {} MiB", cost / MIB);
}

/// A client that reads gets all that it asked for, however much that is in sum.
#[test]
fn a_pipeline_of_large_reads_is_answered_to_a_client_that_reads() {
    let node = limited_with_values();
    let mut client: Client = node.client();
    let mut sender = client.second_handle();
    let sending = std::thread::spawn(move || sender.send_bytes(&repeated(&[b"GET", b"k"], 100)));
    for _ in 0..100 {
        assert_eq!(client.read().text().len(), MIB);
    }
    sending.join().expect("all is sent");
}

/// The answer of an EXEC some of whose commands run on its connection is put together there.
#[test]
fn a_long_answer_of_an_exec_with_local_steps_is_not_kept_five_times() {
    const VALUES: usize = 100;
    let node = perdura().start();
    assert_eq!(node.client().call(&[b"SET", b"k", &vec![b'v'; MIB]]).to_string(), "+OK");
    let mut client = node.client();
    let transaction = [
        encode(&[b"MULTI"]),
        encode(&[b"CLIENT", b"ID"]),
        repeated(&[b"GET", b"k"], VALUES),
        encode(&[b"ECHO", b"last"]),
    ];
    client.send_bytes(&transaction.concat());
    client.expect("+OK");
    (0..VALUES + 2).for_each(|_| client.expect("+QUEUED"));
    let before = memory(&node, "VmRSS:");
    client.send_line("EXEC");
    let answer = client.read();
    let cost = memory(&node, "VmHWM:").saturating_sub(before);
    assert_eq!(answer.items().len(), VALUES + 2);
    assert_eq!(answer.items()[VALUES].text().len(), MIB);
    assert_eq!(answer.items()[VALUES + 1].text(), "last");
    assert!(cost < 3 * VALUES * MIB, "the reply cost {} MiB", cost / MIB);
}

/// Replies that nobody is sent are bounded, too, and no reason to close the connection.
#[test]
fn large_reads_of_a_client_that_wants_no_replies_do_not_close_it() {
    let node = limited_with_values();
    let mut client = node.client();
    let exec = [
        encode(&[b"MULTI"]),
        repeated(&[b"GETEX", b"k"], 60),
        encode(&[b"CLIENT", b"ID"]),
        encode(&[b"EXEC"]),
    ];
    let parts = [
        encode(&[b"CLIENT", b"REPLY", b"OFF"]),
        encode(&[b"SET", b"x", b"1"]),
        repeated(&[b"GET", b"k"], 100),
        exec.concat(),
        encode(&[b"CLIENT", b"REPLY", b"ON"]),
    ];
    client.send_bytes(&parts.concat());
    client.expect("+OK");
    client.check("GET x", "1");
    // Its array would lack what was left out before replies were wanted again.
    let lines =
        [encode(&[b"CLIENT", b"REPLY", b"OFF"]), encode(&[b"MULTI"]), repeated(&[b"GETEX", b"k"], 60)];
    client.send_bytes(&[lines.concat(), encode(&[b"CLIENT", b"REPLY", b"ON"]), encode(&[b"EXEC"])].concat());
    assert_eq!(client.read_to_end(), b"");
}
