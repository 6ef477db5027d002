//! The logs of commands and the latency monitor, for what runs on the worker: reads and local commands, and the length of requests. What
//! may hold a password is never kept.

use super::{Session, Verdict};
use crate::admin::latency;
use crate::command::spec::Flags;
use crate::command::stopwatch::{SlowRun, Took, shortened};
use crate::command::{Args, Command};

impl Session {
    /// Monotonic time in ns at which the command begins, if it is to be timed.
    #[inline]
    pub(super) fn start_timer(&self, command: &Command) -> Option<u64> {
        self.shared.watched().times(command).then(|| self.shared.clock.monotonic_ns())
    }

    /// Notes a command whose reply has so many bytes, if it is to be noted.
    #[inline]
    pub(super) fn stop_timer(
        &self,
        began_ns: Option<u64>,
        command: &Command,
        args: &Args<'_>,
        reply_bytes: usize,
    ) {
        let watched = self.shared.watched();
        if watched.is_large_reply(reply_bytes) {
            self.keep(command, args, Took::ReplyBytes(reply_bytes as u64));
        }
        let Some(began_ns) = began_ns else { return };
        let took_us = (self.shared.clock.monotonic_ns() - began_ns) / 1000;
        if watched.is_slow(took_us) {
            self.keep(command, args, Took::Micros(took_us));
        }
        let is_fast = command.flags.contains(Flags::FAST);
        let event = if is_fast { latency::FAST_COMMAND } else { latency::COMMAND };
        self.shared.note_latency(event, took_us / 1000, self.now.unix_ms);
    }

    #[cold]
    fn keep(&self, command: &Command, args: &Args<'_>, took: Took) {
        if !may_hold_password(command) {
            let run = SlowRun { args: shortened(args), took };
            self.shared.note_command(run, self.now.unix_ms, Some(&self.client.info));
        }
    }

    /// Notes a request that is long, once it is taken.
    #[inline]
    pub(super) fn note_request(&self, command: &Command, args: &Args<'_>, verdict: Verdict) {
        let Ok(threshold) = u64::try_from(self.shared.config.group().large_request_bytes()) else { return };
        let bytes = request_bytes(args);
        let comes_again = matches!(verdict, Verdict::Wait | Verdict::Full | Verdict::Delayed);
        if bytes >= threshold && !comes_again && !may_hold_password(command) {
            self.shared.note_large_request(args, bytes, self.now.unix_ms, &self.client.info);
        }
    }
}

/// What a request takes on its connection.
fn request_bytes(args: &Args<'_>) -> u64 {
    /// `*` or `$`, and two ends of a line.
    const FRAME: u64 = 5;
    let digits = |number: usize| u64::from(number.checked_ilog10().unwrap_or(0)) + 1;
    let each = args.iter().map(|arg| arg.len() as u64 + digits(arg.len()) + FRAME);
    each.sum::<u64>() + digits(args.len()) + FRAME - 2
}

fn may_hold_password(command: &Command) -> bool {
    command.flags.intersects(Flags::SECRET_ARGUMENTS | Flags::SKIP_SLOWLOG)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_has_the_bytes_that_came() {
        assert_eq!(request_bytes(&[b"GET", b"k"]), b"*2\r\n$3\r\nGET\r\n$1\r\nk\r\n".len() as u64);
        assert_eq!(request_bytes(&[b""]), b"*1\r\n$0\r\n\r\n".len() as u64);
    }
}
