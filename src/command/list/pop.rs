//! LPOP RPOP LMPOP and the blocking BLPOP BRPOP BLMPOP.

use super::{End, MULTI_POPPING, POPPING};
use crate::command::args::count;
use crate::command::multi_pop::MultiPop;
use crate::command::{Args, CommandError, CommandResult, ReadContext, WriteContext};
use crate::keyspace::types::list::List;
use crate::protocol::reply::Reply;

pub fn lpop(ctx: &mut WriteContext<'_>, args: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    pop(ctx, args, reply, End::Left, "lpop")
}

pub fn rpop(ctx: &mut WriteContext<'_>, args: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    pop(ctx, args, reply, End::Right, "rpop")
}

fn pop(
    ctx: &mut WriteContext<'_>,
    args: &Args<'_>,
    reply: &mut Reply<'_>,
    end: End,
    name: &'static str,
) -> CommandResult {
    match args {
        [_, key] => {
            if !take(ctx, key, Wanted::One, end, reply)? {
                reply.null();
            }
        }
        [_, key, wanted] => {
            if !take(ctx, key, Wanted::UpTo(count(wanted)?), end, reply)? {
                reply.null_array();
            }
        }
        _ => return Err(CommandError::Arity(name.into())),
    }
    Ok(())
}

/// LPOP and RPOP of no element.
pub fn pop_none(ctx: &ReadContext<'_>, args: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    match ctx.collection::<List>(args[1])? {
        Some(_) => reply.array(0),
        None => reply.null_array(),
    }
    Ok(())
}

/// LMPOP numkeys key [key …] LEFT|RIGHT [COUNT count]
pub fn lmpop(ctx: &mut WriteContext<'_>, args: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    if !pop_multi(ctx, &MultiPop::parse(&args[1..], End::parse)?, reply)? {
        reply.null_array();
    }
    Ok(())
}

/// BLMPOP timeout numkeys key [key …] LEFT|RIGHT [COUNT count]
pub fn blmpop(ctx: &mut WriteContext<'_>, args: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    let request = MultiPop::parse(&args[2..], End::parse)?;
    MULTI_POPPING.timeout_ms(args)?;
    pop_multi(ctx, &request, reply).map(drop)
}

pub fn blpop(ctx: &mut WriteContext<'_>, args: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    pop_first_ready(ctx, args, reply, End::Left)
}

pub fn brpop(ctx: &mut WriteContext<'_>, args: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    pop_first_ready(ctx, args, reply, End::Right)
}

/// Pops one element off the first key that has one; writes nothing where none has.
fn pop_first_ready(
    ctx: &mut WriteContext<'_>,
    args: &Args<'_>,
    reply: &mut Reply<'_>,
    end: End,
) -> CommandResult {
    POPPING.timeout_ms(args)?;
    for key in &args[1..args.len() - 1] {
        if ctx.collection::<List>(key)?.is_some() {
            reply.array(2);
            reply.bulk(key);
            return take(ctx, key, Wanted::One, end, reply).map(drop);
        }
    }
    Ok(())
}

/// Pops off the first key that has elements and answers with it; false where none has any.
fn pop_multi(
    ctx: &mut WriteContext<'_>,
    request: &MultiPop<'_, '_, End>,
    reply: &mut Reply<'_>,
) -> Result<bool, CommandError> {
    for key in request.keys {
        if ctx.collection::<List>(key)?.is_some() {
            reply.array(2);
            reply.bulk(key);
            return take(ctx, key, Wanted::UpTo(request.count), request.side, reply);
        }
    }
    Ok(false)
}

/// How many elements a pop takes, and so the form of its answer.
#[derive(Clone, Copy)]
enum Wanted {
    /// One, answered by itself.
    One,
    /// An array of at most this many.
    UpTo(usize),
}

/// Takes elements off a key's list and answers with them; false where there is no such key.
fn take(
    ctx: &mut WriteContext<'_>,
    key: &[u8],
    wanted: Wanted,
    end: End,
    reply: &mut Reply<'_>,
) -> Result<bool, CommandError> {
    let limits = ctx.limits;
    let Some(list) = ctx.collection_mut::<List>(key)? else { return Ok(false) };
    let taken = match wanted {
        Wanted::One => end.outermost(1, list.len()),
        Wanted::UpTo(count) => end.outermost(count, list.len()),
    };
    if let Wanted::UpTo(_) = wanted {
        reply.array(taken.len());
    }
    match end {
        End::Left => reply.each(list.range(taken.clone()), Reply::bulk),
        End::Right => reply.each(list.range(taken.clone()).rev(), Reply::bulk),
    }
    if !taken.is_empty() {
        list.remove_range(taken, limits);
        let emptied = list.is_empty();
        ctx.call_changes(end.popped());
        ctx.taken_from(key, emptied);
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use crate::command::testing::TestDb;

    #[test]
    fn elements_leave_from_either_end_and_the_key_with_the_last() {
        let mut db = TestDb::new();
        db.run("RPUSH l a b c");
        assert_eq!(db.run("LPOP l"), "$1\r\na\r\n");
        assert_eq!(db.run("RPOP l"), "$1\r\nc\r\n");
        assert_eq!(db.run("RPOP l"), "$1\r\nb\r\n");
        assert_eq!(db.run("LPOP l"), "$-1\r\n");
        assert_eq!(db.take_touched(), ["l"]);
    }

    #[test]
    fn a_count_takes_up_to_that_many() {
        let mut db = TestDb::new();
        db.run("RPUSH l a b c d");
        assert_eq!(db.show("LPOP l 2"), "[a b]");
        assert_eq!(db.show("RPOP l 99"), "[d c]");
        assert_eq!(db.run("LPOP l 1"), "*-1\r\n");
        assert_eq!(db.run("LPOP l 0"), "*-1\r\n");
    }

    #[test]
    fn a_count_of_zero_takes_nothing_from_a_list() {
        let mut db = TestDb::new();
        db.run("RPUSH l a");
        db.take_touched();
        assert_eq!(db.run("LPOP l 0"), "*0\r\n");
        assert!(db.take_touched().is_empty());
        assert_eq!(db.run("LPOP l -1"), "-ERR value is out of range, must be positive\r\n");
        assert_eq!(db.run("LPOP l x"), "-ERR value is out of range, must be positive\r\n");
        assert_eq!(db.run("LPOP l 1 2"), "-ERR wrong number of arguments for 'lpop' command\r\n");
    }

    #[test]
    fn absent_elements_are_nulls_of_their_protocol() {
        let mut db = TestDb::resp3();
        assert_eq!(db.run("LPOP l"), "_\r\n");
        assert_eq!(db.run("LPOP l 3"), "_\r\n");
        assert_eq!(db.run("LMPOP 1 l LEFT"), "_\r\n");
    }

    #[test]
    fn lmpop_takes_from_the_first_list_that_has_something() {
        let mut db = TestDb::new();
        db.run("RPUSH {t}b 1 2 3 4");
        assert_eq!(db.show("LMPOP 2 {t}a {t}b LEFT COUNT 3"), "[{t}b [1 2 3]]");
        assert_eq!(db.show("LMPOP 2 {t}a {t}b RIGHT"), "[{t}b [4]]");
        assert_eq!(db.run("LMPOP 2 {t}a {t}b RIGHT"), "*-1\r\n");
    }

    #[test]
    fn lmpop_says_what_is_wrong_with_its_arguments() {
        let mut db = TestDb::new();
        for (line, error) in [
            ("LMPOP 0 l LEFT", "ERR numkeys should be greater than 0"),
            ("LMPOP a l LEFT", "ERR numkeys should be greater than 0"),
            ("LMPOP 2 l LEFT", "ERR syntax error"),
            ("LMPOP 3 l LEFT", "ERR syntax error"),
            ("LMPOP 1 l MIDDLE", "ERR syntax error"),
            ("LMPOP 1 l LEFT COUNT 0", "ERR count should be greater than 0"),
            ("LMPOP 1 l LEFT COUNT -1", "ERR count should be greater than 0"),
            ("LMPOP 1 l LEFT COUNT 1 COUNT 2", "ERR syntax error"),
            ("LMPOP 1 l LEFT bar", "ERR syntax error"),
            ("BLMPOP -1 1 l LEFT", "ERR timeout is negative"),
            ("BLMPOP x 1 l LEFT", "ERR timeout is not a float or out of range"),
        ] {
            assert_eq!(db.run(line), format!("-{error}\r\n"), "{line}");
        }
    }

    #[test]
    fn a_blocking_pop_is_served_at_once_or_waits() {
        let mut db = TestDb::new();
        assert_eq!(db.show("BLPOP {t}a {t}b 0"), "");
        assert_eq!(db.show("BLMPOP 0.5 2 {t}a {t}b LEFT"), "");
        db.run("RPUSH {t}b 1 2 3");
        assert_eq!(db.show("BLPOP {t}a {t}b 0"), "[{t}b 1]");
        assert_eq!(db.show("BRPOP {t}a {t}b 0"), "[{t}b 3]");
        assert_eq!(db.show("BLMPOP 1 2 {t}a {t}b LEFT COUNT 10"), "[{t}b [2]]");
        assert_eq!(db.show("BRPOP {t}b 1"), "");
    }

    #[test]
    fn timeouts_are_checked_even_where_nothing_waits() {
        let mut db = TestDb::new();
        db.run("RPUSH l a");
        assert_eq!(db.run("BLPOP l -1"), "-ERR timeout is negative\r\n");
        assert_eq!(db.run("BRPOP l x"), "-ERR timeout is not a float or out of range\r\n");
        assert_eq!(db.run("LLEN l"), ":1\r\n");
    }

    #[test]
    fn a_dead_list_is_a_missing_one() {
        let mut db = TestDb::new();
        db.run("RPUSH l a b");
        db.at(1000).run("PEXPIRE l 10");
        assert_eq!(db.at(1010).show("LPOP l"), "nil");
        assert_eq!(db.at(1009).show("LLEN l"), "0");
    }
}
