//! Apply: the only thing that changes the keyspace.
//!
//! - Committed entries come in log order, each exactly once; the keyspace afterwards is a pure function of them. No clock,
//!   no randomness, no hash order: time and seed come from the entry's stamp.
//! - Each logged command gets a seed of its own, from the entry's seed and its place among the entry's logged commands, so
//!   that what rides along unlogged (reads) does not disturb it.
//! - A transaction holds the locks of everything it touches from its first command to its last.
//! - An item that is too long for one entry comes in parts before it (`command/keys/staged.rs`); apply runs it where it stands as a whole.
//! - Replies are bounded and so may be cut; what is applied does not depend on how much of a reply is stored, nor on whether any is.
//! - An entry that can't be understood stops the node: to skip it would be to differ from the others.

pub mod bulk;

use std::sync::Arc;

use thiserror::Error;

use crate::command::context::{Effects, Executed, Garbage, Stamp};
use crate::command::cost::reads::ReadSteps;
use crate::command::families::Row;
use crate::command::random::Random;
use crate::command::script::{ENTRY_STEPS, ScriptBudget, knows_commands};
use crate::command::{
    Args, Command, CommandError, Handler, ReadContext, STAGED, Staging, WriteContext, lookup_request,
    statistic_index,
};
use crate::keyspace::capture::{Capture, CaptureError};
use crate::keyspace::hash_seed::HashSeed;
use crate::keyspace::range::LockRange;
use crate::keyspace::table::DeadSearch;
use crate::keyspace::types::limits::TypeLimits;
use crate::keyspace::view::LockSet;
use crate::keyspace::{Basis, Keyspace, Mutator, Restoring};
use crate::planted::{self, Bug, planted};
use crate::propose::batch::Step;
use crate::propose::entry::{EntryArgs, EntryError, EntryReader, Item};
use crate::protocol::reply::{Reply, Resp};

#[derive(Debug, Error, PartialEq, Eq)]
pub enum ApplyError {
    #[error(transparent)]
    Entry(#[from] EntryError),
    #[error("the log holds a command '{0}' that this program does not know; it must be upgraded")]
    UnknownCommand(String),
    #[error("the entry's items are not those that were proposed")]
    PlanMismatch,
    #[error("the entry runs a command that came in parts, and not all of its parts are there")]
    NothingStaged,
    #[error("the log sets '{0}' to something that this program does not know; it must be upgraded")]
    UnknownParameter(String),
    #[error("the entry runs a user's script, and this program was not told of all commands")]
    NoJudge,
}

/// Owns the right to change the keyspace.
pub struct Applier {
    mutator: Mutator,
    /// Where the group has set none.
    default_limits: TypeLimits,
    limits: TypeLimits,
    /// Of the group's parameters that the limits are from.
    parameters_version: u64,
    pub effects: Effects,
    last_stamp_ms: i64,
    cluster_id: u64,
}

/// An entry while it is applied.
pub struct EntryRun<'e> {
    reader: EntryReader<'e>,
    stamp: Stamp,
    /// Logged commands run so far.
    ordinal: u64,
    /// What is left to the entry's scripts.
    scripts: ScriptBudget,
}

impl<'e> EntryRun<'e> {
    fn next_stamp(&mut self) -> Stamp {
        self.ordinal += 1;
        let seed = Random::from_seed(self.stamp.seed ^ self.ordinal.rotate_left(32)).next_u64();
        Stamp { seed, ..self.stamp }
    }

    pub fn stamp(&self) -> Stamp {
        self.stamp
    }
}

impl Applier {
    pub fn new(mutator: Mutator, limits: TypeLimits) -> Self {
        Applier::after(mutator, limits, i64::MIN)
    }

    /// Goes on behind a checkpoint, whose newest stamp was this.
    pub fn after(mutator: Mutator, limits: TypeLimits, last_stamp_ms: i64) -> Self {
        let limits = TypeLimits { hash_seed: mutator.keyspace().hash_seed(), ..limits };
        Applier {
            mutator,
            default_limits: limits.clone(),
            limits,
            parameters_version: 0,
            effects: Effects::default(),
            last_stamp_ms,
            cluster_id: 0,
        }
    }

    pub fn keyspace(&self) -> &Arc<Keyspace> {
        self.mutator.keyspace()
    }

    /// Empties the keyspace for the content of a checkpoint, whose newest stamp was this. Returns what was in it, and who takes
    /// the entries.
    pub fn replace(&mut self, basis: Basis, stamp_ms: i64) -> (Vec<LockRange>, Restoring<'_>) {
        let old = self.mutator.take_all();
        self.mutator.restore_basis(basis);
        self.limits.hash_seed = basis.hash_seed;
        self.last_stamp_ms = stamp_ms;
        self.effects.staging = Staging::default();
        (old, self.mutator.restore())
    }

    /// The seed of all tables, none if no entry has brought it yet.
    pub fn hash_seed(&self) -> HashSeed {
        self.limits.hash_seed
    }

    /// The cluster's id, 0 if neither the log's metadata nor an entry has brought it yet.
    pub fn cluster_id(&self) -> u64 {
        self.cluster_id
    }

    /// The log belongs to this cluster, whatever entries bring.
    pub fn know_cluster(&mut self, id: u64) {
        self.cluster_id = id;
    }

    /// Takes the seed and the id that the log brings: the first count, later ones change nothing. Tells the keyspace's readers of
    /// users that have changed.
    fn take_what_is_brought(&mut self) {
        if std::mem::take(&mut self.effects.users_changed) {
            self.mutator.keyspace().note_users_changed();
        }
        if let Some(id) = self.effects.cluster_id.take()
            && self.cluster_id == 0
        {
            self.cluster_id = id;
        }
        if let Some(seed) = self.effects.hash_seed.take()
            && self.limits.hash_seed.is_none()
        {
            self.mutator.reseed(seed);
            self.limits.hash_seed = seed;
        }
    }

    /// Takes the limits of the types that hold from here on, if parameters of the group were set.
    fn follow_parameters(&mut self) -> Result<(), ApplyError> {
        let keyspace = self.mutator.keyspace();
        if std::mem::take(&mut self.effects.parameters_changed) {
            keyspace.compile_parameters();
        }
        let group = keyspace.group();
        let version = group.version();
        if version == self.parameters_version {
            return Ok(());
        }
        if let Some(name) = group.unreadable() {
            return Err(ApplyError::UnknownParameter(name));
        }
        self.parameters_version = version;
        let limits = match group.applied_encodings() {
            Some(encodings) => TypeLimits::of(&encodings),
            None => self.default_limits.clone(),
        };
        self.limits = TypeLimits { hash_seed: self.limits.hash_seed, ..limits };
        Ok(())
    }

    /// Finds the dead, see [`Mutator::search_dead`]. Only bounds change, which no content depends on.
    pub fn search_dead(
        &mut self,
        place: (usize, usize),
        from: usize,
        search: &mut DeadSearch<'_>,
        now_ms: i64,
    ) -> Option<usize> {
        self.mutator.search_dead(place, from, search, now_ms)
    }

    /// Begins a capture of the keyspace as it is now. What is staged belongs to no keyspace.
    pub fn begin_capture(&mut self) -> Result<Capture, CaptureError> {
        match self.is_staging() {
            true => Err(CaptureError::Staging),
            false => self.mutator.begin_capture(),
        }
    }

    /// Whether there are parts of an item that has not run.
    pub fn is_staging(&self) -> bool {
        !self.effects.staging.is_empty()
    }

    /// The stamp of the newest entry applied; a later entry's is not smaller.
    pub fn last_stamp_ms(&self) -> i64 {
        self.last_stamp_ms
    }

    /// Opens an entry; its items are then run in order, each once.
    pub fn begin<'e>(&mut self, payload: &'e [u8]) -> Result<EntryRun<'e>, ApplyError> {
        let run = Applier::open(payload)?;
        debug_assert!(
            run.stamp.now_ms >= self.last_stamp_ms,
            "an entry's stamp is {} and the one before it had {}: stamps never go back",
            run.stamp.now_ms,
            self.last_stamp_ms
        );
        self.follow_parameters()?;
        self.begin_reads();
        self.note_stamp(run.stamp.now_ms);
        Ok(run)
    }

    /// What is read from here on belongs to one turn: its scripts have one budget.
    pub fn begin_reads(&mut self) {
        self.effects.script_read_steps = ENTRY_STEPS;
    }

    fn note_stamp(&mut self, stamp_ms: i64) {
        self.last_stamp_ms = self.last_stamp_ms.max(stamp_ms);
    }

    /// Opens an entry, or the header of one that will never be logged; nothing remembers its stamp.
    pub fn open(payload: &[u8]) -> Result<EntryRun<'_>, ApplyError> {
        let (stamp, reader) = EntryReader::open(payload)?;
        let stamp = Stamp {
            now_ms: planted!(Bug::ExpireByLocalClock, planted::local().unix_ms, stamp.now_ms),
            seed: planted!(Bug::PickByLocalOrder, stamp.seed ^ planted::local().monotonic_ms, stamp.seed),
        };
        Ok(EntryRun { reader, stamp, ordinal: 0, scripts: ScriptBudget::default() })
    }

    /// Applies a whole entry for which nobody waits here: a follower's, or a replayed one.
    pub fn apply_unattended(&mut self, payload: &[u8]) -> Result<(), ApplyError> {
        let mut run = self.begin(payload)?;
        let mut nothing = Vec::new();
        while let Some(item) = run.reader.next_item()? {
            let mut reply = Reply::sink(&mut nothing, Resp::V2);
            match item {
                Item::Single => self.run_command(&mut run, &mut reply)?,
                Item::Transaction(count) => self.run_transaction_item(&mut run, count, None, &mut reply)?,
            };
        }
        Ok(())
    }

    /// Runs the entry's next item, which is a command alone. It writes no reply only if it is a blocking command that
    /// found nothing ready.
    pub fn run_single(&mut self, run: &mut EntryRun<'_>, reply: &mut Reply<'_>) -> Result<(), ApplyError> {
        match run.reader.next_item()? {
            Some(Item::Single) => self.run_command(run, reply),
            _ => Err(ApplyError::PlanMismatch),
        }
    }

    /// Runs a transaction: its writes are the entry's next item (none if no step writes).
    pub fn run_transaction(
        &mut self,
        run: &mut EntryRun<'_>,
        steps: &[Step],
        reply: &mut Reply<'_>,
    ) -> Result<(), ApplyError> {
        let writes = writes_of(steps);
        if writes == 0 {
            return self.run_transaction_item(run, 0, Some(steps), reply);
        }
        match run.reader.next_item()? {
            Some(Item::Transaction(count)) if count == writes => {
                self.run_transaction_item(run, writes, Some(steps), reply)
            }
            Some(Item::Single) => {
                let mut args = EntryArgs::new();
                run.reader.command(&mut args)?;
                if *args != [STAGED] {
                    return Err(ApplyError::PlanMismatch);
                }
                self.run_staged(run, Some(steps), reply)
            }
            _ => Err(ApplyError::PlanMismatch),
        }
    }

    /// Runs what is staged, in place of the entry's item that stands for it.
    fn run_staged(
        &mut self,
        run: &mut EntryRun<'_>,
        steps: Option<&[Step]>,
        reply: &mut Reply<'_>,
    ) -> Result<(), ApplyError> {
        let item = self.effects.staging.take_item().ok_or(ApplyError::NothingStaged)?;
        let mut inner = EntryRun { reader: EntryReader::items(&item), ..*run };
        match inner.reader.next_item()? {
            Some(Item::Single) if steps.is_none() => self.run_command(&mut inner, reply)?,
            Some(Item::Transaction(count)) if steps.is_none_or(|steps| writes_of(steps) == count) => {
                self.run_transaction_item(&mut inner, count, steps, reply)?;
            }
            _ => return Err(ApplyError::PlanMismatch),
        }
        (run.ordinal, run.scripts) = (inner.ordinal, inner.scripts);
        self.effects.garbage.push(Garbage::Bytes(item));
        Ok(())
    }

    /// Runs a reading command between the entries' commands, at its place in the log.
    pub fn run_read(
        &mut self,
        command: &Command,
        db: usize,
        args: &Args<'_>,
        stamp: Stamp,
        reply: &mut Reply<'_>,
    ) {
        let view = self.mutator.keyspace().read(command.lock_set(args));
        let context = ReadContext::new(&view, db, stamp.now_ms, stamp.seed)
            .noting(self.effects.access)
            .noting_reads(&self.effects.reads);
        context.script_steps.set(self.effects.script_read_steps);
        let (began_ns, start) = (self.effects.stopwatch.start(command), reply.position());
        let error = read_in(&context, command, args, reply).map(|error| error.code());
        self.effects.stopwatch.stop(began_ns, command, args, reply.position() - start);
        self.effects.executed.note(Executed { index: statistic_index(args), error }, 1);
        self.effects.script_read_steps = context.script_steps.get();
    }

    fn run_command(&mut self, run: &mut EntryRun<'_>, reply: &mut Reply<'_>) -> Result<(), ApplyError> {
        let mut args = EntryArgs::new();
        let db = run.reader.command(&mut args)?;
        if args[0] == STAGED {
            return self.run_staged(run, None, reply);
        }
        let stamp = run.next_stamp();
        let row = logged_command(&args, args.len())?;
        let (locks, known) = row.command.locks(&args);
        self.effects.script_budget = run.scripts;
        let view = self.mutator.write(locks);
        let context = WriteContext::new(view, &mut self.effects, db, stamp, &self.limits);
        write_in(&mut context.knowing(known), row, &args, reply);
        run.scripts = self.effects.script_budget;
        self.take_what_is_brought();
        self.follow_parameters()
    }

    fn run_transaction_item(
        &mut self,
        run: &mut EntryRun<'_>,
        count: usize,
        steps: Option<&[Step]>,
        reply: &mut Reply<'_>,
    ) -> Result<(), ApplyError> {
        let mut locks = locks_of(run.reader.clone(), count)?;
        for step in steps.into_iter().flatten() {
            if let Step::Read { command, args, .. } = step {
                locks = locks.union(command.lock_set(&slices(args)));
            }
        }
        self.effects.script_budget = run.scripts;
        let view = self.mutator.write(locks);
        let mut context = WriteContext::new(view, &mut self.effects, 0, run.stamp, &self.limits);
        let result = match steps {
            Some(steps) => run_steps(&mut context, steps, run, reply),
            None => {
                let last = planted!(Bug::HalfAnExec, count.div_ceil(2), count);
                for nth in 0..count {
                    let logged = read_logged(run)?;
                    if nth < last {
                        run_logged(&mut context, &logged, reply);
                    }
                }
                Ok(())
            }
        };
        drop(context);
        self.take_what_is_brought();
        run.scripts = self.effects.script_budget;
        result.and_then(|()| self.follow_parameters())
    }
}

/// What a transaction's commands lock. They are read here and again when they run, for all of them as they are read take many
/// times their bytes. Nothing has run yet where one can't be understood.
fn locks_of(mut reader: EntryReader<'_>, count: usize) -> Result<LockSet, ApplyError> {
    let mut locks = LockSet::NONE;
    let mut args = EntryArgs::new();
    for _ in 0..count {
        reader.command(&mut args)?;
        let row = logged_command(&args, args.len())?;
        locks = locks.union(row.command.lock_set(&args));
    }
    Ok(locks)
}

/// A command of a transaction, as the entry holds it.
struct Logged<'e> {
    row: Row,
    db: usize,
    stamp: Stamp,
    args: EntryArgs<'e>,
}

fn read_logged<'e>(run: &mut EntryRun<'e>) -> Result<Logged<'e>, ApplyError> {
    let mut args = EntryArgs::new();
    let db = run.reader.command(&mut args)?;
    Ok(Logged { row: logged_command(&args, args.len())?, db, stamp: run.next_stamp(), args })
}

/// Runs a transaction for the client that waits for it: logged and unlogged steps in their order, one reply each.
fn run_steps(
    context: &mut WriteContext<'_>,
    steps: &[Step],
    run: &mut EntryRun<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), ApplyError> {
    reply.array(steps.iter().filter(|step| !matches!(step, Step::Speak(_))).count());
    // An EXEC of more is refused before it is logged, if that can be told before its writes have run.
    let mut read_steps = ReadSteps::of_transaction();
    for step in steps {
        match step {
            Step::Write(_) => run_logged(context, &read_logged(run)?, reply),
            // The client will be closed: there is no use in reading.
            Step::Read { .. } if reply.is_over() => {}
            Step::Read { command, db, args } => {
                context.db = *db;
                let args = slices(args);
                let began_ns = context.stopwatch().start(command);
                let start = reply.position();
                let (error, left) = {
                    let reader = context.reader();
                    let error = read_within(&mut read_steps, &reader, command, &args, reply);
                    (error, reader.script_steps.get())
                };
                context.set_script_read_steps(left);
                if reply.position() == start
                    && !reply.is_over()
                    && let Some(blocking) = &command.blocking
                {
                    blocking.write_nothing_at_once(reply);
                }
                let reply_bytes = reply.position() - start;
                context.stopwatch().stop(began_ns, command, &args, reply_bytes);
                context.note_executed(statistic_index(&args), error.as_ref());
            }
            Step::Speak(resp) => reply.speak(*resp),
        }
    }
    Ok(())
}

fn run_logged(context: &mut WriteContext<'_>, logged: &Logged<'_>, reply: &mut Reply<'_>) {
    context.db = logged.db;
    context.random = Random::from_seed(logged.stamp.seed);
    let start = reply.position();
    write_in(context, logged.row, &logged.args, reply);
    if reply.position() == start
        && let Some(blocking) = &logged.row.command.blocking
    {
        blocking.write_nothing_at_once(reply);
    }
}

fn write_in(context: &mut WriteContext<'_>, row: Row, args: &Args<'_>, reply: &mut Reply<'_>) {
    let Some(handler) = row.command.logged_handler() else { return };
    let (began_ns, start) = (context.stopwatch().start(row.command), reply.position());
    context.begin(&row);
    let error = handler(context, args, reply).err();
    context.stopwatch().stop(began_ns, row.command, args, reply.position() - start);
    if let Some(error) = &error {
        reply.error(error.to_string());
    }
    context.note_executed(row.counted_index(), error.as_ref());
}

/// Runs a reading command's handler and answers its error, if it has one; returns that.
pub fn read_in(
    context: &ReadContext<'_>,
    command: &Command,
    args: &Args<'_>,
    reply: &mut Reply<'_>,
) -> Option<CommandError> {
    read_within(&mut ReadSteps::of_command(), context, command, args, reply)
}

/// The same as one of several reads, which have one bound of steps.
fn read_within(
    steps: &mut ReadSteps,
    context: &ReadContext<'_>,
    command: &Command,
    args: &Args<'_>,
    reply: &mut Reply<'_>,
) -> Option<CommandError> {
    let Handler::Read(handler) = command.handler_for(args) else { return None };
    context.note_read(command, args);
    let start = reply.position();
    let checked = steps.take(command, context, args);
    let error = checked.and_then(|()| context.using(command, || handler(context, args, reply))).err()?;
    reply.rewind(start);
    reply.error(error.to_string());
    Some(error)
}

/// What a command in the log is, by its first arguments (the name, and a subcommand's) and their number.
fn logged_command(args: &Args<'_>, argc: usize) -> Result<Row, ApplyError> {
    let row = lookup_request(args).filter(|row| row.command.is_write() && row.command.arity_fits(argc));
    let row = row.ok_or_else(|| ApplyError::UnknownCommand(String::from_utf8_lossy(args[0]).into_owned()))?;
    let names_user = row.command.counts_as.is_some();
    if names_user && !knows_commands() { Err(ApplyError::NoJudge) } else { Ok(row) }
}

fn writes_of(steps: &[Step]) -> usize {
    steps.iter().filter(|step| matches!(step, Step::Write(_))).count()
}

fn slices(args: &[Box<[u8]>]) -> EntryArgs<'_> {
    args.iter().map(|arg| &**arg).collect()
}

#[cfg(test)]
mod tests;
