//! What MONITOR shows of a session's commands.

use super::table::lookup;
use super::{Forward, Session, Verdict};
use crate::admin::client::{Queued, QueuedCommand, Transaction};
use crate::admin::table::{SessionCommand, TableRow};
use crate::command::args::database;
use crate::command::spec::Flags;
use crate::command::{Args, Command};

/// Commands for operators are not shown, as in Redis: they may hold what nobody should read.
const UNSHOWN: Flags = Flags::SKIP_MONITOR.union(Flags::ADMIN);

impl Session {
    /// Shows a command that was taken. One that a transaction gathers is shown at its EXEC, and that after them.
    pub(super) fn show_taken(&self, row: &TableRow, args: &Args<'_>, gathering: bool, verdict: Verdict) {
        match (verdict, &self.client.transaction) {
            (Verdict::Forward(Forward::Transaction), Some(Transaction { queued, .. })) => {
                return self.show_queued(queued);
            }
            _ if row.session() == Some(SessionCommand::Exec) => return,
            (Verdict::Forward(_) | Verdict::Migrate, _) | (Verdict::Taken, None) => {}
            (Verdict::Taken, Some(_)) if !gathering => {}
            _ => return,
        }
        self.show(row.command, self.client.db, args);
    }

    /// Shows the commands of a transaction that is about to be carried out, each in its database.
    pub(super) fn show_queued(&self, queued: &[Queued]) {
        if !self.shared.monitors.are_there() {
            return;
        }
        let mut db = self.client.db;
        for one in queued {
            let QueuedCommand(row) = one.command;
            let args = one.slices();
            if row.session() == Some(SessionCommand::Select) {
                db = database(args[1]).unwrap_or(db);
            }
            self.show(row.command, db, &args);
        }
        const EXEC: &[u8] = b"EXEC";
        lookup(EXEC).into_iter().for_each(|row| self.show(row.command, db, &[EXEC]));
    }

    fn show(&self, command: &Command, db: usize, args: &Args<'_>) {
        if !command.flags.intersects(UNSHOWN) {
            let shared = &self.shared;
            shared.monitors.show(shared.clock.unix_us(), db, &self.client.info.addr, args);
        }
    }
}
