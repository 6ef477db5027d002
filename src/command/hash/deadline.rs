//! Deadlines of fields: the HEXPIRE, HTTL and HPERSIST commands.
//!
//! Answers are one integer per field: -2 no such field, -1 no deadline; for HEXPIRE 0 held back by a condition, 1 set,
//! 2 deleted because the deadline has passed.
//!
//! Source: <https://valkey.io/commands/hexpire/> and its siblings.

use super::live::{LiveHash, open};
use super::split_fields;
use crate::command::args::is;
use crate::command::lifetime::{ExpireConditions, Timing, to_seconds};
use crate::command::{Args, CommandError, CommandResult, ReadContext, WriteContext};
use crate::keyspace::types::hash::Hash;
use crate::protocol::reply::Reply;

const NO_FIELD: i64 = -2;
const NO_DEADLINE: i64 = -1;
const HELD_BACK: i64 = 0;
const DONE: i64 = 1;
const DELETED: i64 = 2;

pub(super) fn hexpire(ctx: &mut WriteContext<'_>, args: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    set_deadlines(ctx, args, Timing::Seconds, "hexpire", reply)
}

pub(super) fn hpexpire(ctx: &mut WriteContext<'_>, args: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    set_deadlines(ctx, args, Timing::Millis, "hpexpire", reply)
}

pub(super) fn hexpireat(ctx: &mut WriteContext<'_>, args: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    set_deadlines(ctx, args, Timing::UnixSeconds, "hexpireat", reply)
}

pub(super) fn hpexpireat(
    ctx: &mut WriteContext<'_>,
    args: &Args<'_>,
    reply: &mut Reply<'_>,
) -> CommandResult {
    set_deadlines(ctx, args, Timing::UnixMillis, "hpexpireat", reply)
}

fn set_deadlines(
    ctx: &mut WriteContext<'_>,
    args: &Args<'_>,
    timing: Timing,
    command: &'static str,
    reply: &mut Reply<'_>,
) -> CommandResult {
    let (key, now_ms, limits) = (args[1], ctx.now_ms, ctx.limits);
    let (words, fields) = split_fields(&args[3..], 1)?;
    let conditions = ExpireConditions::parse(words)?;
    let deadline_ms = timing.parse(args[2], 0, now_ms, command)?;
    if deadline_ms <= now_ms {
        ctx.call_changes("hdel");
    }
    change_fields(ctx, key, fields, reply, |hash, field| {
        let Some(_) = hash.get(field) else { return NO_FIELD };
        if !conditions.allow(hash.expire_at(field), deadline_ms) {
            HELD_BACK
        } else if deadline_ms <= now_ms {
            hash.remove(field);
            DELETED
        } else {
            hash.set_expire_at(field, Some(deadline_ms), limits);
            DONE
        }
    })?;
    ctx.note_field_deadlines(key);
    Ok(())
}

pub(super) fn hpersist(ctx: &mut WriteContext<'_>, args: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    let (fields, limits) = (only_fields(args)?, ctx.limits);
    change_fields(ctx, args[1], fields, reply, |hash, field| {
        if !hash.contains(field) {
            NO_FIELD
        } else if hash.expire_at(field).is_none() {
            NO_DEADLINE
        } else {
            hash.set_expire_at(field, None, limits);
            DONE
        }
    })
}

/// Answers what `change` says of each field; positive answers are changes.
fn change_fields(
    ctx: &mut WriteContext<'_>,
    key: &[u8],
    fields: &Args<'_>,
    reply: &mut Reply<'_>,
    change: impl Fn(&mut Hash, &[u8]) -> i64,
) -> CommandResult {
    let mut hash = open(ctx, key)?;
    let mut changed = false;
    reply.array(fields.len());
    for field in fields {
        let answer = hash.as_mut().map_or(NO_FIELD, |hash| change(hash, field));
        changed |= answer > 0;
        reply.integer(answer);
    }
    if changed {
        ctx.touch(key);
        ctx.remove_if_empty(key);
    }
    Ok(())
}

pub(super) fn httl(ctx: &ReadContext<'_>, args: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    write_deadlines(ctx, args, |deadline_ms| to_seconds(deadline_ms - ctx.now_ms), reply)
}

pub(super) fn hpttl(ctx: &ReadContext<'_>, args: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    write_deadlines(ctx, args, |deadline_ms| deadline_ms - ctx.now_ms, reply)
}

pub(super) fn hexpiretime(ctx: &ReadContext<'_>, args: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    write_deadlines(ctx, args, to_seconds, reply)
}

pub(super) fn hpexpiretime(ctx: &ReadContext<'_>, args: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    write_deadlines(ctx, args, |deadline_ms| deadline_ms, reply)
}

fn write_deadlines(
    ctx: &ReadContext<'_>,
    args: &Args<'_>,
    shown: impl Fn(i64) -> i64,
    reply: &mut Reply<'_>,
) -> CommandResult {
    let fields = only_fields(args)?;
    let hash = LiveHash::of(ctx, args[1])?;
    reply.array(fields.len());
    for field in fields {
        reply.integer(match hash.and_then(|hash| hash.deadline_ms(field)) {
            None => NO_FIELD,
            Some(deadline_ms) => deadline_ms.map_or(NO_DEADLINE, &shown),
        });
    }
    Ok(())
}

/// The fields of `command key FIELDS numfields field…`.
fn only_fields<'s, 'a>(args: &'s Args<'a>) -> Result<&'s Args<'a>, CommandError> {
    if !is(args[2], "FIELDS") {
        return Err(CommandError::Syntax);
    }
    split_fields(&args[2..], 1).map(|(_, fields)| fields)
}

#[cfg(test)]
mod tests {
    use crate::command::testing::TestDb;

    #[test]
    fn a_field_dies_at_its_deadline_and_the_hash_with_its_last_field() {
        let mut db = TestDb::new();
        db.show("HSET h a 1 b 2 c 3");
        assert_eq!(db.show("HEXPIRE h 10 FIELDS 3 a b none"), "[1 1 -2]");
        assert_eq!(db.show("HTTL h FIELDS 3 a c none"), "[10 -1 -2]");
        assert_eq!(db.show("HPTTL h FIELDS 1 a"), "[10000]");
        assert_eq!(db.show("HEXPIRETIME h FIELDS 1 a"), "[1010]");
        assert_eq!(db.show("HPEXPIRETIME h FIELDS 1 a"), "[1010000]");
        db.at(1_010_001);
        assert_eq!(db.show("HMGET h a b c"), "[nil nil 3]");
        assert_eq!(db.show("HGETALL h"), "[c 3]");
        assert_eq!(db.show("HLEN h"), "1");
        assert_eq!(db.show("HSCAN h 0"), "[0 [c 3]]");
        assert_eq!(db.show("HTTL h FIELDS 1 a"), "[-2]");
        assert_eq!(db.show("HDEL h a"), "0");
        assert_eq!(db.show("HSETNX h a 9"), "1");
        assert_eq!(db.show("HTTL h FIELDS 1 a"), "[-1]");
        assert_eq!(db.show("HDEL h a c"), "2");
        assert_eq!(db.show("EXISTS h"), "0");
    }

    #[test]
    fn each_form_names_its_moment_in_its_own_way() {
        let mut db = TestDb::new();
        db.show("HSET h a 1");
        for (line, deadline) in [
            ("HEXPIRE h 1 FIELDS 1 a", "[1001000]"),
            ("HPEXPIRE h 1 FIELDS 1 a", "[1000001]"),
            ("HEXPIREAT h 2000 FIELDS 1 a", "[2000000]"),
            ("HPEXPIREAT h 1000002 FIELDS 1 a", "[1000002]"),
        ] {
            assert_eq!(db.show(line), "[1]", "{line}");
            assert_eq!(db.show("HPEXPIRETIME h FIELDS 1 a"), deadline, "{line}");
        }
        assert_eq!(db.show("HPERSIST h FIELDS 2 a none"), "[1 -2]");
        assert_eq!(db.show("HPERSIST h FIELDS 1 a"), "[-1]");
    }

    #[test]
    fn conditions_and_the_past() {
        let mut db = TestDb::new();
        db.show("HSET h a 1 b 2");
        assert_eq!(db.show("HEXPIRE h 10 XX FIELDS 1 a"), "[0]");
        assert_eq!(db.show("HEXPIRE h 10 NX FIELDS 1 a"), "[1]");
        assert_eq!(db.show("HEXPIRE h 5 GT FIELDS 2 a b"), "[0 0]");
        assert_eq!(db.show("HEXPIRE h 5 LT FIELDS 2 a b"), "[1 1]");
        assert_eq!(db.show("HEXPIRE h 0 FIELDS 1 a"), "[2]");
        assert_eq!(db.show("HPEXPIREAT h 1 FIELDS 2 a b"), "[-2 2]");
        assert_eq!(db.show("EXISTS h"), "0");
        assert_eq!(db.show("HEXPIRE h 5 FIELDS 1 a"), "[-2]");
        assert_eq!(db.show("HTTL h FIELDS 1 a"), "[-2]");
        assert_eq!(db.show("HPERSIST h FIELDS 1 a"), "[-2]");
    }

    #[test]
    fn setting_a_field_clears_its_deadline_counting_does_not() {
        let mut db = TestDb::new();
        db.show("HSET h a 1 b 2");
        db.show("HEXPIRE h 10 FIELDS 2 a b");
        db.show("HSET h a 5");
        db.show("HINCRBY h b 1");
        assert_eq!(db.show("HTTL h FIELDS 2 a b"), "[-1 10]");
    }

    #[test]
    fn the_server_frees_dead_fields_by_itself() {
        let mut db = TestDb::new();
        db.show("HSET h a 1 b 2");
        db.show("HPEXPIRE h 5 FIELDS 1 a");
        db.show("HSET gone a 1");
        db.show("HPEXPIRE gone 5 FIELDS 1 a");
        db.at(1_000_010);
        assert_eq!(db.show("HLEN gone"), "0");
        assert_eq!(db.show("EXISTS gone"), "1");
        assert_eq!(db.show("_FREEEXPIRED h gone none"), "2");
        assert_eq!(db.show("EXISTS gone"), "0");
        assert_eq!(db.show("HGETALL h"), "[b 2]");
    }

    #[test]
    fn nonsense_is_refused() {
        let mut db = TestDb::new();
        let mismatch = "ERR numfields should be greater than 0 and match the provided number of fields";
        for line in [
            "HEXPIRE h 5 FIELDS 0 a",
            "HEXPIRE h 5 FIELDS 2 a",
            "HEXPIRE h 5 FIELDS -1 a",
            "HEXPIRE h 5 NX NX a",
            "HTTL h FIELDS 3 a",
        ] {
            assert_eq!(db.show(line), mismatch, "{line}");
        }
        assert_eq!(db.show("HTTL h 1 a b"), "ERR syntax error");
        assert_eq!(db.show("HEXPIRE h -1 FIELDS 1 a"), "ERR invalid expire time in 'hexpire' command");
        assert_eq!(db.show("HEXPIRE h x FIELDS 1 a"), "ERR value is not an integer or out of range");
        assert_eq!(db.show("HEXPIRE h 5 AB FIELDS 1 a"), "ERR Unsupported option AB");
    }
}
