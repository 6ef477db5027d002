//! The raft crate logs through slog; this hands its lines to tracing.
//!
//! - Raft's info lines become debug lines: to an operator they are detail, and the node reports every change of
//!   leadership itself.
//! - A line is formatted only if somebody listens at its level.

use std::fmt;

use slog::{Drain, KV, Key, Level, Logger, Never, OwnedKVList, Record};

/// A logger for raft that ends in tracing.
pub(super) fn tracing_logger() -> Logger {
    Logger::root(ToTracing, slog::o!())
}

struct ToTracing;

impl Drain for ToTracing {
    type Ok = ();
    type Err = Never;

    fn log(&self, record: &Record<'_>, values: &OwnedKVList) -> Result<(), Never> {
        match record.level() {
            Level::Critical | Level::Error => {
                tracing::error!(target: "perdura::raft", "{}", Line(record, values));
            }
            Level::Warning => tracing::warn!(target: "perdura::raft", "{}", Line(record, values)),
            Level::Info => tracing::debug!(target: "perdura::raft", "{}", Line(record, values)),
            Level::Debug | Level::Trace => {
                tracing::trace!(target: "perdura::raft", "{}", Line(record, values));
            }
        }
        Ok(())
    }
}

/// A slog record with its keys and values, formatted when it is displayed.
struct Line<'a>(&'a Record<'a>, &'a OwnedKVList);

impl fmt::Display for Line<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Line(record, values) = self;
        write!(f, "{}", record.msg())?;
        let mut pairs = Pairs(f);
        let serialized =
            record.kv().serialize(record, &mut pairs).and_then(|()| values.serialize(record, &mut pairs));
        serialized.map_err(|_| fmt::Error)
    }
}

struct Pairs<'a, 'b>(&'a mut fmt::Formatter<'b>);

impl slog::Serializer for Pairs<'_, '_> {
    fn emit_arguments(&mut self, key: Key, value: &fmt::Arguments<'_>) -> slog::Result {
        let written = write!(self.0, " {key}={value}");
        written.map_err(|_| slog::Error::Other)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Formatted(std::sync::mpsc::Sender<String>);

    impl Drain for Formatted {
        type Ok = ();
        type Err = Never;

        fn log(&self, record: &Record<'_>, values: &OwnedKVList) -> Result<(), Never> {
            let _ = self.0.send(Line(record, values).to_string());
            Ok(())
        }
    }

    #[test]
    fn a_line_shows_message_keys_and_values() {
        let (sender, lines) = std::sync::mpsc::channel();
        let drain = std::sync::Mutex::new(Formatted(sender)).fuse();
        let logger = Logger::root(drain, slog::o!("raft_id" => 3));
        slog::info!(logger, "became leader"; "term" => 7);
        let line = lines.recv().expect("one line was logged");
        assert_eq!(line, "became leader term=7 raft_id=3");
    }
}
