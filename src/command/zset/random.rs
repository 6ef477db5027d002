//! ZRANDMEMBER.

use super::{write_entries, write_entry};
use crate::command::args::{is, signed_count};
use crate::command::random::Random;
use crate::command::{Args, CommandError, CommandResult, ReadContext, sample};
use crate::keyspace::types::zset::{ScoredMember, ZSet};
use crate::protocol::reply::{Reply, Resp};

/// ZRANDMEMBER key [count [WITHSCORES]]: different members for a positive count, picks with repetition for a negative one.
pub fn zrandmember(ctx: &ReadContext<'_>, args: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    match args {
        [_, key] => pick_one(ctx, key, reply),
        [_, key, count] => pick_many(ctx, key, signed_count(count)?, false, reply),
        [_, key, count, option] if is(option, "WITHSCORES") => {
            pick_many(ctx, key, signed_count(count)?, true, reply)
        }
        _ => Err(CommandError::Syntax),
    }
}

fn pick_one(ctx: &ReadContext<'_>, key: &[u8], reply: &mut Reply<'_>) -> CommandResult {
    let set = ctx.collection::<ZSet>(key)?;
    let entry = set.and_then(|set| set.get_by_rank(ctx.random.borrow_mut().below(set.len())));
    reply.bulk_or_null(entry.map(|entry| entry.member));
    Ok(())
}

fn pick_many(
    ctx: &ReadContext<'_>,
    key: &[u8],
    count: i64,
    with_scores: bool,
    reply: &mut Reply<'_>,
) -> CommandResult {
    sample::in_range(count, if with_scores { 2 } else { 1 })?;
    let Some(set) = ctx.collection::<ZSet>(key)? else {
        reply.array(0);
        return Ok(());
    };
    let repetitions = sample::repetitions(count, if with_scores { 2 } else { 1 })?;
    let mut random = ctx.random.borrow_mut();
    if let Some(wanted) = repetitions {
        pick_repeatedly(set, wanted, with_scores, &mut random, reply);
        return Ok(());
    }
    let ranks = sample::distinct(&mut random, count as usize, set.len());
    let entries: Vec<ScoredMember<'_>> = ranks.into_iter().filter_map(|rank| set.get_by_rank(rank)).collect();
    write_entries(entries.into_iter(), with_scores, reply);
    Ok(())
}

fn pick_repeatedly(set: &ZSet, wanted: usize, with_scores: bool, random: &mut Random, reply: &mut Reply<'_>) {
    let pairs = with_scores && reply.resp() == Resp::V3;
    let parts = if with_scores && !pairs { 2 * wanted } else { wanted };
    sample::write_repeated(reply, parts, wanted, |reply| {
        let Some(entry) = set.get_by_rank(random.below(set.len())) else { return };
        if pairs {
            reply.array(2);
        }
        if with_scores {
            write_entry(entry, reply);
        } else {
            reply.bulk(entry.member);
        }
    });
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use crate::command::testing::TestDb;

    fn words(shown: &str) -> Vec<String> {
        let inner = shown.trim_matches(['[', ']']);
        inner.split(' ').filter(|word| !word.is_empty()).map(str::to_owned).collect()
    }

    #[test]
    fn members_are_picked_without_taking_them() {
        let mut db = TestDb::new();
        db.run("ZADD z 1 a 2 b 3 c");
        assert!(["a", "b", "c"].contains(&db.show("ZRANDMEMBER z").as_str()));
        for (count, len) in [(0, 0), (2, 2), (3, 3), (9, 3)] {
            let picked: BTreeSet<String> =
                words(&db.show(&format!("ZRANDMEMBER z {count}"))).into_iter().collect();
            assert_eq!(picked.len(), len);
        }
        assert_eq!(words(&db.show("ZRANDMEMBER z -20")).len(), 20);
        assert_eq!(db.show("ZCARD z"), "3");
    }

    #[test]
    fn scores_come_along() {
        let mut db = TestDb::new();
        db.run("ZADD z 1 a");
        assert_eq!(db.run("ZRANDMEMBER z 5 WITHSCORES"), "*2\r\n$1\r\na\r\n$1\r\n1\r\n");
        assert_eq!(db.show("ZRANDMEMBER z -2 WITHSCORES"), "[a 1 a 1]");
        let mut db = TestDb::resp3();
        db.run("ZADD z 1 a");
        assert_eq!(db.run("ZRANDMEMBER z 5 WITHSCORES"), "*1\r\n*2\r\n$1\r\na\r\n,1\r\n");
        assert_eq!(db.show("ZRANDMEMBER z -2 WITHSCORES"), "[[a 1] [a 1]]");
    }

    #[test]
    fn picking_from_nothing_and_too_much() {
        let mut db = TestDb::new();
        assert_eq!(db.run("ZRANDMEMBER z"), "$-1\r\n");
        assert_eq!(db.run("ZRANDMEMBER z 2"), "*0\r\n");
        db.run("ZADD z 1 a");
        assert_eq!(db.run("ZRANDMEMBER z -9223372036854775807 WITHSCORES"), "-ERR value is out of range\r\n");
        assert_eq!(db.run("ZRANDMEMBER z 1 SCORES"), "-ERR syntax error\r\n");
        assert_eq!(db.run("ZRANDMEMBER z x"), "-ERR value is not an integer or out of range\r\n");
    }
}
