//! Deaths that a read would be the first to tell of.

use super::super::testing::Rig;

/// A node on which a key has just died by the clock, and nobody has looked yet.
fn with_unsettled(write: &str) -> (Rig, u64) {
    let mut rig = Rig::new(1);
    assert_ne!(rig.run(1, write), "");
    rig.advance_ms(12);
    let applied = rig.applied();
    (rig, applied)
}

#[test]
fn a_death_is_logged_before_it_is_told() {
    for read in ["GET k", "EXISTS k", "MGET other k", "SCAN 0", "RANDOMKEY", "KEYS *"] {
        let (mut rig, applied) = with_unsettled("SET k v PX 10");
        let answer = rig.run(1, read);
        let tells = ["v", "1", "[k]", "k"].contains(&&*answer);
        assert!(!tells && !answer.contains("[k]"), "{read}: {answer}");
        assert_eq!(rig.applied(), applied + 1, "{read}");
        rig.run(1, read);
        assert_eq!(rig.applied(), applied + 1, "{read}: it is settled");
    }
}

#[test]
fn so_is_the_death_of_a_field_and_one_that_a_transaction_meets() {
    let (mut rig, applied) = with_unsettled("HSETEX h PX 10 FIELDS 2 a 1 b 2");
    assert_eq!(rig.run(1, "HLEN h"), "0");
    assert_eq!(rig.applied(), applied + 1);

    let (mut rig, applied) = with_unsettled("SET k v PX 10");
    rig.run(1, "GET other;GET k");
    assert_eq!(rig.applied(), applied + 1);
}

#[test]
fn a_read_of_the_living_logs_nothing() {
    let (mut rig, applied) = with_unsettled("SET k v PX 1000");
    assert_eq!(rig.run(1, "GET k"), "v");
    assert_eq!(rig.applied(), applied);
}

#[test]
fn while_writes_are_paused_reads_go_by_the_clock() {
    let (mut rig, applied) = with_unsettled("SET k v PX 10");
    rig.pause_writes();
    assert_eq!(rig.run(1, "GET k"), "nil");
    assert_eq!(rig.applied(), applied);
}

#[test]
fn a_death_that_was_told_while_nothing_could_be_logged_is_not_taken_back() {
    let (mut rig, applied) = with_unsettled("SET k v PX 10");
    rig.pause_writes();
    assert_eq!(rig.run(1, "GET k"), "nil");
    rig.set_calendar_back_ms(1000);
    assert_eq!(rig.run(1, "GET k"), "nil", "though its calendar was set back");
    assert_eq!(rig.applied(), applied);
    rig.advance_ms(60_000);
    rig.set_calendar_back_ms(60_000);
    assert_eq!(rig.run(1, "SET l v PX 10"), "OK");
    assert_eq!(rig.run(1, "EXISTS k"), "0", "nor by an entry");
}

/// Which keys a walk would meet is not found out before it is run.
#[test]
fn a_walk_logs_nothing_where_nothing_can_have_died() {
    for read in ["SCAN 0", "RANDOMKEY", "KEYS *", "SORT_RO l"] {
        let (mut rig, applied) = with_unsettled("SET k v PX 1000");
        rig.run(1, read);
        assert_eq!(rig.applied(), applied, "{read}");
    }
}

#[test]
fn dbsize_tells_of_no_death_and_logs_nothing() {
    let (mut rig, applied) = with_unsettled("SET k v PX 10");
    assert_eq!((rig.run(1, "DBSIZE").as_str(), rig.applied()), ("1", applied));
}

#[test]
fn a_walk_past_the_death_of_a_field_logs_it_first() {
    let (mut rig, applied) = with_unsettled("HSETEX h PX 10 FIELDS 1 a 1");
    rig.run(1, "SORT_RO none BY h->a");
    assert_eq!(rig.applied(), applied + 1);
}

/// A driver stalled for three seconds: a read that came meanwhile saw what had died before it came.
#[test]
fn a_read_that_comes_while_the_driver_stalls_sees_no_value_after_its_deadline() {
    for read in ["GET k", "GET other;GET k", "EXISTS k"] {
        let mut rig = Rig::new(1);
        rig.run(1, "SET k v PX 500");
        let answer = rig.run_in_stall(3_000, 2, read);
        assert!(!answer.contains('v') && !answer.contains('1'), "{read}: {answer}");
    }
}

#[test]
fn a_write_that_comes_while_the_driver_stalls_lives_from_when_it_came() {
    let mut rig = Rig::new(1);
    rig.run_in_stall(3_000, 1, "SET k v PX 500");
    rig.advance_ms(490);
    assert_eq!(rig.run(1, "GET k"), "v");
    rig.advance_ms(20);
    assert_eq!(rig.run(1, "GET k"), "nil");
}
