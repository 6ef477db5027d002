//! What a node that is not the primary sends there for its clients, and what their sessions keep of it.
//!
//! - What came itself from another node is never sent on: it is answered that it did not happen.
//! - A transaction is gathered here; those of its commands that touch data are sent as a whole (`transaction`).
//! - Keys are watched by the primary. EXEC fails once the connection over which they were watched is lost.

use super::{Line, Session, Verdict};
use crate::admin::table::{SessionCommand, TableRow};
use crate::command::Command;
use crate::command::spec::Flags;
use crate::shard::machine::DID_NOT_HAPPEN;

/// What is sent to the primary.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Forward {
    Request,
    /// What travels of the queued transaction, MULTI and EXEC around it.
    Transaction,
}

impl Session {
    pub(super) fn goes_to_primary(&self, command: &Command) -> bool {
        command.flags.contains(Flags::ON_PRIMARY) && self.must_forward()
    }

    /// Whether it is a WAIT on a connection that takes its node for the replica that it is.
    pub(super) fn waits_here(&self, row: &TableRow) -> bool {
        row.session() == Some(SessionCommand::WaitForAcks) && self.client.reads_from_replica
    }

    /// Whether what concerns the primary has to be sent there.
    pub(super) fn must_forward(&self) -> bool {
        !self.shared.shard.is_primary() && !self.client.forwarded
    }

    pub(super) fn forward_or_refuse(&mut self, line: &mut Line) -> Verdict {
        if line.pending > 0 {
            return Verdict::Wait;
        }
        if self.must_forward() {
            return Verdict::Forward(Forward::Request);
        }
        // This node may have become the primary just now, with requests of this connection still on their way to the last one.
        self.refuse_here(line, DID_NOT_HAPPEN)
    }

    /// As [`forward_or_refuse`](Self::forward_or_refuse), for a command that may wait: no other follows it before its answer.
    pub(super) fn forward_blocking(&mut self, line: &mut Line) -> Verdict {
        let verdict = self.forward_or_refuse(line);
        if matches!(verdict, Verdict::Forward(_)) {
            (line.barrier, line.blocking) = (true, true);
        }
        verdict
    }

    /// The connection to the primary is lost, and what was watched through it: EXEC must find that out.
    pub fn lose_forwarded_watches(&mut self) {
        self.client.watching_epoch =
            self.client.watching_epoch.map(|epoch| if was_forwarded(epoch) { u64::MAX } else { epoch });
    }

    /// The connection to the primary is lost, and each WATCH that went through it will be taken again.
    pub fn forget_forwarded_watches(&mut self) {
        self.client.watching_epoch = self.client.watching_epoch.filter(|epoch| !was_forwarded(*epoch));
    }
}

/// Whether keys were watched on the primary rather than here, by the leadership epoch in which they were.
fn was_forwarded(epoch: u64) -> bool {
    epoch.is_multiple_of(2)
}
