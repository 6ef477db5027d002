//! What may be logged: by its length, by its steps, by the memory that it may need. What may not is refused alone.

use crate::shard::testing::Rig;

const MACHINE_BYTES: u64 = 1_000_000;

/// Each client sends a line, in this order; one turn takes all of them. Returns how each was answered.
fn answers(rig: &mut Rig, lines: &[&str]) -> Vec<String> {
    // Clients of one worker.
    let clients = || (1..).step_by(2).zip(lines);
    clients().for_each(|(client, line)| rig.send(client, line));
    rig.settle();
    let first_line = |answer: String| answer.lines().next().unwrap_or_default().to_owned();
    clients().map(|(client, _)| first_line(rig.answer(client))).collect()
}

#[test]
fn an_item_over_the_bound_of_the_log_fails_alone() {
    let mut rig = Rig::new(1);
    rig.limit_entries(1000);
    let long = format!("SET long {}", "x".repeat(2000));
    let exec = format!("SET e {} ; SET f {}", "x".repeat(600), "x".repeat(600));
    let most = format!("SET most {}", "x".repeat(700));
    let got = answers(&mut rig, &["SET a 1", &long, "SET b 1", &exec, &most, &most, &most, "GET b"]);
    let too_long = "-ERR the command takes 2014 bytes in the log, the limit is 967";
    let exec_too_long = "-EXECABORT Transaction discarded because of: ERR the transaction takes 1222 bytes in the log, the limit is 967";
    assert_eq!(got, ["+OK", too_long, "+OK", exec_too_long, "+OK", "+OK", "+OK", "$1"]);
    assert_eq!(rig.run(1, "EXISTS a b long e f most"), "3");
}

#[test]
fn waiters_that_an_entry_has_no_room_for_are_served_by_the_next() {
    let mut rig = Rig::new(1);
    rig.limit_entries(200);
    let keys: String = (0..30).map(|n| format!(" k{n}")).collect();
    for client in 1..=4 {
        rig.send(client, &format!("BLMOVE k d{client} LEFT RIGHT 0"));
    }
    rig.settle();
    assert_eq!(rig.run(9, &format!("RPUSH k{keys}")), "30");
    rig.settle();
    assert!((1..=4).all(|client| rig.answer(client).starts_with('$')));
}

#[test]
fn copies_end_in_oom_answers_and_the_rest_is_taken() {
    let mut rig = Rig::with_memory(1, MACHINE_BYTES);
    let filled = "SETRANGE {t}a 200000 x";
    let copies: Vec<String> = (0..10).map(|n| format!("COPY {{t}}a {{t}}{n}")).collect();
    // Sent together: none of them is applied when the first is looked at.
    let lines: Vec<&str> = [filled].into_iter().chain(copies.iter().map(String::as_str)).collect();
    let got = answers(&mut rig, &lines);
    let oom = "-OOM command not allowed: it could pass memory_guard, 850000 bytes, which is 85% of a small machine.";
    assert_eq!(got[..4], [":200001", ":1", ":1", ":1"]);
    assert!(got[4..].iter().all(|answer| answer == oom), "{got:?}");
    assert_eq!(rig.run(1, "SET {t}small x"), "OK");
    assert_eq!(rig.run(1, "EXPIRE {t}a 1000"), "1");
    assert_eq!(rig.run(1, "DEL {t}0 {t}1 {t}2"), "3");
    assert_eq!(rig.run(1, "COPY {t}a {t}b"), "1");
}

#[test]
fn maxmemory_refuses_what_needs_memory_and_nothing_else() {
    let mut rig = Rig::with_memory(1, MACHINE_BYTES);
    rig.limit_memory(100_000);
    let oom = "OOM command not allowed when used memory > 'maxmemory'.";
    assert_eq!(rig.run(1, "SET a 1"), "OK");
    assert_eq!(rig.run(1, "SETRANGE big 200000 x"), oom);
    assert_eq!(rig.run(1, "SETRANGE big 80000 x"), "80001");
    assert_eq!(rig.run(1, "SETRANGE big 80000 y"), "80001");
    assert_eq!(rig.run(1, "APPEND big y"), oom, "it may have to be copied");
    assert_eq!(rig.run(1, "APPEND a 2"), "2");
    assert_eq!(
        rig.run(1, "SET b 1 ; SETRANGE b 90000 x"),
        format!("EXECABORT Transaction discarded because of: {oom}")
    );
    assert_eq!(rig.run(1, "EXISTS b"), "0");
    rig.limit_memory(10_000);
    for (line, answer) in [("SET c 1", oom), ("RPUSH l x", oom), ("DEL a", "1"), ("STRLEN big", "80001")] {
        assert!(rig.run(1, line).starts_with(answer), "{line}");
    }
    rig.limit_memory(0);
    assert_eq!(rig.run(1, "SET c 1"), "OK");
}

/// Each command of it alone would fit.
#[test]
fn an_exec_may_not_need_more_in_all_than_there_is() {
    let mut rig = Rig::with_memory(1, MACHINE_BYTES);
    assert_eq!(rig.run(1, "SETRANGE {t}a 200000 x"), "200001");
    let grown = "COPY {t}a {t}b ; COPY {t}b {t}c ; COPY {t}c {t}d ; COPY {t}d {t}e";
    assert!(rig.run(1, grown).starts_with("EXECABORT Transaction discarded because of: OOM"));
    assert_eq!(rig.run(1, "RENAME {t}a {t}x ; COPY {t}x {t}y"), "[OK 1]");
    let moved = "RPUSH {t}l 1 2 3 ; LMOVE {t}l {t}m LEFT LEFT ; SORT {t}m STORE {t}n";
    assert_eq!(rig.run(1, moved), "[3 1 1]");
    let lengths = "EXISTS {t}b {t}c";
    assert_eq!(rig.run(1, lengths), "0");
}

#[test]
fn what_would_touch_too_many_elements_is_not_logged() {
    let mut rig = Rig::new(1);
    let elements: String = (0..20_000).map(|n| format!(" {n}")).collect();
    assert_eq!(rig.run(1, &format!("RPUSH {{t}}l{elements}")), "20000");
    let applied = rig.applied();
    let sort = |gets: usize| format!("SORT {{t}}l BY nosort{} STORE {{t}}d", " GET #".repeat(gets));
    let refused = rig.run(1, &sort(6000));
    assert!(refused.starts_with("ERR the command would touch 120"), "{refused}");
    assert!(refused.ends_with("elements, the limit is 100000000"), "{refused}");
    let exec = rig.run(1, &format!("{} ; {}", sort(3000), sort(3000)));
    assert!(
        exec.starts_with("EXECABORT Transaction discarded because of: ERR the transaction would"),
        "{exec}"
    );
    assert_eq!(rig.applied(), applied);
}

const OOM: &str =
    "-OOM command not allowed: it could pass memory_guard, 850000 bytes, which is 85% of a small machine.";

/// What SORT finds is told from the list, the weights and the keys as SORT will find them, not as they are before the plan.
#[test]
fn sort_that_stores_what_get_finds_is_weighed_after_all_before_it_is_applied() {
    let mut rig = Rig::with_memory(1, MACHINE_BYTES);
    assert_eq!(rig.run(1, "SETRANGE big_x 100000 x"), "100001");
    let push = format!("RPUSH l{}", " x".repeat(100));
    let sort = "SORT l BY nosort GET big_* STORE d";
    assert_eq!(answers(&mut rig, &[&push, sort]), [":100", OOM]);
    assert_eq!(rig.run(1, "DEL l"), "1");
    let exec = rig.run(1, &format!("{push} ; {sort}"));
    assert!(exec.starts_with("EXECABORT Transaction discarded because of: OOM"), "{exec}");

    let weighed = "SORT l BY w_* GET big_* STORE d";
    assert_eq!(rig.run(1, &push), "100");
    assert_eq!(rig.run(1, "SET w_x no"), "OK");
    assert_eq!(answers(&mut rig, &["SET w_x 1", weighed]), ["+OK", OOM]);
    assert_eq!(rig.run(1, "SET big_y x"), "OK");
    assert_eq!(rig.run(1, "DEL l"), "1");
    assert_eq!(answers(&mut rig, &["RPUSH l y", sort]), [":1", ":1"]);
    assert_eq!(rig.run(1, "LRANGE d 0 -1"), "[x]");
}

/// A waiter that moves an element brings to another key what a write of the same plan gave it.
#[test]
fn copies_of_what_a_waiter_moved_are_weighed_after_it_is_served() {
    let mut rig = Rig::with_memory(1, MACHINE_BYTES);
    rig.send(61, "BLMOVE {t}a {t}l LEFT LEFT 0");
    rig.settle();
    let push = format!("RPUSH {{t}}a {}", "x".repeat(100_000));
    let copies: Vec<String> = (0..20).map(|n| format!("COPY {{t}}l {{t}}{n}")).collect();
    // The first makes the plan keep what keys gain by key.
    let first = ["COPY {t}x {t}y", &*push];
    let lines: Vec<&str> = first.into_iter().chain(copies.iter().map(String::as_str)).collect();
    let got = answers(&mut rig, &lines);
    assert_eq!(got[..4], [":0", ":1", ":1", ":1"]);
    assert!(got[12..].iter().all(|answer| answer == OOM), "{got:?}");
    assert!(rig.answer(61).starts_with("$100000"));
}

/// What only asked and began to wait is no reason to refuse what comes after it.
#[test]
fn copy_after_a_move_that_waits_is_taken() {
    let mut rig = Rig::with_memory(1, MACHINE_BYTES);
    assert_eq!(rig.run(1, "SET {t}a x"), "OK");
    assert_eq!(rig.run(1, "RPUSH {t}l 1"), "1");
    rig.send(1, "BLMOVE {t}none {t}m LEFT LEFT 0");
    rig.send(3, "COPY {t}a {t}b");
    rig.send(5, "SORT {t}l GET {t}* STORE {t}d");
    rig.settle();
    assert_eq!((&*rig.answer(3), &*rig.answer(5)), (":1\r\n", ":1\r\n"));
}
