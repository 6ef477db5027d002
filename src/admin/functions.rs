//! FUNCTION: the libraries of functions that all nodes have.
//!
//! LOAD, RESTORE, DELETE and FLUSH are logged: the session carries them out, and runs the handlers here for what is wrong with the arguments.
//!
//! Source: <https://redis.io/docs/latest/commands/?group=scripting>, the texts of errors redis-server's.

use super::LocalContext;
use super::table::{ProcessCommand, ProcessFamily, SessionCommand, TableRow};
use crate::command::args::is;
use crate::command::script::{
    FUNCTION_REMOVE, FUNCTION_STORE, Library, all_libraries, check_library, collision_of, has_library,
    libraries_of, library_totals,
};
use crate::command::spec::{Categories, Flags};
use crate::command::{Args, CommandError, CommandResult, ReadContext};
use crate::glob::{Case, Glob};
use crate::keyspace::view::LockSet;
use crate::protocol::reply::Reply;
use crate::rdb::dump_libraries;

const ABOUT_FUNCTIONS: Flags = Flags::NOSCRIPT;
/// They are logged, so they wait while writes are paused.
const CHANGES: Flags = ABOUT_FUNCTIONS.union(Flags::ON_PRIMARY).union(Flags::MAY_REPLICATE);

pub const FAMILY: ProcessFamily = ProcessFamily {
    group: "scripting",
    categories: Categories::SCRIPTING,
    commands: &[ProcessCommand::container("function", SUBCOMMANDS).docs(
        "7.0.0",
        "Depends on subcommand.",
        "A container for function commands.",
    )],
};

const SUBCOMMANDS: &[ProcessCommand] = &[
    ProcessCommand::session("delete", 3, SessionCommand::ChangeFunctions, delete).flags(&[CHANGES]).docs(
        "7.0.0",
        "O(1)",
        "Deletes a library and its functions.",
    ),
    ProcessCommand::local("dump", 2, dump).flags(&[ABOUT_FUNCTIONS, Flags::TELLS_GROUP]).docs(
        "7.0.0",
        "O(N) where N is the number of functions",
        "Dumps all libraries into a serialized binary payload.",
    ),
    ProcessCommand::session("flush", -2, SessionCommand::ChangeFunctions, flush).flags(&[CHANGES]).docs(
        "7.0.0",
        "O(N) where N is the number of functions deleted",
        "Deletes all libraries and functions.",
    ),
    ProcessCommand::local("help", 2, help).flags(&[Flags::LOADING, Flags::STALE]).docs(
        "7.0.0",
        "O(1)",
        "Returns helpful text about the different subcommands.",
    ),
    ProcessCommand::local("kill", 2, kill).flags(&[ABOUT_FUNCTIONS, Flags::ALLOW_BUSY]).docs(
        "7.0.0",
        "O(1)",
        "Terminates a function during execution; here a function ends by its limit.",
    ),
    ProcessCommand::local("list", -2, list).flags(&[ABOUT_FUNCTIONS, Flags::TELLS_GROUP]).docs(
        "7.0.0",
        "O(N) where N is the number of functions",
        "Returns information about all libraries.",
    ),
    ProcessCommand::session("load", -3, SessionCommand::ChangeFunctions, load).flags(&[CHANGES]).docs(
        "7.0.0",
        "O(1) (considering compilation time is redundant)",
        "Creates a library.",
    ),
    ProcessCommand::session("restore", -3, SessionCommand::ChangeFunctions, restore).flags(&[CHANGES]).docs(
        "7.0.0",
        "O(N) where N is the number of functions on the payload",
        "Restores all libraries from a payload.",
    ),
    ProcessCommand::local("stats", 2, stats)
        .flags(&[ABOUT_FUNCTIONS, Flags::TELLS_GROUP, Flags::ALLOW_BUSY])
        .docs("7.0.0", "O(1)", "Returns information about a function during execution."),
];

const HELP: [&str; 40] = [
    "FUNCTION <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
    "LOAD [REPLACE] <FUNCTION CODE>",
    "    Create a new library with the given library name and code.",
    "DELETE <LIBRARY NAME>",
    "    Delete the given library.",
    "LIST [LIBRARYNAME PATTERN] [WITHCODE]",
    "    Return general information on all the libraries:",
    "    * Library name",
    "    * The engine used to run the Library",
    "    * Library description",
    "    * Functions list",
    "    * Library code (if WITHCODE is given)",
    "    It also possible to get only function that matches a pattern using LIBRARYNAME argument.",
    "STATS",
    "    Return information about the current function running:",
    "    * Function name",
    "    * Command used to run the function",
    "    * Duration in MS that the function is running",
    "    If no function is running, return nil",
    "    In addition, returns a list of available engines.",
    "KILL",
    "    Kill the current running function.",
    "FLUSH [ASYNC|SYNC]",
    "    Delete all the libraries.",
    "    When called without the optional mode argument, the behavior is determined by the",
    "    lazyfree-lazy-user-flush configuration directive. Valid modes are:",
    "    * ASYNC: Asynchronously flush the libraries.",
    "    * SYNC: Synchronously flush the libraries.",
    "DUMP",
    "    Return a serialized payload representing the current libraries, can be restored using FUNCTION RESTORE command",
    "RESTORE <PAYLOAD> [FLUSH|APPEND|REPLACE]",
    "    Restore the libraries represented by the given payload, it is possible to give a restore policy to",
    "    control how to handle existing libraries (default APPEND):",
    "    * FLUSH: delete all existing libraries.",
    "    * APPEND: appends the restored libraries to the existing libraries. On collision, abort.",
    "    * REPLACE: appends the restored libraries to the existing libraries, On collision, replace the old",
    "      libraries with the new libraries (notice that even on this option there is a chance of failure",
    "      in case of functions name collision with another library).",
    "HELP",
    "    Prints this help.",
];

/// What is logged for a subcommand that changes libraries.
pub fn logged_change<'a>(row: &TableRow, args: &Args<'a>) -> Vec<&'a [u8]> {
    match (row.command.name, args) {
        ("load", [_, _, code]) => vec![FUNCTION_STORE, b"LOAD", code],
        ("load", [_, _, .., code]) => vec![FUNCTION_STORE, b"REPLACE", code],
        ("restore", [_, _, payload]) => vec![FUNCTION_STORE, b"RESTORE", b"APPEND", payload],
        ("restore", [_, _, payload, policy]) => vec![FUNCTION_STORE, b"RESTORE", policy, payload],
        ("delete", [_, _, name]) => vec![FUNCTION_REMOVE, b"DELETE", name],
        _ => vec![FUNCTION_REMOVE, b"FLUSH"],
    }
}

/// Says whether there is anything to be logged.
fn delete(ctx: &mut LocalContext<'_>, args: &Args<'_>, _: &mut Reply<'_>) -> CommandResult {
    match with_libraries(ctx, |reader| has_library(reader, args[2])) {
        true => Ok(()),
        false => Err(CommandError::other("ERR Library not found")),
    }
}

/// Says whether it may be logged.
fn load(_: &mut LocalContext<'_>, args: &Args<'_>, _: &mut Reply<'_>) -> CommandResult {
    let (code, options) = args[2..].split_last().ok_or_else(|| wrong_arguments(args))?;
    if let Some(option) = options.iter().find(|option| !is(option, "REPLACE")) {
        let option = String::from_utf8_lossy(option);
        return Err(CommandError::other(format!("ERR Unknown option given: {option}")));
    }
    check_library(code)
}

/// As for [`load`].
fn flush(_: &mut LocalContext<'_>, args: &Args<'_>, _: &mut Reply<'_>) -> CommandResult {
    match args[2..] {
        [] => Ok(()),
        [mode] if is(mode, "SYNC") || is(mode, "ASYNC") => Ok(()),
        [_] => Err(CommandError::other("ERR FUNCTION FLUSH only supports SYNC|ASYNC option")),
        _ => Err(wrong_arguments(args)),
    }
}

/// As for [`load`].
fn restore(_: &mut LocalContext<'_>, args: &Args<'_>, _: &mut Reply<'_>) -> CommandResult {
    match args[2..] {
        [payload] => libraries_of(payload).map(drop),
        [payload, policy] => {
            collision_of(policy)?;
            libraries_of(payload).map(drop)
        }
        _ => Err(wrong_arguments(args)),
    }
}

fn wrong_arguments(args: &Args<'_>) -> CommandError {
    let subcommand = String::from_utf8_lossy(args[1]);
    CommandError::other(format!(
        "ERR unknown subcommand or wrong number of arguments for '{subcommand}'. Try FUNCTION HELP."
    ))
}

/// Does something with the libraries as they are now.
fn with_libraries<T>(ctx: &LocalContext<'_>, act: impl FnOnce(&ReadContext<'_>) -> T) -> T {
    let view = ctx.shared.shard.keyspace.read(LockSet::ALL);
    act(&ReadContext::new(&view, 0, i64::MIN, 0))
}

/// What FUNCTION LIST is asked for.
#[derive(Default)]
struct Asked<'a> {
    pattern: Option<&'a [u8]>,
    with_code: bool,
}

impl<'a> Asked<'a> {
    fn parse(args: &Args<'a>) -> Result<Asked<'a>, CommandError> {
        let mut asked = Asked::default();
        let mut rest = args;
        while let [option, after @ ..] = rest {
            rest = after;
            if !asked.with_code && is(option, "WITHCODE") {
                asked.with_code = true;
            } else if asked.pattern.is_none() && is(option, "LIBRARYNAME") {
                let missing = || CommandError::other("ERR library name argument was not given");
                let (pattern, after) = rest.split_first().ok_or_else(missing)?;
                (asked.pattern, rest) = (Some(*pattern), after);
            } else {
                let option = String::from_utf8_lossy(option);
                return Err(CommandError::other(format!("ERR Unknown argument {option}")));
            }
        }
        Ok(asked)
    }
}

/// <https://redis.io/docs/latest/commands/function-list/>
fn list(ctx: &mut LocalContext<'_>, args: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    let asked = Asked::parse(&args[2..])?;
    let glob = asked.pattern.map(|pattern| Glob::new(pattern, Case::Insensitive));
    let matches = |library: &Library| glob.as_ref().is_none_or(|glob| glob.matches(&library.name));
    let libraries = with_libraries(ctx, all_libraries);
    let told: Vec<&Library> = libraries.iter().filter(|library| matches(library)).collect();
    reply.array(told.len());
    told.into_iter().for_each(|library| tell(library, asked.with_code, reply));
    Ok(())
}

fn tell(library: &Library, with_code: bool, reply: &mut Reply<'_>) {
    reply.map(if with_code { 4 } else { 3 });
    reply.bulk(b"library_name");
    reply.bulk(&library.name);
    reply.bulk(b"engine");
    reply.bulk(b"LUA");
    reply.bulk(b"functions");
    reply.array(library.functions.len());
    for function in &library.functions {
        reply.map(3);
        reply.bulk(b"name");
        reply.bulk(&function.name);
        reply.bulk(b"description");
        reply.bulk_or_null(function.description.as_deref());
        reply.bulk(b"flags");
        reply.set(function.flags.names().count());
        function.flags.names().for_each(|flag| reply.simple(flag));
    }
    if with_code {
        reply.bulk(b"library_code");
        reply.bulk(&library.code);
    }
}

/// <https://redis.io/docs/latest/commands/function-dump/>
fn dump(ctx: &mut LocalContext<'_>, _: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    let libraries = with_libraries(ctx, all_libraries);
    reply.bulk(&dump_libraries(libraries.iter().map(|library| &library.code[..])));
    Ok(())
}

/// No function ever runs for so long that it could be told. <https://redis.io/docs/latest/commands/function-stats/>
fn stats(ctx: &mut LocalContext<'_>, _: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    let totals = with_libraries(ctx, library_totals);
    reply.map(2);
    reply.bulk(b"running_script");
    reply.null();
    reply.bulk(b"engines");
    reply.map(1);
    reply.bulk(b"LUA");
    reply.map(2);
    reply.bulk(b"libraries_count");
    reply.integer(totals.libraries as i64);
    reply.bulk(b"functions_count");
    reply.integer(totals.functions as i64);
    Ok(())
}

/// As SCRIPT KILL. <https://redis.io/docs/latest/commands/function-kill/>
fn kill(_: &mut LocalContext<'_>, _: &Args<'_>, _: &mut Reply<'_>) -> CommandResult {
    Err(CommandError::other("NOTBUSY No scripts in execution right now."))
}

fn help(_: &mut LocalContext<'_>, _: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    reply.lines(&HELP);
    Ok(())
}
