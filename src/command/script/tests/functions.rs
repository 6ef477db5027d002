//! Libraries of functions against a keyspace without a log; beside Redis they are in `tests/blackbox/functions.rs`.

use crate::command::testing::{TestDb, show_reply};
use crate::keyspace::SYSTEM;

fn run(db: &mut TestDb, words: &[&str]) -> String {
    let args: Vec<&[u8]> = words.iter().map(|word| word.as_bytes()).collect();
    let reply = String::from_utf8_lossy(&db.run_args(&args)).into_owned();
    show_reply(&reply).split(" script: ").next().unwrap_or_default().to_owned()
}

fn load(db: &mut TestDb, code: &str) -> String {
    run(db, &["_function", "LOAD", code])
}

const COUNTER: &str = "#!lua name=counter
local calls = 0
redis.register_function('count', function(keys, args)
    calls = calls + 1
    redis.call('incrby', keys[1], args[1])
    return {calls, redis.call('get', keys[1])}
end)
redis.register_function{function_name = 'Look', flags = {'no-writes'}, description = 'looks',
    callback = function(keys) return redis.call('get', keys[1]) end}";

#[test]
fn each_call_begins_with_the_memory_that_loading_left() {
    let mut db = TestDb::new();
    assert_eq!(load(&mut db, COUNTER), "counter");
    assert_eq!(run(&mut db, &["FCALL", "count", "1", "n", "5"]), "[1 5]");
    assert_eq!(run(&mut db, &["fcall", "COUNT", "1", "n", "2"]), "[1 7]");
    assert_eq!(run(&mut db, &["FCALL_RO", "look", "1", "n"]), "7");
    assert_eq!(run(&mut db, &["FCALL", "look", "1", "n"]), "7");
    let refused = "ERR Can not execute a script with write flag using *_ro command.";
    assert_eq!(run(&mut db, &["FCALL_RO", "count", "1", "n", "2"]), refused);
    // A script of the same thread is not disturbed, nor the function by it.
    assert_eq!(db.script("return redis.call('get', 'n')"), "7");
    assert_eq!(run(&mut db, &["FCALL", "count", "1", "n", "1"]), "[1 8]");
}

#[test]
fn libraries_register_by_the_name_server_too() {
    let mut db = TestDb::new();
    let code = "#!lua name=lib\nserver.register_function('f', function(keys) return server.call('get', keys[1]) end)";
    assert_eq!(load(&mut db, code), "lib");
    db.show("SET k v");
    assert_eq!(run(&mut db, &["FCALL", "f", "1", "k"]), "v");
    for table in ["redis", "server"] {
        let error = load(&mut db, &format!("#!lua name=bad\n{table}.register_function('g', 1)"));
        assert!(
            error.contains(&format!("second argument to {table}.register_function must be a function")),
            "{error}"
        );
    }
}

#[test]
fn a_function_that_runs_away_is_ended_and_changes_nothing() {
    let mut db = TestDb::new();
    let code = "#!lua name=away
redis.register_function('loop', function() redis.call('set', 'k', 'changed') while true do end end)
redis.register_function('fill', function() local t = {} while true do t[#t + 1] = {} end end)
redis.register_function('nest', function() local t = {1} for i = 1, 60 do t = {t, t} end return t end)";
    assert_eq!(load(&mut db, code), "away");
    for (name, limit) in [("loop", "steps"), ("fill", "bytes of memory"), ("nest", "steps")] {
        let error = run(&mut db, &["FCALL", name, "0"]);
        assert!(error.contains(limit) && error.contains("changed nothing"), "{name}: {error}");
    }
    assert_eq!(db.show("GET k"), "nil");
    let timeout = "ERR Error registering functions: ERR FUNCTION LOAD timeout";
    assert_eq!(load(&mut db, "#!lua name=x\nwhile true do end"), timeout);
    let long = "#!lua name=x\nlocal t = {} while true do t = {t, t} end";
    assert_eq!(load(&mut db, long), timeout);
}

#[test]
fn libraries_are_put_in_as_a_whole_or_not_at_all() {
    let mut db = TestDb::new();
    let kept = |db: &TestDb| db.keyspace().usage(SYSTEM).keys;
    let library = |name: &str, functions: &[&str]| {
        let each = functions
            .iter()
            .map(|function| format!("redis.register_function('{function}', function() return '{name}' end)"));
        format!("#!lua name={name}\n{}", each.collect::<Vec<_>>().join("\n"))
    };
    assert_eq!(load(&mut db, &library("a", &["f", "g"])), "a");
    assert_eq!(load(&mut db, &library("b", &["h"])), "b");
    let before = (kept(&db), db.digest());
    assert_eq!(before.0, 6, "two libraries, three functions, the totals");
    assert_eq!(load(&mut db, &library("a", &["i"])), "ERR Library 'a' already exists");
    assert_eq!(load(&mut db, &library("c", &["i", "H"])), "ERR Function H already exists");
    assert_eq!(
        run(&mut db, &["_function", "REPLACE", &library("b", &["i", "g"])]),
        "ERR Function g already exists"
    );
    let dump = |codes: &[String]| crate::rdb::dump_libraries(codes.iter().map(|code| code.as_bytes()));
    let restore = |db: &mut TestDb, policy: &str, payload: &[u8]| {
        let reply = db.run_args(&[b"_function", b"RESTORE", policy.as_bytes(), payload]);
        show_reply(&String::from_utf8_lossy(&reply))
    };
    let new = dump(&[library("c", &["x"]), library("d", &["g"])]);
    assert_eq!(restore(&mut db, "APPEND", &new), "ERR Function g already exists");
    assert_eq!(restore(&mut db, "REPLACE", &new), "ERR Function g already exists");
    let twins = dump(&[library("c", &["x"]), library("c", &["y"])]);
    assert_eq!(restore(&mut db, "FLUSH", &twins), "ERR Library c already exists");
    let broken = dump(&[library("c", &["x"]), "#!lua name=d\nif".to_owned()]);
    assert!(restore(&mut db, "FLUSH", &broken).starts_with("ERR Error compiling function"));
    assert_eq!((kept(&db), db.digest()), before, "what was refused has changed nothing");
    assert_eq!(restore(&mut db, "FLUSH", &new), "OK");
    assert_eq!((run(&mut db, &["FCALL", "g", "0"]), kept(&db)), ("d".to_owned(), 5));
    assert_eq!(run(&mut db, &["FCALL", "f", "0"]), "ERR Function not found");
    assert_eq!(run(&mut db, &["_function", "REPLACE", &library("d", &["k"])]), "d");
    assert_eq!(run(&mut db, &["FCALL", "g", "0"]), "ERR Function not found");
    assert_eq!(run(&mut db, &["_functiondel", "DELETE", "d"]), "OK");
    assert_eq!(run(&mut db, &["_functiondel", "DELETE", "d"]), "ERR Library not found");
    assert_eq!(run(&mut db, &["_functiondel", "FLUSH"]), "OK");
    assert_eq!(kept(&db), 1, "the totals");
}

#[test]
fn there_is_a_bound_of_libraries() {
    let mut db = TestDb::new();
    let text = format!("--{}", "x".repeat(5 << 20));
    let library =
        |name: &str| format!("#!lua name={name}\nredis.register_function('{name}', function() end) {text}");
    for name in ["a", "b", "c"] {
        assert_eq!(load(&mut db, &library(name)), name);
    }
    let before = db.digest();
    assert!(load(&mut db, &library("d")).starts_with("ERR there may be 1000 libraries of 16777216 bytes"));
    assert_eq!(db.digest(), before);
    assert_eq!(run(&mut db, &["_function", "REPLACE", &library("c")]), "c");
}

#[test]
fn limited_users_call_functions_by_their_rules() {
    crate::session::table::know_commands();
    let mut db = TestDb::new();
    load(&mut db, COUNTER);
    db.run_args(&[b"_sysset", b"user:bob", b"", b"on nopass ~a* +@all"]);
    assert_eq!(run(&mut db, &["_fcall", "bob", "count", "1", "a", "5"]), "[1 5]");
    let denied = "ERR The user executing the script can't access at least one of the keys";
    assert!(run(&mut db, &["_fcall", "bob", "count", "1", "b", "5"]).starts_with(denied));
    assert!(run(&mut db, &["_fcall_ro", "bob", "look", "1", "b"]).starts_with(denied));
    assert_eq!(run(&mut db, &["_fcall_ro", "bob", "look", "1", "a"]), "5");
}
