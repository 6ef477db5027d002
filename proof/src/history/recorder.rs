//! Keeps a history while it happens.
//!
//! - Calls are to be recorded before the first byte is sent, and returns after the last byte has come: an operation that looks
//!   shorter than it was would accuse a database that did nothing wrong.

use super::{Action, History, Operation, Outcome, ReadsFrom};

/// The history so far, with the operations that are still open.
#[derive(Debug, Default)]
pub struct Recorder {
    operations: Vec<Operation>,
    is_final: bool,
}

impl Recorder {
    pub fn new() -> Recorder {
        Recorder::default()
    }

    /// A process is about to do something. The result is the operation's id.
    pub fn call(
        &mut self,
        process: u32,
        node: u32,
        reads_from: ReadsFrom,
        action: Action,
        now_us: u64,
    ) -> u64 {
        let id = self.operations.len() as u64;
        self.operations.push(Operation {
            id,
            process,
            node,
            reads_from,
            is_final: self.is_final,
            called_us: now_us,
            returned_us: None,
            action,
            outcome: Outcome::Pending,
        });
        id
    }

    /// What became of an operation. Unknown ids are passed over.
    pub fn done(&mut self, id: u64, now_us: u64, outcome: Outcome) {
        if let Some(operation) = self.operations.get_mut(id as usize) {
            operation.returned_us = Some(now_us);
            operation.outcome = outcome;
        }
    }

    /// What is called from now on is the last look at everything: faults are healed, and nobody writes any more.
    pub fn begin_final_reads(&mut self) {
        self.is_final = true;
    }

    pub fn operations(&self) -> &[Operation] {
        &self.operations
    }

    pub fn finish(self) -> History {
        History { operations: self.operations }
    }
}
