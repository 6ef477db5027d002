//! Values that move between Perdura and Redis as the bytes that DUMP answers.
//!
//! redis-server must be installed (`./test` does that).

use std::net::{Ipv4Addr, SocketAddr};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use perdura_testkit::clock::wait_for;
use perdura_testkit::{Client, Cluster, free_port};

use crate::perdura;

/// Whether the installed redis-server is 7.0, whose answers Perdura gives to the byte (docs/compatibility.md). Debian 13 has 8.0: tests that
/// compare answers leave themselves out there, and print it.
pub fn has_reference() -> bool {
    let output = Command::new("redis-server").arg("--version").output().expect("redis-server is installed");
    let version = String::from_utf8_lossy(&output.stdout).into_owned();
    let is_reference = version.contains(" v=7.0.");
    if !is_reference {
        println!("LEFT OUT, for answers are compared with redis-server 7.0, and this is: {version}");
    }
    is_reference
}

/// A redis-server that keeps nothing and runs until it is dropped.
pub struct Redis {
    child: Child,
    pub addr: SocketAddr,
}

impl Redis {
    pub fn start(flags: &[&str]) -> Redis {
        let addr = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()));
        let child = Command::new("redis-server")
            .args(["--bind", "127.0.0.1", "--port", &addr.port().to_string(), "--save", ""])
            .args(flags)
            .stdout(Stdio::null())
            .spawn()
            .expect("redis-server is installed");
        let redis = Redis { child, addr };
        wait_for("redis-server", Duration::from_secs(20), || Client::try_connect(addr).ok());
        redis
    }

    pub fn client(&self) -> Client {
        Client::connect(self.addr)
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        self.child.kill().expect("our own child can be killed");
        self.child.wait().expect("our own child can be waited for");
    }
}

/// A key, what fills it, and what shows all of it.
pub struct Sample {
    pub key: &'static str,
    fill: Vec<String>,
    pub show: &'static str,
}

pub fn samples() -> Vec<Sample> {
    let many = |line: fn(usize) -> String, count: usize| (0..count).map(line).collect::<Vec<_>>();
    let one = |line: &str| vec![line.to_owned()];
    let sample = |key, show, fill| Sample { key, fill, show };
    vec![
        sample("int", "GET int", one("SET int -129")),
        sample("big int", "GET 'big int'", one("SET 'big int' 9223372036854775807")),
        sample("empty", "GET empty", one("SET empty ''")),
        sample("raw", "GET raw", one("SET raw \\x00hello\\xFF\\x0D\\x0A")),
        sample("repeats", "GET repeats", vec![format!("SET repeats {}", "abcd".repeat(20_000))]),
        sample("list", "LRANGE list 0 -1", one("RPUSH list a 1 -5000 b 70000 -9000000000 '' c")),
        sample("quicklist", "LRANGE quicklist 0 -1", many(|n| format!("RPUSH quicklist {n}-{n:099}"), 500)),
        sample("long elements", "LRANGE 'long elements' 0 -1", {
            many(|n| format!("RPUSH 'long elements' {}", format!("{n}").repeat(10_000)), 5)
        }),
        sample("intset 16", "SMEMBERS 'intset 16'", one("SADD 'intset 16' 1 -2 300")),
        sample("intset 32", "SMEMBERS 'intset 32'", one("SADD 'intset 32' 1 -2 70000")),
        sample("intset 64", "SMEMBERS 'intset 64'", one("SADD 'intset 64' 1 -2 9000000000")),
        sample("set", "SMEMBERS set", one("SADD set a b 3")),
        sample("large set", "SMEMBERS 'large set'", many(|n| format!("SADD 'large set' m{n}"), 600)),
        sample("hash", "HGETALL hash", one("HSET hash f v n 42 '' empty")),
        sample("large hash", "HGETALL 'large hash'", many(|n| format!("HSET 'large hash' f{n} {n}"), 600)),
        sample("long hash", "HGETALL 'long hash'", vec![format!("HSET 'long hash' f {}", "xy".repeat(99))]),
        sample("stream", "XRANGE stream - +", {
            let mut fill = many(|n| format!("XADD stream {}-1 name {n} text {n:050}", n + 1), 400);
            fill.extend((0..400).step_by(7).map(|n| format!("XDEL stream {}-1", n + 1)));
            fill.push("XTRIM stream MAXLEN 222".to_owned());
            fill
        }),
        sample("group", "XPENDING group g", {
            let mut fill = many(|n| format!("XADD group {}-1 field {n} other x", n + 1), 20);
            fill.push("XGROUP CREATE group g 0".to_owned());
            fill.push("XREADGROUP GROUP g ada COUNT 5 STREAMS group >".to_owned());
            fill.push("XREADGROUP GROUP g bob COUNT 5 STREAMS group >".to_owned());
            fill.push("XACK group g 3-1 7-1".to_owned());
            fill.push("XGROUP CREATE group idle $".to_owned());
            fill
        }),
        sample(
            "empty stream",
            "XINFO GROUPS 'empty stream'",
            one("XGROUP CREATE 'empty stream' g $ MKSTREAM"),
        ),
        sample("zset", "ZRANGE zset 0 -1 WITHSCORES", one("ZADD zset 1.5 a -inf b 3 c inf d -0.25 e")),
        sample("large zset", "ZRANGE 'large zset' 0 -1 WITHSCORES", {
            many(|n| format!("ZADD 'large zset' {}.5 m{n}", n * 7 % 600), 600)
        }),
    ]
}

pub fn fill(client: &mut Client, samples: &[Sample]) {
    for line in samples.iter().flat_map(|sample| &sample.fill) {
        let reply = client.run(line);
        assert!(!reply.is_error(), "{line}: {reply}");
    }
}

/// What a sample holds; the order of sets and hashes does not count.
pub fn shown(client: &mut Client, sample: &Sample) -> Vec<String> {
    let reply = client.run(sample.show);
    if sample.show.starts_with("GET") {
        return vec![reply.to_string()];
    }
    let mut items: Vec<String> = reply.items().iter().map(ToString::to_string).collect();
    if sample.show.starts_with("HGETALL") {
        items = items.chunks(2).map(|pair| pair.join("=")).collect();
    }
    if !sample.show.contains("RANGE") {
        items.sort_unstable();
    }
    items
}

/// Moves every sample by DUMP and RESTORE.
fn move_all(from: &mut Client, to: &mut Client) {
    for sample in samples() {
        let key = sample.key.as_bytes();
        let payload = from.call(&[b"DUMP", key]);
        let restored = to.call(&[b"RESTORE", key, b"0", payload.bytes()]);
        assert_eq!(restored.to_string(), "+OK", "{}", sample.key);
        assert_eq!(shown(to, &sample), shown(from, &sample), "{}", sample.key);
    }
}

#[test]
fn what_redis_dumps_is_restored_here() {
    let (redis, node) = (Redis::start(&[]), perdura().start());
    let mut from = redis.client();
    fill(&mut from, &samples());
    move_all(&mut from, &mut node.client());
}

#[test]
fn what_older_settings_of_redis_pack_otherwise_is_restored_here() {
    let flags = ["--list-compress-depth", "1", "--list-max-listpack-size", "3", "--rdbcompression", "no"];
    let packed = ["--hash-max-listpack-entries", "1000", "--zset-max-listpack-entries", "1000"];
    let (redis, node) = (Redis::start(&[&flags[..], &packed].concat()), perdura().start());
    let mut from = redis.client();
    fill(&mut from, &samples());
    move_all(&mut from, &mut node.client());
}

#[test]
fn what_is_dumped_here_is_restored_by_redis() {
    let (redis, node) = (Redis::start(&["--sanitize-dump-payload", "yes"]), perdura().start());
    let mut from = node.client();
    fill(&mut from, &samples());
    move_all(&mut from, &mut redis.client());
}

#[test]
fn what_is_restored_is_the_same_on_every_node() {
    let (redis, cluster) = (Redis::start(&[]), Cluster::start_with(perdura()));
    let mut from = redis.client();
    fill(&mut from, &samples());
    move_all(&mut from, &mut cluster.client(cluster.replica()));
    cluster.agreed_digest();
}
