//! RDB files: those of redis-server are brought in, those that are made here redis-server loads, and redis-cli --rdb gets one.
//!
//! redis-server and redis-cli must be installed (`./test` does that).

use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use perdura_testkit::clock::wait_for;
use perdura_testkit::{Client, Cluster, Node};
use tempfile::TempDir;

use crate::administration::checkpoint;
use crate::dump::{Redis, Sample, fill, samples, shown};
use crate::log::said;
use crate::operators::run;
use crate::perdura;

const LIBRARY: &[u8] =
    b"#!lua name=answers\nredis.register_function('answer', function(keys, args) return 42 end)\n";

const LIMIT: Duration = Duration::from_secs(30);

/// What a Redis holds beside the samples: other databases, deadlines, types that are strings and sorted sets within.
const MORE: &[&str] = &[
    "SELECT 3",
    "SET other of-database-3",
    "PEXPIREAT other 4102444800123",
    "SET gone x PX 1",
    "SELECT 15",
    "RPUSH last 1 2 3",
    "SELECT 0",
    "EXPIREAT list 4102444800",
    "PFADD hll a b c d",
    "SETBIT bits 100000 1",
    "GEOADD geo 13.361389 38.115556 Palermo 15.087269 37.502669 Catania",
];

fn folder() -> TempDir {
    tempfile::tempdir().expect("a folder for files")
}

/// A redis-server that reads and writes this file.
fn redis_on(file: &Path) -> Redis {
    let (folder, name) = (file.parent().expect("a folder"), file.file_name().expect("a name"));
    let (folder, name) = (folder.to_string_lossy(), name.to_string_lossy());
    Redis::start(&["--dir", &folder, "--dbfilename", &name, "--enable-debug-command", "yes"])
}

fn filled_redis(file: &Path) -> Redis {
    let redis = redis_on(file);
    let mut client = redis.client();
    fill(&mut client, &samples());
    for line in MORE {
        let reply = client.run(line);
        assert!(!reply.is_error(), "{line}: {reply}");
    }
    assert_eq!(client.call(&[b"FUNCTION", b"LOAD", LIBRARY]).text(), "answers");
    client.check("SAVE", "+OK");
    redis
}

fn import(file: &Path, node: &Node, flags: &[&str]) -> Output {
    let (file, addr) = (file.to_string_lossy().into_owned(), node.addr().to_string());
    run(&[&["import", "--rdb", &file, "--addr", &addr], flags].concat())
}

fn assert_code(output: &Output, code: i32) {
    assert_eq!(output.status.code(), Some(code), "{}", text(output));
}

fn text(output: &Output) -> String {
    said(output).0
}

/// Whether the bytes of a DUMP follow from the value alone: the order of sets and hashes does not.
fn has_order(sample: &Sample) -> bool {
    sample.show.starts_with("GET") || sample.show.contains("RANGE") || sample.show.starts_with('X')
}

fn dumped(client: &mut Client, key: &str) -> Vec<u8> {
    client.call(&[b"DUMP", key.as_bytes()]).bytes().to_vec()
}

/// Digest of all databases as Redis computes it, once dead keys are freed.
fn digest(redis: &Redis) -> String {
    let mut client = redis.client();
    client.check("SELECT 3", "+OK");
    client.check("EXISTS gone", ":0");
    client.run("DEBUG DIGEST").text()
}

#[test]
fn files_of_redis_come_in_and_go_back() {
    let folder = folder();
    let (file, back) = (folder.path().join("redis.rdb"), folder.path().join("back.rdb"));
    let (redis, node) = (filled_redis(&file), perdura().start());
    assert_code(&import(&file, &node, &[]), 0);
    let (mut from, mut to) = (redis.client(), node.client());
    for sample in samples() {
        assert_eq!(shown(&mut to, &sample), shown(&mut from, &sample), "{}", sample.key);
        if has_order(&sample) {
            let payload = dumped(&mut from, sample.key);
            to.call(&[b"RESTORE", b"copy", b"0", &payload, b"REPLACE"]);
            assert_eq!(dumped(&mut to, sample.key), dumped(&mut to, "copy"), "{}", sample.key);
        }
    }
    to.check("DEL copy", ":1");
    to.check("FCALL answer 0", ":42");
    to.check("EXPIRETIME list", ":4102444800");
    to.check("GEODIST geo Palermo Catania", "166274.1516");
    to.check("PFCOUNT hll", ":4");
    to.check("SELECT 3", "+OK");
    to.check("PEXPIRETIME other", ":4102444800123");
    to.check("EXISTS gone", ":0");

    let addr = node.addr().to_string();
    assert_code(&run(&["export", "--rdb", &back.to_string_lossy(), "--addr", &addr]), 0);
    assert!(fs::read(&back).expect("the file is there").starts_with(b"REDIS0010"));
    let again = redis_on(&back);
    assert_eq!(digest(&again), digest(&redis));
    let mut again = again.client();
    again.check("FCALL answer 0", ":42");
    for sample in samples().iter().filter(|sample| has_order(sample)) {
        assert_eq!(dumped(&mut again, sample.key), dumped(&mut from, sample.key), "{}", sample.key);
    }
}

#[test]
fn what_older_settings_of_redis_pack_otherwise_comes_in() {
    let folder = folder();
    let file = folder.path().join("redis.rdb");
    let redis = filled_redis(&file);
    let mut from = redis.client();
    for line in [
        "CONFIG SET rdbcompression no list-max-listpack-size 3 set-max-intset-entries 0",
        "CONFIG SET hash-max-listpack-entries 1000 zset-max-listpack-entries 1000",
        // What was loaded is packed by the new settings, and saved so with the second.
        "DEBUG RELOAD",
        "DEBUG RELOAD",
    ] {
        from.check(line, "+OK");
    }
    let cluster = Cluster::start_with(perdura());
    assert_code(&import(&file, &cluster.nodes[cluster.replica()], &["--json"]), 0);
    let mut to = cluster.client(cluster.primary());
    for sample in samples() {
        assert_eq!(shown(&mut to, &sample), shown(&mut from, &sample), "{}", sample.key);
    }
    cluster.agreed_digest();
}

#[test]
fn long_collections_come_in_parts_and_keys_that_are_there_as_asked() {
    let folder = folder();
    let file = folder.path().join("redis.rdb");
    let (redis, node) = (filled_redis(&file), perdura().start());
    let (mut from, mut to) = (redis.client(), node.client());
    to.check("SET raw here-before", "+OK");
    let refused = import(&file, &node, &[]);
    assert_code(&refused, 4);
    assert!(text(&refused).contains("BUSYKEY"), "{}", text(&refused));
    to.check("FLUSHALL", "+OK");
    to.check("SET raw here-before", "+OK");

    let skipped = import(&file, &node, &["--skip", "--whole-bytes", "1024", "--db", "0"]);
    assert_code(&skipped, 0);
    assert!(text(&skipped).contains("1 keys skipped"), "{}", text(&skipped));
    to.check("GET raw", "here-before");
    to.check("SELECT 3", "+OK");
    to.check("DBSIZE", ":0");
    to.check("SELECT 0", "+OK");
    for sample in samples().iter().filter(|sample| sample.key != "raw") {
        assert_eq!(shown(&mut to, sample), shown(&mut from, sample), "{}", sample.key);
    }
    to.check("EXPIRETIME list", ":4102444800");
    assert_code(&import(&file, &node, &["--replace"]), 0);
    let raw = from.run("GET raw").to_string();
    assert_eq!(to.run("GET raw").to_string(), raw);
}

#[test]
fn what_redis_cli_takes_of_a_redis_comes_in_by_a_pipe() {
    let folder = folder();
    let (redis, node) = (filled_redis(&folder.path().join("redis.rdb")), perdura().start());
    redis.client().check("CONFIG SET repl-diskless-sync-delay 0", "+OK");
    let mut cli = Command::new("redis-cli")
        .args(["-p", &redis.addr.port().to_string(), "--rdb", "-"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("redis-cli is installed");
    let output = Command::new(env!("CARGO_BIN_EXE_perdura"))
        .args(["import", "--rdb", "-", "--addr", &node.addr().to_string()])
        .stdin(cli.stdout.take().expect("it was piped"))
        .output()
        .expect("the program can be run");
    assert_code(&output, 0);
    assert!(cli.wait().expect("our own child").success());
    let (mut from, mut to) = (redis.client(), node.client());
    for sample in samples() {
        assert_eq!(shown(&mut to, &sample), shown(&mut from, &sample), "{}", sample.key);
    }
}

#[test]
fn a_damaged_file_changes_nothing() {
    let folder = folder();
    let (file, damaged) = (folder.path().join("redis.rdb"), folder.path().join("damaged.rdb"));
    let (_redis, node) = (filled_redis(&file), perdura().start());
    let mut bytes = fs::read(&file).expect("the file is there");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0x10;
    fs::write(&damaged, &bytes).expect("the folder is there");
    assert_code(&import(&damaged, &node, &[]), 1);
    node.client().check("DBSIZE", ":0");
    fs::write(&damaged, &bytes[..middle]).expect("the folder is there");
    let cut = import(&damaged, &node, &[]);
    assert_code(&cut, 1);
    assert!(text(&cut).contains("it ends early"), "{}", text(&cut));
    node.client().check("DBSIZE", ":0");
    assert_code(&import(Path::new("/nowhere/dump.rdb"), &node, &[]), 4);
}

#[test]
fn a_folder_is_exported_once_its_node_has_ended() {
    let folder = folder();
    let file = folder.path().join("out.rdb");
    let mut node = perdura().start();
    fill(&mut node.client(), &samples());
    node.client().check("HSET fields a 1 b 2", ":2");
    checkpoint(&mut node.client());
    let out = file.to_string_lossy().into_owned();
    let dir = node.data().to_string_lossy().into_owned();
    assert_code(&run(&["export", "--rdb", &out, "--dir", &dir]), 3);
    node.terminate();
    assert_code(&run(&["export", "--rdb", &out, "--dir", &dir]), 0);
    assert_eq!(fs::read_dir(folder.path()).expect("the folder is there").count(), 1);
    let redis = redis_on(&file);
    node.restart();
    let (mut here, mut there) = (node.client(), redis.client());
    for sample in samples() {
        assert_eq!(shown(&mut there, &sample), shown(&mut here, &sample), "{}", sample.key);
    }
    // What Redis 7.0 can't hold makes the file one of Redis 7.4.
    here.check("HPEXPIREAT fields 4102444800000 FIELDS 1 a", "[:1]");
    let addr = node.addr().to_string();
    assert_code(&run(&["export", "--rdb", &out, "--addr", &addr]), 0);
    assert!(fs::read(&file).expect("the file is there").starts_with(b"REDIS0012"));
    here.check("FLUSHALL", "+OK");
    assert_code(&import(&file, &node, &[]), 0);
    here.check("HPEXPIRETIME fields FIELDS 2 a b", "[:4102444800000 :-1]");
}

#[test]
fn redis_cli_gets_a_file_of_a_running_node() {
    let folder = folder();
    let file = folder.path().join("cli.rdb");
    let node = perdura().flag("requirepass", "secret").start();
    let mut client = node.client();
    client.check("SYNC", "-NOAUTH Authentication required.");
    client.check("AUTH secret", "+OK");
    fill(&mut client, &samples());
    let port = node.addr().port().to_string();
    let cli = Command::new("redis-cli")
        .args(["-p", &port, "-a", "secret", "--no-auth-warning", "--rdb", &file.to_string_lossy()])
        .stdin(Stdio::null())
        .output()
        .expect("redis-cli is installed");
    assert!(cli.status.success(), "{}", text(&cli));
    let redis = redis_on(&file);
    let mut there = redis.client();
    for sample in samples() {
        assert_eq!(shown(&mut there, &sample), shown(&mut client, &sample), "{}", sample.key);
    }
    client.check("ACL SETUSER no-sync on >pw ~* &* +@all -sync", "+OK");
    let mut other = node.client();
    other.check("AUTH no-sync pw", "+OK");
    assert!(other.run("SYNC").to_string().starts_with("-NOPERM"));
}

/// The first byte of what a client is sent after SYNC and empty lines.
fn first_byte_of_file(client: &mut Client) -> u8 {
    // Otherwise the file is made twice: to know its length.
    client.check("REPLCONF capa eof", "+OK");
    client.send_line("SYNC");
    loop {
        match client.read_bytes(1)[0] {
            b'\n' => {}
            byte => return byte,
        }
    }
}

#[test]
fn one_client_at_a_time_is_sent_a_file() {
    let node = perdura().start();
    let mut writer = node.client();
    let mut state = 1_u64;
    let mut digits = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        format!("{state:016x}")
    };
    // More than sockets hold.
    for n in 0..24 {
        let value: String = (0..1 << 16).map(|_| digits()).collect();
        writer.check(&format!("SET big{n} {value}"), "+OK");
    }
    let mut first = node.client();
    assert_eq!(first_byte_of_file(&mut first), b'$');
    writer.check("SYNC", "-ERR another client is being sent an RDB file; try again when that has ended");
    writer.check("GET none", "nil");
    drop(first);
    wait_for("the turn of a client that is gone ends", LIMIT, || {
        (first_byte_of_file(&mut node.client()) == b'$').then_some(())
    });
}

#[test]
fn a_client_of_psync_gets_one_file_and_a_replica_is_refused() {
    let node = perdura().start();
    let mut client = node.client();
    client.check("SET key value", "+OK");
    client.check(
        "REPLCONF rdb-filter-only functions",
        "-ERR Perdura sends whole files alone: rdb-filter-only is not supported",
    );
    client.check("REPLCONF never 1", "-ERR Unrecognized REPLCONF option: never");
    client.send_line("PSYNC ? -1");
    let sent = client.read_to_end();
    let text = String::from_utf8_lossy(&sent);
    let (resync, rest) = text.split_once("\r\n").expect("a first line");
    assert!(resync.starts_with("+FULLRESYNC ") && resync.ends_with(" 0"), "{resync}");
    let start = sent.windows(9).position(|some| some == b"REDIS0010").expect("a file");
    let length = rest.trim_start_matches('\n').strip_prefix('$').and_then(|rest| rest.split_once("\r\n"));
    let (length, _) = length.expect("a length before the file");
    assert_eq!(length.parse(), Ok(sent.len() - start));

    let mut replica = node.client();
    replica.check("REPLCONF listening-port 7000 ip-address 127.0.0.1", "+OK");
    replica.check("REPLCONF capa eof capa psync2", "+OK");
    for line in ["SYNC", "PSYNC ? -1"] {
        let refused = replica.run(line).to_string();
        assert!(refused.starts_with("-ERR a Redis replica can't follow Perdura"), "{refused}");
    }
    replica.check("GET key", "value");
}
