//! What a leader proposes of its own accord: the seed of hash tables, the cluster's id, the group's first parameters, and that dead keys be freed.
//!
//! None of it is proposed while writes are paused, nor while there is no space for entries.

use perdura_wal::Disk;

use super::super::deaths::FREE_EXPIRED;
use super::super::expiry::{Dead, Found};
use super::super::plan::{Addressee, Plan};
use super::Shard;
use crate::acl::StoredUser;
use crate::command::system::{FIRST_PARAMETERS, PARAMETERS, SET, USER};
use crate::command::{CLUSTER_ID, HASH_SEED};
use crate::env::Now;
use crate::pause::Paused;
use crate::propose::batch::{Batch, Work};
use crate::propose::entry;
use crate::protocol::reply::Resp;

/// How often dead keys are looked for.
const EXPIRY_PERIOD_MS: u64 = 25;

impl<D: Disk> Shard<D> {
    /// Where no entry has brought a seed of hash tables yet, this node's first does, before anything else.
    pub(super) fn plan_hash_seed(&mut self, plan: &mut Plan, now: Now) {
        if self.machine.applier.hash_seed().is_none() && self.may_free(now) {
            let mut encoded = Vec::new();
            entry::write_single(&mut encoded, 0, &[HASH_SEED, &self.hash_seed.to_bytes()]);
            plan.begin_with(&encoded);
        }
    }

    /// Where the log belongs to no cluster yet, this node's first entry brings the id.
    pub(super) fn plan_cluster_id(&mut self, plan: &mut Plan, now: Now) {
        if self.machine.applier.cluster_id() == 0 && self.may_free(now) {
            let mut encoded = Vec::new();
            entry::write_single(&mut encoded, 0, &[CLUSTER_ID, &self.cluster_id.0.to_le_bytes()]);
            plan.begin_with(&encoded);
        }
    }

    /// Where the group has no parameters yet, this node's first entry brings those that it was started with.
    pub(super) fn plan_first_parameters(&mut self, plan: &mut Plan, now: Now) {
        let is_new = self.machine.applier.hash_seed().is_none();
        let is_write = |work: &Work| {
            matches!(work, Work::Write { .. } | Work::Blocking { .. } | Work::Transaction { .. })
        };
        // Data of an older program stays as it is until something is written.
        let is_due = is_new || self.backlog.peek().is_some_and(|next| is_write(&next.item.work));
        let group = self.handle.keyspace.group();
        if self.brings_parameters && is_due && !group.has_begun() && self.may_free(now) {
            let first = group.first();
            let texts = first.iter().flat_map(|(name, text)| [name.as_bytes(), text.as_bytes()]);
            let args: Vec<&[u8]> = [PARAMETERS, FIRST_PARAMETERS].into_iter().chain(texts).collect();
            let mut encoded = Vec::new();
            entry::write_single(&mut encoded, 0, &args);
            plan.begin_with(&encoded);
            for (name, rules) in &self.first_users {
                let mut encoded = Vec::new();
                entry::write_single(&mut encoded, 0, &[SET, &[USER, name].concat(), b"", rules]);
                plan.begin_with(&encoded);
            }
        }
    }

    /// If this node leads first, its group has these users from its first entry on.
    pub fn bring_users(&mut self, users: Vec<StoredUser>) {
        self.first_users = users;
    }

    /// Whether that entry is due before anything is written, and has nothing else in it: a majority that has the entry after it knows that
    /// it is committed, and so which leaders are strangers. A node alone meets none.
    pub(super) fn names_cluster_at_once(&self, now: Now) -> bool {
        let is_group = self.node.storage().identity().members.len() > 1;
        is_group && self.machine.applier.cluster_id() == 0 && self.may_free(now)
    }

    /// Whether this node may propose of its own accord that the dead be freed: not while writes are paused, nor without space.
    pub(super) fn may_free(&self, now: Now) -> bool {
        self.space_retry_ms.is_none() && self.handle.pause.at(now.monotonic_ms) == Paused::Nothing
    }

    /// Proposes that dead keys be freed, some at a time.
    pub(super) fn free_expired(&mut self, now: Now) {
        if now.monotonic_ms < self.next_expiry_ms {
            return;
        }
        // What was found before would be found again.
        if !self.may_free(now) || self.backlog.has_internal() {
            self.next_expiry_ms = now.monotonic_ms + EXPIRY_PERIOD_MS;
            return;
        }
        let Found { dead, more, .. } =
            self.expiry.step(&mut self.machine.applier, self.handle.reading_ms(now));
        self.next_expiry_ms = now.monotonic_ms + if more { 1 } else { EXPIRY_PERIOD_MS };
        if dead.is_empty() {
            return;
        }
        let mut batch = Batch::default();
        for Dead { db, keys } in dead {
            let args: Vec<&[u8]> =
                std::iter::once(FREE_EXPIRED).chain(keys.iter().map(Vec::as_slice)).collect();
            let bytes = batch.encode_single(db, &args);
            batch.push(Addressee::NOBODY.connection, Resp::V2, Work::Internal { bytes });
        }
        self.backlog.add(0, batch);
    }
}
