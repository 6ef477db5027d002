//! Commands of scripts, run one by one on the keyspace that the script has locked.
//!
//! - What a command may cost is told before it runs, from numbers that are the same on every node.
//! - Commands about the connection or the process do not run in scripts, but for a few whose rows say how.

use crate::command::args::database;
use crate::command::cost::{self, CostContext, CostKind, Forecast, Size, weights};
use crate::command::families::Row;
use crate::command::random::Random;
use crate::command::spec::Flags;
use crate::command::{
    Args, Blocking, Command, CommandError, CommandResult, Handler, ReadContext, WriteContext, lookup,
    lookup_subcommand, statistic_index,
};
use crate::keyspace::DATABASES;
use crate::protocol::message::{Kind, Message};
use crate::protocol::reply::{Reply, Resp};

use super::elsewhere::{InScript, in_script, is_process_command};
use super::host::{Called, Host, NOT_ALLOWED, Over, READ_ONLY, UNKNOWN_COMMAND, WRONG_ARITY};
use super::judge::{Judge, name_in_rules, names_process_command};
use super::{MAX_REPLY_BYTES, STEPS_PER_ELEMENT, STEPS_PER_KEY, lua};

/// Keys in whose time all ranges are passed, and all slots.
const WALK_OF_RANGES: u64 = 1024;
const WALK_OF_SLOTS: u64 = 16 * WALK_OF_RANGES;

/// What a request names.
enum Found {
    Data(Row, &'static Command),
    Own(InScript),
}

fn find(args: &Args<'_>) -> Result<Found, &'static str> {
    let name = args.first().copied().unwrap_or_default();
    if let Some((arity, own)) = in_script(name) {
        let fits = if arity < 0 { args.len() <= 2 } else { args.len() == arity as usize };
        return if fits { Ok(Found::Own(own)) } else { Err(WRONG_ARITY) };
    }
    let refusal = if is_process_command(name) { NOT_ALLOWED } else { UNKNOWN_COMMAND };
    let row = lookup(name).filter(|row| !row.command.flags.contains(Flags::INTERNAL)).ok_or(refusal)?;
    let command = match args.get(1) {
        Some(sub) if !row.command.subcommands.is_empty() => {
            lookup_subcommand(row.command, sub).ok_or(refusal)?
        }
        _ => row.command,
    };
    if !command.arity_fits(args.len()) {
        return Err(WRONG_ARITY);
    }
    match command.flags.contains(Flags::NOSCRIPT) {
        true => Err(NOT_ALLOWED),
        false => Ok(Found::Data(row, command)),
    }
}

/// Whether the user may run a command, whatever scripts may; `None` where there is no such command.
fn is_callable(judge: Option<&Judge>, args: &Args<'_>) -> Option<bool> {
    let name = args.first().copied().unwrap_or_default();
    if is_process_command(name) {
        let publishes = matches!(in_script(name), Some((_, InScript::Publish | InScript::ShardPublish)));
        let allowed = |judge: &Judge| judge.process(&name_in_rules(args), args, publishes).is_ok();
        return names_process_command(args).then(|| judge.is_none_or(allowed));
    }
    let row = lookup(name).filter(|row| !row.command.flags.contains(Flags::INTERNAL))?;
    let command = match args.get(1) {
        Some(sub) if !row.command.subcommands.is_empty() => lookup_subcommand(row.command, sub)?,
        _ => row.command,
    };
    // Keys are found where the number of arguments is right.
    let allowed = |judge: &Judge| match command.arity_fits(args.len()) {
        true => judge.data(index_of(&row, args), command, args).is_ok(),
        false => judge.process(&name_in_rules(args), args, false).is_ok(),
    };
    Some(judge.is_none_or(allowed))
}

fn index_of(row: &Row, args: &Args<'_>) -> usize {
    if row.command.subcommands.is_empty() { row.index } else { statistic_index(args) }
}

/// Whether the user may call what was found.
fn judge_call(judge: Option<&Judge>, found: &Found, args: &Args<'_>) -> Result<(), &'static str> {
    let Some(judge) = judge else { return Ok(()) };
    match found {
        Found::Data(row, command) => judge.data(index_of(row, args), command, args),
        Found::Own(own) => {
            let publishes = matches!(own, InScript::Publish | InScript::ShardPublish);
            judge.process(args[0], args, publishes)
        }
    }
}

/// What a request names, if the user may call that.
fn find_allowed(judge: Option<&Judge>, args: &Args<'_>) -> Result<Found, Called> {
    let found = find(args).map_err(|refusal| Called::Refused(refusal.into()))?;
    judge_call(judge, &found, args).map_err(|refusal| Called::Refused(refusal.into()))?;
    if lua::steps() < 0 { Err(Called::Over(Over::Steps)) } else { Ok(found) }
}

/// Answers PING, ECHO, TIME, WAIT and WAITAOF. A script is logged as one: while it runs, no disk and no follower has what it writes.
fn answer_own(own: InScript, now_ms: i64, args: &Args<'_>, reply: &mut Reply<'_>) {
    match (own, args) {
        (InScript::Ping | InScript::Echo, [_, text]) => reply.bulk(text),
        (InScript::Time, _) => {
            reply.array(2);
            reply.bulk_integer(now_ms.div_euclid(1000));
            reply.bulk_integer(now_ms.rem_euclid(1000) * 1000);
        }
        (InScript::Wait, _) => reply.integer(0),
        (InScript::WaitAof, _) => {
            reply.array(2);
            reply.integer(0);
            reply.integer(0);
        }
        _ => reply.simple("PONG"),
    }
}

/// Runs a handler, whose reply or error is written; `None` where the reply is too long. One that would wait finds nothing.
fn answer(
    blocking: Option<Blocking>,
    reply: &mut Vec<u8>,
    resp: Resp,
    run: impl FnOnce(&mut Reply<'_>) -> CommandResult,
) -> Option<Option<CommandError>> {
    let mut reply = Reply::bounded(reply, resp, MAX_REPLY_BYTES);
    let error = run(&mut reply).err();
    if let Some(error) = &error {
        reply.rewind(0);
        reply.error(error.to_string());
    }
    if reply.position() == 0
        && !reply.is_over()
        && let Some(blocking) = blocking
    {
        blocking.write_nothing_at_once(&mut reply);
    }
    (!reply.is_over()).then_some(error)
}

/// Bytes that a command may write, after its steps are taken.
fn take_cost(row: &Row, command: &Command, reader: &ReadContext<'_>, args: &Args<'_>) -> u64 {
    let copies = matches!(command.cost, CostKind::Stores(_) | CostKind::Carries(_));
    let size_of = if copies { Size::by_content } else { Size::by_elements };
    let forecast = Forecast::default();
    let context = CostContext::new(reader, &forecast).sized_by(size_of);
    let walks = command.flags.contains(Flags::WHOLE_KEYSPACE) && command.keys.is_empty();
    let (cost, keys) = match walks {
        // What tells the cost of a walk elsewhere is not the same on every node.
        true => (cost::charged(command, cost::Cost::of_args(args)), keys_walked(command, reader, args)),
        false => (cost::of_command(command, &context, args), 0),
    };
    let of_keys = keys.saturating_mul(STEPS_PER_KEY);
    let weight = weights::of_row(row, command, &context, args);
    let steps = cost.steps.saturating_mul(STEPS_PER_ELEMENT).saturating_add(of_keys).saturating_add(weight);
    lua::take_steps(i64::try_from(steps).unwrap_or(i64::MAX / 4).min(i64::MAX / 4));
    cost.growth.bytes
}

/// Keys that a command over the whole keyspace may visit.
fn keys_walked(command: &Command, reader: &ReadContext<'_>, args: &Args<'_>) -> u64 {
    let databases = if command.is_write() { 0..DATABASES } else { reader.db..reader.db + 1 };
    let keys = databases.map(|db| reader.usage(db).keys as u64).sum::<u64>();
    let pattern = args.iter().skip(1).map(|arg| arg.len() as u64).max().unwrap_or(0);
    let walk = if command.in_scripts.is_some() { WALK_OF_SLOTS } else { WALK_OF_RANGES };
    walk + keys.saturating_mul(1 + pattern / 8)
}

/// The keyspace of a script that may write.
pub struct Writing<'c, 'a> {
    pub context: &'c mut WriteContext<'a>,
    /// Bytes that may still be written, and kept.
    pub growth: i64,
    pub kept: i64,
    /// By which each command is given a seed of its own.
    pub seeds: Random,
    /// By which calls are judged, where the script's user is limited.
    pub judge: Option<Judge>,
}

impl Writing<'_, '_> {
    fn run_own(&mut self, own: InScript, args: &Args<'_>, resp: Resp, out: &mut Vec<u8>) -> Called {
        match own {
            InScript::Select => self.select(args, out, resp),
            InScript::Publish => self.publish(Kind::Channel, args, out, resp),
            InScript::ShardPublish => self.publish(Kind::Shard, args, out, resp),
            _ => {
                answer_own(own, self.context.now_ms, args, &mut Reply::new(out, resp));
                Called::Replied
            }
        }
    }

    fn run(
        &mut self,
        (row, command): (Row, &'static Command),
        args: &Args<'_>,
        resp: Resp,
        out: &mut Vec<u8>,
    ) -> Called {
        let handler = command.handler_in_scripts(args);
        if !matches!(handler, Handler::Read(_) | Handler::Write(_)) {
            return Called::Refused(NOT_ALLOWED.into());
        }
        self.growth -= take_cost(&row, command, &self.context.reader(), args) as i64;
        if lua::steps() < 0 {
            return Called::Over(Over::Steps);
        }
        if self.growth < 0 {
            return Called::Over(Over::Growth);
        }
        self.context.random = Random::from_seed(self.seeds.next_u64());
        self.context.begin(&row);
        let answered = match handler {
            Handler::Read(read) => {
                let reader = self.context.reader();
                reader.note_read(command, args);
                answer(command.blocking, out, resp, |reply| {
                    reader.using(command, || read(&reader, args, reply))
                })
            }
            Handler::Write(write) => {
                answer(command.blocking, out, resp, |reply| write(self.context, args, reply))
            }
            _ => None,
        };
        self.kept -= self.context.take_undo_bytes() as i64;
        let Some(error) = answered else { return Called::Over(Over::Reply) };
        if self.kept < 0 {
            return Called::Over(Over::Growth);
        }
        let index = if row.command.subcommands.is_empty() { row.index } else { statistic_index(args) };
        self.context.note_executed(index, error.as_ref());
        Called::Replied
    }

    /// Commands after it work on another database, until the script ends.
    fn select(&mut self, args: &Args<'_>, out: &mut Vec<u8>, resp: Resp) -> Called {
        answer(None, out, resp, |reply| {
            self.context.db = database(args[1])?;
            reply.ok();
            Ok(())
        });
        Called::Replied
    }

    /// How many receive it is not the same everywhere: none, for a script.
    fn publish(&mut self, kind: Kind, args: &Args<'_>, out: &mut Vec<u8>, resp: Resp) -> Called {
        self.growth -= args.iter().map(|arg| arg.len() as i64).sum::<i64>();
        if self.growth < 0 {
            return Called::Over(Over::Growth);
        }
        self.context.publish(Message::new(kind, args[1], args[2]));
        Reply::new(out, resp).integer(0);
        Called::Replied
    }
}

impl Host for Writing<'_, '_> {
    fn call(&mut self, args: &[&[u8]], resp: Resp, reply: &mut Vec<u8>) -> Called {
        match find_allowed(self.judge.as_ref(), args) {
            Ok(Found::Data(row, command)) => self.run((row, command), args, resp, reply),
            Ok(Found::Own(own)) => self.run_own(own, args, resp, reply),
            Err(called) => called,
        }
    }

    fn is_callable(&self, args: &[&[u8]]) -> Option<bool> {
        is_callable(self.judge.as_ref(), args)
    }
}

/// The keyspace of a script that only reads.
pub struct Reading<'c, 'a> {
    pub context: &'c ReadContext<'a>,
    /// In place of the context's, for commands after SELECT.
    pub selected: Option<ReadContext<'a>>,
    /// As [`Writing::judge`].
    pub judge: Option<Judge>,
}

impl Reading<'_, '_> {
    fn run_own(&mut self, own: InScript, args: &Args<'_>, resp: Resp, reply: &mut Vec<u8>) -> Called {
        match own {
            InScript::Publish | InScript::ShardPublish => return Called::Refused(READ_ONLY.into()),
            InScript::Select => {
                answer(None, reply, resp, |reply| {
                    self.selected = Some(self.context.in_other_database(database(args[1])?));
                    reply.ok();
                    Ok(())
                });
            }
            _ => answer_own(own, self.context.now_ms, args, &mut Reply::new(reply, resp)),
        }
        Called::Replied
    }
}

impl Host for Reading<'_, '_> {
    fn call(&mut self, args: &[&[u8]], resp: Resp, reply: &mut Vec<u8>) -> Called {
        let (row, command) = match find_allowed(self.judge.as_ref(), args) {
            Ok(Found::Data(row, command)) => (row, command),
            Ok(Found::Own(own)) => return self.run_own(own, args, resp, reply),
            Err(called) => return called,
        };
        if command.is_write() {
            return Called::Refused(READ_ONLY.into());
        }
        let Handler::Read(handler) = command.handler_in_scripts(args) else {
            return Called::Refused(NOT_ALLOWED.into());
        };
        let context = self.selected.as_ref().unwrap_or(self.context);
        take_cost(&row, command, context, args);
        if lua::steps() < 0 {
            return Called::Over(Over::Steps);
        }
        context.note_read(command, args);
        let run = |reply: &mut Reply<'_>| context.using(command, || handler(context, args, reply));
        let answered = answer(command.blocking, reply, resp, run);
        self.context.take_unsettled_of(context);
        match answered {
            Some(_) => Called::Replied,
            None => Called::Over(Over::Reply),
        }
    }

    fn is_callable(&self, args: &[&[u8]]) -> Option<bool> {
        is_callable(self.judge.as_ref(), args)
    }
}
