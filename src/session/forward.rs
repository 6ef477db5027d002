//! What a node that is not the primary sends there for its clients, and what their sessions keep of it.
//!
//! - What came itself from another node is never sent on: it is answered that it did not happen.
//! - A transaction is gathered here and sent as a whole; a database chosen in it is followed here, if it is
//!   carried out.
//! - Keys are watched by the primary. EXEC fails once the connection over which they were watched is lost.

use super::{Line, Session, Verdict};
use crate::client::Queued;
use crate::command::Command;
use crate::command::spec::Flags;
use crate::shard::machine::DID_NOT_HAPPEN;

/// What is sent to the primary.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Forward {
    Request,
    /// The queued transaction, MULTI and EXEC around it.
    Transaction,
}

impl Session {
    pub(super) fn goes_to_primary(&self, command: &Command) -> bool {
        command.flags.contains(Flags::ON_PRIMARY) && self.must_forward()
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
        self.answer(line, |reply| reply.error(DID_NOT_HAPPEN));
        Verdict::Taken
    }

    /// As [`forward_or_refuse`](Self::forward_or_refuse), for a command that may wait: no other follows it before its answer.
    pub(super) fn forward_blocking(&mut self, line: &mut Line) -> Verdict {
        let verdict = self.forward_or_refuse(line);
        if matches!(verdict, Verdict::Forward(_)) {
            (line.barrier, line.blocking) = (true, true);
        }
        verdict
    }

    /// Takes the queued transaction out, to be sent to the primary.
    pub fn take_transaction(&mut self) -> Vec<Queued> {
        self.client.watching_epoch = None;
        self.client.transaction.take().unwrap_or_default().queued
    }

    /// Lets the database follow a transaction that was sent to the primary, unless the answer says that it was in vain.
    pub fn follow_selects(&mut self, queued: &[Queued], line: &mut Line) {
        let db_before = self.client.db;
        for Queued { command, args } in queued.iter().filter(|queued| queued.is_select()) {
            let slices: Vec<&[u8]> = args.iter().map(|arg| &**arg).collect();
            self.call_local(command.0, &slices, &mut Vec::new(), self.reply_limit());
        }
        if self.client.db != db_before {
            line.expect_exec(db_before);
        }
    }

    /// The connection to the primary is lost, and what was watched through it: EXEC must find that out.
    pub fn lose_forwarded_watches(&mut self) {
        let was_forwarded = |epoch: u64| epoch.is_multiple_of(2);
        self.client.watching_epoch =
            self.client.watching_epoch.map(|epoch| if was_forwarded(epoch) { u64::MAX } else { epoch });
    }
}
