//! Words that break programs, as whole command lines of the whole table, from several connections against three nodes: no node ends,
//! none panics, all have the same data, and a restart has it again, in bounded memory and time.
//!
//! - Every row is sent but those that end or reconfigure a node, that change what the connection is, or that wait; commands that
//!   may block are sent inside a transaction, where they do not.
//! - Each node has 1 GiB for its data segment (RLIMIT_DATA): one that takes more ends.
//!
//! `HOSTILE_COMMANDS=2000000 cargo test --release --test durability hostile -- --nocapture` is the long form; `HOSTILE_SEED=<n>` draws
//! the same words again.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::process::Command as Program;
use std::time::Duration;

use perdura::session::table::{lookup, table};
use perdura_testkit::client::encode;
use perdura_testkit::clock::Stopwatch;
use perdura_testkit::hostile::{Lines, Row, data};
use perdura_testkit::{Client, Cluster, Node, Reply};

use crate::bit_flips::{Dice, number};
use crate::perdura;

const CONNECTIONS: usize = 6;
const PIPELINE: usize = 50;
const MEMORY: u64 = 1 << 30;
/// A node that restarts answers within this.
const RESTART_LIMIT: Duration = Duration::from_secs(60);
/// Longest silence on a connection.
const SILENCE_LIMIT: Duration = Duration::from_secs(60);

/// What ends or reconfigures a node, opens connections of its own, or changes what this one is.
const LEFT_OUT: &[&str] = &[
    "auth",
    "client kill",
    "client no-evict",
    "client no-touch",
    "client pause",
    "client reply",
    "client tracking",
    "client unpause",
    "config rewrite",
    "config set",
    "discard",
    "exec",
    "failover",
    "hello",
    "migrate",
    "monitor",
    "multi",
    "perdura noforward",
    "psync",
    "quit",
    "readonly",
    "readwrite",
    "replicaof",
    "reset",
    "shutdown",
    "slaveof",
    "sync",
    "wait",
    "waitaof",
];

/// What empties the data: sent, but seldom.
const EMPTYING: &[&str] = &["flushall", "flushdb", "swapdb", "select"];

fn rows() -> Vec<Row> {
    let mut rows = Vec::new();
    for row in table().rows() {
        let (name, arity) = (row.command.name, row.command.arity);
        if row.subcommands.is_empty() && row.is_told() {
            rows.push(Row { words: vec![name], arity });
        }
        let subs = row.subcommands.iter().map(|sub| sub.command);
        rows.extend(subs.map(|sub| Row { words: vec![name, sub.name], arity: sub.arity }));
    }
    let (left_out, mut rows): (Vec<Row>, Vec<Row>) =
        rows.into_iter().partition(|row| LEFT_OUT.contains(&row.words.join(" ").as_str()));
    assert_eq!(left_out.len(), LEFT_OUT.len(), "of {LEFT_OUT:?} there are only {left_out:?}");
    rows.retain(|row| !row.words[0].ends_with("subscribe"));
    rows
}

fn fill(client: &mut Client) {
    data().iter().for_each(|line| drop(client.run(line)));
}

/// A request, and how many replies it has.
fn next_request(lines: &mut Lines) -> (Vec<u8>, usize) {
    let line = lines.next_line();
    let name = String::from_utf8_lossy(&line[0]).to_ascii_lowercase();
    if EMPTYING.contains(&name.as_str()) && lines.below(100) > 0 {
        return next_request(lines);
    }
    let args: Vec<&[u8]> = line.iter().map(Vec::as_slice).collect();
    let request = encode(&args);
    match lookup(&line[0]) {
        Some(row) if row.command.blocking.is_some() => {
            ([encode(&[b"MULTI"]), request, encode(&[b"EXEC"])].concat(), 3)
        }
        _ => (request, 1),
    }
}

/// What one connection met.
#[derive(Debug, Default)]
struct Met {
    replies: usize,
    /// Errors by their texts' first words.
    errors: BTreeMap<String, usize>,
    /// Connections that ended before all of their requests were answered, and what was under way.
    closings: Vec<String>,
}

/// What a node logs where it ends a connection that its client has not ended.
const CLOSED: &str = "connection closed";

/// At most this much is shown of a request or reply.
const SHOWN: usize = 200;

fn shown(text: impl std::fmt::Display) -> String {
    text.to_string().chars().take(SHOWN).collect()
}

/// Sends so many commands and takes their replies; a connection that is closed is opened again.
fn attack(addr: SocketAddr, mut lines: Lines, commands: usize, reads_here: bool) -> Met {
    let connect = || {
        let mut client = Client::connect(addr);
        client.set_limit(SILENCE_LIMIT);
        if reads_here {
            client.check("READONLY", "+OK");
        }
        client
    };
    let began = Stopwatch::start();
    let (mut client, mut met, mut sent) = (connect(), Met::default(), 0);
    while sent < commands {
        if sent % 5_000 < PIPELINE {
            fill(&mut Client::connect(addr));
        }
        let requests: Vec<(Vec<u8>, usize)> = (0..PIPELINE).map(|_| next_request(&mut lines)).collect();
        let bytes: Vec<u8> = requests.iter().flat_map(|(request, _)| request).copied().collect();
        let expected: usize = requests.iter().map(|(_, replies)| replies).sum();
        sent += PIPELINE;
        let (mut got, mut last_reply) = (0, String::new());
        let exchanged = client.try_send_bytes(&bytes).and_then(|()| {
            while got < expected {
                let reply = client.try_read()?;
                if let Reply::Error(text) = &reply {
                    let words: Vec<&str> = text.split(' ').take(3).collect();
                    *met.errors.entry(words.join(" ")).or_default() += 1;
                }
                last_reply = shown(reply);
                got += 1;
            }
            Ok(())
        });
        met.replies += got;
        if let Err(error) = exchanged {
            let silent = matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut);
            assert!(!silent, "{addr} keeps a connection open and says nothing to {}", bytes.escape_ascii());
            met.closings.push(format!(
                "{addr} after {:.1?}: {:?}, {} replies are missing, the first to {}; the last was {last_reply}",
                began.elapsed(),
                error.kind(),
                expected - got,
                shown(request_at(&requests, got).escape_ascii()),
            ));
            client = connect();
        }
    }
    met
}

/// The request that the next reply after `got` of them belongs to.
fn request_at(requests: &[(Vec<u8>, usize)], got: usize) -> &[u8] {
    let mut replies = 0;
    let unanswered = requests.iter().find(|(_, own)| {
        replies += own;
        replies > got
    });
    unanswered.map_or(&[], |(request, _)| request)
}

/// Why nodes ended connections, by what they log about it, and how often.
fn reasons(cluster: &Cluster) -> BTreeMap<String, usize> {
    let mut reasons = BTreeMap::new();
    for node in &cluster.nodes {
        for line in node.log().lines().filter(|line| line.contains(CLOSED)) {
            let words = line.split_whitespace().skip(2).filter(|word| !word.starts_with("client="));
            *reasons.entry(words.collect::<Vec<_>>().join(" ")).or_default() += 1;
        }
    }
    reasons
}

/// Bounds the process's data segment; what allocates more ends it.
fn bound_memory(node: &Node) {
    let pid = node.pid().to_string();
    let status = Program::new("prlimit").args(["--pid", &pid, &format!("--data={MEMORY}")]).status();
    assert!(status.is_ok_and(|status| status.success()), "prlimit (util-linux) bounds a node's memory");
}

/// The most memory that the process has used, in MiB.
fn peak_mib(node: &Node) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", node.pid())).expect("a live process");
    let peak =
        status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.split_whitespace().next()?.parse().ok());
    peak.map_or(0, |kib: u64| kib / 1024)
}

fn count_in_logs(cluster: &Cluster, text: &str) -> usize {
    cluster.nodes.iter().map(|node| node.log().matches(text).count()).sum()
}

fn check_alive(cluster: &mut Cluster) {
    for node in &mut cluster.nodes {
        assert!(!node.has_ended(), "a node has ended");
        assert!(!node.log().contains("panicked at"), "a thread has panicked");
    }
}

/// A reply past the output limit closes its connection. On a slow machine a lease may be over before a read under it has run; if
/// leadership moves then, or no lease comes for long, the read is not answered.
fn check_reasons(reasons: &BTreeMap<String, usize>, moved: bool) {
    for (reason, count) in reasons {
        let is_meant = reason.contains("output buffer limit reached")
            || reason.contains("no lease confirmed its reads")
            || moved && reason.contains("leadership ended before its reads were confirmed");
        assert!(is_meant, "{count} times: {reason}");
    }
}

#[test]
fn no_words_end_a_node_or_part_its_data() {
    let commands = number("HOSTILE_COMMANDS").unwrap_or(6_000) as usize;
    let mut dice = Dice::told("hostile words", "HOSTILE_SEED");
    let spec = perdura()
        .flag("segment-bytes", "8mb")
        .flag("client-output-buffer-limit", "normal 16mb 0 0 pubsub 8mb 0 0");
    let mut cluster = Cluster::start_with(spec);
    cluster.nodes.iter().for_each(bound_memory);
    let mut client = cluster.client(0);
    for line in data() {
        let reply = client.run(&line);
        assert!(!reply.is_error(), "{reply} to {line}");
    }
    let dumped = ["s:text", "l:small", "m:integers", "m:small", "h:mortal", "z:small"];
    let dumps: Vec<Vec<u8>> =
        dumped.iter().map(|key| client.call(&[b"DUMP", key.as_bytes()]).bytes().to_vec()).collect();
    let led = count_in_logs(&cluster, "leadership changed");
    let began = Stopwatch::start();
    let attackers: Vec<_> = (0..CONNECTIONS)
        .map(|at| {
            let (addr, dumps) = (cluster.nodes[at % 3].addr(), dumps.clone());
            let mut lines = Lines::new(dice.below(1 << 31) as u64, rows());
            lines.dumps = dumps;
            std::thread::spawn(move || attack(addr, lines, commands / CONNECTIONS, at == CONNECTIONS - 1))
        })
        .collect();
    let met: Vec<Met> = attackers.into_iter().map(|one| one.join().expect("an attacker ends")).collect();
    check_alive(&mut cluster);
    let moved = count_in_logs(&cluster, "leadership changed") - led;
    let closings: usize = met.iter().map(|met| met.closings.len()).sum();
    let reasons = reasons(&cluster);
    println!("{closings} connections were closed, leadership moved {moved} times; nodes say: {reasons:#?}");
    assert!(closings <= reasons.values().sum(), "a node closed a connection and did not say why: {met:#?}");
    check_reasons(&reasons, moved > 0);
    let refused = met.iter().any(|met| met.errors.keys().any(|words| words.starts_with("TRYAGAIN")));
    assert!(moved > 0 || !refused, "a replica did not send on what it was sent: {met:#?}");
    cluster.agreed_digest();
    let peaks: Vec<u64> = cluster.nodes.iter().map(peak_mib).collect();
    println!("{commands} commands in {:.1?}, at most {peaks:?} MiB: {met:?}", began.elapsed());
    for at in 0..3 {
        let node = &mut cluster.nodes[at];
        node.kill();
        let began = Stopwatch::start();
        node.spawn();
        bound_memory(node);
        node.wait_until_it_answers();
        let took = began.elapsed();
        println!("node {} is back after {took:.1?} with at most {} MiB", at + 1, peak_mib(node));
        assert!(took < RESTART_LIMIT, "a restart took {took:?}");
        // What the replay made is what the others applied; keys may have expired everywhere meanwhile.
        cluster.agreed_digest();
    }
    check_alive(&mut cluster);
}
