//! A relay whose primary answers, refuses or is lost.

use std::sync::Arc;

use super::*;
use crate::admin::client::{Queued, QueuedCommand, Transaction};
use crate::admin::testing::TestNode;
use crate::shard::machine::UNBLOCKED_BY_CLIENT;

#[test]
fn an_answer_tells_whether_its_node_is_the_primary() {
    for (answer, says) in [
        (format!("-{DID_NOT_HAPPEN}\r\n"), Says::NotPrimary),
        (format!("+{DID_NOT_HAPPEN}\r\n"), Says::Answer),
        (format!("-{UNBLOCKED}\r\n"), Says::NoLongerPrimary),
        (format!("-{UNBLOCKED_BY_CLIENT}\r\n"), Says::Answer),
        (format!("-{IN_DOUBT}\r\n"), Says::InDoubt),
        ("-TRYAGAIN Multiple keys request during rehashing of slot\r\n".to_owned(), Says::Answer),
    ] {
        assert_eq!(Says::of(answer.as_bytes()), says, "{answer}");
    }
}

/// A relay over which requests were sent, and the line and session of their client.
struct Rig {
    relay: Relay,
    line: Line,
    session: Session,
    hold: Hold,
}

impl Rig {
    fn after(lines: &[&str]) -> Rig {
        let TestNode { shared, client, .. } = TestNode::new();
        let session = Session::new(client, Arc::new(shared), 0);
        let line = Line { closes_on_doubt: true, ..Line::default() };
        let relay = Relay::new("10.0.0.1:6379".to_owned());
        let mut rig = Rig { relay, line, session, hold: Hold::default() };
        lines.iter().for_each(|text| rig.sends(text));
        rig
    }

    fn sends(&mut self, text: &str) {
        let args: Vec<&[u8]> = text.split(' ').map(str::as_bytes).collect();
        self.line.forwarded += self.relay.send(&self.session.client, &args, &self.line);
    }

    fn hears(&mut self, answer: &str) {
        self.relay.received.extend_from_slice(answer.as_bytes());
        assert_eq!(self.relay.pass_on(&mut self.line), Heard::Expected);
    }

    /// The queued commands are sent as a transaction.
    fn sends_transaction(&mut self, lines: &[&str]) {
        let queue = |text: &&str| {
            let args: Box<[Box<[u8]>]> = text.split(' ').map(|word| word.as_bytes().into()).collect();
            let row = table::lookup(&args[0]).expect("a command");
            Queued { command: QueuedCommand(row), args }
        };
        let queued = lines.iter().map(queue).collect();
        self.session.client.transaction = Some(Transaction { queued, ..Transaction::default() });
        let watched = self.session.client.watching_epoch.is_some();
        let sent = self.session.take_transaction(&mut self.line);
        self.line.forwarded += self.relay.send_transaction(&self.session.client, watched, sent, &self.line);
    }

    /// What the session has gathered.
    fn gathered(&self) -> Vec<String> {
        let transaction = self.session.client.transaction.as_ref();
        let queued = transaction.map_or(&[][..], |transaction| &transaction.queued[..]);
        queued.iter().map(|one| String::from_utf8_lossy(&one.slices().join(&b' ')).into_owned()).collect()
    }

    /// The requests that are taken again, what the client is sent, and whether it is closed.
    fn loses_it(&mut self) -> (String, String, bool) {
        let relay = std::mem::replace(&mut self.relay, Relay::new("10.0.0.2:6379".to_owned()));
        let again = relay.give_up(&mut self.hold, &mut self.session, &mut self.line);
        assert_eq!(self.line.forwarded, 0);
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).replace("\r\n", "|");
        (text(&again.unwrap_or_default()), text(&self.line.out), self.line.is_lost)
    }
}

const EXEC: &str = "*1|$4|EXEC|";
const GET: &str = "*2|$3|GET|$1|a|";
const INCR: &str = "*2|$4|INCR|$1|a|";

#[test]
fn reads_without_an_answer_are_taken_again() {
    let mut rig = Rig::after(&["GET a", "GET a", "GET a"]);
    rig.hears("$1\r\nx\r\n");
    assert_eq!(rig.loses_it(), (GET.repeat(2), "$1|x|".to_owned(), false));
}

#[test]
fn a_write_without_an_answer_closes_its_client_after_the_answers_before_it() {
    let mut rig = Rig::after(&["GET a", "INCR a", "GET a"]);
    rig.hears("$1\r\nx\r\n");
    assert_eq!(rig.loses_it(), (String::new(), "$1|x|".to_owned(), true));
    let mut rig = Rig::after(&["INCR a"]);
    rig.line.closes_on_doubt = false;
    assert_eq!(rig.loses_it(), (String::new(), format!("-{IN_DOUBT}|"), false));
}

#[test]
fn what_did_not_happen_is_taken_again_in_its_order() {
    let mut rig = Rig::after(&["INCR a", "BLPOP a 0", "GET a"]);
    rig.hears(&format!("-{DID_NOT_HAPPEN}\r\n"));
    assert!(rig.relay.stale && !rig.relay.has_only_unserved());
    rig.hears(&format!("-{UNBLOCKED}\r\n"));
    let again = format!("{INCR}*3|$5|BLPOP|$1|a|$1|0|{GET}");
    assert_eq!(rig.loses_it(), (again, String::new(), false));
}

#[test]
fn what_did_not_happen_is_told_where_a_later_request_was_served() {
    let mut rig = Rig::after(&["INCR a", "INCR a"]);
    rig.hears(&format!("-{DID_NOT_HAPPEN}\r\n:1\r\n"));
    assert_eq!(rig.line.out, format!("-{DID_NOT_HAPPEN}\r\n:1\r\n").as_bytes());
    assert_eq!(rig.line.forwarded, 0);
}

#[test]
fn a_long_request_is_not_kept() {
    let mut rig = Rig::after(&[&format!("SET a {}", "x".repeat(KEPT_BYTES)), "INCR a"]);
    rig.hears(&format!("-{DID_NOT_HAPPEN}\r\n"));
    rig.hears(&format!("-{DID_NOT_HAPPEN}\r\n"));
    assert!(rig.relay.has_only_unserved());
    assert_eq!(rig.loses_it(), (INCR.to_owned(), format!("-{DID_NOT_HAPPEN}|"), false));
}

#[test]
fn a_transaction_that_did_not_happen_is_gathered_again_with_its_local_steps() {
    let mut rig = Rig::after(&[]);
    let lines = ["INCR a", "SELECT 3", "PING", "INCR b"];
    rig.sends_transaction(&lines);
    assert!(rig.line.exec.is_some() && rig.gathered().is_empty());
    rig.hears(&format!("+OK\r\n{}-{DID_NOT_HAPPEN}\r\n", "+QUEUED\r\n".repeat(3)));
    assert!(rig.relay.has_only_unserved());
    assert_eq!(rig.loses_it(), (EXEC.to_owned(), String::new(), false));
    assert_eq!(rig.gathered(), lines);
    assert!(rig.line.exec.is_none(), "its answer comes once");
}

#[test]
fn a_transaction_keeps_its_place_before_what_follows_it() {
    let mut rig = Rig::after(&[]);
    rig.sends_transaction(&["INCR a"]);
    rig.sends("INCR a");
    let refused = format!("-{DID_NOT_HAPPEN}\r\n").repeat(2);
    rig.hears(&format!("+OK\r\n+QUEUED\r\n{refused}"));
    assert_eq!(rig.loses_it(), (format!("{EXEC}{INCR}"), String::new(), false));
}

#[test]
fn a_transaction_without_an_answer_is_taken_again_only_if_it_reads() {
    let mut rig = Rig::after(&[]);
    rig.sends_transaction(&["GET a", "INCR a"]);
    rig.hears("+OK\r\n+QUEUED\r\n");
    assert_eq!(rig.loses_it(), (String::new(), String::new(), true));
    assert!(rig.gathered().is_empty());
    let mut rig = Rig::after(&[]);
    rig.sends_transaction(&["GET a", "GET b"]);
    assert_eq!(rig.loses_it(), (EXEC.to_owned(), String::new(), false));
    assert_eq!(rig.gathered(), ["GET a", "GET b"]);
}

#[test]
fn a_transaction_that_watched_and_did_not_happen_is_answered_nil() {
    for (resp, nil) in [(Resp::V2, "*-1|"), (Resp::V3, "_|")] {
        let mut rig = Rig::after(&[]);
        rig.session.client.resp = resp;
        rig.session.client.watching_epoch = Some(0);
        rig.sends_transaction(&["INCR a"]);
        let hello = if resp == Resp::V3 { "%0\r\n" } else { "" };
        rig.hears(&format!("{hello}+OK\r\n+QUEUED\r\n-{DID_NOT_HAPPEN}\r\n"));
        assert_eq!(rig.line.out, nil.replace('|', "\r\n").as_bytes());
        assert_eq!(rig.loses_it(), (String::new(), nil.to_owned(), false));
    }
}

#[test]
fn a_long_transaction_is_not_kept() {
    let mut rig = Rig::after(&[]);
    let queued = Transaction { bytes: KEPT_TRANSACTION_BYTES + 1, ..Transaction::default() };
    rig.session.client.transaction = Some(queued);
    let sent = rig.session.take_transaction(&mut rig.line);
    rig.line.forwarded += rig.relay.send_transaction(&rig.session.client, false, sent, &rig.line);
    rig.hears(&format!("+OK\r\n-{DID_NOT_HAPPEN}\r\n"));
    assert_eq!(rig.loses_it(), (String::new(), format!("-{DID_NOT_HAPPEN}|"), false));
}

#[test]
fn a_watch_is_taken_again_and_one_that_was_answered_is_lost() {
    for (answered, left) in [(0, None), (1, Some(u64::MAX))] {
        let mut rig = Rig::after(&[]);
        rig.session.client.watching_epoch = Some(0);
        (0..2).for_each(|_| rig.sends("WATCH a"));
        rig.hears(&"+OK\r\n".repeat(answered));
        let watch = "*2|$5|WATCH|$1|a|".repeat(2 - answered);
        assert_eq!(rig.loses_it(), (watch, "+OK|".repeat(answered), false));
        assert_eq!(rig.session.client.watching_epoch, left, "{answered}");
    }
}

#[test]
fn the_client_is_given_the_answers_to_its_own_requests_only() {
    let mut relay = Relay::new("10.0.0.1:6379".to_owned());
    let mut line = Line { forwarded: 2, ..Line::default() };
    relay.request(&[b"SELECT", b"3"], Expected::SwallowDone);
    relay.request(&[b"GET", b"a"], Expected::Pass);
    relay.request(&[b"GET", b"b"], Expected::Pass);
    relay.received.extend_from_slice(b"+OK\r\n$1\r\nx\r\n$1");
    assert_eq!(relay.pass_on(&mut line), Heard::Expected);
    assert_eq!((&line.out[..], line.forwarded), (&b"$1\r\nx\r\n"[..], 1));
    relay.received.extend_from_slice(b"\r\ny\r\n");
    assert_eq!(relay.pass_on(&mut line), Heard::Expected);
    assert_eq!((&line.out[..], line.forwarded), (&b"$1\r\nx\r\n$1\r\ny\r\n"[..], 0));
}

#[test]
fn an_answer_to_nothing_that_was_sent_is_never_passed_on() {
    for (expected, said) in [
        (None, &b"+OK\r\n"[..]),
        (Some(Expected::Pass), b">3\r\n$7\r\nmessage\r\n$1\r\nc\r\n$1\r\nx\r\n"),
        (Some(Expected::Pass), b"what\r\n"),
        (Some(Expected::PassExec), b"+OK\r\n"),
        (Some(Expected::SwallowQueued), b"+OK\r\n"),
        (Some(Expected::SwallowDone), b"-ERR DB index is out of range\r\n"),
    ] {
        let mut relay = Relay::new("10.0.0.1:6379".to_owned());
        let mut line = Line { forwarded: 1, ..Line::default() };
        relay.expected.extend(expected);
        relay.received.extend_from_slice(said);
        assert_eq!(relay.pass_on(&mut line), Heard::Unexpected, "{}", said.escape_ascii());
        assert!(line.out.is_empty());
    }
}
