//! The parameters of CONFIG GET and CONFIG SET, by Redis' names.
//!
//! - [`PARAMETERS`] are those of a node, in the order of names; those of its group are in `group_values.rs`.
//! - A parameter whose value this server can't change has the value that tells the truth about the server, and CONFIG
//!   SET takes just that value: tools that set `appendonly yes` to be safe are right already. Another is refused with the reason.
//!
//! Source: <https://redis.io/docs/latest/commands/config-get/> and the comments of redis.conf.

use std::sync::atomic::Ordering;

use super::DATABASES;
use super::runtime::RuntimeConfig;
use super::value::{LogLevel, Secret, parse_number, parse_yes_no, yes_no};

/// A checked change, ready to be made.
pub type Change = Box<dyn FnOnce(&RuntimeConfig)>;

/// How CONFIG SET changes a parameter.
#[derive(Clone, Copy)]
pub enum Setter {
    Immutable,
    /// Takes this value, which it has already; the reason why it can have no other.
    Only(&'static str, &'static str),
    /// Takes the value that it has; the reason why it can have no other.
    AsItIs(&'static str),
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
    ($name:literal, $value:literal, $why:expr) => {
        Parameter { name: $name, get: |_| $value.to_owned(), set: Setter::Only($value, $why) }
    };
}

macro_rules! as_it_is {
    ($name:literal, $get:expr, $why:expr) => {
        Parameter { name: $name, get: $get, set: Setter::AsItIs($why) }
    };
}

const THE_LOG: &str = "the log is the database, and every write is on disk before it is acknowledged";
const NO_SNAPSHOTS: &str =
    "checkpoints take the place of snapshots: see --checkpoint-seconds and --checkpoint-log-bytes";
const NO_FORK: &str = "nothing here forks, and a checkpoint is no reason to refuse writes";
const FREED_BESIDE: &str = "large values are always freed by a thread of their own";
const FOLLOWERS: &str =
    "replicas of a group send writes to the primary, and the majority that a write waits for is the group's";
const BY_STEPS: &str = "a script ends after a number of steps, the same on every node: no time ends one, and nobody is answered BUSY";
const NO_DEFRAG: &str = "the allocator gives memory back by itself";
const BY_FLAG: &str = "it is a flag of perdura serve";
const EXPIRY: &str = "expired keys are freed by the log, as many as there are";

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
    only!("acl-pubsub-default", "resetchannels", "a new user may use the channels that its rules name"),
    mutable!("acllog-max-len", |c| c.acllog_max_len().to_string(), set_acllog_max_len),
    only!("active-expire-effort", "1", EXPIRY),
    only!("activedefrag", "no", NO_DEFRAG),
    only!("aof-load-truncated", "yes", THE_LOG),
    only!("aof-use-rdb-preamble", "yes", THE_LOG),
    only!("appendfsync", "always", THE_LOG),
    only!("appendonly", "yes", THE_LOG),
    as_it_is!("bind", |c| bind_text(c), BY_FLAG),
    as_it_is!("busy-reply-threshold", |_| "0".to_owned(), BY_STEPS),
    immutable!("cluster-enabled", |_| "no".to_owned()),
    immutable!("daemonize", |_| "no".to_owned()),
    immutable!("databases", |_| DATABASES.to_string()),
    as_it_is!("dbfilename", |_| String::new(), NO_SNAPSHOTS),
    as_it_is!("dir", |c| dir_text(c), BY_FLAG),
    immutable!("io-threads", |c| c.started_with().workers.to_string()),
    only!("io-threads-do-reads", "yes", "each worker reads, runs and writes for its own clients"),
    mutable!("latency-tracking", |c| yes_no(c.shows_latencies()).to_owned(), set_latency_tracking),
    mutable!("latency-tracking-info-percentiles", |c| percentiles_text(c), set_percentiles),
    only!("lazyfree-lazy-eviction", "yes", FREED_BESIDE),
    only!("lazyfree-lazy-expire", "yes", FREED_BESIDE),
    only!("lazyfree-lazy-server-del", "yes", FREED_BESIDE),
    only!("lazyfree-lazy-user-del", "yes", FREED_BESIDE),
    only!("lazyfree-lazy-user-flush", "yes", FREED_BESIDE),
    immutable!("logfile", |_| String::new()),
    mutable!("loglevel", |c| c.log_level.read().redis_name().to_owned(), set_log_level),
    as_it_is!("lua-time-limit", |_| "0".to_owned(), BY_STEPS),
    mutable!("masterauth", |c| secret_text(c.masterauth()), set_masterauth),
    mutable!("maxclients", |c| c.maxclients().to_string(), set_maxclients),
    as_it_is!("min-replicas-to-write", |c| acknowledging(c), FOLLOWERS),
    as_it_is!("min-slaves-to-write", |c| acknowledging(c), FOLLOWERS),
    only!("no-appendfsync-on-rewrite", "no", THE_LOG),
    immutable!("pidfile", |_| String::new()),
    as_it_is!("port", |c| c.started_with().port.to_string(), BY_FLAG),
    mutable!("protected-mode", |c| yes_no(c.protected_mode()).to_owned(), set_protected_mode),
    only!("rdbchecksum", "yes", "checkpoints have checksums"),
    as_it_is!("repl-backlog-size", |c| c.started_with().checkpoints.log_keep_bytes.to_string(), "it is --log-keep-bytes"),
    only!("replica-priority", "100", FOLLOWERS),
    only!("replica-read-only", "yes", FOLLOWERS),
    immutable!("replicaof", |_| String::new()),
    mutable!("requirepass", |c| secret_text(c.requirepass()), set_requirepass),
    only!("save", "", NO_SNAPSHOTS),
    only!("slave-priority", "100", FOLLOWERS),
    only!("slave-read-only", "yes", FOLLOWERS),
    immutable!("slaveof", |_| String::new()),
    only!("stop-writes-on-bgsave-error", "no", NO_FORK),
    immutable!("supervised", |_| "no".to_owned()),
    mutable!("tcp-keepalive", |c| c.tcp_keepalive_s().to_string(), set_tcp_keepalive),
    as_it_is!("tls-port", |_| "0".to_owned(), "clients connect without TLS"),
    mutable!("tracking-table-max-keys", |c| c.tracking_table_max_keys().to_string(), set_tracking_table_max_keys),
    immutable!("unixsocket", |_| String::new()),
];

fn bind_text(config: &RuntimeConfig) -> String {
    let bind: Vec<String> = config.started_with().bind.iter().map(|bind| bind.to_string()).collect();
    bind.join(" ")
}

/// Absolute: nothing changes the process' working directory.
fn dir_text(config: &RuntimeConfig) -> String {
    let dir = &config.started_with().dir;
    std::path::absolute(dir).unwrap_or_else(|_| dir.clone()).display().to_string()
}

/// Followers that have a write on disk before it is acknowledged.
fn acknowledging(config: &RuntimeConfig) -> String {
    (config.started_with().members.len() / 2).to_string()
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

fn set_log_level(_: &RuntimeConfig, value: &str) -> Result<Change, String> {
    let level = LogLevel::parse(&value.to_ascii_lowercase())?;
    Ok(Box::new(move |config| config.change_log_level(level)))
}

fn set_protected_mode(_: &RuntimeConfig, value: &str) -> Result<Change, String> {
    let on = parse_yes_no(&value.to_ascii_lowercase())?;
    Ok(Box::new(move |config| config.protected_mode.store(on, Ordering::Relaxed)))
}

/// Latencies are counted in any case: without it INFO does not show them.
fn set_latency_tracking(_: &RuntimeConfig, value: &str) -> Result<Change, String> {
    let on = parse_yes_no(&value.to_ascii_lowercase())?;
    Ok(Box::new(move |config| config.latency_tracking.store(on, Ordering::Relaxed)))
}

fn set_maxclients(config: &RuntimeConfig, value: &str) -> Result<Change, String> {
    // The limit of open files was raised for the number at start, and no further.
    let most = config.started_with().maxclients;
    let clients = parse_number(value, 1..=most)?;
    Ok(Box::new(move |config| config.maxclients.store(clients, Ordering::Relaxed)))
}

fn percentiles_text(config: &RuntimeConfig) -> String {
    config.latency_percentiles().iter().map(f64::to_string).collect::<Vec<_>>().join(" ")
}

/// INFO has a number for each of them and each command.
fn set_percentiles(_: &RuntimeConfig, value: &str) -> Result<Change, String> {
    const MOST: usize = 32;
    let parse = |word: &str| word.parse::<f64>().ok().filter(|percentile| (0.0..=100.0).contains(percentile));
    let percentiles: Option<Vec<f64>> = value.split_whitespace().map(parse).collect();
    let percentiles = percentiles.filter(|all| all.len() <= MOST);
    let percentiles =
        percentiles.ok_or_else(|| format!("they must be at most {MOST} numbers from 0 to 100"))?;
    Ok(Box::new(move |config| *config.latency_percentiles.write() = percentiles))
}

/// An entry of ACL LOG takes some 2 KB at most.
fn set_acllog_max_len(_: &RuntimeConfig, value: &str) -> Result<Change, String> {
    let entries = parse_number(value, 0..=10_000)?;
    Ok(Box::new(move |config| config.acllog_max_len.store(entries, Ordering::Relaxed)))
}

fn set_tracking_table_max_keys(_: &RuntimeConfig, value: &str) -> Result<Change, String> {
    let keys = parse_number(value, 0..=u64::from(u32::MAX))?;
    Ok(Box::new(move |config| config.tracking_table_max_keys.store(keys, Ordering::Relaxed)))
}

fn set_tcp_keepalive(_: &RuntimeConfig, value: &str) -> Result<Change, String> {
    let seconds = parse_number(value, 0..=i16::MAX as u64)?;
    Ok(Box::new(move |config| config.tcp_keepalive_s.store(seconds, Ordering::Relaxed)))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::config::Config;
    use crate::config::group_values::group_parameter;
    use crate::config::runtime::{Planned, SetError};
    use crate::config::settings::Settings;

    fn runtime() -> RuntimeConfig {
        let config = Config::build(&Settings::defaults()).expect("the defaults are sound");
        RuntimeConfig::new(config, Arc::default())
    }

    fn get(config: &RuntimeConfig, name: &str) -> String {
        let found = config.parameters().into_iter().find(|(other, _)| *other == name);
        found.expect("a parameter").1
    }

    /// What is to be logged; changes of the node are made.
    fn set(config: &RuntimeConfig, pairs: &[(&str, &str)]) -> Result<Vec<(&'static str, String)>, SetError> {
        Ok(match config.plan(pairs)? {
            Planned::Node(changes) => {
                config.change(changes);
                Vec::new()
            }
            Planned::Group(texts) => texts,
        })
    }

    #[test]
    fn names_are_sorted_and_unique() {
        assert!(PARAMETERS.windows(2).all(|pair| pair[0].name < pair[1].name));
        let all = runtime().parameters();
        assert!(all.windows(2).all(|pair| pair[0].0 < pair[1].0));
    }

    #[test]
    fn every_parameter_that_can_be_set_takes_the_value_that_it_shows() {
        let config = runtime();
        for (name, value) in config.parameters() {
            let result = set(&config, &[(name, &value)]);
            match (group_parameter(name), named(name)) {
                (Some(row), None) => assert_eq!(result, Ok(vec![(row.name, value.clone())]), "{name}"),
                (None, Some(row)) => {
                    let immutable = matches!(row.set, Setter::Immutable);
                    assert_eq!(result.is_err(), immutable, "{name} {value}");
                }
                _ => panic!("{name} is the node's or the group's"),
            }
            assert_eq!(get(&config, name), value);
        }
    }

    #[test]
    fn limits_of_encodings_have_the_numbers_of_redis() {
        let config = runtime();
        assert_eq!(get(&config, "list-max-listpack-size"), "-2");
        assert_eq!(get(&config, "hash-max-listpack-entries"), "128");
        assert_eq!(get(&config, "hash-max-ziplist-entries"), "128");
    }

    #[test]
    fn a_change_of_the_node_is_made_at_once() {
        let config = runtime();
        set(&config, &[("TCP-KEEPALIVE", "30"), ("requirepass", "")]).expect("both are fine");
        assert_eq!(config.tcp_keepalive_s(), 30);
    }

    #[test]
    fn percentiles_are_shown_as_short_as_they_are() {
        let config = runtime();
        const NAME: &str = "latency-tracking-info-percentiles";
        assert_eq!(get(&config, NAME), "50 99 99.9");
        set(&config, &[(NAME, "0.0 50.0 100.0")]).expect("they are fine");
        assert_eq!(get(&config, NAME), "0 50 100");
        for wrong in ["10 a", "101", "-1", "nan", &"1 ".repeat(33)] {
            assert!(set(&config, &[(NAME, wrong)]).is_err(), "{wrong}");
        }
        set(&config, &[(NAME, "")]).expect("none is fine, too");
        assert_eq!(get(&config, NAME), "");
    }

    #[test]
    fn a_change_of_the_group_is_to_be_logged_in_its_one_spelling() {
        let config = runtime();
        let planned = set(&config, &[("hash-max-ziplist-entries", "8"), ("MAXMEMORY", "1mb")]);
        let texts = [("hash-max-listpack-entries", "8".to_owned()), ("maxmemory", "1048576".to_owned())];
        assert_eq!(planned, Ok(texts.to_vec()));
        let limits = set(&config, &[("client-output-buffer-limit", "pubsub 1mb 0 0")]);
        let text = "normal 1073741824 268435456 60 pubsub 1048576 0 0".to_owned();
        assert_eq!(limits, Ok(vec![("client-output-buffer-limit", text)]));
        assert_eq!(config.maxmemory(), 0, "the log has it first");
    }

    #[test]
    fn a_change_of_both_is_refused() {
        let config = runtime();
        let error = set(&config, &[("tcp-keepalive", "30"), ("timeout", "30")]).expect_err("refused");
        let text = "CONFIG SET failed - 'tcp-keepalive' is this node's and 'timeout' is the group's: set them one after the other";
        assert_eq!(error.to_string(), text);
        assert_eq!(config.tcp_keepalive_s(), 300);
    }

    #[test]
    fn a_password_that_a_restart_would_forget_is_refused() {
        let config = runtime();
        for name in ["requirepass", "masterauth"] {
            let error = set(&config, &[("tcp-keepalive", "30"), (name, "hush")]).expect_err("refused");
            let error = error.to_string();
            assert!(error.contains("--requirepass-file") && !error.contains("hush"), "{error}");
            assert_eq!(config.tcp_keepalive_s(), 300);
        }
        assert!(config.needs_no_password() && config.accepts_password(b"any"));
    }

    #[test]
    fn one_bad_value_changes_nothing() {
        let config = runtime();
        let error = set(&config, &[("tcp-keepalive", "30"), ("maxclients", "zero")]).expect_err("no number");
        assert!(
            error.to_string().starts_with("CONFIG SET failed (possibly related to argument 'maxclients')")
        );
        assert_eq!(config.tcp_keepalive_s(), 300);
    }

    #[test]
    fn errors_are_those_of_redis() {
        let config = runtime();
        let error = |pairs: &[(&str, &str)]| set(&config, pairs).expect_err("refused");
        assert_eq!(
            error(&[("databases", "1")]).to_string(),
            "CONFIG SET failed (possibly related to argument 'databases') - can't set immutable config"
        );
        assert_eq!(
            error(&[("timeout", "1"), ("Timeout", "2")]).to_string(),
            "CONFIG SET failed (possibly related to argument 'Timeout') - duplicate parameter"
        );
        assert_eq!(error(&[("nope", "1")]), SetError::Unknown { name: "nope".to_owned() });
        let refused = error(&[("appendonly", "no")]).to_string();
        assert!(refused.ends_with(&format!("only 'yes' is supported: {THE_LOG}")), "{refused}");
        let refused = error(&[("lua-time-limit", "5000")]).to_string();
        assert!(refused.ends_with(&format!("only '0' is supported: {BY_STEPS}")), "{refused}");
    }
}
