//! What a server was started with, checked.
//!
//! - A [`Config`] that exists is sound: each value is within its bounds, and they agree with one another.
//! - What is wrong is refused before anything is opened, by the name of the flag and the place it came from.
//! - No setting exists by name only. A value that the server can't honour is an error, not a shrug.
//! - Nothing here changes while the server runs; what CONFIG SET may change is in [`runtime::RuntimeConfig`].

pub mod backup_url;
pub mod encodings;
pub mod events;
pub mod eviction;
pub mod group;
pub mod group_values;
pub mod output_bounds;
pub mod parameters;
pub mod passwords;
pub mod redis_conf;
pub mod runtime;
pub mod settings;
pub mod value;

#[cfg(test)]
mod tests;

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use backup_url::BackupUrl;
use group::Given;
use group_values::GROUP_PARAMETERS;
use passwords::Passwords;
use redis_conf::BadLine;
use settings::{Origin, Settings};
use value::{
    BindAddr, HostPort, LogDriver, LogFormat, LogLevel, LogSync, Member, OnDoubt, Secret, parse_bytes,
    parse_bytes_within, parse_node_id, parse_number, parse_port, parse_word, parse_yes_no, split_list,
};

/// Databases that SELECT reaches.
pub const DATABASES: u64 = 16;

/// Most nodes in a group, and most addresses to bind.
const MAX_LIST: usize = 16;

const MAX_CLUSTER_NAME_BYTES: usize = 100;

/// The longest wait for a primary.
const MAX_HOLD_MS: u64 = 60_000;

/// A year.
const MAX_INTERVAL_S: u64 = 31_536_000;

/// Why a server does not start as it was told.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    #[error("--{name}: {reason}{origin}")]
    Value { name: &'static str, reason: String, origin: Origin },
    #[error("--config: can't read {}: {source}", path.display())]
    Unreadable { path: PathBuf, source: io::Error },
    /// It names the line and its setting, and shows nothing of its text: that may be a password's.
    #[error("--config: {} is not TOML: line {line}{}: {message}", path.display(), in_parentheses(*setting))]
    Syntax { path: PathBuf, line: usize, setting: Option<&'static str>, message: String },
    #[error("--config: '{key}' in {} is no setting", path.display())]
    UnknownKey { path: PathBuf, key: String },
    /// A line of redis.conf or of a file of users. Its text is not shown: that may be a password's.
    #[error("{}: line {line} ({directive}) can't be understood", path.display())]
    BadLine { path: PathBuf, line: usize, directive: String },
}

impl ConfigError {
    fn bad_line(path: &Path, bad: BadLine) -> ConfigError {
        let BadLine { line, directive } = bad;
        ConfigError::BadLine { path: path.to_owned(), line, directive }
    }

    fn value(name: &'static str, reason: String, origin: Origin) -> ConfigError {
        ConfigError::Value { name, reason, origin }
    }
}

fn in_parentheses(setting: Option<&'static str>) -> String {
    setting.map_or_else(String::new, |setting| format!(" ({setting})"))
}

/// When checkpoints are taken, and what they may cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CheckpointPolicy {
    /// After so many bytes of applied entries; zero is never.
    pub log_bytes: u64,
    /// After so long, if anything was written; zero is never.
    pub interval_s: u64,
    /// Zero is no limit.
    pub bytes_per_second: u64,
    /// At least one.
    pub kept: usize,
    /// Bytes of the log that stay for followers which were away.
    pub log_keep_bytes: u64,
    /// Most bytes of checkpoints that are fetched, and of the log that lagging followers are sent, in a second; zero is no limit.
    pub catch_up_bytes_per_second: u64,
}

/// Where a node backs up to, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BackupPlan {
    /// At least one, each once.
    pub urls: Vec<String>,
    pub key_file: Option<PathBuf>,
    pub interval_ms: u64,
    /// Between two checkpoints.
    pub checkpoint_s: u64,
    /// Zero is no limit.
    pub bytes_per_second: u64,
    /// Bytes of the log that stay for a backup that is behind.
    pub log_keep_bytes: u64,
    /// What the primary keeps when it removes what is old; nothing is removed where it says nothing.
    pub keep: Keep,
}

/// How often a member of a group ticks, and what it counts in ticks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RaftTicks {
    pub tick_ms: u64,
    /// Between two heartbeats of a leader.
    pub heartbeat_ticks: usize,
    /// Without word from a leader before a follower campaigns, at least.
    pub election_ticks: usize,
}

/// What is to be kept of a backup. What either of both keeps stays; where neither is said, everything does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Keep {
    /// The newest checkpoints, at least one.
    pub checkpoints: Option<usize>,
    /// Everything that it takes to go back so many days.
    pub days: Option<u64>,
}

/// Whom a data folder is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Membership {
    pub node_id: u64,
    /// This node among them.
    pub voters: Vec<u64>,
    pub cluster_name: Option<String>,
    pub segment_bytes: u64,
}

impl Membership {
    /// Reads what [`Config::build`] does of it, where no node is to be started.
    ///
    /// # Errors
    /// The first setting that is wrong.
    pub fn read(settings: &Settings) -> Result<Membership, ConfigError> {
        let node_id = settings.required("node-id", parse_node_id)?;
        let members = settings.optional("initial-cluster", parse_members)?.unwrap_or_default();
        let is_member = members.is_empty() || members.iter().any(|member| member.id == node_id);
        if !is_member {
            let reason = format!("node {node_id} is not in --initial-cluster");
            return Err(settings.refuse("node-id", reason));
        }
        Ok(Membership {
            node_id,
            voters: voters(node_id, &members),
            cluster_name: cluster_name(settings)?,
            segment_bytes: settings.required("segment-bytes", parse_segment_bytes)?,
        })
    }
}

/// The passwords that clients may authenticate with.
///
/// # Errors
/// The file can't be used, or both settings are given.
pub fn passwords(settings: &Settings) -> Result<Passwords, ConfigError> {
    const FILE: &str = "requirepass-file";
    let requirepass = settings.optional("requirepass", Secret::parse)?.flatten();
    let from_file = settings.optional(FILE, |text| Passwords::read(Path::new(text)))?;
    match (requirepass, from_file) {
        (Some(_), Some(_)) => Err(settings.refuse(FILE, "--requirepass is given, too")),
        (_, Some(passwords)) => Ok(passwords),
        (requirepass, None) => Ok(Passwords::of(requirepass)),
    }
}

/// A path without links, as far as it is there.
fn real_path(path: &Path) -> PathBuf {
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let found = path.ancestors().find_map(|there| Some((there, there.canonicalize().ok()?)));
    match found {
        Some((there, real)) => real.join(path.strip_prefix(there).unwrap_or(Path::new(""))),
        None => path,
    }
}

fn voters(node_id: u64, members: &[Member]) -> Vec<u64> {
    if members.is_empty() {
        return vec![node_id];
    }
    members.iter().map(|member| member.id).collect()
}

/// How sealed segments and checkpoints are read again in the background.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ScrubPolicy {
    /// Zero is never.
    pub bytes_per_second: u64,
    /// From the beginning of one pass to that of the next.
    pub interval_s: u64,
}

/// Everything `perdura serve` was told.
#[derive(Clone, Debug)]
pub struct Config {
    pub node_id: u64,
    /// Where to listen for peers; none where the node runs alone.
    pub peer_addr: Option<HostPort>,
    /// The group, by ascending id; empty where the node runs alone.
    pub members: Vec<Member>,
    /// What the group is known by, in place of its members' addresses.
    pub cluster_name: Option<String>,
    /// Where clients and forwarding peers reach this node.
    pub announce_addr: HostPort,

    pub bind: Vec<BindAddr>,
    pub port: u16,
    pub passwords: Passwords,
    /// Where they are read again.
    pub requirepass_file: Option<PathBuf>,
    /// What a replica authenticates with; the first password where there is none.
    pub masterauth: Option<Secret>,
    /// Once this node leads, the user `default` may do everything, with the first password.
    pub resets_default_user: bool,
    pub protected_mode: bool,
    pub maxclients: u64,
    /// Zero is no bound but the table's own.
    pub tracking_table_max_keys: u64,
    /// Zero is never.
    pub tcp_keepalive_s: u64,
    /// How long what can't be sent to a primary waits for one.
    pub hold_without_primary_ms: u64,
    pub on_doubt: OnDoubt,

    pub dir: PathBuf,
    /// What this node says of the parameters that its group shares.
    pub given: Given,
    /// Users for a group's first start: names with their rules.
    pub users: Vec<(String, Vec<String>)>,
    pub log_sync: LogSync,
    /// Every batch begins in a block of its own: for disks that destroy what a torn write leaves unchanged.
    pub log_pad_to_block: bool,
    pub segment_bytes: u64,
    pub checkpoints: CheckpointPolicy,
    pub backup: Option<BackupPlan>,
    pub scrub: ScrubPolicy,
    /// A member of a group begins a damaged log anew, and learns from the others what was in it.
    pub repair_from_peers: bool,
    /// At least one.
    pub workers: usize,
    pub log_driver: LogDriver,

    pub read_confirm: bool,
    pub raft_ticks: RaftTicks,

    /// A crash may leave a core file, which holds data.
    pub core_dumps: bool,
    pub metrics_addr: Option<SocketAddr>,
    /// Every setting that has a text and is no secret: its name, and the text with where it came from.
    pub shown: Vec<(&'static str, String)>,
    pub log_format: LogFormat,
    pub log_level: LogLevel,
}

impl Config {
    /// Reads and checks all settings.
    ///
    /// # Errors
    /// The first setting that is wrong, alone or beside the others.
    pub fn build(settings: &Settings) -> Result<Config, ConfigError> {
        check_unsupported(settings)?;
        let requirepass_file = settings.optional("requirepass-file", |text| Ok(PathBuf::from(text)))?;
        let masterauth = settings.optional("masterauth", Secret::parse)?.flatten();
        let bind = settings.required("bind", parse_bind)?;
        let port = settings.required("port", parse_port)?;
        let node_id = settings.required("node-id", parse_node_id)?;
        let members = settings.optional("initial-cluster", parse_members)?.unwrap_or_default();
        let peer_addr = peer_addr(settings, node_id, &members)?;
        let config = Config {
            node_id,
            announce_addr: announce_addr(settings, node_id, &members, &bind, port)?,
            peer_addr,
            cluster_name: cluster_name(settings)?,
            members,
            masterauth,
            passwords: passwords(settings)?,
            requirepass_file,
            resets_default_user: settings.required("reset-default-user", parse_yes_no)?,
            protected_mode: settings.required("protected-mode", parse_yes_no)?,
            maxclients: number(settings, "maxclients", 1, 1_000_000)?,
            tracking_table_max_keys: number(settings, "tracking-table-max-keys", 0, u32::MAX as u64)?,
            tcp_keepalive_s: number(settings, "tcp-keepalive", 0, i16::MAX as u64)?,
            hold_without_primary_ms: number(settings, "hold-without-primary-ms", 0, MAX_HOLD_MS)?,
            on_doubt: settings.required("on-doubt", parse_on_doubt)?,
            dir: settings.required("dir", |text| Ok(PathBuf::from(text)))?,
            given: given(settings)?,
            users: users(settings)?,
            log_sync: settings.required("log-sync", parse_log_sync)?,
            log_pad_to_block: settings.required("log-pad-to-block", parse_yes_no)?,
            segment_bytes: settings.required("segment-bytes", parse_segment_bytes)?,
            checkpoints: checkpoint_policy(settings)?,
            backup: backup_plan(settings)?,
            scrub: scrub_policy(settings)?,
            repair_from_peers: settings.required("repair-from-peers", parse_yes_no)?,
            workers: workers(settings)?,
            log_driver: settings.required("log-driver", parse_log_driver)?,
            read_confirm: settings.required("read-confirm", parse_yes_no)?,
            raft_ticks: raft_ticks(settings)?,
            core_dumps: settings.required("core-dumps", parse_yes_no)?,
            metrics_addr: settings.optional("metrics-addr", parse_socket_addr)?,
            shown: settings.shown(),
            log_format: settings.required("log-format", parse_log_format)?,
            log_level: settings.required("log-level", LogLevel::parse)?,
            bind,
            port,
        };
        config.check_reset(settings)?;
        config.check_backup_places(settings)?;
        config.check_ports(settings)?;
        config.check_reachable(settings)?;
        Ok(config)
    }

    /// The ids of all voters, this node's included.
    pub fn voters(&self) -> Vec<u64> {
        voters(self.node_id, &self.members)
    }

    /// A way back in for an operator is none for strangers.
    fn check_reset(&self, settings: &Settings) -> Result<(), ConfigError> {
        if !self.resets_default_user || !self.passwords.is_empty() {
            return Ok(());
        }
        let reason = "give --requirepass or --requirepass-file with it: the user default gets that password, and would be open to all \
                      without one";
        Err(settings.refuse("reset-default-user", reason))
    }

    /// A backup in the data folder is lost with it.
    fn check_backup_places(&self, settings: &Settings) -> Result<(), ConfigError> {
        let data = real_path(&self.dir);
        for url in self.backup.iter().flat_map(|plan| &plan.urls) {
            let Ok(BackupUrl::Folder(folder)) = BackupUrl::parse(url) else { continue };
            if real_path(&folder).starts_with(&data) {
                let reason = format!(
                    "{url} is in the data folder (--dir), and would be lost with it: name a folder on another disk"
                );
                return Err(settings.refuse("backup-to", reason));
            }
        }
        Ok(())
    }

    /// Clients and peers can't listen at the same place.
    fn check_ports(&self, settings: &Settings) -> Result<(), ConfigError> {
        let Some(peer) = self.peer_addr.as_ref() else {
            return Ok(());
        };
        let overlaps =
            |bind: &BindAddr| bind.ip.is_unspecified() || peer.is_wildcard() || peer.ip() == Some(bind.ip);
        if peer.port == self.port && self.bind.iter().any(overlaps) {
            let reason = format!("clients listen on port {} too (--port)", self.port);
            return Err(settings.refuse("peer-addr", reason));
        }
        Ok(())
    }

    /// A replica forwards commands to the primary's client port, so the other machines must reach it.
    fn check_reachable(&self, settings: &Settings) -> Result<(), ConfigError> {
        let elsewhere =
            self.members.iter().any(|member| member.id != self.node_id && !member.peer_addr.is_loopback());
        let hidden = self.bind.iter().all(|bind| bind.ip.is_loopback());
        let announced = settings.is_given("announce-addr");
        if elsewhere && hidden && !announced {
            let reason = "nodes on other machines forward commands to this node's client port, \
                          which only this machine could reach";
            return Err(settings.refuse("bind", reason));
        }
        Ok(())
    }
}

/// Settings that have one value so far.
fn check_unsupported(settings: &Settings) -> Result<(), ConfigError> {
    settings.required("databases", |text| match text.parse() {
        Ok(DATABASES) => Ok(()),
        _ => Err(format!("only {DATABASES} is supported")),
    })
}

fn number(settings: &Settings, name: &'static str, low: u64, high: u64) -> Result<u64, ConfigError> {
    settings.required(name, |text| parse_number(text, low..=high))
}

fn parse_bind(text: &str) -> Result<Vec<BindAddr>, String> {
    let bind = split_list(text).map(str::parse).collect::<Result<Vec<BindAddr>, _>>()?;
    match bind.len() {
        0 => Err("it must not be empty".to_owned()),
        1..=MAX_LIST => Ok(bind),
        more => Err(format!("{more} addresses are more than {MAX_LIST}")),
    }
}

fn parse_members(text: &str) -> Result<Vec<Member>, String> {
    let mut members = split_list(text).map(str::parse).collect::<Result<Vec<Member>, _>>()?;
    members.sort_by_key(|member| member.id);
    if members.len() > MAX_LIST {
        return Err(format!("{} nodes are more than {MAX_LIST}", members.len()));
    }
    for pair in members.windows(2) {
        if pair[0].id == pair[1].id {
            return Err(format!("node id {} is there twice", pair[0].id));
        }
    }
    let mut addresses: Vec<&HostPort> = members.iter().map(|member| &member.peer_addr).collect();
    addresses.sort_unstable();
    if let Some(pair) = addresses.windows(2).find(|pair| pair[0] == pair[1]) {
        return Err(format!("address {} is there twice", pair[0]));
    }
    if let Some(member) = members.iter().find(|member| member.peer_addr.is_wildcard()) {
        return Err(format!("node {} can't be reached at a wildcard", member.id));
    }
    Ok(members)
}

/// The node's own entry in the group and what it listens on must be the same place.
fn peer_addr(settings: &Settings, node_id: u64, members: &[Member]) -> Result<Option<HostPort>, ConfigError> {
    let given = settings.optional("peer-addr", str::parse::<HostPort>)?;
    if members.is_empty() {
        return match given {
            None => Ok(None),
            Some(_) => Err(settings.refuse("peer-addr", "a node without --initial-cluster has no peers")),
        };
    }
    let Some(own) = members.iter().find(|member| member.id == node_id) else {
        let reason = format!("node {node_id} is not in --initial-cluster");
        return Err(settings.refuse("node-id", reason));
    };
    let own = &own.peer_addr;
    match given {
        Some(given) if given == *own => Ok(Some(given)),
        Some(given) if given.is_wildcard() && given.port == own.port => Ok(Some(given)),
        Some(given) => {
            let reason = format!("{given} is not node {node_id}'s address in --initial-cluster, {own}");
            Err(settings.refuse("peer-addr", reason))
        }
        None => Ok(Some(own.clone())),
    }
}

fn cluster_name(settings: &Settings) -> Result<Option<String>, ConfigError> {
    settings.optional("cluster-name", parse_cluster_name)
}

fn parse_cluster_name(text: &str) -> Result<String, String> {
    match text.len() {
        _ if text.contains(char::is_control) => Err("a name has no control characters".to_owned()),
        1..=MAX_CLUSTER_NAME_BYTES => Ok(text.to_owned()),
        more => Err(format!("{more} bytes are more than {MAX_CLUSTER_NAME_BYTES}")),
    }
}

fn announce_addr(
    settings: &Settings,
    node_id: u64,
    members: &[Member],
    bind: &[BindAddr],
    port: u16,
) -> Result<HostPort, ConfigError> {
    if let Some(given) = settings.optional("announce-addr", str::parse::<HostPort>)? {
        if given.is_wildcard() {
            return Err(settings.refuse("announce-addr", "a wildcard can't be reached"));
        }
        return Ok(given);
    }
    let own = members.iter().find(|member| member.id == node_id);
    Ok(match own {
        Some(own) => HostPort::new(own.peer_addr.host.clone(), port),
        None => {
            let ip = bind.iter().map(|bind| bind.ip).find(|ip| !ip.is_unspecified());
            HostPort::new(ip.map_or("127.0.0.1".to_owned(), |ip| ip.to_string()), port)
        }
    })
}

fn raft_ticks(settings: &Settings) -> Result<RaftTicks, ConfigError> {
    let ticks = RaftTicks {
        tick_ms: number(settings, "tick-ms", 5, 10_000)?,
        heartbeat_ticks: number(settings, "heartbeat-ticks", 1, 1_000)? as usize,
        election_ticks: number(settings, "election-ticks", 2, 10_000)? as usize,
    };
    if ticks.election_ticks < 2 * ticks.heartbeat_ticks {
        let reason = "it must be at least twice --heartbeat-ticks, so that one lost heartbeat is no election";
        return Err(settings.refuse("election-ticks", reason));
    }
    Ok(ticks)
}

fn workers(settings: &Settings) -> Result<usize, ConfigError> {
    let workers = number(settings, "workers", 0, 256)? as usize;
    if workers > 0 {
        return Ok(workers);
    }
    // A worker that has no core of its own beside the clients and the log costs more than it brings: measured.
    Ok(std::thread::available_parallelism().map_or(1, |cores| (cores.get() / 2).clamp(1, 256)))
}

/// The users of a file of their own, after those of redis.conf.
fn users(settings: &Settings) -> Result<Vec<(String, Vec<String>)>, ConfigError> {
    const FILE: &str = "users-file";
    let Some(path) = settings.optional(FILE, |text| Ok(PathBuf::from(text)))? else {
        return Ok(settings.users().to_vec());
    };
    let text = std::fs::read_to_string(&path)
        .map_err(|error| settings.refuse(FILE, format!("can't read {}: {error}", path.display())))?;
    let of_file = redis_conf::read_users(&text).map_err(|bad| ConfigError::bad_line(&path, bad))?;
    Ok(settings.users().iter().cloned().chain(of_file).collect())
}

/// What the settings say of the group's parameters.
fn given(settings: &Settings) -> Result<Given, ConfigError> {
    let mut given = Given::default();
    for row in GROUP_PARAMETERS.iter().filter(|row| settings.is_given(row.name)) {
        let read = |text: &str| {
            let mut values = given.values.clone();
            (row.set)(&mut values, text).map(|()| values)
        };
        if let Some(values) = settings.optional(row.name, read)? {
            given.values = values;
            given.names.push(row.name);
        }
    }
    Ok(given)
}

pub(crate) fn parse_max_bulk_len(text: &str) -> Result<u64, String> {
    parse_bytes_within(text, 1 << 20..=512 << 20)
}

fn parse_segment_bytes(text: &str) -> Result<u64, String> {
    parse_bytes_within(text, 64 << 10..=4 << 30)
}

fn checkpoint_policy(settings: &Settings) -> Result<CheckpointPolicy, ConfigError> {
    Ok(CheckpointPolicy {
        log_bytes: settings.required("checkpoint-log-bytes", parse_bytes)?,
        interval_s: number(settings, "checkpoint-seconds", 0, MAX_INTERVAL_S)?,
        bytes_per_second: settings.required("checkpoint-bytes-per-second", parse_checkpoint_rate)?,
        kept: number(settings, "checkpoints-kept", 1, 100)? as usize,
        log_keep_bytes: settings.required("log-keep-bytes", parse_bytes)?,
        catch_up_bytes_per_second: settings.required("catch-up-bytes-per-second", parse_checkpoint_rate)?,
    })
}

fn backup_plan(settings: &Settings) -> Result<Option<BackupPlan>, ConfigError> {
    let urls = settings.optional("backup-to", parse_backup_urls)?;
    let is_on = urls.is_some();
    let keep_checkpoints = number(settings, "backup-keep-checkpoints", 0, 1_000_000)? as usize;
    let keep_days = number(settings, "backup-keep-days", 0, 36_500)?;
    let plan = BackupPlan {
        urls: urls.unwrap_or_default(),
        key_file: settings.optional("backup-key-file", parse_path)?,
        interval_ms: number(settings, "backup-interval-ms", 10, 600_000)?,
        checkpoint_s: number(settings, "backup-checkpoint-seconds", 1, MAX_INTERVAL_S)?,
        bytes_per_second: settings.required("backup-bytes-per-second", parse_checkpoint_rate)?,
        log_keep_bytes: settings.required("backup-log-keep-bytes", parse_bytes)?,
        keep: Keep {
            checkpoints: (keep_checkpoints > 0).then_some(keep_checkpoints),
            days: (keep_days > 0).then_some(keep_days),
        },
    };
    Ok(is_on.then_some(plan))
}

/// URLs one after the other, parted by commas or spaces. A folder's name may have both in it, but not before another URL.
fn parse_backup_urls(text: &str) -> Result<Vec<String>, String> {
    let begins = |at: &usize| {
        let is_first = text[..*at].chars().next_back().is_none_or(|before| matches!(before, ' ' | ','));
        is_first && ["file://", "s3://"].iter().any(|scheme| text[*at..].starts_with(scheme))
    };
    let mut starts: Vec<usize> = text.char_indices().map(|(at, _)| at).filter(begins).collect();
    if starts.first() != Some(&0) {
        starts.insert(0, 0);
    }
    let ends = starts.iter().skip(1).copied().chain([text.len()]);
    let mut urls: Vec<String> = Vec::new();
    for (start, end) in starts.iter().zip(ends) {
        let url = text[*start..end].trim_end_matches([' ', ',']);
        BackupUrl::parse(url).map_err(|error| error.to_string())?;
        let is_same = |known: &String| known.trim_end_matches('/') == url.trim_end_matches('/');
        if urls.iter().any(is_same) {
            return Err(format!("{url} is given twice"));
        }
        urls.push(url.to_owned());
    }
    Ok(urls)
}

fn parse_path(text: &str) -> Result<PathBuf, String> {
    if text.contains('\0') { Err("that is no name of a file".to_owned()) } else { Ok(PathBuf::from(text)) }
}

fn scrub_policy(settings: &Settings) -> Result<ScrubPolicy, ConfigError> {
    Ok(ScrubPolicy {
        bytes_per_second: settings.required("scrub-bytes-per-second", parse_checkpoint_rate)?,
        interval_s: number(settings, "scrub-seconds", 1, MAX_INTERVAL_S)?,
    })
}

fn parse_checkpoint_rate(text: &str) -> Result<u64, String> {
    match parse_bytes(text)? {
        0 => Ok(0),
        _ => parse_bytes_within(text, 1 << 20..=1 << 40),
    }
}

fn parse_log_sync(text: &str) -> Result<LogSync, String> {
    parse_word(text, &[("dsync", LogSync::Dsync), ("fdatasync", LogSync::Fdatasync)])
}

fn parse_on_doubt(text: &str) -> Result<OnDoubt, String> {
    parse_word(text, &[("close", OnDoubt::Close), ("error", OnDoubt::Error)])
}

fn parse_log_driver(text: &str) -> Result<LogDriver, String> {
    let words = [("auto", LogDriver::Auto), ("worker", LogDriver::Worker), ("thread", LogDriver::Thread)];
    parse_word(text, &words)
}

fn parse_log_format(text: &str) -> Result<LogFormat, String> {
    parse_word(text, &[("text", LogFormat::Text), ("json", LogFormat::Json)])
}

fn parse_socket_addr(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| format!("'{text}' is no ADDRESS:PORT"))
}
