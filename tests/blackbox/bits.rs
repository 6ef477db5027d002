//! Bitmaps, HyperLogLogs and geo indexes from outside: what is logged, what memory allows, what travels, what nodes agree on. Answers are compared
//! with redis-server's in `differential.rs`.

use perdura_testkit::{Client, Cluster};

use crate::dump::Redis;
use crate::perdura;

fn fill(client: &mut Client) {
    client.check("SETBIT {t}bits 100 1", ":0");
    client.check("BITFIELD {t}bits SET i8 0 -5 INCRBY u4 40 3", "[:0 :3]");
    client.check("BITOP NOT {t}other {t}bits", ":13");
    client.check("PFADD {t}log a b c", ":1");
    client.check("PFMERGE {t}merged {t}log", "+OK");
    client.check("GEOADD {t}geo 13.361389 38.115556 Palermo 15.087269 37.502669 Catania", ":2");
    client.check("GEOSEARCHSTORE {t}near {t}geo FROMLONLAT 15 37 BYRADIUS 200 km STOREDIST", ":2");
    client.check("GEORADIUS {t}geo 15 37 100 km STORE {t}stored", ":1");
}

fn last_index(client: &mut Client) -> i64 {
    client.run("PERDURA LOG STATUS").field("last_index").integer()
}

#[test]
fn what_only_reads_is_not_logged() {
    let node = perdura().start();
    let mut client = node.client();
    fill(&mut client);
    let before = last_index(&mut client);
    for (line, answer) in [
        ("GETBIT {t}bits 100", ":1"),
        ("BITCOUNT {t}bits", ":10"),
        ("BITPOS {t}bits 1 1 -1", ":42"),
        ("BITFIELD {t}bits GET i8 0 OVERFLOW SAT GET u4 40", "[:-5 :3]"),
        ("BITFIELD_RO {t}bits GET i8 0", "[:-5]"),
        ("PFCOUNT {t}log", ":3"),
        ("PFCOUNT {t}log {t}merged", ":3"),
        ("PFDEBUG ENCODING {t}log", "+sparse"),
        ("PFSELFTEST", "+OK"),
        ("GEODIST {t}geo Palermo Catania", "166274.1516"),
        ("GEOSEARCH {t}geo FROMMEMBER Catania BYRADIUS 10 m", "[Catania]"),
        ("GEORADIUS {t}geo 15 37 100 km WITHDIST", "[[Catania 56.4413]]"),
        ("GEORADIUSBYMEMBER {t}geo Palermo 1 km", "[Palermo]"),
    ] {
        client.check(line, answer);
    }
    assert_eq!(last_index(&mut client), before);
}

#[test]
fn a_bitmap_that_memory_has_no_room_for_is_refused() {
    let node = perdura().start();
    let mut client = node.client();
    client.check("CONFIG SET maxmemory 100000000", "+OK");
    for line in [
        "SETBIT k 4294967295 1",
        "BITFIELD k SET u8 4294967288 1",
        "BITFIELD k GET u8 0 INCRBY u1 4294967295 1",
    ] {
        let refused = client.run(line).to_string();
        assert!(refused.starts_with("-OOM"), "{line}: {refused}");
    }
    client.check("EXISTS k", ":0");
    client.check("SETBIT k 8000000 1", ":0");
    client.check("BITOP NOT d k", ":1000001");
}

/// The elements are those of one set, added here and there.
fn add(client: &mut Client, key: &str, from: usize, to: usize) {
    let elements: Vec<String> = (from..to).map(|number| format!("e{number}")).collect();
    let reply = client.run(&format!("PFADD {key} {}", elements.join(" "))).to_string();
    assert_eq!(reply, ":1");
}

#[test]
fn hyperloglogs_travel_to_redis_and_back() {
    let (redis, node) = (Redis::start(&[]), perdura().start());
    let (mut there, mut here) = (redis.client(), node.client());
    for count in [10, 500, 5_000] {
        let (key, moved) = (format!("h{count}"), format!("m{count}"));
        add(&mut here, &key, 0, count);
        add(&mut there, &key, 0, count);
        let [ours, theirs] = [&mut here, &mut there].map(|client| client.call(&[b"GET", key.as_bytes()]));
        assert_eq!(ours, theirs, "{count}");
        let payload = here.call(&[b"DUMP", key.as_bytes()]);
        assert_eq!(there.call(&[b"RESTORE", moved.as_bytes(), b"0", payload.bytes()]).to_string(), "+OK");
        let payload = there.call(&[b"DUMP", moved.as_bytes()]);
        assert_eq!(here.call(&[b"RESTORE", moved.as_bytes(), b"0", payload.bytes()]).to_string(), "+OK");
        [&mut here, &mut there].into_iter().for_each(|client| add(client, &moved, count, 2 * count));
        let estimate = there.run(&format!("PFCOUNT {moved}")).to_string();
        here.check(&format!("PFCOUNT {moved}"), &estimate);
    }
}

#[test]
fn three_nodes_agree_and_a_replica_answers() {
    let cluster = Cluster::start_with(perdura());
    let mut client = cluster.client(cluster.replica());
    fill(&mut client);
    client.check("PFDEBUG TODENSE {t}log", ":1");
    let distances = client.run("ZRANGE {t}near 0 -1 WITHSCORES").to_string();
    cluster.agreed_digest();
    client.check("READONLY", "+OK");
    client.check("ZRANGE {t}near 0 -1 WITHSCORES", &distances);
    client.check("PFCOUNT {t}log {t}merged", ":3");
    client.check("GETBIT {t}bits 100", ":1");
}
