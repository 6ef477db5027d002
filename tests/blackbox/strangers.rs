//! A stranger who reaches the peer port and calls himself a member: nothing of what he does lasts.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use bytes::BytesMut;
use perdura::raft::frame::{Frame, RaftFrame};
use perdura::raft::hello::PROTOCOL_VERSION;
use perdura::raft::identity::GroupKey;
use perdura_testkit::clock::wait_for;
use perdura_testkit::{Cluster, Node};
use raft::eraftpb::{Message, MessageType};

use crate::perdura;

const NAME: &str = "strangers";
const LIMIT: Duration = Duration::from_secs(20);
const RAFT_CONNECTION: u8 = 1;
/// What a stranger says of its log and of itself that knows nothing.
const GUESSED: Voice = [4_711, 4_711];
/// The refusal of a process that is not the one that is reached at its member's address.
const ELSEWHERE: u8 = 8;

/// The two numbers of a process that it says in its greetings: of its log, and of itself.
type Voice = [u64; 2];

/// Connects to a node's peer port in the name of a member, with the numbers that it has overheard, and is let in: unless the node just sees
/// that the member is reached elsewhere. Returns what the node says of itself, too.
fn connect(to: &Node, (from, voice): (u64, Voice), to_id: u64) -> (TcpStream, Voice) {
    let addr = to.flag("peer-addr").expect("a member");
    let mut stream = TcpStream::connect(addr).expect("the peer port listens");
    stream.set_read_timeout(Some(LIMIT)).expect("a socket");
    let mut body = vec![0, RAFT_CONNECTION];
    for number in [GroupKey::named(NAME, &[1, 2, 3]).0, from, to_id, 0, 0, 0, voice[0], voice[1]] {
        body.extend(number.to_le_bytes());
    }
    body.extend(b"stranger:1");
    let mut hello = b"PERDURA>".to_vec();
    hello.extend(PROTOCOL_VERSION.to_le_bytes());
    hello.extend((body.len() as u16).to_le_bytes());
    hello.extend(body);
    stream.write_all(&hello).expect("it listens");
    let mut answer = [0; 12 + 2 + 8 * 8];
    stream.read_exact(&mut answer).expect("it answers");
    assert!([0, ELSEWHERE].contains(&answer[12]), "the stranger says the right things: {}", answer[12]);
    let numbers = answer[14..].as_chunks().0.iter().map(|bytes| u64::from_le_bytes(*bytes));
    let numbers: Vec<u64> = numbers.collect();
    (stream, [numbers[6], numbers[7]])
}

fn heartbeat(session: u64, (from, to): (u64, u64), term: u64, commit: u64) -> Frame {
    let mut message = Message::default();
    message.set_msg_type(MessageType::MsgHeartbeat);
    (message.from, message.to, message.term, message.commit) = (from, to, term, commit);
    Frame::Raft(RaftFrame { session, messages: vec![message], ..RaftFrame::default() })
}

/// Says this to each node in the name of each other one, and leaves: as somebody who only guesses, then with all that greetings tell.
fn say_to_all(cluster: &Cluster, frames: impl Fn(u64, (u64, u64)) -> Vec<Frame>) {
    let overhear = |(id, node): (u64, &Node)| connect(node, (id % 3 + 1, GUESSED), id).1;
    let told: Vec<Voice> = (1..).zip(&cluster.nodes).map(overhear).collect();
    say_as(cluster, &[GUESSED; 3], &frames);
    say_as(cluster, &told, &frames);
}

fn say_as(cluster: &Cluster, voices: &[Voice], frames: &impl Fn(u64, (u64, u64)) -> Vec<Frame>) {
    for (to, node) in (1..).zip(&cluster.nodes) {
        for from in (1..=3).filter(|from| *from != to) {
            let mut bytes = BytesMut::new();
            let voice = voices[from as usize - 1];
            for frame in frames(voice[1], (from, to)) {
                frame.encode(&mut bytes).expect("it is short");
            }
            // The node may hang up in the middle.
            let _ = connect(node, (from, voice), to).0.write_all(&bytes);
        }
    }
}

fn writes_go_on(cluster: &mut Cluster, key: &str) {
    wait_for("a write is taken", LIMIT, || {
        let primary = cluster.primary();
        let mut client = cluster.nodes[primary].try_admin().ok()?;
        let reply = client.try_call(&[b"SET", key.as_bytes(), b"value"]).ok()?;
        (!reply.is_error()).then_some(())
    });
    cluster.agreed_digest();
    for node in &mut cluster.nodes {
        assert!(!node.has_ended(), "{}", node.log());
        assert!(!node.data().join("damaged-log").exists(), "{}", node.log());
        assert!(node.client().info_number("perdura_term") < 1_000);
    }
}

/// One heartbeat with a large commit made each node set its log aside; six Rejoin frames left the group without a leader; a term at
/// the end of all numbers ended each node at each start.
#[test]
fn forged_frames_of_a_stranger_leave_nothing_behind() {
    let mut cluster = Cluster::start_with(perdura().flag("cluster-name", NAME));
    writes_go_on(&mut cluster, "before");
    let term = cluster.client(0).info_number("perdura_term");
    say_to_all(&cluster, |session, way| vec![heartbeat(session, way, term, 1_000)]);
    writes_go_on(&mut cluster, "commit");
    say_to_all(&cluster, |session, _| vec![Frame::Rejoin { session, round: 0 }]);
    writes_go_on(&mut cluster, "rejoin");
    say_to_all(&cluster, |session, way| vec![heartbeat(session, way, u64::MAX, 0)]);
    writes_go_on(&mut cluster, "term");
    for node in &mut cluster.nodes {
        node.kill();
        node.restart();
    }
    writes_go_on(&mut cluster, "restart");
}
