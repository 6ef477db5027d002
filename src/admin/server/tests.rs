//! Stories of what operators and tools ask a server.

use crate::admin::testing::TestNode;
use crate::command::stopwatch::{SlowRun, Took};
use crate::command::testing::TestDb;
use crate::metrics::Outcome;
use crate::persistence::{Published, Running};
use crate::raft::status::Role;
use crate::shard::port::{PeerStatus, Status};

const THREE: &str = "1=127.0.0.1:8001,2=127.0.0.1:8002,3=127.0.0.1:8003";

fn peer(id: u64, matched: u64, active: bool) -> PeerStatus {
    PeerStatus { id, client_addr: format!("10.0.0.{id}:6379"), matched, active, silent_ms: Some(1500) }
}

/// A primary of three nodes that has committed up to index 50.
fn primary_of_three() -> TestNode {
    let node = TestNode::with(&[("initial-cluster", THREE)]);
    *node.shared.shard.status.lock() = Status {
        node_id: 1,
        role: Role::Leader,
        leader_id: 1,
        leader_client_addr: Some("10.0.0.1:6379".to_owned()),
        term: 3,
        committed: 50,
        applied: 50,
        last_index: 51,
        peers: vec![peer(2, 50, true), peer(3, 40, false)],
        ..Status::default()
    };
    node
}

#[test]
fn information_comes_in_sections() {
    let mut node = TestNode::new();
    let info = node.run("INFO");
    for heading in
        ["Server", "Clients", "Memory", "Persistence", "Stats", "Replication", "CPU", "Modules", "Keyspace"]
    {
        assert!(info.contains(&format!("# {heading}\r\n")), "no section {heading}");
    }
    for field in [
        "redis_version:7.4.0",
        "connected_clients:1",
        "loading:0",
        "aof_enabled:1",
        "maxmemory_policy:noeviction",
    ] {
        assert!(info.contains(&format!("\r\n{field}\r\n")), "no field {field}");
    }
    assert!(!info.contains("# Commandstats"));
    assert!(
        node.run("INFO all").contains("# Commandstats")
            && node.run("INFO EVERYTHING").contains("# Latencystats")
    );
    assert_eq!(node.run("INFO cluster"), "$30\r\n# Cluster\r\ncluster_enabled:0\r\n\r\n");
    assert!(node.run("INFO cluster modules").contains("# Modules\r\n\r\n# Cluster\r\n"));
    assert_eq!(node.run("INFO nosuch"), "$0\r\n\r\n");
}

#[test]
fn information_tells_of_commands_and_errors() {
    let mut node = TestNode::new();
    let index = crate::command::lookup(b"set").expect("SET exists").index;
    let lane = node.shared.metrics.lane();
    lane.command(index, 3, Outcome::Done);
    lane.command(index, 1, Outcome::Failed);
    lane.command(index, 0, Outcome::Rejected);
    node.shared.metrics.error("WRONGTYPE");
    let info = node.run("INFO all");
    for line in [
        "cmdstat_set:calls=2,usec=4,usec_per_call=2.00,rejected_calls=1,failed_calls=1",
        "errorstat_WRONGTYPE:count=1",
        "latency_percentiles_usec_set:p50=1.000,p99=3.000,p99.9=3.000",
        "total_commands_processed:2",
        "total_error_replies:1",
    ] {
        assert!(info.contains(&format!("\r\n{line}\r\n")), "no {line} in {info}");
    }
    assert_eq!(node.show("LATENCY HISTOGRAM"), "[set [calls 2 histogram_usec [1 1 4 2]]]");
    assert_eq!(node.show("LATENCY HISTOGRAM get nosuch client"), "[]");
    assert_eq!(node.show("CONFIG RESETSTAT"), "OK");
    assert!(node.run("INFO commandstats").ends_with("# Commandstats\r\n\r\n"));
}

#[test]
fn a_primary_tells_of_the_followers_that_answer() {
    let mut node = primary_of_three();
    let info = node.run("INFO replication");
    for line in [
        "role:master",
        "connected_slaves:1",
        "slave0:ip=10.0.0.2,port=6379,state=online,offset=50,lag=1",
        "perdura_peer0:id=2,addr=10.0.0.2:6379,matched_index=50,last_heard_ms=1500",
        "master_repl_offset:50",
    ] {
        assert!(info.contains(&format!("\r\n{line}\r\n")), "no {line} in {info}");
    }
    assert_eq!(node.show("ROLE"), "[master 50 [[10.0.0.2 6379 50]]]");
}

#[test]
fn a_follower_tells_of_its_primary() {
    let mut node = primary_of_three();
    node.shared.shard.set_primary(false);
    node.shared.shard.status.lock().leader_client_addr = Some("10.0.0.2:7000".to_owned());
    assert_eq!(node.show("ROLE"), "[slave 10.0.0.2 7000 connected 50]");
    let info = node.run("INFO replication");
    for line in [
        "role:slave",
        "master_host:10.0.0.2",
        "master_port:7000",
        "master_link_status:up",
        "slave_repl_offset:50",
    ] {
        assert!(info.contains(&format!("\r\n{line}\r\n")), "no {line} in {info}");
    }
    node.shared.shard.status.lock().leader_client_addr = None;
    assert_eq!(node.show("ROLE"), "[slave  0 connect 50]");
    assert!(node.run("INFO replication").contains("master_link_status:down"));
}

#[test]
fn wait_claims_no_more_than_is_sure() {
    let mut node = primary_of_three();
    node.client.info.note_answer(50);
    assert_eq!(node.show("WAIT 2 100"), "1");
    node.shared.shard.status.lock().peers = vec![peer(2, 50, true), peer(3, 50, true)];
    assert_eq!(node.show("WAIT 2 100"), "2");
    assert_eq!(node.show("WAITAOF 1 2 0"), "[1 2]");
    node.client.info.note_answer(51);
    assert_eq!(node.show("WAIT 2 100"), "1");
    assert_eq!(TestNode::new().show("WAIT 0 0"), "0");
    for (line, error) in [
        ("WAIT x 0", "ERR value is not an integer or out of range"),
        ("WAIT 1 -1", "ERR timeout is negative"),
        ("WAITAOF 2 0 0", "ERR value is out of range, value must between 0 and 1"),
        ("WAITAOF 1 -1 0", "ERR value is out of range, must be positive"),
        ("WAITAOF 1 1 x", "ERR timeout is not an integer or out of range"),
    ] {
        assert_eq!(node.show(line), error);
    }
    node.shared.shard.set_primary(false);
    assert!(node.show("WAIT 0 0").starts_with("ERR WAIT cannot be used with replica"));
}

#[test]
fn the_table_tells_of_itself() {
    let mut node = TestNode::new();
    assert_eq!(
        node.show("COMMAND INFO GET nosuch"),
        "[[get 2 [readonly fast] 1 1 1 [@read @string @fast] [] [[flags [RO access] begin_search [type index spec \
         [index 1]] find_keys [type range spec [lastkey 0 keystep 1 limit 0]]]] []] nil]"
    );
    assert!(node.show("COMMAND INFO mset").starts_with("[[mset -3 [write denyoom] 1 -1 2 "));
    assert!(node.show("COMMAND INFO rename").starts_with("[[rename 3 [write] 1 2 1 "));
    assert!(node.show("COMMAND INFO zunion").starts_with("[[zunion -3 [readonly movablekeys] 0 0 0 "));
    assert!(
        node.show("COMMAND INFO client|list")
            .starts_with("[[client|list -2 [admin noscript loading stale] 0 0 0 ")
    );
    assert!(node.show("COMMAND INFO _publish client|nosuch").starts_with("[nil nil]"));
    let count: usize = node.show("COMMAND COUNT").parse().expect("a number");
    assert!(node.run("COMMAND").starts_with(&format!("*{count}\r\n")));
    assert!(node.run("COMMAND INFO").starts_with(&format!("*{count}\r\n")));
    assert!(node.run("COMMAND DOCS").starts_with(&format!("*{}\r\n", 2 * count)));
    assert_eq!(
        node.show("COMMAND DOCS ping nosuch"),
        "[ping [summary Returns the server's liveliness response. since 1.0.0 group connection complexity O(1) arguments [[name message type string flags [optional]]]]]"
    );
    let get = node.show("COMMAND DOCS get");
    assert!(get.ends_with(" arguments [[name key type key key_spec_index 0]]]]"), "{get}");
    assert!(node.show("COMMAND DOCS pubsub").contains("subcommands [pubsub|channels ["));
}

/// 100,000 names took 1.4 s of the worker's thread.
#[test]
fn a_request_is_not_told_of_one_command_again_and_again() {
    let mut node = TestNode::new();
    let error = "ERR the reply would tell of more than 50000 commands and subcommands";
    for word in ["INFO", "DOCS"] {
        assert_eq!(node.show(&format!("COMMAND {word}{}", " client".repeat(100_000))), error);
        assert_eq!(node.show(&format!("COMMAND {word}{}", " nosuch".repeat(50_001))), error);
        assert!(node.show(&format!("COMMAND {word}{}", " get".repeat(1000))).starts_with('['));
    }
}

#[test]
fn keys_are_found_in_whole_commands() {
    let mut node = TestNode::new();
    for (line, keys) in [
        ("MSET a 1 b 2", "[a b]"),
        ("ZUNIONSTORE dest 2 x y WEIGHTS 1 2", "[dest x y]"),
        ("XYZZY a", "ERR Invalid command specified"),
        ("ECHO x", "ERR The command has no key arguments"),
        ("GET", "ERR Invalid number of arguments specified for command"),
        ("ZUNION 9 x", "ERR Invalid arguments specified for command"),
        ("ZUNIONSTORE d -1 a", "ERR Invalid arguments specified for command"),
        ("ZUNIONSTORE d 2 a", "ERR Invalid arguments specified for command"),
        ("OBJECT ENCODING k", "[k]"),
        ("EVAL text 0", "[]"),
        ("FCALL name 1 k", "[k]"),
    ] {
        assert_eq!(node.show(&format!("COMMAND GETKEYS {line}")), keys, "{line}");
    }
    for (line, keys) in [
        ("SET k v", "[[k [OW update]]]"),
        ("SET k v GET", "[[k [RW access update]]]"),
        ("BITFIELD k GET u4 0", "[[k [RO access]]]"),
        ("BITFIELD k GET u4 0 INCRBY u4 0 1", "[[k [RW access update]]]"),
    ] {
        assert_eq!(node.show(&format!("COMMAND GETKEYSANDFLAGS {line}")), keys, "{line}");
    }
}

#[test]
fn commands_are_listed_by_pattern_and_category() {
    let mut node = TestNode::new();
    assert_eq!(node.show("COMMAND LIST FILTERBY PATTERN PUBSUB|NUM*"), "[pubsub|numpat pubsub|numsub]");
    assert_eq!(node.show("COMMAND LIST FILTERBY MODULE x"), "[]");
    let all = node.show("COMMAND LIST");
    for name in ["client", "client|list", "get"] {
        assert!(all.split([' ', '[', ']']).any(|listed| listed == name), "{name}: {all}");
    }
    assert_eq!(node.show("COMMAND LIST FILTERBY ACLCAT transaction"), "[discard exec multi unwatch watch]");
    assert_eq!(node.show("COMMAND LIST FILTERBY ACLCAT nosuch"), "[]");
    assert_eq!(node.show("COMMAND LIST FILTERBY x y"), "ERR syntax error");
}

#[test]
fn settings_are_asked_for_and_changed() {
    let mut node = TestNode::new();
    assert_eq!(node.show("CONFIG GET appendonly"), "[appendonly yes]");
    assert_eq!(node.show("CONFIG GET Timeou? timeout nosuch*"), "[timeout 0]");
    assert_eq!(node.show("CONFIG SET tcp-keepalive 100 maxclients 64"), "OK");
    assert_eq!(node.show("CONFIG GET tcp-keepalive"), "[tcp-keepalive 100]");
    assert!(node.show("CONFIG SET timeout 5").starts_with("ERR the group's"), "the session logs it");
    assert_eq!(
        node.show("CONFIG SET nosuch 1"),
        "ERR Unknown option or number of arguments for CONFIG SET - 'nosuch'"
    );
    assert_eq!(
        node.show("CONFIG SET tcp-keepalive 5 databases 4"),
        "ERR CONFIG SET failed (possibly related to argument 'databases') - can't set immutable config"
    );
    assert_eq!(node.show("CONFIG GET tcp-keepalive"), "[tcp-keepalive 100]");
    assert_eq!(
        node.show("CONFIG SET timeout 5 slowlog-max-len"),
        "ERR wrong number of arguments for 'config|set' command"
    );
    assert_eq!(node.show("CONFIG REWRITE"), "OK");
}

#[test]
fn slow_commands_are_shown_newest_first() {
    let mut node = TestNode::new();
    node.show("CLIENT SETNAME me");
    for key in [b"a", b"b"] {
        let run = SlowRun { args: vec![b"GET".to_vec(), key.to_vec()], took: Took::Micros(20_000) };
        node.shared.note_command(run, 5_500, Some(&node.client.info));
    }
    let run = SlowRun { args: vec![b"KEYS".to_vec()], took: Took::ReplyBytes(2_000_000) };
    node.shared.note_command(run, 6_000, None);
    node.shared.note_large_request(&[b"SET"], 3_000_000, 7_000, &node.client.info);
    assert!(node.show("COMMANDLOG GET -1 large-reply").starts_with("[[0 6 2000000 [KEYS]"));
    assert_eq!(node.show("COMMANDLOG GET 1 LARGE-REQUEST"), "[[0 7 3000000 [SET] 127.0.0.1:50001 me]]");
    assert_eq!(node.show("COMMANDLOG RESET large-reply"), "OK");
    assert_eq!(
        (node.show("COMMANDLOG LEN large-reply"), node.show("COMMANDLOG LEN slow")),
        ("0".into(), "2".into())
    );
    let refused = "ERR type should be one of the following: slow, large-request, large-reply";
    assert_eq!(node.show("COMMANDLOG LEN fast"), refused);
    assert_eq!(node.show("SLOWLOG LEN"), "2");
    assert_eq!(node.show("SLOWLOG GET 1"), "[[1 5 20000 [GET b] 127.0.0.1:50001 me]]");
    assert!(node.show("SLOWLOG GET -1").ends_with("[0 5 20000 [GET a] 127.0.0.1:50001 me]]"));
    assert_eq!(node.show("SLOWLOG GET -2"), "ERR count should be greater than or equal to -1");
    assert_eq!(node.show("SLOWLOG RESET"), "OK");
    assert_eq!(node.show("SLOWLOG GET"), "[]");
}

#[test]
fn digests_are_equal_where_data_is() {
    let mut node = TestNode::new();
    assert_eq!(node.show("DEBUG DIGEST"), "0".repeat(40));
    let (mut one, mut other) = (TestDb::new(), TestDb::new());
    one.show("RPUSH l a b");
    other.show("RPUSH l a b c");
    let digest = one.show("DEBUG DIGEST-VALUE l none");
    assert_ne!(digest, other.show("DEBUG DIGEST-VALUE l none"));
    other.show("RPOP l");
    assert_eq!(digest, other.show("DEBUG DIGEST-VALUE l none"));
    assert!(digest.ends_with(&format!(" {}]", "0".repeat(40))));
    assert_eq!(one.show("DEBUG OBJECT l"), "Value refcount:1 encoding:listpack");
    assert_eq!(one.show("DEBUG OBJECT none"), "ERR no such key");
}

#[test]
fn memory_of_a_key_grows_with_it() {
    let mut db = TestDb::new();
    db.show("SET small x");
    db.run_args(&[b"SET", b"large", &[b'x'; 10_000]]);
    db.show("RPUSH list a b c");
    let mut usage =
        |key: &str| db.show(&format!("MEMORY USAGE {key} SAMPLES 0")).parse::<usize>().expect("a number");
    assert!((10..100).contains(&usage("small")));
    assert!((10_000..11_000).contains(&usage("large")));
    assert!(usage("list") > 20);
    assert_eq!(db.show("MEMORY USAGE none"), "nil");
    assert_eq!(db.show("MEMORY USAGE small SAMPLES"), "ERR syntax error");
    assert_eq!(db.show("MEMORY USAGE small SAMPLES x"), "ERR value is not an integer or out of range");
    let mut node = TestNode::new();
    assert!(node.show("MEMORY STATS").starts_with("[peak.allocated "));
    assert_eq!(node.show("MEMORY PURGE"), "OK");
    assert!(
        node.run("MEMORY DOCTOR").starts_with('$') && node.run("MEMORY MALLOC-STATS").contains("jemalloc")
    );
}

#[test]
fn what_is_not_there_says_so() {
    let mut node = TestNode::new();
    for line in ["REPLICAOF NO ONE", "SLAVEOF h 1", "FAILOVER"] {
        assert!(node.show(line).starts_with("ERR not supported: "), "{line}");
    }
    assert!(node.show("SAVE").starts_with("ERR every acknowledged write is on disk already"));
    assert_eq!(node.show("CLUSTER INFO"), "ERR This instance has cluster support disabled");
    assert_eq!(node.show("MODULE LIST"), "[]");
    assert!(node.show("MODULE HELP").starts_with("[MODULE <subcommand>"));
    node.shared.config.set(&[("latency-monitor-threshold", "100")]).expect("it can be set");
    node.shared.note_latency("command", 150, 7_000);
    node.shared.note_latency("command", 120, 8_000);
    assert_eq!(node.show("LATENCY LATEST"), "[[command 8 120 150]]");
    assert_eq!(node.show("LATENCY HISTORY command"), "[[7 150] [8 120]]");
    assert!(
        node.show("LATENCY GRAPH command")
            .starts_with("command - high 150 ms, low 120 ms (all time high 150 ms)")
    );
    assert!(node.show("LATENCY DOCTOR").contains("command: 2 seconds with a spike, 135 ms on average"));
    assert_eq!(node.show("LATENCY RESET other command"), "1");
    assert_eq!(node.show("LATENCY LATEST"), "[]");
    assert_eq!(node.show("LATENCY HISTORY command"), "[]");
    assert_eq!(node.show("LATENCY RESET"), "0");
    assert_eq!(node.show("LATENCY GRAPH command"), "ERR No samples available for event 'command'");
    assert_eq!(node.show("EXEC"), "ERR EXEC without MULTI");
    assert_eq!(node.show("DISCARD"), "ERR DISCARD without MULTI");
}

#[test]
fn checkpoints_are_asked_for_and_told_of_as_snapshots_are() {
    let mut node = TestNode::new();
    let shard = node.shared.shard.clone();
    let persistence = &shard.persistence;
    let started = node.show("LASTSAVE").parse::<i64>().expect("a number");
    assert_eq!(started, node.shared.clock.unix_ms() / 1000 - node.shared.metrics.uptime_s() as i64);
    assert_eq!(node.show("BGSAVE SCHEDULE"), "Background saving started");
    assert!(persistence.is_wanted());
    persistence.begins(Running { index: 12, began_ms: 5_000 });
    assert_eq!(node.show("BGSAVE"), "ERR Background save already in progress");
    assert!(node.run("INFO persistence").contains("\r\nrdb_bgsave_in_progress:1\r\n"));
    persistence.ended(Published { index: 12, keys: 3, ended_ms: 7_999, ..Published::default() });
    assert_eq!(node.show("LASTSAVE"), "7");
    assert_eq!(node.show("BGREWRITEAOF"), "Background append only file rewriting started");
    assert_eq!(node.show("BGSAVE now"), "ERR syntax error");
    persistence.failed("no space".to_owned());
    let info = node.run("INFO persistence");
    for line in
        ["rdb_last_bgsave_status:err", "perdura_checkpoint_index:12", "perdura_checkpoint_failure:no space"]
    {
        assert!(info.contains(&format!("\r\n{line}\r\n")), "no {line} in {info}");
    }
}

#[test]
fn shutdown_is_heard_and_answers_nothing() {
    let mut node = TestNode::new();
    assert_eq!(node.show("SHUTDOWN SAVE NOSAVE"), "ERR syntax error");
    assert_eq!(node.show("SHUTDOWN ABORT"), "ERR No shutdown in progress.");
    assert_eq!(node.run("SHUTDOWN nosave NOW"), "");
    let heard = node.shared.shutdown.notified();
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    assert!(std::future::Future::poll(std::pin::pin!(heard), &mut context).is_ready());
}

#[test]
fn time_is_told_in_seconds_and_microseconds() {
    let mut node = TestNode::new();
    node.hands.advance(std::time::Duration::from_micros(1_500_007));
    assert_eq!(node.show("TIME"), "[1001 500007]");
    assert!(node.show("LOLWUT").starts_with("Perdura ver. "));
}

#[test]
fn every_container_helps() {
    let mut node = TestNode::new();
    for name in ["CLIENT", "COMMAND", "CONFIG", "DEBUG", "LATENCY", "MEMORY", "PUBSUB", "SLOWLOG"] {
        assert!(node.show(&format!("{name} HELP")).starts_with(&format!("[{name} <subcommand> ")));
    }
}
