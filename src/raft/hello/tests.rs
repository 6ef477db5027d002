use super::*;

const NONE: Cluster = Cluster { id: ClusterId::NONE, origin: LogEnd { term: 0, index: 0 } };

fn cluster(id: u64) -> Cluster {
    Cluster::of(ClusterId(id))
}

fn restored_to(index: u64) -> Cluster {
    Cluster::restored(&[5], LogEnd { term: 2, index }, "")
}

fn greeter_in(cluster: Cluster, key: u64, node_id: NodeId) -> Greeter {
    let mut members = vec![1, 2, 3];
    if node_id > 3 {
        members.push(node_id);
    }
    let identity = Identity::new(GroupKey(key), node_id, members);
    let voice = Voice { log: 10 * node_id, process: 100 * node_id };
    let greeter = Greeter::new(identity.expect("a valid identity"), format!("host{node_id}:6379"), voice);
    greeter.know(cluster, []);
    greeter
}

fn greeter(key: u64, node_id: NodeId) -> Greeter {
    greeter_in(NONE, key, node_id)
}

async fn meet(
    dialler: &Greeter,
    expected: NodeId,
    acceptor: &Greeter,
) -> (Result<Hello, HelloError>, Result<Hello, HelloError>) {
    let (mut near, mut far) = tokio::io::duplex(4096);
    tokio::join!(dialler.dial(&mut near, ConnectionKind::Raft, expected), acceptor.accept(&mut far))
}

/// Meets, is refused, and returns what both sides tell.
async fn part(dialler: &Greeter, acceptor: &Greeter) -> (HelloRefusal, [String; 2]) {
    match meet(dialler, acceptor.identity.node_id, acceptor).await {
        (
            Err(near @ HelloError::RefusedByPeer { refusal, .. }),
            Err(far @ HelloError::Refused { refusal: told, .. }),
        ) if refusal == told => (refusal, [near.to_string(), far.to_string()]),
        other => panic!("expected a refusal, got {other:?}"),
    }
}

#[tokio::test(flavor = "current_thread")]
async fn members_learn_each_others_client_addresses() -> Result<(), HelloError> {
    let (dialled, accepted) = meet(&greeter(7, 1), 2, &greeter(7, 2)).await;
    assert_eq!(dialled?.client_address, "host2:6379");
    let accepted = accepted?;
    assert_eq!(accepted.client_address, "host1:6379");
    assert_eq!((accepted.node_id, accepted.kind), (1, ConnectionKind::Raft));
    Ok(())
}

#[tokio::test(flavor = "current_thread")]
async fn strangers_are_told_why_they_are_refused() {
    let cases = [
        (greeter(8, 1), 2, HelloRefusal::OtherGroup),
        (greeter(7, 2), 2, HelloRefusal::SameNode),
        (greeter(7, 9), 2, HelloRefusal::UnknownNode),
        (greeter(7, 1), 3, HelloRefusal::WrongAddress),
    ];
    let acceptor = greeter(7, 2);
    for (dialler, expected, reason) in cases {
        let (dialled, accepted) = meet(&dialler, expected, &acceptor).await;
        assert!(matches!(dialled, Err(HelloError::RefusedByPeer { refusal, .. }) if refusal == reason));
        assert!(matches!(accepted, Err(HelloError::Refused { refusal, .. }) if refusal == reason));
    }
}

#[tokio::test(flavor = "current_thread")]
async fn clusters_with_the_same_addresses_are_strangers_and_both_are_named_to_both_sides() {
    let (refusal, told) = part(&greeter_in(cluster(0xA), 7, 1), &greeter_in(cluster(0xB), 7, 2)).await;
    assert_eq!(refusal, HelloRefusal::OtherCluster);
    for text in &told {
        assert!(text.contains("000000000000000a") && text.contains("000000000000000b"), "{text}");
        assert!(text.contains("empty no folder before you know"), "{text}");
    }
    let (dialled, accepted) = meet(&greeter_in(cluster(0xA), 7, 1), 2, &greeter(7, 2)).await;
    assert!(dialled.is_ok() && accepted.is_ok(), "a log without an id may belong to any");
}

#[tokio::test(flavor = "current_thread")]
async fn members_restored_to_different_entries_are_refused_with_both_entries() {
    let (refusal, told) = part(&greeter_in(restored_to(30), 7, 1), &greeter_in(restored_to(33), 7, 2)).await;
    assert_eq!(refusal, HelloRefusal::OtherCluster);
    assert!(
        told[0]
            .contains("it was restored or recovered to entry 33 of term 2, this node to entry 30 of term 2"),
        "{told:?}"
    );
    assert!(
        told[1]
            .contains("it was restored or recovered to entry 30 of term 2, this node to entry 33 of term 2"),
        "{told:?}"
    );
    assert!(told.iter().all(|text| text.contains("same --to-index")), "{told:?}");
}

#[tokio::test(flavor = "current_thread")]
async fn the_name_says_nothing_to_members_that_know_their_cluster() {
    let (dialled, accepted) = meet(&greeter_in(cluster(5), 7, 1), 2, &greeter_in(cluster(5), 8, 2)).await;
    assert!(dialled.is_ok() && accepted.is_ok(), "it was changed on one of them");
}

#[tokio::test(flavor = "current_thread")]
async fn a_log_that_was_replaced_is_refused_and_told_so() {
    let acceptor = greeter_in(cluster(5), 7, 2);
    acceptor.know(cluster(5), [(1, 10)]);
    let (refusal, told) = part(&greeter_in(cluster(5), 7, 1), &acceptor).await;
    assert_eq!(refusal, HelloRefusal::Replaced);
    assert!(told[0].contains("taken the place of this node's log 0x000000000000000a"), "{told:?}");
    assert!(told[1].contains("taken the place of its log 0x000000000000000a"), "{told:?}");
}

/// Node 1's own process answers at its address; a process on a copy of its folder dials node 2 in its name.
#[tokio::test(flavor = "current_thread")]
async fn a_process_on_a_copy_of_a_members_folder_is_refused_and_the_member_is_not() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("it is bound").to_string();
    let member = greeter_in(cluster(5), 7, 1);
    let at_home = member.clone();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let _ = at_home.accept(&mut stream).await;
        }
    });
    let acceptor = greeter_in(cluster(5), 7, 2).reaching(&[(1, address.clone())]);
    let mut copy = member.clone();
    copy.voice.process = 101;
    let (_, accepted) = meet(&copy, 2, &acceptor).await;
    assert!(accepted.is_ok(), "node 1 was never reached");
    acceptor.known.lock().reached.insert(1, 100);
    let (refusal, told) = part(&copy, &acceptor).await;
    assert_eq!(refusal, HelloRefusal::Elsewhere);
    assert!(told[0].contains("runs on a copy of that folder") && told[1].contains(&address), "{told:?}");
    acceptor.known.lock().reached.insert(1, 99);
    let (_, accepted) = meet(&member, 2, &acceptor).await;
    assert!(accepted.is_ok(), "it was started again, and is reached at its address: {accepted:?}");
}

#[tokio::test(flavor = "current_thread")]
async fn another_version_is_named_to_both_sides() -> Result<(), HelloError> {
    let (mut near, mut far) = tokio::io::duplex(4096);
    let acceptor = greeter(7, 2);
    let mut bytes = greeter(7, 1).hello(ConnectionKind::Raft, 2).encode(None);
    bytes[8] = 77;
    near.write_all(&bytes).await?;
    let accepted = acceptor.accept(&mut far).await;
    assert!(matches!(accepted, Err(HelloError::Version { found: 77 })));
    let (verdict, _) = read_hello(&mut near).await?;
    assert_eq!(verdict, Some(HelloRefusal::Version));
    Ok(())
}

#[tokio::test(flavor = "current_thread")]
async fn other_protocols_and_long_greetings_are_turned_away() -> Result<(), HelloError> {
    let long = [&MAGIC[..], &PROTOCOL_VERSION.to_le_bytes(), &u16::MAX.to_le_bytes()].concat();
    for bytes in [b"GET / HTTP/1.1\r\n\r\n".to_vec(), long] {
        let (mut near, mut far) = tokio::io::duplex(4096);
        near.write_all(&bytes).await?;
        let accepted = greeter(7, 2).accept(&mut far).await;
        assert!(matches!(accepted, Err(HelloError::NotAPeer | HelloError::Malformed)));
    }
    Ok(())
}

#[test]
fn the_bytes_of_a_hello_never_change_between_releases() {
    let hello = Hello {
        kind: ConnectionKind::Keepalive,
        key: GroupKey(0x0102),
        node_id: 3,
        expected_node: 4,
        cluster: Cluster { id: ClusterId(5), origin: LogEnd { term: 6, index: 7 } },
        voice: Voice { log: 8, process: 9 },
        client_address: "a:1".into(),
    };
    let numbers = [0x0102, 3, 4, 5, 6, 7, 8, 9u64].map(u64::to_le_bytes).concat();
    let golden = [&b"PERDURA>"[..], &[6, 0, 69, 0, 0, 2], &numbers, b"a:1"];
    let bytes = hello.encode(None);
    assert_eq!(bytes, golden.concat());
    assert_eq!(Hello::decode(&bytes[HEADER_BYTES..]), Some((None, hello)));
    assert_eq!(Hello::decode(&bytes[HEADER_BYTES..bytes.len() - 4]), None);
}
