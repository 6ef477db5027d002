//! Stories of subscribers and publishers on one node; what crosses nodes is a story of whole processes.

use crate::admin::testing::TestNode;
use crate::command::testing::TestDb;
use crate::protocol::reply::Resp;
use crate::pubsub::{Kind, Message};

/// What was handed to the node's one worker for its connections since the last call.
fn delivered(node: &TestNode) -> String {
    let batch = std::mem::take(&mut *node.shared.shard.ports[0].replies.lock());
    assert!(batch.spans.iter().all(|span| span.answers == 0), "a message answers no request");
    crate::command::testing::show_reply(&String::from_utf8_lossy(&batch.bytes))
}

#[test]
fn channels_and_patterns_are_counted_together() {
    let mut node = TestNode::new();
    assert_eq!(node.show("SUBSCRIBE a b a"), "[subscribe a 1][subscribe b 2][subscribe a 2]");
    assert_eq!(node.show("PSUBSCRIBE p*"), "[psubscribe p* 3]");
    assert_eq!(node.show("SSUBSCRIBE s"), "[ssubscribe s 1]");
    assert_eq!(node.show("UNSUBSCRIBE none a"), "[unsubscribe none 3][unsubscribe a 2]");
    assert_eq!(node.show("UNSUBSCRIBE"), "[unsubscribe b 1]");
    assert_eq!(node.show("UNSUBSCRIBE"), "[unsubscribe nil 1]");
    assert_eq!(node.show("PUNSUBSCRIBE"), "[punsubscribe p* 0]");
    assert!(node.client.is_subscriber());
    assert_eq!(node.show("SUNSUBSCRIBE"), "[sunsubscribe s 0]");
    assert!(!node.client.is_subscriber());
}

#[test]
fn a_message_comes_once_for_each_subscription_it_fits() {
    let mut node = TestNode::new();
    node.show("SUBSCRIBE news.art");
    node.show("PSUBSCRIBE news.* *.art");
    assert_eq!(node.show("PUBLISH news.art hello"), "3");
    assert_eq!(
        delivered(&node),
        "[message news.art hello][pmessage *.art news.art hello][pmessage news.* news.art hello]"
    );
    assert_eq!(node.show("PUBLISH old x"), "0");
    assert_eq!(node.show("SPUBLISH news.art x"), "0");
    assert_eq!(delivered(&node), "");
    node.show("SSUBSCRIBE news.art");
    assert_eq!(node.show("SPUBLISH news.art x"), "1");
    assert_eq!(delivered(&node), "[smessage news.art x]");
}

#[test]
fn messages_follow_a_change_of_protocol() {
    let mut node = TestNode::new();
    node.show("HELLO 3");
    assert!(node.run("SUBSCRIBE a").starts_with(">3\r\n"));
    node.show("HELLO 2");
    node.show("PUBLISH a x");
    let batch = std::mem::take(&mut *node.shared.shard.ports[0].replies.lock());
    assert!(batch.bytes.starts_with(b"*3\r\n"));
    assert_eq!(node.client.resp, Resp::V2);
}

#[test]
fn who_subscribes_can_be_asked() {
    let mut node = TestNode::new();
    node.show("SUBSCRIBE news sports");
    node.show("PSUBSCRIBE n* s*");
    node.show("SSUBSCRIBE shard");
    assert_eq!(node.show("PUBSUB CHANNELS"), "[news sports]");
    assert_eq!(node.show("PUBSUB CHANNELS n*"), "[news]");
    assert_eq!(
        node.show("PUBSUB CHANNELS a b"),
        "ERR wrong number of arguments for 'pubsub|channels' command"
    );
    assert_eq!(node.show("PUBSUB NUMSUB news none"), "[news 1 none 0]");
    assert_eq!(node.show("PUBSUB NUMSUB"), "[]");
    assert_eq!(node.show("PUBSUB NUMPAT"), "2");
    assert_eq!(node.show("PUBSUB SHARDCHANNELS"), "[shard]");
    assert_eq!(node.show("PUBSUB SHARDNUMSUB shard news"), "[shard 1 news 0]");
    assert!(node.show("PUBSUB HELP").starts_with("[PUBSUB <subcommand>"));
}

#[test]
fn a_logged_message_goes_out_with_its_transaction() {
    let mut db = TestDb::new();
    assert_eq!(db.show("_PUBLISH a x"), "0");
    assert_eq!(db.show("_PUBLISH a y 2"), "2");
    assert_eq!(db.show("_PUBLISH a z 3 shard"), "3");
    let sent = [(Kind::Channel, b"x"), (Kind::Channel, b"y"), (Kind::Shard, b"z")];
    assert_eq!(db.effects.published, sent.map(|(kind, payload)| Message::new(kind, b"a", payload)));
    assert_eq!(db.effects.changes, 0);
}
