//! Parameters: those that a group shares are logged and the same on every node; those of a node are its own.

use std::io::Write;
use std::time::Duration;

use perdura_testkit::clock::wait_for;
use perdura_testkit::{Client, Cluster, Node};

use crate::dump::{Redis, has_reference};
use crate::perdura;

fn get(client: &mut Client, name: &str) -> String {
    let found = client.run(&format!("CONFIG GET {name}"));
    if found.is_error() {
        return String::new();
    }
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
fn a_replica_tells_its_client_what_it_has_changed() {
    let cluster = Cluster::start_with(perdura());
    let mut client = cluster.client(cluster.replica());
    for round in 0..50 {
        client.check(&format!("CONFIG SET hash-max-listpack-entries {}", 100 + round), "+OK");
        assert_eq!(get(&mut client, "hash-max-listpack-entries"), (100 + round).to_string());
        client.check(&format!("ACL SETUSER u{round} on >p{round} +@all ~*"), "+OK");
        assert!(!client.run(&format!("ACL GETUSER u{round}")).items().is_empty(), "round {round}");
        client.check(&format!("AUTH u{round} p{round}"), "+OK");
        let library =
            format!("#!lua name=l{round}\nredis.register_function('f{round}', function() return 1 end)");
        client.call(&[b"FUNCTION", b"LOAD", library.as_bytes()]);
        let listed = client.run(&format!("FUNCTION LIST LIBRARYNAME l{round}"));
        assert_eq!(listed.items().len(), 1, "round {round}: {listed:?}");
        client.check("MULTI", "+OK");
        client.check("CONFIG SET set-max-intset-entries 7", "+QUEUED");
        client.check(&format!("CONFIG SET set-max-intset-entries {}", 200 + round), "+QUEUED");
        client.run("EXEC");
        assert_eq!(get(&mut client, "set-max-intset-entries"), (200 + round).to_string());
        client.check("AUTH default x", "+OK");
    }
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

/// Where redis-server 7.0 has the limit and the encoding, both answer alike.
#[test]
fn encodings_are_those_of_redis() {
    if !has_reference() {
        return;
    }
    let (node, redis) = (perdura().start(), Redis::start(&[]));
    let mut both = [node.client(), redis.client()];
    let mut compared = 0;
    for (number, limit) in [0, 1, 2, 3, 64].into_iter().enumerate() {
        for client in &mut both {
            for name in ["hash-max-listpack-entries", "hash-max-ziplist-value", "zset-max-ziplist-entries"] {
                client.check(&format!("CONFIG SET {name} {limit}"), "+OK");
            }
            client.check(
                &format!("CONFIG SET zset-max-listpack-value {limit} hll-sparse-max-bytes {}", limit * 40),
                "+OK",
            );
        }
        for (nth, write) in [
            "HSET % a 1",
            "HSET % a 1 b 22",
            "HSET % a 1 b 22 c 333",
            "HSET % a 1 b 4444",
            "HINCRBY % a 1234",
            "HSETNX % abcd 1",
            "ZADD % 1 a",
            "ZADD % 1 a 2 b",
            "ZADD % 1 a 2 b 3 c 4 d",
            "ZADD % 1 aaaa",
            "ZINCRBY % 1 aaa",
            "GEOADD % 1 1 aaa",
            "SADD % 1 2 3",
            "SET % 1234567890123456789",
            "SET % 12345678901234567890",
            "SETEX % 100 aaaa",
            "GETSET % 7",
        ]
        .into_iter()
        .enumerate()
        {
            let key = format!("k{number}:{nth}");
            let told = both.each_mut().map(|client| {
                client.run(&write.replace('%', &key));
                client.run(&format!("OBJECT ENCODING {key}")).to_string()
            });
            assert_eq!(told[0], told[1], "{write} under {limit}");
            compared += 1;
        }
        let sparse = both.each_mut().map(|client| {
            client.run(&format!("PFADD hll{number} a b c d e f g h i j k l m n"));
            client.run(&format!("PFDEBUG ENCODING hll{number}")).to_string()
        });
        assert_eq!(sparse[0], sparse[1], "hll-sparse-max-bytes {}", limit * 40);
    }
    assert_eq!(compared, 85);
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

/// redis.conf is read as Redis reads it; what means nothing here is named once.
#[test]
fn a_redis_conf_is_read() {
    let mut file = tempfile::NamedTempFile::new().expect("a temporary file");
    let text = "\
        # As Debian ships it, shortened.\n\
        bind 127.0.0.1 -::1\n\
        tcp-backlog 511\n\
        timeout 44\n\
        loglevel notice\n\
        save 900 1\n\
        save 300 10\n\
        appendonly yes\n\
        appendfsync everysec\n\
        hash-max-ziplist-entries 3\n\
        client-output-buffer-limit replica 256mb 64mb 60\n\
        client-output-buffer-limit pubsub 16mb 8mb 60\n\
        user bob on >\"p w\" ~app:* +@read\n";
    file.write_all(text.replace(">\"p w\"", "\">p w\"").as_bytes()).expect("written");
    let node = perdura().flag("config", file.path().display()).start();
    let mut client = node.client();
    for (name, value) in [
        ("timeout", "44"),
        ("hash-max-listpack-entries", "3"),
        ("client-output-buffer-limit", "normal 1073741824 268435456 60 pubsub 16777216 8388608 60"),
    ] {
        assert_eq!(get(&mut client, name), value);
    }
    client.check("SET app:k v", "+OK");
    let mut bob = node.client();
    assert_eq!(bob.call(&[b"AUTH", b"bob", b"p w"]).to_string(), "+OK");
    bob.check("GET app:k", "v");
    bob.check("GET other", "-NOPERM No permissions to access a key");
    let log = node.log();
    for (name, times) in [
        ("'tcp-backlog' means nothing here", 1),
        ("'save' is always '' here", 1),
        ("'appendfsync' is always 'always' here", 1),
        ("'client-output-buffer-limit replica'", 1),
        ("appendonly", 0),
    ] {
        assert_eq!(log.matches(name).count(), times, "{name}: {log}");
    }
}

#[test]
fn a_file_of_users_counts_at_the_first_start() {
    let mut file = tempfile::NamedTempFile::new().expect("a temporary file");
    writeln!(file, "# teams\nuser alice on >one ~* +@all\nuser carol off ~x +get").expect("written");
    let mut node = perdura().flag("users-file", file.path().display()).start();
    let mut client = node.client();
    client.check("SET k v", "+OK");
    let users = client.run("ACL LIST").to_string();
    assert!(users.contains("user alice on") && users.contains("user carol off"), "{users}");
    client.check("ACL DELUSER carol", ":1");
    node.kill();
    std::fs::write(file.path(), "user mallory on nopass ~* +@all\n").expect("written");
    node.restart();
    let users = node.client().run("ACL LIST").to_string();
    assert!(users.contains("alice") && !users.contains("carol") && !users.contains("mallory"), "{users}");
    std::fs::write(file.path(), "user alice on +nosuch\n").expect("written");
    node.kill();
    node.spawn();
    assert!(!node.wait_for_exit().success());
    assert!(node.log().contains("user alice: ERR Error in ACL SETUSER modifier '+nosuch'"), "{}", node.log());
}

#[test]
fn what_is_slow_or_large_is_told_by_latency_and_commandlog() {
    let node = perdura().start();
    let mut client = node.client();
    client.check("CONFIG SET latency-monitor-threshold 1 commandlog-request-larger-than 1000", "+OK");
    client.check("CONFIG SET commandlog-reply-larger-than 2000 slowlog-log-slower-than 0", "+OK");
    let long = "x".repeat(3000);
    client.check(&format!("SET k {long}"), "+OK");
    client.check("GET k", &long);
    client.check("GETDEL k", &long);
    client.check("COMMANDLOG LEN large-request", ":1");
    let request = client.run("COMMANDLOG GET -1 large-request");
    assert_eq!(request.items()[0].items()[2].integer(), 3000 + 29);
    let mut replies = Vec::new();
    wait_for("both replies", Duration::from_secs(5), || {
        replies = client.run("COMMANDLOG GET -1 large-reply").items().to_vec();
        (replies.len() == 2).then_some(())
    });
    assert!(replies.iter().all(|one| one.items()[2].integer() == 3009), "{replies:?}");
    client.check("COMMANDLOG RESET large-request", "+OK");
    client.check("COMMANDLOG LEN large-request", ":0");
    // Ten thousand members are read one by one.
    let members: String = (0..50_000).map(|n| format!(" {n}:{n}")).collect();
    client.run(&format!("SADD s{members}"));
    client.run(&format!("SADD t{members}"));
    wait_for("a spike", Duration::from_secs(20), || {
        client.run("SUNIONSTORE u s t");
        let latest = client.run("LATENCY LATEST").to_string();
        latest.contains("command").then_some(())
    });
    let history = client.run("LATENCY HISTORY command");
    assert!(history.items()[0].items()[1].integer() >= 1, "{history}");
    assert!(client.run("LATENCY GRAPH command").text().starts_with("command - high "));
    assert!(client.run("LATENCY RESET").integer() >= 1);
}

#[test]
fn what_tools_ask_for_is_answered() {
    let node = perdura().start();
    let mut client = node.client();
    let started = client.run("LASTSAVE").integer();
    assert!(started > 1_600_000_000, "{started}");
    assert!(get(&mut client, "dir").starts_with('/'));
    for name in ["save", "appendonly", "lua-time-limit", "io-threads", "repl-backlog-size", "dbfilename"] {
        let value = get(&mut client, name);
        let answer = client.call(&[b"CONFIG", b"SET", name.as_bytes(), value.as_bytes()]).to_string();
        assert!(answer == "+OK" || answer.contains("can't set immutable config"), "{name}: {answer}");
    }
    let refused = client.run("CONFIG SET appendonly no").to_string();
    assert!(refused.contains("the log is the database"), "{refused}");
    client.check("SET brief v PX 1", "+OK");
    wait_for("a key has died", Duration::from_secs(20), || {
        (client.run("GET brief").to_string() == "nil" && client.info_number("expired_keys") > 0).then_some(())
    });
    client.check("CONFIG RESETSTAT", "+OK");
    for counter in ["expired_keys", "total_connections_received"] {
        assert_eq!(client.info_number(counter), 0, "{counter}");
    }
    let info = client.run("INFO everything").text().to_owned();
    for field in [
        "aof_last_bgrewrite_status:",
        "used_cpu_sys_main_thread:",
        "allocator_frag_ratio:",
        "repl_backlog_size:",
    ] {
        assert!(info.contains(&format!("\r\n{field}")), "{field}: {info}");
    }
}

/// Command lines make hints of COMMAND DOCS: arguments are told as Redis tells them.
#[test]
fn arguments_of_commands_are_those_of_redis() {
    if !has_reference() {
        return;
    }
    let (node, redis) = (perdura().start(), Redis::start(&[]));
    let (mut client, mut other) = (node.client(), redis.client());
    for name in ["get", "set", "xadd", "zrange", "georadius", "sort", "config|set", "client|kill", "migrate"]
    {
        let told = |client: &mut Client| {
            let docs = client.run(&format!("COMMAND DOCS {name}"));
            let fields = docs.items()[1].items().to_vec();
            let at =
                fields.iter().position(|field| field.to_string() == "arguments").expect("it has arguments");
            fields[at + 1].to_string()
        };
        assert_eq!(told(&mut client), told(&mut other), "{name}");
    }
}
