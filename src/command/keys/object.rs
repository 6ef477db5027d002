//! OBJECT: how a value lies in memory.
//!
//! - A string answers the encoding that Redis would choose for a fresh one: `int`, `embstr` or `raw`. One that was changed in place is `raw`
//!   until it is set or the node starts again. Scripts, which every node runs, are told that of a fresh one.
//! - Nothing is shared, so the reference count is 1.
//! - Idle times and frequencies are this node's own (`access.rs`). Scripts, which every node runs, see none of them.
//!
//! Source: <https://redis.io/docs/latest/commands/object/>.

use crate::access::idle_seconds;
use crate::command::spec::{Flags, KeyFlags, KeySpec, key};
use crate::command::{Args, Command, CommandError, CommandResult, ReadContext};
use crate::keyspace::entry::Entry;
use crate::keyspace::value::ValueRef;
use crate::protocol::number::parse_integer;
use crate::protocol::reply::Reply;

const LOOKS: Flags = Flags::LOOKS_ONLY;
const KEY: &[KeySpec] = &[key(2, KeyFlags::RO)];

pub(super) const SUBCOMMANDS: &[Command] = &[
    Command::read("encoding", 3, encoding).in_scripts(encoding_in_scripts).flags(&[LOOKS]).keys(KEY).docs(
        "2.2.3",
        "O(1)",
        "Returns the internal encoding of an object.",
    ),
    Command::read("freq", 3, freq).in_scripts(freq_in_scripts).flags(&[LOOKS]).keys(KEY).docs(
        "4.0.0",
        "O(1)",
        "Returns the logarithmic access frequency counter of an object.",
    ),
    Command::read("help", 2, help).flags(&[Flags::LOADING, Flags::STALE]).docs(
        "6.2.0",
        "O(1)",
        "Returns helpful text about the different subcommands.",
    ),
    Command::read("idletime", 3, idletime).in_scripts(idletime_in_scripts).flags(&[LOOKS]).keys(KEY).docs(
        "2.2.3",
        "O(1)",
        "Returns the time since the last access to an object.",
    ),
    Command::read("refcount", 3, refcount).flags(&[LOOKS]).keys(KEY).docs(
        "2.2.3",
        "O(1)",
        "Returns the reference count of a value of a key.",
    ),
];

/// Longest string that Redis embeds in its object.
const EMBSTR_MAX_BYTES: usize = 44;

const NO_FREQUENCIES: &str = "ERR An LFU maxmemory policy is not selected, access frequency not tracked. \
    Please note that when switching between policies at runtime LRU and LFU data will take some time to adjust.";

const NO_IDLE_TIMES: &str = "ERR An LFU maxmemory policy is selected, idle time not tracked. \
    Please note that when switching between policies at runtime LRU and LFU data will take some time to adjust.";

const HELP: [&str; 15] = [
    "OBJECT <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
    "ENCODING <key>",
    "    Return the kind of internal representation used in order to store the value",
    "    associated with a <key>.",
    "FREQ <key>",
    "    Return the access frequency index of the <key>. The returned integer is",
    "    proportional to the logarithm of the recent access frequency of the key.",
    "IDLETIME <key>",
    "    Return the idle time of the <key>, that is the approximated number of",
    "    seconds elapsed since the last access to the key on this node.",
    "REFCOUNT <key>",
    "    Return the number of references of the value associated with the specified",
    "    <key>.",
    "HELP",
    "    Print this help.",
];

fn encoding(ctx: &ReadContext<'_>, args: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    reply.bulk_or_null(ctx.entry(args[2]).map(|entry| encoding_name(entry).as_bytes()));
    Ok(())
}

/// Whether a string was changed in place is not known to every node.
fn encoding_in_scripts(ctx: &ReadContext<'_>, args: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    reply.bulk_or_null(ctx.entry(args[2]).map(|entry| fresh_encoding_name(entry).as_bytes()));
    Ok(())
}

/// What OBJECT ENCODING answers for an entry.
pub fn encoding_name(entry: &Entry) -> &'static str {
    if entry.is_raw() { "raw" } else { fresh_encoding_name(entry) }
}

fn fresh_encoding_name(entry: &Entry) -> &'static str {
    match entry.value() {
        ValueRef::Object(object) => object.encoding_name(),
        ValueRef::String(text) if parse_integer(text).is_some() => "int",
        ValueRef::String(text) if text.len() <= EMBSTR_MAX_BYTES => "embstr",
        ValueRef::String(_) => "raw",
    }
}

fn refcount(ctx: &ReadContext<'_>, args: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    reply_if_exists(ctx, args, reply, |_| Ok(1))
}

fn idletime(ctx: &ReadContext<'_>, args: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    reply_if_exists(ctx, args, reply, |entry| match ctx.access_rule().by_frequency {
        true => Err(CommandError::other(NO_IDLE_TIMES)),
        false => Ok(idle_seconds(entry.access(), ctx.now_ms)),
    })
}

fn freq(ctx: &ReadContext<'_>, args: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    let rule = ctx.access_rule();
    reply_if_exists(ctx, args, reply, |entry| match rule.by_frequency {
        true => Ok(rule.frequency(entry.access(), ctx.now_ms)),
        false => Err(CommandError::other(NO_FREQUENCIES)),
    })
}

/// When a key was used is not the same on every node: it was now, for a script.
fn idletime_in_scripts(ctx: &ReadContext<'_>, args: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    reply_if_exists(ctx, args, reply, |_| Ok(0))
}

fn freq_in_scripts(ctx: &ReadContext<'_>, args: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    reply_if_exists(ctx, args, reply, |_| Err(CommandError::other(NO_FREQUENCIES)))
}

fn reply_if_exists(
    ctx: &ReadContext<'_>,
    args: &Args<'_>,
    reply: &mut Reply<'_>,
    value: impl FnOnce(&Entry) -> Result<u32, CommandError>,
) -> CommandResult {
    match ctx.entry(args[2]) {
        Some(entry) => reply.integer(i64::from(value(entry)?)),
        None => reply.null(),
    }
    Ok(())
}

fn help(_: &ReadContext<'_>, _: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    reply.lines(&HELP);
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::access::AccessRule;
    use crate::command::testing::TestDb;

    #[test]
    fn strings_name_their_encoding() {
        let mut db = TestDb::new();
        db.show("SET n 12345");
        db.show("SET short hello");
        db.show(&format!("SET long {}", "x".repeat(45)));
        assert_eq!(db.show("OBJECT ENCODING n"), "int");
        assert_eq!(db.show("object encoding short"), "embstr");
        assert_eq!(db.show("OBJECT ENCODING long"), "raw");
        assert_eq!(db.show("OBJECT ENCODING none"), "nil");
    }

    #[test]
    fn a_string_that_was_changed_in_place_is_raw_until_it_is_set() {
        let mut db = TestDb::new();
        for (value, change) in [
            ("12", "APPEND k 3"),
            ("12", "SETRANGE k 0 4"),
            ("text", "SETRANGE k 9 more"),
            ("text", "SETBIT k 1 0"),
            ("text", "BITFIELD k SET u8 0 65"),
        ] {
            db.show(&format!("SET k {value}"));
            assert_ne!(db.show("OBJECT ENCODING k"), "raw", "{change}");
            db.show(change);
            assert_eq!(db.show("OBJECT ENCODING k"), "raw", "{change}");
            db.show("PEXPIRE k 5000");
            db.show("RENAME k other");
            db.show("COPY other k");
            assert_eq!(db.show("OBJECT ENCODING other"), "raw", "{change}");
            assert_eq!(db.show("OBJECT ENCODING k"), "raw", "{change}");
            let script = r#"EVAL "return redis.call('object','encoding','k') == 'raw'" 0"#;
            assert_eq!(db.show(script), "nil", "{change}");
        }
        db.show("SET k 5");
        assert_eq!(db.show("OBJECT ENCODING k"), "int");
        db.show("APPEND k 5");
        db.show("INCR k");
        assert_eq!(db.show("OBJECT ENCODING k"), "int");
        db.show("APPEND k x");
        db.show("SET k abcd");
        assert_eq!(db.show("OBJECT ENCODING k"), "embstr");
        assert_eq!(db.show("APPEND new 12"), "2");
        assert_eq!(db.show("OBJECT ENCODING new"), "int");
        db.show("SETRANGE empty 0 x");
        assert_eq!(db.show("OBJECT ENCODING empty"), "raw");
    }

    #[test]
    fn the_other_questions_have_plain_answers() {
        let mut db = TestDb::new();
        db.show("SET k v");
        assert_eq!(db.show("OBJECT REFCOUNT k"), "1");
        assert_eq!(db.show("OBJECT IDLETIME k"), "0");
        assert_eq!(db.show("OBJECT IDLETIME none"), "nil");
        assert!(db.show("OBJECT FREQ k").starts_with("ERR An LFU maxmemory policy is not selected"));
        assert!(db.show("OBJECT HELP").starts_with("[OBJECT <subcommand>"));
    }

    #[test]
    fn idle_time_is_that_since_a_key_was_last_used_and_looking_is_no_use() {
        let mut db = TestDb::new();
        db.show("MSET k v other v");
        db.show("RPUSH l 1");
        let idle = |db: &mut TestDb, key: &str| db.show(&format!("OBJECT IDLETIME {key}"));
        db.at(1_010_000);
        for line in [
            "EXISTS k",
            "TYPE k",
            "TTL k",
            "OBJECT ENCODING k",
            "MEMORY USAGE k",
            "KEYS *",
            "SCAN 0",
            "GET none",
        ] {
            db.run(line);
            assert_eq!(idle(&mut db, "k"), "10", "{line}");
        }
        for (now_ms, line) in [
            (1_020_000, "GET k"),
            (1_030_000, "TOUCH k"),
            (1_040_000, "APPEND k x"),
            (1_050_000, "SET k 5"),
            (1_060_000, "INCR k"),
            (1_070_000, "EXPIRE k 100"),
            (1_080_000, "RENAME k k2"),
            (1_090_000, "STRLEN k2"),
            (1_100_000, "COPY k2 k3"),
            (1_110_000, "LPUSH l 2"),
            (1_120_000, "LRANGE l 0 -1"),
            (1_130_000, "SET k4 v"),
        ] {
            db.at(now_ms).run(line);
            let key = match line {
                "COPY k2 k3" => "k3",
                "RENAME k k2" | "STRLEN k2" => "k2",
                _ => line.split(' ').nth(1).expect("a key"),
            };
            assert_eq!(idle(&mut db, key), "0", "{line}");
            assert_eq!(idle(db.at(now_ms + 7_900), key), "7", "{line}");
        }
        assert_eq!(idle(&mut db, "other"), "137");
    }

    #[test]
    fn a_use_counts_once_for_each_command_where_frequencies_are_kept() {
        let mut db = TestDb::new();
        db.effects.access = AccessRule { by_frequency: true, log_factor: 0, decay_minutes: 1 };
        for line in ["SET k 1", "GET k", "INCR k", "MGET k k", "SETRANGE k 9 x", "EXISTS k"] {
            db.run(line);
        }
        assert_eq!(db.show("OBJECT FREQ k"), "9");
        assert_eq!(db.at(1_000_000 + 3 * 60_000).show("OBJECT FREQ k"), "6");
        assert!(db.show("OBJECT IDLETIME k").starts_with("ERR An LFU maxmemory policy is selected"));
        assert_eq!(db.show("OBJECT FREQ none"), "nil");
    }

    #[test]
    fn access_words_are_in_no_digest() {
        let mut db = TestDb::new();
        db.show("SET k v");
        let digest = db.digest();
        db.at(2_000_000).show("GET k");
        assert_eq!(db.show("OBJECT IDLETIME k"), "0");
        assert_eq!(db.digest(), digest);
    }

    #[test]
    fn scripts_are_told_the_same_on_every_node() {
        let mut db = TestDb::new();
        db.show("SET k v");
        db.at(1_050_000);
        assert_eq!(db.show(r#"EVAL "return redis.call('object','idletime','k')" 0"#), "0");
        assert_eq!(db.show("OBJECT IDLETIME k"), "50");
    }
}
