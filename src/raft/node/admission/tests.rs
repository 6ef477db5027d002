use raft::eraftpb::Entry;

use super::super::super::testing::{Cluster, Nowhere};
use super::*;
use crate::raft::frame::RaftFrame;
use crate::raft::testing::Ledger;

/// A frame of the leader's, with the id of its log or with a stranger's guess at it.
fn frame(session: u64, message: Message) -> RaftFrame {
    RaftFrame { session, messages: vec![message], ..RaftFrame::default() }
}

fn message(kind: MessageType, from: NodeId, to: NodeId, term: u64) -> Message {
    let mut message = Message::default();
    message.set_msg_type(kind);
    (message.from, message.to, message.term) = (from, to, term);
    message
}

fn led() -> (Cluster, NodeId, NodeId, u64) {
    let mut cluster = Cluster::new(3);
    let leader = cluster.elect();
    cluster.propose(leader, "kept");
    cluster.run_ms(300);
    let follower = cluster.followers_of(leader)[0];
    let term = cluster.node(leader).leadership().term;
    (cluster, leader, follower, term)
}

/// One such frame to each node made all of them set their logs aside.
#[test]
fn a_heartbeat_of_a_stranger_with_a_large_commit_condemns_no_log() {
    let (mut cluster, leader, follower, term) = led();
    for session in [0, 4_711] {
        let mut heartbeat = message(MessageType::MsgHeartbeat, leader, follower, term);
        heartbeat.commit = 99;
        let now_ms = cluster.clock_of(follower);
        cluster.node(follower).step(leader, frame(session, heartbeat), now_ms);
        let ended = cluster.node(follower).process(now_ms, &mut Nowhere, &mut Ledger::default());
        assert!(ended.is_ok(), "{ended:?}");
    }
}

#[test]
fn a_term_at_the_end_of_all_numbers_is_refused_and_its_connection_closed() {
    let (mut cluster, leader, follower, term) = led();
    let session = cluster.session_of(leader);
    for far in [u64::MAX, term + MAX_TERM_STEP + 1] {
        let now_ms = cluster.clock_of(follower);
        let node = cluster.node(follower);
        node.step(leader, frame(session, message(MessageType::MsgHeartbeat, leader, follower, far)), now_ms);
        node.step(leader, frame(0, message(MessageType::MsgRequestVote, leader, follower, far)), now_ms);
        assert_eq!(node.leadership().term, term);
        assert_eq!(node.take_refused(), [leader]);
        assert!(node.take_refused().is_empty());
    }
    cluster.run_ms(1_000);
    assert_eq!(cluster.leader(), Some(leader));
}

#[test]
fn messages_that_no_member_sends_are_refused_and_end_no_node() {
    let (mut cluster, leader, follower, term) = led();
    let last = cluster.node(follower).raw.raft.raft_log.last_index();
    let append = |index, log_term, entries: &[(u64, u64)]| {
        let mut append = message(MessageType::MsgAppend, leader, follower, term);
        (append.index, append.log_term, append.commit) = (index, log_term, last);
        let entries =
            entries.iter().map(|(index, term)| Entry { index: *index, term: *term, ..Entry::default() });
        append.set_entries(entries.collect());
        append
    };
    let of_next_term = |mut append: Message| {
        append.term = term + 1;
        append
    };
    let mut snapshot = message(MessageType::MsgSnapshot, leader, follower, term);
    snapshot.mut_snapshot().mut_metadata().index = last + 9;
    let mut huge_commit = message(MessageType::MsgHeartbeat, leader, follower, term);
    huge_commit.commit = u64::MAX;
    let mut without_term = message(MessageType::MsgHeartbeat, leader, follower, 0);
    without_term.commit = last + 1;
    let refused = [
        (huge_commit, Refusal::IndexJumps { index: u64::MAX, own: last }),
        (without_term, Refusal::NoTerm),
        (append(u64::MAX, term, &[]), Refusal::IndexJumps { index: u64::MAX, own: last }),
        (append(last, term + 1, &[]), Refusal::LaterLog { log_term: term + 1, term }),
        (append(last, term, &[(last + 2, term)]), Refusal::BrokenEntries { index: last + 2 }),
        (
            of_next_term(append(last, term, &[(last + 1, term + 1), (last + 2, term)])),
            Refusal::BrokenEntries { index: last + 2 },
        ),
        (append(last, term, &[(last + 1, term + 1)]), Refusal::BrokenEntries { index: last + 1 }),
        (
            of_next_term(append(last - 1, term, &[(last, term + 1)])),
            Refusal::ContradictsCommitted { index: last },
        ),
        (append(last + 5, 0, &[]), Refusal::EntryWithoutTerm { index: last + 5 }),
        (append(last, term, &[(last + 1, 0)]), Refusal::EntryWithoutTerm { index: last + 1 }),
        (
            append(last, term, &[(last + 1, term), (last + 2, 0)]),
            Refusal::EntryWithoutTerm { index: last + 2 },
        ),
        (snapshot, Refusal::EntryWithoutTerm { index: last + 9 }),
    ];
    for (message, refusal) in refused {
        assert_eq!(cluster.node(follower).refusal_of(&message), Some(refusal), "{message:?}");
    }
    assert_eq!(
        cluster.node(follower).refusal_of(&append(last - 1, term, &[(last, term), (last + 1, term)])),
        None
    );
    let mut unknown = message(MessageType::MsgAppendResponse, follower, leader, term);
    unknown.index = last + 9;
    let refused = cluster.node(leader).refusal_of(&unknown);
    assert_eq!(refused, Some(Refusal::UnknownAcknowledged { index: last + 9, last }));
}

/// The first append makes an entry committed, which the second one contradicts.
#[test]
fn a_message_that_contradicts_what_came_before_it_in_its_frame_ends_no_node() {
    let (mut cluster, leader, follower, term) = led();
    let last = cluster.node(follower).raw.raft.raft_log.last_index();
    let session = cluster.session_of(leader);
    let append = |term: u64| {
        let mut append = message(MessageType::MsgAppend, leader, follower, term);
        (append.index, append.log_term, append.commit) = (last, 1, last + 1);
        append.set_entries(vec![Entry { index: last + 1, term, ..Entry::default() }]);
        append
    };
    let messages = vec![append(term), append(term + 1)];
    let now_ms = cluster.clock_of(follower);
    let node = cluster.node(follower);
    node.step(leader, RaftFrame { session, messages, ..RaftFrame::default() }, now_ms);
    assert_eq!(node.take_refused(), [leader]);
    assert_eq!((node.committed(), node.leadership().term), (last + 1, term));
}
