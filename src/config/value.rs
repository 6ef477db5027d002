//! Values of settings: their types, and how they are read and written.
//!
//! - A parser's error says what was wrong and what would be right; the caller adds the setting's name.
//! - What one can read from [`std::fmt::Display`] of a value, its parser reads back as the same value.

pub use crate::logging::{LogFormat, LogLevel};
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::ops::RangeInclusive;
use std::str::FromStr;

use super::events::Classes;

/// A password: shown by nothing but [`Secret::expose`].
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Longest password, in bytes.
    pub const MAX_LEN: usize = 512;

    /// The password, or none where `text` is empty.
    pub fn parse(text: &str) -> Result<Option<Secret>, String> {
        if text.len() > Secret::MAX_LEN {
            return Err(format!("it is longer than {} bytes", Secret::MAX_LEN));
        }
        Ok((!text.is_empty()).then(|| Secret(text.to_owned())))
    }

    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Compares in a time that depends on the lengths only.
    pub fn matches(&self, attempt: &[u8]) -> bool {
        let secret = self.0.as_bytes();
        let mut difference = secret.len() ^ attempt.len();
        for (index, byte) in attempt.iter().enumerate() {
            difference |= usize::from(byte ^ secret[index % secret.len()]);
        }
        difference == 0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// A host, by name or address, and a port.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HostPort {
    /// Without the brackets that an IPv6 address has in texts.
    pub host: String,
    pub port: u16,
}

impl HostPort {
    pub fn new(host: impl Into<String>, port: u16) -> HostPort {
        HostPort { host: host.into(), port }
    }

    /// The host as an address, where it is one.
    pub fn ip(&self) -> Option<IpAddr> {
        self.host.parse().ok()
    }

    /// Means every address of the machine.
    pub fn is_wildcard(&self) -> bool {
        self.ip().is_some_and(|ip| ip.is_unspecified())
    }

    /// Reachable from this machine only.
    pub fn is_loopback(&self) -> bool {
        self.host == "localhost" || self.ip().is_some_and(|ip| ip.is_loopback())
    }
}

impl FromStr for HostPort {
    type Err = String;

    fn from_str(text: &str) -> Result<HostPort, String> {
        let wrong = || format!("'{text}' is no HOST:PORT");
        let (host, port) = text.rsplit_once(':').ok_or_else(wrong)?;
        let bracketed = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        let host = match bracketed {
            Some(inside) => inside.parse::<Ipv6Addr>().map_err(|_| wrong())?.to_string(),
            None if is_host(host) => host.to_owned(),
            None => return Err(wrong()),
        };
        let port = parse_port(port).map_err(|reason| format!("'{text}': {reason}"))?;
        Ok(HostPort { host, port })
    }
}

impl fmt::Display for HostPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

fn is_host(host: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
    (1..=253).contains(&host.len()) && host.bytes().all(allowed)
}

/// An address to listen on for clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BindAddr {
    pub ip: IpAddr,
    /// The machine may lack it.
    pub optional: bool,
}

impl FromStr for BindAddr {
    type Err = String;

    fn from_str(text: &str) -> Result<BindAddr, String> {
        let address = text.strip_prefix('-').unwrap_or(text);
        let optional = address.len() < text.len();
        let ip = match address {
            "*" => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            "::*" => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
            "localhost" => IpAddr::V4(Ipv4Addr::LOCALHOST),
            other => other.parse().map_err(|_| format!("'{address}' is no IP address and no wildcard"))?,
        };
        Ok(BindAddr { ip, optional })
    }
}

impl fmt::Display for BindAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mark = if self.optional { "-" } else { "" };
        write!(f, "{mark}{}", self.ip)
    }
}

/// A node of the group and where its peers reach it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    pub id: u64,
    pub peer_addr: HostPort,
}

impl FromStr for Member {
    type Err = String;

    fn from_str(text: &str) -> Result<Member, String> {
        let (id, peer_addr) = text.split_once('=').ok_or_else(|| format!("'{text}' is no ID=HOST:PORT"))?;
        Ok(Member { id: parse_node_id(id)?, peer_addr: peer_addr.parse()? })
    }
}

/// When a client that does not read its replies is cut off. Zero is no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BufferLimit {
    pub hard_bytes: u64,
    pub soft_bytes: u64,
    pub soft_seconds: u64,
}

/// The limits of each class of clients.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OutputLimits {
    pub normal: BufferLimit,
    pub pubsub: BufferLimit,
}

impl BufferLimit {
    /// The most unsent bytes of a connection.
    pub fn bytes(&self) -> usize {
        if self.hard_bytes == 0 { usize::MAX } else { usize::try_from(self.hard_bytes).unwrap_or(usize::MAX) }
    }
}

impl OutputLimits {
    /// Changes the classes that `text` names; the others stay.
    pub fn with(mut self, text: &str) -> Result<OutputLimits, String> {
        let words: Vec<&str> = text.split_whitespace().collect();
        for class in words.chunks(4) {
            let [class, hard, soft, seconds] = class else {
                return Err("each class takes three numbers: HARD SOFT SECONDS".to_owned());
            };
            let limit = BufferLimit {
                hard_bytes: parse_bytes(hard)?,
                soft_bytes: parse_bytes(soft)?,
                soft_seconds: parse_number(seconds, 0..=u64::from(u32::MAX))?,
            };
            match class.to_ascii_lowercase().as_str() {
                "normal" => self.normal = limit,
                "pubsub" => self.pubsub = limit,
                "replica" | "slave" => {
                    return Err("replicas are no clients here: classes are normal and pubsub".to_owned());
                }
                other => return Err(format!("'{other}' is no class: normal or pubsub")),
            }
        }
        Ok(self)
    }
}

impl fmt::Display for OutputLimits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "normal {} pubsub {}", self.normal, self.pubsub)
    }
}

impl fmt::Display for BufferLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.hard_bytes, self.soft_bytes, self.soft_seconds)
    }
}

/// Who turns the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogDriver {
    Auto,
    Worker,
    Thread,
}

/// How the log reaches the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogSync {
    /// `O_DIRECT | O_DSYNC` writes of whole blocks.
    Dsync,
    /// Buffered writes and `fdatasync`.
    Fdatasync,
}

/// What a client gets in place of an answer that a change of the primary took away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnDoubt {
    /// Its connection is closed.
    Close,
    /// An error that says so.
    Error,
}

/// Reads one of a few words.
pub fn parse_word<T: Copy>(text: &str, words: &[(&str, T)]) -> Result<T, String> {
    let found = words.iter().find(|(word, _)| *word == text);
    found.map(|(_, value)| *value).ok_or_else(|| {
        let words: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
        format!("'{text}' is none of {}", words.join(", "))
    })
}

pub fn parse_yes_no(text: &str) -> Result<bool, String> {
    parse_word(text, &[("yes", true), ("no", false)])
}

/// Reads letters of classes of events.
pub fn parse_events(text: &str) -> Result<Classes, String> {
    Classes::parse(text).ok_or_else(|| "Invalid event class character. Use 'Ag$lshzxeKEtmdn'.".to_owned())
}

pub fn yes_no(value: bool) -> &'static str {
    if value { "yes" } else { "no" }
}

/// Reads a whole number within bounds.
pub fn parse_number(text: &str, bounds: RangeInclusive<u64>) -> Result<u64, String> {
    let number = text.parse().ok().filter(|number| bounds.contains(number));
    number.ok_or_else(|| {
        let (low, high) = bounds.into_inner();
        format!("'{text}' is no number from {low} to {high}")
    })
}

pub fn parse_port(text: &str) -> Result<u16, String> {
    let port = text.parse().ok().filter(|port| *port != 0);
    port.ok_or_else(|| format!("'{text}' is no port from 1 to 65535"))
}

pub fn parse_node_id(text: &str) -> Result<u64, String> {
    parse_number(text, 1..=u64::from(u32::MAX))
        .map_err(|_| format!("'{text}' is no node id from 1 to {}", u32::MAX))
}

/// Reads a size as Redis does: `k`, `m`, `g` are powers of 1000, `kb`, `mb`, `gb` powers of 1024.
pub fn parse_bytes(text: &str) -> Result<u64, String> {
    let wrong = || format!("'{text}' is no size, such as 64mb");
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let factor: u64 = match unit.to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "k" => 1_000,
        "kb" => 1 << 10,
        "m" => 1_000_000,
        "mb" => 1 << 20,
        "g" => 1_000_000_000,
        "gb" => 1 << 30,
        _ => return Err(wrong()),
    };
    let number: u64 = number.parse().map_err(|_| wrong())?;
    number.checked_mul(factor).ok_or_else(wrong)
}

/// Reads a size within bounds.
pub fn parse_bytes_within(text: &str, bounds: RangeInclusive<u64>) -> Result<u64, String> {
    let bytes = parse_bytes(text)?;
    if bounds.contains(&bytes) {
        return Ok(bytes);
    }
    let (low, high) = bounds.into_inner();
    Err(format!("'{text}' is not from {low} to {high} bytes"))
}

/// Parts a list at commas and spaces.
pub fn split_list(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| c == ',' || c.is_whitespace()).filter(|item| !item.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_back_as_they_are_written() {
        for text in ["127.0.0.1:7001", "[::1]:7001", "node-1.example:80"] {
            let address: HostPort = text.parse().expect("a good address");
            assert_eq!(address.to_string(), text);
        }
        for text in ["", "7001", ":7001", "a:0", "a:65536", "::1:80", "[::1:80", "a b:1"] {
            assert!(text.parse::<HostPort>().is_err(), "{text}");
        }
    }

    #[test]
    fn bind_takes_wildcards_and_optional_addresses() {
        let bind: BindAddr = "-::1".parse().expect("an optional address");
        assert!(bind.optional && bind.ip.is_loopback());
        assert_eq!(bind.to_string(), "-::1");
        let bind: BindAddr = "*".parse().expect("a wildcard");
        assert_eq!(bind.to_string(), "0.0.0.0");
        assert!("example.com".parse::<BindAddr>().is_err());
    }

    #[test]
    fn sizes_have_the_units_of_redis() {
        let cases = [("0", 0), ("5b", 5), ("1k", 1000), ("1KB", 1024), ("2mb", 2 << 20), ("1gb", 1 << 30)];
        for (text, bytes) in cases {
            assert_eq!(parse_bytes(text), Ok(bytes), "{text}");
        }
        for text in ["", "mb", "-1", "1tb", "1.5mb", "99999999999gb"] {
            assert!(parse_bytes(text).is_err(), "{text}");
        }
    }

    #[test]
    fn output_limits_change_only_what_is_named() {
        let limits = OutputLimits::default()
            .with("normal 1mb 512kb 10")
            .and_then(|limits| limits.with("pubsub 2mb 0 0"))
            .expect("both are well formed");
        assert_eq!(limits.to_string(), "normal 1048576 524288 10 pubsub 2097152 0 0");
        assert!(limits.with("normal 1 2").is_err());
        assert!(limits.with("replica 1 2 3").is_err());
    }

    #[test]
    fn a_secret_shows_itself_to_no_log_and_matches_itself_alone() {
        let secret = Secret::parse("hunter2").expect("short").expect("not empty");
        assert!(!format!("{secret:?}").contains("hunter2"));
        assert!(secret.matches(b"hunter2"));
        for attempt in [&b""[..], b"hunter", b"hunter2hunter2", b"hunter3"] {
            assert!(!secret.matches(attempt));
        }
    }
}
