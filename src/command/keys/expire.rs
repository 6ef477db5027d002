//! Deadlines of keys: setting, asking, clearing.
//!
//! - A deadline that has passed removes the key at once.
//! - Seconds are rounded to the nearest in answers.

use crate::command::lifetime::{ExpireConditions, Timing, to_seconds};
use crate::command::{Args, CommandResult, ReadContext, WriteContext};
use crate::protocol::reply::Reply;

/// <https://redis.io/docs/latest/commands/expire/>
pub(super) fn expire(ctx: &mut WriteContext<'_>, args: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    set_deadline(ctx, args, Timing::Seconds, "expire", reply)
}

/// <https://redis.io/docs/latest/commands/pexpire/>
pub(super) fn pexpire(ctx: &mut WriteContext<'_>, args: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    set_deadline(ctx, args, Timing::Millis, "pexpire", reply)
}

/// <https://redis.io/docs/latest/commands/expireat/>
pub(super) fn expireat(ctx: &mut WriteContext<'_>, args: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    set_deadline(ctx, args, Timing::UnixSeconds, "expireat", reply)
}

/// <https://redis.io/docs/latest/commands/pexpireat/>
pub(super) fn pexpireat(ctx: &mut WriteContext<'_>, args: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    set_deadline(ctx, args, Timing::UnixMillis, "pexpireat", reply)
}

fn set_deadline(
    ctx: &mut WriteContext<'_>,
    args: &Args<'_>,
    timing: Timing,
    command: &'static str,
    reply: &mut Reply<'_>,
) -> CommandResult {
    let key = args[1];
    let conditions = ExpireConditions::parse(&args[3..])?;
    let deadline_ms = timing.parse(args[2], i64::MIN, ctx.now_ms, command)?;
    let allowed = ctx.entry(key).is_some_and(|entry| conditions.allow(entry.deadline_ms(), deadline_ms));
    if allowed && deadline_ms <= ctx.now_ms {
        ctx.remove(key);
    } else if allowed {
        ctx.set_deadline(key, Some(deadline_ms));
    }
    reply.integer(i64::from(allowed));
    Ok(())
}

/// <https://redis.io/docs/latest/commands/persist/>
pub(super) fn persist(ctx: &mut WriteContext<'_>, args: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    let had_deadline = ctx.deadline_ms(args[1]).is_some();
    if had_deadline {
        ctx.set_deadline(args[1], None);
    }
    reply.integer(i64::from(had_deadline));
    Ok(())
}

/// <https://redis.io/docs/latest/commands/ttl/>
pub(super) fn ttl(ctx: &ReadContext<'_>, args: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    write_deadline(ctx, args[1], |deadline_ms| to_seconds(deadline_ms - ctx.now_ms), reply)
}

/// <https://redis.io/docs/latest/commands/pttl/>
pub(super) fn pttl(ctx: &ReadContext<'_>, args: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    write_deadline(ctx, args[1], |deadline_ms| deadline_ms - ctx.now_ms, reply)
}

/// <https://redis.io/docs/latest/commands/expiretime/>
pub(super) fn expiretime(ctx: &ReadContext<'_>, args: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    write_deadline(ctx, args[1], to_seconds, reply)
}

/// <https://redis.io/docs/latest/commands/pexpiretime/>
pub(super) fn pexpiretime(ctx: &ReadContext<'_>, args: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    write_deadline(ctx, args[1], |deadline_ms| deadline_ms, reply)
}

/// Answers -2 where there is no key, -1 where it has no deadline.
fn write_deadline(
    ctx: &ReadContext<'_>,
    key: &[u8],
    shown: impl FnOnce(i64) -> i64,
    reply: &mut Reply<'_>,
) -> CommandResult {
    reply.integer(match ctx.entry(key) {
        None => -2,
        Some(entry) => entry.deadline_ms().map_or(-1, shown),
    });
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::command::testing::TestDb;

    #[test]
    fn a_key_dies_at_its_deadline() {
        let mut db = TestDb::new();
        db.show("SET k v");
        assert_eq!(db.show("TTL k"), "-1");
        assert_eq!(db.show("EXPIRE k 100"), "1");
        assert_eq!(db.show("TTL k"), "100");
        assert_eq!(db.show("PTTL k"), "100000");
        assert_eq!(db.show("EXPIRETIME k"), "1100");
        assert_eq!(db.show("PEXPIRETIME k"), "1100000");
        assert_eq!(db.at(1_099_999).show("PTTL k"), "1");
        assert_eq!(db.show("TTL k"), "0");
        assert_eq!(db.at(1_100_000).show("TTL k"), "-2");
        assert_eq!(db.show("EXPIRETIME k"), "-2");
        assert_eq!(db.show("EXPIRE k 100"), "0");
    }

    #[test]
    fn each_form_names_its_moment_in_its_own_way() {
        let mut db = TestDb::new();
        db.show("SET k v");
        for (line, pexpiretime) in [
            ("EXPIRE k 1", "1001000"),
            ("PEXPIRE k 1", "1000001"),
            ("EXPIREAT k 2000", "2000000"),
            ("PEXPIREAT k 1000002", "1000002"),
        ] {
            assert_eq!(db.show(line), "1", "{line}");
            assert_eq!(db.show("PEXPIRETIME k"), pexpiretime, "{line}");
        }
        assert_eq!(db.show("PERSIST k"), "1");
        assert_eq!(db.show("PERSIST k"), "0");
        assert_eq!(db.show("PERSIST none"), "0");
        assert_eq!(db.show("PEXPIRETIME k"), "-1");
    }

    #[test]
    fn a_deadline_in_the_past_removes_the_key() {
        let mut db = TestDb::new();
        for line in ["EXPIRE k 0", "EXPIRE k -1", "PEXPIREAT k 5", "PEXPIRE k -9223372036854775808"] {
            db.show("SET k v");
            assert_eq!(db.show(line), "1", "{line}");
            assert_eq!(db.show("EXISTS k"), "0", "{line}");
        }
    }

    #[test]
    fn conditions_hold_back() {
        let mut db = TestDb::new();
        db.show("SET k v");
        assert_eq!(db.show("EXPIRE k 100 XX"), "0");
        assert_eq!(db.show("EXPIRE k 100 GT"), "0");
        assert_eq!(db.show("EXPIRE k 100 NX"), "1");
        assert_eq!(db.show("EXPIRE k 200 NX"), "0");
        assert_eq!(db.show("EXPIRE k 50 gt"), "0");
        assert_eq!(db.show("EXPIRE k 200 XX GT"), "1");
        assert_eq!(db.show("EXPIRE k 300 LT"), "0");
        assert_eq!(db.show("EXPIRE k -1 GT"), "0");
        assert_eq!(db.show("EXPIRE k -1 LT"), "1");
        assert_eq!(db.show("EXISTS k"), "0");
    }

    #[test]
    fn nonsense_is_refused() {
        let mut db = TestDb::new();
        db.show("SET k v");
        assert_eq!(db.show("EXPIRE k 1 AB"), "ERR Unsupported option AB");
        assert_eq!(
            db.show("EXPIRE k 1 NX LT"),
            "ERR NX and XX, GT or LT options at the same time are not compatible"
        );
        assert_eq!(db.show("EXPIRE k 1 GT LT"), "ERR GT and LT options at the same time are not compatible");
        assert_eq!(db.show("EXPIRE k x"), "ERR value is not an integer or out of range");
        assert_eq!(db.show("EXPIRE k 9223372036854776"), "ERR invalid expire time in 'expire' command");
        assert_eq!(db.show("EXPIREAT k -9223372036854776"), "ERR invalid expire time in 'expireat' command");
        assert_eq!(db.show("PEXPIRE k 9223372036854775807"), "ERR invalid expire time in 'pexpire' command");
        assert_eq!(db.show("TTL k"), "-1");
    }
}
