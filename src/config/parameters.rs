//! The parameters of CONFIG GET and CONFIG SET, by Redis' names.
//!
//! - [`PARAMETERS`] is the only list, in the order of names.
//! - A parameter whose value this server can't change has the value that tells the truth about the server, and CONFIG
//!   SET takes just that value: tools that set `appendonly yes` to be safe are right already.
//! - The limits of the compact encodings decide what apply does, so they are the same on all nodes and in every
//!   replay, and immutable.
//!
//! Source: <https://redis.io/docs/latest/commands/config-get/> and the comments of redis.conf.

use std::sync::atomic::Ordering;

use super::encodings;
use super::runtime::RuntimeConfig;
use super::value::{LogLevel, Secret, parse_bytes, parse_events, parse_number, parse_yes_no, yes_no};
use super::{DATABASES, parse_max_bulk_len};

/// A checked change, ready to be made.
pub type Change = Box<dyn FnOnce(&RuntimeConfig)>;

/// How CONFIG SET changes a parameter.
#[derive(Clone, Copy)]
pub enum Setter {
    Immutable,
    /// Takes this value, which it has already.
    Only(&'static str),
    By(fn(&RuntimeConfig, &str) -> Result<Change, String>),
}

/// One row of [`PARAMETERS`].
pub struct Parameter {
    pub name: &'static str,
    pub get: fn(&RuntimeConfig) -> String,
    pub set: Setter,
}

/// The row of a parameter, in any case of letters.
pub fn named(name: &str) -> Option<&'static Parameter> {
    PARAMETERS.iter().find(|parameter| parameter.name.eq_ignore_ascii_case(name))
}

macro_rules! only {
    ($name:literal, $value:literal) => {
        Parameter { name: $name, get: |_| $value.to_owned(), set: Setter::Only($value) }
    };
}

macro_rules! immutable {
    ($name:literal, $get:expr) => {
        Parameter { name: $name, get: $get, set: Setter::Immutable }
    };
}

macro_rules! mutable {
    ($name:literal, $get:expr, $set:expr) => {
        Parameter { name: $name, get: $get, set: Setter::By($set) }
    };
}

/// Every parameter.
#[rustfmt::skip]
pub const PARAMETERS: &[Parameter] = &[
    only!("activedefrag", "no"),
    only!("appendfsync", "always"),
    only!("appendonly", "yes"),
    immutable!("bind", |c| bind_text(c)),
    mutable!("client-output-buffer-limit", |c| c.output_limits().to_string(), set_output_limits),
    immutable!("cluster-enabled", |_| "no".to_owned()),
    immutable!("daemonize", |_| "no".to_owned()),
    immutable!("databases", |_| DATABASES.to_string()),
    immutable!("dir", |c| dir_text(c)),
    immutable!("hash-max-listpack-entries", |_| encodings::HASH_MAX_LISTPACK_ENTRIES.to_string()),
    immutable!("hash-max-listpack-value", |_| encodings::HASH_MAX_LISTPACK_VALUE_BYTES.to_string()),
    immutable!("hash-max-ziplist-entries", |_| encodings::HASH_MAX_LISTPACK_ENTRIES.to_string()),
    immutable!("hash-max-ziplist-value", |_| encodings::HASH_MAX_LISTPACK_VALUE_BYTES.to_string()),
    only!("hll-sparse-max-bytes", "3000"),
    only!("latency-monitor-threshold", "0"),
    only!("lazyfree-lazy-eviction", "no"),
    only!("lazyfree-lazy-expire", "no"),
    only!("lazyfree-lazy-server-del", "no"),
    only!("lazyfree-lazy-user-del", "no"),
    only!("lazyfree-lazy-user-flush", "no"),
    only!("list-compress-depth", "0"),
    immutable!("list-max-listpack-size", |_| list_max_listpack_size()),
    immutable!("list-max-ziplist-size", |_| list_max_listpack_size()),
    mutable!("loglevel", |c| c.log_level.read().redis_name().to_owned(), set_log_level),
    mutable!("masterauth", |c| secret_text(c.masterauth()), set_masterauth),
    mutable!("maxclients", |c| c.maxclients().to_string(), set_maxclients),
    mutable!("maxmemory", |c| c.maxmemory().to_string(), set_maxmemory),
    only!("maxmemory-policy", "noeviction"),
    mutable!("notify-keyspace-events", |c| c.told_events().letters(), set_told_events),
    immutable!("port", |c| c.started_with().port.to_string()),
    mutable!("protected-mode", |c| yes_no(c.protected_mode()).to_owned(), set_protected_mode),
    mutable!("proto-max-bulk-len", |c| c.proto_max_bulk_len().to_string(), set_max_bulk_len),
    only!("replica-read-only", "yes"),
    mutable!("requirepass", |c| secret_text(c.requirepass()), set_requirepass),
    only!("save", ""),
    immutable!("set-max-intset-entries", |_| encodings::SET_MAX_INTSET_ENTRIES.to_string()),
    immutable!("set-max-listpack-entries", |_| encodings::SET_MAX_LISTPACK_ENTRIES.to_string()),
    immutable!("set-max-listpack-value", |_| encodings::SET_MAX_LISTPACK_VALUE_BYTES.to_string()),
    mutable!("slowlog-log-slower-than", |c| c.slowlog_slower_than_us().to_string(), set_slowlog_slower_than),
    mutable!("slowlog-max-len", |c| c.slowlog_max_len().to_string(), set_slowlog_max_len),
    immutable!("stream-node-max-bytes", |_| encodings::STREAM_NODE_MAX_BYTES.to_string()),
    immutable!("stream-node-max-entries", |_| encodings::STREAM_NODE_MAX_ENTRIES.to_string()),
    mutable!("tcp-keepalive", |c| c.tcp_keepalive_s().to_string(), set_tcp_keepalive),
    mutable!("timeout", |c| c.timeout_s().to_string(), set_timeout),
    immutable!("zset-max-listpack-entries", |_| encodings::ZSET_MAX_LISTPACK_ENTRIES.to_string()),
    immutable!("zset-max-listpack-value", |_| encodings::ZSET_MAX_LISTPACK_VALUE_BYTES.to_string()),
    immutable!("zset-max-ziplist-entries", |_| encodings::ZSET_MAX_LISTPACK_ENTRIES.to_string()),
    immutable!("zset-max-ziplist-value", |_| encodings::ZSET_MAX_LISTPACK_VALUE_BYTES.to_string()),
];

fn bind_text(config: &RuntimeConfig) -> String {
    let bind: Vec<String> = config.started_with().bind.iter().map(|bind| bind.to_string()).collect();
    bind.join(" ")
}

fn dir_text(config: &RuntimeConfig) -> String {
    config.started_with().dir.display().to_string()
}

/// Redis numbers the sizes of a list's chunk from -1, 4 KiB, to -5, 64 KiB.
fn list_max_listpack_size() -> String {
    let kib = encodings::LIST_MAX_LISTPACK_BYTES >> 10;
    (1 - i64::from(kib.ilog2())).to_string()
}

fn secret_text(secret: Option<Secret>) -> String {
    secret.map_or_else(String::new, |secret| secret.expose().to_owned())
}

/// What is set here would be forgotten with the process, and a password that was revoked would be back.
const NOT_KEPT: &str =
    "it would not survive a restart: change the file of --requirepass-file, which is read again";

fn set_requirepass(config: &RuntimeConfig, value: &str) -> Result<Change, String> {
    keep_secret(config.requirepass(), value)
}

fn set_masterauth(config: &RuntimeConfig, value: &str) -> Result<Change, String> {
    keep_secret(config.masterauth(), value)
}

fn keep_secret(current: Option<Secret>, value: &str) -> Result<Change, String> {
    match Secret::parse(value)? == current {
        true => Ok(Box::new(|_| ())),
        false => Err(NOT_KEPT.to_owned()),
    }
}

fn set_output_limits(config: &RuntimeConfig, value: &str) -> Result<Change, String> {
    let limits = config.output_limits().with(value)?;
    Ok(Box::new(move |config| config.set_output_limits(limits)))
}

fn set_log_level(_: &RuntimeConfig, value: &str) -> Result<Change, String> {
    let level = LogLevel::parse(&value.to_ascii_lowercase())?;
    Ok(Box::new(move |config| config.change_log_level(level)))
}

fn set_protected_mode(_: &RuntimeConfig, value: &str) -> Result<Change, String> {
    let on = parse_yes_no(&value.to_ascii_lowercase())?;
    Ok(Box::new(move |config| config.protected_mode.store(on, Ordering::Relaxed)))
}

fn set_maxclients(config: &RuntimeConfig, value: &str) -> Result<Change, String> {
    // The limit of open files was raised for the number at start, and no further.
    let most = config.started_with().maxclients;
    let clients = parse_number(value, 1..=most)?;
    Ok(Box::new(move |config| config.maxclients.store(clients, Ordering::Relaxed)))
}

fn set_told_events(_: &RuntimeConfig, value: &str) -> Result<Change, String> {
    let classes = parse_events(value)?;
    Ok(Box::new(move |config| config.told_events.store(classes.bits(), Ordering::Relaxed)))
}

fn set_timeout(_: &RuntimeConfig, value: &str) -> Result<Change, String> {
    let seconds = parse_number(value, 0..=i32::MAX as u64)?;
    Ok(Box::new(move |config| config.timeout_s.store(seconds, Ordering::Relaxed)))
}

fn set_tcp_keepalive(_: &RuntimeConfig, value: &str) -> Result<Change, String> {
    let seconds = parse_number(value, 0..=i16::MAX as u64)?;
    Ok(Box::new(move |config| config.tcp_keepalive_s.store(seconds, Ordering::Relaxed)))
}

fn set_maxmemory(_: &RuntimeConfig, value: &str) -> Result<Change, String> {
    let bytes = parse_bytes(value)?;
    Ok(Box::new(move |config| config.maxmemory.store(bytes, Ordering::Relaxed)))
}

fn set_max_bulk_len(_: &RuntimeConfig, value: &str) -> Result<Change, String> {
    let bytes = parse_max_bulk_len(value)?;
    Ok(Box::new(move |config| config.proto_max_bulk_len.store(bytes, Ordering::Relaxed)))
}

fn set_slowlog_slower_than(_: &RuntimeConfig, value: &str) -> Result<Change, String> {
    let micros = value.parse().map_err(|_| "argument couldn't be parsed into an integer".to_owned())?;
    Ok(Box::new(move |config| config.slowlog_slower_than_us.store(micros, Ordering::Relaxed)))
}

fn set_slowlog_max_len(_: &RuntimeConfig, value: &str) -> Result<Change, String> {
    let entries = parse_number(value, 0..=100_000)?;
    Ok(Box::new(move |config| config.slowlog_max_len.store(entries, Ordering::Relaxed)))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::config::Config;
    use crate::config::runtime::SetError;
    use crate::config::settings::Settings;

    fn runtime() -> RuntimeConfig {
        let config = Config::build(&Settings::defaults()).expect("the defaults are sound");
        RuntimeConfig::new(config, Arc::default())
    }

    fn get(config: &RuntimeConfig, name: &str) -> String {
        let found = config.parameters().find(|(other, _)| *other == name);
        found.expect("a parameter").1
    }

    #[test]
    fn names_are_sorted_and_unique() {
        assert!(PARAMETERS.windows(2).all(|pair| pair[0].name < pair[1].name));
    }

    #[test]
    fn every_parameter_that_can_be_set_takes_the_value_that_it_shows() {
        let config = runtime();
        for parameter in PARAMETERS {
            let value = (parameter.get)(&config);
            let result = config.set(&[(parameter.name, &value)]);
            let immutable = matches!(parameter.set, Setter::Immutable);
            assert_eq!(result.is_err(), immutable, "{} {value}", parameter.name);
            assert_eq!(get(&config, parameter.name), value);
        }
    }

    #[test]
    fn limits_of_encodings_have_the_numbers_of_redis() {
        let config = runtime();
        assert_eq!(get(&config, "list-max-listpack-size"), "-2");
        assert_eq!(get(&config, "hash-max-listpack-entries"), "128");
    }

    #[test]
    fn a_change_is_seen_by_everyone() {
        let config = runtime();
        config.set(&[("TIMEOUT", "30"), ("requirepass", "")]).expect("both are fine");
        assert_eq!(config.timeout_s(), 30);
    }

    #[test]
    fn a_password_that_a_restart_would_forget_is_refused() {
        let config = runtime();
        for name in ["requirepass", "masterauth"] {
            let error = config.set(&[("timeout", "30"), (name, "hush")]).expect_err("refused").to_string();
            assert!(error.contains("--requirepass-file") && !error.contains("hush"), "{error}");
            assert_eq!(config.timeout_s(), 0);
        }
        assert!(config.needs_no_password() && config.accepts_password(b"any"));
    }

    #[test]
    fn one_bad_value_changes_nothing() {
        let config = runtime();
        let error = config.set(&[("timeout", "30"), ("maxclients", "zero")]).expect_err("no number");
        assert!(
            error.to_string().starts_with("CONFIG SET failed (possibly related to argument 'maxclients')")
        );
        assert_eq!(config.timeout_s(), 0);
    }

    #[test]
    fn errors_are_those_of_redis() {
        let config = runtime();
        let error = |pairs: &[(&str, &str)]| config.set(pairs).expect_err("refused");
        assert_eq!(
            error(&[("port", "1")]).to_string(),
            "CONFIG SET failed (possibly related to argument 'port') - can't set immutable config"
        );
        assert_eq!(
            error(&[("timeout", "1"), ("Timeout", "2")]).to_string(),
            "CONFIG SET failed (possibly related to argument 'Timeout') - duplicate parameter"
        );
        assert_eq!(error(&[("nope", "1")]), SetError::Unknown { name: "nope".to_owned() });
        assert!(error(&[("appendonly", "no")]).to_string().ends_with("only 'yes' is supported"));
    }
}
