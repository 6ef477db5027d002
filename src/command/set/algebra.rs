//! SINTER SUNION SDIFF, their STORE forms, and SINTERCARD.
//!
//! Every source must be a set or missing, even where another source already decides the result.

use crate::command::args::{at_least, is};
use crate::command::scan::Page;
use crate::command::{Args, CommandError, CommandResult, ReadContext, WriteContext};
use crate::keyspace::types::limits::TypeLimits;
use crate::keyspace::types::set::{Member, Set};
use crate::keyspace::value::Collection;
use crate::protocol::reply::Reply;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Operation {
    Inter,
    Union,
    Diff,
}

pub fn sinter(ctx: &ReadContext<'_>, args: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    answer(Operation::Inter, ctx, &args[1..], reply)
}

pub fn sunion(ctx: &ReadContext<'_>, args: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    answer(Operation::Union, ctx, &args[1..], reply)
}

pub fn sdiff(ctx: &ReadContext<'_>, args: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    answer(Operation::Diff, ctx, &args[1..], reply)
}

pub fn sinterstore(ctx: &mut WriteContext<'_>, args: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    store(Operation::Inter, ctx, args, reply)
}

pub fn sunionstore(ctx: &mut WriteContext<'_>, args: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    store(Operation::Union, ctx, args, reply)
}

pub fn sdiffstore(ctx: &mut WriteContext<'_>, args: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    store(Operation::Diff, ctx, args, reply)
}

/// SINTERCARD numkeys key [key …] [LIMIT limit]
pub fn sintercard(ctx: &ReadContext<'_>, args: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    let key_count = at_least(1, args[1], "ERR numkeys should be greater than 0")?;
    let (keys, options) = args[2..]
        .split_at_checked(key_count)
        .ok_or(CommandError::other("ERR Number of keys can't be greater than number of args"))?;
    let limit = options.chunks(2).try_fold(0, |_, option| match *option {
        [name, limit] if is(name, "LIMIT") => at_least(0, limit, "ERR LIMIT can't be negative"),
        _ => Err(CommandError::Syntax),
    })?;
    let limit = if limit == 0 { usize::MAX } else { limit };
    let sources = sources(ctx, keys)?;
    reply.integer(combine(Operation::Inter, &sources).take(limit).count() as i64);
    Ok(())
}

fn answer(
    operation: Operation,
    ctx: &ReadContext<'_>,
    keys: &Args<'_>,
    reply: &mut Reply<'_>,
) -> CommandResult {
    let sources = sources(ctx, keys)?;
    let mut result = Page::of(reply);
    let mut push = |member: Member<'_>| {
        result.push(&member);
        !result.is_over()
    };
    if operation == Operation::Union {
        collect(combine(operation, &sources), &TypeLimits::default()).iter().all(&mut push);
    } else {
        combine(operation, &sources).all(push);
    }
    result.write_set(reply);
    Ok(())
}

fn store(
    operation: Operation,
    ctx: &mut WriteContext<'_>,
    args: &Args<'_>,
    reply: &mut Reply<'_>,
) -> CommandResult {
    let result = collect(combine(operation, &sources(&ctx.reader(), &args[2..])?), ctx.limits);
    reply.integer(result.len() as i64);
    ctx.insert(args[1], result.wrap(), None);
    Ok(())
}

fn sources<'a>(ctx: &ReadContext<'a>, keys: &Args<'_>) -> Result<Vec<Option<&'a Set>>, CommandError> {
    keys.iter().map(|key| ctx.collection::<Set>(key)).collect()
}

fn collect<'a>(members: impl Iterator<Item = Member<'a>>, limits: &TypeLimits) -> Set {
    let mut set = Set::new();
    for member in members {
        set.insert(&member, limits);
    }
    set
}

/// The members of the result; those of a union come once per source that has them.
fn combine<'a, 's: 'a>(
    operation: Operation,
    sources: &'a [Option<&'s Set>],
) -> Box<dyn Iterator<Item = Member<'s>> + 'a> {
    match operation {
        Operation::Union => Box::new(sources.iter().flatten().flat_map(|set| set.iter())),
        Operation::Diff => {
            let (first, others) =
                sources.split_first().map_or((None, &[][..]), |(first, others)| (*first, others));
            let members = first.into_iter().flat_map(Set::iter);
            Box::new(members.filter(|member| !others.iter().flatten().any(|other| other.contains(member))))
        }
        Operation::Inter => {
            let present: Option<Vec<&Set>> = sources.iter().copied().collect();
            let mut sets = present.unwrap_or_default();
            sets.sort_by_key(|set| set.len());
            let members = sets.first().copied().into_iter().flat_map(Set::iter);
            Box::new(members.filter(move |member| sets[1..].iter().all(|other| other.contains(member))))
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::command::testing::TestDb;

    fn sorted(shown: &str) -> String {
        let mut members: Vec<&str> = shown.trim_matches(['[', ']']).split(' ').collect();
        members.sort_unstable();
        members.join(" ")
    }

    fn three_sets() -> TestDb {
        let mut db = TestDb::new();
        db.run("SADD {t}1 a b c d");
        db.run("SADD {t}2 c");
        db.run("SADD {t}3 a c e");
        db
    }

    #[test]
    fn the_three_operations() {
        let mut db = three_sets();
        for (line, result) in [
            ("SINTER {t}1 {t}3", "a c"),
            ("SINTER {t}1 {t}2 {t}3", "c"),
            ("SINTER {t}1 {t}1", "a b c d"),
            ("SINTER {t}1 {t}missing", ""),
            ("SUNION {t}1 {t}2 {t}3", "a b c d e"),
            ("SUNION {t}missing {t}2", "c"),
            ("SDIFF {t}1 {t}2 {t}3", "b d"),
            ("SDIFF {t}1 {t}missing", "a b c d"),
            ("SDIFF {t}1 {t}1", ""),
            ("SDIFF {t}missing {t}1", ""),
        ] {
            assert_eq!(sorted(&db.show(line)), result, "{line}");
        }
    }

    #[test]
    fn results_are_stored_over_whatever_was_there() {
        let mut db = three_sets();
        db.run("RPUSH {t}d list");
        db.take_touched();
        assert_eq!(db.run("SINTERSTORE {t}d {t}1 {t}3"), ":2\r\n");
        assert_eq!(db.take_touched(), ["{t}d"]);
        assert_eq!(sorted(&db.show("SMEMBERS {t}d")), "a c");
        assert_eq!(db.run("SUNIONSTORE {t}d {t}d {t}3"), ":3\r\n");
        assert_eq!(db.run("SDIFFSTORE {t}d {t}1 {t}d"), ":2\r\n");
        assert_eq!(sorted(&db.show("SMEMBERS {t}d")), "b d");
    }

    #[test]
    fn an_empty_result_removes_the_destination() {
        let mut db = three_sets();
        db.run("SADD {t}d x");
        assert_eq!(db.run("SINTERSTORE {t}d {t}1 {t}missing"), ":0\r\n");
        assert_eq!(db.run("RPUSH {t}d now-a-list"), ":1\r\n");
        db.take_touched();
        assert_eq!(db.run("SDIFFSTORE {t}other {t}1 {t}1"), ":0\r\n");
        assert!(db.take_touched().is_empty());
    }

    #[test]
    fn every_source_must_be_a_set() {
        let mut db = three_sets();
        db.run("RPUSH {t}l 1");
        for line in [
            "SINTER {t}missing {t}l",
            "SUNION {t}1 {t}l",
            "SDIFF {t}1 {t}l",
            "SINTERSTORE {t}d {t}missing {t}l",
            "SINTERCARD 2 {t}1 {t}l",
        ] {
            assert!(db.run(line).starts_with("-WRONGTYPE"), "{line}");
        }
        assert_eq!(db.run("SCARD {t}d"), ":0\r\n");
    }

    #[test]
    fn sintercard_counts_up_to_its_limit() {
        let mut db = three_sets();
        for (line, count) in [
            ("SINTERCARD 2 {t}1 {t}3", "2"),
            ("SINTERCARD 2 {t}1 {t}3 LIMIT 0", "2"),
            ("SINTERCARD 2 {t}1 {t}3 limit 1", "1"),
            ("SINTERCARD 2 {t}1 {t}3 LIMIT 10", "2"),
            ("SINTERCARD 1 {t}missing", "0"),
        ] {
            assert_eq!(db.show(line), count, "{line}");
        }
        for (line, error) in [
            ("SINTERCARD 0 {t}1", "ERR numkeys should be greater than 0"),
            ("SINTERCARD x {t}1", "ERR numkeys should be greater than 0"),
            ("SINTERCARD 3 {t}1 {t}2", "ERR Number of keys can't be greater than number of args"),
            ("SINTERCARD 1 {t}1 LIMIT -1", "ERR LIMIT can't be negative"),
            ("SINTERCARD 1 {t}1 LIMIT", "ERR syntax error"),
            ("SINTERCARD 1 {t}1 {t}2", "ERR syntax error"),
        ] {
            assert_eq!(db.run(line), format!("-{error}\r\n"), "{line}");
        }
    }

    #[test]
    fn results_are_sets_in_resp3() {
        let mut db = TestDb::resp3();
        db.run("SADD {t}1 1 2");
        db.run("SADD {t}2 2 3");
        assert_eq!(db.run("SINTER {t}1 {t}2"), "~1\r\n$1\r\n2\r\n");
        assert_eq!(db.run("SUNION {t}2 {t}missing"), "~2\r\n$1\r\n2\r\n$1\r\n3\r\n");
        assert_eq!(db.run("SDIFF {t}missing"), "~0\r\n");
    }
}
