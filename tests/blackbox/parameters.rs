//! Parameters: those that a group shares are logged and the same on every node; those of a node are its own.

use std::io::Write;
use std::time::Duration;

use perdura_testkit::clock::wait_for;
use perdura_testkit::{Client, Cluster, Node};

use crate::perdura;

fn get(client: &mut Client, name: &str) -> String {
    let found = client.run(&format!("CONFIG GET {name}"));
    found.items().get(1).map(|value| value.text().to_owned()).unwrap_or_default()
}

fn wait_for_value(node: &Node, name: &str, value: &str) {
    wait_for("the value is here", Duration::from_secs(20), || {
        let mut client = Client::try_connect(node.addr()).ok()?;
        (get(&mut client, name) == value).then_some(())
    });
}

fn checkpoint(client: &mut Client) {
    let started = client.run("BGSAVE").to_string();
    assert!(started.starts_with('+'), "{started}");
    wait_for("the checkpoint is there", Duration::from_secs(20), || {
        client.run("INFO persistence").text().contains("rdb_bgsave_in_progress:0\r\n").then_some(())
    });
}

#[test]
fn group_parameters_survive_kill_and_checkpoint_and_overrule_flags() {
    let mut node = perdura().flag("timeout", 100).start();
    let mut client = node.client();
    assert_eq!(get(&mut client, "timeout"), "100");
    client.check("CONFIG SET maxmemory 1gb hash-max-ziplist-entries 2", "+OK");
    client.check("CONFIG REWRITE", "+OK");
    client.check("FLUSHALL", "+OK");
    client.check("DBSIZE", ":0");
    for is_checkpointed in [false, true] {
        if is_checkpointed {
            checkpoint(&mut client);
        }
        node.kill();
        node.set_flag("timeout", 200);
        node.restart();
        client = node.client();
        assert_eq!(get(&mut client, "maxmemory"), "1073741824");
        assert_eq!(get(&mut client, "hash-max-listpack-entries"), "2");
        assert_eq!(get(&mut client, "timeout"), "100", "the flag counted at the first start");
        client.check("HSET h a 1 b 2 c 3", if is_checkpointed { ":0" } else { ":3" });
        client.check("OBJECT ENCODING h", "hashtable");
    }
    let warnings = node.log().matches("--timeout counts at a group's first start only").count();
    assert_eq!(warnings, 2, "once at each start: {}", node.log());
}

#[test]
fn a_change_holds_on_every_node_and_after_a_failover() {
    let mut cluster = Cluster::start_with(perdura());
    let replica = cluster.replica();
    let mut client = cluster.client(replica);
    client.check("CONFIG SET set-max-intset-entries 1 notify-keyspace-events KEA", "+OK");
    client.check("SADD s 1 2", ":2");
    for node in &cluster.nodes {
        wait_for_value(node, "set-max-intset-entries", "1");
        wait_for_value(node, "notify-keyspace-events", "AKE");
    }
    cluster.agreed_digest();
    let primary = cluster.primary();
    cluster.nodes[primary].kill();
    wait_for("another primary", Duration::from_secs(30), || {
        let mut client = Client::try_connect(cluster.nodes[replica].addr()).ok()?;
        (client.run("SADD t 1 2").to_string() == ":2").then_some(())
    });
    let mut client = cluster.client(replica);
    client.check("OBJECT ENCODING t", "listpack");
    client.check("CONFIG SET timeout 77", "+OK");
    cluster.nodes[primary].restart();
    for node in &cluster.nodes {
        wait_for_value(node, "timeout", "77");
    }
    cluster.agreed_digest();
}

#[test]
fn one_bad_parameter_changes_nothing_and_both_kinds_do_not_mix() {
    let node = perdura().start();
    let mut client = node.client();
    let refused = |argument: &str, reason: &str| {
        format!("-ERR CONFIG SET failed (possibly related to argument '{argument}') - {reason}")
    };
    client.check(
        "CONFIG SET timeout 5 maxmemory lots",
        &refused("maxmemory", "argument must be a memory value"),
    );
    client.check(
        "CONFIG SET timeout 5 set-max-intset-entries x",
        &refused("set-max-intset-entries", "argument couldn't be parsed into an integer"),
    );
    client.check(
        "CONFIG SET timeout 5 nosuch 1",
        "-ERR Unknown option or number of arguments for CONFIG SET - 'nosuch'",
    );
    let mixed = client.run("CONFIG SET timeout 5 tcp-keepalive 5").to_string();
    assert!(mixed.contains("'tcp-keepalive' is this node's and 'timeout' is the group's"), "{mixed}");
    assert_eq!(get(&mut client, "timeout"), "0");
    assert_eq!(get(&mut client, "tcp-keepalive"), "300");
    assert_eq!(client.info_number("perdura_applied_index"), client.info_number("perdura_committed_index"));
}

#[test]
fn config_set_in_a_transaction_takes_effect_with_it() {
    let cluster = Cluster::start_with(perdura());
    for at in [cluster.primary(), cluster.replica()] {
        let mut client = cluster.client(at);
        client.check("MULTI", "+OK");
        client.check("SET k v", "+QUEUED");
        client.check("CONFIG SET slowlog-max-len 7", "+QUEUED");
        client.check("CONFIG SET slowlog-max-len seven", "+QUEUED");
        client.check("CONFIG SET tcp-keepalive 9", "+QUEUED");
        let answers = client.run("EXEC");
        let texts: Vec<String> = answers.items().iter().map(|answer| answer.to_string()).collect();
        assert_eq!((&*texts[0], &*texts[1], &*texts[3]), ("+OK", "+OK", "+OK"), "{texts:?}");
        assert!(texts[2].contains("argument couldn't be parsed into an integer"), "{texts:?}");
        assert_eq!(get(&mut client, "tcp-keepalive"), "9");
        wait_for_value(&cluster.nodes[at], "slowlog-max-len", "7");
        client.check("CONFIG SET slowlog-max-len 128", "+OK");
        client.check("CONFIG SET tcp-keepalive 300", "+OK");
    }
}

/// A member that comes with an empty folder has what its group has, whatever it was started with.
#[test]
fn a_fresh_member_takes_what_the_group_has() {
    let mut cluster = Cluster::start_with(perdura().flag("timeout", 50));
    let (primary, replica) = (cluster.primary(), cluster.replica());
    let mut client = cluster.client(primary);
    client.check("CONFIG SET zset-max-listpack-entries 1 timeout 60", "+OK");
    client.check("ZADD z 1 a 2 b", ":2");
    checkpoint(&mut client);
    cluster.nodes[replica].kill();
    std::fs::remove_dir_all(cluster.nodes[replica].data()).expect("the folder is there");
    cluster.nodes[replica].restart();
    wait_for_value(&cluster.nodes[replica], "zset-max-listpack-entries", "1");
    wait_for_value(&cluster.nodes[replica], "timeout", "60");
    client.check("ZADD y 1 a 2 b", ":2");
    client.check("OBJECT ENCODING y", "skiplist");
    cluster.agreed_digest();
}

/// What OBJECT ENCODING tells under other limits; the encodings are those of Redis and Valkey.
#[test]
fn encodings_follow_the_limits() {
    let node = perdura().start();
    let mut client = node.client();
    for (limits, write, key, encoding) in [
        ("set-max-intset-entries 0", "SADD s0 1", "s0", "listpack"),
        ("set-max-intset-entries 2", "SADD s1 1 2", "s1", "intset"),
        ("set-max-intset-entries 2", "SADD s2 1 2 3", "s2", "listpack"),
        ("set-max-listpack-entries 1", "SADD s3 a b", "s3", "hashtable"),
        ("set-max-listpack-entries 128 set-max-listpack-value 3", "SADD s4 abcd", "s4", "hashtable"),
        ("hash-max-ziplist-entries 1", "HSET h1 a 1 b 2", "h1", "hashtable"),
        ("hash-max-listpack-entries 500 hash-max-listpack-value 4", "HSET h2 a 1234", "h2", "listpack"),
        ("hash-max-listpack-value 4", "HSET h3 a 12345", "h3", "hashtable"),
        ("zset-max-ziplist-entries 0", "ZADD z1 1 a", "z1", "skiplist"),
        ("zset-max-listpack-entries 9 zset-max-ziplist-value 2", "ZADD z2 1 abc", "z2", "skiplist"),
        ("zset-max-listpack-value 3", "ZADD z3 1 abc", "z3", "listpack"),
        ("list-max-listpack-size 3", "RPUSH l1 a b c", "l1", "listpack"),
        ("list-max-ziplist-size 3", "RPUSH l2 a b c d", "l2", "quicklist"),
    ] {
        client.check(&format!("CONFIG SET {limits}"), "+OK");
        let added = client.run(write).to_string();
        assert!(added.starts_with(':'), "{added}");
        assert_eq!(client.run(&format!("OBJECT ENCODING {key}")).text(), encoding, "{limits}: {write}");
    }
    client.check("RPOP l2 3", "[d c b]");
    client.check("OBJECT ENCODING l2", "listpack");
    client.check("CONFIG SET stream-node-max-entries 2 hll-sparse-max-bytes 20", "+OK");
    for _ in 0..5 {
        client.run("XADD x * f v");
    }
    let info = client.run("XINFO STREAM x").to_string();
    assert!(info.contains("radix-tree-keys 3") || info.contains("radix-tree-keys :3"), "{info}");
    client.check("PFADD p a b c d e f g", ":1");
    client.check("PFDEBUG ENCODING p", "+dense");
    client.check("OBJECT ENCODING p", "raw");
    for (value, encoding) in [("12", "int"), ("short", "embstr")] {
        client.check(&format!("SET k {value}"), "+OK");
        client.check("OBJECT ENCODING k", encoding);
    }
}

/// Values keep the encoding that they were made in: whatever was set since, and from a checkpoint, too.
#[test]
fn values_keep_their_encoding_through_changes_and_checkpoints() {
    let mut node = perdura().start();
    let mut client = node.client();
    client.check(
        "CONFIG SET hash-max-listpack-entries 200 list-max-listpack-size -5 set-max-intset-entries 1000",
        "+OK",
    );
    let pairs: String = (0..150).map(|n| format!(" f{n} v")).collect();
    client.check(&format!("HSET h{pairs}"), ":150");
    let numbers: String = (0..700).map(|n| format!(" {n}")).collect();
    client.check(&format!("SADD s{numbers}"), ":700");
    client.check(
        "CONFIG SET hash-max-listpack-entries 1 list-max-listpack-size 1 set-max-intset-entries 1",
        "+OK",
    );
    let digest = |client: &mut Client| client.run("DEBUG DIGEST").to_string();
    let before = digest(&mut client);
    checkpoint(&mut client);
    node.kill();
    node.restart();
    let mut client = node.client();
    assert_eq!(digest(&mut client), before);
    client.check("OBJECT ENCODING h", "listpack");
    client.check("OBJECT ENCODING s", "intset");
    client.check("HSET h new v", ":1");
    client.check("OBJECT ENCODING h", "hashtable");
}

#[test]
fn a_file_may_name_parameters_of_the_group_for_its_first_start() {
    let mut file = tempfile::NamedTempFile::new().expect("a temporary file");
    writeln!(file, "timeout = 33\nhash-max-listpack-entries = 5\nslowlog-max-len = 9").expect("written");
    let node = perdura().flag("config", file.path().display()).start();
    let mut client = node.client();
    for (name, value) in [("timeout", "33"), ("hash-max-listpack-entries", "5"), ("slowlog-max-len", "9")] {
        assert_eq!(get(&mut client, name), value, "before the first write");
    }
    client.check("HSET h a 1 b 2 c 3 d 4 e 5 f 6", ":6");
    client.check("OBJECT ENCODING h", "hashtable");
    assert_eq!(get(&mut client, "hash-max-ziplist-entries"), "5");
}
