//! Which log each other member has, and how a node is sure of it.
//!
//! Every frame that counts bears its sender's *session*: a number that stands for one process on one log. A node steps only what bears the
//! session that the member has *proved*:
//!
//! - A node that does not know a member's session, or hears of another one, sends the member a challenge: a number that follows from a
//!   secret of this process. The member returns it with its session, the random id of its log, and the id of its cluster.
//! - A challenge goes to the address where this node reaches that member, and nowhere else. So only a process that is reached there
//!   can answer it. A stranger who connects to the peer port and calls itself a member learns neither a challenge nor a session: nothing
//!   of what it says is stepped, and nothing of it lasts. What a node says of itself in a greeting is another number. (A stranger who reads the wires is another matter.) Nor does a process on a copy
//!   of a member's folder speak for the member: its session is another.
//! - With each proof the member's next challenge is another. So a proof that arrives late, of a session that the member had before, is void.
//! - A session that another has followed is never heard again. Where the log is another one, what was said with the old one is void. That
//!   a member runs on an older log is reported once.
//! - A proof of a log that belongs to another cluster counts for nothing.
//! - A node whose own log belongs to no cluster yet, and which takes part, follows its *companions*: the logs that it has heard when they
//!   belonged to none, either. It remembers them in its metadata, which is durable before the node's first vote. If a companion belongs to a
//!   cluster by now, that is this node's cluster. Another log that belongs to a cluster counts for nothing until then: it may be a
//!   stranger's at a member's address. A silent node (`rejoin.rs`) hears all, for it follows none. A log of an older build that belongs to no
//!   cluster has no companions, and its node hears all, too.
//! - A log that another has replaced for good (its member has joined again with that, `rejoin.rs`) is remembered in this node's metadata:
//!   it is heard by no later process either.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use perdura_wal::Disk;
use siphasher::sip::SipHasher24;

use super::{Node, others_of};
use crate::planted::{Bug, planted};
use crate::raft::cluster::{Cluster, ClusterId};
use crate::raft::frame::{Frame, LogProof};
use crate::raft::identity::NodeId;
use crate::raft::memo::MemberLog;
use crate::raft::outbox::Outbound;

/// How many sessions of one member are remembered.
const MAX_OLDER: usize = 16;

/// How many logs are remembered whose proofs were turned down.
const MAX_TURNED_DOWN: usize = 64;

/// Words of a log that another has followed may be late for so many ticks; after that the member runs on that log again.
const LATE_TICKS: u64 = 100;

/// What a number that follows from a process' secret is for.
#[derive(Clone, Copy)]
enum Purpose {
    Session = 1,
    Process = 2,
    Challenge = 3,
}

/// By a pseudorandom function: a number that is told says nothing about the secret, nor about numbers for another purpose.
fn secret_number(secret: u64, purpose: Purpose, text: &[u8]) -> u64 {
    SipHasher24::new_with_keys(secret, purpose as u64).hash(text).max(1)
}

/// Stands for a process on a log in all that it says to members that are reached at their addresses, and to nobody else.
pub(super) fn session_of(log: u64, secret: u64) -> u64 {
    secret_number(secret, Purpose::Session, &log.to_le_bytes())
}

/// Stands for the same process in its greetings, which anybody hears.
pub(super) fn process_of(log: u64, secret: u64) -> u64 {
    secret_number(secret, Purpose::Process, &log.to_le_bytes())
}

/// The sessions of another member.
#[derive(Debug, Default)]
struct Sessions {
    current: Option<Session>,
    older: VecDeque<OlderSession>,
    /// How many proofs the member has given.
    proofs: u64,
    /// Since the member proved a log that this node did not know.
    ticks: u64,
}

/// What a member has proved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Session {
    id: u64,
    log: u64,
    cluster: ClusterId,
}

/// A session that another has followed.
#[derive(Debug)]
struct OlderSession {
    id: u64,
    /// Another log has followed, not just another process on the same.
    is_of_other_log: bool,
    /// That the member runs on it again was reported.
    is_reported: bool,
}

/// What a node knows of the logs of others.
#[derive(Debug)]
pub(super) struct LogBook {
    secret: u64,
    sessions: BTreeMap<NodeId, Sessions>,
    /// Members that are to prove their log.
    suspects: BTreeSet<NodeId>,
    /// Challenges that this node returns with the next round.
    owed: BTreeMap<NodeId, u64>,
    /// Logs whose proofs were turned down, so that each is reported once.
    turned_down: BTreeSet<MemberLog>,
}

/// Why the proof of a log counts for nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum TurnedDown {
    /// The log belongs to another cluster.
    Stranger,
    /// The log belongs to a cluster, and this node knows of none that it would be its own.
    PerhapsStranger,
    /// Its member has replaced the log.
    Replaced,
}

/// What a proof has shown.
#[derive(Debug, PartialEq, Eq)]
enum Proven {
    /// The log that the member is known to have, or the first that this process hears of.
    Log,
    /// The member had another log before.
    AnotherLog,
}

impl LogBook {
    pub(super) fn new(secret: u64) -> LogBook {
        LogBook {
            secret,
            sessions: BTreeMap::new(),
            suspects: BTreeSet::new(),
            owed: BTreeMap::new(),
            turned_down: BTreeSet::new(),
        }
    }

    /// Whether a member has proved this session. If it is another one than is known, it will be asked.
    fn hears(&mut self, member: NodeId, session: u64) -> bool {
        let sessions = self.sessions.entry(member).or_default();
        if sessions.current.is_some_and(|current| current.id == session) {
            return true;
        }
        if !sessions.older.iter().any(|older| older.id == session) {
            self.suspects.insert(member);
        }
        false
    }

    /// Whether it is to be reported that a member says something with this session: another log has followed, and not just now. True
    /// once for each return of a log.
    fn reports_return(&mut self, member: NodeId, session: u64) -> bool {
        let Some(sessions) = self.sessions.get_mut(&member).filter(|sessions| sessions.ticks >= LATE_TICKS)
        else {
            return false;
        };
        let older = sessions.older.iter_mut().find(|older| older.id == session && older.is_of_other_log);
        older.is_some_and(|older| !std::mem::replace(&mut older.is_reported, true))
    }

    /// Whether it is to be reported that the proof of a log was turned down: once for each.
    fn reports_turning_down(&mut self, log: MemberLog) -> bool {
        if self.turned_down.len() >= MAX_TURNED_DOWN {
            self.turned_down.clear();
        }
        self.turned_down.insert(log)
    }

    fn tick(&mut self) {
        self.sessions.values_mut().for_each(|sessions| sessions.ticks += 1);
    }

    fn current(&self, member: NodeId) -> Option<Session> {
        self.sessions.get(&member)?.current
    }

    /// Whether a member has proved a log that belonged to no cluster.
    pub(super) fn has_companion(&self, member: NodeId) -> bool {
        let current = self.current(member);
        current.is_some_and(|session| planted!(Bug::IdByAddress, true, session.cluster.is_none()))
    }

    pub(super) fn challenge(&self, member: NodeId) -> u64 {
        let proofs = self.sessions.get(&member).map_or(0, |sessions| sessions.proofs);
        let text = [member.to_le_bytes(), proofs.to_le_bytes()].concat();
        secret_number(self.secret, Purpose::Challenge, &text)
    }

    fn prove(&mut self, member: NodeId, session: u64, proof: LogProof) -> Proven {
        let LogProof { log, cluster, .. } = proof;
        self.suspects.remove(&member);
        let sessions = self.sessions.entry(member).or_default();
        sessions.proofs += 1;
        match sessions.current.replace(Session { id: session, log, cluster }) {
            Some(known) if known.id != session => {
                let is_of_other_log = known.log != log;
                sessions.older.push_back(OlderSession { id: known.id, is_of_other_log, is_reported: false });
                if sessions.older.len() > MAX_OLDER {
                    sessions.older.pop_front();
                }
                if !is_of_other_log {
                    return Proven::Log;
                }
                sessions.ticks = 0;
                Proven::AnotherLog
            }
            _ => Proven::Log,
        }
    }

    /// Members that were heard although they belong to another cluster than this; they are heard no more.
    fn part_from_strangers(&mut self, own: ClusterId) -> Vec<NodeId> {
        let mut parted = Vec::new();
        for (member, sessions) in &mut self.sessions {
            let is_stranger = |session: &Session| !session.cluster.is_none() && session.cluster != own;
            if sessions.current.filter(is_stranger).is_some() {
                sessions.current = None;
                parted.push(*member);
            }
        }
        parted
    }
}

impl<D: Disk> Node<D> {
    /// Whether what a member says in this session counts.
    pub(super) fn hears_log(&mut self, from: NodeId, session: u64) -> bool {
        if !others_of(&self.config.identity).any(|id| id == from) {
            return false;
        }
        let hears = self.log_book.hears(from, session);
        if !hears && self.log_book.reports_return(from, session) {
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
    pub fn step_proof(&mut self, from: NodeId, session: u64, proof: LogProof) {
        let is_member = others_of(&self.config.identity).any(|id| id == from);
        if !is_member || proof.challenge != self.log_book.challenge(from) || self.turns_down(from, &proof) {
            return;
        }
        if let Some(id) = proof.cluster.known().filter(|_| self.is_companion((from, proof.log))) {
            tracing::info!(node = from, cluster = %id, "this node's group has become this cluster");
            self.raw.mut_store().set_cluster(Cluster::of(id));
            self.part_from_strangers();
        }
        if self.log_book.prove(from, session, proof) == Proven::AnotherLog {
            tracing::warn!(node = from, "a member has a new log: what it said with the old one is void");
            self.forget_words_of(from);
            self.forget_hearing_of(from);
        }
        if self.seeks_cluster() && proof.cluster.is_none() {
            self.remember_log_of(from);
        }
    }

    /// Whether this node takes part in a group that is no cluster yet, as far as the node knows.
    pub(super) fn seeks_cluster(&self) -> bool {
        self.cluster().id.is_none() && !self.is_silent()
    }

    /// Whether this is the newest log that a member had when it belonged to no cluster, and this node's does not yet, either.
    fn is_companion(&self, log: MemberLog) -> bool {
        self.seeks_cluster() && self.raw.store().has_noted(log) && !self.raw.store().has_replaced(log)
    }

    /// This node takes part from now on. If its group is no cluster yet, it remembers which logs are its companions.
    pub(super) fn note_companions(&mut self) {
        if self.seeks_cluster() {
            self.part_from_strangers();
            let (identity, book) = (&self.config.identity, &self.log_book);
            let companions: Vec<NodeId> = others_of(identity).filter(|id| book.has_companion(*id)).collect();
            companions.into_iter().for_each(|member| self.remember_log_of(member));
        }
    }

    /// Whether a log can't be this member's: it belongs to another cluster, or may do so, or the member has replaced it.
    fn turns_down(&mut self, from: NodeId, proof: &LogProof) -> bool {
        self.log_book.suspects.remove(&from);
        let Some(reason) = self.objection_to(from, proof) else { return false };
        if self.log_book.reports_turning_down((from, proof.log)) {
            self.report_turning_down(from, proof, reason);
        }
        true
    }

    fn objection_to(&self, from: NodeId, proof: &LogProof) -> Option<TurnedDown> {
        let log = (from, proof.log);
        let stranger = match (self.cluster().id.known(), proof.cluster.known()) {
            (Some(own), Some(other)) if own != other => Some(TurnedDown::Stranger),
            (None, Some(_))
                if self.seeks_cluster() && self.raw.store().knows_logs() && !self.is_companion(log) =>
            {
                Some(TurnedDown::PerhapsStranger)
            }
            _ => None,
        };
        let replaced = self.raw.store().has_replaced(log).then_some(TurnedDown::Replaced);
        planted!(Bug::IdByAddress, None, stranger).or(replaced)
    }

    fn report_turning_down(&self, from: NodeId, proof: &LogProof, reason: TurnedDown) {
        let (theirs, own) = (proof.cluster, self.cluster().id);
        match reason {
            TurnedDown::Stranger => tracing::error!(
                node = from,
                cluster = %theirs,
                own = %own,
                "a member belongs to another cluster: nothing that it says counts"
            ),
            TurnedDown::PerhapsStranger => tracing::warn!(
                node = from,
                cluster = %theirs,
                "a member belongs to a cluster, and this node's group is none yet, as far as this node knows: nothing that the member says \
                 counts before another, which this node heard when the group was new, belongs to that cluster"
            ),
            TurnedDown::Replaced => tracing::error!(
                node = from,
                log = proof.log,
                "a member runs on a log that it had replaced: nothing that it says counts; give it an empty folder, or its newer log"
            ),
        }
    }

    /// This node's log belongs to a cluster from now on, or takes part without one: members of others are strangers.
    pub(super) fn part_from_strangers(&mut self) {
        let strangers = planted!(
            Bug::IdByAddress,
            Default::default(),
            self.log_book.part_from_strangers(self.cluster().id)
        );
        for stranger in strangers {
            tracing::error!(
                node = stranger,
                "a member belongs to another cluster: nothing that it said counts"
            );
            self.forget_words_of(stranger);
            self.forget_hearing_of(stranger);
        }
    }

    /// A member has joined with a new log, or is known to have one for the first time: remembers that, and which log is void by it.
    pub(super) fn remember_log_of(&mut self, member: NodeId) {
        if let Some(Session { log, .. }) = self.log_book.current(member) {
            self.raw.mut_store().note_member_log((member, log));
        }
    }

    /// Logs of members that others have replaced.
    pub fn replaced_logs(&self) -> Vec<MemberLog> {
        self.raw.store().replaced_logs()
    }

    /// To be called with every tick: members whose log is not known are asked again, and all while this node seeks its cluster.
    pub(super) fn suspect_unknown_logs(&mut self) {
        self.log_book.tick();
        for id in others_of(&self.config.identity) {
            match self.log_book.current(id) {
                // The first log of a member that takes part; another one only counts once it has joined.
                Some(session) if !self.seeks_cluster() => {
                    if self.is_trusted() && !self.raw.store().knows_log_of(id) {
                        self.raw.mut_store().note_member_log((id, session.log));
                    }
                }
                // Its log is not known, or may belong to a cluster by now.
                _ => drop(self.log_book.suspects.insert(id)),
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
        let (log, cluster) = (self.voice.log, self.cluster().id);
        for (to, challenge) in std::mem::take(&mut self.log_book.owed) {
            let proof = LogProof { challenge, log, cluster };
            out.send(to, &Frame::Proof { session: self.session, proof });
        }
        out.flush();
    }
}

#[cfg(test)]
mod tests;
