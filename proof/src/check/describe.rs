//! Operations and values as text for people.

use std::fmt::Debug;

use crate::history::{Action, Micro, MicroValue, Operation, Outcome, ReadsFrom, Value};

/// Longer lists are shown by their length and their last values.
const SHOWN_VALUES: usize = 12;

/// An operation on one line: who, what, the answer, and when.
pub fn operation(operation: &Operation) -> String {
    let from = match operation.reads_from {
        ReadsFrom::Primary => String::new(),
        ReadsFrom::Replica => format!(" on replica {}", operation.node),
    };
    format!(
        "#{} ({}{from}: {}, {} to {})",
        operation.id,
        action(&operation.action),
        outcome(&operation.outcome),
        time(Some(operation.called_us)),
        time(operation.returned_us),
    )
}

pub fn time(us: Option<u64>) -> String {
    match us {
        Some(us) => format!("{}.{:06} s", us / 1_000_000, us % 1_000_000),
        None => "never".into(),
    }
}

/// What a register holds.
pub fn register(value: Option<u64>) -> String {
    value.map_or_else(|| "nothing".into(), |value| value.to_string())
}

pub fn values(values: &[impl Debug]) -> String {
    if values.len() <= SHOWN_VALUES {
        return format!("{values:?}");
    }
    let last = &values[values.len() - SHOWN_VALUES / 2..];
    format!("{} values, the last ones {last:?}", values.len())
}

pub fn action(action: &Action) -> String {
    match action {
        Action::Get { key } | Action::GetExpiring { key } => format!("get {key}"),
        Action::Set { key, value } => format!("set {key} {value}"),
        Action::CompareAndSet { key, value } => format!("compare and set {key} {value}"),
        Action::Add { key, by } => format!("add {key} {by}"),
        Action::ReadCounter { key } => format!("read counter {key}"),
        Action::Append { key, value } => format!("append {key} {value}"),
        Action::ReadList { key } => format!("read list {key}"),
        Action::SetAdd { key, value } => format!("add member {key} {value}"),
        Action::SetRemove { key, value } => format!("remove member {key} {value}"),
        Action::ReadSet { key } => format!("read set {key}"),
        Action::Transaction { micros } => {
            let parts: Vec<String> = micros.iter().map(micro).collect();
            format!("transaction of {}", parts.join(", "))
        }
        Action::OpenBank { bank, accounts, balance } => {
            format!("open {bank}: {accounts} accounts of {balance}")
        }
        Action::Transfer { bank, id, from, to, amount } => {
            format!("transfer {id} in {bank}: {amount} from {from} to {to}")
        }
        Action::ReadAccounts { bank, .. } => format!("read accounts of {bank}"),
        Action::ReadLedger { bank } => format!("read ledger of {bank}"),
        Action::SetExpiring { key, value, ttl_ms } => format!("set {key} {value} for {ttl_ms} ms"),
    }
}

fn micro(micro: &Micro) -> String {
    match micro {
        Micro::Append { key, value } => format!("append {key} {value}"),
        Micro::ReadList { key } => format!("read {key}"),
    }
}

fn outcome(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Ok(value) => answer(value),
        Outcome::DidNotHappen(why) => format!("did not happen, it was told: {why}"),
        Outcome::InDoubt(why) => format!("in doubt: {why}"),
        Outcome::Pending => "no answer".into(),
    }
}

fn answer(value: &Value) -> String {
    match value {
        Value::Done => "OK".into(),
        Value::Register(value) => register(*value),
        Value::Swapped { seen } => format!("set in the place of {}", register(*seen)),
        Value::Counter(total) => format!("total {total}"),
        Value::Length(length) => format!("length {length}"),
        Value::List(list) | Value::Members(list) => values(list),
        Value::Changed(changed) => if *changed { "changed" } else { "no change" }.into(),
        Value::Transaction(parts) => {
            let parts: Vec<String> = parts.iter().map(part).collect();
            parts.join("; ")
        }
        Value::Moved { from, to, entered, .. } => format!("balances {from} and {to}, entry {entered}"),
        Value::Accounts { balances, moves } => format!("{balances:?} after {moves} moves"),
        Value::Nonsense(text) => format!("the reply {text}"),
    }
}

fn part(value: &MicroValue) -> String {
    match value {
        MicroValue::Length(length) => format!("length {length}"),
        MicroValue::List(list) => values(list),
    }
}
