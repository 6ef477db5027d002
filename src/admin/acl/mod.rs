//! ACL: which users there are, and what they may do.
//!
//! - SETUSER and DELUSER are carried out by the session: they change the system database by way of the log. The others tell what this
//!   node knows.
//! - Users live in the log, so there is no file of them: LOAD says so, SAVE has nothing to do.
//!
//! Source: <https://redis.io/docs/latest/commands/?group=server>.

pub mod log;

use crate::acl::{Commands, Selector, User, is_name};
use crate::admin::LocalContext;
use crate::admin::table::{ProcessCommand, ProcessFamily, SessionCommand};
use crate::admin::users::{check, refusal_in_full};
use crate::command::args::{integer, is};
use crate::command::spec::{Categories, Flags};
use crate::command::{Args, CommandError, CommandResult};
use crate::env;
use crate::protocol::number::parse_integer;
use crate::protocol::reply::Reply;

const OPERATORS: Flags = Flags::ADMIN.union(Flags::NOSCRIPT).union(Flags::LOADING).union(Flags::STALE);
const ANYONE: Flags = Flags::NOSCRIPT.union(Flags::LOADING).union(Flags::STALE);
/// They go through the log.
const CHANGES: Flags =
    Flags::ADMIN.union(Flags::NOSCRIPT).union(Flags::NO_MULTI).union(Flags::SECRET_ARGUMENTS);

pub const FAMILY: ProcessFamily = ProcessFamily {
    group: "server",
    categories: Categories::empty(),
    commands: &[ProcessCommand::container(
        "acl",
        &[
            ProcessCommand::local("cat", -2, cat).flags(&[ANYONE]).docs(
                "6.0.0",
                "O(1) since the categories and commands are a fixed set.",
                "Lists the ACL categories, or the commands inside a category.",
            ),
            ProcessCommand::session("deluser", -3, SessionCommand::DeleteUsers, not_here)
                .flags(&[CHANGES])
                .docs(
                    "6.0.0",
                    "O(1) amortized time considering the typical user.",
                    "Deletes ACL users, and terminates their connections.",
                ),
            ProcessCommand::local("dryrun", -4, dryrun).flags(&[OPERATORS, Flags::TELLS_GROUP]).docs(
                "7.0.0",
                "O(1).",
                "Simulates the execution of a command by a user, without executing the command.",
            ),
            ProcessCommand::local("genpass", -2, genpass).flags(&[ANYONE]).docs(
                "6.0.0",
                "O(1)",
                "Generates a pseudorandom, secure password that can be used to identify ACL users.",
            ),
            ProcessCommand::local("getuser", 3, getuser).flags(&[OPERATORS, Flags::TELLS_GROUP]).docs(
                "6.0.0",
                "O(N). Where N is the number of password, command and pattern rules that the user has.",
                "Lists the ACL rules of a user.",
            ),
            ProcessCommand::local("help", 2, help).flags(&[Flags::LOADING, Flags::STALE]).docs(
                "6.0.0",
                "O(1)",
                "Returns helpful text about the different subcommands.",
            ),
            ProcessCommand::local("list", 2, list).flags(&[OPERATORS, Flags::TELLS_GROUP]).docs(
                "6.0.0",
                "O(N). Where N is the number of configured users.",
                "Dumps the effective rules in ACL file format.",
            ),
            ProcessCommand::local("load", 2, load).flags(&[OPERATORS]).docs(
                "6.0.0",
                "O(1)",
                "Says where users live: there is no file of them.",
            ),
            ProcessCommand::local("log", -2, show_log).flags(&[OPERATORS]).docs(
                "6.0.0",
                "O(N) with N being the number of entries shown.",
                "Lists recent security events generated due to ACL rules.",
            ),
            ProcessCommand::local("save", 2, save).flags(&[OPERATORS]).docs(
                "6.0.0",
                "O(1)",
                "Does nothing: users are saved where data is.",
            ),
            ProcessCommand::session("setuser", -3, SessionCommand::SetUser, not_here).flags(&[CHANGES]).docs(
                "6.0.0",
                "O(N). Where N is the number of rules provided.",
                "Creates and modifies an ACL user and its rules.",
            ),
            ProcessCommand::local("users", 2, users).flags(&[OPERATORS, Flags::TELLS_GROUP]).docs(
                "6.0.0",
                "O(N). Where N is the number of configured users.",
                "Lists all ACL users.",
            ),
            ProcessCommand::local("whoami", 2, whoami).flags(&[ANYONE]).docs(
                "6.0.0",
                "O(1)",
                "Returns the authenticated username of the current connection.",
            ),
        ],
    )
    .docs("6.0.0", "Depends on subcommand.", "A container for Access List Control commands.")],
};

const HELP: [&str; 29] = [
    "ACL <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
    "CAT [<category>]",
    "    List all commands that belong to <category>, or all command categories",
    "    when no category is specified.",
    "DELUSER <username> [<username> ...]",
    "    Delete a list of users.",
    "DRYRUN <username> <command> [<arg> ...]",
    "    Returns whether the user can execute the given command without executing the command.",
    "GETUSER <username>",
    "    Get the user's details.",
    "GENPASS [<bits>]",
    "    Generate a secure 256-bit user password. The optional `bits` argument can",
    "    be used to specify a different size.",
    "LIST",
    "    Show users details in config file format.",
    "LOAD",
    "    Says where users live: in the log, there is no file of them.",
    "LOG [<count> | RESET]",
    "    Show the ACL log entries.",
    "SAVE",
    "    Does nothing: users are saved where data is.",
    "SETUSER <username> <attribute> [<attribute> ...]",
    "    Create or modify a user with the specified attributes.",
    "USERS",
    "    List all the registered usernames.",
    "WHOAMI",
    "    Return the current connection username.",
    "HELP",
    "    Prints this help.",
];

/// The session carries it out; a transaction can't have it.
fn not_here(_: &mut LocalContext<'_>, _: &Args<'_>, _: &mut Reply<'_>) -> CommandResult {
    Err(CommandError::other("ERR users can't be changed here"))
}

fn help(_: &mut LocalContext<'_>, _: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    reply.lines(&HELP);
    Ok(())
}

/// <https://redis.io/docs/latest/commands/acl-whoami/>
fn whoami(ctx: &mut LocalContext<'_>, _: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    reply.bulk(ctx.client.user.name());
    Ok(())
}

/// <https://redis.io/docs/latest/commands/acl-users/>
fn users(ctx: &mut LocalContext<'_>, _: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    let users = ctx.shared.users().users;
    reply.array(users.iter().len());
    users.iter().for_each(|user| reply.bulk(user.name()));
    Ok(())
}

/// <https://redis.io/docs/latest/commands/acl-list/>
fn list(ctx: &mut LocalContext<'_>, _: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    let users = ctx.shared.users().users;
    reply.array(users.iter().len());
    for user in users.iter() {
        reply.bulk(&[&b"user "[..], user.name(), b" ", &user.describe()].concat());
    }
    Ok(())
}

/// <https://redis.io/docs/latest/commands/acl-getuser/>
fn getuser(ctx: &mut LocalContext<'_>, args: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    let users = ctx.shared.users().users;
    match users.get(args[2]) {
        Some(user) => show_user(user, reply),
        None => reply.null(),
    }
    Ok(())
}

fn show_user(user: &User, reply: &mut Reply<'_>) {
    reply.map(6);
    reply.bulk(b"flags");
    let mut flags: Vec<&[u8]> = vec![if user.is_on() { b"on" } else { b"off" }];
    flags.extend(user.needs_no_password().then_some(&b"nopass"[..]));
    flags.push(b"sanitize-payload");
    reply.set(flags.len());
    flags.iter().for_each(|flag| reply.bulk(flag));
    reply.bulk(b"passwords");
    reply.array(user.passwords().len());
    user.passwords().iter().for_each(|hash| reply.bulk(hash));
    show_permissions(user.root(), reply);
    reply.bulk(b"selectors");
    reply.array(user.selectors().len());
    for selector in user.selectors() {
        reply.map(3);
        show_permissions(selector, reply);
    }
}

fn show_permissions(selector: &Selector, reply: &mut Reply<'_>) {
    reply.bulk(b"commands");
    reply.bulk(selector.command_rules().as_bytes());
    reply.bulk(b"keys");
    reply.bulk(&selector.key_rules());
    reply.bulk(b"channels");
    reply.bulk(&selector.channel_rules());
}

/// <https://redis.io/docs/latest/commands/acl-cat/>
fn cat(ctx: &mut LocalContext<'_>, args: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    match args[2..] {
        [] => {
            let names = Categories::all().iter_names().map(|(name, _)| name.to_ascii_lowercase());
            let names: Vec<String> = names.collect();
            reply.array(names.len());
            names.iter().for_each(|name| reply.bulk(name.as_bytes()));
        }
        [category] => {
            let members = ctx.table.category(category).ok_or_else(|| {
                CommandError::other(format!("ERR Unknown category '{}'", String::from_utf8_lossy(category)))
            })?;
            reply.array(members.len());
            members.iter().for_each(|member| reply.bulk(ctx.table.statistic_name(*member).as_bytes()));
        }
        _ => return Err(too_many(args)),
    }
    Ok(())
}

/// A subcommand that uses only its first arguments.
fn too_many(args: &Args<'_>) -> CommandError {
    let subcommand = String::from_utf8_lossy(args[1]);
    CommandError::other(format!(
        "ERR unknown subcommand or wrong number of arguments for '{subcommand}'. Try ACL HELP."
    ))
}

/// <https://redis.io/docs/latest/commands/acl-dryrun/>
fn dryrun(ctx: &mut LocalContext<'_>, args: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    let name = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let users = ctx.shared.users().users;
    let user = users.get(args[2]);
    let user = user.ok_or_else(|| CommandError::other(format!("ERR User '{}' not found", name(args[2]))))?;
    let tried = &args[3..];
    let row = ctx.table.find(tried).filter(|row| row.is_told());
    let row =
        row.ok_or_else(|| CommandError::other(format!("ERR Command '{}' not found", name(tried[0]))))?;
    if !row.command.arity_fits(tried.len()) {
        return Err(CommandError::Arity(row.full_name.clone().into()));
    }
    match check(user, row, tried) {
        Ok(()) => reply.ok(),
        Err(denied) => reply.bulk(refusal_in_full(user, row, &denied).as_bytes()),
    }
    Ok(())
}

/// <https://redis.io/docs/latest/commands/acl-genpass/>
fn genpass(_: &mut LocalContext<'_>, args: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    const DEFAULT_BITS: i64 = 256;
    const MOST_BITS: i64 = 4096;
    const BITS_PER_DIGIT: usize = 4;
    let bits = match args[2..] {
        [] => Some(DEFAULT_BITS),
        [bits] => Some(integer(bits)?).filter(|bits| (1..=MOST_BITS).contains(bits)),
        _ => return Err(too_many(args)),
    };
    let bits = bits.ok_or(CommandError::other(
        "ERR ACL GENPASS argument must be the number of bits for the output password, a positive number up to 4096",
    ))?;
    let digits = (bits as usize).div_ceil(BITS_PER_DIGIT);
    let words = digits.div_ceil(u64::BITS as usize / BITS_PER_DIGIT);
    let password: String = (0..words).map(|_| format!("{:016x}", env::random_seed())).collect();
    reply.bulk(&password.as_bytes()[..digits]);
    Ok(())
}

/// <https://redis.io/docs/latest/commands/acl-log/>
fn show_log(ctx: &mut LocalContext<'_>, args: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    const DEFAULT_COUNT: usize = 10;
    let log = &ctx.shared.acl_log;
    let count = match args[2..] {
        [] => DEFAULT_COUNT,
        [word] if is(word, "RESET") => {
            log.clear();
            reply.ok();
            return Ok(());
        }
        [count] => usize::try_from(parse_integer(count).ok_or(CommandError::NotInteger)?).unwrap_or(0),
        _ => return Err(too_many(args)),
    };
    let entries = log.newest(count);
    let now_ms = ctx.shared.clock.unix_ms();
    reply.array(entries.len());
    entries.iter().for_each(|entry| show_entry(entry, now_ms, reply));
    Ok(())
}

fn show_entry(entry: &log::Entry, now_ms: i64, reply: &mut Reply<'_>) {
    reply.map(10);
    reply.bulk(b"count");
    reply.integer(entry.count as i64);
    for (name, text) in [
        (&b"reason"[..], entry.denial.reason.text().as_bytes()),
        (b"context", entry.denial.context.text().as_bytes()),
        (b"object", &entry.denial.object),
        (b"username", &entry.denial.user),
    ] {
        reply.bulk(name);
        reply.bulk(text);
    }
    reply.bulk(b"age-seconds");
    reply.double((now_ms - entry.updated_ms) as f64 / 1000.0);
    reply.bulk(b"client-info");
    reply.bulk(entry.client.as_bytes());
    for (name, number) in [
        (&b"entry-id"[..], entry.id as i64),
        (b"timestamp-created", entry.created_ms),
        (b"timestamp-last-updated", entry.updated_ms),
    ] {
        reply.bulk(name);
        reply.integer(number);
    }
}

fn load(_: &mut LocalContext<'_>, _: &Args<'_>, _: &mut Reply<'_>) -> CommandResult {
    Err(CommandError::other(
        "ERR users are part of the data, there is no ACL file to load: use ACL SETUSER, which every node of the group follows",
    ))
}

fn save(_: &mut LocalContext<'_>, _: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    reply.ok();
    Ok(())
}

/// What is wrong with a user's name.
pub fn check_name(name: &[u8]) -> CommandResult {
    if is_name(name) {
        Ok(())
    } else {
        Err(CommandError::other("ERR Usernames can't contain spaces or null characters"))
    }
}
