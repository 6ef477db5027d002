//! SINTER SUNION SDIFF, their STORE forms, and SINTERCARD.
//!
//! - Every source must be a set or missing, even where another source already decides the result.
//! - A source that is named again costs nothing, and changes nothing.

use std::collections::BTreeSet;
use std::ptr;

use crate::command::args::{at_least, integer, is};
use crate::command::cost::{Algebra, Cost, CostContext, of_algebra};
use crate::command::scan::Page;
use crate::command::{Args, CommandError, CommandResult, ReadContext, WriteContext};
use crate::keyspace::types::limits::TypeLimits;
use crate::keyspace::types::set::{Member, Set};
use crate::keyspace::value::Collection;
use crate::protocol::reply::Reply;

pub fn sinter(ctx: &ReadContext<'_>, args: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    answer(Algebra::Inter, ctx, &args[1..], reply)
}

pub fn sunion(ctx: &ReadContext<'_>, args: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    answer(Algebra::Union, ctx, &args[1..], reply)
}

pub fn sdiff(ctx: &ReadContext<'_>, args: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    answer(Algebra::Diff, ctx, &args[1..], reply)
}

pub fn sinterstore(ctx: &mut WriteContext<'_>, args: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    store(Algebra::Inter, ctx, args, reply)
}

pub fn sunionstore(ctx: &mut WriteContext<'_>, args: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    store(Algebra::Union, ctx, args, reply)
}

pub fn sdiffstore(ctx: &mut WriteContext<'_>, args: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    store(Algebra::Diff, ctx, args, reply)
}

/// SINTER, SUNION and SDIFF: all arguments are sources.
pub fn cost_of<const OPERATION: u8>(context: &CostContext<'_, '_>, args: &Args<'_>) -> Cost {
    Cost::of_args(args).and(of_algebra(Algebra::of(OPERATION), false, context, &args[1..]))
}

/// The STORE forms: the destination comes first.
pub fn cost_of_store<const OPERATION: u8>(context: &CostContext<'_, '_>, args: &Args<'_>) -> Cost {
    Cost::of_args(args).and(of_algebra(Algebra::of(OPERATION), false, context, &args[2..]))
}

/// SINTERCARD: a number of keys comes first.
pub fn cost_of_card(context: &CostContext<'_, '_>, args: &Args<'_>) -> Cost {
    let count = integer(args[1]).ok().and_then(|count| usize::try_from(count).ok());
    let keys = count.and_then(|count| args[2..].get(..count)).unwrap_or_default();
    Cost::of_args(args).and(of_algebra(Algebra::Inter, false, context, keys))
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
    let sources = sources(Algebra::Inter, ctx, keys)?;
    let limits = ctx.scratch_limits(keys[0]);
    reply.integer(combine(Algebra::Inter, &sources, &limits).take(limit).count() as i64);
    Ok(())
}

fn answer(
    operation: Algebra,
    ctx: &ReadContext<'_>,
    keys: &Args<'_>,
    reply: &mut Reply<'_>,
) -> CommandResult {
    if reply.is_over() {
        return Ok(());
    }
    let sources = sources(operation, ctx, keys)?;
    let mut result = Page::of(reply);
    let mut push = |member: Member<'_>| {
        result.push(&member);
        !result.is_over()
    };
    let limits = ctx.scratch_limits(keys[0]);
    if operation == Algebra::Union {
        let members = combine(operation, &sources, &limits);
        collect(members, &limits, reply.room()).iter().all(&mut push);
    } else {
        combine(operation, &sources, &limits).all(push);
    }
    result.write_set(reply);
    Ok(())
}

fn store(
    operation: Algebra,
    ctx: &mut WriteContext<'_>,
    args: &Args<'_>,
    reply: &mut Reply<'_>,
) -> CommandResult {
    let sources = sources(operation, &ctx.reader(), &args[2..])?;
    let result = collect(combine(operation, &sources, ctx.limits), ctx.limits, usize::MAX);
    reply.integer(result.len() as i64);
    ctx.insert(args[1], result.wrap(), None);
    Ok(())
}

/// The sources in their order. One that was named before is left out, but for the first of a difference, which stays apart.
fn sources<'a>(
    operation: Algebra,
    ctx: &ReadContext<'a>,
    keys: &Args<'_>,
) -> Result<Vec<Option<&'a Set>>, CommandError> {
    let mut sources =
        keys.iter().map(|key| ctx.collection::<Set>(key)).collect::<Result<Vec<Option<&Set>>, _>>()?;
    let mut seen = BTreeSet::new();
    let mut is_first = operation == Algebra::Diff;
    sources.retain(|source| std::mem::take(&mut is_first) || seen.insert(source.map(ptr::from_ref)));
    Ok(sources)
}

/// The set of these members, or of the first that have more than `most` bytes.
fn collect<'a>(members: impl Iterator<Item = Member<'a>>, limits: &TypeLimits, most: usize) -> Set {
    let (mut set, mut bytes) = (Set::new(), 0);
    for member in members {
        if set.insert(&member, limits) {
            bytes += member.len();
        }
        if bytes > most {
            break;
        }
    }
    set
}

/// The members of the result; those of a union come once per source that has them.
fn combine<'a, 's: 'a>(
    operation: Algebra,
    sources: &'a [Option<&'s Set>],
    limits: &TypeLimits,
) -> Box<dyn Iterator<Item = Member<'s>> + 'a> {
    match operation {
        Algebra::Union => Box::new(sources.iter().flatten().flat_map(|set| set.iter())),
        Algebra::Diff => {
            let (first, others) =
                sources.split_first().map_or((None, &[][..]), |(first, others)| (*first, others));
            subtract(first, others, limits)
        }
        Algebra::Inter => {
            let present: Option<Vec<&Set>> = sources.iter().copied().collect();
            let mut sets = present.unwrap_or_default();
            sets.sort_by_key(|set| set.len());
            let members = sets.first().copied().into_iter().flat_map(Set::iter);
            Box::new(members.filter(move |member| sets[1..].iter().all(|other| other.contains(member))))
        }
    }
}

/// Looks each member up in every other set, or in all of them made one where that takes fewer steps.
fn subtract<'a, 's: 'a>(
    first: Option<&'s Set>,
    others: &'a [Option<&'s Set>],
    limits: &TypeLimits,
) -> Box<dyn Iterator<Item = Member<'s>> + 'a> {
    let members = first.into_iter().flat_map(Set::iter);
    let others: Vec<&Set> = others.iter().copied().flatten().collect();
    let all: usize = others.iter().map(|other| other.len()).sum();
    let len = first.map_or(0, Set::len);
    if len.saturating_mul(others.len()) > 2 * (len + all) {
        let all = collect(others.iter().flat_map(|set| set.iter()), limits, usize::MAX);
        return Box::new(members.filter(move |member| !all.contains(member)));
    }
    Box::new(members.filter(move |member| !others.iter().any(|other| other.contains(member))))
}

#[cfg(test)]
mod tests {
    use crate::command::testing::TestDb;
    use crate::keyspace::hash_seed::unseeded;

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
            ("SUNION {t}2 {t}2 {t}3 {t}2 {t}3", "a c e"),
            ("SINTER {t}3 {t}1 {t}3 {t}1 {t}1", "a c"),
            ("SDIFF {t}1 {t}2 {t}2 {t}2", "a b d"),
            ("SDIFF {t}1 {t}2 {t}1", ""),
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
    fn a_difference_is_the_same_by_either_way() {
        let mut db = TestDb::new();
        let numbers = |range: std::ops::Range<u32>| range.map(|n| format!(" m{n}")).collect::<String>();
        db.run(&format!("SADD {{t}}big{}", numbers(0..300)));
        let others: String = (0..100).map(|n| format!(" {{t}}{n}")).collect();
        (0..100).for_each(|n| drop(db.run(&format!("SADD {{t}}{n} m{n} x"))));
        assert_eq!(sorted(&db.show(&format!("SDIFF {{t}}big{others}"))), sorted(numbers(100..300).trim()));
    }

    /// A client that knows the seed can make members collide.
    #[test]
    fn what_a_command_puts_together_is_hashed_with_the_clusters_seed() {
        let (mut db, before) = (TestDb::seeded(), unseeded::hashes());
        let members = |range: std::ops::Range<u32>| range.map(|n| format!(" m{n}")).collect::<String>();
        db.run(&format!("SADD {{t}}big{}", members(0..300)));
        let others: String = (0..100).map(|n| format!(" {{t}}{n}")).collect();
        (0..100).for_each(|n| drop(db.run(&format!("SADD {{t}}{n} m{n} x{n} y{n}"))));
        for line in ["SDIFF", "SDIFFSTORE {t}d", "SUNION", "SUNIONSTORE {t}d", "SINTERSTORE {t}d"] {
            assert!(!db.run(&format!("{line} {{t}}big{others}")).starts_with('-'), "{line}");
        }
        for line in ["ZDIFF", "ZDIFFSTORE {t}d", "ZUNION", "ZUNIONSTORE {t}d", "ZINTERSTORE {t}d"] {
            assert!(!db.run(&format!("{line} 101 {{t}}big{others}")).starts_with('-'), "{line}");
        }
        assert_eq!(unseeded::hashes(), before);
    }

    #[test]
    fn no_more_is_put_together_than_a_reply_has_room_for() {
        let mut db = TestDb::new();
        let members: String = (0..10_000).map(|n| format!(" member-{n}")).collect();
        db.run(&format!("SADD {{t}}big{members}"));
        for most in [0, 4000] {
            db.most = most;
            for line in ["SUNION {t}big {t}none", "ZUNION 2 {t}big {t}none", "ZDIFF 2 {t}big {t}none"] {
                let args: Vec<&[u8]> = line.split(' ').map(str::as_bytes).collect();
                let before = unseeded::hashes();
                assert!(db.run_bounded(&args).is_none());
                let hashes = unseeded::hashes() - before;
                assert!(hashes < 2000, "{line} for {most} bytes took {hashes} hashes");
            }
        }
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
