//! The slow log: the last commands that took longer than a threshold.
//!
//! - Timed is the execution alone: on the worker, or where the log is applied (`stopwatch`). The way through the log is not.
//! - It keeps at most `slowlog-max-len` entries, and of each command at most [`MAX_ARGS`] arguments of
//!   [`MAX_ARG_BYTES`] each: its memory is bounded whatever clients send.
//! - Whether a command is slow is asked without a lock; only a slow one takes it.
//!
//! Source: <https://redis.io/docs/latest/commands/slowlog-get/>.

mod stopwatch;

use std::collections::VecDeque;

use parking_lot::Mutex;

use crate::admin::client::ClientInfo;
use crate::command::secrets::{REDACTED, secret_places};
use crate::config::runtime::RuntimeConfig;
pub use stopwatch::{SlowRun, Stopwatch, is_timed};

/// Arguments kept of a command, the note about the others included.
pub const MAX_ARGS: usize = 32;
/// Bytes kept of an argument, before the note about the others.
pub const MAX_ARG_BYTES: usize = 128;

/// A slow command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SlowCommand {
    /// Never used twice in a process.
    pub id: u64,
    /// When it ran, unix time in seconds.
    pub at_s: i64,
    pub duration_us: u64,
    /// Name and arguments, cut.
    pub args: Vec<Vec<u8>>,
    pub client_addr: String,
    pub client_name: Vec<u8>,
}

#[derive(Debug, Default)]
pub struct SlowLog {
    log: Mutex<Log>,
}

#[derive(Debug, Default)]
struct Log {
    next_id: u64,
    /// Newest first.
    entries: VecDeque<SlowCommand>,
}

impl SlowLog {
    /// Keeps a command if it was slow. `at_ms` is unix time.
    pub fn note(
        &self,
        config: &RuntimeConfig,
        args: &[&[u8]],
        duration_us: u64,
        at_ms: i64,
        client: &ClientInfo,
    ) {
        let threshold = u64::try_from(config.slowlog_slower_than_us());
        if threshold.is_ok_and(|threshold| duration_us >= threshold) {
            self.keep(config, SlowRun { args: shortened(args), duration_us }, at_ms, Some(client));
        }
    }

    /// Keeps a command that was slow; `client` is unknown where it has hung up since. `at_ms` is unix time.
    #[cold]
    pub fn keep(&self, config: &RuntimeConfig, run: SlowRun, at_ms: i64, client: Option<&ClientInfo>) {
        let SlowRun { args, duration_us } = run;
        let client_name = client.map(|client| client.details.lock().name.clone()).unwrap_or_default();
        let client_addr = client.map(|client| client.addr.clone()).unwrap_or_default();
        let max_len = config.slowlog_max_len() as usize;
        let mut log = self.log.lock();
        let id = log.next_id;
        log.next_id += 1;
        let at_s = at_ms.div_euclid(1000);
        log.entries.push_front(SlowCommand { id, at_s, duration_us, args, client_addr, client_name });
        log.entries.truncate(max_len);
    }

    /// The newest entries, newest first.
    pub fn newest(&self, count: usize) -> Vec<SlowCommand> {
        self.log.lock().entries.iter().take(count).cloned().collect()
    }

    pub fn len(&self) -> usize {
        self.log.lock().entries.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Forgets the entries; numbers go on.
    pub fn reset(&self) {
        self.log.lock().entries.clear();
    }
}

/// What is kept of a command: cut, without its secrets.
pub(crate) fn shortened(args: &[&[u8]]) -> Vec<Vec<u8>> {
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
    use super::*;
    use crate::admin::testing::TestNode;

    fn note(node: &TestNode, words: &[&[u8]], duration_us: u64) {
        node.shared.slowlog.note(&node.shared.config, words, duration_us, 5_000, &node.client.info);
    }

    #[test]
    fn only_slow_commands_are_kept_and_only_the_last_of_them() {
        let node = TestNode::new();
        node.shared
            .config
            .set(&[("slowlog-log-slower-than", "100"), ("slowlog-max-len", "2")])
            .expect("both can be set");
        for duration_us in [99, 100, 101, 102] {
            note(&node, &[b"GET", b"k"], duration_us);
        }
        let durations: Vec<u64> =
            node.shared.slowlog.newest(9).iter().map(|entry| entry.duration_us).collect();
        assert_eq!(durations, [102, 101]);
        node.shared.slowlog.reset();
        assert!(node.shared.slowlog.is_empty());
        note(&node, &[b"GET"], 100);
        assert_eq!(node.shared.slowlog.newest(1)[0].id, 3);
    }

    #[test]
    fn a_negative_threshold_keeps_nothing_and_zero_everything() {
        let node = TestNode::new();
        node.shared.config.set(&[("slowlog-log-slower-than", "-1")]).expect("it can be set");
        note(&node, &[b"GET"], u64::MAX);
        assert_eq!(node.shared.slowlog.len(), 0);
        node.shared.config.set(&[("slowlog-log-slower-than", "0")]).expect("it can be set");
        note(&node, &[b"GET"], 0);
        assert_eq!(node.shared.slowlog.len(), 1);
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
