//! Fields that are numbers. Their deadlines stay.

use super::live::{open, open_or_new};
use crate::command::args::integer;
use crate::command::decimal::Decimal;
use crate::command::{Args, CommandError, CommandResult, WriteContext};
use crate::keyspace::types::hash::Hash;
use crate::protocol::number::parse_integer;
use crate::protocol::reply::Reply;

/// <https://redis.io/docs/latest/commands/hincrby/>
pub(super) fn hincrby(ctx: &mut WriteContext<'_>, args: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    let by = integer(args[3])?;
    let old = parse_old(ctx, args, 0, parse_integer, "ERR hash value is not an integer")?;
    let new = old.checked_add(by).ok_or(CommandError::Overflow)?;
    store(ctx, args, itoa::Buffer::new().format(new).as_bytes())?;
    reply.integer(new);
    Ok(())
}

/// <https://redis.io/docs/latest/commands/hincrbyfloat/>
pub(super) fn hincrbyfloat(
    ctx: &mut WriteContext<'_>,
    args: &Args<'_>,
    reply: &mut Reply<'_>,
) -> CommandResult {
    let by = Decimal::parse(args[3]).ok_or(CommandError::NotFloat)?;
    if !by.is_finite() {
        return Err(CommandError::other("ERR value is NaN or Infinity"));
    }
    let old = parse_old(ctx, args, Decimal::ZERO, Decimal::parse, "ERR hash value is not a float")?;
    let new = old.plus(by).ok_or(CommandError::other("ERR increment would produce NaN or Infinity"))?.text();
    store(ctx, args, new.as_bytes())?;
    reply.bulk(new.as_bytes());
    Ok(())
}

fn parse_old<N>(
    ctx: &mut WriteContext<'_>,
    args: &Args<'_>,
    without: N,
    parse: fn(&[u8]) -> Option<N>,
    error: &'static str,
) -> Result<N, CommandError> {
    let old = open(ctx, args[1])?.map(|hash: &mut Hash| &*hash).and_then(|hash| hash.get(args[2]));
    old.map_or(Some(without), parse).ok_or(CommandError::other(error))
}

fn store(ctx: &mut WriteContext<'_>, args: &Args<'_>, text: &[u8]) -> CommandResult {
    let limits = ctx.limits;
    open_or_new(ctx, args[1])?.set_keeping_deadline(args[2], text, limits);
    ctx.touch(args[1]);
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::command::testing::TestDb;

    #[test]
    fn fields_count() {
        let mut db = TestDb::new();
        assert_eq!(db.show("HINCRBY h n 5"), "5");
        assert_eq!(db.show("HINCRBY h n -7"), "-2");
        assert_eq!(db.show("HINCRBYFLOAT h n 0.1"), "-1.9");
        assert_eq!(db.show("HINCRBY h n 1"), "ERR hash value is not an integer");
        db.show("HSET h n 9223372036854775807 t text");
        assert_eq!(db.show("HINCRBY h n 1"), "ERR increment or decrement would overflow");
        assert_eq!(db.show("HINCRBYFLOAT h t 1"), "ERR hash value is not a float");
        assert_eq!(db.show("HINCRBYFLOAT h n inf"), "ERR value is NaN or Infinity");
        assert_eq!(db.show("HINCRBYFLOAT h n x"), "ERR value is not a valid float");
        assert_eq!(db.show("HINCRBY h n 1.5"), "ERR value is not an integer or out of range");
    }

    #[test]
    fn a_refused_increment_makes_no_hash() {
        let mut db = TestDb::new();
        assert_eq!(db.show("HINCRBY h n x"), "ERR value is not an integer or out of range");
        assert_eq!(db.show("EXISTS h"), "0");
    }
}
