//! The slow log's timing of what runs on the worker: reads and local commands. What may hold a password is never kept.

use super::Session;
use crate::command::spec::Flags;
use crate::command::stopwatch;
use crate::command::{Args, Command};

impl Session {
    /// Monotonic time in ns at which the command begins, if it is to be timed.
    #[inline]
    pub(super) fn start_timer(&self, command: &Command) -> Option<u64> {
        let timed = stopwatch::is_timed(command, self.shared.config.slowlog_slower_than_us());
        timed.then(|| self.shared.clock.monotonic_ns())
    }

    /// Hands a timed command to the slow log.
    #[inline]
    pub(super) fn stop_timer(&self, began_ns: Option<u64>, command: &Command, args: &Args<'_>) {
        if let Some(began_ns) = began_ns
            && !may_hold_password(command)
        {
            let shared = &self.shared;
            let took_us = (shared.clock.monotonic_ns() - began_ns) / 1000;
            shared.slowlog.note(&shared.config, args, took_us, self.now.unix_ms, &self.client.info);
        }
    }
}

fn may_hold_password(command: &Command) -> bool {
    command.flags.intersects(Flags::SECRET_ARGUMENTS | Flags::SKIP_SLOWLOG)
}
