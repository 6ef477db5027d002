//! The clients: who connects where, what they do, what is recorded of it.
//!
//! - All times are of one monotonic clock, in µs since the run began. A call is recorded before its first byte is sent, a
//!   return after its last byte has come.
//! - A client sends its next command only when it has heard of the last, at a pace that makes up the asked-for rate together
//!   with the others; it does not catch up on what it missed while the system stood still.
//! - A client whose command is not answered within [`ANSWER_LIMIT`] gives its connection up: what became of the command
//!   is in doubt. It then moves on to another node. Where the primary is appointed, it is told who that is.
//! - Every fourth client reads from replicas: it says READONLY and only reads, single commands only.
//! - Beside them each node has a *pulse*: a client that writes all the time and gives up after [`PULSE_LIMIT`], so that an
//!   outage is measured by somebody who does not wait long. Its writes are recorded and checked as all others are.

mod client;
mod pulse;

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use perdura_proof::{Action, Exchange, Kind, Outcome, Progress, ReadsFrom, Recorder, Workload};
use tokio::task::JoinSet;

use super::availability::{Availability, Gap};
use super::connection::NodeConnection;
use super::monitor::View;
use crate::env::Clock;
use client::Client;

/// How long a client waits for an answer.
const ANSWER_LIMIT: Duration = Duration::from_secs(1);
/// How long a pulse waits for an answer.
const PULSE_LIMIT: Duration = Duration::from_millis(250);
/// How long one of the last reads may take.
const FINAL_LIMIT: Duration = Duration::from_secs(10);
/// One client in so many reads from replicas.
const REPLICA_READERS: u32 = 4;
/// Tries at an action that has to succeed, and the time between two.
const TRIES: u32 = 100;
const TRY_PAUSE: Duration = Duration::from_millis(200);

/// How hard the clients work.
#[derive(Clone, Debug)]
pub struct LoadPlan {
    pub kinds: Vec<Kind>,
    pub seed: u64,
    pub clients: u32,
    /// Operations a second of all clients together, without the pulses.
    pub rate: u32,
}

/// What clients have heard so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    pub acknowledged: u64,
    pub acknowledged_writes: u64,
    pub failed: u64,
    pub in_doubt: u64,
}

/// What all clients share.
#[derive(Debug)]
pub struct Load {
    pub clock: Clock,
    pub view: View,
    nodes: Vec<String>,
    elects: bool,
    plan: LoadPlan,
    journal: RefCell<Journal>,
    is_ending: Cell<bool>,
}

#[derive(Debug)]
struct Journal {
    recorder: Recorder,
    workload: Workload,
    availability: Availability,
    counts: Counts,
    pulse_keys: Vec<String>,
}

/// What an operation's error says about the connection or the node it came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    Stay,
    /// The connection is lost.
    Reconnect,
    /// This node can't serve at present.
    MoveOn,
}

impl Load {
    pub fn new(plan: LoadPlan, nodes: Vec<String>, elects: bool, view: View, clock: Clock) -> Rc<Load> {
        let journal = Journal {
            recorder: Recorder::new(),
            workload: Workload::new(&plan.kinds, plan.seed),
            availability: Availability::default(),
            counts: Counts::default(),
            pulse_keys: Vec::new(),
        };
        let (journal, is_ending) = (RefCell::new(journal), Cell::new(false));
        Rc::new(Load { clock, view, nodes, elects, plan, journal, is_ending })
    }

    /// µs since the run began.
    pub fn now_us(&self) -> u64 {
        self.clock.monotonic_ns() / 1000
    }

    pub fn counts(&self) -> Counts {
        self.journal.borrow().counts
    }

    /// Does what the workloads need before anything else.
    ///
    /// # Errors
    /// The last answer, where an action did not succeed however often it was tried.
    pub async fn set_up(&self) -> Result<(), String> {
        let actions = self.journal.borrow().workload.setup();
        for action in actions {
            self.insist(&action).await?;
        }
        Ok(())
    }

    /// Lets all clients work, on the current thread, until [`Load::end`].
    pub fn start(self: &Rc<Load>) -> JoinSet<()> {
        let mut tasks = JoinSet::new();
        for process in 0..self.plan.clients {
            let reads_replicas = process % REPLICA_READERS == REPLICA_READERS - 1;
            let reads_from = if reads_replicas { ReadsFrom::Replica } else { ReadsFrom::Primary };
            tasks.spawn_local(Client::new(self.clone(), process, reads_from).work());
        }
        for node in 0..self.nodes.len() {
            tasks.spawn_local(pulse::beat(self.clone(), self.plan.clients + node as u32, node));
        }
        tasks
    }

    /// Clients end when they have heard of their last operation.
    pub fn end(&self) {
        self.is_ending.set(true);
    }

    /// A fault begins: from now on the longest gap between acknowledged writes counts.
    pub fn watch_availability(&self) {
        self.journal.borrow_mut().availability.begin(self.now_us());
    }

    /// What the fault broke is whole again.
    pub fn note_mending(&self) {
        self.journal.borrow_mut().availability.mended(self.now_us());
    }

    /// Whether a write was acknowledged after the mending.
    pub fn is_served_again(&self) -> bool {
        self.journal.borrow().availability.is_served_again()
    }

    /// The system has recovered, or was given up.
    pub fn gap(&self) -> Gap {
        self.journal.borrow_mut().availability.end(self.now_us())
    }

    /// Reads everything that was ever touched, once the clients have ended.
    ///
    /// # Errors
    /// A read that did not succeed however often it was tried.
    pub async fn read_everything(&self) -> Result<(), String> {
        let reads = {
            let mut journal = self.journal.borrow_mut();
            journal.recorder.begin_final_reads();
            let pulses = journal.pulse_keys.iter().map(|key| Action::Get { key: key.clone() });
            pulses.chain(journal.workload.final_reads()).collect::<Vec<_>>()
        };
        for action in reads {
            self.insist(&action).await?;
        }
        Ok(())
    }

    /// The history so far; a new one begins.
    pub fn take_history(&self) -> perdura_proof::History {
        std::mem::take(&mut self.journal.borrow_mut().recorder).finish()
    }

    /// Tries until it succeeds. Must not be used for what must not happen twice, unless twice is as good as once.
    async fn insist(&self, action: &Action) -> Result<(), String> {
        let mut last = "nothing was tried".to_owned();
        for attempt in 0..TRIES {
            let node = self.seat(attempt as usize);
            match NodeConnection::open(&self.nodes[node]).await {
                Ok(mut connection) => {
                    let seat = Seat { process: self.plan.clients, node, reads_from: ReadsFrom::Primary };
                    let (outcome, _) = self.perform(&mut connection, seat, action, FINAL_LIMIT).await;
                    match outcome {
                        Outcome::Ok(_) => return Ok(()),
                        Outcome::DidNotHappen(why) | Outcome::InDoubt(why) => last = why,
                        Outcome::Pending => {}
                    }
                }
                Err(error) => last = error.to_string(),
            }
            tokio::time::sleep(TRY_PAUSE).await;
        }
        Err(format!("{action:?}: {last}"))
    }

    /// Where somebody who has moved so many times sits: with the primary, where that is appointed.
    fn seat(&self, moves: usize) -> usize {
        let rotating = moves % self.nodes.len();
        if self.elects { rotating } else { self.view.primary().unwrap_or(rotating) }
    }

    /// Performs one action and records it.
    async fn perform(
        &self,
        connection: &mut NodeConnection,
        seat: Seat,
        action: &Action,
        limit: Duration,
    ) -> (Outcome, Next) {
        let id = self.call(seat, action);
        let (mut exchange, mut round) = Exchange::begin(action);
        let (outcome, lost) = loop {
            match connection.call(&round, limit).await {
                Ok(replies) => match exchange.replies(&replies) {
                    Progress::Send(next) => round = next,
                    Progress::Done(outcome) => break (outcome, false),
                },
                Err(error) => break (exchange.lost(&error.to_string()), true),
            }
        };
        self.done(id, action, &outcome);
        let next = match (&outcome, lost) {
            (_, true) => Next::Reconnect,
            (Outcome::DidNotHappen(why) | Outcome::InDoubt(why), false) if cannot_serve(why) => Next::MoveOn,
            _ => Next::Stay,
        };
        (outcome, next)
    }

    fn call(&self, seat: Seat, action: &Action) -> u64 {
        let mut journal = self.journal.borrow_mut();
        let Seat { process, node, reads_from } = seat;
        journal.recorder.call(process, node as u32 + 1, reads_from, action.clone(), self.now_us())
    }

    fn done(&self, id: u64, action: &Action, outcome: &Outcome) {
        let now_us = self.now_us();
        let mut journal = self.journal.borrow_mut();
        journal.recorder.done(id, now_us, outcome.clone());
        match outcome {
            Outcome::Ok(_) => {
                journal.counts.acknowledged += 1;
                if !action.is_read() {
                    journal.counts.acknowledged_writes += 1;
                    journal.availability.acknowledged(now_us);
                }
            }
            Outcome::DidNotHappen(_) => journal.counts.failed += 1,
            Outcome::InDoubt(_) | Outcome::Pending => journal.counts.in_doubt += 1,
        }
    }
}

/// Who asks whom.
#[derive(Clone, Copy, Debug)]
struct Seat {
    process: u32,
    node: usize,
    reads_from: ReadsFrom,
}

/// Errors after which another node is worth a try: Redis' and Perdura's ways to say that this one does not lead.
fn cannot_serve(error: &str) -> bool {
    let codes =
        ["READONLY", "CLUSTERDOWN", "LOADING", "MASTERDOWN", "TRYAGAIN", "INDOUBT", "MISCONF", "NOREPLICAS"];
    codes.iter().any(|code| error.starts_with(code))
}
