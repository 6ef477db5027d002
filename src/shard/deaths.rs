//! Deaths that a read would be the first to tell of.
//!
//! - A key is dead to a reader of the primary once its clock has reached the deadline. If no entry's stamp has, another node may
//!   lead next whose clock is behind, and show the key alive again: what one client was told would be untrue for the next.
//! - So such a read has an entry logged first, which frees the key; the read is answered behind it, by its stamp, and stamps
//!   never go back. Any entry would do: its stamp settles every death before it, whichever keys it frees.
//! - A read that walks is not run to see which dead keys it meets: if anything in its database may have died by now, and no stamp
//!   has got there, it counts as met.
//!
//! Caveat: while writes are paused, or the disk is full, nothing is logged and reads go by the clock alone. This process takes no such
//! death back, though its calendar may be set back: later reads and entries have no earlier time ([`note_told`]). The next primary, or
//! the next process, does not know of it.
//!
//! [`note_told`]: super::port::ShardHandle::note_told

use std::collections::BTreeSet;

use super::expiry::NAMES_BYTES;
use super::machine::Machine;
use super::plan::{Act, Plan};
use crate::command::spec::Flags;
use crate::command::{Args, Command, ReadContext};
use crate::keyspace::slot::RANGES;
use crate::keyspace::view::{LockSet, Ranges};
use crate::planted::{Bug, planted};
use crate::propose::batch::Step;
use crate::propose::entry::{self, EntryArgs, EntryError, EntryReader};

/// The command that frees the dead among the keys that follow it.
pub const FREE_EXPIRED: &[u8] = b"_freeexpired";

/// Lets a plan that logs nothing begin with what settles the deaths that its reads would tell of.
pub fn settle(machine: &Machine, plan: &mut Plan) -> Result<(), EntryError> {
    if planted!(Bug::TellUnsettledDeaths, true, plan.logged > 0) {
        return Ok(());
    }
    for (db, key) in unsettled(machine, plan)?.keys {
        let mut encoded = Vec::new();
        entry::write_single(&mut encoded, db, &[FREE_EXPIRED, &key]);
        plan.begin_with(&encoded);
    }
    Ok(())
}

/// Databases and keys whose deaths are not settled, each once.
#[derive(Default)]
struct Unsettled {
    keys: BTreeSet<(usize, Vec<u8>)>,
    bytes: usize,
}

impl Unsettled {
    /// Notes a key. Of names that are too long together, the walk for the dead frees the rest; if there is no other, the entry
    /// names an empty key, for its stamp is enough.
    fn add(&mut self, db: usize, key: &[u8]) {
        let bytes = self.bytes + key.len();
        let key = match bytes <= NAMES_BYTES {
            true => key,
            false if self.keys.is_empty() => &[],
            false => return,
        };
        if self.keys.insert((db, key.to_vec())) {
            self.bytes += key.len();
        }
    }
}

/// Databases and keys, as named by the plan's reads.
fn unsettled(machine: &Machine, plan: &Plan) -> Result<Unsettled, EntryError> {
    let mut found = Unsettled::default();
    let mut look = |db, command: &Command, args: &Args<'_>| {
        // One that costs nothing but its arguments walks past no key: DBSIZE counts the dead, too.
        let walks = command.flags.contains(Flags::WHOLE_KEYSPACE) && command.cost.measure().is_some();
        if walks && may_have_unsettled(machine, plan, db) {
            found.add(db, &[]);
        }
        let keys = command.key_places(args).map(|place| args[place]);
        keys.filter(|key| is_unsettled(machine, plan, db, key)).for_each(|key| found.add(db, key));
    };
    for planned in &plan.acts {
        match &planned.act {
            Act::Read { command, encoded } => {
                let mut args = EntryArgs::new();
                let db = EntryReader::read_single(&plan.passengers[encoded.clone()], &mut args)?;
                look(db, command, &args);
            }
            Act::Transaction(steps) => {
                for step in steps {
                    let Step::Read { command, db, args } = step else { continue };
                    let args: Vec<&[u8]> = args.iter().map(|arg| &**arg).collect();
                    look(*db, command, &args);
                }
            }
            _ => {}
        }
    }
    Ok(found)
}

/// Whether a database may have a key, or a field of one, whose death is unsettled: no lock range says that all of its entries live.
fn may_have_unsettled(machine: &Machine, plan: &Plan, db: usize) -> bool {
    let (applier, now_ms) = (&machine.applier, plan.stamp.now_ms);
    let view = applier.keyspace().read(LockSet::ALL);
    applier.last_stamp_ms() < now_ms && (0..RANGES).any(|range| view.range(range).earliest_ms(db) <= now_ms)
}

fn is_unsettled(machine: &Machine, plan: &Plan, db: usize, key: &[u8]) -> bool {
    let applier = &machine.applier;
    let view = applier.keyspace().read(LockSet::of_key(key));
    let context = ReadContext::new(&view, db, plan.stamp.now_ms, 0).settled_until(applier.last_stamp_ms());
    context.look_for_deaths(key);
    context.met_unsettled().is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_settle_deaths_are_few_bytes_and_each_is_there_once() {
        let mut found = Unsettled::default();
        let long = vec![b'n'; NAMES_BYTES + 1];
        found.add(1, &long);
        assert_eq!(found.keys.first(), Some(&(1, Vec::new())));
        let half = vec![b'n'; NAMES_BYTES / 2];
        (0..1000).for_each(|n| found.add(n % 8, &half));
        found.add(0, &long);
        let bytes: usize = found.keys.iter().map(|(_, key)| key.len()).sum();
        assert!(bytes <= NAMES_BYTES && found.keys.len() == 3);
    }
}
