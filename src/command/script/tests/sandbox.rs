//! What a script can't reach, and what it can't change for the next one.

use crate::command::testing::TestDb;

#[test]
fn globals_are_read_only_and_missing_ones_are_errors() {
    let mut db = TestDb::new();
    let readonly = "ERR user_script:1: Attempt to modify a readonly table";
    for (body, error) in [
        ("x = 1", readonly),
        ("string.x = 1", readonly),
        ("redis.call = nil", readonly),
        ("KEYS = {}", readonly),
        ("_G.x = 1", readonly),
        ("cjson.null = 1", readonly),
        ("function f() end", readonly),
        ("getmetatable('').__index = {}", readonly),
        ("getmetatable(_G).__index = nil", readonly),
        ("rawset(_G, 'x', 1)", "ERR Attempt to modify a readonly table"),
        ("rawset(redis, 'x', 1)", "ERR Attempt to modify a readonly table"),
        ("table.insert(redis, 1)", "ERR Attempt to modify a readonly table"),
        ("setmetatable(_G, {})", "ERR Attempt to modify a readonly table"),
        ("setmetatable(string, {})", "ERR Attempt to modify a readonly table"),
        ("return x", "ERR user_script:1: Script attempted to access nonexistent global variable 'x'"),
        ("print(1)", "ERR user_script:1: Script attempted to access nonexistent global variable 'print'"),
    ] {
        assert_eq!(db.script(body), error, "{body}");
    }
}

#[test]
fn what_reaches_out_of_a_script_is_not_there() {
    let mut db = TestDb::new();
    for name in [
        "io", "debug", "require", "package", "module", "dofile", "loadfile", "newproxy", "getfenv", "setfenv",
    ] {
        let error = db.script(&format!("return {name}"));
        assert!(error.contains("nonexistent global variable"), "{name}: {error}");
    }
    assert_eq!(db.script("return string.dump == nil"), "1");
    assert_eq!(
        db.script("local names = {} for name in pairs(os) do names[#names + 1] = name end return names"),
        "[clock]"
    );
    for (body, reply) in [
        ("return loadstring('return 7')()", "7"),
        ("return load(function() return nil end) ~= nil", "1"),
        ("return loadstring('\\27Lua') == nil", "1"),
        ("local n = 0 return load(function() n = n + 1 return n == 1 and '\\27Lua' or nil end) == nil", "1"),
        ("return select(2, loadstring('x x'))", "[string \"x x\"]:1: '=' expected near 'x'"),
        (
            "return select(2, pcall(loadstring('y = 1')))",
            "[string \"y = 1\"]:1: Attempt to modify a readonly table",
        ),
    ] {
        assert_eq!(db.script(body), reply, "{body}");
    }
}

#[test]
fn nothing_of_a_script_is_left_for_the_next() {
    let mut db = TestDb::new();
    db.script("local t = KEYS t.left = 1 ARGV.left = 2 cjson.decode_max_depth(3) redis.setresp(3) return 1");
    assert_eq!(
        db.script("return {tostring(KEYS.left), tostring(ARGV.left), cjson.decode_max_depth()}"),
        "[nil nil 1000]"
    );
}

#[test]
fn addresses_are_the_same_in_every_state() {
    let body = "local t, keys = {}, {} for i = 1, 50 do t[{}] = i t[function() end] = i t['k' .. i] = i end
        for k, v in pairs(t) do keys[#keys + 1] = tostring(k) .. v end
        return tostring({}) .. tostring(print_nothing or redis.call) .. table.concat(keys)";
    let body = body.replace("print_nothing or ", "");
    let run = || {
        let mut db = TestDb::new();
        db.script(&body)
    };
    let first = run();
    assert!(first.contains("table: 0x") && first.len() > 1000, "{first}");
    let other = std::thread::spawn({
        let body = body.clone();
        move || TestDb::new().script(&body)
    });
    assert_eq!(other.join().expect("a thread runs it"), first);
    assert_eq!(run(), first);
}

#[test]
fn coroutines_and_protected_calls_work() {
    let mut db = TestDb::new();
    for (body, reply) in [
        ("local c = coroutine.wrap(function() coroutine.yield(1) return 2 end) return {c(), c()}", "[1 2]"),
        ("local c = coroutine.wrap(function() return redis.call('set','a','b').ok end) return c()", "OK"),
        ("return {pcall(function() return 1, 2 end)}", "[1 1 2]"),
        (
            "return {xpcall(function() error('x') end, function(e) return 'h:' .. e end)}",
            "[nil h:user_script:1: x]",
        ),
        ("return {pcall(error, {err='E x'})}", "[nil E x]"),
        ("return {tostring(pcall(error))}", "[false]"),
        (
            "local ok, e = pcall(string.rep) return e",
            "bad argument #1 to '?' (string expected, got no value)",
        ),
        ("return 2 ^ 10 .. '' .. 7 % 3 .. math.floor(2.7) .. math.max(1, 3)", "1024123"),
        ("return string.format('%5.1f|%s|%q|%d', 3.14159, 'a', 'b\"', 7)", "  3.1|a|\"b\\\"\"|7"),
        ("return ('hello world'):gsub('o', '0')", "hell0 w0rld"),
        ("return ('k=v, l=w'):match('(%w+)=(%w+)$')", "l"),
        ("local r = {} for k in ('a,b,c'):gmatch('%a') do r[#r+1] = k end return r", "[a b c]"),
    ] {
        assert_eq!(db.script(body), reply, "{body}");
    }
}
