//! The rows of all commands: data commands as `command/` has them, process commands with the way in which they run.
//!
//! - COMMAND, LATENCY and the session find every command here; apply and a replay know data commands alone.
//! - A container may have subcommands about data (`command/`) and others (`admin/`): the table makes one row of both, and tells
//!   what the process command's row says.
//! - Indexes of data commands are those of `command::families`, and the process commands' follow: a statistic counts both.

use super::{AwaitedHandler, LocalHandler};
use crate::command::families;
use crate::command::names::Names;
use crate::command::spec::{Categories, Flags, KeySpec};
use crate::command::{Args, Asked, Command, families::NO_COMMAND};

/// How a command runs.
#[derive(Clone, Copy)]
pub enum Way {
    /// It reads or writes, as the handler of its row says.
    Data,
    /// It concerns the connection or the process alone: it runs on the worker and answers at once.
    Local(LocalHandler),
    /// It concerns the node alone; its answer waits for the driver or for a thread.
    Awaited(AwaitedHandler),
    /// The session carries it out, or does something beside running this handler.
    Session(SessionCommand, LocalHandler),
    /// It has subcommands and does nothing itself.
    Container,
}

/// The commands that the session knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SessionCommand {
    Multi,
    Exec,
    Discard,
    Watch,
    Unwatch,
    Quit,
    Reset,
    Select,
    Hello,
    /// CLIENT REPLY.
    ReplyMode,
    /// SUBSCRIBE and its kind: its answers are messages, which CLIENT REPLY does not turn off.
    Subscription,
    Monitor,
    Publish,
    ShardPublish,
    /// WAIT and WAITAOF.
    WaitForAcks,
    Migrate,
    /// PERDURA MARK.
    Mark,
    /// SYNC and PSYNC.
    Sync,
    /// CLIENT UNBLOCK.
    Unblock,
    /// PERDURA INDEX.
    LogIndex,
    /// ACL SETUSER.
    SetUser,
    /// ACL DELUSER.
    DeleteUsers,
    ScriptLoad,
    ScriptFlush,
    /// CONFIG SET.
    SetParameters,
    /// FUNCTION LOAD, RESTORE, DELETE and FLUSH.
    ChangeFunctions,
}

/// Which of its arguments are channels, for the permissions of users.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ChannelUse {
    #[default]
    None,
    /// The first argument.
    First,
    /// All of them.
    All,
    /// All of them are patterns.
    Patterns,
}

/// A process command: what the table tells of it, and how it runs.
#[derive(Clone, Copy)]
pub struct ProcessCommand {
    pub command: Command,
    pub way: Way,
    pub channels: ChannelUse,
    pub subcommands: &'static [ProcessCommand],
}

/// A file's process commands.
pub struct ProcessFamily {
    /// The group in COMMAND DOCS (`connection`, `server` …).
    pub group: &'static str,
    pub categories: Categories,
    pub commands: &'static [ProcessCommand],
}

impl ProcessCommand {
    const fn new(name: &'static str, arity: i32, way: Way) -> ProcessCommand {
        ProcessCommand {
            command: Command::without_handler(name, arity),
            way,
            channels: ChannelUse::None,
            subcommands: &[],
        }
    }

    pub const fn local(name: &'static str, arity: i32, handler: LocalHandler) -> ProcessCommand {
        ProcessCommand::new(name, arity, Way::Local(handler))
    }

    /// It can't be part of a transaction.
    pub const fn awaited(name: &'static str, arity: i32, handler: AwaitedHandler) -> ProcessCommand {
        ProcessCommand::new(name, arity, Way::Awaited(handler)).flags(&[Flags::NO_MULTI])
    }

    /// A command that the session knows; `handler` runs where the session does nothing in its place.
    pub const fn session(
        name: &'static str,
        arity: i32,
        command: SessionCommand,
        handler: LocalHandler,
    ) -> ProcessCommand {
        ProcessCommand::new(name, arity, Way::Session(command, handler))
    }

    pub const fn container(name: &'static str, subcommands: &'static [ProcessCommand]) -> ProcessCommand {
        ProcessCommand { subcommands, ..ProcessCommand::new(name, -2, Way::Container) }
    }

    /// A command that does something by itself has these, too.
    pub const fn subcommands(self, subcommands: &'static [ProcessCommand]) -> ProcessCommand {
        ProcessCommand { subcommands, ..self }
    }

    /// Adds flags.
    pub const fn flags(self, flags: &[Flags]) -> ProcessCommand {
        ProcessCommand { command: self.command.flags(flags), ..self }
    }

    /// Adds ACL categories beyond those of the family and the flags.
    pub const fn categories(self, categories: Categories) -> ProcessCommand {
        ProcessCommand { command: self.command.categories(categories), ..self }
    }

    /// Says which of its arguments are channels.
    pub const fn channels(self, channels: ChannelUse) -> ProcessCommand {
        ProcessCommand { channels, ..self }
    }

    /// Says what its options do with keys, where its key specs do not say exactly that.
    pub const fn asks(self, asked: fn(&Args<'_>) -> Asked) -> ProcessCommand {
        ProcessCommand { command: self.command.asks(asked), ..self }
    }

    pub const fn keys(self, keys: &'static [KeySpec]) -> ProcessCommand {
        ProcessCommand { command: self.command.keys(keys), ..self }
    }

    pub const fn docs(
        self,
        since: &'static str,
        complexity: &'static str,
        summary: &'static str,
    ) -> ProcessCommand {
        ProcessCommand { command: self.command.docs(since, complexity, summary), ..self }
    }
}

/// A command of the table, or a subcommand in its row.
pub struct TableRow {
    pub command: &'static Command,
    pub way: Way,
    pub channels: ChannelUse,
    /// The group in COMMAND DOCS.
    pub group: &'static str,
    /// The ACL categories: those of the family, those that the flags imply, and its own.
    pub categories: Categories,
    /// The place in [`Table::statistic_names`].
    pub index: usize,
    /// `client`, `client|list` …
    pub full_name: String,
    /// In the order of their names.
    pub subcommands: Vec<TableRow>,
}

/// Every command by its name.
pub struct Table {
    /// In the order of names.
    rows: Vec<TableRow>,
    names: Names,
    /// By index.
    statistic_names: Vec<String>,
}

impl TableRow {
    /// The subcommand of this name, in any case.
    pub fn subcommand(&self, name: &[u8]) -> Option<&TableRow> {
        self.subcommands.iter().find(|sub| sub.command.name.as_bytes().eq_ignore_ascii_case(name))
    }

    /// What the session knows it as.
    #[inline]
    pub fn session(&self) -> Option<SessionCommand> {
        match self.way {
            Way::Session(command, _) => Some(command),
            _ => None,
        }
    }

    /// Whether its handler runs on the worker and answers at once.
    pub fn is_local(&self) -> bool {
        matches!(self.way, Way::Local(_) | Way::Session(..))
    }

    /// Whether clients may send it, and are told of it.
    pub fn is_told(&self) -> bool {
        !self.command.flags.contains(Flags::INTERNAL)
    }
}

/// The categories of a command of a family with these.
fn categories_of(command: &Command, family: Categories) -> Categories {
    let implied = [
        (Flags::WRITE, Categories::WRITE),
        (Flags::READONLY, Categories::READ),
        (Flags::ADMIN, Categories::ADMIN.union(Categories::DANGEROUS)),
        (Flags::BLOCKING, Categories::BLOCKING),
        (Flags::PUBSUB, Categories::PUBSUB),
    ];
    let implied =
        implied.iter().filter(|(flag, _)| command.flags.contains(*flag)).map(|(_, category)| *category);
    let speed = if command.flags.contains(Flags::FAST) { Categories::FAST } else { Categories::SLOW };
    implied.fold(family | command.extra_categories | speed, Categories::union)
}

/// A family as its rows tell of it, and the container that a subcommand is in.
#[derive(Clone, Copy)]
struct Within {
    group: &'static str,
    categories: Categories,
    container: Option<&'static str>,
}

impl Within {
    fn row(self, command: &'static Command, way: Way, index: usize) -> TableRow {
        let name = command.name;
        TableRow {
            command,
            way,
            channels: ChannelUse::None,
            group: self.group,
            categories: categories_of(command, self.categories),
            index,
            full_name: self.container.map_or(name.to_owned(), |container| format!("{container}|{name}")),
            subcommands: Vec::new(),
        }
    }

    fn inside(self, container: &'static Command) -> Within {
        Within { container: Some(container.name), ..self }
    }
}

fn data_row(row: families::Row) -> TableRow {
    let within = Within { group: row.family.group, categories: row.family.categories, container: None };
    let way = |command: &Command| if command.uses_keyspace() { Way::Data } else { Way::Container };
    let mut own = within.row(row.command, way(row.command), row.index);
    let within = within.inside(row.command);
    let subs = row.command.subcommands.iter().zip(row.index + 1..);
    own.subcommands = subs.map(|(sub, index)| within.row(sub, way(sub), index)).collect();
    own
}

impl Table {
    /// The data commands and these.
    pub fn build(families: &[&'static ProcessFamily]) -> Table {
        let mut rows: Vec<TableRow> = families::commands().map(data_row).collect();
        let mut next = families::statistic_names().len();
        for family in families {
            let within = Within { group: family.group, categories: family.categories, container: None };
            for process in family.commands {
                let begun = rows.iter().position(|row| row.command.name == process.command.name);
                let begun = begun.map(|place| rows.swap_remove(place));
                rows.push(process_row(within, process, begun, &mut next));
            }
        }
        rows.sort_unstable_by_key(|row| row.command.name);
        let names: Vec<&str> = rows.iter().map(|row| row.command.name).collect();
        assert!(names.is_sorted_by(|a, b| a < b), "two commands have one name");
        let names = Names::new(&names);
        let mut statistic_names = vec![String::new(); next];
        let all = rows.iter().flat_map(|row| std::iter::once(row).chain(&row.subcommands));
        all.for_each(|row| statistic_names[row.index].clone_from(&row.full_name));
        Table { rows, names, statistic_names }
    }

    /// Every row, by name.
    pub fn rows(&self) -> &[TableRow] {
        &self.rows
    }

    /// The row of a command, whatever the case of its name.
    #[inline]
    pub fn lookup(&self, name: &[u8]) -> Option<&TableRow> {
        self.names.find(name, |number| self.rows[number].command.name).map(|number| &self.rows[number])
    }

    /// The row or the subcommand that a request names.
    pub fn find(&self, args: &Args<'_>) -> Option<&TableRow> {
        let row = self.lookup(args.first()?)?;
        let sub = args.get(1).and_then(|name| row.subcommand(name));
        Some(sub.unwrap_or(row))
    }

    /// The names of all commands and subcommands (`client|list`), in the order of their indexes.
    pub fn statistic_names(&self) -> &[String] {
        &self.statistic_names
    }

    /// The name at an index; empty for [`NO_COMMAND`].
    pub fn statistic_name(&self, index: usize) -> &str {
        self.statistic_names.get(index).map_or("", String::as_str)
    }

    /// The index of the command that a request names.
    pub fn statistic_index(&self, args: &Args<'_>) -> usize {
        self.find(args).map_or(NO_COMMAND, |row| row.index)
    }
}

/// The row of a process command. `begun` is what the data's families have of it: a container with some of its subcommands.
fn process_row(
    within: Within,
    process: &'static ProcessCommand,
    begun: Option<TableRow>,
    next: &mut usize,
) -> TableRow {
    let mut take = || {
        *next += 1;
        *next - 1
    };
    let (index, mut subcommands) = match begun {
        Some(data) => {
            assert!(matches!(data.way, Way::Container), "two commands have the name {}", data.full_name);
            (data.index, data.subcommands)
        }
        None => (take(), Vec::new()),
    };
    let mut own = TableRow { channels: process.channels, ..within.row(&process.command, process.way, index) };
    let within = within.inside(&process.command);
    subcommands.extend(process.subcommands.iter().map(|sub| within.row(&sub.command, sub.way, take())));
    subcommands.sort_unstable_by_key(|row| row.command.name);
    own.subcommands = subcommands;
    own
}
