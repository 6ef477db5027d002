//! What a leader proposes of its own accord: the seed of hash tables, the cluster's id, the group's first parameters, a user `default` that an
//! operator resets, that dead keys be freed, and keys evicted.
//!
//! None of it is proposed while writes are paused, nor while there is no space for entries.

use std::sync::atomic::Ordering;

use perdura_wal::Disk;

use super::super::deaths::FREE_EXPIRED;
use super::super::expiry::{Dead, Found};
use super::super::long_items::LongStep;
use super::super::plan::{Act, Addressee, Plan};
use super::Shard;
use crate::access::AccessRule;
use crate::acl::{DEFAULT, StoredUser};
use crate::command::system::{FIRST_PARAMETERS, PARAMETERS, SET, USER};
use crate::command::{CLUSTER_ID, HASH_SEED};
use crate::config::eviction::Eviction;
use crate::env::Now;
use crate::keyspace::DATABASES;
use crate::keyspace::system::get_system;
use crate::keyspace::view::LockSet;
use crate::pause::Paused;
use crate::propose::batch::{Batch, Work};
use crate::propose::entry;
use crate::protocol::reply::Resp;

/// How often dead keys are looked for.
const EXPIRY_PERIOD_MS: u64 = 25;

/// The command that removes the keys that follow it.
const EVICT: &[u8] = b"_evict";

/// Users that this node brings into the log where it leads.
#[derive(Debug, Default)]
pub struct OwnUsers {
    /// Those of a group that begins.
    first: Vec<StoredUser>,
    /// The rules that `default` is to have, until it has them.
    default: Option<Vec<u8>>,
}

impl<D: Disk> Shard<D> {
    /// Limits the memory of the data; 0 is no limit but the guard. What is evicted to keep the limit, `eviction` says, and how this node
    /// notes which keys are used.
    pub fn limit_memory(&mut self, maxmemory: u64, eviction: Eviction) {
        self.budget.limit(maxmemory, eviction.policy.evicts());
        self.evictor.follow(eviction);
        self.machine.applier.effects.access = eviction.access();
    }

    /// How this node notes which keys are used.
    pub fn access_rule(&self) -> AccessRule {
        self.machine.applier.effects.access
    }

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
        let group = self.handle.keyspace.group();
        if !self.brings_parameters || group.has_begun() || !self.may_free(now) {
            return;
        }
        // Data of an older program stays as it is until something is written.
        if self.machine.applier.hash_seed().is_none() || self.backlog.has_writes() {
            let first = group.first();
            let texts = first.iter().flat_map(|(name, text)| [name.as_bytes(), text.as_bytes()]);
            let args: Vec<&[u8]> = [PARAMETERS, FIRST_PARAMETERS].into_iter().chain(texts).collect();
            let mut encoded = Vec::new();
            entry::write_single(&mut encoded, 0, &args);
            plan.begin_with(&encoded);
            for (name, rules) in &self.own_users.first {
                let mut encoded = Vec::new();
                entry::write_single(&mut encoded, 0, &[SET, &[USER, name].concat(), b"", rules]);
                plan.begin_with(&encoded);
            }
        }
    }

    /// If this node leads first, its group has these users from its first entry on.
    pub fn bring_users(&mut self, users: Vec<StoredUser>) {
        self.own_users.first = users;
    }

    /// Once this node leads, the user `default` has these rules, whatever it had.
    pub fn reset_default_user(&mut self, rules: Vec<u8>) {
        self.own_users.default = Some(rules);
    }

    /// Gives the user `default` the rules that an operator wants it to have, until it has them.
    pub(super) fn plan_default_user(&mut self, plan: &mut Plan, now: Now) {
        if !self.may_free(now) {
            return;
        }
        let Some(rules) = self.own_users.default.take() else { return };
        let name = [USER, DEFAULT].concat();
        let view = self.machine.applier.keyspace().read(LockSet::ALL);
        let held = get_system(&view, &name).map(<[u8]>::to_vec);
        drop(view);
        if held.as_ref() == Some(&rules) {
            tracing::warn!(
                "the user default may do everything again, with the password of --requirepass: start this node without --reset-default-user \
                 from now on"
            );
            return;
        }
        let mut encoded = Vec::new();
        entry::write_single(&mut encoded, 0, &[SET, &name, &held.unwrap_or_default(), &rules]);
        plan.begin_with(&encoded);
        self.own_users.default = Some(rules);
    }

    /// Whether an entry is due of which this node has all that is in it.
    pub(super) fn has_own_entry(&self, now: Now) -> bool {
        self.names_cluster_at_once(now) || self.own_users.default.is_some() && self.may_free(now)
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

    /// Tells what was applied in numbers, and clients that what they have cached is stale.
    pub(super) fn tell_counts(&mut self) {
        let effects = &self.machine.applier.effects;
        self.handle.expired_keys.store(effects.expired, Ordering::Relaxed);
        self.handle.evicted_keys.store(effects.evicted, Ordering::Relaxed);
        self.handle.changes.store(effects.changes, Ordering::Release);
        self.machine.tell_stale();
    }

    /// Whether the data is to be compared with its limit, whatever else there is to do.
    pub(super) fn looks_at_limit(&mut self, now: Now) -> bool {
        self.budget.evicts() && self.evictor.is_due(now.monotonic_ms)
    }

    /// Whether there is more to evict than the last turn could choose.
    pub(super) fn continues_evicting(&self) -> bool {
        self.evictor.is_unfinished() && self.node.is_serving()
    }

    /// Measures what the next plan may use, if that is due.
    pub(super) fn begin_budget(&mut self, plan: &Plan, now: Now) {
        self.note_waiting(plan.capacity());
        let measured_at = (now.monotonic_ms, self.machine.applied);
        self.budget.begin_plan(&self.handle.memory, measured_at, self.may_free(now));
    }

    /// Takes what workers have gathered.
    pub(super) fn gather(&mut self) {
        for (worker, port) in self.handle.ports.iter().enumerate() {
            let mut batch = port.batch.lock();
            if !batch.is_empty() {
                let next = Batch::with_room_of(&batch);
                self.backlog.add(worker, std::mem::replace(&mut *batch, next));
            }
        }
    }

    /// Counts what commands take that wait for the log, in workers' batches, here, or in a plan with `plan_bytes`.
    pub(super) fn note_waiting(&self, plan_bytes: usize) {
        let batches = self.handle.ports.iter().map(|port| port.batch.lock().capacity());
        let bytes =
            batches.sum::<usize>() + self.backlog.capacity() + self.long_items.capacity() + plan_bytes;
        self.handle.memory.buffers().waiting.store(bytes as u64, Ordering::Relaxed);
    }

    /// Lets a plan begin with the eviction of keys where the data has passed its limit, or a command waits for room.
    pub(super) fn plan_evictions(&mut self, plan: &mut Plan, now: Now) {
        let excess = self.budget.take_excess();
        if excess == 0 {
            self.evictor.rest();
            return;
        }
        let keyspace = self.machine.applier.keyspace();
        let victims = self.evictor.choose(keyspace, excess, plan.stamp.now_ms, self.machine.clock());
        if victims.keys.is_empty() {
            self.budget.note_dry(&self.handle.memory, (now.monotonic_ms, self.machine.applied));
            return;
        }
        for db in 0..DATABASES {
            let keys = victims.keys.iter().filter(|(of, _)| *of == db).map(|(_, key)| key.as_slice());
            let args: Vec<&[u8]> = std::iter::once(EVICT).chain(keys).collect();
            let mut encoded = Vec::new();
            entry::write_single(&mut encoded, db, &args);
            if args.len() > 1 && plan.takes(encoded.len()) {
                plan.log(&encoded);
                plan.push(Addressee::NOBODY, Act::Internal);
                plan.take_steps(args.len() as u64);
            }
        }
        self.budget.note_evicted(victims.bytes);
        // A long item begins its plan: it is its turn as soon as there is room.
        if matches!(self.long_step(), Some(LongStep::Run)) {
            plan.close();
        }
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
