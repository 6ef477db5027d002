//! Which commands are timed for the slow log, and the timing of those that run where the log is applied.
//!
//! - A command that is fast by its flags is timed only under a threshold below [`WATCHFUL_US`]: two looks at the clock
//!   cost about as much as the command.
//! - The server's own commands are nobody's, and are not timed.
//! - Apply hands time through to the slow log and nothing else: no result depends on it.

use super::Command;
use super::secrets::{REDACTED, secret_places};
use super::spec::Flags;
use crate::env::Clock;

/// Under a threshold this low, in µs, everything is timed.
const WATCHFUL_US: i64 = 1000;

/// Slow commands kept until they are taken: an entry may hold hundreds of thousands, and under a threshold of 0 all are slow.
const MAX_KEPT: usize = 1000;

/// Arguments kept of a command, the note about the others included.
pub const MAX_ARGS: usize = 32;
/// Bytes kept of an argument, before the note about the others.
pub const MAX_ARG_BYTES: usize = 128;

/// Whether a command is to be timed under a threshold in µs; a negative one times nothing.
#[inline]
pub fn is_timed(command: &Command, slower_than_us: i64) -> bool {
    slower_than_us >= 0
        && (slower_than_us < WATCHFUL_US || !command.flags.contains(Flags::FAST))
        && !command.flags.contains(Flags::INTERNAL)
}

/// A command that was slow: name and arguments, cut.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SlowRun {
    pub args: Vec<Vec<u8>>,
    pub duration_us: u64,
}

/// Times commands one after the other. It times nothing until it is given a clock.
#[derive(Debug, Default)]
pub struct Stopwatch {
    clock: Option<Clock>,
    slower_than_us: i64,
    /// The slow ones since they were last taken, in order; the first [`MAX_KEPT`].
    pub slow: Vec<SlowRun>,
}

impl Stopwatch {
    pub fn new(clock: Clock) -> Self {
        Stopwatch { clock: Some(clock), slower_than_us: -1, slow: Vec::new() }
    }

    /// Keeps what takes at least so many µs from now on; nothing if that is negative.
    pub fn set_threshold_us(&mut self, slower_than_us: i64) {
        self.slower_than_us = slower_than_us;
    }

    /// Monotonic time in ns at which a command begins, if it is to be timed.
    #[inline]
    pub fn start(&self, command: &Command) -> Option<u64> {
        let clock = self.clock.as_ref().filter(|_| is_timed(command, self.slower_than_us));
        clock.map(Clock::monotonic_ns)
    }

    /// Ends the timing of a command.
    #[inline]
    pub fn stop(&mut self, began_ns: Option<u64>, args: &[&[u8]]) {
        if let (Some(began_ns), Some(clock)) = (began_ns, &self.clock) {
            let duration_us = (clock.monotonic_ns() - began_ns) / 1000;
            if duration_us as i64 >= self.slower_than_us && self.slow.len() < MAX_KEPT {
                self.slow.push(SlowRun { args: shortened(args), duration_us });
            }
        }
    }
}

/// What is kept of a command: cut, without its secrets.
pub fn shortened(args: &[&[u8]]) -> Vec<Vec<u8>> {
    let kept = if args.len() > MAX_ARGS { MAX_ARGS - 1 } else { args.len() };
    let secrets = secret_places(args);
    let shown = |place: usize| if secrets.contains(place) { REDACTED } else { args[place] };
    let mut shortened: Vec<Vec<u8>> = (0..kept).map(|place| shortened_arg(shown(place))).collect();
    if kept < args.len() {
        shortened.push(format!("... ({} more arguments)", args.len() - kept).into_bytes());
    }
    shortened
}

fn shortened_arg(arg: &[u8]) -> Vec<u8> {
    let mut kept = arg[..arg.len().min(MAX_ARG_BYTES)].to_vec();
    if kept.len() < arg.len() {
        kept.extend_from_slice(format!("... ({} more bytes)", arg.len() - kept.len()).as_bytes());
    }
    kept
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::command::lookup;

    fn slow_under(slower_than_us: i64, name: &str, took_us: u64) -> usize {
        let (clock, hands) = Clock::manual(0);
        let mut stopwatch = Stopwatch::new(clock);
        stopwatch.set_threshold_us(slower_than_us);
        let began_ns = stopwatch.start(lookup(name.as_bytes()).expect("a command").command);
        hands.advance(Duration::from_micros(took_us));
        stopwatch.stop(began_ns, &[name.as_bytes()]);
        stopwatch.slow.len()
    }

    #[test]
    fn what_takes_as_long_as_the_threshold_is_slow() {
        assert_eq!([9_999, 10_000].map(|took_us| slow_under(10_000, "zunionstore", took_us)), [0, 1]);
        assert_eq!(slow_under(-1, "zunionstore", u64::MAX / 2000), 0);
        assert_eq!(slow_under(0, "zunionstore", 0), 1);
        assert_eq!(slow_under(0, "_freeexpired", 5000), 0);
    }

    #[test]
    fn slow_commands_of_one_entry_take_no_more_memory_than_a_thousand() {
        let mut stopwatch = Stopwatch::new(Clock::manual(0).0);
        stopwatch.set_threshold_us(0);
        for _ in 0..2 * MAX_KEPT {
            let began_ns = stopwatch.start(lookup(b"set").expect("a command").command);
            stopwatch.stop(began_ns, &[b"set", b"k", b"v"]);
        }
        assert_eq!(stopwatch.slow.len(), MAX_KEPT);
    }

    #[test]
    fn the_fast_are_timed_only_by_the_watchful() {
        assert_eq!(slow_under(1000, "hset", 5000), 0);
        assert_eq!(slow_under(999, "hset", 5000), 1);
    }

    #[test]
    fn what_is_kept_of_a_command_is_bounded() {
        let long = [b'x'; 200];
        let kept = shortened(&[&long[..]; 40]);
        assert_eq!(kept.len(), MAX_ARGS);
        assert!(kept[0].ends_with(b"x... (72 more bytes)"));
        assert_eq!(kept[31], b"... (9 more arguments)");
        assert_eq!(shortened(&[&b"a"[..]; 32]).len(), 32);
        assert_eq!(shortened(&[b"AUTH", b"word"]), [&b"AUTH"[..], b"(redacted)"]);
    }
}
