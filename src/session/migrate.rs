//! MIGRATE, as far as it concerns this node: reading the keys at its beginning, deleting them at its end.

use super::{Line, Session, Verdict};
use crate::admin::migrate::{MigrateRequest, Migration, Reserved};
use crate::command::logged::DELETE_MIGRATED;
use crate::command::{CommandError, ReadContext};
use crate::shard::machine::DID_NOT_HAPPEN;

const SUPERSEDED: &str =
    "TRYAGAIN this node was not the primary all the while; the keys stay here, and the target has them too";

/// What the target made of a migration.
#[derive(Debug, Default)]
pub struct Sent {
    /// For each traveller, as far as the target has answered, whether it has it now.
    pub accepted: Vec<bool>,
    /// What went wrong, code first.
    pub error: Option<String>,
}

impl Session {
    pub(super) fn migrate(&mut self, line: &mut Line) -> Verdict {
        if !self.shared.shard.is_primary() {
            return self.forward_or_refuse(line);
        }
        if line.has_unanswered() {
            return Verdict::Wait;
        }
        if !self.shared.shard.is_readable_at(self.now.monotonic_ms) {
            return Verdict::Full;
        }
        Verdict::Migrate
    }

    /// The room that a migration needs, for its keys as they are now.
    pub fn room_for_migration(&self, request: &MigrateRequest) -> u64 {
        self.with_keys_of(request, |context| request.bytes_on_the_way(context))
    }

    /// Reads the keys, as any read of this moment would; none where they have outgrown the room.
    pub fn begin_migration(
        &mut self,
        request: &MigrateRequest,
        room: Reserved,
    ) -> Result<Option<Migration>, CommandError> {
        let epoch = self.shared.shard.leadership_epoch();
        if !self.shared.shard.is_primary() {
            return Err(CommandError::other(DID_NOT_HAPPEN));
        }
        self.leaned_on_lease = true;
        Ok(self.with_keys_of(request, |context| Migration::pack(request, epoch, context, room)))
    }

    fn with_keys_of<T>(&self, request: &MigrateRequest, read: impl FnOnce(&ReadContext<'_>) -> T) -> T {
        let view = self.shared.shard.keyspace.read(request.lock_set());
        let now_ms = self.shared.shard.reading_ms(self.now);
        read(&ReadContext::new(&view, self.client.db, now_ms, self.seed))
    }

    /// A migration ended before it began.
    pub fn note_refused_migration(&mut self, error: &CommandError) {
        self.note_end(self.index, Some(error.clone()));
    }

    /// Answers, by way of the log where keys are to be deleted. [`Verdict::Full`] if that has to be tried again.
    pub fn end_migration(&mut self, migration: &Migration, sent: &Sent, line: &mut Line) -> Verdict {
        let kept = migration.request.copy || migration.epoch != self.shared.shard.leadership_epoch();
        let error = sent.error.as_deref().unwrap_or_default();
        let mut args = vec![DELETE_MIGRATED, error.as_bytes()];
        if !kept {
            let accepted = migration.travellers.iter().zip(&sent.accepted).filter(|(_, accepted)| **accepted);
            args.extend(accepted.flat_map(|(one, _)| [&*one.key, &one.fingerprint]));
        }
        if args.len() > 2 {
            let verdict = self.enqueue_own(line, &args);
            if verdict == Verdict::Taken {
                self.note_migration(sent);
            }
            return verdict;
        }
        self.note_migration(sent);
        self.answer(line, |reply| match &sent.error {
            Some(error) => reply.error(error),
            None if migration.travellers.is_empty() => reply.simple("NOKEY"),
            None if !migration.request.copy => reply.error(SUPERSEDED),
            None => reply.ok(),
        });
        line.settle();
        Verdict::Taken
    }

    fn note_migration(&mut self, sent: &Sent) {
        self.note_end(self.index, sent.error.clone().map(CommandError::other));
    }
}
