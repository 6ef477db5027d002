//! The server's own messages, on standard error.
//!
//! - Text for people or one JSON object a line for machines; the form is chosen at start, the level can change later.
//! - Messages carry facts as fields (`index`, `peer`, `dur_ms`) and never a client's data or a password.
//! - The last of them stay in memory, those of level `info` and above (`messages`).
//! - `hyper`, `raft` and other libraries speak at `warn` and above unless the level is `debug` or lower.

use std::io::IsTerminal;
use std::sync::OnceLock;

use tracing::Subscriber;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, Registry, fmt, reload};

use crate::messages::Keeper;

/// Changes the level; set once, by [`init`].
static SWITCH: OnceLock<reload::Handle<Targets, Registry>> = OnceLock::new();

/// Form of the server's own messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    Text,
    Json,
}

/// Least urgent messages that are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogLevel {
    Error,
    Warn,
    Info,
    Debug,
    Trace,
}

impl LogLevel {
    /// Reads our names and Redis'.
    pub fn parse(text: &str) -> Result<LogLevel, String> {
        match text {
            "error" => Ok(LogLevel::Error),
            "warn" | "warning" => Ok(LogLevel::Warn),
            "info" | "notice" => Ok(LogLevel::Info),
            "debug" | "verbose" => Ok(LogLevel::Debug),
            "trace" => Ok(LogLevel::Trace),
            other => Err(format!("'{other}' is none of error, warn, info, debug, trace")),
        }
    }

    /// The nearest of Redis' levels, as CONFIG GET shows it.
    pub fn redis_name(self) -> &'static str {
        match self {
            LogLevel::Error | LogLevel::Warn => "warning",
            LogLevel::Info => "notice",
            LogLevel::Debug | LogLevel::Trace => "debug",
        }
    }
}

/// Begins to show messages. Later calls change nothing.
pub fn init(format: LogFormat, level: LogLevel) {
    let (filter, switch) = reload::Layer::new(targets(level));
    if SWITCH.set(switch).is_err() {
        return;
    }
    let registry = tracing_subscriber::registry().with(filter);
    let layer = fmt::layer().with_writer(std::io::stderr);
    let result = match format {
        LogFormat::Text => {
            let colours = std::io::stderr().is_terminal();
            registry.with(layer.with_ansi(colours)).with(keeper()).try_init()
        }
        LogFormat::Json => registry.with(layer.json().flatten_event(true)).with(keeper()).try_init(),
    };
    if let Err(error) = result {
        eprintln!("perdura: messages go elsewhere: {error}");
    }
}

/// Keeps the last messages.
fn keeper<S: Subscriber + for<'span> LookupSpan<'span>>() -> impl Layer<S> {
    fmt::layer().with_ansi(false).with_writer(|| Keeper).with_filter(LevelFilter::INFO)
}

/// Changes what is shown from now on; nothing before [`init`].
pub fn set_level(level: LogLevel) {
    let Some(switch) = SWITCH.get() else { return };
    if let Err(error) = switch.reload(targets(level)) {
        tracing::warn!(%error, "the log level stays as it was");
    }
}

fn targets(level: LogLevel) -> Targets {
    let ours = filter(level);
    let others = if ours >= LevelFilter::DEBUG { ours } else { ours.min(LevelFilter::WARN) };
    Targets::new().with_default(others).with_target("perdura", ours).with_target("perdura_wal", ours)
}

fn filter(level: LogLevel) -> LevelFilter {
    match level {
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Trace => LevelFilter::TRACE,
    }
}

#[cfg(test)]
mod tests {
    use tracing::Level;

    use super::*;

    #[test]
    fn libraries_are_quiet_until_one_debugs() {
        let info = targets(LogLevel::Info);
        assert!(info.would_enable("perdura::net", &Level::INFO));
        assert!(!info.would_enable("hyper::proto", &Level::INFO));
        assert!(info.would_enable("hyper::proto", &Level::WARN));
        assert!(targets(LogLevel::Debug).would_enable("hyper::proto", &Level::DEBUG));
        assert!(!targets(LogLevel::Error).would_enable("hyper::proto", &Level::WARN));
    }
}
