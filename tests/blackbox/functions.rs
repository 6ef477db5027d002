//! Libraries of functions: the answers of Redis, on all nodes, over restarts and failovers.

use std::time::Duration;

use perdura_testkit::clock::wait_for;
use perdura_testkit::{Client, Cluster};

use crate::dump::has_reference;
use crate::perdura;
use crate::scripts::Oracle;

fn call(client: &mut Client, words: &[&str]) -> String {
    let args: Vec<&[u8]> = words.iter().map(|word| word.as_bytes()).collect();
    client.call(&args).to_string()
}

fn load(client: &mut Client, code: &str) -> String {
    call(client, &["FUNCTION", "LOAD", code])
}

/// What FUNCTION LOAD is given: all of it is refused.
const REFUSED: &[&str] = &[
    "return 1",
    "#!lua name=x",
    "#!lua\nreturn 1",
    "#!js name=x\nreturn 1",
    "#!lua name=x name=y\n",
    "#!lua name=x-y\n",
    "#!lua foo=x\n",
    "#!lua name=l\n",
    "#!lua name=l\nif",
    "#!lua name=l\nredis.call('get', 'a')",
    "#!lua name=l\nlocal x = foo",
    "#!lua name=l\nfoo = 1",
    "#!lua name=l\nlocal t = table.concat({})",
    "#!lua name=l\nlocal t = math",
    "#!lua name=l\nlocal t = _G",
    "#!lua name=l\nlocal t = redis.foo",
    "#!lua name=l\n\n\nredis.x = 1",
    "#!lua name=l\nredis.register_function()",
    "#!lua name=l\nredis.register_function(1)",
    "#!lua name=l\nredis.register_function(1, 2)",
    "#!lua name=l\nredis.register_function({}, 2)",
    "#!lua name=l\nredis.register_function('a', 2)",
    "#!lua name=l\nredis.register_function('a', 2, 3)",
    "#!lua name=l\nredis.register_function('a-b', function() end)",
    "#!lua name=l\nredis.register_function('a', function() end) redis.register_function('a', function() end)",
    "#!lua name=l\nredis.register_function{function_name='a'}",
    "#!lua name=l\nredis.register_function{callback=function() end}",
    "#!lua name=l\nredis.register_function{function_name={}}",
    "#!lua name=l\nredis.register_function{description={}}",
    "#!lua name=l\nredis.register_function{callback=1}",
    "#!lua name=l\nredis.register_function{flags=1}",
    "#!lua name=l\nredis.register_function{function_name='a', callback=function() end, flags={'foo'}}",
    "#!lua name=l\nredis.register_function{function_name='a', callback=function() end, flags={1}}",
    "#!lua name=l\nredis.register_function{foo=1}",
    "#!lua name=l\nredis.register_function{[{}]=1}",
    "#!lua name=l\nredis.register_function{1}",
    "#!lua name=lib\nredis.register_function('other', function() end)",
    "#!lua name=lib2\nredis.register_function('f1', function() end)",
    "#!lua name=lib2\nredis.register_function('F1', function() end)",
];

const LIBRARY: &str = "#!lua name=lib
local shared = 'shared'
redis.log(redis.LOG_NOTICE, redis.REDIS_VERSION)
redis.register_function('f1', function(keys, args) return {keys[1], args[1], shared} end)
redis.register_function{function_name='f2', callback=function(keys, args) return redis.call('set', keys[1], args[1]) end,
    description='sets', flags={'allow-oom', 'no-cluster'}}
redis.register_function{function_name='f3', callback=function(keys, args) return redis.call('get', keys[1]) end, flags={'no-writes'}}
redis.register_function{function_name='f4', callback=function(keys, args) return redis.call('set', keys[1], 1) end, flags={'no-writes'}}
redis.register_function('f5', function(keys, args) return KEYS end)
redis.register_function('f6', function(keys, args) x = 1 return x end)
redis.register_function('f7', function(keys, args) redis.register_function('y', function() end) end)
redis.register_function('f8', function(keys, args) return {type(redis.call), type(_G), type(math), type(cjson)} end)
redis.register_function('f9', function(keys, args) error('oops') end)
redis.register_function('f10', function(keys, args) error({err='My Err'}) end)
redis.register_function('f11', function(keys, args) return redis.call('foo') end)
redis.register_function('f12', function(keys, args) return redis.error_reply('x y') end)
redis.register_function('F13', function(keys, args) return #keys + #args end)
redis.register_function('f14', function(keys, args) local r = {} for k in pairs(redis) do r[#r + 1] = k end table.sort(r) return r end)
redis.register_function('f15', function(keys, args) redis.setresp(3) return redis.call('hgetall', 'none') end)
redis.register_function('f16', function() return redis.call('fcall', 'f1', 0) end)
redis.register_function('f17', function() return nothing end)
redis.register_function('f18', function(keys, args) return redis.sha1hex(cjson.encode({keys, args})) end)";

#[test]
fn answers_are_those_of_redis() {
    if !has_reference() {
        return;
    }
    let node = perdura().start();
    let Some(Oracle(_child, redis)) = &mut Oracle::start() else { panic!("no redis-server") };
    let mut client = node.client();
    let mut differences = Vec::new();
    let mut compare = |client: &mut Client, redis: &mut Client, words: &[&str]| {
        let (ours, theirs) = (call(client, words), call(redis, words));
        if ours != theirs {
            differences.push(format!("{words:?}\n  Perdura: {ours}\n  Redis:   {theirs}"));
        }
    };
    compare(&mut client, redis, &["FUNCTION", "LOAD", LIBRARY]);
    for code in REFUSED {
        compare(&mut client, redis, &["FUNCTION", "LOAD", code]);
    }
    for name in 1..=19 {
        for command in ["FCALL", "fcall_ro"] {
            let name = format!("f{name}");
            compare(&mut client, redis, &[command, &name, "1", "k", "v"]);
        }
    }
    let one = "#!LUA NAME=one\nredis.register_function{function_name=12, description=5, callback=function() return 7 end}";
    let two = "#!lua name=\"two\"\nredis.register_function('g', function() return 8 end)";
    for words in [
        &["FUNCTION", "LOAD", one][..],
        &["FUNCTION", "LOAD", "REPLACE", two],
        &["FUNCTION", "LOAD", "replace", two],
        &["FUNCTION", "LOAD", "FOO", two],
        &["FUNCTION", "LOAD"],
        &["FUNCTION", "LOAD", "replace", "replace", two],
        &["FCALL", "12", "0"],
        &["FCALL", "none", "x"],
        &["FCALL", "g", "x"],
        &["FCALL", "g", "-1"],
        &["FCALL", "g", "2", "a"],
        &["FCALL", "g"],
        &["FUNCTION", "LIST", "LIBRARYNAME", "ON*"],
        &["FUNCTION", "LIST", "withcode", "libraryname", "tw?"],
        &["FUNCTION", "LIST", "LIBRARYNAME", "none"],
        &["FUNCTION", "LIST", "foo"],
        &["FUNCTION", "LIST", "LIBRARYNAME"],
        &["FUNCTION", "LIST", "WITHCODE", "WITHCODE"],
        &["FUNCTION", "LIST", "LIBRARYNAME", "a", "LIBRARYNAME", "b"],
        &["FUNCTION", "STATS"],
        &["FUNCTION", "KILL"],
        &["FUNCTION", "HELP"],
        &["FUNCTION", "foo"],
        &["FUNCTION", "DELETE", "none"],
        &["FUNCTION", "DELETE", "two"],
        &["FUNCTION", "FLUSH", "foo"],
        &["FUNCTION", "FLUSH", "ASYNC", "x"],
        &["FUNCTION", "RESTORE", "abc"],
        &["FUNCTION", "RESTORE", "abc", "foo"],
        &["EVAL", "return redis.call('function', 'list')", "0"],
        &["EVAL", "return redis.call('fcall', '12', 0)", "0"],
        &["MULTI"],
        &["FUNCTION", "LOAD", two],
        &["FCALL", "g", "0"],
        &["FUNCTION", "DELETE", "two"],
        &["EXEC"],
        &["FUNCTION", "FLUSH", "SYNC"],
        &["FUNCTION", "LIST"],
        &["FUNCTION", "DUMP"],
    ] {
        compare(&mut client, redis, words);
    }
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}

#[test]
fn dumps_go_to_redis_and_back() {
    let node = perdura().start();
    let Some(Oracle(_child, redis)) = &mut Oracle::start() else { panic!("no redis-server") };
    let mut client = node.client();
    assert_eq!(load(&mut client, LIBRARY), load(redis, LIBRARY));
    let (ours, theirs) =
        (client.run("FUNCTION DUMP").bytes().to_vec(), redis.run("FUNCTION DUMP").bytes().to_vec());
    for (client, payload) in [(&mut client, &theirs), (&mut *redis, &ours)] {
        let restore = |client: &mut Client, policy: &[u8]| {
            client.call(&[b"FUNCTION", b"RESTORE", payload, policy]).to_string()
        };
        assert_eq!(restore(client, b"append"), "-ERR Library lib already exists");
        assert_eq!(restore(client, b"replace"), "+OK");
        assert_eq!(restore(client, b"flush"), "+OK");
        let mut wrong = payload.clone();
        wrong[0] ^= 1;
        assert_eq!(
            client.call(&[b"FUNCTION", b"RESTORE", &wrong]).to_string(),
            "-ERR DUMP payload version or checksum are wrong"
        );
        assert_eq!(call(client, &["FCALL", "f1", "1", "k", "v"]), "[k v shared]");
        client.check("SET a b", "+OK");
        let value = client.run("DUMP a").bytes().to_vec();
        assert_eq!(
            client.call(&[b"FUNCTION", b"RESTORE", &value]).to_string(),
            "-ERR given type is not a function"
        );
    }
}

#[test]
fn libraries_are_the_same_on_three_nodes_and_survive_restarts_and_the_primary() {
    let mut cluster = Cluster::start_with(perdura());
    let (primary, replica) = (cluster.primary(), cluster.replica());
    let (mut here, mut there) = (cluster.client(primary), cluster.client(replica));
    assert_eq!(load(&mut there, LIBRARY), "lib");
    assert_eq!(call(&mut here, &["FCALL", "f2", "1", "k", "v"]), "+OK");
    assert_eq!(call(&mut there, &["FCALL", "f2", "1", "k", "w"]), "+OK");
    // What a pipeline calls is what it has loaded before.
    let two =
        "#!lua name=two\nredis.register_function('g', function(keys) return redis.call('incr', keys[1]) end)";
    for client in [&mut here, &mut there] {
        client.send(&[b"FUNCTION", b"LOAD", b"REPLACE", two.as_bytes()]);
        client.send_line("FCALL g 1 n");
        client.send_line("FUNCTION DELETE two");
        client.send_line("FCALL g 1 n");
        client.expect("two");
        assert!(client.read().integer() > 0);
        client.expect("+OK");
        client.expect("-ERR Function not found");
    }
    there.check("READONLY", "+OK");
    wait_for("the replica has it", Duration::from_secs(10), || {
        (call(&mut there, &["FCALL_RO", "f3", "1", "k"]) == "w").then_some(())
    });
    assert_eq!(call(&mut there, &["FCALL", "f3", "1", "k"]), "w");
    let before = here.applied_index();
    assert_eq!(call(&mut here, &["FCALL", "f3", "1", "k"]), "w");
    assert_eq!(here.applied_index(), before, "what only reads is not logged");
    cluster.agreed_digest();
    cluster.nodes[primary].kill();
    let next = wait_for("another primary", Duration::from_secs(20), || {
        (0..3).filter(|at| *at != primary).find(|at| {
            cluster.nodes[*at]
                .try_admin()
                .is_ok_and(|mut admin| admin.run("ROLE").to_string().starts_with("[master"))
        })
    });
    assert_eq!(call(&mut cluster.client(next), &["FCALL", "f2", "1", "k", "x"]), "+OK");
    cluster.nodes[primary].restart();
    cluster.agreed_digest();
}

#[test]
fn without_memory_only_functions_that_may_run_then_do() {
    let node = perdura().start();
    let mut client = node.client();
    load(&mut client, LIBRARY);
    client.check("SET k v", "+OK");
    client.check("CONFIG SET maxmemory 1", "+OK");
    const OOM: &str = "-OOM command not allowed when used memory > 'maxmemory'";
    for words in [
        &["FCALL", "f1", "1", "k", "v"][..],
        &["EVAL", "#!lua\nreturn 1", "0"],
        &["FUNCTION", "LOAD", "#!lua name=o\nredis.register_function('o', function() end)"],
        &["FCALL", "f2", "1", "k", "v"],
    ] {
        let reply = call(&mut client, words);
        assert!(reply.starts_with(OOM), "{words:?}: {reply}");
    }
    assert_eq!(call(&mut client, &["FCALL", "f3", "1", "k"]), "v");
    assert_eq!(call(&mut client, &["EVAL", "return 1", "0"]), ":1");
    assert_eq!(call(&mut client, &["EVAL", "#!lua flags=allow-oom\nreturn 1", "0"]), ":1");
    assert_eq!(call(&mut client, &["FUNCTION", "FLUSH"]), "+OK");
}
