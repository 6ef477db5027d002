use crate::check::testing::*;
use crate::history::{Action, Operation, Value};

fn open() -> Operation {
    ok(0, 1, Action::OpenBank { bank: "b".into(), accounts: 3, balance: 100 }, Value::Done)
}

fn transfer(id: u64) -> Action {
    Action::Transfer { bank: "b".into(), id, from: 0, to: 1, amount: 10 }
}

fn moved(entry: u64) -> Value {
    let amount = 10 * entry as i64;
    Value::Moved { from: 100 - amount, to: 100 + amount, entered: entry, moves: entry as i64 }
}

fn accounts() -> Action {
    Action::ReadAccounts { bank: "b".into(), accounts: 3 }
}

fn balances(all: [i64; 3], moves: i64) -> Value {
    Value::Accounts { balances: all.map(Some).to_vec(), moves }
}

fn ledger(ids: &[u64]) -> Operation {
    at_the_end(ok(1_000, 1_001, Action::ReadLedger { bank: "b".into() }, Value::List(ids.to_vec())))
}

#[test]
fn a_bank_that_works() {
    let report = judged(vec![
        open(),
        ok(10, 20, transfer(5), moved(1)),
        doubt(21, transfer(6)),
        ok(30, 40, accounts(), balances([90, 110, 100], 1)),
        ok(50, 60, accounts(), balances([80, 120, 100], 2)),
        ok(70, 80, transfer(7), moved(3)),
        on_replica(ok(90, 95, accounts(), balances([90, 110, 100], 1))),
        ledger(&[5, 6, 7]),
    ]);
    assert!(report.passed(), "{report}");
}

#[test]
fn half_a_transfer_is_seen() {
    let report = judged(vec![
        open(),
        ok(10, 20, transfer(5), moved(1)),
        on_replica(ok(15, 16, accounts(), balances([90, 100, 100], 0))),
        ledger(&[5]),
    ]);
    assert_eq!(findings(&report, "bank"), ["a sum that is wrong", "balances of no moment"]);
}

#[test]
fn a_transfer_that_vanishes_is_found() {
    let report = judged(vec![
        open(),
        ok(10, 20, transfer(5), moved(1)),
        ok(30, 40, transfer(6), moved(1)),
        ledger(&[6]),
    ]);
    assert_eq!(findings(&report, "bank"), ["a transfer that is lost"]);
    assert_eq!(findings(&report, "durability"), ["lost writes"]);
}

#[test]
fn balances_behind_the_clock_are_found() {
    let report = judged(vec![
        open(),
        ok(10, 20, transfer(5), moved(1)),
        ok(30, 40, accounts(), balances([100, 100, 100], 0)),
        ledger(&[5]),
    ]);
    assert_eq!(findings(&report, "bank"), ["an order against the clock"]);
}

#[test]
fn money_that_moves_by_itself_is_found() {
    let report = judged(vec![
        open(),
        ok(10, 20, transfer(5), moved(1)),
        ok(30, 40, accounts(), balances([90, 100, 110], 1)),
        ledger(&[5]),
    ]);
    assert_eq!(findings(&report, "bank"), ["balances of no moment"]);
}

#[test]
fn without_the_ledger_nothing_is_decided() {
    let report = judged(vec![open(), ok(10, 20, transfer(5), moved(1))]);
    assert!(report.unchecked.iter().any(|open| open.check == "bank"), "{report}");
}
