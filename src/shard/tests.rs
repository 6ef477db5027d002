//! Stories of one node alone: what its disk may do to it, and in which order its clients are answered.

mod admission;
mod deaths;
mod eviction;
mod full_disk;
mod long_items;
mod marks;
mod reads;
mod waiting;

use super::testing::Rig;
use crate::command::random::Random;
use crate::propose::batch::Work;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Plans a fault at the nth change of the disk from now, for n = 0, 1 …, until a write gets through untouched. Each time
/// the write is answered or the turn fails, and `check` sees which.
fn write_under_faults(plan: fn(&Rig, u64), mut check: impl FnMut(Rig, bool)) -> u64 {
    for nth in 0.. {
        let mut rig = Rig::new(nth);
        assert_eq!(rig.run(1, "SET before x"), "OK");
        let first = rig.disk.operations();
        plan(&rig, first + nth);
        rig.send(1, "SET k v");
        let failed = rig.turn().is_err();
        assert_eq!(rig.nobody_is_answered(), failed, "fault at change {nth}");
        let untouched = rig.disk.operations() <= first + nth;
        check(rig, failed);
        if untouched {
            return nth;
        }
    }
    unreachable!("every write makes a finite number of changes")
}

#[test]
fn a_write_is_answered_only_once_it_would_survive_a_power_failure() {
    let plan = |rig: &Rig, change| rig.disk.crash_at(change);
    let faults = write_under_faults(plan, |rig, failed| {
        let mut rig = rig.after_power_failure(1);
        assert_eq!(rig.run(1, "GET before"), "x");
        if !failed {
            assert_eq!(rig.run(1, "GET k"), "v");
        }
    });
    assert!(faults >= 2, "a write and its sync are two changes");
}

#[test]
fn after_a_failed_write_or_sync_nobody_is_answered_any_more() {
    let plan = |rig: &Rig, change| rig.disk.fail_at(change);
    write_under_faults(plan, |mut rig, failed| {
        for (connection, line) in [(2, "SET other v"), (3, "GET before")] {
            rig.send(connection, line);
        }
        if failed {
            let turned = catch_unwind(AssertUnwindSafe(|| rig.turn()));
            assert!(turned.is_err(), "a shard that has failed is not turned again");
            assert!(rig.nobody_is_answered());
        }
    });
}

#[test]
fn a_read_behind_a_write_is_answered_at_its_place() {
    let mut rig = Rig::new(1);
    for line in ["SET k 1", "GET k", "INCR k", "GET k", "DEL k", "GET k"] {
        rig.send(1, line);
    }
    rig.settle();
    assert_eq!(rig.answer_count(1), 6);
    assert_eq!(rig.answer(1), "+OK\r\n$1\r\n1\r\n:2\r\n$1\r\n2\r\n:1\r\n$-1\r\n");
}

#[test]
fn an_exec_runs_only_if_what_it_watches_stayed_as_it_was() {
    let mut rig = Rig::new(1);
    rig.watch(1, "k");
    rig.settle();
    rig.answer(1);
    assert_eq!(rig.run(2, "SET k other"), "OK");
    assert_eq!(rig.run(1, "SET k mine ; GET k"), "nil");
    assert_eq!(rig.run(1, "SET k mine ; GET k"), "[OK mine]");
    assert!(!rig.watching());
}

/// All of it comes in one turn, so that nothing is applied when the EXEC is looked at first.
#[test]
fn a_watch_counts_for_an_exec_that_came_with_it_and_ends_with_it() {
    let mut rig = Rig::new(1);
    rig.watch(2, "k");
    rig.send(4, "SET k other");
    rig.send(2, "SET k mine ; GET k");
    rig.settle();
    assert_eq!(rig.answer(2), "+OK\r\n*-1\r\n");
    assert!(!rig.watching());
}

#[test]
fn a_watch_of_one_who_left_in_the_same_turn_is_forgotten() {
    let mut rig = Rig::new(1);
    rig.watch(1, "k");
    rig.send_work(1, Work::Forget);
    rig.send(3, "BLPOP l 0");
    rig.send_work(3, Work::Forget);
    rig.settle();
    assert!(!rig.watching());
    assert_eq!(rig.waiting(), 0);
}

#[test]
fn the_longest_waiting_are_served_first_and_by_the_key_that_was_ready_first() {
    let mut rig = Rig::new(1);
    for (connection, line) in
        [(1, "BLPOP a b 0"), (2, "BLPOP b 0"), (3, "BLPOP a 0"), (4, "BLMPOP 0 2 a b LEFT")]
    {
        rig.send(connection, line);
        rig.settle();
    }
    assert_eq!(rig.run(5, "RPUSH b 1 ; RPUSH a 2 3"), "[1 2]");
    let answers: Vec<String> = (1..5).map(|connection| rig.answer(connection)).collect();
    assert_eq!(
        answers,
        [
            "*2\r\n$1\r\nb\r\n$1\r\n1\r\n",
            "",
            "*2\r\n$1\r\na\r\n$1\r\n2\r\n",
            "*2\r\n$1\r\na\r\n*1\r\n$1\r\n3\r\n"
        ]
    );
    assert_eq!((rig.waiting(), rig.keys()), (1, 0));
}

/// A rename brings more elements than its arguments tell; nobody who comes later is served before those who wait.
#[test]
fn a_key_that_comes_with_many_elements_serves_in_order() {
    let mut rig = Rig::new(1);
    for connection in 1..=6 {
        rig.send(connection, "BLPOP l 0");
        rig.settle();
    }
    assert_eq!(rig.run(7, "RPUSH other 1 2 3 4"), "4");
    rig.send(7, "RENAME other l");
    rig.settle();
    let served: Vec<u32> = (1..=6).map(|connection| rig.answer_count(connection)).collect();
    assert_eq!(served, [1, 1, 1, 1, 0, 0]);
}

#[test]
fn a_move_to_the_wrong_type_is_told_so_and_the_next_takes_the_element() {
    let mut rig = Rig::new(1);
    rig.send(1, "BLMOVE src dst LEFT LEFT 0");
    rig.settle();
    rig.send(2, "BRPOP src 0");
    rig.settle();
    assert_eq!(rig.run(3, "SET dst string"), "OK");
    assert_eq!(rig.run(3, "SET src string"), "OK");
    assert_eq!(rig.waiting(), 2, "a source of another type lets them wait");
    assert_eq!(rig.run(3, "DEL src"), "1");
    assert_eq!(rig.run(3, "RPUSH src a"), "1");
    assert!(rig.answer(1).starts_with("-WRONGTYPE"));
    assert_eq!(rig.answer(2), "*2\r\n$3\r\nsrc\r\n$1\r\na\r\n");
}

#[test]
fn a_pop_behind_a_write_of_another_type_is_refused() {
    let mut rig = Rig::new(1);
    rig.send(1, "SET k v");
    rig.send(1, "BLPOP k 0");
    rig.settle();
    assert!(rig.answer(1).starts_with("+OK\r\n-WRONGTYPE"));
    assert_eq!(rig.waiting(), 0);
}

#[test]
fn who_waits_or_is_unblocked_writes_nothing_to_the_log() {
    let mut rig = Rig::new(1);
    rig.run(1, "SET k v");
    let applied = rig.applied();
    rig.send(1, "BLPOP l 0");
    rig.send_work(1, Work::Unblock { with_error: false });
    rig.settle();
    assert_eq!(rig.answer(1), "*-1\r\n");
    rig.send(1, "BLPOP l 0");
    rig.settle();
    rig.send_work(1, Work::Unblock { with_error: true });
    rig.settle();
    assert!(rig.answer(1).starts_with("-UNBLOCKED"));
    assert_eq!((rig.waiting(), rig.applied()), (0, applied));
}

/// An element is never taken for a client that was told that there is none.
#[test]
fn who_is_served_and_unblocked_in_one_turn_is_served() {
    let mut rig = Rig::new(1);
    rig.send(1, "BLPOP l 0");
    rig.settle();
    rig.send(3, "RPUSH l a");
    rig.send_work(1, Work::Unblock { with_error: false });
    rig.settle();
    assert_eq!(rig.answer(1), "*2\r\n$1\r\nl\r\n$1\r\na\r\n");
}

#[test]
fn waiting_ends_at_its_deadline_in_order() {
    let mut rig = Rig::new(1);
    rig.send_until(1, "BLPOP l 0.3", 300);
    rig.send_until(2, "BZPOPMIN z 0.1", 100);
    rig.settle();
    for (ms, answers) in [(99, (0, 0)), (1, (0, 1)), (199, (0, 1)), (1, (1, 1))] {
        rig.advance_ms(ms);
        rig.settle();
        assert_eq!((rig.answer_count(1), rig.answer_count(2)), answers);
    }
    assert_eq!(rig.answer(1), "*-1\r\n");
}

#[test]
fn dead_keys_are_freed_by_an_entry_and_replay_frees_the_same() {
    let mut rig = Rig::new(1);
    for key in 0..50 {
        rig.run(1, &format!("SET key{key} v PX {}", 20 + key * 10));
    }
    rig.advance_ms(210);
    let applied = rig.applied();
    for _ in 0..20 {
        rig.advance_ms(25);
        rig.settle();
    }
    assert!(rig.applied() > applied, "nothing but entries frees");
    assert_eq!(rig.keys(), 0);
    let digest = rig.digest();
    let rig = rig.restarted(2);
    assert_eq!((rig.keys(), rig.digest()), (0, digest));
}

#[test]
fn the_first_entry_brings_a_hash_seed_that_a_restart_keeps() {
    let mut rig = Rig::new(1);
    let applied = rig.applied();
    assert!(rig.hash_seed().is_none());
    assert_eq!(rig.run(1, "SET before v"), "OK");
    let seed = rig.hash_seed();
    assert!(!seed.is_none());
    assert_eq!(rig.applied(), applied + 1, "one entry has the seed and the client's write");
    (0..100).for_each(|key| drop(rig.run(1, &format!("SET key:{key} v"))));
    let order = rig.run(1, "SCAN 0 COUNT 1000");
    let mut rig = rig.restarted(2);
    assert_eq!(rig.run(1, "SET after v"), "OK");
    assert_eq!(rig.run(1, "DEL after"), "1");
    assert_eq!((rig.hash_seed(), rig.run(1, "SCAN 0 COUNT 1000")), (seed, order));
    let mut other = Rig::new(3);
    other.run(1, "SET before v");
    assert_ne!(other.hash_seed(), seed, "every cluster has its own");
}

#[test]
fn what_is_replayed_at_once_is_told_to_who_waits_for_it() {
    let mut rig = Rig::new(1);
    for number in 0..20 {
        rig.run(1, &format!("SET key:{number} value"));
    }
    let applied = rig.replayed();
    assert!(applied > 20);
    assert!(rig.restarted(2).replayed() >= applied);
}

/// What clients of a random history send; `K` stands for one of a few keys.
const REQUESTS: [&str; 22] = [
    "SET K v",
    "SET K v PX 40",
    "INCR K",
    "DEL K",
    "PEXPIRE K 30",
    "RPUSH K a b c",
    "LPOP K",
    "LMOVE K K LEFT RIGHT",
    "SADD K a b c d e f",
    "SPOP K 2",
    "HSET K f 1 g 2",
    "HPEXPIRE K 20 FIELDS 1 f",
    "ZADD K 1 a 2 b",
    "RENAME K K",
    "BLPOP K K 0",
    "BLMOVE K K LEFT LEFT 0",
    "BZPOPMIN K K 0",
    "BLMPOP 0 2 K K RIGHT COUNT 2",
    "RPUSH K x ; DEL K ; RPUSH K y z",
    "SET K v ; GET K ; SPOP K",
    "GET K",
    "LRANGE K 0 -1",
];

fn random_request(random: &mut Random) -> String {
    let line = REQUESTS[random.below(REQUESTS.len())];
    line.split('K').fold(String::new(), |mut made, part| {
        if !made.is_empty() {
            made.push_str(&format!("key{}", random.below(6)));
        }
        made + part
    })
}

/// Every request is answered once, those who still wait but when they are let go; who applies the log without anybody
/// waiting ends with the same keys.
fn random_history(seed: u64) {
    println!("seed {seed}");
    let mut random = Random::from_seed(seed);
    let mut rig = Rig::new(seed);
    let mut sent = [0; 9];
    for _ in 0..120 {
        for _ in 0..random.below(6) {
            let connection = random.below(8) as u32 + 1;
            if rig.answer_count(connection) == sent[connection as usize] {
                rig.send(connection, &random_request(&mut random));
                sent[connection as usize] += 1;
            }
        }
        rig.turn().expect("a sound disk");
        rig.advance_ms(random.below(12) as u64);
    }
    rig.settle();
    (1..9).for_each(|connection| rig.send_work(connection, Work::Unblock { with_error: false }));
    rig.settle();
    for connection in 1..9 {
        assert_eq!(rig.answer_count(connection), sent[connection as usize], "connection {connection}");
    }
    // What is dead by the last timestamp is freed, for a node that is started again goes on from there.
    rig.rest();
    let (digest, applied) = (rig.digest(), rig.applied());
    let replica = rig.restarted(seed + 1);
    assert!(replica.applied() >= applied);
    assert_eq!(replica.digest(), digest);
}

#[test]
fn whoever_applies_the_same_log_has_the_same_keys() {
    (0..20).for_each(random_history);
    random_history(crate::env::random_seed());
}

#[test]
fn one_turn_answers_a_bounded_number_of_reads_after_a_write() {
    const READS: u32 = 5000;
    let mut rig = Rig::new(1);
    rig.send(1, "SET k v");
    (0..READS).for_each(|_| rig.send(1, "GET k"));
    let (mut answered, mut turns) = (0, 0);
    while answered < READS + 1 {
        rig.turn().expect("a sound disk");
        let now = rig.answer_count(1);
        assert!(now - answered <= 1001, "{} in one turn", now - answered);
        (answered, turns) = (now, turns + 1);
        assert!(turns < 100, "{answered} answers");
    }
}

/// A member that restarts applies again what it had applied before.
#[test]
fn what_a_transaction_published_before_a_restart_is_not_heard_again() {
    let mut rig = Rig::new(1);
    rig.run(1, "_publish ch one;SET k v");
    assert_eq!(rig.published(), 1);
    let mut rig = rig.restarted(2);
    assert_eq!(rig.run(1, "GET k"), "v");
    assert_eq!(rig.published(), 0);
    rig.run(1, "_publish ch two;SET k v");
    assert_eq!(rig.published(), 1);
}
