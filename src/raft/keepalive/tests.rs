use super::super::testing_net::{Order, Process, start_processes, wait_for, wait_for_leader};
use super::*;
use crate::raft::inbox::PeerEvent;
use crate::raft::status::{Leadership, Role};

const LONG_AFTER_ELECTION_TIMEOUT: Duration = Duration::from_millis(3_000);

fn terms(processes: &[Process]) -> Vec<u64> {
    let reports = processes.iter().map(Process::report);
    reports.map(|r| r.status.leadership.term).collect()
}

/// Keepalive connections need a moment to come up before they can help.
fn settle(processes: &[Process]) -> (usize, u64) {
    wait_for_leader(processes);
    std::thread::sleep(Duration::from_millis(500));
    wait_for_leader(processes)
}

#[test]
fn a_leader_that_blocks_for_long_keeps_its_office() {
    let (processes, _folders) = start_processes(3, 10_000);
    let (leader, term) = settle(&processes);
    processes[leader].order(Order::Stall(LONG_AFTER_ELECTION_TIMEOUT));
    std::thread::sleep(LONG_AFTER_ELECTION_TIMEOUT + Duration::from_millis(500));
    assert_eq!(terms(&processes), [term; 3]);
    assert_eq!(wait_for_leader(&processes), (leader, term));
}

#[test]
fn followers_that_block_for_long_do_not_unseat_their_leader() {
    let (processes, _folders) = start_processes(3, 10_000);
    let (leader, term) = settle(&processes);
    for (place, process) in processes.iter().enumerate() {
        if place != leader {
            process.order(Order::Stall(LONG_AFTER_ELECTION_TIMEOUT));
        }
    }
    std::thread::sleep(LONG_AFTER_ELECTION_TIMEOUT + Duration::from_millis(500));
    assert_eq!(terms(&processes), [term; 3]);
    processes[leader].order(Order::Propose(b"after".to_vec()));
    wait_for(|| (processes[leader].report().texts == ["after"]).then_some(()));
}

#[test]
fn a_leader_that_blocks_beyond_the_bound_gives_way() {
    let (processes, _folders) = start_processes(3, 500);
    let (leader, term) = settle(&processes);
    processes[leader].order(Order::Stall(Duration::from_millis(4_000)));
    let others: Vec<_> = (0..3).filter(|&place| place != leader).collect();
    let newer = wait_for(|| {
        let mut reports = others.iter().map(|&place| processes[place].report().status);
        reports.find(|status| status.is_serving)
    });
    assert!(newer.leadership.term > term);
    wait_for(|| {
        let old = processes[leader].report().status.leadership;
        (old.role == Role::Follower).then_some(())
    });
}

#[test]
fn a_board_tells_turns_and_leadership() {
    let board = TurnBoard::default();
    assert!(!board.is_busy());
    let turn = board.begin_turn();
    assert!(board.is_busy());
    drop(turn);
    assert!(!board.is_busy() && board.turn() == 2);

    let mut leadership = Leadership::default();
    leadership.update(raft::StateRole::Leader, 4, 1);
    board.set_leadership(&leadership);
    assert!(board.leading_term() == Some(4) && !board.follows(1, 4));
    leadership.update(raft::StateRole::Follower, 5, 2);
    board.set_leadership(&leadership);
    assert!(board.leading_term().is_none() && board.follows(2, 5) && !board.follows(2, 4));
}

#[test]
fn a_driver_whose_thread_is_held_up_outside_of_a_turn_is_busy_too() {
    let board = TurnBoard::default();
    let mut leadership = Leadership::default();
    leadership.update(raft::StateRole::Leader, 4, 1);
    board.set_leadership(&leadership);
    let timing = RaftTiming::default();
    let pulse = Pulse::new(board.clone(), &timing, 3 * timing.heartbeat_ms());
    let beat = |driver_is_busy| Some(Frame::Beat { term: 4, driver_is_busy });
    for _ in 0..3 {
        drop(board.begin_turn());
        assert_eq!(pulse.beat(), beat(false));
    }
    for _ in 0..3 {
        assert_eq!(pulse.beat(), beat(true));
    }
    board.parts().fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    for _ in 0..4 {
        assert_eq!(pulse.beat(), beat(true), "the disk works");
    }
    assert_eq!(pulse.beat(), None, "beyond the bound it gives way");
    drop(board.begin_turn());
    assert_eq!(pulse.beat(), beat(false));

    leadership.update(raft::StateRole::Follower, 5, 2);
    board.set_leadership(&leadership);
    let heard = || pulse.hear(2, &Frame::Beat { term: 5, driver_is_busy: false });
    assert_eq!(heard(), Heard::default());
    pulse.beat();
    let answer = Some(Frame::BeatAnswer { term: 5 });
    assert_eq!(heard(), Heard { event: Some(PeerEvent::Beat { term: 5 }), answer });
}
