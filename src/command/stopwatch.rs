//! Which commands are timed for the slow log and the latency monitor, and the timing of those that run where the log is applied.
//!
//! - A command that is fast by its flags is timed only under a threshold below [`WATCHFUL_US`], or for the latency monitor: two looks at
//!   the clock cost about as much as the command.
//! - The server's own commands are nobody's, and are not timed.
//! - Apply hands time through to the slow log and nothing else: no result depends on it.

use super::secrets::{REDACTED, secret_places};
use super::spec::Flags;
use super::{Command, lookup};
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
        && (!command.flags.contains(Flags::INTERNAL) || command.counts_as.is_some())
}

/// What is noted of commands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Watched {
    /// Negative is none.
    pub slower_than_us: i64,
    /// Negative is none.
    pub reply_bytes: i64,
    /// Zero is none.
    pub latency_ms: u64,
}

impl Default for Watched {
    fn default() -> Watched {
        Watched { slower_than_us: -1, reply_bytes: -1, latency_ms: 0 }
    }
}

impl Watched {
    /// Whether a command is to be timed.
    #[inline]
    pub fn times(&self, command: &Command) -> bool {
        is_timed(command, self.slower_than_us)
            || self.latency_ms > 0 && !command.flags.contains(Flags::INTERNAL)
    }

    /// Whether a command that took so long is slow.
    #[inline]
    pub fn is_slow(&self, took_us: u64) -> bool {
        u64::try_from(self.slower_than_us).is_ok_and(|threshold| took_us >= threshold)
    }

    /// Whether a reply of so many bytes is large.
    #[inline]
    pub fn is_large_reply(&self, bytes: usize) -> bool {
        u64::try_from(self.reply_bytes).is_ok_and(|threshold| bytes as u64 >= threshold)
    }
}

/// A command to be noted: name and arguments, cut, and what it took.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SlowRun {
    pub args: Vec<Vec<u8>>,
    pub took: Took,
}

/// Why a command is noted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Took {
    Micros(u64),
    /// Bytes of its reply.
    ReplyBytes(u64),
}

/// What a command took that the latency monitor may want to know of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spike {
    pub is_fast: bool,
    pub ms: u64,
}

/// Times commands one after the other. It times nothing until it is given a clock.
#[derive(Debug, Default)]
pub struct Stopwatch {
    clock: Option<Clock>,
    watched: Watched,
    /// The slow ones since they were last taken, in order; the first [`MAX_KEPT`].
    pub slow: Vec<SlowRun>,
    /// The same of spikes.
    pub spikes: Vec<Spike>,
}

impl Stopwatch {
    pub fn new(clock: Clock) -> Self {
        Stopwatch { clock: Some(clock), ..Stopwatch::default() }
    }

    /// Notes this from now on.
    pub fn watch(&mut self, watched: Watched) {
        self.watched = watched;
    }

    /// Forgets what it has noted.
    pub fn forget(&mut self) {
        self.slow.clear();
        self.spikes.clear();
    }

    /// Monotonic time in ns at which a command begins, if it is to be timed.
    #[inline]
    pub fn start(&self, command: &Command) -> Option<u64> {
        let clock = self.clock.as_ref().filter(|_| self.watched.times(command));
        clock.map(Clock::monotonic_ns)
    }

    /// Ends the timing of a command, whose reply has so many bytes.
    #[inline]
    pub fn stop(&mut self, began_ns: Option<u64>, command: &Command, args: &[&[u8]], reply_bytes: usize) {
        if self.watched.is_large_reply(reply_bytes) {
            self.keep(args, Took::ReplyBytes(reply_bytes as u64));
        }
        if let (Some(began_ns), Some(clock)) = (began_ns, &self.clock) {
            let took_us = (clock.monotonic_ns() - began_ns) / 1000;
            if self.watched.is_slow(took_us) {
                self.keep(args, Took::Micros(took_us));
            }
            let ms = took_us / 1000;
            if (1..=ms).contains(&self.watched.latency_ms) && self.spikes.len() < MAX_KEPT {
                self.spikes.push(Spike { is_fast: command.flags.contains(Flags::FAST), ms });
            }
        }
    }

    #[cold]
    fn keep(&mut self, args: &[&[u8]], took: Took) {
        if self.slow.len() < MAX_KEPT {
            self.slow.push(SlowRun { args: shortened(args), took });
        }
    }
}

/// What is kept of a command: cut, without its secrets.
pub fn shortened(args: &[&[u8]]) -> Vec<Vec<u8>> {
    let sent = as_sent(args);
    let args = sent.as_deref().unwrap_or(args);
    let kept = if args.len() > MAX_ARGS { MAX_ARGS - 1 } else { args.len() };
    let secrets = secret_places(args);
    let shown = |place: usize| if secrets.contains(place) { REDACTED } else { args[place] };
    let mut shortened: Vec<Vec<u8>> = (0..kept).map(|place| shortened_arg(shown(place))).collect();
    if kept < args.len() {
        shortened.push(format!("... ({} more arguments)", args.len() - kept).into_bytes());
    }
    shortened
}

/// A command as its client sent it, where the log has it under another name and with the client's user.
fn as_sent<'a>(args: &[&'a [u8]]) -> Option<Vec<&'a [u8]>> {
    let sent = lookup(args.first()?)?.command.counts_as?;
    Some([&[sent.as_bytes()], args.get(2..)?].concat())
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
        stopwatch.watch(Watched { slower_than_us, ..Watched::default() });
        let command = lookup(name.as_bytes()).expect("a command").command;
        let began_ns = stopwatch.start(command);
        hands.advance(Duration::from_micros(took_us));
        stopwatch.stop(began_ns, command, &[name.as_bytes()], 5);
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
        stopwatch.watch(Watched { slower_than_us: 0, ..Watched::default() });
        let command = lookup(b"set").expect("a command").command;
        for _ in 0..2 * MAX_KEPT {
            let began_ns = stopwatch.start(command);
            stopwatch.stop(began_ns, command, &[b"set", b"k", b"v"], 5);
        }
        assert_eq!(stopwatch.slow.len(), MAX_KEPT);
    }

    #[test]
    fn spikes_and_large_replies_are_noted_beside_the_slow() {
        let (clock, hands) = Clock::manual(0);
        let mut stopwatch = Stopwatch::new(clock);
        stopwatch.watch(Watched { reply_bytes: 100, latency_ms: 20, ..Watched::default() });
        for (name, took_ms, reply_bytes) in [("get", 19, 99), ("get", 20, 100), ("sort", 50, 5)] {
            let command = lookup(name.as_bytes()).expect("a command").command;
            let began_ns = stopwatch.start(command);
            hands.advance(Duration::from_millis(took_ms));
            stopwatch.stop(began_ns, command, &[name.as_bytes()], reply_bytes);
        }
        let large = SlowRun { args: vec![b"get".to_vec()], took: Took::ReplyBytes(100) };
        assert_eq!(stopwatch.slow, [large]);
        let spikes = [Spike { is_fast: true, ms: 20 }, Spike { is_fast: false, ms: 50 }];
        assert_eq!(stopwatch.spikes, spikes);
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
