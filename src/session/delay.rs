//! Commands that do not begin yet: those of paused clients, WAIT until enough followers have the client's writes, and commands
//! that show the group's state until this node has the client's changes of it.
//!
//! - A command that is delayed is offered again whenever what delays it may have ended; nothing else is kept of it.
//! - After a wrong password a connection's next request waits a little, longer with each.
//! - What is wrong with a command is answered at once, as in Redis; only what would be carried out is delayed.
//! - A command is paused where its client is connected, and again where it is executed: what a replica sends on for its
//!   clients is a client's like any other to a primary that is paused.
//! - Never paused is what a node says before it sends anything on, for it gives up on a primary that does not answer.

use std::time::Duration;

use super::{Line, Session, Verdict};
use crate::admin::AcksWanted;
use crate::admin::client::Delay;
use crate::admin::table::{SessionCommand, TableRow};
use crate::command::script::{self, ScriptFlags};
use crate::command::spec::Flags;
use crate::command::{Args, Command, ScriptCall};
use crate::guesses;
use crate::pause::Paused;
use crate::shard::acks::AckWaiting;
use crate::shard::machine::{UNBLOCKED, UNBLOCKED_BY_CLIENT};
use crate::shard::port::StatusWatch;

/// What a paused node delays although it delays no reads.
const WRITING: Flags = Flags::WRITE.union(Flags::MAY_REPLICATE);

/// A WAIT that has begun.
pub(super) struct AckWait {
    wanted: AcksWanted,
    /// Monotonic time; `None` waits for ever.
    deadline_ms: Option<u64>,
    /// The leadership epoch in which it began: its count means nothing in another.
    epoch: u64,
    /// CLIENT UNBLOCK has ended it, with an error or not.
    unblocked: Option<bool>,
    waiting: AckWaiting,
    /// Lets acknowledgements be told as they come.
    _watch: StatusWatch,
}

impl Session {
    /// Whether a command has to wait for the end of a pause.
    #[inline]
    pub(super) fn pause(&self, row: &TableRow, args: &Args<'_>) -> Option<Verdict> {
        let paused = match self.shared.shard.pause.at(self.now.monotonic_ms) {
            Paused::Nothing => false,
            _ if self.client.monitors => false,
            Paused::Writes => self.may_write(row, args),
            Paused::Everything => !row.command.flags.contains(Flags::WHILE_PAUSED),
        };
        paused.then_some(Verdict::Delayed)
    }

    fn may_write(&self, row: &TableRow, args: &Args<'_>) -> bool {
        let writes = |command: &Command, args: &Args<'_>| {
            command.flags.intersects(WRITING) && !self.is_reading_script(command, args)
        };
        let queued = self.client.transaction.iter().flat_map(|transaction| &transaction.queued);
        let mut queued = queued.filter(|_| row.session() == Some(SessionCommand::Exec));
        writes(row.command, args) || queued.any(|one| writes(one.command.0.command, &one.slices()))
    }

    /// Whether a command runs a script or a function that says that it only reads.
    fn is_reading_script(&self, command: &Command, args: &Args<'_>) -> bool {
        let shard = &self.shared.shard;
        let flags = match command.script {
            None => None,
            Some(ScriptCall::ByText) => ScriptFlags::of(args[1]).ok(),
            Some(ScriptCall::ByDigest) => {
                let script = script::script_named(&shard.scripts, &shard.keyspace, args[1]);
                script.and_then(|script| ScriptFlags::of(&script.body).ok())
            }
            Some(ScriptCall::Function) => script::function_flags(&shard.keyspace, args[1]),
        };
        flags.is_some_and(|flags| flags.contains(ScriptFlags::NO_WRITES))
    }

    /// Whether the client has to wait because of a wrong password.
    #[inline]
    pub(super) fn is_penalized(&mut self) -> bool {
        let (served, until_ms) = &mut self.penalty;
        if self.client.wrong_passwords > *served {
            *served = self.client.wrong_passwords;
            *until_ms = self.now.monotonic_ms + guesses::delay_ms(*served);
        }
        self.now.monotonic_ms < *until_ms
    }

    async fn penalty_ends(&self) {
        let left_ms = self.penalty.1.saturating_sub(self.shared.clock.monotonic_ms());
        tokio::time::sleep(Duration::from_millis(left_ms.max(1))).await;
    }

    /// WAIT and WAITAOF, outside a transaction.
    pub(super) fn wait_for_acks(
        &mut self,
        row: &'static TableRow,
        args: &Args<'_>,
        line: &mut Line,
    ) -> Verdict {
        if self.goes_to_primary(row.command) && !self.waits_here(row) {
            return self.forward_blocking(line);
        }
        if line.has_unanswered() {
            return Verdict::Wait;
        }
        if self.acks_are_missing(args) {
            return Verdict::Delayed;
        }
        let Some(wait) = self.ack_wait.take() else { return self.run_local(row, args, line) };
        match wait.unblocked {
            Some(true) => self.refuse_here(line, UNBLOCKED_BY_CLIENT),
            None if wait.epoch != self.shared.shard.leadership_epoch() => self.refuse_here(line, UNBLOCKED),
            Some(false) | None => self.run_local(row, args, line),
        }
    }

    /// Whether a WAIT has to go on; begins it where need be.
    fn acks_are_missing(&mut self, args: &Args<'_>) -> bool {
        let Ok(wanted) = AcksWanted::read(args) else { return false };
        let (shared, now_ms) = (&self.shared, self.now.monotonic_ms);
        if !shared.shard.is_primary() || wanted.are_there(shared, &self.client.info) {
            return false;
        }
        let epoch = shared.shard.leadership_epoch();
        let wait = self.ack_wait.get_or_insert_with(|| AckWait {
            wanted,
            deadline_ms: (wanted.timeout_ms > 0).then(|| now_ms.saturating_add(wanted.timeout_ms)),
            epoch,
            unblocked: None,
            waiting: shared
                .shard
                .ack_waits
                .begin(usize::try_from(wanted.followers).unwrap_or(0), self.client.info.answered_index()),
            _watch: shared.shard.watch_status(),
        });
        wait.epoch == epoch
            && wait.unblocked.is_none()
            && wait.deadline_ms.is_none_or(|deadline_ms| now_ms < deadline_ms)
    }

    /// Ends a WAIT before its time; false if there is none.
    pub fn unblock(&mut self, with_error: bool) -> bool {
        self.ack_wait.as_mut().map(|wait| wait.unblocked = Some(with_error)).is_some()
    }

    /// What delays the command that was offered last, if that was delayed.
    pub fn delayed_by(&self) -> Delay {
        match self.ack_wait {
            Some(_) => Delay::Acks,
            None if self.is_behind_group_changes() => Delay::CatchingUp,
            None => Delay::Pause,
        }
    }

    /// Returns when what delays a command may have ended.
    pub async fn delay_ends(&self) {
        match &self.ack_wait {
            _ if self.now.monotonic_ms < self.penalty.1 => self.penalty_ends().await,
            Some(wait) => self.ack_wait_ends(wait).await,
            None if self.is_behind_group_changes() => self.group_changes_come().await,
            None => self.shared.shard.pause.end(&self.shared.clock).await,
        }
    }

    async fn ack_wait_ends(&self, wait: &AckWait) {
        let shared = &self.shared;
        if wait.unblocked.is_some() || wait.wanted.are_there(shared, &self.client.info) {
            return;
        }
        let woken = wait.waiting.woken();
        let Some(deadline_ms) = wait.deadline_ms else { return woken.await };
        let left = Duration::from_millis(deadline_ms.saturating_sub(shared.clock.monotonic_ms()));
        let _ = tokio::time::timeout(left, woken).await;
    }
}
