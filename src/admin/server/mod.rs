//! Commands about the server: what it is, how it is doing, how it is set.
//!
//! - They answer for the node they are sent to, not for the group.
//! - What this server does not have is left out, or refused in clear words; no number here is made up.
//!
//! Source: <https://redis.io/docs/latest/commands/?group=server>.

mod commandlog;
mod config;
mod debug;
mod info;
mod latency;
mod memory;
mod process;
mod replication;
mod saving;
mod slowlog;
mod table_info;
mod wait;

use crate::admin::table::{ProcessCommand, ProcessFamily};
use crate::admin::{LocalContext, rdb_file};
use crate::command::spec::{Categories, Flags};
use crate::command::{Args, CommandResult};
use crate::protocol::reply::Reply;
pub use config::planned as planned_parameters;
pub use replication::CLUSTER_FAMILY;
pub use wait::{AcksWanted, FAMILY as WAIT_FAMILY};

pub use crate::version::REDIS_VERSION;

const ANYTIME: Flags = Flags::LOADING.union(Flags::STALE);
/// Flags of most commands for operators.
const OPERATORS: Flags = ANYTIME.union(Flags::ADMIN).union(Flags::NOSCRIPT);

pub const FAMILY: ProcessFamily = ProcessFamily {
    group: "server",
    categories: Categories::empty(),
    commands: &[
        saving::BGREWRITEAOF,
        saving::BGSAVE,
        table_info::COMMAND,
        commandlog::COMMANDLOG,
        config::CONFIG,
        debug::DEBUG,
        replication::FAILOVER,
        info::INFO,
        saving::LASTSAVE,
        latency::LATENCY,
        process::LOLWUT,
        memory::MEMORY,
        MODULE,
        process::MONITOR,
        rdb_file::PSYNC,
        rdb_file::REPLCONF,
        replication::REPLICAOF,
        replication::ROLE,
        saving::SAVE,
        process::SHUTDOWN,
        replication::SLAVEOF,
        slowlog::SLOWLOG,
        rdb_file::SYNC,
        process::TIME,
    ],
};

const MODULE: ProcessCommand = ProcessCommand::container(
    "module",
    &[
        ProcessCommand::local("help", 2, module_help).flags(&[Flags::LOADING, Flags::STALE]).docs(
            "5.0.0",
            "O(1)",
            "Returns helpful text about the different subcommands.",
        ),
        ProcessCommand::local("list", 2, no_modules).flags(&[Flags::ADMIN, Flags::NOSCRIPT]).docs(
            "4.0.0",
            "O(N) where N is the number of loaded modules.",
            "Returns all loaded modules: there are none.",
        ),
    ],
)
.docs("4.0.0", "Depends on subcommand.", "A container for module commands.");

const MODULE_HELP: [&str; 5] = [
    "MODULE <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
    "LIST",
    "    Return a list of loaded modules.",
    "HELP",
    "    Print this help.",
];

fn module_help(_: &mut LocalContext<'_>, _: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    reply.lines(&MODULE_HELP);
    Ok(())
}

fn no_modules(_: &mut LocalContext<'_>, _: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    reply.array(0);
    Ok(())
}

#[cfg(test)]
mod tests;
