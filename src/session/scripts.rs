//! EVAL, EVALSHA and SCRIPT, on their way to the log.
//!
//! - What is logged holds the script's text: the primary turns EVALSHA into EVAL.
//! - A limited user's script is logged with the user's name, for its calls are judged where it runs.
//! - A script that does not compile, and a call whose arguments are wrong, are answered before anything is logged.
//! - A script is known to the node from the moment it takes it, so that a pipeline may load it and call it. SCRIPT FLUSH ends that, and what
//!   its connection sent after it waits for it.

use super::table::lookup;
use super::{Line, Session, Verdict};
use crate::acl::User;
use crate::admin::LocalContext;
use crate::admin::client::{Queued, QueuedCommand};
use crate::admin::table::{SessionCommand, TableRow, Way};
use crate::command::script::{self, SCRIPT_STORE};
use crate::command::{Args, Command, ScriptCall};
use crate::protocol::reply::Reply;

const EVAL: &[u8] = b"EVAL";
const EVAL_RO: &[u8] = b"EVAL_RO";
const NO_SCRIPT: &str = "NOSCRIPT No matching script. Please use EVAL.";

/// The command that runs the text of a script whose digest `command` takes.
fn by_text(command: &Command) -> &'static [u8] {
    if command.is_write() { EVAL } else { EVAL_RO }
}

impl Session {
    pub(super) fn eval(&mut self, row: &'static TableRow, args: &Args<'_>, line: &mut Line) -> Verdict {
        let shard = &self.shared.shard;
        if shard.is_primary()
            && let Err(error) = script::check(&shard.scripts, args)
        {
            return self.refuse_here(line, &error);
        }
        let user = self.client.user.clone();
        match judged_by(&user, row, args) {
            Some((row, args)) => self.route_ordinary(row, &args, line),
            None => self.route_ordinary(row, args, line),
        }
    }

    pub(super) fn eval_sha(&mut self, row: &'static TableRow, args: &Args<'_>, line: &mut Line) -> Verdict {
        let command = row.command;
        let shard = &self.shared.shard;
        let is_here = shard.is_primary() || self.reads_here() && !command.is_write();
        if !is_here {
            return self.forward_or_refuse(line);
        }
        let script = script::script_named(&shard.scripts, &shard.keyspace, args[1]);
        let Some(script) = script else {
            return match shard.is_primary() {
                true => self.refuse_here(line, NO_SCRIPT),
                // It may be on its way here.
                false => self.forward_or_refuse(line),
            };
        };
        let name = by_text(command);
        let own = [&[name, &script.body], &args[2..]].concat();
        match lookup(name) {
            Some(row) => self.eval(row, &own, line),
            None => self.refuse_here(line, NO_SCRIPT),
        }
    }

    /// SCRIPT LOAD and SCRIPT FLUSH.
    pub(super) fn change_scripts(
        &mut self,
        row: &'static TableRow,
        args: &Args<'_>,
        line: &mut Line,
    ) -> Verdict {
        if !self.shared.shard.is_primary() {
            return self.forward_or_refuse(line);
        }
        if line.forwarded > 0 {
            return Verdict::Wait;
        }
        if let Err(error) = self.check_change(row, args) {
            return self.refuse_here(line, &error);
        }
        let verdict = self.enqueue_own(line, &logged_change(row, args));
        if verdict == Verdict::Taken && row.session() == Some(SessionCommand::ScriptFlush) {
            self.shared.shard.scripts.forget_all();
            line.barrier = true;
        }
        verdict
    }

    fn check_change(&mut self, row: &TableRow, args: &Args<'_>) -> Result<(), String> {
        let Way::Session(_, handler) = row.way else { return Ok(()) };
        let mut context =
            LocalContext { client: &mut self.client, shared: &self.shared, table: super::table::table() };
        let mut nothing = Vec::new();
        let checked = handler(&mut context, args, &mut Reply::sink(&mut nothing, Default::default()));
        checked.map_err(|error| error.to_string())
    }

    /// A queued command in the form in which it is logged.
    pub(super) fn resolve_script(&self, mut queued: Queued) -> Queued {
        let QueuedCommand(row) = queued.command;
        if row.command.script == Some(ScriptCall::ByDigest) {
            let shard = &self.shared.shard;
            let script = script::script_named(&shard.scripts, &shard.keyspace, &queued.args[1]);
            let name = by_text(row.command);
            if let (Some(script), Some(row)) = (script, lookup(name)) {
                queued.command = QueuedCommand(row);
                (queued.args[0], queued.args[1]) = (name.into(), script.body.clone());
            }
        }
        let judged = judged_by(&self.client.user, queued.command.0, &queued.slices())
            .map(|(row, args)| (row, args.iter().map(|arg| Box::from(*arg)).collect()));
        if let Some((row, args)) = judged {
            (queued.command, queued.args) = (QueuedCommand(row), args);
        }
        queued
    }
}

/// A script's call as a limited user's is logged or read: it names the user, by whose rules the script's commands are judged.
fn judged_by<'a>(
    user: &'a User,
    row: &TableRow,
    args: &Args<'a>,
) -> Option<(&'static TableRow, Vec<&'a [u8]>)> {
    if user.is_unlimited() || row.command.script != Some(ScriptCall::ByText) {
        return None;
    }
    let name = script::limited_name(row.command);
    Some((lookup(name)?, [&[name, user.name()], &args[1..]].concat()))
}

/// What is logged for SCRIPT LOAD and SCRIPT FLUSH.
pub(super) fn logged_change<'a>(row: &TableRow, args: &Args<'a>) -> Vec<&'a [u8]> {
    match (row.session(), args) {
        (Some(SessionCommand::ScriptLoad), [_, _, body]) => vec![SCRIPT_STORE, b"LOAD", body],
        _ => vec![SCRIPT_STORE, b"FLUSH"],
    }
}
