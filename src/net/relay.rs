//! What is said to the primary for one client, and what is made of its answers: sans-IO, the connection is `upstream`'s.
//!
//! - Each client has its own, made when first needed: the primary keeps the client's order, its watches and its blocking
//!   commands as it does for its own clients.
//! - Before a command the primary is told what has changed since the last: protocol version, database, and that nothing
//!   is watched any more. The answers to that are swallowed.
//! - It authenticates with `masterauth` and declares itself with PERDURA NOFORWARD, so that nothing is sent round in circles:
//!   a node that is not the primary any more answers that the command did not happen.
//! - An answer that can't be one to what was sent shows that the order is lost: the client's connection ends, for every later
//!   answer might be that of another command.
//! - When it is lost, everything that was sent and not answered is in doubt. It is given up once another node is known to
//!   be the primary: at once where nothing is unanswered, after a while where the old one does not answer.

use std::collections::VecDeque;

use crate::client::Client;
use crate::command::Args;
use crate::protocol::frame::FrameScanner;
use crate::protocol::reply::Resp;
use crate::session::{Line, SentTransaction};
use crate::shard::machine::DID_NOT_HAPPEN;
use crate::shared::Shared;

/// How long a node that is not the primary any more has to answer what it was sent.
const FAREWELL_MS: u64 = 5000;
/// Unsent bytes past which nothing more is sent.
const BEHIND_BYTES: usize = 1 << 20;

/// What to do with the next answer of the primary.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Expected {
    /// The client's.
    Pass,
    /// The client's: an array, a null or an error.
    PassExec,
    /// To SELECT, HELLO, UNWATCH or MULTI.
    SwallowDone,
    /// To a command behind MULTI.
    SwallowQueued,
}

/// Whether what the primary says can be an answer to what it was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heard {
    Expected,
    Unexpected,
}

#[derive(Debug)]
pub struct Relay {
    /// The node, as clients reach it.
    addr: String,
    /// The node has said that it is not the primary.
    pub stale: bool,
    /// Since when, in monotonic time, another node is known to be the primary while this one owes answers.
    outdated_since_ms: Option<u64>,
    expected: VecDeque<Expected>,
    /// Looks for the end of the answer at the start of `received`.
    scanner: FrameScanner,
    /// For the node.
    pub unsent: Vec<u8>,
    /// From the node.
    pub received: Vec<u8>,
    /// None where a transaction may have changed it; likewise `db`.
    resp: Option<Resp>,
    db: Option<usize>,
    /// Keys are watched there.
    watching: bool,
}

impl Relay {
    /// The relay over a new connection to `addr`, on which the node has taken the greeting.
    pub fn new(addr: String) -> Relay {
        Relay {
            addr,
            stale: false,
            outdated_since_ms: None,
            expected: VecDeque::new(),
            scanner: FrameScanner::default(),
            unsent: Vec::new(),
            received: Vec::new(),
            resp: Some(Resp::V2),
            db: Some(0),
            watching: false,
        }
    }

    /// What a new connection says first, and how many lines beginning with `+` it is answered if it is welcome. The last
    /// of them is its number on the node, by which CLIENT UNBLOCK knows it.
    pub fn greeting(password: Option<&str>) -> (Vec<u8>, usize) {
        let mut greeting = Vec::new();
        if let Some(password) = password {
            encode(&mut greeting, &[b"AUTH", password.as_bytes()]);
        }
        encode(&mut greeting, &[b"PERDURA", b"NOFORWARD"]);
        (greeting, 1 + usize::from(password.is_some()))
    }

    /// What a connection of its own says to end the wait of another, known by its number on the node.
    pub fn unblock(id: u64, with_error: bool) -> Vec<u8> {
        let mut request = Vec::new();
        let reason: &[u8] = if with_error { b"ERROR" } else { b"TIMEOUT" };
        encode(&mut request, &[b"CLIENT", b"UNBLOCK", id.to_string().as_bytes(), reason]);
        request
    }

    /// The node, as clients reach it.
    pub fn addr(&self) -> &str {
        &self.addr
    }

    /// Sends a request; returns the number of answers to come.
    pub fn send(&mut self, client: &Client, args: &Args<'_>) -> u32 {
        self.adopt(client, client.watching_epoch.is_some());
        self.watching |= args[0].eq_ignore_ascii_case(b"watch");
        self.request(args, Expected::Pass);
        1
    }

    /// Sends a transaction, MULTI and EXEC around it; returns the number of answers to come. `watched` says whether the
    /// client still watches keys.
    pub fn send_transaction(&mut self, client: &Client, watched: bool, sent: &SentTransaction) -> u32 {
        self.adopt(client, watched);
        self.watching = false;
        self.request(&[b"MULTI"], Expected::SwallowDone);
        for request in &sent.requests {
            let args: Vec<&[u8]> = request.iter().map(|arg| &**arg).collect();
            self.request(&args, Expected::SwallowQueued);
        }
        self.request(&[b"EXEC"], Expected::PassExec);
        if sent.chooses {
            (self.resp, self.db) = (None, None);
        }
        1
    }

    /// Tells the primary what the client has chosen since the last command.
    fn adopt(&mut self, client: &Client, watches: bool) {
        if self.watching && !watches {
            self.watching = false;
            self.request(&[b"UNWATCH"], Expected::SwallowDone);
        }
        if self.resp != Some(client.resp) {
            self.resp = Some(client.resp);
            let version: &[u8] = if client.resp == Resp::V3 { b"3" } else { b"2" };
            self.request(&[b"HELLO", version], Expected::SwallowDone);
        }
        if self.db != Some(client.db) {
            self.db = Some(client.db);
            self.request(&[b"SELECT", client.db.to_string().as_bytes()], Expected::SwallowDone);
        }
    }

    fn request(&mut self, args: &Args<'_>, expected: Expected) {
        encode(&mut self.unsent, args);
        self.expected.push_back(expected);
    }

    /// Whether the primary takes requests more slowly than they come.
    pub fn is_behind(&self) -> bool {
        self.unsent.len() > BEHIND_BYTES
    }

    /// Whether to give the connection up; `waiting` says that answers are outstanding.
    pub fn is_outdated(&mut self, shared: &Shared, waiting: bool) -> bool {
        if !self.stale && !self.is_superseded(shared) {
            self.outdated_since_ms = None;
            return false;
        }
        let now_ms = shared.clock.monotonic_ms();
        let since_ms = *self.outdated_since_ms.get_or_insert(now_ms);
        !waiting || now_ms - since_ms > FAREWELL_MS
    }

    /// Whether another node is known to be the primary.
    fn is_superseded(&self, shared: &Shared) -> bool {
        let status = shared.shard.status.lock();
        status.leader_client_addr.as_ref().is_some_and(|addr| *addr != self.addr)
    }

    /// Gives the client the answers that have come.
    pub fn pass_on(&mut self, line: &mut Line) -> Heard {
        let mut consumed = 0;
        let heard = loop {
            let rest = &self.received[consumed..];
            if rest.is_empty() {
                break Heard::Expected;
            }
            let Some(expected) = self.expected.front() else { break Heard::Unexpected };
            let len = match self.scanner.scan(rest) {
                Ok(Some(len)) => len,
                Ok(None) => break Heard::Expected,
                Err(_) => break Heard::Unexpected,
            };
            self.scanner = FrameScanner::default();
            let answer = &rest[..len];
            if !expected.fits(answer) {
                break Heard::Unexpected;
            }
            self.stale |= says_not_primary(answer);
            if matches!(expected, Expected::Pass | Expected::PassExec) {
                line.answer(answer);
                line.forwarded = line.forwarded.saturating_sub(1);
                line.settle();
            }
            self.expected.pop_front();
            consumed += len;
        };
        self.received.drain(..consumed);
        heard
    }
}

impl Expected {
    fn fits(self, answer: &[u8]) -> bool {
        let begins_with = |kinds: &[u8]| answer.first().is_some_and(|kind| kinds.contains(kind));
        match self {
            // Nothing that is sent asks for messages.
            Expected::Pass => !begins_with(b">"),
            Expected::PassExec => begins_with(b"*_-"),
            Expected::SwallowDone => begins_with(b"+*%") || says_not_primary(answer),
            Expected::SwallowQueued => answer == b"+QUEUED\r\n" || begins_with(b"-"),
        }
    }
}

fn says_not_primary(answer: &[u8]) -> bool {
    answer.strip_prefix(b"-").is_some_and(|text| text.starts_with(DID_NOT_HAPPEN.as_bytes()))
}

pub(super) fn encode(out: &mut Vec<u8>, args: &Args<'_>) {
    out.extend_from_slice(format!("*{}\r\n", args.len()).as_bytes());
    for arg in args {
        out.extend_from_slice(format!("${}\r\n", arg.len()).as_bytes());
        out.extend_from_slice(arg);
        out.extend_from_slice(b"\r\n");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_tells_whether_its_node_is_the_primary() {
        assert!(says_not_primary(format!("-{DID_NOT_HAPPEN}\r\n").as_bytes()));
        assert!(!says_not_primary(format!("+{DID_NOT_HAPPEN}\r\n").as_bytes()));
        assert!(!says_not_primary(b"-TRYAGAIN Multiple keys request during rehashing of slot\r\n"));
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
}
