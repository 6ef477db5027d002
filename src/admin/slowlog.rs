//! The slow log: the last commands that took longer than a threshold.
//!
//! - Timed is the execution alone: on the worker, or where the log is applied (`command::stopwatch`). The way through the log is not.
//! - It keeps at most `slowlog-max-len` entries, and of each command at most [`MAX_ARGS`] arguments of
//!   [`MAX_ARG_BYTES`] each: its memory is bounded whatever clients send.
//! - Whether a command is slow is asked without a lock; only a slow one takes it.
//!
//! Source: <https://redis.io/docs/latest/commands/slowlog-get/>.

use std::collections::VecDeque;

use parking_lot::Mutex;

use crate::admin::client::ClientInfo;
use crate::command::stopwatch::{SlowRun, shortened};
use crate::config::runtime::RuntimeConfig;

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

#[cfg(test)]
mod tests {

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
}
