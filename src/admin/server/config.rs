//! CONFIG: what the server is set to, and what of it may change while it runs.
//!
//! Source: <https://redis.io/docs/latest/commands/config-get/>, <https://redis.io/docs/latest/commands/config-set/>.

use super::{ANYTIME, OPERATORS};
use crate::admin::LocalContext;
use crate::admin::table::ProcessCommand;
use crate::command::spec::Flags;
use crate::command::{Args, CommandError, CommandResult};
use crate::glob::{Case, Glob};
use crate::protocol::reply::Reply;

pub(super) const CONFIG: ProcessCommand = ProcessCommand::container(
    "config",
    &[
        ProcessCommand::local("get", -3, get).flags(&[OPERATORS]).docs(
            "2.0.0",
            "O(N) when N is the number of configuration parameters provided",
            "Returns the effective values of configuration parameters.",
        ),
        ProcessCommand::local("help", 2, help).flags(&[ANYTIME]).docs(
            "5.0.0",
            "O(1)",
            "Returns helpful text about the different subcommands.",
        ),
        ProcessCommand::local("resetstat", 2, resetstat).flags(&[OPERATORS]).docs(
            "2.0.0",
            "O(1)",
            "Resets the server's statistics.",
        ),
        ProcessCommand::local("rewrite", 2, rewrite).flags(&[OPERATORS]).docs(
            "2.8.0",
            "O(1)",
            "Persists the effective configuration to file; not supported.",
        ),
        ProcessCommand::local("set", -4, set).flags(&[OPERATORS, Flags::SECRET_ARGUMENTS]).docs(
            "2.0.0",
            "O(N) when N is the number of configuration parameters provided",
            "Sets configuration parameters in-flight.",
        ),
    ],
)
.docs("2.0.0", "Depends on subcommand.", "A container for server configuration commands.");

const HELP: [&str; 9] = [
    "CONFIG <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
    "GET <pattern>",
    "    Return parameters matching the glob-like <pattern> and their values.",
    "SET <directive> <value>",
    "    Set the configuration <directive> to <value>.",
    "RESETSTAT",
    "    Reset statistics reported by the INFO command.",
    "HELP",
    "    Print this help.",
];

/// Parameters that any of the patterns matches, each once, by name.
fn get(ctx: &mut LocalContext<'_>, args: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    let mut found: Vec<(bool, (&str, String))> =
        ctx.shared.config.parameters().map(|parameter| (false, parameter)).collect();
    // One after the other: a pattern that was taken apart is larger than its bytes.
    for pattern in &args[2..] {
        let glob = Glob::new(pattern, Case::Insensitive);
        found.iter_mut().for_each(|(is_wanted, (name, _))| *is_wanted |= glob.matches(name.as_bytes()));
    }
    found.retain(|(is_wanted, _)| *is_wanted);
    reply.map(found.len());
    for (_, (name, value)) in found {
        reply.bulk(name.as_bytes());
        reply.bulk(value.as_bytes());
    }
    Ok(())
}

/// All that it names, or nothing.
fn set(ctx: &mut LocalContext<'_>, args: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    let texts: Vec<&str> =
        args[2..].iter().map(|arg| std::str::from_utf8(arg)).collect::<Result<_, _>>().map_err(|_| {
            CommandError::other("ERR CONFIG SET failed - parameters and their values are UTF-8 text")
        })?;
    let (pairs, []) = texts.as_chunks::<2>() else { return Err(CommandError::Arity("config|set".into())) };
    let pairs: Vec<(&str, &str)> = pairs.iter().map(|[name, value]| (*name, *value)).collect();
    ctx.shared.config.set(&pairs).map_err(|error| CommandError::other(format!("ERR {error}")))?;
    reply.ok();
    Ok(())
}

/// Counts anew what INFO counts; what Prometheus reads goes on.
fn resetstat(ctx: &mut LocalContext<'_>, _: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    ctx.shared.metrics.reset();
    reply.ok();
    Ok(())
}

fn rewrite(_: &mut LocalContext<'_>, _: &Args<'_>, _: &mut Reply<'_>) -> CommandResult {
    Err(CommandError::other(
        "ERR CONFIG REWRITE is not supported: the server never writes its configuration file",
    ))
}

fn help(_: &mut LocalContext<'_>, _: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    reply.lines(&HELP);
    Ok(())
}
