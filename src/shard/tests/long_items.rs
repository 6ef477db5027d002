//! Commands that are too long for one entry: logged in parts, between others' commands, and run as a whole or not at all.

use crate::shard::testing::Rig;

/// Longer items go in parts.
const LONG_BYTES: usize = 200;

fn rig() -> Rig {
    let mut rig = Rig::new(1);
    rig.cut_items_over(LONG_BYTES);
    rig
}

fn set(key: &str, bytes: usize) -> String {
    format!("SET {key} {}", "x".repeat(bytes))
}

/// Turns until so many bytes are staged.
fn stage(rig: &mut Rig, bytes: usize) {
    for _ in 0..100 {
        if rig.staged() >= bytes {
            return;
        }
        rig.turn().expect("a sound disk");
    }
    panic!("only {} bytes are staged", rig.staged());
}

#[test]
fn others_are_answered_while_a_long_command_is_on_its_way() {
    let mut rig = rig();
    rig.send(1, &set("long", 20_000));
    stage(&mut rig, 1000);
    rig.send(3, "SET a 1");
    rig.send(2, "APPEND a 2");
    while rig.answer_count(3) == 0 || rig.answer_count(2) == 0 {
        rig.turn().expect("a sound disk");
    }
    assert_eq!(rig.answer_count(1), 0, "its parts are still on their way");
    rig.settle();
    assert_eq!(rig.answer(1), "+OK\r\n");
    assert_eq!(rig.run(1, "STRLEN long"), "20000");
    assert_eq!((rig.staged(), rig.longest_entry() < 3 * LONG_BYTES), (0, true));
}

#[test]
fn what_a_client_sends_behind_its_long_command_waits_for_it() {
    let mut rig = rig();
    for line in [&set("k", 1000), "APPEND k yy", "STRLEN k", &set("k", 3000), "STRLEN k", "SET k 1", "GET k"]
    {
        rig.send(1, line);
    }
    rig.rest();
    assert_eq!(rig.answer(1), "+OK\r\n:1002\r\n:1002\r\n+OK\r\n:3000\r\n+OK\r\n$1\r\n1\r\n");
}

#[test]
fn long_commands_of_several_clients_go_one_after_the_other() {
    let mut rig = rig();
    for client in 1..=4 {
        rig.send(client, &set(&format!("k{client}"), 1000 * client as usize));
        rig.send(client, &format!("STRLEN k{client}"));
    }
    rig.rest();
    for client in 1..=4 {
        assert_eq!(rig.answer(client), format!("+OK\r\n:{}\r\n", 1000 * client));
    }
    let digest = rig.digest();
    assert_eq!(rig.restarted(2).digest(), digest, "the log alone brings the same");
}

#[test]
fn a_long_exec_runs_as_a_whole_with_its_reads() {
    let mut rig = rig();
    let exec = format!("{} ; STRLEN a ; {} ; GET c ; SET c 1", set("a", 700), set("b", 800));
    assert_eq!(rig.run(1, &exec), "[OK 700 OK nil OK]");
    let digest = rig.digest();
    assert_eq!(rig.restarted(2).digest(), digest);
}

#[test]
fn a_long_exec_under_watch_does_not_run_where_the_key_changed_meanwhile() {
    let mut rig = rig();
    rig.watch(1, "w");
    rig.settle();
    assert_eq!(rig.answer(1), "+OK\r\n");
    rig.send(1, &format!("{} ; SET w 1", set("a", 5000)));
    stage(&mut rig, 1000);
    rig.send(2, "SET w 2");
    rig.rest();
    assert_eq!(rig.answer(1), "*-1\r\n");
    assert_eq!((rig.run(1, "GET w"), rig.run(1, "EXISTS a")), ("2".to_owned(), "0".to_owned()));
    assert_eq!(rig.staged(), 0, "what was brought for nothing is forgotten");
}

#[test]
fn a_power_failure_between_its_parts_leaves_nothing_of_it() {
    let mut rig = rig();
    assert_eq!(rig.run(2, "SET before 1"), "OK");
    rig.send(1, &set("long", 20_000));
    stage(&mut rig, 5000);
    let mut rig = rig.after_power_failure(2);
    rig.rest();
    assert_eq!(rig.run(1, "EXISTS long before"), "1");
    assert_eq!(rig.staged(), 0);
    rig.cut_items_over(LONG_BYTES);
    assert_eq!(rig.run(1, &set("long", 20_000)), "OK");
    assert_eq!(rig.run(1, "STRLEN long"), "20000");
}

#[test]
fn a_long_command_for_which_the_disk_has_no_room_did_not_happen() {
    let mut rig = rig();
    rig.send(1, &set("long", 600_000));
    rig.send(1, "EXISTS long");
    stage(&mut rig, 2000);
    rig.fill_disk();
    rig.rest();
    assert_eq!(rig.answer(1), "-MISCONF the disk is full; the command did not happen\r\n:0\r\n");
    rig.drain_disk();
    rig.rest();
    assert_eq!(rig.staged(), 0);
    assert_eq!(rig.run(1, &set("long", 600_000)), "OK");
}

#[test]
fn a_long_command_is_refused_before_its_first_part_where_it_may_not_be_logged() {
    let mut rig = Rig::with_memory(1, 1_000_000);
    rig.cut_items_over(LONG_BYTES);
    rig.limit_memory(10_000);
    assert_eq!(rig.run(1, "SET a 1"), "OK");
    let applied = rig.applied();
    let oom = "OOM command not allowed when used memory > 'maxmemory'.";
    assert_eq!(rig.run(1, &set("long", 20_000)), oom);
    rig.limit_memory(0);
    rig.limit_entries(10_000);
    assert!(rig.run(1, &set("long", 20_000)).starts_with("ERR the command takes 20"));
    assert_eq!(rig.applied(), applied);
}

#[test]
fn a_long_command_is_refused_behind_its_parts_where_memory_was_taken_meanwhile() {
    let mut rig = Rig::with_memory(1, 1_000_000);
    rig.cut_items_over(LONG_BYTES);
    rig.limit_memory(50_000);
    rig.send(1, &set("long", 20_000));
    stage(&mut rig, 5000);
    assert_eq!(rig.run_soon(2, "SETRANGE other 20000 x"), "20001");
    rig.rest();
    assert!(rig.answer(1).starts_with("-OOM command not allowed"));
    assert_eq!((rig.run(1, "EXISTS long"), rig.staged()), ("0".to_owned(), 0));
}

#[test]
fn a_long_blocking_command_goes_in_parts_only_if_it_finds_something() {
    let mut rig = rig();
    let keys: String = (0..300).map(|n| format!(" k{n}")).collect();
    rig.send(1, &format!("BLPOP{keys} 0"));
    rig.settle();
    assert_eq!((rig.waiting(), rig.staged()), (1, 0));
    assert_eq!(rig.run(2, "RPUSH k7 a b"), "2");
    assert_eq!(rig.answer(1), "*2\r\n$2\r\nk7\r\n$1\r\na\r\n");
    rig.send(1, &format!("BLPOP{keys} 0"));
    rig.rest();
    assert_eq!(rig.answer(1), "*2\r\n$2\r\nk7\r\n$1\r\nb\r\n");
    assert!(rig.longest_entry() < 3 * LONG_BYTES);
}

#[test]
fn no_checkpoint_begins_between_the_parts() {
    let mut rig = rig();
    rig.send(1, &set("long", 20_000));
    stage(&mut rig, 1000);
    let refused = rig.begin_capture().map(drop).expect_err("parts are staged");
    assert_eq!(refused.to_string(), "a command that comes in parts has not run yet");
    rig.settle();
    assert!(rig.begin_capture().is_ok());
}

#[test]
fn long_commands_of_one_packet_take_their_own_bytes_only() {
    let mut rig = rig();
    for client in (1..80).step_by(2) {
        rig.send(client, &set(&format!("k{client}"), 3000));
    }
    rig.turn().expect("a sound disk");
    assert!(rig.waiting_bytes() <= 40 * 3100, "{}", rig.waiting_bytes());
    rig.rest();
    assert!((1..80).step_by(2).all(|client| rig.answer(client) == "+OK\r\n"));
}

#[test]
fn parts_that_will_never_run_keep_no_checkpoint_from_beginning() {
    let mut rig = rig();
    rig.watch(1, "w");
    rig.settle();
    rig.answer(1);
    rig.send(1, &format!("{} ; SET w 1", set("a", 5000)));
    stage(&mut rig, 1000);
    rig.send(2, "SET w 2");
    while rig.answer_count(1) == 0 {
        rig.turn().expect("a sound disk");
    }
    assert!(rig.staged() > 0, "no entry has said yet that they are to be forgotten");
    assert!(rig.begin_capture().is_ok());
    assert_eq!(rig.staged(), 0);
}

#[test]
fn paused_writes_hold_long_commands_as_well() {
    let mut rig = rig();
    rig.send(1, &set("long", 5000));
    stage(&mut rig, 1000);
    rig.pause_writes();
    rig.rest();
    assert_eq!(rig.answer_count(1), 0);
    rig.advance_ms(60_000);
    rig.rest();
    assert_eq!(rig.answer(1), "+OK\r\n");
}

#[test]
fn where_memory_is_short_no_more_long_commands_wait() {
    let mut rig = Rig::with_memory(1, 1_000_000);
    rig.cut_items_over(LONG_BYTES);
    assert_eq!(rig.run(9, "SETRANGE big 150000 x"), "150001");
    rig.limit_memory(200_000);
    rig.watch(3, "w");
    rig.settle();
    rig.answer(3);
    rig.send(1, &set("a", 20_000));
    rig.send(3, &format!("{} ; GET w", set("b", 70_000)));
    rig.send(3, "GET a");
    rig.send(5, "GET a");
    rig.rest();
    assert_eq!(rig.answer(1), "+OK\r\n");
    let refused = rig.answer(3);
    assert!(refused.starts_with("-OOM command not allowed"), "{refused}");
    assert!(!rig.watching(), "a refused EXEC ends its watches");
    assert_eq!((rig.run(1, "EXISTS a b"), rig.answer_count(5)), ("1".to_owned(), 1));
}

#[test]
fn a_long_command_that_frees_memory_is_taken_where_there_is_none() {
    let mut rig = Rig::with_memory(1, 1_000_000);
    rig.cut_items_over(LONG_BYTES);
    assert_eq!(rig.run(1, "SETRANGE big 150000 x"), "150001");
    rig.limit_memory(1);
    let keys: String = (0..100).map(|n| format!(" none{n}")).collect();
    assert!(rig.run(1, "SET a 1").starts_with("OOM"));
    assert_eq!(rig.run(1, &format!("DEL big{keys}")), "1");
}
