//! What clients do next.
//!
//! - Same kinds, same seed, same order of calls: same actions.
//! - Written values are unique in a run, so that who reads one knows who wrote it.
//! - Each kind has a few keys at a time, which all processes share. A key is retired after some hundred actions and another
//!   one taken, so that no search through the history of one key gets long.
//! - [`Workload::final_reads`] reads every key that was ever touched.

mod rotation;

use std::fmt;
use std::str::FromStr;

use crate::history::{Action, Micro};
use crate::rng::Rng;
use rotation::Rotation;
use serde::{Deserialize, Serialize};

/// What is put to the proof.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// Reads, writes and compare-and-sets of single values.
    Register,
    /// Additions, each of which answers the new total.
    Counter,
    /// Appends to lists and reads of whole lists.
    Append,
    /// Members that come and go.
    Set,
    /// Appends to and reads of several lists at one moment.
    Transactions,
    /// Transfers between accounts whose sum is constant.
    Bank,
    /// Values that expire.
    Expiry,
}

impl Kind {
    pub const ALL: [Kind; 7] = [
        Kind::Register,
        Kind::Counter,
        Kind::Append,
        Kind::Set,
        Kind::Transactions,
        Kind::Bank,
        Kind::Expiry,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Kind::Register => "register",
            Kind::Counter => "counter",
            Kind::Append => "append",
            Kind::Set => "set",
            Kind::Transactions => "transactions",
            Kind::Bank => "bank",
            Kind::Expiry => "expiry",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A word that names no kind of workload.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "no workload is called {0:?}; there are register, counter, append, set, transactions, bank, expiry and all"
)]
pub struct UnknownKind(String);

impl FromStr for Kind {
    type Err = UnknownKind;

    fn from_str(name: &str) -> Result<Kind, UnknownKind> {
        Kind::ALL.into_iter().find(|kind| kind.name() == name).ok_or_else(|| UnknownKind(name.to_owned()))
    }
}

/// Kinds by name, separated by commas; "all" stands for all of them.
pub fn parse_kinds(names: &str) -> Result<Vec<Kind>, UnknownKind> {
    if names == "all" {
        return Ok(Kind::ALL.to_vec());
    }
    names.split(',').map(str::parse).collect()
}

const KEYS_OF_A_KIND: usize = 4;
/// A list or set is read whole each time, so that a long one costs.
const ACTIONS_OF_A_COLLECTION: u32 = 150;
const ACTIONS_OF_A_REGISTER: u32 = 2_000;
const ACTIONS_OF_A_COUNTER: u32 = 900;
const ACTIONS_OF_AN_EXPIRING_KEY: u32 = 200;
const BANKS: u32 = 2;
const ACCOUNTS: u32 = 5;
const OPENING_BALANCE: i64 = 1_000;
/// Sums of up to 999 of the one and any number of the other are told apart, so that a total says what was added.
const ADDITIONS: [i64; 2] = [1, 1_000];
const TTLS_MS: [u64; 4] = [100, 500, 2_000, 10_000];

/// A source of actions.
#[derive(Clone, Debug)]
pub struct Workload {
    kinds: Vec<Kind>,
    rng: Rng,
    next_value: u64,
    registers: Rotation,
    counters: Rotation,
    lists: Rotation,
    sets: Rotation,
    transactions: Rotation,
    expiring: Rotation,
    /// Members that were added to sets and not removed, as far as it was asked for.
    members: Vec<(String, u64)>,
}

impl Workload {
    /// A workload of all `kinds` at once, on separate keys. An empty list means all.
    pub fn new(kinds: &[Kind], seed: u64) -> Workload {
        let kinds = if kinds.is_empty() { Kind::ALL.to_vec() } else { kinds.to_vec() };
        Workload {
            kinds,
            rng: Rng::new(seed),
            next_value: 1,
            registers: Rotation::new("register", KEYS_OF_A_KIND, ACTIONS_OF_A_REGISTER),
            counters: Rotation::new("counter", KEYS_OF_A_KIND, ACTIONS_OF_A_COUNTER),
            lists: Rotation::new("list", KEYS_OF_A_KIND, ACTIONS_OF_A_COLLECTION),
            sets: Rotation::new("set", KEYS_OF_A_KIND, ACTIONS_OF_A_COLLECTION),
            transactions: Rotation::new("txn", KEYS_OF_A_KIND, ACTIONS_OF_A_COLLECTION),
            expiring: Rotation::new("expiring", KEYS_OF_A_KIND, ACTIONS_OF_AN_EXPIRING_KEY),
            members: Vec::new(),
        }
    }

    pub fn kinds(&self) -> &[Kind] {
        &self.kinds
    }

    /// What has to be done, and acknowledged, before anything else. To be recorded like all other actions.
    pub fn setup(&self) -> Vec<Action> {
        let open =
            |bank| Action::OpenBank { bank: bank_name(bank), accounts: ACCOUNTS, balance: OPENING_BALANCE };
        if self.kinds.contains(&Kind::Bank) { (0..BANKS).map(open).collect() } else { Vec::new() }
    }

    /// What a process does next.
    pub fn next_action(&mut self) -> Action {
        let kind = self.kinds[self.rng.index(self.kinds.len())];
        match kind {
            Kind::Register => self.register(),
            Kind::Counter => self.counter(),
            Kind::Append => self.append(),
            Kind::Set => self.set(),
            Kind::Transactions => self.transaction(),
            Kind::Bank => self.bank(),
            Kind::Expiry => self.expiring(),
        }
    }

    /// A read that a replica can answer: one command, of a key in use.
    pub fn next_read(&mut self) -> Action {
        let kind = self.kinds[self.rng.index(self.kinds.len())];
        match kind {
            Kind::Register => Action::Get { key: self.registers.pick(&mut self.rng) },
            Kind::Counter => Action::ReadCounter { key: self.counters.pick(&mut self.rng) },
            Kind::Append => Action::ReadList { key: self.lists.pick(&mut self.rng) },
            Kind::Set => Action::ReadSet { key: self.sets.pick(&mut self.rng) },
            Kind::Transactions => Action::ReadList { key: self.transactions.pick(&mut self.rng) },
            Kind::Bank => self.read_accounts(),
            Kind::Expiry => Action::GetExpiring { key: self.expiring.pick(&mut self.rng) },
        }
    }

    /// A read of everything that was ever touched, for the time after the last fault.
    pub fn final_reads(&self) -> Vec<Action> {
        let mut reads = Vec::new();
        reads.extend(self.registers.touched().map(|key| Action::Get { key }));
        reads.extend(self.counters.touched().map(|key| Action::ReadCounter { key }));
        reads.extend(self.lists.touched().map(|key| Action::ReadList { key }));
        reads.extend(self.sets.touched().map(|key| Action::ReadSet { key }));
        reads.extend(
            self.transactions
                .touched()
                .map(|key| Action::Transaction { micros: vec![Micro::ReadList { key }] }),
        );
        reads.extend(self.expiring.touched().map(|key| Action::GetExpiring { key }));
        if self.kinds.contains(&Kind::Bank) {
            reads.extend((0..BANKS).flat_map(|bank| {
                let bank = bank_name(bank);
                [Action::ReadAccounts { bank: bank.clone(), accounts: ACCOUNTS }, Action::ReadLedger { bank }]
            }));
        }
        reads
    }

    fn value(&mut self) -> u64 {
        self.next_value += 1;
        self.next_value - 1
    }

    fn register(&mut self) -> Action {
        let key = self.registers.pick(&mut self.rng);
        match self.rng.below(100) {
            0..45 => Action::Get { key },
            45..80 => Action::Set { key, value: self.value() },
            _ => Action::CompareAndSet { key, value: self.value() },
        }
    }

    fn counter(&mut self) -> Action {
        let key = self.counters.pick(&mut self.rng);
        if self.rng.percent(30) {
            return Action::ReadCounter { key };
        }
        Action::Add { key, by: ADDITIONS[self.rng.index(ADDITIONS.len())] }
    }

    fn append(&mut self) -> Action {
        let key = self.lists.pick(&mut self.rng);
        if self.rng.percent(40) {
            Action::ReadList { key }
        } else {
            Action::Append { key, value: self.value() }
        }
    }

    fn set(&mut self) -> Action {
        let choice = self.rng.below(100);
        if choice < 20 && !self.members.is_empty() {
            let (key, value) = self.members.swap_remove(self.rng.index(self.members.len()));
            return Action::SetRemove { key, value };
        }
        let key = self.sets.pick(&mut self.rng);
        if choice < 50 {
            return Action::ReadSet { key };
        }
        let value = self.value();
        self.members.push((key.clone(), value));
        // Only members of recent keys are removed again, and the list has a bound.
        if self.members.len() > 2 * KEYS_OF_A_KIND * ACTIONS_OF_A_COLLECTION as usize {
            self.members.drain(..ACTIONS_OF_A_COLLECTION as usize);
        }
        Action::SetAdd { key, value }
    }

    fn transaction(&mut self) -> Action {
        let parts = 1 + self.rng.index(4);
        let micros = (0..parts).map(|_| {
            let key = self.transactions.pick(&mut self.rng);
            if self.rng.percent(50) {
                Micro::ReadList { key }
            } else {
                Micro::Append { key, value: self.value() }
            }
        });
        Action::Transaction { micros: micros.collect() }
    }

    fn bank(&mut self) -> Action {
        if self.rng.percent(50) {
            return self.read_accounts();
        }
        let bank = self.some_bank();
        let from = self.rng.below(u64::from(ACCOUNTS)) as u32;
        let to = (from + 1 + self.rng.below(u64::from(ACCOUNTS) - 1) as u32) % ACCOUNTS;
        let amount = 1 + self.rng.below(20) as i64;
        Action::Transfer { bank, id: self.value(), from, to, amount }
    }

    fn read_accounts(&mut self) -> Action {
        Action::ReadAccounts { bank: self.some_bank(), accounts: ACCOUNTS }
    }

    fn some_bank(&mut self) -> String {
        bank_name(self.rng.below(u64::from(BANKS)) as u32)
    }

    fn expiring(&mut self) -> Action {
        let key = self.expiring.pick(&mut self.rng);
        if self.rng.percent(75) {
            return Action::GetExpiring { key };
        }
        let ttl_ms = TTLS_MS[self.rng.index(TTLS_MS.len())];
        Action::SetExpiring { key, value: self.value(), ttl_ms }
    }
}

fn bank_name(number: u32) -> String {
    format!("bank-{number}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_actions() {
        let actions = |seed| {
            let mut workload = Workload::new(&[], seed);
            (0..2_000).map(|_| workload.next_action()).collect::<Vec<_>>()
        };
        assert_eq!(actions(3), actions(3));
        assert_ne!(actions(3), actions(4));
    }

    #[test]
    fn every_key_is_read_at_the_end() {
        let mut workload = Workload::new(&[Kind::Register, Kind::Append], 1);
        let mut keys = std::collections::BTreeSet::new();
        for _ in 0..20_000 {
            match workload.next_action() {
                Action::Get { key } | Action::Set { key, .. } | Action::CompareAndSet { key, .. } => {
                    keys.insert(key)
                }
                Action::Append { key, .. } | Action::ReadList { key } => keys.insert(key),
                other => panic!("{other:?} was not asked for"),
            };
        }
        let read = workload.final_reads().into_iter().map(|action| match action {
            Action::Get { key } | Action::ReadList { key } => key,
            other => panic!("{other:?} was not asked for"),
        });
        assert_eq!(read.collect::<std::collections::BTreeSet<_>>(), keys);
    }

    #[test]
    fn reads_for_replicas_are_reads_of_every_kind() {
        let mut workload = Workload::new(&[], 5);
        let reads: Vec<Action> = (0..200).map(|_| workload.next_read()).collect();
        assert!(reads.iter().all(Action::is_read));
        let kinds: std::collections::HashSet<_> = reads.iter().map(std::mem::discriminant).collect();
        // Lists of transactions are read like others.
        assert_eq!(kinds.len(), Kind::ALL.len() - 1);
    }

    #[test]
    fn kinds_have_names() {
        assert_eq!(parse_kinds("bank,register"), Ok(vec![Kind::Bank, Kind::Register]));
        assert_eq!(parse_kinds("all").map(|kinds| kinds.len()), Ok(Kind::ALL.len()));
        assert!(parse_kinds("bank,loan").is_err());
    }
}
