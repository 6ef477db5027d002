//! What a client of a replica has changed of its group (parameters, users, functions) it is also told by that replica.
//!
//! - A change goes to the primary; this node has it once it has applied its entry. Behind each change the relay asks the primary
//!   where its log ends, and what tells of the group's state begins only when this node has applied that far.
//! - It waits for a second at most: a node that can't catch up tells what it knows.
//! - Clients that have changed nothing never wait, and neither does anything but commands with [`Flags::TELLS_GROUP`].

use super::Session;
use crate::admin::table::{SessionCommand, TableRow};
use crate::command::spec::Flags;
use crate::shard::port::StatusWatch;

/// For how long a command waits for this node at most.
const PATIENCE_MS: u64 = 1000;

/// Where in the log a client's changes of the group are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GroupChanges {
    /// Changes of which the primary has not yet said where they are.
    pub unknown: usize,
    /// All others are at this index, or before it.
    pub index: u64,
}

/// The changes, and the command that was offered last where it waits for them.
#[derive(Default)]
pub(super) struct Awaited {
    changes: GroupChanges,
    waiting: Option<Waiting>,
}

struct Waiting {
    /// Monotonic time.
    patient_until_ms: u64,
    /// Lets the driver tell each step of what is applied.
    _watch: StatusWatch,
}

impl Session {
    /// What the connection to the primary knows of the client's changes.
    pub fn note_group_changes(&mut self, changes: GroupChanges) {
        let known = &mut self.group_changes.changes;
        *known = GroupChanges { unknown: changes.unknown, index: known.index.max(changes.index) };
    }

    /// The connection to the primary is lost: what it had not told will not be told.
    pub fn forget_unknown_changes(&mut self) {
        self.group_changes.changes.unknown = 0;
    }

    /// Whether a command would tell less than its client has done.
    pub(super) fn waits_for_group_changes(&mut self, row: &TableRow) -> bool {
        let changes = self.group_changes.changes;
        if changes == GroupChanges::default() || !row.command.flags.contains(Flags::TELLS_GROUP) {
            return false;
        }
        let is_behind = changes.unknown > 0 || self.shared.shard.status.lock().applied < changes.index;
        if !is_behind {
            self.group_changes = Awaited::default();
            return false;
        }
        let now_ms = self.now.monotonic_ms;
        let begin =
            || Waiting { patient_until_ms: now_ms + PATIENCE_MS, _watch: self.shared.shard.watch_status() };
        let waits = now_ms < self.group_changes.waiting.get_or_insert_with(begin).patient_until_ms;
        if !waits {
            self.group_changes.waiting = None;
        }
        waits
    }

    /// Whether the command that was offered last waits for changes.
    pub(super) fn is_behind_group_changes(&self) -> bool {
        self.group_changes.waiting.is_some()
    }
}

/// Whether a command changes what commands with [`Flags::TELLS_GROUP`] tell.
pub fn changes_group(row: &TableRow) -> bool {
    use SessionCommand as Known;
    matches!(
        row.session(),
        Some(Known::SetParameters | Known::SetUser | Known::DeleteUsers | Known::ChangeFunctions)
    )
}
