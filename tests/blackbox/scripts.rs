//! Scripts as applications use them: locks, rate limiters, queues; through any node, over restarts, and those that run away.
//!
//! `ORACLE=/usr/bin/redis-server cargo test --test blackbox scripts::answers -- --ignored` compares answers with Redis itself.

use std::process::{Child, Command, Stdio};
use std::time::Duration;

use perdura_testkit::clock::{Stopwatch, wait_for};
use perdura_testkit::{Client, Cluster};

use crate::dump::has_reference;
use crate::perdura;

fn eval(client: &mut Client, script: &str, keys: &[&str], values: &[&str]) -> String {
    let count = keys.len().to_string();
    let words = [&["EVAL", script, &count][..], keys, values].concat();
    let args: Vec<&[u8]> = words.iter().map(|word| word.as_bytes()).collect();
    client.call(&args).to_string()
}

/// Loads a script and returns its digest.
fn load(client: &mut Client, script: &str) -> String {
    client.call(&[b"SCRIPT", b"LOAD", script.as_bytes()]).text()
}

const RELEASE: &str =
    "if redis.call('get',KEYS[1]) == ARGV[1] then return redis.call('del',KEYS[1]) else return 0 end";
const EXTEND: &str = "if redis.call('get',KEYS[1]) == ARGV[1] then return redis.call('pexpire',KEYS[1],ARGV[2]) else return 0 end";
const FIXED_WINDOW: &str = "local n = redis.call('incr', KEYS[1])
    if n == 1 then redis.call('expire', KEYS[1], ARGV[1]) end
    return {n, redis.call('ttl', KEYS[1])}";
const SLIDING_WINDOW: &str = "local t = redis.call('time')
    local now = t[1] * 1000 + math.floor(t[2] / 1000)
    redis.call('zremrangebyscore', KEYS[1], 0, now - ARGV[1])
    if redis.call('zcard', KEYS[1]) < tonumber(ARGV[2]) then
        redis.call('zadd', KEYS[1], now, now .. ':' .. math.random(1000000) .. ':' .. redis.call('incr', KEYS[1] .. ':seq'))
        redis.call('pexpire', KEYS[1], ARGV[1])
        return 1
    end
    return 0";
/// As BullMQ does: undeclared keys, cjson and cmsgpack, events, a name that is made in the script.
const ADD_JOB: &str = "local prefix = ARGV[1]
    local options = cmsgpack.unpack(ARGV[2])
    local id = redis.call('incr', prefix .. 'id')
    local key = prefix .. id
    redis.call('hset', key, 'name', options.name, 'data', cjson.encode(cjson.decode(ARGV[3])), 'timestamp', redis.call('time')[1])
    if options.delay and options.delay > 0 then
        redis.call('zadd', prefix .. 'delayed', options.delay * 0x1000 + bit.band(id, 0xfff), id)
    else
        redis.call('lpush', prefix .. 'wait', id)
    end
    redis.call('publish', prefix .. 'events', cjson.encode({event = 'waiting', jobId = tostring(id)}))
    return tostring(id)";
const TAKE_JOB: &str = "local id = redis.call('rpoplpush', KEYS[1], KEYS[2])
    if not id then return cjson.encode(cjson.null) end
    local job = redis.call('hgetall', ARGV[1] .. id)
    local fields = {}
    for i = 1, #job, 2 do fields[job[i]] = job[i + 1] end
    redis.call('hset', ARGV[1] .. id, 'processedOn', redis.call('time')[1])
    return {id, cjson.encode(cjson.decode(fields.data)), fields.name}";
const CLEAR: &str = "local keys = redis.call('keys', ARGV[1])
    for i = 1, #keys, 5000 do redis.call('del', unpack(keys, i, math.min(i + 4999, #keys))) end
    return #keys";

#[test]
fn locks_are_released_by_their_owner_alone() {
    let node = perdura().start();
    let mut client = node.client();
    client.check("SET lock mine NX PX 30000", "+OK");
    assert_eq!(eval(&mut client, RELEASE, &["lock"], &["other"]), ":0");
    assert_eq!(eval(&mut client, EXTEND, &["lock"], &["mine", "60000"]), ":1");
    assert!(client.run("PTTL lock").integer() > 30_000);
    assert_eq!(eval(&mut client, RELEASE, &["lock"], &["mine"]), ":1");
    client.check("EXISTS lock", ":0");
}

#[test]
fn rate_limiters_count() {
    let node = perdura().start();
    let mut client = node.client();
    assert_eq!(eval(&mut client, FIXED_WINDOW, &["r"], &["60"]), "[:1 :60]");
    assert_eq!(eval(&mut client, FIXED_WINDOW, &["r"], &["60"]), "[:2 :60]");
    let allowed: Vec<String> =
        (0..5).map(|_| eval(&mut client, SLIDING_WINDOW, &["s"], &["60000", "3"])).collect();
    assert_eq!(allowed, [":1", ":1", ":1", ":0", ":0"]);
}

#[test]
fn queues_of_jobs_work_with_keys_that_are_not_declared() {
    let node = perdura().start();
    let (mut client, mut listener) = (node.client(), node.client());
    listener.check("SUBSCRIBE q:events", "[subscribe q:events :1]");
    let options = b"\x82\xa4name\xa4mail\xa5delay\x00";
    let data = br#"{"to":"a@b","n":[1,2.5,null]}"#;
    let add: &[&[u8]] = &[b"EVAL", ADD_JOB.as_bytes(), b"0", b"q:", options, data];
    for id in 1..=3 {
        assert_eq!(client.call(add).text(), id.to_string());
        let event = format!("{{\"event\":\"waiting\",\"jobId\":\"{id}\"}}");
        let message = listener.read().to_string();
        assert!(
            message.starts_with("[message q:events ") && message.contains("waiting"),
            "{message} {event}"
        );
    }
    let taken = eval(&mut client, TAKE_JOB, &["q:wait", "q:active"], &["q:"]);
    assert!(
        taken.starts_with("[1 '{") && taken.contains("[1,2.5,null]") && taken.ends_with(" mail]"),
        "{taken}"
    );
    client.check("LLEN q:active", ":1");
    assert_eq!(eval(&mut client, CLEAR, &[], &["q:*"]), ":6");
    client.check("DBSIZE", ":0");
}

#[test]
fn scripts_run_by_digest_in_pipelines_and_transactions() {
    let node = perdura().start();
    let mut client = node.client();
    let body = "return redis.call('incrby', KEYS[1], ARGV[1])";
    let sha = load(&mut client, body);
    client.check(&format!("SCRIPT EXISTS {sha} ffffffffffffffffffffffffffffffffffffffff"), "[:1 :0]");
    assert_eq!(client.run(&format!("SCRIPT SHOW {sha}")).text(), body);
    client.check("MULTI", "+OK");
    client.check(&format!("EVALSHA {sha} 1 n 5"), "+QUEUED");
    client.check(&format!("EVALSHA {} 1 n 5", "f".repeat(40)), "+QUEUED");
    client.check("GET n", "+QUEUED");
    client.check("EXEC", "[:5 -NOSCRIPT No matching script. Please use EVAL. 5]");
    // A script of the same pipeline is known.
    let other = "return redis.call('get', KEYS[1]) .. '!'";
    let other_sha = "0e5ba3c6b0ab4eeb8a5fc4a5aadb4b5a9ac4e5b0";
    client.send(&[b"SCRIPT", b"LOAD", other.as_bytes()]);
    let loaded = client.read().text();
    client.send(&[b"SCRIPT", b"FLUSH"]);
    client.send_line(&format!("EVALSHA {loaded} 1 n"));
    client.send(&[b"EVAL", other.as_bytes(), b"1", b"n"]);
    client.send_line(&format!("EVALSHA {} 1 n", loaded.to_uppercase()));
    client.send_line(&format!("EVALSHA {other_sha} 1 n"));
    for reply in [
        "+OK",
        "-NOSCRIPT No matching script. Please use EVAL.",
        "'5!'",
        "'5!'",
        "-NOSCRIPT No matching script. Please use EVAL.",
    ] {
        client.expect(reply);
    }
    client.check("SCRIPT KILL", "-NOTBUSY No scripts in execution right now.");
    client.check("SCRIPT FLUSH NOW", "-ERR SCRIPT FLUSH only support SYNC|ASYNC option");
    client.check(
        "SCRIPT LOAD if",
        "-ERR Error compiling script (new function): user_script:1: unexpected symbol near '<eof>'",
    );
}

#[test]
fn watches_and_blocked_clients_see_what_scripts_do() {
    let node = perdura().start();
    let (mut one, mut other, mut blocked) = (node.client(), node.client(), node.client());
    one.check("WATCH k", "+OK");
    assert_eq!(eval(&mut other, "return redis.call('set', 'k', 1).ok", &[], &[]), "OK");
    one.check("MULTI", "+OK");
    one.check("SET k 2", "+QUEUED");
    one.check("EXEC", "nil");
    blocked.send_line("BLPOP q 10");
    node.wait_for_blocked(1);
    assert_eq!(eval(&mut other, "return redis.call('rpush', KEYS[1], 'x')", &["q"], &[]), ":1");
    blocked.expect("[q x]");
}

/// What runs on any node, is known on all, and is the same on all.
#[test]
fn scripts_are_the_same_on_three_nodes_and_survive_restarts() {
    let mut cluster = Cluster::start_with(perdura());
    let (primary, replica) = (cluster.primary(), cluster.replica());
    let (mut here, mut there) = (cluster.client(primary), cluster.client(replica));
    let sha = load(&mut there, RELEASE);
    here.check(&format!("SCRIPT EXISTS {sha}"), "[:1]");
    here.check("SET lock mine", "+OK");
    there.check(&format!("EVALSHA {sha} 1 lock mine"), ":1");
    for round in 0..30 {
        let client = if round % 2 == 0 { &mut here } else { &mut there };
        eval(client, FIXED_WINDOW, &[&format!("r{}", round % 3)], &["600"]);
        eval(client, SLIDING_WINDOW, &["s"], &["600000", "100"]);
        eval(client, "for i = 1, 40 do redis.call('sadd', 'set', 'm' .. math.random(1e6)) end
            redis.call('set', 'popped', table.concat(redis.call('spop', 'set', 3), ','))
            redis.call('set', 'random', redis.call('randomkey'))
            local t = {} for k, v in pairs({a = 1, b = 2, [{}] = 3, [print_it or redis] = 4}) do t[#t + 1] = tostring(k) end
            redis.call('set', 'order', table.concat(t, ','))", &[], &[]);
        eval(client, "local t = {} for i = 1, 20 do t[{}] = i end local r = {} for k, v in pairs(t) do r[#r + 1] = tostring(k) .. v end
            redis.call('set', 'addresses', table.concat(r, ',')) redis.call('set', 'scan', cjson.encode(redis.call('scan', 0, 'count', 100)))", &[], &[]);
    }
    cluster.agreed_digest();
    for node in &mut cluster.nodes {
        node.terminate();
    }
    for node in &mut cluster.nodes {
        node.spawn();
    }
    for node in &mut cluster.nodes {
        node.wait_until_it_answers();
    }
    let mut client = cluster.client(cluster.primary());
    client.check(&format!("SCRIPT EXISTS {sha}"), "[:1]");
    client.check("SET lock mine", "+OK");
    client.check(&format!("EVALSHA {sha} 1 lock mine"), ":1");
    cluster.agreed_digest();
}

#[test]
fn scripts_are_known_after_the_primary_is_gone() {
    let mut cluster = Cluster::start_with(perdura());
    let primary = cluster.primary();
    let mut client = cluster.client(primary);
    let sha = load(&mut client, RELEASE);
    assert_eq!(eval(&mut client, "return 'by eval'", &[], &[]), "'by eval'");
    cluster.nodes[primary].kill();
    let next = wait_for("another primary", Duration::from_secs(20), || {
        (0..3).filter(|at| *at != primary).find(|at| {
            cluster.nodes[*at]
                .try_admin()
                .is_ok_and(|mut admin| admin.run("ROLE").to_string().starts_with("[master"))
        })
    });
    let mut client = cluster.client(next);
    client.check("SET lock mine", "+OK");
    client.check(&format!("EVALSHA {sha} 1 lock mine"), ":1");
}

#[test]
fn reading_scripts_run_on_replicas() {
    let cluster = Cluster::start_with(perdura());
    let (mut here, mut there) = (cluster.client(cluster.primary()), cluster.client(cluster.replica()));
    here.check("SET k v", "+OK");
    there.check("READONLY", "+OK");
    wait_for("the replica has it", Duration::from_secs(10), || {
        (there.run("GET k").to_string() == "v").then_some(())
    });
    let read: &[&[u8]] = &[b"EVAL_RO", b"return redis.call('get', KEYS[1])", b"1", b"k"];
    assert_eq!(there.call(read).text(), "v");
    let write: &[&[u8]] = &[b"EVAL_RO", b"return redis.call('set', KEYS[1], 1)", b"1", b"k"];
    assert!(
        there
            .call(write)
            .to_string()
            .starts_with("-ERR Write commands are not allowed from read-only scripts.")
    );
    assert_eq!(eval(&mut there, "return redis.call('set', KEYS[1], 'w').ok", &["k"], &[]), "OK");
    assert_eq!(here.run("GET k").to_string(), "w");
}

/// Each kind of script that runs away ends alike on all nodes, the group keeps its primary, and a replay agrees.
#[test]
fn runaway_scripts_end_alike_everywhere() {
    const KINDS: [&str; 7] = [
        "while true do end",
        "local t = {} for i = 1, 1e9 do t[i] = {i} end",
        "local function f() return 1 + f() end while true do pcall(f) end",
        "while true do local s = ('x'):rep(1e6) end",
        "local t = {} while true do t[#t + 1] = ('x'):rep(#t) end",
        "return (('a'):rep(30000)):find(('.-'):rep(60) .. 'b')",
        "while true do pcall(cjson.decode, ('['):rep(1e5)) end",
    ];
    let mut cluster = Cluster::start_with(perdura());
    let primary = cluster.primary();
    let mut client = cluster.client(primary);
    client.set_limit(Duration::from_secs(60));
    client.check("SET k before", "+OK");
    let term = |client: &mut Client| client.info("perdura_term");
    let term_before = term(&mut client);
    for kind in KINDS {
        let began = Stopwatch::start();
        let reply = eval(&mut client, &format!("redis.call('set', 'k', 'changed') {kind}"), &[], &[]);
        assert!(
            reply.starts_with("-ERR the script ") && reply.contains("changed nothing"),
            "{kind}: {reply}"
        );
        assert!(began.elapsed() < Duration::from_secs(20), "{kind}: {:?}", began.elapsed());
        client.check("GET k", "before");
    }
    assert_eq!(cluster.primary(), primary, "nobody else was elected");
    assert_eq!(term(&mut client), term_before);
    cluster.agreed_digest();
    let replica = cluster.replica();
    cluster.nodes[replica].kill();
    cluster.nodes[replica].restart();
    cluster.agreed_digest();
}

/// A redis-server of its own.
pub struct Oracle(pub Child, pub Client);

impl Oracle {
    pub fn start() -> Option<Oracle> {
        let port = perdura_testkit::free_port();
        let program = std::env::var("ORACLE").unwrap_or_else(|_| "redis-server".to_owned());
        let arguments = ["--port", &port.to_string(), "--save", "", "--appendonly", "no"].map(str::to_owned);
        let child =
            Command::new(program).args(arguments).stdout(Stdio::null()).stderr(Stdio::null()).spawn().ok()?;
        let addr = ([127, 0, 0, 1], port).into();
        let client = wait_for("redis-server", Duration::from_secs(10), || Client::try_connect(addr).ok());
        Some(Oracle(child, client))
    }
}

impl Drop for Oracle {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Scripts whose answers are those of Redis, to the byte.
const SAME: &str = include_str!("scripts/same.lua");

#[test]
fn answers_are_those_of_redis() {
    if !has_reference() {
        return;
    }
    let node = perdura().start();
    let Some(Oracle(_child, redis)) = &mut Oracle::start() else { panic!("no redis-server") };
    for version in ["2", "3"] {
        let mut client = node.client();
        for client in [&mut client, &mut *redis] {
            if version == "3" {
                client.hello3();
            }
            client.run("FLUSHALL");
        }
        let mut differences = Vec::new();
        for script in SAME.split("\n---\n").map(str::trim).filter(|script| !script.is_empty()) {
            let (ours, theirs) = (
                eval(&mut client, script, &["k1", "k2"], &["v1", "v2"]),
                eval(redis, script, &["k1", "k2"], &["v1", "v2"]),
            );
            if ours != theirs {
                differences.push(format!("{script}\n  Perdura: {ours}\n  Redis:   {theirs}"));
            }
        }
        assert!(differences.is_empty(), "RESP{version}:\n{}", differences.join("\n"));
    }
}

/// Scripts whose calls are judged, and whose answers are those of Redis.
const JUDGED: [&str; 28] = [
    "return redis.call('get','b')",
    "return redis.pcall('get','b')",
    "return redis.call('get','a')",
    "return redis.call('incr','a')",
    "return redis.call('set','r1','a')",
    "return redis.call('get','r1')",
    "return redis.call('publish','x','a')",
    "return redis.call('publish','c','a')",
    "return redis.acl_check_cmd('get','b')",
    "return redis.acl_check_cmd('get','a')",
    "return redis.acl_check_cmd('set','r1','a')",
    "return redis.acl_check_cmd('incr','a')",
    "return redis.acl_check_cmd('publish','x','a')",
    "return redis.acl_check_cmd('config|get','a')",
    "return redis.acl_check_cmd('config','get','a')",
    "return redis.acl_check_cmd('config','set','a','b')",
    "return redis.acl_check_cmd('config','foo','a','b')",
    "return redis.acl_check_cmd('config')",
    "return redis.acl_check_cmd('foo','a','b')",
    "return redis.call('config','get','save')",
    "return redis.call('mget','a','b')",
    "return redis.call('incr')",
    "return redis.call('foo')",
    "return redis.call('keys','z*')",
    "return redis.call('ping')",
    "return redis.call('select',1)",
    "local ok,e = pcall(redis.call,'get','b') return {tostring(ok), e}",
    "redis.call('set','a1','x') return redis.call('get','b')",
];

#[test]
fn calls_are_judged_by_their_users_rules_as_in_redis() {
    if !has_reference() {
        return;
    }
    let node = perdura().start();
    let Some(Oracle(_child, redis)) = &mut Oracle::start() else { panic!("no redis-server") };
    let mut client = node.client();
    for rules in [
        "~a* %R~r* &c* +@all -incr -config|get",
        "~a* resetchannels +eval +get +acl|whoami",
        "resetkeys &* +@all -@dangerous (~a* +get) (%W~r* +set)",
        "~* &* +@all",
    ] {
        for client in [&mut client, &mut *redis] {
            client.check("AUTH default x", "+OK");
            client.check(&format!("ACL SETUSER bob reset on nopass {rules}"), "+OK");
            client.check("AUTH bob x", "+OK");
        }
        for script in JUDGED {
            assert_eq!(
                eval(&mut client, script, &[], &[]),
                eval(redis, script, &[], &[]),
                "{rules}: {script}"
            );
        }
    }
}

#[test]
fn limited_users_run_scripts_by_digest_in_transactions_and_through_replicas() {
    let cluster = Cluster::start_with(perdura());
    let (mut here, mut there) = (cluster.client(cluster.primary()), cluster.client(cluster.replica()));
    here.check("SET b secret", "+OK");
    here.check("ACL SETUSER bob on >secret +@all ~a*", "+OK");
    let get = load(&mut here, "return redis.call('get',ARGV[1])");
    let set = load(&mut here, "return redis.call('set',ARGV[1],ARGV[2]).ok");
    let is_denied = |reply: String| {
        assert!(reply.starts_with("-ERR The user executing the script can't access"), "{reply}");
    };
    for client in [&mut here, &mut there] {
        client.check("AUTH bob secret", "+OK");
        is_denied(client.run(&format!("EVALSHA {get} 0 b")).to_string());
        is_denied(client.run(&format!("EVALSHA_RO {get} 0 b")).to_string());
        is_denied(client.run(&format!("EVALSHA {set} 0 b x")).to_string());
        is_denied(eval(client, "#!lua flags=no-writes\nreturn redis.call('get','b')", &[], &[]));
        client.check(&format!("EVALSHA {set} 0 a x"), "OK");
        client.check(&format!("EVALSHA {get} 0 a"), "x");
        client.check("MULTI", "+OK");
        client.check(&format!("EVALSHA {set} 0 a y"), "+QUEUED");
        client.check(&format!("EVALSHA_RO {get} 0 a"), "+QUEUED");
        client.check(&format!("EVALSHA {get} 0 b"), "+QUEUED");
        client.send_line("EXEC");
        let reply = client.read().to_string();
        assert!(reply.starts_with("[OK y -ERR The user executing the script can't access"), "{reply}");
        // A name that only nodes write.
        let reply = client.run("_EVAL default 'return 1' 0").to_string();
        assert!(reply.starts_with("-ERR unknown command"), "{reply}");
    }
    // What reads on a replica is judged there, by the rules that it has.
    there.check("READONLY", "+OK");
    is_denied(there.run(&format!("EVALSHA_RO {get} 0 b")).to_string());
    cluster.agreed_digest();
    let mut admin = cluster.client(cluster.primary());
    admin.check("GET b", "secret");
    let stats = admin.run("INFO commandstats").to_string();
    assert!(stats.contains("cmdstat_eval:") && !stats.contains("cmdstat__"), "{stats}");
}
