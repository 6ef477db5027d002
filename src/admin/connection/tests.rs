//! Stories of one connection: what it says of itself, what it chooses, what others see of it.

use std::time::Duration;

use crate::admin::client::{Blocked, ReplyMode, Transaction};
use crate::admin::testing::TestNode;
use crate::propose::batch::Work;
use crate::protocol::reply::Resp;

const WRONG_PASS: &str = "WRONGPASS invalid username-password pair or user is disabled.";

fn guarded() -> TestNode {
    TestNode::with(&[("requirepass", "secret")])
}

#[test]
fn small_talk() {
    let mut node = TestNode::new();
    assert_eq!(node.run("PING"), "+PONG\r\n");
    assert_eq!(node.run("PING hello"), "$5\r\nhello\r\n");
    assert_eq!(node.show("PING a b"), "ERR wrong number of arguments for 'ping' command");
    assert_eq!(node.show("ECHO hello"), "hello");
    assert_eq!(node.show("SELECT 15"), "OK");
    assert_eq!(node.client.db, 15);
    assert_eq!(node.show("SELECT 16"), "ERR DB index is out of range");
    assert_eq!(node.show("SELECT x"), "ERR value is not an integer or out of range");
    assert_eq!(node.client.db, 15);
}

#[test]
fn a_resp2_subscriber_is_ponged_by_a_message() {
    let mut node = TestNode::new();
    node.show("SUBSCRIBE a");
    assert_eq!(node.show("PING"), "[pong ]");
    assert_eq!(node.show("PING hi"), "[pong hi]");
    node.client.resp = Resp::V3;
    assert_eq!(node.show("PING"), "PONG");
}

#[test]
fn a_password_is_asked_for_by_user_and_without() {
    let mut node = guarded();
    for refused in ["AUTH wrong", "AUTH default wrong", "AUTH nobody secret", "AUTH \"\""] {
        assert_eq!(node.show(refused), WRONG_PASS);
        assert!(!node.client.authenticated);
    }
    assert_eq!(node.show("AUTH a b c"), "ERR syntax error");
    assert_eq!(node.show("AUTH secret"), "OK");
    assert!(node.client.authenticated);
    let mut open = TestNode::new();
    assert!(
        open.show("AUTH secret").starts_with("ERR AUTH <password> called without any password configured")
    );
    assert_eq!(open.show("AUTH default anything"), "OK");
}

#[test]
fn hello_answers_in_the_protocol_it_chooses() {
    let mut node = TestNode::new();
    let map = "server redis version 7.4.0 proto 3 id 1 mode standalone role master modules []";
    assert_eq!(node.show("HELLO 3"), format!("{{{map}}}"));
    assert_eq!(node.client.resp, Resp::V3);
    assert_eq!(node.show("HELLO 2"), format!("[{}]", map.replace("proto 3", "proto 2")));
    assert_eq!(node.show("HELLO"), format!("[{}]", map.replace("proto 3", "proto 2")));
    node.shared.shard.set_primary(false);
    assert!(node.show("HELLO").contains("role replica"));
}

#[test]
fn a_hello_that_is_refused_changes_nothing() {
    let mut node = guarded();
    let no_auth = "NOAUTH HELLO must be called with the client already authenticated";
    assert!(node.show("HELLO 3").starts_with(no_auth) && node.show("HELLO").starts_with(no_auth));
    for (line, error) in [
        ("HELLO 4", "NOPROTO unsupported protocol version"),
        ("HELLO x", "ERR Protocol version is not an integer or out of range"),
        ("HELLO 3 AUTH default", "ERR Syntax error in HELLO option 'AUTH'"),
        ("HELLO 3 NOSUCH", "ERR Syntax error in HELLO option 'NOSUCH'"),
        ("HELLO 3 AUTH default wrong", WRONG_PASS),
        (
            "HELLO 3 AUTH default secret SETNAME \"a b\"",
            "ERR Client names cannot contain spaces, newlines or special characters.",
        ),
    ] {
        assert_eq!(node.show(line), error);
        assert!(!node.client.authenticated && node.client.resp == Resp::V2);
    }
    node.show("HELLO 3 SETNAME me AUTH default secret");
    assert!(node.client.authenticated && node.client.resp == Resp::V3);
    assert_eq!(node.show("CLIENT GETNAME"), "me");
}

#[test]
fn quit_closes_and_reset_puts_everything_back() {
    let mut node = guarded();
    node.show("HELLO 3 AUTH default secret SETNAME me");
    for line in ["SELECT 3", "READONLY", "CLIENT NO-EVICT on", "SUBSCRIBE a", "PSUBSCRIBE p*", "SSUBSCRIBE s"]
    {
        assert!(!node.show(line).starts_with("ERR"), "{line}");
    }
    node.client.transaction = Some(Transaction::default());
    assert_eq!(node.run("RESET"), "+RESET\r\n");
    let client = &node.client;
    assert_eq!((client.db, client.resp, client.reply_mode), (0, Resp::V2, ReplyMode::On));
    assert!(!client.authenticated && !client.reads_from_replica && client.transaction.is_none());
    assert!(!client.is_subscriber() && !client.info.details.lock().no_evict);
    assert_eq!(node.show("CLIENT GETNAME"), "nil");
    assert_eq!(node.show("PUBLISH a x"), "0");
    assert_eq!(node.show("QUIT"), "OK");
    assert!(node.client.close_after_reply);
}

#[test]
fn modes_of_a_connection() {
    let mut node = TestNode::new();
    node.show("READONLY");
    assert!(node.client.reads_from_replica);
    node.show("READWRITE");
    assert!(!node.client.reads_from_replica);
    assert_eq!(node.show("PERDURA NOFORWARD"), "1");
    assert!(node.client.forwarded);
}

#[test]
fn a_client_has_a_name_and_a_library() {
    let mut node = TestNode::new();
    assert_eq!(node.show("CLIENT ID"), "1");
    assert_eq!(node.show("CLIENT GETNAME"), "nil");
    assert_eq!(node.show("CLIENT SETNAME worker"), "OK");
    assert_eq!(node.show("CLIENT GETNAME"), "worker");
    assert_eq!(node.show("CLIENT SETINFO lib-name redis-py"), "OK");
    assert_eq!(node.show("CLIENT SETINFO LIB-VER 5.0"), "OK");
    assert_eq!(node.show("CLIENT SETINFO lib-os x"), "ERR Unrecognized option 'lib-os'");
    assert_eq!(
        node.show("CLIENT SETINFO lib-ver \"5 0\""),
        "ERR lib-ver cannot contain spaces, newlines or special characters."
    );
    let info = node.show("CLIENT INFO");
    assert!(
        info.starts_with("id=1 addr=127.0.0.1:50001 laddr=127.0.0.1:6379 fd=-1 name=worker age=0 "),
        "{info}"
    );
    assert!(
        info.contains(" cmd=client|info user=default redir=-1 resp=2 lib-name=redis-py lib-ver=5.0"),
        "{info}"
    );
    assert_eq!(node.show("CLIENT SETNAME \"\""), "OK");
    assert_eq!(node.show("CLIENT GETNAME"), "nil");
}

#[test]
fn clients_are_listed_by_type_and_id() {
    let mut node = TestNode::new();
    node.show("SUBSCRIBE a");
    node.show("CLIENT INFO");
    let _subscriber = node.switch_to_new_client();
    node.hands.advance(Duration::from_secs(7));
    let list = node.show("CLIENT LIST");
    assert_eq!(node.run("CLIENT LIST").matches("id=").count(), 2);
    assert!(
        list.starts_with("id=1 ")
            && list.contains(" age=7 idle=7 flags=P db=0 sub=1 psub=0 ssub=0 multi=-1 "),
        "{list}"
    );
    assert!(node.show("CLIENT LIST TYPE normal").starts_with("id=2 "));
    assert!(node.show("CLIENT LIST TYPE pubsub").starts_with("id=1 "));
    assert_eq!(node.run("CLIENT LIST TYPE replica"), "$0\r\n\r\n");
    assert!(node.show("CLIENT LIST ID 9 2").starts_with("id=2 "));
    assert_eq!(node.show("CLIENT LIST TYPE nosuch"), "ERR Unknown client type 'nosuch'");
    assert_eq!(node.show("CLIENT LIST ID x"), "ERR Invalid client ID");
    assert_eq!(node.show("CLIENT LIST ID"), "ERR syntax error");
}

#[test]
fn clients_are_killed_by_what_they_are() {
    let mut node = TestNode::new();
    let other = node.switch_to_new_client();
    let killed = || other.info.killed.load(std::sync::atomic::Ordering::Relaxed);
    assert_eq!(node.show("CLIENT KILL 127.0.0.1:1"), "ERR No such client");
    for spared in ["ID 99", "ADDR 127.0.0.1:50002", "MAXAGE 100", "TYPE pubsub", "ID 1 LADDR 127.0.0.1:1"] {
        assert_eq!(node.show(&format!("CLIENT KILL {spared}")), "0", "{spared}");
    }
    assert!(!killed() && !node.client.close_after_reply);
    assert_eq!(node.show("CLIENT KILL USER default TYPE normal"), "1");
    assert!(killed());
    assert_eq!(node.show("CLIENT KILL ID 2 SKIPME no"), "1");
    assert!(node.client.close_after_reply);
    assert_eq!(node.show("CLIENT KILL 127.0.0.1:50002"), "OK");
    for (line, error) in [
        ("CLIENT KILL ID 0", "ERR client-id should be greater than 0"),
        ("CLIENT KILL USER nobody", "ERR No such user 'nobody'"),
        ("CLIENT KILL ID 1 SKIPME", "ERR syntax error"),
        ("CLIENT KILL MAXAGE 0", "ERR maxage should be greater than 0"),
        ("CLIENT KILL MAXAGE x", "ERR maxage is not an integer or out of range"),
    ] {
        assert_eq!(node.show(line), error);
    }
}

#[test]
fn only_a_blocked_client_can_be_unblocked() {
    let mut node = TestNode::new();
    let blocked = node.switch_to_new_client();
    assert_eq!(node.show("CLIENT UNBLOCK 1"), "0");
    blocked.info.details.lock().blocked = Blocked::Here;
    assert_eq!(node.show("CLIENT UNBLOCK 1 ERROR"), "1");
    let batch = node.shared.shard.ports[0].batch.lock();
    assert!(matches!(batch.items[0].work, Work::Unblock { with_error: true }));
    assert_eq!(batch.items[0].connection, blocked.connection);
    drop(batch);
    assert_eq!(node.show("CLIENT UNBLOCK 1 nosuch"), "ERR CLIENT UNBLOCK reason should be TIMEOUT or ERROR");
    assert_eq!(node.show("CLIENT UNBLOCK x"), "ERR value is not an integer or out of range");
}

#[test]
fn replies_are_turned_off_and_on() {
    let mut node = TestNode::new();
    for (line, answer, mode) in [
        ("CLIENT REPLY SKIP", "", ReplyMode::SkipNext),
        ("CLIENT REPLY OFF", "", ReplyMode::Off),
        ("CLIENT REPLY SKIP", "", ReplyMode::Off),
        ("CLIENT REPLY ON", "+OK\r\n", ReplyMode::On),
        ("CLIENT REPLY MAYBE", "-ERR syntax error\r\n", ReplyMode::On),
    ] {
        assert_eq!(node.run(line), answer);
        assert_eq!(node.client.reply_mode, mode);
    }
}

#[test]
fn tracking_is_off_until_it_is_turned_on_and_after_reset() {
    let mut node = TestNode::new();
    assert_eq!(node.show("CLIENT TRACKING off"), "OK");
    assert_eq!(node.show("CLIENT TRACKINGINFO"), "[flags [off] redirect -1 prefixes []]");
    assert_eq!(node.show("CLIENT GETREDIR"), "-1");
    assert!(node.show("CLIENT CACHING yes").starts_with("ERR CLIENT CACHING can be called only when"));
    assert_eq!(node.show("CLIENT TRACKING on BCAST PREFIX a"), "OK");
    assert_eq!(node.show("CLIENT TRACKINGINFO"), "[flags [on bcast] redirect 0 prefixes [a]]");
    assert_eq!(node.show("CLIENT GETREDIR"), "0");
    assert!(node.show("CLIENT LIST").contains("flags=tB ") && node.show("CLIENT INFO").contains("redir=0 "));
    assert!(node.shared.shard.tracking.is_on());
    assert_eq!(node.show("RESET"), "RESET");
    assert_eq!(node.show("CLIENT TRACKINGINFO"), "[flags [off] redirect -1 prefixes []]");
    assert!(!node.shared.shard.tracking.is_on());
    assert_eq!(node.show("CLIENT NO-TOUCH on"), "OK");
    assert_eq!(node.show("CLIENT NO-EVICT perhaps"), "ERR syntax error");
}

#[test]
fn prefixes_of_a_client_are_bounded() {
    let mut node = TestNode::new();
    let many: String = (1000..1257).map(|n| format!(" PREFIX {n}")).collect();
    let refusal = "ERR A client can have at most 256 prefixes, and 16384 bytes of them";
    assert_eq!(node.show(&format!("CLIENT TRACKING on BCAST{many}")), refusal);
    let long = "x".repeat(20_000);
    assert_eq!(node.show(&format!("CLIENT TRACKING on BCAST PREFIX {long}")), refusal);
    assert_eq!(node.show("CLIENT TRACKINGINFO"), "[flags [off] redirect -1 prefixes []]");
}
