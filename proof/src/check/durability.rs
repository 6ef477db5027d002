//! Every acknowledged write is there at the end.
//!
//! - The final reads, after all faults are healed, show the last state of every key. A write counts as lost if it was acknowledged,
//!   nothing that could have come after it can have overwritten or removed it, and it is not there.
//! - Losses are counted and summed up by kind, with the first ones as examples, for a database that loses writes
//!   loses many.
//! - The count is a lower bound: a register shows only its last value, so that only writes after the one it shows are missed; of a
//!   counter only the total is known, so that losses are the fewest that explain it.
//! - Proves also: no addition to a counter was applied twice.
//! - A transaction counts as one write for each value that it appends.
//! - Can't see: keys that expire.

mod keys;
mod losses;

use std::collections::BTreeMap;

use super::judge::Judge;
use super::objects::{Keys, Objects, by_primary};
use super::{Options, Report, Tally, describe};
use crate::history::{History, Operation};
use losses::Losses;

/// Lost writes that are shown as examples.
const SHOWN: usize = 3;
/// Lost writes whose ids stand in the finding.
const NAMED: usize = 1_000;

pub fn check(history: &History, objects: &Objects, options: &Options, report: &mut Report) {
    let mut all = Vec::new();
    let by_transactions = keys::of_transactions(&objects.transactions);
    let kinds: [(&str, &Keys, keys::Judgement); 6] = [
        ("register", &objects.registers, keys::register),
        ("counter", &objects.counters, keys::counter),
        ("append", &objects.lists, keys::list),
        ("set", &objects.sets, keys::set),
        ("bank", &objects.banks, keys::ledger),
        ("transactions", &by_transactions, keys::transaction_list),
    ];
    for (kind, keys, judgement) in kinds.into_iter().filter(|(_, keys, _)| !keys.is_empty()) {
        all.push((kind, losses_of(keys, judgement)));
    }
    let tally: BTreeMap<String, Tally> =
        all.iter().map(|(kind, losses)| ((*kind).to_owned(), losses.tally)).collect();
    let mut judge = Judge::new("durability", options, report);
    let looked_at_the_end = history.operations.iter().any(|operation| operation.is_final);
    for (kind, losses) in &all {
        judge.object(losses.tally.acknowledged as usize);
        accuse(kind, losses, &mut judge);
        if looked_at_the_end && let Some(key) = losses.unread.first() {
            let count = losses.unread.len();
            judge.undecided(format!(
                "{count} keys have no final read that was answered, the first of them {key}"
            ));
        }
    }
    if !looked_at_the_end && !all.is_empty() {
        judge.undecided("nothing was read at the end".into());
    }
    judge.finish();
    report.durability = tally;
}

fn losses_of<'a>(keys: &Keys<'a>, judgement: keys::Judgement) -> Losses<'a> {
    let mut losses = Losses::default();
    for (key, operations) in keys {
        let last = operations.iter().copied().filter(|read| is_last_look(read));
        let known = judgement(key, operations, &last.collect::<Vec<_>>(), &mut losses);
        let was_written = operations.iter().any(|one| one.is_acknowledged() && !one.action.is_read());
        if !known && was_written {
            losses.unread.push(key);
        }
    }
    losses
}

fn is_last_look(operation: &Operation) -> bool {
    operation.is_final && operation.is_acknowledged() && by_primary(operation)
}

fn accuse(kind: &str, losses: &Losses, judge: &mut Judge) {
    let Tally { acknowledged, lost } = losses.tally;
    if lost > 0 {
        let mut examples = losses.lost.clone();
        examples.sort_by_key(|write| write.id);
        examples.dedup_by_key(|write| write.id);
        let ids = examples.iter().take(NAMED).map(|write| write.id).collect();
        judge.find("lost writes", ids, || {
            let shown: Vec<String> =
                examples.iter().take(SHOWN).map(|write| describe::operation(write)).collect();
            let first =
                if shown.is_empty() { String::new() } else { format!("; first {}", shown.join(", ")) };
            format!("{kind}: acknowledged {acknowledged}, lost {lost}{first}")
        });
    }
    for (key, read, sum) in &losses.excess {
        judge.find("applied twice", vec![read.id], || {
            format!(
                "all additions to {key} that can have happened make {sum}, but {}",
                describe::operation(read)
            )
        });
    }
}

#[cfg(test)]
mod tests;
