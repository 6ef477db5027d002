//! Commands that do not begin yet: those of paused clients.
//!
//! - What is wrong with a command is answered at once, as in Redis; only what would be carried out is delayed.
//! - A command is delayed where its client is connected, and again where it is executed: what a replica sends on for its
//!   clients is a client's like any other to a primary that is paused.
//! - Never delayed is what a node says before it sends anything on, for it gives up on a primary that does not answer.

use super::{Session, Verdict};
use crate::command::Command;
use crate::command::spec::Flags;
use crate::pause::Paused;

/// What a paused node delays although it delays no reads.
const WRITING: Flags = Flags::WRITE.union(Flags::MAY_REPLICATE);

impl Session {
    /// Whether a command has to wait for the end of a pause.
    #[inline]
    pub(super) fn delay(&self, command: &Command) -> Option<Verdict> {
        let delayed = match self.shared.shard.pause.at(self.now.monotonic_ms) {
            Paused::Nothing => false,
            Paused::Writes => self.may_write(command),
            Paused::Everything => !matches!(command.name, "auth" | "noforward"),
        };
        delayed.then_some(Verdict::Delayed)
    }

    fn may_write(&self, command: &Command) -> bool {
        let queued = self.client.transaction.iter().flat_map(|transaction| &transaction.queued);
        let mut queued = queued.filter(|_| command.name == "exec");
        command.flags.intersects(WRITING) || queued.any(|queued| queued.command.0.flags.intersects(WRITING))
    }

    /// Returns when what delays a command may have ended.
    pub async fn delay_ends(&self) {
        self.shared.shard.pause.end(&self.shared.clock).await;
    }
}
