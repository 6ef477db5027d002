//! Lists: <https://redis.io/docs/latest/commands/?group=list>.
//!
//! - Indexes count from 0 at the left, from -1 at the right.
//! - A list that lost its last element loses its key.

mod edit;
mod pop;
mod push;
mod read;
mod transfer;

use std::ops::Range;

use super::args::{is, takes_none};
use super::cost::{self, CostKind, reads, weights};
use super::multi_pop::MultiPop;
use super::spec::{Categories, Flags, KeyFlags, key, keys, numbered_keys};
use super::{Blocking, Command, CommandError, Family};
use crate::keyspace::value::ValueType;

const DENYOOM: Flags = Flags::DENYOOM;
const FAST: Flags = Flags::FAST;

const POPPING: Blocking = Blocking::last_argument(ValueType::List, |_| Ok(()));
const MOVING: Blocking = Blocking::last_argument(ValueType::List, transfer::check_blmove).of_one_element();
const MOVING_RIGHT_TO_LEFT: Blocking = POPPING.of_one_element();
const MULTI_POPPING: Blocking =
    Blocking::first_argument(ValueType::List, |args| MultiPop::check_blocking(args, End::parse));

pub const FAMILY: Family = Family {
    group: "list",
    categories: Categories::LIST,
    commands: &[
        Command::write("blmove", 6, transfer::blmove).cost(CostKind::MovesElements)
            .flags(&[DENYOOM])
            .keys(&[key(1, KeyFlags::RW_ACCESS_DELETE), key(2, KeyFlags::RW_INSERT)])
            .blocking(MOVING)
            .docs(
                "6.2.0",
                "O(1)",
                "Pops an element from a list, pushes it to another list and returns it. Blocks until an element is available otherwise. Deletes the list if the last element was moved.",
            ),
        Command::write("blmpop", -5, pop::blmpop)
            .keys(&[numbered_keys(2, KeyFlags::RW_ACCESS_DELETE)])
            .flags(&[Flags::MOVABLEKEYS])
            .blocking(MULTI_POPPING)
            .docs(
                "7.0.0",
                "O(N+M) where N is the number of provided keys and M is the number of elements returned.",
                "Pops the first element from one of multiple lists. Blocks until an element is available otherwise. Deletes the list if the last element was popped.",
            ),
        Command::write("blpop", -3, pop::blpop)
            .keys(&[keys(1, -2, 1, KeyFlags::RW_ACCESS_DELETE)])
            .blocking(POPPING)
            .docs(
                "2.0.0",
                "O(N) where N is the number of provided keys.",
                "Removes and returns the first element in a list. Blocks until an element is available otherwise. Deletes the list if the last element was popped.",
            ),
        Command::write("brpop", -3, pop::brpop)
            .keys(&[keys(1, -2, 1, KeyFlags::RW_ACCESS_DELETE)])
            .blocking(POPPING)
            .docs(
                "2.0.0",
                "O(N) where N is the number of provided keys.",
                "Removes and returns the last element in a list. Blocks until an element is available otherwise. Deletes the list if the last element was popped.",
            ),
        Command::write("brpoplpush", 4, transfer::brpoplpush).cost(CostKind::MovesElements)
            .flags(&[DENYOOM])
            .keys(&[key(1, KeyFlags::RW_ACCESS_DELETE), key(2, KeyFlags::RW_INSERT)])
            .blocking(MOVING_RIGHT_TO_LEFT)
            .docs(
                "2.2.0",
                "O(1)",
                "Pops an element from a list, pushes it to another list and returns it. Block until an element is available otherwise. Deletes the list if the last element was popped.",
            ),
        Command::read("lindex", 3, read::lindex).weighs(weights::finds_place).keys(&[key(1, KeyFlags::RO_ACCESS)]).docs(
            "1.0.0",
            "O(N) where N is the number of chunks to walk to the element at index. Asking for the first or the last element of the list is O(1).",
            "Returns an element from a list by its index.",
        ),
        Command::write("linsert", 5, edit::linsert).cost(CostKind::Measured(cost::search)).flags(&[DENYOOM]).keys(&[key(1, KeyFlags::RW_INSERT)]).docs(
            "2.2.0",
            "O(N) where N is the number of elements to traverse before seeing the pivot.",
            "Inserts an element before or after another element in a list.",
        ),
        Command::read("llen", 2, read::llen)
            .flags(&[FAST])
            .keys(&[key(1, KeyFlags::RO)])
            .docs("1.0.0", "O(1)", "Returns the length of a list."),
        Command::write("lmove", 5, transfer::lmove).cost(CostKind::MovesElements)
            .flags(&[DENYOOM])
            .keys(&[key(1, KeyFlags::RW_ACCESS_DELETE), key(2, KeyFlags::RW_INSERT)])
            .docs(
                "6.2.0",
                "O(1)",
                "Returns an element after popping it from one list and pushing it to another. Deletes the list if the last element was moved.",
            ),
        Command::write("lmpop", -4, pop::lmpop)
            .weighs(weights::pops_from_first)
            .keys(&[numbered_keys(1, KeyFlags::RW_ACCESS_DELETE)])
            .flags(&[Flags::MOVABLEKEYS])
            .docs(
                "7.0.0",
                "O(N+M) where N is the number of provided keys and M is the number of elements returned.",
                "Returns multiple elements from a list after removing them. Deletes the list if the last element was popped.",
            ),
        Command::write("lpop", -2, pop::lpop).weighs(weights::pops).reads_when(takes_none, pop::pop_none).flags(&[FAST]).keys(&[key(1, KeyFlags::RW_ACCESS_DELETE)]).docs(
            "1.0.0",
            "O(N) where N is the number of elements returned",
            "Returns and removes one or more elements from the beginning of a list. Deletes the list if the last element was popped.",
        ),
        Command::read("lpos", -3, read::lpos).cost(reads::LIST_SEARCH).keys(&[key(1, KeyFlags::RO_ACCESS)]).docs(
            "6.0.6",
            "O(N) where N is the number of elements in the list, for the average case. When searching for elements near the head or the tail of the list, or when the MAXLEN option is provided, the command may run in constant time.",
            "Returns the index of matching elements in a list.",
        ),
        Command::write("lpush", -3, push::lpush).flags(&[DENYOOM, FAST]).keys(&[key(1, KeyFlags::RW_INSERT)]).docs(
            "1.0.0",
            "O(1) for each element added, so O(N) to add N elements when the command is called with multiple arguments.",
            "Prepends one or more elements to a list. Creates the key if it doesn't exist.",
        ),
        Command::write("lpushx", -3, push::lpushx).flags(&[DENYOOM, FAST]).keys(&[key(1, KeyFlags::RW_INSERT)]).docs(
            "2.2.0",
            "O(1) for each element added, so O(N) to add N elements when the command is called with multiple arguments.",
            "Prepends one or more elements to a list only when the list exists.",
        ),
        Command::read("lrange", 4, read::lrange).cost(reads::LIST_RANGE).weighs(weights::finds_place).keys(&[key(1, KeyFlags::RO_ACCESS)]).docs(
            "1.0.0",
            "O(S+N) where S is the number of chunks between the nearer end and the start offset; and N is the number of elements in the specified range.",
            "Returns a range of elements from a list.",
        ),
        Command::write("lrem", 4, edit::lrem).cost(CostKind::Measured(cost::search)).keys(&[key(1, KeyFlags::RW_DELETE)]).docs(
            "1.0.0",
            "O(N) where N is the length of the list.",
            "Removes elements from a list. Deletes the list if the last element was removed.",
        ),
        Command::write("lset", 4, edit::lset).weighs(weights::finds_place).flags(&[DENYOOM]).keys(&[key(1, KeyFlags::RW_UPDATE)]).docs(
            "1.0.0",
            "O(N) where N is the number of chunks of the list. Setting either the first or the last element of the list is O(1).",
            "Sets the value of an element in a list by its index.",
        ),
        Command::write("ltrim", 4, edit::ltrim).weighs(weights::trims_list).keys(&[key(1, KeyFlags::RW_DELETE)]).docs(
            "1.0.0",
            "O(N) where N is the number of elements to be removed by the operation.",
            "Removes elements from both ends a list. Deletes the list if all elements were trimmed.",
        ),
        Command::write("rpop", -2, pop::rpop).weighs(weights::pops).reads_when(takes_none, pop::pop_none).flags(&[FAST]).keys(&[key(1, KeyFlags::RW_ACCESS_DELETE)]).docs(
            "1.0.0",
            "O(N) where N is the number of elements returned",
            "Returns and removes one or more elements from the end of a list. Deletes the list if the last element was popped.",
        ),
        Command::write("rpoplpush", 3, transfer::rpoplpush).cost(CostKind::MovesElements)
            .flags(&[DENYOOM])
            .keys(&[key(1, KeyFlags::RW_ACCESS_DELETE), key(2, KeyFlags::RW_INSERT)])
            .docs(
                "1.2.0",
                "O(1)",
                "Returns the last element of a list after removing and pushing it to another list. Deletes the list if the last element was popped.",
            ),
        Command::write("rpush", -3, push::rpush).flags(&[DENYOOM, FAST]).keys(&[key(1, KeyFlags::RW_INSERT)]).docs(
            "1.0.0",
            "O(1) for each element added, so O(N) to add N elements when the command is called with multiple arguments.",
            "Appends one or more elements to a list. Creates the key if it doesn't exist.",
        ),
        Command::write("rpushx", -3, push::rpushx).flags(&[DENYOOM, FAST]).keys(&[key(1, KeyFlags::RW_INSERT)]).docs(
            "2.2.0",
            "O(1) for each element added, so O(N) to add N elements when the command is called with multiple arguments.",
            "Appends an element to a list only when the list exists.",
        ),
    ],
};

/// An end of a list.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    Left,
    Right,
}

impl End {
    /// Reads LEFT or RIGHT.
    fn parse(arg: &[u8]) -> Result<End, CommandError> {
        match arg {
            _ if is(arg, "LEFT") => Ok(End::Left),
            _ if is(arg, "RIGHT") => Ok(End::Right),
            _ => Err(CommandError::Syntax),
        }
    }

    /// The event of an element that was taken here.
    fn popped(self) -> &'static str {
        match self {
            End::Left => "lpop",
            End::Right => "rpop",
        }
    }

    /// The event of an element that was put in here.
    fn pushed(self) -> &'static str {
        match self {
            End::Left => "lpush",
            End::Right => "rpush",
        }
    }

    /// The places of up to `count` elements at this end, among `len`.
    fn outermost(self, count: usize, len: usize) -> Range<usize> {
        match self {
            End::Left => 0..count.min(len),
            End::Right => len.saturating_sub(count)..len,
        }
    }
}
