//! HRANDFIELD: <https://redis.io/docs/latest/commands/hrandfield/>.

use super::live::LiveHash;
use crate::command::args::{is, signed_count};
use crate::command::random::Random;
use crate::command::{Args, CommandError, CommandResult, ReadContext, sample};
use crate::protocol::reply::{Reply, Resp};

type Pair<'a> = (&'a [u8], &'a [u8]);

/// The living fields of a hash by place.
struct Places<'a> {
    hash: LiveHash<'a>,
    /// Where some fields are dead, the others.
    living: Vec<Pair<'a>>,
}

impl<'a> Places<'a> {
    fn of(hash: LiveHash<'a>) -> Self {
        let living = if hash.has_dead() { hash.iter().collect() } else { Vec::new() };
        Places { hash, living }
    }

    fn get(&self, place: usize) -> Option<Pair<'a>> {
        if self.hash.has_dead() { self.living.get(place).copied() } else { self.hash.get_at(place) }
    }

    fn pick(&self, random: &mut Random) -> Option<Pair<'a>> {
        self.get(random.below(self.hash.len()))
    }
}

pub(super) fn hrandfield(ctx: &ReadContext<'_>, args: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    let (count, with_values) = match args[2..] {
        [] => return pick_one(ctx, args[1], reply),
        [count] => (signed_count(count)?, false),
        [count, word] if is(word, "WITHVALUES") => (signed_count(count)?, true),
        _ => return Err(CommandError::Syntax),
    };
    sample::in_range(count, if with_values { 2 } else { 1 })?;
    let Some(hash) = LiveHash::of(ctx, args[1])? else {
        reply.array(0);
        return Ok(());
    };
    let repetitions = sample::repetitions(count, 1 + usize::from(with_values))?;
    let (places, mut random) = (Places::of(hash), ctx.random.borrow_mut());
    match repetitions {
        Some(wanted) => write_repeated(&places, wanted, with_values, &mut random, reply),
        None => write_distinct(&places, count as usize, with_values, &mut random, reply),
    }
    Ok(())
}

fn pick_one(ctx: &ReadContext<'_>, key: &[u8], reply: &mut Reply<'_>) -> CommandResult {
    let hash = LiveHash::of(ctx, key)?;
    let picked = hash.and_then(|hash| Places::of(hash).pick(&mut ctx.random.borrow_mut()));
    reply.bulk_or_null(picked.map(|(field, _)| field));
    Ok(())
}

fn write_distinct(
    places: &Places<'_>,
    wanted: usize,
    with_values: bool,
    random: &mut Random,
    reply: &mut Reply<'_>,
) {
    let picked = sample::distinct(random, wanted, places.hash.len());
    reply.array(parts(picked.len(), with_values, reply));
    let pairs = picked.into_iter().filter_map(|place| places.get(place));
    reply.each(pairs, |reply, pair| write_pair(pair, with_values, reply));
}

fn write_repeated(
    places: &Places<'_>,
    wanted: usize,
    with_values: bool,
    random: &mut Random,
    reply: &mut Reply<'_>,
) {
    let parts = parts(wanted, with_values, reply);
    sample::write_repeated(reply, parts, wanted, |reply| {
        places.pick(random).into_iter().for_each(|pair| write_pair(pair, with_values, reply));
    });
}

/// RESP3 nests field and value, RESP2 lists them one behind the other.
fn parts(len: usize, with_values: bool, reply: &Reply<'_>) -> usize {
    let flat = with_values && reply.resp() == Resp::V2;
    if flat { 2 * len } else { len }
}

fn write_pair((field, value): Pair<'_>, with_values: bool, reply: &mut Reply<'_>) {
    if with_values && reply.resp() == Resp::V3 {
        reply.array(2);
    }
    reply.bulk(field);
    if with_values {
        reply.bulk(value);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use crate::command::testing::TestDb;
    use crate::protocol::reply::Resp;

    fn words(shown: &str) -> Vec<String> {
        shown.trim_matches(['[', ']']).split_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn picks_are_different_or_repeated_by_the_sign_of_the_count() {
        let mut db = TestDb::new();
        db.show("HSET h a 1 b 2 c 3 d 4");
        for count in 0..=6 {
            let picked = words(&db.show(&format!("HRANDFIELD h {count}")));
            assert_eq!(picked.iter().collect::<BTreeSet<_>>().len(), count.min(4));
            assert_eq!(picked.len(), count.min(4));
        }
        assert_eq!(words(&db.show("HRANDFIELD h -50")).len(), 50);
        let seen: BTreeSet<String> = (0..100).map(|_| db.show("HRANDFIELD h")).collect();
        assert_eq!(seen.len(), 4);
    }

    #[test]
    fn values_come_nested_in_resp3() {
        let mut db = TestDb::new();
        db.show("HSET h a 1");
        assert_eq!(db.show("HRANDFIELD h -2 WITHVALUES"), "[a 1 a 1]");
        assert_eq!(db.show("HRANDFIELD h 2 withvalues"), "[a 1]");
        db.resp = Resp::V3;
        assert_eq!(db.show("HRANDFIELD h -2 WITHVALUES"), "[[a 1] [a 1]]");
    }

    #[test]
    fn dead_fields_are_not_picked() {
        let mut db = TestDb::new();
        db.show("HSET h a 1 b 2 c 3");
        db.show("HPEXPIRE h 10 FIELDS 2 a b");
        db.at(1_000_020);
        assert_eq!(db.show("HRANDFIELD h 9"), "[c]");
        assert_eq!(db.show("HRANDFIELD h -2"), "[c c]");
        assert_eq!(db.show("HRANDFIELD h"), "c");
    }

    #[test]
    fn nonsense_is_refused_and_nothing_is_nothing() {
        let mut db = TestDb::new();
        assert_eq!(db.show("HRANDFIELD none"), "nil");
        assert_eq!(db.show("HRANDFIELD none 5"), "[]");
        assert_eq!(db.show("HRANDFIELD none x"), "ERR value is not an integer or out of range");
        assert_eq!(db.show("HRANDFIELD none 5 WITH"), "ERR syntax error");
        assert_eq!(db.show("HRANDFIELD none -9223372036854775807"), "[]");
        let out_of_range = "ERR value is out of range";
        assert!(db.show("HRANDFIELD none -9223372036854775808").starts_with(out_of_range));
        assert_eq!(db.show("HRANDFIELD none -9223372036854775807 WITHVALUES"), out_of_range);
        assert_eq!(db.show("ZRANDMEMBER none -9223372036854775807 WITHSCORES"), out_of_range);
    }
}
