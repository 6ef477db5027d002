//! SPOP SRANDMEMBER.

use crate::command::args::{count, signed_count};
use crate::command::random::Random;
use crate::command::{Args, CommandError, CommandResult, ReadContext, WriteContext, sample};
use crate::keyspace::types::set::Set;
use crate::protocol::reply::Reply;

/// SPOP key [count]
pub fn spop(ctx: &mut WriteContext<'_>, args: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    match args {
        [_, key] => pop_one(ctx, key, reply),
        [_, key, wanted] => pop_many(ctx, key, count(wanted)?, reply),
        _ => Err(CommandError::Syntax),
    }
}

/// SPOP of no member.
pub fn pop_none(ctx: &ReadContext<'_>, args: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    ctx.collection::<Set>(args[1])?;
    reply.set(0);
    Ok(())
}

fn pop_one(ctx: &mut WriteContext<'_>, key: &[u8], reply: &mut Reply<'_>) -> CommandResult {
    match ctx.collection::<Set>(key)?.map(Set::len) {
        None => reply.null(),
        Some(len) => {
            let place = ctx.random.below(len);
            take(ctx, key, [place], reply)?;
        }
    }
    Ok(())
}

fn pop_many(ctx: &mut WriteContext<'_>, key: &[u8], wanted: usize, reply: &mut Reply<'_>) -> CommandResult {
    let Some(set) = ctx.collection::<Set>(key)? else {
        reply.set(0);
        return Ok(());
    };
    let len = set.len();
    reply.set(wanted.min(len));
    if wanted >= len {
        reply.each(set.iter(), |reply, member| reply.bulk(&member));
        ctx.taken_from(key, true);
        return Ok(());
    }
    let places: Vec<usize> = (0..wanted).map(|taken| ctx.random.below(len - taken)).collect();
    take(ctx, key, places, reply)
}

/// Removes the members at these places, each a place after the removals before it, and answers with them.
fn take(
    ctx: &mut WriteContext<'_>,
    key: &[u8],
    places: impl IntoIterator<Item = usize>,
    reply: &mut Reply<'_>,
) -> CommandResult {
    let Some(set) = ctx.collection_mut::<Set>(key)? else { return Ok(()) };
    let before = set.len();
    places.into_iter().filter_map(|place| set.remove_at(place)).for_each(|member| reply.bulk(&member));
    let (changed, emptied) = (set.len() < before, set.is_empty());
    if changed {
        ctx.taken_from(key, emptied);
    }
    Ok(())
}

/// SRANDMEMBER key [count]: different members for a positive count, picks with repetition for a negative one.
pub fn srandmember(ctx: &ReadContext<'_>, args: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    match args {
        [_, key] => pick_one(ctx, key, reply),
        [_, key, count] => pick_many(ctx, key, signed_count(count)?, reply),
        _ => Err(CommandError::Syntax),
    }
}

fn pick_one(ctx: &ReadContext<'_>, key: &[u8], reply: &mut Reply<'_>) -> CommandResult {
    let set = ctx.collection::<Set>(key)?;
    let member = set.and_then(|set| set.get_at(ctx.random.borrow_mut().below(set.len())));
    reply.bulk_or_null(member.as_deref());
    Ok(())
}

fn pick_many(ctx: &ReadContext<'_>, key: &[u8], count: i64, reply: &mut Reply<'_>) -> CommandResult {
    let Some(set) = ctx.collection::<Set>(key)? else {
        reply.array(0);
        return Ok(());
    };
    let repetitions = sample::repetitions(count, 1)?;
    let mut random = ctx.random.borrow_mut();
    if let Some(wanted) = repetitions {
        pick_repeatedly(set, wanted, &mut random, reply);
        return Ok(());
    }
    let places = sample::distinct(&mut random, count as usize, set.len());
    reply.array(places.len());
    let members = places.into_iter().filter_map(|place| set.get_at(place));
    reply.each(members, |reply, member| reply.bulk(&member));
    Ok(())
}

fn pick_repeatedly(set: &Set, wanted: usize, random: &mut Random, reply: &mut Reply<'_>) {
    sample::write_repeated(reply, wanted, wanted, |reply| {
        reply.bulk_or_null(set.get_at(random.below(set.len())).as_deref());
    });
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use crate::command::cost::Forecast;
    use crate::command::testing::TestDb;

    fn members(shown: &str) -> Vec<String> {
        let inner = shown.trim_matches(['[', ']']);
        inner.split(' ').filter(|member| !member.is_empty()).map(str::to_owned).collect()
    }

    #[test]
    fn spop_empties_a_set_one_by_one() {
        let mut db = TestDb::new();
        db.run("SADD s a b c");
        let popped: BTreeSet<String> = (0..3).map(|_| db.show("SPOP s")).collect();
        assert_eq!(popped.into_iter().collect::<Vec<_>>(), ["a", "b", "c"]);
        assert_eq!(db.run("SPOP s"), "$-1\r\n");
        assert_eq!(db.run("RPUSH s now-a-list"), ":1\r\n");
    }

    #[test]
    fn spop_takes_a_count_and_no_more_than_there_is() {
        for size in [5, 100, 300] {
            let mut db = TestDb::new();
            let all: BTreeSet<String> = (0..size).map(|number| format!("m{number}")).collect();
            all.iter().for_each(|member| drop(db.run(&format!("SADD s {member}"))));
            let first = members(&db.show("SPOP s 3"));
            assert_eq!(first.len(), 3);
            let rest = members(&db.show("SPOP s 1000"));
            assert_eq!(rest.len(), size - 3);
            assert_eq!(first.into_iter().chain(rest).collect::<BTreeSet<_>>(), all);
            assert_eq!(db.show("SPOP s 1"), "[]");
        }
    }

    #[test]
    fn spop_of_none_changes_nothing() {
        let mut db = TestDb::new();
        db.run("SADD s a");
        db.take_touched();
        assert_eq!(db.show("SPOP s 0"), "[]");
        assert!(db.take_touched().is_empty());
        assert_eq!(db.run("SPOP s -1"), "-ERR value is out of range, must be positive\r\n");
        assert_eq!(db.run("SPOP s 1 2"), "-ERR syntax error\r\n");
    }

    #[test]
    fn the_same_history_pops_the_same_members() {
        let pops = || {
            let mut db = TestDb::new();
            (0..200).for_each(|number| drop(db.run(&format!("SADD s m{number}"))));
            [db.show("SPOP s 10"), db.show("SPOP s"), db.show("SMEMBERS s")]
        };
        assert_eq!(pops(), pops());
    }

    #[test]
    fn srandmember_picks_without_taking() {
        let mut db = TestDb::new();
        db.run("SADD s a b c d e");
        assert!(["a", "b", "c", "d", "e"].contains(&db.show("SRANDMEMBER s").as_str()));
        for (count, len) in [(0, 0), (3, 3), (5, 5), (50, 5)] {
            let picked: BTreeSet<String> =
                members(&db.show(&format!("SRANDMEMBER s {count}"))).into_iter().collect();
            assert_eq!(picked.len(), len);
        }
        assert_eq!(members(&db.show("SRANDMEMBER s -50")).len(), 50);
        assert_eq!(db.show("SCARD s"), "5");
    }

    #[test]
    fn srandmember_of_nothing_and_of_too_much() {
        let mut db = TestDb::new();
        assert_eq!(db.run("SRANDMEMBER s"), "$-1\r\n");
        assert_eq!(db.run("SRANDMEMBER s 3"), "*0\r\n");
        for pick in ["SRANDMEMBER", "HRANDFIELD", "ZRANDMEMBER"] {
            assert_eq!(db.run(&format!("{pick} s -200000000")), "*0\r\n", "{pick}");
            let missing = [pick.as_bytes(), b"s", b"-200000000"];
            assert!(db.cost(&missing, &Forecast::default()).steps < 10, "{pick}");
        }
        db.run("SADD s a");
        assert_eq!(db.run("SRANDMEMBER s -9223372036854775807"), "-ERR value is out of range\r\n");
        assert_eq!(
            db.run("SRANDMEMBER s -9223372036854775808"),
            "-ERR value is out of range, value must between -9223372036854775807 and 9223372036854775807\r\n"
        );
        assert_eq!(db.run("SRANDMEMBER s x"), "-ERR value is not an integer or out of range\r\n");
        assert_eq!(db.run("SRANDMEMBER s 1 2"), "-ERR syntax error\r\n");
    }

    #[test]
    fn popped_members_are_a_set_in_resp3_and_picked_ones_an_array() {
        let mut db = TestDb::resp3();
        db.run("SADD s a");
        assert_eq!(db.run("SRANDMEMBER s 1"), "*1\r\n$1\r\na\r\n");
        assert_eq!(db.run("SPOP s 1"), "~1\r\n$1\r\na\r\n");
        assert_eq!(db.run("SPOP s 1"), "~0\r\n");
        assert_eq!(db.run("SPOP s"), "_\r\n");
    }
}
