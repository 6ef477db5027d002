//! Data commands: one row per command, one file per family.
//!
//! - Dispatch, ACL categories, COMMAND and its subcommands, key lookup and docs/commands.md all come from these rows and from
//!   those of process commands (`admin/`).
//! - A handler's type says how its command travels: `Read` runs on the worker under read locks, `Write` runs inside apply
//!   after its entry is committed. A write can't skip the log, for only apply can make a [`WriteContext`].
//! - Nothing that only reads is logged: a row whose command reads or writes, as its arguments say (SORT, GETEX), has a handler
//!   of each kind, and [`Command::handler_for`] is the one place that chooses.
//! - A handler answers by writing one reply, or by returning an error before it changed anything or wrote anything.
//! - A blocking command's handler that finds nothing ready writes nothing at all: its client then waits.

pub mod args;
mod bitmap;
pub mod context;
pub mod cost;
mod database;
mod decimal;
pub mod error;
pub mod events;
pub mod families;
mod geo;
mod hash;
#[cfg(test)]
pub mod hostile;
mod hyperloglog;
pub mod inspect;
pub mod keys;
pub mod lifetime;
mod list;
pub mod logged;
mod multi_pop;
pub mod names;
pub mod random;
mod reader;
pub mod reads;
mod sample;
pub mod scan;
pub mod script;
pub mod secrets;
mod set;
pub mod spec;
pub mod stopwatch;
pub mod stream;
mod string;
pub mod system;
mod tally;
#[cfg(test)]
pub mod testing;
mod undo;
mod zset;

pub use context::{KnownSlot, ReadContext, WriteContext};
pub use error::{CommandError, CommandResult};
pub use families::{commands, lookup, lookup_request, lookup_subcommand, statistic_index, statistic_names};
pub use keys::{CLUSTER_ID, HASH_SEED, PART, STAGED, Staging};
pub use logged::{IN_SHARD_CHANNEL, MARK};

use crate::keyspace::slot::Slot;
use crate::keyspace::value::ValueType;
use crate::keyspace::view::LockSet;
use crate::protocol::number::parse_double;
use crate::protocol::reply::Reply;
use cost::CostKind;
use cost::weights::WeightFn;
use spec::{Categories, Docs, Flags, KeyFlags, KeySpec};

/// A request's arguments, the command's name first.
pub type Args<'a> = [&'a [u8]];

pub type ReadHandler = fn(&ReadContext<'_>, &Args<'_>, &mut Reply<'_>) -> CommandResult;
pub type WriteHandler = fn(&mut WriteContext<'_>, &Args<'_>, &mut Reply<'_>) -> CommandResult;

#[derive(Clone, Copy)]
pub enum Handler {
    Read(ReadHandler),
    Write(WriteHandler),
    /// It does nothing with data: it has subcommands, or is a process command's.
    None,
}

/// When a row that writes only reads, and how it reads then.
#[derive(Clone, Copy)]
struct Reading {
    /// Whether a command with these arguments changes nothing, whatever the keys hold.
    when: fn(&Args<'_>) -> bool,
    handler: ReadHandler,
}

/// What a blocking command answers that finds an element.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answered {
    /// An array.
    KeyAndElements,
    /// One string.
    Element,
}

/// How a blocking command waits.
#[derive(Clone, Copy, Debug)]
pub struct Blocking {
    /// The type of the keys it waits for; a key of another type readies nobody.
    pub waits_for: ValueType,
    /// The timeout in seconds (a decimal, 0 for ever) is the last argument, or the one at this index.
    pub timeout_at: Option<usize>,
    /// Says what is wrong with the arguments, before anybody waits by them.
    pub check: fn(&Args<'_>) -> CommandResult,
    pub answers_with: Answered,
    /// It waits only where its option BLOCK says for how many ms, and for entries of streams: there may be none for it though its
    /// keys are there.
    pub reads_streams: bool,
}

impl Blocking {
    /// A command whose timeout is its last argument.
    pub const fn last_argument(waits_for: ValueType, check: fn(&Args<'_>) -> CommandResult) -> Blocking {
        let answers_with = Answered::KeyAndElements;
        Blocking { waits_for, timeout_at: None, check, answers_with, reads_streams: false }
    }

    /// A command whose timeout is its first argument.
    pub const fn first_argument(waits_for: ValueType, check: fn(&Args<'_>) -> CommandResult) -> Blocking {
        Blocking { timeout_at: Some(1), ..Blocking::last_argument(waits_for, check) }
    }

    /// XREAD, XREADGROUP.
    pub const fn of_streams(check: fn(&Args<'_>) -> CommandResult) -> Blocking {
        Blocking { reads_streams: true, ..Blocking::last_argument(ValueType::Stream, check) }
    }

    /// Whether a command with these arguments waits where it finds nothing.
    pub fn waits(&self, args: &Args<'_>) -> bool {
        !self.reads_streams || stream::block_ms(args).is_some()
    }

    /// Answers a client that has waited in vain.
    pub fn write_nothing(reply: &mut Reply<'_>) {
        reply.null_array();
    }

    /// Answers that nothing is there to a command that may not wait: it is part of a transaction.
    pub fn write_nothing_at_once(&self, reply: &mut Reply<'_>) {
        match self.answers_with {
            Answered::KeyAndElements => reply.null_array(),
            Answered::Element => reply.null(),
        }
    }

    /// The same for a command that answers with the element alone.
    pub const fn of_one_element(self) -> Blocking {
        Blocking { answers_with: Answered::Element, ..self }
    }

    /// The timeout among a request's arguments, in ms from now; `None` waits for ever.
    pub fn timeout_ms(&self, args: &Args<'_>) -> Result<Option<i64>, CommandError> {
        if self.reads_streams {
            let block_ms = stream::block_ms(args).filter(|block_ms| *block_ms > 0);
            return Ok(block_ms.map(|block_ms| i64::try_from(block_ms).unwrap_or(i64::MAX)));
        }
        let text = args.get(self.timeout_at.unwrap_or(args.len() - 1)).copied().unwrap_or_default();
        let seconds = parse_double(text).filter(|seconds| seconds.is_finite());
        let seconds = seconds.ok_or(CommandError::other("ERR timeout is not a float or out of range"))?;
        if seconds < 0.0 {
            return Err(CommandError::other("ERR timeout is negative"));
        }
        if seconds > MAX_TIMEOUT_SECONDS {
            return Err(CommandError::other("ERR timeout is out of range"));
        }
        Ok((seconds > 0.0).then(|| (seconds * 1000.0).ceil() as i64))
    }
}

/// Past this a timeout in ms would not fit Redis' own arithmetic.
const MAX_TIMEOUT_SECONDS: f64 = (i64::MAX / 1000 / 2) as f64;

/// What a command answers of a string that it reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OfString {
    All,
    /// What lies between two indexes, its arguments after the key.
    Part,
    /// No bytes of it: at most a number for each argument.
    Numbers,
}

/// What a command does in a database that its arguments name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Elsewhere {
    /// It puts a value there, under the key at this place of its arguments.
    Put { db: usize, key_at: usize },
    /// It swaps these two.
    Swapped(usize, usize),
}

/// How a command names the script that it runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ScriptCall {
    ByText,
    ByDigest,
    /// It calls a function of a library.
    Function,
}

/// A row of the table.
#[derive(Clone, Copy)]
pub struct Command {
    /// Lower case.
    pub name: &'static str,
    /// Number of arguments, the name included; negative for "at least".
    pub arity: i32,
    handler: Handler,
    reading: Option<Reading>,
    pub flags: Flags,
    /// Categories beyond those that the flags and the family imply.
    pub extra_categories: Categories,
    pub keys: &'static [KeySpec],
    pub blocking: Option<Blocking>,
    /// What it may cost.
    pub cost: CostKind,
    /// What it takes in a script beside that.
    pub weight: Option<WeightFn>,
    elsewhere: Option<fn(&Args<'_>) -> Option<Elsewhere>>,
    asked: Option<fn(&Args<'_>) -> Asked>,
    /// It may give clients that wait for entries of a stream something to read, or take the group away that they read in.
    pub readies_readers: bool,
    pub of_string: OfString,
    /// What a script runs in place of its handler.
    in_scripts: Option<ReadHandler>,
    pub script: Option<ScriptCall>,
    /// The command that clients sent, where it is logged under this name.
    pub counts_as: Option<&'static str>,
    pub docs: Docs,
    pub subcommands: &'static [Command],
}

/// What a command with these arguments does with keys, for the permissions of users.
#[derive(Clone, Debug, Default)]
pub struct Asked {
    /// Places among the arguments.
    pub keys: Vec<(usize, KeyFlags)>,
    /// It may read keys that it does not name.
    pub reads_any_key: bool,
}

/// A file's commands.
pub struct Family {
    /// The group in COMMAND DOCS (`string`, `sorted-set` …).
    pub group: &'static str,
    pub categories: Categories,
    pub commands: &'static [Command],
}

impl Command {
    const fn new(name: &'static str, arity: i32, handler: Handler, flags: Flags) -> Command {
        Command {
            name,
            arity,
            handler,
            reading: None,
            flags,
            extra_categories: Categories::empty(),
            keys: &[],
            blocking: None,
            cost: CostKind::Arguments,
            weight: None,
            elsewhere: None,
            asked: None,
            of_string: OfString::All,
            readies_readers: false,
            in_scripts: None,
            script: None,
            counts_as: None,
            docs: Docs { summary: "", since: "1.0.0", complexity: "" },
            subcommands: &[],
        }
    }

    pub const fn read(name: &'static str, arity: i32, handler: ReadHandler) -> Command {
        Command::new(name, arity, Handler::Read(handler), Flags::READONLY)
    }

    pub const fn write(name: &'static str, arity: i32, handler: WriteHandler) -> Command {
        Command::new(name, arity, Handler::Write(handler), Flags::WRITE)
    }

    pub const fn container(name: &'static str, subcommands: &'static [Command]) -> Command {
        Command { subcommands, ..Command::without_handler(name, -2) }
    }

    /// What the table tells of a command that does nothing with data.
    pub const fn without_handler(name: &'static str, arity: i32) -> Command {
        Command::new(name, arity, Handler::None, Flags::empty())
    }

    /// Adds flags.
    pub const fn flags(self, flags: &[Flags]) -> Command {
        let mut bits = self.flags.bits();
        let mut at = 0;
        while at < flags.len() {
            bits |= flags[at].bits();
            at += 1;
        }
        Command { flags: Flags::from_bits_retain(bits), ..self }
    }

    /// Adds ACL categories beyond those of the family, the flags, and read or write.
    pub const fn categories(self, categories: Categories) -> Command {
        Command { extra_categories: categories, ..self }
    }

    pub const fn keys(self, keys: &'static [KeySpec]) -> Command {
        Command { keys, ..self }
    }

    /// Says what its options do with keys, where its key specs do not say exactly that.
    pub const fn asks(self, asked: fn(&Args<'_>) -> Asked) -> Command {
        Command { asked: Some(asked), ..self }
    }

    /// What a request with these arguments does with keys.
    pub fn asked(&self, args: &Args<'_>) -> Asked {
        if let Some(asked) = self.asked {
            return asked(args);
        }
        let specs = self.keys.iter().filter(|spec| !spec.flags.contains(KeyFlags::NOT_KEY));
        let keys = specs.flat_map(|spec| spec.places(args).map(|place| (place, spec.flags)));
        Asked { keys: keys.collect(), reads_any_key: false }
    }

    pub const fn blocking(self, blocking: Blocking) -> Command {
        Command { blocking: Some(blocking), ..self }.flags(&[Flags::BLOCKING])
    }

    /// Clients that wait for entries of its stream may be served by it.
    pub const fn readies_readers(self) -> Command {
        Command { readies_readers: true, ..self }
    }

    /// Where `when` holds for the arguments of this writing command it changes nothing, and `handler` answers it as a read.
    pub const fn reads_when(self, when: fn(&Args<'_>) -> bool, handler: ReadHandler) -> Command {
        Command { reading: Some(Reading { when, handler }), ..self }
    }

    /// Says that more than its arguments decide what it costs.
    pub const fn cost(self, cost: CostKind) -> Command {
        Command { cost, ..self }
    }

    /// Says that it takes more steps of a script than its cost tells.
    pub const fn weighs(self, weight: WeightFn) -> Command {
        Command { weight: Some(weight), ..self }
    }

    /// Says what it does in a database that its arguments name.
    pub const fn in_other_database(self, elsewhere: fn(&Args<'_>) -> Option<Elsewhere>) -> Command {
        Command { elsewhere: Some(elsewhere), ..self }
    }

    /// Says what it answers of a string.
    pub const fn answers(self, of_string: OfString) -> Command {
        Command { of_string, ..self }
    }

    /// Says that it runs a script.
    pub const fn runs(self, script: ScriptCall) -> Command {
        Command { script: Some(script), ..self }
    }

    /// Says that clients sent another command, by which statistics and the slow log know it.
    pub const fn counts_as(self, name: &'static str) -> Command {
        Command { counts_as: Some(name), ..self }
    }

    /// Scripts run this in its place: its answer is the same on every node.
    pub const fn in_scripts(self, handler: ReadHandler) -> Command {
        Command { in_scripts: Some(handler), ..self }
    }

    pub const fn docs(self, since: &'static str, complexity: &'static str, summary: &'static str) -> Command {
        Command { docs: Docs { summary, since, complexity }, ..self }
    }

    /// Whether a request of `argc` arguments, the name included, has the right number of them.
    pub fn arity_fits(&self, argc: usize) -> bool {
        match usize::try_from(self.arity) {
            Ok(exact) => argc == exact,
            Err(_) => argc >= self.arity.unsigned_abs() as usize,
        }
    }

    /// The places of all keys among the arguments.
    pub fn key_places(&self, args: &Args<'_>) -> impl Iterator<Item = usize> {
        self.keys.iter().flat_map(move |spec| spec.places(args))
    }

    /// The places of the keys that a blocking command waits for: those of its first spec.
    pub fn awaited_places(&self, args: &Args<'_>) -> impl Iterator<Item = usize> {
        self.keys.iter().take(1).flat_map(move |spec| spec.places(args))
    }

    /// Whether its first argument is a key and nothing else is.
    pub fn has_one_key(&self) -> bool {
        let is_first_argument = matches!(self.keys, [spec] if spec.is_first_argument());
        is_first_argument && !self.flags.contains(Flags::WHOLE_KEYSPACE)
    }

    /// The lock ranges that the command touches, and the slot of its key where it has just one.
    pub fn locks<'a>(&self, args: &Args<'a>) -> (LockSet, Option<KnownSlot<'a>>) {
        match args {
            [_, key, ..] if self.has_one_key() => {
                let known = KnownSlot::of(key);
                (known.locks(), Some(known))
            }
            _ => (self.lock_set(args), None),
        }
    }

    /// The lock ranges that the command touches.
    pub fn lock_set(&self, args: &Args<'_>) -> LockSet {
        if self.flags.contains(Flags::WHOLE_KEYSPACE) {
            return LockSet::ALL;
        }
        let keys = self.key_places(args).map(|place| LockSet::of_range(Slot::of(args[place]).range()));
        keys.fold(LockSet::NONE, LockSet::union)
    }

    /// Whether what one key holds may go to another.
    pub fn moves(&self) -> bool {
        matches!(self.cost, CostKind::MovesElements | CostKind::Carries(_))
    }

    /// Whether its arguments may name another database.
    pub fn names_databases(&self) -> bool {
        self.elsewhere.is_some()
    }

    /// What it does in a database that its arguments name; `None` also where it will fail.
    pub fn elsewhere(&self, args: &Args<'_>) -> Option<Elsewhere> {
        self.elsewhere.and_then(|elsewhere| elsewhere(args))
    }

    /// What a request with these arguments runs, and so the way that it takes. `args` fit the row's arity.
    pub fn handler_for(&self, args: &Args<'_>) -> Handler {
        match self.reading {
            Some(reading) if (reading.when)(args) => Handler::Read(reading.handler),
            _ => self.handler,
        }
    }

    /// What a script runs for a request with these arguments; a local command only where its row says so.
    pub fn handler_in_scripts(&self, args: &Args<'_>) -> Handler {
        self.in_scripts.map_or_else(|| self.handler_for(args), Handler::Read)
    }

    /// What apply runs for a logged command of this row: a log may hold commands that only read, from programs that logged them.
    pub fn logged_handler(&self) -> Option<WriteHandler> {
        match self.handler {
            Handler::Write(handler) => Some(handler),
            _ => None,
        }
    }

    /// Whether it may write, with some arguments at least.
    pub fn is_write(&self) -> bool {
        matches!(self.handler, Handler::Write(_))
    }

    /// Whether it reads, with some arguments, though it may write.
    pub fn may_only_read(&self) -> bool {
        self.reading.is_some()
    }

    /// Whether it works on the keyspace.
    pub fn uses_keyspace(&self) -> bool {
        matches!(self.handler, Handler::Read(_) | Handler::Write(_))
    }
}
