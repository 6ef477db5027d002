//! What must hold at every moment, looked at from above, whatever clients see.
//!
//! - Election safety: at most one node leads in a term (Ongaro and Ousterhout, "In Search of an Understandable Consensus
//!   Algorithm", 2014, figure 3).
//! - What one node has applied at an index, every other applies there, with the same term and the same bytes; a restart
//!   changes nothing about it.
//! - Nodes that have applied the same entries hold the same data: their digests are equal. Taken at some indexes while
//!   the run goes on, and at its end.

use std::collections::BTreeMap;

use perdura::keyspace::digest::{self, Digest};
use perdura::raft::status::Role;

use crate::coverage::Seen;
use crate::process::Process;
use crate::stage::Stage;

/// Digests are taken at one index of so many.
const DIGEST_EVERY: u64 = 24;
/// Entries are read back when so many have gathered.
const READ_AT_ONCE: u64 = 64;
const MAX_READ_BYTES: u64 = 16 << 20;

/// What a node was when it was last looked at.
#[derive(Clone, Copy, Default)]
struct View {
    terms_checked: u64,
    /// Where its digest was last thought of.
    digested: u64,
    /// Entries whose bytes were compared.
    read: u64,
    role: Role,
    had_lease: bool,
    expired: u64,
    waiting: usize,
}

#[derive(Default)]
pub struct Invariants {
    leaders: BTreeMap<u64, usize>,
    /// By index: term, or hash of the bytes, and the node where it was first seen.
    terms: BTreeMap<u64, (u64, usize)>,
    hashes: BTreeMap<u64, (u64, usize)>,
    digests: BTreeMap<u64, (usize, Digest)>,
    views: Vec<View>,
}

impl Invariants {
    pub fn new(nodes: usize) -> Invariants {
        Invariants { views: vec![View::default(); nodes], ..Invariants::default() }
    }

    /// A new process begins with nothing.
    pub fn node_started(&mut self, node: usize) {
        self.views[node] = View::default();
    }

    /// Whether the node led when it was last looked at.
    pub fn led(&self, node: usize) -> bool {
        self.views[node].role == Role::Leader
    }

    pub fn look_at(&mut self, node: usize, process: &mut Process, stage: &mut Stage) {
        self.look_at_leadership(node, process, stage);
        self.look_at_entries(node, process, stage);
        let applied = process.shard.machine().applied;
        stage.story.note(applied);
        let has_moved = std::mem::replace(&mut self.views[node].digested, applied) != applied;
        if has_moved && is_sampled(applied, stage.scenario.seed) {
            self.compare_digest(node, process, stage);
        }
    }

    fn look_at_leadership(&mut self, node: usize, process: &Process, stage: &mut Stage) {
        let view = &mut self.views[node];
        let leadership = process.shard.node().leadership();
        let role_before = std::mem::replace(&mut view.role, leadership.role);
        if leadership.role != role_before {
            stage.story.note(leadership.term);
            stage.tell(|| format!("node {} is {:?} in term {}", node + 1, leadership.role, leadership.term));
        }
        if role_before == Role::Leader && leadership.role != Role::Leader {
            stage.counts.add(Seen::LeadersLost);
        }
        if leadership.role == Role::Leader {
            let first = *self.leaders.entry(leadership.term).or_insert(node);
            if first != node {
                let (a, b, term) = (first + 1, node + 1, leadership.term);
                stage.find(format!("election safety: nodes {a} and {b} both lead in term {term}"));
            }
            if role_before != Role::Leader {
                stage.counts.add(Seen::Elections);
            }
        }
        let now_ms = process.shared.clock.monotonic_ms();
        let serves = process.shard.node().is_serving();
        let has_lease = process.handle().is_readable_at(now_ms);
        if std::mem::replace(&mut view.had_lease, has_lease) && !has_lease && serves {
            stage.counts.add(Seen::LeasesExpired);
        }
        let waiting = process.shard.machine().waiters.len();
        if std::mem::replace(&mut view.waiting, waiting) < waiting {
            stage.counts.add(Seen::Blocked);
        }
        let expired = process.handle().expired_keys.load(std::sync::atomic::Ordering::Relaxed);
        if std::mem::replace(&mut view.expired, expired) < expired {
            stage.counts.add(Seen::Expired);
        }
    }

    fn look_at_entries(&mut self, node: usize, process: &mut Process, stage: &mut Stage) {
        let to = process.shard.machine().applied;
        let log = process.shard.node_mut().storage_mut().wal_mut();
        for index in self.views[node].terms_checked + 1..=to {
            if let Ok(term) = log.term(index) {
                self.compare_term(index, term, node, stage);
            }
        }
        self.views[node].terms_checked = to;
        if to >= self.views[node].read + READ_AT_ONCE {
            self.look_at_bytes(node, process, stage);
        }
    }

    /// Compares the bytes of the entries that the node has applied since they were last compared.
    pub fn look_at_bytes(&mut self, node: usize, process: &mut Process, stage: &mut Stage) {
        let to = process.shard.machine().applied;
        let log = process.shard.node_mut().storage_mut().wal_mut();
        // What was cut can't be compared any more.
        let mut next = log.first_index().max(self.views[node].read + 1);
        self.views[node].read = to;
        while next <= to {
            // A flipped bit the node will meet as well.
            let Ok(records) = log.read(next..to + 1, MAX_READ_BYTES) else { return };
            for record in records {
                next = record.index + 1;
                self.compare_bytes(record.index, hash_of(&record.payload), node, stage);
            }
        }
    }

    fn compare_term(&mut self, index: u64, term: u64, node: usize, stage: &mut Stage) {
        let (first, by) = *self.terms.entry(index).or_insert((term, node));
        if first != term {
            let (a, b) = (by + 1, node + 1);
            stage.find(format!(
                "committed entries change: at index {index} node {a} applied an entry of term {first}, node {b} of {term}"
            ));
        }
    }

    fn compare_bytes(&mut self, index: u64, hash: u64, node: usize, stage: &mut Stage) {
        let (first, by) = *self.hashes.entry(index).or_insert((hash, node));
        if first != hash {
            let (a, b) = (by + 1, node + 1);
            stage.find(format!(
                "committed entries differ: nodes {a} and {b} hold other bytes at index {index}"
            ));
        }
    }

    /// Compares the node's data with that of whoever was first at the same index.
    pub fn compare_digest(&mut self, node: usize, process: &Process, stage: &mut Stage) {
        let index = process.shard.machine().applied;
        let own = digest::of_keyspace(&process.shared.shard.keyspace);
        stage.story.note(own as u64);
        match self.digests.get(&index) {
            None => {
                self.digests.insert(index, (node, own));
            }
            Some((other, digest)) if *digest == own => {
                if *other != node {
                    stage.counts.add(Seen::DigestsCompared);
                }
            }
            Some((other, _)) => {
                let (a, b) = (other + 1, node + 1);
                stage.find(format!(
                    "digests differ: nodes {a} and {b} hold different data after entry {index}"
                ));
            }
        }
    }
}

fn is_sampled(index: u64, seed: u64) -> bool {
    index > 0 && (index ^ seed).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32 & 0xffff < 0x1_0000 / DIGEST_EVERY
}

/// FNV-1a (Fowler, Noll, Vo), 64 bits.
fn hash_of(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3))
}
