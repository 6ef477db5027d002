//! ZUNION ZINTER ZDIFF, their STORE forms, and ZINTERCARD.
//!
//! - A source is a sorted set, a set (every member has score 1), or missing.
//! - A score times its weight, or a sum, that would be NaN counts as 0.
//! - A source of another type is answered before a fault in the options, as in Redis.
//! - A source that is named again is walked once; its scores are weighed once for each time that it is named.
//! - Scores are combined in Redis's order, bit for bit: that of the names, smaller sources first.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::ptr;

use scores::{Addends, Aggregate, Naming};

use super::{stored, write_entries};
use crate::command::args::{at_least, integer, is};
use crate::command::cost::{Algebra, Cost, CostContext, MAX_UNITED, of_algebra};
use crate::command::{Args, CommandError, CommandResult, ReadContext, WriteContext};
use crate::keyspace::entry::Entry;
use crate::keyspace::types::limits::TypeLimits;
use crate::keyspace::types::set::Set;
use crate::keyspace::types::zset::{Inserted, ZSet, ZSetLimits};
use crate::keyspace::value::{Collection, ValueRef};
use crate::protocol::number::parse_double;
use crate::protocol::reply::Reply;

mod scores;

/// ZUNION numkeys key [key …] [WEIGHTS weight …] [AGGREGATE SUM|MIN|MAX] [WITHSCORES]
pub fn zunion(ctx: &ReadContext<'_>, args: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    answer(ctx, args, Algebra::Union, "zunion", reply)
}

/// ZINTER numkeys key [key …] [WEIGHTS weight …] [AGGREGATE SUM|MIN|MAX] [WITHSCORES]
pub fn zinter(ctx: &ReadContext<'_>, args: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    answer(ctx, args, Algebra::Inter, "zinter", reply)
}

/// ZDIFF numkeys key [key …] [WITHSCORES]
pub fn zdiff(ctx: &ReadContext<'_>, args: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    answer(ctx, args, Algebra::Diff, "zdiff", reply)
}

/// ZUNIONSTORE destination numkeys key [key …] [WEIGHTS weight …] [AGGREGATE SUM|MIN|MAX]
pub fn zunionstore(ctx: &mut WriteContext<'_>, args: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    store(ctx, args, Algebra::Union, "zunionstore", reply)
}

/// ZINTERSTORE destination numkeys key [key …] [WEIGHTS weight …] [AGGREGATE SUM|MIN|MAX]
pub fn zinterstore(ctx: &mut WriteContext<'_>, args: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    store(ctx, args, Algebra::Inter, "zinterstore", reply)
}

/// ZDIFFSTORE destination numkeys key [key …]
pub fn zdiffstore(ctx: &mut WriteContext<'_>, args: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    store(ctx, args, Algebra::Diff, "zdiffstore", reply)
}

/// ZINTERCARD numkeys key [key …] [LIMIT limit]
pub fn zintercard(ctx: &ReadContext<'_>, args: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    let request = Request::parse(ctx, &args[1..], Algebra::Inter, Form::Count, "zintercard")?;
    let limit = if request.limit == 0 { usize::MAX } else { request.limit };
    let mut count = 0;
    let _ = request.run(ctx, &ctx.scratch_limits(request.keys[0]), &mut |_, _| {
        count += 1;
        if count < limit { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    })?;
    reply.integer(count as i64);
    Ok(())
}

/// The commands whose number of keys is the argument at `COUNT_AT`, the keys right after it.
pub fn cost_of<const OPERATION: u8, const COUNT_AT: usize>(
    context: &CostContext<'_, '_>,
    args: &Args<'_>,
) -> Cost {
    let count = integer(args[COUNT_AT]).ok().and_then(|count| usize::try_from(count).ok());
    let keys = count.and_then(|count| args[COUNT_AT + 1..].get(..count)).unwrap_or_default();
    Cost::of_args(args).and(of_algebra(Algebra::of(OPERATION), true, context, keys))
}

fn answer(
    ctx: &ReadContext<'_>,
    args: &Args<'_>,
    operation: Algebra,
    name: &'static str,
    reply: &mut Reply<'_>,
) -> CommandResult {
    if reply.is_over() {
        return Ok(());
    }
    let request = Request::parse(ctx, &args[1..], operation, Form::Answer, name)?;
    let result = request.collect(ctx, &ctx.scratch_limits(request.keys[0]), reply.room())?;
    write_entries(result.iter(), request.with_scores, reply);
    Ok(())
}

fn store(
    ctx: &mut WriteContext<'_>,
    args: &Args<'_>,
    operation: Algebra,
    name: &'static str,
    reply: &mut Reply<'_>,
) -> CommandResult {
    let request = Request::parse(&ctx.reader(), &args[2..], operation, Form::Store, name)?;
    let result = request.collect(&ctx.reader(), ctx.limits, usize::MAX)?;
    reply.integer(result.len() as i64);
    ctx.insert(args[1], result.wrap(), None);
    Ok(())
}

/// What becomes of the result; it decides which options there are.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    Answer,
    Store,
    Count,
}

struct Request<'a, 'b> {
    operation: Algebra,
    keys: &'b Args<'a>,
    /// One per key.
    weights: Vec<f64>,
    aggregate: Aggregate,
    with_scores: bool,
    /// 0 for none.
    limit: usize,
}

impl<'a, 'b> Request<'a, 'b> {
    /// Reads `numkeys key [key …]` and the options.
    fn parse(
        ctx: &ReadContext<'_>,
        args: &'b Args<'a>,
        operation: Algebra,
        form: Form,
        name: &'static str,
    ) -> Result<Self, CommandError> {
        let key_count = integer(args[0])?;
        if key_count < 1 {
            return Err(CommandError::other(format!(
                "ERR at least 1 input key is needed for '{name}' command"
            )));
        }
        let split = usize::try_from(key_count).ok().and_then(|count| args[1..].split_at_checked(count));
        let (keys, options) = split.ok_or(CommandError::Syntax)?;
        keys.iter().try_for_each(|key| Source::load(ctx, key).map(drop))?;
        let weights = vec![1.0; keys.len()];
        let mut request =
            Request { operation, keys, weights, aggregate: Aggregate::Sum, with_scores: false, limit: 0 };
        request.parse_options(options, form)?;
        Ok(request)
    }

    fn parse_options(&mut self, mut args: &Args<'_>, form: Form) -> CommandResult {
        let combines_scores = self.operation != Algebra::Diff && form != Form::Count;
        while let Some((option, rest)) = args.split_first() {
            args = match rest {
                _ if is(option, "WEIGHTS") && combines_scores => {
                    let split = rest.split_at_checked(self.keys.len());
                    let (weights, behind) = split.ok_or(CommandError::Syntax)?;
                    self.weights =
                        weights.iter().map(|weight| parse_weight(weight)).collect::<Result<_, _>>()?;
                    behind
                }
                [aggregate, behind @ ..] if is(option, "AGGREGATE") && combines_scores => {
                    self.aggregate = Aggregate::parse(aggregate)?;
                    behind
                }
                _ if is(option, "WITHSCORES") && form == Form::Answer => {
                    self.with_scores = true;
                    rest
                }
                [limit, behind @ ..] if is(option, "LIMIT") && form == Form::Count => {
                    self.limit = at_least(0, limit, "ERR LIMIT can't be negative")?;
                    behind
                }
                _ => return Err(CommandError::Syntax),
            };
        }
        Ok(())
    }

    /// The result; of one whose members have more than `most` bytes, the part that was found until then.
    fn collect(&self, ctx: &ReadContext<'_>, limits: &TypeLimits, most: usize) -> Result<ZSet, CommandError> {
        let (mut result, mut bytes) = (ZSet::new(), 0);
        let of_result = ZSetLimits::from(limits);
        let union = self.operation == Algebra::Union;
        let _ = self.run(ctx, limits, &mut |member, addends| {
            let present = if union { result.score(member) } else { None };
            let score = addends.onto(present);
            if result.insert(member, stored(score), &of_result) == Inserted::Added {
                bytes += member.len();
            }
            if bytes > most { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })?;
        Ok(result)
    }

    /// Visits the elements of the result; those of a union may come more than once, with what is to be added each time.
    fn run(
        &self,
        ctx: &ReadContext<'_>,
        limits: &TypeLimits,
        visit: Visit<'_>,
    ) -> Result<ControlFlow<()>, CommandError> {
        let (sources, mut namings) = self.sources(ctx)?;
        let combination = Combination { sources: &sources, aggregate: self.aggregate };
        if self.operation != Algebra::Diff {
            namings.sort_by_key(|naming| sources[naming.source].len());
        }
        Ok(match self.operation {
            Algebra::Union => combination.unite(&Naming::joined(namings), visit),
            Algebra::Inter => combination.intersect(&Naming::joined(namings), visit),
            Algebra::Diff => combination.subtract(limits, visit),
        })
    }

    /// The sources, each once, in the order in which they are named first, and how they are named; the first of a difference
    /// stays apart.
    fn sources<'k>(&self, ctx: &ReadContext<'k>) -> Result<(Vec<Source<'k>>, Vec<Naming>), CommandError> {
        let (mut sources, mut namings) = (Vec::new(), Vec::with_capacity(self.keys.len()));
        let mut places = BTreeMap::new();
        for (nth, (key, weight)) in self.keys.iter().zip(&self.weights).enumerate() {
            let source = Source::load(ctx, key)?;
            let stays_apart = self.operation == Algebra::Diff && nth == 0;
            let known = if stays_apart { None } else { places.get(&source.address()).copied() };
            let place = known.unwrap_or(sources.len());
            if known.is_none() {
                if !stays_apart {
                    places.insert(source.address(), place);
                }
                sources.push(source);
            }
            namings.push(Naming { source: place, weight: *weight, times: 1 });
        }
        Ok((sources, namings))
    }
}

/// Sources that are combined.
struct Combination<'c, 'k> {
    sources: &'c [Source<'k>],
    aggregate: Aggregate,
}

impl Combination<'_, '_> {
    /// Sources of one size come in the order of their names, so one may come again after another. A few of those are united member by
    /// member; of others each is walked again.
    fn unite(&self, namings: &[Naming], visit: Visit<'_>) -> ControlFlow<()> {
        let is_of_one_size =
            |a: &Naming, b: &Naming| self.sources[a.source].len() == self.sources[b.source].len();
        let mut scores = vec![None; self.sources.len()];
        namings.chunk_by(is_of_one_size).try_for_each(|namings| {
            let mut distinct: Vec<usize> = namings.iter().map(|naming| naming.source).collect();
            distinct.sort_unstable();
            distinct.dedup();
            let is_same = |a: &Naming, b: &Naming| a.source == b.source;
            if distinct.len() < namings.chunk_by(is_same).count() && distinct.len() <= MAX_UNITED {
                return self.unite_by_member(&distinct, namings, &mut scores, visit);
            }
            namings.chunk_by(is_same).try_for_each(|namings| {
                self.unite_by_member(&[namings[0].source], namings, &mut scores, visit)
            })
        })
    }

    /// Visits each member of some sources once, with its scores in all of them; these are written to their places in `scores`. No
    /// other source is touched: there may be very many.
    fn unite_by_member(
        &self,
        distinct: &[usize],
        namings: &[Naming],
        scores: &mut [Option<f64>],
        visit: Visit<'_>,
    ) -> ControlFlow<()> {
        for (nth, place) in distinct.iter().enumerate() {
            let (before, after) = (&distinct[..nth], &distinct[nth + 1..]);
            before.iter().for_each(|other| scores[*other] = None);
            self.sources[*place].each(&mut |member, score| {
                if before.iter().any(|other| self.sources[*other].score(member).is_some()) {
                    return ControlFlow::Continue(());
                }
                scores[*place] = Some(score);
                after.iter().for_each(|other| scores[*other] = self.sources[*other].score(member));
                visit(member, &Addends { namings, scores, aggregate: self.aggregate })
            })?;
        }
        ControlFlow::Continue(())
    }

    /// Walks the smallest source, which comes first.
    fn intersect(&self, namings: &[Naming], visit: Visit<'_>) -> ControlFlow<()> {
        let Some(first) = namings.first().map(|naming| naming.source) else {
            return ControlFlow::Continue(());
        };
        let others: Vec<usize> = (0..self.sources.len()).filter(|place| *place != first).collect();
        let mut scores = vec![None; self.sources.len()];
        self.sources[first].each(&mut |member, score| {
            scores[first] = Some(score);
            let is_in_all = others.iter().all(|other| {
                scores[*other] = self.sources[*other].score(member);
                scores[*other].is_some()
            });
            if !is_in_all {
                return ControlFlow::Continue(());
            }
            visit(member, &Addends { namings, scores: &scores, aggregate: self.aggregate })
        })
    }

    /// Looks each member up in every other source, or in all of them made one set where that takes fewer steps.
    fn subtract(&self, limits: &TypeLimits, visit: Visit<'_>) -> ControlFlow<()> {
        let Some((first, others)) = self.sources.split_first() else { return ControlFlow::Continue(()) };
        let all: usize = others.iter().map(Source::len).sum();
        let one_set = (first.len().saturating_mul(others.len()) > 2 * (first.len() + all)).then(|| {
            let mut set = Set::new();
            for other in others {
                let _ = other.each(&mut |member, _| {
                    set.insert(member, limits);
                    ControlFlow::Continue(())
                });
            }
            set
        });
        let (namings, mut scores) = ([Naming { source: 0, weight: 1.0, times: 1 }], [None]);
        first.each(&mut |member, score| {
            let is_taken = match &one_set {
                Some(set) => set.contains(member),
                None => others.iter().any(|other| other.score(member).is_some()),
            };
            if is_taken {
                return ControlFlow::Continue(());
            }
            scores[0] = Some(score);
            visit(member, &Addends { namings: &namings, scores: &scores, aggregate: self.aggregate })
        })
    }
}

fn parse_weight(arg: &[u8]) -> Result<f64, CommandError> {
    parse_double(arg).ok_or(CommandError::other("ERR weight value is not a float"))
}

/// Called with a member and its scores.
type Visit<'v> = &'v mut dyn FnMut(&[u8], &Addends<'_>) -> ControlFlow<()>;

enum Source<'a> {
    None,
    Set(&'a Set),
    ZSet(&'a ZSet),
}

impl<'a> Source<'a> {
    fn load(ctx: &ReadContext<'a>, key: &[u8]) -> Result<Self, CommandError> {
        match ctx.entry(key).map(Entry::value) {
            None => Ok(Source::None),
            Some(ValueRef::String(_)) => Err(CommandError::WrongType),
            Some(ValueRef::Object(object)) => match (ZSet::of(object), Set::of(object)) {
                (Some(set), _) => Ok(Source::ZSet(set)),
                (_, Some(set)) => Ok(Source::Set(set)),
                _ => Err(CommandError::WrongType),
            },
        }
    }

    /// Tells sources apart; all that are missing are one.
    fn address(&self) -> Option<*const ()> {
        match self {
            Source::None => None,
            Source::Set(set) => Some(ptr::from_ref(*set).cast()),
            Source::ZSet(set) => Some(ptr::from_ref(*set).cast()),
        }
    }

    fn len(&self) -> usize {
        match self {
            Source::None => 0,
            Source::Set(set) => set.len(),
            Source::ZSet(set) => set.len(),
        }
    }

    /// The score of a member, not weighed.
    fn score(&self, member: &[u8]) -> Option<f64> {
        match self {
            Source::None => None,
            Source::Set(set) => set.contains(member).then_some(1.0),
            Source::ZSet(set) => set.score(member),
        }
    }

    /// Visits every member with its score.
    fn each(&self, visit: &mut dyn FnMut(&[u8], f64) -> ControlFlow<()>) -> ControlFlow<()> {
        match self {
            Source::None => ControlFlow::Continue(()),
            Source::Set(set) => set.iter().try_for_each(|member| visit(&member, 1.0)),
            Source::ZSet(set) => set.iter().try_for_each(|entry| visit(entry.member, entry.score)),
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::command::testing::TestDb;

    fn two_sets() -> TestDb {
        let mut db = TestDb::new();
        db.run("ZADD {t}a 1 a 2 b 3 c");
        db.run("ZADD {t}b 1 b 2 c 3 d");
        db.run("SADD {t}s a d");
        db
    }

    fn check(db: &mut TestDb, cases: &[(&str, &str)]) {
        for (line, shown) in cases {
            assert_eq!(db.show(line), *shown, "{line}");
        }
    }

    #[test]
    fn unions() {
        check(
            &mut two_sets(),
            &[
                ("ZUNION 2 {t}a {t}b", "[a b d c]"),
                ("ZUNION 2 {t}a {t}b WITHSCORES", "[a 1 b 3 d 3 c 5]"),
                ("ZUNION 2 {t}a {t}b WEIGHTS 2 3 WITHSCORES", "[a 2 b 7 d 9 c 12]"),
                ("ZUNION 2 {t}a {t}b AGGREGATE MIN WITHSCORES", "[a 1 b 1 c 2 d 3]"),
                ("ZUNION 2 {t}a {t}b WITHSCORES aggregate max", "[a 1 b 2 c 3 d 3]"),
                ("ZUNION 2 {t}a {t}s WEIGHTS 1 0.5 WITHSCORES", "[d 0.5 a 1.5 b 2 c 3]"),
                ("ZUNION 2 {t}a {t}missing WITHSCORES", "[a 1 b 2 c 3]"),
                ("ZUNION 1 {t}missing", "[]"),
                ("ZUNION 2 {t}a {t}a WITHSCORES", "[a 2 b 4 c 6]"),
                ("ZUNION 4 {t}a {t}b {t}a {t}a WEIGHTS 1 1 2 3 WITHSCORES", "[d 3 a 6 b 13 c 20]"),
                ("ZUNION 3 {t}a {t}a {t}s WEIGHTS 3 2 5 AGGREGATE MIN WITHSCORES", "[a 2 b 4 d 5 c 6]"),
                ("ZUNION 3 {t}s {t}missing {t}missing WITHSCORES", "[a 1 d 1]"),
                ("ZUNION 5 {t}s {t}s {t}s {t}s {t}s WITHSCORES", "[a 5 d 5]"),
                (
                    "ZUNION 3 {t}s {t}s {t}s WEIGHTS 0.1 0.1 0.1 WITHSCORES",
                    "[a 0.30000000000000004 d 0.30000000000000004]",
                ),
                ("ZUNION 3 {t}s {t}s {t}s WEIGHTS inf inf -inf WITHSCORES", "[a 0 d 0]"),
                ("ZUNION 4 {t}s {t}s {t}s {t}s WEIGHTS inf -inf -inf -inf WITHSCORES", "[a -inf d -inf]"),
            ],
        );
    }

    #[test]
    fn intersections() {
        check(
            &mut two_sets(),
            &[
                ("ZINTER 2 {t}a {t}b WITHSCORES", "[b 3 c 5]"),
                ("ZINTER 2 {t}a {t}b WEIGHTS 2 3 WITHSCORES", "[b 7 c 12]"),
                ("ZINTER 2 {t}a {t}b AGGREGATE MIN WITHSCORES", "[b 1 c 2]"),
                ("ZINTER 2 {t}a {t}s WITHSCORES", "[a 2]"),
                ("ZINTER 2 {t}s {t}s WITHSCORES", "[a 2 d 2]"),
                ("ZINTER 2 {t}a {t}missing", "[]"),
                ("ZINTER 3 {t}a {t}b {t}a WEIGHTS 1 1 2 WITHSCORES", "[b 7 c 11]"),
                ("ZINTER 3 {t}a {t}b {t}a WEIGHTS 1 1 2 AGGREGATE MAX WITHSCORES", "[b 4 c 6]"),
                ("ZINTERCARD 2 {t}a {t}b", "2"),
                ("ZINTERCARD 2 {t}a {t}b LIMIT 1", "1"),
                ("ZINTERCARD 2 {t}a {t}b LIMIT 0", "2"),
                ("ZINTERCARD 2 {t}a {t}missing", "0"),
            ],
        );
    }

    #[test]
    fn differences() {
        check(
            &mut two_sets(),
            &[
                ("ZDIFF 2 {t}a {t}b WITHSCORES", "[a 1]"),
                ("ZDIFF 3 {t}a {t}b {t}s", "[]"),
                ("ZDIFF 2 {t}b {t}s WITHSCORES", "[b 1 c 2]"),
                ("ZDIFF 1 {t}a", "[a b c]"),
                ("ZDIFF 2 {t}a {t}a", "[]"),
                ("ZDIFF 4 {t}a {t}s {t}s {t}s WITHSCORES", "[b 2 c 3]"),
                ("ZDIFF 2 {t}missing {t}a", "[]"),
            ],
        );
    }

    #[test]
    fn results_are_stored_over_whatever_was_there() {
        let mut db = two_sets();
        db.run("RPUSH {t}d list");
        db.take_touched();
        assert_eq!(db.run("ZUNIONSTORE {t}d 2 {t}a {t}b"), ":4\r\n");
        assert_eq!(db.take_touched(), ["{t}d"]);
        assert_eq!(db.run("ZINTERSTORE {t}d 2 {t}d {t}b AGGREGATE MAX"), ":3\r\n");
        assert_eq!(db.show("ZRANGE {t}d 0 -1 WITHSCORES"), "[b 3 d 3 c 5]");
        assert_eq!(db.run("ZDIFFSTORE {t}d 2 {t}d {t}a"), ":1\r\n");
        assert_eq!(db.run("ZINTERSTORE {t}d 2 {t}d {t}missing"), ":0\r\n");
        assert_eq!(db.run("RPUSH {t}d now-a-list"), ":1\r\n");
    }

    #[test]
    fn infinities_that_cancel_are_zero() {
        let mut db = TestDb::new();
        db.run("ZADD {t}a inf x");
        db.run("ZADD {t}b -inf x");
        check(
            &mut db,
            &[
                ("ZUNION 2 {t}a {t}b WITHSCORES", "[x 0]"),
                ("ZINTER 2 {t}a {t}b WITHSCORES", "[x 0]"),
                ("ZUNION 1 {t}a WEIGHTS 0 WITHSCORES", "[x 0]"),
                ("ZINTER 1 {t}a WEIGHTS -inf WITHSCORES", "[x -inf]"),
            ],
        );
    }

    #[test]
    fn what_is_wrong_is_named() {
        let mut db = two_sets();
        db.run("RPUSH {t}l 1");
        for (line, error) in [
            ("ZUNION 0 {t}a", "ERR at least 1 input key is needed for 'zunion' command"),
            ("ZINTERSTORE {t}d -1 {t}a", "ERR at least 1 input key is needed for 'zinterstore' command"),
            ("ZUNION x {t}a", "ERR value is not an integer or out of range"),
            ("ZUNION 2 {t}a", "ERR syntax error"),
            ("ZUNION 9223372036854775807 {t}a", "ERR syntax error"),
            ("ZUNION 2 {t}a {t}b WEIGHTS 1", "ERR syntax error"),
            ("ZUNION 2 {t}a {t}b WEIGHTS 1 x", "ERR weight value is not a float"),
            ("ZUNION 1 {t}a AGGREGATE avg", "ERR syntax error"),
            ("ZUNION 1 {t}a AGGREGATE", "ERR syntax error"),
            ("ZUNIONSTORE {t}d 1 {t}a WITHSCORES", "ERR syntax error"),
            ("ZDIFF 1 {t}a WEIGHTS 1", "ERR syntax error"),
            ("ZDIFFSTORE {t}d 1 {t}a WITHSCORES", "ERR syntax error"),
            ("ZINTERCARD 1 {t}a WITHSCORES", "ERR syntax error"),
            ("ZINTERCARD 1 {t}a LIMIT -1", "ERR LIMIT can't be negative"),
            ("ZINTERCARD 1 {t}a LIMIT x", "ERR LIMIT can't be negative"),
            ("ZUNION 2 {t}a {t}l", "WRONGTYPE Operation against a key holding the wrong kind of value"),
            (
                "ZINTERSTORE {t}d 2 {t}missing {t}l",
                "WRONGTYPE Operation against a key holding the wrong kind of value",
            ),
        ] {
            assert_eq!(db.run(line), format!("-{error}\r\n"), "{line}");
        }
        assert_eq!(db.run("ZCARD {t}d"), ":0\r\n");
    }
}
