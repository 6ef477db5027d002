//! Transactions that build values out of others, many times over: what each may take is told before any of them has run.

use std::time::Duration;

use perdura_testkit::client::encode;
use perdura_testkit::{Client, Cluster, Reply};

use crate::perdura;

const ROUNDS: usize = 200;

/// The answer to an EXEC of these commands.
fn exec<'l>(client: &mut Client, lines: impl IntoIterator<Item = &'l str>) -> Reply {
    client.check("MULTI", "+OK");
    let lines: Vec<&str> = lines.into_iter().collect();
    let bytes = lines.iter().flat_map(|line| {
        let words: Vec<&[u8]> = line.split(' ').map(str::as_bytes).collect();
        encode(&words)
    });
    client.send_bytes(&bytes.collect::<Vec<u8>>());
    lines.iter().for_each(|_| client.expect("+QUEUED"));
    client.run("EXEC")
}

fn last_of(answer: &Reply) -> String {
    assert!(!answer.is_error(), "{answer}");
    answer.items().last().map(Reply::to_string).unwrap_or_default()
}

fn fill(client: &mut Client, members: usize) {
    client.check("FLUSHALL", "+OK");
    let names: String = (0..members).map(|n| format!(" member:{n}")).collect();
    client.check(&format!("SADD acc{names}"), &format!(":{members}"));
    client.check("SADD k b", ":1");
    client.check("ZADD z 1 a 2 b", ":2");
    client.check("ZADD zk 3 c", ":1");
    client.check("RPUSH l 3 1 2", ":3");
    client.check("SETRANGE s 99999 x", ":100000");
}

/// Commands whose destination is a source, and the answer to the last of many.
const ACCUMULATING: [(&[&str], &str); 10] = [
    (&["SUNIONSTORE acc acc k"], ":101"),
    (&["SADD acc again", "SUNIONSTORE acc acc k"], ":102"),
    (&["SDIFFSTORE acc acc none"], ":102"),
    (&["SINTERSTORE acc acc acc"], ":102"),
    (&["ZUNIONSTORE z 2 z zk"], ":3"),
    (&["ZINTERSTORE z 2 z z WEIGHTS 0 1"], ":3"),
    (&["ZDIFFSTORE z 2 z none"], ":3"),
    (&["ZRANGESTORE z z 0 -1"], ":3"),
    (&["SORT l STORE l"], ":3"),
    (&["COPY s copy REPLACE", "COPY copy s REPLACE", "RENAME copy s"], "+OK"),
];

fn accumulate(client: &mut Client) {
    client.set_limit(Duration::from_secs(60));
    fill(client, 100);
    for (lines, last) in ACCUMULATING {
        let often = std::iter::repeat_n(lines, ROUNDS).flatten().copied();
        assert_eq!(last_of(&exec(client, often)), last, "{lines:?}");
    }
    fill(client, 100);
    let all = ACCUMULATING.iter().flat_map(|(lines, _)| std::iter::repeat_n(*lines, ROUNDS).flatten());
    assert_eq!(last_of(&exec(client, all.copied())), "+OK");
}

/// The bound of what the key holds doubled each time.
#[test]
fn an_exec_that_stores_200_times_into_its_own_source_is_carried_out() {
    accumulate(&mut perdura().start().client());
    let cluster = Cluster::start_with(perdura());
    accumulate(&mut cluster.client(cluster.replica()));
    cluster.agreed_digest();
}

/// A set that is stored in its own place is measured by what it holds, not by more each time.
#[test]
fn an_exec_that_stores_too_much_is_refused_whatever_it_stored_before() {
    let node = perdura().start();
    let mut client = node.client();
    fill(&mut client, 500);
    let grow = ["COPY s a", "COPY s b", "RENAME a c"];
    let sort = format!("SORT acc BY nosort{} STORE d", " GET #".repeat(210_000));
    let refused = exec(&mut client, grow.into_iter().chain(["SUNIONSTORE acc2 acc k", &sort])).to_string();
    assert!(refused.starts_with("-EXECABORT Transaction discarded because of: ERR"), "{refused}");
    client.check("EXISTS a b c d acc2", ":0");
}

fn swap(client: &mut Client) {
    client.check("SELECT 1", "+OK");
    fill(client, 500);
    client.check("SELECT 0", "+OK");
    let lines = [
        "SET x 1",
        "SWAPDB 0 1",
        "COPY s copy",
        "APPEND s y",
        "SUNIONSTORE acc acc k",
        "LMOVE l other LEFT LEFT",
        "SORT l STORE l",
        "STRLEN s",
        "SWAPDB 0 99",
        "SWAPDB 1 0",
        "RENAME x y",
        "COPY y z",
        "SMEMBERS acc",
    ];
    let expected = "[+OK +OK :1 :100001 :501 3 :2 :100001 -ERR DB index is out of range +OK +OK :1 []]";
    assert_eq!(exec(client, lines).to_string(), expected);
}

#[test]
fn commands_that_copy_or_combine_are_taken_after_swapdb_in_an_exec() {
    let node = perdura().start();
    swap(&mut node.client());
    let cluster = Cluster::start_with(perdura());
    swap(&mut cluster.client(cluster.replica()));
    cluster.agreed_digest();
}

#[test]
fn what_is_swapped_in_counts_for_what_comes_after_it() {
    let node = perdura().start();
    let mut client = node.client();
    client.check("SELECT 1", "+OK");
    fill(&mut client, 500);
    client.check("SELECT 0", "+OK");
    let sort = format!("SORT acc BY nosort{} STORE d", " GET #".repeat(210_000));
    let refused = exec(&mut client, ["SWAPDB 0 1", &sort]).to_string();
    let begin = "-EXECABORT Transaction discarded because of: ERR the transaction would touch 1";
    assert!(refused.starts_with(begin), "{refused}");
    assert_eq!(last_of(&exec(&mut client, [&*sort, "SWAPDB 0 1"])), "+OK");
    client.check("SCARD acc", ":500");
}

fn sort(client: &mut Client) {
    client.check("FLUSHALL", "+OK");
    client.check("RPUSH l 1 2 3", ":3");
    client.check("MSET w_1 3 w_2 2 w_3 1 n_1 one n_2 two n_3 three", "+OK");
    client.check("HSET h_1 f x", ":1");
    let cases: [(&[&str], &str); 5] = [
        (&["SET other 1", "SORT l BY w_* GET n_* GET # GET h_*->f STORE d"], "[three 3 '' two 2 '' one 1 x]"),
        (
            &["RPUSH l 4", "MSET n_4 four n_1 uno", "SORT l BY w_* GET n_* LIMIT 0 9 STORE d"],
            "[four three two uno]",
        ),
        (&["RENAME l l2", "SORT l2 BY nosort GET n_* STORE d", "RENAME l2 l"], "[uno two three four]"),
        (&["LMOVE l l2 LEFT LEFT", "SORT l2 BY nosort GET n_* GET h_*->f STORE d"], "[uno x]"),
        (&["SORT l BY nosort STORE d", "SORT d BY nosort GET n_* STORE d"], "[two three four]"),
    ];
    for (lines, stored) in cases {
        let answer = exec(client, lines.iter().copied().chain(["LRANGE d 0 -1"]));
        assert_eq!(last_of(&answer), stored, "{lines:?}");
    }
    let swap = ["SWAPDB 0 1", "SWAPDB 1 0", "SORT l GET n_* STORE d", "LRANGE d 0 -1"];
    assert_eq!(last_of(&exec(client, swap)), "[two three four]");
}

/// What it would find could not be told: it was refused as if memory were full.
#[test]
fn sort_with_get_and_store_is_taken_after_other_writes_in_an_exec() {
    sort(&mut perdura().start().client());
    let cluster = Cluster::start_with(perdura());
    sort(&mut cluster.client(cluster.replica()));
    cluster.agreed_digest();
}

#[test]
fn what_sort_may_find_after_other_writes_counts() {
    let node = perdura().flag("maxmemory", "100mb").start();
    let mut client = node.client();
    client.check("RPUSH l 1", ":1");
    client.check("SETRANGE long 999999 x", ":1000000");
    let sort = format!("SORT l BY nosort{} STORE d", " GET n_*".repeat(300));
    for lines in
        [&["SETRANGE n_1 999999 x"][..], &["RENAME long n_1"], &["COPY long n_1", "LMOVE l l LEFT LEFT"]]
    {
        let refused = exec(&mut client, lines.iter().copied().chain([&*sort])).to_string();
        assert!(
            refused.starts_with("-EXECABORT Transaction discarded because of: OOM"),
            "{lines:?}: {refused}"
        );
    }
    // An element that is added may name any key.
    client.check("RENAME long n_2", "+OK");
    let refused = exec(&mut client, ["RPUSH l 2", &sort]).to_string();
    assert!(refused.starts_with("-EXECABORT Transaction discarded because of: OOM"), "{refused}");
    assert_eq!(
        last_of(&exec(&mut client, ["RPUSH l 3", "SORT l BY nosort GET x_* STORE d", "LLEN d"])),
        ":2"
    );
    let pairs: String = (0..2000).map(|n| format!(" k:{n} v")).collect();
    client.check(&format!("MSET{pairs}"), "+OK");
    let sort = format!("SORT l BY nosort{} STORE d", " GET x_*".repeat(600));
    let unbounded = "-EXECABORT Transaction discarded because of: ERR what SORT with GET and STORE would find \
                     after other writes can't be bounded: send it first, or by itself";
    assert_eq!(exec(&mut client, ["RPUSH l 4", &sort]).to_string(), unbounded);
    assert_eq!(last_of(&exec(&mut client, [&*sort])), ":1200");
}
