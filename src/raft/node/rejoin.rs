//! A member whose log is new: when it may take part.
//!
//! A new log may be the first that the member ever had, or the one before it was lost. It can't tell, and what it said with a
//! lost one counts elsewhere: votes, acknowledgements, promises. So each log has a random id, which every frame bears, and:
//!
//! - A member with a new log is silent and deaf until all others have taken note of it. Whoever takes note drops everything that
//!   an older log of that member's said or will be heard to say: a candidate gives up its candidacy, a leader forgets what
//!   the member had acknowledged and returned. From then on old words count nowhere, but in what has already come
//!   of them: a leader that was elected, an entry that was committed.
//! - Each of the others tells its term and the end of its log. The member takes the highest term as one in which it has voted, so
//!   it never votes twice in one. And it votes for nobody, nor campaigns, before it knows everything up to the furthest end to
//!   be committed: what was committed with its acknowledgement lies before that, in the log of whoever counted it.
//!   Both are durable before the member says anything else.
//! - It goes on announcing its log until it knows everything: another may restart, and hear a late word of the lost log first.
//! - It takes all others, not a majority: one that is not asked could be a candidate that still holds an old vote.
//! - Each tells, too, whether it knows all that it ever said. Whatever was committed is known to a majority, so to one who has
//!   lost nothing, as long as those who have are no majority. If they are, the member goes on waiting: what one of them had
//!   acknowledged the others need not know.
//! - In a group that is new itself nobody has anything to tell. If those who answer are a majority with it and all have
//!   nothing to tell, it waits for the rest no longer than [`PATIENCE_TICKS`]. A member that knows to have lost a log never
//!   takes its group for new, and nobody does who hears of it.
//!
//! What others noted need not be durable: it voids what is in memory only. An old word reaches no later process, but for one of
//! an old term.
//!
//! Caveat: if a majority is new to a group that is not, and the others can't be heard, that majority begins the group anew. So
//! replace lost disks one at a time.

use std::collections::{BTreeMap, VecDeque};

use perdura_wal::Disk;
use raft::{INVALID_ID, StateRole};

use super::{Node, others_of};
use crate::raft::frame::{Account, Frame, Memory};
use crate::raft::identity::{NOT_YET_KNOWN, NodeId};
use crate::raft::outbox::Outbound;

/// For how long those who may be there are waited for, where a whole group seems to be new.
const PATIENCE_TICKS: u64 = 20;
/// How often a member that can't join says so.
const WARNING_TICKS: u64 = 1200;
/// How many logs of one member are remembered.
const MAX_OLDER_LOGS: usize = 16;

/// What a member may do.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// It takes part in everything.
    Full,
    /// Its log is new: what the others told it so far, and for how many ticks it has asked.
    Silent { accounts: BTreeMap<NodeId, Account>, ticks: u64 },
    /// It votes for nobody before this entry is known to be committed.
    Learning { until: u64 },
}

impl Standing {
    pub(super) fn silent() -> Standing {
        Standing::Silent { accounts: BTreeMap::new(), ticks: 0 }
    }
}

/// The logs of another member.
#[derive(Debug)]
struct Logs {
    current: u64,
    older: VecDeque<u64>,
}

/// What a node knows of the logs of others, and owes them.
#[derive(Debug, Default)]
pub(super) struct LogBook {
    logs: BTreeMap<NodeId, Logs>,
    /// Who has asked, with which log, and was not answered yet.
    asked: Vec<(NodeId, u64)>,
    /// It is time to ask the others.
    must_ask: bool,
}

impl LogBook {
    /// Whether what is said with this log counts, and whether it is the first that is heard of it after another. Only a member that
    /// announces its log makes it known after another, and it does before it says anything else: so other words with an unknown log
    /// are late ones, of a log that is lost. A late announcement of such a log displaces a newer one until that is announced again.
    fn note(&mut self, member: NodeId, log_id: u64, announced: bool) -> (bool, bool) {
        let Some(logs) = self.logs.get_mut(&member) else {
            self.logs.insert(member, Logs { current: log_id, older: VecDeque::new() });
            return (true, false);
        };
        if logs.current == log_id {
            return (true, false);
        }
        if logs.older.contains(&log_id) || !announced {
            return (false, false);
        }
        logs.older.push_back(std::mem::replace(&mut logs.current, log_id));
        if logs.older.len() > MAX_OLDER_LOGS {
            logs.older.pop_front();
        }
        (true, true)
    }
}

impl<D: Disk> Node<D> {
    /// Whether a frame of this log may be heard: not one of a log that its member has lost, and none while this node is
    /// silent.
    pub(super) fn may_hear(&mut self, from: NodeId, log_id: u64) -> bool {
        self.take_note(from, log_id, false) && !matches!(self.standing, Standing::Silent { .. })
    }

    /// Whether this node takes part in everything; not while it has to learn what it may have lost.
    pub fn is_trusted(&self) -> bool {
        self.may_vote()
    }

    /// Whether this node may vote, and campaign.
    pub(super) fn may_vote(&self) -> bool {
        self.standing == Standing::Full
    }

    /// Whether it takes part, and does not yet know all that it may have acknowledged.
    pub(super) fn is_learning(&self) -> bool {
        matches!(self.standing, Standing::Learning { .. })
    }

    /// A member whose log is new wants note to be taken of it.
    pub fn step_rejoin(&mut self, from: NodeId, log_id: u64) {
        if self.take_note(from, log_id, true)
            && self.log_book.asked.len() < self.config.identity.members.len()
        {
            self.log_book.asked.push((from, log_id));
        }
    }

    /// A member has taken note of this node's log.
    pub fn step_account(&mut self, from: NodeId, log_id: u64, account: Account) {
        if log_id == self.log_id && others_of(&self.config.identity).any(|id| id == from) {
            if let Standing::Silent { accounts, .. } = &mut self.standing {
                accounts.insert(from, account);
            }
            self.settle_standing();
        }
    }

    /// To be called with every tick, before raft's own. A node that may not vote does not campaign either.
    pub(super) fn tick_standing(&mut self) {
        if let Standing::Silent { accounts, ticks } = &mut self.standing {
            *ticks += 1;
            if *ticks == PATIENCE_TICKS {
                tracing::warn!("this node's log is new: it waits until all other members know");
            }
            let has_heard_all = accounts.len() + 1 == self.config.identity.members.len();
            if has_heard_all && *ticks % WARNING_TICKS == PATIENCE_TICKS {
                tracing::error!(
                    "so many members have lost their logs that nobody may know all that was acknowledged: none of them joins"
                );
            }
        }
        self.settle_standing();
        if !self.may_vote() {
            self.raw.raft.election_elapsed = 0;
            // Who has restarted since all knew may hear a late word of the lost log first, and take that for the present one.
            self.log_book.must_ask = true;
        }
    }

    /// Asks, and answers who asked.
    pub(super) fn say_standing(&mut self, out: &mut impl Outbound) {
        let must_ask = std::mem::take(&mut self.log_book.must_ask);
        if !must_ask && self.log_book.asked.is_empty() {
            return;
        }
        if must_ask && !self.may_vote() {
            for id in others_of(&self.config.identity) {
                out.send(id, &Frame::Rejoin { log_id: self.log_id });
            }
        }
        let raft = &self.raw.raft;
        let (term, last_index) = (raft.term, raft.raft_log.last_index());
        let account = Account { term, last_index, memory: self.memory() };
        for (to, log_id) in self.log_book.asked.drain(..) {
            out.send(to, &Frame::Account { log_id, account });
        }
        out.flush();
    }

    /// False for what an older log says.
    fn take_note(&mut self, from: NodeId, log_id: u64, announced: bool) -> bool {
        // Signs of life that keepalive threads pass on bear none: they bring nothing that could count.
        if log_id == 0 || !others_of(&self.config.identity).any(|id| id == from) {
            return true;
        }
        let (counts, is_new) = self.log_book.note(from, log_id, announced);
        if is_new {
            tracing::warn!(node = from, "a member has a new log: what it said with the old one is void");
            self.forget_words_of(from);
        }
        counts
    }

    fn forget_words_of(&mut self, member: NodeId) {
        self.lease.forget(member);
        let raft = &mut self.raw.raft;
        match raft.state {
            StateRole::Leader => {
                if let Some(progress) = raft.mut_prs().get_mut(member) {
                    progress.matched = 0;
                    progress.become_probe();
                }
            }
            StateRole::Candidate | StateRole::PreCandidate => raft.become_follower(raft.term, INVALID_ID),
            StateRole::Follower => {}
        }
    }

    /// Moves on to what this node may do by now.
    fn settle_standing(&mut self) {
        match &self.standing {
            Standing::Full => {}
            Standing::Silent { accounts, ticks } => {
                let identity = &self.config.identity;
                let is_new_group = self.memory() == Memory::New && accounts.values().all(is_of_new_group);
                let are_enough = accounts.len() + 1 >= identity.quorum();
                let all_told = accounts.len() + 1 == identity.members.len();
                let is_whole = |account: &&Account| account.memory == Memory::Whole;
                let whole = accounts.values().filter(is_whole).count();
                let knows_all = identity.members.len() - whole < identity.quorum();
                if is_new_group && (all_told || are_enough && *ticks >= PATIENCE_TICKS) {
                    self.standing = Standing::Full;
                } else if all_told && knows_all {
                    self.begin_learning();
                }
            }
            Standing::Learning { until } => {
                if self.raw.raft.raft_log.committed >= *until {
                    tracing::info!(
                        "this node knows again what it may have acknowledged with the log that it lost"
                    );
                    self.standing = Standing::Full;
                    self.raw.mut_store().trust_from(0);
                }
            }
        }
    }

    fn memory(&self) -> Memory {
        match self.standing {
            Standing::Full => Memory::Whole,
            Standing::Silent { .. } if self.raw.store().trusted_from() != NOT_YET_KNOWN => Memory::New,
            Standing::Silent { .. } | Standing::Learning { .. } => Memory::Lost,
        }
    }

    /// All others have taken note.
    fn begin_learning(&mut self) {
        let Standing::Silent { accounts, .. } = &self.standing else { return };
        let term = accounts.values().map(|account| account.term).fold(0, u64::max);
        let until = accounts.values().map(|account| account.last_index).fold(0, u64::max);
        tracing::info!(
            term,
            until,
            "this node's log is new, and all other members know: it joins, and learns"
        );
        let raft = &mut self.raw.raft;
        raft.become_follower(term.max(raft.term), INVALID_ID);
        raft.vote = raft.id;
        self.raw.mut_store().trust_from(until);
        self.standing = Standing::Learning { until };
    }
}

/// Whether who tells this may be new to the group.
fn is_of_new_group(account: &Account) -> bool {
    (account.term, account.last_index) == (0, 0) && account.memory != Memory::Lost
}

#[cfg(test)]
mod tests;
