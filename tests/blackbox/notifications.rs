//! Keyspace notifications: what subscribers of a node are told of changes of keys, beside what redis-server tells.

use std::time::Duration;

use perdura_testkit::clock::wait_for;
use perdura_testkit::{Client, Cluster};

use crate::dump::Redis;
use crate::perdura;

/// Lines whose events are those of Redis 7.0.
const LINES: &[&str] = &[
    "SET a 1",
    "SET a 1 EX 100",
    "SET a 1 NX",
    "SETEX a 100 1",
    "GETEX a PERSIST",
    "GETEX a EX 100",
    "APPEND a x",
    "SETRANGE r 3 x",
    "INCR n",
    "DECRBY n 3",
    "INCRBYFLOAT n 1.5",
    "MSET a 1 b 2",
    "MSETNX a 1 q 2",
    "GETSET a 2",
    "GETDEL b",
    "SETBIT bits 7 1",
    "BITFIELD bits SET u8 0 3 SET u8 8 3",
    "BITOP NOT d bits",
    "BITOP NOT d none",
    "PFADD h x",
    "PFMERGE h2 h",
    "DEL a none n",
    "EXPIRE h 100",
    "PERSIST h",
    "EXPIRE h -1",
    "RENAME h2 h3",
    "RENAMENX h3 h4",
    "COPY h4 h5",
    "MOVE h5 1",
    "RPUSH l a b c a",
    "LPUSHX none a",
    "LINSERT l BEFORE b x",
    "LSET l 0 y",
    "LREM l 0 a",
    "LPOP l",
    "LMOVE l l2 RIGHT LEFT",
    "RPOPLPUSH l2 l3",
    "RPOPLPUSH l3 l3",
    "LMPOP 1 l RIGHT",
    "BLPOP l3 0",
    "LTRIM l 5 9",
    "SADD s a b c",
    "SMOVE s s2 a",
    "SREM s b",
    "SPOP s",
    "SUNIONSTORE s3 s2",
    "SINTERSTORE s3 s2 none",
    "SPOP s2 9",
    "HSET hash a 1 b 2 c 3",
    "HSETNX hash d 1",
    "HINCRBY hash a 1",
    "HINCRBYFLOAT hash a 1",
    "HDEL hash a b c d",
    "ZADD z 1 a 2 b 3 c 4 d",
    "ZADD z INCR 1 a",
    "ZINCRBY z 1 a",
    "ZPOPMIN z",
    "ZMPOP 1 z MAX",
    "ZADD z 1 a",
    "ZREM z a",
    "ZRANGESTORE z2 z 0 -1",
    "ZUNIONSTORE z3 1 z",
    "BZPOPMAX z2 0",
    "ZREMRANGEBYRANK z 0 -1",
    "GEOADD g 1 1 a",
    "GEOSEARCHSTORE g2 g FROMMEMBER a BYRADIUS 1 m",
    "GEORADIUS g 1 1 1 km STORE g3",
    "RPUSH l 2 1",
    "SORT l STORE l2",
    "XADD x 1-1 f v",
    "XADD x MAXLEN 1 2-1 f v",
    "XGROUP CREATE x g 0",
    "XGROUP CREATE x2 g $ MKSTREAM",
    "XGROUP SETID x g 0",
    "XGROUP CREATECONSUMER x g c",
    "XREADGROUP GROUP g c STREAMS x >",
    "XACK x g 2-1",
    "XGROUP DELCONSUMER x g c",
    "XGROUP DESTROY x g",
    "XDEL x 2-1",
    "XSETID x 9-9",
];

/// What subscribers are told until the fence's own event.
fn told(subscriber: &mut Client, client: &mut Client) -> Vec<String> {
    client.check("SET fence x", "+OK");
    let mut messages = Vec::new();
    loop {
        let message = subscriber.read().to_string();
        if message.contains("__keyevent@0__:set' fence") {
            return messages;
        }
        if !message.contains("fence") {
            messages.push(message);
        }
    }
}

#[test]
fn events_are_those_of_redis() {
    let (redis, node) = (Redis::start(&[]), perdura().start());
    let (mut theirs, mut ours) = (redis.client(), node.client());
    let (mut their_events, mut our_events) = (redis.client(), node.client());
    for client in [&mut theirs, &mut ours] {
        client.check("CONFIG SET notify-keyspace-events KEA", "+OK");
        client.check("CONFIG GET notify-keyspace-events", "[notify-keyspace-events AKE]");
    }
    for subscriber in [&mut their_events, &mut our_events] {
        subscriber.check("PSUBSCRIBE __key*__:*", "[psubscribe '__key*__:*' :1]");
    }
    for line in LINES {
        let (their, our) = (theirs.run(line), ours.run(line));
        assert!(!their.is_error() && !our.is_error(), "{line}: {their}, {our}");
        let expected = told(&mut their_events, &mut theirs);
        assert_eq!(told(&mut our_events, &mut ours), expected, "{line}");
    }
}

#[test]
fn a_death_is_told_once_it_is_logged() {
    let node = perdura().flag("notify-keyspace-events", "Exn").start();
    let (mut client, mut subscriber) = (node.client(), node.client());
    subscriber.check("PSUBSCRIBE *", "[psubscribe '*' :1]");
    client.check("SET k v PX 20", "+OK");
    subscriber.expect("[pmessage '*' '__keyevent@0__:new' k]");
    subscriber.expect("[pmessage '*' '__keyevent@0__:expired' k]");
    client.check("CONFIG SET notify-keyspace-events Kq", "-ERR CONFIG SET failed (possibly related to argument 'notify-keyspace-events') - Invalid event class character. Use 'Ag$lshzxeKEtmdn'.");
    client.check("CONFIG GET notify-keyspace-events", "[notify-keyspace-events xnE]");
}

/// Each node tells its own subscribers, of what any node was sent.
#[test]
fn a_replica_tells_its_own_subscribers() {
    let cluster = Cluster::start_with(perdura());
    let (primary, replica) = (cluster.primary(), cluster.replica());
    let mut writer = cluster.client(primary);
    let (mut there, mut here) = (cluster.client(replica), cluster.client(primary));
    cluster.client(replica).check("CONFIG SET notify-keyspace-events K$l", "+OK");
    wait_for("the change is here", Duration::from_secs(10), || {
        let shown = there.run("CONFIG GET notify-keyspace-events").to_string();
        shown.contains("$lK").then_some(())
    });
    there.check("PSUBSCRIBE *", "[psubscribe '*' :1]");
    here.check("SUBSCRIBE __keyspace@2__:k", "[subscribe '__keyspace@2__:k' :1]");
    writer.check("SELECT 2", "+OK");
    writer.check("HSET h f v", ":1");
    writer.check("MULTI", "+OK");
    writer.check("SET k v", "+QUEUED");
    writer.check("RPUSH l a b", "+QUEUED");
    writer.check("EXEC", "[+OK :2]");
    there.expect("[pmessage '*' '__keyspace@2__:k' set]");
    there.expect("[pmessage '*' '__keyspace@2__:l' rpush]");
    here.expect("[message '__keyspace@2__:k' set]");
    writer.check("PUBLISH __keyspace@2__:k fence", ":2");
    here.expect("[message '__keyspace@2__:k' fence]");
}
