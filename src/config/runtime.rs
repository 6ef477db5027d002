//! The settings that CONFIG SET may change while the server runs, shared by all threads.
//!
//! - Some are this node's: a change is made here, at once, and holds until the process ends. The others are the group's
//!   ([`super::group`]): the session logs a change, and nothing is changed here.
//! - Reading never waits for long: numbers are atomics, the rest is behind locks that are held for a copy.
//! - One CONFIG SET changes all that it names or nothing; what it names is checked before anything is changed.
//!   A reader may see the first of two changes before the second. One that names a parameter of the node and one of the group is refused,
//!   for the second change may fail after the first was made.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use parking_lot::{Mutex, RwLock};

use super::Config;
use super::events::Classes;
use super::eviction::{ClientsLimit, Eviction};
use super::group::GroupParameters;
use super::group_values::{GROUP_PARAMETERS, group_parameter};
use super::parameters::{self, Change, Setter};
use super::passwords::Passwords;
use super::value::{LogLevel, OutputLimits, Secret};
use crate::access::AccessRule;
use crate::logging;

/// Entries that ACL LOG keeps unless CONFIG SET says otherwise.
const DEFAULT_ACLLOG_LEN: u64 = 128;

/// Why a CONFIG SET changed nothing. Its text is the reply's, after `ERR `.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum SetError {
    #[error("Unknown option or number of arguments for CONFIG SET - '{name}'")]
    Unknown { name: String },
    #[error("CONFIG SET failed (possibly related to argument '{name}') - {reason}")]
    Refused { name: String, reason: String },
    #[error(
        "CONFIG SET failed - '{node}' is this node's and '{group}' is the group's: set them one after the other"
    )]
    Mixed { node: String, group: String },
}

/// What one CONFIG SET comes to, checked.
pub enum Planned {
    /// Changes of this node.
    Node(Vec<Change>),
    /// Names and texts that are to be logged.
    Group(Vec<(&'static str, String)>),
}

/// The settings as they are now.
#[derive(Debug)]
pub struct RuntimeConfig {
    started_with: Config,
    changing: Mutex<()>,
    passwords: RwLock<Passwords>,
    group: Arc<GroupParameters>,
    pub(super) log_level: RwLock<LogLevel>,
    pub(super) protected_mode: AtomicBool,
    pub(super) maxclients: AtomicU64,
    pub(super) tcp_keepalive_s: AtomicU64,
    pub(super) acllog_max_len: AtomicU64,
    pub(super) latency_percentiles: RwLock<Vec<f64>>,
    pub(super) latency_tracking: AtomicBool,
    pub(super) tracking_table_max_keys: AtomicU64,
}

impl RuntimeConfig {
    /// The settings that the server was started with, ready to change. `group` is what its group has set.
    pub fn new(config: Config, group: Arc<GroupParameters>) -> RuntimeConfig {
        group.start_with(config.given.clone());
        RuntimeConfig {
            changing: Mutex::new(()),
            passwords: RwLock::new(config.passwords.clone()),
            group,
            log_level: RwLock::new(config.log_level),
            protected_mode: AtomicBool::new(config.protected_mode),
            maxclients: AtomicU64::new(config.maxclients),
            tcp_keepalive_s: AtomicU64::new(config.tcp_keepalive_s),
            acllog_max_len: AtomicU64::new(DEFAULT_ACLLOG_LEN),
            latency_percentiles: RwLock::new(vec![50.0, 99.0, 99.9]),
            latency_tracking: AtomicBool::new(true),
            tracking_table_max_keys: AtomicU64::new(config.tracking_table_max_keys),
            started_with: config,
        }
    }

    /// What can't change.
    pub fn started_with(&self) -> &Config {
        &self.started_with
    }

    /// The first of the passwords.
    pub fn requirepass(&self) -> Option<Secret> {
        self.passwords.read().first().cloned()
    }

    /// Whether clients may do without authenticating.
    pub fn needs_no_password(&self) -> bool {
        self.passwords.read().is_empty()
    }

    /// Whether an attempt is the password of `masterauth`.
    pub fn is_masterauth(&self, attempt: &[u8]) -> bool {
        self.started_with.masterauth.as_ref().is_some_and(|secret| secret.matches(attempt))
    }

    /// Whether an attempt is one of the passwords; any is where none is needed.
    pub fn accepts_password(&self, attempt: &[u8]) -> bool {
        let passwords = self.passwords.read();
        passwords.is_empty() || passwords.accept(attempt)
    }

    /// False if they are those that it has.
    pub fn replace_passwords(&self, passwords: Passwords) -> bool {
        let mut current = self.passwords.write();
        let changes = *current != passwords;
        *current = passwords;
        changes
    }

    /// What this node authenticates with where it is another node's client.
    pub fn masterauth(&self) -> Option<Secret> {
        self.started_with.masterauth.clone().or_else(|| self.requirepass())
    }

    pub fn output_limits(&self) -> OutputLimits {
        self.group.values().output_limits
    }

    /// What the group has set.
    pub fn group(&self) -> &GroupParameters {
        &self.group
    }

    pub fn protected_mode(&self) -> bool {
        self.protected_mode.load(Ordering::Relaxed)
    }

    pub fn maxclients(&self) -> u64 {
        self.maxclients.load(Ordering::Relaxed)
    }

    /// Keys that clients may have cached; zero is no bound but the table's own.
    pub fn tracking_table_max_keys(&self) -> u64 {
        self.tracking_table_max_keys.load(Ordering::Relaxed)
    }

    /// Zero is never.
    pub fn timeout_s(&self) -> u64 {
        self.group.timeout_s()
    }

    /// Percentiles of durations that INFO latencystats has.
    pub fn latency_percentiles(&self) -> Vec<f64> {
        self.latency_percentiles.read().clone()
    }

    /// Whether INFO has them.
    pub fn shows_latencies(&self) -> bool {
        self.latency_tracking.load(Ordering::Relaxed)
    }

    /// Entries that ACL LOG keeps.
    pub fn acllog_max_len(&self) -> usize {
        self.acllog_max_len.load(Ordering::Relaxed) as usize
    }

    /// Zero is never.
    pub fn tcp_keepalive_s(&self) -> u64 {
        self.tcp_keepalive_s.load(Ordering::Relaxed)
    }

    /// Bytes; zero is no limit but the guard.
    pub fn maxmemory(&self) -> u64 {
        self.group.maxmemory()
    }

    /// What is evicted at `maxmemory`.
    pub fn eviction(&self) -> Eviction {
        self.group.values().eviction
    }

    /// What the buffers of clients may take.
    pub fn clients_limit(&self) -> ClientsLimit {
        self.group.values().clients_limit
    }

    /// How access words of keys are kept.
    pub fn access(&self) -> AccessRule {
        self.group.access()
    }

    pub fn proto_max_bulk_len(&self) -> u64 {
        self.group.proto_max_bulk_len()
    }

    /// Commands slower than this go to the slow log; negative is none, zero is all.
    pub fn slowlog_slower_than_us(&self) -> i64 {
        self.group.slowlog_slower_than_us()
    }

    /// Keyspace notifications.
    pub fn told_events(&self) -> Classes {
        self.group.values().told_events
    }

    pub fn slowlog_max_len(&self) -> u64 {
        self.group.values().slowlog_max_len
    }

    /// Every parameter of CONFIG GET with its value, by name.
    pub fn parameters(&self) -> Vec<(&'static str, String)> {
        let values = self.group.values();
        let own = parameters::PARAMETERS.iter().map(|parameter| (parameter.name, (parameter.get)(self)));
        let names = GROUP_PARAMETERS.iter().flat_map(|row| [(row.name, row), (row.alias, row)]);
        let shared = names.filter(|(name, _)| !name.is_empty()).map(|(name, row)| (name, (row.get)(&values)));
        let mut all: Vec<_> = own.chain(shared).collect();
        all.sort_unstable_by_key(|(name, _)| *name);
        all
    }

    /// Checks one CONFIG SET. Nothing has changed.
    ///
    /// # Errors
    /// The first parameter that is unknown, named twice, immutable or given a bad value.
    pub fn plan(&self, pairs: &[(&str, &str)]) -> Result<Planned, SetError> {
        let mut values = (*self.group.values()).clone();
        let (mut changes, mut rows) = (Vec::new(), Vec::new());
        for (index, (name, value)) in pairs.iter().enumerate() {
            let twice = pairs[..index].iter().any(|(other, _)| other.eq_ignore_ascii_case(name));
            if twice {
                return Err(refused(name, "duplicate parameter"));
            }
            match group_parameter(name) {
                Some(row) => {
                    (row.set)(&mut values, value).map_err(|reason| refused(name, &reason))?;
                    rows.push(row);
                }
                None => changes.push((*name, self.check(name, value)?)),
            }
        }
        match (&changes[..], &rows[..]) {
            ([(node, _), ..], [group, ..]) => {
                Err(SetError::Mixed { node: (*node).to_owned(), group: group.name.to_owned() })
            }
            (_, []) => Ok(Planned::Node(changes.into_iter().map(|(_, change)| change).collect())),
            _ => Ok(Planned::Group(rows.iter().map(|row| (row.name, (row.get)(&values))).collect())),
        }
    }

    /// Makes changes of this node.
    pub fn change(&self, changes: Vec<Change>) {
        let _one_at_a_time = self.changing.lock();
        changes.into_iter().for_each(|change| change(self));
    }

    /// Does one CONFIG SET, as if a change of the group had been logged.
    #[cfg(test)]
    pub fn set(&self, pairs: &[(&str, &str)]) -> Result<(), SetError> {
        match self.plan(pairs)? {
            Planned::Node(changes) => self.change(changes),
            Planned::Group(texts) => self.group.set_in_test(&texts),
        }
        Ok(())
    }

    fn check(&self, name: &str, value: &str) -> Result<Change, SetError> {
        let parameter = parameters::named(name).ok_or_else(|| SetError::Unknown { name: name.to_owned() })?;
        match parameter.set {
            Setter::Immutable => Err(refused(name, "can't set immutable config")),
            Setter::Only(only, why) => keep_as_it_is(name, value, only, why),
            Setter::AsItIs(why) => keep_as_it_is(name, value, &(parameter.get)(self), why),
            Setter::By(check) => check(self, value).map_err(|reason| refused(name, &reason)),
        }
    }

    pub(super) fn change_log_level(&self, level: LogLevel) {
        *self.log_level.write() = level;
        logging::set_level(level);
    }
}

/// A change to the value that a parameter has.
fn keep_as_it_is(name: &str, value: &str, only: &str, why: &str) -> Result<Change, SetError> {
    match value.eq_ignore_ascii_case(only) {
        true => Ok(Box::new(|_| ())),
        false => Err(refused(name, &format!("only '{only}' is supported: {why}"))),
    }
}

fn refused(name: &str, reason: &str) -> SetError {
    SetError::Refused { name: name.to_owned(), reason: reason.to_owned() }
}
