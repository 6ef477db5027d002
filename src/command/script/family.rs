//! The rows of EVAL and EVALSHA, and what is logged for them and for SCRIPT (`admin/scripts.rs`).
//!
//! - EVALSHA is logged as the EVAL of its text, by the session that takes it at the primary; one that is logged as it came names no script.
//! - SCRIPT LOAD and SCRIPT FLUSH are logged as the internal `_script`.
//!
//! Source: <https://redis.io/docs/latest/commands/?group=scripting>.

use crate::command::args::{integer, is};
use crate::command::cost::CostKind;
use crate::command::random::Random;
use crate::command::spec::{Categories, Flags, KeyFlags, KeySpec, numbered_keys};
use crate::command::{
    Args, Command, CommandError, CommandResult, Family, ReadContext, ScriptCall, WriteContext,
};
use crate::keyspace::Keyspace;
use crate::keyspace::view::LockSet;
use crate::protocol::reply::Reply;

use super::executor::{Reading, Writing};
use super::function_family;
use super::host::Over;
use super::judge::{Judge, rules_of};
use super::known::{self, Origin};
use super::scripts::{Script, Scripts, Sha, sha1_hex};
use super::shebang::ScriptFlags;
use super::vm::{self, Outcome, Program, Vm};
use super::{ENTRY_STEPS, MAX_GROWTH_BYTES, SCRIPT_STEPS, ScriptBudget};

/// Errors of scripts that are longer than this do not count as failures.
const MAX_ERROR_BYTES: usize = 1024;

/// The name under which SCRIPT LOAD and FLUSH are logged.
pub const SCRIPT_STORE: &[u8] = b"_script";

const KEYS: &[KeySpec] = &[numbered_keys(2, KeyFlags::RW_ACCESS_UPDATE)];
const READ_KEYS: &[KeySpec] = &[numbered_keys(2, KeyFlags::RO_ACCESS)];
const LIMITED_KEYS: &[KeySpec] = &[numbered_keys(3, KeyFlags::RW_ACCESS_UPDATE)];
const LIMITED_READ_KEYS: &[KeySpec] = &[numbered_keys(3, KeyFlags::RO_ACCESS)];
/// Scripts may touch keys that they do not name.
pub(super) const RUNS: Flags =
    Flags::NOSCRIPT.union(Flags::WHOLE_KEYSPACE).union(Flags::MOVABLEKEYS).union(Flags::NO_MANDATORY_KEYS);
pub(super) const COMPLEXITY: &str = "Depends on the script that is executed.";

pub const FAMILY: Family = Family {
    group: "scripting",
    categories: Categories::SCRIPTING,
    commands: &[
        Command::write("eval", -3, eval)
            .runs(ScriptCall::ByText)
            .reads_when(only_reads, eval_read_only)
            .flags(&[RUNS])
            .keys(KEYS)
            .cost(CostKind::Script)
            .docs("2.6.0", COMPLEXITY, "Executes a server-side Lua script."),
        Command::read("eval_ro", -3, eval_read_only)
            .runs(ScriptCall::ByText)
            .flags(&[RUNS])
            .keys(READ_KEYS)
            .cost(CostKind::Script)
            .docs("7.0.0", COMPLEXITY, "Executes a read-only server-side Lua script."),
        Command::write("evalsha", -3, unknown_script)
            .runs(ScriptCall::ByDigest)
            .flags(&[RUNS])
            .keys(KEYS)
            .docs("2.6.0", COMPLEXITY, "Executes a server-side Lua script by SHA1 digest."),
        Command::read("evalsha_ro", -3, unknown_script_read)
            .runs(ScriptCall::ByDigest)
            .flags(&[RUNS])
            .keys(READ_KEYS)
            .docs("7.0.0", COMPLEXITY, "Executes a read-only server-side Lua script by SHA1 digest."),
        Command::write("_eval", -4, eval_limited)
            .runs(ScriptCall::ByText)
            .reads_when(only_reads_limited, eval_read_only_limited)
            .flags(&[RUNS, Flags::INTERNAL])
            .counts_as("eval")
            .keys(LIMITED_KEYS)
            .cost(CostKind::Script)
            .docs("", COMPLEXITY, "EVAL, judged by the rules of the user that its first argument names."),
        Command::read("_eval_ro", -4, eval_read_only_limited)
            .runs(ScriptCall::ByText)
            .flags(&[RUNS, Flags::INTERNAL])
            .counts_as("eval_ro")
            .keys(LIMITED_READ_KEYS)
            .cost(CostKind::Script)
            .docs("", COMPLEXITY, "EVAL_RO, judged by the rules of the user that its first argument names."),
        Command::write("_script", -2, change_store).flags(&[Flags::INTERNAL, Flags::WHOLE_KEYSPACE]).docs(
            "",
            "O(N) with the text's length",
            "Makes a script known to all nodes, or forgets all.",
        ),
    ],
};

pub const NO_SCRIPT: CommandError =
    CommandError::Other(std::borrow::Cow::Borrowed("NOSCRIPT No matching script. Please use EVAL."));

/// What the scripts before it in the same entry have taken all steps from; it never ran.
pub(super) const NO_STEPS_LEFT: &str =
    "TRYAGAIN scripts that were logged with this one took too long; it did not happen";

const OUT_OF_MEMORY: &str =
    "OOM command not allowed when used memory > 'maxmemory': the script was ended and has changed nothing";
/// Where memory is short scripts may keep so much all the same: what they remove makes room.
const KEPT_BYTES: i64 = 1 << 20;

/// The keys and values of a call.
fn split<'s, 'a>(args: &'s Args<'a>) -> Result<(&'s Args<'a>, &'s Args<'a>), CommandError> {
    let count = integer(args[2])?;
    let rest = &args[3..];
    if count > rest.len() as i64 {
        return Err(CommandError::other("ERR Number of keys can't be greater than number of args"));
    }
    let count = usize::try_from(count);
    let count = count.map_err(|_| CommandError::other("ERR Number of keys can't be negative"))?;
    Ok(rest.split_at(count))
}

/// Whether a script says that it only reads.
fn only_reads(args: &Args<'_>) -> bool {
    args.get(1)
        .is_some_and(|body| ScriptFlags::of(body).is_ok_and(|flags| flags.contains(ScriptFlags::NO_WRITES)))
}

/// Why a call can't run, as far as its arguments tell.
///
/// # Errors
/// The text, without what would only be found by running it.
pub fn check(scripts: &Scripts, args: &Args<'_>) -> Result<(), String> {
    split(args).map_err(|error| error.to_string())?;
    check_text(scripts, args[1])
}

pub fn check_text(scripts: &Scripts, body: &[u8]) -> Result<(), String> {
    if scripts.by_text(body).is_none() {
        ScriptFlags::of(body)?;
        vm::with(|vm| vm.check(body))?;
        scripts.learn(body);
    }
    Ok(())
}

/// The script of a digest: one that this node has taken, or one of the system database.
pub fn script_named(scripts: &Scripts, keyspace: &Keyspace, sha: &[u8]) -> Option<std::sync::Arc<Script>> {
    if let Some(script) = scripts.by_sha(sha) {
        return Some(script);
    }
    let sha: Sha = sha.to_ascii_lowercase().try_into().ok()?;
    let view = keyspace.read(LockSet::of_key(&known::name_of(&sha)));
    let text = known::text_of(&ReadContext::new(&view, 0, i64::MIN, 0), &sha)?;
    Some(scripts.learn(text))
}

/// The command that runs a script for a limited user: the user's name comes before the arguments of the command itself.
pub fn limited_name(command: &Command) -> &'static [u8] {
    match (command.script, command.is_write()) {
        (Some(ScriptCall::Function), true) => b"_fcall",
        (Some(ScriptCall::Function), false) => b"_fcall_ro",
        (_, true) => b"_eval",
        (_, false) => b"_eval_ro",
    }
}

/// The arguments of the command itself.
fn without_user<'s, 'a>(args: &'s Args<'a>) -> &'s Args<'a> {
    let names_user = args.first().is_some_and(|name| name.starts_with(b"_"));
    if names_user { &args[1..] } else { args }
}

/// Steps that a script or a function takes as far as this node knows.
pub fn usual_steps(scripts: &Scripts, args: &Args<'_>) -> Option<u64> {
    let is_function = args.first().is_some_and(|name| {
        name.strip_prefix(b"_")
            .unwrap_or(name)
            .get(..5)
            .is_some_and(|start| start.eq_ignore_ascii_case(b"fcall"))
    });
    let args = without_user(args);
    match is_function {
        true => function_family::usual_steps(scripts, args),
        false => scripts.by_text(args.get(1)?)?.usual_steps(),
    }
}

fn only_reads_limited(args: &Args<'_>) -> bool {
    only_reads(without_user(args))
}

/// Judges the calls of a logged script by the rules of the user that it names.
pub(super) fn limited_judge(ctx: &WriteContext<'_>, user: &[u8]) -> Result<Option<Judge>, CommandError> {
    Judge::new(user, ctx.system(&rules_of(user)))
}

/// The same for one that only reads.
pub(super) fn limited_judge_of_read(
    ctx: &ReadContext<'_>,
    user: &[u8],
) -> Result<Option<Judge>, CommandError> {
    Judge::new(user, ctx.system(&rules_of(user)))
}

/// A call of a script or a function.
pub(super) struct Call<'c, 'a> {
    pub program: Program<'c>,
    pub keys: &'c Args<'a>,
    pub values: &'c Args<'a>,
    /// By which its commands are judged, where its user is limited.
    pub judge: Option<Judge>,
}

/// <https://redis.io/docs/latest/commands/eval/>
fn eval(ctx: &mut WriteContext<'_>, args: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    eval_judged(ctx, args, None, reply)
}

fn eval_limited(ctx: &mut WriteContext<'_>, args: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    let judge = limited_judge(ctx, args[1])?;
    eval_judged(ctx, &args[1..], judge, reply)
}

fn eval_judged(
    ctx: &mut WriteContext<'_>,
    args: &Args<'_>,
    judge: Option<Judge>,
    reply: &mut Reply<'_>,
) -> CommandResult {
    let (keys, values) = split(args)?;
    ScriptFlags::of(args[1]).map_err(CommandError::other)?;
    if ctx.script_budget().steps < SCRIPT_STEPS {
        return Err(CommandError::other(NO_STEPS_LEFT));
    }
    let script = ctx.scripts().learn(args[1]);
    known::keep(ctx, &script.sha, &script.body, Origin::Eval);
    let program = Program::Script { body: &script.body, sha: script.sha_text() };
    run(ctx, Call { program, keys, values, judge }, &|steps| script.note_steps(steps), reply)
}

/// Runs what may write; `note` is told how many steps it took.
pub(super) fn run(
    ctx: &mut WriteContext<'_>,
    call: Call<'_, '_>,
    note: &dyn Fn(u64),
    reply: &mut Reply<'_>,
) -> CommandResult {
    let budget = *ctx.script_budget();
    if budget.steps < SCRIPT_STEPS {
        return Err(CommandError::other(NO_STEPS_LEFT));
    }
    let Call { program, keys, values, judge } = call;
    ctx.begin_undo();
    let (db, seed) = (ctx.db, ctx.random.next_u64());
    let ScriptBudget { growth, kept, .. } = budget;
    let mut host = Writing { context: ctx, growth, kept, seeds: Random::from_seed(seed), judge };
    vm::with(|vm| {
        let (outcome, steps) = vm.run(program, keys, values, &mut host, (SCRIPT_STEPS, seed));
        let (growth, kept) = (host.growth.max(0), host.kept.max(0));
        let ctx = host.context;
        ctx.db = db;
        let steps_left = budget.steps - steps;
        *ctx.script_budget() = ScriptBudget { steps: steps_left, growth, kept };
        note(steps as u64);
        match outcome {
            Outcome::Over(over) => {
                ctx.undo();
                let is_short = over == Over::Growth && budget.growth < MAX_GROWTH_BYTES as i64;
                Err(CommandError::other(if is_short { OUT_OF_MEMORY.to_owned() } else { over.text() }))
            }
            Outcome::Failed(error) => {
                ctx.end_undo();
                Err(CommandError::other(error))
            }
            Outcome::Done => {
                ctx.end_undo();
                answer(vm, reply)
            }
        }
    })
}

/// Answers the result. An error becomes the command's error, and counts as such, but for one that is longer than [`MAX_ERROR_BYTES`] or no
/// UTF-8: it is answered as the script made it, without copies of it.
fn answer(vm: &mut Vm, reply: &mut Reply<'_>) -> CommandResult {
    let start = reply.position();
    vm.answer(reply);
    let Some(error) = reply.error_since(start, MAX_ERROR_BYTES).map(str::to_owned) else { return Ok(()) };
    reply.rewind(start);
    Err(CommandError::other(error))
}

/// <https://redis.io/docs/latest/commands/eval_ro/>
fn eval_read_only(ctx: &ReadContext<'_>, args: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    eval_read_only_judged(ctx, args, None, reply)
}

fn eval_read_only_limited(ctx: &ReadContext<'_>, args: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    let judge = limited_judge_of_read(ctx, args[1])?;
    eval_read_only_judged(ctx, &args[1..], judge, reply)
}

fn eval_read_only_judged(
    ctx: &ReadContext<'_>,
    args: &Args<'_>,
    judge: Option<Judge>,
    reply: &mut Reply<'_>,
) -> CommandResult {
    let (keys, values) = split(args)?;
    ScriptFlags::of(args[1]).map_err(CommandError::other)?;
    let sha = sha1_hex(args[1]);
    let sha = std::str::from_utf8(&sha).unwrap_or_default();
    run_read_only(ctx, Call { program: Program::Script { body: args[1], sha }, keys, values, judge }, reply)
}

/// Runs what only reads.
pub(super) fn run_read_only(
    ctx: &ReadContext<'_>,
    call: Call<'_, '_>,
    reply: &mut Reply<'_>,
) -> CommandResult {
    if ctx.script_steps.get() < SCRIPT_STEPS {
        return Err(CommandError::other(NO_STEPS_LEFT));
    }
    let Call { program, keys, values, judge } = call;
    let seed = ctx.random.borrow_mut().next_u64();
    let mut host = Reading { context: ctx, selected: None, judge };
    vm::with(|vm| {
        let (outcome, steps) = vm.run(program, keys, values, &mut host, (SCRIPT_STEPS, seed));
        ctx.script_steps.set(ctx.script_steps.get() - steps);
        match outcome {
            Outcome::Over(over) => Err(CommandError::other(over.text())),
            Outcome::Failed(error) => Err(CommandError::other(error)),
            Outcome::Done => answer(vm, reply),
        }
    })
}

const _: () = assert!(ENTRY_STEPS >= SCRIPT_STEPS, "the first script of an entry has all its steps");

/// The primary did not know it when it was taken.
fn unknown_script(_: &mut WriteContext<'_>, _: &Args<'_>, _: &mut Reply<'_>) -> CommandResult {
    Err(NO_SCRIPT)
}

fn unknown_script_read(_: &ReadContext<'_>, _: &Args<'_>, _: &mut Reply<'_>) -> CommandResult {
    Err(NO_SCRIPT)
}

/// `_script LOAD text`, `_script FLUSH`, and `_script GROWTH bytes`, by which the primary says what the scripts of its entry may write
/// where memory is short.
fn change_store(ctx: &mut WriteContext<'_>, args: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    match args[1..] {
        [word, body] if is(word, "LOAD") => {
            ScriptFlags::of(body).map_err(CommandError::other)?;
            vm::with(|vm| vm.check(body)).map_err(CommandError::other)?;
            let script = ctx.scripts().learn(body);
            known::keep(ctx, &script.sha, body, Origin::Load);
            reply.bulk(&script.sha);
        }
        [word] if is(word, "FLUSH") => {
            ctx.scripts().forget_all();
            known::forget_all(ctx);
            reply.ok();
        }
        [word, bytes] if is(word, "GROWTH") => {
            let bytes = integer(bytes)?;
            let kept = bytes.max(KEPT_BYTES);
            let budget = *ctx.script_budget();
            *ctx.script_budget() = ScriptBudget { growth: bytes, kept, ..budget };
            reply.ok();
        }
        _ => return Err(CommandError::Syntax),
    }
    Ok(())
}
