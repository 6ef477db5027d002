//! Which log each other member has, and how a node is sure of it.
//!
//! Every frame that counts bears the random id of its sender's log, and a node steps only what bears the id that the member has *proved*:
//!
//! - A node that does not know a member's log, or hears of another one, sends the member a challenge: a number that follows from a secret
//!   of this process. The member returns it with the id of its log.
//! - A challenge goes to the address where this node reaches that member, and nowhere else. So only a process that is reached there
//!   can answer it. A stranger who connects to the peer port and calls himself a member learns neither a challenge nor a log's id: nothing
//!   of what he says is stepped, and nothing of it lasts. (Someone who reads the wires is another matter.)
//! - With each proof the member's next challenge is another. So a proof that arrives late, of a log that the member had before, is void.
//! - A log that another has followed is never heard again. That a member runs on one is reported once.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use perdura_wal::Disk;
use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::{Node, others_of};
use crate::raft::frame::Frame;
use crate::raft::identity::NodeId;
use crate::raft::outbox::Outbound;

/// How many logs of one member are remembered.
const MAX_OLDER_LOGS: usize = 16;

/// Words of a log that another has followed may be late for so many ticks; after that the member runs on that log again.
const LATE_TICKS: u64 = 100;

/// The logs of another member.
#[derive(Debug, Default)]
struct Logs {
    current: Option<u64>,
    older: VecDeque<OlderLog>,
    /// How many proofs the member has given.
    proofs: u64,
    /// Since the member proved a log that this node did not know.
    ticks: u64,
}

/// A log that another has followed.
#[derive(Debug)]
struct OlderLog {
    id: u64,
    /// That the member runs on it again was reported.
    is_reported: bool,
}

/// What a node knows of the logs of others.
#[derive(Debug)]
pub(super) struct LogBook {
    secret: u64,
    logs: BTreeMap<NodeId, Logs>,
    /// Members that are to prove their log.
    suspects: BTreeSet<NodeId>,
    /// Challenges that this node returns with the next round.
    owed: BTreeMap<NodeId, u64>,
}

/// What a proof has shown.
#[derive(Debug, PartialEq, Eq)]
enum Proven {
    Nothing,
    /// The log that the member is known to have, or the first that this process hears of.
    Log,
    /// The member had another log before.
    AnotherLog,
}

impl LogBook {
    pub(super) fn new(secret: u64) -> LogBook {
        LogBook { secret, logs: BTreeMap::new(), suspects: BTreeSet::new(), owed: BTreeMap::new() }
    }

    /// Whether a member has proved this log. If it is another one than is known, it will be asked.
    fn hears(&mut self, member: NodeId, log_id: u64) -> bool {
        let logs = self.logs.entry(member).or_default();
        if logs.current == Some(log_id) {
            return true;
        }
        if !logs.older.iter().any(|older| older.id == log_id) {
            self.suspects.insert(member);
        }
        false
    }

    /// Whether it is to be reported that a member says something with this log: another has followed it, and not just now. True once
    /// for each return of a log.
    fn reports_return(&mut self, member: NodeId, log_id: u64) -> bool {
        let Some(logs) = self.logs.get_mut(&member).filter(|logs| logs.ticks >= LATE_TICKS) else {
            return false;
        };
        let older = logs.older.iter_mut().find(|older| older.id == log_id);
        older.is_some_and(|older| !std::mem::replace(&mut older.is_reported, true))
    }

    fn tick(&mut self) {
        self.logs.values_mut().for_each(|logs| logs.ticks += 1);
    }

    fn has_log_of(&self, member: NodeId) -> bool {
        self.logs.get(&member).is_some_and(|logs| logs.current.is_some())
    }

    fn challenge(&self, member: NodeId) -> u64 {
        let proofs = self.logs.get(&member).map_or(0, |logs| logs.proofs);
        let text = [member.to_le_bytes(), proofs.to_le_bytes()].concat();
        xxh3_64_with_seed(&text, self.secret)
    }

    fn prove(&mut self, member: NodeId, log_id: u64, challenge: u64) -> Proven {
        if challenge != self.challenge(member) {
            return Proven::Nothing;
        }
        self.suspects.remove(&member);
        let logs = self.logs.entry(member).or_default();
        logs.proofs += 1;
        match logs.current.replace(log_id) {
            Some(known) if known != log_id => {
                logs.ticks = 0;
                logs.older.push_back(OlderLog { id: known, is_reported: false });
                if logs.older.len() > MAX_OLDER_LOGS {
                    logs.older.pop_front();
                }
                Proven::AnotherLog
            }
            _ => Proven::Log,
        }
    }
}

impl<D: Disk> Node<D> {
    /// Whether what a member says with this log counts.
    pub(super) fn hears_log(&mut self, from: NodeId, log_id: u64) -> bool {
        if !others_of(&self.config.identity).any(|id| id == from) {
            return false;
        }
        let hears = self.log_book.hears(from, log_id);
        if !hears && self.log_book.reports_return(from, log_id) {
            tracing::error!(
                node = from,
                "a member runs on a log that another has followed, one that was set aside or an older copy: nothing that it says \
                 counts; stop it, and give it back its newer log or an empty folder"
            );
        }
        hears
    }

    /// A member asks for proof of this node's log.
    pub fn step_prove(&mut self, from: NodeId, challenge: u64) {
        if others_of(&self.config.identity).any(|id| id == from) {
            self.log_book.owed.insert(from, challenge);
        }
    }

    /// A member says which log it has.
    pub fn step_proof(&mut self, from: NodeId, log_id: u64, challenge: u64) {
        if !others_of(&self.config.identity).any(|id| id == from) {
            return;
        }
        if self.log_book.prove(from, log_id, challenge) == Proven::AnotherLog {
            tracing::warn!(node = from, "a member has a new log: what it said with the old one is void");
            self.forget_words_of(from);
            self.forget_hearing_of(from);
        }
    }

    /// To be called with every tick: members whose log is not known are asked again.
    pub(super) fn suspect_unknown_logs(&mut self) {
        self.log_book.tick();
        for id in others_of(&self.config.identity) {
            if !self.log_book.has_log_of(id) {
                self.log_book.suspects.insert(id);
            }
        }
    }

    /// Asks for proofs, and gives those that it was asked for.
    pub(super) fn say_proofs(&mut self, out: &mut impl Outbound) {
        if self.log_book.suspects.is_empty() && self.log_book.owed.is_empty() {
            return;
        }
        for to in std::mem::take(&mut self.log_book.suspects) {
            out.send(to, &Frame::Prove { challenge: self.log_book.challenge(to) });
        }
        for (to, challenge) in std::mem::take(&mut self.log_book.owed) {
            out.send(to, &Frame::Proof { log_id: self.log_id, challenge });
        }
        out.flush();
    }
}

#[cfg(test)]
mod tests;
