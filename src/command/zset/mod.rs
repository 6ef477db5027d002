//! Sorted sets: <https://redis.io/docs/latest/commands/?group=sorted-set>.
//!
//! - Elements stand in the order of score, then member bytes; a rank counts from 0 in that order.
//! - A score is never NaN: what would make it one is refused, or counts as 0 where scores are combined.
//! - Negative zero becomes zero before it is stored.
//! - A sorted set that lost its last element loses its key.

mod add;
mod algebra;
mod bounds;
mod pop;
mod random;
mod range;
mod read;
mod remove;

pub use add::{Changes, add_scores};

use super::args::takes_none;
use super::cost::{Algebra, CostKind, reads, weights};
use super::multi_pop::MultiPop;
use super::spec::{Categories, Flags, KeyFlags, key, keys, numbered_keys};
use super::{Blocking, Command, Family};
use crate::keyspace::types::zset::ScoredMember;
use crate::keyspace::value::ValueType;
use crate::protocol::reply::{Reply, Resp};
use pop::Side;

const DENYOOM: Flags = Flags::DENYOOM;
const FAST: Flags = Flags::FAST;
const MOVABLE: Flags = Flags::MOVABLEKEYS;

const POPPING: Blocking = Blocking::last_argument(ValueType::ZSet, |_| Ok(()));
const MULTI_POPPING: Blocking =
    Blocking::first_argument(ValueType::ZSet, |args| MultiPop::check_blocking(args, Side::parse));

const LOG_PLUS_RANGE: &str = "O(log(N)+M) with N being the number of elements in the sorted set and M the number of elements being returned.";
const LOG: &str = "O(log(N)) with N being the number of elements in the sorted set.";
const UNION: &str = "O(N)+O(M*log(M)) with N being the sum of the sizes of the input sorted sets, and M being the number of elements in the resulting sorted set.";
const INTER: &str = "O(N*K)+O(M*log(M)) worst case with N being the smallest input sorted set, K being the number of input sorted sets and M being the number of elements in the resulting sorted set.";
const DIFF: &str = "O(L*K + M*log(M)) worst case where L is the number of elements in the first set, K is the number of sets, and M is the size of the result.";
const POP_LOG: &str = "O(log(N)*M) with N being the number of elements in the sorted set, and M being the number of elements popped.";
const MULTI_POP_LOG: &str = "O(K) + O(M*log(N)) where K is the number of provided keys, N being the number of elements in the sorted set, and M being the number of elements popped.";

pub const FAMILY: Family = Family {
    group: "sorted-set",
    categories: Categories::SORTEDSET,
    commands: &[
        Command::write("bzmpop", -5, pop::bzmpop)
            .flags(&[MOVABLE])
            .keys(&[numbered_keys(2, KeyFlags::RW_ACCESS_DELETE)])
            .blocking(MULTI_POPPING)
            .docs(
                "7.0.0",
                MULTI_POP_LOG,
                "Removes and returns a member by score from one or more sorted sets. Blocks until a member is available otherwise. Deletes the sorted set if the last element was popped.",
            ),
        Command::write("bzpopmax", -3, pop::bzpopmax)
            .flags(&[FAST])
            .keys(&[keys(1, -2, 1, KeyFlags::RW_ACCESS_DELETE)])
            .blocking(POPPING)
            .docs(
                "5.0.0",
                LOG,
                "Removes and returns the member with the highest score from one or more sorted sets. Blocks until a member available otherwise. Deletes the sorted set if the last element was popped.",
            ),
        Command::write("bzpopmin", -3, pop::bzpopmin)
            .flags(&[FAST])
            .keys(&[keys(1, -2, 1, KeyFlags::RW_ACCESS_DELETE)])
            .blocking(POPPING)
            .docs(
                "5.0.0",
                LOG,
                "Removes and returns the member with the lowest score from one or more sorted sets. Blocks until a member is available otherwise. Deletes the sorted set if the last element was popped.",
            ),
        Command::write("zadd", -4, add::zadd).flags(&[DENYOOM, FAST]).keys(&[key(1, KeyFlags::RW_UPDATE)]).docs(
            "1.2.0",
            "O(log(N)) for each item added, where N is the number of elements in the sorted set.",
            "Adds one or more members to a sorted set, or updates their scores. Creates the key if it doesn't exist.",
        ),
        Command::read("zcard", 2, read::zcard)
            .flags(&[FAST])
            .keys(&[key(1, KeyFlags::RO)])
            .docs("1.2.0", "O(1)", "Returns the number of members in a sorted set."),
        Command::read("zcount", 4, read::zcount).flags(&[FAST]).keys(&[key(1, KeyFlags::RO_ACCESS)]).docs(
            "2.0.0",
            LOG,
            "Returns the count of members in a sorted set that have scores within a range.",
        ),
        Command::read("zdiff", -3, algebra::zdiff).cost(CostKind::Measured(algebra::cost_of::<{ Algebra::DIFF }, 1>)).flags(&[MOVABLE]).keys(&[numbered_keys(1, KeyFlags::RO_ACCESS)]).docs(
            "6.2.0",
            DIFF,
            "Returns the difference between multiple sorted sets.",
        ),
        Command::write("zdiffstore", -4, algebra::zdiffstore).cost(CostKind::Stores(algebra::cost_of::<{ Algebra::DIFF }, 2>))
            .flags(&[DENYOOM, MOVABLE])
            .keys(&[key(1, KeyFlags::OW_UPDATE), numbered_keys(2, KeyFlags::RO_ACCESS)])
            .docs("6.2.0", DIFF, "Stores the difference of multiple sorted sets in a key."),
        Command::write("zincrby", 4, add::zincrby).flags(&[DENYOOM, FAST]).keys(&[key(1, KeyFlags::RW_ACCESS_UPDATE)]).docs(
            "1.2.0",
            LOG,
            "Increments the score of a member in a sorted set.",
        ),
        Command::read("zinter", -3, algebra::zinter).cost(CostKind::Measured(algebra::cost_of::<{ Algebra::INTER }, 1>)).flags(&[MOVABLE]).keys(&[numbered_keys(1, KeyFlags::RO_ACCESS)]).docs(
            "6.2.0",
            INTER,
            "Returns the intersect of multiple sorted sets.",
        ),
        Command::read("zintercard", -3, algebra::zintercard).cost(CostKind::Measured(algebra::cost_of::<{ Algebra::INTER }, 1>))
            .flags(&[MOVABLE])
            .keys(&[numbered_keys(1, KeyFlags::RO_ACCESS)])
            .docs(
                "7.0.0",
                "O(N*K) worst case with N being the smallest input sorted set, K being the number of input sorted sets.",
                "Returns the number of members of the intersect of multiple sorted sets.",
            ),
        Command::write("zinterstore", -4, algebra::zinterstore).cost(CostKind::Stores(algebra::cost_of::<{ Algebra::INTER }, 2>))
            .flags(&[DENYOOM, MOVABLE])
            .keys(&[key(1, KeyFlags::OW_UPDATE), numbered_keys(2, KeyFlags::RO_ACCESS)])
            .docs("2.0.0", INTER, "Stores the intersect of multiple sorted sets in a key."),
        Command::read("zlexcount", 4, read::zlexcount).flags(&[FAST]).keys(&[key(1, KeyFlags::RO_ACCESS)]).docs(
            "2.8.9",
            LOG,
            "Returns the number of members in a sorted set within a lexicographical range.",
        ),
        Command::write("zmpop", -4, pop::zmpop).weighs(weights::pops_from_first).flags(&[MOVABLE]).keys(&[numbered_keys(1, KeyFlags::RW_ACCESS_DELETE)]).docs(
            "7.0.0",
            MULTI_POP_LOG,
            "Returns the highest- or lowest-scoring members from one or more sorted sets after removing them. Deletes the sorted set if the last member was popped.",
        ),
        Command::read("zmscore", -3, read::zmscore).flags(&[FAST]).keys(&[key(1, KeyFlags::RO_ACCESS)]).docs(
            "6.2.0",
            "O(N) where N is the number of members being requested.",
            "Returns the score of one or more members in a sorted set.",
        ),
        Command::write("zpopmax", -2, pop::zpopmax).weighs(weights::pops).reads_when(takes_none, pop::pop_none).flags(&[FAST]).keys(&[key(1, KeyFlags::RW_ACCESS_DELETE)]).docs(
            "5.0.0",
            POP_LOG,
            "Returns the highest-scoring members from a sorted set after removing them. Deletes the sorted set if the last member was popped.",
        ),
        Command::write("zpopmin", -2, pop::zpopmin).weighs(weights::pops).reads_when(takes_none, pop::pop_none).flags(&[FAST]).keys(&[key(1, KeyFlags::RW_ACCESS_DELETE)]).docs(
            "5.0.0",
            POP_LOG,
            "Returns the lowest-scoring members from a sorted set after removing them. Deletes the sorted set if the last member was popped.",
        ),
        Command::read("zrandmember", -2, random::zrandmember).cost(reads::PICKS).keys(&[key(1, KeyFlags::RO_ACCESS)]).docs(
            "6.2.0",
            "O(M*log(N)) where M is the number of members returned",
            "Returns one or more random members from a sorted set.",
        ),
        Command::read("zrange", -4, range::zrange).cost(range::COST_ANY).keys(&[key(1, KeyFlags::RO_ACCESS)]).docs(
            "1.2.0",
            LOG_PLUS_RANGE,
            "Returns members in a sorted set within a range of indexes.",
        ),
        Command::read("zrangebylex", -4, range::zrangebylex).cost(range::COST_BY_LEX).keys(&[key(1, KeyFlags::RO_ACCESS)]).docs(
            "2.8.9",
            LOG_PLUS_RANGE,
            "Returns members in a sorted set within a lexicographical range.",
        ),
        Command::read("zrangebyscore", -4, range::zrangebyscore).cost(range::COST_BY_SCORE).keys(&[key(1, KeyFlags::RO_ACCESS)]).docs(
            "1.0.5",
            LOG_PLUS_RANGE,
            "Returns members in a sorted set within a range of scores.",
        ),
        Command::write("zrangestore", -5, range::zrangestore).cost(CostKind::Stores(range::cost_of_store))
            .flags(&[DENYOOM])
            .keys(&[key(1, KeyFlags::OW_UPDATE), key(2, KeyFlags::RO_ACCESS)])
            .docs(
                "6.2.0",
                "O(log(N)+M) with N being the number of elements in the sorted set and M the number of elements stored into the destination key.",
                "Stores a range of members from sorted set in a key.",
            ),
        Command::read("zrank", -3, read::zrank).flags(&[FAST]).keys(&[key(1, KeyFlags::RO_ACCESS)]).docs(
            "2.0.0",
            LOG,
            "Returns the index of a member in a sorted set ordered by ascending scores.",
        ),
        Command::write("zrem", -3, remove::zrem).flags(&[FAST]).keys(&[key(1, KeyFlags::RW_DELETE)]).docs(
            "1.2.0",
            "O(M*log(N)) with N being the number of elements in the sorted set and M the number of elements to be removed.",
            "Removes one or more members from a sorted set. Deletes the sorted set if all members were removed.",
        ),
        Command::write("zremrangebylex", 4, remove::zremrangebylex).weighs(remove::weight_by_lex).keys(&[key(1, KeyFlags::RW_DELETE)]).docs(
            "2.8.9",
            LOG_PLUS_RANGE,
            "Removes members in a sorted set within a lexicographical range. Deletes the sorted set if all members were removed.",
        ),
        Command::write("zremrangebyrank", 4, remove::zremrangebyrank).weighs(remove::weight_by_rank).keys(&[key(1, KeyFlags::RW_DELETE)]).docs(
            "2.0.0",
            LOG_PLUS_RANGE,
            "Removes members in a sorted set within a range of indexes. Deletes the sorted set if all members were removed.",
        ),
        Command::write("zremrangebyscore", 4, remove::zremrangebyscore).weighs(remove::weight_by_score).keys(&[key(1, KeyFlags::RW_DELETE)]).docs(
            "1.2.0",
            LOG_PLUS_RANGE,
            "Removes members in a sorted set within a range of scores. Deletes the sorted set if all members were removed.",
        ),
        Command::read("zrevrange", -4, range::zrevrange).cost(range::COST_REV_BY_RANK).keys(&[key(1, KeyFlags::RO_ACCESS)]).docs(
            "1.2.0",
            LOG_PLUS_RANGE,
            "Returns members in a sorted set within a range of indexes in reverse order.",
        ),
        Command::read("zrevrangebylex", -4, range::zrevrangebylex).cost(range::COST_REV_BY_LEX).keys(&[key(1, KeyFlags::RO_ACCESS)]).docs(
            "2.8.9",
            LOG_PLUS_RANGE,
            "Returns members in a sorted set within a lexicographical range in reverse order.",
        ),
        Command::read("zrevrangebyscore", -4, range::zrevrangebyscore).cost(range::COST_REV_BY_SCORE).keys(&[key(1, KeyFlags::RO_ACCESS)]).docs(
            "2.2.0",
            LOG_PLUS_RANGE,
            "Returns members in a sorted set within a range of scores in reverse order.",
        ),
        Command::read("zrevrank", -3, read::zrevrank).flags(&[FAST]).keys(&[key(1, KeyFlags::RO_ACCESS)]).docs(
            "2.0.0",
            LOG,
            "Returns the index of a member in a sorted set ordered by descending scores.",
        ),
        Command::read("zscan", -3, read::zscan).cost(reads::SCAN_OF_KEY).keys(&[key(1, KeyFlags::RO_ACCESS)]).docs(
            "2.8.0",
            "O(1) for every call. O(N) for a complete iteration, including enough command calls for the cursor to return back to 0. N is the number of elements inside the collection.",
            "Iterates over members and scores of a sorted set.",
        ),
        Command::read("zscore", 3, read::zscore).flags(&[FAST]).keys(&[key(1, KeyFlags::RO_ACCESS)]).docs(
            "1.2.0",
            "O(1)",
            "Returns the score of a member in a sorted set.",
        ),
        Command::read("zunion", -3, algebra::zunion).cost(CostKind::Measured(algebra::cost_of::<{ Algebra::UNION }, 1>)).flags(&[MOVABLE]).keys(&[numbered_keys(1, KeyFlags::RO_ACCESS)]).docs(
            "6.2.0",
            UNION,
            "Returns the union of multiple sorted sets.",
        ),
        Command::write("zunionstore", -4, algebra::zunionstore).cost(CostKind::Stores(algebra::cost_of::<{ Algebra::UNION }, 2>))
            .flags(&[DENYOOM, MOVABLE])
            .keys(&[key(1, KeyFlags::OW_UPDATE), numbered_keys(2, KeyFlags::RO_ACCESS)])
            .docs("2.0.0", UNION, "Stores the union of multiple sorted sets in a key."),
    ],
};

/// The score as it is stored: zero has one form only.
fn stored(score: f64) -> f64 {
    if score == 0.0 { 0.0 } else { score }
}

/// Writes members, or members with scores: pairs in RESP3, in RESP2 one flat array.
fn write_entries<'a>(
    entries: impl ExactSizeIterator<Item = ScoredMember<'a>>,
    with_scores: bool,
    reply: &mut Reply<'_>,
) {
    if !with_scores {
        reply.array(entries.len());
        reply.each(entries, |reply, entry| reply.bulk(entry.member));
    } else if reply.resp() == Resp::V3 {
        write_pairs(entries, reply);
    } else {
        reply.array(2 * entries.len());
        reply.each(entries, |reply, entry| write_entry(entry, reply));
    }
}

/// Writes an array of arrays of member and score.
fn write_pairs<'a>(entries: impl ExactSizeIterator<Item = ScoredMember<'a>>, reply: &mut Reply<'_>) {
    reply.array(entries.len());
    reply.each(entries, |reply, entry| {
        reply.array(2);
        write_entry(entry, reply);
    });
}

fn write_entry(entry: ScoredMember<'_>, reply: &mut Reply<'_>) {
    reply.bulk(entry.member);
    reply.double(entry.score);
}
