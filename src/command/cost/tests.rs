//! Costs of single commands, and what a forecast makes of them.

use perdura_testkit::hostile::{Lines, Row, data};

use super::*;
use crate::command::testing::{TestDb, split_words};
use crate::command::{Handler, commands};
use crate::keyspace::view::LockSet;

fn cost(db: &TestDb, forecast: &Forecast, line: &str) -> Cost {
    let words = split_words(line);
    let args: Vec<&[u8]> = words.iter().map(String::as_bytes).collect();
    db.cost(&args, forecast)
}

fn with_sets() -> TestDb {
    let mut db = TestDb::new();
    let members: String = (0..1000).map(|n| format!(" m{n}")).collect();
    db.run(&format!("SADD {{t}}s{members}"));
    db.run("SADD {t}few a b c");
    db
}

#[test]
fn a_set_named_again_costs_nothing() {
    let db = with_sets();
    let once = cost(&db, &Forecast::default(), "SUNIONSTORE d{t} {t}s");
    let often = format!("SUNIONSTORE d{{t}}{}", " {t}s".repeat(5000));
    let often = cost(&db, &Forecast::default(), &often);
    assert!(once.steps >= 1000 && often.steps < once.steps + 6000, "{once:?} {often:?}");
    let weighed = format!("ZUNIONSTORE d{{t}} 5000{}", " {t}s".repeat(5000));
    let weighed = cost(&db, &Forecast::default(), &weighed);
    assert!(weighed.steps < 1_000_000, "{weighed:?}");
}

/// Scores are added in the order of the names, so sources of one size that are named alternately are not walked once.
#[test]
fn sources_of_one_size_that_alternate_cost_what_it_takes_to_unite_them() {
    let mut db = TestDb::new();
    for n in 0..12 {
        for member in 0..100 {
            db.run(&format!("ZADD {{t}}{n} 1 {member}"));
        }
    }
    let steps = |sources: usize| {
        let names: Vec<String> = (0..600).map(|n| format!("{{t}}{}", n % sources)).collect();
        cost(&db, &Forecast::default(), &format!("ZUNIONSTORE {{t}}d 600 {}", names.join(" "))).steps
    };
    assert!(steps(1) < 10_000, "{}", steps(1));
    assert!((10_000..25_000).contains(&steps(8)), "{}", steps(8));
    assert!(steps(12) > 450_000, "{}", steps(12));
}

#[test]
fn each_operation_costs_what_it_walks() {
    let db = with_sets();
    let forecast = Forecast::default();
    let steps = |line: &str| cost(&db, &forecast, line).steps;
    assert!(steps("SINTERSTORE d{t} {t}s {t}few") < 20);
    assert_eq!(steps("SINTERSTORE d{t} {t}s {t}few {t}none"), 5);
    assert!(steps("SDIFFSTORE d{t} {t}few {t}s") > 1000);
    assert!(steps("SORT {t}s BY nosort GET # GET # GET # STORE d{t}") > 4000);
    assert!(steps("ZUNIONSTORE d{t} x {t}s") < 10);
    assert!(steps("COPY {t}s d{t}") > 1000);
}

#[test]
fn a_read_costs_what_it_walks() {
    let mut db = with_sets();
    let elements: String = (0..1000).map(|n| format!(" {n} e{n}")).collect();
    for fill in ["HSET {t}h", "ZADD {t}z"] {
        db.run(&format!("{fill}{elements}"));
    }
    db.run(&format!("RPUSH {{t}}l{elements}"));
    db.run("SETRANGE {t}string 7999 x");
    let steps = |line: &str, forecast: &Forecast| cost(&db, forecast, line).steps;
    let exact = Forecast::default();
    for whole in [
        "HGETALL {t}h",
        "HKEYS {t}h",
        "HVALS {t}h",
        "SMEMBERS {t}s",
        "LPOS {t}l none",
        "LRANGE {t}l 0 -1",
        "ZRANGE {t}z 0 -1",
        "ZRANGEBYSCORE {t}z -inf +inf",
        "ZREVRANGEBYLEX {t}z + -",
        "SRANDMEMBER {t}s 5000",
        "ZRANDMEMBER {t}z -5000",
        "HSCAN {t}h 0 COUNT 1000",
        "DUMP {t}h",
    ] {
        assert!(steps(whole, &exact) >= 1000, "{whole}");
    }
    for few in [
        "LRANGE {t}l 0 9",
        "LRANGE {t}l -10 -1",
        "LPOS {t}l none MAXLEN 10",
        "ZRANGE {t}z 0 9",
        "ZREVRANGE {t}z 0 9",
        "ZRANGEBYSCORE {t}z 5 9",
        "ZRANGEBYSCORE {t}z -inf +inf LIMIT 5 10",
        "SRANDMEMBER {t}s",
        "HRANDFIELD {t}h 9",
        "HGETALL {t}none",
        "LRANGE {t}l a b",
    ] {
        assert!(steps(few, &exact) < 20, "{few}");
    }
    assert!(steps("LCS {t}string {t}string", &exact) > 7_000_000);
    assert!(steps("SCAN 0", &exact) < 2000 && steps("KEYS *", &exact) < 2000);
    assert!(steps(&format!("KEYS *{}*", "k".repeat(8000)), &exact) > 5000);
    // A planned command may add to it, and what it takes away may bring other places into the range.
    let mut added = Forecast::default();
    added.add(Cost::of_arguments(500, 0), std::iter::empty());
    assert!(steps("LRANGE {t}none 0 -1", &added) >= 500 && steps("KEYS *", &added) >= 1500);
    assert!(steps("LRANGE {t}l -700 600", &added) >= 600 && steps("ZRANGE {t}z -700 600", &added) >= 600);
}

#[test]
fn reads_of_a_transaction_are_refused_once_they_touch_too_much_together() {
    let db = with_sets();
    let view = db.keyspace().read(LockSet::ALL);
    let context = ReadContext::new(&view, 0, 0, 0);
    let command = crate::command::lookup(b"smembers").expect("a command").command;
    let mut steps = reads::ReadSteps::of_transaction();
    let args: [&[u8]; 2] = [b"smembers", b"{t}s"];
    let taken = (0..MAX_STEPS).find(|_| steps.take(command, &context, &args).is_err());
    assert!(taken.is_some_and(|taken| (99_000..100_000).contains(&taken)), "{taken:?}");
    let refused = steps.take(command, &context, &args).map_err(|error| error.to_string());
    let text = "ERR the transaction would touch 100000";
    assert!(refused.is_err_and(|error| error.starts_with(text) && error.ends_with("limit is 100000000")));
    assert!(steps.take(command, &context, &[b"smembers", b"{t}none"]).is_ok(), "others are taken");
}

#[test]
fn bytes_are_those_of_the_sources() {
    let mut db = TestDb::new();
    db.run("SETRANGE {t}a 1000000 x");
    db.run("SET k1 0123456789");
    db.run("RPUSH l 1 1 1");
    let bytes = |line: &str| cost(&db, &Forecast::default(), line).bytes();
    assert!(bytes("COPY {t}a {t}b") > 1_000_000);
    assert!(bytes("SET {t}b x") < 1000);
    assert_eq!(bytes("DEL {t}a"), 0);
    assert!(bytes("SETRANGE {t}b 5000000 x") > 5_000_000);
    assert!(bytes("SETRANGE {t}a 1 x") < 1000);
    assert!(bytes("SETRANGE {t}b 99999999999 x") < 1000, "it will be refused");
    assert!(bytes("APPEND {t}a x") > 1_000_000);
    let found = bytes("SORT l GET k* STORE d") - bytes("SORT l GET no STORE d");
    assert_eq!(found, 30);
}

#[test]
fn what_is_planned_counts_for_what_comes_after_it() {
    let db = TestDb::new();
    let mut forecast = Forecast::default();
    let filled = cost(&db, &forecast, "SETRANGE {t}a 1000000 x");
    forecast.add(filled, [&b"{t}a"[..]].into_iter());
    let copied = cost(&db, &forecast, "COPY {t}a {t}b");
    assert!(copied.bytes() > 1_000_000);
    forecast.tell_keys_apart();
    for n in 0..40 {
        let copied = cost(&db, &forecast, &format!("COPY {{t}}a {{t}}{n}"));
        assert!(copied.bytes() < 1_100_000, "bounds must not double");
        forecast.add(copied, [format!("{{t}}{n}").as_bytes()].into_iter());
    }
    assert!(forecast.total().bytes() > 40_000_000);
    let again = cost(&db, &forecast, "COPY {t}39 {t}x");
    assert!(again.bytes() > 2_000_000 && again.bytes() < 3_000_000);
    forecast.moved_values();
    assert!(cost(&db, &forecast, "COPY {t}a {t}y").refusal("command").is_some());
}

/// The destination was said to hold its result beside what it held: the bound doubled each time that it was its own source.
#[test]
fn a_value_that_is_stored_takes_the_place_of_another() {
    let mut db = with_sets();
    let members: String = (0..1000).map(|n| format!(" {n} m{n}")).collect();
    db.run(&format!("ZADD {{t}}z{members}"));
    db.run(&format!("RPUSH {{t}}l{members}"));
    for (line, key, gains) in [
        ("SUNIONSTORE {t}s {t}s {t}few", "{t}s", 3),
        ("SDIFFSTORE {t}s {t}s {t}few", "{t}s", 0),
        ("ZUNIONSTORE {t}z 2 {t}z {t}few", "{t}z", 3),
        ("ZINTERSTORE {t}z 2 {t}z {t}z", "{t}z", 0),
        ("ZRANGESTORE {t}z {t}z 0 -1", "{t}z", 0),
        ("SORT {t}l ALPHA STORE {t}l", "{t}l", 0),
    ] {
        let mut forecast = Forecast::default();
        forecast.tell_keys_apart();
        let first = cost(&db, &forecast, line);
        let mut last = first;
        for _ in 0..200 {
            last = cost(&db, &forecast, line);
            forecast.store(last, [key.as_bytes()].into_iter());
        }
        let most = first.growth.elements + 200 * gains;
        assert!(last.growth.elements <= most, "{line}: {first:?}, then {last:?}");
        assert!(
            last.growth.bytes <= 2 * first.growth.bytes + 200 * gains * 500,
            "{line}: {first:?}, {last:?}"
        );
        assert!(last.steps <= 4 * first.steps + 200 * gains * 10, "{line}: {first:?}, then {last:?}");
        // What is added in between counts.
        forecast.add(Cost::of_arguments(500, 0), [key.as_bytes()].into_iter());
        assert!(cost(&db, &forecast, line).growth.elements >= last.growth.elements + 500, "{line}");
        // It counts once, however often the key is stored after that.
        for _ in 0..200 {
            last = cost(&db, &forecast, line);
            forecast.store(last, [key.as_bytes()].into_iter());
        }
        assert!(last.growth.elements <= most + 500 + 200 * gains, "{line}: {first:?}, then {last:?}");
    }
}

/// Steps counted no bytes: what moves 500 MB each time took as many as what moves one.
#[test]
fn what_moves_a_long_string_costs_its_bytes() {
    let mut db = TestDb::new();
    db.run("SETRANGE {t}a 6399999 x");
    db.run("RPUSH {t}l a b c");
    let exact = Forecast::default();
    let steps = |line: &str, forecast: &Forecast| cost(&db, forecast, line).steps;
    for line in ["RENAME {t}a {t}bb", "RENAMENX {t}a {t}bb", "COPY {t}a {t}b", "SETRANGE {t}b 6400000 x"] {
        assert!((100_000..101_000).contains(&steps(line, &exact)), "{line}: {}", steps(line, &exact));
    }
    assert!(steps("SETRANGE {t}a 6400000 x", &exact) >= 100_000);
    let class = "x".repeat(1_000_000);
    assert!(steps(&format!("APPEND {{t}}a {class}"), &exact) >= 100_000);
    for line in ["RENAME {t}l {t}m", "MOVE {t}a 1", "APPEND {t}a x", "SETRANGE {t}a 0 x", "GETSET {t}a x"] {
        assert!(steps(line, &exact) < 10, "{line}: {}", steps(line, &exact));
    }
    // Where it is planned that it goes to another key, it is there that it is long.
    let mut carried = Forecast::default();
    carried.tell_keys_apart();
    let now = Size { elements: 1, bytes: 6_400_000 };
    carried.carried(b"{t}a", now, [&b"{t}a"[..], b"{t}bb"].into_iter());
    assert!(steps("RENAME {t}bb {t}a", &carried) >= 100_000);
    assert!(steps("RENAME {t}c {t}d", &carried) < 10);
}

/// Patterns were charged by keys and elements: a name of 1 MB is looked at for 16 ms each time.
#[test]
fn what_looks_at_long_texts_costs_their_bytes() {
    let mut db = TestDb::new();
    let long = "a".repeat(1_000_000);
    let exact = Forecast::default();
    let steps = |db: &TestDb, line: &str, forecast: &Forecast| cost(db, forecast, line).steps;
    let pattern = "*aaaaaaaaaaaaaaab";
    let of_names = [format!("KEYS {pattern}"), format!("SCAN 0 MATCH {pattern}")];
    assert!(of_names.iter().all(|line| steps(&db, line, &exact) < 2000));
    let mut planned = Forecast::default();
    planned.logged(1_000_000);
    assert!(of_names.iter().all(|line| steps(&db, line, &planned) > 200_000));
    db.run(&format!("SET {long} x"));
    assert!(of_names.iter().all(|line| steps(&db, line, &exact) > 250_000));
    assert!(["KEYS *", "SCAN 0", "SCAN 0 MATCH **"].iter().all(|line| steps(&db, line, &exact) < 2000));
    db.run(&format!("DEL {long}"));
    assert!(of_names.iter().all(|line| steps(&db, line, &exact) < 2000));
    let members: String = (0..2000).map(|n| format!(" {n} member:{n}")).collect();
    for (fill, scan) in
        [("HSET {t}h", "HSCAN {t}h 0"), ("SADD {t}s", "SSCAN {t}s 0"), ("ZADD {t}z", "ZSCAN {t}z 0")]
    {
        let matching = format!("{scan} COUNT 100000 MATCH {pattern}");
        db.run(&format!("{fill}{members}"));
        assert!(steps(&db, &matching, &exact) < 40_000, "{scan}: {}", steps(&db, &matching, &exact));
        db.run(&format!("{fill} 0 {long}"));
        let is_value = scan.starts_with('H');
        assert_eq!(steps(&db, &matching, &exact) > 250_000, !is_value, "{scan}");
        db.run(&format!("HSET {{t}}h {long} 0"));
        assert!(steps(&db, &matching, &exact) > 250_000, "{scan}");
        assert!(steps(&db, &format!("{scan} COUNT 10"), &exact) < 2000, "{scan}");
    }
    db.run(&format!("RPUSH {{t}}l {long} {long} c"));
    for line in [
        "SINTERCARD 2 {t}s {t}s",
        "SUNIONSTORE {t}d {t}s",
        "SDIFF {t}s {t}h",
        "ZUNION 1 {t}z",
        "SORT_RO {t}l ALPHA",
        "SORT_RO {t}l BY nosort GET #",
    ] {
        assert!(steps(&db, line, &exact) > 15_000, "{line}: {}", steps(&db, line, &exact));
    }
    for line in ["LPOS {t}l TEXT", "LREM {t}l 0 TEXT", "LINSERT {t}l BEFORE TEXT x"] {
        assert!(steps(&db, &line.replace("TEXT", "c"), &exact) < 20, "{line}");
        assert!(steps(&db, &line.replace("TEXT", &long), &exact) > 30_000, "{line}");
    }
}

#[test]
fn randomkey_walks_all_keys_only_where_some_may_be_dead() {
    let mut db = TestDb::new();
    (0..5000).for_each(|n| drop(db.run(&format!("SET key:{n} x PX 1000"))));
    assert!(cost(&db, &Forecast::default(), "RANDOMKEY").steps < 2000);
    db.at(1_001_000);
    assert!(cost(&db, &Forecast::default(), "RANDOMKEY").steps > 5000);
}

#[test]
fn zrangestore_costs_what_it_takes() {
    let mut db = TestDb::new();
    let members: String = (0..1000).map(|n| format!(" {n} member:{n}")).collect();
    db.run(&format!("ZADD {{t}}z{members}"));
    let whole = cost(&db, &Forecast::default(), "ZRANGESTORE {t}d {t}z 0 -1");
    assert!(whole.steps >= 1000 && whole.bytes() > 9000, "{whole:?}");
    let few = cost(&db, &Forecast::default(), "ZRANGESTORE {t}d {t}z 5 9 BYSCORE");
    assert!(few.steps < 30 && few.bytes() < 2000, "{few:?}");
    let mut planned = Forecast::default();
    planned.add(Cost::of_arguments(3, 30), std::iter::empty());
    let few = cost(&db, &planned, "ZRANGESTORE {t}d {t}z 0 9");
    assert!(few.steps < whole.steps && few.bytes() > 9000, "{few:?}");
    let mut apart = Forecast::default();
    apart.tell_keys_apart();
    apart.add(Cost::of_arguments(3, 30), [&b"{t}other"[..]].into_iter());
    let few = cost(&db, &apart, "ZRANGESTORE {t}d {t}z 0 9");
    assert!(few.steps < 30 && few.bytes() < 2000, "{few:?}");
}

#[test]
fn only_too_much_is_refused() {
    let cost = |steps| Cost { steps, ..Cost::default() };
    assert_eq!(cost(MAX_STEPS).refusal("command"), None);
    let refused = cost(MAX_STEPS + 1).refusal("transaction").map(|error| error.to_string());
    let text = "ERR the transaction would touch 100000001 elements, the limit is 100000000";
    assert_eq!(refused.as_deref(), Some(text));
}

/// An element more may make a small collection a big one, with an index of all that it has.
const CONVERSION_BYTES: u64 = 64 << 10;
/// Lines of words, and after how many of them the data is made anew.
const LINES: usize = 300;
const LINES_A_ROUND: usize = 150;

fn filled() -> TestDb {
    let mut db = TestDb::new();
    data().iter().for_each(|line| drop(db.run(line)));
    db
}

/// Elements that are moved take bytes of their own while their first place keeps them.
#[test]
fn no_command_grows_the_data_by_more_than_it_costs() {
    let writes = commands().filter(|row| row.command.is_write() && !row.command.moves());
    let rows = writes.map(|row| Row { words: vec![row.command.name], arity: row.command.arity }).collect();
    let mut lines = Lines::new(5, rows);
    let dumped = ["s:text", "l:small", "m:integers", "m:small", "h:small", "z:small", "z:large", "x:large"];
    let payload = |reply: Vec<u8>| {
        let start = reply.iter().position(|byte| *byte == b'\n').expect("a bulk string's header") + 1;
        reply[start..reply.len() - 2].to_vec()
    };
    let mut db = filled();
    lines.dumps = dumped.iter().map(|key| payload(db.run_args(&[b"DUMP", key.as_bytes()]))).collect();
    for number in 0..LINES {
        if number % LINES_A_ROUND == 0 {
            db = filled();
        }
        let line = lines.next_line();
        let args: Vec<&[u8]> = line.iter().map(Vec::as_slice).collect();
        let Some(command) = crate::command::lookup(args[0]).map(|row| row.command) else { continue };
        if !command.arity_fits(args.len()) || !matches!(command.handler_for(&args), Handler::Write(_)) {
            continue;
        }
        let cost = db.growth(&args);
        let before = db.memory_bytes();
        db.run_args(&args);
        let grown = db.memory_bytes().saturating_sub(before);
        let shown: Vec<String> =
            args.iter().map(|arg| arg[..arg.len().min(60)].escape_ascii().to_string()).collect();
        assert!(grown <= cost.bytes + CONVERSION_BYTES, "{grown} > {cost:?}: {}", shown.join(" "));
    }
}

/// The allocator has few sizes for large values.
#[test]
fn room_that_large_values_have_beyond_their_bytes_is_foreseen() {
    let mut db = TestDb::new();
    let large = vec![b'x'; 1 << 20];
    db.run("RPUSH {t}l a");
    db.run_args(&[b"SET", b"{t}s", &[&large[..], b"y"].concat()]);
    let lines: [&[&[u8]]; 4] = [
        &[b"RPUSHX", b"{t}l", &large, &large, &large],
        &[b"LPUSH", b"{t}l", &large, &large],
        &[b"BITOP", b"OR", b"{t}d", b"{t}s"],
        &[b"SADD", b"{t}m", &large],
    ];
    for args in lines {
        let command = crate::command::lookup(args[0]).expect("a row").command;
        let foreseen = db.cost(args, &Forecast::default()).growth.bytes;
        let before = db.bytes_of_keys(command, args);
        db.run_args(args);
        let growth = db.bytes_of_keys(command, args) - before;
        assert!(growth > 1 << 20 && growth <= foreseen + 4096, "{}: {growth} of {foreseen}", command.name);
    }
}
