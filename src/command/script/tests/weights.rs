//! Every function takes steps by what it does: the least that each kind may take, so that its time stays near that of a plain loop.

use crate::command::script::arena::ARENA_BYTES;
use crate::command::testing::TestDb;

/// Steps of a script; the same each time.
fn steps(body: &str) -> u64 {
    let run = || {
        let mut db = TestDb::seeded();
        let reply = db.script(body);
        assert!(!reply.starts_with("ERR"), "{body}: {reply}");
        let script = db.effects.scripts.by_text(body.as_bytes());
        script.and_then(|script| script.usual_steps()).unwrap_or_else(|| panic!("{body} has run"))
    };
    let first = run();
    assert_eq!(run(), first, "{body}");
    first
}

/// Steps of an expression, beside those of the loop that computes it.
fn steps_of(before: &str, expression: &str) -> u64 {
    const TIMES: u64 = 1000;
    let of = |text: &str| steps(&format!("local x {before} for i = 1, {TIMES} do {text} end return 0"));
    of(&format!("x = {expression}")).saturating_sub(of("x = i")) / TIMES
}

#[test]
fn numbers_that_become_texts_take_steps_by_their_digits() {
    for (before, expression, least) in [
        ("", "tostring(i)", 80),
        ("local n = 1e300", "tostring(n)", 300),
        ("local n = 0.123", "'a' .. n .. n .. n", 240),
        ("local t = {} for i = 1, 200 do t[i] = i + 0.5 end", "table.concat(t)", 200 * 80),
        ("local t = {} for i = 1, 200 do t[i] = i + 0.5 end", "cjson.encode(t)", 200 * 80),
        ("local n = 0.1", "('%g'):format(n)", 100),
        ("", "('%.99f'):format(1e308)", 1400),
        ("", "('%d'):format(i)", 40),
        ("", "tonumber('12')", 20),
        ("local s = ('1'):rep(1000)", "s + 1", 1000),
        ("", "tostring(redis)", 40),
    ] {
        let found = steps_of(before, expression);
        assert!((least..4 * least).contains(&found), "{expression}: {found}");
    }
}

#[test]
fn bytes_that_are_read_take_steps() {
    for (before, expression, least) in [
        ("", "redis.sha1hex('')", 150),
        ("local s = ('x'):rep(1000)", "redis.sha1hex(s)", 1150),
        ("local s = ('x'):rep(1000)", "cjson.encode(s)", 1000),
        ("local s = cjson.encode(('x'):rep(1000))", "cjson.decode(s)", 1000),
        ("local s = '[' .. (' '):rep(1000) .. ']'", "cjson.decode(s)", 1000),
        ("local s = ('x'):rep(1000)", "s:find('%d')", 3000),
        ("local s = ('x'):rep(1000)", "s:upper()", 1000),
        ("local a = ('a\\0'):rep(1000) local b = a .. 'b'", "a < b", 2000),
        ("local t = {} for i = 1, 100 do t[i] = i end", "cmsgpack.pack(t)", 100 * 16),
        ("local s = cmsgpack.pack({1, 2, 3, 4, 5, 6, 7, 8, 9, 10})", "cmsgpack.unpack(s)", 100),
        ("", "struct.pack('i32', 1)", 40),
    ] {
        let found = steps_of(before, expression);
        assert!((least..4 * least).contains(&found), "{expression}: {found}");
    }
}

#[test]
fn values_that_are_passed_take_steps() {
    let many = "local function f(...) return 1 end local function run(...)";
    for (call, least) in [("f(...)", 500), ("select('#', ...)", 250), ("math.max(...)", 1000)] {
        let body = |text: &str| {
            format!(
                "{many} for i = 1, 100 do {text} end end local t = {{}} for i = 1, 1000 do t[i] = i end run(unpack(t)) return 0"
            )
        };
        let found = (steps(&body(&format!("local x = {call}"))) - steps(&body(""))) / 100;
        assert!((least..4 * least).contains(&found), "{call}: {found}");
    }
    let names: Vec<String> = (0..180).map(|number| format!("a{number}")).collect();
    let wide = format!("local function f() local {} end", names.join(","));
    assert!(steps_of(&wide, "f()") > 45);
}

#[test]
fn calls_errors_and_searches_take_steps() {
    for (before, expression, least) in [
        ("local f = math.floor", "f(1.5)", 6),
        ("local f = error", "pcall(f)", 50),
        ("local a, b = 1.7, 1.3", "a ^ b", 60),
        ("", "math.sin(i)", 60),
        ("local t = {} for i = 1, 1e5 do t[i] = i end t[1e5] = nil", "#t", 30),
        ("local t = {} for i = 1, 90 do t = setmetatable({}, {__index = t}) end", "t.a", 350),
    ] {
        let found = steps_of(before, expression);
        assert!((least..4 * least).contains(&found), "{expression}: {found}");
    }
}

#[test]
fn commands_take_steps_by_the_elements_that_they_touch() {
    let fill = "for i = 1, 1000 do redis.call('rpush', 'l', i * 7919 % 1009) end";
    for (call, least) in [
        ("'lrange', 'l', 0, -1", 64_000),
        ("'sort', 'l'", 64 * 9_000),
        ("'ping'", 100),
        ("'keys', '*'", 262_144),
        ("'dbsize'", 16_384),
    ] {
        let found =
            steps(&format!("{fill} redis.call({call}) return 0")) - steps(&format!("{fill} return 0"));
        assert!((least..4 * least).contains(&found), "{call}: {found}");
    }
    assert!(steps("redis.log(redis.LOG_DEBUG, 'x') return 0") > 2_000);
}

#[test]
fn instructions_take_more_steps_where_much_memory_is_in_use() {
    let run = |rows: usize| {
        let fill = format!("local s = {{}} for i = 1, {rows} do s[i] = {{i, i, i, i, i, i, i, i}} end");
        steps(&format!("{fill} for i = 1, 1e5 do end return 0")) - steps(&format!("{fill} return 0"))
    };
    let (few, many) = (run(10), run(150_000));
    assert!(ARENA_BYTES > 40 << 20 && many > 8 * few, "{few} and {many}");
}

#[test]
fn what_commands_remove_and_pass_takes_steps() {
    let fill = |call: &str| format!("for i = 1, 1000 do redis.call({call}) end");
    let (set, list) = (fill("'sadd', 'k', i"), fill("'rpush', 'k', i"));
    let (sorted, stream) = (fill("'zadd', 'k', i, i"), fill("'xadd', 'k', i .. '-0', 'f', 'v'"));
    let packed = "for i = 1, 100 do redis.call('hset', 'k', i, i) end".to_owned();
    let group = format!(
        "{stream} redis.call('xgroup', 'create', 'k', 'g', 0) redis.call('xreadgroup', 'group', 'g', 'c', 'count', 1000, 'streams', 'k', '>')"
    );
    for (fill, call, least) in [
        (&set, "'spop', 'k', 500", 500 * 64),
        (&list, "'lpop', 'k', 500", 500 * 64),
        (&list, "'rpop', 'k', 5000", 1000 * 64),
        (&list, "'lmpop', 2, 'none', 'k', 'LEFT', 'COUNT', 500", 500 * 64),
        (&list, "'ltrim', 'k', 500, 599", 900 * 64),
        (&list, "'lindex', 'k', 500", 500),
        (&list, "'lset', 'k', -500, 'x'", 500),
        (&list, "'lrange', 'k', 500, 500", 500),
        (&sorted, "'zpopmin', 'k', 500", 500 * 64),
        (&sorted, "'zmpop', 1, 'k', 'MIN', 'COUNT', 500", 500 * 64),
        (&sorted, "'zremrangebyrank', 'k', 0, 499", 500 * 64),
        (&packed, "'hmget', 'k', 1, 2, 3, 4", 800),
        (&packed, "'hset', 'k', 1, 1", 400),
        (&sorted, "'zremrangebyscore', 'k', '-inf', 500", 500 * 64),
        (&sorted, "'zremrangebylex', 'k', '-', '+'", 1000 * 64),
        (&stream, "'xadd', 'k', 'MAXLEN', 999, '*', 'f', 'v'", 4000),
        (&stream, "'xtrim', 'k', 'MINID', '50-0'", 4000),
        (&stream, "'xdel', 'k', '7-0', '507-0'", 4000),
        (&group, "'xgroup', 'destroy', 'k', 'g'", 1000 * 16),
    ] {
        let found =
            steps(&format!("{fill} redis.call({call}) return 0")) - steps(&format!("{fill} return 0"));
        assert!((least..4 * least + 1000).contains(&found), "{call}: {found}");
    }
    let plain = steps(&format!("{stream} return 0"));
    for option in ["'*'", "'MAXLEN', '~', 10, '*'"] {
        let added = steps(&format!("{stream} redis.call('xadd', 'k', {option}, 'f', 'v') return 0"));
        assert!(added - plain < 1000, "{option}: {}", added - plain);
    }
}
