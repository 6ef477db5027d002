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

use perdura::command::spec::Flags;
use perdura::command::{Command, commands, lookup};
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
    "client noforward",
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
    "quit",
    "readonly",
    "readwrite",
    "replicaof",
    "reset",
    "shutdown",
    "slaveof",
    "wait",
    "waitaof",
];

/// What empties the data: sent, but seldom.
const EMPTYING: &[&str] = &["flushall", "flushdb", "swapdb", "select"];

fn rows() -> Vec<Row> {
    let mut rows = Vec::new();
    for row in commands() {
        let Command { name, arity, subcommands, .. } = *row.command;
        if subcommands.is_empty() && !row.command.flags.contains(Flags::INTERNAL) {
            rows.push(Row { words: vec![name], arity });
        }
        rows.extend(subcommands.iter().map(|sub| Row { words: vec![name, sub.name], arity: sub.arity }));
    }
    rows.retain(|row| {
        !LEFT_OUT.contains(&row.words.join(" ").as_str()) && !row.words[0].ends_with("subscribe")
    });
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
    closings: usize,
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
    let (mut client, mut met, mut sent) = (connect(), Met::default(), 0);
    while sent < commands {
        if sent % 5_000 < PIPELINE {
            fill(&mut Client::connect(addr));
        }
        let (mut requests, mut expected) = (Vec::new(), 0);
        for _ in 0..PIPELINE {
            let (request, replies) = next_request(&mut lines);
            requests.extend_from_slice(&request);
            expected += replies;
        }
        sent += PIPELINE;
        let exchanged = client.try_send_bytes(&requests).and_then(|()| {
            for _ in 0..expected {
                if let Reply::Error(text) = client.try_read()? {
                    let words: Vec<&str> = text.split(' ').take(3).collect();
                    *met.errors.entry(words.join(" ")).or_default() += 1;
                }
                met.replies += 1;
            }
            Ok(())
        });
        if let Err(error) = exchanged {
            let silent = matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut);
            assert!(
                !silent,
                "{addr} keeps a connection open and says nothing to {}",
                requests.escape_ascii()
            );
            met.closings += 1;
            client = connect();
        }
    }
    met
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
    // On a slow machine leadership may move: what was read under it is not answered, and its connection is closed.
    let moved = count_in_logs(&cluster, "leadership changed") > led;
    let cut_off = count_in_logs(&cluster, "output buffer limit");
    let closings: usize = met.iter().map(|met| met.closings).sum();
    assert!(
        moved || closings <= cut_off,
        "{closings} connections were closed, {cut_off} for their output limit"
    );
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
