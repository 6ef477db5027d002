//! MONITOR: a line for every command that this node's clients send, for those who asked to see them.
//!
//! - While nobody asks it costs one relaxed load per command.
//! - A command is shown when this node takes it, whatever becomes of it. The commands of a transaction are shown at its
//!   EXEC, before it, even if a watch then stops it.
//! - A line goes into the mailbox of each monitor's worker, as messages to subscribers do: a monitor that does not read is
//!   cut off at the output limit of subscribers.
//! - What is secret in a command is never shown.
//!
//! Source: <https://redis.io/docs/latest/commands/monitor/>.

use std::collections::BTreeSet;
use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;

use crate::command::Args;
use crate::command::secrets::{REDACTED, secret_places};
use crate::pubsub::SubscriberId;
use crate::shard::port::Port;

/// Bytes of arguments that one line shows. What is longer is cut, for a line is made before anybody's limit is asked.
const MAX_LINE_BYTES: usize = 16 << 20;

#[derive(Debug)]
pub struct Monitors {
    count: AtomicUsize,
    connections: Mutex<BTreeSet<SubscriberId>>,
    ports: Box<[Arc<Port>]>,
}

impl Monitors {
    pub fn new(ports: Box<[Arc<Port>]>) -> Self {
        Monitors { count: AtomicUsize::new(0), connections: Mutex::default(), ports }
    }

    #[inline]
    pub fn are_there(&self) -> bool {
        self.count.load(Ordering::Relaxed) > 0
    }

    pub fn add(&self, connection: SubscriberId) {
        let mut connections = self.connections.lock();
        connections.insert(connection);
        self.count.store(connections.len(), Ordering::Relaxed);
    }

    pub fn remove(&self, connection: SubscriberId) {
        let mut connections = self.connections.lock();
        connections.remove(&connection);
        self.count.store(connections.len(), Ordering::Relaxed);
    }

    /// Shows a command of the client at `addr` in a database, at a unix time in µs.
    pub fn show(&self, at_us: i64, db: usize, addr: &str, args: &Args<'_>) {
        let line = line(at_us, db, addr, args);
        let connections = self.connections.lock();
        for (worker, connection) in connections.iter() {
            self.ports[*worker].push_message(*connection, &line);
        }
        let workers: BTreeSet<usize> = connections.iter().map(|(worker, _)| *worker).collect();
        workers.into_iter().for_each(|worker| self.ports[worker].replies_ready.notify_one());
    }
}

/// `+1339518083.107412 [0 127.0.0.1:60866] "keys" "*"`
fn line(at_us: i64, db: usize, addr: &str, args: &Args<'_>) -> Vec<u8> {
    let (seconds, micros) = (at_us.div_euclid(1_000_000), at_us.rem_euclid(1_000_000));
    let mut line = format!("+{seconds}.{micros:06} [{db} {addr}]").into_bytes();
    let secrets = secret_places(args);
    for (place, arg) in args.iter().enumerate() {
        let shown = if secrets.contains(place) { REDACTED } else { arg };
        line.push(b' ');
        let room = MAX_LINE_BYTES.saturating_sub(line.len());
        push_quoted(&mut line, &shown[..shown.len().min(room)]);
    }
    line.extend_from_slice(b"\r\n");
    line
}

/// Appends bytes in quotes, as printable text of one line.
pub(crate) fn push_quoted(out: &mut Vec<u8>, bytes: &[u8]) {
    out.push(b'"');
    for byte in bytes {
        match byte {
            b'"' | b'\\' => out.extend_from_slice(&[b'\\', *byte]),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            0x07 => out.extend_from_slice(b"\\a"),
            0x08 => out.extend_from_slice(b"\\b"),
            b' '..=b'~' => out.push(*byte),
            // Writing to a vector does not fail.
            _ => drop(write!(out, "\\x{byte:02x}")),
        }
    }
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(args: &Args<'_>) -> String {
        String::from_utf8_lossy(&line(1_339_518_083_107_412, 0, "127.0.0.1:60866", args)).into_owned()
    }

    #[test]
    fn a_line_is_redis_own() {
        assert_eq!(shown(&[b"keys", b"*"]), "+1339518083.107412 [0 127.0.0.1:60866] \"keys\" \"*\"\r\n");
        assert!(
            shown(&[b"set", b"a\"\\\r\n\t\x07\x08", b"\x00\xff ~"])
                .ends_with("] \"set\" \"a\\\"\\\\\\r\\n\\t\\a\\b\" \"\\x00\\xff ~\"\r\n")
        );
        assert!(String::from_utf8_lossy(&line(5, 0, "a", &[b"ping"])).starts_with("+0.000005 [0 a]"));
    }

    #[test]
    fn secrets_are_not_shown() {
        assert!(
            shown(&[b"AUTH", b"user", b"word"]).ends_with("] \"AUTH\" \"(redacted)\" \"(redacted)\"\r\n")
        );
    }

    #[test]
    fn a_line_is_bounded() {
        let long = vec![0; MAX_LINE_BYTES];
        assert!(line(0, 0, "", &[&long, &long, b"x"]).len() < 5 * MAX_LINE_BYTES);
    }
}
