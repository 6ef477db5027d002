//! A replica shows its client the changes that the client has made to the group: parameters, users, functions.
//!
//! - A change goes to the primary; this node has it once it has applied its entry. After each change the relay asks the primary for the
//!   index of its answers, and a command that shows the group's state begins only when this node has applied that index.
//! - It waits for a second at most: a node that can't catch up shows the state that it has.
//! - Clients that have changed nothing never wait, and neither does anything but commands with [`Flags::TELLS_GROUP`].

use std::time::Duration;

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

/// The changes, and the command that was offered last if it waits for them.
#[derive(Default)]
pub(super) struct Awaited {
    changes: GroupChanges,
    waiting: Option<Waiting>,
}

struct Waiting {
    /// Monotonic time.
    patient_until_ms: u64,
    /// Makes the driver tell the status after each turn.
    _watch: StatusWatch,
}

impl Session {
    /// Takes the changes as the connection to the primary knows them.
    pub fn note_group_changes(&mut self, changes: GroupChanges) {
        let known = &mut self.group_changes.changes;
        *known = GroupChanges { unknown: changes.unknown, index: known.index.max(changes.index) };
    }

    /// The connection to the primary is lost: the indexes that it had not answered will not come.
    pub fn forget_unknown_changes(&mut self) {
        self.group_changes.changes.unknown = 0;
    }

    /// Whether a command has to wait until this node has its client's changes. Forgets them once it has.
    pub(super) fn waits_for_group_changes(&mut self, row: &TableRow) -> bool {
        let changes = self.group_changes.changes;
        if changes == GroupChanges::default() || !row.command.flags.contains(Flags::TELLS_GROUP) {
            return false;
        }
        if !self.lacks_group_changes() {
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

    /// Whether the command that was offered last waits for changes, and not for the end of a pause.
    pub(super) fn is_behind_group_changes(&self) -> bool {
        self.group_changes
            .waiting
            .as_ref()
            .is_some_and(|waiting| self.now.monotonic_ms < waiting.patient_until_ms)
    }

    /// Returns once this node may have the changes, or has been waited for long enough. The connection itself hears the primary.
    pub(super) async fn group_changes_come(&self) {
        let Some(waiting) = &self.group_changes.waiting else { return };
        let shard = &self.shared.shard;
        let mut told = std::pin::pin!(shard.status_told.notified());
        // From here on no change of the status is missed.
        told.as_mut().enable();
        if !self.lacks_group_changes() {
            return;
        }
        let left_ms = waiting.patient_until_ms.saturating_sub(self.shared.clock.monotonic_ms());
        let _ = tokio::time::timeout(Duration::from_millis(left_ms), told).await;
    }

    fn lacks_group_changes(&self) -> bool {
        let GroupChanges { unknown, index } = self.group_changes.changes;
        unknown > 0 || self.shared.shard.status.lock().applied < index
    }
}

/// Whether a command changes the state that commands with [`Flags::TELLS_GROUP`] show.
pub fn changes_group(row: &TableRow) -> bool {
    use SessionCommand as Known;
    matches!(
        row.session(),
        Some(Known::SetParameters | Known::SetUser | Known::DeleteUsers | Known::ChangeFunctions)
    )
}
