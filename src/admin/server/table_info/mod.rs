//! COMMAND: the command table, told to clients. Drivers find keys by it, command lines their help.
//!
//! Source: <https://redis.io/docs/latest/commands/command/>.

mod docs;
mod filter;
mod keys;
mod row;

use super::ANYTIME;
use crate::command::spec::{Categories, Flags};
use crate::command::table::{Row, commands, lookup, lookup_subcommand};
use crate::command::{Args, Command, CommandError, CommandResult, LocalContext};
use crate::protocol::reply::Reply;

pub(super) const COMMAND: Command = Command::local("command", -1, all)
    .subcommands(SUBCOMMANDS)
    .flags(&[ANYTIME])
    .categories(Categories::CONNECTION)
    .docs(
        "2.8.13",
        "O(N) where N is the total number of commands",
        "Returns detailed information about all commands.",
    );

const SUBCOMMANDS: &[Command] = &[
    subcommand("count", 2, count, "2.8.13", "Returns a count of commands."),
    subcommand(
        "docs",
        -2,
        docs::docs,
        "7.0.0",
        "Returns documentary information about one, multiple or all commands.",
    ),
    subcommand("getkeys", -3, keys::getkeys, "2.8.13", "Extracts the key names from an arbitrary command."),
    subcommand(
        "getkeysandflags",
        -3,
        keys::getkeysandflags,
        "7.0.0",
        "Extracts the key names and access flags for an arbitrary command.",
    ),
    subcommand("help", 2, help, "5.0.0", "Returns helpful text about the different subcommands."),
    subcommand("info", -2, info, "2.8.13", "Returns information about one, multiple or all commands."),
    subcommand("list", -2, filter::list, "7.0.0", "Returns a list of command names."),
];

const fn subcommand(
    name: &'static str,
    arity: i32,
    handler: crate::command::LocalHandler,
    since: &'static str,
    summary: &'static str,
) -> Command {
    Command::local(name, arity, handler).flags(&[ANYTIME]).categories(Categories::CONNECTION).docs(
        since,
        "O(N) where N is the number of commands asked for",
        summary,
    )
}

const HELP: [&str; 19] = [
    "COMMAND <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
    "(no subcommand)",
    "    Return details about all commands.",
    "COUNT",
    "    Return the total number of commands in this server.",
    "LIST [FILTERBY (MODULE <module-name>|ACLCAT <category>|PATTERN <pattern>)]",
    "    Return a list of all commands in this server.",
    "INFO [<command-name> ...]",
    "    Return details about multiple commands.",
    "    If no command names are given, documentation details for all commands are returned.",
    "DOCS [<command-name> ...]",
    "    Return documentation details about multiple commands.",
    "    If no command names are given, documentation details for all commands are returned.",
    "GETKEYS <full-command>",
    "    Return the keys from a full command.",
    "GETKEYSANDFLAGS <full-command>",
    "    Return the keys and the access flags from a full command.",
    "HELP",
    "    Print this help.",
];

/// A command of the table, or a subcommand in its row.
#[derive(Clone, Copy)]
struct Named {
    row: Row,
    subcommand: Option<&'static Command>,
}

impl Named {
    /// The one of this name (`get`, `client|list`), in any case; those of the server's own are not told of.
    fn find(name: &[u8]) -> Option<Named> {
        let mut parts = name.splitn(2, |byte| *byte == b'|');
        let row = lookup(parts.next()?).filter(is_told)?;
        match parts.next() {
            None => Some(Named { row, subcommand: None }),
            Some(name) => {
                let subcommand = lookup_subcommand(row.command, name)?;
                Some(Named { row, subcommand: Some(subcommand) })
            }
        }
    }

    fn command(&self) -> &'static Command {
        self.subcommand.unwrap_or(self.row.command)
    }

    fn full_name(&self) -> String {
        match self.subcommand {
            None => self.row.command.name.to_owned(),
            Some(subcommand) => format!("{}|{}", self.row.command.name, subcommand.name),
        }
    }

    fn subcommands(&self) -> impl ExactSizeIterator<Item = Named> {
        let row = self.row;
        self.command().subcommands.iter().map(move |subcommand| Named { row, subcommand: Some(subcommand) })
    }
}

fn is_told(row: &Row) -> bool {
    !row.command.flags.contains(Flags::INTERNAL)
}

/// All commands that clients may send.
fn told() -> Vec<Named> {
    commands().filter(is_told).map(|row| Named { row, subcommand: None }).collect()
}

fn all(_: &mut LocalContext<'_>, _: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    write_all(reply);
    Ok(())
}

fn write_all(reply: &mut Reply<'_>) {
    let told = told();
    reply.array(told.len());
    reply.each(&told, |reply, named| row::write(named, reply));
}

fn count(_: &mut LocalContext<'_>, _: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    reply.integer(told().len() as i64);
    Ok(())
}

/// One request is told of so many commands and subcommands at most: some 40 ms.
const MAX_TOLD: usize = 50_000;

/// Refuses a request that names, again and again, more than one may.
fn check_count(names: &Args<'_>) -> CommandResult {
    let mut told = 0;
    for name in names {
        told += 1 + Named::find(name).map_or(0, |named| named.subcommands().len());
        if told > MAX_TOLD {
            let error = format!("ERR the reply would tell of more than {MAX_TOLD} commands and subcommands");
            return Err(CommandError::other(error));
        }
    }
    Ok(())
}

/// A name that is no command's is answered by a null.
fn info(_: &mut LocalContext<'_>, args: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    if args.len() == 2 {
        write_all(reply);
        return Ok(());
    }
    check_count(&args[2..])?;
    reply.array(args.len() - 2);
    reply.each(&args[2..], |reply, name| match Named::find(name) {
        Some(named) => row::write(&named, reply),
        None => reply.null(),
    });
    Ok(())
}

fn help(_: &mut LocalContext<'_>, _: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    reply.lines(&HELP);
    Ok(())
}

/// The command that `args` would run, with its arguments checked for their number.
fn resolve(args: &Args<'_>) -> Result<&'static Command, CommandError> {
    let invalid = CommandError::other("ERR Invalid command specified");
    let row = lookup(args[0]).filter(is_told).ok_or(invalid.clone())?;
    let command = match args.get(1) {
        Some(name) if !row.command.subcommands.is_empty() => {
            lookup_subcommand(row.command, name).ok_or(invalid)?
        }
        _ => row.command,
    };
    let fits = command.arity_fits(args.len());
    fits.then_some(command)
        .ok_or(CommandError::other("ERR Invalid number of arguments specified for command"))
}
