//! The keys that a bank is kept in. All other actions name their keys themselves.

pub fn account_key(bank: &str, number: u32) -> String {
    format!("{bank}:account:{number}")
}

/// A list of the ids of all transfers.
pub fn ledger_key(bank: &str) -> String {
    format!("{bank}:ledger")
}

/// A count of all transfers, which a read of the accounts can have in the same command.
pub fn moves_key(bank: &str) -> String {
    format!("{bank}:moves")
}
