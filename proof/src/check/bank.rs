//! Money is neither made nor lost, and no account changes but by transfers.
//!
//! - Each transfer enters its id into the bank's ledger, in the same transaction. So the ledger is the order of all transfers, and
//!   replaying it gives the balances after each one.
//! - Proves, for every read of the accounts, on the primary or a replica: the sum is that of the opening, and the balances
//!   are exactly those after as many transfers as the read has counted. So no half of a transfer is ever seen.
//! - Proves: each acknowledged transfer stands in the ledger where it was told, once, and left the balances that it was told.
//! - Proves, for transfers and for reads on the primary: the order is that of the clock, which together is strict
//!   serializability.
//! - Can't see anything behind the end of the longest ledger that was read. The final reads see to that.

use std::collections::HashMap;

use super::judge::Judge;
use super::model::list::repeated;
use super::objects::{Objects, by_primary, called, list_read, returned};
use super::timeline::{Placed, contradictions};
use super::{Options, Report, describe};
use crate::history::{Action, Operation, Value};

pub fn check(objects: &Objects, options: &Options, report: &mut Report) {
    let mut judge = Judge::new("bank", options, report);
    for (bank, operations) in &objects.banks {
        judge.object(operations.len());
        let Some(opening) = opening(operations) else {
            judge.undecided(format!("{bank} was never opened, as far as is known"));
            continue;
        };
        judge_sums(bank, &opening, operations, &mut judge);
        match Book::of(bank, &opening, operations, &mut judge) {
            Some(book) => book.judge(bank, operations, &mut judge),
            None => judge.undecided(format!("the ledger of {bank} could not be followed")),
        }
    }
    judge.finish();
}

struct Opening<'a> {
    operation: &'a Operation,
    accounts: u32,
    balance: i64,
}

fn opening<'a>(operations: &[&'a Operation]) -> Option<Opening<'a>> {
    operations.iter().filter(|operation| operation.is_acknowledged()).find_map(|&operation| {
        let Action::OpenBank { accounts, balance, .. } = operation.action else { return None };
        Some(Opening { operation, accounts, balance })
    })
}

/// The balances that an operation has read, and the moves that it has counted.
pub fn accounts_read(operation: &Operation) -> Option<(&[Option<i64>], i64)> {
    match operation.value() {
        Some(Value::Accounts { balances, moves }) => Some((balances, *moves)),
        _ => None,
    }
}

fn judge_sums(bank: &str, opening: &Opening, operations: &[&Operation], judge: &mut Judge) {
    let expected = opening.balance * i64::from(opening.accounts);
    for read in operations {
        let Some((balances, moves)) = accounts_read(read) else { continue };
        let unopened = moves == 0 && balances.iter().all(Option::is_none);
        let may_be_unopened = !by_primary(read) || called(read) <= returned(opening.operation);
        if unopened && may_be_unopened {
            continue;
        }
        let sum: Option<i64> = balances.iter().copied().sum();
        if sum != Some(expected) {
            let name = if sum.is_none() { "an account is missing" } else { "a sum that is wrong" };
            judge.find(name, vec![read.id], || {
                format!("the accounts of {bank} make {expected}, but not in {}", describe::operation(read))
            });
        }
    }
}

/// A ledger with what follows from it.
struct Book<'a> {
    read: &'a Operation,
    ids: &'a [u64],
    /// By id, the entry, counted from 1.
    entries: HashMap<u64, usize>,
    transfers: HashMap<u64, &'a Operation>,
    /// The balances after as many transfers.
    balances: Vec<Vec<i64>>,
}

impl<'a> Book<'a> {
    /// The longest ledger, if all that were read agree and its transfers are known.
    fn of(
        bank: &str,
        opening: &Opening,
        operations: &[&'a Operation],
        judge: &mut Judge,
    ) -> Option<Book<'a>> {
        let reads = operations.iter().copied().filter(|read| by_primary(read) && list_read(read).is_some());
        let read = reads.clone().max_by_key(|read| list_read(read).map_or(0, <[u64]>::len))?;
        let ids = list_read(read)?;
        if let Some(id) = repeated(ids) {
            judge.find("applied twice", vec![read.id], || {
                format!(
                    "transfer {id} is twice in the ledger of {bank}, as {} has read it",
                    describe::operation(read)
                )
            });
            return None;
        }
        for other in reads.filter(|other| list_read(other).is_some_and(|list| !ids.starts_with(list))) {
            judge.find("incompatible orders", vec![other.id, read.id], || {
                let (other, read) = (describe::operation(other), describe::operation(read));
                format!("the ledger of {bank} in {other} is no beginning of that in {read}")
            });
        }
        let transfers = transfers(operations);
        let balances = replay(opening, ids, &transfers)?;
        let entries = ids.iter().enumerate().map(|(place, id)| (*id, place + 1)).collect();
        Some(Book { read, ids, entries, transfers, balances })
    }

    fn judge(&self, bank: &str, operations: &[&'a Operation], judge: &mut Judge) {
        let mut placed: Vec<Placed> = Vec::new();
        for operation in operations.iter().filter(|operation| operation.is_acknowledged()) {
            let place = match operation.value() {
                Some(Value::Moved { .. }) => self.judge_transfer(bank, operation, judge),
                Some(Value::Accounts { .. }) => self.judge_read(bank, operation, judge),
                Some(Value::List(ids)) => Some(2 * ids.len() as u64 + 1),
                _ => None,
            };
            placed.extend(place.filter(|_| by_primary(operation)).map(|place| Placed { place, operation }));
        }
        placed.extend(self.doubted());
        for (over, begun) in contradictions(placed) {
            judge.find("an order against the clock", vec![over.id, begun.id], || {
                let (over, begun) = (describe::operation(over), describe::operation(begun));
                format!(
                    "by the ledger of {bank}, {over} comes behind {begun}, but it was over before that began"
                )
            });
        }
    }

    /// Transfers in doubt that turned up.
    fn doubted(&self) -> impl Iterator<Item = Placed<'a>> {
        self.ids.iter().enumerate().filter_map(|(entry, id)| {
            let &operation = self.transfers.get(id).filter(|operation| operation.is_in_doubt())?;
            Some(Placed { place: 2 * (entry as u64 + 1), operation })
        })
    }

    /// Holds a transfer against its entry. The result is its place in the order of all operations, if it has one.
    fn judge_transfer(&self, bank: &str, operation: &Operation, judge: &mut Judge) -> Option<u64> {
        let (
            Action::Transfer { id, from, to, .. },
            Some(&Value::Moved { from: left, to: got, entered, moves }),
        ) = (&operation.action, operation.value())
        else {
            return None;
        };
        let Some(&entry) = self.entries.get(id) else {
            if called(self.read) > returned(operation) {
                judge.find("a transfer that is lost", vec![operation.id, self.read.id], || {
                    format!("the ledger of {bank} has no entry of {}", describe::operation(operation))
                });
            }
            return None;
        };
        let balances = &self.balances[entry];
        let right = entered == entry as u64
            && moves == entry as i64
            && balances.get(*from as usize) == Some(&left)
            && balances.get(*to as usize) == Some(&got);
        if !right {
            judge.find("a transfer out of place", vec![operation.id, self.read.id], || {
                let transfer = describe::operation(operation);
                format!("{transfer} is entry {entry} of the ledger of {bank}, which leaves {balances:?}")
            });
        }
        Some(2 * entry as u64)
    }

    fn judge_read(&self, bank: &str, operation: &Operation, judge: &mut Judge) -> Option<u64> {
        let (seen, moves) = accounts_read(operation)?;
        let known = usize::try_from(moves).ok().and_then(|moves| self.balances.get(moves));
        let Some(expected) = known else {
            if called(self.read) > returned(operation) {
                judge.find("moves that are lost", vec![operation.id, self.read.id], || {
                    let read = describe::operation(operation);
                    format!("{read} has counted more moves than the ledger of {bank} has entries afterwards")
                });
            }
            return None;
        };
        let whole = seen.iter().flatten().eq(expected) && seen.len() == expected.len();
        if !whole && seen.iter().any(Option::is_some) {
            judge.find("balances of no moment", vec![operation.id, self.read.id], || {
                let read = describe::operation(operation);
                format!("after {moves} transfers the accounts of {bank} hold {expected:?}, but not in {read}")
            });
        }
        Some(2 * moves as u64 + 1)
    }
}

fn transfers<'a>(operations: &[&'a Operation]) -> HashMap<u64, &'a Operation> {
    let transfers = operations.iter().filter_map(|&operation| match operation.action {
        Action::Transfer { id, .. } => Some((id, operation)),
        _ => None,
    });
    transfers.collect()
}

/// The balances after each entry; `None` if there is an entry that is no transfer.
fn replay(opening: &Opening, ids: &[u64], transfers: &HashMap<u64, &Operation>) -> Option<Vec<Vec<i64>>> {
    let mut now = vec![opening.balance; opening.accounts as usize];
    let mut all = vec![now.clone()];
    for id in ids {
        let Action::Transfer { from, to, amount, .. } = transfers.get(id)?.action else { return None };
        *now.get_mut(from as usize)? -= amount;
        *now.get_mut(to as usize)? += amount;
        all.push(now.clone());
    }
    Some(all)
}

#[cfg(test)]
mod tests;
