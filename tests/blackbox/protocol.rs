//! Requests on the wire: what is accepted, and what ends a connection with which words.

use perdura_testkit::{Client, Node};

use crate::perdura;

/// Sends `bytes`; returns all that the server answers before it hangs up.
fn answer_until_hangup(node: &Node, bytes: &[u8]) -> String {
    let mut client = node.client();
    client.send_bytes(bytes);
    String::from_utf8_lossy(&client.read_to_end()).into_owned()
}

#[test]
fn a_broken_request_gets_redis_words_and_a_closed_connection() {
    let node = perdura().start();
    let cases: [(&[u8], &str); 9] = [
        (b"*x\r\n", "invalid multibulk length"),
        (b"*2147483648\r\n", "invalid multibulk length"),
        (b"*20000000000000000000\r\n", "invalid multibulk length"),
        (b"*1\r\n$-1\r\n", "invalid bulk length"),
        (b"*1\r\n$x\r\n", "invalid bulk length"),
        (b"*1\r\n$536870913\r\n", "invalid bulk length"),
        (b"*3\r\n$3\r\nSET\r\n$1\r\nx\r\nfooz\r\n", "expected '$', got 'f'"),
        (b"*1\r\n*1\r\n", "expected '$', got '*'"),
        (b"SET \"unbalanced\r\n", "unbalanced quotes in request"),
    ];
    for (bytes, words) in cases {
        let expected = format!("-ERR Protocol error: {words}\r\n");
        assert_eq!(answer_until_hangup(&node, bytes), expected, "{}", bytes.escape_ascii());
    }
    node.client().check("PING", "+PONG");
}

#[test]
fn a_line_without_end_is_cut_off() {
    let node = perdura().start();
    let cases = [
        ("*", "too big mbulk count string"),
        ("*1\r\n$", "too big bulk count string"),
        ("PING ", "too big inline request"),
    ];
    for (start, words) in cases {
        let mut client = node.client();
        client.send_bytes(start.as_bytes());
        client.send_bytes(&[b'1'; 66_000]);
        client.expect(&format!("-ERR Protocol error: {words}"));
        assert_eq!(client.read_to_end(), b"");
    }
}

#[test]
fn what_came_before_a_broken_request_is_answered_first() {
    let node = perdura().start();
    let answer = answer_until_hangup(&node, b"SET k v\r\n*2\r\n$3\r\nGET\r\n$1\r\nk\r\n*1\r\n!PING\r\n");
    assert_eq!(answer, "+OK\r\n$1\r\nv\r\n-ERR Protocol error: expected '$', got '!'\r\n");
    node.client().check("GET k", "v");
}

#[test]
fn deep_nesting_is_refused_without_harm() {
    let node = perdura().start();
    let answer = answer_until_hangup(&node, &b"*1\r\n".repeat(10_000));
    assert_eq!(answer, "-ERR Protocol error: expected '$', got '*'\r\n");
    node.client().check("PING", "+PONG");
}

#[test]
fn requests_may_arrive_a_byte_at_a_time() {
    let node = perdura().start();
    let mut client = node.client();
    for byte in b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$2\r\n\r\n\r\nGET k\r\n" {
        client.send_bytes(&[*byte]);
    }
    client.expect("+OK");
    client.expect("'\\r\\n'");
}

#[test]
fn people_type_inline() {
    let node = perdura().start();
    let mut client = node.client();
    let typed: [(&str, &str); 7] = [
        ("PING\n", "+PONG"),
        ("  ping \t hello \r\n", "hello"),
        ("SET 'my key' \"a\\x00\\n\\\"b\"\r\n", "+OK"),
        ("GET \"my key\"\r\n", "'a\\x00\\n\\\"b'"),
        ("SET empty ''\r\n", "+OK"),
        ("STRLEN empty\r\n", ":0"),
        ("ECHO 'it\\'s'\r\n", "'it\\'s'"),
    ];
    for (line, reply) in typed {
        client.send_bytes(line.as_bytes());
        assert_eq!(client.read().to_string(), reply, "{line}");
    }
}

#[test]
fn empty_requests_are_passed_over() {
    let node = perdura().start();
    let mut client = node.client();
    client.send_bytes(b"\r\n\n*0\r\n*-1\r\nPING\r\n");
    client.expect("+PONG");
}

/// A web page can make a browser post to a local port; what follows its header must not run.
#[test]
fn a_browser_is_hung_up_on() {
    let node = perdura().start();
    for header in ["POST / HTTP/1.1\r\n", "Host: localhost\r\n"] {
        let mut client = node.client();
        client.send_bytes(header.as_bytes());
        client.try_send_bytes(b"SET hacked yes\r\n").unwrap_or_default();
        client.read_to_end();
    }
    node.client().check("EXISTS hacked", ":0");
    assert_eq!(node.log().matches("Possible SECURITY ATTACK").count(), 1, "one warning a minute");
}

#[test]
fn quit_says_ok_and_hangs_up() {
    let node = perdura().start();
    assert_eq!(answer_until_hangup(&node, b"PING\r\nQUIT\r\nPING\r\n"), "+PONG\r\n+OK\r\n");
}

/// A client that went away in the middle of a request leaves nothing behind.
#[test]
fn half_a_request_runs_nothing() {
    let node = perdura().start();
    let mut client: Client = node.client();
    client.send_bytes(b"*3\r\n$3\r\nSET\r\n$4\r\nhalf\r\n$5\r\nabc");
    drop(client);
    node.client().check("EXISTS half", ":0");
}
