//! EVAL, EVALSHA, FCALL, SCRIPT and FUNCTION, on their way to the log.
//!
//! - What is logged holds the script's text: the primary turns EVALSHA into EVAL.
//! - A limited user's script is logged with the user's name, for its calls are judged where it runs.
//! - A script that does not compile, and a call whose arguments are wrong, are answered before anything is logged.
//! - A script is known to the node from the moment it takes it, so that a pipeline may load it and call it. SCRIPT FLUSH ends that, and what
//!   its connection sent after it waits for it.

use super::table::lookup;
use super::{Line, Session, Verdict};
use crate::acl::User;
use crate::admin::client::{Queued, QueuedCommand};
use crate::admin::table::{SessionCommand, TableRow, Way};
use crate::admin::{LocalContext, functions};
use crate::command::script::{self, SCRIPT_STORE, ScriptFlags};
use crate::command::{Args, Command, ScriptCall};
use crate::metrics::Outcome;
use crate::protocol::reply::Reply;

const EVAL: &[u8] = b"EVAL";
const EVAL_RO: &[u8] = b"EVAL_RO";
const FCALL_RO: &[u8] = b"FCALL_RO";
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
        // Without a first line a script may always run, as in older versions: a command that writes is refused then.
        if row.command.is_write()
            && args[1].starts_with(b"#!")
            && let Some(refusal) =
                ScriptFlags::of(args[1]).ok().and_then(|flags| self.refusal_of_writing(flags))
        {
            return self.refuse_here(line, &refusal);
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
                true => self.fail_here(line, NO_SCRIPT),
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

    /// As [`refuse_here`](Self::refuse_here), for a command that counts as one that ran.
    fn fail_here(&mut self, line: &mut Line, error: &str) -> Verdict {
        let verdict = self.refuse_here(line, error);
        if verdict == Verdict::Taken {
            self.note(self.index, Outcome::Failed, None);
        }
        verdict
    }

    /// SCRIPT LOAD and SCRIPT FLUSH; FUNCTION LOAD, RESTORE, DELETE and FLUSH.
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
        match row.session() {
            _ if verdict != Verdict::Taken => {}
            Some(SessionCommand::ScriptFlush) => {
                self.shared.shard.scripts.forget_all();
                line.barrier = true;
            }
            // What the connection calls after it is known once it is applied.
            Some(SessionCommand::ChangeFunctions) => line.barrier = true,
            _ => {}
        }
        verdict
    }

    /// FCALL and FCALL_RO. A function that says that it only reads is read.
    pub(super) fn fcall(&mut self, row: &'static TableRow, args: &Args<'_>, line: &mut Line) -> Verdict {
        let is_primary = self.shared.shard.is_primary();
        if !is_primary && !self.reads_here() {
            return self.forward_or_refuse(line);
        }
        let flags = script::function_flags(&self.shared.shard.keyspace, args[1]);
        let only_reads = flags.is_some_and(|flags| flags.contains(ScriptFlags::NO_WRITES));
        if !is_primary && !only_reads {
            // It may be on its way here.
            return self.forward_or_refuse(line);
        }
        if let Err(error) = script::check_call(flags, !row.command.is_write(), args) {
            return self.refuse_here(line, &error.to_string());
        }
        let writes = row.command.is_write() && !only_reads;
        if writes && let Some(refusal) = self.refusal_of_writing(flags.unwrap_or_default()) {
            return self.refuse_here(line, &refusal);
        }
        let row = if only_reads { lookup(FCALL_RO).unwrap_or(row) } else { row };
        let user = self.client.user.clone();
        match judged_by(&user, row, args) {
            Some((row, args)) => self.route_ordinary(row, &args, line),
            None => self.route_ordinary(row, args, line),
        }
    }

    /// Why a script of these flags can't run for want of memory: one that may write says so if it may run all the same.
    fn refusal_of_writing(&self, flags: ScriptFlags) -> Option<String> {
        let may_run = flags.intersects(ScriptFlags::ALLOW_OOM | ScriptFlags::NO_WRITES);
        let shared = &self.shared;
        let asks = !may_run && shared.shard.is_primary();
        asks.then(|| shared.shard.memory.refusal(shared.config.maxmemory(), 1)).flatten()
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
        if row.command.script == Some(ScriptCall::Function) && row.command.is_write() {
            let flags = script::function_flags(&self.shared.shard.keyspace, &queued.args[1]);
            let only_reads = flags.is_some_and(|flags| flags.contains(ScriptFlags::NO_WRITES));
            if let (true, Some(row)) = (only_reads, lookup(FCALL_RO)) {
                queued.command = QueuedCommand(row);
                queued.args[0] = FCALL_RO.into();
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
    let runs = matches!(row.command.script, Some(ScriptCall::ByText | ScriptCall::Function));
    if user.is_unlimited() || !runs {
        return None;
    }
    let name = script::limited_name(row.command);
    Some((lookup(name)?, [&[name, user.name()], &args[1..]].concat()))
}

/// Whether it changes the scripts or the libraries that nodes know, so that it is logged in a form of its own.
pub(super) fn changes_scripts(row: &TableRow) -> bool {
    use SessionCommand as Known;
    matches!(row.session(), Some(Known::ScriptLoad | Known::ScriptFlush | Known::ChangeFunctions))
}

/// What is logged for SCRIPT LOAD and SCRIPT FLUSH, and for those of FUNCTION.
pub(super) fn logged_change<'a>(row: &TableRow, args: &Args<'a>) -> Vec<&'a [u8]> {
    match (row.session(), args) {
        (Some(SessionCommand::ScriptLoad), [_, _, body]) => vec![SCRIPT_STORE, b"LOAD", body],
        (Some(SessionCommand::ChangeFunctions), _) => functions::logged_change(row, args),
        _ => vec![SCRIPT_STORE, b"FLUSH"],
    }
}
