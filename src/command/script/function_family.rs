//! The rows of FCALL, and what is logged for FUNCTION (`admin/functions.rs`).
//!
//! - A call is logged by the function's name: the libraries are data, so every node calls the same function.
//! - A function that says that it only reads is read, not logged: the session looks at its flags and takes FCALL for FCALL_RO.
//! - To load a library runs its code, which takes steps of the entry as scripts do.
//!
//! Source: <https://redis.io/docs/latest/commands/?group=scripting>.

use super::family::{
    COMPLEXITY, Call, NO_STEPS_LEFT, RUNS, limited_judge, limited_judge_of_read, run, run_read_only,
};
use super::functions::{self, Collision, Library, Place};
use super::judge::Judge;
use super::shebang::ScriptFlags;
use super::vm::Program;
use super::{SCRIPT_STEPS, Scripts};
use crate::command::args::{integer, is};
use crate::command::cost::CostKind;
use crate::command::spec::{Categories, Flags, KeyFlags, KeySpec, numbered_keys};
use crate::command::{
    Args, Command, CommandError, CommandResult, Family, ReadContext, ScriptCall, WriteContext,
};
use crate::keyspace::Keyspace;
use crate::keyspace::view::LockSet;
use crate::protocol::reply::Reply;
use crate::rdb::{RdbError, load_libraries};

/// The names under which FUNCTION LOAD and RESTORE are logged, and FUNCTION DELETE and FLUSH.
pub const FUNCTION_STORE: &[u8] = b"_function";
pub const FUNCTION_REMOVE: &[u8] = b"_functiondel";

const KEYS: &[KeySpec] = &[numbered_keys(2, KeyFlags::RW_ACCESS_UPDATE)];
const READ_KEYS: &[KeySpec] = &[numbered_keys(2, KeyFlags::RO_ACCESS)];
const LIMITED_KEYS: &[KeySpec] = &[numbered_keys(3, KeyFlags::RW_ACCESS_UPDATE)];
const LIMITED_READ_KEYS: &[KeySpec] = &[numbered_keys(3, KeyFlags::RO_ACCESS)];
const STORES: Flags = Flags::INTERNAL.union(Flags::WHOLE_KEYSPACE);

pub const FUNCTIONS: Family = Family {
    group: "scripting",
    categories: Categories::SCRIPTING,
    commands: &[
        Command::write("fcall", -3, fcall)
            .runs(ScriptCall::Function)
            .flags(&[RUNS])
            .keys(KEYS)
            .cost(CostKind::Script)
            .docs("7.0.0", "Depends on the function that is executed.", "Invokes a function."),
        Command::read("fcall_ro", -3, fcall_read_only)
            .runs(ScriptCall::Function)
            .flags(&[RUNS])
            .keys(READ_KEYS)
            .cost(CostKind::Script)
            .docs("7.0.0", "Depends on the function that is executed.", "Invokes a read-only function."),
        Command::write("_fcall", -4, fcall_limited)
            .runs(ScriptCall::Function)
            .flags(&[RUNS, Flags::INTERNAL])
            .counts_as("fcall")
            .keys(LIMITED_KEYS)
            .cost(CostKind::Script)
            .docs("", COMPLEXITY, "FCALL, judged by the rules of the user that its first argument names."),
        Command::read("_fcall_ro", -4, fcall_read_only_limited)
            .runs(ScriptCall::Function)
            .flags(&[RUNS, Flags::INTERNAL])
            .counts_as("fcall_ro")
            .keys(LIMITED_READ_KEYS)
            .cost(CostKind::Script)
            .docs("", COMPLEXITY, "FCALL_RO, judged by the rules of the user that its first argument names."),
        Command::write("_function", -3, store).flags(&[STORES, Flags::DENYOOM]).docs(
            "",
            "O(N) with the length of the code",
            "Makes libraries known to all nodes.",
        ),
        Command::write("_functiondel", -2, remove).flags(&[STORES]).docs(
            "",
            "O(N) with the number of functions",
            "Removes a library, or all.",
        ),
    ],
};

const NOT_FOUND: CommandError = CommandError::Other(std::borrow::Cow::Borrowed("ERR Function not found"));
const MAY_WRITE: &str = "ERR Can not execute a script with write flag using *_ro command.";

/// The keys and values of a call.
fn split<'s, 'a>(args: &'s Args<'a>) -> Result<(&'s Args<'a>, &'s Args<'a>), CommandError> {
    let count = integer(args[2]).map_err(|_| CommandError::other("ERR Bad number of keys provided"))?;
    let rest = &args[3..];
    if count > rest.len() as i64 {
        return Err(CommandError::other("ERR Number of keys can't be greater than number of args"));
    }
    let count = usize::try_from(count);
    let count = count.map_err(|_| CommandError::other("ERR Number of keys can't be negative"))?;
    Ok(rest.split_at(count))
}

/// The flags of a function; `None` where there is none of this name.
pub fn function_flags(keyspace: &Keyspace, name: &[u8]) -> Option<ScriptFlags> {
    let view = keyspace.read(LockSet::of_key(&functions::name_of_function(name)));
    functions::place_of(&ReadContext::new(&view, 0, i64::MIN, 0), name).map(|place| place.flags)
}

/// Why a call can't run, as far as its arguments and the function's flags tell.
///
/// # Errors
/// Redis' text.
pub fn check_call(flags: Option<ScriptFlags>, reads: bool, args: &Args<'_>) -> Result<(), CommandError> {
    let flags = flags.ok_or(NOT_FOUND)?;
    split(args)?;
    let may_write = reads && !flags.contains(ScriptFlags::NO_WRITES);
    if may_write { Err(CommandError::other(MAY_WRITE)) } else { Ok(()) }
}

/// The library that FUNCTION LOAD brings, as far as it is right by itself.
///
/// # Errors
/// Redis' text.
pub fn check_library(code: &[u8]) -> Result<(), CommandError> {
    Library::load(code).map(drop)
}

/// The code of each library of a payload.
///
/// # Errors
/// Redis' text.
pub fn libraries_of(payload: &[u8]) -> Result<Vec<Vec<u8>>, CommandError> {
    load_libraries(payload).map_err(|error| {
        CommandError::other(match error {
            RdbError::Footer => "ERR DUMP payload version or checksum are wrong",
            RdbError::UnknownType(_) => "ERR given type is not a function",
            _ => "ERR failed loading library code",
        })
    })
}

/// A function that was found, and its library's code.
fn find(context: &ReadContext<'_>, name: &[u8]) -> Result<(Place, Vec<u8>), CommandError> {
    let place = functions::place_of(context, name).ok_or(NOT_FOUND)?;
    let code = functions::code_of(context, &place.library).ok_or(NOT_FOUND)?;
    Ok((place, code))
}

/// <https://redis.io/docs/latest/commands/fcall/>
fn fcall(ctx: &mut WriteContext<'_>, args: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    call(ctx, args, None, reply)
}

fn fcall_limited(ctx: &mut WriteContext<'_>, args: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    let judge = limited_judge(ctx, args[1])?;
    call(ctx, &args[1..], judge, reply)
}

fn call(
    ctx: &mut WriteContext<'_>,
    args: &Args<'_>,
    judge: Option<Judge>,
    reply: &mut Reply<'_>,
) -> CommandResult {
    let (place, code) = find(&ctx.reader(), args[1])?;
    let (keys, values) = split(args)?;
    let program = Program::Function { code: &code, name: &place.name };
    if place.flags.contains(ScriptFlags::NO_WRITES) {
        // It is logged all the same, in a transaction that began before the function was loaded: it takes the steps of what is logged.
        let steps = ctx.script_budget().steps;
        let (result, left) = {
            let reader = ctx.reader();
            reader.script_steps.set(steps);
            let result = run_read_only(&reader, Call { program, keys, values, judge }, reply);
            (result, reader.script_steps.get())
        };
        ctx.script_budget().steps = left;
        return result;
    }
    let scripts = ctx.scripts();
    run(ctx, Call { program, keys, values, judge }, &|steps| scripts.note_function(&place.name, steps), reply)
}

/// <https://redis.io/docs/latest/commands/fcall_ro/>
fn fcall_read_only(ctx: &ReadContext<'_>, args: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    call_read_only(ctx, args, None, reply)
}

fn fcall_read_only_limited(ctx: &ReadContext<'_>, args: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    let judge = limited_judge_of_read(ctx, args[1])?;
    call_read_only(ctx, &args[1..], judge, reply)
}

fn call_read_only(
    ctx: &ReadContext<'_>,
    args: &Args<'_>,
    judge: Option<Judge>,
    reply: &mut Reply<'_>,
) -> CommandResult {
    let (place, code) = find(ctx, args[1])?;
    check_call(Some(place.flags), true, args)?;
    let (keys, values) = split(args)?;
    let program = Program::Function { code: &code, name: &place.name };
    run_read_only(ctx, Call { program, keys, values, judge }, reply)
}

/// `_function LOAD|REPLACE code`, `_function RESTORE policy payload`.
fn store(ctx: &mut WriteContext<'_>, args: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    match args[1..] {
        [word, code] if is(word, "LOAD") || is(word, "REPLACE") => {
            let library = load(ctx, code)?;
            let collision = if is(word, "REPLACE") { Collision::Replace } else { Collision::Refuse };
            let name = library.name.clone();
            functions::put(ctx, &[library], collision, |name| {
                format!("ERR Library '{name}' already exists")
            })?;
            reply.bulk(&name);
        }
        [word, policy, payload] if is(word, "RESTORE") => {
            let codes = libraries_of(payload)?;
            let libraries = codes.iter().map(|code| load(ctx, code)).collect::<Result<Vec<_>, _>>()?;
            let collision = collision_of(policy)?;
            functions::put(ctx, &libraries, collision, |name| format!("ERR Library {name} already exists"))?;
            reply.ok();
        }
        _ => return Err(CommandError::Syntax),
    }
    Ok(())
}

/// What FUNCTION RESTORE does about libraries that are there.
///
/// # Errors
/// Redis' text where there is no such policy.
pub fn collision_of(policy: &[u8]) -> Result<Collision, CommandError> {
    match policy {
        _ if is(policy, "APPEND") => Ok(Collision::Refuse),
        _ if is(policy, "REPLACE") => Ok(Collision::Replace),
        _ if is(policy, "FLUSH") => Ok(Collision::Flush),
        _ => Err(CommandError::other(
            "ERR Wrong restore policy given, value should be either FLUSH, APPEND or REPLACE.",
        )),
    }
}

/// Loads a library by steps of the entry.
fn load(ctx: &mut WriteContext<'_>, code: &[u8]) -> Result<Library, CommandError> {
    let budget = ctx.script_budget();
    if budget.steps < SCRIPT_STEPS {
        return Err(CommandError::other(NO_STEPS_LEFT));
    }
    // One that is refused may have run as long as any.
    budget.steps -= super::vm::COMPILE_STEPS;
    let (library, steps) = Library::load(code)?;
    ctx.script_budget().steps += super::vm::COMPILE_STEPS - steps;
    Ok(library)
}

/// `_functiondel DELETE name`, `_functiondel FLUSH`.
fn remove(ctx: &mut WriteContext<'_>, args: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    match args[1..] {
        [word, name] if is(word, "DELETE") => {
            if !functions::remove(ctx, name) {
                return Err(CommandError::other("ERR Library not found"));
            }
        }
        [word] if is(word, "FLUSH") => functions::remove_all(ctx),
        _ => return Err(CommandError::Syntax),
    }
    reply.ok();
    Ok(())
}

/// Steps that a function takes as far as this node knows.
pub fn usual_steps(scripts: &Scripts, args: &Args<'_>) -> Option<u64> {
    scripts.function_steps(args.get(1)?)
}
