use perdura_wal::disk::sim::Tear;
use perdura_wal::{HardState, NewLog, Options, Position, Record, SimDisk, Wal};

use super::super::super::testing::Cluster;
use super::*;
use crate::raft::cluster::Cluster as OfLog;
use crate::raft::memo::Memo;

/// What a member with this log answers to the challenge that it was sent last.
fn proof(book: &LogBook, member: NodeId, log: u64) -> LogProof {
    LogProof { challenge: book.challenge(member), log, cluster: ClusterId::NONE }
}

/// A proof of a log by its first process, whose session has the same number.
fn prove(book: &mut LogBook, member: NodeId, log: u64) -> Proven {
    let proof = proof(book, member, log);
    book.prove(member, log, proof)
}

/// A node that was restarted hears first of the new log, and then late words of the one that was lost.
#[test]
fn late_words_and_late_proofs_of_a_lost_log_do_not_make_it_the_newest() {
    let mut cluster = Cluster::new(3);
    let leader = cluster.elect();
    let member = cluster.followers_of(leader)[0];
    let early = proof(&cluster.node(leader).log_book, member, 7);
    cluster.node(leader).step_proof(member, 8, LogProof { log: 8, ..early });
    assert!(cluster.node(leader).hears_log(member, 8));
    cluster.node(leader).step_proof(member, 7, early);
    assert!(cluster.node(leader).hears_log(member, 8), "each challenge counts once");
    assert!(!cluster.node(leader).hears_log(member, 7));
}

#[test]
fn what_an_older_log_said_is_not_heard() {
    let mut book = LogBook::new(1);
    for log in 10..60 {
        let proven = prove(&mut book, 2, log);
        assert_eq!(proven, if log == 10 { Proven::Log } else { Proven::AnotherLog });
        assert!(book.hears(2, log));
        assert!(log == 10 || !book.hears(2, log - 1));
    }
    assert!(book.suspects.is_empty(), "a log that another has followed raises no question");
    assert!(book.sessions[&2].older.len() <= MAX_OLDER);
    assert!(!book.hears(2, 99) && book.suspects.contains(&2), "a log that was never heard of does");
    assert_ne!(book.challenge(2), LogBook::new(2).challenge(2));
}

/// A process on a copy of a member's folder has the same log, and could vote a second time in the member's name.
#[test]
fn another_process_on_the_same_log_is_not_heard_before_it_is_reached_at_the_members_address() {
    assert_ne!(session_of(7, 1), session_of(7, 2));
    assert_ne!(session_of(7, 1), process_of(7, 1), "a greeting tells no session");
    let mut book = LogBook::new(1);
    let (member, copy) = (session_of(7, 1), session_of(7, 2));
    let shown = proof(&book, 3, 7);
    assert_eq!(book.prove(3, member, shown), Proven::Log);
    assert!(!book.hears(3, copy) && book.suspects.contains(&3) && book.hears(3, member));
    let shown = proof(&book, 3, 7);
    assert_eq!(book.prove(3, copy, shown), Proven::Log, "what it said before was in the log");
    assert!(book.hears(3, copy) && !book.hears(3, member));
    (0..LATE_TICKS).for_each(|_| book.tick());
    assert!(!book.reports_return(3, member), "it is no older log");
}

/// An operator puts a log back that was set aside: the member would be silent without a reason.
#[test]
fn a_log_that_was_set_aside_and_put_back_is_reported_once() {
    let mut book = LogBook::new(1);
    let (old, new) = (7, 8);
    for log in [old, new] {
        prove(&mut book, 3, log);
    }
    assert!(!book.reports_return(3, old), "late words are no return");
    (0..LATE_TICKS).for_each(|_| book.tick());
    assert!(!book.reports_return(3, new) && !book.reports_return(3, 99) && !book.reports_return(2, old));
    assert!(book.reports_return(3, old) && !book.reports_return(3, old), "once");
    assert!(!book.hears(3, old) && book.hears(3, new));
}

/// The others are started again, too, so that nothing in memory tells them.
#[test]
fn a_log_that_its_member_has_replaced_is_heard_by_no_later_process() {
    let mut cluster = Cluster::new(3);
    let leader = cluster.elect();
    cluster.propose(leader, "a");
    cluster.run_ms(500);
    let member = cluster.followers_of(leader)[0];
    let old = cluster.copy_of(member);
    cluster.lose_log(member);
    cluster.start(member);
    cluster.run_until(5_000, |cluster| cluster.node(member).is_trusted());
    cluster.propose(leader, "b");
    cluster.run_ms(500);
    let others: Vec<NodeId> = (1..=3).filter(|id| *id != member).collect();
    for id in &others {
        let replaced: Vec<NodeId> = cluster.node(*id).replaced_logs().iter().map(|(of, _)| *of).collect();
        assert_eq!(replaced, [member]);
        cluster.stop(*id);
    }
    cluster.set_back(member, old);
    others.iter().for_each(|id| cluster.start(*id));
    cluster.elect();
    cluster.start(member);
    cluster.run_ms(2_000);
    let session = cluster.session_of(member);
    for id in others {
        assert!(!cluster.node(id).hears_log(member, session));
    }
}

/// Nodes 1 and 2 of two clusters that have the same members and addresses.
#[test]
fn members_of_another_cluster_are_strangers() {
    let mut cluster = Cluster::new(3);
    let leader = cluster.elect();
    let member = cluster.followers_of(leader)[0];
    let of = |id| LogProof { cluster: ClusterId(id), ..LogProof::default() };
    let show = |cluster: &mut Cluster, of: LogProof| {
        let challenge = cluster.node(leader).log_book.challenge(member);
        cluster.node(leader).step_proof(member, 9, LogProof { challenge, log: 9, ..of });
        cluster.node(leader).hears_log(member, 9)
    };
    assert!(
        !show(&mut cluster, of(6)),
        "the leader's own log belongs to none yet, and did not know this one"
    );
    let adopted = cluster.node(leader).adopt_cluster(ClusterId(5));
    assert!(adopted.is_ok() && !show(&mut cluster, of(6)), "{adopted:?}");
    assert!(show(&mut cluster, of(5)));
}

/// The disk of a stranger that has the settings of this member: its log belongs to cluster 6.
fn disk_of_stranger(cluster: &Cluster, member: NodeId, end: Position) -> SimDisk {
    let disk = SimDisk::new(70, Tear::Sectors, 4096);
    let metadata = Memo::in_cluster(OfLog::of(ClusterId(6))).encode(&cluster.config_of(member).identity);
    let create = Some(NewLog { log_id: 4_711, metadata });
    let options = Options { segment_bytes: 1 << 17, create, ..Options::default() };
    let (mut wal, _) = Wal::open(disk.clone(), options).expect("the disk is new");
    for index in 1..=end.index {
        wal.stage(Record { index, term: end.term, payload: b"a stranger's" }).expect("it follows");
    }
    let state = HardState { term: end.term, vote: 0, commit: end.index };
    wal.stage_hard_state(state).and_then(|()| wal.commit()).expect("the disk works");
    drop(wal);
    disk.kill()
}

/// The stranger and such a member were a majority: they elected the stranger, and what it committed counted as the group's.
#[test]
fn a_stranger_leads_no_member_that_has_not_heard_of_its_cluster() {
    for restarts in [false, true] {
        let mut cluster = Cluster::new(3);
        let founder = cluster.elect();
        let [near, far] = cluster.followers_of(founder)[..] else { panic!("there are three") };
        cluster.isolate(far);
        for id in [founder, near] {
            cluster.node(id).adopt_cluster(ClusterId(5)).expect("the disk works");
        }
        cluster.propose(founder, "acknowledged");
        cluster.run_ms(300);
        assert!(cluster.texts(near) == ["acknowledged"] && cluster.members[&far].machine.entries.is_empty());
        if restarts {
            cluster.lose_power(far);
            cluster.start(far);
            assert!(cluster.node(far).is_trusted(), "it has voted");
        }
        let own = cluster.copy_of(founder);
        let stranger = disk_of_stranger(&cluster, founder, Position { index: 50, term: 9 });
        cluster.set_back(founder, stranger);
        cluster.member(founder).may_end = true;
        cluster.start(founder);
        cluster.heal();
        cluster.isolate(near);
        cluster.run_ms(5_000);
        assert!(cluster.leader().is_none() && cluster.node(far).cluster().id.is_none());
        assert!(cluster.members[&far].machine.entries.is_empty());

        cluster.heal();
        cluster.run_until(5_000, |cluster| cluster.leader() == Some(near));
        assert_eq!(cluster.node(far).cluster().id, ClusterId(5));
        cluster.propose(near, "and on");
        cluster.set_back(founder, own);
        cluster.member(founder).may_end = false;
        cluster.start(founder);
        cluster.run_ms(3_000);
        for id in 1..=3 {
            assert_eq!(cluster.texts(id), ["acknowledged", "and on"]);
        }
    }
}

/// A founder that this node did not hear while the group was new is no stranger: another member says so.
#[test]
fn a_member_hears_of_its_cluster_by_a_log_that_it_knew_before() {
    let mut cluster = Cluster::new(3);
    cluster.stop(3);
    cluster.lose_log(3);
    cluster.elect();
    let show = |cluster: &mut Cluster, from, log| {
        let challenge = cluster.node(1).log_book.challenge(from);
        cluster.node(1).step_proof(from, log, LogProof { challenge, log, cluster: ClusterId(5) });
        (cluster.node(1).hears_log(from, log), cluster.node(1).cluster().id)
    };
    let companion = cluster.log_id_of(2);
    assert_eq!(show(&mut cluster, 3, 33), (false, ClusterId::NONE));
    assert_eq!(show(&mut cluster, 2, 22), (false, ClusterId::NONE), "another log than it knew");
    assert_eq!(show(&mut cluster, 2, companion), (true, ClusterId(5)));
    assert_eq!(show(&mut cluster, 3, 33), (true, ClusterId(5)));
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
        node.step_proof(from, 4_711, LogProof { challenge: 4_711, ..LogProof::default() });
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
