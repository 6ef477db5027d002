//! Keys that move to another server: Perdura, Redis, or one that behaves badly.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use perdura_testkit::{Client, Cluster, free_port};

use crate::dump::Redis;
use crate::perdura;

/// `MIGRATE` to an address, `{}` of the line standing for host and port.
fn migrate(client: &mut Client, target: SocketAddr, line: &str) -> String {
    let place = format!("{} {}", target.ip(), target.port());
    client.run(&line.replace("{}", &place)).to_string()
}

#[test]
fn a_key_moves_with_its_deadline_and_is_then_gone_here() {
    let (here, there) = (perdura().start(), perdura().start());
    let (mut from, mut to) = (here.client(), there.client());
    from.check("SET k v PX 100000", "+OK");
    assert_eq!(migrate(&mut from, there.addr(), "MIGRATE {} k 0 5000"), "+OK");
    from.check("EXISTS k", ":0");
    to.check("GET k", "v");
    assert!((1..=100_000).contains(&to.run("PTTL k").integer()));
    assert_eq!(migrate(&mut from, there.addr(), "MIGRATE {} k 0 5000"), "+NOKEY");
}

#[test]
fn many_keys_move_to_redis_behind_a_password_and_back() {
    let redis = Redis::start(&["--requirepass", "secret"]);
    let node = perdura().flag("requirepass", "word").start();
    let (mut here, mut there) = (node.client(), redis.client());
    here.check("AUTH word", "+OK");
    there.check("AUTH secret", "+OK");
    here.check("RPUSH l a b", ":2");
    here.check("ZADD z 1 a", ":1");
    let moved = migrate(&mut here, redis.addr, "MIGRATE {} '' 3 5000 AUTH secret KEYS l none z");
    assert_eq!(moved, "+OK");
    here.check("EXISTS l z", ":0");
    there.check("SELECT 3", "+OK");
    there.check("LRANGE l 0 -1", "[a b]");
    there.check("ZSCORE z a", "1");
    let moved = migrate(&mut there, node.addr(), "MIGRATE {} '' 5 5000 AUTH2 default word KEYS l z");
    assert_eq!(moved, "+OK");
    here.check("SELECT 5", "+OK");
    here.check("LRANGE l 0 -1", "[a b]");
    there.check("EXISTS l z", ":0");
    let refused = migrate(&mut here, redis.addr, "MIGRATE {} l 0 5000");
    assert_eq!(refused, "-ERR Target instance replied with error: NOAUTH Authentication required.");
    let refused = migrate(&mut here, redis.addr, "MIGRATE {} l 0 5000 AUTH wrong");
    assert!(refused.starts_with("-ERR Target instance replied with error: WRONGPASS "), "{refused}");
    here.check("EXISTS l", ":1");
}

#[test]
fn a_copy_stays_and_what_is_there_is_replaced_only_on_demand() {
    let (here, there) = (perdura().start(), perdura().start());
    let (mut from, mut to) = (here.client(), there.client());
    from.check("MSET a 1 b 2", "+OK");
    to.check("SET a old", "+OK");
    let refused = migrate(&mut from, there.addr(), "MIGRATE {} '' 0 5000 KEYS a b");
    assert_eq!(refused, "-ERR Target instance replied with error: BUSYKEY Target key name already exists.");
    from.check("MGET a b", "[1 nil]");
    to.check("MGET a b", "[old 2]");
    assert_eq!(migrate(&mut from, there.addr(), "MIGRATE {} a 0 5000 COPY REPLACE"), "+OK");
    from.check("GET a", "1");
    to.check("GET a", "1");
}

#[test]
fn what_cannot_be_sent_stays() {
    let node = perdura().start();
    let mut client = node.client();
    client.check("SET k v", "+OK");
    let nobody = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()));
    let refused = migrate(&mut client, nobody, "MIGRATE {} k 0 5000");
    assert_eq!(refused, "-IOERR error or timeout connecting to the client");
    let refused = migrate(&mut client, nobody, "MIGRATE {} k 0 5000 KEYS k");
    assert!(refused.starts_with("-ERR When using MIGRATE KEYS option"), "{refused}");
    client.check("MULTI", "+OK");
    client.check("MIGRATE 127.0.0.1 1 k 0 5000", "-ERR Command not allowed inside a transaction");
    client.check("DISCARD", "+OK");
    client.check("GET k", "v");
}

#[test]
fn a_key_that_is_sent_to_where_it_is_stays() {
    let node = perdura().start();
    let mut client = node.client();
    client.check("SET k v", "+OK");
    let refused = migrate(&mut client, node.addr(), "MIGRATE {} k 0 5000 REPLACE");
    assert_eq!(refused, "-ERR the target is this very database");
    client.check("GET k", "v");
    assert_eq!(migrate(&mut client, node.addr(), "MIGRATE {} k 1 5000"), "+OK");
    client.check("EXISTS k", ":0");
    client.check("SELECT 1", "+OK");
    client.check("GET k", "v");
}

/// A target that answers by hand.
struct Puppet {
    listener: TcpListener,
}

impl Puppet {
    fn start() -> Puppet {
        Puppet { listener: TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port") }
    }

    fn addr(&self) -> SocketAddr {
        self.listener.local_addr().expect("it is bound")
    }

    /// Takes the connection, says OK to SELECT and that it is no Perdura, and waits for the first RESTORE.
    fn receive(&self) -> TcpStream {
        let (mut stream, _) = self.listener.accept().expect("a connection");
        let mut seen = Vec::new();
        while !seen.windows(7).any(|word| word == b"RESTORE") {
            let mut buffer = [0; 1024];
            let bytes = stream.read(&mut buffer).expect("bytes");
            assert!(bytes > 0, "the connection stays open");
            if seen.is_empty() {
                stream.write_all(b"+OK\r\n-ERR unknown command\r\n").expect("somebody reads");
            }
            seen.extend_from_slice(&buffer[..bytes]);
        }
        stream
    }
}

#[test]
fn a_slow_target_holds_up_nobody_else_and_is_given_up_in_time() {
    let (node, target) = (perdura().start(), Puppet::start());
    let (mut client, mut other) = (node.client(), node.client());
    client.check("SET k v", "+OK");
    let line = format!("MIGRATE 127.0.0.1 {} k 0 300", target.addr().port());
    client.send_line(&line);
    let _silent = target.receive();
    other.check("SET other 1", "+OK");
    other.check("GET k", "v");
    client.expect("-IOERR error or timeout reading from target instance");
    client.check("GET k", "v");
}

#[test]
fn a_key_that_changes_while_it_is_sent_is_not_lost() {
    let (node, target) = (perdura().start(), Puppet::start());
    let (mut client, mut other) = (node.client(), node.client());
    client.check("SET k old", "+OK");
    client.send_line(&format!("MIGRATE 127.0.0.1 {} k 0 5000", target.addr().port()));
    let mut stream = target.receive();
    other.check("SET k new", "+OK");
    stream.write_all(b"+OK\r\n").expect("somebody reads");
    client
        .expect("-ERR a key changed while it was sent: it stays here, and the target has what it was before");
    client.check("GET k", "new");
}

/// Bytes of which no two rows are alike, so that a payload has as many.
fn noise(bytes: usize) -> Vec<u8> {
    let mut state = 1u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    };
    std::iter::repeat_with(&mut next).flatten().take(bytes).collect()
}

/// Each held its whole payload in memory, as long as its target took nothing.
#[test]
fn large_migrations_go_one_at_a_time_and_small_ones_beside_them() {
    let (node, target, there) = (perdura().start(), Puppet::start(), perdura().start());
    let (mut client, mut other) = (node.client(), node.client());
    let value = noise(12 << 20);
    other.set_limit(Duration::from_secs(60));
    assert_eq!(other.call(&[b"SET", b"large", &value]).to_string(), "+OK");
    other.check("SET small v", "+OK");
    let id = client.run("CLIENT ID").integer();
    client.send_line(&format!("MIGRATE 127.0.0.1 {} large 0 600000 COPY", target.addr().port()));
    let _takes_nothing_more = target.receive();
    let refused = migrate(&mut other, there.addr(), "MIGRATE {} large 0 300 COPY");
    assert!(refused.starts_with("-TRYAGAIN other migrations take the memory"), "{refused}");
    assert_eq!(migrate(&mut other, there.addr(), "MIGRATE {} small 0 5000"), "+OK");
    other.check(&format!("CLIENT KILL ID {id}"), ":1");
    assert_eq!(migrate(&mut other, there.addr(), "MIGRATE {} large 0 60000"), "+OK");
    other.check("EXISTS large", ":0");
    let moved = there.client().call(&[b"GET", b"large"]);
    assert!(moved.bytes() == value, "every byte has come");
}

#[test]
fn who_waits_for_a_target_can_be_killed() {
    let (node, target) = (perdura().start(), Puppet::start());
    let (mut client, mut other) = (node.client(), node.client());
    client.check("SET k v", "+OK");
    let id = client.run("CLIENT ID").integer();
    client.send_line(&format!("MIGRATE 127.0.0.1 {} k 0 600000", target.addr().port()));
    let _silent = target.receive();
    other.check(&format!("CLIENT KILL ID {id}"), ":1");
    client.set_limit(Duration::from_secs(20));
    assert!(client.read_to_end().is_empty());
    other.check("GET k", "v");
}

#[test]
fn a_replica_has_it_done_by_the_primary() {
    let cluster = Cluster::start_with(perdura());
    let there = perdura().start();
    let mut client = cluster.client(cluster.replica());
    client.check("MSET a 1 b 2", "+OK");
    assert_eq!(migrate(&mut client, there.addr(), "MIGRATE {} a 0 5000"), "+OK");
    client.check("MGET a b", "[nil 2]");
    there.client().check("GET a", "1");
    let itself = cluster.nodes[cluster.replica()].addr();
    let refused = migrate(&mut client, itself, "MIGRATE {} b 0 5000 REPLACE");
    assert_eq!(refused, "-ERR the target is this very database");
    client.check("GET b", "2");
    cluster.agreed_digest();
}
