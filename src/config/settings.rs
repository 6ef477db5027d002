//! The server's settings as texts: what exists, and which of four places each value came from.
//!
//! - [`SETTINGS`] is the only list. Flags, environment names, keys of the file, `--help` and the defaults all come
//!   from it.
//! - A flag beats the environment, the environment beats the file, the file beats the default.
//! - Nothing is dropped in silence: an unknown key of the file is an error, an unknown `PERDURA_` variable is reported.
//!   (An error it is not: container platforms set variables of their own behind a service's name.)
//! - Texts become values in `config.rs`; an error there knows the setting's name and where its text came from.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use super::group_values::group_parameter;
use super::{ConfigError, redis_conf};

/// What the environment's names begin with.
pub const ENVIRONMENT_PREFIX: &str = "PERDURA_";

/// A variable of the commands that ask a node: it names the user.
pub const USER_VARIABLE: &str = "PERDURA_USER";

/// One row of [`SETTINGS`].
#[derive(Debug)]
pub struct Setting {
    /// The flag without its dashes, and the key in the file.
    pub name: &'static str,
    /// What stands for the value in `--help`.
    pub value: &'static str,
    pub default: Option<&'static str>,
    /// May be given several times; one text may then hold several values, parted by commas or spaces.
    pub list: bool,
    /// A password: no message, help or debug text shows it.
    pub secret: bool,
    pub group: &'static str,
    pub help: &'static str,
}

const NODE: &str = "Node and cluster";
const CLIENTS: &str = "Clients";
const STORAGE: &str = "Data and log";
const BACKUPS: &str = "Backups";
const REPLICATION: &str = "Replication";
const OBSERVABILITY: &str = "Observability";

const fn setting(
    group: &'static str,
    name: &'static str,
    value: &'static str,
    default: Option<&'static str>,
    help: &'static str,
) -> Setting {
    Setting { name, value, default, list: false, secret: false, group, help }
}

const fn list(setting: Setting) -> Setting {
    Setting { list: true, ..setting }
}

const fn secret(setting: Setting) -> Setting {
    Setting { secret: true, ..setting }
}

/// Every setting of `perdura serve`.
#[rustfmt::skip]
pub const SETTINGS: &[Setting] = &[
    setting(NODE, "config", "FILE", None,
        "A TOML file with these settings and the group's parameters, under the same names; or a redis.conf, of which what means something here is taken and the rest named"),
    setting(NODE, "node-id", "N", Some("1"),
        "This node's number in --initial-cluster, from 1"),
    setting(NODE, "peer-addr", "HOST:PORT", None,
        "Where this node listens for its peers: its address in --initial-cluster, or a wildcard with the same port"),
    setting(NODE, "initial-cluster", "ID=HOST:PORT,…", None,
        "All nodes of the group with their peer addresses, the same text on each; without it the node runs alone"),
    setting(NODE, "cluster-name", "NAME", None,
        "The group's name, the same on each node: as long as a node knows no cluster, it meets only nodes that were given the same name. Addresses do not count, and may change"),
    setting(NODE, "announce-addr", "HOST:PORT", None,
        "Where clients, and peers that forward clients' commands, reach this node [default: the host of the peer address with --port]"),
    setting(NODE, "users-file", "FILE", None,
        "A file of ACL users (user NAME RULE …, a line each) for a group's first start; from then on users live in the log, and ACL SETUSER changes them"),
    list(setting(CLIENTS, "bind", "ADDRESS", Some("127.0.0.1"),
        "Address to listen on for clients; repeatable. * is every IPv4 address, ::* every IPv6 address; with a - in front it may be missing")),
    setting(CLIENTS, "port", "PORT", Some("6379"),
        "Port to listen on for clients"),
    secret(setting(CLIENTS, "requirepass", "PASSWORD", None,
        "What clients must AUTH with; better given in the environment or the file, where ps does not show it")),
    setting(CLIENTS, "requirepass-file", "FILE", None,
        "A file with a password, or two on two lines: clients may AUTH with either. It is read again when it changes"),
    secret(setting(CLIENTS, "masterauth", "PASSWORD", None,
        "What a replica that forwards commands authenticates with at the primary [default: the first password]")),
    setting(CLIENTS, "reset-default-user", "yes|no", Some("no"),
        "A way back in: as soon as this node leads, the user default of the whole group is on, may do everything, and has the password of --requirepass or its file. Start the node without it afterwards"),
    setting(CLIENTS, "protected-mode", "yes|no", Some("yes"),
        "Without a password, serve only clients of this machine"),
    setting(CLIENTS, "notify-keyspace-events", "CLASSES", None,
        "Events of keys that subscribers of this node are told, as letters: K and E for the channels, A for all classes, or g$lshzxetdn"),
    setting(CLIENTS, "maxclients", "N", Some("10000"),
        "Clients at a time"),
    setting(CLIENTS, "tracking-table-max-keys", "N", Some("1000000"),
        "Keys of which this node remembers that clients may have cached them (CLIENT TRACKING); past it clients are told to drop some; 0 is a bound by memory alone"),
    setting(CLIENTS, "timeout", "SECONDS", Some("0"),
        "Close a connection that was idle for so long; 0 is never"),
    setting(CLIENTS, "tcp-keepalive", "SECONDS", Some("300"),
        "Probe a silent connection this often; 0 is never"),
    setting(CLIENTS, "client-output-buffer-limit", "CLASS HARD SOFT SECONDS …",
        Some("normal 1gb 256mb 60 pubsub 32mb 8mb 60"),
        "Close a client whose unread replies pass HARD bytes, or SOFT bytes for SECONDS; classes normal and pubsub; 0 is no limit"),
    setting(CLIENTS, "hold-without-primary-ms", "MS", Some("2000"),
        "How long a command waits for a primary that can be reached before it is refused with CLUSTERDOWN; a pipeline waits once; 0 refuses at once, 60000 is the most"),
    setting(CLIENTS, "on-doubt", "close|error", Some("close"),
        "What a client gets in place of an answer that a change of the primary took away: a closed connection, which every client library handles, or the error INDOUBT"),
    setting(CLIENTS, "proto-max-bulk-len", "BYTES", Some("512mb"),
        "Longest single argument, 1mb to 512mb"),
    setting(STORAGE, "dir", "DIR", Some("./data"),
        "Where the data lives; made if missing"),
    setting(STORAGE, "databases", "N", Some("16"),
        "Databases that SELECT reaches; 16 is the only value"),
    setting(STORAGE, "maxmemory", "BYTES", Some("0"),
        "Most memory of the data; at it keys are evicted or writes refused; 0 is no limit but the guard at 85% of the machine's memory"),
    setting(CLIENTS, "maxmemory-clients", "BYTES|PERCENT", Some("0"),
        "Most memory of clients' buffers, in bytes or as a share of maxmemory such as 5%; the largest clients are closed; 0 is half of the memory guard"),
    setting(STORAGE, "maxmemory-policy", "POLICY", Some("noeviction"),
        "Keys to evict at maxmemory: allkeys- or volatile- (keys with a deadline) lru, lfu or random; volatile-ttl (the nearest deadlines); noeviction"),
    setting(STORAGE, "maxmemory-samples", "N", Some("5"),
        "Keys that are looked at for each one that is evicted, 1 to 64"),
    setting(STORAGE, "lfu-log-factor", "N", Some("10"),
        "How many uses of a key count for one where the least frequently used are evicted; 0 is every use"),
    setting(STORAGE, "lfu-decay-time", "MINUTES", Some("1"),
        "In which time the frequency of a key sinks by one; 0 is never"),
    setting(STORAGE, "log-sync", "dsync|fdatasync", Some("dsync"),
        "How the log reaches the disk: O_DIRECT|O_DSYNC writes, or buffered writes and fdatasync"),
    setting(STORAGE, "log-pad-to-block", "yes|no", Some("no"),
        "Begin every write of the log in a block of its own, for disks that destroy a block when its write is torn"),
    setting(STORAGE, "segment-bytes", "BYTES", Some("64mb"),
        "Size of a segment of the log, 64kb to 4gb"),
    setting(STORAGE, "checkpoint-log-bytes", "BYTES", Some("512mb"),
        "Begin a checkpoint when so many bytes of the log were applied since the last; 0 is never"),
    setting(STORAGE, "checkpoint-seconds", "SECONDS", Some("3600"),
        "Begin a checkpoint so long after the last if anything was written since; 0 is never"),
    setting(STORAGE, "checkpoint-bytes-per-second", "BYTES", Some("64mb"),
        "Most bytes that a checkpoint writes in a second, 1mb or more; 0 is no limit"),
    setting(STORAGE, "checkpoints-kept", "N", Some("2"),
        "Checkpoints that are kept, 1 to 100; older ones are removed"),
    setting(STORAGE, "log-keep-bytes", "BYTES", Some("1gb"),
        "In a group: bytes of the log that stay, whatever checkpoints there are, for replicas that were away; who lags further behind is sent a checkpoint"),
    setting(STORAGE, "catch-up-bytes-per-second", "BYTES", Some("8mb"),
        "Most bytes in a second, 1mb or more, of a checkpoint that this node fetches from another, and of the log that it sends, beside what is being written, to replicas that lag; 0 is no limit"),
    setting(STORAGE, "scrub-bytes-per-second", "BYTES", Some("8mb"),
        "Most bytes of full segments and of checkpoints that are read again in a second, 1mb or more, to find what the disk has damaged; 0 is never"),
    setting(STORAGE, "scrub-seconds", "SECONDS", Some("86400"),
        "Read all of them again so long after the last time; once right after the start, what the start itself did not read"),
    setting(STORAGE, "repair-from-peers", "yes|no", Some("yes"),
        "In a group: set a log aside that is found damaged at a start, and learn again from the other nodes what was in it; no refuses to start"),
    setting(STORAGE, "workers", "N", Some("0"),
        "Threads that serve clients; 0 is one for each core"),
    setting(STORAGE, "log-driver", "auto|worker|thread", Some("auto"),
        "Who turns the log: a worker between its clients, or a thread of its own; auto goes by the number of cores"),
    list(setting(BACKUPS, "backup-to", "URL", None,
        "Ship the log, and checkpoints now and then, to file:///folder or s3://bucket/prefix, the same on each node; repeatable: each place has everything. perdura restore goes back to any moment")),
    setting(BACKUPS, "backup-key-file", "FILE", None,
        "Encrypt the backup with the key in this file, which perdura backup create-key makes; the same on each node"),
    setting(BACKUPS, "backup-interval-ms", "MS", Some("1000"),
        "Ship what is new this often, 10 to 600000"),
    setting(BACKUPS, "backup-checkpoint-seconds", "SECONDS", Some("3600"),
        "Store a checkpoint so long after the last, and take one for it if there is no newer one; a restore replays the log since"),
    setting(BACKUPS, "backup-keep-days", "DAYS", Some("0"),
        "Remove from the backup what is not needed to go back so many days; 0 removes nothing. With --backup-keep-checkpoints what either keeps stays"),
    setting(BACKUPS, "backup-keep-checkpoints", "N", Some("0"),
        "Remove from the backup all checkpoints but the newest N, and the log before them; 0 removes nothing"),
    setting(BACKUPS, "backup-bytes-per-second", "BYTES", Some("64mb"),
        "Most bytes of a checkpoint that are stored in a second, 1mb or more; 0 is no limit"),
    setting(BACKUPS, "backup-log-keep-bytes", "BYTES", Some("4gb"),
        "Bytes of the log that stay for a backup that does not go on; beyond that the log is cut, and the backup gets a gap"),
    setting(REPLICATION, "read-confirm", "yes|no", Some("no"),
        "Confirm each read on the primary with a majority instead of trusting a lease by the clock"),
    setting(REPLICATION, "tick-ms", "MS", Some("50"),
        "Length of a tick, 5 to 10000"),
    setting(REPLICATION, "heartbeat-ticks", "N", Some("2"),
        "Ticks between two heartbeats of the primary"),
    setting(REPLICATION, "election-ticks", "N", Some("10"),
        "Ticks without a heartbeat after which an election begins; drawn between this and its double"),
    setting(OBSERVABILITY, "core-dumps", "yes|no", Some("no"),
        "Let a crash leave a core file as the system's limits allow; it holds data"),
    setting(OBSERVABILITY, "metrics-addr", "HOST:PORT", None,
        "Serve Prometheus metrics at /metrics and health at /healthz on this address"),
    setting(OBSERVABILITY, "log-format", "text|json", Some("text"),
        "Form of the server's own messages, which go to standard error"),
    setting(OBSERVABILITY, "log-level", "error|warn|info|debug|trace", Some("info"),
        "Least urgent messages to show; Redis' warning, notice and verbose are understood"),
];

/// Where a text came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    Flag,
    Environment(String),
    File(PathBuf),
    Default,
}

/// Follows an error message, in parentheses; a flag needs no explanation.
impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::Flag => Ok(()),
            Origin::Environment(name) => write!(f, " (from {name})"),
            Origin::File(path) => write!(f, " (from {})", path.display()),
            Origin::Default => write!(f, " (by default)"),
        }
    }
}

/// The texts that hold, one or more for each setting that has any.
pub struct Settings {
    texts: BTreeMap<&'static str, (Vec<String>, Origin)>,
    unknown_variables: Vec<String>,
    users: Vec<(String, Vec<String>)>,
    warnings: Vec<String>,
}

/// It shows which settings have texts, and no text: some are passwords.
impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let origins = self.texts.iter().map(|(name, (_, origin))| (name, origin));
        f.debug_map().entries(origins).finish()
    }
}

/// The flags that were given, by name.
pub type Flags = BTreeMap<&'static str, Vec<String>>;

impl Settings {
    /// Merges the four places.
    ///
    /// # Errors
    /// The file can't be read or parsed, or holds a key that is no setting.
    pub fn resolve(
        flags: &Flags,
        environment: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Settings, ConfigError> {
        let mut settings = Settings::defaults();
        let (variables, unknown) = split_variables(environment);
        settings.unknown_variables = unknown;
        let file = flags
            .get("config")
            .and_then(|texts| texts.last())
            .or_else(|| variables.get("config"))
            .filter(|path| !path.is_empty());
        if let Some(path) = file {
            settings.add_file(Path::new(path))?;
        }
        settings.add_variables(variables);
        settings.add_flags(flags);
        Ok(settings)
    }

    /// The settings where nothing was said.
    pub fn defaults() -> Settings {
        let texts = SETTINGS
            .iter()
            .filter_map(|setting| {
                let text = setting.default?.to_owned();
                Some((setting.name, (vec![text], Origin::Default)))
            })
            .collect();
        Settings { texts, unknown_variables: Vec::new(), users: Vec::new(), warnings: Vec::new() }
    }

    /// Variables that look like ours and are not.
    pub fn unknown_variables(&self) -> &[String] {
        &self.unknown_variables
    }

    /// Users that a redis.conf names, with their rules.
    pub fn users(&self) -> &[(String, Vec<String>)] {
        &self.users
    }

    /// What is passed over in a redis.conf.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// Passwords that were given as flags, by their names.
    pub fn secrets_in_flags(&self) -> impl Iterator<Item = &'static str> {
        let flags =
            self.texts.iter().filter(|(_, (_, origin))| *origin == Origin::Flag).map(|(name, _)| *name);
        flags.filter(|name| named(name).is_some_and(|setting| setting.secret))
    }

    /// Every setting that has a text and is no secret: its name, and the text with where it came from.
    pub fn shown(&self) -> Vec<(&'static str, String)> {
        let known = SETTINGS.iter().filter(|setting| !setting.secret);
        let shown = known.filter_map(|setting| {
            let (texts, origin) = self.texts.get(setting.name)?;
            Some((setting.name, format!("{}{origin}", texts.join(" "))))
        });
        shown.collect()
    }

    /// Somebody said something about it.
    pub fn is_given(&self, name: &str) -> bool {
        let given = self.texts.get(name);
        given.is_some_and(|(_, origin)| *origin != Origin::Default)
    }

    /// Reads one setting by `parse`; `None` where it has neither value nor default, or an empty one.
    pub fn optional<T>(
        &self,
        name: &'static str,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> Result<Option<T>, ConfigError> {
        let Some((texts, origin)) = self.texts.get(name) else {
            return Ok(None);
        };
        let text = texts.join(" ");
        if text.is_empty() {
            return Ok(None);
        }
        parse(&text).map(Some).map_err(|reason| ConfigError::value(name, reason, origin.clone()))
    }

    /// Reads one setting that must have a value.
    pub fn required<T>(
        &self,
        name: &'static str,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> Result<T, ConfigError> {
        self.optional(name, parse)?.ok_or_else(|| self.refuse(name, "it must not be empty"))
    }

    /// An error about a setting whose text is fine by itself, but not beside the others.
    pub fn refuse(&self, name: &'static str, reason: impl Into<String>) -> ConfigError {
        let origin = self.texts.get(name).map_or(Origin::Default, |(_, origin)| origin.clone());
        ConfigError::value(name, reason.into(), origin)
    }

    fn add_file(&mut self, path: &Path) -> Result<(), ConfigError> {
        let text = std::fs::read_to_string(path)
            .map_err(|source| ConfigError::Unreadable { path: path.to_owned(), source })?;
        if redis_conf::is_redis_conf(&text) {
            return self.add_directives(path, &text);
        }
        let table: toml::Table = text.parse().map_err(|error| syntax_error(path, &text, &error))?;
        for (key, value) in &table {
            let setting = named(key).filter(|setting| setting.name != "config");
            let origin = Origin::File(path.to_owned());
            let (name, texts) = match (setting, group_parameter(key)) {
                (Some(setting), _) => (setting.name, texts_of(value, setting)),
                (None, Some(row)) => (row.name, text_of(value).map(|text| vec![text])),
                (None, None) => {
                    return Err(ConfigError::UnknownKey { path: path.to_owned(), key: key.clone() });
                }
            };
            let texts = texts.map_err(|reason| ConfigError::value(name, reason, origin.clone()))?;
            self.texts.insert(name, (texts, origin));
        }
        Ok(())
    }

    fn add_directives(&mut self, path: &Path, text: &str) -> Result<(), ConfigError> {
        let read = redis_conf::read(text).map_err(|bad| ConfigError::bad_line(path, bad))?;
        for (name, texts) in read.texts {
            self.texts.insert(name, (texts, Origin::File(path.to_owned())));
        }
        (self.users, self.warnings) = (read.users, read.warnings);
        Ok(())
    }

    /// An empty variable is an unset one: that is how compose files spell it.
    fn add_variables(&mut self, variables: BTreeMap<&'static str, String>) {
        for (name, text) in variables {
            if !text.is_empty() {
                let origin = Origin::Environment(variable_name(name));
                self.texts.insert(name, (vec![text], origin));
            }
        }
    }

    fn add_flags(&mut self, flags: &Flags) {
        for (name, texts) in flags {
            self.texts.insert(name, (texts.clone(), Origin::Flag));
        }
    }
}

/// The row of a setting.
pub fn named(name: &str) -> Option<&'static Setting> {
    SETTINGS.iter().find(|setting| setting.name == name)
}

/// The environment's name of a setting.
pub fn variable_name(name: &str) -> String {
    let name = name.to_uppercase().replace('-', "_");
    format!("{ENVIRONMENT_PREFIX}{name}")
}

fn split_variables(
    environment: impl IntoIterator<Item = (String, String)>,
) -> (BTreeMap<&'static str, String>, Vec<String>) {
    let mut known = BTreeMap::new();
    let mut unknown = Vec::new();
    for (variable, text) in environment {
        if !variable.starts_with(ENVIRONMENT_PREFIX) || variable == USER_VARIABLE {
            continue;
        }
        let setting = SETTINGS.iter().find(|setting| variable_name(setting.name) == variable);
        match setting {
            Some(setting) => drop(known.insert(setting.name, text)),
            None => unknown.push(variable),
        }
    }
    unknown.sort_unstable();
    (known, unknown)
}

/// Why a file is no TOML: its own message shows the line, which may be a password's.
fn syntax_error(path: &Path, text: &str, error: &toml::de::Error) -> ConfigError {
    let at = error.span().map_or(0, |span| span.start.min(text.len()));
    let before = text.as_bytes()[..at].split(|byte| *byte == b'\n');
    let line = before.count();
    let key = text.lines().nth(line - 1).and_then(|line| line.split_once('=')).map(|(key, _)| key.trim());
    let setting = key.and_then(named).map(|setting| setting.name);
    ConfigError::Syntax { path: path.to_owned(), line, setting, message: error.message().to_owned() }
}

fn texts_of(value: &toml::Value, setting: &Setting) -> Result<Vec<String>, String> {
    match value {
        // A password that is a word of TOML would be another one: true is not "yes".
        toml::Value::String(text) if setting.secret => Ok(vec![text.clone()]),
        other if setting.secret => {
            Err(format!("a password is a text in quotes, and this is of type {}", other.type_str()))
        }
        toml::Value::Array(items) if setting.list => items.iter().map(text_of).collect(),
        single => Ok(vec![text_of(single)?]),
    }
}

fn text_of(value: &toml::Value) -> Result<String, String> {
    match value {
        toml::Value::String(text) => Ok(text.clone()),
        toml::Value::Integer(number) => Ok(number.to_string()),
        toml::Value::Boolean(true) => Ok("yes".to_owned()),
        toml::Value::Boolean(false) => Ok("no".to_owned()),
        other => Err(format!("a {} is no value for it", other.type_str())),
    }
}
