//! COMMAND: the command table, told to clients. Drivers find keys by it, command lines their help.
//!
//! Source: <https://redis.io/docs/latest/commands/command/>.

mod docs;
mod filter;
mod keys;
mod row;

use super::ANYTIME;
use crate::admin::table::{ProcessCommand, Table, TableRow};
use crate::admin::{LocalContext, LocalHandler};
use crate::command::spec::Categories;
use crate::command::{Args, Command, CommandError, CommandResult};
use crate::protocol::reply::Reply;

pub(super) const COMMAND: ProcessCommand = ProcessCommand::local("command", -1, all)
    .subcommands(SUBCOMMANDS)
    .flags(&[ANYTIME])
    .categories(Categories::CONNECTION)
    .docs(
        "2.8.13",
        "O(N) where N is the total number of commands",
        "Returns detailed information about all commands.",
    );

const SUBCOMMANDS: &[ProcessCommand] = &[
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
    handler: LocalHandler,
    since: &'static str,
    summary: &'static str,
) -> ProcessCommand {
    ProcessCommand::local(name, arity, handler).flags(&[ANYTIME]).categories(Categories::CONNECTION).docs(
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

/// The row of this name (`get`, `client|list`), in any case; those of the server's own are not told of.
fn find<'t>(table: &'t Table, name: &[u8]) -> Option<&'t TableRow> {
    let mut parts = name.splitn(2, |byte| *byte == b'|');
    let row = table.lookup(parts.next()?).filter(|row| row.is_told())?;
    match parts.next() {
        None => Some(row),
        Some(name) => row.subcommand(name),
    }
}

/// All commands that clients may send.
fn told(table: &Table) -> Vec<&TableRow> {
    table.rows().iter().filter(|row| row.is_told()).collect()
}

fn all(ctx: &mut LocalContext<'_>, _: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    write_all(ctx.table, reply);
    Ok(())
}

fn write_all(table: &Table, reply: &mut Reply<'_>) {
    let told = told(table);
    reply.array(told.len());
    reply.each(&told, |reply, told| row::write(told, reply));
}

fn count(ctx: &mut LocalContext<'_>, _: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    reply.integer(told(ctx.table).len() as i64);
    Ok(())
}

/// One request is told of so many commands and subcommands at most: some 40 ms.
const MAX_TOLD: usize = 50_000;

/// Refuses a request that names, again and again, more than one may.
fn check_count(table: &Table, names: &Args<'_>) -> CommandResult {
    let mut told = 0;
    for name in names {
        told += 1 + find(table, name).map_or(0, |row| row.subcommands.len());
        if told > MAX_TOLD {
            let error = format!("ERR the reply would tell of more than {MAX_TOLD} commands and subcommands");
            return Err(CommandError::other(error));
        }
    }
    Ok(())
}

/// A name that is no command's is answered by a null.
fn info(ctx: &mut LocalContext<'_>, args: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    if args.len() == 2 {
        write_all(ctx.table, reply);
        return Ok(());
    }
    check_count(ctx.table, &args[2..])?;
    reply.array(args.len() - 2);
    reply.each(&args[2..], |reply, name| match find(ctx.table, name) {
        Some(row) => row::write(row, reply),
        None => reply.null(),
    });
    Ok(())
}

fn help(_: &mut LocalContext<'_>, _: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    reply.lines(&HELP);
    Ok(())
}

/// The command that `args` would run, with its arguments checked for their number.
fn resolve(table: &Table, args: &Args<'_>) -> Result<&'static Command, CommandError> {
    let invalid = CommandError::other("ERR Invalid command specified");
    let row = table.lookup(args[0]).filter(|row| row.is_told()).ok_or(invalid.clone())?;
    let row = match args.get(1) {
        Some(name) if !row.subcommands.is_empty() => row.subcommand(name).ok_or(invalid)?,
        _ => row,
    };
    let command = row.command;
    let fits = command.arity_fits(args.len());
    fits.then_some(command)
        .ok_or(CommandError::other("ERR Invalid number of arguments specified for command"))
}
