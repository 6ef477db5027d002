//! `maxmemory-policy` and what belongs to it: which keys leave when the data has reached `maxmemory`.
//!
//! - All of it is read by the primary where it plans evictions, and by no other part: apply removes the keys that an entry names.
//! - The parameters are the group's (`group_values.rs`): which node is the primary makes no difference.

use std::fmt;

use super::value::parse_bytes;
use crate::access::{AccessRule, MAX_FACTOR};

/// Which keys may be evicted, and which of those first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum EvictionPolicy {
    #[default]
    NoEviction,
    AllKeysLru,
    AllKeysLfu,
    AllKeysRandom,
    VolatileLru,
    VolatileLfu,
    VolatileRandom,
    VolatileTtl,
}

/// Names in Redis' order.
const NAMES: [(&str, EvictionPolicy); 8] = [
    ("volatile-lru", EvictionPolicy::VolatileLru),
    ("volatile-lfu", EvictionPolicy::VolatileLfu),
    ("volatile-random", EvictionPolicy::VolatileRandom),
    ("volatile-ttl", EvictionPolicy::VolatileTtl),
    ("allkeys-lru", EvictionPolicy::AllKeysLru),
    ("allkeys-lfu", EvictionPolicy::AllKeysLfu),
    ("allkeys-random", EvictionPolicy::AllKeysRandom),
    ("noeviction", EvictionPolicy::NoEviction),
];

impl EvictionPolicy {
    /// # Errors
    /// Redis' text, which lists the names.
    pub fn parse(text: &str) -> Result<EvictionPolicy, String> {
        let named = NAMES.iter().find(|(name, _)| name.eq_ignore_ascii_case(text));
        named.map(|(_, policy)| *policy).ok_or_else(|| {
            let names = NAMES.map(|(name, _)| name).join(", ");
            format!("argument(s) must be one of the following: {names}")
        })
    }

    pub fn name(self) -> &'static str {
        NAMES.iter().find(|(_, policy)| *policy == self).map_or("", |(name, _)| name)
    }

    /// Whether any key may be evicted.
    pub fn evicts(self) -> bool {
        self != EvictionPolicy::NoEviction
    }

    /// Whether keys are taken as they come.
    pub fn is_random(self) -> bool {
        matches!(self, EvictionPolicy::AllKeysRandom | EvictionPolicy::VolatileRandom)
    }

    /// Whether only keys with a deadline may be evicted.
    pub fn is_volatile(self) -> bool {
        use EvictionPolicy::{VolatileLfu, VolatileLru, VolatileRandom, VolatileTtl};
        matches!(self, VolatileLru | VolatileLfu | VolatileRandom | VolatileTtl)
    }

    /// Whether the least frequently used keys go first.
    pub fn is_by_frequency(self) -> bool {
        matches!(self, EvictionPolicy::AllKeysLfu | EvictionPolicy::VolatileLfu)
    }
}

impl fmt::Display for EvictionPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// How the primary chooses keys to evict.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Eviction {
    pub policy: EvictionPolicy,
    pub samples: u64,
    pub lfu_log_factor: u64,
    pub lfu_decay_minutes: u64,
}

impl Eviction {
    /// How access words are kept. Only a policy that needs frequencies has them: OBJECT IDLETIME answers under all others.
    pub fn access(self) -> AccessRule {
        AccessRule {
            by_frequency: self.policy.is_by_frequency(),
            log_factor: self.lfu_log_factor.min(MAX_FACTOR) as u32,
            decay_minutes: self.lfu_decay_minutes.min(MAX_FACTOR) as u32,
        }
    }
}

impl Default for Eviction {
    fn default() -> Self {
        Eviction { policy: EvictionPolicy::NoEviction, samples: 5, lfu_log_factor: 10, lfu_decay_minutes: 1 }
    }
}

/// `maxmemory-clients`: what the buffers of all clients may take. Zero is no limit but that of the machine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ClientsLimit {
    #[default]
    None,
    Bytes(u64),
    /// Of `maxmemory`.
    Percent(u64),
}

impl ClientsLimit {
    /// # Errors
    /// Redis' text.
    pub fn parse(text: &str) -> Result<ClientsLimit, String> {
        let wrong = || "argument must be a memory or percent value".to_owned();
        let limit = match text.strip_suffix('%') {
            Some(percent) => ClientsLimit::Percent(percent.parse().map_err(|_| wrong())?),
            None => ClientsLimit::Bytes(parse_bytes(text).map_err(|_| wrong())?),
        };
        match limit {
            ClientsLimit::Percent(101..) => {
                Err("percentage argument must be less or equal to 100".to_owned())
            }
            ClientsLimit::Percent(0) | ClientsLimit::Bytes(0) => Ok(ClientsLimit::None),
            limit => Ok(limit),
        }
    }

    /// In bytes, where `maxmemory` is this; `None` for no limit.
    pub fn bytes(self, maxmemory: u64) -> Option<u64> {
        match self {
            ClientsLimit::None => None,
            ClientsLimit::Bytes(bytes) => Some(bytes),
            ClientsLimit::Percent(_) if maxmemory == 0 => None,
            ClientsLimit::Percent(percent) => {
                Some((u128::from(maxmemory) * u128::from(percent) / 100) as u64)
            }
        }
    }
}

impl fmt::Display for ClientsLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ClientsLimit::None => f.write_str("0"),
            ClientsLimit::Bytes(bytes) => write!(f, "{bytes}"),
            ClientsLimit::Percent(percent) => write!(f, "{percent}%"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn policies_are_read_in_any_case_and_errors_name_all_of_them() {
        for (name, policy) in NAMES {
            assert_eq!(EvictionPolicy::parse(&name.to_uppercase()), Ok(policy));
            assert_eq!(policy.name(), name);
            assert_eq!(policy.is_volatile(), name.starts_with("volatile"));
        }
        let error = EvictionPolicy::parse("allkeys").expect_err("no policy");
        assert!(error.starts_with("argument(s) must be one of the following: volatile-"), "{error}");
        assert!(error.ends_with("allkeys-random, noeviction"), "{error}");
    }
    #[test]
    fn the_limit_of_clients_is_bytes_or_a_share_of_maxmemory() {
        for (text, shown, bytes) in [
            ("0", "0", None),
            ("0%", "0", None),
            ("5%", "5%", Some(50)),
            ("100%", "100%", Some(1000)),
            ("1kb", "1024", Some(1024)),
        ] {
            let limit = ClientsLimit::parse(text).expect("a limit");
            assert_eq!((limit.to_string().as_str(), limit.bytes(1000)), (shown, bytes), "{text}");
        }
        assert_eq!(ClientsLimit::Percent(5).bytes(0), None);
        for (text, error) in [
            ("101%", "percentage argument must be less or equal to 100"),
            ("x%", "argument must be a memory or percent value"),
            ("-1", "argument must be a memory or percent value"),
            ("%", "argument must be a memory or percent value"),
        ] {
            assert_eq!(ClientsLimit::parse(text).expect_err("no limit"), error, "{text}");
        }
    }
}
