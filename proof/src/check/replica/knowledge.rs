//! What the primary's clients know about the writes of each key.

use std::collections::HashMap;

use crate::check::objects::{Objects, by_primary, called, list_read, returned};
use crate::check::transactions::{appends, reads};
use crate::history::{Action, Operation, Value};

/// What is known, by key.
pub struct Knowledge<'a> {
    pub ordered: HashMap<&'a str, Ordered<'a>>,
    pub registers: HashMap<&'a str, Register<'a>>,
    pub sets: HashMap<&'a str, Set<'a>>,
}

impl<'a> Knowledge<'a> {
    pub fn of(objects: &Objects<'a>) -> Knowledge<'a> {
        let mut ordered: HashMap<&str, Ordered> = HashMap::new();
        ordered.extend(objects.lists.iter().map(|(key, operations)| (*key, list(operations))));
        ordered.extend(objects.banks.iter().map(|(key, operations)| (*key, list(operations))));
        ordered.extend(transaction_lists(&objects.transactions));
        ordered.extend(
            objects.counters.iter().filter_map(|(key, operations)| Some((*key, counter(operations)?))),
        );
        let registers = objects.registers.iter().chain(&objects.expiring);
        Knowledge {
            ordered,
            registers: registers.map(|(key, operations)| (*key, Register::of(operations))).collect(),
            sets: objects.sets.iter().map(|(key, operations)| (*key, Set::of(operations))).collect(),
        }
    }
}

/// An object whose writes are in a known order: a list by its values, a counter by its totals.
pub struct Ordered<'a> {
    /// The order and the read that shows it, for lists.
    pub order: Option<(&'a [u64], &'a Operation)>,
    /// Places, ascending, each with the write of the latest call up to there.
    latest: Vec<(u64, &'a Operation)>,
    /// Places, ascending, each with the acknowledged write of the earliest return from there on.
    earliest: Vec<(u64, &'a Operation)>,
}

impl<'a> Ordered<'a> {
    fn new(order: Option<(&'a [u64], &'a Operation)>, mut writes: Vec<(u64, &'a Operation)>) -> Ordered<'a> {
        writes.sort_by_key(|(place, write)| (*place, write.id));
        let mut latest = writes.clone();
        for at in 1..latest.len() {
            if called(latest[at - 1].1) > called(latest[at].1) {
                latest[at].1 = latest[at - 1].1;
            }
        }
        let mut earliest = writes;
        earliest.retain(|(_, write)| write.is_acknowledged());
        for at in (1..earliest.len()).rev() {
            if returned(earliest[at].1) < returned(earliest[at - 1].1) {
                earliest[at - 1].1 = earliest[at].1;
            }
        }
        Ordered { order, latest, earliest }
    }

    /// Of the writes up to a place, the one with the latest call.
    pub fn sees(&self, place: u64) -> Option<&'a Operation> {
        let behind = self.latest.partition_point(|(at, _)| *at <= place);
        behind.checked_sub(1).map(|last| self.latest[last].1)
    }

    /// Of the acknowledged writes behind a place, the one with the earliest return.
    pub fn lacks(&self, place: u64) -> Option<&'a Operation> {
        let behind = self.earliest.partition_point(|(at, _)| *at <= place);
        self.earliest.get(behind).map(|(_, write)| *write)
    }
}

/// Lists and ledgers: the place of a write is the length of the list after it.
fn list<'a>(operations: &[&'a Operation]) -> Ordered<'a> {
    let reads = operations.iter().copied().filter(|read| by_primary(read));
    let lists = reads.filter_map(|read| Some((list_read(read)?, read)));
    let longest = lists.max_by_key(|(list, _)| list.len());
    let writers = operations.iter().copied().filter_map(|operation| match operation.action {
        Action::Append { value, .. } | Action::Transfer { id: value, .. } => Some((value, operation)),
        _ => None,
    });
    in_list(longest, &writers.collect())
}

fn in_list<'a>(
    longest: Option<(&'a [u64], &'a Operation)>,
    writers: &HashMap<u64, &'a Operation>,
) -> Ordered<'a> {
    let values = longest.map_or(&[][..], |(values, _)| values);
    let writes = values.iter().enumerate();
    let writes = writes.filter_map(|(place, value)| Some((place as u64 + 1, *writers.get(value)?)));
    Ordered::new(longest, writes.collect())
}

fn transaction_lists<'a>(transactions: &[&'a Operation]) -> HashMap<&'a str, Ordered<'a>> {
    let mut longest: HashMap<&str, (&[u64], &Operation)> = HashMap::new();
    let mut writers: HashMap<&str, HashMap<u64, &Operation>> = HashMap::new();
    for &operation in transactions {
        for (key, value) in appends(operation) {
            writers.entry(key).or_default().insert(value, operation);
        }
        for (key, list) in reads(operation).filter(|_| by_primary(operation)) {
            let known = longest.entry(key).or_insert((list, operation));
            if list.len() > known.0.len() {
                *known = (list, operation);
            }
        }
    }
    let lists = writers.into_iter().map(|(key, writers)| (key, in_list(longest.get(key).copied(), &writers)));
    lists.collect()
}

/// Counters that only grow: the place of an addition is the total after it. Only acknowledged ones are known.
fn counter<'a>(operations: &[&'a Operation]) -> Option<Ordered<'a>> {
    let mut writes = Vec::new();
    for &operation in operations {
        match (&operation.action, operation.value()) {
            (Action::Add { by, .. }, _) if *by <= 0 => return None,
            (Action::Add { .. }, Some(Value::Counter(total))) => {
                writes.push((u64::try_from(*total).ok()?, operation));
            }
            _ => {}
        }
    }
    Some(Ordered::new(None, writes))
}

/// Who wrote which value, and which writes came after a time.
pub struct Register<'a> {
    pub writers: HashMap<u64, &'a Operation>,
    /// Calls of acknowledged writes, ascending, each with the write of the earliest return from there on.
    earliest: Vec<(i64, &'a Operation)>,
}

impl<'a> Register<'a> {
    fn of(operations: &[&'a Operation]) -> Register<'a> {
        let writers: HashMap<u64, &Operation> =
            operations.iter().filter_map(|&operation| Some((written(operation)?, operation))).collect();
        let acknowledged = operations.iter().filter(|one| one.is_acknowledged() && written(one).is_some());
        let mut earliest: Vec<(i64, &Operation)> =
            acknowledged.map(|&write| (called(write), write)).collect();
        earliest.sort_by_key(|(called, write)| (*called, write.id));
        for at in (1..earliest.len()).rev() {
            if returned(earliest[at].1) < returned(earliest[at - 1].1) {
                earliest[at - 1].1 = earliest[at].1;
            }
        }
        Register { writers, earliest }
    }

    /// Of the acknowledged writes that began after a time, the one with the earliest return.
    pub fn after(&self, time: i64) -> Option<&'a Operation> {
        let place = self.earliest.partition_point(|(called, _)| *called <= time);
        self.earliest.get(place).map(|(_, write)| *write)
    }
}

fn written(operation: &Operation) -> Option<u64> {
    match operation.action {
        Action::Set { value, .. }
        | Action::CompareAndSet { value, .. }
        | Action::SetExpiring { value, .. } => Some(value),
        _ => None,
    }
}

/// Who added and who removed which member.
pub struct Set<'a> {
    adds: Vec<(u64, &'a Operation)>,
    removes: HashMap<u64, Vec<&'a Operation>>,
}

impl<'a> Set<'a> {
    fn of(operations: &[&'a Operation]) -> Set<'a> {
        let mut set = Set { adds: Vec::new(), removes: HashMap::new() };
        for &operation in operations.iter().filter(|operation| !operation.did_not_happen()) {
            match operation.action {
                Action::SetAdd { value, .. } => set.adds.push((value, operation)),
                Action::SetRemove { value, .. } => set.removes.entry(value).or_default().push(operation),
                _ => {}
            }
        }
        set
    }

    /// Of the additions of these members, ascending, the one with the latest call.
    pub fn sees(&self, members: &[u64]) -> Option<&'a Operation> {
        let seen = self.adds.iter().filter(|(value, _)| members.binary_search(value).is_ok());
        seen.map(|(_, add)| *add).max_by_key(|add| called(add))
    }

    /// Of the acknowledged additions of other members that nobody removed, the one with the earliest return.
    pub fn lacks(&self, members: &[u64]) -> Option<&'a Operation> {
        let lacking = self.adds.iter().filter(|(value, add)| {
            add.is_acknowledged()
                && !self.removes.contains_key(value)
                && members.binary_search(value).is_err()
        });
        lacking.map(|(_, add)| *add).min_by_key(|add| returned(add))
    }

    /// Whether a member can be gone by the end of a read.
    pub fn may_be_removed(&self, member: u64, read: &Operation) -> bool {
        let removes = self.removes.get(&member).into_iter().flatten();
        removes.into_iter().any(|remove| called(remove) <= returned(read))
    }
}
