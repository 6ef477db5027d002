//! Connections as clients and operators see them: names, lists, kills, silence, information.

use std::io::{Read, Write};
use std::net::Shutdown;

use crate::perdura;

#[test]
fn clients_are_listed_and_killed() {
    let node = perdura().start();
    let (mut one, mut other) = (node.client(), node.client());
    other.check("CLIENT SETNAME victim", "+OK");
    let id = other.run("CLIENT ID").integer();
    let list = one.run("CLIENT LIST").text();
    assert_eq!(list.lines().count(), 2, "{list}");
    assert!(
        list.lines().any(|line| line.starts_with(&format!("id={id} ")) && line.contains(" name=victim ")),
        "{list}"
    );
    let by_id = one.run(&format!("CLIENT LIST ID {id}")).text();
    assert_eq!(by_id.lines().count(), 1, "{by_id}");
    one.check(&format!("CLIENT KILL ID {id}"), ":1");
    assert_eq!(other.read_to_end(), b"");
    one.check(&format!("CLIENT KILL ID {id}"), ":0");
    one.check("CLIENT KILL 127.0.0.1:1", "-ERR No such client");
}

#[test]
fn replies_can_be_turned_off() {
    let node = perdura().start();
    let mut client = node.client();
    client.send_line("CLIENT REPLY SKIP");
    client.send_line("SET k 1");
    client.check("GET k", "1");
    client.send_line("CLIENT REPLY OFF");
    client.send_line("SET k 2");
    client.check("CLIENT REPLY ON", "+OK");
    client.check("GET k", "2");
}

#[test]
fn each_connection_has_its_own_database_and_protocol() {
    let node = perdura().start();
    let (mut one, mut other) = (node.client(), node.client());
    one.check("SELECT 5", "+OK");
    one.hello3();
    one.check("SET k five", "+OK");
    other.check("GET k", "nil");
    other.check("HGETALL none", "[]");
    one.check("HGETALL none", "{}");
}

/// `printf … | nc -N`: who says that it has no more to say is still answered.
#[test]
fn who_stops_sending_is_answered_to_the_last() {
    let node = perdura().start();
    let mut stream = std::net::TcpStream::connect(node.addr()).expect("the node accepts");
    stream
        .write_all(b"CLIENT REPLY SKIP\r\nSET k v\r\nAPPEND k w\r\nGET k\r\nhalf a req")
        .expect("it is sent");
    stream.shutdown(Shutdown::Write).expect("half of it is closed");
    let mut answers = String::new();
    stream.read_to_string(&mut answers).expect("answers and an end");
    assert_eq!(answers, ":2\r\n$2\r\nvw\r\n");
}

/// The write's answer is made after RESET was read, and still belongs to the time before it.
#[test]
fn what_was_sent_before_a_reset_stays_unanswered() {
    let node = perdura().start();
    for _ in 0..20 {
        let mut stream = std::net::TcpStream::connect(node.addr()).expect("the node accepts");
        stream.write_all(b"CLIENT REPLY OFF\r\nSET k v\r\nRESET\r\nPING\r\n").expect("it is sent");
        stream.shutdown(Shutdown::Write).expect("half of it is closed");
        let mut answers = String::new();
        stream.read_to_string(&mut answers).expect("answers and an end");
        assert_eq!(answers, "+RESET\r\n+PONG\r\n");
    }
}

#[test]
fn a_slow_read_is_kept_without_passwords() {
    let node = perdura().flag("requirepass", "secret").start();
    let mut client = node.client();
    client.check("AUTH secret", "+OK");
    client.check("CONFIG SET slowlog-log-slower-than 0", "+OK");
    client.check("AUTH secret", "+OK");
    client.check("CONFIG SET requirepass secret", "+OK");
    client.check("GET k", "nil");
    client.check("CONFIG SET slowlog-log-slower-than -1", "+OK");
    let log = client.run("SLOWLOG GET").to_string();
    assert!(log.contains("[GET k]") && !log.contains("secret"), "{log}");
}

/// What dashboards parse: `name:value` lines under `# Section` headings.
#[test]
fn information_comes_in_sections() {
    let node = perdura().start();
    let mut client = node.client();
    client.check("SET k v EX 100", "+OK");
    let info = client.run("INFO").text();
    for heading in ["Server", "Clients", "Memory", "Persistence", "Stats", "Replication", "CPU", "Keyspace"] {
        assert!(info.contains(&format!("# {heading}\r\n")), "no section {heading}");
    }
    let fields = [
        "redis_version:7",
        "redis_mode:standalone",
        "uptime_in_seconds:",
        "connected_clients:1",
        "blocked_clients:0",
        "used_memory:",
        "maxmemory:0",
        "maxmemory_policy:noeviction",
        "loading:0",
        "total_commands_processed:",
        "role:master",
        "connected_slaves:0",
        "master_repl_offset:",
        "db0:keys=1,expires=1,avg_ttl=",
    ];
    for field in fields {
        assert!(info.contains(&format!("\r\n{field}")), "no field {field} in\n{info}");
    }
    let all = client.run("INFO ALL").text();
    assert!(all.contains("\r\ncmdstat_set:calls=1,usec="), "{all}");
    let one = client.run("INFO keyspace").text();
    assert!(one.starts_with("# Keyspace\r\n") && !one.contains("# Server"), "{one}");
}

#[test]
fn settings_are_asked_for_and_changed() {
    let node = perdura().start();
    let mut client = node.client();
    assert_eq!(client.run("CONFIG GET max*").field("maxclients").text(), "10000");
    client.check("CONFIG SET timeout 100 slowlog-max-len 64", "+OK");
    client.check("CONFIG GET timeout", "[timeout 100]");
    client.check("CONFIG GET slowlog-max-len", "[slowlog-max-len 64]");
    let error = client.run("CONFIG SET databases 4").to_string();
    assert_eq!(
        error,
        "-ERR CONFIG SET failed (possibly related to argument 'databases') - can't set immutable config"
    );
}

#[test]
fn a_client_that_has_read_its_replies_has_none_in_client_list() {
    let node = perdura().start();
    let (mut reader, mut asker) = (node.client(), node.client());
    reader.check("CLIENT SETNAME reader", "+OK");
    reader.check("PING", "+PONG");
    let list = asker.run("CLIENT LIST").text().to_owned();
    let line = list.lines().find(|line| line.contains("name=reader")).expect("it is open");
    assert!(line.contains(" obl=0 ") && line.contains(" omem=0 "), "{line}");
    assert!(line.contains(" tot-net-in=") && line.contains(" tot-net-out="), "{line}");
}

#[test]
fn an_idle_client_is_let_go_after_the_timeout() {
    let node = perdura().flag("timeout", 1).start();
    let mut idle = node.client();
    let mut waiting = node.client();
    waiting.send_line("BLPOP list 3");
    assert_eq!(idle.read_to_end(), b"");
    waiting.expect("nil");
}
