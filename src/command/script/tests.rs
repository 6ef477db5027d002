//! Scripts against a keyspace without a log: what Redis 7.0 answers, limits, and that nothing of a script that was ended stays.

mod functions;
mod modules;
mod runaway;
mod sandbox;
mod users;
mod weights;

use crate::command::testing::TestDb;

impl TestDb {
    /// Runs a script without keys.
    fn script(&mut self, body: &str) -> String {
        self.eval(body, &[], &[])
    }

    /// The reply made short, or the error's text without where it was raised.
    fn eval(&mut self, body: &str, keys: &[&str], values: &[&str]) -> String {
        let count = keys.len().to_string();
        let words = [&["EVAL", body, &count][..], keys, values].concat();
        let args: Vec<&[u8]> = words.iter().map(|word| word.as_bytes()).collect();
        let reply = String::from_utf8_lossy(&self.run_args(&args)).into_owned();
        let shown = crate::command::testing::show_reply(&reply);
        match reply.starts_with('-') {
            true => shown.split(" script: ").next().unwrap_or_default().to_owned(),
            false => shown,
        }
    }
}

#[test]
fn values_become_replies_as_in_redis() {
    let mut db = TestDb::new();
    for (body, reply) in [
        ("return 1", ":1\r\n"),
        ("return 3.99", ":3\r\n"),
        ("return -3.99", ":-3\r\n"),
        ("return 1e20", ":-9223372036854775808\r\n"),
        ("return 'x'", "$1\r\nx\r\n"),
        ("return true", ":1\r\n"),
        ("return false", "$-1\r\n"),
        ("return nil", "$-1\r\n"),
        ("return", "$-1\r\n"),
        ("return {1,2,{3,'four'},nil,5}", "*3\r\n:1\r\n:2\r\n*2\r\n:3\r\n$4\r\nfour\r\n"),
        ("return {ok='fine'}", "+fine\r\n"),
        ("return {err='MY error'}", "-MY error\r\n"),
        ("return redis.status_reply('fine')", "+fine\r\n"),
        ("return redis.error_reply('x y')", "-x y\r\n"),
        ("return redis.error_reply('x')", "-ERR x\r\n"),
        ("return redis.error_reply('-CODE y')", "-CODE y\r\n"),
        ("return {double=3.5}", "$3\r\n3.5\r\n"),
        ("return {map={a=1}}", "*2\r\n$1\r\na\r\n:1\r\n"),
        ("return {set={a=true}}", "*1\r\n$1\r\na\r\n"),
        ("return {big_number='123'}", "$3\r\n123\r\n"),
        ("return {verbatim_string={format='txt',string='hi'}}", "$2\r\nhi\r\n"),
        ("return function() end", "$-1\r\n"),
    ] {
        let reply_now = db.run_args(&[b"EVAL", body.as_bytes(), b"0"]);
        assert_eq!(String::from_utf8_lossy(&reply_now), reply, "{body}");
    }
    let mut db = TestDb::resp3();
    for (body, reply) in [
        ("return {map={a=1}}", "%1\r\n$1\r\na\r\n:1\r\n"),
        ("return {set={a=true}}", "~1\r\n$1\r\na\r\n"),
        ("return {double=3.5}", ",3.5\r\n"),
        ("return false", "_\r\n"),
        ("redis.setresp(3) return false", "#f\r\n"),
        ("return {big_number='12'}", "(12\r\n"),
        (
            "redis.setresp(3) redis.call('hset','h','f','v') return redis.call('hgetall','h')",
            "%1\r\n$1\r\nf\r\n$1\r\nv\r\n",
        ),
        (
            "redis.setresp(3) redis.call('zadd','z',1.5,'m') return redis.call('zscore','z','m').double * 2",
            ":3\r\n",
        ),
        ("redis.setresp(3) return redis.call('get','none') == nil", "#t\r\n"),
    ] {
        let reply_now = db.run_args(&[b"EVAL", body.as_bytes(), b"0"]);
        assert_eq!(String::from_utf8_lossy(&reply_now), reply, "{body}");
    }
}

#[test]
fn replies_become_values_as_in_redis() {
    let mut db = TestDb::new();
    db.show("SET s v");
    db.show("RPUSH l a b");
    for (body, reply) in [
        ("return type(redis.call('get','s'))", "string"),
        ("return type(redis.call('get','none'))", "boolean"),
        ("return redis.call('set','s','w').ok", "OK"),
        ("return #redis.call('lrange','l',0,-1)", "2"),
        ("return type(redis.call('incr','n'))", "number"),
        (
            "return redis.pcall('incr','l').err",
            "WRONGTYPE Operation against a key holding the wrong kind of value",
        ),
        (
            "local ok, e = pcall(redis.call,'incr','l') return {tostring(ok), e}",
            "[false WRONGTYPE Operation against a key holding the wrong kind of value]",
        ),
        ("return redis.call('set','f',1.5) and redis.call('get','f')", "1.5"),
        ("redis.call('set','f',0.1) return redis.call('get','f')", "0.10000000000000001"),
        ("redis.call('set','f',3) return redis.call('get','f')", "3"),
    ] {
        assert_eq!(db.script(body), reply, "{body}");
    }
}

#[test]
fn an_error_of_a_script_is_answered_byte_for_byte_and_counts_where_it_is_short() {
    let mut db = TestDb::new();
    let mut eval = |script: &str| db.run_args(&[b"EVAL", script.as_bytes(), b"0"]);
    assert_eq!(eval("return redis.error_reply('MY error')"), b"-MY error\r\n");
    assert_eq!(eval("return redis.error_reply('MY \\255\\254')"), b"-MY \xff\xfe\r\n");
    let long = eval("return redis.error_reply(string.rep('\\255', 100000))");
    assert!(long.starts_with(b"-ERR \xff") && long.len() == 100_007, "{} bytes", long.len());
}

#[test]
fn blocking_commands_do_not_wait() {
    let mut db = TestDb::new();
    for body in [
        "return redis.call('blpop','q',0)",
        "return redis.call('brpoplpush','q','r',0)",
        "return redis.call('bzpopmin','q',0)",
        "return redis.call('xread','block',0,'streams','s','$')",
    ] {
        assert_eq!(db.script(body), "nil", "{body}");
    }
    db.show("RPUSH q a");
    assert_eq!(db.script("return redis.call('blpop','q',0)"), "[q a]");
    assert_eq!(db.script("return redis.call('wait', 1, 0)"), "0");
    assert_eq!(db.script("return redis.call('waitaof', 1, 0, 0)"), "[0 0]");
}

#[test]
fn a_command_takes_as_many_arguments_as_lua_unpacks() {
    let mut db = TestDb::new();
    let body = "local a = {} for i = 1, 7998 do a[i] = i end return redis.call('lpush', 'l', unpack(a))";
    assert_eq!(db.script(body), "7998");
    let wrong = "local a = {} for i = 1, 7998 do a[i] = i end a[7998] = {} return redis.call('lpush', 'l', unpack(a))";
    assert_eq!(db.script(wrong), "ERR Lua redis lib command arguments must be strings or integers");
}

#[test]
fn functions_are_those_of_server_too_whose_errors_name_it() {
    let mut db = TestDb::new();
    assert_eq!(db.script("return server.call('set', 'k', 'v')"), "OK");
    assert_eq!(db.script("return server.sha1hex('') == redis.sha1hex('')"), "1");
    for table in ["redis", "server"] {
        for (body, error) in [
            ("log(1)", "ERR T.log() requires two arguments or more."),
            ("setresp()", "ERR T.setresp() requires one argument."),
            ("set_repl()", "ERR T.set_repl() requires two arguments."),
            ("acl_check_cmd('foo')", "ERR Invalid command passed to T.acl_check_cmd()"),
        ] {
            let error = error.replacen('T', table, 1);
            assert_eq!(db.script(&format!("return {table}.{body}")), error);
        }
    }
}

#[test]
fn the_clock_goes_by_steps() {
    let mut db = TestDb::new();
    let body = "local start = os.clock() for i = 1, 1000000 do end return tostring(os.clock() - start)";
    let (first, again) = (db.script(body), db.script(body));
    assert_eq!(first, again);
    let seconds: f64 = first.parse().expect("a number");
    assert!((0.005..0.1).contains(&seconds), "{seconds}");
}

#[test]
fn errors_are_those_of_redis() {
    let mut db = TestDb::new();
    db.show("SET s v");
    for (body, error) in [
        ("return redis.call('foo')", "ERR Unknown Redis command called from script"),
        ("return redis.call('set','a')", "ERR Wrong number of args calling Redis command from script"),
        ("return redis.call('subscribe','a')", "ERR This Redis command is not allowed from script"),
        ("return redis.call('eval','return 1','0')", "ERR This Redis command is not allowed from script"),
        ("return redis.call('client','id')", "ERR This Redis command is not allowed from script"),
        ("return redis.call('_freeexpired','a')", "ERR Unknown Redis command called from script"),
        ("return redis.call()", "ERR Please specify at least one argument for this redis lib call"),
        ("return redis.call(true)", "ERR Lua redis lib command arguments must be strings or integers"),
        ("redis.call('lpush','s','1')", "WRONGTYPE Operation against a key holding the wrong kind of value"),
        ("error('x')", "ERR user_script:1: x"),
        ("error({err='My Error'})", "My Error"),
        ("error()", "ERR nil"),
        ("error({})", "ERR unknown error"),
        ("local a = nil; return a.b", "ERR user_script:1: attempt to index local 'a' (a nil value)"),
        ("return redis.sha1hex()", "ERR wrong number of arguments"),
        ("return redis.setresp(4)", "ERR RESP version must be 2 or 3."),
        ("redis.log(1)", "ERR redis.log() requires two arguments or more."),
        ("redis.call('select','17')", "ERR DB index is out of range"),
        ("return redis.acl_check_cmd('foo')", "ERR Invalid command passed to redis.acl_check_cmd()"),
        (
            "syntax error",
            "ERR Error compiling script (new function): user_script:1: '=' expected near 'error'",
        ),
        ("if", "ERR Error compiling script (new function): user_script:1: unexpected symbol near '<eof>'"),
    ] {
        assert_eq!(db.script(body), error, "{body}");
    }
    let full = db.run_args(&[b"EVAL", b"return redis.call('foo')", b"0"]);
    let sha = super::scripts::sha1_hex(b"return redis.call('foo')");
    let place = format!(" script: {}, on @user_script:1.\r\n", String::from_utf8_lossy(&sha));
    assert!(String::from_utf8_lossy(&full).ends_with(&place), "{}", String::from_utf8_lossy(&full));
    for (line, error) in [
        ("EVAL \"return 1\" -1", "ERR Number of keys can't be negative"),
        ("EVAL \"return 1\" 2 a", "ERR Number of keys can't be greater than number of args"),
        ("EVAL \"return 1\" x", "ERR value is not an integer or out of range"),
        ("EVALSHA abc 0", "NOSCRIPT No matching script. Please use EVAL."),
    ] {
        assert_eq!(db.show(line), error, "{line}");
    }
}

#[test]
fn read_only_scripts_write_nothing() {
    let mut db = TestDb::new();
    db.show("SET s v");
    let refusal = "ERR Write commands are not allowed from read-only scripts.";
    assert!(db.show("EVAL_RO \"return redis.call('set','s','w')\" 0").starts_with(refusal));
    assert!(db.show("EVAL_RO \"return redis.call('publish','s','w')\" 0").starts_with(refusal));
    assert_eq!(db.show("EVAL_RO \"return redis.call('get',KEYS[1])\" 1 s"), "v");
    let flagged = "#!lua flags=no-writes\nreturn redis.call('set','s','w')";
    assert_eq!(db.script(flagged), refusal);
    assert_eq!(db.script("#!lua flags=no-writes\nreturn redis.call('get','s')"), "v");
    assert_eq!(db.show("GET s"), "v");
    assert_eq!(db.show("EVAL_RO \"redis.call('select',1) return redis.call('get','s')\" 0"), "nil");
}

#[test]
fn an_error_leaves_what_was_written_before_it() {
    let mut db = TestDb::new();
    assert_eq!(db.script("redis.call('set','a','1') error('x')"), "ERR user_script:1: x");
    assert_eq!(db.show("GET a"), "1");
}

#[test]
fn scripts_see_keys_values_and_one_moment() {
    let mut db = TestDb::new();
    assert_eq!(db.eval("return {KEYS[1],KEYS[2],ARGV[1],#ARGV}", &["a", "b"], &["c", "d"]), "[a b c 2]");
    assert_eq!(db.script("local t = redis.call('time') return t[1] .. '.' .. t[2]"), "1000.0");
    assert_eq!(db.script("redis.call('set','k','v','px',100) return redis.call('pttl','k')"), "100");
    assert_eq!(db.script("return redis.call('ping')"), "PONG");
    assert_eq!(db.script("return redis.call('echo','x')"), "x");
    assert_eq!(db.script("redis.call('select', 3) redis.call('set','far','1') return 1"), "1");
    assert_eq!(db.show("GET far"), "nil", "the selection ends with the script");
    assert_eq!(db.script("redis.call('publish','c','m') return 1"), "1");
    assert_eq!(db.effects.published.len(), 1);
    let random = "return math.random() .. ' ' .. math.random(10) .. ' ' .. math.random(5,6)";
    let (first, second) = (db.script(random), db.script(random));
    assert_ne!(first, second, "by the entry's seed");
    assert_eq!(
        db.script("math.randomseed(42) return math.random() .. ' ' .. math.random(1000)"),
        "0.74452500033403 343"
    );
}

#[test]
fn replies_without_an_order_of_their_own_are_by_name() {
    let mut db = TestDb::seeded();
    (0..300).for_each(|n| drop(db.show(&format!("SET key:{n} v"))));
    let walk = "local found, cursor = {}, '0' repeat local r = redis.call('scan', cursor, 'count', 7)
        cursor = r[1] for _, k in ipairs(r[2]) do found[#found + 1] = k end until cursor == '0'
        table.sort(found) return found";
    assert_eq!(db.script(walk), db.script("return redis.call('keys','*')"));
    assert_eq!(db.script("return #redis.call('keys','*')"), "300");
    let picks = "local r = {} for i = 1, 20 do r[i] = redis.call('randomkey') end return r";
    let first = db.script(picks);
    let keys: std::collections::BTreeSet<&str> = first.trim_matches(['[', ']']).split(' ').collect();
    assert!(keys.len() > 10, "{first}");
    assert_eq!(db.script("return redis.call('memory','usage','key:1') > 5"), "1");
}

#[test]
fn scripts_are_kept_with_the_data_and_the_oldest_are_forgotten() {
    use crate::keyspace::SYSTEM;
    let mut db = TestDb::new();
    let kept = |db: &TestDb| db.keyspace().usage(SYSTEM).keys;
    db.script("return 1");
    db.script("return 1");
    assert_eq!(kept(&db), 2, "the script and the totals");
    let load = [&b"_script"[..], b"LOAD", b"return 'loaded'"];
    assert_eq!(db.run_args(&load).len(), 47);
    for number in 0..700 {
        db.script(&format!("return {number} + 0"));
    }
    assert!((377..=503).contains(&kept(&db)), "{}", kept(&db));
    let script =
        super::script_named(&super::Scripts::default(), db.keyspace(), &super::scripts::sha1_hex(load[2]));
    assert_eq!(script.map(|script| script.body.to_vec()), Some(load[2].to_vec()), "what was loaded stays");
    assert_eq!(db.run_args(&[b"_script", b"FLUSH"]), b"+OK\r\n");
    assert_eq!(kept(&db), 1);
    assert!(db.run_args(&[b"_script", b"LOAD", b"syn tax"]).starts_with(b"-ERR Error compiling script"));
}
