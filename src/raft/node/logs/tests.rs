use super::super::super::testing::Cluster;
use super::*;

/// A node that was restarted hears first of the new log, and then late words of the one that was lost.
#[test]
fn late_words_and_late_proofs_of_a_lost_log_do_not_make_it_the_newest() {
    let mut book = LogBook::new(1);
    let (lost, new) = (7, 8);
    assert!(!book.hears(3, new), "it has proved nothing yet");
    let early = book.challenge(3);
    assert_eq!(book.prove(3, new, early), Proven::Log);
    assert!(book.hears(3, new) && !book.hears(3, lost));
    assert_eq!(book.prove(3, lost, early), Proven::Nothing, "each challenge counts once");
    assert!(book.hears(3, new));
}

#[test]
fn what_an_older_log_said_is_not_heard() {
    let mut book = LogBook::new(1);
    for log_id in 10..60 {
        let proven = book.prove(2, log_id, book.challenge(2));
        assert_eq!(proven, if log_id == 10 { Proven::Log } else { Proven::AnotherLog });
        assert!(book.hears(2, log_id));
        assert!(log_id == 10 || !book.hears(2, log_id - 1));
    }
    assert!(book.suspects.is_empty(), "a log that another has followed raises no question");
    assert!(book.logs[&2].older.len() <= MAX_OLDER_LOGS);
    assert!(!book.hears(2, 99) && book.suspects.contains(&2), "a log that was never heard of does");
    assert_ne!(book.challenge(2), LogBook::new(2).challenge(2));
}

/// An operator puts a log back that was set aside: the member would be silent without a reason.
#[test]
fn a_log_that_was_set_aside_and_put_back_is_reported_once() {
    let mut book = LogBook::new(1);
    let (old, new) = (7, 8);
    for log_id in [old, new] {
        book.prove(3, log_id, book.challenge(3));
    }
    assert!(!book.reports_return(3, old), "late words are no return");
    (0..LATE_TICKS).for_each(|_| book.tick());
    assert!(!book.reports_return(3, new) && !book.reports_return(3, 99) && !book.reports_return(2, old));
    assert!(book.reports_return(3, old) && !book.reports_return(3, old), "once");
    assert!(!book.hears(3, old) && book.hears(3, new));
}

/// Frames to each of three nodes, in the name of each of the others, were enough: nobody heard the members' own logs any more.
#[test]
fn six_rejoin_frames_of_a_stranger_leave_the_leader_in_office() {
    let mut cluster = Cluster::new(3);
    let leader = cluster.elect();
    cluster.run_ms(300);
    for (to, from) in [(1, 2), (1, 3), (2, 1), (2, 3), (3, 1), (3, 2)] {
        let now_ms = cluster.clock_of(to);
        let node = cluster.node(to);
        node.step_rejoin(from, 4_711, 0);
        node.step_proof(from, 4_711, 4_711);
        node.step_prove(from, 4_711);
        node.step_beat(from, u64::MAX, now_ms);
        node.step_beat_answer(from, u64::MAX, now_ms);
    }
    let term = cluster.node(leader).leadership().term;
    cluster.run_ms(3_000);
    cluster.propose(leader, "goes on");
    cluster.run_ms(300);
    assert_eq!(cluster.node(leader).leadership().term, term);
    for id in 1..=3 {
        assert_eq!(cluster.texts(id), ["goes on"]);
    }
}
