//! ZPOPMIN ZPOPMAX ZMPOP and the blocking BZPOPMIN BZPOPMAX BZMPOP.

use std::ops::Range;

use super::{MULTI_POPPING, POPPING, write_entries, write_entry, write_pairs};
use crate::command::args::{count, is};
use crate::command::multi_pop::MultiPop;
use crate::command::{Args, CommandError, CommandResult, ReadContext, WriteContext};
use crate::keyspace::types::zset::{ScoredMember, ZSet};
use crate::protocol::reply::Reply;

/// Which elements go first.
#[derive(Clone, Copy)]
pub enum Side {
    Min,
    Max,
}

impl Side {
    /// Reads MIN or MAX.
    pub fn parse(arg: &[u8]) -> Result<Side, CommandError> {
        match arg {
            _ if is(arg, "MIN") => Ok(Side::Min),
            _ if is(arg, "MAX") => Ok(Side::Max),
            _ => Err(CommandError::Syntax),
        }
    }

    /// The event of elements that were taken here.
    fn popped(self) -> &'static str {
        match self {
            Side::Min => "zpopmin",
            Side::Max => "zpopmax",
        }
    }

    /// The ranks of up to `count` elements on this side, among `len`.
    fn outermost(self, count: usize, len: usize) -> Range<usize> {
        match self {
            Side::Min => 0..count.min(len),
            Side::Max => len.saturating_sub(count)..len,
        }
    }
}

/// ZPOPMIN key [count]
pub fn zpopmin(ctx: &mut WriteContext<'_>, args: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    pop(ctx, args, reply, Side::Min)
}

/// ZPOPMAX key [count]
pub fn zpopmax(ctx: &mut WriteContext<'_>, args: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    pop(ctx, args, reply, Side::Max)
}

fn pop(ctx: &mut WriteContext<'_>, args: &Args<'_>, reply: &mut Reply<'_>, side: Side) -> CommandResult {
    let (wanted, form) = match args {
        [_, _] => (1, Form::Single),
        [_, _, wanted] => (count(wanted)?, Form::Entries),
        _ => return Err(CommandError::Syntax),
    };
    if !take(ctx, args[1], wanted, side, form, reply)? {
        reply.array(0);
    }
    Ok(())
}

/// ZPOPMIN and ZPOPMAX of no element.
pub fn pop_none(ctx: &ReadContext<'_>, args: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    ctx.collection::<ZSet>(args[1])?;
    reply.array(0);
    Ok(())
}

/// ZMPOP numkeys key [key …] MIN|MAX [COUNT count]
pub fn zmpop(ctx: &mut WriteContext<'_>, args: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    if !pop_multi(ctx, &MultiPop::parse(&args[1..], Side::parse)?, reply)? {
        reply.null_array();
    }
    Ok(())
}

/// BZMPOP timeout numkeys key [key …] MIN|MAX [COUNT count]
pub fn bzmpop(ctx: &mut WriteContext<'_>, args: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    let request = MultiPop::parse(&args[2..], Side::parse)?;
    MULTI_POPPING.timeout_ms(args)?;
    pop_multi(ctx, &request, reply).map(drop)
}

/// BZPOPMIN key [key …] timeout
pub fn bzpopmin(ctx: &mut WriteContext<'_>, args: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    pop_first_ready(ctx, args, reply, Side::Min)
}

/// BZPOPMAX key [key …] timeout
pub fn bzpopmax(ctx: &mut WriteContext<'_>, args: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    pop_first_ready(ctx, args, reply, Side::Max)
}

/// Pops one element off the first key that has one; writes nothing where none has.
fn pop_first_ready(
    ctx: &mut WriteContext<'_>,
    args: &Args<'_>,
    reply: &mut Reply<'_>,
    side: Side,
) -> CommandResult {
    POPPING.timeout_ms(args)?;
    for key in &args[1..args.len() - 1] {
        if take(ctx, key, 1, side, Form::Keyed, reply)? {
            break;
        }
    }
    Ok(())
}

/// Pops off the first key that has elements and answers with it; false where none has any.
fn pop_multi(
    ctx: &mut WriteContext<'_>,
    request: &MultiPop<'_, '_, Side>,
    reply: &mut Reply<'_>,
) -> Result<bool, CommandError> {
    for key in request.keys {
        if take(ctx, key, request.count, request.side, Form::KeyedPairs, reply)? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// How popped elements are answered.
#[derive(Clone, Copy)]
enum Form {
    /// `[member, score]`
    Single,
    /// As ZRANGE WITHSCORES does.
    Entries,
    /// `[key, member, score]`
    Keyed,
    /// `[key, [[member, score] …]]`
    KeyedPairs,
}

/// Takes elements off a key's sorted set and answers with them; false where there is no such key.
fn take(
    ctx: &mut WriteContext<'_>,
    key: &[u8],
    wanted: usize,
    side: Side,
    form: Form,
    reply: &mut Reply<'_>,
) -> Result<bool, CommandError> {
    let Some(set) = ctx.collection_mut::<ZSet>(key)? else { return Ok(false) };
    let taken = side.outermost(wanted, set.len());
    match side {
        Side::Min => write_taken(set.by_rank(taken.clone()), key, form, reply),
        Side::Max => write_taken(set.by_rank(taken.clone()).rev(), key, form, reply),
    }
    if !taken.is_empty() {
        set.remove_by_rank(taken);
        let emptied = set.is_empty();
        ctx.call_changes(side.popped());
        ctx.taken_from(key, emptied);
    }
    Ok(true)
}

fn write_taken<'a>(
    entries: impl ExactSizeIterator<Item = ScoredMember<'a>>,
    key: &[u8],
    form: Form,
    reply: &mut Reply<'_>,
) {
    match form {
        Form::Single => {
            reply.array(2);
            entries.for_each(|entry| write_entry(entry, reply));
        }
        Form::Entries => write_entries(entries, true, reply),
        Form::Keyed => {
            reply.array(3);
            reply.bulk(key);
            entries.for_each(|entry| write_entry(entry, reply));
        }
        Form::KeyedPairs => {
            reply.array(2);
            reply.bulk(key);
            write_pairs(entries, reply);
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::command::testing::TestDb;

    #[test]
    fn elements_leave_from_either_side() {
        let mut db = TestDb::new();
        db.run("ZADD z 1 a 2 b 3 c 4 d 5 e");
        assert_eq!(db.show("ZPOPMIN z"), "[a 1]");
        assert_eq!(db.show("ZPOPMAX z"), "[e 5]");
        assert_eq!(db.show("ZPOPMAX z 2"), "[d 4 c 3]");
        assert_eq!(db.show("ZPOPMIN z 9"), "[b 2]");
        assert_eq!(db.run("ZPOPMIN z"), "*0\r\n");
        assert_eq!(db.run("RPUSH z now-a-list"), ":1\r\n");
    }

    #[test]
    fn a_count_of_zero_takes_nothing() {
        let mut db = TestDb::new();
        db.run("ZADD z 1 a");
        db.take_touched();
        assert_eq!(db.run("ZPOPMIN z 0"), "*0\r\n");
        assert!(db.take_touched().is_empty());
        assert_eq!(db.run("ZPOPMIN z -1"), "-ERR value is out of range, must be positive\r\n");
        assert_eq!(db.run("ZPOPMIN z 1 2"), "-ERR syntax error\r\n");
    }

    #[test]
    fn resp3_nests_only_what_was_counted() {
        let mut db = TestDb::resp3();
        db.run("ZADD z 1 a 2 b");
        assert_eq!(db.run("ZPOPMIN z"), "*2\r\n$1\r\na\r\n,1\r\n");
        assert_eq!(db.run("ZPOPMIN z 1"), "*1\r\n*2\r\n$1\r\nb\r\n,2\r\n");
        assert_eq!(db.run("ZPOPMIN z 1"), "*0\r\n");
        assert_eq!(db.run("ZMPOP 1 z MIN"), "_\r\n");
    }

    #[test]
    fn zmpop_takes_from_the_first_set_that_has_something() {
        let mut db = TestDb::new();
        db.run("ZADD {t}b 1 x 2 y 3 z");
        assert_eq!(db.show("ZMPOP 2 {t}a {t}b MAX COUNT 2"), "[{t}b [[z 3] [y 2]]]");
        assert_eq!(db.show("zmpop 2 {t}a {t}b min"), "[{t}b [[x 1]]]");
        assert_eq!(db.run("ZMPOP 2 {t}a {t}b MIN"), "*-1\r\n");
        for (line, error) in [
            ("ZMPOP 0 z MIN", "ERR numkeys should be greater than 0"),
            ("ZMPOP 1 z MID", "ERR syntax error"),
            ("ZMPOP 2 z MIN", "ERR syntax error"),
            ("ZMPOP 1 z MIN COUNT 0", "ERR count should be greater than 0"),
            ("ZMPOP 1 z MIN COUNT", "ERR syntax error"),
            ("BZMPOP -1 1 z MIN", "ERR timeout is negative"),
        ] {
            assert_eq!(db.run(line), format!("-{error}\r\n"), "{line}");
        }
    }

    #[test]
    fn a_blocking_pop_is_served_at_once_or_waits() {
        let mut db = TestDb::new();
        assert_eq!(db.show("BZPOPMIN {t}a {t}b 0"), "");
        assert_eq!(db.show("BZMPOP 1 1 {t}a MIN"), "");
        db.run("ZADD {t}b 1 x 2 y 3 z");
        assert_eq!(db.show("BZPOPMIN {t}a {t}b 0"), "[{t}b x 1]");
        assert_eq!(db.show("BZPOPMAX {t}a {t}b 0.1"), "[{t}b z 3]");
        assert_eq!(db.show("BZMPOP 0 2 {t}a {t}b MIN COUNT 5"), "[{t}b [[y 2]]]");
        assert_eq!(db.show("BZPOPMAX {t}b 1"), "");
        assert_eq!(db.run("BZPOPMIN z x"), "-ERR timeout is not a float or out of range\r\n");
        db.run("SADD {t}a member");
        assert!(db.run("BZPOPMIN {t}a {t}b 0").starts_with("-WRONGTYPE"));
    }
}
