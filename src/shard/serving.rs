//! Which waiting clients an entry carries along.
//!
//! - Behind a write ride those who wait for its keys: keys in the order in which the write names them, clients in the
//!   order in which they came, no more of them than the write can bring elements. Behind a move that is served so ride
//!   those who wait for its destination.
//! - What became ready otherwise (a rename, a stored sort, a client too many) is served at the head of the next entry, in
//!   the order in which its keys became ready.

use std::collections::{BTreeSet, VecDeque};

use super::machine::Machine;
use super::plan::{Addressee, Plan};
use super::waiters::{Ready, WaitKey, WaiterId};
use crate::apply::ApplyError;
use crate::command::context::Stamp;
use crate::command::table::Row;
use crate::propose::entry::{EntryArgs, EntryError, EntryReader, Item};

/// Clients whose commands one write or one ready key carries into an entry at most.
const MAX_SERVED: usize = 128;

/// Lets the commands of those whom a write may serve ride in its entry, right behind it.
pub fn plan_behind(machine: &Machine, plan: &mut Plan, encoded: &[u8]) -> Result<(), ApplyError> {
    if machine.waiters.is_empty() {
        return Ok(());
    }
    let mut served = VecDeque::new();
    let mut reader = EntryReader::items(encoded);
    let count = if let Some(Item::Transaction(count)) = reader.next_item()? { count } else { 1 };
    let mut args = EntryArgs::new();
    for _ in 0..count {
        let db = reader.command(&mut args)?;
        let Some(row) = crate::command::lookup(args[0]) else { continue };
        let elements = args.len().saturating_sub(2).max(1);
        for key in distinct_keys(&row, &args) {
            serve_by_key(machine, plan, &(db, key.to_vec()), elements, &mut served)?;
        }
    }
    while let Some(id) = served.pop_front() {
        for key in machine.waiters.get(id).iter().flat_map(|waiter| &waiter.feeds) {
            serve_by_key(machine, plan, key, 1, &mut served)?;
        }
    }
    Ok(())
}

/// The keys of a command in their order, each once.
fn distinct_keys<'a>(row: &Row, args: &EntryArgs<'a>) -> Vec<&'a [u8]> {
    let mut seen = BTreeSet::new();
    row.command.key_places(args).map(|place| args[place]).filter(|key| seen.insert(*key)).collect()
}

/// Adds the next `limit` who wait for a key.
fn serve_by_key(
    machine: &Machine,
    plan: &mut Plan,
    key: &WaitKey,
    limit: usize,
    served: &mut VecDeque<WaiterId>,
) -> Result<(), EntryError> {
    let waiting = machine.waiters.waiting_for(key).map(|(id, _)| id).filter(|id| !plan.serves(*id));
    let next: Vec<WaiterId> = waiting.take(limit.min(MAX_SERVED)).collect();
    for id in next {
        // The others' turn comes once the key is found to have changed.
        if !plan.serve(&machine.waiters, id, Some(key))? {
            break;
        }
        served.push_back(id);
    }
    Ok(())
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
    let Some((value_type, elements)) = machine.ready_elements(key, stamp) else { return Ok(true) };
    let waiting = machine.waiters.waiting_for(key);
    let of_type = waiting.filter(|(_, waiter)| waiter.blocking.waits_for == value_type);
    let next: Vec<WaiterId> = of_type.map(|(id, _)| id).take(elements.min(MAX_SERVED)).collect();
    for id in next {
        if !plan.serve(&machine.waiters, id, Some(key))? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Whether a connection's waiter can be ended while the plan is made: it is there, and the plan does not serve it.
pub fn may_end_now(machine: &Machine, plan: &Plan, to: Addressee) -> bool {
    machine.waiters.of_connection(to.worker, to.connection).is_some_and(|id| !plan.serves(id))
}
