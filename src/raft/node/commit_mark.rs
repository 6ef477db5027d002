//! When a log learns that its last entries are committed.
//!
//! - The commit is written with the entries that come next, and is synced with them: no client waits for it. A group that falls silent would
//!   never write that its last entries are committed, and a member that restarts would take them for uncommitted: it would give way without a word to
//!   a leader that lacks them, as where a majority was set back (`contradiction.rs`).
//! - So once nothing was committed for an election timeout, a node writes and syncs the commit by itself, if the log has room. That is one sync
//!   for each silence, and none while clients write.
//! - Caveat: a member that fails within that time does not know its last entries to be committed.

use perdura_wal::Disk;

use super::{Node, NodeError, StateMachine};

/// For how many ticks nothing was committed.
#[derive(Debug, Default)]
pub(super) struct Silence {
    committed: u64,
    ticks: usize,
}

impl<D: Disk> Node<D> {
    /// To be called with every tick.
    pub(super) fn tick_silence(&mut self) {
        let committed = self.raw.raft.raft_log.committed;
        let silence = &mut self.silence;
        silence.ticks = if silence.committed == committed { silence.ticks + 1 } else { 0 };
        silence.committed = committed;
    }

    /// To be called with every turn. Blocks while the log is written.
    pub(super) fn mark_commit<S: StateMachine>(&mut self, machine: &mut S) -> Result<(), NodeError> {
        let storage = self.raw.mut_store();
        if self.silence.ticks != self.config.timing.election_ticks || !storage.can_mark_commit()? {
            return Ok(());
        }
        machine.append_begins();
        storage.stage(&[], None)?;
        machine.sync_begins();
        let stats = storage.commit(Vec::new())?;
        machine.sync_ended(&stats);
        Ok(())
    }
}

#[cfg(test)]
mod tests;
