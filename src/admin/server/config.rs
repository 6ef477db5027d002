//! CONFIG: what the server is set to, and what of it may change while it runs.
//!
//! Source: <https://redis.io/docs/latest/commands/config-get/>, <https://redis.io/docs/latest/commands/config-set/>.

use super::replication::primary_address;
use super::{ANYTIME, OPERATORS};
use crate::admin::LocalContext;
use crate::admin::shared::Shared;
use crate::admin::table::{ProcessCommand, SessionCommand};
use crate::command::spec::Flags;
use crate::command::{Args, CommandError, CommandResult};
use crate::config::runtime::{Planned, RuntimeConfig};
use crate::glob::{Case, Glob};
use crate::protocol::reply::Reply;

pub(super) const CONFIG: ProcessCommand = ProcessCommand::container(
    "config",
    &[
        ProcessCommand::local("get", -3, get).flags(&[OPERATORS, Flags::TELLS_GROUP]).docs(
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
            "Does nothing: parameters of the group are logged when they are set.",
        ),
        ProcessCommand::session("set", -4, SessionCommand::SetParameters, set)
            .flags(&[OPERATORS, Flags::SECRET_ARGUMENTS])
            .docs(
                "2.0.0",
                "O(N) when N is the number of configuration parameters provided",
                "Sets configuration parameters in-flight.",
            ),
    ],
)
.docs("2.0.0", "Depends on subcommand.", "A container for server configuration commands.");

const HELP: [&str; 11] = [
    "CONFIG <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
    "GET <pattern>",
    "    Return parameters matching the glob-like <pattern> and their values.",
    "SET <directive> <value>",
    "    Set the configuration <directive> to <value>.",
    "RESETSTAT",
    "    Reset statistics reported by the INFO command.",
    "REWRITE",
    "    Does nothing: what the group shares is saved when it is set.",
    "HELP",
    "    Prints this help.",
];

/// Parameters that say which node this one follows.
const PRIMARY_OF: [&str; 2] = ["replicaof", "slaveof"];

/// Parameters that any of the patterns matches, each once, by name.
fn get(ctx: &mut LocalContext<'_>, args: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    let mut found: Vec<(bool, (&str, String))> =
        ctx.shared.config.parameters().into_iter().map(|parameter| (false, parameter)).collect();
    // One after the other: a pattern that was taken apart is larger than its bytes.
    for pattern in &args[2..] {
        let glob = Glob::new(pattern, Case::Insensitive);
        found.iter_mut().for_each(|(is_wanted, (name, _))| *is_wanted |= glob.matches(name.as_bytes()));
    }
    found.retain(|(is_wanted, _)| *is_wanted);
    reply.map(found.len());
    for (_, (name, value)) in found {
        let value = if PRIMARY_OF.contains(&name) { followed(ctx.shared) } else { value };
        reply.bulk(name.as_bytes());
        reply.bulk(value.as_bytes());
    }
    Ok(())
}

/// The primary that this node follows, as a directive of redis.conf names it; empty on the primary.
fn followed(shared: &Shared) -> String {
    let primary = primary_address(&shared.shard.status.lock()).filter(|_| !shared.shard.is_primary());
    primary.map_or_else(String::new, |address| format!("{} {}", address.host, address.port))
}

/// The pairs of CONFIG SET, checked; nothing has changed.
pub fn planned(config: &RuntimeConfig, args: &Args<'_>) -> Result<Planned, CommandError> {
    let texts: Vec<&str> =
        args[2..].iter().map(|arg| std::str::from_utf8(arg)).collect::<Result<_, _>>().map_err(|_| {
            CommandError::other("ERR CONFIG SET failed - parameters and their values are UTF-8 text")
        })?;
    let (pairs, []) = texts.as_chunks::<2>() else { return Err(CommandError::Arity("config|set".into())) };
    let pairs: Vec<(&str, &str)> = pairs.iter().map(|[name, value]| (*name, *value)).collect();
    config.plan(&pairs).map_err(|error| CommandError::other(format!("ERR {error}")))
}

/// Changes of this node: all that it names, or nothing. The session logs changes of the group.
fn set(ctx: &mut LocalContext<'_>, args: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    match planned(&ctx.shared.config, args)? {
        Planned::Node(changes) => {
            ctx.shared.config.change(changes);
            reply.ok();
            Ok(())
        }
        Planned::Group(_) => Err(CommandError::other("ERR the group's parameters can't be set here")),
    }
}

/// Counts anew what INFO counts; what Prometheus reads goes on.
fn resetstat(ctx: &mut LocalContext<'_>, _: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    ctx.shared.metrics.reset(&super::info::counters(ctx.shared));
    reply.ok();
    Ok(())
}

/// The group's parameters are in the log already. What CONFIG SET changes of this node alone holds until the process ends: the server
/// writes no file.
fn rewrite(_: &mut LocalContext<'_>, _: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    reply.ok();
    Ok(())
}

fn help(_: &mut LocalContext<'_>, _: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    reply.lines(&HELP);
    Ok(())
}
