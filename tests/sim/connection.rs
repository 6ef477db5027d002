//! A node's side of one client's connection: what `src/net/connection.rs` does, around the real session, parser and relay.
//!
//! - Requests come as bytes and are taken in bursts; answers leave as bytes. A request that has to wait waits here.
//! - What goes to the primary goes over a stream of its own, to be served there as another client's connection.
//! - A worker may be preempted between its look at the clock and its reads: then these may come after the lease, and are not
//!   answered before it is confirmed.

use std::sync::Arc;

use perdura::admin::client::ClientInfo;
use perdura::admin::shared::Shared;
use perdura::config::value::OnDoubt;
use perdura::env::Now;
use perdura::net::hold::{Hold, Next};
use perdura::net::relay::{FAREWELL_MS, Heard, Relay};
use perdura::net::upstream::UpstreamError;
use perdura::propose::reply::{ConnectionId, Span};
use perdura::protocol::reply::Reply;
use perdura::protocol::request::{Parse, RequestLimits, RequestParser};
use perdura::session::{ExecEnd, Forward, Line, Session, Verdict};

use crate::coverage::Seen;
use crate::network::{End, Packet};
use crate::process::node_at;
use crate::queue::{Event, MS, Micros, SECOND};
use crate::stage::Stage;

/// A simulated connection looks where the server's is told.
const PRIMARY_POLL: Micros = 20 * MS;
const RELAY_LOOK: Micros = FAREWELL_MS * MS;
/// The server's own times (`src/net/connection.rs`).
const FULL_RETRY: Micros = MS;
const LEASE_RETRY: Micros = 2 * MS;
const LEASE_PATIENCE_MS: u64 = 10_000;

pub struct ServerConnection {
    pub id: ConnectionId,
    pub stream: u64,
    session: Session,
    parser: RequestParser,
    line: Line,
    input: Vec<u8>,
    /// The client sends nothing more.
    pub ended: bool,
    broken: bool,
    poked: bool,
    relay: Option<OpenRelay>,
    hold: Hold,
    approach: Option<Approach>,
    /// The leadership epoch in which the burst at hand began.
    epoch: u64,
    held: Held,
    /// When it looks again: once, however often it is asked to.
    next_look: Micros,
}

/// Why nothing goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Held {
    No,
    /// The worker was preempted after it had looked at the clock, and goes on at this moment.
    Preempted(Micros),
    /// Reads wait for the lease that they were done under, up to this time of their node's monotonic clock.
    Unconfirmed {
        patient_until_ms: u64,
    },
}

struct OpenRelay {
    stream: u64,
    relay: Relay,
}

/// On the way to the primary with a request.
struct Approach {
    what: Forward,
    args: Vec<Vec<u8>>,
    step: Step,
}

enum Step {
    /// Until a primary can be tried.
    Wait,
    /// Until the primary has answered the greeting, or another is.
    Greet { is_lost: bool, stream: u64, node: usize, received: Vec<u8> },
}

/// Where a connection is, for what it plans and sends.
#[derive(Clone, Copy)]
pub struct Place {
    pub node: usize,
    pub life: u64,
}

/// What became of a burst of requests.
enum Progress {
    NeedInput,
    Paused,
    Full,
    Close,
}

/// What is to be done after a connection has worked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// The driver has been handed something.
    pub wakes_driver: bool,
    /// The connection is over.
    pub ends: bool,
}

impl ServerConnection {
    pub fn new(shared: &Arc<Shared>, id: ConnectionId, stream: u64, seed: u64) -> ServerConnection {
        let worker = id.index as usize % shared.shard.ports.len();
        let now_ms = shared.clock.monotonic_ms();
        let addresses = (format!("10.1.0.1:{}", stream % 60_000), String::new());
        let info = Arc::new(ClientInfo::new(shared.clients.next_id(), addresses, (worker, id), now_ms));
        shared.clients.add(info.clone());
        let client = shared.new_client(info, worker, id);
        ServerConnection {
            id,
            stream,
            session: Session::new(client, shared.clone(), seed),
            parser: RequestParser::new(),
            line: Line::default(),
            input: Vec::new(),
            ended: false,
            broken: false,
            poked: false,
            relay: None,
            hold: Hold::default(),
            approach: None,
            epoch: 0,
            held: Held::No,
            next_look: 0,
        }
    }

    /// Whether answers may let it go on.
    pub fn has_waiting(&self) -> bool {
        let goes_on = self.ended || self.poked || self.line.is_lost;
        goes_on || !self.input.is_empty() || self.line.has_answered_exec()
    }

    /// Something happened while the worker was busy.
    pub fn poke(&mut self) {
        self.poked = true;
    }

    pub fn receive(&mut self, bytes: &[u8]) {
        self.input.extend_from_slice(bytes);
    }

    /// Takes in answers from the log.
    pub fn answered(&mut self, bytes: &[u8], span: &Span) {
        if span.answers == 0 {
            self.line.message(bytes);
            return;
        }
        if span.may_close {
            self.line.answer_overtaken(bytes);
        } else {
            self.line.answer(bytes);
        }
        self.line.pending -= span.answers;
        self.line.settle();
    }

    /// The primary's end of the relay has said something.
    pub fn relay_says(&mut self, stream: u64, packet: Packet) {
        if let Some(open) = self.relay.as_mut().filter(|open| open.stream == stream) {
            match packet {
                Packet::Welcome => {}
                Packet::Bytes(bytes) => open.relay.received.extend_from_slice(&bytes),
                Packet::Close => open.stream = 0,
            }
            return;
        }
        let Some(Approach { step: Step::Greet { is_lost, stream: own, received, .. }, .. }) =
            &mut self.approach
        else {
            return;
        };
        match packet {
            _ if *own != stream => {}
            Packet::Welcome => {}
            Packet::Bytes(bytes) => received.extend_from_slice(&bytes),
            Packet::Close => *is_lost = true,
        }
    }

    /// Does what can be done now, and sends what can be sent.
    pub fn work(&mut self, stage: &mut Stage, place: Place) -> Outcome {
        self.poked = false;
        let progress = self.advance(stage, place);
        self.flush(stage);
        let is_answered = !self.line.has_unanswered() && self.approach.is_none() && self.held == Held::No;
        let ends = match progress {
            Some(Progress::Close) => true,
            Some(Progress::NeedInput) => self.ended && is_answered,
            Some(Progress::Full) => {
                self.look_again(stage, place, FULL_RETRY);
                false
            }
            Some(Progress::Paused) | None => self.ended && self.line.blocking,
        };
        if self.relay.is_some() && self.line.forwarded > 0 {
            self.look_again(stage, place, RELAY_LOOK);
        }
        let is_closed = self.line.is_lost && !self.line.has_unanswered() && self.held == Held::No;
        stage.counts.add_many(Seen::ClosedInDoubt, u64::from(is_closed));
        Outcome {
            wakes_driver: self.session.shared.shard.gathered() > 0,
            ends: ends || self.broken || is_closed,
        }
    }

    fn advance(&mut self, stage: &mut Stage, place: Place) -> Option<Progress> {
        self.attend_relay(stage, place);
        if !self.confirm_reads(stage, place) {
            return None;
        }
        if self.approach.is_some() && !self.go_on_approaching(stage, place) {
            return None;
        }
        assert_eq!(self.session.finish_exec(&mut self.line), ExecEnd::Fine, "an EXEC's answer fits");
        if self.is_preempted(stage, place) {
            return None;
        }
        let progress = self.take_requests(stage, place);
        let now_ms = self.session.shared.clock.monotonic_ms();
        let shard = &self.session.shared.shard;
        let is_confirmed = shard.is_readable_at(now_ms) && shard.leadership_epoch() == self.epoch;
        if self.session.leaned_on_lease && !is_confirmed {
            stage.counts.add(Seen::ReadsHeld);
            self.held = Held::Unconfirmed { patient_until_ms: now_ms + LEASE_PATIENCE_MS };
            self.confirm_reads(stage, place);
        }
        self.session.ended.clear();
        Some(progress)
    }

    /// Begins a burst of requests, unless the worker's time is taken from it before it gets to them.
    fn is_preempted(&mut self, stage: &mut Stage, place: Place) -> bool {
        if let Held::Preempted(until) = self.held {
            if until > stage.now {
                return true;
            }
            self.held = Held::No;
            return false;
        }
        self.begin_burst();
        let preempted =
            !stage.scenario.driver_in_worker && !self.input.is_empty() && stage.chance.nodes.chance(15);
        if preempted {
            let after = stage.chance.nodes.magnitude(MS..2 * SECOND);
            self.held = Held::Preempted(stage.now + after);
            self.look_again(stage, place, after);
        }
        preempted
    }

    fn look_again(&mut self, stage: &mut Stage, place: Place, after: Micros) {
        let Place { node, life } = place;
        let due = stage.now + after;
        if (stage.now + 1..=due).contains(&self.next_look) {
            return;
        }
        self.next_look = due;
        stage.plan_in(after, Event::LookAgain { node, life, connection: self.id.index });
    }

    fn begin_burst(&mut self) {
        let clock = &self.session.shared.clock;
        self.session.now = Now { monotonic_ms: clock.monotonic_ms(), unix_ms: clock.unix_ms() };
        self.session.leaned_on_lease = false;
        let closes_on_doubt = self.session.shared.config.started_with().on_doubt == OnDoubt::Close;
        self.line.closes_on_doubt = closes_on_doubt && !self.session.client.forwarded;
        self.epoch = self.session.shared.shard.leadership_epoch();
    }

    /// As the server's: held reads leave once the lease holds again in the same leadership, and the connection breaks where no
    /// lease comes. False while they wait.
    fn confirm_reads(&mut self, stage: &mut Stage, place: Place) -> bool {
        let Held::Unconfirmed { patient_until_ms } = self.held else { return true };
        let (shard, clock) = (&self.session.shared.shard, &self.session.shared.clock);
        let now_ms = clock.monotonic_ms();
        let is_same_leadership = shard.leadership_epoch() == self.epoch;
        let is_confirmed = shard.is_readable_at(now_ms);
        if is_same_leadership && !is_confirmed && now_ms < patient_until_ms {
            self.look_again(stage, place, LEASE_RETRY);
            return false;
        }
        if !is_same_leadership || !is_confirmed {
            let why = if is_same_leadership { "no lease confirms" } else { "whose leadership is over" };
            stage.tell(|| format!("node {}: reads {why} are not answered", place.node + 1));
            stage.counts.add_many(Seen::ReadsGivenUp, u64::from(is_same_leadership));
            self.line.out.clear();
            self.broken = true;
        }
        self.held = Held::No;
        true
    }

    fn take_requests(&mut self, stage: &mut Stage, place: Place) -> Progress {
        let input = std::mem::take(&mut self.input);
        let mut consumed = 0;
        let progress = self.take_from(&input, &mut consumed, stage, place);
        self.input = input[consumed..].to_vec();
        progress
    }

    fn take_from(&mut self, input: &[u8], consumed: &mut usize, stage: &mut Stage, place: Place) -> Progress {
        loop {
            if self.is_held_up() || self.approach.is_some() {
                return Progress::Paused;
            }
            let mut parser = std::mem::take(&mut self.parser);
            let parsed = parser.parse(&input[*consumed..], &RequestLimits::default());
            let progress = match parsed {
                Parse::Incomplete { .. } => Some(Progress::NeedInput),
                Parse::Nothing { consumed: bytes } => {
                    *consumed += bytes;
                    None
                }
                Parse::Error(_) => Some(Progress::Close),
                Parse::Command { consumed: bytes } => {
                    let args = parser.args().slices(&input[*consumed..]);
                    let stopped = self.take_one(&args, stage, place);
                    if stopped.is_none() {
                        *consumed += bytes;
                    }
                    stopped
                }
            };
            self.parser = parser;
            if let Some(progress) = progress {
                return progress;
            }
        }
    }

    fn take_one(&mut self, args: &[&[u8]], stage: &mut Stage, place: Place) -> Option<Progress> {
        match self.session.take(args, &mut self.line) {
            Verdict::Taken => {}
            Verdict::Wait => return Some(Progress::Paused),
            Verdict::Full | Verdict::Delayed => return Some(Progress::Full),
            // No client of a simulation sends keys to other servers, takes a file, or is an operator.
            Verdict::Migrate | Verdict::SendFile | Verdict::Await => return Some(Progress::Close),
            Verdict::Forward(what) => {
                let args = args.iter().map(|arg| arg.to_vec()).collect();
                self.forward(what, args, stage, place);
            }
        }
        None
    }

    fn is_held_up(&self) -> bool {
        let changes_primary =
            self.line.forwarded > 0 && self.relay.as_ref().is_some_and(|open| open.relay.stale);
        self.line.barrier || self.line.is_lost || changes_primary
    }

    fn forward(&mut self, what: Forward, args: Vec<Vec<u8>>, stage: &mut Stage, place: Place) {
        stage.counts.add(Seen::Forwarded);
        if self.relay.is_some() {
            self.send_on(what, &args, stage);
            return;
        }
        self.approach = Some(Approach { what, args, step: Step::Wait });
        self.go_on_approaching(stage, place);
    }

    fn send_on(&mut self, what: Forward, args: &[Vec<u8>], stage: &mut Stage) {
        let Some(OpenRelay { relay, stream }) = &mut self.relay else { return };
        let answers = match what {
            Forward::Request => {
                let args: Vec<&[u8]> = args.iter().map(Vec::as_slice).collect();
                relay.send(&self.session.client, &args, &self.line)
            }
            Forward::Transaction => {
                let watched = self.session.client.watching_epoch.is_some();
                let sent = self.session.take_transaction(&mut self.line);
                relay.send_transaction(&self.session.client, watched, sent, &self.line)
            }
        };
        self.line.forwarded += answers;
        self.session.note_group_changes(relay.group_changes);
        let unsent = std::mem::take(&mut relay.unsent);
        stage.send_packet(*stream, 1, Packet::Bytes(unsent));
    }

    /// True once the request at hand is sent on, or refused.
    fn go_on_approaching(&mut self, stage: &mut Stage, place: Place) -> bool {
        let Some(approach) = self.approach.take() else { return true };
        match self.approach_step(approach, stage, place) {
            Ok(None) => true,
            Ok(Some(approach)) => {
                self.approach = Some(approach);
                self.look_again(stage, place, PRIMARY_POLL);
                false
            }
            Err((what, error)) => {
                if what == Forward::Transaction {
                    self.session.drop_transaction();
                }
                self.session.lose_forwarded_watches();
                Reply::new(&mut self.line.out, self.session.client.resp).error(error.to_string());
                self.line.settle();
                true
            }
        }
    }

    fn approach_step(
        &mut self,
        mut approach: Approach,
        stage: &mut Stage,
        place: Place,
    ) -> Result<Option<Approach>, (Forward, UpstreamError)> {
        match &mut approach.step {
            Step::Wait => {
                let shared = self.session.shared.clone();
                let (known, now_ms) = (shared.shard.primary_addr(), shared.clock.monotonic_ms());
                let hold_ms = shared.config.started_with().hold_without_primary_ms;
                match (self.hold.next(known.as_deref(), now_ms, hold_ms), known) {
                    (Next::Try, Some(addr)) => {
                        if let Some(node) = node_at(&addr) {
                            approach.step = self.greet(node, stage, place);
                        }
                    }
                    (Next::Wait { .. }, _) => stage.counts.add(Seen::HeldForPrimary),
                    (Next::Refuse | Next::Try, None) => {
                        return Err((approach.what, UpstreamError::NoPrimary));
                    }
                    (Next::Refuse, Some(_)) => return Err((approach.what, UpstreamError::Unreachable)),
                }
            }
            Step::Greet { is_lost, stream, node, received } => {
                let known = self.session.shared.shard.primary_addr();
                let is_superseded = known.and_then(|addr| node_at(&addr)) != Some(*node);
                if *is_lost && !is_superseded {
                    let now_ms = self.session.shared.clock.monotonic_ms();
                    self.hold.note_failure(&crate::process::client_addr(*node), now_ms);
                }
                if *is_lost || is_superseded {
                    stage.close_stream(*stream, 0);
                    approach.step = Step::Wait;
                    return Ok(Some(approach));
                }
                let lines = received.iter().filter(|byte| **byte == b'\n').count();
                if lines >= 1 {
                    let relay = Relay::new(crate::process::client_addr(*node));
                    self.relay = Some(OpenRelay { stream: *stream, relay });
                    self.send_on(approach.what, &approach.args, stage);
                    return Ok(None);
                }
            }
        }
        Ok(Some(approach))
    }

    fn greet(&mut self, node: usize, stage: &mut Stage, place: Place) -> Step {
        let Place { node: own, life } = place;
        let who = End::Relay { node: own, life, connection: self.id.index };
        let stream = stage.open_stream(who, node);
        let greeting = Relay::greeting(&self.session.client.user, None);
        stage.send_packet(stream, 1, Packet::Bytes(greeting));
        Step::Greet { is_lost: false, stream, node, received: Vec::new() }
    }

    /// Passes on what the primary answered, and lets go of a connection to what is not the primary any more.
    fn attend_relay(&mut self, stage: &mut Stage, place: Place) {
        let Some(OpenRelay { stream, relay }) = &mut self.relay else { return };
        let heard = relay.pass_on(&mut self.line);
        assert_eq!(heard, Heard::Expected, "a node answers what it was sent");
        self.session.note_group_changes(relay.group_changes);
        let is_open = *stream != 0;
        let waiting = self.line.forwarded > 0;
        if std::mem::take(&mut relay.has_served) {
            self.hold.end();
        }
        let is_over = relay.is_outdated(&self.session.shared, waiting) || relay.has_only_unserved();
        if is_open && !is_over {
            return;
        }
        stage.close_stream(*stream, 0);
        if waiting {
            stage.counts.add(Seen::UpstreamsLost);
            stage.tell(|| format!("node {}: lost the primary with a command on its way", place.node + 1));
        }
        let Some(OpenRelay { relay, .. }) = self.relay.take() else { return };
        let again = relay.give_up(&mut self.hold, &mut self.session, &mut self.line);
        self.line.settle();
        if let Some(requests) = again {
            stage.counts.add(Seen::TakenAgain);
            self.input.splice(..0, requests);
            self.parser = RequestParser::new();
        }
    }

    /// Sends what is answered.
    pub fn flush(&mut self, stage: &mut Stage) {
        let waits_for_lease = matches!(self.held, Held::Unconfirmed { .. });
        if !waits_for_lease && !self.line.out.is_empty() {
            let out = std::mem::take(&mut self.line.out);
            stage.send_packet(self.stream, 0, Packet::Bytes(out));
        }
    }

    /// Ends what the connection left with the log and with its primary.
    pub fn finish(&mut self, stage: &mut Stage) {
        self.session.finish();
        stage.close_stream(self.stream, 1);
        if let Some(OpenRelay { stream, .. }) = self.relay.take() {
            stage.close_stream(stream, 0);
        }
        if let Some(Approach { step: Step::Greet { stream, .. }, .. }) = self.approach.take() {
            stage.close_stream(stream, 0);
        }
    }
}
