//! The settings that CONFIG SET may change while the server runs, shared by all threads.
//!
//! - Reading never waits for long: numbers are atomics, the rest is behind locks that are held for a copy.
//! - One CONFIG SET changes all that it names or nothing; what it names is checked before anything is changed.
//!   A reader may see the first of two changes before the second.
//! - Nothing that apply depends on can change here, for a replay of the log would not see the change: the limits of
//!   the compact encodings are constants.
//! - A change holds until the process ends; it reaches neither the file nor the other nodes.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU32, AtomicU64, Ordering};

use parking_lot::{Mutex, RwLock};

use super::Config;
use super::events::Classes;
use super::output_bounds::OutputBounds;
use super::parameters::{self, Change, Setter};
use super::passwords::Passwords;
use super::value::{LogLevel, OutputLimits, Secret};
use crate::logging;

/// Why a CONFIG SET changed nothing. Its text is the reply's, after `ERR `.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum SetError {
    #[error("Unknown option or number of arguments for CONFIG SET - '{name}'")]
    Unknown { name: String },
    #[error("CONFIG SET failed (possibly related to argument '{name}') - {reason}")]
    Refused { name: String, reason: String },
}

/// The settings as they are now.
#[derive(Debug)]
pub struct RuntimeConfig {
    started_with: Config,
    changing: Mutex<()>,
    passwords: RwLock<Passwords>,
    output_limits: RwLock<OutputLimits>,
    /// What follows from that, for those who make replies.
    output_bounds: Arc<OutputBounds>,
    pub(super) log_level: RwLock<LogLevel>,
    pub(super) protected_mode: AtomicBool,
    pub(super) maxclients: AtomicU64,
    pub(super) timeout_s: AtomicU64,
    pub(super) tcp_keepalive_s: AtomicU64,
    pub(super) maxmemory: AtomicU64,
    pub(super) proto_max_bulk_len: AtomicU64,
    pub(super) slowlog_slower_than_us: AtomicI64,
    pub(super) slowlog_max_len: AtomicU64,
    /// As the bits of classes.
    pub(super) told_events: AtomicU32,
}

impl RuntimeConfig {
    /// The settings that the server was started with, ready to change.
    /// `output_bounds` follow the output limits.
    pub fn new(config: Config, output_bounds: Arc<OutputBounds>) -> RuntimeConfig {
        output_bounds.follow(config.output_limits);
        RuntimeConfig {
            changing: Mutex::new(()),
            passwords: RwLock::new(config.passwords.clone()),
            output_limits: RwLock::new(config.output_limits),
            output_bounds,
            log_level: RwLock::new(config.log_level),
            protected_mode: AtomicBool::new(config.protected_mode),
            maxclients: AtomicU64::new(config.maxclients),
            timeout_s: AtomicU64::new(config.timeout_s),
            tcp_keepalive_s: AtomicU64::new(config.tcp_keepalive_s),
            maxmemory: AtomicU64::new(config.maxmemory),
            proto_max_bulk_len: AtomicU64::new(config.proto_max_bulk_len),
            slowlog_slower_than_us: AtomicI64::new(10_000),
            slowlog_max_len: AtomicU64::new(128),
            told_events: AtomicU32::new(config.told_events.bits()),
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
        *self.output_limits.read()
    }

    pub(super) fn set_output_limits(&self, limits: OutputLimits) {
        *self.output_limits.write() = limits;
        self.output_bounds.follow(limits);
    }

    pub fn protected_mode(&self) -> bool {
        self.protected_mode.load(Ordering::Relaxed)
    }

    pub fn maxclients(&self) -> u64 {
        self.maxclients.load(Ordering::Relaxed)
    }

    /// Zero is never.
    pub fn timeout_s(&self) -> u64 {
        self.timeout_s.load(Ordering::Relaxed)
    }

    /// Zero is never.
    pub fn tcp_keepalive_s(&self) -> u64 {
        self.tcp_keepalive_s.load(Ordering::Relaxed)
    }

    /// Bytes; zero is no limit but the guard.
    pub fn maxmemory(&self) -> u64 {
        self.maxmemory.load(Ordering::Relaxed)
    }

    pub fn proto_max_bulk_len(&self) -> u64 {
        self.proto_max_bulk_len.load(Ordering::Relaxed)
    }

    /// Commands slower than this go to the slow log; negative is none, zero is all.
    pub fn slowlog_slower_than_us(&self) -> i64 {
        self.slowlog_slower_than_us.load(Ordering::Relaxed)
    }

    /// Keyspace notifications of this node.
    pub fn told_events(&self) -> Classes {
        Classes::from_bits_truncate(self.told_events.load(Ordering::Relaxed))
    }

    pub fn slowlog_max_len(&self) -> u64 {
        self.slowlog_max_len.load(Ordering::Relaxed)
    }

    /// Every parameter of CONFIG GET with its value, by name.
    pub fn parameters(&self) -> impl Iterator<Item = (&'static str, String)> {
        parameters::PARAMETERS.iter().map(|parameter| (parameter.name, (parameter.get)(self)))
    }

    /// Does one CONFIG SET.
    ///
    /// # Errors
    /// The first parameter that is unknown, named twice, immutable or given a bad value; then nothing has changed.
    pub fn set(&self, pairs: &[(&str, &str)]) -> Result<(), SetError> {
        let _one_at_a_time = self.changing.lock();
        let mut changes = Vec::with_capacity(pairs.len().min(parameters::PARAMETERS.len()));
        for (index, (name, value)) in pairs.iter().enumerate() {
            let twice = pairs[..index].iter().any(|(other, _)| other.eq_ignore_ascii_case(name));
            if twice {
                return Err(refused(name, "duplicate parameter"));
            }
            changes.push(self.check(name, value)?);
        }
        for change in changes {
            change(self);
        }
        Ok(())
    }

    fn check(&self, name: &str, value: &str) -> Result<Change, SetError> {
        let parameter = parameters::named(name).ok_or_else(|| SetError::Unknown { name: name.to_owned() })?;
        match parameter.set {
            Setter::Immutable => Err(refused(name, "can't set immutable config")),
            Setter::Only(only) if value.eq_ignore_ascii_case(only) => Ok(Box::new(|_| ())),
            Setter::Only(only) => Err(refused(name, &format!("only '{only}' is supported"))),
            Setter::By(check) => check(self, value).map_err(|reason| refused(name, &reason)),
        }
    }

    pub(super) fn change_log_level(&self, level: LogLevel) {
        *self.log_level.write() = level;
        logging::set_level(level);
    }
}

fn refused(name: &str, reason: &str) -> SetError {
    SetError::Refused { name: name.to_owned(), reason: reason.to_owned() }
}
