//! One client of the workload.

use std::rc::Rc;
use std::time::Duration;

use perdura_proof::{Action, Outcome, ReadsFrom};

use super::{ANSWER_LIMIT, Load, Next, Seat};
use crate::torture::connection::NodeConnection;

/// After so many operations a client moves on, so that nodes that were down get their share again.
const OPERATIONS_PER_SEAT: u32 = 300;
/// How long a client rests when it was refused or hung up on.
const REST: Duration = Duration::from_millis(20);
/// Actions thrown away before a client that only reads does nothing this time.
const MAX_PASSED_OVER: u32 = 100;

pub struct Client {
    load: Rc<Load>,
    process: u32,
    reads_from: ReadsFrom,
    moves: usize,
    connection: Option<NodeConnection>,
    node: usize,
    operations_here: u32,
    next_us: u64,
}

impl Client {
    pub fn new(load: Rc<Load>, process: u32, reads_from: ReadsFrom) -> Client {
        let next_us = load.now_us() + u64::from(process) * interval_us(&load) / u64::from(load.plan.clients);
        let moves = process as usize;
        Client { load, process, reads_from, moves, connection: None, node: 0, operations_here: 0, next_us }
    }

    /// Works until the load ends.
    pub async fn work(mut self) {
        while !self.load.is_ending.get() {
            self.keep_pace().await;
            let Some(mut connection) = self.take_connection().await else {
                tokio::time::sleep(REST).await;
                continue;
            };
            let Some(action) = self.choose() else { continue };
            let seat = Seat { process: self.process, node: self.node, reads_from: self.reads_from };
            let (outcome, next) = self.load.perform(&mut connection, seat, &action, ANSWER_LIMIT).await;
            self.operations_here += 1;
            match next {
                Next::Stay if self.operations_here < OPERATIONS_PER_SEAT => {
                    self.connection = Some(connection)
                }
                Next::Stay => self.moves += 1,
                Next::Reconnect | Next::MoveOn => {
                    self.moves += 1;
                    if !matches!(outcome, Outcome::Ok(_)) {
                        tokio::time::sleep(REST).await;
                    }
                }
            }
        }
    }

    /// Waits for this client's turn; turns that were missed stay missed.
    async fn keep_pace(&mut self) {
        let now_us = self.load.now_us();
        if self.next_us > now_us {
            tokio::time::sleep(Duration::from_micros(self.next_us - now_us)).await;
        }
        self.next_us = self.next_us.max(now_us) + interval_us(&self.load);
    }

    /// The connection there is, or a new one at this client's seat.
    async fn take_connection(&mut self) -> Option<NodeConnection> {
        if let Some(connection) = self.connection.take() {
            return Some(connection);
        }
        self.operations_here = 0;
        self.node = match self.reads_from {
            ReadsFrom::Primary => self.load.seat(self.moves),
            ReadsFrom::Replica => self.moves % self.load.nodes.len(),
        };
        let mut connection = NodeConnection::open(&self.load.nodes[self.node]).await.ok();
        if let (Some(open), ReadsFrom::Replica) = (&mut connection, self.reads_from) {
            // A Redis outside a cluster refuses it, and reads from itself anyway.
            if open.ask(&["READONLY"], ANSWER_LIMIT).await.is_err() {
                connection = None;
            }
        }
        if connection.is_none() {
            self.moves += 1;
        }
        connection
    }

    /// What to do next; who reads from replicas passes over all else.
    fn choose(&self) -> Option<Action> {
        let mut journal = self.load.journal.borrow_mut();
        let mut draws = std::iter::repeat_with(|| journal.workload.next_action());
        match self.reads_from {
            ReadsFrom::Primary => draws.next(),
            ReadsFrom::Replica => draws.take(MAX_PASSED_OVER as usize).find(is_single_read),
        }
    }
}

/// Time between two operations of one client.
fn interval_us(load: &Load) -> u64 {
    u64::from(load.plan.clients) * 1_000_000 / u64::from(load.plan.rate.max(1))
}

fn is_single_read(action: &Action) -> bool {
    action.is_read() && !matches!(action, Action::Transaction { .. })
}
