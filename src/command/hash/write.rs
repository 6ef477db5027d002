//! Setting and deleting fields. A field that is set anew loses its deadline.

use super::live::{open, open_or_new};
use crate::command::args::pairs;
use crate::command::{Args, CommandError, CommandResult, WriteContext};
use crate::protocol::reply::Reply;

/// <https://redis.io/docs/latest/commands/hset/>
pub(super) fn hset(ctx: &mut WriteContext<'_>, args: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    let added = set_pairs(ctx, args, "hset")?;
    reply.integer(added as i64);
    Ok(())
}

/// <https://redis.io/docs/latest/commands/hmset/>
pub(super) fn hmset(ctx: &mut WriteContext<'_>, args: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    set_pairs(ctx, args, "hmset")?;
    reply.ok();
    Ok(())
}

/// Sets the fields and returns how many of them are new.
fn set_pairs(
    ctx: &mut WriteContext<'_>,
    args: &Args<'_>,
    command: &'static str,
) -> Result<usize, CommandError> {
    let (key, pairs) = (args[1], pairs(&args[2..], command)?);
    let limits = ctx.limits;
    let hash = open_or_new(ctx, key)?;
    let added = pairs.filter(|(field, value)| hash.set(field, value, limits)).count();
    ctx.touch(key);
    Ok(added)
}

/// <https://redis.io/docs/latest/commands/hsetnx/>
pub(super) fn hsetnx(ctx: &mut WriteContext<'_>, args: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    let (key, field) = (args[1], args[2]);
    let limits = ctx.limits;
    let hash = open_or_new(ctx, key)?;
    let added = !hash.contains(field) && hash.set(field, args[3], limits);
    if added {
        ctx.touch(key);
    }
    reply.integer(i64::from(added));
    Ok(())
}

/// <https://redis.io/docs/latest/commands/hdel/>
pub(super) fn hdel(ctx: &mut WriteContext<'_>, args: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    let key = args[1];
    let hash = open(ctx, key)?;
    let removed = hash.map_or(0, |hash| args[2..].iter().filter(|field| hash.remove(field)).count());
    if removed > 0 {
        ctx.touch(key);
        ctx.remove_if_empty(key);
    }
    reply.integer(removed as i64);
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::command::testing::TestDb;

    #[test]
    fn fields_are_added_changed_and_deleted() {
        let mut db = TestDb::new();
        assert_eq!(db.show("HSET h a 1 b 2"), "2");
        assert_eq!(db.show("HSET h a 9 c 3 c 4"), "1");
        assert_eq!(db.show("HMSET h d 5"), "OK");
        assert_eq!(db.show("HSETNX h a 0"), "0");
        assert_eq!(db.show("HSETNX h e 6"), "1");
        assert_eq!(db.show("HGETALL h"), "[a 9 b 2 c 4 d 5 e 6]");
        assert_eq!(db.show("HDEL h a a none"), "1");
        assert_eq!(db.show("HDEL h b c d e"), "4");
        assert_eq!(db.show("EXISTS h"), "0");
        assert_eq!(db.show("HDEL h a"), "0");
    }

    #[test]
    fn odd_arguments_change_nothing() {
        let mut db = TestDb::new();
        assert_eq!(db.show("HSET h a 1 b"), "ERR wrong number of arguments for 'hset' command");
        assert_eq!(db.show("HMSET h a 1 b"), "ERR wrong number of arguments for 'hmset' command");
        assert_eq!(db.show("EXISTS h"), "0");
    }

    #[test]
    fn a_hash_grows_out_of_its_packed_form() {
        let mut db = TestDb::new();
        (0..128).for_each(|n| drop(db.show(&format!("HSET h f{n} v"))));
        assert_eq!(db.show("OBJECT ENCODING h"), "listpack");
        db.show("HSET h f128 v");
        assert_eq!(db.show("OBJECT ENCODING h"), "hashtable");
        db.show(&format!("HSET long f {}", "x".repeat(65)));
        assert_eq!(db.show("OBJECT ENCODING long"), "hashtable");
    }

    #[test]
    fn changes_are_announced_and_nothing_else() {
        let mut db = TestDb::new();
        db.show("HSET h a 1");
        assert_eq!(db.take_touched(), ["h"]);
        db.show("HSETNX h a 1");
        db.show("HDEL h none");
        db.show("HDEL none a");
        assert!(db.take_touched().is_empty());
    }
}
