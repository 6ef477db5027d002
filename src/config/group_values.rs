//! The values of a group's parameters, and how each is read and written.
//!
//! - [`GROUP_PARAMETERS`] is the only list, in the order of names: a new one is a field of [`GroupValues`] and a row.
//! - A row reads back the text that it writes as the same value. Reading depends on the text alone, so that what one node has checked
//!   every node can read.
//! - Errors are those of Redis' `config.c`.

use std::ops::RangeInclusive;

use super::encodings::Encodings;
use super::events::Classes;
use super::eviction::{ClientsLimit, Eviction, EvictionPolicy};
use super::parse_max_bulk_len;
use super::value::{OutputLimits, parse_bytes, parse_events};

/// What holds for a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupValues {
    pub encodings: Encodings,
    pub told_events: Classes,
    /// Zero is never.
    pub timeout_s: u64,
    /// Zero is no limit but the guard.
    pub maxmemory: u64,
    pub eviction: Eviction,
    pub clients_limit: ClientsLimit,
    pub proto_max_bulk_len: u64,
    pub output_limits: OutputLimits,
    /// Negative is none, zero is all.
    pub slowlog_slower_than_us: i64,
    pub slowlog_max_len: u64,
    pub large_request_bytes: i64,
    pub large_request_max_len: u64,
    pub large_reply_bytes: i64,
    pub large_reply_max_len: u64,
    /// Zero is none.
    pub latency_monitor_threshold_ms: u64,
}

impl Default for GroupValues {
    fn default() -> GroupValues {
        const MIB: u64 = 1 << 20;
        let limits = OutputLimits::default().with("normal 1gb 256mb 60 pubsub 32mb 8mb 60");
        GroupValues {
            encodings: Encodings::DEFAULT,
            told_events: Classes::empty(),
            timeout_s: 0,
            maxmemory: 0,
            eviction: Eviction::default(),
            clients_limit: ClientsLimit::default(),
            proto_max_bulk_len: 512 * MIB,
            output_limits: limits.unwrap_or_default(),
            slowlog_slower_than_us: 10_000,
            slowlog_max_len: 128,
            large_request_bytes: MIB as i64,
            large_request_max_len: 128,
            large_reply_bytes: MIB as i64,
            large_reply_max_len: 128,
            latency_monitor_threshold_ms: 0,
        }
    }
}

/// A row of [`GROUP_PARAMETERS`].
#[derive(Debug)]
pub struct GroupParameter {
    pub name: &'static str,
    /// An older name of the same, empty where there is none.
    pub alias: &'static str,
    pub get: fn(&GroupValues) -> String,
    /// Reads a text; where it can't, nothing has changed.
    pub set: fn(&mut GroupValues, &str) -> Result<(), String>,
}

/// The row of a name or of an alias, in any case of letters.
pub fn group_parameter(name: &str) -> Option<&'static GroupParameter> {
    let is_its = |row: &&GroupParameter| {
        row.name.eq_ignore_ascii_case(name) || !row.alias.is_empty() && row.alias.eq_ignore_ascii_case(name)
    };
    GROUP_PARAMETERS.iter().find(is_its)
}

const ANY: RangeInclusive<i128> = 0..=i64::MAX as i128;
const LFU: RangeInclusive<i128> = 0..=i32::MAX as i128;
/// Keys that may be looked at for each one that is evicted.
const SAMPLES: RangeInclusive<i128> = 1..=64;
const LENGTH: RangeInclusive<i128> = 0..=MAX_LOG_LENGTH as i128;
/// Longest slow log, and of each other log of commands.
const MAX_LOG_LENGTH: u64 = 100_000;

macro_rules! row {
    ($name:literal, $alias:literal, $($field:ident).+, $read:expr) => {
        GroupParameter {
            name: $name,
            alias: $alias,
            get: |values| values.$($field).+.to_string(),
            set: |values, text| {
                values.$($field).+ = $read(text)?;
                Ok(())
            },
        }
    };
}

macro_rules! number {
    ($name:literal, $alias:literal, $($field:ident).+, $bounds:expr) => {
        row!($name, $alias, $($field).+, |text: &str| number(text, $bounds))
    };
}

/// Every parameter of a group.
#[rustfmt::skip]
pub const GROUP_PARAMETERS: &[GroupParameter] = &[
    GroupParameter {
        name: "client-output-buffer-limit",
        alias: "",
        get: |values| values.output_limits.to_string(),
        set: |values, text| {
            values.output_limits = values.output_limits.with(text)?;
            Ok(())
        },
    },
    number!("commandlog-large-reply-max-len", "", large_reply_max_len, LENGTH),
    number!("commandlog-large-request-max-len", "", large_request_max_len, LENGTH),
    number!("commandlog-reply-larger-than", "", large_reply_bytes, -1..=i128::from(i64::MAX)),
    number!("commandlog-request-larger-than", "", large_request_bytes, -1..=i128::from(i64::MAX)),
    number!("hash-max-listpack-entries", "hash-max-ziplist-entries", encodings.hash_max_listpack_entries, ANY),
    row!("hash-max-listpack-value", "hash-max-ziplist-value", encodings.hash_max_listpack_value, memory),
    row!("hll-sparse-max-bytes", "", encodings.hll_sparse_max_bytes, memory),
    number!("latency-monitor-threshold", "", latency_monitor_threshold_ms, ANY),
    number!("lfu-decay-time", "", eviction.lfu_decay_minutes, LFU),
    number!("lfu-log-factor", "", eviction.lfu_log_factor, LFU),
    number!("list-compress-depth", "", encodings.list_compress_depth, 0..=i128::from(i32::MAX)),
    number!("list-max-listpack-size", "list-max-ziplist-size", encodings.list_max_listpack_size, i32::MIN.into()..=i32::MAX.into()),
    row!("maxmemory", "", maxmemory, memory),
    row!("maxmemory-clients", "", clients_limit, ClientsLimit::parse),
    row!("maxmemory-policy", "", eviction.policy, EvictionPolicy::parse),
    number!("maxmemory-samples", "", eviction.samples, SAMPLES),
    GroupParameter {
        name: "notify-keyspace-events",
        alias: "",
        get: |values| values.told_events.letters(),
        set: |values, text| {
            values.told_events = parse_events(text)?;
            Ok(())
        },
    },
    row!("proto-max-bulk-len", "", proto_max_bulk_len, parse_max_bulk_len),
    number!("set-max-intset-entries", "", encodings.set_max_intset_entries, ANY),
    number!("set-max-listpack-entries", "", encodings.set_max_listpack_entries, ANY),
    number!("set-max-listpack-value", "", encodings.set_max_listpack_value, ANY),
    number!("slowlog-log-slower-than", "commandlog-execution-slower-than", slowlog_slower_than_us, -1..=i128::from(i64::MAX)),
    number!("slowlog-max-len", "commandlog-slow-execution-max-len", slowlog_max_len, LENGTH),
    row!("stream-node-max-bytes", "", encodings.stream_node_max_bytes, memory),
    number!("stream-node-max-entries", "", encodings.stream_node_max_entries, ANY),
    number!("timeout", "", timeout_s, 0..=i128::from(i32::MAX)),
    number!("zset-max-listpack-entries", "zset-max-ziplist-entries", encodings.zset_max_listpack_entries, ANY),
    row!("zset-max-listpack-value", "zset-max-ziplist-value", encodings.zset_max_listpack_value, memory),
];

fn number<T: TryFrom<i128>>(text: &str, bounds: RangeInclusive<i128>) -> Result<T, String> {
    const NO_NUMBER: &str = "argument couldn't be parsed into an integer";
    // As Redis reads numbers: no plus, no leading zeros.
    let number = text.parse::<i128>().ok().filter(|number| number.to_string() == text);
    let number = number.ok_or_else(|| NO_NUMBER.to_owned())?;
    if !bounds.contains(&number) {
        return Err(format!("argument must be between {} and {} inclusive", bounds.start(), bounds.end()));
    }
    T::try_from(number).map_err(|_| NO_NUMBER.to_owned())
}

fn memory(text: &str) -> Result<u64, String> {
    parse_bytes(text).map_err(|_| "argument must be a memory value".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_sorted_and_no_alias_is_a_name() {
        assert!(GROUP_PARAMETERS.is_sorted_by(|a, b| a.name < b.name));
        let mut all: Vec<&str> = GROUP_PARAMETERS.iter().flat_map(|row| [row.name, row.alias]).collect();
        all.retain(|name| !name.is_empty());
        let count = all.len();
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), count);
    }

    #[test]
    fn a_row_reads_what_it_writes() {
        let mut values = GroupValues::default();
        for row in GROUP_PARAMETERS {
            let text = (row.get)(&values);
            assert_eq!((row.set)(&mut values, &text), Ok(()), "{} {text}", row.name);
            assert_eq!(values, GroupValues::default(), "{}", row.name);
        }
    }

    #[test]
    fn what_redis_refuses_is_refused_with_its_words() {
        let mut values = GroupValues::default();
        let mut set = |name: &str, text: &str| {
            let row = group_parameter(name).expect("a parameter");
            (row.set)(&mut values, text)
        };
        let no_number = Err("argument couldn't be parsed into an integer".to_owned());
        for text in ["", "x", "1.5", "+1", "01", "99999999999999999999999999999999999999999"] {
            assert_eq!(set("set-max-intset-entries", text), no_number, "{text}");
        }
        assert_eq!(
            set("hash-max-listpack-value", "64kib"),
            Err("argument must be a memory value".to_owned())
        );
        let bounds = "argument must be between -2147483648 and 2147483647 inclusive";
        assert_eq!(set("list-max-listpack-size", "2147483648"), Err(bounds.to_owned()));
        assert_eq!(set("HASH-MAX-ZIPLIST-VALUE", "1kb"), Ok(()));
        assert_eq!(values.encodings.hash_max_listpack_value, 1024);
    }
}
