//! How much of what only reads one turn runs.

use crate::propose::batch::Work;
use crate::shard::plan::PLAN_STEPS;
use crate::shard::testing::Rig;

const KEYS: usize = 400;

/// A pattern that no key is long enough for takes no time, and is taken for one that takes 101 steps a key.
fn slow_pattern() -> String {
    "k".repeat(800)
}

/// Steps of KEYS with that pattern, at least.
const WALK: u64 = KEYS as u64 * 100;

fn with_keys() -> Rig {
    let mut rig = Rig::new(1);
    let pairs: String = (0..KEYS).map(|n| format!(" {{t}}{n} v")).collect();
    assert_eq!(rig.run(1, &format!("MSET{pairs}")), "OK");
    rig
}

/// Turns until a client has so many answers. Returns how many answers came in one turn at most.
fn most_in_a_turn(rig: &mut Rig, client: u32, wanted: u32) -> u32 {
    let (mut answered, mut most) = (0, 0);
    for _ in 0..wanted {
        rig.turn().expect("a sound disk");
        let now = rig.answer_count(client);
        most = most.max(now - answered);
        answered = now;
        if answered == wanted {
            return most;
        }
    }
    panic!("{answered} answers of {wanted}");
}

#[test]
fn keys_1000_times_after_a_write_is_spread_over_turns() {
    const READS: u32 = 1000;
    let mut rig = with_keys();
    rig.send(1, "SET a 1");
    let keys = format!("KEYS {}", slow_pattern());
    (0..READS).for_each(|_| rig.send(1, &keys));
    let most = most_in_a_turn(&mut rig, 1, READS + 1);
    assert!(u64::from(most - 1) <= PLAN_STEPS / WALK, "{most} in one turn");
}

/// Nothing that is logged bounds such a plan.
#[test]
fn reads_without_a_write_are_spread_over_turns() {
    const READS: u32 = 200;
    let mut rig = with_keys();
    let pattern = slow_pattern();
    let (keys, scan) = (format!("KEYS {pattern}"), format!("SCAN 0 COUNT 1000000 MATCH {pattern}"));
    (0..READS).for_each(|n| rig.send(1, if n % 2 == 0 { &scan } else { &keys }));
    // A turn may run what waited for a lease, and then a plan of its own.
    let most = most_in_a_turn(&mut rig, 1, READS);
    assert!(u64::from(most) <= 2 * PLAN_STEPS / WALK, "{most} in one turn");
}

#[test]
fn an_exec_that_reads_much_has_a_turn_for_itself() {
    let mut rig = with_keys();
    let exec = vec![format!("KEYS {}", slow_pattern()); 80].join(" ; ");
    (0..4).for_each(|_| rig.send(1, &exec));
    assert_eq!(most_in_a_turn(&mut rig, 1, 4), 1);
    let with_write = format!("SET a 1 ; {exec}");
    (0..4).for_each(|_| rig.send(3, &with_write));
    assert_eq!(most_in_a_turn(&mut rig, 3, 4), 1);
}

#[test]
fn watches_of_many_keys_are_spread_over_turns() {
    let mut rig = Rig::new(1);
    let keys: Box<[Box<[u8]>]> = (0..100_000).map(|n| n.to_string().into_bytes().into()).collect();
    (0..15).for_each(|_| rig.send_work(1, Work::Watch { db: 0, keys: keys.clone() }));
    let most = most_in_a_turn(&mut rig, 1, 15);
    assert!(most <= 10, "{most} in one turn");
}

#[test]
fn an_exec_of_100_000_lcs_is_refused_before_anything_of_it_is_done() {
    let mut rig = Rig::new(1);
    for key in ["{t}a", "{t}b"] {
        assert_eq!(rig.run(1, &format!("SETRANGE {key} 7999 x")), "8000");
    }
    let applied = rig.applied();
    let lcs = vec!["LCS {t}a {t}b LEN"; 100_000].join(" ; ");
    for exec in [&lcs, &format!("SET c 1 ; {lcs}"), &format!("{lcs} ; SET c 1")] {
        let refused = rig.run(1, exec);
        let begin = "EXECABORT Transaction discarded because of: ERR the transaction would touch ";
        assert!(refused.starts_with(begin), "{refused}");
        assert!(refused.ends_with(" elements, the limit is 100000000"), "{refused}");
    }
    assert_eq!(rig.run(1, "EXISTS c"), "0");
    assert_eq!(rig.applied(), applied);
    assert_eq!(rig.run(1, "SET {t}a x ; SET {t}b xy ; LCS {t}a {t}b LEN"), "[OK OK 1]");
}

/// Each read after a move was weighed as if its key held all that any key of the EXEC held.
#[test]
fn an_exec_that_reads_small_keys_after_it_moved_from_a_large_one_is_taken() {
    let mut rig = Rig::new(1);
    let elements: String = (0..100_000).map(|n| format!(" {n}")).collect();
    let reads = " ; HGETALL {t}h ; LRANGE {t}p 0 -1 ; RENAME {t}x {t}y ; COPY {t}h {t}i".repeat(1_000);
    for (fill, moves) in [
        ("RPUSH", "LMOVE {t}q {t}p LEFT LEFT"),
        ("RPUSH", "RPOPLPUSH {t}q {t}p"),
        ("SADD", "SMOVE {t}q {t}s 7"),
        ("RPUSH", "RENAME {t}q {t}r"),
    ] {
        assert_eq!(rig.run(1, &format!("{fill} {{t}}q{elements}")), "100000");
        let taken = rig.run(1, &format!("SET {{t}}x 1 ; {moves}{reads}"));
        assert!(taken.starts_with("[OK "), "{moves}: {}", &taken[..taken.len().min(200)]);
        rig.run(1, "DEL {t}q {t}p {t}s {t}r {t}y");
    }
}

/// What may be anywhere after SWAPDB is no reason to refuse what reads it.
#[test]
fn an_exec_that_swaps_databases_and_reads_is_taken() {
    let mut rig = with_keys();
    assert_eq!(rig.run(1, "SWAPDB 0 1 ; SMEMBERS none ; KEYS none ; SWAPDB 0 1"), "[OK [] [] OK]");
    assert_eq!(rig.run(1, "RENAME {t}1 {t}x ; HGETALL none ; GET {t}x"), "[OK [] v]");
    // Each set is as large as what it was given, not as all together.
    let pairs: Vec<String> = (0..10_000).map(|n| format!("SADD s{n} x ; SMEMBERS s{n}")).collect();
    assert!(rig.run(1, &pairs.join(" ; ")).starts_with("[1 [x] 1 [x]"));
}
