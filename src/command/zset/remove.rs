//! ZREM ZREMRANGEBYRANK ZREMRANGEBYSCORE ZREMRANGEBYLEX.

use std::ops::Range;

use super::bounds::{LexRange, ScoreRange};
use crate::command::args::{index_range, integer};
use crate::command::cost::CostContext;
use crate::command::cost::weights::of_removed;
use crate::command::{Args, CommandResult, WriteContext};
use crate::keyspace::types::zset::ZSet;
use crate::protocol::reply::Reply;

/// ZREM key member [member …]
pub fn zrem(ctx: &mut WriteContext<'_>, args: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    let members = &args[2..];
    remove(ctx, args[1], reply, |set| members.iter().filter(|member| set.remove(member).is_some()).count())
}

/// ZREMRANGEBYRANK key start stop
pub fn zremrangebyrank(ctx: &mut WriteContext<'_>, args: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    let (start, stop) = (integer(args[2])?, integer(args[3])?);
    remove_ranks(ctx, args[1], reply, |set| index_range(start, stop, set.len()))
}

/// ZREMRANGEBYSCORE key min max
pub fn zremrangebyscore(ctx: &mut WriteContext<'_>, args: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    let range = ScoreRange::parse(args[2], args[3])?;
    remove_ranks(ctx, args[1], reply, |set| range.ranks(set))
}

/// ZREMRANGEBYLEX key min max
pub fn zremrangebylex(ctx: &mut WriteContext<'_>, args: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    let range = LexRange::parse(args[2], args[3])?;
    remove_ranks(ctx, args[1], reply, |set| range.ranks(set))
}

/// What ZREMRANGEBYRANK weighs in scripts.
pub fn weight_by_rank(context: &CostContext<'_, '_>, args: &Args<'_>) -> u64 {
    let (Ok(start), Ok(stop)) = (integer(args[2]), integer(args[3])) else { return 0 };
    weight_of_ranks(context, args[1], |set| index_range(start, stop, set.len()))
}

/// What ZREMRANGEBYSCORE weighs in scripts.
pub fn weight_by_score(context: &CostContext<'_, '_>, args: &Args<'_>) -> u64 {
    let range = ScoreRange::parse(args[2], args[3]).ok();
    range.map_or(0, |range| weight_of_ranks(context, args[1], |set| range.ranks(set)))
}

/// What ZREMRANGEBYLEX weighs in scripts.
pub fn weight_by_lex(context: &CostContext<'_, '_>, args: &Args<'_>) -> u64 {
    let range = LexRange::parse(args[2], args[3]).ok();
    range.map_or(0, |range| weight_of_ranks(context, args[1], |set| range.ranks(set)))
}

fn weight_of_ranks(
    context: &CostContext<'_, '_>,
    key: &[u8],
    ranks: impl FnOnce(&ZSet) -> Range<usize>,
) -> u64 {
    let set = context.reader.collection::<ZSet>(key).ok().flatten();
    set.map_or(0, |set| of_removed(ranks(set).len() as u64))
}

fn remove_ranks(
    ctx: &mut WriteContext<'_>,
    key: &[u8],
    reply: &mut Reply<'_>,
    ranks: impl Fn(&ZSet) -> Range<usize>,
) -> CommandResult {
    if ctx.collection::<ZSet>(key)?.is_some_and(|set| ranks(set).len() == set.len()) {
        return remove_all(ctx, key, reply);
    }
    remove(ctx, key, reply, |set| set.remove_by_rank(ranks(set)))
}

/// Removes the key, which frees a large set beside apply.
fn remove_all(ctx: &mut WriteContext<'_>, key: &[u8], reply: &mut Reply<'_>) -> CommandResult {
    reply.integer(ctx.collection::<ZSet>(key)?.map_or(0, ZSet::len) as i64);
    ctx.taken_from(key, true);
    Ok(())
}

/// Takes elements out and answers with their number, which `take` returns.
fn remove(
    ctx: &mut WriteContext<'_>,
    key: &[u8],
    reply: &mut Reply<'_>,
    take: impl FnOnce(&mut ZSet) -> usize,
) -> CommandResult {
    let Some(set) = ctx.collection_mut::<ZSet>(key)? else {
        reply.integer(0);
        return Ok(());
    };
    let removed = take(set);
    let emptied = set.is_empty();
    if removed > 0 {
        ctx.taken_from(key, emptied);
    }
    reply.integer(removed as i64);
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::command::testing::TestDb;

    #[test]
    fn members_leave_and_the_key_with_the_last() {
        let mut db = TestDb::new();
        db.run("ZADD z 1 a 2 b 3 c");
        db.take_touched();
        assert_eq!(db.run("ZREM z x"), ":0\r\n");
        assert!(db.take_touched().is_empty());
        assert_eq!(db.run("ZREM z a x b"), ":2\r\n");
        assert_eq!(db.run("ZREM z c c"), ":1\r\n");
        assert_eq!(db.run("ZREM z c"), ":0\r\n");
        assert_eq!(db.run("RPUSH z now-a-list"), ":1\r\n");
    }

    #[test]
    fn ranges_leave_by_rank_score_and_member() {
        for (line, removed, left) in [
            ("ZREMRANGEBYRANK z 1 3", "3", "[a e]"),
            ("ZREMRANGEBYRANK z -2 -1", "2", "[a b c]"),
            ("ZREMRANGEBYRANK z 5 9", "0", "[a b c d e]"),
            ("ZREMRANGEBYRANK z 0 99", "5", "[]"),
            ("ZREMRANGEBYSCORE z 0 0", "5", "[]"),
            ("ZREMRANGEBYSCORE z (0 +inf", "0", "[a b c d e]"),
            ("ZREMRANGEBYLEX z [b (d", "2", "[a d e]"),
            ("ZREMRANGEBYLEX z - +", "5", "[]"),
            ("ZREMRANGEBYLEX z + -", "0", "[a b c d e]"),
        ] {
            let mut db = TestDb::new();
            db.run("ZADD z 0 a 0 b 0 c 0 d 0 e");
            assert_eq!(db.show(line), removed, "{line}");
            assert_eq!(db.show("ZRANGE z 0 -1"), left, "{line}");
        }
    }

    #[test]
    fn nothing_is_removed_from_nothing_or_by_a_bad_range() {
        let mut db = TestDb::new();
        assert_eq!(db.run("ZREMRANGEBYRANK z 0 -1"), ":0\r\n");
        assert_eq!(db.run("ZREMRANGEBYRANK z a 1"), "-ERR value is not an integer or out of range\r\n");
        assert_eq!(db.run("ZREMRANGEBYSCORE z a 1"), "-ERR min or max is not a float\r\n");
        assert_eq!(db.run("ZREMRANGEBYLEX z a [b"), "-ERR min or max not valid string range item\r\n");
        assert!(db.take_touched().is_empty());
    }
}
