use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::time::timeout;

use super::super::hello::{HelloError, HelloRefusal, Voice};
use super::super::identity::{GroupKey, Identity};
use super::super::testing_net::{Order, bind, start_processes, wait_for, wait_for_leader};
use super::*;

const PATIENCE: Duration = Duration::from_secs(10);
const BOUNDS: LaneBounds = LaneBounds { express: 1 << 16, freight: 1 << 20, news: 1 << 20 };

fn greeter(id: NodeId) -> Greeter {
    let identity = Identity::new(GroupKey(7), id, vec![1, 2]).expect("a valid identity");
    Greeter::new(identity, format!("client{id}:6379"), Voice::default())
}

/// One end of a pair of transports.
struct End {
    transport: Transport,
    inbox: Inbox,
    wake: Arc<Notify>,
}

fn end(id: NodeId, socket: std::net::TcpListener, peer_address: SocketAddr) -> End {
    let wake = Arc::new(Notify::new());
    let inbox = Inbox::new(wake.clone());
    let peers = vec![(3 - id, peer_address.to_string())];
    let config = TransportConfig { bounds: BOUNDS, ..TransportConfig::new(greeter(id), peers) };
    End {
        transport: Transport::start(config, socket, inbox.clone(), None).expect("a transport"),
        inbox,
        wake,
    }
}

impl End {
    async fn connected(&self, peer: NodeId) {
        let connected = async {
            while !self.transport.is_connected(peer) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        timeout(PATIENCE, connected).await.expect("the peer is reached");
    }

    /// The next events, at least one.
    async fn hear(&self) -> Vec<(NodeId, PeerEvent)> {
        let mut events = Vec::new();
        while events.is_empty() {
            self.inbox.take(&mut events);
            if events.is_empty() {
                let woken = timeout(PATIENCE, self.wake.notified()).await;
                woken.expect("something arrives");
            }
        }
        events
    }
}

fn news(text: &[u8]) -> Frame {
    Frame::Publish(Bytes::copy_from_slice(text))
}

#[tokio::test(flavor = "current_thread")]
async fn frames_travel_and_addresses_are_learned() {
    let ((socket1, address1), (socket2, address2)) = (bind(), bind());
    let mut one = end(1, socket1, address2);
    let two = end(2, socket2, address1);
    one.connected(2).await;
    two.connected(1).await;
    assert!(one.transport.send(2, &news(b"first")));
    assert!(one.transport.send(2, &news(b"second")));
    one.transport.flush();
    let mut heard = Vec::new();
    while heard.len() < 2 {
        heard.extend(two.hear().await);
    }
    let expected =
        [b"first".as_slice(), b"second"].map(|text| (1, PeerEvent::Publish(Bytes::copy_from_slice(text))));
    assert_eq!(heard, expected);
    let told = one.transport.client_address(2);
    assert_eq!(told.as_deref(), Some("client2:6379"));
    assert!(!one.transport.send(9, &news(b"nobody")));
}

#[tokio::test(flavor = "current_thread")]
async fn a_restarted_peer_is_reached_again_and_the_loss_is_told() {
    let ((socket1, address1), (socket2, address2)) = (bind(), bind());
    let mut one = end(1, socket1, address2);
    assert!(!one.transport.send(2, &news(b"too early")));
    let two = end(2, socket2, address1);
    one.connected(2).await;
    drop(two);
    assert_eq!(one.hear().await, [(2, PeerEvent::Unreachable)]);
    let socket2 = std::net::TcpListener::bind(address2).expect("the same port");
    socket2.set_nonblocking(true).expect("a non-blocking socket");
    let two = end(2, socket2, address1);
    one.connected(2).await;
    one.transport.broadcast(&news(b"again"));
    one.transport.flush();
    let again = PeerEvent::Publish(Bytes::from_static(b"again"));
    assert_eq!(two.hear().await, [(1, again)]);
}

#[tokio::test(flavor = "current_thread")]
async fn a_peer_that_does_not_read_costs_a_bounded_amount_of_memory() {
    let ((socket1, _), (socket2, address2)) = (bind(), bind());
    let silent = tokio::net::TcpListener::from_std(socket2).expect("a listener");
    let mut one = end(1, socket1, address2);
    let (mut stream, _) = silent.accept().await.expect("it dials");
    greeter(2).accept(&mut stream).await.expect("it is a member");
    one.connected(2).await;
    let frame = news(&vec![7; 100_000]);
    let taken = (0..1_000).take_while(|_| {
        let taken = one.transport.send(2, &frame);
        one.transport.flush();
        taken
    });
    let taken = taken.count();
    assert!((10..200).contains(&taken), "took {taken} frames");

    let mut read = 0;
    let mut buffer = vec![0; 1 << 16];
    while read < taken * 100_000 {
        let bytes = timeout(PATIENCE, stream.read(&mut buffer)).await;
        read += bytes.expect("more arrives").expect("the connection is whole");
    }
    assert!(one.transport.send(2, &frame), "there is room again");
}

#[tokio::test(flavor = "current_thread")]
async fn strangers_and_liars_are_closed() {
    let ((socket1, address1), (_, address2)) = (bind(), bind());
    let one = end(1, socket1, address2);
    let mut stranger = greeter(2);
    stranger.identity.key = GroupKey(8);
    let mut stream = TcpStream::connect(address1).await.expect("a connection");
    let dialled = stranger.dial(&mut stream, ConnectionKind::Raft, 1).await;
    assert!(matches!(dialled, Err(HelloError::RefusedByPeer { refusal: HelloRefusal::OtherGroup, .. })));
    assert!(matches!(stream.read(&mut [0; 8]).await, Ok(0) | Err(_)));

    let mut stream = TcpStream::connect(address1).await.expect("a connection");
    let dialled = greeter(2).dial(&mut stream, ConnectionKind::Raft, 1).await;
    assert_eq!(dialled.expect("a member").node_id, 1);
    stream.write_all(&[0xff; 64]).await.expect("it writes");
    assert!(matches!(stream.read(&mut [0; 8]).await, Ok(0) | Err(_)));
    assert!(one.inbox.is_empty());
}

#[tokio::test(flavor = "current_thread")]
async fn silent_connections_do_not_keep_a_member_out() {
    const SILENT: usize = 600;
    let ((socket1, address1), (_, address2)) = (bind(), bind());
    let _one = end(1, socket1, address2);
    let mut silent = Vec::new();
    for _ in 0..SILENT {
        silent.push(timeout(PATIENCE, TcpStream::connect(address1)).await.expect("it is accepted"));
    }
    let greeted = async {
        let mut stream = TcpStream::connect(address1).await.expect("a connection");
        greeter(2).dial(&mut stream, ConnectionKind::Raft, 1).await
    };
    let greeted = timeout(Duration::from_secs(1), greeted).await.expect("it is not held up");
    assert_eq!(greeted.expect("a member").node_id, 1);
}

#[tokio::test(flavor = "current_thread")]
async fn a_second_connection_of_a_peer_ends_the_first() {
    let ((socket1, address1), (_, address2)) = (bind(), bind());
    let one = end(1, socket1, address2);
    let mut streams = Vec::new();
    for _ in 0..2 {
        let mut stream = TcpStream::connect(address1).await.expect("a connection");
        let dialled = greeter(2).dial(&mut stream, ConnectionKind::Raft, 1).await;
        dialled.expect("a member");
        streams.push(stream);
    }
    let ended = timeout(PATIENCE, streams[0].read(&mut [0; 8])).await;
    assert!(matches!(ended, Ok(Ok(0) | Err(_))));
    let mut bytes = bytes::BytesMut::new();
    news(b"x").encode(&mut bytes).expect("it is short");
    streams[1].write_all(&bytes).await.expect("it writes");
    assert_eq!(one.hear().await.len(), 1);
}

#[test]
fn three_processes_replicate_over_sockets_and_survive_the_loss_of_their_leader() {
    let (mut processes, _folders) = start_processes(3, 10_000);
    let (leader, _) = wait_for_leader(&processes);
    for text in ["a", "b"] {
        processes[leader].order(Order::Propose(text.into()));
    }
    for process in &processes {
        wait_for(|| (process.report().texts == ["a", "b"]).then_some(()));
    }
    drop(processes.remove(leader));
    let (leader, _) = wait_for_leader(&processes);
    processes[leader].order(Order::Propose(b"c".to_vec()));
    for process in &processes {
        wait_for(|| (process.report().texts == ["a", "b", "c"]).then_some(()));
    }
}
