//! What a row of the command table says: flags, categories, keys, documentation.
//!
//! Source of the terms: <https://redis.io/docs/latest/commands/command/> and its key specifications.

use bitflags::bitflags;

bitflags! {
    /// Command flags, named as COMMAND INFO names them, and a few of ours at the end.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Flags: u64 {
        const WRITE = 1;
        const READONLY = 1 << 1;
        const DENYOOM = 1 << 2;
        const ADMIN = 1 << 3;
        const PUBSUB = 1 << 4;
        const NOSCRIPT = 1 << 5;
        const BLOCKING = 1 << 6;
        const LOADING = 1 << 7;
        const STALE = 1 << 8;
        const SKIP_MONITOR = 1 << 9;
        const SKIP_SLOWLOG = 1 << 10;
        const FAST = 1 << 11;
        const NO_AUTH = 1 << 12;
        const MAY_REPLICATE = 1 << 13;
        const MOVABLEKEYS = 1 << 14;
        const NO_MULTI = 1 << 15;
        const ALLOW_BUSY = 1 << 16;
        const NO_ASYNC_LOADING = 1 << 17;
        const NO_MANDATORY_KEYS = 1 << 18;
        /// Ours: may be sent by a RESP2 client that is subscribed to channels.
        const WHILE_SUBSCRIBED = 1 << 24;
        /// Ours: touches keys that its key specs do not name (FLUSHALL, SORT … BY); locks everything.
        const WHOLE_KEYSPACE = 1 << 25;
        /// Ours: proposed by the server, never accepted from a client.
        const INTERNAL = 1 << 26;
        /// Ours: a local command that waits until everything before it on its connection is answered.
        const ORDERED = 1 << 27;
        /// Ours: a local command that is answered by the primary wherever it is sent.
        const ON_PRIMARY = 1 << 28;
        /// Ours: runs while clients are paused; nodes say it to each other before they send anything on.
        const WHILE_PAUSED = 1 << 29;
        /// Ours: may hold a password; the slow log never keeps it.
        const SECRET_ARGUMENTS = 1 << 30;
        /// Ours: tells operators how the node is, also while it loads and does not know its users yet.
        const TELLS_STATE = 1 << 31;
        /// Ours: reads this node's own log and checkpoints, for which its own users suffice.
        const READS_OWN_DATA = 1 << 33;
        /// Ours: tells parameters, users or functions of the group, as this node knows them.
        const TELLS_GROUP = 1 << 34;
        /// Ours: looks at keys and does not use them: their access times stay.
        const LOOKS_ONLY = 1 << 32;
    }
}

bitflags! {
    /// ACL categories.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Categories: u32 {
        const KEYSPACE = 1;
        const READ = 1 << 1;
        const WRITE = 1 << 2;
        const SET = 1 << 3;
        const SORTEDSET = 1 << 4;
        const LIST = 1 << 5;
        const HASH = 1 << 6;
        const STRING = 1 << 7;
        const BITMAP = 1 << 8;
        const HYPERLOGLOG = 1 << 9;
        const GEO = 1 << 10;
        const STREAM = 1 << 11;
        const PUBSUB = 1 << 12;
        const ADMIN = 1 << 13;
        const FAST = 1 << 14;
        const SLOW = 1 << 15;
        const BLOCKING = 1 << 16;
        const DANGEROUS = 1 << 17;
        const CONNECTION = 1 << 18;
        const TRANSACTION = 1 << 19;
        const SCRIPTING = 1 << 20;
    }
}

bitflags! {
    /// What a command does with the keys of one key spec.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct KeyFlags: u16 {
        const RO = 1;
        const RW = 1 << 1;
        const OW = 1 << 2;
        const RM = 1 << 3;
        const ACCESS = 1 << 4;
        const UPDATE = 1 << 5;
        const INSERT = 1 << 6;
        const DELETE = 1 << 7;
        const NOT_KEY = 1 << 8;
        const INCOMPLETE = 1 << 9;
        const VARIABLE_FLAGS = 1 << 10;
    }
}

/// The usual combinations.
impl KeyFlags {
    pub const RO_ACCESS: KeyFlags = KeyFlags::RO.union(KeyFlags::ACCESS);
    pub const RW_ACCESS: KeyFlags = KeyFlags::RW.union(KeyFlags::ACCESS);
    pub const RW_ACCESS_DELETE: KeyFlags = KeyFlags::RW_ACCESS.union(KeyFlags::DELETE);
    pub const RW_ACCESS_UPDATE: KeyFlags = KeyFlags::RW_ACCESS.union(KeyFlags::UPDATE);
    pub const RW_DELETE: KeyFlags = KeyFlags::RW.union(KeyFlags::DELETE);
    pub const RW_INSERT: KeyFlags = KeyFlags::RW.union(KeyFlags::INSERT);
    pub const RW_UPDATE: KeyFlags = KeyFlags::RW.union(KeyFlags::UPDATE);
    pub const OW_INSERT: KeyFlags = KeyFlags::OW.union(KeyFlags::INSERT);
    pub const OW_UPDATE: KeyFlags = KeyFlags::OW.union(KeyFlags::UPDATE);
    pub const RM_DELETE: KeyFlags = KeyFlags::RM.union(KeyFlags::DELETE);
    pub const RM_ACCESS_DELETE: KeyFlags = KeyFlags::RM_DELETE.union(KeyFlags::ACCESS);
}

/// Where the search for keys begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BeginSearch {
    /// At this argument.
    Index(usize),
    /// Behind this keyword (any case), looked for from argument `from` on: its last occurrence that anything follows, for
    /// a later option overrides an earlier one.
    LastKeyword { keyword: &'static str, from: usize },
    /// Behind the option STREAMS of XREAD and XREADGROUP: the word may also be an option's value, or a name. `from` is what
    /// COMMAND tells.
    StreamsOption { from: usize },
}

/// How the keys are found from there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FindKeys {
    /// Every `step`th argument up to `last`: counted from the beginning if not negative, else from the end (-1 is the last).
    Range { last: i32, step: usize },
    /// A count of keys at `count_at`, the first key at `first`, both counted from the beginning of the search.
    KeyNum { count_at: usize, first: usize, step: usize },
    /// All up to the end, of which the second half are no keys.
    FirstHalf,
}

/// One group of key arguments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeySpec {
    pub begin: BeginSearch,
    pub find: FindKeys,
    pub flags: KeyFlags,
}

/// One key at argument `index`.
pub const fn key(index: usize, flags: KeyFlags) -> KeySpec {
    keys(index, 0, 1, flags)
}

/// Keys from argument `index` on; `last` and `step` as in [`FindKeys::Range`].
pub const fn keys(index: usize, last: i32, step: usize, flags: KeyFlags) -> KeySpec {
    KeySpec { begin: BeginSearch::Index(index), find: FindKeys::Range { last, step }, flags }
}

/// A count of keys at argument `index`, the keys right behind it.
pub const fn numbered_keys(index: usize, flags: KeyFlags) -> KeySpec {
    KeySpec {
        begin: BeginSearch::Index(index),
        find: FindKeys::KeyNum { count_at: 0, first: 1, step: 1 },
        flags,
    }
}

/// `a | b | …` in a const.
pub const fn key_flags(flags: &[KeyFlags]) -> KeyFlags {
    let mut bits = 0;
    let mut at = 0;
    while at < flags.len() {
        bits |= flags[at].bits();
        at += 1;
    }
    KeyFlags::from_bits_retain(bits)
}

impl KeySpec {
    /// The places of this group's keys among `args`; none where the arguments do not fit the spec.
    pub fn places(&self, args: &[&[u8]]) -> impl Iterator<Item = usize> + use<> {
        let (first, count, step) = self.resolve(args).unwrap_or((0, 0, 1));
        (0..count).map(move |nth| first + nth * step)
    }

    /// Whether it names the first argument and nothing else.
    pub fn is_first_argument(&self) -> bool {
        matches!(self.find, FindKeys::Range { last: 0, .. }) && self.begin == BeginSearch::Index(1)
    }

    /// Whether this group's count of keys is none, or one that its arguments do not fulfil.
    pub fn has_invalid_count(&self, args: &[&[u8]]) -> bool {
        matches!(self.find, FindKeys::KeyNum { .. }) && self.resolve(args).is_none()
    }

    /// First key, number of keys, step.
    fn resolve(&self, args: &[&[u8]]) -> Option<(usize, usize, usize)> {
        let begin = match self.begin {
            BeginSearch::Index(index) => index,
            BeginSearch::LastKeyword { keyword, from } => {
                let followed = args.get(from..args.len().checked_sub(1)?)?;
                from + 1 + followed.iter().rposition(|arg| arg.eq_ignore_ascii_case(keyword.as_bytes()))?
            }
            BeginSearch::StreamsOption { .. } => after_streams_option(args)?,
        };
        match self.find {
            FindKeys::Range { last, step } => {
                let end = if last >= 0 {
                    begin + last as usize
                } else {
                    args.len().checked_sub(last.unsigned_abs() as usize)?
                };
                (end < args.len() && begin <= end).then(|| (begin, (end - begin) / step + 1, step))
            }
            FindKeys::KeyNum { count_at, first, step } => {
                let count: usize = std::str::from_utf8(args.get(begin + count_at)?).ok()?.parse().ok()?;
                let first = begin + first;
                let last = count.checked_sub(1)?.checked_mul(step)?.checked_add(first)?;
                (last < args.len()).then_some((first, count, step))
            }
            FindKeys::FirstHalf => {
                let left = args.len().checked_sub(begin)?;
                (left > 0 && left.is_multiple_of(2)).then_some((begin, left / 2, 1))
            }
        }
    }
}

/// The place behind the option STREAMS, where the options before it are understood.
fn after_streams_option(args: &[&[u8]]) -> Option<usize> {
    const VALUES: [(&str, usize); 4] = [("BLOCK", 1), ("COUNT", 1), ("GROUP", 2), ("NOACK", 0)];
    let mut at = 1;
    loop {
        let option = args.get(at)?;
        let is = |word: &str| option.eq_ignore_ascii_case(word.as_bytes());
        if is("STREAMS") {
            return Some(at + 1);
        }
        at += 1 + VALUES.iter().find(|(word, _)| is(word))?.1;
    }
}

/// What COMMAND DOCS and docs/commands.md say.
#[derive(Clone, Copy, Debug)]
pub struct Docs {
    pub summary: &'static str,
    /// The Redis or Valkey version that brought the command.
    pub since: &'static str,
    pub complexity: &'static str,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(spec: KeySpec, line: &str) -> Vec<usize> {
        let args: Vec<&[u8]> = line.split(' ').map(str::as_bytes).collect();
        spec.places(&args).collect()
    }

    #[test]
    fn each_kind_of_spec_finds_its_keys() {
        assert_eq!(places(key(1, KeyFlags::RO), "GET k"), [1]);
        assert_eq!(places(keys(1, -1, 2, KeyFlags::OW), "MSET a 1 b 2"), [1, 3]);
        assert_eq!(places(keys(1, -2, 1, KeyFlags::RW), "BLPOP a b 0"), [1, 2]);
        assert_eq!(places(numbered_keys(1, KeyFlags::RO), "ZUNION 2 a b WITHSCORES"), [2, 3]);
        let store = KeySpec {
            begin: BeginSearch::LastKeyword { keyword: "STORE", from: 2 },
            find: FindKeys::Range { last: 0, step: 1 },
            flags: KeyFlags::OW,
        };
        assert_eq!(places(store, "SORT a LIMIT 0 1 store b"), [6]);
        assert_eq!(places(store, "SORT a STORE b STORE c"), [5]);
        assert!(places(store, "SORT STORE").is_empty());
        let streams = KeySpec {
            begin: BeginSearch::StreamsOption { from: 4 },
            find: FindKeys::FirstHalf,
            flags: KeyFlags::RO,
        };
        assert_eq!(places(streams, "XREAD COUNT streams BLOCK 0 STREAMS a b 0 0"), [6, 7]);
        assert_eq!(places(streams, "XREADGROUP NOACK GROUP streams c streams STREAMS 0"), [6]);
        for line in ["XREAD STREAMS a b 0", "XREAD STREAMS", "XREAD x STREAMS a 0", "XREAD COUNT"] {
            assert!(places(streams, line).is_empty(), "{line}");
        }
    }

    #[test]
    fn arguments_that_do_not_fit_name_no_key() {
        assert!(places(key(1, KeyFlags::RO), "GET").is_empty());
        assert!(places(numbered_keys(1, KeyFlags::RO), "ZUNION 3 a b").is_empty());
        assert!(places(numbered_keys(1, KeyFlags::RO), "ZUNION 18446744073709551615 a").is_empty());
        assert!(places(numbered_keys(1, KeyFlags::RO), "ZUNION 0 a").is_empty());
    }
}
