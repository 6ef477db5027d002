//! SCRIPT: the scripts that nodes know by their digests.
//!
//! LOAD and FLUSH are logged: the session carries them out, and runs the handlers here for what is wrong with the arguments.
//!
//! Source: <https://redis.io/docs/latest/commands/?group=scripting>.

use super::LocalContext;
use super::table::{ProcessCommand, ProcessFamily, SessionCommand};
use crate::command::args::is;
use crate::command::script::{NO_SCRIPT, check_text, script_named};
use crate::command::spec::{Categories, Flags};
use crate::command::{Args, CommandError, CommandResult};
use crate::protocol::reply::Reply;

const ABOUT_SCRIPTS: Flags = Flags::NOSCRIPT;
/// They are logged, so they wait while writes are paused.
const CHANGES_SCRIPTS: Flags = ABOUT_SCRIPTS.union(Flags::ON_PRIMARY).union(Flags::MAY_REPLICATE);

pub const FAMILY: ProcessFamily = ProcessFamily {
    group: "scripting",
    categories: Categories::SCRIPTING,
    commands: &[ProcessCommand::container("script", SUBCOMMANDS).docs(
        "2.6.0",
        "Depends on subcommand.",
        "A container for Lua scripts management commands.",
    )],
};

const SUBCOMMANDS: &[ProcessCommand] = &[
    ProcessCommand::local("debug", 3, debug).flags(&[ABOUT_SCRIPTS]).docs(
        "3.2.0",
        "O(1)",
        "Sets the debug mode of server-side Lua scripts; there is none but NO.",
    ),
    ProcessCommand::local("exists", -3, exists).flags(&[ABOUT_SCRIPTS, Flags::ON_PRIMARY]).docs(
        "2.6.0",
        "O(N) with N being the number of scripts to check (so checking a single script is an O(1) operation).",
        "Determines whether server-side Lua scripts exist in the script cache.",
    ),
    ProcessCommand::session("flush", -2, SessionCommand::ScriptFlush, flush).flags(&[CHANGES_SCRIPTS]).docs(
        "2.6.0",
        "O(N) with N being the number of scripts in cache",
        "Removes all server-side Lua scripts from the script cache.",
    ),
    ProcessCommand::local("help", 2, help).flags(&[Flags::LOADING, Flags::STALE]).docs(
        "5.0.0",
        "O(1)",
        "Returns helpful text about the different subcommands.",
    ),
    ProcessCommand::local("kill", 2, kill).flags(&[ABOUT_SCRIPTS, Flags::ALLOW_BUSY]).docs(
        "2.6.0",
        "O(1)",
        "Terminates a server-side Lua script during execution; here a script ends by its limit.",
    ),
    ProcessCommand::session("load", 3, SessionCommand::ScriptLoad, load).flags(&[CHANGES_SCRIPTS]).docs(
        "2.6.0",
        "O(N) with N being the length in bytes of the script body.",
        "Loads a server-side Lua script to the script cache.",
    ),
    ProcessCommand::local("show", 3, show).flags(&[ABOUT_SCRIPTS, Flags::ON_PRIMARY]).docs(
        "8.0.0",
        "O(1)",
        "Shows a server-side Lua script in the script cache.",
    ),
];

const HELP: [&str; 17] = [
    "SCRIPT <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
    "DEBUG (YES|SYNC|NO)",
    "    Set the debug mode for subsequent scripts executed.",
    "EXISTS <sha1> [<sha1> ...]",
    "    Return information about the existence of the scripts in the script cache.",
    "FLUSH [ASYNC|SYNC]",
    "    Flush the Lua scripts cache.",
    "    Both modes are the same here: the cache is flushed when it is answered.",
    "KILL",
    "    Kill the currently executing Lua script. There never is one: a script that",
    "    runs away is ended on all nodes alike, and what it had changed is undone.",
    "LOAD <script>",
    "    Load a script into the scripts cache without executing it.",
    "SHOW <sha1>",
    "    Show a script of the scripts cache.",
    "HELP",
    "    Print this help.",
];

/// Says whether it may be logged.
fn load(ctx: &mut LocalContext<'_>, args: &Args<'_>, _: &mut Reply<'_>) -> CommandResult {
    check_text(&ctx.shared.shard.scripts, args[2]).map_err(CommandError::other)
}

/// As for [`load`].
fn flush(_: &mut LocalContext<'_>, args: &Args<'_>, _: &mut Reply<'_>) -> CommandResult {
    match args[2..] {
        [] => Ok(()),
        [mode] if is(mode, "SYNC") || is(mode, "ASYNC") => Ok(()),
        _ => Err(CommandError::other("ERR SCRIPT FLUSH only support SYNC|ASYNC option")),
    }
}

/// <https://redis.io/docs/latest/commands/script-exists/>
fn exists(ctx: &mut LocalContext<'_>, args: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    let shard = &ctx.shared.shard;
    reply.array(args.len() - 2);
    for sha in &args[2..] {
        let is_known = script_named(&shard.scripts, &shard.keyspace, sha).is_some();
        reply.integer(i64::from(is_known));
    }
    Ok(())
}

/// <https://valkey.io/commands/script-show/>
fn show(ctx: &mut LocalContext<'_>, args: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    let shard = &ctx.shared.shard;
    let script = script_named(&shard.scripts, &shard.keyspace, args[2]);
    reply.bulk(&script.ok_or(NO_SCRIPT)?.body);
    Ok(())
}

/// A script never runs for so long that there was one to kill. <https://redis.io/docs/latest/commands/script-kill/>
fn kill(_: &mut LocalContext<'_>, _: &Args<'_>, _: &mut Reply<'_>) -> CommandResult {
    Err(CommandError::other("NOTBUSY No scripts in execution right now."))
}

/// <https://redis.io/docs/latest/commands/script-debug/>
fn debug(_: &mut LocalContext<'_>, args: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    if is(args[2], "NO") {
        reply.ok();
        return Ok(());
    }
    Err(CommandError::other(match is(args[2], "YES") || is(args[2], "SYNC") {
        true => "ERR this server has no debugger for scripts",
        false => "ERR Use SCRIPT DEBUG YES/SYNC/NO",
    }))
}

fn help(_: &mut LocalContext<'_>, _: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    reply.lines(&HELP);
    Ok(())
}
