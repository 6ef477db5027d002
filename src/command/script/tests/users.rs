//! Scripts of limited users: judged by the rules that the system database has when they run.

use crate::command::testing::TestDb;

fn database(rules: &str) -> TestDb {
    crate::session::table::know_commands();
    let mut db = TestDb::new();
    let set = [&b"_sysset"[..], b"user:bob", b"", rules.as_bytes()];
    assert_eq!(db.run_args(&set), b"+OK\r\n");
    db
}

/// Runs a script as bob's is logged, or as one that is read.
fn run_as(db: &mut TestDb, command: &str, user: &str, body: &str) -> String {
    let args = [command, user, body, "0"].map(str::as_bytes);
    let reply = String::from_utf8_lossy(&db.run_args(&args)).into_owned();
    crate::command::testing::show_reply(&reply).split(" script: ").next().unwrap_or_default().to_owned()
}

const NO_KEY: &str = "ERR The user executing the script can't access at least one of the keys mentioned in the command arguments";

#[test]
fn a_deleted_users_script_does_not_run() {
    let mut db = database("on nopass ~a* +@all");
    assert_eq!(run_as(&mut db, "_eval", "bob", "return redis.call('set','a','1').ok"), "OK");
    db.show("_sysdel user:bob");
    let gone = "NOPERM the user bob is gone: its script did not run";
    assert_eq!(run_as(&mut db, "_eval", "bob", "return redis.call('set','a','2').ok"), gone);
    assert_eq!(run_as(&mut db, "_eval_ro", "bob", "return 1"), gone);
    assert_eq!(db.show("GET a"), "1");
    // The user `default` is always there, and may do everything unless rules say otherwise.
    assert_eq!(run_as(&mut db, "_eval", "default", "return redis.call('set','b','2').ok"), "OK");
}

#[test]
fn rules_of_the_moment_decide_and_what_was_written_before_a_denial_stays() {
    let mut db = database("on nopass ~a* +@all");
    let body = "redis.call('set','a1','x') return redis.call('get','b')";
    assert_eq!(run_as(&mut db, "_eval", "bob", body), NO_KEY);
    assert_eq!(db.show("GET a1"), "x");
    db.run_args(&[b"_sysset", b"user:bob", b"on nopass ~a* +@all", b"on nopass ~* +@all -set"]);
    let denied = "ERR The user executing the script can't run this command or subcommand";
    assert_eq!(run_as(&mut db, "_eval", "bob", body), denied);
    assert_eq!(run_as(&mut db, "_eval_ro", "bob", "return redis.call('get','a1')"), "x");
}

#[test]
fn comparing_keys_with_many_patterns_takes_steps() {
    let patterns: Vec<String> = (0..900).map(|number| format!("~*{number}*x*y")).collect();
    let mut db = database(&format!("on nopass {} +@all", patterns.join(" ")));
    let body = "local k = ('k'):rep(10000) while true do redis.pcall('get', k) end";
    assert!(run_as(&mut db, "_eval", "bob", body).contains("more than 200000000 steps"));
}

#[test]
fn a_limited_users_calls_count_as_what_it_sent() {
    for (logged, sent) in
        [("_eval", "eval"), ("_eval_ro", "eval_ro"), ("_fcall", "fcall"), ("_fcall_ro", "fcall_ro")]
    {
        let index = crate::command::lookup(sent.as_bytes()).map(|row| row.index);
        let row = crate::command::lookup(logged.as_bytes());
        assert_eq!(row.map(|row| row.counted_index()), index);
        assert_eq!(Some(crate::command::statistic_index(&[logged.as_bytes(), b"bob", b"x", b"0"])), index);
    }
    let slow = crate::command::stopwatch::shortened(&[b"_eval", b"bob", b"return 1", b"0"]);
    assert_eq!(slow, [&b"eval"[..], b"return 1", b"0"]);
}
