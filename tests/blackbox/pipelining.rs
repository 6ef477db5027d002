//! Pipelines: many commands on the way, answers in their order.

use std::time::Duration;

use perdura_testkit::Client;
use perdura_testkit::client::encode;
use perdura_testkit::clock::wait_for;

use crate::perdura;

/// `lines` as one block of bytes.
fn pipeline<'a>(lines: impl IntoIterator<Item = &'a str>) -> Vec<u8> {
    let command = |line: &'a str| encode(&line.split(' ').map(str::as_bytes).collect::<Vec<_>>());
    lines.into_iter().flat_map(command).collect()
}

#[test]
fn a_read_sees_the_write_before_it_in_the_same_pipeline() {
    let node = perdura().start();
    let mut client = node.client();
    let rounds = 2_000;
    client.send_bytes(&pipeline(["INCR n", "GET n", "STRLEN n"]).repeat(rounds));
    for round in 1..=rounds {
        client.expect(&format!(":{round}"));
        client.expect(&format!("{round}"));
        client.expect(&format!(":{}", round.to_string().len()));
    }
}

#[test]
fn errors_and_local_commands_keep_their_place() {
    let node = perdura().start();
    let mut client = node.client();
    client.send_bytes(&pipeline([
        "SET k v",
        "PING",
        "NOSUCH",
        "LPUSH k x",
        "GET",
        "CLIENT GETNAME",
        "GET k",
        "ECHO end",
    ]));
    client.expect("+OK");
    client.expect("+PONG");
    client.expect("-ERR unknown command 'NOSUCH', with args beginning with: ");
    client.expect("-WRONGTYPE Operation against a key holding the wrong kind of value");
    client.expect("-ERR wrong number of arguments for 'get' command");
    client.expect("nil");
    client.expect("v");
    client.expect("end");
}

#[test]
fn a_transaction_may_be_pipelined() {
    let node = perdura().start();
    let mut client = node.client();
    let lines = [
        "SET a 1",
        "MULTI",
        "INCR a",
        "GET a",
        "EXEC",
        "GET a",
        "SELECT 1",
        "GET a",
        "SET a other",
        "SELECT 0",
        "GET a",
    ];
    client.send_bytes(&pipeline(lines).repeat(100));
    for round in 0..100 {
        client.expect("+OK");
        client.expect("+OK");
        client.expect("+QUEUED");
        client.expect("+QUEUED");
        client.expect("[:2 2]");
        client.expect("2");
        client.expect("+OK");
        client.expect(if round == 0 { "nil" } else { "other" });
        client.expect("+OK");
        client.expect("+OK");
        client.expect("2");
    }
}

/// A pipeline behind a command that blocks waits for it, and no longer.
#[test]
fn a_blocked_command_holds_back_what_follows_it() {
    let node = perdura().start();
    let (mut waiting, mut other) = (node.client(), node.client());
    waiting.send_bytes(&pipeline(["SET before 1", "BLPOP list 0", "SET after 1", "GET before"]));
    waiting.expect("+OK");
    node.wait_for_blocked(1);
    other.check("EXISTS after", ":0");
    other.check("RPUSH list x", ":1");
    waiting.expect("[list x]");
    waiting.expect("+OK");
    waiting.expect("1");
}

#[test]
fn two_hundred_thousand_commands_in_one_go() {
    let node = perdura().start();
    let (count, batch) = (200_000, 10_000);
    let mut reader = node.client();
    let mut writer = reader.second_handle();
    let bytes = pipeline(["INCR counter"]).repeat(batch);
    let sending = std::thread::spawn(move || (0..count / batch).for_each(|_| writer.send_bytes(&bytes)));
    for expected in 1..=count {
        assert_eq!(reader.read().integer(), expected as i64);
    }
    sending.join().expect("the sender finished");
}

#[test]
fn many_clients_count_together() {
    let node = perdura().start();
    let (clients, rounds) = (20, 200);
    let counting: Vec<_> = (0..clients)
        .map(|_| {
            let mut client = node.client();
            std::thread::spawn(move || {
                let mut last = 0;
                for _ in 0..rounds {
                    let count = client.run("INCR shared").integer();
                    assert!(count > last, "a counter that only grows");
                    last = count;
                }
            })
        })
        .collect();
    counting.into_iter().for_each(|thread| thread.join().expect("a client finished"));
    node.client().check("GET shared", &(clients * rounds).to_string());
}

#[test]
fn a_node_that_always_has_work_ends_when_it_is_told_to() {
    for log_driver in ["worker", "thread"] {
        let mut node = perdura().flag("log-driver", log_driver).start();
        let addr = node.addr();
        let block = pipeline(["INCR n"; 200]);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    let mut client = Client::try_connect(addr).expect("it accepts");
                    while client.try_send_bytes(&block).is_ok() && (0..200).all(|_| client.try_read().is_ok())
                    {
                    }
                });
            }
            let mut client = node.client();
            wait_for("work", Duration::from_secs(20), || {
                client.run("GET n").to_string().parse::<u64>().ok().filter(|n| *n > 2_000)
            });
            assert!(node.terminate().success(), "{}", node.log());
        });
    }
}
