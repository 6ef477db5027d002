//! Keys leave where the data has reached `maxmemory`: each policy, all nodes alike, after a restart too. Buffers are no data.

use std::time::Duration;

use perdura_testkit::client::encode;
use perdura_testkit::clock::wait_for;
use perdura_testkit::{Client, Cluster};

use crate::perdura;

const OOM: &str = "-OOM command not allowed when used memory > 'maxmemory'.";
const MIB: u64 = 1 << 20;
const VALUE_BYTES: usize = 1000;
/// Keys that one batch writes.
const BATCH: usize = 200;

/// Bytes of data, and what belongs to no buffer.
fn data(client: &mut Client) -> u64 {
    client.info_number("used_memory").saturating_sub(client.info_number("mem_not_counted_for_evict"))
}

/// Limits the data to so many bytes more than there are, by this policy. Returns the limit.
fn limit(client: &mut Client, policy: &str, more: u64) -> u64 {
    let maxmemory = data(client) + more;
    client.check(&format!("CONFIG SET maxmemory {maxmemory} maxmemory-policy {policy}"), "+OK");
    maxmemory
}

/// Writes keys in batches; `option` is SET's. Every answer is OK.
fn fill(client: &mut Client, name: &str, keys: usize, option: &[&[u8]]) {
    let value = vec![b'v'; VALUE_BYTES];
    for first in (0..keys).step_by(BATCH) {
        let mut bytes = Vec::new();
        for number in first..first + BATCH {
            let key = format!("{name}:{number}");
            let args = [&[&b"SET"[..], key.as_bytes(), &value][..], option].concat();
            bytes.extend(encode(&args));
        }
        client.send_bytes(&bytes);
        (0..BATCH).for_each(|_| client.expect("+OK"));
    }
}

fn count(client: &mut Client, name: &str, keys: usize) -> i64 {
    let names: Vec<String> = (0..keys).map(|number| format!("{name}:{number}")).collect();
    let args: Vec<&[u8]> =
        std::iter::once(&b"EXISTS"[..]).chain(names.iter().map(String::as_bytes)).collect();
    client.call(&args).integer()
}

#[test]
fn each_policy_keeps_the_data_within_its_limit_and_takes_every_write() {
    let node = perdura().start();
    let mut client = node.client();
    client.set_limit(Duration::from_secs(60));
    let at_first = data(&mut client);
    for policy in [
        "allkeys-random",
        "allkeys-lru",
        "allkeys-lfu",
        "volatile-random",
        "volatile-ttl",
        "volatile-lru",
        "volatile-lfu",
    ] {
        client.check("FLUSHALL", "+OK");
        // A thread frees what was flushed.
        wait_for("flushed data is freed", Duration::from_secs(60), || {
            (data(&mut client) < at_first + 2 * MIB).then_some(())
        });
        let is_volatile = policy.starts_with("volatile");
        let maxmemory = limit(&mut client, policy, 6 * MIB);
        let evicted = client.info_number("evicted_keys");
        if is_volatile {
            fill(&mut client, "permanent", 1000, &[]);
        }
        let option: &[&[u8]] = if is_volatile { &[b"EX", b"1000"] } else { &[] };
        fill(&mut client, "key", 12_000, option);
        let data = data(&mut client);
        assert!(data <= maxmemory + maxmemory / 20, "{policy}: {data} bytes of {maxmemory}");
        assert!(client.info_number("evicted_keys") - evicted > 3000, "{policy}");
        assert_eq!(client.info("maxmemory_policy").as_deref(), Some(policy));
        if is_volatile {
            assert_eq!(count(&mut client, "permanent", 1000), 1000, "{policy}");
        }
        assert!(count(&mut client, "key", 12_000) > 2000, "{policy}");
    }
    client.check("CONFIG SET maxmemory-policy noeviction maxmemory 1mb", "+OK");
    client.check("SET key:0 x", OOM);
}

#[test]
fn keys_that_are_read_stay_where_the_least_recently_used_go() {
    let node = perdura().start();
    let mut client = node.client();
    client.set_limit(Duration::from_secs(60));
    fill(&mut client, "hot", 400, &[]);
    fill(&mut client, "cold", 2000, &[]);
    limit(&mut client, "allkeys-lru", 5 * MIB);
    wait_for("two seconds to pass", Duration::from_secs(30), || {
        (client.run("OBJECT IDLETIME cold:7").integer() >= 2).then_some(())
    });
    client.check("CLIENT NO-TOUCH ON", "+OK");
    client.check("STRLEN cold:7", ":1000");
    assert!(client.run("OBJECT IDLETIME cold:7").integer() >= 2);
    client.check("CLIENT NO-TOUCH OFF", "+OK");
    (0..400).for_each(|number| client.check(&format!("STRLEN hot:{number}"), ":1000"));
    let idle = |client: &mut Client, key: &str| client.run(&format!("OBJECT IDLETIME {key}")).integer();
    assert!(idle(&mut client, "hot:7") < idle(&mut client, "cold:7"));
    fill(&mut client, "new", 6000, &[]);
    let (hot, cold) = (count(&mut client, "hot", 400), count(&mut client, "cold", 2000));
    // Victims are the best of samples: a few that were read may be among them; picked blindly, some 150 would be.
    assert!(hot >= 380, "{hot} of 400 that were read");
    assert!(cold < 1500, "{cold} of 2000 that were not");
}

#[test]
fn frequencies_are_told_and_idle_times_are_not_where_the_least_frequently_used_go() {
    let node = perdura().flag("maxmemory-policy", "allkeys-lfu").flag("lfu-log-factor", 0).start();
    let mut client = node.client();
    client.check("SET k v", "+OK");
    (0..10).for_each(|_| client.check("GET k", "v"));
    let frequency = client.run("OBJECT FREQ k").integer();
    assert!((14..=15).contains(&frequency), "{frequency}");
    client.check("OBJECT IDLETIME k", "-ERR An LFU maxmemory policy is selected, idle time not tracked. Please note that when switching between policies at runtime LRU and LFU data will take some time to adjust.");
    client.check("CONFIG SET lfu-log-factor 10 lfu-decay-time 2", "+OK");
    client.check("CONFIG GET lfu-*", "[lfu-decay-time 2 lfu-log-factor 10]");
    let refused = client.run("CONFIG SET maxmemory-policy lru").to_string();
    assert!(
        refused.contains("argument(s) must be one of the following: volatile-lru, volatile-lfu,"),
        "{refused}"
    );
    assert_eq!(client.run("CONFIG GET maxmemory-policy").items()[1].text(), "allkeys-lfu");
}

#[test]
fn all_nodes_evict_the_same_keys_also_in_a_replay() {
    let mut cluster =
        Cluster::start_with(perdura().flag("maxmemory", "48mb").flag("maxmemory-policy", "allkeys-lru"));
    let primary = cluster.primary();
    let mut client = cluster.client(primary);
    client.set_limit(Duration::from_secs(60));
    limit(&mut client, "allkeys-lru", 4 * MIB);
    let mut replica = cluster.client(cluster.replica());
    replica.set_limit(Duration::from_secs(60));
    fill(&mut client, "key", 6000, &[]);
    fill(&mut replica, "other", 3000, &[b"EX", b"1000"]);
    assert!(client.info_number("evicted_keys") > 3000);
    client.check("CONFIG SET maxmemory 0", "+OK");
    let digest = cluster.agreed_digest();
    let at = cluster.replica();
    cluster.nodes[at].kill();
    cluster.nodes[at].restart();
    assert_eq!(cluster.agreed_digest(), digest);
}

#[test]
fn replies_that_nobody_reads_evict_nothing() {
    let node = perdura().start();
    let mut client = node.client();
    client.set_limit(Duration::from_secs(60));
    client.check(&format!("SETRANGE large {} x", 8 * MIB - 1), &format!(":{}", 8 * MIB));
    fill(&mut client, "key", 2000, &[]);
    let maxmemory = limit(&mut client, "allkeys-lru", 8 * MIB);
    let mut readers: Vec<Client> = (0..8).map(|_| node.client()).collect();
    readers.iter_mut().for_each(|reader| reader.send_line("GET large"));
    wait_for("replies that are not read", Duration::from_secs(60), || {
        (client.info_number("mem_clients_normal") > 40 * MIB).then_some(())
    });
    assert!(client.info_number("used_memory") > maxmemory);
    fill(&mut client, "more", 1000, &[]);
    assert_eq!(client.info_number("evicted_keys"), 0);
    for reader in &mut readers {
        reader.set_limit(Duration::from_secs(60));
        assert_eq!(reader.read().bytes().len() as u64, 8 * MIB);
    }
}

#[test]
fn the_largest_clients_are_closed_where_their_buffers_take_too_much() {
    let node = perdura().start();
    let mut client = node.client();
    client.check(&format!("SETRANGE large {} x", 16 * MIB - 1), &format!(":{}", 16 * MIB));
    let (mut small, mut large, mut kept) = (node.client(), node.client(), node.client());
    kept.check("CLIENT NO-EVICT ON", "+OK");
    for reader in [&mut large, &mut kept] {
        reader.send_line("GET large");
    }
    wait_for("replies that are not read", Duration::from_secs(60), || {
        (client.info_number("mem_clients_normal") > 20 * MIB).then_some(())
    });
    client.check("CONFIG SET maxmemory-clients 101%", "-ERR CONFIG SET failed (possibly related to argument 'maxmemory-clients') - percentage argument must be less or equal to 100");
    client.check("CONFIG SET maxmemory-clients 1mb", "+OK");
    wait_for("a client is closed", Duration::from_secs(60), || {
        (client.info_number("evicted_clients") == 1).then_some(())
    });
    small.check("PING", "+PONG");
    kept.set_limit(Duration::from_secs(60));
    assert_eq!(kept.read().bytes().len() as u64, 16 * MIB);
    assert!((large.read_to_end().len() as u64) < 16 * MIB);
}

#[test]
fn a_database_that_was_flushed_takes_no_room_from_the_next_writes() {
    let node = perdura().start();
    let mut client = node.client();
    client.set_limit(Duration::from_secs(60));
    fill(&mut client, "key", 20_000, &[]);
    for policy in ["noeviction", "allkeys-lru"] {
        limit(&mut client, policy, MIB);
        let evicted = client.info_number("evicted_keys");
        for _ in 0..5 {
            client.check("FLUSHALL", "+OK");
            fill(&mut client, "key", 10_000, &[]);
        }
        assert_eq!(client.info_number("evicted_keys"), evicted, "{policy}");
        assert_eq!(count(&mut client, "key", 10_000), 10_000);
        client.check("CONFIG SET maxmemory 0", "+OK");
        fill(&mut client, "key", 20_000, &[]);
    }
}

#[test]
fn subscribers_are_told_of_evicted_keys() {
    let node = perdura().flag("notify-keyspace-events", "Ee").start();
    let (mut client, mut listener) = (node.client(), node.client());
    listener.send_line("SUBSCRIBE __keyevent@0__:evicted");
    listener.read();
    // A process that has just started takes more than this with its first writes: buffers, thread caches, frames of tables. None is data.
    limit(&mut client, "allkeys-random", MIB);
    fill(&mut client, "key", 6000, &[]);
    let keys = client.run("DBSIZE").integer();
    assert!((500..1400).contains(&keys), "{keys} of 1 KB in 1 MiB");
    let told = listener.read();
    assert!(told.items()[2].text().starts_with("key:"), "{told}");
}

#[test]
fn scripts_and_transactions_find_room() {
    let node = perdura().start();
    let mut client = node.client();
    client.set_limit(Duration::from_secs(60));
    limit(&mut client, "allkeys-lru", 4 * MIB);
    fill(&mut client, "key", 6000, &[]);
    let script =
        "for i = 1, 100 do redis.call('set', 'script:' .. i, string.rep('x', 1000)) end return 'done'";
    for _ in 0..20 {
        assert_eq!(client.call(&[b"EVAL", script.as_bytes(), b"0"]).text(), "done");
        client.check("MULTI", "+OK");
        client.check(&format!("SET a {}", "x".repeat(10_000)), "+QUEUED");
        client.check("RPUSH l 1 2 3", "+QUEUED");
        assert_eq!(client.run("EXEC").items()[0].to_string(), "+OK");
        client.check("DEL l", ":1");
    }
}
