//! Sets: <https://redis.io/docs/latest/commands/?group=set>.
//!
//! - A set that lost its last member loses its key.
//! - Random picks go by place in the set's dense order, which replay and restore reproduce.

mod algebra;
mod members;
mod random;

use super::args::takes_none;
use super::cost::{Algebra, CostKind, reads, weights};
use super::spec::{Categories, Flags, KeyFlags, key, keys, numbered_keys};
use super::{Command, Family};

const DENYOOM: Flags = Flags::DENYOOM;
const FAST: Flags = Flags::FAST;

pub const FAMILY: Family = Family {
    group: "set",
    categories: Categories::SET,
    commands: &[
        Command::write("sadd", -3, members::sadd).flags(&[DENYOOM, FAST]).keys(&[key(1, KeyFlags::RW_INSERT)]).docs(
            "1.0.0",
            "O(1) for each element added, so O(N) to add N elements when the command is called with multiple arguments.",
            "Adds one or more members to a set. Creates the key if it doesn't exist.",
        ),
        Command::read("scard", 2, members::scard)
            .flags(&[FAST])
            .keys(&[key(1, KeyFlags::RO)])
            .docs("1.0.0", "O(1)", "Returns the number of members in a set."),
        Command::read("sdiff", -2, algebra::sdiff).cost(CostKind::Measured(algebra::cost_of::<{ Algebra::DIFF }>)).keys(&[keys(1, -1, 1, KeyFlags::RO_ACCESS)]).docs(
            "1.0.0",
            "O(N*K) worst case where N is the cardinality of the first set and K is the number of sets.",
            "Returns the difference of multiple sets.",
        ),
        Command::write("sdiffstore", -3, algebra::sdiffstore).cost(CostKind::Stores(algebra::cost_of_store::<{ Algebra::DIFF }>))
            .flags(&[DENYOOM])
            .keys(&[key(1, KeyFlags::OW_UPDATE), keys(2, -1, 1, KeyFlags::RO_ACCESS)])
            .docs(
                "1.0.0",
                "O(N*K) worst case where N is the cardinality of the first set and K is the number of sets.",
                "Stores the difference of multiple sets in a key.",
            ),
        Command::read("sinter", -2, algebra::sinter).cost(CostKind::Measured(algebra::cost_of::<{ Algebra::INTER }>)).keys(&[keys(1, -1, 1, KeyFlags::RO_ACCESS)]).docs(
            "1.0.0",
            "O(N*M) worst case where N is the cardinality of the smallest set and M is the number of sets.",
            "Returns the intersect of multiple sets.",
        ),
        Command::read("sintercard", -3, algebra::sintercard).cost(CostKind::Measured(algebra::cost_of_card))
            .flags(&[Flags::MOVABLEKEYS])
            .keys(&[numbered_keys(1, KeyFlags::RO_ACCESS)])
            .docs(
                "7.0.0",
                "O(N*M) worst case where N is the cardinality of the smallest set and M is the number of sets.",
                "Returns the number of members of the intersect of multiple sets.",
            ),
        Command::write("sinterstore", -3, algebra::sinterstore).cost(CostKind::Stores(algebra::cost_of_store::<{ Algebra::INTER }>))
            .flags(&[DENYOOM])
            .keys(&[key(1, KeyFlags::OW_UPDATE), keys(2, -1, 1, KeyFlags::RO_ACCESS)])
            .docs(
                "1.0.0",
                "O(N*M) worst case where N is the cardinality of the smallest set and M is the number of sets.",
                "Stores the intersect of multiple sets in a key.",
            ),
        Command::read("sismember", 3, members::sismember)
            .flags(&[FAST])
            .keys(&[key(1, KeyFlags::RO)])
            .docs("1.0.0", "O(1)", "Determines whether a member belongs to a set."),
        Command::read("smembers", 2, members::smembers).cost(reads::WHOLE_VALUE).keys(&[key(1, KeyFlags::RO_ACCESS)]).docs(
            "1.0.0",
            "O(N) where N is the set cardinality.",
            "Returns all members of a set.",
        ),
        Command::read("smismember", -3, members::smismember).flags(&[FAST]).keys(&[key(1, KeyFlags::RO_ACCESS)]).docs(
            "6.2.0",
            "O(N) where N is the number of elements being checked for membership",
            "Determines whether multiple members belong to a set.",
        ),
        Command::write("smove", 4, members::smove)
            .cost(CostKind::MovesElements)
            .reads_when(|args| args[1] == args[2], members::move_nowhere)
            .flags(&[FAST])
            .keys(&[key(1, KeyFlags::RW_ACCESS_DELETE), key(2, KeyFlags::RW_INSERT)])
            .docs("1.0.0", "O(1)", "Moves a member from one set to another."),
        Command::write("spop", -2, random::spop).weighs(weights::pops).reads_when(takes_none, random::pop_none).flags(&[FAST]).keys(&[key(1, KeyFlags::RW_ACCESS_DELETE)]).docs(
            "1.0.0",
            "Without the count argument O(1), otherwise O(N) where N is the value of the passed count.",
            "Returns one or more random members from a set after removing them. Deletes the set if the last member was popped.",
        ),
        Command::read("srandmember", -2, random::srandmember).cost(reads::PICKS).keys(&[key(1, KeyFlags::RO_ACCESS)]).docs(
            "1.0.0",
            "Without the count argument O(1), otherwise O(N) where N is the absolute value of the passed count.",
            "Get one or multiple random members from a set",
        ),
        Command::write("srem", -3, members::srem).flags(&[FAST]).keys(&[key(1, KeyFlags::RW_DELETE)]).docs(
            "1.0.0",
            "O(N) where N is the number of members to be removed.",
            "Removes one or more members from a set. Deletes the set if the last member was removed.",
        ),
        Command::read("sscan", -3, members::sscan).cost(reads::SCAN_OF_KEY).keys(&[key(1, KeyFlags::RO_ACCESS)]).docs(
            "2.8.0",
            "O(1) for every call. O(N) for a complete iteration, including enough command calls for the cursor to return back to 0. N is the number of elements inside the collection.",
            "Iterates over members of a set.",
        ),
        Command::read("sunion", -2, algebra::sunion).cost(CostKind::Measured(algebra::cost_of::<{ Algebra::UNION }>)).keys(&[keys(1, -1, 1, KeyFlags::RO_ACCESS)]).docs(
            "1.0.0",
            "O(N) where N is the total number of elements in all given sets.",
            "Returns the union of multiple sets.",
        ),
        Command::write("sunionstore", -3, algebra::sunionstore).cost(CostKind::Stores(algebra::cost_of_store::<{ Algebra::UNION }>))
            .flags(&[DENYOOM])
            .keys(&[key(1, KeyFlags::OW_UPDATE), keys(2, -1, 1, KeyFlags::RO_ACCESS)])
            .docs(
                "1.0.0",
                "O(N) where N is the total number of elements in all given sets.",
                "Stores the union of multiple sets in a key.",
            ),
    ],
};
