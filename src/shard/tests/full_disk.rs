//! Stories of a full disk: writes are refused and did not happen, everything else goes on, and nothing has to be started again.

use super::{Random, Rig, Work, random_request};

const REFUSED: &str = "-MISCONF the disk is full; the command did not happen\r\n";

/// Lets a node write until it refuses even a small write.
fn write_until_refused(rig: &mut Rig) {
    for bytes in [4000, 10] {
        for write in 0.. {
            assert!(write < 1000, "it never refuses");
            rig.send(9, &format!("SET filler {}", "x".repeat(bytes)));
            rig.settle();
            rig.prepare();
            if rig.answer(9) == REFUSED {
                break;
            }
        }
    }
}

/// A node whose disk is full, and its log as far as it lets clients have it.
fn full_rig() -> Rig {
    let mut rig = Rig::new(1);
    rig.prepare();
    assert_eq!(rig.run(1, "SET before x"), "OK");
    rig.fill_disk();
    write_until_refused(&mut rig);
    rig
}

#[test]
fn writes_are_refused_reads_are_answered_and_both_at_their_places() {
    let mut rig = full_rig();
    let (applied, digest) = (rig.applied(), rig.digest());
    for line in ["GET before", "SET before y", "GET before", "INCR n", "GET n"] {
        rig.send(1, line);
    }
    rig.settle();
    assert_eq!(rig.answer(1), format!("$1\r\nx\r\n{REFUSED}$1\r\nx\r\n{REFUSED}$-1\r\n"));
    rig.send(2, "SET before y ; GET before");
    rig.send(4, "GET before ; GET n");
    rig.settle();
    assert_eq!(rig.answer(2), REFUSED);
    assert_eq!(rig.answer(4), "*2\r\n$1\r\nx\r\n$-1\r\n");
    assert_eq!((rig.applied(), rig.digest()), (applied, digest), "nothing of it happened");
}

#[test]
fn writes_go_on_when_there_is_space_again_and_nothing_was_lost() {
    let mut rig = full_rig();
    rig.drain_disk();
    assert_eq!(rig.run(1, "SET after y"), "OK");
    let digest = rig.digest();
    let rig = rig.restarted(2);
    assert_eq!((rig.digest(), rig.keys()), (digest, 3));
}

#[test]
fn a_node_that_is_started_on_a_full_disk_serves_what_it_has() {
    let mut rig = full_rig().restarted(2);
    rig.prepare();
    assert_eq!(rig.run(1, "GET before"), "x");
    write_until_refused(&mut rig);
    rig.drain_disk();
    assert_eq!(rig.run(1, "SET after y"), "OK");
}

#[test]
fn who_waits_goes_on_waiting_and_is_served_once() {
    let mut rig = full_rig();
    rig.send(1, "BLPOP l 0");
    rig.settle();
    rig.send(2, "RPUSH l a");
    rig.settle();
    assert_eq!((rig.answer(2).as_str(), rig.waiting()), (REFUSED, 1));
    rig.drain_disk();
    assert_eq!(rig.run(2, "RPUSH l b"), "1");
    assert_eq!(rig.answer(1), "*2\r\n$1\r\nl\r\n$1\r\nb\r\n");
    assert_eq!(rig.waiting(), 0);
}

#[test]
fn keys_that_died_on_a_full_disk_are_freed_when_there_is_space() {
    let mut rig = Rig::new(1);
    rig.prepare();
    assert_eq!(rig.run(1, "SET mortal v PX 20"), "OK");
    rig.fill_disk();
    write_until_refused(&mut rig);
    for _ in 0..40 {
        rig.advance_ms(25);
        rig.settle();
    }
    assert_eq!((rig.run(1, "GET mortal").as_str(), rig.keys()), ("nil", 2));
    rig.drain_disk();
    rig.advance_ms(100);
    rig.settle();
    rig.advance_ms(100);
    rig.settle();
    assert_eq!(rig.keys(), 1);
}

/// As the random histories of a sound disk, on one that is full and empty in turns: every request is answered once, and
/// who applies the log has the keys that were shown.
fn random_history(seed: u64) -> usize {
    println!("seed {seed}");
    let mut random = Random::from_seed(seed);
    let mut rig = Rig::new(seed);
    let (mut sent, mut refused) = ([0; 9], 0);
    for _ in 0..200 {
        match random.below(40) {
            0..2 => rig.fill_disk(),
            2 => rig.drain_disk(),
            3..8 => rig.prepare(),
            8 => write_random_filler(&mut rig, &mut random),
            9 => rig.settle(),
            _ => {}
        }
        for _ in 0..random.below(6) {
            let connection = random.below(8) as u32 + 1;
            if rig.answer_count(connection) == sent[connection as usize] {
                rig.send(connection, &random_request(&mut random));
                sent[connection as usize] += 1;
            }
        }
        rig.turn().expect("a full disk ends nobody");
        rig.advance_ms(random.below(12) as u64);
    }
    rig.drain_disk();
    rig.advance_ms(1000);
    rig.settle();
    (1..9).for_each(|connection| rig.send_work(connection, Work::Unblock { with_error: false }));
    rig.settle();
    for connection in 1..9 {
        assert_eq!(rig.answer_count(connection), sent[connection as usize], "connection {connection}");
        refused += rig.answer(connection).matches(REFUSED).count();
    }
    let digest = rig.digest();
    assert_eq!(rig.restarted(seed + 1).digest(), digest);
    refused
}

/// Brings the log near its end.
fn write_random_filler(rig: &mut Rig, random: &mut Random) {
    for _ in 0..random.below(12) {
        rig.send(9, &format!("SET filler {}", "x".repeat(1 + random.below(60_000))));
        rig.turn().expect("a full disk ends nobody");
        rig.answer(9);
    }
}

#[test]
fn everybody_is_answered_on_a_disk_that_is_full_now_and_then() {
    let refused: usize = (0..30).map(random_history).sum();
    assert!(refused > 20, "{refused} refused");
    random_history(crate::env::random_seed());
}
