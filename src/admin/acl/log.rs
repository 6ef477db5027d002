//! What this node has denied lately: ACL LOG. It is the node's own, and bounded.
//!
//! The same denial again within a minute is counted with the one before.

use std::collections::VecDeque;

use parking_lot::Mutex;

/// The same within this time is one entry.
const GROUPED_MS: i64 = 60_000;
/// Of a longer name of a key, a channel or a user the beginning is kept.
const MAX_SHOWN_BYTES: usize = 512;

/// Why something was denied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    Command,
    Key,
    Channel,
    Auth,
}

/// Where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Context {
    TopLevel,
    Multi,
}

impl Reason {
    pub fn text(self) -> &'static str {
        match self {
            Reason::Command => "command",
            Reason::Key => "key",
            Reason::Channel => "channel",
            Reason::Auth => "auth",
        }
    }
}

impl Context {
    pub fn text(self) -> &'static str {
        match self {
            Context::TopLevel => "toplevel",
            Context::Multi => "multi",
        }
    }
}

/// What was denied to which user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Denial {
    pub reason: Reason,
    pub context: Context,
    pub object: Vec<u8>,
    pub user: Vec<u8>,
}

#[derive(Clone, Debug)]
pub struct Entry {
    pub id: u64,
    pub denial: Denial,
    pub count: u64,
    /// Unix time in ms.
    pub created_ms: i64,
    pub updated_ms: i64,
    /// The line of CLIENT LIST of the client that was denied last.
    pub client: String,
}

#[derive(Debug, Default)]
pub struct AclLog {
    log: Mutex<Log>,
}

#[derive(Debug, Default)]
struct Log {
    next_id: u64,
    /// Newest first.
    entries: VecDeque<Entry>,
    /// Denials since the process began, by [`Reason`].
    counts: [u64; 4],
}

impl AclLog {
    /// Notes a denial at a unix time, where the log keeps this number of entries (`acllog-max-len`).
    pub fn note(&self, mut denial: Denial, now_ms: i64, client: String, max_entries: usize) {
        denial.object.truncate(MAX_SHOWN_BYTES);
        denial.user.truncate(MAX_SHOWN_BYTES);
        let mut log = self.log.lock();
        log.counts[denial.reason as usize] += 1;
        let is_same = |entry: &Entry| entry.denial == denial && now_ms - entry.updated_ms <= GROUPED_MS;
        let known = log.entries.iter().position(is_same).and_then(|place| log.entries.remove(place));
        let entry = match known {
            Some(known) => Entry { count: known.count + 1, updated_ms: now_ms, client, ..known },
            None => {
                log.next_id += 1;
                let id = log.next_id - 1;
                Entry { id, denial, count: 1, created_ms: now_ms, updated_ms: now_ms, client }
            }
        };
        log.entries.push_front(entry);
        log.entries.truncate(max_entries);
    }

    /// The newest entries, newest first.
    pub fn newest(&self, count: usize) -> Vec<Entry> {
        self.log.lock().entries.iter().take(count).cloned().collect()
    }

    pub fn clear(&self) {
        self.log.lock().entries.clear();
    }

    /// How often this was the reason since the process began.
    pub fn count(&self, reason: Reason) -> u64 {
        self.log.lock().counts[reason as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn denial(object: &str) -> Denial {
        Denial {
            reason: Reason::Key,
            context: Context::TopLevel,
            object: object.into(),
            user: b"bob".to_vec(),
        }
    }

    #[test]
    fn the_same_denial_within_a_minute_is_counted_and_old_ones_make_room() {
        let log = AclLog::default();
        const MAX_ENTRIES: usize = 128;
        log.note(denial("a"), 1_000, "first".to_owned(), MAX_ENTRIES);
        log.note(denial("b"), 2_000, "second".to_owned(), MAX_ENTRIES);
        log.note(denial("a"), 3_000, "third".to_owned(), MAX_ENTRIES);
        let newest = log.newest(10);
        assert_eq!(newest.len(), 2);
        assert_eq!((newest[0].id, newest[0].count, newest[0].client.as_str()), (0, 2, "third"));
        assert_eq!((newest[0].created_ms, newest[0].updated_ms), (1_000, 3_000));
        log.note(denial("a"), 3_000 + GROUPED_MS + 1, String::new(), MAX_ENTRIES);
        assert_eq!(log.newest(1)[0].count, 1, "a minute later it is another");
        for number in 0..1_000 {
            log.note(denial(&format!("{number}{}", "x".repeat(10_000))), 9_000, String::new(), MAX_ENTRIES);
        }
        assert_eq!(log.newest(10_000).len(), MAX_ENTRIES);
        assert!(log.newest(10_000).iter().all(|entry| entry.denial.object.len() <= MAX_SHOWN_BYTES));
        assert_eq!(log.count(Reason::Key), 1_004);
        log.note(denial("z"), 9_000, String::new(), 0);
        assert_eq!((log.newest(1).len(), log.count(Reason::Key)), (0, 1_005), "none is kept");
        log.clear();
        assert_eq!((log.newest(1).len(), log.count(Reason::Key)), (0, 1_005));
    }
}
