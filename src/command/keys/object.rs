//! OBJECT: how a value lies in memory.
//!
//! - A string answers the encoding that Redis would choose for a fresh one: `int`, `embstr` or `raw`; its history does
//!   not count.
//! - Nothing is shared, so the reference count is 1; access times and frequencies are not kept.
//!
//! Source: <https://redis.io/docs/latest/commands/object/>.

use crate::command::spec::{Flags, KeyFlags, KeySpec, key};
use crate::command::{Args, Command, CommandError, CommandResult, ReadContext};
use crate::keyspace::entry::Entry;
use crate::keyspace::value::ValueRef;
use crate::protocol::number::parse_integer;
use crate::protocol::reply::Reply;

const KEY: &[KeySpec] = &[key(2, KeyFlags::RO)];

pub(super) const SUBCOMMANDS: &[Command] = &[
    Command::read("encoding", 3, encoding).keys(KEY).docs(
        "2.2.3",
        "O(1)",
        "Returns the internal encoding of an object.",
    ),
    Command::read("freq", 3, freq).keys(KEY).docs(
        "4.0.0",
        "O(1)",
        "Returns the logarithmic access frequency counter of an object.",
    ),
    Command::read("help", 2, help).flags(&[Flags::LOADING, Flags::STALE]).docs(
        "6.2.0",
        "O(1)",
        "Returns helpful text about the different subcommands.",
    ),
    Command::read("idletime", 3, idletime).keys(KEY).docs(
        "2.2.3",
        "O(1)",
        "Returns the time since the last access to an object.",
    ),
    Command::read("refcount", 3, refcount).keys(KEY).docs(
        "2.2.3",
        "O(1)",
        "Returns the reference count of a value of a key.",
    ),
];

/// Longest string that Redis embeds in its object.
const EMBSTR_MAX_BYTES: usize = 44;

const NO_FREQUENCIES: &str = "ERR An LFU maxmemory policy is not selected, access frequency not tracked. \
    Please note that when switching between policies at runtime LRU and LFU data will take some time to adjust.";

const HELP: [&str; 12] = [
    "OBJECT <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
    "ENCODING <key>",
    "    Return the kind of internal representation used in order to store the value",
    "    associated with a <key>.",
    "FREQ <key>",
    "    Return the access frequency index of the <key>.",
    "IDLETIME <key>",
    "    Return the idle time of the <key>. Access times are not kept: always 0.",
    "REFCOUNT <key>",
    "    Return the number of references of the value associated with the specified <key>.",
    "HELP",
    "    Print this help.",
];

fn encoding(ctx: &ReadContext<'_>, args: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    reply.bulk_or_null(ctx.entry(args[2]).map(|entry| encoding_name(entry).as_bytes()));
    Ok(())
}

/// What OBJECT ENCODING answers for an entry.
pub fn encoding_name(entry: &Entry) -> &'static str {
    match entry.value() {
        ValueRef::Object(object) => object.encoding_name(),
        ValueRef::String(text) if parse_integer(text).is_some() => "int",
        ValueRef::String(text) if text.len() <= EMBSTR_MAX_BYTES => "embstr",
        ValueRef::String(_) => "raw",
    }
}

fn refcount(ctx: &ReadContext<'_>, args: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    write_if_exists(ctx, args, 1, reply)
}

fn idletime(ctx: &ReadContext<'_>, args: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    write_if_exists(ctx, args, 0, reply)
}

fn freq(ctx: &ReadContext<'_>, args: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    if ctx.exists(args[2]) {
        return Err(CommandError::other(NO_FREQUENCIES));
    }
    reply.null();
    Ok(())
}

fn write_if_exists(
    ctx: &ReadContext<'_>,
    args: &Args<'_>,
    value: i64,
    reply: &mut Reply<'_>,
) -> CommandResult {
    if ctx.exists(args[2]) {
        reply.integer(value)
    } else {
        reply.null()
    }
    Ok(())
}

fn help(_: &ReadContext<'_>, _: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    reply.lines(&HELP);
    Ok(())
}

#[cfg(test)]
mod tests {
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
    fn the_other_questions_have_plain_answers() {
        let mut db = TestDb::new();
        db.show("SET k v");
        assert_eq!(db.show("OBJECT REFCOUNT k"), "1");
        assert_eq!(db.show("OBJECT IDLETIME k"), "0");
        assert_eq!(db.show("OBJECT IDLETIME none"), "nil");
        assert!(db.show("OBJECT FREQ k").starts_with("ERR An LFU maxmemory policy is not selected"));
        assert!(db.show("OBJECT HELP").starts_with("[OBJECT <subcommand>"));
    }
}
