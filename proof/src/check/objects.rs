//! The operations of a history, object by object: linearizability is local (Herlihy and Wing 1990), so that each object can be
//! judged alone.

use std::collections::BTreeMap;

use crate::history::{Action, History, Operation, ReadsFrom, Value};

/// Operations by key, in the order of their calls.
pub type Keys<'a> = BTreeMap<&'a str, Vec<&'a Operation>>;

#[derive(Default)]
pub struct Objects<'a> {
    pub registers: Keys<'a>,
    pub counters: Keys<'a>,
    pub lists: Keys<'a>,
    pub sets: Keys<'a>,
    pub banks: Keys<'a>,
    pub expiring: Keys<'a>,
    pub transactions: Vec<&'a Operation>,
}

impl<'a> Objects<'a> {
    pub fn of(history: &'a History) -> Objects<'a> {
        let mut objects = Objects::default();
        let mut operations: Vec<&Operation> = history.operations.iter().collect();
        operations.sort_by_key(|operation| (operation.called_us, operation.id));
        operations.into_iter().for_each(|operation| objects.take(operation));
        objects
    }

    fn take(&mut self, operation: &'a Operation) {
        let (keys, key) = match &operation.action {
            Action::Get { key } | Action::Set { key, .. } | Action::CompareAndSet { key, .. } => {
                (&mut self.registers, key)
            }
            Action::Add { key, .. } | Action::ReadCounter { key } => (&mut self.counters, key),
            Action::Append { key, .. } | Action::ReadList { key } => (&mut self.lists, key),
            Action::SetAdd { key, .. } | Action::SetRemove { key, .. } | Action::ReadSet { key } => {
                (&mut self.sets, key)
            }
            Action::OpenBank { bank, .. }
            | Action::Transfer { bank, .. }
            | Action::ReadAccounts { bank, .. }
            | Action::ReadLedger { bank } => (&mut self.banks, bank),
            Action::SetExpiring { key, .. } | Action::GetExpiring { key } => (&mut self.expiring, key),
            Action::Transaction { .. } => {
                self.transactions.push(operation);
                return;
            }
        };
        keys.entry(key).or_default().push(operation);
    }
}

/// What the primary has answered. A read on a replica may lag, and is judged elsewhere.
pub fn by_primary(operation: &Operation) -> bool {
    operation.reads_from == ReadsFrom::Primary || !operation.action.is_read()
}

/// The list that an operation has read.
pub fn list_read(operation: &Operation) -> Option<&[u64]> {
    match operation.value() {
        Some(Value::List(list)) => Some(list),
        _ => None,
    }
}

/// The time of a call on the axis of all times.
pub fn called(operation: &Operation) -> i64 {
    i64::try_from(operation.called_us).unwrap_or(NEVER)
}

/// The time by which an operation has happened, if at all: [`NEVER`] if it is in doubt.
pub fn returned(operation: &Operation) -> i64 {
    match operation.returned_us {
        Some(us) if operation.is_acknowledged() => i64::try_from(us).unwrap_or(NEVER),
        _ => NEVER,
    }
}

pub const NEVER: i64 = i64::MAX;
/// Before everything.
pub const ALWAYS: i64 = i64::MIN;
