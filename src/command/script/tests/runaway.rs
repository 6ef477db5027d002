//! Scripts that run away: each kind ends, by the limit that is named, and what it had changed is put back.

use crate::command::testing::TestDb;

/// What every one of them has changed before.
const BEFORE: &str = "redis.call('set','s','changed') redis.call('rpush','l','x') redis.call('del','z')
    redis.call('hset','h','f','w') redis.call('set','new','1') redis.call('expire','s',5)
    redis.call('publish','c','m') redis.call('rename','big','other') redis.call('lpop','other') ";

fn filled() -> TestDb {
    let mut db = TestDb::seeded();
    for line in ["SET s v", "RPUSH l a b", "ZADD z 1 m 2 n", "HSET h f v", "SADD set 1 2 3"] {
        db.show(line);
    }
    for number in 0..3000 {
        db.show(&format!("RPUSH big element:{number}"));
    }
    db.script("return 1");
    db
}

/// Runs it, and checks that it ended by its limit and left nothing. Returns the error.
fn ends(body: &str) -> String {
    let mut db = filled();
    let script = format!("{BEFORE}{body}");
    // That the script is known now is no change of data: it is kept in any case.
    db.effects.published.clear();
    let keys = db.show("DBSIZE");
    let values = |db: &mut TestDb| {
        let lines = [
            "GET s",
            "PTTL s",
            "LRANGE l 0 -1",
            "ZRANGE z 0 -1 WITHSCORES",
            "HGETALL h",
            "EXISTS new",
            "EXISTS other",
            "LRANGE big 0 -1",
        ];
        lines.map(|line| db.show(line)).join("\n")
    };
    let before = values(&mut db);
    let error = db.script(&script);
    assert!(error.contains("changed nothing"), "{body}: {error}");
    assert_eq!(values(&mut db), before, "{body}");
    assert_eq!(db.show("DBSIZE"), keys, "{body}");
    assert!(db.effects.published.is_empty(), "{body}");
    // The next script is not disturbed.
    assert_eq!(db.script("return redis.call('get','s')"), "v");
    error
}

#[test]
fn loops_end_whatever_they_catch() {
    for body in [
        "while true do end",
        "while true do pcall(function() while true do end end) end",
        "local f f = function() xpcall(function() while true do end end, f) end while true do f() end",
        "while true do coroutine.wrap(function() pcall(function() while true do end end) end)() end",
        "repeat local ok = pcall(redis.call, 'lrange', 'other', 0, -1) until false",
    ] {
        assert!(ends(body).contains("steps"), "{body}");
    }
}

#[test]
fn patterns_and_searches_end() {
    for body in [
        "return (('a'):rep(30000)):find(('.-'):rep(60) .. 'b')",
        "local s = ('a'):rep(100000) while true do s:find('(a*)*b') end",
        "local s = ('x'):rep(1e6) local t = s .. 'y' while true do if s < t then s:find('y', 1, true) end end",
        "local t = {} for i = 1, 1e5 do t[i] = i end while true do table.insert(t, 1, 0) end",
        "local t = {} for i = 1, 1e5 do t['k' .. i] = i end for i = 1, 1e5 do t['k' .. i] = nil end while true do next(t) end",
        "local n = ('0'):rep(1e6) .. '1' while true do local x = n + 1 end",
        "while true do collectgarbage() end",
        "string.rep('', 1e9) string.rep('', 1e9)",
    ] {
        assert!(ends(body).contains("steps"), "{body}");
    }
}

#[test]
fn memory_ends() {
    for body in [
        "local t = {} for i = 1, 1e9 do t[i] = i end",
        "local t = {} for i = 1, 1e9 do t['key:' .. i] = {} end",
        "local s = 'x' while true do s = s .. s end",
        "return ('x'):rep(1e8)",
        "local t = {} while true do t[#t + 1] = ('x'):rep(1e6) .. #t end",
        "local t = {('x'):rep(1000)} for i = 1, 40 do t = {t, t} end return cjson.encode(t)",
        "local t = {('x'):rep(1e6)} for i = 1, 5 do t = {t, t, t, t} end return cmsgpack.pack(t)",
    ] {
        assert!(ends(body).contains("bytes of memory"), "{body}");
    }
}

#[test]
fn what_is_written_ends() {
    let growth = "local v = ('x'):rep(1e6) for i = 1, 1e9 do redis.call('set', 'w' .. i, v) end";
    assert!(ends(growth).contains("writes more than"));
    let copies = "redis.call('copy', 'other', 'c0') for i = 1, 1e9 do redis.call('copy', 'c0', 'c' .. i) end";
    assert!(ends(copies).contains("writes more than"));
}

#[test]
fn flushed_and_swapped_databases_come_back() {
    for body in [
        "redis.call('flushall') redis.call('set','s','after') while true do end",
        "redis.call('swapdb', 0, 1) redis.call('set','s','after') redis.call('flushdb') while true do end",
        "redis.call('select', 1) redis.call('set','s','there') redis.call('swapdb', 1, 0) redis.call('move','s',2) while true do end",
    ] {
        ends(body);
    }
    let mut db = filled();
    assert_eq!(
        db.script("redis.call('flushall') redis.call('set','s','1') return redis.call('dbsize')"),
        "1"
    );
}

#[test]
fn errors_within_limits_are_the_scripts_own() {
    let mut db = TestDb::new();
    for (body, error) in [
        ("local function f() return f() + 1 end return f()", "stack overflow"),
        ("local s = ('['):rep(1e5) return cjson.decode(s)", "Found too many nested data structures (1001)"),
        (
            "local t = {} for i = 1, 2000 do t = {t} end return cjson.encode(t)",
            "Cannot serialise, excessive nesting (1001)",
        ),
        ("return ('a'):rep(1000):find(('a?'):rep(1000) .. 'b')", "pattern too complex"),
        ("return unpack({}, 1, 1e6)", "too many results to unpack"),
        ("return ('x'):rep(1e6):rep(1000)", "resulting string too large"),
    ] {
        let found = db.script(body);
        assert!(found.starts_with("ERR ") && found.contains(error), "{body}: {found}");
    }
}

#[test]
fn results_that_take_long_to_write_end() {
    for body in [
        "local t = {1} for i = 1, 60 do t = {t, t} end return t",
        "local t = {a = 1} for i = 1, 60 do t = {map = {a = t, b = t}} end return t",
    ] {
        assert!(ends(body).contains("steps"), "{body}");
    }
}
