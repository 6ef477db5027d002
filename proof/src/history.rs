//! What clients did, as they saw it.
//!
//! - An [`Operation`] is one action of one client: when it called, when it heard back, and what it heard. All times are of one
//!   clock, in microseconds, which never goes back.
//! - An operation took effect, if at all, between its call and its return; one in doubt may take effect at any time after its
//!   call, or never.
//! - A process has one operation open at a time. It may go on after one in doubt; checks order operations by time only, and
//!   two operations with the same microsecond at the ends that would order them count as concurrent.
//! - A history is kept as JSON lines, one operation a line, in the order of the calls.

mod recorder;

use std::io::{BufRead, Write};

pub use recorder::Recorder;
use serde::{Deserialize, Serialize};

/// One action of one client.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Operation {
    /// Counts from 0 in the order of the calls.
    pub id: u64,
    pub process: u32,
    /// The node that the client was connected to.
    pub node: u32,
    pub reads_from: ReadsFrom,
    /// Part of the last look at everything, after all faults were healed.
    #[serde(default, rename = "final", skip_serializing_if = "std::ops::Not::not")]
    pub is_final: bool,
    pub called_us: u64,
    pub returned_us: Option<u64>,
    pub action: Action,
    pub outcome: Outcome,
}

/// Whose state a read sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ReadsFrom {
    /// The primary's, whichever node the client is connected to.
    Primary,
    /// The node's own, which may lag: the client said READONLY.
    Replica,
}

/// What a client asks for. Written values are unique in a history.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", rename_all_fields = "kebab-case")]
pub enum Action {
    /// A register's value.
    Get {
        key: String,
    },
    Set {
        key: String,
        value: u64,
    },
    /// Reads the register, and sets it if nothing has changed it since: WATCH, GET, MULTI, SET, EXEC.
    CompareAndSet {
        key: String,
        value: u64,
    },
    /// Adds to a counter; answers the new total.
    Add {
        key: String,
        by: i64,
    },
    ReadCounter {
        key: String,
    },
    /// Appends to a list; answers the new length.
    Append {
        key: String,
        value: u64,
    },
    ReadList {
        key: String,
    },
    /// Adds a member to a set; answers whether it was new.
    SetAdd {
        key: String,
        value: u64,
    },
    /// Removes a member of a set; answers whether it was there.
    SetRemove {
        key: String,
        value: u64,
    },
    ReadSet {
        key: String,
    },
    /// Appends and list reads, all at one moment: MULTI, …, EXEC.
    Transaction {
        micros: Vec<Micro>,
    },
    /// Gives each of a bank's accounts the same balance. Done once, before anything else touches the bank.
    OpenBank {
        bank: String,
        accounts: u32,
        balance: i64,
    },
    /// Moves an amount between two accounts, enters `id` into the bank's ledger and counts the move, all at one moment. Accounts
    /// may be overdrawn.
    Transfer {
        bank: String,
        id: u64,
        from: u32,
        to: u32,
        amount: i64,
    },
    /// All balances of a bank and the count of its moves, in one command.
    ReadAccounts {
        bank: String,
        accounts: u32,
    },
    /// The `id`s of all transfers of a bank, in their order.
    ReadLedger {
        bank: String,
    },
    SetExpiring {
        key: String,
        value: u64,
        ttl_ms: u64,
    },
    GetExpiring {
        key: String,
    },
}

/// A part of a transaction.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Micro {
    Append { key: String, value: u64 },
    ReadList { key: String },
}

/// What a client heard.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    Ok(Value),
    /// An error that says, or a circumstance that makes sure, that nothing changed.
    DidNotHappen(String),
    /// An error that leaves it open, a lost connection, a timeout.
    InDoubt(String),
    /// The history ends before an answer. As good as in doubt.
    Pending,
}

/// The answer to an action that happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Value {
    /// To a set, an expiring set and the opening of a bank.
    Done,
    /// To a read of a register or an expiring key.
    Register(Option<u64>),
    /// To a compare-and-set that has set: what was there before.
    Swapped {
        seen: Option<u64>,
    },
    /// To an add or a read of a counter; a counter that is not there is 0.
    Counter(i64),
    /// To an append: the new length.
    Length(u64),
    List(Vec<u64>),
    /// To adding to or removing from a set: whether that changed it.
    Changed(bool),
    /// To a read of a set: ascending.
    Members(Vec<u64>),
    /// To a transaction: an answer to each part.
    Transaction(Vec<MicroValue>),
    /// To a transfer: both new balances and its place in the ledger, counted from 1, by the ledger's length and by the count of
    /// moves.
    Moved {
        from: i64,
        to: i64,
        entered: u64,
        moves: i64,
    },
    /// To a read of a bank's accounts; `moves` is 0 before the first.
    Accounts {
        balances: Vec<Option<i64>>,
        moves: i64,
    },
    /// A reply that the command can't have, as text.
    Nonsense(String),
}

/// The answer to a part of a transaction.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MicroValue {
    Length(u64),
    List(Vec<u64>),
}

impl Action {
    /// Whether it changes nothing, so that a replica may answer it.
    pub fn is_read(&self) -> bool {
        match self {
            Action::Transaction { micros } => {
                micros.iter().all(|micro| matches!(micro, Micro::ReadList { .. }))
            }
            Action::Get { .. }
            | Action::ReadCounter { .. }
            | Action::ReadList { .. }
            | Action::ReadSet { .. }
            | Action::ReadAccounts { .. }
            | Action::ReadLedger { .. }
            | Action::GetExpiring { .. } => true,
            _ => false,
        }
    }
}

impl Operation {
    pub fn value(&self) -> Option<&Value> {
        match &self.outcome {
            Outcome::Ok(value) => Some(value),
            _ => None,
        }
    }

    /// It was answered, and not with an error.
    pub fn is_acknowledged(&self) -> bool {
        matches!(self.outcome, Outcome::Ok(_))
    }

    /// Nobody but the database knows whether it happened.
    pub fn is_in_doubt(&self) -> bool {
        matches!(self.outcome, Outcome::InDoubt(_) | Outcome::Pending)
    }

    pub fn did_not_happen(&self) -> bool {
        matches!(self.outcome, Outcome::DidNotHappen(_))
    }
}

/// All operations of a run, in the order of their calls.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct History {
    pub operations: Vec<Operation>,
}

/// Why a history can't be read or written.
#[derive(Debug, thiserror::Error)]
pub enum HistoryError {
    #[error("the history can't be read or written: {0}")]
    Io(#[from] std::io::Error),
    #[error("line {line} of the history is not an operation: {error}")]
    Line { line: usize, error: serde_json::Error },
    #[error("an operation can't be written as JSON: {0}")]
    Json(serde_json::Error),
}

impl History {
    /// Writes one operation a line.
    pub fn write(&self, to: &mut impl Write) -> Result<(), HistoryError> {
        for operation in &self.operations {
            serde_json::to_writer(&mut *to, operation).map_err(HistoryError::Json)?;
            to.write_all(b"\n")?;
        }
        Ok(())
    }

    /// Reads what [`History::write`] has written.
    pub fn read(from: impl BufRead) -> Result<History, HistoryError> {
        let mut operations = Vec::new();
        for (number, line) in from.lines().enumerate() {
            let operation = serde_json::from_str(&line?)
                .map_err(|error| HistoryError::Line { line: number + 1, error })?;
            operations.push(operation);
        }
        Ok(History { operations })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_history_is_what_it_was_yesterday() {
        let operation = Operation {
            id: 3,
            process: 1,
            node: 2,
            reads_from: ReadsFrom::Primary,
            is_final: false,
            called_us: 10,
            returned_us: Some(12),
            action: Action::Set { key: "r-1".into(), value: 7 },
            outcome: Outcome::Ok(Value::Done),
        };
        let history = History { operations: vec![operation] };
        let mut bytes = Vec::new();
        history.write(&mut bytes).expect("memory takes all");
        let line = concat!(
            r#"{"id":3,"process":1,"node":2,"reads_from":"primary","called_us":10,"returned_us":12,"#,
            r#""action":{"set":{"key":"r-1","value":7}},"outcome":{"ok":"done"}}"#,
            "\n"
        );
        assert_eq!(String::from_utf8(bytes).expect("JSON is UTF-8"), line);
        assert_eq!(History::read(line.as_bytes()).expect("the line is good"), history);
    }

    #[test]
    fn a_bad_line_is_named() {
        let error = History::read(&b"{}\n"[..]).expect_err("it lacks all fields");
        assert!(error.to_string().starts_with("line 1 of the history"), "{error}");
    }
}
