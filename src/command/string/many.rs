//! Several strings at once: MGET, MSET, MSETNX, MSETEX.

use super::set::set_for;
use crate::command::args::{is, pairs};
use crate::command::lifetime::LifetimeOption;
use crate::command::{Args, CommandError, CommandResult, ReadContext, WriteContext};
use crate::protocol::number::parse_integer;
use crate::protocol::reply::Reply;

/// A key that holds no string reads as null. <https://redis.io/docs/latest/commands/mget/>
pub(super) fn mget(ctx: &ReadContext<'_>, args: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    reply.array(args.len() - 1);
    reply.each(&args[1..], |reply, key| reply.bulk_or_null(ctx.string(key).ok().flatten()));
    Ok(())
}

/// <https://redis.io/docs/latest/commands/mset/>
pub(super) fn mset(ctx: &mut WriteContext<'_>, args: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    for (key, value) in pairs(&args[1..], "mset")? {
        ctx.set_string(key, value, None);
    }
    reply.ok();
    Ok(())
}

/// All or nothing. <https://redis.io/docs/latest/commands/msetnx/>
pub(super) fn msetnx(ctx: &mut WriteContext<'_>, args: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    let pairs = pairs(&args[1..], "msetnx")?;
    let all_missing = pairs.clone().all(|(key, _)| !ctx.exists(key));
    if all_missing {
        pairs.for_each(|(key, value)| ctx.set_string(key, value, None));
    }
    reply.integer(i64::from(all_missing));
    Ok(())
}

/// All or nothing, with one lifetime for all. <https://valkey.io/commands/msetex/>
pub(super) fn msetex(ctx: &mut WriteContext<'_>, args: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    let count = parse_integer(args[1]).filter(|count| (1..=i64::from(i32::MAX)).contains(count));
    let count = count.ok_or(CommandError::other("ERR invalid numkeys value"))? as usize;
    let (data, mut rest) = args[2..]
        .split_at_checked(2 * count)
        .ok_or(CommandError::other("ERR wrong number of key-value pairs"))?;
    let mut lifetime = LifetimeOption::of_setting();
    let (mut nx, mut xx) = (false, false);
    while let [word, behind @ ..] = rest {
        rest = behind;
        nx |= is(word, "NX");
        xx |= is(word, "XX");
        let known = is(word, "NX") || is(word, "XX") || lifetime.take(word, &mut rest)?;
        if !known || (nx && xx) {
            return Err(CommandError::Syntax);
        }
    }
    let lifetime = lifetime.resolve(1, ctx.now_ms, "msetex")?;
    let pairs = pairs(data, "msetex")?;
    let holds = pairs.clone().all(|(key, _)| (!nx || !ctx.exists(key)) && (!xx || ctx.exists(key)));
    if holds {
        pairs.for_each(|(key, value)| set_for(ctx, key, value, lifetime));
    }
    reply.integer(i64::from(holds));
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::command::testing::TestDb;

    #[test]
    fn many_keys_are_set_and_read_at_once() {
        let mut db = TestDb::new();
        assert_eq!(db.show("MSET a 1 b 2 a 3"), "OK");
        assert_eq!(db.show("MGET a none b"), "[3 nil 2]");
        assert_eq!(db.show("MSET a 1 b"), "ERR wrong number of arguments for 'mset' command");
        assert_eq!(db.show("MSETNX c 1 a 2"), "0");
        assert_eq!(db.show("MSETNX c 1 d 2 c 3"), "1");
        assert_eq!(db.show("MGET a c d"), "[3 3 2]");
        assert_eq!(db.show("MSETNX c 1 a"), "ERR wrong number of arguments for 'msetnx' command");
    }

    #[test]
    fn msetex_gives_all_keys_one_lifetime() {
        let mut db = TestDb::new();
        assert_eq!(db.show("MSETEX 2 a 1 b 2 EX 10 NX"), "1");
        assert_eq!(db.show("TTL b"), "10");
        assert_eq!(db.show("MSETEX 2 a 9 c 9 NX"), "0");
        assert_eq!(db.show("MSETEX 2 a 9 c 9 XX"), "0");
        assert_eq!(db.show("MSETEX 2 a 9 b 9 XX KEEPTTL"), "1");
        assert_eq!(db.show("MGET a b c"), "[9 9 nil]");
        assert_eq!(db.show("TTL a"), "10");
        assert_eq!(db.show("MSETEX 1 a 9 PXAT 1"), "1");
        assert_eq!(db.show("EXISTS a"), "0");
    }

    #[test]
    fn msetex_checks_its_shape() {
        let mut db = TestDb::new();
        for count in ["0", "-1", "x", "2147483648"] {
            assert_eq!(db.show(&format!("MSETEX {count} a 1")), "ERR invalid numkeys value");
        }
        assert_eq!(db.show("MSETEX 2 a 1 b"), "ERR wrong number of key-value pairs");
        assert_eq!(db.show("MSETEX 1 a 1 b"), "ERR syntax error");
        assert_eq!(db.show("MSETEX 1 a 1 NX XX"), "ERR syntax error");
        assert_eq!(db.show("MSETEX 1 a 1 EX 0"), "ERR invalid expire time in 'msetex' command");
    }
}
