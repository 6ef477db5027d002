//! What a machine tells clients that cache what they read (`shard/tracking`).
//!
//! - Messages stand among the replies of a turn, after those that were given before the change; the messages of prefixes stand at its end.
//! - Whose command made a change is known where this node ran its client's plan: on the primary, for its own clients.

use super::Machine;
use crate::keyspace::SYSTEM;
use crate::propose::reply::ReplyBatch;
use crate::protocol::invalidation::PushRoute;
use crate::shard::plan::Addressee;
use crate::shard::tracking::SendPush;
use crate::shard::watches::Watcher;

/// Puts messages among the replies of a turn.
struct PushByTurn<'m> {
    replies: &'m mut [ReplyBatch],
    /// The most bytes that a connection may be owed.
    most: usize,
}

impl SendPush for PushByTurn<'_> {
    fn send_push(&mut self, (worker, connection): Watcher, message: &[u8], route: PushRoute) {
        self.replies[worker].push_invalidation(connection, message, self.most, route);
    }
}

impl Machine {
    /// What runs next is this client's.
    pub(super) fn act_for(&mut self, to: Addressee) {
        self.actor = to;
        self.want_reads(to);
    }

    /// The keys are kept that are read next, if the client wants that.
    pub(in crate::shard) fn want_reads(&self, to: Addressee) {
        self.applier.effects.reads.want(to.tracks);
    }

    /// Remembers what was read for a client.
    pub(in crate::shard) fn remember_reads(&self, to: Addressee) {
        let (reads, tracking) = (&self.applier.effects.reads, &self.handle.tracking);
        for (key, _) in reads.take() {
            tracking.remember(&key, to.listener());
        }
        if reads.take_too_many() {
            tracking.note_missed();
        }
    }

    /// Tells of what the last command changed, and remembers what it has read, in their order.
    pub(super) fn settle_tracking(&mut self) {
        let Machine { applier, replies, handle, actor, .. } = self;
        let (effects, tracking) = (&applier.effects, &handle.tracking);
        let changes_nothing = effects.touched.is_empty() && effects.touched_databases.is_empty();
        if changes_nothing || !tracking.is_on() {
            return self.remember_reads(self.actor);
        }
        let mut out = PushByTurn { replies, most: handle.output_bounds.messages() };
        let mut reads = effects.reads.take().into_iter().peekable();
        let mut changes = tracking.changes();
        for (nth, (db, key)) in effects.touched.iter().enumerate() {
            while let Some((read, _)) = reads.next_if(|(_, earlier)| *earlier <= nth) {
                tracking.remember(&read, actor.listener());
            }
            if *db != SYSTEM {
                changes.key(key, actor.listener(), &mut out);
            }
        }
        for (read, _) in reads {
            tracking.remember(&read, actor.listener());
        }
        if effects.reads.take_too_many() {
            tracking.note_missed();
        }
        if !effects.touched_databases.is_empty() {
            changes.everything(&mut out);
        }
    }

    /// Tells all tracking clients that everything may be stale.
    pub(super) fn tell_all_stale(&mut self) {
        let Machine { replies, handle, .. } = self;
        if handle.tracking.is_on() {
            let mut out = PushByTurn { replies, most: handle.output_bounds.messages() };
            handle.tracking.changes().everything(&mut out);
        }
    }

    /// Tells what waits for the end of a turn: the clients of prefixes, and those whose keys are too many to be remembered.
    pub(in crate::shard) fn tell_stale(&mut self) {
        let Machine { replies, handle, .. } = self;
        if handle.tracking.is_on() {
            let mut out = PushByTurn { replies, most: handle.output_bounds.messages() };
            let mut changes = handle.tracking.changes();
            changes.limit(&mut out);
            changes.broadcast(&mut out);
        }
    }
}
