//! Which waiting clients an entry carries along.
//!
//! - Behind a write ride those who wait for its keys, in whichever database: keys in the order in which the write names them, clients
//!   in the order in which they came, no more of each type of key than its key may have elements then. Behind a move that is served
//!   so ride those who wait for its destination; behind SWAPDB those who wait for keys of the two databases.
//! - What became ready otherwise (a client too many) is served at the head of the next entry, in the order in which its keys became
//!   ready. A plan that leaves such clients takes nothing more: another client's command would come before theirs.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::machine::Machine;
use super::plan::{Addressee, Plan};
use super::waiters::{Ready, StreamsAwaited, WaitKey, Waiter, WaiterId};
use crate::apply::ApplyError;
use crate::command::context::Stamp;
use crate::command::cost::Size;
use crate::command::families::Row;
use crate::command::spec::Categories;
use crate::command::{Args, Command, Elsewhere, lookup_request};
use crate::keyspace::value::ValueType;
use crate::propose::entry::{EntryArgs, EntryError, EntryReader, Item};

/// Clients whose commands one write or one ready key carries into an entry at most.
const MAX_SERVED: usize = 128;

/// The same for all keys of one write.
const MAX_SERVED_BEHIND: usize = 1 << 12;

/// Lets the commands of those whom a write may serve ride in its entry, right behind it.
pub fn plan_behind(machine: &Machine, plan: &mut Plan, encoded: &[u8]) -> Result<(), ApplyError> {
    if machine.waiters.is_empty() {
        return Ok(());
    }
    let mut served = plan_written(machine, plan, encoded)?;
    while let Some(id) = served.pop_front() {
        if let Some(waiter) = machine.waiters.get(id) {
            for key in &waiter.feeds {
                serve_by_key(machine, plan, key, (waiter.blocking.waits_for, 1), &mut served)?;
            }
        }
    }
    Ok(())
}

/// Adds those who wait for the keys of an item's commands; returns them.
fn plan_written(
    machine: &Machine,
    plan: &mut Plan,
    encoded: &[u8],
) -> Result<VecDeque<WaiterId>, ApplyError> {
    let mut served = VecDeque::new();
    let mut reader = EntryReader::items(encoded);
    let count = if let Some(Item::Transaction(count)) = reader.next_item()? { count } else { 1 };
    let mut args = EntryArgs::new();
    for _ in 0..count {
        let db = reader.command(&mut args)?;
        let Some(row) = lookup_request(&args) else { continue };
        for key in written_keys(machine, row.command, db, &args) {
            if served.len() >= MAX_SERVED_BEHIND {
                plan.close();
                return Ok(served);
            }
            let elements = elements_at(machine, plan, row.command, &args, &key);
            for value_type in filled_types(&row) {
                serve_by_key(machine, plan, &key, (value_type, elements), &mut served)?;
            }
        }
    }
    Ok(served)
}

/// The keys that a command may fill and that somebody waits for, in its order, each once.
fn written_keys(machine: &Machine, command: &Command, db: usize, args: &Args<'_>) -> Vec<WaitKey> {
    let key_in = |db: usize, place: usize| (db, args[place].to_vec());
    let own = command.key_places(args).map(|place| key_in(db, place));
    let mut keys: Vec<WaitKey> = own.filter(|key| machine.waiters.wait_for(key)).collect();
    match command.elsewhere(args) {
        Some(Elsewhere::Put { db, key_at }) => keys.push(key_in(db, key_at)),
        Some(Elsewhere::Swapped(a, b)) => {
            keys.extend([a, b].into_iter().flat_map(|db| machine.waiters.keys_in(db)).cloned());
        }
        None => {}
    }
    let mut seen = BTreeSet::new();
    keys.retain(|key| machine.waiters.wait_for(key) && seen.insert(key.clone()));
    keys
}

/// The most elements that a planned command may leave a key with, if nothing was there: what its arguments bring, or what may come
/// from other keys.
fn elements_at(
    machine: &Machine,
    plan: &Plan,
    command: &Command,
    args: &Args<'_>,
    (db, key): &WaitKey,
) -> usize {
    if command.readies_readers {
        return 1;
    }
    if command.cost.measure().is_none() && !command.names_databases() {
        return args.len().saturating_sub(2).max(1);
    }
    let place = (plan.forecast.databases.place(*db), key.clone());
    let now = machine.ready_elements(&place, plan.stamp).map_or(0, |(_, elements)| elements);
    let most = plan.forecast.size(key, Size { elements: now as u64, bytes: 0 }).elements;
    usize::try_from(most).unwrap_or(usize::MAX)
}

/// The types of value that a command may make of a key, of those that clients wait for.
fn filled_types(row: &Row) -> impl Iterator<Item = ValueType> + use<> {
    let categories = row.family.categories;
    let types = [
        (Categories::LIST, ValueType::List),
        (Categories::SORTEDSET, ValueType::ZSet),
        (Categories::STREAM, ValueType::Stream),
    ];
    let readies_readers = row.command.readies_readers;
    let may_be = move |category| match category {
        Categories::STREAM => readies_readers || categories.contains(Categories::KEYSPACE),
        _ => categories.intersects(Categories::KEYSPACE.union(category)),
    };
    types.into_iter().filter(move |(category, _)| may_be(*category)).map(|(_, value_type)| value_type)
}

/// Adds the next who wait for a key of this type, as many as it may have elements.
fn serve_by_key(
    machine: &Machine,
    plan: &mut Plan,
    key: &WaitKey,
    (value_type, elements): (ValueType, usize),
    served: &mut VecDeque<WaiterId>,
) -> Result<(), EntryError> {
    let next: Vec<WaiterId> = match value_type {
        ValueType::Stream => group_readers(machine, key, |id| !plan.serves(id), |_| elements),
        _ => {
            let next = waiting_of_type(machine, key, value_type).filter(|id| !plan.serves(*id));
            next.take(elements.min(MAX_SERVED + 1)).collect()
        }
    };
    served.extend(serve_all(machine, plan, key, next)?);
    Ok(())
}

fn waiting_of_type<'m>(
    machine: &'m Machine,
    key: &'m WaitKey,
    value_type: ValueType,
) -> impl Iterator<Item = WaiterId> + use<'m> {
    let waiting = machine.waiters.waiting_for(key);
    waiting.filter(move |(_, waiter)| waiter.blocking.waits_for == value_type).map(|(id, _)| id)
}

/// The next who wait for entries in XREADGROUP, of each group as many as `most` says of one of them.
fn group_readers(
    machine: &Machine,
    key: &WaitKey,
    may_be: impl Fn(WaiterId) -> bool,
    most: impl Fn(&Waiter) -> usize,
) -> Vec<WaiterId> {
    let mut left: BTreeMap<&[u8], usize> = BTreeMap::new();
    let mut next = Vec::new();
    for (id, waiter) in machine.waiters.waiting_for(key).filter(|(id, _)| may_be(*id)) {
        let Some(StreamsAwaited::Group(group)) = &waiter.streams else { continue };
        let left = left.entry(group).or_insert_with(|| most(waiter));
        // One that waits for other keys too may be ready by those.
        if *left > 0 || waiter.keys.len() > 1 && most(waiter) > 0 {
            *left = left.saturating_sub(1);
            next.push(id);
        }
        if next.len() > MAX_SERVED {
            break;
        }
    }
    next
}

/// Lets the commands of waiters ride; returns those that do. Where the others have to wait, so has all that comes after them.
fn serve_all(
    machine: &Machine,
    plan: &mut Plan,
    key: &WaitKey,
    waiters: Vec<WaiterId>,
) -> Result<Vec<WaiterId>, EntryError> {
    let mut served = Vec::with_capacity(waiters.len());
    for id in waiters {
        // The others' turn comes once the key is found to have changed.
        if served.len() == MAX_SERVED || !plan.serve(&machine.waiters, id, Some(key))? {
            plan.close();
            break;
        }
        served.push(id);
    }
    Ok(served)
}

/// Begins a plan with those whose keys were made ready by what did not carry their commands with it.
pub fn plan_ready(machine: &mut Machine, plan: &mut Plan, stamp: Stamp) -> Result<(), ApplyError> {
    for ready in machine.ready.take() {
        let has_room = match &ready {
            Ready::Key(key) => plan_ready_key(machine, plan, key, stamp)?,
            Ready::Waiter(id) => match machine.waiters.get(*id) {
                Some(waiter) if machine.is_ready(&waiter.encoded, waiter.command, stamp)? => {
                    plan.serve(&machine.waiters, *id, None)?
                }
                _ => true,
            },
        };
        if !has_room {
            machine.ready.add(ready);
        }
    }
    Ok(())
}

fn plan_ready_key(
    machine: &Machine,
    plan: &mut Plan,
    key: &WaitKey,
    stamp: Stamp,
) -> Result<bool, EntryError> {
    let readers = group_readers(machine, key, |_| true, |waiter| machine.group_reads_ready(waiter, stamp));
    let count = readers.len();
    // What they read, unlike what others take, does not make the key ready again.
    if serve_all(machine, plan, key, readers)?.len() < count {
        return Ok(false);
    }
    let Some((value_type, elements)) = machine.ready_elements(key, stamp) else { return Ok(true) };
    if value_type == ValueType::Stream {
        return Ok(true);
    }
    let next: Vec<WaiterId> =
        waiting_of_type(machine, key, value_type).take(elements.min(MAX_SERVED + 1)).collect();
    let count = next.len();
    let served = serve_all(machine, plan, key, next)?.len();
    Ok(served == count || served == MAX_SERVED)
}

/// Whether a connection's waiter can be ended while the plan is made: it is there, and the plan does not serve it.
pub fn may_end_now(machine: &Machine, plan: &Plan, to: Addressee) -> bool {
    machine.waiters.of_connection(to.worker, to.connection).is_some_and(|id| !plan.serves(id))
}
