//! PERDURA MARK and PERDURA DIGEST: nodes of a group are compared at one index of the log. See `shard::marks`.

use crate::admin::LocalContext;
use crate::command::{Args, CommandError, CommandResult};
use crate::protocol::reply::Reply;
use crate::shard::marks::{Fate, Mark};

/// The session logs MARK; nothing else comes here.
pub(super) fn not_here(_: &mut LocalContext<'_>, _: &Args<'_>, _: &mut Reply<'_>) -> CommandResult {
    Err(CommandError::other("ERR a mark can't be set here"))
}

/// A map: node_id, applied, state, index, keys, digest, reason; what does not apply is 0 or empty. The state is one of
/// `unknown` (the mark is not applied here, or forgotten), `writing`, `missed`, `failed`, `done`.
pub(super) fn digest(ctx: &mut LocalContext<'_>, args: &Args<'_>, reply: &mut Reply<'_>) -> CommandResult {
    let shard = &ctx.shared.shard;
    let mark = shard.marks.find(&String::from_utf8_lossy(args[2]));
    let index = mark.as_ref().map_or(0, |mark| mark.index);
    let (state, keys, digest, reason) = told(mark);
    let applied = shard.status.lock().applied;
    reply.map(7);
    reply.bulk(b"node_id");
    reply.integer(ctx.shared.config.started_with().node_id as i64);
    for (name, number) in [("applied", applied), ("index", index), ("keys", keys)] {
        reply.bulk(name.as_bytes());
        reply.integer(number as i64);
    }
    for (name, text) in [("state", state), ("digest", &digest), ("reason", &reason)] {
        reply.bulk(name.as_bytes());
        reply.bulk(text.as_bytes());
    }
    Ok(())
}

fn told(mark: Option<Mark>) -> (&'static str, u64, String, String) {
    match mark.map(|mark| mark.fate) {
        None => ("unknown", 0, String::new(), String::new()),
        Some(Fate::Writing) => ("writing", 0, String::new(), String::new()),
        Some(Fate::Missed(reason)) => ("missed", 0, String::new(), reason),
        Some(Fate::Failed(reason)) => ("failed", 0, String::new(), reason),
        Some(Fate::Done { keys, digest }) => ("done", keys, format!("{digest:032x}"), String::new()),
    }
}
