//! LSET LINSERT LREM LTRIM.

use crate::command::args::{index_in, index_range, integer, is};
use crate::command::{Args, CommandError, CommandResult, WriteContext};
use crate::keyspace::types::list::List;
use crate::protocol::reply::Reply;

/// LSET key index element
pub fn lset(ctx: &mut WriteContext<'_>, args: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    let limits = ctx.limits;
    let list = ctx.collection_mut::<List>(args[1])?.ok_or(CommandError::NoSuchKey)?;
    let index = integer(args[2])?;
    let index = index_in(index, list.len()).ok_or(CommandError::IndexOutOfRange)?;
    list.set(index, args[3], limits);
    ctx.touch(args[1]);
    reply.ok();
    Ok(())
}

/// LINSERT key BEFORE|AFTER pivot element
pub fn linsert(ctx: &mut WriteContext<'_>, args: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    let [_, key, place, pivot, element] = *args else { return Err(CommandError::Syntax) };
    let before = match place {
        _ if is(place, "BEFORE") => true,
        _ if is(place, "AFTER") => false,
        _ => return Err(CommandError::Syntax),
    };
    let limits = ctx.limits;
    let Some(list) = ctx.collection_mut::<List>(key)? else {
        reply.integer(0);
        return Ok(());
    };
    let inserted = if before {
        list.insert_before(pivot, element, limits)
    } else {
        list.insert_after(pivot, element, limits)
    };
    reply.integer(if inserted { list.len() as i64 } else { -1 });
    if inserted {
        ctx.touch(key);
    }
    Ok(())
}

/// LREM key count element: the first `count` matches, the last ones for a negative count, all for 0.
pub fn lrem(ctx: &mut WriteContext<'_>, args: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    let count = integer(args[2])?;
    let max = if count == 0 { usize::MAX } else { count.unsigned_abs() as usize };
    let limits = ctx.limits;
    let Some(list) = ctx.collection_mut::<List>(args[1])? else {
        reply.integer(0);
        return Ok(());
    };
    let removed = list.remove_matching(args[3], max, count < 0, limits);
    let emptied = list.is_empty();
    reply.integer(removed as i64);
    if removed > 0 {
        ctx.taken_from(args[1], emptied);
    }
    Ok(())
}

/// LTRIM key start stop
pub fn ltrim(ctx: &mut WriteContext<'_>, args: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    let (start, stop) = (integer(args[2])?, integer(args[3])?);
    let limits = ctx.limits;
    if let Some(list) = ctx.collection_mut::<List>(args[1])? {
        let len = list.len();
        let kept = index_range(start, stop, len);
        if kept.is_empty() {
            ctx.taken_from(args[1], true);
        } else if kept.len() < len {
            list.trim(kept, limits);
            ctx.touch(args[1]);
        }
    }
    reply.ok();
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::command::testing::TestDb;

    #[test]
    fn lset_replaces_what_is_there() {
        let mut db = TestDb::new();
        db.run("RPUSH l a b c");
        assert_eq!(db.run("LSET l 1 B"), "+OK\r\n");
        assert_eq!(db.run("LSET l -1 C"), "+OK\r\n");
        assert_eq!(db.show("LRANGE l 0 -1"), "[a B C]");
        assert_eq!(db.run("LSET l 3 x"), "-ERR index out of range\r\n");
        assert_eq!(db.run("LSET l -4 x"), "-ERR index out of range\r\n");
        assert_eq!(db.run("LSET l x x"), "-ERR value is not an integer or out of range\r\n");
        assert_eq!(db.run("LSET missing 0 x"), "-ERR no such key\r\n");
    }

    #[test]
    fn linsert_goes_beside_the_first_pivot() {
        let mut db = TestDb::new();
        db.run("RPUSH l a b c b");
        assert_eq!(db.run("LINSERT l before b 1"), ":5\r\n");
        assert_eq!(db.run("LINSERT l AFTER b 2"), ":6\r\n");
        assert_eq!(db.show("LRANGE l 0 -1"), "[a 1 b 2 c b]");
        db.take_touched();
        assert_eq!(db.run("LINSERT l AFTER x 2"), ":-1\r\n");
        assert_eq!(db.run("LINSERT missing AFTER x 2"), ":0\r\n");
        assert_eq!(db.run("LINSERT l BESIDE b 2"), "-ERR syntax error\r\n");
        assert!(db.take_touched().is_empty());
    }

    #[test]
    fn lrem_takes_matches_from_the_side_that_its_count_says() {
        let cases =
            [("0", "3", "[b c]"), ("2", "2", "[b c a]"), ("-2", "2", "[a b c]"), ("-9", "3", "[b c]")];
        for (count, removed, left) in cases {
            let mut db = TestDb::new();
            db.run("RPUSH l a b a c a");
            assert_eq!(db.show(&format!("LREM l {count} a")), removed);
            assert_eq!(db.show("LRANGE l 0 -1"), left);
        }
    }

    #[test]
    fn lrem_of_the_last_match_removes_the_key() {
        let mut db = TestDb::new();
        db.run("RPUSH l a a");
        assert_eq!(db.run("LREM l 0 x"), ":0\r\n");
        assert_eq!(db.run("LREM l 1 a"), ":1\r\n");
        assert_eq!(db.run("LREM l 1 a"), ":1\r\n");
        assert_eq!(db.run("LPUSHX l a"), ":0\r\n");
        assert_eq!(db.run("LREM l 1 a"), ":0\r\n");
        assert_eq!(db.take_touched(), ["l"]);
    }

    #[test]
    fn ltrim_keeps_a_range() {
        let cases = [
            ("0 0", "[a]"),
            ("1 -2", "[b c d]"),
            ("-2 -1", "[d e]"),
            ("0 -1", "[a b c d e]"),
            ("0 10", "[a b c d e]"),
            ("3 1", "[]"),
            ("10 20", "[]"),
            ("-100 1", "[a b]"),
        ];
        for (range, left) in cases {
            let mut db = TestDb::new();
            db.run("RPUSH l a b c d e");
            assert_eq!(db.run(&format!("LTRIM l {range}")), "+OK\r\n");
            assert_eq!(db.show("LRANGE l 0 -1"), left, "{range}");
        }
    }
}
