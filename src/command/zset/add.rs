//! ZADD ZINCRBY.

use super::stored;
use crate::command::args::{float, is};
use crate::command::{Args, CommandError, CommandResult, WriteContext};
use crate::keyspace::types::zset::{Inserted, ZSet, ZSetLimits};
use crate::protocol::reply::Reply;

/// ZADD key [NX|XX] [GT|LT] [CH] [INCR] score member [score member …]
pub fn zadd(ctx: &mut WriteContext<'_>, args: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    let (conditions, pairs) = Conditions::parse(&args[2..])?;
    let pairs = parse_pairs(pairs)?;
    if conditions.incr {
        ctx.call_changes("zincr");
    }
    let tally = add(ctx, args[1], &conditions, &pairs)?;
    match (conditions.incr, tally.score) {
        (true, Some(score)) => reply.double(score),
        (true, None) => reply.null(),
        (false, _) if conditions.ch => reply.integer(tally.added + tally.updated),
        (false, _) => reply.integer(tally.added),
    }
    Ok(())
}

/// ZINCRBY key increment member
pub fn zincrby(ctx: &mut WriteContext<'_>, args: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    let conditions = Conditions { incr: true, ..Conditions::default() };
    let increment = float(args[2])?;
    let tally = add(ctx, args[1], &conditions, &[(increment, args[3])])?;
    reply.double(tally.score.unwrap_or(increment));
    Ok(())
}

/// Which of the pairs of [`add_scores`] change anything.
#[derive(Clone, Copy, Debug, Default)]
pub struct Changes {
    /// Those of new members.
    pub only_new: bool,
    /// Those of members that are there.
    pub only_known: bool,
    /// The answer counts members with another score, too.
    pub counts_updates: bool,
}

/// Adds members with their scores; returns how many are new, or changed.
pub fn add_scores(
    ctx: &mut WriteContext<'_>,
    key: &[u8],
    changes: Changes,
    pairs: &[(f64, &[u8])],
) -> Result<i64, CommandError> {
    let Changes { only_new: nx, only_known: xx, counts_updates: ch } = changes;
    let tally = add(ctx, key, &Conditions { nx, xx, ch, ..Conditions::default() }, pairs)?;
    Ok(if ch { tally.added + tally.updated } else { tally.added })
}

/// The options of ZADD.
#[derive(Default)]
struct Conditions {
    /// Only new members.
    nx: bool,
    /// Only members that are there.
    xx: bool,
    /// Members that are there only get greater scores.
    gt: bool,
    /// Members that are there only get less.
    lt: bool,
    /// Answer with what changed, not with what is new.
    ch: bool,
    /// Scores are increments.
    incr: bool,
}

impl Conditions {
    /// Reads the options and returns the arguments behind them.
    fn parse<'a, 'b>(args: &'b Args<'a>) -> Result<(Self, &'b Args<'a>), CommandError> {
        let mut conditions = Conditions::default();
        let options = args.iter().take_while(|arg| conditions.set(arg)).count();
        conditions.check(&args[options..]).map(|()| (conditions, &args[options..]))
    }

    /// Sets an option; false if the argument is none.
    fn set(&mut self, arg: &[u8]) -> bool {
        let option = match arg {
            _ if is(arg, "NX") => &mut self.nx,
            _ if is(arg, "XX") => &mut self.xx,
            _ if is(arg, "GT") => &mut self.gt,
            _ if is(arg, "LT") => &mut self.lt,
            _ if is(arg, "CH") => &mut self.ch,
            _ if is(arg, "INCR") => &mut self.incr,
            _ => return false,
        };
        *option = true;
        true
    }

    fn check(&self, pairs: &Args<'_>) -> CommandResult {
        if pairs.is_empty() || !pairs.len().is_multiple_of(2) {
            return Err(CommandError::Syntax);
        }
        if self.nx && self.xx {
            return Err(CommandError::other("ERR XX and NX options at the same time are not compatible"));
        }
        if [self.nx, self.gt, self.lt].into_iter().filter(|set| *set).count() > 1 {
            return Err(CommandError::other(
                "ERR GT, LT, and/or NX options at the same time are not compatible",
            ));
        }
        if self.incr && pairs.len() > 2 {
            return Err(CommandError::other("ERR INCR option supports a single increment-element pair"));
        }
        Ok(())
    }

    /// The score that a member shall have, given the one it has; `None` where it is to be left as it is.
    fn decide(&self, current: Option<f64>, given: f64) -> Result<Option<f64>, CommandError> {
        let Some(current) = current else { return Ok((!self.xx).then_some(given)) };
        if self.nx {
            return Ok(None);
        }
        let score = if self.incr { current + given } else { given };
        if score.is_nan() {
            return Err(CommandError::other("ERR resulting score is not a number (NaN)"));
        }
        let refused = (self.gt && score <= current) || (self.lt && score >= current);
        Ok((!refused).then_some(score))
    }

    /// Whether the score that a member has makes a difference.
    fn ask_current(&self) -> bool {
        self.nx || self.xx || self.gt || self.lt || self.incr
    }
}

fn parse_pairs<'a>(args: &Args<'a>) -> Result<Vec<(f64, &'a [u8])>, CommandError> {
    args.chunks_exact(2).map(|pair| Ok((float(pair[0])?, pair[1]))).collect()
}

/// What became of the pairs.
#[derive(Default)]
struct Tally {
    added: i64,
    updated: i64,
    /// The last score that was given, none where every pair was left out.
    score: Option<f64>,
}

fn add(
    ctx: &mut WriteContext<'_>,
    key: &[u8],
    conditions: &Conditions,
    pairs: &[(f64, &[u8])],
) -> Result<Tally, CommandError> {
    if conditions.xx && ctx.collection::<ZSet>(key)?.is_none() {
        return Ok(Tally::default());
    }
    let limits = ZSetLimits::from(ctx.limits);
    let set = ctx.collection_or_new::<ZSet>(key)?;
    let mut tally = Tally::default();
    for (score, member) in pairs {
        tally.add_one(set, conditions, *score, member, &limits)?;
    }
    if tally.added + tally.updated > 0 {
        ctx.touch(key);
    }
    Ok(tally)
}

impl Tally {
    /// Fails only with INCR, of which there is only one pair: thus before anything changed.
    fn add_one(
        &mut self,
        set: &mut ZSet,
        conditions: &Conditions,
        given: f64,
        member: &[u8],
        limits: &ZSetLimits,
    ) -> CommandResult {
        let current = if conditions.ask_current() { set.score(member) } else { None };
        let Some(score) = conditions.decide(current, given)?.map(stored) else { return Ok(()) };
        match set.insert(member, score, limits) {
            Inserted::Added => self.added += 1,
            Inserted::Updated => self.updated += 1,
            Inserted::Same => {}
        }
        self.score = Some(score);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use crate::command::testing::TestDb;

    #[test]
    fn members_are_added_and_updated() {
        let mut db = TestDb::new();
        assert_eq!(db.run("ZADD z 10 x 20 y 30 z"), ":3\r\n");
        assert_eq!(db.run("ZADD z 25 x 40 w"), ":1\r\n");
        assert_eq!(db.show("ZRANGE z 0 -1 WITHSCORES"), "[y 20 x 25 z 30 w 40]");
        db.take_touched();
        assert_eq!(db.run("ZADD z 25 x"), ":0\r\n");
        assert!(db.take_touched().is_empty());
    }

    #[test]
    fn conditions_decide_what_changes() {
        for (options, answer, left) in [
            ("XX", "0", "[b 2 a 5]"),
            ("NX", "1", "[a 1 b 2 c 3]"),
            ("GT", "1", "[b 2 c 3 a 5]"),
            ("LT", "1", "[b 0 a 1 c 3]"),
            ("GT CH", "2", "[b 2 c 3 a 5]"),
            ("LT CH", "2", "[b 0 a 1 c 3]"),
            ("XX GT CH", "1", "[b 2 a 5]"),
            ("xx lt ch", "1", "[b 0 a 1]"),
            ("CH", "3", "[b 0 c 3 a 5]"),
        ] {
            let mut db = TestDb::new();
            db.run("ZADD z 1 a 2 b");
            let wanted = if options == "XX" { "5 a 2 b 3 c" } else { "5 a 0 b 3 c" };
            assert_eq!(db.show(&format!("ZADD z {options} {wanted}")), answer, "{options}");
            assert_eq!(db.show("ZRANGE z 0 -1 WITHSCORES"), left, "{options}");
        }
    }

    #[test]
    fn xx_makes_no_key() {
        let mut db = TestDb::new();
        assert_eq!(db.run("ZADD z XX 1 a"), ":0\r\n");
        assert_eq!(db.run("ZADD z XX INCR 1 a"), "$-1\r\n");
        assert_eq!(db.run("RPUSH z now-a-list"), ":1\r\n");
    }

    #[test]
    fn increments_answer_with_the_new_score() {
        let mut db = TestDb::new();
        assert_eq!(db.run("ZADD z INCR 1.5 a"), "$3\r\n1.5\r\n");
        assert_eq!(db.run("ZINCRBY z 2 a"), "$3\r\n3.5\r\n");
        assert_eq!(db.run("ZINCRBY z -1 b"), "$2\r\n-1\r\n");
        assert_eq!(db.run("ZADD z NX INCR 1 a"), "$-1\r\n");
        assert_eq!(db.run("ZADD z GT INCR -1 a"), "$-1\r\n");
        assert_eq!(db.run("ZADD z LT INCR -1 a"), "$3\r\n2.5\r\n");
        let mut db = TestDb::resp3();
        assert_eq!(db.run("ZINCRBY z 2 a"), ",2\r\n");
        assert_eq!(db.run("ZADD z NX INCR 1 a"), "_\r\n");
    }

    #[test]
    fn infinities_add_up_but_never_cancel() {
        let mut db = TestDb::new();
        assert_eq!(db.show("ZADD z inf a -INF b"), "2");
        assert_eq!(db.show("ZADD zero -0 a"), "1");
        assert_eq!(db.show("ZSCORE zero a"), "0");
        assert_eq!(db.show("ZINCRBY zero -0 b"), "0");
        assert_eq!(db.show("ZINCRBY z +inf a"), "inf");
        db.take_touched();
        assert_eq!(db.run("ZINCRBY z -inf a"), "-ERR resulting score is not a number (NaN)\r\n");
        assert_eq!(db.run("ZADD z INCR inf b"), "-ERR resulting score is not a number (NaN)\r\n");
        assert!(db.take_touched().is_empty());
        assert_eq!(db.show("ZRANGE z 0 -1 WITHSCORES"), "[b -inf a inf]");
    }

    #[test]
    fn bad_arguments_change_nothing() {
        let mut db = TestDb::new();
        for (line, error) in [
            ("ZADD z 1 a 2", "ERR syntax error"),
            ("ZADD z NX XX", "ERR syntax error"),
            ("ZADD z NX XX 1 a", "ERR XX and NX options at the same time are not compatible"),
            ("ZADD z GT LT 1 a", "ERR GT, LT, and/or NX options at the same time are not compatible"),
            ("ZADD z NX GT 1 a", "ERR GT, LT, and/or NX options at the same time are not compatible"),
            ("ZADD z INCR 1 a 2 b", "ERR INCR option supports a single increment-element pair"),
            ("ZADD z 1 a x b", "ERR value is not a valid float"),
            ("ZADD z nan a", "ERR value is not a valid float"),
            ("ZINCRBY z x a", "ERR value is not a valid float"),
        ] {
            assert_eq!(db.run(line), format!("-{error}\r\n"), "{line}");
        }
        assert_eq!(db.run("ZCARD z"), ":0\r\n");
        db.run("SADD s a");
        assert!(db.run("ZADD s 1 a").starts_with("-WRONGTYPE"));
        assert!(db.run("ZADD s XX 1 a").starts_with("-WRONGTYPE"));
    }

    #[test]
    fn a_set_outgrows_its_packed_form_without_losing_order() {
        let mut db = TestDb::new();
        for number in 0..300 {
            db.run(&format!("ZADD z {} m{number:03}", 300 - number));
        }
        assert_eq!(db.show("ZRANGE z 0 1"), "[m299 m298]");
        assert_eq!(db.show("ZRANK z m000"), "299");
        assert_eq!(db.show("ZSCORE z m100"), "200");
    }
}
