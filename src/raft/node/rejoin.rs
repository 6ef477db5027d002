//! A member whose log is new: when it may take part, and what it may do before it knows again what it lost.
//!
//! A new log may be the first that the member ever had, or the one before it was lost. It can't tell, and what it said with a
//! lost one counts elsewhere: votes, acknowledgements, promises. So each log has a random id, which every frame bears, and:
//!
//! - A member with a new log is silent and deaf until all others have taken note of it (`logs.rs`). Each then drops everything that
//!   an older log of that member's said or will be heard to say: a candidate gives up its candidacy, a leader forgets what
//!   the member had acknowledged and returned. From then on old words count nowhere, but in what has already come
//!   of them: a leader that was elected, an entry that was committed.
//! - Each of the others then tells its term and where its durable log ends. The member takes the highest term as one in which it has
//!   voted, so it never votes twice in one. It remembers the furthest end (by term, then by index, as votes compare logs). Both
//!   are durable before the member says anything else.
//! - Until its own durable log ends there or later, or it knows everything up to there to be committed, it *learns*: it follows, appends
//!   and acknowledges; it does not campaign; and it votes only for a candidate whose log ends there or later.
//! - It asks twice, and only what it is told the second time counts: it asks again once all have answered, so once all have taken note.
//! - It takes all others, not a majority: one that is not asked could be a candidate that still holds an old vote.
//! - Each tells, too, whether it knows all that it ever said. Whatever was committed is known to a majority, so to one who has
//!   lost nothing, as long as those who have are no majority. If they are, the member goes on waiting: what one of them had
//!   acknowledged the others need not know.
//! - Each tells which cluster its log belongs to (`cluster.rs`). A log without one takes over what a majority of the members says, and
//!   then what others say counts no more; or what all say that have lost nothing. While they contradict each other, and none has a majority,
//!   it joins none; nor while one of them has lost nothing and belongs to none yet, for that one will hear of the cluster, or of another.
//! - In a group that is new itself nobody has anything to tell. If those who answer are a majority with it and all have
//!   nothing to tell, it waits for the rest no longer than [`PATIENCE_TICKS`]. A member that knows to have lost a log never
//!   takes its group for new, and nobody does who hears of it.
//! - A member that takes part before its group is a cluster remembers the logs of those who answered, as its companions (`logs.rs`): only by
//!   one of them does it hear of its cluster. So it waits for the proofs of these logs, too.
//!
//! # Why its vote is safe
//! Let X be the member, and E the furthest end that it was told. Raft is safe because each majority that votes holds, in one of its
//! members, each committed entry, and that member refuses candidates whose log is not at least as up to date as its own. If X
//! voted by its new log alone, it would be the one member of that majority that has lost the entry. So X votes as if its log
//! ended at E or at its own end, whichever is later. That is enough:
//!
//! - Let e be an entry that was committed by a leader L with an acknowledgement of X's lost log. L is not X. A leader writes an entry to
//!   its own disk before it counts an acknowledgement of it (a turn steps no message between sending and syncing, see
//!   [`Node::process`]), so L's durable log held e when L counted. L counted before it took note of X's new log, for then it forgot what
//!   X had acknowledged, and it took note before it told X its end. So L's log held e when it told its end, and E is at least that end.
//! - A log that holds a committed entry never loses it by raft's rules. If L has lost its log since, then L is one of those who do not
//!   know all that they said; X joins only while those, with X, are no majority, so another member M of the majority that
//!   acknowledged e holds it, and X was told that member's end: E is at least that. M held e when it told its end, for it told
//!   it after all had taken note: L had by then counted what X acknowledged with its lost log for the last time, and M's
//!   acknowledgement before. With one round M could have told its end before it held e, and L counted both afterwards.
//! - A candidate C whose log ends at E or later holds e. This is raft's own argument (Ongaro and Ousterhout 2014, section 5.4.3) with
//!   the log that ended at E in the place of the voter's: that log held e, and C's is at least as up to date. If both last terms are the same,
//!   one leader wrote both ends, and C's log contains the other. If C's is later, the leader of that term held e, by induction.
//! - What X acknowledges with its new log is in that log, and raft compares it as ever.
//! - X votes in no term in which its lost log may have voted: those it was told, or that a member reached with its help, are not later than
//!   the term that it took. And no lease counts a promise of the lost log: its leader forgot that promise when it took note.
//!
//! The same end says when X knows everything:
//!
//! - Once its own durable log ends at E or later. What is said of C above holds for X as well: its log holds every such e, and from then on
//!   X votes by its log as raft means it. Nothing need be committed for that. A learner that waited for a commit could wait for ever,
//!   in a group whose other members' logs are shorter than its own: it refuses their candidacies, and has none.
//! - Once it knows an entry to be committed at that index or beyond, or of a later term. In the second case the leader of that term
//!   held every such e, and X's log agrees with that leader's.
//!
//! So a group of two that lost one disk goes on: the other has all that was committed, and gets the vote that it lacks.
//!
//! What others noted need not be durable: it voids what is in memory only. An old word reaches no later process, but for one of
//! an old term.
//!
//! # Why no member joins a stranger's cluster
//! - A companion is a log that belonged to no cluster when the node heard it, proved at the address of its member. It comes to belong to a
//!   cluster in one of three ways: it applies the entry that a leader of its group has logged (`cluster.rs`); a companion of its own belongs to
//!   that cluster; or its member joins with it by the rules above. By induction a companion's cluster is the group's.
//! - A member that begins a new group has companions enough to be a majority with them. So one of them is among the founders.
//! - The price: a member that has not heard of its cluster follows no founder that it did not hear before the group was founded, until one of
//!   its companions is back. In a group of three that takes two that never heard each other, and the third to fail right after the
//!   founding; if that one loses its log, the group stands still for good. And a member with a new log waits until members that have lost
//!   nothing have heard of their cluster.
//! - Two groups with the same members and name, born at the same time, one of which reaches a node of the other at a member's address, are
//!   one group to that node. And a wiped member of a group of two takes the cluster of the only one that it can ask.
//!
//! Caveat: if a majority is new to a group that is not, and the others can't be heard, that majority begins the group anew. So
//! replace lost disks one at a time.

use std::collections::BTreeMap;

use perdura_wal::Disk;
use raft::eraftpb::Message;
use raft::{INVALID_ID, StateRole};

use super::{Node, others_of};
use crate::planted::{Bug, planted};
use crate::raft::cluster::{Cluster, ClusterId};
use crate::raft::frame::{Account, Frame, Memory};
use crate::raft::identity::{Identity, NodeId};
use crate::raft::memo::{LogEnd, Trust};
use crate::raft::outbox::Outbound;

/// For how long those who may be there are waited for, where a whole group seems to be new.
const PATIENCE_TICKS: u64 = 20;
/// In this round members take note of the new log.
const FIRST_ROUND: u8 = 0;
/// In this round, when all have, they tell what counts.
const SECOND_ROUND: u8 = 1;
/// How often a member that can't join says so.
const WARNING_TICKS: u64 = 1200;

/// What a member may do.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// It takes part in everything.
    Full,
    /// Its log is new: what the others told it so far in this round, for how many ticks it has asked, and the round.
    Silent { accounts: BTreeMap<NodeId, Account>, ticks: u64, round: u8 },
    /// It votes only for candidates whose log ends here or later, until it knows all that lies before to be committed.
    Learning { until: LogEnd },
}

impl Standing {
    pub(super) fn silent() -> Standing {
        Standing::Silent { accounts: BTreeMap::new(), ticks: 0, round: FIRST_ROUND }
    }

    /// Where a node begins with a log of this trust.
    pub(super) fn of(trust: Trust, is_alone: bool, is_brand_new: bool) -> Standing {
        match trust {
            _ if is_alone => Standing::Full,
            _ if is_brand_new => Standing::silent(),
            Trust::NotYetKnown => Standing::silent(),
            Trust::Until(until) => Standing::Learning { until },
            Trust::Whole => Standing::Full,
        }
    }
}

impl<D: Disk> Node<D> {
    /// Whether this node takes part in everything; not while it has to learn what it may have lost.
    pub fn is_trusted(&self) -> bool {
        self.standing == Standing::Full
    }

    /// Whether this node takes part at all.
    pub(super) fn is_silent(&self) -> bool {
        matches!(self.standing, Standing::Silent { .. })
    }

    /// Whether this node may vote for the candidate that sends this request.
    pub(super) fn may_vote_for(&self, request: &Message) -> bool {
        match self.standing {
            Standing::Full => true,
            Standing::Silent { .. } => false,
            // A term of zero was told by an older build, which did not say the end's term.
            Standing::Learning { until } => {
                until.term > 0 && LogEnd { term: request.log_term, index: request.index } >= until
            }
        }
    }

    /// Whether it takes part, and does not yet know all that it may have acknowledged.
    pub(super) fn is_learning(&self) -> bool {
        matches!(self.standing, Standing::Learning { .. })
    }

    /// A member whose log is new asks what the others know. It is answered once it has proved that log.
    pub fn step_rejoin(&mut self, from: NodeId, session: u64, round: u8) {
        if self.hears_log(from, session) && self.asked.len() < self.config.identity.members.len() {
            self.asked.push((from, session, round));
            if round == SECOND_ROUND {
                // All have taken note: from here on the log before is void for good.
                self.remember_log_of(from);
            }
        }
    }

    /// A member has taken note of this node's log, before it was asked in this round.
    pub fn step_account(&mut self, from: NodeId, session: u64, asked_in: u8, account: Account) {
        let is_member = others_of(&self.config.identity).any(|id| id == from);
        if session == self.session && is_member && self.may_be_of(&account.cluster) {
            if let Standing::Silent { accounts, round, .. } = &mut self.standing
                && *round == asked_in
            {
                accounts.insert(from, account);
            }
            self.settle_standing();
        }
    }

    /// The members that this node waits for as its log is new; none where it does not wait.
    pub(super) fn awaited_members(&self) -> Vec<NodeId> {
        match &self.standing {
            Standing::Silent { accounts, .. } => unheard(&self.config.identity, accounts),
            _ => Vec::new(),
        }
    }

    /// To be called with every tick, before raft's own, which only comes for those who may campaign.
    pub(super) fn tick_standing(&mut self) {
        if let Standing::Silent { accounts, ticks, .. } = &mut self.standing {
            *ticks += 1;
            if *ticks % WARNING_TICKS == PATIENCE_TICKS {
                warn_of_unheard(&unheard(&self.config.identity, accounts));
                if let Some(obstacle) = obstacle(accounts, self.config.identity.members.len()) {
                    tracing::error!("this node's log is new, and it does not join: {obstacle}");
                }
            }
        }
        self.settle_standing();
        match self.standing {
            Standing::Full => {}
            Standing::Silent { .. } => {
                self.raw.raft.election_elapsed = 0;
                self.must_ask = true;
            }
            Standing::Learning { .. } => self.tick_learner(),
        }
    }

    /// Time passes for a member that does not campaign. As others would, it takes its leader for gone after an election timeout: raft
    /// refuses votes until then.
    fn tick_learner(&mut self) {
        let raft = &mut self.raw.raft;
        raft.election_elapsed += 1;
        if raft.election_elapsed >= self.config.timing.election_ticks && raft.leader_id != INVALID_ID {
            raft.become_follower(raft.term, INVALID_ID);
        }
    }

    /// Asks, and answers who asked.
    pub(super) fn say_standing(&mut self, out: &mut impl Outbound) {
        let asks = std::mem::take(&mut self.must_ask) && self.is_silent();
        if !asks && self.asked.is_empty() {
            return;
        }
        if asks && let Standing::Silent { round, .. } = self.standing {
            for id in others_of(&self.config.identity) {
                out.send(id, &Frame::Rejoin { session: self.session, round });
            }
        }
        let (term, end) = (self.raw.raft.term, self.raw.store().durable_end());
        let account = Account { term, end, memory: self.memory(), cluster: self.cluster() };
        for (to, session, round) in self.asked.drain(..) {
            out.send(to, &Frame::Account { session, round, account });
        }
        out.flush();
    }

    /// Drops what an older log of a member's has said.
    pub(super) fn forget_words_of(&mut self, member: NodeId) {
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

    /// Whether a member that says this may be one of this node's group.
    fn may_be_of(&self, cluster: &Cluster) -> bool {
        planted!(Bug::IdByAddress, true, self.cluster().may_be(cluster))
    }

    /// Takes over the cluster that a majority of the members belongs to, if this node's log belongs to none yet. What others say then
    /// counts no more.
    fn follow_majority(&mut self) {
        let Standing::Silent { accounts, .. } = &mut self.standing else { return };
        let quorum = self.config.identity.quorum();
        let told = accounts.values().map(|account| account.cluster);
        let has_majority = |cluster: &Cluster| {
            accounts.values().filter(|account| account.cluster.id == cluster.id).count() >= quorum
        };
        let Some(cluster) = told.filter(|cluster| !cluster.id.is_none()).find(has_majority) else { return };
        if self.raw.store().cluster().id.is_none() {
            accounts.retain(|_, account| account.cluster.may_be(&cluster));
            tracing::info!(cluster = %cluster.id, "a majority of the members belongs to this cluster, and so does this node");
            self.raw.mut_store().set_cluster(cluster);
            self.part_from_strangers();
        }
    }

    /// Moves on to what this node may do by now.
    pub(super) fn settle_standing(&mut self) {
        self.follow_majority();
        match &self.standing {
            Standing::Full => {}
            Standing::Silent { .. } => self.settle_silence(),
            Standing::Learning { until } => {
                if self.knows_up_to(*until) {
                    tracing::info!(
                        "this node knows again what it may have acknowledged with the log that it lost"
                    );
                    self.standing = Standing::Full;
                    self.raw.mut_store().set_trust(Trust::Whole);
                    self.shown_until = self.shown_until.max(self.may_have_shown());
                }
            }
        }
    }

    /// Ends the silence if the others have told enough.
    fn settle_silence(&mut self) {
        let Standing::Silent { accounts, ticks, round } = &self.standing else { return };
        let identity = &self.config.identity;
        let is_first_round = *round == FIRST_ROUND;
        let companions = accounts.keys().filter(|id| self.log_book.has_companion(**id)).count();
        let are_all_companions = companions + 1 == identity.members.len();
        let are_enough =
            are_all_companions || companions + 1 >= identity.quorum() && *ticks >= PATIENCE_TICKS;
        // In the second round too few may have answered: the first one has shown that the group is not new.
        let is_new_group =
            is_first_round && self.memory() == Memory::New && accounts.values().all(is_of_new_group);
        let knows_cluster = !self.cluster().id.is_none();
        let do_agree = match clusters_of(accounts).len() {
            0 => knows_cluster || are_all_companions,
            1 => knows_cluster || undecided_among(accounts).is_empty(),
            _ => false,
        };
        let all_told = accounts.len() + 1 == identity.members.len();
        let may_join = all_told && do_agree && !have_majority_lost(accounts, identity.members.len());
        if is_new_group && are_enough {
            self.standing = Standing::Full;
            self.note_companions();
        } else if may_join && is_first_round {
            self.ask_again();
        } else if may_join {
            self.begin_learning();
        }
    }

    /// Where the entries end that a process on the lost log may have applied, and shown: all were committed, and this node's log holds
    /// them. It need not know yet that they are.
    fn may_have_shown(&self) -> u64 {
        self.raw.store().durable_end().index.max(self.raw.raft.raft_log.committed)
    }

    /// A term of zero was told by an older build, which did not say the end's term.
    fn knows_up_to(&self, end: LogEnd) -> bool {
        let log = &self.raw.raft.raft_log;
        let committed_term = log.term(log.committed).unwrap_or_default();
        let log_reaches_end = end.term > 0 && self.raw.store().durable_end() >= end;
        log_reaches_end || log.committed >= end.index || end.term > 0 && committed_term > end.term
    }

    fn memory(&self) -> Memory {
        match self.standing {
            Standing::Full => Memory::Whole,
            Standing::Silent { .. } if self.raw.store().trust() != Trust::NotYetKnown => Memory::New,
            Standing::Silent { .. } | Standing::Learning { .. } => Memory::Lost,
        }
    }

    /// All others have taken note: what they say from now on counts.
    fn ask_again(&mut self) {
        if let Standing::Silent { accounts, round, .. } = &mut self.standing {
            accounts.clear();
            *round = SECOND_ROUND;
            self.must_ask = true;
        }
    }

    /// All others have told their terms and ends after all had taken note.
    fn begin_learning(&mut self) {
        let Standing::Silent { accounts, .. } = &self.standing else { return };
        let term = accounts.values().map(|account| account.term).fold(0, u64::max);
        let until = accounts.values().map(|account| account.end).max().unwrap_or_default();
        let cluster = accounts.values().map(|account| account.cluster).find(|cluster| !cluster.id.is_none());
        let members: Vec<NodeId> = accounts.keys().copied().collect();
        tracing::info!(
            ?members,
            term,
            until_term = until.term,
            until_index = until.index,
            "this node's log is new, and all other members know: it joins, and learns"
        );
        let raft = &mut self.raw.raft;
        raft.become_follower(term.max(raft.term), INVALID_ID);
        raft.vote = raft.id;
        if let Some(cluster) = cluster.filter(|_| self.cluster().id.is_none()) {
            self.raw.mut_store().set_cluster(cluster);
        }
        self.raw.mut_store().set_trust(Trust::Until(until));
        self.standing = Standing::Learning { until };
        self.note_companions();
    }
}

/// The members that have not answered a node with a new log.
fn unheard(identity: &Identity, accounts: &BTreeMap<NodeId, Account>) -> Vec<NodeId> {
    others_of(identity).filter(|id| !accounts.contains_key(id)).collect()
}

fn warn_of_unheard(unheard: &[NodeId]) {
    if !unheard.is_empty() {
        tracing::warn!(
            ?unheard,
            "this node's log is new: it waits until all other members know; start those that are not heard, or look at the network"
        );
    }
}

/// Whether who tells this may be new to the group.
fn is_of_new_group(account: &Account) -> bool {
    (account.term, account.end.index) == (0, 0)
        && account.memory != Memory::Lost
        && account.cluster.id.is_none()
}

/// The clusters that members belong to: one, if all is well.
fn clusters_of(accounts: &BTreeMap<NodeId, Account>) -> BTreeMap<ClusterId, Vec<NodeId>> {
    let mut clusters: BTreeMap<ClusterId, Vec<NodeId>> = BTreeMap::new();
    let is_known = |id: ClusterId| planted!(Bug::IdByAddress, false, !id.is_none());
    for (node, account) in accounts.iter().filter(|(_, account)| is_known(account.cluster.id)) {
        clusters.entry(account.cluster.id).or_default().push(*node);
    }
    clusters
}

/// Whether those that do not know all that they ever said, this node among them, are a majority.
fn have_majority_lost(accounts: &BTreeMap<NodeId, Account>, members: usize) -> bool {
    let whole = accounts.values().filter(|account| account.memory == Memory::Whole).count();
    members - whole > members / 2
}

/// Members that know all that they said and belong to no cluster yet, while others do.
fn undecided_among(accounts: &BTreeMap<NodeId, Account>) -> Vec<NodeId> {
    let is_undecided = |account: &Account| account.memory == Memory::Whole && account.cluster.id.is_none();
    accounts.iter().filter(|(_, account)| is_undecided(account)).map(|(node, _)| *node).collect()
}

/// What keeps a node with a new log from joining, where others than an absent member do.
fn obstacle(accounts: &BTreeMap<NodeId, Account>, members: usize) -> Option<String> {
    let clusters = clusters_of(accounts);
    let named = |(id, nodes): (&ClusterId, &Vec<NodeId>)| format!("nodes {nodes:?} belong to cluster {id}");
    if clusters.len() > 1 {
        let told: Vec<String> = clusters.iter().map(named).collect();
        return Some(format!("{}; stop those that are strangers here", told.join(", ")));
    }
    let new: Vec<NodeId> =
        accounts.iter().filter(|(_, account)| account.memory == Memory::New).map(|(node, _)| *node).collect();
    let undecided = undecided_among(accounts);
    match clusters.iter().next() {
        _ if accounts.len() + 1 < members => None,
        Some((id, nodes)) if !undecided.is_empty() => Some(format!(
            "nodes {nodes:?} belong to cluster {id}, while nodes {undecided:?} have not heard of it; stop those that are strangers here"
        )),
        Some((id, nodes)) if !new.is_empty() => Some(format!(
            "nodes {nodes:?} belong to cluster {id}, while the logs of nodes {new:?} are new, too. If those have lost their disks, that \
             cluster has lost its majority: run `perdura recover` on what is left. If this is to be a new group, stop nodes {nodes:?}, \
             empty their folders and start all again, or give the new group a --cluster-name of its own"
        )),
        _ if !have_majority_lost(accounts, members) => None,
        _ => Some(
            "so many members have lost their logs that none may know all that was acknowledged; none of them joins".to_owned(),
        ),
    }
}

#[cfg(test)]
mod tests;
