//! A database that does one thing at a time: the model that random executions run on.

use std::collections::{BTreeMap, BTreeSet};

use crate::history::{Action, Micro, MicroValue, Value};

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Store {
    registers: BTreeMap<String, u64>,
    counters: BTreeMap<String, i64>,
    pub lists: BTreeMap<String, Vec<u64>>,
    sets: BTreeMap<String, BTreeSet<u64>>,
    banks: BTreeMap<String, Vec<i64>>,
    /// With the time of death.
    expiring: BTreeMap<String, (u64, u64)>,
}

impl Store {
    /// False for an operation on a bank that was not opened.
    pub fn has_bank_of(&self, action: &Action) -> bool {
        match action {
            Action::Transfer { bank, .. } | Action::ReadAccounts { bank, .. } => {
                self.banks.contains_key(bank)
            }
            _ => true,
        }
    }

    /// Does all of an action at one moment.
    pub fn run(&mut self, action: &Action, now_us: u64) -> Value {
        match action {
            Action::Get { key } => Value::Register(self.registers.get(key).copied()),
            Action::Set { key, value } => {
                self.registers.insert(key.clone(), *value);
                Value::Done
            }
            Action::CompareAndSet { key, value } => {
                Value::Swapped { seen: self.registers.insert(key.clone(), *value) }
            }
            Action::Add { key, by } => {
                let total = self.counters.entry(key.clone()).or_default();
                *total += by;
                Value::Counter(*total)
            }
            Action::ReadCounter { key } => Value::Counter(self.counters.get(key).copied().unwrap_or(0)),
            Action::Append { key, value } => Value::Length(self.append(key, *value)),
            Action::ReadList { key } | Action::ReadLedger { bank: key } => Value::List(self.list(key)),
            Action::SetAdd { key, value } => {
                Value::Changed(self.sets.entry(key.clone()).or_default().insert(*value))
            }
            Action::SetRemove { key, value } => {
                Value::Changed(self.sets.entry(key.clone()).or_default().remove(value))
            }
            Action::ReadSet { key } => {
                Value::Members(self.sets.get(key).into_iter().flatten().copied().collect())
            }
            Action::Transaction { micros } => {
                Value::Transaction(micros.iter().map(|micro| self.part(micro)).collect())
            }
            Action::OpenBank { bank, accounts, balance } => {
                self.banks.insert(bank.clone(), vec![*balance; *accounts as usize]);
                Value::Done
            }
            Action::Transfer { bank, id, from, to, amount } => {
                self.take(bank, *from, *amount);
                self.give(bank, *to, *amount);
                self.enter(bank, *id, *from, *to)
            }
            Action::ReadAccounts { bank, .. } => {
                let balances = self.banks[bank].iter().copied().map(Some).collect();
                Value::Accounts { balances, moves: self.list(bank).len() as i64 }
            }
            Action::SetExpiring { key, value, ttl_ms } => {
                self.expiring.insert(key.clone(), (*value, now_us + ttl_ms * 1_000));
                Value::Done
            }
            Action::GetExpiring { key } => {
                let held = self.expiring.get(key).filter(|(_, death_us)| now_us < *death_us);
                Value::Register(held.map(|(value, _)| *value))
            }
        }
    }

    pub fn take(&mut self, bank: &str, from: u32, amount: i64) {
        self.banks.get_mut(bank).expect("it was opened")[from as usize] -= amount;
    }

    fn give(&mut self, bank: &str, to: u32, amount: i64) {
        self.banks.get_mut(bank).expect("it was opened")[to as usize] += amount;
    }

    fn enter(&mut self, bank: &str, id: u64, from: u32, to: u32) -> Value {
        let entered = self.append(bank, id);
        let balances = &self.banks[bank];
        let (from, to) = (balances[from as usize], balances[to as usize]);
        Value::Moved { from, to, entered, moves: entered as i64 }
    }

    fn part(&mut self, micro: &Micro) -> MicroValue {
        match micro {
            Micro::Append { key, value } => MicroValue::Length(self.append(key, *value)),
            Micro::ReadList { key } => MicroValue::List(self.list(key)),
        }
    }

    fn append(&mut self, key: &str, value: u64) -> u64 {
        let list = self.lists.entry(key.to_owned()).or_default();
        list.push(value);
        list.len() as u64
    }

    fn list(&self, key: &str) -> Vec<u64> {
        self.lists.get(key).cloned().unwrap_or_default()
    }
}
