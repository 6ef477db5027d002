//! Deaths that a read would be the first to tell of.
//!
//! - A key is dead to a reader of the primary once its clock has reached the deadline. If no entry's stamp has, another node may
//!   lead next whose clock is behind, and show the key alive again: what one client was told would be untrue for the next.
//! - So such a read has an entry logged first, which frees the key; the read is answered behind it, by its stamp, and stamps
//!   never go back.
//!
//! Caveat: while writes are paused, or the disk is full, nothing is logged and reads go by the clock alone.

use super::machine::Machine;
use super::plan::{Act, Plan};
use crate::apply::read_in;
use crate::command::spec::Flags;
use crate::command::{Args, Command, ReadContext};
use crate::keyspace::view::LockSet;
use crate::planted::{self, Bug};
use crate::propose::batch::Step;
use crate::propose::entry::{self, EntryArgs, EntryError, EntryReader};
use crate::protocol::reply::{Reply, Resp};

/// The command that frees the dead among the keys that follow it.
pub const FREE_EXPIRED: &[u8] = b"_freeexpired";

/// Lets a plan that logs nothing begin with what settles the deaths that its reads would tell of.
pub fn settle(machine: &Machine, plan: &mut Plan) -> Result<(), EntryError> {
    if plan.logged > 0 || planted::is(Bug::TellUnsettledDeaths) {
        return Ok(());
    }
    for (db, key) in unsettled(machine, plan)? {
        let mut encoded = Vec::new();
        entry::write_single(&mut encoded, db, &[FREE_EXPIRED, &key]);
        plan.begin_with(&encoded);
    }
    Ok(())
}

/// Databases and keys, as named by the plan's reads.
fn unsettled(machine: &Machine, plan: &Plan) -> Result<Vec<(usize, Vec<u8>)>, EntryError> {
    let mut found = Vec::new();
    let mut look = |db, command: &Command, args: &Args<'_>| {
        if command.flags.contains(Flags::WHOLE_KEYSPACE) {
            found.extend(met_by_walk(machine, plan, db, command, args));
        }
        let keys = command.key_places(args).map(|place| args[place]);
        found.extend(keys.filter(|key| is_unsettled(machine, plan, db, key)).map(|key| (db, key.to_vec())));
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

/// Database and key of an unsettled death that a command meets which names no keys (SCAN, RANDOMKEY).
fn met_by_walk(
    machine: &Machine,
    plan: &Plan,
    db: usize,
    command: &Command,
    args: &Args<'_>,
) -> Option<(usize, Vec<u8>)> {
    let applier = &machine.applier;
    let view = applier.keyspace().read(command.lock_set(args));
    let context = ReadContext::new(&view, db, plan.stamp.now_ms, plan.stamp.seed);
    let context = context.settled_until(applier.last_stamp_ms());
    // Past the bound the client is told nothing.
    let mut told = Vec::new();
    read_in(&context, command, args, &mut Reply::bounded(&mut told, Resp::V2, machine.reply_limit()));
    context.met_unsettled().map(|(db, key)| (db, key.to_vec()))
}

fn is_unsettled(machine: &Machine, plan: &Plan, db: usize, key: &[u8]) -> bool {
    let applier = &machine.applier;
    let view = applier.keyspace().read(LockSet::of_key(key));
    let context = ReadContext::new(&view, db, plan.stamp.now_ms, 0).settled_until(applier.last_stamp_ms());
    context.look_for_deaths(key);
    context.met_unsettled().is_some()
}
