//! PERDURA: what Redis has no command for. An operator looks into the log and the checkpoints of a running node; nodes say to
//! each other who they are.
//!
//! - Each answers for the node that it is sent to, MARK and RUNID for the primary.
//! - What reads files or the log is done by threads and by the driver, in bounded pieces; its connection waits, nobody
//!   else does.
//! - The program's own CLI (`--addr`) is made of these.

mod checkpoint;
mod digest;
mod handover;
mod log;
mod relay;
mod status;
mod support;

use crate::admin::LocalContext;
use crate::admin::table::{ProcessCommand, ProcessFamily, SessionCommand};
use crate::command::spec::{Categories, Flags};
use crate::command::{Args, Asked, CommandResult};
use crate::protocol::reply::Reply;

pub use crate::shard::marks::MAX_NAME_BYTES as MAX_MARK_BYTES;

const ANYTIME: Flags = Flags::LOADING.union(Flags::STALE).union(Flags::NOSCRIPT).union(Flags::ADMIN);
/// What can be answered only once the node has opened its log.
const OPERATORS: Flags = Flags::STALE.union(Flags::NOSCRIPT).union(Flags::ADMIN);

pub const FAMILY: ProcessFamily = ProcessFamily {
    group: "perdura",
    categories: Categories::empty(),
    commands: &[ProcessCommand::container(
        "perdura",
        &[
            ProcessCommand::awaited("checkpoint", -3, checkpoint::checkpoint)
                .flags(&[OPERATORS, Flags::READS_OWN_DATA])
                .asks(any_key)
                .docs(
                    "0.1.0",
                    "O(N) where N is the number of bytes read",
                    "Lists this node's checkpoints, proves one, reads its files.",
                ),
            ProcessCommand::local("digest", 3, digest::digest).flags(&[OPERATORS]).docs(
                "0.1.0",
                "O(1)",
                "Returns keys and digest of this node's data at a mark.",
            ),
            ProcessCommand::awaited("handover", -2, handover::handover).flags(&[OPERATORS]).docs(
                "0.1.0",
                "O(1)",
                "Hands the leadership over, to the given member or to the one that can take over soonest.",
            ),
            ProcessCommand::local("help", 2, help).flags(&[ANYTIME]).docs(
                "0.1.0",
                "O(1)",
                "Returns helpful text about the different subcommands.",
            ),
            ProcessCommand::awaited("log", -3, log::log)
                .flags(&[OPERATORS, Flags::READS_OWN_DATA])
                .asks(any_key)
                .docs(
                    "0.1.0",
                    "O(N) where N is the number of bytes read",
                    "Looks into this node's log, reads entries, cuts it.",
                ),
            ProcessCommand::session("mark", 3, SessionCommand::Mark, digest::not_here)
                .flags(&[OPERATORS, Flags::NO_MULTI, Flags::MAY_REPLICATE])
                .docs(
                    "0.1.0",
                    "O(1)",
                    "Sets a mark in the log, at which every node takes a checkpoint of its own.",
                ),
            ProcessCommand::session("index", 2, SessionCommand::LogIndex, relay::index)
                .flags(&[ANYTIME, Flags::WHILE_PAUSED, Flags::ORDERED])
                .docs(
                    "0.1.0",
                    "O(1)",
                    "Returns how far a replica has to apply to have what was answered on this connection.",
                ),
            ProcessCommand::local("messages", 2, support::messages).flags(&[ANYTIME]).docs(
                "0.1.0",
                "O(N) where N is the number of messages",
                "Returns the last messages of this node's process.",
            ),
            ProcessCommand::local("noforward", -2, relay::noforward)
                .flags(&[ANYTIME, Flags::WHILE_PAUSED, Flags::NO_AUTH, Flags::SECRET_ARGUMENTS])
                .docs(
                    "0.1.0",
                    "O(1)",
                    "Says that the connection carries another node's commands, which must not be sent on.",
                ),
            ProcessCommand::local("runid", 2, runid)
                .flags(&[Flags::NOSCRIPT, Flags::ADMIN, Flags::ON_PRIMARY])
                .docs("0.1.0", "O(1)", "Returns the primary's run_id, by which a primary recognises itself."),
            ProcessCommand::local("settings", 2, support::settings).flags(&[ANYTIME]).docs(
                "0.1.0",
                "O(1)",
                "Returns what this node was started with, without secrets.",
            ),
            ProcessCommand::local("status", 2, status::status).flags(&[ANYTIME, Flags::TELLS_STATE]).docs(
                "0.1.0",
                "O(1)",
                "Returns what this node says of itself and of its group, as a JSON document.",
            ),
        ],
    )
    .docs("0.1.0", "Depends on subcommand.", "A container for what operators and nodes ask of a node.")],
};

const HELP: [&str; 30] = [
    "PERDURA <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
    "CHECKPOINT LIST",
    "    The checkpoints of this node.",
    "CHECKPOINT VERIFY <index>|ALL",
    "    Read every byte of a checkpoint and compare it with what was written.",
    "CHECKPOINT MANIFEST <index>",
    "    What a checkpoint says of itself: its file MANIFEST.perdura.",
    "CHECKPOINT READ <index> <file> <offset> <count>",
    "    Bytes of the n-th file that the manifest names (from 1); the checkpoint stays for a minute.",
    "DIGEST <mark>",
    "    Keys and digest of this node's data at a mark.",
    "HANDOVER [<node-id>]",
    "    Of the primary: let this member lead, or the one that can take over soonest.",
    "LOG COMPACT [KEEPBYTES <bytes>] [KEEPSECONDS <seconds>] [DRYRUN]",
    "    Cut the log behind the oldest checkpoint.",
    "LOG READ <from> <max-bytes>",
    "    Entries from an index on, each as index, term, payload.",
    "LOG STATUS",
    "    Whose log it is, what it holds and what it takes.",
    "MARK <name>",
    "    Set a mark in the log, at which every node of the group takes a checkpoint of its own.",
    "MESSAGES",
    "    The last messages of this node's process.",
    "SETTINGS",
    "    What this node was started with, without secrets.",
    "STATUS",
    "    What this node says of itself and of its group, as JSON.",
    "INDEX, NOFORWARD, RUNID",
    "    What nodes say to each other.",
    "HELP",
];

/// The log and the checkpoints hold every key.
fn any_key(_: &Args<'_>) -> Asked {
    Asked { keys: Vec::new(), reads_any_key: true }
}

fn help(_: &mut LocalContext<'_>, _: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    reply.lines(&HELP);
    Ok(())
}

/// As INFO shows it on the primary.
fn runid(ctx: &mut LocalContext<'_>, _: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    reply.simple(&ctx.shared.run_id);
    Ok(())
}
