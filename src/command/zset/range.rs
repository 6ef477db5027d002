//! ZRANGE, its older forms, and ZRANGESTORE.

use std::ops::Range;

use super::bounds::{LexRange, ScoreRange};
use super::write_entries;
use crate::command::args::{index_range, integer, is};
use crate::command::cost::reads::of_places;
use crate::command::cost::{Cost, CostContext, CostKind, Size, of_bytes};
use crate::command::{Args, CommandError, CommandResult, ReadContext, WriteContext};
use crate::keyspace::types::zset::{ScoredMember, ZSet, ZSetLimits};
use crate::keyspace::value::Collection;
use crate::protocol::reply::Reply;

/// ZRANGE key start stop [BYSCORE|BYLEX] [REV] [LIMIT offset count] [WITHSCORES]
pub fn zrange(ctx: &ReadContext<'_>, args: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    answer(ctx, args, Options::default(), reply)
}

/// ZREVRANGE key start stop [WITHSCORES]
pub fn zrevrange(ctx: &ReadContext<'_>, args: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    answer(ctx, args, Options::fixed(By::Rank, true), reply)
}

/// ZRANGEBYSCORE key min max [WITHSCORES] [LIMIT offset count]
pub fn zrangebyscore(ctx: &ReadContext<'_>, args: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    answer(ctx, args, Options::fixed(By::Score, false), reply)
}

/// ZREVRANGEBYSCORE key max min [WITHSCORES] [LIMIT offset count]
pub fn zrevrangebyscore(ctx: &ReadContext<'_>, args: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    answer(ctx, args, Options::fixed(By::Score, true), reply)
}

/// ZRANGEBYLEX key min max [LIMIT offset count]
pub fn zrangebylex(ctx: &ReadContext<'_>, args: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    answer(ctx, args, Options::fixed(By::Lex, false), reply)
}

/// ZREVRANGEBYLEX key max min [LIMIT offset count]
pub fn zrevrangebylex(ctx: &ReadContext<'_>, args: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    answer(ctx, args, Options::fixed(By::Lex, true), reply)
}

/// ZRANGESTORE destination source start stop [BYSCORE|BYLEX] [REV] [LIMIT offset count]
pub fn zrangestore(ctx: &mut WriteContext<'_>, args: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    let query = Query::parse(&args[3..], Options { storing: true, ..Options::default() })?;
    let limits = ZSetLimits::from(ctx.limits);
    let mut result = ZSet::new();
    if let Some(source) = ctx.collection::<ZSet>(args[2])? {
        for ScoredMember { member, score } in source.by_rank(query.ranks(source)) {
            result.insert(member, score, &limits);
        }
    }
    reply.integer(result.len() as i64);
    ctx.insert(args[1], result.wrap(), None);
    Ok(())
}

/// What the rows cost that read a range.
pub const COST_ANY: CostKind = CostKind::Measured(|context, args| cost_of(context, args, Options::default()));
pub const COST_BY_SCORE: CostKind =
    CostKind::Measured(|context, args| cost_of(context, args, Options::fixed(By::Score, false)));
pub const COST_BY_LEX: CostKind =
    CostKind::Measured(|context, args| cost_of(context, args, Options::fixed(By::Lex, false)));
pub const COST_REV_BY_RANK: CostKind =
    CostKind::Measured(|context, args| cost_of(context, args, Options::fixed(By::Rank, true)));
pub const COST_REV_BY_SCORE: CostKind =
    CostKind::Measured(|context, args| cost_of(context, args, Options::fixed(By::Score, true)));
pub const COST_REV_BY_LEX: CostKind =
    CostKind::Measured(|context, args| cost_of(context, args, Options::fixed(By::Lex, true)));

/// Members from the first that is asked for to the last.
fn cost_of(context: &CostContext<'_, '_>, args: &Args<'_>, options: Options) -> Cost {
    let cost = Cost::of_args(args);
    let Some(Ok(query)) = args.get(2..).map(|args| Query::parse(args, options)) else { return cost };
    let (key, empty) = (args[1], ZSet::new());
    let set = context.reader.collection::<ZSet>(key).ok().flatten().unwrap_or(&empty);
    cost.walking(match query.bounds {
        Bounds::Rank { start, stop } => of_places(context, key, (start, stop), set.len()),
        Bounds::Score(_) | Bounds::Lex(_) => {
            (query.ranks(set).len() as u64).saturating_add(context.gained(key))
        }
    })
}

/// ZRANGESTORE: the members that it takes. After planned commands these may be others.
pub fn cost_of_store(context: &CostContext<'_, '_>, args: &Args<'_>) -> Cost {
    let cost = Cost::of_args(args);
    let storing = || Options { storing: true, ..Options::default() };
    let Some(source_args) = args.get(1..).filter(|args| args.len() > 3) else { return cost };
    let taken = cost_of(context, source_args, storing()).steps;
    let all = context.size(source_args[1]);
    let mut bytes = all.bytes;
    if context.is_exact_for(source_args[1])
        && let Ok(query) = Query::parse(&source_args[2..], storing())
    {
        let set = context.reader.collection::<ZSet>(source_args[1]).ok().flatten();
        let members = set.into_iter().flat_map(|set| set.by_rank(query.ranks(set)));
        bytes = members.map(|entry| entry.member.len() as u64).sum();
    }
    let elements = taken.min(all.elements);
    cost.walking(taken.max(of_bytes(bytes))).storing(Size { elements, bytes })
}

fn answer(ctx: &ReadContext<'_>, args: &Args<'_>, options: Options, reply: &mut Reply<'_>) -> CommandResult {
    let query = Query::parse(&args[2..], options)?;
    let Some(set) = ctx.collection::<ZSet>(args[1])? else {
        reply.array(0);
        return Ok(());
    };
    let entries = set.by_rank(query.ranks(set));
    if query.reverse {
        write_entries(entries.rev(), query.with_scores, reply);
    } else {
        write_entries(entries, query.with_scores, reply);
    }
    Ok(())
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum By {
    Rank,
    Score,
    Lex,
}

/// What the command's name says, and then its options.
#[derive(Default)]
struct Options {
    by: Option<By>,
    reverse: Option<bool>,
    with_scores: bool,
    storing: bool,
    limit: Option<Limit>,
}

#[derive(Clone, Copy)]
struct Limit {
    offset: i64,
    /// Negative for all.
    count: i64,
}

impl Options {
    fn fixed(by: By, reverse: bool) -> Options {
        Options { by: Some(by), reverse: Some(reverse), ..Options::default() }
    }

    fn parse(mut self, mut args: &Args<'_>) -> Result<Self, CommandError> {
        while let Some((option, rest)) = args.split_first() {
            args = rest;
            match rest {
                _ if is(option, "WITHSCORES") && !self.storing => self.with_scores = true,
                _ if is(option, "REV") && self.reverse.is_none() => self.reverse = Some(true),
                _ if is(option, "BYSCORE") && self.by.is_none() => self.by = Some(By::Score),
                _ if is(option, "BYLEX") && self.by.is_none() => self.by = Some(By::Lex),
                [offset, count, behind @ ..] if is(option, "LIMIT") => {
                    self.limit = Some(Limit { offset: integer(offset)?, count: integer(count)? });
                    args = behind;
                }
                _ => return Err(CommandError::Syntax),
            }
        }
        Ok(self)
    }
}

/// The part of a sorted set that a range command names.
struct Query<'a> {
    bounds: Bounds<'a>,
    reverse: bool,
    limit: Limit,
    with_scores: bool,
}

enum Bounds<'a> {
    Rank { start: i64, stop: i64 },
    Score(ScoreRange),
    Lex(LexRange<'a>),
}

impl<'a> Query<'a> {
    /// Reads the range and the options behind it.
    fn parse(args: &Args<'a>, options: Options) -> Result<Self, CommandError> {
        let [first, second, rest @ ..] = args else { return Err(CommandError::Syntax) };
        let options = options.parse(rest)?;
        let by = options.by.unwrap_or(By::Rank);
        let limit = options.limit.unwrap_or(Limit { offset: 0, count: -1 });
        if limit.count != -1 && by == By::Rank {
            return Err(CommandError::other(
                "ERR syntax error, LIMIT is only supported in combination with either BYSCORE or BYLEX",
            ));
        }
        if options.with_scores && by == By::Lex {
            return Err(CommandError::other(
                "ERR syntax error, WITHSCORES not supported in combination with BYLEX",
            ));
        }
        let reverse = options.reverse.unwrap_or(false);
        let (min, max) = if reverse { (*second, *first) } else { (*first, *second) };
        let bounds = match by {
            By::Rank => Bounds::Rank { start: integer(first)?, stop: integer(second)? },
            By::Score => Bounds::Score(ScoreRange::parse(min, max)?),
            By::Lex => Bounds::Lex(LexRange::parse(min, max)?),
        };
        Ok(Query { bounds, reverse, limit, with_scores: options.with_scores })
    }

    /// The ranks of the elements that are asked for, from the lowest.
    fn ranks(&self, set: &ZSet) -> Range<usize> {
        match &self.bounds {
            Bounds::Rank { start, stop } => {
                let places = index_range(*start, *stop, set.len());
                if self.reverse { set.len() - places.end..set.len() - places.start } else { places }
            }
            Bounds::Score(range) => self.limited(range.ranks(set)),
            Bounds::Lex(range) => self.limited(range.ranks(set)),
        }
    }

    /// Applies the limit, which counts in the direction of the answer. A negative offset leaves nothing.
    fn limited(&self, ranks: Range<usize>) -> Range<usize> {
        let offset = usize::try_from(self.limit.offset).unwrap_or(usize::MAX).min(ranks.len());
        let count = usize::try_from(self.limit.count).unwrap_or(usize::MAX).min(ranks.len() - offset);
        if self.reverse {
            let end = ranks.end - offset;
            end - count..end
        } else {
            let start = ranks.start + offset;
            start..start + count
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::command::testing::TestDb;

    fn letters() -> TestDb {
        let mut db = TestDb::new();
        db.run("ZADD z -inf a 1 b 2 c 3 d 4 e 5 f +inf g");
        db.run("ZADD lex 0 alpha 0 bar 0 cool 0 down 0 elephant 0 foo");
        db
    }

    fn check(db: &mut TestDb, cases: &[(&str, &str)]) {
        for (line, shown) in cases {
            assert_eq!(db.show(line), *shown, "{line}");
        }
    }

    #[test]
    fn by_rank() {
        check(
            &mut letters(),
            &[
                ("ZRANGE z 0 -1", "[a b c d e f g]"),
                ("ZRANGE z 1 -2", "[b c d e f]"),
                ("ZRANGE z -3 -1", "[e f g]"),
                ("ZRANGE z 5 1", "[]"),
                ("ZRANGE z 7 99", "[]"),
                ("ZRANGE z 0 1 REV", "[g f]"),
                ("ZRANGE z -2 -1 REV WITHSCORES", "[b 1 a -inf]"),
                ("ZREVRANGE z 1 2 WITHSCORES", "[f 5 e 4]"),
                ("ZREVRANGE z 0 0", "[g]"),
                ("ZRANGE missing 0 -1", "[]"),
            ],
        );
    }

    #[test]
    fn by_score() {
        check(
            &mut letters(),
            &[
                ("ZRANGEBYSCORE z -inf 2", "[a b c]"),
                ("ZRANGEBYSCORE z (1 (4", "[c d]"),
                ("ZRANGEBYSCORE z 4 0", "[]"),
                ("ZRANGEBYSCORE z 1 3 WITHSCORES LIMIT 1 1", "[c 2]"),
                ("ZRANGEBYSCORE z 0 10 LIMIT 2 3", "[d e f]"),
                ("ZRANGEBYSCORE z 0 10 LIMIT 2 -1", "[d e f]"),
                ("ZRANGEBYSCORE z 0 10 LIMIT 2 -5", "[d e f]"),
                ("ZRANGEBYSCORE z 0 10 LIMIT 20 10", "[]"),
                ("ZRANGEBYSCORE z 0 10 LIMIT -1 2", "[]"),
                ("ZRANGEBYSCORE z 0 10 LIMIT 0 0", "[]"),
                ("ZREVRANGEBYSCORE z 10 0 LIMIT 0 2", "[f e]"),
                ("ZREVRANGEBYSCORE z 10 0 LIMIT 4 9", "[b]"),
                ("ZREVRANGEBYSCORE z +inf (5", "[g]"),
                ("ZREVRANGEBYSCORE z 0 10", "[]"),
                ("ZRANGE z (1 3 byscore", "[c d]"),
                ("ZRANGE z 3 (1 REV BYSCORE LIMIT 0 1 WITHSCORES", "[d 3]"),
            ],
        );
    }

    #[test]
    fn by_member() {
        check(
            &mut letters(),
            &[
                ("ZRANGEBYLEX lex - [cool", "[alpha bar cool]"),
                ("ZRANGEBYLEX lex (bar (down", "[cool]"),
                ("ZRANGEBYLEX lex [d +", "[down elephant foo]"),
                ("ZRANGEBYLEX lex + -", "[]"),
                ("ZRANGEBYLEX lex + [z", "[]"),
                ("ZRANGEBYLEX lex - [", "[]"),
                ("ZRANGEBYLEX lex - + LIMIT 1 2", "[bar cool]"),
                ("ZREVRANGEBYLEX lex [cool -", "[cool bar alpha]"),
                ("ZREVRANGEBYLEX lex + [d LIMIT 1 1", "[elephant]"),
                ("ZRANGE lex - (cool BYLEX", "[alpha bar]"),
                ("ZRANGE z [b (e BYLEX", "[b c d]"),
                ("ZRANGESTORE copy z (b [d BYLEX", "2"),
                ("ZRANGE z (f + BYLEX", "[g]"),
                ("ZRANGE lex + - BYLEX REV LIMIT 0 1", "[foo]"),
            ],
        );
    }

    #[test]
    fn scores_come_in_pairs_in_resp3() {
        let mut db = TestDb::resp3();
        db.run("ZADD z 1 a 2.5 b");
        assert_eq!(
            db.run("ZRANGE z 0 -1 WITHSCORES"),
            "*2\r\n*2\r\n$1\r\na\r\n,1\r\n*2\r\n$1\r\nb\r\n,2.5\r\n"
        );
        assert_eq!(db.run("ZRANGE z 0 -1"), "*2\r\n$1\r\na\r\n$1\r\nb\r\n");
        let mut db = TestDb::new();
        db.run("ZADD z 1 a");
        assert_eq!(db.run("ZRANGE z 0 -1 WITHSCORES"), "*2\r\n$1\r\na\r\n$1\r\n1\r\n");
    }

    #[test]
    fn a_range_is_stored_over_whatever_was_there() {
        let mut db = TestDb::new();
        db.run("ZADD {t}z 1 a 2 b 3 c 4 d");
        db.run("SADD {t}d member");
        db.take_touched();
        assert_eq!(db.run("ZRANGESTORE {t}d {t}z 0 1 REV"), ":2\r\n");
        assert_eq!(db.take_touched(), ["{t}d"]);
        assert_eq!(db.show("ZRANGE {t}d 0 -1 WITHSCORES"), "[c 3 d 4]");
        assert_eq!(db.run("ZRANGESTORE {t}d {t}z (1 +inf BYSCORE LIMIT 1 1"), ":1\r\n");
        assert_eq!(db.show("ZRANGE {t}d 0 -1"), "[c]");
        assert_eq!(db.run("ZRANGESTORE {t}z {t}z 1 2"), ":2\r\n");
        assert_eq!(db.show("ZRANGE {t}z 0 -1"), "[b c]");
        assert_eq!(db.run("ZRANGESTORE {t}z {t}missing 0 -1"), ":0\r\n");
        assert_eq!(db.run("RPUSH {t}z now-a-list"), ":1\r\n");
        assert!(db.run("ZRANGESTORE {t}d {t}z 0 -1").starts_with("-WRONGTYPE"));
        assert_eq!(db.show("ZRANGE {t}d 0 -1"), "[c]");
    }

    #[test]
    fn options_that_do_not_go_together() {
        let mut db = letters();
        let limit = "ERR syntax error, LIMIT is only supported in combination with either BYSCORE or BYLEX";
        let scores = "ERR syntax error, WITHSCORES not supported in combination with BYLEX";
        for (line, error) in [
            ("ZRANGE z 0 1 LIMIT 0 1", limit),
            ("ZREVRANGE z 0 1 LIMIT 0 1", limit),
            ("ZRANGE lex - + BYLEX WITHSCORES", scores),
            ("ZRANGEBYLEX lex - + WITHSCORES", scores),
            ("ZRANGE z 0 1 BYSCORE BYLEX", "ERR syntax error"),
            ("ZRANGE z 0 1 REV REV", "ERR syntax error"),
            ("ZREVRANGE z 0 1 REV", "ERR syntax error"),
            ("ZRANGEBYSCORE z 0 1 BYSCORE", "ERR syntax error"),
            ("ZRANGE z 0 1 LIMIT 0", "ERR syntax error"),
            ("ZRANGE z 0 1 BYSCORE LIMIT a 1", "ERR value is not an integer or out of range"),
            ("ZRANGESTORE d z 0 1 WITHSCORES", "ERR syntax error"),
            ("ZRANGE z a 1", "ERR value is not an integer or out of range"),
            ("ZRANGE z (a 1 BYSCORE", "ERR min or max is not a float"),
            ("ZRANGE z a [b BYLEX", "ERR min or max not valid string range item"),
        ] {
            assert_eq!(db.run(line), format!("-{error}\r\n"), "{line}");
        }
    }
}
