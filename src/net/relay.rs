//! What is said to the primary for one client, and what is made of its answers: sans-IO, the connection is `upstream`'s.
//!
//! - Each client has its own, made when first needed: the primary keeps the client's order, its watches and its blocking
//!   commands as it does for its own clients.
//! - Before a command the primary is told what has changed since the last: protocol version, database, and that nothing
//!   is watched any more. The answers to that are swallowed.
//! - It names its client's user and shows `masterauth` with PERDURA NOFORWARD, so that nothing is sent round in circles:
//!   a node that is not the primary any more answers that the command did not happen.
//! - An answer that can't be one to what was sent shows that the order is lost: the client's connection ends, for every later
//!   answer might be that of another command.
//! - When it is lost, what was sent and not answered is in doubt, but for reads. It is given up once another node is known to
//!   be the primary, or for a while none: at once where nothing is unanswered, after [`FAREWELL_MS`] where the old one does not answer.
//! - Short requests and transactions are kept until they are answered. Those that are known not to have happened, and reads, are sent to
//!   the next primary in their order, if nothing else is unanswered; see [`Relay::give_up`].
//! - A transaction is sent before anything else is unanswered, and the session gathers none meanwhile, so at most one is kept.
//! - After a change of parameters, users or functions the relay asks the primary for the index of its answers: the client's session
//!   waits until this node has applied it before it shows them.
//! - The next primary knows nothing of the keys that were watched here: a transaction that watched and did not happen is answered nil, as
//!   if one of them had been touched.

use std::collections::VecDeque;

use super::hold::Hold;
use crate::acl::User;
use crate::admin::client::Client;
use crate::admin::shared::Shared;
use crate::admin::table::{SessionCommand, TableRow, Way};
use crate::command::{Args, Handler};
use crate::protocol::frame::FrameScanner;
use crate::protocol::reply::{Reply, Resp};
use crate::session::table;
use crate::session::{Begun, GroupChanges, Line, SentTransaction, Session, changes_group};
use crate::shard::machine::{DID_NOT_HAPPEN, IN_DOUBT, UNBLOCKED};

/// How long a node that is not the primary any more has for answers that are on their way.
pub const FAREWELL_MS: u64 = 250;
/// Bytes of unanswered requests that are kept for the next primary.
const KEPT_BYTES: usize = 64 << 10;
/// What a transaction that is kept takes at most: its client's memory since MULTI.
const KEPT_TRANSACTION_BYTES: usize = 1 << 20;
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
    /// The index of the primary's answers, after a change of the group.
    SwallowIndex,
}

/// What the next primary may be sent again.
#[derive(Debug)]
enum Kept {
    Request(Box<[u8]>),
    Transaction(SentTransaction),
}

/// A request of the client that is not answered.
#[derive(Debug, Default)]
struct Unanswered {
    /// None where it is too long to be sent again.
    kept: Option<Kept>,
    /// It changes nothing but what is watched.
    only_reads: bool,
    /// A WATCH.
    watches: bool,
    /// What the client is answered where it did not happen: the nil of a transaction that watched.
    otherwise: Option<&'static [u8]>,
    /// What it reads for a client that caches it.
    begun: Begun,
}

/// A request that did not happen, and how the node said so.
#[derive(Debug)]
struct Unserved {
    kept: Kept,
    error: Box<[u8]>,
}

/// What an answer says about its node and its command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Says {
    Answer,
    /// The node is not the primary; the command did not happen.
    NotPrimary,
    /// The node is not the primary any more; the command waited, and took nothing.
    NoLongerPrimary,
    InDoubt,
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
    /// One for each answer that is expected for the client.
    unanswered: VecDeque<Unanswered>,
    kept_bytes: usize,
    /// What came before all that is unanswered and did not happen. The client has not been told.
    unserved: Vec<Unserved>,
    /// What requests have read that were answered since this was last taken.
    ended: Vec<Begun>,
    /// It has served the client as its primary.
    pub has_served: bool,
    /// Looks for the end of the answer at the start of `received`.
    scanner: FrameScanner,
    /// For the node.
    pub unsent: Vec<u8>,
    /// From the node.
    pub received: Vec<u8>,
    /// None where a transaction may have changed it; likewise `db`.
    resp: Option<Resp>,
    db: Option<usize>,
    /// Keys are watched there, or will be.
    watching: bool,
    /// The node has said so.
    has_watched: bool,
    /// Where in the log the client's changes of the group are.
    pub group_changes: GroupChanges,
}

impl Relay {
    /// The relay over a new connection to `addr`, on which the node has taken the greeting.
    pub fn new(addr: String) -> Relay {
        Relay {
            addr,
            stale: false,
            outdated_since_ms: None,
            expected: VecDeque::new(),
            unanswered: VecDeque::new(),
            kept_bytes: 0,
            unserved: Vec::new(),
            ended: Vec::new(),
            has_served: false,
            scanner: FrameScanner::default(),
            unsent: Vec::new(),
            received: Vec::new(),
            resp: Some(Resp::V2),
            db: Some(0),
            watching: false,
            has_watched: false,
            group_changes: GroupChanges::default(),
        }
    }

    /// What a new connection for a client of this user says first. It is answered `+` and its number on the node, by which CLIENT
    /// UNBLOCK knows it, if it is welcome.
    pub fn greeting(user: &User, password: Option<&str>) -> Vec<u8> {
        let (mut greeting, state) = (Vec::new(), user.state());
        let words: [&[u8]; 4] = [b"PERDURA", b"NOFORWARD", user.name(), &state];
        match password {
            Some(password) => encode(&mut greeting, &[&words[..], &[password.as_bytes()]].concat()),
            None => encode(&mut greeting, &words),
        }
        greeting
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
    pub fn send(&mut self, client: &Client, args: &Args<'_>, line: &Line) -> u32 {
        self.adopt(client, client.watching_epoch.is_some());
        let row = table::table().find(args);
        let watches = row.and_then(TableRow::session) == Some(SessionCommand::Watch);
        self.watching |= watches;
        let start = self.unsent.len();
        self.request(args, Expected::Pass);
        let request = &self.unsent[start..];
        let is_kept = !line.is_muted() && self.kept_bytes + request.len() <= KEPT_BYTES;
        self.kept_bytes += if is_kept { request.len() } else { 0 };
        let kept = is_kept.then(|| Kept::Request(request.into()));
        let only_reads = row.is_some_and(|row| only_reads(row, args));
        self.unanswered.push_back(Unanswered { kept, only_reads, watches, ..Unanswered::default() });
        if row.is_some_and(changes_group) {
            self.ask_for_index();
        }
        1
    }

    /// Sends a transaction, MULTI and EXEC around it; returns the number of answers to come. `watched` says whether the
    /// client still watches keys.
    pub fn send_transaction(
        &mut self,
        client: &Client,
        watched: bool,
        sent: SentTransaction,
        line: &Line,
    ) -> u32 {
        debug_assert!(self.unanswered.is_empty(), "MULTI waits until everything is answered");
        self.adopt(client, watched);
        (self.watching, self.has_watched) = (false, false);
        self.request(&[b"MULTI"], Expected::SwallowDone);
        for request in &sent.requests {
            let args: Vec<&[u8]> = request.args().iter().map(|arg| &**arg).collect();
            self.request(&args, Expected::SwallowQueued);
        }
        self.request(&[b"EXEC"], Expected::PassExec);
        if sent.changes_group() {
            self.ask_for_index();
        }
        if sent.chooses {
            (self.resp, self.db) = (None, None);
        }
        let null: &[u8] = if client.resp == Resp::V3 { b"_\r\n" } else { b"*-1\r\n" };
        let is_kept = !watched && !line.is_muted() && sent.bytes <= KEPT_TRANSACTION_BYTES;
        self.unanswered.push_back(Unanswered {
            only_reads: !watched && sent.only_reads(),
            kept: is_kept.then_some(Kept::Transaction(sent)),
            watches: false,
            otherwise: watched.then_some(null),
            begun: Begun::Nothing,
        });
        1
    }

    /// The last request that was sent reads this for a client that caches it.
    pub fn note_begun(&mut self, begun: Begun) {
        if let Some(last) = self.unanswered.back_mut() {
            last.begun = begun;
        }
    }

    /// What requests have read that were answered since this was last asked.
    pub fn take_ended(&mut self) -> Vec<Begun> {
        std::mem::take(&mut self.ended)
    }

    /// The same with those that are not answered, and how many requests those are.
    pub fn take_begun(&mut self) -> (Vec<Begun>, usize) {
        let mut begun = self.take_ended();
        begun.extend(self.unanswered.iter_mut().map(|one| std::mem::take(&mut one.begun)));
        (begun, self.unanswered.len() + self.unserved.len())
    }

    /// Asks the primary for the index that this node has to apply to have everything sent so far.
    fn ask_for_index(&mut self) {
        self.request(&[b"PERDURA", b"INDEX"], Expected::SwallowIndex);
        self.group_changes.unknown += 1;
    }

    /// Takes the answer to that: an integer, or an error of a primary that is another or has no such command.
    fn take_index(&mut self, answer: &[u8]) {
        let index = answer.strip_prefix(b":").and_then(|text| text.strip_suffix(b"\r\n"));
        let index = index.and_then(|text| std::str::from_utf8(text).ok()?.parse().ok());
        self.group_changes.index = self.group_changes.index.max(index.unwrap_or(0));
        self.group_changes.unknown -= 1;
    }

    /// Tells the primary what the client has chosen since the last command.
    fn adopt(&mut self, client: &Client, watches: bool) {
        if self.watching && !watches {
            (self.watching, self.has_watched) = (false, false);
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
        let known = shared.shard.primary_addr();
        let patience_ms = match &known {
            Some(addr) if *addr == self.addr && !self.stale => {
                self.outdated_since_ms = None;
                return false;
            }
            // It may still lead: this node does not hear it.
            None if !self.stale => shared.config.started_with().hold_without_primary_ms.max(FAREWELL_MS),
            _ => FAREWELL_MS,
        };
        let now_ms = shared.clock.monotonic_ms();
        let since_ms = *self.outdated_since_ms.get_or_insert(now_ms);
        !waiting || now_ms - since_ms >= patience_ms
    }

    /// Whether it will be given up unless the node turns out to be the primary.
    pub fn is_doubted(&self) -> bool {
        self.outdated_since_ms.is_some()
    }

    /// The requests that the next primary may be sent, in their order. `None` where one of them may have changed something, or is
    /// not kept: then the client hears which did not happen. Of a transaction EXEC is returned; the session has the rest again.
    fn take_unserved(&mut self, may_retry: bool, session: &mut Session, line: &mut Line) -> Option<Vec<u8>> {
        let can_repeat = |one: &Unanswered| one.only_reads && one.kept.is_some();
        if !may_retry || !self.unanswered.iter().all(can_repeat) {
            self.tell_unserved(line);
            return None;
        }
        let unserved = self.unserved.drain(..).map(|one| one.kept);
        let reads = self.unanswered.drain(..).filter_map(|one| one.kept);
        let mut requests = Vec::new();
        for kept in unserved.chain(reads) {
            match kept {
                Kept::Request(request) => requests.extend_from_slice(&request),
                Kept::Transaction(sent) => {
                    session.gather_again(sent, line);
                    encode(&mut requests, &[b"EXEC"]);
                }
            }
        }
        (!requests.is_empty()).then_some(requests)
    }

    /// Whether all that is left to be answered did not happen.
    pub fn has_only_unserved(&self) -> bool {
        !self.unserved.is_empty() && self.unanswered.is_empty()
    }

    fn tell_unserved(&mut self, line: &mut Line) {
        for Unserved { error, .. } in self.unserved.drain(..) {
            give(line, Says::of(&error), &error);
        }
    }

    /// Takes an answer that is the client's.
    fn take_answer(&mut self, answer: &[u8], line: &mut Line) {
        let says = Says::of(answer);
        let did_not_happen = matches!(says, Says::NotPrimary | Says::NoLongerPrimary);
        self.stale |= did_not_happen;
        let unanswered = self.unanswered.pop_front().unwrap_or_default();
        let Unanswered { kept, watches, otherwise, begun, .. } = unanswered;
        if !matches!(begun, Begun::Nothing) {
            self.ended.push(begun);
        }
        self.kept_bytes -= kept.as_ref().map_or(0, Kept::counted_bytes);
        self.has_watched |= watches && answer == b"+OK\r\n";
        match (kept, otherwise) {
            (_, Some(otherwise)) if did_not_happen => give(line, Says::Answer, otherwise),
            (Some(kept), _) if did_not_happen => {
                // It was the primary when it let the command wait.
                self.has_served |= says == Says::NoLongerPrimary;
                self.unserved.push(Unserved { kept, error: answer.into() });
            }
            _ => {
                self.tell_unserved(line);
                give(line, says, answer);
                self.has_served |= says == Says::Answer;
            }
        }
        line.settle();
    }

    /// Gives the client the answers that have come.
    pub fn pass_on(&mut self, line: &mut Line) -> Heard {
        let mut received = std::mem::take(&mut self.received);
        let mut consumed = 0;
        let heard = loop {
            let rest = &received[consumed..];
            if rest.is_empty() {
                break Heard::Expected;
            }
            let Some(expected) = self.expected.front().copied() else { break Heard::Unexpected };
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
            self.expected.pop_front();
            match expected {
                Expected::Pass | Expected::PassExec => self.take_answer(answer, line),
                Expected::SwallowDone | Expected::SwallowQueued => {
                    self.stale |= Says::of(answer) == Says::NotPrimary;
                }
                Expected::SwallowIndex => self.take_index(answer),
            }
            consumed += len;
        };
        received.drain(..consumed);
        self.received = received;
        heard
    }

    /// The connection is given up. Returns the requests that are to be taken again, for the next primary, instead of all that is
    /// unanswered; otherwise the client is told what became of each. What was watched there is watched no more.
    pub fn give_up(mut self, hold: &mut Hold, session: &mut Session, line: &mut Line) -> Option<Vec<u8>> {
        let (clock, config) = (&session.shared.clock, session.shared.config.started_with());
        let now_ms = clock.monotonic_ms();
        let may_retry = line.forwarded > 0 && hold.allows_retry(now_ms, config.hold_without_primary_ms);
        let again = self.take_unserved(may_retry, session, line);
        if again.is_some() && !self.has_watched {
            // Each WATCH without an answer is among the requests that are taken again.
            session.forget_forwarded_watches();
        } else {
            session.lose_forwarded_watches();
        }
        if again.is_some() {
            hold.note_failure(&self.addr, now_ms);
            line.forwarded = 0;
        }
        let mut in_doubt = Vec::new();
        Reply::new(&mut in_doubt, session.client.resp).error(IN_DOUBT);
        for _ in 0..std::mem::take(&mut line.forwarded) {
            session.count_error(IN_DOUBT);
            line.answer_overtaken(&in_doubt);
        }
        again
    }
}

/// Whether a request changes nothing but what its connection watches.
fn only_reads(row: &TableRow, args: &Args<'_>) -> bool {
    match row.way {
        Way::Session(command, _) => matches!(command, SessionCommand::Watch | SessionCommand::Unwatch),
        // What a worker of the primary answers by itself.
        Way::Local(_) => true,
        _ => matches!(row.command.handler_for(args), Handler::Read(_)),
    }
}

/// Gives the client an answer.
fn give(line: &mut Line, says: Says, answer: &[u8]) {
    match says {
        Says::Answer | Says::NotPrimary => line.answer(answer),
        Says::NoLongerPrimary | Says::InDoubt => line.answer_overtaken(answer),
    }
    line.forwarded = line.forwarded.saturating_sub(1);
}

impl Kept {
    /// What it takes of [`KEPT_BYTES`].
    fn counted_bytes(&self) -> usize {
        match self {
            Kept::Request(request) => request.len(),
            Kept::Transaction(_) => 0,
        }
    }
}

impl Says {
    fn of(answer: &[u8]) -> Says {
        let Some(text) = answer.strip_prefix(b"-") else { return Says::Answer };
        match text {
            _ if text.starts_with(DID_NOT_HAPPEN.as_bytes()) => Says::NotPrimary,
            _ if text.starts_with(UNBLOCKED.as_bytes()) => Says::NoLongerPrimary,
            _ if text.starts_with(IN_DOUBT.as_bytes()) => Says::InDoubt,
            _ => Says::Answer,
        }
    }
}

impl Expected {
    fn fits(self, answer: &[u8]) -> bool {
        let begins_with = |kinds: &[u8]| answer.first().is_some_and(|kind| kinds.contains(kind));
        match self {
            // Nothing that is sent asks for messages.
            Expected::Pass => !begins_with(b">"),
            Expected::PassExec => begins_with(b"*_-"),
            Expected::SwallowDone => begins_with(b"+*%") || Says::of(answer) == Says::NotPrimary,
            Expected::SwallowIndex => begins_with(b":-"),
            Expected::SwallowQueued => answer == b"+QUEUED\r\n" || begins_with(b"-"),
        }
    }
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
mod tests;
