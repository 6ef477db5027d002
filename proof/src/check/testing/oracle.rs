//! The verdict without any of the checks: a search for an order of all operations on a whole [`Store`].

use std::collections::HashMap;

use super::store::Store;
use crate::check::objects::{called, returned};
use crate::check::search::{Call, Model, Must, State, Verdict, search};
use crate::history::{Action, History, Operation};

/// Whether the operations on the primary happened in some order, each between its call and its return. To be asked only of short
/// histories.
pub fn has_an_order(history: &History) -> bool {
    let possible = history.operations.iter().filter(|operation| !operation.did_not_happen());
    let operations: Vec<&Operation> = possible.collect();
    let calls = operations.iter().enumerate().map(|(place, operation)| Call {
        called: called(operation),
        must: match operation.is_acknowledged() {
            true => Must::HappenBy(returned(operation)),
            false => Must::InDoubt { class: place as u64 },
        },
    });
    let calls: Vec<Call> = calls.collect();
    let verdict = search(&calls, &mut Whole::new(operations), 2_000_000, &mut 0);
    assert_ne!(verdict, Verdict::GaveUp);
    matches!(verdict, Verdict::Order(_))
}

struct Whole<'a> {
    operations: Vec<&'a Operation>,
    stores: Vec<Store>,
    numbers: HashMap<Store, State>,
}

impl<'a> Whole<'a> {
    fn new(operations: Vec<&'a Operation>) -> Whole<'a> {
        let mut whole = Whole { operations, stores: Vec::new(), numbers: HashMap::new() };
        whole.number(Store::default());
        whole
    }

    fn number(&mut self, store: Store) -> State {
        let next = self.stores.len() as State;
        let number = *self.numbers.entry(store.clone()).or_insert(next);
        if number == next {
            self.stores.push(store);
        }
        number
    }
}

impl Model for Whole<'_> {
    fn initial(&self) -> State {
        0
    }

    fn step(&mut self, state: State, operation: usize) -> Option<State> {
        let operation = self.operations[operation];
        let mut store = self.stores[state as usize].clone();
        let opens = matches!(operation.action, Action::OpenBank { .. });
        if !opens && !store.has_bank_of(&operation.action) {
            return None;
        }
        let value = store.run(&operation.action, 0);
        let fits = operation.value().is_none_or(|told| *told == value);
        fits.then(|| self.number(store))
    }

    fn is_passive(&self, operation: usize) -> bool {
        self.operations[operation].action.is_read()
    }

    fn show(&self, state: State) -> String {
        format!("{:?}", self.stores[state as usize])
    }
}
