//! Logs of commands: the last that took long, came in a long request or had a long reply.
//!
//! - Timed is the execution alone: on the worker, or where the log is applied (`command::stopwatch`). The way through the log is not.
//! - A log keeps a number of entries, and of each command at most [`MAX_ARGS`](crate::command::stopwatch::MAX_ARGS) arguments of
//!   [`MAX_ARG_BYTES`](crate::command::stopwatch::MAX_ARG_BYTES) each: its memory is bounded whatever clients send.
//! - Whether a command is to be kept is asked without a lock; only one that is takes it.
//!
//! Source: <https://redis.io/docs/latest/commands/slowlog-get/>, <https://valkey.io/commands/commandlog-get/>.

use std::collections::VecDeque;

use parking_lot::Mutex;

use crate::admin::client::ClientInfo;

/// A command that was noted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotedCommand {
    /// Never used twice in a process.
    pub id: u64,
    /// When it ran, unix time in seconds.
    pub at_s: i64,
    /// Microseconds or bytes, as the log counts.
    pub amount: u64,
    /// Name and arguments, cut.
    pub args: Vec<Vec<u8>>,
    pub client_addr: String,
    pub client_name: Vec<u8>,
}

#[derive(Debug, Default)]
pub struct CommandLog {
    log: Mutex<Log>,
}

#[derive(Debug, Default)]
struct Log {
    next_id: u64,
    /// Newest first.
    entries: VecDeque<NotedCommand>,
}

impl CommandLog {
    /// Keeps a command; `client` is unknown where it has hung up since. `at_ms` is unix time.
    #[cold]
    pub fn keep(
        &self,
        max_len: u64,
        (args, amount): (Vec<Vec<u8>>, u64),
        at_ms: i64,
        client: Option<&ClientInfo>,
    ) {
        let client_name = client.map(|client| client.details.lock().name.clone()).unwrap_or_default();
        let client_addr = client.map(|client| client.addr.clone()).unwrap_or_default();
        let mut log = self.log.lock();
        let id = log.next_id;
        log.next_id += 1;
        let at_s = at_ms.div_euclid(1000);
        log.entries.push_front(NotedCommand { id, at_s, amount, args, client_addr, client_name });
        log.entries.truncate(usize::try_from(max_len).unwrap_or(usize::MAX));
    }

    /// The newest entries, newest first.
    pub fn newest(&self, count: usize) -> Vec<NotedCommand> {
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
    use super::*;

    #[test]
    fn only_the_last_commands_are_kept_and_numbers_continue() {
        let log = CommandLog::default();
        for amount in [100, 101, 102] {
            log.keep(2, (vec![b"GET".to_vec()], amount), 5_500, None);
        }
        let amounts: Vec<u64> = log.newest(9).iter().map(|entry| entry.amount).collect();
        assert_eq!(amounts, [102, 101]);
        log.reset();
        assert!(log.is_empty());
        log.keep(2, (vec![b"GET".to_vec()], 1), 5_500, None);
        assert_eq!((log.newest(1)[0].id, log.newest(1)[0].at_s), (3, 5));
        log.keep(0, (vec![b"GET".to_vec()], 1), 5_500, None);
        assert!(log.is_empty());
    }
}
