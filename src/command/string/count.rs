//! Strings that are numbers: INCR and its kin.

use crate::command::args::integer;
use crate::command::decimal::Decimal;
use crate::command::{Args, CommandError, CommandResult, WriteContext};
use crate::protocol::number::parse_integer;
use crate::protocol::reply::Reply;

/// <https://redis.io/docs/latest/commands/incr/>
pub(super) fn incr(ctx: &mut WriteContext<'_>, args: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    add(ctx, args[1], 1, reply)
}

/// <https://redis.io/docs/latest/commands/decr/>
pub(super) fn decr(ctx: &mut WriteContext<'_>, args: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    add(ctx, args[1], -1, reply)
}

/// <https://redis.io/docs/latest/commands/incrby/>
pub(super) fn incrby(ctx: &mut WriteContext<'_>, args: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    add(ctx, args[1], integer(args[2])?, reply)
}

/// <https://redis.io/docs/latest/commands/decrby/>
pub(super) fn decrby(ctx: &mut WriteContext<'_>, args: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    let by = integer(args[2])?.checked_neg().ok_or(CommandError::other("ERR decrement would overflow"))?;
    add(ctx, args[1], by, reply)
}

fn add(ctx: &mut WriteContext<'_>, key: &[u8], by: i64, reply: &mut Reply<'_>) -> CommandResult {
    let old = ctx.string(key)?.map_or(Some(0), parse_integer).ok_or(CommandError::NotInteger)?;
    let new = old.checked_add(by).ok_or(CommandError::Overflow)?;
    let deadline_ms = ctx.deadline_ms(key);
    ctx.set_string(key, itoa::Buffer::new().format(new).as_bytes(), deadline_ms);
    reply.integer(new);
    Ok(())
}

/// <https://redis.io/docs/latest/commands/incrbyfloat/>
pub(super) fn incrbyfloat(
    ctx: &mut WriteContext<'_>,
    args: &Args<'_>,
    reply: &mut Reply<'_>,
) -> CommandResult {
    let key = args[1];
    let old = ctx.string(key)?.map_or(Some(Decimal::ZERO), Decimal::parse).ok_or(CommandError::NotFloat)?;
    let by = Decimal::parse(args[2]).ok_or(CommandError::NotFloat)?;
    let new = old.plus(by).ok_or(CommandError::other("ERR increment would produce NaN or Infinity"))?.text();
    let deadline_ms = ctx.deadline_ms(key);
    ctx.set_string(key, new.as_bytes(), deadline_ms);
    reply.bulk(new.as_bytes());
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::command::testing::TestDb;

    #[test]
    fn integers_count_up_and_down_and_keep_their_deadline() {
        let mut db = TestDb::new();
        assert_eq!(db.show("INCR n"), "1");
        db.show("EXPIRE n 100");
        assert_eq!(db.show("INCRBY n 17179869184"), "17179869185");
        assert_eq!(db.show("DECRBY n 17179869190"), "-5");
        assert_eq!(db.show("DECR n"), "-6");
        assert_eq!(db.show("GET n"), "-6");
        assert_eq!(db.show("TTL n"), "100");
    }

    #[test]
    fn integers_never_wrap() {
        let mut db = TestDb::new();
        db.show("SET n 9223372036854775807");
        assert_eq!(db.show("INCR n"), "ERR increment or decrement would overflow");
        assert_eq!(db.show("DECRBY n -9223372036854775808"), "ERR decrement would overflow");
        db.show("SET n \" 11\"");
        assert_eq!(db.show("INCR n"), "ERR value is not an integer or out of range");
        assert_eq!(db.show("INCRBY n 1.5"), "ERR value is not an integer or out of range");
    }

    #[test]
    fn floats_add_up_exactly() {
        let mut db = TestDb::new();
        assert_eq!(db.show("INCRBYFLOAT n 0.1"), "0.1");
        assert_eq!(db.show("INCRBYFLOAT n 0.2"), "0.3");
        db.show("SET n 5.0e3");
        assert_eq!(db.show("INCRBYFLOAT n 2.0e2"), "5200");
        assert_eq!(db.show("INCRBYFLOAT n +inf"), "ERR increment would produce NaN or Infinity");
        assert_eq!(db.show("INCRBYFLOAT n abc"), "ERR value is not a valid float");
        db.show("SET n \"    11\"");
        assert_eq!(db.show("INCRBYFLOAT n 1"), "ERR value is not a valid float");
    }
}
