//! Messages: channels, patterns, both protocols, and subscribers on every node.

use std::time::Duration;

use perdura_testkit::clock::wait_for;
use perdura_testkit::{Client, Cluster};

use crate::perdura;

#[test]
fn a_message_reaches_every_subscriber_of_its_channel() {
    let node = perdura().start();
    let (mut one, mut two, mut publisher) = (node.client(), node.client(), node.client());
    one.check("SUBSCRIBE news", "[subscribe news :1]");
    two.send_line("SUBSCRIBE news sports");
    two.expect("[subscribe news :1]");
    two.expect("[subscribe sports :2]");
    publisher.check("PUBLISH news hello", ":2");
    publisher.check("PUBLISH sports goal", ":1");
    publisher.check("PUBLISH nobody there", ":0");
    one.expect("[message news hello]");
    two.expect("[message news hello]");
    two.expect("[message sports goal]");
}

#[test]
fn patterns_match_channels() {
    let node = perdura().start();
    let (mut subscriber, mut publisher) = (node.client(), node.client());
    subscriber.check("PSUBSCRIBE news.*", "[psubscribe 'news.*' :1]".replace('\'', "").as_str());
    subscriber.check("SUBSCRIBE news.art", "[subscribe news.art :2]");
    publisher.check("PUBLISH news.art x", ":2");
    publisher.check("PUBLISH news.tech y", ":1");
    publisher.check("PUBLISH old z", ":0");
    subscriber.expect("[message news.art x]");
    subscriber.expect("[pmessage news.* news.art x]");
    subscriber.expect("[pmessage news.* news.tech y]");
}

#[test]
fn unsubscribing_counts_down() {
    let node = perdura().start();
    let mut client = node.client();
    client.check("UNSUBSCRIBE", "[unsubscribe nil :0]");
    client.check("SUBSCRIBE a", "[subscribe a :1]");
    client.check("SUBSCRIBE a", "[subscribe a :1]");
    client.check("PSUBSCRIBE p*", "[psubscribe p* :2]");
    client.check("UNSUBSCRIBE a", "[unsubscribe a :1]");
    client.check("PUNSUBSCRIBE", "[punsubscribe p* :0]");
    client.check("GET k", "nil");
}

#[test]
fn a_resp2_subscriber_may_say_little_else() {
    let node = perdura().start();
    let mut client = node.client();
    client.check("SUBSCRIBE a", "[subscribe a :1]");
    client.check(
        "GET k",
        "-ERR Can't execute 'get': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are allowed in this \
         context",
    );
    client.check("PING", "[pong '']");
    client.check("PING hi", "[pong hi]");
    client.check("RESET", "+RESET");
    client.check("GET k", "nil");
}

#[test]
fn a_resp3_subscriber_gets_pushes_between_its_replies() {
    let node = perdura().start();
    let (mut subscriber, mut publisher) = (node.client(), node.client());
    subscriber.hello3();
    subscriber.check("SUBSCRIBE a", ">[subscribe a :1]");
    subscriber.check("SET k v", "+OK");
    publisher.check("PUBLISH a 1", ":1");
    subscriber.expect(">[message a 1]");
    subscriber.check("GET k", "v");
    subscriber.check("PING", "+PONG");
}

/// A client that publishes to itself sees the message as a push, not in place of the reply.
#[test]
fn publishing_to_oneself() {
    let node = perdura().start();
    let mut client = node.client();
    client.hello3();
    client.check("SUBSCRIBE a", ">[subscribe a :1]");
    client.send_line("PUBLISH a x");
    let mut seen = [client.read().to_string(), client.read().to_string()];
    seen.sort();
    assert_eq!(seen, [":1", ">[message a x]"]);
}

#[test]
fn who_subscribes_can_be_asked() {
    let node = perdura().start();
    let (mut subscriber, mut asker) = (node.client(), node.client());
    subscriber.check("SUBSCRIBE news", "[subscribe news :1]");
    subscriber.check("PSUBSCRIBE n*", "[psubscribe n* :2]");
    asker.check("PUBSUB CHANNELS", "[news]");
    asker.check("PUBSUB CHANNELS x*", "[]");
    asker.check("PUBSUB NUMSUB news none", "[news :1 none :0]");
    asker.check("PUBSUB NUMPAT", ":1");
    drop(subscriber);
    wait_for("the subscriber is forgotten", Duration::from_secs(5), || {
        (asker.run("PUBSUB NUMPAT").integer() == 0).then_some(())
    });
    asker.check("PUBLISH news x", ":0");
}

#[test]
fn messages_of_one_publisher_keep_their_order() {
    let node = perdura().start();
    let (mut subscriber, mut publisher) = (node.client(), node.client());
    subscriber.check("SUBSCRIBE a", "[subscribe a :1]");
    (0..2_000).for_each(|n| publisher.send_line(&format!("PUBLISH a {n}")));
    (0..2_000).for_each(|n| subscriber.expect(&format!("[message a {n}]")));
}

#[test]
fn a_transaction_may_publish() {
    let node = perdura().start();
    let (mut subscriber, mut publisher) = (node.client(), node.client());
    subscriber.check("SUBSCRIBE a", "[subscribe a :1]");
    publisher.check("MULTI", "+OK");
    publisher.check("SET k v", "+QUEUED");
    publisher.check("PUBLISH a x", "+QUEUED");
    assert!(subscriber.is_silent_for(Duration::from_millis(30)));
    publisher.check("EXEC", "[+OK :1]");
    subscriber.expect("[message a x]");
}

/// Whatever node a message is published on, subscribers of all nodes get it, once.
#[test]
fn messages_cross_nodes() {
    let cluster = Cluster::start_with(perdura());
    let mut subscribers: Vec<Client> = (0..3).map(|at| cluster.client(at)).collect();
    for subscriber in &mut subscribers {
        subscriber.check("SUBSCRIBE news", "[subscribe news :1]");
        subscriber.check("PSUBSCRIBE n*", "[psubscribe n* :2]");
    }
    for at in 0..3 {
        cluster.client(at).run(&format!("PUBLISH news from-{at}"));
        for subscriber in &mut subscribers {
            subscriber.expect(&format!("[message news from-{at}]"));
            subscriber.expect(&format!("[pmessage n* news from-{at}]"));
        }
    }
    assert!(subscribers.iter_mut().all(|subscriber| subscriber.is_silent_for(Duration::from_millis(50))));
}

/// Shard channels are a name space of their own, and reach the subscribers of all nodes as channels do.
#[test]
fn messages_in_shard_channels_cross_nodes() {
    let cluster = Cluster::start_with(perdura());
    let mut subscribers: Vec<Client> = (0..3).map(|at| cluster.client(at)).collect();
    for subscriber in &mut subscribers {
        subscriber.check("SSUBSCRIBE news", "[ssubscribe news :1]");
        subscriber.check("PSUBSCRIBE n*", "[psubscribe n* :1]");
    }
    for at in 0..3 {
        let mut publisher = cluster.client(at);
        shows(&mut publisher, "PUBSUB SHARDNUMSUB news", "[news :3]");
        publisher.check(&format!("SPUBLISH news from-{at}"), ":3");
        subscribers
            .iter_mut()
            .for_each(|subscriber| subscriber.expect(&format!("[smessage news from-{at}]")));
    }
    let mut publisher = cluster.client(cluster.replica());
    for line in ["MULTI", "SET k v", "SPUBLISH news together", "EXEC"] {
        assert!(!publisher.run(line).is_error(), "{line}");
    }
    subscribers.iter_mut().for_each(|subscriber| subscriber.expect("[smessage news together]"));
    assert!(subscribers.iter_mut().all(|subscriber| subscriber.is_silent_for(Duration::from_millis(50))));
}

/// socket.io counts its servers by these.
#[test]
fn counts_of_subscribers_are_of_the_whole_group() {
    let cluster = Cluster::start_with(perdura());
    let mut subscribers: Vec<Client> = (0..3).map(|at| cluster.client(at)).collect();
    subscribers[0].check("SUBSCRIBE ch other", "[subscribe ch :1]");
    subscribers[0].expect("[subscribe other :2]");
    subscribers[1].check("SUBSCRIBE ch", "[subscribe ch :1]");
    subscribers[1].check("PSUBSCRIBE c*", "[psubscribe c* :2]");
    subscribers[2].check("SSUBSCRIBE shard", "[ssubscribe shard :1]");
    for at in 0..3 {
        let mut client = cluster.client(at);
        shows(&mut client, "PUBSUB NUMSUB ch other none", "[ch :2 other :1 none :0]");
        shows(&mut client, "PUBSUB CHANNELS", "[ch other]");
        shows(&mut client, "PUBSUB NUMPAT", ":1");
        shows(&mut client, "PUBSUB SHARDNUMSUB shard", "[shard :1]");
        shows(&mut client, "PUBSUB SHARDCHANNELS", "[shard]");
        client.check("PUBLISH ch x", ":3");
        client.check("SPUBLISH shard x", ":1");
        client.check("MULTI", "+OK");
        client.check("PUBLISH ch x", "+QUEUED");
        client.check("EXEC", "[:3]");
    }
    drop(subscribers.remove(0));
    for at in 0..3 {
        shows(&mut cluster.client(at), "PUBSUB NUMSUB ch other", "[ch :1 other :0]");
    }
}

#[test]
fn subscribers_of_a_node_that_died_are_counted_no_longer() {
    let mut cluster = Cluster::start_with(perdura());
    let (primary, replica) = (cluster.primary(), cluster.replica());
    let mut subscriber = cluster.client(replica);
    subscriber.check("SUBSCRIBE ch", "[subscribe ch :1]");
    shows(&mut cluster.client(primary), "PUBSUB NUMSUB ch", "[ch :1]");
    cluster.nodes[replica].kill();
    shows(&mut cluster.client(primary), "PUBSUB NUMSUB ch", "[ch :0]");
    cluster.nodes[replica].restart();
    let mut subscriber = cluster.client(replica);
    subscriber.check("SUBSCRIBE ch", "[subscribe ch :1]");
    shows(&mut cluster.client(primary), "PUBSUB NUMSUB ch", "[ch :1]");
}

/// Nodes tell each other soon.
fn shows(client: &mut Client, line: &str, expected: &str) {
    let mut last = String::new();
    wait_for(&format!("{line} shows {expected}"), Duration::from_secs(15), || {
        last = client.run(line).to_string();
        (last == expected).then_some(())
    });
}
